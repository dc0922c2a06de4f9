/* report.c - mistakes, shown the way compilers do:
 *
 *   larder.yaml:7:3: unknown key "thraeds" (did you mean "threads"?)
 *       7 |   thraeds: 4
 *         |   ^~~~~~~
 *
 * Columns count characters, as libyaml does.  What users wrote reaches a
 * terminal here, so control characters and broken UTF-8 become '?'.
 */
#include "conf/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPORT_MISTAKES_MAX 100
#define REPORT_SHOWN_MAX    100	/* characters of a line */
#define REPORT_BEFORE       40	/* of them before the marker, in long lines */

void conf_report_init(struct conf_report *r)
{
	memset(r, 0, sizeof *r);
	conf_report_source(r, CONF_SOURCE_DEFAULT, "default", NULL, 0);
}

void conf_sources_free(struct conf_source *sources, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(sources[i].name);
		free(sources[i].text);
	}
	free(sources);
}

void conf_report_done(struct conf_report *r)
{
	conf_sources_free(r->sources, r->source_count);
	for (size_t i = 0; i < r->mistake_count; i++)
		free(r->mistakes[i].text);
	free(r->mistakes);
	memset(r, 0, sizeof *r);
}

uint32_t conf_report_source(struct conf_report *r, enum conf_source_kind kind, const char *name,
                            char *text, size_t len)
{
	struct conf_source *grown = realloc(r->sources, (r->source_count + 1) * sizeof *grown);
	struct conf_source *s;

	if (grown)
		r->sources = grown;
	if (!grown || !(grown[r->source_count].name = strdup(name))) {
		free(text);
		r->no_memory = true;
		return 0;
	}
	s = &grown[r->source_count];
	s->kind = kind;
	s->text = text;
	s->len = len;
	return (uint32_t)r->source_count++;
}

void conf_report_add(struct conf_report *r, enum conf_weight weight, const struct conf_mark *at,
                     const char *format, ...)
{
	struct conf_mistake *grown;
	char                *text;
	va_list              ap;
	int                  n;

	if (weight == CONF_MISTAKE)
		r->failed = true;
	if (r->mistake_count == REPORT_MISTAKES_MAX) {
		r->dropped++;
		return;
	}
	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n < 0) {
		r->no_memory = true;
		return;
	}
	grown = realloc(r->mistakes, (r->mistake_count + 1) * sizeof *grown);
	if (!grown) {
		free(text);
		r->no_memory = true;
		return;
	}
	r->mistakes = grown;
	grown[r->mistake_count++] = (struct conf_mistake){ *at, weight, text };
}

size_t conf_char(const char *p, size_t left, uint32_t *code)
{
	/* By the number of octets: the least code point that needs so many. */
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const uint8_t        *u = (const uint8_t *)p;
	size_t                n = 1;
	uint32_t              v;

	if (u[0] >= 0x80)
		n = u[0] < 0xc0 ? 0 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : u[0] < 0xf8 ? 4 : 0;
	v = n == 1 ? u[0] : u[0] & (0x7fu >> n);

	*code = CONF_CHAR_BAD;
	if (!n || n > left)
		return 1;
	for (size_t i = 1; i < n; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 1;
		v = v << 6 | (u[i] & 0x3fu);
	}
	if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
		return 1;
	*code = v;
	return n;
}

/* The same, with a word on whether a terminal should see it. */
static size_t report_char(const char *p, size_t left, bool *printable)
{
	uint32_t code;
	size_t   n = conf_char(p, left, &code);

	*printable = code != CONF_CHAR_BAD && code >= 0x20 && (code < 0x7f || code >= 0xa0);
	return n;
}

/* Octets of the line break at p, or 0.  As in libyaml: CR LF, CR, LF, NEL, LS, PS. */
static size_t report_break(const char *p, size_t left)
{
	if (*p == '\n')
		return 1;
	if (*p == '\r')
		return left > 1 && p[1] == '\n' ? 2 : 1;
	if (left > 1 && !memcmp(p, "\xc2\x85", 2))
		return 2;
	if (left > 2 && (!memcmp(p, "\xe2\x80\xa8", 3) || !memcmp(p, "\xe2\x80\xa9", 3)))
		return 3;
	return 0;
}

const char *conf_line_start(const char *text, size_t len, uint32_t line)
{
	const char *p = text, *end = text + len;

	while (line > 1 && p < end) {
		size_t n = report_break(p, (size_t)(end - p));

		if (n)
			line--;
		p += n ? n : 1;
	}
	return p;
}

void conf_mark_at_octet(const char *text, size_t len, size_t octet, struct conf_mark *at)
{
	const char *p = text, *end = text + (octet < len ? octet : len);
	bool        printable;

	at->line = at->column = at->width = 1;
	while (p < end) {
		size_t n = report_break(p, (size_t)(text + len - p));

		at->column = n ? 1 : at->column + 1;
		at->line += n != 0;
		p += n ? n : report_char(p, (size_t)(text + len - p), &printable);
	}
}

const char *conf_clip(const char *text, char out[CONF_CLIP_MAX])
{
	if (strlen(text) < CONF_CLIP_MAX) {
		strcpy(out, text);
	} else {
		memcpy(out, text, CONF_CLIP_MAX - 4);
		strcpy(out + CONF_CLIP_MAX - 4, "...");
	}
	return out;
}

static void report_put(FILE *f, const char *text, size_t len)
{
	bool printable;

	for (size_t i = 0; i < len;) {
		size_t n = report_char(text + i, len - i, &printable);

		if (printable || text[i] == '\t')
			fwrite(text + i, 1, n, f);
		else
			fputc('?', f);
		i += n;
	}
}

/* The line and a marker under it.  Of a long line only the surroundings are shown. */
static void report_show(FILE *f, const struct conf_source *s, const struct conf_mark *at)
{
	const char *p = conf_line_start(s->text, s->len, at->line), *end = s->text + s->len;
	bool        is_long = at->column > REPORT_SHOWN_MAX - 20;
	uint32_t    skip = is_long ? at->column - REPORT_BEFORE : 0, shown = 0;
	const char *cut = skip ? "..." : "";
	char        under[2 * REPORT_SHOWN_MAX];
	size_t      n = 0;
	bool        printable;

	if (s->kind == CONF_SOURCE_ARGS)
		fprintf(f, "      | %s", cut);
	else
		fprintf(f, "%5u | %s", at->line, cut);
	for (uint32_t i = 0; i < skip && p < end && !report_break(p, (size_t)(end - p)); i++)
		p += report_char(p, (size_t)(end - p), &printable);
	for (; shown < REPORT_SHOWN_MAX && p < end && !report_break(p, (size_t)(end - p));
	     shown++) {
		size_t octets = report_char(p, (size_t)(end - p), &printable);

		report_put(f, p, octets);
		if (skip + shown + 1 < at->column) /* a tab moves the marker as it moved the text */
			under[n++] = *p == '\t' ? '\t' : ' ';
		p += octets;
	}
	while (skip + n + 1 < at->column && n < REPORT_SHOWN_MAX)
		under[n++] = ' ';
	under[n++] = '^';
	for (uint32_t i = 1; i < at->width && n < shown; i++)
		under[n++] = '~';
	fprintf(f, "\n      | %s%.*s\n", *cut ? "   " : "", (int)n, under);
}

static void report_write(FILE *f, const struct conf_report *r, const struct conf_mistake *m)
{
	const struct conf_source *s = &r->sources[m->at.source];

	report_put(f, s->name, strlen(s->name));
	if (s->kind == CONF_SOURCE_FILE && m->at.line)
		fprintf(f, ":%u:%u", m->at.line, m->at.column);
	fputs(m->weight == CONF_WARNING ? ": warning: " : ": ", f);
	report_put(f, m->text, strlen(m->text));
	fputc('\n', f);
	if (s->text && m->at.line)
		report_show(f, s, &m->at);
}

static int report_compare(const void *va, const void *vb)
{
	const struct conf_mark *a = &((const struct conf_mistake *)va)->at;
	const struct conf_mark *b = &((const struct conf_mistake *)vb)->at;

	if (a->source != b->source)
		return a->source < b->source ? -1 : 1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return a->column < b->column ? -1 : a->column > b->column;
}

char *conf_report_text(struct conf_report *r)
{
	char  *text = NULL;
	size_t len;
	FILE  *f;

	if (r->no_memory || !r->mistake_count)
		return NULL;
	qsort(r->mistakes, r->mistake_count, sizeof *r->mistakes, report_compare);
	f = open_memstream(&text, &len);
	if (!f)
		return NULL;
	for (size_t i = 0; i < r->mistake_count; i++)
		report_write(f, r, &r->mistakes[i]);
	if (r->dropped)
		fprintf(f, "… and %zu more\n", r->dropped);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}
