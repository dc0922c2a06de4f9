/* show_trace.c - an answer, how it came about, and where the time went.
 *
 * Times are told from the moment of the order.  The verdict at the end names
 * the one stage that took most of the time, and for a slow upstream says which.
 */
#include "larderctl/show.h"
#include "larderctl/units.h"

#include <stdio.h>
#include <string.h>

#define TRACE_WORDS 512

static bool trace_has(const json_t *object, const char *key)
{
	return json_is_integer(json_object_get(object, key));
}

static bool trace_is(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

void show_answer(const json_t *reply, const struct term *term)
{
	const json_t *flag, *flags = json_object_get(reply, "flags");
	char          took[UNITS_MAX], set[64] = "";
	size_t        i;

	json_array_foreach(flags, i, flag)
		snprintf(set + strlen(set), sizeof set - strlen(set), " %s", json_string_value(flag));
	term_say(";; %s %s: %s, flags:%s; %s, %s", show_text(reply, "name"), show_text(reply, "type"),
	         show_text(reply, "rcode"), *set ? set : " none", show_text(reply, "outcome"),
	         units_time(show_number(reply, "answered_us"), term->utf8, took));
	if (trace_has(reply, "extended_error"))
		term_say(";; extended error %lld%s%s", show_number(reply, "extended_error"),
		         *show_text(reply, "extended_text") ? ": " : "", show_text(reply, "extended_text"));
	show_records(json_object_get(reply, "records"));
}

/* ---- stages and tries ---- */

static void trace_row(struct table *t, enum table_style style, long long at_us, const char *what, const char *detail)
{
	table_row(t, style);
	table_cell(t, "%lld", at_us);
	table_cell(t, "%s", what);
	table_cell(t, "%s", detail);
}

static const char *trace_result(const json_t *try, char *out, size_t size)
{
	const char *result = show_text(try, "result");

	if (!strcmp(result, "failed"))
		snprintf(out, size, "failed: %s", show_text(try, "rcode"));
	else if (!strcmp(result, "lost"))
		snprintf(out, size, "lost: %s", show_text(try, "error"));
	else if (!strcmp(result, "open"))
		snprintf(out, size, "no answer yet");
	else if (!strcmp(result, "given-up"))
		snprintf(out, size, "no answer, and given up");
	else
		snprintf(out, size, "%s", result);
	return out;
}

/* The steps of one try, each at its time. */
static void trace_try(struct table *t, const json_t *try, size_t number)
{
	const char *result = show_text(try, "result");
	bool        open = !trace_has(try, "ended_us");
	char        label[64], text[192], words[160];

	snprintf(label, sizeof label, "  try %zu", number);
	snprintf(text, sizeof text, "%s by %s%s", show_text(try, "upstream"), show_text(try, "transport"),
	         trace_is(try, "for_target") ? ", for what the alias leads to" : "");
	trace_row(t, TABLE_PLAIN, show_number(try, "started_us"), label, text);
	if (trace_has(try, "connected_us"))
		trace_row(t, TABLE_PLAIN, show_number(try, "connected_us"), "    connected", "");
	if (trace_has(try, "secured_us"))
		trace_row(t, TABLE_PLAIN, show_number(try, "secured_us"), "    TLS",
		          trace_is(try, "resumed") ? "resumed" : "full handshake");
	if (trace_has(try, "sent_us"))
		trace_row(t, TABLE_PLAIN, show_number(try, "sent_us"), "    sent", "");
	trace_result(try, words, sizeof words);
	if (open) {
		table_row(t, TABLE_ALARM);
		table_cell(t, "-");
		table_cell(t, "    %s", words);
		return;
	}
	snprintf(label, sizeof label, "    %.50s", words);
	trace_row(t, strcmp(result, "answer") ? TABLE_ALARM : TABLE_PLAIN, show_number(try, "ended_us"), label, "");
}

static void trace_flight(struct table *t, const json_t *flight, const struct term *term)
{
	const json_t *try;
	size_t        i;
	char          text[128], hedge[UNITS_MAX];

	if (!json_is_object(flight))
		return;
	snprintf(text, sizeof text, "%s; after %s it is also sent elsewhere",
	         trace_is(flight, "joined") ? "joined a question of somebody else" : "asked upstream",
	         units_time(show_number(flight, "hedge_us"), term->utf8, hedge));
	trace_row(t, TABLE_PLAIN, show_number(flight, "began_us"), "flight", text);
	json_array_foreach(json_object_get(flight, "tries"), i, try)
		trace_try(t, try, i + 1);
	if (trace_is(flight, "parked")) {
		table_row(t, TABLE_ALARM);
		table_cell(t, "-");
		table_cell(t, "  parked");
		table_cell(t, "no upstream of its route works");
	}
}

/* ---- where the time went ---- */

/* The try that was answered, or NULL. */
static const json_t *trace_winner(const json_t *flight)
{
	const json_t *try, *winner = NULL;
	size_t        i;

	json_array_foreach(json_object_get(flight, "tries"), i, try)
		if (!strcmp(show_text(try, "result"), "answer"))
			winner = try;
	return winner;
}

struct trace_stage {
	long long   us;
	const char *words;		/* goes on with who */
};

static void trace_stages_of(const json_t *flight, const json_t *winner, struct trace_stage s[5])
{
	long long at = show_number(winner, "started_us"), end = show_number(winner, "ended_us");

	s[0] = (struct trace_stage){ at - show_number(flight, "began_us"), "" };
	s[1] = s[2] = (struct trace_stage){ 0, "" };
	if (trace_has(winner, "connected_us")) {
		s[1] = (struct trace_stage){ show_number(winner, "connected_us") - at, "connecting to" };
		at = show_number(winner, "connected_us");
	}
	if (trace_has(winner, "secured_us")) {
		s[2] = (struct trace_stage){ show_number(winner, "secured_us") - at, "in the TLS handshake with" };
		at = show_number(winner, "secured_us");
	}
	s[3] = (struct trace_stage){ 0, "" };
	if (trace_has(winner, "sent_us") && show_number(winner, "sent_us") > at) {
		s[3] = (struct trace_stage){ show_number(winner, "sent_us") - at, "before it could be sent to" };
		at = show_number(winner, "sent_us");
	}
	s[4] = (struct trace_stage){ end - at, "waiting for the answer of" };
}

/* Nobody gave an answer: the last one that said why, or how many were asked in vain. */
static void trace_verdict_of_failure(const json_t *flight, const char *all, char *out)
{
	const json_t *try, *tries = json_object_get(flight, "tries"), *said = NULL;
	char          words[160];
	size_t        i;

	json_array_foreach(tries, i, try)
		if (!strcmp(show_text(try, "result"), "failed") || (!said && !strcmp(show_text(try, "result"), "lost")))
			said = try;
	if (trace_is(flight, "parked") || !json_array_size(tries))
		snprintf(out, TRACE_WORDS, "%s passed, and no upstream of the route works", all);
	else if (said)
		snprintf(out, TRACE_WORDS, "%s passed without an answer; %s %s", all, show_text(said, "upstream"),
		         trace_result(said, words, sizeof words));
	else
		snprintf(out, TRACE_WORDS, "%s passed without an answer to %zu tries", all, json_array_size(tries));
}

/* What the time before the try that was answered was spent on. */
static void trace_verdict_of_wait(const json_t *flight, const json_t *winner, char *out)
{
	const json_t *first = json_array_get(json_object_get(flight, "tries"), 0);
	char          words[160];

	if (first == winner)
		snprintf(out, TRACE_WORDS, "before %s was asked", show_text(winner, "upstream"));
	else
		snprintf(out, TRACE_WORDS, "with %s (%s), before %s was asked", show_text(first, "upstream"),
		         trace_result(first, words, sizeof words), show_text(winner, "upstream"));
}

static void trace_verdict_of_flight(const json_t *reply, const json_t *flight, const struct term *term, char *out)
{
	const json_t      *winner = trace_winner(flight);
	struct trace_stage stages[5];
	unsigned           most = 0;
	char               took[UNITS_MAX], all[UNITS_MAX], share[UNITS_MAX], where[TRACE_WORDS];
	long long          total = show_number(reply, "answered_us");

	units_time(total, term->utf8, all);
	if (!winner) {
		trace_verdict_of_failure(flight, all, out);
		return;
	}
	trace_stages_of(flight, winner, stages);
	for (unsigned i = 1; i < 5; i++)
		if (stages[i].us > stages[most].us)
			most = i;
	if (most)
		snprintf(where, sizeof where, "%s %s", stages[most].words, show_text(winner, "upstream"));
	else
		trace_verdict_of_wait(flight, winner, where);
	snprintf(out, 2 * TRACE_WORDS, "%s of %s (%s) went by %s", units_time(stages[most].us, term->utf8, took), all,
	         units_share((double)stages[most].us, (double)total, share), where);
}

static void trace_verdict(const json_t *reply, const struct term *term, char *out)
{
	const char   *outcome = show_text(reply, "outcome");
	const json_t *flight = json_object_get(reply, "flight");
	char          took[UNITS_MAX];

	units_time(show_number(reply, "answered_us"), term->utf8, took);
	if (!strcmp(outcome, "stale"))
		snprintf(out, TRACE_WORDS, "%s: stale data from the cache%s", took, json_is_object(flight) ?
		         ", after waiting for the upstreams as long as a client does" : ", without asking anybody");
	else if (json_is_object(flight))
		trace_verdict_of_flight(reply, flight, term, out);
	else if (!strcmp(outcome, "hit"))
		snprintf(out, TRACE_WORDS, "%s: it was in the cache, and no upstream was asked", took);
	else if (!strcmp(outcome, "local"))
		snprintf(out, TRACE_WORDS, "%s: larder answers this name by itself", took);
	else
		snprintf(out, TRACE_WORDS, "%s: nothing was asked (%s)", took, outcome);
}

void show_trace(const json_t *reply, const struct term *term)
{
	struct table *t = table_new("rll");
	char          words[2 * TRACE_WORDS], text[128];

	show_answer(reply, term);
	putchar('\n');
	table_row(t, TABLE_HEAD);
	table_cell(t, "%ss", term->utf8 ? "µ" : "u");
	table_cell(t, "stage");
	trace_row(t, TABLE_PLAIN, 0, "ordered", "");
	trace_row(t, TABLE_PLAIN, show_number(reply, "asked_us"), "asked", "a worker has taken it up");
	trace_flight(t, json_object_get(reply, "flight"), term);
	snprintf(text, sizeof text, "%s: %s", show_text(reply, "outcome"), show_text(reply, "rcode"));
	trace_row(t, TABLE_PLAIN, show_number(reply, "answered_us"), "answered", text);
	table_print(t, term);
	trace_verdict(reply, term, words);
	putchar('\n');
	term_say("%s", words);
}
