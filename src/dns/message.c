/* message.c - what clients send and the frame of what they get.
 *
 * A query is judged in the order header, question, other records, OPT, type
 * and class, so that the first thing wrong decides the rcode.  What could be
 * read before that is still used: the question is echoed, and a client that
 * sent an OPT gets one back, on errors too.
 */
#include "dns/message.h"

#include "dns/cursor.h"
#include "dns/wire.h"

#include <string.h>

static void dns_opt_read(struct cursor *c, struct dns_query *q, bool stream, int *verdict)
{
	uint16_t      size = cursor_u16(c);		/* the OPT's class */
	uint32_t      ttl = cursor_u32(c);		/* extended rcode, version, flags */
	struct cursor options = cursor_sub(c, cursor_u16(c));

	if (c->bad)
		return;
	q->has_opt = true;
	q->udp_size = size < DNS_UDP_MIN ? DNS_UDP_MIN : size;
	q->dnssec_ok = ttl & 0x8000;
	if (ttl >> 16 & 0xff) {			/* a version that is not ours: read no further */
		*verdict = DNS_BADVERS;
		return;
	}
	while (cursor_left(&options)) {
		uint16_t code = cursor_u16(&options), len = cursor_u16(&options);

		cursor_skip(&options, len);
		if (code == DNS_OPTION_KEEPALIVE && stream && !options.bad) {
			q->keepalive = true;
			if (len)		/* only servers state a time (RFC 7828 s. 3.2.1) */
				*verdict = DNS_FORMERR;
		}
	}
	if (options.bad)
		*verdict = DNS_FORMERR;
}

static void dns_skip_records(struct cursor *c, unsigned count)
{
	for (unsigned i = 0; i < count && !c->bad; i++) {
		cursor_skip_name(c);
		cursor_skip(c, 8);			/* type, class, TTL */
		cursor_skip(c, cursor_u16(c));
	}
}

/* The additional section: at most one OPT, no signatures over the message. */
static void dns_query_additional(struct cursor *c, unsigned count, struct dns_query *q, bool stream,
                                 int *verdict)
{
	bool seen_opt = false, is_signed = false;

	for (unsigned i = 0; i < count && !c->bad; i++) {
		size_t   owner = c->pos;
		uint16_t type;

		cursor_skip_name(c);
		type = cursor_u16(c);
		if (c->bad)
			break;
		if (type == DNS_OPT && !seen_opt) {
			seen_opt = true;
			dns_opt_read(c, q, stream, verdict);
			if (c->base[owner])	/* not owned by the root */
				*verdict = DNS_FORMERR;
			continue;
		}
		if (type == DNS_OPT)		/* doubled, whatever its version */
			*verdict = DNS_FORMERR;
		is_signed |= type == DNS_TSIG || type == DNS_SIG;
		cursor_skip(c, 6);			/* class, TTL */
		cursor_skip(c, cursor_u16(c));
	}
	if (c->bad)
		*verdict = DNS_FORMERR;
	if (*verdict == DNS_NOERROR && is_signed) {	/* we could not keep the signature whole */
		*verdict = DNS_REFUSED;
		q->ede = DNS_EDE_NOT_SUPPORTED;
	}
}

static int dns_qtype_verdict(struct dns_query *q)
{
	switch (q->qtype) {
	case 0:
	case DNS_OPT:
	case DNS_TKEY:
	case DNS_TSIG:
		return DNS_FORMERR;
	case DNS_NXNAME:				/* RFC 9824 s. 3.5 */
		q->ede = DNS_EDE_INVALID_QUERY_TYPE;
		return DNS_FORMERR;
	case DNS_MAILA:
	case DNS_MAILB:
		return DNS_NOTIMP;
	case DNS_AXFR:
	case DNS_IXFR:
		q->ede = DNS_EDE_NOT_SUPPORTED;
		return DNS_REFUSED;
	default:
		return DNS_NOERROR;
	}
}

static bool dns_question_read(struct cursor *c, struct dns_query *q)
{
	size_t         len;
	const uint8_t *name = cursor_plain_name(c, &len);

	q->qtype = cursor_u16(c);
	q->qclass = cursor_u16(c);
	if (c->bad)
		return false;
	q->question = name;
	q->question_len = (uint16_t)(len + 4);
	q->qname_len = (uint8_t)len;
	dns_name_copy_lower(q->qname, name, len);
	return true;
}

int dns_query_read(const uint8_t *octets, size_t len, bool stream, struct dns_query *q)
{
	struct cursor c = cursor_of(octets, len, 0);
	unsigned      qdcount, ancount, nscount, arcount;
	int           verdict = DNS_NOERROR;

	memset(q, 0, offsetof(struct dns_query, qname));
	q->udp_size = DNS_UDP_MIN;
	q->ede = DNS_EDE_NONE;
	if (len < DNS_HEADER_LEN)
		return DNS_QUERY_SILENCE;
	q->id = cursor_u16(&c);
	q->flags = cursor_u16(&c);
	qdcount = cursor_u16(&c);
	ancount = cursor_u16(&c);
	nscount = cursor_u16(&c);
	arcount = cursor_u16(&c);
	if (q->flags & DNS_QR)
		return DNS_QUERY_SILENCE;		/* replies to replies would never end */
	if (q->flags & DNS_OPCODE)
		return DNS_NOTIMP;			/* before the body (RFC 8906 s. 3.1.4) */
	if (qdcount == 1 && !dns_question_read(&c, q))
		return DNS_FORMERR;
	if (qdcount != 1 || ancount || nscount)		/* one question (RFC 9619 s. 4) and nothing else */
		verdict = DNS_FORMERR;
	for (unsigned i = 0; qdcount > 1 && i < qdcount && !c.bad; i++) {
		cursor_skip_name(&c);
		cursor_skip(&c, 4);
	}
	dns_skip_records(&c, ancount + nscount);	/* on to the OPT, which the reply depends on */
	dns_query_additional(&c, arcount, q, stream, &verdict);
	if (verdict == DNS_NOERROR)
		verdict = dns_qtype_verdict(q);
	if (verdict == DNS_NOERROR && q->qclass != DNS_IN && q->qclass != DNS_CH) {
		q->ede = DNS_EDE_NOT_SUPPORTED;
		return DNS_REFUSED;
	}
	return verdict;
}

#define DNS_OPT_LEN           11
#define DNS_EDE_LEN           6
#define DNS_KEEPALIVE_OPT_LEN 6

static size_t dns_ede_text_len(const struct dns_reply_head *head)
{
	return head->ede_text ? strnlen(head->ede_text, DNS_EDE_TEXT_MAX) : 0;
}

size_t dns_reply_opt_len(const struct dns_query *q, const struct dns_reply_head *head)
{
	if (!q->has_opt)
		return 0;
	return DNS_OPT_LEN + (head->ede != DNS_EDE_NONE ? DNS_EDE_LEN + dns_ede_text_len(head) : 0u) +
	       (q->keepalive ? DNS_KEEPALIVE_OPT_LEN : 0u);
}

static size_t dns_opt_write(uint8_t *p, const struct dns_query *q, const struct dns_reply_head *head)
{
	size_t at = DNS_OPT_LEN;

	p[0] = 0;					/* owner: the root */
	wire_put_u16(p + 1, DNS_OPT);
	wire_put_u16(p + 3, head->udp_size ? head->udp_size : DNS_UDP_MIN);
	p[5] = (uint8_t)(head->rcode >> 4);
	p[6] = 0;					/* version */
	wire_put_u16(p + 7, q->dnssec_ok ? 0x8000 : 0);
	if (head->ede != DNS_EDE_NONE) {
		size_t text = dns_ede_text_len(head);

		wire_put_u16(p + at, DNS_OPTION_EDE);
		wire_put_u16(p + at + 2, (uint16_t)(2 + text));
		wire_put_u16(p + at + 4, (uint16_t)head->ede);
		if (text)
			memcpy(p + at + 6, head->ede_text, text);
		at += DNS_EDE_LEN + text;
	}
	if (q->keepalive) {
		wire_put_u16(p + at, DNS_OPTION_KEEPALIVE);
		wire_put_u16(p + at + 2, 2);
		wire_put_u16(p + at + 4, head->keepalive_100ms);
		at += DNS_KEEPALIVE_OPT_LEN;
	}
	wire_put_u16(p + 9, (uint16_t)(at - DNS_OPT_LEN));
	return at;
}

size_t dns_reply_finish(uint8_t *out, size_t len, const struct dns_query *q,
                        const struct dns_reply_head *head)
{
	uint16_t ad = q->dnssec_ok ? DNS_AD : q->flags & DNS_AD;
	uint16_t flags = (uint16_t)(DNS_QR | DNS_RA | (q->flags & (DNS_OPCODE | DNS_RD | DNS_CD)) |
	                            (head->flags & (DNS_AA | DNS_TC | ad)));
	uint16_t rcode = head->rcode;

	if (rcode > 15 && !q->has_opt)
		rcode = DNS_SERVFAIL;
	wire_put_u16(out, q->id);
	wire_put_u16(out + 2, (uint16_t)(flags | (rcode & DNS_RCODE)));
	wire_put_u16(out + 4, q->question ? 1 : 0);
	wire_put_u16(out + 6, head->ancount);
	wire_put_u16(out + 8, head->nscount);
	wire_put_u16(out + 10, (uint16_t)(head->arcount + q->has_opt));
	if (q->question)
		memcpy(out + DNS_HEADER_LEN, q->question, q->question_len);
	if (q->has_opt)
		len += dns_opt_write(out + len, q, head);
	return len;
}
