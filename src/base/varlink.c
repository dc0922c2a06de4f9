/* varlink.c - splitting a stream at NULs.
 *
 * Octets between start and end are kept in one block that doubles up to its
 * bound.  The search for NUL goes on where it left off, so that a message that
 * comes octet by octet is still read once.
 */
#include "base/varlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VARLINK_FIRST 4096		/* octets; nearly every call fits */

void varlink_init(struct varlink_buffer *b, size_t max)
{
	*b = (struct varlink_buffer){ .max = max };
}

void varlink_done(struct varlink_buffer *b)
{
	free(b->octets);
	varlink_init(b, b->max);
}

static int varlink_grow(struct varlink_buffer *b)
{
	size_t size = b->size ? b->size * 2 : VARLINK_FIRST;
	char  *octets;

	if (b->size == b->max + 1)
		return -EMSGSIZE;
	if (size > b->max + 1)
		size = b->max + 1;
	octets = realloc(b->octets, size);
	if (!octets)
		return -ENOMEM;
	b->octets = octets;
	b->size = size;
	return 0;
}

/* Moves what is left to the front, so that the bound holds for one message. */
static void varlink_compact(struct varlink_buffer *b)
{
	if (!b->start)
		return;
	memmove(b->octets, b->octets + b->start, b->end - b->start);
	b->seen -= b->start;
	b->end -= b->start;
	b->start = 0;
}

int varlink_room(struct varlink_buffer *b, char **at, size_t *room)
{
	int err;

	varlink_compact(b);
	if (b->end == b->size) {
		err = varlink_grow(b);
		if (err)
			return err;
	}
	*at = b->octets + b->end;
	*room = b->size - b->end;
	return 0;
}

void varlink_filled(struct varlink_buffer *b, size_t n)
{
	b->end += n;
}

const char *varlink_next(struct varlink_buffer *b, size_t *len)
{
	const char *message, *nul;

	if (b->seen == b->end)
		return NULL;
	nul = memchr(b->octets + b->seen, '\0', b->end - b->seen);
	if (!nul) {
		b->seen = b->end;
		return NULL;
	}
	message = b->octets + b->start;
	*len = (size_t)(nul - message);
	b->start = b->seen = (size_t)(nul - b->octets) + 1;
	return message;
}

bool varlink_overrun(const struct varlink_buffer *b)
{
	return b->end - b->start > b->max;
}

bool varlink_pending(const struct varlink_buffer *b)
{
	return b->end > b->start;
}
