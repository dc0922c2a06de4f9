/* show_route.c - where a name goes, and whether all is well. */
#include "larderctl/show.h"

#include <stdio.h>
#include <string.h>

static void route_row(struct table *t, const char *label, const char *text)
{
	table_row(t, TABLE_PLAIN);
	table_cell(t, "  %s", label);
	table_cell(t, "%s", text);
}

static void route_upstreams(struct table *t, const json_t *upstreams)
{
	const json_t *up;
	size_t        i;

	json_array_foreach(upstreams, i, up) {
		table_row(t, show_upstream_style(up, 1));
		table_cell(t, "%s", i ? "" : "  asks");
		table_cell(t, "%s (%s)", show_text(up, "name"), show_text(up, "state"));
	}
	if (json_array_size(upstreams))
		return;
	table_row(t, TABLE_ALARM);
	table_cell(t, "  asks");
	table_cell(t, "nobody: such names get SERVFAIL");
}

void show_route(const json_t *reply, const struct term *term)
{
	struct table *t = table_new("ll");
	bool          local = json_is_true(json_object_get(reply, "local"));

	term_say("%s", show_text(reply, "name"));
	if (local)
		route_row(t, "answer", show_text(reply, "rcode"));
	else
		route_row(t, "route", show_text(reply, "route"));
	route_row(t, "why", show_text(reply, "why"));
	if (!local) {
		route_row(t, "policy", show_text(reply, "policy"));
		route_upstreams(t, json_object_get(reply, "upstreams"));
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
