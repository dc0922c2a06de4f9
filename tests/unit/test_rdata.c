/* test_rdata.c - where names lie in RDATA: rows NAME-13 to NAME-16, against a table of our own. */
#include "unit.h"

#include "dns/message.h"
#include "dns/rdata.h"

static void test_layouts(void **state)
{
	static const struct {
		uint16_t    type;
		const char *layout;
	} rows[] = {
		/* RFC 1035: compressed when sent */
		{ 2, "N" }, { 3, "N" }, { 4, "N" }, { 5, "N" }, { 6, "NN44444" }, { 7, "N" }, { 8, "N" }, { 9, "N" },
		{ 12, "N" }, { 14, "NN" }, { 15, "2N" },
		/* met compressed, sent in full */
		{ 17, "nn" }, { 18, "2n" }, { 21, "2n" }, { 24, "2114442n*" }, { 26, "2nn" }, { 30, "n*" },
		{ 33, "222n" }, { 35, "22cccn" }, { 39, "n" },
	};
	size_t next = 0;

	(void)state;
	for (unsigned type = 0; type <= UINT16_MAX; type++) {
		const char *layout = dns_rdata_layout((uint16_t)type);

		if (next < COUNT_OF(rows) && rows[next].type == type)
			assert_string_equal(layout, rows[next++].layout);
		else if (layout)	/* A, TXT, NULL, SVCB, RRSIG, NSEC, unknown ones: opaque */
			fail_msg("type %u has the layout %s", type, layout);
	}
	assert_int_equal(next, COUNT_OF(rows));
}

static void test_lengths(void **state)
{
	(void)state;
	for (unsigned len = 0; len <= UINT16_MAX; len++) {
		assert_int_equal(dns_rdata_len_ok(DNS_A, (uint16_t)len), len == 4);
		assert_int_equal(dns_rdata_len_ok(DNS_AAAA, (uint16_t)len), len == 16);
		assert_true(dns_rdata_len_ok(DNS_TXT, (uint16_t)len));
		assert_true(dns_rdata_len_ok(65280, (uint16_t)len));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layouts),
		cmocka_unit_test(test_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
