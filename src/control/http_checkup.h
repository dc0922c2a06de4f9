/* http_checkup.h - is DNS well?
 *
 * Judged by what happened lately, between half a minute and a minute: what went
 * wrong yesterday is no reason to call somebody today.
 */
#ifndef LARDER_CONTROL_HTTP_CHECKUP_H
#define LARDER_CONTROL_HTTP_CHECKUP_H

#include "control/http_sight.h"

#include <jansson.h>

#define CHECKUP_MARK_MS 30000	/* how often checkup_mark() is to be called */

enum checkup_state {
	CHECKUP_HEALTHY,
	CHECKUP_DEGRADED,	/* clients are answered, but something is wrong */
	CHECKUP_FAILING,		/* some names that are not in the cache cannot be resolved */
};

/* Zeroed: nothing was seen before, so everything since the start counts. */
struct checkup {
	struct http_sight marks[2];	/* kept; the older first, the newer may be missing */
};

void checkup_mark(struct checkup *c, const struct control_ops *ops);
void checkup_done(struct checkup *c);

/* Each turns *now into what happened lately and gives a document for it, or NULL when memory is short. */
json_t *checkup_report(const struct checkup *c, struct http_sight *now, enum checkup_state *state);
json_t *checkup_report_network(const struct checkup *c, struct http_sight *now, enum checkup_state *state);

#endif
