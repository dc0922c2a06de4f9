/* prober.h - asks an upstream whether it works: control questions and probes.
 *
 * One for each channel.  It asks one question, and when that fails, or its part
 * of the time is over, the next; any answer is enough.  While the breaker is
 * open its timer runs, on every worker that has noticed; whoever comes first
 * takes the probe.  Questions whose time is over stay open for a few rounds: an
 * answer that comes late still shows that the server works, and how slowly.
 */
#ifndef LARDER_UPSTREAM_PROBER_H
#define LARDER_UPSTREAM_PROBER_H

#include "base/timer.h"
#include "upstream/exchange.h"
#include "upstream/health.h"

#define PROBER_ROUNDS 4		/* whose questions may be open */

struct prober_round {
	struct exchange          exchange[HEALTH_QUESTIONS];
	struct exchange_question question[HEALTH_QUESTIONS];
	struct health_question   name[HEALTH_QUESTIONS];
};

struct prober {
	struct channel      *channel;		/* borrowed: it owns us */
	struct timer         timer;		/* the next step while asking, else the next probe */
	bool                 asking;
	uint32_t             ticket;		/* of health */
	bool                 sent;		/* one at least, or the system said why not */
	unsigned             asked;		/* places of this round that have been tried */
	unsigned             controls;		/* control questions that were sent */
	uint64_t             began_us;
	enum health_reason   reason;		/* why the first one failed */
	unsigned             round;		/* which of rounds is the newest */
	struct prober_round  rounds[PROBER_ROUNDS];
};

/* For the channel's owner.  NULL: no memory. */
struct prober *prober_new(struct channel *c);
void           prober_free(struct prober *p);	/* NULL is fine */

/* A try on this channel failed; asks the control question if that is due. */
void prober_failed(struct channel *c, enum health_reason reason, uint64_t name_hash);
/* The breaker is open and clients wait: sees to it that this upstream is probed. */
void prober_want(struct channel *c);
/* If nobody has asked it for a while: finds out what it is like, unless another worker does. */
void prober_look(struct channel *c);
/* Opens a connection where that takes long, by asking something, so that the first client need not wait for it. */
void prober_warm(struct channel *c);
/* What a lost exchange says about the server. */
enum health_reason prober_reason(int error);

#endif
