/* tally.c - a histogram with 32 steps per doubling, and its quantiles. */
#include "tally.h"

static unsigned tally_bucket(uint64_t ns)
{
	if (ns < TALLY_STEPS)
		return (unsigned)ns;
	unsigned top = 63u - (unsigned)__builtin_clzll(ns);	/* 5 or more */
	unsigned i = (top - 4) * TALLY_STEPS + (unsigned)(ns >> (top - 5)) - TALLY_STEPS;
	return i < TALLY_BUCKETS ? i : TALLY_BUCKETS - 1;
}

static uint64_t tally_bucket_end(unsigned i)
{
	if (i < TALLY_STEPS)
		return i;
	unsigned shift = i / TALLY_STEPS - 1;
	return ((uint64_t)(i % TALLY_STEPS + TALLY_STEPS + 1) << shift) - 1;
}

void tally_latency(struct tally *t, uint64_t ns)
{
	t->buckets[tally_bucket(ns)]++;
	t->sum_ns += ns;
	if (ns > t->max_ns)
		t->max_ns = ns;
}

uint64_t tally_quantile_ns(const struct tally *t, double q)
{
	uint64_t total = 0, seen = 0;

	for (unsigned i = 0; i < TALLY_BUCKETS; i++)
		total += t->buckets[i];
	for (unsigned i = 0; i < TALLY_BUCKETS && total; i++) {
		seen += t->buckets[i];
		if ((double)seen >= q * (double)total) {
			uint64_t end = tally_bucket_end(i);
			return end < t->max_ns ? end : t->max_ns;
		}
	}
	return 0;
}

uint64_t tally_answered(const struct tally *t)
{
	uint64_t n = 0;

	for (int v = 0; v < QUERY_VERDICTS; v++)
		if (v != QUERY_NO_REPLY)
			n += t->replies[v];
	return n;
}
