/* show.h - replies as people read them, on standard output. */
#ifndef LARDER_LARDERCTL_SHOW_H
#define LARDER_LARDERCTL_SHOW_H

#include "larderctl/term.h"

#include <jansson.h>

/* A number in an object, 0 when it is not there. */
static inline long long show_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

void show_status(const json_t *status, const struct term *term);
void show_stats(const json_t *stats, const struct term *term);

#endif
