/* answer.h - an answer in the one shape in which it is kept, shared and sent.
 *
 * The body is everything of a reply that stands between question and OPT:
 * answer, authority and additional records, compressed as they go out.  Its
 * pointers count on a header of 12 octets and the question before it, so the
 * body fits behind any client's question, whatever the letter case (a name
 * that equals the question's name takes the asker's case).  TTLs lie at known
 * offsets and are counted down while copying.
 *
 * There are no pointers inside the body's octets other than DNS's own, so an
 * answer can be copied, cached and written to disk as it is.
 */
#ifndef LARDER_DNS_ANSWER_H
#define LARDER_DNS_ANSWER_H

#include "dns/message.h"
#include "dns/name.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dns_answer_kind {
	DNS_ANSWER_POSITIVE,
	DNS_ANSWER_NODATA,	/* RFC 2308 s. 2.2; also at the end of an alias chain */
	DNS_ANSWER_NXDOMAIN,	/* RFC 2308 s. 2.1; for the asked name itself */
	DNS_ANSWER_FAILURE,	/* no answer could be had */
};

struct dns_answer {
	uint8_t         kind;		/* enum dns_answer_kind */
	uint8_t         rcode;		/* for NXDOMAIN behind an alias the kind is NODATA, this NXDOMAIN */
	bool            crosses_route;	/* an alias led to names of another route */
	bool            authentic;	/* whoever may be believed says that its DNSSEC signatures hold */
	uint32_t        ttl_s;		/* how long it may be kept; 0: not beyond those who wait for it */
	uint16_t        ancount, nscount, arcount;
	uint16_t        ttl_count;
	const uint16_t *ttl_at;		/* offsets in body of 32-bit TTLs, ascending */
	const uint8_t  *body;
	uint16_t        body_len;
	uint16_t        required_len;	/* octets of body without additional records */
};

/* What became of the body under a size limit. */
enum dns_answer_fit {
	DNS_FIT_WHOLE,
	DNS_FIT_NO_EXTRAS,		/* additional records were left out (RFC 2181 s. 9) */
	DNS_FIT_NOT,			/* nothing was written: the reply needs TC */
};

/* Copies the body into room octets at out, every TTL lowered by age_s; *head gets the counts,
 * *len the octets written. */
enum dns_answer_fit dns_answer_write(const struct dns_answer *a, uint32_t age_s, uint8_t *out, size_t room,
                                     struct dns_reply_head *head, size_t *len);

/* Lowers the TTLs in body, which is a's own, by age_s. */
void dns_answer_age(const struct dns_answer *a, uint8_t *body, uint32_t age_s);
/* All TTLs among the len octets that dns_answer_write() gave become ttl_s (RFC 8767 s. 4). */
void dns_answer_set_ttls(const struct dns_answer *a, uint32_t ttl_s, uint8_t *out, size_t len);

#endif
