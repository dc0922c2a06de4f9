/* rrtype.h - names of record types.
 *
 * The types of the IANA registry by their mnemonics, any other by TYPEnnn
 * (RFC 3597 s. 5).  Case does not matter.
 */
#ifndef LARDER_DNS_RRTYPE_H
#define LARDER_DNS_RRTYPE_H

#include <stdint.h>

#define DNS_RRTYPE_TEXT_MAX 16		/* the longest is "NSEC3PARAM", with its NUL */

/* A mnemonic or TYPEnnn: 0, or -EINVAL. */
int dns_rrtype_from_text(const char *text, uint16_t *out);
/* A mnemonic from the table, or TYPEnnn written to buf. */
const char *dns_rrtype_to_text(uint16_t type, char buf[DNS_RRTYPE_TEXT_MAX]);

#endif
