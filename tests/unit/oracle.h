/* oracle.h - a second reader of messages, by which tests and fuzzers judge larder's.
 *
 * It shares no code with src/dns and takes its time: names are written out in
 * full, RDATA too, so that two records are equal when their octets are.  It is
 * strict: a compression pointer must lead before the name it stands in and not
 * into the header, and names in the RDATA of types that may not be compressed
 * must not be (RFC 3597 s. 4).
 */
#ifndef LARDER_TESTS_UNIT_ORACLE_H
#define LARDER_TESTS_UNIT_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORACLE_NAME_MAX  255
#define ORACLE_RDATA_MAX (65535 + 3 * ORACLE_NAME_MAX)

struct oracle_name {
	size_t  len;			/* octets in full, 1 to 255 */
	uint8_t octets[ORACLE_NAME_MAX];
};

struct oracle_record {
	unsigned section;		/* 1 answer, 2 authority, 3 additional */
	struct oracle_name owner;
	uint16_t type, class;
	uint32_t ttl;
	size_t   at, ttl_at, rdata_at, rdata_len, end;	/* offsets in the message */
};

struct oracle {
	const uint8_t *octets;		/* borrowed */
	size_t   len;
	uint16_t id, flags;
	unsigned counts[4];
	struct oracle_name qname;	/* of the first question */
	uint16_t qtype, qclass;
	size_t   records_at, end;	/* where records begin; behind the last one */
	struct oracle_record *records;
	size_t   record_count;
	const char *wrong;		/* what is malformed; NULL: nothing */
};

/* Reads a whole message.  False: o->wrong says why.  oracle_done() in both cases. */
bool oracle_read(struct oracle *o, const uint8_t *octets, size_t len);
void oracle_done(struct oracle *o);

/* Reads the name at `at`; gives the offset behind it, or 0 when it is malformed. */
size_t oracle_name(const uint8_t *octets, size_t len, size_t at, struct oracle_name *out);
/* How the RDATA of a type is made up: names that may be compressed when sent (C) or not (n), octets (1 to 9),
 * character-strings (s), the rest of any kind (.). */
const char *oracle_shape(uint16_t type);
/* RDATA with its names written out; gives its length, or SIZE_MAX when it is malformed.  Names that may not
 * be compressed must not be. */
size_t oracle_rdata(const struct oracle *o, const struct oracle_record *r, uint8_t out[ORACLE_RDATA_MAX]);
bool oracle_name_equal(const struct oracle_name *a, const struct oracle_name *b);	/* case does not matter */
/* The first record of a section and type, or NULL; section 0: of any. */
const struct oracle_record *oracle_find(const struct oracle *o, unsigned section, uint16_t type);
unsigned oracle_count(const struct oracle *o, unsigned section, uint16_t type);

#endif
