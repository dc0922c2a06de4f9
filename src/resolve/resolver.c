/* resolver.c - from a client's message to its reply.
 *
 * Always true:
 *   - every message that is a query gets exactly one reply, and is counted in
 *     exactly one outcome when it leaves;
 *   - a client that waits is on a flight's list, its deadline timer runs, and
 *     both are let go before its reply is sent.
 */
#include "resolve/resolver.h"

#include "base/clock.h"
#include "base/ring.h"
#include "base/rng.h"
#include "dns/wire.h"
#include "resolve/event.h"
#include "resolve/flight.h"
#include "resolve/refresh.h"
#include "resolve/slow.h"
#include "upstream/prober.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS_A_FLIGHT  4u	/* waiting clients, as a multiple of max_flights */
#define SLEEP_MS          2000	/* a machine that slept for longer may be elsewhere now */
#define STALE_WAIT_MIN_MS 10u
#define STALE_WAIT_MAX_MS 500u
#define STALE_TTL_FLYING  3u	/* of stale replies while a refresh is under way */
#define STALE_TTL_GRACE   1u	/* just past the end, while one is by the clock */

/* A message that is being answered. */
struct now {
	struct resolver          *r;
	const struct net_message *m;
	struct net_reply         *reply;
	int                       rcode;	/* what dns_query_read() said */
	bool                      has_key;	/* a good question of class IN: route and key are known */
	bool                      has_stale;	/* an answer is known, past its TTL */
	uint8_t                   outcome;	/* enum stats_outcome, once it was answered at once; before, and when the
						 * reply was not sent, OUTCOMES */
	size_t                    route;
	struct cache_key          key;		/* its qname lies in q */
	struct dns_query          q;
};

struct resolver {
	struct resolver_env env;
	struct flights     *flights;
	struct refreshes   *refreshes;
	struct view        *view;
	struct limits      *limits;
	struct list         clients;	/* all that wait */
	size_t              waiting;
	unsigned            batch[OUTCOMES];	/* answered at once in the present batch */
	struct now         *announced;	/* NET_BATCH of them, by index in the batch … */
	unsigned            announced_count;	/* … and how many the present batch has */
	uint8_t            *scratch;	/* a reply being made for somebody who waited */
	struct exchanges    open;
	int64_t             slept_ms;	/* CLOCK_BOOTTIME ahead of CLOCK_MONOTONIC, when last looked at */
	struct ring *_Atomic events;	/* NULL: nobody watches */
	struct ring        *unsettled;	/* holds events of the present batch; NULL: it has none */
};

/* A client that waits. */
struct client {
	struct waiter     waiter;
	struct list       node;		/* in resolver.clients */
	struct resolver  *resolver;
	struct reply_path path;
	struct timer      deadline;
	uint64_t          asked_us;
	uint16_t          keepalive_100ms;
	bool              joined;
	bool              limited;	/* counted by limits_wait() */
	bool              has_stale;	/* there was stale data when it began to wait */
	uint8_t           outcome;	/* enum stats_outcome, once it has its reply */
	struct dns_query  query;	/* its question points to our own copy */
	uint8_t           question[];
};

static struct stats *resolver_stats(const struct resolver *r)
{
	return r->env.upstream.stats;
}

/* What every reply is counted by, beside its outcome. */
static void resolver_count_reply(struct resolver *r, const struct dns_reply_head *head)
{
	struct stats *s = resolver_stats(r);

	switch (head->rcode) {
	case DNS_FORMERR:
		stats_count(s, STATS_MALFORMED);
		break;
	case DNS_SERVFAIL:
		stats_count(s, STATS_SERVFAIL);
		break;
	case DNS_NXDOMAIN:
		stats_count(s, STATS_NXDOMAIN);
		break;
	}
	if (head->flags & DNS_TC)
		stats_count(s, STATS_TRUNCATED);
}

/* How long a reply may be (RFC 1035 s. 4.2.1, RFC 6891 s. 6.2.3 to 6.2.5). */
static size_t resolver_limit(const struct resolver *r, const struct dns_query *q, enum net_proto proto)
{
	size_t ours = r->view->setup->conf.times.edns_size;

	if (proto == NET_TCP)
		return DNS_MESSAGE_MAX;
	if (!q->has_opt)
		return DNS_UDP_MIN;
	return q->udp_size < ours ? q->udp_size : ours;
}

/* Room for records once header, question and OPT have theirs. */
static size_t resolver_room(const struct resolver *r, const struct dns_query *q, enum net_proto proto,
                            const struct dns_reply_head *head)
{
	return resolver_limit(r, q, proto) - dns_reply_head_len(q) - dns_reply_opt_len(q, head);
}

/* ---- slow queries ---- */

static uint64_t resolver_slow_us(const struct resolver *r)
{
	return (uint64_t)r->view->setup->conf.slow_query_ms * 1000;
}

/* Notes one that was answered now_us; gives where the rest is to be said, before slows_noted().  NULL: nowhere. */
static struct slow_query *resolver_note_slow(struct resolver *r, const struct dns_query *q, uint64_t asked_us,
                                             uint64_t now_us)
{
	struct slow_query *slow = r->env.slows ? slows_note(r->env.slows, now_us) : NULL;

	if (!slow)
		return NULL;
	slow->duration_us = now_us - asked_us;
	slow->qtype = q->qtype;
	slow->name.len = q->qname_len;
	memcpy(slow->name.octets, q->qname, q->qname_len);
	return slow;
}

/* Nothing that these asked for takes long, so it was the thread that had no time, for whatever reason. */
static void resolver_note_held_up(struct resolver *r, uint64_t mono_us, uint64_t done_us)
{
	for (unsigned i = 0; i < r->announced_count; i++) {
		const struct now  *n = &r->announced[i];
		struct slow_query *slow;

		if (n->outcome == OUTCOMES || !n->q.question_len)
			continue;
		slow = resolver_note_slow(r, &n->q, mono_us, done_us);
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

/* NULL, nearly always. */
static struct ring *resolver_watched(const struct resolver *r)
{
	return atomic_load_explicit(&r->events, memory_order_acquire);
}

static void resolver_publish(const struct resolver *r, struct ring *to)
{
	if (!r->unsettled)
		ring_publish(to);
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

/* What limits say of a UDP reply; cuts it where they want that.  False: it must not go out. */
static bool resolver_within_limits(struct resolver *r, enum net_proto proto, const struct addr *to,
                                   uint64_t now_us, struct dns_reply_head *head, size_t *len)
{
	const struct limit_conf *conf = &r->view->setup->conf.policy->limits;

	if (proto != NET_UDP || !conf->replies_per_second)
		return true;
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

/* ---- stale data (RFC 8767) ---- */

static const struct cache_times *resolver_times(const struct resolver *r)
{
	return &r->view->setup->conf.cache_times;
}

/* How long a client waits for a refresh before it is given stale data: half as long again as nearly all
 * flights take. */
static uint64_t resolver_stale_wait_ms(const struct resolver *r)
{
	uint64_t fixed_ms = resolver_times(r)->stale_wait_ms, ms;
	uint64_t most_ms = r->view->setup->conf.times.query_timeout_ms;

	if (fixed_ms)
		return fixed_ms;
	ms = flights_quantile_us(r->flights, 0.99) * 3 / 2 / 1000;
	ms = !ms || ms > STALE_WAIT_MAX_MS ? STALE_WAIT_MAX_MS : ms < STALE_WAIT_MIN_MS ? STALE_WAIT_MIN_MS : ms;
	return ms < most_ms ? ms : most_ms;
}

/* Whose stale data, for which reply. */
struct stale {
	const struct cache_key *key;
	const struct dns_query *query;
	enum net_proto          proto;
	uint32_t                ttl_s;
	uint64_t                boot_ms;
};

/* Copies stale data behind the question at msg.  An extended error gives way before data does, and TC says that
 * something is missing (RFC 8914 s. 3).  False: there is none. */
static bool resolver_find_stale(struct resolver *r, const struct stale *s, uint8_t *msg,
                                struct cache_found *found)
{
	const struct dns_reply_head with = { .ede = DNS_EDE_STALE }, without = { .ede = DNS_EDE_NONE };
	uint8_t                    *body = msg + dns_reply_head_len(s->query);

	if (!cache_find_stale(r->env.cache, s->key, s->boot_ms, s->ttl_s, body,
	                      resolver_room(r, s->query, s->proto, &with), found))
		return false;
	if (found->fit != DNS_FIT_NOT) {
		found->head.ede = found->left_ms > 0 ? DNS_EDE_NONE :
		                  found->kind == DNS_ANSWER_NXDOMAIN ? DNS_EDE_STALE_NXDOMAIN : DNS_EDE_STALE;
		return true;
	}
	if (!cache_find_stale(r->env.cache, s->key, s->boot_ms, s->ttl_s, body,
	                      resolver_room(r, s->query, s->proto, &without), found))
		return false;
	found->head.flags |= DNS_TC;
	return true;
}

/* ---- clients that wait ---- */

/* The client's wait is over: off every list, memory kept until client_free(). */
static void client_release(struct client *c)
{
	flight_leave(&c->waiter);
	if (c->limited)
		limits_answered(c->resolver->limits, &c->resolver->view->setup->conf.policy->limits, &c->path.peer);
	timer_stop(c->resolver->env.timers, &c->deadline);
	list_remove(&c->node);
	c->resolver->waiting--;
	stats_set(&resolver_stats(c->resolver)->waiting_now, c->resolver->waiting);
}

static void client_wait_until(struct client *c, uint64_t after_ms)
{
	timer_start(c->resolver->env.timers, &c->deadline, c->asked_us / 1000 + after_ms);
}

static void client_free(struct client *c)
{
	reply_path_drop(&c->path);
	free(c);
}

static void client_note_slow(struct client *c, uint64_t now_us, enum stats_outcome outcome)
{
	const struct course_client client = { .asked_us = c->asked_us, .answered_us = now_us, .outcome = outcome };
	const struct flight       *f = c->waiter.flight;
	struct slow_query         *slow = resolver_note_slow(c->resolver, &c->query, c->asked_us, now_us);
	const char                *upstream = slow ? course_upstream(f, now_us) : NULL;
	struct course              course;

	if (!slow)
		return;
	slow->outcome = outcome;
	snprintf(slow->upstream, sizeof slow->upstream, "%s", upstream ? upstream : "");
	course_read(&course, f);
	course_tell(&course, &client, slow->reason);
	slows_noted(c->resolver->env.slows);
}

static void client_tell(const struct client *c, struct ring *to, const struct dns_reply_head *head, uint64_t now_us)
{
	const struct event_of what = { .query = &c->query, .client = &c->path.peer, .proto = c->path.proto,
		                       .outcome = (enum stats_outcome)c->outcome, .rcode = head->rcode,
		                       .asked_us = c->asked_us,
		                       .upstream = course_upstream(c->waiter.flight, now_us) };

	event_tell(to, &what, now_us);
	resolver_publish(c->resolver, to);
}

/* Sends what stands in the resolver's scratch from the question's end on, len octets of records. */
static void client_send(struct client *c, struct dns_reply_head *head, size_t len, enum stats_outcome outcome)
{
	struct resolver *r = c->resolver;
	struct stats    *s = resolver_stats(r);
	struct ring     *watched = resolver_watched(r);
	uint64_t         now_us;

	head->udp_size = r->view->setup->conf.times.edns_size;
	head->keepalive_100ms = c->keepalive_100ms;
	now_us = clock_mono_us(r->env.upstream.clock);
	client_release(c);
	c->outcome = (uint8_t)outcome;
	stats_bump(&s->outcome[outcome], 1);
	histogram_add(&s->answer[outcome], now_us - c->asked_us, 1);
	if (watched)
		client_tell(c, watched, head, now_us);
	if (resolver_within_limits(r, c->path.proto, &c->path.peer, now_us, head, &len)) {
		if (now_us - c->asked_us >= resolver_slow_us(r))
			client_note_slow(c, now_us, outcome);
		len = dns_reply_finish(r->scratch, dns_reply_head_len(&c->query) + len, &c->query, head);
		resolver_count_reply(r, head);
		reply_path_send(&c->path, r->scratch, len);
	}
	client_free(c);
}

static enum stats_outcome client_outcome(const struct client *c)
{
	return c->joined ? OUTCOME_JOINED : OUTCOME_MISS;
}

/* The stale data that it has waited not to need.  False: that has gone meanwhile. */
static bool client_send_stale(struct client *c, enum stats_counter why, uint32_t ttl_s)
{
	struct resolver   *r = c->resolver;
	struct cache_found found;
	struct stale       stale = { .key = flight_key(&c->waiter), .query = &c->query, .proto = c->path.proto,
		                     .ttl_s = ttl_s, .boot_ms = clock_boot_ms(r->env.upstream.clock) };

	if (!c->has_stale || !resolver_find_stale(r, &stale, r->scratch, &found))
		return false;
	stats_count(resolver_stats(r), why);
	client_send(c, &found.head, found.len, OUTCOME_STALE);
	return true;
}

static void client_on_done(struct waiter *w, const struct dns_answer *answer, const struct flight_end *end)
{
	struct client        *c = list_entry(w, struct client, waiter);
	struct resolver      *r = c->resolver;
	struct dns_reply_head head = { .rcode = end->rcode, .ede = end->ede, .ede_text = end->ede_text };
	uint8_t              *body = r->scratch + dns_reply_head_len(&c->query);
	size_t                len = 0;

	if (!answer) {
		if (!client_send_stale(c, STATS_STALE_FAILED, resolver_times(r)->stale_ttl_s))
			client_send(c, &head, 0, client_outcome(c));
		return;
	}
	head.flags = answer->authentic ? DNS_AD : 0;
	if (dns_answer_write(answer, 0, body, resolver_room(r, &c->query, c->path.proto, &head), &head,
	                     &len) == DNS_FIT_NOT) {
		/* An extended error gives way before data does; that it is missing is said by TC (RFC 8914 s. 3). */
		head.ede = DNS_EDE_NONE;
		head.flags |= DNS_TC;
		if (end->ede != DNS_EDE_NONE)
			dns_answer_write(answer, 0, body, resolver_room(r, &c->query, c->path.proto, &head), &head,
			                 &len);
	}
	client_send(c, &head, len, client_outcome(c));
}

static void client_on_deadline(struct timer *t)
{
	struct client        *c = list_entry(t, struct client, deadline);
	struct flight_end     end = flight_so_far(&c->waiter);
	struct dns_reply_head head = { .rcode = DNS_SERVFAIL, .ede = end.ede, .ede_text = end.ede_text };

	if (client_send_stale(c, STATS_STALE_WAIT, STALE_TTL_FLYING))
		return;
	if (c->has_stale) {		/* flushed, then: it waits like everybody else */
		c->has_stale = false;
		client_wait_until(c, c->resolver->view->setup->conf.times.query_timeout_ms);
		return;
	}
	stats_count(resolver_stats(c->resolver), STATS_QUERY_TIMEOUTS);
	client_send(c, &head, 0, client_outcome(c));
}

static struct client *client_new(struct now *n, bool has_stale)
{
	struct resolver *r = n->r;
	struct client   *c = malloc(sizeof *c + n->q.question_len);

	if (!c)
		return NULL;
	c->resolver = r;
	c->waiter.done = client_on_done;
	list_init(&c->waiter.node);
	c->query = n->q;
	memcpy(c->question, n->q.question, n->q.question_len);
	c->query.question = c->question;
	c->asked_us = n->m->mono_us;
	c->keepalive_100ms = (uint16_t)(n->m->keepalive_ms / 100);
	c->joined = false;
	c->limited = false;
	c->has_stale = has_stale;
	timer_init(&c->deadline, client_on_deadline);
	client_wait_until(c, has_stale ? resolver_stale_wait_ms(r) : r->view->setup->conf.times.query_timeout_ms);
	list_append(&r->clients, &c->node);
	r->waiting++;
	stats_set(&resolver_stats(r)->waiting_now, r->waiting);
	return c;
}

/* Is this waiting client the one that has just asked again, to the octet? */
static bool client_is_repeat(const struct waiter *w, const void *arg)
{
	const struct now    *n = arg;
	const struct client *c = list_entry(w, struct client, waiter);

	return w->done == client_on_done && c->query.id == n->q.id && c->path.proto == NET_UDP &&
	       n->m->proto == NET_UDP && addr_equal(&c->path.peer, n->m->from) &&
	       c->query.question_len == n->q.question_len &&
	       !memcmp(c->question, n->q.question, n->q.question_len);
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

static const struct client *client_of(const struct reply_path *p)
{
	return list_entry((struct reply_path *)(uintptr_t)p, struct client, path);
}

const struct upstream_env *resolver_upstream_env(const struct resolver *r)
{
	return &r->env.upstream;
}

const struct setup *resolver_setup(const struct resolver *r)
{
	return r->view->setup;
}

enum stats_outcome resolver_outcome_of(const struct reply_path *p)
{
	return (enum stats_outcome)client_of(p)->outcome;
}

const struct flight *resolver_flight_of(const struct reply_path *p)
{
	return client_of(p)->waiter.flight;
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
