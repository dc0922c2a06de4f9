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

/* Counters that divide one thing among them are one family. */
static const struct {
	enum stats_counter counter;
	const char        *series;
} labelled[] = {
	{ STATS_STALE_WAIT, "stale_answers_total{reason=\"wait\"}" },
	{ STATS_STALE_FAILED, "stale_answers_total{reason=\"failed\"}" },
	{ STATS_STALE_HELD, "stale_answers_total{reason=\"held\"}" },
	{ STATS_STALE_DOWN, "stale_answers_total{reason=\"down\"}" },
	{ STATS_STALE_REFRESH, "stale_answers_total{reason=\"refresh\"}" },
	{ STATS_STALE_OVERLOAD, "stale_answers_total{reason=\"overload\"}" },
	{ STATS_PREFETCH_HIT, "prefetches_total{by=\"hit\"}" },
	{ STATS_PREFETCH_TIMER, "prefetches_total{by=\"timer\"}" },
	{ STATS_PREFETCH_EXPIRY, "prefetches_total{by=\"expiry\"}" },
	{ STATS_PREFETCH_GAINED, "prefetch_results_total{result=\"gained\"}" },
	{ STATS_PREFETCH_USELESS, "prefetch_results_total{result=\"useless\"}" },
	{ STATS_PREFETCH_FAILED, "prefetch_results_total{result=\"failed\"}" },
};

static void counter_series(char *out, size_t size, unsigned c)
{
	snprintf(out, size, "%s_total", stats_counter_rows[c].name);
	for (size_t i = 0; i < sizeof labelled / sizeof *labelled; i++)
		if (labelled[i].counter == c)
			snprintf(out, size, "%s", labelled[i].series);
}

/* Every row of the tables of stats.h, with its value, in the form of its table. */
static void test_every_row(void **state)
{
	struct fake_control fake;
	struct http_sight   s = fake_sight(&fake);
	size_t              len;
	char               *text, line[256], series[128];

	(void)state;
	for (unsigned i = 0; i < STATS_COUNTERS; i++)
		s.stats.counter[i] = 1000 + i;
	for (unsigned i = 0; i < OUTCOMES; i++)
		s.stats.outcome[i] = 2000 + i;
	for (unsigned i = 0; i < UPSTREAM_COUNTERS; i++)
		s.upstreams[0].stats.counter[i] = 3000 + i;
	s.upstreams[0].stats.handshake.total = 4;
	s.upstreams[0].stats.resumption.total = 5;
	s.upstreams[0].stats.first_octet.total = 6;
	s.upstreams[0].name = "a";
	text = metrics_write(&s, METRICS_TEXT, &len);
	assert_non_null(text);
	for (unsigned i = 0; i < STATS_COUNTERS; i++) {
		counter_series(series, sizeof series, i);
		snprintf(line, sizeof line, "larder_%s %u", series, 1000 + i);
		has(text, line);
	}
	for (unsigned i = 0; i < OUTCOMES; i++) {
		snprintf(line, sizeof line, "larder_queries_total{outcome=\"%s\"} %u", stats_outcome_rows[i].name,
		         2000 + i);
		has(text, line);
	}
	for (unsigned i = 0; i < UPSTREAM_COUNTERS; i++) {
		const char *name = stats_upstream_rows[i].name, *check = "certificate_";
		bool        failure = i >= UPSTREAM_TIMEOUT && i <= UPSTREAM_MALFORMED;

		if (!strncmp(name, check, strlen(check)))
			snprintf(line, sizeof line,
			         "larder_upstream_certificate_failures_total{upstream=\"a\",check=\"%s\"} %u",
			         name + strlen(check), 3000 + i);
		else
			snprintf(line, sizeof line,
			         failure ? "larder_upstream_failures_total{upstream=\"a\",reason=\"%s\"} %u" :
			                   "larder_upstream_%s_total{upstream=\"a\"} %u", name, 3000 + i);
		has(text, line);
	}
	has(text, "larder_upstream_handshake_duration_seconds_count{upstream=\"a\"} 4");
	has(text, "larder_upstream_resumption_duration_seconds_count{upstream=\"a\"} 5");
	has(text, "larder_upstream_first_octet_duration_seconds_count{upstream=\"a\"} 6");
	free(text);
	http_sight_done(&s);
}

/* A family is told of once, however many series it has. */
static void test_families_are_whole(void **state)
{
	struct fake_control fake;
	struct http_sight   s = fake_sight(&fake);
	size_t              len;
	char               *text = metrics_write(&s, METRICS_TEXT, &len);
	const char         *end;

	(void)state;
	assert_non_null(text);
	for (char *p = strstr(text, "# TYPE "); p; p = strstr(p + 1, "# TYPE ")) {
		char line[128];

		end = strchr(p + 7, ' ');
		snprintf(line, sizeof line, "%.*s", (int)(end + 1 - p), p);
		if (strstr(p + 1, line))
			fail_msg("twice: %s", line);
	}
	free(text);
	http_sight_done(&s);
}

static void has_state(const char *text, const char *current)
{
	static const char *const states[] = { "good", "suspect", "open", "up", "down" };
	char                     line[128];

	for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
		snprintf(line, sizeof line, "larder_upstream_state{upstream=\"a\",state=\"%s\"} %d", states[i],
		         !strcmp(states[i], current));
		has(text, line);
	}
}

/* One state at a time; an order outweighs what was found. */
static void test_states(void **state)
{
	static const struct {
		enum health_order order;
		enum health_state found;
		const char       *state;
	} rows[] = {
		{ HEALTH_AUTO, HEALTH_GOOD, "good" },    { HEALTH_AUTO, HEALTH_SUSPECT, "suspect" },
		{ HEALTH_AUTO, HEALTH_OPEN, "open" },    { HEALTH_UP, HEALTH_OPEN, "up" },
		{ HEALTH_DOWN, HEALTH_GOOD, "down" },
	};
	struct fake_control fake;
	struct http_sight   s = fake_sight(&fake);

	(void)state;
	s.upstreams[0].name = "a";
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		size_t len;
		char  *text;

		s.upstreams[0].health.order = rows[i].order;
		s.upstreams[0].health.own_state = rows[i].found;
		text = metrics_write(&s, METRICS_TEXT, &len);
		assert_non_null(text);
		has_state(text, rows[i].state);
		free(text);
	}
	http_sight_done(&s);
}

/* What was learnt of an upstream, and its changes; times that are not known have no series. */
static void test_health(void **state)
{
	struct fake_control fake;
	struct http_sight   s = fake_sight(&fake);
	size_t              len;
	char               *text;

	(void)state;
	s.upstreams[0].name = "a";
	s.upstreams[1].name = "b";
	s.upstreams[0].health.hedge_us = 24001;
	s.upstreams[0].health.timeout_us = 1360000;
	s.upstreams[1].health.hedge_us = 0;
	s.upstreams[0].health.transitions[HEALTH_OPEN][HEALTH_NO_ROUTE] = 4;
	s.upstreams[0].health.transitions[HEALTH_GOOD][HEALTH_SILENT] = 5;
	text = metrics_write(&s, METRICS_TEXT, &len);
	assert_non_null(text);
	has(text, "larder_upstream_hedge_seconds{upstream=\"a\"} 0.024001");
	has(text, "larder_upstream_timeout_seconds{upstream=\"a\"} 1.360000");
	assert_null(strstr(text, "larder_upstream_hedge_seconds{upstream=\"b\"}"));
	has(text, "larder_upstream_breaker_transitions_total{upstream=\"a\",to=\"open\",reason=\"no-route\"} 4");
	has(text, "larder_upstream_breaker_transitions_total{upstream=\"a\",to=\"good\",reason=\"silent\"} 5");
	has(text, "larder_upstream_breaker_transitions_total{upstream=\"a\",to=\"suspect\",reason=\"closed\"} 0");
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
		cmocka_unit_test(test_families_are_whole),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_health),
		cmocka_unit_test(test_labels_are_escaped),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
