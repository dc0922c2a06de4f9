/* answer.c - an upstream that is never what one waits for.
 *
 * Answers every A question, over UDP and TCP on one port, with one A record
 * whose address is made from the name: 10.x.y.z, where xyz is the number that
 * the digits of the first label form.  n0001234.bench.example. gives 10.0.4.210.
 * So the load generator can tell whether a cache handed out another name's
 * answer.  A TXT question is told how many other questions came so far, so that
 * the bench can show that hits were hits.  Every other type gets NODATA with an
 * SOA.  An OPT is answered with an OPT.  Nothing is looked up and nothing is
 * kept, so that a miss in the server under test costs what that server makes of it.
 *
 * With --secure ADDRESS:PORT and --certificate FILE the same is offered over TLS and
 * HTTPS there (secure.h).
 *
 * With --delay-ms replies leave that much later, in order of arrival, from a
 * ring; when the ring is full the query is dropped, as a real server would.
 */
#include "net.h"
#include "reply.h"
#include "secure.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
	ANSWER_OCTETS = 512,	/* longest query and reply */
	ANSWER_CONNS = 64,
	ANSWER_FDS = ANSWER_CONNS + 3,
	ANSWER_RING = 1 << 16,
};

static const char usage[] =
	"usage: answer [--ttl SECONDS] [--delay-ms MS] [--certificate FILE --secure ADDRESS:PORT]\n"
	"              ADDRESS:PORT\n";

struct answer_late {
	uint64_t due_ns;
	socklen_t peer_len;
	uint16_t len;
	struct sockaddr_storage peer;
	uint8_t octets[ANSWER_OCTETS];
};

struct answer_conn {
	struct secure_conn *secure;	/* NULL: plain TCP */
	size_t len;
	uint8_t octets[2 + ANSWER_OCTETS];
};

struct answer {
	int udp, listener, secure_listener;
	struct secure *secure;
	struct answer_conn conns[ANSWER_CONNS];
	uint32_t ttl_s;
	uint64_t delay_ns;
	uint64_t asked;			/* questions so far, those for TXT left out */
	struct answer_late *ring;	/* NULL without a delay */
	uint32_t head, tail;		/* ring[tail .. head) waits; they only grow */
};

static uint32_t answer_number(const uint8_t *label)
{
	uint32_t n = 0;

	for (unsigned i = 1; i <= label[0]; i++)
		if (label[i] >= '0' && label[i] <= '9')
			n = n * 10 + (uint32_t)(label[i] - '0');
	return n & 0xffffff;
}

static uint8_t *answer_count(uint8_t *p, uint64_t asked)
{
	char text[24];
	int n = snprintf(text, sizeof text, "%llu", (unsigned long long)asked);

	p = reply_record(reply_u16(p, REPLY_QNAME), TYPE_TXT, 0, (unsigned)n + 1);
	*p++ = (uint8_t)n;
	memcpy(p, text, (size_t)n);
	return p + n;
}

static uint8_t *answer_address(uint8_t *p, uint32_t ttl_s, uint32_t number)
{
	p = reply_record(reply_u16(p, REPLY_QNAME), TYPE_A, ttl_s, 4);
	return reply_u32(p, 10u << 24 | number);
}

/* Turns the query in q, which has ANSWER_OCTETS of room, into its reply;
 * gives the length, 0 for silence. */
static size_t answer_make(struct answer *s, uint8_t *q, size_t len)
{
	size_t end = reply_question_end(q, len);

	if (!end || end > ANSWER_OCTETS - REPLY_ROOM)
		return 0;
	unsigned type = reply_qtype(q, end);
	bool found = type == TYPE_A || type == TYPE_TXT;
	bool opt = reply_has_opt(q, len, end);
	uint8_t *p = q + end;

	s->asked += type != TYPE_TXT;
	if (type == TYPE_A)
		p = answer_address(p, s->ttl_s, answer_number(q + REPLY_HEADER));
	else if (type == TYPE_TXT)
		p = answer_count(p, s->asked);
	else
		p = reply_soa(p, s->ttl_s);
	if (opt)
		p = reply_opt(p);
	reply_header(q, found, !found, opt);
	return (size_t)(p - q);
}

static void answer_keep(struct answer *s, const struct mmsghdr *m, size_t len)
{
	struct answer_late *l = &s->ring[s->head % ANSWER_RING];

	if (s->head - s->tail == ANSWER_RING)
		return;
	l->due_ns = net_now_ns() + s->delay_ns;
	l->len = (uint16_t)len;
	l->peer_len = m->msg_hdr.msg_namelen;
	memcpy(&l->peer, m->msg_hdr.msg_name, l->peer_len);
	memcpy(l->octets, m->msg_hdr.msg_iov->iov_base, len);
	s->head++;
}

static void answer_send_due(struct answer *s)
{
	uint64_t now = net_now_ns();

	for (; s->tail != s->head; s->tail++) {
		struct answer_late *l = &s->ring[s->tail % ANSWER_RING];
		if (l->due_ns > now)
			return;
		sendto(s->udp, l->octets, l->len, MSG_DONTWAIT, (struct sockaddr *)&l->peer,
		       l->peer_len);
	}
}

/* Answers what is there, in batches, until a batch is not full. */
static void answer_udp(struct answer *s)
{
	static uint8_t octets[NET_BATCH][ANSWER_OCTETS];
	static struct sockaddr_storage peers[NET_BATCH];
	struct iovec iov[NET_BATCH];
	struct mmsghdr msgs[NET_BATCH];
	int n, k;

	do {
		memset(msgs, 0, sizeof msgs);
		for (int i = 0; i < NET_BATCH; i++) {
			iov[i] = (struct iovec){ octets[i], ANSWER_OCTETS };
			msgs[i].msg_hdr = (struct msghdr){ .msg_name = &peers[i],
							   .msg_namelen = sizeof peers[i],
							   .msg_iov = &iov[i],
							   .msg_iovlen = 1 };
		}
		n = recvmmsg(s->udp, msgs, NET_BATCH, MSG_DONTWAIT, NULL);
		k = 0;
		for (int i = 0; i < n; i++) {
			size_t len = answer_make(s, octets[i], msgs[i].msg_len);
			if (!len)
				continue;
			if (s->ring) {
				answer_keep(s, &msgs[i], len);
				continue;
			}
			iov[i].iov_len = len;
			msgs[k++] = msgs[i];
		}
		for (int done = 0; done < k;) {
			int sent = sendmmsg(s->udp, msgs + done, (unsigned)(k - done), 0);
			done += sent > 0 ? sent : 1;
		}
	} while (n == NET_BATCH);
}

/* One frame in, one frame out; false when the connection is to be closed. */
static bool answer_tcp(struct answer *s, int fd, struct answer_conn *c)
{
	ssize_t n = read(fd, c->octets + c->len, sizeof c->octets - c->len);

	if (n <= 0)
		return false;
	c->len += (size_t)n;
	while (c->len >= 2) {
		size_t frame = (size_t)c->octets[0] << 8 | c->octets[1];
		uint8_t reply[2 + ANSWER_OCTETS];
		if (frame > ANSWER_OCTETS)
			return false;
		if (c->len < 2 + frame)
			return true;
		memcpy(reply + 2, c->octets + 2, frame);
		size_t len = answer_make(s, reply + 2, frame);
		reply_u16(reply, (unsigned)len);
		if (!len || write(fd, reply, 2 + len) != (ssize_t)(2 + len))
			return false;
		c->len -= 2 + frame;
		memmove(c->octets, c->octets + 2 + frame, c->len);
	}
	return true;
}

static void answer_on_secure(void *arg, unsigned place, uint32_t tag, uint8_t *msg, size_t len)
{
	struct answer *s = arg;
	size_t n = answer_make(s, msg, len);

	if (n)
		secure_answer(s->conns[place].secure, tag, msg, n);
}

static bool answer_stream(struct answer *s, int fd, struct answer_conn *c)
{
	return c->secure ? secure_read(c->secure) : answer_tcp(s, fd, c);
}

static void answer_close(struct answer_conn *c, int fd)
{
	if (c->secure)
		secure_close(c->secure);
	else
		close(fd);
}

static void answer_accept(struct answer *s, struct pollfd *fds, const struct pollfd *listener)
{
	int fd = accept(listener->fd, NULL, NULL);
	unsigned i = 0;

	while (i < ANSWER_CONNS && fds[i].fd >= 0)
		i++;
	if (fd < 0)
		return;
	if (i == ANSWER_CONNS) {
		close(fd);
		return;
	}
	fds[i].fd = fd;
	fds[i].revents = 0;
	s->conns[i].len = 0;
	s->conns[i].secure = listener->fd == s->secure_listener ? secure_open(s->secure, fd, i)
								: NULL;
}

static void answer_wait(const struct answer *s, struct pollfd *fds)
{
	struct timespec t, *timeout = NULL;

	if (s->tail != s->head) {
		uint64_t now = net_now_ns(), due = s->ring[s->tail % ANSWER_RING].due_ns;
		uint64_t left = due > now ? due - now : 0;
		t = (struct timespec){ (time_t)(left / 1000000000u), (long)(left % 1000000000u) };
		timeout = &t;
	}
	if (ppoll(fds, ANSWER_FDS, timeout, NULL) < 0)
		for (int i = 0; i < ANSWER_FDS; i++)
			fds[i].revents = 0;
}

static _Noreturn void answer_run(struct answer *s)
{
	struct pollfd fds[ANSWER_FDS];
	struct pollfd *udp = &fds[ANSWER_CONNS], *listeners = udp + 1;

	for (int i = 0; i < ANSWER_CONNS; i++)
		fds[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
	*udp = (struct pollfd){ .fd = s->udp, .events = POLLIN };
	listeners[0] = (struct pollfd){ .fd = s->listener, .events = POLLIN };
	listeners[1] = (struct pollfd){ .fd = s->secure_listener, .events = POLLIN };
	for (;;) {
		answer_wait(s, fds);
		if (udp->revents)
			answer_udp(s);
		answer_send_due(s);
		for (int i = 0; i < ANSWER_CONNS; i++) {
			if (fds[i].fd < 0 || !fds[i].revents ||
			    answer_stream(s, fds[i].fd, &s->conns[i]))
				continue;
			answer_close(&s->conns[i], fds[i].fd);
			fds[i].fd = -1;
		}
		for (int i = 0; i < 2; i++)
			if (listeners[i].revents)
				answer_accept(s, fds, &listeners[i]);
	}
}

static void answer_listen(struct answer *s, const char *address)
{
	struct net_addr a = net_addr_parse(address);

	s->udp = net_udp_listen(&a);
	s->listener = net_tcp_listen(&a);
}

static void answer_listen_secure(struct answer *s, const char *address, const char *pem)
{
	if (!address || !pem)
		net_usage(usage);
	struct net_addr a = net_addr_parse(address);
	s->secure = secure_new(pem, answer_on_secure, s);
	s->secure_listener = net_tcp_listen(&a);
}

int main(int argc, char **argv)
{
	static struct answer s = { .ttl_s = 86400, .secure_listener = -1 };
	const char *certificate = NULL, *secure = NULL;
	int i = 1;

	for (; i + 1 < argc && !strncmp(argv[i], "--", 2); i += 2) {
		if (!strcmp(argv[i], "--ttl"))
			s.ttl_s = (uint32_t)net_number(argv[i], argv[i + 1], 0, 604800);
		else if (!strcmp(argv[i], "--delay-ms"))
			s.delay_ns = net_number(argv[i], argv[i + 1], 0, 60000) * 1000000;
		else if (!strcmp(argv[i], "--certificate"))
			certificate = argv[i + 1];
		else if (!strcmp(argv[i], "--secure"))
			secure = argv[i + 1];
		else
			net_usage(usage);
	}
	if (i + 1 != argc)
		net_usage(usage);
	signal(SIGPIPE, SIG_IGN);
	answer_listen(&s, argv[i]);
	if (certificate || secure)
		answer_listen_secure(&s, secure, certificate);
	if (s.delay_ns) {
		prctl(PR_SET_TIMERSLACK, 1UL);
		s.ring = calloc(ANSWER_RING, sizeof *s.ring);
		if (!s.ring)
			net_fail("no memory for", "the ring");
	}
	answer_run(&s);
}
