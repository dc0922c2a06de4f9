/* h2_rig.c - see h2_rig.h. */
#include "h2_rig.h"

static struct h2_rig_reply replies[H2_RIG_REQUESTS * 2 + 2];	/* by stream */
static size_t              sent[H2_RIG_REQUESTS * 2 + 2];

static struct h2_rig_request *h2_rig_find(struct h2_rig *r, int32_t stream)
{
	for (unsigned i = 0; i < r->count; i++)
		if (r->requests[i].stream == stream)
			return &r->requests[i];
	assert_true(r->count < H2_RIG_REQUESTS);
	r->requests[r->count].stream = stream;
	return &r->requests[r->count++];
}

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t len, uint8_t flags, void *arg)
{
	struct h2_rig_request *q = h2_rig_find(arg, frame->hd.stream_id);
	size_t                 at = strlen(q->fields);

	(void)s, (void)flags;
	snprintf(q->fields + at, sizeof q->fields - at, "%.*s: %.*s\n", (int)name_len, (const char *)name, (int)len,
	         (const char *)value);
	return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *octets, size_t len, void *arg)
{
	struct h2_rig_request *q = h2_rig_find(arg, stream);

	(void)s, (void)flags;
	assert_true(len <= sizeof q->body - q->body_len);
	memcpy(q->body + q->body_len, octets, len);
	q->body_len += len;
	return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *frame, void *arg)
{
	struct h2_rig *r = arg;

	(void)s;
	if (frame->hd.type == NGHTTP2_PING && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
		r->pings++;
	if (frame->hd.type == NGHTTP2_RST_STREAM)
		h2_rig_find(r, frame->hd.stream_id)->reset = true;
	for (size_t i = 0; frame->hd.type == NGHTTP2_SETTINGS && i < frame->settings.niv; i++) {
		if (frame->settings.iv[i].settings_id == NGHTTP2_SETTINGS_ENABLE_PUSH)
			r->push = (int32_t)frame->settings.iv[i].value;
		if (frame->settings.iv[i].settings_id == NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE)
			r->window = (int32_t)frame->settings.iv[i].value;
	}
	if (frame->hd.stream_id && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		h2_rig_find(r, frame->hd.stream_id)->whole = true;
	return 0;
}

void h2_rig_init(struct h2_rig *r, int max_streams)
{
	const nghttp2_settings_entry settings = { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)max_streams };
	nghttp2_session_callbacks   *calls;
	nghttp2_option              *option;

	memset(r, 0, sizeof *r);
	r->push = r->window = -1;
	assert_int_equal(nghttp2_session_callbacks_new(&calls), 0);
	assert_int_equal(nghttp2_option_new(&option), 0);
	nghttp2_option_set_no_http_messaging(option, 1);	/* tests say wrong things on purpose */
	nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
	assert_int_equal(nghttp2_session_server_new2(&r->session, calls, r, option), 0);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(calls);
	nghttp2_submit_settings(r->session, 0, &settings, max_streams >= 0);
}

void h2_rig_done(struct h2_rig *r)
{
	nghttp2_session_del(r->session);
}

void h2_rig_hear(struct h2_rig *r, const uint8_t *octets, size_t len)
{
	assert_int_equal(nghttp2_session_mem_recv(r->session, octets, len), (ssize_t)len);
}

void h2_rig_write(struct h2_rig *r)
{
	const uint8_t *octets;
	ssize_t        n;

	while ((n = nghttp2_session_mem_send(r->session, &octets)) > 0) {
		assert_true((size_t)n <= sizeof r->out - r->out_len);
		memcpy(r->out + r->out_len, octets, (size_t)n);
		r->out_len += (size_t)n;
	}
	assert_int_equal(n, 0);
}

static ssize_t on_read(nghttp2_session *s, int32_t stream, uint8_t *out, size_t size, uint32_t *flags,
                       nghttp2_data_source *source, void *arg)
{
	const struct h2_rig_reply *reply = source->ptr;
	size_t                     n = reply->body_len - sent[stream];

	(void)arg;
	if (!n && reply->endless) {
		memset(out, 'x', size);
		return (ssize_t)size;
	}
	if (n > size)
		n = size;
	if (n)
		memcpy(out, reply->body + sent[stream], n);
	sent[stream] += n;
	if (sent[stream] == reply->body_len && !reply->endless) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (reply->trailers) {
			nghttp2_nv nv = { (uint8_t *)(uintptr_t)"age", (uint8_t *)(uintptr_t)"99", 3, 2, 0 };

			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			nghttp2_submit_trailer(s, stream, &nv, 1);
		}
	}
	return (ssize_t)n;
}

static void add(nghttp2_nv *nv, size_t *n, const char *name, const char *value)
{
	if (value)
		nv[(*n)++] = (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
			                   strlen(value), 0 };
}

void h2_rig_reply(struct h2_rig *r, int32_t stream, const struct h2_rig_reply *reply)
{
	static char           junk[60001];
	nghttp2_nv            nv[8];
	size_t                n = 0;
	nghttp2_data_provider body = { { .ptr = &replies[stream] }, on_read };

	replies[stream] = *reply;
	sent[stream] = 0;
	add(nv, &n, ":status", reply->status ? reply->status : "200");
	add(nv, &n, "content-type",
	    !reply->type ? "application/dns-message" : *reply->type ? reply->type : NULL);
	add(nv, &n, "age", reply->age);
	add(nv, &n, "retry-after", reply->retry);
	add(nv, &n, "content-length", reply->length);
	if (reply->big_header) {
		memset(junk, 'j', reply->big_header);
		junk[reply->big_header] = '\0';
		add(nv, &n, "junk", junk);
	}
	assert_int_equal(nghttp2_submit_response(r->session, stream, nv, n, &body), 0);
}
