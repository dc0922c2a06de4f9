/* pool.c - segregated free lists with boundary tags.
 *
 * Word 0 of a block: its size in granules, and two bits: in use; the block
 * before is in use.  A free block also holds its list links and, in its last
 * word, its size again, so that the block behind it can find its start.
 * Always true: no two free blocks touch, and no free block touches top.
 */
#include "cache/pool.h"

#include <errno.h>
#include <sys/mman.h>

#define BLOCK_USED      0x80000000u
#define BLOCK_PREV_USED 0x40000000u
#define BLOCK_SIZE      0x3fffffffu
#define BLOCK_MIN       2u		/* granules: word, two links, size */
#define POOL_FIRST      1u		/* ref 0 means none */

struct free_block {
	uint32_t word;
	pool_ref next, prev;
};

static uint32_t *pool_word(const struct pool *p, pool_ref ref)
{
	return pool_at(p, ref);
}

static uint32_t *pool_last_word(const struct pool *p, pool_ref ref, uint32_t size)
{
	return pool_word(p, ref + size) - 1;
}

static uint32_t pool_size_at(const struct pool *p, pool_ref ref)
{
	return *pool_word(p, ref) & BLOCK_SIZE;
}

static unsigned pool_bin(uint32_t size)
{
	unsigned bin;

	if (size < POOL_SMALL)
		return size;
	bin = POOL_SMALL + (31u - (unsigned)__builtin_clz(size)) - 7u;
	return bin < POOL_BINS ? bin : POOL_BINS - 1;
}

static void pool_link(struct pool *p, pool_ref ref, uint32_t size)
{
	unsigned           bin = pool_bin(size);
	struct free_block *b = pool_at(p, ref);

	b->next = p->bins[bin];
	b->prev = 0;
	if (b->next)
		((struct free_block *)pool_at(p, b->next))->prev = ref;
	p->bins[bin] = ref;
	p->nonempty[bin / 64] |= UINT64_C(1) << (bin % 64);
}

static void pool_unlink(struct pool *p, pool_ref ref, uint32_t size)
{
	unsigned           bin = pool_bin(size);
	struct free_block *b = pool_at(p, ref);

	if (b->next)
		((struct free_block *)pool_at(p, b->next))->prev = b->prev;
	if (b->prev)
		((struct free_block *)pool_at(p, b->prev))->next = b->next;
	else
		p->bins[bin] = b->next;
	if (!p->bins[bin])
		p->nonempty[bin / 64] &= ~(UINT64_C(1) << (bin % 64));
}

static void pool_reset(struct pool *p)
{
	p->top = POOL_FIRST;
	for (unsigned i = 0; i < sizeof p->nonempty / sizeof *p->nonempty; i++)
		p->nonempty[i] = 0;
	for (unsigned i = 0; i < POOL_BINS; i++)
		p->bins[i] = 0;
}

int pool_init(struct pool *p, size_t size)
{
	void *region = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
	                    -1, 0);

	if (region == MAP_FAILED) {
		p->base = NULL;
		return -ENOMEM;
	}
	p->base = region;
	p->size = size;
	p->end = (uint32_t)(size / POOL_GRANULE);
	pool_reset(p);
	return 0;
}

void pool_done(struct pool *p)
{
	if (p->base)
		munmap(p->base, p->size);
	p->base = NULL;
}

void pool_clear(struct pool *p)
{
	madvise(p->base, p->size, MADV_DONTNEED);
	pool_reset(p);
}

void pool_limit(struct pool *p, size_t octets)
{
	p->end = (uint32_t)((octets < p->size ? octets : p->size) / POOL_GRANULE);
}

size_t pool_touched(const struct pool *p)
{
	return (size_t)p->top * POOL_GRANULE;
}

size_t pool_block_size(const struct pool *p, pool_ref ref)
{
	return (size_t)pool_size_at(p, ref) * POOL_GRANULE;
}

/* A free block of at least size granules: its own list first, then any larger one. */
static pool_ref pool_find(const struct pool *p, uint32_t size)
{
	unsigned bin = pool_bin(size);

	if (bin >= POOL_SMALL) {	/* sizes differ in here: a short look */
		pool_ref ref = p->bins[bin];

		for (unsigned i = 0; ref && i < 8; i++) {
			if (pool_size_at(p, ref) >= size)
				return ref;
			ref = ((struct free_block *)pool_at(p, ref))->next;
		}
		bin++;
	}
	for (unsigned word = bin / 64; bin < POOL_BINS && word < sizeof p->nonempty / sizeof *p->nonempty;
	     word++) {
		uint64_t bits = p->nonempty[word];

		if (word == bin / 64)
			bits &= ~UINT64_C(0) << (bin % 64);
		if (bits)
			return p->bins[word * 64 + (unsigned)__builtin_ctzll(bits)];
	}
	return 0;
}

/* Marks [ref, ref + size) free; its neighbours are in use, or it ends at top. */
static void pool_put_free(struct pool *p, pool_ref ref, uint32_t size)
{
	if (ref + size == p->top) {	/* the block before is in use: top comes down to us */
		p->top = ref;
		return;
	}
	*pool_word(p, ref) = size | BLOCK_PREV_USED;
	*pool_last_word(p, ref, size) = size;
	*pool_word(p, ref + size) &= ~BLOCK_PREV_USED;
	pool_link(p, ref, size);
}

pool_ref pool_alloc(struct pool *p, size_t octets)
{
	size_t   want = (octets + POOL_GRANULE - 1) / POOL_GRANULE;
	uint32_t size = want < BLOCK_MIN ? BLOCK_MIN : (uint32_t)want, have;
	pool_ref ref;

	if (want > BLOCK_SIZE)
		return 0;
	ref = pool_find(p, size);
	if (!ref) {
		if (p->top >= p->end || size > p->end - p->top)
			return 0;
		ref = p->top;
		p->top += size;
		*pool_word(p, ref) = size | BLOCK_USED | BLOCK_PREV_USED;	/* no free block touches top */
		return ref;
	}
	have = pool_size_at(p, ref);
	pool_unlink(p, ref, have);
	if (have - size >= BLOCK_MIN) {
		*pool_word(p, ref) = size | BLOCK_USED | BLOCK_PREV_USED;
		pool_put_free(p, ref + size, have - size);
	} else {
		*pool_word(p, ref) = have | BLOCK_USED | BLOCK_PREV_USED;
		*pool_word(p, ref + have) |= BLOCK_PREV_USED;
	}
	return ref;
}

pool_ref pool_free(struct pool *p, pool_ref ref)
{
	uint32_t word = *pool_word(p, ref), size = word & BLOCK_SIZE;
	pool_ref behind = ref + size;

	if (behind < p->top && !(*pool_word(p, behind) & BLOCK_USED)) {
		uint32_t more = pool_size_at(p, behind);

		pool_unlink(p, behind, more);
		size += more;
	}
	if (!(word & BLOCK_PREV_USED)) {
		uint32_t before = *(pool_word(p, ref) - 1);

		ref -= before;
		pool_unlink(p, ref, before);
		size += before;
	}
	pool_put_free(p, ref, size);
	return ref < p->top ? ref : 0;
}

pool_ref pool_next_used(const struct pool *p, pool_ref ref)
{
	while (ref < p->top) {
		ref += pool_size_at(p, ref);
		if (ref < p->top && (*pool_word(p, ref) & BLOCK_USED))
			return ref;
	}
	return 0;
}
