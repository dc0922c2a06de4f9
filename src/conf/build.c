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
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUILD_UPSTREAMS_MAX 1024

struct build {
	struct conf                *c;
	const struct conf_settings *settings;
	struct conf_report         *report;
	struct conf_own             own;
	const struct conf          *running;	/* or NULL */
	struct tls_trust           *system;	/* the system's authorities, once somebody needs them */
	ssize_t                    *named;	/* for each named upstream its index, -1 for a bad
						 * one, or BUILD_UNSEEN */
	char                      **urls;	/* for each named upstream its URL in normal form; NULL: bad */
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

/* ---- whom encrypted upstreams have to be ---- */

/* One upstream on its way into the configuration. */
struct build_source {
	struct conf_url            url;
	const struct conf_text    *t;		/* where the URL stands */
	const struct conf_setting *pins, *ca, *method, *trusted, *profile, *upgrade;	/* what its section says; NULL: nothing */
};

static void build_source_init(struct build_source *s, const struct conf_setting *entry, const struct conf_text *t)
{
	memset(s, 0, sizeof *s);
	s->t = t;
	if (!entry)
		return;
	s->pins = conf_setting_find_part(entry, "upstreams.*.pins");
	s->ca = conf_setting_find_part(entry, "upstreams.*.ca");
	s->method = conf_setting_find_part(entry, "upstreams.*.method");
	s->trusted = conf_setting_find_part(entry, "upstreams.*.trusted");
	s->profile = conf_setting_find_part(entry, "upstreams.*.profile");
	s->upgrade = conf_setting_find_part(entry, "upstreams.*.upgrade");
}

static bool build_is_trusted(const struct build_source *s)
{
	union conf_value v = { .number = 0 };

	if (s->trusted && s->trusted->count)
		build_value(&conf_options[conf_option_index("upstreams.*.trusted")], &s->trusted->texts[0], &v);
	return v.number;
}

/* Who is asked where it is? */
static bool build_host_is_findable(struct build *b, const struct build_source *s)
{
	const struct conf_setting *bootstrap = &build_group(b, "bootstrap")->own;
	const struct conf_url     *url = &s->url;
	bool                       encrypted = conf_url_is_encrypted(url);

	if (!*url->host || bootstrap->count || bootstrap->bad)
		return true;
	BUILD_MISTAKE(b, &s->t->at, "\"%s\" is a host name, and nobody is there to be asked for its address: "
		      "list servers that know it, as in bootstrap: [192.0.2.1]%s%s", url->host,
		      encrypted ? "; or give its address, as in tls://192.0.2.1#" : "; or give its address",
		      encrypted ? url->name : "");
	return false;
}

static bool build_source_is_opportunistic(const struct build_source *s)
{
	union conf_value v = { .number = 0 };

	if (s->profile && s->profile->count)
		build_value(&conf_options[conf_option_index("upstreams.*.profile")], &s->profile->texts[0], &v);
	return v.number;
}

/* A plain upstream that is to be asked where it offers TLS. */
static bool build_source_is_upgraded(const struct build *b, const struct build_source *s)
{
	union conf_value v = { .number = b->c->upgrade };

	if (s->upgrade && s->upgrade->count)
		build_value(&conf_options[conf_option_index("upstreams.*.upgrade")], &s->upgrade->texts[0], &v);
	return v.number && !conf_url_is_encrypted(&s->url) && !*s->url.host;
}

/* What does not go together. */
static bool build_source_is_sound(struct build *b, const struct build_source *s)
{
	bool                       encrypted = conf_url_is_encrypted(&s->url), named = *s->url.name;
	bool                       bad_profile = s->profile && !s->profile->count;	/* which has been said */
	const struct conf_setting *misplaced = encrypted ? NULL : s->pins ? s->pins :
						     s->ca && !build_source_is_upgraded(b, s) ? s->ca : s->profile;

	if (misplaced)
		BUILD_MISTAKE(b, &misplaced->key.at, "\"%s\" is for tls:// and https:// upstreams only",
			      misplaced->key.text);
	else if (build_is_trusted(s) && !encrypted)
		BUILD_MISTAKE(b, &s->trusted->key.at, "\"trusted\" is for upstreams that show who they are, over "
			      "tls:// or https://");
	else if (build_is_trusted(s) && build_source_is_opportunistic(s))
		BUILD_MISTAKE(b, &s->trusted->key.at, "\"trusted\" is for upstreams that have to show who they are: "
			      "\"profile\" must be strict");
	else if (s->method && s->url.proto != UPSTREAM_HTTPS)
		BUILD_MISTAKE(b, &s->method->key.at, "\"method\" is for https:// upstreams only");
	else if (s->upgrade && encrypted)
		BUILD_MISTAKE(b, &s->upgrade->key.at, "\"upgrade\" is for plain upstreams; this one is asked over TLS "
			      "anyway");
	else if (s->upgrade && *s->url.host)
		BUILD_MISTAKE(b, &s->upgrade->key.at, "\"upgrade\" needs an address, for which the server it leads to has "
			      "to have a certificate");
	else if (s->ca && encrypted && !named)
		BUILD_MISTAKE(b, &s->ca->key.at, "\"ca\" needs a name to look for in certificates: "
			      "give the URL one, as in tls://192.0.2.1#dns.example");
	else if (encrypted && !named && !s->pins && !build_source_is_opportunistic(s) && !bad_profile)
		BUILD_MISTAKE(b, &s->t->at, "\"%s\" does not say how to know the server: add its name, as in "
			      "tls://192.0.2.1#dns.example, or \"pins\" in \"upstreams\"", s->t->text);
	else
		return true;
	return false;
}

/* Peer i of the configuration that is in force, which may be NULL; false: there is no such. */
static bool build_old_peer(const struct build *b, size_t i, struct tls_peer **out)
{
	const struct conf *old = b->running;

	if (!old || i >= old->upstream_count + old->bootstrap_count)
		return false;
	*out = i < old->upstream_count ? old->upstreams[i].tls : old->bootstrap[i - old->upstream_count].tls;
	return true;
}

static struct tls_trust *build_system_trust(struct build *b, const struct conf_text *t)
{
	struct tls_peer *old;
	int              err = 0;

	for (size_t i = 0; !b->system && build_old_peer(b, i, &old); i++) {
		struct tls_trust *known = old ? tls_peer_trust(old) :
		                          i < b->running->upstream_count ? b->running->upstreams[i].trust : NULL;

		if (known && tls_trust_is_system(known))
			b->system = tls_trust_ref(known);
	}
	if (!b->system)
		err = tls_trust_load(TLS_TRUST_SYSTEM, &b->system);
	if (err == -ENODATA) {
		conf_report_add(b->report, CONF_WARNING, &t->at, "this system has no certificate authorities, so "
				"no certificate will be accepted; install some, or name a file with \"ca\"");
		err = tls_trust_load(TLS_TRUST_NOBODY, &b->system);
	}
	b->report->no_memory |= err < 0;
	return b->system ? tls_trust_ref(b->system) : NULL;
}

static struct tls_trust *build_trust(struct build *b, const struct build_source *s)
{
	struct tls_trust *trust = NULL;
	const char       *file;
	int               err;

	if (s->ca && !s->ca->count)	/* bad, which has been said */
		return NULL;
	file = *s->url.name || !conf_url_is_encrypted(&s->url) ? s->ca ? s->ca->texts[0].text : TLS_TRUST_SYSTEM : TLS_TRUST_NOBODY;
	if (file == TLS_TRUST_SYSTEM)
		return build_system_trust(b, s->t);
	err = tls_trust_load(file, &trust);
	if (err == -ENOMEM)
		b->report->no_memory = true;
	else if (err < 0)
		BUILD_MISTAKE(b, &s->ca->texts[0].at, "\"%s\": %s", file,
			      err == -ENODATA ? "no certificate in it" : strerror(-err));
	return trust;
}

static size_t build_pins(struct build *b, const struct conf_setting *s, uint8_t pins[TLS_PINS_MAX][TLS_PIN_LEN])
{
	const struct conf_option *o = &conf_options[conf_option_index("upstreams.*.pins")];

	for (size_t i = 0; s && i < s->count; i++) {
		union conf_value v;

		build_value(o, &s->texts[i], &v);
		memcpy(pins[i], v.pin, sizeof v.pin);
		for (size_t j = 0; j < i; j++)
			if (!memcmp(pins[i], pins[j], sizeof v.pin))
				BUILD_MISTAKE(b, &s->texts[i].at, "\"%s\" is listed twice", s->texts[i].text);
	}
	return s ? s->count : 0;
}

/* One that is in force already is used again, with the sessions it can resume. */
static struct tls_peer *build_same_peer(struct build *b, struct tls_peer *peer)
{
	struct tls_peer *old;

	for (size_t i = 0; peer && build_old_peer(b, i, &old); i++)
		if (old && tls_peer_equal(old, peer)) {
			tls_peer_unref(peer);
			return tls_peer_ref(old);
		}
	return peer;
}

/* NULL after a mistake, or without memory. */
static struct tls_peer *build_peer(struct build *b, const struct build_source *s)
{
	bool                 https = s->url.proto == UPSTREAM_HTTPS;
	uint8_t              pins[TLS_PINS_MAX][TLS_PIN_LEN];
	char                 address[ADDR_TEXT_MAX];
	struct tls_peer_conf conf = {
		.address = *s->url.host ? s->url.host : addr_format(&s->url.addr, address),
		.name = *s->url.name ? s->url.name : NULL,
		.pins = (const uint8_t (*)[TLS_PIN_LEN])pins,
		.pin_count = build_pins(b, s->pins, pins),
		.opportunistic = build_source_is_opportunistic(s),
		.alpn = https ? "h2" : "dot",
		.alpn_needed = https,
		.trust = build_trust(b, s),
	};
	struct tls_peer     *peer = conf.trust ? tls_peer_new(&conf) : NULL;

	b->report->no_memory |= conf.trust && !peer;
	tls_trust_unref(conf.trust);
	return build_same_peer(b, peer);
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

/* ---- upstreams ---- */

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
	u->trusted = build_is_trusted(s);
	u->upgrade = build_source_is_upgraded(b, s);
	u->trust = u->upgrade ? build_trust(b, s) : NULL;
	u->name = build_copy(b, text);	/* until build_names() */
	u->url = build_copy(b, text);
	u->tls = conf_url_is_encrypted(&s->url) ? build_peer(b, s) : NULL;
	return u->name && u->url && (u->host || !*s->url.host) && (u->tls || !conf_url_is_encrypted(&s->url)) &&
	       (u->trust || !u->upgrade);
}

static void build_empty(struct upstream_conf *u)
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

/* Index of the upstream with this URL, which is added when it is new; -1 after a mistake. */
static ssize_t build_upstream(struct build *b, const struct build_source *s)
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

/* One element of forward or of a route. */
static ssize_t build_reference(struct build *b, const struct conf_option *o,
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
static void build_urls(struct build *b)
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

static void build_done(struct build *b)
{
	size_t n = build_group(b, "upstreams")->entry_count;

	for (size_t i = 0; b->urls && i < n; i++)
		free(b->urls[i]);
	free(b->urls);
	free(b->named);
	tls_trust_unref(b->system);
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

static void build_bootstrap(struct build *b)
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

/* ---- routes ---- */

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

static void build_routes(struct build *b, enum conf_resolv_use resolv)
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
