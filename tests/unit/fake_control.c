/* fake_control.c - a daemon for tests. */
#include "fake_control.h"

#include "control/peer.h"
#include "resolve/event.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fake_status(void *arg, struct control_status *out)
{
	*out = ((struct fake_control *)arg)->status;
}

static void fake_stats(void *arg, struct stats_view *out)
{
	*out = ((struct fake_control *)arg)->stats;
}

static size_t fake_upstreams(void *arg, struct control_upstream *out, size_t max)
{
	struct fake_control *f = arg;
	size_t               n = f->upstream_count < max ? f->upstream_count : max;

	memcpy(out, f->upstreams, n * sizeof *out);
	return n;
}

static uint64_t fake_flush(void *arg, enum control_flush what, const uint8_t *name, size_t name_len,
			   uint16_t qtype)
{
	struct fake_control *f = arg;

	f->flushes++;
	f->what = what;
	f->name.len = (uint8_t)name_len;
	if (name_len)
		memcpy(f->name.octets, name, name_len);
	f->type = qtype;
	return f->entries;
}

static int fake_reload(void *arg, char **report)
{
	struct fake_control *f = arg;

	f->reloads++;
	if (!f->report)
		return 0;
	*report = strdup(f->report);
	return -EINVAL;
}

static char *fake_config(void *arg)
{
	struct fake_control *f = arg;

	return f->config ? strdup(f->config) : NULL;
}

static void fake_traffic(struct stats_view *v)
{
	static struct stats s;

	memset(&s, 0, sizeof s);
	for (unsigned i = 0; i < STATS_COUNTERS; i++)
		stats_bump(&s.counter[i], i % 3 ? i : 0);
	for (unsigned i = 0; i < 900; i++)
		histogram_add(&s.answer[OUTCOME_HIT], i < 880 ? 20 : 700, 1);
	histogram_add(&s.answer[OUTCOME_MISS], 25000, 97);
	histogram_add(&s.answer[OUTCOME_MISS], 1500000, 3);
	stats_bump(&s.outcome[OUTCOME_HIT], 900);
	stats_bump(&s.outcome[OUTCOME_MISS], 100);
	stats_set(&s.flights_now, 2);
	stats_set(&s.waiting_now, 3);
	stats_set(&s.tcp_clients_now, 4);
	memset(v, 0, sizeof *v);
	stats_read(&s, v);
}

static void fake_upstream(struct control_upstream *up, const char *name, const char *url,
			  unsigned sent)
{
	static struct stats_upstream s;

	memset(&s, 0, sizeof s);
	stats_bump(&s.counter[UPSTREAM_SENT], sent);
	stats_bump(&s.counter[UPSTREAM_ANSWERED], sent / 2);
	stats_bump(&s.counter[UPSTREAM_TIMEOUT], sent / 4);
	stats_bump(&s.counter[UPSTREAM_RCODE], sent / 8);
	stats_bump(&s.counter[UPSTREAM_LATE], sent / 16);
	histogram_add(&s.exchange, 20000, sent / 2);
	histogram_add(&s.first_octet, 19000, sent / 2);
	histogram_add(&s.connect, 9000, sent / 32);
	histogram_add(&s.handshake, 21000, sent / 96);
	histogram_add(&s.resumption, 12000, sent / 48);
	*up = (struct control_upstream){
		.name = name, .url = url, .now_us = 200000000, .level = "clear",
		.health = { .p50_us = 20000, .p75_us = 21000, .p99_us = 90000, .hedge_us = 24000, .timeout_us = 360000,
		            .early = -4 },
	};
	stats_upstream_read(&s, &up->stats);
}

static int fake_order(void *arg, const char *name, enum health_order order, bool anew)
{
	struct fake_control *f = arg;

	for (size_t i = 0; i < f->upstream_count; i++)
		if (!strcmp(f->upstreams[i].name, name)) {
			f->upstreams[i].health.order = order;
			f->anew = anew;
			return 0;
		}
	return -ENOENT;
}

/* Names below "corp." have a route; "localhost." is ours. */
static void fake_route(void *arg, const uint8_t *name, size_t name_len, struct control_route *out)
{
	static const uint8_t corp[] = "\4corp", localhost[] = "\11localhost";

	(void)arg;
	out->local = dns_name_below(name, name_len, localhost, sizeof localhost);
	strcpy(out->suffix, dns_name_below(name, name_len, corp, sizeof corp) ? "corp." : ".");
	out->policy = "fastest";
	out->upstreams[0] = 1;
	out->upstreams[1] = 0;
	out->upstream_count = out->suffix[1] ? 1 : 2;
}

static bool fake_route_suffix(void *arg, uint32_t id, char out[DNS_NAME_TEXT_MAX])
{
	(void)arg;
	strcpy(out, ".");
	return id == 1;
}

static void fake_look_at(void *arg, struct cache_cursor *at, const uint8_t *name, size_t name_len)
{
	struct fake_control *f = arg;

	if (!f->cache)
		*at = (struct cache_cursor){ .end = 0 };
	else if (name)
		cache_look_at_name(f->cache, at, name, name_len);
	else
		cache_look_at_all(f->cache, at);
}

static size_t fake_look(void *arg, struct cache_cursor *at, struct cache_seen *out, size_t max, uint8_t *room,
			size_t size)
{
	struct fake_control *f = arg;

	return f->cache ? cache_look(f->cache, at, FAKE_NOW_MS, out, max, room, size) : 0;
}

static void fake_on_tell(uv_timer_t *tell)
{
	fake_control_traced(tell->data, false);
}

static int fake_trace(void *arg, const struct trace_question *q,
		      void (*done)(void *done_arg, const struct trace_report *report), void *done_arg)
{
	struct fake_control *f = arg;

	if (f->traced)
		return -EBUSY;
	f->traced = done;
	f->traced_arg = done_arg;
	f->question = *q;
	if (f->loop) {
		uv_timer_init(f->loop, &f->tell);
		f->tell.data = f;
		uv_timer_start(&f->tell, fake_on_tell, 1, 0);
	}
	return 0;
}

/* Two: one that had a name to be careful with, and one that nobody answered. */
static void fake_slow(void *arg, struct control_slow *out)
{
	(void)arg;
	out->over_us = 100000;
	out->dropped = 3;
	out->count = 2;
	out->queries[0] = (struct slow_query){
		.time_ms = 1700000000123, .duration_us = 312000, .qtype = 65280, .outcome = OUTCOME_MISS,
		.upstream = "quad9", .reason = "office did not answer within 300 ms; quad9 answered in 12 ms",
	};
	dns_name_from_text("<img\\032onerror>\\027.example", &out->queries[0].name);
	out->queries[1] = (struct slow_query){
		.time_ms = 1700000000023, .duration_us = 4000000, .qtype = 1, .outcome = OUTCOME_JOINED,
		.reason = "no upstream of the route works",
	};
	dns_name_from_text("b.example", &out->queries[1].name);
}

static int fake_query_log(void *arg, bool on, bool *before)
{
	struct fake_control *f = arg;

	*before = f->query_log;
	f->query_log = on;
	return 0;
}

/* One watcher at a time, who is told of what fake_control_event() makes. */
static int fake_watch(void *arg, struct control_watcher *w)
{
	struct fake_control *f = arg;

	if (f->watcher)
		return -EBUSY;
	f->watcher = w;
	return 0;
}

static void fake_unwatch(void *arg, struct control_watcher *w)
{
	struct fake_control *f = arg;

	if (f->watcher == w)
		f->watcher = NULL;
}

void fake_control_event(struct fake_control *f, const char *name, const char *client, const struct event *like)
{
	union {
		struct event e;
		uint8_t      room[EVENT_MAX];
	} u = { .e = *like };
	struct dns_name n = { .len = 0 };

	if (name)
		dns_name_from_text(name, &n);
	addr_parse(client, 4242, &u.e.client);
	u.e.name_len = n.len;
	memcpy(u.e.octets, n.octets, n.len);
	u.e.upstream_len = 5;
	memcpy(u.e.octets + n.len, "quad9", 5);
	f->watcher->event(f->watcher, &u.e);
}

void fake_control_traced(struct fake_control *f, bool none)
{
	/* SERVFAIL with an extended error and its text */
	static const uint8_t reply[] =
		"\0\0\x81\x82\0\1\0\0\0\0\0\1" "\1a\0\0\1\0\1" "\0\0\51\4\320\0\0\0\0\0\12\0\17\0\6\0\26down";
	struct trace_report *r = calloc(1, sizeof *r);
	void (*traced)(void *, const struct trace_report *) = f->traced;

	*r = (struct trace_report){
		.question = f->question, .outcome = OUTCOME_MISS, .ordered_us = 1000, .asked_us = 1010,
		.answered_us = 41000,
		.course = {
			.flew = true, .began_us = 1012, .hedge_us = 24000, .try_count = 2,
			.tries = {
				{ .upstream = "office", .end = COURSE_GIVEN_UP, .started_us = 1014, .sent_us = 1030 },
				{ .upstream = "tls://192.0.2.2", .end = COURSE_ANSWER, .kind = TRANSPORT_TLS,
				  .started_us = 25014, .connected_us = 27014, .secured_us = 30014, .sent_us = 30100,
				  .first_us = 40900,
				  .ended_us = 40990 },
			},
		},
		.reply_len = sizeof reply - 1,
	};
	memcpy(r->reply, reply, sizeof reply - 1);
	f->traced = NULL;
	traced(f->traced_arg, none ? NULL : r);
	free(r);
}

void fake_control_fill(struct fake_control *f, unsigned entries)
{
	const struct cache_conf conf = { .size_octets = 64 << 20 };
	/* a record of type A that begins with a pointer to the question */
	static const uint8_t    body[] = "\300\14\0\1\0\1\0\0\1\54\0\4\300\0\2\1";
	static const uint16_t   ttl_at = 6;

	f->cache = cache_new(&conf, (const uint8_t *)"sixteen octets!!");
	cache_set_stale(f->cache, 86400);
	for (unsigned i = 0; i < entries; i++) {
		struct dns_answer a = { .kind = DNS_ANSWER_POSITIVE, .ttl_s = 300, .ancount = 1, .ttl_count = 1,
			                .ttl_at = &ttl_at, .body = body, .body_len = 16, .required_len = 16 };
		struct cache_key  key = { .qtype = 1, .route = 1 };
		struct dns_name   name;
		char              text[32];

		snprintf(text, sizeof text, "n%u.example.", i);
		dns_name_from_text(text, &name);
		key.qname = name.octets;
		key.qname_len = name.len;
		key.name_hash = cache_hash_name(f->cache, name.octets, name.len);
		cache_put(f->cache, &key, &a, FAKE_NOW_MS - (i % 2 ? 400000 : 100000));
	}
}

void fake_control_init(struct fake_control *f, struct control_ops *ops)
{
	static const char *const listen[] = { "127.0.0.1:53", "[::1]:53" };

	*f = (struct fake_control){
		.status = {
			.version = "0.0.7", .uptime_s = 11525.9, .workers = 1,
			.config_file = "/etc/larder/larder.yaml", .reloaded_ago_s = 725.2,
			.listen_count = 2, .listen = listen,
			.cache_entries = 1234, .cache_negative = 56, .cache_octets = 3 << 20,
			.cache_size_octets = 64 << 20, .cache_evicted = 7,
		},
		.config = "listen:\n  - 127.0.0.1:53\n",
		.entries = 17,
	};
	fake_traffic(&f->stats);
	fake_upstream(&f->upstreams[0], "office", "udp://192.0.2.1", 96);
	fake_upstream(&f->upstreams[1], "tcp://192.0.2.2", "tcp://192.0.2.2", 0);
	f->upstreams[1].health = (struct health_view){
		.state = HEALTH_OPEN, .own_state = HEALTH_OPEN, .reason = HEALTH_SERVFAIL, .failed_once = true,
		.opened_us = 15000000, .next_probe_us = 203500000, .timeout_us = 1000000, .early = 2,
		.transitions = { [HEALTH_OPEN] = { [HEALTH_SILENT] = 2, [HEALTH_SERVFAIL] = 1 } },
	};
	f->upstream_count = 2;
	*ops = (struct control_ops){
		.status = fake_status,
		.stats = fake_stats,
		.upstreams = fake_upstreams,
		.order = fake_order,
		.flush = fake_flush,
		.reload = fake_reload,
		.config = fake_config,
		.route = fake_route,
		.route_suffix = fake_route_suffix,
		.look_at = fake_look_at,
		.look = fake_look,
		.trace = fake_trace,
		.slow = fake_slow,
		.query_log = fake_query_log,
		.watch = fake_watch,
		.unwatch = fake_unwatch,
		.group = PEER_NOBODY,
		.arg = f,
	};
}
