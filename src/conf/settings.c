/* settings.c - the texts behind the configuration. */
#include "conf/settings.h"

#include "conf/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SETTINGS_PARTS "upstreams.*."

int conf_text_set(struct conf_text *t, const char *text, size_t len, const struct conf_mark *at)
{
	char *copy = malloc(len + 1);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, text, len);
	copy[len] = '\0';
	free(t->text);
	*t = (struct conf_text){ copy, len, *at };
	return 0;
}

int conf_setting_add(struct conf_setting *s, const char *text, size_t len,
                     const struct conf_mark *at)
{
	struct conf_text *grown = realloc(s->texts, (s->count + 1) * sizeof *grown);

	if (!grown)
		return -ENOMEM;
	s->texts = grown;
	memset(&grown[s->count], 0, sizeof *grown);
	if (conf_text_set(&grown[s->count], text, len, at) < 0)
		return -ENOMEM;
	s->count++;
	return 0;
}

/* A part has no parts, so this calls itself once at most. */
void conf_setting_clear(struct conf_setting *s)
{
	size_t part_count;

	conf_section_index(SETTINGS_PARTS, &part_count);
	for (size_t i = 0; s->parts && i < part_count; i++)
		conf_setting_clear(&s->parts[i]);
	free(s->parts);
	for (size_t i = 0; i < s->count; i++)
		free(s->texts[i].text);
	free(s->texts);
	free(s->key.text);
	memset(s, 0, sizeof *s);
}

struct conf_setting *conf_setting_part(struct conf_setting *entry, size_t option)
{
	size_t count, first = conf_section_index(SETTINGS_PARTS, &count);

	if (!entry->parts)
		entry->parts = calloc(count, sizeof *entry->parts);
	return entry->parts ? &entry->parts[option - first] : NULL;
}

const struct conf_setting *conf_setting_find_part(const struct conf_setting *entry, const char *option)
{
	size_t                     count, first = conf_section_index(SETTINGS_PARTS, &count);
	const struct conf_setting *part = entry->parts ? &entry->parts[conf_option_index(option) - first] : NULL;

	return part && part->key.text ? part : NULL;
}

struct conf_setting *conf_group_add(struct conf_group *g)
{
	struct conf_setting *grown = realloc(g->entries, (g->entry_count + 1) * sizeof *grown);

	if (!grown)
		return NULL;
	g->entries = grown;
	memset(&grown[g->entry_count], 0, sizeof *grown);
	return &grown[g->entry_count++];
}

/* Defaults are texts too, so that they pass through the same conversion as a user's. */
static int settings_default(struct conf_setting *s, const char *fallback)
{
	const struct conf_mark at = { 0 };

	for (const char *p = fallback; *p;) {
		size_t n = strcspn(p, " ");

		if (conf_setting_add(s, p, n, &at) < 0)
			return -ENOMEM;
		p += n + (p[n] == ' ');
	}
	return 0;
}

struct conf_settings *conf_settings_new(void)
{
	struct conf_settings *s = calloc(1, sizeof *s + conf_option_count * sizeof *s->groups);

	if (!s)
		return NULL;
	for (size_t i = 0; i < conf_option_count; i++)
		if (conf_options[i].fallback &&
		    settings_default(&s->groups[i].own, conf_options[i].fallback) < 0) {
			conf_settings_free(s);
			return NULL;
		}
	return s;
}

void conf_settings_free(struct conf_settings *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < conf_option_count; i++) {
		conf_setting_clear(&s->groups[i].own);
		for (size_t j = 0; j < s->groups[i].entry_count; j++)
			conf_setting_clear(&s->groups[i].entries[j]);
		free(s->groups[i].entries);
	}
	conf_sources_free(s->sources, s->source_count);
	free(s);
}
