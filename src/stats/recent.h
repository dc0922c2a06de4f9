/* recent.h - quantiles of what was measured lately.
 *
 * The same buckets as a histogram, with weights that fade: each new sample
 * takes a little from all older ones, and so does time.  What was slow an hour
 * ago is not slow now, and a change shows after some fifty samples.
 *
 * One owner, or a lock around it.
 */
#ifndef LARDER_STATS_RECENT_H
#define LARDER_STATS_RECENT_H

#include "stats/histogram.h"

#define RECENT_SAMPLES     200.0f	/* older ones than about so many count for little */
#define RECENT_HALFLIFE_US UINT64_C(30000000)

struct recent {
	float    weight[HISTOGRAM_BUCKETS];
	float    total;
	uint64_t faded_us;		/* CLOCK_MONOTONIC: up to here time has taken its part */
	uint64_t last_us;		/* of the newest sample; 0: there was none */
};

void recent_add(struct recent *r, uint64_t us, uint64_t now_us);
/* The q-quantile (0 < q <= 1), read off within its bucket; 0: nothing was ever measured.  However old the
 * samples are: without newer ones they are the best there is. */
uint64_t recent_quantile_us(const struct recent *r, double q);

#endif
