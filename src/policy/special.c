/* special.c - special-use names.
 *
 * Nearly all names end otherwise, so the last label is looked at first, and the
 * table only for the few that may be in it.
 */
#include "policy/special.h"

#include "dns/name.h"
#include "dns/wire.h"
#include "policy/suffixes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPECIAL_TTL_S   10800	/* RFC 6303 s. 3 */
#define SPECIAL_ZONES   160	/* room for the table below with its ranges */
#define SPECIAL_POOL    4096	/* octets for their wire names */

enum special_kind {
	SPECIAL_ABSENT,		/* the name and everything below does not exist */
	SPECIAL_EMPTY,		/* a zone with SOA and NS at its top and nothing below (RFC 6303 s. 3) */
	SPECIAL_EMPTY_DS,	/* the same, but DS at the top is the parent's to answer (RFC 8375 s. 4) */
	SPECIAL_NO_DATA,	/* every name exists, without data (RFC 9462 s. 6.4) */
	SPECIAL_LOCALHOST,	/* 127.0.0.1 and ::1, and below it too (RFC 6761 s. 6.3) */
	SPECIAL_LOOPBACK,	/* EMPTY, with a PTR to localhost somewhere in it */
};

struct special_row {
	const char       *zone;		/* a text with %d or %x where first to last is filled in */
	enum special_kind kind;
	int               first, last;
};

#define IP6_ZEROES "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."

static const struct special_row special_rows[] = {
	{ "localhost.", SPECIAL_LOCALHOST, 0, 0 },
	{ "invalid.", SPECIAL_ABSENT, 0, 0 },		/* RFC 6761 s. 6.4 */
	{ "test.", SPECIAL_ABSENT, 0, 0 },		/* s. 6.2 */
	{ "local.", SPECIAL_ABSENT, 0, 0 },		/* multicast DNS is not ours (RFC 6762 s. 22.1) */
	{ "onion.", SPECIAL_ABSENT, 0, 0 },		/* RFC 7686 s. 2 */
	{ "6tisch.arpa.", SPECIAL_ABSENT, 0, 0 },	/* RFC 9031 s. 11 */
	{ "eap-noob.arpa.", SPECIAL_ABSENT, 0, 0 },	/* RFC 9140 s. 5.6 */
	{ "home.arpa.", SPECIAL_EMPTY_DS, 0, 0 },	/* RFC 8375 */
	{ "service.arpa.", SPECIAL_EMPTY, 0, 0 },	/* RFC 9665 s. 8.4 */
	{ "resolver.arpa.", SPECIAL_NO_DATA, 0, 0 },	/* RFC 9462 */
	/* private, shared, loopback, link-local, test and unique-local addresses (RFC 6303 s. 4, RFC 7793) */
	{ "10.in-addr.arpa.", SPECIAL_EMPTY, 0, 0 },
	{ "%d.172.in-addr.arpa.", SPECIAL_EMPTY, 16, 31 },
	{ "168.192.in-addr.arpa.", SPECIAL_EMPTY, 0, 0 },
	{ "%d.100.in-addr.arpa.", SPECIAL_EMPTY, 64, 127 },
	{ "0.in-addr.arpa.", SPECIAL_EMPTY, 0, 0 },
	{ "127.in-addr.arpa.", SPECIAL_LOOPBACK, 0, 0 },
	{ "254.169.in-addr.arpa.", SPECIAL_EMPTY, 0, 0 },
	{ "2.0.192.in-addr.arpa.", SPECIAL_EMPTY, 0, 0 },
	{ "100.51.198.in-addr.arpa.", SPECIAL_EMPTY, 0, 0 },
	{ "113.0.203.in-addr.arpa.", SPECIAL_EMPTY, 0, 0 },
	{ "255.255.255.255.in-addr.arpa.", SPECIAL_EMPTY, 0, 0 },
	{ "0." IP6_ZEROES "ip6.arpa.", SPECIAL_EMPTY, 0, 0 },
	{ "1." IP6_ZEROES "ip6.arpa.", SPECIAL_LOOPBACK, 0, 0 },
	{ "d.f.ip6.arpa.", SPECIAL_EMPTY, 0, 0 },
	{ "%x.e.f.ip6.arpa.", SPECIAL_EMPTY, 8, 11 },
	{ "8.b.d.0.1.0.0.2.ip6.arpa.", SPECIAL_EMPTY, 0, 0 },
};

/* The names that have a PTR to localhost (RFC 6761 s. 6.3). */
static const char *const special_loopback_ptr[] = {
	"1.0.0.127.in-addr.arpa.",
	"1." IP6_ZEROES "ip6.arpa.",
};

struct special {
	struct suffixes *zones;		/* values: enum special_kind */
	struct dns_name  ptr[2];
	size_t           used;
	uint8_t          names[SPECIAL_POOL];	/* the zones' wire forms */
};

static void special_add(struct special *s, const char *text, enum special_kind kind)
{
	struct dns_name name;

	if (dns_name_from_text(text, &name) < 0 || s->used + name.len > sizeof s->names)
		abort();	/* the table above is wrong */
	memcpy(s->names + s->used, name.octets, name.len);
	suffixes_add(s->zones, s->names + s->used, name.len, kind);
	s->used += name.len;
}

struct special *special_new(void)
{
	struct special *s = calloc(1, sizeof *s);

	if (!s || !(s->zones = suffixes_new(SPECIAL_ZONES))) {
		free(s);
		return NULL;
	}
	for (size_t i = 0; i < sizeof special_rows / sizeof *special_rows; i++) {
		const struct special_row *row = &special_rows[i];

		for (int n = row->first; n <= row->last; n++) {
			const char *fill = strchr(row->zone, '%');
			char        text[128];

			if (!fill)
				snprintf(text, sizeof text, "%s", row->zone);
			else
				snprintf(text, sizeof text, fill[1] == 'x' ? "%x%s" : "%d%s", n, fill + 2);
			special_add(s, text, row->kind);
		}
	}
	for (unsigned i = 0; i < 2; i++)
		if (dns_name_from_text(special_loopback_ptr[i], &s->ptr[i]) < 0)
			abort();
	return s;
}

void special_free(struct special *s)
{
	if (!s)
		return;
	suffixes_free(s->zones);
	free(s);
}

/* ---- writing ---- */

/* A record up to its RDATA, owned by what begins at offset at of the question's name. */
static uint8_t *special_put_record(uint8_t *out, size_t at, uint16_t type, uint16_t rdata_len)
{
	wire_put_u16(out, (uint16_t)(0xc000 | (DNS_HEADER_LEN + at)));
	wire_put_u16(out + 2, type);
	wire_put_u16(out + 4, DNS_IN);
	wire_put_u32(out + 6, SPECIAL_TTL_S);
	wire_put_u16(out + 10, rdata_len);
	return out + 12;
}

/* zone SOA zone nobody.invalid. 1 3600 1200 604800 10800 (RFC 6303 s. 3) */
static size_t special_put_soa(uint8_t *out, size_t zone_at)
{
	static const uint8_t  nobody[] = "\6nobody\7invalid";
	static const uint32_t numbers[] = { 1, 3600, 1200, 604800, SPECIAL_TTL_S };
	uint8_t              *p = special_put_record(out, zone_at, DNS_SOA, 2 + sizeof nobody + 20);

	wire_put_u16(p, (uint16_t)(0xc000 | (DNS_HEADER_LEN + zone_at)));
	memcpy(p + 2, nobody, sizeof nobody);
	p += 2 + sizeof nobody;
	for (unsigned i = 0; i < 5; i++, p += 4)
		wire_put_u32(p, numbers[i]);
	return (size_t)(p - out);
}

static size_t special_put_ns(uint8_t *out, size_t zone_at)
{
	uint8_t *p = special_put_record(out, zone_at, DNS_NS, 2);

	wire_put_u16(p, (uint16_t)(0xc000 | (DNS_HEADER_LEN + zone_at)));
	return (size_t)(p + 2 - out);
}

static size_t special_put_data(uint8_t *out, uint16_t type, const void *rdata, uint16_t len)
{
	memcpy(special_put_record(out, 0, type, len), rdata, len);
	return 12u + len;
}

/* ---- deciding ---- */

static size_t special_localhost(const struct dns_query *q, uint8_t *out)
{
	static const uint8_t v4[4] = { 127, 0, 0, 1 }, v6[16] = { [15] = 1 };

	if (q->qtype == DNS_A)
		return special_put_data(out, DNS_A, v4, sizeof v4);
	if (q->qtype == DNS_AAAA)
		return special_put_data(out, DNS_AAAA, v6, sizeof v6);
	return 0;
}

static bool special_is_loopback_ptr(const struct special *s, const struct dns_query *q)
{
	for (unsigned i = 0; i < 2; i++)
		if (dns_name_equal(q->qname, q->qname_len, s->ptr[i].octets, s->ptr[i].len))
			return true;
	return false;
}

/* Names between a zone's top and such a PTR exist, without data (RFC 8020 s. 3). */
static bool special_leads_to_ptr(const struct special *s, const struct dns_query *q)
{
	for (unsigned i = 0; i < 2; i++)
		if (dns_name_below(s->ptr[i].octets, s->ptr[i].len, q->qname, q->qname_len))
			return true;
	return false;
}

/* What stands at the top of an empty zone. */
static size_t special_apex(const struct dns_query *q, uint8_t *out)
{
	if (q->qtype == DNS_SOA)
		return special_put_soa(out, 0);
	return q->qtype == DNS_NS ? special_put_ns(out, 0) : 0;
}

static void special_negative(struct dns_reply_head *head, uint16_t rcode, size_t zone_at, uint8_t *out,
                             size_t *len)
{
	head->rcode = rcode;
	head->nscount = 1;
	*len = special_put_soa(out, zone_at);
}

/* Could the table hold it, by its last label? */
static bool special_may_be(const struct dns_query *q)
{
	static const char *const last[] = { "\4arpa", "\5local", "\4test", "\5onion", "\7invalid", "\11localhost" };
	size_t                   at = 0;

	if (q->qname_len == 1)
		return false;
	while (q->qname[at + q->qname[at] + 1u])
		at += q->qname[at] + 1u;
	for (unsigned i = 0; i < sizeof last / sizeof *last; i++)
		if (q->qname[at] == last[i][0] && !memcmp(q->qname + at, last[i], last[i][0] + 1u))
			return true;
	return false;
}

bool special_answer(const struct special *s, const struct dns_query *q, uint8_t *out,
                    struct dns_reply_head *head, size_t *len)
{
	size_t at, kind;
	bool   apex;

	if (!special_may_be(q))
		return false;
	kind = suffixes_find(s->zones, q->qname, q->qname_len, &at);
	if (kind == SUFFIXES_NONE)
		return false;
	apex = at == 0;
	if (kind == SPECIAL_EMPTY_DS && apex && q->qtype == DNS_DS)
		return false;
	*head = (struct dns_reply_head){ .flags = DNS_AA, .ede = DNS_EDE_NONE, .ancount = 1 };
	*len = 0;
	if (kind == SPECIAL_LOCALHOST)
		*len = special_localhost(q, out);
	else if (kind == SPECIAL_LOOPBACK && q->qtype == DNS_PTR && special_is_loopback_ptr(s, q))
		*len = special_put_data(out, DNS_PTR, "\11localhost", 11);
	else if (apex && (kind == SPECIAL_EMPTY || kind == SPECIAL_EMPTY_DS || kind == SPECIAL_LOOPBACK))
		*len = special_apex(q, out);
	if (*len)
		return true;
	head->ancount = 0;
	if (kind == SPECIAL_ABSENT ||
	    (!apex && kind != SPECIAL_LOCALHOST && kind != SPECIAL_NO_DATA && !special_leads_to_ptr(s, q)))
		special_negative(head, DNS_NXDOMAIN, at, out, len);
	else
		special_negative(head, DNS_NOERROR, at, out, len);
	return true;
}
