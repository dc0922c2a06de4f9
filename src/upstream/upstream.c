/* upstream.c - upstreams and channels: who holds what for how long. */
#include "upstream/upstream.h"

#include "base/clock.h"
#include "net/tls_peer.h"
#include "upstream/prober.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_SILENCE_MS 1000		/* TCP-23: one try time-out */
#define STREAM_IDLE_MS    10000
#define SECURE_IDLE_MS    60000		/* opening anew costs two round trips more */
#define STREAM_CONNECT_MS 2000		/* with STREAMS_MAX: a probe always finds room for a new attempt */
#define CLEAR_PORT        53
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
	u->conf.host = conf->host ? strdup(conf->host) : NULL;
	health_init(&u->health, u->conf.name);
	pthread_mutex_init(&u->places_lock, NULL);
	secure_init(&u->secure, u->conf.name, conf->opportunistic || conf->upgrade,
	            conf->proto == UPSTREAM_UDP || conf->proto == UPSTREAM_TCP,
	            conf->proto == UPSTREAM_HTTPS ? TRANSPORT_HTTPS : TRANSPORT_TLS);
	designation_init(&u->designation);
	u->conf.trust = conf->trust ? tls_trust_ref(conf->trust) : NULL;
	u->conf.tls = conf->tls ? tls_peer_ref(conf->tls) : NULL;
	if (!u->conf.name || !u->conf.url || (conf->host && !u->conf.host)) {
		upstream_unref(u);
		return NULL;
	}
	if (conf->host)
		upstream_lack_place(u, 0);
	else
		addr_list_add(&u->places, &conf->addr);
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
	free(u->conf.host);
	tls_peer_unref(u->conf.tls);
	pthread_mutex_destroy(&u->places_lock);
	tls_trust_unref(u->conf.trust);
	designation_done(&u->designation);
	free(u);
}

/* ---- where it is ---- */

void upstream_places(struct upstream *u, struct addr_list *out)
{
	pthread_mutex_lock(&u->places_lock);
	*out = u->places;
	pthread_mutex_unlock(&u->places_lock);
}

bool upstream_place(struct upstream *u, const struct addr_list *to, uint64_t now_us)
{
	struct addr_list places = *to;
	int              first;
	bool             same;

	pthread_mutex_lock(&u->places_lock);
	same = addr_list_same(&u->places, &places);
	if (!same) {
		first = u->places.count ? addr_list_find(&places, &u->places.at[0]) : -1;
		if (first > 0)
			addr_list_lead(&places, (unsigned)first);
		u->places = places;
		atomic_fetch_add(&u->moves, 1);
	}
	pthread_mutex_unlock(&u->places_lock);
	if (!same)
		health_has_place(&u->health, now_us);
	return !same;
}

void upstream_lack_place(struct upstream *u, uint64_t now_us)
{
	health_lacks_place(&u->health, now_us);
}

/* It has answered there first. */
static void upstream_lead(struct upstream *u, const struct addr *to)
{
	int at;

	pthread_mutex_lock(&u->places_lock);
	at = addr_list_find(&u->places, to);
	if (at > 0) {
		addr_list_lead(&u->places, (unsigned)at);
		atomic_fetch_add(&u->moves, 1);
	}
	pthread_mutex_unlock(&u->places_lock);
}

bool channel_move_on(struct channel *c)
{
	struct upstream *u = c->upstream;
	bool             any;

	if (!u->conf.host)
		return false;
	pthread_mutex_lock(&u->places_lock);
	any = u->places.count > 1;
	if (any && atomic_load(&u->moves) == c->moves) {	/* else somebody has done so */
		addr_list_turn(&u->places);
		atomic_fetch_add(&u->moves, 1);
	}
	pthread_mutex_unlock(&u->places_lock);
	return any;
}

void upstream_way_changed(struct upstream *u, uint64_t now_us)
{
	atomic_fetch_add(&u->ways, 1);
	health_begin_anew(&u->health, now_us);
	secure_begin_anew(&u->secure);
	designation_begin_anew(&u->designation);
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
	       u->conf.trusted == conf->trusted && u->conf.opportunistic == conf->opportunistic &&
	       u->conf.upgrade == conf->upgrade && tls_trust_equal(u->conf.trust, conf->trust);
}

struct channel *channel_new(struct upstream *u, const struct upstream_env *env)
{
	struct channel *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->refs = 1;
	c->check = UPSTREAM_CERTIFICATE_OTHER;
	c->upstream = upstream_ref(u);
	c->env = env;
	c->stats = &u->stats[env->worker];
	c->ways = atomic_load(&u->ways);
	c->prober = prober_new(c);
	c->look = u->secure.may_change ? secure_look_new(c) : NULL;
	c->upgrade = u->conf.upgrade ? upgrade_new(c) : NULL;
	if (!c->prober || (u->secure.may_change && !c->look) || (u->conf.upgrade && !c->upgrade)) {
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
	secure_look_free(c->look);
	upgrade_free(c->upgrade);
	for (unsigned i = 0; i < TRANSPORT_KINDS; i++)
		transport_close(c->transport[i]);
	upstream_unref(c->upstream);
	free(c);
}

/* What was opened before the way to the upstream changed takes no new questions.  A server that another designates
 * is taken to lie where that one does. */
static void channel_look_at_way(struct channel *c)
{
	const struct upstream *u = (c->of ? c->of : c)->upstream;
	uint32_t               ways = atomic_load_explicit(&u->ways, memory_order_relaxed);

	if (ways == c->ways)
		return;
	c->ways = ways;
	for (unsigned i = 0; i < TRANSPORT_KINDS; i++)
		transport_renew(c->transport[i]);
}

/* In clear an opportunistic upstream is asked where DNS is (RFC 8310 s. 5). */
static void channel_places(const struct channel *c, enum transport_kind kind, struct addr_list *out)
{
	upstream_places(c->upstream, out);
	if (!c->upstream->conf.opportunistic || transport_kind_is_encrypted(kind))
		return;
	for (unsigned i = 0; i < out->count; i++)
		addr_set_port(&out->at[i], CLEAR_PORT);
}

/* What goes out from now on goes where the upstream is. */
static void channel_look_at_places(struct channel *c)
{
	uint32_t moves = atomic_load_explicit(&c->upstream->moves, memory_order_acquire);

	if (moves == c->moves)
		return;
	c->moves = moves;
	for (unsigned i = 0; i < TRANSPORT_KINDS; i++) {
		struct addr_list places;

		channel_places(c, (enum transport_kind)i, &places);
		if (places.count)
			transport_aim(c->transport[i], &places);
	}
}

static void channel_on_opened(void *arg, const struct transport_opening *how)
{
	struct channel        *c = arg;
	struct stats_upstream *stats = c->stats;

	upstream_lead(c->upstream, how->to);
	health_note_fault(&c->upstream->health, NULL);
	if (how->handshake_us)
		secure_on_opened(&(c->of ? c->of : c)->upstream->secure, how->doubt);
	histogram_add(&stats->connect, how->connect_us, 1);
	if (how->handshake_us)
		histogram_add(how->resumed ? &stats->resumption : &stats->handshake, how->handshake_us, 1);
}

/* The check that a certificate has failed. */
static enum upstream_counter channel_check_of(enum tls_reason reason)
{
	switch (reason) {
	case TLS_UNKNOWN_ISSUER:
		return UPSTREAM_CERTIFICATE_UNTRUSTED;
	case TLS_WRONG_NAME:
		return UPSTREAM_CERTIFICATE_NAME;
	case TLS_EXPIRED:
		return UPSTREAM_CERTIFICATE_EXPIRED;
	case TLS_NOT_YET_VALID:
		return UPSTREAM_CERTIFICATE_NOT_YET_VALID;
	case TLS_WRONG_PIN:
		return UPSTREAM_CERTIFICATE_PIN;
	case TLS_FINE:
	case TLS_NOBODY_EXPECTED:
	case TLS_BAD_CERTIFICATE:
	case TLS_PROTOCOL:
	case TLS_CLOSED:
		break;
	}
	return UPSTREAM_CERTIFICATE_OTHER;
}

static void channel_on_failed(void *arg, int error, unsigned reason)
{
	struct channel  *c = arg;
	struct upstream *u = c->upstream;
	const char      *why = reason == TLS_FINE ? NULL : tls_reason_text((enum tls_reason)reason);

	if (error == -EKEYREJECTED) {	/* for those who hear it next, and while it is remembered */
		c->check = channel_check_of((enum tls_reason)reason);
		if (c->of)
			c->of->check = c->check;
	}
	if (why && !u->secure.may_change)
		health_note_fault(&u->health, why);
	if (c->of)
		upgrade_on_failed(c->of->upgrade, c, error, why);
	else
		secure_on_failed(&u->secure, error, why, clock_mono_us(c->env->clock));
}

struct channel *channel_carrier(struct channel *c, enum transport_kind *kind)
{
	struct channel *designated;

	if (!c->upgrade || !transport_kind_is_encrypted(*kind))
		return c;
	designated = upgrade_channel(c->upgrade);
	if (designated)
		*kind = upstream_stream(designated->upstream);
	return designated;
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
		.failed = transport_kind_is_encrypted(kind) ? channel_on_failed : NULL,
		.arg = c,
	};

	struct addr_list places;

	channel_look_at_way(c);
	channel_look_at_places(c);
	if (c->transport[kind])
		return c->transport[kind];
	channel_places(c, kind, &places);
	if (!places.count)
		return NULL;
	c->transport[kind] = c->env->maker->make(c->env->maker, kind, &places.at[0], &conf);
	if (places.count > 1)
		transport_aim(c->transport[kind], &places);
	return c->transport[kind];
}
