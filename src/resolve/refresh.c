/* refresh.c - the wheel of popular names.
 *
 * Always true:
 *   - an entry whose claim we hold has one struct refresh here, which waits for
 *     its time or for its flight;
 *   - whoever lets go of a refresh ends its claim, if the entry is still there.
 */
#include "resolve/refresh.h"

#include "base/clock.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

#define REFRESHES_MAX   4096
#define HIT_TTL_MIN_S   10u	/* shorter TTLs are left to the wheel */
#define AHEAD_MAX_MS    60000	/* no refresh goes out so long before the end … */
#define AHEAD_MIN_MS    250	/* … nor so shortly that the answer may come too late */
#define LEARN_TTL_MIN_S 5u	/* with less, what is left and what is new cannot be told apart */
#define GAIN_MS         2000	/* more than this beyond what was left is a new TTL */
#define TICK_MS         63	/* the cache counts in sixteenths: an end may seem to be so much too early */
#define EXPLORE_ONE_IN  64u	/* early refreshes where they brought nothing so far */
#define AGAIN_MAX       3u	/* refreshes that may bring nothing before a client has to ask */
#define AGAIN_MS        300	/* … and this is between them, twice and three times, when the TTL has ended */
#define RETRY_MS        100	/* when the budget is used up */
#define COST            10u	/* of a refresh, in tokens; a query gives one … */
#define TOKENS_A_SECOND 200u	/* … and time so many */
#define TOKENS_MAX      1000u

struct refresh {
	struct waiter     waiter;	/* while its flight is under way */
	struct timer      timer;	/* until then */
	struct list       node;		/* among the free or the used */
	struct refreshes *all;
	struct cache_key  key;		/* its qname is our own */
	enum stats_counter kind;	/* what has begun it, or will */
	unsigned          again;	/* refreshes in a row that brought nothing */
	bool              refused;	/* once at least */
	bool              prompt;	/* asked at the very end of the TTL, whatever lag has been learned */
	bool              explore;	/* early in any case, to see whether that still brings nothing */
	bool              early;	/* asked before the end of the TTL */
	uint32_t          stored;	/* which answer is being refreshed … */
	uint32_t          ttl_s;	/* … its TTL … */
	int64_t           left_ms;	/* … and what was left of it */
	uint8_t           qname[DNS_NAME_MAX];
};

struct refreshes {
	struct refreshes_env env;
	struct list          used, free;
	unsigned             made;	/* of pool: further ones have never been touched */
	unsigned             tokens;
	uint64_t             credited_ms;
	struct refresh      *pool;
};

static void refresh_on_timer(struct timer *t);
static void refresh_on_done(struct waiter *w, const struct dns_answer *answer, const struct flight_end *end);

static struct view *refreshes_view(const struct refreshes *rs)
{
	return *rs->env.view;
}

static uint64_t refreshes_boot_ms(const struct refreshes *rs)
{
	return clock_boot_ms(rs->env.upstream->clock);
}

static uint64_t refreshes_mono_ms(const struct refreshes *rs)
{
	return clock_mono_us(rs->env.upstream->clock) / 1000;
}

static void refreshes_count(struct refreshes *rs, enum stats_counter c)
{
	stats_count(rs->env.upstream->stats, c);
}

struct refreshes *refreshes_new(const struct refreshes_env *env)
{
	struct refreshes *rs = calloc(1, sizeof *rs);

	if (!rs)
		return NULL;
	rs->env = *env;
	rs->tokens = TOKENS_MAX;
	list_init(&rs->used);
	list_init(&rs->free);
	rs->pool = calloc(REFRESHES_MAX, sizeof *rs->pool);	/* pages that are not used cost nothing */
	if (!rs->pool) {
		free(rs);
		return NULL;
	}
	return rs;
}

/* ---- taking and letting go ---- */

static bool refreshes_are_full(const struct refreshes *rs)
{
	return list_empty(&rs->free) && rs->made == REFRESHES_MAX;
}

/* There is room. */
static struct refresh *refresh_take(struct refreshes *rs, const struct cache_key *key, uint32_t stored)
{
	struct list    *n = list_take_first(&rs->free);
	struct refresh *r = n ? list_entry(n, struct refresh, node) : &rs->pool[rs->made++];

	r->all = rs;
	r->again = 0;
	r->refused = false;
	r->key = *key;
	memcpy(r->qname, key->qname, key->qname_len);
	r->key.qname = r->qname;
	r->stored = stored;
	list_init(&r->waiter.node);
	r->waiter.done = refresh_on_done;
	timer_init(&r->timer, refresh_on_timer);
	list_append(&rs->used, &r->node);
	return r;
}

static void refresh_let_go(struct refresh *r, enum cache_claim how)
{
	struct refreshes *rs = r->all;

	cache_end_claim(rs->env.cache, &r->key, r->stored, how, refreshes_boot_ms(rs));
	timer_stop(rs->env.timers, &r->timer);
	flight_leave(&r->waiter);
	list_remove(&r->node);
	list_append(&rs->free, &r->node);
}

void refreshes_free(struct refreshes *rs)
{
	if (!rs)
		return;
	while (!list_empty(&rs->used))
		refresh_let_go(list_entry(rs->used.next, struct refresh, node), CACHE_UNCLAIMED);
	free(rs->pool);
	free(rs);
}

/* ---- when ---- */

static bool refreshes_spend(struct refreshes *rs)
{
	uint64_t now_ms = refreshes_mono_ms(rs), earned = (now_ms - rs->credited_ms) * TOKENS_A_SECOND / 1000;

	if (earned) {
		rs->tokens = earned < TOKENS_MAX - rs->tokens ? rs->tokens + (unsigned)earned : TOKENS_MAX;
		rs->credited_ms = now_ms;
	}
	if (rs->tokens < COST)
		return false;
	rs->tokens -= COST;
	return true;
}

void refreshes_credit(struct refreshes *rs, unsigned n)
{
	rs->tokens = n < TOKENS_MAX - rs->tokens ? rs->tokens + n : TOKENS_MAX;
}

/* Do early refreshes bring a new TTL from any upstream that may be asked?  One that has not been seen to is taken to be
 * like the others: perhaps it is never asked. */
static bool refreshes_early_pays(const struct refreshes *rs, size_t route)
{
	const struct view       *v = refreshes_view(rs);
	const struct route_conf *r = &v->setup->conf.policy->routes[route];
	bool                     pays = false, useless = false;

	for (size_t i = 0; i < r->upstream_count; i++) {
		const struct health *h = &v->channels[r->upstreams[i]]->upstream->health;

		int                  early = atomic_load_explicit(&h->early, memory_order_relaxed);

		if (health_state(h) != HEALTH_GOOD)
			continue;
		if (early > 0)
			return true;
		pays |= !early;
		useless |= early < 0;
	}
	return pays && !useless;
}

/* How long after the end of our TTL the upstreams' own copies end. */
static uint32_t refreshes_lag_ms(const struct refreshes *rs, size_t route)
{
	const struct view       *v = refreshes_view(rs);
	const struct route_conf *r = &v->setup->conf.policy->routes[route];
	uint32_t                 most = 0;

	for (size_t i = 0; i < r->upstream_count; i++) {
		uint32_t lag = atomic_load_explicit(&v->channels[r->upstreams[i]]->upstream->health.lag_ms,
		                                    memory_order_relaxed);

		most = lag > most ? lag : most;
	}
	return most;
}

/* How long before its end an answer is refreshed: a tenth of its TTL, or a little less, so that what came
 * together is not asked for together. */
static int64_t refreshes_ahead_ms(struct refreshes *rs, uint32_t ttl_s)
{
	int64_t  ahead_ms = (int64_t)ttl_s * 100;
	uint32_t spread;

	ahead_ms = ahead_ms > AHEAD_MAX_MS ? AHEAD_MAX_MS : ahead_ms < AHEAD_MIN_MS ? AHEAD_MIN_MS : ahead_ms;
	spread = (uint32_t)(ahead_ms - AHEAD_MIN_MS) / 2;
	return ahead_ms - (spread ? rng_below(rs->env.upstream->rng, spread) : 0);
}

static void refresh_wait(struct refresh *r, int64_t ms)
{
	timer_start(r->all->env.timers, &r->timer, refreshes_mono_ms(r->all) + (uint64_t)(ms > 0 ? ms : 0));
}

/* Until the upstream's own copy has ended; now and then only until ours has, to see whether that is the same. */
static void refresh_wait_for_end(struct refresh *r, size_t route, const struct cache_found *found)
{
	uint32_t lag_ms = refreshes_lag_ms(r->all, route);

	r->prompt = !lag_ms || !rng_below(r->all->env.upstream->rng, EXPLORE_ONE_IN);
	refresh_wait(r, found->left_ms + TICK_MS + (r->prompt ? 0 : lag_ms));
}

static void refresh_plan(struct refresh *r, size_t route, const struct cache_found *found)
{
	struct refreshes *rs = r->all;

	r->explore = !rng_below(rs->env.upstream->rng, EXPLORE_ONE_IN);
	r->early = r->explore || refreshes_early_pays(rs, route);
	r->kind = r->early ? STATS_PREFETCH_TIMER : STATS_PREFETCH_EXPIRY;
	if (r->early)
		refresh_wait(r, found->left_ms - refreshes_ahead_ms(rs, found->ttl_s));
	else
		refresh_wait_for_end(r, route, found);
}

/* ---- asking ---- */

/* The route of the name, if it is still the one by which the answer was had. */
static bool refresh_find_route(const struct refresh *r, size_t *route)
{
	const struct setup *setup = refreshes_view(r->all)->setup;

	*route = policy_route(setup->policy, r->qname, r->key.qname_len);
	return setup->conf.policy->routes[*route].id == r->key.route;
}

/* Clients' questions go first. */
static bool refreshes_have_room(const struct refreshes *rs)
{
	return flights_count(rs->env.flights) < refreshes_view(rs)->setup->conf.times.max_flights / 2;
}

static void refresh_ask(struct refresh *r, size_t route)
{
	struct refreshes *rs = r->all;
	struct flight_ask ask = { .view = refreshes_view(rs), .route = route, .key = r->key, .refresh = true };

	if (!refreshes_have_room(rs) || !refreshes_spend(rs)) {
		if (!r->refused)
			refreshes_count(rs, STATS_PREFETCH_REFUSED);
		r->refused = true;
		if (r->left_ms > 0)
			refresh_wait(r, RETRY_MS);
		else			/* then clients ask for themselves, and are not put off with the old answer */
			refresh_let_go(r, CACHE_UNCLAIMED);
		return;
	}
	if (flight_ask(rs->env.flights, &ask, &r->waiter) < 0) {
		refreshes_count(rs, STATS_PREFETCH_REFUSED);
		refresh_let_go(r, CACHE_GIVEN_UP);
		return;
	}
	refreshes_count(rs, r->kind);
}

/* Its time has come. */
static void refresh_begin(struct refresh *r)
{
	struct refreshes  *rs = r->all;
	struct cache_found found;
	size_t             route;

	if (!refresh_find_route(r, &route) || route_is_stranded(refreshes_view(rs), route) ||
	    !cache_peek(rs->env.cache, &r->key, refreshes_boot_ms(rs), &found) ||
	    found.stored != r->stored || found.claim != CACHE_CLAIMED || found.left_ms < -REFRESH_GRACE_MS) {
		refresh_let_go(r, CACHE_UNCLAIMED);
		return;
	}
	if (r->kind == STATS_PREFETCH_TIMER && !r->explore && !refreshes_early_pays(rs, route)) {
		r->kind = STATS_PREFETCH_EXPIRY;	/* that has been learned meanwhile */
		refresh_wait_for_end(r, route, &found);
		return;
	}
	r->early = r->kind != STATS_PREFETCH_EXPIRY && found.left_ms > 0;
	r->ttl_s = found.ttl_s;
	r->left_ms = found.left_ms;
	refresh_ask(r, route);
}

static void refresh_on_timer(struct timer *t)
{
	refresh_begin(list_entry(t, struct refresh, timer));
}

/* ---- what came ---- */

/* The answer that has come is in the cache by now: it is claimed anew, for the end of its short life. */
static void refresh_go_on(struct refresh *r)
{
	struct refreshes  *rs = r->all;
	struct cache_found found;
	uint64_t           now_ms = refreshes_boot_ms(rs);
	size_t             route;

	if (!refresh_find_route(r, &route) || !cache_peek(rs->env.cache, &r->key, now_ms, &found) ||
	    r->again++ == AGAIN_MAX ||
	    (found.stored != r->stored && !cache_claim(rs->env.cache, &r->key, found.stored, now_ms))) {
		refresh_let_go(r, CACHE_UNCLAIMED);
		return;
	}
	r->stored = found.stored;
	r->kind = STATS_PREFETCH_EXPIRY;
	if (found.left_ms > 0) {
		refresh_wait_for_end(r, route, &found);
		return;
	}
	r->prompt = false;		/* it was, and less than a second was left there */
	refresh_wait(r, r->again * AGAIN_MS);
}

static void refresh_learn(const struct refresh *r, struct upstream *u, bool gained)
{
	if (!u)
		return;
	if (r->early && r->ttl_s >= LEARN_TTL_MIN_S)
		health_learn_early(&u->health, gained);
	if (!r->early && gained == r->prompt)
		health_learn_lag(&u->health, !gained);
}

static void refresh_on_done(struct waiter *w, const struct dns_answer *answer, const struct flight_end *end)
{
	struct refresh *r = list_entry(w, struct refresh, waiter);
	bool            gained;

	if (!answer) {
		refreshes_count(r->all, STATS_PREFETCH_FAILED);
		refresh_let_go(r, CACHE_GIVEN_UP);
		return;
	}
	gained = r->early ? (int64_t)answer->ttl_s * 1000 > r->left_ms + GAIN_MS || answer->ttl_s >= r->ttl_s :
	                    answer->ttl_s > 1 || answer->ttl_s >= r->ttl_s;
	refresh_learn(r, end->upstream, gained);
	refreshes_count(r->all, gained ? STATS_PREFETCH_GAINED : STATS_PREFETCH_USELESS);
	if (gained)
		refresh_let_go(r, CACHE_UNCLAIMED);
	else
		refresh_go_on(r);
}

void refreshes_on_hit(struct refreshes *rs, size_t route, const struct cache_key *key,
                      const struct cache_found *found)
{
	bool            noted = found->hits >= 3;
	struct refresh *r;

	if (!noted && (found->ttl_s < HIT_TTL_MIN_S || found->left_ms > AHEAD_MAX_MS ||
	               !refreshes_early_pays(rs, route)))
		return;
	if (refreshes_are_full(rs)) {
		refreshes_count(rs, STATS_PREFETCH_REFUSED);
		return;
	}
	if (!cache_claim(rs->env.cache, key, found->stored, refreshes_boot_ms(rs)))
		return;
	r = refresh_take(rs, key, found->stored);
	if (noted) {
		refresh_plan(r, route, found);
	} else {
		r->kind = STATS_PREFETCH_HIT;
		refresh_begin(r);
	}
}
