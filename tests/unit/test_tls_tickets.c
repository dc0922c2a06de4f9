/* test_tls_tickets.c - tickets as octets: what is written, what is taken, and what is not (TLS-09). */
#include "guard.h"
#include "tls_rig.h"

#include "net/outbox.h"
#include "net/tls_peer.h"
#include "net/tls_tickets.h"

#include <errno.h>
#include <gnutls/crypto.h>

#define NOW  1700000000
#define HEAD 48		/* magic and hash */

enum { ONE, OTHER_NAME, OTHER_PIN, OTHER_ADDRESS, OTHER_TRUST, PEERS };

static struct tls_trust *nobody, *somebody;

/* A peer of each kind, as after a start. */
static void make_peers(struct tls_peer *peers[PEERS])
{
	static const uint8_t pin[1][TLS_PIN_LEN] = { { 1 } }, other_pin[1][TLS_PIN_LEN] = { { 2 } };

	for (unsigned i = 0; i < PEERS; i++) {
		struct tls_peer_conf conf = {
			.address = i == OTHER_ADDRESS ? "192.0.2.2:853" : "192.0.2.1:853",
			.name = i == OTHER_NAME ? "other.example" : "dns.example",
			.pins = i == OTHER_PIN ? other_pin : pin,
			.pin_count = 1,
			.alpn = "dot",
			.trust = i == OTHER_TRUST ? somebody : nobody,
		};

		peers[i] = tls_peer_new(&conf);
		assert_non_null(peers[i]);
	}
}

static void drop_peers(struct tls_peer *peers[PEERS])
{
	for (unsigned i = 0; i < PEERS; i++)
		tls_peer_unref(peers[i]);
}

static void keep(struct tls_peer *p, const char *text, size_t len, int64_t until_s, bool lasting)
{
	struct tls_ticket t = { .until_s = until_s, .lasting = lasting };

	t.data.data = gnutls_malloc(len);
	t.data.size = (unsigned)len;
	memset(t.data.data, text[0], len);
	memcpy(t.data.data, text, strlen(text) < len ? strlen(text) : len);
	tls_peer_keep_ticket(p, &t);
}

/* Takes the newest ticket; its text, or NULL. */
static const char *take(struct tls_peer *p)
{
	static char       text[64];
	struct tls_ticket t;

	if (!tls_peer_take_ticket(p, NOW, &t))
		return NULL;
	assert_true(t.lasting);
	snprintf(text, sizeof text, "%.*s", (int)t.data.size, (const char *)t.data.data);
	tls_ticket_done(&t);
	return text;
}

/* What is written of a peer with three tickets and one with another. */
static void write_some(struct outbox *out)
{
	struct tls_peer *peers[PEERS];

	make_peers(peers);
	keep(peers[ONE], "first", 5, NOW + 100, true);
	keep(peers[ONE], "second", 6, NOW + 86400, true);
	keep(peers[ONE], "expired", 7, NOW, true);
	keep(peers[ONE], "tls 1.2", 7, NOW + 100, false);
	keep(peers[OTHER_NAME], "third", 5, NOW + 100, true);
	assert_int_equal(tls_tickets_write(peers, PEERS, NOW, out), 0);
	assert_true(out->len > HEAD);
	drop_peers(peers);
}

static const uint8_t *octets_of(const struct outbox *out)
{
	return out->octets + out->at;
}

/* After a restart each peer has what is its own, newest first, and nobody else's; each ticket once. */
static void test_a_round_trip(void **state)
{
	struct tls_peer *peers[PEERS];
	struct outbox    out = { 0 };

	(void)state;
	write_some(&out);
	make_peers(peers);
	assert_int_equal(tls_tickets_read(octets_of(&out), out.len, peers, PEERS, NOW), 3);
	assert_string_equal(take(peers[ONE]), "second");
	assert_string_equal(take(peers[ONE]), "first");
	assert_null(take(peers[ONE]));
	assert_string_equal(take(peers[OTHER_NAME]), "third");
	for (unsigned i = OTHER_NAME; i < PEERS; i++)
		assert_null(take(peers[i]));
	drop_peers(peers);
	outbox_done(&out);
}

/* Two peers of one digest (the same server, listed twice) do not both get a ticket. */
static void test_used_once(void **state)
{
	struct tls_peer *peers[PEERS], *again[PEERS], *twice[3];
	struct outbox    out = { 0 };

	(void)state;
	write_some(&out);
	make_peers(peers);
	make_peers(again);
	twice[0] = peers[ONE];
	twice[1] = NULL;
	twice[2] = again[ONE];
	assert_int_equal(tls_tickets_read(octets_of(&out), out.len, twice, 3, NOW), 2);
	assert_non_null(take(peers[ONE]));
	assert_null(take(again[ONE]));
	drop_peers(peers);
	drop_peers(again);
	outbox_done(&out);
}

/* Neither what has expired meanwhile, nor what claims to be good for longer than a day: the clock was set back. */
static void test_when_they_are_good(void **state)
{
	static const struct {
		int64_t now_s;
		int     good;
	} rows[] = { { NOW, 3 }, { NOW + 99, 3 }, { NOW + 100, 1 }, { NOW + 86399, 1 }, { NOW + 86400, 0 },
		     { NOW - 1, 2 }, { NOW - 86301, 0 } };
	struct outbox out = { 0 };

	(void)state;
	write_some(&out);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct tls_peer *peers[PEERS];

		make_peers(peers);
		assert_int_equal(tls_tickets_read(octets_of(&out), out.len, peers, PEERS, rows[i].now_s), rows[i].good);
		drop_peers(peers);
	}
	outbox_done(&out);
}

static void test_nothing_to_write(void **state)
{
	struct tls_peer *peers[PEERS];
	struct outbox    out = { 0 };

	(void)state;
	make_peers(peers);
	assert_int_equal(tls_tickets_write(peers, PEERS, NOW, &out), 0);
	assert_int_equal(out.len, 0);
	keep(peers[ONE], "x", 1, NOW + 100, false);
	assert_int_equal(tls_tickets_write(peers, PEERS, NOW, &out), 0);
	assert_int_equal(out.len, 0);
	drop_peers(peers);
}

/* However much there is, the file stays bounded, and what is written can be read. */
static void test_bounds(void **state)
{
	struct tls_peer *peers[PEERS], *fresh[PEERS];
	struct outbox    out = { 0 };

	(void)state;
	make_peers(peers);
	make_peers(fresh);
	for (unsigned i = 0; i < PEERS; i++)
		for (unsigned j = 0; j < 4; j++)
			keep(peers[i], "t", i ? 60000 : 65536, NOW + 100, true);
	assert_int_equal(tls_tickets_write(peers, PEERS, NOW, &out), 0);
	assert_true(out.len > 16 * 60000 && out.len <= TLS_TICKETS_MAX);
	assert_int_equal(tls_tickets_read(octets_of(&out), out.len, fresh, PEERS, NOW), 16);	/* those of 65536 octets are none */
	outbox_done(&out);
	drop_peers(peers);
	drop_peers(fresh);
}

/* ---- what is no such file ---- */

static void assert_not_taken(struct guard *g, const uint8_t *octets, size_t len)
{
	struct tls_peer *peers[PEERS];

	make_peers(peers);
	assert_int_equal(tls_tickets_read(guard_copy(g, octets, len), len, peers, PEERS, NOW), -EBADMSG);
	for (unsigned i = 0; i < PEERS; i++)
		assert_null(take(peers[i]));
	drop_peers(peers);
}

/* Puts the hash right, as somebody might who wants to be believed. */
static void seal(uint8_t *octets, size_t len)
{
	if (len >= HEAD)
		gnutls_hash_fast(GNUTLS_DIG_SHA256, octets + HEAD, len - HEAD, octets + 16);
}

/* Cut anywhere; with the hash put right, cut anywhere but between records. */
static void test_every_truncation(void **state)
{
	struct outbox out = { 0 };
	struct guard  g;
	uint8_t       copy[1024];
	unsigned      whole = 0;

	(void)state;
	write_some(&out);
	assert_true(out.len < sizeof copy);
	guard_init(&g, sizeof copy);
	for (size_t len = 0; len < out.len; len++)
		assert_not_taken(&g, octets_of(&out), len);
	for (size_t len = 0; len < out.len; len++) {
		struct tls_peer *peers[PEERS];

		memcpy(copy, octets_of(&out), len);
		seal(copy, len);
		make_peers(peers);
		whole += tls_tickets_read(guard_copy(&g, copy, len), len, peers, PEERS, NOW) >= 0;
		drop_peers(peers);
	}
	assert_int_equal(whole, 3);		/* with no record, one, and two */
	guard_done(&g);
	outbox_done(&out);
}

static void test_every_bit(void **state)
{
	struct outbox out = { 0 };
	struct guard  g;

	(void)state;
	write_some(&out);
	guard_init(&g, out.len);
	for (size_t bit = 0; bit < out.len * 8; bit++) {
		out.octets[out.at + bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_not_taken(&g, octets_of(&out), out.len);
		out.octets[out.at + bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	guard_done(&g);
	outbox_done(&out);
}

/* Written with another version of GnuTLS: what a ticket holds is its own affair. */
static void test_another_version(void **state)
{
	struct outbox out = { 0 };
	struct guard  g;

	(void)state;
	write_some(&out);
	guard_init(&g, out.len);
	out.octets[out.at + HEAD + 1]++;
	seal(out.octets + out.at, out.len);
	assert_not_taken(&g, octets_of(&out), out.len);
	guard_done(&g);
	outbox_done(&out);
}

static int make_trusts(void **state)
{
	struct rig_cert authority;
	char            file[64];
	int             error;

	(void)state;
	rig_cert_init(&authority, &(struct rig_cert_conf){ .authority = true, .common = "authority" });
	rig_cert_write(&authority, file);
	error = tls_trust_load(file, &somebody);
	unlink(file);
	rig_cert_done(&authority);
	return error < 0 || tls_trust_load(TLS_TRUST_NOBODY, &nobody) < 0;
}

static int drop_trusts(void **state)
{
	(void)state;
	tls_trust_unref(nobody);
	tls_trust_unref(somebody);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_round_trip),
		cmocka_unit_test(test_used_once),
		cmocka_unit_test(test_when_they_are_good),
		cmocka_unit_test(test_nothing_to_write),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_another_version),
	};

	return cmocka_run_group_tests_name("net/tls_tickets", tests, make_trusts, drop_trusts);
}
