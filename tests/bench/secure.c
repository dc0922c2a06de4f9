/* secure.c - TLS between a socket and questions.
 *
 * GnuTLS reads from one buffer and writes to another, so that one system call
 * takes in, or sends, what many records hold: as cheap for who is measured as
 * for us.
 */
#include "secure_conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"

enum { OUT_MAX = 4 << 20 };	/* a client that reads nothing is left */

struct secure {
	gnutls_certificate_credentials_t certificate;
	gnutls_priority_t priority;
	gnutls_datum_t ticket_key;
	secure_question *on;
	void *arg;
};

static void secure_need(int error, const char *what)
{
	if (error >= 0)
		return;
	fprintf(stderr, "TLS, %s: %s\n", what, gnutls_strerror(error));
	exit(1);
}

struct secure *secure_new(const char *pem, secure_question *on, void *arg)
{
	struct secure *s = calloc(1, sizeof *s);

	if (!s)
		net_fail("no memory for", "TLS");
	s->on = on;
	s->arg = arg;
	secure_need(gnutls_certificate_allocate_credentials(&s->certificate), "credentials");
	secure_need(gnutls_certificate_set_x509_key_file(s->certificate, pem, pem,
							 GNUTLS_X509_FMT_PEM), pem);
	secure_need(gnutls_priority_init(&s->priority, NULL, NULL), "priorities");
	secure_need(gnutls_session_ticket_key_generate(&s->ticket_key), "ticket key");
	return s;
}

/* ---- octets ---- */

static ssize_t secure_on_pull(gnutls_transport_ptr_t arg, void *out, size_t size)
{
	struct secure_conn *c = arg;
	size_t n = c->in_len - c->in_at;

	if (!n) {
		gnutls_transport_set_errno(c->tls, EAGAIN);
		return -1;
	}
	n = n < size ? n : size;
	memcpy(out, c->in + c->in_at, n);
	c->in_at += n;
	return (ssize_t)n;
}

static int secure_on_pull_timeout(gnutls_transport_ptr_t arg, unsigned ms)
{
	const struct secure_conn *c = arg;

	(void)ms;
	return c->in_at < c->in_len;
}

static ssize_t secure_on_push(gnutls_transport_ptr_t arg, const void *octets, size_t len)
{
	struct secure_conn *c = arg;

	if (c->out_len + len > c->out_size) {
		c->out_size = 2 * (c->out_len + len);
		c->out = realloc(c->out, c->out_size);
		if (!c->out)
			net_fail("no memory for", "what TLS says");
	}
	memcpy(c->out + c->out_len, octets, len);
	c->out_len += len;
	return (ssize_t)len;
}

bool secure_say(struct secure_conn *c, const uint8_t *octets, size_t len)
{
	return gnutls_record_send(c->tls, octets, len) == (ssize_t)len;
}

bool secure_flush(struct secure_conn *c)
{
	if (c->h2 && !http2_flush(c))
		return false;
	if (!c->out_len)
		return true;
	ssize_t n = send(c->fd, c->out, c->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN && c->out_len < OUT_MAX;
	c->out_len -= (size_t)n;
	memmove(c->out, c->out + n, c->out_len);
	return true;
}

/* ---- what is spoken ---- */

void secure_ask(struct secure_conn *c, uint32_t tag, uint8_t *msg, size_t len)
{
	c->owner->on(c->owner->arg, c->place, tag, msg, len);
}

/* As http1_take(). */
static long frame_take(struct secure_conn *c, const uint8_t *octets, size_t len)
{
	size_t frame = len < 2 ? 0 : (size_t)(octets[0] << 8 | octets[1]);
	uint8_t msg[SECURE_OCTETS];

	if (frame > sizeof msg)
		return -1;
	if (len < 2 + frame)
		return 0;
	memcpy(msg, octets + 2, frame);
	secure_ask(c, 0, msg, frame);
	return (long)(2 + frame);
}

static bool secure_hear(struct secure_conn *c, const uint8_t *octets, size_t len)
{
	size_t at = 0;
	long n;

	if (c->h2)
		return http2_hear(c, octets, len);
	if (c->held_len + len > sizeof c->held)
		return false;
	memcpy(c->held + c->held_len, octets, len);
	c->held_len += len;
	if (c->speech == SPEECH_FRAMES && c->held_len >= 4 && !memcmp(c->held, "POST", 4))
		c->speech = SPEECH_HTTP1;
	do {
		n = c->speech == SPEECH_HTTP1 ? http1_take(c, c->held + at, c->held_len - at)
					      : frame_take(c, c->held + at, c->held_len - at);
		at += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	c->held_len -= at;
	memmove(c->held, c->held + at, c->held_len);
	return n == 0;
}

bool secure_answer(struct secure_conn *c, uint32_t tag, const uint8_t *msg, size_t len)
{
	uint8_t frame[2 + SECURE_OCTETS] = { (uint8_t)(len >> 8), (uint8_t)len };

	if (c->speech == SPEECH_HTTP2)
		return http2_answer(c, (int32_t)tag, msg, len);
	if (c->speech == SPEECH_HTTP1)
		return http1_answer(c, msg, len);
	memcpy(frame + 2, msg, len);
	return secure_say(c, frame, 2 + len);
}

/* ---- a connection ---- */

struct secure_conn *secure_open(struct secure *s, int fd, unsigned place)
{
	struct secure_conn *c = calloc(1, sizeof *c);
	static const gnutls_datum_t names[] = { { (uint8_t *)"h2", 2 },
						{ (uint8_t *)"http/1.1", 8 },
						{ (uint8_t *)"dot", 3 } };

	if (!c)
		net_fail("no memory for", "a connection");
	c->owner = s;
	c->fd = fd;
	c->place = place;
	net_nonblocking(fd);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	secure_need(gnutls_init(&c->tls, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL),
		    "session");
	gnutls_priority_set(c->tls, s->priority);
	gnutls_credentials_set(c->tls, GNUTLS_CRD_CERTIFICATE, s->certificate);
	gnutls_session_ticket_enable_server(c->tls, &s->ticket_key);
	gnutls_alpn_set_protocols(c->tls, names, 3, 0);
	gnutls_handshake_set_timeout(c->tls, 0);
	gnutls_transport_set_ptr(c->tls, c);
	gnutls_transport_set_pull_function(c->tls, secure_on_pull);
	gnutls_transport_set_pull_timeout_function(c->tls, secure_on_pull_timeout);
	gnutls_transport_set_push_function(c->tls, secure_on_push);
	return c;
}

void secure_close(struct secure_conn *c)
{
	nghttp2_session_del(c->h2);
	gnutls_deinit(c->tls);
	close(c->fd);
	free(c->out);
	free(c);
}

static bool secure_settle(struct secure_conn *c)
{
	gnutls_datum_t chosen;

	c->open = true;
	if (gnutls_alpn_get_selected_protocol(c->tls, &chosen) < 0)
		return true;
	if (chosen.size == 8)
		c->speech = SPEECH_HTTP1;
	if (chosen.size != 2)
		return true;
	c->speech = SPEECH_HTTP2;
	return http2_begin(c);
}

/* Deals with the ciphertext that lies in c->in. */
static bool secure_decrypt(struct secure_conn *c)
{
	static uint8_t plain[SECURE_READ];
	ssize_t n = 0;

	while (!c->open) {
		n = gnutls_handshake(c->tls);
		if (n == 0 && !secure_settle(c))
			return false;
		if (n < 0 && gnutls_error_is_fatal((int)n))
			return false;
		if (n < 0 && c->in_at == c->in_len)
			return true;
	}
	do {
		n = gnutls_record_recv(c->tls, plain, sizeof plain);
		if (n == 0 || (n < 0 && gnutls_error_is_fatal((int)n)))
			return false;
		if (n > 0 && !secure_hear(c, plain, (size_t)n))
			return false;
	} while (n > 0 || c->in_at < c->in_len);
	return true;
}

bool secure_read(struct secure_conn *c)
{
	ssize_t n = recv(c->fd, c->in, sizeof c->in, MSG_DONTWAIT);
	bool fine;

	if (n < 0 && errno == EAGAIN)
		return true;
	if (n <= 0)
		return false;
	/* A client that leaves Nagle's algorithm on would wait for our delayed ACKs. */
	setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){ 1 }, sizeof(int));
	c->in_at = 0;
	c->in_len = (size_t)n;
	fine = secure_decrypt(c);
	return secure_flush(c) && fine;
}
