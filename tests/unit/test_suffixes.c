/* test_suffixes.c - what a name falls under: the longest suffix on label borders, and where it begins. */
#include "unit.h"

#include "alloc_fail.h"
#include "dns/name.h"
#include "policy/suffixes.h"

#define ENTRIES 60

static struct dns_name random_name(struct dice *d, unsigned most)
{
	struct dns_name n = { .len = 1 };
	char            text[200] = "";

	for (uint64_t labels = dice_below(d, most + 1); labels; labels--) {
		static const char *const some[] = { "a", "b", "ab", "\\001a", "a\\.b", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" };

		strcat(text, some[dice_below(d, COUNT_OF(some))]);
		strcat(text, ".");
	}
	assert_int_equal(dns_name_from_text(*text ? text : ".", &n), 0);
	return n;
}

static bool same(const struct dns_name *a, const struct dns_name *b)
{
	return a->len == b->len && !memcmp(a->octets, b->octets, a->len);
}

static void test_longest(void **state)
{
	(void)state;
	for (struct dice d = dice_first(300); d.left; dice_next(&d)) {
		struct dns_name  names[ENTRIES];
		unsigned         count = 0, most = (unsigned)dice_below(&d, ENTRIES);
		struct suffixes *t = suffixes_new(most);

		while (count < most) {
			bool known = false;

			names[count] = random_name(&d, 4);
			for (unsigned i = 0; i < count; i++)
				known |= same(&names[i], &names[count]);
			if (known || names[count].len == 1) {	/* each once; the root is not asked for */
				most--;
				continue;
			}
			suffixes_add(t, names[count].octets, names[count].len, count * 10);
			count++;
		}
		for (unsigned i = 0; i < 200; i++) {
			struct dns_name n = random_name(&d, 6);
			size_t          best = SUFFIXES_NONE, best_len = 0, at = 12345, got;

			for (unsigned k = 0; k < count; k++)
				if (names[k].len > best_len &&
				    dns_name_below(n.octets, n.len, names[k].octets, names[k].len)) {
					best = k * 10;
					best_len = names[k].len;
				}
			got = suffixes_find(t, n.octets, n.len, &at);
			holds(&d, got == best);
			if (best != SUFFIXES_NONE)
				holds(&d, at == n.len - best_len);
		}
		suffixes_free(t);
	}
}

static bool run_new(void *arg)
{
	struct suffixes *t = suffixes_new(100);

	(void)arg;
	suffixes_free(t);
	return t;
}

static void test_no_memory(void **state)
{
	(void)state;
	assert_int_equal(alloc_fail_each(run_new, NULL), 1);
	suffixes_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
