/* answer.c - an answer on its way out. */
#include "dns/answer.h"

#include "dns/wire.h"

#include <string.h>

/* The TTLs that lie in the first len octets at out. */
static void answer_age(const struct dns_answer *a, uint32_t age_s, uint8_t *out, size_t len)
{
	for (unsigned i = 0; age_s && i < a->ttl_count && a->ttl_at[i] < len; i++) {
		uint8_t *p = out + a->ttl_at[i];
		uint32_t ttl = wire_u32(p);

		wire_put_u32(p, ttl > age_s ? ttl - age_s : 0);
	}
}

void dns_answer_age(const struct dns_answer *a, uint8_t *body, uint32_t age_s)
{
	answer_age(a, age_s, body, a->body_len);
}

enum dns_answer_fit dns_answer_write(const struct dns_answer *a, uint32_t age_s, uint8_t *out, size_t room,
                                     struct dns_reply_head *head, size_t *len)
{
	enum dns_answer_fit fit = DNS_FIT_WHOLE;

	*len = a->body_len;
	head->ancount = a->ancount;
	head->nscount = a->nscount;
	head->arcount = a->arcount;
	if (*len > room) {
		if (a->required_len > room) {
			*len = 0;
			head->ancount = head->nscount = head->arcount = 0;
			return DNS_FIT_NOT;
		}
		*len = a->required_len;
		head->arcount = 0;
		fit = DNS_FIT_NO_EXTRAS;
	}
	memcpy(out, a->body, *len);
	answer_age(a, age_s, out, *len);
	return fit;
}

void dns_answer_set_ttls(const struct dns_answer *a, uint32_t ttl_s, uint8_t *out, size_t len)
{
	for (unsigned i = 0; i < a->ttl_count && a->ttl_at[i] < len; i++)
		wire_put_u32(out + a->ttl_at[i], ttl_s);
}
