/* send.c - whom a flight asks, when, and what it makes of what comes back.
 *
 * Sends are due at 0, h, 3h, 7h … after the beginning.  One beyond the first,
 * while another is still open, is a hedge and costs a token; without one the
 * flight waits for that try's time to be over.  After a failure the next send
 * goes out at once, free: it takes the place of the one that failed.
 *
 * A question whose connection is cut has done nothing, and its server is there:
 * it goes out again at once, with the others on the next connection.  When that
 * is cut as well, its last try is on a connection of its own where one can be
 * had, since a cut may be meant for one of the others.
 *
 * Always true: at most LIKE_SENDS sends are open at once for one name and
 * type, whatever the combination of DO and CD (RFC 7871 s. 11.2).
 */
#include "resolve/flight_state.h"

#include "upstream/choice.h"
#include "upstream/prober.h"

#include <errno.h>
#include <string.h>

#define SENDS_A_WAY    3	/* for one server and transport (RFC 9520 s. 3.1) */
#define UDP_BEFORE_TCP 2	/* UDP time-outs before TCP is tried (RFC 9715 s. 3.2) */
#define LIKE_SENDS  4
#define ROUNDS_REFUSED 4	/* rounds after which nobody is waited for who could not be reached */
#define H_UNKNOWN_US   300000u	/* until an upstream's answers have shown how quick it is */
#define HEDGE_TENTHS   10u	/* what a hedge costs; each flight brings one */
#define KNOCKS_MAX     4u	/* tries that may have been spent before the route's upstreams are back */
#define KNOCK_APART_US 50000u	/* at least, between attempts at an upstream whose breaker is open */
#define KNOCK_STREAM_APART_US 250000u
#define LOOK_US        100000u	/* whether an upstream has come back, when nothing else is left */
#define CUTS_TOGETHER  2	/* then a question goes alone */
#define WAYS_MAX       64u	/* more upstreams than that in one route are never asked for one question */

static void flight_on_event(struct exchange *x, enum exchange_event event, const struct dns_answer *answer,
                            const struct dns_name *target);

/* ---- bounds ---- */

unsigned flight_open_count(const struct flight *f)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->try_count; i++)
		n += exchange_is_open(&f->tries[i]);
	return n;
}

/* The try's flight: tries[] is one array, and question points into the flight. */
static struct flight *flight_of(const struct exchange *x)
{
	return (struct flight *)(void *)((char *)(uintptr_t)x->question - offsetof(struct flight, question));
}

/* Whoever needed its place may be this very flight, so it goes in a turn of its own. */
static void flight_on_spare(struct exchange *x)
{
	struct flight *f = flight_of(x);

	if (!flight_open_count(f))
		timer_start(f->all->env.timers, &f->end, 0);
}

/* Room for one more send: what is open for nobody ends first, then the oldest one of ours.  False: others hold
 * all places. */
static bool flight_make_room(struct flight *f)
{
	const struct exchanges *all = f->all->env.upstream->open;
	struct exchange        *spare;

	while (exchange_count_like(all, &f->question, &spare) >= LIKE_SENDS && spare)
		exchange_end_spare(spare);
	if (exchange_count_like(all, &f->question, &spare) < LIKE_SENDS)
		return true;
	for (unsigned i = 0; i < f->try_count; i++) {
		if (!exchange_is_open(&f->tries[i]))
			continue;
		exchange_end(&f->tries[i]);
		return true;
	}
	return false;
}

static bool flights_take_token(struct flights *fs)
{
	if (fs->tokens < HEDGE_TENTHS)
		return false;
	fs->tokens -= HEDGE_TENTHS;
	return true;
}

/* ---- whom to ask ---- */

/* Is this try open, over a stream to this upstream? */
static bool flight_is_stream_to(const struct flight *f, unsigned i, const struct way *w)
{
	return f->tries[i].channel == w->channel && f->tries[i].kind != TRANSPORT_UDP && exchange_is_open(&f->tries[i]);
}

static bool flight_waits_on_stream(const struct flight *f, const struct way *w)
{
	for (unsigned i = 0; i < f->try_count; i++)
		if (flight_is_stream_to(f, i, w))
			return true;
	return false;
}

/* Has this try had as long as answers take? */
static bool flight_try_is_slow(const struct flight *f, unsigned i, uint64_t now_us)
{
	const struct transport_send *s = &f->tries[i].send;

	return f->given_up[i] || (s->sent_us && now_us >= s->sent_us + f->h_us);
}

/* A stream loses nothing, so asking again over it is no use while it is a makeshift for UDP.  Where it is the only
 * way, the server may be slow for one question, or the connection dead: one more may go out, over another, but not
 * while the first one's connection is still being opened. */
static bool flight_may_stream(const struct flight *f, const struct way *w, enum transport_kind stream)
{
	unsigned most = upstream_by_udp(w->channel->upstream) ? 1 : 2, n = 0;
	uint64_t now_us = flight_now_us(f);

	for (unsigned i = 0; i < f->try_count; i++) {
		if (!flight_is_stream_to(f, i, w))
			continue;
		if (++n == most || !flight_try_is_slow(f, i, now_us))
			return false;
	}
	return !w->dead[stream] && w->sends[stream] < SENDS_A_WAY;
}

/* By which transport this upstream is to be asked next; -1: by none. */
static int flight_next_kind(const struct flight *f, const struct way *w)
{
	enum transport_kind stream = upstream_stream(w->channel->upstream);
	bool by_udp = upstream_by_udp(w->channel->upstream) && !w->by_stream &&
	              !w->dead[TRANSPORT_UDP] && w->sends[TRANSPORT_UDP] < SENDS_A_WAY;
	bool by_stream = flight_may_stream(f, w, stream);

	if (w->out || w->resting || (w->dead[TRANSPORT_UDP] && !w->by_stream))
		return -1;
	if (by_udp && (w->sends[TRANSPORT_UDP] < UDP_BEFORE_TCP || !by_stream))
		return TRANSPORT_UDP;
	return by_stream ? (int)stream : -1;
}

static unsigned way_sends(const struct way *w)
{
	unsigned n = 0;

	for (unsigned kind = 0; kind < TRANSPORT_KINDS; kind++)
		n += w->sends[kind];
	return n;
}

/* NULL: none is left. */
static struct way *flight_choose(struct flight *f)
{
	const struct upstream_env *env = f->all->env.upstream;
	struct candidate           list[WAYS_MAX];
	struct way                *way[WAYS_MAX];
	size_t                     n = 0;
	int                        best;

	for (size_t i = 0; i < f->way_count && n < WAYS_MAX; i++) {
		struct way *w = &f->ways[i];

		if (flight_next_kind(f, w) < 0)
			continue;
		way[n] = w;
		list[n++] = (struct candidate){ &w->channel->upstream->health, way_sends(w) };
	}
	best = choice_make(f->view->setup->conf.policy->routes[f->route].choice,
	                   f->refresh ? CHOICE_REFRESH : CHOICE_CLIENT, list, n, env->rng, flight_now_us(f));
	return best < 0 ? NULL : way[best];
}

/* ---- asking ---- */

/* Then trouble with the stream is why there is no answer, and not one more sign of a server that is away. */
static bool flight_needs_stream(const struct way *w)
{
	return w->by_stream || !upstream_by_udp(w->channel->upstream);
}

/* A transport that would not even send. */
static void flight_note_error(struct flight *f, struct way *w, enum transport_kind kind, int error)
{
	switch (error) {
	case -ENOMEM:
	case -ENOBUFS:
	case -EMFILE:
	case -ENFILE:
	case -EAGAIN:		/* that may be better in a moment */
		stats_count(flight_stats(f), STATS_NO_MEMORY);
		f->local_trouble = true;
		w->resting = true;
		return;
	case -ENETUNREACH:
	case -EHOSTUNREACH:
	case -ENETDOWN:
	case -EADDRNOTAVAIL:
		f->local_trouble = true;
		break;
	case -EKEYREJECTED:	/* it is known to be somebody else, or to speak no TLS: as bad as finding it out again */
	case -EPROTO:
		prober_failed(w->channel, prober_reason(error), f->key.name_hash);
		f->stream_trouble = true;
		break;
	default:
		f->stream_trouble |= kind != TRANSPORT_UDP && flight_needs_stream(w);
	}
	w->dead[kind] = true;
}

/* All sockets to this upstream are taken: the oldest answer that nobody waits for makes way.  False: there is none. */
static bool flights_make_place(struct flights *fs, const struct channel *c)
{
	for (struct list *n = fs->over.next; n != &fs->over; n = n->next) {
		struct flight *f = list_entry(n, struct flight, lot);

		for (unsigned i = 0; i < f->try_count; i++) {
			if (f->tries[i].channel != c || !exchange_is_open(&f->tries[i]))
				continue;
			exchange_end_spare(&f->tries[i]);
			return true;
		}
	}
	return false;
}

/* How long a try has to be answered before it is given up. */
static uint64_t flight_patience_us(const struct flight *f, const struct way *w)
{
	uint64_t us = atomic_load_explicit(&w->channel->upstream->health.timeout_us, memory_order_relaxed);
	uint64_t fixed_us = (uint64_t)flight_times(f)->resend_after_ms * 1000;

	return us > fixed_us ? us : fixed_us;
}

enum flight_sent {
	FLIGHT_SENT,
	FLIGHT_BLOCKED,		/* sends of its variants hold all places: later */
	FLIGHT_EXHAUSTED,	/* this way, or every way, has been tried out */
};

/* Asks one upstream. */
static enum flight_sent flight_send_to(struct flight *f, struct way *w)
{
	int              kind = flight_next_kind(f, w), err;
	struct exchange *x;

	if (kind < 0 || f->try_count == FLIGHT_TRIES || !f->budget)
		return FLIGHT_EXHAUSTED;
	if (!flight_make_room(f))
		return FLIGHT_BLOCKED;
	x = &f->tries[f->try_count];
	x->question = &f->question;
	x->channel = w->channel;
	x->on_event = flight_on_event;
	x->on_spare = flight_on_spare;
	x->send.apart = kind != TRANSPORT_UDP && (w->knocked || w->cuts >= CUTS_TOGETHER || flight_waits_on_stream(f, w));
	err = exchange_start(x, (enum transport_kind)kind);
	if (err == -EAGAIN && flights_make_place(f->all, w->channel))
		err = exchange_start(x, (enum transport_kind)kind);
	if (err < 0) {
		flight_note_error(f, w, (enum transport_kind)kind, err);
		return FLIGHT_EXHAUSTED;
	}
	f->over_us[f->try_count] = x->started_us + flight_patience_us(f, w);
	if (f->round_us < x->started_us + f->h_us)	/* it took the place of one that failed */
		f->round_us = x->started_us + f->h_us;
	w->sends[kind]++;
	f->budget--;
	stats_count(flight_stats(f), STATS_SENDS);
	if (f->try_count++)
		stats_count(flight_stats(f), STATS_RESENDS);
	return FLIGHT_SENT;
}

static enum flight_sent flight_send(struct flight *f)
{
	enum flight_sent sent = FLIGHT_EXHAUSTED;
	struct way      *w;

	while (sent == FLIGHT_EXHAUSTED && f->try_count < FLIGHT_TRIES && f->budget && (w = flight_choose(f)))
		sent = flight_send_to(f, w);
	return sent;
}

/* ---- the schedule ---- */

static uint64_t flight_round_at_us(const struct flight *f)
{
	if (f->rounds >= FLIGHT_TRIES)
		return NEVER_US;
	return f->began_us + (uint64_t)f->h_us * ((UINT64_C(1) << f->rounds) - 1);
}

/* The round is done; the next one lies ahead. */
static void flight_next_round(struct flight *f, uint64_t now_us)
{
	do
		f->rounds++;
	while (flight_round_at_us(f) <= now_us);
	f->round_us = flight_round_at_us(f);
}

/* Rings for the next round, or when a try's time is over, whichever comes first. */
static void flight_schedule(struct flight *f)
{
	uint64_t at_us = f->round_us;

	if (f->parked)
		return;
	for (unsigned i = 0; i < f->try_count; i++)
		if (exchange_is_open(&f->tries[i]) && !f->given_up[i] && f->over_us[i] < at_us)
			at_us = f->over_us[i];
	if (at_us == NEVER_US && !f->over)
		at_us = flight_now_us(f) + LOOK_US;	/* nothing is left to do, unless somebody comes back */
	if (at_us == NEVER_US)
		timer_stop(f->all->env.timers, &f->step);
	else
		flight_step_at(f, at_us);
}

/* In a new epoch what has been tried in vain may be tried again; who has replied need not. */
static bool flight_notice_epoch(struct flight *f)
{
	uint16_t epoch = route_epoch(f->view, f->route);

	if (epoch == f->epoch)
		return false;
	f->epoch = epoch;
	for (size_t i = 0; i < f->way_count; i++) {
		struct way *w = &f->ways[i];

		memset(w->sends, 0, sizeof w->sends);
		memset(w->dead, 0, sizeof w->dead);
		w->cuts = 0;
		w->resting = false;
		w->knocked = false;
	}
	return true;
}

/* Nobody could be reached: perhaps they are starting up.  When to try again; NEVER_US: it has been tried. */
static uint64_t flight_rest_until_us(const struct flight *f, uint64_t now_us)
{
	bool any = false;

	for (size_t i = 0; i < f->way_count; i++)
		any |= f->ways[i].resting;
	for (unsigned round = 1; any && round < ROUNDS_REFUSED; round++) {
		uint64_t at_us = f->began_us + (uint64_t)H_UNKNOWN_US * ((UINT64_C(1) << round) - 1);

		if (at_us > now_us)
			return at_us;
	}
	return NEVER_US;
}

/* Open, and their time is not over. */
static unsigned flight_live_count(const struct flight *f)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->try_count; i++)
		n += exchange_is_open(&f->tries[i]) && !f->given_up[i];
	return n;
}

/* Tries whose time is over may still answer, but do not hold up others any more. */
static void flight_give_up_tries(struct flight *f, uint64_t now_us)
{
	for (unsigned i = 0; i < f->try_count; i++) {
		if (!exchange_is_open(&f->tries[i]) || f->given_up[i] || now_us < f->over_us[i])
			continue;
		f->given_up[i] = true;
		channel_count(f->tries[i].channel, UPSTREAM_TIMEOUT);
		prober_failed(f->tries[i].channel, HEALTH_SILENT, f->key.name_hash);
	}
}

void flight_go_on(struct flight *f)
{
	if (route_is_stranded(f->view, f->route)) {
		if (!flight_park(f))
			flight_give_up(f);
		return;
	}
	flight_unpark(f);
	if (flight_send(f) == FLIGHT_EXHAUSTED && !flight_open_count(f)) {
		f->round_us = flight_rest_until_us(f, flight_now_us(f));
		if (f->round_us == NEVER_US) {
			flight_give_up(f);
			return;
		}
	}
	flight_schedule(f);
}

/* Is another send due?  One while others may still be answered costs a token. */
static bool flight_is_due(struct flight *f, uint64_t now_us)
{
	struct stats *s = flight_stats(f);

	if (!flight_live_count(f))
		return now_us >= f->round_us || f->round_us == NEVER_US || flight_open_count(f);
	if (now_us < f->round_us)
		return false;
	if (!flight_choose(f)) {		/* nobody to ask: that may be otherwise in the next round */
		flight_next_round(f, now_us);
		return false;
	}
	if (!flights_take_token(f->all)) {
		f->round_us = NEVER_US;		/* until the time of what is open is over */
		stats_count(s, STATS_HEDGES_REFUSED);
		return false;
	}
	stats_count(s, STATS_HEDGES);
	return true;
}

void flight_on_step(struct timer *t)
{
	struct flight *f = list_entry(t, struct flight, step);
	uint64_t       now_us = flight_now_us(f);
	bool           anew = f->parked;

	if (f->parked && route_is_stranded(f->view, f->route) && flight_park(f))
		return;
	flight_give_up_tries(f, now_us);
	anew |= !f->over && flight_notice_epoch(f);
	if (f->over || (!anew && !flight_is_due(f, now_us))) {
		flight_schedule(f);
		return;
	}
	flight_unpark(f);
	for (size_t i = 0; i < f->way_count; i++)
		f->ways[i].resting = false;
	flight_next_round(f, now_us);
	flight_go_on(f);
}

/* ---- while parked ---- */

static uint64_t flight_knock_h_us(const struct way *w)
{
	uint64_t h_us = atomic_load_explicit(&w->channel->upstream->health.hedge_us, memory_order_relaxed);

	return h_us ? h_us : H_UNKNOWN_US;
}

/* How long before the end of its time the question goes out: as late as it can be answered, which takes twice as long
 * as answers do, or four times on a new connection. */
static uint64_t flight_knock_lead_us(const struct way *w, uint64_t patience_us)
{
	uint64_t lead_us = (upstream_by_udp(w->channel->upstream) ? 2 : 4) * flight_knock_h_us(w);

	return lead_us < patience_us / 2 ? lead_us : patience_us / 2;
}

/* Between two attempts, a probe's or a question's, at one upstream.  Over a stream each is a connection, of which there
 * are only so many. */
static uint64_t flight_knock_apart_us(const struct way *w)
{
	uint64_t h_us = flight_knock_h_us(w);

	if (!upstream_by_udp(w->channel->upstream))
		return KNOCK_STREAM_APART_US;
	return h_us > KNOCK_APART_US ? h_us : KNOCK_APART_US;
}

/* Asks this way if that is due.  Gives when it is; UINT64_MAX: not any more. */
static uint64_t flight_knock_at(struct flight *f, struct way *w, uint64_t patience_us, uint64_t end_us)
{
	struct health *h = &w->channel->upstream->health;
	uint64_t       now_us = flight_now_us(f), at_us = end_us - flight_knock_lead_us(w, patience_us);

	if (w->knocked || f->try_count >= KNOCKS_MAX || health_is_hopeless(h))
		return UINT64_MAX;
	if (now_us < at_us)
		return at_us;
	w->knocked = true;
	if (flight_next_kind(f, w) >= 0 && health_knock(h, flight_knock_apart_us(w), now_us))
		flight_send_to(f, w);
	return UINT64_MAX;
}

uint64_t flight_knock(struct flight *f, uint64_t patience_us, uint64_t end_us)
{
	uint64_t next_us = end_us;

	for (size_t i = 0; i < f->way_count && !f->refresh; i++) {
		uint64_t at_us = flight_knock_at(f, &f->ways[i], patience_us, end_us);

		next_us = at_us < next_us ? at_us : next_us;
	}
	return next_us;
}

static uint32_t flight_h_us(const struct flight *f)
{
	uint32_t fixed_ms = flight_times(f)->resend_after_ms, learned_us = 0;

	if (fixed_ms)
		return fixed_ms * 1000;
	if (f->try_count)
		learned_us = atomic_load_explicit(&f->tries[0].channel->upstream->health.hedge_us,
		                                  memory_order_relaxed);
	return learned_us ? learned_us : H_UNKNOWN_US;
}

/* Choosing needs to know what all are like.  Those that nobody asks are asked a control question now and then: no
 * client waits for that. */
static void flight_look_at_others(const struct flight *f, const struct route_conf *route)
{
	if (f->refresh || f->way_count < 2 || route->choice == UPSTREAM_ORDERED || route->choice == UPSTREAM_SPREAD)
		return;
	for (size_t i = 0; i < f->way_count; i++)
		if (!f->try_count || f->ways[i].channel != f->tries[0].channel)
			prober_look(f->ways[i].channel);
}

void flight_send_first(struct flight *f)
{
	const struct route_conf *route = &f->view->setup->conf.policy->routes[f->route];
	uint64_t                 now_us = f->began_us;

	f->epoch = route_epoch(f->view, f->route);
	f->round_us = now_us;		/* with nothing sent the next turn of the wheel goes on, so that nobody
					 * hears before we return */
	if (route_is_stranded(f->view, f->route)) {
		flight_park(f);
	} else if (flight_send(f) == FLIGHT_SENT) {
		if (route->choice == UPSTREAM_RACE && f->way_count > 1 && !f->refresh)
			flight_send(f);
		f->h_us = flight_h_us(f);
		flight_next_round(f, now_us);
		flight_look_at_others(f, route);
	}
	if (!f->h_us)
		f->h_us = flight_h_us(f);
	flight_schedule(f);
}

/* ---- what exchanges say ---- */

static struct way *flight_way_of(struct flight *f, const struct exchange *x)
{
	for (size_t i = 0; i < f->way_count; i++)
		if (f->ways[i].channel == x->channel)
			return &f->ways[i];
	return NULL;		/* not reached: a try's channel is one of our ways */
}

/* The try has failed: another takes its place, unless one has already, when its time was over. */
static void flight_replace(struct flight *f, const struct exchange *x)
{
	if (f->given_up[x - f->tries] && flight_live_count(f))
		flight_schedule(f);
	else
		flight_go_on(f);
}

/* This upstream is to be asked otherwise, at once; if that cannot be, somebody else. */
static void flight_ask_otherwise(struct flight *f, struct way *w)
{
	if (flight_send_to(f, w) == FLIGHT_SENT)
		flight_schedule(f);
	else
		flight_go_on(f);
}

static void flight_on_lost(struct flight *f, struct way *w, const struct exchange *x)
{
	bool stream = x->kind != TRANSPORT_UDP;

	if (transport_kind_is_encrypted(x->kind) && upstream_is_clear(x->channel->upstream)) {
		flight_ask_otherwise(f, w);	/* there is no TLS to be had, and it may do without */
		return;
	}
	f->stream_trouble |= stream && flight_needs_stream(w);
	if (f->parked) {		/* a probe may hear the same, and is asked again when its time has come */
		prober_failed(x->channel, prober_reason(x->error), f->key.name_hash);
		flight_schedule(f);
		return;
	}
	switch (stream ? x->error : 0) {
	case -ECONNRESET:
		f->cuts++;
		w->cuts++;
		break;
	case -ETIMEDOUT:	/* fell silent: it is opened anew at once */
	case -EBADMSG:
		break;
	case -EKEYREJECTED:	/* will not be better soon */
	case -EPROTO:
		w->dead[x->kind] = true;
		break;
	case -EREMOTEIO:	/* a reply, and not an answer */
		w->out = true;
		break;
	default:		/* perhaps it is starting up; unless it is there, but has no streams */
		w->resting = true;
		w->dead[x->kind] = w->by_stream;
	}
	/* One stream may end at any time, and its server is well: the next one shows. */
	if (x->error == -ECONNRESET && flight_send_to(f, w) == FLIGHT_SENT) {
		flight_schedule(f);
		return;
	}
	prober_failed(x->channel, prober_reason(x->error), f->key.name_hash);
	flight_replace(f, x);
}

static void flight_on_failed(struct flight *f, struct way *w, const struct exchange *x)
{
	if (f->parked) {		/* like a probe's: the server is not well yet, and what it says is not the last word */
		flight_schedule(f);
		return;
	}
	w->out = true;
	f->replies++;
	if (f->ede == DNS_EDE_NONE && x->ede != DNS_EDE_NONE) {
		f->ede = x->ede;
		f->ede_from = x->channel->upstream->conf.name;
	}
	f->refusals += x->rcode == DNS_REFUSED;
	prober_failed(x->channel, x->rcode == DNS_REFUSED ? HEALTH_REFUSED : HEALTH_SERVFAIL, f->key.name_hash);
	flight_replace(f, x);
}

static void flight_count_answer(struct flight *f, const struct exchange *x)
{
	if (f->given_up[x - f->tries])
		channel_count(x->channel, UPSTREAM_LATE);
	else if (x != &f->tries[0] && exchange_is_open(&f->tries[0]))
		stats_count(flight_stats(f), STATS_HEDGES_WON);
}

static void flight_on_event(struct exchange *x, enum exchange_event event, const struct dns_answer *answer,
                            const struct dns_name *target)
{
	struct flight *f = flight_of(x);
	struct way    *w = flight_way_of(f, x);

	if (f->over) {
		flight_on_late(f, x, event, answer);
		return;
	}
	switch (event) {
	case EXCHANGE_ANSWER:
		flight_count_answer(f, x);
		flight_succeed(f, answer, x);
		return;
	case EXCHANGE_ALIAS_OUT:
		flight_chase(f, answer, target);
		return;
	case EXCHANGE_LOOP:
		flight_fail_plainly(f, DNS_EDE_NONE);
		return;
	case EXCHANGE_FORGED:
	case EXCHANGE_TRUNCATED:
		w->by_stream = true;
		flight_ask_otherwise(f, w);
		return;
	case EXCHANGE_CASE:
		w->by_stream = true;
		flight_send_to(f, w);
		return;
	case EXCHANGE_NO_EDNS:
		w->sends[x->kind] -= w->sends[x->kind] > 0;	/* unless a new epoch has begun meanwhile */
		flight_ask_otherwise(f, w);
		return;
	case EXCHANGE_FAILED:
		flight_on_failed(f, w, x);
		return;
	case EXCHANGE_LOST:
		flight_on_lost(f, w, x);
		return;
	}
}
