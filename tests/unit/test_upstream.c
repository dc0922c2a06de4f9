/* test_upstream.c - an upstream that has several addresses, or none yet. */
#include "unit.h"

#include "exchange_rig.h"

#include "upstream/prober.h"

#include <errno.h>

#define PORT 53

struct world {
	struct rig       rig;
	struct upstream *up;
	struct channel  *one, *two;
};

static struct world w;

static struct addr_list list_of(const char *const *texts)
{
	struct addr_list l = { .count = 0 };

	for (; *texts; texts++) {
		struct addr a;

		assert_int_equal(addr_parse(*texts, PORT, &a), 0);
		addr_list_add(&l, &a);
	}
	return l;
}

#define LIST(...) list_of((const char *const[]){ __VA_ARGS__, NULL })

static void expect(const struct addr_list *l, const char *const *texts)
{
	struct addr_list want = list_of(texts);

	assert_int_equal(l->count, want.count);
	for (unsigned i = 0; i < want.count; i++)
		assert_true(addr_equal(&l->at[i], &want.at[i]));
}

static void expect_places(const char *const *texts)
{
	struct addr_list l;

	upstream_places(w.up, &l);
	expect(&l, texts);
}

#define PLACES(...) expect_places((const char *const[]){ __VA_ARGS__, NULL })
#define AIMED(...)  expect(&w.rig.aimed, (const char *const[]){ __VA_ARGS__, NULL })

static bool place(struct addr_list l)
{
	return upstream_place(w.up, &l, w.rig.mono_us);
}

static int setup(void **state)
{
	char                 name[] = "udp://dot.example:53", host[] = "dot.example";
	struct upstream_conf conf = { .name = name, .url = name, .host = host, .port = PORT };

	(void)state;
	rig_init(&w.rig);
	w.up = upstream_new(&conf, 1);
	w.one = channel_new(w.up, &w.rig.env);
	w.two = channel_new(w.up, &w.rig.env);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	channel_unref(w.one);
	channel_unref(w.two);
	upstream_unref(w.up);
	rig_done(&w.rig);
	return 0;
}

static void test_nowhere(void **state)
{
	struct health_view v;

	(void)state;
	assert_int_equal(health_state(&w.up->health), HEALTH_OPEN);
	assert_null(channel_transport(w.one, TRANSPORT_UDP));
	health_give_order(&w.up->health, HEALTH_UP, w.rig.mono_us);
	assert_int_equal(health_state(&w.up->health), HEALTH_OPEN);
	health_give_order(&w.up->health, HEALTH_AUTO, w.rig.mono_us);
	upstream_way_changed(w.up, w.rig.mono_us);
	assert_int_equal(health_state(&w.up->health), HEALTH_OPEN);
	assert_false(health_is_hopeless(&w.up->health));
	assert_int_equal(health_next_probe_us(&w.up->health), UINT64_MAX);
	upstream_lack_place(w.up, w.rig.mono_us);
	health_read(&w.up->health, &v);
	assert_int_equal(v.reason, HEALTH_UNRESOLVED);
	assert_int_equal(v.opened_us, w.rig.mono_us);
	prober_want(w.one);
	assert_true(health_is_wanted(&w.up->health, w.rig.mono_us));
	assert_false(health_is_wanted(&w.up->health, w.rig.mono_us + 1000001));
	assert_int_equal(timers_next_ms(&w.rig.timers), UINT64_MAX);
}

static void test_somewhere(void **state)
{
	uint32_t epoch = atomic_load(&w.up->health.epoch);

	(void)state;
	assert_true(place(LIST("192.0.2.1")));
	assert_int_equal(health_state(&w.up->health), HEALTH_GOOD);
	assert_true(atomic_load(&w.up->health.epoch) > epoch);		/* parked flights go */
	assert_false(place(LIST("192.0.2.1")));
	assert_non_null(channel_transport(w.one, TRANSPORT_UDP));
	AIMED("192.0.2.1");
	epoch = atomic_load(&w.up->health.epoch);
	assert_true(place(LIST("2001:db8::1", "192.0.2.1")));
	assert_int_equal(atomic_load(&w.up->health.epoch), epoch);	/* nothing had failed */
	PLACES("192.0.2.1", "2001:db8::1");				/* what is in use stays first */
	AIMED("192.0.2.1");
	channel_transport(w.one, TRANSPORT_UDP);
	AIMED("192.0.2.1", "2001:db8::1");
	assert_int_equal(w.rig.made, 1);
	channel_transport(w.one, TRANSPORT_TCP);
	AIMED("192.0.2.1", "2001:db8::1");
	assert_true(place(LIST("192.0.2.2", "192.0.2.3")));
	PLACES("192.0.2.2", "192.0.2.3");
	assert_false(place(LIST("192.0.2.3", "192.0.2.2")));		/* in another order it is the same */
	PLACES("192.0.2.2", "192.0.2.3");
}

static void test_moving_on(void **state)
{
	(void)state;
	place(LIST("192.0.2.1", "192.0.2.2", "192.0.2.3"));
	channel_transport(w.one, TRANSPORT_UDP);
	channel_transport(w.two, TRANSPORT_UDP);
	assert_true(channel_move_on(w.one));
	assert_true(channel_move_on(w.one));	/* of what was sent to the same address */
	assert_true(channel_move_on(w.two));
	PLACES("192.0.2.2", "192.0.2.3", "192.0.2.1");
	channel_transport(w.two, TRANSPORT_UDP);
	AIMED("192.0.2.2", "192.0.2.3", "192.0.2.1");
	assert_true(channel_move_on(w.two));
	PLACES("192.0.2.3", "192.0.2.1", "192.0.2.2");
	place(LIST("192.0.2.1"));
	channel_transport(w.one, TRANSPORT_UDP);
	assert_false(channel_move_on(w.one));
}

static void no_event(struct exchange *x, enum exchange_event event, const struct dns_answer *answer,
                     const struct dns_name *target)
{
	(void)x, (void)event, (void)answer, (void)target;
	fail();
}

/* Our own system refuses the first address, and that is no failure. */
static void test_no_way_to_the_first(void **state)
{
	static const uint8_t           name[] = "\3www\7example";
	const struct exchange_question q = { .scrub = { .qname = name, .qname_len = sizeof name, .qtype = 1 },
		                             .edns_size = 1232 };
	struct exchange                x = { .question = &q, .channel = w.one, .on_event = no_event };

	(void)state;
	place(LIST("2001:db8::1", "192.0.2.1"));
	w.rig.refuses_v6 = true;
	assert_int_equal(exchange_start(&x, TRANSPORT_UDP), 0);
	PLACES("192.0.2.1", "2001:db8::1");
	exchange_end(&x);
	w.rig.send_error = -ENETUNREACH;
	assert_int_equal(exchange_start(&x, TRANSPORT_UDP), -ENETUNREACH);	/* it ends */
}

static void test_who_answers_stays(void **state)
{
	static const uint8_t       name[] = "\3www\7example";
	const struct health_answer a = { .qname = name, .qname_len = sizeof name, .qtype = 1,
		                         .sent_us = w.rig.mono_us };

	(void)state;
	place(LIST("192.0.2.1", "192.0.2.2"));
	channel_transport(w.one, TRANSPORT_UDP);
	health_answered(&w.up->health, &a, w.rig.mono_us);
	prober_failed(w.one, HEALTH_SILENT, 1);
	PLACES("192.0.2.1", "192.0.2.2");
	w.rig.mono_us += 1000001;
	prober_failed(w.one, HEALTH_SERVFAIL, 1);	/* it is there */
	PLACES("192.0.2.1", "192.0.2.2");
	prober_failed(w.one, HEALTH_SILENT, 1);
	PLACES("192.0.2.2", "192.0.2.1");
}

static void test_winner_leads(void **state)
{
	struct addr_list         l = LIST("2001:db8::1", "192.0.2.1", "192.0.2.2");
	struct transport_opening how = { .to = &l.at[1], .connect_us = 1000 };

	(void)state;
	place(l);
	channel_transport(w.one, TRANSPORT_TCP);
	w.rig.conf.opened(w.rig.conf.arg, &how);
	PLACES("192.0.2.1", "2001:db8::1", "192.0.2.2");
	channel_transport(w.two, TRANSPORT_TCP);
	AIMED("192.0.2.1", "2001:db8::1", "192.0.2.2");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(test_nowhere),
		TEST(test_somewhere),
		TEST(test_moving_on),
		TEST(test_no_way_to_the_first),
		TEST(test_who_answers_stays),
		TEST(test_winner_leads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
