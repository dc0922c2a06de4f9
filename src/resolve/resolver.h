/* resolver.h - the life of one client query, on one worker.
 *
 * In: a message from a listener.  Out: a reply at once (from policy or cache),
 * or later (from a flight), always one and always in time: within
 * query-timeout the client has an answer or SERVFAIL.
 */
#ifndef LARDER_RESOLVE_RESOLVER_H
#define LARDER_RESOLVE_RESOLVER_H

#include "net/listener.h"
#include "resolve/setup.h"

struct cache;
struct flight;
struct ring;
struct slows;
struct timers;
struct resolver;

/* What a worker lends; everything outlives the resolver. */
struct resolver_env {
	struct upstream_env upstream;	/* copied */
	struct timers      *timers;	/* on CLOCK_MONOTONIC, ms */
	struct cache       *cache;	/* shared by all workers */
	struct slows       *slows;	/* where slow queries are noted; NULL: nowhere */
};

/* The caller frees; NULL: no memory.  Takes over one reference to setup. */
struct resolver *resolver_new(const struct resolver_env *env, struct setup *setup);
/* Clients that wait hear nothing more. */
void             resolver_free(struct resolver *r);	/* NULL is fine */

/* Works by this setup from now on; flights under way end by the old one.  Takes over the reference.
 * 0, or -ENOMEM: the old one stays in force. */
int resolver_reconfigure(struct resolver *r, struct setup *setup);

/* A listener's handler (struct net_handler): arg is the resolver. */
void             resolver_on_announce(void *arg, const struct net_message *m);
enum net_verdict resolver_on_message(void *arg, const struct net_message *m, struct net_reply *reply);
/* The clocks, as often as the loop turns: a machine that slept is noticed.  late: the loop itself stood still. */
void             resolver_on_clocks(struct resolver *r, uint64_t boot_ms, uint64_t mono_us, bool late);
void             resolver_on_batch_done(void *arg, uint64_t mono_us, uint64_t done_us, unsigned n);

/* Opens connections to upstreams where that takes long: at the start, and when the network has changed. */
void resolver_warm(struct resolver *r);

/* Each query is told as it is answered, by an event (resolve/event.h) in this ring; NULL: to nobody.  Any thread. */
void resolver_watch(struct resolver *r, struct ring *events);
/* The ring, which is watched no more, may be freed after this.  On the resolver's thread, not within a message. */
void resolver_let_go(struct resolver *r, const struct ring *events);

/* Client queries that wait for an answer. */
size_t resolver_waiting(const struct resolver *r);

/* ---- for trace.c ---- */

const struct upstream_env *resolver_upstream_env(const struct resolver *r);
const struct setup        *resolver_setup(const struct resolver *r);
/* Of a client whose path has just been given its reply: how it is counted, and what it has waited for. */
enum stats_outcome         resolver_outcome_of(const struct reply_path *p);
const struct flight       *resolver_flight_of(const struct reply_path *p);

#endif
