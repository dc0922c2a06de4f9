/* svcb.h - the data of a SVCB record that leads to a resolver (RFC 9460, RFC 9461). */
#ifndef LARDER_DNS_SVCB_H
#define LARDER_DNS_SVCB_H

#include "dns/name.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dns_svcb {
	uint16_t        priority;	/* the lowest is the best; 0: an alias */
	uint16_t        port;		/* 0: the protocol's own */
	struct dns_name target;		/* the root: the owner itself */
	bool            dot, h2;	/* protocols that are offered */
	bool            strange;	/* insists on a key that larder does not know (RFC 9460 s. 8): not to be used */
	const uint8_t  *ipv4, *ipv6;	/* the first hint of each family, 4 and 16 octets; NULL: none.  Borrowed */
	const char     *dohpath;	/* a URI template (RFC 9461 s. 5), not ended by NUL; NULL: none.  Borrowed */
	size_t          dohpath_len;
};

/* Reads record data; what is in *out points into it.  0, or -EBADMSG: it is malformed, and so of no use. */
int dns_svcb_read(const uint8_t *rdata, size_t len, struct dns_svcb *out);

#endif
