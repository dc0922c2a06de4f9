/* draw.h - chance: when the next client asks, and for what. */
#ifndef BENCH_DRAW_H
#define BENCH_DRAW_H

#include <stdint.h>

struct draw {
	uint64_t state;		/* never 0 */
	uint32_t names;
	double *sum;		/* sum[i]: weight of names 0 … i, of 1 in all */
};

/* Name i has the weight (i + 1) ^ -exponent.  Ends the program when memory is short. */
void draw_init(struct draw *d, uint64_t seed, uint32_t names, double exponent);
double draw_share(struct draw *d);			/* in (0, 1) */
uint64_t draw_wait_ns(struct draw *d, double rate);	/* between two arrivals of a Poisson process */
uint32_t draw_name(struct draw *d);

#endif
