/* draw.c - inverse distribution functions over xorshift64*. */
#include "draw.h"

#include <math.h>
#include <stdlib.h>

#include "net.h"

void draw_init(struct draw *d, uint64_t seed, uint32_t names, double exponent)
{
	double total = 0;

	d->state = seed * 0x9e3779b97f4a7c15u | 1;
	d->names = names;
	d->sum = calloc(names, sizeof *d->sum);
	if (!d->sum)
		net_fail("no memory for", "the names");
	for (uint32_t i = 0; i < names; i++)
		d->sum[i] = total += pow(i + 1, -exponent);
	for (uint32_t i = 0; i < names; i++)
		d->sum[i] /= total;
}

double draw_share(struct draw *d)
{
	d->state ^= d->state >> 12;
	d->state ^= d->state << 25;
	d->state ^= d->state >> 27;
	return ((double)(d->state * 0x2545f4914f6cdd1du >> 11) + 0.5) * 0x1p-53;
}

uint64_t draw_wait_ns(struct draw *d, double rate)
{
	return (uint64_t)(-log(draw_share(d)) / rate * 1e9);
}

uint32_t draw_name(struct draw *d)
{
	double u = draw_share(d);
	uint32_t low = 0, high = d->names - 1;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (d->sum[mid] < u)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}
