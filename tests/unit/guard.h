/* guard.h - an input whose end is the end of the world.
 *
 * The octets lie right before a page that cannot be touched, so that reading
 * one octet too many is a crash in any build.  There is a page like it in
 * front, too: a start that is a multiple of the page's size makes reading
 * backwards one as well.
 */
#ifndef LARDER_TESTS_UNIT_GUARD_H
#define LARDER_TESTS_UNIT_GUARD_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct guard {
	uint8_t *region;
	size_t   room, page;	/* octets between the two pages; of a page */
};

static inline void guard_init(struct guard *g, size_t room)
{
	g->page = (size_t)sysconf(_SC_PAGESIZE);
	g->room = (room + g->page - 1) / g->page * g->page;
	g->region = mmap(NULL, g->room + 2 * g->page, PROT_READ | PROT_WRITE,
	                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (g->region == MAP_FAILED || mprotect(g->region, g->page, PROT_NONE) < 0 ||
	    mprotect(g->region + g->page + g->room, g->page, PROT_NONE) < 0)
		abort();	/* a test without its guard proves nothing */
}

static inline void guard_done(struct guard *g)
{
	munmap(g->region, g->room + 2 * g->page);
}

/* Room for len octets that ends at the guard page.  What was given before is gone. */
static inline uint8_t *guard_room(struct guard *g, size_t len)
{
	assert(len <= g->room);
	return g->region + g->page + g->room - len;
}

/* A copy of the octets there. */
static inline uint8_t *guard_copy(struct guard *g, const void *octets, size_t len)
{
	uint8_t *to = guard_room(g, len);

	if (len)
		memcpy(to, octets, len);
	return to;
}

#endif
