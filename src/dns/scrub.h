/* scrub.h - from an upstream's reply to an answer that can be trusted to be one.
 *
 * Of a reply only that is kept which answers the question: the alias chain from
 * qname, in order, and the RRset at its end; for a negative answer the SOA; with
 * DO the signatures and proofs of these; and addresses from the additional
 * section, which are passed along and never used for anything else (RFC 2181
 * s. 5.4.1, RFC 5452 s. 6).  Records of one RRset get one TTL, doubles go, and
 * names are compressed anew (RFC 3597 s. 4).
 */
#ifndef LARDER_DNS_SCRUB_H
#define LARDER_DNS_SCRUB_H

#include "dns/answer.h"

#define DNS_CHAIN_MAX 12	/* aliases in one answer */

/* The bounds on TTLs; design section 6. */
struct dns_ttl_bounds {
	uint32_t min_s, max_s, negative_max_s;
};

struct dns_scrub_query {
	const uint8_t *qname;		/* borrowed; lower case */
	uint8_t        qname_len;
	uint16_t       qtype;
	bool           dnssec_ok;
	bool           mixed_case;	/* the reply's question is in random case: no name may take it from there */
	struct dns_ttl_bounds ttl;
	uint32_t       age_s;		/* a cache on the way has held the reply for so long (RFC 8484 s. 5.1) */
	/* Does this name belong to the route that was asked?  What does not is neither
	 * returned nor kept.  NULL: there is one route. */
	bool         (*in_route)(void *arg, const uint8_t *name, size_t len);
	void          *arg;
};

enum dns_scrub_verdict {
	DNS_SCRUB_ANSWER,	/* *out is an answer, positive or negative */
	DNS_SCRUB_ALIAS_OUT,	/* *out is an alias chain that leads to *target, which has to be asked for:
				 * it is of another route, or the server said nothing of it */
	DNS_SCRUB_FAILURE,	/* a reply, but no answer: failing rcode, referral, refusal to recurse */
	DNS_SCRUB_LOOP,		/* the aliases loop, or are over DNS_CHAIN_MAX: an answer of no use to anybody */
	DNS_SCRUB_MALFORMED,	/* cannot be what the server meant to say: keep waiting for the real one */
};

struct dns_scrub;		/* a work area, one per worker */

struct dns_scrub *dns_scrub_new(void);		/* the caller frees; NULL: no memory */
void              dns_scrub_free(struct dns_scrub *s);

/* Reads a whole reply (header included) whose question has been compared with q's already.
 * *out borrows from s until its next use; *target is set for DNS_SCRUB_ALIAS_OUT. */
enum dns_scrub_verdict dns_scrub_reply(struct dns_scrub *s, const uint8_t *msg, size_t len,
                                       const struct dns_scrub_query *q, struct dns_answer *out,
                                       struct dns_name *target);

/* Joins an alias chain (the body of an earlier DNS_SCRUB_ALIAS_OUT for q) with what its target's own
 * route answered.  Gives DNS_SCRUB_ANSWER, _LOOP or _MALFORMED. */
enum dns_scrub_verdict dns_scrub_join(struct dns_scrub *s, const struct dns_scrub_query *q,
                                      const struct dns_answer *chain, const struct dns_name *target,
                                      const struct dns_answer *rest, struct dns_answer *out);

#endif
