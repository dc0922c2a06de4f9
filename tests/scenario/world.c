/* world.c - a worker's parts, put together as daemon/worker.c does, and time.
 *
 * Always true: no event and no timer that was due before now has been left out,
 * and at equal times packets come before timers, as in a worker's loop.
 */
#include "world.h"

#include "conf/load.h"
#include "dns/scrub.h"
#include "resolve/setup.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_US   UINT64_C(1000000000)
#define BOOT_AHEAD UINT64_C(5000000)
#define STEPS_MAX  UINT64_C(20000000)
#define YAML_MAX   65536

/* ---- clock and random numbers ---- */

static struct world *world_of_clock(const struct clock *c)
{
	return list_entry((struct clock *)(uintptr_t)c, struct world, clock);
}

uint64_t world_boot_ms(const struct world *w)
{
	return w->mono_us / 1000 + w->boot_ahead_ms;
}

static uint64_t world_clock_boot_ms(const struct clock *c)
{
	return world_boot_ms(world_of_clock(c));
}

static uint64_t world_clock_mono_us(const struct clock *c)
{
	return world_of_clock(c)->mono_us;
}

static uint64_t world_next_random(struct world *w)	/* SplitMix64 */
{
	uint64_t z = w->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t world_random(struct world *w, uint64_t below)
{
	return world_next_random(w) % below;	/* far below 2^64: as good as even */
}

static void world_fill(void *arg, uint8_t *octets, size_t len)
{
	for (size_t i = 0; i < len; i++)
		octets[i] = (uint8_t)world_next_random(arg);
}

/* ---- configuration ---- */

static bool world_is_word(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_';
}

/* U7 as a word of its own becomes 198.51.100.7. */
static bool world_place_upstreams(const char *yaml, char *out, size_t room)
{
	size_t used = 0;
	char   before = ' ';

	while (*yaml && used + 32 < room) {
		char *end;

		if (*yaml == 'U' && yaml[1] >= '1' && yaml[1] <= '9' && !world_is_word(before)) {
			unsigned long n = strtoul(yaml + 1, &end, 10);

			if (n < 255 && !world_is_word(*end)) {
				used += (size_t)sprintf(out + used, "198.51.100.%lu", n);
				yaml = end;
				before = '0';
				continue;
			}
		}
		before = *yaml;
		out[used++] = *yaml++;
	}
	out[used] = '\0';
	return !*yaml;
}

static struct conf *world_load(struct world *w, const char *yaml)
{
	char        *text = malloc(YAML_MAX), *report = NULL;
	struct conf *conf = NULL;

	if (!text || !world_place_upstreams(yaml, text, YAML_MAX)) {
		story_fail(w->story, "the configuration is too long");
		free(text);
		return NULL;
	}
	conf = conf_load_text(text, strlen(text), &report);
	if (!conf)
		story_fail(w->story, "larder does not accept this configuration:\n%s", report ? report : "");
	free(report);
	free(text);
	return conf;
}

static void world_release_conf(void *owner)
{
	conf_unref(owner);
}

/* As daemon_make_setup() for one worker. */
static struct setup *world_make_setup(struct conf *conf, const struct setup *old)
{
	struct setup_conf c = {
		.policy = &conf->policy,
		.upstreams = conf->upstreams,
		.upstream_count = conf->upstream_count,
		.times = conf->times,
		.cache_times = conf->cache_times,
		.worker_count = 1,
		.release = world_release_conf,
		.owner = conf_ref(conf),
	};

	return setup_new(&c, old);
}

static void world_start(struct world *w, struct setup *setup)
{
	uint8_t             secret[16];
	struct resolver_env env = {
		.upstream = {
			.clock = &w->clock,
			.rng = &w->rng,
			.stats = &w->stats,
			.maker = &w->maker,
		},
		.timers = &w->timers,
	};

	rng_bytes(&w->rng, secret, sizeof secret);
	w->cache = cache_new(&w->conf->cache, secret);
	w->scrub = dns_scrub_new();
	env.upstream.scrub = w->scrub;
	env.cache = w->cache;
	timers_init(&w->timers, w->mono_us / 1000);
	w->resolver = w->cache && w->scrub ? resolver_new(&env, setup_ref(setup)) : NULL;
	if (!w->resolver)
		story_fail(w->story, "no memory for the worker");
}

/* As daemon_reload(). */
static void world_reload(struct world *w, struct setup *setup)
{
	if (resolver_reconfigure(w->resolver, setup_ref(setup)) < 0)
		story_fail(w->story, "no memory for the new configuration");
	w->reloaded_us = w->mono_us;
	if (setup_routes_differ(w->setup, setup))
		cache_flush_crossing(w->cache);
	setup_unref(w->setup);
}

void world_configure(struct world *w, const char *yaml)
{
	struct conf  *conf = world_load(w, yaml);
	struct setup *setup = conf ? world_make_setup(conf, w->setup) : NULL;

	if (!setup) {
		story_fail(w->story, "no memory for the configuration");
		conf_unref(conf);
		return;
	}
	conf_unref(w->conf);
	w->conf = conf;
	if (w->resolver)
		world_reload(w, setup);
	else
		world_start(w, setup);
	w->setup = setup;
}

/* ---- time ---- */

void world_set(struct world *w, struct world_event *e, uint64_t in_us)
{
	struct list *n;

	world_unset(e);
	e->at_us = w->mono_us + in_us;
	for (n = w->events.prev; n != &w->events; n = n->prev)
		if (list_entry(n, struct world_event, node)->at_us <= e->at_us)
			break;
	list_append(n->next, &e->node);		/* before the next one, which is later */
}

void world_unset(struct world_event *e)
{
	list_remove(&e->node);
}

static struct world_event *world_next_event(struct world *w)
{
	return list_empty(&w->events) ? NULL : list_entry(w->events.next, struct world_event, node);
}

/* The next thing that happens up to until_us, and then the wheel.  False: nothing does. */
static bool world_step(struct world *w, uint64_t until_us)
{
	struct world_event *e = world_next_event(w);
	uint64_t            ring_ms = w->resolver ? timers_next_ms(&w->timers) : UINT64_MAX;
	uint64_t            ring_us = ring_ms < UINT64_MAX / 1000 ? ring_ms * 1000 : UINT64_MAX;
	uint64_t            next_us = e && e->at_us <= ring_us ? e->at_us : ring_us;

	if (next_us > until_us || w->story->failed)
		return false;
	if (++w->steps > STEPS_MAX) {
		story_fail(w->story, "time does not get on: an event without end");
		return false;
	}
	if (next_us > w->mono_us)
		w->mono_us = next_us;
	if (e && e->at_us <= ring_us) {
		list_remove(&e->node);
		e->happen(e);
	}
	if (w->resolver)
		timers_run(&w->timers, w->mono_us / 1000);
	return true;
}

bool world_run(struct world *w, uint64_t until_us, bool (*enough)(void *), void *arg)
{
	if (enough && enough(arg))
		return true;
	while (world_step(w, until_us))
		if (enough && enough(arg))
			return true;
	if (until_us > w->mono_us && !w->story->failed)
		w->mono_us = until_us;
	if (w->resolver)
		timers_run(&w->timers, w->mono_us / 1000);
	return enough && enough(arg);
}

void world_settle(struct world *w)
{
	world_run(w, w->mono_us, NULL, NULL);
}

void world_suspend(struct world *w, uint64_t us)
{
	w->boot_ahead_ms += us / 1000;
}

/* ---- life ---- */

void world_init(struct world *w, struct story *story, uint64_t seed)
{
	memset(w, 0, sizeof *w);
	w->story = story;
	w->clock.boot_ms = world_clock_boot_ms;
	w->clock.mono_us = world_clock_mono_us;
	w->mono_us = START_US;
	w->boot_ahead_ms = BOOT_AHEAD;
	w->random = seed;
	w->next_id = 1;
	rng_init(&w->rng, world_fill, w);
	list_init(&w->events);
	list_init(&w->servers);
	list_init(&w->askers);
	list_init(&w->batch);
}

void world_stop(struct world *w)
{
	struct list *n;

	resolver_free(w->resolver);
	w->resolver = NULL;
	while ((n = list_take_first(&w->events))) {	/* what is on its way reaches nobody now, and goes */
		struct world_event *e = list_entry(n, struct world_event, node);

		e->happen(e);
	}
}

void world_done(struct world *w)
{
	world_stop(w);
	setup_unref(w->setup);
	conf_unref(w->conf);
	cache_free(w->cache);
	dns_scrub_free(w->scrub);
}
