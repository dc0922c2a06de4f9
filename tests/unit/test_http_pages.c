/* test_http_pages.c - what is served where: the status page's files and its document, whole or not at all. */
#include "unit.h"

#include "alloc_fail.h"
#include "control/http_checkup.h"
#include "control/http_pages.h"
#include "control/http_rules.h"
#include "fake_control.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>

struct fixture {
	struct fake_control fake;
	struct control_ops  ops;
	struct checkup      checkup;
	struct http_source  from;
};

static void begin(struct fixture *f)
{
	memset(f, 0, sizeof *f);
	fake_control_init(&f->fake, &f->ops);
	f->from = (struct http_source){ .ops = &f->ops, .checkup = &f->checkup };
}

static void make(struct fixture *f, const char *path, const char *if_none_match, struct http_reply *out)
{
	const struct http_request r = { .method = "GET", .path = path, .if_none_match = if_none_match };

	http_pages_make(&r, &f->from, out);
}

/* The status page's document. */
static json_t *document(struct fixture *f)
{
	struct http_reply reply;
	json_t           *parsed;

	make(f, "/status.json", NULL, &reply);
	assert_int_equal(reply.status, 200);
	assert_non_null(reply.body);
	parsed = json_loadb(reply.body, reply.len, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(parsed);
	free(reply.body);
	return parsed;
}

static json_int_t count_of(const json_t *document, const char *window, const char *outcome)
{
	const json_t *counted = json_object_get(document, window);

	return json_integer_value(json_object_get(json_object_get(json_object_get(counted, "outcomes"), outcome),
	                                          "count"));
}

/* Totals stay; what was counted before the older mark is not lately. */
static void test_total_and_lately(void **state)
{
	struct fixture f;
	json_t        *d, *up;
	uint64_t       before;

	(void)state;
	begin(&f);
	before = f.fake.stats.outcome[OUTCOME_HIT];
	checkup_mark(&f.checkup, &f.ops);
	checkup_mark(&f.checkup, &f.ops);
	f.fake.stats.outcome[OUTCOME_HIT] += 5;
	f.fake.stats.queries += 5;
	f.fake.status.uptime_s += 42.5;
	f.fake.upstreams[0].stats.counter[UPSTREAM_SENT] += 3;
	d = document(&f);
	assert_int_equal(count_of(d, "total", "hit"), before + 5);
	assert_int_equal(count_of(d, "lately", "hit"), 5);
	assert_int_equal(count_of(d, "lately", "miss"), 0);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(d, "lately"), "queries")), 5);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(d, "lately"), "span_us")), 42500000);
	up = json_array_get(json_object_get(d, "upstreams"), 0);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(up, "lately"), "sent")), 3);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(up, "counters"), "sent")),
	                 f.fake.upstreams[0].stats.counter[UPSTREAM_SENT]);
	json_decref(d);
	checkup_done(&f.checkup);
}

static void test_names_only_when_allowed(void **state)
{
	struct fixture f;
	json_t        *d;
	const json_t  *first;

	(void)state;
	begin(&f);
	for (int names = 0; names < 2; names++) {
		f.from.names = names;
		d = document(&f);
		first = json_array_get(json_object_get(json_object_get(d, "slow"), "queries"), 0);
		assert_int_equal(json_is_true(json_object_get(d, "names")), names);
		assert_int_equal(json_is_string(json_object_get(first, "name")), names);
		assert_string_equal(json_string_value(json_object_get(first, "upstream")), "quad9");
		json_decref(d);
	}
}

static void test_files(void **state)
{
	struct fixture    f;
	struct http_reply reply, again;
	size_t            count = 0;

	(void)state;
	begin(&f);
	for (const struct http_file *file = http_files; file->path; file++, count++) {
		make(&f, file->path, NULL, &reply);
		assert_int_equal(reply.status, 200);
		assert_true(reply.fixed && reply.len > 100);
		assert_int_equal(strlen(reply.body), reply.len);
		make(&f, file->path, reply.tag, &again);
		assert_int_equal(again.status, 304);
		assert_int_equal(again.len, 0);
		assert_string_equal(again.tag, reply.tag);
		make(&f, file->path, "\"0123456789abcdef\"", &again);
		assert_int_equal(again.status, 200);
	}
	assert_int_equal(count, 6);
	make(&f, "/index.html", NULL, &reply);
	assert_int_equal(reply.status, 404);
	free(reply.body);
}

/* ---- as many upstreams as there are ---- */

static size_t many;

static size_t many_upstreams(void *arg, struct control_upstream *out, size_t max)
{
	size_t n = many < max ? many : max;

	(void)arg;
	for (size_t i = 0; i < n; i++)
		out[i].name = out[i].url = "udp://192.0.2.1:53";
	return n;
}

static void test_many_upstreams(void **state)
{
	static const size_t counts[] = { 0, 1, 15, 16, 17, 255, 256, 300 };
	struct fixture      f;
	json_t             *d;

	(void)state;
	begin(&f);
	f.ops.upstreams = many_upstreams;
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		many = counts[i];
		d = document(&f);
		assert_int_equal(json_array_size(json_object_get(d, "upstreams")),
		                 many < CONTROL_UPSTREAMS_MAX ? many : CONTROL_UPSTREAMS_MAX);
		json_decref(d);
	}
}

/* Each allocation fails once, those of the JSON library included: there is a whole document or none.  (A text
 * that cannot be made is tried again in another way, so a failure need not be the end.)  Leaks are for the sanitizers
 * to find: the text's own block comes from inside of the C library. */
static void check_memory(struct fixture *f, size_t members, unsigned first)
{
	bool failed = true;

	for (unsigned n = 1; failed && n <= first; n++) {
		struct http_reply reply;
		json_t           *parsed;

		alloc_fail_at(n);
		make(f, "/status.json", NULL, &reply);
		failed = alloc_failed();
		alloc_fail_at(0);
		if (!reply.body) {
			assert_true(failed);
		} else {
			parsed = json_loadb(reply.body, reply.len, JSON_REJECT_DUPLICATES, NULL);
			if (json_object_size(parsed) != members)
				fail_msg("allocation %u: %.*s", n, (int)reply.len, reply.body);
			json_decref(parsed);
			free(reply.body);
		}
	}
}

static void test_memory(void **state)
{
	struct fixture f;
	json_t        *d;
	size_t         members;

	(void)state;
	begin(&f);
	d = document(&f);
	members = json_object_size(d);
	json_decref(d);
	json_set_alloc_funcs(malloc, free);
	check_memory(&f, members, UINT_MAX);
	f.ops.upstreams = many_upstreams;
	many = 17;
	check_memory(&f, members, 20);		/* the beginning is what differs */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_total_and_lately),
		cmocka_unit_test(test_names_only_when_allowed),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_many_upstreams),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
