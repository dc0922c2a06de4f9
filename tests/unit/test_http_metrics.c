/* test_http_metrics.c - what Prometheus reads is what was counted. */
#include "unit.h"

#include "alloc_fail.h"
#include "control/http_metrics.h"
#include "control/http_sight.h"
#include "fake_control.h"

static struct http_sight fake_sight(struct fake_control *fake)
{
	struct control_ops ops;
	struct http_sight  s;

	fake_control_init(fake, &ops);
	assert_int_equal(http_sight_take(&s, &ops), 0);
	return s;
}

static void has(const char *text, const char *line)
{
	char whole[256];

	snprintf(whole, sizeof whole, "\n%s\n", line);
	if (!strstr(text, whole))
		fail_msg("no line \"%s\" in:\n%s", line, text);
}

/* Samples in known fine buckets: whole ones below a bound count, those across it by their share. */
static void test_buckets(void **state)
{
	struct fake_control fake;
	struct http_sight   s = fake_sight(&fake);
	struct histogram    h = { .sum_us = 0 };
	size_t              len;
	char               *text;

	(void)state;
	histogram_add(&h, 10, 1);
	histogram_add(&h, 50, 8);		/* [48, 56): two of eight octants lie below 50 */
	histogram_add(&h, 900, 1);
	histogram_add(&h, 60000000, 1);		/* beyond all buckets */
	memset(&s.stats, 0, sizeof s.stats);
	histogram_read(&h, &s.stats.answer[OUTCOME_HIT]);
	text = metrics_write(&s, METRICS_TEXT, &len);
	assert_non_null(text);
	assert_int_equal(strlen(text), len);
	has(text, "larder_answer_duration_seconds_bucket{outcome=\"hit\",le=\"5e-05\"} 3");
	has(text, "larder_answer_duration_seconds_bucket{outcome=\"hit\",le=\"0.0001\"} 9");
	has(text, "larder_answer_duration_seconds_bucket{outcome=\"hit\",le=\"0.0005\"} 9");
	has(text, "larder_answer_duration_seconds_bucket{outcome=\"hit\",le=\"0.0025\"} 10");
	has(text, "larder_answer_duration_seconds_bucket{outcome=\"hit\",le=\"10.0\"} 10");
	has(text, "larder_answer_duration_seconds_bucket{outcome=\"hit\",le=\"+Inf\"} 11");
	has(text, "larder_answer_duration_seconds_count{outcome=\"hit\"} 11");
	has(text, "larder_answer_duration_seconds_sum{outcome=\"hit\"} 60.001310");
	free(text);
	http_sight_done(&s);
}

/* Whatever was counted, buckets never fall from one bound to the next, and do not pass the count. */
static void test_buckets_rise(void **state)
{
	struct fake_control fake;
	struct http_sight   s = fake_sight(&fake);

	(void)state;
	for (struct dice d = dice_first(200); d.left; dice_next(&d)) {
		struct histogram h = { .sum_us = 0 };
		uint64_t         before = 0, n;
		size_t           len;
		char            *text;

		for (unsigned i = 0; i < 30; i++)
			histogram_add(&h, dice_magnitude(&d, 26), dice_magnitude(&d, 30));
		memset(&s.stats, 0, sizeof s.stats);
		histogram_read(&h, &s.stats.answer[OUTCOME_MISS]);
		text = metrics_write(&s, METRICS_OPEN, &len);
		holds(&d, text);
		for (char *p = strstr(text, "bucket{outcome=\"miss\""); p; p = strstr(p + 1, "bucket{outcome=\"miss\"")) {
			n = strtoull(strchr(p, '}') + 1, NULL, 10);
			holds(&d, n >= before);
			before = n;
		}
		holds(&d, before == s.stats.answer[OUTCOME_MISS].total);
		free(text);
	}
	http_sight_done(&s);
}

/* Every row of the tables of stats.h, with its value, in the form of its table. */
static void test_every_row(void **state)
{
	struct fake_control fake;
	struct http_sight   s = fake_sight(&fake);
	size_t              len;
	char               *text, line[256];

	(void)state;
	for (unsigned i = 0; i < STATS_COUNTERS; i++)
		s.stats.counter[i] = 1000 + i;
	for (unsigned i = 0; i < OUTCOMES; i++)
		s.stats.outcome[i] = 2000 + i;
	for (unsigned i = 0; i < UPSTREAM_COUNTERS; i++)
		s.upstreams[0].stats.counter[i] = 3000 + i;
	s.upstreams[0].stats.handshake.total = 4;
	s.upstreams[0].stats.resumption.total = 5;
	s.upstreams[0].name = "a";
	text = metrics_write(&s, METRICS_TEXT, &len);
	assert_non_null(text);
	for (unsigned i = 0; i < STATS_COUNTERS; i++) {
		snprintf(line, sizeof line, "larder_%s_total %u", stats_counter_rows[i].name, 1000 + i);
		has(text, line);
	}
	for (unsigned i = 0; i < OUTCOMES; i++) {
		snprintf(line, sizeof line, "larder_queries_total{outcome=\"%s\"} %u", stats_outcome_rows[i].name,
		         2000 + i);
		has(text, line);
	}
	for (unsigned i = 0; i < UPSTREAM_COUNTERS; i++) {
		bool failure = i >= UPSTREAM_TIMEOUT && i <= UPSTREAM_MALFORMED;

		snprintf(line, sizeof line,
		         failure ? "larder_upstream_failures_total{upstream=\"a\",reason=\"%s\"} %u" :
		                   "larder_upstream_%s_total{upstream=\"a\"} %u",
		         stats_upstream_rows[i].name, 3000 + i);
		has(text, line);
	}
	has(text, "larder_upstream_handshake_duration_seconds_count{upstream=\"a\"} 4");
	has(text, "larder_upstream_resumption_duration_seconds_count{upstream=\"a\"} 5");
	free(text);
	http_sight_done(&s);
}

static void test_labels_are_escaped(void **state)
{
	struct fake_control fake;
	struct http_sight   s = fake_sight(&fake);
	size_t              len;
	char               *text;

	(void)state;
	s.upstreams[0].name = "a\"\\\nb";
	text = metrics_write(&s, METRICS_TEXT, &len);
	assert_non_null(text);
	assert_non_null(strstr(text, "larder_upstream_sent_total{upstream=\"a\\\"\\\\\\nb\"} "));
	free(text);
	http_sight_done(&s);
}

static bool run_take_and_keep(void *arg)
{
	struct http_sight s;

	if (http_sight_take(&s, arg) < 0 || http_sight_keep(&s) < 0)
		return false;
	http_sight_done(&s);
	return true;
}

static void test_memory(void **state)
{
	struct fake_control fake;
	struct control_ops  ops;

	(void)state;
	fake_control_init(&fake, &ops);
	assert_true(alloc_fail_each(run_take_and_keep, &ops) > fake.upstream_count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_buckets_rise),
		cmocka_unit_test(test_every_row),
		cmocka_unit_test(test_labels_are_escaped),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
