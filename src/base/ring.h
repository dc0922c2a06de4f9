/* ring.h - records from one thread to another, without a lock.
 *
 * A bounded buffer of octets with one writer and one reader.  The writer never
 * waits: a record that has no room is counted and forgotten.  Records are of
 * any length, in one piece, and begin at multiples of eight octets.
 *
 *	writer				reader
 *	if ((p = ring_write(r, n)))	while ((p = ring_read(r, &n)))
 *		fill p;				use p;
 *	ring_publish(r);		ring_release(r);
 */
#ifndef LARDER_BASE_RING_H
#define LARDER_BASE_RING_H

#include <stddef.h>
#include <stdint.h>

struct ring;

/* size: octets, a power of two.  NULL when memory is short; it is touched only as it is used. */
struct ring *ring_new(size_t size);
void         ring_free(struct ring *r);		/* NULL is fine */

/* Room for a record of len octets, the writer's until ring_publish(), or NULL: the reader is behind. */
void *ring_write(struct ring *r, size_t len);
/* The first record that is not published (after NULL), the next, and NULL at the end. */
void *ring_unpublished(struct ring *r, const void *after);
/* From now on the reader sees all that was written. */
void  ring_publish(struct ring *r);

/* The next record of *len octets, or NULL: there is none yet.  It is the reader's until ring_release(). */
void *ring_read(struct ring *r, size_t *len);
/* What was read may be written over. */
void  ring_release(struct ring *r);
/* How many records had no room, ever.  Any thread. */
uint64_t ring_dropped(const struct ring *r);

#endif
