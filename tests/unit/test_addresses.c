/* test_addresses.c - the text in which addresses are kept. */
#include "unit.h"

#include "daemon/addresses.h"

#define HEAD "larder addresses 1\n"

static struct addr_list list_of(const char *const *texts)
{
	struct addr_list l = { .count = 0 };

	for (; *texts; texts++) {
		struct addr a;

		assert_int_equal(addr_parse(*texts, 0, &a), 0);
		addr_list_add(&l, &a);
	}
	return l;
}

#define LIST(...) list_of((const char *const[]){ __VA_ARGS__, NULL })

static void test_there_and_back(void **state)
{
	struct addr_list a = LIST("2001:db8::53", "192.0.2.53"), b = LIST("192.0.2.1"), none = { .count = 0 }, l;
	char            *text;
	size_t           len;
	FILE            *f = open_memstream(&text, &len);

	(void)state;
	addresses_begin(f);
	addresses_add(f, "dot.example", &a);
	addresses_add(f, "lost.example", &none);
	addresses_add(f, "doh.example", &b);
	fclose(f);
	assert_string_equal(text, HEAD "dot.example 2001:db8::53 192.0.2.53\ndoh.example 192.0.2.1\n");
	assert_true(addresses_are_sound(text, len));
	assert_true(addresses_find(text, len, "dot.example", &l));
	assert_true(l.count == 2 && addr_equal(&l.at[0], &a.at[0]) && addr_equal(&l.at[1], &a.at[1]));
	assert_true(addresses_find(text, len, "doh.example", &l));
	assert_true(l.count == 1 && addr_equal(&l.at[0], &b.at[0]));
	assert_false(addresses_find(text, len, "lost.example", &l));
	free(text);
}

/* What is written is not longer than what is read: the rest is left out, line by line. */
static void test_bounded(void **state)
{
	struct addr_list a = LIST("2001:db8::53", "192.0.2.53"), l;
	char            *text, name[32];
	size_t           len;
	FILE            *f = open_memstream(&text, &len);

	(void)state;
	addresses_begin(f);
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(name, sizeof name, "dot%u.example", i);
		addresses_add(f, name, &a);
	}
	fclose(f);
	assert_true(len <= ADDRESSES_TEXT_MAX && len > ADDRESSES_TEXT_MAX - 64);
	assert_true(addresses_are_sound(text, len));
	assert_true(addresses_find(text, len, "dot5000.example", &l));
	assert_false(addresses_find(text, len, name, &l));
	free(text);
}

static void test_not_sound(void **state)
{
	static const char *const texts[] = {
		"",
		"larder",
		"larder addresses 2\n",
		HEAD "dot.example 192.0.2.1",		/* its end is missing */
		HEAD "dot.example\n",
		HEAD "\n",
		HEAD "dot.example 192.0.2\n",
		HEAD "dot.example 192.0.2.1:53\n",
		HEAD "dot.example 0.0.0.0\n",
		HEAD "dot.example 192.0.2.1 192.0.2.1\n",
		HEAD "dot.example 192.0.2.1\ndoh.example x\n",
		HEAD "a 192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 192.0.2.7 192.0.2.8 192.0.2.9\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		if (addresses_are_sound(texts[i], strlen(texts[i])))
			fail_msg("taken for sound: %s", texts[i]);
	assert_false(addresses_are_sound(HEAD "a\0 192.0.2.1\n", sizeof HEAD "a\0 192.0.2.1\n" - 1));
	assert_true(addresses_are_sound(HEAD, strlen(HEAD)));
}

/* Whatever lies there is refused or read, and no more than it is looked at. */
static void test_random(void **state)
{
	static const char good[] = HEAD "dot.example 2001:db8::53 192.0.2.53\ndoh.example 192.0.2.1\n";

	(void)state;
	for (struct dice d = dice_first(3000); d.left; dice_next(&d)) {
		size_t           len = dice_below(&d, sizeof good);
		char            *text = malloc(len + 1);	/* its end is watched */
		struct addr_list l;

		memcpy(text, good, len);
		for (unsigned n = dice_below(&d, 4); n && len; n--)
			text[dice_below(&d, (uint32_t)len)] = (char)dice_u64(&d);
		addresses_are_sound(text, len);
		addresses_find(text, len, "doh.example", &l);
		free(text);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_not_sound),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
