/* test_upgrade.c - which server is asked over TLS instead of a plain one, and for how long (RFC 9462). */
#include "ask_rig.h"

#include "net/tls_peer.h"
#include "upstream/prober.h"
#include "upstream/upgrade.h"

#include <errno.h>

#define PLAIN   0		/* and the others are 1 to RIG_SERVERS - 1 */
#define ASKS    8
#define MINUTE  60000u

struct asked {
	struct exchange          x;
	struct exchange_question q;
	unsigned                 answers, failures, losses;
};

struct world {
	struct rig       rig;
	struct upstream *up;
	struct channel  *c;
	struct asked     asked[ASKS];
};

static struct world w;

static void on_event(struct exchange *x, enum exchange_event event, const struct dns_answer *answer,
                     const struct dns_name *target)
{
	struct asked *a = list_entry(x, struct asked, x);

	(void)answer, (void)target;
	a->answers += event == EXCHANGE_ANSWER;
	a->failures += event == EXCHANGE_FAILED;
	a->losses += event == EXCHANGE_LOST;
}

/* Asks as clients' questions are asked now. */
static struct asked *ask(unsigned n)
{
	static const uint8_t name[] = "\3www\7example";
	struct asked        *a = &w.asked[n];

	exchange_end(&a->x);
	*a = (struct asked){ .q = { .scrub = { .qname = name, .qname_len = sizeof name, .qtype = DNS_A,
	                                       .ttl = { .max_s = 60, .negative_max_s = 60 } },
	                            .edns_size = 1232 } };
	a->x.question = &a->q;
	a->x.channel = w.c;
	a->x.on_event = on_event;
	assert_int_equal(exchange_start(&a->x, upstream_by_udp(w.up) ? TRANSPORT_UDP : upstream_stream(w.up)), 0);
	return a;
}

/* ---- what servers say ---- */

static void reply(unsigned server, uint16_t qtype, unsigned rcode, uint32_t ttl_s, const void *data, size_t len)
{
	struct rig_sent *e = rig_find(&w.rig, server, qtype);
	size_t           at = DNS_HEADER_LEN + dns_name_len(e->msg + DNS_HEADER_LEN) + 4;
	uint8_t          msg[512];

	memcpy(msg, e->msg, at);
	wire_put_u16(msg + 2, (uint16_t)(DNS_QR | DNS_RD | DNS_RA | rcode));
	wire_put_u16(msg + 6, data != NULL);
	wire_put_u16(msg + 8, 0);
	wire_put_u16(msg + 10, 0);
	if (data)
		at += rig_put_record(msg + at, qtype, ttl_s, data, len);
	e->send->on->message(e->send, msg, at);
}

static void reply_root(unsigned server)
{
	reply(server, DNS_NS, DNS_NOERROR, 60, "\1a", 3);
}

static void reply_address(unsigned server)
{
	reply(server, DNS_A, DNS_NOERROR, 60, "\300\0\2\143", 4);
}

/* The plain server names this one over TLS. */
static void designates(unsigned server, uint32_t ttl_s)
{
	uint8_t data[] = { 0, 1, 3, 'd', 'n', 's', 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0,
		           0, 1, 0, 4, 3, 'd', 'o', 't', 0, 4, 0, 4, 192, 0, 2, (uint8_t)server };

	reply(PLAIN, DNS_SVCB, DNS_NOERROR, ttl_s, data, sizeof data);
}

/* A question is asked and answered where that is done now; it finds the records due, or not. */
static bool ask_finds_due(void)
{
	size_t before = rig_count(&w.rig, PLAIN, DNS_SVCB);

	ask(0);
	exchange_end(&w.asked[0].x);
	return rig_count(&w.rig, PLAIN, DNS_SVCB) > before;
}

static void upgrade_to(unsigned server, uint32_t ttl_s)
{
	assert_true(ask_finds_due());
	designates(server, ttl_s);
	reply_root(server);
	assert_false(upstream_is_clear(w.up));
}

static int setup(void **state)
{
	char                 name[] = "192.0.2.0";
	struct upstream_conf conf = { .name = name, .url = name, .upgrade = true };

	(void)state;
	memset(&w, 0, sizeof w);
	rig_init(&w.rig, 0);
	assert_int_equal(addr_parse(name, 53, &conf.addr), 0);
	assert_int_equal(tls_trust_load(TLS_TRUST_NOBODY, &conf.trust), 0);
	w.up = upstream_new(&conf, 1);
	tls_trust_unref(conf.trust);
	w.c = channel_new(w.up, &w.rig.env);
	assert_non_null(w.c);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ASKS; i++)
		exchange_end(&w.asked[i].x);
	channel_unref(w.c);
	upstream_unref(w.up);
	rig_done(&w.rig);
	return 0;
}

/* ---- tests ---- */

/* However often the server changes its mind, it is followed; what is used no more goes with its last question. */
static void test_changes_often(void **state)
{
	struct asked *held;

	(void)state;
	upgrade_to(1, 300);
	held = ask(1);
	assert_int_equal(rig_find(&w.rig, 1, DNS_A)->kind, TRANSPORT_TLS);
	for (unsigned i = 0; i < 10; i++) {
		unsigned n = 2 + i % 2;

		rig_pass(&w.rig, 5 * MINUTE + 1000);
		upgrade_to(n, 300);
		ask(0);
		reply_address(n);
		assert_int_equal(w.asked[0].answers, 1);
		assert_int_equal(w.rig.transports, 3);		/* in clear, over TLS, and the first one */
	}
	reply_address(1);
	assert_int_equal(held->answers, 1);
	assert_int_equal(w.rig.transports, 2);
}

/* The same, when the question is lost, and when whoever asked gives up. */
static void test_retired_goes_with_its_last_question(void **state)
{
	(void)state;
	upgrade_to(1, 300);
	ask(1);
	ask(2);
	rig_pass(&w.rig, 5 * MINUTE + 1000);
	upgrade_to(2, 300);
	assert_int_equal(w.rig.transports, 3);
	rig_lose(&w.rig, 1, DNS_A, -ECONNRESET);
	assert_int_equal(w.rig.transports, 3);
	exchange_end(&w.asked[1].x);
	assert_int_equal(w.rig.transports, 2);
}

static void tried_in_vain(void)
{
	designates(1, 86400);
	rig_lose(&w.rig, 1, DNS_NS, -ECONNREFUSED);
	assert_true(upstream_is_clear(w.up));
}

/* What cannot be used is tried again long before its records end, ever less often, and hourly at last. */
static void test_tries_again(void **state)
{
	(void)state;
	assert_true(ask_finds_due());
	tried_in_vain();
	for (uint32_t wait_s = 60; wait_s < 10000; wait_s *= 2) {
		uint32_t now_s = wait_s < 3600 ? wait_s : 3600;

		rig_pass(&w.rig, now_s * 1000 - 1000);
		assert_false(ask_finds_due());
		rig_pass(&w.rig, 1000);
		assert_true(ask_finds_due());
		tried_in_vain();
	}
	/* Then it works, and what failed before counts no more. */
	rig_pass(&w.rig, 60 * MINUTE);
	upgrade_to(1, 300);
	rig_pass(&w.rig, 5 * MINUTE);
	assert_true(ask_finds_due());
	designates(2, 86400);
	rig_lose(&w.rig, 2, DNS_NS, -ECONNREFUSED);
	rig_pass(&w.rig, MINUTE);
	assert_true(ask_finds_due());
}

/* But not longer than the records hold; and a network that has changed is reason enough. */
static void test_tries_again_in_time(void **state)
{
	(void)state;
	assert_true(ask_finds_due());
	for (unsigned i = 0; i < 4; i++) {
		designates(1, 90);
		rig_lose(&w.rig, 1, DNS_NS, -ECONNREFUSED);
		rig_pass(&w.rig, 90000);
		assert_true(ask_finds_due());
	}
	tried_in_vain();
	assert_false(ask_finds_due());
	upstream_way_changed(w.up, w.rig.now_us);
	assert_true(ask_finds_due());
	tried_in_vain();
	rig_pass(&w.rig, MINUTE);
	assert_true(ask_finds_due());
}

/* Two names fail, and then what there is of control questions. */
static void suspect(void)
{
	prober_failed(w.c, HEALTH_SILENT, 1);
	prober_failed(w.c, HEALTH_SILENT, 2);
}

/* TLS is open, and nothing comes back: left for clear text, as long as that works, and tried again later. */
static void test_opens_but_says_nothing(void **state)
{
	(void)state;
	upgrade_to(1, 300);
	suspect();
	rig_pass(&w.rig, 1500);
	assert_false(upstream_is_clear(w.up));		/* silent in clear as well: no reason to leave */
	assert_true(rig_count(&w.rig, PLAIN, DNS_NS) > 0);
	reply_root(PLAIN);
	assert_true(upstream_is_clear(w.up));
	assert_ptr_equal(atomic_load(&w.up->secure.doubt), secure_unanswered);
	assert_false(ask_finds_due());
	rig_pass(&w.rig, 10000);
	assert_true(ask_finds_due());
	designates(1, 300);
	rig_lose(&w.rig, 1, DNS_NS, -ETIMEDOUT);
	assert_true(upstream_is_clear(w.up));
	assert_ptr_equal(atomic_load(&w.up->secure.doubt), secure_unanswered);
}

/* The same, when all that comes back are failures. */
static void test_answers_with_failures(void **state)
{
	static const unsigned rcodes[] = { DNS_REFUSED, DNS_SERVFAIL };

	(void)state;
	upgrade_to(1, 300);
	suspect();
	rig_pass(&w.rig, 10);
	reply(1, DNS_SVCB, DNS_REFUSED, 0, NULL, 0);	/* the last question that was answered well … */
	assert_int_equal(rig_count(&w.rig, PLAIN, DNS_NS), 0);
	reply(1, DNS_NS, DNS_REFUSED, 0, NULL, 0);
	reply_root(PLAIN);
	assert_true(upstream_is_clear(w.up));
	for (unsigned i = 0; i < 2; i++) {
		rig_pass(&w.rig, 5 * MINUTE);
		assert_true(ask_finds_due());
		designates(1, 300);
		reply(1, DNS_NS, rcodes[i], 0, NULL, 0);
		assert_true(upstream_is_clear(w.up));
	}
}

/* Whoever rejects EDNS is asked again without, and may work. */
static void test_rejects_edns(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_true(ask_finds_due());
		designates(1, 300);
		reply(1, DNS_NS, DNS_FORMERR, 0, NULL, 0);
		assert_true(upstream_is_clear(w.up));
		if (i)
			reply_root(1);
		else
			reply(1, DNS_NS, DNS_FORMERR, 0, NULL, 0);
		assert_int_equal(upstream_is_clear(w.up), !i);
		rig_pass(&w.rig, 5 * MINUTE);
	}
}

/* An answer over TLS that comes in between: it works. */
static void test_was_only_late(void **state)
{
	(void)state;
	upgrade_to(1, 300);
	ask(1);
	suspect();
	rig_pass(&w.rig, 1500);
	reply_address(1);
	assert_int_equal(w.asked[1].answers, 1);
	reply_root(PLAIN);
	assert_false(upstream_is_clear(w.up));
}

/* Which check a certificate failed is counted for a trial, too: there it is found out. */
static void test_which_check(void **state)
{
	struct rig_transport *transport;

	(void)state;
	assert_true(ask_finds_due());
	designates(1, 300);
	transport = (struct rig_transport *)(void *)rig_find(&w.rig, 1, DNS_NS)->send->transport;
	transport->conf.failed(transport->conf.arg, -EKEYREJECTED, TLS_EXPIRED);
	rig_lose(&w.rig, 1, DNS_NS, -EKEYREJECTED);
	assert_int_equal(w.c->stats->counter[UPSTREAM_CERTIFICATE], 1);
	assert_int_equal(w.c->stats->counter[UPSTREAM_CERTIFICATE_EXPIRED], 1);
	assert_int_equal(w.c->stats->counter[UPSTREAM_CERTIFICATE_OTHER], 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(test_changes_often),
		TEST(test_retired_goes_with_its_last_question),
		TEST(test_tries_again),
		TEST(test_tries_again_in_time),
		TEST(test_opens_but_says_nothing),
		TEST(test_answers_with_failures),
		TEST(test_rejects_edns),
		TEST(test_was_only_late),
		TEST(test_which_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
