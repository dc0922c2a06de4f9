/* rng.c - stocks of random octets. */
#include "base/rng.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void rng_fill_from_kernel(void *arg, uint8_t *octets, size_t len)
{
	size_t have = 0;

	(void)arg;
	while (have < len) {
		ssize_t n = getrandom(octets + have, len - have, 0);

		if (n > 0)
			have += (size_t)n;
		else if (errno != EINTR)
			abort();	/* without randomness no question may be asked */
	}
}

void rng_init(struct rng *r, void (*fill)(void *, uint8_t *, size_t), void *arg)
{
	r->fill = fill ? fill : rng_fill_from_kernel;
	r->arg = arg;
	r->used = sizeof r->stock;
}

void rng_bytes(struct rng *r, uint8_t *out, size_t len)
{
	assert(len <= sizeof r->stock);
	if (len > sizeof r->stock - r->used) {
		r->fill(r->arg, r->stock, sizeof r->stock);
		r->used = 0;
	}
	memcpy(out, r->stock + r->used, len);
	memset(r->stock + r->used, 0, len);
	r->used += len;
}

uint16_t rng_u16(struct rng *r)
{
	uint16_t v;

	rng_bytes(r, (uint8_t *)&v, sizeof v);
	return v;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
	uint32_t v, limit = UINT32_MAX - UINT32_MAX % n;	/* a multiple of n */

	assert(n > 0);
	do
		rng_bytes(r, (uint8_t *)&v, sizeof v);
	while (v >= limit);
	return v % n;
}
