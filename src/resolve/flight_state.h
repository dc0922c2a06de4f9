/* flight_state.h - what a flight is made of, for flight.c and chase.c alone. */
#ifndef LARDER_RESOLVE_FLIGHT_STATE_H
#define LARDER_RESOLVE_FLIGHT_STATE_H

#include "base/clock.h"
#include "resolve/flight.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLIGHT_BUCKETS 1024u	/* a power of two */

/* How one upstream has been used by this flight. */
struct way {
	struct channel *channel;	/* borrowed from the view */
	uint8_t         sends[TRANSPORT_KINDS];
	bool            dead[TRANSPORT_KINDS];	/* cannot be reached by this transport */
	bool            by_stream;	/* UDP will not do: truncated, or under attack */
	bool            resting;	/* could not be reached: not before the next round of the schedule */
	bool            out;		/* has replied, and not with an answer */
};

struct flight {
	struct list              bucket;
	struct flights          *all;
	struct view             *view;		/* a reference */
	struct cache_key         key;		/* its qname is our own */
	size_t                   route;
	struct exchange_question question;
	struct list              waiters;
	struct timer             next_send, end;
	uint64_t                 began_us;
	unsigned                 rounds;	/* of the schedule */
	unsigned                 try_count;
	bool                     given_up[FLIGHT_TRIES];	/* its time had passed when the next was sent */
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
	struct dns_name          target;

	size_t                   way_count;
	/* what follows is not cleared at the beginning: it is large, and written before it is read */
	struct exchange          tries[FLIGHT_TRIES];
	uint8_t                  qname[DNS_NAME_MAX];
	struct way               ways[];
};

struct flights {
	struct flights_env env;
	size_t             count;
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

/* flight.c: each ends the flight. */
void flight_succeed(struct flight *f, const struct dns_answer *answer, const struct exchange *x);
void flight_fail_plainly(struct flight *f, uint32_t ede);	/* SERVFAIL, and no server is to blame */
/* Stops asking: no send is open afterwards, and none will follow. */
void flight_stop_asking(struct flight *f);

/* chase.c: the answer is an alias chain; its target is asked for, and the flight ends with both joined. */
void flight_chase(struct flight *f, const struct dns_answer *chain, const struct dns_name *target);
void flight_on_chased(struct waiter *w, const struct dns_answer *answer, const struct flight_end *end);

#endif
