/* text.h - records as people write them.
 *
 * Master-file text in ASCII (RFC 1035 s. 5.1): addresses, names and text in
 * their usual forms, whatever larder has no reading of as RFC 3597 s. 5 has it.
 */
#ifndef LARDER_DNS_TEXT_H
#define LARDER_DNS_TEXT_H

#include "dns/cursor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest text of RDATA, with its NUL: every octet of a TXT record as \DDD, or names that were compressed. */
#define DNS_RDATA_TEXT_MAX (4u * 65535 + 4 * 1024)

struct dns_text_record {
	char     owner[1024];		/* DNS_NAME_TEXT_MAX */
	uint32_t ttl_s;
	uint16_t type;
	struct cursor rdata;		/* over the message: what dns_rdata_to_text() takes */
};

/* Reads the record at c, whose base is a whole message.  False: it does not parse. */
bool   dns_text_read(struct cursor *c, struct dns_text_record *out);
/* Writes RDATA, which rdata spans; gives the length without NUL. */
size_t dns_rdata_to_text(uint16_t type, struct cursor rdata, char out[DNS_RDATA_TEXT_MAX]);
/* "NOERROR", "SERVFAIL" …, or RCODEnnn written to buf. */
#define DNS_RCODE_TEXT_MAX 16
const char *dns_rcode_to_text(uint16_t rcode, char buf[DNS_RCODE_TEXT_MAX]);
/* The reverse, in any letter case.  0, or -EINVAL. */
int dns_rcode_from_text(const char *text, uint16_t *out);

#endif
