/* tls.h - one TLS session with an upstream, between buffers.
 *
 * Owns no socket: what came from the server is handed in, what is to go there
 * lies in an outbox, and plaintext goes in and out beside it.  TLS 1.3 or 1.2,
 * the peer proven before any plaintext leaves (one that is opportunistic:
 * tried), no early data, no renegotiation.
 *
 *   HANDSHAKE ──> OPEN ──> over
 *       └───────────────────^
 *
 * Errors are -EKEYREJECTED (the peer is not who it should be), -EPROTO,
 * -ECONNRESET (the server closed), -ENOMEM; tls_reason() says more.
 */
#ifndef LARDER_NET_TLS_H
#define LARDER_NET_TLS_H

#include "net/tls_peer.h"

#include <sys/types.h>

struct outbox;
struct tls;

/* Begins: the ClientHello lies in out.  Gives a session, or NULL when memory is short.  Takes a reference
 * to peer; borrows out, and fills it at every call below that is not const. */
struct tls *tls_new(struct tls_peer *peer, struct outbox *out);
void        tls_free(struct tls *t);	/* NULL is fine */

/* Octets that came, borrowed until tls_read() has given -EAGAIN or an error. */
void    tls_hear(struct tls *t, const uint8_t *octets, size_t len);
/* Goes on with the handshake, then gives plaintext: a length, or -EAGAIN when all that came is used up,
 * or an error. */
ssize_t tls_read(struct tls *t, uint8_t *out, size_t size);
/* Only when open.  0, or an error. */
int     tls_write(struct tls *t, const uint8_t *octets, size_t len);
/* Says good-bye, when there is somebody to say it to. */
void    tls_bye(struct tls *t);

bool            tls_is_open(const struct tls *t);
bool            tls_is_authentic(const struct tls *t);	/* when open: always, unless the peer is opportunistic … */
enum tls_reason tls_doubt(const struct tls *t);		/* … and then why not; TLS_FINE: it is */
bool            tls_is_resumed(const struct tls *t);	/* when open: by a ticket */
enum tls_reason tls_reason(const struct tls *t);		/* of the last error */

#endif
