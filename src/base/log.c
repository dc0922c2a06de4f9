/* log.c - lines on standard error, or wherever the sink takes them. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX   1536
#define LOG_LABEL_MAX  16
#define LOG_BULK_WAIT_US 5000
#define LOG_LIMIT_S    10
#define LOG_LIMIT_SAID 5

const char *const log_level_names[] = { "error", "warning", "notice", "info", "debug", NULL };

static _Atomic int log_level_now = LOG_LEVEL_NOTICE;
static const struct log_sink *log_sink_now;	/* NULL: plain lines */

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

/* What stands in front of a line on standard error; what is ordinary needs no label. */
static size_t log_label(enum log_level level, char out[LOG_LABEL_MAX])
{
	if (log_sink_now)
		return (size_t)snprintf(out, LOG_LABEL_MAX, "<%d>", log_priority(level));
	if (level == LOG_LEVEL_NOTICE || level == LOG_LEVEL_INFO)
		return 0;
	return (size_t)snprintf(out, LOG_LABEL_MAX, "%s: ", log_level_names[level]);
}

/* What collects standard error is shared by all lines: half of it is for those that are few. */
static bool log_stderr_is_busy(void)
{
	int       size = fcntl(STDERR_FILENO, F_GETPIPE_SZ), used = 0;
	socklen_t len = sizeof size;

	if (size > 0)
		return ioctl(STDERR_FILENO, FIONREAD, &used) == 0 && used > size / 2;
	return getsockopt(STDERR_FILENO, SOL_SOCKET, SO_SNDBUF, &size, &len) == 0 &&
	       ioctl(STDERR_FILENO, SIOCOUTQ, &used) == 0 && used > size / 2;
}

/* Writes text, a string of n octets with room for a label before and a line end behind it. */
static void log_to_stderr(enum log_level level, char *text, size_t n)
{
	char   label[LOG_LABEL_MAX];
	size_t before = log_label(level, label);

	memcpy(text - before, label, before);
	text[n++] = '\n';
	if (write(STDERR_FILENO, text - before, before + n) < 0)
		return;		/* nobody is left to tell */
}

static bool log_say(enum log_level level, const struct log_field *fields, bool bulk, char *text, size_t n)
{
	enum log_taken taken = LOG_REFUSED;

	if (log_sink_now)
		taken = (bulk ? log_sink_now->bulk : log_sink_now->take)(level, text, fields);
	if (taken != LOG_REFUSED)
		return taken == LOG_TAKEN;
	if (bulk && log_stderr_is_busy()) {
		usleep(LOG_BULK_WAIT_US);
		return false;
	}
	log_to_stderr(level, text, n);
	return true;
}

__attribute__((format(printf, 4, 0)))
static bool log_write(enum log_level level, const struct log_field *fields, bool bulk, const char *format, va_list ap)
{
	char   text[LOG_LINE_MAX], line[LOG_LABEL_MAX + 2 * LOG_LINE_MAX];
	char  *said = line + LOG_LABEL_MAX;	/* the label goes right before it */
	size_t n;
	int    saved = errno;
	bool   done;

	vsnprintf(text, sizeof text, format, ap);
	n = log_escape(text, said, 2 * LOG_LINE_MAX - LOG_LABEL_MAX);
	said[n] = '\0';
	done = log_say(level, fields, bulk, said, n);
	errno = saved;
	return done;
}

void log_line(enum log_level level, const char *format, ...)
{
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, format);
	log_write(level, NULL, false, format, ap);
	va_end(ap);
}

void log_event(enum log_level level, const struct log_field *fields, const char *format, ...)
{
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, format);
	log_write(level, fields, false, format, ap);
	va_end(ap);
}

bool log_bulk(enum log_level level, const struct log_field *fields, const char *format, ...)
{
	va_list ap;
	bool    done;

	va_start(ap, format);
	done = log_write(level, fields, true, format, ap);
	va_end(ap);
	return done;
}

void log_lines(enum log_level level, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		if (n)
			log_line(level, "%.*s", (int)(n < LOG_LINE_MAX ? n : LOG_LINE_MAX), text);
		text += n + (text[n] == '\n');
	}
}

void log_set_sink(const struct log_sink *sink)
{
	log_sink_now = sink;
}

int log_priority(enum log_level level)
{
	return (int)level + 3;	/* both lists run from the gravest on; syslog has three graver ones */
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
