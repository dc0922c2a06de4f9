/* http_sight.h - all numbers at one moment, and what happened between two. */
#ifndef LARDER_CONTROL_HTTP_SIGHT_H
#define LARDER_CONTROL_HTTP_SIGHT_H

#include "control/control.h"

#include <stdbool.h>
#include <stddef.h>

struct http_sight {
	struct control_status    status;
	struct stats_view        stats;
	struct control_upstream *upstreams;	/* owned */
	size_t                   upstream_count;
	bool                     kept;		/* upstreams have no name or trouble, but an url of their own; status
						 * has numbers only */
};

/* Looks now.  Texts are borrowed until the loop turns.  0 or -ENOMEM. */
int  http_sight_take(struct http_sight *s, const struct control_ops *ops);
/* Makes it last beyond the turn of the loop.  0, or -ENOMEM with *s done. */
int  http_sight_keep(struct http_sight *s);
/* Leaves in *s what was counted since then: counters, outcomes, histograms, evictions; and how long that is, as
 * status.uptime_s.  Upstreams are told by their URL; what began anew meanwhile counts from its beginning. */
void http_sight_since(struct http_sight *s, const struct http_sight *then);
void http_sight_done(struct http_sight *s);	/* a zeroed one is fine; leaves one */

#endif
