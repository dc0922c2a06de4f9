/* conf_rig.h - what the tests of conf/ share: a directory for files, and loading with a look at
 * the report. */
#ifndef LARDER_TESTS_CONF_RIG_H
#define LARDER_TESTS_CONF_RIG_H

#include "conf/conf.h"
#include "conf/load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A directory of the test's own; files are named relative to it. */
struct conf_rig {
	char dir[64];
	char path[256];		/* of the last file that was named */
};

static inline const char *rig_path(struct conf_rig *r, const char *name)
{
	snprintf(r->path, sizeof r->path, "%s/%s", r->dir, name);
	return r->path;
}

static inline const char *rig_write(struct conf_rig *r, const char *name, const char *text)
{
	FILE *f = fopen(rig_path(r, name), "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	return r->path;
}

static inline int rig_setup(void **state)
{
	struct conf_rig *r = calloc(1, sizeof *r);

	if (!r)
		return -1;
	strcpy(r->dir, "/tmp/test_conf.XXXXXX");
	if (!mkdtemp(r->dir)) {
		free(r);
		return -1;
	}
	*state = r;
	return 0;
}

static inline int rig_teardown(void **state)
{
	struct conf_rig *r = *state;
	char             command[96];
	int              err;

	snprintf(command, sizeof command, "rm -r %s", r->dir);
	err = system(command);
	free(r);
	return err;
}

/* Loads a text that has neither mistakes nor warnings. */
static inline struct conf *rig_good(const char *text)
{
	char        *report;
	struct conf *c = conf_load_text(text, strlen(text), &report);

	if (report)
		fail_msg("report for a good text:\n%s", report);
	assert_non_null(c);
	return c;
}

/* The report of a bad text; the caller frees it.  Not inline: gcc 12 would take the text for a
 * pointer to the variable that held it, and warn. */
static __attribute__((noinline, unused)) char *rig_bad(const char *text)
{
	char        *report;
	struct conf *c = conf_load_text(text, strlen(text), &report);

	if (c)
		fail_msg("no mistake was found in:\n%s", text);
	assert_non_null(report);
	return report;
}

/* How often does the word stand in the text? */
static inline unsigned rig_count(const char *text, const char *word)
{
	unsigned n = 0;

	for (const char *p = strstr(text, word); p; p = strstr(p + 1, word))
		n++;
	return n;
}

static inline void rig_has(const char *text, const char *word)
{
	if (!strstr(text, word))
		fail_msg("\"%s\" is missing in:\n%s", word, text);
}

static inline char *rig_dump(const struct conf *c)
{
	char  *text;
	size_t len;
	FILE  *f = open_memstream(&text, &len);

	assert_non_null(f);
	assert_int_equal(conf_dump(c, f), 0);
	assert_int_equal(fclose(f), 0);
	return text;
}

#endif
