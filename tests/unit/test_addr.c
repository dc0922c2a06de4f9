/* test_addr.c - addresses and prefixes: text in, text out, and what matches what. */
#include "unit.h"

#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>

static struct addr addr_of(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, 53, &a), 0);
	return a;
}

static struct addr_prefix prefix_of(const char *text)
{
	struct addr_prefix p;

	assert_int_equal(addr_prefix_parse(text, &p), 0);
	return p;
}

static void test_parse(void **state)
{
	static const struct {
		const char *text, *normal;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1:53" },
		{ "192.0.2.1:5353", "192.0.2.1:5353" },
		{ "192.0.2.1:1", "192.0.2.1:1" },
		{ "192.0.2.1:65535", "192.0.2.1:65535" },
		{ "0.0.0.0", "0.0.0.0:53" },
		{ "::", "[::]:53" },
		{ "::1", "[::1]:53" },
		{ "[::1]", "[::1]:53" },
		{ "[::1]:5353", "[::1]:5353" },
		{ "2001:DB8:0:0::0001", "[2001:db8::1]:53" },
		{ "::ffff:192.0.2.1", "[::ffff:192.0.2.1]:53" },
		{ "[2001:db8:1:2:3:4:5:6]:65535", "[2001:db8:1:2:3:4:5:6]:65535" },
		{ "fe80::1%lo", "[fe80::1%lo]:53" },
		{ "[fe80::1%lo]:54", "[fe80::1%lo]:54" },
		{ "fe80::1%1", "[fe80::1%lo]:53" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char        buf[ADDR_TEXT_MAX];
		struct addr a = addr_of(rows[i].text), again;

		assert_string_equal(addr_format(&a, buf), rows[i].normal);
		again = addr_of(buf);
		assert_true(addr_equal(&a, &again));
		assert_int_equal(addr_len(&a), a.sa.sa_family == AF_INET ? sizeof a.in4 : sizeof a.in6);
	}
}

static void test_refuse(void **state)
{
	static const char *const rows[] = {
		"", ".", ":", "::1::", "localhost", "192.0.2", "192.0.2.1.1", "192.0.2.256", " 192.0.2.1",
		"192.0.2.1 ", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:+1", "192.0.2.1: 1",
		"192.0.2.1:1x", "192.0.2.1:99999999999999999999", "[192.0.2.1]", "[192.0.2.1]:53", "[::1", "::1]",
		"[::1]53", "[::1]:", "[::1]:0", "[]", "[]:53", "[[::1]]", "[::1]:53:53", "1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9", "fe80::1%", "fe80::1%0", "fe80::1%no-such-link", "fe80::1%99999999999",
		"192.0.2.1%lo", "0x7f.1", "127.1", "::g",
		/* longer than any address */
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct addr        a;
		struct addr_prefix p;

		if (addr_parse(rows[i], 53, &a) != -EINVAL)
			fail_msg("taken as an address: \"%s\"", rows[i]);
		if (addr_prefix_parse(rows[i], &p) != -EINVAL)
			fail_msg("taken as a prefix: \"%s\"", rows[i]);
	}
}

static void test_host_and_port(void **state)
{
	struct addr a = addr_of("192.0.2.1:5353"), b = addr_of("192.0.2.1"), c = addr_of("[2001:db8::1]:5353");
	char        buf[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(addr_port(&a), 5353);
	assert_int_equal(addr_port(&c), 5353);
	assert_false(addr_equal(&a, &b));
	assert_true(addr_equal_host(&a, &b));
	assert_false(addr_equal_host(&a, &c));
	addr_set_port(&b, 5353);
	assert_true(addr_equal(&a, &b));
	addr_set_port(&c, 65535);
	assert_int_equal(addr_port(&c), 65535);
	assert_string_equal(addr_format_host(&a, buf), "192.0.2.1");
	assert_string_equal(addr_format_host(&c, buf), "2001:db8::1");
}

/* Two link-local addresses on different links are two hosts. */
static void test_scopes(void **state)
{
	struct addr a = addr_of("fe80::1%1"), b = addr_of("fe80::1%77"), c = addr_of("fe80::1");

	(void)state;
	assert_false(addr_equal_host(&a, &b));
	assert_false(addr_equal_host(&a, &c));
	assert_int_equal(b.in6.sin6_scope_id, 77);
}

/* An address of no family, as of a socket that has no name, still has a text. */
static void test_no_family(void **state)
{
	struct addr a;
	char        buf[ADDR_TEXT_MAX];

	(void)state;
	memset(&a, 0, sizeof a);
	assert_string_equal(addr_format_host(&a, buf), "?");
}

static void test_kinds(void **state)
{
	static const struct {
		const char *text;
		bool        loopback, wildcard;
	} rows[] = {
		{ "127.0.0.1", true, false },
		{ "127.255.255.255", true, false },
		{ "126.255.255.255", false, false },
		{ "128.0.0.0", false, false },
		{ "0.0.0.0", false, true },
		{ "::1", true, false },
		{ "::2", false, false },
		{ "::", false, true },
		{ "::ffff:127.0.0.53", true, false },
		{ "::ffff:128.0.0.1", false, false },
		{ "::127.0.0.1", false, false },
		{ "fe80::7f00:1", false, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct addr a = addr_of(rows[i].text);

		assert_int_equal(addr_is_loopback(&a), rows[i].loopback);
		assert_int_equal(addr_is_wildcard(&a), rows[i].wildcard);
	}
}

static void test_prefix_text(void **state)
{
	static const struct {
		const char *text, *normal;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1/32" },       { "192.0.2.255/24", "192.0.2.0/24" },
		{ "255.255.255.255/9", "255.128.0.0/9" }, { "192.0.2.1/0", "0.0.0.0/0" },
		{ "::1", "::1/128" },                  { "2001:db8:ffff::1/33", "2001:db8:8000::/33" },
		{ "ffff::/0", "::/0" },
	};
	static const char *const wrong[] = {
		"192.0.2.1/33", "192.0.2.1/", "192.0.2.1/-1", "192.0.2.1/ 1", "::/129", "::1%lo/64", "[::1]/64",
		"192.0.2.1:53/32", "192.0.2.1/24/24", "/24", "192.0.2.0/255.255.255.0",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct addr_prefix p = prefix_of(rows[i].text);
		char               buf[ADDR_TEXT_MAX];

		assert_string_equal(addr_prefix_format(&p, buf), rows[i].normal);
	}
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		struct addr_prefix p;

		if (addr_prefix_parse(wrong[i], &p) != -EINVAL)
			fail_msg("taken as a prefix: \"%s\"", wrong[i]);
	}
}

static void test_prefix_families(void **state)
{
	struct addr_prefix v4 = prefix_of("192.0.2.0/24"), v6 = prefix_of("2001:db8::/32"), all = prefix_of("::/0");
	struct addr        a = addr_of("192.0.2.7"), mapped = addr_of("::ffff:192.0.2.7"),
	            other = addr_of("::ffff:192.0.3.7"), six = addr_of("2001:db8:1::7"),
	            compatible = addr_of("::192.0.2.7");

	(void)state;
	assert_true(addr_prefix_match(&v4, &a));
	assert_true(addr_prefix_match(&v4, &mapped));
	assert_false(addr_prefix_match(&v4, &other));
	assert_false(addr_prefix_match(&v4, &six));
	assert_false(addr_prefix_match(&v4, &compatible));
	assert_true(addr_prefix_match(&v6, &six));
	assert_false(addr_prefix_match(&v6, &mapped));
	assert_false(addr_prefix_match(&all, &a));	/* every IPv6 address, and no IPv4 one */
	assert_true(addr_prefix_match(&all, &six));
}

/* A prefix matches exactly the addresses that agree with it in its first bits. */
static void test_prefix_bits(void **state)
{
	(void)state;
	for (struct dice d = dice_first(400); d.left; dice_next(&d)) {
		bool               six = dice_one_in(&d, 2);
		unsigned           max = six ? 128 : 32, bits = (unsigned)dice_below(&d, max + 1);
		uint8_t            net[16];
		char               text[ADDR_TEXT_MAX], host[INET6_ADDRSTRLEN];
		struct addr_prefix p;

		dice_octets(&d, net, sizeof net);
		inet_ntop(six ? AF_INET6 : AF_INET, net, host, sizeof host);
		snprintf(text, sizeof text, "%s/%u", host, bits);
		p = prefix_of(text);
		for (unsigned flip = 0; flip <= max; flip++) {	/* one bit differs; at max: none */
			struct addr a;
			uint8_t     octets[16];

			memcpy(octets, net, sizeof net);
			if (flip < max)
				octets[flip / 8] ^= (uint8_t)(0x80u >> flip % 8);
			memset(&a, 0, sizeof a);
			a.sa.sa_family = six ? AF_INET6 : AF_INET;
			if (six)
				memcpy(&a.in6.sin6_addr, octets, 16);
			else
				memcpy(&a.in4.sin_addr, octets, 4);
			holds(&d, addr_prefix_match(&p, &a) == (flip >= bits));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refuse),
		cmocka_unit_test(test_host_and_port),
		cmocka_unit_test(test_scopes),
		cmocka_unit_test(test_no_family),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_prefix_text),
		cmocka_unit_test(test_prefix_families),
		cmocka_unit_test(test_prefix_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
