/* due.c - heap[0 .. count) is a heap by due_ns; heap[count .. DUE_MAX) are free. */
#include "due.h"

#include <stdlib.h>

#include "net.h"

struct due {
	uint32_t count;
	uint32_t heap[DUE_MAX];
	struct due_reply reply[DUE_MAX];
};

struct due *due_new(void)
{
	struct due *d = calloc(1, sizeof *d);	/* touched as it is used */

	if (!d)
		net_fail("no memory for", "the replies");
	for (uint32_t i = 0; i < DUE_MAX; i++)
		d->heap[i] = i;
	return d;
}

static uint64_t due_at(const struct due *d, uint32_t i)
{
	return d->reply[d->heap[i]].due_ns;
}

static void due_swap(struct due *d, uint32_t i, uint32_t k)
{
	uint32_t was = d->heap[i];

	d->heap[i] = d->heap[k];
	d->heap[k] = was;
}

struct due_reply *due_take(struct due *d)
{
	return d->count < DUE_MAX ? &d->reply[d->heap[d->count]] : NULL;
}

void due_put(struct due *d, struct due_reply *r)
{
	uint32_t i = d->count++;

	d->heap[i] = (uint32_t)(r - d->reply);
	for (; i && due_at(d, i) < due_at(d, (i - 1) / 2); i = (i - 1) / 2)
		due_swap(d, i, (i - 1) / 2);
}

struct due_reply *due_next(const struct due *d)
{
	return d->count ? (struct due_reply *)&d->reply[d->heap[0]] : NULL;
}

void due_drop(struct due *d)
{
	uint32_t i = 0, k;

	due_swap(d, 0, --d->count);
	while ((k = 2 * i + 1) < d->count) {
		if (k + 1 < d->count && due_at(d, k + 1) < due_at(d, k))
			k++;
		if (due_at(d, i) <= due_at(d, k))
			return;
		due_swap(d, i, k);
		i = k;
	}
}
