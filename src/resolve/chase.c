/* chase.c - aliases that lead elsewhere.
 *
 * A server speaks for the names of its route only (and sometimes leaves the end
 * of a chain open).  The target of such an alias is asked for like any other
 * question, of its own route's upstreams or from the cache, and what comes is
 * joined to the chain.
 *
 * Always true: the flights that wait for each other form no ring, and none lies
 * deeper than a chain may be long.
 */
#include "resolve/flight_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHASES_MAX DNS_CHAIN_MAX

/* Keeps a copy of the chain's octets for as long as the flight lives. */
static int flight_keep_chain(struct flight *f, const struct dns_answer *chain, const struct dns_name *target)
{
	size_t   offsets = chain->ttl_count * sizeof *chain->ttl_at;
	uint8_t *copy = malloc(offsets + chain->body_len + 1);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, chain->ttl_at, offsets);
	memcpy(copy + offsets, chain->body, chain->body_len);
	free((void *)(uintptr_t)f->chain.ttl_at);
	f->chain = *chain;
	f->chain.ttl_at = (const uint16_t *)(const void *)copy;
	f->chain.body = copy + offsets;
	f->chain_ms = flight_boot_ms(f->all);
	f->target = *target;
	dns_name_lower(f->target.octets, f->target.len);
	return 0;
}

static void flight_join_answers(struct flight *f, const struct dns_answer *rest)
{
	struct dns_answer whole;

	dns_answer_age(&f->chain, (uint8_t *)(uintptr_t)f->chain.body,
	               (uint32_t)((flight_boot_ms(f->all) - f->chain_ms) / 1000));
	switch (dns_scrub_join(f->all->env.upstream->scrub, &f->question.scrub, &f->chain, &f->target, rest,
	                       &whole)) {
	case DNS_SCRUB_ANSWER:
		flight_succeed(f, &whole, NULL);
		return;
	default:
		flight_fail_plainly(f, DNS_EDE_NONE);
	}
}

void flight_on_chased(struct waiter *w, const struct dns_answer *answer, const struct flight_end *end)
{
	struct flight *f = list_entry(w, struct flight, chase);

	if (answer)
		flight_join_answers(f, answer);
	else if (end->silent)	/* held under the target's own name, for as long as that counts */
		flight_fail_unheld(f, end->ede);
	else
		flight_fail_plainly(f, end->ede);
}

static bool flight_waits_for(const struct flight *f, const struct flight *other)
{
	for (; f; f = f->chased)
		if (f == other)
			return true;
	return false;
}

/* The target may be known already. */
static bool flight_chase_in_cache(struct flight *f, const struct cache_key *key, uint16_t epoch)
{
	struct flights    *fs = f->all;
	struct cache_found found;
	struct dns_answer  rest = { .ttl_s = 1 };

	if (!fs->scratch && !(fs->scratch = malloc(DNS_MESSAGE_MAX)))
		return false;
	if (cache_find(fs->env.cache, key, flight_boot_ms(fs), fs->scratch, DNS_MESSAGE_MAX, &found) !=
	    CACHE_FRESH)
		return false;
	if (found.kind == DNS_ANSWER_FAILURE) {
		if (found.epoch && found.epoch != epoch)
			return false;
		flight_fail_plainly(f, DNS_EDE_CACHED_ERROR);
		return true;
	}
	rest.kind = found.kind;
	rest.rcode = (uint8_t)found.head.rcode;
	rest.authentic = found.head.flags & DNS_AD;
	rest.ancount = found.head.ancount;
	rest.nscount = found.head.nscount;
	rest.arcount = found.head.arcount;
	rest.body = fs->scratch;
	rest.body_len = (uint16_t)found.len;
	flight_join_answers(f, &rest);
	return true;
}

/* The target is asked of its own route's upstreams: no server speaks for another's names. */
void flight_chase(struct flight *f, const struct dns_answer *chain, const struct dns_name *target)
{
	const struct policy *policy = f->view->setup->policy;
	struct flight_ask    ask = { .view = f->view, .key = f->key, .budget = f->budget,
		                     .end_us = f->end_us, .refresh = f->refresh };
	struct flight       *other;

	if (flight_keep_chain(f, chain, target) < 0) {
		flight_fail_plainly(f, DNS_EDE_NONE);
		return;
	}
	flight_stop_asking(f);
	ask.route = policy_route(policy, f->target.octets, f->target.len);
	ask.key.qname = f->target.octets;
	ask.key.qname_len = f->target.len;
	ask.key.name_hash = cache_hash_name(f->all->env.cache, f->target.octets, f->target.len);
	ask.key.route = f->view->setup->conf.policy->routes[ask.route].id;
	if (flight_chase_in_cache(f, &ask.key, route_epoch(f->view, ask.route)))
		return;
	other = flight_find(f->all, &ask.key);
	if (f->chases >= CHASES_MAX || !f->budget || (other && flight_waits_for(other, f)) ||
	    flight_ask(f->all, &ask, &f->chase) < 0) {
		flight_fail_plainly(f, DNS_EDE_NONE);
		return;
	}
	f->chased = flight_find(f->all, &ask.key);
	if (f->chased && f->chased->chases <= f->chases)
		f->chased->chases = f->chases + 1;
}
