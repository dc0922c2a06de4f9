/* worker.h - a thread that answers: its own loop, listeners, resolver, timers.
 *
 * The main thread gives orders through a mailbox; a worker shares nothing else
 * with it but the cache, the setup it was handed, and counters that it alone
 * writes.
 */
#ifndef LARDER_DAEMON_WORKER_H
#define LARDER_DAEMON_WORKER_H

#include "base/addr.h"
#include "net/listener.h"
#include "resolve/setup.h"
#include "resolve/slow.h"
#include "resolve/trace.h"
#include "stats/stats.h"

struct cache;
struct ring;
struct worker;

struct worker_conf {
	unsigned             index;
	struct cache        *cache;		/* borrowed; outlives the worker */
	struct setup        *setup;		/* one reference, taken over */
	struct listener_conf listeners;
	/* As in upstream_env: called on the worker's thread. */
	void               (*doubt)(void *arg);
	void                *doubt_arg;
};

/* Makes the worker, without starting its thread.  NULL: no memory. */
struct worker *worker_new(const struct worker_conf *conf);
int            worker_start(struct worker *w);		/* 0 or a negative errno */
/* Orders; each is carried out on the worker's thread, in order.  0, or -ENOMEM: nothing was ordered, and
 * what was to be handed over still belongs to the caller. */
int  worker_reconfigure(struct worker *w, struct setup *setup, const struct listener_conf *listeners);
int  worker_listen(struct worker *w, const struct addr *addr, int udp_fd, int tcp_fd);
int  worker_unlisten(struct worker *w, const struct addr *addr);
/* Takes no more queries, waits up to grace_ms for the answers that are due, then ends. */
void worker_stop(struct worker *w, uint32_t grace_ms);
int  worker_warm(struct worker *w);			/* as resolver_warm() */
/* As trace_begin(); done() is called on the worker's thread, or with NULL when the worker has ended before. */
int  worker_trace(struct worker *w, const struct trace_question *q,
                  void (*done)(void *arg, struct trace_report *report), void *arg);
void worker_nudge(struct worker *w);			/* lets its loop turn, which shows in its heartbeat */
void worker_join(struct worker *w);			/* after worker_stop() */
void worker_free(struct worker *w);			/* after worker_join(), or never started; NULL is fine */

/* Tells of each query from now on, or no more.  True: events come in worker_events().  False, without memory: they
 * will not.  Not after worker_stop(). */
bool         worker_watch(struct worker *w, bool on);
struct ring *worker_events(const struct worker *w);	/* NULL: it is not watched; read by one thread, until
						 * it is watched no more */

const struct stats *worker_stats(const struct worker *w);
struct slows       *worker_slows(const struct worker *w);

#endif
