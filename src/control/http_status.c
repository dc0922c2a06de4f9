/* http_status.c - the document that the status page shows.
 *
 * Totals since the start stand beside what happened lately (the half to whole
 * minute that health is judged by), so that a page has something to show at
 * once.  Rates it makes itself, of two documents of the same run: "run" tells
 * one run of larderd from another, "uptime_us" how far apart they are.
 * "page" names the page that can read it: a browser may still show an older one.
 *
 * Latencies go out as the buckets in which they are counted, whose bounds are
 * sent along: whoever reads them can add them up before making quantiles.
 */
#include "control/http_status.h"

#include "control/http_checkup.h"
#include "control/http_files.h"
#include "control/reply.h"

/* Takes value.  Gives into, or NULL with into freed. */
static json_t *status_set(json_t *into, const char *key, json_t *value)
{
	if (into && json_object_set_new(into, key, value) == 0)
		return into;
	if (!into)
		json_decref(value);
	json_decref(into);
	return NULL;
}

/* Takes item.  Gives list, or NULL with list freed. */
static json_t *status_append(json_t *list, json_t *item)
{
	if (list && json_array_append_new(list, item) == 0)
		return list;
	if (!list)
		json_decref(item);
	json_decref(list);
	return NULL;
}

static json_t *status_us(double s)
{
	return reply_count(s > 0 ? (uint64_t)(s * 1e6) : 0);
}

/* Upper bounds of the buckets but the last, which has none. */
static json_t *status_bounds(void)
{
	json_t *list = json_array();

	for (unsigned i = 0; list && i + 1 < HISTOGRAM_BUCKETS; i++)
		list = status_append(list, reply_count(histogram_upper_us(i)));
	return list;
}

static json_t *status_buckets(const struct histogram_view *h)
{
	json_t *list = json_array();

	for (unsigned i = 0; list && i < HISTOGRAM_BUCKETS; i++)
		list = status_append(list, reply_count(h->count[i]));
	return list;
}

static json_t *status_outcomes(const struct stats_view *s)
{
	json_t *object = json_object();

	for (unsigned o = 0; object && o < OUTCOMES; o++)
		object = status_set(object, stats_outcome_rows[o].name,
		                    json_pack("{s:o, s:o}", "count", reply_count(s->outcome[o]),
		                              "buckets", status_buckets(&s->answer[o])));
	return object;
}

/* What was counted in a time. */
static json_t *status_counted(const struct http_sight *s)
{
	return json_pack("{s:o, s:o, s:o, s:o}",
	                 "span_us", status_us(s->status.uptime_s),
	                 "queries", reply_count(s->stats.queries),
	                 "outcomes", status_outcomes(&s->stats),
	                 "counters", reply_counters(stats_counter_rows, s->stats.counter, STATS_COUNTERS));
}

static json_t *status_gauges(const struct stats_view *s)
{
	return json_pack("{s:o, s:o, s:o}",
	                 "flights", reply_count(s->flights_now),
	                 "waiting", reply_count(s->waiting_now),
	                 "tcp_clients", reply_count(s->tcp_clients_now));
}

static json_t *status_upstreams(const struct http_sight *s)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < s->upstream_count; i++)
		list = status_append(list, reply_upstream_health(&s->upstreams[i]));
	return list;
}

/* Both lists come from the same sight.  Gives list, or NULL with list freed. */
static json_t *status_upstreams_lately(json_t *list, const struct http_sight *lately)
{
	for (size_t i = 0; list && i < lately->upstream_count; i++) {
		const uint64_t *counter = lately->upstreams[i].stats.counter;
		json_t         *counters = reply_counters(stats_upstream_rows, counter, UPSTREAM_COUNTERS);

		if (json_object_set_new(json_array_get(list, i), "lately", counters) == 0)
			continue;
		json_decref(list);
		list = NULL;
	}
	return list;
}

json_t *http_status_document(const struct checkup *c, struct http_sight *now, const struct control_slow *slow,
                             bool names)
{
	const struct control_status *s = &now->status;
	enum checkup_state           state;
	json_t                      *document, *upstreams = status_upstreams(now), *health;

	document = json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o}",
	                     "version", reply_text(s->version),
	                     "page", http_files_page,
	                     "run", reply_count(s->started_us),
	                     "uptime_us", status_us(s->uptime_s),
	                     "workers", reply_count(s->workers),
	                     "trouble", reply_text(s->trouble),
	                     "bounds_us", status_bounds(),
	                     "total", status_counted(now),
	                     "gauges", status_gauges(&now->stats),
	                     "cache", reply_cache(s),
	                     "names", names,
	                     "slow", reply_slow(slow, names));
	health = checkup_report(c, now, &state);	/* from here on, now is lately */
	document = status_set(document, "health", health);
	document = status_set(document, "lately", status_counted(now));
	return status_set(document, "upstreams", status_upstreams_lately(upstreams, now));
}
