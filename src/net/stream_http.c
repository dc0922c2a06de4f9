/* stream_http.c - questions as HTTP/2 requests (RFC 8484).
 *
 * Every question has the ID 0 (s. 4.1), and so must its answer.  A response is
 * the only one that its question will ever get: one that is not believed is a
 * failure.
 */
#include "net/h2.h"
#include "net/stream.h"

#include <errno.h>

static void dialect_http_on_answer(void *arg, uint32_t tag, const uint8_t *msg, size_t len, uint32_t age_s)
{
	struct stream         *s = arg;
	struct transport_send *send = s->closing ? NULL : stream_find(s, tag);

	if (!send)
		return;
	if (len < FRAMES_MESSAGE_MIN || msg[0] || msg[1]) {
		stream_fail(s, send, -EREMOTEIO);
		return;
	}
	send->age_s = age_s;
	stream_answer(s, tag, send->first_us, msg, len);
	send = s->closing ? NULL : stream_find(s, tag);
	if (send)
		stream_fail(s, send, -EREMOTEIO);
}

static void dialect_http_on_begun(void *arg, uint32_t tag)
{
	struct stream         *s = arg;
	struct transport_send *send = s->closing ? NULL : stream_find(s, tag);

	if (send)
		send->first_us = s->octets_us;
}

static void dialect_http_on_failed(void *arg, uint32_t tag, int error)
{
	struct stream         *s = arg;
	struct transport_send *send = s->closing ? NULL : stream_find(s, tag);

	if (send)
		stream_fail(s, send, error);
}

static void dialect_http_on_rest(void *arg, uint32_t rest_s)
{
	const struct stream *s = arg;

	stream_client_rest(s->owner, rest_s * 1000);
}

static int dialect_http_begin(struct stream *s)
{
	static const struct h2_events events = { .begun = dialect_http_on_begun,
		                                 .answer = dialect_http_on_answer,
		                                 .failed = dialect_http_on_failed,
		                                 .rest = dialect_http_on_rest };

	s->h2 = h2_new(s->owner->conf.http, &events, s, &s->plain, s->owner->room);
	return s->h2 ? 0 : -ENOMEM;
}

static void dialect_http_done(struct stream *s)
{
	h2_free(s->h2);
}

static unsigned dialect_http_room(const struct stream *s)
{
	return h2_room(s->h2);
}

static int dialect_http_ask(struct stream *s, struct transport_send *send, uint8_t *msg, size_t len)
{
	send->id = 0;
	msg[0] = msg[1] = 0;
	return h2_ask(s->h2, msg, len, &send->tag);
}

/* Frames of HTTP/2 may lie in records as they like. */
static size_t dialect_http_record(const uint8_t *octets, size_t len)
{
	(void)octets;
	return len;
}

static void dialect_http_drop(struct stream *s, struct transport_send *send)
{
	h2_drop(s->h2, send->tag);
}

static size_t dialect_http_held(struct stream *s, uint8_t *room)
{
	(void)s, (void)room;
	return 0;
}

static int dialect_http_hear(struct stream *s, const uint8_t *octets, size_t len)
{
	int error = h2_hear(s->h2, octets, len);

	s->owner->room = h2_streams(s->h2);
	if (!s->closing && error == 0 && h2_is_leaving(s->h2))
		stream_leave(s);
	return error;
}

const struct dialect dialect_http = {
	.begin = dialect_http_begin,
	.done = dialect_http_done,
	.room = dialect_http_room,
	.ask = dialect_http_ask,
	.record = dialect_http_record,
	.drop = dialect_http_drop,
	.held = dialect_http_held,
	.hear = dialect_http_hear,
};
