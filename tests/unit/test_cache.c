/* test_cache.c - the cache against a table that says what it must know.
 *
 * Time is a number here: TTLs of days pass at once.  Rows CACHE-01, -02, -06,
 * -08, -14, -16, -17, NEG-03, NEG-04, FAIL-03, FAIL-04, FAIL-07, FAIL-08, and of
 * stale data STALE-02, -06, -08, -11, -12.
 */
#include "unit.h"

#include "alloc_fail.h"
#include "cache/cache.h"
#include "dns/name.h"
#include "guard.h"

#include <errno.h>

#define NAMES    24
#define TYPES    4
#define VARIANTS 4
#define ROUTES   2
#define BODY_LEN 40
#define MIB      ((size_t)1 << 20)

/* Of whatever answer is there. */
static bool claim(struct cache *c, const struct cache_key *key, uint64_t now_ms)
{
	struct cache_found found;

	return cache_peek(c, key, now_ms, &found) && cache_claim(c, key, found.stored, now_ms);
}

static const uint8_t secret[16] = "not very secret";

/* ---- answers that tell what they are ---- */

struct sample {
	struct dns_answer answer;
	uint16_t          ttl_at[2];
	uint8_t           body[BODY_LEN];
};

static void put_u32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Makes it an alias: its first record is the name's own CNAME. */
static void sample_alias(struct sample *s)
{
	static const uint8_t cname[] = { 0xc0, DNS_HEADER_LEN, 0, DNS_CNAME };

	memcpy(s->body, cname, sizeof cname);
}

static void sample_make(struct sample *s, enum dns_answer_kind kind, uint32_t ttl_s, uint32_t mark)
{
	memset(s, 0, sizeof *s);
	for (unsigned i = 0; i < BODY_LEN; i += 4)
		put_u32(s->body + i, mark + i);
	s->ttl_at[0] = 6;
	s->ttl_at[1] = 23;
	put_u32(s->body + 6, ttl_s);
	put_u32(s->body + 23, ttl_s + 100);
	s->answer = (struct dns_answer){
		.kind = (uint8_t)kind, .rcode = kind == DNS_ANSWER_NXDOMAIN ? DNS_NXDOMAIN : DNS_NOERROR,
		.ttl_s = ttl_s, .ancount = 1, .nscount = 2, .arcount = 3, .ttl_count = 2,
		.ttl_at = s->ttl_at, .body = s->body, .body_len = BODY_LEN, .required_len = 21,
	};
}

static struct cache_key key_of(const struct cache *c, const struct dns_name *name, uint16_t qtype,
                               uint8_t variant, uint32_t route)
{
	return (struct cache_key){
		.qname = name->octets, .qname_len = name->len, .qtype = qtype, .variant = variant, .route = route,
		.name_hash = cache_hash_name(c, name->octets, name->len),
	};
}

static struct dns_name name_of(const char *text)
{
	struct dns_name n;

	assert_int_equal(dns_name_from_text(text, &n), 0);
	return n;
}

/* ---- the model ---- */

struct known {
	bool     is;
	uint64_t stored;		/* sixteenths of a second */
	uint32_t ttl_s, mark;
	uint8_t  kind, failures;
	uint8_t  hits, claim;
	uint16_t epoch;
	bool     crosses, alias, authentic;
};

struct model {
	struct dice   *d;
	struct cache  *cache;
	uint64_t       now_ms;
	uint32_t       stale_s;
	uint32_t       next_mark;
	bool           forgets;			/* a small cache: what was known may be gone */
	/* type 0: NXDOMAIN; variants with CACHE_FAILED: held failures */
	struct known   known[NAMES][TYPES + 1][2 * VARIANTS][ROUTES];
	struct dns_name names[NAMES];
};

static struct model model;

static const uint16_t qtypes[TYPES + 1] = { 0, DNS_A, DNS_AAAA, DNS_MX, 65280 };

static uint64_t model_time(const struct model *m)
{
	return m->now_ms * 16 / 1000;
}

/* A failure is stored as of the next sixteenth of a second, so that it is held no less than its time. */
static uint64_t model_age(const struct model *m, const struct known *k)
{
	return model_time(m) > k->stored ? model_time(m) - k->stored : 0;
}

static uint64_t model_age_s(const struct model *m, const struct known *k)
{
	return model_age(m, k) / 16;
}

static bool model_is_fresh(const struct model *m, const struct known *k)
{
	return k->is && model_age_s(m, k) < k->ttl_s;
}

/* Names of which some lie below others. */
static void model_names(struct model *m)
{
	static const char *const texts[] = {
		".", "com.", "example.com.", "a.example.com.", "b.a.example.com.", "xexample.com.", "a\\.example.com.",
		"example.net.", "a.example.net.", "net.", "7example\\003com.", "z.com.",
	};

	for (unsigned i = 0; i < NAMES; i++) {
		char text[64];

		if (i < COUNT_OF(texts))
			snprintf(text, sizeof text, "%s", texts[i]);
		else
			snprintf(text, sizeof text, "n%u.%s", i, i % 2 ? "example.com." : "a.example.net.");
		m->names[i] = name_of(text);
	}
}

struct pick {
	unsigned         name, type, variant, route;
	struct cache_key key;
	struct known    *exact, *nxdomain, *failure;
};

static struct pick model_pick(struct model *m)
{
	struct pick p = {
		.name = (unsigned)dice_below(m->d, NAMES), .type = 1 + (unsigned)dice_below(m->d, TYPES),
		.variant = (unsigned)dice_below(m->d, VARIANTS), .route = (unsigned)dice_below(m->d, ROUTES),
	};

	p.key = key_of(m->cache, &m->names[p.name], qtypes[p.type], (uint8_t)p.variant, p.route ? 77 : 0xffffffff);
	p.exact = &m->known[p.name][p.type][p.variant][p.route];
	p.nxdomain = &m->known[p.name][0][p.variant][p.route];
	p.failure = &m->known[p.name][p.type][(p.variant & CACHE_CD) | CACHE_FAILED][p.route];
	return p;
}

/* Data for the type, else NXDOMAIN; NULL: nothing is known for certain. */
static struct known *model_fresh(const struct model *m, const struct pick *p)
{
	return model_is_fresh(m, p->exact) ? p->exact : model_is_fresh(m, p->nxdomain) ? p->nxdomain : NULL;
}

static bool model_is_useful(const struct model *m, const struct known *k)
{
	return m->stale_s && k->is && model_age_s(m, k) < (uint64_t)k->ttl_s + m->stale_s;
}

/* STALE-11: of its other types one is newer, and makes it an alias where it was none, or the other way round. */
static bool model_is_outlived(const struct model *m, const struct pick *p)
{
	for (unsigned t = 1; t <= TYPES; t++) {
		const struct known *o = &m->known[p->name][t][p->variant][p->route];

		if (qtypes[t] != 65280 && o->is && o->kind == DNS_ANSWER_POSITIVE &&
		    p->exact->kind == DNS_ANSWER_POSITIVE && o->stored > p->exact->stored &&
		    o->alias != p->exact->alias)
			return true;
	}
	return false;
}

/* Past its TTL, but within the stale window; of two the one that was learned last. */
static struct known *model_stale(const struct model *m, const struct pick *p)
{
	bool exact = model_is_useful(m, p->exact), nxdomain = model_is_useful(m, p->nxdomain);

	if (nxdomain && (!exact || p->nxdomain->stored > p->exact->stored))
		return p->nxdomain;
	return exact && !model_is_outlived(m, p) ? p->exact : NULL;
}

/* What claims, peeking and stale answers are about. */
static struct known *model_useful(const struct model *m, const struct pick *p)
{
	struct known *k = model_fresh(m, p);

	return k ? k : model_stale(m, p);
}

/* In a cache that forgets, what would be better may be gone: then it is the one that was found. */
static struct known *model_found(const struct model *m, const struct pick *p, struct known *k,
                                 const struct cache_found *found)
{
	if (!m->forgets)
		return k;
	return found->kind == DNS_ANSWER_FAILURE ? p->failure :
	       found->kind == DNS_ANSWER_NXDOMAIN ? p->nxdomain : p->exact;
}

static void model_check_described(const struct model *m, const struct known *k, const struct cache_found *found)
{
	int64_t age = (int64_t)model_age(m, k);

	holds(m->d, found->kind == k->kind);
	holds(m->d, found->ttl_s == k->ttl_s);
	holds(m->d, found->left_ms == ((int64_t)k->ttl_s * 16 - age) * 1000 / 16);
	holds(m->d, found->stored == (uint32_t)k->stored);
	holds(m->d, found->claim == (k->kind == DNS_ANSWER_FAILURE ? CACHE_UNCLAIMED : k->claim));
}

/* The same octets as were put in, but for the TTLs. */
static void model_check_copied(const struct model *m, struct known *k, const struct cache_found *found,
                               uint8_t *out, uint32_t first_s, uint32_t second_s)
{
	struct sample want;

	sample_make(&want, (enum dns_answer_kind)k->kind, k->ttl_s, k->mark);
	if (k->alias)
		sample_alias(&want);
	holds(m->d, found->head.rcode == want.answer.rcode);
	holds(m->d, found->head.flags == (k->authentic && found->left_ms > 0 ? DNS_AD : 0));	/* FLAG-03 */
	holds(m->d, found->fit == DNS_FIT_WHOLE && found->len == BODY_LEN);
	holds(m->d, found->head.ancount == 1 && found->head.nscount == 2 && found->head.arcount == 3);
	holds(m->d, get_u32(out + 6) == first_s && get_u32(out + 23) == second_s);
	put_u32(out + 6, k->ttl_s);
	put_u32(out + 23, k->ttl_s + 100);
	holds(m->d, !memcmp(out, want.body, BODY_LEN));
	k->hits += k->hits < UINT8_MAX;
	holds(m->d, found->hits == k->hits);
}

static void model_find(struct model *m)
{
	struct pick        p = model_pick(m);
	struct known      *k = model_fresh(m, &p), *failure = model_is_fresh(m, p.failure) ? p.failure : NULL;
	enum cache_result  want = k ? CACHE_FRESH : CACHE_MISS, result;
	struct cache_found found;
	uint8_t            out[BODY_LEN];
	uint32_t           age;

	if (dice_one_in(m->d, 3)) {
		cache_prefetch_slot(m->cache, &p.key);
		cache_prefetch_entry(m->cache, &p.key);
	}
	if (!k) {
		k = model_stale(m, &p);
		want = k ? CACHE_STALE : failure ? CACHE_FRESH : CACHE_MISS;
		k = k ? k : failure;
	}
	memset(out, 0xee, sizeof out);
	result = cache_find(m->cache, &p.key, m->now_ms, out, sizeof out, &found);
	holds(m->d, m->forgets || result == want);
	if (result == CACHE_MISS)
		return;
	k = model_found(m, &p, k, &found);
	if (!m->forgets || k != p.failure)
		model_check_described(m, k, &found);
	if (result == CACHE_STALE) {		/* nothing was copied; a held failure is told of */
		holds(m->d, model_is_useful(m, k) && out[0] == 0xee);
		holds(m->d, m->forgets || found.failed == (failure != NULL));
		holds(m->d, !found.failed || found.epoch == p.failure->epoch);
		return;
	}
	holds(m->d, model_is_fresh(m, k) && !found.failed);
	if (k->kind == DNS_ANSWER_FAILURE) {
		holds(m->d, found.head.rcode == DNS_SERVFAIL && found.len == 0);
		holds(m->d, found.epoch == k->epoch);
		return;
	}
	age = (uint32_t)model_age_s(m, k);
	model_check_copied(m, k, &found, out, k->ttl_s - age, k->ttl_s + 100 - age);	/* CACHE-01, CACHE-02 */
}

/* STALE-02: all TTLs of a stale reply are alike. */
static void model_find_stale(struct model *m)
{
	struct pick        p = model_pick(m);
	struct known      *k = model_useful(m, &p);
	uint32_t           ttl_s = 1 + (uint32_t)dice_below(m->d, 30);
	struct cache_found found;
	uint8_t            out[BODY_LEN];
	bool               is = cache_find_stale(m->cache, &p.key, m->now_ms, ttl_s, out, sizeof out, &found);

	holds(m->d, m->forgets || is == (k != NULL));
	if (!is)
		return;
	k = model_found(m, &p, k, &found);
	holds(m->d, k->kind != DNS_ANSWER_FAILURE);	/* STALE-12 */
	model_check_described(m, k, &found);
	if (found.left_ms > 0)			/* fresh after all: its own TTLs, counted down */
		model_check_copied(m, k, &found, out, k->ttl_s - model_age_s(m, k), k->ttl_s + 100 - model_age_s(m, k));
	else
		model_check_copied(m, k, &found, out, ttl_s, ttl_s);
}

static void model_peek(struct model *m)
{
	struct pick        p = model_pick(m);
	struct known      *k = model_useful(m, &p);
	struct cache_found found;
	bool               is = cache_peek(m->cache, &p.key, m->now_ms, &found);

	holds(m->d, m->forgets || is == (k != NULL));
	if (!is)
		return;
	k = model_found(m, &p, k, &found);
	model_check_described(m, k, &found);
	holds(m->d, found.hits == k->hits);		/* and it is not counted */
}

/* In a cache that forgets it cannot be said whose claim it was. */
static void model_claim(struct model *m)
{
	struct pick      p = model_pick(m);
	struct known    *k = model_useful(m, &p);
	enum cache_claim how = dice_one_in(m->d, 2) ? CACHE_GIVEN_UP : CACHE_UNCLAIMED;
	uint32_t         stored;

	if (m->forgets)
		return;
	if (dice_one_in(m->d, 2)) {
		bool taken = claim(m->cache, &p.key, m->now_ms);

		holds(m->d, taken == (k && k->claim == CACHE_UNCLAIMED));
		if (taken)
			k->claim = CACHE_CLAIMED;
		return;
	}
	stored = (uint32_t)(k ? k->stored : 0) + (dice_one_in(m->d, 4) ? 16 : 0);
	cache_end_claim(m->cache, &p.key, stored, how, m->now_ms);
	if (k && k->claim == CACHE_CLAIMED && stored == (uint32_t)k->stored)
		k->claim = (uint8_t)how;	/* else it is another answer's */
}

static void model_set_stale(struct model *m)
{
	m->stale_s = dice_one_in(m->d, 4) ? 0 : (uint32_t)dice_magnitude(m->d, 18);
	cache_set_stale(m->cache, m->stale_s);
}

static void model_put(struct model *m)
{
	struct pick   p = model_pick(m);
	uint32_t      ttl_s = dice_one_in(m->d, 8) ? 0 : (uint32_t)dice_magnitude(m->d, 17);
	unsigned      kind = (unsigned)dice_below(m->d, 5);	/* positive more often than not */
	struct sample s;
	struct known  k;
	int           err;

	kind = kind > DNS_ANSWER_NXDOMAIN ? DNS_ANSWER_POSITIVE : kind;
	k = (struct known){ .is = true, .stored = model_time(m), .ttl_s = ttl_s, .mark = m->next_mark,
	                    .kind = (uint8_t)kind, .crosses = dice_one_in(m->d, 4), .alias = dice_one_in(m->d, 4),
	                    .authentic = dice_one_in(m->d, 4) };
	sample_make(&s, (enum dns_answer_kind)kind, ttl_s, m->next_mark++);
	if (k.alias)
		sample_alias(&s);
	s.answer.crosses_route = k.crosses;
	s.answer.authentic = k.authentic;
	err = cache_put(m->cache, &p.key, &s.answer, m->now_ms);
	holds(m->d, err == 0);
	p.failure->is = false;			/* holds begin anew */
	if (!ttl_s && kind != DNS_ANSWER_POSITIVE)
		return;				/* nobody says how long that holds: what was known may be of use yet */
	if (kind == DNS_ANSWER_NXDOMAIN) {
		*p.nxdomain = k;
		p.exact->is = false;		/* it does no longer exist */
	} else {
		*p.exact = k;
		p.nxdomain->is = false;		/* the name exists after all */
	}
	p.exact->is = p.exact->is && ttl_s;	/* CACHE-06, STALE-08: not kept, and in nobody's way */
}

static void model_put_failure(struct model *m)
{
	struct pick             p = model_pick(m);
	bool                    fresh = model_fresh(m, &p), stale = model_stale(m, &p);
	struct known           *f = p.failure;
	const struct cache_hold how = { .first_s = 5, .max_s = 60, .recheck_s = 30,
	                                .epoch = (uint16_t)dice_below(m->d, 3) };
	int                     err = cache_put_failure(m->cache, &p.key, &how, m->now_ms);
	uint8_t                 failures;
	uint32_t                hold_s;

	holds(m->d, err == (fresh ? -EEXIST : 0) || (m->forgets && err == 0));	/* FAIL-08 */
	if (err)
		return;
	/* a row ends when nothing has failed for a while */
	failures = f->is && model_age_s(m, f) <= f->ttl_s + 60 ? (uint8_t)(f->failures + (f->failures < 255)) : 1;
	hold_s = failures > 4 ? 60 : 5u << (failures - 1);
	if (stale)
		hold_s = how.recheck_s;		/* STALE-04 */
	*f = (struct known){ .is = true, .stored = (m->now_ms * 16 + 999) / 1000, .ttl_s = hold_s,
	                     .kind = DNS_ANSWER_FAILURE, .failures = failures, .epoch = how.epoch };
	if (m->forgets)			/* how many came before may be forgotten, too */
		f->ttl_s = 60;
}

static bool is_below(const struct dns_name *name, const struct dns_name *suffix)
{
	return dns_name_below(name->octets, name->len, suffix->octets, suffix->len);
}

static void model_flush(struct model *m)
{
	struct pick            p = model_pick(m);
	const struct dns_name *at = &m->names[p.name];
	unsigned               what = (unsigned)dice_below(m->d, 5);
	uint64_t               n = 0, went;

	for (unsigned i = 0; i < NAMES; i++)
		for (unsigned t = 0; t <= TYPES; t++)
			for (unsigned v = 0; v < 2 * VARIANTS; v++)
				for (unsigned r = 0; r < ROUTES; r++) {
					struct known *k = &m->known[i][t][v][r];
					bool goes = what == 0 ? true : what == 1 ? i == p.name :
					            what == 2 ? i == p.name && (t == p.type || t == 0) :
					            what == 3 ? is_below(&m->names[i], at) : k->crosses;

					n += k->is && goes;
					k->is = k->is && !goes;
				}
	went = what == 0 ? cache_flush_all(m->cache) :
	       what == 1 ? cache_flush_name(m->cache, at->octets, at->len) :
	       what == 2 ? cache_flush_type(m->cache, at->octets, at->len, qtypes[p.type]) :
	       what == 3 ? cache_flush_subtree(m->cache, at->octets, at->len) : cache_flush_crossing(m->cache);
	holds(m->d, m->forgets || went == n);
}

static void model_check_stats(struct model *m)
{
	struct cache_stats s;
	uint64_t           entries = 0, negative = 0;

	cache_read_stats(m->cache, m->now_ms, &s);
	for (struct known *k = &m->known[0][0][0][0]; k < &m->known[0][0][0][0] + NAMES * (TYPES + 1) * 2 * VARIANTS * ROUTES;
	     k++) {
		entries += k->is;
		negative += k->is && k->kind != DNS_ANSWER_POSITIVE;
	}
	holds(m->d, s.octets <= s.size_octets);
	holds(m->d, s.negative <= s.entries);
	if (m->forgets)			/* the others' entries are there, too */
		return;
	holds(m->d, s.entries == entries && s.negative == negative);
	holds(m->d, s.evicted == 0);
}

static void model_step(struct model *m)
{
	unsigned what = (unsigned)dice_below(m->d, 100);

	if (what < 30)
		model_find(m);
	else if (what < 35)
		model_find_stale(m);
	else if (what < 40)
		model_peek(m);
	else if (what < 50)
		model_claim(m);
	else if (what < 51)
		model_set_stale(m);
	else if (what < 75)
		model_put(m);
	else if (what < 85)
		model_put_failure(m);
	else if (what < 97)
		m->now_ms += dice_magnitude(m->d, dice_one_in(m->d, 10) ? 28 : 15);
	else if (dice_one_in(m->d, 3))
		model_flush(m);
	else
		model_check_stats(m);
}

static void model_begin(struct model *m, struct dice *d, size_t size_octets)
{
	const struct cache_conf conf = { .size_octets = size_octets };

	memset(m, 0, sizeof *m);
	m->d = d;
	m->cache = cache_new(&conf, secret);
	assert_non_null(m->cache);
	model_names(m);
	m->now_ms = dice_magnitude(d, 44);
	if (dice_one_in(d, 3))		/* sixteenths of a second in 32 bits are about to wrap */
		m->now_ms = ((uint64_t)1 << 32) * 1000 / 16 - dice_below(d, 1000000);
}

static void test_random(void **state)
{
	(void)state;
	for (struct dice d = dice_first(40); d.left; dice_next(&d)) {
		model_begin(&model, &d, MIB * (8 + dice_below(&d, 40)));
		for (unsigned i = 0; i < 6000; i++)
			model_step(&model);
		cache_free(model.cache);
	}
}

/* The same in a cache that must forget, because other names press. */
static void test_random_under_pressure(void **state)
{
	(void)state;
	for (struct dice d = dice_first(6); d.left; dice_next(&d)) {
		model_begin(&model, &d, MIB);
		model.forgets = true;
		for (unsigned i = 0; i < 30000; i++) {
			char            text[40];
			struct dns_name junk;
			struct sample   s;
			struct cache_key key;

			model_step(&model);
			snprintf(text, sizeof text, "junk%u.test.", i);
			junk = name_of(text);
			key = key_of(model.cache, &junk, DNS_A, 0, 5);
			sample_make(&s, dice_one_in(&d, 4) ? DNS_ANSWER_NXDOMAIN : DNS_ANSWER_POSITIVE, 300, i);
			holds(&d, cache_put(model.cache, &key, &s.answer, model.now_ms) == 0);
			if (i % 1000 == 999) {
				struct cache_stats st;

				cache_read_stats(model.cache, model.now_ms, &st);
				holds(&d, st.octets <= st.size_octets);
				cache_flush_type(model.cache, junk.octets, junk.len, DNS_A);
			}
		}
		cache_free(model.cache);
	}
}

/* ---- one by one ---- */

static enum cache_result look(struct cache *c, const struct cache_key *key, uint64_t now_ms, struct cache_found *found)
{
	static uint8_t out[DNS_MESSAGE_MAX];

	return cache_find(c, key, now_ms, out, sizeof out, found);
}

/* STALE-06: of use to the last sixteenth of a second of the window, and not beyond; claims likewise. */
static void test_stale_window(void **state)
{
	const struct cache_conf conf = { .size_octets = MIB };
	struct cache           *c = cache_new(&conf, secret);
	struct dns_name         name = name_of("www.example.");
	struct cache_key        key = key_of(c, &name, DNS_A, 0, 1);
	const uint64_t          end_ms = (60 + 3600) * 1000;
	struct cache_found      found;
	struct sample           s;
	uint8_t                 out[BODY_LEN];

	(void)state;
	sample_make(&s, DNS_ANSWER_POSITIVE, 60, 1);
	assert_int_equal(cache_put(c, &key, &s.answer, 0), 0);
	assert_int_equal(look(c, &key, 60000, &found), CACHE_MISS);	/* the window is 0 at first */
	assert_false(cache_find_stale(c, &key, 60000, 30, out, sizeof out, &found));
	assert_false(claim(c, &key, 60000));
	cache_set_stale(c, 3600);
	assert_int_equal(look(c, &key, 59999, &found), CACHE_FRESH);
	assert_int_equal(look(c, &key, 60000, &found), CACHE_STALE);
	assert_false(found.failed);
	assert_int_equal(look(c, &key, end_ms - 1, &found), CACHE_STALE);
	assert_int_equal(look(c, &key, end_ms, &found), CACHE_MISS);
	assert_false(cache_find_stale(c, &key, end_ms, 30, out, sizeof out, &found));
	assert_false(cache_peek(c, &key, end_ms, &found));
	assert_false(claim(c, &key, end_ms));
	assert_true(claim(c, &key, end_ms - 1));
	assert_false(claim(c, &key, end_ms - 1));
	cache_end_claim(c, &key, 16, CACHE_UNCLAIMED, end_ms - 1);	/* of an answer that is not there any more */
	assert_false(claim(c, &key, end_ms - 1));
	cache_end_claim(c, &key, 0, CACHE_GIVEN_UP, end_ms - 1);
	assert_false(claim(c, &key, end_ms - 1));		/* not tried again before the TTL ends */
	cache_end_claim(c, &key, 0, CACHE_UNCLAIMED, end_ms - 1);	/* it is nobody's: that changes nothing */
	assert_false(claim(c, &key, end_ms - 1));
	assert_int_equal(cache_put(c, &key, &s.answer, end_ms), 0);
	assert_true(claim(c, &key, end_ms));		/* a new period */
	cache_set_stale(c, 0);
	assert_int_equal(look(c, &key, end_ms + 60000, &found), CACHE_MISS);
	cache_free(c);
}

/* STALE-12, STALE-04: a failure over stale data counts for recheck only, in its epoch, and the data stays. */
static void test_failure_over_stale(void **state)
{
	const struct cache_hold hold = { .first_s = 5, .max_s = 60, .recheck_s = 30, .epoch = 7 };
	const struct cache_conf conf = { .size_octets = MIB };
	struct cache           *c = cache_new(&conf, secret);
	struct dns_name         name = name_of("www.example.");
	struct cache_key        key = key_of(c, &name, DNS_A, 0, 1);
	struct cache_found      found;
	struct sample           s;
	uint64_t                now_ms = 61000;

	(void)state;
	cache_set_stale(c, 3600);
	sample_make(&s, DNS_ANSWER_POSITIVE, 60, 1);
	assert_int_equal(cache_put(c, &key, &s.answer, 0), 0);
	for (unsigned i = 0; i < 5; i++, now_ms += 31000) {	/* 30 s each time: nothing doubles */
		assert_int_equal(cache_put_failure(c, &key, &hold, now_ms), 0);
		assert_int_equal(look(c, &key, now_ms + 29900, &found), CACHE_STALE);
		assert_true(found.failed);
		assert_int_equal(found.epoch, 7);
		assert_int_equal(found.kind, DNS_ANSWER_POSITIVE);
		assert_int_equal(look(c, &key, now_ms + 30000, &found), CACHE_STALE);
		assert_false(found.failed);
	}
	assert_int_equal(cache_put_failure(c, &key, &hold, now_ms), 0);
	assert_int_equal(cache_put(c, &key, &s.answer, now_ms), 0);
	assert_int_equal(look(c, &key, now_ms + 60000, &found), CACHE_STALE);
	assert_false(found.failed);			/* an answer has ended it */
	cache_free(c);
}

/* CACHE-01, CACHE-02: asked every 10 ms over the edge. */
static void test_edge(void **state)
{
	const struct cache_conf conf = { .size_octets = MIB };
	struct cache           *c = cache_new(&conf, secret);
	struct dns_name         name = name_of("www.example.");
	struct cache_key        key = key_of(c, &name, DNS_A, 0, 1);
	struct sample           s;
	struct cache_found      found;
	uint8_t                 out[BODY_LEN];
	unsigned                misses = 0;

	(void)state;
	sample_make(&s, DNS_ANSWER_POSITIVE, 60, 1);
	assert_int_equal(cache_put(c, &key, &s.answer, 1000000), 0);
	for (uint64_t ms = 0; ms < 70000; ms += 10) {
		if (cache_find(c, &key, 1000000 + ms, out, sizeof out, &found) == CACHE_MISS) {
			assert_in_range(ms, 59900, 70000);
			misses++;
			continue;
		}
		assert_int_equal(misses, 0);
		assert_in_range(ms, 0, 60070);
		assert_in_range(get_u32(out + 6), 1, 60);
		assert_in_range(get_u32(out + 6) + ms / 1000, 59, 61);
	}
	assert_true(misses > 900);
	cache_free(c);
}

/* What does not fit is not written, and the cache says which part would. */
static void test_room(void **state)
{
	const struct cache_conf conf = { .size_octets = MIB };
	struct cache           *c = cache_new(&conf, secret);
	struct dns_name         name = name_of("www.example.");
	struct cache_key        key = key_of(c, &name, DNS_A, 0, 1);
	struct guard            g;
	struct sample           s;

	(void)state;
	guard_init(&g, BODY_LEN);
	sample_make(&s, DNS_ANSWER_POSITIVE, 60, 1);
	assert_int_equal(cache_put(c, &key, &s.answer, 0), 0);
	for (size_t room = 0; room <= BODY_LEN; room++) {
		struct cache_found found;

		assert_int_equal(cache_find(c, &key, 5000, guard_room(&g, room), room, &found), CACHE_FRESH);
		assert_int_equal(found.fit, room < 21 ? DNS_FIT_NOT : room < BODY_LEN ? DNS_FIT_NO_EXTRAS : DNS_FIT_WHOLE);
		assert_int_equal(found.len, room < 21 ? 0 : room < BODY_LEN ? 21 : BODY_LEN);
	}
	guard_done(&g);
	cache_free(c);
}

/* FAIL-03: 5 s, doubling to 60 s; an answer ends the row. */
static void test_failure_holds(void **state)
{
	static const unsigned   holds_s[] = { 5, 10, 20, 40, 60, 60 };
	const struct cache_conf conf = { .size_octets = MIB };
	struct cache           *c = cache_new(&conf, secret);
	struct dns_name         name = name_of("www.example.");
	struct cache_key        key = key_of(c, &name, DNS_A, 0, 1), other = key_of(c, &name, DNS_AAAA, 0, 1);
	struct cache_found      found;
	struct sample           s;
	uint64_t                now = 1000;

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < COUNT_OF(holds_s); i++) {
			assert_int_equal(cache_put_failure(c, &key, &(struct cache_hold){ .first_s = 5, .max_s = 60 }, now), 0);
			assert_int_equal(look(c, &key, now, &found), CACHE_FRESH);
			assert_int_equal(found.kind, DNS_ANSWER_FAILURE);
			assert_int_equal(found.head.rcode, DNS_SERVFAIL);
			assert_int_equal(look(c, &key, now + 1000 * holds_s[i] - 500, &found), CACHE_FRESH);
			assert_int_equal(look(c, &other, now, &found), CACHE_MISS);	/* FAIL-04 */
			now += 1000 * holds_s[i] + 200;
			assert_int_equal(look(c, &key, now, &found), CACHE_MISS);
		}
		sample_make(&s, DNS_ANSWER_POSITIVE, 10, 1);
		assert_int_equal(cache_put(c, &key, &s.answer, now), 0);
		assert_int_equal(cache_put_failure(c, &key, &(struct cache_hold){ .first_s = 5, .max_s = 60 }, now + 1000), -EEXIST);	/* FAIL-08 */
		assert_int_equal(look(c, &key, now + 1000, &found), CACHE_FRESH);
		assert_int_equal(found.kind, DNS_ANSWER_POSITIVE);
		now += 11000;
	}
	/* a failure in a row of more than 255, and bounds that would overflow when doubled */
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(cache_put_failure(c, &other, &(struct cache_hold){ .first_s = 300, .max_s = 300 }, now), 0);
		assert_int_equal(look(c, &other, now + 299000, &found), CACHE_FRESH);
		now += 301000;
	}
	/* A second is the least (RFC 9520 s. 3.2), wherever in the cache's sixteenths it began. */
	for (unsigned i = 0; i < 1000; i += 7) {
		assert_int_equal(cache_put_failure(c, &key, &(struct cache_hold){ .first_s = 1, .max_s = 1 }, now), 0);
		assert_int_equal(look(c, &key, now, &found), CACHE_FRESH);
		assert_int_equal(look(c, &key, now + 999, &found), CACHE_FRESH);
		assert_int_equal(look(c, &key, now + 1063, &found), CACHE_MISS);
		now += 100000 + i;
	}
	cache_free(c);
}

/* An answer too large for a shard's quarter is refused, and what was there before is gone, not wrong. */
static void test_too_large(void **state)
{
	const struct cache_conf conf = { .size_octets = MIB };
	static uint8_t          body[DNS_MESSAGE_MAX];
	struct cache           *c = cache_new(&conf, secret);
	struct dns_name         name = name_of("www.example.");
	struct cache_key        key = key_of(c, &name, DNS_TXT, 0, 1);
	struct dns_answer       a = { .kind = DNS_ANSWER_POSITIVE, .ttl_s = 60, .ancount = 1, .body = body };
	struct cache_found      found;

	(void)state;
	for (unsigned len = 100; len < DNS_MESSAGE_MAX; len += 1000) {
		int err;

		a.body_len = a.required_len = (uint16_t)len;
		err = cache_put(c, &key, &a, 0);
		assert_int_equal(err, len < MIB / 8 / 4 - 100 ? 0 : -ENOSPC);
		assert_int_equal(look(c, &key, 1000, &found), err ? CACHE_MISS : CACHE_FRESH);
		if (!err)
			assert_int_equal(found.len, len);
	}
	cache_free(c);
}

/* CACHE-14, FAIL-07: a flood of junk, of positive or negative kind, or of failures, does not push out what is
 * asked for, and memory stays in its bound. */
static void test_flood(void **state)
{
	enum { BUSY = 100, JUNK = 120000 };

	(void)state;
	for (unsigned kind = DNS_ANSWER_POSITIVE; kind <= DNS_ANSWER_FAILURE; kind++) {
		const struct cache_conf conf = { .size_octets = 2 * MIB };
		struct cache           *c = cache_new(&conf, secret);
		struct dns_name         busy[BUSY];
		struct sample           s;
		struct cache_stats      st;
		unsigned                left = 0;

		for (unsigned i = 0; i < BUSY; i++) {
			char             text[32];
			struct cache_key key;

			snprintf(text, sizeof text, "busy%u.example.", i);
			busy[i] = name_of(text);
			key = key_of(c, &busy[i], DNS_A, 0, 1);
			sample_make(&s, DNS_ANSWER_POSITIVE, 86400, i);
			assert_int_equal(cache_put(c, &key, &s.answer, 0), 0);
		}
		for (unsigned i = 0; i < JUNK; i++) {
			char             text[32];
			struct dns_name  name;
			struct cache_key key;
			struct cache_found found;

			snprintf(text, sizeof text, "junk%u.test.", i);
			name = name_of(text);
			key = key_of(c, &name, DNS_A, 0, 1);
			sample_make(&s, (enum dns_answer_kind)kind, 86400, i);
			if (kind == DNS_ANSWER_FAILURE)
				assert_int_equal(cache_put_failure(c, &key, &(struct cache_hold){ .first_s = 300, .max_s = 300 }, 1000), 0);
			else
				assert_int_equal(cache_put(c, &key, &s.answer, 1000), 0);
			if (i % 10 == 0) {		/* one question in eleven is for a busy name */
				key = key_of(c, &busy[i / 10 % BUSY], DNS_A, 0, 1);
				look(c, &key, 1000, &found);
			}
		}
		for (unsigned i = 0; i < BUSY; i++) {
			struct cache_key   key = key_of(c, &busy[i], DNS_A, 0, 1);
			struct cache_found found;

			left += look(c, &key, 1000, &found) == CACHE_FRESH;
		}
		cache_read_stats(c, 1000, &st);
		assert_int_equal(left, BUSY);
		assert_true(st.octets <= 2 * MIB);
		assert_true(st.evicted > 0);
		if (kind == DNS_ANSWER_POSITIVE)
			assert_true(st.octets > 2 * MIB / 4 * 3);	/* and is made use of */
		else			/* a quarter at most for what is not there: each takes 48 octets at least */
			assert_in_range(st.negative, 2000, 2 * MIB / 4 / 48);
		cache_free(c);
	}
}

/* What has expired goes before what has not, whoever was asked for. */
static void test_expired_first(void **state)
{
	const struct cache_conf conf = { .size_octets = MIB };
	struct cache           *c = cache_new(&conf, secret);
	struct cache_stats      st;
	unsigned                left = 0;

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {		/* more than fit: the first half expires at once */
		char             text[32];
		struct dns_name  name;
		struct cache_key key;
		struct sample    s;

		snprintf(text, sizeof text, "n%u.example.", i);
		name = name_of(text);
		key = key_of(c, &name, DNS_A, 0, 1);
		sample_make(&s, DNS_ANSWER_POSITIVE, i < 2500 ? 1 : 86400, i);
		assert_int_equal(cache_put(c, &key, &s.answer, i < 2500 ? 0 : 10000), 0);
	}
	for (unsigned i = 2500; i < 5000; i++) {
		char               text[32];
		struct dns_name    name;
		struct cache_key   key;
		struct cache_found found;

		snprintf(text, sizeof text, "n%u.example.", i);
		name = name_of(text);
		key = key_of(c, &name, DNS_A, 0, 1);
		left += look(c, &key, 10000, &found) == CACHE_FRESH;
	}
	cache_read_stats(c, 10000, &st);
	assert_int_equal(left, 2500);
	assert_int_equal(st.evicted, 0);
	cache_free(c);
}

/* ---- looking on ---- */

#define LOOKED 12000

/* Looks at all, a slice at a time; between slices disturb() may do what it likes.  met[] counts by mark. */
static unsigned look_at_all(struct cache *c, uint64_t now_ms, uint8_t met[LOOKED], void (*disturb)(struct cache *c))
{
	static uint8_t      room[4096];
	struct cache_cursor at;
	struct cache_seen   seen[16];
	unsigned            slices = 0;

	memset(met, 0, LOOKED);
	for (cache_look_at_all(c, &at); !cache_look_is_over(&at); slices++) {
		size_t n = cache_look(c, &at, now_ms, seen, 16, room, sizeof room);

		assert_true(n <= 16);
		for (size_t i = 0; i < n; i++) {
			uint32_t mark = get_u32(seen[i].body);

			assert_true(seen[i].found.len == BODY_LEN && seen[i].body + BODY_LEN <= room + sizeof room);
			if (mark < LOOKED * 16 && mark % 16 == 0)
				met[mark / 16]++;
		}
		if (disturb)
			disturb(c);
	}
	return slices;
}

static struct dns_name looked_name(unsigned i)
{
	char text[32];

	snprintf(text, sizeof text, "n%u.example.", i);
	return name_of(text);
}

static void looked_put(struct cache *c, unsigned i, uint32_t mark, uint32_t ttl_s)
{
	struct dns_name  name = looked_name(i);
	struct cache_key key = key_of(c, &name, DNS_A, 0, 7);
	struct sample    s;

	sample_make(&s, DNS_ANSWER_POSITIVE, ttl_s, mark);
	assert_int_equal(cache_put(c, &key, &s.answer, 1000000), 0);
}

/* Others come, so that tables double, and go, so that entries move up. */
static void looked_disturb(struct cache *c)
{
	static unsigned next = LOOKED, gone = LOOKED;

	if (next >= 5 * LOOKED)
		return;
	for (unsigned i = 0; i < 200; i++)
		looked_put(c, next++, 0xf0000001, 300);
	for (unsigned i = 0; i < 90; i++) {
		struct dns_name name = looked_name(gone++);

		assert_int_equal(cache_flush_name(c, name.octets, name.len), 1);
	}
}

/* Each entry that stays is met once, whatever happens around it. */
static void test_look_at_all(void **state)
{
	const struct cache_conf conf = { .size_octets = 32 * MIB };
	static uint8_t          met[LOOKED];
	struct cache           *c = cache_new(&conf, secret);
	unsigned                slices;

	(void)state;
	assert_non_null(c);
	look_at_all(c, 1000000, met, NULL);
	for (unsigned i = 0; i < LOOKED; i++)
		assert_int_equal(met[i], 0);
	for (unsigned i = 0; i < LOOKED; i++)
		looked_put(c, i, i * 16, 300);
	slices = look_at_all(c, 1000000, met, NULL);
	assert_in_range(slices, LOOKED / 16, LOOKED);
	for (unsigned i = 0; i < LOOKED; i++)
		assert_int_equal(met[i], 1);
	look_at_all(c, 1000000, met, looked_disturb);
	for (unsigned i = 0; i < LOOKED; i++)
		assert_int_equal(met[i], 1);
	look_at_all(c, 1000000 + 300000, met, NULL);	/* past their time, and none may be stale */
	for (unsigned i = 0; i < LOOKED; i++)
		assert_int_equal(met[i], 0);
	cache_free(c);
}

/* What is looked at has not been used: no hit is counted. */
static void test_look_at_name(void **state)
{
	const struct cache_conf conf = { .size_octets = MIB };
	struct cache           *c = cache_new(&conf, secret);
	struct dns_name         name = looked_name(1);
	struct cache_key        key = key_of(c, &name, DNS_A, 0, 7);
	struct cache_cursor     at;
	struct cache_seen       seen[4];
	struct cache_found      found;
	uint8_t                 room[512], out[512];
	size_t                  n = 0;

	(void)state;
	for (unsigned i = 0; i < 50; i++)
		looked_put(c, i, i * 16, 300);
	assert_int_equal(cache_find(c, &key, 1000000, out, sizeof out, &found), CACHE_FRESH);
	for (unsigned round = 0; round < 3; round++) {
		cache_look_at_name(c, &at, name.octets, name.len);
		for (n = 0; !cache_look_is_over(&at);)
			n += cache_look(c, &at, 1100000, seen + n, 4 - n, room, sizeof room);
	}
	assert_int_equal(n, 1);
	assert_int_equal(seen[0].key.qtype, DNS_A);
	assert_int_equal(seen[0].key.route, 7);
	assert_int_equal(seen[0].key.qname_len, name.len);
	assert_memory_equal(seen[0].key.qname, name.octets, name.len);
	assert_int_equal(seen[0].found.hits, 1);
	assert_int_equal(seen[0].found.left_ms, 200000);
	assert_int_equal(get_u32(seen[0].body + 6), 200);
	assert_int_equal(get_u32(seen[0].body), 16);
	/* One that does not fit into the room is left out, and does not hold up the others. */
	cache_look_at_name(c, &at, name.octets, name.len);
	for (n = 0; !cache_look_is_over(&at);)
		n += cache_look(c, &at, 1100000, seen, 4, room, 20);
	assert_int_equal(n, 0);
	cache_free(c);
}

/* CACHE-15: under another secret names fall elsewhere; types, variants and routes of one name do not fall
 * together. */
static void test_hashes(void **state)
{
	static const uint8_t    other_secret[16] = "another secret";
	const struct cache_conf conf = { .size_octets = MIB };
	struct cache           *a = cache_new(&conf, secret), *b = cache_new(&conf, other_secret);
	struct dns_name         name = name_of("www.example.");
	unsigned                same = 0;
	uint64_t                seen[512];

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		char            text[32];
		struct dns_name n;

		snprintf(text, sizeof text, "n%u.example.", i);
		n = name_of(text);
		same += (cache_hash_name(a, n.octets, n.len) & 0xff) == (cache_hash_name(b, n.octets, n.len) & 0xff);
	}
	assert_true(same < 10);
	for (unsigned i = 0; i < COUNT_OF(seen); i++) {
		struct cache_key key = key_of(a, &name, (uint16_t)(i / 8), (uint8_t)(i % 4), i / 4 % 2);

		seen[i] = cache_hash_key(a, &key);
		for (unsigned k = 0; k < i; k++)
			assert_true((uint32_t)seen[i] != (uint32_t)seen[k]);
	}
	cache_free(a);
	cache_free(b);
}

static bool run_new(void *arg)
{
	struct cache *c = cache_new(arg, secret);

	cache_free(c);
	return c;
}

static void test_no_memory(void **state)
{
	struct cache_conf conf = { .size_octets = 16 * MIB };

	(void)state;
	assert_true(alloc_fail_each(run_new, &conf) >= 16);
	cache_free(NULL);
}

/* While memory is short a put may be refused, but nothing is lost or wrong, and it is all given back. */
static void test_put_without_memory(void **state)
{
	const struct cache_conf conf = { .size_octets = 4 * MIB };
	long                    before = alloc_live();
	struct cache           *c = cache_new(&conf, secret);

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		char               text[32];
		struct dns_name    name;
		struct cache_key   key;
		struct cache_found found;
		struct sample      s;

		snprintf(text, sizeof text, "n%u.example.", i);
		name = name_of(text);
		key = key_of(c, &name, DNS_A, 0, 1);
		sample_make(&s, DNS_ANSWER_POSITIVE, 60, i);
		alloc_fail_at(1);		/* each growth of a table fails */
		assert_int_equal(cache_put(c, &key, &s.answer, 0), 0);
		alloc_fail_at(0);
		assert_int_equal(look(c, &key, 0, &found), CACHE_FRESH);
	}
	cache_free(c);
	assert_int_equal(alloc_live(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_random_under_pressure),
		cmocka_unit_test(test_stale_window),
		cmocka_unit_test(test_failure_over_stale),
		cmocka_unit_test(test_edge),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_failure_holds),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_expired_first),
		cmocka_unit_test(test_look_at_all),
		cmocka_unit_test(test_look_at_name),
		cmocka_unit_test(test_hashes),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_put_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
