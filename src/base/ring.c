/* ring.c - one writer, one reader, positions that only grow.
 *
 *	taken <= read <= published <= written <= taken + size
 *
 * The writer owns written and published, the reader read and taken; each looks
 * at the other's only when what it saw last is not enough.  A record lies in one
 * piece: where it does not fit before the end, filler does.
 */
#include "config.h"

#include "base/ring.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#define RING_LINE 64		/* so far apart, the two sides' words do not slow each other down */
#define RING_UNIT 8
#define RING_MAPPED_MIN 131072	/* octets */

struct ring_head {
	uint32_t octets;	/* with this head, a multiple of RING_UNIT */
	uint32_t len;		/* of the record; RING_FILLER: there is none */
};

#define RING_FILLER UINT32_MAX

struct ring {
	size_t   size;
	uint8_t *octets;
	/* the writer's */
	alignas(RING_LINE) uint64_t written;
	uint64_t         seen_taken;
	_Atomic uint64_t published;
	_Atomic uint64_t dropped;
	/* the reader's */
	alignas(RING_LINE) uint64_t read;
	uint64_t         seen_published;
	_Atomic uint64_t taken;
};

/* Large ones come from the system and go back to it: they are held while somebody watches, and an allocator would keep
 * what lies amidst other things.  AddressSanitizer sees into its own alone. */
static bool ring_is_mapped(size_t size)
{
#ifdef LARDER_SANITIZERS
	(void)size;
	return false;
#else
	return size >= RING_MAPPED_MIN;
#endif
}

static uint8_t *ring_octets_new(size_t size)
{
	void *octets;

	if (!ring_is_mapped(size))
		return malloc(size);
	octets = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return octets == MAP_FAILED ? NULL : octets;
}

struct ring *ring_new(size_t size)
{
	struct ring *r = aligned_alloc(RING_LINE, sizeof *r);

	assert(size >= 2 * RING_UNIT && !(size & (size - 1)));
	if (!r)
		return NULL;
	*r = (struct ring){ .size = size, .octets = ring_octets_new(size) };
	if (!r->octets) {
		free(r);
		return NULL;
	}
	return r;
}

void ring_free(struct ring *r)
{
	if (!r)
		return;
	if (ring_is_mapped(r->size))
		munmap(r->octets, r->size);
	else
		free(r->octets);
	free(r);
}

static struct ring_head *ring_at(const struct ring *r, uint64_t position)
{
	return (struct ring_head *)(void *)(r->octets + (position & (r->size - 1)));
}

/* ---- the writer ---- */

static bool ring_has_room(struct ring *r, size_t octets)
{
	if (r->written + octets - r->seen_taken <= r->size)
		return true;
	r->seen_taken = atomic_load_explicit(&r->taken, memory_order_acquire);
	return r->written + octets - r->seen_taken <= r->size;
}

void *ring_write(struct ring *r, size_t len)
{
	size_t            octets = (sizeof(struct ring_head) + len + RING_UNIT - 1) & ~(size_t)(RING_UNIT - 1);
	size_t            before_end = r->size - (r->written & (r->size - 1));
	size_t            filler = octets > before_end ? before_end : 0;
	struct ring_head *h;

	if (!ring_has_room(r, filler + octets)) {
		atomic_store_explicit(&r->dropped, atomic_load_explicit(&r->dropped, memory_order_relaxed) + 1,
		                      memory_order_relaxed);
		return NULL;
	}
	if (filler)
		*ring_at(r, r->written) = (struct ring_head){ (uint32_t)filler, RING_FILLER };
	r->written += filler;
	h = ring_at(r, r->written);
	*h = (struct ring_head){ (uint32_t)octets, (uint32_t)len };
	r->written += octets;
	return h + 1;
}

/* The head of the first record from position on, or NULL: there is none before end. */
static struct ring_head *ring_record(const struct ring *r, uint64_t *position, uint64_t end)
{
	while (*position != end) {
		struct ring_head *h = ring_at(r, *position);

		*position += h->octets;
		if (h->len != RING_FILLER)
			return h;
	}
	return NULL;
}

void *ring_unpublished(struct ring *r, const void *after)
{
	uint64_t          position = atomic_load_explicit(&r->published, memory_order_relaxed);
	struct ring_head *h;

	if (after) {	/* at most one turn behind written, so its place says which it is */
		h = (struct ring_head *)(uintptr_t)after - 1;
		position += ((uint64_t)((uint8_t *)h - r->octets) - position) & (r->size - 1);
		position += h->octets;
	}
	h = ring_record(r, &position, r->written);
	return h ? h + 1 : NULL;
}

void ring_publish(struct ring *r)
{
	atomic_store_explicit(&r->published, r->written, memory_order_release);
}

/* ---- the reader ---- */

void *ring_read(struct ring *r, size_t *len)
{
	struct ring_head *h;

	if (r->read == r->seen_published)
		r->seen_published = atomic_load_explicit(&r->published, memory_order_acquire);
	h = ring_record(r, &r->read, r->seen_published);
	if (!h)
		return NULL;
	*len = h->len;
	return h + 1;
}

void ring_release(struct ring *r)
{
	atomic_store_explicit(&r->taken, r->read, memory_order_release);
}

uint64_t ring_dropped(const struct ring *r)
{
	return atomic_load_explicit(&r->dropped, memory_order_relaxed);
}
