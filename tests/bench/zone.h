/* zone.h - the names of the incident bench, their TTLs, and who asked for them.
 *
 * n0000000 … are the popular names, in the order of their popularity; u0000000
 * … are names that are asked once each.  A name's TTL is fixed: it is made from
 * its number.
 *
 * Two things are counted for each popular name.  A *period* begins with a query
 * that comes when no period runs, and lasts one TTL; in countdown mode answers
 * say what is left of it, as those of a cache do, whichever face is asked.  A
 * *flight* is what the server under test has under way for one name: it begins
 * with a query that comes when no earlier one waits for its answer, and every
 * further query until that answer leaves belongs to it.
 */
#ifndef BENCH_ZONE_H
#define BENCH_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZONE_GIVEN_UP_NS 5000000000u	/* a flight without an answer is over then */

enum { ZONE_NAMES_MAX = 100000, ZONE_NEW_MAX = 1 << 20 };

struct zone_name {
	uint64_t period_end_ns, flight_end_ns;
	uint32_t queries, periods;
};

struct zone {
	/* set before the first query */
	uint32_t names, ttl_min_s, ttl_max_s;
	bool countdown;

	uint64_t queries_new, queries_other, flights;
	struct zone_name name[ZONE_NAMES_MAX];
	uint64_t new_flight_end_ns[ZONE_NEW_MAX];
};

/* A question by its first label, and its place in the zone. */
struct zone_question {
	char letter;		/* 'n', 'u', or 0 for any other name */
	uint32_t number;	/* of other names: 0 */
};

uint32_t zone_ttl_s(const struct zone *z, uint32_t number);
struct zone_question zone_question(const struct zone *z, const uint8_t *label);
/* Notes a query that is answered at due_ns (0: never). counted: it goes into the counts.
 * Gives the TTL of the answer. */
uint32_t zone_query(struct zone *z, const struct zone_question *q, uint64_t now_ns, uint64_t due_ns,
		    bool counted);

#endif
