/* show_trace.c - an answer, how it came about, and where the time went.
 *
 * Times are told from the moment of the order, and beside them how long each
 * step took after the one that it waited for.  The words at the end are
 * larderd's own.
 */
#include "larderctl/show.h"
#include "larderctl/units.h"

#include <stdio.h>
#include <string.h>

#define TRACE_NONE (-1)

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

/* from_us: when what took until at_us had begun; TRACE_NONE: that does not apply. */
static void trace_row(struct table *t, enum table_style style, long long from_us, long long at_us, const char *what,
		      const char *detail)
{
	table_row(t, style);
	table_cell(t, "%lld", at_us);
	if (from_us == TRACE_NONE)
		table_cell(t, "%s", "");
	else
		table_cell(t, "%lld", at_us - from_us);
	table_cell(t, "%s", what);
	table_cell(t, "%s", detail);
}

static void trace_row_without_time(struct table *t, const char *what, const char *detail)
{
	table_row(t, TABLE_ALARM);
	table_cell(t, "-");
	table_cell(t, "%s", "");
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

/* A step of a try, if it came to that; *at_us is when the one before was done, and then this one. */
static void trace_step(struct table *t, const json_t *try, const char *key, const char *what, const char *detail,
		       long long *at_us)
{
	if (!trace_has(try, key))
		return;
	trace_row(t, TABLE_PLAIN, *at_us, show_number(try, key), what, detail);
	*at_us = show_number(try, key);
}

/* The steps of one try, each at its time, and how long it took. */
static void trace_try(struct table *t, const json_t *try, size_t number)
{
	long long at_us = show_number(try, "started_us");
	char      label[64], text[192], words[160];

	snprintf(label, sizeof label, "  try %zu", number);
	snprintf(text, sizeof text, "%s by %s%s", show_text(try, "upstream"), show_text(try, "transport"),
	         trace_is(try, "for_target") ? ", for what the alias leads to" : "");
	trace_row(t, TABLE_PLAIN, TRACE_NONE, at_us, label, text);
	trace_step(t, try, "connected_us", "    connected", "", &at_us);
	trace_step(t, try, "secured_us", "    TLS", trace_is(try, "resumed") ? "resumed" : "full handshake", &at_us);
	trace_step(t, try, "sent_us", "    sent", "", &at_us);
	trace_step(t, try, "first_us", "    first octet", "", &at_us);
	trace_result(try, words, sizeof words);
	snprintf(label, sizeof label, "    %.50s", words);
	if (trace_has(try, "ended_us"))
		trace_row(t, strcmp(show_text(try, "result"), "answer") ? TABLE_ALARM : TABLE_PLAIN, at_us,
		          show_number(try, "ended_us"), label, "");
	else
		trace_row_without_time(t, label, "");
}

static void trace_flight(struct table *t, const json_t *reply, const struct term *term)
{
	const json_t *flight = json_object_get(reply, "flight"), *try;
	size_t        i;
	char          text[128], hedge[UNITS_MAX];

	if (!json_is_object(flight))
		return;
	snprintf(text, sizeof text, "%s; after %s it is also sent elsewhere",
	         trace_is(flight, "joined") ? "joined a question of somebody else" : "asked upstream",
	         units_time(show_number(flight, "hedge_us"), term->utf8, hedge));
	trace_row(t, TABLE_PLAIN, show_number(reply, "asked_us"), show_number(flight, "began_us"), "flight", text);
	json_array_foreach(json_object_get(flight, "tries"), i, try)
		trace_try(t, try, i + 1);
	if (trace_is(flight, "parked"))
		trace_row_without_time(t, "  parked", "no upstream of its route works");
}

void show_trace(const json_t *reply, const struct term *term)
{
	struct table *t = table_new("rrll");
	char          took[UNITS_MAX], text[128];

	show_answer(reply, term);
	putchar('\n');
	table_row(t, TABLE_HEAD);
	table_cell(t, "%ss", term->utf8 ? "µ" : "u");
	table_cell(t, "took");
	table_cell(t, "stage");
	trace_row(t, TABLE_PLAIN, TRACE_NONE, 0, "ordered", "");
	trace_row(t, TABLE_PLAIN, 0, show_number(reply, "asked_us"), "asked", "a worker has taken it up");
	trace_flight(t, reply, term);
	snprintf(text, sizeof text, "%s: %s", show_text(reply, "outcome"), show_text(reply, "rcode"));
	trace_row(t, TABLE_PLAIN, TRACE_NONE, show_number(reply, "answered_us"), "answered", text);
	table_print(t, term);
	putchar('\n');
	term_say("%s: %s", units_time(show_number(reply, "answered_us"), term->utf8, took),
	         show_text(reply, "reason"));
}
