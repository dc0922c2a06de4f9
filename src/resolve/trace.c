/* trace.c - a client that watches what becomes of its question. */
#include "resolve/trace.h"

#include "base/clock.h"
#include "dns/wire.h"
#include "net/listener.h"
#include "resolve/resolver.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define TRACE_QUERY_MAX (DNS_HEADER_LEN + DNS_NAME_MAX + 4 + 11)

/* From the question to the reply. */
struct trace {
	struct resolver     *resolver;		/* borrowed; a path is dropped before it goes */
	struct trace_report *report;
	void               (*done)(void *arg, struct trace_report *report);
	void                *arg;
};

static uint64_t trace_now_us(const struct trace *t)
{
	return clock_mono_us(resolver_upstream_env(t->resolver)->clock);
}

/* Hands over the report, or nothing. */
static void trace_finish(struct trace *t, struct trace_report *report)
{
	if (!report)
		free(t->report);
	t->done(t->arg, report);
	free(t);
}

/* ---- the path of the reply ---- */

static void trace_on_reply(struct reply_path *p, const uint8_t *msg, size_t len)
{
	struct trace        *t = p->owner;
	struct trace_report *r = t->report;

	r->answered_us = trace_now_us(t);
	r->outcome = resolver_outcome_of(p);
	course_read(&r->course, resolver_flight_of(p));
	memcpy(r->reply, msg, len);
	r->reply_len = len;
	trace_finish(t, r);
}

static void trace_on_drop(struct reply_path *p)
{
	trace_finish(p->owner, NULL);
}

static void trace_keep(struct reply_path *p, const struct net_message *m)
{
	static const struct reply_path_ops ops = { .send = trace_on_reply, .drop = trace_on_drop };

	p->ops = &ops;
	p->owner = m->source;
	p->peer = *m->from;
	p->proto = m->proto;
	list_init(&p->node);
}

/* ---- the question ---- */

static size_t trace_write_query(const struct trace_question *q, uint8_t msg[TRACE_QUERY_MAX])
{
	size_t at = DNS_HEADER_LEN;

	memset(msg, 0, TRACE_QUERY_MAX);
	wire_put_u16(msg + 2, (uint16_t)(DNS_RD | (q->checking_disabled ? DNS_CD : 0)));
	wire_put_u16(msg + 4, 1);
	wire_put_u16(msg + 10, 1);
	memcpy(msg + at, q->name.octets, q->name.len);
	at += q->name.len;
	wire_put_u16(msg + at, q->qtype);
	wire_put_u16(msg + at + 2, DNS_IN);
	at += 4;
	wire_put_u16(msg + at + 1, DNS_OPT);	/* so that extended errors are told */
	wire_put_u16(msg + at + 3, DNS_UDP_MIN);
	wire_put_u16(msg + at + 7, q->dnssec_ok ? 0x8000 : 0);
	return at + 11;
}

/* An address from which one may ask: this host's own, or else one that the configuration allows. */
static struct addr trace_client(const struct setup *setup)
{
	const struct policy_conf *conf = setup->conf.policy;
	struct addr               from;

	addr_parse("127.0.0.1", 0, &from);
	if (policy_allows(setup->policy, &from) || !conf->allow_count)
		return from;
	memset(&from, 0, sizeof from);
	from.sa.sa_family = (sa_family_t)conf->allow[0].family;
	if (conf->allow[0].family == AF_INET)
		memcpy(&from.in4.sin_addr, conf->allow[0].octets, sizeof from.in4.sin_addr);
	else
		memcpy(&from.in6.sin6_addr, conf->allow[0].octets, sizeof from.in6.sin6_addr);
	return from;
}

/* The one that counts one more than before. */
static enum stats_outcome trace_outcome(const struct stats *s, const uint64_t before[OUTCOMES])
{
	unsigned o = 0;

	while (o + 1 < OUTCOMES && atomic_load_explicit(&s->outcome[o], memory_order_relaxed) == before[o])
		o++;
	return (enum stats_outcome)o;
}

/* Over a stream, since the answer is to be seen whole. */
static void trace_ask(struct trace *t)
{
	struct trace_report      *r = t->report;
	const struct stats       *stats = resolver_upstream_env(t->resolver)->stats;
	const struct clock       *clock = resolver_upstream_env(t->resolver)->clock;
	uint64_t                  before[OUTCOMES];
	const struct addr         from = trace_client(resolver_setup(t->resolver));
	uint8_t                   query[TRACE_QUERY_MAX];
	const struct net_message  m = {
		.octets = query, .len = trace_write_query(&r->question, query), .from = &from, .proto = NET_TCP,
		.boot_ms = clock_boot_ms(clock), .mono_us = clock_mono_us(clock), .source = t, .index = NET_ALONE,
		.keep = trace_keep,
	};
	struct net_reply          reply = { .octets = r->reply, .size = sizeof r->reply };
	enum net_verdict          verdict;

	for (unsigned o = 0; o < OUTCOMES; o++)
		before[o] = atomic_load_explicit(&stats->outcome[o], memory_order_relaxed);
	r->asked_us = m.mono_us;
	verdict = resolver_on_message(t->resolver, &m, &reply);
	if (verdict == NET_LATER)
		return;
	r->answered_us = trace_now_us(t);
	r->outcome = trace_outcome(stats, before);
	r->reply_len = verdict == NET_REPLY ? reply.len : 0;
	resolver_on_batch_done(t->resolver, m.mono_us, r->answered_us, 1);
	trace_finish(t, r);
}

void trace_begin(struct resolver *resolver, const struct trace_question *q, uint64_t ordered_us,
                 void (*done)(void *arg, struct trace_report *report), void *arg)
{
	struct trace        *t = malloc(sizeof *t);
	struct trace_report *r = malloc(sizeof *r);

	if (!t || !r) {
		free(t);
		free(r);
		done(arg, NULL);
		return;
	}
	memset(r, 0, offsetof(struct trace_report, reply));
	r->question = *q;
	r->ordered_us = ordered_us;
	*t = (struct trace){ .resolver = resolver, .report = r, .done = done, .arg = arg };
	trace_ask(t);
}
