/* clock.h - what time it is, as something that is handed in.
 *
 * Three clocks, because three things are counted:
 *   - TTLs, on CLOCK_BOOTTIME in milliseconds: it ignores steps of the wall
 *     clock and counts suspend (a laptop that slept for an hour has aged data);
 *   - timers and stages of an exchange, on CLOCK_MONOTONIC in microseconds;
 *   - the wall clock, for people only.
 * Tests hand in a clock that stands still until they move it.
 */
#ifndef LARDER_BASE_CLOCK_H
#define LARDER_BASE_CLOCK_H

#include <stdint.h>

struct clock {
	uint64_t (*boot_ms)(const struct clock *c);
	uint64_t (*mono_us)(const struct clock *c);
};

/* The machine's own clocks.  Never fails; the struct is static. */
const struct clock *clock_system(void);

static inline uint64_t clock_boot_ms(const struct clock *c)
{
	return c->boot_ms(c);
}

static inline uint64_t clock_mono_us(const struct clock *c)
{
	return c->mono_us(c);
}

#endif
