/* test_net_memory.c - each allocation of net/ fails once: nothing crashes, leaks or stays half open. */
#include "net_probe.h"
#include "net_secure.h"
#include "net_service.h"

#include "net/h2.h"

#include "fail_alloc.h"

static struct service service;
static struct probe   probe;

static int next_descriptor(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

/* One TCP client whose question comes in two pieces and whose reply does not go in one. */
static void be_asked(struct service *v)
{
	uint8_t q[SERVICE_QUESTION + 2];
	int     fd = rig_connect(SOCK_STREAM, &v->addr);

	service_frame(q, 1, 'r', 65535);
	rig_write(fd, q, 9);
	rig_idle(&v->rig);
	send(fd, q + 9, sizeof q - 9, MSG_NOSIGNAL);
	for (unsigned i = 0; i < 100; i++) {
		send(fd, q, sizeof q, MSG_NOSIGNAL);
		rig_turn(&v->rig);
	}
	close(fd);
	rig_idle(&v->rig);
}

static void listen_with(unsigned n)
{
	const struct net_handler handler = { .message = service_on_message, .batch_done = service_on_batch_done, .arg = &service };
	int                      udp, tcp;

	memset(&service, 0, sizeof service);
	rig_open(&service.rig);
	service_sockets("127.0.0.1", &udp, &tcp, &service.addr);
	fail_alloc_countdown = n;
	service.set = listener_set_new(&service.rig.loop, clock_system(), &service.stats, &service_conf,
	                               &handler);
	if (!service.set) {
		close(udp);
		close(tcp);
	} else if (listener_set_add(service.set, &service.addr, udp, tcp) == 0) {
		be_asked(&service);
	}
}

static void test_listeners(void **state)
{
	int      before = next_descriptor();
	unsigned n = 0;

	(void)state;
	do {
		listen_with(++n);
		assert_true(n < 100);
		listener_set_close(service.set);
		rig_close(&service.rig);
		assert_int_equal(next_descriptor(), before);
	} while (fail_alloc_countdown == 0);
	fail_alloc_countdown = 0;
	assert_true(n > 8);		/* set and rooms, listeners, connection, held message, outbox */
}

/* One question, which is asked or refused with -ENOMEM; and an answer in two pieces. */
static void ask_with(unsigned n, enum transport_kind kind)
{
	const struct transport_conf conf = { .silence_ms = 10000, .idle_ms = 10000, .connect_ms = 10000 };
	static struct net_client    client;
	struct addr                 any = rig_addr("127.0.0.1", 0), to;
	struct rig                  rig;
	struct transport           *t;
	int                         server, peer = -1, error;

	rig_open(&rig);
	net_client_init(&client, &rig.loop, clock_system(), &rig.rng);
	server = rig_server(kind == TRANSPORT_UDP ? SOCK_DGRAM : SOCK_STREAM, &any);
	to = rig_name(server);
	memset(&probe, 0, sizeof probe);
	fail_alloc_countdown = n;
	t = client.maker.make(&client.maker, kind, &to, &conf);
	if (t) {
		error = probe_ask(&probe, t, 1);
		assert_true(error == 0 || error == -ENOMEM);
		assert_int_equal(transport_lives(&probe.send), error == 0);
	}
	if (transport_lives(&probe.send) && kind == TRANSPORT_TCP) {
		rig_until(&rig, (peer = accept(server, NULL, NULL)) >= 0);
		rig_write(peer, (const uint8_t *)"\0\20part", 6);
		for (unsigned i = 0; i < 5; i++)
			rig_turn(&rig);
		assert_int_equal(transport_lives(&probe.send), fail_alloc_countdown > 0);
		close(peer);
	}
	transport_end(&probe.send);
	transport_close(t);
	rig_close(&rig);
	close(server);
}

static void test_transports(void **state)
{
	int before = next_descriptor();

	(void)state;
	for (enum transport_kind kind = TRANSPORT_UDP; kind <= TRANSPORT_TCP; kind++) {
		unsigned n = 0;

		do {
			ask_with(++n, kind);
			assert_true(n < 100);
			assert_int_equal(next_descriptor(), before);
		} while (fail_alloc_countdown == 0);
		fail_alloc_countdown = 0;
		assert_true(n > 2);
	}
}

/* The same over TLS and HTTPS, with an answer that comes as far as memory lets it. */
static void ask_secure_with(unsigned n, enum transport_kind kind)
{
	static const struct h2_target target = { .authority = SECURE_NAME, .path = "/" };
	static struct net_client      client;
	static struct secure          server;
	struct transport_conf         conf = { .silence_ms = 10000, .idle_ms = 10000, .connect_ms = 10000 };
	struct addr                   to;
	struct rig                    rig;
	struct transport             *t;

	rig_open(&rig);
	net_client_init(&client, &rig.loop, clock_system(), &rig.rng);
	secure_open(&server, SECURE_NAME);
	server.http = kind == TRANSPORT_HTTPS;
	conf.http = server.http ? &target : NULL;
	to = rig_name(server.listener);
	memset(&probe, 0, sizeof probe);
	fail_alloc_countdown = n;
	conf.tls = secure_peer_or_null(&server, SECURE_NAME);
	t = conf.tls ? client.maker.make(&client.maker, kind, &to, &conf) : NULL;
	if (t && probe_ask(&probe, t, 1) == 0)
		rig_until(&rig, secure_turn(&server) && (probe.losses || server.h2.count || server.heard_len));
	if (t && transport_lives(&probe.send) && server.http)
		h2_rig_reply(&server.h2, server.h2.requests[0].stream,
		             &(struct h2_rig_reply){ .body = server.h2.requests[0].body, .body_len = 20 });
	if (t && transport_lives(&probe.send))
		for (unsigned i = 0; i < 5; i++)
			secure_turn(&server), rig_turn(&rig);
	transport_end(&probe.send);
	transport_close(t);
	tls_peer_unref(conf.tls);
	uv_run(&rig.loop, UV_RUN_NOWAIT);
	secure_close(&server);
	rig_close(&rig);
}

static void test_secure_transports(void **state)
{
	int before = next_descriptor();

	(void)state;
	for (enum transport_kind kind = TRANSPORT_TLS; kind <= TRANSPORT_HTTPS; kind++) {
		unsigned n = 0;

		do {
			ask_secure_with(++n, kind);
			assert_true(n < 100);
			assert_int_equal(next_descriptor(), before);
		} while (fail_alloc_countdown == 0);
		fail_alloc_countdown = 0;
		assert_true(n > 8);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_transports),
		cmocka_unit_test(test_secure_transports),
	};

	return cmocka_run_group_tests_name("net/memory", tests, NULL, NULL);
}
