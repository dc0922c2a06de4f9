/* http_metrics.c - the numbers as Prometheus reads them.
 *
 * Whatever has a row in a table of stats.h is a metric by itself: outcomes
 * become values of the label "outcome", counters become larder_<name>_total,
 * and those of an upstream larder_upstream_<name>_total with its name.  Where
 * counters divide one thing among them (the ways in which a try can fail), they
 * are one family with a label, so that it can be summed: metrics_sets tells
 * which.  The other numbers have their rows here.
 *
 * The two formats differ little: OpenMetrics names the family of a counter
 * without its _total, tells units, and ends with "# EOF".  Numbers and labels
 * are written alike in both ("1.0", never "1"), because to Prometheus another
 * label is another series, and a scraper may change the format it asks for.
 *
 * Labels are bounded by the configuration: no clients, no names that are asked for.
 */
#include "control/http_metrics.h"

#include "control/http_sight.h"
#include "control/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *const metrics_content_types[] = {
	[METRICS_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
	[METRICS_OPEN] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };

static const char *const metrics_type_names[] = { "counter", "gauge", "histogram" };

/* Upper bounds of the buckets.  Like Go writes them, which is how Prometheus knows them again. */
static const struct metrics_bound {
	uint32_t    us;
	const char *le;
} metrics_bounds[] = {
	{ 50, "5e-05" },      { 100, "0.0001" },    { 250, "0.00025" },  { 500, "0.0005" },
	{ 1000, "0.001" },    { 2500, "0.0025" },   { 5000, "0.005" },   { 10000, "0.01" },
	{ 25000, "0.025" },   { 50000, "0.05" },    { 100000, "0.1" },   { 250000, "0.25" },
	{ 500000, "0.5" },    { 1000000, "1.0" },   { 2500000, "2.5" },  { 5000000, "5.0" },
	{ 10000000, "10.0" },
};

#define METRICS_BOUNDS (sizeof metrics_bounds / sizeof *metrics_bounds)

/* What is known now and stands in no table of stats.h. */
static const struct metrics_row {
	const char       *name;
	enum metrics_type type;
	const char       *help;
	size_t            offset;	/* of a uint64_t in struct http_sight */
} metrics_rows[] = {
	{ "flights_in_progress", METRICS_GAUGE, "questions under way upstream",
	  offsetof(struct http_sight, stats.flights_now) },
	{ "queries_waiting", METRICS_GAUGE, "client queries that wait for an answer from upstream",
	  offsetof(struct http_sight, stats.waiting_now) },
	{ "tcp_clients_connected", METRICS_GAUGE, "client connections open",
	  offsetof(struct http_sight, stats.tcp_clients_now) },
	{ "cache_entries", METRICS_GAUGE, "entries in the cache",
	  offsetof(struct http_sight, status.cache_entries) },
	{ "cache_negative_entries", METRICS_GAUGE, "entries in the cache without data, failures among them",
	  offsetof(struct http_sight, status.cache_negative) },
	{ "cache_used_bytes", METRICS_GAUGE, "memory in use by the cache",
	  offsetof(struct http_sight, status.cache_octets) },
	{ "cache_limit_bytes", METRICS_GAUGE, "memory the cache may use",
	  offsetof(struct http_sight, status.cache_size_octets) },
	{ "cache_evicted", METRICS_COUNTER, "entries pushed out while still of use",
	  offsetof(struct http_sight, status.cache_evicted) },
};

/* Counters that stand together in their enum, each event in exactly one of them.  The label's value is the row's
 * name, without what is common to all of them. */
struct metrics_set {
	unsigned    first, last;
	const char *common;
	const char *name, *key, *help;
};

static const struct metrics_set metrics_sets[] = {
	{ STATS_STALE_WAIT, STATS_STALE_OVERLOAD, "stale_", "stale_answers", "reason",
	  "answers given out past their TTL, by what kept a fresh one away" },
	{ STATS_PREFETCH_HIT, STATS_PREFETCH_EXPIRY, "prefetch_", "prefetches", "by",
	  "refreshes begun before anybody had to wait, by what began them" },
	{ STATS_PREFETCH_GAINED, STATS_PREFETCH_FAILED, "prefetch_", "prefetch_results", "result",
	  "refreshes ended, by whether they brought a new TTL" },
};

static const struct metrics_set metrics_upstream_sets[] = {
	{ UPSTREAM_TIMEOUT, UPSTREAM_MALFORMED, "", "upstream_failures", "reason",
	  "tries without a usable answer, by reason" },
	{ UPSTREAM_CERTIFICATE_UNTRUSTED, UPSTREAM_CERTIFICATE_OTHER, "certificate_", "upstream_certificate_failures",
	  "check", "those of them whose reason is the certificate, by the check that it failed" },
};

#define METRICS_UPSTREAM_SETS (sizeof metrics_upstream_sets / sizeof *metrics_upstream_sets)

static const struct metrics_learnt {
	const char *name, *help;
	size_t      offset;	/* of a uint64_t, us, in struct health_view; 0: nothing learnt yet, and no sample */
} metrics_learnt_rows[] = {
	{ "upstream_hedge_seconds", "another upstream is asked as well when this one has not answered by then",
	  offsetof(struct health_view, hedge_us) },
	{ "upstream_timeout_seconds", "a try is given up then", offsetof(struct health_view, timeout_us) },
};

static const struct metrics_time {
	const char *name;
	const char *help;
	size_t      offset;	/* of a struct histogram_view in struct stats_upstream_view */
} metrics_upstream_time_rows[] = {
	{ "upstream_exchange_duration_seconds", "from sending a question to the usable answer",
	  offsetof(struct stats_upstream_view, exchange) },
	{ "upstream_connect_duration_seconds", "opening a connection, without TLS",
	  offsetof(struct stats_upstream_view, connect) },
	{ "upstream_handshake_duration_seconds", "TLS handshakes in full",
	  offsetof(struct stats_upstream_view, handshake) },
	{ "upstream_resumption_duration_seconds", "TLS handshakes that resumed a session",
	  offsetof(struct stats_upstream_view, resumption) },
	{ "upstream_first_octet_duration_seconds", "from having sent a question to the first octet of the usable answer",
	  offsetof(struct stats_upstream_view, first_octet) },
};

#define METRICS_UPSTREAM_TIMES (sizeof metrics_upstream_time_rows / sizeof *metrics_upstream_time_rows)
#define METRICS_NAME_MAX       96

struct metrics_writer {
	FILE *out;
	bool  open;		/* OpenMetrics */
};

/* What could end a line or a label is escaped; within help, plain text has no escape for quotes. */
static void metrics_escaped(const struct metrics_writer *w, const char *text, bool quotes)
{
	const char *special = quotes ? "\n\\\"" : "\n\\";

	for (size_t plain; *text; text += plain + (text[plain] != '\0')) {
		plain = strcspn(text, special);
		fwrite(text, 1, plain, w->out);
		if (text[plain] == '\n')
			fputs("\\n", w->out);
		else if (text[plain])
			fprintf(w->out, "\\%c", text[plain]);
	}
}

static const char *metrics_unit(const char *name)
{
	static const char *const units[] = { "seconds", "bytes" };

	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		size_t n = strlen(name), u = strlen(units[i]);

		if (n > u && !strcmp(name + n - u, units[i]))
			return units[i];
	}
	return NULL;
}

static void metrics_family(const struct metrics_writer *w, const char *name, enum metrics_type type,
                           const char *help)
{
	const char *suffix = type == METRICS_COUNTER && !w->open ? "_total" : "";
	const char *unit = metrics_unit(name);

	fprintf(w->out, "# HELP larder_%s%s ", name, suffix);
	metrics_escaped(w, help, w->open);
	fprintf(w->out, "\n# TYPE larder_%s%s %s\n", name, suffix, metrics_type_names[type]);
	if (w->open && unit)
		fprintf(w->out, "# UNIT larder_%s %s\n", name, unit);
}

static void metrics_single(const struct metrics_writer *w, const char *name, enum metrics_type type,
                           const char *help, uint64_t value)
{
	metrics_family(w, name, type, help);
	fprintf(w->out, "larder_%s%s %" PRIu64 "\n", name, type == METRICS_COUNTER ? "_total" : "", value);
}

/* Samples below us.  Those in the fine bucket that us lies in count as if they were spread evenly over it. */
static uint64_t metrics_below(const struct histogram_view *v, uint64_t us)
{
	uint64_t n = 0, lower = 0;

	for (unsigned i = 0; lower < us; i++) {
		uint64_t upper = histogram_upper_us(i);

		if (upper > us)
			return n + v->count[i] * (us - lower) / (upper - lower);
		n += v->count[i];
		lower = upper;
	}
	return n;
}

/* What a sample is a value of: one label, from a bounded set. */
struct metrics_label {
	const char *key, *value;
};

/* The beginning of a sample: its name and all of its braces but the closing one. */
static void metrics_sample(const struct metrics_writer *w, const char *name, const char *suffix,
                           const struct metrics_label *label)
{
	fprintf(w->out, "larder_%s%s{%s=\"", name, suffix, label->key);
	metrics_escaped(w, label->value, true);
	fputc('"', w->out);
}

static void metrics_histogram(const struct metrics_writer *w, const char *name,
                              const struct metrics_label *label, const struct histogram_view *v)
{
	for (size_t i = 0; i < METRICS_BOUNDS; i++) {
		metrics_sample(w, name, "_bucket", label);
		fprintf(w->out, ",le=\"%s\"} %" PRIu64 "\n", metrics_bounds[i].le,
		        metrics_below(v, metrics_bounds[i].us));
	}
	metrics_sample(w, name, "_bucket", label);
	fprintf(w->out, ",le=\"+Inf\"} %" PRIu64 "\n", v->total);
	metrics_sample(w, name, "_sum", label);
	fprintf(w->out, "} %" PRIu64 ".%06" PRIu64 "\n", v->sum_us / 1000000, v->sum_us % 1000000);
	metrics_sample(w, name, "_count", label);
	fprintf(w->out, "} %" PRIu64 "\n", v->total);
}

static void metrics_process(const struct metrics_writer *w, const struct control_status *s)
{
	const struct metrics_label version = { "version", s->version };

	metrics_family(w, "build_info", METRICS_GAUGE, "always 1; the labels tell what runs here");
	metrics_sample(w, "build_info", "", &version);
	fputs("} 1\n", w->out);
	metrics_single(w, "uptime_seconds", METRICS_GAUGE, "time since the start", (uint64_t)s->uptime_s);
	metrics_single(w, "config_age_seconds", METRICS_GAUGE,
	               "time since the configuration was last taken over", (uint64_t)s->reloaded_ago_s);
	metrics_single(w, "workers", METRICS_GAUGE, "threads that answer", s->workers);
}

static void metrics_queries(const struct metrics_writer *w, const struct stats_view *s)
{
	struct metrics_label outcome = { .key = "outcome" };

	metrics_family(w, "queries", METRICS_COUNTER, "client queries answered, each in exactly one outcome");
	for (unsigned o = 0; o < OUTCOMES; o++) {
		outcome.value = stats_outcome_rows[o].name;
		metrics_sample(w, "queries", "_total", &outcome);
		fprintf(w->out, "} %" PRIu64 "\n", s->outcome[o]);
	}
	metrics_family(w, "answer_duration_seconds", METRICS_HISTOGRAM,
	               "from receiving a client query to sending its reply");
	for (unsigned o = 0; o < OUTCOMES; o++) {
		outcome.value = stats_outcome_rows[o].name;
		metrics_histogram(w, "answer_duration_seconds", &outcome, &s->answer[o]);
	}
}

static const struct metrics_set *metrics_set_of(unsigned counter)
{
	for (size_t i = 0; i < sizeof metrics_sets / sizeof *metrics_sets; i++)
		if (counter >= metrics_sets[i].first && counter <= metrics_sets[i].last)
			return &metrics_sets[i];
	return NULL;
}

static void metrics_counter(const struct metrics_writer *w, const struct stats_view *s, unsigned c)
{
	const struct metrics_set *set = metrics_set_of(c);
	struct metrics_label      label;

	if (!set) {
		metrics_single(w, stats_counter_rows[c].name, METRICS_COUNTER, stats_counter_rows[c].help,
		               s->counter[c]);
		return;
	}
	if (c == set->first)
		metrics_family(w, set->name, METRICS_COUNTER, set->help);
	label = (struct metrics_label){ set->key, stats_counter_rows[c].name + strlen(set->common) };
	metrics_sample(w, set->name, "_total", &label);
	fprintf(w->out, "} %" PRIu64 "\n", s->counter[c]);
}

static void metrics_values(const struct metrics_writer *w, const struct http_sight *s)
{
	for (size_t i = 0; i < sizeof metrics_rows / sizeof *metrics_rows; i++) {
		const struct metrics_row *row = &metrics_rows[i];
		uint64_t                  value;

		memcpy(&value, (const char *)s + row->offset, sizeof value);
		metrics_single(w, row->name, row->type, row->help, value);
	}
}

/* ---- upstreams ---- */

static struct metrics_label metrics_upstream(const struct http_sight *s, size_t i)
{
	return (struct metrics_label){ "upstream", s->upstreams[i].name };
}

static bool metrics_is_in_a_set(unsigned c)
{
	for (size_t i = 0; i < METRICS_UPSTREAM_SETS; i++)
		if (c >= metrics_upstream_sets[i].first && c <= metrics_upstream_sets[i].last)
			return true;
	return false;
}

static void metrics_upstream_set(const struct metrics_writer *w, const struct http_sight *s,
                                 const struct metrics_set *set)
{
	metrics_family(w, set->name, METRICS_COUNTER, set->help);
	for (size_t i = 0; i < s->upstream_count; i++)
		for (unsigned c = set->first; c <= set->last; c++) {
			const struct metrics_label upstream = metrics_upstream(s, i);

			metrics_sample(w, set->name, "_total", &upstream);
			fprintf(w->out, ",%s=\"%s\"} %" PRIu64 "\n", set->key,
			        stats_upstream_rows[c].name + strlen(set->common), s->upstreams[i].stats.counter[c]);
		}
}

static void metrics_upstream_counter(const struct metrics_writer *w, const struct http_sight *s, unsigned c)
{
	const struct stats_row *row = &stats_upstream_rows[c];
	char                    name[METRICS_NAME_MAX];

	snprintf(name, sizeof name, "upstream_%s", row->name);
	metrics_family(w, name, METRICS_COUNTER, row->help);
	for (size_t i = 0; i < s->upstream_count; i++) {
		const struct metrics_label upstream = metrics_upstream(s, i);

		metrics_sample(w, name, "_total", &upstream);
		fprintf(w->out, "} %" PRIu64 "\n", s->upstreams[i].stats.counter[c]);
	}
}

static void metrics_upstream_times(const struct metrics_writer *w, const struct http_sight *s)
{
	for (size_t h = 0; h < METRICS_UPSTREAM_TIMES; h++) {
		const struct metrics_time *row = &metrics_upstream_time_rows[h];

		metrics_family(w, row->name, METRICS_HISTOGRAM, row->help);
		for (size_t i = 0; i < s->upstream_count; i++) {
			const struct metrics_label upstream = metrics_upstream(s, i);
			const void                *at = (const char *)&s->upstreams[i].stats + row->offset;

			metrics_histogram(w, row->name, &upstream, at);
		}
	}
}

/* One of these is 1: a state that a query can select and an alert can wait for. */
static void metrics_states(const struct metrics_writer *w, const struct http_sight *s)
{
	metrics_family(w, "upstream_state", METRICS_GAUGE, "1 for the state that the upstream is in, else 0");
	for (size_t i = 0; i < s->upstream_count; i++)
		for (unsigned state = 0; state < CONTROL_STATES; state++) {
			const struct metrics_label upstream = metrics_upstream(s, i);

			metrics_sample(w, "upstream_state", "", &upstream);
			fprintf(w->out, ",state=\"%s\"} %d\n", control_state_names[state],
			        state == control_state_of(&s->upstreams[i].health));
		}
}

static void metrics_transitions_to(const struct metrics_writer *w, const struct control_upstream *up,
                                   enum health_state to)
{
	const struct metrics_label upstream = { "upstream", up->name };

	for (unsigned reason = 0; reason < HEALTH_REASONS; reason++) {
		metrics_sample(w, "upstream_breaker_transitions", "_total", &upstream);
		fprintf(w->out, ",to=\"%s\",reason=\"%s\"} %" PRIu64 "\n", health_state_names[to],
		        health_reason_names[reason], up->health.transitions[to][reason]);
	}
}

static void metrics_transitions(const struct metrics_writer *w, const struct http_sight *s)
{
	metrics_family(w, "upstream_breaker_transitions", METRICS_COUNTER,
	               "changes of what larder thinks of an upstream, by the failure that led there");
	for (size_t i = 0; i < s->upstream_count; i++)
		for (unsigned to = HEALTH_GOOD; to <= HEALTH_OPEN; to++)
			metrics_transitions_to(w, &s->upstreams[i], (enum health_state)to);
}

static void metrics_learnt(const struct metrics_writer *w, const struct http_sight *s,
                           const struct metrics_learnt *row)
{
	metrics_family(w, row->name, METRICS_GAUGE, row->help);
	for (size_t i = 0; i < s->upstream_count; i++) {
		const struct metrics_label upstream = metrics_upstream(s, i);
		uint64_t                   us;

		memcpy(&us, (const char *)&s->upstreams[i].health + row->offset, sizeof us);
		if (!us)
			continue;
		metrics_sample(w, row->name, "", &upstream);
		fprintf(w->out, "} %" PRIu64 ".%06" PRIu64 "\n", us / 1000000, us % 1000000);
	}
}

static void metrics_upstreams(const struct metrics_writer *w, const struct http_sight *s)
{
	metrics_states(w, s);
	metrics_transitions(w, s);
	for (size_t i = 0; i < METRICS_UPSTREAM_SETS; i++)
		metrics_upstream_set(w, s, &metrics_upstream_sets[i]);
	for (unsigned c = 0; c < UPSTREAM_COUNTERS; c++)
		if (!metrics_is_in_a_set(c))
			metrics_upstream_counter(w, s, c);
	metrics_upstream_times(w, s);
	for (size_t i = 0; i < sizeof metrics_learnt_rows / sizeof *metrics_learnt_rows; i++)
		metrics_learnt(w, s, &metrics_learnt_rows[i]);
}

char *metrics_write(const struct http_sight *s, enum metrics_format format, size_t *len)
{
	char                 *text = NULL;
	struct metrics_writer w = { .out = open_memstream(&text, len), .open = format == METRICS_OPEN };
	bool                  good;

	if (!w.out)
		return NULL;
	__fsetlocking(w.out, FSETLOCKING_BYCALLER);	/* nobody else knows it, and it is written in tiny pieces */
	metrics_process(&w, &s->status);
	metrics_queries(&w, &s->stats);
	for (unsigned c = 0; c < STATS_COUNTERS; c++)
		metrics_counter(&w, &s->stats, c);
	metrics_values(&w, s);
	metrics_upstreams(&w, s);
	if (w.open)
		fputs("# EOF\n", w.out);
	good = !ferror(w.out);
	good &= fclose(w.out) == 0;
	if (good)
		return text;
	free(text);
	return NULL;
}

/* ---- Accept (RFC 9110 s. 12.5.1) ---- */

/* The value of a parameter in the rest of an element, or NULL; *len octets. */
static const char *accept_parameter(const char *p, const char *end, const char *name, size_t *len)
{
	while (p < end && (p = memchr(p, ';', (size_t)(end - p)))) {
		p++;
		p += strspn(p, " \t");
		if (!strncasecmp(p, name, strlen(name)) && p[strlen(name)] == '=') {
			p += strlen(name) + 1;
			*len = strcspn(p, ",; \t");
			return p;
		}
	}
	return NULL;
}

/* The weight of an element, 0 to 1. */
static double accept_weight(const char *p, const char *end)
{
	size_t      len;
	const char *q = accept_parameter(p, end, "q", &len);

	return !q ? 1 : *q == '1' ? 1 : *q == '0' ? strtod(q, NULL) : 0;
}

/* How much a client wants a type in a version: the weight of the best element that names both. */
static double accept_wants(const char *accept, const char *type, const char *version)
{
	double best = 0;

	for (const char *p = accept, *end; *p; p = end + (*end == ',')) {
		const char *v;
		size_t      n, len;

		p += strspn(p, " \t");
		end = p + strcspn(p, ",");
		n = strcspn(p, ",; \t");
		v = accept_parameter(p, end, "version", &len);
		if (n != strlen(type) || strncasecmp(p, type, n) ||
		    (v && (len != strlen(version) || strncmp(v, version, len))))
			continue;
		if (accept_weight(p, end) > best)
			best = accept_weight(p, end);
	}
	return best;
}

enum metrics_format metrics_negotiate(const char *accept)
{
	double open = accept ? accept_wants(accept, "application/openmetrics-text", "1.0.0") : 0;

	return open > 0 && open >= accept_wants(accept, "text/plain", "0.0.4") ? METRICS_OPEN : METRICS_TEXT;
}
