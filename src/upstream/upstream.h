/* upstream.h - a resolver that we ask, and each worker's way to it.
 *
 * struct upstream is shared by all workers and lives over reloads as long as
 * its URL stays: it holds what is known about the server.  struct channel is
 * one worker's: its transports, opened when first used.
 *
 * One that is given by name has several addresses, or none yet, and then it is
 * not asked.  The first in their order is asked first: it is the one that won the
 * last race for a connection, and goes to the end when nothing comes back from it.
 */
#ifndef LARDER_UPSTREAM_UPSTREAM_H
#define LARDER_UPSTREAM_UPSTREAM_H

#include "base/addr.h"
#include "net/transport.h"
#include "stats/stats.h"
#include "upstream/conf.h"
#include "upstream/health.h"
#include "upstream/secure.h"
#include "upstream/upgrade.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clock;
struct exchanges;
struct prober;
struct rng;
struct dns_scrub;
struct timers;

struct upstream {
	_Atomic unsigned     refs;		/* owners: setups and channels */
	struct upstream_conf conf;		/* copied */
	_Atomic bool         doubted;		/* its addresses are to be looked up again */
	/* The server rejects EDNS until then (CLOCK_BOOTTIME, ms; RFC 6891 s. 6.2.2). */
	_Atomic uint64_t     no_edns_until_ms;
	struct health        health;
	struct secure        secure;
	struct designation   designation;
	/* How often the way to it has changed: a channel that has not seen that renews its transports. */
	_Atomic uint32_t     ways;
	_Atomic uint64_t     slept_us;
	pthread_mutex_t      places_lock;
	struct addr_list     places;		/* under the lock; empty: its name is not resolved yet */
	_Atomic uint32_t     moves;		/* how often places has changed, as a channel notices */
	unsigned             worker_count;
	struct stats_upstream stats[];		/* one for each worker */
};

/* Gives one reference, or NULL when memory is short.  Copies conf, with a reference to its peer. */
struct upstream *upstream_new(const struct upstream_conf *conf, unsigned worker_count);
struct upstream *upstream_ref(struct upstream *u);
void             upstream_unref(struct upstream *u);	/* NULL is fine */

/* Is it asked in clear, now? */
static inline bool upstream_is_clear(const struct upstream *u)
{
	return secure_is_off(&u->secure);
}

/* Is it asked by UDP first, now? */
static inline bool upstream_by_udp(const struct upstream *u)
{
	return u->conf.proto != UPSTREAM_TCP && upstream_is_clear(u);
}

/* The stream that it is asked over, now: all the time, or when UDP will not do. */
static inline enum transport_kind upstream_stream(const struct upstream *u)
{
	return upstream_is_clear(u) ? TRANSPORT_TCP :
	                              (enum transport_kind)atomic_load_explicit(&u->secure.kind, memory_order_relaxed);
}

/* The network towards it has changed: connections are suspect, and what was held against it is void.  Any thread. */
void upstream_way_changed(struct upstream *u, uint64_t now_us);
/* The same, as each worker notices when the machine has slept: repeated within a second it does nothing. */
void upstream_slept(struct upstream *u, uint64_t now_us);

/* ---- where it is; any thread ---- */

/* It is at these addresses now.  That which is asked first stays so if it is among them.  False: so it was already. */
bool upstream_place(struct upstream *u, const struct addr_list *to, uint64_t now_us);
/* Its name is not resolved since then, so nobody can ask it. */
void upstream_lack_place(struct upstream *u, uint64_t now_us);
void upstream_places(struct upstream *u, struct addr_list *out);

/* Is it configured as it was, so that what is known about it still holds? */
bool upstream_is(const struct upstream *u, const struct upstream_conf *conf);

/* What a worker lends to everything it does upstream; outlives all channels. */
struct upstream_env {
	const struct clock           *clock;
	struct rng                   *rng;
	struct timers                *timers;	/* on CLOCK_MONOTONIC, ms */
	struct stats                 *stats;
	struct exchanges             *open;	/* all that are, of this worker */
	struct dns_scrub             *scrub;
	const struct transport_maker *maker;
	/* One that is given by name does not work: its addresses may have changed.  NULL: nobody wants to know. */
	void                        (*doubt)(void *arg);
	void                         *doubt_arg;
	unsigned                      worker;	/* its index in upstream.stats */
	uint16_t                      edns_size;	/* octets that probes offer in their OPT */
};

struct channel {
	unsigned                   refs;	/* owners: this worker's views of the configuration; or upgrade.c and sends */
	struct upstream           *upstream;	/* a reference */
	const struct upstream_env *env;		/* borrowed */
	struct stats_upstream     *stats;	/* upstream->stats[worker] */
	struct prober             *prober;
	struct upgrade            *upgrade;	/* for one that is to be upgraded; or NULL */
	struct channel            *of;		/* whose designated server this is; borrowed; NULL: nobody's */
	struct secure_look        *look;	/* whether TLS may be had again, or is of use; NULL: there is no question */
	struct transport          *transport[TRANSPORT_KINDS];	/* NULL: not yet */
	uint32_t                   ways;	/* upstream->ways, as seen last */
	uint32_t                   moves;	/* upstream->moves, when the transports were aimed */
	enum upstream_counter      check;	/* that the last bad certificate has failed */
};

/* Gives one reference, or NULL when memory is short.  Takes a reference to u of its own. */
struct channel *channel_new(struct upstream *u, const struct upstream_env *env);
struct channel *channel_ref(struct channel *c);
/* The last one closes the transports; no send may live then. */
void            channel_unref(struct channel *c);	/* NULL is fine */
/* Where it is asked, it cannot be reached: that address is tried last from now on.  False: it has no other. */
bool            channel_move_on(struct channel *c);
/* Over whose transport, and which, what is asked of c like this goes: its own, or that of the server that it
 * designates.  Who sends over it holds a reference until the send has ended.  NULL: no memory. */
struct channel   *channel_carrier(struct channel *c, enum transport_kind *kind);
/* NULL when memory is short, or when there is nowhere to send to. */
struct transport *channel_transport(struct channel *c, enum transport_kind kind);

static inline void channel_count(struct channel *c, enum upstream_counter n)
{
	stats_bump(&c->stats->counter[n], 1);
}

#endif
