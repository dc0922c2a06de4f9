/* activation.c - sockets that the service manager opened for us.
 *
 * What a socket is for shows from the socket itself: datagrams and streams of
 * the internet families are for queries, a stream in the file system is for
 * larderctl.  Names only tell people which unit a socket came from.  A datagram
 * and a stream socket of one address make one listening address.
 *
 * They stay as long as the process does: the manager's unit says where to
 * listen, and a reload of ours does not change it.
 */
#include "daemon/activation.h"

#include "base/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

/* The entry of this address, made when there is none; NULL: no room. */
static struct activation_socket *activation_entry(struct activation *a, const struct addr *addr)
{
	struct activation_socket *s = (struct activation_socket *)activation_find(a, addr);

	if (s || a->count == ACTIVATION_MAX)
		return s;
	s = &a->sockets[a->count++];
	s->addr = *addr;
	s->udp = s->tcp = -1;
	addr_format(addr, s->text);
	return s;
}

/* Clients of IPv4 would come by such a socket in IPv6 clothes. */
static void activation_warn_of_both(const struct activation_socket *s)
{
	int       fd = s->udp >= 0 ? s->udp : s->tcp, only = 1;
	socklen_t len = sizeof only;

	if (s->addr.sa.sa_family != AF_INET6 || !addr_is_wildcard(&s->addr) ||
	    getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &len) < 0 || only)
		return;
	log_event(LOG_LEVEL_WARNING, LOG_FIELDS({ "LARDER_ADDRESS", s->text }),
	          "%s: the socket handed over takes IPv4 as well; set BindIPv6Only=ipv6-only in its unit"
	          " and list 0.0.0.0 beside it", s->text);
}

static bool activation_take_inet(struct activation *a, int fd, bool tcp, const char *name)
{
	struct addr               addr = { .in6 = { 0 } };
	socklen_t                 len = sizeof addr;
	struct activation_socket *s = getsockname(fd, &addr.sa, &len) < 0 ? NULL : activation_entry(a, &addr);
	int                      *slot = !s ? NULL : tcp ? &s->tcp : &s->udp;

	if (!slot || *slot >= 0)
		return false;
	*slot = fd;
	log_event(LOG_LEVEL_NOTICE, LOG_FIELDS({ "LARDER_ADDRESS", s->text }, { "LARDER_SOCKET", name }),
	          "%s: using the %s socket handed over as \"%s\"", s->text, tcp ? "TCP" : "UDP", name);
	return true;
}

static bool activation_take_control(struct activation *a, int fd, const char *name)
{
	if (a->control >= 0)
		return false;
	a->control = fd;
	log_event(LOG_LEVEL_NOTICE, LOG_FIELDS({ "LARDER_SOCKET", name }),
	          "control socket: using the one handed over as \"%s\"", name);
	return true;
}

static bool activation_take_one(struct activation *a, int fd, const char *name)
{
	if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) > 0)
		return activation_take_control(a, fd, name);
	if (sd_is_socket_inet(fd, AF_UNSPEC, SOCK_DGRAM, -1, 0) > 0)
		return activation_take_inet(a, fd, false, name);
	if (sd_is_socket_inet(fd, AF_UNSPEC, SOCK_STREAM, 1, 0) > 0)
		return activation_take_inet(a, fd, true, name);
	return false;
}

/* Large answers come over TCP, nearly all questions over UDP: half a listener is a mistake in the unit. */
static void activation_warn_of_half(const struct activation_socket *s)
{
	if (s->udp < 0 || s->tcp < 0)
		log_event(LOG_LEVEL_WARNING, LOG_FIELDS({ "LARDER_ADDRESS", s->text }),
		          "%s: no %s socket was handed over; add %s=%s to its unit", s->text,
		          s->udp < 0 ? "UDP" : "TCP", s->udp < 0 ? "ListenDatagram" : "ListenStream", s->text);
}

void activation_take(struct activation *a)
{
	char **names = NULL;
	int    n = sd_listen_fds_with_names(1, &names);

	a->count = 0;
	a->control = -1;
	if (n < 0)
		log_warning("sockets that were handed over cannot be used: %s; opening our own", strerror(-n));
	for (int i = 0; i < n; i++) {
		const char *name = names && names[i] ? names[i] : "unknown";

		if (activation_take_one(a, SD_LISTEN_FDS_START + i, name))
			continue;
		log_warning("a descriptor handed over as \"%s\" is no listening socket of use here, or one too"
		            " many; closing it", name);
		close(SD_LISTEN_FDS_START + i);
	}
	for (int i = 0; names && i < n; i++)
		free(names[i]);
	free(names);
	for (size_t i = 0; i < a->count; i++) {
		activation_warn_of_half(&a->sockets[i]);
		activation_warn_of_both(&a->sockets[i]);
	}
}

const struct activation_socket *activation_find(const struct activation *a, const struct addr *addr)
{
	for (size_t i = 0; i < a->count; i++)
		if (addr_equal(&a->sockets[i].addr, addr))
			return &a->sockets[i];
	return NULL;
}

void activation_close(struct activation *a)
{
	for (size_t i = 0; i < a->count; i++) {
		if (a->sockets[i].udp >= 0)
			close(a->sockets[i].udp);
		if (a->sockets[i].tcp >= 0)
			close(a->sockets[i].tcp);
	}
	a->count = 0;
	if (a->control >= 0)
		close(a->control);
	a->control = -1;
}
