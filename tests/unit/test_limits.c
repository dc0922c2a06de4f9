/* test_limits.c - how much one client may make of us.  Rows ABUSE: questions that wait, replies a second. */
#include "unit.h"

#include "alloc_fail.h"
#include "policy/limits.h"

static const struct siphash_key secret = { 1, 2 };

static struct addr addr_of(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, 1234, &a), 0);
	return a;
}

static void test_waiting(void **state)
{
	const struct limit_conf conf = { .waiting_per_client = 3 };
	struct limits          *l = limits_new(&secret);
	struct addr             a = addr_of("192.0.2.1"), again = addr_of("192.0.2.1:9"), b = addr_of("2001:db8::1");

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 3; i++)
			assert_true(limits_wait(l, &conf, i % 2 ? &a : &again));	/* ports do not matter */
		assert_false(limits_wait(l, &conf, &a));
		assert_false(limits_wait(l, &conf, &again));
		assert_true(limits_wait(l, &conf, &b));
		limits_answered(l, &conf, &b);
		limits_answered(l, &conf, &a);
		assert_true(limits_wait(l, &conf, &again));
		assert_false(limits_wait(l, &conf, &a));
		for (unsigned i = 0; i < 3; i++)
			limits_answered(l, &conf, &a);
	}
	limits_answered(l, &conf, &a);		/* one too many, after a reload, does no harm */
	for (unsigned i = 0; i < 3; i++)
		assert_true(limits_wait(l, &conf, &a));
	assert_false(limits_wait(l, &conf, &a));
	limits_free(l);
}

static void test_loopback(void **state)
{
	static const char *const own[] = { "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1" };
	struct limit_conf        conf = { .waiting_per_client = 1, .replies_per_second = 1 };
	struct limits           *l = limits_new(&secret);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(own); i++) {
		struct addr a = addr_of(own[i]);

		conf.loopback = false;
		for (unsigned n = 0; n < 100; n++) {
			assert_true(limits_wait(l, &conf, &a));
			assert_int_equal(limits_reply(l, &conf, &a, 1000), LIMITS_REPLY);
		}
		conf.loopback = true;
		assert_true(limits_wait(l, &conf, &a));
		assert_false(limits_wait(l, &conf, &a));
		assert_int_equal(limits_reply(l, &conf, &a, 5000 * i + 5000), LIMITS_REPLY);
		assert_int_not_equal(limits_reply(l, &conf, &a, 5000 * i + 5000), LIMITS_REPLY);
	}
	limits_free(l);
}

/* As many replies a second as are allowed, over any length of time, whatever the rhythm; of those beyond, every
 * other one is a short one with TC, so that a real client is not shut out. */
static void test_replies(void **state)
{
	(void)state;
	for (struct dice d = dice_first(40); d.left; dice_next(&d)) {
		struct limit_conf conf = { .replies_per_second = 1 + (uint32_t)dice_below(&d, 50) };
		struct limits    *l = limits_new(&secret);
		struct addr       a = addr_of("192.0.2.1"), neighbour = addr_of("192.0.2.200"), other = addr_of("192.0.3.1");
		uint64_t          began = dice_magnitude(&d, 40), now = began, end = now + 20000;
		unsigned          given[3] = { 0 };

		while (now < end) {
			given[limits_reply(l, &conf, dice_one_in(&d, 2) ? &a : &neighbour, now)]++;	/* one /24 */
			now += dice_below(&d, dice_one_in(&d, 50) ? 500 : 4);
		}
		/* a bucket holds a second's worth, which the first second may have on top */
		holds(&d, given[LIMITS_REPLY] <= conf.replies_per_second * 21 + 1);
		holds(&d, given[LIMITS_REPLY] >= conf.replies_per_second * 15);
		holds(&d, given[LIMITS_TRUNCATE] - given[LIMITS_SILENCE] <= 1);
		holds(&d, given[LIMITS_TRUNCATE] > 0);
		for (unsigned i = 0; i < conf.replies_per_second; i++)
			holds(&d, limits_reply(l, &conf, &other, now) == LIMITS_REPLY);
		limits_free(l);
	}
}

/* A client that keeps below the bound never meets it, however long it asks. */
static void test_modest_client(void **state)
{
	(void)state;
	for (struct dice d = dice_first(40); d.left; dice_next(&d)) {
		uint32_t          rate = 2 + (uint32_t)dice_below(&d, 100);
		struct limit_conf conf = { .replies_per_second = rate };
		struct limits    *l = limits_new(&secret);
		struct addr       a = addr_of("2001:db8::1");
		uint64_t          now = dice_magnitude(&d, 33);

		for (unsigned i = 0; i < 5000; i++) {
			now += 1000 / rate + 1;
			holds(&d, limits_reply(l, &conf, &a, now) == LIMITS_REPLY);
		}
		limits_free(l);
	}
}

static void test_prefixes(void **state)
{
	const struct limit_conf conf = { .replies_per_second = 1 };
	struct limits          *l = limits_new(&secret);
	struct addr             six = addr_of("2001:db8:0:ff00::1"), same = addr_of("2001:db8:0:ffff:1::2"),
	            other = addr_of("2001:db8:0:fe00::1");

	(void)state;
	assert_int_equal(limits_reply(l, &conf, &six, 0), LIMITS_REPLY);
	assert_int_not_equal(limits_reply(l, &conf, &same, 0), LIMITS_REPLY);	/* one /56 */
	assert_int_equal(limits_reply(l, &conf, &other, 0), LIMITS_REPLY);
	limits_free(l);
}

static void test_switched_off(void **state)
{
	const struct limit_conf conf = { 0 };
	struct limits          *l = limits_new(&secret);
	struct addr             a = addr_of("192.0.2.1");

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal(limits_reply(l, &conf, &a, 0), LIMITS_REPLY);
	limits_free(l);
}

/* Which clients share a counter depends on the secret. */
static void test_secret(void **state)
{
	const struct limit_conf  conf = { .waiting_per_client = 1 };
	const struct siphash_key other = { 3, 4 };
	struct limits           *l[2] = { limits_new(&secret), limits_new(&other) };
	unsigned                 shared[2] = { 0 }, both = 0;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		char        text[32];
		struct addr a;
		bool        full[2];

		snprintf(text, sizeof text, "10.0.%u.%u", i / 250, i % 250);
		a = addr_of(text);
		for (unsigned k = 0; k < 2; k++) {
			full[k] = !limits_wait(l[k], &conf, &a);
			shared[k] += full[k];
		}
		both += full[0] && full[1];
	}
	for (unsigned k = 0; k < 2; k++) {
		assert_in_range(shared[k], 500, 1500);	/* 3000 clients over 4096 counters */
		limits_free(l[k]);
	}
	assert_true(both < shared[0] * 2 / 3);
}

static bool run_new(void *arg)
{
	struct limits *l = limits_new(&secret);

	(void)arg;
	limits_free(l);
	return l;
}

static void test_no_memory(void **state)
{
	(void)state;
	assert_int_equal(alloc_fail_each(run_new, NULL), 1);
	limits_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_modest_client),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_switched_off),
		cmocka_unit_test(test_secret),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
