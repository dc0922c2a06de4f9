/* load.h - one run of the load generator: what to ask, how fast, until when.
 *
 * Two bounds always hold: at most `count` queries are sent, and the run ends
 * `limit_ns` after its start plus one time-out for what is still on its way.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdint.h>

#include "net.h"
#include "query.h"
#include "slots.h"
#include "tally.h"

enum {
	LOAD_SOCKETS_MAX = 64,
	LOAD_SWEEP_NS = 50 * 1000000,	/* how often time-outs are looked for */
};

struct load {
	/* set before the run */
	struct net_addr server;
	struct query_shape shape;
	uint32_t first, names;	/* numbers asked for: first … first + names - 1 */
	bool segment;		/* UDP: a batch is one datagram until the kernel cuts it */
	bool spin;		/* never sleep */
	bool unique;		/* each once, in order; otherwise at random */
	uint64_t count;
	uint64_t rate;		/* queries per second; 0: as fast as the window allows */
	unsigned window;	/* queries waiting at most, all sockets together */
	unsigned burst;		/* with a window: send when at least so many may go */
	unsigned sockets;	/* source ports, or TCP connections */
	uint64_t timeout_ns, limit_ns;

	/* the run */
	uint64_t random;
	uint64_t start_ns, start_cpu_ns, sweep_ns;
	unsigned waiting;
	struct tally tally;
};

void load_start(struct load *l);
/* How many queries may be sent at this moment, at most max. */
unsigned load_due(struct load *l, uint64_t now_ns, unsigned max);
bool load_ended(const struct load *l, uint64_t now_ns);
/* Until when one may sleep if no reply comes. */
uint64_t load_wake_ns(const struct load *l, uint64_t now_ns);
/* Takes a slot and writes the next query to q; false when no slot is free. */
bool load_write(struct load *l, struct slots *s, uint8_t *q, uint64_t now_ns);
void load_reply(struct load *l, struct slots *s, const uint8_t *reply, size_t len, uint64_t now_ns);
void load_sweep(struct load *l, struct slots *s, uint64_t now_ns);
void load_give_up(struct load *l, struct slots *s);	/* all that wait are lost */

void load_udp_run(struct load *l);
void load_tcp_run(struct load *l);

#endif
