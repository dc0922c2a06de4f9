/* netwatch.c - rtnetlink(7), as little of it as is needed. */
#include "daemon/netwatch.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SETTLE_MS 300		/* after the first news: interfaces come up in several steps */
#define ASK_MS    200		/* the kernel answers at once; this is for when it does not */
#define ROOM      8192

/* ---- asking for a route ---- */

int netway_open(void)
{
	struct timeval  patience = { .tv_usec = ASK_MS * 1000 };
	int             fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	return fd;
}

static size_t netway_octets(int family)
{
	return family == AF_INET ? 4 : 16;
}

static const void *netway_host(const struct addr *a)
{
	return a->sa.sa_family == AF_INET ? (const void *)&a->in4.sin_addr : (const void *)&a->in6.sin6_addr;
}

struct netway_query {
	struct nlmsghdr head;
	struct rtmsg    route;
	struct rtattr   to;
	uint8_t         host[16];
	struct rtattr   out;		/* where a scope says through which interface */
	uint32_t        interface;
};

static bool netway_ask(int fd, const struct addr *to, uint32_t seq)
{
	size_t              octets = netway_octets(to->sa.sa_family);
	struct netway_query q = {
		.head = { .nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = seq },
		.route = { .rtm_family = (uint8_t)to->sa.sa_family, .rtm_dst_len = (uint8_t)(octets * 8) },
		.to = { .rta_type = RTA_DST, .rta_len = (uint16_t)RTA_LENGTH(octets) },
	};
	uint8_t *at = q.host + octets;

	memcpy(q.host, netway_host(to), octets);
	if (to->sa.sa_family == AF_INET6 && to->in6.sin6_scope_id) {
		struct rtattr out = { .rta_type = RTA_OIF, .rta_len = (uint16_t)RTA_LENGTH(sizeof(uint32_t)) };

		memcpy(at, &out, sizeof out);
		memcpy(at + sizeof out, &to->in6.sin6_scope_id, sizeof(uint32_t));
		at += sizeof out + sizeof(uint32_t);
	}
	q.head.nlmsg_len = (uint32_t)(at - (uint8_t *)&q);
	return send(fd, &q, q.head.nlmsg_len, 0) == (ssize_t)q.head.nlmsg_len;
}

static void netway_keep(struct addr *out, int family, const struct rtattr *a)
{
	if (RTA_PAYLOAD(a) != netway_octets(family))
		return;
	out->sa.sa_family = (sa_family_t)family;
	if (family == AF_INET)
		memcpy(&out->in4.sin_addr, RTA_DATA(a), 4);
	else
		memcpy(&out->in6.sin6_addr, RTA_DATA(a), 16);
}

static void netway_read(const struct nlmsghdr *head, struct netway *out)
{
	const struct rtmsg  *route = NLMSG_DATA(head);
	const struct rtattr *a = RTM_RTA(route);
	int                  left = (int)RTM_PAYLOAD(head);

	out->reachable = route->rtm_type == RTN_UNICAST || route->rtm_type == RTN_LOCAL;
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		switch (a->rta_type) {
		case RTA_OIF:
			memcpy(&out->interface, RTA_DATA(a), sizeof out->interface);
			break;
		case RTA_PREFSRC:
			netway_keep(&out->source, route->rtm_family, a);
			break;
		case RTA_GATEWAY:
			netway_keep(&out->gateway, route->rtm_family, a);
			break;
		}
	}
}

/* One datagram from the kernel, from nobody else: 0 octets when there is none, or it is somebody else's. */
static size_t netwatch_receive(int fd, void *room, size_t size)
{
	struct sockaddr_nl from = { 0 };
	socklen_t          from_len = sizeof from;
	ssize_t            n = recvfrom(fd, room, size, 0, (struct sockaddr *)&from, &from_len);

	return n > 0 && from.nl_pid == 0 ? (size_t)n : 0;
}

void netway_find(int fd, const struct addr *to, struct netway *out)
{
	union {
		struct nlmsghdr head;
		uint8_t         octets[ROOM];
	} room;
	uint32_t seq = (uint32_t)clock_mono_us(clock_system());
	size_t   n;

	memset(out, 0, sizeof *out);
	if (!netway_ask(fd, to, seq))
		return;
	do				/* an answer that came too late for the question before is passed over */
		n = netwatch_receive(fd, &room, sizeof room);
	while (NLMSG_OK(&room.head, (uint32_t)n) && room.head.nlmsg_seq != seq);
	if (NLMSG_OK(&room.head, (uint32_t)n) && room.head.nlmsg_type == RTM_NEWROUTE)
		netway_read(&room.head, out);
}

bool netway_equal(const struct netway *a, const struct netway *b)
{
	return a->reachable == b->reachable && a->interface == b->interface &&
	       !memcmp(&a->source, &b->source, sizeof a->source) &&
	       !memcmp(&a->gateway, &b->gateway, sizeof a->gateway);
}

/* ---- news ---- */

static void netwatch_on_settled(uv_timer_t *t)
{
	struct netwatch *w = t->data;

	w->changed(w->arg);
}

static void netwatch_on_news(uv_poll_t *poll, int status, int events)
{
	struct netwatch *w = poll->data;
	uint8_t          room[ROOM];
	bool             any = status < 0;	/* news were lost: there were some */

	(void)events;
	for (unsigned i = 0; i < 64; i++)
		any |= netwatch_receive(w->fd, room, sizeof room) > 0;
	if (status < 0)			/* libuv has stopped to watch */
		uv_poll_start(poll, UV_READABLE, netwatch_on_news);
	/* Not begun anew with each: where interfaces come and go all the time it would never ring. */
	if (any && !uv_is_active((uv_handle_t *)&w->settle))
		uv_timer_start(&w->settle, netwatch_on_settled, SETTLE_MS, 0);
}

static int netwatch_listen(void)
{
	struct sockaddr_nl groups = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR |
		             RTMGRP_IPV6_ROUTE,
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&groups, sizeof groups) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

void netwatch_init(struct netwatch *w, uv_loop_t *loop, void (*changed)(void *arg), void *arg)
{
	w->changed = changed;
	w->arg = arg;
	uv_timer_init(loop, &w->settle);
	w->settle.data = w->poll.data = w;
	w->ask_fd = netway_open();
	w->fd = netwatch_listen();
	if (w->fd < 0 || w->ask_fd < 0) {
		log_notice("changes of the network will not be noticed: %s", strerror(w->fd < 0 ? -w->fd : -w->ask_fd));
		return;
	}
	uv_poll_init(loop, &w->poll, w->fd);
	uv_poll_start(&w->poll, UV_READABLE, netwatch_on_news);
}

static void netwatch_on_closed(uv_handle_t *h)
{
	struct netwatch *w = h->data;

	close(w->fd);
	w->fd = -1;
}

void netwatch_close(struct netwatch *w)
{
	bool watching = w->fd >= 0 && w->ask_fd >= 0;

	uv_close((uv_handle_t *)&w->settle, NULL);
	if (watching)
		uv_close((uv_handle_t *)&w->poll, netwatch_on_closed);
	else if (w->fd >= 0)
		close(w->fd);
	if (w->ask_fd >= 0)
		close(w->ask_fd);
	w->ask_fd = -1;
}
