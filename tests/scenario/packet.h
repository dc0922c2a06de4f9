/* packet.h - whole messages: what a client sends, and anything that came, taken apart.
 *
 * The reader is strict: it stands for the programs that larder's octets must
 * please.  It shares no code with src/dns.
 */
#ifndef SCENARIO_PACKET_H
#define SCENARIO_PACKET_H

#include "record.h"

#define PACKET_MAX      65535
#define PACKET_EDES     8
#define PACKET_QUESTION 12		/* where the question stands */

/* A message taken apart. */
struct packet {
	uint8_t        *octets;		/* our own copy */
	size_t          len;
	uint16_t        id, flags;	/* flags: the second 16 bits of the header */
	unsigned        rcode;		/* with the OPT's part */
	unsigned        qdcount;
	struct dns_name qname;		/* of the first question, as written */
	uint16_t        qtype, qclass;
	size_t          question_len;	/* octets of the first question */
	struct record  *records;	/* without the OPT */
	unsigned        record_count;
	bool            has_opt;
	uint16_t        udp_size, opt_flags;
	uint8_t         version;
	bool            has_keepalive;
	uint16_t        keepalive_100ms;
	unsigned        ede_count, other_options;
	uint16_t        ede[PACKET_EDES];
};

/* NULL, or what is wrong with it; then there is nothing to be done() with. */
const char *packet_read(const uint8_t *octets, size_t len, struct packet *out);
void        packet_done(struct packet *p);
/* The wire octets of a record as they count for the TTL of answers: sections, names and all in words. */
void        packet_print(const struct packet *p, char *out, size_t room);

/* Octets being put together. */
struct writer {
	uint8_t *octets;
	size_t   len, room;
	bool     full;
};

void writer_put(struct writer *w, const void *octets, size_t len);
void writer_u8(struct writer *w, unsigned v);
void writer_u16(struct writer *w, unsigned v);
void writer_u32(struct writer *w, uint64_t v);

/* A client's query in all its colours. */
struct packet_ask {
	struct dns_name name;
	uint16_t        type, class, id, flags;
	uint16_t        qdcount, ancount, nscount, arcount;	/* arcount: beside the OPT */
	bool            has_opt;
	uint16_t        udp_size, opt_flags;
	uint8_t         version;
	unsigned        opt_copies;
	uint8_t         options[2048];
	size_t          options_len;
	uint8_t         extra[512];	/* octets behind the question, before the OPT */
	size_t          extra_len;
	unsigned        cut, trail;	/* leave out so many octets at the end; add so many */
};

size_t packet_write_ask(const struct packet_ask *a, uint8_t out[PACKET_MAX]);

const char *rcode_name(unsigned rcode);			/* "?" when it has none */
bool        rcode_of(const char *text, unsigned *out);	/* "SERVFAIL", "RCODE11" */
/* Names of header flags in a statement; 0 when text is none. */
uint16_t    flag_of(const char *text);

#endif
