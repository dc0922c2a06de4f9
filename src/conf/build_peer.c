/* build_peer.c - who an encrypted upstream has to be.
 *
 * What an upstream's section says is gathered in a build_source first; whether its parts go together is
 * decided here, once, for upstreams and for bootstrap servers alike.
 *
 * The system's trust store is large, so it is read when the first upstream needs it, and taken from the
 * configuration in force where that has it.  Peers are shared with it as well: a reload that does not change
 * an upstream keeps its TLS sessions.
 */
#include "conf/build_state.h"

#include <errno.h>
#include <string.h>

void build_source_init(struct build_source *s, const struct conf_setting *entry, const struct conf_text *t)
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

bool build_source_is_trusted(const struct build_source *s)
{
	union conf_value v = { .number = 0 };

	if (s->trusted && s->trusted->count)
		build_value(&conf_options[conf_option_index("upstreams.*.trusted")], &s->trusted->texts[0], &v);
	return v.number;
}

/* Who is asked where it is? */
bool build_host_is_findable(struct build *b, const struct build_source *s)
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

bool build_source_is_opportunistic(const struct build_source *s)
{
	union conf_value v = { .number = 0 };

	if (s->profile && s->profile->count)
		build_value(&conf_options[conf_option_index("upstreams.*.profile")], &s->profile->texts[0], &v);
	return v.number;
}

/* A plain upstream that is to be asked where it offers TLS. */
bool build_source_is_upgraded(const struct build *b, const struct build_source *s)
{
	union conf_value v = { .number = b->c->upgrade };

	if (s->upgrade && s->upgrade->count)
		build_value(&conf_options[conf_option_index("upstreams.*.upgrade")], &s->upgrade->texts[0], &v);
	return v.number && !conf_url_is_encrypted(&s->url) && !*s->url.host;
}

/* What does not go together. */
bool build_source_is_sound(struct build *b, const struct build_source *s)
{
	bool                       encrypted = conf_url_is_encrypted(&s->url), named = *s->url.name;
	bool                       bad_profile = s->profile && !s->profile->count;	/* which has been said */
	const struct conf_setting *misplaced = encrypted ? NULL : s->pins ? s->pins :
						     s->ca && !build_source_is_upgraded(b, s) ? s->ca : s->profile;

	if (misplaced)
		BUILD_MISTAKE(b, &misplaced->key.at, "\"%s\" is for tls:// and https:// upstreams only",
			      misplaced->key.text);
	else if (build_source_is_trusted(s) && !encrypted)
		BUILD_MISTAKE(b, &s->trusted->key.at, "\"trusted\" is for upstreams that show who they are, over "
			      "tls:// or https://");
	else if (build_source_is_trusted(s) && build_source_is_opportunistic(s))
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

struct tls_trust *build_trust(struct build *b, const struct build_source *s)
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
struct tls_peer *build_peer(struct build *b, const struct build_source *s)
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
