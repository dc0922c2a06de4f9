/* test_ring.c - records from one thread to another: whole, in order, or counted. */
#include "unit.h"

#include "base/ring.h"

#include <pthread.h>
#include <stdatomic.h>

#define SIZE 256

static void fill(void *record, size_t len, unsigned n)
{
	memset(record, (int)(n & 0xff), len);
}

static void check(const void *record, size_t len, unsigned n)
{
	for (size_t i = 0; i < len; i++)
		assert_int_equal(((const uint8_t *)record)[i], n & 0xff);
	assert_int_equal((uintptr_t)record % 8, 0);
}

static bool put(struct ring *r, size_t len, unsigned n)
{
	void *record = ring_write(r, len);

	if (record)
		fill(record, len, n);
	return record;
}

static void test_unpublished_is_unseen(void **state)
{
	struct ring *r = ring_new(SIZE);
	size_t       len;
	uint8_t     *first, *second;

	(void)state;
	assert_null(ring_unpublished(r, NULL));
	assert_true(put(r, 5, 1));
	assert_true(put(r, 0, 2));
	assert_null(ring_read(r, &len));
	first = ring_unpublished(r, NULL);
	check(first, 5, 1);
	second = ring_unpublished(r, first);
	assert_non_null(second);
	assert_null(ring_unpublished(r, second));
	fill(first, 5, 7);
	ring_publish(r);
	assert_null(ring_unpublished(r, NULL));
	check(ring_read(r, &len), 5, 7);
	assert_int_equal(len, 5);
	assert_non_null(ring_read(r, &len));
	assert_int_equal(len, 0);
	assert_null(ring_read(r, &len));
	ring_free(r);
	ring_free(NULL);
}

/* Full is full, and counted; what was read makes room only when it is released. */
static void test_full(void **state)
{
	struct ring *r = ring_new(SIZE);
	size_t       len;
	unsigned     n = 0;

	(void)state;
	while (put(r, 24, n))
		n++;
	assert_int_equal(n, SIZE / 32);
	assert_int_equal(ring_dropped(r), 1);
	ring_publish(r);
	for (unsigned i = 0; i < n; i++)
		check(ring_read(r, &len), 24, i);
	assert_false(put(r, 24, n));
	ring_release(r);
	assert_int_equal(ring_dropped(r), 2);
	assert_true(put(r, SIZE - 8, n));
	assert_false(put(r, 0, n));
	ring_publish(r);
	check(ring_read(r, &len), SIZE - 8, n);
	assert_int_equal(len, SIZE - 8);
	ring_release(r);
	assert_false(put(r, SIZE - 7, n));	/* never has room */
	ring_free(r);
}

/* Against a model: any lengths, any mixture of steps. */
static void test_random(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 50; seed++) {
		struct ring *r = ring_new(SIZE);
		unsigned     state_now = seed, wrote = 0, seen = 0, published = 0;
		size_t       lens[4096], len;
		void        *record;

		for (unsigned step = 0; step < 4000; step++) {
			state_now = state_now * 1103515245 + 12345;
			switch (state_now >> 16 & 3) {
			case 0:
			case 1:
				lens[wrote] = state_now >> 20 & 63;
				wrote += put(r, lens[wrote], wrote);
				break;
			case 2: {
				unsigned count = 0;

				for (void *u = NULL; (u = ring_unpublished(r, u)); count++)
					check(u, lens[published + count], published + count);
				assert_int_equal(count, wrote - published);
				ring_publish(r);
				published = wrote;
				break;
			}
			case 3:
				for (; (record = ring_read(r, &len)); seen++) {
					assert_int_equal(len, lens[seen]);
					check(record, len, seen);
				}
				assert_int_equal(seen, published);
				ring_release(r);
				break;
			}
		}
		assert_true(wrote > 1000);
		ring_free(r);
	}
}

#define RECORDS 200000u

static struct ring     *shared;
static _Atomic unsigned ended;

static void *write_all(void *arg)
{
	(void)arg;
	for (unsigned n = 1; n <= RECORDS; n++) {
		unsigned *record = ring_write(shared, sizeof n * (1 + n % 9));

		for (unsigned i = 0; record && i < 1 + n % 9; i++)
			record[i] = n;
		if (n % 3 == 0)
			ring_publish(shared);
	}
	ring_publish(shared);
	atomic_store(&ended, 1);
	return NULL;
}

/* Each record arrives whole and in its order, or is counted. */
static void test_two_threads(void **state)
{
	pthread_t thread;
	unsigned  got = 0, last = 0;
	bool      over;

	(void)state;
	shared = ring_new(4096);
	assert_int_equal(pthread_create(&thread, NULL, write_all, NULL), 0);
	do {
		const unsigned *record;
		size_t          len;

		over = atomic_load(&ended);
		while ((record = ring_read(shared, &len))) {
			assert_true(record[0] > last);
			last = record[0];
			assert_int_equal(len, sizeof last * (1 + last % 9));
			for (unsigned i = 1; i < 1 + last % 9; i++)
				assert_int_equal(record[i], last);
			got++;
		}
		ring_release(shared);
	} while (!over);
	pthread_join(thread, NULL);
	assert_int_equal(got + ring_dropped(shared), RECORDS);
	assert_true(got > 0);
	ring_free(shared);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unpublished_is_unseen),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
