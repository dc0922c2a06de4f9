/* slots.c - a stack of free slots; the most recently used one is taken again,
 * which keeps the table small in the caches.
 */
#include "slots.h"

#include <stddef.h>

void slots_init(struct slots *s)
{
	s->busy = 0;
	for (unsigned i = 0; i < SLOTS_MAX; i++) {
		s->free[i] = (uint16_t)(SLOTS_MAX - 1 - i);
		s->slot[i].id = (uint16_t)i;
		s->slot[i].busy = false;
	}
}

struct slot *slots_take(struct slots *s, uint64_t now_ns)
{
	if (s->busy == SLOTS_MAX)
		return NULL;
	struct slot *slot = &s->slot[s->free[SLOTS_MAX - ++s->busy]];
	slot->id = (uint16_t)(slot->id + SLOTS_MAX);
	slot->sent_ns = now_ns;
	slot->busy = true;
	return slot;
}

struct slot *slots_find(struct slots *s, uint16_t id)
{
	struct slot *slot = &s->slot[id % SLOTS_MAX];

	return slot->busy && slot->id == id ? slot : NULL;
}

void slots_release(struct slots *s, struct slot *slot)
{
	slot->busy = false;
	s->free[SLOTS_MAX - s->busy--] = (uint16_t)(slot - s->slot);
}

unsigned slots_expire(struct slots *s, uint64_t before_ns)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SLOTS_MAX && s->busy; i++) {
		if (!s->slot[i].busy || s->slot[i].sent_ns >= before_ns)
			continue;
		slots_release(s, &s->slot[i]);
		n++;
	}
	return n;
}
