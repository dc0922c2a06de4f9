/* connection.c - clients of the control socket.
 *
 *	reading --call--> answered --all of the reply is out--> reading
 *	                     |
 *	                     +--not yet--> blocked --it is out--> reading
 *	                                      |
 *	                                      +--not read in time--> closed
 *
 * A reply may be long in coming; a connection that ends meanwhile is not told.
 * Or it may be a stream of them: the next is made when the one before is out,
 * and in a later turn of the loop, so that others have theirs.  A stream that
 * has nothing to say yet waits until it wakes us; meanwhile we read, so as to
 * notice when the other side has gone.
 *
 * A connection works on the next message only when nothing it has to say is
 * still waiting.  So replies come in the order of calls, a client may send
 * many calls ahead and read at its own pace, and one that never reads costs
 * one reply and one buffer of calls, until its time is up.
 *
 * After a message that is no call the connection is ending: it says what it
 * has to say, reads no more, and closes.
 */
#include "control/connection.h"

#include "base/log.h"
#include "base/varlink.h"
#include "control/call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct connection {
	struct list           node;
	struct control       *control;		/* held */
	uv_pipe_t             pipe;
	uv_timer_t            stall;		/* runs while blocked */
	unsigned              open_handles;
	bool                  closing;		/* handles are being closed */
	bool                  ending;
	unsigned              writes;		/* not heard of yet, though their octets may be out */
	struct call_stream   *stream;		/* NULL: none; what is said next comes from it … */
	bool                  stream_waits;	/* … once it has something to say */
	struct call_later    *later;		/* NULL: none; what is said next is waited for */
	struct peer           peer;
	struct varlink_buffer in;
};

struct connection_write {
	uv_write_t req;
	char      *text;			/* owned */
};

static void connection_work(struct connection *n);

static void connection_on_handle_closed(uv_handle_t *h)
{
	struct connection *n = h->data;

	if (--n->open_handles)
		return;
	if (n->stream)
		n->stream->free(n->stream);
	varlink_done(&n->in);
	control_unhold(n->control);
	free(n);
}

static void connection_close(struct connection *n)
{
	if (n->closing)
		return;
	n->closing = true;
	list_remove(&n->node);
	n->control->connection_count--;
	if (n->later)
		n->later->done = NULL;
	n->later = NULL;
	uv_close((uv_handle_t *)&n->stall, connection_on_handle_closed);
	uv_close((uv_handle_t *)&n->pipe, connection_on_handle_closed);
}

static bool connection_blocked(const struct connection *n)
{
	return uv_stream_get_write_queue_size((const uv_stream_t *)&n->pipe) > 0;
}

static void connection_on_written(uv_write_t *req, int status)
{
	struct connection_write *w = req->data;
	struct connection       *n = req->handle->data;

	free(w->text);
	free(w);
	n->writes--;
	if (status < 0)
		connection_close(n);
	else
		connection_work(n);
}

/* Takes text, and sends it with the NUL that ends a message. */
static void connection_send(struct connection *n, char *text)
{
	struct connection_write *w = malloc(sizeof *w);
	uv_buf_t                 buf = uv_buf_init(text, (unsigned)strlen(text) + 1);

	if (!w)
		goto fail;
	w->req.data = w;
	w->text = text;
	if (uv_write(&w->req, (uv_stream_t *)&n->pipe, &buf, 1, connection_on_written))
		goto fail;
	n->writes++;
	return;
fail:
	free(w);
	free(text);
	connection_close(n);
}

static struct call_env connection_env(const struct connection *n)
{
	return (struct call_env){ .ops = &n->control->ops, .checkup = &n->control->checkup, .peer = n->peer };
}

/* Takes text, which may be NULL, and does what comes after it. */
static void connection_say(struct connection *n, char *text, enum call_next next)
{
	n->ending = next == CALL_WAS_LAST;
	n->stream_waits = next == CALL_STREAM_WAITS;
	if (next != CALL_STREAMS && next != CALL_STREAM_WAITS && n->stream) {
		n->stream->free(n->stream);
		n->stream = NULL;
	}
	if (text)
		connection_send(n, text);
}

static void connection_stream(struct connection *n)
{
	const struct call_env env = connection_env(n);
	char                 *text;
	enum call_next        next = call_stream_next(&env, n->stream, &text);

	connection_say(n, text, next);
}

/* While something is on its way, it is seen to when that is out. */
static void connection_on_wake(void *arg)
{
	struct connection *n = arg;

	n->stream_waits = false;
	if (!n->writes && !n->closing)
		connection_work(n);
}

static void connection_on_later(void *arg, char *text)
{
	struct connection *n = arg;

	n->later = NULL;
	connection_say(n, text, text ? CALL_GOES_ON : CALL_WAS_LAST);
	connection_work(n);
}

static void connection_hear(struct connection *n, const char *message, size_t len)
{
	const struct call_env env = connection_env(n);
	struct call_said      said;
	enum call_next        next = call_answer(&env, message, len, &said);

	n->stream = said.stream;
	n->later = said.later;
	if (n->later)
		*n->later = (struct call_later){ .done = connection_on_later, .arg = n };
	if (n->stream) {
		n->stream->wake = connection_on_wake;
		n->stream->wake_arg = n;
	}
	connection_say(n, said.text, next);
}

/* Answers what has come, as long as the answers get out.  Gives whether more should come. */
static bool connection_answer(struct connection *n)
{
	while (!n->closing && !n->ending && !n->later && !connection_blocked(n)) {
		size_t      len;
		const char *message;

		if (n->stream && n->writes)
			return false;
		if (n->stream && n->stream_waits)
			return true;
		if (n->stream)
			connection_stream(n);
		else if ((message = varlink_next(&n->in, &len)))
			connection_hear(n, message, len);
		else if (varlink_overrun(&n->in))
			connection_say(n, call_garbage_reply(), CALL_WAS_LAST);
		else
			return true;
	}
	return false;
}

static void connection_on_stall(uv_timer_t *timer)
{
	struct connection *n = timer->data;

	log_limited(LOG_LEVEL_INFO,
		    "control: uid %u, pid %d does not read its replies; closing its connection",
		    (unsigned)n->peer.uid, (int)n->peer.pid);
	connection_close(n);
}

static void connection_on_room(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct connection *n = h->data;
	char              *at;
	size_t             room;

	(void)suggested;
	if (varlink_room(&n->in, &at, &room) == 0)
		*buf = uv_buf_init(at, (unsigned)room);
	else
		*buf = uv_buf_init(NULL, 0);	/* comes back as UV_ENOBUFS */
}

static void connection_on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
	struct connection *n = stream->data;

	(void)buf;
	if (got < 0) {		/* it went away; nothing is owed, or we would not read */
		connection_close(n);
		return;
	}
	list_remove(&n->node);
	list_append(&n->control->connections, &n->node);
	varlink_filled(&n->in, (size_t)got);
	connection_work(n);
}

/* Answers what can be answered, then waits for the right thing. */
static void connection_work(struct connection *n)
{
	bool more = connection_answer(n);

	if (n->closing)
		return;
	uv_timer_stop(&n->stall);
	if (more) {
		uv_read_start((uv_stream_t *)&n->pipe, connection_on_room, connection_on_read);
		return;
	}
	uv_read_stop((uv_stream_t *)&n->pipe);
	if (n->writes)
		uv_timer_start(&n->stall, connection_on_stall, n->control->stall_ms, 0);
	else if (!n->later)
		connection_close(n);	/* it was ending, and all is said */
}

static struct peer connection_peer(struct connection *n)
{
	uv_os_fd_t fd = -1;

	uv_fileno((uv_handle_t *)&n->pipe, &fd);
	return peer_read(fd, n->control->ops.group);
}

int connection_accept(struct control *c)
{
	struct connection *n = calloc(1, sizeof *n);

	if (!n)
		return -ENOMEM;
	if (c->connection_count == CONTROL_CONNECTIONS_MAX)
		connection_close(list_entry(c->connections.next, struct connection, node));
	n->control = c;
	c->holders++;
	list_init(&n->node);
	list_append(&c->connections, &n->node);
	c->connection_count++;
	varlink_init(&n->in, CONTROL_MESSAGE_MAX);
	uv_pipe_init(c->loop, &n->pipe, 0);
	uv_timer_init(c->loop, &n->stall);
	n->pipe.data = n->stall.data = n;
	n->open_handles = 2;
	if (uv_accept((uv_stream_t *)&c->listener, (uv_stream_t *)&n->pipe)) {
		connection_close(n);
		return 0;
	}
	n->peer = connection_peer(n);
	connection_work(n);
	return 0;
}

void connection_close_all(struct control *c)
{
	while (!list_empty(&c->connections))
		connection_close(list_entry(c->connections.next, struct connection, node));
}
