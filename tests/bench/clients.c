/* clients.c - many clients that ask when they like, and give up.
 *
 * Queries arrive as a Poisson process, for popular names by a Zipf distribution
 * and, for a share of them, for names that nobody asked before.  Nothing that the
 * server does changes when the next query leaves: a server that hangs meets all
 * the queries that came meanwhile.  Each is sent once, with an OPT, and given up
 * after a time.
 *
 * Latency is from just before the system call that sends to the reply's arrival
 * at our socket, as the kernel stamped it (arrival.h): it does not contain the
 * time for which we could not run.  Two figures say how well the machine kept up:
 * how late queries left, and the latency of a control, a bare echo that is asked
 * meanwhile and that runs where the server runs.
 *
 * One line of TSV for each query goes to --out, the summary as JSON to stdout:
 *   at_us	when it was sent, after the origin (negative: warming up)
 *   late_us	how late that was
 *   took_us	until the reply; -1: given up
 *   letter	n: popular, u: new, e: one for the control
 *   number	of the name
 *   rcode	-1 without a reply
 *   good	1: the address of this name; 0: none; -1: another name's
 *   ttl, ede	-1: none
 *   past_ms	how long after its expiry the answer came; "-": it does not say
 */
#include "net.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "arrival.h"
#include "draw.h"
#include "query.h"
#include "seen.h"
#include "slots.h"
#include "tally.h"

enum {
	PORTS_MAX = 64,
	REPLY_OCTETS = 2048,
	RECORDS_MAX = 4000000,
	EDNS_SIZE = 1232,
	SWEEP_NS = 50000000,	/* how often we look for queries to give up */
};

static const char usage[] =
	"usage: clients [OPTION VALUE]... --out FILE ADDRESS:PORT\n"
	"  --suffix NAME        common rest of the names (bench.example)\n"
	"  --names N            popular names (1500)\n"
	"  --zipf-percent N     exponent of their distribution, times 100 (90)\n"
	"  --new-percent N      share of queries for names nobody asked before (0)\n"
	"  --rate N             queries per second, on average (1000)\n"
	"  --start-ns N         first query, on CLOCK_MONOTONIC (now)\n"
	"  --origin-ns N        what times are counted from (the start)\n"
	"  --ms N               how long queries are sent, from the start (60000)\n"
	"  --timeout-ms N       when a client gives up (2500)\n"
	"  --ports N            source ports (16)\n"
	"  --seed N             of all that happens by chance (1)\n"
	"  --control ADDRESS:PORT   an echo that is asked as well\n"
	"  --control-rate N     so many times a second (100)\n";

struct record {
	int64_t at_us;
	uint32_t number;
	int32_t late_us, took_us, ttl_s, past_ms;
	int16_t ede;
	int8_t rcode, good;
	char letter;
};

struct port {
	int fd;
	struct slots slots;
	uint32_t record[SLOTS_MAX];	/* of the query that waits in this slot */
};

struct clients {
	/* set before the run */
	struct net_addr server, control_server;
	struct query_shape popular, fresh, echoed;
	const char *out;
	double rate, control_rate;
	unsigned new_percent, ports;
	uint64_t start_ns, origin_ns, length_ns, timeout_ns;

	/* the run */
	struct draw draw;
	struct record *records;
	uint32_t sent, room;		/* records that are used, and that there are */
	uint32_t fresh_names, control_sent;
	uint64_t next_ns, control_next_ns, sweep_ns;
	unsigned turn;			/* port that sends next */
	uint64_t unasked, refused, held;
	struct tally late;
	struct port port[PORTS_MAX];
	struct port control;
	struct tally control_took;
	uint64_t control_lost;
};

static void port_open(struct port *p, const struct net_addr *to)
{
	p->fd = net_udp_connect(to);
	arrival_enable(p->fd);
	slots_init(&p->slots);
}

/* Sends a query from a slot of the port; false when none is free. */
static bool port_send(struct port *p, const struct query_shape *s, uint32_t number, uint32_t record,
		      uint64_t now_ns, uint64_t *refused)
{
	uint8_t q[QUERY_OCTETS];
	struct slot *slot = slots_take(&p->slots, now_ns);

	if (!slot)
		return false;
	query_write(s, q, slot->id, number, slot->label);
	p->record[slot - p->slots.slot] = record;
	slot->sent_ns = net_now_ns();
	if (send(p->fd, q, s->len, MSG_DONTWAIT) < 0)
		++*refused;	/* it goes on waiting, and is given up in the end */
	return true;
}

static struct record *clients_record(struct clients *c, char letter, uint64_t now_ns,
				     uint64_t planned_ns)
{
	struct record *r = &c->records[c->sent];

	*r = (struct record){ .took_us = -1, .rcode = -1, .ttl_s = -1, .ede = -1,
			      .past_ms = SEEN_NO_AGE, .letter = letter };
	r->at_us = (int64_t)(now_ns - c->origin_ns) / 1000;
	r->late_us = (int32_t)((now_ns - planned_ns) / 1000);
	return r;
}

static void clients_send(struct clients *c, uint64_t now_ns)
{
	bool fresh = draw_share(&c->draw) * 100 < c->new_percent;
	struct record *r = clients_record(c, fresh ? 'u' : 'n', now_ns, c->next_ns);
	struct port *p = &c->port[c->turn++ % c->ports];

	r->number = fresh ? c->fresh_names++ : draw_name(&c->draw);
	tally_latency(&c->late, now_ns - c->next_ns);
	if (!port_send(p, fresh ? &c->fresh : &c->popular, r->number, c->sent, now_ns, &c->refused))
		c->held++;
	c->sent++;
}

static void clients_send_control(struct clients *c, uint64_t now_ns)
{
	struct record *r = clients_record(c, 'e', now_ns, c->control_next_ns);

	r->number = c->control_sent++;
	if (!port_send(&c->control, &c->echoed, r->number, c->sent, now_ns, &c->refused))
		c->control_lost++;
	c->sent++;
}

static bool clients_ended(const struct clients *c)
{
	return c->next_ns >= c->start_ns + c->length_ns || c->sent == c->room;
}

static void clients_send_due(struct clients *c)
{
	uint64_t now;

	while (!clients_ended(c) && c->next_ns <= (now = net_now_ns())) {
		clients_send(c, now);
		c->next_ns += draw_wait_ns(&c->draw, c->rate);
	}
	if (!c->control.fd || clients_ended(c))
		return;
	while (!clients_ended(c) && c->control_next_ns <= (now = net_now_ns())) {
		clients_send_control(c, now);
		c->control_next_ns += draw_wait_ns(&c->draw, c->control_rate);
	}
}

static void clients_note(struct clients *c, struct record *r, const struct seen *seen,
			 uint64_t took_ns)
{
	if (took_ns > c->timeout_ns) {
		c->unasked++;	/* it had been given up; we had not looked yet */
		return;
	}
	r->took_us = (int32_t)(took_ns / 1000);
	r->rcode = (int8_t)seen->rcode;
	r->good = (int8_t)(seen->wrong ? -1 : seen->good);
	r->ttl_s = seen->ttl_s;
	r->ede = (int16_t)seen->ede;
	r->past_ms = seen->past_ms;
}

static void clients_reply(struct clients *c, struct port *p, const uint8_t *reply, size_t len,
			  uint64_t now_ns)
{
	struct slot *slot = len >= 12 ? slots_find(&p->slots, query_id(reply)) : NULL;

	if (!slot) {
		c->unasked++;
		return;
	}
	uint64_t took = now_ns > slot->sent_ns ? now_ns - slot->sent_ns : 0;
	if (p == &c->control) {
		tally_latency(&c->control_took, took);
		c->records[p->record[slot - p->slots.slot]].took_us = (int32_t)(took / 1000);
		slots_release(&p->slots, slot);
		return;
	}
	struct seen seen = seen_read(&c->popular, reply, len, slot->label, now_ns);
	if (!seen.fits) {
		c->unasked++;
		return;
	}
	clients_note(c, &c->records[p->record[slot - p->slots.slot]], &seen, took);
	slots_release(&p->slots, slot);
}

static void clients_collect(struct clients *c, struct port *p)
{
	uint8_t reply[REPLY_OCTETS];
	_Alignas(size_t) uint8_t control[ARRIVAL_OCTETS];

	for (int i = 0; i < NET_BATCH; i++) {
		struct iovec iov = { reply, sizeof reply };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				    .msg_controllen = sizeof control };
		ssize_t n = recvmsg(p->fd, &m, MSG_DONTWAIT);
		if (n < 0)
			return;
		clients_reply(c, p, reply, (size_t)n, arrival_ns(&m, net_now_ns()));
	}
}

static void clients_sweep(struct clients *c, uint64_t now_ns)
{
	uint64_t before = now_ns - c->timeout_ns;

	if (now_ns - c->sweep_ns < SWEEP_NS)
		return;
	c->sweep_ns = now_ns;
	for (unsigned i = 0; i < c->ports; i++)
		if (c->port[i].slots.busy)
			slots_expire(&c->port[i].slots, before);
	if (c->control.fd && c->control.slots.busy)
		c->control_lost += slots_expire(&c->control.slots, before);
}

static unsigned clients_waiting(const struct clients *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->ports; i++)
		n += c->port[i].slots.busy;
	return n;
}

static void clients_sleep(const struct clients *c, struct pollfd *fds)
{
	uint64_t now = net_now_ns(), wake = c->sweep_ns + SWEEP_NS;

	if (!clients_ended(c) && c->next_ns < wake)
		wake = c->next_ns;
	if (!clients_ended(c) && c->control.fd && c->control_next_ns < wake)
		wake = c->control_next_ns;
	uint64_t left = wake > now ? wake - now : 0;
	struct timespec t = { (time_t)(left / 1000000000u), (long)(left % 1000000000u) };
	if (ppoll(fds, c->ports + !!c->control.fd, &t, NULL) < 0)
		for (unsigned i = 0; i <= c->ports; i++)
			fds[i].revents = 0;
}

static void clients_run(struct clients *c)
{
	struct pollfd fds[PORTS_MAX + 1] = { 0 };

	for (unsigned i = 0; i < c->ports; i++)
		fds[i] = (struct pollfd){ .fd = c->port[i].fd, .events = POLLIN };
	fds[c->ports] = (struct pollfd){ .fd = c->control.fd, .events = POLLIN };
	c->next_ns = c->start_ns + draw_wait_ns(&c->draw, c->rate);
	c->control_next_ns = c->start_ns;
	c->sweep_ns = net_now_ns();
	while (!clients_ended(c) || clients_waiting(c)) {
		clients_send_due(c);
		clients_sleep(c, fds);
		for (unsigned i = 0; i < c->ports; i++)
			if (fds[i].revents)
				clients_collect(c, &c->port[i]);
		if (c->control.fd && fds[c->ports].revents)
			clients_collect(c, &c->control);
		clients_sweep(c, net_now_ns());
	}
}

static void clients_write(const struct clients *c)
{
	FILE *f = fopen(c->out, "w");

	if (!f)
		net_fail("cannot write", c->out);
	for (uint32_t i = 0; i < c->sent; i++) {
		const struct record *r = &c->records[i];
		fprintf(f, "%" PRId64 "\t%d\t%d\t%c\t%u\t%d\t%d\t%d\t%d\t", r->at_us, r->late_us,
			r->took_us, r->letter, r->number, r->rcode, r->good, r->ttl_s, r->ede);
		if (r->past_ms == SEEN_NO_AGE)
			fputs("-\n", f);
		else
			fprintf(f, "%d\n", r->past_ms);
	}
	if (fclose(f))
		net_fail("cannot write", c->out);
}

static void clients_tally(const char *name, const struct tally *t)
{
	printf("\"%s\": {\"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f}", name,
	       (double)tally_quantile_ns(t, 0.5) * 1e-3, (double)tally_quantile_ns(t, 0.99) * 1e-3,
	       (double)tally_quantile_ns(t, 0.999) * 1e-3, (double)t->max_ns * 1e-3);
}

static void clients_report(const struct clients *c)
{
	uint64_t drops = 0;

	for (unsigned i = 0; i < c->ports; i++)
		drops += net_drops(c->port[i].fd);
	printf("{\"sent\": %u, \"unasked\": %" PRIu64 ", \"refused\": %" PRIu64
	       ", \"held\": %" PRIu64 ", \"drops\": %" PRIu64 ", ",
	       c->sent - c->control_sent, c->unasked, c->refused, c->held, drops);
	printf("\"control_sent\": %u, \"control_lost\": %" PRIu64 ", ", c->control_sent,
	       c->control_lost);
	clients_tally("late_us", &c->late);
	fputs(", ", stdout);
	clients_tally("control_us", &c->control_took);
	puts("}");
}

struct clients_options {
	const char *suffix, *control;
	uint64_t names, zipf_percent, rate, control_rate, new_percent, ports, seed, length_ms,
		 timeout_ms;
};

/* One option; false when there is no such. */
static bool clients_option(struct clients *c, struct clients_options *o, const char *name,
			   const char *value)
{
	const struct { const char *name; uint64_t *to, min, max; } numbers[] = {
		{ "--names", &o->names, 1, QUERY_NUMBERS },
		{ "--zipf-percent", &o->zipf_percent, 0, 300 },
		{ "--new-percent", &o->new_percent, 0, 100 },
		{ "--rate", &o->rate, 1, 100000 },
		{ "--start-ns", &c->start_ns, 1, UINT64_MAX / 2 },
		{ "--origin-ns", &c->origin_ns, 1, UINT64_MAX / 2 },
		{ "--ms", &o->length_ms, 1, 600000 },
		{ "--timeout-ms", &o->timeout_ms, 1, 60000 },
		{ "--ports", &o->ports, 1, PORTS_MAX },
		{ "--seed", &o->seed, 1, UINT64_MAX },
		{ "--control-rate", &o->control_rate, 1, 10000 },
	};

	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		if (!strcmp(name, numbers[i].name))
			return *numbers[i].to = net_number(name, value, numbers[i].min,
							   numbers[i].max), true;
	if (!strcmp(name, "--suffix"))
		return o->suffix = value, true;
	if (!strcmp(name, "--control"))
		return o->control = value, true;
	if (!strcmp(name, "--out"))
		return c->out = value, true;
	return false;
}

static void clients_init(struct clients *c, const struct clients_options *o)
{
	c->rate = (double)o->rate;
	c->control_rate = (double)o->control_rate;
	c->new_percent = (unsigned)o->new_percent;
	c->ports = (unsigned)o->ports;
	c->length_ns = o->length_ms * 1000000;
	c->timeout_ns = o->timeout_ms * 1000000;
	c->start_ns = c->start_ns ? c->start_ns : net_now_ns();
	c->origin_ns = c->origin_ns ? c->origin_ns : c->start_ns;
	c->room = (uint32_t)((c->rate + c->control_rate) * (double)o->length_ms * 1.2e-3) + 1000;
	c->records = c->room <= RECORDS_MAX ? calloc(c->room, sizeof *c->records) : NULL;
	if (!c->records)
		net_fail("no memory for", "that many queries");
	draw_init(&c->draw, o->seed, (uint32_t)o->names, (double)o->zipf_percent / 100);
	query_shape_init(&c->popular, 'n', o->suffix, EDNS_SIZE);
	query_shape_init(&c->fresh, 'u', o->suffix, EDNS_SIZE);
	query_shape_init(&c->echoed, 'e', o->suffix, EDNS_SIZE);
	for (unsigned i = 0; i < c->ports; i++)
		port_open(&c->port[i], &c->server);
	if (!o->control)
		return;
	c->control_server = net_addr_parse(o->control);
	port_open(&c->control, &c->control_server);
}

int main(int argc, char **argv)
{
	static struct clients c;
	struct clients_options o = { .suffix = "bench.example", .names = 1500, .zipf_percent = 90,
				     .rate = 1000, .control_rate = 100, .ports = 16, .seed = 1,
				     .length_ms = 60000, .timeout_ms = 2500 };
	int i = 1;

	for (; i + 1 < argc && !strncmp(argv[i], "--", 2); i += 2)
		if (!clients_option(&c, &o, argv[i], argv[i + 1]))
			net_usage(usage);
	if (i + 1 != argc || !c.out)
		net_usage(usage);
	c.server = net_addr_parse(argv[i]);
	prctl(PR_SET_TIMERSLACK, 1UL);
	clients_init(&c, &o);
	clients_run(&c);
	clients_write(&c);
	clients_report(&c);
	return 0;
}
