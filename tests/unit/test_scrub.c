/* test_scrub.c - from an upstream's reply to an answer.
 *
 * Known replies one by one, with the rows of sections 4, 10 and 11 that can be
 * told here; then replies put together at random from an answer and what does
 * not belong to it, shuffled, doubled and compressed, of which the answer must
 * come out; then mutants of them, of which nothing wrong may come out.
 */
#include "unit.h"

#include "dns/scrub.h"
#include "draft.h"
#include "guard.h"
#include "judge.h"
#include "oracle.h"

#include <time.h>

#define TTL_MAX      86400
#define NEGATIVE_MAX 900

static struct guard           guard;
static struct draft           draft;
static struct dns_scrub      *scrub;
static struct dns_scrub_query q;
static struct dns_name        qname, target;
static struct dns_answer      answer;
static struct oracle          reply;		/* what a client gets for the answer */
static uint8_t                reply_octets[DNS_MESSAGE_MAX];

static int setup(void **state)
{
	(void)state;
	guard_init(&guard, sizeof draft.octets);
	scrub = dns_scrub_new();
	return scrub ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	dns_scrub_free(scrub);
	guard_done(&guard);
	return 0;
}

/* ---- known replies ---- */

static void ask(const char *name, uint16_t qtype)
{
	assert_int_equal(dns_name_from_text(name, &qname), 0);
	dns_name_lower(qname.octets, qname.len);
	q = (struct dns_scrub_query){
		.qname = qname.octets, .qname_len = qname.len, .qtype = qtype,
		.ttl = { .max_s = TTL_MAX, .negative_max_s = NEGATIVE_MAX },
	};
}

/* A reply to come for a question: the question has been compared, so its case may be any. */
static void say(const char *name, uint16_t qtype, unsigned rcode)
{
	ask(name, qtype);
	draft_begin(&draft, 1, (uint16_t)(DNS_QR | DNS_RD | DNS_RA | rcode));
	draft_question(&draft, name, qtype, DNS_IN);
}

static enum dns_scrub_verdict hear_octets(const uint8_t *octets, size_t len)
{
	enum dns_scrub_verdict verdict;
	const char            *wrong;

	oracle_done(&reply);
	verdict = dns_scrub_reply(scrub, guard_copy(&guard, octets, len), len, &q, &answer, &target);
	wrong = judge_answer(&q, verdict, &answer, &target);
	if (wrong)
		fail_msg("not right: %s", wrong);
	if (verdict == DNS_SCRUB_ANSWER || verdict == DNS_SCRUB_ALIAS_OUT)
		assert_true(oracle_read(&reply, reply_octets, judge_reply(&q, &answer, 0, false, reply_octets)));
	return verdict;
}

static enum dns_scrub_verdict hear(void)
{
	return hear_octets(draft.octets, draft.len);
}

static void expect_answer(enum dns_answer_kind kind, unsigned rcode, unsigned an, unsigned ns, unsigned ar,
                          uint32_t ttl_s)
{
	assert_int_equal(hear(), DNS_SCRUB_ANSWER);
	assert_int_equal(answer.kind, kind);
	assert_int_equal(answer.rcode, rcode);
	assert_int_equal(answer.ancount, an);
	assert_int_equal(answer.nscount, ns);
	assert_int_equal(answer.arcount, ar);
	assert_int_equal(answer.ttl_s, ttl_s);
	assert_false(answer.crosses_route);
}

static void test_plain(void **state)
{
	(void)state;
	say("www.example.", DNS_A, DNS_NOERROR);
	draft_a(&draft, DRAFT_ANSWER, "www.example.", 300, "192.0.2.1");
	draft_a(&draft, DRAFT_ANSWER, "www.example.", 300, "192.0.2.2");
	draft_opt(&draft, 1232, 0, "\0\x0f\0\2\0\3", 6);	/* CACHE-12 */
	expect_answer(DNS_ANSWER_POSITIVE, 0, 2, 0, 0, 300);
	assert_int_equal(answer.required_len, answer.body_len);
	assert_int_equal(answer.body_len, 2 * 16);		/* each owner is a pointer */
}

/* MATCH-19, MATCH-20, MATCH-21: what does not answer the question is gone. */
static void test_strangers(void **state)
{
	(void)state;
	say("www.example.", DNS_A, DNS_NOERROR);
	draft_a(&draft, DRAFT_ANSWER, "www.bank.example.", 300, "192.0.2.66");
	draft_a(&draft, DRAFT_ANSWER, "www.example.", 300, "192.0.2.1");
	draft_aaaa(&draft, DRAFT_ANSWER, "www.example.", 10, "2001:db8::66");
	draft_to(&draft, DRAFT_ANSWER, "other.example.", DNS_CNAME, 10, "www.example.");
	draft_to(&draft, DRAFT_AUTHORITY, "example.", DNS_NS, 10, "ns.evil.");
	draft_soa(&draft, DRAFT_AUTHORITY, "example.", 5, 5);
	draft_a(&draft, DRAFT_ADDITIONAL, "ns.evil.", 10, "192.0.2.66");
	draft_a(&draft, DRAFT_ADDITIONAL, "www.example.", 10, "192.0.2.66");
	expect_answer(DNS_ANSWER_POSITIVE, 0, 1, 0, 0, 300);
	say("example.", DNS_MX, DNS_NOERROR);			/* passed along, with other types addresses are of use */
	draft_mx(&draft, DRAFT_ANSWER, "example.", 300, 10, "mail.example.");
	draft_a(&draft, DRAFT_ADDITIONAL, "mail.example.", 10, "192.0.2.1");
	draft_raw(&draft, DRAFT_ADDITIONAL, "mail.example.", DNS_TXT, 10, "\3abc", 4);
	expect_answer(DNS_ANSWER_POSITIVE, 0, 1, 0, 1, 300);
	assert_true(answer.required_len < answer.body_len);	/* and not what the answer depends on */
}

/* MATCH-23: the order in which aliases come does not matter, the order in which they go does. */
static void test_shuffled_chain(void **state)
{
	static const unsigned orders[][4] = {
		{ 0, 1, 2, 3 }, { 3, 2, 1, 0 }, { 1, 3, 0, 2 }, { 2, 0, 3, 1 },
	};
	static const char *const names[] = { "a.example.", "B.example.", "c.EXAMPLE.net.", "d.example." };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(orders); i++) {
		say("A.example.", DNS_A, DNS_NOERROR);
		for (unsigned k = 0; k < 4; k++) {
			unsigned n = orders[i][k];

			if (n < 3)
				draft_to(&draft, DRAFT_ANSWER, names[n], DNS_CNAME, 100 + n, names[n + 1]);
			else
				draft_a(&draft, DRAFT_ANSWER, names[n], 200, "192.0.2.1");
		}
		expect_answer(DNS_ANSWER_POSITIVE, 0, 4, 0, 0, 100);
		for (unsigned k = 0; k < 4; k++)
			assert_int_equal(reply.records[k].ttl, k < 3 ? 100 + k : 200);
	}
}

/* MATCH-25: 12 aliases are a chain, 13 and loops are not. */
static void test_long_chains(void **state)
{
	char from[32], to[32];

	(void)state;
	for (unsigned links = 10; links < 16; links++) {
		say("n0.example.", DNS_A, DNS_NOERROR);
		for (unsigned i = 0; i < links; i++) {
			snprintf(from, sizeof from, "n%u.example.", i);
			snprintf(to, sizeof to, "n%u.example.", i + 1);
			draft_to(&draft, DRAFT_ANSWER, from, DNS_CNAME, 60, to);
		}
		draft_a(&draft, DRAFT_ANSWER, to, 60, "192.0.2.1");
		assert_int_equal(hear(), links <= DNS_CHAIN_MAX ? DNS_SCRUB_ANSWER : DNS_SCRUB_LOOP);
	}
	say("a.example.", DNS_A, DNS_NOERROR);
	draft_to(&draft, DRAFT_ANSWER, "a.example.", DNS_CNAME, 60, "a.example.");
	assert_int_equal(hear(), DNS_SCRUB_LOOP);
	say("a.example.", DNS_A, DNS_NOERROR);
	draft_to(&draft, DRAFT_ANSWER, "a.example.", DNS_CNAME, 60, "b.example.");
	draft_to(&draft, DRAFT_ANSWER, "b.example.", DNS_CNAME, 60, "A.example.");
	assert_int_equal(hear(), DNS_SCRUB_LOOP);
}

/* A question for the alias itself ends at it. */
static void test_asked_for_alias(void **state)
{
	(void)state;
	say("a.example.", DNS_CNAME, DNS_NOERROR);
	draft_to(&draft, DRAFT_ANSWER, "a.example.", DNS_CNAME, 60, "b.example.");
	draft_to(&draft, DRAFT_ANSWER, "b.example.", DNS_CNAME, 60, "c.example.");
	expect_answer(DNS_ANSWER_POSITIVE, 0, 1, 0, 0, 60);
	say("d.example.", DNS_DNAME, DNS_NOERROR);
	draft_to(&draft, DRAFT_ANSWER, "d.example.", DNS_DNAME, 60, "e.example.");
	expect_answer(DNS_ANSWER_POSITIVE, 0, 1, 0, 0, 60);
}

/* Two aliases for one name cannot be; the same one twice can, however it is written (MATCH-27). */
static void test_two_aliases(void **state)
{
	uint16_t at;

	(void)state;
	say("a.example.", DNS_A, DNS_NOERROR);
	draft_to(&draft, DRAFT_ANSWER, "a.example.", DNS_CNAME, 60, "b.example.");
	draft_to(&draft, DRAFT_ANSWER, "a.example.", DNS_CNAME, 60, "c.example.");
	draft_a(&draft, DRAFT_ANSWER, "b.example.", 60, "192.0.2.1");
	assert_int_equal(hear(), DNS_SCRUB_MALFORMED);
	say("a.example.", DNS_A, DNS_NOERROR);
	draft_to(&draft, DRAFT_ANSWER, "a.example.", DNS_CNAME, 60, "b.example.");
	draft_to(&draft, DRAFT_ANSWER, "a.example.", DNS_CNAME, 30, "b.example.");
	draft_a(&draft, DRAFT_ANSWER, "b.example.", 60, "192.0.2.1");
	expect_answer(DNS_ANSWER_POSITIVE, 0, 2, 0, 0, 30);
	say("a.example.", DNS_A, DNS_NOERROR);
	draft_record(&draft, DRAFT_ANSWER, "a.example.", DNS_CNAME, DNS_IN, 60);
	at = (uint16_t)draft.len;
	draft_name(&draft, "b.example.");
	draft_record(&draft, DRAFT_ANSWER, "a.example.", DNS_CNAME, DNS_IN, 60);
	draft_u16(&draft, (uint16_t)(0xc000 | at));		/* as a server that compresses would repeat it */
	draft_a(&draft, DRAFT_ANSWER, "b.example.", 60, "192.0.2.1");
	expect_answer(DNS_ANSWER_POSITIVE, 0, 2, 0, 0, 60);
}

/* MATCH-24: a CNAME beside a DNAME is what the DNAME yields, or the reply is malformed. */
static void test_dname(void **state)
{
	(void)state;
	for (unsigned order = 0; order < 2; order++) {
		say("x.Y.old.example.", DNS_A, DNS_NOERROR);
		if (order)
			draft_to(&draft, DRAFT_ANSWER, "x.y.old.example.", DNS_CNAME, 0, "x.y.new.example.");
		draft_to(&draft, DRAFT_ANSWER, "old.example.", DNS_DNAME, 300, "new.example.");
		if (!order)
			draft_to(&draft, DRAFT_ANSWER, "x.y.old.example.", DNS_CNAME, 300, "X.y.NEW.example.");
		draft_a(&draft, DRAFT_ANSWER, "x.y.new.example.", 60, "192.0.2.1");
		expect_answer(DNS_ANSWER_POSITIVE, 0, 3, 0, 0, order ? 0 : 60);
		assert_int_equal(reply.records[0].type, DNS_DNAME);
		assert_int_equal(reply.records[1].type, DNS_CNAME);
	}
	say("x.old.example.", DNS_A, DNS_NOERROR);		/* another synthesis */
	draft_to(&draft, DRAFT_ANSWER, "old.example.", DNS_DNAME, 300, "new.example.");
	draft_to(&draft, DRAFT_ANSWER, "x.old.example.", DNS_CNAME, 300, "y.new.example.");
	draft_a(&draft, DRAFT_ANSWER, "y.new.example.", 60, "192.0.2.1");
	assert_int_equal(hear(), DNS_SCRUB_MALFORMED);
	say("x.old.example.", DNS_A, DNS_NOERROR);		/* none */
	draft_to(&draft, DRAFT_ANSWER, "old.example.", DNS_DNAME, 300, "new.example.");
	draft_a(&draft, DRAFT_ANSWER, "x.new.example.", 60, "192.0.2.1");
	assert_int_equal(hear(), DNS_SCRUB_MALFORMED);
	say("old.example.", DNS_A, DNS_NOERROR);		/* it says nothing of its own name */
	draft_to(&draft, DRAFT_ANSWER, "old.example.", DNS_DNAME, 300, "new.example.");
	draft_a(&draft, DRAFT_ANSWER, "old.example.", 60, "192.0.2.1");
	expect_answer(DNS_ANSWER_POSITIVE, 0, 1, 0, 0, 60);
	say("x.old.example.", DNS_A, DNS_NOERROR);		/* two for one name */
	draft_to(&draft, DRAFT_ANSWER, "old.example.", DNS_DNAME, 300, "new.example.");
	draft_to(&draft, DRAFT_ANSWER, "old.example.", DNS_DNAME, 300, "other.example.");
	draft_to(&draft, DRAFT_ANSWER, "x.old.example.", DNS_CNAME, 300, "x.new.example.");
	assert_int_equal(hear(), DNS_SCRUB_MALFORMED);
	say("xold.example.", DNS_A, DNS_NOERROR);		/* not above on a border of labels */
	draft_to(&draft, DRAFT_ANSWER, "old.example.", DNS_DNAME, 300, "new.example.");
	draft_to(&draft, DRAFT_ANSWER, "xold.example.", DNS_CNAME, 300, "z.example.");
	draft_a(&draft, DRAFT_ANSWER, "z.example.", 60, "192.0.2.1");
	expect_answer(DNS_ANSWER_POSITIVE, 0, 2, 0, 0, 60);
}

/* RFC 6672 s. 2.2: a target that would be too long is YXDOMAIN, with the DNAME and no CNAME. */
static void test_dname_too_long(void **state)
{
	(void)state;
	say("x.old.example.", DNS_A, DNS_YXDOMAIN);
	draft_to(&draft, DRAFT_ANSWER, "old.example.", DNS_DNAME, 300, "new.example.");
	assert_int_equal(hear(), DNS_SCRUB_ANSWER);
	assert_int_equal(answer.rcode, DNS_YXDOMAIN);
	assert_int_equal(answer.ancount, 1);
	assert_int_equal(answer.ttl_s, 0);
}

/* One DNAME that leads a name through itself twice is sent once (MATCH-27). */
static void test_dname_twice(void **state)
{
	(void)state;
	say("a.s.s.example.", DNS_A, DNS_NOERROR);
	draft_to(&draft, DRAFT_ANSWER, "s.example.", DNS_DNAME, 300, "example.");
	draft_to(&draft, DRAFT_ANSWER, "a.s.s.example.", DNS_CNAME, 300, "a.s.example.");
	draft_to(&draft, DRAFT_ANSWER, "a.s.example.", DNS_CNAME, 300, "a.example.");
	draft_a(&draft, DRAFT_ANSWER, "a.example.", 60, "192.0.2.1");
	expect_answer(DNS_ANSWER_POSITIVE, 0, 4, 0, 0, 60);
}

/* MATCH-26. */
static void test_wrong_places(void **state)
{
	static const uint16_t types[] = { 0, DNS_OPT, DNS_TKEY, DNS_TSIG, DNS_IXFR, DNS_AXFR, DNS_MAILB, DNS_MAILA,
	                                  DNS_ANY };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(types); i++)
		for (enum draft_section s = DRAFT_ANSWER; s <= DRAFT_ADDITIONAL; s++) {
			say("www.example.", DNS_A, DNS_NOERROR);
			draft_a(&draft, DRAFT_ANSWER, "www.example.", 60, "192.0.2.1");
			draft_raw(&draft, s, ".", types[i], 0, "", 0);
			assert_int_equal(hear(), s == DRAFT_ADDITIONAL ? DNS_SCRUB_ANSWER : DNS_SCRUB_MALFORMED);
		}
	say("www.example.", DNS_A, DNS_NOERROR);		/* another class is dropped, whatever it holds */
	draft_record(&draft, DRAFT_ANSWER, "www.example.", DNS_A, DNS_CH, 10);
	draft_octets(&draft, "12345", 5);
	draft_a(&draft, DRAFT_ANSWER, "www.example.", 60, "192.0.2.1");
	expect_answer(DNS_ANSWER_POSITIVE, 0, 1, 0, 0, 60);
}

/* MATCH-27. */
static void test_doubles(void **state)
{
	(void)state;
	say("www.example.", DNS_A, DNS_NOERROR);
	for (unsigned i = 0; i < 4; i++)
		draft_a(&draft, DRAFT_ANSWER, i % 2 ? "www.EXAMPLE." : "www.example.", 60, "192.0.2.1");
	draft_a(&draft, DRAFT_ANSWER, "www.example.", 60, "192.0.2.2");
	expect_answer(DNS_ANSWER_POSITIVE, 0, 2, 0, 0, 60);
}

/* Many records, each twice, in an order in which doubles are far apart: more than are compared one by one. */
static void test_many_doubles(void **state)
{
	(void)state;
	for (unsigned count = 10; count < 900; count += 53) {
		say("www.example.", DNS_A, DNS_NOERROR);
		for (unsigned i = 0; i < 2 * count; i++) {
			unsigned n = i % count;

			draft_raw(&draft, DRAFT_ANSWER, "www.example.", DNS_A, 60,
			          (uint8_t[]){ 192, 0, (uint8_t)(n >> 8), (uint8_t)n }, 4);
		}
		expect_answer(DNS_ANSWER_POSITIVE, 0, count, 0, 0, 60);
	}
}

/* CACHE-04, CACHE-05. */
static void test_ttls(void **state)
{
	static const uint32_t huge[] = { TTL_MAX + 1, 0x7fffffff, 0x80000000, 0xffffffff };

	(void)state;
	say("www.example.", DNS_A, DNS_NOERROR);
	draft_a(&draft, DRAFT_ANSWER, "www.example.", 300, "192.0.2.1");
	draft_a(&draft, DRAFT_ANSWER, "www.example.", 30, "192.0.2.2");
	draft_a(&draft, DRAFT_ANSWER, "www.example.", 3000, "192.0.2.3");
	expect_answer(DNS_ANSWER_POSITIVE, 0, 3, 0, 0, 30);
	for (size_t i = 0; i < COUNT_OF(huge); i++) {
		say("www.example.", DNS_A, DNS_NOERROR);
		draft_a(&draft, DRAFT_ANSWER, "www.example.", huge[i], "192.0.2.1");
		expect_answer(DNS_ANSWER_POSITIVE, 0, 1, 0, 0, TTL_MAX);
		assert_int_equal(reply.records[0].ttl, TTL_MAX);
	}
	say("www.example.", DNS_A, DNS_NOERROR);		/* CACHE-03 */
	draft_to(&draft, DRAFT_ANSWER, "www.example.", DNS_CNAME, 300, "w.example.");
	draft_a(&draft, DRAFT_ANSWER, "w.example.", 20, "192.0.2.1");
	expect_answer(DNS_ANSWER_POSITIVE, 0, 2, 0, 0, 20);
	assert_int_equal(reply.records[0].ttl, 300);
	say("www.example.", DNS_A, DNS_NOERROR);		/* CACHE-06 */
	draft_a(&draft, DRAFT_ANSWER, "www.example.", 0, "192.0.2.1");
	expect_answer(DNS_ANSWER_POSITIVE, 0, 1, 0, 0, 0);
}

/* CACHE-07: a floor leaves 0 and negative answers alone. */
static void test_ttl_floor(void **state)
{
	(void)state;
	for (unsigned ttl = 0; ttl < 120; ttl += 59) {
		say("www.example.", DNS_A, DNS_NOERROR);
		q.ttl.min_s = 60;
		draft_a(&draft, DRAFT_ANSWER, "www.example.", ttl, "192.0.2.1");
		expect_answer(DNS_ANSWER_POSITIVE, 0, 1, 0, 0, ttl == 0 ? 0 : ttl < 60 ? 60 : ttl);
	}
	say("www.example.", DNS_A, DNS_NXDOMAIN);
	q.ttl.min_s = 60;
	draft_soa(&draft, DRAFT_AUTHORITY, "example.", 5, 5);
	expect_answer(DNS_ANSWER_NXDOMAIN, DNS_NXDOMAIN, 0, 1, 0, 5);
}

/* NEG-01, NEG-02: how long nothing is nothing. */
static void test_negative_life(void **state)
{
	static const uint32_t rows[][3] = {	/* SOA's TTL, MINIMUM, life */
		{ 3600, 60, 60 }, { 60, 3600, 60 }, { 9999, 9999, NEGATIVE_MAX }, { 1, 1, 1 },
		{ 0xffffffff, 0xffffffff, NEGATIVE_MAX },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		for (unsigned rcode = 0; rcode <= DNS_NXDOMAIN; rcode += DNS_NXDOMAIN) {
			uint8_t minimum[4];

			say("no.example.", DNS_A, rcode);
			draft_soa(&draft, DRAFT_AUTHORITY, "example.", rows[i][0], rows[i][1]);
			memcpy(minimum, draft.octets + draft.len - 4, 4);
			expect_answer(rcode ? DNS_ANSWER_NXDOMAIN : DNS_ANSWER_NODATA, rcode, 0, 1, 0, rows[i][2]);
			assert_int_equal(reply.records[0].ttl, rows[i][2]);
			assert_memory_equal(reply.octets + reply.records[0].end - 4, minimum, 4);
		}
}

/* NEG-05, NEG-06: delivered, but not kept. */
static void test_negative_not_kept(void **state)
{
	(void)state;
	for (unsigned rcode = 0; rcode <= DNS_NXDOMAIN; rcode += DNS_NXDOMAIN) {
		enum dns_answer_kind kind = rcode ? DNS_ANSWER_NXDOMAIN : DNS_ANSWER_NODATA;

		say("no.example.", DNS_A, rcode);
		expect_answer(kind, rcode, 0, 0, 0, 0);
		say("no.example.", DNS_A, rcode);
		draft_soa(&draft, DRAFT_AUTHORITY, "example.", 0, 60);
		assert_int_equal(hear(), DNS_SCRUB_ANSWER);
		assert_int_equal(answer.ttl_s, 0);
		say("no.example.", DNS_A, rcode);
		draft_soa(&draft, DRAFT_AUTHORITY, "example.", 60, 0);
		assert_int_equal(hear(), DNS_SCRUB_ANSWER);
		assert_int_equal(answer.ttl_s, 0);
		say("no.example.", DNS_A, rcode);		/* not above the name */
		draft_soa(&draft, DRAFT_AUTHORITY, "other.", 60, 60);
		expect_answer(kind, rcode, 0, 0, 0, 0);
		say("no.example.", DNS_A, rcode);
		draft_soa(&draft, DRAFT_AUTHORITY, "below.no.example.", 60, 60);
		expect_answer(kind, rcode, 0, 0, 0, 0);
		say("no.example.", DNS_A, rcode);
		draft_soa(&draft, DRAFT_AUTHORITY, "example.", 60, 60);
		draft_soa(&draft, DRAFT_AUTHORITY, ".", 60, 60);
		expect_answer(kind, rcode, 0, 0, 0, 0);
		say("no.example.", DNS_A, rcode);		/* in the wrong section */
		draft_soa(&draft, DRAFT_ANSWER, "example.", 60, 60);
		expect_answer(kind, rcode, 0, 0, 0, 0);
	}
}

/* NEG-07, NEG-08: an alias to nothing. */
static void test_negative_behind_alias(void **state)
{
	(void)state;
	for (unsigned rcode = 0; rcode <= DNS_NXDOMAIN; rcode += DNS_NXDOMAIN) {
		say("www.example.", DNS_A, rcode);
		draft_to(&draft, DRAFT_ANSWER, "www.example.", DNS_CNAME, 20, "w.example.net.");
		draft_soa(&draft, DRAFT_AUTHORITY, "example.net.", 60, 60);
		expect_answer(DNS_ANSWER_NODATA, rcode, 1, 1, 0, 20);
		/* the SOA of the alias's own zone says nothing of its target */
		say("www.example.", DNS_A, rcode);
		draft_to(&draft, DRAFT_ANSWER, "www.example.", DNS_CNAME, 20, "w.example.net.");
		draft_soa(&draft, DRAFT_AUTHORITY, "example.", 60, 60);
		expect_answer(DNS_ANSWER_NODATA, rcode, 1, 0, 0, 0);
	}
}

/* CACHE-09, NEG-09: signatures and proofs go to whoever asked for them, and to nobody else. */
static void test_signatures(void **state)
{
	(void)state;
	for (unsigned dnssec_ok = 0; dnssec_ok < 2; dnssec_ok++) {
		say("a.example.", DNS_A, DNS_NOERROR);
		q.dnssec_ok = dnssec_ok;
		draft_rrsig(&draft, DRAFT_ANSWER, "b.example.", 60, DNS_A, 1, 64);
		draft_rrsig(&draft, DRAFT_ANSWER, "b.example.", 60, DNS_A, 2, 64);
		draft_rrsig(&draft, DRAFT_ANSWER, "b.example.", 60, DNS_AAAA, 3, 64);
		draft_a(&draft, DRAFT_ANSWER, "b.example.", 60, "192.0.2.1");
		draft_rrsig(&draft, DRAFT_ANSWER, "a.example.", 60, DNS_CNAME, 4, 64);
		draft_to(&draft, DRAFT_ANSWER, "a.example.", DNS_CNAME, 60, "b.example.");
		draft_raw(&draft, DRAFT_AUTHORITY, "c.example.", DNS_NSEC, 60, "\1x\0\0\1\1", 6);
		draft_rrsig(&draft, DRAFT_AUTHORITY, "c.example.", 60, DNS_NSEC, 5, 64);
		expect_answer(DNS_ANSWER_POSITIVE, 0, dnssec_ok ? 5 : 2, dnssec_ok ? 2 : 0, 0, 60);
		assert_int_equal(reply.records[0].type, DNS_CNAME);

		say("no.example.", DNS_A, DNS_NXDOMAIN);
		q.dnssec_ok = dnssec_ok;
		draft_raw(&draft, DRAFT_AUTHORITY, "c.example.", DNS_NSEC, 3600, "\1x\0\0\1\1", 6);
		draft_rrsig(&draft, DRAFT_AUTHORITY, "c.example.", 3600, DNS_NSEC, 5, 64);
		draft_soa(&draft, DRAFT_AUTHORITY, "example.", 60, 30);
		draft_rrsig(&draft, DRAFT_AUTHORITY, "example.", 60, DNS_SOA, 6, 64);
		expect_answer(DNS_ANSWER_NXDOMAIN, DNS_NXDOMAIN, 0, dnssec_ok ? 4 : 1, 0, 30);
		for (size_t i = 0; i < 2 && i < reply.record_count; i++)	/* NEG-02: the SOA's signature likewise */
			assert_int_equal(reply.records[i].ttl, 30);

		say("a.example.", DNS_RRSIG, DNS_NOERROR);	/* asked for: all of them */
		q.dnssec_ok = dnssec_ok;
		draft_rrsig(&draft, DRAFT_ANSWER, "a.example.", 60, DNS_A, 1, 64);
		draft_rrsig(&draft, DRAFT_ANSWER, "a.example.", 60, DNS_TXT, 1, 64);
		expect_answer(DNS_ANSWER_POSITIVE, 0, 2, 0, 0, 60);
		say("a.example.", DNS_NSEC, DNS_NOERROR);
		q.dnssec_ok = dnssec_ok;
		draft_raw(&draft, DRAFT_ANSWER, "a.example.", DNS_NSEC, 60, "\1x\0\0\1\1", 6);
		expect_answer(DNS_ANSWER_POSITIVE, 0, 1, 0, 0, 60);
	}
}

/* Sections 5 and 16: what is no answer. */
static void test_failures(void **state)
{
	(void)state;
	for (unsigned rcode = 1; rcode < 16; rcode++) {
		if (rcode == DNS_NXDOMAIN || rcode == DNS_YXDOMAIN)
			continue;
		say("www.example.", DNS_A, rcode);
		draft_a(&draft, DRAFT_ANSWER, "www.example.", 60, "192.0.2.1");
		assert_int_equal(hear(), DNS_SCRUB_FAILURE);
	}
	say("www.example.", DNS_A, DNS_NXDOMAIN);		/* data for a name that is denied */
	draft_a(&draft, DRAFT_ANSWER, "www.example.", 60, "192.0.2.1");
	assert_int_equal(hear(), DNS_SCRUB_FAILURE);
	say("www.example.", DNS_A, DNS_NOERROR);		/* a referral */
	draft_to(&draft, DRAFT_AUTHORITY, "example.", DNS_NS, 60, "ns.example.");
	draft_a(&draft, DRAFT_ADDITIONAL, "ns.example.", 60, "192.0.2.1");
	assert_int_equal(hear(), DNS_SCRUB_FAILURE);
	say("www.example.", DNS_A, DNS_NOERROR);		/* nothing, from one that does not recurse */
	draft.octets[3] = 0;
	assert_int_equal(hear(), DNS_SCRUB_FAILURE);
	say("www.example.", DNS_A, DNS_NOERROR);		/* NS beside an SOA is no referral */
	draft_soa(&draft, DRAFT_AUTHORITY, "example.", 60, 60);
	draft_to(&draft, DRAFT_AUTHORITY, "example.", DNS_NS, 60, "ns.example.");
	expect_answer(DNS_ANSWER_NODATA, 0, 0, 1, 0, 60);
}

/* MATCH-10: cut anywhere before the last counted record's end, it cannot be meant. */
static void test_cut(void **state)
{
	(void)state;
	say("www.example.", DNS_MX, DNS_NOERROR);
	draft_mx(&draft, DRAFT_ANSWER, "www.example.", 60, 1, "a.example.");
	draft_rrsig(&draft, DRAFT_ANSWER, "www.example.", 60, DNS_MX, 1, 64);
	draft_soa(&draft, DRAFT_AUTHORITY, "example.", 60, 60);
	draft_a(&draft, DRAFT_ADDITIONAL, "a.example.", 60, "192.0.2.1");
	draft_opt(&draft, 1232, 0, "\0\x0a\0\0", 4);
	for (size_t len = 12; len < draft.len; len++)
		assert_int_equal(hear_octets(draft.octets, len), DNS_SCRUB_MALFORMED);
	draft_octets(&draft, "trailing", 8);			/* HDR-10 */
	draft.octets[draft.len - 8 - 5] = 4;			/* the OPT's own length again */
	assert_int_equal(hear(), DNS_SCRUB_ANSWER);
}

/* MATCH-10: RDATA that is too long or too short for what it holds. */
static void test_wrong_rdata(void **state)
{
	static const struct {
		uint16_t    type;
		const char *rdata;
		size_t      len;
		bool        good;
	} rows[] = {
		{ DNS_A, "\1\2\3\4", 4, true },
		{ DNS_A, "\1\2\3", 3, false },
		{ DNS_A, "\1\2\3\4\5", 5, false },
		{ DNS_A, "", 0, false },
		{ DNS_AAAA, "0123456789abcdef", 16, true },
		{ DNS_AAAA, "0123456789abcde", 15, false },
		{ DNS_NS, "\1a", 3, true },
		{ DNS_NS, "\1a", 2, false },
		{ DNS_NS, "\1a\0", 4, false },
		{ DNS_NS, "\xc0\x0c", 2, true },
		{ DNS_NS, "\xc0\xff", 2, false },
		{ DNS_NS, "\x40", 2, false },
		{ DNS_MX, "\0\1\1a", 5, true },
		{ DNS_MX, "\0", 1, false },
		{ DNS_MX, "\0\1", 2, false },
		{ DNS_SRV, "\0\0\0\0\0\0\1a", 9, true },
		{ DNS_SRV, "\0\0\0\0\0\0\xc0\x0c", 8, true },		/* NAME-16 */
		{ DNS_SRV, "\0\0\0\0\0\0\1a\0", 10, false },
		{ 35, "\0\0\0\0\1s\1t\1u\1a", 13, true },
		{ 35, "\0\0\0\0\1s\1t\1u\1a\0", 14, false },
		{ 35, "\0\0\0\0\1s\1t\xffu\1a", 13, false },
		{ DNS_DNAME, "\xc0\x0c", 2, true },
		{ DNS_RRSIG, "\0", 1, false },				/* has no type covered */
		{ 17, "\1a\0\1b", 6, true },
		{ 17, "\1a\0", 3, false },
		{ DNS_TXT, "", 0, true },				/* opaque: not ours to judge */
		{ 65280, "\xc0\x0c\xc0\x0c", 4, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		say("www.example.", rows[i].type, DNS_NOERROR);
		draft_raw(&draft, DRAFT_ANSWER, "www.example.", rows[i].type, 60, rows[i].rdata, rows[i].len);
		if (hear() != (rows[i].good ? DNS_SCRUB_ANSWER : DNS_SCRUB_MALFORMED))
			fail_msg("row %zu", i);
	}
	say("www.example.", DNS_SOA, DNS_NOERROR);
	draft_soa(&draft, DRAFT_ANSWER, "www.example.", 60, 60);
	assert_int_equal(hear(), DNS_SCRUB_ANSWER);
	draft_octets(&draft, "\0", 1);
	assert_int_equal(hear(), DNS_SCRUB_MALFORMED);
}

/* NAME-13, NAME-14: unknown RDATA passes as it is. */
static void test_unknown_types(void **state)
{
	static const size_t lengths[] = { 0, 1, 300, 60000 };
	static uint8_t      rdata[60000];

	(void)state;
	for (size_t i = 0; i < sizeof rdata; i++)
		rdata[i] = i % 2 ? 0x0c : 0xc0;
	for (size_t i = 0; i < COUNT_OF(lengths); i++) {
		say("www.example.", 65280, DNS_NOERROR);
		draft_raw(&draft, DRAFT_ANSWER, "www.example.", 65280, 60, rdata, lengths[i]);
		expect_answer(DNS_ANSWER_POSITIVE, 0, 1, 0, 0, 60);
		assert_int_equal(reply.records[0].rdata_len, lengths[i]);
		assert_memory_equal(reply.octets + reply.records[0].rdata_at, rdata, lengths[i]);
	}
}

/* A reply to a question in random letter case takes none of it into names. */
static void test_mixed_case(void **state)
{
	(void)state;
	say("wWw.eXAMple.", DNS_NS, DNS_NOERROR);
	q.mixed_case = true;
	draft_record(&draft, DRAFT_ANSWER, ".", DNS_NS, DNS_IN, 60);
	draft.len -= 11;					/* again, with an owner that points at the question */
	draft.rdata_len_at = 0;
	draft_octets(&draft, "\xc0\x0c\0\2\0\1\0\0\0\x3c\0\x05\2ns\xc0\x10", 17);
	expect_answer(DNS_ANSWER_POSITIVE, 0, 1, 0, 0, 60);
	assert_memory_equal(reply.octets + reply.records[0].rdata_at, "\2ns\7example", 12);
}

/* An alias that leads out of the route that was asked: what its server says of the rest does not count. */
static bool in_example(void *arg, const uint8_t *name, size_t len)
{
	unsigned *calls = arg;

	++*calls;
	for (size_t i = 0; i < len; i++)
		assert_int_equal(name[i], dns_fold[name[i]]);
	return dns_name_below(name, len, (const uint8_t *)"\7example", 9);
}

static void test_alias_out(void **state)
{
	unsigned calls = 0;

	(void)state;
	say("a.example.", DNS_A, DNS_NXDOMAIN);
	q.in_route = in_example;
	q.arg = &calls;
	draft_to(&draft, DRAFT_ANSWER, "a.example.", DNS_CNAME, 60, "b.example.");
	draft_to(&draft, DRAFT_ANSWER, "b.example.", DNS_CNAME, 50, "C.Elsewhere.");
	draft_a(&draft, DRAFT_ANSWER, "c.elsewhere.", 40, "192.0.2.66");
	draft_soa(&draft, DRAFT_AUTHORITY, "elsewhere.", 60, 60);
	assert_int_equal(hear(), DNS_SCRUB_ALIAS_OUT);
	assert_int_equal(answer.ancount, 2);
	assert_int_equal(answer.nscount, 0);
	assert_int_equal(answer.rcode, DNS_NOERROR);
	assert_int_equal(answer.ttl_s, 50);
	assert_int_equal(target.len, 13);
	assert_memory_equal(target.octets, "\1C\tElsewhere", 13);
	assert_int_equal(calls, 2);
	say("a.example.", DNS_A, DNS_NOERROR);			/* a chain whose end was not told has to be asked for, too */
	draft_to(&draft, DRAFT_ANSWER, "a.example.", DNS_CNAME, 60, "b.example.");
	assert_int_equal(hear(), DNS_SCRUB_ALIAS_OUT);
	assert_int_equal(target.len, 11);
	assert_memory_equal(target.octets, "\1b\7example", 11);
	say("a.example.", DNS_A, DNS_NOERROR);			/* with a denial, or asked for itself, it is whole */
	draft_to(&draft, DRAFT_ANSWER, "a.example.", DNS_CNAME, 60, "b.example.");
	draft_soa(&draft, DRAFT_AUTHORITY, "example.", 60, 60);
	expect_answer(DNS_ANSWER_NODATA, 0, 1, 1, 0, 60);
	say("example.", DNS_MX, DNS_NOERROR);			/* addresses of another route's names do not pass */
	q.in_route = in_example;
	q.arg = &calls;
	draft_mx(&draft, DRAFT_ANSWER, "example.", 60, 1, "mail.example.");
	draft_mx(&draft, DRAFT_ANSWER, "example.", 60, 1, "mail.elsewhere.");
	draft_a(&draft, DRAFT_ADDITIONAL, "mail.example.", 60, "192.0.2.1");
	draft_a(&draft, DRAFT_ADDITIONAL, "mail.elsewhere.", 60, "192.0.2.66");
	expect_answer(DNS_ANSWER_POSITIVE, 0, 2, 0, 1, 60);
}

/* ANY: what the upstream has, each set whole; an alias only when it was asked for alone. */
static void test_any(void **state)
{
	(void)state;
	say("example.", DNS_ANY, DNS_NOERROR);
	q.dnssec_ok = true;
	draft_a(&draft, DRAFT_ANSWER, "example.", 60, "192.0.2.1");
	draft_raw(&draft, DRAFT_ANSWER, "example.", DNS_TXT, 50, "\1x", 2);
	draft_a(&draft, DRAFT_ANSWER, "example.", 70, "192.0.2.2");
	draft_rrsig(&draft, DRAFT_ANSWER, "example.", 60, DNS_A, 1, 64);
	draft_a(&draft, DRAFT_ANSWER, "other.example.", 70, "192.0.2.66");
	expect_answer(DNS_ANSWER_POSITIVE, 0, 4, 0, 0, 50);
}

/* The answer leaves room for nothing else: a message that grows by being written anew may not fit. */
static void test_too_large(void **state)
{
	char owner[256] = "";

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		strcat(owner, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.");
	say("q.", DNS_SRV, DNS_NOERROR);
	draft_count(&draft, DRAFT_ANSWER, 3000);
	for (unsigned i = 0; i < 3000; i++) {			/* names that are expanded: 21 octets become 212 */
		draft.rdata_len_at = 0;
		draft_octets(&draft, "\xc0\x0c\0\x21\0\1\0\0\0\x3c", 10);
		if (i == 0) {
			draft_u16(&draft, (uint16_t)(6 + strlen(owner) + 1));
			draft_octets(&draft, "\0\0\0\0\0\0", 6);
			draft_name(&draft, owner);
			continue;
		}
		draft_u16(&draft, 8);
		draft_u16(&draft, 0);
		draft_u32(&draft, i);
		draft_u16(&draft, 0xc000 | (12 + 7 + 12 + 6));
	}
	assert_true(draft.len <= DNS_MESSAGE_MAX);
	assert_int_equal(hear(), DNS_SCRUB_FAILURE);
}

/* Additional records that do not fit are left out, and nothing else. */
static void test_extras_too_large(void **state)
{
	static uint8_t rdata[65535 - 12 - 9 - 14 - 12 - 40];

	(void)state;
	say("q.example.", DNS_TXT, DNS_NOERROR);
	draft_raw(&draft, DRAFT_ANSWER, "q.example.", DNS_TXT, 60, rdata, sizeof rdata);
	draft_a(&draft, DRAFT_ADDITIONAL, "a.example.", 60, "192.0.2.1");
	draft_a(&draft, DRAFT_ADDITIONAL, "b.example.", 60, "192.0.2.1");
	draft_a(&draft, DRAFT_ADDITIONAL, "c.example.", 60, "192.0.2.1");
	draft_a(&draft, DRAFT_ADDITIONAL, "d.example.", 60, "192.0.2.1");
	draft.len = draft.len > DNS_MESSAGE_MAX ? DNS_MESSAGE_MAX : draft.len;
	draft_count(&draft, DRAFT_ADDITIONAL, 1);
	assert_int_equal(hear(), DNS_SCRUB_ANSWER);
	assert_int_equal(answer.ancount, 1);
	assert_true(DNS_HEADER_LEN + 15 + answer.body_len <= DNS_MESSAGE_MAX);
}

/* ---- replies at random ---- */

#define RECORDS_MAX 160
#define RDATA_MAX   300

/* A record of a reply, with its names in full; group: where it stands in the answer that must come out, 0: not
 * at all. */
struct record {
	enum draft_section section;
	struct dns_name owner;
	uint16_t type;
	uint32_t ttl;
	unsigned group;
	size_t   rdata_len;
	uint8_t  rdata[RDATA_MAX];
};

struct made {
	struct dice  *d;
	unsigned      count, groups, answers;	/* records; groups; of which so many in the answer section */
	struct record records[RECORDS_MAX];
	uint32_t      least[RECORDS_MAX];	/* TTL of each group */
	unsigned      rcode;
	enum dns_answer_kind kind;
};

static struct made made;

static struct dns_name random_name(struct dice *d)
{
	static const char *const tails[] = { "example.", "a.example.", "b.a.example.", "net.", "x.y.z.net.", "." };
	char                     text[80];
	struct dns_name          n;

	snprintf(text, sizeof text, "%c%c%u.%s", "abAB"[dice_below(d, 4)], "xyXY"[dice_below(d, 4)],
	         (unsigned)dice_below(d, 400), tails[dice_below(d, COUNT_OF(tails))]);
	if (dns_name_from_text(text, &n) < 0)
		dns_name_from_text("root-child.", &n);
	return n;
}

static struct dns_name other_case(struct dice *d, struct dns_name n)
{
	for (unsigned i = 0; i < n.len; i++)
		if (n.octets[i] >= 'A' && (n.octets[i] | 32) >= 'a' && (n.octets[i] | 32) <= 'z' && dice_one_in(d, 2))
			n.octets[i] ^= 32;
	return n;
}

static struct record *add(struct made *m, enum draft_section section, struct dns_name owner, uint16_t type,
                          unsigned group)
{
	struct record *r = &m->records[m->count++];

	assert_true(m->count < RECORDS_MAX);
	r->section = section;
	r->owner = owner;
	r->type = type;
	r->group = group;
	r->ttl = (uint32_t)(dice_one_in(m->d, 8) ? dice_magnitude(m->d, 32) : 1 + dice_below(m->d, 5000));
	r->rdata_len = 0;
	return r;
}

static void append(struct record *r, const void *octets, size_t len)
{
	memcpy(r->rdata + r->rdata_len, octets, len);
	r->rdata_len += len;
}

static void append_name(struct record *r, struct dns_name n)
{
	append(r, n.octets, n.len);
}

static void append_random(struct made *m, struct record *r, size_t len)
{
	dice_octets(m->d, r->rdata + r->rdata_len, len);
	r->rdata_len += len;
}

/* Data of a type that is right in form; mark makes it differ from its brothers. */
static void fill(struct made *m, struct record *r, uint8_t mark)
{
	switch (r->type) {
	case DNS_A:
		append_random(m, r, 3);
		append(r, &mark, 1);
		break;
	case DNS_AAAA:
		append_random(m, r, 15);
		append(r, &mark, 1);
		break;
	case DNS_NS:
	case DNS_PTR:
	case DNS_CNAME: {
		struct dns_name n = random_name(m->d);
		char            text[DNS_NAME_TEXT_MAX], marked[DNS_NAME_TEXT_MAX];

		dns_name_to_text(n.octets, n.len, text);
		snprintf(marked, sizeof marked, "m%u.%.200s", mark, text);
		dns_name_from_text(marked, &n);
		append_name(r, n);
		break;
	}
	case DNS_MX:
		append(r, (uint8_t[]){ 0, mark }, 2);
		append_name(r, random_name(m->d));
		break;
	case DNS_SRV:
		append(r, (uint8_t[]){ 0, 1, 0, 2, 0, mark }, 6);
		append_name(r, random_name(m->d));
		break;
	case 35:
		append(r, (uint8_t[]){ 0, 1, 0, mark, 1, 'u', 2, 'x', 'y', 0 }, 10);
		append_name(r, random_name(m->d));
		break;
	case DNS_SOA:
		append_name(r, random_name(m->d));
		append_name(r, random_name(m->d));
		append_random(m, r, 16);
		append(r, (uint8_t[]){ 0, 0, (uint8_t)dice_below(m->d, 8), (uint8_t)dice_u64(m->d) }, 4);
		break;
	default:
		append(r, &mark, 1);
		append_random(m, r, dice_below(m->d, 60));
	}
}

static void sign(struct made *m, enum draft_section section, struct dns_name owner, uint16_t covered, bool wanted)
{
	unsigned group = wanted && q.dnssec_ok ? ++m->groups : 0;

	for (uint64_t n = dice_below(m->d, 3); n || group; n = n ? n - 1 : 0) {
		struct record *r = add(m, section, other_case(m->d, owner), DNS_RRSIG, group);

		append(r, (uint8_t[]){ (uint8_t)(covered >> 8), (uint8_t)covered, 13, 2 }, 4);
		append_random(m, r, 14);
		append_name(r, random_name(m->d));
		append_random(m, r, 64);
		if (n <= 1)
			break;
	}
}

/* What answers, as it is made up: aliases, then data or nothing. */
static void make_answer(struct made *m, uint16_t qtype)
{
	struct dns_name at = qname;
	unsigned        links = qtype == DNS_CNAME || dice_one_in(m->d, 2) ? 0 :
	                        (unsigned)dice_below(m->d, dice_one_in(m->d, 4) ? 13 : 4);

	m->rcode = DNS_NOERROR;
	m->kind = DNS_ANSWER_POSITIVE;
	for (unsigned i = 0; i < links; i++) {
		struct dns_name to;
		struct record  *r;
		char            text[64];

		snprintf(text, sizeof text, "L%u-%llx.%s", i, (unsigned long long)dice_below(m->d, 256),
		         dice_one_in(m->d, 2) ? "Chain.example." : "t.chain.net.");
		dns_name_from_text(text, &to);
		if (i == 0 && dice_one_in(m->d, 2)) {	/* through a DNAME, which is above no other name of the chain */
			struct dns_name dname;
			struct record  *dr;

			dns_name_from_text("q.s.", &dname);
			dr = add(m, DRAFT_ANSWER, other_case(m->d, dname), DNS_DNAME, ++m->groups);
			append_name(dr, to);
			sign(m, DRAFT_ANSWER, dname, DNS_DNAME, true);
			memmove(to.octets + 3, to.octets, to.len);
			memcpy(to.octets, "\2q1", 3);
			to.len = (uint8_t)(to.len + 3);
		}
		r = add(m, DRAFT_ANSWER, other_case(m->d, at), DNS_CNAME, ++m->groups);
		append_name(r, other_case(m->d, to));
		sign(m, DRAFT_ANSWER, at, DNS_CNAME, true);
		at = to;
	}
	if (dice_below(m->d, 4)) {
		unsigned n = 1 + (unsigned)dice_below(m->d, dice_one_in(m->d, 8) && qtype != DNS_CNAME ? 40 : 4);

		n = qtype == DNS_CNAME || qtype == DNS_SOA ? 1 : n;
		++m->groups;
		for (unsigned i = 0, group = m->groups; i < n; i++)
			fill(m, add(m, DRAFT_ANSWER, other_case(m->d, at), qtype, group), (uint8_t)i);
		sign(m, DRAFT_ANSWER, at, qtype, true);
		m->answers = m->groups;
	} else {
		struct dns_name zone = at;

		m->answers = m->groups;
		m->rcode = dice_one_in(m->d, 2) ? DNS_NXDOMAIN : DNS_NOERROR;
		m->kind = m->rcode == DNS_NXDOMAIN && !links ? DNS_ANSWER_NXDOMAIN : DNS_ANSWER_NODATA;
		for (uint64_t cut = dice_below(m->d, 3); cut && zone.octets[0]; cut--) {
			uint8_t label = (uint8_t)(zone.octets[0] + 1);

			zone.len = (uint8_t)(zone.len - label);
			memmove(zone.octets, zone.octets + label, zone.len);
		}
		fill(m, add(m, DRAFT_AUTHORITY, other_case(m->d, zone), DNS_SOA, ++m->groups), 0);
		sign(m, DRAFT_AUTHORITY, zone, DNS_SOA, true);
	}
}

/* What does not belong to it. */
static void make_noise(struct made *m, uint16_t qtype)
{
	static const uint16_t types[] = { DNS_A, DNS_AAAA, DNS_MX, DNS_NS, DNS_TXT, DNS_SRV, 35, 64, 65280 };

	for (uint64_t n = dice_below(m->d, 12); n; n--) {
		uint16_t           type = types[dice_below(m->d, COUNT_OF(types))];
		enum draft_section section = (enum draft_section)(1 + dice_below(m->d, 3));
		struct dns_name    owner = m->count && dice_one_in(m->d, 3) ?
		                           m->records[dice_below(m->d, m->count)].owner : random_name(m->d);

		if (section == DRAFT_ADDITIONAL && (type == DNS_A || type == DNS_AAAA))
			continue;			/* those pass; they are looked at elsewhere */
		if (section == DRAFT_ANSWER && type == qtype)
			owner = random_name(m->d);	/* data of the asked type under the asked name is the answer */
		fill(m, add(m, section, owner, type, 0), (uint8_t)n);
	}
}

/* Some once more, letter case of the owner and TTL apart. */
static void make_doubles(struct made *m)
{
	for (unsigned i = 0, n = m->count; i < n && m->count + 8 < RECORDS_MAX; i++) {
		if (!dice_one_in(m->d, 6) || m->records[i].type == DNS_SOA)
			continue;
		m->records[m->count] = m->records[i];
		m->records[m->count].ttl = (uint32_t)dice_below(m->d, 5000);
		m->records[m->count].owner = other_case(m->d, m->records[i].owner);
		m->count++;
	}
}

static void shuffle(struct made *m)
{
	for (unsigned i = m->count; i > 1; i--) {
		unsigned      k = (unsigned)dice_below(m->d, i);
		struct record r = m->records[i - 1];

		m->records[i - 1] = m->records[k];
		m->records[k] = r;
	}
}

static void write_reply(struct made *m)
{
	char text[DNS_NAME_TEXT_MAX];

	dns_name_to_text(qname.octets, qname.len, text);
	draft_begin(&draft, 1, (uint16_t)(DNS_QR | DNS_RD | DNS_RA | m->rcode));
	draft_question(&draft, text, q.qtype, DNS_IN);
	for (enum draft_section s = DRAFT_ANSWER; s <= DRAFT_ADDITIONAL; s++)
		for (unsigned i = 0; i < m->count; i++) {
			const struct record *r = &m->records[i];

			if (r->section != s)
				continue;
			dns_name_to_text(r->owner.octets, r->owner.len, text);
			draft_record(&draft, s, text, r->type, DNS_IN, r->ttl);
			draft_rdata(&draft, r->type, r->rdata, r->rdata_len);
		}
	if (dice_one_in(m->d, 2))
		draft_opt(&draft, 1232, 0, NULL, 0);
}

static void make(struct dice *d)
{
	static const uint16_t types[] = { DNS_A, DNS_A, DNS_AAAA, DNS_MX, DNS_TXT, DNS_CNAME, DNS_SRV, DNS_NS, 35, 65280 };
	struct made          *m = &made;

	ask("q1.Q.s.", types[dice_below(d, COUNT_OF(types))]);
	q.dnssec_ok = dice_one_in(d, 2);
	m->d = d;
	m->count = m->groups = m->answers = 0;
	make_answer(m, q.qtype);
	make_noise(m, q.qtype);
	make_doubles(m);
	shuffle(m);
	draft.squeeze = dice_one_in(d, 3) ? NULL : d;
	write_reply(m);
	draft.squeeze = NULL;
}

/* The TTL that a group gets, and how many different records it has. */
static unsigned group_size(const struct made *m, unsigned group, uint32_t *ttl)
{
	unsigned n = 0;

	*ttl = UINT32_MAX;
	for (unsigned i = 0; i < m->count; i++) {
		const struct record *r = &m->records[i];
		bool                 first = r->group == group;

		if (!first)
			continue;
		*ttl = r->ttl < *ttl ? r->ttl : *ttl;
		for (unsigned k = 0; k < i; k++)
			first &= m->records[k].group != group || m->records[k].rdata_len != r->rdata_len ||
			         memcmp(m->records[k].rdata, r->rdata, r->rdata_len);
		n += first;
	}
	return n;
}

/* The records of a reply against the groups: group after group, any order inside. */
static void compare(struct made *m)
{
	static uint8_t rdata[ORACLE_RDATA_MAX];
	size_t         at = 0;
	uint32_t       life = UINT32_MAX, soa_life = UINT32_MAX;

	for (unsigned i = 0; i < m->count; i++)
		if (m->records[i].type == DNS_SOA && m->records[i].group && m->kind != DNS_ANSWER_POSITIVE) {
			const uint8_t *p = m->records[i].rdata + m->records[i].rdata_len - 4;
			uint32_t       minimum = (uint32_t)p[2] << 8 | p[3];

			soa_life = m->records[i].ttl < minimum ? m->records[i].ttl : minimum;
			soa_life = soa_life < NEGATIVE_MAX ? soa_life : NEGATIVE_MAX;
		}
	for (unsigned group = 1; group <= m->groups; group++) {
		uint32_t ttl;
		unsigned n = group_size(m, group, &ttl);

		ttl = ttl < TTL_MAX ? ttl : TTL_MAX;
		if (group > m->answers && ttl > soa_life)	/* the SOA and what signs it */
			ttl = soa_life;
		life = ttl < life && n ? ttl : life;
		for (unsigned i = 0; i < n; i++, at++) {
			const struct oracle_record *got = &reply.records[at];
			size_t                      len;
			bool                        known = false;

			holds(m->d, at < reply.record_count);
			len = oracle_rdata(&reply, got, rdata);
			for (unsigned k = 0; k < m->count && !known; k++) {
				const struct record *r = &m->records[k];

				known = r->group == group && r->type == got->type && r->section == got->section &&
				        dns_name_equal(r->owner.octets, r->owner.len, got->owner.octets, got->owner.len) &&
				        r->rdata_len == len && !memcmp(r->rdata, rdata, len);
			}
			holds(m->d, known);
			holds(m->d, got->ttl == ttl);
		}
	}
	holds(m->d, at == reply.record_count);
	holds(m->d, answer.ttl_s == life);
}

/* MATCH-19, -20, -23, -27, NAME-12 to NAME-16, CACHE-03 to CACHE-05, all at once. */
static void test_random(void **state)
{
	(void)state;
	for (struct dice d = dice_first(6000); d.left; dice_next(&d)) {
		enum dns_scrub_verdict verdict;
		const char            *wrong;

		make(&d);
		oracle_done(&reply);
		verdict = dns_scrub_reply(scrub, guard_copy(&guard, draft.octets, draft.len), draft.len, &q, &answer,
		                          &target);
		holds(&d, verdict == DNS_SCRUB_ANSWER);
		wrong = judge_answer(&q, verdict, &answer, &target);
		if (wrong)
			fail_msg("LARDER_SEED=%llu: %s", (unsigned long long)d.seed, wrong);
		holds(&d, answer.kind == made.kind && answer.rcode == made.rcode);
		holds(&d, oracle_read(&reply, reply_octets, judge_reply(&q, &answer, 0, false, reply_octets)));
		compare(&made);
	}
}

/* Octets changed, cut, exchanged: whatever the verdict, an answer is an answer. */
static void test_mutants(void **state)
{
	unsigned verdicts[DNS_SCRUB_MALFORMED + 1] = { 0 };

	(void)state;
	for (struct dice d = dice_first(20000); d.left; dice_next(&d)) {
		enum dns_scrub_verdict verdict;
		const char            *wrong;
		unsigned               calls = 0;

		make(&d);
		for (uint64_t n = 1 + dice_below(&d, 6); n; n--) {
			size_t at = 12 + dice_below(&d, draft.len - 12);

			if (dice_one_in(&d, 4))
				draft.octets[4 + dice_below(&d, 8)] = (uint8_t)dice_below(&d, 4);
			else if (dice_one_in(&d, 2))
				draft.octets[at] ^= (uint8_t)(1u << dice_below(&d, 8));
			else
				draft.octets[at] = dice_one_in(&d, 3) ? 0xc0 : (uint8_t)dice_below(&d, 70);
		}
		if (dice_one_in(&d, 6))
			draft.len = 12 + dice_below(&d, draft.len - 11);
		if (dice_one_in(&d, 4)) {
			q.in_route = in_example;
			q.arg = &calls;
		}
		q.mixed_case = dice_one_in(&d, 4) && draft.len >= 12u + q.qname_len;
		verdict = dns_scrub_reply(scrub, guard_copy(&guard, draft.octets, draft.len), draft.len, &q, &answer,
		                          &target);
		holds(&d, verdict <= DNS_SCRUB_MALFORMED);
		verdicts[verdict]++;
		wrong = judge_answer(&q, verdict, &answer, &target);
		if (wrong && strcmp(wrong, "a doubled record"))		/* twice in the chain, if so changed */
			fail_msg("LARDER_SEED=%llu: %s", (unsigned long long)d.seed, wrong);
	}
	if (!getenv("LARDER_SEED"))
		for (unsigned i = 0; i < COUNT_OF(verdicts); i++)
			assert_true(verdicts[i] || i == DNS_SCRUB_LOOP);
}

/* ---- joins ---- */

static uint8_t chain_body[DNS_MESSAGE_MAX];

/* Keeps the present answer as the chain of a join. */
static struct dns_answer keep_chain(void)
{
	struct dns_answer chain = answer;

	memcpy(chain_body, answer.body, answer.body_len);
	chain.body = chain_body;
	chain.ttl_at = NULL;
	return chain;
}

static enum dns_scrub_verdict join(const struct dns_answer *chain, const struct dns_answer *rest)
{
	struct dns_answer      out;
	enum dns_scrub_verdict verdict = dns_scrub_join(scrub, &q, chain, &target, rest, &out);
	const char            *wrong = judge_answer(&q, verdict, &out, &target);

	if (wrong)
		fail_msg("not right: %s", wrong);
	answer = out;
	oracle_done(&reply);
	if (verdict == DNS_SCRUB_ANSWER)
		assert_true(oracle_read(&reply, reply_octets, judge_reply(&q, &answer, 0, false, reply_octets)));
	return verdict;
}

/* The chain to b.elsewhere., for a question of this type. */
static struct dns_answer chain_out(uint16_t qtype)
{
	static unsigned calls;

	say("A.example.", qtype, DNS_NOERROR);
	q.in_route = in_example;
	q.arg = &calls;
	draft_to(&draft, DRAFT_ANSWER, "a.example.", DNS_CNAME, 60, "B.elsewhere.");
	assert_int_equal(hear(), DNS_SCRUB_ALIAS_OUT);
	dns_name_lower(target.octets, target.len);
	return keep_chain();
}

/* What the other route says of the target. */
static struct dns_answer rest_of(void (*add_records)(void), uint16_t qtype, unsigned rcode)
{
	struct dns_name        kept_target = target, kept_qname = qname;
	struct dns_scrub_query kept = q;
	enum dns_scrub_verdict verdict;
	struct dns_answer      rest;

	say("b.elsewhere.", qtype, rcode);
	add_records();
	verdict = dns_scrub_reply(scrub, draft.octets, draft.len, &q, &rest, &target);
	assert_int_equal(verdict, DNS_SCRUB_ANSWER);
	target = kept_target;
	qname = kept_qname;
	q = kept;
	return rest;
}

static void add_address(void)
{
	draft_a(&draft, DRAFT_ANSWER, "b.elsewhere.", 40, "192.0.2.1");
}

static void add_more_aliases(void)
{
	draft_to(&draft, DRAFT_ANSWER, "b.elsewhere.", DNS_CNAME, 50, "c.elsewhere.");
	draft_a(&draft, DRAFT_ANSWER, "c.elsewhere.", 40, "192.0.2.1");
}

static void add_soa(void)
{
	draft_soa(&draft, DRAFT_AUTHORITY, "elsewhere.", 30, 30);
}

static void add_mail(void)
{
	draft_mx(&draft, DRAFT_ANSWER, "b.elsewhere.", 40, 1, "mail.elsewhere.");
	draft_a(&draft, DRAFT_ADDITIONAL, "mail.elsewhere.", 40, "192.0.2.1");
}

static void add_nothing(void)
{
}

static void test_join(void **state)
{
	static const struct {
		void (*add)(void);
		uint16_t qtype;
		unsigned rcode, an, ns, ar;
		uint32_t ttl_s;
		enum dns_answer_kind kind;
	} rows[] = {
		{ add_address, DNS_A, DNS_NOERROR, 2, 0, 0, 40, DNS_ANSWER_POSITIVE },
		{ add_more_aliases, DNS_A, DNS_NOERROR, 3, 0, 0, 40, DNS_ANSWER_POSITIVE },
		{ add_mail, DNS_MX, DNS_NOERROR, 2, 0, 1, 40, DNS_ANSWER_POSITIVE },
		{ add_soa, DNS_A, DNS_NOERROR, 1, 1, 0, 30, DNS_ANSWER_NODATA },
		/* NEG-07: it denies the target, not the name that was asked for */
		{ add_soa, DNS_A, DNS_NXDOMAIN, 1, 1, 0, 30, DNS_ANSWER_NODATA },
		{ add_nothing, DNS_A, DNS_NXDOMAIN, 1, 0, 0, 0, DNS_ANSWER_NODATA },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct dns_answer chain = chain_out(rows[i].qtype);
		struct dns_answer rest = rest_of(rows[i].add, rows[i].qtype, rows[i].rcode);

		chain.authentic = i & 1;
		rest.authentic = i & 2;
		assert_int_equal(join(&chain, &rest), DNS_SCRUB_ANSWER);
		assert_int_equal(answer.authentic, (i & 3) == 3);	/* FLAG-03: all of it, or nothing */
		assert_int_equal(answer.kind, rows[i].kind);
		assert_int_equal(answer.rcode, rows[i].rcode);
		assert_int_equal(answer.ancount, rows[i].an);
		assert_int_equal(answer.nscount, rows[i].ns);
		assert_int_equal(answer.arcount, rows[i].ar);
		assert_int_equal(answer.ttl_s, rows[i].ttl_s);
		assert_true(answer.crosses_route);
		assert_int_equal(reply.records[0].type, DNS_CNAME);
		assert_int_equal(reply.records[0].ttl, 60);
	}
}

/* The bound on aliases holds for both parts together. */
static void add_twelve(void)
{
	char from[32], to[32] = "b.elsewhere.";

	for (unsigned i = 0; i < DNS_CHAIN_MAX; i++) {
		strcpy(from, to);
		snprintf(to, sizeof to, "n%u.elsewhere.", i);
		draft_to(&draft, DRAFT_ANSWER, from, DNS_CNAME, 60, to);
	}
	draft_a(&draft, DRAFT_ANSWER, to, 60, "192.0.2.1");
}

static void add_back(void)
{
	draft_to(&draft, DRAFT_ANSWER, "b.elsewhere.", DNS_CNAME, 60, "a.example.");
	draft_a(&draft, DRAFT_ANSWER, "a.example.", 60, "192.0.2.1");
}

static void test_join_loops(void **state)
{
	struct dns_answer chain = chain_out(DNS_A), rest = rest_of(add_twelve, DNS_A, DNS_NOERROR);

	(void)state;
	assert_int_equal(join(&chain, &rest), DNS_SCRUB_LOOP);
	chain = chain_out(DNS_A);			/* a name that is an alias and has an address */
	rest = rest_of(add_back, DNS_A, DNS_NOERROR);
	(void)join(&chain, &rest);			/* judged there */
}

/* ---- cost ---- */

/* The processor's time for one reply, in milliseconds. */
static double cost_ms(void)
{
	clock_t best = 0;

	for (unsigned i = 0; i < 3; i++) {
		clock_t began = clock();

		dns_scrub_reply(scrub, draft.octets, draft.len, &q, &answer, &target);
		began = clock() - began;
		if (!i || began < best)
			best = began;
	}
	return 1e3 * (double)best / CLOCKS_PER_SEC;
}

/* Times what a plain reply of this size costs; what is quadratic in the number of records is thousands. */
#define COST_MAX_TIMES 150

static double plain_ms;

static void expect_quick(const char *what)
{
	double ms;

	if (draft.len > DNS_MESSAGE_MAX)
		draft.len = DNS_MESSAGE_MAX;
	ms = cost_ms();
	print_message("%s: %.2f ms\n", what, ms);
	if (ms > plain_ms * COST_MAX_TIMES)
		fail_msg("%s: %.1f ms, a plain reply %.2f ms", what, ms, plain_ms);
}

/* NAME-05: replies of 64 KiB that are as costly as can be. */
static void test_worst_is_quick(void **state)
{
	unsigned n;

	(void)state;
	say("q.", DNS_A, DNS_NOERROR);			/* 4000 different addresses */
	draft_count(&draft, DRAFT_ANSWER, 4000);
	for (n = 0; n < 4000; n++) {
		draft_octets(&draft, "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\1\2", 14);
		draft_u16(&draft, (uint16_t)n);
	}
	plain_ms = cost_ms();
	plain_ms = plain_ms > 0.1 ? plain_ms : 0.1;
	expect_quick("many records");

	say("q.", DNS_A, DNS_NOERROR);			/* 16 addresses, then one of them 4000 times */
	draft_count(&draft, DRAFT_ANSWER, 4000);
	for (n = 0; n < 4000; n++) {
		draft_octets(&draft, "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\1\2", 14);
		draft_u16(&draft, (uint16_t)(n < 16 ? n : 0));
	}
	expect_quick("many doubles");

	say("q.", DNS_MX, DNS_NOERROR);			/* as many additional ones, all of one name */
	draft_mx(&draft, DRAFT_ANSWER, "q.", 60, 1, "q.");
	draft_count(&draft, DRAFT_ADDITIONAL, 4000);
	draft.rdata_len_at = 0;
	for (n = 0; n < 4000; n++) {
		draft_octets(&draft, "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\1\2", 14);
		draft_u16(&draft, (uint16_t)(n < 47 ? n : 0));
	}
	expect_quick("many additional records");

	say("a.b.c.d.e.f.g.h.i.j.q.", DNS_A, DNS_NOERROR);	/* DNAMEs at each link of a chain */
	draft_count(&draft, DRAFT_ANSWER, 4000);
	for (n = 0; n < 4000; n++) {
		if (n < 12) {
			draft_octets(&draft, "\xc0\x0c\0\5\0\1\0\0\0\x3c\0\2\xc0\x0e", 14);
			draft.octets[draft.len - 13] = (uint8_t)(12 + 2 * n);
			draft.octets[draft.len - 1] = (uint8_t)(14 + 2 * n);
			continue;
		}
		draft_octets(&draft, "\1x\xc0\x0c\0\x27\0\1\0\0\0\x3c\0\1\0", 15);
	}
	expect_quick("many DNAMEs");

	say("q.", DNS_ANY, DNS_NOERROR);		/* each record of a type of its own */
	draft_count(&draft, DRAFT_ANSWER, 5000);
	for (n = 0; n < 5000; n++) {
		draft_octets(&draft, "\xc0\x0c", 2);
		draft_u16(&draft, (uint16_t)(1000 + n % 47));
		draft_octets(&draft, "\0\1\0\0\0\x3c\0\1x", 9);
	}
	expect_quick("many types");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_shuffled_chain),
		cmocka_unit_test(test_long_chains),
		cmocka_unit_test(test_asked_for_alias),
		cmocka_unit_test(test_two_aliases),
		cmocka_unit_test(test_dname),
		cmocka_unit_test(test_dname_too_long),
		cmocka_unit_test(test_dname_twice),
		cmocka_unit_test(test_wrong_places),
		cmocka_unit_test(test_doubles),
		cmocka_unit_test(test_many_doubles),
		cmocka_unit_test(test_ttls),
		cmocka_unit_test(test_ttl_floor),
		cmocka_unit_test(test_negative_life),
		cmocka_unit_test(test_negative_not_kept),
		cmocka_unit_test(test_negative_behind_alias),
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_wrong_rdata),
		cmocka_unit_test(test_unknown_types),
		cmocka_unit_test(test_mixed_case),
		cmocka_unit_test(test_alias_out),
		cmocka_unit_test(test_any),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_extras_too_large),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_mutants),
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_join_loops),
		cmocka_unit_test(test_worst_is_quick),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
