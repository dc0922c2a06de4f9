/* pool.h - the memory of one shard: blocks of any size in one bounded region.
 *
 * Address space for the whole bound is reserved at once and becomes memory as
 * it is touched.  Blocks are named by a 32-bit ref (their offset in granules
 * of 8 octets), so that what lies in them holds no pointers.  Free neighbours
 * merge at once.
 *
 * A block's first 32-bit word is the pool's; the rest is the owner's.
 */
#ifndef LARDER_CACHE_POOL_H
#define LARDER_CACHE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_GRANULE 8u
#define POOL_SMALL   128u	/* granules below which each size has a list of its own */
#define POOL_BINS    (POOL_SMALL + 16u)

typedef uint32_t pool_ref;	/* 0: none */

struct pool {
	uint8_t *base;			/* the region; NULL when done */
	size_t   size;			/* octets reserved */
	uint32_t top, end;		/* granules: from top on nothing was ever used; never past end */
	uint64_t nonempty[(POOL_BINS + 63) / 64];
	pool_ref bins[POOL_BINS];
};

/* 0 or -ENOMEM.  size: octets, a multiple of the page size, at most 32 GiB. */
int  pool_init(struct pool *p, size_t size);
void pool_done(struct pool *p);
void pool_clear(struct pool *p);	/* everything is free again, and goes back to the system */

/* A block of at least size octets, its own first word included, or 0 when there is no room. */
pool_ref pool_alloc(struct pool *p, size_t size);
/* Gives the free block that ref has become part of, or 0 when it went back to what was never used. */
pool_ref pool_free(struct pool *p, pool_ref ref);
size_t   pool_block_size(const struct pool *p, pool_ref ref);	/* octets */
/* The block in use that lies behind ref, or behind the free block at ref; 0: none up to top. */
pool_ref pool_next_used(const struct pool *p, pool_ref ref);
/* Octets that are or were in use: what the region costs in memory. */
size_t   pool_touched(const struct pool *p);
/* How far top may go: lowers or raises the bound, in octets. */
void     pool_limit(struct pool *p, size_t octets);

static inline void *pool_at(const struct pool *p, pool_ref ref)
{
	return p->base + (size_t)ref * POOL_GRANULE;
}

#endif
