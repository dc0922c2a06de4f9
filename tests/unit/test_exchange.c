/* test_exchange.c - when a message counts as the answer.
 * Rows MATCH-07 to MATCH-13, MATCH-16, MATCH-17, EDNS-13, EDNS-17 to EDNS-19, EDNS-21, SIZE-07, FLAG-06. */
#include "exchange_rig.h"

#include "draft.h"
#include "guard.h"
#include "oracle.h"
#include "upstream/exchange.h"

#include <errno.h>

static struct rig               rig;
static struct guard             guard;
static struct draft             draft;
static struct upstream         *upstream;
static struct channel          *channel;
static struct exchange_question question;
static struct dns_name          qname;
static struct exchange          exchange;

/* What has been heard of the exchange. */
static struct {
	unsigned            events;
	enum exchange_event last;
	unsigned            ancount;
	struct dns_name     target;
} heard;

static int setup(void **state)
{
	static char          url[] = "udp://192.0.2.1:53";
	struct upstream_conf conf = rig_upstream(url);

	(void)state;
	guard_init(&guard, 70000);
	rig_init(&rig);
	upstream = upstream_new(&conf, 1);
	channel = upstream ? channel_new(upstream, &rig.env) : NULL;
	return channel ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	channel_unref(channel);
	upstream_unref(upstream);
	rig_done(&rig);
	guard_done(&guard);
	return 0;
}

static void on_event(struct exchange *x, enum exchange_event event, const struct dns_answer *answer,
                     const struct dns_name *target)
{
	assert_ptr_equal(x, &exchange);
	assert_int_equal(exchange_is_open(x), event == EXCHANGE_CASE);
	assert_int_equal(answer != NULL, event == EXCHANGE_ANSWER || event == EXCHANGE_ALIAS_OUT);
	assert_int_equal(target != NULL, event == EXCHANGE_ALIAS_OUT);
	heard.events++;
	heard.last = event;
	heard.ancount = answer ? answer->ancount : 0;
	if (target)
		heard.target = *target;
}

/* Asks for www.example. A. */
static void ask(enum transport_kind kind)
{
	exchange_end(&exchange);
	assert_int_equal(dns_name_from_text("www.example.", &qname), 0);
	memset(&heard, 0, sizeof heard);
	memset(&exchange, 0, sizeof exchange);
	question.scrub.qname = qname.octets;
	question.scrub.qname_len = qname.len;
	question.scrub.qtype = DNS_A;
	question.scrub.ttl = (struct dns_ttl_bounds){ .max_s = 86400, .negative_max_s = 900 };
	question.edns_size = 1232;
	exchange.question = &question;
	exchange.channel = channel;
	exchange.on_event = on_event;
	assert_int_equal(exchange_start(&exchange, kind), 0);
}

static void hear(void)
{
	exchange.send.on->message(&exchange.send, guard_copy(&guard, draft.octets, draft.len), draft.len);
}

static void say(uint16_t flags, const char *name, uint16_t qtype, uint16_t qclass)
{
	draft_begin(&draft, RIG_ID, flags);
	draft_question(&draft, name, qtype, qclass);
	draft_a(&draft, DRAFT_ANSWER, "www.example.", 60, "192.0.2.1");
}

static void good(void)
{
	say(DNS_QR | DNS_RD | DNS_RA, "www.example.", DNS_A, DNS_IN);
}

/* The message changes nothing, and the good one that follows is taken. */
static void is_ignored(const char *what)
{
	uint64_t before = rig.stats.counter[STATS_UPSTREAM_IGNORED];

	hear();
	if (heard.events || !exchange_is_open(&exchange))
		fail_msg("%s was not ignored", what);
	assert_int_equal(rig.stats.counter[STATS_UPSTREAM_IGNORED], before + 1);
	good();
	hear();
	assert_int_equal(heard.events, 1);
	assert_int_equal(heard.last, EXCHANGE_ANSWER);
	assert_int_equal(heard.ancount, 1);
}

static void expect(enum exchange_event event)
{
	hear();
	assert_int_equal(heard.events, 1);
	assert_int_equal(heard.last, event);
	assert_false(exchange_is_open(&exchange));
}

/* EDNS-13, HDR-11, HDR-12, FLAG-06: what is sent is larder's own. */
static void test_query(void **state)
{
	struct oracle               o;
	const struct oracle_record *opt;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		question.scrub.dnssec_ok = i & 1;
		question.checking_disabled = i & 2;
		ask(i % 2 ? TRANSPORT_TCP : TRANSPORT_UDP);
		assert_true(oracle_read(&o, rig.sent, rig.sent_len));
		assert_int_equal(o.end, o.len);
		assert_int_equal(o.flags, DNS_RD | (i & 2 ? DNS_CD : 0));
		assert_int_equal(o.counts[0], 1);
		assert_int_equal(o.counts[1] + o.counts[2], 0);
		assert_int_equal(o.qtype, DNS_A);
		assert_int_equal(o.qclass, DNS_IN);
		assert_memory_equal(o.qname.octets, qname.octets, qname.len);
		opt = oracle_find(&o, 3, DNS_OPT);
		assert_non_null(opt);
		assert_int_equal(opt->class, 1232);
		assert_int_equal(opt->ttl, i & 1 ? 0x8000 : 0);
		assert_int_equal(opt->rdata_len, 0);
		oracle_done(&o);
	}
	memset(&question, 0, sizeof question);
}

static void test_answer(void **state)
{
	(void)state;
	for (enum transport_kind kind = TRANSPORT_UDP; kind <= TRANSPORT_TCP; kind++) {
		uint64_t ended = rig.mono_us += 1234;

		ask(kind);
		rig.mono_us += 50;
		good();
		expect(EXCHANGE_ANSWER);
		assert_int_equal(exchange.ended_us, ended + 50);
	}
	assert_int_equal(upstream->stats[0].counter[UPSTREAM_ANSWERED], 2);
}

/* MATCH-07, MATCH-08, MATCH-11, MATCH-13: one thing wrong at a time, on both transports. */
static void test_mismatches(void **state)
{
	static const struct {
		const char *what, *name;
		uint16_t    flags, qtype, qclass;
	} rows[] = {
		{ "another name", "wwx.example.", DNS_QR, DNS_A, DNS_IN },
		{ "a longer name", "a.www.example.", DNS_QR, DNS_A, DNS_IN },
		{ "a shorter name", "example.", DNS_QR, DNS_A, DNS_IN },
		{ "another border", "www\\.example.", DNS_QR, DNS_A, DNS_IN },
		{ "another type", "www.example.", DNS_QR, DNS_AAAA, DNS_IN },
		{ "another class", "www.example.", DNS_QR, DNS_A, DNS_CH },
		{ "a query", "www.example.", 0, DNS_A, DNS_IN },
		{ "another opcode", "www.example.", DNS_QR | 4 << 11, DNS_A, DNS_IN },
	};

	(void)state;
	for (enum transport_kind kind = TRANSPORT_UDP; kind <= TRANSPORT_TCP; kind++) {
		for (size_t i = 0; i < COUNT_OF(rows); i++) {
			ask(kind);
			say(rows[i].flags | DNS_RA, rows[i].name, rows[i].qtype, rows[i].qclass);
			is_ignored(rows[i].what);
		}
		ask(kind);
		good();
		draft.len = 12;
		draft_count(&draft, DRAFT_ANSWER, 0);
		is_ignored("no question where one is promised");
		ask(kind);
		good();
		draft_question(&draft, "www.example.", DNS_A, DNS_IN);
		is_ignored("two questions");
		ask(kind);
		draft_begin(&draft, RIG_ID, DNS_QR | DNS_RA);
		draft_count(&draft, DRAFT_QUESTION, 1);
		draft_octets(&draft, "\3www\xc0\x0c\0\1\0\1", 10);
		is_ignored("a compressed question");
	}
}

/* MATCH-09: without a question only errors count. */
static void test_no_question(void **state)
{
	(void)state;
	for (unsigned rcode = 0; rcode < 16; rcode++) {
		ask(TRANSPORT_UDP);
		draft_begin(&draft, RIG_ID, (uint16_t)(DNS_QR | rcode));
		draft_opt(&draft, 1232, 0, NULL, 0);
		if (rcode == DNS_FORMERR || rcode == DNS_SERVFAIL || rcode == DNS_NOTIMP || rcode == DNS_REFUSED) {
			expect(EXCHANGE_FAILED);
			assert_int_equal(exchange.rcode, rcode);
		} else {
			is_ignored("a reply without question");
		}
	}
}

/* MATCH-10: what matches and cannot be parsed is waited over on UDP, and ends a stream's attempt. */
static void test_malformed(void **state)
{
	uint64_t before = rig.stats.counter[STATS_UPSTREAM_MALFORMED];

	(void)state;
	ask(TRANSPORT_UDP);
	good();
	draft.len--;
	is_ignored("cut RDATA");
	ask(TRANSPORT_TCP);
	good();
	draft.len--;
	expect(EXCHANGE_LOST);
	assert_int_equal(exchange.error, -EBADMSG);
	assert_int_equal(rig.stats.counter[STATS_UPSTREAM_MALFORMED], before + 2);
}

/* MATCH-16: twenty wrong ones, of whatever kind, end a UDP attempt. */
static void test_flood(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		ask(TRANSPORT_UDP);
		say(DNS_QR, "other.example.", DNS_A, DNS_IN);
		for (unsigned i = 1; i < 20; i++) {
			if (round)
				hear();
			else
				exchange.send.on->mismatch(&exchange.send);
			assert_int_equal(heard.events, 0);
		}
		expect(EXCHANGE_FORGED);
	}
	ask(TRANSPORT_TCP);
	for (unsigned i = 0; i < 40; i++)
		exchange.send.on->mismatch(&exchange.send);
	assert_true(exchange_is_open(&exchange));
}

/* MATCH-17. */
static void test_case_mixing(void **state)
{
	unsigned upper = 0, letters = 0;

	(void)state;
	question.case_mixing = question.scrub.mixed_case = true;
	for (unsigned i = 0; i < 40; i++) {
		char text[DNS_NAME_TEXT_MAX];

		ask(TRANSPORT_UDP);
		for (unsigned k = 0; k < qname.len; k++) {
			uint8_t sent = rig.sent[DNS_HEADER_LEN + k];

			assert_int_equal(dns_fold[sent], qname.octets[k]);
			letters += qname.octets[k] >= 'a';
			upper += sent != qname.octets[k];
		}
		if (memcmp(rig.sent + DNS_HEADER_LEN, qname.octets, qname.len)) {	/* nearly always */
			good();			/* the right question, all in lower case: also by stream, and wait */
			hear();
			hear();
			assert_int_equal(heard.events, 1);
			assert_int_equal(heard.last, EXCHANGE_CASE);
			assert_true(exchange_is_open(&exchange));
		}
		heard.events = 0;
		dns_name_to_text(rig.sent + DNS_HEADER_LEN, qname.len, text);
		say(DNS_QR | DNS_RA, text, DNS_A, DNS_IN);
		expect(EXCHANGE_ANSWER);
	}
	assert_in_range(upper, letters / 3, letters * 2 / 3);
	ask(TRANSPORT_TCP);			/* streams need none */
	assert_memory_equal(rig.sent + DNS_HEADER_LEN, qname.octets, qname.len);
	question.case_mixing = question.scrub.mixed_case = false;
}

/* SIZE-07: a cut reply is not looked at any further, on a stream TC means nothing. */
static void test_truncated(void **state)
{
	(void)state;
	ask(TRANSPORT_UDP);
	say(DNS_QR | DNS_RA | DNS_TC, "www.example.", DNS_A, DNS_IN);
	expect(EXCHANGE_TRUNCATED);
	ask(TRANSPORT_UDP);
	say(DNS_QR | DNS_RA | DNS_TC, "www.example.", DNS_A, DNS_IN);
	draft.len -= 3;
	expect(EXCHANGE_TRUNCATED);
	ask(TRANSPORT_TCP);
	say(DNS_QR | DNS_RA | DNS_TC, "www.example.", DNS_A, DNS_IN);
	expect(EXCHANGE_ANSWER);
}

/* EDNS-17 to EDNS-19, EDNS-21. */
static void test_edns(void **state)
{
	(void)state;
	for (unsigned rcode = DNS_FORMERR; rcode <= DNS_NOTIMP; rcode += DNS_NOTIMP - DNS_FORMERR) {
		ask(TRANSPORT_UDP);		/* with OPT it is a real error */
		draft_begin(&draft, RIG_ID, (uint16_t)(DNS_QR | rcode));
		draft_question(&draft, "www.example.", DNS_A, DNS_IN);
		draft_opt(&draft, 1232, 0, NULL, 0);
		expect(EXCHANGE_FAILED);
		ask(TRANSPORT_UDP);
		draft_begin(&draft, RIG_ID, (uint16_t)(DNS_QR | rcode));
		expect(EXCHANGE_NO_EDNS);
		rig.boot_ms += 59000;
		ask(TRANSPORT_UDP);		/* remembered for a minute */
		assert_false(exchange.with_edns);
		assert_int_equal(rig.sent_len, DNS_HEADER_LEN + qname.len + 4u);
		draft_begin(&draft, RIG_ID, (uint16_t)(DNS_QR | rcode));
		expect(EXCHANGE_FAILED);	/* then it is an error like any */
		rig.boot_ms += 1000;
		ask(TRANSPORT_UDP);
		assert_true(exchange.with_edns);
		assert_int_equal(rig.sent_len, DNS_HEADER_LEN + qname.len + 4u + 11u);
	}
	ask(TRANSPORT_UDP);
	good();
	expect(EXCHANGE_ANSWER);		/* an answer without OPT is one */
	assert_true(exchange.with_edns);
	ask(TRANSPORT_UDP);
	good();
	draft_opt(&draft, 1232, 0x01000000, NULL, 0);	/* BADVERS */
	expect(EXCHANGE_FAILED);
}

/* Extended errors and keepalive in the reply's OPT, whatever stands around them. */
static void test_options(void **state)
{
	(void)state;
	ask(TRANSPORT_TCP);
	draft_begin(&draft, RIG_ID, DNS_QR | DNS_SERVFAIL);
	draft_question(&draft, "www.example.", DNS_A, DNS_IN);
	draft_opt(&draft, 1232, 0, "\0\x0f\0\1x\0\x0b\0\2\0\x64\0\x0f\0\4\0\x16no\0\x0f\0\2\0\x03", 5 + 6 + 8 + 6);
	rig.idle_ms = 0;
	expect(EXCHANGE_FAILED);
	assert_int_equal(exchange.ede, 22);
	assert_int_equal(rig.idle_ms, 10000);
	ask(TRANSPORT_UDP);
	assert_int_equal(exchange.ede, DNS_EDE_NONE);
	good();
	rig.idle_ms = 7;
	draft_opt(&draft, 1232, 0, "\0\x0b\0\2\0\x64\0\x0f\xff\xff", 10);	/* over UDP it means nothing */
	expect(EXCHANGE_ANSWER);
	assert_int_equal(exchange.ede, DNS_EDE_NONE);
	assert_int_equal(rig.idle_ms, 7);
}

static bool in_route(void *arg, const uint8_t *name, size_t len)
{
	(void)arg;
	return dns_name_below(name, len, (const uint8_t *)"\7example", 9);
}

static void test_verdicts(void **state)
{
	struct dns_name elsewhere;

	(void)state;
	ask(TRANSPORT_UDP);
	say(DNS_QR | DNS_RA | DNS_REFUSED, "www.example.", DNS_A, DNS_IN);
	expect(EXCHANGE_FAILED);
	assert_int_equal(exchange.rcode, DNS_REFUSED);
	ask(TRANSPORT_UDP);
	draft_begin(&draft, RIG_ID, DNS_QR | DNS_RA);
	draft_question(&draft, "www.example.", DNS_A, DNS_IN);
	draft_to(&draft, DRAFT_ANSWER, "www.example.", DNS_CNAME, 60, "www.example.");
	expect(EXCHANGE_LOOP);
	question.scrub.in_route = in_route;
	ask(TRANSPORT_UDP);
	draft_begin(&draft, RIG_ID, DNS_QR | DNS_RA);
	draft_question(&draft, "www.example.", DNS_A, DNS_IN);
	draft_to(&draft, DRAFT_ANSWER, "www.example.", DNS_CNAME, 60, "w.elsewhere.");
	expect(EXCHANGE_ALIAS_OUT);
	assert_int_equal(dns_name_from_text("w.elsewhere.", &elsewhere), 0);
	assert_int_equal(heard.target.len, elsewhere.len);
	assert_memory_equal(heard.target.octets, elsewhere.octets, elsewhere.len);
	question.scrub.in_route = NULL;
}

static void test_lost(void **state)
{
	static const struct {
		int                   error;
		enum upstream_counter counter;
	} rows[] = {
		{ -ECONNREFUSED, UPSTREAM_REFUSED },     { -ENETUNREACH, UPSTREAM_UNREACHABLE },
		{ -ECONNRESET, UPSTREAM_CLOSED },        { -ETIMEDOUT, UPSTREAM_TIMEOUT },
		{ -EKEYREJECTED, UPSTREAM_CERTIFICATE }, { -EPROTO, UPSTREAM_PROTOCOL },
		{ -EREMOTEIO, UPSTREAM_HTTP },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint64_t before = upstream->stats[0].counter[rows[i].counter];

		ask(TRANSPORT_TCP);
		exchange.send.transport = NULL;		/* as a transport does that lost it */
		exchange.send.on->lost(&exchange.send, rows[i].error);
		assert_int_equal(heard.last, EXCHANGE_LOST);
		assert_int_equal(exchange.error, rows[i].error);
		assert_int_equal(upstream->stats[0].counter[rows[i].counter], before + 1);
	}
	assert_int_equal(upstream->stats[0].counter[UPSTREAM_CERTIFICATE_OTHER],
	                 upstream->stats[0].counter[UPSTREAM_CERTIFICATE]);
	rig.send_error = -EMFILE;
	memset(&exchange, 0, sizeof exchange);
	exchange.question = &question;
	exchange.channel = channel;
	exchange.on_event = on_event;
	heard.events = 0;
	assert_int_equal(exchange_start(&exchange, TRANSPORT_UDP), -EMFILE);
	assert_false(exchange_is_open(&exchange));
	assert_int_equal(heard.events, 0);
	exchange_end(&exchange);
	rig.send_error = 0;
}

static void test_end(void **state)
{
	unsigned ends;

	(void)state;
	ask(TRANSPORT_UDP);
	ends = rig.ends;
	exchange_end(&exchange);
	exchange_end(&exchange);
	assert_int_equal(rig.ends, ends + 1);
	assert_int_equal(heard.events, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_mismatches),
		cmocka_unit_test(test_no_question),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_case_mixing),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_edns),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_end),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
