/* slow.h - the latest queries that clients waited long for, and why.
 *
 * A worker notes them as it answers; the main thread reads them when somebody
 * wants to know.  What is kept is bounded in number, and so is what noting
 * costs: when everything is slow, a few a second are noted and the rest counted.
 */
#ifndef LARDER_RESOLVE_SLOW_H
#define LARDER_RESOLVE_SLOW_H

#include "dns/message.h"
#include "dns/name.h"
#include "resolve/course.h"
#include "stats/stats.h"

#include <stddef.h>
#include <stdint.h>

#define SLOW_QUERIES    100		/* that are kept */
#define SLOW_BURST      SLOW_QUERIES	/* so many at once are noted, … */
#define SLOW_REFILL_US  20000		/* … and one more each time that this passes */

struct slow_query {
	uint64_t           answered_us;	/* when its client was: CLOCK_MONOTONIC, to sort by */
	uint64_t           time_ms;	/* the same of CLOCK_REALTIME */
	uint64_t           duration_us;	/* from reading its query to the reply */
	struct dns_name    name;	/* lower case */
	uint16_t           qtype;
	enum stats_outcome outcome;
	char               upstream[COURSE_UPSTREAM_MAX];	/* whose answer it was, or who was waited for longest, perhaps
								 * cut; "": nobody */
	char               reason[COURSE_WORDS_MAX];	/* in a few words, without the name */
};

struct slows;				/* of one worker */

/* NULL when memory is short. */
struct slows *slows_new(void);
void          slows_free(struct slows *s);	/* NULL is fine */

/* A place for a slow query that was answered now (CLOCK_MONOTONIC), which the worker fills before slows_noted().
 * NULL: it is not to be noted, being one of too many, and is counted. */
struct slow_query *slows_note(struct slows *s, uint64_t now_us);
/* The same with name, type and duration filled in; s may be NULL. */
struct slow_query *slows_note_query(struct slows *s, const struct dns_query *q, uint64_t asked_us, uint64_t now_us);
void               slows_noted(struct slows *s);

/* Copies those that are kept, newest first; gives how many there are.  Adds to *dropped how many were not noted.
 * Any thread. */
size_t slows_read(struct slows *s, struct slow_query out[SLOW_QUERIES], uint64_t *dropped);

#endif
