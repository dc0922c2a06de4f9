/* test_stats.c - counters have names, and sums over workers are sums. */
#include "unit.h"

#include "stats/stats.h"

#include <ctype.h>

static void check_rows(const struct stats_row *rows, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		assert_non_null(rows[i].name);
		assert_non_null(rows[i].help);
		assert_true(rows[i].name[0] && rows[i].help[0]);
		for (const char *c = rows[i].name; *c; c++)
			assert_true(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_');
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(rows[i].name, rows[k].name);
	}
}

/* Every counter has a row: whoever walks the rows shows all there are. */
static void test_rows(void **state)
{
	(void)state;
	check_rows(stats_outcome_rows, OUTCOMES);
	check_rows(stats_counter_rows, STATS_COUNTERS);
	check_rows(stats_upstream_rows, UPSTREAM_COUNTERS);
}

static void test_sums(void **state)
{
	static struct stats      workers[3];
	static struct stats_view v;
	uint64_t                 queries = 0;

	(void)state;
	for (unsigned w = 0; w < 3; w++) {
		for (unsigned i = 0; i < STATS_COUNTERS; i++)
			stats_bump(&workers[w].counter[i], 10 * i + w);
		for (unsigned i = 0; i < OUTCOMES; i++) {
			stats_bump(&workers[w].outcome[i], i + 1);
			histogram_add(&workers[w].answer[i], 100, i + 1);
			queries += i + 1;
		}
		stats_set(&workers[w].flights_now, 99);
		stats_set(&workers[w].flights_now, 5);
		stats_set(&workers[w].waiting_now, 6);
		stats_set(&workers[w].tcp_clients_now, 7);
	}
	stats_count(&workers[1], STATS_SERVFAIL);
	for (unsigned w = 0; w < 3; w++)
		stats_read(&workers[w], &v);
	for (unsigned i = 0; i < STATS_COUNTERS; i++)
		assert_int_equal(v.counter[i], 30 * i + 3 + (i == STATS_SERVFAIL));
	for (unsigned i = 0; i < OUTCOMES; i++) {
		assert_int_equal(v.outcome[i], 3 * (i + 1));
		assert_int_equal(v.answer[i].total, 3 * (i + 1));
		assert_int_equal(v.answer[i].sum_us, 300 * (i + 1));
	}
	assert_int_equal(v.queries, queries);
	assert_int_equal(v.flights_now, 15);
	assert_int_equal(v.waiting_now, 18);
	assert_int_equal(v.tcp_clients_now, 21);
}

static void test_upstream_sums(void **state)
{
	static struct stats_upstream      workers[2];
	static struct stats_upstream_view v;

	(void)state;
	for (unsigned w = 0; w < 2; w++) {
		for (unsigned i = 0; i < UPSTREAM_COUNTERS; i++)
			stats_bump(&workers[w].counter[i], i + w);
		histogram_add(&workers[w].exchange, 1000, 2);
		histogram_add(&workers[w].connect, 2000, 1);
		stats_upstream_read(&workers[w], &v);
	}
	for (unsigned i = 0; i < UPSTREAM_COUNTERS; i++)
		assert_int_equal(v.counter[i], 2 * i + 1);
	assert_int_equal(v.exchange.total, 4);
	assert_int_equal(v.connect.total, 2);
	assert_int_equal(v.connect.sum_us, 4000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_upstream_sums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
