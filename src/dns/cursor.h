/* cursor.h - reading octets from outside; the only place that moves a pointer over them.
 *
 * The first failure sticks and later reads give zero, so a parser checks once.
 * Always true: pos <= len.
 */
#ifndef LARDER_DNS_CURSOR_H
#define LARDER_DNS_CURSOR_H

#include "dns/name.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor {
	const uint8_t *base;		/* borrowed; names may point back into all of it */
	size_t         len, pos;	/* octets */
	bool           bad;
};

static inline struct cursor cursor_of(const uint8_t *octets, size_t len, size_t pos)
{
	return (struct cursor){ .base = octets, .len = len, .pos = pos <= len ? pos : len, .bad = pos > len };
}

static inline size_t cursor_left(const struct cursor *c)
{
	return c->bad ? 0 : c->len - c->pos;
}

static inline const uint8_t *cursor_take(struct cursor *c, size_t n)
{
	c->bad = c->bad || n > c->len - c->pos;	/* not pos + n > len: that wraps */
	if (c->bad)
		return NULL;
	c->pos += n;
	return c->base + (c->pos - n);
}

static inline void cursor_skip(struct cursor *c, size_t n)
{
	(void)cursor_take(c, n);
}

static inline uint8_t cursor_u8(struct cursor *c)
{
	const uint8_t *p = cursor_take(c, 1);

	return p ? p[0] : 0;
}

static inline uint16_t cursor_u16(struct cursor *c)
{
	const uint8_t *p = cursor_take(c, 2);

	return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

static inline uint32_t cursor_u32(struct cursor *c)
{
	const uint8_t *p = cursor_take(c, 4);

	return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

/* A cursor over the next n octets, which this one skips.  It keeps the base, so
 * that compressed names inside can point back (RFC 1035 s. 4.1.4). */
static inline struct cursor cursor_sub(struct cursor *c, size_t n)
{
	size_t start = c->pos;

	cursor_skip(c, n);
	return (struct cursor){ .base = c->base, .len = c->bad ? start : c->pos, .pos = start, .bad = c->bad };
}

/* A name without compression (RFC 9619, NAME-03): gives where it lies, *len its octets. */
const uint8_t *cursor_plain_name(struct cursor *c, size_t *len);

/* A name that may be compressed (RFC 1035 s. 4.1.4), written out in full.  Pointers go strictly
 * backwards and not into the header; at most 127 labels and 255 octets. */
void cursor_name(struct cursor *c, struct dns_name *out);
/* The same check without writing: for names that only have to be passed over. */
void cursor_skip_name(struct cursor *c);

#endif
