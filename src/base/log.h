/* log.h - one event, one line, saying what we do next.
 *
 * The level and the sink are the state that is not handed down: a log line must
 * be possible anywhere above base/, dns/, cache/ and conf/ (which tell their
 * callers instead).  Lines go to standard error in one write, so that lines of
 * several threads do not mix, or to the sink of a process that has a journal.
 * Control characters and octets that are not ASCII are written as \ooo: what
 * strangers send cannot forge a line.
 */
#ifndef LARDER_BASE_LOG_H
#define LARDER_BASE_LOG_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

extern const char *const log_level_names[];	/* "error" … "debug", then NULL */

void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Each line of text as a line of its own. */
void log_lines(enum log_level level, const char *text);

/* What a line is about, for those who search a journal; the text says it, too.
 * Names are upper case and underscores. */
struct log_field {
	const char *name, *value;	/* borrowed for the call */
};
/* LOG_FIELDS({ "LARDER_ADDRESS", text }) */
#define LOG_FIELDS(...) ((const struct log_field[]){ __VA_ARGS__, { NULL, NULL } })
/* As log_line(), with fields (NULL: none) for the sink.  Standard error gets the text alone. */
void log_event(enum log_level level, const struct log_field *fields, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* As log_event() whatever the level that is set, for lines that were asked for by themselves, may come by the thousand
 * and give way to all others.  False: whoever takes lines has little room left, a moment was waited, and nothing said. */
bool log_bulk(enum log_level level, const struct log_field *fields, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

enum log_taken {
	LOG_TAKEN,
	LOG_REFUSED,	/* the line goes to standard error, with its priority in front as "<4>", which whoever collects
			 * the output of services understands */
	LOG_BEHIND,	/* of bulk() alone */
};

/* Both get a line: text without label or line end; fields end with a NULL name, or are NULL.  bulk() is for log_bulk();
 * take() does not wait for whoever reads the lines. */
struct log_sink {
	enum log_taken (*take)(enum log_level level, const char *text, const struct log_field *fields);
	enum log_taken (*bulk)(enum log_level level, const char *text, const struct log_field *fields);
};
/* Before there are threads.  Borrows sink for good; NULL: plain lines. */
void log_set_sink(const struct log_sink *sink);
int  log_priority(enum log_level level);	/* of syslog: 3 for an error … 7 for debug */

/* What a stranger can provoke is said at most 5 times in 10 s a place; the next
 * line that is let through says how many were left out. */
struct log_limit {
	_Atomic uint64_t since_s;
	_Atomic uint32_t said, dropped;
};
bool log_limit_pass(struct log_limit *limit, uint32_t *dropped);

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                     \
	do {                                                               \
		if (log_enabled(LOG_LEVEL_DEBUG))                          \
			log_line(LOG_LEVEL_DEBUG, __VA_ARGS__);            \
	} while (0)
#define log_limited(level, ...)                                            \
	do {                                                               \
		static struct log_limit log_limit_here;                    \
		uint32_t log_dropped_here;                                 \
		if (log_limit_pass(&log_limit_here, &log_dropped_here)) {  \
			log_line(level, __VA_ARGS__);                      \
			if (log_dropped_here)                              \
				log_line(level, "(%u more like this were left out)", \
				         (unsigned)log_dropped_here);      \
		}                                                          \
	} while (0)

#endif
