/* show.h - replies as people read them, on standard output. */
#ifndef LARDER_LARDERCTL_SHOW_H
#define LARDER_LARDERCTL_SHOW_H

#include "larderctl/table.h"
#include "larderctl/term.h"

#include <jansson.h>
#include <stddef.h>
#include <string.h>

struct stats_row;

/* A number in an object, 0 when it is not there. */
static inline long long show_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* A text in an object, "" when it is not there. */
static inline const char *show_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* The object of this name in a list of them, or NULL. */
static inline const json_t *show_find(const json_t *list, const char *name)
{
	const json_t *element;
	size_t        i;

	json_array_foreach(list, i, element)
		if (!strcmp(show_text(element, "name"), name))
			return element;
	return NULL;
}

/* A cell with a time in microseconds, or "-". */
void show_time_cell(struct table *t, const json_t *object, const char *key, const struct term *term);
/* Of the row of an upstream, of which sent questions are told. */
enum table_style show_upstream_style(const json_t *up, long long sent);

/* What a counter means, "" for one that is not in the table. */
const char *show_help(const struct stats_row *rows, size_t n, const char *name);
/* Of Stats: how many answers the cache could have given and did; and how full it is, of its cache. */
void show_hit_ratio(const json_t *stats);
void show_cache_fill(const json_t *cache);
/* Record by record; those beside the answer behind a semicolon. */
void show_records(const json_t *records);

/* The replies of Status, of Health and of Upstreams. */
void show_status(const json_t *status, const json_t *health, const json_t *upstreams, const struct term *term);
void show_upstreams(const json_t *reply, const struct term *term);
void show_stats(const json_t *stats, const struct term *term);
void show_cache_stats(const json_t *stats, const struct term *term);
void show_cache_entry(const json_t *entry, const struct term *term);
/* Both take the reply of Trace. */
void show_answer(const json_t *reply, const struct term *term);
void show_trace(const json_t *reply, const struct term *term);
void show_slow(const json_t *reply, const struct term *term);
void show_route(const json_t *reply, const struct term *term);
void show_health(const json_t *reply, const struct term *term);

#endif
