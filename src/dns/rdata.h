/* rdata.h - where names lie inside the RDATA of the older types.
 *
 * Types of RFC 1035 may carry compressed names and are compressed when sent;
 * a few later ones are met compressed and are written out in full; everything
 * else is opaque octets (RFC 3597 s. 4).
 */
#ifndef LARDER_DNS_RDATA_H
#define LARDER_DNS_RDATA_H

#include <stdbool.h>
#include <stdint.h>

/* One letter a field:
 *   N  a name that may be compressed when sent   n  a name that may not
 *   1 2 4  octets   c  a character-string   *  whatever is left (last)
 * NULL: opaque. */
const char *dns_rdata_layout(uint16_t type);

/* May RDATA of this type have this length?  A and AAAA are known exactly. */
bool dns_rdata_len_ok(uint16_t type, uint16_t len);

#endif
