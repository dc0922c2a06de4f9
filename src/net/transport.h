/* transport.h - how one question travels to one upstream, whatever the protocol.
 *
 * A transport carries questions to one server over one protocol, for one
 * worker: to one address, until aim() names others.  Its user embeds a struct transport_send for each question it sends
 * and hears what becomes of it; UDP, TCP, TLS and HTTP/2 differ behind this line
 * only.
 *
 * The transport chooses the message ID (random where the protocol needs it,
 * never twice at once on one connection) and writes it into the first two
 * octets of the message.  It delivers what came back to this send's socket or
 * connection with this send's ID; whether the message answers the question is
 * for the user to judge (RFC 5452 s. 9.1).
 *
 * A send lives from transport_send() returning 0 to transport_end(), or to its
 * lost() event.  A message does not end it: a wrong answer may be followed by
 * the right one.  The struct must stay where it is while the send lives.
 */
#ifndef LARDER_NET_TRANSPORT_H
#define LARDER_NET_TRANSPORT_H

#include "base/addr.h"
#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct h2_target;
struct tls_peer;
struct transport_send;

enum transport_kind { TRANSPORT_UDP, TRANSPORT_TCP, TRANSPORT_TLS, TRANSPORT_HTTPS, TRANSPORT_KINDS };

/* Nobody on the way reads it, and whoever answers has proven who it is, unless the peer is opportunistic. */
static inline bool transport_kind_is_encrypted(enum transport_kind kind)
{
	return kind == TRANSPORT_TLS || kind == TRANSPORT_HTTPS;
}

struct transport_events {
	/* A message with this send's ID has come where it was due.  msg (at least
	 * 12 octets) is valid during the call.  May end this send or any other. */
	void (*message)(struct transport_send *s, const uint8_t *msg, size_t len);
	/* A datagram with another ID has come to this send's socket (RFC 5452 s. 9.3).
	 * May end this send or any other. */
	void (*mismatch)(struct transport_send *s);
	/* The send has ended without an answer, and nothing more will come:
	 * -ECONNREFUSED, -EHOSTUNREACH, -ENETUNREACH …  as the system said;
	 * -ECONNRESET the server closed the connection under the question (asking again at
	 *  once, on a new connection, is right), or has not looked at it;
	 * -ETIMEDOUT the connection never opened, or let questions go unanswered for
	 *  transport_conf.silence_ms and was given up;
	 * -EKEYREJECTED the server is not who it should be; -EPROTO it does not speak TLS or HTTP/2 as we do;
	 * -EREMOTEIO an HTTP response that is no answer. */
	void (*lost)(struct transport_send *s, int error);
};

struct transport_send {
	const struct transport_events *on;	/* set by the user before sending */
	bool apart;			/* so is this: over a connection on which no other question waits */

	/* written by the transport, read by the user: CLOCK_MONOTONIC, 0: not yet */
	uint64_t sent_us;		/* handed to the kernel */
	uint64_t connected_us;		/* streams: TCP was open from here on */
	uint64_t secured_us;		/* TLS: and the handshake was done */
	uint64_t first_us;		/* streams: the first octets of its answer had come */
	bool     resumed;		/* TLS: with a ticket */
	const char *doubt;		/* TLS: why it is not authenticated, a text that lasts; NULL: it is */
	uint16_t id;
	uint32_t age_s;			/* a cache on the way has held the message for so long (HTTP only) */

	/* the transport's own */
	struct transport *transport;	/* NULL: does not live */
	struct list node;
	void    *place;			/* socket or connection */
	uint32_t tag;			/* what its answer is known by there */
};

struct transport {
	const struct transport_ops *ops;
};

struct transport_ops {
	/* Takes the message (copies what it must keep) and sends it as soon as it can.  Writes the ID
	 * into msg.  0, or a negative errno: nothing was sent, the send does not live, lost() is not called. */
	int  (*send)(struct transport *t, struct transport_send *s, uint8_t *msg, size_t len);
	void (*end)(struct transport *t, struct transport_send *s);
	/* The server said how long it keeps an idle connection (RFC 7828); 0: use it no more. */
	void (*idle_hint)(struct transport *t, struct transport_send *s, uint32_t idle_ms);
	/* The network has changed: sockets and connections that are open carry no new questions. */
	void (*renew)(struct transport *t);
	/* All sends have ended before.  Memory goes back when the last handle has closed. */
	void (*close)(struct transport *t);
	/* The server is at these addresses now, of which there is one at least.  Datagrams go to the first;
	 * streams are opened to whichever answers first, tried in this order (RFC 8305 s. 5).  What is open to an
	 * address that is not among them carries no new questions.  Copies to. */
	void (*aim)(struct transport *t, const struct addr_list *to);
};

struct transport_opening {
	const struct addr *to;	/* borrowed during the call */
	uint64_t connect_us;
	uint64_t handshake_us;	/* TLS; else 0 */
	bool     resumed;
	const char *doubt;	/* TLS that is not authenticated: why; NULL: it is */
};

struct transport_conf {
	uint32_t silence_ms;	/* a stream that answers nothing for so long under a question is given up */
	uint32_t idle_ms;	/* a stream without questions is closed after this */
	uint32_t connect_ms;	/* a stream that is not open by then, TLS included, is given up */
	struct tls_peer        *tls;	/* TLS and HTTPS: whom to expect; the transport takes a reference of its own */
	const struct h2_target *http;	/* HTTPS; borrowed until transport_close() */
	/* A stream has been opened.  Either may be NULL: nobody wants to know. */
	void (*opened)(void *arg, const struct transport_opening *how);
	/* None could: an error as in lost(), which whoever waited for it hears next.  reason: what was wrong with its
	 * TLS, an enum tls_reason (tls_peer.h); 0: it did not come to that. */
	void (*failed)(void *arg, int error, unsigned reason);
	void  *arg;
};

/* Makes transports: the loop's own, or a test's. */
struct transport_maker {
	/* A transport the caller closes, or NULL when memory is short.  Copies to and conf. */
	struct transport *(*make)(const struct transport_maker *m, enum transport_kind kind,
	                          const struct addr *to, const struct transport_conf *conf);
};

static inline int transport_send(struct transport *t, struct transport_send *s, uint8_t *msg, size_t len)
{
	return t->ops->send(t, s, msg, len);
}

static inline void transport_end(struct transport_send *s)	/* fine when it does not live */
{
	if (s->transport)
		s->transport->ops->end(s->transport, s);
}

static inline bool transport_lives(const struct transport_send *s)
{
	return s->transport;
}

static inline void transport_idle_hint(struct transport_send *s, uint32_t idle_ms)
{
	if (s->transport)
		s->transport->ops->idle_hint(s->transport, s, idle_ms);
}

static inline void transport_renew(struct transport *t)	/* NULL is fine */
{
	if (t)
		t->ops->renew(t);
}

static inline void transport_aim(struct transport *t, const struct addr_list *to)	/* NULL is fine */
{
	if (t)
		t->ops->aim(t, to);
}

static inline void transport_close(struct transport *t)
{
	if (t)
		t->ops->close(t);
}

#endif
