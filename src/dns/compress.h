/* compress.h - writing names into a reply, compressed (RFC 1035 s. 4.1.4).
 *
 * Owner names may point anywhere before, the question included, and compare
 * without regard to case.  Names inside RDATA keep their letter case, so they
 * only point at equal octets, and never into the question, whose case is each
 * asker's own.
 *
 * Suffixes are remembered in two small tables with two places for each hash: the
 * older of the two gives way.  A name therefore costs its own length, whatever has
 * been written before.
 */
#ifndef LARDER_DNS_COMPRESS_H
#define LARDER_DNS_COMPRESS_H

#include "dns/name.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COMPRESS_SETS 256

struct compress {
	uint8_t *reply;			/* borrowed: the whole message being written */
	size_t   body_at;		/* where the question ends */
	uint8_t  qname_len;
	bool     tables_ready;		/* most answers never need them */
	uint16_t by_fold[COMPRESS_SETS][2];	/* offsets of suffixes, by a hash without case */
	uint16_t by_exact[COMPRESS_SETS][2];	/* by a hash of the octets; none leads into the question */
};

enum compress_use { COMPRESS_OWNER, COMPRESS_RDATA, COMPRESS_NOT };

/* The question must stand at reply + 12 already. */
void compress_init(struct compress *c, uint8_t *reply, uint8_t qname_len);
/* Writes n at offset at, where 255 octets must be free.  Gives the octets written. */
size_t compress_name(struct compress *c, size_t at, const struct dns_name *n, enum compress_use use);

#endif
