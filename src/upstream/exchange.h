/* exchange.h - one question sent once to one upstream, and what comes of it.
 *
 * An exchange decides whether a message that came back answers its question
 * (RFC 5452 s. 9.1, RFC 1035 s. 7.3).  What does not is ignored, and the
 * exchange waits on: the real answer may still come.
 *
 *   idle ── exchange_start() ──> open ──┬─ an event that ends it ──> over
 *                                       └─ exchange_end() ─────────> over
 */
#ifndef LARDER_UPSTREAM_EXCHANGE_H
#define LARDER_UPSTREAM_EXCHANGE_H

#include "dns/scrub.h"
#include "net/transport.h"
#include "upstream/upstream.h"

#define EXCHANGE_BUCKETS 256u	/* a power of two */

/* All open exchanges of a worker, by name, so that equal questions can be counted whoever asks them. */
struct exchanges {
	struct list bucket[EXCHANGE_BUCKETS];
};

void exchanges_init(struct exchanges *e);

/* The question, the same for all exchanges of a flight. */
struct exchange_question {
	struct dns_scrub_query scrub;		/* name, type, DO, TTL bounds, route */
	uint64_t               name_hash;	/* keyed, of the name in lower case */
	bool                   checking_disabled;	/* the client's CD (RFC 4035 s. 3.2.2) */
	uint16_t               edns_size;
	bool                   case_mixing;
};

enum exchange_event {
	EXCHANGE_ANSWER,	/* *answer is it; over */
	EXCHANGE_ALIAS_OUT,	/* *answer is an alias chain to *target, which has to be asked for; over */
	EXCHANGE_TRUNCATED,	/* TC over UDP: ask this upstream by stream; over */
	EXCHANGE_FORGED,	/* too many messages that do not match: ask by stream (RFC 5452 s. 9.3); over */
	EXCHANGE_CASE,		/* the right question in a letter case that is not ours: ask by stream too; open */
	EXCHANGE_NO_EDNS,	/* the server rejects our OPT: ask it again without (RFC 6891 s. 6.2.2); over */
	EXCHANGE_FAILED,	/* a failing reply, rcode in exchange.rcode; over */
	EXCHANGE_LOOP,		/* an endless alias chain: no other server will know better; over */
	EXCHANGE_LOST,		/* no reply can come: exchange.error; over */
};

struct exchange {
	struct transport_send           send;
	struct list                     open;		/* among all that are */
	const struct exchange_question *question;	/* borrowed while open */
	struct channel                 *channel;	/* borrowed while open */
	struct channel                 *carrier;	/* over whose transport it goes, a reference while open; NULL: channel's */
	/* The owner hears events here; it may free the exchange during one that ends it. */
	void (*on_event)(struct exchange *x, enum exchange_event event, const struct dns_answer *answer,
	                 const struct dns_name *target);
	void (*on_spare)(struct exchange *x);		/* it was ended as spare; NULL: never mind */
	enum transport_kind             kind;
	uint64_t                        started_us, ended_us;
	int                             error;		/* EXCHANGE_LOST: negative errno */
	uint8_t                         rcode;		/* EXCHANGE_FAILED */
	uint8_t                         ended_by;	/* enum exchange_event; EXCHANGE_CASE: none, it was its owner */
	uint32_t                        ede;		/* the reply's first extended error; DNS_EDE_NONE */
	uint8_t                         mismatches;
	bool                            with_edns;
	bool                            case_differs;
	bool                            spare;		/* nobody waits for it: whoever needs its place may end it */
	uint8_t                         mixed[(DNS_NAME_MAX + 7) / 8];	/* a bit for each octet sent in upper case */
};

/* Sends.  The caller has set question, channel, on_event and send.apart.  0, or a negative errno: nothing was sent. */
int  exchange_start(struct exchange *x, enum transport_kind kind);
bool exchange_is_open(const struct exchange *x);
/* The open exchanges that ask for the same name and type, whatever else differs: the first (after NULL), the
 * next, and NULL at the end. */
struct exchange *exchange_next_like(const struct exchanges *all, const struct exchange_question *q,
                                    const struct exchange *after);
/* How many those are; *spare gets one that nobody waits for, or NULL. */
unsigned exchange_count_like(const struct exchanges *all, const struct exchange_question *q,
                             struct exchange **spare);
/* Ends one that nobody waits for; its owner is told by on_spare. */
void exchange_end_spare(struct exchange *x);
/* For who only wants to know whether a server works over this kind of transport, and hears an event that ends the
 * exchange: a failing reply is worth no more than silence, else clients would get those.  One that rejects EDNS is
 * asked *again. */
bool exchange_finds_well(struct exchange *x, enum exchange_event event, bool *again);
/* Stops listening; fine when it is over. */
void exchange_end(struct exchange *x);

#endif
