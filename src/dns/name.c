/* name.c - domain names. */
#include "dns/name.h"

#include <errno.h>
#include <string.h>

#define R8(n)  (n), (n) + 1, (n) + 2, (n) + 3, (n) + 4, (n) + 5, (n) + 6, (n) + 7
#define R32(n) R8(n), R8((n) + 8), R8((n) + 16), R8((n) + 24)

const uint8_t dns_fold[256] = {
	R32(0), R32(32),
	'@', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o',
	'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', '[', '\\', ']', '^', '_',
	R32(96), R32(128), R32(160), R32(192), R32(224),
};

size_t dns_name_len(const uint8_t *n)
{
	size_t at = 0;

	while (n[at])
		at += n[at] + 1u;
	return at + 1;
}

bool dns_name_equal(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	if (a_len != b_len)
		return false;
	/* Length octets are at most 63 and fold to themselves, so no label border can be missed. */
	for (size_t i = 0; i < a_len; i++)
		if (dns_fold[a[i]] != dns_fold[b[i]])
			return false;
	return true;
}

bool dns_name_below(const uint8_t *name, size_t name_len, const uint8_t *suffix, size_t suffix_len)
{
	size_t at = 0;

	while (name_len - at > suffix_len)
		at += name[at] + 1u;
	return dns_name_equal(name + at, name_len - at, suffix, suffix_len);
}

/* Folds eight octets at once.  In each octet below 0x80 the sums reach bit 7 from 'A' on and from beyond 'Z'
 * on; where just the first does, bit 5 makes the letter small. */
static uint64_t dns_fold8(uint64_t w)
{
	const uint64_t ones = 0x0101010101010101, high = 0x80 * ones;
	uint64_t       low = w & ~high;
	uint64_t       from_a = low + (0x80 - 'A') * ones, past_z = low + (0x80 - 'Z' - 1) * ones;

	return w | ((from_a & ~past_z & ~w & high) >> 2);
}

void dns_name_copy_lower(uint8_t *to, const uint8_t *from, size_t len)
{
	size_t i = 0;

	for (; i + 8 <= len; i += 8) {
		uint64_t w;

		memcpy(&w, from + i, sizeof w);
		w = dns_fold8(w);
		memcpy(to + i, &w, sizeof w);
	}
	for (; i < len; i++)
		to[i] = dns_fold[from[i]];
}

void dns_name_lower(uint8_t *n, size_t len)
{
	dns_name_copy_lower(n, n, len);
}

static size_t dns_octet_to_text(uint8_t c, char *out)
{
	if (c == '.' || c == '\\' || c == '"' || c == '(' || c == ')' || c == ';' || c == '@' ||
	    c == '$') {
		out[0] = '\\';
		out[1] = (char)c;
		return 2;
	}
	if (c > 0x20 && c < 0x7f) {
		out[0] = (char)c;
		return 1;
	}
	out[0] = '\\';
	out[1] = (char)('0' + c / 100);
	out[2] = (char)('0' + c / 10 % 10);
	out[3] = (char)('0' + c % 10);
	return 4;
}

size_t dns_name_to_text(const uint8_t *n, size_t len, char out[DNS_NAME_TEXT_MAX])
{
	size_t at = 0, used = 0;

	while (at < len && n[at]) {
		size_t end = at + 1 + n[at];

		for (at++; at < end && at < len; at++)
			used += dns_octet_to_text(n[at], out + used);
		out[used++] = '.';
	}
	if (!used)
		out[used++] = '.';
	out[used] = '\0';
	return used;
}

static bool dns_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Reads one octet of a label, escaped or not; -1 for a bad escape. */
static int dns_octet_from_text(const char **text)
{
	const char *t = *text;
	int         v;

	if (*t != '\\') {
		*text = t + 1;
		return (uint8_t)*t;
	}
	t++;
	if (!dns_is_digit(*t)) {
		*text = t + 1;
		return *t ? (uint8_t)*t : -1;
	}
	if (!dns_is_digit(t[1]) || !dns_is_digit(t[2]))
		return -1;
	v = (t[0] - '0') * 100 + (t[1] - '0') * 10 + (t[2] - '0');
	*text = t + 3;
	return v <= 255 ? v : -1;
}

int dns_name_from_text(const char *text, struct dns_name *out)
{
	struct dns_name n;
	size_t          label = 0, at = 1;	/* the label's length octet; the next octet */

	if (!strcmp(text, ".")) {
		out->len = 1;
		out->octets[0] = 0;
		return 0;
	}
	while (*text) {
		int c;

		if (*text == '.') {
			text++;
			if (at - label == 1)
				return -EINVAL;	/* empty label */
			n.octets[label] = (uint8_t)(at - label - 1);
			label = at++;
			if (!*text)
				break;
			continue;
		}
		c = dns_octet_from_text(&text);
		if (c < 0 || at - label > DNS_LABEL_MAX || at >= DNS_NAME_MAX)
			return -EINVAL;
		n.octets[at++] = (uint8_t)c;
	}
	if (at - label > 1) {			/* no final dot */
		n.octets[label] = (uint8_t)(at - label - 1);
		label = at++;
	}
	if (at > DNS_NAME_MAX || label == 0)
		return -EINVAL;
	n.octets[label] = 0;
	n.len = (uint8_t)at;
	*out = n;
	return 0;
}
