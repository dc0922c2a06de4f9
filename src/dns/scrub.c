/* scrub.c - choosing from an upstream's reply what answers the question.
 *
 * Three steps: read every record into a row (anything that does not parse makes
 * the whole reply malformed); pick rows, in the order in which they go out;
 * write the picked rows into a new body.  A join runs the last two over the
 * rows of two messages.
 *
 * Always true: work is linear in the message.  The chain has at most
 * DNS_CHAIN_MAX links, proofs and additional records are bounded in number, and
 * doubles are found through a table.
 */
#include "dns/scrub.h"

#include "dns/cursor.h"
#include "dns/record.h"
#include "dns/wire.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_MAX       (DNS_MESSAGE_MAX / 11)	/* a record has 11 octets at least */
#define PROOFS_MAX     48			/* authority records worth keeping */
#define EXTRAS_MAX     48			/* additional records worth keeping */
#define ANY_TYPES_MAX  48
#define SEEN_SLOTS     16384			/* over twice ROWS_MAX */

struct dns_scrub {
	struct record   rows[ROWS_MAX * 2];
	unsigned        row_count;
	uint16_t        picked[ROWS_MAX * 2];	/* rows in the order in which they go out */
	unsigned        picked_count, answer_count, authority_count;
	uint16_t        seen[SEEN_SLOTS];	/* rows by a hash of their data, 0: none, else row + 1 */
	uint16_t        ttl_at[ROWS_MAX * 2];
	struct compress compress;
	uint8_t         reply[DNS_MESSAGE_MAX + RECORD_SPARE];
	uint8_t         joined[2][DNS_MESSAGE_MAX + 1];
};

/* What is said about the reply while rows are picked. */
struct pick {
	struct dns_scrub             *s;
	const struct dns_scrub_query *q;
	struct dns_name               at;	/* where the alias chain has come to */
	uint32_t                      at_hash;
	unsigned                      links;
	unsigned                      rcode;
};

struct dns_scrub *dns_scrub_new(void)
{
	/* large and mostly untouched: pages become real as messages need them */
	return malloc(sizeof(struct dns_scrub));
}

void dns_scrub_free(struct dns_scrub *s)
{
	free(s);
}

/* ---- reading ---- */

/* Adds the rows of a whole message; octets behind the last record do not matter. */
static bool scrub_read(struct dns_scrub *s, const uint8_t *msg, size_t len)
{
	struct cursor c = cursor_of(msg, len, 4);
	unsigned      qdcount = cursor_u16(&c), counts[3];

	for (unsigned i = 0; i < 3; i++)
		counts[i] = cursor_u16(&c);
	for (unsigned i = 0; i < qdcount && !c.bad; i++) {
		cursor_skip_name(&c);
		cursor_skip(&c, 4);
	}
	for (unsigned section = 0; section < 3; section++)
		for (unsigned i = 0; i < counts[section]; i++)
			switch (record_read(&s->rows[s->row_count], &c, section)) {
			case RECORD_READ:
				s->row_count++;
				break;
			case RECORD_SKIPPED:
				break;
			case RECORD_MALFORMED:
				return false;
			}
	return !c.bad;
}

/* ---- picking ---- */

/* Is this row's data among those picked from `from` on?  Few are compared one by one; for many the
 * table of seen data answers. */
static bool scrub_is_double(struct dns_scrub *s, unsigned row, unsigned from)
{
	const struct record *r = &s->rows[row];
	unsigned          have = s->picked_count - from, slot;

	if (have < 16) {
		for (unsigned i = from; i < s->picked_count; i++)
			if (record_same(&s->rows[s->picked[i]], r))
				return true;
		return false;
	}
	if (have == 16) {
		memset(s->seen, 0, sizeof s->seen);
		for (unsigned i = from; i < s->picked_count; i++) {
			const struct record *p = &s->rows[s->picked[i]];

			slot = record_rdata_hash(p) % SEEN_SLOTS;
			while (s->seen[slot])
				slot = (slot + 1) % SEEN_SLOTS;
			s->seen[slot] = (uint16_t)(s->picked[i] + 1);
		}
	}
	/* runs of used slots longer than this are made on purpose; such doubles may stay */
	slot = record_rdata_hash(r) % SEEN_SLOTS;
	for (unsigned tries = 0; s->seen[slot] && tries < 64; tries++) {
		if (record_same(&s->rows[s->seen[slot] - 1], r))
			return true;
		slot = (slot + 1) % SEEN_SLOTS;
	}
	if (!s->seen[slot])
		s->seen[slot] = (uint16_t)(row + 1);
	return false;
}

/* A row is picked once for each link of the chain at most; loops end before they fill the list. */
static void scrub_pick_row(struct dns_scrub *s, unsigned row, unsigned from)
{
	if (s->picked_count < sizeof s->picked / sizeof *s->picked && !scrub_is_double(s, row, from))
		s->picked[s->picked_count++] = (uint16_t)row;
}

/* Picks the RRset (name, type), or the signatures over it, from one section; doubles go, and all get
 * the least TTL (RFC 2181 s. 5.2).  Gives how many were picked. */
static unsigned scrub_pick_set(struct pick *p, enum section section, const struct dns_name *name,
                               uint32_t hash, uint16_t type, uint16_t covered)
{
	struct dns_scrub *s = p->s;
	unsigned          from = s->picked_count;
	uint32_t          ttl = UINT32_MAX;

	for (unsigned i = 0; i < s->row_count; i++) {
		struct record *r = &s->rows[i];

		if (r->section != section || r->type != type || r->covered != covered ||
		    !record_owned_by(r, name, hash))
			continue;
		if (r->ttl_s < ttl)
			ttl = r->ttl_s;
		scrub_pick_row(s, i, from);
	}
	for (unsigned i = from; i < s->picked_count; i++)
		s->rows[s->picked[i]].ttl_s = ttl;
	return s->picked_count - from;
}

/* The RRset at the end of the chain and, with DO, what signs it. */
static unsigned scrub_pick_data(struct pick *p, uint16_t type)
{
	unsigned from = p->s->picked_count, n;

	if (type == DNS_RRSIG) {		/* asked for: all of them, whatever they cover */
		for (unsigned i = 0; i < p->s->row_count; i++) {
			const struct record *r = &p->s->rows[i];

			if (r->section == SECTION_ANSWER && r->type == DNS_RRSIG &&
			    record_owned_by(r, &p->at, p->at_hash))
				scrub_pick_row(p->s, i, from);
		}
		return p->s->picked_count - from;
	}
	n = scrub_pick_set(p, SECTION_ANSWER, &p->at, p->at_hash, type, 0);
	if (n && p->q->dnssec_ok)
		scrub_pick_set(p, SECTION_ANSWER, &p->at, p->at_hash, DNS_RRSIG, type);
	return n;
}

/* A question for ANY that was sent on: each type once, in the order of its first record. */
static unsigned scrub_pick_any(struct pick *p)
{
	uint16_t types[ANY_TYPES_MAX];
	unsigned count = 0, n = 0;

	for (unsigned i = 0; i < p->s->row_count && count < ANY_TYPES_MAX; i++) {
		const struct record *r = &p->s->rows[i];
		bool              had = false;

		if (r->section != SECTION_ANSWER || !record_owned_by(r, &p->at, p->at_hash))
			continue;
		for (unsigned k = 0; k < count; k++)
			had |= types[k] == r->type;
		if (had || r->type == DNS_RRSIG)
			continue;
		types[count++] = r->type;
		n += scrub_pick_data(p, r->type);
	}
	return n;
}

/* A DNAME above the chain's name; NULL: none. */
static const struct record *scrub_find_dname(struct pick *p, struct dns_name *owner)
{
	for (unsigned i = 0; i < p->s->row_count; i++) {
		const struct record *r = &p->s->rows[i];

		if (r->section != SECTION_ANSWER || r->type != DNS_DNAME)
			continue;
		record_owner(r, owner);
		if (owner->len < p->at.len &&
		    dns_name_below(p->at.octets, p->at.len, owner->octets, owner->len))
			return r;
	}
	return NULL;
}

/* Does target follow from the DNAME for the chain's name (RFC 6672 s. 2.2)? */
static bool scrub_follows_from(const struct pick *p, const struct record *dname, const struct dns_name *owner,
                               const struct dns_name *target)
{
	size_t          prefix = (size_t)p->at.len - owner->len;
	struct dns_name to;

	record_rdata_name(dname, &to);
	return target->len == prefix + to.len &&
	       dns_name_equal(target->octets, prefix, p->at.octets, prefix) &&
	       dns_name_equal(target->octets + prefix, to.len, to.octets, to.len);
}

static bool scrub_is_picked(const struct dns_scrub *s, unsigned row)
{
	for (unsigned i = 0; i < s->picked_count; i++)
		if (s->picked[i] == row)
			return true;
	return false;
}

enum chain_step { CHAIN_END, CHAIN_ALIAS, CHAIN_BROKEN };

/* Follows one alias from the chain's name, picking its records (RFC 1034 s. 3.6.2, RFC 6672). */
static enum chain_step scrub_follow(struct pick *p, struct dns_name *target)
{
	struct dns_scrub *s = p->s;
	struct dns_name   owner;
	const struct record *dname = scrub_find_dname(p, &owner);
	unsigned          n, first;

	if (dname && !scrub_is_picked(s, (unsigned)(dname - s->rows))) {	/* it may serve several links */
		uint32_t hash = dname->owner_hash;

		if (scrub_pick_set(p, SECTION_ANSWER, &owner, hash, DNS_DNAME, 0) != 1)
			return CHAIN_BROKEN;
		if (p->q->dnssec_ok)
			scrub_pick_set(p, SECTION_ANSWER, &owner, hash, DNS_RRSIG, DNS_DNAME);
	}
	first = s->picked_count;
	n = scrub_pick_data(p, DNS_CNAME);
	if (!n)		/* a DNAME comes with its CNAME, unless the target would be too long */
		return dname && p->rcode != DNS_YXDOMAIN ? CHAIN_BROKEN : CHAIN_END;
	if (s->picked_count - first > 1 && s->rows[s->picked[first + 1]].type == DNS_CNAME)
		return CHAIN_BROKEN;		/* two aliases for one name */
	record_rdata_name(&s->rows[s->picked[first]], target);
	if (dname && !scrub_follows_from(p, dname, &owner, target))
		return CHAIN_BROKEN;
	return CHAIN_ALIAS;
}

static void scrub_move_to(struct pick *p, const struct dns_name *name)
{
	p->at = *name;
	p->at_hash = record_hash(name->octets, name->len, true);
}

static bool scrub_in_route(const struct dns_scrub_query *q, const struct dns_name *name)
{
	struct dns_name lower = *name;

	if (!q->in_route)
		return true;
	dns_name_lower(lower.octets, lower.len);
	return q->in_route(q->arg, lower.octets, lower.len);
}

/* From qname along the aliases.  *found: the asked RRset stands at the end. */
static enum dns_scrub_verdict scrub_pick_chain(struct pick *p, bool *found, struct dns_name *target)
{
	for (;; p->links++) {
		*found = p->q->qtype == DNS_ANY ? scrub_pick_any(p) > 0 : scrub_pick_data(p, p->q->qtype) > 0;
		if (*found)
			return DNS_SCRUB_ANSWER;
		switch (scrub_follow(p, target)) {
		case CHAIN_END:
			return DNS_SCRUB_ANSWER;
		case CHAIN_BROKEN:
			return DNS_SCRUB_MALFORMED;
		case CHAIN_ALIAS:
			break;
		}
		if (p->links == DNS_CHAIN_MAX)
			return DNS_SCRUB_LOOP;
		if (!scrub_in_route(p->q, target)) {
			p->links++;
			return DNS_SCRUB_ALIAS_OUT;
		}
		scrub_move_to(p, target);
	}
}

static uint32_t scrub_capped(uint32_t ttl_s, uint32_t max_s)
{
	return ttl_s < max_s ? ttl_s : max_s;
}

/* The zone's SOA for a negative answer: just one, at or above the denied name (RFC 2308 s. 5).  It gets the
 * time for which the answer holds as its TTL (s. 6).  Gives whether the answer may be kept. */
static bool scrub_pick_soa(struct pick *p)
{
	struct dns_scrub *s = p->s;
	struct record       *soa = NULL;
	struct dns_name   owner;
	uint32_t          minimum, life;
	unsigned          from = s->picked_count, count = 0;

	for (unsigned i = 0; i < s->row_count; i++)
		if (s->rows[i].section == SECTION_AUTHORITY && s->rows[i].type == DNS_SOA) {
			soa = &s->rows[i];
			count++;
		}
	if (count != 1)
		return false;
	record_owner(soa, &owner);
	if (!dns_name_below(p->at.octets, p->at.len, owner.octets, owner.len))
		return false;
	minimum = wire_u32(soa->msg + soa->rdata_at + soa->rdata_len - 4);
	life = scrub_capped(scrub_capped(soa->ttl_s, minimum), p->q->ttl.negative_max_s);
	scrub_pick_set(p, SECTION_AUTHORITY, &owner, soa->owner_hash, DNS_SOA, 0);
	if (p->q->dnssec_ok)
		scrub_pick_set(p, SECTION_AUTHORITY, &owner, soa->owner_hash, DNS_RRSIG, DNS_SOA);
	for (unsigned i = from; i < s->picked_count; i++)
		s->rows[s->picked[i]].ttl_s = scrub_capped(s->rows[s->picked[i]].ttl_s, life);
	return life > 0;
}

/* With DO: the NSEC and NSEC3 records and what signs them (RFC 4035 s. 3.1.3). */
static void scrub_pick_proofs(struct pick *p)
{
	struct dns_scrub *s = p->s;
	unsigned          from = s->picked_count;

	for (unsigned i = 0; i < s->row_count && s->picked_count - from < PROOFS_MAX; i++) {
		const struct record *r = &s->rows[i];
		uint16_t          what = r->type == DNS_RRSIG ? r->covered : r->type;

		if (r->section == SECTION_AUTHORITY && (what == DNS_NSEC || what == DNS_NSEC3))
			scrub_pick_row(s, i, from);
	}
}

/* Addresses that the server added: passed along with this answer only. */
static void scrub_pick_extras(struct pick *p)
{
	struct dns_scrub *s = p->s;
	unsigned          from = s->picked_count;

	for (unsigned i = 0; i < s->row_count && s->picked_count - from < EXTRAS_MAX; i++) {
		struct record     *r = &s->rows[i];
		struct dns_name owner;
		bool            had = false;

		if (r->section != SECTION_ADDITIONAL || (r->type != DNS_A && r->type != DNS_AAAA))
			continue;
		record_owner(r, &owner);
		if (!scrub_in_route(p->q, &owner))
			continue;
		for (unsigned k = from; k < s->picked_count; k++) {	/* at most EXTRAS_MAX */
			struct record *o = &s->rows[s->picked[k]];

			if (o->type != r->type || !record_owned_by(o, &owner, r->owner_hash))
				continue;
			o->ttl_s = r->ttl_s = scrub_capped(o->ttl_s, r->ttl_s);
			had |= record_same(o, r);
		}
		if (!had)
			scrub_pick_row(s, i, s->picked_count);
	}
}

/* ---- writing ---- */

/* Writes all picked rows.  False: what is required does not fit into a message. */
static bool scrub_write(struct dns_scrub *s, const struct dns_scrub_query *q, struct dns_answer *out)
{
	size_t   at = dns_reply_head_len(&(struct dns_query){ .question_len = (uint16_t)(q->qname_len + 4) });
	size_t   body_at = at;
	unsigned required = s->answer_count + s->authority_count, i;

	memcpy(s->reply + DNS_HEADER_LEN, q->qname, q->qname_len);
	wire_put_u16(s->reply + at - 4, q->qtype);
	wire_put_u16(s->reply + at - 2, DNS_IN);
	compress_init(&s->compress, s->reply, q->qname_len);
	out->required_len = 0;
	for (i = 0; i < s->picked_count; i++) {
		size_t n = record_write(&s->rows[s->picked[i]], &s->compress, at, &s->ttl_at[i]);

		if (!n)
			break;
		at += n;
		if (i + 1 == required)
			out->required_len = (uint16_t)(at - body_at);
	}
	if (i < required)
		return false;
	out->body = s->reply + body_at;
	out->body_len = (uint16_t)(at - body_at);
	out->ttl_at = s->ttl_at;
	out->ttl_count = (uint16_t)i;
	out->ancount = (uint16_t)s->answer_count;
	out->nscount = (uint16_t)s->authority_count;
	out->arcount = (uint16_t)(i - required);
	return true;
}

/* ---- judging ---- */

static bool scrub_has(const struct dns_scrub *s, enum section section, uint16_t type)
{
	for (unsigned i = 0; i < s->row_count; i++)
		if (s->rows[i].section == section && s->rows[i].type == type)
			return true;
	return false;
}

/* Without the age; no TTL above the ceiling (RFC 8767 s. 4), so that a top bit does no harm either; and the
 * floor. */
static void scrub_bound_ttls(struct dns_scrub *s, const struct dns_scrub_query *q, bool positive)
{
	const struct dns_ttl_bounds *ttl = &q->ttl;

	for (unsigned i = 0; i < s->picked_count; i++) {
		struct record *r = &s->rows[s->picked[i]];

		r->ttl_s = scrub_capped(r->ttl_s > q->age_s ? r->ttl_s - q->age_s : 0, ttl->max_s);
		if (positive && r->ttl_s && r->ttl_s < ttl->min_s)
			r->ttl_s = ttl->min_s;
	}
}

static uint32_t scrub_life(const struct dns_scrub *s)
{
	uint32_t life = UINT32_MAX;

	for (unsigned i = 0; i < s->answer_count + s->authority_count; i++)
		life = scrub_capped(life, s->rows[s->picked[i]].ttl_s);
	return life == UINT32_MAX ? 0 : life;
}

/* Neither data nor a denial that counts: a referral, or a server that does not resolve for us. */
static bool scrub_is_referral(const struct pick *p, uint16_t flags, unsigned rcode)
{
	if (p->links || scrub_has(p->s, SECTION_AUTHORITY, DNS_SOA))
		return false;
	return !(flags & DNS_RA) || (rcode == DNS_NOERROR && scrub_has(p->s, SECTION_AUTHORITY, DNS_NS));
}

/* Aliases and nothing else, not even a denial: the server has left the end of the chain to others. */
static bool scrub_is_open_chain(const struct pick *p)
{
	return p->links && p->rcode == DNS_NOERROR && !scrub_has(p->s, SECTION_AUTHORITY, DNS_SOA);
}

/* Compression points into the question, whose letter case we made up: puts it back in a copy. */
static const uint8_t *scrub_unmix(struct dns_scrub *s, const uint8_t *msg, size_t len,
                                  const struct dns_scrub_query *q)
{
	memcpy(s->joined[0], msg, len);
	if (wire_u16(msg + 4) == 1)
		memcpy(s->joined[0] + DNS_HEADER_LEN, q->qname, q->qname_len);
	return s->joined[0];
}

enum dns_scrub_verdict dns_scrub_reply(struct dns_scrub *s, const uint8_t *msg, size_t len,
                                       const struct dns_scrub_query *q, struct dns_answer *out,
                                       struct dns_name *target)
{
	struct pick            p = { .s = s, .q = q };
	struct dns_name        qname = { .len = q->qname_len };
	uint16_t               flags = wire_u16(msg + 2);
	unsigned               rcode = flags & DNS_RCODE;
	enum dns_scrub_verdict verdict;
	bool                   found, keep = true;

	s->row_count = s->picked_count = 0;
	if (q->mixed_case)
		msg = scrub_unmix(s, msg, len, q);
	if (!scrub_read(s, msg, len))
		return DNS_SCRUB_MALFORMED;
	if (rcode != DNS_NOERROR && rcode != DNS_NXDOMAIN && rcode != DNS_YXDOMAIN)
		return DNS_SCRUB_FAILURE;
	p.rcode = rcode;
	memcpy(qname.octets, q->qname, q->qname_len);
	scrub_move_to(&p, &qname);
	verdict = scrub_pick_chain(&p, &found, target);
	if (verdict == DNS_SCRUB_ANSWER && !found && scrub_is_open_chain(&p)) {
		verdict = DNS_SCRUB_ALIAS_OUT;
		*target = p.at;
	}
	if (verdict != DNS_SCRUB_ANSWER && verdict != DNS_SCRUB_ALIAS_OUT)
		return verdict;
	s->answer_count = s->picked_count;
	memset(out, 0, sizeof *out);
	out->rcode = (uint8_t)rcode;
	out->kind = DNS_ANSWER_POSITIVE;
	if (verdict == DNS_SCRUB_ALIAS_OUT) {
		out->rcode = DNS_NOERROR;	/* what the server says of the target does not count */
	} else if (found) {
		if (rcode != DNS_NOERROR)
			return DNS_SCRUB_FAILURE;	/* data for a name that is denied */
	} else {
		if (scrub_is_referral(&p, flags, rcode))
			return DNS_SCRUB_FAILURE;
		out->kind = rcode == DNS_NXDOMAIN && !p.links ? DNS_ANSWER_NXDOMAIN : DNS_ANSWER_NODATA;
		keep = scrub_pick_soa(&p) && rcode != DNS_YXDOMAIN;
	}
	if (q->dnssec_ok && verdict == DNS_SCRUB_ANSWER)
		scrub_pick_proofs(&p);
	s->authority_count = s->picked_count - s->answer_count;
	/* the data of an address answer names nothing, so nothing more can be of use */
	if (found && verdict == DNS_SCRUB_ANSWER && q->qtype != DNS_A && q->qtype != DNS_AAAA)
		scrub_pick_extras(&p);
	scrub_bound_ttls(s, q, out->kind == DNS_ANSWER_POSITIVE);
	out->ttl_s = keep ? scrub_life(s) : 0;
	return scrub_write(s, q, out) ? verdict : DNS_SCRUB_FAILURE;
}

/* ---- joining ---- */

/* Makes a whole message of an answer, so that it can be read like one. */
static size_t scrub_message_of(uint8_t *msg, const uint8_t *qname, size_t qname_len, const struct dns_answer *a)
{
	size_t at = DNS_HEADER_LEN;

	memset(msg, 0, DNS_HEADER_LEN);
	wire_put_u16(msg + 4, 1);
	wire_put_u16(msg + 6, a->ancount);
	wire_put_u16(msg + 8, a->nscount);
	wire_put_u16(msg + 10, a->arcount);
	memcpy(msg + at, qname, qname_len);
	at += qname_len;
	memset(msg + at, 0, 4);
	at += 4;
	memcpy(msg + at, a->body, a->body_len);
	return at + a->body_len;
}

/* Does a picked alias lead back to the owner of one before it, or to itself? */
static bool scrub_loops(const struct dns_scrub *s)
{
	for (unsigned i = 0; i < s->answer_count; i++) {
		const struct record *alias = &s->rows[s->picked[i]];
		struct dns_name   target;
		uint32_t          hash;

		if (alias->type != DNS_CNAME)
			continue;
		record_rdata_name(alias, &target);
		hash = record_hash(target.octets, target.len, true);
		for (unsigned k = 0; k <= i; k++)
			if (s->rows[s->picked[k]].type == DNS_CNAME &&
			    record_owned_by(&s->rows[s->picked[k]], &target, hash))
				return true;
	}
	return false;
}

enum dns_scrub_verdict dns_scrub_join(struct dns_scrub *s, const struct dns_scrub_query *q,
                                      const struct dns_answer *chain, const struct dns_name *target,
                                      const struct dns_answer *rest, struct dns_answer *out)
{
	struct dns_answer from = *rest;		/* its octets may lie where we write */
	size_t            chain_len, rest_len;
	unsigned          aliases = 0;

	chain_len = scrub_message_of(s->joined[0], q->qname, q->qname_len, chain);
	rest_len = scrub_message_of(s->joined[1], target->octets, target->len, rest);
	s->row_count = s->picked_count = 0;
	if (!scrub_read(s, s->joined[0], chain_len) || !scrub_read(s, s->joined[1], rest_len))
		return DNS_SCRUB_MALFORMED;
	for (unsigned section = 0; section < 3; section++) {
		for (unsigned i = 0; i < s->row_count; i++) {
			if (s->rows[i].section != section)
				continue;
			aliases += s->rows[i].type == DNS_CNAME;
			s->picked[s->picked_count++] = (uint16_t)i;
		}
		if (section == SECTION_ANSWER)
			s->answer_count = s->picked_count;
		else if (section == SECTION_AUTHORITY)
			s->authority_count = s->picked_count - s->answer_count;
	}
	if (aliases > DNS_CHAIN_MAX || scrub_loops(s))
		return DNS_SCRUB_LOOP;
	memset(out, 0, sizeof *out);
	out->rcode = from.rcode;
	out->kind = from.kind == DNS_ANSWER_NXDOMAIN ? DNS_ANSWER_NODATA : from.kind;
	out->crosses_route = true;
	out->authentic = chain->authentic && rest->authentic;
	out->ttl_s = from.ttl_s && chain->ttl_s ? scrub_life(s) : 0;
	return scrub_write(s, q, out) ? DNS_SCRUB_ANSWER : DNS_SCRUB_FAILURE;
}
