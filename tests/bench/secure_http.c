/* secure_http.c - questions in POST requests, over HTTP/2 and HTTP/1.1.
 *
 * A request lives from its headers to the end of its stream; the answer takes
 * the question's place in it.  Over HTTP/1.1 answers must leave in the order of
 * the questions, so whoever holds them back cannot use it.
 */
#include "secure_conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

#define MESSAGE_TYPE "application/dns-message"

/* ---- HTTP/2 ---- */

struct request {
	size_t len, at;
	uint8_t octets[SECURE_OCTETS];
};

static int http2_on_begin(nghttp2_session *h2, const nghttp2_frame *frame, void *arg)
{
	struct request *r = calloc(1, sizeof *r);

	(void)arg;
	if (!r)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	return nghttp2_session_set_stream_user_data(h2, frame->hd.stream_id, r);
}

static int http2_on_data(nghttp2_session *h2, uint8_t flags, int32_t stream, const uint8_t *octets,
			 size_t len, void *arg)
{
	struct request *r = nghttp2_session_get_stream_user_data(h2, stream);

	(void)flags, (void)arg;
	if (!r || len > sizeof r->octets - r->len)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	memcpy(r->octets + r->len, octets, len);
	r->len += len;
	return 0;
}

static int http2_on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *arg)
{
	struct request *r = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);
	uint8_t msg[SECURE_OCTETS];

	if (!r || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	memcpy(msg, r->octets, r->len);
	secure_ask(arg, (uint32_t)frame->hd.stream_id, msg, r->len);
	return 0;
}

static int http2_on_close(nghttp2_session *h2, int32_t stream, uint32_t code, void *arg)
{
	(void)code, (void)arg;
	free(nghttp2_session_get_stream_user_data(h2, stream));
	return 0;
}

static ssize_t http2_on_read(nghttp2_session *h2, int32_t stream, uint8_t *out, size_t size,
			     uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct request *r = source->ptr;
	size_t n = r->len - r->at < size ? r->len - r->at : size;

	(void)h2, (void)stream, (void)arg;
	memcpy(out, r->octets + r->at, n);
	r->at += n;
	if (r->at == r->len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

bool http2_begin(struct secure_conn *c)
{
	static const nghttp2_settings_entry streams = { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
							1000 };
	nghttp2_session_callbacks *calls;

	if (nghttp2_session_callbacks_new(&calls))
		return false;
	nghttp2_session_callbacks_set_on_begin_headers_callback(calls, http2_on_begin);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, http2_on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(calls, http2_on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(calls, http2_on_close);
	int error = nghttp2_session_server_new(&c->h2, calls, c);
	nghttp2_session_callbacks_del(calls);
	return !error && !nghttp2_submit_settings(c->h2, 0, &streams, 1);
}

bool http2_hear(struct secure_conn *c, const uint8_t *octets, size_t len)
{
	return nghttp2_session_mem_recv(c->h2, octets, len) == (ssize_t)len;
}

#define FIELD(n, v, len) { (uint8_t *)(n), (uint8_t *)(v), sizeof(n) - 1, len, NGHTTP2_NV_FLAG_NONE }

/* A stream that the client has ended meanwhile is no mistake. */
bool http2_answer(struct secure_conn *c, int32_t stream, const uint8_t *msg, size_t len)
{
	struct request *r = nghttp2_session_get_stream_user_data(c->h2, stream);
	nghttp2_data_provider body = { { .ptr = r }, http2_on_read };
	char length[8];
	nghttp2_nv fields[] = {
		FIELD(":status", "200", 3),
		FIELD("content-type", MESSAGE_TYPE, sizeof MESSAGE_TYPE - 1),
		FIELD("content-length", length, (size_t)snprintf(length, sizeof length, "%zu", len)),
	};

	if (!r)
		return true;
	memcpy(r->octets, msg, len);
	r->len = len;
	r->at = 0;
	return !nghttp2_submit_response(c->h2, stream, fields, 3, &body);
}

/* What HTTP/2 has to say, in records as full as they get. */
bool http2_flush(struct secure_conn *c)
{
	static uint8_t record[SECURE_READ];
	const uint8_t *octets;
	size_t len = 0;
	ssize_t n;

	while ((n = nghttp2_session_mem_send(c->h2, &octets)) > 0) {
		if (len + (size_t)n > sizeof record) {
			if (!secure_say(c, record, len))
				return false;
			len = 0;
		}
		if ((size_t)n > sizeof record)
			return false;
		memcpy(record + len, octets, (size_t)n);
		len += (size_t)n;
	}
	return n == 0 && (!len || secure_say(c, record, len));
}

/* ---- HTTP/1.1 ---- */

long http1_take(struct secure_conn *c, uint8_t *octets, size_t len)
{
	static const char field[] = "content-length:";
	uint8_t *end = memmem(octets, len, "\r\n\r\n", 4), msg[SECURE_OCTETS];
	size_t body = 0, head;

	if (!end)
		return 0;
	head = (size_t)(end - octets) + 4;
	*end = '\0';
	for (char *line = (char *)octets; line; line = strstr(line, "\r\n")) {
		line += *line == '\r' ? 2 : 0;
		if (!strncasecmp(line, field, sizeof field - 1))
			body = strtoul(line + sizeof field - 1, NULL, 10);
	}
	*end = '\r';
	if (!body || body > sizeof msg)
		return -1;
	if (len < head + body)
		return 0;
	memcpy(msg, octets + head, body);
	secure_ask(c, 0, msg, body);
	return (long)(head + body);
}

bool http1_answer(struct secure_conn *c, const uint8_t *msg, size_t len)
{
	uint8_t response[128 + SECURE_OCTETS];
	int head = snprintf((char *)response, 128,
			    "HTTP/1.1 200 OK\r\nContent-Type: " MESSAGE_TYPE "\r\n"
			    "Content-Length: %zu\r\n\r\n", len);

	memcpy(response + head, msg, len);
	return secure_say(c, response, (size_t)head + len);
}
