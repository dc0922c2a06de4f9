/* net_rig.h - a loop, the machine's clocks and loopback sockets for the tests of net/.
 *
 * The far side of each test is a plain socket in the same thread: what is
 * written to loopback is there at once, so a test writes, runs the loop until
 * something is true, and reads.  Nothing waits longer than RIG_PATIENCE_MS.
 */
#ifndef LARDER_TESTS_NET_RIG_H
#define LARDER_TESTS_NET_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define RIG_PATIENCE_MS 20000

struct rig {
	uv_loop_t  loop;
	uv_timer_t tick;
	struct rng rng;
	uint64_t   give_up_us;
};

static inline void rig_on_tick(uv_timer_t *timer)
{
	(void)timer;
}

static inline void rig_open(struct rig *r)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
	setrlimit(RLIMIT_NOFILE, &limit);
	assert_int_equal(uv_loop_init(&r->loop), 0);
	uv_timer_init(&r->loop, &r->tick);
	uv_timer_start(&r->tick, rig_on_tick, 2, 2);
	uv_unref((uv_handle_t *)&r->tick);
	rng_init(&r->rng, NULL, NULL);
}

/* One turn of the loop, at most 2 ms of waiting. */
static inline void rig_turn(struct rig *r)
{
	uv_ref((uv_handle_t *)&r->tick);
	uv_run(&r->loop, UV_RUN_ONCE);
	uv_unref((uv_handle_t *)&r->tick);
}

static inline uint64_t rig_now_ms(void)
{
	return clock_mono_us(clock_system()) / 1000;
}

#define rig_until(r, condition)                                                 \
	do {                                                                    \
		uint64_t rig_end_ms = rig_now_ms() + RIG_PATIENCE_MS;           \
		while (!(condition)) {                                          \
			rig_turn(r);                                            \
			if (rig_now_ms() > rig_end_ms)                          \
				fail_msg("waited in vain for: %s", #condition); \
		}                                                               \
	} while (0)

/* Some turns in which nothing is expected. */
static inline void rig_idle(struct rig *r)
{
	for (int i = 0; i < 5; i++)
		rig_turn(r);
}

/* Everything under test has been closed before: what is left over is a leak of handles. */
static inline void rig_close(struct rig *r)
{
	uv_run(&r->loop, UV_RUN_DEFAULT);
	uv_close((uv_handle_t *)&r->tick, NULL);
	uv_run(&r->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&r->loop), 0);
}

static inline struct addr rig_addr(const char *text, uint16_t port)
{
	struct addr a;

	assert_int_equal(addr_parse(text, 1, &a), 0);
	addr_set_port(&a, port);
	return a;
}

static inline struct addr rig_name(int fd)
{
	struct addr a;
	socklen_t   len = sizeof a;

	memset(&a, 0, sizeof a);
	assert_int_equal(getsockname(fd, &a.sa, &len), 0);
	return a;
}

static inline int rig_socket(int type, const struct addr *a)
{
	int fd = socket(a->sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	return fd;
}

/* A bound socket; a stream listens. */
static inline int rig_server(int type, const struct addr *a)
{
	int fd = rig_socket(type, a);

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)), 0);
	assert_int_equal(bind(fd, &a->sa, addr_len(a)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 64), 0);
	return fd;
}

static inline int rig_connect(int type, const struct addr *a)
{
	int fd = rig_socket(type, a);

	if (connect(fd, &a->sa, addr_len(a)) < 0)
		assert_int_equal(errno, EINPROGRESS);
	return fd;
}

/* What has come: a length, 0 at the end, or a negative errno. */
static inline ssize_t rig_recv(int fd, void *out, size_t size)
{
	ssize_t n = recv(fd, out, size, MSG_DONTWAIT);

	return n < 0 ? -errno : n;
}

/* The other side has closed. */
static inline bool rig_is_closed(int fd)
{
	uint8_t octet;
	ssize_t n = rig_recv(fd, &octet, 1);

	return n == 0 || n == -ECONNRESET;
}

/* Reads len octets of a stream. */
static inline void rig_read(struct rig *r, int fd, uint8_t *out, size_t len)
{
	size_t  have = 0;
	ssize_t n;

	while (have < len) {
		rig_until(r, (n = rig_recv(fd, out + have, len - have)) != -EAGAIN);
		assert_true(n > 0);
		have += (size_t)n;
	}
}

static inline void rig_write(int fd, const uint8_t *octets, size_t len)
{
	assert_int_equal(send(fd, octets, len, MSG_NOSIGNAL), (ssize_t)len);
}

#endif
