/* judge.c - what must be true of every answer. */
#include "judge.h"

#include "oracle.h"

#include <stdlib.h>
#include <string.h>

#define TYPES_OF_PROOF(type) ((type) == DNS_RRSIG || (type) == DNS_NSEC || (type) == DNS_NSEC3)

size_t judge_reply(const struct dns_scrub_query *q, const struct dns_answer *a, uint32_t age_s, bool shout,
                   uint8_t out[DNS_MESSAGE_MAX])
{
	uint8_t               question[DNS_NAME_MAX + 4];
	struct dns_query      client = { .question = question, .question_len = (uint16_t)(q->qname_len + 4) };
	struct dns_reply_head head = { .rcode = a->rcode, .ede = DNS_EDE_NONE };
	size_t                at = dns_reply_head_len(&client), len;

	for (unsigned i = 0; i < q->qname_len; i++)
		question[i] = shout && q->qname[i] >= 'a' && q->qname[i] <= 'z' ? (uint8_t)(q->qname[i] - 32) :
		                                                                  q->qname[i];
	memcpy(question + q->qname_len, (uint8_t[]){ (uint8_t)(q->qtype >> 8), (uint8_t)q->qtype, 0, DNS_IN }, 4);
	dns_answer_write(a, age_s, out + at, DNS_MESSAGE_MAX - at, &head, &len);
	return dns_reply_finish(out, at + len, &client, &head);
}

/* The TTL offsets are those of the records, all of them, in order. */
static const char *judge_offsets(const struct oracle *o, const struct dns_answer *a)
{
	size_t required = o->records_at;

	if (a->ttl_count != o->record_count)
		return "as many TTL offsets as records";
	for (size_t i = 0; i < o->record_count; i++) {
		if (a->ttl_at[i] != o->records[i].ttl_at - o->records_at)
			return "TTL offsets";
		if (o->records[i].section < 3)
			required = o->records[i].end;
	}
	if (o->records_at + a->required_len != required)
		return "required_len";
	return NULL;
}

static uint16_t judge_covered(const struct oracle *o, const struct oracle_record *r)
{
	return r->type == DNS_RRSIG ? (uint16_t)(o->octets[r->rdata_at] << 8 | o->octets[r->rdata_at + 1]) : 0;
}

static bool judge_same_set(const struct oracle *o, const struct oracle_record *r, const struct oracle_record *s)
{
	return r->section == s->section && r->type == s->type && judge_covered(o, r) == judge_covered(o, s) &&
	       oracle_name_equal(&r->owner, &s->owner);
}

/* One TTL to a set (RFC 2181 s. 5.2), none over the ceiling; the answer's own is the least. */
static const char *judge_ttls(const struct dns_scrub_query *q, const struct oracle *o, const struct dns_answer *a)
{
	uint32_t least = UINT32_MAX;

	for (size_t i = 0; i < o->record_count; i++) {
		const struct oracle_record *r = &o->records[i];

		if (r->ttl > q->ttl.max_s)
			return "TTL ceiling";
		if (r->section < 3 && r->ttl < least)
			least = r->ttl;
		for (size_t k = i; k-- > 0 && i - k < 32;)
			if (r->ttl != o->records[k].ttl && judge_same_set(o, r, &o->records[k]) &&
			    q->qtype != DNS_RRSIG && !TYPES_OF_PROOF(r->type))
				return "one TTL in a set";
	}
	if (a->ttl_s && a->ttl_s != least)
		return "the answer's life is its least TTL";
	return NULL;
}

static bool judge_is_below(const struct oracle_name *name, const struct oracle_name *suffix)
{
	struct oracle_name end;

	for (size_t at = 0; at < name->len; at += name->octets[at] + 1u) {
		end.len = name->len - at;
		memcpy(end.octets, name->octets + at, end.len);
		if (oracle_name_equal(&end, suffix))
			return true;
	}
	return false;
}

/* MATCH-19, MATCH-23: in the answer section stands the chain from qname, in order, and what was asked for at
 * its end; nothing else.  *at gets the name at its end, *found whether the asked type stands there. */
static const char *judge_chain(const struct dns_scrub_query *q, const struct oracle *o, bool joined,
                               struct oracle_name *at, bool *found)
{
	unsigned           links = 0;
	struct oracle_name next, dname;
	bool               have_next = false, have_dname = false;

	*at = o->qname;
	*found = false;
	for (size_t i = 0; i < o->record_count && o->records[i].section == 1; i++) {
		const struct oracle_record *r = &o->records[i];
		uint16_t                    type = r->type == DNS_RRSIG && q->qtype != DNS_RRSIG ? judge_covered(o, r) : r->type;

		if (have_dname && type == DNS_DNAME && oracle_name_equal(&r->owner, &dname))
			continue;			/* the DNAME's signature */
		if (have_next && type == DNS_CNAME && oracle_name_equal(&r->owner, at) && r->type == DNS_RRSIG)
			continue;			/* the CNAME's */
		if (have_next) {
			*at = next;
			have_next = have_dname = false;
		}
		if (oracle_name_equal(&r->owner, at) && (r->type == q->qtype || q->qtype == DNS_ANY || type == q->qtype)) {
			*found = true;
			continue;
		}
		if (*found)
			return "a record behind the end of the chain";
		if (r->type == DNS_DNAME && r->owner.len < at->len && judge_is_below(at, &r->owner)) {
			dname = r->owner;
			have_dname = true;
			continue;
		}
		if (r->type != DNS_CNAME || !oracle_name_equal(&r->owner, at))
			return "a record that is not of the chain";
		if (++links > DNS_CHAIN_MAX && !joined)
			return "a chain that is too long";
		if (!oracle_name(o->octets, r->end, r->rdata_at, &next))
			return "a CNAME's target";
		have_next = true;
	}
	if (have_next)
		*at = next;
	return NULL;
}

static const char *judge_kind(const struct dns_scrub_query *q, enum dns_scrub_verdict verdict, const struct oracle *o,
                              const struct dns_answer *a, const struct dns_name *target)
{
	struct oracle_name end, want;
	bool               found;
	const char        *wrong = judge_chain(q, o, a->crosses_route, &end, &found);

	if (wrong)
		return wrong;
	if (verdict == DNS_SCRUB_ALIAS_OUT) {
		want.len = target->len;
		memcpy(want.octets, target->octets, target->len);
		return found || a->kind != DNS_ANSWER_POSITIVE || a->rcode || !oracle_name_equal(&end, &want) ||
		       o->counts[2] + o->counts[3] ? "an alias that leads out" : NULL;
	}
	switch (a->kind) {
	case DNS_ANSWER_POSITIVE:
		return !found || a->rcode ? "positive without data" : NULL;
	case DNS_ANSWER_NXDOMAIN:
		return o->counts[1] || a->rcode != DNS_NXDOMAIN ? "NXDOMAIN with an answer" : NULL;
	case DNS_ANSWER_NODATA:
		return found || (a->rcode == DNS_NXDOMAIN && !o->counts[1]) ? "NODATA with data" : NULL;
	default:
		return "kind";
	}
}

/* What the other sections may hold: an SOA, proofs with DO, addresses. */
static const char *judge_sections(const struct dns_scrub_query *q, const struct oracle *o, const struct dns_answer *a)
{
	for (size_t i = 0; i < o->record_count; i++) {
		const struct oracle_record *r = &o->records[i];

		if (r->class != DNS_IN || r->type == DNS_OPT || (r->type >= DNS_TKEY && r->type <= DNS_ANY))
			return "a record that is never kept";
		if (!q->dnssec_ok && TYPES_OF_PROOF(r->type) && r->type != q->qtype && q->qtype != DNS_ANY)
			return "a proof that was not asked for";	/* CACHE-09 */
		if (r->section == 2 && r->type != DNS_SOA && !TYPES_OF_PROOF(r->type))
			return "authority";				/* MATCH-20 */
		if (r->section == 2 && a->kind == DNS_ANSWER_POSITIVE && r->type == DNS_SOA)
			return "an SOA with a positive answer";
		if (r->section == 3 && r->type != DNS_A && r->type != DNS_AAAA)
			return "additional";
	}
	return NULL;
}

/* The same record twice in a section (MATCH-27); looked for among neighbours, where a set lies. */
static const char *judge_doubles(const struct oracle *o)
{
	static uint8_t a[ORACLE_RDATA_MAX], b[ORACLE_RDATA_MAX];

	for (size_t i = 0; i < o->record_count; i++) {
		size_t len = oracle_rdata(o, &o->records[i], a);

		for (size_t k = i; k-- > 0 && i - k < 32;)
			if (judge_same_set(o, &o->records[i], &o->records[k]) &&
			    oracle_rdata(o, &o->records[k], b) == len && !memcmp(a, b, len))
				return "a doubled record";
	}
	return NULL;
}

/* NAME-12, HDR-15: the letter case of the question reaches no RDATA. */
static const char *judge_case(const struct dns_scrub_query *q, const struct oracle *o, const struct dns_answer *a)
{
	static uint8_t message[DNS_MESSAGE_MAX], x[ORACLE_RDATA_MAX], y[ORACLE_RDATA_MAX];
	struct oracle  shouted;
	const char    *wrong = NULL;

	if (!oracle_read(&shouted, message, judge_reply(q, a, 0, true, message)))
		wrong = "the reply in another letter case";
	for (size_t i = 0; !wrong && i < o->record_count && i < 64; i++) {
		size_t len = oracle_rdata(o, &o->records[i], x);

		if (oracle_rdata(&shouted, &shouted.records[i], y) != len || memcmp(x, y, len))
			wrong = "RDATA takes its letter case from the question";
	}
	oracle_done(&shouted);
	return wrong;
}

static const char *judge_age(const struct dns_scrub_query *q, const struct oracle *o, const struct dns_answer *a)
{
	static uint8_t message[DNS_MESSAGE_MAX];
	struct oracle  aged;
	const char    *wrong = NULL;
	uint32_t       age = 100;

	if (!oracle_read(&aged, message, judge_reply(q, a, age, false, message)))
		wrong = "the aged reply";
	for (size_t i = 0; !wrong && i < o->record_count; i++)
		if (aged.records[i].ttl != (o->records[i].ttl < age ? 0 : o->records[i].ttl - age))
			wrong = "an aged TTL";
	oracle_done(&aged);
	return wrong;
}

const char *judge_answer(const struct dns_scrub_query *q, enum dns_scrub_verdict verdict, const struct dns_answer *a,
                         const struct dns_name *target)
{
	static uint8_t message[DNS_MESSAGE_MAX];
	struct oracle  o;
	const char    *wrong = NULL;

	if (verdict != DNS_SCRUB_ANSWER && verdict != DNS_SCRUB_ALIAS_OUT)
		return NULL;
	if (!oracle_read(&o, message, judge_reply(q, a, 0, false, message)))
		wrong = o.wrong;
	else if (o.end != o.len || o.end != o.records_at + a->body_len)
		wrong = "the end of the records";
	if (!wrong)
		wrong = judge_offsets(&o, a);
	if (!wrong)
		wrong = judge_ttls(q, &o, a);
	if (!wrong)
		wrong = judge_kind(q, verdict, &o, a, target);
	if (!wrong)
		wrong = judge_sections(q, &o, a);
	if (!wrong)
		wrong = judge_doubles(&o);
	if (!wrong)
		wrong = judge_case(q, &o, a);
	if (!wrong)
		wrong = judge_age(q, &o, a);
	oracle_done(&o);
	return wrong;
}
