/* query.c - builds queries from a template and checks replies against it. */
#include "query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER = 12, TYPE_A = 1, TYPE_OPT = 41 };

static _Noreturn void query_bad_suffix(const char *suffix)
{
	fprintf(stderr, "%s: not a name of labels of 1 to 63 octets, 240 in all\n", suffix);
	exit(2);
}

static uint8_t *query_put_suffix(uint8_t *p, const char *suffix)
{
	if (strlen(suffix) > 240)
		query_bad_suffix(suffix);
	for (const char *at = suffix; *at;) {
		size_t n = strcspn(at, ".");
		if (n == 0 || n > 63)
			query_bad_suffix(suffix);
		*p++ = (uint8_t)n;
		memcpy(p, at, n);
		p += n;
		at += n + (at[n] == '.');
	}
	*p++ = 0;
	return p;
}

void query_shape_init(struct query_shape *s, char letter, const char *suffix, unsigned edns)
{
	static const uint8_t header[HEADER] = { [2] = 0x01, [5] = 1 };	/* RD; one question */
	uint8_t *p = s->octets + HEADER;

	memcpy(s->octets, header, HEADER);
	*p++ = QUERY_LABEL;
	*p = (uint8_t)letter;
	p = query_put_suffix(p + QUERY_LABEL, suffix);
	memcpy(p, "\0\1\0\1", 4);
	p += 4;
	s->question_end = (size_t)(p - s->octets);
	if (edns) {
		const uint8_t opt[11] = { 0, 0, TYPE_OPT, (uint8_t)(edns >> 8), (uint8_t)edns };
		s->octets[11] = 1;
		memcpy(p, opt, sizeof opt);
		p += sizeof opt;
	}
	s->len = (size_t)(p - s->octets);
}

void query_write(const struct query_shape *s, uint8_t *q, uint16_t id, uint32_t number,
		 uint8_t label[QUERY_LABEL])
{
	memcpy(q, s->octets, s->len);
	q[0] = (uint8_t)(id >> 8);
	q[1] = (uint8_t)id;
	for (int i = QUERY_LABEL - 1; i > 0; i--, number /= 10)
		q[HEADER + 1 + i] = (uint8_t)('0' + number % 10);
	memcpy(label, q + HEADER + 1, QUERY_LABEL);
}

uint16_t query_id(const uint8_t *reply)
{
	return (uint16_t)(reply[0] << 8 | reply[1]);
}

/* The address that answer.c gives: 10.x.y.z, xyz the label's number. */
static uint32_t query_address(const uint8_t label[QUERY_LABEL])
{
	uint32_t n = 0;

	for (int i = 1; i < QUERY_LABEL; i++)
		n = n * 10 + (uint32_t)(label[i] - '0');
	return 10u << 24 | (n & 0xffffff);
}

/* The first record behind the question must be the A record of this very name. */
static bool query_address_fits(const uint8_t *reply, size_t len, size_t at,
			       const uint8_t label[QUERY_LABEL])
{
	while (at < len && reply[at] && reply[at] < 64)
		at += 1u + reply[at];
	at += at < len && reply[at] ? 2 : 1;
	if (at > len || len - at < 14 || reply[at] || reply[at + 1] != TYPE_A)
		return false;
	const uint8_t *a = reply + at + 10;
	uint32_t got = (uint32_t)a[0] << 24 | (uint32_t)a[1] << 16 | (uint32_t)a[2] << 8 | a[3];
	return got == query_address(label);
}

enum query_verdict query_check(const struct query_shape *s, const uint8_t *reply, size_t len,
			       const uint8_t label[QUERY_LABEL])
{
	const size_t behind = HEADER + 1 + QUERY_LABEL;

	if (len < s->question_end || !(reply[2] & 0x80) || reply[4] || reply[5] != 1)
		return QUERY_NO_REPLY;
	if (memcmp(reply + HEADER + 1, label, QUERY_LABEL) ||
	    memcmp(reply + behind, s->octets + behind, s->question_end - behind))
		return QUERY_NO_REPLY;
	if (s->echoed)
		return QUERY_GOOD;
	if (reply[3] & 0x0f)
		return QUERY_RCODE;
	if (!reply[6] && !reply[7])
		return QUERY_EMPTY;
	return query_address_fits(reply, len, s->question_end, label) ? QUERY_GOOD : QUERY_WRONG;
}
