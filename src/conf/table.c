/* table.c - the rows.
 *
 * Sections stand before their options, and the order is that of the dump and
 * of the manual.  "*" stands for a name that the user chooses.
 */
#include "conf/table.h"

#include "conf/conf.h"
#include "net/tls_peer.h"

#include <assert.h>
#include <string.h>

#define FIELD(f) offsetof(struct conf, f), sizeof(((struct conf *)0)->f)
#define NOWHERE  0, 0

#define SECOND   1000LL
#define MINUTE   60LL
#define HOUR     3600LL
#define DAY      86400LL
#define MIB(n)   ((n) * 1048576LL)

const struct conf_option conf_options[] = {
	{ "listen", CONF_LISTEN, 1, CONF_LIST_MAX, "127.0.0.1 ::1", FIELD(listen),
	  "Addresses to answer on, over UDP and TCP; port 53 unless given." },
	{ "forward", CONF_FORWARD, 1, CONF_LIST_MAX, NULL, FIELD(upstreams),
	  "Upstreams that are asked: names from upstreams, or URLs. Absent: resolv-file is read." },
	{ "bootstrap", CONF_SERVERS, 1, CONF_BOOTSTRAP_MAX, NULL, FIELD(bootstrap),
	  "Servers, given by address, that are asked where upstreams are that are given by host name." },
	{ "resolv-file", CONF_PATH, 1, 4095, NULL, FIELD(resolv_file),
	  "File whose nameserver lines are used when forward is absent." },
	{ "allow", CONF_PREFIXES, 1, 1024, "127.0.0.0/8 ::1", FIELD(policy.allow),
	  "Address prefixes that may ask." },
	{ "user", CONF_TEXT, 1, 255, NULL, FIELD(user),
	  "User to become once the listening sockets are bound." },
	{ "threads", CONF_NUMBER, 1, 64, "1", FIELD(threads), "Worker threads." },
	{ "query-timeout", CONF_MS, 100, 30 * SECOND, "4s", FIELD(times.query_timeout_ms),
	  "A client has its answer, or SERVFAIL, by then." },
	{ "resolve-timeout", CONF_MS, 500, 60 * SECOND, "10s", FIELD(times.resolve_timeout_ms),
	  "All work for one question ends by then; not below query-timeout." },
	{ "resend-after", CONF_MS, 10, 1 * SECOND, "auto", FIELD(times.resend_after_ms),
	  "An unanswered question is also sent elsewhere after this time, then after 3 and 7 times as long." },
	{ "upgrade", CONF_BOOL, 0, 1, "no", FIELD(upgrade),
	  "Ask each plain upstream where it offers TLS, and ask it there from then on (RFC 9462)." },
	{ "policy", CONF_POLICY, 0, 0, "fastest", FIELD(choice),
	  "How one of several upstreams is chosen." },
	{ "max-flights", CONF_NUMBER, 16, 65536, "4096", FIELD(times.max_flights),
	  "Questions in progress at upstreams, in the whole process." },
	{ "edns-size", CONF_NUMBER, 512, 1400, "1232", FIELD(times.edns_size),
	  "Size of UDP answers that is offered to upstreams, in octets." },
	{ "case-mixing", CONF_BOOL, 0, 1, "no", FIELD(times.case_mixing),
	  "Ask in random letter case, which the answer must repeat." },
	{ "local-names", CONF_BOOL, 0, 1, "yes", FIELD(policy.local_names),
	  "Answer special-use names (localhost, home.arpa, private reverse zones …) here." },
	{ "control-socket", CONF_PATH, 0, 107, "/run/larder/io.larder", FIELD(control_socket),
	  "Socket that larderctl talks to; empty: none." },
	{ "state-directory", CONF_PATH, 0, 4095, "/var/lib/larder", FIELD(state_directory),
	  "Folder for what is worth knowing at the next start; empty: nothing is kept." },
	{ "metrics-listen", CONF_ENDPOINTS, 1, CONF_LIST_MAX, NULL, FIELD(http.listen),
	  "Addresses (port 9153 unless given) and socket files that serve metrics and health over HTTP." },
	{ "metrics-hosts", CONF_HOSTS, 1, CONF_LIST_MAX, NULL, FIELD(http.hosts),
	  "Host names that HTTP clients may use, besides localhost and the addresses listened on." },
	{ "metrics-names", CONF_BOOL, 0, 1, "no", FIELD(http.names),
	  "Show over HTTP which names are asked for." },
	{ "slow-query", CONF_MS, 1, 30 * SECOND, "100ms", FIELD(slow_query_ms),
	  "A query whose client waits so long is noted with the reason." },
	{ "query-log", CONF_BOOL, 0, 1, "no", FIELD(query_log), "Log each query, with its name and client." },
	{ "log-level", CONF_LEVEL, 0, LOG_LEVEL_DEBUG, "notice", FIELD(log_level),
	  "Least important lines that are logged." },

	{ "tcp", CONF_SECTION, 0, 0, NULL, NOWHERE, "Clients over TCP." },
	{ "tcp.idle", CONF_MS, 100, 600 * SECOND, "10s", FIELD(tcp_idle_ms),
	  "A connection without a query is closed after this time." },
	{ "tcp.clients", CONF_NUMBER, 1, 65536, "1024", FIELD(tcp_clients),
	  "Connections of all clients together." },
	{ "tcp.per-client", CONF_NUMBER, 1, 65536, "32", FIELD(tcp_per_client),
	  "Connections of one address; loopback is exempt." },
	{ "tcp.in-flight", CONF_NUMBER, 1, 10000, "100", FIELD(tcp_in_flight),
	  "Queries of one connection that are worked on at once." },

	{ "limits", CONF_SECTION, 0, 0, NULL, NOWHERE, "What one client may ask for, beyond this host." },
	{ "limits.waiting-per-client", CONF_NUMBER, 1, 65536, "200",
	  FIELD(policy.limits.waiting_per_client),
	  "UDP questions of one address that may wait for an answer; over it SERVFAIL." },
	{ "limits.replies-per-second", CONF_NUMBER, 0, 1000000, "0",
	  FIELD(policy.limits.replies_per_second),
	  "UDP replies to one /24 or /56; over it TC or silence; 0: no limit." },
	{ "limits.loopback", CONF_BOOL, 0, 1, "no", FIELD(policy.limits.loopback),
	  "Limit the programs of this host too." },

	{ "cache", CONF_SECTION, 0, 0, NULL, NOWHERE, "How much is kept, and how long." },
	{ "cache.size", CONF_OCTETS, MIB(1), MIB(65536), "64M", FIELD(cache.size_octets),
	  "Memory for the cache." },
	{ "cache.min-ttl", CONF_SECONDS, 0, 1 * HOUR, "0s", FIELD(cache_times.ttl_min_s),
	  "Shorter TTLs of positive answers are raised to this." },
	{ "cache.max-ttl", CONF_SECONDS, 1, 7 * DAY, "1d", FIELD(cache_times.ttl_max_s),
	  "Longer TTLs are cut to this." },
	{ "cache.negative-ttl", CONF_SECONDS, 0, 3 * HOUR, "15m", FIELD(cache_times.negative_max_s),
	  "Ceiling for negative answers." },
	{ "cache.failure-ttl", CONF_SECONDS, 1, 5 * MINUTE, "5s",
	  FIELD(cache_times.failure_first_s),
	  "A failure is remembered for this time at first, then doubling." },
	{ "cache.failure-ttl-max", CONF_SECONDS, 1, 5 * MINUTE, "1m",
	  FIELD(cache_times.failure_max_s), "The doubling ends here; not below failure-ttl." },
	{ "cache.stale", CONF_SECONDS, 0, 7 * DAY, "1d", FIELD(cache_times.stale_s),
	  "How long past its TTL an answer may be used when upstreams fail; 0: never." },
	{ "cache.stale-ttl", CONF_SECONDS, 1, 5 * MINUTE, "30s", FIELD(cache_times.stale_ttl_s),
	  "TTL in such replies." },
	{ "cache.stale-wait", CONF_MS, 1, 1800, "auto", FIELD(cache_times.stale_wait_ms),
	  "How long a client waits for upstreams before." },
	{ "cache.stale-recheck", CONF_SECONDS, 1, 5 * MINUTE, "30s", FIELD(cache_times.recheck_s),
	  "After a failed refresh the answer is used for this time without asking again." },
	{ "cache.prefetch", CONF_BOOL, 0, 1, "yes", FIELD(cache_times.prefetch),
	  "Refresh popular answers before anybody has to wait for them." },

	{ "identity", CONF_SECTION, 0, 0, NULL, NOWHERE, "What larder tells about itself." },
	{ "identity.version", CONF_TEXT, 1, 255, NULL, FIELD(policy.identity_version),
	  "Answer to version.bind and version.server; absent: REFUSED." },
	{ "identity.hostname", CONF_TEXT, 1, 255, NULL, FIELD(policy.identity_hostname),
	  "Answer to hostname.bind and id.server; absent: REFUSED." },

	{ "upstreams", CONF_UPSTREAMS, 0, 1024, NULL, FIELD(upstreams),
	  "Named upstreams; they serve only routes that name them, unless forward lists them." },
	{ "upstreams.*.url", CONF_URL, 0, 0, NULL, FIELD(upstreams), "Where the upstream is." },
	{ "upstreams.*.trusted", CONF_BOOL, 0, 1, "no", FIELD(upstreams),
	  "Believe the AD flag of this upstream; for tls:// and https://." },
	{ "upstreams.*.pins", CONF_PINS, 1, TLS_PINS_MAX, NULL, FIELD(upstreams),
	  "Hashes of the keys that the upstream may have; for tls:// and https://." },
	{ "upstreams.*.ca", CONF_PATH, 1, 4095, NULL, FIELD(upstreams),
	  "File of the authorities that may vouch for the upstream, instead of the system's." },
	{ "upstreams.*.method", CONF_METHOD, 0, H2_GET, "post", FIELD(upstreams),
	  "How https:// asks: post or get." },
	{ "upstreams.*.upgrade", CONF_BOOL, 0, 1, NULL, FIELD(upstreams),
	  "Ask a plain upstream where it offers TLS, and ask it there from then on (RFC 9462); as upgrade unless given." },
	{ "upstreams.*.profile", CONF_PROFILE, 0, 1, "strict", FIELD(upstreams),
	  "What tls:// and https:// insist on: strict, authenticated or not at all; opportunistic, what can be had." },
	{ "routes", CONF_ROUTES, 0, 4096, NULL, FIELD(policy.routes),
	  "Names at or below a suffix go to these upstreams and no others; the longest wins." },
	{ "route-policy", CONF_POLICIES, 0, 4096, NULL, FIELD(policy.routes),
	  "For a suffix of routes, in place of policy." },
};
const size_t conf_option_count = sizeof conf_options / sizeof *conf_options;

const char *conf_option_key(const struct conf_option *o)
{
	const char *dot = strrchr(o->name, '.');

	return dot ? dot + 1 : o->name;
}

bool conf_option_is_in(const struct conf_option *o, const char *prefix)
{
	size_t n = strlen(prefix);

	return (size_t)(conf_option_key(o) - o->name) == n && !strncmp(o->name, prefix, n);
}

const struct conf_option *conf_option_find(const char *prefix, const char *key)
{
	for (size_t i = 0; i < conf_option_count; i++)
		if (conf_option_is_in(&conf_options[i], prefix) &&
		    !strcmp(conf_option_key(&conf_options[i]), key))
			return &conf_options[i];
	return NULL;
}

size_t conf_option_index(const char *name)
{
	size_t i = 0;

	while (i < conf_option_count && strcmp(conf_options[i].name, name))
		i++;
	assert(i < conf_option_count);
	return i;
}

size_t conf_section_index(const char *prefix, size_t *count)
{
	size_t first = 0;

	while (first < conf_option_count && !conf_option_is_in(&conf_options[first], prefix))
		first++;
	*count = 0;
	while (first + *count < conf_option_count && conf_option_is_in(&conf_options[first + *count], prefix))
		++*count;
	return first;
}

bool conf_type_is_list(enum conf_type type)
{
	return type == CONF_LISTEN || type == CONF_PREFIXES || type == CONF_FORWARD || type == CONF_SERVERS ||
	       type == CONF_PINS || type == CONF_ENDPOINTS || type == CONF_HOSTS;
}

bool conf_type_is_mapping(enum conf_type type)
{
	return type == CONF_SECTION || type == CONF_UPSTREAMS || conf_type_is_by_suffix(type);
}

bool conf_type_is_by_suffix(enum conf_type type)
{
	return type == CONF_ROUTES || type == CONF_POLICIES;
}

const char *const *conf_type_words(enum conf_type type)
{
	static const char *const methods[] = { [H2_POST] = "post", [H2_GET] = "get", NULL };
	static const char *const profiles[] = { "strict", "opportunistic", NULL };

	if (type == CONF_POLICY || type == CONF_POLICIES)
		return upstream_policy_names;
	if (type == CONF_PROFILE)
		return profiles;
	return type == CONF_LEVEL ? log_level_names : type == CONF_METHOD ? methods : NULL;
}

bool conf_option_takes_auto(const struct conf_option *o)
{
	return o->fallback && !strcmp(o->fallback, "auto");
}

void conf_each_option(void (*each)(void *arg, const char *name), void *arg)
{
	for (size_t i = 0; i < conf_option_count; i++)
		if (conf_options[i].type != CONF_SECTION)
			each(arg, conf_options[i].name);
}
