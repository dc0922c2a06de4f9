/* show.h - replies as people read them, on standard output. */
#ifndef LARDER_LARDERCTL_SHOW_H
#define LARDER_LARDERCTL_SHOW_H

#include "larderctl/table.h"
#include "larderctl/term.h"

#include <jansson.h>

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

/* A cell with a time in microseconds, or "-". */
void show_time_cell(struct table *t, const json_t *object, const char *key, const struct term *term);
/* Of the row of an upstream, of which sent questions are told. */
enum table_style show_upstream_style(const json_t *up, long long sent);

void show_status(const json_t *status, const struct term *term);
void show_upstreams(const json_t *reply, const struct term *term);
void show_stats(const json_t *stats, const struct term *term);

#endif
