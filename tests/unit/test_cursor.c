/* test_cursor.c - reading octets from outside.  Each input ends at a guard page; what is read from it is
 * compared with a second reader.  Rows NAME-01 to NAME-05. */
#include "unit.h"

#include "dns/cursor.h"
#include "guard.h"
#include "oracle.h"

#include <time.h>

#define MESSAGE_MAX 65535

static struct guard guard;

static int setup(void **state)
{
	(void)state;
	guard_init(&guard, MESSAGE_MAX);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guard_done(&guard);
	return 0;
}

static struct cursor over(const uint8_t *octets, size_t len, size_t pos)
{
	return cursor_of(guard_copy(&guard, octets, len), len, pos);
}

static void test_numbers(void **state)
{
	static const uint8_t octets[] = { 0x01, 0x80, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa };
	struct cursor        c = over(octets, sizeof octets, 0);

	(void)state;
	assert_int_equal(cursor_u8(&c), 0x01);
	assert_int_equal(cursor_u16(&c), 0x80ff);
	assert_int_equal(cursor_left(&c), 5);
	assert_int_equal(cursor_u32(&c), 0xfefdfcfb);
	assert_false(c.bad);
	assert_int_equal(cursor_u16(&c), 0);		/* one octet is left, not two */
	assert_true(c.bad);
	assert_int_equal(cursor_u8(&c), 0);		/* and the failure sticks */
	assert_null(cursor_take(&c, 0));
	assert_int_equal(cursor_left(&c), 0);
	assert_true(c.pos <= c.len);
}

static void test_beginning_anywhere(void **state)
{
	static const uint8_t octets[4];

	(void)state;
	for (size_t pos = 0; pos < 8; pos++) {
		struct cursor c = over(octets, sizeof octets, pos);

		assert_int_equal(c.bad, pos > 4);
		assert_int_equal(cursor_left(&c), pos > 4 ? 0 : 4 - pos);
	}
}

/* A length that would wrap if it were added to the place. */
static void test_huge_lengths(void **state)
{
	static const uint8_t octets[8];
	static const size_t  lengths[] = { 9, SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2, (size_t)1 << 32 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lengths); i++) {
		struct cursor c = over(octets, sizeof octets, 4), sub;

		assert_null(cursor_take(&c, lengths[i]));
		assert_true(c.bad);
		c = over(octets, sizeof octets, 4);
		sub = cursor_sub(&c, lengths[i]);
		assert_true(c.bad && sub.bad);
		assert_int_equal(cursor_left(&sub), 0);
		assert_int_equal(cursor_u8(&sub), 0);
	}
}

static void test_sub(void **state)
{
	static const uint8_t octets[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
	struct cursor        c = over(octets, sizeof octets, 2), sub = cursor_sub(&c, 3);

	(void)state;
	assert_int_equal(c.pos, 5);
	assert_int_equal(cursor_left(&sub), 3);
	assert_int_equal(cursor_u16(&sub), 0x0203);
	assert_int_equal(cursor_u8(&sub), 4);
	assert_int_equal(cursor_u8(&sub), 0);		/* its own end, not the outer one */
	assert_true(sub.bad);
	assert_false(c.bad);
	assert_int_equal(cursor_u8(&c), 5);
}

/* The two readers of compressed names must agree on every octet string. */
static void compare_name(const uint8_t *octets, size_t len, size_t at, const char *what)
{
	const uint8_t     *m = guard_copy(&guard, octets, len);
	struct cursor      c = cursor_of(m, len, at), skip = c;
	struct oracle_name want;
	struct dns_name    got;
	size_t             behind = oracle_name(m, len, at, &want);

	cursor_name(&c, &got);
	cursor_skip_name(&skip);
	if (c.bad != !behind || skip.bad != c.bad)
		fail_msg("%s: cursor %s, skip %s, oracle %s", what, c.bad ? "bad" : "good",
		         skip.bad ? "bad" : "good", behind ? "good" : "bad");
	if (c.bad) {		/* whoever does not look still gets a name */
		assert_int_equal(got.len, 1);
		assert_int_equal(got.octets[0], 0);
		return;
	}
	assert_int_equal(c.pos, behind);
	assert_int_equal(skip.pos, behind);
	assert_int_equal(got.len, want.len);
	assert_memory_equal(got.octets, want.octets, want.len);
}

/* NAME-02, NAME-04: shapes one by one. */
static void test_shapes(void **state)
{
	static const struct {
		const char *what;
		const char *octets;	/* behind 12 octets of header */
		size_t      len, at;
		size_t      name_len;	/* 0: malformed */
	} rows[] = {
		{ "root", "", 1, 0, 1 },
		{ "no octet", "", 0, 0, 0 },
		{ "plain", "\3www\0", 5, 0, 5 },
		{ "no end", "\3www", 4, 0, 0 },
		{ "cut label", "\3ww", 3, 0, 0 },
		{ "label 0x40", "\x40www\0", 5, 0, 0 },
		{ "label 0x41", "\x41www\0", 5, 0, 0 },
		{ "label 0x80", "\x80www\0", 5, 0, 0 },
		{ "label 0xbf", "\xbfwww\0", 5, 0, 0 },
		{ "backwards", "\3www\0\1a\xc0\x0c", 9, 5, 7 },
		{ "to a suffix", "\1b\3www\0\1a\xc0\x0e", 11, 7, 7 },
		{ "to the root", "\0\1a\xc0\x0c", 5, 1, 3 },
		{ "pointer alone", "\3www\0\xc0\x0c", 7, 5, 5 },
		{ "half a pointer", "\3www\0\xc0", 6, 5, 0 },
		{ "to itself", "\xc0\x0c", 2, 0, 0 },
		{ "to its own label", "\1a\xc0\x0c", 4, 0, 0 },
		{ "into its own label", "\1a\xc0\x0d", 4, 0, 0 },
		{ "forward", "\xc0\x0e\0", 3, 0, 0 },
		{ "into the header", "\0\xc0\x0b", 3, 1, 0 },
		{ "to 0", "\0\xc0\x00", 3, 1, 0 },
		{ "behind the end", "\0\xff\xff", 3, 1, 0 },
		{ "two that point at each other", "\xc0\x0e\xc0\x0c", 4, 2, 0 },
		{ "to a pointer", "\1b\0\xc0\x0c\xc0\x0f", 7, 5, 3 },
		{ "to a forward one", "\xc0\x10\1b\0\xc0\x0c", 7, 5, 0 },
		{ "run that meets its pointer", "\1a\1b\xc0\x0c", 6, 2, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint8_t         m[64] = { 0 };
		struct cursor   c;
		struct dns_name n;

		memcpy(m + 12, rows[i].octets, rows[i].len);
		compare_name(m, 12 + rows[i].len, 12 + rows[i].at, rows[i].what);
		c = over(m, 12 + rows[i].len, 12 + rows[i].at);
		cursor_name(&c, &n);
		if (c.bad == (rows[i].name_len != 0))
			fail_msg("%s: %s", rows[i].what, c.bad ? "refused" : "taken");
		if (!c.bad)
			assert_int_equal(n.len, rows[i].name_len);
	}
}

/* NAME-01: 255 octets, and 127 labels, however they are put together. */
static void test_longest(void **state)
{
	uint8_t m[1000] = { 0 };

	(void)state;
	for (size_t whole = 250; whole < 262; whole++) {
		struct cursor   c;
		struct dns_name n;
		size_t          at = 12, left = whole - 1, head;

		while (left) {
			size_t label = left - 1 < 63 ? left - 1 : left == 65 ? 62 : 63;

			m[at] = (uint8_t)label;
			memset(m + at + 1, 'x', label);
			at += label + 1;
			left -= label + 1;
		}
		m[at++] = 0;
		assert_int_equal(at, 12 + whole);
		compare_name(m, at, 12, "plain");
		c = over(m, at, 12);
		cursor_name(&c, &n);
		assert_int_equal(c.bad, whole > 255);
		/* the same with its first label in front of a pointer */
		head = m[12] + 1u;
		memmove(m + at, m + 12, head);
		m[at + head] = 0xc0;
		m[at + head + 1] = (uint8_t)(12 + head);
		compare_name(m, at + head + 2, at, "compressed");
		c = over(m, at + head + 2, at);
		cursor_name(&c, &n);
		assert_int_equal(c.bad, whole > 255);
	}
	for (unsigned labels = 126; labels < 130; labels++) {
		struct cursor   c;
		struct dns_name n;

		for (unsigned i = 0; i < labels; i++)
			memcpy(m + 12 + 2 * i, "\1x", 2);
		m[12 + 2 * labels] = 0;
		c = over(m, 13 + 2 * labels, 12);
		cursor_name(&c, &n);
		assert_int_equal(c.bad, labels > 127);
	}
}

/* A message in which every name is one label and a pointer to the name before. */
static size_t chain(uint8_t *m, size_t size, bool labels)
{
	size_t at = 12, step = labels ? 4 : 2;

	m[at++] = 0;
	for (size_t to = 12; at + step <= size && at < 0x4000; to = at - step) {
		if (labels)
			memcpy(m + at, "\1x", 2);
		m[at + step - 2] = (uint8_t)(0xc0 | to >> 8);
		m[at + step - 1] = (uint8_t)to;
		at += step;
	}
	return at;
}

/* A name follows 128 pointers, which is one for each label it can have and one to the root, and no more. */
static void test_many_pointers(void **state)
{
	static uint8_t m[MESSAGE_MAX];
	struct dns_name n;

	(void)state;
	for (unsigned labels = 0; labels < 2; labels++) {
		size_t len = chain(m, sizeof m, labels), step = labels ? 4 : 2;

		for (unsigned jumps = 1; jumps < 200; jumps++) {
			struct cursor c = over(m, len, 13 + (jumps - 1) * step);

			cursor_name(&c, &n);
			assert_int_equal(c.bad, jumps > (labels ? 127 : 128));
			if (!c.bad)
				assert_int_equal(n.len, labels ? 1 + 2 * jumps : 1);
		}
	}
}

/* NAME-05: reading all names of the worst messages there can be takes no time to speak of. */
static void test_worst_is_quick(void **state)
{
	static uint8_t m[MESSAGE_MAX];
	clock_t        began = clock();

	(void)state;
	for (unsigned labels = 0; labels < 2; labels++) {
		size_t        len = chain(m, sizeof m, labels), names = 0;
		struct cursor c;

		for (; len + 2 <= sizeof m; len += 2) {		/* the rest points at the end of the chain */
			m[len] = 0xff;
			m[len + 1] = 0xff;
		}
		c = over(m, len, 13);
		while (cursor_left(&c) >= 2) {
			struct cursor   one = c;
			struct dns_name n;

			cursor_name(&one, &n);
			names += !one.bad;
			cursor_skip(&c, labels && c.pos < 0x4000 ? 4 : 2);
		}
		assert_true(names > 100);
	}
	/* 36,000 names of 128 steps at the most; unbounded they would take 100 times as many */
	assert_true(clock() - began < 2 * CLOCKS_PER_SEC);
}

/* Octets of which many are label lengths and pointers that hit something. */
static size_t soup(struct dice *d, uint8_t *m, size_t size)
{
	size_t len = dice_below(d, size + 1);

	for (size_t i = 0; i < len; i++) {
		switch (dice_below(d, 6)) {
		case 0:
			m[i] = (uint8_t)dice_u64(d);
			break;
		case 1:
			m[i] = 0xc0;
			break;
		case 2:
			m[i] = 0;
			break;
		case 3:
			m[i] = (uint8_t)dice_below(d, size);
			break;
		default:
			m[i] = (uint8_t)dice_below(d, 5);
		}
	}
	return len;
}

static void test_soup(void **state)
{
	(void)state;
	for (struct dice d = dice_first(4000); d.left; dice_next(&d)) {
		uint8_t m[120];
		size_t  len = soup(&d, m, sizeof m);
		char    what[40];

		snprintf(what, sizeof what, "LARDER_SEED=%llu", (unsigned long long)d.seed);
		for (size_t at = 0; at <= len; at++)
			compare_name(m, len, at, what);
	}
}

/* A name inside a sub-cursor may lead out of it backwards, but its own octets may not. */
static void test_name_in_sub(void **state)
{
	static const uint8_t m[] = "123456789012\3www\0\1a\xc0\x0c\3xyz";
	struct cursor        c = over(m, sizeof m - 1, 17), sub = cursor_sub(&c, 4), cut;
	struct dns_name      n;

	(void)state;
	cursor_name(&sub, &n);
	assert_false(sub.bad);
	assert_int_equal(n.len, 7);
	assert_int_equal(cursor_left(&sub), 0);
	c = over(m, sizeof m - 1, 17);
	cut = cursor_sub(&c, 3);
	cursor_name(&cut, &n);
	assert_true(cut.bad);
	assert_int_equal(cursor_left(&c), 5);
}

/* Names that may not be compressed (NAME-03): the same labels, and no pointer at all. */
static void test_plain_name(void **state)
{
	(void)state;
	for (struct dice d = dice_first(4000); d.left; dice_next(&d)) {
		uint8_t        m[300];
		size_t         len = soup(&d, m, sizeof m), at = dice_below(&d, len + 1), name_len = 0, behind;
		struct cursor  c = over(m, len, at);
		const uint8_t *name = cursor_plain_name(&c, &name_len);
		struct oracle_name want;

		behind = oracle_name(m, len, at, &want);
		if (behind && behind - at != want.len)
			behind = 0;			/* there was a pointer in it */
		holds(&d, c.bad == !behind && c.bad == !name);
		if (!name)
			continue;
		holds(&d, name == c.base + at && name_len == want.len && c.pos == behind);
		holds(&d, !memcmp(name, want.octets, want.len));
	}
}

static void test_plain_name_lengths(void **state)
{
	uint8_t m[300];

	(void)state;
	for (size_t whole = 240; whole < 262; whole++) {
		struct cursor c;
		size_t        name_len, left = whole - 1, at = 0;

		while (left) {
			size_t label = left - 1 < 63 ? left - 1 : left == 65 ? 62 : 63;

			m[at] = (uint8_t)label;
			memset(m + at + 1, 'x', label);
			at += label + 1;
			left -= label + 1;
		}
		m[at] = 0;
		for (size_t cut = 0; cut <= whole; cut += cut ? 1 : whole - 3) {
			c = over(m, cut, 0);
			cursor_plain_name(&c, &name_len);
			assert_int_equal(c.bad, whole > 255 || cut < whole);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_beginning_anywhere),
		cmocka_unit_test(test_huge_lengths),
		cmocka_unit_test(test_sub),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_many_pointers),
		cmocka_unit_test(test_worst_is_quick),
		cmocka_unit_test(test_soup),
		cmocka_unit_test(test_name_in_sub),
		cmocka_unit_test(test_plain_name),
		cmocka_unit_test(test_plain_name_lengths),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
