/* cache.h - answers by key, shared by all workers.
 *
 * The key is (qname, qtype, DO, CD, route); class is always IN.  An NXDOMAIN
 * lies under qtype 0 and answers every type of its name (RFC 2308 s. 5).  A held
 * failure lies beside the answers, under a key without DO, and answers where
 * nothing fresh is known (RFC 9520 s. 3.2).
 *
 * Any thread may call anything.  What is found is copied out under a lock that
 * readers share; nothing borrowed leaves this folder.
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

/* The keyed hash that all tables over names use; flights too. */
uint64_t cache_hash_name(const struct cache *c, const uint8_t *qname, size_t len);
/* The same for a whole key. */
uint64_t cache_hash_key(const struct cache *c, const struct cache_key *key);

enum cache_result { CACHE_MISS, CACHE_FRESH };

struct cache_found {
	struct dns_reply_head head;	/* rcode and counts of what was copied */
	enum dns_answer_fit   fit;
	size_t                len;	/* octets written */
	uint8_t               kind;	/* enum dns_answer_kind */
};

/* Looks for a fresh answer at now_ms (CLOCK_BOOTTIME) and copies its body, TTLs counted down, into room
 * octets at out (see dns_answer_write()). */
enum cache_result cache_find(struct cache *c, const struct cache_key *key, uint64_t now_ms, uint8_t *out,
                             size_t room, struct cache_found *found);
/* Start fetching what cache_find() will touch, when several keys are known at once: for all of them the shard,
 * then for all the place in its table, then for all the entry, so that each has had time to come. */
void cache_prefetch_shard(const struct cache *c, const struct cache_key *key);
void cache_prefetch_slot(const struct cache *c, const struct cache_key *key);
void cache_prefetch_entry(const struct cache *c, const struct cache_key *key);

/* Keeps an answer for a->ttl_s, in place of what was there; 0 s: keeps nothing.  Gives 0, or -ENOSPC
 * when no room could be made, or -EEXIST when a failure met a fresh answer and did not replace it. */
int cache_put(struct cache *c, const struct cache_key *key, const struct dns_answer *a, uint64_t now_ms);
/* Holds a failure (RFC 9520 s. 3.2): first_s, doubling with each failure in a row up to max_s.  Never
 * replaces a fresh answer.  Gives what cache_put() gives. */
int cache_put_failure(struct cache *c, const struct cache_key *key, uint32_t first_s, uint32_t max_s,
                      uint64_t now_ms);

/* Each gives how many entries went.  Names in wire form, lower case. */
uint64_t cache_flush_all(struct cache *c);
uint64_t cache_flush_name(struct cache *c, const uint8_t *qname, size_t len);
/* NXDOMAIN, which answers this type too, goes as well. */
uint64_t cache_flush_type(struct cache *c, const uint8_t *qname, size_t len, uint16_t qtype);
uint64_t cache_flush_subtree(struct cache *c, const uint8_t *suffix, size_t len);
/* Answers that joined two routes: when routes change they may be wrong. */
uint64_t cache_flush_crossing(struct cache *c);

struct cache_stats {
	uint64_t entries, negative;	/* negative: those that hold no data, failures included */
	uint64_t octets, size_octets;	/* memory in use, bound */
	uint64_t evicted;		/* by pressure, while still of use */
	uint64_t expired;		/* removed after their time */
};
void cache_read_stats(struct cache *c, uint64_t now_ms, struct cache_stats *out);

#endif
