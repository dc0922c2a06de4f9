/* test_log.c - one event, one line, and nobody from outside writes a second one. */
#include "unit.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static char   said[262144];
static int    read_end, old_stderr;

/* Standard error becomes a pipe. */
static int setup(void **state)
{
	int ends[2];

	(void)state;
	if (pipe(ends) < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
		return -1;
	old_stderr = dup(STDERR_FILENO);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	read_end = ends[0];
	log_set_level(LOG_LEVEL_NOTICE);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dup2(old_stderr, STDERR_FILENO);
	close(old_stderr);
	close(read_end);
	return 0;
}

/* What has been said since the last call. */
static const char *heard(void)
{
	size_t  used = 0;
	ssize_t n;

	while ((n = read(read_end, said + used, sizeof said - 1 - used)) > 0)
		used += (size_t)n;
	said[used] = '\0';
	return said;
}

static unsigned count(const char *text, char c)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == c;
	return n;
}

static void test_levels(void **state)
{
	(void)state;
	for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
		log_set_level((enum log_level)level);
		for (int l = LOG_LEVEL_ERROR; l <= LOG_LEVEL_DEBUG; l++)
			assert_int_equal(log_enabled((enum log_level)l), l <= level);
		log_error("e");
		log_warning("w");
		log_notice("n");
		log_info("i");
		log_debug("d");
		assert_int_equal(count(heard(), '\n'), level + 1);
	}
	assert_string_equal(said, "error: e\nwarning: w\nn\ni\ndebug: d\n");
	assert_string_equal(log_level_names[LOG_LEVEL_ERROR], "error");
	assert_string_equal(log_level_names[LOG_LEVEL_DEBUG], "debug");
	assert_null(log_level_names[LOG_LEVEL_DEBUG + 1]);
}

/* log_debug() does not even compute its arguments when nobody listens. */
static void test_debug_is_free(void **state)
{
	int n = 0;

	(void)state;
	log_debug("%d", ++n);
	assert_int_equal(n, 0);
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("%d", ++n);
	assert_int_equal(n, 1);
	assert_string_equal(heard(), "debug: 1\n");
}

/* Names come from strangers: line ends, terminal escapes and octets that are not ASCII. */
static void test_no_forged_lines(void **state)
{
	char all[256];

	(void)state;
	log_notice("a\nb\r\033[31m\x7f\xc3\xbc%s", "\t\\");
	assert_string_equal(heard(), "a\\012b\\015\\033[31m\\177\\303\\274\\011\\\n");
	for (int i = 1; i < 256; i++)
		all[i - 1] = (char)i;
	all[255] = '\0';
	log_error("%s", all);
	assert_int_equal(count(heard(), '\n'), 1);
	for (const char *c = said; c[1]; c++)
		assert_in_range((unsigned char)*c, 0x20, 0x7e);
}

/* Long texts are cut, still to one line, however much escaping they need. */
static void test_long_lines(void **state)
{
	static const char fill[] = { 'x', '\n' };
	char              text[5000];

	(void)state;
	for (size_t i = 0; i < sizeof fill; i++) {
		memset(text, fill[i], sizeof text - 1);
		text[sizeof text - 1] = '\0';
		log_warning("%s", text);
		assert_int_equal(count(heard(), '\n'), 1);
		assert_in_range(strlen(said), 500, 3104);
		assert_int_equal(said[strlen(said) - 1], '\n');
	}
}

static void test_errno_stays(void **state)
{
	(void)state;
	errno = EPIPE;
	log_error("x");
	assert_int_equal(errno, EPIPE);
	heard();
}

/* Five in ten seconds; the first after that tells how many are missing. */
static void test_limit(void **state)
{
	struct log_limit limit = { 0 };
	uint32_t         dropped = 99;

	(void)state;
	for (int i = 0; i < 5; i++) {
		assert_true(log_limit_pass(&limit, &dropped));
		assert_int_equal(dropped, 0);
	}
	for (int i = 0; i < 7; i++)
		assert_false(log_limit_pass(&limit, &dropped));
	atomic_fetch_sub(&limit.since_s, 10);		/* ten seconds pass */
	assert_true(log_limit_pass(&limit, &dropped));
	assert_int_equal(dropped, 7);
	for (int i = 0; i < 4; i++) {
		assert_true(log_limit_pass(&limit, &dropped));
		assert_int_equal(dropped, 0);
	}
	assert_false(log_limit_pass(&limit, &dropped));
}

static void complain(void)
{
	log_limited(LOG_LEVEL_WARNING, "again");
}

static void test_limited_lines(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++)
		complain();
	assert_in_range(count(heard(), '\n'), 5, 10);	/* ten when the clock ticks over between */
	log_limited(LOG_LEVEL_WARNING, "elsewhere");	/* each place has its own bound */
	assert_string_equal(heard(), "warning: elsewhere\n");
}

/* Lines in bulk fill half of what collects standard error, and the others still have room. */
static void bulk_fills_half(void)
{
	unsigned n = 0;

	errno = ERANGE;
	while (log_bulk(LOG_LEVEL_INFO, NULL, "%01000u", n))
		assert_in_range(++n, 1, 1000);
	assert_int_equal(errno, ERANGE);
	assert_in_range(n, 5, 1000);
	for (unsigned i = 0; i < n / 3; i++)
		log_warning("%01000u", i);	/* would hang */
	assert_int_equal(strlen(heard()), 1001 * n + (1001 + sizeof "warning: " - 1) * (n / 3));
	assert_true(log_bulk(LOG_LEVEL_INFO, NULL, "x"));
	assert_string_equal(heard(), "x\n");
}

static void test_bulk_into_a_pipe(void **state)
{
	(void)state;
	assert_return_code(fcntl(STDERR_FILENO, F_SETPIPE_SZ, 65536), errno);
	bulk_fills_half();
}

static void test_bulk_into_a_socket(void **state)
{
	const int size = 65536;
	int       ends[2];

	(void)state;
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), errno);
	assert_return_code(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), errno);
	assert_return_code(fcntl(ends[0], F_SETFL, O_NONBLOCK), errno);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	close(read_end);
	read_end = ends[0];
	bulk_fills_half();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_debug_is_free, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_forged_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errno_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bulk_into_a_pipe, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bulk_into_a_socket, setup, teardown),
		cmocka_unit_test(test_limit),
		cmocka_unit_test_setup_teardown(test_limited_lines, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
