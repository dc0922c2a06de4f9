/* test_varlink.c - framing: however the stream is cut, the messages are the same. */
#include "base/varlink.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Puts in as much of octets as the buffer has room for; gives how much. */
static size_t put(struct varlink_buffer *b, const char *octets, size_t len)
{
	char  *at;
	size_t room;

	assert_int_equal(varlink_room(b, &at, &room), 0);
	assert_true(room > 0);
	if (len > room)
		len = room;
	memcpy(at, octets, len);
	varlink_filled(b, len);
	return len;
}

static void test_splits_at_nul(void **state)
{
	struct varlink_buffer b;
	const char           *message;
	size_t                len;

	(void)state;
	varlink_init(&b, 100);
	assert_null(varlink_next(&b, &len));
	assert_int_equal(put(&b, "one\0\0three\0fo", 13), 13);
	message = varlink_next(&b, &len);
	assert_string_equal(message, "one");
	assert_int_equal(len, 3);
	message = varlink_next(&b, &len);
	assert_string_equal(message, "");
	assert_int_equal(len, 0);
	assert_string_equal(varlink_next(&b, &len), "three");
	assert_null(varlink_next(&b, &len));
	assert_true(varlink_pending(&b));
	assert_int_equal(put(&b, "ur", 3), 3);
	assert_string_equal(varlink_next(&b, &len), "four");
	assert_null(varlink_next(&b, &len));
	assert_false(varlink_pending(&b));
	varlink_done(&b);
}

/* The longest message passes, with others before and behind it; one octet more does not. */
static void test_bound(void **state)
{
	static const size_t   maxima[] = { 1, 2, 7, 4095, 4096, 4097, 65536 };
	struct varlink_buffer b;
	size_t                len;

	(void)state;
	for (size_t i = 0; i < sizeof maxima / sizeof maxima[0]; i++) {
		size_t max = maxima[i];
		char  *longest = malloc(max + 2), *at;

		assert_non_null(longest);
		memset(longest, 'x', max + 1);
		longest[max + 1] = '\0';
		varlink_init(&b, max);
		for (int round = 0; round < 3; round++) {
			put(&b, "", 1);
			assert_string_equal(varlink_next(&b, &len), "");
			for (size_t sent = 0; sent < max + 1;)
				sent += put(&b, longest + 1 + sent, max + 1 - sent);
			assert_string_equal(varlink_next(&b, &len), longest + 1);
			assert_int_equal(len, max);
		}
		for (size_t sent = 0; sent < max + 1;) {
			assert_false(varlink_overrun(&b));
			sent += put(&b, longest + sent, max + 1 - sent);
			assert_null(varlink_next(&b, &len));
		}
		assert_true(varlink_overrun(&b));
		assert_int_equal(varlink_room(&b, &at, &len), -EMSGSIZE);
		assert_true(b.size <= max + 1);
		varlink_done(&b);
		free(longest);
	}
}

static uint32_t random_below(uint32_t *seed, uint32_t n)
{
	*seed = *seed * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)*seed * n >> 32);
}

/* A stream of 300 messages, cut anywhere, read after any cut or later. */
static void check_stream(uint32_t seed)
{
	enum { MESSAGES = 300, MAX = 9000 };
	static char           stream[MESSAGES * (MAX + 1)];
	static size_t         length[MESSAGES];
	struct varlink_buffer b;
	size_t                total = 0, sent = 0, read_at = 0, n = 0, len;
	uint32_t              r = seed;

	for (size_t i = 0; i < MESSAGES; i++) {
		length[i] = random_below(&r, random_below(&r, 8) ? 50 : MAX + 1);
		for (size_t k = 0; k < length[i]; k++)
			stream[total++] = (char)(1 + random_below(&r, 255));
		stream[total++] = '\0';
	}
	varlink_init(&b, MAX);
	while (n < MESSAGES) {
		const char *message;

		if (sent < total)
			sent += put(&b, stream + sent,
				    1 + random_below(&r, (uint32_t)(total - sent) < 3000
								 ? (uint32_t)(total - sent)
								 : 3000));
		while ((message = varlink_next(&b, &len))) {
			if (len != length[n] || memcmp(message, stream + read_at, len + 1))
				fail_msg("message %zu of seed %u", n, (unsigned)seed);
			read_at += len + 1;
			n++;
		}
	}
	assert_int_equal(read_at, total);
	assert_false(varlink_pending(&b));
	varlink_done(&b);
}

static void test_any_cut(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 20; seed++)
		check_stream(seed);
}

static void test_done_is_empty(void **state)
{
	struct varlink_buffer b;
	size_t                len;

	(void)state;
	varlink_init(&b, 10);
	put(&b, "abc", 3);
	varlink_done(&b);
	assert_null(varlink_next(&b, &len));
	put(&b, "d", 2);
	assert_string_equal(varlink_next(&b, &len), "d");
	varlink_done(&b);
	varlink_done(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_splits_at_nul),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_any_cut),
		cmocka_unit_test(test_done_is_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
