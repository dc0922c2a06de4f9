/* test_latch.c - readers do not wait for each other, and nobody reads what is being written. */
#include "unit.h"

#include "cache/latch.h"

#include <pthread.h>
#include <stdatomic.h>

#define READERS 3u
#define ROUNDS  20000u

static struct latch latch;

/* Both stand still while one reads; a writer moves the one after the other. */
static volatile unsigned left, right;
static _Atomic unsigned  writers_left;

static void *read_once(void *arg)
{
	latch_take_place((unsigned)(uintptr_t)arg);
	latch_read(&latch);
	latch_end_read(&latch);
	return NULL;
}

/* Would wait for ever if it were not so. */
static void test_readers_do_not_meet(void **state)
{
	pthread_t other;

	(void)state;
	assert_int_equal(latch_init(&latch, 2), 0);
	latch_take_place(0);
	latch_read(&latch);
	assert_int_equal(pthread_create(&other, NULL, read_once, (void *)1), 0);
	pthread_join(other, NULL);
	latch_end_read(&latch);
	latch_done(&latch);
}

static void *read_all_the_time(void *arg)
{
	unsigned long apart = 0;

	latch_take_place((unsigned)(uintptr_t)arg);
	while (atomic_load(&writers_left)) {
		latch_read(&latch);
		apart += left != right;
		latch_end_read(&latch);
	}
	return (void *)apart;
}

static void *write_often(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < ROUNDS; i++) {
		latch_write(&latch);
		left++;
		right++;
		latch_end_write(&latch);
	}
	atomic_fetch_sub(&writers_left, 1);
	return NULL;
}

/* places: with fewer than there are readers, some share one. */
static void check_writers(unsigned places)
{
	pthread_t readers[READERS], writers[2];
	void     *apart;

	left = right = 0;
	assert_int_equal(latch_init(&latch, places), 0);
	atomic_store(&writers_left, 2);
	for (unsigned i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_all_the_time, (void *)(uintptr_t)i), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&writers[i], NULL, write_often, NULL), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(writers[i], NULL);
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(readers[i], &apart);
		assert_null(apart);
	}
	assert_int_equal(left, 2 * ROUNDS);
	assert_int_equal(right, 2 * ROUNDS);
	latch_done(&latch);
}

static void test_writers_are_alone(void **state)
{
	(void)state;
	check_writers(READERS);
	check_writers(2);
	check_writers(1);
}

static void test_how_many_places(void **state)
{
	static const struct { unsigned wanted, mask; } cases[] = {
		{ 0, 0 }, { 1, 0 }, { 2, 1 }, { 3, 3 }, { 4, 3 }, { 16, 15 }, { 17, 15 }, { 64, 15 },
	};
	struct latch none = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(latch_init(&latch, cases[i].wanted), 0);
		assert_int_equal(latch.mask, cases[i].mask);
		latch_done(&latch);
	}
	latch_done(&none);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_readers_do_not_meet),
		cmocka_unit_test(test_writers_are_alone),
		cmocka_unit_test(test_how_many_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
