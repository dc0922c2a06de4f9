/* upstream.c - upstreams that fail on command.
 *
 * One process is several upstreams: each --listen address is a face, numbered
 * from 0, over UDP and TCP, or over TLS and HTTPS where --certificate was given before.  All know the same zone (zone.h) and answer after
 * the same delay, counted from the query's arrival at the socket; faults.h says
 * what may go wrong with a face, and when.
 *
 * An answer has two A records.  10.x.y.z is made from the name's number, so that
 * another name's answer is noticed.  11.x.y.z is the instant on CLOCK_MONOTONIC,
 * in hundredths of a second modulo 2^24, at which the answer expires for who
 * received it: with it a client sees how stale data is, whatever TTL it is given.
 *
 * Orders come as lines on stdin, each answered with "ok" or "bad" on stdout:
 *   begin NS     the origin of all windows, on CLOCK_MONOTONIC; queries before
 *                it are answered and not counted
 *   fault FACE|all KIND PERCENT VALUE FROM_MS UNTIL_MS
 *   report       one line of JSON instead of "ok"
 * End of file ends the program.
 */
#include "net.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "arrival.h"
#include "due.h"
#include "faults.h"
#include "orders.h"
#include "reply.h"
#include "secure.h"
#include "tally.h"
#include "zone.h"

enum {
	FACES_MAX = 4,
	CONNS_MAX = 64,
	BIN_NS = 100000000,	/* of the time line */
	BINS = 6000,		/* ten minutes */
	TAIL_OCTETS = 128,	/* what follows the question at most */
	EDE_OPTION = 15,
};

static const char usage[] =
	"usage: upstream [OPTION VALUE]... --listen ADDRESS:PORT [--listen ADDRESS:PORT]...\n"
	"  --certificate FILE  streams speak TLS: a PEM file, the key in front\n"
	"  --delay-us N      from query to answer (20000)\n"
	"  --names N         popular names (1500)\n"
	"  --ttl-min S       their TTLs: at least (5)\n"
	"  --ttl-max S       and at most (30)\n"
	"  --countdown yes   TTLs count down as those of a cache\n"
	"  --seed N          of all that happens by chance (1)\n";

struct face {
	int udp, listener;
	struct secure *secure;		/* NULL: plain TCP */
	uint64_t udp_queries, tcp_queries, answered, withheld;
	uint32_t bins[BINS];	/* queries */
};

struct conn {
	int fd;			/* -1: free */
	unsigned face;
	uint32_t serial;
	struct secure_conn *secure;	/* NULL: plain TCP */
	size_t len;
	uint8_t octets[2 + DUE_OCTETS];
};

struct upstream {
	uint64_t delay_ns, origin_ns;	/* origin: UINT64_MAX before "begin" */
	unsigned faces;
	struct face face[FACES_MAX];
	struct conn conn[CONNS_MAX];
	uint32_t serial;
	struct faults faults;
	struct secure *secure;		/* of the faces to come */
	struct zone zone;
	struct due *due;
	uint64_t overrun;		/* queries for which there was no place */
	struct tally late;		/* how long after their time replies left */
	struct orders orders;
};

/* After the origin; long before it when there is none yet. */
static int64_t upstream_at(const struct upstream *u, uint64_t now_ns)
{
	return u->origin_ns == UINT64_MAX ? INT64_MIN / 2 : (int64_t)(now_ns - u->origin_ns);
}

static void face_count(struct face *f, bool udp, int64_t at_ns)
{
	if (at_ns < 0)
		return;
	f->udp_queries += udp;
	f->tcp_queries += !udp;
	if (at_ns / BIN_NS < BINS)
		f->bins[at_ns / BIN_NS]++;
}

static uint8_t *upstream_opt(uint8_t *p, int ede)
{
	p = reply_opt(p);
	if (ede < 0)
		return p;
	reply_u16(p - 2, 6);
	p = reply_u16(p, EDE_OPTION);
	p = reply_u16(p, 2);
	return reply_u16(p, (unsigned)ede);
}

static uint8_t *upstream_addresses(uint8_t *p, uint32_t number, uint32_t ttl_s, uint64_t due_ns)
{
	uint64_t expiry_cs = due_ns / 10000000 + ttl_s * UINT64_C(100);

	p = reply_record(reply_u16(p, REPLY_QNAME), TYPE_A, ttl_s, 4);
	p = reply_u32(p, 10u << 24 | number);
	p = reply_record(reply_u16(p, REPLY_QNAME), TYPE_A, ttl_s, 4);
	return reply_u32(p, 11u << 24 | (uint32_t)(expiry_cs & 0xffffff));
}

/* Makes the query in r->octets its own reply. */
static void upstream_write(struct due_reply *r, size_t end, const struct fault_verdict *v,
			   uint32_t number, uint32_t ttl_s)
{
	uint8_t *q = r->octets, *p = q + end;
	bool a = reply_qtype(q, end) == TYPE_A && !v->servfail;
	bool soa = !a && !v->servfail, opt = reply_has_opt(q, r->len, end);

	if (a)
		p = upstream_addresses(p, number, ttl_s, r->due_ns);
	else if (soa)
		p = reply_soa(p, ttl_s);
	if (opt)
		p = upstream_opt(p, v->ede);
	reply_header(q, a ? 2 : 0, soa, opt);
	q[3] |= v->servfail ? 2 : 0;
	r->len = (uint16_t)(p - q);
}

/* Takes a query whose octets, length, face and sender stand in r, and puts r
 * among the replies unless no answer is to leave. */
static void upstream_take(struct upstream *u, struct due_reply *r, uint64_t now_ns)
{
	struct face *f = &u->face[r->face];
	int64_t at_ns = upstream_at(u, now_ns);
	size_t end = reply_question_end(r->octets, r->len);

	if (!end || end > DUE_OCTETS - TAIL_OCTETS)
		return;
	struct zone_question q = zone_question(&u->zone, r->octets + REPLY_HEADER);
	struct fault_verdict v = faults_judge(&u->faults, r->face, at_ns, u->delay_ns);
	if (faults_silent(&u->faults, r->face, at_ns + (int64_t)v.delay_ns))
		v.silent = true;
	r->due_ns = now_ns + v.delay_ns;
	uint32_t ttl_s = zone_query(&u->zone, &q, now_ns, v.silent ? 0 : r->due_ns, at_ns >= 0);
	face_count(f, r->conn < 0, at_ns);
	f->withheld += v.silent && at_ns >= 0;
	if (v.silent)
		return;
	upstream_write(r, end, &v, q.number, ttl_s);
	due_put(u->due, r);
}

static void upstream_send(struct upstream *u, const struct due_reply *r)
{
	uint8_t frame[2 + DUE_OCTETS];
	const struct conn *c = r->conn < 0 ? NULL : &u->conn[r->conn];

	if (!c) {
		sendto(u->face[r->face].udp, r->octets, r->len, MSG_DONTWAIT,
		       (const struct sockaddr *)&r->peer, r->peer_len);
	} else if (c->fd < 0 || c->serial != r->serial) {
		return;
	} else if (c->secure) {
		secure_answer(c->secure, r->tag, r->octets, r->len);
		secure_flush(c->secure);	/* what fails shows when it is read from */
	} else {
		reply_u16(frame, r->len);
		memcpy(frame + 2, r->octets, r->len);
		send(c->fd, frame, 2u + r->len, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}

static void upstream_send_due(struct upstream *u)
{
	struct due_reply *r;
	uint64_t now;

	while ((r = due_next(u->due)) && r->due_ns <= (now = net_now_ns())) {
		upstream_send(u, r);
		if (upstream_at(u, now) >= 0) {
			tally_latency(&u->late, now - r->due_ns);
			u->face[r->face].answered++;
		}
		due_drop(u->due);
	}
}

/* One datagram; false when there is none. */
static bool upstream_datagram(struct upstream *u, unsigned face)
{
	static struct due_reply spare;
	struct due_reply *r = due_take(u->due);
	_Alignas(size_t) uint8_t control[ARRIVAL_OCTETS];

	if (!r) {
		u->overrun++;
		r = &spare;
	}
	struct iovec iov = { r->octets, DUE_OCTETS };
	struct msghdr m = { .msg_name = &r->peer, .msg_namelen = sizeof r->peer, .msg_iov = &iov,
			    .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof control };
	ssize_t n = recvmsg(u->face[face].udp, &m, MSG_DONTWAIT);
	if (n < 0)
		return false;
	r->face = face;
	r->conn = -1;
	r->len = (uint16_t)n;
	r->peer_len = m.msg_namelen;
	if (r != &spare)
		upstream_take(u, r, arrival_ns(&m, net_now_ns()));
	return true;
}

static void upstream_message(struct upstream *u, const struct conn *c, uint32_t tag, const uint8_t *msg,
			     size_t len)
{
	struct due_reply *r = due_take(u->due);

	if (!r) {
		u->overrun++;
		return;
	}
	memcpy(r->octets, msg, len);
	r->len = (uint16_t)len;
	r->tag = tag;
	r->face = c->face;
	r->conn = (int)(c - u->conn);
	r->serial = c->serial;
	upstream_take(u, r, net_now_ns());
}

static void upstream_on_secure(void *arg, unsigned place, uint32_t tag, uint8_t *msg, size_t len)
{
	struct upstream *u = arg;

	upstream_message(u, &u->conn[place], tag, msg, len);
}

/* What a connection has sent; false when it is to be closed. */
static bool upstream_stream(struct upstream *u, struct conn *c)
{
	if (c->secure)
		return secure_read(c->secure);
	ssize_t n = recv(c->fd, c->octets + c->len, sizeof c->octets - c->len, MSG_DONTWAIT);

	if (n <= 0)
		return false;
	c->len += (size_t)n;
	while (c->len >= 2) {
		size_t frame = (size_t)c->octets[0] << 8 | c->octets[1];
		if (frame > DUE_OCTETS)
			return false;
		if (c->len < 2 + frame)
			return true;
		upstream_message(u, c, 0, c->octets + 2, frame);
		c->len -= 2 + frame;
		memmove(c->octets, c->octets + 2 + frame, c->len);
	}
	return true;
}

static void upstream_accept(struct upstream *u, unsigned face)
{
	const struct face *f = &u->face[face];
	int fd = accept(f->listener, NULL, NULL);
	unsigned i = 0;

	while (i < CONNS_MAX && u->conn[i].fd >= 0)
		i++;
	if (fd >= 0 && i == CONNS_MAX)
		close(fd);
	else if (fd >= 0)
		u->conn[i] = (struct conn){
			.fd = fd, .face = face, .serial = ++u->serial,
			.secure = f->secure ? secure_open(f->secure, fd, i) : NULL,
		};
}

static void upstream_begin(struct upstream *u, uint64_t origin_ns)
{
	u->origin_ns = origin_ns;
	u->overrun = 0;
	u->zone.flights = u->zone.queries_new = u->zone.queries_other = 0;
	for (uint32_t i = 0; i < u->zone.names; i++)
		u->zone.name[i].queries = u->zone.name[i].periods = 0;
	memset(&u->late, 0, sizeof u->late);
	for (unsigned i = 0; i < u->faces; i++) {
		struct face *f = &u->face[i];
		*f = (struct face){ .udp = f->udp, .listener = f->listener, .secure = f->secure };
	}
}

static void report_face(const struct face *f)
{
	unsigned n = BINS;

	while (n && !f->bins[n - 1])
		n--;
	printf("{\"udp\": %llu, \"tcp\": %llu, \"answered\": %llu, \"withheld\": %llu, \"bins\": [",
	       (unsigned long long)f->udp_queries, (unsigned long long)f->tcp_queries,
	       (unsigned long long)f->answered, (unsigned long long)f->withheld);
	for (unsigned i = 0; i < n; i++)
		printf(i ? ",%u" : "%u", f->bins[i]);
	fputs("]}", stdout);
}

static void report_names(const struct zone *z)
{
	fputs("\"names\": [", stdout);
	for (uint32_t i = 0; i < z->names; i++)
		printf("%s[%u,%u,%u]", i ? "," : "", z->name[i].queries, z->name[i].periods,
		       zone_ttl_s(z, i));
	fputs("]", stdout);
}

/* names: queries, periods, TTL of each. */
static void upstream_report(const struct upstream *u)
{
	uint64_t drops = 0;

	fputs("{\"faces\": [", stdout);
	for (unsigned i = 0; i < u->faces; i++) {
		fputs(i ? ", " : "", stdout);
		report_face(&u->face[i]);
		drops += net_drops(u->face[i].udp);
	}
	printf("], \"bin_ms\": %u, \"flights\": %llu, \"new\": %llu, \"other\": %llu, "
	       "\"overrun\": %llu, \"drops\": %llu, ",
	       BIN_NS / 1000000, (unsigned long long)u->zone.flights,
	       (unsigned long long)u->zone.queries_new, (unsigned long long)u->zone.queries_other,
	       (unsigned long long)u->overrun, (unsigned long long)drops);
	printf("\"late_us\": {\"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f}, ",
	       (double)tally_quantile_ns(&u->late, 0.5) * 1e-3,
	       (double)tally_quantile_ns(&u->late, 0.99) * 1e-3,
	       (double)tally_quantile_ns(&u->late, 0.999) * 1e-3, (double)u->late.max_ns * 1e-3);
	report_names(&u->zone);
	puts("}");
}

static void upstream_order(void *arg, const char *line)
{
	struct upstream *u = arg;
	unsigned long long ns;
	char rest;

	if (!strcmp(line, "report"))
		upstream_report(u);
	else if (sscanf(line, "begin %llu %c", &ns, &rest) == 1)
		upstream_begin(u, ns), puts("ok");
	else if (!strncmp(line, "fault ", 6) && faults_add(&u->faults, line + 6))
		puts("ok");
	else
		puts("bad");
}

static void upstream_wait(const struct upstream *u, struct pollfd *fds, nfds_t n)
{
	const struct due_reply *r = due_next(u->due);
	uint64_t now = net_now_ns(), left = r && r->due_ns > now ? r->due_ns - now : 0;
	struct timespec t = { (time_t)(left / 1000000000u), (long)(left % 1000000000u) };

	if (ppoll(fds, n, r ? &t : NULL, NULL) < 0)
		for (nfds_t i = 0; i < n; i++)
			fds[i].revents = 0;
}

/* fds: stdin, then the sockets of each face, then the connections. */
static void upstream_turn(struct upstream *u, struct pollfd *fds)
{
	struct pollfd *face = fds + 1, *conn = face + 2 * u->faces;

	for (unsigned i = 0; i < CONNS_MAX; i++)
		conn[i] = (struct pollfd){ .fd = u->conn[i].fd, .events = POLLIN };
	upstream_wait(u, fds, 1 + 2 * u->faces + CONNS_MAX);
	upstream_send_due(u);
	for (unsigned i = 0; i < u->faces; i++) {
		for (int n = 0; face[2 * i].revents && n < NET_BATCH && upstream_datagram(u, i); n++)
			;
		if (face[2 * i + 1].revents)
			upstream_accept(u, i);
	}
	for (unsigned i = 0; i < CONNS_MAX; i++) {
		if (conn[i].fd < 0 || !conn[i].revents || upstream_stream(u, &u->conn[i]))
			continue;
		if (u->conn[i].secure)
			secure_close(u->conn[i].secure);
		else
			close(conn[i].fd);
		u->conn[i].fd = -1;
	}
	if (fds[0].revents)
		orders_read(&u->orders, upstream_order, u);
}

static _Noreturn void upstream_run(struct upstream *u)
{
	struct pollfd fds[1 + 2 * FACES_MAX + CONNS_MAX];

	for (unsigned i = 0; i < CONNS_MAX; i++)
		u->conn[i].fd = -1;
	fds[0] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
	for (unsigned i = 0; i < u->faces; i++) {
		fds[1 + 2 * i] = (struct pollfd){ .fd = u->face[i].udp, .events = POLLIN };
		fds[2 + 2 * i] = (struct pollfd){ .fd = u->face[i].listener, .events = POLLIN };
	}
	for (;;)
		upstream_turn(u, fds);
}

static void upstream_listen(struct upstream *u, const char *address)
{
	struct net_addr a = net_addr_parse(address);
	struct face *f = &u->face[u->faces++];

	f->udp = net_udp_listen(&a);
	f->listener = net_tcp_listen(&a);
	f->secure = u->secure;
	arrival_enable(f->udp);
}

/* One option; false when there is no such. */
static bool upstream_option(struct upstream *u, const char *name, const char *value)
{
	struct zone *z = &u->zone;

	if (!strcmp(name, "--listen") && u->faces < FACES_MAX)
		upstream_listen(u, value);
	else if (!strcmp(name, "--certificate"))
		u->secure = secure_new(value, upstream_on_secure, u);
	else if (!strcmp(name, "--delay-us"))
		u->delay_ns = net_number(name, value, 0, 60000000) * 1000;
	else if (!strcmp(name, "--names"))
		z->names = (uint32_t)net_number(name, value, 1, ZONE_NAMES_MAX);
	else if (!strcmp(name, "--ttl-min"))
		z->ttl_min_s = (uint32_t)net_number(name, value, 0, 86400);
	else if (!strcmp(name, "--ttl-max"))
		z->ttl_max_s = (uint32_t)net_number(name, value, 0, 86400);
	else if (!strcmp(name, "--countdown"))
		z->countdown = !strcmp(value, "yes");
	else if (!strcmp(name, "--seed"))
		u->faults.random = net_number(name, value, 1, UINT64_MAX) * 0x9e3779b97f4a7c15u | 1;
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	static struct upstream u = { .delay_ns = 20000000, .origin_ns = UINT64_MAX,
				     .faults.random = 0x9e3779b97f4a7c15u,
				     .zone = { .names = 1500, .ttl_min_s = 5, .ttl_max_s = 30 } };
	int i = 1;

	for (; i + 1 < argc && !strncmp(argv[i], "--", 2); i += 2)
		if (!upstream_option(&u, argv[i], argv[i + 1]))
			net_usage(usage);
	if (i != argc || !u.faces || u.zone.ttl_max_s < u.zone.ttl_min_s)
		net_usage(usage);
	prctl(PR_SET_TIMERSLACK, 1UL);
	signal(SIGPIPE, SIG_IGN);
	u.due = due_new();
	upstream_run(&u);
}
