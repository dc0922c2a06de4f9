/* test_conf.c - configurations: values, mistakes, files laid over each other, and the dump. */
#include "conf_rig.h"

#define PIN "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

#include "base/addr.h"
#include "conf/table.h"
#include "conf/value.h"
#include "dns/name.h"

#include <fcntl.h>

/* ---- values ---- */

static void assert_addr(const struct addr *a, const char *text)
{
	char buf[ADDR_TEXT_MAX];

	assert_string_equal(addr_format(a, buf), text);
}

static void test_empty_file_has_the_defaults(void **state)
{
	static const char *const empty[] = { "", "\n", "# nothing\n", "---\n", "{}\n", "cache:\ntcp: {}\nupstreams:\n" };

	(void)state;
	for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
		struct conf *c = rig_good(empty[i]);

		assert_int_equal(c->listen_count, 2);
		assert_addr(&c->listen[0], "127.0.0.1:53");
		assert_addr(&c->listen[1], "[::1]:53");
		assert_null(c->user);
		assert_int_equal(c->threads, 1);
		assert_string_equal(c->control_socket, "/run/larder/io.larder");
		assert_int_equal(c->log_level, LOG_LEVEL_NOTICE);
		assert_int_equal(c->times.query_timeout_ms, 4000);
		assert_int_equal(c->times.resolve_timeout_ms, 10000);
		assert_int_equal(c->times.resend_after_ms, 0);
		assert_int_equal(c->choice, UPSTREAM_FASTEST);
		assert_int_equal(c->cache_times.stale_s, 86400);
		assert_int_equal(c->cache_times.stale_ttl_s, 30);
		assert_int_equal(c->cache_times.stale_wait_ms, 0);
		assert_int_equal(c->cache_times.recheck_s, 30);
		assert_true(c->cache_times.prefetch);
		assert_int_equal(c->times.max_flights, 4096);
		assert_int_equal(c->times.edns_size, 1232);
		assert_int_equal(c->times.case_mixing, 0);
		assert_int_equal(c->tcp_idle_ms, 10000);
		assert_int_equal(c->tcp_clients, 1024);
		assert_int_equal(c->tcp_per_client, 32);
		assert_int_equal(c->tcp_in_flight, 100);
		assert_int_equal(c->cache.size_octets, 64 << 20);
		assert_int_equal(c->cache_times.ttl_min_s, 0);
		assert_int_equal(c->cache_times.ttl_max_s, 86400);
		assert_int_equal(c->cache_times.negative_max_s, 900);
		assert_int_equal(c->cache_times.failure_first_s, 5);
		assert_int_equal(c->cache_times.failure_max_s, 60);
		assert_int_equal(c->policy.allow_count, 2);
		assert_int_equal(c->policy.allow[0].bits, 8);
		assert_int_equal(c->policy.allow[1].bits, 128);
		assert_null(c->policy.identity_version);
		assert_null(c->policy.identity_hostname);
		assert_int_equal(c->policy.route_count, 1);	/* the root is always there */
		assert_int_equal(c->policy.routes[0].suffix_len, 1);
		assert_int_equal(c->policy.routes[0].suffix[0], 0);
		assert_int_equal(c->policy.routes[0].upstream_count, 0);
		assert_int_not_equal(c->policy.routes[0].id, 0);
		assert_int_equal(c->upstream_count, 0);
		conf_unref(c);
	}
}

static void test_every_option_lands(void **state)
{
	struct conf *c = rig_good("listen: ['[::1]:5300', 127.0.0.2, \"127.0.0.1:5301\"]\n"
	                          "forward:\n"
	                          "  - 192.0.2.1\n"
	                          "  - tcp://[2001:db8::1]:5353\n"
	                          "resolv-file: /nowhere\n"
	                          "allow: [127.0.0.0/8]\n"
	                          "user: nobody\n"
	                          "threads: '3'\n"
	                          "query-timeout: 1500ms\n"
	                          "resolve-timeout: 1m\n"
	                          "resend-after: 1s\n"
	                          "max-flights: 16\n"
	                          "edns-size: 1400\n"
	                          "case-mixing: on\n"
	                          "control-socket: /run/x\n"
	                          "log-level: debug\n"
	                          "tcp: {idle: 100ms, clients: 7, per-client: 6, in-flight: 5}\n"
	                          "cache:\n"
	                          "  size: 2048K\n"
	                          "  min-ttl: 60s\n"
	                          "  max-ttl: 7d\n"
	                          "  negative-ttl: 3h\n"
	                          "  failure-ttl: 1s\n"
	                          "  failure-ttl-max: 5m\n"
	                          "  stale: 0h\n"
	                          "  prefetch: false\n"
	                          "identity: {version: \"l\\xe4rder 1.0\", hostname: no}\n");

	(void)state;
	assert_int_equal(c->listen_count, 3);
	assert_addr(&c->listen[0], "[::1]:5300");
	assert_addr(&c->listen[1], "127.0.0.2:53");
	assert_addr(&c->listen[2], "127.0.0.1:5301");
	assert_int_equal(c->upstream_count, 2);
	assert_string_equal(c->upstreams[0].url, "udp://192.0.2.1:53");
	assert_string_equal(c->upstreams[0].name, "udp://192.0.2.1:53");
	assert_int_equal(c->upstreams[0].proto, UPSTREAM_UDP);
	assert_string_equal(c->upstreams[1].url, "tcp://[2001:db8::1]:5353");
	assert_int_equal(c->upstreams[1].proto, UPSTREAM_TCP);
	assert_addr(&c->upstreams[1].addr, "[2001:db8::1]:5353");
	assert_null(c->resolv_file);		/* forward is given: nothing to watch */
	assert_false(c->from_resolv);
	assert_int_equal(c->policy.allow_count, 1);
	assert_string_equal(c->user, "nobody");
	assert_int_equal(c->threads, 3);
	assert_int_equal(c->times.query_timeout_ms, 1500);
	assert_int_equal(c->times.resolve_timeout_ms, 60000);
	assert_int_equal(c->times.resend_after_ms, 1000);
	assert_int_equal(c->times.max_flights, 16);
	assert_int_equal(c->times.edns_size, 1400);
	assert_int_equal(c->times.case_mixing, 1);
	assert_string_equal(c->control_socket, "/run/x");
	assert_int_equal(c->log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(c->tcp_idle_ms, 100);
	assert_int_equal(c->tcp_clients, 7);
	assert_int_equal(c->tcp_per_client, 6);
	assert_int_equal(c->tcp_in_flight, 5);
	assert_int_equal(c->cache.size_octets, 2 << 20);
	assert_int_equal(c->cache_times.ttl_min_s, 60);
	assert_int_equal(c->cache_times.ttl_max_s, 604800);
	assert_int_equal(c->cache_times.negative_max_s, 10800);
	assert_int_equal(c->cache_times.failure_first_s, 1);
	assert_int_equal(c->cache_times.failure_max_s, 300);
	assert_string_equal(c->policy.identity_version, "l\xc3\xa4rder 1.0");
	assert_string_equal(c->policy.identity_hostname, "no");	/* text, whatever YAML thinks */
	conf_unref(c);
}

static void test_empty_control_socket_is_none(void **state)
{
	struct conf *c = rig_good("control-socket: \"\"\n");

	(void)state;
	assert_null(c->control_socket);
	conf_unref(c);
}

static void test_metrics(void **state)
{
	struct conf *c = rig_good("metrics-listen: [127.0.0.1, \"[::1]:9000\", /run/larder/http]\n"
	                          "metrics-hosts: [dns.example.net, a-b]\n");

	(void)state;
	assert_int_equal(c->http.listen_count, 3);
	assert_addr(&c->http.listen[0].addr, "127.0.0.1:9153");
	assert_addr(&c->http.listen[1].addr, "[::1]:9000");
	assert_null(c->http.listen[1].path);
	assert_string_equal(c->http.listen[2].path, "/run/larder/http");
	assert_int_equal(c->http.host_count, 2);
	assert_string_equal(c->http.hosts[1], "a-b");
	assert_false(c->http.names);
	conf_unref(c);
	c = rig_good("metrics-names: yes\n");
	assert_int_equal(c->http.listen_count, 0);
	assert_true(c->http.names);
	conf_unref(c);
}

static void test_metrics_mistakes(void **state)
{
	static const char *const mistakes[][2] = {
		{ "metrics-listen: [run/http]\n", "\"run/http\" is neither an address nor the path" },
		{ "metrics-listen: [127.0.0.1, \"127.0.0.1:9153\"]\n", "is listed twice" },
		{ "metrics-listen: [/a, /a]\n", "\"/a\" is listed twice" },
		{ "metrics-listen: [\"127.0.0.1:53\"]\n", "is listened on for DNS already" },
		{ "metrics-hosts: [a..b]\n", "\"a..b\" is not a host name" },
		{ "metrics-hosts: [\"a:1\"]\n", "is not a host name" },
		{ "metrics-hosts: [-a]\n", "is not a host name" },
		{ "metrics-hosts: [a.]\n", "is not a host name" },
		{ "metrics-names: maybe\n", "\"metrics-names\" takes yes or no" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
		char *report = rig_bad(mistakes[i][0]);

		rig_has(report, mistakes[i][1]);
		free(report);
	}
}

/* Each bounded option takes its bounds, refuses what is one step outside, and says the bounds. */
static void test_bounds(void **state)
{
	unsigned checked = 0;

	(void)state;
	for (size_t i = 0; i < conf_option_count; i++) {
		const struct conf_option *o = &conf_options[i];
		const char               *unit = o->type == CONF_MS ? "ms" : o->type == CONF_SECONDS ? "s" : o->type == CONF_OCTETS ? "B" : "";
		char                      text[48], bound[32], why[CONF_WHY_MAX];
		union conf_value          v;

		if (o->type != CONF_NUMBER && !*unit)
			continue;
		for (int k = 0; k < 4; k++) {
			const int64_t n = (const int64_t[]){ o->min, o->max, o->min - 1, o->max + 1 }[k];
			int           err;

			if (n < 0)
				continue;
			snprintf(text, sizeof text, "%lld%s", (long long)n, unit);
			err = conf_value_read(o, text, strlen(text), &v, why);
			checked++;
			if (k < 2) {
				assert_int_equal(err, 0);
				assert_int_equal(v.number, n);
				continue;
			}
			assert_true(err < 0);
			rig_has(why, o->size ? conf_value_format(o->type, o->min, bound) : "not built yet");
			rig_has(why, o->size ? conf_value_format(o->type, o->max, bound) : "not built yet");
		}
	}
	assert_true(checked > 50);
}

static void test_defaults_pass_their_own_check(void **state)
{
	(void)state;
	for (size_t i = 0; i < conf_option_count; i++) {
		const struct conf_option *o = &conf_options[i];
		char                      copy[128], why[CONF_WHY_MAX];
		union conf_value          v;

		if (!o->fallback)
			continue;
		snprintf(copy, sizeof copy, "%s", o->fallback);
		for (char *save, *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
			if (conf_value_read(o, word, strlen(word), &v, why) < 0)
				fail_msg("default of %s: %s", o->name, why);
	}
}

static void test_bounds_are_written_with_units(void **state)
{
	char b[32];

	(void)state;
	assert_string_equal(conf_value_format(CONF_MS, 100, b), "100ms");
	assert_string_equal(conf_value_format(CONF_MS, 1500, b), "1500ms");
	assert_string_equal(conf_value_format(CONF_MS, 600000, b), "10m");
	assert_string_equal(conf_value_format(CONF_SECONDS, 0, b), "0s");
	assert_string_equal(conf_value_format(CONF_SECONDS, 604800, b), "7d");
	assert_string_equal(conf_value_format(CONF_SECONDS, 90, b), "90s");
	assert_string_equal(conf_value_format(CONF_OCTETS, 1048576, b), "1M");
	assert_string_equal(conf_value_format(CONF_OCTETS, 1000, b), "1000B");
	assert_string_equal(conf_value_format(CONF_NUMBER, 42, b), "42");
}

/* ---- mistakes ---- */

/* A text with exactly one mistake, where it stands, and what is said about it. */
static const struct {
	const char *text, *place, *says;
} mistakes[] = {
	{ "thraeds: 4\n", "1:1", "unknown key \"thraeds\" (did you mean \"threads\"?)" },
	{ "Threads: 4\n", "1:1", "(did you mean \"threads\"?)" },
	{ "max_flights: 99\n", "1:1", "(did you mean \"max-flights\"?)" },
	{ "cache:\n  sise: 1G\n", "2:3", "unknown key \"sise\" in \"cache\" (did you mean \"size\"?)" },
	{ "size: 1G\n", "1:1", "(did you mean \"size\" in \"cache\"?)" },
	{ "cache.size: 1G\n", "1:1", "(did you mean \"size\" in \"cache\"?)" },
	{ "tcp: {user: x}\n", "1:7", "it belongs to the top of the file" },
	{ "qqqqqqqq: 1\n", "1:1", "unknown key \"qqqqqqqq\"\n" },
	{ "? [a, b]\n: 1\n", "1:3", "a key must be plain text" },
	{ "threads: 1\nuser: x\nthreads: 2\n", "3:1", "\"threads\" is given twice, first in line 1" },
	{ "cache: {}\ncache: {size: 1G}\n", "2:1", "\"cache\" is given twice, first in line 1" },
	{ "cache: {size: 1G, size: 1G}\n", "1:19", "\"cache.size\" is given twice" },
	{ "threads: four\n", "1:10", "\"threads\" takes a whole number from 1 to 64, not \"four\"" },
	{ "threads: -1\n", "1:10", "takes a whole number" },
	{ "threads: 1.5\n", "1:10", "takes a whole number" },
	{ "threads: 0x10\n", "1:10", "takes a whole number" },
	{ "threads: 65\n", "1:10", "\"threads\" must be between 1 and 64, not 65" },
	{ "threads: 99999999999999999999999999\n", "1:10", "must be between 1 and 64" },
	{ "threads: [4]\n", "1:10", "\"threads\" takes a single value, not a list" },
	{ "threads: {a: 4}\n", "1:10", "takes a single value, not a mapping" },
	{ "threads:\nuser: x\n", "1:1", "\"threads\" has no value" },
	{ "listen: 127.0.0.1\n", "1:9", "\"listen\" takes a list, like [a, b], not a single value" },
	{ "listen: []\n", "1:9", "\"listen\" is an empty list" },
	{ "listen: [[127.0.0.1]]\n", "1:10", "takes a single value, not a list" },
	{ "listen:\n- 127.0.0.1\n-\n", "3:2", "an element of \"listen\" is empty" },
	{ "cache: 64M\n", "1:8", "\"cache\" takes a mapping" },
	{ "cache: [64M]\n", "1:8", "\"cache\" takes a mapping, like { key: value }, not a list" },
	{ "- threads\n", "1:1", "the file must be a mapping" },
	{ "threads\n", "1:1", "the file must be a mapping" },
	{ "query-timeout: 4\n", "1:16", "4 lacks its unit (examples: 500ms" },
	{ "query-timeout: 4 s\n", "1:16", "unknown unit in \"4 s\"" },
	{ "query-timeout: 1h30m\n", "1:16", "unknown unit" },
	{ "query-timeout: soon\n", "1:16", "takes a time, not \"soon\" (examples: 500ms" },
	{ "query-timeout: 31s\n", "1:16", "must be between 100ms and 30s, not 31s" },
	{ "query-timeout: 99999999999999999d\n", "1:16", "must be between" },
	{ "cache: {max-ttl: 1500ms}\n", "1:18", "counts whole seconds, not 1500ms" },
	{ "cache: {size: 64MB}\n", "1:15", "unknown unit in \"64MB\" (examples: 512K, 64M, 1G)" },
	{ "cache: {size: 64}\n", "1:15", "64 lacks its unit" },
	{ "cache: {size: 1K}\n", "1:15", "must be between 1M and 64G, not 1K" },
	{ "cache: {size: 99999999999999999G}\n", "1:15", "must be between 1M and 64G" },
	{ "cache: {stale: 8d}\n", "1:16", "\"cache.stale\" must be between 0s and 7d, not 8d" },
	{ "cache: {stale-recheck: 301s}\n", "1:24", "\"cache.stale-recheck\" must be between 1s and 5m" },	/* STALE-05 */
	{ "cache: {stale-wait: 1801ms}\n", "1:21", "\"cache.stale-wait\" must be between 1ms and 1800ms" },
	{ "cache: {stale-wait: soon}\n", "1:21", "\"cache.stale-wait\" takes a time or auto, not \"soon\"" },
	{ "query-timeout: 1s\ncache: {stale-wait: 1500ms}\n", "1:16", "must not be below \"cache.stale-wait\"" },	/* STALE-16 */
	{ "query-timeout: auto\n", "1:16", "\"query-timeout\" takes a time, not \"auto\"" },
	{ "policy: fastst\n", "1:9", "\"policy\" takes fastest, ordered, spread or race, not \"fastst\" (did you mean \"fastest\"?)" },
	{ "route-policy: {a.example: ordered}\n", "1:16", "\"routes\" has no \"a.example\"" },
	{ "forward: [192.0.2.1]\nroute-policy: {.: ordered}\n", "2:16", "which is what \"policy\" is for" },
	{ "routes: {a.example: [192.0.2.1]}\nroute-policy: {a.example: [ordered]}\n", "2:27", "takes a single value" },
	{ "case-mixing: 1\n", "1:14", "takes yes or no, not \"1\"" },
	{ "log-level: notise\n", "1:12", "(did you mean \"notice\"?)" },
	{ "user: ''\n", "1:7", "must have between 1 and 255 octets, not 0" },
	{ "user: \"a\\nb\"\n", "1:7", "without control characters" },
	{ "user: \"a\\0b\"\n", "1:7", "without control characters" },
	{ "listen: [localhost]\n", "1:10", "\"localhost\" is not an address to listen on" },
	{ "listen: [127.0.0.1:0]\n", "1:10", "not an address to listen on" },
	{ "listen: [fe80::1%no-such]\n", "1:10", "is there an interface \"no-such\"?" },
	{ "listen: [127.0.0.1, 127.0.0.1:53]\n", "1:21", "listed twice" },
	{ "allow: [127.0.0.0/33]\n", "1:9", "not an address prefix" },
	{ "allow: [127.0.0.0/8, 127.1.2.3/8]\n", "1:22", "listed twice" },
	{ "forward: [tls://9.9.9.9]\n", "1:11", "does not say how to know the server: add its name" },
	{ "forward: [tls://9.9.9.9#853]\n", "1:11", "a port is written :853" },
	{ "forward: [tls://9.9.9.9#dns.quad9.net:853]\n", "1:11", "\"dns.quad9.net:853\" is not the name of a host" },
	{ "forward: [tls://9.9.9.9#9.9.9.9:853]\n", "1:11", "\"9.9.9.9:853\" is not the name of a host" },
	{ "forward: ['tls://9.9.9.9#[2620:fe::9]']\n", "1:11", "\"[2620:fe::9]\" is not the name of a host" },
	{ "forward: ['tls://9.9.9.9#']\n", "1:11", "\"\" is not the name of a host" },
	{ "forward: [tls://dns.quad9.net]\n", "1:11", "is a host name, and nobody is there to be asked for its address" },
	{ "forward: [tls://9.9.9.9/x#a.b]\n", "1:11", "a path is for https:// only" },
	{ "forward: [tls://9.9.9.9:99999#a.b]\n", "1:11", "the port must be between 1 and 65535" },
	{ "forward: [http://1.1.1.1/dns-query]\n", "1:11", "http:// is not encrypted" },
	{ "forward: ['https://1.1.1.1/a?b=c']\n", "1:11", "a path is printable ASCII" },
	{ "forward: [https://dns.quad9.net/dns-query]\n", "1:11", "is a host name, and nobody is there to be asked for its address" },
	{ "forward: [quic://1.1.1.1]\n", "1:11", "quic:// is not built yet" },
	{ "forward: [h3://1.1.1.1]\n", "1:11", "h3:// is not built yet" },
	{ "forward: [htps://1.1.1.1]\n", "1:11", "unknown scheme \"htps://\" (did you mean \"https\"?)" },
	{ "forward: [sdns://x]\n", "1:11", "unknown scheme \"sdns://\"; larder knows udp://" },
	{ "forward: [dns.example.net]\n", "1:11", "is a host name, which needs a scheme, as in tls://dns.example.net" },
	{ "forward: [tls://a.b]\nbootstrap: [dns.example.net]\n", "2:13", "a bootstrap server is given by its address" },
	{ "forward: [tls://a.b]\nbootstrap: [https://a.b/]\n", "2:13", "a bootstrap server is given by its address" },
	{ "forward: [tls://a.b]\nbootstrap: [tls://192.0.2.1]\n", "2:13", "does not say how to know the server" },
	{ "forward: [tls://a.b]\nbootstrap: [127.0.0.1]\n", "2:13", "larder itself listens" },
	{ "forward: [tls://a.b]\nbootstrap: [192.0.2.1, udp://192.0.2.1]\n", "2:24", "listed twice" },
	{ "forward: [tls://a.b]\nbootstrap: []\n", "2:12", "\"bootstrap\" is an empty list" },
	{ "bootstrap: [192.0.2.1]\nforward: [tls://a.b:0]\n", "2:11", "the port must be between 1 and 65535" },
	{ "bootstrap: [192.0.2.1]\nforward: [tls://a.b:65536]\n", "2:11", "the port must be between 1 and 65535" },
	{ "bootstrap: [192.0.2.1]\nforward: [udp://192.0.2.256]\n", "2:11", "is not an address" },
	{ "bootstrap: [192.0.2.1]\nforward: [tls://a.b, 'tls://A.b:853#a.b']\n", "2:22", "listed twice" },
	{ "forward: [udp://dns.example.net:53]\n", "1:11", "as in bootstrap: [192.0.2.1]; or give its address" },
	{ "forward: [1.1.1.1#one.one]\n", "1:11", "a name to authenticate, for tls:// and https:// only" },
	{ "forward: [1.1.1.1#5353]\n", "1:11", "a port is written :5353" },
	{ "forward: [1.1.1.1@5353]\n", "1:11", "a port is written :5353" },
	{ "forward: [1.1.1.1:99999]\n", "1:11", "the port must be between 1 and 65535" },
	{ "forward: [\"[2001:db8::1]:0\"]\n", "1:11", "the port must be between 1 and 65535" },
	{ "forward: [udp://1.1.1.1/x]\n", "1:11", "a path is for https:// only" },
	{ "forward: [1.1.1]\n", "1:11", "\"1.1.1\" is not an address (examples:" },
	{ "forward: [fe80::1%no-such]\n", "1:11", "is there an interface \"no-such\"?" },
	{ "forward: [0.0.0.0]\n", "1:11", "not the address of a single host" },
	{ "forward: [224.0.0.1]\n", "1:11", "not the address of a single host" },
	{ "forward: ['ff02::1']\n", "1:11", "not the address of a single host" },
	{ "forward: [1.1.1.1, udp://1.1.1.1:53]\n", "1:20", "listed twice" },
	{ "forward: [ofice]\nupstreams: {office: {url: 1.1.1.1}}\n", "1:11", "\"upstreams\" has no \"ofice\" (did you mean \"office\"?)" },
	{ "forward: [127.0.0.1]\n", "1:11", "questions would go round in circles" },
	{ "listen: ['127.0.0.1:5300']\nforward: ['tcp://127.0.0.1:5300']\n", "2:11", "where larder itself listens" },
	{ "upstreams: {a: {url: '::1'}}\n", "1:22", "where larder itself listens" },
	{ "upstreams: {a: {url: '::1'}}\nforward: [a]\nroutes: {x: [a]}\n", "1:22", "where larder itself listens" },
	{ "upstreams: {a: {}}\n", "1:13", "upstream \"a\" lacks its \"url\"" },
	{ "upstreams: {a: 1.1.1.1}\n", "1:16", "\"a\" takes a mapping" },
	{ "upstreams: {a: {urll: 1.1.1.1, url: 2.2.2.2}}\n", "1:17", "unknown key \"urll\" in \"a\" (did you mean \"url\"?)" },
	{ "upstreams: {a: {url: 1.1.1.1, url: 2.2.2.2}}\n", "1:31", "given twice" },
	{ "upstreams: {a: {url: tls://1.1.1.1, pins: [x]}}\n", "1:44", "a pin is written sha256/ and the base64" },
	{ "upstreams: {a: {url: tls://1.1.1.1, pins: [sha256/x!]}}\n", "1:44", "\"x!\" is not base64" },
	{ "upstreams: {a: {url: tls://1.1.1.1, pins: [sha256/AAAA]}}\n", "1:44", "the hash of a pin has 32 octets, not 3" },
	{ "upstreams: {a: {url: tls://1.1.1.1, pins: [" PIN ", " PIN "]}}\n", "1:97", "is listed twice" },
	{ "upstreams: {a: {url: tls://1.1.1.1, pins: []}}\n", "1:43", "\"pins\" is an empty list" },
	{ "upstreams: {a: {url: tls://1.1.1.1}}\n", "1:22", "does not say how to know the server" },
	{ "upstreams: {a: {url: 1.1.1.1, pins: [" PIN "]}}\n", "1:31", "\"pins\" is for tls:// and https:// upstreams only" },
	{ "upstreams: {a: {url: 1.1.1.1, ca: /x}}\n", "1:31", "\"ca\" is for tls:// and https:// upstreams only" },
	{ "upstreams: {a: {url: tls://1.1.1.1#a.b, ca: ''}}\n", "1:45", "\"upstreams.*.ca\" must have between 1 and" },
	{ "upstreams: {a: {url: tls://1.1.1.1#a.b, ca: [x]}}\n", "1:45", "takes a single value, not a list" },
	{ "upstreams: {a: {url: tls://1.1.1.1#a.b, ca: /nonexistent}}\n", "1:45", "\"/nonexistent\": No such file" },
	{ "upstreams: {a: {url: tls://1.1.1.1#a.b, ca: /dev/null}}\n", "1:45", "\"/dev/null\": no certificate in it" },
	{ "upstreams: {a: {url: tls://1.1.1.1, ca: /x, pins: [" PIN "]}}\n", "1:37", "\"ca\" needs a name to look for" },
	{ "upstreams: {a: {url: tls://1.1.1.1, pins: [" PIN "], method: get}}\n", "1:98", "\"method\" is for https:// upstreams only" },
	{ "upstreams: {a: {url: tls://1.1.1.1#x.example, upgrade: yes}}\n", "1:47", "\"upgrade\" is for plain upstreams" },
	{ "upstreams: {a: {url: 1.1.1.1, upgrade: no, ca: /nonexistent}}\n", "1:44", "\"ca\" is for tls:// and https:// upstreams only" },
	{ "upstreams: {a: {url: 1.1.1.1, upgrade: yes, ca: /nonexistent}}\n", "1:49", "No such file" },
	{ "upstreams: {a: {url: 1.1.1.1, profile: strict}}\n", "1:31", "\"profile\" is for tls:// and https:// upstreams only" },
	{ "upstreams: {a: {url: tls://1.1.1.1, profile: opportunistic, trusted: yes}}\n", "1:61", "\"profile\" must be strict" },
	{ "upstreams: {a: {url: tls://1.1.1.1, profile: lax}}\n", "1:46", "takes strict or opportunistic, not \"lax\"" },
	{ "upstreams: {a: {url: tls://1.1.1.1, profile: strict}}\n", "1:22", "does not say how to know the server" },
	{ "listen: [127.0.0.1]\nupstreams: {a: {url: \"tls://127.0.0.1:853\", profile: opportunistic}}\nforward: [a]\n", "2:22",
	  "is where larder itself listens" },
	{ "upstreams: {a: {url: https://1.1.1.1, method: put}}\n", "1:47", "\"upstreams.*.method\" takes post or get, not \"put\"" },
	{ "upstreams: {a: {url: tls://1.1.1.1, pins: [" PIN "], pins: [" PIN "]}}\n", "1:98", "given twice" },
	{ "upstreams: {a: {url: 1.1.1.1}, a: {url: 2.2.2.2}}\n", "1:32", "\"a\" is given twice, first in line 1" },
	{ "upstreams: {a: {url: 1.1.1.1}, b: {url: 1.1.1.1:53}}\n", "1:41", "upstream \"a\" has this URL already" },
	{ "upstreams: {a.b: {url: 1.1.1.1}}\n", "1:13", "\"a.b\" cannot name an upstream" },
	{ "routes: {a..b: [1.1.1.1]}\n", "1:10", "\"a..b\" is not a domain name" },
	{ "routes: {\"a\\0b\": [1.1.1.1]}\n", "1:10", "is not a domain name" },
	{ "routes: {.: [1.1.1.1]}\n", "1:10", "which is what \"forward\" is for" },
	{ "routes: {a: []}\n", "1:13", "\"a\" is an empty list" },
	{ "routes: {a: 1.1.1.1}\n", "1:13", "\"a\" takes a list" },
	{ "routes:\n  a.B: [1.1.1.1]\n  A.b.: [1.1.1.1]\n", "3:3", "\"A.b.\" is given twice, first in line 2" },
	{ "routes: {a: [hom]}\nupstreams: {home: {url: 1.1.1.1}}\n", "1:14", "(did you mean \"home\"?)" },
	{ "routes: {a: [h3://1.1.1.1]}\n", "1:14", "not built yet" },
	{ "query-timeout: 11s\n", "1:16", "\"resolve-timeout\" (10s, the default) must not be below \"query-timeout\" (11s)" },
	{ "query-timeout: 2s\nresolve-timeout: 1s\n", "2:18", "\"resolve-timeout\" (1s) must not be below \"query-timeout\" (2s)" },
	{ "cache: {failure-ttl: 2m}\n", "1:22", "\"cache.failure-ttl-max\" (1m, the default) must not be below" },
	{ "cache: {failure-ttl-max: 1s}\n", "1:26", "must not be below \"cache.failure-ttl\" (5s, the default)" },
	{ "cache: {min-ttl: 1h, max-ttl: 59m}\n", "1:31", "must not be below \"cache.min-ttl\" (1h)" },
	{ "threads: &x 1\n", "1:10", "anchors and aliases" },
	{ "threads: *x\n", "1:10", "anchors and aliases" },
	{ "threads: !!int 1\n", "1:10", "tags (!name) are not possible" },
	{ "cache: !x {size: 1G}\n", "1:8", "tags (!name) are not possible" },
	{ "*x : 1\n", "1:1", "anchors and aliases" },
	{ "threads: 1\n---\nthreads: 2\n", "2:1", "a second document begins here" },
	{ "threads: 1\n\tuser: x\n", "2:1", "indent with spaces, not with tabs" },
	{ "listen: [::1]\n", "1:10", "an IPv6 address needs quotes" },
	{ "user: @x\n", "1:7", "needs quotes" },
	{ "threads: 1\nuser: \xff\n", "2:7", "not text in UTF-8" },
	{ "threads: 1\r\nuser: \x01\r\n", "2:7", "control characters are not allowed" },
	{ "user: x\ncache: {size: 1G\n", "3:1", "(while parsing a flow mapping that begins in line 2)" },
	{ "user: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]\n", "1:7", "takes a single value" },
};

static void test_mistakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
		char *report = rig_bad(mistakes[i].text), place[64];

		snprintf(place, sizeof place, "text:%s: ", mistakes[i].place);
		if (strncmp(report, place, strlen(place)) || !strstr(report, mistakes[i].says))
			fail_msg("%s\ngives:\n%s\ninstead of %s%s", mistakes[i].text, report, place, mistakes[i].says);
		/* Only too deep nesting is a second mistake, in the last row. */
		if (rig_count(report, "text:") != 1 && i + 1 < sizeof mistakes / sizeof *mistakes)
			fail_msg("%s\nis reported more than once:\n%s", mistakes[i].text, report);
		free(report);
	}
}

static void test_the_report_shows_the_line(void **state)
{
	char *report = rig_bad("user: larder\n"
	                       "cache:\n"
	                       "  siez: 64M\n"
	                       "\n"
	                       "forward: [ 192.0.2.1,\th3://192.0.2.22 ]\n");

	(void)state;
	assert_string_equal(report, "text:3:3: unknown key \"siez\" in \"cache\" (did you mean \"size\"?)\n"
	                            "    3 |   siez: 64M\n"
	                            "      |   ^~~~\n"
	                            "text:5:23: h3:// is not built yet; use tls:// or https://\n"
	                            "    5 | forward: [ 192.0.2.1,\th3://192.0.2.22 ]\n"
	                            "      |                      \t^~~~~~~~~~~~~~~\n");
	free(report);
}

/* Encrypted upstreams: what a URL says, and what is found in the section of a named one. */
static void test_encrypted_upstreams(void **state)
{
	struct conf         *c = rig_good("forward: [one, tls://192.0.2.2, 'https://[2001:db8::1]:8443/q{?dns}#DNS.Example.']\n"
	                                  "upstreams:\n"
	                                  "  one: {url: https://192.0.2.1, pins: [" PIN "], method: get}\n"
	                                  "  two: {url: tls://192.0.2.2, pins: [" PIN "]}\n");
	struct upstream_conf *u = c->upstreams;

	(void)state;
	assert_int_equal(c->upstream_count, 3);
	assert_string_equal(u[0].name, "one");
	assert_string_equal(u[0].url, "https://192.0.2.1:443/dns-query#192.0.2.1");
	assert_string_equal(u[0].http.authority, "192.0.2.1");
	assert_int_equal(u[0].http.method, H2_GET);
	assert_int_equal(u[0].proto, UPSTREAM_HTTPS);
	assert_string_equal(u[1].name, "two");		/* with its pins, though forward has the URL */
	assert_string_equal(u[1].url, "tls://192.0.2.2:853");
	assert_int_equal(u[1].proto, UPSTREAM_TLS);
	assert_string_equal(u[2].url, "https://[2001:db8::1]:8443/q#dns.example");
	assert_string_equal(u[2].http.authority, "dns.example:8443");
	assert_string_equal(u[2].http.path, "/q");
	assert_int_equal(u[2].http.method, H2_POST);
	for (unsigned i = 0; i < 3; i++)
		assert_non_null(u[i].tls);
	conf_unref(c);
}

/* What is found late stands where it belongs, and a syntax error does not hide what came before. */
static void test_all_mistakes_in_one_run(void **state)
{
	char *report = rig_bad("forward: [nobody]\n"
	                       "threads: many\n"
	                       "routes: {a..b: [1.1.1.1], c: [2.2.2]}\n"
	                       "query-timeout: 20s\n"
	                       "log-level: loud\n"
	                       "user: x: y\n"
	                       "neither: read\n");
	static const char *const places[] = { "text:1:11:", "text:2:10:", "text:3:10:", "text:3:31:", "text:4:16:", "text:5:12:", "text:6:8: YAML:" };
	const char *at = report;

	(void)state;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		rig_has(at, places[i]);
		at = strstr(at, places[i]);
	}
	assert_int_equal(rig_count(report, "text:"), 7);
	free(report);
}

/* Lines are counted as libyaml does, whatever ends them. */
static void test_line_ends(void **state)
{
	char *report = rig_bad("user: x\r\nthreads: 1\rlog-level: info\xc2\x85max-flights: 16\xe2\x80\xa8"
	                       "edns-size: 600\xe2\x80\xa9siez: 1\r\n");

	(void)state;
	assert_string_equal(report, "text:6:1: unknown key \"siez\"\n    6 | siez: 1\n      | ^~~~\n");
	free(report);
}

static void test_long_texts_are_clipped(void **state)
{
	char text[300], *report;

	(void)state;
	memset(text, 'x', 250);
	strcpy(text + 250, ": 1\n");
	report = rig_bad(text);
	rig_has(report, "xxx...\"\n");
	assert_true(strlen(report) < 400);
	free(report);
}

static void test_long_lines_are_cut(void **state)
{
	char  text[2000] = "user: x # ";
	char *report;

	(void)state;
	memset(text + 10, '-', 1900);
	strcpy(text + 1910, "\n");
	memcpy(text, "cache: {size: 1M, ", 18);
	memset(text + 18, ' ', 1800);
	strcpy(text + 1818, "siez: 1M}\n");
	report = rig_bad(text);
	rig_has(report, "text:1:1819: unknown key \"siez\"");
	rig_has(report, "siez: 1M}\n");
	assert_true(strlen(report) < 400);
	free(report);
}

/* What users wrote must not steer the terminal that shows it. */
static void test_reports_are_printable(void **state)
{
	const char *const args[] = { "127.0.0.1\x1b[2J\xff\xc2\x9b" };
	struct conf_args  a = { .listen = (const char **)(uintptr_t)args, .listen_count = 1 };
	char             *report;

	(void)state;
	assert_null(conf_load(&a, &report));
	assert_non_null(report);
	for (const char *p = report; *p; p++)
		assert_true((unsigned char)*p >= 0x20 || *p == '\n');
	assert_null(strchr(report, '\xff'));
	assert_null(strstr(report, "\xc2\x9b"));
	free(report);
	report = rig_bad("\"\\e[2J\\x9b\\u2028\": 1\n");
	assert_null(strchr(report, '\x1b'));
	assert_null(strstr(report, "\xc2\x9b"));
	free(report);
}

static void test_many_mistakes_are_counted(void **state)
{
	char  *text = calloc(1, 100000), *report;
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 5000; i++)
		n += (size_t)sprintf(text + n, "x%d: 1\n", i);
	report = rig_bad(text);
	assert_int_equal(rig_count(report, "unknown key"), 100);
	rig_has(report, "… and 4900 more\n");
	free(report);
	free(text);
}

static void test_lists_and_mappings_are_bounded(void **state)
{
	char  *text = calloc(1, 400000), *report;
	size_t n = (size_t)sprintf(text, "forward: [");

	(void)state;
	for (int i = 0; i < 70; i++)
		n += (size_t)sprintf(text + n, "192.0.2.%d,", i + 1);
	strcpy(text + n, "]\n");
	report = rig_bad(text);
	rig_has(report, "\"forward\" has more than 64 elements");
	assert_int_equal(rig_count(report, "text:"), 1);
	free(report);

	n = (size_t)sprintf(text, "routes:\n");
	for (int i = 0; i < 4100; i++)
		n += (size_t)sprintf(text + n, "  r%d: [192.0.2.1]\n", i);
	report = rig_bad(text);
	rig_has(report, "\"routes\" has more than 4096 entries");
	assert_int_equal(rig_count(report, "text:"), 1);
	free(report);

	n = (size_t)sprintf(text, "routes:\n");
	for (int i = 0; i < 1025; i++)
		n += (size_t)sprintf(text + n, "  r%d: [10.0.%d.%d]\n", i, i / 200, 1 + i % 200);
	report = rig_bad(text);
	rig_has(report, "text:1026:11: more than 1024 upstreams");
	assert_int_equal(rig_count(report, "text:"), 1);
	free(report);
	free(text);
}

/* ---- upstreams and routes ---- */

static void test_upstreams_are_shared_and_ordered(void **state)
{
	struct conf *c = rig_good("routes:\n"
	                          "  Corp.Example: [office, 192.0.2.7]\n"
	                          "  lab.corp.example.: [udp://192.0.2.1:53]\n"
	                          "  zz: [192.0.2.1, office]\n"
	                          "upstreams:\n"
	                          "  spare: {url: 192.0.2.9}\n"
	                          "  office: {url: tcp://10.0.0.53}\n"
	                          "  first: {url: 192.0.2.1}\n"
	                          "forward: [tcp://192.0.2.2, 192.0.2.1]\n");
	const struct route_conf *r = c->policy.routes;

	(void)state;
	assert_int_equal(c->upstream_count, 5);
	assert_string_equal(c->upstreams[0].url, "tcp://192.0.2.2:53");
	assert_string_equal(c->upstreams[1].url, "udp://192.0.2.1:53");
	assert_string_equal(c->upstreams[1].name, "first");	/* its name, though forward has the URL */
	assert_string_equal(c->upstreams[2].name, "spare");
	assert_string_equal(c->upstreams[3].name, "office");
	assert_string_equal(c->upstreams[3].url, "tcp://10.0.0.53:53");
	assert_string_equal(c->upstreams[4].name, "udp://192.0.2.7:53");
	assert_int_equal(c->policy.route_count, 4);
	assert_int_equal(r[0].upstream_count, 2);
	assert_int_equal(r[0].upstreams[0], 0);
	assert_int_equal(r[0].upstreams[1], 1);
	assert_int_equal(r[1].suffix_len, 14);
	assert_memory_equal(r[1].suffix, "\4corp\7example", 14);
	assert_int_equal(r[1].upstream_count, 2);
	assert_int_equal(r[1].upstreams[0], 3);
	assert_int_equal(r[1].upstreams[1], 4);
	assert_memory_equal(r[2].suffix, "\3lab\4corp\7example", 18);
	assert_int_equal(r[2].upstreams[0], 1);
	assert_int_equal(r[3].upstreams[0], 1);
	assert_int_equal(r[3].upstreams[1], 3);
	conf_unref(c);
}

/* Cache entries carry route ids: the same route must keep its id, a changed one must not. */
static void test_route_ids(void **state)
{
	struct conf *a = rig_good("forward: [192.0.2.1]\nroutes: {a: [192.0.2.2], b: [192.0.2.2], c: [192.0.2.2, 192.0.2.3]}\n");
	struct conf *b = rig_good("routes: {x: [192.0.2.9], c: [192.0.2.3, 192.0.2.2], A.: [udp://192.0.2.2:53]}\nforward: [one]\nupstreams: {one: {url: 192.0.2.1}}\n");
	struct conf *tcp = rig_good("forward: [tcp://192.0.2.1]\n");
	struct conf *tls = rig_good("forward: ['tls://192.0.2.1#a.example']\n");
	struct conf *trusted = rig_good("forward: [t]\nupstreams: {t: {url: 'tls://192.0.2.1#a.example', trusted: yes}}\n");

	(void)state;
	for (size_t i = 0; i < a->policy.route_count; i++) {
		assert_int_not_equal(a->policy.routes[i].id, 0);
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(a->policy.routes[i].id, a->policy.routes[j].id);
	}
	assert_int_equal(a->policy.routes[0].id, b->policy.routes[0].id);
	assert_int_equal(a->policy.routes[1].id, b->policy.routes[3].id);
	assert_int_not_equal(a->policy.routes[3].id, b->policy.routes[2].id);	/* order matters */
	assert_int_not_equal(a->policy.routes[0].id, tcp->policy.routes[0].id);
	assert_true(trusted->upstreams[0].trusted && !tls->upstreams[0].trusted);
	assert_int_not_equal(trusted->policy.routes[0].id, tls->policy.routes[0].id);	/* AD is kept with answers */
	conf_unref(tls);
	conf_unref(trusted);
	conf_unref(a);
	conf_unref(b);
	conf_unref(tcp);
}

/* The hashes of these two routes are equal; their cache entries must not mix. */
static void test_route_ids_never_collide(void **state)
{
	struct conf *one = rig_good("routes: {r871909: [192.0.2.1]}\n");
	struct conf *other = rig_good("routes: {r1544940: [192.0.2.1]}\n");
	struct conf *both = rig_good("routes: {r1544940: [192.0.2.1], r871909: [192.0.2.1]}\n");

	(void)state;
	assert_int_equal(one->policy.routes[1].id, other->policy.routes[1].id);
	assert_int_equal(both->policy.routes[1].id, other->policy.routes[1].id);
	assert_int_not_equal(both->policy.routes[2].id, both->policy.routes[1].id);
	assert_int_not_equal(both->policy.routes[2].id, 0);
	conf_unref(one);
	conf_unref(other);
	conf_unref(both);
}

static void test_wildcard_listener_owns_local_addresses(void **state)
{
	char *report;

	(void)state;
	report = rig_bad("listen: ['0.0.0.0:5300']\nallow: [127.0.0.0/8]\nforward: ['127.0.0.1:5300', '127.0.0.1:5301', 192.0.2.1]\n");
	assert_int_equal(rig_count(report, "text:"), 1);
	rig_has(report, "text:3:11:");
	free(report);
	conf_unref(rig_good("listen: ['0.0.0.0:5300']\nallow: [127.0.0.0/8]\nforward: ['[::1]:5300', '192.0.2.1:5300']\n"));
}

static void test_open_listener_without_allow_is_warned_of(void **state)
{
	static const char text[] = "listen: [127.0.0.1, 0.0.0.0:5300]\nforward: [192.0.2.1]\n";
	char             *report;
	struct conf      *c = conf_load_text(text, sizeof text - 1, &report);

	(void)state;
	assert_non_null(c);
	assert_non_null(report);
	rig_has(report, "text:1:21: warning: without \"allow\"");
	free(report);
	conf_unref(c);
	conf_unref(rig_good("listen: [0.0.0.0]\nallow: [0.0.0.0/0]\n"));
}

/* ---- several files, and the command line ---- */

static void test_drop_ins(void **state)
{
	struct conf_rig *r = *state;
	struct conf_args a = { 0 };
	struct conf     *c;
	char            *report, *dump, file[256], line[600];

	strcpy(file, rig_write(r, "larder.yaml", "forward: [192.0.2.1, office]\n"
	                                         "threads: 2\n"
	                                         "cache: {size: 1M, max-ttl: 1h}\n"
	                                         "upstreams: {office: {url: 10.0.0.1}, home: {url: 10.0.0.2}}\n"
	                                         "routes: {Corp.Example: [office], home: [home]}\n"));
	assert_int_equal(mkdir(rig_path(r, "larder.yaml.d"), 0700), 0);
	rig_write(r, "larder.yaml.d/B.yaml", "threads: 3\nuser: first\n");
	rig_write(r, "larder.yaml.d/a.yaml", "threads: 4\n"
	                                     "forward: [192.0.2.3]\n"
	                                     "cache: {size: 2M}\n"
	                                     "upstreams: {office: {url: 10.0.0.9}}\n"
	                                     "routes: {corp.example.: [office, home], more: [home]}\n");
	rig_write(r, "larder.yaml.d/.hidden.yaml", "nonsense\n");
	rig_write(r, "larder.yaml.d/a.yaml~", "nonsense\n");
	a.file = file;
	c = conf_load(&a, &report);
	if (report)
		fail_msg("%s", report);
	assert_non_null(c);
	assert_int_equal(c->threads, 4);	/* a.yaml is after B.yaml */
	assert_string_equal(c->user, "first");
	assert_int_equal(c->cache.size_octets, 2 << 20);
	assert_int_equal(c->cache_times.ttl_max_s, 3600);
	assert_int_equal(c->policy.routes[0].upstream_count, 1);
	assert_string_equal(c->upstreams[0].url, "udp://192.0.2.3:53");
	assert_string_equal(c->upstreams[1].name, "office");
	assert_string_equal(c->upstreams[1].url, "udp://10.0.0.9:53");
	assert_int_equal(c->policy.route_count, 4);
	assert_int_equal(c->policy.routes[1].upstream_count, 2);

	dump = rig_dump(c);
	snprintf(line, sizeof line, "threads: 4                              # %s.d/a.yaml:1\n", file);
	rig_has(dump, line);
	snprintf(line, sizeof line, "  max-ttl: 1h                           # %s:3\n", file);
	rig_has(dump, line);
	rig_has(dump, "edns-size: 1232                         # default\n");
	snprintf(line, sizeof line, "  home: { url: 10.0.0.2 }               # %s:4\n", file);
	rig_has(dump, line);
	snprintf(line, sizeof line, "  corp.example.: [office, home]         # %s.d/a.yaml:5\n", file);
	rig_has(dump, line);
	free(dump);
	conf_unref(c);
}

static void test_mistakes_of_every_file(void **state)
{
	struct conf_rig *r = *state;
	struct conf_args a = { .threads = "many" };
	char            *report, file[256];

	strcpy(file, rig_write(r, "larder.yaml", "user: x: y\n"));	/* a syntax error ends only this file */
	assert_int_equal(mkdir(rig_path(r, "larder.yaml.d"), 0700), 0);
	rig_write(r, "larder.yaml.d/1.yaml", "threads: none\n");
	rig_write(r, "larder.yaml.d/2.yaml", "threads: 2\nlog-level: loud\n");
	assert_int_equal(mkdir(rig_path(r, "larder.yaml.d/3.yaml"), 0700), 0);
	a.file = file;
	assert_null(conf_load(&a, &report));
	assert_non_null(report);
	rig_has(report, "larder.yaml:1:8: YAML: ");
	rig_has(report, "larder.yaml.d/1.yaml:1:10: ");		/* though 2.yaml replaces it */
	rig_has(report, "larder.yaml.d/2.yaml:2:12: ");
	rig_has(report, "larder.yaml.d/3.yaml: Is a directory\n");
	rig_has(report, "command line: \"threads\" takes a whole number from 1 to 64, not \"many\"\n"
	                "      | --threads many\n"
	                "      |           ^~~~\n");
	free(report);
}

static void test_missing_and_huge_files(void **state)
{
	struct conf_rig *r = *state;
	struct conf_args a = { .file = rig_path(r, "nowhere.yaml") };
	char            *report, *huge;

	assert_null(conf_load(&a, &report));
	rig_has(report, "nowhere.yaml: No such file or directory\n");
	free(report);

	huge = malloc(1048578);
	assert_non_null(huge);
	memset(huge, '#', 1048577);
	huge[1048577] = '\0';
	a.file = rig_write(r, "larder.yaml", huge);
	assert_null(conf_load(&a, &report));
	rig_has(report, "larder.yaml: larger than 1048576 octets\n");
	free(report);
	memcpy(huge, "user: x\n", 8);
	huge[1048576] = '\0';
	a.file = rig_write(r, "larder.yaml", huge);
	a.forward = (const char *[]){ "192.0.2.1" };
	a.forward_count = 1;
	conf_unref(conf_load(&a, &report));
	assert_null(report);
	free(huge);
}

/* A byte order mark is no part of the text, and the columns do not count it. */
static void test_byte_order_mark(void **state)
{
	struct conf_rig *r = *state;
	struct conf_args a = { .file = rig_write(r, "larder.yaml", "\xef\xbb\xbfthraeds: 1\n") };
	char            *report;

	assert_null(conf_load(&a, &report));
	rig_has(report, ":1:1: unknown key \"thraeds\"");
	free(report);
}

static void test_command_line_wins(void **state)
{
	struct conf_rig  *r = *state;
	const char       *listen[] = { "127.0.0.1:5300", "[::1]:5300" };
	const char       *forward[] = { "tcp://192.0.2.1", "office" };
	struct conf_args  a = { .listen = listen, .listen_count = 2, .forward = forward, .forward_count = 2,
	                        .control_socket = "", .threads = "8" };
	char             *report, *dump;
	struct conf      *c;

	a.file = rig_write(r, "larder.yaml", "listen: [127.0.0.9]\nthreads: 2\ncontrol-socket: /x\nforward: [192.0.2.7]\nupstreams: {office: {url: 10.0.0.1}}\n");
	c = conf_load(&a, &report);
	assert_null(report);
	assert_non_null(c);
	assert_int_equal(c->threads, 8);
	assert_null(c->control_socket);
	assert_int_equal(c->listen_count, 2);
	assert_addr(&c->listen[1], "[::1]:5300");
	assert_int_equal(c->upstream_count, 2);
	assert_string_equal(c->upstreams[1].name, "office");
	dump = rig_dump(c);
	rig_has(dump, "threads: 8                              # command line\n");
	rig_has(dump, "control-socket: \"\"                      # command line\n");
	free(dump);
	conf_unref(c);
}

static void test_no_file_is_needed_with_arguments(void **state)
{
	const char      *forward[] = { "192.0.2.1" };
	struct conf_args a = { .forward = forward, .forward_count = 1 };
	char            *report;
	struct conf     *c = conf_load(&a, &report);

	(void)state;
	assert_null(report);
	assert_non_null(c);
	assert_int_equal(c->upstream_count, 1);
	conf_unref(c);
}

static void test_mistakes_on_the_command_line(void **state)
{
	const char      *listen[] = { "127.0.0.1:5300" };
	const char      *forward[] = { "192.0.2.1", "h3://z\xc3\xa9", "127.0.0.1:5300" };
	struct conf_args a = { .listen = listen, .listen_count = 1, .forward = forward, .forward_count = 3 };
	char            *report;

	(void)state;
	assert_null(conf_load(&a, &report));
	assert_string_equal(report, "command line: h3:// is not built yet; use tls:// or https://\n"
	                            "      | --listen 127.0.0.1:5300 --forward 192.0.2.1 --forward h3://z\xc3\xa9 --forward 127.0.0.1:5300\n"
	                            "      |                                                       ^~~~~~~\n"
	                            "command line: 127.0.0.1:5300 is where larder itself listens: questions would go round in circles\n"
	                            "      | --listen 127.0.0.1:5300 --forward 192.0.2.1 --forward h3://z\xc3\xa9 --forward 127.0.0.1:5300\n"
	                            "      |                                                                         ^~~~~~~~~~~~~~\n");
	free(report);
}

/* ---- the dump ---- */

/* Comments are the origins, which differ. */
static char *without_comments(const char *text)
{
	char  *out = malloc(strlen(text) + 1), *o = out;
	bool   quoted = false;

	assert_non_null(out);
	while (*text) {
		quoted ^= *text == '"' && text[-1] != '\\';
		if (*text == '#' && !quoted)
			text += strcspn(text, "\n");
		else
			*o++ = *text++;
	}
	*o = '\0';
	return out;
}

static void test_the_dump_is_read_again(void **state)
{
	static const char text[] = "listen: [\"::1\", 127.0.0.1:5300]\n"
	                           "forward: [\"no\", 192.0.2.1, \"[2001:db8::1]:5353\"]\n"
	                           "user: \"yes\"\n"
	                           "allow: [10.0.0.0/8]\n"
	                           "control-socket: \"\"\n"
	                           "case-mixing: on\n"
	                           "identity: {version: \"a \\\"b\\\\ # \\u00e4\\u2028\\x85\\U0001F600: x\", hostname: \"1.0\"}\n"
	                           "upstreams: {\"no\": {url: 192.0.2.9}, office: {url: tcp://192.0.2.8}}\n"
	                           "routes: {corp.example: [office], \"10.5\": [192.0.2.1], \"a\\\\.b\\\\032#.c\": [office, \"no\"]}\n";
	struct conf *a = rig_good(text), *b;
	char        *first = rig_dump(a), *second, *plain_first, *plain_second;

	(void)state;
	b = rig_good(first);
	second = rig_dump(b);
	plain_first = without_comments(first);
	plain_second = without_comments(second);
	assert_string_equal(plain_first, plain_second);
	assert_string_equal(a->policy.identity_version, b->policy.identity_version);
	assert_string_equal(a->policy.identity_hostname, b->policy.identity_hostname);
	assert_string_equal(a->user, b->user);
	assert_null(b->control_socket);
	assert_int_equal(a->upstream_count, b->upstream_count);
	for (size_t i = 0; i < a->upstream_count; i++)
		assert_string_equal(a->upstreams[i].name, b->upstreams[i].name);
	assert_int_equal(a->policy.route_count, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(a->policy.routes[i].id, b->policy.routes[i].id);
	free(first);
	free(second);
	free(plain_first);
	free(plain_second);
	conf_unref(a);
	conf_unref(b);
}

static void test_the_dump_tells_a_failed_write(void **state)
{
	struct conf *c = rig_good("");
	FILE        *full = fopen("/dev/full", "w");

	(void)state;
	if (!full)
		skip();
	assert_true(conf_dump(c, full) < 0);
	fclose(full);
	conf_unref(c);
}

static void test_references(void **state)
{
	struct conf *c = rig_good("");

	(void)state;
	assert_ptr_equal(conf_ref(c), c);
	conf_unref(c);
	assert_int_equal(c->threads, 1);	/* still there */
	conf_unref(c);
	conf_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_file_has_the_defaults),
		cmocka_unit_test(test_every_option_lands),
		cmocka_unit_test(test_empty_control_socket_is_none),
		cmocka_unit_test(test_metrics),
		cmocka_unit_test(test_metrics_mistakes),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_defaults_pass_their_own_check),
		cmocka_unit_test(test_bounds_are_written_with_units),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_the_report_shows_the_line),
		cmocka_unit_test(test_encrypted_upstreams),
		cmocka_unit_test(test_all_mistakes_in_one_run),
		cmocka_unit_test(test_line_ends),
		cmocka_unit_test(test_long_texts_are_clipped),
		cmocka_unit_test(test_long_lines_are_cut),
		cmocka_unit_test(test_reports_are_printable),
		cmocka_unit_test(test_many_mistakes_are_counted),
		cmocka_unit_test(test_lists_and_mappings_are_bounded),
		cmocka_unit_test(test_upstreams_are_shared_and_ordered),
		cmocka_unit_test(test_route_ids),
		cmocka_unit_test(test_route_ids_never_collide),
		cmocka_unit_test(test_wildcard_listener_owns_local_addresses),
		cmocka_unit_test(test_open_listener_without_allow_is_warned_of),
		cmocka_unit_test_setup_teardown(test_drop_ins, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_mistakes_of_every_file, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_missing_and_huge_files, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_byte_order_mark, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_command_line_wins, rig_setup, rig_teardown),
		cmocka_unit_test(test_no_file_is_needed_with_arguments),
		cmocka_unit_test(test_mistakes_on_the_command_line),
		cmocka_unit_test(test_the_dump_is_read_again),
		cmocka_unit_test(test_the_dump_tells_a_failed_write),
		cmocka_unit_test(test_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
