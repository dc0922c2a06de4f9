/* bootstrap.c - hosts, the servers that know where they are, and the upstreams that want to know.
 *
 * A reload makes a whole new plan, which takes over the hosts that stay, with
 * what they know.  Always true: hosts ask only servers of the plan in force.
 */
#include "daemon/bootstrap.h"

#include "base/clock.h"
#include "base/keep.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/timer.h"
#include "conf/conf.h"
#include "conf/resolv.h"
#include "daemon/addresses.h"
#include "daemon/netwatch.h"
#include "net/client.h"
#include "resolve/setup.h"
#include "upstream/exchange.h"
#include "upstream/host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME "addresses"
#define EDNS_SIZE 1232

/* An upstream that is given by name. */
struct placing {
	struct upstream *upstream;	/* borrowed from the setup */
	struct host     *host;		/* a reference; others may have the same */
	char             trouble[HOST_TROUBLE_MAX + 320];
};

/* What a configuration asks for. */
struct plan {
	struct channel **servers;
	size_t           server_count;
	struct placing  *placings;
	size_t           placing_count;
};

struct bootstrap {
	struct bootstrap_env env;
	uv_async_t           doubts;
	uv_prepare_t         before_wait;
	uv_timer_t           wake;	/* armed for the wheel's next deadline */
	uint64_t             wake_at_ms;	/* UINT64_MAX: not armed */

	const struct conf   *conf;	/* as long as setup is */
	struct setup        *setup;	/* a reference */
	struct plan          plan;
	char                *dir;	/* the state directory, as it was at the start; NULL: nothing is kept */
	char                *kept;	/* what lies in the state directory, as far as we know; NULL: nothing */
	size_t               kept_len;
	bool                 said;	/* that nothing can be kept */

	struct host_env      host_env;
	struct upstream_env  upstream_env;
	struct rng           rng;
	struct timers        timers;
	struct stats         stats;
	struct exchanges     open;
	struct net_client    client;
};

static uint64_t bootstrap_now_us(void)
{
	return clock_mono_us(clock_system());
}

/* ---- time ---- */

static void bootstrap_on_wake(uv_timer_t *t)
{
	struct bootstrap *b = t->data;

	b->wake_at_ms = UINT64_MAX;
	timers_run(&b->timers, bootstrap_now_us() / 1000);
}

/* Whoever has started a timer meanwhile need not know of the loop's. */
static void bootstrap_on_before_wait(uv_prepare_t *p)
{
	struct bootstrap *b = p->data;
	uint64_t          now_ms = bootstrap_now_us() / 1000, next_ms = timers_next_ms(&b->timers);

	if (next_ms == b->wake_at_ms)
		return;
	b->wake_at_ms = next_ms;
	if (next_ms == UINT64_MAX)
		uv_timer_stop(&b->wake);
	else
		uv_timer_start(&b->wake, bootstrap_on_wake, next_ms > now_ms ? next_ms - now_ms : 0, 0);
}

/* ---- plans ---- */

/* Of the first count placings; NULL: none has it. */
static struct host *plan_find_host(const struct plan *p, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(host_name(p->placings[i].host), name))
			return p->placings[i].host;
	return NULL;
}

static void plan_done(struct plan *p)
{
	for (size_t i = 0; i < p->placing_count; i++)
		host_unref(p->placings[i].host);
	for (size_t i = 0; i < p->server_count; i++)
		channel_unref(p->servers[i]);
	free(p->placings);
	free(p->servers);
	memset(p, 0, sizeof *p);
}

/* ---- what is kept ---- */

static char *bootstrap_write(const struct bootstrap *b, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	if (!f)
		return NULL;
	addresses_begin(f);
	for (size_t i = 0; i < b->plan.placing_count; i++) {
		struct host     *h = b->plan.placings[i].host;
		struct addr_list l;

		if (plan_find_host(&b->plan, i, host_name(h)))	/* it has its line */
			continue;
		host_addresses(h, &l);
		addresses_add(f, host_name(h), &l);
	}
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

static void bootstrap_keep(struct bootstrap *b)
{
	size_t len;
	char  *text = b->dir ? bootstrap_write(b, &len) : NULL;
	int    err;

	if (!text || (b->kept && len == b->kept_len && !memcmp(text, b->kept, len))) {
		free(text);
		return;
	}
	err = keep_write(b->dir, FILE_NAME, text, len);
	if (err < 0 && !b->said)
		log_info("addresses of upstreams cannot be kept in %s: %s", b->dir, strerror(-err));
	b->said |= err < 0;
	free(b->kept);
	b->kept = text;
	b->kept_len = len;
}

static const char *bootstrap_bad_file(int err)
{
	return err == -EPERM ? "somebody else may have written it" :
	       err == -EBADMSG || err == -EFBIG || err == -ENODATA ? "it is not a list of addresses" : strerror(-err);
}

static void bootstrap_recall(struct bootstrap *b)
{
	char       *text = NULL;
	size_t      len = 0;
	int         err = b->dir ? keep_read(b->dir, FILE_NAME, ADDRESSES_TEXT_MAX, &text, &len) : -ENOENT;

	if (err == 0 && !addresses_are_sound(text, len)) {
		free(text);
		err = -EBADMSG;
	}
	if (err < 0) {
		if (err != -ENOENT)
			log_warning("%s/%s is not used: %s", b->dir, FILE_NAME, bootstrap_bad_file(err));
		return;
	}
	free(b->kept);
	b->kept = text;
	b->kept_len = len;
}

/* ---- placing ---- */

static bool bootstrap_is_own(const struct bootstrap *b, const struct addr *a)
{
	const struct conf_own own = { b->conf->listen, b->conf->listen_count };

	return conf_own_has(&own, a);
}

/* Or where it might be asked in clear text, at the usual port. */
static bool bootstrap_leads_here(const struct bootstrap *b, const struct upstream *u, const struct addr *a)
{
	struct addr clear = *a;

	addr_set_port(&clear, 53);
	return bootstrap_is_own(b, a) || (u->conf.opportunistic && bootstrap_is_own(b, &clear));
}

static bool bootstrap_has_way(const struct bootstrap *b, const struct addr *a)
{
	struct netway way;

	if (*b->env.route_fd < 0)
		return true;
	netway_find(*b->env.route_fd, a, &way);
	return way.reachable;
}

/* Where the upstream can be asked, of the addresses of its host. */
static void bootstrap_sift(const struct bootstrap *b, const struct upstream *u, const struct addr_list *found,
                           struct addr_list *out)
{
	struct addr_list far = { .count = 0 };
	char             text[ADDR_TEXT_MAX];

	out->count = 0;
	for (unsigned i = 0; i < found->count; i++) {
		struct addr a = found->at[i];

		addr_set_port(&a, u->conf.port);
		if (bootstrap_leads_here(b, u, &a))
			log_limited(LOG_LEVEL_WARNING, "upstream %s: %s, which its name leads to, is where larder itself"
				    " listens; it is not asked there", u->conf.name, addr_format(&a, text));
		else
			addr_list_add(bootstrap_has_way(b, &a) ? out : &far, &a);
	}
	if (!out->count)
		*out = far;
}

/* Every upstream that has this host; or, for NULL, all of them. */
static void bootstrap_place(struct bootstrap *b, const struct host *only)
{
	bool any = false;

	for (size_t i = 0; i < b->plan.placing_count; i++) {
		struct placing  *p = &b->plan.placings[i];
		struct addr_list found, places;

		if (only && p->host != only)
			continue;
		host_addresses(p->host, &found);
		bootstrap_sift(b, p->upstream, &found, &places);
		any |= places.count && upstream_place(p->upstream, &places, bootstrap_now_us());
	}
	if (any)
		b->env.placed(b->env.arg);
}

static void bootstrap_on_changed(void *arg, struct host *h)
{
	bootstrap_place(arg, h);
	bootstrap_keep(arg);
}

static bool bootstrap_is_wanted(void *arg, const struct host *h)
{
	struct bootstrap *b = arg;
	uint64_t          now_us = bootstrap_now_us();

	for (size_t i = 0; i < b->plan.placing_count; i++)
		if (b->plan.placings[i].host == h && health_is_wanted(&b->plan.placings[i].upstream->health, now_us))
			return true;
	return false;
}

/* ---- configuring ---- */

static struct channel *bootstrap_server(struct bootstrap *b, const struct upstream_conf *conf)
{
	struct upstream *u = upstream_new(conf, 1);
	struct channel  *c = u ? channel_new(u, &b->upstream_env) : NULL;

	upstream_unref(u);
	return c;
}

static struct host *bootstrap_host(struct bootstrap *b, const struct plan *plan, const char *name)
{
	struct host     *h = plan_find_host(plan, plan->placing_count, name);
	struct addr_list known;

	if (!h)
		h = plan_find_host(&b->plan, b->plan.placing_count, name);
	if (h)
		return host_ref(h);
	h = host_new(name, &b->host_env);
	if (h && b->kept && addresses_find(b->kept, b->kept_len, name, &known))
		host_remember(h, &known);
	return h;
}

/* False: no memory; what there is of the plan is its owner's to undo. */
static bool bootstrap_plan(struct bootstrap *b, const struct conf *conf, const struct setup *setup, struct plan *out)
{
	out->servers = calloc(conf->bootstrap_count + 1, sizeof *out->servers);
	out->placings = calloc(setup->conf.upstream_count + 1, sizeof *out->placings);
	if (!out->servers || !out->placings)
		return false;
	for (; out->server_count < conf->bootstrap_count; out->server_count++) {
		out->servers[out->server_count] = bootstrap_server(b, &conf->bootstrap[out->server_count]);
		if (!out->servers[out->server_count])
			return false;
	}
	for (size_t i = 0; i < setup->conf.upstream_count; i++) {
		struct upstream *u = setup->upstreams[i];
		struct host     *h = u->conf.host ? bootstrap_host(b, out, u->conf.host) : NULL;

		if (h)
			out->placings[out->placing_count++] = (struct placing){ .upstream = u, .host = h };
		else if (u->conf.host)
			return false;
	}
	return true;
}

/* For those that are new, the time begins now. */
static void bootstrap_await_places(struct bootstrap *b)
{
	for (size_t i = 0; i < b->plan.placing_count; i++) {
		struct addr_list places;

		upstream_places(b->plan.placings[i].upstream, &places);
		if (!places.count)
			upstream_lack_place(b->plan.placings[i].upstream, bootstrap_now_us());
	}
}

/* Whoever has no upstream by name pays nothing. */
static bool bootstrap_make_room(struct bootstrap *b, const struct setup *setup)
{
	bool any = b->upstream_env.scrub != NULL;

	for (size_t i = 0; i < setup->conf.upstream_count; i++)
		any |= setup->upstreams[i]->conf.host != NULL;
	if (!any || b->upstream_env.scrub)
		return true;
	b->upstream_env.scrub = dns_scrub_new();
	uv_prepare_start(&b->before_wait, bootstrap_on_before_wait);
	return b->upstream_env.scrub != NULL;
}

int bootstrap_configure(struct bootstrap *b, const struct conf *conf, struct setup *setup)
{
	struct plan plan = { .servers = NULL }, old = b->plan;

	if (!bootstrap_make_room(b, setup))
		return -ENOMEM;
	if (b->upstream_env.scrub)
		bootstrap_recall(b);
	if (!bootstrap_plan(b, conf, setup, &plan)) {
		plan_done(&plan);
		return -ENOMEM;
	}
	for (size_t i = 0; i < old.placing_count; i++)
		host_rest(old.placings[i].host);
	b->plan = plan;
	b->host_env.servers = plan.servers;
	b->host_env.server_count = plan.server_count;
	plan_done(&old);
	setup_ref(setup);
	setup_unref(b->setup);
	b->setup = setup;
	b->conf = conf;
	bootstrap_await_places(b);
	bootstrap_place(b, NULL);
	for (size_t i = 0; i < plan.placing_count; i++)
		host_ask(plan.placings[i].host);
	return 0;
}

/* ---- news ---- */

static void bootstrap_on_doubts(uv_async_t *a)
{
	struct bootstrap *b = a->data;

	for (size_t i = 0; i < b->plan.placing_count; i++)
		if (atomic_exchange(&b->plan.placings[i].upstream->doubted, false))
			host_doubt(b->plan.placings[i].host);
}

void bootstrap_doubt(void *arg)
{
	struct bootstrap *b = arg;

	uv_async_send(&b->doubts);
}

void bootstrap_on_network(struct bootstrap *b)
{
	bootstrap_place(b, NULL);
	for (size_t i = 0; i < b->plan.placing_count; i++)
		if (host_trouble(b->plan.placings[i].host))
			host_doubt(b->plan.placings[i].host);
}

static const char *placing_trouble(struct placing *p)
{
	struct addr_list l;
	const char      *why;

	upstream_places(p->upstream, &l);
	if (l.count)
		return NULL;
	host_addresses(p->host, &l);
	why = l.count ? "it leads to larder itself" : host_trouble(p->host);
	snprintf(p->trouble, sizeof p->trouble, "its name %.255s is not resolved%s%s", p->upstream->conf.host,
	         why ? ": " : " yet", why ? why : "");
	return p->trouble;
}

const char *bootstrap_trouble(struct bootstrap *b, const struct upstream *u)
{
	for (size_t i = 0; i < b->plan.placing_count; i++)
		if (b->plan.placings[i].upstream == u)
			return placing_trouble(&b->plan.placings[i]);
	return NULL;
}

/* ---- life ---- */

struct bootstrap *bootstrap_new(const struct bootstrap_env *env)
{
	struct bootstrap *b = calloc(1, sizeof *b);

	if (!b)
		return NULL;
	b->env = *env;
	b->dir = env->state_directory ? strdup(env->state_directory) : NULL;
	if (env->state_directory && !b->dir) {
		free(b);
		return NULL;
	}
	b->wake_at_ms = UINT64_MAX;
	rng_init(&b->rng, NULL, NULL);
	timers_init(&b->timers, bootstrap_now_us() / 1000);
	exchanges_init(&b->open);
	net_client_init(&b->client, env->loop, clock_system(), &b->rng);
	b->upstream_env = (struct upstream_env){
		.clock = clock_system(),
		.rng = &b->rng,
		.timers = &b->timers,
		.stats = &b->stats,
		.open = &b->open,
		.maker = &b->client.maker,
		.edns_size = EDNS_SIZE,
	};
	b->host_env = (struct host_env){
		.clock = clock_system(),
		.rng = &b->rng,
		.timers = &b->timers,
		.changed = bootstrap_on_changed,
		.wanted = bootstrap_is_wanted,
		.arg = b,
	};
	uv_async_init(env->loop, &b->doubts, bootstrap_on_doubts);
	uv_prepare_init(env->loop, &b->before_wait);
	uv_timer_init(env->loop, &b->wake);
	b->doubts.data = b->before_wait.data = b->wake.data = b;
	return b;
}

void bootstrap_close(struct bootstrap *b)
{
	if (!b)
		return;
	plan_done(&b->plan);
	uv_close((uv_handle_t *)&b->doubts, NULL);
	uv_close((uv_handle_t *)&b->before_wait, NULL);
	uv_close((uv_handle_t *)&b->wake, NULL);
}

void bootstrap_free(struct bootstrap *b)
{
	if (!b)
		return;
	setup_unref(b->setup);
	dns_scrub_free(b->upstream_env.scrub);
	free(b->kept);
	free(b->dir);
	free(b);
}
