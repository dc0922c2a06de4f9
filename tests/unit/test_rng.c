/* test_rng.c - stocks of random octets: all of them are used once, and none stays behind. */
#include "unit.h"

#include "base/rng.h"


/* A source that counts: 0, 1, 2 … as 16 bit numbers in memory order. */
struct counter {
	uint16_t next;
	unsigned fills;
	size_t   len;
};

static void counter_fill(void *arg, uint8_t *octets, size_t len)
{
	struct counter *c = arg;

	assert_int_equal(len % 2, 0);
	for (size_t i = 0; i < len; i += 2, c->next++)
		memcpy(octets + i, &c->next, 2);
	c->fills++;
	c->len = len;
}

static void dice_fill(void *arg, uint8_t *octets, size_t len)
{
	dice_octets(arg, octets, len);
}

static void test_numbers_come_from_the_source(void **state)
{
	struct counter c = { 0 };
	struct rng     r;

	(void)state;
	rng_init(&r, counter_fill, &c);
	assert_int_equal(c.fills, 0);		/* nothing is bought before it is needed */
	for (unsigned i = 0; i < 5000; i++)
		assert_int_equal(rng_u16(&r), (uint16_t)i);
	assert_true(c.fills >= 5000 * 2 / sizeof r.stock && c.fills <= 5000 * 2 / sizeof r.stock + 1);
}

/* What was handed out is gone from the stock, so that a look into memory tells nothing of the past. */
static void test_used_octets_are_wiped(void **state)
{
	struct counter c = { .next = 0x0101 };
	uint8_t        out[100];
	struct rng     r;

	(void)state;
	rng_init(&r, counter_fill, &c);
	rng_bytes(&r, out, 1);
	rng_bytes(&r, out, sizeof out);
	for (size_t i = 0; i < 1 + sizeof out; i++)
		assert_int_equal(r.stock[i], 0);
	assert_int_not_equal(r.stock[1 + sizeof out], 0);
}

/* A request that the rest cannot meet is met from a new stock whole; the largest is a stock. */
static void test_all_sizes(void **state)
{
	(void)state;
	for (struct dice d = dice_first(50); d.left; dice_next(&d)) {
		struct rng r;
		uint8_t    out[sizeof r.stock + 2];
		unsigned   zeros = 0, octets = 0;

		rng_init(&r, dice_fill, &d);
		for (unsigned i = 0; i < 40; i++) {
			size_t len = dice_below(&d, sizeof r.stock + 1);

			memset(out, 0, sizeof out);
			rng_bytes(&r, out + 1, len);
			holds(&d, out[0] == 0 && out[len + 1] == 0);
			for (size_t k = 0; k < len; k++)
				zeros += out[1 + k] == 0;
			octets += (unsigned)len;
		}
		holds(&d, zeros < octets / 64 + 20);	/* one in 256 is due; wiped octets would be many */
	}
}

static void test_below(void **state)
{
	static const uint32_t bounds[] = { 1, 2, 3, 7, 64, 1000, 65535, 0x80000001, UINT32_MAX };

	(void)state;
	for (struct dice d = dice_first(3); d.left; dice_next(&d)) {
		struct rng r;

		rng_init(&r, dice_fill, &d);
		for (size_t b = 0; b < COUNT_OF(bounds); b++) {
			uint32_t most = 0;

			for (unsigned i = 0; i < 2000; i++) {
				uint32_t v = rng_below(&r, bounds[b]);

				holds(&d, v < bounds[b]);
				most = v > most ? v : most;
			}
			holds(&d, most >= bounds[b] / 100 * 95);
		}
	}
}

/* Even over its range: 3 × 2^30 values out of 2^32, where a plain remainder would give the first third
 * twice as often. */
static void test_below_is_even(void **state)
{
	(void)state;
	for (struct dice d = dice_first(2); d.left; dice_next(&d)) {
		struct rng r;
		unsigned   third[3] = { 0 };

		rng_init(&r, dice_fill, &d);
		for (unsigned i = 0; i < 30000; i++)
			third[rng_below(&r, 0xc0000000) >> 30]++;
		for (unsigned i = 0; i < 3; i++)
			holds(&d, third[i] > 9600 && third[i] < 10400);
	}
}

/* The kernel as the source: two generators do not agree, and bits are neither stuck nor leaning. */
static void test_kernel(void **state)
{
	struct rng a, b;
	unsigned   set[16] = { 0 }, equal = 0;

	(void)state;
	rng_init(&a, NULL, NULL);
	rng_init(&b, NULL, NULL);
	for (unsigned i = 0; i < 4000; i++) {
		uint16_t v = rng_u16(&a);

		equal += v == rng_u16(&b);
		for (unsigned bit = 0; bit < 16; bit++)
			set[bit] += v >> bit & 1;
	}
	assert_true(equal < 20);
	for (unsigned bit = 0; bit < 16; bit++)		/* 2000 ± 32 is one sigma */
		assert_true(set[bit] > 1700 && set[bit] < 2300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_come_from_the_source),
		cmocka_unit_test(test_used_octets_are_wiped),
		cmocka_unit_test(test_all_sizes),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_below_is_even),
		cmocka_unit_test(test_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
