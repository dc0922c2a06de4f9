/* service.h - what the service manager hears: ready, reloading, stopping, alive.
 *
 * Runs on the main thread.  Without a service manager every call is nothing.
 */
#ifndef LARDER_DAEMON_SERVICE_H
#define LARDER_DAEMON_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define SERVICE_WORKERS_MAX 64
#define SERVICE_STATUS_MAX  512

struct service_ops {
	void     (*summary)(void *arg, char *out, size_t size);	/* one line for people */
	uint64_t (*heartbeat)(void *arg, unsigned worker);	/* moves with each turn of its loop */
	void     (*nudge)(void *arg, unsigned worker);		/* lets its loop turn, if it still can */
	void     (*notify)(void *arg, const char *state);	/* NULL: the service manager */
	void      *arg;
};

struct service {
	struct service_ops ops;
	unsigned           worker_count;
	bool               heard;		/* somebody listens */
	uint64_t           watchdog_ms;		/* 0: no watchdog */
	uv_timer_t         status_timer, beat_timer;
	uint64_t           seen[SERVICE_WORKERS_MAX];	/* heartbeats just before the last nudge */
	bool               missed;		/* somebody is stuck, and that was said */
	char               said[SERVICE_STATUS_MAX];	/* the last STATUS */
};

/* Reads from the environment what the manager wants to hear.  Copies ops; borrows loop. */
void service_init(struct service *s, uv_loop_t *loop, const struct service_ops *ops);
/* The workers run: READY, and from now on status and watchdog. */
void service_ready(struct service *s, unsigned worker_count);
void service_reloading(struct service *s, uint64_t mono_us);
void service_reloaded(struct service *s);	/* or not; the summary tells */
void service_stopping(struct service *s);
void service_close(struct service *s);		/* its timers; the loop must turn once more */

/* What the timers do.  Tells the new summary when it is one. */
void service_refresh(struct service *s);
/* Tells that we are alive if every worker is, and gives how long to wait until the next time, in ms. */
uint64_t service_beat(struct service *s);

/* The last words of a process that did not start. */
void service_failed(const char *why);
/* Waits a moment until the manager has read all that was said: what it reads after our end it may not be able to
 * tell whose it is. */
void service_farewell(void);

#endif
