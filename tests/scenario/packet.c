/* packet.c - messages, written and read. */
#include "packet.h"

#include "dns/message.h"
#include "dns/rrtype.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	unsigned    rcode;
} rcodes[] = {
	{ "NOERROR", 0 }, { "FORMERR", 1 }, { "SERVFAIL", 2 }, { "NXDOMAIN", 3 }, { "NOTIMP", 4 },
	{ "REFUSED", 5 }, { "YXDOMAIN", 6 }, { "BADVERS", 16 }, { "BADCOOKIE", 23 },
};

static const struct {
	const char *name;
	uint16_t    flag;
} flags[] = {
	{ "aa", DNS_AA }, { "tc", DNS_TC }, { "rd", DNS_RD }, { "ra", DNS_RA }, { "z", DNS_Z },
	{ "ad", DNS_AD }, { "cd", DNS_CD }, { "qr", DNS_QR },
};

const char *rcode_name(unsigned rcode)
{
	for (size_t i = 0; i < sizeof rcodes / sizeof *rcodes; i++)
		if (rcodes[i].rcode == rcode)
			return rcodes[i].name;
	return "?";
}

bool rcode_of(const char *text, unsigned *out)
{
	uint64_t v;

	for (size_t i = 0; i < sizeof rcodes / sizeof *rcodes; i++)
		if (!strcmp(rcodes[i].name, text)) {
			*out = rcodes[i].rcode;
			return true;
		}
	if (strncmp(text, "RCODE", 5) || !script_number(text + 5, &v))
		return false;
	*out = (unsigned)v;
	return true;
}

uint16_t flag_of(const char *text)
{
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (!strcmp(flags[i].name, text))
			return flags[i].flag;
	return 0;
}

/* ---- writing ---- */

void writer_put(struct writer *w, const void *octets, size_t len)
{
	if (w->full || len > w->room - w->len) {
		w->full = true;
		return;
	}
	memcpy(w->octets + w->len, octets, len);
	w->len += len;
}

void writer_u8(struct writer *w, unsigned v)
{
	uint8_t b = (uint8_t)v;

	writer_put(w, &b, 1);
}

void writer_u16(struct writer *w, unsigned v)
{
	writer_u8(w, v >> 8);
	writer_u8(w, v);
}

void writer_u32(struct writer *w, uint64_t v)
{
	writer_u16(w, (unsigned)(v >> 16));
	writer_u16(w, (unsigned)v);
}

size_t packet_write_ask(const struct packet_ask *a, uint8_t out[PACKET_MAX])
{
	struct writer w = { .octets = out, .room = PACKET_MAX };

	writer_u16(&w, a->id);
	writer_u16(&w, a->flags);
	writer_u16(&w, a->qdcount);
	writer_u16(&w, a->ancount);
	writer_u16(&w, a->nscount);
	writer_u16(&w, a->arcount + (a->has_opt ? a->opt_copies : 0));
	for (unsigned i = 0; i < a->qdcount && i < 2; i++) {
		writer_put(&w, a->name.octets, a->name.len);
		writer_u16(&w, a->type);
		writer_u16(&w, a->class);
	}
	writer_put(&w, a->extra, a->extra_len);
	for (unsigned i = 0; a->has_opt && i < a->opt_copies; i++) {
		writer_u8(&w, 0);
		writer_u16(&w, DNS_OPT);
		writer_u16(&w, a->udp_size);
		writer_u8(&w, 0);
		writer_u8(&w, a->version);
		writer_u16(&w, a->opt_flags);
		writer_u16(&w, (unsigned)a->options_len);
		writer_put(&w, a->options, a->options_len);
	}
	for (unsigned i = 0; i < a->trail; i++)
		writer_u8(&w, 0xee);
	return w.len > a->cut ? w.len - a->cut : 0;
}

/* ---- reading ---- */

struct reader {
	const uint8_t *octets;
	size_t         len, at;
	const char    *wrong;		/* the first thing */
};

static uint64_t reader_number(struct reader *r, unsigned octets)
{
	uint64_t v = 0;

	if (octets > r->len - r->at) {
		r->wrong = r->wrong ? r->wrong : "it ends too early";
		r->at = r->len;
		return 0;
	}
	while (octets--)
		v = v << 8 | r->octets[r->at++];
	return v;
}

/* A name that may be compressed: each pointer goes to before the name it stands in, and not into the header. */
static void reader_name(struct reader *r, struct dns_name *out)
{
	size_t at = r->at, end = 0, lowest = r->at;

	out->len = 0;
	for (;;) {
		unsigned c = at < r->len ? r->octets[at] : 256;

		if (c >= 0xc0 && c < 256 && at + 1 < r->len) {
			size_t to = (c & 0x3f) << 8 | r->octets[at + 1];

			end = end ? end : at + 2;
			if (to >= lowest || to < PACKET_QUESTION)
				break;
			lowest = at = to;
			continue;
		}
		if (c > 63 || at + 1 + c > r->len || out->len + 1 + c > DNS_NAME_MAX)
			break;
		memcpy(out->octets + out->len, r->octets + at, c + 1);
		out->len = (uint8_t)(out->len + c + 1);
		at += c + 1;
		if (!c) {
			r->at = end ? end : at;
			return;
		}
	}
	r->wrong = r->wrong ? r->wrong : "a name is broken";
	r->at = r->len;
	out->len = 1;
	out->octets[0] = 0;
}

/* Copies RDATA, names written out in full. */
static void reader_rdata(struct reader *r, struct record *rec, size_t len)
{
	const char   *layout = record_layout(rec->type);
	struct reader in = { .octets = r->octets, .len = r->at + len, .at = r->at };
	struct writer w = { .room = PACKET_MAX };
	struct dns_name name;

	w.octets = malloc(PACKET_MAX);
	if (!w.octets) {
		r->wrong = "no memory";
		return;
	}
	for (; layout && *layout && !in.wrong; layout++) {
		switch (*layout) {
		case 'N':
			reader_name(&in, &name);
			writer_put(&w, name.octets, name.len);
			continue;
		case 'a':
			writer_u32(&w, reader_number(&in, 4));
			continue;
		case '6':
			for (unsigned i = 0; i < 16; i++)
				writer_u8(&w, (unsigned)reader_number(&in, 1));
			continue;
		case 't':
			writer_u16(&w, (unsigned)reader_number(&in, 2));
			continue;
		case 's':
			while (in.at < in.len && !in.wrong) {
				unsigned n = (unsigned)reader_number(&in, 1);

				writer_u8(&w, n);
				while (n-- && !in.wrong)
					writer_u8(&w, (unsigned)reader_number(&in, 1));
			}
			continue;
		case 'x':
			continue;
		default:
			for (unsigned i = 0; i < (unsigned)(*layout - '0'); i++)
				writer_u8(&w, (unsigned)reader_number(&in, 1));
		}
	}
	writer_put(&w, in.octets + in.at, in.len - in.at);
	if (layout && layout[-1] != 'x' && in.at < in.len)
		in.wrong = "RDATA are longer than their fields";
	r->wrong = r->wrong ? r->wrong : in.wrong;
	r->at += len;
	rec->rdata = realloc(w.octets, w.len ? w.len : 1);
	rec->rdata_len = w.len;
}

static void packet_read_options(struct packet *p, struct reader *r, size_t len)
{
	struct reader in = { .octets = r->octets, .len = r->at + len, .at = r->at };

	while (in.at < in.len && !in.wrong) {
		unsigned code = (unsigned)reader_number(&in, 2), n = (unsigned)reader_number(&in, 2);

		if (n > in.len - in.at) {
			in.wrong = "an option runs past its OPT";
			break;
		}
		if (code == DNS_OPTION_EDE && n >= 2 && p->ede_count < PACKET_EDES) {
			p->ede[p->ede_count++] = (uint16_t)(in.octets[in.at] << 8 | in.octets[in.at + 1]);
		} else if (code == DNS_OPTION_KEEPALIVE && n == 2) {
			p->has_keepalive = true;
			p->keepalive_100ms = (uint16_t)(in.octets[in.at] << 8 | in.octets[in.at + 1]);
		} else {
			p->other_options++;
		}
		in.at += n;
	}
	r->wrong = r->wrong ? r->wrong : in.wrong;
	r->at += len;
}

static void packet_read_record(struct packet *p, struct reader *r, enum section section)
{
	struct record *rec = &p->records[p->record_count];
	uint64_t       ttl;
	size_t         len;

	memset(rec, 0, sizeof *rec);
	rec->section = section;
	reader_name(r, &rec->owner);
	rec->type = (uint16_t)reader_number(r, 2);
	rec->class = (uint16_t)reader_number(r, 2);
	ttl = reader_number(r, 4);
	len = reader_number(r, 2);
	if (!r->wrong && len > r->len - r->at)
		r->wrong = "RDATA run past the end";
	if (r->wrong)
		return;
	rec->ttl_s = (struct range){ ttl, ttl };
	if (rec->type != DNS_OPT) {
		reader_rdata(r, rec, len);
		p->record_count++;
		return;
	}
	if (p->has_opt || section != SECTION_ADDITIONAL || rec->owner.len != 1)
		r->wrong = "an OPT is doubled or out of place";
	p->has_opt = true;
	p->udp_size = rec->class;
	p->rcode |= (unsigned)(ttl >> 24) << 4;
	p->version = (uint8_t)(ttl >> 16);
	p->opt_flags = (uint16_t)ttl;
	packet_read_options(p, r, len);
}

const char *packet_read(const uint8_t *octets, size_t len, struct packet *out)
{
	struct reader   r = { .octets = octets, .len = len };
	struct dns_name other;
	unsigned        counts[3];

	memset(out, 0, sizeof *out);
	out->id = (uint16_t)reader_number(&r, 2);
	out->flags = (uint16_t)reader_number(&r, 2);
	out->rcode = out->flags & DNS_RCODE;
	out->qdcount = (unsigned)reader_number(&r, 2);
	for (unsigned i = 0; i < 3; i++)
		counts[i] = (unsigned)reader_number(&r, 2);
	for (unsigned i = 0; i < out->qdcount && !r.wrong; i++) {
		reader_name(&r, i ? &other : &out->qname);
		if (i) {
			reader_number(&r, 4);
			continue;
		}
		out->qtype = (uint16_t)reader_number(&r, 2);
		out->qclass = (uint16_t)reader_number(&r, 2);
		out->question_len = r.at - PACKET_QUESTION;
	}
	out->records = calloc(counts[0] + counts[1] + counts[2] + 1u, sizeof *out->records);
	for (unsigned section = 0; section < 3 && out->records; section++)
		for (unsigned i = 0; i < counts[section] && !r.wrong; i++)
			packet_read_record(out, &r, section);
	if (!r.wrong && r.at < r.len)
		r.wrong = "there are octets behind the last record";
	out->octets = malloc(len + 1);
	if (!out->records || !out->octets)
		r.wrong = "no memory";
	else
		memcpy(out->octets, octets, len);
	out->len = len;
	if (r.wrong)
		packet_done(out);
	return r.wrong;
}

void packet_done(struct packet *p)
{
	for (unsigned i = 0; p->records && i < p->record_count; i++)
		record_done(&p->records[i]);
	free(p->records);
	free(p->octets);
	p->records = NULL;
	p->octets = NULL;
	p->record_count = 0;
}

void packet_print(const struct packet *p, char *out, size_t room)
{
	char type[DNS_RRTYPE_TEXT_MAX];

	if (!strcmp(rcode_name(p->rcode), "?"))
		text_add(out, room, "RCODE%u", p->rcode);
	else
		text_add(out, room, "%s", rcode_name(p->rcode));
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (p->flags & flags[i].flag & (DNS_AA | DNS_TC | DNS_AD))
			text_add(out, room, " %s", flags[i].name);
	for (unsigned i = 0; i < p->ede_count; i++)
		text_add(out, room, " ede %u", p->ede[i]);
	if (p->qdcount) {
		text_add(out, room, " about ");
		text_add_name(out, room, &p->qname);
		text_add(out, room, " %s", dns_rrtype_to_text(p->qtype, type));
	}
	text_add(out, room, " (%zu octets)", p->len);
	for (unsigned i = 0; i < p->record_count; i++) {
		text_add(out, room, "\n        ");
		record_print(&p->records[i], out, room);
	}
}
