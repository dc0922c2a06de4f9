/* load_udp.c - the generator over UDP: batches out, batches in.
 *
 * A batch of queries leaves from one socket, the next batch from the next one,
 * so several source ports are used without one system call per query.  Servers
 * mostly answer in order: replies are looked for first at the socket that sent
 * longest ago, and only when it has none are all of them polled.
 */
#include "load.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { REPLY_OCTETS = 2048 };

struct udp_sock {
	int fd;
	struct slots slots;
};

struct udp_load {
	struct load *l;
	struct udp_sock *socks;
	unsigned sender;	/* sends the next batch */
	unsigned oldest;	/* sent the oldest batch that waits */
	struct mmsghdr out[NET_BATCH], in[NET_BATCH];
	struct iovec out_iov[NET_BATCH], in_iov[NET_BATCH];
	uint8_t queries[NET_BATCH][QUERY_OCTETS], replies[NET_BATCH][REPLY_OCTETS];
};

static void udp_init(struct udp_load *u, struct load *l, struct udp_sock *socks)
{
	u->l = l;
	u->socks = socks;
	for (unsigned i = 0; i < l->sockets; i++) {
		socks[i].fd = net_udp_connect(&l->server);
		slots_init(&socks[i].slots);
	}
	for (int i = 0; i < NET_BATCH; i++) {
		u->out_iov[i] = (struct iovec){ u->queries[i], l->shape.len };
		u->in_iov[i] = (struct iovec){ u->replies[i], REPLY_OCTETS };
		u->out[i].msg_hdr.msg_iov = &u->out_iov[i];
		u->in[i].msg_hdr.msg_iov = &u->in_iov[i];
		u->out[i].msg_hdr.msg_iovlen = u->in[i].msg_hdr.msg_iovlen = 1;
	}
}

/* One system call and one walk through the stack for the whole batch: the kernel
 * cuts it into datagrams again before they reach the server's socket.  Possible
 * because all queries of a run have one length. */
static void udp_send_segmented(struct udp_load *u, int fd, unsigned n)
{
	union {
		struct cmsghdr align;
		uint8_t octets[CMSG_SPACE(sizeof(uint16_t))];
	} control = { 0 };
	struct msghdr m = { .msg_iov = u->out_iov, .msg_iovlen = n,
			    .msg_control = &control, .msg_controllen = sizeof control };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	uint16_t len = (uint16_t)u->l->shape.len;

	c->cmsg_level = IPPROTO_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof len);
	memcpy(CMSG_DATA(c), &len, sizeof len);
	if (sendmsg(fd, &m, 0) < 0)
		u->l->tally.refused += n;
}

/* What the kernel does not take is not sent again: it shows as lost. */
static void udp_send(struct udp_load *u, int fd, unsigned n)
{
	if (u->l->segment && n > 1) {
		udp_send_segmented(u, fd, n);
		return;
	}
	for (unsigned done = 0; done < n;) {
		int k = sendmmsg(fd, u->out + done, n - done, 0);
		if (k <= 0)
			u->l->tally.refused++;
		done += k > 0 ? (unsigned)k : 1;
	}
}

static void udp_fill(struct udp_load *u)
{
	unsigned due;

	for (unsigned full = 0; full < u->l->sockets; full++) {
		uint64_t now = net_now_ns();
		struct udp_sock *s = &u->socks[u->sender];
		if (!(due = load_due(u->l, now, NET_BATCH)))
			return;
		unsigned n = 0;
		while (n < due && load_write(u->l, &s->slots, u->queries[n], now))
			n++;
		if (n)
			udp_send(u, s->fd, n);
		u->sender = (u->sender + 1) % u->l->sockets;
	}
}

/* Takes one batch; gives its size. */
static int udp_collect(struct udp_load *u, struct udp_sock *s)
{
	int n = recvmmsg(s->fd, u->in, NET_BATCH, MSG_DONTWAIT, NULL);
	uint64_t now = net_now_ns();

	for (int i = 0; i < n; i++)
		load_reply(u->l, &s->slots, u->replies[i], u->in[i].msg_len, now);
	return n > 0 ? n : 0;
}

static void udp_poll(struct udp_load *u)
{
	struct pollfd fds[LOAD_SOCKETS_MAX];
	uint64_t now = net_now_ns(), wait = load_wake_ns(u->l, now) - now;
	struct timespec t = { (time_t)(wait / 1000000000u), (long)(wait % 1000000000u) };

	for (unsigned i = 0; i < u->l->sockets; i++) {
		bool waits = u->socks[i].slots.busy;
		fds[i] = (struct pollfd){ .fd = waits ? u->socks[i].fd : -1, .events = POLLIN };
	}
	if (u->l->spin)
		t = (struct timespec){ 0, 0 };
	if (ppoll(fds, u->l->sockets, &t, NULL) <= 0)
		return;
	for (unsigned i = 0; i < u->l->sockets; i++)
		while (fds[i].revents && udp_collect(u, &u->socks[i]) == NET_BATCH)
			;
}

static void udp_sweep(struct udp_load *u)
{
	uint64_t now = net_now_ns();

	if (now - u->l->sweep_ns < LOAD_SWEEP_NS)
		return;
	u->l->sweep_ns = now;
	for (unsigned i = 0; i < u->l->sockets; i++)
		load_sweep(u->l, &u->socks[i].slots, now);
}

void load_udp_run(struct load *l)
{
	static struct udp_sock socks[LOAD_SOCKETS_MAX];
	static struct udp_load u;

	udp_init(&u, l, socks);
	load_start(l);
	while (!load_ended(l, net_now_ns()) || l->waiting) {
		udp_fill(&u);
		if (!udp_collect(&u, &socks[u.oldest]))
			udp_poll(&u);
		for (unsigned i = 0; i < l->sockets && !socks[u.oldest].slots.busy; i++)
			u.oldest = (u.oldest + 1) % l->sockets;
		udp_sweep(&u);
	}
	for (unsigned i = 0; i < l->sockets; i++) {
		l->tally.dropped += net_drops(socks[i].fd);
		close(socks[i].fd);
	}
}
