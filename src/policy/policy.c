/* policy.c - local decisions.
 *
 * Routes are found through a table of suffixes: a name's suffixes are looked up
 * from the longest on, but only those whose length some route has.
 */
#include "policy/policy.h"

#include "base/addr.h"
#include "dns/name.h"
#include "dns/wire.h"

#include <stdlib.h>
#include <string.h>

#define IDENTITY_MAX 255	/* a character-string */

struct policy {
	const struct policy_conf *conf;		/* borrowed */
	uint64_t                  lengths[4];	/* a bit for each length of a suffix in the table */
	size_t                    slot_mask;
	uint32_t                  slots[];	/* route index + 1; 0: empty */
};

/* Suffixes come from the operator: no secret is needed here. */
static uint32_t policy_hash(const uint8_t *octets, size_t len)
{
	uint32_t h = 0x811c9dc5u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ octets[i]) * 0x01000193u;
	return h ^ h >> 16;
}

struct policy *policy_new(const struct policy_conf *conf)
{
	size_t         slots = 4;
	struct policy *p;

	while (slots < conf->route_count * 2)
		slots *= 2;
	p = calloc(1, sizeof *p + slots * sizeof *p->slots);
	if (!p)
		return NULL;
	p->conf = conf;
	p->slot_mask = slots - 1;
	for (size_t r = 1; r < conf->route_count; r++) {
		const struct route_conf *route = &conf->routes[r];
		size_t                   i = policy_hash(route->suffix, route->suffix_len) & p->slot_mask;

		while (p->slots[i])
			i = (i + 1) & p->slot_mask;
		p->slots[i] = (uint32_t)r + 1;
		p->lengths[route->suffix_len / 64] |= UINT64_C(1) << (route->suffix_len % 64);
	}
	return p;
}

void policy_free(struct policy *p)
{
	free(p);
}

bool policy_allows(const struct policy *p, const struct addr *from)
{
	for (size_t i = 0; i < p->conf->allow_count; i++)
		if (addr_prefix_match(&p->conf->allow[i], from))
			return true;
	return false;
}

static size_t policy_find_suffix(const struct policy *p, const uint8_t *suffix, size_t len)
{
	for (size_t i = policy_hash(suffix, len) & p->slot_mask; p->slots[i]; i = (i + 1) & p->slot_mask) {
		const struct route_conf *route = &p->conf->routes[p->slots[i] - 1];

		if (route->suffix_len == len && !memcmp(route->suffix, suffix, len))
			return p->slots[i] - 1;
	}
	return 0;
}

size_t policy_route(const struct policy *p, const uint8_t *qname, size_t len)
{
	size_t route;

	if (p->conf->route_count <= 1)
		return 0;
	for (size_t at = 0; len - at > 1; at += qname[at] + 1u)
		if (p->lengths[(len - at) / 64] >> ((len - at) % 64) & 1 &&
		    (route = policy_find_suffix(p, qname + at, len - at)))
			return route;
	return 0;
}

/* Names of class CH under which servers tell about themselves (RFC 4892). */
static const char *policy_identity(const struct policy *p, const struct dns_query *q)
{
	static const struct {
		const char *wire;
		uint8_t     len;
		bool        version;
	} names[] = {
		{ "\7version\4bind", 14, true },
		{ "\7version\6server", 16, true },
		{ "\10hostname\4bind", 15, false },
		{ "\2id\6server", 11, false },
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].len == q->qname_len && !memcmp(names[i].wire, q->qname, q->qname_len))
			return names[i].version ? p->conf->identity_version : p->conf->identity_hostname;
	return NULL;
}

/* One TXT record of class CH with TTL 0, owned by the question's name. */
static size_t policy_write_txt(uint8_t *out, const char *text)
{
	size_t n = strlen(text);

	if (n > IDENTITY_MAX)
		n = IDENTITY_MAX;
	wire_put_u16(out, 0xc000 | DNS_HEADER_LEN);
	wire_put_u16(out + 2, DNS_TXT);
	wire_put_u16(out + 4, DNS_CH);
	wire_put_u32(out + 6, 0);
	wire_put_u16(out + 10, (uint16_t)(n + 1));
	out[12] = (uint8_t)n;
	memcpy(out + 13, text, n);
	return 13 + n;
}

enum policy_verdict policy_decide(const struct policy *p, const struct dns_query *q, uint8_t *out,
                                  struct dns_reply_head *head, size_t *len)
{
	*head = (struct dns_reply_head){ .ede = DNS_EDE_NONE };
	*len = 0;
	if (q->qclass == DNS_CH) {
		const char *text = q->qtype == DNS_TXT ? policy_identity(p, q) : NULL;

		if (text) {
			head->flags = DNS_AA;
			head->ancount = 1;
			*len = policy_write_txt(out, text);
			return POLICY_ANSWERED;
		}
		head->ede = DNS_EDE_NOT_SUPPORTED;
		return POLICY_REFUSED;
	}
	if (!(q->flags & DNS_RD)) {		/* nobody looks into our cache without asking us to resolve */
		head->ede = DNS_EDE_NOT_AUTHORITATIVE;
		return POLICY_REFUSED;
	}
	return POLICY_FORWARD;
}
