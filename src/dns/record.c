/* record.c - records one at a time. */
#include "dns/record.h"

#include "dns/rdata.h"
#include "dns/wire.h"

#include <string.h>

#define RDATA_ROOM 2048

uint32_t record_hash(const uint8_t *octets, size_t len, bool fold)
{
	uint32_t h = 0x811c9dc5u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (fold ? dns_fold[octets[i]] : octets[i])) * 0x01000193u;
	return h;
}

static bool record_rdata_ok(const struct record *r, struct cursor rdata)
{
	const char *layout = dns_rdata_layout(r->type);

	if (!dns_rdata_len_ok(r->type, r->rdata_len))
		return false;
	for (; layout && *layout; layout++) {
		switch (*layout) {
		case 'N':
		case 'n':
			cursor_skip_name(&rdata);
			break;
		case 'c':
			cursor_skip(&rdata, cursor_u8(&rdata));
			break;
		case '*':
			return !rdata.bad;
		default:
			cursor_skip(&rdata, (size_t)(*layout - '0'));
		}
		if (!layout[1])
			return !rdata.bad && !cursor_left(&rdata);
	}
	return true;
}

/* Types that never stand in answer or authority (OPT, TSIG and questions-only types). */
static bool record_is_meta(uint16_t type)
{
	return type == DNS_OPT || (type >= DNS_TKEY && type <= DNS_ANY) || type == 0;
}

enum record_read record_read(struct record *r, struct cursor *c, enum section section)
{
	struct dns_name owner;
	struct cursor   rdata;
	uint16_t        class;

	r->msg = c->base;
	r->msg_len = (uint16_t)c->len;
	r->section = (uint8_t)section;
	r->owner_at = (uint16_t)c->pos;
	cursor_name(c, &owner);
	r->type = cursor_u16(c);
	class = cursor_u16(c);
	r->ttl_s = cursor_u32(c);
	r->rdata_len = cursor_u16(c);
	r->rdata_at = (uint16_t)c->pos;
	rdata = cursor_sub(c, r->rdata_len);
	if (c->bad)
		return RECORD_MALFORMED;
	if (record_is_meta(r->type))
		return section == SECTION_ADDITIONAL ? RECORD_SKIPPED : RECORD_MALFORMED;
	if (class != DNS_IN)
		return RECORD_SKIPPED;
	if (!record_rdata_ok(r, rdata))
		return RECORD_MALFORMED;
	r->owner_hash = record_hash(owner.octets, owner.len, true);
	r->covered = r->type == DNS_RRSIG ? cursor_u16(&rdata) : 0;
	return rdata.bad ? RECORD_MALFORMED : RECORD_READ;
}

void record_owner(const struct record *r, struct dns_name *out)
{
	struct cursor c = cursor_of(r->msg, r->msg_len, r->owner_at);

	cursor_name(&c, out);
}

/* The name at the start of the RDATA. */
void record_rdata_name(const struct record *r, struct dns_name *out)
{
	struct cursor c = cursor_of(r->msg, (size_t)r->rdata_at + r->rdata_len, r->rdata_at);

	cursor_name(&c, out);
}

bool record_owned_by(const struct record *r, const struct dns_name *name, uint32_t hash)
{
	struct dns_name owner;

	if (r->owner_hash != hash)
		return false;
	record_owner(r, &owner);
	return dns_name_equal(owner.octets, owner.len, name->octets, name->len);
}

/* RDATA with its names written out, so that two ways of compressing one are equal; gives its length.  Where
 * there is nothing to write out, or too much of it, *out is the RDATA as it lies in the message. */
static size_t record_plain_rdata(const struct record *r, uint8_t room[RDATA_ROOM], const uint8_t **out)
{
	const char     *layout = dns_rdata_layout(r->type);
	struct cursor   rdata = cursor_of(r->msg, (size_t)r->rdata_at + r->rdata_len, r->rdata_at);
	struct dns_name name;
	size_t          n, len = 0;

	*out = r->msg + r->rdata_at;
	if (!layout || r->rdata_len > RDATA_ROOM - 2 * DNS_NAME_MAX)
		return r->rdata_len;
	*out = room;
	for (; *layout && *layout != '*'; layout++) {
		if (*layout == 'N' || *layout == 'n') {
			cursor_name(&rdata, &name);
			memcpy(room + len, name.octets, name.len);
			len += name.len;
			continue;
		}
		n = *layout == 'c' ? rdata.base[rdata.pos] + 1u : (size_t)(*layout - '0');
		memcpy(room + len, cursor_take(&rdata, n), n);
		len += n;
	}
	n = cursor_left(&rdata);
	if (n)
		memcpy(room + len, cursor_take(&rdata, n), n);
	return len + n;
}

uint32_t record_rdata_hash(const struct record *r)
{
	uint8_t        room[RDATA_ROOM];
	const uint8_t *rdata;
	size_t         len = record_plain_rdata(r, room, &rdata);

	return record_hash(rdata, len, false);
}

bool record_same(const struct record *a, const struct record *b)
{
	uint8_t        room_a[RDATA_ROOM], room_b[RDATA_ROOM];
	const uint8_t *rdata_a, *rdata_b;
	size_t         len;

	if (a->owner_hash != b->owner_hash || a->type != b->type)
		return false;
	len = record_plain_rdata(a, room_a, &rdata_a);
	return len == record_plain_rdata(b, room_b, &rdata_b) && !memcmp(rdata_a, rdata_b, len);
}

size_t record_write(const struct record *r, struct compress *out, size_t at, uint16_t *ttl_at)
{
	const char     *layout = dns_rdata_layout(r->type);
	struct cursor   rdata = cursor_of(r->msg, (size_t)r->rdata_at + r->rdata_len, r->rdata_at);
	struct dns_name name;
	size_t          start = at, len_at;

	/* names grow by less than 3 × 255 octets; reply[] has that much to spare */
	if (at + 12 + r->rdata_len > DNS_MESSAGE_MAX)
		return 0;
	record_owner(r, &name);
	at += compress_name(out, at, &name, COMPRESS_OWNER);
	wire_put_u16(out->reply + at, r->type);
	wire_put_u16(out->reply + at + 2, DNS_IN);
	*ttl_at = (uint16_t)(at + 4 - out->body_at);
	wire_put_u32(out->reply + at + 4, r->ttl_s);
	len_at = at + 8;
	at += 10;
	for (; layout && *layout && *layout != '*'; layout++) {
		size_t n;

		if (*layout == 'N' || *layout == 'n') {
			cursor_name(&rdata, &name);
			at += compress_name(out, at, &name,
			                    *layout == 'N' ? COMPRESS_RDATA : COMPRESS_NOT);
			continue;
		}
		n = *layout == 'c' ? rdata.base[rdata.pos] + 1u : (size_t)(*layout - '0');
		memcpy(out->reply + at, cursor_take(&rdata, n), n);
		at += n;
	}
	if (cursor_left(&rdata)) {
		size_t n = cursor_left(&rdata);

		if (at + n > DNS_MESSAGE_MAX)
			return 0;
		memcpy(out->reply + at, cursor_take(&rdata, n), n);
		at += n;
	}
	if (at > DNS_MESSAGE_MAX)
		return 0;
	wire_put_u16(out->reply + len_at, (uint16_t)(at - len_at - 2));
	return at - start;
}
