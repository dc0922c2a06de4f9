/* udp_listener.c - questions and replies over UDP, 64 at a time.
 *
 * A wake-up reads a batch of datagrams with one system call, lets the handler
 * write each reply straight into the batch that is to be sent, and sends that
 * with another.  The rooms for both are the worker's and stay where they are;
 * a reply goes to the very address the datagram's address was read into.
 *
 * Packet information is asked for on wildcard sockets only, because it costs
 * 5 % of a hit; the control message that came with the question is turned
 * round in place and goes out with the reply, which thereby leaves from the
 * address that was asked.
 *
 * Replies that come later are collected in a batch of their own, which leaves
 * at the end of the loop's turn, when it is full, or when a reply is for
 * another socket.
 */
#include "base/addr.h"
#include "base/clock.h"
#include "net/listeners.h"
#include "stats/stats.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define UDP_BATCH  NET_BATCH
#define UDP_OPT_MAX 29	/* an OPT with extended error, its text apart, and keepalive */
#define UDP_ROUNDS 4		/* batches in one wake-up: timers and streams are waiting too */
/* A query may have 4096 octets (RFC 6891 s. 6.2.3); a longer one shows by its length.  The rest
 * keeps the beginnings of rooms from falling into the same lines of the processor's cache. */
#define UDP_ROOM   (4096 + 64)

struct udp_control {		/* a packet info of either family and a drop count */
	_Alignas(struct cmsghdr) uint8_t octets[96];
};

struct udp_out {
	struct mmsghdr msg[UDP_BATCH];
	struct iovec   iov[UDP_BATCH];
	unsigned       count;
	uint8_t        octets[UDP_BATCH][UDP_ROOM];
};

struct udp_rooms {
	struct mmsghdr       in[UDP_BATCH];
	struct iovec         in_iov[UDP_BATCH];
	struct addr          from[UDP_BATCH];
	struct udp_control   in_control[UDP_BATCH];
	bool                 in_controls;	/* every message has room for one, not the first alone */
	struct udp_out       now;		/* replies to the batch that is being answered */
	struct udp_out       late;
	struct udp_listener *late_for;		/* whose socket they leave by */
	struct addr          late_to[UDP_BATCH];
	struct udp_control   late_control[UDP_BATCH];
	uint8_t              in_octets[UDP_BATCH][UDP_ROOM];
};

struct udp_listener {
	struct listener_set *set;
	struct list          paths;		/* replies that are due later */
	uv_poll_t            poll;
	int                  fd;
	bool                 packet_info;	/* bound to a wildcard */
	bool                 closing;
	uint32_t             kernel_drops;	/* as last told by SO_RXQ_OVFL */
};

struct udp_source {				/* what net_message.source points to */
	struct udp_listener *listener;
	struct msghdr       *in;
};

_Static_assert(offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port),
               "one look at the port serves both families");

/* The control of message 0 is where a drop count is read, so it always has room for one. */
static size_t udp_control_room(const struct udp_rooms *r, unsigned i)
{
	return r->in_controls || i == 0 ? sizeof r->in_control[i].octets : 0;
}

struct udp_rooms *udp_rooms_new(void)
{
	struct udp_rooms *r = calloc(1, sizeof *r);	/* pages are used when messages come */

	if (!r)
		return NULL;
	for (unsigned i = 0; i < UDP_BATCH; i++) {
		r->in_iov[i] = (struct iovec){ r->in_octets[i], UDP_ROOM };
		r->in[i].msg_hdr = (struct msghdr){
			.msg_name = &r->from[i],
			.msg_namelen = sizeof r->from[i],
			.msg_iov = &r->in_iov[i],
			.msg_iovlen = 1,
			.msg_control = r->in_control[i].octets,
			.msg_controllen = udp_control_room(r, i),
		};
		r->now.iov[i].iov_base = r->now.octets[i];
		r->now.msg[i].msg_hdr = (struct msghdr){ .msg_iov = &r->now.iov[i], .msg_iovlen = 1 };
		r->late.iov[i].iov_base = r->late.octets[i];
		r->late.msg[i].msg_hdr = (struct msghdr){ .msg_iov = &r->late.iov[i], .msg_iovlen = 1 };
	}
	return r;
}

void udp_rooms_free(struct udp_rooms *rooms)
{
	free(rooms);
}

/* ---- sending ---------------------------------------------------------- */

/* Octets of the OPT record that a reply ends with, if it has one: root, type 41, …, length, options. */
static size_t udp_opt_len(const uint8_t *m, size_t len)
{
	static const uint8_t begins[3] = { 0, 0, 41 };

	for (size_t n = 11; m[11] && n + 12 <= len && n <= UDP_OPT_MAX; n += 2)
		if (!memcmp(m + len - n, begins, 3) && m[len - n + 9] == 0 && m[len - n + 10] == n - 11)
			return n;
	return 0;
}

/* A reply that the link cannot carry becomes header, question and OPT with TC set (RFC 9715 s. 3.1 R4). */
static void udp_cut(struct iovec *iov)
{
	uint8_t *m = iov->iov_base;
	size_t   at = 12, opt = iov->iov_len < 12 ? 0 : udp_opt_len(m, iov->iov_len);

	if (iov->iov_len < 12)
		return;
	if (m[4] == 0 && m[5] == 1) {
		while (at < iov->iov_len && m[at] && m[at] < 64)
			at += m[at] + 1u;
		at += 5;		/* the root, type and class */
	}
	if (at > iov->iov_len) {
		at = 12;
		m[5] = 0;
	}
	m[2] |= 0x02;
	memset(m + 6, 0, 6);
	m[11] = opt > 0;
	memmove(m + at, m + iov->iov_len - opt, opt);
	iov->iov_len = at + opt;
}

/* Hands count messages to the kernel.  One that it refuses does not stop those behind it. */
static void udp_send(struct udp_listener *l, struct mmsghdr *msg, unsigned count)
{
	struct mmsghdr *end = msg + count, *cut = NULL;
	bool            waited = false;

	while (msg < end) {
		int n = sendmmsg(l->fd, msg, (unsigned)(end - msg), MSG_DONTWAIT);

		if (n > 0) {
			msg += n;
		} else if (errno == EMSGSIZE && cut != msg) {
			cut = msg;
			udp_cut(msg->msg_hdr.msg_iov);
		} else if (errno == EAGAIN || errno == ENOBUFS) {
			if (waited) {
				stats_bump(&l->set->stats->counter[STATS_REPLIES_LOST],
				           (uint64_t)(end - msg));
				return;
			}
			waited = true;	/* once more, at once: a device may have made room */
		} else if (errno != EINTR) {
			stats_count(l->set->stats, STATS_REPLIES_LOST);
			msg++;
		}
	}
}

/* Sets address and control of the k-th reply of a batch. */
static void udp_direct(struct udp_out *out, unsigned k, struct addr *to, socklen_t to_len,
                       struct cmsghdr *control)
{
	struct msghdr *h = &out->msg[k].msg_hdr;

	h->msg_name = to;
	h->msg_namelen = to_len;
	h->msg_control = control;
	h->msg_controllen = control ? CMSG_ALIGN(control->cmsg_len) : 0;
}

/* ---- the address that was asked --------------------------------------- */

/* The packet information of a message, or NULL. */
static struct cmsghdr *udp_packet_info(struct msghdr *in)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(in); c; c = CMSG_NXTHDR(in, c))
		if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) ||
		    (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO))
			return c;
	return NULL;
}

/* Turns it round for the reply.  The interface is left to routing, except where an address means
 * nothing without it. */
static void udp_packet_info_turn(struct cmsghdr *c)
{
	if (c->cmsg_level == IPPROTO_IP) {
		struct in_pktinfo *info = (struct in_pktinfo *)CMSG_DATA(c);

		info->ipi_spec_dst = info->ipi_addr;
		info->ipi_ifindex = 0;
	} else {
		struct in6_pktinfo *info = (struct in6_pktinfo *)CMSG_DATA(c);

		if (!IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr))
			info->ipi6_ifindex = 0;
	}
}

static void udp_path_note_local(struct reply_path *p, const struct cmsghdr *c)
{
	p->ifindex = 0;
	p->local.sa.sa_family = AF_UNSPEC;
	if (!c)
		return;
	if (c->cmsg_level == IPPROTO_IP) {
		p->local.in4.sin_family = AF_INET;
		p->local.in4.sin_addr = ((const struct in_pktinfo *)CMSG_DATA(c))->ipi_addr;
	} else {
		const struct in6_pktinfo *info = (const struct in6_pktinfo *)CMSG_DATA(c);

		p->local.in6.sin6_family = AF_INET6;
		p->local.in6.sin6_addr = info->ipi6_addr;
		if (IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr))
			p->ifindex = info->ipi6_ifindex;
	}
}

/* The same as a control message again; NULL: none is needed. */
static struct cmsghdr *udp_path_control(const struct reply_path *p, struct udp_control *room)
{
	struct cmsghdr *c = (struct cmsghdr *)room->octets;

	if (p->local.sa.sa_family == AF_INET) {
		struct in_pktinfo info = { .ipi_spec_dst = p->local.in4.sin_addr };

		*c = (struct cmsghdr){ CMSG_LEN(sizeof info), IPPROTO_IP, IP_PKTINFO };
		memcpy(CMSG_DATA(c), &info, sizeof info);
		return c;
	}
	if (p->local.sa.sa_family == AF_INET6) {
		struct in6_pktinfo info = { p->local.in6.sin6_addr, p->ifindex };

		*c = (struct cmsghdr){ CMSG_LEN(sizeof info), IPPROTO_IPV6, IPV6_PKTINFO };
		memcpy(CMSG_DATA(c), &info, sizeof info);
		return c;
	}
	return NULL;
}

/* ---- receiving -------------------------------------------------------- */

/* What the kernel dropped before the first message of this batch.  It says so beside each message
 * once it has dropped one; before that there is nothing to look at. */
static void udp_note_drops(struct udp_listener *l, struct msghdr *in)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(in); c; c = CMSG_NXTHDR(in, c)) {
		uint32_t drops;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_RXQ_OVFL)
			continue;
		memcpy(&drops, CMSG_DATA(c), sizeof drops);
		stats_bump(&l->set->stats->counter[STATS_KERNEL_DROPS], drops - l->kernel_drops);
		l->kernel_drops = drops;
	}
}

/* What a batch changed is set back. */
static void udp_rooms_reset(struct udp_rooms *r, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		r->in[i].msg_hdr.msg_namelen = sizeof r->from[i];
		r->in[i].msg_hdr.msg_controllen = udp_control_room(r, i);
	}
}

static void udp_message(struct udp_rooms *r, unsigned i, struct net_message *m)
{
	m->octets = r->in_octets[i];
	m->len = r->in[i].msg_len;
	m->from = &r->from[i];
	m->index = i;
}

/* Answers the n messages that are in the rooms; gives how many were answered at once. */
static unsigned udp_answer(struct udp_listener *l, unsigned n, struct net_message *m)
{
	struct listener_set *set = l->set;
	struct udp_rooms    *r = set->udp_rooms;
	struct udp_source    source = { .listener = l };
	unsigned             replies = 0;

	m->source = &source;
	if (set->handler.announce)
		for (unsigned i = 0; i < n; i++) {
			udp_message(r, i, m);
			set->handler.announce(set->handler.arg, m);
		}
	for (unsigned i = 0; i < n && !l->closing; i++) {
		struct net_reply reply = { .octets = r->now.octets[replies], .size = UDP_ROOM };
		struct cmsghdr  *control = NULL;

		source.in = &r->in[i].msg_hdr;
		if (!r->from[i].in4.sin_port) {		/* nobody can be answered there */
			stats_count(set->stats, STATS_DROPPED);
			continue;
		}
		udp_message(r, i, m);
		if (set->handler.message(set->handler.arg, m, &reply) != NET_REPLY)
			continue;
		if (l->packet_info)
			control = udp_packet_info(source.in);
		if (control)
			udp_packet_info_turn(control);
		r->now.iov[replies].iov_len = reply.len;
		udp_direct(&r->now, replies, &r->from[i], source.in->msg_namelen, control);
		replies++;
	}
	return replies;
}

/* True: there may be more. */
static bool udp_round(struct udp_listener *l)
{
	struct listener_set *set = l->set;
	struct udp_rooms    *r = set->udp_rooms;
	struct net_message   m = { .proto = NET_UDP };
	unsigned             replies;
	int                  n;

	if (r->in_controls != l->packet_info) {
		r->in_controls = l->packet_info;
		udp_rooms_reset(r, UDP_BATCH);
	}
	n = recvmmsg(l->fd, r->in, UDP_BATCH, MSG_DONTWAIT, NULL);
	if (n <= 0)
		return false;
	m.boot_ms = clock_boot_ms(set->clock);
	m.mono_us = clock_mono_us(set->clock);
	udp_note_drops(l, &r->in[0].msg_hdr);
	replies = udp_answer(l, (unsigned)n, &m);
	if (replies) {
		udp_send(l, r->now.msg, replies);
		if (set->handler.batch_done && !set->closing)
			set->handler.batch_done(set->handler.arg, m.mono_us, clock_mono_us(set->clock),
			                        replies);
	}
	udp_rooms_reset(r, (unsigned)n);
	return n == UDP_BATCH && !l->closing && !set->stopped;
}

static void udp_on_readable(uv_poll_t *poll, int status, int events)
{
	struct udp_listener *l = poll->data;

	(void)events;
	if (status < 0) {	/* libuv has stopped watching on an error of the socket: read it away */
		int       error;
		socklen_t len = sizeof error;

		getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		uv_poll_start(poll, UV_READABLE, udp_on_readable);
		return;
	}
	for (unsigned round = 0; round < UDP_ROUNDS && udp_round(l); round++)
		;
}

/* ---- later replies ---------------------------------------------------- */

void udp_flush(struct listener_set *set)
{
	struct udp_rooms *r = set->udp_rooms;
	unsigned          count = r->late.count;

	r->late.count = 0;
	if (count)
		udp_send(r->late_for, r->late.msg, count);
}

static void udp_path_drop(struct reply_path *p)
{
	list_remove(&p->node);
}

static void udp_path_send(struct reply_path *p, const uint8_t *msg, size_t len)
{
	struct udp_listener *l = p->owner;
	struct udp_rooms    *r = l->set->udp_rooms;
	struct udp_out      *out = &r->late;
	unsigned             k;

	udp_path_drop(p);
	if (out->count == UDP_BATCH || (out->count && r->late_for != l))
		udp_flush(l->set);
	if (!out->count)
		listener_set_at_turn_end(l->set);
	r->late_for = l;
	k = out->count++;
	out->iov[k].iov_len = len < UDP_ROOM ? len : UDP_ROOM;
	memcpy(out->octets[k], msg, out->iov[k].iov_len);
	if (len > UDP_ROOM)
		udp_cut(&out->iov[k]);
	r->late_to[k] = p->peer;
	udp_direct(out, k, &r->late_to[k], addr_len(&p->peer), udp_path_control(p, &r->late_control[k]));
}

static const struct reply_path_ops udp_path_ops = { udp_path_send, udp_path_drop };

void udp_reply_keep(struct reply_path *p, const struct net_message *m)
{
	const struct udp_source *source = m->source;
	struct udp_listener     *l = source->listener;

	p->ops = &udp_path_ops;
	p->owner = l;
	p->peer = *m->from;
	p->proto = NET_UDP;
	udp_path_note_local(p, l->packet_info ? udp_packet_info(source->in) : NULL);
	list_append(&l->paths, &p->node);
}

/* ---- coming and going ------------------------------------------------- */

static void udp_on_closed(uv_handle_t *handle)
{
	struct udp_listener *l = handle->data;
	struct listener_set *set = l->set;

	close(l->fd);
	free(l);
	listener_set_release(set);
}

struct udp_listener *udp_listener_new(struct listener_set *set, const struct addr *addr, int fd)
{
	struct udp_listener *l = calloc(1, sizeof *l);

	listener_tune_udp(fd, addr);
	if (!l || uv_poll_init(set->loop, &l->poll, fd) < 0) {
		close(fd);
		free(l);
		return NULL;
	}
	l->set = set;
	l->fd = fd;
	l->packet_info = addr_is_wildcard(addr);
	l->poll.data = l;
	list_init(&l->paths);
	listener_set_hold(set);
	uv_poll_start(&l->poll, UV_READABLE, udp_on_readable);
	return l;
}

void udp_listener_stop(struct udp_listener *l)
{
	uv_poll_stop(&l->poll);
}

void udp_listener_close(struct udp_listener *l)
{
	struct list *node;

	if (l->closing)
		return;
	l->closing = true;
	if (l->set->udp_rooms->late_for == l)
		udp_flush(l->set);
	while ((node = list_take_first(&l->paths)))
		list_entry(node, struct reply_path, node)->ops = NULL;
	uv_close((uv_handle_t *)&l->poll, udp_on_closed);
}
