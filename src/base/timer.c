/* timer.c - the wheel of wheels.
 *
 * A timer lies on the lowest level whose span covers the time that is left:
 * level n has slots of 64^n ms.  When the hand of a level comes to a slot of
 * the next one up, that slot's timers are dealt out again below.  Always true:
 * a slot's bit in used[] is set exactly while its list is not empty.
 */
#include "base/timer.h"

#define TIMER_BITS 6

static unsigned timer_slot_of(uint64_t at_ms, unsigned level)
{
	return (unsigned)(at_ms >> (TIMER_BITS * level)) & (TIMER_SLOTS - 1);
}

static void timer_place(struct timers *w, struct timer *t)
{
	uint64_t at = t->at_ms > w->now_ms ? t->at_ms : w->now_ms + 1;
	uint64_t left = at - w->now_ms;
	unsigned level = 0, slot;

	while (level < TIMER_LEVELS - 1 && left >= (uint64_t)TIMER_SLOTS << (TIMER_BITS * level))
		level++;
	if (left >= (uint64_t)TIMER_SLOTS << (TIMER_BITS * level))	/* beyond the last level */
		at = w->now_ms + ((uint64_t)(TIMER_SLOTS - 1) << (TIMER_BITS * level));
	slot = timer_slot_of(at, level);
	t->slot = (uint16_t)(level * TIMER_SLOTS + slot);
	list_append(&w->slots[level][slot], &t->node);
	w->used[level] |= UINT64_C(1) << slot;
}

void timers_init(struct timers *w, uint64_t now_ms)
{
	w->now_ms = now_ms;
	for (unsigned level = 0; level < TIMER_LEVELS; level++) {
		w->used[level] = 0;
		for (unsigned slot = 0; slot < TIMER_SLOTS; slot++)
			list_init(&w->slots[level][slot]);
	}
}

void timer_init(struct timer *t, void (*ring)(struct timer *))
{
	list_init(&t->node);
	t->at_ms = 0;
	t->ring = ring;
	t->slot = 0;
}

bool timer_runs(const struct timer *t)
{
	return !list_empty(&t->node);
}

void timer_stop(struct timers *w, struct timer *t)
{
	unsigned level = t->slot / TIMER_SLOTS, slot = t->slot % TIMER_SLOTS;

	if (!timer_runs(t))
		return;
	list_remove(&t->node);
	if (list_empty(&w->slots[level][slot]))
		w->used[level] &= ~(UINT64_C(1) << slot);
}

void timer_start(struct timers *w, struct timer *t, uint64_t at_ms)
{
	timer_stop(w, t);
	t->at_ms = at_ms;
	timer_place(w, t);
}

/* The slots of one level as a bit string that begins at the slot after the hand. */
static uint64_t timer_ahead(const struct timers *w, unsigned level)
{
	unsigned hand = (timer_slot_of(w->now_ms, level) + 1) % TIMER_SLOTS;
	uint64_t used = w->used[level];

	return hand ? (used >> hand) | (used << (TIMER_SLOTS - hand)) : used;
}

uint64_t timers_next_ms(const struct timers *w)
{
	uint64_t next = UINT64_MAX;

	for (unsigned level = 0; level < TIMER_LEVELS; level++) {
		uint64_t ahead = timer_ahead(w, level), unit = UINT64_C(1) << (TIMER_BITS * level);
		uint64_t at;

		if (!ahead)
			continue;
		/* the start of the first used slot: its timers ring, or are dealt out, there */
		at = (w->now_ms / unit + 1 + (unsigned)__builtin_ctzll(ahead)) * unit;
		if (at < next)
			next = at;
	}
	return next;
}

/* Takes what lies in a slot off the wheel and hands it to the caller's list. */
static void timer_empty_slot(struct timers *w, unsigned level, unsigned slot, struct list *out)
{
	list_splice(out, &w->slots[level][slot]);
	w->used[level] &= ~(UINT64_C(1) << slot);
}

/* The hand has come to now_ms: rings the lowest slot, deals out the slots above. */
static void timers_step(struct timers *w)
{
	struct list due, *node;
	unsigned    level = 0;

	list_init(&due);
	do
		timer_empty_slot(w, level, timer_slot_of(w->now_ms, level), &due);
	while (timer_slot_of(w->now_ms, level) == 0 && ++level < TIMER_LEVELS);

	/* While it waits in due, a timer may still be stopped by another one's ring. */
	while ((node = list_take_first(&due))) {
		struct timer *t = list_entry(node, struct timer, node);

		if (t->at_ms <= w->now_ms)
			t->ring(t);
		else
			timer_place(w, t);
	}
}

void timers_run(struct timers *w, uint64_t now_ms)
{
	for (;;) {
		uint64_t next = timers_next_ms(w);

		if (next > now_ms)
			break;
		w->now_ms = next;
		timers_step(w);
	}
	if (now_ms > w->now_ms)
		w->now_ms = now_ms;
}
