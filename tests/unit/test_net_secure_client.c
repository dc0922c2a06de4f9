/* test_net_secure_client.c - questions over TLS and HTTPS, and what becomes of them when things go wrong
 * (conformance section 20; what plain TCP shares is in test_net_stream_client.c). */
#include "net_probe.h"
#include "net_secure.h"

#include "net/h2.h"

struct world {
	struct rig            rig;
	struct net_client     client;
	struct transport_conf conf;
	struct h2_target      target;
	struct secure         server;
	struct transport     *t;
	unsigned              opened, resumed;
	const char           *doubt;	/* that the first question knew of when the last stream was opened */
};

static struct world w;
static struct probe probes[8];

static void on_opened(void *arg, const struct transport_opening *how)
{
	assert_ptr_equal(arg, &w);
	assert_true(how->handshake_us > 0);
	w.opened++;
	w.doubt = probes[0].send.doubt;
	w.resumed += how->resumed;
}

static void make(enum transport_kind kind, const char *name)
{
	struct addr to = rig_name(w.server.listener);

	w.conf.tls = secure_peer(&w.server, name);
	w.conf.http = kind == TRANSPORT_HTTPS ? &w.target : NULL;
	w.t = probe_transport(&w.rig, &w.client, kind, &to, &w.conf);
	tls_peer_unref(w.conf.tls);
}

static void world_open(enum transport_kind kind)
{
	memset(&w, 0, sizeof w);
	memset(probes, 0, sizeof probes);
	rig_open(&w.rig);
	secure_open(&w.server, SECURE_NAME);
	w.server.http = kind == TRANSPORT_HTTPS;
	w.target = (struct h2_target){ .authority = SECURE_NAME, .path = "/dns-query" };
	w.conf = (struct transport_conf){ .silence_ms = 10000, .idle_ms = 10000, .connect_ms = 10000,
	                                  .opened = on_opened, .arg = &w };
	make(kind, SECURE_NAME);
}

static void world_close(void)
{
	for (size_t i = 0; i < COUNT_OF(probes); i++)
		transport_end(&probes[i].send);
	transport_close(w.t);
	uv_run(&w.rig.loop, UV_RUN_NOWAIT);
	secure_close(&w.server);
	rig_close(&w.rig);
}

#define until(condition) rig_until(&w.rig, secure_turn(&w.server) && (condition))

static unsigned questions(void)
{
	return w.server.http ? w.server.h2.count : (unsigned)(w.server.heard_len / 22);
}

/* The n-th question on this connection is answered with itself, or with another status. */
static void answer(unsigned n, const char *status)
{
	if (w.server.http) {
		const struct h2_rig_request *q = &w.server.h2.requests[n];

		h2_rig_reply(&w.server.h2, q->stream, &(struct h2_rig_reply){ .status = status, .body = q->body,
		                                                              .body_len = q->body_len, .age = "7" });
	} else {
		secure_say(&w.server, w.server.heard + 22 * n, 22);
	}
}

static const enum transport_kind both[] = { TRANSPORT_TLS, TRANSPORT_HTTPS };

#define for_both(k) for (unsigned k = 0; k < 2; k++)

/* ---- as it should be ---- */

static void test_reverse_order(void **state)
{
	(void)state;
	for_both(k) {
		world_open(both[k]);
		for (unsigned i = 0; i < 5; i++)
			assert_int_equal(probe_ask(&probes[i], w.t, (uint8_t)i), 0);
		until(questions() == 5);
		for (unsigned i = 5; i-- > 0;)
			answer(i, NULL);
		for (unsigned i = 0; i < 5; i++) {
			const struct transport_send *s = &probes[i].send;

			until(probes[i].messages);
			assert_int_equal(probes[i].messages, 1);
			assert_int_equal(probes[i].octet, i);
			assert_true(s->connected_us > 0 && s->secured_us > s->connected_us);
			assert_true(s->sent_us >= s->secured_us);
			assert_true(s->first_us >= s->sent_us);
			assert_false(s->resumed);
			assert_int_equal(s->age_s, k ? 7 : 0);
		}
		assert_int_equal(w.server.accepted, 1);
		assert_int_equal(w.opened, 1);
		world_close();
	}
}

/* The server closes after each answer: each question opens anew, with a ticket. */
static void test_closes_after_each(void **state)
{
	(void)state;
	for_both(k) {
		world_open(both[k]);
		for (unsigned i = 0; i < 4; i++) {
			assert_int_equal(probe_ask(&probes[i], w.t, 1), 0);
			until(w.server.accepted == i + 1 && questions());
			answer(0, NULL);
			until(probes[i].messages);
			assert_int_equal(probes[i].send.resumed, i > 0);
			transport_end(&probes[i].send);
			secure_hang_up(&w.server);
			rig_idle(&w.rig);
		}
		assert_int_equal(w.resumed, 3);
		world_close();
	}
}

/* What was asked on a connection that ends is lost at once, and may be asked on the next. */
static void test_closes_under_questions(void **state)
{
	(void)state;
	for_both(k) {
		world_open(both[k]);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(probe_ask(&probes[i], w.t, 1), 0);
		until(questions() == 3);
		answer(1, NULL);
		until(probes[1].messages);
		secure_hang_up(&w.server);
		until(probes[0].losses && probes[2].losses);
		assert_int_equal(probes[0].error, -ECONNRESET);
		assert_int_equal(probe_ask(&probes[3], w.t, 1), 0);
		until(w.server.accepted == 2 && questions());
		answer(0, NULL);
		until(probes[3].messages);
		world_close();
	}
}

/* ---- who is not let in ---- */

static void test_wrong_name(void **state)
{
	(void)state;
	for_both(k) {
		world_open(both[k]);
		transport_close(w.t);
		make(both[k], "other.example");
		assert_int_equal(probe_ask(&probes[0], w.t, 1), 0);
		until(probes[0].losses);
		assert_int_equal(probes[0].error, -EKEYREJECTED);
		until(w.server.gone);
		assert_int_equal(w.server.heard_len, 0);
		/* It is not bothered again for now. */
		assert_int_equal(probe_ask(&probes[1], w.t, 1), -EKEYREJECTED);
		assert_int_equal(w.server.accepted, 1);
		assert_int_equal(w.opened, 0);
		world_close();
	}
}

/* The next connection hears this and is closed.  Gives what its question was lost to. */
static int spoil_handshake(struct probe *p, const char *words, size_t len)
{
	int fd;

	assert_int_equal(probe_ask(p, w.t, 1), 0);
	rig_until(&w.rig, (fd = accept(w.server.listener, NULL, NULL)) >= 0);
	rig_idle(&w.rig);
	send(fd, words, len, MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	rig_until(&w.rig, p->losses);
	close(fd);
	return p->error;
}

/* A question that waited for the stream knows what it goes over before anybody is told that it is open, however
 * long it takes until all is written. */
static void test_doubt_is_known_when_open(void **state)
{
	(void)state;
	for_both(k) {
		world_open(both[k]);
		transport_close(w.t);
		w.server.opportunistic = true;
		make(both[k], "other.example");
		assert_int_equal(probe_ask(&probes[0], w.t, 1), 0);
		assert_null(probes[0].send.doubt);
		until(w.opened);
		assert_non_null(w.doubt);
		assert_non_null(strstr(w.doubt, "another name"));
		until(questions());
		answer(0, NULL);
		until(probes[0].messages);
		assert_ptr_equal(probes[0].send.doubt, w.doubt);
		world_close();
	}
}

/* Who refused is known by its address, whatever the order in which the addresses are tried. */
static void test_refusal_outlives_rotation(void **state)
{
	struct addr      any = rig_addr("127.0.0.1", 0), bad;
	struct addr_list to = { .count = 0 };
	int              closed = rig_socket(SOCK_STREAM, &any);

	(void)state;
	assert_int_equal(bind(closed, &any.sa, addr_len(&any)), 0);
	world_open(TRANSPORT_TLS);
	transport_close(w.t);
	make(TRANSPORT_TLS, "other.example");
	assert_int_equal(probe_ask(&probes[0], w.t, 1), 0);
	until(probes[0].losses);
	assert_int_equal(probes[0].error, -EKEYREJECTED);
	bad = rig_name(w.server.listener);
	addr_list_add(&to, &bad);
	addr_list_add(&to, &(struct addr){ 0 });
	to.at[1] = rig_name(closed);
	addr_list_turn(&to);
	transport_aim(w.t, &to);
	assert_int_equal(probe_ask(&probes[1], w.t, 1), 0);	/* the loop's clock stands still until then */
	until(probes[1].losses);
	assert_int_equal(probes[1].error, -ECONNREFUSED);
	assert_int_equal(w.server.accepted, 1);
	/* The address is given up, and is somebody else's when it comes back. */
	to.count = 1;
	to.at[0] = rig_name(closed);
	transport_aim(w.t, &to);
	to.at[0] = bad;
	transport_aim(w.t, &to);
	assert_int_equal(probe_ask(&probes[2], w.t, 1), 0);
	until(probes[2].losses);
	assert_int_equal(probes[2].error, -EKEYREJECTED);
	assert_int_equal(w.server.accepted, 2);
	world_close();
	close(closed);
}

static void test_no_tls_there(void **state)
{
	static const char *const words[] = { "HTTP/1.1 400 Bad Request\r\n\r\n", "\25\3\3\0\2\2\50" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		world_open(TRANSPORT_TLS);
		assert_int_equal(spoil_handshake(&probes[0], words[i], i == 1 ? 7 : strlen(words[i])), -EPROTO);
		assert_int_equal(probe_ask(&probes[1], w.t, 1), -EPROTO);
		world_close();
	}
}

/* A server that hangs up may be starting anew: it is asked again at once, on another connection. */
static void test_hangs_up_in_handshake(void **state)
{
	(void)state;
	world_open(TRANSPORT_TLS);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(spoil_handshake(&probes[i], "", 0), -ECONNRESET);
	assert_int_equal(probe_ask(&probes[3], w.t, 1), 0);
	until(questions());
	answer(0, NULL);
	until(probes[3].messages);
	world_close();
}

/* It accepts and says nothing. */
static void test_silent_handshake(void **state)
{
	(void)state;
	world_open(TRANSPORT_TLS);
	transport_close(w.t);
	w.conf.connect_ms = 40;
	make(TRANSPORT_TLS, SECURE_NAME);
	assert_int_equal(probe_ask(&probes[0], w.t, 1), 0);
	rig_until(&w.rig, probes[0].losses);
	assert_int_equal(probes[0].error, -ETIMEDOUT);
	assert_true(probes[0].send.connected_us > 0 || probes[0].send.secured_us == 0);
	assert_int_equal(probe_ask(&probes[1], w.t, 1), 0);	/* that may have been the way there */
	world_close();
}

/* What is long in opening may have met a dead way: others are asked on a stream of their own, and once one is
 * open, on that. */
static void test_long_in_opening(void **state)
{
	uint64_t began_ms;

	(void)state;
	for_both(k) {
		world_open(both[k]);
		transport_close(w.t);
		w.conf.connect_ms = 1000;	/* suspect after 200 */
		make(both[k], SECURE_NAME);
		began_ms = rig_now_ms();
		assert_int_equal(probe_ask(&probes[0], w.t, 1), 0);
		assert_int_equal(probe_ask(&probes[1], w.t, 1), 0);
		assert_ptr_equal(probes[1].send.place, probes[0].send.place);
		rig_until(&w.rig, rig_now_ms() > began_ms + 210);
		assert_int_equal(probe_ask(&probes[2], w.t, 1), 0);
		assert_ptr_not_equal(probes[2].send.place, probes[0].send.place);
		until(w.opened);		/* the first, since the server takes one at a time */
		assert_int_equal(probe_ask(&probes[3], w.t, 1), 0);
		assert_ptr_equal(probes[3].send.place, probes[0].send.place);
		world_close();
	}
}

/* ---- streams that are not what they were ---- */

/* While one question goes unanswered, new ones go elsewhere; the answer still counts. */
static void test_suspect(void **state)
{
	(void)state;
	for_both(k) {
		int     first;
		uint8_t question[22];

		world_open(both[k]);
		transport_close(w.t);
		w.conf.silence_ms = 2000;	/* suspect after 500 */
		make(both[k], SECURE_NAME);
		assert_int_equal(probe_ask(&probes[0], w.t, 1), 0);
		until(questions() == 1);
		assert_int_equal(probe_ask(&probes[1], w.t, 2), 0);
		until(questions() == 2);
		assert_int_equal(w.server.accepted, 1);
		for (uint64_t from_ms = rig_now_ms(); rig_now_ms() < from_ms + 520;)
			rig_turn(&w.rig);
		first = w.server.peer;
		memcpy(question, w.server.heard, sizeof question);
		assert_int_equal(probe_ask(&probes[2], w.t, 3), 0);
		w.server.peer = w.server.http ? w.server.peer : -1;	/* keep the first open */
		until(w.server.accepted == 2 && questions());
		answer(0, NULL);
		until(probes[2].messages);
		if (!w.server.http)
			close(first);
		world_close();
	}
}

/* Asks on connection n of the server, and has the answer. */
static void converse(unsigned n, struct probe *p)
{
	rig_idle(&w.rig);
	assert_int_equal(probe_ask(p, w.t, 1), 0);
	until(w.server.accepted == n && questions());
	answer(0, NULL);
	until(p->messages);
	transport_end(&p->send);
}

static void rest(uint64_t rest_ms)
{
	uint64_t from_ms = rig_now_ms();

	while (rig_now_ms() < from_ms + rest_ms)
		rig_turn(&w.rig);
}

/* A server that closes connections at rest, twice after the same time, is left before it does so again. */
static void test_learns_idle_time(void **state)
{
	uint64_t from_ms;

	(void)state;
	world_open(TRANSPORT_TLS);
	for (unsigned i = 1; i <= 2; i++) {
		converse(i, &probes[i]);
		rest(400);
		assert_false(w.server.gone);
		secure_hang_up(&w.server);
	}
	converse(3, &probes[3]);
	from_ms = rig_now_ms();
	until(w.server.gone);			/* long before our own 10 s */
	assert_in_range(rig_now_ms() - from_ms, 100, 5000);
	assert_int_equal(w.server.accepted, 3);	/* and nothing is opened for nobody */
	world_close();
}

/* One that was restarted, or closes after each answer, or whenever it likes, has shown no idle time. */
static void test_learns_nothing_from_chance(void **state)
{
	static const uint64_t rests_ms[] = { 0, 400, 0, 0, 800, 300 };

	(void)state;
	world_open(TRANSPORT_TLS);
	for (unsigned i = 0; i < 6; i++) {
		converse(i + 1, &probes[i]);
		rest(rests_ms[i]);
		assert_false(w.server.gone);
		secure_hang_up(&w.server);
	}
	converse(7, &probes[6]);
	rest(1000);
	assert_false(w.server.gone);
	world_close();
}

/* ---- HTTP ---- */

static void test_http_failures(void **state)
{
	static uint8_t id_5[20] = { 0, 5 };

	(void)state;
	world_open(TRANSPORT_HTTPS);
	assert_int_equal(probe_ask(&probes[0], w.t, 1), 0);
	assert_int_equal(probes[0].send.id, 0);
	assert_int_equal(probe_ask(&probes[1], w.t, 1), 0);
	assert_int_equal(probe_ask(&probes[2], w.t, 1), 0);
	until(questions() == 3);
	answer(0, "429");
	h2_rig_reply(&w.server.h2, w.server.h2.requests[1].stream,
	             &(struct h2_rig_reply){ .body = id_5, .body_len = sizeof id_5 });	/* DOH-02 */
	h2_rig_reply(&w.server.h2, w.server.h2.requests[2].stream, &(struct h2_rig_reply){ .body = id_5, .body_len = 5 });
	for (unsigned i = 0; i < 3; i++) {
		until(probes[i].losses);
		assert_int_equal(probes[i].error, -EREMOTEIO);
		assert_int_equal(probes[i].messages, 0);
	}
	assert_int_equal(probe_ask(&probes[3], w.t, 1), 0);	/* on the same connection */
	until(questions() == 4);
	answer(3, NULL);
	until(probes[3].messages);
	/* Nobody ended it at its answer, so it was not believed: there will be no other. */
	assert_int_equal(probes[3].losses, 1);
	assert_int_equal(w.server.accepted, 1);
	world_close();
}

static void hook_end(struct probe *p)
{
	transport_end(&p->send);
}

static void test_goaway(void **state)		/* DOH-12 */
{
	(void)state;
	world_open(TRANSPORT_HTTPS);
	for (unsigned i = 0; i < 3; i++) {
		probes[i].hook = hook_end;
		assert_int_equal(probe_ask(&probes[i], w.t, (uint8_t)i), 0);
	}
	until(questions() == 3);
	nghttp2_submit_goaway(w.server.h2.session, 0, w.server.h2.requests[1].stream, NGHTTP2_NO_ERROR, NULL, 0);
	until(probes[2].losses);
	assert_int_equal(probes[2].error, -ECONNRESET);
	answer(0, NULL);
	answer(1, NULL);
	until(probes[0].messages && probes[1].messages);
	until(w.server.gone);
	assert_int_equal(probe_ask(&probes[2], w.t, 1), 0);
	until(w.server.accepted == 2 && questions() == 1);
	world_close();
}

/* A server that works on one at a time gets another connection for the next, up to four. */
static void test_one_stream_at_a_time(void **state)	/* DOH-13 */
{
	(void)state;
	world_open(TRANSPORT_HTTPS);
	w.server.max_streams = 1;
	probes[0].hook = hook_end;
	assert_int_equal(probe_ask(&probes[0], w.t, 1), 0);
	until(questions() == 1);
	answer(0, NULL);
	until(probes[0].messages);
	assert_int_equal(probe_ask(&probes[1], w.t, 1), 0);
	assert_int_equal(probe_ask(&probes[2], w.t, 1), 0);
	assert_int_equal(w.server.accepted, 1);
	until(w.server.accepted == 2);
	world_close();
}

static void hook_close(struct probe *p)
{
	(void)p;
	for (size_t i = 0; i < COUNT_OF(probes); i++)
		transport_end(&probes[i].send);
	transport_close(w.t);
	w.t = NULL;
}

static void test_close_during_message(void **state)
{
	(void)state;
	for_both(k) {
		world_open(both[k]);
		for (unsigned i = 0; i < 3; i++) {
			probes[i].hook = hook_close;
			assert_int_equal(probe_ask(&probes[i], w.t, 1), 0);
		}
		until(questions() == 3);
		for (unsigned i = 0; i < 3; i++)
			answer(i, i == k ? "500" : NULL);
		until(!w.t);
		until(w.server.gone);
		assert_int_equal(probes[0].messages + probes[1].messages + probes[2].messages + probes[0].losses +
		                 probes[1].losses + probes[2].losses, 1);
		world_close();
	}
}

static void hook_ask_again(struct probe *p)
{
	p->hook = hook_end;
	assert_int_equal(probe_ask(p, w.t, 1), 0);
}

static void test_ask_again_when_lost(void **state)
{
	(void)state;
	for_both(k) {
		world_open(both[k]);
		for (unsigned i = 0; i < 3; i++) {
			probes[i].hook = hook_ask_again;
			assert_int_equal(probe_ask(&probes[i], w.t, 1), 0);
		}
		until(questions() == 3);
		secure_hang_up(&w.server);
		until(w.server.accepted == 2 && questions() == 3);
		for (unsigned i = 0; i < 3; i++)
			answer(i, NULL);
		until(probes[0].messages && probes[1].messages && probes[2].messages);
		world_close();
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reverse_order),
		cmocka_unit_test(test_closes_after_each),
		cmocka_unit_test(test_closes_under_questions),
		cmocka_unit_test(test_wrong_name),
		cmocka_unit_test(test_doubt_is_known_when_open),
		cmocka_unit_test(test_refusal_outlives_rotation),
		cmocka_unit_test(test_no_tls_there),
		cmocka_unit_test(test_hangs_up_in_handshake),
		cmocka_unit_test(test_silent_handshake),
		cmocka_unit_test(test_long_in_opening),
		cmocka_unit_test(test_suspect),
		cmocka_unit_test(test_learns_idle_time),
		cmocka_unit_test(test_learns_nothing_from_chance),
		cmocka_unit_test(test_http_failures),
		cmocka_unit_test(test_goaway),
		cmocka_unit_test(test_one_stream_at_a_time),
		cmocka_unit_test(test_close_during_message),
		cmocka_unit_test(test_ask_again_when_lost),
	};

	return cmocka_run_group_tests_name("net/secure_client", tests, NULL, NULL);
}
