/* test_netwatch.c - ways to addresses as the kernel tells them, and news of changes, in a network of our own.
 *
 * In the network where tests run there is loopback at least: what can be looked
 * up without changing anything is looked up there.  Changes are made where
 * namespaces are allowed; else those tests are skipped.
 */
#include "unit.h"

#include "daemon/netwatch.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

static struct netway way_to(int fd, const char *text)
{
	struct netway way;
	struct addr   to;

	memset(&way, 0xee, sizeof way);		/* whatever was there must not shine through */
	assert_int_equal(addr_parse(text, 53, &to), 0);
	netway_find(fd, &to, &way);
	return way;
}

static int open_fd(void)
{
	int fd = netway_open();

	if (fd < 0)
		skip();
	return fd;
}

/* lo has index 1 in every network. */
static void test_loopback(void **state)
{
	int           fd = open_fd();
	struct netway way = way_to(fd, "127.0.0.1"), again = way_to(fd, "127.0.0.1"), other = way_to(fd, "127.0.0.9");
	struct addr   lo;

	(void)state;
	assert_int_equal(addr_parse("127.0.0.1", 0, &lo), 0);
	assert_true(way.reachable);
	assert_int_equal(way.interface, 1);
	assert_true(addr_equal_host(&way.source, &lo));
	assert_int_equal(way.gateway.sa.sa_family, 0);
	assert_true(netway_equal(&way, &again));
	assert_true(other.reachable);
	close(fd);
}

/* The port makes no difference; a descriptor that is none, no way. */
static void test_edges(void **state)
{
	int           fd = open_fd();
	struct netway a = way_to(fd, "127.0.0.1:53"), b = way_to(fd, "127.0.0.1:853"), none = way_to(-1, "127.0.0.1");

	(void)state;
	assert_true(netway_equal(&a, &b));
	assert_false(none.reachable);
	assert_int_equal(none.interface, 0);
	assert_false(netway_equal(&a, &none));
	close(fd);
}

/* Each part counts. */
static void test_equal(void **state)
{
	struct netway a = { .reachable = true, .interface = 3 }, b;

	(void)state;
	assert_int_equal(addr_parse("192.0.2.1", 0, &a.source), 0);
	assert_int_equal(addr_parse("192.0.2.254", 0, &a.gateway), 0);
	b = a;
	assert_true(netway_equal(&a, &b));
	b.reachable = false;
	assert_false(netway_equal(&a, &b));
	b = a;
	b.interface = 4;
	assert_false(netway_equal(&a, &b));
	b = a;
	assert_int_equal(addr_parse("192.0.2.2", 0, &b.source), 0);
	assert_false(netway_equal(&a, &b));
	b = a;
	memset(&b.gateway, 0, sizeof b.gateway);
	assert_false(netway_equal(&a, &b));
}

/* ---- in a network of our own ---- */

/* Begins one: nothing but a loopback that is down. */
static void enter_network(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		skip();
}

static void set_loopback(bool up)
{
	struct ifreq ask = { .ifr_flags = 0 };
	int          fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strcpy(ask.ifr_name, "lo");
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &ask), 0);
	ask.ifr_flags = (short)(up ? ask.ifr_flags | IFF_UP : ask.ifr_flags & ~IFF_UP);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ask), 0);
	close(fd);
}

static void test_no_way(void **state)
{
	struct netway before, after;
	int           fd;

	(void)state;
	enter_network();
	fd = open_fd();
	before = way_to(fd, "127.0.0.1");
	assert_false(before.reachable);
	assert_false(way_to(fd, "192.0.2.53").reachable);
	assert_false(way_to(fd, "2001:db8::53").reachable);
	set_loopback(true);
	after = way_to(fd, "127.0.0.1");
	assert_true(after.reachable);
	assert_false(netway_equal(&before, &after));
	assert_true(way_to(fd, "::1").reachable);
	assert_int_equal(way_to(fd, "::1").interface, 1);
	assert_false(way_to(fd, "192.0.2.53").reachable);
	close(fd);
}

static unsigned heard;

static void on_changed(void *arg)
{
	assert_ptr_equal(arg, &heard);
	heard++;
}

static void on_enough(uv_timer_t *t)
{
	uv_stop(t->loop);
}

/* Several changes at once are news once; none, never.  The kernel is waited for until it has spoken. */
static void test_news(void **state)
{
	struct netwatch watch;
	uv_timer_t      enough;
	uv_loop_t       loop;

	(void)state;
	enter_network();
	assert_int_equal(uv_loop_init(&loop), 0);
	uv_timer_init(&loop, &enough);
	netwatch_init(&watch, &loop, on_changed, &heard);
	if (watch.fd < 0)
		skip();
	heard = 0;
	for (unsigned i = 0; i < 20; i++)
		set_loopback(i % 2 == 0);
	while (!heard)
		uv_run(&loop, UV_RUN_ONCE);
	uv_timer_start(&enough, on_enough, 400, 0);	/* another would have come by then */
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(heard, 1);
	set_loopback(true);
	while (heard == 1)
		uv_run(&loop, UV_RUN_ONCE);
	netwatch_close(&watch);
	uv_close((uv_handle_t *)&enough, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_int_equal(watch.fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_no_way),
		cmocka_unit_test(test_news),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
