/* stats.h - what is counted, per worker and per upstream.
 *
 * Every worker has a struct stats that only it writes; the main thread sums
 * them when somebody asks.  Every client query that gets a reply lies in
 * exactly one outcome: the outcomes are disjoint and sum to the queries.
 */
#ifndef LARDER_STATS_STATS_H
#define LARDER_STATS_STATS_H

#include "stats/histogram.h"

/* How a client query was answered.  Disjoint; their sum is "queries". */
enum stats_outcome {
	OUTCOME_HIT,		/* from the cache, fresh (held failures too) */
	OUTCOME_STALE,		/* from the cache, past its TTL */
	OUTCOME_MISS,		/* by a question upstream that this query began */
	OUTCOME_JOINED,		/* by a question upstream that was under way already */
	OUTCOME_LOCAL,		/* decided here: local names, identity */
	OUTCOME_REFUSED,	/* not allowed, malformed, or of a kind that is not served */
	OUTCOMES
};

enum stats_counter {
	STATS_UDP_QUERIES,	/* client messages by transport; replies may still be due */
	STATS_TCP_QUERIES,
	STATS_DROPPED,		/* messages that get no reply at all (under 12 octets, QR=1, source port 0) */
	STATS_REPEATED,		/* exact repeats of a question in progress; they share its one reply */
	STATS_MALFORMED,	/* FORMERR sent */
	STATS_NOT_ALLOWED,	/* refused by allow */
	STATS_NXDOMAIN,		/* replies by rcode */
	STATS_SERVFAIL,
	STATS_TRUNCATED,	/* UDP replies sent with TC */
	STATS_FAILURE_HITS,	/* SERVFAIL from a held failure (among hit) */
	STATS_OVERLOAD,		/* SERVFAIL because a bound was reached (among miss) */
	STATS_QUERY_TIMEOUTS,	/* SERVFAIL because query-timeout passed */
	STATS_REPLIES_LOST,	/* sendmmsg() would not take a reply */
	STATS_KERNEL_DROPS,	/* datagrams the kernel dropped before we read them (SO_RXQ_OVFL) */
	STATS_FLIGHTS,		/* questions taken upstream */
	STATS_SENDS,		/* tries of all flights */
	STATS_RESENDS,		/* tries after a flight's first */
	STATS_HEDGES,		/* those sent while another was still open */
	STATS_HEDGES_WON,	/* answers to those before the first had been answered */
	STATS_HEDGES_REFUSED,	/* not sent, since a tenth of the queries had one already */
	STATS_PARKED,		/* questions that waited for an upstream to come back */
	STATS_STALE_WAIT,	/* stale replies (their sum is the outcome): the refresh took too long … */
	STATS_STALE_FAILED,	/* … or failed just now … */
	STATS_STALE_HELD,	/* … or failed not long ago … */
	STATS_STALE_DOWN,	/* … no upstream of the route works … */
	STATS_STALE_REFRESH,	/* … a refresh by timer is under way, just past the TTL … */
	STATS_STALE_OVERLOAD,	/* … a bound was reached */
	STATS_PREFETCH_HIT,	/* refreshes begun by a hit near the end of the TTL */
	STATS_PREFETCH_TIMER,	/* … by the clock, before the end of the TTL */
	STATS_PREFETCH_EXPIRY,	/* … by the clock, at the end of the TTL */
	STATS_PREFETCH_GAINED,	/* refreshes that brought a new TTL … */
	STATS_PREFETCH_USELESS,	/* … only what was left of the old one … */
	STATS_PREFETCH_FAILED,	/* … nothing */
	STATS_PREFETCH_REFUSED,	/* put off or left out: over the budget, or behind clients' questions */
	STATS_TCP_RETRIES,	/* asked again by TCP after a truncated UDP answer */
	STATS_UPSTREAM_IGNORED,	/* messages from upstream that do not match what was asked */
	STATS_UPSTREAM_MALFORMED,	/* matching ones that cannot be parsed */
	STATS_CACHE_STORED,
	STATS_CACHE_REFUSED,	/* answers too large, or with no room to be made */
	STATS_TCP_CLIENTS,	/* client connections accepted */
	STATS_TCP_REFUSED,	/* closed at once because of a bound */
	STATS_LIMITED,		/* UDP queries and replies held back by limits */
	STATS_NO_MEMORY,	/* queries failed for want of memory, descriptors or sockets */
	STATS_COUNTERS
};

struct stats_row {
	const char *name;	/* as in larderctl and the metrics, lower case with underscores */
	const char *help;
};

extern const struct stats_row stats_outcome_rows[OUTCOMES];
extern const struct stats_row stats_counter_rows[STATS_COUNTERS];

struct stats {
	_Atomic uint64_t counter[STATS_COUNTERS];
	_Atomic uint64_t outcome[OUTCOMES];
	struct histogram answer[OUTCOMES];	/* from receiving a query to sending its reply */
	_Atomic uint64_t flights_now;		/* gauges */
	_Atomic uint64_t waiting_now;
	_Atomic uint64_t tcp_clients_now;
	_Atomic uint64_t heartbeat;		/* counts turns of the worker's loop */
};

/* What happened with one upstream, per worker. */
enum upstream_counter {
	UPSTREAM_SENT,
	UPSTREAM_ANSWERED,	/* usable answers */
	UPSTREAM_TIMEOUT,	/* failures by reason */
	UPSTREAM_UNREACHABLE,	/* ICMP, no route, no socket */
	UPSTREAM_REFUSED,	/* nobody listens there */
	UPSTREAM_CLOSED,	/* a stream that ended under a question */
	UPSTREAM_CERTIFICATE,	/* the server is not who it should be */
	UPSTREAM_PROTOCOL,	/* it speaks no TLS or HTTP/2 that we understand */
	UPSTREAM_HTTP,		/* an HTTP response that is no answer */
	UPSTREAM_RCODE,		/* SERVFAIL, REFUSED, FORMERR, NOTIMP and other failures by reply */
	UPSTREAM_MALFORMED,	/* replies that match but cannot be parsed */
	UPSTREAM_TRUNCATED,	/* asked again by TCP */
	UPSTREAM_LATE,		/* answers to a try that had been given up */
	UPSTREAM_CERTIFICATE_UNTRUSTED,	/* those of UPSTREAM_CERTIFICATE, by the check that failed: who signed it, … */
	UPSTREAM_CERTIFICATE_NAME,	/* … whose it is, … */
	UPSTREAM_CERTIFICATE_EXPIRED,
	UPSTREAM_CERTIFICATE_NOT_YET_VALID,
	UPSTREAM_CERTIFICATE_PIN,	/* … its key, … */
	UPSTREAM_CERTIFICATE_OTHER,	/* … and what else makes it a bad one */
	UPSTREAM_COUNTERS
};

extern const struct stats_row stats_upstream_rows[UPSTREAM_COUNTERS];

struct stats_upstream {
	_Atomic uint64_t counter[UPSTREAM_COUNTERS];
	struct histogram exchange;		/* from sending to the accepted answer */
	struct histogram connect;		/* streams: TCP */
	struct histogram handshake, resumption;	/* TLS, in full and by ticket */
	struct histogram first_octet;		/* from the last octet sent to the first of the accepted answer */
};

/* Sums for readers. */
struct stats_view {
	uint64_t counter[STATS_COUNTERS];
	uint64_t outcome[OUTCOMES];
	uint64_t queries;			/* sum of outcome */
	struct histogram_view answer[OUTCOMES];
	uint64_t flights_now, waiting_now, tcp_clients_now;
};
struct stats_upstream_view {
	uint64_t counter[UPSTREAM_COUNTERS];
	struct histogram_view exchange, connect, handshake, resumption, first_octet;
};

/* Both add to *into, which the caller zeroes before the first worker. */
void stats_read(const struct stats *s, struct stats_view *into);
void stats_upstream_read(const struct stats_upstream *s, struct stats_upstream_view *into);

/* Only the owner of *c calls these two. */
static inline void stats_bump(_Atomic uint64_t *c, uint64_t n)
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void stats_count(struct stats *s, enum stats_counter c)
{
	stats_bump(&s->counter[c], 1);
}

static inline void stats_set(_Atomic uint64_t *gauge, uint64_t v)
{
	atomic_store_explicit(gauge, v, memory_order_relaxed);
}

#endif
