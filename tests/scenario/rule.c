/* rule.c - what a fake server does with a question.
 *
 * A rule is kept as it was written: its records are read for each question
 * anew, since @ in them is the name that was asked.
 */
#include "server.h"

#include "dns/message.h"
#include "dns/rrtype.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Ways in which a reply can be wrong. */
enum spoil {
	SPOIL_ID = 1,
	SPOIL_NAME = 2,
	SPOIL_TYPE = 4,
	SPOIL_CLASS = 8,
	SPOIL_NO_QUESTION = 16,
	SPOIL_TWO_QUESTIONS = 32,
	SPOIL_UPPER = 64,
	SPOIL_LOWER = 128,
	SPOIL_GARBAGE = 256,
};

static const struct {
	const char *name;
	enum spoil  spoil;
} spoils[] = {
	{ "wrong-id", SPOIL_ID },
	{ "wrong-name", SPOIL_NAME },
	{ "wrong-type", SPOIL_TYPE },
	{ "wrong-class", SPOIL_CLASS },
	{ "no-question", SPOIL_NO_QUESTION },
	{ "two-questions", SPOIL_TWO_QUESTIONS },
	{ "upper-case", SPOIL_UPPER },
	{ "lower-case", SPOIL_LOWER },
	{ "garbage", SPOIL_GARBAGE },
};

enum condition { ANY, YES, NO };

struct rule {
	struct list     node;
	enum rule_act   act;
	bool            also;			/* older rules are looked at as well */
	bool            any_name, below;	/* "*"; "*.NAME" */
	struct dns_name name;
	uint16_t        type;			/* 0: any */
	bool            by[TRANSPORT_KINDS];
	enum condition  if_opt, if_do, if_cd;
	bool            limited;
	unsigned        left;
	unsigned        chance;			/* percent; 0: whenever it fits */
	bool            counts_down;		/* the server is a cache: TTLs are what is left of its own copy … */
	bool            is_stored;
	uint64_t        stored_us;		/* … made at that time … */
	uint32_t        passed_s;		/* … so long ago */

	bool            has_delay;
	uint64_t        delay_us;
	unsigned        rcode, copies, spoil, cut, trail, opcode;
	uint16_t        flags;
	bool            no_opt, has_ede, has_keepalive;
	bool            plain_names, compressed;	/* no pointers at all; pointers in RDATA too */
	uint16_t        ede, keepalive;
	unsigned        n;			/* what $n is in lines */
	unsigned        line_count;
	const char     *lines[];		/* borrowed from the script */
};

/* ---- reading ---- */

static const char *rule_pattern(struct rule *r, const struct words *w, unsigned i)
{
	const char *name;

	if (i + 2 > w->count)
		return "whom does this concern? NAME TYPE, either may be *";
	name = w->at[i];
	r->any_name = !strcmp(name, "*");
	r->below = !strncmp(name, "*.", 2);
	if (!r->any_name && dns_name_from_text(r->below ? name + 2 : name, &r->name) < 0)
		return "there is no such domain name";
	if (strcmp(w->at[i + 1], "*") && dns_rrtype_from_text(w->at[i + 1], &r->type) < 0)
		return "there is no such type";
	return NULL;
}

static bool rule_condition(struct rule *r, const char *word)
{
	bool            no = !strncmp(word, "no-", 3);
	enum condition *c;

	word += no ? 3 : 0;
	c = !strcmp(word, "opt") ? &r->if_opt : !strcmp(word, "do") ? &r->if_do :
	    !strcmp(word, "cd") ? &r->if_cd : NULL;
	if (c)
		*c = no ? NO : YES;
	return c;
}

/* A word that takes a number behind it: where the number goes. */
static bool rule_number(struct rule *r, const char *word, uint64_t v)
{
	if (!strcmp(word, "copies"))
		r->copies = (unsigned)v;
	else if (!strcmp(word, "chance"))
		r->chance = (unsigned)v;
	else if (!strcmp(word, "cut"))
		r->cut = (unsigned)v;
	else if (!strcmp(word, "trail"))
		r->trail = (unsigned)v;
	else if (!strcmp(word, "opcode"))
		r->opcode = (unsigned)v;
	else if (!strcmp(word, "ede"))
		r->has_ede = true, r->ede = (uint16_t)v;
	else if (!strcmp(word, "keepalive"))
		r->has_keepalive = true, r->keepalive = (uint16_t)v;
	else
		return false;
	return true;
}

static bool rule_plain_word(struct rule *r, const char *word)
{
	uint16_t flag = flag_of(word);

	for (size_t i = 0; i < sizeof spoils / sizeof *spoils; i++)
		if (!strcmp(spoils[i].name, word)) {
			r->spoil |= spoils[i].spoil;
			return true;
		}
	if (flag)
		r->flags |= flag;
	else if (!strncmp(word, "no-", 3) && flag_of(word + 3))
		r->flags &= (uint16_t)~flag_of(word + 3);
	else if (!strcmp(word, "no-opt"))
		r->no_opt = true;
	else if (!strcmp(word, "uncompressed"))
		r->plain_names = true;
	else if (!strcmp(word, "compressed"))
		r->compressed = true;
	else if (!strcmp(word, "counting-down"))
		r->counts_down = true;
	else if (!strcmp(word, "once"))
		r->limited = true, r->left = 1;
	else if (strcmp(word, "with"))
		return rcode_of(word, &r->rcode);
	return true;
}

/* Gives how many words it took, or 0. */
static unsigned rule_words(struct rule *r, const struct words *w, unsigned i)
{
	uint64_t v;

	if (words_is(w, i, "by") && (words_is(w, i + 1, "udp") || words_is(w, i + 1, "tcp"))) {
		r->by[words_is(w, i + 1, "udp") ? TRANSPORT_TCP : TRANSPORT_UDP] = false;
		return 2;
	}
	if (words_is(w, i, "if") && i + 1 < w->count)
		return rule_condition(r, w->at[i + 1]) ? 2 : 0;
	if (words_is(w, i, "after") && i + 1 < w->count) {
		r->has_delay = true;
		return script_duration(w->at[i + 1], &r->delay_us) ? 2 : 0;
	}
	if (words_is(w, i + 1, "times") && script_number(w->at[i], &v)) {
		r->limited = true;
		r->left = (unsigned)v;
		return 2;
	}
	if (i + 1 < w->count && script_number(w->at[i + 1], &v) && rule_number(r, w->at[i], v))
		return 2;
	return rule_plain_word(r, w->at[i]) ? 1 : 0;
}

/* Reads all records once, so that mistakes show where they stand. */
static const char *rule_try_records(const struct rule *r)
{
	struct dns_name at = { .len = 1 };

	for (unsigned i = 0; i < r->line_count; i++) {
		struct words  w;
		struct record rec;
		const char   *wrong;

		if (!words_split(&w, r->lines[i], r->n))
			return "a record line is too long";
		wrong = record_parse(&w, 0, &at, &rec);
		if (wrong)
			return wrong;
		record_done(&rec);
	}
	return NULL;
}

const char *rule_add(struct server *s, enum rule_act act, bool also, const struct words *w, unsigned i,
                     const char *const *lines, unsigned line_count, unsigned n)
{
	struct rule *r = calloc(1, sizeof *r + line_count * sizeof *r->lines);
	const char  *wrong;

	if (!r)
		abort();
	r->act = act;
	r->also = also;
	r->n = n;
	r->flags = DNS_QR | DNS_RD | DNS_RA;
	r->by[TRANSPORT_UDP] = r->by[TRANSPORT_TCP] = true;
	r->copies = 1;
	for (unsigned k = 0; k < line_count; k++)
		r->lines[r->line_count++] = lines[k];
	wrong = rule_pattern(r, w, i);
	for (i += 2; !wrong && i < w->count;) {
		unsigned took = rule_words(r, w, i);

		if (!took)
			wrong = "a word is not understood (see README.md)";
		i += took;
	}
	wrong = wrong ? wrong : rule_try_records(r);
	if (wrong) {
		free(r);
		return wrong;
	}
	list_append(s->rules.next, &r->node);	/* before all others */
	return NULL;
}

void rules_free(struct server *s)
{
	struct list *n;

	while ((n = list_take_first(&s->rules)))
		free(list_entry(n, struct rule, node));
}

/* ---- replying ---- */

static bool rule_holds(enum condition c, bool is)
{
	return c == ANY || (c == YES) == is;
}

static bool rule_fits(const struct rule *r, const struct sent *q)
{
	const struct packet *p = &q->packet;

	if ((r->limited && !r->left) || !r->by[q->kind] || (r->type && r->type != p->qtype) ||
	    !rule_holds(r->if_opt, p->has_opt) || !rule_holds(r->if_do, p->opt_flags & 0x8000) ||
	    !rule_holds(r->if_cd, p->flags & DNS_CD))
		return false;
	if (r->any_name)
		return true;
	if (r->below)
		return p->qname.len > r->name.len &&
		       dns_name_below(p->qname.octets, p->qname.len, r->name.octets, r->name.len);
	return dns_name_equal(p->qname.octets, p->qname.len, r->name.octets, r->name.len);
}

static void reply_question(struct writer *out, const struct rule *r, const struct packet *q)
{
	struct dns_name name = q->qname;

	for (size_t i = 0; i < name.len; i++) {		/* label lengths are no letters */
		if (r->spoil & SPOIL_UPPER && name.octets[i] >= 'a' && name.octets[i] <= 'z')
			name.octets[i] = (uint8_t)(name.octets[i] - 'a' + 'A');
		if (r->spoil & SPOIL_LOWER)
			name.octets[i] = dns_fold[name.octets[i]];
	}
	if (r->spoil & SPOIL_NAME && name.len > 1)
		name.octets[1] ^= 1;
	writer_put(out, name.octets, name.len);
	writer_u16(out, r->spoil & SPOIL_TYPE ? q->qtype ^ 1u : q->qtype);
	writer_u16(out, r->spoil & SPOIL_CLASS ? DNS_CH : DNS_IN);
}

/* Writes a name.  As real servers do, it points into the question for the labels that they share, whatever
 * their letter case. */
static void reply_name(struct writer *out, const struct rule *r, const struct packet *q,
                       const uint8_t *name, size_t len)
{
	size_t at = 0;

	for (; !r->plain_names && !(r->spoil & SPOIL_NO_QUESTION) && name[at]; at += name[at] + 1u) {
		size_t left = len - at;

		if (left > q->qname.len ||
		    !dns_name_below(q->qname.octets, q->qname.len, name + at, left))
			continue;
		writer_put(out, name, at);
		writer_u16(out, (unsigned)(0xc000 | (PACKET_QUESTION + q->qname.len - left)));
		return;
	}
	writer_put(out, name, len);
}

/* RDATA, names in it compressed where the rule wants that (of types that may be). */
static void reply_rdata(struct writer *out, const struct rule *r, const struct packet *q,
                        const struct record *rec)
{
	const char *layout = r->compressed ? record_layout(rec->type) : NULL;
	size_t      at = 0;

	for (; layout && *layout && at < rec->rdata_len; layout++) {
		size_t n = *layout == 'N' ? dns_name_len(rec->rdata + at) : 0;

		if (n)
			reply_name(out, r, q, rec->rdata + at, n);
		else if (*layout >= '1' && *layout <= '4')
			writer_put(out, rec->rdata + at, n = (size_t)(*layout - '0'));
		else
			break;
		at += n;
	}
	writer_put(out, rec->rdata + at, rec->rdata_len - at);
}

static void reply_patch_u16(struct writer *out, size_t at, unsigned v)
{
	out->octets[at] = (uint8_t)(v >> 8);
	out->octets[at + 1] = (uint8_t)v;
}

static void reply_record(struct writer *out, const struct rule *r, const struct packet *q,
                         const struct record *rec)
{
	size_t length_at;

	reply_name(out, r, q, rec->owner.octets, rec->owner.len);
	writer_u16(out, rec->type);
	writer_u16(out, rec->class);
	writer_u32(out, rec->ttl_s.min > r->passed_s ? (uint32_t)rec->ttl_s.min - r->passed_s : 0);
	length_at = out->len;
	writer_u16(out, 0);
	reply_rdata(out, r, q, rec);
	if (!out->full)
		reply_patch_u16(out, length_at, (unsigned)(out->len - length_at - 2));
}

/* Writes the records of one section; gives how many. */
static unsigned reply_section(struct writer *out, const struct rule *r, const struct packet *q,
                              enum section section)
{
	unsigned count = 0;

	for (unsigned i = 0; i < r->line_count; i++) {
		struct words  w;
		struct record rec;

		if (!words_split(&w, r->lines[i], r->n) || record_parse(&w, 0, &q->qname, &rec))
			continue;		/* a name grew too long: this server has no more to say */
		if (rec.section == section) {
			reply_record(out, r, q, &rec);
			count++;
		}
		record_done(&rec);
	}
	return count;
}

static void reply_opt(struct writer *out, const struct rule *r, const struct packet *q)
{
	writer_u8(out, 0);
	writer_u16(out, DNS_OPT);
	writer_u16(out, 4096);
	writer_u8(out, r->rcode >> 4);
	writer_u8(out, 0);
	writer_u16(out, q->opt_flags & 0x8000);
	writer_u16(out, (r->has_ede ? 6u : 0) + (r->has_keepalive ? 6u : 0));
	if (r->has_ede) {
		writer_u16(out, DNS_OPTION_EDE);
		writer_u16(out, 2);
		writer_u16(out, r->ede);
	}
	if (r->has_keepalive) {
		writer_u16(out, DNS_OPTION_KEEPALIVE);
		writer_u16(out, 2);
		writer_u16(out, r->keepalive);
	}
}

/* Makes the reply; gives its length. */
static size_t reply_write(const struct rule *r, const struct packet *q, struct world *w, uint8_t *octets)
{
	struct writer out = { .octets = octets, .room = PACKET_MAX };
	unsigned      questions = r->spoil & SPOIL_NO_QUESTION ? 0 : r->spoil & SPOIL_TWO_QUESTIONS ? 2 : 1;
	unsigned      counts[3];

	writer_u16(&out, r->spoil & SPOIL_ID ? q->id ^ (1u + (unsigned)world_random(w, 65535)) : q->id);
	writer_u16(&out, r->flags | r->opcode << 11 | (r->rcode & DNS_RCODE) | (q->flags & DNS_CD));
	writer_u16(&out, questions);
	writer_u32(&out, 0);
	writer_u16(&out, 0);
	for (unsigned i = 0; i < questions; i++)
		reply_question(&out, r, q);
	for (unsigned section = 0; section < 3; section++)
		counts[section] = reply_section(&out, r, q, section);
	if (q->has_opt && !r->no_opt) {
		reply_opt(&out, r, q);
		counts[SECTION_ADDITIONAL]++;
	}
	for (unsigned section = 0; section < 3; section++)
		reply_patch_u16(&out, 6 + 2 * section, counts[section]);
	for (unsigned i = 0; r->spoil & SPOIL_GARBAGE && i + PACKET_QUESTION < out.len; i++)
		octets[PACKET_QUESTION + i] = (uint8_t)world_random(w, 256);
	for (unsigned i = 0; i < r->trail; i++)
		writer_u8(&out, 0xdd);
	if (out.full)
		story_fail(w->story, "this reply is over %u octets", PACKET_MAX);
	return out.len > r->cut ? out.len - r->cut : 0;
}

static void rule_answer(struct server *s, const struct rule *r, const struct sent *q, struct place *p)
{
	uint64_t delay_us = r->has_delay ? r->delay_us : s->delay_us;

	for (unsigned i = 0; i < r->copies; i++) {
		uint8_t *octets = malloc(PACKET_MAX);

		if (!octets)
			abort();
		carrier_post(p, delay_us, octets, reply_write(r, &q->packet, s->world, octets));
		free(octets);
	}
}

/* The shortest TTL of the records; 0: there are none. */
static uint32_t rule_ttl_s(const struct rule *r, const struct packet *q)
{
	uint64_t shortest = UINT32_MAX;

	for (unsigned i = 0; i < r->line_count; i++) {
		struct words  w;
		struct record rec;

		if (!words_split(&w, r->lines[i], r->n) || record_parse(&w, 0, &q->qname, &rec))
			continue;
		shortest = rec.ttl_s.min < shortest ? rec.ttl_s.min : shortest;
		record_done(&rec);
	}
	return shortest == UINT32_MAX ? 0 : (uint32_t)shortest;
}

/* What a cache gives: its copy ages, TTLs are rounded down to whole seconds, and once it has run out the next
 * question brings a new one. */
static void rule_count_down(struct rule *r, const struct packet *q, uint64_t now_us)
{
	uint64_t ttl_us = rule_ttl_s(r, q) * UINT64_C(1000000);

	if (!r->is_stored || now_us - r->stored_us >= ttl_us)
		r->stored_us = now_us;
	r->is_stored = true;
	r->passed_s = (uint32_t)((now_us - r->stored_us + 999999) / 1000000);
}

static void rule_carry_out(struct server *s, struct rule *r, const struct sent *q, struct place *p)
{
	uint64_t delay_us = r->has_delay ? r->delay_us : s->delay_us;

	if (r->limited)
		r->left--;
	if (r->counts_down)
		rule_count_down(r, &q->packet, s->world->mono_us);
	switch (r->act) {
	case RULE_ANSWER:
		rule_answer(s, r, q, p);
		return;
	case RULE_LOSE:
		return;
	case RULE_REFUSE:
		carrier_post_error(p, delay_us, -ECONNREFUSED);
		return;
	case RULE_CLOSE:
		carrier_post_error(p, delay_us, -ECONNRESET);
		return;
	}
}

bool rules_reply(struct server *s, const struct sent *q, struct place *p)
{
	bool any = false;

	for (struct list *n = s->rules.next; n != &s->rules; n = n->next) {
		struct rule *r = list_entry(n, struct rule, node);

		if (!rule_fits(r, q) || (r->chance && world_random(s->world, 100) >= r->chance))
			continue;
		rule_carry_out(s, r, q, p);
		any = true;
		if (!r->also)
			return true;
	}
	return any;
}
