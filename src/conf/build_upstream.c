/* build_upstream.c - the upstreams, each once however often it is named.
 *
 * An upstream may be called by the name of its section, by its URL, or both; the URL in normal form decides
 * whether two are the same.  What its section says then holds wherever it is used, and it is shown by its name.
 * Bootstrap servers are a list of their own, since clients' questions never go there.
 */
#include "conf/build_state.h"

#include "conf/suggest.h"

#include <stdlib.h>
#include <string.h>

#define BUILD_UNSEEN (-2)

/* Fills what upstream_conf needs to hold; false: nothing of it is to be used. */
static bool build_fill(struct build *b, const struct build_source *s, const char *text, struct upstream_conf *u)
{
	u->proto = s->url.proto;
	u->addr = s->url.addr;
	u->host = *s->url.host ? build_copy(b, s->url.host) : NULL;
	u->port = s->url.port;
	u->http = s->url.http;
	u->opportunistic = build_source_is_opportunistic(s);
	if (s->method && s->method->count) {
		union conf_value v;

		build_value(&conf_options[conf_option_index("upstreams.*.method")], &s->method->texts[0], &v);
		u->http.method = (enum h2_method)v.number;
	}
	u->trusted = build_source_is_trusted(s);
	u->upgrade = build_source_is_upgraded(b, s);
	u->trust = u->upgrade ? build_trust(b, s) : NULL;
	u->name = build_copy(b, text);	/* until build_names() */
	u->url = build_copy(b, text);
	u->tls = conf_url_is_encrypted(&s->url) ? build_peer(b, s) : NULL;
	return u->name && u->url && (u->host || !*s->url.host) && (u->tls || !conf_url_is_encrypted(&s->url)) &&
	       (u->trust || !u->upgrade);
}

void build_empty(struct upstream_conf *u)
{
	free(u->name);
	free(u->url);
	free(u->host);
	tls_peer_unref(u->tls);
	tls_trust_unref(u->trust);
	memset(u, 0, sizeof *u);
}

/* Would larder ask itself?  An opportunistic upstream may be asked at port 53, too. */
static bool build_is_own(struct build *b, const struct build_source *s)
{
	struct addr clear = s->url.addr;

	if (*s->url.host)
		return false;
	addr_set_port(&clear, 53);
	if (!conf_own_has(&b->own, &s->url.addr) &&
	    (!build_source_is_opportunistic(s) || !conf_own_has(&b->own, &clear)))
		return false;
	BUILD_MISTAKE(b, &s->t->at, "%s is where larder itself listens: questions would go round in circles",
		      s->t->text);
	return true;
}

ssize_t build_upstream(struct build *b, const struct build_source *s)
{
	struct conf            *c = b->c;
	const struct conf_url  *url = &s->url;
	const struct conf_text *t = s->t;
	char                    text[CONF_URL_MAX];

	if (!conf_url_is_set(url) || !c->upstreams)
		return -1;
	conf_url_format(url, text);
	for (size_t i = 0; i < c->upstream_count; i++)
		if (!strcmp(c->upstreams[i].url, text))
			return (ssize_t)i;
	if (!build_source_is_sound(b, s) || !build_host_is_findable(b, s) || build_is_own(b, s))
		return -1;
	if (c->upstream_count == BUILD_UPSTREAMS_MAX) {
		BUILD_MISTAKE(b, &t->at, "more than %d upstreams", BUILD_UPSTREAMS_MAX);
		return -1;
	}
	if (!build_fill(b, s, text, &c->upstreams[c->upstream_count])) {
		build_empty(&c->upstreams[c->upstream_count]);
		return -1;
	}
	return (ssize_t)c->upstream_count++;
}

static void build_read_url(const struct conf_setting *entry, struct conf_url *url)
{
	union conf_value v;

	build_value(&conf_options[conf_option_index("upstreams.*.url")], &entry->texts[0], &v);
	*url = v.url;
}

static ssize_t build_named(struct build *b, size_t i)
{
	const struct conf_setting *entry = &build_group(b, "upstreams")->entries[i];
	struct build_source        s;

	if (b->named[i] != BUILD_UNSEEN)
		return b->named[i];
	b->named[i] = -1;
	if (b->urls[i]) {
		build_source_init(&s, entry, &entry->texts[0]);
		build_read_url(entry, &s.url);
		b->named[i] = build_upstream(b, &s);
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

ssize_t build_reference(struct build *b, const struct conf_option *o,
			       const struct conf_text *t)
{
	const struct conf_group *g = build_group(b, "upstreams");
	char                     url[CONF_URL_MAX];
	struct build_source      s;
	union conf_value         v;

	if (conf_url_is_name(t->text))
		return build_by_name(b, t);
	build_value(o, t, &v);
	conf_url_format(&v.url, url);
	for (size_t i = 0; i < g->entry_count; i++)	/* what its section says holds here, too */
		if (b->urls[i] && !strcmp(b->urls[i], url))
			return build_named(b, i);
	build_source_init(&s, NULL, t);
	s.url = v.url;
	return build_upstream(b, &s);
}

/* How the named upstreams are recognised when they are called by their URLs. */
void build_urls(struct build *b)
{
	const struct conf_group *g = build_group(b, "upstreams");

	b->named = build_alloc(b, g->entry_count, sizeof *b->named);
	b->urls = build_alloc(b, g->entry_count, sizeof *b->urls);
	for (size_t i = 0; i < g->entry_count && b->named && b->urls; i++) {
		char            text[CONF_URL_MAX];
		struct conf_url url;

		b->named[i] = BUILD_UNSEEN;
		if (g->entries[i].bad || !g->entries[i].count)
			continue;
		build_read_url(&g->entries[i], &url);
		b->urls[i] = build_copy(b, conf_url_format(&url, text));
	}
}

void build_done(struct build *b)
{
	size_t n = build_group(b, "upstreams")->entry_count;

	for (size_t i = 0; b->urls && i < n; i++)
		free(b->urls[i]);
	free(b->urls);
	free(b->named);
	tls_trust_unref(b->system);
}

/* An upstream is called by its name even where it is referred to by its URL. */
void build_names(struct build *b)
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

/* ---- who knows where upstreams are ---- */

static void build_bootstrap_server(struct build *b, const struct build_source *s)
{
	struct conf          *c = b->c;
	struct upstream_conf *u = &c->bootstrap[c->bootstrap_count];
	char                  text[CONF_URL_MAX];

	if (!conf_url_is_set(&s->url) || !build_source_is_sound(b, s) || build_is_own(b, s))
		return;
	conf_url_format(&s->url, text);
	for (size_t i = 0; i < c->bootstrap_count; i++)
		if (!strcmp(c->bootstrap[i].url, text)) {
			BUILD_MISTAKE(b, &s->t->at, "\"%s\" is listed twice", s->t->text);
			return;
		}
	if (conf_is_stub(&s->url.addr))
		conf_report_add(b->report, CONF_WARNING, &s->t->at, "%s is systemd-resolved, which may ask larder in "
				"turn; list the servers that it asks", s->t->text);
	if (build_fill(b, s, text, u)) {
		free(u->name);
		u->name = build_copy(b, s->t->text);
		u->upgrade = false;	/* `upgrade` speaks of those whom clients' questions go to */
	}
	if (u->name && u->url)
		c->bootstrap_count++;
	else
		build_empty(u);
}

void build_bootstrap(struct build *b)
{
	size_t                     index = conf_option_index("bootstrap");
	const struct conf_setting *s = &b->settings->groups[index].own;

	b->c->bootstrap = build_alloc(b, s->count, sizeof *b->c->bootstrap);
	for (size_t i = 0; i < s->count && b->c->bootstrap; i++) {
		struct build_source source;
		union conf_value    v;

		build_source_init(&source, NULL, &s->texts[i]);
		build_value(&conf_options[index], &s->texts[i], &v);
		source.url = v.url;
		build_bootstrap_server(b, &source);
	}
}
