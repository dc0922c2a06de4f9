/* tls_tickets.h - tickets as octets, so that sessions are resumed after a restart.
 *
 * Only TLS 1.3 tickets are written: each resumption there has keys of its own,
 * while a ticket of TLS 1.2 opens what was recorded of its session.  Each lies
 * under the digest of the peer that was authenticated, so a peer with another
 * address, name, pin, authority or profile never sees it.
 */
#ifndef LARDER_NET_TLS_TICKETS_H
#define LARDER_NET_TLS_TICKETS_H

#include <stddef.h>
#include <stdint.h>

#define TLS_TICKETS_MAX 1048576		/* octets; further tickets are left out */

struct outbox;
struct tls_peer;

/* Adds all that these peers have to out; nothing when they have none.  NULLs are passed over.  0 or -ENOMEM. */
int tls_tickets_write(struct tls_peer *const *peers, size_t count, int64_t now_s, struct outbox *out);

/* Gives the peers what is theirs and good still.  How many tickets that were; or -EBADMSG: these are not,
 * or not wholly, octets of tls_tickets_write(), by this version of everything, and nothing is taken. */
int tls_tickets_read(const uint8_t *octets, size_t len, struct tls_peer *const *peers, size_t count, int64_t now_s);

#endif
