/* secure_conn.h - what secure.c and secure_http.c share. */
#ifndef BENCH_SECURE_CONN_H
#define BENCH_SECURE_CONN_H

#include "secure.h"

#include <gnutls/gnutls.h>
#include <nghttp2/nghttp2.h>

enum {
	SECURE_READ = 16384,
	SECURE_HELD = SECURE_READ + 4096,	/* an unfinished request and what follows it */
};

enum secure_speech { SPEECH_FRAMES, SPEECH_HTTP1, SPEECH_HTTP2 };

struct secure_conn {
	struct secure *owner;
	int fd;
	unsigned place;
	gnutls_session_t tls;
	bool open;			/* hands are shaken */
	enum secure_speech speech;
	nghttp2_session *h2;
	size_t in_at, in_len;		/* ciphertext that has come */
	size_t held_len;		/* plaintext whose rest has not come; not for HTTP/2 */
	uint8_t *out;			/* ciphertext that is to go */
	size_t out_len, out_size;
	uint8_t in[SECURE_READ], held[SECURE_HELD];
};

void secure_ask(struct secure_conn *c, uint32_t tag, uint8_t *msg, size_t len);
/* In one record; false when the connection is of no use any more. */
bool secure_say(struct secure_conn *c, const uint8_t *octets, size_t len);

/* How many of the held octets one request took; 0: it is not whole; -1: it is none. */
long http1_take(struct secure_conn *c, uint8_t *octets, size_t len);
bool http1_answer(struct secure_conn *c, const uint8_t *msg, size_t len);

bool http2_begin(struct secure_conn *c);
bool http2_hear(struct secure_conn *c, const uint8_t *octets, size_t len);
bool http2_answer(struct secure_conn *c, int32_t stream, const uint8_t *msg, size_t len);
bool http2_flush(struct secure_conn *c);

#endif
