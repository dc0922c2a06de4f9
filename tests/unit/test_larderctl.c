/* test_larderctl.c - what larderctl prints and ends with, against a control socket.
 *
 * The server is this process forked; the verbs run here with their outputs led
 * into memory.
 */
#include "control/control.h"
#include "fake_control.h"
#include "larderctl/larderctl.h"
#include "larderctl/suggest.h"
#include "larderctl/units.h"

#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define OUTPUT_MAX 65536

struct fixture {
	char  folder[32], path[64];
	pid_t server;
	char  out[OUTPUT_MAX], err[OUTPUT_MAX];
};

enum kind { HEALTHY, FILLED, TROUBLED, IMPOSTOR, HOSTILE };

static void fake_set_kind(struct fake_control *f, enum kind kind)
{
	switch (kind) {
	case HEALTHY:
		break;
	case IMPOSTOR:
		f->upstreams[1].health.fault = "certificate expired";
		break;
	case FILLED:
		fake_control_fill(f, 150);
		break;
	case TROUBLED:
		f->status.trouble = "no upstream is known";
		f->status.config_file = NULL;
		f->status.listen_count = f->upstream_count = 0;
		f->status.upstreams_from_resolv = true;
		memset(&f->stats, 0, sizeof f->stats);
		f->report = "larder.yaml:3:9: unknown \"strange\"\n\tstrange: yes";
		f->entries = 1;
		f->config = NULL;
		break;
	case HOSTILE:
		f->status.version = "1\033[2J\n\302\233 2J\342\200\256 evil";
		f->upstreams[0].name = "up\033]0;title\007\x7f";
		f->config = "a: 1\n\tb: \033[31m\303\274 \302\233\x7f";
		f->report = "bad\033[2J\nline";
		break;
	}
}

/* Serves until it is killed; says through a pipe when it listens. */
static void serve(struct fixture *f, enum kind kind)
{
	struct fake_control fake;
	struct control_ops  ops;
	struct control     *control;
	int                 ready[2];
	char                c = 0;

	assert_int_equal(pipe(ready), 0);
	f->server = fork();
	assert_true(f->server >= 0);
	if (f->server == 0) {
		uv_loop_t loop;

		signal(SIGPIPE, SIG_IGN);
		fake_control_init(&fake, &ops);
		fake_set_kind(&fake, kind);
		fake.loop = &loop;
		if (uv_loop_init(&loop) || control_open(&loop, f->path, &ops, &control) ||
		    write(ready[1], "", 1) != 1)
			_exit(1);
		uv_run(&loop, UV_RUN_DEFAULT);
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	strcpy(f->folder, "/tmp/larderctl-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->path, sizeof f->path, "%s/io.larder", f->folder);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->server) {
		kill(f->server, SIGKILL);
		waitpid(f->server, NULL, 0);
	}
	unlink(f->path);
	rmdir(f->folder);
	free(f);
	return 0;
}

/* Leads descriptor fd into a file in memory; gives where it led before. */
static int lead(int fd, int *memory)
{
	int before = dup(fd);

	*memory = memfd_create("output", 0);
	assert_true(before >= 0 && *memory >= 0);
	dup2(*memory, fd);
	return before;
}

static void lead_back(int fd, int before, int memory, char *output)
{
	ssize_t n;

	dup2(before, fd);
	close(before);
	lseek(memory, 0, SEEK_SET);
	n = read(memory, output, OUTPUT_MAX - 1);
	assert_true(n >= 0);
	output[n] = '\0';
	close(memory);
}

static enum larderctl_exit run(struct fixture *f,
			       enum larderctl_exit (*verb)(const struct order *o), struct order o)
{
	int                 out, err, out_before, err_before;
	enum larderctl_exit result;

	o.socket = f->path;
	o.term.utf8 = true;
	fflush(stdout);
	out_before = lead(STDOUT_FILENO, &out);
	err_before = lead(STDERR_FILENO, &err);
	result = verb(&o);
	fflush(stdout);
	lead_back(STDERR_FILENO, err_before, err, f->err);
	lead_back(STDOUT_FILENO, out_before, out, f->out);
	return result;
}

#define PLAIN ((struct order){ 0 })
#define JSON  ((struct order){ .json = true })

static void check_has(const char *output, const char *part)
{
	if (!strstr(output, part))
		fail_msg("no \"%s\" in:\n%s", part, output);
}

static void test_status(void **state)
{
	struct fixture *f = *state;

	serve(f, HEALTHY);
	assert_int_equal(run(f, verb_status, PLAIN), LARDERCTL_OK);
	assert_string_equal(f->err, "");
	assert_string_equal(f->out,
	                    "larderd 0.0.7  running for 3 h 12 min, 1 worker\n"
	                    "trouble        none\n"
	                    "health         degraded: upstreams, 2 of 2 in trouble: office is unreliable,"
	                    " tcp://192.0.2.2 does not answer\n"
	                    "               degraded: kernel, 13 queries dropped before they were read; more threads"
	                    " may help\n"
	                    "answers on     127.0.0.1:53\n"
	                    "               [::1]:53\n"
	                    "asks           udp://192.0.2.1 (office)\n"
	                    "               tcp://192.0.2.2: open for 3 min, servfail\n"
	                    "configuration  /etc/larder/larder.yaml, read 12 min ago\n"
	                    "cache          1234 entries (56 negative), 3.0 MiB of 64.0 MiB\n");
}

static void test_status_in_trouble(void **state)
{
	struct fixture *f = *state;

	serve(f, TROUBLED);
	assert_int_equal(run(f, verb_status, PLAIN), LARDERCTL_OK);
	check_has(f->out, "trouble        no upstream is known\n");
	check_has(f->out, "asks           nothing\n");
	check_has(f->out, "taken from     no resolv.conf was found\n");
	check_has(f->out, "configuration  no file, set 12 min ago\n");
}

static void test_stats(void **state)
{
	struct fixture *f = *state;

	serve(f, HEALTHY);
	assert_int_equal(run(f, verb_stats, PLAIN), LARDERCTL_OK);
	check_has(f->out, "answers    count    share    p50     p90     p99\n");
	check_has(f->out, "  hit        900   90.0 %  22 µs   22 µs  704 µs  answered from the "
			  "cache, fresh\n");
	check_has(f->out, "  stale        0    0.0 %      -       -       -");
	check_has(f->out, "hit ratio  90.0 % of 1000 answers that the cache could give\n");
	check_has(f->out, "  office           good     96  100.0 %");
	check_has(f->out, "timeout 24, rcode 12");
	check_has(f->out, "\nconnections  stage                   count ");
	check_has(f->out, "\n  office     TCP                         3 ");
	check_has(f->out, "\n             TLS, full handshake         1 ");
	check_has(f->out, "\n             TLS, resumed                2 ");
	check_has(f->out, "\n             first octet of answers     48 ");
	check_has(f->out, "late 6");
	check_has(
		f->out,
		"cache      1234 entries (56 negative), 3.0 MiB of 64.0 MiB (4.7 %), 7 evicted\n");
	check_has(f->out,
		  "now        2 questions upstream, 3 clients waiting, 4 TCP connections\n");
	check_has(f->out, "  tcp_queries ");
	check_has(f->out, "client queries over TCP\n");
	assert_null(strstr(f->out, "  udp_queries "));	/* it is 0 */
	assert_null(strchr(f->out, '\033'));
	assert_null(strstr(f->out, " \n"));
}

static void test_upstreams(void **state)
{
	struct fixture *f = *state;

	serve(f, HEALTHY);
	assert_int_equal(run(f, verb_upstreams, PLAIN), LARDERCTL_OK);
	check_has(f->out, "office           good   clear  20 ms  90 ms        24 ms          360 ms  0\n");
	check_has(f->out, "tcp://192.0.2.2  open   clear      -      -            -           1.0 s  3 (silent 2, servfail 1)  "
			  "servfail for 3 min, next probe in 3.5 s\n");
}

/* An upstream that is not who it should be is not called unreachable. */
static void test_upstream_fault(void **state)
{
	struct fixture *f = *state;

	serve(f, IMPOSTOR);
	assert_int_equal(run(f, verb_upstreams, PLAIN), LARDERCTL_OK);
	check_has(f->out, "  certificate expired, not asked for 3 min, next probe in 3.5 s\n");
	assert_int_equal(run(f, verb_status, PLAIN), LARDERCTL_OK);
	check_has(f->out, "tcp://192.0.2.2: certificate expired\n");
}

static void test_upstream_order(void **state)
{
	struct fixture *f = *state;
	char            name[] = "office", down[] = "down", off[] = "off", reset[] = "reset", other[] = "ofice";
	char           *rows[][2] = { { name, down }, { name, reset }, { name, off }, { other, down } };

	serve(f, HEALTHY);
	assert_int_equal(run(f, verb_upstream, (struct order){ .count = 2, .arguments = rows[0] }), LARDERCTL_OK);
	assert_string_equal(f->out, "office: down\n");
	assert_int_equal(run(f, verb_upstreams, PLAIN), LARDERCTL_OK);
	check_has(f->out, "office           down ");
	assert_int_equal(run(f, verb_status, PLAIN), LARDERCTL_OK);
	check_has(f->out, "asks           udp://192.0.2.1 (office): down by order\n");
	assert_int_equal(run(f, verb_upstreams, PLAIN), LARDERCTL_OK);
	check_has(f->out, "by order\n");
	assert_int_equal(run(f, verb_upstream, (struct order){ .count = 2, .arguments = rows[1] }), LARDERCTL_OK);
	assert_int_equal(run(f, verb_upstreams, PLAIN), LARDERCTL_OK);
	check_has(f->out, "office           good ");
	assert_int_equal(run(f, verb_upstream, (struct order){ .count = 2, .arguments = rows[2] }), LARDERCTL_USAGE);
	check_has(f->err, "up, down, auto or reset, not \"off\"");
	assert_int_equal(run(f, verb_upstream, (struct order){ .count = 2, .arguments = rows[3] }), LARDERCTL_REFUSED);
	check_has(f->err, "no upstream is called \"ofice\"");
	assert_int_equal(run(f, verb_upstream, (struct order){ .count = 1, .arguments = rows[0] }), LARDERCTL_USAGE);
}

static void test_stats_before_any_query(void **state)
{
	struct fixture *f = *state;

	serve(f, TROUBLED);
	assert_int_equal(run(f, verb_stats, PLAIN), LARDERCTL_OK);
	check_has(f->out, "hit ratio  - (no question for the cache yet)\n");
	check_has(f->out, "upstreams  none\n");
}

static void test_json(void **state)
{
	struct fixture *f = *state;
	json_t         *reply;

	serve(f, HEALTHY);
	assert_int_equal(run(f, verb_stats, JSON), LARDERCTL_OK);
	reply = json_loads(f->out, JSON_REJECT_DUPLICATES, NULL);
	assert_int_equal(json_integer_value(json_object_get(reply, "queries")), 1000);
	json_decref(reply);
	assert_int_equal(run(f, verb_reload, JSON), LARDERCTL_OK);
	assert_string_equal(f->out, "{}\n");
}

static struct order order_of(int count, char **arguments)
{
	return (struct order){ .count = count, .arguments = arguments };
}

static void test_cache_lookup(void **state)
{
	struct fixture *f = *state;
	char            name[] = "N0.example", stale[] = "n1.example.", type[] = "A", mx[] = "MX";
	char           *rows[][2] = { { name, type }, { stale, NULL }, { name, mx } };

	serve(f, FILLED);
	assert_int_equal(run(f, verb_cache_lookup, order_of(2, rows[0])), LARDERCTL_OK);
	assert_string_equal(f->out, ";; n0.example. A: data NOERROR; fresh, 200 s left of 300 s; 0 hits\n"
			    ";; route .; flags: none; refresh: none\n"
			    "n0.example.\t200\tIN\tA\t192.0.2.1\n\n");
	assert_int_equal(run(f, verb_cache_lookup, order_of(1, rows[1])), LARDERCTL_OK);
	check_has(f->out, "n1.example. A: data NOERROR; stale, 100 s past 300 s; 0 hits\n");
	assert_int_equal(run(f, verb_cache_lookup, order_of(2, rows[2])), LARDERCTL_REFUSED);
	assert_string_equal(f->out, "");
	check_has(f->err, "the cache has nothing for N0.example MX\n");
	assert_int_equal(run(f, verb_cache_lookup, PLAIN), LARDERCTL_USAGE);
}

static unsigned count_of(const char *text, const char *part)
{
	unsigned n = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		n++;
	return n;
}

static void test_cache_dump(void **state)
{
	struct fixture *f = *state;

	serve(f, FILLED);
	assert_int_equal(run(f, verb_cache_dump, PLAIN), LARDERCTL_OK);
	assert_int_equal(count_of(f->out, ";; route .; "), 150);
	assert_int_equal(count_of(f->out, "192.0.2.1"), 150);
	assert_int_equal(run(f, verb_cache_dump, JSON), LARDERCTL_OK);
	assert_int_equal(count_of(f->out, "\n"), 150);		/* a line each */
	for (char *line = strtok(f->out, "\n"); line; line = strtok(NULL, "\n")) {
		json_t *entry = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

		assert_non_null(json_object_get(entry, "records"));
		json_decref(entry);
	}
}

static void test_cache_stats(void **state)
{
	struct fixture *f = *state;

	serve(f, HEALTHY);
	assert_int_equal(run(f, verb_cache_stats, PLAIN), LARDERCTL_OK);
	check_has(f->out, "cache      1234 entries (56 negative), 3.0 MiB of 64.0 MiB (4.7 %), 7 evicted\n");
	check_has(f->out, "hit ratio  90.0 % of 1000 answers");
	check_has(f->out, "\ncache_stored ");
	assert_null(strstr(f->out, "udp_queries"));
}

static void test_route(void **state)
{
	struct fixture *f = *state;
	char            corp[] = "www.corp", local[] = "localhost", other[] = "example.org", bad[] = "..";
	char           *names[] = { corp, local, other, bad };

	serve(f, HEALTHY);
	assert_int_equal(run(f, verb_route, order_of(1, names)), LARDERCTL_OK);
	assert_string_equal(f->out, "www.corp.\n"
			    "  route   corp.\n"
			    "  why     this is the longest suffix under `routes` that the name has\n"
			    "  policy  fastest\n"
			    "  asks    tcp://192.0.2.2 (open)\n");
	assert_int_equal(run(f, verb_route, order_of(1, names + 1)), LARDERCTL_OK);
	check_has(f->out, "localhost.\n  answer  NOERROR\n  why     larder answers by itself");
	assert_int_equal(run(f, verb_route, order_of(1, names + 2)), LARDERCTL_OK);
	check_has(f->out, "\n          office (good)\n");
	assert_int_equal(run(f, verb_route, order_of(1, names + 3)), LARDERCTL_USAGE);
}

static void test_trace(void **state)
{
	struct fixture *f = *state;
	char            name[] = "a", type[] = "A", bad[] = "A9";
	char           *rows[][2] = { { name, type }, { name, bad } };

	serve(f, HEALTHY);
	assert_int_equal(run(f, verb_trace, order_of(2, rows[0])), LARDERCTL_OK);
	assert_string_equal(f->out,
			    ";; a. A: SERVFAIL, flags: ra; miss, 40 ms\n"
			    ";; extended error 22: down\n\n"
			    "   µs   took  stage\n"
			    "    0         ordered\n"
			    "   10     10  asked                        a worker has taken it up\n"
			    "   12      2  flight                       asked upstream; after 24 ms it is also sent"
			    " elsewhere\n"
			    "   14           try 1                      office by udp\n"
			    "   30     16      sent\n"
			    "    -             no answer, and given up\n"
			    "24014           try 2                      tls://192.0.2.2 by tls\n"
			    "26014   2000      connected\n"
			    "29014   3000      TLS                      full handshake\n"
			    "29100     86      sent\n"
			    "39900  10800      first octet\n"
			    "39990     90      answer\n"
			    "40000         answered                     miss: SERVFAIL\n\n"
			    "40 ms: office did not answer within 40 ms; tls://192.0.2.2 answered in 16 ms\n");
	assert_int_equal(run(f, verb_resolve, order_of(1, rows[0])), LARDERCTL_REFUSED);	/* SERVFAIL */
	assert_string_equal(f->out, ";; a. A: SERVFAIL, flags: ra; miss, 40 ms\n;; extended error 22: down\n");
	assert_int_equal(run(f, verb_trace, order_of(2, rows[1])), LARDERCTL_USAGE);
	assert_int_equal(run(f, verb_resolve, PLAIN), LARDERCTL_USAGE);
}

static void test_slow(void **state)
{
	struct fixture *f = *state;

	setenv("TZ", "UTC", 1);
	serve(f, HEALTHY);
	assert_int_equal(run(f, verb_slow, PLAIN), LARDERCTL_OK);
	assert_string_equal(f->out,
		"time                   took  outcome  upstream  name                           type       why\n"
		"2023-11-14 22:13:20  312 ms  miss     quad9     <img\\032onerror>\\027.example.  TYPE65280  office did not"
		" answer within 300 ms; quad9 answered in 12 ms\n"
		"2023-11-14 22:13:20   4.0 s  joined   -         b.example.                     A          no upstream of"
		" the route works\n"
		"3 more that took 100 ms or longer were too many at once to be noted\n");
}

/* Scripts can tell a failing larderd by the exit code. */
static void test_health(void **state)
{
	struct fixture *f = *state;

	serve(f, HEALTHY);
	assert_int_equal(run(f, verb_health, PLAIN), LARDERCTL_OK);
	check_has(f->out, "degraded\n  upstreams  degraded");
	kill(f->server, SIGKILL);
	waitpid(f->server, NULL, 0);
	unlink(f->path);
	serve(f, TROUBLED);
	assert_int_equal(run(f, verb_health, PLAIN), LARDERCTL_REFUSED);
	check_has(f->out, "failing\n  upstreams  failing");
	check_has(f->out, "no upstream is known");
	assert_int_equal(run(f, verb_health, JSON), LARDERCTL_REFUSED);
	check_has(f->out, "\"status\": \"failing\"");
}

static void test_log(void **state)
{
	struct fixture *f = *state;
	char            debug[] = "debug", info[] = "info", loud[] = "loud";
	char           *levels[] = { debug, info, loud };

	serve(f, HEALTHY);
	assert_int_equal(run(f, verb_log, order_of(1, levels)), LARDERCTL_OK);
	assert_int_equal(run(f, verb_log, order_of(1, levels + 1)), LARDERCTL_OK);
	check_has(f->out, "logs up to \"info\" until its next start or reload; before, up to \"debug\"\n");
	assert_int_equal(run(f, verb_log, order_of(1, levels + 2)), LARDERCTL_USAGE);
	check_has(f->err, "not \"loud\"");
	assert_int_equal(run(f, verb_log, PLAIN), LARDERCTL_USAGE);
}

static void test_flush(void **state)
{
	struct fixture *f = *state;
	char            name[] = "WWW.example", type[] = "aaaa";
	char           *arguments[] = { name, type };

	serve(f, HEALTHY);
	assert_int_equal(run(f, verb_flush, PLAIN), LARDERCTL_OK);
	assert_string_equal(f->out, "17 entries were removed from the cache\n");
	assert_int_equal(run(f, verb_flush, (struct order){ .count = 2, .arguments = arguments }),
			 LARDERCTL_OK);
	assert_int_equal(run(f, verb_flush,
			     (struct order){ .count = 1, .arguments = arguments, .subtree = true }),
			 LARDERCTL_OK);
	assert_int_equal(run(f, verb_flush,
			     (struct order){ .count = 2, .arguments = arguments, .subtree = true }),
			 LARDERCTL_USAGE);
	check_has(f->err, "leave out \"aaaa\"");
	assert_int_equal(run(f, verb_flush, (struct order){ .subtree = true }), LARDERCTL_USAGE);
}

static void test_flush_nonsense(void **state)
{
	struct fixture *f = *state;
	char empty_label[] = "a..b", umlaut[] = "m\303\274nchen.example", good[] = "a.example",
	     type[] = "A9";
	char           *rows[][2] = { { empty_label, NULL }, { umlaut, NULL }, { good, type } };

	for (size_t i = 0; i < 3; i++) {	/* nobody serves: it never gets that far */
		struct order o = { .count = rows[i][1] ? 2 : 1, .arguments = rows[i] };

		assert_int_equal(run(f, verb_flush, o), LARDERCTL_USAGE);
		assert_string_equal(f->out, "");
	}
	check_has(f->err, "\"A9\" is not a record type");
}

static void test_refused(void **state)
{
	struct fixture *f = *state;

	serve(f, TROUBLED);
	assert_int_equal(run(f, verb_reload, PLAIN), LARDERCTL_REFUSED);
	assert_string_equal(f->out, "");
	assert_string_equal(
		f->err,
		"larder.yaml:3:9: unknown \"strange\"\n\tstrange: yes\n"
		"larderctl: the configuration has mistakes; larderd goes on with what it had\n");
	assert_int_equal(run(f, verb_config, PLAIN), LARDERCTL_REFUSED);
	check_has(f->err, "no memory");
	assert_int_equal(run(f, verb_flush, PLAIN), LARDERCTL_OK);
	assert_string_equal(f->out, "1 entry was removed from the cache\n");
}

/* Whatever the daemon says, a terminal is not given orders. */
static void check_harmless(const char *output)
{
	assert_true(*output);
	for (const char *p = output; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ||
		    (c == 0xc2 && (unsigned char)p[1] < 0xa0) || !strncmp(p, "\342\200\256", 3))
			fail_msg("octet %02x at %zu of: %s", c, (size_t)(p - output), output);
	}
}

static void test_hostile_texts(void **state)
{
	struct fixture *f = *state;

	serve(f, HOSTILE);
	assert_int_equal(run(f, verb_status, PLAIN), LARDERCTL_OK);
	check_harmless(f->out);
	assert_int_equal(run(f, verb_stats, PLAIN), LARDERCTL_OK);
	check_harmless(f->out);
	assert_int_equal(run(f, verb_config, PLAIN), LARDERCTL_OK);
	check_harmless(f->out);
	check_has(f->out, "a: 1\n\tb: ?[31m\303\274 ");	/* what is harmless stays */
	assert_int_equal(run(f, verb_status, JSON), LARDERCTL_OK);
	check_harmless(f->out);
	check_has(f->out, "\\u007f");
	assert_int_equal(run(f, verb_reload, PLAIN), LARDERCTL_REFUSED);
	check_harmless(f->err);
}

static void test_not_running(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run(f, verb_status, PLAIN), LARDERCTL_UNREACHABLE);
	check_has(f->err, "larderd is not running");
	check_has(f->err, f->path);
	check_has(f->err, "systemctl start larderd");
}

static int listener(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int                fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sun.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

/* Somebody else's socket: it closes at once, or answers nonsense. */
static void check_stranger(struct fixture *f, const char *octets, size_t len,
			   enum larderctl_exit expected)
{
	int fd = listener(f->path);

	f->server = fork();
	assert_true(f->server >= 0);
	if (f->server == 0) {
		int  c = accept(fd, NULL, NULL);
		char call[1024];

		if (len && (read(c, call, sizeof call) < 0 || write(c, octets, len) < 0))
			_exit(1);
		_exit(0);
	}
	close(fd);
	assert_int_equal(run(f, verb_status, PLAIN), expected);
	assert_string_equal(f->out, "");
	assert_true(*f->err);
	waitpid(f->server, NULL, 0);
	f->server = 0;
	unlink(f->path);
}

static void test_strangers(void **state)
{
	struct fixture *f = *state;

	check_stranger(f, "", 0, LARDERCTL_UNREACHABLE);
	check_stranger(f, "{\"param", 7, LARDERCTL_UNREACHABLE);
	check_stranger(f, "220 mail.example ESMTP\r\n", 25, LARDERCTL_REFUSED);
	check_stranger(f, "[]", 3, LARDERCTL_REFUSED);
	check_stranger(f, "{\"error\":\"some.\\u001bthing\"}", 29, LARDERCTL_REFUSED);
	check_has(f->err, "some.?thing");
	check_harmless(f->err);
}

/* Run as root, the permission is missed as somebody else, in a process that ends. */
static void test_permission(void **state)
{
	struct fixture *f = *state;
	int             status;
	pid_t           pid;

	serve(f, HEALTHY);
	assert_int_equal(chmod(f->path, 0), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (geteuid() == 0 && (chmod(f->folder, 0755) || seteuid(65534)))
			_exit(100);
		if (run(f, verb_status, PLAIN) != LARDERCTL_UNREACHABLE)
			_exit(101);
		_exit(strstr(f->err, "permission denied") && strstr(f->err, f->path) ? 0 : 102);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_units(void **state)
{
	static const struct {
		long long   us;
		const char *text;
	} times[] = {
		{ 0, "0 µs" },       { 999, "999 µs" },    { 1000, "1.0 ms" },
		{ 9949, "9.9 ms" },  { 9950, "10 ms" },    { 999499, "999 ms" },
		{ 999500, "1.0 s" }, { 1200000, "1.2 s" }, { 33554432, "34 s" },
	};
	char buf[UNITS_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
		assert_string_equal(units_time(times[i].us, true, buf), times[i].text);
	assert_string_equal(units_time(7, false, buf), "7 us");
	assert_string_equal(units_age(59, buf), "59 s");
	assert_string_equal(units_age(3599, buf), "59 min");
	assert_string_equal(units_age(86399, buf), "23 h 59 min");
	assert_string_equal(units_age(90000, buf), "1 d 1 h");
	assert_string_equal(units_octets(1023, buf), "1023 B");
	assert_string_equal(units_octets(1024, buf), "1.0 KiB");
	assert_string_equal(units_octets((1 << 20) - 1, buf), "1.0 MiB");
	assert_string_equal(units_octets(INT64_MAX, buf), "8388608.0 TiB");
	assert_string_equal(units_share(1, 3, buf), "33.3 %");
	assert_string_equal(units_share(1, 1e6, buf), "<0.1 %");
	assert_string_equal(units_share(0, 0, buf), "0.0 %");
}

static void test_suggestions(void **state)
{
	(void)state;
	assert_int_equal(suggest_distance("status", "status"), 0);
	assert_int_equal(suggest_distance("stauts", "status"), 1);
	assert_int_equal(suggest_distance("", "abc"), 3);
	assert_int_equal(suggest_distance("statistics", "stats"), 5);
	assert_int_equal(suggest_distance("ca", "abc"), 3);
	assert_true(suggest_distance("a word that is longer than thirty-two", "a") >= SUGGEST_FAR);
}

#define LARDERCTL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		LARDERCTL_TEST(test_status),
		LARDERCTL_TEST(test_status_in_trouble),
		LARDERCTL_TEST(test_stats),
		LARDERCTL_TEST(test_upstreams),
		LARDERCTL_TEST(test_upstream_fault),
		LARDERCTL_TEST(test_upstream_order),
		LARDERCTL_TEST(test_stats_before_any_query),
		LARDERCTL_TEST(test_json),
		LARDERCTL_TEST(test_cache_lookup),
		LARDERCTL_TEST(test_cache_dump),
		LARDERCTL_TEST(test_cache_stats),
		LARDERCTL_TEST(test_route),
		LARDERCTL_TEST(test_trace),
		LARDERCTL_TEST(test_slow),
		LARDERCTL_TEST(test_health),
		LARDERCTL_TEST(test_log),
		LARDERCTL_TEST(test_flush),
		LARDERCTL_TEST(test_flush_nonsense),
		LARDERCTL_TEST(test_refused),
		LARDERCTL_TEST(test_hostile_texts),
		LARDERCTL_TEST(test_not_running),
		LARDERCTL_TEST(test_strangers),
		LARDERCTL_TEST(test_permission),
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_suggestions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
