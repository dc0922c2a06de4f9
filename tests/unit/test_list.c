/* test_list.c - intrusive lists against an array that says the same. */
#include "unit.h"

#include "base/list.h"

#define NODES 12

struct item {
	int         value;
	struct list node;
};

static void test_take_in_order(void **state)
{
	struct list head;
	struct item items[3];

	(void)state;
	list_init(&head);
	assert_true(list_empty(&head));
	assert_null(list_take_first(&head));
	for (int i = 0; i < 3; i++) {
		items[i].value = i;
		list_append(&head, &items[i].node);
	}
	assert_false(list_empty(&head));
	for (int i = 0; i < 3; i++) {
		struct list *n = list_take_first(&head);

		assert_non_null(n);
		assert_int_equal(list_entry(n, struct item, node)->value, i);
		assert_true(list_empty(n));
	}
	assert_true(list_empty(&head));
}

static void test_remove_twice(void **state)
{
	struct list head, a, b;

	(void)state;
	list_init(&head);
	list_append(&head, &a);
	list_append(&head, &b);
	list_remove(&a);
	list_remove(&a);
	list_remove(&a);
	assert_ptr_equal(head.next, &b);
	assert_ptr_equal(head.prev, &b);
	list_append(&head, &a);		/* and it can come back */
	assert_ptr_equal(head.prev, &a);
	assert_ptr_equal(a.prev, &b);
}

static void test_splice(void **state)
{
	struct list to, from, n[4];

	(void)state;
	list_init(&to);
	list_init(&from);
	list_splice(&to, &from);		/* nothing to nothing */
	assert_true(list_empty(&to));
	list_append(&to, &n[0]);
	list_splice(&to, &from);
	assert_ptr_equal(to.next, &n[0]);
	assert_ptr_equal(to.prev, &n[0]);
	for (int i = 1; i < 4; i++)
		list_append(&from, &n[i]);
	list_splice(&to, &from);
	assert_true(list_empty(&from));
	for (int i = 0; i < 4; i++)
		assert_ptr_equal(list_take_first(&to), &n[i]);
	assert_true(list_empty(&to));
}

/* Is the list what the model says, in both directions? */
static void check(const struct dice *d, const struct list *head, struct item *const *model, unsigned count)
{
	const struct list *n = head->next, *back = head->prev;

	for (unsigned i = 0; i < count; i++, n = n->next, back = back->prev) {
		holds(d, n == &model[i]->node);
		holds(d, back == &model[count - 1 - i]->node);
	}
	holds(d, n == head && back == head);
}

static void test_random(void **state)
{
	(void)state;
	for (struct dice d = dice_first(50); d.left; dice_next(&d)) {
		struct list  heads[2];
		struct item  items[NODES], *model[2][NODES];
		unsigned     count[2] = { 0 };
		unsigned     where[NODES];

		for (unsigned i = 0; i < 2; i++)
			list_init(&heads[i]);
		for (unsigned i = 0; i < NODES; i++) {
			list_init(&items[i].node);
			where[i] = 2;
		}
		for (unsigned step = 0; step < 400; step++) {
			unsigned i = (unsigned)dice_below(&d, NODES), l = (unsigned)dice_below(&d, 2);

			if (dice_one_in(&d, 8)) {		/* all of one go behind the other */
				list_splice(&heads[l], &heads[1 - l]);
				for (unsigned k = 0; k < count[1 - l]; k++) {
					where[model[1 - l][k] - items] = l;
					model[l][count[l] + k] = model[1 - l][k];
				}
				count[l] += count[1 - l];
				count[1 - l] = 0;
			} else {				/* one leaves where it is, and may come back */
				list_remove(&items[i].node);
				if (where[i] < 2) {
					unsigned from = where[i], k = 0;

					while (model[from][k] != &items[i])
						k++;
					memmove(&model[from][k], &model[from][k + 1],
					        (count[from] - k - 1) * sizeof model[0][0]);
					count[from]--;
					where[i] = 2;
				}
				if (dice_below(&d, 3)) {
					list_append(&heads[l], &items[i].node);
					model[l][count[l]++] = &items[i];
					where[i] = l;
				}
			}
			check(&d, &heads[0], model[0], count[0]);
			check(&d, &heads[1], model[1], count[1]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take_in_order),
		cmocka_unit_test(test_remove_twice),
		cmocka_unit_test(test_splice),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
