/* flight.c - asking upstream on behalf of many: how a flight begins and ends.
 *
 * Always true:
 *   - a key is found in the table exactly while its flight is under way;
 *   - a waiter is on one list, and leaves it before done() is called;
 *   - an open exchange belongs to the flight whose tries[] hold it, and none is
 *     open while the flight chases an alias;
 *   - a flight that is over has nobody who waits, and is freed with its last open
 *     try, or after LATE_US.
 */
#include "resolve/flight_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LATE_US    UINT64_C(4000000)	/* answers that come later than so long after the end are of no use */
#define OVER_MAX   512			/* flights that are over */
#define CUT_HOLD_S 1u			/* the least (RFC 9520 s. 3.2): the next connection may do */
#define TOKENS_MAX 500u			/* tenths: a burst of 50 hedges */

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

		if (!f->over && f->key.qtype == key->qtype && f->key.variant == key->variant &&
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
	fs->tokens = TOKENS_MAX;
	list_init(&fs->over);
	list_init(&fs->parked);
	timer_init(&fs->wake, flights_on_wake);
	for (unsigned i = 0; i < FLIGHT_BUCKETS; i++)
		list_init(&fs->buckets[i]);
	return fs;
}

size_t flights_count(const struct flights *fs)
{
	return fs->count;
}

uint64_t flights_quantile_us(const struct flights *fs, double q)
{
	return recent_quantile_us(&fs->whole, q);
}

bool flight_any_waiter(const struct flight *f, bool (*is)(const struct waiter *, const void *),
                       const void *arg)
{
	for (const struct list *n = f->waiters.next; n != &f->waiters; n = n->next)
		if (is(list_entry(n, struct waiter, node), arg))
			return true;
	return false;
}

const struct cache_key *flight_key(const struct waiter *w)
{
	return &w->flight->key;
}

void flight_leave(struct waiter *w)
{
	list_remove(&w->node);
}

/* ---- the end ---- */

/* One flight less is under way. */
static void flights_uncount(struct flights *fs)
{
	fs->count--;
	stats_set(&fs->env.upstream->stats->flights_now, fs->count);
}

static void flight_free(struct flight *f)
{
	timer_stop(f->all->env.timers, &f->step);
	timer_stop(f->all->env.timers, &f->end);
	for (unsigned i = 0; i < f->try_count; i++)
		exchange_end(&f->tries[i]);
	flight_leave(&f->chase);
	list_remove(&f->bucket);
	list_remove(&f->lot);
	if (f->over)
		f->all->over_count--;
	else
		flights_uncount(f->all);
	view_unref(f->view);
	free((void *)(uintptr_t)f->chain.ttl_at);
	free(f);
}

/* One that is over goes when none of its tries is left. */
static void flight_look_if_done(struct flight *f)
{
	if (f->over && !flight_open_count(f))
		flight_free(f);
}

void flight_stop_asking(struct flight *f)
{
	timer_stop(f->all->env.timers, &f->step);
	flight_unpark(f);
	for (unsigned i = 0; i < f->try_count; i++)
		exchange_end(&f->tries[i]);
}

/* Not under way any more: it leaves the count, and whoever is parked may have its place. */
static void flight_leave_air(struct flight *f)
{
	struct flights *fs = f->all;

	f->over = true;
	fs->over_count++;
	flight_unpark(f);
	flight_leave(&f->chase);
	timer_stop(fs->env.timers, &f->end);
	flights_uncount(fs);
	if (f->woken) {
		f->woken = false;
		fs->woken--;
		flights_wake(fs);
	}
}

/* Its tries may still be answered, for a while; the oldest of too many such flights goes. */
static void flight_linger(struct flight *f)
{
	struct flights *fs = f->all;

	if (!flight_open_count(f)) {
		flight_free(f);
		return;
	}
	list_append(&fs->over, &f->lot);
	for (unsigned i = 0; i < f->try_count; i++)
		f->tries[i].spare = true;
	timer_start(fs->env.timers, &f->end, (flight_now_us(f) + LATE_US) / 1000);
	f->round_us = NEVER_US;
	flight_on_step(&f->step);
	if (fs->over_count > OVER_MAX)
		flight_free(list_entry(fs->over.next, struct flight, lot));
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

/* Tells everybody.  The flight is over first: a waiter may ask anew at once. */
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

	f->answered = answer;
	flight_leave_air(f);
	list_init(&waiters);
	list_splice(&waiters, &f->waiters);
	while ((n = list_take_first(&waiters))) {
		struct waiter *w = list_entry(n, struct waiter, node);

		w->done(w, answer, end);
	}
	free(copy);
	f->chased = NULL;	/* not before: a trace among the waiters has looked at its tries */
	flight_linger(f);
}

static void flight_keep(struct flight *f, const struct dns_answer *answer)
{
	struct view **now = f->all->env.view;
	int           err;

	/* What was joined by routes that hold no longer is for those who asked, and nobody else. */
	if (answer->crosses_route && now && *now != f->view)
		return;
	/* A refresh by an upstream that counts down may meet the very end of its TTL: it is asked again in a moment,
	 * and what is there serves until then. */
	if (!answer->ttl_s && f->refresh)
		return;
	err = cache_put(f->all->env.cache, &f->key, answer, flight_boot_ms(f->all));
	if (answer->ttl_s)
		stats_count(flight_stats(f), err < 0 ? STATS_CACHE_REFUSED : STATS_CACHE_STORED);
}

void flight_succeed(struct flight *f, const struct dns_answer *answer, const struct exchange *x)
{
	struct flight_end end = { .rcode = answer->rcode, .ede = DNS_EDE_NONE };
	uint64_t          now_us = flight_now_us(f);

	if (x) {
		end.upstream = x->channel->upstream;
		end.ede = x->ede;
		end.ede_text = x->ede == DNS_EDE_NONE ? NULL : x->channel->upstream->conf.name;
	}
	recent_add(&f->all->whole, now_us - f->began_us, now_us);
	flight_keep(f, answer);
	flight_finish(f, answer, &end);
}

static bool flight_is_known(const struct flight *f)
{
	struct cache_found found;

	return cache_peek(f->all->env.cache, &f->key, flight_boot_ms(f->all), &found) && found.left_ms > 0;
}

/* A try of a flight that is over.  What it says about the server, the exchange has noted. */
void flight_on_late(struct flight *f, struct exchange *x, enum exchange_event event,
                    const struct dns_answer *answer)
{
	if (event == EXCHANGE_CASE)
		return;
	if (event == EXCHANGE_ANSWER && f->given_up[x - f->tries])
		channel_count(x->channel, UPSTREAM_LATE);
	if (event == EXCHANGE_ANSWER && !f->answered) {
		f->answered = true;
		if (!flight_is_known(f))	/* a later question may have brought a newer one */
			flight_keep(f, answer);
	}
	flight_look_if_done(f);
}

/* Why there is no answer, as far as it is known. */
static struct flight_end flight_reason(const struct flight *f)
{
	struct flight_end end = { .rcode = DNS_SERVFAIL, .ede = DNS_EDE_NO_REACHABLE_AUTHORITY,
	                          .silent = !f->replies };

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

/* Nothing is known but that connections ended: that is not about the question, and no sign of an outage. */
static bool flight_was_cut(const struct flight *f)
{
	return f->try_count && f->cuts == f->try_count && !f->was_parked;
}

static void flight_fail(struct flight *f, const struct flight_end *end)
{
	const struct cache_times *times = &f->view->setup->conf.cache_times;
	bool                      cut = flight_was_cut(f);
	const struct cache_hold   hold = {
		.first_s = cut ? CUT_HOLD_S : times->failure_first_s,
		.max_s = times->failure_max_s,
		.recheck_s = cut ? CUT_HOLD_S : times->recheck_s,
		.epoch = f->replies ? 0 : route_epoch(f->view, f->route),	/* silence ends with the outage */
	};

	/* Our own troubles are not the question's: it may be asked again at once. */
	if (!f->local_trouble || f->replies)
		cache_put_failure(f->all->env.cache, &f->key, &hold, flight_boot_ms(f->all));
	flight_finish(f, NULL, end);
}

void flight_fail_unheld(struct flight *f, uint32_t ede)
{
	const struct flight_end end = { .rcode = DNS_SERVFAIL, .ede = ede, .silent = true };

	flight_finish(f, NULL, &end);
}

/* No server is to blame. */
void flight_fail_plainly(struct flight *f, uint32_t ede)
{
	const struct flight_end end = { .rcode = DNS_SERVFAIL, .ede = ede };

	flight_fail(f, &end);
}

void flight_give_up(struct flight *f)
{
	const struct flight_end end = flight_reason(f);

	flight_fail(f, &end);
}

/* ---- the beginning ---- */

static void flight_on_end(struct timer *t)
{
	struct flight *f = list_entry(t, struct flight, end);

	if (f->over)
		flight_free(f);
	else
		flight_give_up(f);
}

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
		.name_hash = f->key.name_hash,
		.checking_disabled = f->key.variant & CACHE_CD,
		.edns_size = setup->conf.times.edns_size,
		.case_mixing = setup->conf.times.case_mixing,
	};
	list_init(&f->waiters);
	list_init(&f->chase.node);
	f->chase.done = flight_on_chased;
	list_init(&f->lot);
	f->refresh = ask->refresh;
	timer_init(&f->step, flight_on_step);
	timer_init(&f->end, flight_on_end);
	f->way_count = route->upstream_count;
	for (size_t i = 0; i < f->way_count; i++)
		f->ways[i].channel = ask->view->channels[route->upstreams[i]];
	list_append(flights_bucket(fs, &f->key), &f->bucket);
	fs->count++;
	fs->tokens += fs->tokens < TOKENS_MAX;
	stats_count(flight_stats(f), STATS_FLIGHTS);
	stats_set(&flight_stats(f)->flights_now, fs->count);
	return f;
}

static void flight_set_out(struct flight *f, uint64_t began_us, uint64_t end_us)
{
	f->began_us = began_us;
	f->rounds = 0;
	f->end_us = f->began_us + (uint64_t)flight_times(f)->resolve_timeout_ms * 1000;
	if (end_us && end_us < f->end_us)
		f->end_us = end_us;
	timer_start(f->all->env.timers, &f->end, f->end_us / 1000);
}

bool flight_dismiss(struct flight *f, uint64_t until_us)
{
	while (!list_empty(&f->waiters)) {
		struct waiter          *w = list_entry(f->waiters.next, struct waiter, node);
		const struct flight_end end = flight_reason(f);

		if (w->since_us > until_us) {
			flight_set_out(f, w->since_us, 0);
			for (size_t i = 0; i < f->way_count; i++)
				f->ways[i].knocked = false;
			return true;
		}
		if (f->waiters.next == f->waiters.prev)
			break;			/* the last one goes with the flight */
		list_remove(&w->node);
		w->done(w, NULL, &end);
	}
	return false;
}

static void flight_admit(struct flight *f, struct waiter *w)
{
	w->flight = f;
	w->since_us = flight_now_us(f);
	list_append(&f->waiters, &w->node);
}

int flight_ask(struct flights *fs, const struct flight_ask *ask, struct waiter *w)
{
	struct flight *f = flight_find(fs, &ask->key);

	if (f) {
		f->refresh &= ask->refresh;
		flight_admit(f, w);
		if (f->parked && !f->refresh)
			route_want(f->view, f->route);
		return FLIGHT_JOINED;
	}
	if (fs->count >= ask->view->setup->conf.times.max_flights)
		return -ENOBUFS;
	f = flight_new(fs, ask);
	if (!f)
		return -ENOMEM;
	flight_admit(f, w);
	flight_set_out(f, flight_now_us(f), ask->end_us);
	flight_send_first(f);
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
		while (!list_empty(&fs->buckets[i]))	/* those that are over as well */
			flight_free(list_entry(fs->buckets[i].next, struct flight, bucket));
	}
	timer_stop(fs->env.timers, &fs->wake);
	free(fs->scratch);
	free(fs);
}
