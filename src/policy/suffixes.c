/* suffixes.c - suffixes by hash. */
#include "policy/suffixes.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct suffix {
	const uint8_t *octets;		/* NULL: the slot is empty */
	size_t         len;
	size_t         value;
};

struct suffixes {
	uint64_t      lengths[4];	/* a bit for each length that some entry has */
	size_t        slot_mask;
	struct suffix slots[];
};

static uint32_t suffixes_hash(const uint8_t *octets, size_t len)
{
	uint32_t h = 0x811c9dc5u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ octets[i]) * 0x01000193u;
	return h ^ h >> 16;
}

struct suffixes *suffixes_new(size_t count)
{
	size_t           slots = 4;
	struct suffixes *t;

	while (slots < count * 2)
		slots *= 2;
	t = calloc(1, sizeof *t + slots * sizeof *t->slots);
	if (t)
		t->slot_mask = slots - 1;
	return t;
}

void suffixes_free(struct suffixes *t)
{
	free(t);
}

void suffixes_add(struct suffixes *t, const uint8_t *suffix, size_t len, size_t value)
{
	size_t i = suffixes_hash(suffix, len) & t->slot_mask;

	while (t->slots[i].octets)
		i = (i + 1) & t->slot_mask;
	t->slots[i] = (struct suffix){ .octets = suffix, .len = len, .value = value };
	t->lengths[len / 64] |= UINT64_C(1) << (len % 64);
}

static const struct suffix *suffixes_get(const struct suffixes *t, const uint8_t *suffix, size_t len)
{
	for (size_t i = suffixes_hash(suffix, len) & t->slot_mask; t->slots[i].octets;
	     i = (i + 1) & t->slot_mask)
		if (t->slots[i].len == len && !memcmp(t->slots[i].octets, suffix, len))
			return &t->slots[i];
	return NULL;
}

size_t suffixes_find(const struct suffixes *t, const uint8_t *name, size_t len, size_t *at)
{
	for (*at = 0; len - *at > 1; *at += name[*at] + 1u) {
		size_t               rest = len - *at;
		const struct suffix *s = NULL;

		if (t->lengths[rest / 64] >> (rest % 64) & 1)
			s = suffixes_get(t, name + *at, rest);
		if (s)
			return s->value;
	}
	return SUFFIXES_NONE;
}
