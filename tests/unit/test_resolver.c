/* test_resolver.c - one query through policy, cache and flight, when all goes well and when memory is short.
 *
 * What a resolver does in time is told by tests/scenario; here are the parts
 * that need no time.
 */
#include "exchange_rig.h"

#include "alloc_fail.h"
#include "base/ring.h"
#include "base/timer.h"
#include "cache/cache.h"
#include "draft.h"
#include "oracle.h"
#include "resolve/event.h"
#include "resolve/flight.h"
#include "resolve/resolver.h"
#include "resolve/slow.h"
#include "upstream/exchange.h"

#include <errno.h>

static struct rig           rig;
static struct timers        timers;
static struct cache        *cache;
static struct resolver_env  env;
static struct addr_prefix   allow[1];
static struct route_conf    routes[1];
static size_t               way[1];
static struct policy_conf   policy = { .allow = allow, .allow_count = 1, .routes = routes, .route_count = 1 };
static char                 url[] = "udp://192.0.2.1:53";
static struct upstream_conf upstream;
static struct setup_conf    conf;

static struct oracle    heard;		/* the last reply that was sent later */
static uint8_t          heard_octets[DNS_MESSAGE_MAX];
static unsigned         sent_later;

static int setup_all(void **state)
{
	static const uint8_t    secret[16];
	const struct cache_conf cache_conf = { .size_octets = (size_t)1 << 20 };

	(void)state;
	rig_init(&rig);
	timers_init(&timers, rig.mono_us / 1000);
	cache = cache_new(&cache_conf, secret);
	env = (struct resolver_env){ .upstream = rig.env, .timers = &timers, .cache = cache };
	upstream = rig_upstream(url);
	routes[0] = (struct route_conf){ .suffix_len = 1, .id = 1, .upstreams = way, .upstream_count = 1 };
	conf = (struct setup_conf){
		.policy = &policy, .upstreams = &upstream, .upstream_count = 1, .worker_count = 1,
		.times = { .query_timeout_ms = 4000, .resolve_timeout_ms = 10000, .resend_after_ms = 300,
		           .edns_size = 1232, .max_flights = 10 },
		.cache_times = { .ttl_max_s = 86400, .negative_max_s = 900, .failure_first_s = 5, .failure_max_s = 60 },
	};
	policy.limits = (struct limit_conf){ .waiting_per_client = 100 };
	return addr_prefix_parse("192.0.2.0/24", &allow[0]);
}

static int teardown_all(void **state)
{
	(void)state;
	oracle_done(&heard);
	cache_free(cache);
	rig_done(&rig);
	return 0;
}

/* ---- a client ---- */

static struct addr      client;
static struct draft     draft;
static uint8_t          room[DNS_MESSAGE_MAX + 1];
static struct net_reply reply;

static enum net_verdict ask_from(struct resolver *r, const char *from, const char *name, uint16_t id)
{
	struct net_message m = { .from = &client, .proto = NET_UDP, .boot_ms = rig.boot_ms, .mono_us = rig.mono_us,
	                         .index = NET_ALONE };

	assert_int_equal(addr_parse(from, 4000, &client), 0);
	draft_begin(&draft, id, DNS_RD);
	draft_question(&draft, name, DNS_A, DNS_IN);
	m.octets = draft.octets;
	m.len = draft.len;
	reply = (struct net_reply){ .octets = room, .size = sizeof room };
	return resolver_on_message(r, &m, &reply);
}

/* The rcode of a reply that came at once, or -1. */
static int rcode_now(struct resolver *r, const char *from, const char *name)
{
	if (ask_from(r, from, name, 1) != NET_REPLY)
		return -1;
	assert_int_equal(room[0] << 8 | room[1], 1);
	return room[3] & DNS_RCODE;
}

/* Reply paths of a listener that is none. */
void reply_path_keep(struct reply_path *p, const struct net_message *m)
{
	p->peer = *m->from;
	p->proto = m->proto;
	p->ops = (const struct reply_path_ops *)(uintptr_t)1;
}

void reply_path_send(struct reply_path *p, const uint8_t *msg, size_t len)
{
	assert_non_null(p->ops);
	p->ops = NULL;
	sent_later++;
	memcpy(heard_octets, msg, len);
	oracle_done(&heard);
	assert_true(oracle_read(&heard, heard_octets, len));
}

void reply_path_drop(struct reply_path *p)
{
	p->ops = NULL;
}

/* The upstream answers the last thing it was asked. */
static void answer(struct exchange *x)
{
	struct oracle o;
	char          text[DNS_NAME_TEXT_MAX];

	assert_true(oracle_read(&o, rig.sent, rig.sent_len));
	dns_name_to_text(o.qname.octets, o.qname.len, text);
	draft_begin(&draft, RIG_ID, DNS_QR | DNS_RD | DNS_RA);
	draft_question(&draft, text, o.qtype, DNS_IN);
	draft_a(&draft, DRAFT_ANSWER, text, 60, "192.0.2.7");
	oracle_done(&o);
	x->send.on->message(&x->send, draft.octets, draft.len);
}

/* ---- */

static void test_walk(void **state)
{
	struct resolver *r = resolver_new(&env, setup_new(&conf, NULL));
	struct transport_send *send;

	(void)state;
	assert_non_null(r);
	assert_int_equal(rcode_now(r, "203.0.113.1", "www.example."), DNS_REFUSED);	/* not allowed */
	assert_int_equal(ask_from(r, "192.0.2.9", "www.example.", 1), NET_LATER);
	assert_int_equal(resolver_waiting(r), 1);
	assert_int_equal(ask_from(r, "192.0.2.9", "www.example.", 1), NET_SILENCE);	/* HDR-19 */
	assert_int_equal(ask_from(r, "192.0.2.9", "WWW.example.", 2), NET_LATER);
	assert_int_equal(ask_from(r, "192.0.2.10", "www.example.", 1), NET_LATER);
	assert_int_equal(rig.sends, 1);							/* MATCH-14 */
	assert_int_equal(resolver_waiting(r), 3);
	send = rig.last;
	answer((struct exchange *)((char *)send - offsetof(struct exchange, send)));
	assert_int_equal(sent_later, 3);
	assert_int_equal(resolver_waiting(r), 0);
	assert_int_equal(heard.counts[1], 1);
	rig.boot_ms += 10000;
	assert_int_equal(rcode_now(r, "192.0.2.9", "www.Example."), DNS_NOERROR);
	oracle_done(&heard);
	assert_true(oracle_read(&heard, room, reply.len));
	assert_int_equal(heard.records[0].ttl, 50);
	assert_int_equal(rig.sends, 1);
	assert_int_equal(rig.stats.outcome[OUTCOME_REFUSED], 1);
	assert_int_equal(rig.stats.outcome[OUTCOME_MISS], 1);
	assert_int_equal(rig.stats.outcome[OUTCOME_JOINED], 2);
	assert_int_equal(rig.stats.outcome[OUTCOME_HIT], 1);
	resolver_free(r);
	resolver_free(NULL);
}

/* Whoever waits when a resolver goes hears nothing more, and nothing is left of it. */
static void test_gone_while_waiting(void **state)
{
	struct resolver *r = resolver_new(&env, setup_new(&conf, NULL));
	unsigned         before = sent_later;
	char             name[32];

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		snprintf(name, sizeof name, "n%u.example.", i);
		assert_int_equal(ask_from(r, "192.0.2.9", name, (uint16_t)i), NET_LATER);
	}
	resolver_free(r);
	assert_int_equal(sent_later, before);
	assert_true(timers_next_ms(&timers) == UINT64_MAX);
}

/* FAIL-09: what is over the bound is SERVFAIL at once, and is not held against the name. */
static void test_overload(void **state)
{
	struct resolver *r = resolver_new(&env, setup_new(&conf, NULL));
	char             name[32];
	uint64_t         before = rig.stats.counter[STATS_OVERLOAD];

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		snprintf(name, sizeof name, "m%u.example.", i);
		assert_int_equal(ask_from(r, "192.0.2.9", name, (uint16_t)i), NET_LATER);
	}
	assert_int_equal(rcode_now(r, "192.0.2.9", "one-more.example."), DNS_SERVFAIL);
	assert_int_equal(rig.stats.counter[STATS_OVERLOAD], before + 1);
	resolver_free(r);
	r = resolver_new(&env, setup_new(&conf, NULL));
	assert_int_equal(ask_from(r, "192.0.2.9", "one-more.example.", 1), NET_LATER);
	resolver_free(r);
}

/* ---- without memory ---- */

static bool run_resolver(void *arg)
{
	struct resolver *r = resolver_new(&env, setup_ref(arg));

	resolver_free(r);
	return r;
}

static bool run_flights(void *arg)
{
	const struct flights_env fe = { .upstream = &env.upstream, .timers = &timers, .cache = cache };
	struct flights          *fs = flights_new(&fe);

	(void)arg;
	flights_free(fs);
	return fs;
}

static void test_no_memory(void **state)
{
	struct setup    *s = setup_new(&conf, NULL);
	struct resolver *r;

	(void)state;
	assert_true(alloc_fail_each(run_resolver, s) >= 6);
	assert_int_equal(s->refs, 1);
	setup_unref(s);
	assert_int_equal(alloc_fail_each(run_flights, NULL), 1);
	r = resolver_new(&env, setup_new(&conf, NULL));
	for (unsigned n = 1; n < 5; n++) {		/* the old configuration stays in force */
		s = setup_new(&conf, NULL);
		alloc_fail_at(n);
		assert_int_equal(resolver_reconfigure(r, s), n < 4 ? -ENOMEM : 0);
		alloc_fail_at(0);
		assert_int_equal(ask_from(r, "192.0.2.9", "x.example.", (uint16_t)n), NET_LATER);
	}
	resolver_free(r);
}

/* A question for which there is no memory is SERVFAIL at once, and the next one is as good as new. */
static void test_question_without_memory(void **state)
{
	struct resolver *r = resolver_new(&env, setup_new(&conf, NULL));
	unsigned         n;

	(void)state;
	for (n = 1; n < 20; n++) {
		long     before = alloc_live();
		uint64_t trouble = rig.stats.counter[STATS_NO_MEMORY];
		char     name[32];
		enum net_verdict verdict;

		snprintf(name, sizeof name, "o%u.example.", n);
		alloc_fail_at(n);
		verdict = ask_from(r, "192.0.2.9", name, 1);
		alloc_fail_at(0);
		if (verdict == NET_LATER && rig.stats.counter[STATS_NO_MEMORY] == trouble)
			break;			/* it came through */
		if (verdict == NET_REPLY) {
			assert_int_equal(room[3] & DNS_RCODE, DNS_SERVFAIL);
			assert_int_equal(alloc_live(), before);
		}
		assert_int_equal(rig.stats.counter[STATS_NO_MEMORY], trouble + 1);
		assert_int_equal(ask_from(r, "192.0.2.9", name, 2), NET_LATER);
	}
	assert_in_range(n, 3, 19);
	resolver_free(r);
}

/* A batch of n questions for www.example., whose replies are out after so long; gives how many those are. */
static unsigned batch_replies(struct resolver *r, unsigned n, uint64_t took_us)
{
	struct net_message m = { .from = &client, .proto = NET_UDP, .boot_ms = rig.boot_ms, .mono_us = rig.mono_us };
	unsigned           replies = 0;

	assert_int_equal(addr_parse("192.0.2.9", 4000, &client), 0);
	draft_begin(&draft, 7, DNS_RD);
	draft_question(&draft, "WWW.example.", DNS_A, DNS_IN);
	m.octets = draft.octets;
	m.len = draft.len;
	for (m.index = 0; m.index < n; m.index++)
		resolver_on_announce(r, &m);
	for (m.index = 0; m.index < n; m.index++) {
		reply = (struct net_reply){ .octets = room, .size = sizeof room };
		replies += resolver_on_message(r, &m, &reply) == NET_REPLY;
	}
	resolver_on_batch_done(r, rig.mono_us, rig.mono_us + took_us, n);
	return replies;
}

/* The same, each answered at once. */
static void batch(struct resolver *r, unsigned n, uint64_t took_us)
{
	assert_int_equal(batch_replies(r, n, took_us), n);
}

/* A client that waited long for an upstream, one that did not, and hits that took long since the thread was held up. */
static void test_slow(void **state)
{
	struct resolver_env with = env;
	struct slows       *slows = slows_new();
	struct slow_query   list[SLOW_QUERIES];
	struct resolver    *r;
	uint64_t            dropped = 0, before = rig.mono_us;

	(void)state;
	cache_flush_all(cache);
	with.slows = slows;
	conf.slow_query_ms = 100;
	r = resolver_new(&with, setup_new(&conf, NULL));
	assert_int_equal(ask_from(r, "192.0.2.9", "WWW.example.", 1), NET_LATER);
	rig.mono_us += 100000;
	assert_int_equal(ask_from(r, "192.0.2.10", "www.example.", 1), NET_LATER);
	answer((struct exchange *)((char *)rig.last - offsetof(struct exchange, send)));
	assert_int_equal(slows_read(slows, list, &dropped), 1);
	assert_memory_equal(list[0].name.octets, "\3www\7example\0", 13);
	assert_int_equal(list[0].duration_us, 100000);
	assert_int_equal(list[0].outcome, OUTCOME_MISS);
	assert_string_equal(list[0].upstream, upstream.name);
	assert_non_null(strstr(list[0].reason, " answered in 100 ms"));

	batch(r, 2, 99999);
	assert_int_equal(slows_read(slows, list, &dropped), 1);
	batch(r, 2, 100000);
	assert_int_equal(slows_read(slows, list, &dropped), 3);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(list[i].outcome, OUTCOME_HIT);
		assert_int_equal(list[i].qtype, DNS_A);
		assert_string_equal(list[i].upstream, "");
		assert_non_null(strstr(list[i].reason, "held up"));
	}
	/* A stream's batch that is late has nothing to do with the datagrams before it. */
	resolver_on_batch_done(r, rig.mono_us, rig.mono_us + 200000, 1);
	assert_int_equal(slows_read(slows, list, &dropped), 3);
	assert_int_equal(dropped, 0);
	conf.slow_query_ms = 0;
	rig.mono_us = before;
	resolver_free(r);
	slows_free(slows);
}

/* What limits kept back reached nobody, so nobody waited for it: it is not in the list, early or late. */
static void test_slow_and_silenced(void **state)
{
	static const char *const from[] = { "192.0.2.9", "192.0.2.10", "192.0.2.11" };
	struct resolver_env with = env;
	struct slows       *slows = slows_new();
	struct slow_query   list[SLOW_QUERIES];
	struct resolver    *r;
	uint64_t            dropped = 0, before = rig.mono_us;
	unsigned            sent_before = sent_later;

	(void)state;
	cache_flush_all(cache);
	with.slows = slows;
	conf.slow_query_ms = 100;
	policy.limits.replies_per_second = 1;
	r = resolver_new(&with, setup_new(&conf, NULL));
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ask_from(r, from[i], "www.example.", 1), NET_LATER);
	rig.mono_us += 100000;
	answer((struct exchange *)((char *)rig.last - offsetof(struct exchange, send)));
	assert_int_equal(sent_later, sent_before + 2);	/* whole, cut, and none */
	assert_int_equal(slows_read(slows, list, &dropped), 2);

	assert_int_equal(batch_replies(r, 4, 100000), 2);
	assert_int_equal(slows_read(slows, list, &dropped), 4);
	assert_int_equal(dropped, 0);
	conf.slow_query_ms = 0;
	policy.limits.replies_per_second = 0;
	rig.mono_us = before;
	resolver_free(r);
	slows_free(slows);
}

/* The next event in the ring, whose name is www.example. */
static const struct event *next_event(struct ring *ring)
{
	size_t              len;
	const struct event *e = ring_read(ring, &len);

	assert_non_null(e);
	assert_int_equal(len, event_size(e));
	assert_memory_equal(event_name(e), "\3www\7example\0", 13);
	assert_int_equal(e->name_len, 13);
	assert_int_equal(e->qtype, DNS_A);
	return e;
}

/* While somebody watches, each reply is told once, with the time that it took; then no more. */
static void test_watch(void **state)
{
	struct resolver    *r = resolver_new(&env, setup_new(&conf, NULL));
	struct ring        *ring = ring_new(4096);
	const struct event *e;
	char                who[EVENT_UPSTREAM_MAX + 1];
	size_t              len;

	(void)state;
	cache_flush_all(cache);
	resolver_watch(r, ring);
	assert_int_equal(ask_from(r, "192.0.2.9", "WWW.example.", 1), NET_LATER);
	assert_int_equal(ask_from(r, "192.0.2.9", "WWW.example.", 1), NET_SILENCE);
	assert_null(ring_read(ring, &len));
	rig.mono_us += 70000;
	assert_int_equal(ask_from(r, "192.0.2.10", "www.example.", 1), NET_LATER);
	answer((struct exchange *)((char *)rig.last - offsetof(struct exchange, send)));
	e = next_event(ring);
	assert_int_equal(e->time_us, rig.mono_us);
	assert_int_equal(e->duration_us, 70000);
	assert_int_equal(e->outcome, OUTCOME_MISS);
	assert_int_equal(e->rcode, DNS_NOERROR);
	assert_string_equal(event_upstream(e, who), upstream.name);
	assert_int_equal(addr_port(&e->client), 4000);
	e = next_event(ring);
	assert_int_equal(e->outcome, OUTCOME_JOINED);
	assert_int_equal(e->duration_us, 0);
	assert_null(ring_read(ring, &len));

	batch(r, 2, 1234);
	for (unsigned i = 0; i < 2; i++) {
		e = next_event(ring);
		assert_int_equal(e->outcome, OUTCOME_HIT);
		assert_int_equal(e->duration_us, 1234);
		assert_int_equal(e->time_us, rig.mono_us + 1234);
		assert_null(event_upstream(e, who));
	}
	assert_null(ring_read(ring, &len));
	ring_release(ring);

	assert_int_equal(rcode_now(r, "203.0.113.1", "www.example."), DNS_REFUSED);	/* no batch has ended yet */
	assert_null(ring_read(ring, &len));
	resolver_watch(r, NULL);
	batch(r, 1, 50);
	e = next_event(ring);
	assert_int_equal(e->rcode, DNS_REFUSED);
	assert_int_equal(e->outcome, OUTCOME_REFUSED);
	assert_null(ring_read(ring, &len));
	/* Let go of in the middle of a batch, the ring is not touched at its end. */
	resolver_watch(r, ring);
	assert_int_equal(rcode_now(r, "203.0.113.1", "www.example."), DNS_REFUSED);
	resolver_watch(r, NULL);
	resolver_let_go(r, ring);
	batch(r, 1, 50);
	assert_null(ring_read(ring, &len));
	assert_int_equal(ring_dropped(ring), 0);
	rig.mono_us -= 70000;
	resolver_free(r);
	ring_free(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_slow),
		cmocka_unit_test(test_slow_and_silenced),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_gone_while_waiting),
		cmocka_unit_test(test_overload),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_question_without_memory),
	};

	return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
