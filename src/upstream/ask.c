/* ask.c - the same question to each server, until one has answered or all have failed.
 *
 * Over UDP a question goes out up to three times, over a stream once more if the
 * connection ends under it.  Whoever truncates, or is under attack, is asked by
 * stream; an alias whose end a server has left open is followed there.
 *
 * Always true: while an ask is not over its timer runs, and it ends by that
 * timer alone, so never inside a call of its owner's.
 */
#include "upstream/ask.h"

#include "base/clock.h"
#include "dns/record.h"
#include "upstream/prober.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ASK_SENDS     6u	/* to one server; by its nature or its troubles no ask needs more */
#define ASK_RESENDS   3u	/* over UDP, when nothing comes back … */
#define ASK_RESEND_MS 500u	/* … after this, and then twice that */
#define ASK_ROOM      4096u	/* no answer that is larger can be of use */

struct ask_server {
	struct ask              *ask;
	struct channel          *channel;	/* borrowed */
	struct exchange_question question;
	struct dns_name          name;		/* asked for: the first name, or where its aliases lead */
	unsigned                 aliases;
	struct exchange          sends[ASK_SENDS];
	unsigned                 send_count;
	bool                     by_stream;
	bool                     again;		/* asked once more after a connection that ended */
	bool                     failed;	/* nothing more will be asked of it … */
	bool                     answered;	/* … and it did answer, but that was of no use */
	uint8_t                  kind;		/* that answer's */
	enum health_reason       reason;
};

struct ask {
	struct ask_conf    conf;
	struct timer       timer;	/* the next resend, the end, or at once to say that it is over */
	uint64_t           began_ms;
	unsigned           rounds;	/* resends that were due */
	bool               taken;
	size_t             server_count;
	struct ask_server  servers[];
};

static const struct upstream_env *ask_env(const struct ask *a)
{
	return a->servers[0].channel->env;
}

static uint64_t ask_now_ms(const struct ask *a)
{
	return clock_mono_us(ask_env(a)->clock) / 1000;
}

static bool ask_is_over(const struct ask *a)
{
	for (size_t i = 0; i < a->server_count; i++)
		if (!a->servers[i].failed)
			return a->taken;
	return true;
}

/* Resends after 0.5 s and 1.5 s; then the end. */
static void ask_arm(struct ask *a)
{
	uint32_t due_ms = ASK_RESEND_MS * ((1u << (a->rounds + 1)) - 1);
	uint64_t at_ms = a->began_ms + (a->rounds + 1 < ASK_RESENDS ? due_ms : ASK_TIME_MS);

	timer_start(ask_env(a)->timers, &a->timer, ask_is_over(a) ? 0 : at_ms);
}

static void ask_server_end_sends(struct ask_server *s)
{
	for (unsigned i = 0; i < s->send_count; i++)
		exchange_end(&s->sends[i]);
}

static void ask_server_fail(struct ask_server *s, enum health_reason reason)
{
	ask_server_end_sends(s);
	s->failed = true;
	s->reason = reason;
	ask_arm(s->ask);
}

static void ask_on_event(struct exchange *x, enum exchange_event event, const struct dns_answer *answer,
                         const struct dns_name *target);

static void ask_server_send(struct ask_server *s)
{
	enum upstream_proto proto = s->channel->upstream->conf.proto;
	bool                by_udp = proto == UPSTREAM_UDP && !s->by_stream;
	struct exchange    *x = &s->sends[s->send_count];
	int                 err;

	if (s->failed || s->send_count == ASK_SENDS)
		return;
	x->question = &s->question;
	x->channel = s->channel;
	x->on_event = ask_on_event;
	err = exchange_start(x, by_udp ? TRANSPORT_UDP : upstream_stream(s->channel->upstream));
	if (err < 0)
		ask_server_fail(s, prober_reason(err));
	else
		s->send_count++;
}

static void ask_server_go_by_stream(struct ask_server *s)
{
	ask_server_end_sends(s);
	s->by_stream = true;
	ask_server_send(s);
}

static void ask_server_follow(struct ask_server *s, const struct dns_name *target)
{
	ask_server_end_sends(s);
	if (++s->aliases > DNS_CHAIN_MAX || s->send_count == ASK_SENDS) {
		ask_server_fail(s, HEALTH_SERVFAIL);
		return;
	}
	s->name = *target;
	dns_name_lower(s->name.octets, s->name.len);
	s->question.scrub.qname_len = s->name.len;
	ask_server_send(s);
}

static void ask_server_answered(struct ask_server *s, const struct dns_answer *answer)
{
	struct ask *a = s->ask;

	s->answered = true;
	s->kind = answer->kind;
	if (!a->taken && a->conf.take(a->conf.arg, answer, &s->name))
		a->taken = true;
	ask_server_fail(s, HEALTH_SERVFAIL);
}

static void ask_server_lost(struct ask_server *s, int error)
{
	if (error == -ECONNRESET && !s->again) {
		s->again = true;
		ask_server_send(s);
		return;
	}
	ask_server_fail(s, prober_reason(error));
}

/* Each exchange points to its server's question. */
static struct ask_server *ask_server_of(const struct exchange *x)
{
	return (struct ask_server *)(void *)((char *)(uintptr_t)x->question - offsetof(struct ask_server, question));
}

static void ask_on_event(struct exchange *x, enum exchange_event event, const struct dns_answer *answer,
                         const struct dns_name *target)
{
	struct ask_server *s = ask_server_of(x);

	switch (event) {
	case EXCHANGE_ANSWER:
		ask_server_answered(s, answer);
		return;
	case EXCHANGE_ALIAS_OUT:
		ask_server_follow(s, target);
		return;
	case EXCHANGE_TRUNCATED:
	case EXCHANGE_FORGED:
	case EXCHANGE_CASE:
		ask_server_go_by_stream(s);
		return;
	case EXCHANGE_NO_EDNS:
		ask_server_send(s);
		return;
	case EXCHANGE_FAILED:
		ask_server_fail(s, x->rcode == DNS_REFUSED ? HEALTH_REFUSED : HEALTH_SERVFAIL);
		return;
	case EXCHANGE_LOOP:
		ask_server_fail(s, HEALTH_SERVFAIL);
		return;
	case EXCHANGE_LOST:
		ask_server_lost(s, x->error);
		return;
	}
}

static void ask_resend(struct ask *a)
{
	a->rounds++;
	for (size_t i = 0; i < a->server_count; i++) {
		struct ask_server *s = &a->servers[i];

		if (s->channel->upstream->conf.proto == UPSTREAM_UDP && !s->by_stream)
			ask_server_send(s);
	}
}

static void ask_on_timer(struct timer *t)
{
	struct ask *a = list_entry(t, struct ask, timer);
	bool        late = ask_now_ms(a) >= a->began_ms + ASK_TIME_MS;

	if (!ask_is_over(a) && !late) {
		ask_resend(a);
		ask_arm(a);
		return;
	}
	for (size_t i = 0; i < a->server_count; i++)
		ask_server_end_sends(&a->servers[i]);
	a->conf.over(a->conf.arg, a->taken);
}

struct ask *ask_begin(const struct ask_conf *conf)
{
	struct ask *a = calloc(1, sizeof *a + conf->server_count * sizeof a->servers[0]);

	if (!a)
		return NULL;
	a->conf = *conf;
	a->server_count = conf->server_count;
	timer_init(&a->timer, ask_on_timer);
	for (size_t i = 0; i < conf->server_count; i++) {
		struct ask_server *s = &a->servers[i];

		s->ask = a;
		s->channel = conf->servers[i];
		s->reason = HEALTH_SILENT;
		s->name.len = conf->qname_len;
		memcpy(s->name.octets, conf->qname, conf->qname_len);
		s->question = (struct exchange_question){
			.scrub = { .qname = s->name.octets, .qname_len = conf->qname_len, .qtype = conf->qtype,
			           .mixed_case = true,
			           .ttl = { .max_s = UINT32_MAX >> 1, .negative_max_s = UINT32_MAX >> 1 } },
			.edns_size = s->channel->env->edns_size,
			.case_mixing = true,
		};
	}
	a->began_ms = ask_now_ms(a);
	ask_arm(a);
	for (size_t i = 0; i < a->server_count; i++)
		ask_server_send(&a->servers[i]);
	return a;
}

void ask_end(struct ask *a)
{
	if (!a)
		return;
	timer_stop(ask_env(a)->timers, &a->timer);
	for (size_t i = 0; i < a->server_count; i++)
		ask_server_end_sends(&a->servers[i]);
	free(a);
}

bool ask_was_answered(const struct ask *a)
{
	for (size_t i = 0; i < a->server_count; i++)
		if (a->servers[i].answered)
			return true;
	return false;
}

const char *ask_in_words(const struct ask *a, size_t i)
{
	const struct ask_server *s = &a->servers[i];

	if (s->answered)
		return s->kind == DNS_ANSWER_NXDOMAIN ? "knows no such name" : "knows no address for it";
	switch (s->reason) {
	case HEALTH_SILENT:
		return "does not answer";
	case HEALTH_SERVFAIL:
		return "answers with failures";
	case HEALTH_REFUSED:
		return "refuses";
	case HEALTH_CLOSED:
		return "closes connections";
	case HEALTH_CERTIFICATE:
		return "has a certificate that is not accepted";
	case HEALTH_PROTOCOL:
		return "does not speak the protocol";
	case HEALTH_NO_ROUTE:
		return "cannot be reached, for want of a route";
	case HEALTH_UNREACHABLE:
	case HEALTH_UNRESOLVED:
	case HEALTH_REASONS:
		break;
	}
	return "cannot be reached";
}

size_t ask_read_data(const struct dns_answer *a, const struct dns_name *name, uint16_t type, size_t len, uint8_t *out,
                     size_t max)
{
	uint8_t       msg[ASK_ROOM] = { 0 };
	size_t        at = DNS_HEADER_LEN + name->len + 4u, n = 0;
	struct cursor c;

	if (at + a->required_len > sizeof msg)
		return 0;
	memcpy(msg + DNS_HEADER_LEN, name->octets, name->len);	/* as the body's pointers expect */
	memcpy(msg + at, a->body, a->required_len);
	c = cursor_of(msg, at + a->required_len, at);
	for (unsigned i = 0; i < a->ancount && n < max; i++) {
		struct record r;

		if (record_read(&r, &c, SECTION_ANSWER) != RECORD_READ || r.type != type || r.rdata_len != len)
			continue;
		memcpy(out + n++ * len, msg + r.rdata_at, len);
	}
	return n;
}
