/* test_pool.c - the memory of a shard against a model: who has which octets. */
#include "unit.h"

#include "cache/pool.h"

#define PAGE       4096u
#define BLOCKS_MAX 2000

struct block {
	pool_ref ref;
	size_t   size;			/* octets asked for */
	uint8_t  mark;			/* its octets beyond the pool's word */
};

struct model {
	struct dice *d;
	struct pool  pool;
	unsigned     count;
	struct block blocks[BLOCKS_MAX];
};

static struct model model;

static uint8_t *body(const struct model *m, const struct block *b)
{
	return (uint8_t *)pool_at(&m->pool, b->ref) + 4;
}

static bool is_intact(const struct model *m, const struct block *b)
{
	const uint8_t *p = body(m, b);

	for (size_t i = 0; i + 4 < b->size; i++)
		if (p[i] != b->mark)
			return false;
	return true;
}

static int by_ref(const void *a, const void *b)
{
	const struct block *x = a, *y = b;

	return x->ref < y->ref ? -1 : x->ref > y->ref;
}

/* Blocks do not overlap and keep what their owners wrote; walking from block to block meets all of them, and
 * between two there is at most one free one. */
static void check(struct model *m)
{
	struct pool *p = &m->pool;
	pool_ref     at = 1, walk;
	unsigned     i = 0;

	qsort(m->blocks, m->count, sizeof *m->blocks, by_ref);
	while (at < p->top) {
		size_t size = pool_block_size(p, at);

		holds(m->d, size > 0 && size % POOL_GRANULE == 0);
		holds(m->d, at + size / POOL_GRANULE <= p->top);
		if (i < m->count && m->blocks[i].ref == at) {
			holds(m->d, size >= m->blocks[i].size);
			holds(m->d, is_intact(m, &m->blocks[i]));
			i++;
		} else {		/* free, so the next one is not, and it is not the last */
			holds(m->d, i < m->count);
			holds(m->d, m->blocks[i].ref == at + size / POOL_GRANULE);
			holds(m->d, pool_next_used(p, at) == m->blocks[i].ref);
		}
		at += (pool_ref)(size / POOL_GRANULE);
	}
	holds(m->d, i == m->count && at == p->top);
	holds(m->d, pool_touched(p) <= p->size);
	walk = m->count && m->blocks[0].ref == 1 ? 1 : m->count ? pool_next_used(p, 1) : 0;
	for (i = 0; i < m->count; i++, walk = pool_next_used(p, walk))
		holds(m->d, walk == m->blocks[i].ref);
	holds(m->d, walk == 0);
}

static size_t some_size(struct dice *d)
{
	return dice_one_in(d, 12) ? 1 + dice_magnitude(d, 14) : 20 + dice_below(d, 200);
}

static bool take(struct model *m, size_t size)
{
	struct block *b = &m->blocks[m->count];

	b->ref = pool_alloc(&m->pool, size);
	if (!b->ref)
		return false;
	b->size = size;
	b->mark = (uint8_t)dice_u64(m->d);
	memset(body(m, b), b->mark, size > 4 ? size - 4 : 0);
	m->count++;
	return true;
}

static void give_back(struct model *m, unsigned i)
{
	pool_ref ref = m->blocks[i].ref, hole;

	holds(m->d, is_intact(m, &m->blocks[i]));
	hole = pool_free(&m->pool, ref);
	m->blocks[i] = m->blocks[--m->count];
	if (hole) {		/* what it has become part of covers it, and lies before a used one */
		holds(m->d, hole <= ref);
		holds(m->d, hole + pool_block_size(&m->pool, hole) / POOL_GRANULE > ref);
		holds(m->d, pool_next_used(&m->pool, hole) != 0);
	} else {
		holds(m->d, m->pool.top <= ref);
	}
}

static void test_random(void **state)
{
	(void)state;
	for (struct dice d = dice_first(60); d.left; dice_next(&d)) {
		struct model *m = &model;
		unsigned      refused = 0;

		m->d = &d;
		m->count = 0;
		assert_int_equal(pool_init(&m->pool, (1 + dice_below(&d, 24)) * PAGE), 0);
		for (unsigned step = 0; step < 1500; step++) {
			bool fill = dice_below(&d, 1000) < 300 + (step / 100 % 2) * 400;

			if (fill && m->count < BLOCKS_MAX)
				refused += !take(m, some_size(&d));
			else if (m->count)
				give_back(m, (unsigned)dice_below(&d, m->count));
			if (step % 8 == 0)
				check(m);
		}
		while (m->count)
			give_back(m, (unsigned)dice_below(&d, m->count));
		holds(&d, pool_touched(&m->pool) == POOL_GRANULE);	/* all of it has gone back */
		for (unsigned i = 0; i < POOL_BINS; i++)
			holds(&d, m->pool.bins[i] == 0 && !(m->pool.nonempty[i / 64] >> i % 64 & 1));
		(void)refused;
		pool_done(&m->pool);
		pool_done(&m->pool);
	}
}

/* What was refused for want of room fits when something as large has been given back. */
static void test_full(void **state)
{
	struct dice   d = dice_first(1);
	struct model *m = &model;
	size_t        taken = 0;

	(void)state;
	m->d = &d;
	m->count = 0;
	assert_int_equal(pool_init(&m->pool, 4 * PAGE), 0);
	while (m->count < BLOCKS_MAX && take(m, 64))
		taken += 64;
	assert_in_range(taken, 4 * PAGE - 2 * 64, 4 * PAGE);
	assert_int_equal(pool_alloc(&m->pool, 64), 0);
	assert_int_equal(pool_alloc(&m->pool, 4 * PAGE), 0);
	assert_int_equal(pool_alloc(&m->pool, SIZE_MAX / 2), 0);
	give_back(m, m->count / 2);
	assert_true(take(m, 64));
	assert_int_equal(pool_alloc(&m->pool, 64), 0);
	check(m);
	pool_clear(&m->pool);
	m->count = 0;
	for (size_t again = 0; again < taken; again += 64)
		assert_true(take(m, 64));
	pool_done(&m->pool);
}

/* The bound can be moved; what is in use beyond it stays. */
static void test_limit(void **state)
{
	struct dice   d = dice_first(1);
	struct model *m = &model;

	(void)state;
	m->d = &d;
	m->count = 0;
	assert_int_equal(pool_init(&m->pool, 4 * PAGE), 0);
	pool_limit(&m->pool, PAGE);
	while (take(m, 100))
		assert_true(pool_touched(&m->pool) <= PAGE);
	assert_true(m->count >= PAGE / 112);
	pool_limit(&m->pool, 100 * PAGE);		/* never beyond what was reserved */
	while (m->count < BLOCKS_MAX && take(m, 100))
		assert_true(pool_touched(&m->pool) <= 4 * PAGE);
	assert_true(m->count > 3 * (PAGE / 112));
	pool_limit(&m->pool, PAGE);
	assert_int_equal(pool_alloc(&m->pool, 100), 0);
	check(m);
	give_back(m, 0);
	assert_true(take(m, 100));			/* holes below are still of use */
	check(m);
	pool_done(&m->pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
