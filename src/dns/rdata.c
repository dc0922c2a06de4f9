/* rdata.c - names inside RDATA. */
#include "dns/rdata.h"

#include "dns/message.h"

#include <stddef.h>

static const struct {
	uint16_t    type;
	const char *layout;
} dns_layouts[] = {
	{ DNS_NS, "N" },
	{ 3, "N" },			/* MD */
	{ 4, "N" },			/* MF */
	{ DNS_CNAME, "N" },
	{ DNS_SOA, "NN44444" },
	{ 7, "N" },			/* MB */
	{ 8, "N" },			/* MG */
	{ 9, "N" },			/* MR */
	{ DNS_PTR, "N" },
	{ 14, "NN" },			/* MINFO */
	{ DNS_MX, "2N" },
	{ 17, "nn" },			/* RP */
	{ 18, "2n" },			/* AFSDB */
	{ 21, "2n" },			/* RT */
	{ DNS_SIG, "211444" "2n*" },
	{ 26, "2nn" },			/* PX */
	{ 30, "n*" },			/* NXT */
	{ DNS_SRV, "222n" },
	{ 35, "22cccn" },		/* NAPTR */
	{ DNS_DNAME, "n" },
};

const char *dns_rdata_layout(uint16_t type)
{
	if (type > DNS_DNAME)		/* nearly all that is not an address: SVCB, RRSIG, … */
		return NULL;
	for (size_t i = 0; i < sizeof dns_layouts / sizeof *dns_layouts; i++)
		if (dns_layouts[i].type == type)
			return dns_layouts[i].layout;
	return NULL;
}

bool dns_rdata_len_ok(uint16_t type, uint16_t len)
{
	switch (type) {
	case DNS_A:
		return len == 4;
	case DNS_AAAA:
		return len == 16;
	default:
		return true;
	}
}
