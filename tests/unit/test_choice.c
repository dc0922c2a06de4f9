/* test_choice.c - whom each policy asks, and how often; never one whose breaker is open.  User-needs rows 9, 10. */
#include "unit.h"

#include "base/rng.h"
#include "upstream/choice.h"

#define MANY   8
#define ROUNDS 30000
#define NOW_US UINT64_C(1000000000)

static struct health    healths[MANY];
static struct candidate list[MANY];
static struct rng       rng;
static struct dice      dice;

static void random_octets(void *arg, uint8_t *octets, size_t len)
{
	dice_octets(arg, octets, len);
}

static int setup_list(void **state)
{
	(void)state;
	dice_init(&dice, 1);
	rng_init(&rng, random_octets, &dice);
	for (unsigned i = 0; i < MANY; i++) {
		health_init(&healths[i], "test");
		atomic_store(&healths[i].sampled_us, NOW_US);
		list[i] = (struct candidate){ .health = &healths[i] };
	}
	return 0;
}

static int teardown_list(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MANY; i++)
		health_done(&healths[i]);
	return 0;
}

static void set_state(unsigned i, enum health_state to)
{
	atomic_store(&healths[i].state, (uint8_t)to);
}

static void set_p50_ms(unsigned i, uint32_t ms)
{
	atomic_store(&healths[i].p50_us, ms * 1000);
}

static int choose(enum upstream_policy policy, size_t count)
{
	return choice_make(policy, CHOICE_CLIENT, list, count, &rng, NOW_US);
}

/* How often each of count is chosen in ROUNDS. */
static void tally(enum upstream_policy policy, size_t count, unsigned *out)
{
	memset(out, 0, MANY * sizeof *out);
	for (unsigned i = 0; i < ROUNDS; i++) {
		int at = choose(policy, count);

		assert_in_range(at, 0, count - 1);
		out[at]++;
	}
}

static bool is_part(unsigned n, unsigned of)
{
	return n > ROUNDS / of * 95 / 100 && n < ROUNDS / of * 105 / 100;
}

static void test_none(void **state)
{
	(void)state;
	for (enum upstream_policy p = UPSTREAM_FASTEST; p <= UPSTREAM_RACE; p++) {
		assert_int_equal(choose(p, 0), -1);
		assert_int_equal(choose(p, 1), 0);
		set_state(0, HEALTH_OPEN);
		set_state(1, HEALTH_OPEN);
		assert_int_equal(choose(p, 1), -1);
		assert_int_equal(choose(p, 2), -1);
		assert_int_equal(choose(p, 3), 2);
		set_state(0, HEALTH_GOOD);
		set_state(1, HEALTH_GOOD);
	}
}

/* Of any upstreams in any state: the better state first, then the one asked less, and an open one never. */
static void test_always(void **state)
{
	(void)state;
	for (struct dice d = dice_first(20000); d.left; dice_next(&d)) {
		enum upstream_policy policy = (enum upstream_policy)dice_below(&d, UPSTREAM_RACE + 1);
		enum choice_purpose  purpose = dice_one_in(&d, 2) ? CHOICE_REFRESH : CHOICE_CLIENT;
		size_t               count = (size_t)dice_below(&d, MANY + 1);
		bool                 any = false;
		int                  at;

		for (unsigned i = 0; i < count; i++) {
			set_state(i, (enum health_state)dice_below(&d, HEALTH_OPEN + 1));
			set_p50_ms(i, (uint32_t)dice_magnitude(&d, 10));
			atomic_store(&healths[i].sampled_us, dice_magnitude(&d, 31));
			list[i].sends = (unsigned)dice_below(&d, 4);
			any |= health_state(&healths[i]) != HEALTH_OPEN;
		}
		at = choice_make(policy, purpose, list, count, &rng, NOW_US);
		holds(&d, (at >= 0) == any);
		if (at < 0)
			continue;
		holds(&d, (size_t)at < count && health_state(list[at].health) != HEALTH_OPEN);
		for (unsigned i = 0; i < count; i++) {
			enum health_state s = health_state(list[i].health);

			holds(&d, s >= health_state(list[at].health));
			holds(&d, s > health_state(list[at].health) || list[i].sends >= list[at].sends);
		}
	}
}

static void test_ordered(void **state)
{
	(void)state;
	set_p50_ms(0, 900);				/* slow, and still the first */
	set_p50_ms(1, 1);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(choose(UPSTREAM_ORDERED, 4), 0);
	set_state(0, HEALTH_SUSPECT);
	assert_int_equal(choose(UPSTREAM_ORDERED, 4), 1);
	set_state(1, HEALTH_OPEN);
	assert_int_equal(choose(UPSTREAM_ORDERED, 4), 2);
	list[2].sends = 1;				/* tried already: the next */
	assert_int_equal(choose(UPSTREAM_ORDERED, 4), 3);
	list[3].sends = 1;
	assert_int_equal(choose(UPSTREAM_ORDERED, 4), 2);
	set_state(0, HEALTH_GOOD);
	assert_int_equal(choose(UPSTREAM_ORDERED, 4), 0);
}

static void test_spread(void **state)
{
	unsigned n[MANY];

	(void)state;
	set_p50_ms(0, 900);
	set_p50_ms(1, 1);
	tally(UPSTREAM_SPREAD, 4, n);
	for (unsigned i = 0; i < 4; i++)
		assert_true(is_part(n[i], 4));
	set_state(2, HEALTH_OPEN);
	tally(UPSTREAM_SPREAD, 4, n);
	assert_int_equal(n[2], 0);
	assert_true(is_part(n[0], 3) && is_part(n[1], 3) && is_part(n[3], 3));
}

/* The better of two random ones: the quickest of three gets two thirds, the next one third, the slowest nothing. */
static void test_fastest(void **state)
{
	unsigned n[MANY];

	(void)state;
	set_p50_ms(0, 80);
	set_p50_ms(1, 20);
	set_p50_ms(2, 40);
	for (enum upstream_policy p = UPSTREAM_FASTEST; p <= UPSTREAM_RACE; p += UPSTREAM_RACE) {
		tally(p, 3, n);
		assert_int_equal(n[0], 0);
		assert_true(is_part(n[1] / 2, 3));
		assert_true(is_part(n[2], 3));
		tally(p, 2, n);
		assert_int_equal(n[1], ROUNDS);
	}
	set_state(1, HEALTH_OPEN);
	tally(UPSTREAM_FASTEST, 3, n);
	assert_int_equal(n[2], ROUNDS);
}

/* A tenth is noise: such share. */
static void test_noise(void **state)
{
	unsigned n[MANY];

	(void)state;
	set_p50_ms(0, 100);
	set_p50_ms(1, 92);
	tally(UPSTREAM_FASTEST, 2, n);
	assert_true(is_part(n[0], 2) && is_part(n[1], 2));
	set_p50_ms(1, 89);
	tally(UPSTREAM_FASTEST, 2, n);
	assert_int_equal(n[1], ROUNDS);
}

/* Of whom nothing is known counts as slow; where nothing is known of anybody, all share. */
static void test_unknown(void **state)
{
	unsigned n[MANY];

	(void)state;
	tally(UPSTREAM_FASTEST, 4, n);
	for (unsigned i = 0; i < 4; i++)
		assert_true(is_part(n[i], 4));
	set_p50_ms(1, 30000);
	tally(UPSTREAM_FASTEST, 2, n);
	assert_int_equal(n[1], ROUNDS);
}

/* A refresh looks at the one that was looked at longest ago, if that is long: clients do not. */
static void test_refresh(void **state)
{
	unsigned n[MANY];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		set_p50_ms(i, i ? 900 : 10);
	atomic_store(&healths[1].sampled_us, NOW_US - 60000000);
	atomic_store(&healths[2].sampled_us, NOW_US - 70000000);
	assert_int_equal(choice_make(UPSTREAM_FASTEST, CHOICE_REFRESH, list, 3, &rng, NOW_US), 2);
	atomic_store(&healths[2].sampled_us, NOW_US);
	assert_int_equal(choice_make(UPSTREAM_FASTEST, CHOICE_REFRESH, list, 3, &rng, NOW_US), 1);
	set_state(1, HEALTH_OPEN);			/* probes do that */
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(choice_make(UPSTREAM_FASTEST, CHOICE_REFRESH, list, 3, &rng, NOW_US), 0);
	set_state(1, HEALTH_GOOD);
	atomic_store(&healths[1].sampled_us, NOW_US - 60000000);
	assert_int_equal(choice_make(UPSTREAM_ORDERED, CHOICE_REFRESH, list, 3, &rng, NOW_US), 0);
	tally(UPSTREAM_FASTEST, 2, n);
	assert_int_equal(n[0], ROUNDS);
}

#define CHOICE_TEST(name) cmocka_unit_test_setup_teardown(name, setup_list, teardown_list)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CHOICE_TEST(test_none),
		CHOICE_TEST(test_always),
		CHOICE_TEST(test_ordered),
		CHOICE_TEST(test_spread),
		CHOICE_TEST(test_fastest),
		CHOICE_TEST(test_noise),
		CHOICE_TEST(test_unknown),
		CHOICE_TEST(test_refresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
