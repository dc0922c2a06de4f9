/* test_net_udp_listener.c - batches, addresses and later replies. */
#include "net_service.h"

#include <netinet/udp.h>

static struct service service;

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

static void ask(int fd, uint16_t id, char what, size_t len)
{
	uint8_t q[SERVICE_QUESTION];

	service_question(q, id, what, len);
	rig_write(fd, q, sizeof q);
}

/* The reply to id has come to fd, whole. */
static void expect(struct service *v, int fd, uint16_t id, size_t len)
{
	uint8_t in[8192];
	ssize_t n;

	rig_until(&v->rig, (n = rig_recv(fd, in, sizeof in)) != -EAGAIN);
	assert_int_equal(n, (ssize_t)len);
	assert_int_equal(in[0] << 8 | in[1], id);
	if (len > 12)
		assert_int_equal(in[len - 1], (uint8_t)len);
}

static void test_batches(void **state)
{
	struct service *v = *state;
	int             fd[3];
	unsigned        due = 0;

	for (unsigned i = 0; i < 3; i++)
		fd[i] = rig_connect(SOCK_DGRAM, &v->addr);
	for (unsigned i = 0; i < 200; i++) {
		ask(fd[i % 3], (uint16_t)i, i % 5 ? 'r' : 's', 12 + i % 100);
		due += i % 5 != 0;
	}
	for (unsigned i = 0; i < 200; i++)
		if (i % 5)
			expect(v, fd[i % 3], (uint16_t)i, 12 + i % 100);
	assert_int_equal(v->asked, 200);
	assert_int_equal(v->in_batches, due);
	assert_true(v->batches <= 4);			/* 64 at a time */
	assert_true(v->last_boot_ms > 0);
	assert_int_equal(service_count(v, STATS_REPLIES_LOST), 0);
	for (unsigned i = 0; i < 3; i++)
		close(fd[i]);
}

static void test_later(void **state)
{
	struct service *v = *state;
	int             fd = rig_connect(SOCK_DGRAM, &v->addr);

	for (unsigned i = 0; i < 150; i++)
		ask(fd, (uint16_t)i, 'l', 40 + i);
	rig_until(&v->rig, service_waiting(v) == 150);
	for (unsigned i = 0; i < 100; i++)
		service_answer(v);		/* more than a batch */
	for (unsigned i = 0; i < 64; i++)
		expect(v, fd, (uint16_t)i, 40 + i);
	for (unsigned i = 64; i < 100; i++)
		expect(v, fd, (uint16_t)i, 40 + i);
	reply_path_drop(&v->later[100].path);
	reply_path_drop(&v->later[100].path);
	for (unsigned i = 100; i < 150; i++)
		service_answer(v);		/* of the first nothing is heard */
	listener_set_flush(v->set);		/* without a turn of the loop */
	for (unsigned i = 101; i < 150; i++) {
		uint8_t in[300];

		assert_int_equal(rig_recv(fd, in, sizeof in), 40 + i);
		assert_int_equal(in[1], i);
	}
	close(fd);
}

/* Replies leave from the address that was asked, at once and later. */
static void check_source(const char *wildcard, const char *const asked[], unsigned count)
{
	static struct service v;
	static int            fd[8];

	service_open(&v, wildcard, &service_conf);
	for (unsigned i = 0; i < count; i++) {
		struct addr to = rig_addr(asked[i], addr_port(&v.addr));

		fd[i] = rig_connect(SOCK_DGRAM, &to);	/* hears of nobody else */
		ask(fd[i], (uint16_t)i, 'l', 99);
		ask(fd[i], (uint16_t)(i + 100), 'r', 77);
	}
	for (unsigned i = 0; i < count; i++)
		expect(&v, fd[i], (uint16_t)(i + 100), 77);
	rig_until(&v.rig, service_waiting(&v) == count);
	for (unsigned i = 0; i < count; i++)
		service_answer(&v);
	for (unsigned i = 0; i < count; i++) {
		expect(&v, fd[i], (uint16_t)i, 99);
		close(fd[i]);
	}
	service_close(&v);
}

static void test_source_ipv4(void **state)
{
	static const char *const asked[] = { "127.0.0.1", "127.0.0.2", "127.9.9.9", "127.0.0.1" };

	(void)state;
	check_source("0.0.0.0", asked, 4);
}

static bool has_ipv6(void)
{
	struct addr a = rig_addr("::1", 0);
	int         fd = socket(AF_INET6, SOCK_DGRAM, 0);
	bool        has = fd >= 0 && bind(fd, &a.sa, addr_len(&a)) == 0;

	close(fd);
	return has;
}

static void test_source_ipv6(void **state)
{
	static const char *const asked[] = { "::1", "::1" };

	(void)state;
	if (!has_ipv6())
		skip();
	check_source("::", asked, 2);
}

/* A wildcard socket and another in one set share the rooms but not what is read beside messages. */
static void test_mixed_set(void **state)
{
	struct service *v = *state;
	struct addr     any = rig_addr("0.0.0.0", 0), bound, second;
	int             udp, fd[2];

	assert_int_equal(listener_open_udp(&any, &udp), 0);
	bound = rig_name(udp);
	assert_int_equal(listener_set_add(v->set, &bound, udp, -1), 0);
	second = rig_addr("127.0.0.3", addr_port(&bound));
	fd[0] = rig_connect(SOCK_DGRAM, &v->addr);
	fd[1] = rig_connect(SOCK_DGRAM, &second);
	for (unsigned i = 0; i < 200; i++) {
		ask(fd[i % 2], (uint16_t)i, i % 3 ? 'r' : 'l', 30);
		if (i % 20 == 19)
			rig_turn(&v->rig);
	}
	rig_until(&v->rig, v->asked == 200);
	while (service_waiting(v))
		service_answer(v);
	for (unsigned k = 0; k < 2; k++) {
		for (unsigned i = 0; i < 100; i++) {
			uint8_t in[100];
			ssize_t n;

			rig_until(&v->rig, (n = rig_recv(fd[k], in, sizeof in)) != -EAGAIN);
			assert_int_equal(n, 30);
		}
		close(fd[k]);
	}
}

/* 4096 octets are read whole; more shows by its length. */
static void test_long_questions(void **state)
{
	struct service *v = *state;
	int             fd = rig_connect(SOCK_DGRAM, &v->addr);
	static uint8_t  q[9000];

	service_question(q, 1, 'r', 4096);
	rig_write(fd, q, 4096);
	expect(v, fd, 1, 4096);
	assert_int_equal(v->longest, 4096);
	rig_write(fd, q, sizeof q);
	expect(v, fd, 1, 4096);
	assert_in_range(v->longest, 4097, sizeof q);
	close(fd);
}

static void test_source_port_zero(void **state)
{
	struct service *v = *state;
	uint8_t         packet[8 + SERVICE_QUESTION] = { 0 };
	struct udphdr  *h = (struct udphdr *)packet;
	struct addr     to = v->addr;
	int             fd = socket(AF_INET, SOCK_RAW, IPPROTO_UDP);

	if (fd < 0)
		skip();
	h->dest = to.in4.sin_port;
	h->len = htons(sizeof packet);
	service_question(packet + 8, 1, 'r', 20);
	addr_set_port(&to, 0);
	assert_int_equal(sendto(fd, packet, sizeof packet, 0, &to.sa, addr_len(&to)),
	                 (ssize_t)sizeof packet);
	rig_until(&v->rig, service_count(v, STATS_DROPPED) == 1);
	assert_int_equal(v->asked, 0);
	close(fd);
}

/* What did not fit into the kernel's buffer is counted, to the last one. */
static void test_kernel_drops(void **state)
{
	struct service *v = *state;
	int             fd = rig_connect(SOCK_DGRAM, &v->addr);

	setsockopt(v->udp_fd, SOL_SOCKET, SO_RCVBUF, &(int){ 16384 }, sizeof(int));
	for (unsigned i = 0; i < 500; i++)
		ask(fd, (uint16_t)i, 's', 0);
	rig_idle(&v->rig);
	assert_in_range(v->asked, 1, 499);
	ask(fd, 1, 'r', 20);			/* the news comes with the next */
	expect(v, fd, 1, 20);
	assert_int_equal(service_count(v, STATS_KERNEL_DROPS), 501 - v->asked);
	close(fd);
}

/* Without the listener, its later replies fall silent. */
static void test_remove(void **state)
{
	struct service *v = *state;
	struct addr     other = rig_addr("127.0.0.2", addr_port(&v->addr));
	int             udp, fd[2];
	uint8_t         in[100] = { 0 };

	assert_int_equal(listener_open_udp(&other, &udp), 0);
	assert_int_equal(listener_set_add(v->set, &other, udp, -1), 0);
	fd[0] = rig_connect(SOCK_DGRAM, &v->addr);
	fd[1] = rig_connect(SOCK_DGRAM, &other);
	for (unsigned i = 0; i < 2; i++) {
		ask(fd[i], 1, 'l', 20);
		ask(fd[i], 2, 'l', 20);
		rig_until(&v->rig, service_waiting(v) == 2 * i + 2);
	}
	service_answer(v);
	listener_set_remove(v->set, &v->addr);
	expect(v, fd[0], 1, 20);		/* had been collected before */
	while (service_waiting(v))
		service_answer(v);
	expect(v, fd[1], 1, 20);
	expect(v, fd[1], 2, 20);
	assert_int_equal(rig_recv(fd[0], in, sizeof in), -EAGAIN);
	rig_idle(&v->rig);
	send(fd[0], in, 20, 0);
	assert_int_equal(rig_recv(fd[0], in, sizeof in), -ECONNREFUSED);	/* the socket is gone */
	close(fd[0]);
	close(fd[1]);
}

/* After stop nothing is asked, but what is due goes out. */
static void test_stop(void **state)
{
	struct service *v = *state;
	int             fd = rig_connect(SOCK_DGRAM, &v->addr);

	ask(fd, 1, 'l', 20);
	rig_until(&v->rig, service_waiting(v) == 1);
	listener_set_stop(v->set);
	ask(fd, 2, 'r', 20);
	rig_idle(&v->rig);
	assert_int_equal(v->asked, 1);
	service_answer(v);
	expect(v, fd, 1, 20);
	close(fd);
}

static void test_probe(void **state)
{
	struct service *v = *state;
	struct addr     free_one = rig_addr("127.0.0.5", addr_port(&v->addr)), shared = v->addr;
	int             udp, tcp;

	assert_int_equal(listener_probe(&v->addr, NET_UDP), -EADDRINUSE);
	assert_int_equal(listener_probe(&v->addr, NET_TCP), -EADDRINUSE);
	assert_int_equal(listener_probe(&free_one, NET_UDP), 0);
	assert_int_equal(listener_probe(&free_one, NET_TCP), 0);
	assert_int_equal(listener_open_udp(&shared, &udp), 0);	/* another worker */
	assert_int_equal(listener_open_tcp(&shared, &tcp), 0);
	close(udp);
	close(tcp);
	shared = rig_addr("192.0.2.77", addr_port(&v->addr));	/* not there yet */
	assert_int_equal(listener_open_udp(&shared, &udp), 0);
	close(udp);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_batches),
		TEST(test_later),
		cmocka_unit_test(test_source_ipv4),
		cmocka_unit_test(test_source_ipv6),
		TEST(test_mixed_set),
		TEST(test_long_questions),
		TEST(test_source_port_zero),
		TEST(test_kernel_drops),
		TEST(test_remove),
		TEST(test_stop),
		TEST(test_probe),
	};

	return cmocka_run_group_tests_name("net/udp_listener", tests, NULL, NULL);
}
