/* stats.c - the names of what is counted, and sums over workers. */
#include "stats/stats.h"

const struct stats_row stats_outcome_rows[OUTCOMES] = {
	[OUTCOME_HIT] = { "hit", "answered from the cache, fresh" },
	[OUTCOME_STALE] = { "stale", "answered from the cache, past its TTL" },
	[OUTCOME_MISS] = { "miss", "answered by asking upstream" },
	[OUTCOME_JOINED] = { "joined", "answered by a question already under way upstream" },
	[OUTCOME_LOCAL] = { "local", "answered by larder itself" },
	[OUTCOME_REFUSED] = { "refused", "not allowed, malformed, or of a kind that is not served" },
};

const struct stats_row stats_counter_rows[STATS_COUNTERS] = {
	[STATS_UDP_QUERIES] = { "udp_queries", "client queries over UDP" },
	[STATS_TCP_QUERIES] = { "tcp_queries", "client queries over TCP" },
	[STATS_DROPPED] = { "dropped", "messages that get no reply: too short, or replies themselves" },
	[STATS_REPEATED] = { "repeated", "exact repeats of a query in progress, answered once" },
	[STATS_MALFORMED] = { "malformed", "replies with FORMERR" },
	[STATS_NOT_ALLOWED] = { "not_allowed", "clients refused by the allow list" },
	[STATS_NXDOMAIN] = { "nxdomain", "replies with NXDOMAIN" },
	[STATS_SERVFAIL] = { "servfail", "replies with SERVFAIL" },
	[STATS_TRUNCATED] = { "truncated", "UDP replies cut to TC" },
	[STATS_FAILURE_HITS] = { "failure_hits", "SERVFAIL from a failure held in the cache" },
	[STATS_OVERLOAD] = { "overload", "SERVFAIL because a bound was reached" },
	[STATS_QUERY_TIMEOUTS] = { "query_timeouts", "SERVFAIL because query-timeout passed" },
	[STATS_REPLIES_LOST] = { "replies_lost", "replies the kernel would not take" },
	[STATS_KERNEL_DROPS] = { "kernel_drops", "queries the kernel dropped before they were read" },
	[STATS_FLIGHTS] = { "flights", "questions taken upstream" },
	[STATS_SENDS] = { "sends", "queries sent upstream" },
	[STATS_RESENDS] = { "resends", "queries sent upstream after the first of a question" },
	[STATS_HEDGES] = { "hedges", "queries sent upstream while an earlier one was still open" },
	[STATS_HEDGES_WON] = { "hedges_won", "hedges that were answered first" },
	[STATS_HEDGES_REFUSED] = { "hedges_refused", "hedges not sent, to spare the upstreams" },
	[STATS_PARKED] = { "parked", "questions that waited for an upstream to come back" },
	[STATS_STALE_WAIT] = { "stale_wait", "stale answers while a refresh took too long" },
	[STATS_STALE_FAILED] = { "stale_failed", "stale answers because the refresh failed" },
	[STATS_STALE_HELD] = { "stale_held", "stale answers because a refresh had failed not long before" },
	[STATS_STALE_DOWN] = { "stale_down", "stale answers because no upstream works" },
	[STATS_STALE_REFRESH] = { "stale_refresh", "answers given out just past their TTL, during a refresh by timer" },
	[STATS_STALE_OVERLOAD] = { "stale_overload", "stale answers because a bound was reached" },
	[STATS_PREFETCH_HIT] = { "prefetch_hit", "refreshes begun by a hit near the end of the TTL" },
	[STATS_PREFETCH_TIMER] = { "prefetch_timer", "refreshes of popular names before the end of the TTL" },
	[STATS_PREFETCH_EXPIRY] = { "prefetch_expiry", "refreshes of popular names at the end of the TTL" },
	[STATS_PREFETCH_GAINED] = { "prefetch_gained", "refreshes that brought a new TTL" },
	[STATS_PREFETCH_USELESS] = { "prefetch_useless", "refreshes that brought what was left of the old TTL" },
	[STATS_PREFETCH_FAILED] = { "prefetch_failed", "refreshes that failed" },
	[STATS_PREFETCH_REFUSED] = { "prefetch_refused", "refreshes put off or left out, to spare the upstreams" },
	[STATS_TCP_RETRIES] = { "tcp_retries", "questions asked again by TCP after truncation" },
	[STATS_UPSTREAM_IGNORED] = { "upstream_ignored", "upstream messages that match no question" },
	[STATS_UPSTREAM_MALFORMED] = { "upstream_malformed", "upstream replies that cannot be parsed" },
	[STATS_CACHE_STORED] = { "cache_stored", "answers put into the cache" },
	[STATS_CACHE_REFUSED] = { "cache_refused", "answers the cache had no room for" },
	[STATS_TCP_CLIENTS] = { "tcp_clients", "client connections accepted" },
	[STATS_TCP_REFUSED] = { "tcp_refused", "client connections closed because of a bound" },
	[STATS_LIMITED] = { "limited", "UDP queries and replies held back by limits" },
	[STATS_NO_MEMORY] = { "no_memory", "queries failed for want of memory or descriptors" },
};

const struct stats_row stats_upstream_rows[UPSTREAM_COUNTERS] = {
	[UPSTREAM_SENT] = { "sent", "queries sent" },
	[UPSTREAM_ANSWERED] = { "answered", "usable answers" },
	[UPSTREAM_TIMEOUT] = { "timeout", "no answer in time" },
	[UPSTREAM_UNREACHABLE] = { "unreachable", "no route" },
	[UPSTREAM_REFUSED] = { "refused", "nobody listens there" },
	[UPSTREAM_CLOSED] = { "closed", "connection ended under a question" },
	[UPSTREAM_CERTIFICATE] = { "certificate", "certificate or key not accepted" },
	[UPSTREAM_PROTOCOL] = { "protocol", "no TLS or HTTP/2 that larder understands" },
	[UPSTREAM_HTTP] = { "http", "HTTP responses that are no answer" },
	[UPSTREAM_RCODE] = { "rcode", "SERVFAIL, REFUSED and other failures by reply" },
	[UPSTREAM_MALFORMED] = { "malformed", "replies that cannot be parsed" },
	[UPSTREAM_TRUNCATED] = { "truncated", "answers asked again by TCP" },
	[UPSTREAM_LATE] = { "late", "answers after the try had been given up" },
	[UPSTREAM_CERTIFICATE_UNTRUSTED] = { "certificate_untrusted", "certificates by an unknown issuer" },
	[UPSTREAM_CERTIFICATE_NAME] = { "certificate_name", "certificates of another name" },
	[UPSTREAM_CERTIFICATE_EXPIRED] = { "certificate_expired", "certificates that are expired" },
	[UPSTREAM_CERTIFICATE_NOT_YET_VALID] = { "certificate_not_yet_valid", "certificates that are not yet valid" },
	[UPSTREAM_CERTIFICATE_PIN] = { "certificate_pin", "keys that match no pin" },
	[UPSTREAM_CERTIFICATE_OTHER] = { "certificate_other", "certificates that are bad in another way" },
};

static uint64_t stats_load(const _Atomic uint64_t *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

void stats_read(const struct stats *s, struct stats_view *into)
{
	for (unsigned i = 0; i < STATS_COUNTERS; i++)
		into->counter[i] += stats_load(&s->counter[i]);
	for (unsigned i = 0; i < OUTCOMES; i++) {
		uint64_t n = stats_load(&s->outcome[i]);

		into->outcome[i] += n;
		into->queries += n;
		histogram_read(&s->answer[i], &into->answer[i]);
	}
	into->flights_now += stats_load(&s->flights_now);
	into->waiting_now += stats_load(&s->waiting_now);
	into->tcp_clients_now += stats_load(&s->tcp_clients_now);
}

void stats_upstream_read(const struct stats_upstream *s, struct stats_upstream_view *into)
{
	for (unsigned i = 0; i < UPSTREAM_COUNTERS; i++)
		into->counter[i] += stats_load(&s->counter[i]);
	histogram_read(&s->exchange, &into->exchange);
	histogram_read(&s->connect, &into->connect);
	histogram_read(&s->handshake, &into->handshake);
	histogram_read(&s->resumption, &into->resumption);
	histogram_read(&s->first_octet, &into->first_octet);
}
