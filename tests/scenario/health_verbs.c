/* health_verbs.c - statements about what larder thinks of an upstream.
 *
 *   U1 state good|suspect|open
 *   U1 reason silent|servfail|refused|closed|unreachable|no-route
 *   U1 turned good|suspect|open N		how often it has, for whatever reason
 *   U1 p50|p75|p99|hedge|timeout D		D may be a range
 *   U1 controls|probes|epoch N			N may be a range
 *   U1 is ordered up|down|auto			as by larderctl
 *   U1 begins anew				as when the way to it has changed
 */
#include "play.h"

#include "upstream/upstream.h"

#include <string.h>

static const char *const state_names[] = { "good", "suspect", "open" };
static const char *const reason_names[HEALTH_REASONS] = {
	[HEALTH_SILENT] = "silent", [HEALTH_SERVFAIL] = "servfail", [HEALTH_REFUSED] = "refused",
	[HEALTH_CLOSED] = "closed", [HEALTH_UNREACHABLE] = "unreachable", [HEALTH_NO_ROUTE] = "no-route",
	[HEALTH_UNRESOLVED] = "unresolved",
};
static const char *const order_names[] = { "auto", "up", "down" };

static int health_word(const struct statement *st, unsigned i, const char *const *names, unsigned count)
{
	for (unsigned k = 0; k < count; k++)
		if (words_is(&st->words, i, names[k]))
			return (int)k;
	return -1;
}

static void health_expect_word(struct statement *st, const char *const *names, unsigned count, unsigned is)
{
	int wanted = health_word(st, 2, names, count);

	if (wanted < 0)
		statement_wrong(st, 2, "there is no such word here");
	else if ((unsigned)wanted != is)
		story_fail(&st->play->story, "%s %s: %s was expected, %s it is", st->words.at[0], st->words.at[1],
		           names[wanted], names[is]);
}

static void health_expect(struct statement *st, unsigned i, bool is_time, uint64_t is)
{
	struct range wanted;

	if (i >= st->words.count || !(is_time ? script_duration_range : script_number_range)(st->words.at[i], &wanted))
		statement_wrong(st, i, is_time ? "a duration or range" : "a number or range");
	else if (is < wanted.min || is > wanted.max)
		story_fail(&st->play->story, "%s %s: %s was expected, %llu%s it is", st->words.at[0],
		           st->words.at[1], st->words.at[i], (unsigned long long)is, is_time ? "us" : "");
}

static void health_expect_turned(struct statement *st, const struct health_view *v)
{
	int      to = health_word(st, 2, state_names, HEALTH_OPEN + 1);
	uint64_t count = 0;

	if (to < 0) {
		statement_wrong(st, 2, "good, suspect or open");
		return;
	}
	for (unsigned reason = 0; reason < HEALTH_REASONS; reason++)
		count += v->transitions[to][reason];
	health_expect(st, 3, false, count);
}

static bool health_expect_number(struct statement *st, const struct health_view *v)
{
	const struct {
		const char *name;
		bool        is_time;
		uint64_t    is;
	} rows[] = {
		{ "p50", true, v->p50_us },		{ "p75", true, v->p75_us },
		{ "p99", true, v->p99_us },		{ "hedge", true, v->hedge_us },
		{ "timeout", true, v->timeout_us },	{ "controls", false, v->controls },
		{ "probes", false, v->probes_sent },	{ "epoch", false, v->epoch },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (words_is(&st->words, 1, rows[i].name)) {
			health_expect(st, 2, rows[i].is_time, rows[i].is);
			return true;
		}
	return false;
}

static void health_order(struct statement *st, struct health *h)
{
	int order = health_word(st, 3, order_names, sizeof order_names / sizeof *order_names);

	if (order < 0)
		statement_wrong(st, 3, "up, down or auto");
	else
		health_give_order(h, (enum health_order)order, st->play->world.mono_us);
}

static bool health_carry_out(struct statement *st, struct health *h)
{
	const struct words *w = &st->words;
	struct health_view  v;

	health_read(h, &v);
	if (words_is(w, 1, "state"))
		health_expect_word(st, state_names, HEALTH_OPEN + 1, v.state);
	else if (words_is(w, 1, "reason"))
		health_expect_word(st, reason_names, HEALTH_REASONS, v.reason);
	else if (words_is(w, 1, "turned"))
		health_expect_turned(st, &v);
	else if (words_is(w, 1, "is") && words_is(w, 2, "ordered"))
		health_order(st, h);
	else if (words_is(w, 1, "begins") && words_is(w, 2, "anew"))
		health_begin_anew(h, st->play->world.mono_us);
	else
		return health_expect_number(st, &v);
	return true;
}

bool health_statement(struct statement *st, struct server *s)
{
	struct upstream *u = server_upstream(s);

	return u && health_carry_out(st, &u->health);
}
