/* histogram.c - reading log-linear histograms. */
#include "stats/histogram.h"

void histogram_read(const struct histogram *h, struct histogram_view *into)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t n = atomic_load_explicit(&h->count[i], memory_order_relaxed);

		into->count[i] += n;
		into->total += n;
	}
	into->sum_us += atomic_load_explicit(&h->sum_us, memory_order_relaxed);
}

uint64_t histogram_lower_us(unsigned bucket)
{
	unsigned e = (bucket - 1) / 4 + 4, part = (bucket - 1) % 4;

	if (bucket == 0)
		return 0;
	return (UINT64_C(4) + part) << (e - 2);
}

uint64_t histogram_upper_us(unsigned bucket)
{
	return bucket >= HISTOGRAM_BUCKETS - 1 ? UINT64_MAX : histogram_lower_us(bucket + 1);
}

uint64_t histogram_quantile_us(const struct histogram_view *v, double q)
{
	uint64_t seen = 0, want = (uint64_t)((double)v->total * q + 0.999999);
	unsigned i = 0;

	if (!v->total)
		return 0;
	if (want < 1)
		want = 1;
	if (want > v->total)
		want = v->total;
	while (i < HISTOGRAM_BUCKETS - 1 && (seen += v->count[i]) < want)
		i++;
	if (i == HISTOGRAM_BUCKETS - 1)
		return histogram_lower_us(i);
	return (histogram_lower_us(i) + histogram_upper_us(i)) / 2;
}

uint64_t histogram_below(const struct histogram_view *v, uint64_t us)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS && histogram_upper_us(i) <= us; i++)
		n += v->count[i];
	return n;
}
