/* events.h - a YAML text as a bounded row of events.
 *
 * libyaml's events, and the mistakes that any YAML file can have whatever it
 * is about: syntax, anchors, tags, too deep nesting.  These are reported here.
 *
 * After a syntax error the row has ended: the event is YAML_NO_EVENT for ever,
 * and all loops over it run out.
 */
#ifndef LARDER_CONF_EVENTS_H
#define LARDER_CONF_EVENTS_H

#include "conf/report.h"

#include <stdbool.h>
#include <stdint.h>
#include <yaml.h>

struct conf_events {
	yaml_parser_t       yaml;
	yaml_event_t        event;	/* the one to look at */
	bool                ended;
	unsigned            depth;
	struct conf_report *report;
	uint32_t            source;
};

/* Borrows report and its source's text until conf_events_done().  0 or -ENOMEM. */
int  conf_events_init(struct conf_events *e, struct conf_report *report, uint32_t source);
void conf_events_done(struct conf_events *e);
void conf_events_next(struct conf_events *e);
/* The next element of a list, or key of a mapping; false behind the last. */
bool conf_events_element(struct conf_events *e);
/* From the first event of a node to its last. */
void conf_events_skip(struct conf_events *e);
/* No more events, because of a mistake that has been reported. */
void conf_events_end(struct conf_events *e);

struct conf_mark conf_events_mark(const struct conf_events *e);
/* A scalar of which nothing at all is written, not even quotes. */
bool        conf_events_is_empty(const struct conf_events *e);
const char *conf_events_kind(const struct conf_events *e);	/* "a list" */

#endif
