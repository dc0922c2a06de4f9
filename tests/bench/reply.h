/* reply.h - how the bench's upstreams make a reply out of a query.
 *
 * Everything writes to the buffer of the query itself, behind its question, so
 * that header and question need no copying.  The caller has made sure of the
 * room: REPLY_ROOM octets behind the question are enough for one answer.
 */
#ifndef BENCH_REPLY_H
#define BENCH_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	REPLY_HEADER = 12,
	REPLY_ROOM = 64,	/* what is appended to a question at most */
	REPLY_OPT_OCTETS = 11,
	REPLY_QNAME = 0xc000 | REPLY_HEADER,	/* a pointer to the question's name */

	TYPE_A = 1,
	TYPE_SOA = 6,
	TYPE_TXT = 16,
	TYPE_OPT = 41,
};

static inline uint8_t *reply_u16(uint8_t *p, unsigned v)
{
	*p++ = (uint8_t)(v >> 8);
	*p++ = (uint8_t)v;
	return p;
}

static inline uint8_t *reply_u32(uint8_t *p, uint32_t v)
{
	return reply_u16(reply_u16(p, v >> 16), v & 0xffff);
}

static inline unsigned reply_qtype(const uint8_t *q, size_t question_end)
{
	return (unsigned)(q[question_end - 4] << 8 | q[question_end - 3]);
}

/* Offset behind the only question, or 0 for what is no query. */
size_t reply_question_end(const uint8_t *q, size_t len);
bool reply_has_opt(const uint8_t *q, size_t len, size_t question_end);

/* These three give where the next octet goes. */
uint8_t *reply_record(uint8_t *p, unsigned type, uint32_t ttl_s, unsigned rdlen);	/* no owner */
uint8_t *reply_soa(uint8_t *p, uint32_t ttl_s);		/* of the root, with empty names */
uint8_t *reply_opt(uint8_t *p);

/* QR and RA, RD and CD as asked, and the counts; rcode 0. */
void reply_header(uint8_t *q, unsigned answers, unsigned authorities, unsigned additionals);

#endif
