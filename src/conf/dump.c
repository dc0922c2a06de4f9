/* dump.c - the effective configuration as YAML that larder reads again, each
 * value with where it comes from:
 *
 *   threads: 2                              # /etc/larder/larder.yaml:12
 *
 * It prints the texts as they were written; what was found rather than set (the
 * servers of a resolv.conf) and what has no value stands in comments.
 */
#include "conf/conf.h"

#include "conf/report.h"
#include "conf/settings.h"
#include "conf/table.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DUMP_COLUMN 40	/* where comments begin */

/* Words and numbers that YAML 1.1 or 1.2 would take for something else than text. */
static bool dump_is_special(const char *text)
{
	static const char *const words[] = { "y",   "n",    "yes",   "no",  "on",
					     "off", "true", "false", "null" };
	char                    *end;

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (!strcasecmp(text, words[i]))
			return true;
	strtod(text, &end);
	return !*end;
}

static bool dump_is_plain(enum conf_type type, const char *text)
{
	if (type == CONF_NUMBER || type == CONF_BOOL)
		return true;
	if (type == CONF_TEXT || dump_is_special(text))
		return false;
	if (!isalnum((unsigned char)*text) && *text != '/')
		return false;
	for (const char *p = text; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("./_-", *p) && strncmp(p, "://", 3))
			return false;
	return true;
}

static void dump_quoted(FILE *f, const char *text, size_t len)
{
	fputc('"', f);
	for (size_t i = 0; i < len;) {
		uint32_t code;
		size_t   n = conf_char(text + i, len - i, &code);

		if (code == '"' || code == '\\')
			fprintf(f, "\\%c", (char)code);
		else if (code >= 0x20 && code < 0x7f)
			fputc((char)code, f);
		else
			fprintf(f, "\\U%08X", code);
		i += n;
	}
	fputc('"', f);
}

static void dump_text(FILE *f, enum conf_type type, const struct conf_text *t)
{
	if (dump_is_plain(type, t->text))
		fputs(t->text, f);
	else
		dump_quoted(f, t->text, t->len);
}

/* Ends a line with its origin.  File names may hold anything, a comment may not. */
static void dump_line(FILE *out, const char *line, const char *origin, uint32_t number)
{
	fprintf(out, "%-*s # ", DUMP_COLUMN - 1, line);
	for (; *origin; origin++)
		fputc((unsigned char)*origin < 0x20 || *origin == 0x7f ? '?' : *origin, out);
	if (number)
		fprintf(out, ":%u", number);
	fputc('\n', out);
}

static void dump_value(FILE *f, const struct conf_option *o, const struct conf_setting *s)
{
	bool list = conf_type_is_list(o->type) || o->type == CONF_ROUTES;

	if (list)
		fputc('[', f);
	for (size_t i = 0; i < s->count; i++) {
		if (i)
			fputs(", ", f);
		dump_text(f, o->type, &s->texts[i]);
	}
	if (list)
		fputc(']', f);
}

struct dump {
	const struct conf *c;
	FILE              *out;
	FILE              *line;	/* into text: the line that is being written */
	char              *text;
	size_t             len;
};

static void dump_flush(struct dump *d, const struct conf_mark *at)
{
	const struct conf_settings *s = d->c->origins;
	const struct conf_source   *source = &s->sources[at->source];

	fputc('\0', d->line);
	fflush(d->line);
	if (!ferror(d->line) && d->text)
		dump_line(d->out, d->text, source->name,
			  source->kind == CONF_SOURCE_FILE ? at->line : 0);
	rewind(d->line);
}

static void dump_option(struct dump *d, const struct conf_option *o)
{
	const struct conf_setting *s = &d->c->origins->groups[o - conf_options].own;
	const char                *indent = strchr(o->name, '.') ? "  " : "";

	if (s->count) {
		fprintf(d->line, "%s%s: ", indent, conf_option_key(o));
		dump_value(d->line, o, s);
		dump_flush(d, s->key.text ? &s->key.at : &s->texts[0].at);
	} else {
		fprintf(d->line, "%s# %s:", indent, conf_option_key(o));
		dump_flush(d, &(struct conf_mark){ 0 });
	}
}

/* What conf found for itself. */
static void dump_found(struct dump *d)
{
	const struct route_conf *root = &d->c->policy.routes[0];

	if (!d->c->from_resolv)
		return;
	fputs("# forward is absent; found instead in ", d->out);
	dump_quoted(d->out, d->c->resolv_file, strlen(d->c->resolv_file));
	fputs(":\n", d->out);
	for (size_t i = 0; i < root->upstream_count; i++)
		fprintf(d->out, "#   %s\n", d->c->upstreams[root->upstreams[i]].url);
	if (!root->upstream_count)
		fputs("#   no upstream to use\n", d->out);
}

/* What the section of an upstream says beside its URL. */
static void dump_parts(struct dump *d, const struct conf_setting *entry)
{
	size_t count, first = conf_section_index("upstreams.*.", &count);

	for (size_t i = 0; entry->parts && i < count; i++) {
		const struct conf_option *o = &conf_options[first + i];

		if (!entry->parts[i].count)	/* not set, or the URL */
			continue;
		fprintf(d->line, ", %s: ", conf_option_key(o));
		dump_value(d->line, o, &entry->parts[i]);
	}
}

static void dump_entries(struct dump *d, const struct conf_option *o)
{
	const struct conf_group *g = &d->c->origins->groups[o - conf_options];

	if (!g->entry_count) {
		fprintf(d->line, "%s: {}", o->name);
		dump_flush(d, &(struct conf_mark){ 0 });
		return;
	}
	fprintf(d->out, "%s:\n", o->name);
	for (size_t i = 0; i < g->entry_count; i++) {
		const struct conf_setting *s = &g->entries[i];

		fputs("  ", d->line);
		dump_text(d->line, o->type, &s->key);
		fputs(o->type == CONF_UPSTREAMS ? ": { url: " : ": ", d->line);
		dump_value(d->line, o, s);
		if (o->type == CONF_UPSTREAMS) {
			dump_parts(d, s);
			fputs(" }", d->line);
		}
		dump_flush(d, &s->key.at);
	}
}

int conf_dump(const struct conf *c, FILE *out)
{
	struct dump d = { .c = c, .out = out };
	bool        failed;

	d.line = open_memstream(&d.text, &d.len);
	if (!d.line)
		return -ENOMEM;
	for (size_t i = 0; i < conf_option_count; i++) {
		const struct conf_option *o = &conf_options[i];

		if (strchr(o->name, '*'))
			continue;	/* shown with its entry */
		if (o->type == CONF_SECTION)
			fprintf(out, "%s:\n", o->name);
		else if (conf_type_is_mapping(o->type))
			dump_entries(&d, o);
		else
			dump_option(&d, o);
		if (o->type == CONF_FORWARD)
			dump_found(&d);
	}
	failed = ferror(d.line) != 0;
	failed |= fclose(d.line) != 0;
	free(d.text);
	if (failed)
		return -ENOMEM;
	return fflush(out) || ferror(out) ? -EIO : 0;
}
