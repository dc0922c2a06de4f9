/* policy.h - what is decided here: who may ask, what we answer ourselves, which upstreams get the rest.
 *
 * Immutable once made, and shared by all workers.
 */
#ifndef LARDER_POLICY_POLICY_H
#define LARDER_POLICY_POLICY_H

#include "dns/message.h"
#include "policy/conf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct policy;

/* A policy the caller frees, or NULL when memory is short.  Borrows conf, which must outlive it. */
struct policy *policy_new(const struct policy_conf *conf);
void           policy_free(struct policy *p);	/* NULL is fine */

bool policy_allows(const struct policy *p, const struct addr *from);

/* The route of a name: the longest suffix on label borders (qname in lower case).  Gives an index into
 * policy_conf.routes; 0 is the root's. */
size_t policy_route(const struct policy *p, const uint8_t *qname, size_t len);

enum policy_verdict {
	POLICY_FORWARD,		/* not ours: ask upstream */
	POLICY_ANSWERED,	/* *head and *len describe the records written to out */
	POLICY_REFUSED,		/* *head.ede says why */
};

#define POLICY_ROOM 512		/* octets that an answer of our own may need */

/* Decides a well-formed query whose route is known.  Records, if any, go to out. */
enum policy_verdict policy_decide(const struct policy *p, const struct dns_query *q, size_t route, bool stream,
                                  uint8_t *out, struct dns_reply_head *head, size_t *len);

#endif
