/* client.c - those who wait for an answer.
 *
 * A client waits for a flight, and for its deadline: whichever comes first gives it its reply, after which it is
 * gone.  One for whom stale data is there waits for less long, and for the whole time only if that data has gone
 * meanwhile.
 */
#include "resolve/resolver_state.h"

#include "base/clock.h"
#include "cache/cache.h"
#include "policy/limits.h"
#include "resolve/event.h"
#include "resolve/slow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STALE_TTL_FLYING 3u	/* of stale replies while a refresh is under way */

void client_release(struct client *c)
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

void client_free(struct client *c)
{
	reply_path_drop(&c->path);
	free(c);
}

static void client_note_slow(struct client *c, uint64_t now_us, enum stats_outcome outcome)
{
	const struct course_client client = { .asked_us = c->asked_us, .answered_us = now_us, .outcome = outcome };
	const struct flight       *f = c->waiter.flight;
	struct slow_query         *slow = slows_note_query(c->resolver->env.slows, &c->query, c->asked_us, now_us);
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

struct client *client_new(struct now *n, bool has_stale)
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

bool client_is_repeat(const struct waiter *w, const void *arg)
{
	const struct now    *n = arg;
	const struct client *c = list_entry(w, struct client, waiter);

	return w->done == client_on_done && c->query.id == n->q.id && c->path.proto == NET_UDP &&
	       n->m->proto == NET_UDP && addr_equal(&c->path.peer, n->m->from) &&
	       c->query.question_len == n->q.question_len &&
	       !memcmp(c->question, n->q.question, n->q.question_len);
}

/* ---- for trace.c ---- */

static const struct client *client_of(const struct reply_path *p)
{
	return list_entry((struct reply_path *)(uintptr_t)p, struct client, path);
}

enum stats_outcome resolver_outcome_of(const struct reply_path *p)
{
	return (enum stats_outcome)client_of(p)->outcome;
}

const struct flight *resolver_flight_of(const struct reply_path *p)
{
	return client_of(p)->waiter.flight;
}
