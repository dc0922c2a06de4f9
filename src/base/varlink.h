/* varlink.h - where one message ends and the next begins.
 *
 * Varlink messages are texts ended by NUL on a stream.  A buffer takes octets
 * as they come and gives whole messages in order; it never holds more than
 * one message of the greatest length it was made for.  What a message says is
 * not looked at here.
 *
 *	while (varlink_room(&b, &at, &room) == 0 && (n = read(fd, at, room)) > 0) {
 *		varlink_filled(&b, n);
 *		while ((message = varlink_next(&b, &len)))
 *			…
 *	}
 */
#ifndef LARDER_BASE_VARLINK_H
#define LARDER_BASE_VARLINK_H

#include <stdbool.h>
#include <stddef.h>

struct varlink_buffer {
	char  *octets;			/* heap; NULL until the first octet */
	size_t size;			/* of octets; at most max + 1 */
	size_t max;			/* longest message, without its NUL */
	size_t start, end;		/* what has come and was not given yet */
	size_t seen;			/* no NUL in start .. seen */
};

void varlink_init(struct varlink_buffer *b, size_t max);
void varlink_done(struct varlink_buffer *b);

/* Where to put what comes next: *room octets, at least one, at *at.
 * 0; -EMSGSIZE when a message is too long; -ENOMEM. */
int  varlink_room(struct varlink_buffer *b, char **at, size_t *room);
void varlink_filled(struct varlink_buffer *b, size_t n);	/* n <= *room */

/* The next whole message, ended by NUL and len octets long without it, or NULL.
 * Borrowed until varlink_room(). */
const char *varlink_next(struct varlink_buffer *b, size_t *len);

/* Is a message coming that can only turn out too long?  Asked after varlink_next() gave NULL. */
bool varlink_overrun(const struct varlink_buffer *b);
/* Has part of a message come? */
bool varlink_pending(const struct varlink_buffer *b);

#endif
