/* test_siphash.c - SipHash-1-3 against a second implementation, written as the paper tells it.
 *
 * The second one has its numbers of rounds as parameters; with 2 and 4 it must
 * give the paper's own example, so that with 1 and 3 it can be believed.
 */
#include "unit.h"

#include "base/siphash.h"
#include "guard.h"

static uint64_t v[4];

static uint64_t left(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static void rounds(unsigned n)
{
	while (n--) {
		v[0] += v[1];
		v[1] = left(v[1], 13);
		v[1] ^= v[0];
		v[0] = left(v[0], 32);
		v[2] += v[3];
		v[3] = left(v[3], 16);
		v[3] ^= v[2];
		v[0] += v[3];
		v[3] = left(v[3], 21);
		v[3] ^= v[0];
		v[2] += v[1];
		v[1] = left(v[1], 17);
		v[1] ^= v[2];
		v[2] = left(v[2], 32);
	}
}

static uint64_t slow_siphash(unsigned c, unsigned d, const struct siphash_key *key, const uint8_t *m, size_t len)
{
	static const char text[] = "somepseudorandomlygeneratedbytes";
	uint64_t          word;

	for (unsigned i = 0; i < 4; i++) {
		v[i] = 0;
		for (unsigned k = 0; k < 8; k++)
			v[i] = v[i] << 8 | (uint8_t)text[i * 8 + k];
		v[i] ^= i % 2 ? key->k1 : key->k0;
	}
	for (size_t at = 0; at <= len; at += 8) {	/* the last word is never a whole one of m */
		word = 0;
		for (size_t k = 0; k < 8 && at + k < len; k++)
			word |= (uint64_t)m[at + k] << (8 * k);
		if (at + 8 > len)
			word |= (uint64_t)(len & 0xff) << 56;
		v[3] ^= word;
		rounds(c);
		v[0] ^= word;
	}
	v[2] ^= 0xff;
	rounds(d);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static struct siphash_key paper_key(void)
{
	return (struct siphash_key){ 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
}

/* Appendix A of the paper: SipHash-2-4, key 00 … 0f, input 00 … 0e. */
static void test_second_implementation(void **state)
{
	struct siphash_key key = paper_key();
	uint8_t            m[15];

	(void)state;
	for (unsigned i = 0; i < sizeof m; i++)
		m[i] = (uint8_t)i;
	assert_int_equal(slow_siphash(2, 4, &key, m, sizeof m), 0xa129ca6149be45e5);
}

/* Python has hashed octets with SipHash-1-3 since 3.11, with key 0 when PYTHONHASHSEED is 0. */
static void test_vectors_of_another_program(void **state)
{
	static const struct {
		size_t   len;
		uint64_t hash;
	} rows[] = {
		{ 1, 0x68a914128e01e473 },  { 2, 0x010bac45c41e3669 },  { 3, 0x4d4c9a4a8ef6e0ad },
		{ 7, 0x2f098ab0c751325a },  { 8, 0xead411e67ebe2eea },  { 9, 0x75927f9d95124362 },
		{ 15, 0xf30eb725bb91c9ea }, { 16, 0x8972188433a5c5b7 }, { 31, 0x169739443111d49b },
		{ 63, 0x385d3e39e5f37359 },
	};
	const struct siphash_key key = { 0, 0 };
	uint8_t                  m[64];

	(void)state;
	for (unsigned i = 0; i < sizeof m; i++)
		m[i] = (uint8_t)i;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_int_equal(siphash13(&key, m, rows[i].len), rows[i].hash);
}

/* Every length to 300 with the paper's key, then random keys, contents and lengths; nothing is read behind. */
static void test_equal(void **state)
{
	struct siphash_key key = paper_key();
	uint8_t            m[600];
	struct guard       g;

	(void)state;
	guard_init(&g, sizeof m);
	for (unsigned i = 0; i < sizeof m; i++)
		m[i] = (uint8_t)i;
	for (size_t len = 0; len <= 300; len++)
		assert_int_equal(siphash13(&key, guard_copy(&g, m, len), len),
		                 slow_siphash(1, 3, &key, m, len));
	for (struct dice d = dice_first(300); d.left; dice_next(&d)) {
		size_t len = dice_below(&d, sizeof m);

		key.k0 = dice_u64(&d);
		key.k1 = dice_u64(&d);
		dice_octets(&d, m, len);
		holds(&d, siphash13(&key, guard_copy(&g, m, len), len) == slow_siphash(1, 3, &key, m, len));
	}
	guard_done(&g);
}

/* Each bit of key and input matters. */
static void test_every_bit_matters(void **state)
{
	struct siphash_key key = paper_key();
	uint8_t            m[20] = { 0 };
	uint64_t           first = siphash13(&key, m, sizeof m);

	(void)state;
	for (unsigned bit = 0; bit < 8 * sizeof m; bit++) {
		m[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(siphash13(&key, m, sizeof m), first);
		m[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (unsigned bit = 0; bit < 64; bit++) {
		struct siphash_key a = key, b = key;

		a.k0 ^= UINT64_C(1) << bit;
		b.k1 ^= UINT64_C(1) << bit;
		assert_int_not_equal(siphash13(&a, m, sizeof m), first);
		assert_int_not_equal(siphash13(&b, m, sizeof m), first);
	}
	assert_int_not_equal(siphash13(&key, m, sizeof m - 1), first);	/* nor are final zeros lost */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_second_implementation),
		cmocka_unit_test(test_vectors_of_another_program),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_every_bit_matters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
