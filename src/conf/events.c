/* events.c - libyaml, and what is wrong with a text that is not the YAML larder reads. */
#include "conf/events.h"

#include <errno.h>
#include <string.h>

#define EVENTS_DEPTH_MAX 16

#define EVENTS_MISTAKE(e, at, ...) conf_report_add((e)->report, CONF_MISTAKE, at, __VA_ARGS__)

int conf_events_init(struct conf_events *e, struct conf_report *report, uint32_t source)
{
	const struct conf_source *s = &report->sources[source];

	memset(e, 0, sizeof *e);
	if (!yaml_parser_initialize(&e->yaml))
		return -ENOMEM;
	e->report = report;
	e->source = source;
	yaml_parser_set_encoding(&e->yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&e->yaml, (const unsigned char *)s->text, s->len);
	return 0;
}

void conf_events_done(struct conf_events *e)
{
	yaml_event_delete(&e->event);
	yaml_parser_delete(&e->yaml);
}

struct conf_mark conf_events_mark(const struct conf_events *e)
{
	const yaml_mark_t *start = &e->event.start_mark, *end = &e->event.end_mark;

	return (struct conf_mark){
		.source = e->source,
		.line = (uint32_t)start->line + 1,
		.column = (uint32_t)start->column + 1,
		.width = start->line == end->line ? (uint32_t)(end->column - start->column)
						  : UINT32_MAX,
	};
}

/* What libyaml says is right but terse; the usual reasons are told beside it. */
static const char *events_syntax_hint(const struct conf_source *s, const struct conf_mark *at)
{
	const char *p = conf_line_start(s->text, s->len, at->line), *end = s->text + s->len;

	for (uint32_t i = 1; i < at->column && p < end; i++)	/* ASCII up to here, or no hint */
		p++;
	if (p >= end)
		return "";
	if (*p == '\t')
		return "; indent with spaces, not with tabs";
	if (*p == ':')
		return "; an IPv6 address needs quotes: \"::1\", \"[::1]:53\"";
	if (*p == '@' || *p == '`' || *p == '%')
		return "; a text that begins so needs quotes";
	return "";
}

static void events_syntax_error(struct conf_events *e)
{
	const yaml_parser_t      *y = &e->yaml;
	const struct conf_source *s = &e->report->sources[e->source];
	struct conf_mark          at = { .source = e->source };

	if (y->error == YAML_MEMORY_ERROR) {
		e->report->no_memory = true;
	} else if (y->error == YAML_READER_ERROR) {
		conf_mark_at_octet(s->text, s->len, y->problem_offset, &at);
		EVENTS_MISTAKE(e, &at, "not text in UTF-8: %s", y->problem);
	} else {
		at.line = (uint32_t)y->problem_mark.line + 1;
		at.column = (uint32_t)y->problem_mark.column + 1;
		at.width = 1;
		if (y->context && y->context_mark.line != y->problem_mark.line)
			EVENTS_MISTAKE(e, &at, "YAML: %s (%s that begins in line %zu)%s",
				       y->problem, y->context, y->context_mark.line + 1,
				       events_syntax_hint(s, &at));
		else
			EVENTS_MISTAKE(e, &at, "YAML: %s%s", y->problem,
				       events_syntax_hint(s, &at));
	}
}

void conf_events_end(struct conf_events *e)
{
	yaml_event_delete(&e->event);	/* leaves YAML_NO_EVENT */
	e->ended = true;
}

/* Tags and anchors have no use here, and aliases can make a small file huge. */
static void events_refuse_properties(struct conf_events *e)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;
	struct conf_mark   at = conf_events_mark(e);

	switch (e->event.type) {
	case YAML_ALIAS_EVENT:
		anchor = e->event.data.alias.anchor;
		break;
	case YAML_SCALAR_EVENT:
		anchor = e->event.data.scalar.anchor;
		tag = e->event.data.scalar.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = e->event.data.sequence_start.anchor;
		tag = e->event.data.sequence_start.tag;
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = e->event.data.mapping_start.anchor;
		tag = e->event.data.mapping_start.tag;
		break;
	default:
		break;
	}
	if (anchor)
		EVENTS_MISTAKE(e, &at, "anchors and aliases (&name, *name) are not possible here");
	if (tag)
		EVENTS_MISTAKE(e, &at, "tags (!name) are not possible here");
}

void conf_events_next(struct conf_events *e)
{
	if (e->ended)
		return;
	yaml_event_delete(&e->event);
	if (!yaml_parser_parse(&e->yaml, &e->event)) {
		events_syntax_error(e);
		conf_events_end(e);
		return;
	}
	events_refuse_properties(e);
	if (e->event.type == YAML_SEQUENCE_END_EVENT || e->event.type == YAML_MAPPING_END_EVENT)
		e->depth--;
	if (e->event.type != YAML_SEQUENCE_START_EVENT && e->event.type != YAML_MAPPING_START_EVENT)
		return;
	if (++e->depth > EVENTS_DEPTH_MAX) {
		struct conf_mark at = conf_events_mark(e);

		EVENTS_MISTAKE(e, &at, "nested more than %d levels deep", EVENTS_DEPTH_MAX);
		conf_events_end(e);
	}
}

bool conf_events_element(struct conf_events *e)
{
	conf_events_next(e);
	return e->event.type != YAML_NO_EVENT && e->event.type != YAML_SEQUENCE_END_EVENT &&
	       e->event.type != YAML_MAPPING_END_EVENT;
}

void conf_events_skip(struct conf_events *e)
{
	unsigned outside = e->depth;

	if (e->event.type != YAML_SEQUENCE_START_EVENT && e->event.type != YAML_MAPPING_START_EVENT)
		return;
	while (e->event.type != YAML_NO_EVENT && e->depth >= outside)
		conf_events_next(e);
}

bool conf_events_is_empty(const struct conf_events *e)
{
	return e->event.type == YAML_SCALAR_EVENT && !e->event.data.scalar.length &&
	       e->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

const char *conf_events_kind(const struct conf_events *e)
{
	if (conf_events_is_empty(e))
		return "nothing";
	if (e->event.type == YAML_SCALAR_EVENT)
		return "a single value";
	return e->event.type == YAML_SEQUENCE_START_EVENT ? "a list" : "a mapping";
}
