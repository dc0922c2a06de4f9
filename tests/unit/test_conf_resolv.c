/* test_conf_resolv.c - upstreams from a resolv.conf, and which of its servers are larder itself. */
#include "conf_rig.h"

#include "base/addr.h"
#include "conf/resolv.h"

static struct conf *load(struct conf_rig *r, const char *listen, const char *resolv, char **report)
{
	char             text[700];
	struct conf_args a = { 0 };

	rig_write(r, "resolv.conf", resolv);
	snprintf(text, sizeof text, "listen: [\"%s\"]\nallow: [127.0.0.0/8]\nresolv-file: %s\n", listen, r->path);
	a.file = rig_write(r, "larder.yaml", text);
	return conf_load(&a, report);
}

/* The servers that are left must be these, parted by spaces. */
static void assert_servers(struct conf_rig *r, const char *listen, const char *resolv, const char *want)
{
	char        *report, got[512] = "";
	struct conf *c = load(r, listen, resolv, &report);

	if (report)
		fail_msg("%s", report);
	assert_non_null(c);
	assert_true(c->from_resolv);
	for (size_t i = 0; i < c->policy.routes[0].upstream_count; i++) {
		const struct upstream_conf *u = &c->upstreams[c->policy.routes[0].upstreams[i]];

		snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? " " : "", u->url);
		assert_int_equal(u->proto, UPSTREAM_UDP);
	}
	assert_string_equal(got, want);
	assert_string_equal(c->resolv_file, rig_path(r, "resolv.conf"));
	conf_unref(c);
}

static void test_lines(void **state)
{
	struct conf_rig *r = *state;

	assert_servers(r, "127.0.0.1:5300", "nameserver 192.0.2.1\n", "udp://192.0.2.1:53");
	assert_servers(r, "127.0.0.1:5300",
	               "# nameserver 192.0.2.9\n"
	               ";nameserver 192.0.2.9\n"
	               "domain example.net\n"
	               "search example.net example.org\n"
	               "nameserver\t192.0.2.1   # the first\r\n"
	               "nameservers 192.0.2.9\n"
	               " nameserver 192.0.2.9\n"
	               "nameserver\n"
	               "nameserver \n"
	               "options ndots:1\n"
	               "nameserver   2001:db8::1 anything\n"
	               "nameserver 192.0.2.1\n"		/* once is enough */
	               "nameserver fe80::1%lo;x\n"
	               "nameserver 127.0.0.1",		/* no line end; not ours: we are on port 5300 */
	               "udp://192.0.2.1:53 udp://[2001:db8::1]:53 udp://[fe80::1%lo]:53 udp://127.0.0.1:53");
}

static void test_at_most_eight(void **state)
{
	struct conf_rig *r = *state;

	assert_servers(r, "127.0.0.1",
	               "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n"
	               "nameserver 192.0.2.5\nnameserver 192.0.2.6\nnameserver 192.0.2.7\nnameserver 192.0.2.8\n"
	               "nameserver 192.0.2.9\n",
	               "udp://192.0.2.1:53 udp://192.0.2.2:53 udp://192.0.2.3:53 udp://192.0.2.4:53 "
	               "udp://192.0.2.5:53 udp://192.0.2.6:53 udp://192.0.2.7:53 udp://192.0.2.8:53");
}

static void test_larder_itself_is_left_out(void **state)
{
	struct conf_rig *r = *state;

	assert_servers(r, "127.0.0.1",
	               "nameserver 127.0.0.1\nnameserver 127.0.0.53\nnameserver 127.0.0.54\nnameserver 0.0.0.0\n"
	               "nameserver 127.0.0.2\nnameserver ::1\n",
	               "udp://127.0.0.2:53 udp://[::1]:53");
	assert_servers(r, "::1", "nameserver ::1\nnameserver 127.0.0.1\n", "udp://127.0.0.1:53");
	assert_servers(r, "0.0.0.0", "nameserver 127.0.0.1\nnameserver 127.9.9.9\nnameserver 192.0.2.1\n", "udp://192.0.2.1:53");
	assert_servers(r, "::", "nameserver ::1\nnameserver 127.0.0.1\n", "udp://127.0.0.1:53");
	assert_servers(r, "0.0.0.0:5300", "nameserver 127.0.0.1\n", "udp://127.0.0.1:53");
}

static void test_named_upstreams_keep_their_name(void **state)
{
	struct conf_rig *r = *state;
	struct conf_args a = { 0 };
	char             text[600], *report;
	struct conf     *c;

	rig_write(r, "resolv.conf", "nameserver 192.0.2.1\n");
	snprintf(text, sizeof text, "resolv-file: %s\nupstreams: {office: {url: 192.0.2.1}, other: {url: 192.0.2.2}}\n", r->path);
	a.file = rig_write(r, "larder.yaml", text);
	c = conf_load(&a, &report);
	assert_null(report);
	assert_non_null(c);
	assert_int_equal(c->policy.routes[0].upstream_count, 1);
	assert_int_equal(c->upstream_count, 2);
	assert_string_equal(c->upstreams[0].name, "office");
	conf_unref(c);
}

/* None left: larder starts all the same, and says so. */
static void test_nothing_left_is_a_warning(void **state)
{
	struct conf_rig *r = *state;
	char            *report, *dump;
	struct conf     *c = load(r, "127.0.0.1", "nameserver 127.0.0.1\n", &report);

	assert_non_null(c);
	assert_non_null(report);
	rig_has(report, "resolv.conf: warning: no name server to use");
	free(report);
	assert_int_equal(c->policy.route_count, 1);
	assert_int_equal(c->policy.routes[0].upstream_count, 0);
	assert_int_not_equal(c->policy.routes[0].id, 0);
	dump = rig_dump(c);
	rig_has(dump, "no upstream to use");
	free(dump);
	conf_unref(c);
}

static void test_bad_lines_are_warned_of(void **state)
{
	struct conf_rig *r = *state;
	char            *report;
	struct conf     *c = load(r, "127.0.0.1", "nameserver 192.0.2.1\nnameserver  ns.example.net\nnameserver 192.0.2.1:54\n", &report);

	assert_non_null(c);
	rig_has(report, "resolv.conf:2:13: warning: \"ns.example.net\" is not an address; left out\n"
	                "    2 | nameserver  ns.example.net\n"
	                "      |             ^~~~~~~~~~~~~~\n");
	rig_has(report, "resolv.conf:3:12: warning: ");
	assert_int_equal(c->policy.routes[0].upstream_count, 1);
	free(report);
	conf_unref(c);
}

static void test_files_that_cannot_be_read(void **state)
{
	struct conf_rig *r = *state;
	struct conf_args a = { 0 };
	char             text[600], *report;
	struct conf     *c;

	/* A pipe without a writer must not hang the start. */
	assert_int_equal(mkfifo(rig_path(r, "pipe"), 0600), 0);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = { "pipe", "nowhere", "." };

		snprintf(text, sizeof text, "resolv-file: %s\n", rig_path(r, names[i]));
		a.file = rig_write(r, "larder.yaml", text);
		c = conf_load(&a, &report);
		assert_non_null(c);
		rig_has(report, "; there are no upstreams");
		assert_int_equal(c->policy.routes[0].upstream_count, 0);
		assert_string_equal(c->resolv_file, rig_path(r, names[i]));	/* to be watched */
		free(report);
		conf_unref(c);
	}
}

/* With nothing said about upstreams, one of the usual files is read, whatever this host has in it. */
static void test_usual_files(void **state)
{
	struct conf_rig *r = *state;
	struct conf_args a = { .file = rig_write(r, "larder.yaml", "threads: 1\n") };
	char            *report;
	struct conf     *c = conf_load(&a, &report);

	assert_string_equal(conf_resolv_file("/x"), "/x");
	assert_non_null(c);
	assert_true(c->from_resolv);
	assert_string_equal(c->resolv_file, conf_resolv_file(NULL));
	assert_true((report != NULL) || c->policy.routes[0].upstream_count > 0);
	free(report);
	conf_unref(c);
}

static void test_the_dump_shows_what_was_found(void **state)
{
	struct conf_rig *r = *state;
	char            *report, *dump;
	struct conf     *c = load(r, "127.0.0.1", "nameserver 192.0.2.1\nnameserver 192.0.2.2\n", &report);

	assert_null(report);
	assert_non_null(c);
	dump = rig_dump(c);
	rig_has(dump, "/resolv.conf\":\n#   udp://192.0.2.1:53\n#   udp://192.0.2.2:53\n");
	free(dump);
	conf_unref(c);
}

static void test_own_addresses(void **state)
{
	struct addr     listen[2], a;
	struct conf_own own = { listen, 2 };

	(void)state;
	assert_int_equal(addr_parse("0.0.0.0:53", 53, &listen[0]), 0);
	assert_int_equal(addr_parse("[::1]:5353", 53, &listen[1]), 0);
	addr_parse("127.8.9.1", 53, &a);
	assert_true(conf_own_has(&own, &a));
	addr_parse("127.8.9.1:54", 53, &a);
	assert_false(conf_own_has(&own, &a));
	addr_parse("192.0.2.200", 53, &a);
	assert_false(conf_own_has(&own, &a));
	addr_parse("::1", 53, &a);
	assert_false(conf_own_has(&own, &a));
	addr_parse("::1", 5353, &a);
	assert_true(conf_own_has(&own, &a));
	own.count = 0;
	assert_false(conf_own_has(&own, &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_at_most_eight, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_larder_itself_is_left_out, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_named_upstreams_keep_their_name, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_nothing_left_is_a_warning, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_bad_lines_are_warned_of, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_files_that_cannot_be_read, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_usual_files, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_the_dump_shows_what_was_found, rig_setup, rig_teardown),
		cmocka_unit_test(test_own_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
