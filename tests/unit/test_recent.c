/* test_recent.c - quantiles that fade: what was measured lately counts, and what was measured long ago does only
 * as long as there is nothing newer. */
#include "unit.h"

#include "stats/recent.h"

#define SECOND UINT64_C(1000000)
#define BEGIN  (1000 * SECOND)
#define FEW    199		/* so many samples count alike */

static void add_many(struct recent *r, unsigned n, uint64_t us, uint64_t now_us)
{
	while (n--)
		recent_add(r, us, now_us);
}

static bool is_about(uint64_t got_us, uint64_t us)
{
	return histogram_bucket(got_us) == histogram_bucket(us) || got_us == histogram_upper_us(histogram_bucket(us));
}

static void test_nothing(void **state)
{
	struct recent r = { 0 };

	(void)state;
	assert_int_equal(recent_quantile_us(&r, 0.5), 0);
	assert_int_equal(recent_quantile_us(&r, 1), 0);
	assert_int_equal(r.last_us, 0);
	recent_add(&r, 20000, BEGIN);
	assert_int_equal(r.last_us, BEGIN);
	assert_true(is_about(recent_quantile_us(&r, 0.01), 20000));
	assert_true(is_about(recent_quantile_us(&r, 1), 20000));
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Before anything fades a quantile lies in the bucket of the sorted samples' own, or at its edge. */
static void test_against_sorted(void **state)
{
	(void)state;
	for (struct dice d = dice_first(200); d.left; dice_next(&d)) {
		struct recent r = { 0 };
		uint64_t      samples[FEW];
		unsigned      n = 1 + (unsigned)dice_below(&d, FEW);

		for (unsigned i = 0; i < n; i++) {
			samples[i] = dice_magnitude(&d, 26);
			recent_add(&r, samples[i], BEGIN + i);
		}
		qsort(samples, n, sizeof *samples, by_value);
		for (unsigned percent = 1; percent <= 100; percent++) {
			uint64_t us = recent_quantile_us(&r, percent / 100.0);
			unsigned at = percent * n / 100;	/* whole ranks: floats may say either side of one */
			unsigned low = histogram_bucket(samples[at ? at - 1 : 0]);
			unsigned high = histogram_bucket(samples[at < n ? at : n - 1]);

			holds(&d, us >= histogram_lower_us(low));
			holds(&d, us <= histogram_upper_us(high));
		}
	}
}

/* Whatever comes in whatever time: weights stay sums, bounded, and quantiles in order and among the samples. */
static void test_always(void **state)
{
	(void)state;
	for (struct dice d = dice_first(100); d.left; dice_next(&d)) {
		struct recent r = { 0 };
		uint64_t      now_us = dice_magnitude(&d, 50), least = UINT64_MAX, most = 0;

		for (unsigned i = 0; i < 1000; i++) {
			uint64_t us = dice_magnitude(&d, 25), last = 0;
			float    sum = 0;

			now_us += dice_magnitude(&d, dice_one_in(&d, 100) ? 52 : 21);
			recent_add(&r, us, now_us);
			least = us < least ? us : least;
			most = us > most ? us : most;
			for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++) {
				holds(&d, r.weight[b] >= 0);
				sum += r.weight[b];
			}
			holds(&d, sum > r.total * 0.99f && sum < r.total * 1.01f);
			holds(&d, r.total >= 1 && r.total < RECENT_SAMPLES + 0.1f);
			for (double q = 0.05; q < 1; q += 0.05) {
				uint64_t at = recent_quantile_us(&r, q);

				holds(&d, at >= last);
				last = at;
			}
			holds(&d, recent_quantile_us(&r, 0.001) >= histogram_lower_us(histogram_bucket(least)));
			holds(&d, last <= histogram_upper_us(histogram_bucket(most)));
		}
	}
}

/* A change shows after some fifty samples: in the 99th of a hundred at once, in the middle after 140. */
static void test_change(void **state)
{
	struct recent r = { 0 };

	(void)state;
	add_many(&r, 1000, 20000, BEGIN);
	add_many(&r, 5, 400000, BEGIN);
	assert_true(is_about(recent_quantile_us(&r, 0.99), 400000));
	assert_true(is_about(recent_quantile_us(&r, 0.75), 20000));
	add_many(&r, 60, 400000, BEGIN);
	assert_true(is_about(recent_quantile_us(&r, 0.75), 400000));
	assert_true(is_about(recent_quantile_us(&r, 0.5), 20000));
	add_many(&r, 90, 400000, BEGIN);
	assert_true(is_about(recent_quantile_us(&r, 0.5), 400000));
}

/* Half of the weight is gone after 30 s: fewer newer samples outweigh it. */
static void test_half_life(void **state)
{
	static const struct { unsigned wait_s, newer; bool changed; } cases[] = {
		{ 0, 90, false }, { 0, 110, true }, { 30, 45, false }, { 30, 55, true }, { 60, 20, false },
		{ 60, 30, true }, { 300, 1, true },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct recent r = { 0 };

		add_many(&r, 80, 400000, BEGIN);
		add_many(&r, 20, 300000, BEGIN);
		add_many(&r, cases[i].newer, 20000, BEGIN + cases[i].wait_s * SECOND);
		assert_true(is_about(recent_quantile_us(&r, 0.49), 20000) == cases[i].changed);
	}
}

/* Whether time goes in small steps or in one: as much is left. */
static void test_steps(void **state)
{
	struct recent steps = { 0 }, leap = { 0 };
	unsigned      slow = histogram_bucket(400000);

	(void)state;
	add_many(&steps, 150, 400000, BEGIN);
	add_many(&leap, 150, 400000, BEGIN);
	for (unsigned i = 1; i <= 40; i++)	/* three quarters of a second: faded by every second one */
		recent_add(&steps, 20000, BEGIN + i * SECOND / 4 * 3);
	add_many(&leap, 40, 20000, BEGIN + 30 * SECOND);
	assert_true(leap.weight[slow] > 74.9f && leap.weight[slow] < 75.1f);
	assert_true(steps.weight[slow] > 74.9f && steps.weight[slow] < 75.1f);
}

/* Slow an hour ago is not slow now; without anything newer, an hour, a year or a century changes nothing. */
static void test_long_ago(void **state)
{
	static const uint64_t passed_s[] = { 3600, 31536000, UINT64_C(3153600000) };

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(passed_s); i++) {
		struct recent r = { 0 };
		uint64_t      p25, p75;

		add_many(&r, 100, 20000, BEGIN);
		add_many(&r, 100, 400000, BEGIN);
		p25 = recent_quantile_us(&r, 0.25);
		p75 = recent_quantile_us(&r, 0.75);
		assert_true(is_about(p25, 20000) && is_about(p75, 400000));
		recent_add(&r, 50, BEGIN + passed_s[i] * SECOND);
		assert_true(is_about(recent_quantile_us(&r, 0.01), 50));
		assert_true(is_about(recent_quantile_us(&r, 0.99), 50));
	}
}

/* Workers read their clocks before they take the lock: a sample may come a little out of order. */
static void test_out_of_order(void **state)
{
	struct recent r = { 0 };

	(void)state;
	add_many(&r, 100, 20000, BEGIN);
	recent_add(&r, 20000, BEGIN + 2 * SECOND);
	recent_add(&r, 900000, BEGIN + 2 * SECOND - 10);
	assert_true(is_about(recent_quantile_us(&r, 0.5), 20000));
	assert_int_equal(r.last_us, BEGIN + 2 * SECOND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_against_sorted),
		cmocka_unit_test(test_always),
		cmocka_unit_test(test_change),
		cmocka_unit_test(test_half_life),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_long_ago),
		cmocka_unit_test(test_out_of_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
