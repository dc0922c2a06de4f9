/* test_timer.c - the wheel of wheels against a table of deadlines. */
#include "unit.h"

#include "base/timer.h"

#define TIMERS 40
#define NEVER  UINT64_MAX

struct alarm {
	struct timer  timer;
	uint64_t      due_ms;		/* when it must ring; NEVER: it does not run */
	unsigned      rung;
	struct world *world;
};

struct world {
	struct timers wheel;
	struct alarm  alarms[TIMERS];
	struct dice  *dice;
	unsigned      rung;
	uint64_t      run_to_ms;	/* of the run that is under way */
	bool          busy;		/* rings start and stop others */
};

static void alarm_start(struct alarm *a, uint64_t at_ms)
{
	struct timers *w = &a->world->wheel;

	timer_start(w, &a->timer, at_ms);
	a->due_ms = at_ms > w->now_ms ? at_ms : w->now_ms + 1;	/* the past: at the next run */
}

static void alarm_stop(struct alarm *a)
{
	timer_stop(&a->world->wheel, &a->timer);
	a->due_ms = NEVER;
}

static void world_play(struct world *w)
{
	struct alarm *a = &w->alarms[dice_below(w->dice, TIMERS)];

	if (dice_one_in(w->dice, 3))
		alarm_stop(a);
	else if (dice_one_in(w->dice, 8))
		alarm_start(a, dice_magnitude(w->dice, 40));			/* perhaps long ago */
	else
		alarm_start(a, w->wheel.now_ms + dice_magnitude(w->dice, 27));	/* up to 37 hours */
}

static void world_on_ring(struct timer *t)
{
	struct alarm *a = list_entry(t, struct alarm, timer);
	struct world *w = a->world;

	holds(w->dice, !timer_runs(t));
	holds(w->dice, a->due_ms == w->wheel.now_ms);
	holds(w->dice, w->wheel.now_ms <= w->run_to_ms);
	a->due_ms = NEVER;
	a->rung++;
	w->rung++;
	for (unsigned n = w->busy ? (unsigned)dice_below(w->dice, 3) : 0; n; n--)
		world_play(w);
}

static struct world *world_new(struct dice *d, uint64_t now_ms)
{
	struct world *w = calloc(1, sizeof *w);

	assert_non_null(w);
	w->dice = d;
	timers_init(&w->wheel, now_ms);
	for (unsigned i = 0; i < TIMERS; i++) {
		timer_init(&w->alarms[i].timer, world_on_ring);
		w->alarms[i].world = w;
		w->alarms[i].due_ms = NEVER;
	}
	return w;
}

static void world_run(struct world *w, uint64_t to_ms)
{
	w->run_to_ms = to_ms;
	timers_run(&w->wheel, to_ms);
	holds(w->dice, w->wheel.now_ms == to_ms);
}

/* Everything that can be said about a wheel at rest. */
static void world_check(struct world *w)
{
	uint64_t first = NEVER, next = timers_next_ms(&w->wheel);
	unsigned running = 0, found = 0;

	for (unsigned i = 0; i < TIMERS; i++) {
		struct alarm *a = &w->alarms[i];

		holds(w->dice, timer_runs(&a->timer) == (a->due_ms != NEVER));
		holds(w->dice, a->due_ms > w->wheel.now_ms);
		running += a->due_ms != NEVER;
		first = a->due_ms < first ? a->due_ms : first;
	}
	holds(w->dice, next > w->wheel.now_ms);
	holds(w->dice, next <= first);
	holds(w->dice, (next == NEVER) == (first == NEVER));
	for (unsigned level = 0; level < TIMER_LEVELS; level++)
		for (unsigned slot = 0; slot < TIMER_SLOTS; slot++) {
			const struct list *head = &w->wheel.slots[level][slot];

			holds(w->dice, (w->wheel.used[level] >> slot & 1) == !list_empty(head));
			for (const struct list *n = head->next; n != head; n = n->next, found++)
				holds(w->dice, list_entry(n, struct timer, node)->slot ==
				                       level * TIMER_SLOTS + slot);
		}
	holds(w->dice, found == running);
}

/* Starts, stops and runs at random, with jumps of many hours; rings start and stop others. */
static void test_random(void **state)
{
	(void)state;
	for (struct dice d = dice_first(60); d.left; dice_next(&d)) {
		struct world *w = world_new(&d, dice_magnitude(&d, 44));

		w->busy = dice_one_in(&d, 2);
		for (unsigned step = 0; step < 400; step++) {
			uint64_t next = timers_next_ms(&w->wheel);

			if (dice_below(&d, 4))
				world_play(w);
			else if (next != NEVER && dice_one_in(&d, 2))
				world_run(w, next);
			else
				world_run(w, w->wheel.now_ms + dice_magnitude(&d, 26));
			world_check(w);
		}
		holds(&d, w->rung > 0);
		free(w);
	}
}

/* Driven as a worker drives it, a far deadline costs few looks. */
static void test_few_wakes(void **state)
{
	static const uint64_t hours[] = { 1, 4, 5, 9, 24, 240 };
	struct dice           d;

	(void)state;
	dice_init(&d, 0);
	for (size_t i = 0; i < COUNT_OF(hours); i++) {
		struct world *w = world_new(&d, 123456789);
		uint64_t      at = w->wheel.now_ms + hours[i] * 3600000 + 17;
		unsigned      wakes = 0;

		alarm_start(&w->alarms[0], at);
		while (!w->rung) {
			uint64_t next = timers_next_ms(&w->wheel);

			assert_true(next <= at);
			world_run(w, next);
			wakes++;
		}
		assert_int_equal(w->wheel.now_ms, at);
		assert_true(wakes <= TIMER_LEVELS + hours[i] / 4);
		free(w);
	}
}

static unsigned order[4], order_count;

static void order_on_ring(struct timer *t)
{
	order[order_count++] = (unsigned)t->at_ms;
}

/* One run over several deadlines rings them as they lie in time, whatever level they lay on. */
static void test_order(void **state)
{
	struct timers w;
	struct timer  t[4];
	const unsigned at[4] = { 70000, 5, 4100, 64 };

	(void)state;
	timers_init(&w, 0);
	order_count = 0;
	for (unsigned i = 0; i < 4; i++) {
		timer_init(&t[i], order_on_ring);
		timer_start(&w, &t[i], at[i]);
	}
	timers_run(&w, 69999);
	assert_int_equal(order_count, 3);
	timers_run(&w, 70000);
	assert_int_equal(order_count, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(order[i], ((const unsigned[]){ 5, 64, 4100, 70000 })[i]);
	timers_run(&w, 60000);		/* time does not go back */
	assert_int_equal(w.now_ms, 70000);
	assert_true(timers_next_ms(&w) == NEVER);
}

struct pair {
	struct timer  timer;
	struct timers *wheel;
	struct pair  *other;
	unsigned      rung;
	bool          frees;
};

static void pair_on_ring(struct timer *t)
{
	struct pair *p = list_entry(t, struct pair, timer);

	p->rung++;
	if (p->other)
		timer_stop(p->wheel, &p->other->timer);
	if (p->frees)
		free(p);
}

/* Two that are due in the same millisecond: the first stops the second, which must not ring. */
static void test_ring_stops_another(void **state)
{
	struct timers w;
	struct pair   a = { .wheel = &w }, b = { .wheel = &w, .other = &a };

	(void)state;
	a.other = &b;
	timers_init(&w, 1000);
	timer_init(&a.timer, pair_on_ring);
	timer_init(&b.timer, pair_on_ring);
	timer_start(&w, &a.timer, 1010);
	timer_start(&w, &b.timer, 1010);
	timers_run(&w, 2000);
	assert_int_equal(a.rung + b.rung, 1);
	assert_false(timer_runs(&a.timer) || timer_runs(&b.timer));
	assert_true(timers_next_ms(&w) == NEVER);
}

static void test_ring_frees_itself(void **state)
{
	struct timers w;
	struct pair  *p = calloc(1, sizeof *p);

	(void)state;
	assert_non_null(p);
	p->frees = true;
	timers_init(&w, 0);
	timer_init(&p->timer, pair_on_ring);
	timer_start(&w, &p->timer, 3);
	timers_run(&w, 3);		/* the address sanitizer and valgrind watch */
	assert_true(timers_next_ms(&w) == NEVER);
}

static void again_on_ring(struct timer *t)
{
	struct pair *p = list_entry(t, struct pair, timer);

	p->rung++;
	timer_start(p->wheel, t, 0);	/* at once, which is the next millisecond */
}

/* A timer that starts itself for the past rings once a millisecond: the run comes to its end. */
static void test_ring_starts_itself(void **state)
{
	struct timers w;
	struct pair   p = { .wheel = &w };

	(void)state;
	timers_init(&w, 50);
	timer_init(&p.timer, again_on_ring);
	timer_start(&w, &p.timer, 0);
	timers_run(&w, 50);
	assert_int_equal(p.rung, 0);
	timers_run(&w, 60);
	assert_int_equal(p.rung, 10);
	timer_stop(&w, &p.timer);
	timer_stop(&w, &p.timer);
	timers_run(&w, 100);
	assert_int_equal(p.rung, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_few_wakes),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_ring_stops_another),
		cmocka_unit_test(test_ring_frees_itself),
		cmocka_unit_test(test_ring_starts_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
