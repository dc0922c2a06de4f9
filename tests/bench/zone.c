/* zone.c - periods and flights by name. */
#include "zone.h"

uint32_t zone_ttl_s(const struct zone *z, uint32_t number)
{
	uint32_t mixed = (number + 1) * UINT32_C(2654435769);

	return z->ttl_min_s + (mixed >> 16) % (z->ttl_max_s - z->ttl_min_s + 1);
}

struct zone_question zone_question(const struct zone *z, const uint8_t *label)
{
	struct zone_question q = { 0 };
	uint32_t n = 0;
	char letter = (char)(label[1] | 0x20);

	if (label[0] != 8 || (letter != 'n' && letter != 'u'))
		return q;
	for (int i = 2; i <= 8; i++) {
		if (label[i] < '0' || label[i] > '9')
			return q;
		n = n * 10 + (uint32_t)(label[i] - '0');
	}
	if (n >= (letter == 'n' ? z->names : ZONE_NEW_MAX))
		return q;
	return (struct zone_question){ letter, n };
}

/* True when the query begins a flight. */
static bool zone_flight(uint64_t *end_ns, uint64_t now_ns, uint64_t due_ns)
{
	bool begins = now_ns >= *end_ns;

	if (begins)
		*end_ns = now_ns + ZONE_GIVEN_UP_NS;
	if (due_ns && due_ns < *end_ns)
		*end_ns = due_ns;
	return begins;
}

/* What is left of the period at due_ns, in seconds, a begun one counted whole: a
 * cache that counts in whole seconds says the same. */
static uint32_t zone_left_s(const struct zone_name *n, uint32_t ttl_s, uint64_t due_ns)
{
	uint64_t left = n->period_end_ns > due_ns ? n->period_end_ns - due_ns : 0;
	uint32_t left_s = (uint32_t)((left + 999999999u) / 1000000000u);

	return left_s < 1 ? 1 : left_s < ttl_s ? left_s : ttl_s;
}

static uint32_t zone_known(struct zone *z, uint32_t number, uint64_t now_ns, uint64_t due_ns,
			   bool counted)
{
	struct zone_name *n = &z->name[number];
	uint32_t ttl_s = zone_ttl_s(z, number);

	/* Unanswered queries begin no period: nobody has learnt of it. */
	if (due_ns && due_ns >= n->period_end_ns) {
		n->period_end_ns = due_ns + ttl_s * UINT64_C(1000000000);
		n->periods += counted;
	}
	z->flights += zone_flight(&n->flight_end_ns, now_ns, due_ns) && counted;
	n->queries += counted;
	return z->countdown && due_ns ? zone_left_s(n, ttl_s, due_ns) : ttl_s;
}

uint32_t zone_query(struct zone *z, const struct zone_question *q, uint64_t now_ns, uint64_t due_ns,
		    bool counted)
{
	if (q->letter == 'n')
		return zone_known(z, q->number, now_ns, due_ns, counted);
	if (q->letter == 'u') {
		z->flights += zone_flight(&z->new_flight_end_ns[q->number], now_ns, due_ns) &&
			      counted;
		z->queries_new += counted;
	} else {
		z->queries_other += counted;
	}
	return zone_ttl_s(z, q->number);
}
