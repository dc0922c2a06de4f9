/* show_slow.c - the latest slow queries, one a line, and why they were. */
#include "larderctl/show.h"
#include "larderctl/units.h"

#include <stdio.h>
#include <time.h>

static void slow_row(struct table *t, const json_t *query, const struct term *term)
{
	const char *name = show_text(query, "name"), *upstream = show_text(query, "upstream");
	time_t      when = (time_t)(show_number(query, "time_ms") / 1000);
	struct tm   tm;
	char        took[UNITS_MAX], clock[32] = "-";

	if (localtime_r(&when, &tm))
		strftime(clock, sizeof clock, "%Y-%m-%d %H:%M:%S", &tm);
	table_row(t, TABLE_PLAIN);
	table_cell(t, "%s", clock);
	table_cell(t, "%s", units_time(show_number(query, "duration_us"), term->utf8, took));
	table_cell(t, "%s", show_text(query, "outcome"));
	table_cell(t, "%s", *upstream ? upstream : "-");
	table_cell(t, "%s", *name ? name : "-");
	table_cell(t, "%s", show_text(query, "type"));
	table_cell(t, "%s", show_text(query, "reason"));
}

void show_slow(const json_t *reply, const struct term *term)
{
	static const char *const heads[] = { "time", "took", "outcome", "upstream", "name", "type", "why" };
	const json_t            *query, *queries = json_object_get(reply, "queries");
	char                     over[UNITS_MAX];
	long long                dropped = show_number(reply, "dropped");
	size_t                   i;

	units_time(show_number(reply, "over_us"), term->utf8, over);
	if (json_array_size(queries)) {
		struct table *t = table_new("lrlllll");

		table_row(t, TABLE_HEAD);
		for (i = 0; i < sizeof heads / sizeof *heads; i++)
			table_cell(t, "%s", heads[i]);
		json_array_foreach(queries, i, query)
			slow_row(t, query, term);
		table_print(t, term);
	} else {
		term_say("no query has taken %s or longer", over);
	}
	if (dropped)
		term_say("%lld more that took %s or longer were too many at once to be noted", dropped, over);
}
