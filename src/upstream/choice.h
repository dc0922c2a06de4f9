/* choice.h - which of a route's upstreams is asked next.
 *
 * Healthy ones before suspects, those that this question has not tried before
 * those that it has; among equals the route's policy decides.  One whose
 * breaker is open is never chosen: probes alone find out whether it is back.
 */
#ifndef LARDER_UPSTREAM_CHOICE_H
#define LARDER_UPSTREAM_CHOICE_H

#include "upstream/conf.h"
#include "upstream/health.h"

#include <stddef.h>

struct rng;

struct candidate {
	const struct health *health;	/* borrowed */
	unsigned             sends;	/* of this question */
};

enum choice_purpose {
	CHOICE_CLIENT,		/* somebody waits */
	CHOICE_REFRESH,		/* nobody does: time to look at those that are seldom asked */
};

/* Gives an index into list, or -1: none may be asked. */
int choice_make(enum upstream_policy policy, enum choice_purpose purpose, const struct candidate *list,
                size_t count, struct rng *rng, uint64_t now_us);

#endif
