/* tls_peer.h - whom an encrypted upstream has to be (RFC 8310).
 *
 * A peer has a name, which its certificate must bear and somebody we trust must
 * vouch for, or hashes of keys it may have ("pins", RFC 7858 s. 4.2), or both,
 * and then both must fit.  With the opportunistic profile (s. 5) it should, and
 * is spoken to all the same if it does not.  Nothing about it changes but its tickets, so all
 * workers share it.
 *
 * A resumed session shows no certificate.  Its ticket is therefore kept with the
 * peer it was authenticated as, is used once, and ends with the certificate, or
 * a day after that was checked.
 */
#ifndef LARDER_NET_TLS_PEER_H
#define LARDER_NET_TLS_PEER_H

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_PIN_LEN    32	/* SHA-256 of a SubjectPublicKeyInfo */
#define TLS_DIGEST_LEN 32
#define TLS_PINS_MAX   16
#define TLS_AUTHENTIC_MAX_S 86400	/* then certificates are looked at again */

enum tls_reason {		/* why a session is none */
	TLS_FINE,
	TLS_EXPIRED,
	TLS_NOT_YET_VALID,
	TLS_WRONG_NAME,
	TLS_UNKNOWN_ISSUER,
	TLS_WRONG_PIN,
	TLS_NOBODY_EXPECTED,	/* opportunistic, without a name or a pin */
	TLS_BAD_CERTIFICATE,	/* revoked, too weak, not for a server, unreadable */
	TLS_PROTOCOL,		/* what came is no TLS that we can speak */
	TLS_CLOSED,		/* the server ended the session */
};

const char *tls_reason_text(enum tls_reason reason);	/* "certificate expired" */
bool        tls_reason_is_certificate(enum tls_reason reason);

/* ---- whose word counts ---- */

struct tls_trust;

#define TLS_TRUST_SYSTEM NULL	/* the system's certificate authorities */
#define TLS_TRUST_NOBODY ""	/* pins alone decide */

/* Reads a PEM file of authorities, or what one of the two words above means.  Gives a counted object in
 * *out; or -ENOMEM, -ENODATA (it has no certificate), or what reading the file met. */
int  tls_trust_load(const char *file, struct tls_trust **out);
struct tls_trust *tls_trust_ref(struct tls_trust *t);
void tls_trust_unref(struct tls_trust *t);	/* NULL is fine */
bool tls_trust_equal(const struct tls_trust *a, const struct tls_trust *b);	/* NULL equals NULL */
bool tls_trust_is_system(const struct tls_trust *t);
gnutls_certificate_credentials_t tls_trust_credentials(const struct tls_trust *t);
gnutls_priority_t                tls_trust_priority(const struct tls_trust *t);

/* ---- the peer ---- */

struct tls_peer_conf {
	const char       *address;	/* of the server, as text */
	const char       *name;		/* a host name or an address; NULL: pins alone decide */
	const char       *server_name;	/* for the ClientHello, where name is an address; NULL: nothing */
	const uint8_t   (*pins)[TLS_PIN_LEN];
	size_t            pin_count;	/* at most TLS_PINS_MAX; 0 needs a name, unless opportunistic */
	bool              opportunistic;
	const char       *alpn;		/* "dot" or "h2" */
	bool              alpn_needed;	/* a server that does not choose it is none */
	struct tls_trust *trust;
};

struct tls_peer;

/* Gives a counted peer, or NULL when memory is short.  Copies conf; takes a reference of its own to trust. */
struct tls_peer *tls_peer_new(const struct tls_peer_conf *conf);
struct tls_peer *tls_peer_ref(struct tls_peer *p);
void             tls_peer_unref(struct tls_peer *p);	/* NULL is fine */
/* The same server, name, pins, authorities and protocol?  NULL equals NULL. */
bool             tls_peer_equal(const struct tls_peer *a, const struct tls_peer *b);
/* TLS_DIGEST_LEN octets over all of that. */
const uint8_t   *tls_peer_digest(const struct tls_peer *p);
struct tls_trust *tls_peer_trust(const struct tls_peer *p);
/* What the ClientHello names (RFC 6066 s. 3); NULL: nothing. */
const char      *tls_peer_server_name(const struct tls_peer *p);
bool             tls_peer_is_opportunistic(const struct tls_peer *p);
const char      *tls_peer_alpn(const struct tls_peer *p, bool *needed);

/* Are these the certificates of this peer?  On TLS_FINE *until_s (of the wall clock) is when that
 * must be asked again. */
enum tls_reason tls_peer_judge(const struct tls_peer *p, gnutls_session_t s, int64_t now_s, int64_t *until_s);

struct tls_ticket {
	gnutls_datum_t data;	/* freed by tls_ticket_done(); no data: none */
	int64_t        until_s;	/* of the authentication it stems from */
	bool           lasting;	/* TLS 1.3: may outlive the process */
};

/* The newest ticket that is good still; it is the caller's and nobody else's. */
bool tls_peer_take_ticket(struct tls_peer *p, int64_t now_s, struct tls_ticket *out);
/* Takes t's data. */
void tls_peer_keep_ticket(struct tls_peer *p, struct tls_ticket *t);
void tls_ticket_done(struct tls_ticket *t);
/* Shows each ticket that is good still, oldest first; it is borrowed, and the peer is locked meanwhile. */
void tls_peer_show_tickets(struct tls_peer *p, int64_t now_s,
                           void (*show)(void *arg, const struct tls_peer *p, const struct tls_ticket *t), void *arg);
/* How often a ticket has come or gone: who saw the same number before has seen the same tickets. */
uint32_t tls_peer_ticket_changes(const struct tls_peer *p);

#endif
