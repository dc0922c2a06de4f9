/* reply.c - from numbers and texts of the daemon to JSON. */
#include "control/reply.h"

#include "control/control.h"

#include <stdlib.h>
#include <string.h>

/* Paths may hold any octets; JSON may not. */
static json_t *reply_ascii(const char *text)
{
	char   *copy = strdup(text);
	json_t *value;

	if (!copy)
		return NULL;
	for (char *p = copy; *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	value = json_string(copy);
	free(copy);
	return value;
}

json_t *reply_text(const char *text)
{
	json_t *value;

	if (!text)
		return json_null();
	value = json_string(text);
	return value ? value : reply_ascii(text);
}

json_t *reply_count(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

json_t *reply_seconds(double s)
{
	return json_integer(s > 0 ? (json_int_t)s : 0);
}

json_t *reply_cache(const struct control_status *s)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}",
	                 "entries", reply_count(s->cache_entries),
	                 "negative", reply_count(s->cache_negative),
	                 "octets", reply_count(s->cache_octets),
	                 "size", reply_count(s->cache_size_octets),
	                 "evicted", reply_count(s->cache_evicted));
}

json_t *reply_counters(const struct stats_row *rows, const uint64_t *counters, size_t n)
{
	json_t *object = json_object();

	for (size_t i = 0; object && i < n; i++)
		if (json_object_set_new(object, rows[i].name, reply_count(counters[i]))) {
			json_decref(object);
			object = NULL;
		}
	return object;
}

static json_t *reply_quantile(const struct histogram_view *h, double q)
{
	return h->total ? reply_count(histogram_quantile_us(h, q)) : json_null();
}

json_t *reply_add_quantiles(json_t *into, const struct histogram_view *h)
{
	if (into && !json_object_set_new(into, "p50_us", reply_quantile(h, 0.50)) &&
	    !json_object_set_new(into, "p90_us", reply_quantile(h, 0.90)) &&
	    !json_object_set_new(into, "p99_us", reply_quantile(h, 0.99)))
		return into;
	json_decref(into);
	return NULL;
}

json_t *reply_latency(const struct histogram_view *h)
{
	return reply_add_quantiles(json_pack("{s:o}", "count", reply_count(h->total)), h);
}
