/* draft.c - messages as a test wants them. */
#include "draft.h"

#include "oracle.h"
#include "unit.h"

#include <arpa/inet.h>

static void draft_put(struct draft *d, const void *octets, size_t len)
{
	if (len > sizeof d->octets - d->len)
		abort();	/* the test is wrong */
	if (len)
		memcpy(d->octets + d->len, octets, len);
	d->len += len;
	if (d->rdata_len_at) {
		size_t n = d->len - d->rdata_len_at - 2;

		d->octets[d->rdata_len_at] = (uint8_t)(n >> 8);
		d->octets[d->rdata_len_at + 1] = (uint8_t)n;
	}
}

void draft_octets(struct draft *d, const void *octets, size_t len)
{
	draft_put(d, octets, len);
}

void draft_u16(struct draft *d, uint16_t v)
{
	draft_put(d, (uint8_t[]){ (uint8_t)(v >> 8), (uint8_t)v }, 2);
}

void draft_u32(struct draft *d, uint32_t v)
{
	draft_u16(d, (uint16_t)(v >> 16));
	draft_u16(d, (uint16_t)v);
}

/* Does the name that stands at `at` say the same, letter case included? */
static bool draft_says(const struct draft *d, size_t at, const uint8_t *name)
{
	for (;;) {
		while (d->octets[at] >= 0xc0)
			at = (d->octets[at] & 0x3fu) << 8 | d->octets[at + 1];
		if (d->octets[at] != name[0] || memcmp(d->octets + at, name, 1u + name[0]))
			return false;
		if (!name[0])
			return true;
		at += 1u + name[0];
		name += 1u + name[0];
	}
}

/* Where this name stands already, if the dice say that it may be pointed at; 0: nowhere. */
static size_t draft_place(struct draft *d, const uint8_t *name)
{
	if (!d->squeeze || dice_one_in(d->squeeze, 3))
		return 0;
	for (unsigned i = 0; i < d->label_count; i++)
		if (draft_says(d, d->labels[i], name))
			return d->labels[i];
	return 0;
}

void draft_wire_name(struct draft *d, const uint8_t *name)
{
	unsigned known = d->label_count;	/* a name does not point at itself */

	for (;; name += 1u + name[0]) {
		size_t at = name[0] ? draft_place(d, name) : 0;

		if (at) {
			draft_u16(d, (uint16_t)(0xc000 | at));
			break;
		}
		if (name[0] && known < DRAFT_LABELS && d->len < 0x4000)
			d->labels[known++] = d->len;
		draft_put(d, name, 1u + name[0]);
		if (!name[0])
			break;
	}
	d->label_count = known;
}

void draft_name(struct draft *d, const char *text)
{
	struct dns_name n;

	if (dns_name_from_text(text, &n) < 0)
		abort();
	draft_wire_name(d, n.octets);
}

void draft_rdata(struct draft *d, uint16_t type, const uint8_t *rdata, size_t len)
{
	const uint8_t *end = rdata + len;

	for (const char *shape = oracle_shape(type); *shape; shape++) {
		size_t n = *shape == '.' ? (size_t)(end - rdata) : *shape == 's' ? rdata[0] + 1u :
		           *shape == 'C' || *shape == 'n' ? dns_name_len(rdata) : (size_t)(*shape - '0');

		if (*shape == 'C' || *shape == 'n')
			draft_wire_name(d, rdata);
		else
			draft_put(d, rdata, n);
		rdata += n;
	}
}

void draft_begin(struct draft *d, uint16_t id, uint16_t flags)
{
	d->len = d->rdata_len_at = 0;
	d->label_count = 0;
	draft_u16(d, id);
	draft_u16(d, flags);
	draft_put(d, (uint8_t[8]){ 0 }, 8);
}

void draft_count(struct draft *d, enum draft_section section, uint16_t n)
{
	d->octets[4 + 2 * section] = (uint8_t)(n >> 8);
	d->octets[5 + 2 * section] = (uint8_t)n;
}

static void draft_one_more(struct draft *d, enum draft_section section)
{
	draft_count(d, section, (uint16_t)((d->octets[4 + 2 * section] << 8 | d->octets[5 + 2 * section]) + 1));
	d->rdata_len_at = 0;
}

void draft_question(struct draft *d, const char *qname, uint16_t qtype, uint16_t qclass)
{
	draft_one_more(d, DRAFT_QUESTION);
	draft_name(d, qname);
	draft_u16(d, qtype);
	draft_u16(d, qclass);
}

void draft_record(struct draft *d, enum draft_section section, const char *owner, uint16_t type, uint16_t class,
                  uint32_t ttl)
{
	draft_one_more(d, section);
	draft_name(d, owner);
	draft_u16(d, type);
	draft_u16(d, class);
	draft_u32(d, ttl);
	draft_u16(d, 0);
	d->rdata_len_at = d->len - 2;
}

void draft_raw(struct draft *d, enum draft_section section, const char *owner, uint16_t type, uint32_t ttl,
               const void *rdata, size_t len)
{
	draft_record(d, section, owner, type, DNS_IN, ttl);
	draft_octets(d, rdata, len);
}

static void draft_address(struct draft *d, enum draft_section section, const char *owner, uint32_t ttl,
                          const char *address, int family)
{
	uint8_t octets[16];

	if (inet_pton(family, address, octets) != 1)
		abort();
	draft_raw(d, section, owner, family == AF_INET ? DNS_A : DNS_AAAA, ttl, octets, family == AF_INET ? 4 : 16);
}

void draft_a(struct draft *d, enum draft_section section, const char *owner, uint32_t ttl, const char *address)
{
	draft_address(d, section, owner, ttl, address, AF_INET);
}

void draft_aaaa(struct draft *d, enum draft_section section, const char *owner, uint32_t ttl, const char *address)
{
	draft_address(d, section, owner, ttl, address, AF_INET6);
}

void draft_to(struct draft *d, enum draft_section section, const char *owner, uint16_t type, uint32_t ttl,
              const char *target)
{
	draft_record(d, section, owner, type, DNS_IN, ttl);
	draft_name(d, target);
}

void draft_mx(struct draft *d, enum draft_section section, const char *owner, uint32_t ttl, uint16_t preference,
              const char *exchange)
{
	draft_record(d, section, owner, DNS_MX, DNS_IN, ttl);
	draft_u16(d, preference);
	draft_name(d, exchange);
}

void draft_soa(struct draft *d, enum draft_section section, const char *owner, uint32_t ttl, uint32_t minimum)
{
	draft_record(d, section, owner, DNS_SOA, DNS_IN, ttl);
	draft_name(d, "ns.example.");
	draft_name(d, "admin.example.");
	for (uint32_t i = 1; i < 5; i++)
		draft_u32(d, i);
	draft_u32(d, minimum);
}

void draft_rrsig(struct draft *d, enum draft_section section, const char *owner, uint32_t ttl, uint16_t covered,
                 uint8_t mark, size_t len)
{
	uint8_t signature[512] = { mark };

	if (len > sizeof signature)
		abort();
	draft_record(d, section, owner, DNS_RRSIG, DNS_IN, ttl);
	draft_u16(d, covered);
	draft_octets(d, (uint8_t[]){ 13, 2 }, 2);
	draft_u32(d, ttl);
	draft_u32(d, 2000000000);
	draft_u32(d, 1000000000);
	draft_u16(d, 1234);
	draft_name(d, "example.");
	draft_octets(d, signature, len);
}

void draft_opt(struct draft *d, uint16_t size, uint32_t ttl, const void *options, size_t len)
{
	draft_record(d, DRAFT_ADDITIONAL, ".", DNS_OPT, size, ttl);
	draft_octets(d, options, len);
}
