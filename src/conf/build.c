/* build.c - settings become the struct that everybody else reads.
 *
 * Each value has been checked alone when it was read; here are the checks that
 * need two of them: names that refer to each other, times in the right order,
 * upstreams that would be larder itself.  Settings that were already found bad
 * are passed over, so one mistake is not reported twice.
 */
#include "conf/build.h"

#include "conf/build_state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const struct conf_group *build_group(const struct build *b, const char *option)
{
	return &b->settings->groups[conf_option_index(option)];
}

void *build_alloc(struct build *b, size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size);

	if (!p)
		b->report->no_memory = true;
	return p;
}

char *build_copy(struct build *b, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		b->report->no_memory = true;
	return copy;
}

/* A text that conf_parse() let through. */
void build_value(const struct conf_option *o, const struct conf_text *t,
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

		if (!conf_type_is_list(o->type) && !conf_type_is_mapping(o->type) && !strchr(o->name, '*'))
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

/* ---- metrics ---- */

static bool build_same_endpoint(const struct conf_endpoint *a, const struct conf_endpoint *b)
{
	if (a->path || b->path)
		return a->path && b->path && !strcmp(a->path, b->path);
	return addr_equal(&a->addr, &b->addr);
}

/* Checks what the last endpoint has in common with others. */
static void build_check_endpoint(struct build *b, const struct conf_text *t)
{
	const struct conf_http     *http = &b->c->http;
	const struct conf_endpoint *last = &http->listen[http->listen_count - 1];

	for (const struct conf_endpoint *e = http->listen; e < last; e++)
		if (build_same_endpoint(e, last))
			BUILD_MISTAKE(b, &t->at, "\"%s\" is listed twice", t->text);
	if (last->path)
		return;
	if (conf_own_has(&b->own, &last->addr))
		BUILD_MISTAKE(b, &t->at, "%s is listened on for DNS already", t->text);
	else if (!addr_is_loopback(&last->addr))
		conf_report_add(b->report, CONF_WARNING, &t->at,
				"whoever can reach %s may read the metrics%s", t->text,
				http->names ? ", and which names were slow" : "");
}

static void build_metrics_listen(struct build *b)
{
	size_t                     index = conf_option_index("metrics-listen");
	const struct conf_setting *s = &b->settings->groups[index].own;
	struct conf_http          *http = &b->c->http;

	http->listen = build_alloc(b, s->count, sizeof *http->listen);
	for (size_t i = 0; i < s->count && http->listen; i++) {
		struct conf_endpoint *e = &http->listen[http->listen_count];
		union conf_value      v;

		build_value(&conf_options[index], &s->texts[i], &v);
		e->addr = v.addr;
		if (*s->texts[i].text == '/')
			e->path = build_copy(b, s->texts[i].text);
		if (!e->path && !e->addr.sa.sa_family)
			continue;
		http->listen_count++;
		build_check_endpoint(b, &s->texts[i]);
	}
}

static void build_metrics_hosts(struct build *b)
{
	const struct conf_setting *s = &build_group(b, "metrics-hosts")->own;
	struct conf_http          *http = &b->c->http;

	http->hosts = build_alloc(b, s->count, sizeof *http->hosts);
	for (size_t i = 0; i < s->count && http->hosts; i++) {
		http->hosts[http->host_count] = build_copy(b, s->texts[i].text);
		http->host_count += http->hosts[http->host_count] != NULL;
	}
}

struct conf *conf_build(const struct conf_settings *settings, struct conf_report *report,
                        enum conf_resolv_use resolv, const struct conf *running)
{
	struct build b = { .settings = settings, .report = report, .running = running };
	struct conf *c = calloc(1, sizeof *c);

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
	build_metrics_listen(&b);
	build_metrics_hosts(&b);
	build_bootstrap(&b);
	build_urls(&b);
	build_routes(&b, resolv);
	build_route_policies(&b);
	build_done(&b);
	if (!report->failed && !report->no_memory)
		return c;
	conf_destroy(c);
	return NULL;
}

void conf_destroy(struct conf *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->upstream_count; i++)
		build_empty(&c->upstreams[i]);
	for (size_t i = 0; i < c->bootstrap_count; i++)
		build_empty(&c->bootstrap[i]);
	for (size_t i = 0; c->policy.routes && i < c->policy.route_count; i++)
		free(c->policy.routes[i].upstreams);
	for (size_t i = 0; i < c->http.listen_count; i++)
		free(c->http.listen[i].path);
	for (size_t i = 0; i < c->http.host_count; i++)
		free(c->http.hosts[i]);
	free(c->http.listen);
	free(c->http.hosts);
	free(c->upstreams);
	free(c->bootstrap);
	free(c->policy.routes);
	free(c->policy.allow);
	free(c->policy.identity_version);
	free(c->policy.identity_hostname);
	free(c->listen);
	free(c->user);
	free(c->control_socket);
	free(c->state_directory);
	free(c->resolv_file);
	conf_settings_free(c->origins);
	free(c);
}
