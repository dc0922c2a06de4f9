/* http_sight.c - all numbers at one moment, and what happened between two. */
#include "control/http_sight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SIGHT_UPSTREAMS_USUAL 16

/* An upstream takes 4 KiB here, and most configurations have few. */
static int sight_take_upstreams(struct http_sight *s, const struct control_ops *ops)
{
	for (size_t room = SIGHT_UPSTREAMS_USUAL;; room = CONTROL_UPSTREAMS_MAX) {
		s->upstreams = calloc(room, sizeof *s->upstreams);
		if (!s->upstreams)
			return -ENOMEM;
		s->upstream_count = ops->upstreams(ops->arg, s->upstreams, room);
		if (s->upstream_count < room || room == CONTROL_UPSTREAMS_MAX)
			return 0;
		free(s->upstreams);
	}
}

int http_sight_take(struct http_sight *s, const struct control_ops *ops)
{
	memset(s, 0, sizeof *s);
	ops->status(ops->arg, &s->status);
	ops->stats(ops->arg, &s->stats);
	return sight_take_upstreams(s, ops);
}

int http_sight_keep(struct http_sight *s)
{
	size_t i = 0;

	s->status = (struct control_status){ .uptime_s = s->status.uptime_s,
	                                     .cache_evicted = s->status.cache_evicted };
	for (; i < s->upstream_count; i++) {
		s->upstreams[i].name = s->upstreams[i].trouble = NULL;
		s->upstreams[i].url = strdup(s->upstreams[i].url);
		if (!s->upstreams[i].url)
			break;
	}
	s->kept = true;
	if (i == s->upstream_count)
		return 0;
	s->upstream_count = i;		/* those are what must be freed */
	http_sight_done(s);
	return -ENOMEM;
}

void http_sight_done(struct http_sight *s)
{
	for (size_t i = 0; s->kept && i < s->upstream_count; i++)
		free((char *)s->upstreams[i].url);
	free(s->upstreams);
	memset(s, 0, sizeof *s);
}

static void sight_subtract(uint64_t *now, const uint64_t *then, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (now[i] >= then[i])
			now[i] -= then[i];
}

static void sight_subtract_histogram(struct histogram_view *now, const struct histogram_view *then)
{
	sight_subtract(now->count, then->count, HISTOGRAM_BUCKETS);
	sight_subtract(&now->total, &then->total, 1);
	sight_subtract(&now->sum_us, &then->sum_us, 1);
}

static void sight_subtract_upstream(struct stats_upstream_view *now, const struct stats_upstream_view *then)
{
	sight_subtract(now->counter, then->counter, UPSTREAM_COUNTERS);
	sight_subtract_histogram(&now->exchange, &then->exchange);
	sight_subtract_histogram(&now->connect, &then->connect);
	sight_subtract_histogram(&now->handshake, &then->handshake);
	sight_subtract_histogram(&now->resumption, &then->resumption);
	sight_subtract_histogram(&now->first_octet, &then->first_octet);
}

static const struct control_upstream *sight_find(const struct http_sight *s, const char *url)
{
	for (size_t i = 0; i < s->upstream_count; i++)
		if (!strcmp(s->upstreams[i].url, url))
			return &s->upstreams[i];
	return NULL;
}

void http_sight_since(struct http_sight *s, const struct http_sight *then)
{
	sight_subtract(s->stats.counter, then->stats.counter, STATS_COUNTERS);
	sight_subtract(s->stats.outcome, then->stats.outcome, OUTCOMES);
	sight_subtract(&s->stats.queries, &then->stats.queries, 1);
	s->status.uptime_s -= then->status.uptime_s;
	sight_subtract(&s->status.cache_evicted, &then->status.cache_evicted, 1);
	for (unsigned o = 0; o < OUTCOMES; o++)
		sight_subtract_histogram(&s->stats.answer[o], &then->stats.answer[o]);
	for (size_t i = 0; i < s->upstream_count; i++) {
		struct control_upstream       *now = &s->upstreams[i];
		const struct control_upstream *old = sight_find(then, now->url);

		if (old)
			sight_subtract_upstream(&now->stats, &old->stats);
	}
}
