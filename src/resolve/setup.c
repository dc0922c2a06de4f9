/* setup.c - setups, views, and what survives a reload. */
#include "resolve/setup.h"

#include <stdlib.h>
#include <string.h>

static struct upstream *setup_find_upstream(const struct setup *s, const struct upstream_conf *conf,
                                            unsigned worker_count)
{
	for (size_t i = 0; s && i < s->conf.upstream_count; i++) {
		struct upstream *u = s->upstreams[i];

		if (u && u->worker_count == worker_count && upstream_is(u, conf))
			return u;
	}
	return NULL;
}

struct setup *setup_new(const struct setup_conf *conf, const struct setup *old)
{
	struct setup *s = calloc(1, sizeof *s);

	if (!s) {
		if (conf->release)
			conf->release(conf->owner);
		return NULL;
	}
	atomic_init(&s->refs, 1);
	s->conf = *conf;
	s->policy = policy_new(conf->policy);
	s->upstreams = calloc(conf->upstream_count ? conf->upstream_count : 1, sizeof *s->upstreams);
	if (!s->policy || !s->upstreams)
		goto fail;
	for (size_t i = 0; i < conf->upstream_count; i++) {
		struct upstream *known = setup_find_upstream(old, &conf->upstreams[i], conf->worker_count);

		s->upstreams[i] = known ? upstream_ref(known) :
		                          upstream_new(&conf->upstreams[i], conf->worker_count);
		if (!s->upstreams[i])
			goto fail;
	}
	return s;
fail:
	setup_unref(s);
	return NULL;
}

struct setup *setup_ref(struct setup *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void setup_unref(struct setup *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) > 1)
		return;
	policy_free(s->policy);
	for (size_t i = 0; s->upstreams && i < s->conf.upstream_count; i++)
		upstream_unref(s->upstreams[i]);
	free(s->upstreams);
	if (s->conf.release)
		s->conf.release(s->conf.owner);
	free(s);
}

bool setup_routes_differ(const struct setup *a, const struct setup *b)
{
	const struct policy_conf *p = a->conf.policy, *q = b->conf.policy;

	if (p->route_count != q->route_count)
		return true;
	for (size_t i = 0; i < p->route_count; i++)
		if (p->routes[i].id != q->routes[i].id)
			return true;
	return false;
}

static struct channel *view_find_channel(const struct view *v, const struct upstream *u)
{
	for (size_t i = 0; v && i < v->setup->conf.upstream_count; i++)
		if (v->channels[i] && v->channels[i]->upstream == u)
			return v->channels[i];
	return NULL;
}

struct view *view_new(struct setup *s, const struct view *old, const struct upstream_env *env)
{
	struct view *v = calloc(1, sizeof *v + s->conf.upstream_count * sizeof *v->channels);

	if (!v) {
		setup_unref(s);
		return NULL;
	}
	v->refs = 1;
	v->setup = s;
	for (size_t i = 0; i < s->conf.upstream_count; i++) {
		struct channel *known = view_find_channel(old, s->upstreams[i]);

		v->channels[i] = known ? channel_ref(known) : channel_new(s->upstreams[i], env);
		if (!v->channels[i]) {
			view_unref(v);
			return NULL;
		}
	}
	return v;
}

struct view *view_ref(struct view *v)
{
	v->refs++;
	return v;
}

void view_unref(struct view *v)
{
	if (!v || --v->refs > 0)
		return;
	for (size_t i = 0; i < v->setup->conf.upstream_count; i++)
		channel_unref(v->channels[i]);
	setup_unref(v->setup);
	free(v);
}
