/* siphash.c - SipHash-1-3 over a whole buffer. */
#include "base/siphash.h"

#include <endian.h>
#include <string.h>

struct sipstate {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t siphash_rotl(uint64_t x, unsigned n)
{
	return (x << n) | (x >> (64 - n));
}

static inline void siphash_round(struct sipstate *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = siphash_rotl(s->v1, 13) ^ s->v0;
	s->v3 = siphash_rotl(s->v3, 16) ^ s->v2;
	s->v0 = siphash_rotl(s->v0, 32) + s->v3;
	s->v2 += s->v1;
	s->v1 = siphash_rotl(s->v1, 17) ^ s->v2;
	s->v3 = siphash_rotl(s->v3, 21) ^ s->v0;
	s->v2 = siphash_rotl(s->v2, 32);
}

static inline uint64_t siphash_word(const uint8_t *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof w);
	return le64toh(w);
}

uint64_t siphash13(const struct siphash_key *key, const uint8_t *octets, size_t len)
{
	struct sipstate s = {
		.v0 = key->k0 ^ 0x736f6d6570736575,
		.v1 = key->k1 ^ 0x646f72616e646f6d,
		.v2 = key->k0 ^ 0x6c7967656e657261,
		.v3 = key->k1 ^ 0x7465646279746573,
	};
	uint64_t last = (uint64_t)len << 56;
	size_t   left = len;

	for (; left >= 8; left -= 8, octets += 8) {
		uint64_t w = siphash_word(octets);

		s.v3 ^= w;
		siphash_round(&s);
		s.v0 ^= w;
	}
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)octets[i] << (8 * i);
	s.v3 ^= last;
	siphash_round(&s);
	s.v0 ^= last;
	s.v2 ^= 0xff;
	siphash_round(&s);
	siphash_round(&s);
	siphash_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
