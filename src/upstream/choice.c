/* choice.c - the policies. */
#include "upstream/choice.h"

#include "base/rng.h"

const char *const upstream_policy_names[] = {
	[UPSTREAM_FASTEST] = "fastest",
	[UPSTREAM_ORDERED] = "ordered",
	[UPSTREAM_SPREAD] = "spread",
	[UPSTREAM_RACE] = "race",
	NULL,
};

#define LOOK_AGAIN_US UINT64_C(10000000)	/* an estimate older than this is worth a refresh */

/* Smaller is better; only candidates of the smallest are looked at further. */
static unsigned choice_rank(const struct candidate *c)
{
	return (unsigned)health_state(c->health) << 16 | c->sends;
}

/* How many candidates have the best rank; *rank is it. */
static size_t choice_count_best(const struct candidate *list, size_t count, unsigned *rank)
{
	size_t n = 0;

	*rank = (unsigned)HEALTH_OPEN << 16;
	for (size_t i = 0; i < count; i++) {
		unsigned r = choice_rank(&list[i]);

		if (health_state(list[i].health) == HEALTH_OPEN)
			continue;
		if (r < *rank) {
			*rank = r;
			n = 0;
		}
		n += r == *rank;
	}
	return n;
}

/* The n-th with this rank. */
static int choice_nth(const struct candidate *list, unsigned rank, size_t n)
{
	int i = 0;

	while (choice_rank(&list[i]) != rank || n--)
		i++;
	return i;
}

/* One without an estimate is taken for slow: what it is like, refreshes and hedges find out. */
static uint32_t choice_p50_us(const struct candidate *c)
{
	return atomic_load_explicit(&c->health->p50_us, memory_order_relaxed) - 1u;
}

/* A tenth is noise. */
static bool choice_is_quicker(const struct candidate *a, const struct candidate *b)
{
	return (uint64_t)choice_p50_us(a) * 10 < (uint64_t)choice_p50_us(b) * 9;
}

/* The better of two at random: the load spreads, and the slowest is never asked. */
static int choice_fastest(const struct candidate *list, unsigned rank, size_t n, struct rng *rng)
{
	size_t one = rng_below(rng, (uint32_t)n), two = n > 1 ? rng_below(rng, (uint32_t)n - 1) : one;
	int    a, b;

	two += n > 1 && two >= one;
	a = choice_nth(list, rank, one);
	b = choice_nth(list, rank, two);
	return choice_is_quicker(&list[b], &list[a]) ? b : a;
}

/* The one whose estimate is oldest, if that is old; -1: all are known well enough. */
static int choice_least_known(const struct candidate *list, size_t count, unsigned rank, uint64_t now_us)
{
	uint64_t oldest_us = now_us > LOOK_AGAIN_US ? now_us - LOOK_AGAIN_US : 0;
	int      best = -1;

	for (size_t i = 0; i < count; i++) {
		uint64_t at_us = atomic_load_explicit(&list[i].health->sampled_us, memory_order_relaxed);

		if (choice_rank(&list[i]) != rank || at_us > oldest_us)
			continue;
		oldest_us = at_us;
		best = (int)i;
	}
	return best;
}

int choice_make(enum upstream_policy policy, enum choice_purpose purpose, const struct candidate *list,
                size_t count, struct rng *rng, uint64_t now_us)
{
	unsigned rank;
	size_t   n = choice_count_best(list, count, &rank);
	int      seldom;

	if (!n)
		return -1;
	switch (policy) {
	case UPSTREAM_FASTEST:
	case UPSTREAM_RACE:
		seldom = purpose == CHOICE_REFRESH ? choice_least_known(list, count, rank, now_us) : -1;
		return seldom >= 0 ? seldom : choice_fastest(list, rank, n, rng);
	case UPSTREAM_SPREAD:
		return choice_nth(list, rank, rng_below(rng, (uint32_t)n));
	case UPSTREAM_ORDERED:
		break;
	}
	return choice_nth(list, rank, 0);
}
