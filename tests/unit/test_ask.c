/* test_ask.c - one question, several servers. */
#include "ask_rig.h"

#include "alloc_fail.h"

#include "upstream/ask.h"

#include <errno.h>

static const uint8_t www[] = "\3www\7example";	/* with the root's octet */

struct world {
	struct rig  rig;
	struct ask *ask;
	unsigned    offered, over;
	bool        taken;		/* as over() said */
	bool        take;		/* what take() says */
	uint8_t     kind;
	uint8_t     data[64];
	size_t      found;
};

static struct world w;

static bool world_take(void *arg, const struct dns_answer *a, const struct dns_name *name)
{
	assert_ptr_equal(arg, &w);
	w.offered++;
	w.kind = a->kind;
	w.found = ask_read_data(a, name, DNS_A, 4, w.data, 8);
	return w.take;
}

static void world_over(void *arg, bool taken)
{
	assert_ptr_equal(arg, &w);
	w.over++;
	w.taken = taken;
}

static bool world_ask(size_t servers)
{
	const struct ask_conf conf = { .servers = w.rig.servers, .server_count = servers, .qname = www,
		                       .qname_len = sizeof www, .qtype = DNS_A, .take = world_take,
		                       .over = world_over, .arg = &w };

	w.ask = ask_begin(&conf);
	return w.ask != NULL;
}

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof w);
	w.take = true;
	rig_init(&w.rig, 3);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ask_end(w.ask);
	rig_done(&w.rig);
	return 0;
}

static const struct rig_reply found = { .ttl_s = 300, .data = { "203.0.113.1", "203.0.113.2" } };
static const struct rig_reply nothing = { .ttl_s = 300 };

static void test_first_answer_ends_it(void **state)
{
	(void)state;
	assert_true(world_ask(3));
	assert_int_equal(rig_open_sends(&w.rig), 3);
	rig_reply(&w.rig, 1, DNS_A, &found);
	assert_int_equal(w.offered, 1);
	assert_int_equal(w.found, 2);
	assert_memory_equal(w.data, "\xcb\0\x71\1\xcb\0\x71\2", 8);
	assert_int_equal(w.over, 0);		/* not within the call that brought it */
	rig_pass(&w.rig, 1);
	assert_int_equal(w.over, 1);
	assert_true(w.taken);
	assert_int_equal(rig_open_sends(&w.rig), 0);
	rig_pass(&w.rig, 10000);
	assert_int_equal(w.over, 1);
}

static void test_no_use_is_no_end(void **state)
{
	(void)state;
	assert_true(world_ask(3));
	w.take = false;
	rig_reply(&w.rig, 0, DNS_A, &nothing);
	rig_pass(&w.rig, 100);
	assert_int_equal(w.over, 0);
	rig_reply(&w.rig, 2, DNS_A, &(struct rig_reply){ .rcode = DNS_NXDOMAIN });
	w.take = true;
	rig_reply(&w.rig, 1, DNS_A, &found);
	rig_pass(&w.rig, 1);
	assert_true(w.over == 1 && w.taken);
}

static void test_all_have_failed(void **state)
{
	(void)state;
	assert_true(world_ask(3));
	w.take = false;
	rig_reply(&w.rig, 0, DNS_A, &(struct rig_reply){ .rcode = DNS_NXDOMAIN });
	rig_reply(&w.rig, 1, DNS_A, &(struct rig_reply){ .rcode = DNS_REFUSED });
	rig_lose(&w.rig, 2, DNS_A, -ECONNREFUSED);
	rig_pass(&w.rig, 1);			/* nobody is left: that is not waited for */
	assert_true(w.over == 1 && !w.taken);
	assert_true(ask_was_answered(w.ask));
	assert_string_equal(ask_in_words(w.ask, 0), "knows no such name");
	assert_string_equal(ask_in_words(w.ask, 1), "refuses");
	assert_string_equal(ask_in_words(w.ask, 2), "cannot be reached");
}

static void test_silence(void **state)
{
	uint64_t began_ms = w.rig.now_us / 1000;

	(void)state;
	assert_true(world_ask(1));
	rig_pass(&w.rig, ASK_TIME_MS - 1);
	assert_int_equal(w.over, 0);
	assert_int_equal(rig_count(&w.rig, 0, DNS_A), 3);
	assert_int_equal(w.rig.sent[1].at_ms - began_ms, 500);
	assert_int_equal(w.rig.sent[2].at_ms - began_ms, 1500);
	assert_int_equal(rig_open_sends(&w.rig), 3);		/* a late answer to the first counts */
	rig_pass(&w.rig, 1);
	assert_true(w.over == 1 && !w.taken);
	assert_false(ask_was_answered(w.ask));
	assert_string_equal(ask_in_words(w.ask, 0), "does not answer");
}

static void test_one_that_is_lost_is_done_with(void **state)
{
	(void)state;
	assert_true(world_ask(1));
	rig_pass(&w.rig, 600);
	assert_int_equal(rig_open_sends(&w.rig), 2);
	rig_lose(&w.rig, 0, DNS_A, -ECONNREFUSED);
	rig_pass(&w.rig, 1);
	assert_true(w.over == 1 && !w.taken);
}

static void test_truncated_goes_by_stream(void **state)
{
	(void)state;
	assert_true(world_ask(1));
	rig_reply(&w.rig, 0, DNS_A, &(struct rig_reply){ .truncated = true });
	assert_int_equal(rig_find(&w.rig, 0, DNS_A)->kind, TRANSPORT_TCP);
	rig_lose(&w.rig, 0, DNS_A, -ECONNRESET);		/* once more, over a new connection */
	assert_int_equal(rig_open_sends(&w.rig), 1);
	rig_pass(&w.rig, 1000);
	assert_int_equal(w.rig.sent_count, 3);			/* a stream loses nothing: no resends */
	rig_reply(&w.rig, 0, DNS_A, &found);
	rig_pass(&w.rig, 1);
	assert_true(w.over == 1 && w.taken);
}

static void test_connection_lost_twice(void **state)
{
	(void)state;
	assert_true(world_ask(1));
	rig_reply(&w.rig, 0, DNS_A, &(struct rig_reply){ .truncated = true });
	rig_lose(&w.rig, 0, DNS_A, -ECONNRESET);
	rig_lose(&w.rig, 0, DNS_A, -ECONNRESET);
	rig_pass(&w.rig, 1);
	assert_true(w.over == 1 && !w.taken);
	assert_string_equal(ask_in_words(w.ask, 0), "closes connections");
}

static void test_alias_is_followed(void **state)
{
	struct rig_sent *second;

	(void)state;
	assert_true(world_ask(1));
	rig_reply(&w.rig, 0, DNS_A, &(struct rig_reply){ .ttl_s = 60, .alias = "Far.example" });
	second = rig_find(&w.rig, 0, DNS_A);
	assert_true(dns_name_equal(second->msg + DNS_HEADER_LEN, 13, (const uint8_t *)"\3far\7example", 13));
	rig_reply(&w.rig, 0, DNS_A, &found);
	assert_int_equal(w.found, 2);
	rig_pass(&w.rig, 1);
	assert_true(w.over == 1 && w.taken);
}

static void test_aliases_end(void **state)
{
	char name[32];

	(void)state;
	assert_true(world_ask(1));
	for (unsigned i = 0; rig_open_sends(&w.rig); i++) {
		assert_true(i < 20);
		snprintf(name, sizeof name, "n%u.example", i);
		rig_reply(&w.rig, 0, DNS_A, &(struct rig_reply){ .ttl_s = 60, .alias = name });
	}
	rig_pass(&w.rig, 1);
	assert_true(w.over == 1 && !w.taken);
}

static void test_cannot_be_sent(void **state)
{
	(void)state;
	w.rig.send_error[0] = -ENETUNREACH;
	assert_true(world_ask(1));
	assert_int_equal(w.over, 0);
	rig_pass(&w.rig, 1);
	assert_true(w.over == 1 && !w.taken);
	assert_string_equal(ask_in_words(w.ask, 0), "cannot be reached, for want of a route");
}

static void test_ends_in_the_middle(void **state)
{
	(void)state;
	assert_true(world_ask(3));
	rig_pass(&w.rig, 700);
	ask_end(w.ask);
	w.ask = NULL;
	assert_int_equal(rig_open_sends(&w.rig), 0);
	rig_pass(&w.rig, 10000);
	assert_int_equal(w.over, 0);
}

static bool ask_once(void *arg)
{
	bool good;

	(void)arg;
	good = world_ask(3);
	ask_end(w.ask);
	w.ask = NULL;
	return good;
}

static void test_memory(void **state)
{
	(void)state;
	ask_once(NULL);				/* transports are there from now on */
	alloc_fail_each(ask_once, NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(test_first_answer_ends_it),
		TEST(test_no_use_is_no_end),
		TEST(test_all_have_failed),
		TEST(test_silence),
		TEST(test_one_that_is_lost_is_done_with),
		TEST(test_truncated_goes_by_stream),
		TEST(test_connection_lost_twice),
		TEST(test_alias_is_followed),
		TEST(test_aliases_end),
		TEST(test_cannot_be_sent),
		TEST(test_ends_in_the_middle),
		TEST(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
