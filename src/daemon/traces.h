/* traces.h - traces that a worker makes for somebody on the main thread. */
#ifndef LARDER_DAEMON_TRACES_H
#define LARDER_DAEMON_TRACES_H

#include "base/list.h"
#include "resolve/trace.h"

#include <pthread.h>
#include <uv.h>

#define TRACES_MAX 32		/* under way at once */

struct worker;

struct traces {
	uv_async_t      mail;
	pthread_mutex_t lock;
	struct list     done;		/* under the lock: whose reports are there */
	unsigned        count;		/* ordered, and not yet told; the main thread's */
};

void traces_init(struct traces *t, uv_loop_t *loop);
/* done() is called on the main thread, later, once; it borrows the report, which is NULL where there was no memory
 * or larderd stops.  0, or -EBUSY, or -ENOMEM: it is not called. */
int  traces_order(struct traces *t, struct worker *w, const struct trace_question *q,
                  void (*done)(void *arg, const struct trace_report *report), void *arg);
/* After the workers have gone: tells who still waits, and closes. */
void traces_close(struct traces *t);

#endif
