/* larder_cache.c - io.larder: what the cache holds, one entry as one object.
 *
 * A dump is made a slice at a time, each when the one before has been read, so
 * that neither workers nor memory feel how large the cache is.
 */
#include "control/call.h"
#include "control/control.h"
#include "control/records.h"
#include "control/reply.h"
#include "dns/rrtype.h"
#include "dns/text.h"
#include "dns/wire.h"

#include <stdlib.h>
#include <string.h>

#define SLICE_ENTRIES 64u
#define SLICE_OCTETS  (DNS_NAME_MAX + 65535u)	/* the largest entry; many usual ones */
#define SLICE_LOOKS   16u			/* at places without entries, before a reply without any */

/* Room for a look, and for a message around a body. */
struct slice {
	struct cache_seen seen[SLICE_ENTRIES];
	uint8_t           room[SLICE_OCTETS];
	uint8_t           msg[DNS_HEADER_LEN + DNS_NAME_MAX + 4 + 65535];
};

/* ---- an entry as an object ---- */

/* The message that an entry is the body of. */
static size_t cache_message(const struct cache_seen *e, uint8_t *msg)
{
	size_t at = DNS_HEADER_LEN;

	memset(msg, 0, DNS_HEADER_LEN);
	wire_put_u16(msg + 2, (uint16_t)(DNS_QR | e->found.head.rcode));
	wire_put_u16(msg + 4, 1);
	wire_put_u16(msg + 6, e->found.head.ancount);
	wire_put_u16(msg + 8, e->found.head.nscount);
	wire_put_u16(msg + 10, e->found.head.arcount);
	memcpy(msg + at, e->key.qname, e->key.qname_len);
	at += e->key.qname_len;
	wire_put_u16(msg + at, e->key.qtype);
	wire_put_u16(msg + at + 2, DNS_IN);
	memcpy(msg + at + 4, e->body, e->found.len);
	return at + 4 + e->found.len;
}

static const char *cache_state(const struct cache_found *f)
{
	if (f->kind == DNS_ANSWER_FAILURE)
		return "held";
	return f->left_ms > 0 ? "fresh" : "stale";
}

static const char *cache_refresh(const struct cache_found *f)
{
	return f->claim == CACHE_CLAIMED ? "due" : f->claim == CACHE_GIVEN_UP ? "failed" : "none";
}

/* Rounded down, so that 0 means less than a second, and below 0 it is past. */
static json_int_t cache_left_s(int64_t left_ms)
{
	return left_ms >= 0 ? left_ms / 1000 : -((-left_ms + 999) / 1000);
}

static json_t *cache_entry(const struct control_ops *ops, const struct cache_seen *e, uint8_t *msg)
{
	static const char *const kinds[] = {
		[DNS_ANSWER_POSITIVE] = "data", [DNS_ANSWER_NODATA] = "nodata",
		[DNS_ANSWER_NXDOMAIN] = "nxdomain", [DNS_ANSWER_FAILURE] = "failure",
	};
	char   name[DNS_NAME_TEXT_MAX], type[DNS_RRTYPE_TEXT_MAX], route[DNS_NAME_TEXT_MAX], rcode[DNS_RCODE_TEXT_MAX];
	bool   known = ops->route_suffix(ops->arg, e->key.route, route);
	size_t len = cache_message(e, msg);

	dns_name_to_text(e->key.qname, e->key.qname_len, name);
	return json_pack("{s:s, s:o, s:o, s:b, s:b, s:s, s:s, s:s, s:o, s:I, s:o, s:s, s:o}",
	                 "name", name,
	                 "type", reply_text(e->key.qtype ? dns_rrtype_to_text(e->key.qtype, type) : NULL),
	                 "route", reply_text(known ? route : NULL),
	                 "dnssec_ok", !!(e->key.variant & CACHE_DO),
	                 "checking_disabled", !!(e->key.variant & CACHE_CD),
	                 "kind", kinds[e->found.kind],
	                 "rcode", dns_rcode_to_text(e->found.head.rcode, rcode),
	                 "state", cache_state(&e->found),
	                 "ttl_s", reply_count(e->found.ttl_s),
	                 "left_s", cache_left_s(e->found.left_ms),
	                 "hits", reply_count(e->found.hits),
	                 "refresh", cache_refresh(&e->found),
	                 "records", records_of_message(msg, len));
}

/* Looks, and adds what is seen and wanted (type 0: all).  False: memory is short. */
static bool cache_look_once(const struct control_ops *ops, struct cache_cursor *at, struct slice *s, uint16_t type,
                            json_t *entries)
{
	size_t n = ops->look(ops->arg, at, s->seen, SLICE_ENTRIES, s->room, sizeof s->room);

	for (size_t i = 0; i < n; i++) {
		if (type && s->seen[i].key.qtype && s->seen[i].key.qtype != type)
			continue;
		if (json_array_append_new(entries, cache_entry(ops, &s->seen[i], s->msg)))
			return false;
	}
	return true;
}

/* ---- one name ---- */

void larder_cache_lookup(struct call *c)
{
	const char         *type_text = json_string_value(json_object_get(c->parameters, "type"));
	struct slice       *s = NULL;
	json_t             *entries;
	struct dns_name     name;
	struct cache_cursor at;
	uint16_t            type = 0;
	bool                ok = true;

	if (dns_name_from_text(json_string_value(json_object_get(c->parameters, "name")), &name)) {
		call_invalid(c, "name");
		return;
	}
	if (type_text && dns_rrtype_from_text(type_text, &type)) {
		call_invalid(c, "type");
		return;
	}
	if (type == DNS_ANY)
		type = 0;
	dns_name_lower(name.octets, name.len);
	s = malloc(sizeof *s);
	entries = json_array();
	c->ops->look_at(c->ops->arg, &at, name.octets, name.len);
	while (s && entries && ok && !cache_look_is_over(&at))
		ok = cache_look_once(c->ops, &at, s, type, entries);
	free(s);
	if (s && ok)
		call_reply(c, json_pack("{s:o}", "entries", entries));
	else {
		json_decref(entries);
		call_reply(c, NULL);
	}
}

/* ---- all names ---- */

struct dump {
	struct call_stream  stream;
	struct cache_cursor at;
	struct slice        slice;
};

static enum call_step dump_next(struct call_stream *stream, struct call *c)
{
	struct dump *d = (struct dump *)(void *)stream;
	json_t      *entries = json_array();
	bool         ok = entries;

	for (unsigned i = 0; ok && i < SLICE_LOOKS && !json_array_size(entries) && !cache_look_is_over(&d->at); i++)
		ok = cache_look_once(c->ops, &d->at, &d->slice, 0, entries);
	if (ok)
		call_reply(c, json_pack("{s:o}", "entries", entries));
	else {
		json_decref(entries);
		call_reply(c, NULL);
	}
	return cache_look_is_over(&d->at) ? CALL_STEP_LAST : CALL_STEP_MORE;
}

static void dump_free(struct call_stream *stream)
{
	free(stream);
}

void larder_cache_dump(struct call *c)
{
	struct dump *d = malloc(sizeof *d);

	if (!d) {
		call_reply(c, NULL);
		return;
	}
	d->stream = (struct call_stream){ .next = dump_next, .free = dump_free };
	c->ops->look_at(c->ops->arg, &d->at, NULL, 0);
	c->stream = &d->stream;
}
