/* latch.h - a lock for what is read all the time and changed seldom.
 *
 * Each reader locks a place of its own, which nobody else touches unless somebody writes; so that readers on several
 * processors do not take a cache line from each other, as the count of readers in a common lock makes them do.
 * A writer locks all places, in order: it costs as much as there are places, and nobody reads meanwhile.
 *
 * A thread reads at the place it was given by latch_take_place(), others at place 0; two threads at one place wait for
 * each other.  Whoever holds a latch takes no other.
 */
#ifndef LARDER_CACHE_LATCH_H
#define LARDER_CACHE_LATCH_H

#include <pthread.h>

#define LATCH_PLACES_MAX 16u

struct latch_place {
	pthread_mutex_t mutex;
} __attribute__((aligned(64)));

struct latch {
	struct latch_place *places;
	unsigned            mask;	/* their number, a power of two, less 1 */
};

/* places: 1 or more; rounded up, up to LATCH_PLACES_MAX.  0, or -ENOMEM. */
int  latch_init(struct latch *l, unsigned places);
void latch_done(struct latch *l);	/* one that is all zeros is fine */

/* For the calling thread, at all latches: number is cut to what a latch has. */
void latch_take_place(unsigned number);

void latch_write(struct latch *l);
void latch_end_write(struct latch *l);

extern __thread unsigned latch_number;	/* of the calling thread */

static inline void latch_read(struct latch *l)
{
	pthread_mutex_lock(&l->places[latch_number & l->mask].mutex);
}

static inline void latch_end_read(struct latch *l)
{
	pthread_mutex_unlock(&l->places[latch_number & l->mask].mutex);
}

#endif
