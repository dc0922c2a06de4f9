/* relay.c - a long way between a server and its upstreams, over TCP.
 *
 * Each --path LISTEN TO is one, numbered from 0.  Octets leave --delay-us after
 * they came, either way.  The kernel opens connections without that delay, so
 * the first octets of one wait as long as its opening would have taken on such a
 * way: there and back.
 *
 * Orders come as lines on stdin, each answered on stdout, as upstream.c has them:
 * begin NS, fault PATH|all KIND PERCENT VALUE FROM_MS UNTIL_MS, report.  A fault
 * befalls the connection, whenever an upstream sends something:
 *   reset   both ends are told at once that it is gone
 *   silent  nobody is told, and nothing passes any more; in the window nothing
 *           passes on new ones either
 * End of file ends the program.
 */
#include "net.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "faults.h"
#include "orders.h"
#include "tally.h"

enum {
	PATHS_MAX = 4,
	CONNS_MAX = 64,
	CHUNK_OCTETS = 16384,
	NEAR = 0, FAR = 1,	/* the server under test, the upstream */
	RETRY_NS = 1000000,	/* when a socket takes nothing */
};

static const char usage[] =
	"usage: relay [--delay-us N] --path ADDRESS:PORT ADDRESS:PORT [--path ...]...\n"
	"  --delay-us N      each way (10000)\n";

struct chunk {
	struct chunk *next;
	uint64_t due_ns;
	size_t len;		/* 0: the end */
	uint8_t octets[];
};

struct side {
	int fd;
	struct chunk *first, **last;	/* what is to be written to it */
};

struct conn {
	struct side side[2];
	unsigned path;
	bool used, lost;
	unsigned ended;		/* how many sides have said so */
	uint64_t opened_ns;
};

struct path {
	int listener;
	struct net_addr to;
};

struct relay {
	uint64_t delay_ns, origin_ns;	/* origin: UINT64_MAX before "begin" */
	unsigned paths;
	struct path path[PATHS_MAX];
	struct conn conn[CONNS_MAX];
	struct faults faults;
	struct orders orders;
	struct tally late;
	uint64_t opened, broken;
};

static int64_t relay_at(const struct relay *r, uint64_t now_ns)
{
	return r->origin_ns == UINT64_MAX ? INT64_MIN / 2 : (int64_t)(now_ns - r->origin_ns);
}

/* ---- a connection ---- */

static void side_drop(struct side *s)
{
	struct chunk *c = s->first;

	s->first = c->next;
	if (!s->first)
		s->last = &s->first;
	free(c);
}

static void conn_close(struct conn *c, bool reset)
{
	struct linger none = { .l_onoff = reset };

	for (int i = 0; i < 2; i++) {
		while (c->side[i].first)
			side_drop(&c->side[i]);
		setsockopt(c->side[i].fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
		close(c->side[i].fd);
	}
	c->used = false;
}

static void relay_open(struct relay *r, unsigned path)
{
	int near = accept(r->path[path].listener, NULL, NULL), i = 0;
	int far = near < 0 ? -1 : net_tcp_connect(&r->path[path].to);

	while (i < CONNS_MAX && r->conn[i].used)
		i++;
	if (far < 0 || i == CONNS_MAX) {
		close(near);
		close(far);
		return;
	}
	struct conn *c = &r->conn[i];
	*c = (struct conn){ .used = true, .path = path, .opened_ns = net_now_ns() };
	c->side[NEAR].fd = near;
	c->side[FAR].fd = far;
	for (int k = 0; k < 2; k++)
		c->side[k].last = &c->side[k].first;
	setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	r->opened += relay_at(r, c->opened_ns) >= 0;
}

/* What befalls the connection on account of octets from the upstream; false: it is gone. */
static bool relay_pass(struct relay *r, struct conn *c, uint64_t now_ns)
{
	struct fault_verdict v = faults_judge(&r->faults, c->path, relay_at(r, now_ns), 0);

	r->broken += v.reset || (v.silent && !c->lost);
	c->lost |= v.silent;
	if (v.reset)
		conn_close(c, true);
	return !v.reset;
}

/* Takes what one side has sent; false when there is nothing more for now. */
static bool relay_read(struct relay *r, struct conn *c, int from)
{
	struct side *to = &c->side[!from];
	struct chunk *k = malloc(sizeof *k + CHUNK_OCTETS);

	if (!k)
		net_fail("no memory for", "what is under way");
	ssize_t n = recv(c->side[from].fd, k->octets, CHUNK_OCTETS, MSG_DONTWAIT);
	uint64_t now_ns = net_now_ns(), first_ns = c->opened_ns + 2 * r->delay_ns;
	if (c->lost && n <= 0) {
		free(k);
		conn_close(c, true);
		return false;
	}
	if ((n > 0 && from == FAR && !relay_pass(r, c, now_ns)) || c->lost) {
		free(k);
		return false;
	}
	k->len = n > 0 ? (size_t)n : 0;
	k->due_ns = (from == NEAR && now_ns < first_ns ? first_ns : now_ns) + r->delay_ns;
	k->next = NULL;
	*to->last = k;
	to->last = &k->next;
	c->ended |= n > 0 ? 0 : 1u << from;
	return n > 0;
}

/* Writes what is due to one side; false when the connection has closed. */
static bool relay_write(struct relay *r, struct conn *c, struct side *s)
{
	struct chunk *k;
	uint64_t now_ns;

	while ((k = s->first) && k->due_ns <= (now_ns = net_now_ns())) {
		ssize_t n = c->lost ? (ssize_t)k->len
				    : send(s->fd, k->octets, k->len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (!k->len && !c->lost)
			shutdown(s->fd, SHUT_WR);
		if (n < 0) {
			k->due_ns = now_ns + RETRY_NS;
			return true;
		}
		if (relay_at(r, now_ns) >= 0)
			tally_latency(&r->late, now_ns - k->due_ns);
		if ((size_t)n < k->len) {
			memmove(k->octets, k->octets + n, k->len - (size_t)n);
			k->len -= (size_t)n;
			k->due_ns = now_ns + RETRY_NS;
			return true;
		}
		side_drop(s);
	}
	if (c->ended == 3 && !c->side[NEAR].first && !c->side[FAR].first)
		conn_close(c, false);
	return c->used;
}

/* ---- orders ---- */

static void relay_order(void *arg, const char *line)
{
	struct relay *r = arg;
	unsigned long long ns;
	char rest;

	if (!strcmp(line, "report"))
		printf("{\"opened\": %llu, \"broken\": %llu, \"late_us\": {\"p50\": %.1f, "
		       "\"p999\": %.1f, \"max\": %.1f}}\n",
		       (unsigned long long)r->opened, (unsigned long long)r->broken,
		       (double)tally_quantile_ns(&r->late, 0.5) * 1e-3,
		       (double)tally_quantile_ns(&r->late, 0.999) * 1e-3,
		       (double)r->late.max_ns * 1e-3);
	else if (sscanf(line, "begin %llu %c", &ns, &rest) == 1)
		r->origin_ns = ns, puts("ok");
	else if (!strncmp(line, "fault ", 6) && faults_add(&r->faults, line + 6))
		puts("ok");
	else
		puts("bad");
}

/* ---- the loop ---- */

static uint64_t relay_due_ns(const struct relay *r)
{
	uint64_t due_ns = UINT64_MAX;

	for (unsigned i = 0; i < 2 * CONNS_MAX; i++) {
		const struct conn *c = &r->conn[i / 2];
		const struct chunk *k = c->used ? c->side[i % 2].first : NULL;
		if (k && k->due_ns < due_ns)
			due_ns = k->due_ns;
	}
	return due_ns;
}

static void relay_wait(const struct relay *r, struct pollfd *fds, nfds_t n)
{
	uint64_t due_ns = relay_due_ns(r), now_ns = net_now_ns();
	uint64_t left = due_ns > now_ns ? due_ns - now_ns : 0;
	struct timespec t = { (time_t)(left / 1000000000u), (long)(left % 1000000000u) };

	if (ppoll(fds, n, due_ns == UINT64_MAX ? NULL : &t, NULL) < 0)
		for (nfds_t i = 0; i < n; i++)
			fds[i].revents = 0;
}

static void relay_serve(struct relay *r, struct conn *c, const struct pollfd *fds)
{
	for (int i = 0; i < 2 && c->used; i++)
		relay_write(r, c, &c->side[i]);
	for (int i = 0; i < 2 && c->used; i++)
		if (fds[i].revents)
			relay_read(r, c, i);
}

/* fds: stdin, the listeners, then both ends of each connection. */
static void relay_turn(struct relay *r, struct pollfd *fds)
{
	struct pollfd *conn = fds + 1 + r->paths;

	for (unsigned i = 0; i < 2 * CONNS_MAX; i++) {
		const struct conn *c = &r->conn[i / 2];
		bool reads = c->used && !(c->ended >> (i % 2) & 1);
		conn[i] = (struct pollfd){ .fd = reads ? c->side[i % 2].fd : -1, .events = POLLIN };
	}
	relay_wait(r, fds, 1 + r->paths + 2 * CONNS_MAX);
	for (unsigned i = 0; i < CONNS_MAX; i++)
		if (r->conn[i].used)
			relay_serve(r, &r->conn[i], conn + 2 * i);
	for (unsigned i = 0; i < r->paths; i++)
		if (fds[1 + i].revents)
			relay_open(r, i);
	if (fds[0].revents)
		orders_read(&r->orders, relay_order, r);
}

static _Noreturn void relay_run(struct relay *r)
{
	static struct pollfd fds[1 + PATHS_MAX + 2 * CONNS_MAX];

	fds[0] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
	for (unsigned i = 0; i < r->paths; i++)
		fds[1 + i] = (struct pollfd){ .fd = r->path[i].listener, .events = POLLIN };
	for (;;)
		relay_turn(r, fds);
}

static void relay_path(struct relay *r, const char *at, const char *to)
{
	struct net_addr a = net_addr_parse(at);

	if (r->paths == PATHS_MAX)
		net_usage(usage);
	r->path[r->paths].to = net_addr_parse(to);
	r->path[r->paths++].listener = net_tcp_listen(&a);
}

int main(int argc, char **argv)
{
	static struct relay r = { .delay_ns = 10000000, .origin_ns = UINT64_MAX,
				  .faults.random = 0x9e3779b97f4a7c15u };
	int i = 1;

	while (i + 1 < argc) {
		if (!strcmp(argv[i], "--delay-us")) {
			r.delay_ns = net_number(argv[i], argv[i + 1], 0, 60000000) * 1000;
			i += 2;
		} else if (!strcmp(argv[i], "--path") && i + 2 < argc) {
			relay_path(&r, argv[i + 1], argv[i + 2]);
			i += 3;
		} else {
			net_usage(usage);
		}
	}
	if (i != argc || !r.paths)
		net_usage(usage);
	prctl(PR_SET_TIMERSLACK, 1UL);
	signal(SIGPIPE, SIG_IGN);
	relay_run(&r);
}
