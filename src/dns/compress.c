/* compress.c - names on their way out. */
#include "dns/compress.h"

#include "dns/wire.h"

#include <string.h>

#define POINTER      0xc000
#define POINTER_MAX  0x3fff
#define QUESTION_AT  12

static unsigned compress_hash(const uint8_t *label, unsigned after, bool fold)
{
	uint32_t h = after * 0x9e3779b1u + 0x85ebca6bu;

	for (unsigned i = 0; i <= label[0]; i++)
		h = (h ^ (fold ? dns_fold[label[i]] : label[i])) * 0x01000193u;
	return h ^ h >> 15;
}

/* Where each label begins and what its suffix hashes to; gives the number of labels. */
static unsigned compress_suffixes(const struct dns_name *n, bool fold, uint8_t *start, unsigned *hash)
{
	unsigned labels = 0, after = 0;

	for (size_t at = 0; n->octets[at]; at += n->octets[at] + 1u)
		start[labels++] = (uint8_t)at;
	for (unsigned i = labels; i-- > 0;)
		hash[i] = after = compress_hash(n->octets + start[i], after, fold);
	return labels;
}

/* Does the suffix at reply offset at say the same as name? */
static bool compress_same(const struct compress *c, size_t at, const uint8_t *name, bool fold)
{
	for (;;) {
		const uint8_t *label;

		while (c->reply[at] >= 0xc0)
			at = wire_u16(c->reply + at) & POINTER_MAX;
		label = c->reply + at;
		if (label[0] != name[0])
			return false;
		if (!label[0])
			return true;
		for (unsigned i = 1; i <= label[0]; i++)
			if (fold ? dns_fold[label[i]] != dns_fold[name[i]] : label[i] != name[i])
				return false;
		at += label[0] + 1u;
		name += name[0] + 1u;
	}
}

static void compress_put(uint16_t table[][2], unsigned hash, size_t at)
{
	uint16_t *set = table[hash % COMPRESS_SETS];

	set[1] = set[0];
	set[0] = (uint16_t)at;
}

/* Where this suffix stands already; 0: nowhere. */
static size_t compress_find(const struct compress *c, uint16_t table[][2], unsigned hash,
                            const uint8_t *suffix, bool fold)
{
	const uint16_t *set = table[hash % COMPRESS_SETS];

	for (unsigned i = 0; i < 2; i++)
		if (set[i] && compress_same(c, set[i], suffix, fold))
			return set[i];
	return 0;
}

static void compress_remember(struct compress *c, size_t at, const struct dns_name *n, unsigned labels,
                              bool leads_into_question)
{
	uint8_t  start[DNS_LABELS_MAX];
	unsigned hash[DNS_LABELS_MAX];

	compress_suffixes(n, true, start, hash);
	for (unsigned i = 0; i < labels && at + start[i] <= POINTER_MAX; i++)
		compress_put(c->by_fold, hash[i], at + start[i]);
	if (leads_into_question)
		return;
	compress_suffixes(n, false, start, hash);
	for (unsigned i = 0; i < labels && at + start[i] <= POINTER_MAX; i++)
		compress_put(c->by_exact, hash[i], at + start[i]);
}

void compress_init(struct compress *c, uint8_t *reply, uint8_t qname_len)
{
	c->reply = reply;
	c->qname_len = qname_len;
	c->body_at = QUESTION_AT + qname_len + 4u;
	c->tables_ready = false;
}

/* Clears the tables and enters the question's suffixes. */
static void compress_make_tables(struct compress *c)
{
	struct dns_name qname;
	unsigned        labels = 0;

	qname.len = c->qname_len;
	c->tables_ready = true;
	memset(c->by_fold, 0, sizeof c->by_fold);
	memset(c->by_exact, 0, sizeof c->by_exact);
	memcpy(qname.octets, c->reply + QUESTION_AT, c->qname_len);
	for (size_t at = 0; qname.octets[at]; at += qname.octets[at] + 1u)
		labels++;
	compress_remember(c, QUESTION_AT, &qname, labels, true);
}

size_t compress_name(struct compress *c, size_t at, const struct dns_name *n, enum compress_use use)
{
	bool     fold = use == COMPRESS_OWNER;
	uint8_t  start[DNS_LABELS_MAX];
	unsigned hash[DNS_LABELS_MAX], labels, i;
	size_t   len = n->len, target = 0;

	if (fold && n->len > 1 && dns_name_equal(n->octets, n->len, c->reply + QUESTION_AT, c->qname_len)) {
		wire_put_u16(c->reply + at, POINTER | QUESTION_AT);
		return 2;
	}
	if (!c->tables_ready)
		compress_make_tables(c);
	labels = compress_suffixes(n, fold, start, hash);
	for (i = 0; use != COMPRESS_NOT && i < labels && !target; i++)
		target = compress_find(c, fold ? c->by_fold : c->by_exact, hash[i], n->octets + start[i], fold);
	if (target) {
		labels = i - 1;		/* those before the suffix that was found */
		len = start[labels];
	}
	memcpy(c->reply + at, n->octets, len);
	compress_remember(c, at, n, labels, fold && target);
	if (target) {
		wire_put_u16(c->reply + at + len, (uint16_t)(POINTER | target));
		len += 2;
	}
	return len;
}
