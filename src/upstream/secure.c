/* secure.c - what was reached, and when to try for more. */
#include "upstream/secure.h"

#include "base/clock.h"
#include "base/log.h"
#include "dns/message.h"
#include "upstream/exchange.h"
#include "upstream/upstream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COMPARE_US    UINT64_C(2000000)	/* later nothing follows from an answer in clear */
#define LOOK_FIRST_US UINT64_C(10000000)
#define FAILED_APART_US UINT64_C(5000000)	/* longer than opening takes, shorter than the first look */
#define LOOK_MAX_US   UINT64_C(3600000000)
#define LOOK_TIME_US  UINT64_C(10000000)	/* a look that has ended without a word is over by then */

const char secure_unanswered[] = "questions over TLS are not answered";

const char *const secure_level_names[] = {
	[SECURE_UNKNOWN] = "unknown",
	[SECURE_CLEAR] = "clear",
	[SECURE_ENCRYPTED] = "encrypted",
	[SECURE_AUTHENTICATED] = "authenticated",
};

void secure_init(struct secure *s, const char *name, bool may_change, bool begins_off, enum transport_kind kind)
{
	memset(s, 0, sizeof *s);
	s->name = name;
	s->may_change = may_change;
	s->begins_off = begins_off;
	atomic_init(&s->kind, (uint8_t)kind);
	atomic_init(&s->off, begins_off);
}

/* ---- what was reached ---- */

static void secure_tell(const struct secure *s, enum secure_level level, const char *doubt)
{
	static const char *const words[] = {
		[SECURE_UNKNOWN] = "",
		[SECURE_CLEAR] = "asked in clear text",
		[SECURE_ENCRYPTED] = "asked over TLS, not authenticated",
		[SECURE_AUTHENTICATED] = "asked over TLS, authenticated",
	};
	const struct log_field fields[] = { { "LARDER_UPSTREAM", s->name }, { NULL, NULL } };

	log_event(LOG_LEVEL_NOTICE, fields, "upstream %s: %s%s%s", s->name, words[level], doubt ? ": " : "",
	          doubt ? doubt : "");
}

/* Told where it could have been another one. */
static void secure_reach(struct secure *s, enum secure_level level, const char *doubt)
{
	const char *before = atomic_exchange(&s->doubt, doubt);

	if ((atomic_exchange(&s->level, (uint8_t)level) != level || before != doubt) && s->may_change)
		secure_tell(s, level, doubt);
}

void secure_on_opened(struct secure *s, const char *doubt)
{
	if (!secure_is_off(s))	/* else it takes an answer */
		secure_reach(s, doubt ? SECURE_ENCRYPTED : SECURE_AUTHENTICATED, doubt);
}

void secure_on_clear(struct secure *s)
{
	if (!s->may_change && atomic_load_explicit(&s->level, memory_order_relaxed) != SECURE_CLEAR)
		atomic_store_explicit(&s->level, SECURE_CLEAR, memory_order_relaxed);
}

void secure_on_answer(struct secure *s, uint64_t now_us)
{
	if (s->may_change)
		atomic_store_explicit(&s->answered_us, now_us, memory_order_relaxed);
}

/* ---- off and on ---- */

const char *secure_in_words(int error, const char *why)
{
	if (why)
		return why;
	switch (error) {
	case -ECONNREFUSED:
		return "nobody listens at the TLS port";
	case -ETIMEDOUT:
		return "no answer from the TLS port";
	default:
		return "the TLS port does not speak TLS";
	}
}

/* Does this say something about the server, rather than about us or the network? */
static bool secure_is_telling(int error)
{
	return error == -ECONNREFUSED || error == -ETIMEDOUT || error == -ECONNRESET || error == -EPROTO ||
	       error == -EHOSTUNREACH || error == -EKEYREJECTED;
}

void secure_on_failed(struct secure *s, int error, const char *why, uint64_t now_us)
{
	uint32_t n;
	uint64_t wait_us, before;

	if (!s->may_change || !secure_is_telling(error))
		return;
	/* Several streams of several workers tell of one and the same. */
	before = atomic_load(&s->failed_us);
	if ((before && now_us < before + FAILED_APART_US) ||
	    !atomic_compare_exchange_strong(&s->failed_us, &before, now_us))
		return;
	n = atomic_fetch_add(&s->failures, 1);
	wait_us = n < 16 ? LOOK_FIRST_US << n : LOOK_MAX_US;
	atomic_store(&s->look_us, now_us + (wait_us < LOOK_MAX_US ? wait_us : LOOK_MAX_US));
	atomic_store(&s->off, true);
	secure_reach(s, SECURE_CLEAR, secure_in_words(error, why));
}

void secure_on_seen(struct secure *s, enum transport_kind kind, const char *doubt)
{
	atomic_store(&s->failures, 0);
	atomic_store(&s->failed_us, 0);
	atomic_store(&s->kind, (uint8_t)kind);
	atomic_store(&s->off, false);
	secure_reach(s, doubt ? SECURE_ENCRYPTED : SECURE_AUTHENTICATED, doubt);
}

void secure_on_unseen(struct secure *s, const char *why, uint64_t now_us, uint64_t wait_us)
{
	atomic_store(&s->off, true);
	secure_look_again(s, now_us + wait_us);
	secure_reach(s, SECURE_CLEAR, why);
}

void secure_begin_anew(struct secure *s)
{
	atomic_store(&s->failures, 0);
	atomic_store(&s->failed_us, 0);
	atomic_store(&s->look_us, 0);
	atomic_store(&s->off, s->begins_off);
}

bool secure_take_look(struct secure *s, uint64_t now_us)
{
	uint64_t due_us = atomic_load_explicit(&s->look_us, memory_order_relaxed);

	return now_us >= due_us && atomic_compare_exchange_strong(&s->look_us, &due_us, now_us + LOOK_TIME_US);
}

void secure_look_again(struct secure *s, uint64_t at_us)
{
	atomic_store(&s->look_us, at_us);
}

/* ---- one worker's look ---- */

struct secure_look {
	struct channel          *channel;	/* borrowed: it owns us */
	struct exchange          exchange;	/* over TLS … */
	struct exchange          clear;		/* … and in clear, both for the root */
	struct exchange_question question;
	struct dns_name          root;
};

struct secure_look *secure_look_new(struct channel *c)
{
	struct secure_look *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	l->channel = c;
	l->root.len = 1;
	l->question = (struct exchange_question){
		.scrub = { .qname = l->root.octets, .qname_len = l->root.len, .qtype = DNS_NS,
		           .ttl = { .max_s = 1, .negative_max_s = 1 } },
		.edns_size = c->env->edns_size,
	};
	return l;
}

void secure_look_free(struct secure_look *l)
{
	if (!l)
		return;
	exchange_end(&l->exchange);
	exchange_end(&l->clear);
	free(l);
}

static int secure_look_ask(struct secure_look *l, struct exchange *x, enum transport_kind kind,
                           void (*on_event)(struct exchange *x, enum exchange_event event,
                                            const struct dns_answer *answer, const struct dns_name *target))
{
	exchange_end(x);		/* the last one was never answered */
	x->question = &l->question;
	x->channel = l->channel;
	x->on_event = on_event;
	x->on_spare = NULL;
	x->send.apart = false;
	return exchange_start(x, kind);
}

static void secure_look_on_event(struct exchange *x, enum exchange_event event, const struct dns_answer *answer,
                                 const struct dns_name *target)
{
	struct secure *s = &x->channel->upstream->secure;
	bool           again;

	(void)answer, (void)target;
	if (event == EXCHANGE_CASE)
		return;
	if (exchange_finds_well(x, event, &again))
		secure_on_seen(s, x->kind, x->send.doubt);
	else if (!again)	/* where none could be opened, the transport has said why already */
		secure_on_failed(s, event == EXCHANGE_LOST ? x->error : -ETIMEDOUT, secure_unanswered,
		                 clock_mono_us(x->channel->env->clock));
}

void secure_look_if_due(struct secure_look *l, uint64_t now_us)
{
	struct upstream *u = l ? l->channel->upstream : NULL;

	if (!l || !u->conf.opportunistic || !secure_is_off(&u->secure) || !secure_take_look(&u->secure, now_us))
		return;
	secure_look_ask(l, &l->exchange, u->conf.proto == UPSTREAM_HTTPS ? TRANSPORT_HTTPS : TRANSPORT_TLS,
	                secure_look_on_event);
}

/* ---- and whether clear text is better ---- */

/* It answers here, in time, and has not done so over TLS since it was asked. */
static void secure_compare_on_event(struct exchange *x, enum exchange_event event, const struct dns_answer *answer,
                                    const struct dns_name *target)
{
	struct secure *s = &x->channel->upstream->secure;
	uint64_t       now_us = clock_mono_us(x->channel->env->clock);
	bool           again;

	(void)answer, (void)target;
	if (event != EXCHANGE_CASE && exchange_finds_well(x, event, &again) && !secure_is_off(s) &&
	    now_us <= x->started_us + COMPARE_US && atomic_load(&s->answered_us) < x->started_us)
		secure_on_failed(s, -ETIMEDOUT, secure_unanswered, now_us);
}

void secure_compare(struct secure_look *l)
{
	struct upstream *u = l ? l->channel->upstream : NULL;

	if (l && !secure_is_off(&u->secure))
		secure_look_ask(l, &l->clear, u->conf.proto == UPSTREAM_TCP ? TRANSPORT_TCP : TRANSPORT_UDP,
		                secure_compare_on_event);
}
