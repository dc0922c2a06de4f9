/* test_clock.c - the machine's clocks go forward and are the ones they say. */
#include "unit.h"

#include "base/clock.h"

#include <time.h>

static uint64_t read_us(clockid_t id)
{
	struct timespec ts;

	assert_int_equal(clock_gettime(id, &ts), 0);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Each reading lies between two of the kernel's own, in the unit that is promised. */
static void test_which_clocks(void **state)
{
	const struct clock *c = clock_system();

	(void)state;
	assert_ptr_equal(c, clock_system());
	for (unsigned i = 0; i < 100; i++) {
		uint64_t before = read_us(CLOCK_BOOTTIME), now = clock_boot_ms(c);

		assert_in_range(now, before / 1000, read_us(CLOCK_BOOTTIME) / 1000);
		before = read_us(CLOCK_MONOTONIC);
		now = clock_mono_us(c);
		assert_in_range(now, before, read_us(CLOCK_MONOTONIC));
	}
}

static uint64_t still_boot_ms(const struct clock *c)
{
	(void)c;
	return 42;
}

static uint64_t still_mono_us(const struct clock *c)
{
	(void)c;
	return 4200;
}

/* A clock that stands still can take their place. */
static void test_another_clock(void **state)
{
	const struct clock c = { still_boot_ms, still_mono_us };

	(void)state;
	assert_int_equal(clock_boot_ms(&c), 42);
	assert_int_equal(clock_mono_us(&c), 4200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_which_clocks),
		cmocka_unit_test(test_another_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
