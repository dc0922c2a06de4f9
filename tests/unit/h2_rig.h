/* h2_rig.h - an HTTP/2 server that says what a test wants, in memory. */
#ifndef LARDER_TESTS_H2_RIG_H
#define LARDER_TESTS_H2_RIG_H

#include "unit.h"

#include <nghttp2/nghttp2.h>

#define H2_RIG_REQUESTS 300
#define H2_RIG_BUFFER   1048576

struct h2_rig_request {
	int32_t stream;
	char    fields[1024];		/* "name: value\n" for each, as they came */
	uint8_t body[1024];
	size_t  body_len;
	bool    whole, reset;
};

struct h2_rig_reply {
	const char    *status;		/* NULL: "200" */
	const char    *type;		/* NULL: application/dns-message; "": none */
	const char    *age;		/* NULL: none */
	const char    *retry;		/* Retry-After; NULL: none */
	const char    *length;		/* NULL: none */
	const uint8_t *body;
	size_t         body_len;
	bool           endless;		/* the body never ends, and the last octet is repeated */
	size_t         big_header;	/* octets of a header field */
	bool           trailers;
};

struct h2_rig {
	nghttp2_session      *session;
	struct h2_rig_request requests[H2_RIG_REQUESTS];
	unsigned              count;
	uint8_t               out[H2_RIG_BUFFER];
	size_t                out_len;
	unsigned              pings;
	int32_t               push, window;	/* what the client's settings said; -1: nothing */
};

/* max_streams -1: no bound. */
void h2_rig_init(struct h2_rig *r, int max_streams);
void h2_rig_done(struct h2_rig *r);
void h2_rig_hear(struct h2_rig *r, const uint8_t *octets, size_t len);
/* Fills r->out with what there is to say. */
void h2_rig_write(struct h2_rig *r);
void h2_rig_reply(struct h2_rig *r, int32_t stream, const struct h2_rig_reply *reply);

#endif
