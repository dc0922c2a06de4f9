/* table.c - columns as wide as their widest cell.
 *
 * Cells are kept as text until all are known.  Lines have no blanks at their
 * end.
 */
#include "larderctl/table.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_COLUMNS 9
#define TABLE_GAP     2

struct table_line {
	enum table_style style;
	unsigned         count;
	char            *cells[TABLE_COLUMNS];
};

struct table {
	const char        *columns;	/* borrowed: a literal */
	size_t             width[TABLE_COLUMNS];
	struct table_line *lines;
	size_t             count, room;
};

struct table *table_new(const char *columns)
{
	struct table *t = term_memory(calloc(1, sizeof *t));

	assert(strlen(columns) <= TABLE_COLUMNS);
	t->columns = columns;
	return t;
}

void table_row(struct table *t, enum table_style style)
{
	if (t->count == t->room) {
		t->room = t->room ? 2 * t->room : 16;
		t->lines = term_memory(reallocarray(t->lines, t->room, sizeof *t->lines));
	}
	t->lines[t->count++] = (struct table_line){ .style = style };
}

void table_cell(struct table *t, const char *format, ...)
{
	struct table_line *line = &t->lines[t->count - 1];
	char              *text = NULL;
	size_t             width;
	va_list            ap;

	assert(line->count < strlen(t->columns));
	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		text = NULL;
	va_end(ap);
	term_memory(text);
	term_clean(text, false);
	width = term_width(text);
	if (width > t->width[line->count])
		t->width[line->count] = width;
	line->cells[line->count++] = text;
}

static void table_blanks(size_t n)
{
	while (n--)
		putchar(' ');
}

/* Blanks are owed until there is something to print behind them. */
static void table_print_line(const struct table *t, const struct table_line *line)
{
	size_t owed = 0;

	for (unsigned i = 0; i < line->count; i++) {
		size_t blanks = t->width[i] - term_width(line->cells[i]);
		bool   right = t->columns[i] == 'r';

		if (*line->cells[i]) {
			table_blanks(owed + (right ? blanks : 0));
			fputs(line->cells[i], stdout);
			owed = right ? 0 : blanks;
		} else
			owed += t->width[i];
		owed += TABLE_GAP;
	}
}

void table_print(struct table *t, const struct term *term)
{
	static const char *const colour[] = {
		[TABLE_PLAIN] = NULL, [TABLE_HEAD] = "\033[1m",
		[TABLE_FAINT] = "\033[2m", [TABLE_ALARM] = "\033[31m",
	};

	for (size_t i = 0; i < t->count; i++) {
		struct table_line *line = &t->lines[i];
		bool               paint = term->colour && colour[line->style];

		if (paint)
			fputs(colour[line->style], stdout);
		table_print_line(t, line);
		fputs(paint ? "\033[0m\n" : "\n", stdout);
		for (unsigned k = 0; k < line->count; k++)
			free(line->cells[k]);
	}
	free(t->lines);
	free(t);
}
