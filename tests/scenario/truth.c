/* truth.c - the storm's namespace. */
#include "truth.h"

#include "dns/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHAIN_MAX  12

static const char *const truth_zones[] = { "pub.example", "corp.example" };

void truth_init(struct truth *t, struct world *w)
{
	memset(t, 0, sizeof *t);
	t->world = w;
	for (unsigned k = 0; k < TRUTH_NAMES; k++) {
		struct truth_name *n = &t->names[k];
		uint64_t           dice = world_random(w, 100);

		n->kind = dice < 50 ? TRUTH_DATA : dice < 60 ? TRUTH_NOTHING : dice < 70 ? TRUTH_ABSENT : TRUTH_ALIAS;
		n->corp = world_random(w, 3) == 0;
		n->target = (unsigned)world_random(w, TRUTH_NAMES);
		n->ttl_s = (uint32_t)(world_random(w, 8) ? 1 + world_random(w, 300) : 0);
		n->addresses = 1 + (unsigned)world_random(w, 3);
		n->text_octets = 10 + (unsigned)world_random(w, 2) * (unsigned)world_random(w, 1500);
	}
}

void truth_name(struct truth *t, unsigned k, bool mixed, struct dns_name *out)
{
	char text[64];

	snprintf(text, sizeof text, "n%u.%s", k, truth_zones[t->names[k].corp]);
	if (dns_name_from_text(text, out) < 0)
		abort();
	for (unsigned i = 0; mixed && i < out->len; i++)
		if (out->octets[i] >= 'a' && world_random(t->world, 2))
			out->octets[i] = (uint8_t)(out->octets[i] - 32);
}

/* The index of a name; TRUTH_NAMES: none of ours. */
static unsigned truth_index(struct truth *t, const struct dns_name *name)
{
	struct dns_name ours;

	for (unsigned k = 0; k < TRUTH_NAMES; k++) {
		truth_name(t, k, false, &ours);
		if (dns_name_equal(name->octets, name->len, ours.octets, ours.len))
			return k;
	}
	return TRUTH_NAMES;
}

static enum truth_item truth_item_of(uint16_t type)
{
	return type == DNS_A ? TRUTH_A : type == DNS_AAAA ? TRUTH_AAAA : type == DNS_TXT ? TRUTH_TXT :
	       type == DNS_CNAME ? TRUTH_CNAME : TRUTH_DENIAL;
}

void truth_suspend(struct truth *t, uint64_t us)
{
	uint64_t now_ms = world_boot_ms(t->world);

	for (unsigned k = 0; k < TRUTH_NAMES; k++)
		for (unsigned i = 0; i < TRUTH_ITEMS; i++)
			if (t->names[k].said_ms[i] >= now_ms)
				t->names[k].said_ms[i] += us / 1000;
}

/* ---- saying it ---- */

struct telling {
	struct truth *truth;
	struct writer out;
	uint64_t      arrives_ms;
	unsigned      ancount, nscount;
};

static void telling_record(struct telling *w, const struct dns_name *owner, uint16_t type, uint32_t ttl_s,
                           const void *rdata, size_t len)
{
	writer_put(&w->out, owner->octets, owner->len);
	writer_u16(&w->out, type);
	writer_u16(&w->out, DNS_IN);
	writer_u32(&w->out, ttl_s);
	writer_u16(&w->out, (unsigned)len);
	writer_put(&w->out, rdata, len);
}

static void telling_note(struct telling *w, unsigned k, enum truth_item item)
{
	uint64_t *said_ms = &w->truth->names[k].said_ms[item];

	if (w->arrives_ms > *said_ms)
		*said_ms = w->arrives_ms;
}

static size_t truth_text(const struct truth_name *n, unsigned k, uint8_t *out)
{
	size_t left = n->text_octets, at = 0;

	while (left) {
		uint8_t part = (uint8_t)(left > 255 ? 255 : left);

		out[at] = part;
		memset(out + at + 1, 'a' + (int)(k % 26), part);
		at += part + 1u;
		left -= part;
	}
	return at;
}

static void truth_address(unsigned k, unsigned i, uint16_t type, uint8_t out[16])
{
	memset(out, 0, 16);
	out[0] = 10;
	out[1] = (uint8_t)k;
	out[2] = (uint8_t)i;
	out[3] = type == DNS_A ? 1 : 2;
}

static void telling_data(struct telling *w, unsigned k, const struct dns_name *owner, uint16_t type)
{
	const struct truth_name *n = &w->truth->names[k];
	uint8_t                  rdata[2048];

	for (unsigned i = 0; type != DNS_TXT && i < n->addresses; i++) {
		truth_address(k, i, type, rdata);
		telling_record(w, owner, type, n->ttl_s, rdata, type == DNS_A ? 4 : 16);
		w->ancount++;
	}
	if (type == DNS_TXT) {
		telling_record(w, owner, type, n->ttl_s, rdata, truth_text(n, k, rdata));
		w->ancount++;
	}
	telling_note(w, k, truth_item_of(type));
}

static void telling_denial(struct telling *w, unsigned k)
{
	struct dns_name zone;
	uint8_t         rdata[22] = { 0 };

	if (dns_name_from_text("example", &zone) < 0)
		abort();
	rdata[18] = (uint8_t)(w->truth->names[k].ttl_s >> 24);
	rdata[20] = (uint8_t)(w->truth->names[k].ttl_s >> 8);
	rdata[21] = (uint8_t)w->truth->names[k].ttl_s;
	telling_record(w, &zone, DNS_SOA, 3600, rdata, sizeof rdata);
	w->nscount++;
	telling_note(w, k, TRUTH_DENIAL);
}

/* The chain from k on; it may be left open at any alias, and lies about the other zone.  Gives the rcode. */
static unsigned telling_chain(struct telling *w, unsigned k, uint16_t type)
{
	struct truth *t = w->truth;
	bool          corp = t->names[k].corp;

	for (unsigned links = 0; links < 2 * CHAIN_MAX; links++) {
		struct dns_name          owner, target;
		const struct truth_name *n = &t->names[k];
		uint8_t                  forged[4] = { 6, 6, 6, 6 };

		truth_name(t, k, false, &owner);
		if (n->corp != corp) {
			telling_record(w, &owner, DNS_A, 300, forged, sizeof forged);
			w->ancount++;
			return DNS_NOERROR;
		}
		if (n->kind == TRUTH_ABSENT || n->kind == TRUTH_NOTHING) {
			telling_denial(w, k);
			return n->kind == TRUTH_ABSENT ? DNS_NXDOMAIN : DNS_NOERROR;
		}
		if (n->kind == TRUTH_DATA) {
			telling_data(w, k, &owner, type);
			return DNS_NOERROR;
		}
		truth_name(t, n->target, false, &target);
		telling_record(w, &owner, DNS_CNAME, n->ttl_s, target.octets, target.len);
		w->ancount++;
		telling_note(w, k, TRUTH_CNAME);
		k = n->target;
		if (world_random(t->world, 8) == 0)
			return DNS_NOERROR;
	}
	return DNS_NOERROR;
}

size_t truth_reply(struct truth *t, const struct sent *q, unsigned rcode, bool truncated, enum truth_lie lie,
                   uint64_t in_us, uint8_t out[PACKET_MAX])
{
	struct telling w = { .truth = t, .out = { .octets = out, .room = PACKET_MAX } };
	unsigned       k = truth_index(t, &q->packet.qname);
	unsigned       id = lie == TRUTH_WRONG_ID ? q->packet.id ^ (1u + (unsigned)world_random(t->world, 65535)) :
	                    q->packet.id;

	w.arrives_ms = lie == TRUTH_NO_LIE ? world_boot_ms(t->world) + in_us / 1000 + 1 : 0;
	writer_u16(&w.out, id);
	writer_u16(&w.out, 0);
	writer_u16(&w.out, 1);
	writer_u32(&w.out, 0);
	writer_u16(&w.out, 0);
	writer_put(&w.out, q->packet.qname.octets, q->packet.qname.len);
	if (lie == TRUTH_WRONG_NAME)
		out[PACKET_QUESTION + 2] ^= 1;
	writer_u16(&w.out, q->packet.qtype);
	writer_u16(&w.out, DNS_IN);
	if (!rcode && k < TRUTH_NAMES)
		rcode = telling_chain(&w, k, q->packet.qtype);
	out[2] = (uint8_t)((DNS_QR | DNS_RD | (truncated ? DNS_TC : 0)) >> 8);
	out[3] = (uint8_t)(DNS_RA | rcode);
	out[7] = (uint8_t)w.ancount;
	out[9] = (uint8_t)w.nscount;
	if (lie != TRUTH_NO_LIE)		/* it would be false if it were taken */
		for (size_t i = PACKET_QUESTION + q->packet.question_len; i + 4 <= w.out.len; i++)
			if (out[i] == 10 && out[i + 1] < TRUTH_NAMES)
				out[i] = 6;
	return lie == TRUTH_GARBLED ? world_random(t->world, w.out.len) : w.out.len;
}

/* ---- checking it ---- */

/* No TTL above what a server has said, less the time since.  links: aliases before it; an answer that is joined
 * from a cached one is younger by the part of a second that was cut off its age, and so is an alias by those of the
 * flights that its target waited for. */
static const char *truth_check_ttl(const struct truth *t, unsigned k, enum truth_item item, unsigned links,
                                   uint64_t ttl_s)
{
	const struct truth_name *n = &t->names[k];
	uint64_t                 now_ms = world_boot_ms(t->world), said_ms = n->said_ms[item];
	uint64_t                 age_s = now_ms > said_ms ? (now_ms - said_ms) / 1000 : 0;

	if (!said_ms)
		return "a client has heard what no server said";
	if (t->stale && (ttl_s == 1 || ttl_s == 3 || ttl_s == 30))
		return NULL;
	if (ttl_s > n->ttl_s)
		return "a TTL is above what the server said";
	if (item == TRUTH_CNAME)
		links += CHAIN_MAX;
	if (ttl_s && ttl_s + age_s > n->ttl_s + links)
		return "a TTL is above what is left of what the server said";
	return NULL;
}

static bool truth_is_alias(const struct packet *p, unsigned at, const struct dns_name *target)
{
	const struct record *r = &p->records[at];

	return at < p->record_count && r->type == DNS_CNAME && r->rdata_len == target->len &&
	       !memcmp(r->rdata, target->octets, target->len);
}

static const char *truth_check_data(struct truth *t, unsigned k, uint16_t type, const struct packet *p,
                                    unsigned at)
{
	const struct truth_name *n = &t->names[k];
	unsigned                 count = type == DNS_TXT ? 1 : n->addresses;
	uint8_t                  rdata[2048];

	if (p->record_count != at + count)
		return "there are too many records or too few";
	for (unsigned i = 0; i < count; i++) {
		const struct record *r = &p->records[at + i];
		size_t               len = type == DNS_A ? 4 : 16;
		const char          *wrong = truth_check_ttl(t, k, truth_item_of(type), at, r->ttl_s.min);

		if (type == DNS_TXT)
			len = truth_text(n, k, rdata);
		else
			truth_address(k, i, type, rdata);
		if (wrong)
			return wrong;
		if (r->type != type || r->rdata_len != len || memcmp(r->rdata, rdata, len))
			return "these data are not true";
	}
	return NULL;
}

const char *truth_check(struct truth *t, const struct packet *p)
{
	unsigned    k = truth_index(t, &p->qname), at = 0;
	const char *wrong;

	if (p->rcode == DNS_SERVFAIL || p->rcode == DNS_REFUSED || (p->flags & DNS_TC && !p->record_count))
		return p->record_count ? "a failure carries records" : NULL;
	for (; t->names[k].kind == TRUTH_ALIAS; at++) {
		struct dns_name target;

		if (at == CHAIN_MAX)
			return "a chain that is too long or has no end was answered";
		truth_name(t, t->names[k].target, false, &target);
		if (!truth_is_alias(p, at, &target))
			return "an alias is missing or wrong";
		wrong = truth_check_ttl(t, k, TRUTH_CNAME, at, p->records[at].ttl_s.min);
		if (wrong)
			return wrong;
		k = t->names[k].target;
	}
	if ((p->rcode == DNS_NXDOMAIN) != (t->names[k].kind == TRUTH_ABSENT))
		return "the rcode is not true";
	if (t->names[k].kind == TRUTH_DATA)
		return truth_check_data(t, k, p->qtype, p, at);
	if (p->record_count != at + 1 || p->records[at].type != DNS_SOA)
		return "a denial has just its SOA";
	return truth_check_ttl(t, k, TRUTH_DENIAL, at, p->records[at].ttl_s.min);
}
