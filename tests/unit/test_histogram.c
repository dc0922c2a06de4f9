/* test_histogram.c - log-linear buckets: where a value lies, and what can be read from where they lie. */
#include "unit.h"

#include "stats/histogram.h"

#define SAMPLES 2000

/* Every value lies in one bucket, whose bounds hold it and are no further apart than promised. */
static void test_buckets(void **state)
{
	unsigned last = 0;

	(void)state;
	for (uint64_t us = 0; us < (UINT64_C(1) << 36); us += 1 + us / 400) {
		unsigned bucket = histogram_bucket(us);

		assert_in_range(bucket, last, last + 1);	/* none is left out, and none comes twice */
		assert_true(us < histogram_upper_us(bucket));
		if (bucket)
			assert_true(us >= histogram_upper_us(bucket - 1));
		if (bucket && bucket < HISTOGRAM_BUCKETS - 1) {
			uint64_t low = histogram_upper_us(bucket - 1), high = histogram_upper_us(bucket);

			assert_true((high - low) * 4 <= low);	/* a middle is within 12.5 % of all */
		}
		last = bucket;
	}
	assert_int_equal(last, HISTOGRAM_BUCKETS - 1);
	assert_int_equal(histogram_bucket(15), 0);
	assert_int_equal(histogram_bucket(16), 1);
	assert_int_equal(histogram_bucket((UINT64_C(1) << 25) - 1), HISTOGRAM_BUCKETS - 2);
	assert_int_equal(histogram_bucket(UINT64_C(1) << 25), HISTOGRAM_BUCKETS - 1);
	assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
	assert_true(histogram_upper_us(HISTOGRAM_BUCKETS - 1) == UINT64_MAX);
}

static void test_empty(void **state)
{
	struct histogram      h = { 0 };
	struct histogram_view v = { 0 };

	(void)state;
	histogram_read(&h, &v);
	assert_int_equal(v.total, 0);
	assert_int_equal(histogram_quantile_us(&v, 0.5), 0);
	assert_int_equal(histogram_below(&v, UINT64_MAX), 0);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* Quantiles against the sorted samples; several histograms read into one view are one. */
static void test_quantiles(void **state)
{
	static const double quantiles[] = { 0.0001, 0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0 };

	(void)state;
	for (struct dice d = dice_first(60); d.left; dice_next(&d)) {
		static struct histogram h[2];
		struct histogram_view   v = { 0 };
		uint64_t                samples[SAMPLES], sum = 0;
		unsigned                n = 0, want = 1 + (unsigned)dice_below(&d, SAMPLES);

		memset(h, 0, sizeof h);
		while (n < want) {
			uint64_t us = dice_magnitude(&d, 25);
			unsigned many = 1 + (unsigned)dice_below(&d, 5);

			many = many < want - n ? many : want - n;
			histogram_add(&h[dice_below(&d, 2)], us, many);
			for (; many; many--, sum += us)
				samples[n++] = us;
		}
		histogram_read(&h[0], &v);
		histogram_read(&h[1], &v);
		holds(&d, v.total == n && v.sum_us == sum);
		qsort(samples, n, sizeof *samples, by_value);
		for (size_t i = 0; i < COUNT_OF(quantiles); i++) {
			size_t   rank = (size_t)(quantiles[i] * n + 0.999999);
			uint64_t exact = samples[rank ? rank - 1 : 0], got = histogram_quantile_us(&v, quantiles[i]);

			/* one rank more or less is rounding; the value is within its bucket */
			holds(&d, distance(got, exact) * 8 <= exact + 128 ||
			          (rank > 1 && distance(got, samples[rank - 2]) * 8 <= exact + 128) ||
			          (rank < n && distance(got, samples[rank]) * 8 <= samples[rank] + 128));
		}
		for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b += 7) {
			uint64_t bound = histogram_upper_us(b), below = 0;

			for (unsigned i = 0; i < n; i++)
				below += samples[i] < bound;
			holds(&d, histogram_below(&v, bound) == below);
		}
	}
}

/* Few samples: the rank is rounded up, as everybody counts it. */
static void test_few(void **state)
{
	struct histogram      h = { 0 };
	struct histogram_view v = { 0 };

	(void)state;
	histogram_add(&h, 100, 1);
	histogram_add(&h, 10000, 1);
	histogram_add(&h, 1000000, 1);
	histogram_read(&h, &v);
	assert_in_range(histogram_quantile_us(&v, 0.001), 88, 112);
	assert_in_range(histogram_quantile_us(&v, 0.33), 88, 112);
	assert_in_range(histogram_quantile_us(&v, 0.34), 8800, 11200);
	assert_in_range(histogram_quantile_us(&v, 0.66), 8800, 11200);
	assert_in_range(histogram_quantile_us(&v, 0.67), 880000, 1120000);
	assert_in_range(histogram_quantile_us(&v, 1.0), 880000, 1120000);
}

/* What takes longer than can be told apart is still counted, and told as the longest. */
static void test_beyond(void **state)
{
	struct histogram      h = { 0 };
	struct histogram_view v = { 0 };

	(void)state;
	histogram_add(&h, UINT64_C(40000000), 3);
	histogram_read(&h, &v);
	assert_int_equal(histogram_quantile_us(&v, 0.5), UINT64_C(1) << 25);
	assert_int_equal(v.sum_us, 120000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_quantiles),
		cmocka_unit_test(test_few),
		cmocka_unit_test(test_beyond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
