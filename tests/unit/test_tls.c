/* test_tls.c - who gets a session, and what goes through it (TLS-01 to TLS-03, TLS-08 to TLS-10). */
#include "tls_rig.h"

#include "net/outbox.h"
#include "net/tls.h"
#include "net/tls_tickets.h"

#include <errno.h>
#include <unistd.h>

#define NAME    "dns.example"
#define ADDRESS "192.0.2.1"

static struct rig_cert authority, stranger, middle;
static char            authority_file[64];

/* A client and a server, and what has passed between them. */
struct world {
	struct tls_trust *trust;
	struct tls_peer  *peer;
	struct tls       *tls;
	struct outbox     out;
	struct rig_cert   cert;
	struct rig_tls    server;
	uint8_t           heard[RIG_BUFFER], read[RIG_BUFFER];	/* plaintext, by the server and the client */
	size_t            heard_len, read_len;
	int               error;	/* of the client */
};

static struct world w;

static void world_open(const struct rig_cert_conf *cert)
{
	memset(&w, 0, sizeof w);
	rig_cert_init(&w.cert, cert);
	rig_tls_init(&w.server, &w.cert);
}

static void world_open_good(void)
{
	world_open(&(struct rig_cert_conf){ .dns = NAME, .ip = ADDRESS, .issuer = &authority });
}

static void world_close(void)
{
	tls_free(w.tls);
	outbox_done(&w.out);
	tls_peer_unref(w.peer);
	tls_trust_unref(w.trust);
	rig_tls_done(&w.server);
	rig_cert_done(&w.cert);
}

/* Who is expected; the authority's word counts when there is a name. */
static void expect(const char *name, const uint8_t (*pins)[TLS_PIN_LEN], size_t pin_count)
{
	tls_peer_unref(w.peer);
	tls_trust_unref(w.trust);
	assert_int_equal(tls_trust_load(name ? authority_file : TLS_TRUST_NOBODY, &w.trust), 0);
	w.peer = tls_peer_new(&(struct tls_peer_conf){ .address = ADDRESS, .name = name, .pins = pins,
	                                               .pin_count = pin_count, .alpn = "dot", .trust = w.trust });
	assert_non_null(w.peer);
}

/* The client's turn: octets from the server, in pieces of step. */
static void client_hears(size_t step)
{
	static uint8_t octets[RIG_BUFFER];
	size_t         len = w.server.out_len;

	memcpy(octets, w.server.out, len);
	w.server.out_len = 0;
	for (size_t at = 0; at < len && !w.error; at += step) {
		ssize_t n;

		tls_hear(w.tls, octets + at, len - at < step ? len - at : step);
		while ((n = tls_read(w.tls, w.read + w.read_len, sizeof w.read - w.read_len)) > 0)
			w.read_len += (size_t)n;
		if (n != -EAGAIN)
			w.error = (int)n;
	}
}

static bool server_hears(void)
{
	bool some = w.out.len > 0;

	w.heard_len += rig_tls_hear(&w.server, w.out.octets + w.out.at, w.out.len, w.heard + w.heard_len,
	                            sizeof w.heard - w.heard_len);
	outbox_done(&w.out);
	return some;
}

static void talk(size_t step)
{
	while (server_hears() || w.server.out_len)
		client_hears(step);
}

static void begin(void)
{
	tls_free(w.tls);
	outbox_done(&w.out);
	w.error = 0;
	w.heard_len = w.read_len = 0;
	rig_tls_begin(&w.server);
	w.tls = tls_new(w.peer, &w.out);
	assert_non_null(w.tls);
}

static void connect_in_steps(size_t step)
{
	begin();
	talk(step);
}

static void connect_now(void)
{
	connect_in_steps(SIZE_MAX);
}

static void assert_refused(enum tls_reason reason)
{
	assert_false(tls_is_open(w.tls));
	assert_int_equal(tls_reason(w.tls), reason);
	assert_int_equal(w.error, tls_reason_is_certificate(reason) ? -EKEYREJECTED : -EPROTO);
	assert_int_equal(w.heard_len, 0);
}

/* Asks and answers once, so that we know the session carries. */
static void assert_carries(void)
{
	assert_int_equal(w.error, 0);
	assert_true(tls_is_open(w.tls));
	assert_int_equal(tls_write(w.tls, (const uint8_t *)"question", 8), 0);
	talk(SIZE_MAX);
	assert_int_equal(w.heard_len, 8);
	assert_memory_equal(w.heard, "question", 8);
	rig_tls_say(&w.server, "answer", 6);
	talk(SIZE_MAX);
	assert_int_equal(w.read_len, 6);
	assert_memory_equal(w.read, "answer", 6);
}

/* ---- tests ---- */

static void test_good_name(void **state)
{
	static const char *const priorities[] = { "NORMAL", "NORMAL:-VERS-ALL:+VERS-TLS1.2" };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		world_open_good();
		w.server.priority = priorities[i];
		expect(NAME, NULL, 0);
		connect_now();
		assert_carries();
		assert_string_equal(w.server.server_name, NAME);	/* SNI */
		assert_false(tls_is_resumed(w.tls));
		world_close();
	}
}

/* An address as a name: found among the certificate's addresses, and not sent as SNI. */
static void test_address_as_name(void **state)
{
	(void)state;
	world_open_good();
	expect(ADDRESS, NULL, 0);
	connect_now();
	assert_carries();
	assert_string_equal(w.server.server_name, "");
	expect("192.0.2.2", NULL, 0);
	connect_now();
	assert_refused(TLS_WRONG_NAME);
	world_close();
}

static void test_old_versions(void **state)
{
	(void)state;
	world_open_good();
	expect(NAME, NULL, 0);
	w.server.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.1";
	connect_now();
	assert_refused(TLS_PROTOCOL);
	world_close();
}

static void test_bad_certificates(void **state)
{
	const struct {
		struct rig_cert_conf cert;
		enum tls_reason      reason;
	} rows[] = {
		{ { .dns = "other.example", .issuer = &authority }, TLS_WRONG_NAME },
		{ { .common = NAME, .issuer = &authority }, TLS_WRONG_NAME },		/* name in CN only */
		{ { .ip = ADDRESS, .common = NAME, .issuer = &authority }, TLS_WRONG_NAME },
		{ { .dns = NAME, .issuer = &stranger }, TLS_UNKNOWN_ISSUER },
		{ { .dns = NAME }, TLS_UNKNOWN_ISSUER },				/* signed by itself */
		{ { .dns = NAME, .issuer = &authority, .from_s = -9 * RIG_DAY, .until_s = -RIG_DAY }, TLS_EXPIRED },
		{ { .dns = NAME, .issuer = &authority, .from_s = RIG_DAY, .until_s = 9 * RIG_DAY }, TLS_NOT_YET_VALID },
		{ { .dns = NAME, .issuer = &stranger, .from_s = -9 * RIG_DAY, .until_s = -RIG_DAY }, TLS_UNKNOWN_ISSUER },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		world_open(&rows[i].cert);
		expect(NAME, NULL, 0);
		connect_now();
		assert_refused(rows[i].reason);
		world_close();
	}
}

static void test_pins(void **state)
{
	uint8_t pins[2][TLS_PIN_LEN] = { { 1 }, { 2 } };

	(void)state;
	world_open(&(struct rig_cert_conf){ .dns = NAME, .from_s = -9 * RIG_DAY, .until_s = -RIG_DAY });
	expect(NULL, (const uint8_t (*)[TLS_PIN_LEN])pins, 2);
	connect_now();
	assert_refused(TLS_WRONG_PIN);
	rig_cert_pin(&w.cert, pins[0]);		/* one of two; the key is enough, signed by itself and old */
	expect(NULL, (const uint8_t (*)[TLS_PIN_LEN])pins, 2);
	connect_now();
	assert_carries();
	assert_string_equal(w.server.server_name, "");
	world_close();
}

static void test_pins_and_name(void **state)
{
	uint8_t pin[1][TLS_PIN_LEN];

	(void)state;
	world_open(&(struct rig_cert_conf){ .dns = NAME, .issuer = &stranger });
	rig_cert_pin(&w.cert, pin[0]);
	expect(NAME, (const uint8_t (*)[TLS_PIN_LEN])pin, 1);
	connect_now();
	assert_refused(TLS_UNKNOWN_ISSUER);	/* the pin alone is not enough when there is a name */
	world_close();
	world_open_good();
	expect(NAME, (const uint8_t (*)[TLS_PIN_LEN])pin, 1);
	connect_now();
	assert_refused(TLS_WRONG_PIN);
	rig_cert_pin(&w.cert, pin[0]);
	expect(NAME, (const uint8_t (*)[TLS_PIN_LEN])pin, 1);
	connect_now();
	assert_carries();
	world_close();
}

/* A pin may be that of an authority, sent or known; but not of one that did not sign. */
static void test_pin_of_authority(void **state)
{
	uint8_t           pin[1][TLS_PIN_LEN];
	gnutls_x509_crt_t chain[2];

	(void)state;
	world_open(&(struct rig_cert_conf){ .dns = NAME, .issuer = &middle });
	rig_cert_pin(&middle, pin[0]);
	expect(NAME, (const uint8_t (*)[TLS_PIN_LEN])pin, 1);
	connect_now();
	assert_carries();
	expect(NULL, (const uint8_t (*)[TLS_PIN_LEN])pin, 1);
	connect_now();
	assert_carries();
	rig_cert_pin(&authority, pin[0]);
	expect(NAME, (const uint8_t (*)[TLS_PIN_LEN])pin, 1);
	connect_now();
	assert_carries();
	world_close();

	world_open(&(struct rig_cert_conf){ .dns = NAME });
	chain[0] = w.cert.crt;
	chain[1] = authority.crt;		/* who has nothing to do with it */
	gnutls_certificate_free_keys(w.server.credentials);
	gnutls_certificate_set_flags(w.server.credentials, GNUTLS_CERTIFICATE_SKIP_KEY_CERT_MATCH);
	assert_true(gnutls_certificate_set_x509_key(w.server.credentials, chain, 2, w.cert.key) >= 0);
	expect(NULL, (const uint8_t (*)[TLS_PIN_LEN])pin, 1);
	connect_now();
	assert_refused(TLS_WRONG_PIN);
	world_close();
}

static void test_alpn(void **state)
{
	(void)state;
	world_open_good();
	expect(NAME, NULL, 0);
	w.server.alpn = "dot";
	connect_now();
	assert_carries();
	w.server.alpn = NULL;			/* a server that knows no ALPN */
	connect_now();
	assert_carries();
	tls_peer_unref(w.peer);
	w.peer = tls_peer_new(&(struct tls_peer_conf){ .address = ADDRESS, .name = NAME, .alpn = "h2",
	                                               .alpn_needed = true, .trust = w.trust });
	connect_now();
	assert_refused(TLS_PROTOCOL);
	w.server.alpn = "h2";
	connect_now();
	assert_carries();
	world_close();
}

/* Whatever the pieces, all arrives: a ticket before the first answer does not hold it back. */
static void test_pieces(void **state)
{
	static const size_t steps[] = { 1, 2, 5, 100, 1000, SIZE_MAX };
	static uint8_t      big[100000];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		world_open_good();
		gnutls_session_ticket_key_generate(&w.server.ticket_key);
		expect(NAME, NULL, 0);
		begin();
		server_hears();
		client_hears(steps[i]);
		assert_int_equal(tls_write(w.tls, (const uint8_t *)"q", 1), 0);
		server_hears();			/* tickets lie in its buffer now */
		assert_int_equal(w.heard_len, 1);
		for (size_t j = 0; j < sizeof big; j++)
			big[j] = (uint8_t)(j * 7);
		rig_tls_say(&w.server, big, sizeof big);
		client_hears(steps[i]);
		assert_int_equal(w.read_len, sizeof big);
		assert_memory_equal(w.read, big, sizeof big);
		assert_int_equal(tls_write(w.tls, big, sizeof big), 0);
		talk(steps[i]);
		assert_int_equal(w.heard_len, 1 + sizeof big);
		world_close();
	}
}

static void test_no_tls_there(void **state)
{
	static const char *const words[] = { "HTTP/1.1 400 Bad Request\r\n\r\n", "\0\14............",
		                             "\25\3\3\0\2\2\50" /* alert: handshake failure */ };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		world_open_good();
		expect(NAME, NULL, 0);
		begin();
		outbox_done(&w.out);
		w.server.out_len = i == 2 ? 7 : 14;
		memcpy(w.server.out, words[i], w.server.out_len);
		client_hears(SIZE_MAX);
		assert_refused(TLS_PROTOCOL);
		world_close();
	}
}

static void test_closing(void **state)
{
	(void)state;
	world_open_good();
	expect(NAME, NULL, 0);
	connect_now();
	gnutls_bye(w.server.session, GNUTLS_SHUT_WR);
	talk(SIZE_MAX);
	assert_int_equal(w.error, -ECONNRESET);
	assert_int_equal(tls_reason(w.tls), TLS_CLOSED);
	connect_now();
	tls_bye(w.tls);
	assert_true(w.out.len > 0);
	server_hears();
	assert_int_equal(gnutls_record_recv(w.server.session, w.heard, 1), 0);
	world_close();
}

/* Spoiled on the way: nothing of it is given, and the session ends. */
static void test_tampering(void **state)
{
	(void)state;
	world_open_good();
	expect(NAME, NULL, 0);
	connect_now();
	rig_tls_say(&w.server, "answer", 6);
	w.server.out[w.server.out_len - 1] ^= 1;
	client_hears(SIZE_MAX);
	assert_int_equal(w.read_len, 0);
	assert_int_equal(w.error, -EPROTO);
	world_close();
}

/* ---- tickets ---- */

static unsigned count_tickets(int64_t now_s)
{
	struct tls_ticket kept[8];
	unsigned          n = 0;

	while (tls_peer_take_ticket(w.peer, now_s, &kept[n]))
		n++;
	for (unsigned i = n; i-- > 0;)
		tls_peer_keep_ticket(w.peer, &kept[i]);
	return n;
}

static void test_resumption(void **state)
{
	static const char *const priorities[] = { "NORMAL", "NORMAL:-VERS-ALL:+VERS-TLS1.2" };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		world_open_good();
		w.server.priority = priorities[i];
		gnutls_session_ticket_key_generate(&w.server.ticket_key);
		expect(NAME, NULL, 0);
		connect_now();
		assert_carries();
		assert_true(count_tickets(time(NULL)) > 0);
		connect_now();
		assert_carries();
		assert_true(tls_is_resumed(w.tls));
		gnutls_free(w.server.ticket_key.data);	/* the server forgets: full handshake, no failure */
		w.server.ticket_key.data = NULL;
		gnutls_session_ticket_key_generate(&w.server.ticket_key);
		connect_now();
		assert_carries();
		assert_false(tls_is_resumed(w.tls));
		world_close();
	}
}

/* A ticket is used once, and is another peer's never. */
static void test_tickets_are_bound(void **state)
{
	uint8_t  pin[1][TLS_PIN_LEN] = { { 1 } };
	unsigned before;

	(void)state;
	world_open_good();
	gnutls_session_ticket_key_generate(&w.server.ticket_key);
	expect(NAME, NULL, 0);
	connect_now();
	assert_carries();
	before = count_tickets(time(NULL));
	assert_true(before > 0);
	begin();				/* takes one, whatever comes of it */
	assert_int_equal(count_tickets(time(NULL)), before - 1);
	expect(NAME, (const uint8_t (*)[TLS_PIN_LEN])pin, 1);
	connect_now();
	assert_refused(TLS_WRONG_PIN);
	assert_int_equal(count_tickets(time(NULL)), 0);
	world_close();
}

/* A ticket ends with the certificate, or after a day; resuming does not prolong it. */
static void test_tickets_end(void **state)
{
	static const struct {
		int64_t until_s, good_s, bad_s;
	} rows[] = { { 7200, 7100, 7201 }, { 9 * RIG_DAY, RIG_DAY - 100, RIG_DAY + 100 } };

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(rows); i++) {
		int64_t now_s = time(NULL);

		world_open(&(struct rig_cert_conf){ .dns = NAME, .issuer = &authority, .from_s = -RIG_DAY,
		                                    .until_s = rows[i].until_s });
		gnutls_session_ticket_key_generate(&w.server.ticket_key);
		expect(NAME, NULL, 0);
		connect_now();
		assert_carries();
		connect_now();
		assert_carries();
		assert_true(tls_is_resumed(w.tls));
		assert_true(count_tickets(now_s + rows[i].good_s) > 0);
		assert_int_equal(count_tickets(now_s + rows[i].bad_s), 0);
		world_close();
	}
}

/* Written, and read for another peer that is the same one: its session is resumed.  Only by TLS 1.3, and only
 * when it was authenticated as the same peer.  What is no ticket opens nothing and breaks nothing. */
static void test_tickets_outlive_the_peer(void **state)
{
	uint8_t       pin[1][TLS_PIN_LEN] = { { 1 } };
	struct outbox written = { 0 };

	(void)state;
	world_open_good();
	gnutls_session_ticket_key_generate(&w.server.ticket_key);
	expect(NAME, NULL, 0);
	w.server.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.2";
	connect_now();
	assert_carries();
	assert_true(count_tickets(time(NULL)) > 0);
	assert_int_equal(tls_tickets_write(&w.peer, 1, time(NULL), &written), 0);
	assert_int_equal(written.len, 0);
	expect(NAME, NULL, 0);
	w.server.priority = NULL;
	connect_now();
	assert_carries();
	assert_int_equal(tls_tickets_write(&w.peer, 1, time(NULL), &written), 0);
	assert_true(written.len > 0);
	expect(NAME, (const uint8_t (*)[TLS_PIN_LEN])pin, 1);
	assert_int_equal(tls_tickets_read(written.octets + written.at, written.len, &w.peer, 1, time(NULL)), 0);
	connect_now();
	assert_refused(TLS_WRONG_PIN);
	expect(NAME, NULL, 0);
	assert_true(tls_tickets_read(written.octets + written.at, written.len, &w.peer, 1, time(NULL)) > 0);
	connect_now();
	assert_carries();
	assert_true(tls_is_resumed(w.tls));
	outbox_done(&written);
	world_close();
}

static void test_a_ticket_that_is_none(void **state)
{
	static const unsigned sizes[] = { 1, 4, 100, 3000 };

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
		struct tls_ticket t = { .until_s = INT64_MAX, .lasting = true };

		world_open_good();
		expect(NAME, NULL, 0);
		t.data.data = gnutls_malloc(sizes[i]);
		t.data.size = sizes[i];
		memset(t.data.data, 0xa5, sizes[i]);
		tls_peer_keep_ticket(w.peer, &t);
		connect_now();
		assert_carries();
		assert_false(tls_is_resumed(w.tls));
		world_close();
	}
}

static void test_tickets_are_bounded(void **state)
{
	(void)state;
	world_open_good();
	expect(NAME, NULL, 0);
	for (unsigned i = 0; i < 9; i++) {
		struct tls_ticket t = { .until_s = 100 + i };

		t.data.data = gnutls_malloc(1);
		t.data.size = 1;
		tls_peer_keep_ticket(w.peer, &t);
	}
	assert_int_equal(count_tickets(0), 4);
	assert_int_equal(count_tickets(107), 1);
	world_close();
}

/* ---- authorities, peers ---- */

static void test_trust(void **state)
{
	struct tls_trust *t = NULL;
	char              name[] = "/tmp/test_tls.XXXXXX";
	int               fd = mkstemp(name);

	(void)state;
	assert_int_equal(tls_trust_load("/nonexistent", &t), -ENOENT);
	assert_true(fd >= 0);
	assert_int_equal(tls_trust_load(name, &t), -ENODATA);
	assert_int_equal(write(fd, "no certificate", 14), 14);
	assert_int_equal(tls_trust_load(name, &t), -ENODATA);
	close(fd);
	unlink(name);
	assert_null(t);
}

static void test_equality(void **state)
{
	static const uint8_t pins[2][TLS_PIN_LEN] = { { 1 }, { 2 } }, turned[2][TLS_PIN_LEN] = { { 2 }, { 1 } };
	struct tls_trust    *trust, *none;
	struct tls_peer     *peers[9];
	struct tls_peer_conf conf = { .address = ADDRESS, .name = NAME, .pins = pins, .pin_count = 2, .alpn = "dot" };

	(void)state;
	assert_int_equal(tls_trust_load(authority_file, &trust), 0);
	assert_int_equal(tls_trust_load(TLS_TRUST_NOBODY, &none), 0);
	conf.trust = trust;
	peers[0] = tls_peer_new(&conf);
	conf.pins = turned;			/* their order means nothing */
	peers[1] = tls_peer_new(&conf);
	assert_true(tls_peer_equal(peers[0], peers[1]));
	conf.pin_count = 1;
	peers[2] = tls_peer_new(&conf);
	conf.pin_count = 0;
	peers[3] = tls_peer_new(&conf);
	conf.name = "other.example";
	peers[4] = tls_peer_new(&conf);
	conf.address = "192.0.2.2";
	peers[5] = tls_peer_new(&conf);
	conf.trust = none;
	peers[6] = tls_peer_new(&conf);
	conf.alpn = "h2";
	peers[7] = tls_peer_new(&conf);
	conf.alpn_needed = true;
	peers[8] = tls_peer_new(&conf);
	for (size_t i = 1; i < COUNT_OF(peers); i++)
		for (size_t j = i + 1; j < COUNT_OF(peers); j++)
			assert_false(tls_peer_equal(peers[i], peers[j]));
	assert_false(tls_peer_equal(peers[0], NULL));
	assert_true(tls_peer_equal(NULL, NULL));
	for (size_t i = 0; i < COUNT_OF(peers); i++)
		tls_peer_unref(peers[i]);
	tls_trust_unref(trust);
	tls_trust_unref(none);
}

static int make_authorities(void **state)
{
	(void)state;
	rig_cert_init(&authority, &(struct rig_cert_conf){ .authority = true, .common = "authority" });
	rig_cert_init(&stranger, &(struct rig_cert_conf){ .authority = true, .common = "stranger" });
	rig_cert_init(&middle, &(struct rig_cert_conf){ .authority = true, .common = "middle", .issuer = &authority });
	rig_cert_write(&authority, authority_file);
	return 0;
}

static int drop_authorities(void **state)
{
	(void)state;
	unlink(authority_file);
	rig_cert_done(&authority);
	rig_cert_done(&stranger);
	rig_cert_done(&middle);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_name),
		cmocka_unit_test(test_address_as_name),
		cmocka_unit_test(test_old_versions),
		cmocka_unit_test(test_bad_certificates),
		cmocka_unit_test(test_pins),
		cmocka_unit_test(test_pins_and_name),
		cmocka_unit_test(test_pin_of_authority),
		cmocka_unit_test(test_alpn),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_no_tls_there),
		cmocka_unit_test(test_closing),
		cmocka_unit_test(test_tampering),
		cmocka_unit_test(test_resumption),
		cmocka_unit_test(test_tickets_are_bound),
		cmocka_unit_test(test_tickets_end),
		cmocka_unit_test(test_tickets_outlive_the_peer),
		cmocka_unit_test(test_a_ticket_that_is_none),
		cmocka_unit_test(test_tickets_are_bounded),
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_equality),
	};

	return cmocka_run_group_tests_name("net/tls", tests, make_authorities, drop_authorities);
}
