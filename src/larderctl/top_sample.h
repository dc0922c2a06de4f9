/* top_sample.h - what larderd said of itself at one moment, as plain numbers.
 *
 * Counters count from its start, so what happened lately is the difference of
 * two samples over the time between them.  That time is measured here, not
 * taken for granted.
 */
#ifndef LARDER_LARDERCTL_TOP_SAMPLE_H
#define LARDER_LARDERCTL_TOP_SAMPLE_H

#include "stats/stats.h"

#include <jansson.h>
#include <stdbool.h>

#define TOP_TEXT       160
#define TOP_SLOW_MAX   64		/* of slow queries; no screen shows more */
#define TOP_MINUTE_US  UINT64_C(60000000)
#define TOP_SAMPLES    128		/* kept; more than a minute at the shortest interval */

struct top_upstream {
	char                  name[TOP_TEXT];
	char                  state[16];	/* as larderd calls it */
	char                  why[TOP_TEXT];	/* what is held against it, while it is not good; "" */
	uint64_t              counter[UPSTREAM_COUNTERS];
	struct histogram_view exchange;
};

struct top_slow {
	uint64_t time_ms;			/* when it was answered, since 1970 */
	uint64_t duration_us;
	char     name[TOP_TEXT];		/* "": not for us */
	char     type[16];
	char     reason[2 * TOP_TEXT];
};

struct top_sample {
	uint64_t at_us;				/* of CLOCK_MONOTONIC */
	uint64_t time_ms;			/* the same since 1970 */
	char     version[32];
	uint64_t uptime_s, workers;
	char     health[16], complaint[TOP_TEXT];	/* of the worst check; "" when all is well */
	uint64_t outcome[OUTCOMES], queries;
	struct histogram_view answers;		/* of every outcome */
	uint64_t flights, waiting, tcp_clients;
	uint64_t cache_entries, cache_negative, cache_octets, cache_size, cache_evicted, cache_stored;
	struct top_upstream *upstreams;		/* owned */
	size_t               upstream_count;
	bool                 slow_known;	/* does this larderd keep a list? */
	uint64_t             slow_over_us;
	struct top_slow     *slow;		/* owned; newest first */
	size_t               slow_count;
};

/* The replies to what is asked for a sample; NULL: that is not known to this larderd. */
struct top_replies {
	const json_t *status, *stats, *upstreams, *health, *latencies, *slow;
};

struct top_sample *top_sample_new(const struct top_replies *r, uint64_t at_us, uint64_t time_ms);
void               top_sample_free(struct top_sample *s);	/* NULL is fine */

/* What happened between two samples of the same run of larderd. */
struct top_delta {
	double                seconds;		/* 0: nothing is known, and all numbers are 0 */
	uint64_t              outcome[OUTCOMES], queries, evicted, stored;
	struct histogram_view answers;
};
struct top_upstream_delta {
	uint64_t              counter[UPSTREAM_COUNTERS];
	struct histogram_view exchange;
};

/* then may be NULL. */
void top_between(const struct top_sample *now, const struct top_sample *then, struct top_delta *out);
/* Of an upstream of the later sample; one that was not there, or began to count anew, has counted from 0. */
void top_upstream_between(const struct top_upstream *now, const struct top_sample *then,
			  struct top_upstream_delta *out);

/* The samples of the last minute: the first is the youngest that is a minute old, or else the oldest there is. */
struct top_history {
	struct top_sample *at[TOP_SAMPLES];	/* owned */
	size_t             count;
};

/* Takes s.  Samples from before a restart of larderd, which have nothing to do with s, go. */
void                     top_history_add(struct top_history *h, struct top_sample *s);
void                     top_history_clear(struct top_history *h);
const struct top_sample *top_history_now(const struct top_history *h);		/* NULL: none yet */
const struct top_sample *top_history_before(const struct top_history *h);	/* NULL: there is one at most */
const struct top_sample *top_history_minute(const struct top_history *h);	/* the same */

#endif
