/* cache.c - the shards, and what is asked of them.
 *
 * A shard is chosen by the hash of the name alone, so that all types of a name,
 * and its NXDOMAIN, lie under one latch.
 */
#include "cache/cache.h"

#include "base/siphash.h"
#include "cache/shard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SHARD_OCTETS ((size_t)1 << 20)
#define SHARDS_MIN   8u
#define SHARDS_MAX   256u
#define PAGE         4096u
#define TICK_MS      62u		/* shard_time() rounds down by no more; with this it rounds up */
#define LOOK_HOMES   1024u	/* looked at under one latch: some 50 us in a full table */

struct cache {
	struct siphash_key secret;
	uint64_t           spread;		/* odd and secret: spreads types, variants and routes of a name */
	size_t             size_octets;
	unsigned           shard_count;		/* a power of two */
	struct shard       shards[];
};

static unsigned cache_shards_for(size_t size_octets)
{
	unsigned n = SHARDS_MIN;

	while (n < SHARDS_MAX && n * SHARD_OCTETS < size_octets)
		n *= 2;
	return n;
}

struct cache *cache_new(const struct cache_conf *conf, const uint8_t secret[16])
{
	unsigned      n = cache_shards_for(conf->size_octets);
	size_t        budget = conf->size_octets / n & ~(size_t)(PAGE - 1);
	struct cache *c = aligned_alloc(64, sizeof *c + (64 - sizeof *c % 64) + n * sizeof *c->shards);

	if (!c)
		return NULL;
	memcpy(&c->secret, secret, sizeof c->secret);
	c->spread = (c->secret.k0 ^ c->secret.k1 >> 1) | 1;
	c->size_octets = conf->size_octets;
	for (c->shard_count = 0; c->shard_count < n; c->shard_count++) {
		if (shard_init(&c->shards[c->shard_count], budget, conf->workers) < 0) {
			cache_free(c);
			return NULL;
		}
	}
	return c;
}

void cache_enter(unsigned worker)
{
	latch_take_place(worker);
}

void cache_free(struct cache *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < c->shard_count; i++)
		shard_done(&c->shards[i]);
	free(c);
}

uint64_t cache_hash_name(const struct cache *c, const uint8_t *qname, size_t len)
{
	return siphash13(&c->secret, qname, len);
}

/* The rest of the key, spread by a secret factor: which types of a name fall together cannot be chosen. */
static uint64_t cache_hash_rest(const struct cache *c, uint64_t name_hash, uint16_t qtype, uint8_t variant,
                                uint32_t route)
{
	uint64_t rest = ((uint64_t)route << 32 | (uint64_t)variant << 16 | qtype) + 1;
	uint64_t h = (name_hash ^ rest) * c->spread;

	return h ^ h >> 32;
}

uint64_t cache_hash_key(const struct cache *c, const struct cache_key *key)
{
	return cache_hash_rest(c, key->name_hash, key->qtype, key->variant, key->route);
}

static uint32_t cache_tag(const struct cache *c, const struct cache_key *key)
{
	return (uint32_t)cache_hash_key(c, key);
}

static struct shard *cache_shard(struct cache *c, uint64_t name_hash)
{
	return &c->shards[name_hash >> 48 & (c->shard_count - 1)];
}

static const struct shard *cache_shard_of(const struct cache *c, const struct cache_key *key)
{
	return &c->shards[key->name_hash >> 48 & (c->shard_count - 1)];
}

void cache_prefetch_shard(const struct cache *c, const struct cache_key *key)
{
	shard_prefetch(cache_shard_of(c, key));
}

void cache_prefetch_slot(const struct cache *c, const struct cache_key *key)
{
	shard_prefetch_slot(cache_shard_of(c, key), cache_tag(c, key));
}

void cache_prefetch_entry(const struct cache *c, const struct cache_key *key)
{
	shard_prefetch_entry(cache_shard_of(c, key), cache_tag(c, key));
}

static struct cache_key cache_nxdomain_key(const struct cache_key *key)
{
	struct cache_key k = *key;

	k.qtype = 0;
	return k;
}

static struct cache_key cache_failure_key(const struct cache_key *key)
{
	struct cache_key k = *key;

	k.variant = (uint8_t)((key->variant & CACHE_CD) | CACHE_FAILED);
	return k;
}

static struct entry *cache_get(const struct cache *c, const struct shard *s, const struct cache_key *key)
{
	return shard_find(s, key, cache_tag(c, key));
}

static struct entry *cache_get_fresh(const struct cache *c, const struct shard *s,
                                     const struct cache_key *key, uint32_t now)
{
	struct entry *e = cache_get(c, s, key);

	return e && shard_is_fresh(e, now) ? e : NULL;
}

/* Data for the type, or else NXDOMAIN, which answers every type. */
static struct entry *cache_get_answer(const struct cache *c, const struct shard *s,
                                      const struct cache_key *key, uint32_t now)
{
	struct cache_key nxdomain = cache_nxdomain_key(key);
	struct entry    *e = cache_get_fresh(c, s, key, now);

	return e ? e : cache_get_fresh(c, s, &nxdomain, now);
}

/* A name is an alias or has data, not both: has something learned since shown that what e says of it is over?
 * (RFC 8767 s. 7)  Only for stale data: fresh data have their TTL. */
static bool cache_is_outlived(const struct cache *c, const struct shard *s, const struct cache_key *key,
                              const struct entry *e, uint32_t now)
{
	static const uint16_t types[] = { DNS_A, DNS_AAAA, DNS_CNAME, DNS_HTTPS, DNS_MX, DNS_TXT, DNS_SVCB, DNS_SRV };
	struct cache_key      other = *key;

	for (unsigned i = 0; i < sizeof types / sizeof *types && e->kind == DNS_ANSWER_POSITIVE; i++) {
		const struct entry *o;

		other.qtype = types[i];
		o = cache_get(c, s, &other);
		if (o && o != e && o->kind == DNS_ANSWER_POSITIVE && shard_age(o, now) < shard_age(e, now) &&
		    (o->marks & ENTRY_ALIAS) != (e->marks & ENTRY_ALIAS))
			return true;
	}
	return false;
}

/* Of what is past its TTL, the one that was learned last. */
static struct entry *cache_get_stale(const struct cache *c, const struct shard *s,
                                     const struct cache_key *key, uint32_t now)
{
	struct cache_key nxdomain = cache_nxdomain_key(key);
	struct entry    *e = cache_get(c, s, key), *n = cache_get(c, s, &nxdomain);

	if (!atomic_load_explicit(&s->stale_s, memory_order_relaxed))
		return NULL;
	if (e && !shard_is_useful(s, e, now))
		e = NULL;
	if (n && !shard_is_useful(s, n, now))
		n = NULL;
	if (n && (!e || shard_age(e, now) > shard_age(n, now)))
		return n;
	return e && cache_is_outlived(c, s, key, e, now) ? NULL : e;
}

static struct entry *cache_get_useful(const struct cache *c, const struct shard *s,
                                      const struct cache_key *key, uint32_t now)
{
	struct entry *e = cache_get_answer(c, s, key, now);

	return e ? e : cache_get_stale(c, s, key, now);
}

static void cache_forget(const struct cache *c, struct shard *s, const struct cache_key *key)
{
	struct entry *e = cache_get(c, s, key);

	if (e)
		shard_remove(s, e);
}

/* What there is to say of an entry, whether or not it is copied. */
static void cache_describe(const struct entry *e, uint32_t now, struct cache_found *found)
{
	found->kind = e->kind;
	found->claim = e->kind == DNS_ANSWER_FAILURE ? CACHE_UNCLAIMED :
	               atomic_load_explicit(&e->claim, memory_order_relaxed);
	found->failed = false;
	found->epoch = e->kind == DNS_ANSWER_FAILURE ? e->epoch : 0;
	found->stored = e->stored;
	found->ttl_s = e->ttl_s;
	found->left_ms = ((int64_t)e->ttl_s * 16 - (int64_t)shard_age(e, now)) * 1000 / 16;
}

/* Copies it, TTLs lowered by its age, and counts the hit. */
static void cache_copy(struct entry *e, uint32_t age_s, uint8_t *out, size_t room, struct cache_found *found,
                       struct dns_answer *a)
{
	shard_answer(e, a);
	found->head = (struct dns_reply_head){ .rcode = a->rcode, .ede = DNS_EDE_NONE,
		                               .flags = a->authentic ? DNS_AD : 0 };
	found->fit = dns_answer_write(a, age_s, out, room, &found->head, &found->len);
	found->hits = shard_touch(e);
}

enum cache_result cache_find(struct cache *c, const struct cache_key *key, uint64_t now_ms, uint8_t *out,
                             size_t room, struct cache_found *found)
{
	struct shard     *s = cache_shard(c, key->name_hash);
	uint32_t          now = shard_time(now_ms);
	struct cache_key  failure = cache_failure_key(key);
	struct entry     *e, *failed;
	struct dns_answer a;
	enum cache_result result = CACHE_FRESH;

	latch_read(&s->latch);
	e = cache_get_answer(c, s, key, now);
	if (!e) {
		failed = cache_get_fresh(c, s, &failure, now);
		e = cache_get_stale(c, s, key, now);
		result = e ? CACHE_STALE : failed ? CACHE_FRESH : CACHE_MISS;
		e = e ? e : failed;
	}
	if (e)
		cache_describe(e, now, found);
	if (result == CACHE_STALE && failed) {
		found->failed = true;
		found->epoch = failed->epoch;
	}
	if (result == CACHE_FRESH)
		cache_copy(e, shard_age(e, now) / 16, out, room, found, &a);
	latch_end_read(&s->latch);
	return result;
}

bool cache_find_stale(struct cache *c, const struct cache_key *key, uint64_t now_ms, uint32_t ttl_s,
                      uint8_t *out, size_t room, struct cache_found *found)
{
	struct shard     *s = cache_shard(c, key->name_hash);
	uint32_t          now = shard_time(now_ms);
	struct entry     *e;
	struct dns_answer a;

	latch_read(&s->latch);
	e = cache_get_useful(c, s, key, now);
	if (e) {
		cache_describe(e, now, found);
		/* Somebody may have brought a fresh one meanwhile. */
		cache_copy(e, found->left_ms > 0 ? shard_age(e, now) / 16 : 0, out, room, found, &a);
		if (found->left_ms <= 0) {
			dns_answer_set_ttls(&a, ttl_s, out, found->len);
			found->head.flags &= (uint16_t)~DNS_AD;		/* the signatures may have run out */
		}
	}
	latch_end_read(&s->latch);
	return e;
}

bool cache_peek(struct cache *c, const struct cache_key *key, uint64_t now_ms, struct cache_found *found)
{
	struct shard *s = cache_shard(c, key->name_hash);
	uint32_t      now = shard_time(now_ms);
	struct entry *e;

	latch_read(&s->latch);
	e = cache_get_useful(c, s, key, now);
	if (e) {
		cache_describe(e, now, found);
		found->hits = atomic_load_explicit(&e->hits, memory_order_relaxed);
	}
	latch_end_read(&s->latch);
	return e;
}

bool cache_claim(struct cache *c, const struct cache_key *key, uint32_t stored, uint64_t now_ms)
{
	struct shard *s = cache_shard(c, key->name_hash);
	struct entry *e;
	uint8_t       free = CACHE_UNCLAIMED;
	bool          taken;

	latch_read(&s->latch);
	e = cache_get_useful(c, s, key, shard_time(now_ms));
	taken = e && e->stored == stored && atomic_compare_exchange_strong(&e->claim, &free, CACHE_CLAIMED);
	latch_end_read(&s->latch);
	return taken;
}

void cache_end_claim(struct cache *c, const struct cache_key *key, uint32_t stored, enum cache_claim how,
                     uint64_t now_ms)
{
	struct shard *s = cache_shard(c, key->name_hash);
	struct entry *e;
	uint8_t       ours = CACHE_CLAIMED;

	latch_read(&s->latch);
	e = cache_get_useful(c, s, key, shard_time(now_ms));
	if (e && e->stored == stored)
		atomic_compare_exchange_strong(&e->claim, &ours, (uint8_t)how);
	latch_end_read(&s->latch);
}

void cache_set_stale(struct cache *c, uint32_t stale_s)
{
	for (unsigned i = 0; i < c->shard_count; i++)
		atomic_store_explicit(&c->shards[i].stale_s, stale_s, memory_order_relaxed);
}

/* An answer that is not kept.  After data what was there is no longer true; a denial of which nobody says how
 * long it holds leaves it. */
static void cache_pass(const struct cache *c, struct shard *s, const struct cache_key *key,
                       const struct dns_answer *a)
{
	struct cache_key nxdomain = cache_nxdomain_key(key), failure = cache_failure_key(key);

	latch_write(&s->latch);
	if (a->kind == DNS_ANSWER_POSITIVE) {
		cache_forget(c, s, key);
		cache_forget(c, s, &nxdomain);
	}
	cache_forget(c, s, &failure);
	latch_end_write(&s->latch);
}

int cache_put(struct cache *c, const struct cache_key *key, const struct dns_answer *a, uint64_t now_ms)
{
	struct shard    *s = cache_shard(c, key->name_hash);
	struct cache_key nxdomain = cache_nxdomain_key(key), failure = cache_failure_key(key), at = *key;
	struct entry    *e;

	if (!a->ttl_s) {
		cache_pass(c, s, key, a);
		return 0;
	}
	if (a->kind == DNS_ANSWER_NXDOMAIN)
		at = nxdomain;
	latch_write(&s->latch);
	e = shard_store(s, &at, cache_tag(c, &at), a, shard_time(now_ms));
	/* The name exists after all, or no longer. */
	cache_forget(c, s, a->kind == DNS_ANSWER_NXDOMAIN ? key : &nxdomain);
	cache_forget(c, s, &failure);		/* holds begin anew after a success */
	latch_end_write(&s->latch);
	return e ? 0 : -ENOSPC;
}

static uint32_t cache_hold_s(uint32_t first_s, uint32_t max_s, unsigned failures)
{
	uint64_t hold = (uint64_t)first_s << (failures < 16 ? failures : 16);

	return hold < max_s ? (uint32_t)hold : max_s;
}

/* How often in a row it has failed by now, if the last time is not long ago. */
static unsigned cache_failures(const struct entry *e, uint32_t max_s, uint32_t now)
{
	uint64_t memory_s = e ? (uint64_t)e->ttl_s + max_s : 0;

	return e && shard_age(e, now) / 16 <= memory_s ? e->failures : 0;
}

int cache_put_failure(struct cache *c, const struct cache_key *key, const struct cache_hold *hold,
                      uint64_t now_ms)
{
	struct dns_answer a = { .kind = DNS_ANSWER_FAILURE, .rcode = DNS_SERVFAIL };
	struct shard     *s = cache_shard(c, key->name_hash);
	struct cache_key  at = cache_failure_key(key);
	uint32_t          now = shard_time(now_ms);
	struct entry     *e;
	unsigned          failures;
	int               err = -EEXIST;

	latch_write(&s->latch);
	if (!cache_get_answer(c, s, key, now)) {
		failures = cache_failures(cache_get(c, s, &at), hold->max_s, now);
		a.ttl_s = cache_get_stale(c, s, key, now) ? hold->recheck_s :
		          cache_hold_s(hold->first_s, hold->max_s, failures);
		e = shard_store(s, &at, cache_tag(c, &at), &a, now);
		err = e ? 0 : -ENOSPC;
		if (e) {
			e->failures = (uint8_t)(failures < UINT8_MAX ? failures + 1 : failures);
			e->stored = shard_time(now_ms + TICK_MS);	/* a second is the least that it is held */
			e->epoch = hold->epoch;
		}
	}
	latch_end_write(&s->latch);
	return err;
}

/* ---- looking on ---- */

/* What cache_look() has found so far. */
struct look {
	const struct shard        *shard;
	const struct cache_cursor *at;
	uint32_t                   now;
	struct cache_seen         *out;
	size_t                     count, max;
	uint8_t                   *room;
	size_t                     used, size;
	bool                       full;
};

void cache_look_at_all(const struct cache *c, struct cache_cursor *at)
{
	*at = (struct cache_cursor){ .end = c->shard_count };
}

void cache_look_at_name(const struct cache *c, struct cache_cursor *at, const uint8_t *qname, size_t len)
{
	unsigned shard = cache_hash_name(c, qname, len) >> 48 & (c->shard_count - 1);

	*at = (struct cache_cursor){ .shard = shard, .end = shard + 1, .qname = qname, .qname_len = len };
}

static void look_copy(struct look *l, const struct entry *e)
{
	struct cache_seen *seen = &l->out[l->count++];
	uint8_t           *qname = l->room + l->used, *body = qname + e->qname_len;
	struct dns_answer  a;

	shard_answer(e, &a);
	*seen = (struct cache_seen){
		.key = { .qname = memcpy(qname, e->octets, e->qname_len), .qname_len = e->qname_len,
			 .qtype = e->qtype, .variant = e->variant, .route = e->route },
		.found.head = { .rcode = a.rcode, .ede = DNS_EDE_NONE, .flags = a.authentic ? DNS_AD : 0 },
		.body = body,
	};
	cache_describe(e, l->now, &seen->found);
	seen->found.hits = atomic_load_explicit(&e->hits, memory_order_relaxed);
	seen->found.fit = dns_answer_write(&a, shard_age(e, l->now) / 16, body, a.body_len, &seen->found.head,
	                                   &seen->found.len);
	l->used += e->qname_len + seen->found.len;
}

static void look_visit(void *arg, const struct entry *e)
{
	struct look *l = arg;

	if (!shard_is_useful(l->shard, e, l->now) ||
	    (l->at->qname && (e->qname_len != l->at->qname_len || memcmp(e->octets, l->at->qname, e->qname_len))))
		return;
	if (l->count == l->max || l->size - l->used < (size_t)e->qname_len + e->body_len)
		l->full = true;
	else
		look_copy(l, e);
}

/* A home is met whole or not at all; only one that fills all the room by itself is cut. */
static void look_at_homes(struct look *l, struct cache_cursor *at)
{
	for (unsigned n = 0; n < LOOK_HOMES && at->home <= at->mask; n++) {
		size_t count = l->count, used = l->used;

		shard_visit(l->shard, at->home, at->mask, look_visit, l);
		if (l->full && count) {
			l->count = count;
			l->used = used;
			return;
		}
		at->home++;
		if (l->full)
			return;
	}
}

size_t cache_look(struct cache *c, struct cache_cursor *at, uint64_t now_ms, struct cache_seen *out, size_t max,
                  uint8_t *room, size_t size)
{
	struct shard *s = &c->shards[at->shard];
	struct look   l = { .shard = s, .at = at, .now = shard_time(now_ms), .out = out, .max = max,
		            .room = room, .size = size };

	if (cache_look_is_over(at))
		return 0;
	latch_read(&s->latch);
	if (!at->mask)
		at->mask = shard_last_home(s);
	look_at_homes(&l, at);
	latch_end_read(&s->latch);
	if (at->home > at->mask) {
		at->shard++;
		at->home = at->mask = 0;
	}
	return l.count;
}

/* ---- flushing ---- */

struct flush {
	const uint8_t *name;
	size_t         len;
	uint16_t       qtype;
};

static bool cache_is_any(const struct entry *e, const void *arg)
{
	(void)e;
	(void)arg;
	return true;
}

static bool cache_is_name(const struct entry *e, const void *arg)
{
	const struct flush *f = arg;

	return e->qname_len == f->len && !memcmp(e->octets, f->name, f->len);
}

static bool cache_is_type(const struct entry *e, const void *arg)
{
	const struct flush *f = arg;

	return cache_is_name(e, arg) && (e->qtype == f->qtype || !e->qtype);
}

static bool cache_is_below(const struct entry *e, const void *arg)
{
	const struct flush *f = arg;

	return dns_name_below(e->octets, e->qname_len, f->name, f->len);
}

static bool cache_is_crossing(const struct entry *e, const void *arg)
{
	(void)arg;
	return e->marks & ENTRY_CROSSES;
}

static uint64_t cache_sweep(struct shard *s, bool (*wanted)(const struct entry *, const void *),
                            const struct flush *f)
{
	uint64_t n;

	latch_write(&s->latch);
	n = shard_sweep(s, wanted, f);
	latch_end_write(&s->latch);
	return n;
}

/* One shard at a time, so that no worker waits for longer than that takes. */
static uint64_t cache_sweep_all(struct cache *c, bool (*wanted)(const struct entry *, const void *),
                                const struct flush *f)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < c->shard_count; i++)
		n += cache_sweep(&c->shards[i], wanted, f);
	return n;
}

uint64_t cache_flush_all(struct cache *c)
{
	return cache_sweep_all(c, cache_is_any, NULL);
}

uint64_t cache_flush_name(struct cache *c, const uint8_t *qname, size_t len)
{
	struct flush f = { .name = qname, .len = len };

	return cache_sweep(cache_shard(c, cache_hash_name(c, qname, len)), cache_is_name, &f);
}

uint64_t cache_flush_type(struct cache *c, const uint8_t *qname, size_t len, uint16_t qtype)
{
	struct flush f = { .name = qname, .len = len, .qtype = qtype };

	return cache_sweep(cache_shard(c, cache_hash_name(c, qname, len)), cache_is_type, &f);
}

uint64_t cache_flush_subtree(struct cache *c, const uint8_t *suffix, size_t len)
{
	struct flush f = { .name = suffix, .len = len };

	return cache_sweep_all(c, cache_is_below, &f);
}

uint64_t cache_flush_crossing(struct cache *c)
{
	return cache_sweep_all(c, cache_is_crossing, NULL);
}

void cache_read_stats(struct cache *c, uint64_t now_ms, struct cache_stats *out)
{
	(void)now_ms;
	memset(out, 0, sizeof *out);
	out->size_octets = c->size_octets;
	for (unsigned i = 0; i < c->shard_count; i++) {
		struct shard *s = &c->shards[i];

		latch_read(&s->latch);
		out->entries += s->count;
		out->negative += s->queue[QUEUE_NEGATIVE].entries;
		out->octets += shard_octets(s);
		out->evicted += s->evicted;
		out->expired += s->expired;
		latch_end_read(&s->latch);
	}
}
