/* slots.h - the queries of one socket that still wait for their reply.
 *
 * A message ID is a slot's number with a few bits that change whenever the slot
 * is used again, so a reply that comes after its time-out is told from the one
 * that is waited for.
 */
#ifndef BENCH_SLOTS_H
#define BENCH_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "query.h"

enum { SLOTS_BITS = 10, SLOTS_MAX = 1 << SLOTS_BITS };

struct slot {
	uint64_t sent_ns;
	uint8_t label[QUERY_LABEL];
	uint16_t id;
	bool busy;
};

struct slots {
	unsigned busy;		/* how many wait; SLOTS_MAX - busy are in free[] */
	uint16_t free[SLOTS_MAX];
	struct slot slot[SLOTS_MAX];
};

void slots_init(struct slots *s);
struct slot *slots_take(struct slots *s, uint64_t now_ns);	/* NULL when none is free */
struct slot *slots_find(struct slots *s, uint16_t id);		/* NULL: nobody waits for it */
void slots_release(struct slots *s, struct slot *slot);
unsigned slots_expire(struct slots *s, uint64_t before_ns);	/* releases; gives how many */

#endif
