/* shard.c - table, queues and memory of one shard.
 *
 * Always true under the latch:
 *   - every entry is in exactly one slot and one queue;
 *   - pool and slots together stay within the budget;
 *   - negative entries hold at most a quarter of it.
 */
#include "cache/shard.h"

#include "dns/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SLOTS_FIRST    256u
#define ENTRY_SMALLEST 48		/* octets: none is smaller */
#define NEGATIVE_SHARE 4	/* one part in …, of octets and of slots */
#define SLOTS_SHARE    8

static struct entry *shard_at(const struct shard *s, pool_ref ref)
{
	return pool_at(&s->pool, ref);
}

static pool_ref shard_ref(const struct shard *s, const struct entry *e)
{
	return (pool_ref)(((const uint8_t *)e - s->pool.base) / POOL_GRANULE);
}

static enum shard_queue shard_queue_of(uint8_t kind)
{
	return kind == DNS_ANSWER_POSITIVE ? QUEUE_POSITIVE : QUEUE_NEGATIVE;
}

uint32_t shard_time(uint64_t now_ms)
{
	return (uint32_t)(now_ms * 16 / 1000);
}

static uint32_t shard_age_s(const struct entry *e, uint32_t now)
{
	return shard_age(e, now) / 16;
}

bool shard_is_fresh(const struct entry *e, uint32_t now)
{
	return shard_age_s(e, now) < e->ttl_s;
}

bool shard_is_useful(const struct shard *s, const struct entry *e, uint32_t now)
{
	uint64_t stale_s = e->kind == DNS_ANSWER_FAILURE ? 0 :
	                   atomic_load_explicit(&s->stale_s, memory_order_relaxed);

	return shard_age_s(e, now) < e->ttl_s + stale_s;
}

/* ---- the table ---- */

static uint64_t slot_load(const slot *at)
{
	return atomic_load_explicit(at, memory_order_relaxed);
}

static void slot_store(slot *at, uint64_t word)
{
	atomic_store_explicit(at, word, memory_order_relaxed);
}

static uint32_t slot_tag(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static pool_ref slot_ref(uint64_t word)
{
	return (pool_ref)word;
}

static uint32_t shard_mask(const struct shard *s)
{
	return atomic_load_explicit(&s->slot_mask, memory_order_relaxed);
}

static bool shard_is_key(const struct entry *e, const struct cache_key *key)
{
	return e->qtype == key->qtype && e->variant == key->variant && e->route == key->route &&
	       e->qname_len == key->qname_len && !memcmp(e->octets, key->qname, key->qname_len);
}

struct entry *shard_find(const struct shard *s, const struct cache_key *key, uint32_t tag)
{
	uint32_t mask = shard_mask(s);
	uint64_t word;

	for (uint32_t i = tag & mask; (word = slot_load(&s->slots[i])); i = (i + 1) & mask) {
		struct entry *e;

		if (slot_tag(word) != tag)
			continue;
		e = shard_at(s, slot_ref(word));
		if (shard_is_key(e, key))
			return e;
	}
	return NULL;
}

void shard_prefetch(const struct shard *s)
{
	__builtin_prefetch(s);
	__builtin_prefetch((const uint8_t *)s + 64);
}

void shard_prefetch_slot(const struct shard *s, uint32_t tag)
{
	__builtin_prefetch((const void *)&s->slots[tag & shard_mask(s)]);
}

void shard_prefetch_entry(const struct shard *s, uint32_t tag)
{
	uint32_t mask = shard_mask(s);
	uint64_t word;

	for (uint32_t i = tag & mask; (word = slot_load(&s->slots[i])); i = (i + 1) & mask) {
		if (slot_tag(word) != tag)
			continue;
		/* an address has 96 to 120 octets of entry, anywhere on its lines */
		for (unsigned line = 0; line <= 120; line += 60)
			__builtin_prefetch((const uint8_t *)pool_at(&s->pool, slot_ref(word)) + line);
		return;
	}
}

static void shard_slot_insert(slot *slots, uint32_t mask, uint64_t word)
{
	uint32_t i = slot_tag(word) & mask;

	while (slot_load(&slots[i]))
		i = (i + 1) & mask;
	slot_store(&slots[i], word);
}

/* Empties a slot and moves later ones of the run back, so that no run is broken. */
static void shard_slot_remove(struct shard *s, uint32_t tag, pool_ref ref)
{
	uint32_t mask = shard_mask(s), hole = tag & mask, i;
	uint64_t word;

	while (slot_ref(slot_load(&s->slots[hole])) != ref)
		hole = (hole + 1) & mask;
	for (i = (hole + 1) & mask; (word = slot_load(&s->slots[i])); i = (i + 1) & mask) {
		uint32_t home = slot_tag(word) & mask;

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			slot_store(&s->slots[hole], word);
			hole = i;
		}
	}
	slot_store(&s->slots[hole], 0);
}

static size_t shard_slots_octets(const struct shard *s)
{
	return ((size_t)shard_mask(s) + 1) * sizeof *s->slots;
}

/* The pool may grow into what the slots leave of the budget.  An eighth is theirs whatever they use now: a
 * shard that a few large answers have filled must still find slots for many small ones. */
static void shard_set_limit(struct shard *s)
{
	size_t slots = shard_slots_octets(s), share = s->budget / SLOTS_SHARE;

	pool_limit(&s->pool, s->budget - (slots > share ? slots : share));
}

/* Doubles the table where it stands. */
static bool shard_double_slots(struct shard *s)
{
	size_t    octets = shard_slots_octets(s);
	uint32_t  size = shard_mask(s) + 1, mask = size * 2 - 1;
	uint64_t *old;

	if (2 * octets > s->slots_reserved ||
	    (2 * octets > s->budget / SLOTS_SHARE && pool_touched(&s->pool) + 2 * octets > s->budget))
		return false;
	old = malloc(octets);
	if (!old)
		return false;
	for (uint32_t i = 0; i < size; i++) {
		old[i] = slot_load(&s->slots[i]);
		slot_store(&s->slots[i], 0);
	}
	for (uint32_t i = 0; i < size; i++)
		if (old[i])
			shard_slot_insert(s->slots, mask, old[i]);
	free(old);
	atomic_store_explicit(&s->slot_mask, mask, memory_order_relaxed);
	shard_set_limit(s);
	return true;
}

/* The table grows at three quarters full, if the budget allows.  False: it is full to the last eighth and an
 * entry has to go first. */
static bool shard_make_slot(struct shard *s)
{
	uint32_t size = shard_mask(s) + 1;

	return s->count < size / 4 * 3 || shard_double_slots(s) || s->count < size / 8 * 7;
}

/* ---- the queues ---- */

static void shard_enqueue(struct shard *s, struct entry *e)
{
	struct sieve *q = &s->queue[shard_queue_of(e->kind)];
	pool_ref      ref = shard_ref(s, e);

	e->newer = 0;
	e->older = q->newest;
	if (q->newest)
		shard_at(s, q->newest)->newer = ref;
	else
		q->oldest = ref;
	q->newest = ref;
	q->entries++;
	q->octets += pool_block_size(&s->pool, ref);
}

static void shard_dequeue(struct shard *s, struct entry *e)
{
	struct sieve *q = &s->queue[shard_queue_of(e->kind)];
	pool_ref      ref = shard_ref(s, e);

	if (q->hand == ref)
		q->hand = e->newer;
	if (e->newer)
		shard_at(s, e->newer)->older = e->older;
	else
		q->newest = e->older;
	if (e->older)
		shard_at(s, e->older)->newer = e->newer;
	else
		q->oldest = e->newer;
	q->entries--;
	q->octets -= pool_block_size(&s->pool, ref);
}

/* Who goes: the hand spares each entry that was seen since it last came by, unless its time is over. */
static struct entry *shard_victim(struct shard *s, struct sieve *q, uint32_t now)
{
	for (;;) {
		struct entry *e;

		if (!q->hand && !(q->hand = q->oldest))
			return NULL;
		e = shard_at(s, q->hand);
		if (!atomic_load_explicit(&e->seen, memory_order_relaxed) || !shard_is_useful(s, e, now))
			return e;
		atomic_store_explicit(&e->seen, 0, memory_order_relaxed);
		q->hand = e->newer;
	}
}

/* ---- entries ---- */

/* Gives the free block that the entry has become part of. */
static pool_ref shard_drop(struct shard *s, struct entry *e)
{
	pool_ref ref = shard_ref(s, e);

	shard_slot_remove(s, e->tag, ref);
	shard_dequeue(s, e);
	s->count--;
	return pool_free(&s->pool, ref);
}

void shard_remove(struct shard *s, struct entry *e)
{
	shard_drop(s, e);
}

static pool_ref shard_evict(struct shard *s, struct entry *e, uint32_t now)
{
	if (shard_is_useful(s, e, now))
		s->evicted++;
	else
		s->expired++;
	return shard_drop(s, e);
}

/* Which queue gives way to an entry of kind queue: a negative one only while they are over their share or
 * nothing else is there, else positive ones; but what has expired goes first. */
static struct sieve *shard_queue_to_cut(struct shard *s, enum shard_queue kind, uint32_t now)
{
	struct sieve *positive = &s->queue[QUEUE_POSITIVE], *negative = &s->queue[QUEUE_NEGATIVE];

	if (negative->oldest && kind == QUEUE_POSITIVE && !shard_is_useful(s, shard_at(s, negative->oldest), now))
		return negative;
	return positive->oldest ? positive : negative;
}

/* The same where slots are short, which count entries and not octets. */
static struct sieve *shard_queue_for_slot(struct shard *s, enum shard_queue kind, uint32_t now)
{
	struct sieve *negative = &s->queue[QUEUE_NEGATIVE];

	if (kind == QUEUE_NEGATIVE && negative->entries >= s->count / NEGATIVE_SHARE && negative->oldest)
		return negative;
	return shard_queue_to_cut(s, kind, now);
}

/* A block of size octets, at whatever cost to others. */
static pool_ref shard_alloc(struct shard *s, size_t size, enum shard_queue kind, uint32_t now)
{
	struct sieve *negative = &s->queue[QUEUE_NEGATIVE];
	size_t        share = s->budget / NEGATIVE_SHARE;
	pool_ref      ref;

	if (size > share)
		return 0;
	while (kind == QUEUE_NEGATIVE && negative->octets + size > share)
		shard_evict(s, shard_victim(s, negative, now), now);
	for (unsigned tries = 0; !(ref = pool_alloc(&s->pool, size)); tries++) {
		struct sieve *q = shard_queue_to_cut(s, kind, now);
		struct entry *e = shard_victim(s, q, now);
		pool_ref      hole, next;

		if (!e)
			return 0;
		hole = shard_evict(s, e, now);
		/* Victims lie scattered: for a large block the neighbours of one make way. */
		while (tries >= 4 && hole && pool_block_size(&s->pool, hole) < size &&
		       (next = pool_next_used(&s->pool, hole)))
			hole = shard_evict(s, shard_at(s, next), now);
	}
	return ref;
}

static uint16_t *shard_ttl_at(struct entry *e)
{
	size_t at = (e->qname_len + 1u) & ~1u;	/* octets[] begins at an even address */

	return (uint16_t *)(void *)(e->octets + at);
}

void shard_answer(const struct entry *e, struct dns_answer *out)
{
	const uint16_t *ttl_at = shard_ttl_at((struct entry *)(uintptr_t)e);

	*out = (struct dns_answer){
		.kind = e->kind,
		.rcode = e->rcode,
		.crosses_route = e->marks & ENTRY_CROSSES,
		.authentic = e->marks & ENTRY_AUTHENTIC,
		.ttl_s = e->ttl_s,
		.ancount = e->ancount,
		.nscount = e->nscount,
		.arcount = e->kind == DNS_ANSWER_FAILURE ? 0 : e->arcount,
		.ttl_count = e->ttl_count,
		.ttl_at = ttl_at,
		.body = (const uint8_t *)(ttl_at + e->ttl_count),
		.body_len = e->body_len,
		.required_len = e->required_len,
	};
}

uint8_t shard_touch(struct entry *e)
{
	uint8_t hits = atomic_load_explicit(&e->hits, memory_order_relaxed);

	if (!atomic_load_explicit(&e->seen, memory_order_relaxed))
		atomic_store_explicit(&e->seen, 1, memory_order_relaxed);
	if (hits < UINT8_MAX)
		atomic_store_explicit(&e->hits, ++hits, memory_order_relaxed);
	return hits;
}

/* Does it begin with the name's own CNAME?  Its owner is a pointer to the question, then. */
static bool shard_is_alias(const struct dns_answer *a)
{
	return a->ancount && a->body_len >= 4 && wire_u16(a->body) == (0xc000 | DNS_HEADER_LEN) &&
	       wire_u16(a->body + 2) == DNS_CNAME;
}

struct entry *shard_store(struct shard *s, const struct cache_key *key, uint32_t tag,
                          const struct dns_answer *a, uint32_t now)
{
	size_t size = offsetof(struct entry, octets) + ((key->qname_len + 1u) & ~1u) +
	              a->ttl_count * sizeof(uint16_t) + a->body_len;
	enum shard_queue kind = shard_queue_of(a->kind);
	struct entry    *e = shard_find(s, key, tag);
	pool_ref         ref;

	if (e)
		shard_drop(s, e);
	while (!shard_make_slot(s))
		shard_evict(s, shard_victim(s, shard_queue_for_slot(s, kind, now), now), now);
	ref = shard_alloc(s, size, kind, now);
	if (!ref)
		return NULL;
	e = shard_at(s, ref);
	e->tag = tag;
	e->route = key->route;
	e->stored = now;
	e->ttl_s = a->ttl_s;
	e->qtype = key->qtype;
	e->ancount = a->ancount;
	e->nscount = a->nscount;
	e->arcount = a->arcount;
	e->ttl_count = a->ttl_count;
	e->body_len = a->body_len;
	e->required_len = a->required_len;
	e->qname_len = key->qname_len;
	e->variant = key->variant;
	e->kind = a->kind;
	e->rcode = a->rcode;
	atomic_init(&e->seen, 0);
	atomic_init(&e->hits, 0);
	atomic_init(&e->claim, CACHE_UNCLAIMED);
	e->marks = (uint8_t)((a->crosses_route ? ENTRY_CROSSES : 0) | (shard_is_alias(a) ? ENTRY_ALIAS : 0) |
	                     (a->authentic ? ENTRY_AUTHENTIC : 0));
	memcpy(e->octets, key->qname, key->qname_len);
	if (a->ttl_count)
		memcpy(shard_ttl_at(e), a->ttl_at, a->ttl_count * sizeof(uint16_t));
	if (a->body_len)
		memcpy(shard_ttl_at(e) + a->ttl_count, a->body, a->body_len);
	shard_slot_insert(s->slots, shard_mask(s), (uint64_t)tag << 32 | ref);
	shard_enqueue(s, e);
	s->count++;
	return e;
}

uint64_t shard_sweep(struct shard *s, bool (*wanted)(const struct entry *, const void *), const void *arg)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < QUEUES; i++) {
		pool_ref ref = s->queue[i].oldest, next;

		for (; ref; ref = next) {
			struct entry *e = shard_at(s, ref);

			next = e->newer;
			if (!wanted(e, arg))
				continue;
			shard_drop(s, e);
			n++;
		}
	}
	return n;
}

uint32_t shard_last_home(const struct shard *s)
{
	return shard_mask(s);
}

void shard_visit(const struct shard *s, uint32_t home, uint32_t mask,
                 void (*visit)(void *arg, const struct entry *e), void *arg)
{
	uint32_t now = shard_mask(s);
	uint64_t word;

	for (uint32_t h = home; h <= now; h += mask + 1)
		for (uint32_t i = h; (word = slot_load(&s->slots[i])); i = (i + 1) & now)
			if ((slot_tag(word) & now) == h)
				visit(arg, shard_at(s, slot_ref(word)));
}

size_t shard_octets(const struct shard *s)
{
	return pool_touched(&s->pool) + shard_slots_octets(s);
}

/* Address space for as many slots as the smallest entries could want; it becomes memory when it is used. */
static int shard_reserve_slots(struct shard *s)
{
	size_t octets = SLOTS_FIRST * sizeof *s->slots;
	void  *region;

	while (octets / sizeof *s->slots < s->budget / ENTRY_SMALLEST)
		octets *= 2;
	region = mmap(NULL, octets, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (region == MAP_FAILED)
		return -ENOMEM;
	s->slots = region;
	s->slots_reserved = octets;
	atomic_init(&s->slot_mask, SLOTS_FIRST - 1);
	return 0;
}

int shard_init(struct shard *s, size_t budget, unsigned workers)
{
	memset(s, 0, sizeof *s);
	s->budget = budget;
	if (latch_init(&s->latch, workers) < 0)
		return -ENOMEM;
	if (shard_reserve_slots(s) < 0 || pool_init(&s->pool, budget) < 0) {
		shard_done(s);
		return -ENOMEM;
	}
	shard_set_limit(s);
	return 0;
}

void shard_done(struct shard *s)
{
	pool_done(&s->pool);
	if (s->slots)
		munmap((void *)s->slots, s->slots_reserved);
	latch_done(&s->latch);
}
