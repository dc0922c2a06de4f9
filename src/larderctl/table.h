/* table.h - rows of cells, printed in aligned columns. */
#ifndef LARDER_LARDERCTL_TABLE_H
#define LARDER_LARDERCTL_TABLE_H

#include "larderctl/term.h"

struct table;

enum table_style { TABLE_PLAIN, TABLE_HEAD, TABLE_FAINT, TABLE_ALARM };

/* A letter for each column: l for text, r for numbers.  Never NULL. */
struct table *table_new(const char *columns);
/* Prints and frees it.  Borrows term for the call. */
void table_print(struct table *t, const struct term *term);

void table_row(struct table *t, enum table_style style);
/* The next cell of the last row; made clean (see term.h). */
void table_cell(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
