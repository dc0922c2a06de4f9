/* test_top.c - the screen of larderctl top, from plain numbers.
 *
 * Whole screens are held against texts, so that a change of the layout is seen
 * as such; that nothing is drawn outside or over something else, and that no
 * text can give the terminal orders, is tried at every size.
 */
#include "larderctl/canvas.h"
#include "larderctl/top_draw.h"
#include "larderctl/top_sample.h"
#include "unit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000)

/* ---- samples ---- */

static struct top_sample *sample_at(uint64_t second)
{
	struct top_sample *s = calloc(1, sizeof *s);

	assert_non_null(s);
	s->at_us = (1000 + second) * SECOND;
	s->time_ms = 1790000000000 + second * 1000;
	s->uptime_s = 11520 + second;
	s->workers = 2;
	strcpy(s->version, "0.1.0");
	strcpy(s->health, "healthy");
	s->upstreams = calloc(8, sizeof *s->upstreams);
	s->slow = calloc(TOP_SLOW_MAX, sizeof *s->slow);
	assert_true(s->upstreams && s->slow);
	s->cache_entries = 1234;
	s->cache_octets = 3 << 20;
	s->cache_size = 64 << 20;
	s->slow_known = true;
	s->slow_over_us = 100000;
	return s;
}

static void add_answers(struct top_sample *s, enum stats_outcome o, uint64_t us, uint64_t n)
{
	s->outcome[o] += n;
	s->queries += n;
	s->answers.count[histogram_bucket(us)] += n;
	s->answers.total += n;
}

static void add_upstream(struct top_sample *s, const char *name, const char *state, uint64_t sent, uint64_t us)
{
	struct top_upstream *up = &s->upstreams[s->upstream_count++];

	snprintf(up->name, sizeof up->name, "%s", name);
	snprintf(up->state, sizeof up->state, "%.15s", state);
	up->counter[UPSTREAM_SENT] = sent;
	up->exchange.count[histogram_bucket(us)] = up->exchange.total = sent;
}

static void add_slow(struct top_sample *s, uint64_t ago_s, uint64_t us, const char *name, const char *reason)
{
	struct top_slow *q = &s->slow[s->slow_count++];

	q->time_ms = s->time_ms - ago_s * 1000;
	q->duration_us = us;
	snprintf(q->name, sizeof q->name, "%s", name);
	strcpy(q->type, "AAAA");
	snprintf(q->reason, sizeof q->reason, "%s", reason);
}

/* Two upstreams, of which one has fallen silent; a minute of 1000 queries a second, and a last second of 1200. */
static void make_busy(struct top_history *h)
{
	static const uint64_t seconds[] = { 0, 59, 60 };

	for (unsigned i = 0; i < 3; i++) {
		struct top_sample *s = sample_at(seconds[i]);
		uint64_t           n = seconds[i] == 60 ? 60200 : 1000 * seconds[i];

		add_answers(s, OUTCOME_HIT, 20, n * 9 / 10);
		add_answers(s, OUTCOME_MISS, 25000, n * 9 / 100);
		add_answers(s, OUTCOME_JOINED, 320000, n / 100);
		s->cache_stored = n / 100;
		s->cache_evicted = 7;
		s->flights = 3;
		s->waiting = 12;
		s->tcp_clients = 1;
		add_upstream(s, "office", "good", n / 10, 20000);
		add_upstream(s, "https://resolver.example/dns-query", "open", n / 1000, 300000);
		s->upstreams[1].counter[UPSTREAM_TIMEOUT] = n / 2000;
		s->upstreams[1].counter[UPSTREAM_RCODE] = i;
		strcpy(s->upstreams[1].why, "silent, probe in 4 s");
		strcpy(s->health, "degraded");
		strcpy(s->complaint, "upstreams: 1 of 2 is open");
		add_slow(s, 3, 302000, "www.example.com.", "office did not answer within 300 ms");
		add_slow(s, 754, 1250000, "a.rather.long.name.that.does.not.fit.example.org.",
			 "https://resolver.example/dns-query answered in 1.2 s");
		top_history_add(h, s);
	}
}

static struct top_scene scene_of(const struct top_history *h)
{
	return (struct top_scene){
		.now = top_history_now(h), .before = top_history_before(h), .minute = top_history_minute(h),
		.interval_ms = 1000,
	};
}

/* ---- whole screens ---- */

static char *drawn(const struct top_scene *scene, unsigned rows, unsigned columns, bool utf8, bool colour)
{
	struct canvas c;
	char         *text = NULL;
	size_t        len;
	FILE         *to = open_memstream(&text, &len);

	canvas_init(&c, rows, columns, utf8);
	top_draw(scene, &c);
	for (unsigned row = 0; row < c.rows; row++) {
		assert_true(canvas_write_row(&c, row, colour, to) <= columns);
		fputc('\n', to);
	}
	canvas_done(&c);
	fclose(to);
	return text;
}

static void check_screen(const struct top_scene *scene, unsigned rows, unsigned columns, const char *expected)
{
	char *text = drawn(scene, rows, columns, true, false);

	if (strcmp(text, expected)) {
		fprintf(stderr, "%u rows of %u columns:\n%s", rows, columns, text);
		fail();
	}
	free(text);
}

static void test_80_columns(void **state)
{
	struct top_history h = { .count = 0 };
	struct top_scene   scene;

	(void)state;
	make_busy(&h);
	scene = scene_of(&h);
	check_screen(&scene, 24, 80,
		     "larderd 0.1.0  degraded  up 3 h 13 min                        every 1 s, q quits\n"
		     "upstreams: 1 of 2 is open\n"
		     "1200 queries/s   hit ratio 90.0 %   3 upstream, 12 waiting, 1 TCP\n"
		     "\n"
		     "waits            p50      p90      p99   how long clients waited, last 60 s\n"
		     "last 1 s       22 µs    22 µs    27 ms   <0.1 ms ███████████████████████  90.0 %\n"
		     "last 60 s      22 µs    22 µs    27 ms   <0.3 ms\n"
		     "                                           <1 ms\n"
		     "answers           /s    share   minute     <3 ms\n"
		     "hit             1080   90.0 %   90.0 %    <10 ms\n"
		     "stale              0    0.0 %    0.0 %    <30 ms ██▎                       9.0 %\n"
		     "miss             108    9.0 %    9.0 %   <100 ms\n"
		     "joined            12    1.0 %    1.0 %   <300 ms ▏                         0.6 %\n"
		     "local              0    0.0 %    0.0 %      <1 s ▏                         0.4 %\n"
		     "refused            0    0.0 %    0.0 %    longer\n"
		     "\n"
		     "upstreams              state      /s    share     p50     p99  failures\n"
		     "office                 good      100   99.0 %   18 ms   18 ms\n"
		     "https://re…/dns-query  open      1.0    1.0 %  295 ms  295 ms  silent, probe in…\n"
		     "\n"
		     "slow queries, 100 ms and more\n"
		     "     3 s ago  302 ms  www.example.com. AAAA  office did not answer within 300 ms\n"
		     "  12 min ago   1.2 s  a.rather.long.name.that.does…  https://resolver.example/d…\n"
		     "cache  4.7 % of 64.0 MiB full, 1234 entries; stored 10/s, evicted 0/s\n");
	top_history_clear(&h);
}

static void test_40_columns(void **state)
{
	struct top_history h = { .count = 0 };
	struct top_scene   scene;

	(void)state;
	make_busy(&h);
	scene = scene_of(&h);
	check_screen(&scene, 24, 40,
		     "larderd 0.1.0  degraded  up 3 h 13 min\n"
		     "upstreams: 1 of 2 is open\n"
		     "1200 queries/s   hit ratio 90.0 %\n"
		     "hit 90.0 %  miss 9.0 %  joined 1.0 %\n"
		     "\n"
		     "waits            p50      p90      p99\n"
		     "last 1 s       22 µs    22 µs    27 ms\n"
		     "last 60 s      22 µs    22 µs    27 ms\n"
		     "\n"
		     "how long clients waited, last 60 s\n"
		     "<0.3 ms ████████████████████████  90.0 %\n"
		     "  <3 ms\n"
		     " <30 ms ██▍                        9.0 %\n"
		     "<300 ms ▏                          0.6 %\n"
		     " longer ▏                          0.4 %\n"
		     "\n"
		     "upstreams       state        p50     p99\n"
		     "office          good       18 ms   18 ms\n"
		     "https:/…s-query open      295 ms  295 ms\n"
		     "\n"
		     "slow queries, 100 ms and more\n"
		     "     3 s ago  302 ms  www.example.com. …\n"
		     "  office did not answer within 300 ms\n"
		     "cache  4.7 % of 64.0 MiB full, 1234 ent…\n");
	top_history_clear(&h);
}

/* What matters most is left. */
static void test_few_rows(void **state)
{
	struct top_history h = { .count = 0 };
	struct top_scene   scene;

	(void)state;
	make_busy(&h);
	scene = scene_of(&h);
	scene.notice = "trying again: larderd is not running: nobody listens on /run/larder/io.larder";
	check_screen(&scene, 8, 100,
		     "larderd 0.1.0  degraded  up 3 h 13 min                                            every 1 s, q quits\n"
		     "trying again: larderd is not running: nobody listens on /run/larder/io.larder\n"
		     "upstreams: 1 of 2 is open\n"
		     "1200 queries/s   hit ratio 90.0 %   3 upstream, 12 waiting, 1 TCP\n"
		     "waits            p50      p90      p99\n"
		     "last 1 s       22 µs    22 µs    27 ms\n"
		     "last 60 s      22 µs    22 µs    27 ms\n"
		     "cache  4.7 % of 64.0 MiB full, 1234 entries; stored 10/s, evicted 0/s\n");
	top_history_clear(&h);
}

static void check_has(const struct top_scene *scene, const char *part)
{
	char *text = drawn(scene, 24, 80, true, false);

	if (!strstr(text, part)) {
		fprintf(stderr, "no \"%s\" in:\n%s", part, text);
		fail();
	}
	free(text);
}

/* Nothing can be said of rates yet, and nothing is made up. */
static void test_first_sample(void **state)
{
	struct top_history h = { .count = 0 };
	struct top_scene   scene = scene_of(&h);
	struct top_sample *s = sample_at(0);
	char              *text;

	(void)state;
	check_has(&scene, "larder\n");
	add_answers(s, OUTCOME_HIT, 20, 1000);
	add_upstream(s, "office", "good", 1000, 20000);
	top_history_add(&h, s);
	scene = scene_of(&h);
	check_has(&scene, "- queries/s   hit ratio -");
	check_has(&scene, "slow queries, 100 ms and more: none\n");
	text = drawn(&scene, 24, 80, true, false);
	assert_null(strstr(text, "1000"));
	free(text);
	top_history_clear(&h);
}

/* Colours mark what is bad, and only when there shall be colours; without UTF-8 all is ASCII. */
static void test_colours_and_ascii(void **state)
{
	struct top_history h = { .count = 0 };
	struct top_scene   scene;
	char              *text;

	(void)state;
	make_busy(&h);
	scene = scene_of(&h);
	text = drawn(&scene, 24, 80, true, true);
	assert_non_null(strstr(text, "\033[0;31mupstreams: 1 of 2 is open\033[0m\n"));
	assert_non_null(strstr(text, "\033[0;1mupstreams "));
	free(text);
	text = drawn(&scene, 24, 80, false, false);
	for (const char *p = text; *p; p++)
		assert_true(*p == '\n' || (*p >= 0x20 && *p < 0x7f));
	assert_non_null(strstr(text, "22 us"));
	assert_non_null(strstr(text, "<0.1 ms ####"));
	assert_non_null(strstr(text, "  a.rather.long.name.that.does>"));
	free(text);
	top_history_clear(&h);
}

/* ---- what is drawn is harmless, at every size ---- */

#define EVIL "e\033[2J\007\302\233\342\200\256\377\n\t\033]0;x\007\177"

static void make_evil(struct top_history *h)
{
	for (unsigned i = 0; i < 2; i++) {
		struct top_sample *s = sample_at(i);

		strcpy(s->version, EVIL);
		strcpy(s->health, EVIL);
		strcpy(s->complaint, EVIL EVIL);
		for (unsigned k = 0; k < 5; k++) {
			add_upstream(s, EVIL "long enough to be cut in the middle" EVIL, EVIL, UINT64_MAX / 2 * i, 1);
			strcpy(s->upstreams[k].why, EVIL);
			add_slow(s, 1, UINT64_MAX, EVIL, EVIL EVIL);
		}
		s->slow[0].time_ms = UINT64_MAX;
		add_answers(s, OUTCOME_STALE, 1, UINT64_MAX / 2 * i);
		s->cache_octets = s->cache_entries = s->flights = UINT64_MAX;
		top_history_add(h, s);
	}
}

static void check_harmless(const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '\n' || (*p >= 0x20 && *p < 0x7f))
			continue;
		/* µ, the ellipsis and the blocks are all there is beside ASCII. */
		if (p[0] == 0xc2 && p[1] == 0xb5)
			p += 1;
		else if (p[0] == 0xe2 && ((p[1] == 0x80 && p[2] == 0xa6) || (p[1] == 0x96 && p[2] >= 0x88 && p[2] <= 0x8f)))
			p += 2;
		else
			fail_msg("octet 0x%02x", *p);
	}
}

static void test_every_size(void **state)
{
	struct top_history h[2] = { { .count = 0 }, { .count = 0 } };

	(void)state;
	make_busy(&h[0]);
	make_evil(&h[1]);
	for (unsigned k = 0; k < 2; k++) {
		struct top_scene scene = scene_of(&h[k]);

		scene.notice = EVIL;
		for (unsigned rows = 1; rows < 60; rows += rows < 26 ? 1 : 7)
			for (unsigned columns = 1; columns < 140; columns += columns < 82 ? 1 : 9) {
				char *text = drawn(&scene, rows, columns, true, false);

				check_harmless(text);
				free(text);
			}
		top_history_clear(&h[k]);
	}
}

/* ---- samples and what lies between them ---- */

static void test_between(void **state)
{
	struct top_sample *then = sample_at(0), *now = sample_at(2);
	struct top_delta   d;

	(void)state;
	add_answers(then, OUTCOME_HIT, 20, 100);
	add_answers(now, OUTCOME_HIT, 20, 100);
	add_answers(now, OUTCOME_MISS, 25000, 50);
	top_between(now, then, &d);
	assert_true(d.seconds > 1.999 && d.seconds < 2.001);
	assert_int_equal(d.queries, 50);
	assert_int_equal(d.outcome[OUTCOME_HIT], 0);
	assert_int_equal(d.answers.total, 50);
	assert_int_equal(d.answers.count[histogram_bucket(25000)], 50);
	assert_int_equal(d.answers.count[histogram_bucket(20)], 0);
	top_between(now, NULL, &d);
	assert_true(d.seconds == 0 && d.queries == 0);
	top_between(now, now, &d);
	assert_true(d.seconds == 0);
	top_sample_free(then);
	top_sample_free(now);
}

/* After a reload, upstreams may stand elsewhere, be new, or have begun to count anew. */
static void test_upstreams_between(void **state)
{
	struct top_sample        *then = sample_at(0), *now = sample_at(1);
	struct top_upstream_delta d;

	(void)state;
	add_upstream(then, "a", "good", 100, 20);
	add_upstream(then, "b", "good", 1000, 20);
	add_upstream(now, "b", "good", 1010, 20);
	add_upstream(now, "new", "good", 7, 20);
	add_upstream(now, "a", "good", 40, 20);
	top_upstream_between(&now->upstreams[0], then, &d);
	assert_int_equal(d.counter[UPSTREAM_SENT], 10);
	assert_int_equal(d.exchange.total, 10);
	top_upstream_between(&now->upstreams[1], then, &d);
	assert_int_equal(d.counter[UPSTREAM_SENT], 7);
	top_upstream_between(&now->upstreams[2], then, &d);
	assert_int_equal(d.counter[UPSTREAM_SENT], 40);
	assert_int_equal(d.exchange.total, 40);
	top_upstream_between(&now->upstreams[2], NULL, &d);
	assert_int_equal(d.counter[UPSTREAM_SENT], 0);
	top_sample_free(then);
	top_sample_free(now);
}

static void test_the_last_minute(void **state)
{
	struct top_history h = { .count = 0 };

	(void)state;
	assert_null(top_history_now(&h));
	for (unsigned i = 0; i <= 100; i++) {
		top_history_add(&h, sample_at(i));
		assert_int_equal(top_history_now(&h)->at_us, (1000 + i) * SECOND);
		if (!i) {
			assert_null(top_history_before(&h));
			assert_null(top_history_minute(&h));
			continue;
		}
		assert_int_equal(top_history_before(&h)->at_us, (1000 + i - 1) * SECOND);
		assert_int_equal(top_history_minute(&h)->at_us, (1000 + (i > 60 ? i - 60 : 0)) * SECOND);
	}
	top_history_add(&h, sample_at(1000));		/* after a long pause */
	assert_int_equal(top_history_minute(&h)->at_us, 1100 * SECOND);
	assert_int_equal(h.count, 2);
	top_history_clear(&h);
}

/* A restart shows by counters, or by an uptime that did not grow as time did, even where it grew. */
static void test_restarts(void **state)
{
	struct top_history h = { .count = 0 };
	struct top_sample *s;

	(void)state;
	s = sample_at(0);
	add_answers(s, OUTCOME_HIT, 20, 100);
	top_history_add(&h, s);
	s = sample_at(1);
	add_answers(s, OUTCOME_HIT, 20, 99);
	top_history_add(&h, s);
	assert_int_equal(h.count, 1);
	s = sample_at(2);
	add_answers(s, OUTCOME_HIT, 20, 200);
	s->uptime_s = 0;
	top_history_add(&h, s);
	assert_int_equal(h.count, 1);
	s = sample_at(22);
	add_answers(s, OUTCOME_HIT, 20, 300);
	s->uptime_s = 15;			/* of twenty */
	top_history_add(&h, s);
	assert_int_equal(h.count, 1);
	s = sample_at(32);
	add_answers(s, OUTCOME_HIT, 20, 300);
	s->uptime_s = 24;			/* whole seconds, and a reply that took long */
	top_history_add(&h, s);
	assert_int_equal(h.count, 2);
	top_history_clear(&h);
}

/* ---- from replies ---- */

static json_t *json_of(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	assert_non_null(value);
	return value;
}

static void test_replies(void **state)
{
	json_t *status = json_of("{\"version\": \"1\", \"uptime_s\": 60, \"trouble\": null}");
	json_t *stats = json_of("{\"queries\": 30, \"outcomes\": {\"hit\": {\"count\": 20}, \"miss\": {\"count\": 10},"
				" \"new\": {\"count\": 5}}, \"gauges\": {\"waiting\": 2},"
				" \"cache\": {\"entries\": 4, \"octets\": -1}, \"counters\": {\"cache_stored\": 9},"
				" \"upstreams\": [{\"name\": \"u\", \"state\": \"open\", \"counters\": {\"timeout\": 3}}]}");
	json_t *upstreams = json_of("{\"upstreams\": [{\"name\": \"u\", \"order\": \"auto\", \"reason\": \"silent\","
				    " \"next_probe_ms\": 3500}]}");
	json_t *health = json_of("{\"status\": \"degraded\", \"checks\": [{\"name\": \"a\", \"status\": \"healthy\","
				 " \"detail\": \"well\"}, {\"name\": \"b\", \"status\": \"degraded\","
				 " \"detail\": \"bad\"}]}");
	json_t *latencies = json_of("{\"bounds_us\": [0, 16, 20, 1000000], \"outcomes\": {\"hit\": [1, 2, 3, 0, 99],"
				    " \"miss\": [0, 0, 0, 10]}, \"upstreams\": [{\"name\": \"u\","
				    " \"exchange\": [0, 7]}]}");
	json_t *slow = json_of("{\"over_us\": 5, \"queries\": [{\"name\": null, \"type\": \"A\", \"duration_us\": 9}]}");
	const struct top_replies r = { status, stats, upstreams, health, latencies, slow };
	struct top_sample       *s = top_sample_new(&r, 5, 6);

	(void)state;
	assert_int_equal(s->queries, 30);
	assert_int_equal(s->outcome[OUTCOME_HIT], 20);
	assert_int_equal(s->cache_octets, 0);
	assert_int_equal(s->cache_stored, 9);
	assert_string_equal(s->complaint, "b: bad");
	assert_int_equal(s->answers.count[histogram_bucket(16)], 2);
	assert_int_equal(s->answers.count[histogram_bucket(1000000)], 10);
	assert_string_equal(s->upstreams[0].why, "silent, probe in 4 s");
	assert_int_equal(s->upstreams[0].counter[UPSTREAM_TIMEOUT], 3);
	assert_int_equal(s->upstreams[0].exchange.total, 7);
	assert_true(s->slow_known && s->slow_count == 1 && !*s->slow[0].name);
	top_sample_free(s);
	json_decref(status);
	json_decref(stats);
	json_decref(upstreams);
	json_decref(health);
	json_decref(latencies);
	json_decref(slow);
}

/* An older larderd does not know the newer methods; what is missing is left out. */
static void test_replies_missing(void **state)
{
	const struct top_replies r = { .status = NULL };
	struct top_history       h = { .count = 0 };
	struct top_scene         scene;
	char                    *text;

	(void)state;
	top_history_add(&h, top_sample_new(&r, SECOND, 1000));
	top_history_add(&h, top_sample_new(&r, 2 * SECOND, 2000));
	scene = scene_of(&h);
	check_has(&scene, "no upstreams\n");
	text = drawn(&scene, 24, 80, true, false);
	assert_null(strstr(text, "slow"));
	free(text);
	top_history_clear(&h);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_80_columns),
		cmocka_unit_test(test_40_columns),
		cmocka_unit_test(test_few_rows),
		cmocka_unit_test(test_first_sample),
		cmocka_unit_test(test_colours_and_ascii),
		cmocka_unit_test(test_every_size),
		cmocka_unit_test(test_between),
		cmocka_unit_test(test_upstreams_between),
		cmocka_unit_test(test_the_last_minute),
		cmocka_unit_test(test_restarts),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_replies_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
