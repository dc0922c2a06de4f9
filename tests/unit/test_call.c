/* test_call.c - what calls are answered, from text to text. */
#include "base/log.h"
#include "control/call.h"
#include "control/connection.h"
#include "control/control.h"
#include "control/http_checkup.h"
#include "fail_alloc.h"
#include "fake_control.h"
#include "resolve/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STATS "{\"method\":\"io.larder.Stats\"}"
#define RELOAD "{\"method\":\"io.larder.Reload\"}"
#define DESCRIBE_LARDER "{\"method\":\"org.varlink.service.GetInterfaceDescription\"," \
	"\"parameters\":{\"interface\":\"io.larder\"}}"

struct fixture {
	struct fake_control fake;
	struct control_ops  ops;
};

static int setup(void **state)
{
	static struct fixture f;

	fake_control_init(&f.fake, &f.ops);
	*state = &f;
	return 0;
}

/* Whoever calls in these tests may do all. */
static const struct peer master = { .uid = 0, .names = true, .orders = true };
static const struct checkup no_checkup;

static struct call_env env_of(const struct fixture *f)
{
	return (struct call_env){ .ops = &f->ops, .checkup = &no_checkup, .peer = master };
}

/* The reply as JSON, which the caller owns, and whether the connection would go on. */
static json_t *answer(struct fixture *f, const char *message, size_t len, enum call_next *next)
{
	const struct call_env env = env_of(f);
	struct call_said      said;
	json_t               *reply;

	*next = call_answer(&env, message, len, &said);
	assert_null(said.stream);
	if (!said.text)
		return NULL;
	reply = json_loads(said.text, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(json_object_get(reply, "parameters")))
		fail_msg("not a reply: %s", said.text);
	free(said.text);
	return reply;
}

static json_t *ask(struct fixture *f, const char *message)
{
	enum call_next next;
	json_t        *reply = answer(f, message, strlen(message), &next);

	assert_non_null(reply);
	assert_int_equal(next, CALL_GOES_ON);
	return reply;
}

static const char *text_at(const json_t *reply, const char *key)
{
	const char *text =
		json_string_value(json_object_get(json_object_get(reply, "parameters"), key));

	return text ? text : "(none)";
}

static long long number_at(const json_t *reply, const char *key)
{
	const json_t *n = json_object_get(json_object_get(reply, "parameters"), key);

	assert_true(json_is_integer(n));
	return json_integer_value(n);
}

static void check_error(const json_t *reply, const char *error, const char *key, const char *value)
{
	const char *got = json_string_value(json_object_get(reply, "error"));

	assert_non_null(got);
	assert_string_equal(got, error);
	assert_string_equal(text_at(reply, key), value);
}

static void check_refused(struct fixture *f, const char *message, const char *error,
			  const char *key, const char *value)
{
	json_t *reply = ask(f, message);

	check_error(reply, error, key, value);
	json_decref(reply);
}

static void test_service_tells_about_itself(void **state)
{
	struct fixture *f = *state;
	json_t *reply = ask(f, "{\"method\":\"org.varlink.service.GetInfo\",\"parameters\":{}}");
	json_t *interfaces = json_object_get(json_object_get(reply, "parameters"), "interfaces");

	assert_string_equal(text_at(reply, "product"), "larder");
	assert_string_equal(text_at(reply, "version"), "0.0.7");
	assert_int_equal(json_array_size(interfaces), 2);
	assert_string_equal(json_string_value(json_array_get(interfaces, 0)),
			    "org.varlink.service");
	assert_string_equal(json_string_value(json_array_get(interfaces, 1)), "io.larder");
	json_decref(reply);

	reply = ask(f, DESCRIBE_LARDER);
	assert_non_null(strstr(text_at(reply, "description"), "\ninterface io.larder\n"));
	assert_non_null(strstr(text_at(reply, "description"), "\"a\\.b.example.\""));
	json_decref(reply);
	check_refused(f, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
	                 "\"parameters\":{\"interface\":\"io.systemd.Resolve\"}}",
	              "org.varlink.service.InterfaceNotFound", "interface", "io.systemd.Resolve");
	check_refused(f, "{\"method\":\"org.varlink.service.GetInterfaceDescription\"}",
	              "org.varlink.service.InvalidParameter", "parameter", "interface");
}

static void test_unknown_methods(void **state)
{
	struct fixture *f = *state;

	check_refused(f, "{\"method\":\"io.larder.Fry\"}", "org.varlink.service.MethodNotFound",
		      "method", "io.larder.Fry");
	check_refused(f, "{\"method\":\"io.larders.Stats\"}",
		      "org.varlink.service.InterfaceNotFound", "interface", "io.larders");
	check_refused(f, "{\"method\":\"Stats\"}", "org.varlink.service.InterfaceNotFound",
		      "interface", "");
}

static void test_status(void **state)
{
	struct fixture *f = *state;
	json_t         *reply, *p;

	f->fake.status.resolv_file = "/run/r\xffsolv.conf";
	f->fake.status.upstreams_from_resolv = true;
	reply = ask(f, "{\"method\":\"io.larder.Status\",\"parameters\":null,\"more\":true}");
	p = json_object_get(reply, "parameters");
	assert_int_equal(number_at(reply, "uptime_s"), 11525);
	assert_int_equal(number_at(reply, "reloaded_ago_s"), 725);
	assert_string_equal(text_at(reply, "config_file"), "/etc/larder/larder.yaml");
	assert_string_equal(text_at(reply, "resolv_file"), "/run/r?solv.conf");
	assert_true(json_is_true(json_object_get(p, "upstreams_from_resolv")));
	assert_true(json_is_null(json_object_get(p, "trouble")));
	assert_string_equal(json_string_value(json_array_get(json_object_get(p, "listen"), 1)),
			    "[::1]:53");
	assert_int_equal(json_array_size(json_object_get(p, "upstreams")), 2);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(p, "cache"), "size")),
			 64 << 20);
	json_decref(reply);
}

static void test_stats(void **state)
{
	struct fixture *f = *state;
	json_t         *reply = ask(f, STATS), *p = json_object_get(reply, "parameters");
	json_t         *hit = json_object_get(json_object_get(p, "outcomes"), "hit");
	json_t         *stale = json_object_get(json_object_get(p, "outcomes"), "stale");
	json_t         *up = json_array_get(json_object_get(p, "upstreams"), 0);

	assert_int_equal(number_at(reply, "queries"), 1000);
	assert_int_equal(json_object_size(json_object_get(p, "outcomes")), OUTCOMES);
	assert_int_equal(json_object_size(json_object_get(p, "counters")), STATS_COUNTERS);
	assert_int_equal(json_integer_value(json_object_get(hit, "count")), 900);
	assert_float_equal(json_real_value(json_object_get(hit, "share")), 0.9, 1e-6);
	assert_int_equal(json_integer_value(json_object_get(hit, "p50_us")),
	                 histogram_quantile_us(&f->fake.stats.answer[OUTCOME_HIT], 0.5));
	assert_int_equal(json_integer_value(json_object_get(hit, "p99_us")),
	                 histogram_quantile_us(&f->fake.stats.answer[OUTCOME_HIT], 0.99));
	assert_true(json_is_null(json_object_get(stale, "p90_us")));
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(p, "answers"), "count")), 1000);
	for (unsigned i = 0; i < STATS_COUNTERS; i++)
		assert_int_equal(json_integer_value(json_object_get(json_object_get(p, "counters"),
		                                                    stats_counter_rows[i].name)),
		                 f->fake.stats.counter[i]);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(p, "gauges"), "waiting")), 3);
	assert_string_equal(json_string_value(json_object_get(up, "name")), "office");
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(up, "counters"), "timeout")),
		24);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(up, "exchange"), "p50_us")),
		histogram_quantile_us(&f->fake.upstreams[0].stats.exchange, 0.5));
	json_decref(reply);
}

/* A number that JSON's integers cannot hold is not told as a negative one. */
static void test_stats_saturate(void **state)
{
	struct fixture *f = *state;
	json_t         *reply;

	f->fake.stats.queries = UINT64_MAX;
	reply = ask(f, STATS);
	assert_true(number_at(reply, "queries") == INT64_MAX);
	json_decref(reply);
}

static void check_flush(struct fixture *f, const char *parameters, enum control_flush what,
			const char *name, uint16_t type)
{
	char            message[512];
	struct dns_name wire = { .len = 0 };
	unsigned        before = f->fake.flushes;
	json_t         *reply;

	snprintf(message, sizeof message, "{\"method\":\"io.larder.Flush\",\"parameters\":%s}",
		 parameters);
	if (name)
		assert_int_equal(dns_name_from_text(name, &wire), 0);
	reply = ask(f, message);
	assert_int_equal(number_at(reply, "entries"), 17);
	json_decref(reply);
	assert_int_equal(f->fake.flushes, before + 1);
	assert_int_equal(f->fake.what, what);
	assert_int_equal(f->fake.type, type);
	assert_int_equal(f->fake.name.len, wire.len);
	assert_memory_equal(f->fake.name.octets, wire.octets, wire.len);
}

static void test_flush(void **state)
{
	struct fixture *f = *state;

	check_flush(f, "{}", CONTROL_FLUSH_ALL, NULL, 0);
	check_flush(f, "{\"name\":null,\"type\":null,\"subtree\":null}", CONTROL_FLUSH_ALL, NULL,
		    0);
	check_flush(f, "{\"subtree\":false}", CONTROL_FLUSH_ALL, NULL, 0);
	check_flush(f, "{\"name\":\"WWW.Example.com\"}", CONTROL_FLUSH_NAME, "www.example.com.", 0);
	check_flush(f, "{\"name\":\"a\\\\.b\\\\001.\"}", CONTROL_FLUSH_NAME, "a\\.b\\001", 0);
	check_flush(f, "{\"name\":\".\",\"type\":\"ns\"}", CONTROL_FLUSH_NAME_TYPE, ".", 2);
	check_flush(f, "{\"name\":\"x.\",\"type\":\"Type65280\"}", CONTROL_FLUSH_NAME_TYPE, "x.",
		    65280);
	check_flush(f, "{\"name\":\"x.\",\"type\":\"ANY\"}", CONTROL_FLUSH_NAME, "x.", 0);
	check_flush(f, "{\"name\":\"x.\",\"subtree\":true}", CONTROL_FLUSH_SUBTREE, "x.", 0);
}

/* What makes no sense is refused by name, and nothing is flushed. */
static void test_flush_refused(void **state)
{
	static const struct {
		const char *parameters, *flaw;
	} rows[] = {
		{ "{\"name\":\"a..b\"}", "name" },
		{ "{\"name\":\"\"}", "name" },
		{ "{\"name\":7}", "name" },
		{ "{\"name\":\"a\",\"type\":\"AA\"}", "type" },
		{ "{\"name\":\"a\",\"type\":\"TYPE65536\"}", "type" },
		{ "{\"name\":\"a\",\"type\":1}", "type" },
		{ "{\"type\":\"A\"}", "type" },
		{ "{\"name\":\"a\",\"type\":\"A\",\"subtree\":true}", "type" },
		{ "{\"subtree\":true}", "subtree" },
		{ "{\"name\":\"a\",\"subtree\":\"yes\"}", "subtree" },
		{ "{\"name\":\"a\",\"tree\":true}", "tree" },
		{ "{\"\":null}", "" },
	};
	struct fixture *f = *state;
	char            message[256];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		snprintf(message, sizeof message,
			 "{\"method\":\"io.larder.Flush\",\"parameters\":%s}", rows[i].parameters);
		check_refused(f, message, "org.varlink.service.InvalidParameter", "parameter",
			      rows[i].flaw);
	}
	check_refused(f, "{\"method\":\"io.larder.Stats\",\"parameters\":{\"all\":true}}",
	              "org.varlink.service.InvalidParameter", "parameter", "all");
	check_refused(f, "{\"method\":\"io.larder.Reload\",\"upgrade\":true}",
	              "org.varlink.service.InvalidParameter", "parameter", "upgrade");
	assert_int_equal(f->fake.flushes, 0);
	assert_int_equal(f->fake.reloads, 0);
}

static void test_reload_and_config(void **state)
{
	struct fixture *f = *state;
	json_t         *reply = ask(f, RELOAD);

	assert_null(json_object_get(reply, "error"));
	assert_int_equal(json_object_size(json_object_get(reply, "parameters")), 0);
	json_decref(reply);
	f->fake.report = "larder.yaml:1:1: what\nlarder.yaml:2:1: is this";
	check_refused(f, RELOAD, "io.larder.ConfigurationInvalid", "report", f->fake.report);
	assert_int_equal(f->fake.reloads, 2);

	reply = ask(f, "{\"method\":\"io.larder.Config\"}");
	assert_string_equal(text_at(reply, "text"), f->fake.config);
	json_decref(reply);
	f->fake.config = NULL;
	check_refused(f, "{\"method\":\"io.larder.Config\"}", "io.larder.OutOfMemory", "none",
		      "(none)");
}

static void test_oneway_gets_no_reply(void **state)
{
	static const char *const calls[] = {
		"{\"method\":\"io.larder.Reload\",\"oneway\":true}",
		"{\"method\":\"io.larder.Nothing\",\"oneway\":true}",
		"{\"method\":\"io.larder.Reload\",\"parameters\":{\"x\":1},\"oneway\":true}",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		enum call_next next;

		assert_null(answer(f, calls[i], strlen(calls[i]), &next));
		assert_int_equal(next, CALL_GOES_ON);
	}
	assert_int_equal(f->fake.reloads, 1);
}

/* What is no call gets a reply that says so, and was the last on its connection. */
static void test_garbage(void **state)
{
	static const struct {
		const char *text, *flaw;
	} rows[] = {
		{ "", "message" },
		{ "hello", "message" },
		{ "GET / HTTP/1.1\r\n\r\n", "message" },
		{ "[]", "message" },
		{ "null", "message" },
		{ "\"io.larder.Reload\"", "message" },
		{ "{", "message" },
		{ "{} {}", "message" },
		{ RELOAD "x", "message" },
		{ "{\"method\":\"io.larder.Reload\",\"method\":\"io.larder.Stats\"}", "message" },
		{ "{\"method\":\"io.larder.Rel\\u0000oad\"}", "message" },
		{ "{\"method\":\"io.larder.\xff\"}", "message" },
		{ "{\"n\":1e999,\"method\":\"io.larder.Reload\"}", "message" },
		{ "{}", "method" },
		{ "{\"method\":null}", "method" },
		{ "{\"method\":{}}", "method" },
		{ "{\"method\":\"io.larder.Reload\",\"parameters\":[]}", "parameters" },
		{ "{\"method\":\"io.larder.Reload\",\"oneway\":1}", "oneway" },
		{ "{\"method\":\"io.larder.Reload\",\"more\":\"no\"}", "more" },
		{ "{\"method\":\"io.larder.Reload\",\"upgrade\":[]}", "upgrade" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		enum call_next next;
		json_t        *reply = answer(f, rows[i].text, strlen(rows[i].text), &next);

		assert_int_equal(next, CALL_WAS_LAST);
		check_error(reply, "org.varlink.service.InvalidParameter", "parameter",
			    rows[i].flaw);
		json_decref(reply);
	}
	assert_int_equal(f->fake.reloads, 0);
}

static void test_nesting(void **state)
{
	struct fixture *f = *state;
	char           *deep = malloc(CONTROL_MESSAGE_MAX);
	enum call_next  next;
	json_t         *reply;

	assert_non_null(deep);
	memset(deep, '[', CONTROL_MESSAGE_MAX);
	reply = answer(f, deep, CONTROL_MESSAGE_MAX, &next);
	check_error(reply, "org.varlink.service.InvalidParameter", "parameter", "message");
	json_decref(reply);
	free(deep);
}

/* Every allocation of every call fails once: there is a whole reply or none, and nothing leaks. */
static void test_no_memory_for_calls(void **state)
{
	static const char *const calls[] = {
		"{\"method\":\"org.varlink.service.GetInfo\"}",
		DESCRIBE_LARDER,
		"{\"method\":\"io.larder.Status\"}",
		STATS,
		RELOAD,
		"{\"method\":\"io.larder.Config\"}",
		"{\"method\":\"io.larder.Health\"}",
		"{\"method\":\"io.larder.Latencies\"}",
		"{\"method\":\"io.larder.Route\",\"parameters\":{\"name\":\"a.b\"}}",
		"{\"method\":\"io.larder.CacheLookup\",\"parameters\":{\"name\":\"n0.example\"}}",
		"{\"method\":\"io.larder.CacheDump\",\"more\":true}",
		"{\"method\":\"io.larder.Monitor\",\"more\":true}",
		"{\"method\":\"io.larder.Flush\",\"parameters\":{\"name\":\"a.b\",\"type\":\"A\"}}",
		"{\"method\":\"io.larder.Flush\",\"parameters\":{\"nam\":\"a.b\"}}",
		"{\"method\":\"a.b\"}",
		"garbage",
	};
	struct fixture    *f = *state;
	const struct call_env env = env_of(f);

	fake_control_fill(&f->fake, 1);
	json_set_alloc_funcs(malloc, free);
	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		bool failed = true;

		for (unsigned n = 1; failed; n++) {
			struct call_said said;
			char            *reply;
			enum call_next   next;
			json_t          *parsed;

			assert_true(n < 5000);
			fail_alloc_countdown = n;
			next = call_answer(&env, calls[i], strlen(calls[i]), &said);
			if (next == CALL_STREAMS) {
				next = call_stream_next(&env, said.stream, &said.text);
				said.stream->free(said.stream);
			}
			reply = said.text;
			failed = fail_alloc_countdown == 0;
			fail_alloc_countdown = 0;
			if (!reply) {
				assert_true(failed);
				assert_int_equal(next, CALL_WAS_LAST);
				continue;
			}
			parsed = json_loads(reply, JSON_REJECT_DUPLICATES, NULL);
			if (!json_is_object(json_object_get(parsed, "parameters")))
				fail_msg("call %zu, allocation %u: %s", i, n, reply);
			json_decref(parsed);
			free(reply);
		}
	}
	cache_free(f->fake.cache);
}

/* The same for Slow, behind the parser: jansson 2.14 reads past a text of 14 characters, as is the method's whole name,
 * when it gets no memory for it. */
static void test_no_memory_for_slow(void **state)
{
	struct fixture       *f = *state;
	const struct call_env env = env_of(f);
	bool                  failed = true;

	json_set_alloc_funcs(malloc, free);
	for (unsigned n = 1; failed; n++) {
		struct call c = { .ops = env.ops, .env = &env };

		assert_true(n < 500);
		fail_alloc_countdown = n;
		larder_slow(&c);
		failed = fail_alloc_countdown == 0;
		fail_alloc_countdown = 0;
		assert_true(json_is_object(c.reply));
		if (c.error)		/* or a second try was good */
			assert_string_equal(c.error, CALL_OUT_OF_MEMORY);
		assert_true(failed || !c.error);
		json_decref(c.reply);
	}
}

/* ---- who may do what ---- */

static void check_right(struct fixture *f, const struct peer *peer, const char *method, const char *parameters,
			bool allowed)
{
	const struct call_env env = { .ops = &f->ops, .checkup = &no_checkup, .peer = *peer };
	struct call_said      said;
	char                  message[256];

	snprintf(message, sizeof message, "{\"method\":\"io.larder.%s\",\"parameters\":%s,\"more\":true}", method,
		 parameters);
	call_answer(&env, message, strlen(message), &said);
	if (said.stream)
		said.stream->free(said.stream);
	else if (!strstr(said.text, CALL_PERMISSION_DENIED) != allowed)
		fail_msg("%s: %s", method, said.text);
	assert_true(allowed || !said.stream);
	free(said.text);
}

static void test_rights(void **state)
{
	static const struct {
		const char *method, *parameters;
		bool        names, orders;		/* it needs */
	} calls[] = {
		{ "Status", "{}", false, false },
		{ "Stats", "{}", false, false },
		{ "Config", "{}", false, false },
		{ "Upstreams", "{}", false, false },
		{ "Health", "{}", false, false },
		{ "Route", "{\"name\":\"a\"}", false, false },
		{ "CacheLookup", "{\"name\":\"a\"}", true, false },
		{ "CacheDump", "{}", true, false },
		{ "Trace", "{\"name\":\"a\",\"type\":\"?\"}", true, false },
		{ "Slow", "{}", false, false },
		{ "Monitor", "{}", true, false },
		{ "Flush", "{}", false, true },
		{ "Reload", "{}", false, true },
		{ "SetUpstream", "{\"name\":\"office\",\"order\":\"up\"}", false, true },
		{ "SetLogLevel", "{\"level\":\"info\"}", false, true },
		{ "SetQueryLog", "{\"on\":true}", false, true },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
		for (unsigned rights = 0; rights < 4; rights++) {
			const struct peer peer = { .uid = 1000, .names = rights & 1, .orders = rights & 2 };

			check_right(f, &peer, calls[i].method, calls[i].parameters,
				    (peer.names || !calls[i].names) && (peer.orders || !calls[i].orders));
		}
	assert_int_equal(f->fake.flushes, 2);	/* the others did nothing */
	assert_int_equal(f->fake.reloads, 2);
	log_set_level(LOG_LEVEL_ERROR);
}

static void test_peers(void **state)
{
	const gid_t             groups[] = { 5, 7 };
	const struct peer_creds root = { .uid = 0 }, self = { .uid = 33, .gid = 33 },
				member = { .uid = 1000, .gid = 7 }, other = { .uid = 1000, .gid = 1000 },
				also = { .uid = 1000, .gid = 1000, .groups = groups, .group_count = 2 };

	(void)state;
	assert_true(peer_judge(&root, 33, 7).orders && peer_judge(&root, 33, 7).names);
	assert_true(peer_judge(&self, 33, 7).orders && peer_judge(&self, 33, 7).names);
	assert_true(!peer_judge(&member, 33, 7).orders && peer_judge(&member, 33, 7).names);
	assert_true(!peer_judge(&also, 33, 7).orders && peer_judge(&also, 33, 7).names);
	assert_true(!peer_judge(&also, 33, 8).names);
	assert_true(!peer_judge(&other, 33, 7).orders && !peer_judge(&other, 33, 7).names);
	assert_true(!peer_judge(&(struct peer_creds){ .uid = 9, .gid = PEER_NOBODY }, 33, PEER_NOBODY).names);
}

/* ---- the cache ---- */

static void test_cache_lookup(void **state)
{
	struct fixture *f = *state;
	json_t         *reply, *e, *r;

	fake_control_fill(&f->fake, 2);
	reply = ask(f, "{\"method\":\"io.larder.CacheLookup\",\"parameters\":{\"name\":\"N0.Example\"}}");
	e = json_array_get(json_object_get(json_object_get(reply, "parameters"), "entries"), 0);
	assert_string_equal(json_string_value(json_object_get(e, "name")), "n0.example.");
	assert_string_equal(json_string_value(json_object_get(e, "state")), "fresh");
	assert_string_equal(json_string_value(json_object_get(e, "route")), ".");
	assert_int_equal(json_integer_value(json_object_get(e, "left_s")), 200);
	r = json_array_get(json_object_get(e, "records"), 0);
	assert_string_equal(json_string_value(json_object_get(r, "data")), "192.0.2.1");
	assert_string_equal(json_string_value(json_object_get(r, "name")), "n0.example.");
	assert_int_equal(json_integer_value(json_object_get(r, "ttl_s")), 200);
	json_decref(reply);
	reply = ask(f, "{\"method\":\"io.larder.CacheLookup\",\"parameters\":{\"name\":\"n1.example\",\"type\":\"A\"}}");
	e = json_array_get(json_object_get(json_object_get(reply, "parameters"), "entries"), 0);
	assert_string_equal(json_string_value(json_object_get(e, "state")), "stale");
	assert_int_equal(json_integer_value(json_object_get(e, "left_s")), -100);
	json_decref(reply);
	reply = ask(f, "{\"method\":\"io.larder.CacheLookup\",\"parameters\":{\"name\":\"n1.example\",\"type\":\"MX\"}}");
	assert_int_equal(json_array_size(json_object_get(json_object_get(reply, "parameters"), "entries")), 0);
	json_decref(reply);
	check_refused(f, "{\"method\":\"io.larder.CacheLookup\",\"parameters\":{\"name\":\"..\"}}",
	              "org.varlink.service.InvalidParameter", "parameter", "name");
	check_refused(f, "{\"method\":\"io.larder.CacheLookup\",\"parameters\":{\"name\":\"a\",\"type\":\"?\"}}",
	              "org.varlink.service.InvalidParameter", "parameter", "type");
	cache_free(f->fake.cache);
}

/* All entries come, once each, over replies of which all but the last say that more follow. */
static void test_cache_dump(void **state)
{
	const char       message[] = "{\"method\":\"io.larder.CacheDump\",\"more\":true}";
	struct fixture  *f = *state;
	struct call_env  env = env_of(f);
	struct call_said said;
	enum call_next   next = CALL_STREAMS;
	unsigned         met[1000] = { 0 }, replies = 0, n;

	check_refused(f, "{\"method\":\"io.larder.CacheDump\"}", CALL_EXPECTED_MORE, "x", "(none)");
	fake_control_fill(&f->fake, 1000);
	assert_int_equal(call_answer(&env, message, strlen(message), &said), CALL_STREAMS);
	for (; next == CALL_STREAMS; replies++) {
		json_t *reply, *e;
		size_t  i;

		next = call_stream_next(&env, said.stream, &said.text);
		reply = json_loads(said.text, JSON_REJECT_DUPLICATES, NULL);
		assert_int_equal(json_is_true(json_object_get(reply, "continues")), next == CALL_STREAMS);
		json_array_foreach(json_object_get(json_object_get(reply, "parameters"), "entries"), i, e) {
			assert_int_equal(sscanf(json_string_value(json_object_get(e, "name")), "n%u.", &n), 1);
			met[n]++;
		}
		assert_true(i <= 64);
		free(said.text);
		json_decref(reply);
	}
	said.stream->free(said.stream);
	assert_int_equal(next, CALL_GOES_ON);
	assert_true(replies > 1000 / 64);
	for (n = 0; n < 1000; n++)
		assert_int_equal(met[n], 1);
	cache_free(f->fake.cache);
}

static void test_route(void **state)
{
	struct fixture *f = *state;
	json_t         *reply;

	reply = ask(f, "{\"method\":\"io.larder.Route\",\"parameters\":{\"name\":\"WWW.Corp\"}}");
	assert_string_equal(text_at(reply, "name"), "www.corp.");
	assert_string_equal(text_at(reply, "route"), "corp.");
	assert_int_equal(json_array_size(json_object_get(json_object_get(reply, "parameters"), "upstreams")), 1);
	json_decref(reply);
	reply = ask(f, "{\"method\":\"io.larder.Route\",\"parameters\":{\"name\":\"a.localhost.\"}}");
	assert_string_equal(text_at(reply, "rcode"), "NOERROR");
	assert_true(json_is_null(json_object_get(json_object_get(reply, "parameters"), "route")));
	json_decref(reply);
}

static void keep_text(void *arg, char *text)
{
	*(char **)arg = text;
}

/* Calls for a trace, tells the daemon's report and gives the reply; with forget, nobody wants to know any more. */
static char *traced(struct fixture *f, bool none, bool forget)
{
	const char      message[] = "{\"method\":\"io.larder.Trace\",\"parameters\":"
				    "{\"name\":\"A.Example\",\"type\":\"AAAA\",\"dnssec_ok\":true}}";
	struct call_env  env = env_of(f);
	struct call_said said;
	char            *text = NULL;

	assert_int_equal(call_answer(&env, message, strlen(message), &said), CALL_WAITS);
	assert_null(said.text);
	*said.later = (struct call_later){ .done = forget ? NULL : keep_text, .arg = &text };
	fake_control_traced(&f->fake, none);
	return text;
}

static void test_trace(void **state)
{
	struct fixture *f = *state;
	char           *text = traced(f, false, false);
	json_t         *reply = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *flight, *try;

	free(text);
	assert_int_equal(f->fake.question.qtype, 28);
	assert_true(f->fake.question.dnssec_ok && !f->fake.question.checking_disabled);
	assert_memory_equal(f->fake.question.name.octets, "\1a\7example\0", 11);
	assert_string_equal(text_at(reply, "rcode"), "SERVFAIL");
	assert_string_equal(text_at(reply, "outcome"), "miss");
	assert_string_equal(text_at(reply, "extended_text"), "down");
	assert_int_equal(number_at(reply, "extended_error"), 22);
	assert_int_equal(number_at(reply, "answered_us"), 40000);
	flight = json_object_get(json_object_get(reply, "parameters"), "flight");
	try = json_array_get(json_object_get(flight, "tries"), 0);
	assert_string_equal(json_string_value(json_object_get(try, "result")), "given-up");
	assert_true(json_is_null(json_object_get(try, "ended_us")));
	try = json_array_get(json_object_get(flight, "tries"), 1);
	assert_string_equal(json_string_value(json_object_get(try, "transport")), "tls");
	assert_int_equal(json_integer_value(json_object_get(try, "secured_us")), 29014);
	json_decref(reply);

	text = traced(f, true, false);
	assert_non_null(strstr(text, CALL_OUT_OF_MEMORY));
	free(text);
	assert_null(traced(f, false, true));
	check_refused(f, "{\"method\":\"io.larder.Trace\",\"parameters\":{\"name\":\"a\",\"type\":\"?\"}}",
	              "org.varlink.service.InvalidParameter", "parameter", "type");
}

/* The buckets' bounds rise, and what lies in them are all answers and exchanges. */
static void test_latencies(void **state)
{
	struct fixture *f = *state;
	json_t         *reply = ask(f, "{\"method\":\"io.larder.Latencies\"}");
	json_t         *told = json_object_get(reply, "parameters"), *office, *n;
	json_t         *bounds = json_object_get(told, "bounds_us");
	json_t         *hits = json_object_get(json_object_get(told, "outcomes"), "hit");
	long long       sum = 0;
	size_t          i;

	assert_int_equal(json_array_size(bounds), HISTOGRAM_BUCKETS);
	assert_int_equal(json_integer_value(json_array_get(bounds, 0)), 0);
	for (i = 1; i < HISTOGRAM_BUCKETS; i++)
		assert_true(json_integer_value(json_array_get(bounds, i)) >
		            json_integer_value(json_array_get(bounds, i - 1)));
	assert_int_equal(json_array_size(hits), HISTOGRAM_BUCKETS);
	json_array_foreach(hits, i, n)
		sum += json_integer_value(n);
	assert_int_equal(sum, 900);
	assert_int_equal(json_integer_value(json_array_get(hits, histogram_bucket(20))), 880);
	office = json_array_get(json_object_get(told, "upstreams"), 0);
	assert_string_equal(json_string_value(json_object_get(office, "name")), "office");
	n = json_array_get(json_object_get(office, "exchange"), histogram_bucket(20000));
	assert_int_equal(json_integer_value(n), 48);
	json_decref(reply);
}

/* The caller who may not see names gets the list all the same. */
static void test_slow(void **state)
{
	struct fixture *f = *state;
	struct call_env env = env_of(f);
	const char      message[] = "{\"method\":\"io.larder.Slow\"}";

	for (int names = 1; names >= 0; names--) {
		struct call_said said;
		json_t          *reply, *list, *first;

		env.peer = (struct peer){ .uid = 1000, .names = names };
		assert_int_equal(call_answer(&env, message, strlen(message), &said), CALL_GOES_ON);
		reply = json_loads(said.text, JSON_REJECT_DUPLICATES, NULL);
		free(said.text);
		assert_int_equal(number_at(reply, "over_us"), 100000);
		assert_int_equal(number_at(reply, "dropped"), 3);
		list = json_object_get(json_object_get(reply, "parameters"), "queries");
		assert_int_equal(json_array_size(list), 2);
		first = json_array_get(list, 0);
		if (names)
			assert_string_equal(json_string_value(json_object_get(first, "name")),
			                    "<img\\032onerror>\\027.example.");
		else
			assert_true(json_is_null(json_object_get(first, "name")));
		assert_string_equal(json_string_value(json_object_get(first, "type")), "TYPE65280");
		assert_string_equal(json_string_value(json_object_get(first, "upstream")), "quad9");
		assert_true(json_is_null(json_object_get(json_array_get(list, 1), "upstream")));
		json_decref(reply);
	}
}

/* The next reply of a stream, or NULL: it waits. */
static json_t *next_piece(struct fixture *f, struct call_stream *s)
{
	struct call_env env = env_of(f);
	char           *text;
	json_t         *reply;

	if (call_stream_next(&env, s, &text) == CALL_STREAM_WAITS) {
		assert_null(text);
		return NULL;
	}
	reply = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_true(json_is_true(json_object_get(reply, "continues")));
	free(text);
	return reply;
}

static struct call_stream *monitor(struct fixture *f, const char *parameters)
{
	struct call_env  env = env_of(f);
	struct call_said said;
	char             message[256];
	json_t          *first;

	snprintf(message, sizeof message, "{\"method\":\"io.larder.Monitor\",\"more\":true,\"parameters\":%s}",
	         parameters);
	assert_int_equal(call_answer(&env, message, strlen(message), &said), CALL_STREAMS);
	first = next_piece(f, said.stream);
	assert_int_equal(json_array_size(json_object_get(json_object_get(first, "parameters"), "events")), 0);
	json_decref(first);
	assert_null(next_piece(f, said.stream));
	return said.stream;
}

static void count_wake(void *arg)
{
	++*(unsigned *)arg;
}

static void test_monitor(void **state)
{
	static const struct event hit = { .time_us = 1700000000123456, .duration_us = 18, .qtype = 65280, .rcode = 3,
		                          .outcome = OUTCOME_STALE, .proto = 1 };
	struct fixture     *f = *state;
	struct call_stream *s = monitor(f, "{}");
	unsigned            woken = 0;
	json_t             *reply, *list, *e;

	s->wake = count_wake;
	s->wake_arg = &woken;
	f->fake.watcher->turn(f->fake.watcher, 0);
	assert_int_equal(woken, 0);		/* nothing to tell, and it has spoken just now */
	fake_control_event(&f->fake, "<img\\032onerror>\\027.example", "2001:db8::7", &hit);
	fake_control_event(&f->fake, NULL, "192.0.2.9", &hit);
	assert_null(next_piece(f, s));		/* not before the turn */
	f->fake.watcher->turn(f->fake.watcher, 7);
	assert_int_equal(woken, 1);
	reply = next_piece(f, s);
	assert_int_equal(number_at(reply, "dropped"), 7);
	list = json_object_get(json_object_get(reply, "parameters"), "events");
	assert_int_equal(json_array_size(list), 2);
	e = json_array_get(list, 0);
	assert_int_equal(json_integer_value(json_object_get(e, "time_us")), 1700000000123456);
	assert_string_equal(json_string_value(json_object_get(e, "name")), "<img\\032onerror>\\027.example.");
	assert_string_equal(json_string_value(json_object_get(e, "client")), "2001:db8::7");
	assert_int_equal(json_integer_value(json_object_get(e, "port")), 4242);
	assert_string_equal(json_string_value(json_object_get(e, "transport")), "tcp");
	assert_string_equal(json_string_value(json_object_get(e, "type")), "TYPE65280");
	assert_string_equal(json_string_value(json_object_get(e, "rcode")), "NXDOMAIN");
	assert_string_equal(json_string_value(json_object_get(e, "outcome")), "stale");
	assert_int_equal(json_integer_value(json_object_get(e, "duration_us")), 18);
	assert_string_equal(json_string_value(json_object_get(e, "upstream")), "quad9");
	assert_int_equal(json_object_size(e), 10);
	e = json_array_get(list, 1);
	assert_true(json_is_null(json_object_get(e, "name")) && json_is_null(json_object_get(e, "type")));
	json_decref(reply);

	/* Too many for a reply, then for the queue: told in order, and what had no room is counted. */
	for (unsigned i = 0; i < 300; i++)
		fake_control_event(&f->fake, "a.example", "192.0.2.9", &hit);
	for (unsigned i = 0; i < 3; i++) {
		f->fake.watcher->turn(f->fake.watcher, 0);
		reply = next_piece(f, s);
		list = json_object_get(json_object_get(reply, "parameters"), "events");
		assert_int_equal(json_array_size(list), i < 2 ? 128 : 44);
		json_decref(reply);
		assert_null(next_piece(f, s));
	}
	for (unsigned i = 0; i < 10000; i++)
		fake_control_event(&f->fake, "a.example", "192.0.2.9", &hit);
	f->fake.watcher->turn(f->fake.watcher, 0);
	reply = next_piece(f, s);
	assert_in_range(number_at(reply, "dropped"), 1, 9000);
	json_decref(reply);
	s->free(s);
	assert_null(f->fake.watcher);
}

/* Each filter lets one of two queries through. */
static void test_monitor_filters(void **state)
{
	static const struct event one = { .duration_us = 100000, .qtype = 1, .rcode = 0, .outcome = OUTCOME_MISS },
				  two = { .duration_us = 99999, .qtype = 28, .rcode = 2, .outcome = OUTCOME_HIT };
	static const char *const good[] = {
		"{\"name\":\"WWW.example\"}", "{\"name\":\"example\",\"subtree\":true}", "{\"type\":\"A\"}",
		"{\"rcode\":\"noerror\"}", "{\"outcome\":\"miss\"}", "{\"client\":\"192.0.2.0/24\"}",
		"{\"slower_us\":100000}", "{\"client\":\"192.0.2.9\",\"type\":\"A\",\"slower_us\":1}",
	};
	static const char *const bad[][2] = {
		{ "{\"name\":\"..\"}", "name" }, { "{\"subtree\":true}", "subtree" }, { "{\"type\":\"?\"}", "type" },
		{ "{\"rcode\":\"OK\"}", "rcode" }, { "{\"outcome\":\"hits\"}", "outcome" },
		{ "{\"client\":\"192.0.2.0/33\"}", "client" }, { "{\"slower_us\":-1}", "slower_us" },
		{ "{\"slower_us\":\"1\"}", "slower_us" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct call_stream *s = monitor(f, good[i]);
		json_t             *reply, *list;

		fake_control_event(&f->fake, "notexample", "198.51.100.9", &two);
		fake_control_event(&f->fake, "www.example", "192.0.2.9", &one);
		fake_control_event(&f->fake, NULL, "198.51.100.9", &two);
		f->fake.watcher->turn(f->fake.watcher, 0);
		reply = next_piece(f, s);
		list = json_object_get(json_object_get(reply, "parameters"), "events");
		assert_int_equal(json_array_size(list), 1);
		assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "name")),
		                    "www.example.");
		json_decref(reply);
		s->free(s);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char message[256];

		snprintf(message, sizeof message,
		         "{\"method\":\"io.larder.Monitor\",\"more\":true,\"parameters\":%s}", bad[i][0]);
		check_refused(f, message, "org.varlink.service.InvalidParameter", "parameter", bad[i][1]);
	}
	assert_null(f->fake.watcher);
}

/* A second watcher is one too many for this daemon; who forgot "more" leaves none behind. */
static void test_monitor_refused(void **state)
{
	struct fixture     *f = *state;
	struct call_stream *s;

	check_refused(f, "{\"method\":\"io.larder.Monitor\"}", CALL_EXPECTED_MORE, "x", "(none)");
	assert_null(f->fake.watcher);
	s = monitor(f, "{}");
	check_refused(f, "{\"method\":\"io.larder.Monitor\",\"more\":true}", CALL_BUSY, "x", "(none)");
	s->free(s);
}

static void test_log_level(void **state)
{
	struct fixture *f = *state;
	json_t         *reply;

	log_set_level(LOG_LEVEL_WARNING);
	reply = ask(f, "{\"method\":\"io.larder.SetLogLevel\",\"parameters\":{\"level\":\"debug\"}}");
	assert_string_equal(text_at(reply, "before"), "warning");
	assert_true(log_enabled(LOG_LEVEL_DEBUG));
	json_decref(reply);
	check_refused(f, "{\"method\":\"io.larder.SetLogLevel\",\"parameters\":{\"level\":\"loud\"}}",
	              "org.varlink.service.InvalidParameter", "parameter", "level");
	log_set_level(LOG_LEVEL_ERROR);
}

#define CALL_TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CALL_TEST(test_service_tells_about_itself),
		CALL_TEST(test_unknown_methods),
		CALL_TEST(test_rights),
		CALL_TEST(test_peers),
		CALL_TEST(test_cache_lookup),
		CALL_TEST(test_cache_dump),
		CALL_TEST(test_route),
		CALL_TEST(test_trace),
		CALL_TEST(test_latencies),
		CALL_TEST(test_slow),
		CALL_TEST(test_monitor),
		CALL_TEST(test_monitor_filters),
		CALL_TEST(test_monitor_refused),
		CALL_TEST(test_log_level),
		CALL_TEST(test_status),
		CALL_TEST(test_stats),
		CALL_TEST(test_stats_saturate),
		CALL_TEST(test_flush),
		CALL_TEST(test_flush_refused),
		CALL_TEST(test_reload_and_config),
		CALL_TEST(test_oneway_gets_no_reply),
		CALL_TEST(test_garbage),
		CALL_TEST(test_nesting),
		CALL_TEST(test_no_memory_for_calls),
		CALL_TEST(test_no_memory_for_slow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
