/* latch.c - the places, and who writes. */
#include "cache/latch.h"

#include <errno.h>
#include <stdlib.h>

__thread unsigned latch_number;

int latch_init(struct latch *l, unsigned places)
{
	/* Held for less than a microsecond: whoever meets it locked looks again before going to sleep. */
	static const pthread_mutex_t fresh = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
	unsigned                     n = 1;

	while (n < places && n < LATCH_PLACES_MAX)
		n *= 2;
	l->places = aligned_alloc(sizeof *l->places, n * sizeof *l->places);
	if (!l->places)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++)
		l->places[i].mutex = fresh;
	l->mask = n - 1;
	return 0;
}

void latch_done(struct latch *l)
{
	for (unsigned i = 0; l->places && i <= l->mask; i++)
		pthread_mutex_destroy(&l->places[i].mutex);
	free(l->places);
}

void latch_take_place(unsigned number)
{
	latch_number = number;
}

void latch_write(struct latch *l)
{
	for (unsigned i = 0; i <= l->mask; i++)
		pthread_mutex_lock(&l->places[i].mutex);
}

void latch_end_write(struct latch *l)
{
	for (unsigned i = 0; i <= l->mask; i++)
		pthread_mutex_unlock(&l->places[i].mutex);
}
