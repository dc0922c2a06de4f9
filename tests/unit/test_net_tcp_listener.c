/* test_net_tcp_listener.c - clients that talk over TCP, well and badly. */
#include "net_service.h"

static struct service service;

#define FRAME (SERVICE_QUESTION + 2)

static int setup(void **state)
{
	service_open(&service, "127.0.0.1", &service_conf);
	*state = &service;
	return 0;
}

static int teardown(void **state)
{
	service_close(*state);
	return 0;
}

static void reconfigure(struct service *v, void (*change)(struct listener_conf *, uint32_t), uint32_t n)
{
	struct listener_conf conf = service_conf;

	change(&conf, n);
	listener_set_reconfigure(v->set, &conf);
}

static void idle_ms(struct listener_conf *conf, uint32_t n)
{
	conf->tcp_idle_ms = n;
}

static void clients(struct listener_conf *conf, uint32_t n)
{
	conf->tcp_clients = n;
}

static int client(struct service *v)
{
	return rig_connect(SOCK_STREAM, &v->addr);
}

static void ask(int fd, uint16_t id, char what, size_t len)
{
	uint8_t q[FRAME];

	service_frame(q, id, what, len);
	rig_write(fd, q, sizeof q);
}

static uint16_t expect_one(struct service *v, int fd, size_t len)
{
	static uint8_t in[2 + 65535];

	rig_read(&v->rig, fd, in, 2 + len);
	assert_int_equal(in[0] << 8 | in[1], len);
	if (len > 12)
		assert_int_equal(in[len + 1], (uint8_t)len);
	return (uint16_t)(in[2] << 8 | in[3]);
}

static void expect(struct service *v, int fd, uint16_t id, size_t len)
{
	assert_int_equal(expect_one(v, fd, len), id);
}

static void expect_end(struct service *v, int fd)
{
	rig_until(&v->rig, rig_is_closed(fd));
	close(fd);
}

/* The end comes in good order, behind everything that was written. */
static void expect_fin(struct service *v, int fd)
{
	uint8_t octet;
	ssize_t n;

	rig_until(&v->rig, (n = rig_recv(fd, &octet, 1)) != -EAGAIN);
	assert_int_equal(n, 0);
	close(fd);
}

static void test_octet_by_octet(void **state)
{
	struct service *v = *state;
	int             fd = client(v);
	uint8_t         q[FRAME];

	for (uint16_t i = 0; i < 3; i++) {
		service_frame(q, i, 'r', 500);
		for (unsigned k = 0; k < sizeof q; k++) {
			rig_write(fd, q + k, 1);
			uv_run(&v->rig.loop, UV_RUN_NOWAIT);
		}
		expect(v, fd, i, 500);
	}
	close(fd);
}

/* Three in one segment, the last cut and finished later; replies to one reading leave in one write. */
static void test_several_at_once(void **state)
{
	struct service *v = *state;
	int             fd = client(v);
	uint8_t         q[3 * FRAME], in[300];
	ssize_t         n;

	for (unsigned i = 0; i < 3; i++)
		service_frame(q + i * FRAME, (uint16_t)i, 'r', 100);
	rig_write(fd, q, sizeof q - 5);
	rig_until(&v->rig, (n = rig_recv(fd, in, sizeof in)) != -EAGAIN);
	assert_int_equal(n, 204);
	rig_write(fd, q + sizeof q - 5, 5);
	rig_until(&v->rig, (n = rig_recv(fd, in, sizeof in)) != -EAGAIN);
	assert_int_equal(n, 102);
	assert_int_equal(v->in_batches, 3);
	close(fd);
}

/* Replies leave as they are ready, each in one write. */
static void test_pipelining(void **state)
{
	struct service *v = *state;
	int             fd = client(v);
	uint8_t         in[300];
	ssize_t         n;

	ask(fd, 1, 'l', 50);
	ask(fd, 2, 'l', 51);
	ask(fd, 3, 'r', 52);
	expect(v, fd, 3, 52);
	rig_until(&v->rig, service_waiting(v) == 2);
	v->later_from++;
	service_answer(v);
	rig_until(&v->rig, (n = rig_recv(fd, in, sizeof in)) != -EAGAIN);
	assert_int_equal(n, 53);
	assert_int_equal(in[3], 2);
	v->later_from = 0;
	service_answer(v);
	expect(v, fd, 1, 50);
	close(fd);
}

static void test_half_close(void **state)
{
	struct service *v = *state;
	int             fd = client(v);

	for (uint16_t i = 0; i < 3; i++)
		ask(fd, i, 'l', 30);
	shutdown(fd, SHUT_WR);
	rig_until(&v->rig, service_waiting(v) == 3);
	rig_idle(&v->rig);
	for (uint16_t i = 0; i < 3; i++) {
		service_answer(v);
		expect(v, fd, i, 30);
	}
	expect_fin(v, fd);
}

/* Over the bound on questions in work reading stops, and nothing is dropped, not even after the client
 * has ended its side. */
static void test_in_flight(void **state)
{
	struct service *v = *state;
	int             fd = client(v);
	static bool     seen[500];

	for (uint16_t i = 0; i < 500; i++)
		ask(fd, i, i % 10 ? 'l' : 'r', 40);
	shutdown(fd, SHUT_WR);
	for (unsigned got = 0; got < 500; got++) {
		uint8_t  octet;
		unsigned id;

		while (recv(fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT) < 0) {
			rig_turn(&v->rig);
			if (service_waiting(v) == 100)
				rig_idle(&v->rig);
			if (service_waiting(v))
				service_answer(v);
		}
		id = expect_one(v, fd, 40);
		assert_false(seen[id]);
		seen[id] = true;
		if (service_waiting(v))
			service_answer(v);
	}
	assert_int_equal(v->later_open_most, 100);
	expect_fin(v, fd);
}

static void test_client_gone(void **state)
{
	struct service *v = *state;
	int             fd = client(v);

	ask(fd, 1, 'l', 30);
	ask(fd, 2, 'l', 30);
	rig_until(&v->rig, service_waiting(v) == 2);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	close(fd);
	rig_until(&v->rig, v->stats.tcp_clients_now == 0);
	service_answer(v);
	reply_path_drop(&v->later[1].path);
}

static void test_garbage(void **state)
{
	struct service *v = *state;

	for (uint8_t len = 0; len < 12; len++) {
		int     fd = client(v);
		uint8_t q[FRAME + 14] = { 0 };

		service_frame(q, 7, 'r', 30);	/* asked before, and answered */
		q[FRAME + 1] = len;
		rig_write(fd, q, sizeof q);
		expect(v, fd, 7, 30);
		expect_end(v, fd);
	}
	assert_int_equal(v->asked, 12);
}

static void test_close_verdict(void **state)
{
	struct service *v = *state;
	int             fd = client(v);

	ask(fd, 1, 'r', 30);
	ask(fd, 2, 'c', 0);
	ask(fd, 3, 'r', 30);
	expect(v, fd, 1, 30);
	expect_end(v, fd);
	assert_int_equal(v->asked, 2);
}

/* Any number of questions on one connection. */
static void test_many(void **state)
{
	struct service *v = *state;
	int             fd = client(v);
	static uint8_t  q[500 * FRAME], in[65536];
	unsigned        asked = 0;
	size_t          got = 0, at = 0;

	for (unsigned i = 0; i < 500; i++)
		service_frame(q + i * FRAME, (uint16_t)i, 'r', 48);
	rig_until(&v->rig, v->stats.tcp_clients_now == 1);
	while (got < (size_t)200000 * 50) {
		ssize_t n = 0;

		if (asked < 200000)
			n = send(fd, q + at, sizeof q - at, MSG_DONTWAIT);
		if (n > 0)
			at += (size_t)n;
		if (at == sizeof q) {
			at = 0;
			asked += 500;
		}
		rig_turn(&v->rig);
		while ((n = rig_recv(fd, in, sizeof in)) > 0)
			got += (size_t)n;
		assert_int_equal(n, -EAGAIN);
	}
	assert_int_equal(got, (size_t)200000 * 50);
	assert_int_equal(v->asked, 200000);
	assert_int_equal(v->in_batches, 200000);
	close(fd);
}

/* Asks for 4 KiB each without reading, until the listener has stopped reading; gives how often. */
static unsigned ask_too_much(struct service *v, int fd)
{
	uint8_t  q[FRAME];
	unsigned sent = 0, waited = 0;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){ 4096 }, sizeof(int));
	while (waited < 3 && sent < 60000) {
		size_t at = 0;

		service_frame(q, (uint16_t)sent, 'r', 4096);
		while (at < sizeof q && waited < 3) {
			ssize_t n = send(fd, q + at, sizeof q - at, MSG_DONTWAIT | MSG_NOSIGNAL);

			at += n > 0 ? (size_t)n : 0;
			waited = n > 0 ? 0 : waited + 1;
			if (n < 0)
				rig_turn(&v->rig);
		}
		sent += at == sizeof q;
	}
	assert_int_equal(waited, 3);
	return sent;
}

/* A client that does not read is asked no more; when it reads it gets everything. */
static void test_slow_reader(void **state)
{
	struct service *v = *state;
	int             fd = client(v);
	unsigned        sent = ask_too_much(v, fd);

	assert_true(v->asked < sent);
	for (unsigned i = 0; i < sent; i++)
		expect(v, fd, (uint16_t)i, 4096);
	close(fd);
}

/* It is closed when it has taken nothing for its idle time. */
static void test_no_reader(void **state)
{
	struct service *v = *state;
	int             fd;
	uint64_t        from_ms;

	reconfigure(v, idle_ms, 300);
	fd = client(v);
	from_ms = rig_now_ms();
	ask(fd, 1, 'r', 65535);
	rig_until(&v->rig, v->asked == 1);
	while (v->stats.tcp_clients_now) {	/* asks on and on, as long as it is heard */
		uint8_t q[FRAME];

		service_frame(q, 1, 'r', 65535);
		if (send(fd, q, sizeof q, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			rig_turn(&v->rig);
		else
			uv_run(&v->rig.loop, UV_RUN_NOWAIT);
		assert_true(rig_now_ms() - from_ms < RIG_PATIENCE_MS);
	}
	assert_true(rig_now_ms() - from_ms >= 290);
	close(fd);
}

/* Later replies to a client that does not read: closed before they pile up. */
static void test_later_pile(void **state)
{
	struct service *v = *state;
	int             fd = client(v);

	for (unsigned round = 0; v->stats.tcp_clients_now || round < 1; round++) {
		assert_true(round < 10);
		for (uint16_t i = 0; i < 100; i++)
			ask(fd, i, 'l', 65535);
		rig_idle(&v->rig);
		while (service_waiting(v))
			service_answer(v);
		rig_idle(&v->rig);
	}
	close(fd);
}

/* The idle time counts from the last whole question, and not while replies are due. */
static void test_idle(void **state)
{
	struct service *v = *state;
	uint64_t        from_ms, last_ms;
	int             waiting, dripping;

	reconfigure(v, idle_ms, 250);
	waiting = client(v);
	dripping = client(v);
	ask(waiting, 1, 'l', 20);
	from_ms = last_ms = rig_now_ms();
	ask(dripping, 2, 'r', 20);
	expect(v, dripping, 2, 20);
	rig_write(dripping, (const uint8_t *)"\0\100", 2);
	while (!rig_is_closed(dripping)) {
		rig_turn(&v->rig);
		if (rig_now_ms() - last_ms < 20)
			continue;
		last_ms = rig_now_ms();
		send(dripping, "x", 1, MSG_NOSIGNAL);
		assert_true(rig_now_ms() - from_ms < 8000);
	}
	close(dripping);
	assert_true(rig_now_ms() - from_ms >= 240);
	while (rig_now_ms() - from_ms < 600)
		rig_turn(&v->rig);
	uv_update_time(&v->rig.loop);
	from_ms = rig_now_ms();
	service_answer(v);
	expect(v, waiting, 1, 20);
	expect_end(v, waiting);
	assert_in_range(rig_now_ms() - from_ms, 240, 8000);
}

/* Towards the bound the time that is granted falls to nothing, and the connection obeys it. */
static void test_keepalive_shrinks(void **state)
{
	static const uint32_t granted[] = { 10000, 10000, 10000, 10000, 10000, 10000, 5000, 0 };
	struct service       *v = *state;
	uint64_t              from_ms = 0;
	int                   fd[8];

	reconfigure(v, clients, 8);
	for (unsigned i = 0; i < 8; i++) {
		fd[i] = client(v);
		from_ms = rig_now_ms();
		ask(fd[i], (uint16_t)i, 'r', 20);
		expect(v, fd[i], (uint16_t)i, 20);
		assert_int_equal(v->keepalive_ms, granted[i]);
	}
	expect_end(v, fd[7]);
	assert_true(rig_now_ms() - from_ms < 8000);
	for (unsigned i = 0; i < 7; i++) {
		assert_false(rig_is_closed(fd[i]));
		close(fd[i]);
	}
}

/* At the bound the one that was silent longest gives way; when all wait for us, the new one goes. */
static void test_bound(void **state)
{
	struct service *v = *state;
	int             fd[4], late;

	reconfigure(v, clients, 4);
	for (uint16_t i = 0; i < 4; i++) {
		fd[i] = client(v);
		rig_until(&v->rig, v->stats.tcp_clients_now == i + 1u);
	}
	for (uint16_t i = 0; i < 4; i++) {		/* 1 is least recent, then 2 */
		uint16_t k = (uint16_t)(3 - (i + 2) % 4);

		ask(fd[k], k, k == 1 ? 'l' : 's', 20);
		rig_until(&v->rig, v->asked == i + 1u);
	}
	late = client(v);
	rig_until(&v->rig, service_count(v, STATS_TCP_CLIENTS) == 5);
	rig_until(&v->rig, rig_is_closed(fd[0]));	/* 1 has a reply due */
	assert_false(rig_is_closed(fd[1]) || rig_is_closed(fd[2]) || rig_is_closed(fd[3]));
	ask(fd[2], 2, 'l', 20);
	ask(fd[3], 3, 'l', 20);
	ask(late, 4, 'l', 20);
	rig_until(&v->rig, service_waiting(v) == 4);
	close(fd[0]);
	fd[0] = client(v);
	expect_end(v, fd[0]);
	assert_int_equal(service_count(v, STATS_TCP_REFUSED), 1);
	while (service_waiting(v))
		service_answer(v);
	expect(v, fd[1], 1, 20);
	expect(v, late, 4, 20);
	for (unsigned i = 1; i < 4; i++)
		close(fd[i]);
	close(late);
}

/* Out of descriptors: no spinning, UDP lives, and accepting resumes. */
static void test_no_descriptors(void **state)
{
	struct service *v = *state;
	struct rlimit   limit, none;
	uint8_t         q[SERVICE_QUESTION], in[100];
	int             udp = rig_connect(SOCK_DGRAM, &v->addr), fd = client(v);
	unsigned        turns = 0;
	uint64_t        from_ms;

	if (strstr(getenv("LD_PRELOAD") ? getenv("LD_PRELOAD") : "", "vgpreload"))
		skip();		/* valgrind accepts over the limit and then closes */
	getrlimit(RLIMIT_NOFILE, &limit);
	none = (struct rlimit){ (rlim_t)fd + 1, limit.rlim_max };
	setrlimit(RLIMIT_NOFILE, &none);
	ask(fd, 1, 'r', 20);
	rig_idle(&v->rig);
	service_question(q, 2, 'r', 30);
	rig_write(udp, q, sizeof q);
	rig_until(&v->rig, rig_recv(udp, in, sizeof in) == 30);
	assert_int_equal(service_count(v, STATS_TCP_CLIENTS), 0);

	uv_timer_stop(&v->rig.tick);
	for (from_ms = rig_now_ms(); rig_now_ms() - from_ms < 100; turns++)
		uv_run(&v->rig.loop, UV_RUN_ONCE);	/* nothing to do but wait */
	assert_true(turns <= 5);
	uv_timer_start(&v->rig.tick, rig_on_tick, 2, 2);
	setrlimit(RLIMIT_NOFILE, &limit);
	expect(v, fd, 1, 20);
	close(fd);
	close(udp);
}

static void test_remove(void **state)
{
	struct service *v = *state;
	struct addr     other = rig_addr("127.0.0.2", addr_port(&v->addr));
	int             tcp, fd[2];

	assert_int_equal(listener_open_tcp(&other, &tcp), 0);
	assert_int_equal(listener_set_add(v->set, &other, -1, tcp), 0);
	fd[0] = client(v);
	fd[1] = rig_connect(SOCK_STREAM, &other);
	ask(fd[0], 1, 'l', 20);
	rig_until(&v->rig, service_waiting(v) == 1);
	ask(fd[1], 2, 'l', 20);
	rig_until(&v->rig, service_waiting(v) == 2);
	listener_set_remove(v->set, &v->addr);
	expect_end(v, fd[0]);
	service_answer(v);
	service_answer(v);
	expect(v, fd[1], 2, 20);
	close(fd[1]);
}

/* After stop: who waits for nothing goes at once, the others with their replies. */
static void test_stop(void **state)
{
	struct service *v = *state;
	int             fd[3];

	for (unsigned i = 0; i < 2; i++)
		fd[i] = client(v);
	ask(fd[0], 1, 'l', 20);
	rig_until(&v->rig, service_waiting(v) == 1 && v->stats.tcp_clients_now == 2);
	listener_set_stop(v->set);
	expect_fin(v, fd[1]);
	fd[2] = client(v);			/* stays in the kernel's queue */
	ask(fd[0], 2, 'r', 20);
	rig_idle(&v->rig);
	assert_int_equal(v->asked, 1);
	service_answer(v);
	expect(v, fd[0], 1, 20);
	expect_end(v, fd[0]);
	assert_int_equal(service_count(v, STATS_TCP_CLIENTS), 2);
	close(fd[2]);
}

/* Closing with everything under way. */
static void test_close_busy(void **state)
{
	struct service *v = *state;
	int             fd = client(v);

	for (uint16_t i = 0; i < 300; i++)
		ask(fd, i, i % 2 ? 'l' : 'r', 3000);
	rig_until(&v->rig, service_waiting(v) == 100);
	service_answer(v);
	listener_set_close(v->set);
	service_answer(v);
	rig_turn(&v->rig);
	rig_turn(&v->rig);
	service_answer(v);
	v->set = NULL;
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_octet_by_octet),
		TEST(test_several_at_once),
		TEST(test_pipelining),
		TEST(test_half_close),
		TEST(test_in_flight),
		TEST(test_client_gone),
		TEST(test_garbage),
		TEST(test_close_verdict),
		TEST(test_many),
		TEST(test_slow_reader),
		TEST(test_no_reader),
		TEST(test_later_pile),
		TEST(test_idle),
		TEST(test_keepalive_shrinks),
		TEST(test_bound),
		TEST(test_no_descriptors),
		TEST(test_remove),
		TEST(test_stop),
		TEST(test_close_busy),
	};

	return cmocka_run_group_tests_name("net/tcp_listener", tests, NULL, NULL);
}
