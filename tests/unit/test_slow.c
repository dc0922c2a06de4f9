/* test_slow.c - what is kept of slow queries, and how much noting them may cost. */
#include "unit.h"

#include "resolve/slow.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <time.h>

static struct slow_query out[SLOW_QUERIES];

static bool note(struct slows *s, uint64_t now_us, unsigned number)
{
	struct slow_query *q = slows_note(s, now_us);

	if (!q)
		return false;
	q->duration_us = number;
	memset(q->reason, (int)(number & 0xff), sizeof q->reason);
	slows_noted(s);
	return true;
}

static void test_newest_first(void **state)
{
	struct slows *s = slows_new();
	uint64_t      dropped = 5;

	(void)state;
	assert_int_equal(slows_read(s, out, &dropped), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_true(note(s, 1000000 + i, i));
	assert_int_equal(slows_read(s, out, &dropped), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(out[i].duration_us, 2 - i);
		assert_int_equal(out[i].answered_us, 1000002 - i);
		assert_in_range(out[i].time_ms / 1000, (uint64_t)time(NULL) - 60, (uint64_t)time(NULL));
	}
	assert_int_equal(dropped, 5);
	slows_free(s);
}

/* All of a burst are noted, and 50 a second after it; the list holds the latest. */
static void test_bounds(void **state)
{
	struct slows *s = slows_new();
	uint64_t      now_us = 5000000, dropped = 0;
	unsigned      noted = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		noted += note(s, now_us, i);
	assert_int_equal(noted, SLOW_BURST);
	for (unsigned i = 0; i < 10000; i++)
		noted += note(s, now_us += 100, 1000 + i);
	assert_int_equal(noted, SLOW_BURST + 50);
	assert_int_equal(slows_read(s, out, &dropped), SLOW_QUERIES);
	assert_int_equal(dropped, 11000 - noted);
	assert_int_equal(out[0].duration_us, 10999);
	assert_int_equal(out[50].duration_us, SLOW_BURST - 1);
	now_us += 60 * 1000000;			/* quiet for a while: there is room for a burst again, and no more */
	for (unsigned i = 0; i < 1000; i++)
		noted += note(s, now_us, i);
	assert_int_equal(noted, 2 * SLOW_BURST + 50);
	slows_free(s);
}

static struct slows    *shared;
static _Atomic unsigned tried;

static void *work(void *arg)
{
	(void)arg;
	for (uint64_t i = 1; i <= 20000; i++) {
		note(shared, i * SLOW_REFILL_US, (unsigned)i);
		atomic_store(&tried, (unsigned)i);
	}
	return NULL;
}

/* A reader makes the worker count, never wait: each query is noted or dropped, and what is read is whole. */
static void test_two_threads(void **state)
{
	pthread_t thread;
	uint64_t  dropped = 0;
	size_t    noted;

	(void)state;
	shared = slows_new();
	assert_int_equal(pthread_create(&thread, NULL, work, NULL), 0);
	do {
		size_t n = slows_read(shared, out, &dropped);

		for (size_t i = 0; i < n; i++) {
			assert_int_equal(out[i].answered_us, out[i].duration_us * SLOW_REFILL_US);
			assert_true(!i || out[i].duration_us < out[i - 1].duration_us);
			assert_true(out[i].reason[0] == out[i].reason[sizeof out[i].reason - 1]);
		}
	} while (atomic_load(&tried) < 20000);
	pthread_join(thread, NULL);
	dropped = 0;
	noted = slows_read(shared, out, &dropped);
	assert_int_equal(noted, dropped > 20000 - SLOW_QUERIES ? 20000 - dropped : SLOW_QUERIES);
	slows_free(shared);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_newest_first),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
