/* slow.h - the latest queries that clients waited long for, and why.
 *
 * A worker notes them as it answers; the main thread reads them when somebody
 * wants to know.
 */
#ifndef LARDER_RESOLVE_SLOW_H
#define LARDER_RESOLVE_SLOW_H

#include "dns/name.h"
#include "stats/stats.h"

#include <stddef.h>
#include <stdint.h>

#define SLOW_QUERIES      100		/* that are kept */
#define SLOW_UPSTREAM_MAX 128
#define SLOW_REASON_MAX   384

struct slow_query {
	uint64_t           time_ms;	/* of CLOCK_REALTIME, when the client was answered */
	uint64_t           duration_us;	/* from reading its query to the reply */
	struct dns_name    name;	/* as the client wrote it */
	uint16_t           qtype;
	enum stats_outcome outcome;
	char               upstream[SLOW_UPSTREAM_MAX];	/* whose answer it was, or who was waited for longest, perhaps
							 * cut; "": nobody */
	char               reason[SLOW_REASON_MAX];	/* in a few words, without the name */
};

#endif
