/* record.h - resource records: from the words of a scenario to octets, and back to words.
 *
 * On purpose this shares nothing with larder's own packet code but names and
 * type mnemonics, so that a mistake there shows here.
 */
#ifndef SCENARIO_RECORD_H
#define SCENARIO_RECORD_H

#include "script.h"

#include "dns/name.h"

enum section { SECTION_ANSWER, SECTION_AUTHORITY, SECTION_ADDITIONAL };

struct record {
	enum section    section;
	struct dns_name owner;
	uint16_t        type, class;
	struct range    ttl_s;		/* of what came: both ends alike */
	uint8_t        *rdata;		/* owned; names in it written out in full */
	size_t          rdata_len;
};

/* Reads "[answer|authority|additional] OWNER TTL TYPE RDATA..." from word i on.  at is what @ stands for.
 * NULL, or what is wrong with it. */
const char *record_parse(const struct words *w, unsigned i, const struct dns_name *at, struct record *out);
void        record_done(struct record *r);

/* The layout of a type's RDATA as letters; record.c says which.  NULL: opaque. */
const char *record_layout(uint16_t type);

/* Writes "OWNER TTL TYPE RDATA" as a scenario would have it. */
void record_print(const struct record *r, char *out, size_t room);
bool record_equal(const struct record *wanted, const struct record *got);
/* Appends to text in out, and never past room. */
void text_add(char *out, size_t room, const char *format, ...) __attribute__((format(printf, 3, 4)));
void text_add_name(char *out, size_t room, const struct dns_name *n);

#endif
