/* test_text.c - records as text. */
#include "unit.h"

#include "dns/message.h"
#include "dns/text.h"

static char text[DNS_RDATA_TEXT_MAX];

static const struct {
	uint16_t    type;
	const char *octets;
	size_t      len;
	const char *text;
} samples[] = {
	{ DNS_A, "\300\0\2\1", 4, "192.0.2.1" },
	{ DNS_A, "\300\0\2", 3, "\\# 3 c00002" },
	{ DNS_AAAA, "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16, "2001:db8::1" },
	{ DNS_CNAME, "\3www\7example\0", 13, "www.example." },
	{ DNS_CNAME, "\3w.w\1\n\0", 7, "w\\.w.\\010." },
	{ DNS_CNAME, "\3www\7example\0x", 14, "\\# 14 03777777076578616d706c650078" },
	{ DNS_MX, "\0\12\2mx\0", 6, "10 mx." },
	{ DNS_SRV, "\0\1\0\2\0\65\2mx\0", 10, "1 2 53 mx." },
	{ DNS_SOA, "\2ns\0\1r\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5", 27, "ns. r. 1 2 3 4 5" },
	{ DNS_TXT, "\4v=1 \3\"\\\1", 9, "\"v=1 \" \"\\\"\\\\\\001\"" },
	{ DNS_TXT, "\0", 1, "\"\"" },
	{ DNS_TXT, "", 0, "\\# 0" },
	{ DNS_TXT, "\5abc", 4, "\\# 4 05616263" },
	{ DNS_HINFO, "\7RFC8482\0", 9, "\"RFC8482\" \"\"" },
	{ DNS_DS, "\1\2\10\2\253\315", 6, "258 8 2 abcd" },
	{ 35, "\0\1\0\2\1s\3sip\0\1a\0", 14, "1 2 \"s\" \"sip\" \"\" a." },
	{ DNS_HTTPS, "\0\1\0", 3, "\\# 3 000100" },
	{ 65280, "", 0, "\\# 0" },
};

static void test_samples(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(samples); i++) {
		const uint8_t *octets = (const uint8_t *)samples[i].octets;
		size_t         n = dns_rdata_to_text(samples[i].type, cursor_of(octets, samples[i].len, 0), text);

		assert_string_equal(text, samples[i].text);
		assert_int_equal(n, strlen(text));
	}
}

/* Names may be compressed; the whole record is read, and one that is cut is not. */
static void test_record(void **state)
{
	static const uint8_t msg[] =
		"\0\0\x81\x80\0\1\0\1\0\0\0\0" "\1a\7example\0\0\17\0\1"
		"\300\14\0\17\0\1\0\0\1\54\0\7\0\5\2mx\300\16";
	struct dns_text_record r;
	struct cursor          c = cursor_of(msg, sizeof msg - 1, 27);

	(void)state;
	assert_true(dns_text_read(&c, &r));
	assert_string_equal(r.owner, "a.example.");
	assert_int_equal(r.type, DNS_MX);
	assert_int_equal(r.ttl_s, 300);
	dns_rdata_to_text(r.type, r.rdata, text);
	assert_string_equal(text, "5 mx.example.");
	assert_int_equal(cursor_left(&c), 0);
	for (size_t len = 27; len < sizeof msg - 1; len++) {
		c = cursor_of(msg, len, 27);
		assert_false(dns_text_read(&c, &r));
	}
}

/* Whatever the octets, the text is printable ASCII within its bound. */
static void test_any_octets(void **state)
{
	static const uint16_t types[] = { DNS_A, DNS_NS, DNS_SOA, DNS_MX, DNS_TXT, DNS_SIG, DNS_SRV, 35, DNS_DNAME,
		                          DNS_HINFO, DNS_DS, 44, 52, 26, 65280 };
	static uint8_t        longest[65535];

	(void)state;
	for (struct dice d = dice_first(2000); d.left; dice_next(&d)) {
		uint8_t octets[64];
		size_t  len = dice_u64(&d) % sizeof octets;

		for (size_t i = 0; i < len; i++)
			octets[i] = (uint8_t)(dice_u64(&d) % 4 ? dice_u64(&d) % 8 : dice_u64(&d));
		for (size_t t = 0; t < COUNT_OF(types); t++) {
			size_t n = dns_rdata_to_text(types[t], cursor_of(octets, len, 0), text);

			assert_int_equal(n, strlen(text));
			for (size_t i = 0; i < n; i++)
				assert_in_range(text[i], 0x20, 0x7e);
		}
	}
	for (size_t i = 0; i < sizeof longest; i++)
		longest[i] = i % 256 ? 1 : 255;
	longest[65280] = 254;
	assert_in_range(dns_rdata_to_text(DNS_TXT, cursor_of(longest, sizeof longest, 0), text), 255000,
	                DNS_RDATA_TEXT_MAX - 1);
}

static void test_rcodes(void **state)
{
	char buf[DNS_RCODE_TEXT_MAX];

	(void)state;
	assert_string_equal(dns_rcode_to_text(DNS_NXDOMAIN, buf), "NXDOMAIN");
	assert_string_equal(dns_rcode_to_text(DNS_BADVERS, buf), "BADVERS");
	assert_string_equal(dns_rcode_to_text(4095, buf), "RCODE4095");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_any_octets),
		cmocka_unit_test(test_rcodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
