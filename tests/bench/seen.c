/* seen.c - walks over the records of a reply once.
 *
 * The address of the name and the instant of expiry are two A records, which a
 * cache may give in any order.
 */
#include "seen.h"

#include <string.h>

enum { HEADER = 12, TYPE_A = 1, TYPE_OPT = 41, OPTION_EDE = 15, RECORD_OCTETS = 10 };

struct seen_cursor {
	const uint8_t *base;
	size_t len, at;
	bool bad;
};

static unsigned seen_u16(const uint8_t *p)
{
	return (unsigned)(p[0] << 8 | p[1]);
}

static uint32_t seen_u32(const uint8_t *p)
{
	return (uint32_t)seen_u16(p) << 16 | seen_u16(p + 2);
}

static const uint8_t *seen_take(struct seen_cursor *c, size_t n)
{
	c->bad = c->bad || n > c->len - c->at;
	if (c->bad)
		return NULL;
	c->at += n;
	return c->base + (c->at - n);
}

static void seen_skip_name(struct seen_cursor *c)
{
	const uint8_t *p;

	while ((p = seen_take(c, 1)) && *p) {
		seen_take(c, *p < 64 ? *p : 1);
		if (*p >= 64)
			return;
	}
}

static uint32_t seen_number(const uint8_t label[QUERY_LABEL])
{
	uint32_t n = 0;

	for (int i = 1; i < QUERY_LABEL; i++)
		n = n * 10 + (uint32_t)(label[i] - '0');
	return n & 0xffffff;
}

static void seen_address(struct seen *r, const uint8_t *a, const uint8_t label[QUERY_LABEL],
			 uint64_t now_ns)
{
	uint32_t low = seen_u32(a) & 0xffffff;

	if (a[0] == 10) {
		r->good = low == seen_number(label);
		r->wrong = !r->good;
	} else if (a[0] == 11) {
		uint32_t past_cs = ((uint32_t)(now_ns / 10000000) - low) & 0xffffff;
		/* 2^24 hundredths are 46 hours: the upper half is the future */
		r->past_ms = 10 * (past_cs & 0x800000 ? (int32_t)past_cs - 0x1000000 :
							(int32_t)past_cs);
	}
}

static void seen_options(struct seen *r, const uint8_t *p, size_t len)
{
	struct seen_cursor c = { .base = p, .len = len };
	const uint8_t *head, *data;

	while (c.at < len && (head = seen_take(&c, 4))) {
		unsigned n = seen_u16(head + 2);
		data = seen_take(&c, n);
		if (data && seen_u16(head) == OPTION_EDE && n >= 2 && r->ede < 0)
			r->ede = (int)seen_u16(data);
	}
}

static void seen_record(struct seen *r, struct seen_cursor *c, bool answer,
			const uint8_t label[QUERY_LABEL], uint64_t now_ns)
{
	seen_skip_name(c);
	const uint8_t *head = seen_take(c, RECORD_OCTETS);
	if (!head)
		return;
	unsigned type = seen_u16(head), n = seen_u16(head + 8);
	const uint8_t *data = seen_take(c, n);
	if (!data)
		return;
	if (answer && r->ttl_s < 0)
		r->ttl_s = (int32_t)(seen_u32(head + 4) & 0x7fffffff);
	if (answer && type == TYPE_A && n == 4)
		seen_address(r, data, label, now_ns);
	else if (!answer && type == TYPE_OPT)
		seen_options(r, data, n);
}

struct seen seen_read(const struct query_shape *s, const uint8_t *reply, size_t len,
		      const uint8_t label[QUERY_LABEL], uint64_t now_ns)
{
	struct seen r = { .ttl_s = -1, .ede = -1, .past_ms = SEEN_NO_AGE };
	struct seen_cursor c = { .base = reply, .len = len, .at = s->question_end };

	if (query_check(s, reply, len, label) == QUERY_NO_REPLY)
		return r;
	unsigned answers = seen_u16(reply + 6);
	unsigned records = answers + seen_u16(reply + 8) + seen_u16(reply + 10);
	r.fits = true;
	r.rcode = reply[3] & 15;
	for (unsigned i = 0; i < records && !c.bad; i++)
		seen_record(&r, &c, i < answers, label, now_ns);
	r.good = r.good && !r.rcode;
	return r;
}
