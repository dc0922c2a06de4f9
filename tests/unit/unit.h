/* unit.h - what every unit test includes: cmocka with what it needs, and dice.
 *
 * Dice are random numbers from a seed.  A property test runs once for each of
 * some seeds and says with holds() what must be true; a failure tells the
 * seed, and LARDER_SEED=n in the environment runs that one alone.
 * LARDER_ROUNDS=n runs n times as many as usual.
 */
#ifndef LARDER_TESTS_UNIT_UNIT_H
#define LARDER_TESTS_UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* LARDER_TEST=pattern in the environment: only tests whose name matches, "test_ran*". */
__attribute__((constructor)) static void unit_filter(void)
{
	if (getenv("LARDER_TEST"))
		cmocka_set_test_filter(getenv("LARDER_TEST"));
}

struct dice {
	uint64_t state, seed;
	uint64_t left;		/* rounds, this one included */
};

static inline void dice_init(struct dice *d, uint64_t seed)
{
	d->seed = seed;
	d->state = seed * 0xd1342543de82ef95;
}

/* for (struct dice d = dice_first(n); d.left; dice_next(&d)): n rounds, each from its own seed. */
static inline struct dice dice_first(uint64_t rounds)
{
	const char *only = getenv("LARDER_SEED"), *times = getenv("LARDER_ROUNDS");
	struct dice d = { .left = only ? 1 : times ? rounds * strtoull(times, NULL, 10) : rounds };

	dice_init(&d, only ? strtoull(only, NULL, 10) : 1);
	return d;
}

static inline void dice_next(struct dice *d)
{
	d->left--;
	dice_init(d, d->seed + 1);
}

/* A Weyl sequence, well stirred. */
static inline uint64_t dice_u64(struct dice *d)
{
	uint64_t x = d->state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static inline uint64_t dice_below(struct dice *d, uint64_t n)
{
	return dice_u64(d) % n;
}

static inline bool dice_one_in(struct dice *d, uint64_t n)
{
	return dice_below(d, n) == 0;
}

/* Any magnitude is as likely as any other, so that bounds are met: 0 to 2^bits - 1. */
static inline uint64_t dice_magnitude(struct dice *d, unsigned bits)
{
	unsigned n = (unsigned)dice_below(d, bits + 1);

	return n ? dice_u64(d) >> (64 - n) : 0;
}

static inline void dice_octets(struct dice *d, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)dice_u64(d);
}

#define holds(d, condition)                                                               \
	do {                                                                              \
		if (!(condition))                                                         \
			fail_msg("LARDER_SEED=%llu: not true: %s",                        \
			         (unsigned long long)(d)->seed, #condition);              \
	} while (0)

#endif
