/* test_answer.c - an answer on its way out: TTLs counted down, sizes kept.  Rows CACHE-02, SIZE-02 to SIZE-04. */
#include "unit.h"

#include "dns/answer.h"
#include "guard.h"

#define BODY_MAX 200
#define TTLS     6

/* An answer whose octets tell where they stood, with TTLs in between. */
static void answer_make(struct dice *d, struct dns_answer *a, uint8_t body[BODY_MAX], uint16_t ttl_at[TTLS])
{
	size_t at = 0;

	memset(a, 0, sizeof *a);
	for (size_t i = 0; i < BODY_MAX; i++)
		body[i] = (uint8_t)i;
	for (a->ttl_count = 0; a->ttl_count < TTLS; a->ttl_count++, at += 4) {
		at += dice_below(d, 30);
		if (at + 4 > BODY_MAX)
			break;
		ttl_at[a->ttl_count] = (uint16_t)at;
		dice_octets(d, body + at, 4);
		if (dice_one_in(d, 2))
			memset(body + at, 0, 3);	/* a short one */
	}
	a->ancount = 3;
	a->nscount = 2;
	a->arcount = 1;
	a->body = body;
	a->ttl_at = ttl_at;
	a->body_len = (uint16_t)(at < BODY_MAX ? at + dice_below(d, BODY_MAX - at) : BODY_MAX);
	a->required_len = (uint16_t)dice_below(d, a->body_len + 1u);
	for (unsigned i = 0; i < a->ttl_count; i++)	/* a TTL lies on one side of the border */
		if (a->required_len > ttl_at[i] && a->required_len < ttl_at[i] + 4)
			a->required_len = ttl_at[i];
}

static uint32_t u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void test_write(void **state)
{
	struct guard g;

	(void)state;
	guard_init(&g, BODY_MAX);
	for (struct dice d = dice_first(20000); d.left; dice_next(&d)) {
		struct dns_answer     a;
		uint8_t               body[BODY_MAX], want[BODY_MAX];
		uint16_t              ttl_at[TTLS];
		uint32_t              age = (uint32_t)dice_magnitude(&d, 32);
		struct dns_reply_head head = { .rcode = 77, .flags = 78, .ede = 79 };
		enum dns_answer_fit   fit;
		size_t                room, len = 12345;
		uint8_t              *out;

		answer_make(&d, &a, body, ttl_at);
		room = dice_one_in(&d, 2) ? dice_below(&d, BODY_MAX + 1) :
		       dice_one_in(&d, 2) ? a.required_len : a.body_len;
		out = guard_room(&g, room);
		memset(out, 0xee, room);
		fit = dns_answer_write(&a, age, out, room, &head, &len);

		holds(&d, head.rcode == 77 && head.flags == 78 && head.ede == 79);
		if (room < a.required_len) {		/* SIZE-02, SIZE-04: not a part of it */
			holds(&d, fit == DNS_FIT_NOT && len == 0);
			holds(&d, head.ancount + head.nscount + head.arcount == 0);
			continue;
		}
		holds(&d, fit == (room < a.body_len ? DNS_FIT_NO_EXTRAS : DNS_FIT_WHOLE));
		holds(&d, len == (fit == DNS_FIT_WHOLE ? a.body_len : a.required_len));
		holds(&d, head.ancount == 3 && head.nscount == 2);
		holds(&d, head.arcount == (fit == DNS_FIT_WHOLE ? 1 : 0));	/* SIZE-03 */
		memcpy(want, body, sizeof want);
		for (unsigned i = 0; i < a.ttl_count; i++) {			/* CACHE-02: never below 0 */
			uint32_t ttl = u32(body + ttl_at[i]);

			ttl = ttl < age ? 0 : ttl - age;
			for (unsigned k = 0; k < 4; k++)
				want[ttl_at[i] + k] = (uint8_t)(ttl >> (24 - 8 * k));
		}
		holds(&d, !memcmp(out, want, len));
		for (size_t i = len; i < room; i++)
			holds(&d, out[i] == 0xee);
	}
	guard_done(&g);
}

/* A failure held in the cache has no body and no offsets at all. */
static void test_empty(void **state)
{
	struct dns_answer     a = { .kind = DNS_ANSWER_FAILURE };
	struct dns_reply_head head = { 0 };
	uint8_t               out = 0xee;
	size_t                len = 1;

	(void)state;
	a.body = &out;
	assert_int_equal(dns_answer_write(&a, 5, &out, 0, &head, &len), DNS_FIT_WHOLE);
	assert_int_equal(len, 0);
	assert_int_equal(out, 0xee);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
