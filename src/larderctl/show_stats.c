/* show_stats.c - counters in the order in which one asks about them.
 *
 * How were clients answered and how fast; did the cache help; which upstream
 * is slow or fails; is the cache full; and at last whatever else was counted.
 * The tables follow what the daemon sends, so that one of another version is
 * shown whole; explanations come from the tables of stats/ by name.
 */
#include "larderctl/show.h"
#include "larderctl/table.h"
#include "larderctl/units.h"
#include "stats/stats.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *show_help(const struct stats_row *rows, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(rows[i].name, name))
			return rows[i].help;
	return "";
}

static void stats_answer_row(struct table *t, const char *name, const json_t *latency,
			     long long count, long long queries, const char *help,
			     const struct term *term)
{
	char share[UNITS_MAX];

	table_row(t, count ? TABLE_PLAIN : TABLE_FAINT);
	table_cell(t, "  %s", name);
	table_cell(t, "%lld", count);
	table_cell(t, "%s", units_share((double)count, (double)queries, share));
	show_time_cell(t, latency, "p50_us", term);
	show_time_cell(t, latency, "p90_us", term);
	show_time_cell(t, latency, "p99_us", term);
	table_cell(t, "%s", help);
}

static void stats_head(struct table *t, const char *const *titles)
{
	table_row(t, TABLE_HEAD);
	for (; *titles; titles++)
		table_cell(t, "%s", *titles);
}

static void stats_answers(const json_t *stats, const struct term *term)
{
	static const char *const titles[] = {
		"answers", "count", "share", "p50", "p90", "p99", NULL,
	};
	struct table            *t = table_new("lrrrrrl");
	long long                queries = show_number(stats, "queries");
	const char              *name;
	json_t                  *outcome;

	stats_head(t, titles);
	json_object_foreach(json_object_get(stats, "outcomes"), name, outcome)
		stats_answer_row(t, name, outcome, show_number(outcome, "count"), queries,
		                 show_help(stats_outcome_rows, OUTCOMES, name), term);
	stats_answer_row(t, "all", json_object_get(stats, "answers"), queries, queries, "", term);
	table_print(t, term);
}

/* What the cache spared: answers without asking upstream, among those that it could have spared. */
void show_hit_ratio(const json_t *stats)
{
	const json_t *outcomes = json_object_get(stats, "outcomes");
	long long     hits = show_number(json_object_get(outcomes, "hit"), "count") +
			 show_number(json_object_get(outcomes, "stale"), "count");
	long long     others = show_number(json_object_get(outcomes, "miss"), "count") +
			   show_number(json_object_get(outcomes, "joined"), "count");
	char          share[UNITS_MAX];

	if (hits + others)
		printf("hit ratio  %s of %lld answers that the cache could give\n",
		       units_share((double)hits, (double)(hits + others), share), hits + others);
	else
		printf("hit ratio  - (no question for the cache yet)\n");
}

static void stats_add(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void stats_add(char *text, size_t size, const char *format, ...)
{
	size_t  used = strlen(text);
	va_list ap;

	va_start(ap, format);
	vsnprintf(text + used, size - used, format, ap);
	va_end(ap);
}

/* "timeout 3, rcode 2": the counters of rows first to last that are not 0, after what stands in text, by their names
 * without what is common to all of them. */
static void stats_reasons(const json_t *counters, enum upstream_counter first, enum upstream_counter last,
			  const char *common, char *text, size_t size)
{
	const char *gap = "";

	for (unsigned i = first; i <= last; i++) {
		const char *name = stats_upstream_rows[i].name;
		long long   n = show_number(counters, name);

		if (!n)
			continue;
		stats_add(text, size, "%s%s %lld", gap, name + strlen(common), n);
		gap = ", ";
		if (i != UPSTREAM_CERTIFICATE)
			continue;
		stats_add(text, size, " (");
		stats_reasons(counters, UPSTREAM_CERTIFICATE_UNTRUSTED, UPSTREAM_CERTIFICATE_OTHER, "certificate_",
			      text, size);
		stats_add(text, size, ")");
	}
}

static long long stats_sent(const json_t *up)
{
	return show_number(json_object_get(up, "counters"), stats_upstream_rows[UPSTREAM_SENT].name);
}

static void stats_upstream_row(struct table *t, const json_t *up, long long sent_to_all,
			       const struct term *term)
{
	const json_t *counters = json_object_get(up, "counters");
	const json_t *exchange = json_object_get(up, "exchange");
	const char   *name = json_string_value(json_object_get(up, "name"));
	long long     sent = stats_sent(up);
	char          share[UNITS_MAX], failures[512] = "", others[128] = "";

	stats_reasons(counters, UPSTREAM_TIMEOUT, UPSTREAM_MALFORMED, "", failures, sizeof failures);
	stats_reasons(counters, UPSTREAM_TRUNCATED, UPSTREAM_LATE, "", others, sizeof others);
	table_row(t, show_upstream_style(up, sent));
	table_cell(t, "  %s", name ? name : "?");
	table_cell(t, "%s", show_text(up, "state"));
	table_cell(t, "%lld", sent);
	table_cell(t, "%s", units_share((double)sent, (double)sent_to_all, share));
	show_time_cell(t, exchange, "p50_us", term);
	show_time_cell(t, exchange, "p99_us", term);
	table_cell(t, "%s", *failures ? failures : "none");
	table_cell(t, "%s", others);
}

static void stats_upstreams(const json_t *upstreams, const struct term *term)
{
	static const char *const titles[] = {
		"upstreams", "state", "sent", "share", "p50", "p99", "failures", "other", NULL,
	};
	struct table            *t;
	long long                sent_to_all = 0;
	const json_t            *up;
	size_t                   i;

	if (!json_array_size(upstreams)) {
		printf("\nupstreams  none\n");
		return;
	}
	json_array_foreach(upstreams, i, up)
		sent_to_all += stats_sent(up);
	putchar('\n');
	t = table_new("llrrrrll");
	stats_head(t, titles);
	json_array_foreach(upstreams, i, up)
		stats_upstream_row(t, up, sent_to_all, term);
	table_print(t, term);
}

static void stats_stage_rows(struct table *t, const json_t *up, const struct term *term)
{
	static const struct {
		const char *key, *words;
	} stages[] = {
		{ "connect", "TCP" },
		{ "handshake", "TLS, full handshake" },
		{ "resumption", "TLS, resumed" },
		{ "first_octet", "first octet of answers" },
	};
	const char *name = show_text(up, "name");

	for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
		const json_t *latency = json_object_get(up, stages[i].key);

		if (!show_number(latency, "count"))
			continue;
		table_row(t, TABLE_PLAIN);
		table_cell(t, "  %s", name);
		table_cell(t, "%s", stages[i].words);
		table_cell(t, "%lld", show_number(latency, "count"));
		show_time_cell(t, latency, "p50_us", term);
		show_time_cell(t, latency, "p90_us", term);
		show_time_cell(t, latency, "p99_us", term);
		name = "";
	}
}

/* Where the time goes with upstreams that are asked over connections. */
static void stats_stages(const json_t *upstreams, const struct term *term)
{
	static const char *const titles[] = {
		"connections", "stage", "count", "p50", "p90", "p99", NULL,
	};
	struct table            *t;
	const json_t            *up;
	size_t                   i;
	bool                     any = false;

	json_array_foreach(upstreams, i, up)
		any |= show_number(json_object_get(up, "connect"), "count") > 0;
	if (!any)
		return;
	putchar('\n');
	t = table_new("llrrrr");
	stats_head(t, titles);
	json_array_foreach(upstreams, i, up)
		if (show_number(json_object_get(up, "connect"), "count"))
			stats_stage_rows(t, up, term);
	table_print(t, term);
}

void show_cache_fill(const json_t *cache)
{
	long long octets = show_number(cache, "octets"), size = show_number(cache, "size");
	char      used[UNITS_MAX], of[UNITS_MAX], share[UNITS_MAX];

	printf("cache      %lld entries (%lld negative), %s of %s (%s), %lld evicted\n",
	       show_number(cache, "entries"), show_number(cache, "negative"),
	       units_octets(octets, used), units_octets(size, of),
	       units_share((double)octets, (double)size, share), show_number(cache, "evicted"));
}

static void stats_gauges(const json_t *gauges)
{
	printf("now        %lld questions upstream, %lld clients waiting, %lld TCP connections\n",
	       show_number(gauges, "flights"), show_number(gauges, "waiting"),
	       show_number(gauges, "tcp_clients"));
}

static void stats_counters(const json_t *counters, const struct term *term)
{
	struct table *t = table_new("lrl");
	const char   *name;
	json_t       *n;

	table_row(t, TABLE_HEAD);
	table_cell(t, "counters");
	json_object_foreach((json_t *)counters, name, n) {
		if (!json_integer_value(n))
			continue;
		table_row(t, TABLE_PLAIN);
		table_cell(t, "  %s", name);
		table_cell(t, "%lld", (long long)json_integer_value(n));
		table_cell(t, "%s", show_help(stats_counter_rows, STATS_COUNTERS, name));
	}
	putchar('\n');
	table_print(t, term);
}

void show_stats(const json_t *stats, const struct term *term)
{
	stats_answers(stats, term);
	putchar('\n');
	show_hit_ratio(stats);
	stats_upstreams(json_object_get(stats, "upstreams"), term);
	stats_stages(json_object_get(stats, "upstreams"), term);
	putchar('\n');
	show_cache_fill(json_object_get(stats, "cache"));
	stats_gauges(json_object_get(stats, "gauges"));
	stats_counters(json_object_get(stats, "counters"), term);
}
