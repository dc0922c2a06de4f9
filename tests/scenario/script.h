/* script.h - a scenario as text: lines, words, and where it went wrong.
 *
 * A line is a statement; lines that are indented further below it are its
 * block.  Words are parted by blanks, "..." is one word, and a word that
 * begins with # ends the line.
 */
#ifndef SCENARIO_SCRIPT_H
#define SCENARIO_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPT_WORDS 96
#define STORY_WHY    4096

/* One run of one scenario.  The first thing that goes wrong is kept; later ones follow from it. */
struct story {
	const char *path;
	unsigned    line;		/* the statement being carried out */
	bool        failed;
	unsigned    failed_line;
	char        why[STORY_WHY];
};

void story_fail(struct story *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct script {
	char       **lines;		/* without newlines */
	unsigned     count;
	char        *text;
};

/* The lines of one block: [first, end). */
struct block {
	const struct script *script;
	unsigned             first, end;
};

/* Gives 0 or a negative errno. */
int      script_read(const char *path, struct script *out);
/* The same from text in memory. */
int      script_of_text(const char *text, struct script *out);
void     script_done(struct script *s);
bool     script_is_blank(const char *line);	/* nothing, or a comment only */
/* The block under line i, which may be empty. */
struct block script_block(const struct script *s, unsigned i);

struct words {
	unsigned    count;
	const char *at[SCRIPT_WORDS];
	char        room[8192];
};

/* Splits a line; $n becomes the number n.  A quoted word keeps its first quote, so that it can be told
 * from a plain one.  False: too long. */
bool words_split(struct words *w, const char *line, unsigned n);
bool words_is(const struct words *w, unsigned i, const char *text);	/* false when there is no word i */

struct range { uint64_t min, max; };

/* "20ms", "1.5s", "2m", "1h", "1d", "250us" in microseconds. */
bool script_duration(const char *text, uint64_t *us);
bool script_number(const char *text, uint64_t *out);
/* "5", "5..9", "5..", "..9", "*". */
bool script_number_range(const char *text, struct range *out);
bool script_duration_range(const char *text, struct range *us);	/* likewise: "3.9s..4.1s" */
/* Octets in hexadecimal, blanks between words allowed: appends the word's octets. */
bool script_hex(const char *text, uint8_t *out, size_t room, size_t *len);

#endif
