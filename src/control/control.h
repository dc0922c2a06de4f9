/* control.h - the control socket: orders and questions as Varlink messages.
 *
 * JSON objects, each ended by NUL, over a stream socket in the file system.
 * The interface io.larder is described in io.larder.varlink beside this file;
 * org.varlink.service tells it to any Varlink client.  Everything that is
 * asked or ordered is done by the daemon through the functions it gave.
 * Runs on the main thread's loop, in a process that ignores SIGPIPE.
 */
#ifndef LARDER_CONTROL_CONTROL_H
#define LARDER_CONTROL_CONTROL_H

#include "base/addr.h"
#include "base/list.h"
#include "cache/cache.h"
#include "dns/name.h"
#include "resolve/slow.h"
#include "resolve/trace.h"
#include "stats/stats.h"
#include "upstream/health.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

struct event;

#define CONTROL_UPSTREAMS_MAX 256	/* told of; more are configured by nobody */

struct control_upstream {
	const char *name, *url;
	const char *trouble;			/* why nobody knows where it is; NULL: that is known */
	struct addr_list places;		/* where it is, the address that is asked first in front */
	struct stats_upstream_view stats;
	struct health_view         health;
	const char                *level;	/* how questions to it are protected; NULL: not known yet */
	const char                *doubt;	/* why not better; NULL: it could not be */
	uint64_t                   now_us;	/* on the clock of health */
};

struct control_status {
	const char *version;
	uint64_t    started_us;			/* of CLOCK_MONOTONIC: tells one run from another */
	double      uptime_s;
	unsigned    workers;
	const char *config_file;		/* NULL: none */
	double      reloaded_ago_s;		/* since start or the last good reload */
	bool        upstreams_from_resolv;
	const char *resolv_file;		/* NULL: not used */
	const char *trouble;			/* NULL, or one line: what keeps us from answering */
	size_t      listen_count;
	const char *const *listen;		/* "127.0.0.1:53" … */
	uint64_t    cache_entries, cache_negative, cache_octets, cache_size_octets, cache_evicted;
};

enum control_flush {
	CONTROL_FLUSH_ALL,
	CONTROL_FLUSH_NAME,
	CONTROL_FLUSH_NAME_TYPE,
	CONTROL_FLUSH_SUBTREE,
};

/* What would become of a question for a name. */
struct control_route {
	bool        local;			/* larder answers by itself … */
	uint16_t    rcode;			/* … with this; the rest says who would be asked otherwise */
	char        suffix[DNS_NAME_TEXT_MAX];	/* of the route: "." is `forward` */
	const char *policy;			/* how it chooses */
	size_t      upstream_count;
	size_t      upstreams[CONTROL_UPSTREAMS_MAX];	/* by their places in what upstreams() gives */
};

/* The latest queries that clients waited long for, newest first. */
struct control_slow {
	uint64_t          over_us;		/* what counts as long */
	uint64_t          dropped;		/* too many at once: not noted, since the start */
	size_t            count;
	struct slow_query queries[SLOW_QUERIES];
};

/* Somebody who is told of queries as they are answered; embedded in what that one is. */
struct control_watcher {
	struct list node;			/* the daemon's */
	/* One query; event is borrowed for the call.  Neither joins nor leaves watchers. */
	void (*event)(struct control_watcher *w, const struct event *event);
	/* All of this moment are told.  left_out: how many were not, since before, having come too fast.
	 * May leave, itself. */
	void (*turn)(struct control_watcher *w, uint64_t left_out);
};

/* What the daemon can be asked.  All run on the main thread and do not block for long;
 * what is at out comes zeroed, and pointers put there are borrowed until the loop turns. */
struct control_ops {
	void (*status)(void *arg, struct control_status *out);
	void (*stats)(void *arg, struct stats_view *out);
	/* Gives how many there are of at most max. */
	size_t (*upstreams)(void *arg, struct control_upstream *out, size_t max);
	/* Orders for an upstream; anew: what was held against it is forgotten first.  0, or -ENOENT. */
	int (*order)(void *arg, const char *name, enum health_order order, bool anew);
	/* name: wire form, lower case, NULL for ALL; qtype only for NAME_TYPE.
	 * Gives how many entries went. */
	uint64_t (*flush)(void *arg, enum control_flush what,
	                  const uint8_t *name, size_t name_len, uint16_t qtype);
	/* 0, or -EINVAL with *report (heap text, the caller frees) saying every mistake. */
	int  (*reload)(void *arg, char **report);
	/* The effective configuration as text (heap, the caller frees), or NULL without memory. */
	char *(*config)(void *arg);
	/* name as above. */
	void (*route)(void *arg, const uint8_t *name, size_t name_len, struct control_route *out);
	/* The suffix of the route that has this id in the cache's keys.  False: none has it any more. */
	bool (*route_suffix)(void *arg, uint32_t id, char out[DNS_NAME_TEXT_MAX]);
	/* As cache_look_at_name(), and cache_look_at_all() for NULL; then cache_look(). */
	void (*look_at)(void *arg, struct cache_cursor *at, const uint8_t *name, size_t name_len);
	size_t (*look)(void *arg, struct cache_cursor *at, struct cache_seen *out, size_t max, uint8_t *room,
	               size_t size);
	/* Asks a question as a client would.  done() is called later, once, with a report that it borrows; NULL: there
	 * is none, for want of memory or since larderd stops.  0, or -EBUSY, or -ENOMEM: it is not called. */
	int (*trace)(void *arg, const struct trace_question *q,
	             void (*done)(void *done_arg, const struct trace_report *report), void *done_arg);
	void (*slow)(void *arg, struct control_slow *out);
	/* Logs each query from now on, or no more.  0, or a negative errno: nothing has changed. */
	int (*query_log)(void *arg, bool on, bool *before);
	/* From now on w is told of queries.  0; -EBUSY: too many are; -ENOMEM. */
	int (*watch)(void *arg, struct control_watcher *w);
	void (*unwatch)(void *arg, struct control_watcher *w);
	gid_t group;	/* whose members may see names; PEER_NOBODY: nobody's */
	void *arg;
};

struct control;

/* Binds path, mode 0660; its folder must exist.  A stale socket file is replaced, a live one
 * is -EADDRINUSE, a file of another kind -EEXIST.  *out, or a negative errno.
 * Copies ops; borrows loop. */
int  control_open(uv_loop_t *loop, const char *path, const struct control_ops *ops,
                  struct control **out);
/* The same with a listening socket that somebody else opened, whose file and mode are theirs to care for.
 * Takes fd, also when it fails. */
int  control_adopt(uv_loop_t *loop, int fd, const struct control_ops *ops, struct control **out);
/* Closes socket and connections, removes the socket file that was made.  Memory goes back as the loop
 * turns, so it must run until it has nothing left.  NULL is fine. */
void control_close(struct control *c);

#endif
