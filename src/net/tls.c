/* tls.c - GnuTLS between two buffers.
 *
 * GnuTLS asks for ciphertext and gets what tls_hear() was given; it writes
 * ciphertext, which is added to the outbox.  Both never block, and neither can
 * fail but for want of memory.
 *
 * A ticket may come with every message of the server.  GnuTLS then stops as if
 * there were nothing more to read, although there is: tls_read() goes on until
 * the input is used up.
 */
#include "net/tls.h"

#include "net/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

struct tls {
	gnutls_session_t  session;
	struct tls_peer  *peer;		/* a reference */
	struct outbox    *out;		/* borrowed */
	const uint8_t    *in;		/* borrowed */
	size_t            in_len;
	int64_t           until_s;	/* of the authentication; 0: not authenticated */
	bool              open, over, ticket_came;
	enum tls_reason   reason;
	enum tls_reason   doubt;	/* an opportunistic peer's; TLS_FINE: none */
};

/* ---- what GnuTLS calls ---- */

static ssize_t tls_on_pull(gnutls_transport_ptr_t arg, void *out, size_t size)
{
	struct tls *t = arg;
	size_t      n = t->in_len < size ? t->in_len : size;

	if (!n) {
		gnutls_transport_set_errno(t->session, EAGAIN);
		return -1;
	}
	memcpy(out, t->in, n);
	t->in += n;
	t->in_len -= n;
	return (ssize_t)n;
}

static int tls_on_pull_timeout(gnutls_transport_ptr_t arg, unsigned ms)
{
	(void)ms;
	return ((const struct tls *)arg)->in_len > 0;
}

static ssize_t tls_on_push(gnutls_transport_ptr_t arg, const void *octets, size_t len)
{
	struct tls  *t = arg;
	struct iovec part = { (void *)(uintptr_t)octets, len };

	if (outbox_write(t->out, -1, &part, 1) == 0)
		return (ssize_t)len;
	gnutls_transport_set_errno(t->session, ENOMEM);
	return -1;
}

/* Before the client's Finished, so before any plaintext.  Not called for a resumed session. */
static int tls_on_verify(gnutls_session_t session)
{
	struct tls *t = gnutls_session_get_ptr(session);

	enum tls_reason reason = tls_peer_judge(t->peer, session, time(NULL), &t->until_s);

	if (reason == TLS_FINE)
		return 0;
	t->until_s = 0;
	if (tls_peer_is_opportunistic(t->peer)) {
		t->doubt = reason;
		return 0;
	}
	t->reason = reason;
	return GNUTLS_E_CERTIFICATE_ERROR;
}

static int tls_on_ticket(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
                         const gnutls_datum_t *message)
{
	struct tls *t = gnutls_session_get_ptr(session);

	(void)type, (void)when, (void)message;
	t->ticket_came |= incoming;
	return 0;
}

/* ---- a session ---- */

static void tls_use_ticket(struct tls *t)
{
	struct tls_ticket ticket;

	if (!tls_peer_take_ticket(t->peer, time(NULL), &ticket))
		return;
	if (gnutls_session_set_data(t->session, ticket.data.data, ticket.data.size) == 0)
		t->until_s = ticket.until_s;	/* unless the server wants a full handshake */
	tls_ticket_done(&ticket);
}

static void tls_keep_ticket(struct tls *t)
{
	struct tls_ticket ticket = { .until_s = t->until_s,
		                     .lasting = gnutls_protocol_get_version(t->session) == GNUTLS_TLS1_3 };

	if (!t->ticket_came || !t->open || !tls_is_authentic(t))
		return;
	t->ticket_came = false;
	if (gnutls_session_get_data2(t->session, &ticket.data) == 0)
		tls_peer_keep_ticket(t->peer, &ticket);
}

static int tls_set_up(struct tls *t)
{
	const struct tls_trust *trust = tls_peer_trust(t->peer);
	const char             *name = tls_peer_server_name(t->peer);
	bool                    needed;
	const char             *alpn = tls_peer_alpn(t->peer, &needed);
	gnutls_datum_t          protocol = { (unsigned char *)(uintptr_t)alpn, (unsigned)strlen(alpn) };

	gnutls_session_set_ptr(t->session, t);
	gnutls_transport_set_ptr(t->session, t);
	gnutls_transport_set_push_function(t->session, tls_on_push);
	gnutls_transport_set_pull_function(t->session, tls_on_pull);
	gnutls_transport_set_pull_timeout_function(t->session, tls_on_pull_timeout);
	gnutls_handshake_set_timeout(t->session, 0);	/* whoever owns the socket counts time */
	gnutls_session_set_verify_function(t->session, tls_on_verify);
	gnutls_handshake_set_hook_function(t->session, GNUTLS_HANDSHAKE_NEW_SESSION_TICKET, GNUTLS_HOOK_POST,
	                                   tls_on_ticket);
	if (gnutls_priority_set(t->session, tls_trust_priority(trust)) < 0 ||
	    gnutls_credentials_set(t->session, GNUTLS_CRD_CERTIFICATE, tls_trust_credentials(trust)) < 0 ||
	    gnutls_alpn_set_protocols(t->session, &protocol, 1, 0) < 0 ||
	    (name && gnutls_server_name_set(t->session, GNUTLS_NAME_DNS, name, strlen(name)) < 0))
		return -ENOMEM;
	tls_use_ticket(t);
	return 0;
}

struct tls *tls_new(struct tls_peer *peer, struct outbox *out)
{
	struct tls *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->peer = tls_peer_ref(peer);
	t->out = out;
	if (gnutls_init(&t->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0 ||
	    tls_set_up(t) < 0 || gnutls_handshake(t->session) != GNUTLS_E_AGAIN) {
		tls_free(t);
		return NULL;
	}
	return t;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	if (t->session)
		gnutls_deinit(t->session);
	tls_peer_unref(t->peer);
	free(t);
}

/* ---- errors ---- */

static int tls_fail(struct tls *t, int error)
{
	bool was_over = t->over;

	t->over = true;
	t->open = false;
	if (error == GNUTLS_E_MEMORY_ERROR || error == GNUTLS_E_PUSH_ERROR)
		return -ENOMEM;
	if (tls_reason_is_certificate(t->reason)) {
		if (!was_over)
			gnutls_alert_send(t->session, GNUTLS_AL_FATAL, GNUTLS_A_BAD_CERTIFICATE);
		return -EKEYREJECTED;
	}
	if (error == 0 || error == GNUTLS_E_PREMATURE_TERMINATION) {
		t->reason = TLS_CLOSED;
		return -ECONNRESET;
	}
	if (!was_over)
		gnutls_alert_send_appropriate(t->session, error);
	t->reason = TLS_PROTOCOL;
	return -EPROTO;
}

/* ---- what happens ---- */

void tls_hear(struct tls *t, const uint8_t *octets, size_t len)
{
	t->in = octets;
	t->in_len = len;
}

static bool tls_alpn_is_fine(const struct tls *t)
{
	bool           needed;
	const char    *alpn = tls_peer_alpn(t->peer, &needed);
	gnutls_datum_t chosen;

	if (gnutls_alpn_get_selected_protocol(t->session, &chosen) < 0)
		return !needed;
	return chosen.size == strlen(alpn) && !memcmp(chosen.data, alpn, chosen.size);
}

/* 0: open; -EAGAIN; or an error. */
static int tls_shake_hands(struct tls *t)
{
	int error;

	do
		error = gnutls_handshake(t->session);
	while (error < 0 && !gnutls_error_is_fatal(error) && t->in_len);	/* warnings */
	if (error < 0 && !gnutls_error_is_fatal(error))
		return -EAGAIN;
	if (error < 0)
		return tls_fail(t, error);
	if ((!tls_is_authentic(t) && !t->doubt) || !tls_alpn_is_fine(t))
		return tls_fail(t, GNUTLS_E_NO_APPLICATION_PROTOCOL);
	t->open = true;
	tls_keep_ticket(t);
	return 0;
}

ssize_t tls_read(struct tls *t, uint8_t *out, size_t size)
{
	ssize_t n;
	int     error;

	if (t->over)
		return t->reason == TLS_CLOSED ? -ECONNRESET : -EPROTO;
	error = t->open ? 0 : tls_shake_hands(t);
	if (error < 0)
		return error;
	do {
		n = gnutls_record_recv(t->session, out, size);
		tls_keep_ticket(t);
	} while ((n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED) &&
	         (t->in_len || gnutls_record_check_pending(t->session)));
	if (n > 0)
		return n;
	return n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED ? -EAGAIN : tls_fail(t, (int)n);
}

int tls_write(struct tls *t, const uint8_t *octets, size_t len)
{
	while (len) {
		ssize_t n = gnutls_record_send(t->session, octets, len);

		if (n < 0)
			return tls_fail(t, (int)n);
		octets += n;
		len -= (size_t)n;
	}
	return 0;
}

void tls_bye(struct tls *t)
{
	if (t->open && !t->over)
		gnutls_bye(t->session, GNUTLS_SHUT_WR);
	t->over = true;
}

bool tls_is_open(const struct tls *t)
{
	return t->open;
}

bool tls_is_authentic(const struct tls *t)
{
	return t->until_s != 0;
}

enum tls_reason tls_doubt(const struct tls *t)
{
	return t->doubt;
}

bool tls_is_resumed(const struct tls *t)
{
	return gnutls_session_is_resumed(t->session);
}

enum tls_reason tls_reason(const struct tls *t)
{
	return t->reason;
}
