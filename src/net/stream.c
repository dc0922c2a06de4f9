/* stream.c - a connection's socket, time and questions.
 *
 * A server that has been asked and says nothing for silence_ms has lost the
 * connection, even when whoever asked has given up meanwhile: otherwise the
 * next question would be sent into the same hole.  Well before that the stream
 * is suspect, and new questions go elsewhere.  So it is with one that does not
 * get open: the way may have been dead when it began, and may be well by now.
 *
 * What TLS is told to say is gathered until the loop is about to wait, and the
 * dialect tells where one record ends and the next begins: however many
 * questions came at once, they leave in one system call.
 */
#include "net/stream.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STREAM_READS        4		/* in one wake-up */
#define REST_MIN_MS         200		/* a server that closes sooner than that keeps nothing open at all */

static uint64_t stream_now_ms(const struct stream *s)
{
	return uv_now(s->owner->client->loop);
}

static uint64_t stream_now_us(const struct stream *s)
{
	return clock_mono_us(s->owner->client->clock);
}

static uint64_t stream_last_ms(const struct stream *s)
{
	return s->asked_ms > s->heard_ms ? s->asked_ms : s->heard_ms;
}

/* Part of the server's idle time has passed already when we hear of it, and our FIN needs time too. */
uint32_t stream_idle_within(uint32_t idle_ms)
{
	uint32_t margin_ms = 100 + idle_ms / 8;

	return idle_ms > margin_ms ? idle_ms - margin_ms : 0;
}

/* ---- closing ---------------------------------------------------------- */

void stream_client_release(struct stream_client *c)
{
	if (--c->holders)
		return;
	tls_peer_unref(c->conf.tls);
	free(c);
}

static void stream_free(struct stream *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->owner->dialect->done(s);
	tls_free(s->tls);
	outbox_done(&s->plain);
	outbox_done(&s->out);
	free(s);
}

static void stream_on_closed(uv_handle_t *handle)
{
	struct stream        *s = handle->data;
	struct stream_client *c = s->owner;

	if (--s->open_handles)
		return;
	stream_free(s);
	stream_client_release(c);
}

void stream_close(struct stream *s)
{
	if (s->closing)
		return;
	s->closing = true;
	s->owner->stream_count--;
	s->owner->left_opening -= s->left_opening;
	list_remove(&s->node);
	if (s->tls && s->state != STREAM_CONNECTING) {
		tls_bye(s->tls);
		outbox_flush(&s->out, s->fd);	/* if it goes at once, good */
	}
	dial_end(s->dial);
	s->dial = NULL;
	if (s->fd >= 0)
		uv_close((uv_handle_t *)&s->poll, stream_on_closed);
	uv_close((uv_handle_t *)&s->timer, stream_on_closed);
	uv_close((uv_handle_t *)&s->turn_end, stream_on_closed);
}

static void stream_forget(struct stream *s, struct transport_send *send)
{
	list_remove(&send->node);
	send->transport = NULL;
	s->count--;
}

/* It never was open. */
static void stream_tell_failed(const struct stream *s, int error)
{
	const struct transport_conf *conf = &s->owner->conf;

	if (s->state != STREAM_OPEN && conf->failed && !s->owner->closed)
		conf->failed(conf->arg, error, s->state == STREAM_SECURING ? tls_reason(s->tls) : TLS_FINE);
}

/* Tells all questions, after the stream is out of the way: they may be asked again at once. */
static void stream_lose(struct stream *s, int error)
{
	struct list  lost;
	struct list *node;

	if (s->closing)
		return;
	list_init(&lost);
	for (unsigned i = 0; i < STREAM_BUCKETS; i++)
		list_splice(&lost, &s->buckets[i]);
	stream_tell_failed(s, error);
	stream_close(s);
	while ((node = list_take_first(&lost))) {
		struct transport_send *send = list_entry(node, struct transport_send, node);

		stream_forget(s, send);
		send->on->lost(send, error);
	}
}

static void stream_on_insecure(struct stream *s, int error)
{
	struct stream_client *c = s->owner;
	const char           *why = tls_reason_text(tls_reason(s->tls));
	uint32_t              rest_ms = stream_client_refused(c, &s->to, error);
	char                  text[ADDR_TEXT_MAX];

	if (!tls_peer_is_opportunistic(c->conf.tls))
		log_limited(LOG_LEVEL_WARNING, "upstream %s: %s; not asking it for %u s", addr_format(&s->to, text), why,
		            rest_ms / 1000);
	outbox_flush(&s->out, s->fd);		/* the alert */
	stream_lose(s, error);
}

/* The server has ended a stream at rest.  It may have been restarted; when the one before ended after about
 * as long a rest, then that is how long it waits. */
static void stream_learn_idle(const struct stream *s)
{
	struct stream_client *c = s->owner;
	uint64_t              rest_ms = stream_now_ms(s) - stream_last_ms(s);
	uint32_t              before_ms = c->rested_ms;

	if (rest_ms < REST_MIN_MS || rest_ms >= c->idle_ms)
		return;
	c->rested_ms = (uint32_t)rest_ms;
	if (rest_ms <= before_ms + before_ms / 4 && before_ms <= rest_ms + rest_ms / 4)
		c->idle_ms = stream_idle_within(before_ms < rest_ms ? before_ms : (uint32_t)rest_ms);
}

/* The server, or something in between, has closed or reset the stream; or it speaks no TLS any more. */
static void stream_on_broken(struct stream *s, int error)
{
	/* One that hangs up during the handshake may be starting anew: that is not for us to judge. */
	if (s->state == STREAM_SECURING && (error == -EKEYREJECTED || error == -EPROTO)) {
		stream_on_insecure(s, error);
		return;
	}
	if (s->state == STREAM_OPEN && !s->count)
		stream_learn_idle(s);
	stream_lose(s, error == -EPIPE ? -ECONNRESET : error);
}

static void stream_close_when_done(struct stream *s)
{
	if (!s->count && list_empty(&s->node))
		stream_close(s);
}

void stream_leave(struct stream *s)
{
	if (!s->left_opening && s->state != STREAM_OPEN) {
		s->left_opening = true;
		s->owner->left_opening++;
	}
	list_remove(&s->node);
	stream_close_when_done(s);
}

/* ---- time ------------------------------------------------------------- */

static bool stream_waits(const struct stream *s)
{
	return s->count || s->asked_ms > s->heard_ms;
}

static uint64_t stream_due_ms(const struct stream *s)
{
	const struct transport_conf *conf = &s->owner->conf;

	if (s->state != STREAM_OPEN)
		return s->began_ms + conf->connect_ms;
	return stream_last_ms(s) + (stream_waits(s) ? conf->silence_ms : s->idle_ms);
}

bool stream_is_overdue(const struct stream *s)
{
	return s->state == STREAM_OPEN && !stream_waits(s) && uv_now(s->owner->client->loop) >= stream_due_ms(s);
}

bool stream_is_suspect(const struct stream *s)
{
	const struct transport_conf *conf = &s->owner->conf;

	if (s->state != STREAM_OPEN)
		return stream_now_ms(s) >= s->began_ms + conf->connect_ms / 5;
	return stream_waits(s) && stream_now_ms(s) >= stream_last_ms(s) + conf->silence_ms / 4;
}

static void stream_on_timer(uv_timer_t *timer);

/* Sees to it that the timer rings in time; one that rings too early is set again then. */
static void stream_arm(struct stream *s)
{
	uint64_t due_ms = stream_due_ms(s), now_ms = stream_now_ms(s);

	if (s->closing || due_ms >= s->rings_ms)
		return;
	s->rings_ms = due_ms;
	uv_timer_start(&s->timer, stream_on_timer, due_ms > now_ms ? due_ms - now_ms : 0, 0);
}

static void stream_on_timer(uv_timer_t *timer)
{
	struct stream        *s = timer->data;
	struct stream_client *c = s->owner;

	s->rings_ms = UINT64_MAX;
	if (stream_due_ms(s) > stream_now_ms(s)) {
		stream_arm(s);
		return;
	}
	if (!stream_waits(s) && s->idle_ms == c->idle_ms) {
		c->idle_ms += c->idle_ms / 4 + 100;	/* the server did not close first: maybe it never would */
		if (c->idle_ms > c->conf.idle_ms)
			c->idle_ms = c->conf.idle_ms;
	}
	stream_lose(s, -ETIMEDOUT);		/* of nobody, when it was idle */
}

void stream_set_idle(struct stream *s, uint32_t idle_ms)
{
	s->idle_ms = idle_ms;
	stream_arm(s);
}

/* ---- saying ----------------------------------------------------------- */

static void stream_on_ready(uv_poll_t *poll, int status, int events);

static void stream_watch(struct stream *s)
{
	int events = UV_READABLE;

	if (s->out.len)
		events |= UV_WRITABLE;
	if (s->closing || s->state == STREAM_CONNECTING || events == s->watched)
		return;
	s->watched = events;
	uv_poll_start(&s->poll, events, stream_on_ready);
}

static int stream_encrypt(struct stream *s)
{
	const uint8_t *octets = s->plain.octets + s->plain.at;
	size_t         len = s->plain.len;
	int            error = 0;

	while (len && error == 0) {
		size_t n = s->owner->dialect->record(octets, len);

		error = tls_write(s->tls, octets, n);
		octets += n;
		len -= n;
	}
	outbox_done(&s->plain);
	return error;
}

/* What is said goes through TLS, if there is any, as far as the socket takes it.  A negative errno: the
 * stream is of no use any more. */
static int stream_flush(struct stream *s)
{
	int error = 0;

	if (s->tls && s->state == STREAM_OPEN && s->plain.len)
		error = stream_encrypt(s);
	if (error == 0 && s->state != STREAM_CONNECTING)
		error = outbox_flush(&s->out, s->fd);
	stream_watch(s);
	return error;
}

int stream_say(struct stream *s, struct iovec *parts, unsigned count)
{
	if (s->tls)
		return outbox_write(&s->plain, -1, parts, count);
	return outbox_write(&s->out, s->state == STREAM_CONNECTING ? -1 : s->fd, parts, count);
}

static bool stream_has_said_all(const struct stream *s)
{
	return !s->plain.len && !s->out.len;
}

/* Of TLS that is open: NULL when it is authenticated. */
static const char *stream_doubt(const struct stream *s)
{
	return tls_is_authentic(s->tls) ? NULL : tls_reason_text(tls_doubt(s->tls));
}

/* What it goes over: known as soon as the stream is open. */
static void stream_stamp_way(const struct stream *s, struct transport_send *send)
{
	send->connected_us = s->connected_us;
	send->secured_us = s->secured_us;
	send->resumed = s->secured_us && tls_is_resumed(s->tls);
	send->doubt = s->secured_us ? stream_doubt(s) : NULL;
}

static void stream_stamp_sent(const struct stream *s, struct transport_send *send)
{
	if (!send->sent_us && stream_has_said_all(s))
		send->sent_us = stream_now_us(s);
}

static void stream_stamp_all(const struct stream *s,
                             void (*stamp)(const struct stream *s, struct transport_send *send))
{
	for (unsigned i = 0; i < STREAM_BUCKETS; i++)
		for (const struct list *n = s->buckets[i].next; n != &s->buckets[i]; n = n->next)
			stamp(s, list_entry((struct list *)(uintptr_t)n, struct transport_send, node));
}

static void stream_write(struct stream *s)
{
	int error = stream_flush(s);

	if (error < 0)
		stream_on_broken(s, error);
	else if (stream_has_said_all(s))
		stream_stamp_all(s, stream_stamp_sent);	/* what waited has been written */
}

static void stream_on_turn_end(uv_idle_t *idle)
{
	uv_idle_stop(idle);
	stream_write(idle->data);
}

/* Writes before the loop waits the next time: an idle handle, since the loop does not wait while one is
 * active, and other things happen at the end of a turn that ask questions. */
static void stream_write_soon(struct stream *s)
{
	if (s->plain.len && s->state == STREAM_OPEN && !s->closing)
		uv_idle_start(&s->turn_end, stream_on_turn_end);	/* fine when it runs */
}

/* ---- opening ---------------------------------------------------------- */

static void stream_tell_opened(struct stream *s)
{
	const struct transport_conf   *conf = &s->owner->conf;
	const struct transport_opening how = {
		.to = &s->to,
		.connect_us = s->connected_us - s->began_us,
		.handshake_us = s->secured_us ? s->secured_us - s->connected_us : 0,
		.resumed = s->secured_us && tls_is_resumed(s->tls),
		.doubt = s->secured_us ? stream_doubt(s) : NULL,
	};

	if (conf->opened && !s->owner->closed)
		conf->opened(conf->arg, &how);
}

static void stream_on_open(struct stream *s)
{
	s->state = STREAM_OPEN;
	*(s->asked_ms ? &s->asked_ms : &s->heard_ms) = stream_now_ms(s);	/* the time begins now */
	if (s->tls)
		s->secured_us = stream_now_us(s);
	stream_client_accepted(s->owner, &s->to);
	stream_stamp_all(s, stream_stamp_way);	/* before anybody hears of it, and before any answer */
	stream_tell_opened(s);
	stream_arm(s);
	stream_write(s);
}

static void stream_on_connected(struct stream *s)
{
	s->connected_us = stream_now_us(s);
	if (!s->tls) {
		stream_on_open(s);
		return;
	}
	s->state = STREAM_SECURING;
	stream_write(s);
}

/* fd is ours now, or a negative errno: nobody was there. */
static void stream_on_dialled(void *arg, int fd, const struct addr *to)
{
	struct stream *s = arg;

	s->dial = NULL;
	if (fd >= 0 && uv_poll_init(s->owner->client->loop, &s->poll, fd) < 0) {
		close(fd);
		fd = -ENOMEM;
	}
	if (fd < 0) {
		stream_on_broken(s, fd);
		return;
	}
	s->fd = fd;
	s->to = *to;
	s->poll.data = s;
	s->open_handles++;
	stream_on_connected(s);
}

/* ---- hearing ---------------------------------------------------------- */

struct transport_send *stream_find(struct stream *s, uint32_t tag)
{
	struct list *bucket = &s->buckets[tag % STREAM_BUCKETS];

	for (struct list *n = bucket->next; n != bucket; n = n->next) {
		struct transport_send *send = list_entry(n, struct transport_send, node);

		if (send->tag == tag)
			return send;
	}
	return NULL;
}

void stream_answer(struct stream *s, uint32_t tag, uint64_t first_us, const uint8_t *msg, size_t len)
{
	struct transport_send *send = stream_find(s, tag);

	s->heard_ms = stream_now_ms(s);
	if (!send)			/* its question has ended */
		return;
	send->first_us = first_us;
	send->on->message(send, msg, len);
}

void stream_fail(struct stream *s, struct transport_send *send, int error)
{
	s->heard_ms = stream_now_ms(s);
	stream_forget(s, send);
	send->on->lost(send, error);
	stream_close_when_done(s);
}

/* New octets lie in room behind what the dialect held.  False: the stream has closed. */
static bool stream_hear(struct stream *s, const uint8_t *room, size_t len)
{
	int error;

	s->octets_us = stream_now_us(s);
	error = s->owner->dialect->hear(s, room, len);
	if (s->closing)
		return false;
	if (error < 0)
		stream_lose(s, error);
	else if (!stream_has_said_all(s))	/* a dialect answers by itself, too */
		stream_write(s);
	stream_arm(s);
	return !s->closing;
}

/* True: there may be more to read. */
static bool stream_read_plain(struct stream *s)
{
	uint8_t *room = s->owner->client->room;
	size_t   held = s->owner->dialect->held(s, room);
	ssize_t  n = recv(s->fd, room + held, FRAMES_READ, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		stream_on_broken(s, n == 0 ? -ECONNRESET : -errno);
		return false;
	}
	return stream_hear(s, room, held + (size_t)n) && n == FRAMES_READ;
}

/* All that TLS makes of what has come.  False: the stream has closed. */
static bool stream_decrypt(struct stream *s)
{
	uint8_t *room = s->owner->client->room;

	for (;;) {
		size_t  held = s->owner->dialect->held(s, room);
		ssize_t n = tls_read(s->tls, room + held, FRAMES_READ);

		if (s->state == STREAM_SECURING && tls_is_open(s->tls))
			stream_on_open(s);
		if (s->closing)
			return false;
		if (n == -EAGAIN && s->out.len)		/* TLS answers by itself */
			stream_write(s);
		else if (n < 0 && n != -EAGAIN)
			stream_on_broken(s, (int)n);
		if (n < 0 || !stream_hear(s, room, held + (size_t)n))
			return !s->closing;
	}
}

static bool stream_read_secret(struct stream *s)
{
	uint8_t *secret = s->owner->client->secret;
	ssize_t  n = recv(s->fd, secret, FRAMES_READ, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		stream_on_broken(s, n == 0 ? -ECONNRESET : -errno);
		return false;
	}
	tls_hear(s->tls, secret, (size_t)n);
	return stream_decrypt(s) && n == FRAMES_READ;
}

static int stream_error(const struct stream *s)
{
	int       error = 0;
	socklen_t len = sizeof error;

	getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	return -error;
}

static void stream_on_ready(uv_poll_t *poll, int status, int events)
{
	struct stream *s = poll->data;

	if (status < 0) {
		int error = stream_error(s);

		stream_on_broken(s, error ? error : -ECONNRESET);
		return;
	}
	if (events & UV_WRITABLE)
		stream_write(s);
	if (events & UV_READABLE)
		for (unsigned i = 0; i < STREAM_READS && !s->closing; i++)
			if (!(s->tls ? stream_read_secret(s) : stream_read_plain(s)))
				break;
}

static struct stream *stream_new(struct stream_client *c)
{
	struct stream *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->owner = c;
	s->fd = -1;
	s->tls = c->conf.tls ? tls_new(c->conf.tls, &s->out) : NULL;
	if ((c->conf.tls && !s->tls) || c->dialect->begin(s) < 0) {
		stream_free(s);
		return NULL;
	}
	for (unsigned i = 0; i < STREAM_BUCKETS; i++)
		list_init(&s->buckets[i]);
	return s;
}

int stream_open(struct stream_client *c, const struct addr_list *to)
{
	struct stream *s = stream_new(c);
	int            error = -ENOMEM;

	if (!s)
		return error;
	s->dial = dial_begin(c->client->loop, to, stream_on_dialled, s, &error);
	if (!s->dial) {
		stream_free(s);
		return error;
	}
	uv_timer_init(c->client->loop, &s->timer);
	uv_idle_init(c->client->loop, &s->turn_end);
	s->timer.data = s->turn_end.data = s;
	s->open_handles = 2;
	s->idle_ms = c->idle_ms;
	s->began_ms = stream_now_ms(s);
	s->began_us = stream_now_us(s);
	s->rings_ms = UINT64_MAX;
	c->holders++;
	c->stream_count++;
	list_prepend(&c->streams, &s->node);
	stream_arm(s);
	return 0;
}

int stream_redial(struct stream *s, const struct addr_list *to)
{
	int          error;
	struct dial *dial = dial_begin(s->owner->client->loop, to, stream_on_dialled, s, &error);

	if (!dial)
		return error;
	dial_end(s->dial);
	s->dial = dial;
	s->began_ms = stream_now_ms(s);
	s->began_us = stream_now_us(s);
	return 0;
}

/* ---- questions -------------------------------------------------------- */

int stream_ask(struct stream *s, struct transport_send *send, uint8_t *msg, size_t len)
{
	int error;

	if (s->out.len + s->plain.len + 2 + len > STREAM_OUTBOX_MAX)
		return -EAGAIN;
	error = s->owner->dialect->ask(s, send, msg, len);
	if (error < 0)
		return error;
	send->transport = &s->owner->base;
	send->place = s;
	send->sent_us = 0;
	stream_stamp_way(s, send);
	stream_stamp_sent(s, send);
	list_append(&s->buckets[send->tag % STREAM_BUCKETS], &send->node);
	if (!stream_waits(s))
		s->asked_ms = stream_now_ms(s);
	s->count++;
	stream_write_soon(s);
	stream_watch(s);
	stream_arm(s);
	return 0;
}

void stream_end(struct stream *s, struct transport_send *send)
{
	stream_forget(s, send);
	s->owner->dialect->drop(s, send);
	stream_write_soon(s);
	stream_close_when_done(s);
	stream_arm(s);
}
