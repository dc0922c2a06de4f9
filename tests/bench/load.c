/* load.c - asks a server many questions and says what came back, and when.
 *
 * The pace is either a window (so many queries wait at once; a reply makes room
 * for the next query) or a rate (queries leave on schedule, whatever comes
 * back).  Latency is taken from just before the system call that sends a query
 * to just after the one that received its reply.  Every reply is checked: ID,
 * question, rcode, ANCOUNT, and that the address is the one answer.c makes from
 * this name.  What did not come back in time is counted as lost, never hidden.
 *
 * This file holds the options, the pace and the report; load_udp.c and
 * load_tcp.c move the octets.
 */
#include "load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static const char usage[] =
	"usage: load [OPTION VALUE]... ADDRESS:PORT\n"
	"  --count N         queries to send (100000)\n"
	"  --names N         names asked for, at random (20000)\n"
	"  --first N         number of the first name (0)\n"
	"  --unique yes      every name once, in order; --count says how many\n"
	"  --letter C        first letter of the names (n)\n"
	"  --suffix NAME     their common rest (bench.example)\n"
	"  --window N        queries waiting at once (64)\n"
	"  --burst N         send when at least N may go (1)\n"
	"  --segment yes     UDP: a batch enters the kernel as one and is cut there\n"
	"  --spin yes        never sleep while waiting\n"
	"  --rate N          queries per second, instead of window's pace (0)\n"
	"  --sockets N       source ports, or connections (8)\n"
	"  --tcp yes         kept TCP connections, the window spread over them\n"
	"  --edns N          add an OPT with this size (0: none)\n"
	"  --echoed yes      the server gives queries back; expect no answer\n"
	"  --timeout-ms N    when a query counts as lost (1000)\n"
	"  --seconds N       end of the run, whatever is left (60)\n"
	"  --seed N          of the random order (1)\n"
	"  --json yes        one JSON object instead of text\n";

/* Our own share of a core, to show that the generator was not the limit. */
static uint64_t load_own_cpu_ns(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return ((uint64_t)u.ru_utime.tv_sec + (uint64_t)u.ru_stime.tv_sec) * 1000000000u +
	       ((uint64_t)u.ru_utime.tv_usec + (uint64_t)u.ru_stime.tv_usec) * 1000u;
}

void load_start(struct load *l)
{
	l->start_ns = l->sweep_ns = net_now_ns();
	l->waiting = 0;
	l->start_cpu_ns = load_own_cpu_ns();
	memset(&l->tally, 0, sizeof l->tally);
}

bool load_ended(const struct load *l, uint64_t now_ns)
{
	return l->tally.sent >= l->count || now_ns - l->start_ns >= l->limit_ns;
}

unsigned load_due(struct load *l, uint64_t now_ns, unsigned max)
{
	uint64_t left = l->count - l->tally.sent, n;

	if (load_ended(l, now_ns))
		return 0;
	unsigned room = l->window - l->waiting;
	if (l->rate) {
		double since_s = (double)(now_ns - l->start_ns) * 1e-9;
		n = (uint64_t)(since_s * (double)l->rate) + 1 - l->tally.sent;
		if (n > room) {
			l->tally.held = n - room > l->tally.held ? n - room : l->tally.held;
			n = room;
		}
	} else {
		n = room >= l->burst || room >= left ? room : 0;
	}
	n = n < left ? n : left;
	return n < max ? (unsigned)n : max;
}

uint64_t load_wake_ns(const struct load *l, uint64_t now_ns)
{
	uint64_t wake = l->sweep_ns + LOAD_SWEEP_NS;

	if (l->rate && !load_ended(l, now_ns)) {
		uint64_t next = l->start_ns + (uint64_t)((double)l->tally.sent / (double)l->rate * 1e9);
		wake = next < wake ? next : wake;
	}
	return wake > now_ns ? wake : now_ns;
}

static uint32_t load_number(struct load *l)
{
	if (l->unique)
		return l->first + (uint32_t)l->tally.sent;
	l->random ^= l->random << 13;	/* xorshift64: never 0 once it is not */
	l->random ^= l->random >> 7;
	l->random ^= l->random << 17;
	return l->first + (uint32_t)((l->random >> 32) * l->names >> 32);
}

bool load_write(struct load *l, struct slots *s, uint8_t *q, uint64_t now_ns)
{
	struct slot *slot = slots_take(s, now_ns);

	if (!slot)
		return false;
	query_write(&l->shape, q, slot->id, load_number(l), slot->label);
	l->waiting++;
	l->tally.sent++;
	return true;
}

void load_reply(struct load *l, struct slots *s, const uint8_t *reply, size_t len, uint64_t now_ns)
{
	struct slot *slot = len >= 2 ? slots_find(s, query_id(reply)) : NULL;

	if (!slot) {
		l->tally.late++;
		return;
	}
	enum query_verdict v = query_check(&l->shape, reply, len, slot->label);
	l->tally.replies[v]++;
	if (v == QUERY_NO_REPLY)
		return;		/* the query goes on waiting */
	tally_latency(&l->tally, now_ns - slot->sent_ns);
	l->tally.took_ns = now_ns - l->start_ns;
	slots_release(s, slot);
	l->waiting--;
}

void load_sweep(struct load *l, struct slots *s, uint64_t now_ns)
{
	unsigned n = s->busy ? slots_expire(s, now_ns - l->timeout_ns) : 0;

	l->tally.lost += n;
	l->waiting -= n;
}

void load_give_up(struct load *l, struct slots *s)
{
	unsigned n = slots_expire(s, UINT64_MAX);

	l->tally.lost += n;
	l->waiting -= n;
}

struct load_figure {
	const char *json, *text;
	double value;
	int digits;
};

static void load_report(const struct load *l, bool json)
{
	const struct tally *t = &l->tally;
	double took_s = (double)t->took_ns * 1e-9, answered = (double)tally_answered(t);
	double own_s = (double)(load_own_cpu_ns() - l->start_cpu_ns) * 1e-9;
	const struct load_figure figures[] = {
		{ "sent", "sent", (double)t->sent, 0 },
		{ "answered", "answered", answered, 0 },
		{ "lost", "lost", (double)t->lost, 0 },
		{ "late", "replies too late or unasked", (double)t->late, 0 },
		{ "held", "queries behind schedule, at most", (double)t->held, 0 },
		{ "refused", "sends that failed", (double)t->refused, 0 },
		{ "dropped", "replies dropped at our sockets", (double)t->dropped, 0 },
		{ "reconnects", "connections opened again", (double)t->reconnects, 0 },
		{ "misfits", "replies to another question", (double)t->replies[QUERY_NO_REPLY], 0 },
		{ "rcodes", "replies with an rcode", (double)t->replies[QUERY_RCODE], 0 },
		{ "empty", "replies without an answer", (double)t->replies[QUERY_EMPTY], 0 },
		{ "wrong", "replies with a wrong address", (double)t->replies[QUERY_WRONG], 0 },
		{ "took_s", "seconds", took_s, 3 },
		{ "qps", "answers per second", took_s > 0 ? answered / took_s : 0, 0 },
		{ "busy", "own share of a core", own_s / took_s, 3 },
		{ "mean_us", "mean, us", answered > 0 ? (double)t->sum_ns / answered * 1e-3 : 0, 1 },
		{ "p50_us", "p50, us", (double)tally_quantile_ns(t, 0.5) * 1e-3, 1 },
		{ "p90_us", "p90, us", (double)tally_quantile_ns(t, 0.9) * 1e-3, 1 },
		{ "p99_us", "p99, us", (double)tally_quantile_ns(t, 0.99) * 1e-3, 1 },
		{ "p999_us", "p99.9, us", (double)tally_quantile_ns(t, 0.999) * 1e-3, 1 },
		{ "max_us", "longest, us", (double)t->max_ns * 1e-3, 1 },
	};
	const size_t n = sizeof figures / sizeof figures[0];

	for (size_t i = 0; i < n; i++) {
		double v = isfinite(figures[i].value) ? figures[i].value : 0;
		if (json)
			printf("%c\"%s\": %.*f", i ? ',' : '{', figures[i].json, figures[i].digits, v);
		else
			printf("%-32s %.*f\n", figures[i].text, figures[i].digits, v);
	}
	if (json)
		puts("}");
}

struct load_options {
	const char *suffix;
	char letter;
	unsigned edns;
	bool tcp, echoed, json;
};

/* One option; false when there is no such. */
static bool load_option(struct load *l, struct load_options *o, const char *name, const char *value)
{
	const struct { const char *name; bool *to; } flags[] = {
		{ "--unique", &l->unique }, { "--segment", &l->segment }, { "--spin", &l->spin },
		{ "--tcp", &o->tcp },
		{ "--echoed", &o->echoed }, { "--json", &o->json },
	};
	const struct { const char *name; unsigned *to; unsigned min, max; } small[] = {
		{ "--names", &l->names, 1, QUERY_NUMBERS },
		{ "--first", &l->first, 0, QUERY_NUMBERS - 1 },
		{ "--window", &l->window, 1, 32768 },
		{ "--burst", &l->burst, 1, 32768 },
		{ "--sockets", &l->sockets, 1, LOAD_SOCKETS_MAX },
		{ "--edns", &o->edns, 0, 65535 },
	};
	const struct { const char *name; uint64_t *to, min, max, unit; } large[] = {
		{ "--count", &l->count, 1, 1000000000, 1 },
		{ "--rate", &l->rate, 0, 10000000, 1 },
		{ "--timeout-ms", &l->timeout_ns, 1, 60000, 1000000 },
		{ "--seconds", &l->limit_ns, 1, 600, 1000000000 },
		{ "--seed", &l->random, 1, UINT64_MAX, 1 },
	};

	for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
		if (!strcmp(name, flags[i].name))
			return *flags[i].to = !strcmp(value, "yes"), true;
	for (size_t i = 0; i < sizeof small / sizeof small[0]; i++)
		if (!strcmp(name, small[i].name))
			return *small[i].to = (unsigned)net_number(name, value, small[i].min, small[i].max),
			       true;
	for (size_t i = 0; i < sizeof large / sizeof large[0]; i++)
		if (!strcmp(name, large[i].name))
			return *large[i].to = large[i].unit *
			       net_number(name, value, large[i].min, large[i].max), true;
	if (!strcmp(name, "--suffix"))
		return o->suffix = value, true;
	if (!strcmp(name, "--letter") && value[0] && !value[1])
		return o->letter = value[0], true;
	return false;
}

int main(int argc, char **argv)
{
	static struct load l = { .names = 20000, .count = 100000, .window = 64, .burst = 1,
				 .sockets = 8, .timeout_ns = 1000000000,
				 .limit_ns = 60000000000, .random = 1 };
	struct load_options o = { .suffix = "bench.example", .letter = 'n' };
	int i = 1;

	for (; i + 1 < argc && !strncmp(argv[i], "--", 2); i += 2)
		if (!load_option(&l, &o, argv[i], argv[i + 1]))
			net_usage(usage);
	uint64_t numbers = l.first + (l.unique ? l.count : l.names);
	if (i + 1 != argc || l.burst > l.window || l.window > l.sockets * SLOTS_MAX)
		net_usage(usage);
	if (numbers > QUERY_NUMBERS) {
		fprintf(stderr, "there are %d names for a letter\n", QUERY_NUMBERS);
		return 2;
	}
	l.server = net_addr_parse(argv[i]);
	l.random = l.random * 0x9e3779b97f4a7c15u | 1;
	query_shape_init(&l.shape, o.letter, o.suffix, o.edns);
	l.shape.echoed = o.echoed;
	prctl(PR_SET_TIMERSLACK, 1UL);	/* a rate is kept to the microsecond */
	if (o.tcp)
		load_tcp_run(&l);
	else
		load_udp_run(&l);
	load_report(&l, o.json);
	return tally_answered(&l.tally) ? 0 : 1;
}
