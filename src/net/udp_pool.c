/* udp_pool.c - questions to one upstream over UDP, from ports that cannot be guessed.
 *
 * Against forgery each question needs an unpredictable port and ID (RFC 5452
 * s. 9.2), and a new socket for each costs 20 us.  So there is a pool of
 * connected sockets, each on a port that the kernel drew at random from the
 * whole range for such ports (net.ipv4.ip_local_port_range), and each question
 * draws one that carries no other.  A socket carries 16 to 48 questions (drawn
 * when it opens), lives for 10 s, and closes when its question ends.
 *
 * The pool has 256 slots, and once more than half of them were in use 512, until
 * it is at rest again.  Only when all of those carry a question are sockets
 * shared, by up to 8 questions with different IDs; beyond that the answer is
 * -EAGAIN.
 *
 * Always true:
 *   - slots [0, busy) hold sockets that carry questions, slots [busy, size) hold
 *     sockets at rest or NULL, so that drawing a free one is one random number;
 *   - a socket that is closing is in no slot and carries no question;
 *   - the sweep timer runs exactly while a socket is open.
 */
#include "base/clock.h"
#include "base/rng.h"
#include "net/client.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define UDP_SLOTS       256
#define UDP_SLOTS_MAX   512
#define UDP_SHARE       8
#define UDP_USES_MIN    16
#define UDP_USES_SPREAD 33		/* 16 to 48 */
#define UDP_LIFE_MS     10000
#define UDP_SWEEP_MS    2500
#define UDP_READS       16		/* datagrams in one wake-up of a socket */

struct udp_pool {
	struct transport   base;
	struct net_client *client;		/* borrowed */
	struct addr        to;
	uv_timer_t         sweep;
	unsigned           size, busy;
	unsigned           open;		/* sockets in slots */
	unsigned           handles;		/* the pool's memory goes back at none */
	bool               closing;
	struct udp_socket *slots[UDP_SLOTS_MAX];
};

struct udp_socket {
	struct udp_pool *pool;
	uv_poll_t        poll;
	struct list      sends;
	uint64_t         born_ms;
	int              fd;
	uint16_t         at;			/* its slot */
	uint8_t          count;			/* sends that live */
	uint8_t          uses_left;
	bool             telling;		/* sends are being walked: nobody may join */
	bool             closing;
};

/* ---- slots ------------------------------------------------------------ */

static void udp_pool_put(struct udp_pool *p, unsigned at, struct udp_socket *s)
{
	p->slots[at] = s;
	if (s)
		s->at = (uint16_t)at;
}

static void udp_pool_swap(struct udp_pool *p, unsigned a, unsigned b)
{
	struct udp_socket *s = p->slots[a];

	udp_pool_put(p, a, p->slots[b]);
	udp_pool_put(p, b, s);
}

static void udp_socket_take(struct udp_socket *s)
{
	if (s->count++ == 0)
		udp_pool_swap(s->pool, s->at, s->pool->busy++);
	s->uses_left--;
}

static void udp_socket_give_back(struct udp_socket *s)
{
	if (--s->count == 0)
		udp_pool_swap(s->pool, s->at, --s->pool->busy);
}

static bool udp_socket_is_spent(const struct udp_socket *s)
{
	return !s->uses_left || uv_now(s->pool->client->loop) - s->born_ms >= UDP_LIFE_MS;
}

/* ---- closing ---------------------------------------------------------- */

static void udp_pool_release(struct udp_pool *p)
{
	if (--p->handles == 0)
		free(p);
}

static void udp_socket_on_closed(uv_handle_t *handle)
{
	struct udp_socket *s = handle->data;
	struct udp_pool   *p = s->pool;

	close(s->fd);
	free(s);
	udp_pool_release(p);
}

/* Leaves its slot; it must carry no question. */
static void udp_socket_close(struct udp_socket *s)
{
	struct udp_pool *p = s->pool;

	s->closing = true;
	p->slots[s->at] = NULL;
	uv_close((uv_handle_t *)&s->poll, udp_socket_on_closed);
	if (--p->open == 0) {
		p->size = UDP_SLOTS;
		uv_timer_stop(&p->sweep);
	}
}

/* The system gave up on the other side: every question on this socket is told, and it is of no more
 * use. */
static void udp_socket_lose(struct udp_socket *s, int error)
{
	struct list  lost;
	struct list *node;

	list_init(&lost);
	list_splice(&lost, &s->sends);
	if (s->count) {
		s->count = 1;
		udp_socket_give_back(s);
	}
	for (node = lost.next; node != &lost; node = node->next)
		list_entry(node, struct transport_send, node)->place = NULL;
	udp_socket_close(s);
	while ((node = list_take_first(&lost))) {
		struct transport_send *send = list_entry(node, struct transport_send, node);

		send->transport = NULL;
		send->on->lost(send, error);
	}
}

/* Sockets at rest that are too old. */
static void udp_pool_on_sweep(uv_timer_t *timer)
{
	struct udp_pool *p = timer->data;

	for (unsigned at = p->busy; at < UDP_SLOTS_MAX; at++)
		if (p->slots[at] && udp_socket_is_spent(p->slots[at]))
			udp_socket_close(p->slots[at]);
}

/* ---- receiving -------------------------------------------------------- */

static void udp_socket_tell_mismatch(struct udp_socket *s)
{
	struct list  todo;
	struct list *node;

	list_init(&todo);
	list_splice(&todo, &s->sends);
	s->telling = true;
	while ((node = list_take_first(&todo))) {	/* those that end meanwhile leave the list */
		struct transport_send *send = list_entry(node, struct transport_send, node);

		list_append(&s->sends, node);
		send->on->mismatch(send);
	}
	s->telling = false;
}

static void udp_socket_deliver(struct udp_socket *s, const uint8_t *msg, size_t len)
{
	uint16_t id;

	if (len < 12) {
		udp_socket_tell_mismatch(s);
		return;
	}
	id = (uint16_t)(msg[0] << 8 | msg[1]);
	for (struct list *n = s->sends.next; n != &s->sends; n = n->next) {
		struct transport_send *send = list_entry(n, struct transport_send, node);

		if (send->id == id) {
			send->on->message(send, msg, len);	/* may end any of them */
			return;
		}
	}
	udp_socket_tell_mismatch(s);
}

static void udp_socket_on_readable(uv_poll_t *poll, int status, int events);

/* libuv stops watching on an error of the socket and does not say which it was. */
static void udp_socket_on_error(struct udp_socket *s)
{
	int       error = 0;
	socklen_t len = sizeof error;

	getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error)
		udp_socket_lose(s, -error);
	else
		uv_poll_start(&s->poll, UV_READABLE, udp_socket_on_readable);
}

static void udp_socket_on_readable(uv_poll_t *poll, int status, int events)
{
	struct udp_socket *s = poll->data;
	struct net_client *client = s->pool->client;

	(void)events;
	if (status < 0) {
		udp_socket_on_error(s);
		return;
	}
	for (unsigned i = 0; i < UDP_READS && !s->closing; i++) {
		ssize_t n = recv(s->fd, client->room, sizeof client->room, MSG_DONTWAIT);

		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				udp_socket_lose(s, -errno);
			return;
		}
		udp_socket_deliver(s, client->room, (size_t)n);
		if (!s->count)	/* that was the answer: hardly ever is there more, and looking costs a call */
			return;
	}
}

/* ---- opening and choosing --------------------------------------------- */

/* A connected socket, or a negative errno. */
static int udp_socket_connect(const struct addr *to)
{
	int fd = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	/* Forged "fragmentation needed" must not change how we send. */
	if (to->sa.sa_family == AF_INET)
		setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &(int){ IP_PMTUDISC_OMIT }, sizeof(int));
	else
		setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &(int){ IPV6_PMTUDISC_OMIT },
		           sizeof(int));
	if (connect(fd, &to->sa, addr_len(to)) < 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

/* Opens a socket in the empty slot at. */
static int udp_socket_open(struct udp_pool *p, unsigned at)
{
	struct udp_socket *s;
	int                fd = udp_socket_connect(&p->to);

	if (fd < 0)
		return fd;
	s = calloc(1, sizeof *s);
	if (!s || uv_poll_init(p->client->loop, &s->poll, fd) < 0) {
		free(s);
		close(fd);
		return -ENOMEM;
	}
	s->pool = p;
	s->fd = fd;
	s->born_ms = uv_now(p->client->loop);
	s->uses_left = (uint8_t)(UDP_USES_MIN + rng_below(p->client->rng, UDP_USES_SPREAD));
	s->poll.data = s;
	list_init(&s->sends);
	udp_pool_put(p, at, s);
	p->handles++;
	if (p->open++ == 0)
		uv_timer_start(&p->sweep, udp_pool_on_sweep, UDP_SWEEP_MS, UDP_SWEEP_MS);
	uv_poll_start(&s->poll, UV_READABLE, udp_socket_on_readable);
	return 0;
}

/* All slots carry a question: one of them may carry another. */
static int udp_pool_share(struct udp_pool *p, struct udp_socket **out)
{
	unsigned start = rng_below(p->client->rng, p->size);

	for (unsigned i = 0; i < p->size; i++) {
		struct udp_socket *s = p->slots[(start + i) % p->size];

		if (s->count < UDP_SHARE && !s->telling && !udp_socket_is_spent(s)) {
			*out = s;
			return 0;
		}
	}
	return -EAGAIN;
}

static int udp_pool_choose(struct udp_pool *p, struct udp_socket **out)
{
	unsigned at;
	int      error = 0;

	if (p->busy > p->size / 2)
		p->size = UDP_SLOTS_MAX;
	if (p->busy == p->size)
		return udp_pool_share(p, out);
	at = p->busy + rng_below(p->client->rng, p->size - p->busy);
	if (p->slots[at] && udp_socket_is_spent(p->slots[at]))
		udp_socket_close(p->slots[at]);
	if (!p->slots[at])
		error = udp_socket_open(p, at);
	*out = p->slots[at];
	return error;
}

/* ---- the transport ---------------------------------------------------- */

static uint16_t udp_socket_new_id(const struct udp_socket *s)
{
	for (;;) {
		uint16_t id = rng_u16(s->pool->client->rng);
		bool     taken = false;

		for (struct list *n = s->sends.next; n != &s->sends; n = n->next)
			taken = taken || list_entry(n, struct transport_send, node)->id == id;
		if (!taken)
			return id;
	}
}

static int udp_socket_send(struct udp_socket *s, const uint8_t *msg, size_t len)
{
	/* The first call may report what became of an earlier question on this socket. */
	if (send(s->fd, msg, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
	    send(s->fd, msg, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

static int udp_pool_send(struct transport *t, struct transport_send *send, uint8_t *msg, size_t len)
{
	struct udp_pool   *p = (struct udp_pool *)t;
	struct udp_socket *s;
	int                error = udp_pool_choose(p, &s);

	if (error < 0)
		return error;
	send->id = udp_socket_new_id(s);
	msg[0] = (uint8_t)(send->id >> 8);
	msg[1] = (uint8_t)send->id;
	error = udp_socket_send(s, msg, len);
	if (error < 0) {
		if (!s->count)		/* its address or route may be gone: begin anew next time */
			udp_socket_close(s);
		return error;
	}
	udp_socket_take(s);
	send->sent_us = clock_mono_us(p->client->clock);
	send->connected_us = 0;
	send->transport = t;
	send->place = s;
	list_append(&s->sends, &send->node);
	return 0;
}

static void udp_pool_end(struct transport *t, struct transport_send *send)
{
	struct udp_socket *s = send->place;

	(void)t;
	send->transport = NULL;
	list_remove(&send->node);
	if (!s)			/* being told that it is lost, with others */
		return;
	udp_socket_give_back(s);
	if (!s->count && udp_socket_is_spent(s))
		udp_socket_close(s);
}

static void udp_pool_idle_hint(struct transport *t, struct transport_send *send, uint32_t idle_ms)
{
	(void)t, (void)send, (void)idle_ms;	/* ignored over UDP (RFC 7828 s. 3.3.1) */
}

static void udp_pool_renew(struct transport *t)
{
	struct udp_pool *p = (struct udp_pool *)t;

	for (unsigned at = 0; at < UDP_SLOTS_MAX; at++) {
		struct udp_socket *s = p->slots[at];

		if (s && s->count)
			s->uses_left = 0;	/* it closes with its question */
		else if (s)
			udp_socket_close(s);
	}
}

static void udp_pool_aim(struct transport *t, const struct addr_list *to)
{
	struct udp_pool *p = (struct udp_pool *)t;

	if (addr_equal(&p->to, &to->at[0]))
		return;
	p->to = to->at[0];
	udp_pool_renew(t);
}

static void udp_pool_on_closed(uv_handle_t *handle)
{
	udp_pool_release(handle->data);
}

static void udp_pool_close(struct transport *t)
{
	struct udp_pool *p = (struct udp_pool *)t;

	if (p->closing)
		return;
	p->closing = true;
	for (unsigned at = 0; at < UDP_SLOTS_MAX; at++)
		if (p->slots[at])
			udp_socket_close(p->slots[at]);
	uv_close((uv_handle_t *)&p->sweep, udp_pool_on_closed);
}

static const struct transport_ops udp_pool_ops = {
	.send = udp_pool_send,
	.end = udp_pool_end,
	.idle_hint = udp_pool_idle_hint,
	.renew = udp_pool_renew,
	.close = udp_pool_close,
	.aim = udp_pool_aim,
};

struct transport *udp_pool_new(struct net_client *c, const struct addr *to)
{
	struct udp_pool *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->base.ops = &udp_pool_ops;
	p->client = c;
	p->to = *to;
	p->size = UDP_SLOTS;
	p->handles = 1;			/* the timer */
	uv_timer_init(c->loop, &p->sweep);
	p->sweep.data = p;
	return &p->base;
}
