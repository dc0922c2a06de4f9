/* canvas.h - a screen as a grid of characters, drawn before it is shown.
 *
 * What is put beyond an edge is cut off, so that those who draw need not look
 * where the edges are.  Whatever is put, the grid holds only characters that
 * take one column and that no terminal acts upon: printable ASCII and the few
 * others that canvas.c lists; the rest becomes "?".
 */
#ifndef LARDER_LARDERCTL_CANVAS_H
#define LARDER_LARDERCTL_CANVAS_H

#include <stdbool.h>
#include <stdio.h>

#define CANVAS_ROWS_MAX    500
#define CANVAS_COLUMNS_MAX 500

enum canvas_style { CANVAS_PLAIN, CANVAS_STRONG, CANVAS_FAINT, CANVAS_ALARM, CANVAS_BAR };

struct canvas_cell;

struct canvas {
	unsigned            rows, columns;
	bool                utf8;		/* does the terminal know more than ASCII? */
	struct canvas_cell *cells;
};

/* Of blanks.  Sizes are brought within 1 and the greatest. */
void canvas_init(struct canvas *c, unsigned rows, unsigned columns, bool utf8);
void canvas_done(struct canvas *c);

/* Texts of at most width columns from column on, cut where they are longer (and that shows); the second one
 * ends at the end of the width.  They give how many columns they took. */
unsigned canvas_put(struct canvas *c, unsigned row, unsigned column, unsigned width, enum canvas_style style,
		    const char *format, ...) __attribute__((format(printf, 6, 7)));
unsigned canvas_put_right(struct canvas *c, unsigned row, unsigned column, unsigned width, enum canvas_style style,
			  const char *format, ...) __attribute__((format(printf, 6, 7)));
/* A bar that takes part of width; more than nothing is seen, however little it is. */
void canvas_bar(struct canvas *c, unsigned row, unsigned column, unsigned width, double part);

/* A row without blanks at its end and without a line feed.  Gives how many columns it takes. */
unsigned canvas_write_row(const struct canvas *c, unsigned row, bool colour, FILE *to);

#endif
