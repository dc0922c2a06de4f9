/* show_route.c - where a name goes, and whether all is well. */
#include "larderctl/show.h"

#include <stdio.h>
#include <string.h>

void show_route(const json_t *reply, const struct term *term)
{
	struct table *t = table_new("lll");
	bool          local = json_is_true(json_object_get(reply, "local"));
	const json_t *up;
	size_t        i;

	table_row(t, TABLE_HEAD);
	table_cell(t, "%s", show_text(reply, "name"));
	if (local)
		table_cell(t, "answered by larder: %s", show_text(reply, "rcode"));
	else
		table_cell(t, "route %s", show_text(reply, "route"));
	table_row(t, TABLE_PLAIN);
	table_cell(t, "why");
	table_cell(t, "%s", show_text(reply, "why"));
	if (!local) {
		table_row(t, TABLE_PLAIN);
		table_cell(t, "policy");
		table_cell(t, "%s", show_text(reply, "policy"));
	}
	table_print(t, term);
	if (local)
		return;
	t = table_new("lll");
	json_array_foreach(json_object_get(reply, "upstreams"), i, up) {
		table_row(t, show_upstream_style(up, 1));
		table_cell(t, "%s", i ? "" : "asks");
		table_cell(t, "%s", show_text(up, "name"));
		table_cell(t, "%s", show_text(up, "state"));
	}
	if (!json_array_size(json_object_get(reply, "upstreams"))) {
		table_row(t, TABLE_ALARM);
		table_cell(t, "asks");
		table_cell(t, "nobody: such names get SERVFAIL");
	}
	table_print(t, term);
}

static enum table_style health_style(const char *status)
{
	return strcmp(status, "healthy") ? TABLE_ALARM : TABLE_PLAIN;
}

void show_health(const json_t *reply, const struct term *term)
{
	struct table *t = table_new("lll");
	const json_t *check;
	size_t        i;

	table_row(t, health_style(show_text(reply, "status")));
	table_cell(t, "%s", show_text(reply, "status"));
	json_array_foreach(json_object_get(reply, "checks"), i, check) {
		table_row(t, health_style(show_text(check, "status")));
		table_cell(t, "  %s", show_text(check, "name"));
		table_cell(t, "%s", show_text(check, "status"));
		table_cell(t, "%s", show_text(check, "detail"));
	}
	table_print(t, term);
}
