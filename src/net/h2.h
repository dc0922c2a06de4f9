/* h2.h - DNS questions on one HTTP/2 connection (RFC 8484), between buffers.
 *
 * Owns no socket and knows no TLS: what the server said is handed in, what is
 * to be said lies in an outbox, both in plaintext.  Each question is a request
 * with a stream of its own, so answers come in any order.
 *
 * A question lives from h2_ask() to h2_drop(), or to one of the two events.
 */
#ifndef LARDER_NET_H2_H
#define LARDER_NET_H2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct h2;
struct outbox;

enum h2_method { H2_POST, H2_GET };

#define H2_AUTHORITY_MAX 263
#define H2_PATH_MAX      255

struct h2_target {		/* borrowed by the connections to it */
	char           authority[H2_AUTHORITY_MAX + 1];	/* "dns.example", "192.0.2.1:8443" */
	char           path[H2_PATH_MAX + 1];		/* "/dns-query" */
	enum h2_method method;
};

struct h2_events {
	/* The first of its response has come.  NULL: nobody wants to know. */
	void (*begun)(void *arg, uint32_t stream);
	/* The body of a good response (RFC 8484 s. 4.2.1), borrowed for the call.  age_s: how long a cache on
	 * the way has held it (s. 5.1). */
	void (*answer)(void *arg, uint32_t stream, const uint8_t *msg, size_t len, uint32_t age_s);
	/* There will be none:
	 * -ECONNRESET the server has not looked at the question: asking again is right;
	 * -EREMOTEIO  what it said is no answer: another status, type or length;
	 * -EPROTO     it gave the request up. */
	void (*failed)(void *arg, uint32_t stream, int error);
	/* The server wants to be left alone for so long (RFC 9110 s. 10.2.3); the question that it says so to fails
	 * right after.  At most H2_REST_MAX_S. */
	void (*rest)(void *arg, uint32_t rest_s);
};

#define H2_REST_MAX_S 300

/* Begins: preface and settings lie in out.  Gives a connection, or NULL when memory is short.  Borrows all
 * of its arguments.  streams: so many questions at once are taken until the server has said how many; 0: nothing
 * is known about it. */
struct h2 *h2_new(const struct h2_target *target, const struct h2_events *on, void *arg, struct outbox *out,
                  uint32_t streams);
void       h2_free(struct h2 *h);	/* NULL is fine; tells nobody */

/* Copies a message, whose ID should be 0 (s. 4.1), and gives its stream.  0; -EAGAIN: the connection takes no
 * more questions, ever; or -ENOMEM. */
int  h2_ask(struct h2 *h, const uint8_t *msg, size_t len, uint32_t *stream);
void h2_drop(struct h2 *h, uint32_t stream);
/* The server's octets.  Events may do anything but free h.  0, or -EPROTO or -ENOMEM: the connection is of no
 * use any more, and its questions have not been told. */
int  h2_hear(struct h2 *h, const uint8_t *octets, size_t len);
/* Asks for a sign of life, to which the server must answer. */
int  h2_ping(struct h2 *h);

/* How many more questions the server works on at once; 0 too when it wants no more of them. */
unsigned h2_room(const struct h2 *h);
uint32_t h2_streams(const struct h2 *h);	/* how many it works on at most; at least 1 */
bool     h2_is_leaving(const struct h2 *h);	/* GOAWAY, or out of streams: no new questions */

#endif
