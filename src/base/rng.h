/* rng.h - unpredictable numbers, bought from the kernel in small stocks.
 *
 * Query IDs and source ports must not be guessable (RFC 5452 s. 9.2), and one
 * getrandom() per question would cost more than the question.  A stock belongs
 * to one thread and is refilled by the source it was given; used octets are
 * wiped.  Tests give a source with a seed.
 */
#ifndef LARDER_BASE_RNG_H
#define LARDER_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
	void   (*fill)(void *arg, uint8_t *octets, size_t len);
	void    *arg;		/* borrowed, for fill */
	size_t   used;		/* octets of stock that are gone */
	uint8_t  stock[512];
};

/* With fill NULL the kernel's generator is the source. */
void     rng_init(struct rng *r, void (*fill)(void *arg, uint8_t *octets, size_t len), void *arg);
void     rng_bytes(struct rng *r, uint8_t *out, size_t len);	/* len <= 512 */
uint16_t rng_u16(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n);			/* even over 0 .. n-1; n > 0 */

#endif
