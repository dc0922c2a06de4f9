/* resolver_state.h - what the parts of a resolver share: its messages, its clients, and what all replies have in common.
 *
 * resolver.c walks a message to its reply and keeps it all; client.c has those who wait, stale.c what is used past
 * its TTL.  What a hit runs through is inline.  Nothing of this is seen outside this folder.
 */
#ifndef LARDER_RESOLVE_RESOLVER_STATE_H
#define LARDER_RESOLVE_RESOLVER_STATE_H

#include "base/ring.h"
#include "base/timer.h"
#include "resolve/flight.h"
#include "resolve/refresh.h"
#include "resolve/resolver.h"

#include <stdatomic.h>

/* A message that is being answered. */
struct now {
	struct resolver          *r;
	const struct net_message *m;
	struct net_reply         *reply;
	int                       rcode;	/* what dns_query_read() said */
	bool                      has_key;	/* a good question of class IN: route and key are known */
	bool                      has_stale;	/* an answer is known, past its TTL */
	uint8_t                   outcome;	/* enum stats_outcome, once it was answered at once; before, and when the
						 * reply was not sent, OUTCOMES */
	size_t                    route;
	struct cache_key          key;		/* its qname lies in q */
	struct dns_query          q;
};

struct resolver {
	struct resolver_env env;
	struct flights     *flights;
	struct refreshes   *refreshes;
	struct view        *view;
	struct limits      *limits;
	struct list         clients;	/* all that wait */
	size_t              waiting;
	unsigned            batch[OUTCOMES];	/* answered at once in the present batch */
	struct now         *announced;	/* NET_BATCH of them, by index in the batch … */
	unsigned            announced_count;	/* … and how many the present batch has */
	uint8_t            *scratch;	/* a reply being made for somebody who waited */
	struct exchanges    open;
	int64_t             slept_ms;	/* CLOCK_BOOTTIME ahead of CLOCK_MONOTONIC, when last looked at */
	struct ring *_Atomic events;	/* NULL: nobody watches */
	struct ring        *unsettled;	/* holds events of the present batch; NULL: it has none */
};

/* A client that waits. */
struct client {
	struct waiter     waiter;
	struct list       node;		/* in resolver.clients */
	struct resolver  *resolver;
	struct reply_path path;
	struct timer      deadline;
	uint64_t          asked_us;
	uint16_t          keepalive_100ms;
	bool              joined;
	bool              limited;	/* counted by limits_wait() */
	bool              has_stale;	/* there was stale data when it began to wait */
	uint8_t           outcome;	/* enum stats_outcome, once it has its reply */
	struct dns_query  query;	/* its question points to our own copy */
	uint8_t           question[];
};

static inline struct stats *resolver_stats(const struct resolver *r)
{
	return r->env.upstream.stats;
}

/* What every reply is counted by, beside its outcome. */
static inline void resolver_count_reply(struct resolver *r, const struct dns_reply_head *head)
{
	struct stats *s = resolver_stats(r);

	switch (head->rcode) {
	case DNS_FORMERR:
		stats_count(s, STATS_MALFORMED);
		break;
	case DNS_SERVFAIL:
		stats_count(s, STATS_SERVFAIL);
		break;
	case DNS_NXDOMAIN:
		stats_count(s, STATS_NXDOMAIN);
		break;
	}
	if (head->flags & DNS_TC)
		stats_count(s, STATS_TRUNCATED);
}

/* How long a reply may be (RFC 1035 s. 4.2.1, RFC 6891 s. 6.2.3 to 6.2.5). */
static inline size_t resolver_limit(const struct resolver *r, const struct dns_query *q, enum net_proto proto)
{
	size_t ours = r->view->setup->conf.times.edns_size;

	if (proto == NET_TCP)
		return DNS_MESSAGE_MAX;
	if (!q->has_opt)
		return DNS_UDP_MIN;
	return q->udp_size < ours ? q->udp_size : ours;
}

/* Room for records once header, question and OPT have theirs. */
static inline size_t resolver_room(const struct resolver *r, const struct dns_query *q, enum net_proto proto,
                                   const struct dns_reply_head *head)
{
	return resolver_limit(r, q, proto) - dns_reply_head_len(q) - dns_reply_opt_len(q, head);
}

static inline uint64_t resolver_slow_us(const struct resolver *r)
{
	return (uint64_t)r->view->setup->conf.slow_query_ms * 1000;
}

static inline const struct cache_times *resolver_times(const struct resolver *r)
{
	return &r->view->setup->conf.cache_times;
}

/* NULL, nearly always. */
static inline struct ring *resolver_watched(const struct resolver *r)
{
	return atomic_load_explicit(&r->events, memory_order_acquire);
}

static inline void resolver_publish(const struct resolver *r, struct ring *to)
{
	if (!r->unsettled)
		ring_publish(to);
}

/* What limits say of a UDP reply; cuts it where they want that.  False: it must not go out. */
bool resolver_limit_reply(struct resolver *r, const struct addr *to, uint64_t now_us, struct dns_reply_head *head,
                          size_t *len);

static inline bool resolver_within_limits(struct resolver *r, enum net_proto proto, const struct addr *to,
                                          uint64_t now_us, struct dns_reply_head *head, size_t *len)
{
	return proto != NET_UDP || !r->view->setup->conf.policy->limits.replies_per_second ||
	       resolver_limit_reply(r, to, now_us, head, len);
}

/* ---- stale.c ---- */

/* Whose stale data, for which reply. */
struct stale {
	const struct cache_key *key;
	const struct dns_query *query;
	enum net_proto          proto;
	uint32_t                ttl_s;
	uint64_t                boot_ms;
};

/* Copies stale data behind the question at msg.  An extended error gives way before data does, and TC says that
 * something is missing (RFC 8914 s. 3).  False: there is none. */
bool     resolver_find_stale(struct resolver *r, const struct stale *s, uint8_t *msg, struct cache_found *found);
/* How long a client waits for a refresh before it is given stale data. */
uint64_t resolver_stale_wait_ms(const struct resolver *r);

/* ---- client.c ---- */

/* For the query that n is of; its deadline runs, and it is on no flight yet.  NULL: no memory. */
struct client *client_new(struct now *n, bool has_stale);
/* The client's wait is over: off every list, memory kept until client_free(). */
void           client_release(struct client *c);
void           client_free(struct client *c);
/* Is this waiting client the one that has just asked again, to the octet?  arg: a struct now. */
bool           client_is_repeat(const struct waiter *w, const void *arg);

#endif
