/* course.h - what a question upstream went through, and that in words.
 *
 * A copy of a flight's record, made at the moment its client is answered, so
 * that it can be told later and elsewhere.  The words say where the time went;
 * they never hold a name that was asked for.
 */
#ifndef LARDER_RESOLVE_COURSE_H
#define LARDER_RESOLVE_COURSE_H

#include "net/transport.h"
#include "resolve/flight.h"
#include "stats/stats.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COURSE_UPSTREAM_MAX 128
#define COURSE_WORDS_MAX    384

/* What became of a try. */
enum course_end {
	COURSE_OPEN,		/* when the client was answered: nothing yet */
	COURSE_GIVEN_UP,	/* the same, and its time was over */
	COURSE_ANSWER,		/* an answer, or an alias that leads on */
	COURSE_TRUNCATED,	/* and asked for again by stream */
	COURSE_FORGED,		/* too many messages that did not match */
	COURSE_NO_EDNS,		/* and asked for again without EDNS */
	COURSE_FAILED,		/* a failing reply: rcode */
	COURSE_LOOP,		/* an endless alias chain */
	COURSE_LOST,		/* no reply can come: error */
	COURSE_DROPPED,		/* ended by us, to make room or since it was no more needed */
};

/* Instants are microseconds of CLOCK_MONOTONIC; 0: not (yet) the case. */
struct course_try {
	char                upstream[COURSE_UPSTREAM_MAX];	/* its name, perhaps cut */
	enum course_end     end;
	enum transport_kind kind;
	uint64_t            started_us, sent_us, connected_us, secured_us, first_us, ended_us;
	bool                resumed;		/* TLS: with a ticket */
	int                 error;		/* negative errno */
	uint8_t             rcode;
	bool                for_target;		/* of an alias: asks for what that leads to */
};

struct course {
	bool              flew;			/* it had to be asked upstream; else nothing below counts */
	uint64_t          began_us;		/* before the client asked: it joined */
	uint32_t          hedge_us;		/* after which a try is helped out */
	bool              parked;		/* waits still, all upstreams being down */
	bool              was_parked;		/* did so, for a while at least */
	bool              unfinished;		/* the end was not waited for: stale data, or the client's time was over */
	struct course_try tries[2 * FLIGHT_TRIES];
	unsigned          try_count;
};

/* *c is written whole but for tries that it has not.  f: NULL is fine. */
void course_read(struct course *c, const struct flight *f);
/* Whose answer it was, or who was waited for longest until now: the upstream's name, borrowed from the flight.
 * NULL: nobody; so also for a flight that is NULL. */
const char *course_upstream(const struct flight *f, uint64_t now_us);

/* How the client fared. */
struct course_client {
	uint64_t           asked_us, answered_us;
	enum stats_outcome outcome;
};

/* Where the time went, in ASCII but for what upstreams are called.  Gives out. */
const char *course_tell(const struct course *c, const struct course_client *client, char out[COURSE_WORDS_MAX]);

#endif
