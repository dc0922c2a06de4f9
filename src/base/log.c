/* log.c - lines on standard error. */
#include "base/log.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX   1024
#define LOG_LIMIT_S    10
#define LOG_LIMIT_SAID 5

const char *const log_level_names[] = { "error", "warning", "notice", "info", "debug", NULL };

static _Atomic int log_level_now = LOG_LEVEL_NOTICE;

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&log_level_now, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&log_level_now, memory_order_relaxed);
}

/* Copies text, with control characters and non-ASCII as \ooo; gives the length. */
static size_t log_escape(const char *text, char *out, size_t size)
{
	size_t n = 0;

	for (; *text && n + 5 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c < 0x7f)
			out[n++] = (char)c;
		else
			n += (size_t)snprintf(out + n, 5, "\\%03o", c);
	}
	return n;
}

void log_line(enum log_level level, const char *format, ...)
{
	char    text[LOG_LINE_MAX], line[2 * LOG_LINE_MAX];
	size_t  n;
	va_list ap;
	int     saved = errno;

	if (!log_enabled(level))
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	n = (size_t)snprintf(line, sizeof line, "%s: ", log_level_names[level]);
	if (level == LOG_LEVEL_NOTICE || level == LOG_LEVEL_INFO)
		n = 0;	/* what is ordinary needs no label */
	n += log_escape(text, line + n, sizeof line - n - 1);
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, n) < 0)
		errno = saved;	/* nobody is left to tell */
	errno = saved;
}

bool log_limit_pass(struct log_limit *limit, uint32_t *dropped)
{
	struct timespec ts;
	uint64_t        now_s;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now_s = (uint64_t)ts.tv_sec;
	*dropped = 0;
	if (now_s - atomic_load(&limit->since_s) >= LOG_LIMIT_S) {
		atomic_store(&limit->since_s, now_s);
		atomic_store(&limit->said, 0);
		*dropped = atomic_exchange(&limit->dropped, 0);
	}
	if (atomic_fetch_add(&limit->said, 1) < LOG_LIMIT_SAID)
		return true;
	atomic_fetch_add(&limit->dropped, 1);
	return false;
}
