/* load_tcp.c - the generator over kept TCP connections.
 *
 * The window is spread evenly over the connections; on each, queries are sent
 * without waiting for replies (RFC 7766 section 6.2.1.1), which may come in any
 * order.  A connection the server closes is opened again and counted; what
 * waited on it is lost.
 */
#include "load.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	FRAME_OCTETS = 2 + QUERY_OCTETS,
	OUT_OCTETS = FRAME_OCTETS * SLOTS_MAX,	/* the whole window always fits */
	IN_OCTETS = 2 * (2 + 65535),
};

struct tcp_conn {
	int fd;			/* -1: closed for good */
	size_t out_len, in_len;
	struct slots slots;
	uint8_t out[OUT_OCTETS], in[IN_OCTETS];
};

static void tcp_open(struct load *l, struct tcp_conn *c)
{
	c->fd = net_tcp_connect(&l->server);
	c->out_len = c->in_len = 0;
	if (c->fd >= 0)
		net_nonblocking(c->fd);
}

static void tcp_lost(struct load *l, struct tcp_conn *c)
{
	close(c->fd);
	c->fd = -1;
	load_give_up(l, &c->slots);
	if (load_ended(l, net_now_ns()))
		return;
	l->tally.reconnects++;
	tcp_open(l, c);
}

static void tcp_write(struct load *l, struct tcp_conn *c)
{
	if (!c->out_len)
		return;
	ssize_t n = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		tcp_lost(l, c);
		return;
	}
	n = n < 0 ? 0 : n;
	c->out_len -= (size_t)n;
	memmove(c->out, c->out + n, c->out_len);
}

static void tcp_fill(struct load *l, struct tcp_conn *c)
{
	uint64_t now = net_now_ns();
	unsigned share = (l->window + l->sockets - 1) / l->sockets;
	unsigned room = share > c->slots.busy ? share - c->slots.busy : 0;
	unsigned due = load_due(l, now, room);
	size_t len = l->shape.len;

	while (due-- && c->out_len + FRAME_OCTETS <= OUT_OCTETS) {
		uint8_t *q = c->out + c->out_len;
		if (!load_write(l, &c->slots, q + 2, now))
			break;
		q[0] = (uint8_t)(len >> 8);
		q[1] = (uint8_t)len;
		c->out_len += 2 + len;
	}
	tcp_write(l, c);
}

static void tcp_read(struct load *l, struct tcp_conn *c)
{
	ssize_t n = read(c->fd, c->in + c->in_len, IN_OCTETS - c->in_len);
	uint64_t now = net_now_ns();
	size_t at = 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		tcp_lost(l, c);
		return;
	}
	c->in_len += (size_t)n;
	while (c->in_len - at >= 2) {
		size_t len = (size_t)c->in[at] << 8 | c->in[at + 1];
		if (c->in_len - at < 2 + len)
			break;
		load_reply(l, &c->slots, c->in + at + 2, len, now);
		at += 2 + len;
	}
	c->in_len -= at;
	memmove(c->in, c->in + at, c->in_len);
}

static void tcp_poll(struct load *l, struct tcp_conn *conns)
{
	struct pollfd fds[LOAD_SOCKETS_MAX];
	uint64_t now = net_now_ns(), wait = load_wake_ns(l, now) - now;
	struct timespec t = { (time_t)(wait / 1000000000u), (long)(wait % 1000000000u) };

	for (unsigned i = 0; i < l->sockets; i++) {
		short events = (short)(POLLIN | (conns[i].out_len ? POLLOUT : 0));
		fds[i] = (struct pollfd){ .fd = conns[i].fd, .events = events };
	}
	if (l->spin)
		t = (struct timespec){ 0, 0 };
	if (ppoll(fds, l->sockets, &t, NULL) <= 0)
		return;
	for (unsigned i = 0; i < l->sockets; i++) {
		if (fds[i].fd >= 0 && fds[i].revents & POLLOUT)
			tcp_write(l, &conns[i]);
		if (fds[i].fd >= 0 && fds[i].fd == conns[i].fd && fds[i].revents & ~POLLOUT)
			tcp_read(l, &conns[i]);
	}
}

/* False when every connection is gone. */
static bool tcp_sweep(struct load *l, struct tcp_conn *conns)
{
	uint64_t now = net_now_ns();
	bool open = false;

	for (unsigned i = 0; i < l->sockets; i++)
		open = open || conns[i].fd >= 0;
	if (now - l->sweep_ns < LOAD_SWEEP_NS)
		return open;
	l->sweep_ns = now;
	for (unsigned i = 0; i < l->sockets; i++)
		load_sweep(l, &conns[i].slots, now);
	return open;
}

void load_tcp_run(struct load *l)
{
	struct tcp_conn *conns = calloc(l->sockets, sizeof *conns);

	if (!conns)
		net_fail("no memory for", "the connections");
	for (unsigned i = 0; i < l->sockets; i++) {
		slots_init(&conns[i].slots);
		tcp_open(l, &conns[i]);
		if (conns[i].fd < 0)
			net_fail("cannot connect", "over TCP");
	}
	load_start(l);
	for (unsigned turn = 0; tcp_sweep(l, conns); turn++) {
		if (load_ended(l, net_now_ns()) && !l->waiting)
			break;
		for (unsigned i = 0; i < l->sockets; i++) {
			struct tcp_conn *c = &conns[(turn + i) % l->sockets];
			if (c->fd >= 0)
				tcp_fill(l, c);
		}
		tcp_poll(l, conns);
	}
	for (unsigned i = 0; i < l->sockets; i++)
		if (conns[i].fd >= 0)
			close(conns[i].fd);
	free(conns);
}
