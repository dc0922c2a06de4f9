/* secure.h - the server's end of DNS over TLS and over HTTPS, for the bench.
 *
 * Takes connections, gives questions, takes answers in any order.  What a
 * connection speaks is settled by ALPN: "h2" HTTP/2, "http/1.1" or, where
 * nothing was agreed upon, whatever begins as a POST: HTTP/1.1; all else frames
 * (RFC 7858).  Sessions are resumed; certificates come from one PEM file with
 * the key in front.
 *
 * Answers are gathered and leave at secure_flush() in one system call, in a TLS
 * record each (HTTP/2: as many frames to a record as fit).
 */
#ifndef BENCH_SECURE_H
#define BENCH_SECURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SECURE_OCTETS = 512 };	/* the longest question, and answer */

struct secure;
struct secure_conn;

/* A question on the connection of this place; msg has SECURE_OCTETS of room and may be
 * written to.  tag is for secure_answer(), which may be called at once. */
typedef void secure_question(void *arg, unsigned place, uint32_t tag, uint8_t *msg, size_t len);

struct secure *secure_new(const char *pem, secure_question *on, void *arg);

/* Takes fd, which is made non-blocking. */
struct secure_conn *secure_open(struct secure *s, int fd, unsigned place);
void secure_close(struct secure_conn *c);	/* and its fd */
/* These give false when the connection is to be closed. */
bool secure_read(struct secure_conn *c);	/* all that has come; flushes */
bool secure_answer(struct secure_conn *c, uint32_t tag, const uint8_t *msg, size_t len);
bool secure_flush(struct secure_conn *c);

#endif
