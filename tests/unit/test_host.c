/* test_host.c - where a server is: found, lost, found again; hours of it. */
#include "ask_rig.h"

#include "alloc_fail.h"

#include "upstream/host.h"

#include <errno.h>

struct world {
	struct rig       rig;
	struct host_env  env;
	struct host     *host;
	unsigned         changes;
	struct addr_list last;		/* as changed() saw it */
	bool             wanted;
};

static struct world w;

static void world_changed(void *arg, struct host *h)
{
	assert_ptr_equal(arg, &w);
	w.changes++;
	host_addresses(h, &w.last);
}

static bool world_wanted(void *arg, const struct host *h)
{
	assert_ptr_equal(arg, &w);
	assert_ptr_equal(h, w.host);
	return w.wanted;
}

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof w);
	rig_init(&w.rig, 2);
	w.env = (struct host_env){ .clock = &w.rig.clock, .rng = &w.rig.rng, .timers = &w.rig.timers,
		                   .servers = w.rig.servers, .server_count = 1, .changed = world_changed,
		                   .wanted = world_wanted, .arg = &w };
	w.host = host_new("Dot.Example", &w.env);
	assert_non_null(w.host);
	log_set_level(LOG_LEVEL_ERROR);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	host_unref(w.host);
	rig_done(&w.rig);
	return 0;
}

static void expect_at(const char *const *texts)
{
	struct addr_list l;
	unsigned         n = 0;

	host_addresses(w.host, &l);
	for (; texts[n]; n++) {
		char text[ADDR_TEXT_MAX];

		assert_true(n < l.count);
		assert_string_equal(addr_format_host(&l.at[n], text), texts[n]);
	}
	assert_int_equal(l.count, n);
}

#define AT(...) expect_at((const char *const[]){ __VA_ARGS__, NULL })
#define NOWHERE expect_at((const char *const[]){ NULL })

static void answer(unsigned server, uint16_t qtype, uint32_t ttl_s, const char *one, const char *two)
{
	rig_reply(&w.rig, server, qtype, &(struct rig_reply){ .ttl_s = ttl_s, .data = { one, two } });
}

static void deny(unsigned server, uint16_t qtype)
{
	rig_reply(&w.rig, server, qtype, &(struct rig_reply){ .rcode = DNS_NXDOMAIN });
}

/* How long until the next lookup begins. */
static uint64_t wait_for_lookup(uint64_t most_ms)
{
	size_t   before = w.rig.sent_count;
	uint64_t began_us = w.rig.now_us;

	while (w.rig.sent_count == before) {
		assert_true(w.rig.now_us - began_us <= most_ms * 1000);
		rig_pass(&w.rig, 1);
	}
	return (w.rig.now_us - began_us) / 1000;
}

static void lookup_fails(void)
{
	deny(0, DNS_A);
	deny(0, DNS_AAAA);
	rig_pass(&w.rig, 1);
}

static void test_families_count_at_once(void **state)
{
	(void)state;
	host_ask(w.host);
	assert_int_equal(rig_count(&w.rig, 0, DNS_A), 1);
	assert_int_equal(rig_count(&w.rig, 0, DNS_AAAA), 1);
	answer(0, DNS_A, 300, "192.0.2.1", "192.0.2.2");
	assert_int_equal(w.changes, 1);
	AT("192.0.2.1", "192.0.2.2");
	answer(0, DNS_AAAA, 300, "2001:db8::1", "2001:db8::2");
	assert_int_equal(w.changes, 2);
	AT("2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2");
	assert_int_equal(w.last.count, 4);
	assert_null(host_trouble(w.host));
	rig_pass(&w.rig, 1);
}

static void test_again_when_the_ttl_ends(void **state)
{
	static const struct { uint32_t ttl_s, wait_s; } cases[] = {
		{ 0, 60 }, { 5, 60 }, { 600, 600 }, { 86400, 3600 },
	};

	(void)state;
	host_ask(w.host);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		answer(0, DNS_A, cases[i].ttl_s, "192.0.2.1", NULL);
		answer(0, DNS_AAAA, 86400, "2001:db8::1", NULL);
		rig_pass(&w.rig, 1);
		assert_in_range(wait_for_lookup(4000000), cases[i].wait_s * 1000 - 1, cases[i].wait_s * 1000 + 1);
	}
	assert_int_equal(w.changes, 2);		/* what was found again is no news */
}

static void test_old_addresses_outlive_failures(void **state)
{
	(void)state;
	host_ask(w.host);
	answer(0, DNS_A, 60, "192.0.2.1", NULL);
	answer(0, DNS_AAAA, 60, "2001:db8::1", NULL);
	wait_for_lookup(61000);
	deny(0, DNS_A);				/* there is no such name, it says: that is no reason */
	deny(0, DNS_AAAA);
	rig_pass(&w.rig, 1);
	AT("2001:db8::1", "192.0.2.1");
	assert_string_equal(host_trouble(w.host), "bootstrap 192.0.2.0 knows no such name");
	rig_pass(&w.rig, 3600000);		/* silence */
	AT("2001:db8::1", "192.0.2.1");
	assert_string_equal(host_trouble(w.host), "bootstrap 192.0.2.0 does not answer");
	assert_int_equal(w.changes, 2);
	wait_for_lookup(70000);
	assert_string_equal(host_trouble(w.host), "bootstrap 192.0.2.0 does not answer");	/* so far */
	answer(0, DNS_A, 300, "192.0.2.9", NULL);
	rig_pass(&w.rig, 3000);			/* AAAA stays silent, and keeps what it had */
	AT("2001:db8::1", "192.0.2.9");
	assert_null(host_trouble(w.host));
}

static void test_one_family_goes(void **state)
{
	(void)state;
	host_ask(w.host);
	answer(0, DNS_A, 60, "192.0.2.1", NULL);
	answer(0, DNS_AAAA, 60, "2001:db8::1", NULL);
	wait_for_lookup(61000);
	answer(0, DNS_AAAA, 60, NULL, NULL);
	rig_pass(&w.rig, 1);
	AT("2001:db8::1", "192.0.2.1");		/* not before it is known that the other is there */
	answer(0, DNS_A, 60, "192.0.2.1", NULL);
	rig_pass(&w.rig, 1);
	AT("192.0.2.1");
	assert_int_equal(w.changes, 3);
}

static void test_backoff(void **state)
{
	uint64_t wait_ms = 500;

	(void)state;
	host_ask(w.host);
	for (unsigned i = 0; i < 12; i++) {
		lookup_fails();
		assert_in_range(wait_for_lookup(61000), wait_ms * 4 / 5 - 1, wait_ms + 1);
		wait_ms = wait_ms < 30000 ? wait_ms * 2 : 60000;
	}
	answer(0, DNS_A, 600, "192.0.2.1", NULL);
	answer(0, DNS_AAAA, 600, NULL, NULL);
	rig_pass(&w.rig, 1);
	wait_for_lookup(601000);
	lookup_fails();				/* anew */
	assert_in_range(wait_for_lookup(61000), 399, 501);
}

static void test_whoever_waits_is_not_kept_waiting(void **state)
{
	(void)state;
	host_ask(w.host);
	for (unsigned i = 0; i < 8; i++) {
		lookup_fails();
		wait_for_lookup(61000);
	}
	lookup_fails();
	rig_pass(&w.rig, 2000);
	w.wanted = true;
	assert_true(wait_for_lookup(500) <= 500);
	lookup_fails();
	assert_true(wait_for_lookup(501) <= 501);
	answer(0, DNS_A, 60, "192.0.2.1", NULL);
	answer(0, DNS_AAAA, 60, NULL, NULL);
	wait_for_lookup(61000);
	lookup_fails();				/* with an address there is no such hurry */
	wait_for_lookup(501);
	lookup_fails();
	assert_true(wait_for_lookup(61000) > 501);
}

static void test_doubt(void **state)
{
	(void)state;
	host_ask(w.host);
	host_doubt(w.host);			/* it is being asked */
	answer(0, DNS_A, 86400, "192.0.2.1", NULL);
	answer(0, DNS_AAAA, 86400, NULL, NULL);
	rig_pass(&w.rig, 1);
	host_doubt(w.host);
	host_doubt(w.host);
	assert_in_range(wait_for_lookup(5001), 4999, 5001);	/* it has just been asked */
	answer(0, DNS_A, 86400, "192.0.2.1", NULL);
	answer(0, DNS_AAAA, 86400, NULL, NULL);
	rig_pass(&w.rig, 600000);
	host_doubt(w.host);
	assert_true(wait_for_lookup(1) <= 1);
}

static void test_what_is_no_address(void **state)
{
	(void)state;
	host_ask(w.host);
	answer(0, DNS_A, 60, "0.0.0.0", "224.0.0.1");
	answer(0, DNS_AAAA, 60, "::", NULL);
	rig_pass(&w.rig, 1);
	NOWHERE;
	assert_string_equal(host_trouble(w.host), "bootstrap 192.0.2.0 knows no address for it");
	wait_for_lookup(501);
	rig_reply(&w.rig, 0, DNS_A, &(struct rig_reply){ .ttl_s = 60, .data = {
		"192.0.2.1", "0.0.0.0", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5" } });
	AT("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4");
}

static void test_two_servers(void **state)
{
	(void)state;
	w.env.server_count = 2;
	host_ask(w.host);
	deny(1, DNS_A);
	deny(1, DNS_AAAA);
	rig_pass(&w.rig, 100);
	answer(0, DNS_A, 60, "192.0.2.1", NULL);
	answer(0, DNS_AAAA, 60, "2001:db8::1", NULL);
	AT("2001:db8::1", "192.0.2.1");
	wait_for_lookup(61000);
	rig_lose(&w.rig, 1, DNS_A, -ECONNREFUSED);
	rig_lose(&w.rig, 1, DNS_AAAA, -ECONNREFUSED);
	rig_pass(&w.rig, 3000);
	assert_string_equal(host_trouble(w.host), "bootstrap 192.0.2.0 does not answer, 192.0.2.1 cannot be reached");
}

static void test_remembered(void **state)
{
	struct addr_list l = { .count = 0 };
	struct addr      a;

	(void)state;
	assert_int_equal(addr_parse("192.0.2.1", 0, &a), 0);
	addr_list_add(&l, &a);
	assert_int_equal(addr_parse("2001:db8::1", 0, &a), 0);
	addr_list_add(&l, &a);
	host_remember(w.host, &l);
	AT("2001:db8::1", "192.0.2.1");
	host_ask(w.host);
	rig_pass(&w.rig, 4000);
	AT("2001:db8::1", "192.0.2.1");
	wait_for_lookup(61000);
	answer(0, DNS_A, 60, "192.0.2.1", NULL);
	answer(0, DNS_AAAA, 60, "2001:db8::1", NULL);
	assert_int_equal(w.changes, 0);
}

static void test_rests_while_servers_change(void **state)
{
	(void)state;
	host_ask(w.host);
	host_rest(w.host);
	assert_int_equal(rig_open_sends(&w.rig), 0);
	rig_pass(&w.rig, 100000);
	assert_int_equal(w.rig.sent_count, 2);
	host_ask(w.host);
	assert_int_equal(rig_open_sends(&w.rig), 2);
}

static void test_no_name(void **state)
{
	(void)state;
	assert_null(host_new("a..b", &w.env));
}

static bool host_once(void *arg)
{
	struct host *h = host_new("dot.example", arg);
	bool         good = h != NULL;

	host_unref(h);
	return good;
}

static void test_memory(void **state)
{
	(void)state;
	alloc_fail_each(host_once, &w.env);
	host_ask(w.host);			/* transports are there from now on */
	host_rest(w.host);
	for (unsigned n = 1; n <= 2; n++) {	/* one family cannot be asked for: the other is */
		alloc_fail_at(n);
		host_ask(w.host);
		assert_true(alloc_failed());
		alloc_fail_at(0);
		assert_int_equal(rig_open_sends(&w.rig), 1);
		host_rest(w.host);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(test_families_count_at_once),
		TEST(test_again_when_the_ttl_ends),
		TEST(test_old_addresses_outlive_failures),
		TEST(test_one_family_goes),
		TEST(test_backoff),
		TEST(test_whoever_waits_is_not_kept_waiting),
		TEST(test_doubt),
		TEST(test_what_is_no_address),
		TEST(test_two_servers),
		TEST(test_remembered),
		TEST(test_rests_while_servers_change),
		TEST(test_no_name),
		TEST(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
