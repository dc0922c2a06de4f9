/* rrtype.c - the registry of record types.
 *
 * Sorted by number, which the search by number leans on.  Searching by name
 * walks the table: people type names, packets carry numbers.
 */
#include "dns/rrtype.h"

#include "dns/name.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct rrtype {
	uint16_t   type;
	const char name[11];
} rrtypes[] = {
	{ 1, "A" },
	{ 2, "NS" },
	{ 3, "MD" },
	{ 4, "MF" },
	{ 5, "CNAME" },
	{ 6, "SOA" },
	{ 7, "MB" },
	{ 8, "MG" },
	{ 9, "MR" },
	{ 10, "NULL" },
	{ 11, "WKS" },
	{ 12, "PTR" },
	{ 13, "HINFO" },
	{ 14, "MINFO" },
	{ 15, "MX" },
	{ 16, "TXT" },
	{ 17, "RP" },
	{ 18, "AFSDB" },
	{ 19, "X25" },
	{ 20, "ISDN" },
	{ 21, "RT" },
	{ 22, "NSAP" },
	{ 23, "NSAP-PTR" },
	{ 24, "SIG" },
	{ 25, "KEY" },
	{ 26, "PX" },
	{ 27, "GPOS" },
	{ 28, "AAAA" },
	{ 29, "LOC" },
	{ 30, "NXT" },
	{ 31, "EID" },
	{ 32, "NIMLOC" },
	{ 33, "SRV" },
	{ 34, "ATMA" },
	{ 35, "NAPTR" },
	{ 36, "KX" },
	{ 37, "CERT" },
	{ 38, "A6" },
	{ 39, "DNAME" },
	{ 40, "SINK" },
	{ 41, "OPT" },
	{ 42, "APL" },
	{ 43, "DS" },
	{ 44, "SSHFP" },
	{ 45, "IPSECKEY" },
	{ 46, "RRSIG" },
	{ 47, "NSEC" },
	{ 48, "DNSKEY" },
	{ 49, "DHCID" },
	{ 50, "NSEC3" },
	{ 51, "NSEC3PARAM" },
	{ 52, "TLSA" },
	{ 53, "SMIMEA" },
	{ 55, "HIP" },
	{ 56, "NINFO" },
	{ 57, "RKEY" },
	{ 58, "TALINK" },
	{ 59, "CDS" },
	{ 60, "CDNSKEY" },
	{ 61, "OPENPGPKEY" },
	{ 62, "CSYNC" },
	{ 63, "ZONEMD" },
	{ 64, "SVCB" },
	{ 65, "HTTPS" },
	{ 66, "DSYNC" },
	{ 67, "HHIT" },
	{ 68, "BRID" },
	{ 99, "SPF" },
	{ 100, "UINFO" },
	{ 101, "UID" },
	{ 102, "GID" },
	{ 103, "UNSPEC" },
	{ 104, "NID" },
	{ 105, "L32" },
	{ 106, "L64" },
	{ 107, "LP" },
	{ 108, "EUI48" },
	{ 109, "EUI64" },
	{ 128, "NXNAME" },
	{ 249, "TKEY" },
	{ 250, "TSIG" },
	{ 251, "IXFR" },
	{ 252, "AXFR" },
	{ 253, "MAILB" },
	{ 254, "MAILA" },
	{ 255, "ANY" },
	{ 256, "URI" },
	{ 257, "CAA" },
	{ 258, "AVC" },
	{ 259, "DOA" },
	{ 260, "AMTRELAY" },
	{ 261, "RESINFO" },
	{ 262, "WALLET" },
	{ 263, "CLA" },
	{ 264, "IPN" },
	{ 32768, "TA" },
	{ 32769, "DLV" },
};

#define RRTYPES (sizeof rrtypes / sizeof rrtypes[0])

/* Does text begin with name, whatever the case?  Gives what follows, or NULL.
 * (strcasecmp() would ask the locale, and Turkish has its own idea of I.) */
static const char *rrtype_after(const char *text, const char *name)
{
	for (; *name; name++, text++)
		if (dns_fold[(uint8_t)*text] != dns_fold[(uint8_t)*name])
			return NULL;
	return text;
}

/* The decimal digits after TYPE; no sign, no space, at most 65535. */
static int rrtype_number(const char *digits, uint16_t *out)
{
	unsigned v = 0;

	if (!*digits)
		return -EINVAL;
	for (; *digits; digits++) {
		if (*digits < '0' || *digits > '9')
			return -EINVAL;
		v = v * 10 + (unsigned)(*digits - '0');
		if (v > UINT16_MAX)
			return -EINVAL;
	}
	*out = (uint16_t)v;
	return 0;
}

int dns_rrtype_from_text(const char *text, uint16_t *out)
{
	const char *rest;

	for (size_t i = 0; i < RRTYPES; i++) {
		rest = rrtype_after(text, rrtypes[i].name);
		if (rest && !*rest) {
			*out = rrtypes[i].type;
			return 0;
		}
	}
	rest = rrtype_after(text, "TYPE");
	return rest ? rrtype_number(rest, out) : -EINVAL;
}

static int rrtype_compare(const void *key, const void *row)
{
	return *(const uint16_t *)key - ((const struct rrtype *)row)->type;
}

const char *dns_rrtype_to_text(uint16_t type, char buf[DNS_RRTYPE_TEXT_MAX])
{
	const struct rrtype *row =
		bsearch(&type, rrtypes, RRTYPES, sizeof rrtypes[0], rrtype_compare);

	if (row)
		return row->name;
	snprintf(buf, DNS_RRTYPE_TEXT_MAX, "TYPE%u", (unsigned)type);
	return buf;
}
