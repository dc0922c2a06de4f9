/* host.c - asking for addresses, and when to ask again.
 *
 * Each family is a question of its own, and what one has found counts at once.
 * That there is no address of one family is believed only when there is one of
 * the other; that there is none at all is a failure like silence.
 *
 * Always true: while a host rests its timer runs, except before the first ask
 * and after host_rest().
 */
#include "upstream/host.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/timer.h"
#include "upstream/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_TTL_MIN_S      60u		/* a TTL of 0 is no reason to ask all the time … */
#define HOST_TTL_MAX_S      3600u	/* … nor one of a week to miss that a server has moved */
#define HOST_RETRY_MS       500u	/* after a failure; then doubling */
#define HOST_RETRY_MAX_MS   60000u
#define HOST_WANTED_MS      500u	/* how often it is looked whether a client waits */
#define HOST_DOUBT_APART_MS 5000u
#define HOST_EACH_MAX       (ADDR_LIST_MAX / 2)

enum host_family_index { HOST_V4, HOST_V6, HOST_FAMILIES };

struct host_family {
	struct host     *host;
	struct ask      *ask;		/* NULL: over */
	struct addr_list addresses;	/* the last that were found */
	bool             found;		/* by this lookup, or the last … */
	bool             denied;	/* … which said that there is none */
	uint32_t         ttl_s;
	char             trouble[HOST_TROUBLE_MAX];
};

struct host {
	unsigned               refs;	/* owners: the upstreams that have this name */
	const struct host_env *env;
	char                  *name;
	struct dns_name        qname;
	struct host_family     family[HOST_FAMILIES];
	struct timer           timer;
	uint64_t               asked_ms, next_ms;
	bool                   asking;
	unsigned               failures;	/* lookups in a row */
};

static uint64_t host_now_ms(const struct host *h)
{
	return clock_mono_us(h->env->clock) / 1000;
}

const char *host_name(const struct host *h)
{
	return h->name;
}

const char *host_trouble(const struct host *h)
{
	return h->failures ? h->family[HOST_V4].trouble : NULL;
}

void host_addresses(const struct host *h, struct addr_list *out)
{
	const struct addr_list *v6 = &h->family[HOST_V6].addresses, *v4 = &h->family[HOST_V4].addresses;

	out->count = 0;
	for (unsigned i = 0; i < HOST_EACH_MAX; i++) {
		if (i < v6->count)
			addr_list_add(out, &v6->at[i]);
		if (i < v4->count)
			addr_list_add(out, &v4->at[i]);
	}
}

static bool host_is_known(const struct host *h)
{
	return h->family[HOST_V4].addresses.count || h->family[HOST_V6].addresses.count;
}

/* ---- when ---- */

/* One without addresses looks often whether a client waits for it: then it does not wait as long as failures say. */
static void host_arm(struct host *h)
{
	uint64_t at_ms = h->next_ms, look_ms = host_now_ms(h) + HOST_WANTED_MS;

	if (!host_is_known(h) && look_ms < at_ms)
		at_ms = look_ms;
	timer_start(h->env->timers, &h->timer, at_ms);
}

/* Doubling; each time up to a fifth less, so that many hosts do not ask in step. */
static uint32_t host_retry_ms(const struct host *h)
{
	unsigned doublings = h->failures - 1 < 16 ? h->failures - 1 : 16;
	uint64_t ms = (uint64_t)HOST_RETRY_MS << doublings;

	ms = ms < HOST_RETRY_MAX_MS ? ms : HOST_RETRY_MAX_MS;
	return (uint32_t)(ms - rng_below(h->env->rng, (uint32_t)ms / 5 + 1));
}

static void host_on_timer(struct timer *t)
{
	struct host *h = list_entry(t, struct host, timer);

	if (host_now_ms(h) >= h->next_ms || h->env->wanted(h->env->arg, h))
		host_ask(h);
	else
		host_arm(h);
}

void host_doubt(struct host *h)
{
	uint64_t soon_ms = h->asked_ms + HOST_DOUBT_APART_MS;

	if (h->asking || h->next_ms <= soon_ms)
		return;
	h->next_ms = soon_ms;
	host_arm(h);
}

/* ---- what was found ---- */

static void host_log_found(const struct host *h)
{
	struct addr_list l;
	char             text[ADDR_LIST_MAX * ADDR_TEXT_MAX], one[ADDR_TEXT_MAX];
	size_t           n = 0;

	host_addresses(h, &l);
	for (unsigned i = 0; i < l.count; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i ? ", " : "", addr_format_host(&l.at[i], one));
	log_info("%s is at %s", h->name, text);
}

static void host_changed(struct host *h)
{
	host_log_found(h);
	h->env->changed(h->env->arg, h);
}

static void host_keep(struct host_family *f, const struct addr_list *l)
{
	bool same = addr_list_same(&f->addresses, l);

	f->addresses = *l;
	if (!same)
		host_changed(f->host);
}

static struct addr host_addr_of(const uint8_t *octets, bool v6)
{
	struct addr a;

	memset(&a, 0, sizeof a);
	a.sa.sa_family = v6 ? AF_INET6 : AF_INET;
	if (v6)
		memcpy(&a.in6.sin6_addr, octets, 16);
	else
		memcpy(&a.in4.sin_addr, octets, 4);
	return a;
}

static bool host_on_answer(void *arg, const struct dns_answer *answer, const struct dns_name *name)
{
	struct host_family *f = arg;
	bool                v6 = f == &f->host->family[HOST_V6];
	size_t              len = v6 ? 16 : 4;
	uint8_t             data[ADDR_LIST_MAX * 16];
	size_t              n = ask_read_data(answer, name, v6 ? DNS_AAAA : DNS_A, len, data, ADDR_LIST_MAX);
	struct addr_list    l = { .count = 0 };

	for (size_t i = 0; i < n && l.count < HOST_EACH_MAX; i++) {
		struct addr a = host_addr_of(data + i * len, v6);

		if (addr_is_single_host(&a) && addr_list_find(&l, &a) < 0)	/* 0.0.0.0 says "blocked" */
			addr_list_add(&l, &a);
	}
	if (!l.count)
		return false;
	f->found = true;
	f->ttl_s = answer->ttl_s;
	host_keep(f, &l);
	return true;
}

/* "bootstrap 192.0.2.1 does not answer, 192.0.2.2 refuses" */
static void host_explain(const struct host_env *env, const struct ask *a, char out[HOST_TROUBLE_MAX])
{
	size_t n = (size_t)snprintf(out, HOST_TROUBLE_MAX, "bootstrap ");

	for (size_t i = 0; i < env->server_count && n < HOST_TROUBLE_MAX; i++)
		n += (size_t)snprintf(out + n, HOST_TROUBLE_MAX - n, "%s%s %s", i ? ", " : "",
		                      env->servers[i]->upstream->conf.name, ask_in_words(a, i));
}

static uint32_t host_ttl_s(const struct host *h)
{
	uint32_t ttl_s = HOST_TTL_MAX_S;

	for (unsigned i = 0; i < HOST_FAMILIES; i++)
		if (h->family[i].found && h->family[i].ttl_s < ttl_s)
			ttl_s = h->family[i].ttl_s;
	return ttl_s < HOST_TTL_MIN_S ? HOST_TTL_MIN_S : ttl_s;
}

static void host_succeed(struct host *h)
{
	static const struct addr_list none;

	if (h->failures)
		log_notice("%s is resolved again", h->name);
	h->failures = 0;
	h->next_ms = host_now_ms(h) + host_ttl_s(h) * UINT64_C(1000);
	for (unsigned i = 0; i < HOST_FAMILIES; i++)
		if (h->family[i].denied)
			host_keep(&h->family[i], &none);
}

static void host_fail(struct host *h)
{
	if (!h->failures++)
		log_warning("%s is not resolved: %s; %s", h->name, h->family[HOST_V4].trouble,
		            host_is_known(h) ? "keeping the addresses that were good before" : "asking again");
	h->next_ms = host_now_ms(h) + host_retry_ms(h);
}

static void host_finish(struct host *h)
{
	h->asking = false;
	if (h->family[HOST_V4].found || h->family[HOST_V6].found)
		host_succeed(h);
	else
		host_fail(h);
	host_arm(h);
}

/* One family is done: *ask may be NULL, for want of memory. */
static void host_on_over(void *arg, bool taken)
{
	struct host_family *f = arg;
	struct host        *h = f->host;

	f->denied = !taken && f->ask && ask_was_answered(f->ask);
	if (f->ask)
		host_explain(h->env, f->ask, f->trouble);
	ask_end(f->ask);
	f->ask = NULL;
	for (unsigned i = 0; i < HOST_FAMILIES; i++)
		if (h->family[i].ask)
			return;
	host_finish(h);
}

/* ---- asking ---- */

static void host_family_ask(struct host_family *f)
{
	struct host          *h = f->host;
	const struct ask_conf conf = {
		.servers = h->env->servers,
		.server_count = h->env->server_count,
		.qname = h->qname.octets,
		.qname_len = h->qname.len,
		.qtype = f == &h->family[HOST_V6] ? DNS_AAAA : DNS_A,
		.take = host_on_answer,
		.over = host_on_over,
		.arg = f,
	};

	f->found = f->denied = false;
	f->ask = ask_begin(&conf);
	if (!f->ask)		/* until it is over, what the last attempt has found out holds */
		snprintf(f->trouble, sizeof f->trouble, "there is not enough memory to ask");
}

void host_ask(struct host *h)
{
	if (h->asking || !h->env->server_count)
		return;
	timer_stop(h->env->timers, &h->timer);
	h->asking = true;
	h->asked_ms = host_now_ms(h);
	for (unsigned i = 0; i < HOST_FAMILIES; i++)
		host_family_ask(&h->family[i]);
	if (!h->family[HOST_V4].ask && !h->family[HOST_V6].ask)
		host_finish(h);
}

void host_rest(struct host *h)
{
	timer_stop(h->env->timers, &h->timer);
	h->asking = false;
	for (unsigned i = 0; i < HOST_FAMILIES; i++) {
		ask_end(h->family[i].ask);
		h->family[i].ask = NULL;
	}
}

void host_remember(struct host *h, const struct addr_list *addresses)
{
	for (unsigned i = 0; i < addresses->count; i++) {
		struct host_family *f = &h->family[addresses->at[i].sa.sa_family == AF_INET6 ? HOST_V6 : HOST_V4];

		if (f->addresses.count < HOST_EACH_MAX)
			addr_list_add(&f->addresses, &addresses->at[i]);
	}
}

struct host *host_new(const char *name, const struct host_env *env)
{
	struct host *h = calloc(1, sizeof *h);

	if (!h)
		return NULL;
	h->refs = 1;
	h->env = env;
	timer_init(&h->timer, host_on_timer);
	for (unsigned i = 0; i < HOST_FAMILIES; i++)
		h->family[i].host = h;
	h->name = strdup(name);
	if (h->name && dns_name_from_text(name, &h->qname) == 0) {
		dns_name_lower(h->qname.octets, h->qname.len);
		return h;
	}
	host_unref(h);
	return NULL;
}

struct host *host_ref(struct host *h)
{
	h->refs++;
	return h;
}

void host_unref(struct host *h)
{
	if (!h || --h->refs)
		return;
	host_rest(h);
	free(h->name);
	free(h);
}
