/* show_status.c - what larderd works with, a line for each thing. */
#include "larderctl/show.h"
#include "larderctl/table.h"
#include "larderctl/units.h"

#include <stdio.h>
#include <string.h>

/* One row per element, the label before the first only. */
static void status_list(struct table *t, const char *label, const json_t *list,
                        void (*cell)(struct table *t, const json_t *element))
{
	const json_t *element;
	size_t        i;

	json_array_foreach(list, i, element) {
		table_row(t, TABLE_PLAIN);
		table_cell(t, "%s", i ? "" : label);
		cell(t, element);
	}
	if (json_array_size(list))
		return;
	table_row(t, TABLE_ALARM);
	table_cell(t, "%s", label);
	table_cell(t, "nothing");
}

static void status_listen_cell(struct table *t, const json_t *element)
{
	const char *text = json_string_value(element);

	table_cell(t, "%s", text ? text : "");
}

/* Is it well, and if not, what is it that is not? */
static void status_health(struct table *t, const json_t *health)
{
	const char   *status = show_text(health, "status"), *label = "health";
	const json_t *check;
	size_t        i;

	if (!strcmp(status, "healthy")) {
		table_row(t, TABLE_PLAIN);
		table_cell(t, "%s", label);
		table_cell(t, "%s", status);
	}
	json_array_foreach(json_object_get(health, "checks"), i, check) {
		if (!strcmp(show_text(check, "status"), "healthy"))
			continue;
		table_row(t, TABLE_ALARM);
		table_cell(t, "%s", label);
		table_cell(t, "%s: %s, %s", show_text(check, "status"), show_text(check, "name"),
			   show_text(check, "detail"));
		label = "";
	}
}

/* ": open for 3 min, silent", or nothing about one that is good */
static void status_state(const json_t *health, char *out, size_t size)
{
	const char *state = show_text(health, "state"), *fault = show_text(health, "fault");
	char        age[UNITS_MAX];

	if (!strcmp(state, "open"))
		snprintf(out, size, ": open for %s, %s", units_age(show_number(health, "open_since_s"), age),
			 *fault ? fault : show_text(health, "reason"));
	else if (strcmp(show_text(health, "order"), "auto") && *state)
		snprintf(out, size, ": %s by order", state);
	else if (*state && strcmp(state, "good"))
		snprintf(out, size, ": %s", state);
	else
		*out = '\0';
}

static void status_upstream(struct table *t, const json_t *up, const json_t *health)
{
	const char *name = show_text(up, "name"), *url = show_text(up, "url");
	char        state[128];

	status_state(health, state, sizeof state);
	if (!*name || !strcmp(name, url))
		table_cell(t, "%s%s", url, state);
	else
		table_cell(t, "%s (%s)%s", url, name, state);
}

static void status_upstreams(struct table *t, const json_t *upstreams, const json_t *healths)
{
	const json_t *up;
	size_t        i;

	json_array_foreach(upstreams, i, up) {
		const json_t *health = show_find(healths, show_text(up, "name"));

		table_row(t, show_upstream_style(health, 1));
		table_cell(t, "%s", i ? "" : "asks");
		status_upstream(t, up, health);
	}
	if (json_array_size(upstreams))
		return;
	table_row(t, TABLE_ALARM);
	table_cell(t, "asks");
	table_cell(t, "nothing");
}

static void status_configuration(struct table *t, const json_t *status)
{
	const char *file = show_text(status, "config_file");
	char        ago[UNITS_MAX];

	units_age(show_number(status, "reloaded_ago_s"), ago);
	table_row(t, TABLE_PLAIN);
	table_cell(t, "configuration");
	if (*file)
		table_cell(t, "%s, read %s ago", file, ago);
	else
		table_cell(t, "no file, set %s ago", ago);
}

static void status_resolv(struct table *t, const json_t *status)
{
	const char *file = show_text(status, "resolv_file");

	if (!json_is_true(json_object_get(status, "upstreams_from_resolv")))
		return;
	table_row(t, *file ? TABLE_PLAIN : TABLE_ALARM);
	table_cell(t, "taken from");
	table_cell(t, "%s", *file ? file : "no resolv.conf was found");
}

static void status_cache(struct table *t, const json_t *cache)
{
	char used[UNITS_MAX], size[UNITS_MAX];

	table_row(t, TABLE_PLAIN);
	table_cell(t, "cache");
	table_cell(t, "%lld entries (%lld negative), %s of %s", show_number(cache, "entries"),
	           show_number(cache, "negative"), units_octets(show_number(cache, "octets"), used),
	           units_octets(show_number(cache, "size"), size));
}

void show_status(const json_t *status, const json_t *health, const json_t *upstreams, const struct term *term)
{
	struct table *t = table_new("ll");
	long long     workers = show_number(status, "workers");
	const char   *trouble = show_text(status, "trouble");
	char          up[UNITS_MAX];

	table_row(t, TABLE_HEAD);
	table_cell(t, "larderd %s", show_text(status, "version"));
	table_cell(t, "running for %s, %lld worker%s",
		   units_age(show_number(status, "uptime_s"), up), workers,
		   workers == 1 ? "" : "s");
	table_row(t, *trouble ? TABLE_ALARM : TABLE_PLAIN);
	table_cell(t, "trouble");
	table_cell(t, "%s", *trouble ? trouble : "none");
	status_health(t, health);
	status_list(t, "answers on", json_object_get(status, "listen"), status_listen_cell);
	status_upstreams(t, json_object_get(status, "upstreams"), json_object_get(upstreams, "upstreams"));
	status_resolv(t, status);
	status_configuration(t, status);
	status_cache(t, json_object_get(status, "cache"));
	table_print(t, term);
}
