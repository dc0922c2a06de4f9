/* show_upstreams.c - how each upstream is, in the words of an operator. */
#include "larderctl/show.h"
#include "larderctl/units.h"

#include <stdio.h>
#include <string.h>

void show_time_cell(struct table *t, const json_t *object, const char *key, const struct term *term)
{
	const json_t *us = json_object_get(object, key);
	char          text[UNITS_MAX];

	if (json_is_integer(us))
		table_cell(t, "%s", units_time(json_integer_value(us), term->utf8, text));
	else
		table_cell(t, "-");
}

enum table_style show_upstream_style(const json_t *up, long long sent)
{
	const char *state = show_text(up, "state");

	if (!strcmp(state, "open") || !strcmp(state, "down"))
		return TABLE_ALARM;
	return sent ? TABLE_PLAIN : TABLE_FAINT;
}

/* "silent since 3 min 5 s, next probe in 12.0 s"; what has passed is told as such. */
static void upstreams_why(const json_t *up, const struct term *term, char *out, size_t size)
{
	const char   *fault = show_text(up, "fault"), *reason = *fault ? fault : show_text(up, "reason");
	const char   *trouble = show_text(up, "trouble");
	const json_t *since = json_object_get(up, "open_since_s"), *next = json_object_get(up, "next_probe_ms");
	char          age[UNITS_MAX], until[UNITS_MAX];

	*out = '\0';
	if (strcmp(show_text(up, "order"), "auto"))
		snprintf(out, size, "by order");
	else if (*trouble)
		snprintf(out, size, "%s", trouble);
	else if (json_is_integer(since) && json_is_integer(next))
		snprintf(out, size, "%s%s for %s, next probe in %s", reason, *fault ? ", not asked" : "",
			 units_age(json_integer_value(since), age),
			 units_time(json_integer_value(next) * 1000, term->utf8, until));
	else if (!strcmp(show_text(up, "state"), "suspect"))
		snprintf(out, size, "%s, being asked whether it works", reason);
	else if (*show_text(up, "doubt"))
		snprintf(out, size, "%s: %s", show_text(up, "level"), show_text(up, "doubt"));
	else if (*reason)
		snprintf(out, size, "last failure: %s", reason);
}

/* "3 (silent 2, servfail 1)" */
static void upstreams_opened(const json_t *up, char *out, size_t size)
{
	json_t     *opened = json_object_get(up, "opened"), *n;
	const char *reason, *gap = "";
	long long   total = 0;
	size_t      used;

	json_object_foreach(opened, reason, n)
		total += json_integer_value(n);
	used = (size_t)snprintf(out, size, "%lld", total);
	if (!total)
		return;
	used += (size_t)snprintf(out + used, size - used, " (");
	json_object_foreach(opened, reason, n) {
		used += (size_t)snprintf(out + used, used < size ? size - used : 0, "%s%s %lld", gap, reason,
		                         (long long)json_integer_value(n));
		gap = ", ";
		if (used >= size)
			return;
	}
	snprintf(out + used, size - used, ")");
}

void show_upstreams(const json_t *reply, const struct term *term)
{
	static const char *const titles[] = {
		"upstream", "state", "link", "p50", "p99", "hedge after", "gives up after", "opened", "why",
	};
	const json_t *upstreams = json_object_get(reply, "upstreams"), *up;
	struct table *t;
	size_t        i;

	if (!json_array_size(upstreams)) {
		puts("no upstreams");
		return;
	}
	t = table_new("lllrrrrll");
	table_row(t, TABLE_HEAD);
	for (i = 0; i < sizeof titles / sizeof *titles; i++)
		table_cell(t, "%s", titles[i]);
	json_array_foreach(upstreams, i, up) {
		const char *level = show_text(up, "level");
		char        why[768], opened[192];

		upstreams_why(up, term, why, sizeof why);
		upstreams_opened(up, opened, sizeof opened);
		table_row(t, show_upstream_style(up, 1));
		table_cell(t, "%s", show_text(up, "name"));
		table_cell(t, "%s", show_text(up, "state"));
		table_cell(t, "%s", *level ? level : "-");
		show_time_cell(t, up, "p50_us", term);
		show_time_cell(t, up, "p99_us", term);
		show_time_cell(t, up, "hedge_us", term);
		show_time_cell(t, up, "timeout_us", term);
		table_cell(t, "%s", opened);
		table_cell(t, "%s", why);
	}
	table_print(t, term);
}
