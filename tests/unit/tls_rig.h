/* tls_rig.h - authorities, certificates and TLS servers for tests, all in memory.
 *
 * Keys and certificates are made on the spot (P-256, which costs next to
 * nothing); a server is a GnuTLS session between two arrays, like the client
 * under test.
 */
#ifndef LARDER_TESTS_TLS_RIG_H
#define LARDER_TESTS_TLS_RIG_H

#include "unit.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <time.h>

#define RIG_DAY 86400

/* ---- certificates ---- */

struct rig_cert {
	gnutls_x509_privkey_t    key;
	gnutls_x509_crt_t        crt;
	const struct rig_cert   *issuer;	/* NULL: signed by itself */
};

struct rig_cert_conf {
	const char            *dns;		/* subjectAltName; NULL: none */
	const char            *ip;		/* the same, "127.0.0.1" */
	const char            *common;		/* common name; NULL: "rig" */
	const struct rig_cert *issuer;		/* NULL: itself */
	bool                   authority;
	int64_t                from_s, until_s;	/* from now; both 0: good today */
};

void rig_cert_init(struct rig_cert *c, const struct rig_cert_conf *conf);
void rig_cert_done(struct rig_cert *c);
void rig_cert_pin(const struct rig_cert *c, uint8_t out[32]);
/* Writes PEM to a new file, whose name (at least 64 octets) is given. */
void rig_cert_write(const struct rig_cert *c, char *name);

/* ---- a server ---- */

#define RIG_BUFFER 262144

struct rig_tls {
	gnutls_certificate_credentials_t credentials;
	gnutls_datum_t                   ticket_key;	/* no data: no tickets */
	gnutls_session_t                 session;
	const char                      *priority;	/* NULL: NORMAL */
	const char                      *alpn;		/* NULL: says nothing of it */
	uint8_t                          in[RIG_BUFFER], out[RIG_BUFFER];
	size_t                           in_len, out_len;
	bool                             open;
	char                             server_name[256];	/* of the last ClientHello; "": none */
};

/* Shows cert and those who signed it, except the last of them. */
void rig_tls_init(struct rig_tls *r, const struct rig_cert *cert);
void rig_tls_done(struct rig_tls *r);
void rig_tls_begin(struct rig_tls *r);		/* a new session */
/* Takes what the client sent, answers into r->out.  Gives decrypted octets, or 0. */
size_t rig_tls_hear(struct rig_tls *r, const uint8_t *octets, size_t len, uint8_t *plain, size_t size);
void rig_tls_say(struct rig_tls *r, const void *octets, size_t len);

#endif
