/* h2.c - nghttp2 between two buffers.
 *
 * nghttp2 keeps the connection's rules: flow control, HPACK, the server's
 * bound on streams (what is over it waits), and that a body is as long as its
 * header says.  What makes a response an answer is decided here.
 *
 * Always true: a request is in the list exactly while its question lives; a
 * stream whose question has ended has no request, and its frames go by.
 * nghttp2 must not be called to write by what it calls, so h2_ask() within an
 * event leaves that to the end of h2_hear().
 */
#include "net/h2.h"

#include "base/list.h"
#include "net/outbox.h"

#include <ctype.h>
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define BODY_MAX       65535
#define HEADERS_MAX    16384		/* octets of one response's names and values */
#define WINDOW         65535		/* what one stream may send before we read it: a whole body */
#define CONN_WINDOW    1048576
#define MESSAGE_TYPE   "application/dns-message"
#define QUERY_MAX      1024
#define PATH_ROOM      (H2_PATH_MAX + sizeof "?dns=" + (QUERY_MAX * 4 + 2) / 3)

struct h2 {
	nghttp2_session        *session;
	const struct h2_target *target;
	const struct h2_events *on;
	void                   *arg;
	struct outbox          *out;
	struct list             requests;
	unsigned                count;		/* of them */
	bool                    busy;		/* nghttp2 is in the middle of something */
	bool                    leaving;
};

struct request {
	struct list node;
	int32_t     stream;
	uint16_t    status;		/* 0: not yet */
	bool        is_message;		/* the content type is ours */
	bool        headers_done;	/* what follows are trailers, and none of our concern */
	bool        whole;		/* the response has ended as it should */
	uint32_t    age_s, rest_s;
	uint32_t    headers_len;
	uint32_t    body_len, body_size;
	uint8_t    *body;
	uint16_t    query_len, query_at;	/* of what is posted */
	uint8_t     query[];
};

/* nghttp2 knows those that have begun to be sent. */
static struct request *h2_request(nghttp2_session *session, int32_t stream)
{
	return nghttp2_session_get_stream_user_data(session, stream);
}

static void request_free(struct h2 *h, struct request *r)
{
	nghttp2_session_set_stream_user_data(h->session, r->stream, NULL);
	list_remove(&r->node);
	h->count--;
	free(r->body);
	free(r);
}

static bool request_is_good(const struct request *r)
{
	return r->status >= 200 && r->status < 300 && r->is_message;
}

/* ---- what the server says ---- */

/* Digits alone (RFC 9111 s. 5.1); anything else is no age. */
static uint32_t h2_read_age(const uint8_t *value, size_t len)
{
	uint32_t age = 0;

	for (size_t i = 0; i < len; i++) {
		if (!isdigit(value[i]))
			return 0;
		if (__builtin_mul_overflow(age, 10u, &age) || __builtin_add_overflow(age, value[i] - '0', &age))
			return UINT32_MAX;
	}
	return age;
}

/* In the one form that is still written (RFC 9110 s. 5.6.7). */
static bool h2_read_date(const uint8_t *value, size_t len, time_t *out)
{
	struct tm   date = { 0 };
	char        text[40];
	const char *end;

	if (len >= sizeof text)
		return false;
	memcpy(text, value, len);
	text[len] = '\0';
	end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &date);
	if (!end || *end)
		return false;
	*out = timegm(&date);
	return true;
}

/* A date or seconds (RFC 9110 s. 10.2.3); anything else is no rest. */
static uint32_t h2_read_rest(const uint8_t *value, size_t len)
{
	time_t   then, now = time(NULL);
	uint32_t rest_s = h2_read_age(value, len);

	if (h2_read_date(value, len, &then))
		rest_s = then <= now ? 0 : then - now < H2_REST_MAX_S ? (uint32_t)(then - now) : H2_REST_MAX_S;
	return rest_s < H2_REST_MAX_S ? rest_s : H2_REST_MAX_S;
}

/* Letter case and parameters make no difference (RFC 9110 s. 8.3.1). */
static bool h2_is_message_type(const uint8_t *value, size_t len)
{
	size_t n = strlen(MESSAGE_TYPE);

	return len >= n && !strncasecmp((const char *)value, MESSAGE_TYPE, n) &&
	       (len == n || value[n] == ';' || value[n] == ' ' || value[n] == '\t');
}

static bool h2_header_is(const uint8_t *name, size_t len, const char *wanted)
{
	return len == strlen(wanted) && !memcmp(name, wanted, len);
}

static int h2_on_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	const struct h2 *h = arg;

	(void)session;
	if (h->on->begun && frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_RESPONSE)
		h->on->begun(h->arg, (uint32_t)frame->hd.stream_id);
	return 0;
}

static int h2_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                        const uint8_t *value, size_t len, uint8_t flags, void *arg)
{
	struct request *r = h2_request(session, frame->hd.stream_id);

	(void)flags, (void)arg;
	if (!r)
		return 0;
	r->headers_len += (uint32_t)(name_len + len);
	if (r->headers_len > HEADERS_MAX)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;	/* nghttp2 resets the stream */
	if (r->headers_done)
		return 0;
	if (h2_header_is(name, name_len, ":status"))
		r->status = (uint16_t)strtoul((const char *)value, NULL, 10);	/* nghttp2 saw three digits */
	else if (h2_header_is(name, name_len, "content-type"))
		r->is_message = h2_is_message_type(value, len);
	else if (h2_header_is(name, name_len, "age"))
		r->age_s = h2_read_age(value, len);
	else if (h2_header_is(name, name_len, "retry-after"))
		r->rest_s = h2_read_rest(value, len);
	return 0;
}

/* After GOAWAY nothing that waits goes out any more, and nghttp2 does not say so. */
static void h2_fail_unsent(struct h2 *h)
{
	struct list *n = h->requests.next;

	while (n != &h->requests) {
		struct request *r = list_entry(n, struct request, node);
		uint32_t        stream = (uint32_t)r->stream;

		n = n->next;
		if (h2_request(h->session, r->stream))
			continue;
		request_free(h, r);
		h->on->failed(h->arg, stream, -ECONNRESET);
		n = h->requests.next;		/* who knows what is left */
	}
}

static int h2_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2      *h = arg;
	struct request *r = h2_request(session, frame->hd.stream_id);

	if (frame->hd.type == NGHTTP2_GOAWAY) {
		h->leaving = true;
		h2_fail_unsent(h);
	}
	if (!r)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && r->status >= 200)
		r->headers_done = true;
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		r->whole = true;
	else if (r->headers_done && !request_is_good(r))	/* its body may be endless */
		nghttp2_submit_rst_stream(session, 0, r->stream, NGHTTP2_CANCEL);
	return 0;
}

static int h2_on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *octets, size_t len,
                      void *arg)
{
	struct request *r = h2_request(session, stream);

	(void)flags, (void)arg;
	if (!r || !request_is_good(r))
		return 0;
	if (len > BODY_MAX - r->body_len) {
		r->is_message = false;
		nghttp2_submit_rst_stream(session, 0, stream, NGHTTP2_CANCEL);
		return 0;
	}
	if (r->body_len + len > r->body_size) {
		size_t   size = 2 * r->body_size > r->body_len + len ? 2 * r->body_size : r->body_len + len;
		uint8_t *grown = realloc(r->body, size);

		if (!grown)
			return NGHTTP2_ERR_CALLBACK_FAILURE;
		r->body = grown;
		r->body_size = (uint32_t)size;
	}
	memcpy(r->body + r->body_len, octets, len);
	r->body_len += (uint32_t)len;
	return 0;
}

static int request_error(const struct request *r, uint32_t code)
{
	if (code == NGHTTP2_REFUSED_STREAM)
		return -ECONNRESET;
	/* nghttp2 found fault with the response, or we did, or it was whole but no answer. */
	if (r->whole || (r->status && (!request_is_good(r) || code == NGHTTP2_PROTOCOL_ERROR)))
		return -EREMOTEIO;
	return -EPROTO;
}

static int h2_on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *arg)
{
	struct h2      *h = arg;
	struct request *r = h2_request(session, stream);
	struct request  mine;

	if (!r)
		return 0;
	/* The question ends before its event, in which another may be asked. */
	mine = *r;
	r->body = NULL;
	request_free(h, r);
	if (mine.rest_s && (mine.status == 429 || mine.status == 503))
		h->on->rest(h->arg, mine.rest_s);
	if (code == NGHTTP2_NO_ERROR && mine.whole && request_is_good(&mine))
		h->on->answer(h->arg, (uint32_t)stream, mine.body, mine.body_len, mine.age_s);
	else
		h->on->failed(h->arg, (uint32_t)stream, request_error(&mine, code));
	free(mine.body);
	return 0;
}

/* ---- what we say ---- */

static ssize_t h2_on_read(nghttp2_session *session, int32_t stream, uint8_t *out, size_t size, uint32_t *flags,
                          nghttp2_data_source *source, void *arg)
{
	struct request *r = h2_request(session, stream);
	size_t          n;

	(void)source, (void)arg;
	if (!r)			/* ended before it went out */
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	n = (size_t)(r->query_len - r->query_at);
	if (n > size)
		n = size;
	memcpy(out, r->query + r->query_at, n);
	r->query_at = (uint16_t)(r->query_at + n);
	if (r->query_at == r->query_len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static int h2_error(ssize_t error)
{
	return error == NGHTTP2_ERR_NOMEM || error == NGHTTP2_ERR_CALLBACK_FAILURE ? -ENOMEM : -EPROTO;
}

/* Lets nghttp2 write what it has to. */
static int h2_write(struct h2 *h)
{
	const uint8_t *octets;
	ssize_t        n;

	int            error = 0;

	if (h->busy)
		return 0;
	h->busy = true;
	while (error == 0 && (n = nghttp2_session_mem_send(h->session, &octets)) > 0) {
		struct iovec part = { (void *)(uintptr_t)octets, (size_t)n };

		error = outbox_write(h->out, -1, &part, 1);
	}
	h->busy = false;
	return error < 0 ? error : n < 0 ? h2_error(n) : 0;
}

/* Without padding (RFC 4648 s. 5).  Gives what follows the text. */
static char *h2_base64url(const uint8_t *octets, size_t len, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint32_t          bits = 0;
	unsigned          have = 0;

	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | octets[i];
		for (have += 8; have >= 6; have -= 6)
			*out++ = digits[bits >> (have - 6) & 63];
	}
	if (have)
		*out++ = digits[bits << (6 - have) & 63];
	return out;
}

/* A header field that nghttp2 need not copy, since it is written before we return or lives as long as h. */
#define FIELD(n, v, v_len, flags)                                                                        \
	{ (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), sizeof(n) - 1, v_len,                     \
	  NGHTTP2_NV_FLAG_NO_COPY_NAME | (flags) }
#define NO_COPY NGHTTP2_NV_FLAG_NO_COPY_VALUE

static int32_t h2_post(struct h2 *h, struct request *r)
{
	const struct h2_target     *t = h->target;
	const nghttp2_data_provider body = { .read_callback = h2_on_read };
	char                        length[8];
	const nghttp2_nv            fields[] = {
		FIELD(":method", "POST", 4, NO_COPY),
		FIELD(":scheme", "https", 5, NO_COPY),
		FIELD(":authority", t->authority, strlen(t->authority), NO_COPY),
		FIELD(":path", t->path, strlen(t->path), NO_COPY),
		FIELD("accept", MESSAGE_TYPE, sizeof MESSAGE_TYPE - 1, NO_COPY),
		FIELD("content-type", MESSAGE_TYPE, sizeof MESSAGE_TYPE - 1, NO_COPY),
		FIELD("content-length", length, (size_t)snprintf(length, sizeof length, "%u", r->query_len), 0),
	};

	return nghttp2_submit_request(h->session, NULL, fields, sizeof fields / sizeof *fields, &body, r);
}

static size_t h2_get_path(const struct h2_target *t, const struct request *r, char path[PATH_ROOM])
{
	char *end = path + snprintf(path, H2_PATH_MAX + sizeof "?dns=", "%s?dns=", t->path);

	return (size_t)(h2_base64url(r->query, r->query_len, end) - path);
}

static int32_t h2_get(struct h2 *h, struct request *r)
{
	const struct h2_target *t = h->target;
	char                    path[PATH_ROOM];
	const nghttp2_nv        fields[] = {
		FIELD(":method", "GET", 3, NO_COPY),
		FIELD(":scheme", "https", 5, NO_COPY),
		FIELD(":authority", t->authority, strlen(t->authority), NO_COPY),
		/* Never in HPACK's table: it will not come again. */
		FIELD(":path", path, h2_get_path(t, r, path), NGHTTP2_NV_FLAG_NO_INDEX),
		FIELD("accept", MESSAGE_TYPE, sizeof MESSAGE_TYPE - 1, NO_COPY),
	};

	return nghttp2_submit_request(h->session, NULL, fields, sizeof fields / sizeof *fields, NULL, r);
}

int h2_ask(struct h2 *h, const uint8_t *msg, size_t len, uint32_t *stream)
{
	struct request *r;

	if (h2_is_leaving(h) || len > QUERY_MAX)
		return -EAGAIN;
	r = calloc(1, sizeof *r + len);
	if (!r)
		return -ENOMEM;
	memcpy(r->query, msg, len);
	r->query_len = (uint16_t)len;
	r->stream = h->target->method == H2_GET ? h2_get(h, r) : h2_post(h, r);
	if (r->stream < 0) {
		int error = r->stream == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE ? -EAGAIN : h2_error(r->stream);

		free(r);
		return error;
	}
	list_append(&h->requests, &r->node);
	h->count++;
	*stream = (uint32_t)r->stream;
	return h2_write(h);
}

static struct request *h2_find(struct h2 *h, int32_t stream)
{
	struct request *r = h2_request(h->session, stream);

	for (struct list *n = h->requests.prev; !r && n != &h->requests; n = n->prev)
		if (list_entry(n, struct request, node)->stream == stream)
			r = list_entry(n, struct request, node);
	return r;
}

void h2_drop(struct h2 *h, uint32_t stream)
{
	struct request *r = h2_find(h, (int32_t)stream);

	if (!r)
		return;
	request_free(h, r);
	nghttp2_submit_rst_stream(h->session, 0, (int32_t)stream, NGHTTP2_CANCEL);
	h2_write(h);		/* what goes wrong here will again when it matters */
}

int h2_hear(struct h2 *h, const uint8_t *octets, size_t len)
{
	ssize_t n;
	int     error;

	h->busy = true;
	n = nghttp2_session_mem_recv(h->session, octets, len);
	h->busy = false;
	if (n < 0)
		return h2_error(n);
	error = h2_write(h);
	if (error < 0)
		return error;
	return !h->count || nghttp2_session_want_read(h->session) ? 0 : -EPROTO;
}

int h2_ping(struct h2 *h)
{
	int error = nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL);

	return error < 0 ? h2_error(error) : h2_write(h);
}

uint32_t h2_streams(const struct h2 *h)
{
	uint32_t max = nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	return max ? max : 1;
}

unsigned h2_room(const struct h2 *h)
{
	uint32_t max = nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	return h2_is_leaving(h) || h->count >= max ? 0 : max - h->count;
}

bool h2_is_leaving(const struct h2 *h)
{
	return h->leaving || !nghttp2_session_check_request_allowed(h->session);
}

/* ---- beginning and end ---- */

static int h2_make_session(struct h2 *h, uint32_t streams)
{
	nghttp2_session_callbacks *calls;
	nghttp2_option            *option;
	int                        error;

	if (nghttp2_option_new(&option) < 0)
		return -ENOMEM;
	if (nghttp2_session_callbacks_new(&calls) < 0) {
		nghttp2_option_del(option);
		return -ENOMEM;
	}
	if (streams)
		nghttp2_option_set_peer_max_concurrent_streams(option, streams);
	nghttp2_session_callbacks_set_on_begin_headers_callback(calls, h2_on_headers);
	nghttp2_session_callbacks_set_on_header_callback(calls, h2_on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, h2_on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(calls, h2_on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(calls, h2_on_close);
	error = nghttp2_session_client_new2(&h->session, calls, h, option);
	nghttp2_session_callbacks_del(calls);
	nghttp2_option_del(option);
	return error < 0 ? -ENOMEM : 0;
}

static int h2_begin(struct h2 *h)
{
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADERS_MAX },
	};

	if (nghttp2_submit_settings(h->session, 0, settings, sizeof settings / sizeof *settings) < 0 ||
	    nghttp2_session_set_local_window_size(h->session, 0, 0, CONN_WINDOW) < 0)
		return -ENOMEM;
	return h2_write(h);
}

struct h2 *h2_new(const struct h2_target *target, const struct h2_events *on, void *arg, struct outbox *out,
                  uint32_t streams)
{
	struct h2 *h = calloc(1, sizeof *h);

	if (!h)
		return NULL;
	h->target = target;
	h->on = on;
	h->arg = arg;
	h->out = out;
	list_init(&h->requests);
	if (h2_make_session(h, streams) < 0 || h2_begin(h) < 0) {
		h2_free(h);
		return NULL;
	}
	return h;
}

void h2_free(struct h2 *h)
{
	struct list *node;

	if (!h)
		return;
	while ((node = list_take_first(&h->requests))) {
		struct request *r = list_entry(node, struct request, node);

		free(r->body);
		free(r);
	}
	nghttp2_session_del(h->session);
	free(h);
}
