/* addresses.c - lines of a name and addresses, written and read. */
#include "daemon/addresses.h"

#include <string.h>

#define ADDRESSES_HEAD "larder addresses 1\n"
#define ADDRESSES_LINE_MAX (256 + ADDR_LIST_MAX * ADDR_TEXT_MAX)

/* The line at text, without its end, cut in words; false: it is too long, or none. */
struct addresses_line {
	char        room[ADDRESSES_LINE_MAX];
	const char *name;
	struct addr_list list;
};

static bool addresses_read_words(struct addresses_line *line)
{
	char *save, *word = strtok_r(line->room, " ", &save);

	line->name = word;
	line->list.count = 0;
	while (line->name && (word = strtok_r(NULL, " ", &save))) {
		struct addr a;

		if (line->list.count == ADDR_LIST_MAX || addr_parse(word, 0, &a) < 0 || addr_port(&a) ||
		    !addr_is_single_host(&a) || addr_list_find(&line->list, &a) >= 0)
			return false;
		addr_list_add(&line->list, &a);
	}
	return line->name && line->list.count;
}

/* The line at *text, which moves on past it. */
static bool addresses_next(const char **text, const char *end, struct addresses_line *line)
{
	const char *stop = memchr(*text, '\n', (size_t)(end - *text));
	size_t      len = stop ? (size_t)(stop - *text) : 0;

	if (!stop || len >= sizeof line->room || memchr(*text, '\0', len))
		return false;
	memcpy(line->room, *text, len);
	line->room[len] = '\0';
	*text = stop + 1;
	return addresses_read_words(line);
}

static const char *addresses_start(const char *text, size_t len)
{
	size_t head = strlen(ADDRESSES_HEAD);

	return len >= head && !memcmp(text, ADDRESSES_HEAD, head) ? text + head : NULL;
}

bool addresses_are_sound(const char *text, size_t len)
{
	const char           *at = addresses_start(text, len);
	struct addresses_line line;

	while (at && at < text + len)
		if (!addresses_next(&at, text + len, &line))
			return false;
	return at != NULL;
}

bool addresses_find(const char *text, size_t len, const char *name, struct addr_list *out)
{
	const char           *at = addresses_start(text, len);
	struct addresses_line line;

	while (at && at < text + len && addresses_next(&at, text + len, &line)) {
		if (strcmp(line.name, name))
			continue;
		*out = line.list;
		return true;
	}
	return false;
}

void addresses_begin(FILE *f)
{
	fputs(ADDRESSES_HEAD, f);
}

void addresses_add(FILE *f, const char *name, const struct addr_list *l)
{
	char line[ADDRESSES_LINE_MAX], text[ADDR_TEXT_MAX];
	long at = ftell(f);
	int  len = snprintf(line, sizeof line, "%s", name);

	for (unsigned i = 0; i < l->count && (size_t)len < sizeof line; i++)
		len += snprintf(line + len, sizeof line - (size_t)len, " %s", addr_format_host(&l->at[i], text));
	if (l->count && at >= 0 && (size_t)len < sizeof line && (size_t)at + (size_t)len + 1 <= ADDRESSES_TEXT_MAX)
		fprintf(f, "%s\n", line);
}
