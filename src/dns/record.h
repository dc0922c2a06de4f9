/* record.h - one record of a message: reading, comparing, writing it.
 *
 * A struct record points into its message, which must stay while it is used.
 */
#ifndef LARDER_DNS_RECORD_H
#define LARDER_DNS_RECORD_H

#include "dns/compress.h"
#include "dns/cursor.h"
#include "dns/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum section { SECTION_ANSWER, SECTION_AUTHORITY, SECTION_ADDITIONAL };

struct record {
	const uint8_t *msg;		/* borrowed: the message it is from */
	uint32_t       owner_hash;	/* record_hash() of the owner, without case */
	uint32_t       ttl_s;
	uint16_t       msg_len;
	uint16_t       owner_at, rdata_at, rdata_len;
	uint16_t       type;		/* class is IN */
	uint16_t       covered;		/* RRSIG: the type that is signed; else 0 */
	uint8_t        section;
};

enum record_read {
	RECORD_READ,
	RECORD_SKIPPED,			/* of no use here: another class, OPT or TSIG in the additional section */
	RECORD_MALFORMED,		/* does not parse, or may not stand in this section (RFC 6891 s. 6.1.1) */
};

/* Reads the record at c, whose base is the whole message.  Names inside RDATA that larder knows are checked too. */
enum record_read record_read(struct record *r, struct cursor *c, enum section section);

uint32_t record_hash(const uint8_t *octets, size_t len, bool fold);
void     record_owner(const struct record *r, struct dns_name *out);
void     record_rdata_name(const struct record *r, struct dns_name *out);	/* the one at the start of the RDATA */
bool     record_owned_by(const struct record *r, const struct dns_name *name, uint32_t hash);
/* Are they doubles: same owner, type and RDATA, however compressed?  Doubles have equal hashes. */
bool     record_same(const struct record *a, const struct record *b);
uint32_t record_rdata_hash(const struct record *r);

/* What the names of one record may grow by when they are written. */
#define RECORD_SPARE (DNS_NAME_MAX * 4)

/* Writes it at offset at of the reply that out compresses, which has RECORD_SPARE octets beyond the largest
 * message; *ttl_at: where in the body its TTL stands.  Gives the octets, or 0 when it does not fit into a message. */
size_t   record_write(const struct record *r, struct compress *out, size_t at, uint16_t *ttl_at);

#endif
