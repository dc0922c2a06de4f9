/* upstream.c - upstreams and channels: who holds what for how long. */
#include "upstream/upstream.h"

#include "net/tls_peer.h"
#include "upstream/prober.h"

#include <stdlib.h>
#include <string.h>

#define STREAM_SILENCE_MS 1000		/* TCP-23: one try time-out */
#define STREAM_IDLE_MS    10000
#define SECURE_IDLE_MS    60000		/* opening anew costs two round trips more */
#define STREAM_CONNECT_MS 3000
#define SLEPT_APART_US      UINT64_C(1000000)

struct upstream *upstream_new(const struct upstream_conf *conf, unsigned worker_count)
{
	struct upstream *u = calloc(1, sizeof *u + worker_count * sizeof u->stats[0]);

	if (!u)
		return NULL;
	atomic_init(&u->refs, 1);
	u->worker_count = worker_count;
	u->conf = *conf;
	u->conf.name = strdup(conf->name);
	u->conf.url = strdup(conf->url);
	health_init(&u->health, u->conf.name);
	u->conf.tls = conf->tls ? tls_peer_ref(conf->tls) : NULL;
	if (!u->conf.name || !u->conf.url) {
		upstream_unref(u);
		return NULL;
	}
	return u;
}

struct upstream *upstream_ref(struct upstream *u)
{
	atomic_fetch_add(&u->refs, 1);
	return u;
}

void upstream_unref(struct upstream *u)
{
	if (!u || atomic_fetch_sub(&u->refs, 1) > 1)
		return;
	health_done(&u->health);
	free(u->conf.name);
	free(u->conf.url);
	tls_peer_unref(u->conf.tls);
	free(u);
}

void upstream_way_changed(struct upstream *u, uint64_t now_us)
{
	atomic_fetch_add(&u->ways, 1);
	health_begin_anew(&u->health, now_us);
}

void upstream_slept(struct upstream *u, uint64_t now_us)
{
	uint64_t last_us = atomic_load(&u->slept_us);

	if ((last_us && (now_us <= last_us || now_us - last_us < SLEPT_APART_US)) ||
	    !atomic_compare_exchange_strong(&u->slept_us, &last_us, now_us))
		return;
	upstream_way_changed(u, now_us);
}

bool upstream_is(const struct upstream *u, const struct upstream_conf *conf)
{
	return !strcmp(u->conf.url, conf->url) && !strcmp(u->conf.name, conf->name) &&
	       tls_peer_equal(u->conf.tls, conf->tls) && u->conf.http.method == conf->http.method &&
	       u->conf.trusted == conf->trusted;
}

struct channel *channel_new(struct upstream *u, const struct upstream_env *env)
{
	struct channel *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->refs = 1;
	c->upstream = upstream_ref(u);
	c->env = env;
	c->stats = &u->stats[env->worker];
	c->ways = atomic_load(&u->ways);
	c->prober = prober_new(c);
	if (!c->prober) {
		channel_unref(c);
		return NULL;
	}
	return c;
}

struct channel *channel_ref(struct channel *c)
{
	c->refs++;
	return c;
}

void channel_unref(struct channel *c)
{
	if (!c || --c->refs > 0)
		return;
	prober_free(c->prober);
	for (unsigned i = 0; i < TRANSPORT_KINDS; i++)
		transport_close(c->transport[i]);
	upstream_unref(c->upstream);
	free(c);
}

/* What was opened before the way to the upstream changed takes no new questions. */
static void channel_look_at_way(struct channel *c)
{
	uint32_t ways = atomic_load_explicit(&c->upstream->ways, memory_order_relaxed);

	if (ways == c->ways)
		return;
	c->ways = ways;
	for (unsigned i = 0; i < TRANSPORT_KINDS; i++)
		transport_renew(c->transport[i]);
}

static void channel_on_opened(void *arg, const struct transport_opening *how)
{
	struct stats_upstream *stats = ((struct channel *)arg)->stats;

	histogram_add(&stats->connect, how->connect_us, 1);
	if (how->handshake_us)
		histogram_add(how->resumed ? &stats->resumption : &stats->handshake, how->handshake_us, 1);
}

struct transport *channel_transport(struct channel *c, enum transport_kind kind)
{
	const struct upstream_conf *u = &c->upstream->conf;
	const struct transport_conf conf = {
		.silence_ms = STREAM_SILENCE_MS,
		.idle_ms = transport_kind_is_encrypted(kind) ? SECURE_IDLE_MS : STREAM_IDLE_MS,
		.connect_ms = STREAM_CONNECT_MS,
		.tls = transport_kind_is_encrypted(kind) ? u->tls : NULL,
		.http = kind == TRANSPORT_HTTPS ? &u->http : NULL,
		.opened = channel_on_opened,
		.arg = c,
	};

	channel_look_at_way(c);
	if (!c->transport[kind])
		c->transport[kind] = c->env->maker->make(c->env->maker, kind, &u->addr, &conf);
	return c->transport[kind];
}
