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
#include "resolve/course.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct resolver;

struct trace_question {
	struct dns_name name;		/* lower case */
	uint16_t        qtype;
	bool            dnssec_ok, checking_disabled;
};

struct trace_report {
	struct trace_question question;
	enum stats_outcome    outcome;		/* how clients are counted that fare like it */
	uint64_t         ordered_us;		/* by whoever wants to know */
	uint64_t         asked_us;		/* the worker has taken it up */
	uint64_t         answered_us;
	struct course    course;
	size_t           reply_len;
	uint8_t          reply[DNS_MESSAGE_MAX];
};

/* Asks on r's thread.  done() is called there, once, perhaps before this returns; the report is the callee's, who
 * frees it.  It is NULL where there was no memory.  ordered_us: see above. */
void trace_begin(struct resolver *r, const struct trace_question *q, uint64_t ordered_us,
                 void (*done)(void *arg, struct trace_report *report), void *arg);

#endif
