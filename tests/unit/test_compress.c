/* test_compress.c - names on their way out: what is written reads back.  Rows NAME-05, NAME-12, NAME-15. */
#include "unit.h"

#include "dns/compress.h"
#include "dns/message.h"
#include "oracle.h"

#include <time.h>

#define NAMES_MAX   9000
#define MESSAGE_MAX 65535

struct written {
	struct dns_name   name;
	enum compress_use use;
	size_t            at, len;
};

static struct compress  compress;
static uint8_t          reply[MESSAGE_MAX + 512];
static struct written   written[NAMES_MAX];

static size_t begin(const struct dns_name *qname)
{
	memset(reply, 0xee, sizeof reply);
	memset(reply, 0, 12);
	memcpy(reply + 12, qname->octets, qname->len);
	memset(reply + 12 + qname->len, 0, 4);
	compress_init(&compress, reply, qname->len);
	return 12 + qname->len + 4u;
}

static struct dns_name name_of(const char *text)
{
	struct dns_name n;

	assert_int_equal(dns_name_from_text(text, &n), 0);
	return n;
}

/* Puts a label of few kinds in front of a name, if there is room. */
static void grow(struct dice *d, struct dns_name *n)
{
	uint8_t label[8], len = (uint8_t)(1 + dice_below(d, dice_one_in(d, 6) ? 7 : 2));

	for (unsigned i = 0; i < len; i++)
		label[i] = dice_one_in(d, 10) ? (uint8_t)dice_u64(d) : (uint8_t)"abAB"[dice_below(d, 4)];
	if (n->len + len + 1 > DNS_NAME_MAX)
		return;
	memmove(n->octets + len + 1, n->octets, n->len);
	n->octets[0] = len;
	memcpy(n->octets + 1, label, len);
	n->len = (uint8_t)(n->len + len + 1);
}

/* A new name, one of before, one below it, or the end of one; now and then in other letter case. */
static struct dns_name next_name(struct dice *d, unsigned count)
{
	struct dns_name n = { .len = 1 };

	if (count && dice_below(d, 8))
		n = written[dice_below(d, count)].name;
	for (uint64_t cuts = dice_below(d, 3); cuts && n.octets[0]; cuts--) {
		uint8_t label = (uint8_t)(n.octets[0] + 1);

		n.len = (uint8_t)(n.len - label);
		memmove(n.octets, n.octets + label, n.len);
	}
	for (uint64_t more = dice_below(d, 4); more; more--)
		grow(d, &n);
	for (unsigned i = 0; dice_one_in(d, 3) && i < n.len; i++)
		if ((n.octets[i] | 32) >= 'a' && (n.octets[i] | 32) <= 'z' && dice_one_in(d, 3))
			n.octets[i] ^= 32;
	return n;
}

/* Reads all names back: the owner's case may be another one's, in RDATA it is its own, whatever case the
 * question is in. */
static void check(struct dice *d, unsigned count, size_t len)
{
	for (unsigned i = 0; i < count; i++) {
		const struct written *w = &written[i];
		struct oracle_name    got, want = { .len = w->name.len };
		size_t                behind = oracle_name(reply, len, w->at, &got);

		memcpy(want.octets, w->name.octets, w->name.len);
		holds(d, behind == w->at + w->len);
		holds(d, oracle_name_equal(&got, &want));
		if (w->use != COMPRESS_OWNER)
			holds(d, !memcmp(got.octets, want.octets, want.len));
		if (w->use == COMPRESS_NOT)
			holds(d, w->len == w->name.len);
		holds(d, w->len <= w->name.len || w->len == 2);
	}
}

static void test_round_trip(void **state)
{
	(void)state;
	for (struct dice d = dice_first(1500); d.left; dice_next(&d)) {
		struct dns_name qname = { .len = 1 };
		unsigned        count = 0, most = 1 + (unsigned)dice_magnitude(&d, dice_one_in(&d, 20) ? 13 : 7);
		size_t          at;

		for (uint64_t labels = dice_below(&d, 5); labels; labels--)
			grow(&d, &qname);
		at = begin(&qname);
		written[count++] = (struct written){ .name = qname, .use = COMPRESS_OWNER, .at = 12, .len = qname.len };
		while (count < most && count < NAMES_MAX && at + 300 < MESSAGE_MAX) {
			struct written *w = &written[count];

			w->name = next_name(&d, count);
			w->use = (enum compress_use)dice_below(&d, 3);
			w->at = at;
			w->len = compress_name(&compress, at, &w->name, w->use);
			count++;
			at += w->len;
			for (uint64_t n = dice_below(&d, 20); n; n--)		/* what stands between names */
				reply[at++] = (uint8_t)dice_u64(&d);
		}
		check(&d, count, at);
		/* another asker's letter case stands in the question: RDATA must not care */
		for (unsigned i = 0; i < qname.len; i++)
			if ((qname.octets[i] | 32) >= 'a' && (qname.octets[i] | 32) <= 'z')
				reply[12 + i] ^= 32;
		check(&d, count, at);
	}
}

/* What everybody expects of compression. */
static void test_it_compresses(void **state)
{
	struct dns_name qname = name_of("www.example.com."), upper = name_of("WWW.EXAMPLE.COM."),
	                below = name_of("a.www.example.com."), other = name_of("mail.example.net."),
	                root = name_of("."), tail = name_of("x.net.");
	size_t          at = begin(&qname), first;

	(void)state;
	assert_int_equal(compress_name(&compress, at, &qname, COMPRESS_OWNER), 2);
	assert_int_equal(reply[at] << 8 | reply[at + 1], 0xc00c);
	at += 2;
	assert_int_equal(compress_name(&compress, at, &upper, COMPRESS_OWNER), 2);
	at += 2;
	assert_int_equal(compress_name(&compress, at, &below, COMPRESS_OWNER), 4);
	at += 4;
	/* NAME-12: in RDATA the case is kept, so the question is not pointed at */
	assert_int_equal(compress_name(&compress, at, &qname, COMPRESS_RDATA), qname.len);
	first = at;
	at += qname.len;
	assert_int_equal(compress_name(&compress, at, &qname, COMPRESS_RDATA), 2);
	assert_int_equal((reply[at] & 0x3f) << 8 | reply[at + 1], first);
	at += 2;
	assert_int_equal(compress_name(&compress, at, &upper, COMPRESS_RDATA), upper.len);
	at += upper.len;
	assert_int_equal(compress_name(&compress, at, &other, COMPRESS_NOT), other.len);
	at += other.len;
	assert_int_equal(compress_name(&compress, at, &other, COMPRESS_NOT), other.len);	/* NAME-15 */
	at += other.len;
	assert_int_equal(compress_name(&compress, at, &tail, COMPRESS_OWNER), 4);
	at += 4;
	assert_int_equal(compress_name(&compress, at, &root, COMPRESS_OWNER), 1);
}

/* What stands behind 0x3fff cannot be pointed at, and is not. */
static void test_far_names(void **state)
{
	struct dns_name qname = name_of("q."), n = name_of("a.far.example.");
	size_t          at = begin(&qname);

	(void)state;
	for (at = 0x3ffa; at < 0x4040; at += 20) {
		struct oracle_name got;
		size_t             len = compress_name(&compress, at, &n, COMPRESS_OWNER);

		assert_int_equal(oracle_name(reply, sizeof reply, at, &got), at + len);
		assert_int_equal(got.len, n.len);
		assert_memory_equal(got.octets, n.octets, n.len);
	}
}

/* The worst there can be for a compressor: thousands of names that share nothing, and thousands that end in
 * the longest possible chain.  NAME-05. */
static void test_worst_is_quick(void **state)
{
	struct dns_name qname = name_of("q.example."), n;
	clock_t         began = clock();
	size_t          at;

	(void)state;
	at = begin(&qname);
	for (unsigned i = 0; at + 300 < MESSAGE_MAX; i++) {
		n = name_of(".");
		n.len = 255;
		for (unsigned k = 0; k < 127; k++)
			memcpy(n.octets + 2 * k, (uint8_t[]){ 1, (uint8_t)(k < 120 ? i + k : i >> 8) }, 2);
		n.octets[254] = 0;
		at += compress_name(&compress, at, &n, COMPRESS_OWNER);
	}
	at = begin(&qname);
	n = name_of("x.");
	for (unsigned i = 0; at + 300 < MESSAGE_MAX; i++) {
		if (n.len + 2 <= 255) {
			memmove(n.octets + 2, n.octets, n.len);
			n.octets[0] = 1;
			n.len = (uint8_t)(n.len + 2);
		}
		n.octets[1] = (uint8_t)(i % 4);
		at += compress_name(&compress, at, &n, i % 2 ? COMPRESS_OWNER : COMPRESS_RDATA);
	}
	assert_true(clock() - began < 2 * CLOCKS_PER_SEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_it_compresses),
		cmocka_unit_test(test_far_names),
		cmocka_unit_test(test_worst_is_quick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
