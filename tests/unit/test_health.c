/* test_health.c - the breaker: each way from state to state, and that there is no other.
 *
 * Time is a number here.  What comes of it for clients is told by the scenarios
 * breaker-*.scn.
 */
#include "unit.h"

#include "dns/message.h"
#include "upstream/health.h"

#define MS     UINT64_C(1000)
#define SECOND (1000 * MS)

static struct health h;
static uint64_t      now_us;

static int setup_health(void **state)
{
	(void)state;
	health_init(&h, "test");
	now_us = 1000 * SECOND;
	log_set_level(LOG_LEVEL_ERROR);		/* breakers open and close by the thousand */
	return 0;
}

static int teardown_health(void **state)
{
	(void)state;
	health_done(&h);
	return 0;
}

/* ---- what happens to it ---- */

static bool fails(uint64_t name)
{
	return health_failed(&h, HEALTH_SILENT, name, now_us);
}

static void answer_to(const char *text, uint16_t qtype, uint64_t took_us)
{
	struct dns_name name;

	assert_int_equal(dns_name_from_text(text, &name), 0);
	health_answered(&h, &(struct health_answer){ .qname = name.octets, .qname_len = name.len, .qtype = qtype,
	                                             .name_hash = 77, .sent_us = now_us - took_us,
	                                             .is_control = true }, now_us);
}

static void answer(void)
{
	answer_to("www.example.", DNS_A, 20 * MS);
}

static void probed(bool answered)
{
	health_probed(&h, h.asking, &(struct health_report){ answered ? HEALTH_WORKS : HEALTH_FAILS, HEALTH_SILENT, 0 }, now_us);
}

static void suspect(void)
{
	assert_false(fails(1));
	assert_true(fails(2));
	assert_int_equal(health_state(&h), HEALTH_SUSPECT);
}

static void open_breaker(void)
{
	suspect();
	probed(false);
	assert_int_equal(health_state(&h), HEALTH_OPEN);
}

static struct health_view view(void)
{
	struct health_view v;

	health_read(&h, &v);
	return v;
}

static uint64_t turned(enum health_state to)
{
	struct health_view v = view();
	uint64_t           n = 0;

	for (unsigned i = 0; i < HEALTH_REASONS; i++)
		n += v.transitions[to][i];
	return n;
}

/* ---- good and suspect ---- */

static void test_as_new(void **state)
{
	struct health_view v = view();

	(void)state;
	assert_int_equal(v.state, HEALTH_GOOD);
	assert_false(v.failed_once);
	assert_int_equal(v.p50_us, 0);
	assert_int_equal(v.hedge_us, 0);
	assert_int_equal(v.timeout_us, SECOND);
	assert_int_equal(v.epoch, 0);
	assert_int_equal(health_next_probe_us(&h), UINT64_MAX);
	assert_false(health_take_probe(&h, now_us));
	assert_false(health_is_hopeless(&h));
	assert_true(health_works(&h));
}

/* Silence for one name proves nothing, however often. */
static void test_one_name(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1000; i++, now_us += SECOND)
		assert_false(fails(7));
	assert_int_equal(health_state(&h), HEALTH_GOOD);
	assert_int_equal(view().failures, 1);
}

/* Two in a row for different names: one control question, and no second one while it is under way. */
static void test_two_names(void **state)
{
	(void)state;
	suspect();
	for (uint64_t i = 3; i < 100; i++)
		assert_false(fails(i));
	assert_int_equal(view().controls, 1);
	assert_int_equal(turned(HEALTH_SUSPECT), 1);
	assert_int_equal(view().reason, HEALTH_SILENT);
	assert_true(view().failed_once);
}

/* An answer between them: they are not in a row. */
static void test_answer_between(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 100; i++) {
		assert_false(fails(i));
		answer();
	}
	assert_int_equal(health_state(&h), HEALTH_GOOD);
	assert_int_equal(view().controls, 0);
}

/* Any valid reply clears a suspect, one that was sent long before included; the control question's own failure
 * then opens nothing. */
static void test_cleared_by_reply(void **state)
{
	(void)state;
	suspect();
	answer_to("late.example.", DNS_A, 5 * SECOND);
	assert_int_equal(health_state(&h), HEALTH_GOOD);
	assert_int_equal(view().failures, 0);
	probed(false);
	assert_int_equal(health_state(&h), HEALTH_GOOD);
	assert_int_equal(turned(HEALTH_OPEN), 0);
	assert_int_equal(view().epoch, 0);		/* it was never away */
}

static void test_cleared_by_control(void **state)
{
	(void)state;
	suspect();
	probed(true);
	assert_int_equal(health_state(&h), HEALTH_GOOD);
	assert_int_equal(view().failures, 0);
	assert_int_equal(turned(HEALTH_GOOD), 1);
	now_us += SECOND;
	suspect();					/* and everything may begin again */
	assert_int_equal(view().controls, 2);
}

/* A zone that never answers, and another that does: control questions are a quarter of a second apart. */
static void test_controls_apart(void **state)
{
	unsigned asked = 0;

	(void)state;
	for (unsigned ms = 0; ms < 10000; ms += 10, now_us += 10 * MS) {
		if (fails(ms)) {
			asked++;
			probed(true);
		}
	}
	assert_in_range(asked, 36, 40);
	assert_int_equal(turned(HEALTH_OPEN), 0);
}

/* Whoever took the question has gone without a word: after 5 s another asks. */
static void test_question_lost(void **state)
{
	(void)state;
	suspect();
	now_us += 5 * SECOND - 1;
	assert_false(fails(3));
	now_us += 1;
	assert_true(fails(4));
}

/* ---- open ---- */

static void test_opens(void **state)
{
	struct health_view v;

	(void)state;
	suspect();
	now_us += SECOND;
	health_probed(&h, h.asking, &(struct health_report){ HEALTH_FAILS, HEALTH_REFUSED, 0 }, now_us);
	v = view();
	assert_int_equal(v.state, HEALTH_OPEN);
	assert_int_equal(v.reason, HEALTH_REFUSED);	/* the control question's, not the client's */
	assert_int_equal(v.transitions[HEALTH_OPEN][HEALTH_REFUSED], 1);
	assert_int_equal(v.opened_us, now_us);
	assert_int_equal(v.next_probe_us, now_us + SECOND / 2);
	assert_int_equal(v.epoch, 0);
	for (uint64_t i = 0; i < 10; i++)		/* failures ask nothing more */
		assert_false(fails(100 + i));
}

/* 0.5 s, doubling to 30 s; one at a time; however long it lasts. */
static void test_probes(void **state)
{
	static const unsigned waits_ms[] = { 500, 1000, 2000, 4000, 8000, 16000, 30000 };

	(void)state;
	open_breaker();
	for (unsigned i = 0; i < 300; i++) {
		uint64_t wait_us = waits_ms[i < COUNT_OF(waits_ms) ? i : COUNT_OF(waits_ms) - 1] * MS;

		assert_int_equal(health_next_probe_us(&h), now_us + wait_us);
		assert_false(health_take_probe(&h, now_us + wait_us - 1));
		now_us += wait_us;
		assert_true(health_take_probe(&h, now_us));
		assert_false(health_take_probe(&h, now_us));
		assert_int_equal(health_next_probe_us(&h), now_us + 5 * SECOND);	/* unless it is lost */
		probed(false);
	}
	assert_int_equal(view().probes_sent, 300);
	assert_int_equal(turned(HEALTH_OPEN), 1);
}

/* Each wait is up to a fifth shorter. */
static void test_jitter(void **state)
{
	(void)state;
	open_breaker();
	for (unsigned i = 0; i < 256; i++) {
		uint64_t waits_us;

		now_us += 60 * SECOND;
		assert_true(health_take_probe(&h, now_us));
		health_probed(&h, h.asking, &(struct health_report){ HEALTH_FAILS, HEALTH_SILENT, (uint8_t)i }, now_us);
		waits_us = health_next_probe_us(&h) - now_us;
		if (i > 6)
			assert_in_range(waits_us, 30 * SECOND - 6 * SECOND * i / 255 - 1, 30 * SECOND - 6 * SECOND * i / 255 + 1);
	}
}

/* While a client waits: every half second, until a second after it asked last. */
static void test_wanted(void **state)
{
	unsigned probes = 0;

	(void)state;
	open_breaker();
	for (unsigned i = 0; i < 8; i++) {		/* the next one lies 30 s ahead */
		now_us += 60 * SECOND;
		assert_true(health_take_probe(&h, now_us));
		probed(false);
	}
	now_us += SECOND;
	for (unsigned ms = 0; ms < 8000; ms += 10, now_us += 10 * MS) {
		if (ms < 5000 && ms % 500 == 0)
			health_want(&h, now_us);
		if (health_take_probe(&h, now_us)) {
			probes++;
			probed(false);
		}
	}
	assert_in_range(probes, 11, 12);
}

static void test_knock(void **state)
{
	(void)state;
	assert_false(health_knock(&h, 50 * MS, now_us));	/* clients ask it anyway */
	open_breaker();
	assert_false(health_knock(&h, 50 * MS, now_us));	/* its control question went out just now */
	now_us += 50 * MS;
	assert_true(health_knock(&h, 50 * MS, now_us));
	assert_false(health_knock(&h, 50 * MS, now_us + 49 * MS));
	assert_true(health_knock(&h, 50 * MS, now_us + 50 * MS));
	now_us += SECOND;
	assert_true(health_take_probe(&h, now_us));
	assert_false(health_knock(&h, 50 * MS, now_us + 49 * MS));
	assert_true(health_knock(&h, 50 * MS, now_us + 50 * MS));
	probed(false);
	health_give_order(&h, HEALTH_DOWN, now_us);
	assert_false(health_knock(&h, 50 * MS, now_us + SECOND));
}

static void test_closed_by_probe(void **state)
{
	struct health_view v;

	(void)state;
	open_breaker();
	now_us += SECOND;
	assert_true(health_take_probe(&h, now_us));
	probed(true);
	v = view();
	assert_int_equal(v.state, HEALTH_GOOD);
	assert_int_equal(v.epoch, 1);			/* what failed meanwhile is void */
	assert_int_equal(v.failures, 0);
	assert_int_equal(v.opened_us, 0);
	assert_int_equal(v.next_probe_us, 0);
	assert_int_equal(health_next_probe_us(&h), UINT64_MAX);
	assert_false(health_take_probe(&h, now_us + 60 * SECOND));
	now_us += SECOND;
	open_breaker();					/* the next outage begins with short waits */
	assert_int_equal(health_next_probe_us(&h), now_us + SECOND / 2);
}

/* The answer to what was asked since it opened closes it, too. */
static void test_closed_by_answer(void **state)
{
	(void)state;
	open_breaker();
	now_us += SECOND;
	answer_to("www.example.", DNS_A, SECOND / 2);
	assert_int_equal(health_state(&h), HEALTH_GOOD);
	assert_int_equal(view().epoch, 1);
}

/* ---- looks ---- */

#define APART (30 * SECOND)

/* A good one that nobody has asked for so long is looked at: once, and by one. */
static void test_look(void **state)
{
	(void)state;
	assert_true(health_take_look(&h, APART, now_us));
	assert_false(health_take_look(&h, APART, now_us));
	answer();
	probed(true);
	now_us += APART - 1;
	assert_false(health_take_look(&h, APART, now_us));
	now_us += 1;
	assert_true(health_take_look(&h, APART, now_us));
	probed(false);					/* that alone is held against nobody */
	assert_int_equal(health_state(&h), HEALTH_GOOD);
	assert_false(health_take_look(&h, APART, now_us));
	assert_int_equal(view().probes_sent, 2);
}

/* Failures while it is looked at: the look serves as the control question. */
static void test_look_under_way(void **state)
{
	(void)state;
	assert_true(health_take_look(&h, APART, now_us));
	assert_false(fails(1));
	assert_false(fails(2));
	assert_int_equal(health_state(&h), HEALTH_SUSPECT);
	assert_int_equal(view().controls, 0);
	probed(false);
	assert_int_equal(health_state(&h), HEALTH_OPEN);
}

/* One that is suspected, open or down is asked otherwise, or not at all. */
static void test_no_look(void **state)
{
	(void)state;
	suspect();
	now_us += APART;
	assert_false(health_take_look(&h, APART, now_us));
	probed(false);
	assert_false(health_take_look(&h, APART, now_us));
	health_give_order(&h, HEALTH_UP, now_us);
	assert_false(health_take_look(&h, APART, now_us));
	health_begin_anew(&h, now_us);
	health_give_order(&h, HEALTH_DOWN, now_us);
	now_us += APART;
	assert_false(health_take_look(&h, APART, now_us));
}

/* ---- orders ---- */

static void test_down(void **state)
{
	(void)state;
	health_give_order(&h, HEALTH_DOWN, now_us);
	assert_int_equal(health_state(&h), HEALTH_OPEN);
	assert_true(health_is_hopeless(&h));
	assert_int_equal(view().own_state, HEALTH_GOOD);
	assert_false(health_works(&h));
	assert_int_equal(view().epoch, 0);
	assert_int_equal(health_next_probe_us(&h), UINT64_MAX);
	assert_false(health_take_probe(&h, now_us + 60 * SECOND));
	answer();					/* of what was on its way: an order is an order */
	assert_int_equal(health_state(&h), HEALTH_OPEN);
	health_give_order(&h, HEALTH_AUTO, now_us);
	assert_int_equal(health_state(&h), HEALTH_GOOD);
	assert_false(health_is_hopeless(&h));
	assert_int_equal(view().epoch, 1);
}

/* Down while the breaker is open: no probe; when the order is taken back it begins anew. */
static void test_down_while_open(void **state)
{
	(void)state;
	open_breaker();
	health_give_order(&h, HEALTH_DOWN, now_us);
	now_us += 60 * SECOND;
	assert_false(health_take_probe(&h, now_us));
	assert_int_equal(health_next_probe_us(&h), UINT64_MAX);
	health_give_order(&h, HEALTH_AUTO, now_us);
	assert_int_equal(health_state(&h), HEALTH_GOOD);
	assert_false(health_take_probe(&h, now_us));
}

/* Up: good for all who choose, whatever is found; probes go on, and taking it back shows what was found. */
static void test_up(void **state)
{
	(void)state;
	health_give_order(&h, HEALTH_UP, now_us);
	fails(1);
	assert_true(fails(2));
	assert_int_equal(health_state(&h), HEALTH_GOOD);
	assert_int_equal(view().own_state, HEALTH_SUSPECT);
	probed(false);
	assert_int_equal(health_state(&h), HEALTH_GOOD);
	assert_int_equal(view().own_state, HEALTH_OPEN);
	assert_false(health_works(&h));			/* an order does not make it answer */
	now_us += SECOND;
	assert_true(health_take_probe(&h, now_us));
	probed(false);
	health_give_order(&h, HEALTH_AUTO, now_us);
	assert_int_equal(health_state(&h), HEALTH_OPEN);
	health_give_order(&h, HEALTH_UP, now_us);
	assert_int_equal(health_state(&h), HEALTH_GOOD);
}

/* ---- beginning anew ---- */

static void test_anew_when_good(void **state)
{
	(void)state;
	fails(1);
	health_begin_anew(&h, now_us);
	assert_int_equal(health_state(&h), HEALTH_GOOD);
	assert_int_equal(view().epoch, 1);
	assert_false(fails(2));				/* the first one's failure is forgotten */
}

/* The control question was asked by the old way: what comes of it says nothing. */
static void test_anew_while_asking(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		suspect();
		health_begin_anew(&h, now_us);
		assert_int_equal(health_state(&h), HEALTH_GOOD);
		probed(i);
		assert_int_equal(health_state(&h), HEALTH_GOOD);
		now_us += SECOND;
	}
	assert_int_equal(turned(HEALTH_OPEN), 0);
	assert_int_equal(view().epoch, 2);
	suspect();
	health_begin_anew(&h, now_us);
	now_us += SECOND;
	suspect();					/* the new way is asked without waiting for the old one's report */
	probed(false);					/* and its own counts */
	assert_int_equal(health_state(&h), HEALTH_OPEN);
}

static void test_anew_when_open(void **state)
{
	(void)state;
	open_breaker();
	now_us += SECOND;
	assert_true(health_take_probe(&h, now_us));
	health_begin_anew(&h, now_us);
	assert_int_equal(health_state(&h), HEALTH_GOOD);
	assert_true(view().epoch >= 1);
	assert_int_equal(view().opened_us, 0);
	probed(false);
	assert_int_equal(health_state(&h), HEALTH_GOOD);
	assert_int_equal(health_next_probe_us(&h), UINT64_MAX);
}

/* Time-outs doubled by the old way are as before. */
static void test_anew_times(void **state)
{
	uint64_t timeout_us;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		answer();
	timeout_us = view().timeout_us;
	for (unsigned i = 0; i < 10; i++)
		fails(1);
	assert_true(view().timeout_us > timeout_us);
	health_begin_anew(&h, now_us);
	assert_int_equal(view().timeout_us, timeout_us);
	assert_true(view().p50_us);			/* how quick it is has not changed */
}

/* Workers read their clocks before they take the lock: one may be a little behind. */
static void test_out_of_order(void **state)
{
	(void)state;
	suspect();
	now_us -= 10;
	assert_false(fails(3));
	now_us += 10;
	probed(true);
	answer();
	now_us -= 10;
	assert_false(health_take_look(&h, 30 * SECOND, now_us));
}

/* An order taken back leaves nothing behind. */
static void test_order_leaves_nothing(void **state)
{
	(void)state;
	health_give_order(&h, HEALTH_DOWN, now_us);
	health_give_order(&h, HEALTH_AUTO, now_us);
	assert_int_equal(view().opened_us, 0);
	open_breaker();
	now_us += SECOND;
	health_give_order(&h, HEALTH_DOWN, now_us);
	assert_int_equal(view().next_probe_us, 0);	/* there will be none */
	health_give_order(&h, HEALTH_AUTO, now_us);
	assert_int_equal(view().opened_us, 0);
}

/* ---- questions ---- */

static void expect_question(unsigned which, const char *name, uint16_t qtype)
{
	struct health_question q;
	char                   text[DNS_NAME_TEXT_MAX];

	if (!name) {
		assert_false(health_control(&h, which, &q));
		return;
	}
	assert_true(health_control(&h, which, &q));
	dns_name_to_text(q.qname.octets, q.qname.len, text);
	assert_string_equal(text, name);
	assert_int_equal(q.qtype, qtype);
}

/* The last one that was answered, and one from under another parent; NS of the root where none is known. */
static void test_questions(void **state)
{
	(void)state;
	expect_question(0, NULL, 0);
	expect_question(1, NULL, 0);
	expect_question(2, ".", DNS_NS);
	answer_to("a.example.com.", DNS_A, MS);
	expect_question(0, "a.example.com.", DNS_A);
	expect_question(1, NULL, 0);
	answer_to("b.x.example.com.", DNS_AAAA, MS);	/* its like: one zone is not to speak twice */
	expect_question(0, "b.x.example.com.", DNS_AAAA);
	expect_question(1, NULL, 0);
	answer_to("example.net.", DNS_MX, MS);
	expect_question(0, "example.net.", DNS_MX);
	expect_question(1, "b.x.example.com.", DNS_AAAA);
	answer_to(".", DNS_NS, MS);			/* learned from nobody */
	expect_question(0, "example.net.", DNS_MX);
	answer_to("c.example.net.", DNS_A, MS);
	expect_question(0, "c.example.net.", DNS_A);
	expect_question(1, "b.x.example.com.", DNS_AAAA);
	answer_to("com.", DNS_NS, MS);
	answer_to("net.", DNS_NS, MS);			/* one label: another parent again */
	expect_question(0, "net.", DNS_NS);
	expect_question(1, "com.", DNS_NS);
	expect_question(2, ".", DNS_NS);
}

/* A probe has two, of which the root is one: nobody can make that fail. */
static void test_questions_of_probes(void **state)
{
	(void)state;
	answer_to("a.example.com.", DNS_A, MS);
	answer_to("a.example.net.", DNS_A, MS);
	open_breaker();
	for (unsigned i = 0; i < 10; i++) {
		expect_question(0, "a.example.net.", DNS_A);
		expect_question(1, NULL, 0);
		expect_question(2, ".", DNS_NS);
		now_us += 60 * SECOND;
		assert_true(health_take_probe(&h, now_us));
		probed(false);
	}
}

/* One that knows nothing but the root is no longer taken for dead, nor for good. */
static void test_knows_root(void **state)
{
	(void)state;
	answer_to("a.example.com.", DNS_A, MS);
	open_breaker();
	now_us += 60 * SECOND;
	assert_true(health_take_probe(&h, now_us));
	health_probed(&h, h.asking, &(struct health_report){ .verdict = HEALTH_KNOWS_ROOT }, now_us);
	assert_int_equal(health_state(&h), HEALTH_SUSPECT);
	assert_int_equal(view().opened_us, 0);
	answer();
	assert_int_equal(health_state(&h), HEALTH_GOOD);
}

/* What could not be sent says nothing. */
static void test_not_asked(void **state)
{
	(void)state;
	open_breaker();
	now_us += 60 * SECOND;
	assert_true(health_take_probe(&h, now_us));
	health_probed(&h, h.asking, &(struct health_report){ .verdict = HEALTH_NOT_ASKED }, now_us);
	assert_int_equal(health_state(&h), HEALTH_OPEN);
	assert_in_range(health_next_probe_us(&h), now_us, now_us + 500 * MS);
	health_begin_anew(&h, now_us);
	fails(1);
	now_us += SECOND;
	assert_true(fails(2));
	health_probed(&h, h.asking, &(struct health_report){ .verdict = HEALTH_NOT_ASKED }, now_us);
	assert_int_equal(health_state(&h), HEALTH_GOOD);
}

/* Asked with CD it is not: it may be bogus without. */
static void test_not_learned(void **state)
{
	struct health_answer a = { .qname = (const uint8_t *)"\1a\1b", .qname_len = 5, .qtype = DNS_A };

	(void)state;
	health_answered(&h, &a, now_us);
	expect_question(0, NULL, 0);
}

/* ---- times ---- */

/* h = p50 + 4 (p75 - p50), at least 1.2 p50, in 10 to 300 ms; time-out = 4 p99, in 200 ms to 1 s. */
static void test_times(void **state)
{
	static const struct { uint64_t us, hedge_low, hedge_high, timeout_low, timeout_high; } cases[] = {
		{ 500, 10000, 10000, 200000, 200000 },
		{ 20000, 21000, 48000, 200000, 200000 },
		{ 100000, 120000, 240000, 380000, 500000 },
		{ 240000, 288000, 300000, 900000, 1000000 },
		{ 3000000, 300000, 300000, 1000000, 1000000 },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct health_view v;

		health_done(&h);
		health_init(&h, "test");
		for (unsigned n = 0; n < 100; n++)
			answer_to("www.example.", DNS_A, cases[i].us);
		v = view();
		assert_in_range(v.hedge_us, cases[i].hedge_low, cases[i].hedge_high);
		assert_in_range(v.timeout_us, cases[i].timeout_low, cases[i].timeout_high);
		assert_in_range(v.p50_us, cases[i].us * 7 / 8, cases[i].us * 9 / 8);
		assert_int_equal(atomic_load(&h.hedge_us), v.hedge_us);
	}
}

/* A time-out doubles the time of the next try, to 1 s at most; an answer takes that back. */
static void test_backoff(void **state)
{
	static const uint64_t times_ms[] = { 200, 400, 800, 1000, 1000 };

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		answer();
	for (unsigned i = 0; i < COUNT_OF(times_ms); i++) {
		assert_int_equal(view().timeout_us, times_ms[i] * MS);
		health_failed(&h, HEALTH_SERVFAIL, 1, now_us);	/* a reply is no time-out */
		assert_int_equal(view().timeout_us, times_ms[i] * MS);
		fails(1);
	}
	answer();
	assert_int_equal(view().timeout_us, 200 * MS);
	for (unsigned i = 0; i < 1000; i++)
		fails(1);
	assert_int_equal(view().timeout_us, SECOND);
}

static void test_learned(void **state)
{
	unsigned needed = 0;

	(void)state;
	assert_int_equal(view().early, 0);
	health_learn_early(&h, true);
	assert_true(view().early > 0);
	health_learn_early(&h, false);
	assert_true(view().early < 0);
	health_learn_early(&h, true);			/* one that gained nothing may be a zone's own doing … */
	assert_true(view().early >= 0);
	health_learn_early(&h, false);
	health_learn_early(&h, false);			/* … two are proof … */
	for (; view().early < 0; needed++)		/* … and it takes a row of those that did to outweigh it */
		health_learn_early(&h, true);
	assert_in_range(needed, 5, 10);
	for (unsigned i = 0; i < 100; i++)
		health_learn_early(&h, true);
	health_learn_early(&h, false);
	assert_true(view().early < 0);
	assert_int_equal(atomic_load(&h.lag_ms), 0);
	health_learn_lag(&h, true);
	assert_int_equal(atomic_load(&h.lag_ms), 1000);
}

/* Our own system knows no way: then waiting for it is no use. */
static void test_no_route(void **state)
{
	(void)state;
	health_failed(&h, HEALTH_NO_ROUTE, 1, now_us);
	assert_true(health_is_hopeless(&h));
	health_failed(&h, HEALTH_SILENT, 1, now_us);
	assert_false(health_is_hopeless(&h));
}

/* ---- anything in any order ---- */

enum deed { ANSWERED, FAILED, PROBED, TOOK, WANTED, ANEW, ORDERED, WAITED, DEEDS };

/* What held before, to tell what one deed has done. */
struct before {
	enum health_state own;
	uint32_t          epoch;
	uint64_t          turned[HEALTH_OPEN + 1];
};

static struct before remember(void)
{
	return (struct before){ .own = view().own_state, .epoch = view().epoch,
	                        .turned = { turned(HEALTH_GOOD), turned(HEALTH_SUSPECT), turned(HEALTH_OPEN) } };
}

static void check_deed(struct dice *d, enum deed deed, bool good, const struct before *b)
{
	struct health_view v = view();
	bool               moved = v.own_state != b->own;
	uint32_t           anew = deed == ANEW || (deed == ORDERED && v.order != HEALTH_DOWN);

	holds(d, v.state == (v.order == HEALTH_UP ? HEALTH_GOOD : v.order == HEALTH_DOWN ? HEALTH_OPEN : v.own_state));
	holds(d, (v.own_state == HEALTH_OPEN) == (v.own_state == HEALTH_OPEN && v.opened_us));
	for (unsigned s = 0; s <= HEALTH_OPEN; s++)
		holds(d, turned(s) == b->turned[s] + (moved && s == v.own_state));
	if (moved && v.own_state == HEALTH_OPEN)
		holds(d, deed == PROBED && !good && b->own == HEALTH_SUSPECT);
	if (moved && v.own_state == HEALTH_SUSPECT)
		holds(d, deed == FAILED && b->own == HEALTH_GOOD);
	if (moved && v.own_state == HEALTH_GOOD)
		holds(d, deed == ANSWERED || deed == ANEW || deed == ORDERED || (deed == PROBED && good));
	if (b->own == HEALTH_OPEN && moved)
		holds(d, v.epoch > b->epoch);
	else
		holds(d, v.epoch == b->epoch + anew);
}

/* At most one question is under way, whatever happens; each state is entered as the drawing says. */
static void test_anything(void **state)
{
	(void)state;
	for (struct dice d = dice_first(60); d.left; dice_next(&d)) {
		bool     asking = false;
		uint64_t asked_us = 0;

		health_done(&h);
		health_init(&h, "test");
		for (unsigned i = 0; i < 3000; i++) {
			enum deed     deed = (enum deed)dice_below(&d, DEEDS);
			struct before b = remember();
			bool          good = dice_one_in(&d, 3), took = false;

			switch (deed) {
			case ANSWERED:
				if (good)
					answer_to("www.example.", DNS_A, dice_magnitude(&d, 23));
				break;
			case FAILED:
				took = health_failed(&h, (enum health_reason)dice_below(&d, HEALTH_REASONS),
				                     dice_below(&d, 3), now_us);
				holds(&d, !took || b.own != HEALTH_OPEN);
				break;
			case PROBED:
				if (!asking)
					continue;
				asking = false;
				health_probed(&h, h.asking, &(struct health_report){ good ? HEALTH_WORKS : HEALTH_FAILS, HEALTH_SILENT, (uint8_t)dice_u64(&d) }, now_us);
				break;
			case TOOK:
				took = health_take_probe(&h, now_us);
				holds(&d, !took || (b.own == HEALTH_OPEN && view().order != HEALTH_DOWN));
				break;
			case WANTED:
				health_want(&h, now_us);
				break;
			case ANEW:
				if (!dice_one_in(&d, 10))
					continue;
				health_begin_anew(&h, now_us);
				asking = false;		/* whoever asks tells nobody any more */
				break;
			case ORDERED:
				if (!dice_one_in(&d, 10))
					continue;
				health_give_order(&h, (enum health_order)dice_below(&d, 3), now_us);
				asking &= h.asking != 0;
				break;
			case WAITED:
				now_us += dice_magnitude(&d, 23);
				break;
			case DEEDS:
				break;
			}
			if (took) {
				holds(&d, !asking || now_us - asked_us >= 5 * SECOND);
				asking = true;
				asked_us = now_us;
			}
			check_deed(&d, deed, good, &b);
		}
	}
}

/* Which check a certificate failed is told until it passes, or until something else is wrong. */
static void test_fault(void **state)
{
	struct health_view v;

	(void)state;
	health_note_fault(&h, "certificate expired");
	health_read(&h, &v);
	assert_string_equal(v.fault, "certificate expired");	/* at the start, before anybody asks */
	health_failed(&h, HEALTH_CERTIFICATE, 1, now_us);
	health_read(&h, &v);
	assert_string_equal(v.fault, "certificate expired");
	health_failed(&h, HEALTH_UNREACHABLE, 1, now_us);
	health_read(&h, &v);
	assert_null(v.fault);
	health_failed(&h, HEALTH_CERTIFICATE, 1, now_us);
	health_note_fault(&h, NULL);
	health_read(&h, &v);
	assert_null(v.fault);
}

#define HEALTH_TEST(name) cmocka_unit_test_setup_teardown(name, setup_health, teardown_health)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEALTH_TEST(test_as_new),
		HEALTH_TEST(test_one_name),
		HEALTH_TEST(test_two_names),
		HEALTH_TEST(test_answer_between),
		HEALTH_TEST(test_cleared_by_reply),
		HEALTH_TEST(test_cleared_by_control),
		HEALTH_TEST(test_controls_apart),
		HEALTH_TEST(test_question_lost),
		HEALTH_TEST(test_opens),
		HEALTH_TEST(test_probes),
		HEALTH_TEST(test_jitter),
		HEALTH_TEST(test_wanted),
		HEALTH_TEST(test_knock),
		HEALTH_TEST(test_closed_by_probe),
		HEALTH_TEST(test_closed_by_answer),
		HEALTH_TEST(test_look),
		HEALTH_TEST(test_look_under_way),
		HEALTH_TEST(test_no_look),
		HEALTH_TEST(test_down),
		HEALTH_TEST(test_down_while_open),
		HEALTH_TEST(test_up),
		HEALTH_TEST(test_anew_when_good),
		HEALTH_TEST(test_anew_while_asking),
		HEALTH_TEST(test_anew_when_open),
		HEALTH_TEST(test_anew_times),
		HEALTH_TEST(test_out_of_order),
		HEALTH_TEST(test_order_leaves_nothing),
		HEALTH_TEST(test_questions),
		HEALTH_TEST(test_questions_of_probes),
		HEALTH_TEST(test_knows_root),
		HEALTH_TEST(test_not_asked),
		HEALTH_TEST(test_not_learned),
		HEALTH_TEST(test_times),
		HEALTH_TEST(test_backoff),
		HEALTH_TEST(test_learned),
		HEALTH_TEST(test_no_route),
		HEALTH_TEST(test_fault),
		HEALTH_TEST(test_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
