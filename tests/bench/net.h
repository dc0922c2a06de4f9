/* net.h - what the bench programs share: a clock, addresses, sockets, numbers.
 *
 * These programs stand apart from src/ on purpose: what measures larder must
 * not be made faster or slower by a change in larder.  Every function here ends
 * the program with one line on stderr when it fails; a measurement that began
 * wrong is of no use.
 */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define NET_BATCH 64		/* datagrams per system call */

struct net_addr {
	struct sockaddr_storage ss;
	socklen_t len;
};

_Noreturn void net_fail(const char *what, const char *subject);	/* adds errno's text */
_Noreturn void net_usage(const char *text);

uint64_t net_now_ns(void);	/* CLOCK_MONOTONIC */

/* A whole decimal number in [min, max]; option is named in the complaint. */
uint64_t net_number(const char *option, const char *text, uint64_t min, uint64_t max);

/* "127.0.0.1:5300" or "[::1]:5300" */
struct net_addr net_addr_parse(const char *text);

/* Sockets are blocking and carry 4 MiB buffers where the kernel allows. */
int net_udp_listen(const struct net_addr *a);
int net_udp_connect(const struct net_addr *a);
int net_tcp_listen(const struct net_addr *a);
int net_tcp_connect(const struct net_addr *a);	/* -1 when refused */
void net_nonblocking(int fd);

uint64_t net_drops(int fd);	/* datagrams the kernel dropped at this socket */

#endif
