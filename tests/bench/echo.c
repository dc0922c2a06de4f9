/* echo.c - the floor: what the two system calls around an answer cost.
 *
 * Receives up to 64 datagrams at once, sets the QR bit in each, and sends the
 * same octets back.  Nothing else: no loop library, no table, no checks.  The
 * cost per datagram of this program is the unit in which the bench counts, so
 * it must stay as bare as it is.  Two things to bear in mind when comparing:
 * its replies are as long as the queries (a DNS answer is 16 octets longer),
 * and it sleeps in recvmmsg() itself instead of in epoll.
 *
 * With --tcp it is the same floor for TCP on kept connections: poll(), read
 * what is there, set the QR bit in each whole frame, write it back.
 */
#include "net.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	ECHO_OCTETS = 2048,	/* longest datagram */
	ECHO_CONNS = 64,
	ECHO_STREAM = 1 << 16,	/* per connection: one read, and one frame cut in two */
	QR_OFFSET = 2,
};

static const char usage[] = "usage: echo [--tcp] ADDRESS:PORT\n";

static void echo_udp(int fd)
{
	static uint8_t octets[NET_BATCH][ECHO_OCTETS];
	static struct sockaddr_storage peers[NET_BATCH];
	struct iovec iov[NET_BATCH];
	struct mmsghdr msgs[NET_BATCH];

	memset(msgs, 0, sizeof msgs);
	for (int i = 0; i < NET_BATCH; i++) {
		iov[i].iov_base = octets[i];
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
		msgs[i].msg_hdr.msg_name = &peers[i];
	}
	for (int n = NET_BATCH;;) {
		for (int i = 0; i < n; i++) {
			iov[i].iov_len = ECHO_OCTETS;
			msgs[i].msg_hdr.msg_namelen = sizeof peers[i];
		}
		n = recvmmsg(fd, msgs, NET_BATCH, MSG_WAITFORONE, NULL);
		if (n < 0)
			n = 0;		/* EINTR, or an ICMP error left by a client that went away */
		for (int i = 0; i < n; i++) {
			octets[i][QR_OFFSET] |= 0x80;
			iov[i].iov_len = msgs[i].msg_len;
		}
		for (int done = 0; done < n;) {
			int k = sendmmsg(fd, msgs + done, (unsigned)(n - done), 0);
			done += k > 0 ? k : 1;	/* one that cannot go is skipped */
		}
	}
}

struct echo_conn {
	size_t len;		/* octets kept, always less than one frame between reads */
	uint8_t octets[ECHO_STREAM];
};

/* Marks whole frames, gives their length. */
static size_t echo_mark(struct echo_conn *c)
{
	size_t at = 0;

	while (c->len - at >= 2) {
		size_t frame = 2 + ((size_t)c->octets[at] << 8 | c->octets[at + 1]);
		if (c->len - at < frame)
			break;
		if (frame > 2 + QR_OFFSET)
			c->octets[at + 2 + QR_OFFSET] |= 0x80;
		at += frame;
	}
	return at;
}

static bool echo_serve(int fd, struct echo_conn *c)
{
	ssize_t n = read(fd, c->octets + c->len, sizeof c->octets - c->len);

	if (n <= 0)
		return n < 0 && errno == EINTR;
	c->len += (size_t)n;
	size_t whole = echo_mark(c);
	if (whole && write(fd, c->octets, whole) != (ssize_t)whole)
		return false;
	c->len -= whole;
	memmove(c->octets, c->octets + whole, c->len);
	return c->len < sizeof c->octets;
}

static void echo_tcp(int listener)
{
	static struct echo_conn conns[ECHO_CONNS];
	struct pollfd fds[ECHO_CONNS + 1];

	for (int i = 0; i < ECHO_CONNS; i++)
		fds[i].fd = -1, fds[i].events = POLLIN;
	fds[ECHO_CONNS].fd = listener;
	fds[ECHO_CONNS].events = POLLIN;
	for (;;) {
		if (poll(fds, ECHO_CONNS + 1, -1) < 0)
			continue;
		for (int i = 0; i < ECHO_CONNS; i++) {
			if (fds[i].fd < 0 || !fds[i].revents || echo_serve(fds[i].fd, &conns[i]))
				continue;
			close(fds[i].fd);
			fds[i].fd = -1;
		}
		if (!fds[ECHO_CONNS].revents)
			continue;
		int fd = accept(listener, NULL, NULL), i = 0;
		while (i < ECHO_CONNS && fds[i].fd >= 0)
			i++;
		if (fd >= 0 && i < ECHO_CONNS)
			fds[i].fd = fd, fds[i].revents = 0, conns[i].len = 0;
		else if (fd >= 0)
			close(fd);
	}
}

int main(int argc, char **argv)
{
	bool tcp = argc == 3 && !strcmp(argv[1], "--tcp");

	if (argc != 2 && !tcp)
		net_usage(usage);
	struct net_addr a = net_addr_parse(argv[argc - 1]);
	signal(SIGPIPE, SIG_IGN);
	if (tcp)
		echo_tcp(net_tcp_listen(&a));
	else
		echo_udp(net_udp_listen(&a));
}
