/* test_net_dial.c - which of several addresses a connection is made to, and when. */
#include "net_rig.h"

#include "net/dial.h"

struct world {
	struct rig       rig;
	struct addr_list to;
	struct dial     *dial;
	unsigned         told;
	int              fd;		/* as told: a descriptor, or a negative errno */
	struct addr      reached;
	int              sockets[16];
	unsigned         socket_count;
};

static struct world w;

static void world_done(void *arg, int fd, const struct addr *to)
{
	assert_ptr_equal(arg, &w);
	w.told++;
	w.fd = fd;
	w.reached = *to;
	w.dial = NULL;
}

static int world_keep(int fd)
{
	assert_true(w.socket_count < sizeof w.sockets / sizeof *w.sockets);
	return w.sockets[w.socket_count++] = fd;
}

/* Three kinds of addresses.  One that accepts: */
static void world_add_open(const char *text)
{
	struct addr any = rig_addr(text, 0), a = rig_name(world_keep(rig_server(SOCK_STREAM, &any)));

	addr_list_add(&w.to, &a);
}

/* One that refuses: a bound socket that does not listen holds the port. */
static void world_add_closed(const char *text)
{
	struct addr any = rig_addr(text, 0), a;
	int         fd = world_keep(rig_socket(SOCK_STREAM, &any));

	assert_int_equal(bind(fd, &any.sa, addr_len(&any)), 0);
	a = rig_name(fd);
	addr_list_add(&w.to, &a);
}

/* And one that says nothing: its queue of connections is full. */
static void world_add_silent(const char *text)
{
	struct addr any = rig_addr(text, 0), a;
	int         fd = world_keep(rig_socket(SOCK_STREAM, &any));

	assert_int_equal(bind(fd, &any.sa, addr_len(&any)), 0);
	assert_int_equal(listen(fd, 0), 0);
	a = rig_name(fd);
	for (unsigned i = 0; i < 3; i++)
		world_keep(rig_connect(SOCK_STREAM, &a));
	addr_list_add(&w.to, &a);
}

static uint64_t world_dial(void)
{
	uint64_t began_ms = rig_now_ms();
	int      error;

	uv_update_time(&w.rig.loop);
	w.dial = dial_begin(&w.rig.loop, &w.to, world_done, &w, &error);
	assert_non_null(w.dial);
	assert_int_equal(w.told, 0);		/* not before it has returned */
	rig_until(&w.rig, w.told);
	rig_idle(&w.rig);
	assert_int_equal(w.told, 1);
	return rig_now_ms() - began_ms;
}

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof w);
	w.fd = -1;
	rig_open(&w.rig);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dial_end(w.dial);
	if (w.fd >= 0)
		close(w.fd);
	while (w.socket_count)
		close(w.sockets[--w.socket_count]);
	rig_close(&w.rig);
	return 0;
}

/* Nobody watches it any more, and it carries octets. */
static void expect_reached(unsigned n)
{
	struct addr peer;
	socklen_t   len = sizeof peer;
	uv_poll_t   poll;

	assert_true(w.fd >= 0);
	assert_true(addr_equal(&w.reached, &w.to.at[n]));
	memset(&peer, 0, sizeof peer);
	assert_int_equal(getpeername(w.fd, &peer.sa, &len), 0);
	assert_true(addr_equal(&peer, &w.reached));
	assert_int_equal(uv_poll_init(&w.rig.loop, &poll, w.fd), 0);
	uv_close((uv_handle_t *)&poll, NULL);
	rig_turn(&w.rig);
}

static void test_one(void **state)
{
	(void)state;
	world_add_open("127.0.0.1");
	world_dial();
	expect_reached(0);
}

static void test_first_is_preferred(void **state)
{
	(void)state;
	world_add_open("127.0.0.1");
	world_add_open("127.0.0.2");
	world_dial();
	expect_reached(0);
}

static void test_after_a_failure_at_once(void **state)
{
	(void)state;
	world_add_closed("127.0.0.1");
	world_add_closed("127.0.0.2");
	world_add_closed("127.0.0.3");
	world_add_closed("127.0.0.4");
	world_add_closed("127.0.0.5");
	world_add_open("127.0.0.6");
	assert_true(world_dial() < 5 * DIAL_APART_MS);
	expect_reached(5);
}

static void test_after_silence_soon(void **state)
{
	(void)state;
	world_add_silent("127.0.0.1");
	world_add_open("127.0.0.2");
	assert_true(world_dial() >= DIAL_APART_MS - 1);
	expect_reached(1);
}

static void test_all_refuse(void **state)
{
	(void)state;
	world_add_closed("127.0.0.1");
	world_add_closed("127.0.0.2");
	world_dial();
	assert_int_equal(w.fd, -ECONNREFUSED);
}

static void test_none_can_be_tried(void **state)
{
	struct addr nobody = rig_addr("255.255.255.255", 53);	/* the system says no at once */
	int         error = 0;

	(void)state;
	addr_list_add(&w.to, &nobody);
	assert_null(dial_begin(&w.rig.loop, &w.to, world_done, &w, &error));
	assert_true(error < 0 && error != -ENOMEM);
	world_add_open("127.0.0.1");		/* but with another one that is no end */
	world_dial();
	expect_reached(1);
}

static void test_ends_in_the_middle(void **state)
{
	int error;

	(void)state;
	world_add_silent("127.0.0.1");
	world_add_open("127.0.0.2");
	w.dial = dial_begin(&w.rig.loop, &w.to, world_done, &w, &error);
	assert_non_null(w.dial);
	rig_idle(&w.rig);
	dial_end(w.dial);
	w.dial = NULL;
	uv_run(&w.rig.loop, UV_RUN_DEFAULT);	/* nothing is left open */
	assert_int_equal(w.told, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(test_one),
		TEST(test_first_is_preferred),
		TEST(test_after_a_failure_at_once),
		TEST(test_after_silence_soon),
		TEST(test_all_refuse),
		TEST(test_none_can_be_tried),
		TEST(test_ends_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
