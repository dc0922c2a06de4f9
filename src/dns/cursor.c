/* cursor.c - names in messages.
 *
 * A compression pointer must point before the octet where the current run of
 * labels began, so no chain of them can come back to itself.  Labels and jumps
 * are both bounded, so a name costs the same at most, whatever the message
 * holds.
 */
#include "dns/cursor.h"

#include <string.h>

#define JUMPS_MAX 128	/* one for each label, and one to the root */

const uint8_t *cursor_plain_name(struct cursor *c, size_t *len)
{
	size_t start = c->pos;

	while (!c->bad) {
		uint8_t n = cursor_u8(c);

		if (n > DNS_LABEL_MAX || c->pos - start > DNS_NAME_MAX)
			c->bad = true;
		else if (n)
			cursor_skip(c, n);
		else
			break;
	}
	if (c->bad)
		return NULL;
	*len = c->pos - start;
	return c->base + start;
}

/* Follows a name from *c, appending to out where there is one. */
static void cursor_follow_name(struct cursor *c, struct dns_name *out)
{
	struct cursor at = *c;		/* where we read: jumps about */
	size_t        run = at.pos;	/* where the current run of labels began */
	size_t        len = 0;
	unsigned      jumps = 0;

	while (!at.bad) {
		uint8_t n = cursor_u8(&at);

		if (n >= 0xc0) {
			size_t target = (size_t)(n & 0x3f) << 8 | cursor_u8(&at);

			if (!jumps && !at.bad)
				*c = at;
			if (at.bad || target >= run || target < 12 || ++jumps > JUMPS_MAX)
				break;	/* forward, into the header, or on and on */
			/* what was pointed to may lie before a sub-cursor's part */
			run = at.pos = target;
			continue;
		}
		if (n > DNS_LABEL_MAX || at.bad || len + n + 1u > DNS_NAME_MAX || n > at.len - at.pos)
			break;
		if (out) {
			out->octets[len] = n;
			memcpy(out->octets + len + 1, at.base + at.pos, n);
		}
		len += n + 1u;
		at.pos += n;
		if (n)
			continue;
		if (!jumps)
			*c = at;
		if (out)
			out->len = (uint8_t)len;
		return;
	}
	c->bad = true;
	if (out) {
		out->len = 1;
		out->octets[0] = 0;
	}
}

void cursor_name(struct cursor *c, struct dns_name *out)
{
	cursor_follow_name(c, out);
}

void cursor_skip_name(struct cursor *c)
{
	cursor_follow_name(c, NULL);
}
