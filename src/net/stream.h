/* stream.h - one connection to an upstream, and what is spoken on it.
 *
 * Between socket and questions lie one or two layers that only move octets:
 *
 *   questions ── dialect ── TLS, unless it is plain TCP ── outbox ── socket
 *
 * A dialect (frames or HTTP/2) turns questions into octets and octets into
 * answers; the stream has the socket, the clock and the questions that live.
 *
 *   CONNECTING ──> SECURING ──> OPEN ──> closing
 *        │   └─ plain ─────────────^        ^
 *        └──────────────────────────────────┘
 *
 * Always true: a stream that is closing has no questions, or is telling them
 * so; one that takes no new questions and has none left is closing.
 */
#ifndef LARDER_NET_STREAM_H
#define LARDER_NET_STREAM_H

#include "net/client.h"
#include "net/dial.h"
#include "net/frames.h"
#include "net/outbox.h"
#include "net/tls.h"

#define STREAM_BUCKETS    256
#define STREAM_OUTBOX_MAX 262144	/* octets waiting to be written */

struct h2;
struct stream;

struct dialect {
	/* What it needs beside the stream's own; 0 or -ENOMEM. */
	int    (*begin)(struct stream *s);
	void   (*done)(struct stream *s);
	/* How many more questions are welcome on this stream. */
	unsigned (*room)(const struct stream *s);
	/* Chooses send->id and send->tag, writes the ID into msg, and hands octets to stream_say().
	 * 0, or a negative errno; -EAGAIN: not now. */
	int    (*ask)(struct stream *s, struct transport_send *send, uint8_t *msg, size_t len);
	/* How many of these octets, all that is to be said, go into the next TLS record. */
	size_t (*record)(const uint8_t *octets, size_t len);
	/* The question's answer is not wanted any more; it is on no list. */
	void   (*drop)(struct stream *s, struct transport_send *send);
	/* Puts what it has held back to the front of room, and gives its length. */
	size_t (*held)(struct stream *s, uint8_t *room);
	/* Octets have come: what was held and then what is new.  0, or why the stream is of no use any
	 * more.  In between anything may happen to the stream and its questions. */
	int    (*hear)(struct stream *s, const uint8_t *octets, size_t len);
};

extern const struct dialect dialect_frames, dialect_http;

/* The last stream to this address could not be secured. */
struct stream_refusal {
	struct addr of;
	int         error;	/* why */
	uint32_t    for_ms;	/* so long none is opened … */
	uint64_t    since_ms;	/* … since then, on the loop's clock, as all with _ms here */
};

/* All connections to one server over one protocol. */
struct stream_client {
	struct transport      base;
	struct net_client    *client;		/* borrowed */
	struct addr_list      to;
	struct transport_conf conf;		/* with a reference to conf.tls */
	const struct dialect *dialect;
	struct list           streams;		/* those that take questions, newest first */
	unsigned              stream_count;	/* all that are not closing */
	unsigned              left_opening;	/* of them those that left the list before they were open */
	unsigned              holders;		/* its user and each stream; freed at none */
	uint32_t              idle_ms;		/* how long the server seems to keep a stream at rest */
	uint32_t              rested_ms;	/* how long the last one rested that it closed; 0: none */
	uint32_t              room;		/* how many questions the last stream took at once; 0: not known */
	uint64_t              rest_until_ms;	/* the server wants no questions until then */
	struct stream_refusal refusals[ADDR_LIST_MAX];	/* of addresses in to */
	unsigned              refusal_count;
	bool                  closed;		/* its user has gone */
};

enum stream_state {
	STREAM_CONNECTING,	/* what is said waits; connect timer runs, on to the next state as well */
	STREAM_SECURING,	/* TLS shakes hands */
	STREAM_OPEN,		/* what is said goes out */
};

struct stream {
	struct list           node;		/* of stream_client.streams, or on no list */
	struct stream_client *owner;
	enum stream_state     state;
	struct dial          *dial;		/* while connecting */
	struct addr           to;		/* then: whom it reached */
	uv_poll_t             poll;		/* and this is open */
	uv_timer_t            timer;
	uv_idle_t             turn_end;		/* runs when something waits for TLS */
	uint64_t              rings_ms;		/* when the timer will; UINT64_MAX: not set */
	uint64_t              began_ms;
	uint64_t              asked_ms;		/* the first question since we heard something */
	uint64_t              heard_ms;		/* the last whole answer */
	uint64_t              began_us, connected_us, secured_us;	/* CLOCK_MONOTONIC; 0: not yet */
	uint64_t              octets_us;	/* the same: what is being heard has come */
	uint64_t              held_us;		/* and what the dialect holds of an answer did; 0: nothing is */
	uint32_t              idle_ms;
	unsigned              count;		/* questions that live */
	bool                  left_opening;	/* it has left the list, and was not open then */
	struct tls           *tls;		/* NULL: plain */
	struct outbox         plain;		/* said, but not yet through TLS */
	struct outbox         out;		/* for the socket */
	union {					/* the dialect's own */
		struct frames in;
		struct h2    *h2;
	};
	int                   fd;		/* -1: not yet */
	int                   watched;		/* events of poll */
	uint8_t               open_handles;
	bool                  closing;
	struct list           buckets[STREAM_BUCKETS];	/* questions by the low bits of their tag */
};

/* ---- for the client ---- */

/* Opens one more to these, which are among c->to, at the front of c->streams.  0 or a negative errno. */
int  stream_open(struct stream_client *c, const struct addr_list *to);
/* Dials these instead: its time begins anew.  0, or a negative errno: it is as it was. */
int  stream_redial(struct stream *s, const struct addr_list *to);
int  stream_ask(struct stream *s, struct transport_send *send, uint8_t *msg, size_t len);
void stream_end(struct stream *s, struct transport_send *send);
/* Takes no new questions from now on. */
void stream_leave(struct stream *s);
void stream_close(struct stream *s);
/* How long a stream may rest so that we close it before a server does that waits for idle_ms. */
uint32_t stream_idle_within(uint32_t idle_ms);
void stream_set_idle(struct stream *s, uint32_t idle_ms);
/* Nothing has been heard for long, although there are questions, or it is long in opening. */
bool stream_is_suspect(const struct stream *s);
/* Open for longer than it may be without a question: our own loop has stood still, and it may be dead. */
bool stream_is_overdue(const struct stream *s);
void stream_client_release(struct stream_client *c);
/* What came of securing a stream to this address: how long it is left alone from now on.  Or it is open. */
uint32_t stream_client_refused(struct stream_client *c, const struct addr *a, int error);
void     stream_client_accepted(struct stream_client *c, const struct addr *a);

/* ---- for the dialects ---- */

/* Says octets, as soon as that is possible; the parts are used up. */
int  stream_say(struct stream *s, struct iovec *parts, unsigned count);
struct transport_send *stream_find(struct stream *s, uint32_t tag);
/* A whole answer has come for the question with this tag, if that lives still; its first octets at first_us. */
void stream_answer(struct stream *s, uint32_t tag, uint64_t first_us, const uint8_t *msg, size_t len);
void stream_fail(struct stream *s, struct transport_send *send, int error);	/* this question alone */
/* The server is not asked for so long, on any stream. */
void stream_client_rest(struct stream_client *c, uint32_t rest_ms);

#endif
