/* upgrade.c - asking for designations, trying them, and using one.
 *
 *        ┌──────── none, or all tried in vain ────────┐
 *        v                                            │
 *      RESTING ── due ──> ASKING ── records ──> TRYING one after the other
 *        ^                   └─ the one in use is ─┐    │
 *        └─────────── among them ──────────────────┴────┴── answered: in use
 *
 * A channel that is in use no more may still carry questions: each of them holds
 * a reference to it, so that it goes with the last, however often the server
 * changes its mind.
 */
#include "upstream/upgrade.h"

#include "base/clock.h"
#include "base/log.h"
#include "dns/record.h"
#include "dns/svcb.h"
#include "net/tls_peer.h"
#include "upstream/exchange.h"
#include "upstream/upstream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CANDIDATES_MAX 8
#define MESSAGE_MAX    4096		/* no list of servers is longer */
#define WAIT_MIN_S     60u
#define WAIT_MAX_S     86400u
#define WAIT_NONE_S    3600u		/* it names none */
#define WAIT_TRIED_S   3600u		/* at most, when those that it names could not be used */
#define TEMPLATE_END   "{?dns}"

struct candidate_server {
	uint16_t            priority;
	enum upstream_proto proto;
	struct addr         addr;
	char                name[DNS_NAME_TEXT_MAX];	/* "": the record names none */
	char                path[H2_PATH_MAX + 1];
};

enum upgrade_state { UPGRADE_RESTING, UPGRADE_ASKING, UPGRADE_TRYING };

struct upgrade {
	struct channel          *channel;	/* borrowed: it owns us */
	enum upgrade_state       state;
	struct exchange          exchange;
	struct exchange_question question;
	struct dns_name          name;		/* asked for: the records, or the root */
	struct candidate_server  candidates[CANDIDATES_MAX];
	size_t                   count, at;
	uint32_t                 wait_s;	/* for so long the records hold */
	const char              *why;		/* the last candidate failed */
	struct channel          *trial;		/* to the one that is being tried */
	struct channel          *used;		/* to the one in use */
	uint32_t                 changes;	/* of the designation, as seen last */
};

/* ---- what all workers share ---- */

void designation_init(struct designation *d)
{
	memset(d, 0, sizeof *d);
	pthread_mutex_init(&d->lock, NULL);
}

void designation_done(struct designation *d)
{
	upstream_unref(d->to);
	pthread_mutex_destroy(&d->lock);
}

void designation_begin_anew(struct designation *d)
{
	atomic_store(&d->in_vain, 0);
}

/* Gives the number of the change. */
static uint32_t designation_set(struct designation *d, struct upstream *to)
{
	struct upstream *old;
	uint32_t         change;

	pthread_mutex_lock(&d->lock);
	old = d->to;
	d->to = upstream_ref(to);
	change = atomic_fetch_add(&d->changes, 1) + 1;
	pthread_mutex_unlock(&d->lock);
	upstream_unref(old);
	return change;
}

static struct upstream *designation_get(struct designation *d)
{
	struct upstream *to;

	pthread_mutex_lock(&d->lock);
	to = d->to ? upstream_ref(d->to) : NULL;
	pthread_mutex_unlock(&d->lock);
	return to;
}

/* ---- records ---- */

/* Addresses that nobody can have a certificate for (RFC 9462 s. 4.3). */
static bool addr_is_private(const struct addr *a)
{
	static const char *const prefixes[] = { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16",
		                                "fc00::/7", "fe80::/10" };
	struct addr_prefix       p;

	for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
		if (addr_prefix_parse(prefixes[i], &p) == 0 && addr_prefix_match(&p, a))
			return true;
	return false;
}

static bool candidate_read_path(struct candidate_server *c, const struct dns_svcb *r)
{
	size_t end = strlen(TEMPLATE_END), len = r->dohpath_len - end;

	if (!r->dohpath || r->dohpath_len <= end || memcmp(r->dohpath + len, TEMPLATE_END, end) ||
	    len >= sizeof c->path || *r->dohpath != '/')
		return false;
	for (size_t i = 0; i < len; i++)
		if (r->dohpath[i] <= ' ' || r->dohpath[i] >= 0x7f || strchr("?{}", r->dohpath[i]))
			return false;
	memcpy(c->path, r->dohpath, len);
	c->path[len] = '\0';
	return true;
}

/* At the hint of the family that is asked already: that network is there. */
static bool candidate_read_address(struct candidate_server *c, const struct dns_svcb *r, const struct addr *plain)
{
	c->addr = *plain;
	if (plain->sa.sa_family == AF_INET && r->ipv4)
		memcpy(&c->addr.in4.sin_addr, r->ipv4, 4);
	else if (plain->sa.sa_family == AF_INET6 && r->ipv6)
		memcpy(&c->addr.in6.sin6_addr, r->ipv6, 16);
	else
		return false;
	addr_set_port(&c->addr, r->port ? r->port : c->proto == UPSTREAM_HTTPS ? 443 : 853);
	return true;
}

/* A name that may be shown to a server: not the one that was asked for (RFC 9462 s. 6.3). */
static bool candidate_read_name(struct candidate_server *c, const struct dns_name *target)
{
	static const uint8_t ours[] = "\10resolver\4arpa";
	size_t               len;

	if (target->len == 1 || dns_name_below(target->octets, target->len, ours, sizeof ours))
		return true;
	len = dns_name_to_text(target->octets, target->len, c->name);
	c->name[len - 1] = '\0';		/* without its final dot */
	return !strpbrk(c->name, "\\ ") && len <= H2_AUTHORITY_MAX - 6;
}

/* False: it is of no use (RFC 9461 s. 5; RFC 9460 s. 8). */
static bool candidate_read(struct candidate_server *c, const uint8_t *rdata, size_t len, const struct addr *plain)
{
	struct dns_svcb r;

	memset(c, 0, sizeof *c);
	if (dns_svcb_read(rdata, len, &r) < 0 || !r.priority || r.strange)
		return false;
	c->priority = r.priority;
	c->proto = r.dot ? UPSTREAM_TLS : UPSTREAM_HTTPS;
	if (!r.dot && !(r.h2 && candidate_read_path(c, &r)))
		return false;
	return candidate_read_address(c, &r, plain) && candidate_read_name(c, &r.target);
}

static void upgrade_add(struct upgrade *up, const struct candidate_server *c)
{
	size_t i = up->count;

	if (i == CANDIDATES_MAX)
		return;
	for (; i > 0 && up->candidates[i - 1].priority > c->priority; i--)
		up->candidates[i] = up->candidates[i - 1];
	up->candidates[i] = *c;
	up->count++;
}

static void upgrade_read(struct upgrade *up, const struct dns_answer *a)
{
	uint8_t       msg[MESSAGE_MAX] = { 0 };
	size_t        at = DNS_HEADER_LEN + up->name.len + 4u;
	struct cursor c;

	up->count = up->at = 0;
	if (a->kind != DNS_ANSWER_POSITIVE || at + a->required_len > sizeof msg)
		return;
	memcpy(msg + DNS_HEADER_LEN, up->name.octets, up->name.len);	/* as the body's pointers expect */
	memcpy(msg + at, a->body, a->required_len);
	c = cursor_of(msg, at + a->required_len, at);
	for (unsigned i = 0; i < a->ancount; i++) {
		struct candidate_server found;
		struct record           r;

		if (record_read(&r, &c, SECTION_ANSWER) == RECORD_READ && r.type == DNS_SVCB &&
		    candidate_read(&found, msg + r.rdata_at, r.rdata_len, &up->channel->upstream->conf.addr))
			upgrade_add(up, &found);
	}
}

/* ---- trying ---- */

static struct tls_peer *candidate_peer(const struct candidate_server *c, const struct upstream_conf *plain)
{
	char                 plain_text[ADDR_TEXT_MAX], address[ADDR_TEXT_MAX], host[ADDR_TEXT_MAX];
	bool                 https = c->proto == UPSTREAM_HTTPS;
	const struct tls_peer_conf conf = {
		.address = addr_format(&c->addr, address),
		.name = addr_format_host(&plain->addr, plain_text),	/* its certificate holds what was asked */
		.server_name = *c->name ? c->name : NULL,
		.opportunistic = !strcmp(addr_format_host(&c->addr, host), plain_text) && addr_is_private(&c->addr),
		.alpn = https ? "h2" : "dot",
		.alpn_needed = https,
		.trust = plain->trust,
	};

	return tls_peer_new(&conf);
}

static void candidate_set_http(const struct candidate_server *c, struct h2_target *http)
{
	char text[ADDR_TEXT_MAX];
	bool usual = addr_port(&c->addr) == 443;

	if (*c->name)
		snprintf(http->authority, sizeof http->authority, "%.*s%s", H2_AUTHORITY_MAX - 6, c->name,
		         usual ? "" : strrchr(addr_format(&c->addr, text), ':'));
	else if (usual && c->addr.sa.sa_family == AF_INET)
		snprintf(http->authority, sizeof http->authority, "%s", addr_format_host(&c->addr, text));
	else
		snprintf(http->authority, sizeof http->authority, "%s", addr_format(&c->addr, text));
	snprintf(http->path, sizeof http->path, "%s", c->path);
}

/* Gives a reference; NULL: no memory. */
static struct upstream *candidate_upstream(const struct candidate_server *c, const struct upstream *plain)
{
	char                 address[ADDR_TEXT_MAX], url[ADDR_TEXT_MAX + H2_PATH_MAX + 16];
	struct upstream_conf conf = { .name = plain->conf.name, .url = url, .proto = c->proto, .addr = c->addr };
	struct upstream     *u;

	snprintf(url, sizeof url, "%s://%s%s", c->proto == UPSTREAM_HTTPS ? "https" : "tls",
	         addr_format(&c->addr, address), c->path);
	conf.tls = candidate_peer(c, &plain->conf);
	if (!conf.tls)
		return NULL;
	if (c->proto == UPSTREAM_HTTPS)
		candidate_set_http(c, &conf.http);
	u = upstream_new(&conf, plain->worker_count);
	tls_peer_unref(conf.tls);
	return u;
}

/* One that carries questions of ours, and is counted with us. */
static struct channel *upgrade_open(struct upgrade *up, struct upstream *to)
{
	struct channel *c = channel_new(to, up->channel->env);

	if (!c)
		return NULL;
	c->of = up->channel;
	c->stats = up->channel->stats;
	return c;
}

static void upgrade_end_trial(struct upgrade *up)
{
	if (up->state != UPGRADE_RESTING)
		exchange_end(&up->exchange);
	channel_unref(up->trial);
	up->trial = NULL;
	up->state = UPGRADE_RESTING;
}

/* Gives a reference to what is in use from now on; NULL: nothing is. */
static void upgrade_take(struct upgrade *up, struct channel *c)
{
	channel_unref(up->used);
	up->used = c;
}

static int upgrade_ask(struct upgrade *up, struct channel *c, enum transport_kind kind, uint16_t type)
{
	up->question = (struct exchange_question){
		.scrub = { .qname = up->name.octets, .qname_len = up->name.len, .qtype = type,
		           .ttl = { .max_s = WAIT_MAX_S, .negative_max_s = WAIT_NONE_S } },
		.edns_size = up->channel->env->edns_size,
	};
	up->exchange.channel = c;
	up->exchange.send.apart = false;
	return exchange_start(&up->exchange, kind);
}

/* What is in use stays so while nobody says otherwise. */
static void upgrade_hear_nothing(struct upgrade *up)
{
	struct secure *s = &up->channel->upstream->secure;
	uint64_t       now_us = clock_mono_us(up->channel->env->clock), wait_us = WAIT_MIN_S * UINT64_C(1000000);

	up->state = UPGRADE_RESTING;
	if (secure_is_off(s))
		secure_on_unseen(s, "it does not say whether it offers TLS", now_us, wait_us);
	else
		secure_look_again(s, now_us + wait_us);
}

/* Servers that are named, but could not be used, may be put right soon: tried again after a minute, then two, up to an
 * hour, and in any case when the records end.  Whether there are any is not asked before that. */
static void upgrade_give_up(struct upgrade *up)
{
	struct upstream *u = up->channel->upstream;
	uint32_t         tries = up->count ? atomic_fetch_add(&u->designation.in_vain, 1) : 0;
	uint32_t         wait_s = tries < 6 ? WAIT_MIN_S << tries : WAIT_TRIED_S;

	if (!up->count || wait_s > up->wait_s)
		wait_s = up->wait_s;
	up->state = UPGRADE_RESTING;
	secure_on_unseen(&u->secure, up->why, clock_mono_us(up->channel->env->clock), wait_s * UINT64_C(1000000));
}

/* A channel to this candidate: the one that there is, if it was in use before. */
static struct channel *upgrade_try_one(struct upgrade *up, const struct candidate_server *c)
{
	struct upstream *to = candidate_upstream(c, up->channel->upstream);
	struct channel  *used = upgrade_channel(up), *trial = NULL;

	if (to && used && upstream_is(used->upstream, &to->conf))
		trial = channel_ref(used);
	else if (to)
		trial = upgrade_open(up, to);
	upstream_unref(to);
	return trial;
}

/* The next candidate, or none is left. */
static void upgrade_try(struct upgrade *up)
{
	for (; up->at < up->count; up->at++) {
		up->trial = upgrade_try_one(up, &up->candidates[up->at]);
		if (!up->trial)
			continue;
		up->state = UPGRADE_TRYING;
		up->why = secure_unanswered;	/* unless none can be opened */
		up->name = (struct dns_name){ .len = 1 };
		if (upgrade_ask(up, up->trial, upstream_stream(up->trial->upstream), DNS_NS) == 0)
			return;
		upgrade_end_trial(up);
	}
	upgrade_give_up(up);
}

static void upgrade_use(struct upgrade *up)
{
	struct upstream *plain = up->channel->upstream;
	const char      *doubt = up->exchange.send.doubt;
	struct upstream *to = up->trial->upstream;

	up->state = UPGRADE_RESTING;
	designation_begin_anew(&plain->designation);
	if (up->trial != up->used) {
		upgrade_take(up, channel_ref(up->trial));
		up->changes = designation_set(&plain->designation, to);
		log_info("upstream %s: designates %s", plain->conf.name, to->conf.url);
	}
	upgrade_end_trial(up);
	secure_look_again(&plain->secure, clock_mono_us(up->channel->env->clock) + (uint64_t)up->wait_s * 1000000);
	secure_on_seen(&plain->secure, upstream_stream(to), doubt);
}

/* ---- asking ---- */

static bool upgrade_names_used(const struct upgrade *up, const struct upstream *used)
{
	for (size_t i = 0; i < up->count; i++) {
		struct upstream *to = candidate_upstream(&up->candidates[i], up->channel->upstream);
		bool             same = to && upstream_is(to, &used->conf);

		upstream_unref(to);
		if (same)
			return true;
	}
	return false;
}

static void upgrade_on_records(struct upgrade *up, const struct dns_answer *a)
{
	struct upstream *plain = up->channel->upstream, *used = designation_get(&plain->designation);
	uint64_t         now_us = clock_mono_us(up->channel->env->clock);
	bool             still;

	upgrade_read(up, a);
	up->wait_s = a->ttl_s < WAIT_MIN_S ? WAIT_MIN_S : a->ttl_s;
	up->why = "it names no server over TLS";
	still = used && !upstream_is_clear(plain) && upgrade_names_used(up, used);
	upstream_unref(used);
	if (still) {
		up->state = UPGRADE_RESTING;
		secure_look_again(&plain->secure, now_us + (uint64_t)up->wait_s * 1000000);
		return;
	}
	upgrade_try(up);
}

static void upgrade_on_trial(struct upgrade *up, enum exchange_event event)
{
	bool again;

	if (exchange_finds_well(&up->exchange, event, &again)) {
		upgrade_use(up);
	} else if (!again) {
		up->state = UPGRADE_RESTING;
		upgrade_end_trial(up);
		up->at++;
		upgrade_try(up);
	}
}

static void upgrade_on_event(struct exchange *x, enum exchange_event event, const struct dns_answer *answer,
                             const struct dns_name *target)
{
	struct upgrade *up = list_entry(x, struct upgrade, exchange);

	(void)target;
	if (event == EXCHANGE_CASE)
		return;
	if (up->state == UPGRADE_TRYING) {
		upgrade_on_trial(up, event);
		return;
	}
	if (event == EXCHANGE_ANSWER)
		upgrade_on_records(up, answer);
	else if ((event != EXCHANGE_TRUNCATED && event != EXCHANGE_FORGED) || up->exchange.kind != TRANSPORT_UDP ||
	         upgrade_ask(up, up->channel, TRANSPORT_TCP, DNS_SVCB) < 0)
		upgrade_hear_nothing(up);
}

void upgrade_if_due(struct upgrade *up, uint64_t now_us)
{
	static const uint8_t name[] = "\4_dns\10resolver\4arpa";
	struct upstream     *u = up ? up->channel->upstream : NULL;

	if (!up || !secure_take_look(&u->secure, now_us))
		return;
	upgrade_end_trial(up);			/* the last one has gone astray */
	memcpy(up->name.octets, name, sizeof name);
	up->name.len = sizeof name;
	up->state = UPGRADE_ASKING;
	if (upgrade_ask(up, up->channel, u->conf.proto == UPSTREAM_TCP ? TRANSPORT_TCP : TRANSPORT_UDP, DNS_SVCB) < 0)
		up->state = UPGRADE_RESTING;
}

/* ---- a worker's part ---- */

struct upgrade *upgrade_new(struct channel *c)
{
	struct upgrade *up = calloc(1, sizeof *up);

	if (!up)
		return NULL;
	up->channel = c;
	up->wait_s = WAIT_MIN_S;
	up->exchange.question = &up->question;
	up->exchange.on_event = upgrade_on_event;
	return up;
}

void upgrade_free(struct upgrade *up)
{
	if (!up)
		return;
	upgrade_end_trial(up);
	channel_unref(up->used);
	free(up);
}

void upgrade_on_failed(struct upgrade *up, const struct channel *c, int error, const char *why)
{
	if (c == up->trial)
		up->why = secure_in_words(error, why);
	else if (c == up->used)
		secure_on_failed(&up->channel->upstream->secure, error, why, clock_mono_us(up->channel->env->clock));
}

struct channel *upgrade_channel(struct upgrade *up)
{
	struct designation *d = &up->channel->upstream->designation;
	uint32_t            changes = atomic_load(&d->changes);
	struct upstream    *to;

	if (changes == up->changes)
		return up->used;
	to = designation_get(d);
	if (!up->used || up->used->upstream != to)
		upgrade_take(up, to ? upgrade_open(up, to) : NULL);
	if (up->used)
		up->changes = changes;
	upstream_unref(to);
	return up->used;
}
