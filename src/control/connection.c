/* connection.c - clients of the control socket.
 *
 *	reading --call--> answered --all of the reply is out--> reading
 *	                     |
 *	                     +--not yet--> blocked --it is out--> reading
 *	                                      |
 *	                                      +--not read in time--> closed
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
	struct ucred          peer;
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
	return;
fail:
	free(w);
	free(text);
	connection_close(n);
}

/* Answers what has come, as long as the answers get out.  Gives whether more should come. */
static bool connection_answer(struct connection *n)
{
	while (!n->closing && !n->ending && !connection_blocked(n)) {
		size_t      len;
		const char *message = varlink_next(&n->in, &len);
		char       *reply = NULL;

		if (message)
			n->ending = call_answer(&n->control->ops, &n->peer, message, len, &reply) ==
				    CALL_WAS_LAST;
		else if (varlink_overrun(&n->in)) {
			n->ending = true;
			reply = call_garbage_reply();
		} else
			return true;
		if (reply)
			connection_send(n, reply);
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
	if (connection_blocked(n))
		uv_timer_start(&n->stall, connection_on_stall, n->control->stall_ms, 0);
	else
		connection_close(n);	/* it was ending, and all is said */
}

static void connection_read_peer(struct connection *n)
{
	socklen_t   len = sizeof n->peer;
	uv_os_fd_t  fd;

	n->peer = (struct ucred){ .pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	if (uv_fileno((uv_handle_t *)&n->pipe, &fd) == 0)
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &n->peer, &len);
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
	connection_read_peer(n);
	connection_work(n);
	return 0;
}

void connection_close_all(struct control *c)
{
	while (!list_empty(&c->connections))
		connection_close(list_entry(c->connections.next, struct connection, node));
}
