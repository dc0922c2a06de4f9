/* tls_tickets.c - a head, and a record for each ticket.
 *
 *   head     16 octets  "larder tickets 1"
 *            32         SHA-256 of all that follows
 *             1 + n     the version of GnuTLS, which alone knows what a ticket holds
 *   record   32         digest of the peer
 *             8         seconds of the wall clock until which it is good
 *             2 + n     the ticket
 *
 * The hash is there against accidents: who may write the file may also
 * compute it, and is kept away by whoever reads the file.
 */
#include "net/tls_tickets.h"

#include "dns/cursor.h"
#include "net/outbox.h"
#include "net/tls_peer.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <string.h>

#define MAGIC     "larder tickets 1"
#define MAGIC_LEN 16
#define HASH_LEN  32
#define HEAD_LEN  (MAGIC_LEN + HASH_LEN)

_Static_assert(sizeof MAGIC - 1 == MAGIC_LEN, "the head of the file");

/* ---- writing ---- */

struct writer {
	struct outbox *out;
	int            error;
};

static void writer_add(struct writer *w, const void *octets, size_t len)
{
	struct iovec part = { (void *)(uintptr_t)octets, len };

	if (w->error == 0)
		w->error = outbox_write(w->out, -1, &part, 1);
}

static void writer_add_number(struct writer *w, uint64_t number, unsigned octets)
{
	uint8_t big[8];

	for (unsigned i = 0; i < octets; i++)
		big[i] = (uint8_t)(number >> 8 * (octets - 1 - i));
	writer_add(w, big, octets);
}

static void writer_on_ticket(void *arg, const struct tls_peer *p, const struct tls_ticket *t)
{
	struct writer *w = arg;
	size_t         len = TLS_DIGEST_LEN + 8 + 2 + t->data.size;

	if (!t->lasting || t->data.size > UINT16_MAX || w->out->len + len > TLS_TICKETS_MAX)
		return;
	writer_add(w, tls_peer_digest(p), TLS_DIGEST_LEN);
	writer_add_number(w, (uint64_t)t->until_s, 8);
	writer_add_number(w, t->data.size, 2);
	writer_add(w, t->data.data, t->data.size);
}

int tls_tickets_write(struct tls_peer *const *peers, size_t count, int64_t now_s, struct outbox *out)
{
	const char   *version = gnutls_check_version(NULL);
	struct writer w = { .out = out };
	uint8_t       head[HEAD_LEN] = MAGIC;
	size_t        empty;

	writer_add(&w, head, sizeof head);
	writer_add_number(&w, strlen(version), 1);
	writer_add(&w, version, strlen(version));
	empty = out->len;
	for (size_t i = 0; i < count; i++)
		if (peers[i])
			tls_peer_show_tickets(peers[i], now_s, writer_on_ticket, &w);
	if (w.error < 0 || out->len == empty) {
		outbox_done(out);
		return w.error;
	}
	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, out->octets + out->at + HEAD_LEN, out->len - HEAD_LEN,
	                     out->octets + out->at + MAGIC_LEN) < 0)
		return -ENOMEM;
	return 0;
}

/* ---- reading ---- */

static bool tickets_have_head(struct cursor *c)
{
	const char    *version = gnutls_check_version(NULL);
	const uint8_t *magic = cursor_take(c, MAGIC_LEN), *hash = cursor_take(c, HASH_LEN), *written;
	uint8_t        own[HASH_LEN];
	size_t         n;

	if (c->bad || memcmp(magic, MAGIC, MAGIC_LEN) ||
	    gnutls_hash_fast(GNUTLS_DIG_SHA256, c->base + HEAD_LEN, c->len - HEAD_LEN, own) < 0 ||
	    memcmp(hash, own, HASH_LEN))
		return false;
	n = cursor_u8(c);
	written = cursor_take(c, n);
	return written && n == strlen(version) && !memcmp(written, version, n);
}

struct record {
	const uint8_t *digest;
	int64_t        until_s;
	const uint8_t *ticket;
	size_t         len;
};

static bool record_read(struct cursor *c, struct record *r)
{
	uint64_t high;

	r->digest = cursor_take(c, TLS_DIGEST_LEN);
	high = cursor_u32(c);
	r->until_s = (int64_t)(high << 32 | cursor_u32(c));
	r->len = cursor_u16(c);
	r->ticket = cursor_take(c, r->len);
	return !c->bad;
}

static bool tickets_are_whole(struct cursor c)
{
	struct record r;

	while (cursor_left(&c))
		if (!record_read(&c, &r))
			return false;
	return true;
}

/* One that is good for longer than any can be was written while the clock stood elsewhere. */
static bool record_is_good(const struct record *r, int64_t now_s)
{
	return r->len && r->until_s > now_s && r->until_s <= now_s + TLS_AUTHENTIC_MAX_S;
}

static bool record_give(const struct record *r, struct tls_peer *p)
{
	struct tls_ticket t = { .until_s = r->until_s, .lasting = true };

	t.data.data = gnutls_malloc(r->len);
	if (!t.data.data)
		return false;
	memcpy(t.data.data, r->ticket, r->len);
	t.data.size = (unsigned)r->len;
	tls_peer_keep_ticket(p, &t);
	return true;
}

int tls_tickets_read(const uint8_t *octets, size_t len, struct tls_peer *const *peers, size_t count, int64_t now_s)
{
	struct cursor c = cursor_of(octets, len, 0);
	struct record r;
	int           given = 0;

	if (!tickets_have_head(&c) || !tickets_are_whole(c))
		return -EBADMSG;
	while (cursor_left(&c) && record_read(&c, &r))
		for (size_t i = 0; i < count; i++)
			if (peers[i] && record_is_good(&r, now_s) &&
			    !memcmp(tls_peer_digest(peers[i]), r.digest, TLS_DIGEST_LEN)) {
				given += record_give(&r, peers[i]);
				break;		/* used once */
			}
	return given;
}
