/* settings.h - what is set, still as text, each with the place it comes from.
 *
 * One struct conf_group for each row of the table.  It begins with the
 * defaults; each file and then the command line lay their settings over it.
 * Texts that failed their check are not kept, but the setting is marked bad,
 * so that later checks do not complain about what follows from it.
 *
 * It lives on in struct conf, because the dump prints it.
 */
#ifndef LARDER_CONF_SETTINGS_H
#define LARDER_CONF_SETTINGS_H

#include "conf/report.h"

#include <stdbool.h>
#include <stddef.h>

struct conf_text {
	char            *text;
	size_t           len;		/* octets; the text also ends with NUL */
	struct conf_mark at;
};

struct conf_setting {
	struct conf_text  key;		/* as written; in the entries of a mapping, the user's */
	struct conf_text *texts;	/* the value, or the elements of a list */
	size_t            count;
	bool              bad;
	/* Of an upstream, whose value is its URL: what else its section says, by the rows of that section.
	 * NULL: nothing yet. */
	struct conf_setting *parts;
};

struct conf_group {
	struct conf_setting  own;	/* of everything but mappings */
	struct conf_setting *entries;	/* of mappings, in order of first appearance */
	size_t               entry_count;
};

struct conf_settings {
	struct conf_source *sources;	/* their names, once loading is over */
	size_t              source_count;
	struct conf_group   groups[];	/* conf_option_count of them */
};

/* The defaults, or NULL. */
struct conf_settings *conf_settings_new(void);
void                  conf_settings_free(struct conf_settings *s);	/* NULL is fine */

/* Forgets value, key and parts. */
void conf_setting_clear(struct conf_setting *s);
/* Copies text in at the end of the value.  0 or -ENOMEM. */
int  conf_setting_add(struct conf_setting *s, const char *text, size_t len,
                      const struct conf_mark *at);
int  conf_text_set(struct conf_text *t, const char *text, size_t len, const struct conf_mark *at);
/* The part of an upstream that an option "upstreams.*.…" sets; NULL when memory is short. */
struct conf_setting *conf_setting_part(struct conf_setting *entry, size_t option);
/* The same of one that has been read; NULL: its section does not have the option. */
const struct conf_setting *conf_setting_find_part(const struct conf_setting *entry, const char *option);
/* A new entry at the end, or NULL. */
struct conf_setting *conf_group_add(struct conf_group *g);

#endif
