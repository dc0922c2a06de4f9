/* slow.c - a ring of slow queries under a lock that its worker never waits for.
 *
 * The worker tries the lock; should the main thread be reading just then, the
 * query is one of those that are only counted.
 */
#include "resolve/slow.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct slows {
	uint64_t          refilled_us;		/* the worker's, as is what follows */
	unsigned          left;			/* that may be noted now */
	_Atomic uint64_t  dropped;		/* which only it writes */
	pthread_mutex_t   lock;			/* for the rest */
	size_t            count;		/* noted, ever */
	struct slow_query ring[SLOW_QUERIES];
};

struct slows *slows_new(void)
{
	struct slows *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	s->left = SLOW_BURST;
	return s;
}

void slows_free(struct slows *s)
{
	if (!s)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void slows_refill(struct slows *s, uint64_t now_us)
{
	uint64_t more = (now_us - s->refilled_us) / SLOW_REFILL_US;

	if (more >= SLOW_BURST - s->left) {
		s->left = SLOW_BURST;
		s->refilled_us = now_us;
	} else {
		s->left += (unsigned)more;
		s->refilled_us += more * SLOW_REFILL_US;
	}
}

struct slow_query *slows_note(struct slows *s, uint64_t now_us)
{
	struct slow_query *q;
	struct timespec    real;

	slows_refill(s, now_us);
	if (!s->left || pthread_mutex_trylock(&s->lock)) {
		stats_bump(&s->dropped, 1);
		return NULL;
	}
	s->left--;
	q = &s->ring[s->count++ % SLOW_QUERIES];
	clock_gettime(CLOCK_REALTIME, &real);
	q->time_ms = (uint64_t)real.tv_sec * 1000 + (uint64_t)real.tv_nsec / 1000000;
	q->answered_us = now_us;
	return q;
}

struct slow_query *slows_note_query(struct slows *s, const struct dns_query *q, uint64_t asked_us, uint64_t now_us)
{
	struct slow_query *slow = s ? slows_note(s, now_us) : NULL;

	if (!slow)
		return NULL;
	slow->duration_us = now_us - asked_us;
	slow->qtype = q->qtype;
	slow->name.len = q->qname_len;
	memcpy(slow->name.octets, q->qname, q->qname_len);
	return slow;
}

void slows_noted(struct slows *s)
{
	pthread_mutex_unlock(&s->lock);
}

size_t slows_read(struct slows *s, struct slow_query out[SLOW_QUERIES], uint64_t *dropped)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = s->count < SLOW_QUERIES ? s->count : SLOW_QUERIES;
	for (size_t i = 0; i < n; i++)
		out[i] = s->ring[(s->count - 1 - i) % SLOW_QUERIES];
	pthread_mutex_unlock(&s->lock);
	*dropped += atomic_load_explicit(&s->dropped, memory_order_relaxed);
	return n;
}
