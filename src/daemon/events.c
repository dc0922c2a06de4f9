/* events.c - rings are looked at by a timer, so that workers need not wake anybody. */
#include "daemon/events.h"

#include "base/clock.h"
#include "base/ring.h"
#include "daemon/worker.h"
#include "resolve/event.h"

#include <errno.h>
#include <time.h>

/* How far CLOCK_REALTIME is ahead of CLOCK_MONOTONIC. */
static uint64_t events_clock_offset_us(void)
{
	struct timespec real;

	clock_gettime(CLOCK_REALTIME, &real);
	return (uint64_t)real.tv_sec * 1000000 + (uint64_t)real.tv_nsec / 1000 - clock_mono_us(clock_system());
}

static uint64_t events_dropped(const struct events *e)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < e->worker_count; i++)
		sum += worker_events(e->workers[i]) ? ring_dropped(worker_events(e->workers[i])) : 0;
	return sum;
}

static void events_tell(const struct events *e, const struct event *event)
{
	struct list *n, *next;

	for (n = e->watchers.next; n != &e->watchers; n = next) {
		struct control_watcher *w = list_entry(n, struct control_watcher, node);

		next = n->next;
		w->event(w, event);
	}
}

/* No more than what was there when it began, so that an end is sure. */
static void events_drain(const struct events *e, struct ring *r, uint64_t offset_us)
{
	size_t        len;
	struct event *event;

	for (size_t octets = 0; octets < EVENT_RING && (event = ring_read(r, &len)); octets += len) {
		event->time_us += offset_us;
		events_tell(e, event);
	}
	ring_release(r);
}

static void events_on_timer(uv_timer_t *t)
{
	struct events *e = t->data;
	uint64_t       offset_us = events_clock_offset_us(), dropped;
	struct list   *n, *next;

	for (unsigned i = 0; i < e->worker_count; i++)
		events_drain(e, worker_events(e->workers[i]), offset_us);
	dropped = events_dropped(e);
	for (n = e->watchers.next; n != &e->watchers; n = next) {
		struct control_watcher *w = list_entry(n, struct control_watcher, node);

		next = n->next;
		w->turn(w, dropped - e->dropped);
	}
	e->dropped = dropped;
}

static bool events_switch(const struct events *e, bool on)
{
	bool all = true;

	for (unsigned i = 0; i < e->worker_count; i++)
		all &= worker_watch(e->workers[i], on);
	return all;
}

/* What is left from the last time that somebody watched is nobody's. */
static void events_forget(struct events *e)
{
	for (unsigned i = 0; i < e->worker_count; i++) {
		struct ring *r = worker_events(e->workers[i]);
		size_t       len;

		while (r && ring_read(r, &len))
			;
		if (r)
			ring_release(r);
	}
	e->dropped = events_dropped(e);
}

static int events_add(struct events *e, struct control_watcher *w)
{
	if (!e->watcher_count) {
		events_forget(e);
		if (!events_switch(e, true)) {
			events_switch(e, false);
			return -ENOMEM;
		}
		uv_timer_start(&e->timer, events_on_timer, EVENTS_TURN_MS, EVENTS_TURN_MS);
	}
	e->watcher_count++;
	list_append(&e->watchers, &w->node);
	return 0;
}

int events_watch(struct events *e, struct control_watcher *w)
{
	unsigned others = e->watcher_count - (e->own ? 1 : 0);

	list_init(&w->node);
	return e->workers && others < EVENTS_WATCHERS_MAX ? events_add(e, w) : -EBUSY;
}

int events_watch_own(struct events *e, struct control_watcher *w)
{
	int err;

	list_init(&w->node);
	if (!e->workers || e->own)
		return -EBUSY;
	err = events_add(e, w);
	if (!err)
		e->own = w;
	return err;
}

void events_unwatch(struct events *e, struct control_watcher *w)
{
	if (list_empty(&w->node))	/* it never was, or all has ended */
		return;
	list_remove(&w->node);
	if (w == e->own)
		e->own = NULL;
	if (--e->watcher_count)
		return;
	events_switch(e, false);
	uv_timer_stop(&e->timer);
}

void events_init(struct events *e, uv_loop_t *loop)
{
	*e = (struct events){ .workers = NULL };
	list_init(&e->watchers);
	uv_timer_init(loop, &e->timer);
	e->timer.data = e;
}

void events_begin(struct events *e, struct worker **workers, unsigned count)
{
	e->workers = workers;
	e->worker_count = count;
}

void events_close(struct events *e)
{
	while (list_take_first(&e->watchers))
		;
	if (e->workers && e->watcher_count)
		events_switch(e, false);
	e->watcher_count = e->worker_count = 0;
	e->own = NULL;
	e->workers = NULL;
	uv_close((uv_handle_t *)&e->timer, NULL);
}
