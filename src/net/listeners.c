/* listeners.c - the listeners of one worker, and the sockets they start from.
 *
 * Always true: a set is freed when it is closing and nobody holds it; its
 * prepare handle runs exactly while something waits for the end of the turn.
 */
#include "net/listeners.h"
#include "net/frames.h"
#include "net/tcp_conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTENER_RECEIVE_OCTETS (4 * 1024 * 1024)
#define LISTENER_BACKLOG        1024

struct listener {
	struct list          node;
	struct addr          addr;
	struct udp_listener *udp;	/* either may be NULL */
	struct tcp_listener *tcp;
};

/* ---- reply paths ------------------------------------------------------ */

void reply_path_keep(struct reply_path *p, const struct net_message *m)
{
	if (m->keep)
		m->keep(p, m);
	else if (m->proto == NET_UDP)
		udp_reply_keep(p, m);
	else
		tcp_reply_keep(p, m);
}

void reply_path_send(struct reply_path *p, const uint8_t *msg, size_t len)
{
	const struct reply_path_ops *ops = p->ops;

	p->ops = NULL;
	if (ops)
		ops->send(p, msg, len);
}

void reply_path_drop(struct reply_path *p)
{
	const struct reply_path_ops *ops = p->ops;

	p->ops = NULL;
	if (ops)
		ops->drop(p);
}

/* ---- the set ---------------------------------------------------------- */

static void listener_set_free(struct listener_set *set)
{
	udp_rooms_free(set->udp_rooms);
	free(set->tcp_in);
	free(set->tcp_out);
	free(set);
}

void listener_set_hold(struct listener_set *set)
{
	set->holders++;
}

void listener_set_release(struct listener_set *set)
{
	if (--set->holders == 0)
		listener_set_free(set);
}

static void listener_set_on_turn_end(uv_prepare_t *prepare)
{
	struct listener_set *set = prepare->data;

	tcp_conns_resume(set);		/* may collect more replies */
	udp_flush(set);
	uv_prepare_stop(prepare);
}

void listener_set_at_turn_end(struct listener_set *set)
{
	uv_prepare_start(&set->turn_end, listener_set_on_turn_end);	/* fine when it runs */
}

static void listener_set_on_closed(uv_handle_t *handle)
{
	listener_set_release(handle->data);
}

struct listener_set *listener_set_new(uv_loop_t *loop, const struct clock *clock, struct stats *stats,
                                      const struct listener_conf *conf,
                                      const struct net_handler *handler)
{
	struct listener_set *set = calloc(1, sizeof *set);

	if (!set)
		return NULL;
	set->udp_rooms = udp_rooms_new();
	set->tcp_in = malloc(FRAMES_ROOM);
	set->tcp_out = malloc(TCP_OUT_ROOM);
	if (!set->udp_rooms || !set->tcp_in || !set->tcp_out) {
		listener_set_free(set);
		return NULL;
	}
	set->loop = loop;
	set->clock = clock;
	set->stats = stats;
	set->conf = *conf;
	set->handler = *handler;
	list_init(&set->listeners);
	list_init(&set->conns);
	list_init(&set->ready);
	uv_prepare_init(loop, &set->turn_end);
	set->turn_end.data = set;
	listener_set_hold(set);		/* the prepare handle does */
	return set;
}

/* Takes fds into l as far as they go; false: some did not, and all that did not are closed. */
static bool listener_start(struct listener *l, struct listener_set *set, int udp_fd, int tcp_fd)
{
	if (udp_fd >= 0)
		l->udp = udp_listener_new(set, &l->addr, udp_fd);
	if (tcp_fd >= 0)
		l->tcp = tcp_listener_new(set, tcp_fd);
	return (udp_fd < 0 || l->udp) && (tcp_fd < 0 || l->tcp);
}

static void listener_close(struct listener *l)
{
	if (l->udp)
		udp_listener_close(l->udp);
	if (l->tcp)
		tcp_listener_close(l->tcp);
	list_remove(&l->node);
	free(l);
}

int listener_set_add(struct listener_set *set, const struct addr *addr, int udp_fd, int tcp_fd)
{
	struct listener *l = calloc(1, sizeof *l);

	if (!l) {
		if (udp_fd >= 0)
			close(udp_fd);
		if (tcp_fd >= 0)
			close(tcp_fd);
		return -ENOMEM;
	}
	l->addr = *addr;
	list_append(&set->listeners, &l->node);
	if (listener_start(l, set, udp_fd, tcp_fd))
		return 0;
	listener_close(l);
	return -ENOMEM;
}

void listener_set_remove(struct listener_set *set, const struct addr *addr)
{
	struct list *n, *next;

	for (n = set->listeners.next; n != &set->listeners; n = next) {
		struct listener *l = list_entry(n, struct listener, node);

		next = n->next;
		if (addr_equal(&l->addr, addr))
			listener_close(l);
	}
}

void listener_set_reconfigure(struct listener_set *set, const struct listener_conf *conf)
{
	set->conf = *conf;
}

void listener_set_stop(struct listener_set *set)
{
	struct list *n, *next;

	if (set->stopped)
		return;
	set->stopped = true;
	for (n = set->listeners.next; n != &set->listeners; n = n->next) {
		struct listener *l = list_entry(n, struct listener, node);

		if (l->udp)
			udp_listener_stop(l->udp);
		if (l->tcp)
			tcp_listener_stop(l->tcp);
	}
	for (n = set->conns.next; n != &set->conns; n = next) {
		next = n->next;
		tcp_conn_stop(tcp_conn_of(n));
	}
}

void listener_set_flush(struct listener_set *set)
{
	udp_flush(set);
}

void listener_set_close(struct listener_set *set)
{
	if (!set || set->closing)
		return;
	set->closing = set->stopped = true;
	while (!list_empty(&set->listeners))
		listener_close(list_entry(set->listeners.next, struct listener, node));
	uv_close((uv_handle_t *)&set->turn_end, listener_set_on_closed);
}

/* ---- sockets ---------------------------------------------------------- */

static void listener_switch_on(int fd, int level, int option)
{
	int on = 1;

	setsockopt(fd, level, option, &on, sizeof on);
}

void listener_tune_udp(int fd, const struct addr *addr)
{
	int octets = LISTENER_RECEIVE_OCTETS;

	/* Packets that exceed our own link come back as EMSGSIZE instead of leaving in fragments, and
	 * a forged "fragmentation needed" has no effect (RFC 9715 s. 3.1). */
	if (addr->sa.sa_family == AF_INET)
		setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &(int){ IP_PMTUDISC_INTERFACE }, sizeof(int));
	else
		setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &(int){ IPV6_PMTUDISC_INTERFACE },
		           sizeof(int));
	if (addr_is_wildcard(addr) && addr->sa.sa_family == AF_INET)
		listener_switch_on(fd, IPPROTO_IP, IP_PKTINFO);
	else if (addr_is_wildcard(addr))
		listener_switch_on(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
	listener_switch_on(fd, SOL_SOCKET, SO_RXQ_OVFL);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &octets, sizeof octets) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &octets, sizeof octets);
}

/* A socket that may be bound to an address that is not there yet (IP_FREEBIND). */
static int listener_socket(const struct addr *addr, int type)
{
	int fd = socket(addr->sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (addr->sa.sa_family == AF_INET6) {
		listener_switch_on(fd, IPPROTO_IPV6, IPV6_V6ONLY);
		listener_switch_on(fd, IPPROTO_IPV6, IPV6_FREEBIND);
	} else {
		listener_switch_on(fd, IPPROTO_IP, IP_FREEBIND);
	}
	if (type == SOCK_STREAM)	/* connections of an earlier process may still be closing */
		listener_switch_on(fd, SOL_SOCKET, SO_REUSEADDR);
	return fd;
}

static int listener_bind(int fd, const struct addr *addr)
{
	return bind(fd, &addr->sa, addr_len(addr)) < 0 ? -errno : 0;
}

int listener_probe(const struct addr *addr, enum net_proto proto)
{
	int fd = listener_socket(addr, proto == NET_UDP ? SOCK_DGRAM : SOCK_STREAM);
	int error;

	if (fd < 0)
		return fd;
	error = listener_bind(fd, addr);
	close(fd);
	return error;
}

int listener_open_udp(const struct addr *addr, int *fd)
{
	int s = listener_socket(addr, SOCK_DGRAM);
	int error;

	if (s < 0)
		return s;
	listener_switch_on(s, SOL_SOCKET, SO_REUSEPORT);
	listener_tune_udp(s, addr);
	error = listener_bind(s, addr);
	if (error < 0) {
		close(s);
		return error;
	}
	*fd = s;
	return 0;
}

int listener_open_tcp(const struct addr *addr, int *fd)
{
	int s = listener_socket(addr, SOCK_STREAM);
	int error;

	if (s < 0)
		return s;
	listener_switch_on(s, SOL_SOCKET, SO_REUSEPORT);
	error = listener_bind(s, addr);
	if (error == 0 && listen(s, LISTENER_BACKLOG) < 0)
		error = -errno;
	if (error < 0) {
		close(s);
		return error;
	}
	*fd = s;
	return 0;
}
