/* tcp_client.c - questions to one upstream over TCP (RFC 7766 s. 6.2).
 *
 * One connection ("stream") carries all questions, up to 4096 at once under
 * different IDs (then -EAGAIN), and answers come in any order.  It opens when
 * the first is asked:
 *
 *   CONNECTING ---> OPEN ---> (closing)
 *        |                      ^
 *        +----------------------+
 *
 * When the server wants a stream to be used no more, or it breaks while we
 * write, it stops being the client's current one: it serves the questions it
 * has and closes after the last; the next question opens another.
 *
 * A server that has been asked and says nothing for silence_ms has lost the
 * connection, even when whoever asked has given up meanwhile: otherwise the
 * next question would be sent into the same hole.
 *
 * Always true: a stream that is neither current nor closing has questions; a
 * stream that is closing tells those it has, or has none.
 */
#include "base/clock.h"
#include "base/rng.h"
#include "net/client.h"
#include "net/frames.h"
#include "net/outbox.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define TCP_QUESTIONS       4096	/* on one stream: as many as there may be flights */
#define TCP_BUCKETS         256
#define TCP_OUTBOX_MAX      262144	/* octets waiting to be written */
#define TCP_READS           4		/* in one wake-up */
#define TCP_USER_TIMEOUT_MS 5000	/* what we sent must be acknowledged by then */

enum tcp_stream_state {
	TCP_CONNECTING,		/* questions wait in the outbox; connect timer runs */
	TCP_OPEN,		/* questions are written as they come */
};

struct tcp_client {
	struct transport       base;
	struct net_client     *client;		/* borrowed */
	struct addr            to;
	struct transport_conf  conf;
	struct tcp_stream     *current;		/* takes new questions; NULL: none does */
	unsigned               holders;		/* its user and each stream; freed at none */
};

struct tcp_stream {
	struct tcp_client    *owner;
	enum tcp_stream_state state;
	uv_poll_t             poll;
	uv_timer_t            timer;
	uint64_t              rings_ms;		/* when the timer will; UINT64_MAX: not set */
	uint64_t              began_ms;		/* on the loop's clock, as all with _ms here */
	uint64_t              asked_ms;		/* the first question since we heard something */
	uint64_t              heard_ms;		/* the last whole message */
	uint64_t              opened_us;	/* CLOCK_MONOTONIC; 0: not yet */
	uint32_t              idle_ms;
	unsigned              count;		/* questions that live */
	struct frames         in;
	struct outbox         out;
	int                   fd;
	int                   watched;		/* events of poll */
	uint8_t               open_handles;
	bool                  closing;
	struct list           buckets[TCP_BUCKETS];	/* questions by the low bits of their ID */
};

/* ---- closing ---------------------------------------------------------- */

static void tcp_client_release(struct tcp_client *c)
{
	if (--c->holders == 0)
		free(c);
}

static void tcp_stream_on_closed(uv_handle_t *handle)
{
	struct tcp_stream *s = handle->data;
	struct tcp_client *c = s->owner;

	if (--s->open_handles)
		return;
	close(s->fd);
	frames_done(&s->in);
	outbox_done(&s->out);
	free(s);
	tcp_client_release(c);
}

static void tcp_stream_close(struct tcp_stream *s)
{
	if (s->closing)
		return;
	s->closing = true;
	if (s->owner->current == s)
		s->owner->current = NULL;
	uv_close((uv_handle_t *)&s->poll, tcp_stream_on_closed);
	uv_close((uv_handle_t *)&s->timer, tcp_stream_on_closed);
}

/* Tells all questions, after the stream is out of the way: they may be asked again at once. */
static void tcp_stream_lose(struct tcp_stream *s, int error)
{
	struct list  lost;
	struct list *node;

	if (s->closing)
		return;
	if (error == -EPIPE)
		error = -ECONNRESET;
	list_init(&lost);
	for (unsigned i = 0; i < TCP_BUCKETS; i++)
		list_splice(&lost, &s->buckets[i]);
	tcp_stream_close(s);
	while ((node = list_take_first(&lost))) {
		struct transport_send *send = list_entry(node, struct transport_send, node);

		send->transport = NULL;
		s->count--;
		send->on->lost(send, error);
	}
}

/* ---- time ------------------------------------------------------------- */

static bool tcp_stream_waits(const struct tcp_stream *s)
{
	return s->count || s->asked_ms > s->heard_ms;
}

static uint64_t tcp_stream_due_ms(const struct tcp_stream *s)
{
	const struct transport_conf *conf = &s->owner->conf;
	uint64_t last_ms = s->asked_ms > s->heard_ms ? s->asked_ms : s->heard_ms;

	if (s->state == TCP_CONNECTING)
		return s->began_ms + conf->connect_ms;
	return last_ms + (tcp_stream_waits(s) ? conf->silence_ms : s->idle_ms);
}

static void tcp_stream_on_timer(uv_timer_t *timer);

/* Sees to it that the timer rings in time; one that rings too early is set again then. */
static void tcp_stream_arm(struct tcp_stream *s)
{
	uint64_t due_ms = tcp_stream_due_ms(s), now_ms = uv_now(s->owner->client->loop);

	if (s->closing || due_ms >= s->rings_ms)
		return;
	s->rings_ms = due_ms;
	uv_timer_start(&s->timer, tcp_stream_on_timer, due_ms > now_ms ? due_ms - now_ms : 0, 0);
}

static void tcp_stream_on_timer(uv_timer_t *timer)
{
	struct tcp_stream *s = timer->data;

	s->rings_ms = UINT64_MAX;
	if (tcp_stream_due_ms(s) > uv_now(s->owner->client->loop))
		tcp_stream_arm(s);
	else
		tcp_stream_lose(s, -ETIMEDOUT);		/* of nobody, when it was idle */
}

/* ---- events ----------------------------------------------------------- */

static void tcp_stream_on_ready(uv_poll_t *poll, int status, int events);

static void tcp_stream_watch(struct tcp_stream *s)
{
	int events = s->state == TCP_CONNECTING ? UV_WRITABLE : UV_READABLE;

	if (s->out.len)
		events |= UV_WRITABLE;
	if (s->closing || events == s->watched)
		return;
	s->watched = events;
	uv_poll_start(&s->poll, events, tcp_stream_on_ready);
}

/* Questions that waited have all been written. */
static void tcp_stream_note_sent(struct tcp_stream *s)
{
	uint64_t now_us = clock_mono_us(s->owner->client->clock);

	for (unsigned i = 0; i < TCP_BUCKETS; i++)
		for (struct list *n = s->buckets[i].next; n != &s->buckets[i]; n = n->next) {
			struct transport_send *send = list_entry(n, struct transport_send, node);

			send->connected_us = s->opened_us;
			if (!send->sent_us)
				send->sent_us = now_us;
		}
}

static void tcp_stream_write(struct tcp_stream *s)
{
	int error = outbox_flush(&s->out, s->fd);

	if (error < 0) {
		tcp_stream_lose(s, error);
		return;
	}
	if (!s->out.len)
		tcp_stream_note_sent(s);
	tcp_stream_watch(s);
}

static void tcp_stream_on_connected(struct tcp_stream *s)
{
	s->state = TCP_OPEN;
	s->opened_us = clock_mono_us(s->owner->client->clock);
	s->asked_ms = uv_now(s->owner->client->loop);
	tcp_stream_arm(s);
	tcp_stream_write(s);
}

static struct transport_send *tcp_stream_find(struct tcp_stream *s, uint16_t id)
{
	struct list *bucket = &s->buckets[id % TCP_BUCKETS];

	for (struct list *n = bucket->next; n != bucket; n = n->next) {
		struct transport_send *send = list_entry(n, struct transport_send, node);

		if (send->id == id)
			return send;
	}
	return NULL;
}

/* False: the stream has closed. */
static bool tcp_stream_deliver(struct tcp_stream *s, struct frames_view *v)
{
	const uint8_t *msg;
	size_t         len;

	while ((msg = frames_next(v, &len))) {
		struct transport_send *send;

		if (len < 12) {
			tcp_stream_lose(s, -ECONNRESET);
			return false;
		}
		s->heard_ms = uv_now(s->owner->client->loop);
		send = tcp_stream_find(s, (uint16_t)(msg[0] << 8 | msg[1]));
		if (send)		/* else its question has ended */
			send->on->message(send, msg, len);
		if (s->closing)
			return false;
	}
	return true;
}

/* True: there may be more to read. */
static bool tcp_stream_read(struct tcp_stream *s)
{
	uint8_t           *room = s->owner->client->room;
	size_t             held = frames_begin(&s->in, room);
	ssize_t            n = recv(s->fd, room + held, FRAMES_READ, MSG_DONTWAIT);
	struct frames_view v = { room, held, 0 };

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		tcp_stream_lose(s, n == 0 ? -ECONNRESET : -errno);
		return false;
	}
	v.len += (size_t)n;
	if (!tcp_stream_deliver(s, &v))
		return false;
	if (frames_end(&s->in, &v) < 0) {
		tcp_stream_lose(s, -ENOMEM);
		return false;
	}
	tcp_stream_arm(s);
	return n == FRAMES_READ;
}

static int tcp_stream_error(const struct tcp_stream *s)
{
	int       error = 0;
	socklen_t len = sizeof error;

	getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	return -error;
}

static void tcp_stream_on_ready(uv_poll_t *poll, int status, int events)
{
	struct tcp_stream *s = poll->data;

	if (status < 0 || s->state == TCP_CONNECTING) {
		int error = tcp_stream_error(s);

		if (status < 0 || error)
			tcp_stream_lose(s, error ? error : -ECONNRESET);
		else
			tcp_stream_on_connected(s);
		return;
	}
	if (events & UV_WRITABLE)
		tcp_stream_write(s);
	if (events & UV_READABLE)
		for (unsigned i = 0; i < TCP_READS && !s->closing && tcp_stream_read(s); i++)
			;
}

/* ---- opening ---------------------------------------------------------- */

/* A socket that is connecting, or a negative errno. */
static int tcp_stream_connect(const struct addr *to)
{
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &(unsigned){ TCP_USER_TIMEOUT_MS },
	           sizeof(unsigned));
	if (connect(fd, &to->sa, addr_len(to)) < 0 && errno != EINPROGRESS) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

static int tcp_stream_open(struct tcp_client *c)
{
	uv_loop_t         *loop = c->client->loop;
	struct tcp_stream *s;
	int                fd = tcp_stream_connect(&c->to);

	if (fd < 0)
		return fd;
	s = calloc(1, sizeof *s);
	if (!s || uv_poll_init(loop, &s->poll, fd) < 0) {
		free(s);
		close(fd);
		return -ENOMEM;
	}
	uv_timer_init(loop, &s->timer);
	s->poll.data = s->timer.data = s;
	s->open_handles = 2;
	s->owner = c;
	s->fd = fd;
	s->idle_ms = c->conf.idle_ms;
	s->began_ms = uv_now(loop);
	s->rings_ms = UINT64_MAX;
	for (unsigned i = 0; i < TCP_BUCKETS; i++)
		list_init(&s->buckets[i]);
	c->holders++;
	c->current = s;
	tcp_stream_watch(s);
	tcp_stream_arm(s);
	return 0;
}

/* Takes no new questions from now on. */
static void tcp_stream_leave(struct tcp_stream *s)
{
	if (s->owner->current == s)
		s->owner->current = NULL;
	if (!s->count)
		tcp_stream_close(s);
}

/* ---- the transport ---------------------------------------------------- */

static uint16_t tcp_stream_new_id(struct tcp_stream *s)
{
	uint16_t id;

	do
		id = rng_u16(s->owner->client->rng);
	while (tcp_stream_find(s, id));		/* at most one in 16 is taken */
	return id;
}

static int tcp_stream_ask(struct tcp_stream *s, struct transport_send *send, uint8_t *msg, size_t len)
{
	uint8_t      length[2];
	struct iovec parts[] = { { length, sizeof length }, { msg, len } };
	int          error;

	if (s->count >= TCP_QUESTIONS || s->out.len + 2 + len > TCP_OUTBOX_MAX)
		return -EAGAIN;
	send->id = tcp_stream_new_id(s);
	msg[0] = (uint8_t)(send->id >> 8);
	msg[1] = (uint8_t)send->id;
	frames_put_length(length, len);
	error = outbox_write(&s->out, s->state == TCP_CONNECTING ? -1 : s->fd, parts, 2);
	if (error < 0)
		return error;
	send->transport = &s->owner->base;
	send->place = s;
	send->connected_us = s->opened_us;
	send->sent_us = s->out.len ? 0 : clock_mono_us(s->owner->client->clock);
	list_append(&s->buckets[send->id % TCP_BUCKETS], &send->node);
	if (!tcp_stream_waits(s))
		s->asked_ms = uv_now(s->owner->client->loop);
	s->count++;
	tcp_stream_watch(s);
	tcp_stream_arm(s);
	return 0;
}

static int tcp_client_send(struct transport *t, struct transport_send *send, uint8_t *msg, size_t len)
{
	struct tcp_client *c = (struct tcp_client *)t;
	struct tcp_stream *s = c->current;
	int                error;

	if (s) {
		error = tcp_stream_ask(s, send, msg, len);
		if (error == 0 || error == -EAGAIN)
			return error;
		tcp_stream_leave(s);	/* broken: its questions hear of it from the loop */
	}
	error = tcp_stream_open(c);
	return error < 0 ? error : tcp_stream_ask(c->current, send, msg, len);
}

static void tcp_client_end(struct transport *t, struct transport_send *send)
{
	struct tcp_stream *s = send->place;

	(void)t;
	send->transport = NULL;
	list_remove(&send->node);
	if (--s->count)
		return;
	if (s->owner->current != s)
		tcp_stream_close(s);
	else
		tcp_stream_arm(s);
}

/* Part of the stated time has passed already when we hear of it, and our FIN needs time too. */
static void tcp_client_idle_hint(struct transport *t, struct transport_send *send, uint32_t idle_ms)
{
	struct tcp_stream *s = send->place;
	uint32_t           margin_ms = 100 + idle_ms / 8;

	(void)t;
	if (idle_ms <= margin_ms) {
		tcp_stream_leave(s);
		return;
	}
	s->idle_ms = s->owner->conf.idle_ms;
	if (idle_ms - margin_ms < s->idle_ms)
		s->idle_ms = idle_ms - margin_ms;
	tcp_stream_arm(s);
}

static void tcp_client_renew(struct transport *t)
{
	struct tcp_client *c = (struct tcp_client *)t;

	if (c->current)
		tcp_stream_leave(c->current);
}

static void tcp_client_close(struct transport *t)
{
	struct tcp_client *c = (struct tcp_client *)t;

	if (c->current)
		tcp_stream_close(c->current);
	tcp_client_release(c);
}

static const struct transport_ops tcp_client_ops = {
	.send = tcp_client_send,
	.end = tcp_client_end,
	.idle_hint = tcp_client_idle_hint,
	.renew = tcp_client_renew,
	.close = tcp_client_close,
};

struct transport *tcp_client_new(struct net_client *c, const struct addr *to,
                                 const struct transport_conf *conf)
{
	struct tcp_client *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->base.ops = &tcp_client_ops;
	t->client = c;
	t->to = *to;
	t->conf = *conf;
	t->holders = 1;
	return &t->base;
}
