/* stream_frames.c - questions with their length before them (RFC 7766 s. 8, RFC 7858 s. 3.3).
 *
 * Up to 4096 at once, each under an ID that no other has.
 *
 * Over TLS each question is a record of its own.  There are servers (dnsdist 1.7
 * is one) that read one question out of a record and then wait for the socket,
 * on which nothing more will come.
 */
#include "base/rng.h"
#include "net/stream.h"

#include <errno.h>
#include <limits.h>

#define QUESTIONS_MAX 4096		/* as many as there may be flights */

static int dialect_frames_begin(struct stream *s)
{
	s->in = (struct frames){ 0 };
	return 0;
}

static void dialect_frames_done(struct stream *s)
{
	frames_done(&s->in);
}

/* Another stream would make nothing better. */
static unsigned dialect_frames_room(const struct stream *s)
{
	(void)s;
	return UINT_MAX;
}

static uint16_t dialect_frames_id(struct stream *s)
{
	uint16_t id;

	do
		id = rng_u16(s->owner->client->rng);
	while (stream_find(s, id));		/* at most one in 16 is taken */
	return id;
}

static int dialect_frames_ask(struct stream *s, struct transport_send *send, uint8_t *msg, size_t len)
{
	uint8_t      length[2];
	struct iovec parts[] = { { length, sizeof length }, { msg, len } };

	if (s->count >= QUESTIONS_MAX)
		return -EAGAIN;
	send->tag = send->id = dialect_frames_id(s);
	msg[0] = (uint8_t)(send->id >> 8);
	msg[1] = (uint8_t)send->id;
	frames_put_length(length, len);
	return stream_say(s, parts, 2);
}

static size_t dialect_frames_record(const uint8_t *octets, size_t len)
{
	size_t whole = 2u + (size_t)(octets[0] << 8 | octets[1]);

	return whole < len ? whole : len;
}

static void dialect_frames_drop(struct stream *s, struct transport_send *send)
{
	(void)s, (void)send;
}

static size_t dialect_frames_held(struct stream *s, uint8_t *room)
{
	return frames_begin(&s->in, room);
}

static int dialect_frames_hear(struct stream *s, const uint8_t *octets, size_t len)
{
	struct frames_view v = { octets, len, 0 };
	uint64_t           first_us = s->held_us ? s->held_us : s->octets_us;
	const uint8_t     *msg;
	size_t             msg_len;

	while ((msg = frames_next(&v, &msg_len))) {
		if (msg_len < FRAMES_MESSAGE_MIN)
			return -ECONNRESET;
		stream_answer(s, (uint32_t)(msg[0] << 8 | msg[1]), first_us, msg, msg_len);
		if (s->closing)
			return 0;
		first_us = s->octets_us;
	}
	s->held_us = v.at < v.len ? first_us : 0;
	return frames_end(&s->in, &v);
}

const struct dialect dialect_frames = {
	.begin = dialect_frames_begin,
	.done = dialect_frames_done,
	.room = dialect_frames_room,
	.ask = dialect_frames_ask,
	.record = dialect_frames_record,
	.drop = dialect_frames_drop,
	.held = dialect_frames_held,
	.hear = dialect_frames_hear,
};
