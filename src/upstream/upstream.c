/* upstream.c - upstreams and channels: who holds what for how long. */
#include "upstream/upstream.h"

#include "upstream/prober.h"

#include <stdlib.h>
#include <string.h>

#define STREAM_SILENCE_MS 1000		/* TCP-23: one try time-out */
#define STREAM_IDLE_MS    10000
#define STREAM_CONNECT_MS 3000

struct upstream *upstream_new(const struct upstream_conf *conf, unsigned worker_count)
{
	struct upstream *u = calloc(1, sizeof *u + worker_count * sizeof u->stats[0]);

	if (!u)
		return NULL;
	atomic_init(&u->refs, 1);
	health_init(&u->health);
	u->worker_count = worker_count;
	u->conf = *conf;
	u->conf.name = strdup(conf->name);
	u->conf.url = strdup(conf->url);
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
	free(u);
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

struct transport *channel_transport(struct channel *c, enum transport_kind kind)
{
	static const struct transport_conf conf = {
		.silence_ms = STREAM_SILENCE_MS,
		.idle_ms = STREAM_IDLE_MS,
		.connect_ms = STREAM_CONNECT_MS,
	};

	if (!c->transport[kind])
		c->transport[kind] = c->env->maker->make(c->env->maker, kind, &c->upstream->conf.addr, &conf);
	return c->transport[kind];
}
