/* build.c - settings become the struct that everybody else reads.
 *
 * Each value has been checked alone when it was read; here are the checks that
 * need two of them: names that refer to each other, times in the right order,
 * upstreams that would be larder itself.  Settings that were already found bad
 * are passed over, so one mistake is not reported twice.
 */
#include "conf/build.h"

#include "conf/resolv.h"
#include "conf/suggest.h"
#include "conf/table.h"
#include "conf/value.h"
#include "dns/name.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BUILD_UPSTREAMS_MAX 1024

struct build {
	struct conf                *c;
	const struct conf_settings *settings;
	struct conf_report         *report;
	struct conf_own             own;
	ssize_t                    *named;	/* for each named upstream its index, -1 for a bad
						 * one, or BUILD_UNSEEN */
};

#define BUILD_UNSEEN (-2)

#define BUILD_MISTAKE(b, at, ...) conf_report_add((b)->report, CONF_MISTAKE, at, __VA_ARGS__)

static const struct conf_group *build_group(const struct build *b, const char *option)
{
	return &b->settings->groups[conf_option_index(option)];
}

static void *build_alloc(struct build *b, size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size);

	if (!p)
		b->report->no_memory = true;
	return p;
}

static char *build_copy(struct build *b, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		b->report->no_memory = true;
	return copy;
}

/* A text that conf_parse() let through. */
static void build_value(const struct conf_option *o, const struct conf_text *t,
			union conf_value *out)
{
	char why[CONF_WHY_MAX];
	int  err = conf_value_read(o, t->text, t->len, out, why);

	/* An interface can go away between the two readings; then the address stays empty. */
	if (err < 0)
		memset(out, 0, sizeof *out);
}

/* ---- single values ---- */

_Static_assert(sizeof(bool) == sizeof(uint8_t), "build_store() writes a bool as an octet");

static void build_store(void *at, size_t size, int64_t number)
{
	uint8_t  u8 = (uint8_t)number;		/* bool: 0 or 1 */
	uint16_t u16 = (uint16_t)number;
	uint32_t u32 = (uint32_t)number;
	uint64_t u64 = (uint64_t)number;

	assert(size == sizeof u8 || size == sizeof u16 || size == sizeof u32 || size == sizeof u64);
	if (size == sizeof u8)
		memcpy(at, &u8, size);
	else if (size == sizeof u16)
		memcpy(at, &u16, size);
	else if (size == sizeof u32)
		memcpy(at, &u32, size);
	else
		memcpy(at, &u64, size);
}

static void build_single(struct build *b, const struct conf_option *o, const struct conf_setting *s)
{
	char            *at = (char *)b->c + o->offset;
	union conf_value v;

	if (!o->size || s->bad || !s->count)
		return;
	if (o->type == CONF_TEXT || o->type == CONF_PATH) {
		if (s->texts[0].len)	/* an empty path is none */
			*(char **)(void *)at = build_copy(b, s->texts[0].text);
		return;
	}
	build_value(o, &s->texts[0], &v);
	build_store(at, o->size, v.number);
}

static void build_singles(struct build *b)
{
	for (size_t i = 0; i < conf_option_count; i++) {
		const struct conf_option *o = &conf_options[i];

		if (!conf_type_is_list(o->type) && !conf_type_is_mapping(o->type) &&
		    o->type != CONF_URL)
			build_single(b, o, &b->settings->groups[i].own);
	}
}

/* `low` must not be above `high`.  The complaint stands at the value the user wrote. */
static void build_check_order(struct build *b, const char *low, const char *high,
			      uint32_t low_value, uint32_t high_value)
{
	const struct conf_setting *l = &build_group(b, low)->own, *h = &build_group(b, high)->own;
	const struct conf_text    *t;

	if (l->bad || h->bad || !l->count || !h->count || low_value <= high_value)
		return;
	t = h->texts[0].at.source ? &h->texts[0] : &l->texts[0];
	BUILD_MISTAKE(b, &t->at, "\"%s\" (%s%s) must not be below \"%s\" (%s%s)", high,
		      h->texts[0].text, h->texts[0].at.source ? "" : ", the default", low,
		      l->texts[0].text, l->texts[0].at.source ? "" : ", the default");
}

/* ---- listeners and clients ---- */

static void build_listen(struct build *b)
{
	size_t                     index = conf_option_index("listen");
	const struct conf_setting *s = &b->settings->groups[index].own;
	struct conf               *c = b->c;

	c->listen = build_alloc(b, s->count, sizeof *c->listen);
	for (size_t i = 0; i < s->count && c->listen; i++) {
		union conf_value v;

		build_value(&conf_options[index], &s->texts[i], &v);
		if (!v.addr.sa.sa_family)
			continue;
		for (size_t j = 0; j < c->listen_count; j++)
			if (addr_equal(&c->listen[j], &v.addr))
				BUILD_MISTAKE(b, &s->texts[i].at, "\"%s\" is listed twice",
					      s->texts[i].text);
		c->listen[c->listen_count++] = v.addr;
	}
	b->own = (struct conf_own){ c->listen, c->listen_count };
}

static void build_allow(struct build *b)
{
	size_t                     index = conf_option_index("allow");
	const struct conf_setting *s = &b->settings->groups[index].own;
	const struct conf_setting *listen = &build_group(b, "listen")->own;
	struct policy_conf        *policy = &b->c->policy;

	policy->allow = build_alloc(b, s->count, sizeof *policy->allow);
	for (size_t i = 0; i < s->count && policy->allow; i++) {
		union conf_value v;

		build_value(&conf_options[index], &s->texts[i], &v);
		for (size_t j = 0; j < policy->allow_count; j++)
			if (!memcmp(&policy->allow[j], &v.prefix, sizeof v.prefix))
				BUILD_MISTAKE(b, &s->texts[i].at, "\"%s\" is listed twice",
					      s->texts[i].text);
		policy->allow[policy->allow_count++] = v.prefix;
	}
	if (s->bad || s->key.text)
		return;
	for (size_t i = 0; i < b->c->listen_count && !listen->bad; i++)
		if (!addr_is_loopback(&b->c->listen[i])) {
			conf_report_add(b->report, CONF_WARNING, &listen->texts[i].at,
					"without \"allow\" only this host's loopback addresses may "
					"ask here");
			return;
		}
}

/* ---- upstreams ---- */

/* Index of the upstream with this URL, which is added when it is new; -1 after a mistake. */
static ssize_t build_upstream(struct build *b, const struct conf_url *url,
			      const struct conf_text *t)
{
	struct conf          *c = b->c;
	char                  text[CONF_URL_MAX];
	struct upstream_conf *u;

	if (!url->addr.sa.sa_family || !c->upstreams)
		return -1;
	for (size_t i = 0; i < c->upstream_count; i++)
		if (c->upstreams[i].proto == url->proto &&
		    addr_equal(&c->upstreams[i].addr, &url->addr))
			return (ssize_t)i;
	if (conf_own_has(&b->own, &url->addr)) {
		BUILD_MISTAKE(
			b, &t->at,
			"%s is where larder itself listens: questions would go round in circles",
			t->text);
		return -1;
	}
	if (c->upstream_count == BUILD_UPSTREAMS_MAX) {
		BUILD_MISTAKE(b, &t->at, "more than %d upstreams", BUILD_UPSTREAMS_MAX);
		return -1;
	}
	conf_url_format(url, text);
	u = &c->upstreams[c->upstream_count];
	u->name = build_copy(b, text);	/* until build_names() */
	u->url = build_copy(b, text);
	u->proto = url->proto;
	u->addr = url->addr;
	if (!u->name || !u->url) {
		free(u->name);
		free(u->url);
		return -1;
	}
	return (ssize_t)c->upstream_count++;
}

static ssize_t build_named(struct build *b, size_t i)
{
	const struct conf_setting *entry = &build_group(b, "upstreams")->entries[i];
	union conf_value           v;

	if (b->named[i] != BUILD_UNSEEN)
		return b->named[i];
	b->named[i] = -1;
	if (!entry->bad && entry->count) {
		build_value(&conf_options[conf_option_index("upstreams.*.url")], &entry->texts[0],
			    &v);
		b->named[i] = build_upstream(b, &v.url, &entry->texts[0]);
	}
	return b->named[i];
}

static ssize_t build_by_name(struct build *b, const struct conf_text *t)
{
	const struct conf_group *g = build_group(b, "upstreams");
	char                     hint[SUGGEST_TEXT_MAX];
	struct suggest           s;

	for (size_t i = 0; i < g->entry_count; i++)
		if (!strcmp(g->entries[i].key.text, t->text))
			return build_named(b, i);
	suggest_init(&s, t->text);
	for (size_t i = 0; i < g->entry_count && !b->report->dropped; i++)
		suggest_offer(&s, g->entries[i].key.text);
	BUILD_MISTAKE(b, &t->at, "\"upstreams\" has no \"%s\"%s", t->text, suggest_text(&s, hint));
	return -1;
}

/* One element of forward or of a route. */
static ssize_t build_reference(struct build *b, const struct conf_option *o,
			       const struct conf_text *t)
{
	union conf_value v;

	if (conf_url_is_name(t->text))
		return build_by_name(b, t);
	build_value(o, t, &v);
	return build_upstream(b, &v.url, t);
}

/* An upstream is called by its name even where it is referred to by its URL. */
static void build_names(struct build *b)
{
	const struct conf_group *g = build_group(b, "upstreams");

	for (size_t i = 0; i < g->entry_count; i++) {
		ssize_t               index = build_named(b, i);
		struct upstream_conf *u = index < 0 ? NULL : &b->c->upstreams[index];
		char                 *name;

		if (!u)
			continue;
		if (strcmp(u->name, u->url)) {
			BUILD_MISTAKE(b, &g->entries[i].texts[0].at,
				      "upstream \"%s\" has this URL already", u->name);
			continue;
		}
		name = build_copy(b, g->entries[i].key.text);
		if (!name)
			return;
		free(u->name);
		u->name = name;
	}
}

/* ---- routes ---- */

/* FNV-1a over suffix and URLs: the same in each process and after each reload, because cache
 * entries carry it.  Two routes with the same number would share what must stay apart, so a second
 * one takes the next that is free. */
static uint32_t build_route_id(const struct conf *c, const struct route_conf *r)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < r->suffix_len; i++)
		h = (h ^ r->suffix[i]) * 16777619u;
	for (size_t i = 0; i < r->upstream_count; i++) {
		const char *p = c->upstreams[r->upstreams[i]].url;

		do
			h = (h ^ (uint8_t)*p) * 16777619u;
		while (*p++);
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
		const struct conf_url url = { UPSTREAM_UDP, servers[i] };
		struct conf_text      t = { .at = marks[i] };
		ssize_t               index = build_upstream(b, &url, &t);

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

static void build_routes(struct build *b, enum conf_resolv_use resolv)
{
	size_t                   index = conf_option_index("routes");
	const struct conf_group *g = &b->settings->groups[index];
	struct policy_conf      *policy = &b->c->policy;

	policy->routes = build_alloc(b, g->entry_count + 1, sizeof *policy->routes);
	b->c->upstreams = build_alloc(b, BUILD_UPSTREAMS_MAX, sizeof *b->c->upstreams);
	if (!policy->routes || !b->c->upstreams || !b->named)
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

static void build_route_policies(struct build *b)
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

struct conf *conf_build(const struct conf_settings *settings, struct conf_report *report,
                        enum conf_resolv_use resolv)
{
	struct build b = { .settings = settings, .report = report };
	struct conf *c = calloc(1, sizeof *c);
	size_t       named_count;

	if (!c) {
		report->no_memory = true;
		return NULL;
	}
	b.c = c;
	atomic_init(&c->refs, 1);
	build_singles(&b);
	build_check_order(&b, "query-timeout", "resolve-timeout", c->times.query_timeout_ms,
	                  c->times.resolve_timeout_ms);
	build_check_order(&b, "cache.min-ttl", "cache.max-ttl", c->cache_times.ttl_min_s,
	                  c->cache_times.ttl_max_s);
	build_check_order(&b, "cache.failure-ttl", "cache.failure-ttl-max",
	                  c->cache_times.failure_first_s, c->cache_times.failure_max_s);
	build_check_order(&b, "cache.stale-wait", "query-timeout", c->cache_times.stale_wait_ms,
	                  c->times.query_timeout_ms);
	build_listen(&b);
	build_allow(&b);
	named_count = build_group(&b, "upstreams")->entry_count;
	b.named = build_alloc(&b, named_count, sizeof *b.named);
	for (size_t i = 0; i < named_count && b.named; i++)
		b.named[i] = BUILD_UNSEEN;
	build_routes(&b, resolv);
	build_route_policies(&b);
	free(b.named);
	if (!report->failed && !report->no_memory)
		return c;
	conf_destroy(c);
	return NULL;
}

void conf_destroy(struct conf *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->upstream_count; i++) {
		free(c->upstreams[i].name);
		free(c->upstreams[i].url);
	}
	for (size_t i = 0; c->policy.routes && i < c->policy.route_count; i++)
		free(c->policy.routes[i].upstreams);
	free(c->upstreams);
	free(c->policy.routes);
	free(c->policy.allow);
	free(c->policy.identity_version);
	free(c->policy.identity_hostname);
	free(c->listen);
	free(c->user);
	free(c->control_socket);
	free(c->resolv_file);
	conf_settings_free(c->origins);
	free(c);
}
