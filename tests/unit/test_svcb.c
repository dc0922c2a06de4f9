/* test_svcb.c - record data that leads to a resolver, good and bad (DDR-03). */
#include "guard.h"
#include "unit.h"

#include "dns/svcb.h"

#include <errno.h>

#define TARGET "\3dns\7example"		/* the string's own NUL is the root */

struct row {
	const char *data;
	size_t      len;
};
#define ROW(text) { text, sizeof(text) - 1 }

static const char whole[] = "\0\2" TARGET "\0"
			    "\0\0\0\4\0\1\0\3"			/* mandatory: alpn, port */
			    "\0\1\0\7\3dot\2h2"
			    "\0\3\0\2\3\126"			/* port 854 */
			    "\0\4\0\10\300\0\2\1\300\0\2\2"	/* ipv4hint */
			    "\0\6\0\20\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\1"
			    "\0\7\0\20/dns-query{?dns}"
			    "\47\17\0\1x";			/* 9999, not mandatory */

static void test_whole(void **state)
{
	struct dns_svcb r;

	(void)state;
	assert_int_equal(dns_svcb_read((const uint8_t *)whole, sizeof whole - 1, &r), 0);
	assert_int_equal(r.priority, 2);
	assert_int_equal(r.port, 854);
	assert_int_equal(r.target.len, 13);
	assert_memory_equal(r.target.octets, TARGET, 13);
	assert_true(r.dot && r.h2 && !r.strange);
	assert_memory_equal(r.ipv4, "\300\0\2\1", 4);
	assert_int_equal(r.ipv6[15], 1);
	assert_int_equal(r.dohpath_len, 16);
	assert_memory_equal(r.dohpath, "/dns-query{?dns}", 16);
}

/* Cut between two keys it is a shorter record, unless what it insists on is gone; cut elsewhere it is none. */
static void test_every_truncation(void **state)
{
	struct dns_svcb r;
	struct guard    g;
	unsigned        good = 0;

	(void)state;
	guard_init(&g, sizeof whole);
	for (size_t len = 0; len < sizeof whole - 1; len++)
		good += dns_svcb_read(guard_copy(&g, whole, len), len, &r) == 0;
	assert_int_equal(good, 5);	/* bare, and after port, ipv4hint, ipv6hint and dohpath */
	guard_done(&g);
}

static void test_bad(void **state)
{
	static const struct row rows[] = {
		ROW("\0\1\300\0"),					/* a compressed target */
		ROW("\0\1\0" "\0\3\0\2\0\1" "\0\1\0\4\3dot"),		/* keys out of order */
		ROW("\0\1\0" "\0\1\0\4\3dot" "\0\1\0\4\3dot"),		/* twice */
		ROW("\0\1\0" "\0\1\0\0"),				/* no alpn in alpn */
		ROW("\0\1\0" "\0\1\0\1\0"),				/* an empty one */
		ROW("\0\1\0" "\0\1\0\3\3do"),
		ROW("\0\1\0" "\0\2\0\1x"),				/* no-default-alpn has no value */
		ROW("\0\1\0" "\0\3\0\1\1"),
		ROW("\0\1\0" "\0\3\0\3\1\1\1"),
		ROW("\0\1\0" "\0\3\0\2\0\0"),				/* port 0 */
		ROW("\0\1\0" "\0\4\0\0"),
		ROW("\0\1\0" "\0\4\0\5\1\2\3\4\5"),
		ROW("\0\1\0" "\0\6\0\4\1\2\3\4"),
		ROW("\0\1\0" "\0\0\0\0"),				/* mandatory: nothing */
		ROW("\0\1\0" "\0\0\0\2\0\0"),				/* itself */
		ROW("\0\1\0" "\0\0\0\2\0\1"),				/* what is not there */
		ROW("\0\1\0" "\0\0\0\4\0\1\0\1" "\0\1\0\4\3dot"),	/* twice */
		ROW("\0\1\0" "\0\0\0\3\0\1\0" "\0\1\0\4\3dot"),
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct dns_svcb r;

		if (dns_svcb_read((const uint8_t *)rows[i].data, rows[i].len, &r) != -EBADMSG)
			fail_msg("row %zu is taken", i);
	}
}

static void test_strange(void **state)
{
	static const char unknown[] = "\0\1\0" "\0\0\0\4\0\1\47\17" "\0\1\0\4\3dot" "\47\17\0\0";
	static const char ech[] = "\0\1\0" "\0\0\0\4\0\1\0\5" "\0\1\0\4\3dot" "\0\5\0\1x";
	static const char other[] = "\0\1\0" "\0\1\0\7\3doq\2h3";
	struct dns_svcb   r;

	(void)state;
	assert_int_equal(dns_svcb_read((const uint8_t *)unknown, sizeof unknown - 1, &r), 0);
	assert_true(r.strange);
	assert_int_equal(dns_svcb_read((const uint8_t *)ech, sizeof ech - 1, &r), 0);
	assert_true(r.strange);
	assert_int_equal(dns_svcb_read((const uint8_t *)other, sizeof other - 1, &r), 0);
	assert_true(!r.strange && !r.dot && !r.h2);
}

/* Whatever the octets: nothing outside of them is read or pointed to. */
static void test_anything(void **state)
{
	struct guard g;

	(void)state;
	guard_init(&g, sizeof whole);
	for (struct dice d = dice_first(20000); d.left; dice_next(&d)) {
		uint8_t         octets[sizeof whole];
		size_t          len = dice_below(&d, sizeof whole);
		const uint8_t  *at;
		struct dns_svcb r;

		memcpy(octets, whole, sizeof whole);
		for (unsigned i = (unsigned)dice_below(&d, 6); i-- > 0;)
			octets[dice_below(&d, sizeof whole)] = (uint8_t)dice_u64(&d);
		at = guard_copy(&g, octets, len);
		if (dns_svcb_read(at, len, &r) < 0)
			continue;
		holds(&d, !r.ipv4 || (r.ipv4 >= at && r.ipv4 + 4 <= at + len));
		holds(&d, !r.ipv6 || (r.ipv6 >= at && r.ipv6 + 16 <= at + len));
		holds(&d, !r.dohpath || ((const uint8_t *)r.dohpath >= at &&
		                         (const uint8_t *)r.dohpath + r.dohpath_len <= at + len));
	}
	guard_done(&g);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_strange),
		cmocka_unit_test(test_anything),
	};

	return cmocka_run_group_tests_name("dns/svcb", tests, NULL, NULL);
}
