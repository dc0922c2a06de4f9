/* reply.c - the parts of a reply, in the order they are written. */
#include "reply.h"

size_t reply_question_end(const uint8_t *q, size_t len)
{
	size_t at = REPLY_HEADER;

	if (len < REPLY_HEADER || q[2] & 0xf8 || q[4] || q[5] != 1)
		return 0;
	while (at < len && q[at]) {
		if (q[at] > 63)
			return 0;
		at += 1u + q[at];
	}
	at += 1 + 4;
	return at <= len && at - REPLY_HEADER <= 255 + 4 ? at : 0;
}

bool reply_has_opt(const uint8_t *q, size_t len, size_t question_end)
{
	const uint8_t *opt = q + question_end;

	return q[11] && len - question_end >= REPLY_OPT_OCTETS && !opt[0] && !opt[1] &&
	       opt[2] == TYPE_OPT;
}

uint8_t *reply_record(uint8_t *p, unsigned type, uint32_t ttl_s, unsigned rdlen)
{
	p = reply_u16(p, type);
	p = reply_u16(p, 1);
	p = reply_u32(p, ttl_s);
	return reply_u16(p, rdlen);
}

uint8_t *reply_soa(uint8_t *p, uint32_t ttl_s)
{
	*p++ = 0;
	p = reply_record(p, TYPE_SOA, ttl_s, 22);
	p = reply_u16(p, 0);
	for (int i = 0; i < 5; i++)
		p = reply_u32(p, ttl_s);
	return p;
}

uint8_t *reply_opt(uint8_t *p)
{
	*p++ = 0;
	p = reply_u16(p, TYPE_OPT);
	p = reply_u16(p, 1232);
	p = reply_u32(p, 0);
	return reply_u16(p, 0);
}

void reply_header(uint8_t *q, unsigned answers, unsigned authorities, unsigned additionals)
{
	q[2] = 0x80 | (q[2] & 0x01);
	q[3] = 0x80 | (q[3] & 0x10);
	reply_u16(q + 6, answers);
	reply_u16(q + 8, authorities);
	reply_u16(q + 10, additionals);
}
