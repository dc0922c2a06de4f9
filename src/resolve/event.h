/* event.h - one answered query, as a worker tells it to whoever watches.
 *
 * An event goes through a ring (base/ring.h) to the main thread.  How long a
 * reply made at once has taken is known only when its batch is out; until then
 * its event waits, unpublished.
 */
#ifndef LARDER_RESOLVE_EVENT_H
#define LARDER_RESOLVE_EVENT_H

#include "base/addr.h"
#include "dns/message.h"
#include "net/listener.h"
#include "stats/stats.h"

#include <stddef.h>
#include <stdint.h>

struct ring;

#define EVENT_RING 524288u	/* octets: some 6,000 events */
#define EVENT_UPSTREAM_MAX 127	/* of its name; longer ones are cut */

struct event {
	uint64_t    time_us;		/* when it was answered: CLOCK_MONOTONIC; as watchers see it, CLOCK_REALTIME */
	uint32_t    duration_us;	/* from reading the query to its reply */
	uint16_t    qtype, rcode;
	uint8_t     outcome;		/* enum stats_outcome */
	uint8_t     proto;		/* enum net_proto */
	uint8_t     name_len;		/* 0: the question could not be read */
	uint8_t     upstream_len;	/* 0: nobody was asked */
	struct addr client;
	uint8_t     octets[];		/* the name, lower case, and what the upstream is called */
};

#define EVENT_MAX (sizeof(struct event) + DNS_NAME_MAX + EVENT_UPSTREAM_MAX)

/* What is told.  All is copied. */
struct event_of {
	const struct dns_query *query;
	const struct addr      *client;
	enum net_proto          proto;
	enum stats_outcome      outcome;
	uint16_t                rcode;
	uint64_t                asked_us;
	const char             *upstream;	/* NULL: none */
};

/* Writes it.  answered_us 0: not known yet, so event_settle() has to follow. */
void event_tell(struct ring *to, const struct event_of *what, uint64_t answered_us);
/* Those that waited for it were answered now. */
void event_settle(struct ring *r, uint64_t answered_us);

size_t event_size(const struct event *e);
/* Borrowed from e: wire form. */
static inline const uint8_t *event_name(const struct event *e)
{
	return e->octets;
}
/* Writes it, ended by NUL; NULL: there is none. */
const char *event_upstream(const struct event *e, char out[EVENT_UPSTREAM_MAX + 1]);

#endif
