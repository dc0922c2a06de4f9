/* parse.c - libyaml's events drive the table of options.
 *
 * There is no tree: each function begins with p->e.event at the first event of
 * a node and ends at the node's last.  What an option means is looked up when
 * its key is met, and its value is checked at once, so a mistake is reported
 * even where a later file overrides it.  YAML's own types never apply: a scalar
 * is its text.
 *
 *   section -> option -> scalar | list | mapping of entries -> section | list
 *
 * After a mistake the node is skipped and reading goes on behind it.  Calls
 * nest only as deep as the table does.
 */
#include "conf/parse.h"

#include "conf/events.h"
#include "conf/suggest.h"
#include "conf/table.h"
#include "conf/value.h"
#include "dns/name.h"

#include <stdlib.h>
#include <string.h>

struct parser {
	struct conf_events    e;
	struct conf_settings *settings;
	struct conf_setting  *entry;	/* the upstream whose section is being read */
};

#define PARSE_MISTAKE(p, at, ...) conf_report_add((p)->e.report, CONF_MISTAKE, at, __VA_ARGS__)

static void parse_section(struct parser *p, const char *prefix);

/* Is the event what the option needs?  If not, says so and skips the node. */
static bool parse_expect(struct parser *p, const char *what, yaml_event_type_t type,
                         const struct conf_text *key)
{
	static const char *const words[] = {
		[YAML_SCALAR_EVENT] = "a single value",
		[YAML_SEQUENCE_START_EVENT] = "a list, like [a, b]",
		[YAML_MAPPING_START_EVENT] = "a mapping, like { key: value }",
	};
	char             clip[CONF_CLIP_MAX];
	struct conf_mark at = conf_events_mark(&p->e);

	if (p->e.event.type == type && !conf_events_is_empty(&p->e))
		return true;
	if (p->e.event.type == YAML_ALIAS_EVENT || p->e.event.type == YAML_NO_EVENT)
		return false;	/* has been told */
	if (conf_events_is_empty(&p->e))
		PARSE_MISTAKE(p, &key->at,
			      "\"%s\" has no value; leave the line out for the default",
			      conf_clip(what, clip));
	else
		PARSE_MISTAKE(p, &at, "\"%s\" takes %s, not %s", conf_clip(what, clip), words[type],
		              conf_events_kind(&p->e));
	conf_events_skip(&p->e);
	return false;
}

/* ---- values ---- */

/* Checks the scalar in p->e.event and adds it to the value. */
static void parse_value(struct parser *p, const struct conf_option *o, struct conf_setting *s)
{
	const char      *text = (const char *)p->e.event.data.scalar.value;
	size_t           len = p->e.event.data.scalar.length;
	struct conf_mark at = conf_events_mark(&p->e);
	union conf_value ignored;
	char             why[CONF_WHY_MAX];

	if (conf_value_read(o, text, len, &ignored, why) < 0) {
		PARSE_MISTAKE(p, &at, "%s", why);
		s->bad = true;
	} else if (conf_setting_add(s, text, len, &at) < 0) {
		p->e.report->no_memory = true;
	}
}

static void parse_single(struct parser *p, const struct conf_option *o, const char *what,
                         struct conf_setting *s)
{
	s->bad = !parse_expect(p, what, YAML_SCALAR_EVENT, &s->key);
	if (!s->bad)
		parse_value(p, o, s);
}

static void parse_list(struct parser *p, const struct conf_option *o, const char *what,
                       struct conf_setting *s)
{
	int64_t          max = o->type == CONF_ROUTES ? CONF_LIST_MAX : o->max, n = 0;
	struct conf_mark start = conf_events_mark(&p->e);
	char             clip[CONF_CLIP_MAX];

	s->bad = !parse_expect(p, what, YAML_SEQUENCE_START_EVENT, &s->key);
	if (s->bad)
		return;
	while (conf_events_element(&p->e)) {
		struct conf_mark at = conf_events_mark(&p->e);

		if (++n > max) {
			if (n == max + 1)
				PARSE_MISTAKE(p, &at, "\"%s\" has more than %lld elements",
					      conf_clip(what, clip), (long long)max);
			s->bad = true;
			conf_events_skip(&p->e);
		} else if (conf_events_is_empty(&p->e)) {
			PARSE_MISTAKE(p, &at, "an element of \"%s\" is empty",
				      conf_clip(what, clip));
			s->bad = true;
		} else if (parse_expect(p, what, YAML_SCALAR_EVENT, &s->key)) {
			parse_value(p, o, s);
		} else {
			s->bad = true;
		}
	}
	if (!n && !p->e.ended) {
		PARSE_MISTAKE(p, &start, "\"%s\" is an empty list", conf_clip(what, clip));
		s->bad = true;
	}
}

/* ---- mappings whose keys the user chooses ---- */

static bool parse_same_key(const struct conf_option *o, const char *a, const char *b)
{
	struct dns_name na, nb;

	if (!conf_type_is_by_suffix(o->type))
		return !strcmp(a, b);
	return dns_name_from_text(a, &na) == 0 && dns_name_from_text(b, &nb) == 0 &&
	       dns_name_equal(na.octets, na.len, nb.octets, nb.len);
}

static bool parse_check_key(struct parser *p, const struct conf_option *o,
                            const struct conf_text *key)
{
	char            clip[CONF_CLIP_MAX];
	struct dns_name name;

	conf_clip(key->text, clip);
	if (o->type == CONF_UPSTREAMS &&
	    (strlen(key->text) != key->len || !conf_url_is_name(key->text)))
		PARSE_MISTAKE(p, &key->at,
			      "\"%s\" cannot name an upstream: a letter, then letters, digits, - "
			      "and _, at most 63",
			      clip);
	else if (conf_type_is_by_suffix(o->type) &&
	         (strlen(key->text) != key->len || dns_name_from_text(key->text, &name) < 0))
		PARSE_MISTAKE(p, &key->at, "\"%s\" is not a domain name", clip);
	else if (conf_type_is_by_suffix(o->type) && name.len == 1)
		PARSE_MISTAKE(p, &key->at, "\"%s\" is every name, which is what \"%s\" is for", clip,
			      o->type == CONF_ROUTES ? "forward" : "policy");
	else
		return true;
	return false;
}

/* The entry that a key means: a new one, or that of an earlier file, emptied.  NULL when there
 * is none to fill; then it has been said why. */
static struct conf_setting *parse_entry_find(struct parser *p, const struct conf_option *o,
                                             struct conf_group *g, struct conf_text *key)
{
	char                 clip[CONF_CLIP_MAX];
	struct conf_setting *s = NULL;

	if (!parse_check_key(p, o, key))
		return NULL;
	for (size_t i = 0; i < g->entry_count && !s; i++)
		if (parse_same_key(o, g->entries[i].key.text, key->text))
			s = &g->entries[i];
	if (s && s->key.at.source == p->e.source) {
		PARSE_MISTAKE(p, &key->at, "\"%s\" is given twice, first in line %u",
		              conf_clip(key->text, clip), s->key.at.line);
		return NULL;
	}
	if (!s && g->entry_count == (size_t)o->max) {
		PARSE_MISTAKE(p, &key->at, "\"%s\" has more than %lld entries", o->name,
			      (long long)o->max);
		conf_events_end(&p->e);
		return NULL;
	}
	if (s)
		conf_setting_clear(s);
	else
		s = conf_group_add(g);
	if (!s) {
		p->e.report->no_memory = true;
		return NULL;
	}
	s->key = *key;
	key->text = NULL;	/* taken */
	return s;
}

static void parse_upstream(struct parser *p, struct conf_setting *s)
{
	char clip[CONF_CLIP_MAX];

	if (!parse_expect(p, s->key.text, YAML_MAPPING_START_EVENT, &s->key)) {
		s->bad = true;
		return;
	}
	p->entry = s;
	parse_section(p, "upstreams.*.");
	p->entry = NULL;
	if (!s->count && !s->bad && !p->e.ended)
		PARSE_MISTAKE(p, &s->key.at, "upstream \"%s\" lacks its \"url\"",
			      conf_clip(s->key.text, clip));
	s->bad |= !s->count;
}

/* Takes the key in p->event: false for what cannot be one, which is skipped with its value. */
static bool parse_key(struct parser *p, struct conf_text *key)
{
	struct conf_mark at = conf_events_mark(&p->e);

	memset(key, 0, sizeof *key);
	if (p->e.event.type == YAML_SCALAR_EVENT) {
		if (conf_text_set(key, (const char *)p->e.event.data.scalar.value,
		                  p->e.event.data.scalar.length, &at) == 0)
			return true;
		p->e.report->no_memory = true;
	} else if (p->e.event.type != YAML_ALIAS_EVENT) {
		PARSE_MISTAKE(p, &at, "a key must be plain text");
	}
	conf_events_skip(&p->e);
	conf_events_next(&p->e);
	conf_events_skip(&p->e);
	return false;
}

static void parse_entries(struct parser *p, const struct conf_option *o, struct conf_group *g)
{
	if (conf_events_is_empty(&p->e) ||
	    !parse_expect(p, o->name, YAML_MAPPING_START_EVENT, &g->own.key))
		return;
	while (conf_events_element(&p->e)) {
		struct conf_text     key;
		struct conf_setting *s;

		if (!parse_key(p, &key))
			continue;
		s = parse_entry_find(p, o, g, &key);
		conf_events_next(&p->e);
		if (!s)
			conf_events_skip(&p->e);
		else if (o->type == CONF_UPSTREAMS)
			parse_upstream(p, s);
		else if (o->type == CONF_ROUTES)
			parse_list(p, o, s->key.text, s);
		else
			parse_single(p, o, s->key.text, s);
		free(key.text);
	}
}

/* ---- sections and their options ---- */

/* The right word in the wrong place ("size" at the top, or "cache.size") is told where it
 * belongs. */
static void parse_misplaced_hint(const char *key, char hint[SUGGEST_TEXT_MAX])
{
	for (size_t i = 0; i < conf_option_count; i++) {
		const char *name = conf_options[i].name, *last = conf_option_key(&conf_options[i]);

		if (strchr(name, '*') || (strcmp(key, name) && strcmp(key, last)))
			continue;
		if (last == name)
			snprintf(hint, SUGGEST_TEXT_MAX, " (it belongs to the top of the file)");
		else
			snprintf(hint, SUGGEST_TEXT_MAX, " (did you mean \"%s\" in \"%.*s\"?)",
				 last, (int)(last - name - 1), name);
		return;
	}
}

static void parse_unknown_key(struct parser *p, const char *prefix, const struct conf_text *key)
{
	char           clip[CONF_CLIP_MAX], hint[SUGGEST_TEXT_MAX];
	char           section[CONF_CLIP_MAX + 16] = "";
	struct suggest s;

	if (p->entry)
		snprintf(section, sizeof section, " in \"%s\"",
			 conf_clip(p->entry->key.text, clip));
	else if (*prefix)
		snprintf(section, sizeof section, " in \"%.*s\"", (int)strcspn(prefix, "."),
			 prefix);
	suggest_init(&s, key->text);
	for (size_t i = 0; i < conf_option_count; i++)
		if (conf_option_is_in(&conf_options[i], prefix))
			suggest_offer(&s, conf_option_key(&conf_options[i]));
	suggest_text(&s, hint);
	if (!s.best)
		parse_misplaced_hint(key->text, hint);
	PARSE_MISTAKE(p, &key->at, "unknown key \"%s\"%s%s", conf_clip(key->text, clip), section,
		      hint);
}

static void parse_option(struct parser *p, const struct conf_option *o, struct conf_text *key)
{
	struct conf_group   *g = &p->settings->groups[o - conf_options];
	struct conf_setting *s = p->entry ? conf_setting_part(p->entry, (size_t)(o - conf_options)) : &g->own;

	if (!s) {
		p->e.report->no_memory = true;
		conf_events_skip(&p->e);
		return;
	}
	if (s->key.text && s->key.at.source == p->e.source) {
		PARSE_MISTAKE(p, &key->at, "\"%s\" is given twice, first in line %u", o->name,
			      s->key.at.line);
		conf_events_skip(&p->e);
		return;
	}
	conf_setting_clear(s);
	s->key = *key;
	key->text = NULL;	/* taken */
	if (o->type == CONF_SECTION) {
		char prefix[32];

		snprintf(prefix, sizeof prefix, "%s.", o->name);
		if (!conf_events_is_empty(&p->e) &&
		    parse_expect(p, o->name, YAML_MAPPING_START_EVENT, &s->key))
			parse_section(p, prefix);
	} else if (conf_type_is_mapping(o->type)) {
		parse_entries(p, o, g);
	} else if (conf_type_is_list(o->type)) {
		parse_list(p, o, p->entry ? conf_option_key(o) : o->name, s);
	} else if (o->type == CONF_URL) {	/* the entry's own value */
		p->entry->bad = !parse_expect(p, "url", YAML_SCALAR_EVENT, &s->key);
		if (!p->entry->bad)
			parse_value(p, o, p->entry);
	} else {
		parse_single(p, o, o->name, s);
	}
}

/* p->e.event is the start of the section's mapping. */
static void parse_section(struct parser *p, const char *prefix)
{
	while (conf_events_element(&p->e)) {
		const struct conf_option *o;
		struct conf_text          key;

		if (!parse_key(p, &key))
			continue;
		o = strlen(key.text) == key.len ? conf_option_find(prefix, key.text) : NULL;
		if (!o)
			parse_unknown_key(p, prefix, &key);
		conf_events_next(&p->e);
		if (o)
			parse_option(p, o, &key);
		else
			conf_events_skip(&p->e);
		free(key.text);
	}
}

static void parse_document(struct parser *p)
{
	struct conf_mark at = conf_events_mark(&p->e);

	if (p->e.event.type == YAML_MAPPING_START_EVENT) {
		parse_section(p, "");
	} else if (p->e.event.type != YAML_NO_EVENT && !conf_events_is_empty(&p->e)) {
		PARSE_MISTAKE(p, &at, "the file must be a mapping, with lines like threads: 1");
		conf_events_skip(&p->e);
	}
}

void conf_parse(struct conf_settings *settings, struct conf_report *report, uint32_t source)
{
	struct parser    p = { .settings = settings };
	struct conf_mark at;

	if (conf_events_init(&p.e, report, source) < 0) {
		report->no_memory = true;
		return;
	}
	conf_events_next(&p.e);	/* the stream begins */
	conf_events_next(&p.e);
	if (p.e.event.type == YAML_DOCUMENT_START_EVENT) {	/* else nothing but comments */
		conf_events_next(&p.e);
		parse_document(&p);
		conf_events_next(&p.e);	/* the document ends */
		conf_events_next(&p.e);
		at = conf_events_mark(&p.e);
		if (p.e.event.type == YAML_DOCUMENT_START_EVENT)
			PARSE_MISTAKE(&p, &at, "a second document begins here; a file has one");
	}
	conf_events_done(&p.e);
}

void conf_parse_args(struct conf_settings *settings, struct conf_report *report, const char *option,
                     const struct conf_text *texts, size_t count)
{
	size_t               index = conf_option_index(option);
	struct conf_setting *s = &settings->groups[index].own;
	union conf_value     ignored;
	char                 why[CONF_WHY_MAX];

	conf_setting_clear(s);
	for (size_t i = 0; i < count; i++)
		if (conf_value_read(&conf_options[index], texts[i].text, texts[i].len, &ignored,
				    why) < 0) {
			conf_report_add(report, CONF_MISTAKE, &texts[i].at, "%s", why);
			s->bad = true;
		} else if (conf_setting_add(s, texts[i].text, texts[i].len, &texts[i].at) < 0) {
			report->no_memory = true;
		}
}
