/* test_rrtype.c - record types by name and number. */
#include "dns/rrtype.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Every number has a text, and the text leads back to it. */
static void test_round_trip(void **state)
{
	unsigned named = 0;

	(void)state;
	for (unsigned n = 0; n <= UINT16_MAX; n++) {
		char        buf[DNS_RRTYPE_TEXT_MAX], lower[DNS_RRTYPE_TEXT_MAX];
		const char *text = dns_rrtype_to_text((uint16_t)n, buf);
		uint16_t    back = (uint16_t)(n + 1);

		assert_true(strlen(text) < DNS_RRTYPE_TEXT_MAX);
		assert_int_equal(dns_rrtype_from_text(text, &back), 0);
		assert_int_equal(back, n);
		for (size_t i = 0; i <= strlen(text); i++)
			lower[i] =
				(char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
		back = (uint16_t)(n + 1);
		assert_int_equal(dns_rrtype_from_text(lower, &back), 0);
		assert_int_equal(back, n);
		snprintf(lower, sizeof lower, "TYPE%u", n);
		assert_int_equal(dns_rrtype_from_text(lower, &back), 0);	/* named ones too */
		assert_int_equal(back, n);
		named += strncmp(text, "TYPE", 4) != 0;
	}
	assert_true(named > 90);
}

static void test_known(void **state)
{
	static const struct {
		const char *text;
		uint16_t    type;
	} rows[] = {
		{ "A", 1 },           { "ns", 2 },      { "CNAME", 5 },         { "SOA", 6 },
		{ "PTR", 12 },        { "MX", 15 },     { "TXT", 16 },          { "aaaa", 28 },
		{ "SRV", 33 },        { "NAPTR", 35 },  { "DNAME", 39 },        { "OPT", 41 },
		{ "DS", 43 },         { "SSHFP", 44 },  { "RRSIG", 46 },        { "NSEC", 47 },
		{ "DNSKEY", 48 },     { "NSEC3", 50 },  { "NSEC3PARAM", 51 },   { "TLSA", 52 },
		{ "OPENPGPKEY", 61 }, { "SVCB", 64 },   { "HTTPS", 65 },        { "SPF", 99 },
		{ "EUI64", 109 },     { "TSIG", 250 },  { "IXFR", 251 },        { "AXFR", 252 },
		{ "ANY", 255 },       { "URI", 256 },   { "CAA", 257 },         { "AMTRELAY", 260 },
		{ "NSAP-PTR", 23 },   { "DLV", 32769 }, { "TYPE65535", 65535 }, { "type0", 0 },
		{ "TYPE00001", 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		uint16_t type = 4711;

		if (dns_rrtype_from_text(rows[i].text, &type) || type != rows[i].type)
			fail_msg("%s: %u", rows[i].text, (unsigned)type);
	}
}

static void test_unknown(void **state)
{
	static const char *const texts[] = {
		"",       " A",       "A ",        "AA",
		"AAAAA",  "TYPE",     "TYPE65536", "TYPE99999999999",
		"TYPE-1", "TYPE+1",   "TYPE 1",    "TYPE1a",
		"TYP1",   "TYPE0x10", "1",         "\303\204",
	};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		uint16_t type = 4711;

		if (dns_rrtype_from_text(texts[i], &type) != -EINVAL)
			fail_msg("\"%s\" is taken", texts[i]);
		assert_int_equal(type, 4711);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
