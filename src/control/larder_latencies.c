/* larder_latencies.c - io.larder: latencies in full.
 *
 * Stats tells quantiles since the start.  Whoever wants those of the last
 * second or minute needs the counts behind them, twice, and subtracts.
 */
#include "control/call.h"
#include "control/control.h"
#include "control/reply.h"

#include <stdlib.h>

/* Takes element, which may be NULL. */
static json_t *latencies_append(json_t *list, json_t *element)
{
	if (list && !json_array_append_new(list, element))
		return list;
	json_decref(list);
	return NULL;
}

static json_t *latencies_bounds(void)
{
	json_t *list = json_array();

	for (unsigned i = 0; list && i < HISTOGRAM_BUCKETS; i++)
		list = latencies_append(list, reply_count(histogram_lower_us(i)));
	return list;
}

static json_t *latencies_counts(const struct histogram_view *h)
{
	json_t *list = json_array();

	for (unsigned i = 0; list && i < HISTOGRAM_BUCKETS; i++)
		list = latencies_append(list, reply_count(h->count[i]));
	return list;
}

static json_t *latencies_outcomes(const struct stats_view *v)
{
	json_t *outcomes = json_object();

	for (unsigned o = 0; outcomes && o < OUTCOMES; o++)
		if (json_object_set_new(outcomes, stats_outcome_rows[o].name, latencies_counts(&v->answer[o]))) {
			json_decref(outcomes);
			outcomes = NULL;
		}
	return outcomes;
}

static json_t *latencies_upstream(const struct control_upstream *up)
{
	return json_pack("{s:o, s:o}", "name", reply_text(up->name), "exchange", latencies_counts(&up->stats.exchange));
}

static json_t *latencies_upstreams(const struct control_ops *ops)
{
	struct control_upstream *up = calloc(CONTROL_UPSTREAMS_MAX, sizeof *up);
	json_t                  *list = up ? json_array() : NULL;
	size_t                   n = up ? ops->upstreams(ops->arg, up, CONTROL_UPSTREAMS_MAX) : 0;

	for (size_t i = 0; list && i < n && i < CONTROL_UPSTREAMS_MAX; i++)
		list = latencies_append(list, latencies_upstream(&up[i]));
	free(up);
	return list;
}

void larder_latencies(struct call *c)
{
	struct stats_view *v = calloc(1, sizeof *v);

	if (!v) {
		call_reply(c, NULL);
		return;
	}
	c->ops->stats(c->ops->arg, v);
	call_reply(c, json_pack("{s:o, s:o, s:o}",
	                        "bounds_us", latencies_bounds(),
	                        "outcomes", latencies_outcomes(v),
	                        "upstreams", latencies_upstreams(c->ops)));
	free(v);
}
