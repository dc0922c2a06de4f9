/* trace.h - one question, asked as a client would ask it, and told of step by step.
 *
 * A trace is a client of its own: its message goes the way of all messages, and
 * its reply comes back by a path that leads here.  Nothing is decided otherwise
 * for it, and nobody else pays for it: what is told is read from the flight at
 * the moment the reply is given.
 */
#ifndef LARDER_RESOLVE_TRACE_H
#define LARDER_RESOLVE_TRACE_H

#include "dns/message.h"
#include "net/transport.h"
#include "resolve/flight.h"
#include "stats/stats.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct resolver;

struct trace_question {
	struct dns_name name;		/* lower case */
	uint16_t        qtype;
	bool            dnssec_ok, checking_disabled;
};

/* What became of a try. */
enum trace_end {
	TRACE_OPEN,		/* when the client was answered: nothing yet */
	TRACE_GIVEN_UP,		/* the same, and its time was over */
	TRACE_ANSWER,		/* an answer, or an alias that leads on */
	TRACE_TRUNCATED,	/* and asked for again by stream */
	TRACE_FORGED,		/* too many messages that did not match */
	TRACE_NO_EDNS,		/* and asked for again without EDNS */
	TRACE_FAILED,		/* a failing reply: rcode */
	TRACE_LOOP,		/* an endless alias chain */
	TRACE_LOST,		/* no reply can come: error */
	TRACE_DROPPED,		/* ended by us, to make room or since it was no more needed */
};

/* Instants are microseconds of CLOCK_MONOTONIC; 0: not (yet) the case. */
struct trace_try {
	char                upstream[128];	/* its name, perhaps cut */
	enum trace_end      end;
	enum transport_kind kind;
	uint64_t            started_us, sent_us, connected_us, secured_us, ended_us;
	bool                resumed;		/* TLS: with a ticket */
	int                 error;		/* negative errno */
	uint8_t             rcode;
	bool                for_target;		/* of an alias: asks for what that leads to */
};

struct trace_report {
	struct trace_question question;
	enum stats_outcome    outcome;		/* how clients are counted that fare like it */
	uint64_t         ordered_us;		/* by whoever wants to know */
	uint64_t         asked_us;		/* the worker has taken it up */
	uint64_t         answered_us;
	/* Of a question that had to be asked upstream. */
	bool             flew;
	uint64_t         began_us;		/* before asked_us: joined */
	uint32_t         hedge_us;		/* after which a try is helped out */
	bool             parked;		/* waits still, all upstreams being down */
	bool             unfinished;		/* the answer was not waited for: stale data, or the client's time was over */
	struct trace_try tries[2 * FLIGHT_TRIES];
	unsigned         try_count;
	size_t           reply_len;
	uint8_t          reply[DNS_MESSAGE_MAX];
};

/* Asks on r's thread.  done() is called there, once, perhaps before this returns; the report is the callee's, who
 * frees it.  It is NULL where there was no memory.  ordered_us: see above. */
void trace_begin(struct resolver *r, const struct trace_question *q, uint64_t ordered_us,
                 void (*done)(void *arg, struct trace_report *report), void *arg);

#endif
