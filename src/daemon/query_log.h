/* query_log.h - a log line for each query, when that is wanted.
 *
 * A watcher (events.h), whose lines a thread of its own writes: a journal that is
 * slow or stands still, or a pipe that nobody reads, holds up neither the main
 * thread nor a client, and these lines leave room for all others (log_bulk()).
 * What has no room is counted, and that is logged.
 */
#ifndef LARDER_DAEMON_QUERY_LOG_H
#define LARDER_DAEMON_QUERY_LOG_H

#include "control/control.h"
#include "resolve/event.h"

#include <stdbool.h>

struct events;
struct query_writer;

struct query_log {
	struct control_watcher watcher;
	struct events         *events;		/* borrowed */
	struct query_writer   *writer;		/* NULL: it was never on */
	unsigned               quota;		/* lines that are left in this turn */
	bool                   on, any;		/* any: something was handed over in this turn */
};

void query_log_init(struct query_log *q, struct events *events);
/* 0, or as events_watch_own(): then nothing has changed. */
int  query_log_switch(struct query_log *q, bool on);
/* After events_close(): writes what is left, for a second at most. */
void query_log_close(struct query_log *q);

/* The line, in logfmt; the name is last, since that is what may be cut. */
#define QUERY_LOG_LINE_MAX 1536
const char *query_log_line(const struct event *e, char out[QUERY_LOG_LINE_MAX]);

#endif
