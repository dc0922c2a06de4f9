/* http_checkup.c - is DNS well?
 *
 * Each check looks at what was counted lately and says what it saw in words
 * and in a state; the worst state is the whole's.  A check says nothing bad on
 * thin evidence: three slow answers are no quantile, and whether an upstream
 * works is what its breaker has found out by questions of its own.
 */
#include "control/http_checkup.h"

#include "control/reply.h"
#include "control/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CHECKUP_P95_LIMIT_US  1000000	/* that of the alert rule */
#define CHECKUP_FEW_ANSWERS   20		/* no quantile of fewer */
#define CHECKUP_FEW_SILENCES  3
#define CHECKUP_FEW_STORED    1000
#define CHECKUP_DETAIL_MAX    384

static const char *const checkup_names[] = { "healthy", "degraded", "failing" };

struct checkup_finding {
	enum checkup_state state;
	char              detail[CHECKUP_DETAIL_MAX];
};

/* ---- the window ---- */

void checkup_mark(struct checkup *c, const struct control_ops *ops)
{
	struct http_sight now;

	if (http_sight_take(&now, ops) < 0 || http_sight_keep(&now) < 0)
		return;		/* the window grows until there is memory */
	http_sight_done(&c->marks[0]);
	c->marks[0] = c->marks[1];
	c->marks[1] = now;
}

void checkup_done(struct checkup *c)
{
	http_sight_done(&c->marks[0]);
	http_sight_done(&c->marks[1]);
}

/* ---- upstreams ---- */

static enum checkup_state checkup_of_upstream(const struct control_upstream *up);

static const char *checkup_trouble_of(const struct control_upstream *up)
{
	if (up->health.fault)
		return up->health.fault;
	if (up->health.own_state == HEALTH_OPEN)
		return up->health.reason == HEALTH_UNRESOLVED ? "has no known address" : "does not answer";
	return up->health.own_state == HEALTH_SUSPECT ? "is suspect" : "is unreliable";
}

/* "2 of 3 in trouble: office does not answer, quad9 is suspect"; those for whom there is no room are counted
 * alone. */
static void checkup_tell_upstreams(const struct http_sight *s, size_t bad, char out[CHECKUP_DETAIL_MAX])
{
	size_t used = (size_t)snprintf(out, CHECKUP_DETAIL_MAX, "%zu of %zu in trouble", bad, s->upstream_count);
	size_t told = 0;

	for (size_t i = 0; i < s->upstream_count; i++) {
		const struct control_upstream *up = &s->upstreams[i];
		char                           one[CHECKUP_DETAIL_MAX];
		size_t                         len;

		if (checkup_of_upstream(up) == CHECKUP_HEALTHY)
			continue;
		len = (size_t)snprintf(one, sizeof one, "%s %s%s %s", told ? "," : ":", up->name,
		                       up->health.fault ? ":" : "", checkup_trouble_of(up));
		if (len >= CHECKUP_DETAIL_MAX / 2 || used + len >= CHECKUP_DETAIL_MAX)
			return;
		memcpy(out + used, one, len + 1);
		used += len;
		told++;
	}
}

/* Tries that brought nothing from whom was asked: an impostor's connection is worth as little as none. */
static uint64_t checkup_silences(const struct control_upstream *up)
{
	const uint64_t *c = up->stats.counter;
	uint64_t        lost = 0;

	for (unsigned i = UPSTREAM_TIMEOUT; i < UPSTREAM_RCODE; i++)
		lost += c[i];
	return lost > c[UPSTREAM_LATE] ? lost - c[UPSTREAM_LATE] : 0;
}

/* Whatever shows that the server is there, bad replies included: what is wrong may be the name. */
static uint64_t checkup_signs_of_life(const struct control_upstream *up)
{
	const uint64_t *c = up->stats.counter;

	return c[UPSTREAM_ANSWERED] + c[UPSTREAM_RCODE] + c[UPSTREAM_MALFORMED] + c[UPSTREAM_TRUNCATED] +
	       c[UPSTREAM_LATE];
}

/* It answers too often for the breaker to open, and too seldom to be of use. */
static bool checkup_is_unreliable(const struct control_upstream *up)
{
	uint64_t silences = checkup_silences(up);

	return silences >= CHECKUP_FEW_SILENCES && silences > checkup_signs_of_life(up) / 4;
}

/* An order to ask it does not make it answer, so what larder finds counts; but one that was taken out of use is
 * as it should be. */
static enum checkup_state checkup_of_upstream(const struct control_upstream *up)
{
	if (up->health.order == HEALTH_DOWN)
		return CHECKUP_HEALTHY;
	switch (up->health.own_state) {
	case HEALTH_OPEN:
		return CHECKUP_FAILING;
	case HEALTH_SUSPECT:
		return CHECKUP_DEGRADED;
	case HEALTH_GOOD:
		break;
	}
	return checkup_is_unreliable(up) ? CHECKUP_DEGRADED : CHECKUP_HEALTHY;
}

/* One that fails is no harm while its routes have another; that some route has none is the daemon's trouble. */
static void checkup_upstreams(const struct http_sight *s, struct checkup_finding *f)
{
	size_t bad[] = { 0, 0, 0 };

	for (size_t i = 0; i < s->upstream_count; i++)
		bad[checkup_of_upstream(&s->upstreams[i])]++;
	if (s->status.trouble)
		f->state = CHECKUP_FAILING;
	else if (bad[CHECKUP_DEGRADED] || bad[CHECKUP_FAILING])
		f->state = CHECKUP_DEGRADED;
	if (s->status.trouble)
		snprintf(f->detail, sizeof f->detail, "%s", s->status.trouble);
	else
		checkup_tell_upstreams(s, bad[CHECKUP_DEGRADED] + bad[CHECKUP_FAILING], f->detail);
}

/* ---- the other checks ---- */

static void checkup_latency(const struct http_sight *s, struct checkup_finding *f)
{
	struct histogram_view all = { .total = 0 };
	uint64_t              p95;

	for (unsigned o = 0; o < OUTCOMES; o++) {
		for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
			all.count[i] += s->stats.answer[o].count[i];
		all.total += s->stats.answer[o].total;
	}
	p95 = histogram_quantile_us(&all, 0.95);
	if (all.total >= CHECKUP_FEW_ANSWERS && p95 > CHECKUP_P95_LIMIT_US)
		f->state = CHECKUP_DEGRADED;
	snprintf(f->detail, sizeof f->detail, "p95 of %" PRIu64 " answers: %.*f ms; limit: %d ms",
	         all.total, p95 < 10000 ? 3 : 0, (double)p95 / 1e3, CHECKUP_P95_LIMIT_US / 1000);
}

/* A cache that pushes out every other answer while it is of use is too small for what is asked. */
static void checkup_cache(const struct http_sight *s, struct checkup_finding *f)
{
	uint64_t evicted = s->status.cache_evicted, stored = s->stats.counter[STATS_CACHE_STORED];

	if (stored >= CHECKUP_FEW_STORED && evicted > stored / 2)
		f->state = CHECKUP_DEGRADED;
	snprintf(f->detail, sizeof f->detail, "%" PRIu64 " answers stored, %" PRIu64 " pushed out too early%s",
	         stored, evicted, f->state ? "; cache.size is too small" : "");
}

/* To the client each of these is a wait until it asks again. */
static void checkup_kernel(const struct http_sight *s, struct checkup_finding *f)
{
	uint64_t drops = s->stats.counter[STATS_KERNEL_DROPS];

	if (drops)
		f->state = CHECKUP_DEGRADED;
	snprintf(f->detail, sizeof f->detail, "%" PRIu64 " queries dropped before they were read%s", drops,
	         drops ? "; more threads may help" : "");
}

static const struct checkup_row {
	const char *name;
	void (*look)(const struct http_sight *lately, struct checkup_finding *out);
} checkup_rows[] = {
	{ "upstreams", checkup_upstreams },
	{ "latency", checkup_latency },
	{ "cache", checkup_cache },
	{ "kernel", checkup_kernel },
};

/* ---- documents ---- */

/* Takes item.  What cannot be appended ends the list: a report is whole or none. */
static void checkup_append(json_t **list, json_t *item)
{
	if (json_array_append_new(*list, item) == 0)
		return;
	json_decref(*list);
	*list = NULL;
}

json_t *checkup_report(const struct checkup *c, struct http_sight *now, enum checkup_state *state)
{
	json_t *checks = json_array(), *check;

	http_sight_since(now, &c->marks[0]);
	*state = CHECKUP_HEALTHY;
	for (size_t i = 0; i < sizeof checkup_rows / sizeof *checkup_rows; i++) {
		struct checkup_finding f = { CHECKUP_HEALTHY, "" };

		checkup_rows[i].look(now, &f);
		if (f.state > *state)
			*state = f.state;
		check = json_pack("{s:s, s:s, s:s}", "name", checkup_rows[i].name, "status",
		                  checkup_names[f.state], "detail", f.detail);
		checkup_append(&checks, check);
	}
	return json_pack("{s:s, s:o}", "status", checkup_names[*state], "checks", checks);
}

static json_t *checkup_upstream(const struct control_upstream *up)
{
	return json_pack("{s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
	                 "name", reply_text(up->name),
	                 "url", reply_text(up->url),
	                 "status", checkup_names[checkup_of_upstream(up)],
	                 "state", control_state_names[control_state_of(&up->health)],
	                 "fault", reply_text(up->health.fault),
	                 "counters", reply_counters(stats_upstream_rows, up->stats.counter, UPSTREAM_COUNTERS),
	                 "exchange", reply_latency(&up->stats.exchange),
	                 "connect", reply_latency(&up->stats.connect),
	                 "handshake", reply_latency(&up->stats.handshake),
	                 "resumption", reply_latency(&up->stats.resumption),
	                 "first_octet", reply_latency(&up->stats.first_octet));
}

json_t *checkup_report_network(const struct checkup *c, struct http_sight *now, enum checkup_state *state)
{
	struct checkup_finding f = { CHECKUP_HEALTHY, "" };
	json_t               *upstreams = json_array();

	http_sight_since(now, &c->marks[0]);
	checkup_upstreams(now, &f);
	*state = f.state;
	for (size_t i = 0; i < now->upstream_count; i++)
		checkup_append(&upstreams, checkup_upstream(&now->upstreams[i]));
	return json_pack("{s:s, s:s, s:o}", "status", checkup_names[f.state], "detail", f.detail,
	                 "upstreams", upstreams);
}
