/* park.c - while no upstream of a route works.
 *
 * Asking on would only add to the trouble, and giving up at once would fail
 * questions that a moment's patience answers.  So they wait for a probe's good
 * news: not long, and less long in an outage that has lasted.  Then they are
 * let go a few at a time, more as answers return.
 *
 * Probes go out at their own pace, and the one that would have been answered
 * may be the next.  So before a question's time is over it goes out itself, in
 * time to be answered (flight_knock()).  Whoever joins a parked question has
 * the whole time to wait, however long others have waited for it by then.
 */
#include "resolve/flight_state.h"

#include "upstream/prober.h"

#define PARK_US       UINT64_C(2000000)
#define PARK_SHORT_US UINT64_C(600000)
#define OUTAGE_OLD_US UINT64_C(10000000)
#define WOKEN_MAX     64
#define WAKE_LOOK_MS  10	/* another worker's probe may have brought the news */

static const struct route_conf *route_of(const struct view *v, size_t route)
{
	return &v->setup->conf.policy->routes[route];
}

static struct health *route_health(const struct view *v, const struct route_conf *r, size_t i)
{
	return &v->channels[r->upstreams[i]]->upstream->health;
}

bool route_is_stranded(const struct view *v, size_t route)
{
	const struct route_conf *r = route_of(v, route);

	for (size_t i = 0; i < r->upstream_count; i++)
		if (health_state(route_health(v, r, i)) != HEALTH_OPEN)
			return false;
	return r->upstream_count > 0;
}

uint16_t route_epoch(const struct view *v, size_t route)
{
	const struct route_conf *r = route_of(v, route);
	uint32_t                 sum = 0;

	for (size_t i = 0; i < r->upstream_count; i++)
		sum += atomic_load_explicit(&route_health(v, r, i)->epoch, memory_order_relaxed);
	return (uint16_t)(sum % UINT16_MAX + 1);
}

void route_want(const struct view *v, size_t route)
{
	const struct route_conf *r = route_of(v, route);

	for (size_t i = 0; i < r->upstream_count; i++)
		prober_want(v->channels[r->upstreams[i]]);
}

static bool route_has_impostor(const struct view *v, size_t route)
{
	const struct route_conf *r = route_of(v, route);

	for (size_t i = 0; i < r->upstream_count; i++)
		if (health_is_impostor(route_health(v, r, i)))
			return true;
	return false;
}

/* Since when none works; NEVER_US when none can: by order, because there is no way out of this host, or because
 * whoever answers there is somebody else. */
static uint64_t route_stranded_since_us(const struct view *v, size_t route)
{
	const struct route_conf *r = route_of(v, route);
	uint64_t                 since_us = 0;
	size_t                   hopeless = 0;

	for (size_t i = 0; i < r->upstream_count; i++) {
		struct health *h = route_health(v, r, i);
		uint64_t       at_us = atomic_load_explicit(&h->opened_us, memory_order_relaxed);

		hopeless += health_is_hopeless(h);
		since_us = at_us > since_us ? at_us : since_us;
	}
	return hopeless == r->upstream_count ? NEVER_US : since_us;
}

bool flight_park(struct flight *f)
{
	struct flights *fs = f->all;
	uint64_t        now_us = flight_now_us(f), since_us = route_stranded_since_us(f->view, f->route);
	uint64_t        patience_us = since_us + OUTAGE_OLD_US < now_us ? PARK_SHORT_US : PARK_US;

	f->stream_trouble |= since_us == NEVER_US && route_has_impostor(f->view, f->route);
	if (!f->refresh && !f->parked)
		route_want(f->view, f->route);
	if (since_us == NEVER_US ||
	    (now_us >= f->began_us + patience_us && !flight_dismiss(f, now_us - patience_us)))
		return false;
	flight_step_at(f, flight_knock(f, patience_us, f->began_us + patience_us));
	if (f->parked)
		return true;
	f->parked = f->was_parked = true;
	if (f->woken) {			/* in vain; it will count anew */
		f->woken = false;
		fs->woken--;
	}
	stats_count(flight_stats(f), STATS_PARKED);
	list_append(&fs->parked, &f->lot);
	if (!timer_runs(&fs->wake))
		timer_start(fs->env.timers, &fs->wake, now_us / 1000 + WAKE_LOOK_MS);
	return true;
}

void flight_unpark(struct flight *f)
{
	if (!f->parked)
		return;
	f->parked = false;
	list_remove(&f->lot);
}

void flights_wake(struct flights *fs)
{
	struct list *n = fs->parked.next, *next;

	for (; n != &fs->parked && fs->woken < WOKEN_MAX; n = next) {
		struct flight *f = list_entry(n, struct flight, lot);

		next = n->next;
		if (route_is_stranded(f->view, f->route))
			continue;
		flight_unpark(f);
		f->woken = true;
		fs->woken++;
		f->round_us = 0;
		flight_step_at(f, 0);		/* in its own turn: it may end, and others with it */
	}
}

void flights_on_wake(struct timer *t)
{
	struct flights *fs = list_entry(t, struct flights, wake);

	flights_wake(fs);
	if (!list_empty(&fs->parked))
		timer_start(fs->env.timers, &fs->wake,
		            clock_mono_us(fs->env.upstream->clock) / 1000 + WAKE_LOOK_MS);
}
