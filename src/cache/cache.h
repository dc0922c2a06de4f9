/* cache.h - answers by key, shared by all workers.
 *
 * The key is (qname, qtype, DO, CD, route); class is always IN.  An NXDOMAIN
 * lies under qtype 0 and answers every type of its name (RFC 2308 s. 5).  A held
 * failure lies beside the answers, under a key without DO, and answers where
 * nothing of use is known (RFC 9520 s. 3.2).  An answer stays of use for a while
 * past its TTL (RFC 8767); whether it is used then is for the caller to decide.
 *
 * Any thread may call anything.  What is found is copied out under a latch that does
 * not make readers wait for each other; nothing borrowed leaves this folder.
 */
#ifndef LARDER_CACHE_CACHE_H
#define LARDER_CACHE_CACHE_H

#include "cache/conf.h"
#include "dns/answer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache;

enum cache_variant {
	CACHE_DO = 1,
	CACHE_CD = 2,
	CACHE_FAILED = 4,	/* the cache's own: a held failure */
};

struct cache_key {
	const uint8_t *qname;		/* borrowed; lower case */
	uint64_t       name_hash;	/* of qname alone: cache_hash_name() */
	uint32_t       route;
	uint16_t       qtype;
	uint8_t        qname_len;
	uint8_t        variant;		/* enum cache_variant bits */
};

/* A cache the caller frees, or NULL when memory is short.  Copies conf.  secret: 16 random octets. */
struct cache *cache_new(const struct cache_conf *conf, const uint8_t secret[16]);
void          cache_free(struct cache *c);	/* NULL is fine */

/* Called once by each of the threads that conf->workers counts, with its number from 0: they do not wait for each
 * other when they look.  Whoever does not call it shares the place of number 0. */
void cache_enter(unsigned worker);

/* The keyed hash that all tables over names use; flights too. */
uint64_t cache_hash_name(const struct cache *c, const uint8_t *qname, size_t len);
/* The same for a whole key. */
uint64_t cache_hash_key(const struct cache *c, const struct cache_key *key);

enum cache_result {
	CACHE_MISS,
	CACHE_FRESH,		/* copied */
	CACHE_STALE,		/* known, but past its TTL: nothing was copied */
};

/* Who sees to it that an answer is refreshed. */
enum cache_claim {
	CACHE_UNCLAIMED,
	CACHE_CLAIMED,		/* somebody will, or is about to: nobody else need */
	CACHE_GIVEN_UP,		/* it failed, and is not tried again before the TTL ends */
};

struct cache_found {
	struct dns_reply_head head;	/* rcode and counts of what was copied */
	enum dns_answer_fit   fit;
	size_t                len;	/* octets written */
	uint8_t               kind;	/* enum dns_answer_kind */
	uint8_t               hits;	/* in this TTL period, this one included; stays at 255 */
	uint8_t               claim;	/* enum cache_claim */
	bool                  failed;	/* stale, and the last refresh failed not long ago */
	uint32_t              stored;	/* which answer it is: another one at another time */
	uint16_t              epoch;	/* failed, or a failure: the only one in which that counts; 0: always */
	uint32_t              ttl_s;	/* the whole of it … */
	int64_t               left_ms;	/* … and what is left; below 0: past */
};

/* Looks for an answer at now_ms (CLOCK_BOOTTIME).  A fresh one's body goes, TTLs counted down, into room
 * octets at out (see dns_answer_write()). */
enum cache_result cache_find(struct cache *c, const struct cache_key *key, uint64_t now_ms, uint8_t *out,
                             size_t room, struct cache_found *found);
/* Copies an answer that may be stale; then all its TTLs are ttl_s.  False: none of use is there. */
bool cache_find_stale(struct cache *c, const struct cache_key *key, uint64_t now_ms, uint32_t ttl_s,
                      uint8_t *out, size_t room, struct cache_found *found);
/* What is known without counting as a hit: kind, hits, claim, ttl_s and left_ms.  False: nothing of use. */
bool cache_peek(struct cache *c, const struct cache_key *key, uint64_t now_ms, struct cache_found *found);
/* Takes the refresh of the answer that was found.  False: it is taken, has failed, or that answer has gone. */
bool cache_claim(struct cache *c, const struct cache_key *key, uint32_t stored, uint64_t now_ms);
/* What became of it, if the answer is still there: CACHE_UNCLAIMED or CACHE_GIVEN_UP. */
void cache_end_claim(struct cache *c, const struct cache_key *key, uint32_t stored, enum cache_claim how,
                     uint64_t now_ms);
/* How long answers are of use past their TTL; 0 at first. */
void cache_set_stale(struct cache *c, uint32_t stale_s);
/* Start fetching what cache_find() will touch, when several keys are known at once: for all of them the shard,
 * then for all the place in its table, then for all the entry, so that each has had time to come. */
void cache_prefetch_shard(const struct cache *c, const struct cache_key *key);
void cache_prefetch_slot(const struct cache *c, const struct cache_key *key);
void cache_prefetch_entry(const struct cache *c, const struct cache_key *key);

/* Keeps an answer for a->ttl_s, in place of what was there; 0 s: keeps nothing, and data of 0 s removes what was
 * there.  Gives 0, or -ENOSPC
 * when no room could be made, or -EEXIST when a failure met a fresh answer and did not replace it. */
int cache_put(struct cache *c, const struct cache_key *key, const struct dns_answer *a, uint64_t now_ms);
/* How long a failure counts. */
struct cache_hold {
	uint32_t first_s, max_s;	/* RFC 9520 s. 3.2: doubling with each failure in a row */
	uint32_t recheck_s;		/* where stale data is there to be used meanwhile: this */
	uint16_t epoch;			/* handed back on finding it; 0: none */
};

/* Holds a failure (RFC 9520 s. 3.2).  Never replaces a fresh answer, nor stale ones, which are found before
 * it.  Gives what cache_put() gives. */
int cache_put_failure(struct cache *c, const struct cache_key *key, const struct cache_hold *hold,
                      uint64_t now_ms);

/* Each gives how many entries went.  Names in wire form, lower case. */
uint64_t cache_flush_all(struct cache *c);
uint64_t cache_flush_name(struct cache *c, const uint8_t *qname, size_t len);
/* NXDOMAIN, which answers this type too, goes as well. */
uint64_t cache_flush_type(struct cache *c, const uint8_t *qname, size_t len, uint16_t qtype);
uint64_t cache_flush_subtree(struct cache *c, const uint8_t *suffix, size_t len);
/* Answers that joined two routes: when routes change they may be wrong. */
uint64_t cache_flush_crossing(struct cache *c);

/* ---- looking on, without a trace: no hit is counted, and nothing is kept longer for it ---- */

/* How far one has looked.  To be set up by cache_look_at_all() or cache_look_at_name(). */
struct cache_cursor {
	unsigned       shard, end;
	uint32_t       home, mask;		/* within the shard; mask 0: not begun */
	const uint8_t *qname;			/* NULL: all names */
	size_t         qname_len;
};

/* A copy of an entry. */
struct cache_seen {
	struct cache_key   key;			/* qname lies in the room that was given; qtype 0: no such name */
	struct cache_found found;		/* len octets of body … */
	const uint8_t     *body;		/* … in that room, too: TTLs counted down */
};

void cache_look_at_all(const struct cache *c, struct cache_cursor *at);
/* Borrows qname (lower case) as long as at is used. */
void cache_look_at_name(const struct cache *c, struct cache_cursor *at, const uint8_t *qname, size_t len);
/* Copies what is of use, at most max entries in size octets at room, under a latch for a fraction of a millisecond;
 * gives how many, which may be 0 before the end.  Every entry that is there from first to last is met once.  One
 * that is larger than all of room is left out. */
size_t cache_look(struct cache *c, struct cache_cursor *at, uint64_t now_ms, struct cache_seen *out, size_t max,
                  uint8_t *room, size_t size);

static inline bool cache_look_is_over(const struct cache_cursor *at)
{
	return at->shard >= at->end;
}

struct cache_stats {
	uint64_t entries, negative;	/* negative: those that hold no data, failures included */
	uint64_t octets, size_octets;	/* memory in use, bound */
	uint64_t evicted;		/* by pressure, while still of use */
	uint64_t expired;		/* removed after their time */
};
void cache_read_stats(struct cache *c, uint64_t now_ms, struct cache_stats *out);

#endif
