/* answers.c - what the daemon answers on its control socket and over HTTP.
 *
 * Sums over the workers' counters, the cache's own figures, and orders that
 * daemon.c carries out.  Everything runs on the main thread.
 */
#include "config.h"

#include "daemon/daemon_state.h"

#include "base/log.h"
#include "control/peer.h"
#include "policy/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_SOCKET "/run/larder/io.larder"

static bool daemon_route_works(const struct daemon *d, const struct route_conf *route)
{
	for (size_t i = 0; i < route->upstream_count; i++)
		if (health_works(&d->setup->upstreams[route->upstreams[i]]->health))
			return true;
	return false;
}

/* "", or in parentheses why one of its upstreams is not even known where to find, or is not who it should be:
 * " (office: certificate expired)". */
static void daemon_route_trouble(struct daemon *d, const struct route_conf *route, char *out, size_t size)
{
	*out = '\0';
	for (size_t i = 0; i < route->upstream_count && !*out; i++) {
		struct upstream   *u = d->setup->upstreams[route->upstreams[i]];
		const char        *why = bootstrap_trouble(d->bootstrap, u);
		struct health_view h;

		health_read(&u->health, &h);
		if (why || h.fault)
			snprintf(out, size, " (%s: %s)", u->conf.name, why ? why : h.fault);
	}
}

/* NULL, or what keeps us from answering.  A route never asks another's upstreams, so one is enough. */
static const char *daemon_trouble(struct daemon *d)
{
	const struct policy_conf *policy = &d->conf->policy;
	char                      suffix[DNS_NAME_TEXT_MAX], why[1024];

	if (!policy->routes[0].upstream_count)
		return "no upstream: names outside the routes get SERVFAIL";
	for (size_t i = 0; i < policy->route_count; i++) {
		const struct route_conf *route = &policy->routes[i];

		if (daemon_route_works(d, route))
			continue;
		dns_name_to_text(route->suffix, route->suffix_len, suffix);
		daemon_route_trouble(d, route, why, sizeof why);
		snprintf(d->trouble, sizeof d->trouble,
		         "no upstream for %s works%s: names that are not in the cache get SERVFAIL", suffix, why);
		return d->trouble;
	}
	return NULL;
}

static void daemon_status(void *arg, struct control_status *out)
{
	struct daemon     *d = arg;
	struct cache_stats cache;
	size_t             max = sizeof d->listen_texts / sizeof *d->listen_texts;

	cache_read_stats(d->cache, clock_boot_ms(clock_system()), &cache);
	memset(out, 0, sizeof *out);
	out->version = PACKAGE_VERSION;
	out->started_us = d->started_us;
	out->uptime_s = (double)(daemon_now_us() - d->started_us) / 1e6;
	out->reloaded_ago_s = (double)(daemon_now_us() - d->loaded_us) / 1e6;
	out->workers = d->worker_count;
	out->config_file = d->args->file;
	out->upstreams_from_resolv = d->conf->from_resolv;
	out->resolv_file = d->conf->resolv_file;
	out->trouble = daemon_trouble(d);
	out->listen_count = d->listening_count < max ? d->listening_count : max;
	for (size_t i = 0; i < out->listen_count; i++)
		d->listen_texts[i] = d->listening[i].text;
	out->listen = d->listen_texts;
	out->cache_entries = cache.entries;
	out->cache_negative = cache.negative;
	out->cache_octets = cache.octets;
	out->cache_size_octets = cache.size_octets;
	out->cache_evicted = cache.evicted;
}

static void daemon_stats(void *arg, struct stats_view *out)
{
	struct daemon *d = arg;

	memset(out, 0, sizeof *out);
	for (unsigned i = 0; i < d->worker_count; i++)
		stats_read(worker_stats(d->workers[i]), out);
}

static const char *daemon_level(struct upstream *u)
{
	enum secure_level level = (enum secure_level)atomic_load(&u->secure.level);

	return level == SECURE_UNKNOWN ? NULL : secure_level_names[level];
}

static size_t daemon_upstreams(void *arg, struct control_upstream *out, size_t max)
{
	struct daemon *d = arg;
	size_t         n = d->setup->conf.upstream_count < max ? d->setup->conf.upstream_count : max;

	for (size_t i = 0; i < n; i++) {
		struct upstream *u = d->setup->upstreams[i];

		memset(&out[i], 0, sizeof out[i]);
		out[i].name = u->conf.name;
		out[i].url = u->conf.url;
		out[i].trouble = bootstrap_trouble(d->bootstrap, u);
		upstream_places(u, &out[i].places);
		for (unsigned w = 0; w < d->worker_count; w++)
			stats_upstream_read(&u->stats[w], &out[i].stats);
		health_read(&u->health, &out[i].health);
		out[i].level = daemon_level(u);
		out[i].doubt = atomic_load(&u->secure.doubt);
		out[i].now_us = daemon_now_us();
	}
	return n;
}

static int daemon_order(void *arg, const char *name, enum health_order order, bool anew)
{
	struct daemon *d = arg;

	for (size_t i = 0; i < d->setup->conf.upstream_count; i++) {
		struct upstream *u = d->setup->upstreams[i];

		if (strcmp(u->conf.name, name))
			continue;
		if (anew)
			health_begin_anew(&u->health, daemon_now_us());
		health_give_order(&u->health, order, daemon_now_us());
		return 0;
	}
	return -ENOENT;
}

static uint64_t daemon_flush(void *arg, enum control_flush what, const uint8_t *name, size_t name_len,
                             uint16_t qtype)
{
	struct daemon *d = arg;

	switch (what) {
	case CONTROL_FLUSH_ALL:
		return cache_flush_all(d->cache);
	case CONTROL_FLUSH_NAME:
		return cache_flush_name(d->cache, name, name_len);
	case CONTROL_FLUSH_NAME_TYPE:
		return cache_flush_type(d->cache, name, name_len, qtype);
	case CONTROL_FLUSH_SUBTREE:
		return cache_flush_subtree(d->cache, name, name_len);
	}
	return 0;
}

static int daemon_control_reload(void *arg, char **report)
{
	return daemon_reload(arg, report);
}

static char *daemon_config(void *arg)
{
	struct daemon *d = arg;
	char          *text = NULL;
	size_t         len;
	FILE          *f = open_memstream(&text, &len);
	int            err;

	if (!f)
		return NULL;
	err = conf_dump(d->conf, f);
	if (fclose(f) != 0 || err < 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* Would larder answer this by itself?  A question of type A stands for all. */
static bool daemon_answers_itself(const struct daemon *d, const uint8_t *name, size_t len, size_t route,
                                  uint16_t *rcode)
{
	struct dns_query      q = { .flags = DNS_RD, .qtype = DNS_A, .qclass = DNS_IN, .qname_len = (uint8_t)len,
		                    .ede = DNS_EDE_NONE };
	struct dns_reply_head head;
	uint8_t               out[POLICY_ROOM];

	memcpy(q.qname, name, len);
	if (policy_decide(d->setup->policy, &q, route, false, out, &head, &len) != POLICY_ANSWERED)
		return false;
	*rcode = head.rcode;
	return true;
}

static void daemon_route(void *arg, const uint8_t *name, size_t name_len, struct control_route *out)
{
	struct daemon           *d = arg;
	size_t                   route = policy_route(d->setup->policy, name, name_len);
	const struct route_conf *conf = &d->conf->policy.routes[route];

	out->local = daemon_answers_itself(d, name, name_len, route, &out->rcode);
	dns_name_to_text(conf->suffix, conf->suffix_len, out->suffix);
	out->policy = upstream_policy_names[conf->choice];
	for (size_t i = 0; i < conf->upstream_count && i < CONTROL_UPSTREAMS_MAX; i++)
		out->upstreams[out->upstream_count++] = conf->upstreams[i];
}

static bool daemon_route_suffix(void *arg, uint32_t id, char out[DNS_NAME_TEXT_MAX])
{
	const struct policy_conf *policy = &((struct daemon *)arg)->conf->policy;

	for (size_t i = 0; i < policy->route_count; i++) {
		if (policy->routes[i].id != id)
			continue;
		dns_name_to_text(policy->routes[i].suffix, policy->routes[i].suffix_len, out);
		return true;
	}
	return false;
}

static void daemon_look_at(void *arg, struct cache_cursor *at, const uint8_t *name, size_t name_len)
{
	struct daemon *d = arg;

	if (name)
		cache_look_at_name(d->cache, at, name, name_len);
	else
		cache_look_at_all(d->cache, at);
}

static size_t daemon_look(void *arg, struct cache_cursor *at, struct cache_seen *out, size_t max, uint8_t *room,
                          size_t size)
{
	struct daemon *d = arg;

	return cache_look(d->cache, at, clock_boot_ms(clock_system()), out, max, room, size);
}

static int daemon_trace(void *arg, const struct trace_question *q,
                        void (*done)(void *arg, const struct trace_report *report), void *done_arg)
{
	struct daemon *d = arg;

	return d->started ? traces_order(&d->traces, d->workers[0], q, done, done_arg) : -EBUSY;
}

static int daemon_compare_slow(const void *a, const void *b)
{
	uint64_t x = ((const struct slow_query *)a)->answered_us, y = ((const struct slow_query *)b)->answered_us;

	return (x < y) - (x > y);
}

/* The newest of all workers' lists, each of which is merged with what the others had. */
static void daemon_slow(void *arg, struct control_slow *out)
{
	struct daemon     *d = arg;
	struct slow_query *all = malloc(2 * SLOW_QUERIES * sizeof *all);

	out->over_us = (uint64_t)d->conf->slow_query_ms * 1000;
	for (unsigned i = 0; all && i < d->worker_count; i++) {
		out->count += slows_read(worker_slows(d->workers[i]), all + out->count, &out->dropped);
		qsort(all, out->count, sizeof *all, daemon_compare_slow);
		if (out->count > SLOW_QUERIES)
			out->count = SLOW_QUERIES;
	}
	if (all)
		memcpy(out->queries, all, out->count * sizeof *all);
	free(all);
}

static int daemon_watch(void *arg, struct control_watcher *w)
{
	return events_watch(&((struct daemon *)arg)->events, w);
}

static void daemon_unwatch(void *arg, struct control_watcher *w)
{
	events_unwatch(&((struct daemon *)arg)->events, w);
}

static int daemon_set_query_log(void *arg, bool on, bool *before)
{
	struct daemon *d = arg;

	*before = d->query_log.on;
	return query_log_switch(&d->query_log, on);
}

/* /run/larder may not be there when larderd is started by hand. */
static void daemon_make_socket_dir(const char *path)
{
	char *dir = strdup(path), *slash = dir ? strrchr(dir, '/') : NULL;

	if (slash && slash != dir) {
		*slash = '\0';
		mkdir(dir, 0755);	/* that it failed is seen when the socket is bound */
	}
	free(dir);
}

static bool daemon_adopt_control(struct daemon *d, const struct control_ops *ops)
{
	int err = control_adopt(&d->loop, d->handed->control, ops, &d->control);

	d->handed->control = -1;
	if (err < 0)
		log_warning("the control socket that was handed over: %s; going on without, larderctl will not"
		            " work", strerror(-err));
	return true;
}

static struct control_ops daemon_ops(struct daemon *d)
{
	return (struct control_ops){
		.status = daemon_status,
		.stats = daemon_stats,
		.upstreams = daemon_upstreams,
		.order = daemon_order,
		.flush = daemon_flush,
		.reload = daemon_control_reload,
		.config = daemon_config,
		.route = daemon_route,
		.route_suffix = daemon_route_suffix,
		.look_at = daemon_look_at,
		.look = daemon_look,
		.trace = daemon_trace,
		.slow = daemon_slow,
		.query_log = daemon_set_query_log,
		.watch = daemon_watch,
		.unwatch = daemon_unwatch,
		.group = daemon_control_group(PEER_NOBODY),
		.arg = d,
	};
}

void daemon_listen_http(struct daemon *d, const struct conf *conf)
{
	const struct control_ops ops = daemon_ops(d);

	if (!d->http && conf->http.listen_count) {
		d->http = http_new(&d->loop, &ops);
		if (!d->http)
			log_error("no memory for HTTP; going on without metrics");
	}
	if (d->http)
		http_listen(d->http, &conf->http);
}

bool daemon_open_control(struct daemon *d)
{
	const struct control_ops ops = daemon_ops(d);
	const char              *path = d->conf->control_socket;
	int                      err;

	if (d->handed->control >= 0)
		return daemon_adopt_control(d, &ops);
	if (!path)
		return true;
	if (!strcmp(path, DEFAULT_SOCKET))
		daemon_make_socket_dir(path);
	err = control_open(&d->loop, path, &ops, &d->control);
	if (err == -EADDRINUSE) {
		log_error("%s: another larderd answers on this control socket; stop it, or set `control-socket`",
		          path);
		return false;
	}
	if (err < 0)
		log_warning("control socket %s: %s; going on without, larderctl will not work", path,
		            strerror(-err));
	d->control_is_ours = !err;
	return true;
}
