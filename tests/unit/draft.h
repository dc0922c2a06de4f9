/* draft.h - messages as a test wants them, right or wrong.
 *
 * Names are written as given; with `squeeze` set they are compressed wherever
 * the dice say so, in RDATA too.  Counts are kept in the header, and can be
 * overwritten with draft_count().
 */
#ifndef LARDER_TESTS_UNIT_DRAFT_H
#define LARDER_TESTS_UNIT_DRAFT_H

#include "dns/message.h"
#include "dns/name.h"

#include <stddef.h>
#include <stdint.h>

struct dice;

enum draft_section { DRAFT_QUESTION, DRAFT_ANSWER, DRAFT_AUTHORITY, DRAFT_ADDITIONAL };

#define DRAFT_LABELS 2000

struct draft {
	struct dice *squeeze;		/* NULL: names are not compressed */
	size_t   len;
	size_t   rdata_len_at;		/* of the record that is open */
	unsigned label_count;
	size_t   labels[DRAFT_LABELS];	/* where labels stand that can be pointed at */
	uint8_t  octets[70000];		/* more than a message may have */
};

/* A header with this ID and these flags, nothing else. */
void draft_begin(struct draft *d, uint16_t id, uint16_t flags);
void draft_question(struct draft *d, const char *qname, uint16_t qtype, uint16_t qclass);
void draft_count(struct draft *d, enum draft_section section, uint16_t n);

/* A whole record of class IN with any RDATA. */
void draft_raw(struct draft *d, enum draft_section section, const char *owner, uint16_t type, uint32_t ttl,
               const void *rdata, size_t len);
void draft_a(struct draft *d, enum draft_section section, const char *owner, uint32_t ttl, const char *address);
void draft_aaaa(struct draft *d, enum draft_section section, const char *owner, uint32_t ttl, const char *address);
/* RDATA that is one name: CNAME, NS, PTR, DNAME. */
void draft_to(struct draft *d, enum draft_section section, const char *owner, uint16_t type, uint32_t ttl,
              const char *target);
void draft_mx(struct draft *d, enum draft_section section, const char *owner, uint32_t ttl, uint16_t preference,
              const char *exchange);
void draft_soa(struct draft *d, enum draft_section section, const char *owner, uint32_t ttl, uint32_t minimum);
/* RRSIG over a type, with a signature of len octets that begins with mark. */
void draft_rrsig(struct draft *d, enum draft_section section, const char *owner, uint32_t ttl, uint16_t covered,
                 uint8_t mark, size_t len);
/* OPT with raw options. */
void draft_opt(struct draft *d, uint16_t size, uint32_t ttl, const void *options, size_t len);

/* The same piece by piece: the owner and what follows up to RDLENGTH … */
void draft_record(struct draft *d, enum draft_section section, const char *owner, uint16_t type, uint16_t class,
                  uint32_t ttl);
/* … then these, each of which also adds to the open record's RDLENGTH. */
void draft_octets(struct draft *d, const void *octets, size_t len);
void draft_u16(struct draft *d, uint16_t v);
void draft_u32(struct draft *d, uint32_t v);
void draft_name(struct draft *d, const char *text);
void draft_wire_name(struct draft *d, const uint8_t *name);	/* in full */
/* RDATA of a type with its names in full, which are written like all names. */
void draft_rdata(struct draft *d, uint16_t type, const uint8_t *rdata, size_t len);

#endif
