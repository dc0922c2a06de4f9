/* secure.h - how well questions to an upstream are protected, and when that changes (RFC 8310 s. 5).
 *
 * A strict upstream is asked over authenticated TLS or not at all, a plain one in
 * clear.  An opportunistic one gets what can be had; and so does a plain one that
 * is to be upgraded (upgrade.h), which begins in clear:
 *
 *                    no TLS there
 *      TLS on ────────────────────────> off, asked in clear at port 53
 *        ^  <──────────────────────────┘
 *          a look, at most an hour later, was answered over TLS
 *
 * TLS that is open and of no use is none: when control questions over it have
 * failed (prober.h), the root is asked for in clear, and an answer to that ends
 * TLS as well.  So does no zone that fails, and no server that is down.
 *
 * Clients' questions do not wait for a look: it has a question of its own.  Each
 * in vain doubles the time to the next, from 10 s to an hour (RFC 7858 s. 3.1).
 *
 * Shared by all workers; nothing here has a lock.
 */
#ifndef LARDER_UPSTREAM_SECURE_H
#define LARDER_UPSTREAM_SECURE_H

#include "net/transport.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum secure_level {
	SECURE_UNKNOWN,		/* it has not been asked yet */
	SECURE_CLEAR,
	SECURE_ENCRYPTED,	/* by whoever answers there */
	SECURE_AUTHENTICATED,
};

extern const char *const secure_level_names[];
extern const char secure_unanswered[];	/* why it is asked in clear though TLS can be opened */

struct channel;
struct secure_look;

struct secure {
	const char            *name;	/* the upstream's; borrowed */
	bool                   may_change;	/* opportunistic, or to be upgraded */
	bool                   begins_off;
	_Atomic uint8_t        kind;		/* enum transport_kind, while on */
	_Atomic uint8_t        level;	/* enum secure_level of what was opened last */
	_Atomic(const char *)  doubt;	/* why it is no better, a text that lasts; NULL: it could not be */
	_Atomic bool           off;
	_Atomic uint32_t       failures;	/* in a row */
	_Atomic uint64_t       failed_us;	/* when the last of them was; 0: none */
	_Atomic uint64_t       answered_us;	/* over TLS, the last time; only where that may change */
	_Atomic uint64_t       look_us;	/* when the next look is due, CLOCK_MONOTONIC */
};

/* kind: the stream over which it is asked while TLS is on; ignored when that begins off. */
void secure_init(struct secure *s, const char *name, bool may_change, bool begins_off, enum transport_kind kind);
/* A stream was opened over TLS.  doubt: why it is not authenticated; NULL: it is. */
void secure_on_opened(struct secure *s, const char *doubt);
/* None could be.  why as from the transport. */
void secure_on_failed(struct secure *s, int error, const char *why, uint64_t now_us);
/* The same in words that last. */
const char *secure_in_words(int error, const char *why);
/* A look was answered over TLS.  doubt as above. */
void secure_on_seen(struct secure *s, enum transport_kind kind, const char *doubt);
/* A look found no TLS that may be used: why, a text that lasts.  The next is due in wait_us. */
void secure_on_unseen(struct secure *s, const char *why, uint64_t now_us, uint64_t wait_us);
/* A question was answered in clear. */
void secure_on_clear(struct secure *s);
/* One was answered over TLS. */
void secure_on_answer(struct secure *s, uint64_t now_us);
/* The network has changed: nothing is known any more. */
void secure_begin_anew(struct secure *s);
/* Is a look due?  True to one only, until it is over. */
bool secure_take_look(struct secure *s, uint64_t now_us);
void secure_look_again(struct secure *s, uint64_t at_us);

static inline bool secure_is_off(const struct secure *s)
{
	return atomic_load_explicit(&s->off, memory_order_relaxed);
}

/* ---- one worker's look ---- */

/* NULL: no memory.  Borrows c, which owns it. */
struct secure_look *secure_look_new(struct channel *c);
void                secure_look_free(struct secure_look *l);	/* NULL is fine */
/* A question goes out in clear: looks whether it still has to, if that is due. */
void                secure_look_if_due(struct secure_look *l, uint64_t now_us);
/* It fails control questions: if that was over TLS, looks whether it answers in clear.  NULL is fine. */
void                secure_compare(struct secure_look *l);

#endif
