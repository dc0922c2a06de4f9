/* histogram.h - latencies in log-linear buckets.
 *
 * Four buckets to a power of two from 16 µs to 32 s, one below and one above:
 * a value is known to within 12.5 %, in 86 counters.  A histogram has one
 * writer; readers on other threads may see a sum that is a few samples old.
 */
#ifndef LARDER_STATS_HISTOGRAM_H
#define LARDER_STATS_HISTOGRAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS 86

struct histogram {
	_Atomic uint64_t count[HISTOGRAM_BUCKETS];
	_Atomic uint64_t sum_us;
};

/* What readers work on: plain numbers, sums over workers. */
struct histogram_view {
	uint64_t count[HISTOGRAM_BUCKETS];
	uint64_t total;
	uint64_t sum_us;
};

static inline unsigned histogram_bucket(uint64_t us)
{
	unsigned e;

	if (us < 16)
		return 0;
	if (us >= UINT64_C(1) << 25)		/* 33.5 s */
		return HISTOGRAM_BUCKETS - 1;
	e = 63 - (unsigned)__builtin_clzll(us);
	return 1 + (e - 4) * 4 + ((unsigned)(us >> (e - 2)) & 3);
}

/* Adds n samples of us; only the owner calls this. */
static inline void histogram_add(struct histogram *h, uint64_t us, uint64_t n)
{
	_Atomic uint64_t *c = &h->count[histogram_bucket(us)];

	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
	atomic_store_explicit(&h->sum_us,
	                      atomic_load_explicit(&h->sum_us, memory_order_relaxed) + us * n,
	                      memory_order_relaxed);
}

void     histogram_read(const struct histogram *h, struct histogram_view *into);	/* adds to into */
uint64_t histogram_lower_us(unsigned bucket);		/* inclusive */
uint64_t histogram_upper_us(unsigned bucket);		/* exclusive upper bound; the last: UINT64_MAX */
/* The middle of the bucket that holds the q-quantile (0 < q <= 1); 0 when empty. */
uint64_t histogram_quantile_us(const struct histogram_view *v, double q);
/* How many samples lie below us (us should be a bucket bound). */
uint64_t histogram_below(const struct histogram_view *v, uint64_t us);

#endif
