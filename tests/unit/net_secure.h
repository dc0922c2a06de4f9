/* net_secure.h - the far side of an encrypted transport: TLS, and HTTP/2 if wanted, on a plain socket.
 *
 * secure_turn() does what there is to do and always gives true, so that it
 * can stand in the condition of a rig_until().
 */
#ifndef LARDER_TESTS_NET_SECURE_H
#define LARDER_TESTS_NET_SECURE_H

#include "h2_rig.h"
#include "net_rig.h"
#include "tls_rig.h"

#include "net/tls_peer.h"

#define SECURE_NAME "dns.example"

struct secure {
	struct rig_cert authority, cert;
	struct rig_tls  tls;
	struct h2_rig   h2;
	bool            http;
	bool            opportunistic;		/* so is the client */
	int             max_streams;		/* -1: no bound */
	int             listener, peer;		/* peer -1: nobody is there */
	unsigned        accepted;
	bool            gone;			/* the client has closed */
	uint8_t         heard[65536];		/* plaintext */
	size_t          heard_len;
};

static inline void secure_open(struct secure *s, const char *name)
{
	struct addr any = rig_addr("127.0.0.1", 0);

	memset(s, 0, sizeof *s);
	rig_cert_init(&s->authority, &(struct rig_cert_conf){ .authority = true, .common = "authority" });
	rig_cert_init(&s->cert, &(struct rig_cert_conf){ .dns = name, .issuer = &s->authority });
	rig_tls_init(&s->tls, &s->cert);
	gnutls_session_ticket_key_generate(&s->tls.ticket_key);
	s->listener = rig_server(SOCK_STREAM, &any);
	s->peer = -1;
	s->max_streams = -1;
}

static inline void secure_hang_up(struct secure *s)
{
	if (s->peer < 0)
		return;
	close(s->peer);
	s->peer = -1;
	if (s->http)
		h2_rig_done(&s->h2);
}

static inline void secure_close(struct secure *s)
{
	secure_hang_up(s);
	close(s->listener);
	rig_tls_done(&s->tls);
	rig_cert_done(&s->cert);
	rig_cert_done(&s->authority);
}

static inline void secure_accept(struct secure *s)
{
	int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK);

	if (fd < 0)
		return;
	secure_hang_up(s);
	s->peer = fd;
	s->accepted++;
	s->gone = false;
	s->heard_len = 0;
	s->tls.alpn = s->http ? "h2" : "dot";
	rig_tls_begin(&s->tls);
	if (s->http)
		h2_rig_init(&s->h2, s->max_streams);
}

static inline void secure_say(struct secure *s, const void *octets, size_t len)
{
	rig_tls_say(&s->tls, octets, len);
}

static inline bool secure_turn(struct secure *s)
{
	static uint8_t octets[65536];
	ssize_t        n;

	secure_accept(s);
	if (s->peer < 0)
		return true;
	n = rig_recv(s->peer, octets, sizeof octets);
	s->gone |= n == 0 || n == -ECONNRESET;
	if (n > 0) {
		size_t len = rig_tls_hear(&s->tls, octets, (size_t)n, s->heard + s->heard_len,
		                          sizeof s->heard - s->heard_len);

		if (s->http && len)
			h2_rig_hear(&s->h2, s->heard, len);
		else
			s->heard_len += len;
	}
	if (s->http && s->tls.open) {
		h2_rig_write(&s->h2);
		secure_say(s, s->h2.out, s->h2.out_len);
		s->h2.out_len = 0;
	}
	if (s->tls.out_len)
		rig_write(s->peer, s->tls.out, s->tls.out_len);
	s->tls.out_len = 0;
	return true;
}

/* Whom a client has to expect to get in; NULL when memory is short.  The caller unrefs. */
static inline struct tls_peer *secure_peer_or_null(const struct secure *s, const char *name)
{
	char              file[64];
	struct tls_trust *trust;
	struct tls_peer  *peer;
	int               error;

	rig_cert_write(&s->authority, file);
	error = tls_trust_load(file, &trust);
	unlink(file);
	if (error < 0)
		return NULL;
	peer = tls_peer_new(&(struct tls_peer_conf){ .address = "127.0.0.1", .name = name,
	                                             .alpn = s->http ? "h2" : "dot", .alpn_needed = s->http,
	                                             .opportunistic = s->opportunistic, .trust = trust });
	tls_trust_unref(trust);
	return peer;
}

static inline struct tls_peer *secure_peer(const struct secure *s, const char *name)
{
	struct tls_peer *peer = secure_peer_or_null(s, name);

	assert_non_null(peer);
	return peer;
}

#endif
