/* prober.c - control questions and probes.
 *
 * Always true: while asking, this channel holds a ticket of the upstream's, and
 * reports with it exactly once.  Open exchanges that do not belong
 * to the newest round, or to one that has been reported, are waited for by
 * nobody.
 */
#include "upstream/prober.h"

#include "base/clock.h"
#include "base/rng.h"

#include <errno.h>
#include <stdlib.h>

#define LOOK_APART_US UINT64_C(30000000)	/* how long nobody has asked it before a look is due */
#define HEARD_US      UINT64_C(1000000)	/* who has answered since then is there */
#define PROBE_US      450000u	/* how long a probe is waited for: less than the shortest wait between two */
#define ASKED_MAX 3	/* so often one name and type may be asked at once beside us (MATCH-15) */

static void prober_on_timer(struct timer *t);
static void prober_on_event(struct exchange *x, enum exchange_event event, const struct dns_answer *answer,
                            const struct dns_name *target);

static struct health *prober_health(const struct prober *p)
{
	return &p->channel->upstream->health;
}

static uint64_t prober_now_us(const struct prober *p)
{
	return clock_mono_us(p->channel->env->clock);
}

static void prober_ring_at(struct prober *p, uint64_t at_us)
{
	timer_start(p->channel->env->timers, &p->timer, (at_us + 999) / 1000);
}

struct prober *prober_new(struct channel *c)
{
	struct prober *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->channel = c;
	timer_init(&p->timer, prober_on_timer);
	return p;
}

static struct prober_round *prober_round(struct prober *p)
{
	return &p->rounds[p->round % PROBER_ROUNDS];
}

static void prober_end_round(struct prober_round *r)
{
	for (unsigned i = 0; i < HEALTH_QUESTIONS; i++)
		exchange_end(&r->exchange[i]);
}

void prober_free(struct prober *p)
{
	if (!p)
		return;
	timer_stop(p->channel->env->timers, &p->timer);
	for (unsigned i = 0; i < PROBER_ROUNDS; i++)
		prober_end_round(&p->rounds[i]);
	free(p);
}

enum health_reason prober_reason(int error)
{
	switch (error) {
	case -ETIMEDOUT:
		return HEALTH_SILENT;
	case -ECONNRESET:
		return HEALTH_CLOSED;
	case -EKEYREJECTED:
		return HEALTH_CERTIFICATE;
	case -EPROTO:
	case -EBADMSG:
	case -EREMOTEIO:
		return HEALTH_PROTOCOL;
	case -ENETUNREACH:
	case -ENETDOWN:
	case -EADDRNOTAVAIL:
		return HEALTH_NO_ROUTE;
	default:
		return HEALTH_UNREACHABLE;
	}
}

/* ---- asking ---- */

/* After a probe: wait for the next one, as long as the breaker is open. */
static void prober_rest(struct prober *p)
{
	uint64_t at_us = health_next_probe_us(prober_health(p));

	if (at_us != UINT64_MAX)
		prober_ring_at(p, at_us);
}

static void prober_report(struct prober *p, enum health_verdict verdict)
{
	struct health_report r = { .verdict = verdict, .reason = p->reason };

	rng_bytes(p->channel->env->rng, &r.jitter, 1);
	timer_stop(p->channel->env->timers, &p->timer);
	p->asking = false;
	for (unsigned i = 0; i < p->asked; i++)
		prober_round(p)->exchange[i].spare = true;
	health_probed(prober_health(p), p->ticket, &r, prober_now_us(p));
	prober_rest(p);
}

/* Nothing comes back from where it is asked.  Whoever replies is there, or has just answered somebody else. */
static void prober_move_on(struct channel *c, enum health_reason reason)
{
	uint64_t heard_us = atomic_load_explicit(&c->upstream->health.sampled_us, memory_order_relaxed);

	if (reason != HEALTH_SERVFAIL && reason != HEALTH_REFUSED &&
	    (!heard_us || heard_us + HEARD_US <= clock_mono_us(c->env->clock)))
		channel_move_on(c);
}

/* Nothing that was sent has been answered.  What could not be sent, for want of something of our own, says nothing
 * about the server. */
static void prober_report_failure(struct prober *p)
{
	struct channel *c = p->channel;

	if (p->sent)
		prober_move_on(c, p->reason);
	prober_report(p, p->sent ? HEALTH_FAILS : HEALTH_NOT_ASKED);
	if (p->sent)
		secure_compare(c->look);
	if (!c->upstream->conf.host || !c->env->doubt || health_state(prober_health(p)) != HEALTH_OPEN)
		return;
	atomic_store(&c->upstream->doubted, true);
	c->env->doubt(c->env->doubt_arg);
}

static enum transport_kind prober_kind(const struct prober *p)
{
	const struct upstream *u = p->channel->upstream;

	return upstream_by_udp(u) ? TRANSPORT_UDP : upstream_stream(u);
}

/* Is it being asked as often as may be already?  What nobody waits for makes way. */
static bool prober_is_crowded(const struct prober *p, const struct exchange_question *q)
{
	struct exchange *spare;

	while (exchange_count_like(p->channel->env->open, q, &spare) > ASKED_MAX) {
		if (!spare)
			return true;
		exchange_end_spare(spare);
	}
	return false;
}

static bool prober_is_our_own(int error)
{
	return error == -EAGAIN || error == -ENOMEM || error == -ENOBUFS || error == -EMFILE || error == -ENFILE;
}

/* Sends the next question.  False: there is none for this place, or it could not be sent. */
static bool prober_ask(struct prober *p)
{
	unsigned                  n = p->asked++;
	struct prober_round      *r = prober_round(p);
	struct exchange_question *q = &r->question[n];
	struct exchange          *x = &r->exchange[n];
	struct health_question   *name = &r->name[n];
	int                       err;

	if (!health_control(prober_health(p), n, name))
		return false;
	*q = (struct exchange_question){
		.scrub = { .qname = name->qname.octets, .qname_len = name->qname.len, .qtype = name->qtype,
		           .ttl = { .max_s = 1, .negative_max_s = 1 } },
		.name_hash = name->name_hash,
		.edns_size = p->channel->env->edns_size,
	};
	if (prober_is_crowded(p, q))
		return false;
	x->question = q;
	x->channel = p->channel;
	x->on_event = prober_on_event;
	err = exchange_start(x, prober_kind(p));
	if (err < 0 && !p->sent && !prober_is_our_own(err))
		p->reason = prober_reason(err);
	p->sent |= !prober_is_our_own(err);
	p->controls += !err && n < HEALTH_CONTROLS;
	return !err;
}

static bool prober_waits(struct prober *p)
{
	for (unsigned i = 0; i < p->asked; i++)
		if (exchange_is_open(&prober_round(p)->exchange[i]))
			return true;
	return false;
}

/* One has failed: the next, or what is still open, or that was it. */
static void prober_go_on(struct prober *p)
{
	while (p->asked < HEALTH_QUESTIONS)
		if (prober_ask(p))
			return;
	if (!prober_waits(p))
		prober_report_failure(p);
}

/* While the breaker is open the next probe need not wait for this one: an answer counts whenever it comes. */
static uint64_t prober_time_us(const struct prober *p)
{
	if (health_state(prober_health(p)) == HEALTH_OPEN)
		return PROBE_US;
	return atomic_load_explicit(&prober_health(p)->control_us, memory_order_relaxed);
}

/* Each question has its part of the time before the next is asked as well. */
static uint64_t prober_step_us(const struct prober *p)
{
	unsigned steps = p->asked ? p->asked : 1;

	return p->began_us + prober_time_us(p) * (steps < HEALTH_QUESTIONS ? steps : HEALTH_QUESTIONS) / HEALTH_QUESTIONS;
}

/* If there is a ticket for us. */
static void prober_begin(struct prober *p, uint32_t ticket)
{
	if (!ticket)
		return;
	p->ticket = ticket;
	p->round++;			/* what is still under way became void when everything began anew */
	prober_end_round(prober_round(p));
	p->asking = true;
	p->sent = false;
	p->asked = p->controls = 0;
	p->began_us = prober_now_us(p);
	p->reason = HEALTH_SILENT;
	prober_ring_at(p, prober_step_us(p));
	if (!prober_ask(p))
		prober_go_on(p);
}

static void prober_on_timer(struct timer *t)
{
	struct prober *p = list_entry(t, struct prober, timer);
	uint64_t       now_us = prober_now_us(p), end_us = p->began_us + prober_time_us(p);

	if (!p->asking) {
		prober_begin(p, health_take_probe(prober_health(p), now_us));
		if (!p->asking)
			prober_rest(p);
	} else if (now_us >= end_us) {
		prober_report_failure(p);
	} else {
		prober_go_on(p);
		if (p->asking)
			prober_ring_at(p, prober_step_us(p));
	}
}

/* Which of the newest round's questions it is; HEALTH_QUESTIONS: it is of an older one. */
static unsigned prober_which(struct prober *p, const struct exchange *x)
{
	unsigned i = 0;

	while (i < HEALTH_QUESTIONS && x != &prober_round(p)->exchange[i])
		i++;
	return i;
}

static void prober_on_event(struct exchange *x, enum exchange_event event, const struct dns_answer *answer,
                            const struct dns_name *target)
{
	struct prober *p = x->channel->prober;
	unsigned       which = prober_which(p, x);
	bool           root = which >= HEALTH_CONTROLS && p->controls;

	(void)answer;
	(void)target;
	if (!p->asking || which == HEALTH_QUESTIONS)
		return;			/* late: what it says about the server, the exchange has noted */
	switch (event) {
	case EXCHANGE_ANSWER:
	case EXCHANGE_ALIAS_OUT:
	case EXCHANGE_TRUNCATED:	/* it works, and that was the question */
	case EXCHANGE_LOOP:
	case EXCHANGE_NO_EDNS:
		prober_report(p, root ? HEALTH_KNOWS_ROOT : HEALTH_WORKS);
		return;
	case EXCHANGE_CASE:
		return;
	case EXCHANGE_FAILED:
		if (!root)
			p->reason = x->rcode == DNS_REFUSED ? HEALTH_REFUSED : HEALTH_SERVFAIL;
		break;
	case EXCHANGE_LOST:
		if (!root)
			p->reason = prober_reason(x->error);
		break;
	case EXCHANGE_FORGED:
		break;
	}
	prober_go_on(p);
}

/* ---- orders ---- */

void prober_failed(struct channel *c, enum health_reason reason, uint64_t name_hash)
{
	struct prober *p = c->prober;

	prober_move_on(c, reason);
	prober_begin(p, health_failed(prober_health(p), reason, name_hash, prober_now_us(p)));
}

void prober_look(struct channel *c)
{
	struct prober *p = c->prober;

	prober_begin(p, health_take_look(prober_health(p), LOOK_APART_US, prober_now_us(p)));
}

void prober_warm(struct channel *c)
{
	struct prober *p = c->prober;

	if (transport_kind_is_encrypted(prober_kind(p)))
		prober_begin(p, health_take_look(prober_health(p), 0, prober_now_us(p)));
}

void prober_want(struct channel *c)
{
	struct prober *p = c->prober;

	health_want(prober_health(p), prober_now_us(p));
	if (!p->asking)
		prober_rest(p);
}
