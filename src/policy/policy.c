/* policy.c - local decisions. */
#include "policy/policy.h"

#include "base/addr.h"
#include "dns/name.h"
#include "dns/wire.h"
#include "policy/special.h"
#include "policy/suffixes.h"

#include <stdlib.h>
#include <string.h>

#define IDENTITY_MAX 255	/* a character-string */
#define ANY_TTL_S    3600	/* of the record that stands for an answer to ANY (RFC 8482 s. 4.2) */

struct policy {
	const struct policy_conf *conf;		/* borrowed */
	struct suffixes          *routes;	/* values: route indices; NULL: just the root's */
	struct special           *special;	/* NULL: switched off */
};

struct policy *policy_new(const struct policy_conf *conf)
{
	struct policy *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->conf = conf;
	if (conf->route_count > 1) {
		p->routes = suffixes_new(conf->route_count);
		if (!p->routes)
			goto fail;
		for (size_t r = 1; r < conf->route_count; r++)
			suffixes_add(p->routes, conf->routes[r].suffix, conf->routes[r].suffix_len, r);
	}
	if (conf->local_names && !(p->special = special_new()))
		goto fail;
	return p;
fail:
	policy_free(p);
	return NULL;
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	suffixes_free(p->routes);
	special_free(p->special);
	free(p);
}

bool policy_allows(const struct policy *p, const struct addr *from)
{
	for (size_t i = 0; i < p->conf->allow_count; i++)
		if (addr_prefix_match(&p->conf->allow[i], from))
			return true;
	return false;
}

size_t policy_route(const struct policy *p, const uint8_t *qname, size_t len)
{
	size_t at, route = p->routes ? suffixes_find(p->routes, qname, len, &at) : SUFFIXES_NONE;

	return route == SUFFIXES_NONE ? 0 : route;
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

/* A question for ANY is answered with one made-up record: nobody needs all, and many use it to make others
 * send much (RFC 8482).  Who wants signed data asks by stream, and is sent on. */
static enum policy_verdict policy_any(const struct dns_query *q, bool stream, uint8_t *out,
                                      struct dns_reply_head *head, size_t *len)
{
	static const uint8_t hinfo[] = { 7, 'R', 'F', 'C', '8', '4', '8', '2', 0 };

	if (q->dnssec_ok && stream)
		return POLICY_FORWARD;
	if (q->dnssec_ok) {
		head->flags = DNS_TC;
		return POLICY_ANSWERED;
	}
	wire_put_u16(out, 0xc000 | DNS_HEADER_LEN);
	wire_put_u16(out + 2, DNS_HINFO);
	wire_put_u16(out + 4, DNS_IN);
	wire_put_u32(out + 6, ANY_TTL_S);
	wire_put_u16(out + 10, sizeof hinfo);
	memcpy(out + 12, hinfo, sizeof hinfo);
	*len = 12 + sizeof hinfo;
	head->ancount = 1;
	return POLICY_ANSWERED;
}

static enum policy_verdict policy_chaos(const struct policy *p, const struct dns_query *q, uint8_t *out,
                                        struct dns_reply_head *head, size_t *len)
{
	const char *text = q->qtype == DNS_TXT ? policy_identity(p, q) : NULL;

	if (!text) {
		head->ede = DNS_EDE_NOT_SUPPORTED;
		return POLICY_REFUSED;
	}
	head->flags = DNS_AA;
	head->ancount = 1;
	*len = policy_write_txt(out, text);
	return POLICY_ANSWERED;
}

enum policy_verdict policy_decide(const struct policy *p, const struct dns_query *q, size_t route, bool stream,
                                  uint8_t *out, struct dns_reply_head *head, size_t *len)
{
	*head = (struct dns_reply_head){ .ede = DNS_EDE_NONE };
	*len = 0;
	if (q->qclass == DNS_CH)
		return policy_chaos(p, q, out, head, len);
	/* A route is the operator's word on whose name it is. */
	if (p->special && !route && special_answer(p->special, q, out, head, len))
		return POLICY_ANSWERED;
	if (!(q->flags & DNS_RD)) {	/* nobody looks into our cache without asking us to resolve */
		head->ede = DNS_EDE_NOT_AUTHORITATIVE;
		return POLICY_REFUSED;
	}
	if (q->qtype == DNS_ANY)
		return policy_any(q, stream, out, head, len);
	return POLICY_FORWARD;
}
