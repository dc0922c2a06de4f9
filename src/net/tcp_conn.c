/* tcp_conn.c - one client's TCP connection (RFC 7766).
 *
 * Questions are read into the worker's room and handed on one after another;
 * replies that are ready at once are gathered in another room and leave in one
 * write, later ones leave when they come, in any order.  At rest a connection
 * owns no buffer.
 *
 * Reading goes on while
 *   - fewer than tcp_in_flight replies are due,
 *   - the client takes its replies: at most TCP_OUTBOX_SOFT octets wait for it,
 *   - neither side has ended the questions.
 * When one of these stops it in the middle of what was read, the rest is held,
 * and the connection goes on with that (has_more) at the end of the turn in
 * which the reason went away; never inside the event that took it away, because
 * the rooms may be in use there.
 *
 * tcp_conn_settle() is the one place that decides what comes next: read, write,
 * go on, or close because the client has ended and nothing is due.
 *
 * One clock runs, from the last of: accepting, a complete question, a reply or
 * part of one taken by the kernel.  The timer is not restarted for each; when
 * it rings too early it is set again for the rest.
 */
#include "net/tcp_conn.h"
#include "base/clock.h"
#include "net/frames.h"
#include "net/listeners.h"
#include "net/outbox.h"
#include "stats/stats.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define TCP_OUTBOX_SOFT 65536		/* over it nothing more is read */
#define TCP_OUTBOX_HARD 524288		/* replies to questions in work may reach this, then we close */
#define TCP_GRACE_MS    200		/* told to go at once, a client may have asked more already */

struct tcp_conn {
	struct list          node;		/* in set->conns */
	struct list          ready_node;	/* in set->ready, or alone */
	struct list          paths;		/* replies that are due */
	struct listener_set *set;
	struct tcp_listener *listener;		/* borrowed; closes us before it goes */
	uv_poll_t            poll;
	uv_timer_t           timer;
	uint64_t             since_ms;		/* idle from here on */
	uint64_t             rings_ms;		/* when the timer will */
	struct frames        in;
	struct outbox        out;
	struct addr          peer;
	uint32_t             keepalive_ms;	/* in force, as last stated */
	uint32_t             in_flight;		/* length of paths */
	int                  fd;
	int                  watched;		/* events of poll */
	uint8_t              open_handles;
	bool                 ended;		/* no more will be read from the client */
	bool                 has_more;		/* in holds a whole message */
	bool                 busy;		/* in tcp_conn_answer(), which settles at its end */
	bool                 closing;
};

uint32_t tcp_keepalive_ms(const struct listener_set *set)
{
	uint32_t bound = set->conf.tcp_clients, quiet = bound - bound / 4;

	if (set->conn_count <= quiet)
		return set->conf.tcp_idle_ms;
	if (set->conn_count >= bound)
		return 0;
	return (uint32_t)((uint64_t)set->conf.tcp_idle_ms * (bound - set->conn_count) /
	                  (bound - quiet));
}

/* ---- time ------------------------------------------------------------- */

static void tcp_conn_on_timer(uv_timer_t *timer);

static uint64_t tcp_conn_due_ms(const struct tcp_conn *c)
{
	return c->since_ms + (c->keepalive_ms > TCP_GRACE_MS ? c->keepalive_ms : TCP_GRACE_MS);
}

static void tcp_conn_arm(struct tcp_conn *c, uint64_t due_ms)
{
	uint64_t now_ms = uv_now(c->set->loop);

	c->rings_ms = due_ms;
	uv_timer_start(&c->timer, tcp_conn_on_timer, due_ms > now_ms ? due_ms - now_ms : 0, 0);
}

/* Something has happened that an idle time counts from. */
static void tcp_conn_touch(struct tcp_conn *c)
{
	c->since_ms = uv_now(c->set->loop);
	if (!c->closing && tcp_conn_due_ms(c) < c->rings_ms)	/* less is granted than before */
		tcp_conn_arm(c, tcp_conn_due_ms(c));
}

static void tcp_conn_on_timer(uv_timer_t *timer)
{
	struct tcp_conn *c = timer->data;
	uint64_t         now_ms = uv_now(c->set->loop);

	if (c->in_flight && !c->out.len)	/* it waits for us */
		c->since_ms = now_ms;
	if (tcp_conn_due_ms(c) > now_ms)
		tcp_conn_arm(c, tcp_conn_due_ms(c));
	else
		tcp_conn_close(c);
}

/* ---- what comes next -------------------------------------------------- */

static void tcp_conn_on_ready(uv_poll_t *poll, int status, int events);

static bool tcp_conn_may_ask(const struct tcp_conn *c)
{
	return !c->closing && !c->set->stopped && c->in_flight < c->set->conf.tcp_in_flight &&
	       c->out.len <= TCP_OUTBOX_SOFT;
}

static void tcp_conn_watch(struct tcp_conn *c, int events)
{
	if (events == c->watched)
		return;
	c->watched = events;
	if (events)
		uv_poll_start(&c->poll, events, tcp_conn_on_ready);
	else
		uv_poll_stop(&c->poll);
}

static void tcp_conn_settle(struct tcp_conn *c)
{
	bool over = (c->ended && !c->has_more) || c->set->stopped;
	int  events = 0;

	if (c->closing || c->busy)
		return;
	if (over && !c->in_flight && !c->out.len) {
		tcp_conn_close(c);
		return;
	}
	if (c->has_more && tcp_conn_may_ask(c) && list_empty(&c->ready_node)) {
		list_append(&c->set->ready, &c->ready_node);
		listener_set_at_turn_end(c->set);
	}
	if (!c->has_more && !c->ended && tcp_conn_may_ask(c))
		events |= UV_READABLE;
	if (c->out.len)
		events |= UV_WRITABLE;
	tcp_conn_watch(c, events);
}

/* ---- replies ---------------------------------------------------------- */

/* Closes the connection when it cannot be written to. */
static void tcp_conn_write(struct tcp_conn *c, struct iovec *parts, unsigned count)
{
	if (c->closing)
		return;
	if (outbox_write(&c->out, c->fd, parts, count) < 0 || c->out.len > TCP_OUTBOX_HARD)
		tcp_conn_close(c);
}

static void tcp_path_drop(struct reply_path *p)
{
	struct tcp_conn *c = p->owner;

	list_remove(&p->node);
	c->in_flight--;
	tcp_conn_touch(c);
	tcp_conn_settle(c);
}

static void tcp_path_send(struct reply_path *p, const uint8_t *msg, size_t len)
{
	uint8_t      length[2];
	struct iovec parts[] = { { length, sizeof length }, { (void *)(uintptr_t)msg, len } };

	frames_put_length(length, len);
	tcp_conn_write(p->owner, parts, 2);
	tcp_path_drop(p);
}

static const struct reply_path_ops tcp_path_ops = { tcp_path_send, tcp_path_drop };

void tcp_reply_keep(struct reply_path *p, const struct net_message *m)
{
	struct tcp_conn *c = m->source;

	p->ops = &tcp_path_ops;
	p->owner = c;
	p->peer = c->peer;
	p->local.sa.sa_family = AF_UNSPEC;
	p->ifindex = 0;
	p->proto = NET_TCP;
	list_append(&c->paths, &p->node);
	c->in_flight++;
}

/* ---- questions -------------------------------------------------------- */

/* Replies of one reading, in the worker's room. */
struct tcp_gathered {
	size_t   len;
	unsigned count;
};

static void tcp_conn_write_gathered(struct tcp_conn *c, struct tcp_gathered *g)
{
	struct iovec part = { c->set->tcp_out, g->len };

	if (g->len)
		tcp_conn_write(c, &part, 1);
	g->len = 0;
}

/* One question; its reply may be gathered. */
static void tcp_conn_ask(struct tcp_conn *c, const struct net_message *m, struct tcp_gathered *g)
{
	struct listener_set *set = c->set;
	uint8_t             *out = set->tcp_out + g->len;
	struct net_reply     reply = { .octets = out + 2, .size = FRAMES_MESSAGE_MAX };

	switch (set->handler.message(set->handler.arg, m, &reply)) {
	case NET_REPLY:
		frames_put_length(out, reply.len);
		g->len += 2 + reply.len;
		g->count++;
		if (g->len > TCP_OUT_ROOM - 2 - FRAMES_MESSAGE_MAX)
			tcp_conn_write_gathered(c, g);
		break;
	case NET_CLOSE:
		c->ended = true;
		break;
	case NET_LATER:
	case NET_SILENCE:
		break;
	}
}

/* Hands on the questions in v as far as it may, and holds the rest. */
static void tcp_conn_answer(struct tcp_conn *c, struct frames_view *v, bool ended)
{
	struct listener_set *set = c->set;
	struct tcp_gathered  g = { 0 };
	struct net_message   m = {
		.from = &c->peer,
		.proto = NET_TCP,
		.index = NET_ALONE,
		.boot_ms = clock_boot_ms(set->clock),
		.mono_us = clock_mono_us(set->clock),
		.keepalive_ms = tcp_keepalive_ms(set),
		.source = c,
	};
	bool                 asked = false;

	c->busy = true;
	c->ended = false;
	while (!c->ended && tcp_conn_may_ask(c) && (m.octets = frames_next(v, &m.len))) {
		if (m.len < 12)		/* not DNS: what follows cannot be trusted either */
			c->ended = true;
		else
			tcp_conn_ask(c, &m, &g);
		asked = true;
	}
	tcp_conn_write_gathered(c, &g);
	if (g.count && set->handler.batch_done && !set->closing)
		set->handler.batch_done(set->handler.arg, m.mono_us, clock_mono_us(set->clock), g.count);
	c->busy = false;
	if (c->closing)
		return;
	if (c->ended)			/* by what was said; the rest does not count */
		v->at = v->len;
	c->has_more = frames_whole(v);
	c->ended = c->ended || ended;
	if (frames_end(&c->in, v) < 0) {
		stats_count(set->stats, STATS_NO_MEMORY);
		tcp_conn_close(c);
		return;
	}
	if (asked) {
		c->keepalive_ms = m.keepalive_ms;
		tcp_conn_touch(c);
		list_remove(&c->node);
		list_append(&set->conns, &c->node);
	}
	tcp_conn_settle(c);
}

static void tcp_conn_read(struct tcp_conn *c)
{
	uint8_t *room = c->set->tcp_in;
	size_t   held = frames_begin(&c->in, room);
	ssize_t  n = recv(c->fd, room + held, FRAMES_READ, MSG_DONTWAIT);

	if (n > 0) {
		tcp_conn_answer(c, &(struct frames_view){ room, held + (size_t)n, 0 }, false);
	} else if (n == 0) {
		c->ended = true;	/* half-closed: replies that are due still go out */
		tcp_conn_settle(c);
	} else if (errno != EAGAIN && errno != EINTR) {
		tcp_conn_close(c);
	}
}

static void tcp_conn_write_more(struct tcp_conn *c)
{
	size_t before = c->out.len;

	if (outbox_flush(&c->out, c->fd) < 0) {
		tcp_conn_close(c);
		return;
	}
	if (c->out.len < before)
		tcp_conn_touch(c);
	tcp_conn_settle(c);
}

static void tcp_conn_on_ready(uv_poll_t *poll, int status, int events)
{
	struct tcp_conn *c = poll->data;

	if (status < 0) {		/* reset by the client */
		tcp_conn_close(c);
		return;
	}
	if (events & UV_WRITABLE)
		tcp_conn_write_more(c);
	if (events & UV_READABLE && c->watched & UV_READABLE && !c->closing)
		tcp_conn_read(c);
}

/* Handlers may make further connections ready meanwhile; each has a bounded amount in hand. */
void tcp_conns_resume(struct listener_set *set)
{
	struct list *node;

	while ((node = list_take_first(&set->ready))) {
		struct tcp_conn   *c = list_entry(node, struct tcp_conn, ready_node);
		struct frames_view v = { set->tcp_in, frames_begin(&c->in, set->tcp_in), 0 };

		tcp_conn_answer(c, &v, c->ended);
	}
}

/* ---- coming and going ------------------------------------------------- */

static void tcp_conn_on_closed(uv_handle_t *handle)
{
	struct tcp_conn     *c = handle->data;
	struct listener_set *set = c->set;

	if (--c->open_handles)
		return;
	close(c->fd);
	frames_done(&c->in);
	outbox_done(&c->out);
	free(c);
	listener_set_release(set);
}

void tcp_conn_close(struct tcp_conn *c)
{
	struct list *node;

	if (c->closing)
		return;
	c->closing = true;
	list_remove(&c->node);
	list_remove(&c->ready_node);
	while ((node = list_take_first(&c->paths)))
		list_entry(node, struct reply_path, node)->ops = NULL;
	stats_set(&c->set->stats->tcp_clients_now, --c->set->conn_count);
	uv_close((uv_handle_t *)&c->poll, tcp_conn_on_closed);
	uv_close((uv_handle_t *)&c->timer, tcp_conn_on_closed);
}

void tcp_conn_stop(struct tcp_conn *c)
{
	tcp_conn_settle(c);
}

int tcp_conn_open(struct listener_set *set, struct tcp_listener *listener, int fd,
                  const struct addr *peer)
{
	struct tcp_conn *c = calloc(1, sizeof *c);

	if (!c || uv_poll_init(set->loop, &c->poll, fd) < 0) {
		free(c);
		close(fd);
		return -ENOMEM;
	}
	uv_timer_init(set->loop, &c->timer);
	c->poll.data = c->timer.data = c;
	c->open_handles = 2;
	c->set = set;
	c->listener = listener;
	c->fd = fd;
	c->peer = *peer;
	c->keepalive_ms = set->conf.tcp_idle_ms;	/* nothing else has been stated yet */
	c->since_ms = uv_now(set->loop);
	list_init(&c->paths);
	list_init(&c->ready_node);
	list_append(&set->conns, &c->node);
	listener_set_hold(set);
	stats_set(&set->stats->tcp_clients_now, ++set->conn_count);
	tcp_conn_arm(c, tcp_conn_due_ms(c));
	tcp_conn_settle(c);
	return 0;
}

struct tcp_conn *tcp_conn_of(struct list *node)
{
	return list_entry(node, struct tcp_conn, node);
}

const struct addr *tcp_conn_peer(const struct tcp_conn *c)
{
	return &c->peer;
}

const struct tcp_listener *tcp_conn_listener(const struct tcp_conn *c)
{
	return c->listener;
}

bool tcp_conn_is_idle(const struct tcp_conn *c)
{
	return !c->in_flight && !c->out.len && !c->busy;
}
