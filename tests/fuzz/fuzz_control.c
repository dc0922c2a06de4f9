/* fuzz_control.c - a client of the control socket that sends anything.
 *
 * The input is the stream of one connection; its first octet says how the
 * stream is cut into reads.  Framing and calls run as they do behind the
 * socket, and every reply must be a whole JSON object.
 */
#include "base/varlink.h"
#include "control/call.h"
#include "control/control.h"
#include "control/http_checkup.h"
#include "dns/name.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FUZZ_MESSAGE_MAX 4096		/* small, so that the fuzzer finds the bound */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_status(void *arg, struct control_status *out)
{
	static const char *const listen[] = { "127.0.0.1:53" };

	(void)arg;
	out->version = "fuzz";
	out->listen = listen;
	out->listen_count = 1;
}

static void fuzz_stats(void *arg, struct stats_view *out)
{
	(void)arg;
	out->queries = out->outcome[OUTCOME_HIT] = UINT64_MAX;
}

static size_t fuzz_upstreams(void *arg, struct control_upstream *out, size_t max)
{
	(void)arg;
	assert(max > 0);
	out->name = out->url = "\xff";
	return 1;
}

/* There is one, and it is called "u". */
static int fuzz_order(void *arg, const char *name, enum health_order order, bool anew)
{
	(void)arg;
	assert(order <= HEALTH_DOWN && (!anew || order == HEALTH_AUTO));
	return strcmp(name, "u") ? -ENOENT : 0;
}

static uint64_t fuzz_flush(void *arg, enum control_flush what, const uint8_t *name, size_t name_len,
			   uint16_t qtype)
{
	(void)arg;
	assert((what == CONTROL_FLUSH_ALL) == !name);
	assert(!name || (name_len <= DNS_NAME_MAX && name[name_len - 1] == 0));
	for (size_t i = 0; i < name_len; i++)
		assert(name[i] < 'A' || name[i] > 'Z');
	assert(what == CONTROL_FLUSH_NAME_TYPE || qtype == 0);
	return name_len;
}

/* Fails every other time. */
static int fuzz_reload(void *arg, char **report)
{
	bool *good = arg;

	*good = !*good;
	if (*good)
		return 0;
	*report = strdup("line\x01");
	return -EINVAL;
}

static char *fuzz_config(void *arg)
{
	(void)arg;
	return strdup("a: 1\n");
}

static void fuzz_route(void *arg, const uint8_t *name, size_t name_len, struct control_route *out)
{
	(void)arg;
	assert(name_len <= DNS_NAME_MAX && name[name_len - 1] == 0);
	out->local = name_len & 1;
	out->suffix[0] = '.';
	out->upstream_count = 1;
}

static bool fuzz_route_suffix(void *arg, uint32_t id, char out[DNS_NAME_TEXT_MAX])
{
	(void)arg;
	strcpy(out, "a.");
	return id;
}

static void fuzz_look_at(void *arg, struct cache_cursor *at, const uint8_t *name, size_t name_len)
{
	(void)arg;
	*at = (struct cache_cursor){ .end = 40, .qname = name, .qname_len = name_len };
}

/* An entry at every other place. */
static size_t fuzz_look(void *arg, struct cache_cursor *at, struct cache_seen *out, size_t max, uint8_t *room,
			size_t size)
{
	(void)arg;
	assert(max > 0 && size >= DNS_NAME_MAX);
	if (at->shard++ % 2)
		return 0;
	memset(out, 0, sizeof *out);
	out->key.qname = memcpy(room, at->qname ? at->qname : (const uint8_t *)"", at->qname_len + !at->qname);
	out->key.qname_len = (uint8_t)(at->qname_len + !at->qname);
	out->body = room;
	out->found.head.ancount = 1;
	return 1;
}

static int fuzz_trace(void *arg, const struct trace_question *q,
		      void (*done)(void *done_arg, const struct trace_report *report), void *done_arg)
{
	(void)arg;
	(void)done;
	(void)done_arg;
	assert(q->name.len && q->name.octets[q->name.len - 1] == 0);
	return q->name.len & 1 ? -EBUSY : -ENOMEM;
}

/* What an upstream is called, and why, may hold anything. */
static void fuzz_slow(void *arg, struct control_slow *out)
{
	(void)arg;
	out->count = 1;
	out->over_us = out->dropped = UINT64_MAX;
	dns_name_from_text("\\255\\000", &out->queries[0].name);
	strcpy(out->queries[0].upstream, "\xff");
	strcpy(out->queries[0].reason, "\xff\x01 is slow");
}

static int fuzz_watch(void *arg, struct control_watcher *w)
{
	(void)arg;
	assert(w->event && w->turn);
	return 0;
}

static int fuzz_query_log(void *arg, bool on, bool *before)
{
	(void)arg;
	*before = on;
	return on ? -ENOMEM : 0;
}

static void fuzz_unwatch(void *arg, struct control_watcher *w)
{
	(void)arg;
	(void)w;
}

static void fuzz_check(const char *reply)
{
	json_t *json = json_loads(reply, JSON_REJECT_DUPLICATES, NULL);

	assert(json_is_object(json_object_get(json, "parameters")));
	json_decref(json);
}

/* What is said to a client whose message has no end. */
static void fuzz_garbage(void)
{
	char *reply = call_garbage_reply();

	assert(reply);
	fuzz_check(reply);
	free(reply);
}

/* To its end. */
static enum call_next fuzz_stream(const struct call_env *env, struct call_stream *stream)
{
	enum call_next next;

	do {
		char *text;

		next = call_stream_next(env, stream, &text);
		if (next != CALL_STREAM_WAITS)
			fuzz_check(text);
		free(text);
	} while (next == CALL_STREAMS);
	stream->free(stream);
	return next == CALL_STREAM_WAITS ? CALL_GOES_ON : next;
}

static enum call_next fuzz_answer(struct varlink_buffer *b, const struct control_ops *ops)
{
	static const struct checkup checkup;
	const struct call_env       env = { .ops = ops, .checkup = &checkup,
		                            .peer = { .names = true, .orders = true } };
	enum call_next              next = CALL_GOES_ON;
	const char                 *message;
	size_t                      len;

	while (next == CALL_GOES_ON && (message = varlink_next(b, &len))) {
		struct call_said said;

		assert(message[len] == '\0' && len <= FUZZ_MESSAGE_MAX);
		next = call_answer(&env, message, len, &said);
		if (next == CALL_STREAMS)
			next = fuzz_stream(&env, said.stream);
		if (said.text)
			fuzz_check(said.text);
		assert(said.text || next == CALL_GOES_ON);
		free(said.text);
	}
	return next;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool                  good = true;
	struct control_ops    ops = {
		.status = fuzz_status, .stats = fuzz_stats, .upstreams = fuzz_upstreams,
		.order = fuzz_order,
		.flush = fuzz_flush, .reload = fuzz_reload, .config = fuzz_config,
		.route = fuzz_route, .route_suffix = fuzz_route_suffix, .look_at = fuzz_look_at, .look = fuzz_look,
		.trace = fuzz_trace, .slow = fuzz_slow, .query_log = fuzz_query_log, .watch = fuzz_watch, .unwatch = fuzz_unwatch,
		.arg = &good,
	};
	struct varlink_buffer b;
	size_t                cut = size ? data[0] % 64 * 16 + 1 : 1, at = 1, room;
	char                 *to;

	varlink_init(&b, FUZZ_MESSAGE_MAX);
	while (at < size && varlink_room(&b, &to, &room) == 0) {
		size_t n = size - at;

		n = n < room ? n : room;
		n = n < cut ? n : cut;
		memcpy(to, data + at, n);
		varlink_filled(&b, n);
		at += n;
		if (fuzz_answer(&b, &ops) == CALL_WAS_LAST)
			break;
		if (varlink_overrun(&b)) {
			fuzz_garbage();
			break;
		}
	}
	assert(b.size <= FUZZ_MESSAGE_MAX + 1);
	varlink_done(&b);
	return 0;
}
