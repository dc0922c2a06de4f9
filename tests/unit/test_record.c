/* test_record.c - one record: read against the second reader, compared, written.  What a whole reply becomes
 * is test_scrub.c's.  Rows NAME-13 to NAME-16, MATCH-27. */
#include "unit.h"

#include "dns/record.h"
#include "draft.h"
#include "guard.h"
#include "oracle.h"

static struct guard  guard;
static struct draft  draft;
static uint8_t       reply[DNS_MESSAGE_MAX + RECORD_SPARE];
static struct compress compress;

static int setup(void **state)
{
	(void)state;
	guard_init(&guard, sizeof draft.octets);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guard_done(&guard);
	return 0;
}

/* One record of a random type with random RDATA that is right in form; names are compressed now and then. */
static void random_record(struct dice *d)
{
	static const uint16_t types[] = { 1, 2, 3, 5, 6, 12, 14, 15, 16, 17, 18, 21, 24, 26, 28, 30, 33, 35, 39, 46, 64, 65280 };
	static const char *const names[] = { "a.example.", "B.A.example.", "example.", "x.net.", "." };
	uint16_t              type = types[dice_below(d, COUNT_OF(types))];

	draft_begin(&draft, 1, DNS_QR);
	draft.squeeze = NULL;
	draft_question(&draft, "www.a.example.", type, DNS_IN);
	draft.squeeze = d;
	draft_record(&draft, DRAFT_ANSWER, names[dice_below(d, COUNT_OF(names))], type, DNS_IN, (uint32_t)dice_u64(d));
	for (const char *shape = oracle_shape(type); *shape; shape++) {
		uint8_t octets[64];
		size_t  n = *shape >= '1' && *shape <= '9' ? (size_t)(*shape - '0') : dice_below(d, 40);

		dice_octets(d, octets, sizeof octets);
		if (*shape == 'C' || *shape == 'n') {
			draft_name(&draft, names[dice_below(d, COUNT_OF(names))]);
		} else if (*shape == 's') {
			octets[0] = (uint8_t)n;
			draft_octets(&draft, octets, n + 1);
		} else {
			n = type == 1 ? 4 : type == 28 ? 16 : type == 46 ? n + 2 : n;
			draft_octets(&draft, octets, n);
		}
	}
	draft.squeeze = NULL;
}

static enum record_read read_first(struct record *r, const uint8_t *octets, size_t len, enum section section)
{
	struct cursor c = cursor_of(octets, len, DNS_HEADER_LEN);

	cursor_skip_name(&c);
	cursor_skip(&c, 4);
	return record_read(r, &c, section);
}

/* RDATA in a message that may compress any name, with its names in full. */
static size_t plain_rdata(const struct record *r, uint8_t out[ORACLE_RDATA_MAX])
{
	size_t at = r->rdata_at, end = at + r->rdata_len, used = 0;

	for (const char *shape = oracle_shape(r->type); *shape; shape++) {
		struct oracle_name name;
		size_t             n = *shape == '.' ? end - at : *shape == 's' ? r->msg[at] + 1u : (size_t)(*shape - '0');

		if (*shape == 'C' || *shape == 'n') {
			at = oracle_name(r->msg, end, at, &name);
			assert_int_not_equal(at, 0);
			memcpy(out + used, name.octets, name.len);
			used += name.len;
			continue;
		}
		memcpy(out + used, r->msg + at, n);
		used += n;
		at += n;
	}
	assert_int_equal(at, end);
	return used;
}

/* Read and written anew it says the same: owner but for its case, type, TTL, RDATA with its names in full; and
 * only names that may be compressed are, which the second reader sees to. */
static void test_round_trip(void **state)
{
	(void)state;
	for (struct dice d = dice_first(20000); d.left; dice_next(&d)) {
		static uint8_t     want[ORACLE_RDATA_MAX], got[ORACLE_RDATA_MAX];
		const size_t       at = 12 + 15 + 4;
		struct record      r;
		struct oracle      o;
		struct oracle_name owner;
		size_t             n;
		uint16_t           ttl_at;

		random_record(&d);
		holds(&d, read_first(&r, guard_copy(&guard, draft.octets, draft.len), draft.len, SECTION_ANSWER) == RECORD_READ);
		memcpy(reply, draft.octets, at);
		compress_init(&compress, reply, 15);
		n = record_write(&r, &compress, at, &ttl_at);
		holds(&d, n > 0);
		holds(&d, oracle_read(&o, reply, at + n));
		holds(&d, o.end == at + n && o.record_count == 1);
		holds(&d, o.records[0].ttl == r.ttl_s && o.records[0].ttl_at == at + ttl_at);
		holds(&d, o.records[0].type == r.type && o.records[0].class == DNS_IN);
		holds(&d, oracle_name(draft.octets, draft.len, at, &owner) != 0);
		holds(&d, oracle_name_equal(&owner, &o.records[0].owner));
		n = plain_rdata(&r, want);
		holds(&d, oracle_rdata(&o, &o.records[0], got) == n && !memcmp(got, want, n));
		oracle_done(&o);
	}
}

/* The record once more, its names compressed as other dice say. */
static void write_again(struct dice *d, const struct record *r)
{
	static uint8_t  rdata[ORACLE_RDATA_MAX];
	char            text[DNS_NAME_TEXT_MAX];
	struct dns_name owner;
	size_t          len = plain_rdata(r, rdata);

	record_owner(r, &owner);
	dns_name_to_text(owner.octets, owner.len, text);
	draft_begin(&draft, 1, DNS_QR);
	draft_question(&draft, "www.a.example.", r->type, DNS_IN);
	draft.squeeze = d;
	draft_record(&draft, DRAFT_ANSWER, text, r->type, DNS_IN, 7);
	draft_rdata(&draft, r->type, rdata, len);
	draft.squeeze = NULL;
}

/* Two ways of writing one record are doubles and hash alike. */
static void test_same(void **state)
{
	(void)state;
	for (struct dice d = dice_first(5000); d.left; dice_next(&d)) {
		static uint8_t first[sizeof draft.octets];
		struct record  a, b, other;

		random_record(&d);
		memcpy(first, draft.octets, draft.len);
		holds(&d, read_first(&a, first, draft.len, SECTION_ANSWER) == RECORD_READ);
		write_again(&d, &a);
		holds(&d, read_first(&b, draft.octets, draft.len, SECTION_ANSWER) == RECORD_READ);
		holds(&d, record_same(&a, &b) && record_same(&b, &a));
		holds(&d, record_rdata_hash(&a) == record_rdata_hash(&b));
		other = b;
		other.type = (uint16_t)(other.type + 1000);
		holds(&d, !record_same(&a, &other));
		other = b;
		other.owner_hash ^= 1;
		holds(&d, !record_same(&a, &other));
		if (b.rdata_len && (b.type == DNS_A || b.type == DNS_TXT)) {
			draft.octets[b.rdata_at + dice_below(&d, b.rdata_len)] ^= 1;
			holds(&d, !record_same(&a, &b));
		}
	}
}

static void test_case_in_rdata(void **state)
{
	struct record a, b;
	static uint8_t first[300];

	(void)state;
	draft_begin(&draft, 1, DNS_QR);
	draft_question(&draft, "a.", DNS_NS, DNS_IN);
	draft_to(&draft, DRAFT_ANSWER, "a.", DNS_NS, 1, "ns.a.");
	memcpy(first, draft.octets, draft.len);
	assert_int_equal(read_first(&a, first, draft.len, SECTION_ANSWER), RECORD_READ);
	draft_begin(&draft, 1, DNS_QR);
	draft_question(&draft, "a.", DNS_NS, DNS_IN);
	draft_to(&draft, DRAFT_ANSWER, "A.", DNS_NS, 1, "NS.a.");
	assert_int_equal(read_first(&b, draft.octets, draft.len, SECTION_ANSWER), RECORD_READ);
	assert_int_equal(a.owner_hash, b.owner_hash);	/* the owner's case does not matter */
	assert_false(record_same(&a, &b));		/* NAME-12: both are kept as they came */
}

/* A record is written whole or not at all. */
static void test_no_room(void **state)
{
	static uint8_t rdata[1000];
	struct record  r;
	uint16_t       ttl_at;

	(void)state;
	draft_begin(&draft, 1, DNS_QR);
	draft_question(&draft, "www.a.example.", DNS_TXT, DNS_IN);
	draft_raw(&draft, DRAFT_ANSWER, "www.a.example.", DNS_TXT, 1, rdata, sizeof rdata);
	assert_int_equal(read_first(&r, draft.octets, draft.len, SECTION_ANSWER), RECORD_READ);
	memcpy(reply, draft.octets, 31);
	compress_init(&compress, reply, 15);
	assert_int_equal(record_write(&r, &compress, DNS_MESSAGE_MAX - 1012, &ttl_at), 1012);
	for (size_t at = DNS_MESSAGE_MAX - 1011; at <= DNS_MESSAGE_MAX; at += 13)
		assert_int_equal(record_write(&r, &compress, at, &ttl_at), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_case_in_rdata),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
