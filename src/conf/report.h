/* report.h - mistakes and warnings, each with its place.
 *
 * A source is a text that was read: the defaults, a file, the command line.
 * A mark is a place in one.  Mistakes are collected as they are met and
 * written in the order of sources and lines, however late a check found them.
 */
#ifndef LARDER_CONF_REPORT_H
#define LARDER_CONF_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum conf_source_kind { CONF_SOURCE_DEFAULT, CONF_SOURCE_FILE, CONF_SOURCE_ARGS };

struct conf_source {
	enum conf_source_kind kind;
	char  *name;
	char  *text;		/* ended by NUL; NULL: not read, or no longer needed */
	size_t len;
};

struct conf_mark {
	uint32_t source;	/* index; 0 is always the defaults */
	uint32_t line, column;	/* from 1; line 0: the source as a whole */
	uint32_t width;		/* characters; 0 is shown like 1 */
};

enum conf_weight { CONF_MISTAKE, CONF_WARNING };

struct conf_mistake {
	struct conf_mark at;
	enum conf_weight weight;
	char            *text;
};

struct conf_report {
	struct conf_source  *sources;
	size_t               source_count;
	struct conf_mistake *mistakes;
	size_t               mistake_count;	/* of those kept */
	size_t               dropped;		/* mistakes beyond the bound, counted only */
	bool                 failed;		/* at least one is no mere warning */
	bool                 no_memory;		/* sticks: the report is not worth reading */
};

/* Begins with the source of the defaults. */
void conf_report_init(struct conf_report *r);
void conf_report_done(struct conf_report *r);
void conf_sources_free(struct conf_source *sources, size_t count);

/* Copies name, takes text (heap, may be NULL, len octets and a NUL).  Gives the new source's
 * index; without memory no_memory is set, text is gone, and 0 is given. */
uint32_t conf_report_source(struct conf_report *r, enum conf_source_kind kind, const char *name,
                            char *text, size_t len);
void conf_report_add(struct conf_report *r, enum conf_weight weight, const struct conf_mark *at,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The whole report as heap text; NULL when there is nothing to say or no memory. */
char *conf_report_text(struct conf_report *r);

/* The octet where a line (from 1) begins, as libyaml counts; beyond the last the text's end. */
const char *conf_line_start(const char *text, size_t len, uint32_t line);
/* The place of an octet. */
void        conf_mark_at_octet(const char *text, size_t len, size_t octet, struct conf_mark *at);

/* Octets of the UTF-8 character at p (left octets are there, at least one) and its code point;
 * 1 octet and CONF_CHAR_BAD for what is none. */
#define CONF_CHAR_BAD UINT32_MAX
size_t      conf_char(const char *p, size_t left, uint32_t *code);

/* Shortens what a user wrote to what a message can hold. */
#define CONF_CLIP_MAX 72
const char *conf_clip(const char *text, char out[CONF_CLIP_MAX]);

#endif
