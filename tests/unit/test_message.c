/* test_message.c - what clients send, and the frame of what they get back.
 *
 * The rows of sections 2, 3 and 6 that can be told from the octets alone; each
 * query ends at a guard page, each reply is read by the second reader.
 */
#include "unit.h"

#include "dns/message.h"
#include "draft.h"
#include "guard.h"
#include "oracle.h"

#define REPLY_MAX (DNS_HEADER_LEN + DNS_NAME_MAX + 4 + 11 + 6 + DNS_EDE_TEXT_MAX + 6)

static struct guard  guard, room;
static struct draft  draft;
static struct dns_query q;

static int setup(void **state)
{
	(void)state;
	guard_init(&guard, sizeof draft.octets);
	guard_init(&room, REPLY_MAX);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guard_done(&guard);
	guard_done(&room);
	return 0;
}

static int read_octets(const uint8_t *octets, size_t len, bool stream)
{
	memset(&q, 0x5a, sizeof q);	/* nothing may be left over from the one before */
	return dns_query_read(guard_copy(&guard, octets, len), len, stream, &q);
}

static int read_draft(void)
{
	return read_octets(draft.octets, draft.len, false);
}

static void begin(const char *qname, uint16_t qtype)
{
	draft_begin(&draft, 0xabcd, DNS_RD);
	draft_question(&draft, qname, qtype, DNS_IN);
}

/* The reply with this verdict, as larder sends it: the room ends at a guard page.  Borrowed until the next. */
static void reply_read(int rcode, struct oracle *o)
{
	struct dns_reply_head head = { .rcode = (uint16_t)rcode, .ede = q.ede, .keepalive_100ms = 100 };
	size_t                len, max = dns_reply_head_len(&q) + dns_reply_opt_len(&q, &head);
	uint8_t              *out = guard_room(&room, max);

	len = dns_reply_finish(out, dns_reply_head_len(&q), &q, &head);
	assert_int_equal(len, max);
	assert_true(oracle_read(o, out, len));
	assert_int_equal(o->end, len);
	/* HDR-03, HDR-13, HDR-14: what every reply says */
	assert_int_equal(o->id, q.id);
	assert_int_equal(o->flags & ~DNS_RCODE,
	                 DNS_QR | DNS_RA | (q.flags & (DNS_OPCODE | DNS_RD | DNS_CD)));
	assert_int_equal(o->counts[0], q.question != NULL);
	assert_int_equal(o->counts[1] + o->counts[2], 0);
	assert_int_equal(o->counts[3], q.has_opt);
	if (q.question)			/* HDR-15: octet for octet */
		assert_memory_equal(out + DNS_HEADER_LEN, q.question, q.question_len);
	/* HDR-20: no amplification */
	assert_true(len <= draft.len + 11 + 12);
}

static unsigned reply_rcode(const struct oracle *o)
{
	const struct oracle_record *opt = oracle_find(o, 3, DNS_OPT);

	return (o->flags & DNS_RCODE) | (opt ? opt->ttl >> 24 << 4 : 0);
}

/* The value of an option in the reply's OPT, or -1. */
static int reply_option(const struct oracle *o, uint16_t code)
{
	const struct oracle_record *opt = oracle_find(o, 3, DNS_OPT);
	const uint8_t              *p = opt ? o->octets + opt->rdata_at : NULL;

	for (size_t at = 0; opt && at + 4 <= opt->rdata_len; at += 4 + (size_t)(p[at + 2] << 8 | p[at + 3]))
		if ((p[at] << 8 | p[at + 1]) == code)
			return p[at + 4] << 8 | p[at + 5];
	return -1;
}

/* Reads the draft, expects a verdict, and gives the reply to it. */
static void expect(int verdict, struct oracle *o)
{
	assert_int_equal(read_draft(), verdict);
	reply_read(verdict, o);
	assert_int_equal(reply_rcode(o), verdict == DNS_BADVERS && !q.has_opt ? DNS_SERVFAIL : verdict);
	oracle_done(o);
}

static void test_plain(void **state)
{
	struct oracle o;

	(void)state;
	draft_begin(&draft, 7, DNS_RD | DNS_CD | DNS_AD | DNS_AA | DNS_TC | DNS_RA | DNS_Z | DNS_RCODE);
	draft_question(&draft, "wWw.ExAmPlE.", DNS_A, DNS_IN);
	expect(DNS_NOERROR, &o);		/* HDR-11, HDR-12: flags that mean nothing here */
	assert_int_equal(q.id, 7);
	assert_int_equal(q.qtype, DNS_A);
	assert_int_equal(q.qclass, DNS_IN);
	assert_int_equal(q.qname_len, 13);
	assert_memory_equal(q.qname, "\3www\7example", 13);
	assert_int_equal(q.question_len, 17);
	assert_memory_equal(q.question, "\3wWw\7ExAmPlE", 13);
	assert_int_equal(q.udp_size, 512);
	assert_int_equal(q.ede, DNS_EDE_NONE);
	assert_false(q.has_opt || q.dnssec_ok || q.keepalive);
}

/* NAME-20. */
static void test_root(void **state)
{
	struct oracle o;

	(void)state;
	begin(".", DNS_NS);
	expect(DNS_NOERROR, &o);
	assert_int_equal(q.qname_len, 1);
	assert_int_equal(o.qname.len, 1);
}

/* HDR-01, HDR-02: nothing to say, and nothing to read either. */
static void test_silence(void **state)
{
	(void)state;
	begin("example.", DNS_A);
	for (size_t len = 0; len < 12; len++)
		assert_int_equal(read_octets(draft.octets, len, false), DNS_QUERY_SILENCE);
	draft_begin(&draft, 1, DNS_QR);
	draft_question(&draft, "example.", DNS_A, DNS_IN);
	assert_int_equal(read_draft(), DNS_QUERY_SILENCE);
	draft_begin(&draft, 1, DNS_QR | 5 << 11);
	assert_int_equal(read_draft(), DNS_QUERY_SILENCE);
}

/* HDR-03, HDR-04: the opcode is judged before the body. */
static void test_opcodes(void **state)
{
	struct oracle o;

	(void)state;
	for (unsigned opcode = 1; opcode < 16; opcode++) {
		draft_begin(&draft, 1, (uint16_t)(DNS_RD | opcode << 11));
		draft_question(&draft, "example.", DNS_A, DNS_IN);
		expect(DNS_NOTIMP, &o);
		assert_int_equal(o.counts[0], 0);
		memset(draft.octets + 4, 0xff, draft.len - 4);
		expect(DNS_NOTIMP, &o);
		draft.len = 12;
		expect(DNS_NOTIMP, &o);
	}
}

/* HDR-05, HDR-06. */
static void test_question_counts(void **state)
{
	static const uint16_t counts[] = { 0, 2, 3, 65535 };
	struct oracle         o;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(counts); i++) {
		for (unsigned present = 0; present < 4; present++) {
			draft_begin(&draft, 1, DNS_RD);
			for (unsigned n = 0; n < present; n++)
				draft_question(&draft, "example.", DNS_A, DNS_IN);
			draft_count(&draft, DRAFT_QUESTION, counts[i]);
			expect(DNS_FORMERR, &o);
		}
	}
	draft_begin(&draft, 1, DNS_RD);			/* none, with OPT: the reply has one, too */
	draft_opt(&draft, 1232, 0, NULL, 0);
	expect(DNS_FORMERR, &o);
	assert_true(q.has_opt);
	draft_begin(&draft, 1, DNS_RD);
	draft_question(&draft, "a.example.", DNS_A, DNS_IN);
	draft_question(&draft, "b.example.", DNS_A, DNS_IN);
	draft_opt(&draft, 1232, 0, NULL, 0);
	expect(DNS_FORMERR, &o);
	assert_true(q.has_opt);
}

/* HDR-07, HDR-09: cut at each octet. */
static void test_cut(void **state)
{
	struct oracle o;
	size_t        question_end, whole;

	(void)state;
	begin("www.example.", DNS_A);
	question_end = draft.len;
	draft_opt(&draft, 1232, 0, "\0\x0a\0\x08" "12345678", 12);
	whole = draft.len;
	for (size_t len = 12; len <= whole; len++) {
		int verdict = read_octets(draft.octets, len, false);

		assert_int_equal(verdict, len < whole ? DNS_FORMERR : DNS_NOERROR);
		assert_int_equal(q.id, 0xabcd);
		assert_int_equal(q.question != NULL, len >= question_end);
		reply_read(verdict, &o);
		oracle_done(&o);
	}
}

/* HDR-08: answer and authority records do not belong into a question; the OPT behind them still counts. */
static void test_other_sections(void **state)
{
	struct oracle o;

	(void)state;
	for (enum draft_section s = DRAFT_ANSWER; s <= DRAFT_AUTHORITY; s++) {
		begin("www.example.", DNS_A);
		draft_a(&draft, s, "www.example.", 1, "192.0.2.1");
		draft_opt(&draft, 1232, 0, NULL, 0);
		expect(DNS_FORMERR, &o);
		assert_true(q.has_opt);
		begin("www.example.", DNS_A);
		draft_count(&draft, s, 65535);
		expect(DNS_FORMERR, &o);
	}
	begin("www.example.", DNS_A);		/* EDNS-14: in the additional section anything may stand */
	draft_a(&draft, DRAFT_ADDITIONAL, "www.example.", 1, "192.0.2.1");
	draft_opt(&draft, 1232, 0, NULL, 0);
	draft_a(&draft, DRAFT_ADDITIONAL, "www.example.", 1, "192.0.2.2");
	expect(DNS_NOERROR, &o);
	assert_true(q.has_opt);
	draft_count(&draft, DRAFT_ADDITIONAL, 4);	/* HDR-09 */
	expect(DNS_FORMERR, &o);
}

/* HDR-10. */
static void test_trailing_octets(void **state)
{
	uint8_t       more[40];
	struct oracle o;

	(void)state;
	begin("www.example.", DNS_A);
	memset(more, 0xff, sizeof more);
	draft_octets(&draft, more, sizeof more);
	expect(DNS_NOERROR, &o);
	assert_int_equal(o.len, 12 + 17);
}

/* HDR-21 to HDR-23, NAME-17. */
static void test_types_and_classes(void **state)
{
	struct oracle o;

	(void)state;
	for (unsigned type = 0; type <= UINT16_MAX; type++) {
		int verdict = DNS_NOERROR, ede = DNS_EDE_NONE;

		if (type == 0 || type == 41 || type == 249 || type == 250)
			verdict = DNS_FORMERR;
		else if (type == 128)
			verdict = DNS_FORMERR, ede = 30;
		else if (type == 253 || type == 254)
			verdict = DNS_NOTIMP;
		else if (type == 251 || type == 252)
			verdict = DNS_REFUSED, ede = 21;
		begin("x.example.", (uint16_t)type);
		assert_int_equal(read_draft(), verdict);
		assert_int_equal(q.ede, ede);
		assert_non_null(q.question);
	}
	for (unsigned class = 0; class <= UINT16_MAX; class++) {
		draft_begin(&draft, 1, DNS_RD);
		draft_question(&draft, "x.example.", DNS_A, (uint16_t)class);
		assert_int_equal(read_draft(), class == DNS_IN || class == DNS_CH ? DNS_NOERROR : DNS_REFUSED);
		assert_int_equal(q.ede, class == DNS_IN || class == DNS_CH ? DNS_EDE_NONE : 21);
	}
	begin("x.example.", 128);
	draft_opt(&draft, 1232, 0, NULL, 0);
	assert_int_equal(read_draft(), DNS_FORMERR);
	reply_read(DNS_FORMERR, &o);
	assert_int_equal(reply_option(&o, DNS_OPTION_EDE), 30);
	oracle_done(&o);
}

/* NAME-01 to NAME-03. */
static void test_names(void **state)
{
	static const uint8_t reserved[] = { 0x40, 0x41, 0x7f, 0x80, 0xbf };
	static const char *const pointers[] = { "\xc0\x0c", "\xc0\0", "\1a\xc0\x0c", "\xc0\x20" };
	static const size_t      pointer_len[] = { 2, 2, 4, 2 };
	struct oracle            o;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(reserved); i++) {
		begin("aaaa.example.", DNS_A);
		draft.octets[12] = reserved[i];
		expect(DNS_FORMERR, &o);
	}
	for (size_t i = 0; i < COUNT_OF(pointers); i++) {
		draft_begin(&draft, 1, DNS_RD);
		draft_count(&draft, DRAFT_QUESTION, 1);
		draft_octets(&draft, pointers[i], pointer_len[i]);
		draft_u16(&draft, DNS_A);
		draft_u16(&draft, DNS_IN);
		draft_octets(&draft, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
		expect(DNS_FORMERR, &o);
	}
	for (unsigned last = 60; last < 63; last++) {
		char text[300];

		for (unsigned i = 0; i < 3; i++)
			memset(text + 64 * i, 'x', 63), text[64 * i + 63] = '.';
		memset(text + 192, 'x', last);
		strcpy(text + 192 + last, ".");
		if (last < 62) {
			begin(text, DNS_A);
		} else {			/* 256 octets, which no library would write */
			draft_begin(&draft, 1, DNS_RD);
			draft_count(&draft, DRAFT_QUESTION, 1);
			for (unsigned i = 0; i < 4; i++) {
				uint8_t n = i < 3 ? 63 : 62;

				draft_octets(&draft, &n, 1);
				draft_octets(&draft, text, n == 63 ? 63 : 0);
				draft_octets(&draft, text + 192, n == 62 ? 62 : 0);
			}
			draft_octets(&draft, "\0\0\1\0\1", 5);
		}
		expect(last < 62 ? DNS_NOERROR : DNS_FORMERR, &o);
	}
}

/* HDR-25. */
static void test_signed_queries(void **state)
{
	static const uint16_t types[] = { DNS_TSIG, DNS_SIG };
	struct oracle         o;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(types); i++) {
		begin("www.example.", DNS_A);
		draft_opt(&draft, 1232, 0, NULL, 0);
		draft_raw(&draft, DRAFT_ADDITIONAL, "key.", types[i], 0, "whatever", 8);
		assert_int_equal(read_draft(), DNS_REFUSED);
		assert_int_equal(q.ede, 21);
		reply_read(DNS_REFUSED, &o);
		assert_int_equal(reply_option(&o, DNS_OPTION_EDE), 21);
		oracle_done(&o);
	}
}

/* EDNS-01 to EDNS-10, EDNS-14. */
static void test_opt(void **state)
{
	static const struct {
		uint16_t    size;
		uint32_t    ttl;
		const char *options;
		size_t      len;
		int         verdict;
		uint16_t    udp_size;
		bool        dnssec_ok;
	} rows[] = {
		{ 1232, 0, "", 0, DNS_NOERROR, 1232, false },
		{ 4096, 0x8000, "", 0, DNS_NOERROR, 4096, true },
		{ 65535, 0xffff, "", 0, DNS_NOERROR, 65535, true },		/* EDNS-05 */
		{ 511, 0x7fff, "", 0, DNS_NOERROR, 512, false },		/* EDNS-10 */
		{ 0, 0, "", 0, DNS_NOERROR, 512, false },
		{ 1232, 0xff000000, "", 0, DNS_NOERROR, 1232, false },		/* an rcode in a query */
		{ 1232, 0x00010000, "", 0, DNS_BADVERS, 1232, false },		/* EDNS-03 */
		{ 1232, 0x00ff8000, "", 0, DNS_BADVERS, 1232, true },
		{ 1232, 0x00010000, "\0\1\xff", 3, DNS_BADVERS, 1232, false },	/* read no further */
		{ 1232, 0, "\0\x64\0\0", 4, DNS_NOERROR, 1232, false },		/* EDNS-04 */
		{ 1232, 0, "\xff\xff\0\3abc", 7, DNS_NOERROR, 1232, false },
		{ 1232, 0, "\0\x0b\0\0", 4, DNS_NOERROR, 1232, false },		/* keepalive over UDP */
		{ 1232, 0, "\0\x64\0\1", 4, DNS_FORMERR, 1232, false },		/* EDNS-09 */
		{ 1232, 0, "\0\x64\xff\xff", 4, DNS_FORMERR, 1232, false },
		{ 1232, 0, "\0\x64\0\0\0\0\0", 7, DNS_FORMERR, 1232, false },
		{ 1232, 0, "\0", 1, DNS_FORMERR, 1232, false },
	};
	struct oracle o;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct oracle_record *opt;

		begin("www.example.", DNS_A);
		draft_opt(&draft, rows[i].size, rows[i].ttl, rows[i].options, rows[i].len);
		assert_int_equal(read_draft(), rows[i].verdict);
		assert_true(q.has_opt);
		assert_int_equal(q.udp_size, rows[i].udp_size);
		assert_int_equal(q.dnssec_ok, rows[i].dnssec_ok);
		assert_false(q.keepalive);
		reply_read(rows[i].verdict, &o);
		assert_int_equal(reply_rcode(&o), rows[i].verdict);
		opt = oracle_find(&o, 3, DNS_OPT);
		assert_non_null(opt);
		assert_int_equal(opt->owner.len, 1);
		assert_int_equal(opt->ttl & 0x00ffffff, rows[i].dnssec_ok ? 0x8000 : 0);  /* version 0, no other flag */
		assert_int_equal(opt->rdata_len, 0);
		oracle_done(&o);
	}
}

/* EDNS-07, EDNS-08. */
static void test_wrong_opts(void **state)
{
	struct oracle o;

	(void)state;
	begin("www.example.", DNS_A);
	draft_opt(&draft, 1232, 0, NULL, 0);
	draft_opt(&draft, 1232, 0, NULL, 0);
	expect(DNS_FORMERR, &o);
	assert_true(q.has_opt);
	begin("www.example.", DNS_A);
	draft_record(&draft, DRAFT_ADDITIONAL, "a.", DNS_OPT, 1232, 0);
	expect(DNS_FORMERR, &o);
	begin("www.example.", DNS_A);			/* its RDLENGTH leads out of the message */
	draft_opt(&draft, 1232, 0, "\0\x64\0\0", 4);
	draft.octets[draft.len - 5] = 5;
	expect(DNS_FORMERR, &o);
}

/* EDNS-16: known options many times, EDNS-15: very many. */
static void test_many_options(void **state)
{
	static uint8_t options[1200];
	struct oracle  o;

	(void)state;
	for (size_t i = 0; i < sizeof options; i += 4)
		memcpy(options + i, (uint8_t[]){ 0, (uint8_t)(i % 3 ? 10 : 3), 0, 0 }, 4);
	begin("www.example.", DNS_A);
	draft_opt(&draft, 1232, 0, options, sizeof options);
	expect(DNS_NOERROR, &o);
	assert_true(o.len < 100);
}

/* RFC 7828: asked for on a stream it is stated; a time from a client is a mistake. */
static void test_keepalive(void **state)
{
	struct oracle o;

	(void)state;
	begin("www.example.", DNS_A);
	draft_opt(&draft, 1232, 0, "\0\x0b\0\0", 4);
	assert_int_equal(read_octets(draft.octets, draft.len, true), DNS_NOERROR);
	assert_true(q.keepalive);
	q.ede = DNS_EDE_STALE;				/* both options at once */
	reply_read(DNS_NOERROR, &o);
	assert_int_equal(reply_option(&o, DNS_OPTION_KEEPALIVE), 100);
	assert_int_equal(reply_option(&o, DNS_OPTION_EDE), DNS_EDE_STALE);
	oracle_done(&o);
	begin("www.example.", DNS_A);
	draft_opt(&draft, 1232, 0, "\0\x0b\0\2\0\1", 6);
	assert_int_equal(read_octets(draft.octets, draft.len, true), DNS_FORMERR);
	assert_int_equal(read_octets(draft.octets, draft.len, false), DNS_NOERROR);
}

/* A large rcode needs the client's OPT; AA, AD and TC are the resolver's to set, and no other flag. */
static void test_finish(void **state)
{
	struct dns_reply_head head = { .rcode = DNS_BADVERS, .flags = 0xffff, .ede = DNS_EDE_NONE,
	                               .ancount = 1, .nscount = 2, .arcount = 3 };
	uint8_t               out[400];
	size_t                len;

	(void)state;
	for (unsigned with_opt = 0; with_opt < 2; with_opt++) {
		begin("www.example.", DNS_A);
		if (with_opt)
			draft_opt(&draft, 1232, 0, NULL, 0);
		assert_int_equal(read_draft(), DNS_NOERROR);
		len = dns_reply_finish(out, dns_reply_head_len(&q) + 100, &q, &head);
		assert_int_equal(len, 12 + 17 + 100 + (with_opt ? 11 : 0));
		assert_int_equal(out[2] << 8 | out[3],
		                 DNS_QR | DNS_AA | DNS_TC | DNS_RD | DNS_RA | (with_opt ? 0 : DNS_SERVFAIL));
		assert_int_equal(out[5], 1);
		assert_int_equal(out[7], 1);
		assert_int_equal(out[9], 2);
		assert_int_equal(out[11], with_opt ? 4 : 3);
		assert_int_equal(with_opt ? out[129 + 5] : 1, 1);	/* the upper part of 16 */
	}
}

/* FLAG-04: AD goes to who sets AD or DO, if there is any. */
static void test_ad_for_who_asks(void **state)
{
	uint8_t out[400];

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct dns_reply_head head = { .flags = i & 4 ? DNS_AD : 0, .ede = DNS_EDE_NONE };

		draft_begin(&draft, 7, i & 1 ? DNS_RD | DNS_AD : DNS_RD);
		draft_question(&draft, "www.example.", DNS_A, DNS_IN);
		draft_opt(&draft, 1232, i & 2 ? 0x8000 : 0, NULL, 0);
		assert_int_equal(read_draft(), DNS_NOERROR);
		dns_reply_finish(out, dns_reply_head_len(&q), &q, &head);
		assert_int_equal(out[3] & DNS_AD, i > 4 ? DNS_AD : 0);
	}
}

/* RFC 8914: a text of any length is sent up to the bound, and only beside a code. */
static void test_ede_text(void **state)
{
	char text[200] = "";

	(void)state;
	begin("www.example.", DNS_A);
	draft_opt(&draft, 1232, 0, NULL, 0);
	assert_int_equal(read_draft(), DNS_NOERROR);
	for (size_t n = 0; n < sizeof text - 1; n++) {
		struct dns_reply_head       head = { .rcode = DNS_SERVFAIL, .ede = 22, .ede_text = text };
		size_t                      max = dns_reply_head_len(&q) + dns_reply_opt_len(&q, &head);
		uint8_t                    *out = guard_room(&room, max);
		const struct oracle_record *opt;
		struct oracle               o;

		assert_int_equal(dns_reply_finish(out, dns_reply_head_len(&q), &q, &head), max);
		assert_true(oracle_read(&o, out, max));
		opt = oracle_find(&o, 3, DNS_OPT);
		assert_int_equal(reply_option(&o, DNS_OPTION_EDE), 22);
		assert_int_equal(opt->rdata_len, 6 + (n < DNS_EDE_TEXT_MAX ? n : DNS_EDE_TEXT_MAX));
		assert_memory_equal(out + opt->rdata_at + 6, text, opt->rdata_len - 6);
		oracle_done(&o);
		head.ede = DNS_EDE_NONE;
		assert_int_equal(dns_reply_opt_len(&q, &head), 11);
		text[n] = (char)('a' + n % 26);
	}
}

/* Any octets at all: a verdict, a reply that can be read, and nothing touched outside. */
static void test_mutants(void **state)
{
	(void)state;
	for (struct dice d = dice_first(20000); d.left; dice_next(&d)) {
		struct oracle o;
		int           verdict;

		begin("a.bc.example.", (uint16_t)dice_below(&d, 260));
		if (dice_one_in(&d, 3))
			draft_a(&draft, DRAFT_ADDITIONAL, "a.example.", 1, "192.0.2.1");
		if (dice_one_in(&d, 2))
			draft_opt(&draft, (uint16_t)dice_u64(&d), 0x8000, "\0\x0b\0\0\0\x0a\0\4abcd", 12);
		for (uint64_t n = dice_below(&d, 4); n; n--)
			draft.octets[dice_below(&d, draft.len)] = (uint8_t)dice_magnitude(&d, 8);
		if (dice_one_in(&d, 4))
			draft.len = dice_below(&d, draft.len + 1);
		verdict = read_octets(draft.octets, draft.len, dice_one_in(&d, 2));
		if (verdict == DNS_QUERY_SILENCE) {
			holds(&d, draft.len < 12 || draft.octets[2] & 0x80);
			continue;
		}
		holds(&d, verdict >= 0 && (verdict <= DNS_REFUSED || verdict == DNS_BADVERS));
		holds(&d, verdict != DNS_NOERROR || q.question);
		holds(&d, !q.question == !q.question_len);
		if (q.question) {
			holds(&d, q.question_len == q.qname_len + 4);
			for (unsigned i = 0; i < q.qname_len; i++)
				holds(&d, q.qname[i] == dns_fold[q.question[i]]);
		}
		holds(&d, q.udp_size >= 512);
		reply_read(verdict, &o);
		holds(&d, reply_rcode(&o) == (unsigned)verdict);
		oracle_done(&o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_root),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_opcodes),
		cmocka_unit_test(test_question_counts),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_other_sections),
		cmocka_unit_test(test_trailing_octets),
		cmocka_unit_test(test_types_and_classes),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_signed_queries),
		cmocka_unit_test(test_opt),
		cmocka_unit_test(test_wrong_opts),
		cmocka_unit_test(test_many_options),
		cmocka_unit_test(test_keepalive),
		cmocka_unit_test(test_finish),
		cmocka_unit_test(test_ad_for_who_asks),
		cmocka_unit_test(test_ede_text),
		cmocka_unit_test(test_mutants),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
