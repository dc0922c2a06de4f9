/* netwatch.h - notices when the way to an upstream has changed.
 *
 * The kernel tells of every address, link and route that comes or goes
 * (rtnetlink(7)); on a host with containers that is all the time.  So what
 * counts is looked up, a moment after the last news: through which interface,
 * from which address and over which gateway each upstream would be asked.  Only
 * where that has changed are its connections suspect, and what was held against
 * it is forgotten.
 *
 * Runs on the main thread.
 */
#ifndef LARDER_DAEMON_NETWATCH_H
#define LARDER_DAEMON_NETWATCH_H

#include "base/addr.h"

#include <stdbool.h>
#include <uv.h>

/* How this host reaches an address. */
struct netway {
	bool        reachable;
	int         interface;		/* index */
	struct addr source, gateway;	/* without ports; family 0: none */
};

/* As the kernel would route it now.  fd: of netway_open(). */
void netway_find(int fd, const struct addr *to, struct netway *out);
bool netway_equal(const struct netway *a, const struct netway *b);
int  netway_open(void);			/* a descriptor to ask on, or a negative errno */

struct netwatch {
	uv_poll_t  poll;
	uv_timer_t settle;
	int        fd, ask_fd;		/* -1: no netlink here; then nothing is ever noticed */
	void     (*changed)(void *arg);	/* something has: look at each upstream */
	void      *arg;
};

/* Begins to watch.  Without netlink (in some sandboxes) it says so once and does nothing. */
void netwatch_init(struct netwatch *w, uv_loop_t *loop, void (*changed)(void *arg), void *arg);
void netwatch_close(struct netwatch *w);	/* the loop must turn once more */

#endif
