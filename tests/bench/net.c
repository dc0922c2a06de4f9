/* net.c - clock, addresses, sockets and numbers for the bench programs.
 *
 * Buffers are asked for with SO_RCVBUFFORCE first: a small receive buffer would
 * turn a burst into losses that say nothing about the server under test.
 */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER_OCTETS = 4 << 20 };

_Noreturn void net_fail(const char *what, const char *subject)
{
	fprintf(stderr, "%s %s: %s\n", what, subject, strerror(errno));
	exit(1);
}

_Noreturn void net_usage(const char *text)
{
	fputs(text, stderr);
	exit(2);
}

uint64_t net_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t net_number(const char *option, const char *text, uint64_t min, uint64_t max)
{
	char *end;

	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || n < min || n > max) {
		fprintf(stderr, "%s %s: a number from %llu to %llu is needed\n", option, text,
			(unsigned long long)min, (unsigned long long)max);
		exit(2);
	}
	return n;
}

static bool net_addr_v6(const char *host, uint16_t port, struct net_addr *a)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->ss;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	a->len = sizeof *in6;
	return inet_pton(AF_INET6, host, &in6->sin6_addr) == 1;
}

static bool net_addr_v4(const char *host, uint16_t port, struct net_addr *a)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&a->ss;

	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	a->len = sizeof *in;
	return inet_pton(AF_INET, host, &in->sin_addr) == 1;
}

struct net_addr net_addr_parse(const char *text)
{
	struct net_addr a = { 0 };
	char host[64] = "";
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : 0;

	if (n == 0 || n >= sizeof host) {
		fprintf(stderr, "%s: an address with a port is needed\n", text);
		exit(2);
	}
	memcpy(host, text, n);
	uint16_t port = (uint16_t)net_number("port", colon + 1, 1, 65535);
	bool fine;
	if (host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		fine = net_addr_v6(host + 1, port, &a);
	} else {
		fine = net_addr_v4(host, port, &a);
	}
	if (!fine) {
		fprintf(stderr, "%s: not an address\n", text);
		exit(2);
	}
	return a;
}

static void net_buffers(int fd)
{
	int octets = BUFFER_OCTETS;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &octets, sizeof octets))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &octets, sizeof octets);
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &octets, sizeof octets))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &octets, sizeof octets);
}

static int net_socket(const struct net_addr *a, int type)
{
	int fd = socket(a->ss.ss_family, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		net_fail("cannot open", "a socket");
	return fd;
}

static void net_bind(int fd, const struct net_addr *a)
{
	if (bind(fd, (const struct sockaddr *)&a->ss, a->len))
		net_fail("cannot bind", "the address");
}

int net_udp_listen(const struct net_addr *a)
{
	int fd = net_socket(a, SOCK_DGRAM);

	net_buffers(fd);
	net_bind(fd, a);
	return fd;
}

int net_udp_connect(const struct net_addr *a)
{
	int fd = net_socket(a, SOCK_DGRAM);

	net_buffers(fd);
	if (connect(fd, (const struct sockaddr *)&a->ss, a->len))
		net_fail("cannot connect", "a UDP socket");
	return fd;
}

int net_tcp_listen(const struct net_addr *a)
{
	int fd = net_socket(a, SOCK_STREAM), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	net_bind(fd, a);
	if (listen(fd, 128))
		net_fail("cannot listen", "for TCP");
	return fd;
}

int net_tcp_connect(const struct net_addr *a)
{
	int fd = net_socket(a, SOCK_STREAM), one = 1;

	if (connect(fd, (const struct sockaddr *)&a->ss, a->len)) {
		close(fd);
		return -1;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

void net_nonblocking(int fd)
{
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK))
		net_fail("cannot set", "O_NONBLOCK");
}

uint64_t net_drops(int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof info;

	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len))
		return 0;
	return info[SK_MEMINFO_DROPS];
}
