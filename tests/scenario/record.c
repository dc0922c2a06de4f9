/* record.c - records in words. */
#include "record.h"

#include "dns/message.h"
#include "dns/rrtype.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RDATA_MAX 65535

/* One letter a field:
 *   N  a name   1 2 4  a number of so many octets   a 6  an IPv4 or IPv6 address
 *   s  character-strings to the end   t  a type   x  hexadecimal to the end */
static const struct {
	uint16_t    type;
	const char *layout;
} record_layouts[] = {
	{ DNS_A, "a" },
	{ DNS_AAAA, "6" },
	{ DNS_NS, "N" },
	{ DNS_CNAME, "N" },
	{ DNS_PTR, "N" },
	{ DNS_DNAME, "N" },
	{ DNS_MX, "2N" },
	{ DNS_SOA, "NN44444" },
	{ DNS_TXT, "s" },
	{ 17, "NN" },			/* RP */
	{ 18, "2N" },			/* AFSDB */
	{ DNS_SRV, "222N" },
	{ DNS_RRSIG, "t114442Nx" },
	{ DNS_NSEC, "Nx" },
};

const char *record_layout(uint16_t type)
{
	for (size_t i = 0; i < sizeof record_layouts / sizeof *record_layouts; i++)
		if (record_layouts[i].type == type)
			return record_layouts[i].layout;
	return NULL;
}

/* ---- text ---- */

void text_add(char *out, size_t room, const char *format, ...)
{
	size_t  used = strlen(out);
	va_list args;

	va_start(args, format);
	if (used < room)
		vsnprintf(out + used, room - used, format, args);
	va_end(args);
}

void text_add_name(char *out, size_t room, const struct dns_name *n)
{
	char text[DNS_NAME_TEXT_MAX];

	dns_name_to_text(n->octets, n->len, text);
	if (text[0] && text[1])		/* scenarios leave out the final dot */
		text[strlen(text) - 1] = '\0';
	text_add(out, room, "%s", text);
}

/* ---- reading ---- */

/* A name, where @ is another and "x.@" one below that. */
static bool record_name(const char *text, const struct dns_name *at, struct dns_name *out)
{
	size_t          len = strlen(text);
	char            prefix[DNS_NAME_TEXT_MAX];
	struct dns_name below;

	if (!strcmp(text, "@")) {
		*out = *at;
		return true;
	}
	if (len < 3 || len >= sizeof prefix || strcmp(text + len - 2, ".@"))
		return dns_name_from_text(text, out) == 0;
	memcpy(prefix, text, len - 2);
	prefix[len - 2] = '\0';
	if (dns_name_from_text(prefix, &below) < 0 || below.len - 1 + at->len > DNS_NAME_MAX)
		return false;
	*out = below;
	memcpy(out->octets + below.len - 1, at->octets, at->len);
	out->len = (uint8_t)(below.len - 1 + at->len);
	return true;
}

/* RDATA while it is put together. */
struct rdata {
	uint8_t *octets;
	size_t   len;
	bool     bad;
};

static void rdata_put(struct rdata *d, const void *octets, size_t len)
{
	if (d->bad || len > RDATA_MAX - d->len) {
		d->bad = true;
		return;
	}
	memcpy(d->octets + d->len, octets, len);
	d->len += len;
}

static void rdata_put_number(struct rdata *d, unsigned octets, uint64_t v)
{
	uint8_t b[4];

	for (unsigned i = 0; i < octets; i++)
		b[i] = (uint8_t)(v >> (8 * (octets - 1 - i)));
	rdata_put(d, b, octets);
}

/* One character-string; the first quote has been kept by the splitter. */
static void rdata_put_string(struct rdata *d, const char *text)
{
	uint8_t s[256];
	size_t  len = 0;

	for (text += *text == '"'; *text && len < 255; text++) {
		if (*text == '\\' && text[1] >= '0' && text[1] <= '9' && strlen(text) > 3) {
			s[1 + len++] = (uint8_t)((text[1] - '0') * 100 + (text[2] - '0') * 10 + text[3] - '0');
			text += 3;
			continue;
		}
		text += *text == '\\';
		s[1 + len++] = (uint8_t)*text;
	}
	s[0] = (uint8_t)len;
	rdata_put(d, s, len + 1);
}

/* "fill N": so many octets of character-strings, for large answers. */
static void rdata_fill(struct rdata *d, uint64_t n)
{
	while (n > 0 && !d->bad) {
		uint8_t part = (uint8_t)(n > 256 ? 255 : n - 1);
		uint8_t s[256];

		memset(s, 'a' + (int)(d->len % 26), sizeof s);
		s[0] = part;
		rdata_put(d, s, part + 1u);
		n -= part + 1u;
	}
}

/* Gives the index of the word behind the field's. */
static unsigned rdata_field(struct rdata *d, char field, const struct words *w, unsigned i,
                            const struct dns_name *at)
{
	struct dns_name name;
	uint8_t         address[16];
	uint16_t        type;
	uint64_t        v = 0;

	if (i >= w->count) {
		d->bad = true;
		return i;
	}
	switch (field) {
	case 'N':
		d->bad |= !record_name(w->at[i], at, &name);
		if (!d->bad)
			rdata_put(d, name.octets, name.len);
		return i + 1;
	case 'a':
	case '6':
		d->bad |= inet_pton(field == 'a' ? AF_INET : AF_INET6, w->at[i], address) != 1;
		rdata_put(d, address, field == 'a' ? 4 : 16);
		return i + 1;
	case 't':
		d->bad |= dns_rrtype_from_text(w->at[i], &type) < 0;
		rdata_put_number(d, 2, type);
		return i + 1;
	case 's':
		if (words_is(w, i, "fill")) {
			d->bad |= i + 1 >= w->count || !script_number(w->at[i + 1], &v);
			rdata_fill(d, v);
			return i + 2;
		}
		for (; i < w->count; i++)
			rdata_put_string(d, w->at[i]);
		return i;
	case 'x':
		for (; i < w->count; i++)
			d->bad |= !script_hex(w->at[i], d->octets, RDATA_MAX, &d->len);
		return i;
	default:
		d->bad |= !script_number(w->at[i], &v);
		rdata_put_number(d, (unsigned)(field - '0'), v);
		return i + 1;
	}
}

/* "\# LENGTH HEX..." (RFC 3597 s. 5); "\# LENGTH fill" repeats one octet. */
static bool rdata_generic(struct rdata *d, const struct words *w, unsigned i)
{
	uint64_t len;

	if (i >= w->count || !script_number(w->at[i], &len) || len > RDATA_MAX)
		return false;
	if (words_is(w, i + 1, "fill")) {
		memset(d->octets, 0xc0, len);
		d->len = len;
		return true;
	}
	for (i++; i < w->count; i++)
		if (!script_hex(w->at[i], d->octets, RDATA_MAX, &d->len))
			return false;
	return d->len == len;
}

static const char *record_parse_rdata(const struct words *w, unsigned i, const struct dns_name *at,
                                      struct record *r)
{
	const char  *layout = record_layout(r->type);
	struct rdata d = { .octets = malloc(RDATA_MAX) };

	if (!d.octets)
		return "no memory";
	if (words_is(w, i, "\\#")) {
		d.bad = !rdata_generic(&d, w, i + 1);
	} else {
		for (; layout && *layout && !d.bad; layout++)
			i = rdata_field(&d, *layout, w, i, at);
		d.bad |= !layout || i < w->count;
	}
	r->rdata = realloc(d.octets, d.len ? d.len : 1);
	r->rdata_len = d.len;
	if (!d.bad)
		return NULL;
	record_done(r);
	return "these RDATA do not fit the type (types without a form of their own take \\# LENGTH HEX)";
}

const char *record_parse(const struct words *w, unsigned i, const struct dns_name *at, struct record *out)
{
	memset(out, 0, sizeof *out);
	out->class = DNS_IN;
	if (words_is(w, i, "answer"))
		i++;
	else if (words_is(w, i, "authority"))
		out->section = SECTION_AUTHORITY, i++;
	else if (words_is(w, i, "additional"))
		out->section = SECTION_ADDITIONAL, i++;
	if (i + 3 > w->count)
		return "a record is OWNER TTL TYPE RDATA";
	if (!record_name(w->at[i], at, &out->owner))
		return "the owner is no domain name";
	if (!script_number_range(w->at[i + 1], &out->ttl_s))
		return "the TTL is no number, range or *";
	i += 2;
	if (words_is(w, i, "CH"))
		out->class = DNS_CH, i++;
	if (i >= w->count || dns_rrtype_from_text(w->at[i], &out->type) < 0)
		return "there is no such type";
	return record_parse_rdata(w, i + 1, at, out);
}

void record_done(struct record *r)
{
	free(r->rdata);
	r->rdata = NULL;
}

/* ---- writing ---- */

static uint64_t rdata_number(const uint8_t *p, unsigned octets)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < octets; i++)
		v = v << 8 | p[i];
	return v;
}

/* Gives the octets that the field takes, or 0 when it does not fit. */
static size_t rdata_print_field(char field, const uint8_t *p, size_t left, char *out, size_t room)
{
	char            text[INET6_ADDRSTRLEN], type[DNS_RRTYPE_TEXT_MAX];
	struct dns_name name;
	size_t          need = field >= '0' && field <= '9' ? (size_t)(field - '0') : 0;

	switch (field) {
	case 'a':
	case '6':
		if (left != (field == 'a' ? 4u : 16u))
			return 0;
		text_add(out, room, " %s", inet_ntop(left == 4 ? AF_INET : AF_INET6, p, text, sizeof text));
		return left;
	case 'N':
		name.len = (uint8_t)dns_name_len(p);
		memcpy(name.octets, p, name.len);
		text_add(out, room, " ");
		text_add_name(out, room, &name);
		return name.len;
	case 't':
		text_add(out, room, " %s", dns_rrtype_to_text((uint16_t)rdata_number(p, 2), type));
		return 2;
	case 's':
		for (size_t at = 0; at < left; at += p[at] + 1u)
			text_add(out, room, " \"%.*s\"", p[at], (const char *)p + at + 1);
		return left;
	case 'x':
		text_add(out, room, " ");
		for (size_t at = 0; at < left; at++)
			text_add(out, room, "%02x", p[at]);
		return left;
	default:
		text_add(out, room, " %llu", (unsigned long long)rdata_number(p, (unsigned)need));
		return need;
	}
}

void record_print(const struct record *r, char *out, size_t room)
{
	static const char *const sections[] = { "", "authority ", "additional " };
	char                     type[DNS_RRTYPE_TEXT_MAX];
	const char              *layout = record_layout(r->type);
	size_t                   at = 0;

	text_add(out, room, "%s", sections[r->section]);
	text_add_name(out, room, &r->owner);
	if (r->ttl_s.min == r->ttl_s.max)
		text_add(out, room, " %llu", (unsigned long long)r->ttl_s.min);
	else
		text_add(out, room, " *");
	text_add(out, room, "%s %s", r->class == DNS_CH ? " CH" : "", dns_rrtype_to_text(r->type, type));
	if (!layout) {
		text_add(out, room, " \\# %zu ", r->rdata_len);
		layout = "x";
	}
	if (r->rdata_len > 300) {
		text_add(out, room, " (%zu octets)", r->rdata_len);
		return;
	}
	for (; *layout && at < r->rdata_len; layout++) {
		size_t n = rdata_print_field(*layout, r->rdata + at, r->rdata_len - at, out, room);

		if (!n)
			break;
		at += n;
	}
}

bool record_equal(const struct record *wanted, const struct record *got)
{
	return wanted->section == got->section && wanted->type == got->type && wanted->class == got->class &&
	       wanted->owner.len == got->owner.len &&
	       !memcmp(wanted->owner.octets, got->owner.octets, got->owner.len) &&
	       wanted->ttl_s.min <= got->ttl_s.min && got->ttl_s.min <= wanted->ttl_s.max &&
	       wanted->rdata_len == got->rdata_len &&
	       !memcmp(wanted->rdata, got->rdata, got->rdata_len);
}
