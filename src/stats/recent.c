/* recent.c - weights that fade. */
#include "stats/recent.h"

#include <math.h>

#define FADE_STEP_US   UINT64_C(1000000)	/* finer steps change nothing that shows */
#define TOTAL_SMALLEST 1e-3f			/* so that long silence leaves the proportions as they are */

static void recent_scale(struct recent *r, float by)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		r->weight[i] *= by;
	r->total *= by;
}

static void recent_fade(struct recent *r, uint64_t now_us)
{
	uint64_t passed_us = now_us > r->faded_us ? now_us - r->faded_us : 0;	/* owners' clocks may be out of step */
	float    by;

	if (passed_us < FADE_STEP_US)
		return;
	r->faded_us = now_us;
	by = exp2f(-(float)passed_us / (float)RECENT_HALFLIFE_US);
	if (r->total > 0 && r->total * by < TOTAL_SMALLEST)
		by = TOTAL_SMALLEST / r->total;
	recent_scale(r, by);
}

void recent_add(struct recent *r, uint64_t us, uint64_t now_us)
{
	recent_fade(r, now_us);
	if (r->total > RECENT_SAMPLES - 1)
		recent_scale(r, (RECENT_SAMPLES - 1) / r->total);
	r->weight[histogram_bucket(us)] += 1;
	r->total += 1;
	if (now_us > r->last_us)
		r->last_us = now_us;
}

/* Within a bucket samples are taken to lie evenly. */
static uint64_t recent_within(unsigned bucket, float part)
{
	uint64_t lower = histogram_lower_us(bucket);

	if (bucket == HISTOGRAM_BUCKETS - 1)
		return lower;
	return lower + (uint64_t)(part * (float)(histogram_upper_us(bucket) - lower));
}

uint64_t recent_quantile_us(const struct recent *r, double q)
{
	float    below = 0, wanted = (float)q * r->total, part = 0;
	unsigned last = 0;

	if (r->total <= 0)
		return 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (r->weight[i] <= 0)
			continue;
		last = i;
		part = (wanted - below) / r->weight[i];
		below += r->weight[i];
		if (below >= wanted)
			break;
	}
	return recent_within(last, part < 1 ? part : 1);
}
