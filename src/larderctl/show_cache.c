/* show_cache.c - what the cache holds, read as dig's output is. */
#include "larderctl/show.h"
#include "larderctl/table.h"
#include "larderctl/units.h"
#include "stats/stats.h"

#include <stdio.h>
#include <string.h>

void show_records(const json_t *records)
{
	const json_t *r;
	size_t        i;

	json_array_foreach(records, i, r) {
		const char *section = show_text(r, "section");

		term_say("%s%s\t%lld\tIN\t%s\t%s%s%s", strcmp(section, "answer") ? ";" : "", show_text(r, "name"),
		         show_number(r, "ttl_s"), show_text(r, "type"), show_text(r, "data"),
		         strcmp(section, "answer") ? "\t; " : "", strcmp(section, "answer") ? section : "");
	}
}

/* "fresh, 213 s left of 300 s" */
static void cache_age(const json_t *entry, char *out, size_t size)
{
	long long   left = show_number(entry, "left_s"), ttl = show_number(entry, "ttl_s");
	const char *state = show_text(entry, "state");

	if (left >= 0)
		snprintf(out, size, "%s, %lld s left of %lld s", state, left, ttl);
	else
		snprintf(out, size, "%s, %lld s past %lld s", state, -left, ttl);
}

void show_cache_entry(const json_t *entry, const struct term *term)
{
	const char *type = show_text(entry, "type"), *kind = show_text(entry, "kind"), *route = show_text(entry, "route");
	bool        dnssec_ok = json_is_true(json_object_get(entry, "dnssec_ok"));
	bool        disabled = json_is_true(json_object_get(entry, "checking_disabled"));
	long long   hits = show_number(entry, "hits");
	char        age[96];

	(void)term;
	cache_age(entry, age, sizeof age);
	term_say(";; %s %s: %s%s%s; %s; %lld%s hit%s", show_text(entry, "name"), *type ? type : "(any type)", kind,
	         strcmp(kind, "failure") ? " " : "", strcmp(kind, "failure") ? show_text(entry, "rcode") : "", age, hits,
	         hits == 255 ? " or more" : "", hits == 1 ? "" : "s");
	term_say(";; route %s; flags:%s%s%s; refresh: %s", *route ? route : "(gone)", dnssec_ok ? " do" : "",
	         disabled ? " cd" : "", dnssec_ok || disabled ? "" : " none", show_text(entry, "refresh"));
	show_records(json_object_get(entry, "records"));
	putchar('\n');
}

/* Counters that concern the cache, by the beginning of their names. */
static bool cache_is_counter(const char *name)
{
	static const char *const beginnings[] = { "cache_", "stale_", "prefetch_", "failure_" };

	for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
		if (!strncmp(name, beginnings[i], strlen(beginnings[i])))
			return true;
	return false;
}

void show_cache_stats(const json_t *stats, const struct term *term)
{
	struct table *t = table_new("lrl");
	const char   *name;
	json_t       *n;

	show_cache_fill(json_object_get(stats, "cache"));
	show_hit_ratio(stats);
	putchar('\n');
	json_object_foreach(json_object_get(stats, "counters"), name, n) {
		if (!cache_is_counter(name))
			continue;
		table_row(t, json_integer_value(n) ? TABLE_PLAIN : TABLE_FAINT);
		table_cell(t, "%s", name);
		table_cell(t, "%lld", (long long)json_integer_value(n));
		table_cell(t, "%s", show_help(stats_counter_rows, STATS_COUNTERS, name));
	}
	table_print(t, term);
}
