/* timer.h - many timers, most of which are stopped before they ring.
 *
 * A wheel of wheels: four levels of 64 slots, 1 ms to a slot on the lowest, so
 * that starting and stopping cost the same few instructions however many there
 * are, and neither can fail.  Deadlines further away than 4.6 hours wait in the
 * last slot and are looked at again.
 *
 * The wheel does not know what drives it: a worker arms one loop timer for
 * timers_next_ms() and calls timers_run(); a scenario moves its clock.
 */
#ifndef LARDER_BASE_TIMER_H
#define LARDER_BASE_TIMER_H

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct timer {
	struct list node;			/* in a slot, or alone */
	uint64_t    at_ms;
	void      (*ring)(struct timer *t);	/* may start, stop or free any timer */
	uint16_t    slot;			/* level * 64 + slot, while it runs */
};

#define TIMER_LEVELS 4
#define TIMER_SLOTS  64

struct timers {
	uint64_t    now_ms;			/* everything up to here has rung */
	uint64_t    used[TIMER_LEVELS];		/* a bit for each slot that holds timers */
	struct list slots[TIMER_LEVELS][TIMER_SLOTS];
};

void timers_init(struct timers *w, uint64_t now_ms);
void timer_init(struct timer *t, void (*ring)(struct timer *t));
/* (Re)starts t to ring at at_ms on the wheel's clock; the past means at the next run. */
void timer_start(struct timers *w, struct timer *t, uint64_t at_ms);
void timer_stop(struct timers *w, struct timer *t);	/* fine when it does not run */
bool timer_runs(const struct timer *t);

/* Rings everything due at now_ms, in order of the millisecond. */
void timers_run(struct timers *w, uint64_t now_ms);
/* When timers_run() must be called next at the latest; UINT64_MAX: no timer runs. */
uint64_t timers_next_ms(const struct timers *w);

#endif
