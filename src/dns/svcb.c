/* svcb.c - keys and values, in ascending order of the keys (RFC 9460 s. 2.2). */
#include "dns/svcb.h"

#include "dns/cursor.h"

#include <errno.h>
#include <string.h>

enum svcb_key {
	SVCB_MANDATORY,
	SVCB_ALPN,
	SVCB_NO_DEFAULT_ALPN,
	SVCB_PORT,
	SVCB_IPV4HINT,
	SVCB_ECH,
	SVCB_IPV6HINT,
	SVCB_DOHPATH,
	SVCB_KEYS
};

/* Which keys there are; a bit for each that is known. */
struct svcb_seen {
	unsigned present, wanted;
};

static bool svcb_is_known(unsigned key)
{
	return key < SVCB_KEYS && key != SVCB_ECH && key != SVCB_MANDATORY;
}

/* Those without which the record means nothing (s. 8). */
static void svcb_read_mandatory(struct cursor *v, struct dns_svcb *out, struct svcb_seen *seen)
{
	int last = -1;

	v->bad |= !cursor_left(v);
	while (cursor_left(v)) {
		unsigned key = cursor_u16(v);

		v->bad |= (int)key <= last || key == SVCB_MANDATORY;
		last = (int)key;
		if (svcb_is_known(key))
			seen->wanted |= 1u << key;
		else
			out->strange = true;
	}
}

static void svcb_read_alpn(struct cursor *v, struct dns_svcb *out)
{
	v->bad |= !cursor_left(v);
	while (cursor_left(v)) {
		size_t         n = cursor_u8(v);
		const uint8_t *id = cursor_take(v, n);

		v->bad |= !n;
		if (!id)
			continue;
		out->dot |= n == 3 && !memcmp(id, "dot", 3);
		out->h2 |= n == 2 && !memcmp(id, "h2", 2);
	}
}

/* Addresses of size octets each; the first is as good as any. */
static const uint8_t *svcb_read_hint(struct cursor *v, size_t size)
{
	size_t         len = cursor_left(v);
	const uint8_t *first = cursor_take(v, size);

	v->bad |= len % size;
	cursor_skip(v, cursor_left(v));
	return first;
}

static void svcb_read_value(struct cursor *v, unsigned key, struct dns_svcb *out, struct svcb_seen *seen)
{
	switch (key) {
	case SVCB_MANDATORY:
		svcb_read_mandatory(v, out, seen);
		break;
	case SVCB_ALPN:
		svcb_read_alpn(v, out);
		break;
	case SVCB_NO_DEFAULT_ALPN:	/* resolvers have no default (RFC 9461 s. 4.1) */
		break;
	case SVCB_PORT:
		out->port = cursor_u16(v);
		v->bad |= !out->port;
		break;
	case SVCB_IPV4HINT:
		out->ipv4 = svcb_read_hint(v, 4);
		break;
	case SVCB_IPV6HINT:
		out->ipv6 = svcb_read_hint(v, 16);
		break;
	case SVCB_DOHPATH:
		out->dohpath_len = cursor_left(v);
		out->dohpath = (const char *)cursor_take(v, out->dohpath_len);
		break;
	default:
		cursor_skip(v, cursor_left(v));
		return;
	}
	v->bad |= v->pos != v->len;
	seen->present |= 1u << key;
}

int dns_svcb_read(const uint8_t *rdata, size_t len, struct dns_svcb *out)
{
	struct cursor    c = cursor_of(rdata, len, 0);
	struct svcb_seen seen = { 0 };
	const uint8_t   *target;
	size_t           target_len = 0;
	int              last = -1;

	memset(out, 0, sizeof *out);
	out->priority = cursor_u16(&c);
	target = cursor_plain_name(&c, &target_len);
	if (!target)
		return -EBADMSG;
	memcpy(out->target.octets, target, target_len);
	out->target.len = (uint8_t)target_len;
	while (cursor_left(&c)) {
		unsigned      key = cursor_u16(&c);
		size_t        n = cursor_u16(&c);
		struct cursor v = cursor_sub(&c, n);

		if (v.bad || (int)key <= last)
			return -EBADMSG;
		last = (int)key;
		svcb_read_value(&v, key, out, &seen);
		if (v.bad)
			return -EBADMSG;
	}
	if (c.bad || (seen.wanted & ~seen.present))
		return -EBADMSG;
	return 0;
}
