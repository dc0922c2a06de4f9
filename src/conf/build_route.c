/* build_route.c - the routes: which upstreams are asked for which names.
 *
 * Route 0 is for everything that no other takes.  Without `forward` its upstreams are those of resolv.conf, which
 * is read only while nothing was found wrong: its warnings would bury the mistakes.
 */
#include "conf/build_state.h"

#include "dns/name.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a over suffix, URLs and whose word counts: the same in each process and after each reload, because cache
 * entries carry it.  Two routes with the same number would share what must stay apart, so a second
 * one takes the next that is free. */
static uint32_t build_route_id(const struct conf *c, const struct route_conf *r)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < r->suffix_len; i++)
		h = (h ^ r->suffix[i]) * 16777619u;
	for (size_t i = 0; i < r->upstream_count; i++) {
		const struct upstream_conf *u = &c->upstreams[r->upstreams[i]];
		const char                 *p = u->url;

		do
			h = (h ^ (uint8_t)*p) * 16777619u;
		while (*p++);
		if (u->trusted)
			h = (h ^ 1) * 16777619u;
	}
	for (size_t i = 0; i < c->policy.route_count; i++)
		if (!h || c->policy.routes[i].id == h) {
			h++;
			i = (size_t)-1;		/* from the start again */
		}
	return h ? h : 1;
}

static void build_route_upstreams(struct build *b, struct route_conf *r,
				  const struct conf_option *o, const struct conf_setting *s)
{
	r->upstreams = build_alloc(b, s->count, sizeof *r->upstreams);
	for (size_t i = 0; i < s->count && r->upstreams; i++) {
		ssize_t index = build_reference(b, o, &s->texts[i]);

		for (size_t j = 0; j < r->upstream_count && index >= 0; j++)
			if (r->upstreams[j] == (size_t)index) {
				BUILD_MISTAKE(b, &s->texts[i].at, "\"%s\" is listed twice",
					      s->texts[i].text);
				index = -1;
			}
		if (index >= 0)
			r->upstreams[r->upstream_count++] = (size_t)index;
	}
}

static void build_resolv(struct build *b, struct route_conf *r)
{
	struct conf     *c = b->c;
	struct addr      servers[CONF_RESOLV_MAX];
	struct conf_mark marks[CONF_RESOLV_MAX];
	const char      *file = conf_resolv_file(c->resolv_file);
	size_t           n = conf_resolv_read(file, &b->own, b->report, servers, marks);

	c->from_resolv = true;
	if (!c->resolv_file)
		c->resolv_file = build_copy(b, file);
	r->upstreams = build_alloc(b, n, sizeof *r->upstreams);
	for (size_t i = 0; i < n && r->upstreams; i++) {
		const struct conf_text t = { .at = marks[i] };
		struct build_source    s;
		ssize_t                index;

		build_source_init(&s, NULL, &t);
		s.url.addr = servers[i];
		index = build_upstream(b, &s);
		if (index >= 0)
			r->upstreams[r->upstream_count++] = (size_t)index;
	}
}

/* routes[0]: everything that no other route takes. */
static void build_root(struct build *b, enum conf_resolv_use resolv)
{
	size_t                     index = conf_option_index("forward");
	const struct conf_setting *s = &b->settings->groups[index].own;
	struct conf               *c = b->c;
	struct route_conf         *r = &c->policy.routes[0];

	r->suffix_len = 1;
	if (s->count) {
		build_route_upstreams(b, r, &conf_options[index], s);
		free(c->resolv_file);	/* nothing to watch */
		c->resolv_file = NULL;
	} else if (resolv == CONF_RESOLV_READ && !b->report->failed && !b->report->no_memory) {
		build_resolv(b, r);
	}
	r->id = build_route_id(c, r);
	c->policy.route_count = 1;
}

void build_routes(struct build *b, enum conf_resolv_use resolv)
{
	size_t                   index = conf_option_index("routes");
	const struct conf_group *g = &b->settings->groups[index];
	struct policy_conf      *policy = &b->c->policy;

	policy->routes = build_alloc(b, g->entry_count + 1, sizeof *policy->routes);
	b->c->upstreams = build_alloc(b, BUILD_UPSTREAMS_MAX, sizeof *b->c->upstreams);
	if (!policy->routes || !b->c->upstreams || !b->named || !b->urls)
		return;
	build_root(b, resolv);
	policy->routes[0].choice = b->c->choice;
	build_names(b);
	for (size_t i = 0; i < g->entry_count; i++) {
		struct route_conf *r = &policy->routes[policy->route_count];
		struct dns_name    name;

		if (dns_name_from_text(g->entries[i].key.text, &name) < 0)
			continue;
		memcpy(r->suffix, name.octets, name.len);
		r->suffix_len = name.len;
		dns_name_lower(r->suffix, r->suffix_len);
		build_route_upstreams(b, r, &conf_options[index], &g->entries[i]);
		r->choice = b->c->choice;
		r->id = build_route_id(b->c, r);
		policy->route_count++;
	}
}

static struct route_conf *build_find_route(struct build *b, const struct conf_text *suffix)
{
	struct policy_conf *policy = &b->c->policy;
	struct dns_name     name;

	if (dns_name_from_text(suffix->text, &name) < 0)
		return NULL;
	for (size_t i = 1; i < policy->route_count; i++)
		if (dns_name_equal(policy->routes[i].suffix, policy->routes[i].suffix_len, name.octets, name.len))
			return &policy->routes[i];
	return NULL;
}

void build_route_policies(struct build *b)
{
	size_t                   index = conf_option_index("route-policy");
	const struct conf_group *g = &b->settings->groups[index];

	for (size_t i = 0; i < g->entry_count && b->c->policy.routes; i++) {
		const struct conf_setting *s = &g->entries[i];
		struct route_conf         *r = build_find_route(b, &s->key);
		union conf_value           v;

		if (s->bad || !s->count)
			continue;
		build_value(&conf_options[index], &s->texts[0], &v);
		if (r)
			r->choice = (enum upstream_policy)v.number;
		else
			BUILD_MISTAKE(b, &s->key.at, "\"routes\" has no \"%s\"", s->key.text);
	}
}
