/* events.h - queries as they are answered, from the workers to whoever watches.
 *
 * All on the main thread, but for what lies in the workers' rings.  Nothing runs
 * and no worker tells anything while nobody watches.
 */
#ifndef LARDER_DAEMON_EVENTS_H
#define LARDER_DAEMON_EVENTS_H

#include "base/list.h"
#include "control/control.h"

#include <uv.h>

#define EVENTS_WATCHERS_MAX 16	/* beside larderd's own */
#define EVENTS_TURN_MS      5		/* how often the rings are looked at */

struct worker;

struct events {
	uv_timer_t       timer;
	struct worker  **workers;		/* borrowed; NULL: none yet, or no more */
	unsigned         worker_count;
	struct list      watchers;
	unsigned         watcher_count;
	const struct control_watcher *own;	/* one of them, or NULL: in the place that others cannot take */
	uint64_t         dropped;		/* by all rings, when looked at last */
};

void events_init(struct events *e, uv_loop_t *loop);
/* Whose queries are watched.  Borrows workers until events_close(). */
void events_begin(struct events *e, struct worker **workers, unsigned count);
/* As control_ops.watch and .unwatch.  0; -EBUSY: there are too many; -ENOMEM. */
int  events_watch(struct events *e, struct control_watcher *w);
/* As events_watch(), for the one that larderd itself is (query_log.h): others may be as many as they like. */
int  events_watch_own(struct events *e, struct control_watcher *w);
void events_unwatch(struct events *e, struct control_watcher *w);
/* Before the workers are told to stop.  Watchers hear nothing more, and may still leave. */
void events_close(struct events *e);

#endif
