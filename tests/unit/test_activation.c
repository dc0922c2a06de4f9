/* test_activation.c - sockets from the service manager: which are used, for what, and what becomes of the others.
 *
 * Each case runs in a child whose descriptors from 3 on are what a manager
 * would have left there.
 */
#include "unit.h"

#include "base/log.h"
#include "daemon/activation.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned warnings;

static enum log_taken count_warnings(enum log_level level, const char *text, const struct log_field *fields)
{
	(void)text;
	(void)fields;
	warnings += level <= LOG_LEVEL_WARNING;
	return LOG_TAKEN;
}

static const struct log_sink counting = { count_warnings, count_warnings };

#define must(condition) ((condition) ? (void)0 : (fprintf(stderr, "not true: %s\n", #condition), _exit(1)))

/* Puts fds to 3, 4 … as a manager would, with names. */
static void hand_over(const int *fds, int count, const char *names)
{
	char text[16];
	int  high[16];

	must(count <= 16);
	for (int i = 0; i < count; i++)
		must((high[i] = fcntl(fds[i], F_DUPFD, 100)) >= 0);
	for (int i = 0; i < count; i++)
		must(dup2(high[i], 3 + i) == 3 + i);
	for (int i = 0; i < count; i++)
		close(high[i]);
	snprintf(text, sizeof text, "%d", (int)getpid());
	setenv("LISTEN_PID", text, 1);
	snprintf(text, sizeof text, "%d", count);
	setenv("LISTEN_FDS", text, 1);
	unsetenv("LISTEN_FDNAMES");
	if (names)
		setenv("LISTEN_FDNAMES", names, 1);
	warnings = 0;
	log_set_sink(&counting);
}

/* A socket on loopback; port 0: any, which is written back. */
static int bound(int family, int type, uint16_t *port)
{
	struct addr a;
	socklen_t   len = sizeof a;
	int         fd = socket(family, type, 0);

	must(addr_parse(family == AF_INET ? "127.0.0.1" : "::1", *port, &a) == 0);
	addr_set_port(&a, *port);
	must(bind(fd, &a.sa, addr_len(&a)) == 0 && getsockname(fd, &a.sa, &len) == 0);
	*port = addr_port(&a);
	must(type != SOCK_STREAM || listen(fd, 5) == 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void in_child(void (*body)(void))
{
	pid_t pid = fork();
	int   status;

	assert_true(pid >= 0);
	if (pid == 0) {
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void nothing_handed_over(void)
{
	struct activation a;
	uint16_t          port = 0;
	int               fd = bound(AF_INET, SOCK_DGRAM, &port);

	log_set_sink(&counting);
	unsetenv("LISTEN_FDS");
	activation_take(&a);
	must(a.count == 0 && a.control == -1);
	hand_over(&fd, 1, NULL);
	setenv("LISTEN_PID", "1", 1);		/* meant for somebody else */
	activation_take(&a);
	must(a.count == 0 && a.control == -1 && is_open(3) && warnings == 0);
}

static void pairs_by_address(void)
{
	struct activation             a;
	uint16_t                      port = 0, other = 0;
	const struct activation_socket *s;
	struct addr                   addr;
	int                           fds[4];

	fds[0] = bound(AF_INET, SOCK_STREAM, &port);
	fds[1] = bound(AF_INET6, SOCK_DGRAM, &other);
	fds[2] = bound(AF_INET, SOCK_DGRAM, &port);
	fds[3] = bound(AF_INET6, SOCK_STREAM, &other);
	hand_over(fds, 4, "larder:any:larder:x");
	activation_take(&a);
	must(a.count == 2 && a.control == -1 && warnings == 0);
	addr_parse("127.0.0.1", port, &addr);
	s = activation_find(&a, &addr);
	must(s && s->tcp == 3 && s->udp == 5);
	addr_parse("::1", other, &addr);
	s = activation_find(&a, &addr);
	must(s && s->udp == 4 && s->tcp == 6);
	addr_set_port(&addr, (uint16_t)(other + 1));
	must(!activation_find(&a, &addr));
	must(fcntl(3, F_GETFD) & FD_CLOEXEC);
	must(!getenv("LISTEN_FDS"));
	activation_close(&a);
	for (int fd = 3; fd < 7; fd++)
		must(!is_open(fd));
}

static void control_by_its_kind(void)
{
	struct activation  a;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int                fds[2];

	for (int i = 0; i < 2; i++) {		/* with a name of its own each, in the abstract */
		fds[i] = socket(AF_UNIX, SOCK_STREAM, 0);
		snprintf(sun.sun_path + 1, sizeof sun.sun_path - 1, "larder-test-%d-%d", (int)getpid(), i);
		must(bind(fds[i], (struct sockaddr *)&sun, sizeof sun) == 0 && listen(fds[i], 1) == 0);
	}
	hand_over(fds, 2, "control:another");
	activation_take(&a);
	must(a.control == 3 && a.count == 0);
	must(!is_open(4) && warnings == 1);	/* one is enough */
	activation_close(&a);
	must(!is_open(3) && a.control == -1);
}

/* A file, a pipe, a stream that does not listen, the same address twice. */
static void what_is_of_no_use(void)
{
	struct activation a;
	uint16_t          port = 0;
	int               fds[6], ends[2];

	must(pipe(ends) == 0);
	fds[0] = open("/dev/null", O_RDONLY);
	fds[1] = ends[0];
	fds[2] = socket(AF_INET, SOCK_STREAM, 0);
	fds[3] = socket(AF_UNIX, SOCK_DGRAM, 0);
	fds[4] = bound(AF_INET, SOCK_DGRAM, &port);
	fds[5] = fds[4];
	hand_over(fds, 6, NULL);
	activation_take(&a);
	must(a.count == 1 && a.sockets[0].udp == 7 && a.sockets[0].tcp == -1);
	for (int fd = 3; fd <= 8; fd++)
		must(is_open(fd) == (fd == 7));
	must(warnings == 6);			/* five of no use, and no TCP for the one */
}

/* IPv4 by an IPv6 socket is warned of. */
static void both_families(void)
{
	for (int only = 0; only < 2; only++) {
		struct activation a;
		struct addr       addr;
		int               fds[2] = { socket(AF_INET6, SOCK_DGRAM, 0), socket(AF_INET6, SOCK_STREAM, 0) };
		socklen_t         len = sizeof addr;

		addr_parse("::", 53, &addr);
		addr_set_port(&addr, 0);
		for (int i = 0; i < 2; i++) {
			setsockopt(fds[i], IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
			must(bind(fds[i], &addr.sa, addr_len(&addr)) == 0);
			must(getsockname(fds[i], &addr.sa, &len) == 0);
		}
		must(listen(fds[1], 1) == 0);
		hand_over(fds, 2, "larder:larder");
		activation_take(&a);
		must(a.count == 1 && warnings == (only ? 0 : 1));
		activation_close(&a);
	}
}

#define CASE(body)                                                         \
	static void test_##body(void **state)                              \
	{                                                                  \
		(void)state;                                               \
		in_child(body);                                            \
	}
CASE(nothing_handed_over)
CASE(pairs_by_address)
CASE(control_by_its_kind)
CASE(what_is_of_no_use)
CASE(both_families)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_handed_over),
		cmocka_unit_test(test_pairs_by_address),
		cmocka_unit_test(test_control_by_its_kind),
		cmocka_unit_test(test_what_is_of_no_use),
		cmocka_unit_test(test_both_families),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
