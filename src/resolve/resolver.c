/* resolver.c - from a client's message to its reply.
 *
 * Always true:
 *   - every message that is a query gets exactly one reply, and is counted in
 *     exactly one outcome when it leaves;
 *   - a client that waits is on a flight's list, its deadline timer runs, and
 *     both are let go before its reply is sent.
 */
#include "resolve/resolver_state.h"

#include "base/clock.h"
#include "base/rng.h"
#include "dns/wire.h"
#include "resolve/event.h"
#include "resolve/slow.h"
#include "upstream/prober.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS_A_FLIGHT 4u	/* waiting clients, as a multiple of max_flights */
#define SLEEP_MS         2000	/* a machine that slept for longer may be elsewhere now */
#define STALE_TTL_GRACE  1u	/* just past the end, while one is by the clock */

/* Nothing that these asked for takes long, so it was the thread that had no time, for whatever reason. */
static void resolver_note_held_up(struct resolver *r, uint64_t mono_us, uint64_t done_us)
{
	for (unsigned i = 0; i < r->announced_count; i++) {
		const struct now  *n = &r->announced[i];
		struct slow_query *slow;

		if (n->outcome == OUTCOMES || !n->q.question_len)
			continue;
		slow = slows_note_query(r->env.slows, &n->q, mono_us, done_us);
		if (!slow)
			continue;
		slow->outcome = (enum stats_outcome)n->outcome;
		*slow->upstream = '\0';
		strcpy(slow->reason, "larderd was held up: the machine gave it no time to answer");
		slows_noted(r->env.slows);
	}
}

/* ---- events ---- */

void resolver_watch(struct resolver *r, struct ring *events)
{
	atomic_store_explicit(&r->events, events, memory_order_release);
}

void resolver_let_go(struct resolver *r, const struct ring *events)
{
	if (r->unsettled == events)	/* of a batch that has not ended */
		r->unsettled = NULL;
}

/* Of a reply made at once: the event waits until its batch is out, unless the reply stays here. */
static void resolver_tell(const struct now *n, struct ring *to, const struct dns_reply_head *head, bool silent)
{
	const struct event_of what = { .query = &n->q, .client = n->m->from, .proto = n->m->proto,
		                       .outcome = (enum stats_outcome)n->outcome, .rcode = head->rcode,
		                       .asked_us = n->m->mono_us };

	event_tell(to, &what, silent ? n->m->mono_us : 0);
	if (silent)
		resolver_publish(n->r, to);
	else
		n->r->unsettled = to;
}

static void resolver_settle(struct resolver *r, uint64_t done_us)
{
	event_settle(r->unsettled, done_us);
	r->unsettled = NULL;
}

/* ---- replies made at once ---- */

bool resolver_limit_reply(struct resolver *r, const struct addr *to, uint64_t now_us, struct dns_reply_head *head,
                          size_t *len)
{
	const struct limit_conf *conf = &r->view->setup->conf.policy->limits;

	switch (limits_reply(r->limits, conf, to, now_us / 1000)) {
	case LIMITS_REPLY:
		return true;
	case LIMITS_TRUNCATE:
		*len = 0;
		head->flags |= DNS_TC;
		head->ancount = head->nscount = head->arcount = 0;
		stats_count(resolver_stats(r), STATS_LIMITED);
		return true;
	case LIMITS_SILENCE:
		break;
	}
	stats_count(resolver_stats(r), STATS_LIMITED);
	return false;
}

static enum net_verdict resolver_reply_now(struct now *n, struct dns_reply_head *head, size_t len,
                                           enum stats_outcome outcome)
{
	struct ring *watched = resolver_watched(n->r);
	bool         silent;

	stats_bump(&resolver_stats(n->r)->outcome[outcome], 1);
	n->r->batch[outcome]++;
	n->outcome = (uint8_t)outcome;
	silent = !resolver_within_limits(n->r, n->m->proto, n->m->from, n->m->mono_us, head, &len);
	if (watched)
		resolver_tell(n, watched, head, silent);
	if (silent) {
		n->outcome = OUTCOMES;		/* nobody waited for what was never sent */
		return NET_SILENCE;
	}
	head->udp_size = n->r->view->setup->conf.times.edns_size;
	head->keepalive_100ms = (uint16_t)(n->m->keepalive_ms / 100);
	n->reply->len = dns_reply_finish(n->reply->octets, dns_reply_head_len(&n->q) + len, &n->q, head);
	resolver_count_reply(n->r, head);
	return NET_REPLY;
}

static enum net_verdict resolver_error_now(struct now *n, uint16_t rcode, uint32_t ede,
                                           enum stats_outcome outcome)
{
	struct dns_reply_head head = { .rcode = rcode, .ede = ede };

	return resolver_reply_now(n, &head, 0, outcome);
}

static enum net_verdict resolver_hit(struct now *n, struct cache_found *found)
{
	if (found->fit == DNS_FIT_NOT)
		found->head.flags |= DNS_TC;
	if (found->kind == DNS_ANSWER_FAILURE) {
		stats_count(resolver_stats(n->r), STATS_FAILURE_HITS);
		found->head.ede = DNS_EDE_CACHED_ERROR;
	}
	return resolver_reply_now(n, &found->head, found->len, OUTCOME_HIT);
}

/* ---- the walk of a query ---- */

/* Stale data at once.  False: there is none any more. */
static bool resolver_stale_now(struct now *n, enum stats_counter why, uint32_t ttl_s, enum net_verdict *verdict)
{
	struct cache_found found;
	struct stale       stale = { .key = &n->key, .query = &n->q, .proto = n->m->proto, .ttl_s = ttl_s,
		                     .boot_ms = n->m->boot_ms };

	if (!resolver_find_stale(n->r, &stale, n->reply->octets, &found))
		return false;
	stats_count(resolver_stats(n->r), why);
	*verdict = resolver_reply_now(n, &found.head, found.len, OUTCOME_STALE);
	return true;
}

static enum net_verdict resolver_overload(struct now *n, enum stats_counter why)
{
	struct dns_reply_head head = { .rcode = DNS_SERVFAIL, .ede = DNS_EDE_OTHER,
		                       .ede_text = "too many questions in progress" };
	enum net_verdict      verdict;

	if (n->has_stale &&
	    resolver_stale_now(n, STATS_STALE_OVERLOAD, resolver_times(n->r)->stale_ttl_s, &verdict))
		return verdict;
	stats_count(resolver_stats(n->r), why);		/* of those that failed for it */
	return resolver_reply_now(n, &head, 0, OUTCOME_MISS);
}

/* Nothing fresh: a flight is joined or begun, and the client waits. */
static enum net_verdict resolver_miss(struct now *n)
{
	struct resolver    *r = n->r;
	const struct setup *setup = r->view->setup;
	struct flight      *f = flight_find(r->flights, &n->key);
	struct flight_ask   ask = { .view = r->view, .route = n->route, .key = n->key };
	struct client      *c;
	int                 joined;

	if (f && flight_any_waiter(f, client_is_repeat, n)) {
		stats_count(resolver_stats(r), STATS_REPEATED);
		return NET_SILENCE;			/* the reply that is due serves this one too */
	}
	if (!setup->conf.policy->routes[n->route].upstream_count)
		return resolver_error_now(n, DNS_SERVFAIL, DNS_EDE_NO_REACHABLE_AUTHORITY, OUTCOME_MISS);
	if (r->waiting >= (size_t)setup->conf.times.max_flights * CLIENTS_A_FLIGHT)
		return resolver_overload(n, STATS_OVERLOAD);
	c = client_new(n, n->has_stale);
	if (!c)
		return resolver_overload(n, STATS_NO_MEMORY);
	reply_path_keep(&c->path, n->m);
	c->limited = n->m->proto == NET_UDP &&
	             limits_wait(r->limits, &setup->conf.policy->limits, n->m->from);
	if (n->m->proto == NET_UDP && !c->limited) {
		client_release(c);
		client_free(c);
		return resolver_overload(n, STATS_LIMITED);
	}
	joined = flight_ask(r->flights, &ask, &c->waiter);
	if (joined < 0) {
		client_release(c);
		client_free(c);
		return resolver_overload(n, joined == -ENOBUFS ? STATS_OVERLOAD : STATS_NO_MEMORY);
	}
	c->joined = joined == FLIGHT_JOINED;
	return NET_LATER;
}

/* Does a failure that was seen in this epoch of the route still count?  While no upstream works, silence is theirs and
 * not the question's: it waits with the others for one that comes back, since that may be any moment. */
static bool resolver_holds(const struct now *n, uint16_t epoch)
{
	const struct view *v = n->r->view;

	return !epoch || (epoch == route_epoch(v, n->route) && !route_is_stranded(v, n->route));
}

/* An answer is known, but past its TTL: it is used at once where waiting is no use, else after a while. */
static enum net_verdict resolver_past(struct now *n, const struct cache_found *found)
{
	const struct view *v = n->r->view;
	uint32_t           ttl_s = resolver_times(n->r)->stale_ttl_s;
	enum net_verdict   verdict;

	n->has_stale = true;
	if (found->claim == CACHE_CLAIMED && found->left_ms >= -REFRESH_GRACE_MS) {
		if (resolver_stale_now(n, STATS_STALE_REFRESH, STALE_TTL_GRACE, &verdict))
			return verdict;
	} else if (route_is_stranded(v, n->route)) {
		route_want(v, n->route);
		if (resolver_stale_now(n, STATS_STALE_DOWN, ttl_s, &verdict))
			return verdict;
	} else if (!v->setup->conf.policy->routes[n->route].upstream_count) {
		if (resolver_stale_now(n, STATS_STALE_DOWN, ttl_s, &verdict))
			return verdict;
	} else if (found->failed && resolver_holds(n, found->epoch)) {
		if (resolver_stale_now(n, STATS_STALE_HELD, ttl_s, &verdict))
			return verdict;
	}
	return resolver_miss(n);
}

static int64_t resolver_slept_ms(uint64_t boot_ms, uint64_t mono_us)
{
	return (int64_t)boot_ms - (int64_t)(mono_us / 1000);
}

void resolver_on_clocks(struct resolver *r, uint64_t boot_ms, uint64_t mono_us, bool late)
{
	int64_t slept_ms = resolver_slept_ms(boot_ms, mono_us);
	bool    slept = slept_ms - r->slept_ms > SLEEP_MS;

	r->slept_ms = slept_ms;
	for (size_t i = 0; (slept || late) && i < r->view->setup->conf.upstream_count; i++)
		upstream_slept(r->view->channels[i]->upstream, mono_us);
}

/* Reads a message, and finds what the cache will be asked. */
static void resolver_read(struct resolver *r, const struct net_message *m, struct now *n)
{
	struct dns_query *q = &n->q;

	n->r = r;
	n->rcode = dns_query_read(m->octets, m->len, m->proto == NET_TCP, q);
	n->has_key = n->rcode == DNS_NOERROR && q->qclass == DNS_IN;
	n->has_stale = false;
	n->outcome = OUTCOMES;
	if (!n->has_key)
		return;
	n->route = policy_route(r->view->setup->policy, q->qname, q->qname_len);
	n->key = (struct cache_key){
		.qname = q->qname,
		.qname_len = q->qname_len,
		.qtype = q->qtype,
		.variant = (uint8_t)((q->dnssec_ok ? CACHE_DO : 0) | (q->flags & DNS_CD ? CACHE_CD : 0)),
		.route = r->view->setup->conf.policy->routes[n->route].id,
		.name_hash = cache_hash_name(r->env.cache, q->qname, q->qname_len),
	};
}

/* A hit waits for memory more than for anything else, so that of a whole batch is fetched in steps, each for
 * all of its messages, before the first is answered. */
void resolver_on_announce(void *arg, const struct net_message *m)
{
	struct resolver *r = arg;
	struct now      *n = &r->announced[m->index];

	resolver_read(r, m, n);
	if (n->has_key)
		cache_prefetch_shard(r->env.cache, &n->key);
	r->announced_count = m->index + 1;
}

static void resolver_fetch_batch(struct resolver *r)
{
	void (*const steps[])(const struct cache *, const struct cache_key *) = {
		cache_prefetch_slot, cache_prefetch_entry,
	};

	for (unsigned step = 0; step < sizeof steps / sizeof *steps; step++)
		for (unsigned i = 0; i < r->announced_count; i++)
			if (r->announced[i].has_key)
				steps[step](r->env.cache, &r->announced[i].key);
}

/* A question of class IN for the cache and the upstreams. */
static enum net_verdict resolver_resolve(struct now *n)
{
	struct resolver   *r = n->r;
	struct cache_found found = { .head.ede = DNS_EDE_NONE };

	switch (cache_find(r->env.cache, &n->key, n->m->boot_ms, n->reply->octets + dns_reply_head_len(&n->q),
	                   resolver_room(r, &n->q, n->m->proto, &found.head), &found)) {
	case CACHE_FRESH:
		if (found.kind == DNS_ANSWER_FAILURE && !resolver_holds(n, found.epoch))
			break;
		if (refresh_is_near(&found) && resolver_times(r)->prefetch)
			refreshes_on_hit(r->refreshes, n->route, &n->key, &found);
		return resolver_hit(n, &found);
	case CACHE_STALE:
		return resolver_past(n, &found);
	case CACHE_MISS:
		break;
	}
	return resolver_miss(n);
}

/* The walk of one message. */
static enum net_verdict resolver_answer(struct now *n)
{
	struct resolver      *r = n->r;
	struct stats         *s = resolver_stats(r);
	bool                  stream = n->m->proto == NET_TCP;
	struct dns_reply_head head;
	size_t                len;

	if (n->rcode == DNS_QUERY_SILENCE) {
		stats_count(s, STATS_DROPPED);
		return stream ? NET_CLOSE : NET_SILENCE;
	}
	stats_count(s, stream ? STATS_TCP_QUERIES : STATS_UDP_QUERIES);
	if (!policy_allows(r->view->setup->policy, n->m->from)) {
		stats_count(s, STATS_NOT_ALLOWED);
		return resolver_error_now(n, DNS_REFUSED, DNS_EDE_PROHIBITED, OUTCOME_REFUSED);
	}
	if (n->rcode != DNS_NOERROR)
		return resolver_error_now(n, (uint16_t)n->rcode, n->q.ede, OUTCOME_REFUSED);
	switch (policy_decide(r->view->setup->policy, &n->q, n->has_key ? n->route : 0, stream,
	                      n->reply->octets + dns_reply_head_len(&n->q), &head, &len)) {
	case POLICY_ANSWERED:
		return resolver_reply_now(n, &head, len, OUTCOME_LOCAL);
	case POLICY_REFUSED:
		return resolver_error_now(n, DNS_REFUSED, head.ede, OUTCOME_REFUSED);
	case POLICY_FORWARD:
		break;
	}
	return resolver_resolve(n);
}

enum net_verdict resolver_on_message(void *arg, const struct net_message *m, struct net_reply *reply)
{
	struct resolver *r = arg;
	struct now       alone, *n = &alone;	/* its query is large, and written whole by reading it */

	if (m->index < r->announced_count) {
		n = &r->announced[m->index];
		if (!m->index)
			resolver_fetch_batch(r);
	} else {
		resolver_read(r, m, n);
	}
	n->m = m;
	n->reply = reply;
	if (!m->index || m->index == NET_ALONE)		/* all of a batch have one time */
		resolver_on_clocks(r, m->boot_ms, m->mono_us, false);
	return resolver_answer(n);
}

void resolver_on_batch_done(void *arg, uint64_t mono_us, uint64_t done_us, unsigned n)
{
	struct resolver *r = arg;

	refreshes_credit(r->refreshes, n);
	for (unsigned i = 0; i < OUTCOMES; i++) {
		if (!r->batch[i])
			continue;
		histogram_add(&resolver_stats(r)->answer[i], done_us - mono_us, r->batch[i]);
		r->batch[i] = 0;
	}
	if (done_us - mono_us >= resolver_slow_us(r))
		resolver_note_held_up(r, mono_us, done_us);
	if (r->unsettled)
		resolver_settle(r, done_us);
	r->announced_count = 0;
}

void resolver_warm(struct resolver *r)
{
	for (size_t i = 0; i < r->view->setup->conf.upstream_count; i++)
		prober_warm(r->view->channels[i]);
}

size_t resolver_waiting(const struct resolver *r)
{
	return r->waiting;
}

/* ---- for trace.c ---- */

const struct upstream_env *resolver_upstream_env(const struct resolver *r)
{
	return &r->env.upstream;
}

const struct setup *resolver_setup(const struct resolver *r)
{
	return r->view->setup;
}

/* ---- life ---- */

struct resolver *resolver_new(const struct resolver_env *env, struct setup *setup)
{
	struct resolver   *r = calloc(1, sizeof *r);
	struct flights_env flights_env;
	struct siphash_key secret;

	if (!r) {
		setup_unref(setup);
		return NULL;
	}
	r->env = *env;
	list_init(&r->clients);
	flights_env = (struct flights_env){
		.upstream = &r->env.upstream,
		.timers = env->timers,
		.cache = env->cache,
		.view = &r->view,
	};
	r->env.upstream.timers = env->timers;
	r->env.upstream.open = &r->open;
	r->slept_ms = resolver_slept_ms(clock_boot_ms(env->upstream.clock), clock_mono_us(env->upstream.clock));
	r->env.upstream.edns_size = setup->conf.times.edns_size;
	exchanges_init(&r->open);
	r->view = view_new(setup, NULL, &r->env.upstream);
	r->flights = flights_new(&flights_env);
	r->refreshes = refreshes_new(&(struct refreshes_env){
		.upstream = &r->env.upstream, .timers = env->timers, .cache = env->cache, .flights = r->flights,
		.view = &r->view });
	r->scratch = malloc(DNS_MESSAGE_MAX + 1);
	r->announced = malloc(NET_BATCH * sizeof *r->announced);
	rng_bytes(env->upstream.rng, (uint8_t *)&secret, sizeof secret);
	r->limits = limits_new(&secret);
	if (!r->view || !r->flights || !r->refreshes || !r->scratch || !r->announced || !r->limits) {
		resolver_free(r);
		return NULL;
	}
	cache_set_stale(env->cache, resolver_times(r)->stale_s);
	return r;
}

int resolver_reconfigure(struct resolver *r, struct setup *setup)
{
	struct view *v = view_new(setup, r->view, &r->env.upstream);
	bool         differ;

	if (!v)
		return -ENOMEM;
	differ = setup_routes_differ(r->view->setup, setup);
	view_unref(r->view);
	r->view = v;
	if (differ)		/* what was joined by the old routes meanwhile */
		cache_flush_crossing(r->env.cache);
	r->env.upstream.edns_size = v->setup->conf.times.edns_size;
	cache_set_stale(r->env.cache, resolver_times(r)->stale_s);
	return 0;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	while (!list_empty(&r->clients)) {
		struct client *c = list_entry(r->clients.next, struct client, node);

		client_release(c);
		client_free(c);
	}
	refreshes_free(r->refreshes);
	flights_free(r->flights);
	view_unref(r->view);
	limits_free(r->limits);
	free(r->announced);
	free(r->scratch);
	free(r);
}
