/* service.c - what the service manager hears: ready, reloading, stopping, alive.
 *
 * The watchdog is fed by the workers, not by the main thread alone.  At each
 * beat every worker's count of turns is noted and its loop woken, so that an
 * idle one turns as well; at the next beat each must have moved.  One that has
 * not is stuck: it is named in the log, the manager hears nothing, and restarts
 * us unless the worker comes round before the manager's patience ends.
 */
#include "daemon/service.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#define SERVICE_REFRESH_MS  10000
#define SERVICE_FAREWELL_US 1000000
#define SERVICE_LOOKS       8	/* after a missed beat, within the half of the time that is left */

static void service_tell(struct service *s, const char *state)
{
	if (s->ops.notify)
		s->ops.notify(s->ops.arg, state);
	else if (s->heard)
		sd_notify(0, state);
}

/* ---- status ---- */

/* True when there is something new to say. */
static bool service_summarize(struct service *s)
{
	char now[SERVICE_STATUS_MAX] = "";

	s->ops.summary(s->ops.arg, now, sizeof now);
	if (!strcmp(now, s->said))
		return false;
	memcpy(s->said, now, sizeof now);
	return true;
}

static void service_say_ready(struct service *s)
{
	char text[SERVICE_STATUS_MAX + 32];

	if (!s->heard)
		return;
	service_summarize(s);
	snprintf(text, sizeof text, "READY=1\nSTATUS=%s", s->said);
	service_tell(s, text);
}

void service_refresh(struct service *s)
{
	char text[SERVICE_STATUS_MAX + 32];

	if (!service_summarize(s))
		return;
	snprintf(text, sizeof text, "STATUS=%s", s->said);
	service_tell(s, text);
}

static void service_on_status_timer(uv_timer_t *t)
{
	service_refresh(t->data);
}

/* ---- watchdog ---- */

static void service_nudge_all(struct service *s)
{
	for (unsigned i = 0; i < s->worker_count; i++) {
		s->seen[i] = s->ops.heartbeat(s->ops.arg, i);
		s->ops.nudge(s->ops.arg, i);
	}
}

/* The first worker that has not turned since it was woken; worker_count: all have. */
static unsigned service_find_stuck(const struct service *s)
{
	unsigned i = 0;

	while (i < s->worker_count && s->ops.heartbeat(s->ops.arg, i) != s->seen[i])
		i++;
	return i;
}

static void service_say_stuck(struct service *s, unsigned worker)
{
	char number[12];

	if (s->missed)
		return;
	s->missed = true;
	snprintf(number, sizeof number, "%u", worker);
	log_event(LOG_LEVEL_ERROR, LOG_FIELDS({ "LARDER_WORKER", number }),
	          "worker %u is stuck: not a turn in %" PRIu64 " ms; leaving it to the service manager to start"
	          " larderd again", worker, s->watchdog_ms / 2);
}

uint64_t service_beat(struct service *s)
{
	unsigned stuck = service_find_stuck(s);
	uint64_t half = s->watchdog_ms / 2;

	if (stuck < s->worker_count) {
		service_say_stuck(s, stuck);
		half /= SERVICE_LOOKS;	/* it may yet come round in time */
		return half ? half : 1;
	}
	if (s->missed)
		log_notice("all workers turn again");
	s->missed = false;
	service_tell(s, "WATCHDOG=1");
	service_nudge_all(s);
	return half ? half : 1;
}

static void service_on_beat_timer(uv_timer_t *t)
{
	struct service *s = t->data;

	uv_timer_start(t, service_on_beat_timer, service_beat(s), 0);
}

/* ---- from start to end ---- */

void service_init(struct service *s, uv_loop_t *loop, const struct service_ops *ops)
{
	uint64_t watchdog_us = 0;

	memset(s, 0, sizeof *s);
	s->ops = *ops;
	s->heard = ops->notify || getenv("NOTIFY_SOCKET");
	if (s->heard && sd_watchdog_enabled(1, &watchdog_us) > 0)
		s->watchdog_ms = watchdog_us / 1000 ? watchdog_us / 1000 : 1;
	uv_timer_init(loop, &s->status_timer);
	uv_timer_init(loop, &s->beat_timer);
	s->status_timer.data = s->beat_timer.data = s;
}

void service_ready(struct service *s, unsigned worker_count)
{
	s->worker_count = worker_count < SERVICE_WORKERS_MAX ? worker_count : SERVICE_WORKERS_MAX;
	if (!s->heard)
		return;
	service_say_ready(s);
	uv_timer_start(&s->status_timer, service_on_status_timer, SERVICE_REFRESH_MS, SERVICE_REFRESH_MS);
	if (!s->watchdog_ms)
		return;
	service_nudge_all(s);
	uv_timer_start(&s->beat_timer, service_on_beat_timer,
	               s->watchdog_ms / 2 ? s->watchdog_ms / 2 : 1, 0);
}

void service_reloading(struct service *s, uint64_t mono_us)
{
	char text[64];

	snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, mono_us);
	service_tell(s, text);
}

void service_reloaded(struct service *s)
{
	service_say_ready(s);
}

void service_stopping(struct service *s)
{
	service_tell(s, "STOPPING=1\nSTATUS=stopping: answering what is in progress");
}

void service_close(struct service *s)
{
	uv_close((uv_handle_t *)&s->status_timer, NULL);
	uv_close((uv_handle_t *)&s->beat_timer, NULL);
}

void service_failed(const char *why)
{
	sd_notifyf(0, "STATUS=not started: %s", why);
	service_farewell();
}

void service_farewell(void)
{
	sd_notify_barrier(0, SERVICE_FAREWELL_US);
}
