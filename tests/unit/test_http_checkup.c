/* test_http_checkup.c - what counts as ill, on how much evidence, and for how long. */
#include "unit.h"

#include "control/http_checkup.h"
#include "fake_control.h"

struct fixture {
	struct fake_control fake;
	struct control_ops  ops;
	struct checkup      checkup;
};

/* A daemon that has been seen well, with one upstream that answers. */
static void begin(struct fixture *f)
{
	memset(f, 0, sizeof *f);
	fake_control_init(&f->fake, &f->ops);
	f->fake.status.trouble = NULL;
	memset(&f->fake.stats, 0, sizeof f->fake.stats);
	memset(f->fake.upstreams, 0, sizeof f->fake.upstreams);
	f->fake.upstreams[0].name = f->fake.upstreams[0].url = "udp://192.0.2.1:53";
	f->fake.upstreams[1].name = f->fake.upstreams[1].url = "udp://192.0.2.2:53";
	f->fake.upstream_count = 2;
	checkup_mark(&f->checkup, &f->ops);
	checkup_mark(&f->checkup, &f->ops);
}

static uint64_t *counter(struct fixture *f, unsigned upstream, enum upstream_counter c)
{
	return &f->fake.upstreams[upstream].stats.counter[c];
}

/* The state of one check, or of the whole: NULL.  Gone is what was in the last half to whole minute. */
static const char *look(struct fixture *f, const char *check)
{
	static char        out[32];
	struct http_sight  now;
	enum checkup_state state;
	json_t            *report, *item;
	size_t             i;

	assert_int_equal(http_sight_take(&now, &f->ops), 0);
	report = checkup_report(&f->checkup, &now, &state);
	http_sight_done(&now);
	assert_non_null(report);
	snprintf(out, sizeof out, "%s", json_string_value(json_object_get(report, "status")));
	json_array_foreach(json_object_get(report, "checks"), i, item)
		if (check && !strcmp(json_string_value(json_object_get(item, "name")), check))
			snprintf(out, sizeof out, "%s", json_string_value(json_object_get(item, "status")));
	json_decref(report);
	return out;
}

static struct health_view *health(struct fixture *f, unsigned upstream)
{
	return &f->fake.upstreams[upstream].health;
}

/* What the breaker found counts, whatever was ordered; only what was taken out of use is nobody's fault. */
static void test_states_of_upstreams(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	assert_string_equal(look(&f, NULL), "healthy");
	health(&f, 0)->own_state = HEALTH_SUSPECT;
	assert_string_equal(look(&f, "upstreams"), "degraded");
	health(&f, 0)->own_state = HEALTH_OPEN;
	assert_string_equal(look(&f, NULL), "degraded");	/* there is another */
	health(&f, 0)->order = HEALTH_UP;
	assert_string_equal(look(&f, NULL), "degraded");
	health(&f, 0)->order = HEALTH_DOWN;
	assert_string_equal(look(&f, NULL), "healthy");
	health(&f, 0)->order = HEALTH_AUTO;
	f.fake.status.trouble = "no upstream for . works";	/* the other is of no use to these names */
	assert_string_equal(look(&f, "upstreams"), "failing");
	assert_string_equal(look(&f, NULL), "failing");
	f.fake.status.trouble = NULL;
	health(&f, 0)->own_state = HEALTH_GOOD;
	assert_string_equal(look(&f, NULL), "healthy");
	checkup_done(&f.checkup);
}

static void check_detail(struct fixture *f, const char *check, const char *expected)
{
	struct http_sight  now;
	enum checkup_state state;
	json_t            *report, *item;
	size_t             i;

	assert_int_equal(http_sight_take(&now, &f->ops), 0);
	report = checkup_report(&f->checkup, &now, &state);
	http_sight_done(&now);
	json_array_foreach(json_object_get(report, "checks"), i, item)
		if (!strcmp(json_string_value(json_object_get(item, "name")), check))
			assert_string_equal(json_string_value(json_object_get(item, "detail")), expected);
	json_decref(report);
}

/* Whoever is called in wants to know which one it is; a name that is too long for that costs its name alone. */
static void test_details(void **state)
{
	struct fixture        f;
	struct histogram_view *v;
	char                  longest[600];

	(void)state;
	begin(&f);
	check_detail(&f, "upstreams", "0 of 2 in trouble");
	f.fake.upstreams[0].name = "office";
	health(&f, 0)->own_state = HEALTH_OPEN;
	*counter(&f, 1, UPSTREAM_TIMEOUT) = 3;
	check_detail(&f, "upstreams",
		     "2 of 2 in trouble: office does not answer, udp://192.0.2.2:53 is unreliable");
	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	f.fake.upstreams[1].name = longest;
	check_detail(&f, "upstreams", "2 of 2 in trouble: office does not answer");
	health(&f, 0)->reason = HEALTH_UNRESOLVED;
	check_detail(&f, "upstreams", "2 of 2 in trouble: office has no known address");
	health(&f, 0)->own_state = HEALTH_SUSPECT;
	check_detail(&f, "upstreams", "2 of 2 in trouble: office is suspect");
	v = &f.fake.stats.answer[OUTCOME_HIT];
	v->count[histogram_bucket(20)] = v->total = 1000;
	check_detail(&f, "latency", "p95 of 1000 answers: 0.022 ms; limit: 1000 ms");
	checkup_done(&f.checkup);
}

/* Which check a certificate failed is told, while it is what is wrong. */
static void test_faults(void **state)
{
	struct fixture     f;
	struct http_sight  now;
	enum checkup_state worst;
	json_t            *report;
	const char        *detail;

	(void)state;
	begin(&f);
	health(&f, 0)->own_state = HEALTH_OPEN;
	health(&f, 0)->fault = "certificate expired";
	assert_int_equal(http_sight_take(&now, &f.ops), 0);
	report = checkup_report_network(&f.checkup, &now, &worst);
	detail = json_string_value(json_object_get(report, "detail"));
	assert_non_null(strstr(detail, ": certificate expired"));
	assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(report, "upstreams"), 0),
	                                                      "fault")), "certificate expired");
	json_decref(report);
	http_sight_done(&now);
	health(&f, 0)->own_state = HEALTH_GOOD;		/* of another stream; it works */
	assert_int_equal(http_sight_take(&now, &f.ops), 0);
	report = checkup_report_network(&f.checkup, &now, &worst);
	assert_null(strstr(json_string_value(json_object_get(report, "detail")), "expired"));
	json_decref(report);
	http_sight_done(&now);
	checkup_done(&f.checkup);
}

/* Never so bad that the breaker opens. */
static void test_unreliable_upstream(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	*counter(&f, 0, UPSTREAM_TIMEOUT) = 2;
	assert_string_equal(look(&f, "upstreams"), "healthy");		/* one bad name */
	*counter(&f, 0, UPSTREAM_TIMEOUT) = 3;
	assert_string_equal(look(&f, "upstreams"), "degraded");
	*counter(&f, 0, UPSTREAM_LATE) = 1;				/* two silences, and a sign of life */
	assert_string_equal(look(&f, "upstreams"), "healthy");
	*counter(&f, 0, UPSTREAM_LATE) = 0;
	*counter(&f, 0, UPSTREAM_RCODE) = 11;				/* bad replies are replies: 3 of 14 lost */
	assert_string_equal(look(&f, NULL), "degraded");
	*counter(&f, 0, UPSTREAM_RCODE) = 12;
	assert_string_equal(look(&f, NULL), "healthy");
	*counter(&f, 1, UPSTREAM_CERTIFICATE) = 3;			/* it is somebody else */
	assert_string_equal(look(&f, NULL), "degraded");
	checkup_done(&f.checkup);
}

static void test_latency(void **state)
{
	struct fixture        f;
	struct histogram_view *v;

	(void)state;
	begin(&f);
	v = &f.fake.stats.answer[OUTCOME_MISS];
	v->count[histogram_bucket(3000000)] = v->total = 19;
	assert_string_equal(look(&f, "latency"), "healthy");		/* too few to tell */
	v->count[histogram_bucket(3000000)] = v->total = 20;
	assert_string_equal(look(&f, "latency"), "degraded");
	v = &f.fake.stats.answer[OUTCOME_HIT];
	v->count[histogram_bucket(100)] = v->total = 379;		/* 19 of 20 are quick: just not */
	assert_string_equal(look(&f, "latency"), "degraded");
	v->count[histogram_bucket(100)] = v->total = 381;
	assert_string_equal(look(&f, "latency"), "healthy");
	checkup_done(&f.checkup);
}

static void test_cache(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	f.fake.stats.counter[STATS_CACHE_STORED] = 999;
	f.fake.status.cache_evicted += 999;
	assert_string_equal(look(&f, "cache"), "healthy");
	f.fake.stats.counter[STATS_CACHE_STORED] = 1000;
	assert_string_equal(look(&f, "cache"), "degraded");
	f.fake.stats.counter[STATS_CACHE_STORED] = 2000;
	assert_string_equal(look(&f, NULL), "healthy");
	checkup_done(&f.checkup);
}

static void test_kernel_drops_and_time(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	f.fake.stats.counter[STATS_KERNEL_DROPS] = 1;
	assert_string_equal(look(&f, NULL), "degraded");
	checkup_mark(&f.checkup, &f.ops);
	assert_string_equal(look(&f, "kernel"), "degraded");
	checkup_mark(&f.checkup, &f.ops);
	assert_string_equal(look(&f, "kernel"), "healthy");
	checkup_done(&f.checkup);
}

/* A reload may take an upstream away and bring it back: it counts from its new beginning. */
static void test_upstream_that_began_anew(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	*counter(&f, 0, UPSTREAM_SENT) = *counter(&f, 0, UPSTREAM_ANSWERED) = 100;
	checkup_mark(&f.checkup, &f.ops);
	checkup_mark(&f.checkup, &f.ops);
	f.fake.upstreams[0] = f.fake.upstreams[1];
	f.fake.upstream_count = 1;
	assert_string_equal(look(&f, "upstreams"), "healthy");
	f.fake.upstreams[1].name = f.fake.upstreams[1].url = "udp://192.0.2.1:53";
	f.fake.upstream_count = 2;
	*counter(&f, 1, UPSTREAM_SENT) = *counter(&f, 1, UPSTREAM_TIMEOUT) = 3;
	assert_string_equal(look(&f, "upstreams"), "degraded");
	checkup_done(&f.checkup);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states_of_upstreams),
		cmocka_unit_test(test_details),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_unreliable_upstream),
		cmocka_unit_test(test_latency),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_kernel_drops_and_time),
		cmocka_unit_test(test_upstream_that_began_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
