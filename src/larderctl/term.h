/* term.h - what may be written to where our output goes.
 *
 * Texts from the daemon can hold anything, and a terminal obeys control
 * characters; so they reach it through this file only, made harmless.
 */
#ifndef LARDER_LARDERCTL_TERM_H
#define LARDER_LARDERCTL_TERM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct term {
	bool colour;			/* a terminal, and nobody asked for none (NO_COLOR) */
	bool utf8;
};

void term_init(struct term *t);

/* Replaces in place what a terminal would act on by "?": control characters, and marks that turn
 * the direction of writing.  Line feed and tab stay if lines is true. */
void term_clean(char *text, bool lines);
/* How many columns clean text takes, one for each character. */
size_t term_width(const char *text);

void term_print_lines(const char *text);	/* to standard output, with a final line feed */
void term_print_json(const json_t *value);	/* loses nothing: JSON has escapes */
void term_print_json_line(const json_t *value);
/* A line on standard output, clean but for tabs. */
void term_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

void term_complain_lines(const char *text);	/* the same to standard error */
/* "larderctl: …" on standard error, clean, one line. */
void term_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Gives p, unless it is NULL: then there is no memory and no point in going on. */
void *term_memory(void *p);

#endif
