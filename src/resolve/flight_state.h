/* flight_state.h - what a flight is made of, for the files that make it up: flight.c, send.c, park.c, chase.c. */
#ifndef LARDER_RESOLVE_FLIGHT_STATE_H
#define LARDER_RESOLVE_FLIGHT_STATE_H

#include "base/clock.h"
#include "resolve/flight.h"
#include "stats/recent.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLIGHT_BUCKETS 1024u	/* a power of two */
#define NEVER_US       UINT64_MAX

/* How one upstream has been used by this flight. */
struct way {
	struct channel *channel;	/* borrowed from the view */
	uint8_t         sends[TRANSPORT_KINDS];
	uint8_t         cuts;		/* so often a connection has ended under this question */
	bool            dead[TRANSPORT_KINDS];	/* cannot be reached by this transport */
	bool            by_stream;	/* UDP will not do: truncated, or under attack */
	bool            resting;	/* could not be reached: not before the next round of the schedule */
	bool            out;		/* has replied, and not with an answer */
	bool            knocked;	/* has been asked this although its breaker is open */
};

struct flight {
	struct list              bucket;
	struct list              lot;		/* with its like: parked, or over with tries still open */
	struct flights          *all;
	struct view             *view;		/* a reference */
	struct cache_key         key;		/* its qname is our own */
	size_t                   route;
	struct exchange_question question;
	struct list              waiters;
	struct timer             step;		/* the next round, or a try's time is over, or parking is */
	struct timer             end;
	uint64_t                 began_us, end_us;
	uint64_t                 round_us;	/* when the next round of the schedule is due; NEVER_US: not by itself */
	uint32_t                 h_us;
	uint16_t                 epoch;		/* of the route, when it was looked at last */
	unsigned                 rounds;	/* of the schedule, begun */
	unsigned                 try_count;
	unsigned                 cuts;		/* how many of them were cut off with their connection */
	uint64_t                 over_us[FLIGHT_TRIES];	/* when a try's time is over … */
	bool                     given_up[FLIGHT_TRIES];	/* … and that it was */
	bool                     refresh;	/* no client has asked for it yet */
	bool                     parked;
	bool                     was_parked;	/* once at least */
	bool                     woken;		/* was parked, and counts among those let go */
	bool                     over;		/* only tries are left; not found any more */
	bool                     answered;	/* over, and with an answer */
	unsigned                 replies;	/* failing ones … */
	unsigned                 refusals;	/* … and how many of them said REFUSED */
	unsigned                 budget;	/* sends that are left */
	uint32_t                 ede;		/* the first extended error of a reply … */
	const char              *ede_from;	/* … and the name of the upstream that sent it */
	bool                     stream_trouble;
	bool                     local_trouble;	/* our own want of sockets or memory, or no network at all */

	/* while an alias is chased */
	struct waiter            chase;
	struct flight           *chased;	/* the flight we wait for; NULL: none */
	unsigned                 chases;	/* how deep this flight lies under the first alias */
	struct dns_answer        chain;		/* its octets are ours */
	uint64_t                 chain_ms;	/* when it came, CLOCK_BOOTTIME */
	struct dns_name          target;

	size_t                   way_count;
	/* what follows is not cleared at the beginning: it is large, and written before it is read */
	struct exchange          tries[FLIGHT_TRIES];
	uint8_t                  qname[DNS_NAME_MAX];
	struct way               ways[];
};

struct flights {
	struct flights_env env;
	size_t             count;		/* under way: not over */
	struct list        over;		/* those that are, oldest first */
	size_t             over_count;
	struct list        parked;
	struct timer       wake;		/* runs while somebody is parked */
	unsigned           woken;		/* let go, and not over yet */
	/* Tenths of a hedge.  Each flight brings one: were it each query, hits would pay for asking everything
	 * twice when all upstreams become slow, which is when they need it least. */
	unsigned           tokens;
	struct recent      whole;		/* whole flights that were answered */
	uint8_t           *scratch;		/* a cached answer being joined; made when first needed */
	struct list        buckets[FLIGHT_BUCKETS];
};

static inline struct stats *flight_stats(const struct flight *f)
{
	return f->all->env.upstream->stats;
}

static inline uint64_t flight_boot_ms(const struct flights *fs)
{
	return clock_boot_ms(fs->env.upstream->clock);
}

static inline uint64_t flight_now_us(const struct flight *f)
{
	return clock_mono_us(f->all->env.upstream->clock);
}

static inline const struct upstream_times *flight_times(const struct flight *f)
{
	return &f->view->setup->conf.times;
}

/* The flight's step timer rings at this time, or as soon as the wheel turns. */
static inline void flight_step_at(struct flight *f, uint64_t at_us)
{
	timer_start(f->all->env.timers, &f->step, at_us / 1000 + (at_us % 1000 != 0));
}

/* flight.c: each ends the flight. */
void flight_succeed(struct flight *f, const struct dns_answer *answer, const struct exchange *x);
void flight_fail_plainly(struct flight *f, uint32_t ede);	/* SERVFAIL, and no server is to blame */
void flight_fail_unheld(struct flight *f, uint32_t ede);	/* the same, and it may be asked again at once */
void flight_give_up(struct flight *f);			/* nothing is left to try */
/* flight.c: those who have waited since then or longer hear that there is no answer; the flight is for the others from
 * now on, as if the first of them had begun it.  False: there are none, and whoever is left goes with the flight. */
bool flight_dismiss(struct flight *f, uint64_t until_us);
/* flight.c: no try is open after that, and none will follow; the flight is not over. */
void flight_stop_asking(struct flight *f);

/* send.c */
void     flight_send_first(struct flight *f);	/* or park it */
void     flight_go_on(struct flight *f);	/* something went wrong: the next, or wait, or give up */
void     flight_on_step(struct timer *t);
unsigned flight_open_count(const struct flight *f);
/* The flight is parked, and is so until end_us at the longest: asks upstreams all the same if that is due.  Gives when
 * to do so again; end_us: not any more. */
uint64_t flight_knock(struct flight *f, uint64_t patience_us, uint64_t end_us);
/* Tries of one that is over: told when one has ended. */
void     flight_on_late(struct flight *f, struct exchange *x, enum exchange_event event,
                        const struct dns_answer *answer);

/* park.c: waits until an upstream is back, or the time for that is over.  False: that time is over already. */
bool flight_park(struct flight *f);
void flight_unpark(struct flight *f);		/* off the list; fine when it is not parked */
void flights_on_wake(struct timer *t);
void flights_wake(struct flights *fs);		/* lets go whoever may go */

/* chase.c: the answer is an alias chain; its target is asked for, and the flight ends with both joined. */
void flight_chase(struct flight *f, const struct dns_answer *chain, const struct dns_name *target);
void flight_on_chased(struct waiter *w, const struct dns_answer *answer, const struct flight_end *end);

#endif
