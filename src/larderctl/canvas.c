/* canvas.c - a grid of characters. */
#include "larderctl/canvas.h"

#include "larderctl/term.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CANVAS_TEXT 1024		/* octets put at once; the rest would not fit on any screen */
#define CANVAS_FULL 0x2588		/* a whole block; those after it are narrower by an eighth each */
#define CANVAS_CUT  0x2026		/* an ellipsis */

struct canvas_cell {
	uint16_t code;
	uint8_t  style;
};

static unsigned canvas_within(unsigned n, unsigned most)
{
	return n < 1 ? 1 : n > most ? most : n;
}

void canvas_init(struct canvas *c, unsigned rows, unsigned columns, bool utf8)
{
	c->rows = canvas_within(rows, CANVAS_ROWS_MAX);
	c->columns = canvas_within(columns, CANVAS_COLUMNS_MAX);
	c->utf8 = utf8;
	c->cells = term_memory(calloc((size_t)c->rows * c->columns, sizeof *c->cells));
	for (size_t i = 0; i < (size_t)c->rows * c->columns; i++)
		c->cells[i].code = ' ';
}

void canvas_done(struct canvas *c)
{
	free(c->cells);
	c->cells = NULL;
}

/* The one place through which anything comes into the grid. */
static void canvas_set(struct canvas *c, unsigned row, unsigned column, unsigned code, enum canvas_style style)
{
	bool ascii = code >= 0x20 && code < 0x7f;
	bool other = code == 0xb5 || code == CANVAS_CUT || (code >= CANVAS_FULL && code <= 0x258f);

	if (row >= c->rows || column >= c->columns)
		return;
	c->cells[(size_t)row * c->columns + column] = (struct canvas_cell){
		.code = (uint16_t)(ascii || (other && c->utf8) ? code : '?'), .style = (uint8_t)style,
	};
}

/* The next character of text; what is no UTF-8 is '?', octet by octet. */
static unsigned canvas_next(const char **text)
{
	const unsigned char *s = (const unsigned char *)*text;
	unsigned             len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 0;
	unsigned             code = len == 1 ? s[0] : len ? s[0] & (0x7fu >> len) : '?';

	for (unsigned i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80) {
			len = 0;
			code = '?';
			break;
		}
		code = code << 6 | (s[i] & 0x3f);
	}
	*text += len ? len : 1;
	return code;
}

static unsigned canvas_length(const char *text)
{
	unsigned n = 0;

	for (; *text; n++)
		canvas_next(&text);
	return n;
}

static unsigned canvas_put_text(struct canvas *c, unsigned row, unsigned column, unsigned width,
				enum canvas_style style, const char *text)
{
	unsigned length = canvas_length(text), shown = length > width ? width : length;

	for (unsigned i = 0; i < shown; i++) {
		unsigned code = canvas_next(&text);

		if (i + 1 == width && length > width)
			code = c->utf8 ? CANVAS_CUT : '>';
		canvas_set(c, row, column + i, code, style);
	}
	return shown;
}

unsigned canvas_put(struct canvas *c, unsigned row, unsigned column, unsigned width, enum canvas_style style,
		    const char *format, ...)
{
	char    text[CANVAS_TEXT];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	if (column >= c->columns)
		return 0;
	if (width > c->columns - column)
		width = c->columns - column;
	return canvas_put_text(c, row, column, width, style, text);
}

unsigned canvas_put_right(struct canvas *c, unsigned row, unsigned column, unsigned width, enum canvas_style style,
			  const char *format, ...)
{
	char     text[CANVAS_TEXT];
	unsigned length;
	va_list  ap;

	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	length = canvas_length(text);
	if (length < width)
		column += width - length;
	return canvas_put_text(c, row, column, width, style, text);
}

void canvas_bar(struct canvas *c, unsigned row, unsigned column, unsigned width, double part)
{
	unsigned eighths = (unsigned)(part * 8 * width + 0.5), whole;

	if (part <= 0)
		return;
	if (eighths < 1)
		eighths = 1;
	if (eighths > 8 * width)
		eighths = 8 * width;
	whole = eighths / 8;
	for (unsigned i = 0; i < whole; i++)
		canvas_set(c, row, column + i, c->utf8 ? CANVAS_FULL : '#', CANVAS_BAR);
	if (eighths % 8 && c->utf8)
		canvas_set(c, row, column + whole, CANVAS_FULL + 8 - eighths % 8, CANVAS_BAR);
	else if (!whole)
		canvas_set(c, row, column, '.', CANVAS_BAR);
}

static void canvas_write_code(unsigned code, FILE *to)
{
	if (code < 0x80) {
		fputc((int)code, to);
	} else if (code < 0x800) {
		fputc((int)(0xc0 | code >> 6), to);
		fputc((int)(0x80 | (code & 0x3f)), to);
	} else {
		fputc((int)(0xe0 | code >> 12), to);
		fputc((int)(0x80 | (code >> 6 & 0x3f)), to);
		fputc((int)(0x80 | (code & 0x3f)), to);
	}
}

unsigned canvas_write_row(const struct canvas *c, unsigned row, bool colour, FILE *to)
{
	static const char *const sgr[] = {
		[CANVAS_PLAIN] = "\033[0m", [CANVAS_STRONG] = "\033[0;1m", [CANVAS_FAINT] = "\033[0;2m",
		[CANVAS_ALARM] = "\033[0;31m", [CANVAS_BAR] = "\033[0;36m",
	};
	const struct canvas_cell *cells = c->cells + (size_t)row * c->columns;
	unsigned                  end = c->columns, style = CANVAS_PLAIN;

	while (end && cells[end - 1].code == ' ')
		end--;
	for (unsigned i = 0; i < end; i++) {
		if (colour && cells[i].style != style && cells[i].code != ' ') {
			style = cells[i].style;
			fputs(sgr[style], to);
		}
		canvas_write_code(cells[i].code, to);
	}
	if (style != CANVAS_PLAIN)
		fputs(sgr[CANVAS_PLAIN], to);
	return end;
}
