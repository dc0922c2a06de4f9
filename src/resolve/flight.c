/* flight.c - asking upstream on behalf of many.
 *
 * Always true:
 *   - a key is in the table exactly while its flight lives;
 *   - a waiter is on one list, and leaves it before done() is called;
 *   - an open exchange belongs to the flight whose tries[] hold it, and none is
 *     open while the flight chases an alias or after it has ended;
 *   - at most VARIANT_SENDS sends are open at once for one name and type,
 *     whatever the combination of DO and CD (RFC 7871 s. 11.2).
 */
#include "resolve/flight_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SENDS_A_WAY    3	/* for one server and transport (RFC 9520 s. 3.1) */
#define UDP_BEFORE_TCP 2	/* UDP time-outs before TCP is tried (RFC 9715 s. 3.2) */
#define VARIANT_SENDS  4
#define ROUNDS_REFUSED 4	/* rounds after which nobody is waited for who could not be reached */

static void flight_on_event(struct exchange *x, enum exchange_event event, const struct dns_answer *answer,
                            const struct dns_name *target);

static const struct upstream_times *flight_times(const struct flight *f)
{
	return &f->view->setup->conf.times;
}

/* ---- the table ---- */

static struct list *flights_bucket(const struct flights *fs, const struct cache_key *key)
{
	return (struct list *)(uintptr_t)&fs->buckets[cache_hash_key(fs->env.cache, key) & (FLIGHT_BUCKETS - 1)];
}

struct flight *flight_find(const struct flights *fs, const struct cache_key *key)
{
	struct list *head = flights_bucket(fs, key);

	for (struct list *n = head->next; n != head; n = n->next) {
		struct flight *f = list_entry(n, struct flight, bucket);

		if (f->key.qtype == key->qtype && f->key.variant == key->variant &&
		    f->key.route == key->route && f->key.qname_len == key->qname_len &&
		    !memcmp(f->qname, key->qname, key->qname_len))
			return f;
	}
	return NULL;
}

struct flights *flights_new(const struct flights_env *env)
{
	struct flights *fs = calloc(1, sizeof *fs);

	if (!fs)
		return NULL;
	fs->env = *env;
	for (unsigned i = 0; i < FLIGHT_BUCKETS; i++)
		list_init(&fs->buckets[i]);
	return fs;
}

size_t flights_count(const struct flights *fs)
{
	return fs->count;
}

bool flight_any_waiter(const struct flight *f, bool (*is)(const struct waiter *, const void *),
                       const void *arg)
{
	for (const struct list *n = f->waiters.next; n != &f->waiters; n = n->next)
		if (is(list_entry(n, struct waiter, node), arg))
			return true;
	return false;
}

void flight_leave(struct waiter *w)
{
	list_remove(&w->node);
}

/* ---- the end ---- */

void flight_stop_asking(struct flight *f)
{
	timer_stop(f->all->env.timers, &f->next_send);
	for (unsigned i = 0; i < f->try_count; i++)
		exchange_end(&f->tries[i]);
}

static void flight_stop(struct flight *f)
{
	flight_stop_asking(f);
	timer_stop(f->all->env.timers, &f->end);
	flight_leave(&f->chase);
}

static void flight_free(struct flight *f)
{
	flight_stop(f);
	list_remove(&f->bucket);
	f->all->count--;
	stats_set(&flight_stats(f)->flights_now, f->all->count);
	view_unref(f->view);
	free((void *)(uintptr_t)f->chain.body);
	free(f);
}

static bool flight_is_chase(const struct waiter *w, const void *arg)
{
	(void)arg;
	return w->done == flight_on_chased;
}

/* An answer whose octets are its own: a join writes over the work area that answers are borrowed from.
 * Gives what is to be freed, or NULL. */
static void *flight_copy_answer(const struct dns_answer *a, struct dns_answer *out)
{
	size_t    offsets = a->ttl_at ? a->ttl_count * sizeof *a->ttl_at : 0;
	uint16_t *copy = malloc(offsets + a->body_len + 1u);

	if (!copy)
		return NULL;
	*out = *a;
	if (offsets)
		out->ttl_at = memcpy(copy, a->ttl_at, offsets);
	out->body = memcpy((uint8_t *)copy + offsets, a->body, a->body_len);
	return copy;
}

/* Tells everybody.  The flight leaves the table first: a waiter may ask anew at once. */
static void flight_finish(struct flight *f, const struct dns_answer *answer, const struct flight_end *end)
{
	const struct flight_end no_memory = { .rcode = DNS_SERVFAIL, .ede = DNS_EDE_NONE };
	struct dns_answer       own;
	void                   *copy = NULL;
	struct list             waiters;
	struct list            *n;

	if (answer && flight_any_waiter(f, flight_is_chase, NULL)) {
		copy = flight_copy_answer(answer, &own);
		answer = copy ? &own : NULL;
		end = copy ? end : &no_memory;
	}

	flight_stop(f);
	list_remove(&f->bucket);
	list_init(&waiters);
	list_splice(&waiters, &f->waiters);
	while ((n = list_take_first(&waiters))) {
		struct waiter *w = list_entry(n, struct waiter, node);

		w->done(w, answer, end);
	}
	free(copy);
	flight_free(f);
}

void flight_succeed(struct flight *f, const struct dns_answer *answer, const struct exchange *x)
{
	struct flight_end end = { .rcode = answer->rcode, .ede = DNS_EDE_NONE };

	if (x && x->ede != DNS_EDE_NONE) {
		end.ede = x->ede;
		end.ede_text = x->channel->upstream->conf.name;
	}
	if (answer->ttl_s)
		stats_count(flight_stats(f),
		            cache_put(f->all->env.cache, &f->key, answer, flight_boot_ms(f->all)) < 0 ?
		            STATS_CACHE_REFUSED : STATS_CACHE_STORED);
	flight_finish(f, answer, &end);
}

/* Why there is no answer, as far as it is known. */
static struct flight_end flight_reason(const struct flight *f)
{
	struct flight_end end = { .rcode = DNS_SERVFAIL, .ede = DNS_EDE_NO_REACHABLE_AUTHORITY };

	if (f->replies && f->refusals == f->replies && f->refusals == f->way_count)
		end.rcode = DNS_REFUSED;
	if (f->ede != DNS_EDE_NONE) {		/* the server knows better than we */
		end.ede = f->ede;
		end.ede_text = f->ede_from;
	} else if (f->stream_trouble) {
		end.ede = DNS_EDE_NETWORK_ERROR;
	} else if (f->replies && f->replies >= f->way_count) {
		end.ede = DNS_EDE_NONE;		/* all were reached, and said no more than their rcode */
	}
	return end;
}

struct flight_end flight_so_far(const struct waiter *w)
{
	struct flight_end end = flight_reason(w->flight);

	end.rcode = DNS_SERVFAIL;		/* somebody may still have to say something */
	return end;
}

static void flight_fail(struct flight *f, const struct flight_end *end)
{
	const struct cache_times *times = &f->view->setup->conf.cache_times;

	/* Our own troubles are not the question's: it may be asked again at once. */
	if (!f->local_trouble || f->replies)
		cache_put_failure(f->all->env.cache, &f->key, times->failure_first_s, times->failure_max_s,
		                  flight_boot_ms(f->all));
	flight_finish(f, NULL, end);
}

/* No server is to blame. */
void flight_fail_plainly(struct flight *f, uint32_t ede)
{
	const struct flight_end end = { .rcode = DNS_SERVFAIL, .ede = ede };

	flight_fail(f, &end);
}

/* Nothing is left to try. */
static void flight_give_up(struct flight *f)
{
	const struct flight_end end = flight_reason(f);

	flight_fail(f, &end);
}

/* ---- sending ---- */

static unsigned flight_open_count(const struct flight *f)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->try_count; i++)
		n += exchange_is_open(&f->tries[i]);
	return n;
}

/* Open sends for this name and type over all of DO and CD. */
static unsigned flight_variant_sends(const struct flight *f)
{
	struct cache_key key = f->key;
	unsigned         n = 0;

	for (key.variant = 0; key.variant <= (CACHE_DO | CACHE_CD); key.variant++) {
		const struct flight *g = flight_find(f->all, &key);

		n += g ? flight_open_count(g) : 0;
	}
	return n;
}

/* Room for one more send: the oldest one of ours ends when the bound is met.  False: others hold all. */
static bool flight_make_room(struct flight *f)
{
	if (flight_variant_sends(f) < VARIANT_SENDS)
		return true;
	for (unsigned i = 0; i < f->try_count; i++) {
		if (!exchange_is_open(&f->tries[i]))
			continue;
		exchange_end(&f->tries[i]);
		return true;
	}
	return false;
}

/* A stream loses nothing: while it is open, asking again on it is no use. */
static bool flight_streams_to(const struct flight *f, const struct way *w)
{
	for (unsigned i = 0; i < f->try_count; i++)
		if (f->tries[i].channel == w->channel && f->tries[i].kind != TRANSPORT_UDP &&
		    exchange_is_open(&f->tries[i]))
			return true;
	return false;
}

/* By which transport this upstream is to be asked next; -1: by none. */
static int flight_next_kind(const struct flight *f, const struct way *w)
{
	enum transport_kind stream = upstream_stream(w->channel->upstream);
	bool by_udp = w->channel->upstream->conf.proto == UPSTREAM_UDP && !w->by_stream &&
	              !w->dead[TRANSPORT_UDP] && w->sends[TRANSPORT_UDP] < SENDS_A_WAY;
	bool by_stream = !w->dead[stream] && w->sends[stream] < SENDS_A_WAY && !flight_streams_to(f, w);

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

/* The upstream tried least, in the order of the route; NULL: none is left. */
static struct way *flight_choose(struct flight *f)
{
	struct way *best = NULL;
	unsigned    fewest = 0;

	for (size_t i = 0; i < f->way_count; i++) {
		struct way *w = &f->ways[i];
		unsigned    sends = way_sends(w);

		if (flight_next_kind(f, w) >= 0 && (!best || sends < fewest)) {
			best = w;
			fewest = sends;
		}
	}
	return best;
}

/* Then trouble with the stream is why there is no answer, and not one more sign of a server that is away. */
static bool flight_needs_stream(const struct way *w)
{
	return w->by_stream || w->channel->upstream->conf.proto != UPSTREAM_UDP;
}

/* A transport that would not even send. */
static void flight_note_error(struct flight *f, struct way *w, enum transport_kind kind, int error)
{
	switch (error) {
	case -ENOMEM:
	case -ENOBUFS:
	case -EMFILE:
	case -ENFILE:
	case -EAGAIN:
		stats_count(flight_stats(f), STATS_NO_MEMORY);
		f->local_trouble = true;
		break;
	case -ENETUNREACH:
	case -EHOSTUNREACH:
	case -ENETDOWN:
	case -EADDRNOTAVAIL:
		f->local_trouble = true;
		break;
	default:
		f->stream_trouble |= kind != TRANSPORT_UDP && flight_needs_stream(w);
	}
	w->dead[kind] = true;
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
	err = exchange_start(x, (enum transport_kind)kind);
	if (err < 0) {
		flight_note_error(f, w, (enum transport_kind)kind, err);
		return FLIGHT_EXHAUSTED;
	}
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

/* After something went wrong: on to the next at once, or wait for what is open, or give up. */
static bool flight_may_rest(const struct flight *f)
{
	for (size_t i = 0; i < f->way_count; i++)
		if (f->ways[i].resting && f->rounds < ROUNDS_REFUSED)
			return true;
	return false;
}

static void flight_go_on(struct flight *f)
{
	if (flight_send(f) == FLIGHT_EXHAUSTED && !flight_open_count(f) && !flight_may_rest(f))
		flight_give_up(f);
}

static void flight_schedule(struct flight *f)
{
	uint64_t after_ms = (uint64_t)flight_times(f)->resend_after_ms * ((UINT64_C(1) << f->rounds) - 1);

	timer_start(f->all->env.timers, &f->next_send, f->began_us / 1000 + after_ms);
}

static void flight_on_next_send(struct timer *t)
{
	struct flight *f = list_entry(t, struct flight, next_send);

	for (unsigned i = 0; i < f->try_count; i++) {	/* their time is over, but they may still answer */
		if (!exchange_is_open(&f->tries[i]) || f->given_up[i])
			continue;
		f->given_up[i] = true;
		channel_count(f->tries[i].channel, UPSTREAM_TIMEOUT);
	}
	for (size_t i = 0; i < f->way_count; i++)
		f->ways[i].resting = false;
	if (++f->rounds < FLIGHT_TRIES)
		flight_schedule(f);
	flight_go_on(f);
}

static void flight_on_end(struct timer *t)
{
	flight_give_up(list_entry(t, struct flight, end));
}

/* ---- what exchanges say ---- */

static struct way *flight_way_of(struct flight *f, const struct exchange *x)
{
	for (size_t i = 0; i < f->way_count; i++)
		if (f->ways[i].channel == x->channel)
			return &f->ways[i];
	return NULL;		/* not reached: a try's channel is one of our ways */
}

static void flight_on_lost(struct flight *f, struct way *w, const struct exchange *x)
{
	bool stream = x->kind != TRANSPORT_UDP;

	f->stream_trouble |= stream && flight_needs_stream(w);
	/* A stream that was closed or fell silent is opened anew at once.  What cannot be reached may be
	 * starting up: it is tried again in a while, unless it is there but has no streams. */
	if (!stream || (x->error != -ECONNRESET && x->error != -ETIMEDOUT && x->error != -EBADMSG)) {
		w->resting = true;
		w->dead[x->kind] = w->by_stream;
	}
	if (x->error == -ECONNRESET && flight_send_to(f, w) == FLIGHT_SENT)
		return;
	flight_go_on(f);
}

static void flight_on_event(struct exchange *x, enum exchange_event event, const struct dns_answer *answer,
                            const struct dns_name *target)
{
	/* The try's place in its flight: tries[] is one array, and question points into the flight. */
	struct flight *f = (struct flight *)(void *)((char *)(uintptr_t)x->question -
	                                             offsetof(struct flight, question));
	struct way    *w = flight_way_of(f, x);

	switch (event) {
	case EXCHANGE_ANSWER:
		if (f->given_up[x - f->tries])
			channel_count(x->channel, UPSTREAM_LATE);
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
		if (flight_send_to(f, w) != FLIGHT_SENT)
			flight_go_on(f);
		return;
	case EXCHANGE_CASE:
		w->by_stream = true;
		flight_send_to(f, w);
		return;
	case EXCHANGE_NO_EDNS:
		w->sends[x->kind]--;
		if (flight_send_to(f, w) != FLIGHT_SENT)
			flight_go_on(f);
		return;
	case EXCHANGE_FAILED:
		w->out = true;
		f->replies++;
		if (f->ede == DNS_EDE_NONE && x->ede != DNS_EDE_NONE) {
			f->ede = x->ede;
			f->ede_from = x->channel->upstream->conf.name;
		}
		f->refusals += x->rcode == DNS_REFUSED;
		flight_go_on(f);
		return;
	case EXCHANGE_LOST:
		flight_on_lost(f, w, x);
		return;
	}
}

/* ---- the beginning ---- */

static bool flight_in_route(void *arg, const uint8_t *name, size_t len)
{
	const struct flight *f = arg;

	return policy_route(f->view->setup->policy, name, len) == f->route;
}

static struct flight *flight_new(struct flights *fs, const struct flight_ask *ask)
{
	const struct setup      *setup = ask->view->setup;
	const struct route_conf *route = &setup->conf.policy->routes[ask->route];
	struct flight           *f = malloc(sizeof *f + route->upstream_count * sizeof *f->ways);

	if (!f)
		return NULL;
	memset(f, 0, offsetof(struct flight, tries));
	memset(f->ways, 0, route->upstream_count * sizeof *f->ways);
	f->all = fs;
	f->view = view_ref(ask->view);
	f->route = ask->route;
	f->budget = ask->budget ? ask->budget : FLIGHT_BUDGET;
	f->ede = DNS_EDE_NONE;
	f->key = ask->key;
	memcpy(f->qname, ask->key.qname, ask->key.qname_len);
	f->key.qname = f->qname;
	f->question = (struct exchange_question){
		.scrub = {
			.qname = f->qname,
			.qname_len = f->key.qname_len,
			.qtype = f->key.qtype,
			.dnssec_ok = f->key.variant & CACHE_DO,
			.mixed_case = setup->conf.times.case_mixing,
			.ttl = { .min_s = setup->conf.cache_times.ttl_min_s,
				 .max_s = setup->conf.cache_times.ttl_max_s,
				 .negative_max_s = setup->conf.cache_times.negative_max_s },
			.in_route = setup->conf.policy->route_count > 1 ? flight_in_route : NULL,
			.arg = f,
		},
		.checking_disabled = f->key.variant & CACHE_CD,
		.edns_size = setup->conf.times.edns_size,
		.case_mixing = setup->conf.times.case_mixing,
	};
	list_init(&f->waiters);
	list_init(&f->chase.node);
	f->chase.done = flight_on_chased;
	timer_init(&f->next_send, flight_on_next_send);
	timer_init(&f->end, flight_on_end);
	f->way_count = route->upstream_count;
	for (size_t i = 0; i < f->way_count; i++)
		f->ways[i].channel = ask->view->channels[route->upstreams[i]];
	list_append(flights_bucket(fs, &f->key), &f->bucket);
	fs->count++;
	stats_count(flight_stats(f), STATS_FLIGHTS);
	stats_set(&flight_stats(f)->flights_now, fs->count);
	return f;
}

static void flight_begin(struct flight *f)
{
	f->began_us = clock_mono_us(f->all->env.upstream->clock);
	timer_start(f->all->env.timers, &f->end, f->began_us / 1000 + flight_times(f)->resolve_timeout_ms);
	/* With nothing sent the next turn of the wheel gives up, so that nobody hears before we return. */
	if (flight_send(f) == FLIGHT_SENT)
		f->rounds = 1;
	flight_schedule(f);
}

static void flight_admit(struct flight *f, struct waiter *w)
{
	w->flight = f;
	list_append(&f->waiters, &w->node);
}

int flight_ask(struct flights *fs, const struct flight_ask *ask, struct waiter *w)
{
	struct flight *f = flight_find(fs, &ask->key);

	if (f) {
		flight_admit(f, w);
		return FLIGHT_JOINED;
	}
	if (fs->count >= ask->view->setup->conf.times.max_flights)
		return -ENOBUFS;
	f = flight_new(fs, ask);
	if (!f)
		return -ENOMEM;
	flight_admit(f, w);
	flight_begin(f);
	return FLIGHT_BEGUN;
}

void flights_free(struct flights *fs)
{
	if (!fs)
		return;
	/* Whoever chases leaves the other's list first, since either may go before the other. */
	for (unsigned i = 0; i < FLIGHT_BUCKETS; i++)
		for (struct list *n = fs->buckets[i].next; n != &fs->buckets[i]; n = n->next)
			flight_leave(&list_entry(n, struct flight, bucket)->chase);
	for (unsigned i = 0; i < FLIGHT_BUCKETS; i++) {
		while (!list_empty(&fs->buckets[i]))
			flight_free(list_entry(fs->buckets[i].next, struct flight, bucket));
	}
	free(fs->scratch);
	free(fs);
}
