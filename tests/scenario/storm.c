/* storm.c - clients, upstreams, failures and time at random; a property test.
 *
 * For each seed a worker lives through some thousand random events.  However
 * they fall:
 *   - each query gets exactly one reply, within query-timeout;
 *   - what a client hears is true, and no TTL is above what a server said, less
 *     the time that has passed since;
 *   - the outcomes sum to the queries, and nothing is left over at the end;
 *   - no bound is exceeded (asker.c and server.c watch every message).
 *
 * storm [FIRST [COUNT]]: plays these seeds; a failure names its own.
 */
#include "asker.h"
#include "server.h"
#include "truth.h"
#include "world.h"

#include "base/log.h"
#include "dns/message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS    60u
#define STEPS    1500u
#define ASKERS   20u
#define SERVERS  4u

enum mood { MOOD_GOOD, MOOD_SLOW, MOOD_LOSSY, MOOD_FAILING, MOOD_FORGED, MOOD_TRUNCATING, MOOD_MIXED, MOODS };

struct storm {
	struct story story;
	struct world world;
	struct truth truth;
	enum mood    moods[SERVERS + 1];
	unsigned     asked, gone;		/* queries; those whose clients left */
};

/* ---- upstreams ---- */

static struct storm *storm_of(struct world *w)
{
	return list_entry(w, struct storm, world);
}

static uint64_t storm_delay_us(struct world *w, enum mood mood)
{
	if (mood == MOOD_SLOW || (mood == MOOD_MIXED && world_random(w, 4) == 0))
		return world_random(w, 6000000);
	return world_random(w, 40000);
}

static void storm_post(struct storm *s, const struct sent *q, struct place *p, unsigned rcode, bool truncated,
                       enum truth_lie lie, uint64_t in_us)
{
	uint8_t *octets = malloc(PACKET_MAX);

	if (!octets)
		abort();
	carrier_post(p, in_us, octets, truth_reply(&s->truth, q, rcode, truncated, lie, in_us, octets));
	free(octets);
}

static void storm_reply(struct server *server, const struct sent *q, struct place *p)
{
	static const unsigned failures[] = { DNS_SERVFAIL, DNS_REFUSED, DNS_NOTIMP, DNS_FORMERR };
	struct world         *w = server->world;
	struct storm         *s = storm_of(w);
	enum mood             mood = s->moods[server->number];
	uint64_t              in_us = storm_delay_us(w, mood);
	bool                  udp = q->kind == TRANSPORT_UDP;

	if (mood == MOOD_MIXED)
		mood = (enum mood)world_random(w, MOOD_MIXED);
	if (mood == MOOD_LOSSY && world_random(w, 2))
		return;
	if (mood == MOOD_LOSSY && world_random(w, 4) == 0) {
		carrier_post_error(p, in_us, udp ? -ECONNREFUSED : -ECONNRESET);
		return;
	}
	if (mood == MOOD_FORGED && udp)
		for (uint64_t n = world_random(w, 25); n > 0; n--)
			storm_post(s, q, p, 0, false, (enum truth_lie)(TRUTH_WRONG_ID + world_random(w, 3)),
			           world_random(w, in_us + 1));
	storm_post(s, q, p, mood == MOOD_FAILING ? failures[world_random(w, 4)] : 0,
	           mood == MOOD_TRUNCATING && udp, TRUTH_NO_LIE, in_us);
}

/* ---- clients ---- */

static void storm_on_reply(struct heard *h)
{
	struct world *w = h->ask->asker->world;
	struct storm *s = storm_of(w);
	const char   *wrong = truth_check(&s->truth, &h->packet);
	char          text[STORY_WHY / 2] = "";
	uint64_t      limit_us = w->conf->times.query_timeout_ms * UINT64_C(1000);

	if (h->ask->proto == NET_UDP && h->ask->quiet)
		wrong = "a client that was told nothing would come hears something";
	if (h->at_us - h->ask->at_us > limit_us && !wrong)
		wrong = "a client had to wait for longer than query-timeout";
	packet_print(&h->packet, text, sizeof text);
	if (wrong)
		story_fail(&s->story, "%s: C%u heard %s", wrong, h->ask->asker->number, text);
	heard_forget(h);
}

static void storm_ask(struct storm *s)
{
	static const uint16_t types[] = { DNS_A, DNS_A, DNS_AAAA, DNS_TXT };
	struct world         *w = &s->world;
	struct asker         *c = asker_of(w, 1 + (unsigned)world_random(w, ASKERS));
	struct packet_ask     a = { .type = types[world_random(w, 4)], .class = DNS_IN, .id = w->next_id++,
		                    .flags = DNS_RD, .qdcount = 1, .opt_copies = 1 };
	uint8_t              *octets = malloc(PACKET_MAX);

	if (!octets)
		abort();
	/* few names are asked for often */
	truth_name(&s->truth, (unsigned)world_random(w, 1 + world_random(w, TRUTH_NAMES)), true, &a.name);
	a.has_opt = world_random(w, 2);
	a.udp_size = (uint16_t)world_random(w, 5000);
	a.opt_flags = world_random(w, 4) ? 0 : 0x8000;
	a.flags |= world_random(w, 8) ? 0 : DNS_CD;
	c->on_reply = storm_on_reply;
	s->asked++;
	asker_send(c, &a, octets, packet_write_ask(&a, octets), world_random(w, 5) ? NET_UDP : NET_TCP);
	free(octets);
}

/* Up to a batch of datagrams at once. */
static void storm_ask_together(struct storm *s)
{
	struct world *w = &s->world;

	w->gathering = true;
	for (uint64_t n = world_random(w, NET_BATCH); n > 0; n--)
		storm_ask(s);
	w->gathering = false;
	w->batch_count = 0;
	askers_deliver(w);
}

static void storm_hang_up(struct storm *s)
{
	struct asker *c = asker_of(&s->world, 1 + (unsigned)world_random(&s->world, ASKERS));

	s->gone += asker_waiting(c);
	asker_hang_up(c);
}

/* ---- the world ---- */

static void storm_configure(struct storm *s)
{
	struct world *w = &s->world;
	char          yaml[1024], resend[16] = "auto";

	if (world_random(w, 2))
		snprintf(resend, sizeof resend, "%ums", (unsigned)(10 + world_random(w, 600)));
	snprintf(yaml, sizeof yaml,
	         "forward: [%s]\nroutes:\n  corp.example: [%s]\n"
	         "policy: %s\nresend-after: %s\nquery-timeout: 4s\nresolve-timeout: %us\nmax-flights: %u\n"
	         "edns-size: %u\ncase-mixing: %s\ncache:\n  size: 1M\n  negative-ttl: 5m\n"
	         "  stale: %s\n  prefetch: %s\n",
	         (const char *[]){ "U1", "U1, U2", "tcp://U1", "U2, tcp://U1" }[world_random(w, 4)],
	         (const char *[]){ "U3", "U4, U3", "tcp://U4" }[world_random(w, 3)],
	         upstream_policy_names[world_random(w, UPSTREAM_RACE + 1)], resend,
	         (unsigned)(4 + world_random(w, 8)),
	         (unsigned)(world_random(w, 4) ? 4096 : 16), (unsigned)(512 + world_random(w, 800)),
	         world_random(w, 3) ? "no" : "yes", s->truth.stale ? "1h" : "0", world_random(w, 2) ? "no" : "yes");
	world_configure(w, yaml);
}

static void storm_change_server(struct storm *s)
{
	struct world  *w = &s->world;
	unsigned       n = 1 + (unsigned)world_random(w, SERVERS);
	struct server *server = server_of(w, n);

	s->moods[n] = (enum mood)world_random(w, MOODS);
	server->state[TRANSPORT_UDP] = world_random(w, 4) ? SERVER_UP : (enum server_state)world_random(w, 4);
	server->state[TRANSPORT_TCP] = world_random(w, 4) ? SERVER_UP : (enum server_state)world_random(w, 4);
	server->open_us = world_random(w, 50000);
	if (world_random(w, 4) == 0)
		carrier_close_all(server);
}

static void storm_flush(struct storm *s)
{
	struct world   *w = &s->world;
	struct dns_name name;

	truth_name(&s->truth, (unsigned)world_random(w, TRUTH_NAMES), false, &name);
	if (world_random(w, 4) == 0)
		cache_flush_all(w->cache);
	else if (world_random(w, 2))
		cache_flush_name(w->cache, name.octets, name.len);
	else
		cache_flush_subtree(w->cache, name.octets + name.octets[0] + 1, name.len - name.octets[0] - 1u);
}

static void storm_pass_time(struct storm *s)
{
	struct world *w = &s->world;
	uint64_t      up_to_us = world_random(w, 20) ? 300000 : world_random(w, 5) ? 10000000 : 400000000;

	world_run(w, w->mono_us + world_random(w, up_to_us), NULL, NULL);
}

static void storm_step(struct storm *s)
{
	struct world *w = &s->world;
	uint64_t      dice = world_random(w, 1000), us;

	if (dice < 650) {
		storm_ask(s);
	} else if (dice < 700) {
		storm_ask_together(s);
	} else if (dice < 950) {
		storm_pass_time(s);
	} else if (dice < 975) {
		storm_change_server(s);
	} else if (dice < 985) {
		storm_hang_up(s);
	} else if (dice < 992) {
		storm_flush(s);
	} else if (dice < 996) {
		us = world_random(w, 200) * 1000000;
		truth_suspend(&s->truth, us);
		world_suspend(w, us);
	} else {
		storm_configure(s);
	}
	world_settle(w);
}

/* ---- the end ---- */

static void storm_check_end(struct storm *s)
{
	struct world      *w = &s->world;
	struct stats_view *v = calloc(1, sizeof *v);
	struct cache_stats cache;
	uint64_t           replies = 0;

	if (!v)
		abort();
	world_run(w, w->mono_us + 60000000, NULL, NULL);
	for (unsigned i = 0; i < 20 && w->stats.flights_now; i++)	/* popular names are being refreshed */
		world_run(w, w->mono_us + 1000000, NULL, NULL);
	stats_read(&w->stats, v);
	cache_read_stats(w->cache, world_boot_ms(w), &cache);
	for (struct list *n = w->askers.next; n != &w->askers; n = n->next)
		replies += list_entry(n, struct asker, node)->replies;
	if (replies + s->gone != s->asked)
		story_fail(&s->story, "%u queries, %u clients gone, but %llu replies", s->asked, s->gone,
		           (unsigned long long)replies);
	if (v->queries != s->asked)
		story_fail(&s->story, "%u queries, but the outcomes sum to %llu", s->asked,
		           (unsigned long long)v->queries);
	if (v->flights_now || v->waiting_now)
		story_fail(&s->story, "%llu flights and %llu clients are left over",
		           (unsigned long long)v->flights_now, (unsigned long long)v->waiting_now);
	if (cache.octets > cache.size_octets)
		story_fail(&s->story, "the cache holds %llu octets", (unsigned long long)cache.octets);
	free(v);
}

static bool storm_play(unsigned seed)
{
	struct storm *s = calloc(1, sizeof *s);
	bool          passed;

	if (!s)
		abort();
	world_init(&s->world, &s->story, seed);
	carrier_init_maker(&s->world);
	truth_init(&s->truth, &s->world);
	s->truth.stale = seed % 2;
	for (unsigned n = 1; n <= SERVERS; n++) {
		server_of(&s->world, n)->reply = storm_reply;
		server_of(&s->world, n)->ignored = true;
	}
	storm_configure(s);
	for (unsigned i = 0; i < STEPS && !s->story.failed; i++) {
		s->story.line = i;
		storm_step(s);
	}
	if (!s->story.failed)
		storm_check_end(s);
	passed = !s->story.failed;
	if (!passed)
		printf("seed %u, step %u: %s\n", seed, s->story.failed_line, s->story.why);
	world_stop(&s->world);
	askers_free(&s->world);
	servers_free(&s->world);
	world_done(&s->world);
	free(s);
	return passed;
}

int main(int argc, char **argv)
{
	unsigned first = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1;
	unsigned count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : argc > 1 ? 1 : SEEDS;
	unsigned passed = 0;

	log_set_level(LOG_LEVEL_ERROR);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned i = 0; i < count; i++)
		passed += storm_play(first + i);
	printf("%u passed, %u failed\n", passed, count - passed);
	return passed == count ? EXIT_SUCCESS : EXIT_FAILURE;
}
