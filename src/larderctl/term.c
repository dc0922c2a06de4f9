/* term.c - harmless output. */
#include "larderctl/term.h"

#include "larderctl/larderctl.h"

#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void term_init(struct term *t)
{
	const char *no_color = getenv("NO_COLOR"), *kind = getenv("TERM");

	setlocale(LC_CTYPE, "");
	t->utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	t->colour = isatty(STDOUT_FILENO) && kind && strcmp(kind, "dumb") &&
		    !(no_color && *no_color);
}

/* Octets of the character that begins with c; 0: none does. */
static size_t term_character(unsigned char c)
{
	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	return c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* Octets of the character at s: its length if it is a whole, harmless one, else 0.
 * C1 controls are U+0080 to U+009F; U+200B to U+200F, U+2028 to U+202E and U+2060 to U+206F are
 * invisible or turn the direction. */
static size_t term_harmless(const unsigned char *s)
{
	size_t   len = term_character(s[0]);
	unsigned code = len == 1 ? s[0] : s[0] & (0x7fu >> len);

	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < 0x20 || (code >= 0x7f && code < 0xa0))
		return 0;
	if ((code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
	    (code >= 0x2060 && code <= 0x206f) || code == 0xfeff)
		return 0;
	return len;
}

void term_clean(char *text, bool lines)
{
	while (*text) {
		size_t len = lines && (*text == '\n' || *text == '\t') ? 1
		             : term_harmless((const unsigned char *)text);

		if (!len) {
			*text = '?';
			len = 1;
		}
		text += len;
	}
}

size_t term_width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void term_put_lines(const char *text, FILE *to)
{
	char  *copy = term_memory(strdup(text));
	size_t len = strlen(copy);

	term_clean(copy, true);
	fputs(copy, to);
	if (len && copy[len - 1] != '\n')
		fputc('\n', to);
	free(copy);
}

void term_print_lines(const char *text)
{
	term_put_lines(text, stdout);
}

void term_complain_lines(const char *text)
{
	fflush(stdout);
	term_put_lines(text, stderr);
}

/* JSON escapes every control character but DEL. */
static int term_write_json(const char *octets, size_t len, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < len; i++)
		if (octets[i] == 0x7f)
			fputs("\\u007f", stdout);
		else
			putchar(octets[i]);
	return 0;
}

void term_print_json(const json_t *value)
{
	json_dump_callback(value, term_write_json, NULL,
	                   JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6));
	putchar('\n');
}

void term_print_json_line(const json_t *value)
{
	json_dump_callback(value, term_write_json, NULL, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6));
	putchar('\n');
}

void term_say(const char *format, ...)
{
	char   *line = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&line, format, ap) < 0)
		line = NULL;
	va_end(ap);
	term_memory(line);
	for (char *p = line; *p; p++)
		if (*p == '\n')
			*p = '?';
	term_clean(line, true);
	puts(line);
	free(line);
}

void term_complain(const char *format, ...)
{
	char    line[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof line, format, ap);
	va_end(ap);
	term_clean(line, false);
	fflush(stdout);
	fprintf(stderr, "larderctl: %s\n", line);
}

void *term_memory(void *p)
{
	if (!p) {
		term_complain("no memory");
		exit(LARDERCTL_REFUSED);
	}
	return p;
}
