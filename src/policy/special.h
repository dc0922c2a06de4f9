/* special.h - names that never concern an upstream (RFC 6761, RFC 6303 and the registries they began).
 *
 * localhost is this host; names like home.arpa or the reverse names of private
 * addresses have no public answer, and asking for them tells strangers about
 * the network.  They are answered here, as from an empty zone.
 */
#ifndef LARDER_POLICY_SPECIAL_H
#define LARDER_POLICY_SPECIAL_H

#include "dns/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct special;

struct special *special_new(void);		/* the caller frees; NULL: no memory */
void            special_free(struct special *s);	/* NULL is fine */

/* Answers a question of class IN, if its name is special: writes its records to out and fills *head and
 * *len.  False: an ordinary name. */
bool special_answer(const struct special *s, const struct dns_query *q, uint8_t *out,
                    struct dns_reply_head *head, size_t *len);

#endif
