/* test_refresh.c - the wheel of popular names: when a refresh goes out, once for a name, within the budget, and
 * what becomes of its claim.  PREF-01, PREF-02, PREF-03; the rest is told by the scenarios prefetch-*.scn. */
#include "exchange_rig.h"

#include "alloc_fail.h"
#include "cache/cache.h"
#include "draft.h"
#include "oracle.h"
#include "resolve/refresh.h"

#include <errno.h>

#define ROUTE_ID 5
#define TTL_S    100

static struct rig            rig;
static struct cache         *cache;
static struct flights       *flights;
static struct refreshes_env  env;
static struct view          *view;
static struct refreshes     *refreshes;
static size_t                way[1];
static char                  url[] = "udp://192.0.2.1:53";
static struct upstream_conf  upstream;
static struct route_conf     routes[1] = { { .suffix_len = 1, .id = ROUTE_ID, .upstreams = way, .upstream_count = 1 } };
static struct policy_conf    policy = { .routes = routes, .route_count = 1 };
static struct draft          draft;

static int setup_all(void **state)
{
	static const uint8_t    secret[16];
	const struct cache_conf cache_conf = { .size_octets = (size_t)1 << 20 };
	const struct setup_conf conf = {
		.policy = &policy, .upstreams = &upstream, .upstream_count = 1, .worker_count = 1,
		.times = { .query_timeout_ms = 4000, .resolve_timeout_ms = 10000, .edns_size = 1232, .max_flights = 4096 },
		.cache_times = { .ttl_max_s = 86400, .negative_max_s = 900, .failure_first_s = 5, .failure_max_s = 60 },
	};

	(void)state;
	rig_init(&rig);
	upstream = rig_upstream(url);
	cache = cache_new(&cache_conf, secret);
	cache_set_stale(cache, 3600);
	view = view_new(setup_new(&conf, NULL), NULL, &rig.env);
	flights = flights_new(&(struct flights_env){ &rig.env, &rig.timers, cache, &view });
	env = (struct refreshes_env){ &rig.env, &rig.timers, cache, flights, &view };
	refreshes = refreshes_new(&env);
	return cache && view && flights && refreshes ? 0 : -1;
}

static int teardown_all(void **state)
{
	(void)state;
	refreshes_free(refreshes);
	flights_free(flights);
	assert_true(timers_next_ms(&rig.timers) == UINT64_MAX);
	view_unref(view);
	cache_free(cache);
	rig_done(&rig);
	return 0;
}

/* ---- names, hits and time ---- */

static struct cache_key key_of(const struct dns_name *name)
{
	return (struct cache_key){ .qname = name->octets, .qname_len = name->len, .qtype = DNS_A, .route = ROUTE_ID,
	                           .name_hash = cache_hash_name(cache, name->octets, name->len) };
}

static struct dns_name name_of(unsigned n)
{
	struct dns_name name;
	char            text[32];

	snprintf(text, sizeof text, "n%u.example.", n);
	assert_int_equal(dns_name_from_text(text, &name), 0);
	return name;
}

static void put(unsigned n, uint32_t ttl_s)
{
	const struct dns_answer a = { .kind = DNS_ANSWER_POSITIVE, .ttl_s = ttl_s };
	struct dns_name         name = name_of(n);
	struct cache_key        key = key_of(&name);

	assert_int_equal(cache_put(cache, &key, &a, rig.boot_ms), 0);
}

static struct cache_found peek(unsigned n)
{
	struct dns_name    name = name_of(n);
	struct cache_key   key = key_of(&name);
	struct cache_found found;

	assert_true(cache_peek(cache, &key, rig.boot_ms, &found));
	return found;
}

/* As the resolver does it. */
static void hit(unsigned n, unsigned times)
{
	struct dns_name    name = name_of(n);
	struct cache_key   key = key_of(&name);
	struct cache_found found;
	uint8_t            out[512];

	while (times--) {
		assert_int_equal(cache_find(cache, &key, rig.boot_ms, out, sizeof out, &found), CACHE_FRESH);
		if (refresh_is_near(&found))
			refreshes_on_hit(refreshes, 0, &key, &found);
	}
}

static void pass(uint64_t ms)
{
	uint64_t end_ms = rig.mono_us / 1000 + ms, next_ms;

	while ((next_ms = timers_next_ms(&rig.timers)) <= end_ms) {
		rig.boot_ms += next_ms - rig.mono_us / 1000;
		rig.mono_us = next_ms * 1000;
		timers_run(&rig.timers, next_ms);
	}
	rig.boot_ms += end_ms - rig.mono_us / 1000;
	rig.mono_us = end_ms * 1000;
	timers_run(&rig.timers, end_ms);
}

/* The upstream answers the last question. */
static void answer(uint32_t ttl_s)
{
	struct exchange *x = (struct exchange *)((char *)rig.last - offsetof(struct exchange, send));
	struct oracle    o;
	char             text[DNS_NAME_TEXT_MAX];

	assert_true(oracle_read(&o, rig.sent, rig.sent_len));
	dns_name_to_text(o.qname.octets, o.qname.len, text);
	draft_begin(&draft, RIG_ID, DNS_QR | DNS_RD | DNS_RA);
	draft_question(&draft, text, o.qtype, DNS_IN);
	draft_a(&draft, DRAFT_ANSWER, text, ttl_s, "192.0.2.7");
	oracle_done(&o);
	x->send.on->message(&x->send, draft.octets, draft.len);
}

static uint64_t counted(enum stats_counter c)
{
	return rig.stats.counter[c];
}

/* Questions taken upstream. */
static uint64_t asked(void)
{
	return counted(STATS_FLIGHTS);
}

/* Until one more is asked; gives how long that took. */
static uint64_t pass_until_asked(void)
{
	uint64_t before = asked(), began_ms = rig.boot_ms;

	while (asked() == before) {
		assert_true(timers_next_ms(&rig.timers) != UINT64_MAX);
		pass(timers_next_ms(&rig.timers) - rig.mono_us / 1000);
	}
	return rig.boot_ms - began_ms;
}

/* ---- */

/* PREF-01: at the third hit it is noted, whoever hits it later; once, in the last tenth of its TTL. */
static void test_third_hit(void **state)
{
	(void)state;
	put(1, TTL_S);
	hit(1, 2);
	assert_int_equal(peek(1).claim, CACHE_UNCLAIMED);
	assert_true(timers_next_ms(&rig.timers) == UINT64_MAX);
	hit(1, 50);
	assert_int_equal(peek(1).claim, CACHE_CLAIMED);
	assert_in_range(pass_until_asked(), 90000, 95125);
	hit(1, 50);
	assert_int_equal(asked(), 1);
	assert_int_equal(counted(STATS_PREFETCH_TIMER), 1);
	answer(TTL_S);
	assert_int_equal(counted(STATS_PREFETCH_GAINED), 1);
	assert_int_equal(peek(1).claim, CACHE_UNCLAIMED);
	assert_int_equal(peek(1).hits, 0);
	pass(1000000);			/* nobody asks for it any more */
	assert_int_equal(asked(), 1);
}

/* Two hits are enough in the last tenth of a TTL of 10 s or more; then it goes out at once. */
static void test_near_the_end(void **state)
{
	(void)state;
	put(1, TTL_S);
	put(2, 9);
	hit(1, 1);
	hit(2, 1);
	pass(8500);
	hit(2, 1);			/* too short to be worth it */
	pass(82000);
	assert_int_equal(asked(), 0);
	hit(1, 1);
	assert_int_equal(asked(), 1);
	assert_int_equal(counted(STATS_PREFETCH_HIT), 1);
	answer(TTL_S);
	assert_int_equal(counted(STATS_PREFETCH_GAINED), 1);
}

/* An upstream that is a cache: an early refresh brings what is left.  That is learned, and from then on refreshes
 * go out at the end. */
static void test_useless(void **state)
{
	struct health *h = &view->channels[0]->upstream->health;

	(void)state;
	put(1, TTL_S);
	hit(1, 3);
	pass_until_asked();
	answer(3);
	assert_int_equal(counted(STATS_PREFETCH_USELESS), 1);
	assert_true(atomic_load(&h->early) < 0);
	assert_in_range(pass_until_asked(), 3000, 3130);	/* the end of what came, and no sooner */
	assert_int_equal(counted(STATS_PREFETCH_EXPIRY), 1);
	answer(TTL_S);
	assert_int_equal(counted(STATS_PREFETCH_GAINED), 1);
	assert_int_equal(peek(1).claim, CACHE_UNCLAIMED);
	pass(95000);
	hit(1, 2);			/* early is no use: not by a hit either */
	assert_int_equal(asked(), 2);
}

/* PREF-02: one that fails leaves the answer, and is not repeated before its end. */
static void test_failed(void **state)
{
	(void)state;
	put(1, TTL_S);
	hit(1, 3);
	rig.send_error = -ECONNREFUSED;
	pass(96000);
	assert_int_equal(counted(STATS_PREFETCH_TIMER), 1);
	assert_int_equal(counted(STATS_PREFETCH_FAILED), 1);
	assert_int_equal(peek(1).claim, CACHE_GIVEN_UP);
	hit(1, 10);
	assert_int_equal(counted(STATS_PREFETCH_HIT), 0);
	rig.send_error = 0;
}

/* PREF-03: a hundred at once, then twenty a second; what is over that waits. */
static void test_budget(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 300; n++) {
		put(n, 2);
		hit(n, 3);
	}
	pass_until_asked();
	pass(260);			/* a quarter of a second before the end at the latest: all are due by now */
	assert_in_range(asked(), 100, 106);
	assert_true(counted(STATS_PREFETCH_REFUSED) >= 190);
	refreshes_credit(refreshes, 200);	/* as many queries of clients pay for twenty more */
	pass(100);
	assert_in_range(asked(), 120, 128);
}

/* Whoever goes ends its claims. */
static void test_let_go(void **state)
{
	(void)state;
	put(1, TTL_S);
	hit(1, 3);
	pass_until_asked();		/* this one is under way, the other one waits */
	put(2, TTL_S);
	hit(2, 3);
	refreshes_free(refreshes);
	assert_int_equal(peek(1).claim, CACHE_UNCLAIMED);
	assert_int_equal(peek(2).claim, CACHE_UNCLAIMED);
	refreshes = refreshes_new(&env);
	assert_non_null(refreshes);
	hit(2, 1);
	assert_int_equal(peek(2).claim, CACHE_CLAIMED);	/* the next hit notes it anew */
}

static bool run_refreshes(void *arg)
{
	struct refreshes *rs = refreshes_new(arg);

	refreshes_free(rs);
	return rs;
}

static void test_no_memory(void **state)
{
	(void)state;
	assert_int_equal(alloc_fail_each(run_refreshes, &env), 2);
	refreshes_free(NULL);
}

#define REFRESH_TEST(name) cmocka_unit_test_setup_teardown(name, setup_all, teardown_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		REFRESH_TEST(test_third_hit),
		REFRESH_TEST(test_near_the_end),
		REFRESH_TEST(test_useless),
		REFRESH_TEST(test_failed),
		REFRESH_TEST(test_budget),
		REFRESH_TEST(test_let_go),
		REFRESH_TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
