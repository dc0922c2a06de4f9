/* test_net_udp_pool.c - ports, IDs and fates of questions over UDP. */
#include "net_probe.h"

#define SLOTS_MAX 512
#define SHARE     8

struct world {
	struct rig        rig;
	struct net_client client;
	struct transport *pool;
	struct addr       to;
	int               server;
};

static struct probe probes[SLOTS_MAX * SHARE + 1];

static int setup(void **state)
{
	static struct world w;
	struct addr         any = rig_addr("127.0.0.1", 0);

	memset(probes, 0, sizeof probes);
	rig_open(&w.rig);
	w.server = rig_server(SOCK_DGRAM, &any);
	w.to = rig_name(w.server);
	w.pool = probe_transport(&w.rig, &w.client, TRANSPORT_UDP, &w.to, &(struct transport_conf){ 0 });
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < sizeof probes / sizeof *probes; i++)
		transport_end(&probes[i].send);
	transport_close(w->pool);
	rig_close(&w->rig);
	close(w->server);
	return 0;
}

struct question {
	uint8_t     octets[64];
	size_t      len;
	struct addr from;
};

static struct question receive(struct world *w)
{
	struct question q;
	socklen_t       from_len = sizeof q.from;
	ssize_t         n;

	memset(&q.from, 0, sizeof q.from);
	n = recvfrom(w->server, q.octets, sizeof q.octets, MSG_DONTWAIT, &q.from.sa, &from_len);
	assert_true(n >= 12);
	q.len = (size_t)n;
	return q;
}

static void answer(struct world *w, const struct question *q)
{
	assert_int_equal(sendto(w->server, q->octets, q->len, 0, &q->from.sa, addr_len(&q->from)),
	                 (ssize_t)q->len);
}

static uint16_t ask_and_answer(struct world *w, struct probe *p)
{
	struct question q;
	unsigned        before = p->messages;

	assert_int_equal(probe_ask(p, w->pool, 7), 0);
	q = receive(w);
	answer(w, &q);
	rig_until(&w->rig, p->messages == before + 1);
	transport_end(&p->send);
	return addr_port(&q.from);
}

static void test_ports_differ(void **state)
{
	struct world *w = *state;
	static bool   seen[65536];
	unsigned      ids_high = 0;

	for (unsigned i = 0; i < 400; i++) {
		struct question q;

		assert_int_equal(probe_ask(&probes[i], w->pool, (uint8_t)i), 0);
		assert_true(probes[i].send.sent_us > 0);
		q = receive(w);
		assert_false(seen[addr_port(&q.from)]);
		seen[addr_port(&q.from)] = true;
		assert_int_equal(q.octets[0] << 8 | q.octets[1], probes[i].send.id);
		ids_high += q.octets[0] >= 128;
		answer(w, &q);
	}
	assert_in_range(ids_high, 100, 300);	/* a fair coin is outside once in 10^22 */
	for (unsigned i = 0; i < 400; i++) {
		rig_until(&w->rig, probes[i].messages == 1);
		assert_int_equal(probes[i].octet, (uint8_t)i);
		assert_true(transport_lives(&probes[i].send));
	}
}

/* Questions one after the other use many ports, and none often. */
static void test_ports_in_sequence(void **state)
{
	struct world  *w = *state;
	static uint8_t uses[65536];
	unsigned       ports = 0;

	for (unsigned i = 0; i < 3000; i++) {
		uint8_t *u = &uses[ask_and_answer(w, &probes[0])];

		ports += !*u;
		assert_true(++*u <= 64);
	}
	assert_true(ports >= 250);
}

/* What comes to another question's socket counts for nothing (RFC 5452 s. 9.1). */
static void test_wrong_socket(void **state)
{
	struct world   *w = *state;
	struct question a, b, crossed;

	probe_ask(&probes[0], w->pool, 1);
	a = receive(w);
	do {
		transport_end(&probes[1].send);
		probe_ask(&probes[1], w->pool, 2);
		b = receive(w);
	} while (probes[0].send.id == probes[1].send.id);
	crossed = a;
	crossed.from = b.from;
	answer(w, &crossed);
	rig_until(&w->rig, probes[1].mismatches == 1);
	assert_int_equal(probes[0].messages + probes[1].messages, 0);
	answer(w, &a);
	answer(w, &b);
	rig_until(&w->rig, probes[0].messages == 1 && probes[1].messages == 1);
	assert_int_equal(probes[0].octet, 1);
	assert_int_equal(probes[1].octet, 2);
}

static void test_short_and_foreign(void **state)
{
	struct world   *w = *state;
	struct question q, bad;
	struct addr     any = rig_addr("127.0.0.1", 0);
	int             stranger = rig_server(SOCK_DGRAM, &any);

	probe_ask(&probes[0], w->pool, 1);
	q = receive(w);
	sendto(stranger, q.octets, q.len, 0, &q.from.sa, addr_len(&q.from));	/* not connected to it */
	for (bad = q, bad.len = 0; bad.len < 12; bad.len++)
		answer(w, &bad);
	bad = q;
	bad.octets[1] ^= 1;
	answer(w, &bad);
	rig_until(&w->rig, probes[0].mismatches == 13);
	assert_int_equal(probes[0].messages, 0);
	answer(w, &q);
	rig_until(&w->rig, probes[0].messages == 1);
	assert_int_equal(probes[0].mismatches, 13);
	close(stranger);
}

/* The port refuses, but stays the server's: one that was free might be given to a socket of the pool. */
static void refuse(struct world *w)
{
	struct addr elsewhere = rig_addr("127.0.0.9", 9);

	close(w->server);
	w->server = rig_server(SOCK_DGRAM, &w->to);	/* bound to the number, it keeps that when disconnected */
	assert_int_equal(connect(w->server, &elsewhere.sa, addr_len(&elsewhere)), 0);
}

static void accept_again(struct world *w)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	assert_int_equal(connect(w->server, &nobody, sizeof nobody), 0);
}

/* A closed port is one failure of the question, and the pool goes on. */
static void test_refused(void **state)
{
	struct world *w = *state;

	refuse(w);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(probe_ask(&probes[i], w->pool, 1), 0);
	for (unsigned i = 0; i < 50; i++) {
		rig_until(&w->rig, probes[i].losses);
		assert_int_equal(probes[i].error, -ECONNREFUSED);
	}
	accept_again(w);
	for (unsigned i = 0; i < 300; i++)
		ask_and_answer(w, &probes[0]);
	assert_int_equal(probes[0].losses, 1);
}

/* The news of a question that has ended does not harm the next on its socket. */
static void test_refused_late(void **state)
{
	struct world *w = *state;

	refuse(w);
	for (unsigned i = 0; i < 600; i++) {
		assert_int_equal(probe_ask(&probes[0], w->pool, 1), 0);
		transport_end(&probes[0].send);
	}
	accept_again(w);
	for (unsigned i = 0; i < 300; i++) {
		struct question q;

		assert_int_equal(probe_ask(&probes[i], w->pool, 1), 0);
		q = receive(w);
		answer(w, &q);
	}
	for (unsigned i = 0; i < 300; i++)
		rig_until(&w->rig, probes[i].messages == 1);
}

/* With one slot left, its sockets show how long each lives: 16 to 48 questions. */
static void test_growth_and_retirement(void **state)
{
	struct world  *w = *state;
	static uint8_t seen[65536];
	unsigned       run = 0, runs = 0;
	uint16_t       port, last = 0;

	for (unsigned i = 0; i < SLOTS_MAX - 1; i++) {
		struct question q;

		assert_int_equal(probe_ask(&probes[i], w->pool, 1), 0);
		q = receive(w);
		assert_int_equal(seen[addr_port(&q.from)]++, 0);
	}
	for (unsigned i = 0; i < 600; i++) {
		port = ask_and_answer(w, &probes[SLOTS_MAX]);
		if (port != last && last) {
			assert_in_range(run, 16, 48);
			runs++;
			run = 0;
		}
		last = port;
		run++;
	}
	assert_in_range(runs, 12, 37);
}

/* Over 512, sockets carry up to 8 with different IDs; then it is enough. */
static void test_sharing(void **state)
{
	struct world   *w = *state;
	static unsigned per_port[65536];
	struct question last;
	unsigned        ports = 0;

	for (unsigned i = 0; i < SLOTS_MAX * SHARE; i++) {
		assert_int_equal(probe_ask(&probes[i], w->pool, 1), 0);
		last = receive(w);
		ports += !per_port[addr_port(&last.from)]++;
		assert_int_equal(ports, i < SLOTS_MAX ? i + 1 : SLOTS_MAX);
		assert_true(per_port[addr_port(&last.from)] <= SHARE);
	}
	assert_int_equal(probe_ask(&probes[SLOTS_MAX * SHARE], w->pool, 1), -EAGAIN);
	assert_false(transport_lives(&probes[SLOTS_MAX * SHARE].send));
	for (unsigned i = 0; i < SLOTS_MAX * SHARE; i++)
		for (unsigned k = 0; k < i; k++)
			if (probes[i].send.place == probes[k].send.place)
				assert_true(probes[i].send.id != probes[k].send.id);

	answer(w, &last);
	rig_until(&w->rig, probes[SLOTS_MAX * SHARE - 1].messages == 1);
	last.len = 3;				/* all 8 on that socket hear of rubbish */
	answer(w, &last);
	rig_until(&w->rig, probes[SLOTS_MAX * SHARE - 1].mismatches == 1);
	for (unsigned i = 0, told = 0; i < SLOTS_MAX * SHARE; i++) {
		told += probes[i].mismatches;
		if (i == SLOTS_MAX * SHARE - 1)
			assert_int_equal(told, SHARE);
	}
}

static void hook_end_all(struct probe *p)
{
	(void)p;
	for (size_t i = 0; i < sizeof probes / sizeof *probes; i++)
		transport_end(&probes[i].send);
}

static void hook_close(struct probe *p)
{
	struct world *w = p->arg;

	hook_end_all(p);
	transport_close(w->pool);
	w->pool = NULL;
}

static void hook_ask_again(struct probe *p)
{
	struct world *w = p->arg;

	p->hook = NULL;
	if (transport_lives(&p->send))
		transport_end(&p->send);
	probe_ask(p, w->pool, 9);
}

#define PROVOKED (SLOTS_MAX * (SHARE - 1))	/* leaves some room for new ones */

/* Fills the sockets, gives all questions the hook, and sends to the socket of the last one. */
static void provoke(struct world *w, void (*hook)(struct probe *), size_t len)
{
	struct question q;

	for (unsigned i = 0; i < PROVOKED; i++) {
		assert_int_equal(probe_ask(&probes[i], w->pool, 1), 0);
		q = receive(w);
		probes[i].hook = hook;
		probes[i].arg = w;
	}
	q.len = len;
	for (unsigned i = 0; i < 3; i++)
		answer(w, &q);
}

static unsigned events(void)
{
	unsigned sum = 0;

	for (size_t i = 0; i < sizeof probes / sizeof *probes; i++)
		sum += probes[i].messages + probes[i].mismatches;
	return sum;
}

static void test_end_during_message(void **state)
{
	struct world *w = *state;

	provoke(w, hook_end_all, 20);
	rig_until(&w->rig, events());
	rig_idle(&w->rig);
	assert_int_equal(events(), 1);
}

static void test_end_during_mismatch(void **state)
{
	struct world *w = *state;

	provoke(w, hook_end_all, 5);
	rig_until(&w->rig, events());
	rig_idle(&w->rig);
	assert_int_equal(events(), 1);
}

static void test_ask_during_mismatch(void **state)
{
	struct world *w = *state;

	provoke(w, hook_ask_again, 5);
	rig_until(&w->rig, events());
	rig_idle(&w->rig);
	for (unsigned i = 0; i < PROVOKED; i++)
		assert_true(transport_lives(&probes[i].send));
}

static void test_close_during_message(void **state)
{
	struct world *w = *state;

	provoke(w, hook_close, 20);
	rig_until(&w->rig, events());
	rig_idle(&w->rig);
	assert_int_equal(events(), 1);
}

static void test_close_during_mismatch(void **state)
{
	struct world *w = *state;

	provoke(w, hook_close, 5);
	rig_until(&w->rig, events());
	rig_idle(&w->rig);
	assert_int_equal(events(), 1);
}

static void test_close_when_lost(void **state)
{
	struct world *w = *state;

	close(w->server);
	for (unsigned i = 0; i < 3; i++) {
		probe_ask(&probes[i], w->pool, 1);
		probes[i].hook = hook_close;
		probes[i].arg = w;
	}
	rig_until(&w->rig, !w->pool);
	rig_idle(&w->rig);
	assert_int_equal(probes[0].losses + probes[1].losses + probes[2].losses, 1);
	w->server = rig_server(SOCK_DGRAM, &w->to);
}

static void ring_timer(uv_handle_t *handle, void *arg)
{
	uv_timer_t *timer = (uv_timer_t *)handle;

	(void)arg;
	if (handle->type == UV_TIMER && uv_is_active(handle))
		timer->timer_cb(timer);
}

static void later(struct world *w, uint64_t ms)
{
	w->rig.loop.time += ms;		/* until the loop runs again */
	uv_walk(&w->rig.loop, ring_timer, NULL);
}

/* At rest: no socket and no timer after 10 s, nothing closed before. */
static void test_rest(void **state)
{
	struct world *w = *state;

	assert_false(uv_loop_alive(&w->rig.loop));
	for (unsigned i = 0; i < 20; i++)
		ask_and_answer(w, &probes[0]);
	probe_ask(&probes[1], w->pool, 1);
	receive(w);
	later(w, 9000);
	rig_turn(&w->rig);
	assert_true(uv_loop_alive(&w->rig.loop));
	later(w, 10001);
	rig_turn(&w->rig);
	assert_true(uv_loop_alive(&w->rig.loop));	/* a question keeps its socket */
	w->rig.loop.time += 10001;
	transport_end(&probes[1].send);			/* and takes it along */
	rig_turn(&w->rig);
	assert_false(uv_loop_alive(&w->rig.loop));
	ask_and_answer(w, &probes[0]);
}

/* Without a descriptor the question is not asked, and nothing else happens. */
static void test_no_descriptors(void **state)
{
	struct world *w = *state;
	struct rlimit limit, none;

	ask_and_answer(w, &probes[0]);
	getrlimit(RLIMIT_NOFILE, &limit);
	none = (struct rlimit){ 0, limit.rlim_max };
	setrlimit(RLIMIT_NOFILE, &none);
	for (unsigned i = 1; i < 3; i++) {	/* at most one of them draws the open socket */
		int error = probe_ask(&probes[i], w->pool, 1);

		assert_true(error == -EMFILE || error == 0);
		assert_int_equal(transport_lives(&probes[i].send), error == 0);
	}
	assert_false(transport_lives(&probes[1].send) && transport_lives(&probes[2].send));
	setrlimit(RLIMIT_NOFILE, &limit);
	assert_int_equal(probe_ask(&probes[3], w->pool, 1), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_ports_differ),
		TEST(test_ports_in_sequence),
		TEST(test_wrong_socket),
		TEST(test_short_and_foreign),
		TEST(test_refused),
		TEST(test_refused_late),
		TEST(test_growth_and_retirement),
		TEST(test_sharing),
		TEST(test_end_during_message),
		TEST(test_end_during_mismatch),
		TEST(test_ask_during_mismatch),
		TEST(test_close_during_message),
		TEST(test_close_during_mismatch),
		TEST(test_close_when_lost),
		TEST(test_rest),
		TEST(test_no_descriptors),
	};

	return cmocka_run_group_tests_name("net/udp_pool", tests, NULL, NULL);
}
