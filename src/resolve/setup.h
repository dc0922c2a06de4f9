/* setup.h - what a configuration means to the resolver: one immutable set for all workers.
 *
 * A reload makes a new setup, takes over the upstreams whose URL stayed, and
 * hands it to each worker.  A worker looks at it through a view, which adds the
 * worker's own channels; flights keep the view they began with, so an old setup
 * goes when its last flight has ended.
 */
#ifndef LARDER_RESOLVE_SETUP_H
#define LARDER_RESOLVE_SETUP_H

#include "cache/conf.h"
#include "policy/policy.h"
#include "upstream/upstream.h"

#include <stdatomic.h>

struct setup_conf {
	const struct policy_conf   *policy;	/* borrowed until release() */
	const struct upstream_conf *upstreams;	/* copied */
	size_t                      upstream_count;
	struct upstream_times       times;	/* max_flights: of one worker */
	struct cache_times          cache_times;
	unsigned                    worker_count;
	uint32_t                    slow_query_ms;	/* so long a wait is noted */
	void (*release)(void *owner);		/* called when the setup goes; may be NULL */
	void  *owner;
};

struct setup {
	_Atomic unsigned      refs;		/* owners: main thread, each worker's views */
	struct setup_conf     conf;
	struct policy        *policy;
	struct upstream     **upstreams;	/* references, as many as conf.upstream_count */
};

/* One reference, or NULL when memory is short (release() has been called then).  Reuses upstreams of old,
 * which may be NULL. */
struct setup *setup_new(const struct setup_conf *conf, const struct setup *old);
struct setup *setup_ref(struct setup *s);
void          setup_unref(struct setup *s);		/* NULL is fine */
/* Did routes or their upstreams change between the two? */
bool          setup_routes_differ(const struct setup *a, const struct setup *b);

/* One worker's sight of a setup. */
struct view {
	unsigned        refs;		/* owners: the resolver and its flights; one thread */
	struct setup   *setup;		/* a reference */
	struct channel *channels[];	/* references; as setup->upstreams */
};

/* One reference, or NULL.  Takes over the reference to s; reuses channels of old, which may be NULL. */
struct view *view_new(struct setup *s, const struct view *old, const struct upstream_env *env);
struct view *view_ref(struct view *v);
void         view_unref(struct view *v);

#endif
