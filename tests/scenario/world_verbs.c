/* world_verbs.c - statements about larder itself and about time. */
#include "play.h"

#include "conf/load.h"
#include "dns/rrtype.h"

#include <stdlib.h>
#include <string.h>

#define REST_MAX_US UINT64_C(60000000)

/* The block's lines as they stand, in a text where they have the line numbers of the scenario. */
static char *verb_yaml(const struct statement *st)
{
	size_t len = st->block.first + 1;
	char  *text, *p;

	for (unsigned i = st->block.first; i < st->block.end; i++)
		len += strlen(st->block.script->lines[i]) + 1;
	p = text = malloc(len);
	if (!text)
		abort();
	memset(p, '\n', st->block.first);
	p += st->block.first;
	for (unsigned i = st->block.first; i < st->block.end; i++) {
		p = stpcpy(p, st->block.script->lines[i]);
		*p++ = '\n';
	}
	*p = '\0';
	return text;
}

static void verb_config(struct statement *st)
{
	char *yaml = verb_yaml(st);

	if (st->play->world.resolver)
		story_fail(&st->play->story, "there is a `config` already; `reload` takes another");
	else
		world_configure(&st->play->world, yaml);
	free(yaml);
}

static void verb_reload(struct statement *st)
{
	char *yaml = verb_yaml(st);

	if (!st->play->world.resolver)
		story_fail(&st->play->story, "there is no `config` yet");
	else
		world_configure(&st->play->world, yaml);
	free(yaml);
}

/* refuses "TEXT": larder does not accept this configuration, and says so. */
static void verb_refuses(struct statement *st)
{
	char        *yaml = verb_yaml(st), *report = NULL;
	const char  *why = st->words.count > 1 ? st->words.at[1] + (st->words.at[1][0] == '"') : "";
	struct conf *conf = conf_load_text(yaml, strlen(yaml), &report);

	if (conf)
		story_fail(&st->play->story, "larder accepts this configuration");
	else if (!*why || !strstr(report, why))
		story_fail(&st->play->story, "larder refuses it for another reason:\n%s", report);
	conf_unref(conf);
	free(report);
	free(yaml);
}

static void verb_seed(struct statement *st)
{
	if (st->play->world.resolver)
		story_fail(&st->play->story, "`seed` comes before `config`");
	else
		statement_number(st, 1, &st->play->world.random);
}

/* clock boot D: how long the machine has been up when the scenario begins. */
static void verb_clock(struct statement *st)
{
	struct world *w = &st->play->world;
	uint64_t      us;

	if (!words_is(&st->words, 1, "boot")) {
		statement_wrong(st, 1, "`clock boot DURATION`");
	} else if (statement_duration(st, 2, &us)) {
		if (us < w->mono_us || w->resolver)
			statement_wrong(st, 2, "at least 1000s, and before `config`");
		else
			w->boot_ahead_ms = (us - w->mono_us) / 1000;
	}
}

static void verb_after(struct statement *st)
{
	uint64_t us;

	if (statement_duration(st, 1, &us))
		world_run(&st->play->world, st->play->world.mono_us + us, NULL, NULL);
}

static void verb_suspend(struct statement *st)
{
	uint64_t us;

	if (statement_duration(st, 1, &us))
		world_suspend(&st->play->world, us);
}

static void verb_mark(struct statement *st)
{
	st->play->mark_us = st->play->world.mono_us;
}

static void verb_at(struct statement *st)
{
	struct world *w = &st->play->world;
	uint64_t      us;

	if (!statement_duration(st, 1, &us))
		return;
	if (st->play->mark_us + us < w->mono_us)
		statement_wrong(st, 1, "that time has passed already");
	else
		world_run(w, st->play->mark_us + us, NULL, NULL);
}

static bool verb_no_flights(void *arg)
{
	struct world *w = arg;

	return !atomic_load(&w->stats.flights_now);
}

static void verb_rest(struct statement *st)
{
	struct world *w = &st->play->world;

	if (!world_run(w, w->mono_us + REST_MAX_US, verb_no_flights, w))
		story_fail(&st->play->story, "a minute later there are still flights under way");
}

/* The worker ends now, whatever is under way. */
static void verb_stop(struct statement *st)
{
	world_stop(&st->play->world);
}

/* ---- the cache ---- */

static bool verb_flush_named(struct statement *st, unsigned *behind, uint64_t *gone)
{
	struct cache   *cache = st->play->world.cache;
	const char     *what = st->words.at[1];
	struct dns_name name;
	uint16_t        type;

	if (st->words.count < 3 || dns_name_from_text(st->words.at[2], &name) < 0)
		return false;
	dns_name_lower(name.octets, name.len);
	*behind = 3;
	if (!strcmp(what, "name")) {
		*gone = cache_flush_name(cache, name.octets, name.len);
	} else if (!strcmp(what, "subtree")) {
		*gone = cache_flush_subtree(cache, name.octets, name.len);
	} else if (!strcmp(what, "type") && st->words.count > 3 &&
	           dns_rrtype_from_text(st->words.at[3], &type) == 0) {
		*gone = cache_flush_type(cache, name.octets, name.len, type);
		*behind = 4;
	} else {
		return false;
	}
	return true;
}

static void verb_expect(struct statement *st, unsigned i, const char *what, uint64_t got)
{
	struct range wanted;

	if (i >= st->words.count || !script_number_range(st->words.at[i], &wanted))
		statement_wrong(st, i, "a number or range should stand here");
	else if (got < wanted.min || got > wanted.max)
		story_fail(&st->play->story, "%s: %s was expected, %llu it is", what, st->words.at[i],
		           (unsigned long long)got);
}

static void verb_flush(struct statement *st)
{
	unsigned behind = 2;
	uint64_t gone = 0;

	if (!st->play->world.cache) {
		story_fail(&st->play->story, "there is no `config` yet");
		return;
	}
	if (words_is(&st->words, 1, "all")) {
		gone = cache_flush_all(st->play->world.cache);
	} else if (st->words.count < 2 || !verb_flush_named(st, &behind, &gone)) {
		statement_wrong(st, 1, "all, name NAME, type NAME TYPE, or subtree NAME");
		return;
	}
	if (words_is(&st->words, behind, "drops"))
		verb_expect(st, behind + 1, "entries dropped", gone);
	else if (behind < st->words.count)
		statement_wrong(st, behind, "`drops N` could stand here");
}

static void verb_cache(struct statement *st)
{
	struct cache_stats stats;

	if (!st->play->world.cache) {
		story_fail(&st->play->story, "there is no `config` yet");
		return;
	}
	cache_read_stats(st->play->world.cache, world_boot_ms(&st->play->world), &stats);
	if (words_is(&st->words, 1, "entries"))
		verb_expect(st, 2, "entries in the cache", stats.entries);
	else if (words_is(&st->words, 1, "negative"))
		verb_expect(st, 2, "negative entries in the cache", stats.negative);
	else if (words_is(&st->words, 1, "evicted"))
		verb_expect(st, 2, "entries evicted", stats.evicted);
	else if (words_is(&st->words, 1, "octets"))
		verb_expect(st, 2, "octets in use by the cache", stats.octets);
	else
		statement_wrong(st, 1, "entries, negative, evicted or octets");
}

/* ---- statistics ---- */

static void verb_counted(struct statement *st, const struct stats_row *rows, unsigned count,
                         const _Atomic uint64_t *values)
{
	for (unsigned i = 0; i < count; i++)
		if (words_is(&st->words, 1, rows[i].name)) {
			verb_expect(st, 2, rows[i].name, atomic_load(&values[i]));
			return;
		}
	statement_wrong(st, 1, "nothing of this name is counted");
}

static void verb_counter(struct statement *st)
{
	verb_counted(st, stats_counter_rows, STATS_COUNTERS, st->play->world.stats.counter);
}

static void verb_outcome(struct statement *st)
{
	verb_counted(st, stats_outcome_rows, OUTCOMES, st->play->world.stats.outcome);
}

static void verb_flights(struct statement *st)
{
	verb_expect(st, 1, "flights under way", atomic_load(&st->play->world.stats.flights_now));
}

static void verb_waiting(struct statement *st)
{
	verb_expect(st, 1, "clients waiting", atomic_load(&st->play->world.stats.waiting_now));
}

static const struct {
	const char *name;
	void      (*carry_out)(struct statement *st);
} verbs[] = {
	{ "config", verb_config },	{ "reload", verb_reload },
	{ "refuses", verb_refuses },
	{ "seed", verb_seed },		{ "clock", verb_clock },
	{ "after", verb_after },	{ "suspend", verb_suspend },
	{ "mark", verb_mark },		{ "at", verb_at },
	{ "rest", verb_rest },		{ "flush", verb_flush },
	{ "cache", verb_cache },	{ "counter", verb_counter },
	{ "outcome", verb_outcome },	{ "flights", verb_flights },
	{ "waiting", verb_waiting },	{ "stop", verb_stop },
};

void world_statement(struct statement *st)
{
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		if (words_is(&st->words, 0, verbs[i].name)) {
			verbs[i].carry_out(st);
			return;
		}
	statement_wrong(st, 0, "no statement begins like this");
}
