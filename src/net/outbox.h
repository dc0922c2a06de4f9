/* outbox.h - what a stream's socket would not take yet.
 *
 * Octets go to the kernel at once, in one call, as long as it takes them; the
 * rest waits here and goes first when the socket is writable again.  Whoever
 * fills the box sets the bound: it asks for len before it adds.
 */
#ifndef LARDER_NET_OUTBOX_H
#define LARDER_NET_OUTBOX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct outbox {				/* all zero: empty, no memory */
	uint8_t *octets;
	size_t   at, len, size;		/* len octets wait from at on */
};

#define OUTBOX_PARTS 2

/* Writes the parts (their iovecs are used up) and keeps what does not go.  fd -1: keeps all.
 * 0, or a negative errno: the stream is of no use any more. */
int  outbox_write(struct outbox *o, int fd, struct iovec *parts, unsigned count);
/* Writes what waits.  0 (len says what still waits), or a negative errno. */
int  outbox_flush(struct outbox *o, int fd);
void outbox_done(struct outbox *o);

#endif
