/* truth.h - a made-up namespace for the storm: what is true, said by servers and checked at clients.
 *
 * There are names n0 … in two zones, one of which has a route of its own.  Each
 * has addresses, or nothing, or does not exist, or is an alias to another one,
 * perhaps in the other zone, perhaps in a loop.  Servers say it rightly, in
 * part, or with lies about names that are not theirs; a client may hear only
 * what is true, and no TTL above what has been said.
 */
#ifndef SCENARIO_TRUTH_H
#define SCENARIO_TRUTH_H

#include "packet.h"
#include "server.h"

#define TRUTH_NAMES 60

enum truth_kind { TRUTH_DATA, TRUTH_NOTHING, TRUTH_ABSENT, TRUTH_ALIAS };

/* What one name says of one thing: addresses, texts, its alias, its absence. */
enum truth_item { TRUTH_A, TRUTH_AAAA, TRUTH_TXT, TRUTH_CNAME, TRUTH_DENIAL, TRUTH_ITEMS };

struct truth_name {
	enum truth_kind kind;
	bool            corp;			/* in corp.example, not pub.example */
	unsigned        target;
	uint32_t        ttl_s;
	unsigned        addresses, text_octets;
	/* When a server's last word about this arrives (CLOCK_BOOTTIME, ms); 0: never. */
	uint64_t        said_ms[TRUTH_ITEMS];
};

struct truth {
	struct world     *world;
	struct truth_name names[TRUTH_NAMES];
	bool              stale;	/* data past their TTL may be used, with TTLs of their own */
};

void truth_init(struct truth *t, struct world *w);
/* Name k, in random letter case when mixed. */
void truth_name(struct truth *t, unsigned k, bool mixed, struct dns_name *out);

enum truth_lie {
	TRUTH_NO_LIE,
	TRUTH_WRONG_ID,
	TRUTH_WRONG_NAME,
	TRUTH_GARBLED,			/* cut off somewhere */
};

/* A server's reply to q, which arrives in_us from now.  rcode other than 0: just that.  Gives its length. */
size_t truth_reply(struct truth *t, const struct sent *q, unsigned rcode, bool truncated, enum truth_lie lie,
                   uint64_t in_us, uint8_t out[PACKET_MAX]);
/* What is wrong with what a client has heard; NULL: nothing. */
const char *truth_check(struct truth *t, const struct packet *p);
/* The machine slept: what is on its way arrives so much later. */
void truth_suspend(struct truth *t, uint64_t us);

#endif
