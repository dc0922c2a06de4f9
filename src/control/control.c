/* control.c - the control socket: opened, listened on, closed. */
#include "control/control.h"

#include "base/log.h"
#include "control/bind.h"
#include "control/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void control_unhold(struct control *c)
{
	if (--c->holders)
		return;
	checkup_done(&c->checkup);
	free(c);
}

static void control_on_handle_closed(uv_handle_t *h)
{
	control_unhold(h->data);
}

static void control_on_caller(uv_stream_t *listener, int status);

static void control_on_turned_away(uv_handle_t *h)
{
	struct control *c = h->data;

	c->turning_away = false;
	if (c->caller_waits && !uv_is_closing((uv_handle_t *)&c->listener)) {
		c->caller_waits = false;
		control_on_caller((uv_stream_t *)&c->listener, 0);
	}
	control_unhold(c);
}

/* A caller for whom there is no memory must still be taken, or the listener would never hear of
 * another. */
static void control_turn_away(struct control *c)
{
	if (c->turning_away) {
		c->caller_waits = true;
		return;
	}
	uv_pipe_init(c->loop, &c->turned_away, 0);
	c->turned_away.data = c;
	c->turning_away = true;
	c->holders++;
	uv_accept((uv_stream_t *)&c->listener, (uv_stream_t *)&c->turned_away);
	uv_close((uv_handle_t *)&c->turned_away, control_on_turned_away);
}

static void control_on_caller(uv_stream_t *listener, int status)
{
	struct control *c = listener->data;

	if (status < 0)
		log_limited(LOG_LEVEL_WARNING, "control: cannot take a connection: %s",
			    uv_strerror(status));
	else if (connection_accept(c)) {
		log_limited(LOG_LEVEL_WARNING, "control: no memory for a connection; closing it");
		control_turn_away(c);
	}
}

static void control_on_mark(uv_timer_t *mark)
{
	struct control *c = mark->data;

	checkup_mark(&c->checkup, &c->ops);
}

/* Listens on a bound socket, which is taken over whatever happens. */
static int control_start(struct control *c, int fd)
{
	int err;

	c->stall_ms = CONTROL_STALL_MS;
	list_init(&c->connections);
	uv_pipe_init(c->loop, &c->listener, 0);
	uv_timer_init(c->loop, &c->mark);
	c->listener.data = c->mark.data = c;
	c->holders = 2;
	uv_timer_start(&c->mark, control_on_mark, CHECKUP_MARK_MS, CHECKUP_MARK_MS);
	err = uv_pipe_open(&c->listener, fd);
	if (err)
		close(fd);
	else
		err = uv_listen((uv_stream_t *)&c->listener, CONTROL_CONNECTIONS_MAX,
				control_on_caller);
	if (err)
		control_close(c);
	return err;
}

static struct control *control_new(uv_loop_t *loop, const struct control_ops *ops)
{
	struct control *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->loop = loop;
	c->ops = *ops;
	return c;
}

int control_open(uv_loop_t *loop, const char *path, const struct control_ops *ops,
		 struct control **out)
{
	struct control *c = control_new(loop, ops);
	int             fd, err;

	if (!c)
		return -ENOMEM;
	err = bind_open(path, &fd, &c->file);
	if (err) {
		free(c);
		return err;
	}
	err = control_start(c, fd);
	if (!err)
		*out = c;
	return err;
}

int control_adopt(uv_loop_t *loop, int fd, const struct control_ops *ops, struct control **out)
{
	struct control *c = control_new(loop, ops);
	int             err;

	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	err = control_start(c, fd);	/* c->file is empty: nothing will be removed */
	if (!err)
		*out = c;
	return err;
}

void control_close(struct control *c)
{
	if (!c)
		return;
	bind_remove(&c->file);
	connection_close_all(c);
	uv_close((uv_handle_t *)&c->listener, control_on_handle_closed);
	uv_close((uv_handle_t *)&c->mark, control_on_handle_closed);
}
