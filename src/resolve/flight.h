/* flight.h - one question on its way upstream, and everybody who waits for it.
 *
 * Equal questions share a flight within a worker (RFC 5452 s. 5).  A flight
 * sends at 0, h, 3h, 7h …, at once after a failure, each time to an upstream of
 * its route that was tried least; it ends with the first acceptable answer, or
 * when nothing is left to try, or at resolve-timeout.  What it brings goes into
 * the cache and to all waiters.
 *
 *   asking ──┬─ answer ───────────────────────────────> over
 *     │ ^    ├─ alias into another route ─> chasing ──> over
 *     v │    └─ nothing left, or too late ────────────> over (failure)
 *   parked: the breakers of all its upstreams are open
 *
 * Tries that are open when it is over may still be answered: that shows how the
 * server is, and fills the cache when nothing else did.
 */
#ifndef LARDER_RESOLVE_FLIGHT_H
#define LARDER_RESOLVE_FLIGHT_H

#include "base/list.h"
#include "base/timer.h"
#include "cache/cache.h"
#include "resolve/setup.h"
#include "upstream/exchange.h"

#define FLIGHT_TRIES 8

struct flight;
struct flights;

/* What is said beside the answer, or in its place. */
struct flight_end {
	uint16_t    rcode;	/* the answer's; without one SERVFAIL, or REFUSED when every server said so */
	uint32_t    ede;	/* DNS_EDE_NONE, or an extended error for the client */
	bool        silent;	/* without an answer: no server has said anything, so it may be otherwise soon */
	const char *ede_text;	/* borrowed during the call: which upstream said so; NULL: it is our own */
	/* Who sent the answer; borrowed during the call.  NULL: nobody, or several. */
	struct upstream *upstream;
};

/* Somebody who waits.  Embedded; on one flight's list until done() or flight_leave(). */
struct waiter {
	struct list    node;
	struct flight *flight;	/* the flight that is waited for */
	uint64_t       since_us;	/* CLOCK_MONOTONIC */
	/* Once: with an answer (borrowed during the call), or without (NULL). */
	void (*done)(struct waiter *w, const struct dns_answer *answer, const struct flight_end *end);
};

struct flights_env {
	const struct upstream_env *upstream;
	struct timers             *timers;	/* on CLOCK_MONOTONIC, ms */
	struct cache              *cache;
	struct view              **view;	/* borrowed: whichever is in force; NULL: it never changes */
};

/* All flights of one worker.  The caller frees; NULL: no memory.  Copies env. */
struct flights *flights_new(const struct flights_env *env);
void            flights_free(struct flights *fs);	/* waiters must be gone */
size_t          flights_count(const struct flights *fs);
/* The q-quantile of how long answers took lately, hedges included; 0: there was none. */
uint64_t        flights_quantile_us(const struct flights *fs, double q);

/* Are the breakers of all upstreams of this route open?  False for a route without any. */
bool     route_is_stranded(const struct view *v, size_t route);
/* Which epoch of the route it is, 1 or more: failures without a reply count within one only. */
uint16_t route_epoch(const struct view *v, size_t route);
/* A client asks for something of a stranded route: its upstreams are probed often. */
void     route_want(const struct view *v, size_t route);

/* A question as the resolver puts it. */
struct flight_ask {
	struct view     *view;
	size_t           route;		/* index into the policy's routes */
	struct cache_key key;
	unsigned         budget;	/* sends that it may cost; 0: FLIGHT_BUDGET */
	uint64_t         end_us;	/* all work ends by then, CLOCK_MONOTONIC; 0: after resolve-timeout */
	bool             refresh;	/* no client waits */
};

#define FLIGHT_BUDGET 24		/* sends for one client question, aliases included (CAMP) */

enum flight_joined { FLIGHT_BEGUN, FLIGHT_JOINED };

/* Puts w on the flight for this question, which begins if there is none.  done() is never called before
 * this returns.  enum flight_joined, or -ENOBUFS at the bound, or -ENOMEM. */
int  flight_ask(struct flights *fs, const struct flight_ask *ask, struct waiter *w);
/* The flight for this question, or NULL. */
struct flight *flight_find(const struct flights *fs, const struct cache_key *key);
/* Calls with each waiter until one gives true; gives whether one did. */
bool flight_any_waiter(const struct flight *f, bool (*is)(const struct waiter *w, const void *arg),
                       const void *arg);
/* What is asked for; borrowed from the flight, also during done(). */
const struct cache_key *flight_key(const struct waiter *w);
/* What there is to say to a waiter that can wait no longer. */
struct flight_end flight_so_far(const struct waiter *w);
void flight_leave(struct waiter *w);	/* the flight goes on; fine when it is over */

#endif
