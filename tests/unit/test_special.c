/* test_special.c - special-use names, row by row.  Rows SPEC-01 to SPEC-09, SPEC-11 to SPEC-14. */
#include "unit.h"

#include "alloc_fail.h"
#include "draft.h"
#include "oracle.h"
#include "policy/policy.h"
#include "policy/special.h"

#define ZEROES "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."

static struct special       *special;
static struct draft          draft;
static struct dns_query      q;
static struct dns_reply_head head;
static struct oracle         o;
static uint8_t               octets[DNS_HEADER_LEN + DNS_NAME_MAX + 4 + POLICY_ROOM];

static int setup(void **state)
{
	(void)state;
	special = special_new();
	return special ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	oracle_done(&o);
	special_free(special);
	return 0;
}

/* Is it answered here?  Then o is the reply. */
static bool ask(const char *name, uint16_t qtype)
{
	size_t at, len;

	draft_begin(&draft, 1, DNS_RD);
	draft_question(&draft, name, qtype, DNS_IN);
	(void)dns_query_read(draft.octets, draft.len, false, &q);
	at = dns_reply_head_len(&q);
	oracle_done(&o);
	if (!special_answer(special, &q, octets + at, &head, &len))
		return false;
	assert_true(len <= POLICY_ROOM);
	assert_true(oracle_read(&o, octets, dns_reply_finish(octets, at + len, &q, &head)));
	assert_int_equal(o.end, at + len);
	assert_int_equal(o.flags & (DNS_AA | DNS_AD | DNS_RA), DNS_AA | DNS_RA);	/* SPEC-15 */
	return true;
}

static void name_is(const struct oracle_name *got, const char *want)
{
	struct dns_name n;

	assert_int_equal(dns_name_from_text(want, &n), 0);
	assert_int_equal(got->len, n.len);
	for (size_t i = 0; i < n.len; i++)
		assert_int_equal(dns_fold[got->octets[i]], dns_fold[n.octets[i]]);
}

/* zone 10800 SOA zone nobody.invalid. 1 3600 1200 604800 10800 */
static void soa_is(const struct oracle_record *r, const char *zone)
{
	static const uint8_t numbers[] = "\0\0\0\1\0\0\x0e\x10\0\0\x04\xb0\0\x09\x3a\x80\0\0\x2a\x30";
	struct oracle_name   name;
	size_t               at;

	assert_non_null(r);
	assert_int_equal(r->type, DNS_SOA);
	assert_int_equal(r->ttl, 10800);
	name_is(&r->owner, zone);
	at = oracle_name(octets, r->end, r->rdata_at, &name);
	name_is(&name, zone);
	at = oracle_name(octets, r->end, at, &name);
	name_is(&name, "nobody.invalid.");
	assert_int_equal(r->end - at, 20);
	assert_memory_equal(octets + at, numbers, 20);
}

static void nothing(const char *name, uint16_t qtype, unsigned rcode, const char *zone)
{
	if (!ask(name, qtype))
		fail_msg("%s %u went on", name, qtype);
	assert_int_equal(o.flags & DNS_RCODE, rcode);
	assert_int_equal(o.counts[1], 0);
	assert_int_equal(o.counts[2], 1);
	soa_is(&o.records[0], zone);
}

static const uint16_t types[] = { DNS_A, DNS_AAAA, DNS_NS, DNS_SOA, DNS_DS, DNS_TXT, 65, 65280 };

/* The name with labels in front, every other letter in upper case. */
static const char *below(const char *zone, unsigned labels)
{
	static char text[512];

	*text = '\0';
	while (labels--)
		strcat(text, "xY.");
	strcat(text, zone);
	for (size_t i = 0; text[i]; i += 2)
		if (text[i] >= 'a' && text[i] <= 'z')
			text[i] = (char)(text[i] - 32);
	return text;
}

/* SPEC-02, SPEC-04, SPEC-05, SPEC-14: neither the name nor anything below it is there. */
static void test_absent(void **state)
{
	static const char *const zones[] = { "invalid.", "test.", "local.", "onion.", "6tisch.arpa.", "eap-noob.arpa." };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(zones); i++)
		for (size_t t = 0; t < COUNT_OF(types); t++) {
			nothing(zones[i], types[t], DNS_NXDOMAIN, zones[i]);
			nothing(below(zones[i], 1), types[t], DNS_NXDOMAIN, zones[i]);
			nothing(below(zones[i], 5), types[t], DNS_NXDOMAIN, zones[i]);
		}
}

/* SPEC-06, SPEC-07, SPEC-11. */
static void test_empty_zone(const char *zone, bool ds_goes_on)
{
	for (size_t t = 0; t < COUNT_OF(types); t++) {
		if (types[t] == DNS_SOA) {
			assert_true(ask(below(zone, 0), DNS_SOA));
			assert_int_equal(o.counts[1], 1);
			soa_is(&o.records[0], zone);
		} else if (types[t] == DNS_NS) {
			struct oracle_name ns;

			assert_true(ask(zone, DNS_NS));
			assert_int_equal(o.counts[1], 1);
			assert_int_equal(o.records[0].type, DNS_NS);
			assert_int_not_equal(oracle_name(octets, o.records[0].end, o.records[0].rdata_at, &ns), 0);
			name_is(&ns, zone);
		} else if (types[t] == DNS_DS && ds_goes_on) {
			assert_false(ask(zone, DNS_DS));
		} else {
			nothing(zone, types[t], DNS_NOERROR, zone);
		}
		nothing(below(zone, 1), types[t], DNS_NXDOMAIN, zone);
		nothing(below(zone, 5), types[t], DNS_NXDOMAIN, zone);
	}
}

static void test_empty(void **state)
{
	static const char *const zones[] = {
		"service.arpa.", "10.in-addr.arpa.", "168.192.in-addr.arpa.", "0.in-addr.arpa.", "254.169.in-addr.arpa.",
		"2.0.192.in-addr.arpa.", "100.51.198.in-addr.arpa.", "113.0.203.in-addr.arpa.",
		"255.255.255.255.in-addr.arpa.", "0." ZEROES "ip6.arpa.", "d.f.ip6.arpa.", "8.e.f.ip6.arpa.",
		"9.e.f.ip6.arpa.", "a.e.f.ip6.arpa.", "b.e.f.ip6.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa.",
	};
	char zone[40];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(zones); i++)
		test_empty_zone(zones[i], false);
	test_empty_zone("home.arpa.", true);
	for (unsigned n = 16; n <= 31; n++) {
		snprintf(zone, sizeof zone, "%u.172.in-addr.arpa.", n);
		test_empty_zone(zone, false);
	}
	for (unsigned n = 64; n <= 127; n++) {
		snprintf(zone, sizeof zone, "%u.100.in-addr.arpa.", n);
		test_empty_zone(zone, false);
	}
}

/* SPEC-03, SPEC-12, SPEC-13 and the neighbours of SPEC-07: names like any. */
static void test_ordinary(void **state)
{
	static const char *const names[] = {
		".", "com.", "example.", "www.example.com.", "arpa.", "in-addr.arpa.", "ip6.arpa.", "alt.", "x.alt.", "internal.",
		"ipv4only.arpa.", "170.0.0.192.in-addr.arpa.", "15.172.in-addr.arpa.", "32.172.in-addr.arpa.",
		"63.100.in-addr.arpa.", "128.100.in-addr.arpa.", "172.in-addr.arpa.", "100.in-addr.arpa.",
		"016.172.in-addr.arpa.", "11.in-addr.arpa.", "7.e.f.ip6.arpa.", "c.e.f.ip6.arpa.", "e.f.ip6.arpa.",
		"c.f.ip6.arpa.", "home.arpa.example.", "localhost.example.", "xlocalhost.", "x\\.localhost.", "mytest.",
		"10\\.in-addr.arpa.", "test\\000.", "arpa.home.", "2." ZEROES "ip6.arpa.", "\\004home\\004arpa.",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		for (size_t t = 0; t < COUNT_OF(types); t++)
			if (ask(names[i], types[t]))
				fail_msg("%s was answered here", names[i]);
}

/* SPEC-01. */
static void test_localhost(void **state)
{
	(void)state;
	for (unsigned labels = 0; labels < 6; labels++) {
		static const uint8_t v6[16] = { [15] = 1 };

		assert_true(ask(below("localhost.", labels), DNS_A));
		assert_int_equal(o.counts[1], 1);
		assert_memory_equal(octets + o.records[0].rdata_at, "\x7f\0\0\1", 4);
		assert_true(oracle_name_equal(&o.records[0].owner, &o.qname));
		assert_true(ask(below("localhost.", labels), DNS_AAAA));
		assert_memory_equal(octets + o.records[0].rdata_at, v6, 16);
		for (size_t t = 2; t < COUNT_OF(types); t++)
			nothing(below("localhost.", labels), types[t], DNS_NOERROR, "localhost.");
	}
}

/* SPEC-08. */
static void test_loopback(void **state)
{
	static const char *const names[] = { "1.0.0.127.in-addr.arpa.", "1." ZEROES "ip6.arpa." };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct oracle_name to;
		const char        *zone = i ? names[1] : "127.in-addr.arpa.";

		assert_true(ask(names[i], DNS_PTR));
		assert_int_equal(o.counts[1], 1);
		assert_int_not_equal(oracle_name(octets, o.records[0].end, o.records[0].rdata_at, &to), 0);
		name_is(&to, "localhost.");
		nothing(names[i], DNS_TXT, DNS_NOERROR, zone);
		nothing(below(names[i], 1), DNS_PTR, DNS_NXDOMAIN, zone);
	}
	nothing("0.0.127.in-addr.arpa.", DNS_PTR, DNS_NOERROR, "127.in-addr.arpa.");	/* on the way to it */
	nothing("0.127.in-addr.arpa.", DNS_A, DNS_NOERROR, "127.in-addr.arpa.");
	nothing("2.0.0.127.in-addr.arpa.", DNS_PTR, DNS_NXDOMAIN, "127.in-addr.arpa.");
	nothing("1.127.in-addr.arpa.", DNS_PTR, DNS_NXDOMAIN, "127.in-addr.arpa.");
	assert_true(ask("127.in-addr.arpa.", DNS_NS));
	assert_int_equal(o.counts[1], 1);
}

/* SPEC-09. */
static void test_resolver_arpa(void **state)
{
	(void)state;
	for (size_t t = 0; t < COUNT_OF(types); t++)
		for (unsigned labels = 0; labels < 6; labels++)
			nothing(below("resolver.arpa.", labels), types[t], DNS_NOERROR, "resolver.arpa.");
}

static bool run_new(void *arg)
{
	struct special *s = special_new();

	(void)arg;
	special_free(s);
	return s;
}

static void test_no_memory(void **state)
{
	(void)state;
	assert_int_equal(alloc_fail_each(run_new, NULL), 2);
	special_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_ordinary),
		cmocka_unit_test(test_localhost),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_resolver_arpa),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
