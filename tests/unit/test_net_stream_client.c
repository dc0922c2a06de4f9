/* test_net_stream_client.c - many questions on one connection, and what becomes of them. */
#include "net_probe.h"

#include "net/frames.h"

#define MANY 4096

struct world {
	struct rig            rig;
	struct net_client     client;
	struct transport_conf conf;
	struct transport     *tcp;
	struct addr           to;
	int                   listener;
	int                   peer;	/* the server's end of the newest connection; -1: none */
};

static struct probe probes[MANY + 1];

static int setup(void **state)
{
	static struct world w;
	struct addr         any = rig_addr("127.0.0.1", 0);

	memset(probes, 0, sizeof probes);
	rig_open(&w.rig);
	w.conf = (struct transport_conf){ .silence_ms = 10000, .idle_ms = 10000, .connect_ms = 10000 };
	w.listener = rig_server(SOCK_STREAM, &any);
	w.to = rig_name(w.listener);
	w.peer = -1;
	w.tcp = probe_transport(&w.rig, &w.client, TRANSPORT_TCP, &w.to, &w.conf);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < sizeof probes / sizeof *probes; i++)
		transport_end(&probes[i].send);
	transport_close(w->tcp);
	rig_close(&w->rig);
	close(w->listener);
	if (w->peer >= 0)
		close(w->peer);
	return 0;
}

static void reconfigure(struct world *w, struct transport_conf conf)
{
	transport_close(w->tcp);
	w->tcp = probe_transport(&w->rig, &w->client, TRANSPORT_TCP, &w->to, &conf);
}

static bool accepts(struct world *w)
{
	int fd = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK);

	if (fd < 0)
		return false;
	if (w->peer >= 0)
		close(w->peer);
	w->peer = fd;
	return true;
}

/* One question of 20 octets, with its length before it. */
static void question(struct world *w, uint8_t out[22])
{
	rig_read(&w->rig, w->peer, out, 22);
	assert_int_equal(out[0] << 8 | out[1], 20);
}

/* Asks, and lets the server read the question into out. */
static void begin(struct world *w, struct probe *p, uint8_t out[22])
{
	assert_int_equal(probe_ask(p, w->tcp, 1), 0);
	if (w->peer < 0)
		rig_until(&w->rig, accepts(w));
	question(w, out);
	rig_until(&w->rig, p->send.sent_us);
}

static void test_reverse_order(void **state)
{
	struct world  *w = *state;
	static uint8_t q[100][22];

	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(probe_ask(&probes[i], w->tcp, (uint8_t)i), 0);
	assert_int_equal(probes[0].send.connected_us, 0);
	rig_until(&w->rig, accepts(w));
	for (unsigned i = 0; i < 100; i++)
		question(w, q[i]);
	for (unsigned i = 100; i-- > 0;)
		rig_write(w->peer, q[i], 22);
	for (unsigned i = 0; i < 100; i++) {
		rig_until(&w->rig, probes[i].messages);
		assert_int_equal(probes[i].messages, 1);
		assert_int_equal(probes[i].octet, i);
		assert_true(probes[i].send.connected_us > 0);
		assert_true(probes[i].send.sent_us >= probes[i].send.connected_us);
	}
	assert_false(accepts(w));		/* one connection for all */
}

static void test_ids_differ(void **state)
{
	struct world *w = *state;
	static bool   seen[65536];
	uint8_t       q[22];

	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(probe_ask(&probes[i], w->tcp, 1), 0);
		assert_false(seen[probes[i].send.id]);
		seen[probes[i].send.id] = true;
	}
	assert_int_equal(probe_ask(&probes[MANY], w->tcp, 1), -EAGAIN);
	rig_until(&w->rig, accepts(w));
	for (unsigned i = 0; i < MANY; i++) {
		question(w, q);
		rig_write(w->peer, q, 22);
		rig_turn(&w->rig);
	}
	for (unsigned i = 0; i < MANY; i++)
		rig_until(&w->rig, probes[i].messages == 1);
}

/* A long answer, octet by octet; then one whose question has ended. */
static void test_pieces(void **state)
{
	struct world  *w = *state;
	static uint8_t q[2 + 3000];

	begin(w, &probes[0], q);
	frames_put_length(q, 3000);
	q[3001] = 77;
	for (unsigned i = 0; i < sizeof q; i++) {
		rig_write(w->peer, q + i, 1);
		uv_run(&w->rig.loop, UV_RUN_NOWAIT);
	}
	rig_until(&w->rig, probes[0].messages == 1);
	assert_int_equal(probes[0].len, 3000);
	assert_int_equal(probes[0].octet, 77);

	begin(w, &probes[1], q);
	transport_end(&probes[1].send);
	rig_write(w->peer, q, 22);
	begin(w, &probes[2], q);
	rig_write(w->peer, q, 22);
	rig_until(&w->rig, probes[2].messages == 1);
	assert_int_equal(probes[1].messages, 0);
}

/* Answers before the end count, a message that is cut does not, and the next question connects anew. */
static void test_server_closes(void **state)
{
	struct world *w = *state;
	uint8_t       q[3][22];

	for (unsigned i = 0; i < 3; i++)
		begin(w, &probes[i], q[i]);
	rig_write(w->peer, q[1], 22);
	rig_write(w->peer, q[0], 21);
	shutdown(w->peer, SHUT_WR);
	rig_until(&w->rig, probes[0].losses && probes[2].losses);
	assert_int_equal(probes[0].error, -ECONNRESET);
	assert_int_equal(probes[0].messages, 0);
	assert_int_equal(probes[1].messages, 1);
	assert_int_equal(probes[1].losses, 1);
	assert_int_equal(probe_ask(&probes[0], w->tcp, 1), 0);
	rig_until(&w->rig, accepts(w));
	question(w, q[0]);
	rig_write(w->peer, q[0], 22);
	rig_until(&w->rig, probes[0].messages == 1);
}

static void test_server_resets(void **state)
{
	struct world *w = *state;
	uint8_t       q[22];

	begin(w, &probes[0], q);
	setsockopt(w->peer, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	close(w->peer);
	w->peer = -1;
	assert_int_equal(probe_ask(&probes[1], w->tcp, 1), 0);	/* before the loop has heard of it */
	rig_until(&w->rig, probes[0].losses);
	assert_int_equal(probes[0].error, -ECONNRESET);
	rig_until(&w->rig, accepts(w));
	question(w, q);
	rig_write(w->peer, q, 22);
	rig_until(&w->rig, probes[1].messages == 1);
}

static void test_garbage(void **state)
{
	struct world *w = *state;
	uint8_t       q[22];

	begin(w, &probes[0], q);
	rig_write(w->peer, (const uint8_t *)"\0\013twelve-less", 13);
	rig_until(&w->rig, probes[0].losses);
	assert_int_equal(probes[0].error, -ECONNRESET);
	rig_until(&w->rig, rig_is_closed(w->peer));
}

static void test_refused(void **state)
{
	struct world *w = *state;

	close(w->listener);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(probe_ask(&probes[i], w->tcp, 1), 0);
	for (unsigned i = 0; i < 3; i++) {
		rig_until(&w->rig, probes[i].losses);
		assert_int_equal(probes[i].error, -ECONNREFUSED);
	}
	w->listener = rig_server(SOCK_STREAM, &w->to);
}

/* A server whose queue is full lets nobody in. */
static void test_connect_timeout(void **state)
{
	struct world *w = *state;
	int           crowd[4];

	listen(w->listener, 0);
	for (unsigned i = 0; i < 4; i++)
		crowd[i] = rig_connect(SOCK_STREAM, &w->to);
	reconfigure(w, (struct transport_conf){ .silence_ms = 10000, .idle_ms = 10000, .connect_ms = 30 });
	assert_int_equal(probe_ask(&probes[0], w->tcp, 1), 0);
	rig_until(&w->rig, probes[0].losses);
	assert_int_equal(probes[0].error, -ETIMEDOUT);
	assert_int_equal(probes[0].send.connected_us, 0);
	for (unsigned i = 0; i < 4; i++)
		close(crowd[i]);
}

/* Silence under questions, whether they wait still or were given up; a promise is silence too. */
static void test_silence(void **state)
{
	struct world *w = *state;
	uint8_t       q[22];

	reconfigure(w, (struct transport_conf){ .silence_ms = 40, .idle_ms = 10000, .connect_ms = 10000 });
	begin(w, &probes[0], q);
	rig_write(w->peer, q, 22);
	rig_until(&w->rig, probes[0].messages == 1);	/* once it answered */
	begin(w, &probes[1], q);
	rig_write(w->peer, (const uint8_t *)"\377\377", 2);
	rig_write(w->peer, q, 22);
	rig_until(&w->rig, probes[1].losses);
	assert_int_equal(probes[1].error, -ETIMEDOUT);
	assert_int_equal(probes[0].losses, 1);
	rig_until(&w->rig, rig_is_closed(w->peer));

	close(w->peer);
	w->peer = -1;
	begin(w, &probes[2], q);
	transport_end(&probes[2].send);
	rig_until(&w->rig, rig_is_closed(w->peer));
}

/* A connection at rest stays for its idle time, and the loop has nothing to do after it. */
static void test_idle(void **state)
{
	struct world *w = *state;
	uint8_t       q[22];
	uint64_t      from_ms;

	reconfigure(w, (struct transport_conf){ .silence_ms = 10000, .idle_ms = 60, .connect_ms = 10000 });
	begin(w, &probes[0], q);
	from_ms = rig_now_ms();			/* the idle time begins later than that */
	rig_write(w->peer, q, 22);
	rig_until(&w->rig, probes[0].messages == 1);
	transport_end(&probes[0].send);
	rig_until(&w->rig, rig_is_closed(w->peer));
	assert_in_range(rig_now_ms() - from_ms, 50, 8000);
	rig_turn(&w->rig);
	assert_false(uv_loop_alive(&w->rig.loop));
}

/* The server states less than we would keep it: we go first. */
static void test_idle_hint(void **state)
{
	struct world *w = *state;
	uint8_t       q[22];
	uint64_t      from_ms, took_ms = 600;

	/* A machine that stands still is late once, not each time. */
	for (unsigned i = 0; i < 4 && took_ms >= 600; i++) {
		if (i) {
			close(w->peer);
			w->peer = -1;
		}
		begin(w, &probes[i], q);
		rig_write(w->peer, q, 22);
		from_ms = rig_now_ms();
		rig_until(&w->rig, probes[i].messages == 1);
		transport_idle_hint(&probes[i].send, 600);
		transport_end(&probes[i].send);
		rig_until(&w->rig, rig_is_closed(w->peer));
		took_ms = rig_now_ms() - from_ms;
		assert_true(took_ms >= 100);
	}
	assert_true(took_ms < 600);
}

/* Stated 0: what is asked already is served, what comes next goes elsewhere. */
static void test_idle_hint_zero(void **state)
{
	struct world *w = *state;
	uint8_t       q[2][22];
	int           first;

	begin(w, &probes[0], q[0]);
	begin(w, &probes[1], q[1]);
	first = w->peer;
	w->peer = -1;
	transport_idle_hint(&probes[0].send, 0);
	transport_end(&probes[0].send);
	assert_int_equal(probe_ask(&probes[2], w->tcp, 1), 0);
	rig_until(&w->rig, accepts(w));
	rig_write(first, q[1], 22);
	rig_until(&w->rig, probes[1].messages == 1);
	assert_false(rig_is_closed(first));
	transport_end(&probes[1].send);
	rig_until(&w->rig, rig_is_closed(first));
	close(first);
	question(w, q[0]);
	rig_write(w->peer, q[0], 22);
	rig_until(&w->rig, probes[2].messages == 1);
}

static void hook_close(struct probe *p)
{
	struct world *w = p->arg;

	for (unsigned i = 0; i < 3; i++)
		transport_end(&probes[i].send);
	transport_close(w->tcp);
	w->tcp = NULL;
}

static void hook_ask_again(struct probe *p)
{
	struct world *w = p->arg;

	p->hook = NULL;
	assert_int_equal(probe_ask(p, w->tcp, 1), 0);
}

static void hook_end_next(struct probe *p)
{
	transport_end(&p[1].send);
}

static void test_close_during_message(void **state)
{
	struct world *w = *state;
	uint8_t       q[3][22];

	for (unsigned i = 0; i < 3; i++) {
		begin(w, &probes[i], q[i]);
		probes[i].hook = hook_close;
		probes[i].arg = w;
	}
	rig_write(w->peer, q[0], sizeof q);
	rig_until(&w->rig, !w->tcp);
	rig_until(&w->rig, rig_is_closed(w->peer));
	assert_int_equal(probes[0].messages + probes[1].messages + probes[2].messages, 1);
}

static void test_end_during_message(void **state)
{
	struct world *w = *state;
	uint8_t       q[3][22];

	for (unsigned i = 0; i < 3; i++)
		begin(w, &probes[i], q[i]);
	probes[0].hook = hook_end_next;
	rig_write(w->peer, q[0], sizeof q);
	rig_until(&w->rig, probes[0].messages && probes[2].messages);
	assert_int_equal(probes[1].messages, 0);
}

static void test_ask_again_when_lost(void **state)
{
	struct world *w = *state;
	uint8_t       q[22];

	for (unsigned i = 0; i < 3; i++) {
		begin(w, &probes[i], q);
		probes[i].hook = hook_ask_again;
		probes[i].arg = w;
	}
	shutdown(w->peer, SHUT_WR);
	rig_until(&w->rig, accepts(w));
	for (unsigned i = 0; i < 3; i++) {
		question(w, q);
		rig_write(w->peer, q, 22);
	}
	for (unsigned i = 0; i < 3; i++) {
		rig_until(&w->rig, probes[i].messages == 1);
		assert_int_equal(probes[i].losses, 1);
	}
}

static void test_close_when_lost(void **state)
{
	struct world *w = *state;
	uint8_t       q[22];

	for (unsigned i = 0; i < 3; i++) {
		begin(w, &probes[i], q);
		probes[i].hook = hook_close;
		probes[i].arg = w;
	}
	shutdown(w->peer, SHUT_WR);
	rig_until(&w->rig, !w->tcp);
	assert_int_equal(probes[0].losses + probes[1].losses + probes[2].losses, 1);
}

/* A server that does not read: what waits is bounded, and goes when it reads. */
static void test_server_does_not_read(void **state)
{
	struct world  *w = *state;
	static uint8_t big[60000];
	uint8_t        q[22];
	unsigned       asked = 0;
	int            error;

	begin(w, &probes[0], q);
	do {
		probes[++asked].send.on = &probe_events;
		error = transport_send(w->tcp, &probes[asked].send, big, sizeof big);
	} while (error == 0 && asked < 1000);
	assert_int_equal(error, -EAGAIN);
	assert_int_equal(probes[asked - 1].send.sent_us, 0);
	for (unsigned i = 1; i < asked; i++) {
		static uint8_t read[60002];

		rig_read(&w->rig, w->peer, read, sizeof read);
		assert_int_equal(read[0] << 8 | read[1], 60000);
		assert_int_equal(read[2] << 8 | read[3], probes[i].send.id);
	}
	rig_until(&w->rig, probes[asked - 1].send.sent_us);
}

/* A server whose queue of connections is full: it can be dialled for ever. */
static struct addr silent_server(int fds[4])
{
	struct addr any = rig_addr("127.0.0.1", 0), a;

	fds[0] = rig_socket(SOCK_STREAM, &any);
	assert_int_equal(bind(fds[0], &any.sa, addr_len(&any)), 0);
	assert_int_equal(listen(fds[0], 0), 0);
	a = rig_name(fds[0]);
	for (unsigned i = 1; i < 4; i++)
		fds[i] = rig_connect(SOCK_STREAM, &a);
	return a;
}

/* Whoever is being dialled has moved: the question that waits is asked at the new place, not at the old one. */
static void test_aim_while_dialling(void **state)
{
	struct world    *w = *state;
	struct addr      real = w->to;
	struct addr_list to = { .count = 0 };
	uint8_t          q[22];
	int              fds[4];

	w->to = silent_server(fds);
	reconfigure(w, w->conf);
	assert_int_equal(probe_ask(&probes[0], w->tcp, 1), 0);
	rig_turn(&w->rig);
	addr_list_add(&to, &w->to);
	addr_list_add(&to, &real);
	transport_aim(w->tcp, &to);		/* it is there still: dialling goes on */
	rig_turn(&w->rig);
	assert_false(accepts(w));
	addr_list_turn(&to);
	to.count = 1;
	transport_aim(w->tcp, &to);
	rig_until(&w->rig, accepts(w) || probes[0].losses);
	question(w, q);
	rig_write(w->peer, q, 22);
	rig_until(&w->rig, probes[0].messages || probes[0].losses);
	assert_int_equal(probes[0].losses, 0);
	for (unsigned i = 0; i < 4; i++)
		close(fds[i]);
}

/* The way was dead, and all that may be open was being opened.  When the network has changed, what waits goes over the
 * new way, and what is asked then finds a stream. */
static void test_renew_while_dialling(void **state)
{
	struct world *w = *state;
	int           fds[4];

	w->to = silent_server(fds);
	reconfigure(w, (struct transport_conf){ .silence_ms = 1000, .idle_ms = 10000, .connect_ms = 1000 });
	for (unsigned i = 0; i < 10; i++) {
		probes[i].send.apart = true;
		probe_ask(&probes[i], w->tcp, 1);
		for (uint64_t end_ms = rig_now_ms() + 60; rig_now_ms() < end_ms;)
			rig_turn(&w->rig);
	}
	for (unsigned i = 0; i < 4; i++) {
		transport_renew(w->tcp);
		assert_int_equal(probe_ask(&probes[20 + i], w->tcp, 1), 0);
		rig_idle(&w->rig);
	}
	for (unsigned i = 0; i < 4; i++)
		close(fds[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_reverse_order),
		TEST(test_ids_differ),
		TEST(test_pieces),
		TEST(test_server_closes),
		TEST(test_server_resets),
		TEST(test_garbage),
		TEST(test_refused),
		TEST(test_connect_timeout),
		TEST(test_silence),
		TEST(test_idle),
		TEST(test_idle_hint),
		TEST(test_idle_hint_zero),
		TEST(test_close_during_message),
		TEST(test_end_during_message),
		TEST(test_ask_again_when_lost),
		TEST(test_close_when_lost),
		TEST(test_server_does_not_read),
		TEST(test_aim_while_dialling),
		TEST(test_renew_while_dialling),
	};

	return cmocka_run_group_tests_name("net/stream_client", tests, NULL, NULL);
}
