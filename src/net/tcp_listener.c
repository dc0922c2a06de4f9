/* tcp_listener.c - who may connect.
 *
 * Connections are bounded in total and for each address (loopback exempt,
 * RFC 7766 s. 6.2.2).  At the total the connection that has been idle longest
 * gives way; only when replies are due on all of them is a new one refused.
 *
 * When descriptors run out, accepting pauses: waiting clients stay in the
 * kernel's queue, and the loop does not spin on a socket that it cannot serve.
 */
#include "base/addr.h"
#include "base/log.h"
#include "net/listeners.h"
#include "net/tcp_conn.h"
#include "stats/stats.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define TCP_ACCEPTS  64		/* in one wake-up */
#define TCP_PAUSE_MS 250

struct tcp_listener {
	struct listener_set *set;
	uv_poll_t            poll;
	uv_timer_t           pause;
	int                  fd;
	uint8_t              open_handles;
	bool                 stopped;
	bool                 closing;
};

static void tcp_listener_on_readable(uv_poll_t *poll, int status, int events);

static void tcp_listener_on_pause_over(uv_timer_t *timer)
{
	struct tcp_listener *l = timer->data;

	if (!l->stopped)
		uv_poll_start(&l->poll, UV_READABLE, tcp_listener_on_readable);
}

static void tcp_listener_pause(struct tcp_listener *l, int error)
{
	log_limited(LOG_LEVEL_WARNING, "accepting a TCP client: %s; trying again in %d ms",
	            uv_strerror(-error), TCP_PAUSE_MS);
	uv_poll_stop(&l->poll);
	uv_timer_start(&l->pause, tcp_listener_on_pause_over, TCP_PAUSE_MS, 0);
}

/* A walk over all connections: some microseconds at the usual bound, once for each connection. */
static unsigned tcp_count_of(const struct listener_set *set, const struct addr *peer)
{
	unsigned count = 0;

	for (struct list *n = set->conns.next; n != &set->conns; n = n->next)
		count += addr_equal_host(tcp_conn_peer(tcp_conn_of(n)), peer);
	return count;
}

/* True when the connection idle for longest has given way. */
static bool tcp_give_way(struct listener_set *set)
{
	for (struct list *n = set->conns.next; n != &set->conns; n = n->next) {
		if (!tcp_conn_is_idle(tcp_conn_of(n)))
			continue;
		tcp_conn_close(tcp_conn_of(n));
		return true;
	}
	return false;
}

static bool tcp_admits(struct listener_set *set, const struct addr *peer)
{
	if (!addr_is_loopback(peer) && tcp_count_of(set, peer) >= set->conf.tcp_per_client)
		return false;
	return set->conn_count < set->conf.tcp_clients || tcp_give_way(set);
}

static void tcp_listener_admit(struct tcp_listener *l, int fd, const struct addr *peer)
{
	struct stats *stats = l->set->stats;

	if (!tcp_admits(l->set, peer)) {
		stats_count(stats, STATS_TCP_REFUSED);
		close(fd);
		return;
	}
	stats_count(stats, STATS_TCP_CLIENTS);
	if (tcp_conn_open(l->set, l, fd, peer) < 0)
		stats_count(stats, STATS_NO_MEMORY);
}

static void tcp_listener_on_readable(uv_poll_t *poll, int status, int events)
{
	struct tcp_listener *l = poll->data;

	(void)events;
	if (status < 0) {		/* libuv has stopped watching */
		tcp_listener_pause(l, EIO);
		return;
	}
	for (unsigned i = 0; i < TCP_ACCEPTS; i++) {
		struct addr peer = { .in6 = { 0 } };
		socklen_t   len = sizeof peer;
		int         fd = accept4(l->fd, &peer.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			tcp_listener_admit(l, fd, &peer);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			tcp_listener_pause(l, errno);
			return;
		}		/* else that client has gone already: the next one */
	}
}

static void tcp_listener_on_closed(uv_handle_t *handle)
{
	struct tcp_listener *l = handle->data;
	struct listener_set *set = l->set;

	if (--l->open_handles)
		return;
	close(l->fd);
	free(l);
	listener_set_release(set);
}

struct tcp_listener *tcp_listener_new(struct listener_set *set, int fd)
{
	struct tcp_listener *l = calloc(1, sizeof *l);
	int                  on = 1;

	if (!l || uv_poll_init(set->loop, &l->poll, fd) < 0) {
		close(fd);
		free(l);
		return NULL;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);	/* accepted sockets inherit it */
	uv_timer_init(set->loop, &l->pause);
	l->poll.data = l->pause.data = l;
	l->open_handles = 2;
	l->set = set;
	l->fd = fd;
	listener_set_hold(set);
	uv_poll_start(&l->poll, UV_READABLE, tcp_listener_on_readable);
	return l;
}

void tcp_listener_stop(struct tcp_listener *l)
{
	l->stopped = true;
	uv_poll_stop(&l->poll);
	uv_timer_stop(&l->pause);
}

void tcp_listener_close(struct tcp_listener *l)
{
	struct list *n, *next;

	if (l->closing)
		return;
	l->closing = l->stopped = true;
	for (n = l->set->conns.next; n != &l->set->conns; n = next) {
		next = n->next;
		if (tcp_conn_listener(tcp_conn_of(n)) == l)
			tcp_conn_close(tcp_conn_of(n));
	}
	uv_close((uv_handle_t *)&l->poll, tcp_listener_on_closed);
	uv_close((uv_handle_t *)&l->pause, tcp_listener_on_closed);
}
