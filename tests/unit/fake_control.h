/* fake_control.h - a daemon for tests of the control socket and of larderctl.
 *
 * It answers from what the test put in and remembers what it was told to do.
 */
#ifndef LARDER_TESTS_UNIT_FAKE_CONTROL_H
#define LARDER_TESTS_UNIT_FAKE_CONTROL_H

#include "control/control.h"
#include "dns/name.h"

#define FAKE_NOW_MS 10000000

struct fake_control {
	struct control_status status;
	struct stats_view     stats;
	struct control_upstream upstreams[3];
	size_t                upstream_count;

	const char *report;			/* of reload: NULL is success */
	const char *config;			/* NULL: no memory */
	uint64_t    entries;			/* that a flush removes */
	void (*traced)(void *arg, const struct trace_report *report);	/* who waits for the trace, … */
	void *traced_arg;
	struct trace_question question;		/* … of what */
	uv_loop_t  *loop;			/* on which that is told, where there is one; else by the test */
	uv_timer_t  tell;
	struct cache *cache;			/* to be looked at; NULL: an empty one */
	struct control_watcher *watcher;	/* who watches queries; NULL: nobody */

	bool               query_log;
	unsigned           flushes, reloads;
	bool               anew;		/* of the last order for an upstream */
	enum control_flush what;		/* of the last flush */
	struct dns_name    name;
	uint16_t           type;
};

/* Well, with some traffic behind it. */
void fake_control_init(struct fake_control *f, struct control_ops *ops);

/* Tells of a trace that was slow: "office" said nothing for 24 ms, the other one answered, over TLS.
 * With none: there is no report. */
void fake_control_traced(struct fake_control *f, bool none);
/* The watcher is told of a query for name (NULL: it could not be read), answered by "quad9". */
void fake_control_event(struct fake_control *f, const char *name, const char *client, const struct event *like);
/* A cache with n0.example. …: even ones have 200 s left of 300, odd ones are 100 s past.  Whoever wants it frees it. */
void fake_control_fill(struct fake_control *f, unsigned entries);

#endif
