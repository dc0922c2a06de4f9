/* world.h - one larder worker without sockets, and the time it lives in.
 *
 * The world owns what a worker thread owns (resolver, cache, statistics, timer
 * wheel), a clock that only moves when it is told, a seeded source of random
 * numbers, and the events that fake servers have set.  Time runs from event to
 * event and from one turn of the timer wheel to the next, in order.
 */
#ifndef SCENARIO_WORLD_H
#define SCENARIO_WORLD_H

#include "script.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/rng.h"
#include "base/timer.h"
#include "cache/cache.h"
#include "conf/conf.h"
#include "net/transport.h"
#include "resolve/resolver.h"
#include "stats/stats.h"

struct world_event {
	struct list node;		/* in world.events, or alone */
	uint64_t    at_us;
	void      (*happen)(struct world_event *e);
};

struct world {
	struct story          *story;		/* borrowed */
	struct clock           clock;
	uint64_t               mono_us;
	uint64_t               boot_ahead_ms;	/* of mono_us */
	uint64_t               reloaded_us;	/* the last time; 0: never */
	struct rng             rng;
	uint64_t               random;		/* state of the source */
	struct timers          timers;
	struct list            events;		/* by time; equal times in the order they were set */
	struct stats           stats;
	struct dns_scrub      *scrub;
	struct cache          *cache;		/* NULL until world_configure(), as the next ones */
	struct conf           *conf;
	struct setup          *setup;
	struct resolver       *resolver;
	struct transport_maker maker;		/* set by whoever keeps the servers */
	struct list            servers;		/* struct server */
	struct list            askers;		/* struct asker */
	struct list            batch;		/* struct ask: datagrams that are to arrive together … */
	unsigned               batch_count;
	bool                   gathering;	/* … once the last of them has been sent */
	uint16_t               next_id;		/* of client queries */
	uint64_t               steps;		/* events and turns so far: a loop without end shows */
};

void world_init(struct world *w, struct story *story, uint64_t seed);
/* Servers and askers must have gone; the resolver goes first of all by world_stop(). */
void world_done(struct world *w);
void world_stop(struct world *w);	/* frees the resolver and what it sends by */

/* Takes the configuration text (larder.yaml's, U1 standing for an upstream's address): makes the worker, or
 * reloads it as larderd would.  Fails the story when it is not accepted. */
void world_configure(struct world *w, const char *yaml);

void     world_set(struct world *w, struct world_event *e, uint64_t in_us);
void     world_unset(struct world_event *e);		/* fine when it is not set */
uint64_t world_random(struct world *w, uint64_t below);	/* even over 0 .. below-1 */

/* Everything that is due now happens. */
void world_settle(struct world *w);
/* Runs to that time; stops early when enough(arg) holds after a step.  Gives whether it did. */
bool world_run(struct world *w, uint64_t until_us, bool (*enough)(void *arg), void *arg);
/* CLOCK_BOOTTIME goes on by so much, CLOCK_MONOTONIC stands still. */
void world_suspend(struct world *w, uint64_t us);

uint64_t world_boot_ms(const struct world *w);

#endif
