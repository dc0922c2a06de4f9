/* stale.c - data past its TTL: how long one waits not to need it, and how it becomes a reply (RFC 8767). */
#include "resolve/resolver_state.h"

#include "cache/cache.h"

#define STALE_WAIT_MIN_MS 10u
#define STALE_WAIT_MAX_MS 500u

/* Half as long again as nearly all flights take. */
uint64_t resolver_stale_wait_ms(const struct resolver *r)
{
	uint64_t fixed_ms = resolver_times(r)->stale_wait_ms, ms;
	uint64_t most_ms = r->view->setup->conf.times.query_timeout_ms;

	if (fixed_ms)
		return fixed_ms;
	ms = flights_quantile_us(r->flights, 0.99) * 3 / 2 / 1000;
	ms = !ms || ms > STALE_WAIT_MAX_MS ? STALE_WAIT_MAX_MS : ms < STALE_WAIT_MIN_MS ? STALE_WAIT_MIN_MS : ms;
	return ms < most_ms ? ms : most_ms;
}

bool resolver_find_stale(struct resolver *r, const struct stale *s, uint8_t *msg, struct cache_found *found)
{
	const struct dns_reply_head with = { .ede = DNS_EDE_STALE }, without = { .ede = DNS_EDE_NONE };
	uint8_t                    *body = msg + dns_reply_head_len(s->query);

	if (!cache_find_stale(r->env.cache, s->key, s->boot_ms, s->ttl_s, body,
	                      resolver_room(r, s->query, s->proto, &with), found))
		return false;
	if (found->fit != DNS_FIT_NOT) {
		found->head.ede = found->left_ms > 0 ? DNS_EDE_NONE :
		                  found->kind == DNS_ANSWER_NXDOMAIN ? DNS_EDE_STALE_NXDOMAIN : DNS_EDE_STALE;
		return true;
	}
	if (!cache_find_stale(r->env.cache, s->key, s->boot_ms, s->ttl_s, body,
	                      resolver_room(r, s->query, s->proto, &without), found))
		return false;
	found->head.flags |= DNS_TC;
	return true;
}
