/* tally.h - what happened to the queries of one run, and how long they took. */
#ifndef BENCH_TALLY_H
#define BENCH_TALLY_H

#include <stdint.h>

#include "query.h"

enum {
	TALLY_STEPS = 32,			/* per doubling: 3 % wide at most */
	TALLY_BUCKETS = 40 * TALLY_STEPS,	/* up to 2^40 ns, 18 minutes */
};

struct tally {
	uint64_t sent;
	uint64_t replies[QUERY_VERDICTS];	/* by verdict; QUERY_GOOD are the answered ones */
	uint64_t lost;		/* no reply within the time-out */
	uint64_t late;		/* replies that fit no query still waiting */
	uint64_t held;		/* most queries behind the rate for want of a free slot */
	uint64_t refused;	/* sends that failed */
	uint64_t dropped;	/* replies the kernel dropped at our own sockets */
	uint64_t reconnects;	/* TCP connections opened again */
	uint64_t max_ns;
	uint64_t sum_ns;
	uint64_t took_ns;	/* first send to last reply */
	uint32_t buckets[TALLY_BUCKETS];
};

void tally_latency(struct tally *t, uint64_t ns);
uint64_t tally_quantile_ns(const struct tally *t, double q);	/* upper edge of the bucket */
uint64_t tally_answered(const struct tally *t);	/* replies of every verdict but QUERY_NO_REPLY */

#endif
