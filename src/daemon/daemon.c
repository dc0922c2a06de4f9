/* daemon.c - the main thread: what happens once, and what is told to all workers.
 *
 * Order of the start: sockets are bound (those that the service manager handed
 * over are there already), the control socket too, then the user is changed,
 * then threads begin, then the service manager hears that we are ready.  A reload parses whole, opens what is new,
 * and only then hands out the new setup; when anything of that fails the old
 * configuration stays in force.
 *
 * The main thread does no I/O for queries: it may block for a moment.
 */
#include "config.h"

#include "daemon/daemon.h"

#include "base/log.h"
#include "daemon/daemon_state.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#define STOP_GRACE_MS   1000
#define RESOLV_CHECK_MS 1000

/* ---- setups ---- */

static void daemon_release_conf(void *owner)
{
	conf_unref(owner);
}

static struct setup *daemon_make_setup(struct conf *conf, unsigned workers, const struct setup *old)
{
	struct setup_conf c = {
		.policy = &conf->policy,
		.upstreams = conf->upstreams,
		.upstream_count = conf->upstream_count,
		.times = conf->times,
		.cache_times = conf->cache_times,
		.worker_count = workers,
		.slow_query_ms = conf->slow_query_ms,
		.release = daemon_release_conf,
		.owner = conf_ref(conf),
	};

	c.times.max_flights = (conf->times.max_flights + workers - 1) / workers;
	return setup_new(&c, old);
}

static struct listener_conf daemon_listener_conf(const struct conf *conf, unsigned workers)
{
	return (struct listener_conf){
		.tcp_idle_ms = conf->tcp_idle_ms,
		.tcp_clients = (conf->tcp_clients + workers - 1) / workers,
		.tcp_per_client = conf->tcp_per_client,
		.tcp_in_flight = conf->tcp_in_flight,
	};
}

/* ---- resolv.conf ---- */

static struct file_mark daemon_mark(const char *path)
{
	struct stat      st;
	struct file_mark mark;

	memset(&mark, 0, sizeof mark);
	if (path && stat(path, &st) == 0) {
		mark.dev = st.st_dev;
		mark.ino = st.st_ino;
		mark.size = st.st_size;
		mark.mtime = st.st_mtim;
	}
	return mark;
}

static bool daemon_same_mark(const struct file_mark *a, const struct file_mark *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}

static void daemon_on_resolv_timer(uv_timer_t *t)
{
	struct daemon   *d = t->data;
	struct file_mark mark = daemon_mark(d->conf->resolv_file);
	char            *report = NULL;

	if (daemon_same_mark(&mark, &d->resolv_mark))
		return;
	d->resolv_mark = mark;
	log_notice("%s has changed; reading it again", d->conf->resolv_file);
	if (daemon_reload(d, &report) < 0)
		log_error("it could not be used; keeping what was:\n%s", report ? report : "no memory");
	free(report);
}

/* Symbolic links are followed and replaced on hosts that change networks: looking is surer than watching. */
static void daemon_watch_resolv(struct daemon *d)
{
	if (!d->conf->resolv_file) {
		uv_timer_stop(&d->resolv_timer);
		return;
	}
	d->resolv_mark = daemon_mark(d->conf->resolv_file);
	uv_timer_start(&d->resolv_timer, daemon_on_resolv_timer, RESOLV_CHECK_MS, RESOLV_CHECK_MS);
}

/* ---- the network ---- */

/* How the upstream was reached at this address; NULL: it was not looked up. */
static const struct netway *daemon_find_way(const struct daemon *d, const struct upstream *u, const struct addr *to)
{
	for (size_t i = 0; i < d->netway_count; i++)
		if (d->netways[i].upstream == u && addr_equal(&d->netways[i].to, to))
			return &d->netways[i].way;
	return NULL;
}

/* Each upstream is told whose way has changed; that of a new one is only looked up.  Gives whether one was told. */
static bool daemon_look_at_ways(struct daemon *d)
{
	size_t              n = d->setup->conf.upstream_count;
	bool                any = false;
	struct upstream_way *ways = d->netwatch.ask_fd < 0 ? NULL : calloc(n ? n : 1, sizeof *ways);

	for (size_t i = 0; ways && i < n; i++) {
		struct upstream     *u = d->setup->upstreams[i];
		const struct netway *before;
		struct addr_list     places;

		upstream_places(u, &places);
		if (!places.count)		/* its name is not resolved yet */
			continue;
		ways[i].upstream = u;
		ways[i].to = places.at[0];
		before = daemon_find_way(d, u, &ways[i].to);
		netway_find(d->netwatch.ask_fd, &ways[i].to, &ways[i].way);
		if (!before || netway_equal(&ways[i].way, before))
			continue;
		log_info("the way to upstream %s has changed; beginning anew with it", u->conf.name);
		upstream_way_changed(u, daemon_now_us());
		any = true;
	}
	free(d->netways);
	d->netways = ways;
	d->netway_count = ways ? n : 0;
	return any;
}

/* Connections that have to be opened anew are, before somebody waits for them. */
static void daemon_warm(struct daemon *d)
{
	for (unsigned i = 0; i < d->started; i++)
		worker_warm(d->workers[i]);
}

static void daemon_on_network(void *arg)
{
	struct daemon *d = arg;

	bootstrap_on_network(d->bootstrap);
	if (daemon_look_at_ways(d))
		daemon_warm(d);
}

/* An upstream that is given by name is somewhere else, or has been found at all. */
static void daemon_on_placed(void *arg)
{
	struct daemon *d = arg;

	daemon_look_at_ways(d);
	daemon_warm(d);
}

/* ---- reload ---- */

static void daemon_warn_of_restart(const struct conf *old, const struct conf *new)
{
	const char *old_socket = old->control_socket ? old->control_socket : "";
	const char *new_socket = new->control_socket ? new->control_socket : "";

	if (old->threads != new->threads)
		log_warning("`threads` takes effect at the next start");
	if (old->cache.size_octets != new->cache.size_octets)
		log_warning("`cache: size` takes effect at the next start");
	if (strcmp(old_socket, new_socket))
		log_warning("`control-socket` takes effect at the next start");
	if (strcmp(old->state_directory ? old->state_directory : "", new->state_directory ? new->state_directory : ""))
		log_warning("`state-directory` takes effect at the next start");
	if (strcmp(old->user ? old->user : "", new->user ? new->user : ""))
		log_warning("`user` takes effect at the next start");
}

static void daemon_log_queries(struct daemon *d, bool on)
{
	int err = query_log_switch(&d->query_log, on);

	if (err < 0)
		log_error("queries cannot be logged: %s", strerror(-err));
}

int daemon_reload(struct daemon *d, char **report)
{
	struct listener_conf listeners;
	struct conf_args     args = *d->args;
	struct setup        *setup;
	struct conf         *conf;

	service_reloading(&d->service, daemon_now_us());
	args.running = d->conf;
	conf = conf_load(&args, report);
	setup = conf ? daemon_make_setup(conf, d->worker_count, d->setup) : NULL;
	if (!setup || !daemon_listen_all(d, conf) || bootstrap_configure(d->bootstrap, conf, setup) < 0) {
		if (conf && !*report)
			*report = strdup("an address under `listen` could not be opened; the log says which");
		daemon_unlisten_others(d, d->conf);	/* what had been opened already */
		setup_unref(setup);
		conf_unref(conf);
		d->refused = true;
		service_reloaded(&d->service);
		return -EINVAL;
	}
	if (*report)
		log_lines(LOG_LEVEL_WARNING, *report);
	daemon_unlisten_others(d, conf);
	daemon_warn_of_restart(d->conf, conf);
	daemon_warn_of_access(conf);
	listeners = daemon_listener_conf(conf, d->worker_count);
	for (unsigned i = 0; i < d->worker_count; i++)
		if (worker_reconfigure(d->workers[i], setup_ref(setup), &listeners) < 0)
			setup_unref(setup);
	if (setup_routes_differ(d->setup, setup))
		cache_flush_crossing(d->cache);
	setup_unref(d->setup);
	d->setup = setup;
	daemon_listen_http(d, conf);
	conf_unref(d->conf);
	d->conf = conf;
	log_set_level(conf->log_level);
	daemon_log_queries(d, conf->query_log);
	d->loaded_us = daemon_now_us();
	d->refused = false;
	daemon_watch_resolv(d);
	daemon_look_at_ways(d);
	service_reloaded(&d->service);
	log_notice("configuration read again: %zu upstreams, %zu routes", conf->upstream_count,
	           conf->policy.route_count - 1);
	return 0;
}

static void daemon_on_hup(uv_signal_t *s, int signum)
{
	struct daemon *d = s->data;
	char          *report = NULL;

	(void)signum;
	if (daemon_reload(d, &report) < 0) {
		if (report)
			log_lines(LOG_LEVEL_ERROR, report);
		log_error("the configuration was not taken; the old one stays in force");
	}
	free(report);
}

/* ---- what the service manager hears ---- */

static void daemon_summary(void *arg, char *out, size_t size)
{
	struct daemon     *d = arg;
	struct cache_stats cache;
	size_t             n, shown = d->listening_count < 4 ? d->listening_count : 4;

	cache_read_stats(d->cache, clock_boot_ms(clock_system()), &cache);
	n = (size_t)snprintf(out, size, "listening on ");
	for (size_t i = 0; i < shown; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%s", i ? ", " : "", d->listening[i].text);
	if (shown < d->listening_count)
		n += (size_t)snprintf(out + n, size - n, " and %zu more", d->listening_count - shown);
	snprintf(out + n, size - n, "; %zu upstream%s%s; cache: %" PRIu64 " answers, %" PRIu64 " %% full%s",
	         d->conf->upstream_count, d->conf->upstream_count == 1 ? "" : "s",
	         d->conf->policy.routes[0].upstream_count ? "" : ", none for names outside the routes",
	         (uint64_t)cache.entries, (uint64_t)cache.octets * 100 / (uint64_t)cache.size_octets,
	         d->refused ? "; the last reload was refused" : "");
}

static uint64_t daemon_heartbeat(void *arg, unsigned worker)
{
	struct daemon *d = arg;

	return atomic_load_explicit(&worker_stats(d->workers[worker])->heartbeat, memory_order_relaxed);
}

static void daemon_nudge(void *arg, unsigned worker)
{
	struct daemon *d = arg;

	worker_nudge(d->workers[worker]);
}

static void daemon_init_service(struct daemon *d)
{
	const struct service_ops ops = {
		.summary = daemon_summary,
		.heartbeat = daemon_heartbeat,
		.nudge = daemon_nudge,
		.arg = d,
	};

	service_init(&d->service, &d->loop, &ops);
}

/* ---- start and end ---- */

/* Every question in progress holds a socket: take what the system allows. */
static void daemon_raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static bool daemon_make_workers(struct daemon *d)
{
	struct worker_conf conf = {
		.cache = d->cache,
		.listeners = daemon_listener_conf(d->conf, d->worker_count),
		.doubt = bootstrap_doubt,
		.doubt_arg = d->bootstrap,
	};

	d->workers = calloc(d->worker_count, sizeof *d->workers);
	if (!d->workers)
		return false;
	for (unsigned i = 0; i < d->worker_count; i++) {
		conf.index = i;
		conf.setup = setup_ref(d->setup);
		d->workers[i] = worker_new(&conf);
		if (!d->workers[i])
			return false;
	}
	return true;
}

static bool daemon_start_workers(struct daemon *d)
{
	sigset_t all, old;
	int      err = 0;

	sigfillset(&all);		/* signals are the main thread's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (d->started < d->worker_count && !(err = worker_start(d->workers[d->started])))
		d->started++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err < 0)
		log_error("cannot start a thread: %s", strerror(-err));
	return !err;
}

static void daemon_on_term(uv_signal_t *s, int signum)
{
	struct daemon *d = s->data;

	if (d->stopping)
		return;
	d->stopping = true;
	log_notice("%s: stopping", signum == SIGINT ? "interrupted" : "terminated");
	service_stopping(&d->service);
	uv_stop(&d->loop);
}

static void daemon_say_ready(struct daemon *d)
{
	char   text[512];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < d->listening_count && n < sizeof text - ADDR_TEXT_MAX - 2; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i ? ", " : "", d->listening[i].text);
	log_notice("ready: listening on %s; %zu upstream%s%s%s", text, d->conf->upstream_count,
	           d->conf->upstream_count == 1 ? "" : "s", d->conf->from_resolv ? " from " : "",
	           d->conf->from_resolv && d->conf->resolv_file ? d->conf->resolv_file : "");
	service_ready(&d->service, d->worker_count);
}

static struct bootstrap *daemon_make_bootstrap(struct daemon *d)
{
	const struct bootstrap_env env = {
		.loop = &d->loop,
		.route_fd = &d->netwatch.ask_fd,
		.placed = daemon_on_placed,
		.arg = d,
		.state_directory = d->conf->state_directory,
	};

	return bootstrap_new(&env);
}

static bool daemon_start(struct daemon *d)
{
	struct cache_conf cache = d->conf->cache;
	uint8_t           secret[16];

	if (getrandom(secret, sizeof secret, 0) != sizeof secret) {
		log_error("the kernel gives no randomness: %s", strerror(errno));
		return false;
	}
	cache.workers = d->worker_count;
	d->cache = cache_new(&cache, secret);
	d->setup = daemon_make_setup(d->conf, d->worker_count, NULL);
	d->bootstrap = daemon_make_bootstrap(d);
	if (!d->cache || !d->setup || !d->bootstrap || !daemon_make_workers(d)) {
		log_error("not enough memory to start");
		return false;
	}
	if (!daemon_listen_all(d, d->conf) || !daemon_open_control(d))
		return false;
	daemon_listen_http(d, d->conf);
	if (!daemon_drop_root(d))
		return false;
	daemon_warn_of_access(d->conf);
	tickets_load(&d->tickets);
	if (!d->conf->policy.routes[0].upstream_count)
		log_warning("no upstream: names outside the routes get SERVFAIL; set `forward`");
	if (bootstrap_configure(d->bootstrap, d->conf, d->setup) < 0) {
		log_error("not enough memory to start");
		return false;
	}
	if (!daemon_start_workers(d))
		return false;
	events_begin(&d->events, d->workers, d->worker_count);
	daemon_log_queries(d, d->conf->query_log);
	daemon_watch_resolv(d);
	daemon_look_at_ways(d);
	daemon_warm(d);
	daemon_say_ready(d);
	return true;
}

static void daemon_init_loop(struct daemon *d)
{
	uv_loop_init(&d->loop);
	uv_signal_init(&d->loop, &d->on_hup);
	uv_signal_init(&d->loop, &d->on_term);
	uv_signal_init(&d->loop, &d->on_int);
	uv_timer_init(&d->loop, &d->resolv_timer);
	d->on_hup.data = d->on_term.data = d->on_int.data = d->resolv_timer.data = d;
	uv_signal_start(&d->on_hup, daemon_on_hup, SIGHUP);
	uv_signal_start(&d->on_term, daemon_on_term, SIGTERM);
	uv_signal_start(&d->on_int, daemon_on_term, SIGINT);
}

static void daemon_stop(struct daemon *d)
{
	sigset_t late;

	events_close(&d->events);
	query_log_close(&d->query_log);
	for (unsigned i = 0; i < d->started; i++)
		worker_stop(d->workers[i], STOP_GRACE_MS);
	for (unsigned i = 0; i < d->started; i++)
		worker_join(d->workers[i]);
	for (unsigned i = 0; d->workers && i < d->worker_count; i++)
		worker_free(d->workers[i]);
	traces_close(&d->traces);
	tickets_close(&d->tickets);
	if (d->control)
		control_close(d->control);
	http_close(d->http);
	/* A second order to stop must not kill what is nearly over: closing the handles brings back the default. */
	sigemptyset(&late);
	sigaddset(&late, SIGTERM);
	sigaddset(&late, SIGINT);
	sigaddset(&late, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &late, NULL);
	uv_close((uv_handle_t *)&d->on_hup, NULL);
	uv_close((uv_handle_t *)&d->on_term, NULL);
	uv_close((uv_handle_t *)&d->on_int, NULL);
	uv_close((uv_handle_t *)&d->resolv_timer, NULL);
	service_close(&d->service);
	bootstrap_close(d->bootstrap);
	netwatch_close(&d->netwatch);
	uv_run(&d->loop, UV_RUN_DEFAULT);
	uv_loop_close(&d->loop);
	bootstrap_free(d->bootstrap);
	free(d->workers);
	free(d->listening);
	free(d->netways);
	setup_unref(d->setup);
	cache_free(d->cache);
	conf_unref(d->conf);
}

int daemon_run(struct conf *conf, const struct conf_args *args, struct activation *handed)
{
	struct daemon d = { .args = args, .handed = handed, .conf = conf, .worker_count = conf->threads };
	bool          good;

	log_set_level(conf->log_level);
	signal(SIGPIPE, SIG_IGN);
	daemon_raise_descriptors();
	d.started_us = d.loaded_us = daemon_now_us();
	daemon_init_loop(&d);
	netwatch_init(&d.netwatch, &d.loop, daemon_on_network, &d);
	daemon_init_service(&d);
	traces_init(&d.traces, &d.loop);
	tickets_init(&d.tickets, &d.loop, &d.conf);
	events_init(&d.events, &d.loop);
	query_log_init(&d.query_log, &d.events);
	good = daemon_start(&d);
	if (good)
		uv_run(&d.loop, UV_RUN_DEFAULT);
	daemon_stop(&d);
	if (good)
		service_farewell();
	else
		service_failed("the log says why");
	return good ? 0 : 1;
}
