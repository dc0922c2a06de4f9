/* load.c - where a configuration comes from: the defaults, one file, its
 * drop-ins, the command line; later ones win.
 *
 * All sources are read even if one is bad, so that one run shows every
 * mistake.  Only then the result is built.
 */
#include "conf/conf.h"

#include "conf/build.h"
#include "conf/file.h"
#include "conf/load.h"
#include "conf/parse.h"
#include "conf/report.h"
#include "conf/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOAD_FILE         LARDER_SYSCONFDIR "/larder/larder.yaml"
#define LOAD_OCTETS_MAX   1048576
#define LOAD_DROP_INS_MAX 256

static void load_file(struct conf_settings *settings, struct conf_report *report, const char *path)
{
	char            *text = NULL;
	size_t           len = 0;
	int              err = conf_file_read(path, LOAD_OCTETS_MAX, CONF_FILE_ANY, &text, &len);
	struct conf_mark at = { 0 };

	at.source = conf_report_source(report, CONF_SOURCE_FILE, path, text, len);
	report->no_memory |= err == -ENOMEM;
	if (report->no_memory)
		return;
	if (err == -EFBIG)
		conf_report_add(report, CONF_MISTAKE, &at, "larger than %d octets",
				LOAD_OCTETS_MAX);
	else if (err < 0)
		conf_report_add(report, CONF_MISTAKE, &at, "%s", strerror(-err));
	else
		conf_parse(settings, report, at.source);
}

static void load_drop_ins(struct conf_settings *settings, struct conf_report *report,
                          const char *file)
{
	struct conf_mark at = { 0 };
	size_t           count;
	char           **paths, *dir;
	int              err;

	if (asprintf(&dir, "%s.d", file) < 0) {
		report->no_memory = true;
		return;
	}
	err = conf_file_list(dir, LOAD_DROP_INS_MAX, &paths, &count);
	if (err < 0) {
		at.source = conf_report_source(report, CONF_SOURCE_FILE, dir, NULL, 0);
		conf_report_add(report, CONF_MISTAKE, &at, "%s",
		                err == -E2BIG ? "too many files" : strerror(-err));
	}
	report->no_memory |= err == -ENOMEM;
	for (size_t i = 0; i < count; i++)
		load_file(settings, report, paths[i]);
	conf_file_list_free(paths, count);
	free(dir);
}

/* ---- the command line, shown as one line of text when something is wrong with it ---- */

struct load_args {
	struct conf_settings *settings;
	struct conf_report   *report;
	uint32_t              source;
	size_t                pos;	/* octets of the line that are written */
	size_t                column;	/* characters */
};

/* Characters of a text as report.c counts them, near enough: UTF-8's later octets do not count. */
static size_t load_characters(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static size_t load_args_length(const char *option, const char *const *values, size_t count)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		n += strlen(option) + strlen(values[i]) + 4;	/* "--", two spaces */
	return n;
}

static void load_args_option(struct load_args *l, const char *option, const char *const *values,
                             size_t count)
{
	char             *line = l->report->sources[l->source].text;
	struct conf_text *texts = calloc(count ? count : 1, sizeof *texts);

	if (!texts)
		l->report->no_memory = true;
	for (size_t i = 0; i < count && texts; i++) {
		size_t width = load_characters(values[i]);

		l->pos += (size_t)sprintf(line + l->pos, "%s--%s ", l->pos ? " " : "", option);
		l->column += strlen(option) + 3 + (l->column != 0);
		texts[i].text = (char *)(uintptr_t)values[i];	/* borrowed, only read */
		texts[i].len = strlen(values[i]);
		texts[i].at = (struct conf_mark){ l->source, 1, (uint32_t)l->column + 1,
						  (uint32_t)width };
		l->pos += (size_t)sprintf(line + l->pos, "%s", values[i]);
		l->column += width;
	}
	l->report->sources[l->source].len = l->pos;
	if (count && texts)
		conf_parse_args(l->settings, l->report, option, texts, count);
	free(texts);
}

static void load_args(struct conf_settings *settings, struct conf_report *report,
                      const struct conf_args *a)
{
	struct load_args   l = { .settings = settings, .report = report };
	const char *const *listen = (const char *const *)a->listen;
	const char *const *forward = (const char *const *)a->forward;
	char              *line;
	size_t             room =
		1 + load_args_length("listen", listen, a->listen_count) +
		load_args_length("forward", forward, a->forward_count) +
		load_args_length("control-socket", &a->control_socket, a->control_socket != NULL) +
		load_args_length("threads", &a->threads, a->threads != NULL);

	line = calloc(1, room);
	if (!line) {
		report->no_memory = true;
		return;
	}
	l.source = conf_report_source(report, CONF_SOURCE_ARGS, "command line", line, 0);
	if (report->no_memory)
		return;
	load_args_option(&l, "listen", listen, a->listen_count);
	load_args_option(&l, "forward", forward, a->forward_count);
	load_args_option(&l, "control-socket", &a->control_socket, a->control_socket != NULL);
	load_args_option(&l, "threads", &a->threads, a->threads != NULL);
}

/* ---- the end of loading ---- */

/* The settings stay for the dump, and with them the names of the sources. */
static struct conf *load_finish(struct conf_settings *settings, struct conf_report *report,
                                enum conf_resolv_use resolv, const struct conf *running, char **text)
{
	struct conf *c = NULL;

	*text = NULL;
	if (settings && !report->no_memory)
		c = conf_build(settings, report, resolv, running);
	*text = conf_report_text(report);
	if (c) {
		settings->sources = report->sources;
		settings->source_count = report->source_count;
		report->sources = NULL;
		report->source_count = 0;
		for (size_t i = 0; i < settings->source_count; i++) {
			free(settings->sources[i].text);
			settings->sources[i].text = NULL;
		}
		c->origins = settings;
	} else {
		conf_settings_free(settings);
	}
	conf_report_done(report);
	return c;
}

struct conf *conf_load(const struct conf_args *args, char **report_text)
{
	struct conf_settings *settings = conf_settings_new();
	bool                  no_file = !args->file && (args->listen_count || args->forward_count);
	const char           *file = args->file ? args->file : LOAD_FILE;
	struct conf_report    report;

	conf_report_init(&report);
	if (!settings)
		report.no_memory = true;
	if (!report.no_memory && !no_file) {
		load_file(settings, &report, file);
		load_drop_ins(settings, &report, file);
	}
	if (!report.no_memory)
		load_args(settings, &report, args);
	return load_finish(settings, &report, CONF_RESOLV_READ, args->running, report_text);
}

struct conf *conf_load_text(const char *text, size_t len, char **report_text)
{
	struct conf_settings *settings = conf_settings_new();
	char                 *copy = malloc(len + 1);
	struct conf_report    report;
	uint32_t              source;

	conf_report_init(&report);
	if (!settings || !copy) {
		free(copy);
		report.no_memory = true;
	} else {
		memcpy(copy, text, len);
		copy[len] = '\0';
		source = conf_report_source(&report, CONF_SOURCE_FILE, "text", copy, len);
		if (!report.no_memory)
			conf_parse(settings, &report, source);
	}
	return load_finish(settings, &report, CONF_RESOLV_IGNORE, NULL, report_text);
}

struct conf *conf_ref(struct conf *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void conf_unref(struct conf *c)
{
	if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
		conf_destroy(c);
}
