/* top_draw.c - what matters first, and as much of it as there is room for.
 *
 * From top to bottom: is larderd well; how many queries and how fast they are
 * answered; by whom; which of them were slow.  From 64 columns on, the
 * quantiles and outcomes stand beside the bars, below that above them.
 *
 * Each section has a height it needs to be of use and one at which it is
 * complete.  Rows are given out in the order of sections[].rank, first the
 * needs, then the wishes; what is left over parts the sections by blank rows,
 * and the rest is for slow queries.  So nothing is drawn over anything else, and a
 * small screen shows less, not a mess.
 */
#include "larderctl/top_draw.h"

#include "larderctl/canvas.h"
#include "larderctl/top_sample.h"
#include "larderctl/units.h"

#include <stdio.h>
#include <string.h>

#define TOP_WIDE     64u		/* columns for two blocks side by side */
#define TOP_LEFT     38u		/* of the left one */
#define TOP_BANDS    10u

struct top_view {
	const struct top_scene  *scene;
	const struct top_sample *now;
	struct top_delta         last, minute;
	struct canvas           *c;
};

/* ---- numbers ---- */

static const char *top_rate(double n, double seconds, char buf[UNITS_MAX])
{
	double rate = seconds > 0 ? n / seconds : 0;

	if (seconds <= 0)
		snprintf(buf, UNITS_MAX, "-");
	else if (rate <= 0 || rate >= 9.95)
		snprintf(buf, UNITS_MAX, rate < 999999.5 ? "%.0f" : "%.2e", rate);
	else
		snprintf(buf, UNITS_MAX, rate < 0.1 ? "<0.1" : "%.1f", rate);
	return buf;
}

static const char *top_share(double part, double whole, char buf[UNITS_MAX])
{
	if (whole > 0)
		return units_share(part, whole, buf);
	snprintf(buf, UNITS_MAX, "-");
	return buf;
}

static const char *top_quantile(const struct top_view *v, const struct histogram_view *h, double q, char buf[UNITS_MAX])
{
	if (h->total)
		return units_time((long long)histogram_quantile_us(h, q), v->c->utf8, buf);
	snprintf(buf, UNITS_MAX, "-");
	return buf;
}

/* Of the answers that the cache could have given, as "larderctl stats" has it. */
static const char *top_hit_ratio(const struct top_delta *d, char buf[UNITS_MAX])
{
	uint64_t hits = d->outcome[OUTCOME_HIT] + d->outcome[OUTCOME_STALE];

	return top_share((double)hits, (double)(hits + d->outcome[OUTCOME_MISS] + d->outcome[OUTCOME_JOINED]), buf);
}

/* "last 60 s" */
static const char *top_last(const struct top_delta *d, char buf[UNITS_MAX])
{
	if (d->seconds <= 0)
		snprintf(buf, UNITS_MAX, "last");
	else
		snprintf(buf, UNITS_MAX, d->seconds < 0.95 ? "last %.1f s" : "last %.0f s", d->seconds);
	return buf;
}

/* ---- the head ---- */

static void top_draw_title(const struct top_view *v, unsigned row)
{
	char     up[UNITS_MAX];
	unsigned n;

	if (!v->now) {
		canvas_put(v->c, row, 0, v->c->columns, CANVAS_STRONG, "larder");
		return;
	}
	n = canvas_put(v->c, row, 0, v->c->columns, CANVAS_STRONG, "larderd %s", v->now->version);
	n += canvas_put(v->c, row, n, v->c->columns - n,
			strcmp(v->now->health, "healthy") ? CANVAS_ALARM : CANVAS_PLAIN, "  %s", v->now->health);
	n += canvas_put(v->c, row, n, v->c->columns - n, CANVAS_PLAIN, "  up %s",
			units_age((long long)v->now->uptime_s, up));
	if (n + 26 <= v->c->columns)
		canvas_put_right(v->c, row, v->c->columns - 24, 24, CANVAS_FAINT, "every %g s, q quits",
				 v->scene->interval_ms / 1000.0);
}

static unsigned top_notices(const struct top_view *v)
{
	return (v->scene->notice != NULL) + (v->now && *v->now->complaint);
}

static void top_draw_notices(const struct top_view *v, unsigned row, unsigned rows)
{
	if (v->scene->notice && rows) {
		canvas_put(v->c, row++, 0, v->c->columns, CANVAS_ALARM, "%s", v->scene->notice);
		rows--;
	}
	if (rows && v->now && *v->now->complaint)
		canvas_put(v->c, row, 0, v->c->columns, CANVAS_ALARM, "%s", v->now->complaint);
}

static void top_draw_summary(const struct top_view *v, unsigned row, unsigned rows)
{
	char     rate[UNITS_MAX], ratio[UNITS_MAX];
	unsigned n;

	if (!rows || !v->now)
		return;
	n = canvas_put(v->c, row, 0, v->c->columns, CANVAS_STRONG, "%s queries/s",
		       top_rate((double)v->last.queries, v->last.seconds, rate));
	n += canvas_put(v->c, row, n, v->c->columns - n, CANVAS_PLAIN, "   hit ratio %s",
			top_hit_ratio(&v->last, ratio));
	if (v->c->columns >= TOP_WIDE)
		canvas_put(v->c, row, n, v->c->columns - n, CANVAS_PLAIN,
			   "   %llu upstream, %llu waiting, %llu TCP", (unsigned long long)v->now->flights,
			   (unsigned long long)v->now->waiting, (unsigned long long)v->now->tcp_clients);
}

/* ---- how long clients waited, and how they were answered ---- */

static void top_draw_quantiles_of(const struct top_view *v, unsigned row, const struct top_delta *d)
{
	static const double q[] = { 0.50, 0.90, 0.99 };
	char                text[UNITS_MAX];

	canvas_put(v->c, row, 0, 12, CANVAS_PLAIN, "%s", top_last(d, text));
	for (unsigned i = 0; i < 3; i++)
		canvas_put_right(v->c, row, 11 + 9 * i, 9, CANVAS_PLAIN, "%s",
				 top_quantile(v, &d->answers, q[i], text));
}

/* Three rows. */
static void top_draw_quantiles(const struct top_view *v, unsigned row, unsigned rows)
{
	static const char *const titles[] = { "p50", "p90", "p99" };

	if (!rows)
		return;
	canvas_put(v->c, row, 0, 12, CANVAS_STRONG, "waits");
	for (unsigned i = 0; i < 3; i++)
		canvas_put_right(v->c, row, 11 + 9 * i, 9, CANVAS_STRONG, "%s", titles[i]);
	if (rows > 1)
		top_draw_quantiles_of(v, row + 1, &v->last);
	if (rows > 2)
		top_draw_quantiles_of(v, row + 2, &v->minute);
}

/* A row more than there are outcomes. */
static void top_draw_outcomes(const struct top_view *v, unsigned row, unsigned rows)
{
	static const char *const titles[] = { "/s", "share", "minute" };
	char                     text[UNITS_MAX];

	if (!rows)
		return;
	canvas_put(v->c, row, 0, 11, CANVAS_STRONG, "answers");
	for (unsigned i = 0; i < 3; i++)
		canvas_put_right(v->c, row, 11 + 9 * i, 9, CANVAS_STRONG, "%s", titles[i]);
	for (unsigned o = 0; o < OUTCOMES && o + 1 < rows; o++) {
		enum canvas_style style = v->minute.outcome[o] ? CANVAS_PLAIN : CANVAS_FAINT;

		row++;
		canvas_put(v->c, row, 0, 11, style, "%s", stats_outcome_rows[o].name);
		canvas_put_right(v->c, row, 11, 9, style, "%s",
				 top_rate((double)v->last.outcome[o], v->last.seconds, text));
		canvas_put_right(v->c, row, 20, 9, style, "%s",
				 top_share((double)v->last.outcome[o], (double)v->last.queries, text));
		canvas_put_right(v->c, row, 29, 9, style, "%s",
				 top_share((double)v->minute.outcome[o], (double)v->minute.queries, text));
	}
}

/* Samples below us; those in the bucket that it lies in count as spread evenly over it. */
static double top_below(const struct histogram_view *h, uint64_t us)
{
	double   n = 0;
	uint64_t lower = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS && lower < us; i++) {
		uint64_t upper = histogram_upper_us(i);

		if (upper > us)
			return n + (double)h->count[i] * (double)(us - lower) / (double)(upper - lower);
		n += (double)h->count[i];
		lower = upper;
	}
	return n;
}

/* Bands of waiting, each some three times as long as the one before; step 2 joins two to one.  Gives their
 * number. */
static unsigned top_bands(const struct histogram_view *h, unsigned step, double counts[TOP_BANDS])
{
	static const uint64_t bounds[TOP_BANDS - 1] = { 100, 300, 1000, 3000, 10000, 30000, 100000, 300000, 1000000 };
	double                seen = 0;
	unsigned              n = 0;

	for (unsigned i = step - 1; i < TOP_BANDS; i += step) {
		double below = i < TOP_BANDS - 1 ? top_below(h, bounds[i]) : (double)h->total;

		counts[n++] = below - seen;
		seen = below;
	}
	return n;
}

static const char *top_band_name(const struct top_view *v, unsigned band, unsigned step)
{
	static const char *const names[TOP_BANDS] = {
		"<0.1 ms", "<0.3 ms", "<1 ms", "<3 ms", "<10 ms", "<30 ms", "<100 ms", "<300 ms", "<1 s", "longer",
	};

	(void)v;
	return names[(band + 1) * step - 1];
}

/* A head and the bands, all ten or five. */
static void top_draw_bars(const struct top_view *v, unsigned row, unsigned rows, unsigned column)
{
	const struct histogram_view *h = &v->minute.answers;
	unsigned width = v->c->columns - column, step = rows > TOP_BANDS ? 1 : 2;
	double   counts[TOP_BANDS], most = 0;
	unsigned n = top_bands(h, step, counts);
	char     text[UNITS_MAX];

	if (rows < n + 1 || width < 24)
		return;
	canvas_put(v->c, row, column, width, CANVAS_STRONG, "how long clients waited, %s", top_last(&v->minute, text));
	for (unsigned i = 0; i < n; i++)
		most = counts[i] > most ? counts[i] : most;
	for (unsigned i = 0; i < n; i++) {
		row++;
		canvas_put_right(v->c, row, column, 7, CANVAS_PLAIN, "%s", top_band_name(v, i, step));
		canvas_bar(v->c, row, column + 8, width - 16, most > 0 ? counts[i] / most : 0);
		if (counts[i] > 0)
			canvas_put_right(v->c, row, v->c->columns - 7, 7, CANVAS_PLAIN, "%s",
					 units_share(counts[i], (double)h->total, text));
	}
}

/* ---- the middle, in two ways ---- */

static void top_draw_blocks(const struct top_view *v, unsigned row, unsigned rows)
{
	top_draw_quantiles(v, row, rows < 3 ? rows : 3);
	if (rows > 4)
		top_draw_outcomes(v, row + 4, rows - 4);
	top_draw_bars(v, row, rows, TOP_LEFT + 3);
}

static void top_draw_narrow_bars(const struct top_view *v, unsigned row, unsigned rows)
{
	top_draw_bars(v, row, rows, 0);
}

/* "hit 91.2 %  miss 8.1 %": those there were, in one row. */
static void top_draw_shares(const struct top_view *v, unsigned row, unsigned rows)
{
	char     share[UNITS_MAX];
	unsigned column = 0;

	for (unsigned o = 0; o < OUTCOMES && rows; o++)
		if (v->last.outcome[o])
			column += canvas_put(v->c, row, column, v->c->columns - column, CANVAS_PLAIN, "%s%s %s",
					     column ? "  " : "", stats_outcome_rows[o].name,
					     top_share((double)v->last.outcome[o], (double)v->last.queries, share));
}

/* ---- upstreams ---- */

static bool top_is_wide(const struct top_view *v)
{
	return v->c->columns >= TOP_WIDE;
}

/* "silent, probe in 4 s; timeout 12, rcode 1" */
static void top_failures(const struct top_upstream *up, const struct top_upstream_delta *d, char *out, size_t size)
{
	const char *gap = *up->why ? "; " : "";
	size_t      used = (size_t)snprintf(out, size, "%s", up->why);

	for (unsigned i = UPSTREAM_TIMEOUT; i <= UPSTREAM_MALFORMED && used < size; i++) {
		if (!d->counter[i])
			continue;
		used += (size_t)snprintf(out + used, size - used, "%s%s %llu", gap, stats_upstream_rows[i].name,
					 (unsigned long long)d->counter[i]);
		gap = ", ";
	}
}

static bool top_is_bad(const struct top_upstream *up)
{
	return !strcmp(up->state, "open") || !strcmp(up->state, "down");
}

/* Names that are URLs differ at their ends; what is too long loses its middle. */
static void top_draw_name(const struct top_view *v, unsigned row, unsigned width, enum canvas_style style,
			  const char *name)
{
	size_t   len = strlen(name);
	unsigned tail = (width - 1) / 2;

	if (len <= width) {
		canvas_put(v->c, row, 0, width, style, "%s", name);
		return;
	}
	canvas_put(v->c, row, 0, width - tail, style, "%s", name);
	canvas_put(v->c, row, width - tail, tail, style, "%s", name + len - tail);
}

static unsigned top_name_width(const struct top_view *v)
{
	unsigned longest = 9, most = v->c->columns / 4 + 1;

	for (size_t i = 0; i < v->now->upstream_count; i++)
		if (strlen(v->now->upstreams[i].name) > longest)
			longest = (unsigned)strlen(v->now->upstreams[i].name);
	return longest < most ? longest : most;
}

static void top_draw_upstream_wide(const struct top_view *v, unsigned row, const struct top_upstream *up, uint64_t sent)
{
	unsigned                  at = top_name_width(v) + 2;
	enum canvas_style         style = top_is_bad(up) ? CANVAS_ALARM : CANVAS_PLAIN;
	struct top_upstream_delta d;
	char                      text[UNITS_MAX], failures[2 * TOP_TEXT];

	top_upstream_between(up, v->scene->minute, &d);
	top_failures(up, &d, failures, sizeof failures);
	top_draw_name(v, row, at - 2, style, up->name);
	canvas_put(v->c, row, at, 8, style, "%s", up->state);
	canvas_put_right(v->c, row, at + 8, 5, style, "%s",
			 top_rate((double)d.counter[UPSTREAM_SENT], v->minute.seconds, text));
	canvas_put_right(v->c, row, at + 13, 9, style, "%s",
			 top_share((double)d.counter[UPSTREAM_SENT], (double)sent, text));
	canvas_put_right(v->c, row, at + 22, 8, style, "%s", top_quantile(v, &d.exchange, 0.50, text));
	canvas_put_right(v->c, row, at + 30, 8, style, "%s", top_quantile(v, &d.exchange, 0.99, text));
	canvas_put(v->c, row, at + 40, v->c->columns, style, "%s", failures);
}

static void top_draw_upstreams_wide(const struct top_view *v, unsigned row, unsigned rows)
{
	unsigned at = top_name_width(v) + 2, shown = 0;
	uint64_t sent = 0;

	canvas_put(v->c, row, 0, at, CANVAS_STRONG, "upstreams");
	canvas_put(v->c, row, at, 8, CANVAS_STRONG, "state");
	canvas_put_right(v->c, row, at + 8, 5, CANVAS_STRONG, "/s");
	canvas_put_right(v->c, row, at + 13, 9, CANVAS_STRONG, "share");
	canvas_put_right(v->c, row, at + 22, 8, CANVAS_STRONG, "p50");
	canvas_put_right(v->c, row, at + 30, 8, CANVAS_STRONG, "p99");
	canvas_put(v->c, row, at + 40, v->c->columns, CANVAS_STRONG, "failures");
	for (size_t i = 0; i < v->now->upstream_count; i++) {
		struct top_upstream_delta d;

		top_upstream_between(&v->now->upstreams[i], v->scene->minute, &d);
		sent += d.counter[UPSTREAM_SENT];
	}
	for (; shown < v->now->upstream_count && shown + 1 < rows; shown++)
		top_draw_upstream_wide(v, ++row, &v->now->upstreams[shown], sent);
}

static void top_draw_upstreams_narrow(const struct top_view *v, unsigned row, unsigned rows)
{
	unsigned at = v->c->columns > 40 ? v->c->columns - 24 : 16;
	char     text[UNITS_MAX];

	canvas_put(v->c, row, 0, at - 1, CANVAS_STRONG, "upstreams");
	canvas_put(v->c, row, at, 8, CANVAS_STRONG, "state");
	canvas_put_right(v->c, row, at + 8, 8, CANVAS_STRONG, "p50");
	canvas_put_right(v->c, row, at + 16, 8, CANVAS_STRONG, "p99");
	for (size_t i = 0; i < v->now->upstream_count && i + 1 < rows; i++) {
		const struct top_upstream *up = &v->now->upstreams[i];
		enum canvas_style          style = top_is_bad(up) ? CANVAS_ALARM : CANVAS_PLAIN;
		struct top_upstream_delta  d;

		top_upstream_between(up, v->scene->minute, &d);
		row++;
		top_draw_name(v, row, at - 1, style, up->name);
		canvas_put(v->c, row, at, 8, style, "%s", up->state);
		canvas_put_right(v->c, row, at + 8, 8, style, "%s", top_quantile(v, &d.exchange, 0.50, text));
		canvas_put_right(v->c, row, at + 16, 8, style, "%s", top_quantile(v, &d.exchange, 0.99, text));
	}
}

static void top_draw_upstreams(const struct top_view *v, unsigned row, unsigned rows)
{
	size_t hidden = v->now && rows && v->now->upstream_count + 1 > rows ? v->now->upstream_count + 1 - rows : 0;

	if (!rows || !v->now)
		return;
	if (!v->now->upstream_count) {
		canvas_put(v->c, row, 0, v->c->columns, CANVAS_STRONG, "no upstreams");
		return;
	}
	if (top_is_wide(v))
		top_draw_upstreams_wide(v, row, rows);
	else
		top_draw_upstreams_narrow(v, row, rows);
	if (hidden && rows > 1)
		canvas_put(v->c, row, 0, v->c->columns, CANVAS_STRONG, "upstreams, %zu not shown ", hidden);
}

/* ---- slow queries ---- */

static void top_draw_slow_query(const struct top_view *v, unsigned row, const struct top_slow *q)
{
	long long ago_s = v->now->time_ms > q->time_ms ? (long long)(v->now->time_ms - q->time_ms) / 1000 : 0;
	char      age[UNITS_MAX], took[UNITS_MAX];
	unsigned  n = 20, columns = v->c->columns;

	canvas_put_right(v->c, row, 0, 12, CANVAS_FAINT, "%s ago", units_age(ago_s, age));
	canvas_put_right(v->c, row, 12, 8, CANVAS_PLAIN, "%s",
			 units_time((long long)q->duration_us, v->c->utf8, took));
	n += 2;
	if (n >= columns)
		return;
	/* Not more than half for the name, where the reason has room beside it. */
	n += canvas_put(v->c, row, n, top_is_wide(v) ? (columns - n) / 2 : columns - n, CANVAS_PLAIN, "%s%s%s",
			q->name, *q->name ? " " : "", q->type);
	if (top_is_wide(v))
		canvas_put(v->c, row, n + 2, columns - n - 2, CANVAS_PLAIN, "%s", q->reason);
}

static bool top_names_hidden(const struct top_sample *s)
{
	return s->slow_count && !*s->slow[0].name;
}

static void top_draw_slow(const struct top_view *v, unsigned row, unsigned rows)
{
	unsigned n, columns = v->c->columns, each = top_is_wide(v) ? 1 : 2;
	char     over[UNITS_MAX];

	if (!rows)
		return;
	n = canvas_put(v->c, row, 0, columns, CANVAS_STRONG, "slow queries, %s and more",
		       units_time((long long)v->now->slow_over_us, v->c->utf8, over));
	if (!v->now->slow_count)
		canvas_put(v->c, row, n, columns - n, CANVAS_PLAIN, ": none");
	else if (top_names_hidden(v->now) && top_is_wide(v))
		canvas_put(v->c, row, n, columns - n, CANVAS_FAINT, "  (names are not for you: see larderctl(1))");
	for (size_t i = 0; i < v->now->slow_count && 1 + i * each < rows; i++) {
		unsigned at = row + 1 + (unsigned)i * each;

		top_draw_slow_query(v, at, &v->now->slow[i]);
		if (each == 2 && at + 1 < row + rows)
			canvas_put(v->c, at + 1, 2, columns, CANVAS_FAINT, "%s", v->now->slow[i].reason);
	}
}

/* ---- the cache ---- */

static void top_draw_cache(const struct top_view *v, unsigned row, unsigned rows)
{
	char     share[UNITS_MAX], size[UNITS_MAX], stored[UNITS_MAX], evicted[UNITS_MAX];
	unsigned n;

	if (!rows)
		return;
	n = canvas_put(v->c, row, 0, v->c->columns, CANVAS_STRONG, "cache");
	n += canvas_put(v->c, row, n, v->c->columns - n, CANVAS_PLAIN, "  %s of %s full, %llu entr%s",
			units_share((double)v->now->cache_octets, (double)v->now->cache_size, share),
			units_octets((long long)v->now->cache_size, size), (unsigned long long)v->now->cache_entries,
			v->now->cache_entries == 1 ? "y" : "ies");
	if (top_is_wide(v))
		canvas_put(v->c, row, n, v->c->columns - n, CANVAS_PLAIN, "; stored %s/s, evicted %s/s",
			   top_rate((double)v->minute.stored, v->minute.seconds, stored),
			   top_rate((double)v->minute.evicted, v->minute.seconds, evicted));
}

/* ---- who gets which rows ---- */

struct top_section {
	void   (*draw)(const struct top_view *v, unsigned row, unsigned rows);
	unsigned need, want;			/* rows to be of use, and to be complete; need 0: none is needed */
	unsigned rank;				/* who gets rows first */
	bool     apart;				/* a blank row before it is nice */
	unsigned rows;				/* what it got */
};

enum { TOP_SECTIONS_MAX = 8, TOP_LAST_RANK = 7 };

static unsigned top_slow_rows(const struct top_view *v)
{
	unsigned each = top_is_wide(v) ? 1 : 2;

	return v->now->slow_known ? 1 + each * (unsigned)v->now->slow_count : 0;
}

static unsigned top_lesser(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* What there is to be shown, from top to bottom. */
static unsigned top_plan(const struct top_view *v, struct top_section s[TOP_SECTIONS_MAX])
{
	unsigned notices = top_notices(v), slow, upstreams, n = 0;

	s[n++] = (struct top_section){ .draw = top_draw_notices, .need = notices, .want = notices, .rank = 0 };
	if (!v->now)
		return n;
	slow = top_slow_rows(v);
	upstreams = (unsigned)v->now->upstream_count + 1;
	s[n++] = (struct top_section){ .draw = top_draw_summary, .need = 1, .want = 1, .rank = 1 };
	if (top_is_wide(v)) {
		s[n++] = (struct top_section){ .draw = top_draw_blocks, .need = 3, .want = 11, .rank = 2, .apart = true };
	} else {
		s[n++] = (struct top_section){ .draw = top_draw_shares, .need = 0, .want = 1, .rank = 5 };
		s[n++] = (struct top_section){ .draw = top_draw_quantiles, .need = 3, .want = 3, .rank = 2,
			                       .apart = true };
		s[n++] = (struct top_section){ .draw = top_draw_narrow_bars, .need = 6, .want = 6, .rank = 6,
			                       .apart = true };
	}
	s[n++] = (struct top_section){ .draw = top_draw_upstreams, .need = top_lesser(upstreams, 3), .want = upstreams,
		                       .rank = 3, .apart = true };
	s[n++] = (struct top_section){ .draw = top_draw_slow, .need = top_lesser(slow, 3), .want = slow, .rank = 7,
		                       .apart = true };
	s[n++] = (struct top_section){ .draw = top_draw_cache, .need = 1, .want = 1, .rank = 4, .apart = true };
	return n;
}

static void top_allot_needs(struct top_section *s, unsigned n, unsigned *rows)
{
	for (unsigned rank = 0; rank <= TOP_LAST_RANK; rank++)
		for (unsigned i = 0; i < n; i++)
			if (s[i].rank == rank && s[i].need <= *rows) {
				s[i].rows = s[i].need;
				*rows -= s[i].need;
			}
}

/* A section that did not get what it needs wants nothing more. */
static void top_allot_wishes(struct top_section *s, unsigned n, unsigned first, unsigned last, unsigned *rows)
{
	for (unsigned rank = first; rank <= last; rank++)
		for (unsigned i = 0; i < n; i++)
			if (s[i].rank == rank && s[i].rows == s[i].need) {
				unsigned more = top_lesser(s[i].want - s[i].rows, *rows);

				s[i].rows += more;
				*rows -= more;
			}
}

/* Gives how many rows are left blank between sections. */
static unsigned top_allot(struct top_section *s, unsigned n, unsigned rows)
{
	unsigned blanks = 0;

	top_allot_needs(s, n, &rows);
	top_allot_wishes(s, n, 0, TOP_LAST_RANK - 1, &rows);
	for (unsigned i = 0; i < n && rows; i++)
		if (s[i].apart && s[i].rows) {
			blanks++;
			rows--;
		}
	top_allot_wishes(s, n, TOP_LAST_RANK, TOP_LAST_RANK, &rows);
	return blanks;
}

void top_draw(const struct top_scene *scene, struct canvas *c)
{
	struct top_view    v = { .scene = scene, .now = scene->now, .c = c };
	struct top_section s[TOP_SECTIONS_MAX];
	unsigned           n, blanks, row = 1;

	if (v.now) {
		top_between(v.now, scene->before, &v.last);
		top_between(v.now, scene->minute, &v.minute);
	}
	top_draw_title(&v, 0);
	n = top_plan(&v, s);
	blanks = top_allot(s, n, c->rows - 1);
	for (unsigned i = 0; i < n; i++) {
		if (s[i].apart && s[i].rows && blanks) {
			blanks--;
			row++;
		}
		s[i].draw(&v, row, s[i].rows);
		row += s[i].rows;
	}
}
