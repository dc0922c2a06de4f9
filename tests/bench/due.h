/* due.h - replies that wait for their time, the next one on top.
 *
 * A binary heap of numbers over a fixed array of replies.  Delays differ (a
 * stall beside the usual 20 ms), so order of arrival is not order of leaving.
 * What has no place is dropped, as by a server that is overrun.
 */
#ifndef BENCH_DUE_H
#define BENCH_DUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { DUE_MAX = 1 << 16, DUE_OCTETS = 512 };

struct due_reply {
	uint64_t due_ns;
	unsigned face;
	int conn;		/* -1: a datagram to peer */
	uint32_t serial;	/* of the connection: another one may have its place by then */
	uint32_t tag;		/* secure.h's */
	uint16_t len;
	socklen_t peer_len;
	struct sockaddr_storage peer;
	uint8_t octets[DUE_OCTETS];
};

struct due;

struct due *due_new(void);		/* ends the program when memory is short */
/* A reply to fill in, due_ns included; then due_put().  NULL: no place. */
struct due_reply *due_take(struct due *d);
void due_put(struct due *d, struct due_reply *r);
/* The reply that leaves next, or NULL; stays the caller's until due_drop(). */
struct due_reply *due_next(const struct due *d);
void due_drop(struct due *d);		/* takes away the one that due_next() gives */

#endif
