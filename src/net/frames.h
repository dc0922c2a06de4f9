/* frames.h - a stream cut into messages (RFC 1035 s. 4.2.2).
 *
 * Each message has its length before it in two octets.  What was read lies in
 * a room that all streams of a worker share; a stream itself holds memory only
 * for the beginning of a message whose end has not come, and no more of it
 * than has arrived.  Knows no sockets.
 *
 * One reading is frames_begin(), reading behind what that put into the room,
 * frames_next() until it gives NULL (or the reader has had enough), frames_end().
 */
#ifndef LARDER_NET_FRAMES_H
#define LARDER_NET_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAMES_MESSAGE_MAX 65535
#define FRAMES_MESSAGE_MIN 12		/* a header */
#define FRAMES_READ        16384	/* at most so much in one reading: others are waiting */
#define FRAMES_ROOM        (2 + FRAMES_MESSAGE_MAX + FRAMES_READ)

struct frames {				/* all zero: nothing held */
	uint8_t *held;
	uint32_t len, size;
};

struct frames_view {
	const uint8_t *octets;		/* borrowed */
	size_t         len, at;
};

/* Copies what is held to the front of room (FRAMES_ROOM octets) and gives its length. */
size_t frames_begin(const struct frames *f, uint8_t *room);
/* The next whole message, or NULL.  A length under FRAMES_MESSAGE_MIN is given as soon as it is known,
 * without its octets: nothing behind it can be trusted. */
const uint8_t *frames_next(struct frames_view *v, size_t *len);
bool frames_whole(const struct frames_view *v);		/* frames_next() would give one */
/* Holds what is left of v, which began with what was held.  0, or -ENOMEM. */
int  frames_end(struct frames *f, const struct frames_view *v);
void frames_done(struct frames *f);

static inline void frames_put_length(uint8_t out[2], size_t len)
{
	out[0] = (uint8_t)(len >> 8);
	out[1] = (uint8_t)len;
}

#endif
