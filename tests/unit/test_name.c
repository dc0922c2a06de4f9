/* test_name.c - names: comparison, borders of labels, text.  Rows NAME-06 to NAME-09. */
#include "unit.h"

#include "dns/name.h"

#include <errno.h>

static struct dns_name name_of(const char *text)
{
	struct dns_name n;

	if (dns_name_from_text(text, &n) != 0)
		fail_msg("not a name: %s", text);
	return n;
}

static bool equal(const struct dns_name *a, const struct dns_name *b)
{
	return dns_name_equal(a->octets, a->len, b->octets, b->len);
}

/* Labels of any octets, often of a few that are close to each other, up to the longest name. */
static struct dns_name random_name(struct dice *d, unsigned most_labels)
{
	static const char close[] = "aAbB@[`{.\\\0\xe9\xc9* ";
	struct dns_name   n = { .len = 1 };
	size_t            at = 0;

	for (unsigned labels = (unsigned)dice_below(d, most_labels + 1); labels; labels--) {
		size_t len = 1 + dice_below(d, dice_one_in(d, 4) ? DNS_LABEL_MAX : 3);
		bool   any = dice_one_in(d, 2);

		if (at + 1 + len + 1 > DNS_NAME_MAX)
			break;
		n.octets[at++] = (uint8_t)len;
		while (len--)
			n.octets[at++] = any ? (uint8_t)dice_u64(d) : (uint8_t)close[dice_below(d, sizeof close)];
	}
	n.octets[at] = 0;
	n.len = (uint8_t)(at + 1);
	return n;
}

static void test_fold(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++)		/* NAME-09: ASCII letters and nothing else */
		assert_int_equal(dns_fold[c], c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static void test_text_known(void **state)
{
	static const struct {
		const char *text, *wire;
		size_t      len;
		const char *normal;		/* NULL: text */
	} rows[] = {
		{ ".", "", 1, NULL },
		{ "com.", "\3com", 5, NULL },
		{ "com", "\3com", 5, "com." },
		{ "wWw.Example.com.", "\3wWw\7Example\3com", 17, NULL },
		{ "*.a_b.-.", "\1*\3a_b\1-", 9, NULL },
		{ "a\\.b.c.", "\3a.b\1c", 7, NULL },
		{ "a\\\\b.", "\3a\\b", 5, NULL },
		{ "\\000\\032\\127\\255.", "\4\0 \x7f\xff", 6, NULL },
		{ "\\097\\.", "\2a.", 4, "a\\.." },
		{ "\\\"\\(\\)\\;\\@\\$.", "\6\"();@$", 8, NULL },
		{ "\\x\\-.", "\2x-", 4, "x-." },
		{ " .", "\1 ", 3, "\\032." },
		{ "\xc3\xbc.", "\2\xc3\xbc", 4, "\\195\\188." },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct dns_name n = name_of(rows[i].text);
		char            text[DNS_NAME_TEXT_MAX];
		size_t          len = dns_name_to_text(n.octets, n.len, text);

		assert_int_equal(n.len, rows[i].len);
		assert_memory_equal(n.octets, rows[i].wire, rows[i].len);
		assert_int_equal(dns_name_len(n.octets), rows[i].len);
		assert_int_equal(len, strlen(text));
		assert_string_equal(text, rows[i].normal ? rows[i].normal : rows[i].text);
	}
}

static void test_text_refused(void **state)
{
	static const char *const rows[] = {
		"", "..", ".a", "a..", "a..b", "\\", "a\\", "\\1", "\\12", "\\12x", "\\256.", "\\999.", "a.\\25",
	};
	char text[400];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct dns_name n = { .len = 77 };

		if (dns_name_from_text(rows[i], &n) != -EINVAL)
			fail_msg("taken as a name: \"%s\"", rows[i]);
		assert_int_equal(n.len, 77);		/* output counts only on success */
	}
	for (unsigned len = 60; len < 70; len++) {	/* a label of 63 and no more */
		struct dns_name n;

		memset(text, 'x', len);
		strcpy(text + len, ".");
		assert_int_equal(dns_name_from_text(text, &n), len <= 63 ? 0 : -EINVAL);
		text[len] = '\0';
		assert_int_equal(dns_name_from_text(text, &n), len <= 63 ? 0 : -EINVAL);
	}
	for (unsigned len = 240; len < 270; len++) {	/* NAME-01: 255 octets and no more */
		struct dns_name n;

		for (unsigned i = 0; i < len; i++)
			text[i] = i % 50 == 49 ? '.' : 'x';
		text[len] = '\0';
		if (text[len - 1] == '.')
			continue;
		/* as text one octet less than on the wire in front, and the root's behind */
		assert_int_equal(dns_name_from_text(text, &n), len + 2 <= 255 ? 0 : -EINVAL);
		strcpy(text + len, ".");
		assert_int_equal(dns_name_from_text(text, &n), len + 2 <= 255 ? 0 : -EINVAL);
	}
}

/* Any name has a text that is plain ASCII, without blanks, and leads back to it (NAME-06). */
static void test_text_round_trip(void **state)
{
	(void)state;
	for (struct dice d = dice_first(5000); d.left; dice_next(&d)) {
		struct dns_name n = random_name(&d, 130), back;
		char            text[DNS_NAME_TEXT_MAX];
		size_t          len = dns_name_to_text(n.octets, n.len, text);

		holds(&d, len == strlen(text) && len < sizeof text);
		for (size_t i = 0; i < len; i++)
			holds(&d, text[i] > 0x20 && text[i] < 0x7f);
		holds(&d, dns_name_from_text(text, &back) == 0);
		holds(&d, back.len == n.len && !memcmp(back.octets, n.octets, n.len));
		holds(&d, dns_name_len(n.octets) == n.len);
		if (n.len > 1) {
			text[len - 1] = '\0';	/* without the final dot, unless that was a label's own */
			holds(&d, dns_name_from_text(text, &back) == 0);
			holds(&d, back.len == n.len && !memcmp(back.octets, n.octets, n.len));
		}
	}
}

/* The longest text there can be fits into the room that is promised. */
static void test_longest_text(void **state)
{
	struct dns_name n;
	char            text[DNS_NAME_TEXT_MAX + 1];
	size_t          at = 0;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		size_t len = i < 3 ? 63 : 61;

		n.octets[at++] = (uint8_t)len;
		memset(n.octets + at, 0x80, len);
		at += len;
	}
	n.octets[at++] = 0;
	n.len = (uint8_t)at;
	assert_int_equal(at, 255);
	text[DNS_NAME_TEXT_MAX] = '#';
	assert_int_equal(dns_name_to_text(n.octets, n.len, text), 250 * 4 + 4);
	assert_int_equal(text[DNS_NAME_TEXT_MAX], '#');
}

/* NAME-07: a dot or a NUL inside a label is no border and no end. */
static void test_borders(void **state)
{
	struct dns_name www = name_of("www.example.com."), one = name_of("www\\.example.com."),
	                nul = name_of("www.example.com\\000.evil.example."), com = name_of("com."),
	                example = name_of("example.com."), root = name_of("."), xexample = name_of("xexample.com."),
	                inside = name_of("\\007example\\003com.");

	(void)state;
	assert_false(equal(&www, &one));
	assert_false(equal(&www, &nul));
#define BELOW(a, b) dns_name_below((a).octets, (a).len, (b).octets, (b).len)
	assert_true(BELOW(www, www));
	assert_true(BELOW(www, example));
	assert_true(BELOW(www, com));
	assert_true(BELOW(www, root));
	assert_true(BELOW(root, root));
	assert_false(BELOW(example, www));
	assert_false(BELOW(root, com));
	assert_false(BELOW(one, example));
	assert_true(BELOW(one, com));
	assert_false(BELOW(nul, www));
	assert_false(BELOW(xexample, example));
	assert_false(BELOW(inside, example));	/* the same octets at the end, but in one label */
}

static struct dns_name other_case(struct dice *d, struct dns_name n)
{
	for (size_t at = 0; n.octets[at];) {
		size_t end = at + 1 + n.octets[at];

		for (at++; at < end; at++)
			if ((n.octets[at] | 32) >= 'a' && (n.octets[at] | 32) <= 'z' && dice_one_in(d, 2))
				n.octets[at] ^= 32;
	}
	return n;
}

/* Labels of a name as text, for a comparison that goes label by label from the end. */
static unsigned split(const struct dns_name *n, size_t *start)
{
	unsigned count = 0;

	for (size_t at = 0; n->octets[at]; at += n->octets[at] + 1u)
		start[count++] = at;
	return count;
}

static bool label_equal(const uint8_t *a, const uint8_t *b)
{
	if (a[0] != b[0])
		return false;
	for (unsigned i = 1; i <= a[0]; i++) {
		int x = a[i], y = b[i];

		x = x >= 'A' && x <= 'Z' ? x + 32 : x;
		y = y >= 'A' && y <= 'Z' ? y + 32 : y;
		if (x != y)
			return false;
	}
	return true;
}

static bool slow_below(const struct dns_name *name, const struct dns_name *suffix)
{
	size_t   a[128], b[128];
	unsigned na = split(name, a), nb = split(suffix, b);

	if (nb > na)
		return false;
	for (unsigned i = 1; i <= nb; i++)
		if (!label_equal(name->octets + a[na - i], suffix->octets + b[nb - i]))
			return false;
	return true;
}

/* NAME-08: letter case never matters; anything else does. */
static void test_compare(void **state)
{
	(void)state;
	for (struct dice d = dice_first(20000); d.left; dice_next(&d)) {
		struct dns_name a = random_name(&d, 4), b = random_name(&d, 3), low = a;

		if (dice_one_in(&d, 2)) {		/* b becomes a suffix of a, or nearly */
			size_t   start[128];
			unsigned n = split(&a, start);
			size_t   from = n ? start[dice_below(&d, n)] : 0;

			b.len = (uint8_t)(a.len - from);
			memcpy(b.octets, a.octets + from, b.len);
			b = other_case(&d, b);
			if (b.len > 1 && dice_one_in(&d, 3))
				b.octets[1 + dice_below(&d, b.octets[0])] = (uint8_t)dice_u64(&d);
		}
		holds(&d, dns_name_below(a.octets, a.len, b.octets, b.len) == slow_below(&a, &b));
		holds(&d, equal(&a, &b) == (slow_below(&a, &b) && slow_below(&b, &a)));
		dns_name_lower(low.octets, low.len);
		holds(&d, low.len == a.len && equal(&a, &low));
		for (size_t i = 0; i < low.len; i++)
			holds(&d, !(low.octets[i] >= 'A' && low.octets[i] <= 'Z'));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fold),
		cmocka_unit_test(test_text_known),
		cmocka_unit_test(test_text_refused),
		cmocka_unit_test(test_text_round_trip),
		cmocka_unit_test(test_longest_text),
		cmocka_unit_test(test_borders),
		cmocka_unit_test(test_compare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
