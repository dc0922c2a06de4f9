/* clock.c - the machine's clocks. */
#include "base/clock.h"

#include <time.h>

static uint64_t clock_read_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t clock_system_boot_ms(const struct clock *c)
{
	(void)c;
	return clock_read_ns(CLOCK_BOOTTIME) / 1000000;
}

static uint64_t clock_system_mono_us(const struct clock *c)
{
	(void)c;
	return clock_read_ns(CLOCK_MONOTONIC) / 1000;
}

static const struct clock system_clock = {
	.boot_ms = clock_system_boot_ms,
	.mono_us = clock_system_mono_us,
};

const struct clock *clock_system(void)
{
	return &system_clock;
}
