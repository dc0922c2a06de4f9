/* test_flight.c - everything at once: clients that ask, upstreams that do anything, time that passes.
 *
 * Clients ask for a few names again and again, alone and in batches, by UDP and
 * TCP; upstreams answer, deny, fail, cut, forge, point elsewhere, go away or say
 * nothing; configurations change and memory runs out.  Whatever happens, a
 * query gets exactly one reply, in time, in its own ID and letter case and
 * within its size; no question costs more sends than it may, and nothing is
 * left at the end.  What is right in each single case is told by
 * tests/scenario.
 */
#include "unit.h"

#include "alloc_fail.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/timer.h"
#include "cache/cache.h"
#include "draft.h"
#include "oracle.h"
#include "resolve/flight.h"
#include "resolve/resolver.h"
#include "upstream/prober.h"

#include <errno.h>

#define QUERIES_MAX  4000
#define UPSTREAMS    3
#define NAMES        8
#define VARIANTS_MAX 4		/* sends open at once for one name and type */
#define TIMEOUT_MS   4000

/* A query of a client. */
struct query {
	uint16_t id;
	bool     stream, replied, gone;
	uint64_t asked_us;
	size_t   limit, question_len;
	uint8_t  question[DNS_NAME_MAX + 4];
	struct reply_path *path;	/* while it waits */
};

/* A send that lives. */
struct sent {
	size_t  len;
	uint8_t octets[600];
};

struct world {
	struct clock           clock;		/* first: the clock is the world */
	uint64_t               boot_ms, mono_us;
	struct dice           *d;
	struct rng             rng;
	struct stats           stats;
	struct transport_maker maker;
	struct timers          timers;
	struct cache          *cache;
	struct resolver       *resolver;
	struct resolver_env    env;

	unsigned               made, closed, alive;
	struct list            sends;		/* transport_send.node */
	struct query           queries[QUERIES_MAX];
	unsigned               query_count;
	struct query          *asking;		/* whose message is being handled */
	uint64_t               replied_later, replied_now, silent;
	unsigned               released, setups;
	bool                   calm;		/* upstreams answer, and nothing else happens */
};

static struct world *w;
static struct draft  draft;

/* ---- transports ---- */

struct far_end {
	struct transport    transport;
	enum transport_kind kind;
};

static uint64_t world_boot_ms(const struct clock *c)
{
	return ((const struct world *)(const void *)c)->boot_ms;
}

static uint64_t world_mono_us(const struct clock *c)
{
	return ((const struct world *)(const void *)c)->mono_us;
}

static void world_random(void *arg, uint8_t *octets, size_t len)
{
	(void)arg;
	dice_octets(w->d, octets, len);
}

/* Open sends that ask for the same name and type, whatever their DO and CD. */
static unsigned count_variants(const struct sent *like)
{
	unsigned n = 0;

	for (const struct list *l = w->sends.next; l != &w->sends; l = l->next) {
		const struct sent *s = list_entry(l, struct transport_send, node)->place;
		size_t             at = DNS_HEADER_LEN;

		while (like->octets[at] && dns_fold[like->octets[at]] == dns_fold[s->octets[at]])
			at++;
		n += !like->octets[at] && !memcmp(like->octets + at, s->octets + at, 5);
	}
	return n;
}

static bool is_in_route(const struct sent *s)
{
	static const uint8_t route[] = "\5route";
	const uint8_t       *name = s->octets + DNS_HEADER_LEN;

	return dns_name_below(name, dns_name_len(name), route, sizeof route);
}

static int far_end_send(struct transport *t, struct transport_send *s, uint8_t *msg, size_t len)
{
	static const int errors[] = { -EMFILE, -ENETUNREACH, -ECONNREFUSED, -ENOBUFS };
	struct sent     *sent;

	if (!w->calm && dice_one_in(w->d, 40))
		return errors[dice_below(w->d, COUNT_OF(errors))];
	sent = malloc(sizeof *sent);
	if (!sent)
		return -ENOMEM;
	holds(w->d, len <= sizeof sent->octets);
	s->id = (uint16_t)dice_u64(w->d);
	msg[0] = (uint8_t)(s->id >> 8);
	msg[1] = (uint8_t)s->id;
	memcpy(sent->octets, msg, len);
	sent->len = len;
	s->transport = t;
	s->place = sent;
	list_append(&w->sends, &s->node);
	w->alive++;
	if (!is_in_route(sent))		/* which may have become another route's meanwhile */
		holds(w->d, count_variants(sent) <= VARIANTS_MAX);	/* MATCH-15 */
	return 0;
}

static void far_end_end(struct transport *t, struct transport_send *s)
{
	holds(w->d, s->transport == t);
	list_remove(&s->node);
	free(s->place);
	s->transport = NULL;
	w->alive--;
}

static void far_end_idle_hint(struct transport *t, struct transport_send *s, uint32_t idle_ms)
{
	(void)idle_ms;
	holds(w->d, s->transport == t);
}

static void far_end_renew(struct transport *t)
{
	(void)t;
}

static void far_end_close(struct transport *t)
{
	for (const struct list *l = w->sends.next; l != &w->sends; l = l->next)
		holds(w->d, list_entry(l, struct transport_send, node)->transport != t);
	w->closed++;
	free(t);
}

static void far_end_aim(struct transport *t, const struct addr_list *to)
{
	(void)t;
	holds(w->d, to->count > 0);
}

static struct transport *far_end_make(const struct transport_maker *m, enum transport_kind kind,
                                      const struct addr *to, const struct transport_conf *conf)
{
	static const struct transport_ops ops = { far_end_send, far_end_end, far_end_idle_hint, far_end_renew, far_end_close,
		                                    far_end_aim };
	struct far_end                   *e = malloc(sizeof *e);

	(void)m;
	(void)to;
	(void)conf;
	if (!e)
		return NULL;
	e->transport.ops = &ops;
	e->kind = kind;
	w->made++;
	return &e->transport;
}

/* ---- clients ---- */

/* Reading is the test's own: it never wants for memory. */
static bool read_message(struct oracle *o, const uint8_t *octets, size_t len)
{
	bool good;

	alloc_fail_pause(true);
	good = oracle_read(o, octets, len);
	alloc_fail_pause(false);
	return good;
}

static void check_reply(const struct query *q, const uint8_t *msg, size_t len)
{
	struct oracle o;

	holds(w->d, !q->replied && !q->gone);
	holds(w->d, len <= q->limit);
	holds(w->d, read_message(&o, msg, len));
	holds(w->d, o.end == len);
	holds(w->d, o.id == q->id);
	holds(w->d, (o.flags & (DNS_QR | DNS_RA)) == (DNS_QR | DNS_RA));
	holds(w->d, !memcmp(msg + DNS_HEADER_LEN, q->question, q->question_len));
	if (o.flags & DNS_TC && o.counts[1] + o.counts[2]) {	/* SIZE-13: whole but for an extended error */
		const struct oracle_record *opt = oracle_find(&o, 3, DNS_OPT);

		holds(w->d, opt && opt->rdata_len == 0 && len + 6 > q->limit - 2 - DNS_EDE_TEXT_MAX);
	}
	holds(w->d, w->mono_us - q->asked_us <= TIMEOUT_MS * 1000 + 1000);
	oracle_done(&o);
}

void reply_path_keep(struct reply_path *p, const struct net_message *m)
{
	p->owner = w->asking;
	p->peer = *m->from;
	p->proto = m->proto;
	p->ops = (const struct reply_path_ops *)(uintptr_t)1;	/* the client is there */
	w->asking->path = p;
}

void reply_path_send(struct reply_path *p, const uint8_t *msg, size_t len)
{
	struct query *q = p->owner;

	if (!p->ops)			/* it has gone */
		return;
	check_reply(q, msg, len);
	q->replied = true;
	q->path = NULL;
	p->ops = NULL;
	w->replied_later++;
}

void reply_path_drop(struct reply_path *p)
{
	if (p->ops)
		((struct query *)p->owner)->path = NULL;
	p->ops = NULL;
}

/* Ordinary names, one that leads into another route, one that leads back, and one there. */
static const char *const names[NAMES] = {
	"a.example.", "b.example.", "c.example.", "d.example.", "alias.example.", "back.route.", "e.route.", "route.",
};

static const char *random_name(void)
{
	return names[dice_below(w->d, NAMES)];
}

static struct net_message make_query(struct query *q, const struct addr *from, struct draft *out)
{
	static const uint16_t types[] = { DNS_A, DNS_A, DNS_A, DNS_TXT, 65280 };
	uint16_t              flags = dice_one_in(w->d, 5) ? DNS_RD | DNS_CD : DNS_RD;

	memset(q, 0, sizeof *q);
	q->id = dice_one_in(w->d, 3) ? 7 : (uint16_t)dice_u64(w->d);	/* repeats happen */
	q->stream = dice_one_in(w->d, 4);
	q->asked_us = w->mono_us;
	draft_begin(out, q->id, flags);
	draft_question(out, random_name(), types[dice_below(w->d, COUNT_OF(types))], DNS_IN);
	q->question_len = out->len - DNS_HEADER_LEN;
	for (size_t i = DNS_HEADER_LEN; i < out->len - 4; i++)
		if (out->octets[i] >= 'a' && out->octets[i] <= 'z' && dice_one_in(w->d, 4))
			out->octets[i] -= 32;
	memcpy(q->question, out->octets + DNS_HEADER_LEN, q->question_len);
	q->limit = q->stream ? DNS_MESSAGE_MAX : 512;
	if (dice_one_in(w->d, 2)) {
		uint16_t size = (uint16_t)dice_magnitude(w->d, 13);

		draft_opt(out, size, dice_one_in(w->d, 2) ? 0x8000 : 0, NULL, 0);
		q->limit = q->stream ? DNS_MESSAGE_MAX : size < 512 ? 512 : size < 1232 ? size : 1232;
	}
	return (struct net_message){ .octets = out->octets, .len = out->len, .from = from,
	                             .proto = q->stream ? NET_TCP : NET_UDP, .boot_ms = w->boot_ms,
	                             .mono_us = w->mono_us, .index = NET_ALONE };
}

static void hand_over(struct query *q, const struct net_message *m)
{
	static uint8_t   room[DNS_MESSAGE_MAX + 1];
	struct net_reply reply = { .octets = room, .size = q->stream ? 65535 : 4096 };

	w->asking = q;
	switch (resolver_on_message(w->resolver, m, &reply)) {
	case NET_REPLY:
		check_reply(q, room, reply.len);
		holds(w->d, !q->path);
		q->replied = true;
		w->replied_now++;
		break;
	case NET_LATER:
		holds(w->d, q->path || q->replied);
		break;
	case NET_SILENCE:		/* an exact repeat: the first one's reply serves both (HDR-19) */
		holds(w->d, !q->stream && !q->path);
		q->replied = true;
		w->silent++;
		break;
	case NET_CLOSE:
		fail_msg("closed");
	}
}

static void clients_ask(void)
{
	static struct draft drafts[8];
	struct net_message  m[8];
	struct addr         from;
	char                text[32];
	unsigned            first = w->query_count, n = dice_one_in(w->d, 4) ? 1 + (unsigned)dice_below(w->d, 8) : 1;

	if (w->query_count + n > QUERIES_MAX)
		return;
	snprintf(text, sizeof text, "127.0.0.%u:4000", 1 + (unsigned)dice_below(w->d, 3));
	assert_int_equal(addr_parse(text, 1, &from), 0);
	w->query_count += n;
	for (unsigned i = 0; i < n; i++) {
		m[i] = make_query(&w->queries[first + i], &from, &drafts[i]);
		if (n > 1) {			/* a batch */
			m[i].index = i;
			resolver_on_announce(w->resolver, &m[i]);
		}
	}
	for (unsigned i = 0; i < n; i++)
		hand_over(&w->queries[first + i], &m[i]);
	resolver_on_batch_done(w->resolver, w->mono_us, w->mono_us + 5, n);
}

/* A connection ends under a query. */
static void client_goes(void)
{
	struct query *q = w->query_count ? &w->queries[dice_below(w->d, w->query_count)] : NULL;

	if (!q || !q->path || !q->stream)
		return;
	q->path->ops = NULL;
	q->path = NULL;
	q->gone = true;
}

/* ---- upstreams ---- */

static void add_data(const char *qname, uint16_t qtype, uint32_t ttl)
{
	static const uint8_t rdata[600];

	if (qtype == DNS_A)
		draft_a(&draft, DRAFT_ANSWER, qname, ttl, "192.0.2.1");
	else
		draft_raw(&draft, DRAFT_ANSWER, qname, qtype, ttl, rdata, dice_below(w->d, sizeof rdata));
}

static void add_answer(const char *qname, uint16_t qtype, unsigned *rcode)
{
	uint32_t ttl = (uint32_t)dice_magnitude(w->d, 8);

	switch (w->calm ? 0 : dice_below(w->d, 12)) {
	case 0: case 1: case 2: case 3:
		add_data(qname, qtype, ttl);
		break;
	case 4:
		*rcode = DNS_NXDOMAIN;
		/* fallthrough */
	case 5:
		draft_soa(&draft, DRAFT_AUTHORITY, dice_one_in(w->d, 4) ? "elsewhere." : ".", ttl, 60);
		break;
	case 6:		/* into the other route, or back, perhaps round and round */
		draft_to(&draft, DRAFT_ANSWER, qname, DNS_CNAME, ttl, random_name());
		if (dice_one_in(w->d, 2))
			add_data(random_name(), qtype, ttl);
		break;
	case 7:
		draft_to(&draft, DRAFT_ANSWER, qname, DNS_CNAME, ttl, "x.route.");
		break;
	case 8:
		*rcode = (unsigned)dice_below(w->d, 16);
		break;
	case 9:
		add_data(qname, DNS_A, ttl);
		draft.len -= 1 + dice_below(w->d, 3);		/* malformed */
		break;
	case 10:
		draft_to(&draft, DRAFT_AUTHORITY, ".", DNS_NS, ttl, "ns.elsewhere.");
		break;
	case 11:
		draft_to(&draft, DRAFT_ANSWER, qname, DNS_CNAME, ttl, qname);
		break;
	}
}

static struct transport_send *random_send(void)
{
	uint64_t     n = w->alive ? dice_below(w->d, w->alive) : 0;
	struct list *l = w->sends.next;

	while (n--)
		l = l->next;
	return w->alive ? list_entry(l, struct transport_send, node) : NULL;
}

static void upstream_says(struct transport_send *s)
{
	const struct sent *sent = s->place;
	struct oracle      o;
	struct dns_name    n;
	char               text[DNS_NAME_TEXT_MAX];
	unsigned           rcode = 0;

	holds(w->d, read_message(&o, sent->octets, sent->len));
	holds(w->d, o.end == sent->len);
	n.len = (uint8_t)o.qname.len;
	memcpy(n.octets, o.qname.octets, o.qname.len);
	dns_name_to_text(n.octets, n.len, text);
	draft_begin(&draft, s->id, DNS_QR | DNS_RD | DNS_RA);
	if (w->calm || dice_below(w->d, 20))
		draft_question(&draft, w->calm || dice_below(w->d, 20) ? text : random_name(), o.qtype, DNS_IN);
	add_answer(text, o.qtype, &rcode);
	draft.octets[3] = (uint8_t)((draft.octets[3] & 0xf0) | rcode);
	if (!w->calm && dice_one_in(w->d, 15))
		draft.octets[2] |= 2;				/* TC */
	if (oracle_find(&o, 3, DNS_OPT) && dice_below(w->d, 4))
		draft_opt(&draft, 1232, !w->calm && dice_one_in(w->d, 30) ? 0x01000000 : 0, "\0\x0f\0\2\0\x16",
		          dice_one_in(w->d, 2) ? 6 : 0);
	oracle_done(&o);
	s->on->message(s, draft.octets, draft.len);
}

static void upstream_loses(struct transport_send *s)
{
	static const int errors[] = { -ECONNREFUSED, -EHOSTUNREACH, -ENETUNREACH, -ECONNRESET, -ETIMEDOUT };

	far_end_end(s->transport, s);
	s->on->lost(s, errors[dice_below(w->d, COUNT_OF(errors))]);
}

static void upstream_acts(void)
{
	struct transport_send *s = random_send();

	if (!s)
		return;
	if (w->calm || dice_below(w->d, 8)) {
		upstream_says(s);
	} else if (dice_one_in(w->d, 2)) {
		upstream_loses(s);
	} else {
		for (uint64_t n = dice_magnitude(w->d, 5); n && transport_lives(s); n--) {
			unsigned before = w->alive;

			s->on->mismatch(s);
			if (w->alive != before)		/* s may be no more */
				break;
		}
	}
}

/* ---- configurations ---- */

struct desk {
	struct setup_conf    conf;
	struct policy_conf   policy;
	struct addr_prefix   allow;
	struct route_conf    routes[2];
	size_t               ways[2][UPSTREAMS];
	struct upstream_conf upstreams[UPSTREAMS];
	char                 urls[UPSTREAMS][32];
};

static void desk_release(void *owner)
{
	w->released++;
	free(owner);
}

static struct setup *make_setup(void)
{
	struct desk  *k = calloc(1, sizeof *k);
	struct setup *s;
	size_t        count = 1 + dice_below(w->d, UPSTREAMS);

	if (!k)
		return NULL;
	addr_prefix_parse("127.0.0.0/8", &k->allow);
	k->policy = (struct policy_conf){ .allow = &k->allow, .allow_count = 1, .routes = k->routes,
	                                  .route_count = 1 + dice_below(w->d, 2) };
	k->routes[0] = (struct route_conf){ .suffix_len = 1, .id = 1, .upstreams = k->ways[0] };
	k->routes[1] = (struct route_conf){ .suffix = "\5route", .suffix_len = 7, .id = 2, .upstreams = k->ways[1] };
	for (size_t i = 0; i < count; i++) {
		snprintf(k->urls[i], sizeof k->urls[i], "udp://192.0.2.%u:53", 1 + (unsigned)(i * 2 + dice_below(w->d, 2)));
		k->upstreams[i] = (struct upstream_conf){ .name = k->urls[i], .url = k->urls[i],
		                                          .proto = dice_one_in(w->d, 5) ? UPSTREAM_TCP : UPSTREAM_UDP };
		k->ways[0][k->routes[0].upstream_count++] = i;
	}
	k->ways[1][k->routes[1].upstream_count++] = count - 1;
	if (!w->calm && dice_one_in(w->d, 20))
		k->routes[1].upstream_count = 0;
	k->conf = (struct setup_conf){
		.policy = &k->policy, .upstreams = k->upstreams, .upstream_count = count, .worker_count = 1,
		.times = { .query_timeout_ms = TIMEOUT_MS, .resolve_timeout_ms = 10000, .resend_after_ms = 300,
		           .edns_size = 1232, .max_flights = 1 + (uint32_t)dice_below(w->d, 20),
		           .case_mixing = dice_one_in(w->d, 3) },
		.cache_times = { .ttl_max_s = 86400, .negative_max_s = 900, .failure_first_s = 1, .failure_max_s = 5 },
		.release = desk_release, .owner = k,
	};
	s = setup_new(&k->conf, NULL);
	w->setups++;
	return s;
}

static void reconfigure(void)
{
	struct setup *s = make_setup();

	if (s && resolver_reconfigure(w->resolver, s) < 0)
		holds(w->d, alloc_failed());
}

/* ---- time ---- */

static void move_to(uint64_t us)
{
	w->boot_ms += us / 1000 - w->mono_us / 1000;
	w->mono_us = us;
	timers_run(&w->timers, us / 1000);
}

static void pass(uint64_t us)
{
	uint64_t end_us = w->mono_us + us, next_ms;

	while ((next_ms = timers_next_ms(&w->timers)) <= end_us / 1000)
		move_to(next_ms * 1000 > w->mono_us ? next_ms * 1000 : w->mono_us);
	move_to(end_us);
}

static void step(void)
{
	unsigned what = (unsigned)dice_below(w->d, 100);

	if (!w->calm && dice_one_in(w->d, 25))
		alloc_fail_at(1 + (unsigned)dice_below(w->d, 6));
	if (what < 40)
		clients_ask();
	else if (what < 75)
		upstream_acts();
	else if (what < 95)
		pass(dice_magnitude(w->d, dice_one_in(w->d, 10) ? 24 : 19));
	else if (what < 98)
		client_goes();
	else if (!w->calm)
		reconfigure();
	alloc_fail_at(0);
}

/* ---- a round ---- */

static void begin(struct dice *d, bool calm)
{
	static const uint8_t    secret[16];
	const struct cache_conf conf = { .size_octets = (size_t)1 << 20 };
	struct setup           *s;

	w = calloc(1, sizeof *w);
	assert_non_null(w);
	w->d = d;
	w->calm = calm;
	w->clock = (struct clock){ world_boot_ms, world_mono_us };
	w->boot_ms = dice_magnitude(d, 40);
	w->mono_us = dice_magnitude(d, 45);
	rng_init(&w->rng, world_random, NULL);
	w->maker.make = far_end_make;
	list_init(&w->sends);
	timers_init(&w->timers, w->mono_us / 1000);
	w->cache = cache_new(&conf, secret);
	w->env = (struct resolver_env){
		.upstream = { .clock = &w->clock, .rng = &w->rng, .stats = &w->stats, .scrub = dns_scrub_new(),
		              .maker = &w->maker },
		.timers = &w->timers, .cache = w->cache,
	};
	s = make_setup();
	assert_non_null(s);
	w->resolver = resolver_new(&w->env, s);
	assert_non_null(w->resolver);
}

/* All have their replies; nothing is open, counted or kept. */
static void check_end(void)
{
	uint64_t outcomes = 0, sends = w->stats.counter[STATS_SENDS];

	for (unsigned i = 0; i < w->query_count; i++)
		holds(w->d, w->queries[i].replied || w->queries[i].gone);
	holds(w->d, resolver_waiting(w->resolver) == 0);
	holds(w->d, w->stats.flights_now == 0 && w->stats.waiting_now == 0);
	holds(w->d, w->alive <= (w->calm ? 0 : UPSTREAMS * PROBER_ROUNDS * HEALTH_QUESTIONS));	/* probes go on */
	holds(w->d, !w->calm || timers_next_ms(&w->timers) == UINT64_MAX);
	for (unsigned i = 0; i < OUTCOMES; i++)
		outcomes += w->stats.outcome[i];
	holds(w->d, outcomes + w->silent == w->query_count);
	holds(w->d, w->stats.counter[STATS_REPEATED] == w->silent);
	holds(w->d, sends <= w->stats.counter[STATS_FLIGHTS] * FLIGHT_TRIES);
	holds(w->d, sends <= (uint64_t)w->query_count * FLIGHT_BUDGET);		/* CAMP */
}

static void finish(void)
{
	resolver_free(w->resolver);
	holds(w->d, w->released == w->setups && w->made == w->closed);
	holds(w->d, w->alive == 0);
	dns_scrub_free((struct dns_scrub *)w->env.upstream.scrub);
	cache_free(w->cache);
	free(w);
}

static void test_anything(void **state)
{
	(void)state;
	for (struct dice d = dice_first(150); d.left; dice_next(&d)) {
		long before = alloc_live();

		begin(&d, false);
		for (unsigned i = 0; i < 1200; i++)
			step();
		pass(20000000);		/* no flight lasts so long */
		check_end();
		finish();
		holds(&d, alloc_live() == before);
	}
}

/* Upstreams that answer, if late: nobody is refused or fails as long as no bound is met. */
static void test_calm(void **state)
{
	(void)state;
	for (struct dice d = dice_first(30); d.left; dice_next(&d)) {
		begin(&d, true);
		for (unsigned i = 0; i < 1500; i++) {
			step();
			while (w->alive)
				upstream_acts();
		}
		holds(&d, w->stats.counter[STATS_SERVFAIL] == w->stats.counter[STATS_OVERLOAD]);
		holds(&d, w->stats.counter[STATS_QUERY_TIMEOUTS] == 0);
		holds(&d, w->stats.counter[STATS_SENDS] < w->query_count);
		pass(20000000);
		check_end();
		finish();
	}
}

/* A resolver that goes in the middle of everything. */
static void test_gone_in_the_middle(void **state)
{
	(void)state;
	for (struct dice d = dice_first(150); d.left; dice_next(&d)) {
		long before = alloc_live();

		begin(&d, false);
		for (uint64_t n = dice_below(&d, 200); n; n--)
			step();
		finish();
		holds(&d, alloc_live() == before);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_anything),
		cmocka_unit_test(test_calm),
		cmocka_unit_test(test_gone_in_the_middle),
	};

	log_set_level(LOG_LEVEL_ERROR);		/* upstreams come and go */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
