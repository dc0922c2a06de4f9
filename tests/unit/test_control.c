/* test_control.c - the control socket, over a real socket file in a folder of its own.
 *
 * One thread plays both sides: a client's descriptor does not block, and the
 * loop of the server turns until the reply is there.
 */
#include "control/connection.h"
#include "control/control.h"
#include "fail_alloc.h"
#include "fake_control.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define STATS "{\"method\":\"io.larder.Stats\"}"
#define RELOAD "{\"method\":\"io.larder.Reload\"}"

struct fixture {
	char                folder[32], path[64];
	uv_loop_t           loop;
	struct fake_control fake;
	struct control_ops  ops;
	struct control     *control;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	signal(SIGPIPE, SIG_IGN);
	strcpy(f->folder, "/tmp/larder-control-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->path, sizeof f->path, "%s/io.larder", f->folder);
	assert_int_equal(uv_loop_init(&f->loop), 0);
	fake_control_init(&f->fake, &f->ops);
	assert_int_equal(control_open(&f->loop, f->path, &f->ops, &f->control), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	control_close(f->control);
	assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	assert_int_equal(access(f->path, F_OK), -1);
	assert_int_equal(rmdir(f->folder), 0);
	free(f);
	return 0;
}

static int client(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int                fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	strcpy(sun.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	return fd;
}

/* Sends octets, turning the loop as often as the socket is full.  Gives false if it was closed. */
static bool put(struct fixture *f, int fd, const char *octets, size_t len)
{
	while (len) {
		ssize_t n = send(fd, octets, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			return false;
		if (n < 0)
			uv_run(&f->loop, UV_RUN_NOWAIT);
		else {
			octets += n;
			len -= (size_t)n;
		}
	}
	return true;
}

static void say(struct fixture *f, int fd, const char *message)
{
	assert_true(put(f, fd, message, strlen(message) + 1));
}

/* The next octet, or -1: the other side closed. */
static int next_octet(struct fixture *f, int fd)
{
	for (int tries = 0; tries < 5000; tries++) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		unsigned char c;
		ssize_t       n = recv(fd, &c, 1, 0);

		if (n > 0)
			return c;
		if (n == 0 || errno == ECONNRESET)
			return -1;
		assert_int_equal(errno, EAGAIN);
		uv_run(&f->loop, UV_RUN_NOWAIT);
		poll(&p, 1, 1);
	}
	fail_msg("no reply");
	return -1;
}

/* The next message as JSON, which the caller owns; NULL: closed. */
static json_t *hear(struct fixture *f, int fd)
{
	static char  text[1 << 20];
	size_t       len = 0;
	int          c;
	json_error_t e;
	json_t      *reply;

	while ((c = next_octet(f, fd)) > 0) {
		text[len++] = (char)c;
		assert_true(len < sizeof text);
	}
	if (c < 0) {
		assert_int_equal(len, 0);	/* never half a message */
		return NULL;
	}
	reply = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
	if (!json_is_object(reply))
		fail_msg("not a reply: %.*s", (int)len, text);
	return reply;
}

static const char *text_at(const json_t *reply, const char *key)
{
	const char *text =
		json_string_value(json_object_get(json_object_get(reply, "parameters"), key));

	return text ? text : "(none)";
}

static long long number_at(const json_t *reply, const char *key)
{
	const json_t *n = json_object_get(json_object_get(reply, "parameters"), key);

	assert_true(json_is_integer(n));
	return json_integer_value(n);
}

static void test_oneway_gets_no_reply(void **state)
{
	struct fixture *f = *state;
	int             fd = client(f->path);
	json_t         *reply;

	say(f, fd, "{\"method\":\"io.larder.Reload\",\"oneway\":true}");
	say(f, fd, "{\"method\":\"io.larder.Nothing\",\"oneway\":true}");
	say(f, fd, "{\"method\":\"org.varlink.service.GetInfo\"}");
	reply = hear(f, fd);
	assert_string_equal(text_at(reply, "product"), "larder");
	assert_int_equal(f->fake.reloads, 1);
	json_decref(reply);
	close(fd);
}

/* More replies than any buffer of the kernel holds come whole and in order, though the client
 * begins to read only when all calls are sent. */
static void test_calls_sent_ahead(void **state)
{
	enum { CALLS = 2000 };
	struct fixture *f = *state;
	int             fd = client(f->path);
	char           *calls = malloc(CALLS * 64), *at = calls;

	assert_non_null(calls);
	for (int i = 0; i < CALLS; i++)
		at += snprintf(at, 64, i % 2 ? STATS : "{\"method\":\"io.larder.N%d\"}", i) + 1;
	assert_true((size_t)(at - calls) < 2 * CONTROL_MESSAGE_MAX);
	assert_true(put(f, fd, calls, (size_t)(at - calls)));
	for (int i = 0; i < CALLS; i++) {
		json_t *reply = hear(f, fd);
		char    expected[32];

		snprintf(expected, sizeof expected, "io.larder.N%d", i);
		if (i % 2)
			assert_int_equal(number_at(reply, "queries"), 1000);
		else
			assert_string_equal(text_at(reply, "method"), expected);
		json_decref(reply);
	}
	assert_int_equal(f->control->connection_count, 1);
	free(calls);
	close(fd);
}

static void test_octet_by_octet(void **state)
{
	struct fixture *f = *state;
	const char      call[] = STATS;
	int             fd = client(f->path);
	json_t         *reply;

	for (size_t i = 0; i < sizeof call; i++) {
		assert_true(put(f, fd, &call[i], 1));
		uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	reply = hear(f, fd);
	assert_int_equal(number_at(reply, "queries"), 1000);
	json_decref(reply);
	close(fd);
}

/* Half-closed after the last call: all are answered, then it ends. */
static void test_end_of_calls(void **state)
{
	struct fixture *f = *state;
	int             fd = client(f->path);
	json_t         *reply;

	say(f, fd, STATS);
	say(f, fd, RELOAD);
	shutdown(fd, SHUT_WR);
	reply = hear(f, fd);
	assert_int_equal(number_at(reply, "queries"), 1000);
	json_decref(reply);
	reply = hear(f, fd);
	assert_int_equal(json_object_size(json_object_get(reply, "parameters")), 0);
	json_decref(reply);
	assert_null(hear(f, fd));
	close(fd);
}

/* Sends octets that are no call: there is one reply, which says so, and an end. */
static void check_garbage(struct fixture *f, const char *octets, size_t len)
{
	int         fd = client(f->path);
	json_t     *reply;
	const char *error;

	put(f, fd, octets, len);
	reply = hear(f, fd);
	error = json_string_value(json_object_get(reply, "error"));
	assert_non_null(error);
	assert_string_equal(error, "org.varlink.service.InvalidParameter");
	assert_string_equal(text_at(reply, "parameter"), "message");
	json_decref(reply);
	assert_null(hear(f, fd));
	assert_int_equal(f->control->connection_count, 0);
	close(fd);
}

/* What comes after garbage on the same connection is not obeyed. */
static void test_garbage(void **state)
{
	static const char octets[] = "GET / HTTP/1.1\r\n\r\n\0" RELOAD;
	struct fixture   *f = *state;

	check_garbage(f, octets, sizeof octets);
	check_garbage(f, "", 1);
	assert_int_equal(f->fake.reloads, 0);
}

static void test_longest_message(void **state)
{
	struct fixture *f = *state;
	int             fd = client(f->path);
	char           *message = malloc(CONTROL_MESSAGE_MAX + 2);
	json_t         *reply;

	assert_non_null(message);
	memset(message, ' ', CONTROL_MESSAGE_MAX + 1);
	message[CONTROL_MESSAGE_MAX + 1] = '\0';
	memcpy(message, STATS, sizeof STATS - 1);
	message[CONTROL_MESSAGE_MAX] = '\0';
	assert_true(put(f, fd, message, CONTROL_MESSAGE_MAX + 1));
	reply = hear(f, fd);
	assert_int_equal(number_at(reply, "queries"), 1000);
	json_decref(reply);
	close(fd);

	message[CONTROL_MESSAGE_MAX] = ' ';
	check_garbage(f, message, CONTROL_MESSAGE_MAX + 1);	/* its NUL need not come */
	check_garbage(f, message, CONTROL_MESSAGE_MAX + 2);
	free(message);
}

static void test_who_does_not_read_is_dropped(void **state)
{
	struct fixture *f = *state;
	int             fd = client(f->path), quiet = client(f->path);
	size_t          queued = 0;
	json_t         *reply;

	f->control->stall_ms = 30;
	for (int i = 0; i < 2000 && f->control->connection_count < 2; i++)
		uv_run(&f->loop, UV_RUN_NOWAIT);
	while (send(fd, STATS, sizeof STATS, MSG_NOSIGNAL) > 0 && queued < (1u << 22)) {
		queued += sizeof STATS;
		uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	assert_true(queued < (1u << 22));	/* it stopped reading calls, too */
	assert_int_equal(f->control->connection_count, 2);
	for (int i = 0; i < 1000 && f->control->connection_count == 2; i++) {
		poll(NULL, 0, 1);
		uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(f->control->connection_count, 1);
	say(f, quiet, STATS);		/* it owed nothing, and is still there */
	reply = hear(f, quiet);
	assert_int_equal(number_at(reply, "queries"), 1000);
	json_decref(reply);
	close(quiet);
	close(fd);
}

static void test_the_quietest_gives_way(void **state)
{
	struct fixture *f = *state;
	int             fd[CONTROL_CONNECTIONS_MAX + 1];
	json_t         *reply;

	for (int i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		fd[i] = client(f->path);
		for (int turn = 0; turn < 100 && f->control->connection_count < (unsigned)i + 1;
		     turn++)
			uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(f->control->connection_count, CONTROL_CONNECTIONS_MAX);
	say(f, fd[0], STATS);		/* so the second is the quietest */
	reply = hear(f, fd[0]);
	assert_non_null(reply);
	json_decref(reply);
	fd[CONTROL_CONNECTIONS_MAX] = client(f->path);
	assert_null(hear(f, fd[1]));
	assert_int_equal(f->control->connection_count, CONTROL_CONNECTIONS_MAX);
	for (int i = 0; i <= CONTROL_CONNECTIONS_MAX; i++) {
		if (i != 1) {
			say(f, fd[i], STATS);
			reply = hear(f, fd[i]);
			assert_non_null(reply);
			json_decref(reply);
		}
		close(fd[i]);
	}
}

/* Callers that come while there is no memory are turned away, and later ones are served. */
static void test_no_memory_for_connections(void **state)
{
	struct fixture *f = *state;

	for (unsigned n = 1; n <= 3; n++) {
		int     fd = client(f->path), later;
		json_t *reply;

		fail_alloc_countdown = n;
		say(f, fd, STATS);
		uv_run(&f->loop, UV_RUN_NOWAIT);
		reply = hear(f, fd);
		fail_alloc_countdown = 0;
		json_decref(reply);
		later = client(f->path);
		say(f, later, STATS);
		reply = hear(f, later);
		assert_int_equal(number_at(reply, "queries"), 1000);
		json_decref(reply);
		close(later);
		close(fd);
	}
}

static void test_socket_file(void **state)
{
	static const mode_t umasks[] = { 0, 022, 077, 0777 };
	struct fixture     *f = *state;
	struct control     *second = NULL;
	struct stat         st;
	char                long_path[200], path[128], text[8] = "";
	mode_t              before = umask(0);
	int                 fd;

	assert_int_equal(control_open(&f->loop, f->path, &f->ops, &second), -EADDRINUSE);
	snprintf(path, sizeof path, "%s/second", f->folder);
	for (size_t i = 0; i < sizeof umasks / sizeof umasks[0]; i++) {
		umask(umasks[i]);
		assert_int_equal(control_open(&f->loop, path, &f->ops, &second), 0);
		assert_int_equal(lstat(path, &st), 0);
		assert_int_equal(st.st_mode, S_IFSOCK | 0660);
		control_close(second);
		assert_int_equal(lstat(path, &st), -1);
		uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	umask(before);

	/* Stale: the file of a listener that is gone. */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	{
		struct sockaddr_un sun = { .sun_family = AF_UNIX };

		strcpy(sun.sun_path, path);
		assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
		assert_int_equal(listen(fd, 1), 0);
	}
	assert_int_equal(control_open(&f->loop, path, &f->ops, &second), -EADDRINUSE);
	close(fd);
	assert_int_equal(control_open(&f->loop, path, &f->ops, &second), 0);

	/* The path taken by another file in the meantime: that one is not ours to remove. */
	assert_int_equal(unlink(path), 0);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "keep", 4), 4);
	close(fd);
	control_close(second);
	assert_int_equal(control_open(&f->loop, path, &f->ops, &second), -EEXIST);
	fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, text, sizeof text), 4);
	assert_string_equal(text, "keep");
	close(fd);
	unlink(path);

	memset(long_path, 'x', sizeof long_path - 1);
	long_path[sizeof long_path - 1] = '\0';
	assert_int_equal(control_open(&f->loop, long_path, &f->ops, &second), -ENAMETOOLONG);
	assert_int_equal(control_open(&f->loop, "", &f->ops, &second), -EINVAL);
	snprintf(path, sizeof path, "%s/none/there", f->folder);
	assert_int_equal(control_open(&f->loop, path, &f->ops, &second), -ENOENT);
	fail_alloc_countdown = 1;
	assert_int_equal(control_open(&f->loop, path, &f->ops, &second), -ENOMEM);
	control_close(NULL);
}

/* Closed with calls and replies under way: teardown finds the loop empty and nothing leaked. */
static void test_close_in_the_middle(void **state)
{
	struct fixture *f = *state;
	int             fd[8];

	for (int i = 0; i < 8; i++) {
		fd[i] = client(f->path);
		for (int k = 0; k < 100; k++)
			say(f, fd[i], STATS);
		assert_true(put(f, fd[i], "{\"meth", 6));
		uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	control_close(f->control);
	f->control = NULL;
	for (int i = 0; i < 8; i++)
		close(fd[i]);
}

#define CONTROL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CONTROL_TEST(test_oneway_gets_no_reply),
		CONTROL_TEST(test_calls_sent_ahead),
		CONTROL_TEST(test_octet_by_octet),
		CONTROL_TEST(test_end_of_calls),
		CONTROL_TEST(test_garbage),
		CONTROL_TEST(test_longest_message),
		CONTROL_TEST(test_who_does_not_read_is_dropped),
		CONTROL_TEST(test_the_quietest_gives_way),
		CONTROL_TEST(test_no_memory_for_connections),
		CONTROL_TEST(test_socket_file),
		CONTROL_TEST(test_close_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
