/* refresh.h - popular names are asked for again before anybody has to wait for them.
 *
 * A name that is hit three times in its TTL period is noted, in its last ten
 * minutes, with its key, in a bounded wheel of the worker's own, and refreshed near the end of the TTL
 * without a client asking.  One that is hit in the last tenth of its TTL is
 * refreshed at once.  The new period begins with no hits, so what nobody asks
 * for any more drops out.
 *
 * An upstream may itself be a cache: asked early, it gives only what is left of
 * the TTL.  That is learned from each, and then the refresh waits for the TTL to
 * end; meanwhile, for GRACE at most, the old answer is given out.
 *
 * The shared entry is claimed first, so that there is one refresh for a name
 * over all workers.
 */
#ifndef LARDER_RESOLVE_REFRESH_H
#define LARDER_RESOLVE_REFRESH_H

#include "resolve/flight.h"

#define REFRESH_GRACE_MS   2000
#define REFRESH_HORIZON_MS 600000	/* what ends later need not be noted yet */

struct refreshes;

struct refreshes_env {
	const struct upstream_env *upstream;
	struct timers             *timers;
	struct cache              *cache;
	struct flights            *flights;
	struct view              **view;	/* borrowed: whichever is in force */
};

/* The caller frees; NULL: no memory.  Copies env. */
struct refreshes *refreshes_new(const struct refreshes_env *env);
void              refreshes_free(struct refreshes *rs);	/* NULL is fine; before the flights */

/* Could this hit be a reason to refresh? */
static inline bool refresh_is_near(const struct cache_found *found)
{
	return found->claim == CACHE_UNCLAIMED &&
	       ((found->hits >= 3 && found->left_ms <= REFRESH_HORIZON_MS) ||
	        (found->left_ms * 10 < (int64_t)found->ttl_s * 1000 && found->hits > 1));
}

/* Then it is looked at closely. */
void refreshes_on_hit(struct refreshes *rs, size_t route, const struct cache_key *key,
                      const struct cache_found *found);
/* n client queries have come: a tenth as many refreshes may be sent. */
void refreshes_credit(struct refreshes *rs, unsigned n);

#endif
