/* health.h - what is known about one upstream: how quick it is, and whether it can be trusted to answer.
 *
 *            two failures in a row,            control questions and
 *            for different names               the root's all fail
 *   good ────────────────────────> suspect ──────────────────────────────> open <──┐ a probe fails:
 *     ^  <──────────────────────────┘ ^  any valid reply                     │      │ the next one later
 *     │                               └── only the root is answered ─────────┤──────┘
 *     └──────────────────────────────────────────────────────────────────────┘
 *                         a probe is answered
 *
 * Silence for one name proves nothing, and anyone can make larder ask for names
 * that never answer.  So failures only raise suspicion, and what decides is the
 * control question: the last one that this upstream answered well, then one from
 * elsewhere, then NS of the root, lest somebody's own dying zones speak for the
 * server.  One that still knows the root, and nothing else, stays suspect: it is
 * asked where all others are no better.
 *
 * Shared by all workers, under its own lock, which only misses touch.  What
 * choosing among upstreams reads is atomic and needs no lock.
 */
#ifndef LARDER_UPSTREAM_HEALTH_H
#define LARDER_UPSTREAM_HEALTH_H

#include "base/log.h"
#include "dns/name.h"
#include "stats/recent.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum health_state {
	HEALTH_GOOD,
	HEALTH_SUSPECT,		/* the control question is under way */
	HEALTH_OPEN,		/* the breaker is open: probes only */
};

enum health_reason {
	HEALTH_SILENT,		/* no answer in time */
	HEALTH_SERVFAIL,	/* failing replies */
	HEALTH_REFUSED,
	HEALTH_CLOSED,		/* connections end under their questions */
	HEALTH_CERTIFICATE,	/* whoever answers there cannot prove to be it */
	HEALTH_PROTOCOL,	/* what comes is not TLS, HTTP or DNS as it should be */
	HEALTH_UNREACHABLE,	/* refused, or the network says that it is not there */
	HEALTH_NO_ROUTE,	/* our own system knows no way to it */
	HEALTH_UNRESOLVED,	/* it is given by name, and where that is has not been found out yet */
	HEALTH_REASONS
};

extern const char *const health_state_names[];
extern const char *const health_reason_names[];

/* What the operator orders. */
enum health_order { HEALTH_AUTO, HEALTH_UP, HEALTH_DOWN };

/* A question that tells whether a server works. */
struct health_question {
	struct dns_name qname;
	uint64_t        name_hash;	/* keyed */
	uint16_t        qtype;
};

#define HEALTH_CONTROLS  2	/* questions that it answered well, kept */
#define HEALTH_QUESTIONS 3	/* asked one after the other: those, and NS of the root */

/* A breaker that has opened or closed, to be logged. */
struct health_news {
	bool               any;
	enum health_state  to;
	enum health_reason reason;
};

struct health {
	const char      *name;		/* the upstream's; borrowed */

	/* for anybody, without the lock */
	_Atomic uint8_t  state;		/* enum health_state, as it counts: orders included */
	_Atomic uint8_t  reason;	/* enum health_reason of the last failure */
	_Atomic(const char *) fault;	/* what its TLS was refused for last; NULL: nothing since it was accepted */
	_Atomic uint32_t p50_us;	/* recent answers; 0: none yet */
	_Atomic uint32_t hedge_us;	/* ask elsewhere when nothing has come by then; 0: not known yet */
	_Atomic uint32_t timeout_us;	/* a try is over then */
	_Atomic uint32_t control_us;	/* a control question or probe is */
	_Atomic uint32_t epoch;		/* counts openings that ended and network changes */
	_Atomic uint64_t opened_us;	/* CLOCK_MONOTONIC: the breaker is open since then */
	_Atomic uint64_t sampled_us;	/* the newest answer; 0: none */
	_Atomic int8_t   early;		/* do refreshes before expiry bring new TTLs? below 0: no */
	_Atomic uint16_t lag_ms;	/* its own copies end so long after the TTLs that it gives */

	pthread_mutex_t  lock;
	struct recent    answers;	/* from sending to the accepted answer */
	unsigned         samples;
	unsigned         backoff;	/* time-outs in a row: doublings of timeout_us */
	bool             nowhere;	/* there is no address to ask: open, and not probed */
	bool             failed_once;	/* reason says something */
	unsigned         failures;	/* in a row, for different names */
	uint64_t         failed_name;	/* hash of the last one's */
	enum health_state own_state;	/* without orders */
	_Atomic uint8_t  order;		/* enum health_order */
	uint32_t         tickets;	/* given out so far */
	uint32_t         asking;	/* the ticket of the control question or probe under way; 0: none … */
	uint64_t         asked_us;	/* … since then */
	uint64_t         next_probe_us;
	uint64_t         knocked_us;	/* a client's own question went out while it was open */
	unsigned         probes;	/* in a row that failed */
	_Atomic uint64_t wanted_until_us;	/* a client waits for any upstream: probe often */
	struct health_question control[HEALTH_CONTROLS];	/* newest first */
	uint64_t         transitions[HEALTH_OPEN + 1][HEALTH_REASONS];	/* into each state; by the reason */
	struct health_news news;		/* until the lock is given back */
	struct log_limit   said;
	uint64_t         controls, probes_sent;
};

void health_init(struct health *h, const char *name);
void health_done(struct health *h);

/* What was answered. */
struct health_answer {
	const uint8_t *qname;		/* borrowed during the call; lower case */
	uint64_t       name_hash;
	uint8_t        qname_len;
	uint16_t       qtype;
	uint64_t       sent_us;		/* CLOCK_MONOTONIC */
	bool           is_control;	/* may become the control question: it is asked as that one will be */
};

/* A valid reply has come, in time or late. */
void health_answered(struct health *h, const struct health_answer *a, uint64_t now_us);
/* These three give a ticket to whoever is to ask a control question or probe, at once, and to report it; 0: nobody
 * is.  A try for this name failed: */
uint32_t health_failed(struct health *h, enum health_reason reason, uint64_t name_hash, uint64_t now_us);

/* Is a probe due? */
uint32_t health_take_probe(struct health *h, uint64_t now_us);
/* Has a good upstream not been asked for so long? */
uint32_t health_take_look(struct health *h, uint64_t apart_us, uint64_t now_us);
/* Nobody else is better, so a client's own question may go out while the breaker is open: so long after the last probe
 * or question of this kind, which is noted. */
bool health_knock(struct health *h, uint64_t apart_us, uint64_t now_us);
/* When to look again whether one is; UINT64_MAX: the breaker is not open. */
uint64_t health_next_probe_us(struct health *h);
/* The question to ask first (which 0), next and last.  False: there is none, or an open breaker is probed, for which
 * the first and the last will do. */
bool health_control(struct health *h, unsigned which, struct health_question *out);
/* How the control question or probe of this ticket ended. */
enum health_verdict {
	HEALTH_WORKS,
	HEALTH_KNOWS_ROOT,	/* and failed the control questions */
	HEALTH_FAILS,
	HEALTH_NOT_ASKED,	/* for want of something of our own */
};
struct health_report {
	enum health_verdict verdict;
	enum health_reason reason;	/* why it fails */
	uint8_t            jitter;	/* random */
};
void health_probed(struct health *h, uint32_t ticket, const struct health_report *r, uint64_t now_us);
/* A client waits for this upstream and has no other. */
void health_want(struct health *h, uint64_t now_us);

/* Its certificate, key or TLS was not accepted: why, in words that last; or NULL: they were. */
void health_note_fault(struct health *h, const char *why);

/* Everything that was held against it is void: the way to it has changed. */
void health_begin_anew(struct health *h, uint64_t now_us);
/* There is no address to ask it at, since now_us: the breaker is open, whatever the order, and no probe is sent. */
void health_lacks_place(struct health *h, uint64_t now_us);
/* There is one, or another than before: what was held against the old one is void. */
void health_has_place(struct health *h, uint64_t now_us);
/* Does a client wait for it that has no other? */
bool health_is_wanted(const struct health *h, uint64_t now_us);
void health_give_order(struct health *h, enum health_order order, uint64_t now_us);
/* An early refresh brought new TTL, or only what was left of the old one. */
void health_learn_early(struct health *h, bool gained);
/* Asked at the end of a TTL it gave no new one: it counts down in whole seconds, and rounds down.  Or it did. */
void health_learn_lag(struct health *h, bool lags);

/* For people. */
struct health_view {
	enum health_state  state, own_state;
	enum health_order  order;
	enum health_reason reason;
	bool               failed_once;		/* reason says something */
	const char        *fault;		/* of its certificate, key or TLS, when that is what is wrong; or NULL */
	uint64_t           p50_us, p75_us, p99_us, hedge_us, timeout_us;
	uint64_t           opened_us, next_probe_us;
	unsigned           failures;
	int                early;
	uint32_t           epoch;
	uint64_t           transitions[HEALTH_OPEN + 1][HEALTH_REASONS];
	uint64_t           controls, probes_sent;
	struct health_question control;
};
void health_read(struct health *h, struct health_view *out);
/* Can anything be had from it now?  An order to ask it does not make it answer. */
bool health_works(struct health *h);

static inline enum health_state health_state(const struct health *h)
{
	return (enum health_state)atomic_load_explicit(&h->state, memory_order_relaxed);
}

static inline bool health_is_impostor(const struct health *h)
{
	return atomic_load_explicit(&h->reason, memory_order_relaxed) == HEALTH_CERTIFICATE;
}

/* Nothing will bring it back by itself soon: it is down by order, our system knows no way to it, or it cannot
 * prove to be who it should be. */
static inline bool health_is_hopeless(const struct health *h)
{
	return atomic_load_explicit(&h->order, memory_order_relaxed) == HEALTH_DOWN ||
	       atomic_load_explicit(&h->reason, memory_order_relaxed) == HEALTH_NO_ROUTE || health_is_impostor(h);
}

#endif
