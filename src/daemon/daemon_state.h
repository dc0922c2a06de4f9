/* daemon_state.h - the process's one context, for the main thread's files alone: daemon.c, answers.c,
 * listening.c and user.c. */
#ifndef LARDER_DAEMON_DAEMON_STATE_H
#define LARDER_DAEMON_DAEMON_STATE_H

#include "base/clock.h"
#include "cache/cache.h"
#include "conf/conf.h"
#include "control/control.h"
#include "control/http.h"
#include "daemon/activation.h"
#include "daemon/bootstrap.h"
#include "daemon/events.h"
#include "daemon/netwatch.h"
#include "daemon/query_log.h"
#include "daemon/service.h"
#include "daemon/tickets.h"
#include "daemon/traces.h"
#include "daemon/worker.h"
#include "dns/name.h"

#include <stdbool.h>
#include <sys/stat.h>
#include <uv.h>

/* An address that is being listened on. */
struct listening {
	struct addr addr;
	char        text[ADDR_TEXT_MAX];
};

/* How an upstream is reached. */
struct upstream_way {
	const struct upstream *upstream;	/* for comparing only: it may have gone */
	struct addr            to;		/* family 0: not known */
	struct netway          way;
};

/* What tells one state of a file from the next. */
struct file_mark {
	dev_t           dev;
	ino_t           ino;
	off_t           size;
	struct timespec mtime;
};

struct daemon {
	const struct conf_args *args;		/* borrowed */
	struct activation      *handed;		/* borrowed */
	struct conf            *conf;		/* a reference */
	struct setup           *setup;		/* a reference; holds one to conf */
	struct cache           *cache;
	struct worker         **workers;
	unsigned                worker_count, started;
	struct listening       *listening;
	size_t                  listening_count;
	struct control         *control;	/* NULL: none */
	struct http            *http;		/* NULL: none was ever configured */
	struct service          service;
	struct traces           traces;
	struct tickets          tickets;
	struct events           events;
	struct query_log        query_log;
	uv_loop_t               loop;
	uv_signal_t             on_hup, on_term, on_int;
	uv_timer_t              resolv_timer;
	struct netwatch         netwatch;
	struct bootstrap       *bootstrap;
	struct upstream_way    *netways;	/* as they were when looked at last */
	size_t                  netway_count;
	struct file_mark        resolv_mark;
	uint64_t                started_us, loaded_us;
	const char             *listen_texts[64];	/* for control_status … */
	char                    trouble[DNS_NAME_TEXT_MAX + 1024 + 128];	/* … too */
	bool                    control_is_ours;	/* we made its file */
	bool                    refused;	/* the last reload was */
	bool                    stopping;
};

static inline uint64_t daemon_now_us(void)
{
	return clock_mono_us(clock_system());
}

/* daemon.c: reads the configuration again.  0, or -EINVAL with *report, and then the old one stays in force. */
int  daemon_reload(struct daemon *d, char **report);

/* listening.c: opens what conf lists and is not open yet.  False: it is said why, and what was opened stays open. */
bool daemon_listen_all(struct daemon *d, const struct conf *conf);
/* Closes what this configuration does not list. */
void daemon_unlisten_others(struct daemon *d, const struct conf *conf);
/* Says when it lets in nobody from where it listens. */
void daemon_warn_of_access(const struct conf *conf);

/* user.c: the group whose members may speak to us, or otherwise where there is none. */
gid_t daemon_control_group(gid_t otherwise);
/* Becomes the user that the configuration names, if any.  False: it cannot, and it is said why. */
bool  daemon_drop_root(const struct daemon *d);

/* answers.c: opens the control socket.  False: larderd must not start, and it is said why. */
bool daemon_open_control(struct daemon *d);
/* The same for HTTP, where conf, which becomes d->conf, says.  Without it larderd goes on. */
void daemon_listen_http(struct daemon *d, const struct conf *conf);

#endif
