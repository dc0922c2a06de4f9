/* judge.h - what must be true of every answer that the scrubber gives, whatever it was given. */
#ifndef LARDER_TESTS_UNIT_JUDGE_H
#define LARDER_TESTS_UNIT_JUDGE_H

#include "dns/scrub.h"

/* NULL, or what is not true of an answer to q (dns_scrub_reply() or dns_scrub_join() gave the verdict).
 * target: as the scrubber set it. */
const char *judge_answer(const struct dns_scrub_query *q, enum dns_scrub_verdict verdict,
                         const struct dns_answer *a, const struct dns_name *target);

/* The whole reply that a client would get for q, with every letter of the question's name in upper case when
 * shout is set.  Gives its length. */
size_t judge_reply(const struct dns_scrub_query *q, const struct dns_answer *a, uint32_t age_s, bool shout,
                   uint8_t out[DNS_MESSAGE_MAX]);

#endif
