/* connection.h - the control socket as its two halves see it.
 *
 * control.c makes and unmakes a struct control; connection.c adds and removes
 * what hangs from it.  Memory goes back when the last holder lets go: the
 * listener, the timer, the handle that turns callers away, and each connection.
 */
#ifndef LARDER_CONTROL_CONNECTION_H
#define LARDER_CONTROL_CONNECTION_H

#include "base/list.h"
#include "control/bind.h"
#include "control/control.h"
#include "control/http_checkup.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define CONTROL_CONNECTIONS_MAX 64
#define CONTROL_MESSAGE_MAX     65536	/* octets of a call, as io.larder.varlink says */
#define CONTROL_STALL_MS        10000	/* a reply not read for so long ends its connection */

struct control {
	uv_loop_t         *loop;		/* borrowed */
	struct control_ops ops;
	struct bind_file   file;
	uv_pipe_t          listener;
	uv_pipe_t          turned_away;		/* takes a caller there is no memory for */
	bool               turning_away;
	bool               caller_waits;	/* for that to end */
	struct list        connections;		/* open ones, the least recently active first */
	unsigned           connection_count;	/* of that list */
	unsigned           holders;
	uint64_t           stall_ms;
	struct checkup     checkup;
	uv_timer_t         mark;		/* for it */
};

void control_unhold(struct control *c);		/* the last one frees c */

/* Takes the caller who waits at the listener; when there are too many, the one that has been
 * quiet longest gives way.  0, or -ENOMEM: the caller still waits. */
int  connection_accept(struct control *c);
void connection_close_all(struct control *c);

#endif
