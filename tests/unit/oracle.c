/* oracle.c - a second reader of messages. */
#include "oracle.h"

#include <stdlib.h>
#include <string.h>

static unsigned oracle_u16(const uint8_t *p)
{
	return p[0] * 256u + p[1];
}

size_t oracle_name(const uint8_t *octets, size_t len, size_t at, struct oracle_name *out)
{
	size_t start = at, end = 0;	/* of the run of labels; behind the name where it began */

	out->len = 0;
	for (;;) {
		unsigned n;

		if (at >= len)
			return 0;
		n = octets[at];
		if (n / 64 == 3) {
			size_t to;

			if (at + 1 >= len)
				return 0;
			to = oracle_u16(octets + at) - 0xc000;
			if (to >= start || to < 12)
				return 0;
			if (!end)
				end = at + 2;
			start = at = to;
			continue;
		}
		if (n / 64 || at + 1 + n > len || out->len + 1 + n > ORACLE_NAME_MAX)
			return 0;
		memcpy(out->octets + out->len, octets + at, 1 + n);
		out->len += 1 + n;
		at += 1 + n;
		if (!n)
			return end ? end : at;
	}
}

static uint8_t oracle_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

bool oracle_name_equal(const struct oracle_name *a, const struct oracle_name *b)
{
	if (a->len != b->len)
		return false;
	for (size_t i = 0; i < a->len; i++)
		if (oracle_lower(a->octets[i]) != oracle_lower(b->octets[i]))
			return false;
	return true;
}

const char *oracle_shape(uint16_t type)
{
	switch (type) {
	case 2: case 3: case 4: case 5: case 7: case 8: case 9: case 12:	/* NS … CNAME … PTR */
		return "C";
	case 6:		/* SOA */
		return "CC884";
	case 14:	/* MINFO */
		return "CC";
	case 15:	/* MX */
		return "2C";
	case 17:	/* RP */
		return "nn";
	case 18:	/* AFSDB */
	case 21:	/* RT */
		return "2n";
	case 24:	/* SIG */
		return "882n.";
	case 26:	/* PX */
		return "2nn";
	case 30:	/* NXT */
		return "n.";
	case 33:	/* SRV */
		return "6n";
	case 35:	/* NAPTR */
		return "4sssn";
	case 39:	/* DNAME */
		return "n";
	default:
		return ".";
	}
}

size_t oracle_rdata(const struct oracle *o, const struct oracle_record *r, uint8_t out[ORACLE_RDATA_MAX])
{
	size_t at = r->rdata_at, end = r->rdata_at + r->rdata_len, used = 0;

	for (const char *shape = oracle_shape(r->type); *shape; shape++) {
		struct oracle_name name;
		size_t             n = 0, behind;

		switch (*shape) {
		case 'C':
		case 'n':
			behind = oracle_name(o->octets, end, at, &name);
			if (!behind || (*shape == 'n' && behind - at != name.len))
				return SIZE_MAX;
			memcpy(out + used, name.octets, name.len);
			used += name.len;
			at = behind;
			continue;
		case 's':
			n = at < end ? o->octets[at] + 1u : 1;
			break;
		case '.':
			n = end - at;
			break;
		default:
			n = (size_t)(*shape - '0');
		}
		if (n > end - at)
			return SIZE_MAX;
		memcpy(out + used, o->octets + at, n);
		used += n;
		at += n;
	}
	return at == end ? used : SIZE_MAX;
}

static bool oracle_fail(struct oracle *o, const char *why)
{
	o->wrong = why;
	return false;
}

static bool oracle_read_record(struct oracle *o, unsigned section)
{
	struct oracle_record *r = &o->records[o->record_count];
	static uint8_t        rdata[ORACLE_RDATA_MAX];

	r->section = section;
	r->at = o->end;
	o->end = oracle_name(o->octets, o->len, r->at, &r->owner);
	if (!o->end)
		return oracle_fail(o, "owner name");
	if (o->len - o->end < 10)
		return oracle_fail(o, "record is cut");
	r->type = (uint16_t)oracle_u16(o->octets + o->end);
	r->class = (uint16_t)oracle_u16(o->octets + o->end + 2);
	r->ttl_at = o->end + 4;
	r->ttl = oracle_u16(o->octets + r->ttl_at) * 65536u + oracle_u16(o->octets + r->ttl_at + 2);
	r->rdata_len = oracle_u16(o->octets + o->end + 8);
	r->rdata_at = o->end + 10;
	if (o->len - r->rdata_at < r->rdata_len)
		return oracle_fail(o, "RDATA is cut");
	o->end = r->end = r->rdata_at + r->rdata_len;
	if (oracle_rdata(o, r, rdata) == SIZE_MAX)
		return oracle_fail(o, "RDATA");
	o->record_count++;
	return true;
}

bool oracle_read(struct oracle *o, const uint8_t *octets, size_t len)
{
	memset(o, 0, sizeof *o);
	o->octets = octets;
	o->len = len;
	if (len < 12)
		return oracle_fail(o, "no header");
	o->id = (uint16_t)oracle_u16(octets);
	o->flags = (uint16_t)oracle_u16(octets + 2);
	for (unsigned i = 0; i < 4; i++)
		o->counts[i] = oracle_u16(octets + 4 + 2 * i);
	o->end = 12;
	for (unsigned i = 0; i < o->counts[0]; i++) {
		struct oracle_name name;
		size_t             behind = oracle_name(octets, len, o->end, &name);

		if (!behind || len - behind < 4)
			return oracle_fail(o, "question");
		if (i == 0) {
			o->qname = name;
			o->qtype = (uint16_t)oracle_u16(octets + behind);
			o->qclass = (uint16_t)oracle_u16(octets + behind + 2);
		}
		o->end = behind + 4;
	}
	o->records_at = o->end;
	o->records = calloc(o->counts[1] + o->counts[2] + o->counts[3] + 1u, sizeof *o->records);
	if (!o->records)
		return oracle_fail(o, "memory");
	for (unsigned section = 1; section < 4; section++)
		for (unsigned i = 0; i < o->counts[section]; i++)
			if (!oracle_read_record(o, section))
				return false;
	return true;
}

void oracle_done(struct oracle *o)
{
	free(o->records);
	o->records = NULL;
}

const struct oracle_record *oracle_find(const struct oracle *o, unsigned section, uint16_t type)
{
	for (size_t i = 0; i < o->record_count; i++)
		if ((!section || o->records[i].section == section) && o->records[i].type == type)
			return &o->records[i];
	return NULL;
}

unsigned oracle_count(const struct oracle *o, unsigned section, uint16_t type)
{
	unsigned n = 0;

	for (size_t i = 0; i < o->record_count; i++)
		n += (!section || o->records[i].section == section) && o->records[i].type == type;
	return n;
}
