/* top_sample.c - from replies to numbers, and what two samples tell.
 *
 * Restarts: a counter that fell, or an uptime that did not grow with the time
 * between, says that larderd is not the one that was asked before.  Then there
 * is nothing to compare, and the history begins anew; a rate over two runs
 * would be nonsense.
 */
#include "larderctl/top_sample.h"

#include "larderctl/show.h"
#include "larderctl/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOP_UPTIME_SLACK_S 2		/* uptime comes in whole seconds, and replies take their time */

/* ---- from replies ---- */

static uint64_t top_number(const json_t *object, const char *key)
{
	long long n = show_number(object, key);

	return n > 0 ? (uint64_t)n : 0;
}

static void top_text(char *out, size_t size, const json_t *object, const char *key)
{
	snprintf(out, size, "%s", show_text(object, key));
}

/* Adds the counts of a list, which lie in buckets that begin at bounds; those of another version may be others
 * than ours. */
static void top_histogram(const json_t *counts, const json_t *bounds, struct histogram_view *into)
{
	const json_t *n;
	size_t        i;

	json_array_foreach(counts, i, n) {
		json_int_t lower = json_integer_value(json_array_get(bounds, i)), count = json_integer_value(n);

		if (lower < 0 || count <= 0)
			continue;
		into->count[histogram_bucket((uint64_t)lower)] += (uint64_t)count;
		into->total += (uint64_t)count;
	}
}

static void top_read_why(struct top_upstream *up, const json_t *health)
{
	const json_t *next = json_object_get(health, "next_probe_ms");
	const char   *order = show_text(health, "order"), *reason = show_text(health, "reason");
	char          until[UNITS_MAX];

	if (*order && strcmp(order, "auto"))
		snprintf(up->why, sizeof up->why, "by order");
	else if (strcmp(up->state, "open") && strcmp(up->state, "suspect"))
		return;
	else if (json_is_integer(next))
		snprintf(up->why, sizeof up->why, "%s, probe in %s", reason,
			 units_age((json_integer_value(next) + 999) / 1000, until));
	else
		snprintf(up->why, sizeof up->why, "%s", reason);
}

static void top_read_upstreams(struct top_sample *s, const struct top_replies *r)
{
	const json_t *list = json_object_get(r->stats, "upstreams"), *up;
	const json_t *latencies = json_object_get(r->latencies, "upstreams");
	size_t        i;

	s->upstreams = term_memory(calloc(json_array_size(list) + 1, sizeof *s->upstreams));
	json_array_foreach(list, i, up) {
		struct top_upstream *to = &s->upstreams[s->upstream_count++];
		const json_t        *counters = json_object_get(up, "counters"), *same;

		top_text(to->name, sizeof to->name, up, "name");
		top_text(to->state, sizeof to->state, up, "state");
		for (unsigned k = 0; k < UPSTREAM_COUNTERS; k++)
			to->counter[k] = top_number(counters, stats_upstream_rows[k].name);
		same = show_find(json_object_get(r->upstreams, "upstreams"), to->name);
		top_read_why(to, same);
		same = show_find(latencies, to->name);
		top_histogram(json_object_get(same, "exchange"), json_object_get(r->latencies, "bounds_us"),
			      &to->exchange);
	}
}

static void top_read_stats(struct top_sample *s, const struct top_replies *r)
{
	const json_t *outcomes = json_object_get(r->stats, "outcomes");
	const json_t *latencies = json_object_get(r->latencies, "outcomes");
	const json_t *gauges = json_object_get(r->stats, "gauges"), *cache = json_object_get(r->stats, "cache");

	for (unsigned o = 0; o < OUTCOMES; o++) {
		const char *name = stats_outcome_rows[o].name;

		s->outcome[o] = top_number(json_object_get(outcomes, name), "count");
		top_histogram(json_object_get(latencies, name), json_object_get(r->latencies, "bounds_us"),
			      &s->answers);
	}
	s->queries = top_number(r->stats, "queries");
	s->flights = top_number(gauges, "flights");
	s->waiting = top_number(gauges, "waiting");
	s->tcp_clients = top_number(gauges, "tcp_clients");
	s->cache_entries = top_number(cache, "entries");
	s->cache_negative = top_number(cache, "negative");
	s->cache_octets = top_number(cache, "octets");
	s->cache_size = top_number(cache, "size");
	s->cache_evicted = top_number(cache, "evicted");
	s->cache_stored = top_number(json_object_get(r->stats, "counters"), stats_counter_rows[STATS_CACHE_STORED].name);
}

/* What larderd says of itself comes first, then the worst check. */
static void top_read_health(struct top_sample *s, const struct top_replies *r)
{
	const char   *trouble = show_text(r->status, "trouble");
	const json_t *check;
	size_t        i;

	top_text(s->health, sizeof s->health, r->health, "status");
	if (*trouble) {
		snprintf(s->complaint, sizeof s->complaint, "%s", trouble);
		return;
	}
	if (!strcmp(s->health, "healthy"))
		return;
	json_array_foreach(json_object_get(r->health, "checks"), i, check)
		if (!strcmp(show_text(check, "status"), s->health)) {
			snprintf(s->complaint, sizeof s->complaint, "%s: %s", show_text(check, "name"),
				 show_text(check, "detail"));
			return;
		}
}

static void top_read_slow(struct top_sample *s, const json_t *reply)
{
	const json_t *list = json_object_get(reply, "queries"), *q;
	size_t        i;

	s->slow_known = reply != NULL;
	s->slow_over_us = top_number(reply, "over_us");
	s->slow = term_memory(calloc(TOP_SLOW_MAX, sizeof *s->slow));
	json_array_foreach(list, i, q) {
		struct top_slow *to = &s->slow[s->slow_count];

		if (s->slow_count == TOP_SLOW_MAX)
			break;
		to->time_ms = top_number(q, "time_ms");
		to->duration_us = top_number(q, "duration_us");
		top_text(to->name, sizeof to->name, q, "name");
		top_text(to->type, sizeof to->type, q, "type");
		top_text(to->reason, sizeof to->reason, q, "reason");
		s->slow_count++;
	}
}

struct top_sample *top_sample_new(const struct top_replies *r, uint64_t at_us, uint64_t time_ms)
{
	struct top_sample *s = term_memory(calloc(1, sizeof *s));

	s->at_us = at_us;
	s->time_ms = time_ms;
	top_text(s->version, sizeof s->version, r->status, "version");
	s->uptime_s = top_number(r->status, "uptime_s");
	s->workers = top_number(r->status, "workers");
	top_read_health(s, r);
	top_read_stats(s, r);
	top_read_upstreams(s, r);
	top_read_slow(s, r->slow);
	return s;
}

void top_sample_free(struct top_sample *s)
{
	if (!s)
		return;
	free(s->upstreams);
	free(s->slow);
	free(s);
}

/* ---- between two ---- */

static void top_histogram_between(const struct histogram_view *now, const struct histogram_view *then,
				  struct histogram_view *out)
{
	*out = (struct histogram_view){ .total = 0 };
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t before = then ? then->count[i] : 0;

		out->count[i] = now->count[i] > before ? now->count[i] - before : 0;
		out->total += out->count[i];
	}
}

void top_between(const struct top_sample *now, const struct top_sample *then, struct top_delta *out)
{
	*out = (struct top_delta){ .seconds = 0 };
	if (!then || now->at_us <= then->at_us)
		return;
	out->seconds = (double)(now->at_us - then->at_us) / 1e6;
	for (unsigned o = 0; o < OUTCOMES; o++)
		out->outcome[o] = now->outcome[o] - then->outcome[o];
	out->queries = now->queries - then->queries;
	out->evicted = now->cache_evicted - then->cache_evicted;
	out->stored = now->cache_stored - then->cache_stored;
	top_histogram_between(&now->answers, &then->answers, &out->answers);
}

static bool top_upstream_fell(const struct top_upstream *now, const struct top_upstream *then)
{
	for (unsigned i = 0; i < UPSTREAM_COUNTERS; i++)
		if (now->counter[i] < then->counter[i])
			return true;
	return false;
}

void top_upstream_between(const struct top_upstream *now, const struct top_sample *then,
			  struct top_upstream_delta *out)
{
	const struct top_upstream *before = NULL;

	*out = (struct top_upstream_delta){ .exchange = { .total = 0 } };
	if (!then)
		return;
	for (size_t i = 0; i < then->upstream_count; i++)
		if (!strcmp(then->upstreams[i].name, now->name))
			before = &then->upstreams[i];
	if (before && top_upstream_fell(now, before))
		before = NULL;
	for (unsigned i = 0; i < UPSTREAM_COUNTERS; i++)
		out->counter[i] = now->counter[i] - (before ? before->counter[i] : 0);
	top_histogram_between(&now->exchange, before ? &before->exchange : NULL, &out->exchange);
}

/* ---- the last minute ---- */

static bool top_is_another_run(const struct top_sample *now, const struct top_sample *then)
{
	uint64_t between_s = (now->at_us - then->at_us) / 1000000;

	if (now->at_us < then->at_us || now->uptime_s + TOP_UPTIME_SLACK_S < then->uptime_s + between_s)
		return true;
	for (unsigned o = 0; o < OUTCOMES; o++)
		if (now->outcome[o] < then->outcome[o])
			return true;
	return now->queries < then->queries || now->cache_evicted < then->cache_evicted ||
	       now->cache_stored < then->cache_stored;
}

static void top_history_drop_first(struct top_history *h)
{
	top_sample_free(h->at[0]);
	h->count--;
	memmove(h->at, h->at + 1, h->count * sizeof *h->at);
}

void top_history_add(struct top_history *h, struct top_sample *s)
{
	if (h->count && top_is_another_run(s, h->at[h->count - 1]))
		top_history_clear(h);
	while (h->count == TOP_SAMPLES || (h->count > 1 && s->at_us - h->at[1]->at_us >= TOP_MINUTE_US))
		top_history_drop_first(h);
	h->at[h->count++] = s;
}

void top_history_clear(struct top_history *h)
{
	while (h->count)
		top_sample_free(h->at[--h->count]);
}

const struct top_sample *top_history_now(const struct top_history *h)
{
	return h->count ? h->at[h->count - 1] : NULL;
}

const struct top_sample *top_history_before(const struct top_history *h)
{
	return h->count > 1 ? h->at[h->count - 2] : NULL;
}

const struct top_sample *top_history_minute(const struct top_history *h)
{
	return h->count > 1 ? h->at[0] : NULL;
}
