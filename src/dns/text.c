/* text.c - records as text.
 *
 * A type's text follows its layout (rdata.c), with a few more that have no
 * names in them.  RDATA that is not what its type says is written as unknown
 * data, so that everything has a text.
 */
#include "dns/text.h"

#include "dns/message.h"
#include "dns/rdata.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Text being written; there is always room, by the bound of the header. */
struct text {
	char  *out;
	size_t len;
};

static void text_format(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void text_format(struct text *t, const char *format, ...)
{
	va_list ap;
	int     n;

	va_start(ap, format);
	n = vsnprintf(t->out + t->len, DNS_RDATA_TEXT_MAX - t->len, format, ap);
	va_end(ap);
	if (n > 0)
		t->len += (size_t)n;
}

static void text_name(struct text *t, struct cursor *c)
{
	struct dns_name name;

	cursor_name(c, &name);
	if (!c->bad)
		t->len += dns_name_to_text(name.octets, name.len, t->out + t->len);
}

/* "text", with \DDD for what is not printable. */
static void text_string(struct text *t, struct cursor *c)
{
	size_t         n = cursor_u8(c);
	const uint8_t *octets = cursor_take(c, n);

	t->out[t->len++] = '"';
	for (size_t i = 0; octets && i < n; i++) {
		if (octets[i] < 0x20 || octets[i] > 0x7e) {
			text_format(t, "\\%03u", (unsigned)octets[i]);
			continue;
		}
		if (octets[i] == '"' || octets[i] == '\\')
			t->out[t->len++] = '\\';
		t->out[t->len++] = (char)octets[i];
	}
	t->out[t->len++] = '"';
}

static void text_hex(struct text *t, struct cursor *c, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t    *octets = cursor_take(c, n);

	for (size_t i = 0; octets && i < n; i++) {
		t->out[t->len++] = digits[octets[i] >> 4];
		t->out[t->len++] = digits[octets[i] & 15];
	}
}

static void text_field(struct text *t, char field, struct cursor *c)
{
	switch (field) {
	case 'N':
	case 'n':
		text_name(t, c);
		return;
	case '1':
		text_format(t, "%u", (unsigned)cursor_u8(c));
		return;
	case '2':
		text_format(t, "%u", (unsigned)cursor_u16(c));
		return;
	case '4':
		text_format(t, "%u", (unsigned)cursor_u32(c));
		return;
	case 'c':
		text_string(t, c);
		return;
	case 's':		/* character-strings up to the end */
		text_string(t, c);
		while (cursor_left(c)) {
			t->out[t->len++] = ' ';
			text_string(t, c);
		}
		return;
	default:
		text_hex(t, c, cursor_left(c));
	}
}

/* As in rdata.c; NULL: of no form that is worth a text of its own. */
static const char *text_layout(uint16_t type)
{
	switch (type) {
	case DNS_TXT:
	case 99:		/* SPF */
		return "s";
	case DNS_HINFO:
		return "cc";
	case DNS_DS:
	case 59:		/* CDS */
		return "211*";
	case 44:		/* SSHFP */
		return "11*";
	case 52:		/* TLSA */
		return "111*";
	case DNS_SIG:
	case 30:		/* NXT */
		return NULL;	/* what follows their names has forms of its own */
	default:
		return dns_rdata_layout(type);
	}
}

static bool text_address(struct text *t, uint16_t type, struct cursor *c)
{
	const uint8_t *octets = cursor_take(c, cursor_left(c));

	if (!octets || !inet_ntop(type == DNS_A ? AF_INET : AF_INET6, octets, t->out, INET6_ADDRSTRLEN))
		return false;
	t->len = strlen(t->out);
	return true;
}

/* False: the octets are not what the type says, or it has no text of its own. */
static bool text_known(struct text *t, uint16_t type, struct cursor c)
{
	const char *layout = text_layout(type);

	if (type == DNS_A || type == DNS_AAAA)
		return cursor_left(&c) == (type == DNS_A ? 4 : 16) && text_address(t, type, &c);
	for (const char *field = layout; field && *field; field++) {
		if (field != layout)
			t->out[t->len++] = ' ';
		text_field(t, *field, &c);
		if (c.bad)
			return false;
	}
	return layout && !cursor_left(&c);
}

size_t dns_rdata_to_text(uint16_t type, struct cursor rdata, char out[DNS_RDATA_TEXT_MAX])
{
	struct text t = { .out = out };

	if (!text_known(&t, type, rdata)) {
		t.len = 0;
		text_format(&t, "\\# %zu", cursor_left(&rdata));
		if (cursor_left(&rdata))
			t.out[t.len++] = ' ';
		text_hex(&t, &rdata, cursor_left(&rdata));
	}
	t.out[t.len] = '\0';
	return t.len;
}

bool dns_text_read(struct cursor *c, struct dns_text_record *out)
{
	struct dns_name owner;

	cursor_name(c, &owner);
	out->type = cursor_u16(c);
	cursor_skip(c, 2);
	out->ttl_s = cursor_u32(c);
	out->rdata = cursor_sub(c, cursor_u16(c));
	if (c->bad)
		return false;
	dns_name_to_text(owner.octets, owner.len, out->owner);
	return true;
}

const char *dns_rcode_to_text(uint16_t rcode, char buf[DNS_RCODE_TEXT_MAX])
{
	static const char *const names[] = {
		"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET",
		"NOTAUTH", "NOTZONE",
	};

	if (rcode < sizeof names / sizeof *names)
		return names[rcode];
	if (rcode == DNS_BADVERS)
		return "BADVERS";
	snprintf(buf, DNS_RCODE_TEXT_MAX, "RCODE%u", (unsigned)rcode);
	return buf;
}

int dns_rcode_from_text(const char *text, uint16_t *out)
{
	for (uint16_t rcode = 0; rcode < 4096; rcode++) {
		char buf[DNS_RCODE_TEXT_MAX];

		if (strcasecmp(dns_rcode_to_text(rcode, buf), text))
			continue;
		*out = rcode;
		return 0;
	}
	return -EINVAL;
}
