/* test_net_namespace.c - what loopback as it is cannot show: a small link, clients from elsewhere.
 *
 * Runs in a network namespace of its own, whose one interface has 1280 octets
 * of MTU and 192.0.2.1 as a second address; skipped where that is not allowed.
 */
#include "net_service.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

#define MTU 1280

static bool have_namespace;

static bool namespace_make(void)
{
	struct ifreq lo = { .ifr_name = "lo" }, alias = { .ifr_name = "lo:1" };
	struct addr  second = rig_addr("192.0.2.1", 0);
	int          fd;
	bool         made;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	lo.ifr_mtu = MTU;
	made = ioctl(fd, SIOCSIFMTU, &lo) == 0;
	lo.ifr_flags = IFF_UP;
	made = made && ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
	memcpy(&alias.ifr_addr, &second.sa, sizeof alias.ifr_addr);
	made = made && ioctl(fd, SIOCSIFADDR, &alias) == 0;
	close(fd);
	return made;
}

static struct service service;

static int setup(void **state)
{
	if (have_namespace)
		service_open(&service, "0.0.0.0", &service_conf);
	*state = &service;
	return 0;
}

static int teardown(void **state)
{
	if (have_namespace)
		service_close(*state);
	return 0;
}

static struct addr at(const struct service *v, const char *address)
{
	return rig_addr(address, addr_port(&v->addr));
}

static void test_too_big_for_the_link(void **state)
{
	struct service *v = *state;
	struct addr     to;
	uint8_t         q[SERVICE_QUESTION], in[8192];
	unsigned        cut = 0, whole = 0;
	int             fd;

	if (!have_namespace)
		skip();
	to = at(v, "127.0.0.1");
	fd = rig_connect(SOCK_DGRAM, &to);
	for (uint16_t i = 0; i < 40; i++) {	/* some in one batch, some later, some too big */
		service_question(q, i, i % 2 ? 'l' : 'r', i % 4 < 2 ? 3000 : 1000);
		rig_write(fd, q, sizeof q);
	}
	rig_until(&v->rig, service_waiting(v) == 20);
	while (service_waiting(v))
		service_answer(v);
	while (cut + whole < 40) {
		ssize_t n;

		rig_until(&v->rig, (n = rig_recv(fd, in, sizeof in)) != -EAGAIN);
		if (in[1] % 4 < 2) {
			assert_int_equal(n, SERVICE_CUT);
			assert_int_equal(in[2] & 0x02, 0x02);
			assert_int_equal(in[5], 1);
			assert_int_equal(in[7], 0);
			assert_memory_equal(in + 12, service_name, SERVICE_CUT - 12);
			cut++;
		} else {
			assert_int_equal(n, 1000);
			assert_int_equal(in[2] & 0x02, 0);
			assert_int_equal(in[7], 1);
			whole++;
		}
	}
	assert_int_equal(cut, 20);
	assert_int_equal(service_count(v, STATS_REPLIES_LOST), 0);
	close(fd);
}

/* Each address but loopback may have 32 connections; nobody else is hurt. */
static void test_clients_of_one_address(void **state)
{
	struct service *v = *state;
	struct addr     to;
	int             fd[40], other;
	unsigned        refused = 0;

	if (!have_namespace)
		skip();
	to = at(v, "192.0.2.1");		/* comes from there too */
	for (unsigned i = 0; i < 40; i++)
		fd[i] = rig_connect(SOCK_STREAM, &to);
	rig_until(&v->rig, service_count(v, STATS_TCP_REFUSED) == 8);
	assert_int_equal(service_count(v, STATS_TCP_CLIENTS), 32);
	for (unsigned i = 0; i < 40; i++)
		refused += rig_is_closed(fd[i]);
	assert_int_equal(refused, 8);
	to = at(v, "127.0.0.1");
	other = rig_connect(SOCK_STREAM, &to);
	rig_until(&v->rig, v->stats.tcp_clients_now == 33);
	close(other);
	for (unsigned i = 0; i < 40; i++)
		close(fd[i]);
	rig_until(&v->rig, v->stats.tcp_clients_now == 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_too_big_for_the_link),
		TEST(test_clients_of_one_address),
	};

	have_namespace = namespace_make();
	return cmocka_run_group_tests_name("net/namespace", tests, NULL, NULL);
}
