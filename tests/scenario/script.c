/* script.c - reading scenarios. */
#include "script.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRIPT_OCTETS_MAX (1u << 20)

void story_fail(struct story *s, const char *format, ...)
{
	va_list args;

	if (s->failed)
		return;
	s->failed = true;
	s->failed_line = s->line;
	va_start(args, format);
	vsnprintf(s->why, sizeof s->why, format, args);
	va_end(args);
}

/* ---- lines ---- */

static int script_split(struct script *s)
{
	unsigned room = 1, n = 0;

	for (const char *p = s->text; *p; p++)
		room += *p == '\n';
	s->lines = calloc(room, sizeof *s->lines);
	if (!s->lines)
		return -ENOMEM;
	for (char *p = s->text; p && *p;) {
		char *end = strchr(p, '\n');

		s->lines[n++] = p;
		if (end)
			*end++ = '\0';
		p = end;
	}
	s->count = n;
	return 0;
}

static char *script_slurp(FILE *f)
{
	char  *text = malloc(SCRIPT_OCTETS_MAX + 1);
	size_t len;

	if (!text)
		return NULL;
	len = fread(text, 1, SCRIPT_OCTETS_MAX, f);
	text[len] = '\0';
	return text;
}

int script_read(const char *path, struct script *out)
{
	FILE *f = fopen(path, "re");
	int   err;

	memset(out, 0, sizeof *out);
	if (!f)
		return -errno;
	out->text = script_slurp(f);
	fclose(f);
	err = out->text ? script_split(out) : -ENOMEM;
	if (err < 0)
		script_done(out);
	return err;
}

int script_of_text(const char *text, struct script *out)
{
	int err;

	memset(out, 0, sizeof *out);
	out->text = strdup(text);
	err = out->text ? script_split(out) : -ENOMEM;
	if (err < 0)
		script_done(out);
	return err;
}

void script_done(struct script *s)
{
	free(s->lines);
	free(s->text);
	memset(s, 0, sizeof *s);
}

/* Columns of white space before the first word; a tab reaches to the next multiple of eight. */
static unsigned script_indent(const char *line)
{
	unsigned column = 0;

	for (; *line == ' ' || *line == '\t'; line++)
		column = *line == '\t' ? (column / 8 + 1) * 8 : column + 1;
	return column;
}

bool script_is_blank(const char *line)
{
	line += strspn(line, " \t\r");
	return !*line || *line == '#';
}

struct block script_block(const struct script *s, unsigned i)
{
	struct block b = { .script = s, .first = i + 1, .end = i + 1 };
	unsigned     indent = script_indent(s->lines[i]);

	for (unsigned k = i + 1; k < s->count; k++) {
		if (script_is_blank(s->lines[k]))
			continue;
		if (script_indent(s->lines[k]) <= indent)
			break;
		b.end = k + 1;
	}
	return b;
}

/* ---- words ---- */

/* Copies one octet of the line, or the number that $n stands for. */
static bool words_put(struct words *w, size_t *used, const char **p, unsigned n)
{
	int len;

	if ((*p)[0] == '$' && (*p)[1] == 'n') {
		len = snprintf(w->room + *used, sizeof w->room - *used, "%u", n);
		*p += 2;
		*used += (size_t)len;
	} else {
		w->room[(*used)++] = *(*p)++;
	}
	return *used + 16 < sizeof w->room;
}

bool words_split(struct words *w, const char *line, unsigned n)
{
	size_t used = 0;

	w->count = 0;
	for (;;) {
		bool quoted;

		line += strspn(line, " \t\r");
		if (!*line || *line == '#')
			return true;
		if (w->count == SCRIPT_WORDS)
			return false;
		w->at[w->count++] = w->room + used;
		quoted = *line == '"';
		if (quoted)
			w->room[used++] = *line++;
		while (*line && (quoted ? *line != '"' : !strchr(" \t\r", *line))) {
			if (*line == '\\' && line[1])
				w->room[used++] = *line++;
			if (!words_put(w, &used, &line, n))
				return false;
		}
		if (quoted && *line)
			line++;
		w->room[used++] = '\0';
	}
}

bool words_is(const struct words *w, unsigned i, const char *text)
{
	return i < w->count && !strcmp(w->at[i], text);
}

/* ---- numbers ---- */

bool script_duration(const char *text, uint64_t *us)
{
	static const struct {
		const char *name;
		double      us;
	} units[] = {
		{ "us", 1 }, { "ms", 1e3 }, { "s", 1e6 }, { "m", 60e6 }, { "h", 3600e6 }, { "d", 86400e6 },
	};
	char  *end;
	double v;

	if (*text < '0' || *text > '9')
		return false;
	v = strtod(text, &end);
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (!strcmp(end, units[i].name)) {
			*us = (uint64_t)(v * units[i].us + 0.5);
			return true;
		}
	if (v == 0 && !*end) {
		*us = 0;
		return true;
	}
	return false;
}

bool script_number(const char *text, uint64_t *out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	*out = strtoull(text, &end, 0);
	return !*end;
}

static bool script_range(const char *text, struct range *out, bool (*read)(const char *, uint64_t *))
{
	const char *dots = strstr(text, "..");
	char        low[64];
	size_t      len = dots ? (size_t)(dots - text) : 0;

	*out = (struct range){ 0, UINT64_MAX };
	if (!strcmp(text, "*"))
		return true;
	if (!dots)
		return read(text, &out->min) && read(text, &out->max);
	if (len >= sizeof low)
		return false;
	memcpy(low, text, len);
	low[len] = '\0';
	return (!len || read(low, &out->min)) && (!dots[2] || read(dots + 2, &out->max));
}

bool script_number_range(const char *text, struct range *out)
{
	return script_range(text, out, script_number);
}

bool script_duration_range(const char *text, struct range *us)
{
	return script_range(text, us, script_duration);
}

static int script_hex_digit(char c)
{
	const char *digits = "0123456789abcdef", *p = c ? strchr(digits, c | 0x20) : NULL;

	return p ? (int)(p - digits) : -1;
}

bool script_hex(const char *text, uint8_t *out, size_t room, size_t *len)
{
	for (; *text; text += 2) {
		int high = script_hex_digit(text[0]), low = high < 0 ? -1 : script_hex_digit(text[1]);

		if (low < 0 || *len == room)
			return false;
		out[(*len)++] = (uint8_t)(high << 4 | low);
	}
	return true;
}
