/* shard.h - one shard of the cache: a table, two queues, and their memory.
 *
 * The owner (cache.c) holds the latch: for reading around shard_find() and
 * shard_touch(), for writing around everything else.
 */
#ifndef LARDER_CACHE_SHARD_H
#define LARDER_CACHE_SHARD_H

#include "cache/cache.h"
#include "cache/latch.h"
#include "cache/pool.h"

#include <stdatomic.h>

enum entry_mark {
	ENTRY_CROSSES = 1,	/* an alias led to names of another route */
	ENTRY_ALIAS = 2,	/* the name was an alias */
	ENTRY_AUTHENTIC = 4,
};

/* One answer: header, qname, TTL offsets, body.  No pointers: it can be moved and written to disk. */
struct entry {
	uint32_t        pool_word;	/* the pool's */
	pool_ref        newer, older;	/* in its queue */
	uint32_t        tag;		/* hash of the key */
	uint32_t        route;
	uint32_t        stored;		/* sixteenths of a second of CLOCK_BOOTTIME */
	uint32_t        ttl_s;
	uint16_t        qtype;
	uint16_t        ancount, nscount;
	union {
		uint16_t arcount;
		uint16_t epoch;		/* of a failure: it counts in this one only; 0: in all */
	};
	uint16_t        ttl_count;
	uint16_t        body_len, required_len;
	uint8_t         qname_len;
	uint8_t         variant;
	uint8_t         kind, rcode;
	_Atomic uint8_t seen;		/* SIEVE: asked for since the hand came by */
	_Atomic uint8_t hits;		/* in this TTL period; stays at 255 */
	union {
		uint8_t         failures;	/* of a failure: in a row */
		_Atomic uint8_t claim;		/* of an answer: enum cache_claim */
	};
	uint8_t         marks;		/* enum entry_mark bits */
	uint8_t         octets[];	/* qname, padding to 2, ttl_at[], body */
};

enum shard_queue { QUEUE_POSITIVE, QUEUE_NEGATIVE, QUEUES };

/* A SIEVE queue (Zhang et al., NSDI 2024): the hand goes from old to new, spares what was seen, and
 * nothing moves on a hit. */
struct sieve {
	pool_ref newest, oldest, hand;
	uint64_t entries, octets;
};

/* Tag above, ref below; 0: empty.  One word, in a region that stays where it is, so that shard_prefetch() may
 * look without the latch: what it sees may be wrong, but never out of bounds. */
typedef _Atomic uint64_t slot;

struct shard {
	struct latch     latch;
	slot            *slots;		/* linear probing; the region is as large as the budget can need */
	size_t           slots_reserved;	/* octets */
	_Atomic uint32_t slot_mask;	/* slots in use - 1; a power of two - 1 */
	uint32_t         count;
	struct pool      pool;
	struct sieve     queue[QUEUES];
	size_t           budget;	/* octets for pool and slots together */
	uint64_t         evicted, expired;
	_Atomic uint32_t stale_s;	/* how long answers are of use past their TTL */
} __attribute__((aligned(64)));

int  shard_init(struct shard *s, size_t budget, unsigned workers);	/* 0 or -ENOMEM */
void shard_done(struct shard *s);

#define SHARD_AHEAD_MAX 160u	/* sixteenths of a second that the clocks of two threads may be apart */

/* In sixteenths of a second, which wrap after eight years: the difference is right across the wrap.  0 for an entry
 * that was stored a moment after now: by another thread, or as of the next sixteenth. */
static inline uint32_t shard_age(const struct entry *e, uint32_t now)
{
	uint32_t age = now - e->stored;

	return age > UINT32_MAX - SHARD_AHEAD_MAX ? 0 : age;
}

uint32_t      shard_time(uint64_t now_ms);		/* as in entry.stored */
bool          shard_is_fresh(const struct entry *e, uint32_t now);
bool          shard_is_useful(const struct shard *s, const struct entry *e, uint32_t now);	/* fresh or stale */
struct entry *shard_find(const struct shard *s, const struct cache_key *key, uint32_t tag);
void          shard_answer(const struct entry *e, struct dns_answer *out);	/* borrows from e */
uint8_t       shard_touch(struct entry *e);		/* gives its hits in this TTL period */
/* Without the latch, and only hints: the shard itself, the place in the table, the entry that it names. */
void          shard_prefetch(const struct shard *s);
void          shard_prefetch_slot(const struct shard *s, uint32_t tag);
void          shard_prefetch_entry(const struct shard *s, uint32_t tag);

/* A new entry for key with room for a, in place of an old one; NULL when no room could be made. */
struct entry *shard_store(struct shard *s, const struct cache_key *key, uint32_t tag,
                          const struct dns_answer *a, uint32_t now);
void          shard_remove(struct shard *s, struct entry *e);
/* Removes what wanted() says; gives how many. */
uint64_t      shard_sweep(struct shard *s, bool (*wanted)(const struct entry *e, const void *arg),
                          const void *arg);
/* Calls with each entry that would belong into place home of a table with mask + 1 slots.  The shard's own table has
 * that many slots or has grown from it, so that whoever goes through all homes meets each entry once, whatever comes
 * and goes meanwhile. */
void          shard_visit(const struct shard *s, uint32_t home, uint32_t mask,
                          void (*visit)(void *arg, const struct entry *e), void *arg);
uint32_t      shard_last_home(const struct shard *s);
size_t        shard_octets(const struct shard *s);

#endif
