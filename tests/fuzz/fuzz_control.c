/* fuzz_control.c - a client of the control socket that sends anything.
 *
 * The input is the stream of one connection; its first octet says how the
 * stream is cut into reads.  Framing and calls run as they do behind the
 * socket, and every reply must be a whole JSON object.
 */
#include "base/varlink.h"
#include "control/call.h"
#include "control/control.h"
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

static enum call_next fuzz_answer(struct varlink_buffer *b, const struct control_ops *ops)
{
	const struct ucred peer = { 0 };
	enum call_next     next = CALL_GOES_ON;
	const char        *message;
	size_t             len;

	while (next == CALL_GOES_ON && (message = varlink_next(b, &len))) {
		char *reply = NULL;

		assert(message[len] == '\0' && len <= FUZZ_MESSAGE_MAX);
		next = call_answer(ops, &peer, message, len, &reply);
		if (reply)
			fuzz_check(reply);
		assert(reply || next == CALL_GOES_ON);
		free(reply);
	}
	return next;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool                  good = true;
	struct control_ops    ops = {
		.status = fuzz_status, .stats = fuzz_stats, .upstreams = fuzz_upstreams,
		.order = fuzz_order,
		.flush = fuzz_flush, .reload = fuzz_reload, .config = fuzz_config, .arg = &good,
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
