/* fuzz_h2.c - an HTTP/2 server that says anything, in any pieces.
 *
 * The first octet chooses the method, how many streams are believed to be
 * allowed, and how many questions are asked before the server speaks; the
 * second one steers everything else: how large the pieces are, and what is
 * asked, dropped and pinged in between and within events.  The rest is what
 * the server says.
 *
 * Each question hears one thing at most, and nothing after it was dropped.  An
 * answer is what a second reader finds in the DATA frames of its stream, and
 * its first header field is a status of 2xx when that stands there readably.
 */
#include "net/h2.h"
#include "net/outbox.h"

#include "fuzz.h"

#include <errno.h>

#define QUESTIONS_MAX 64
#define STREAMS       (2 * QUESTIONS_MAX + 1)

enum fate { FATE_NONE, FATE_WAITS, FATE_ANSWERED, FATE_FAILED, FATE_DROPPED };

struct world {
	struct h2    *h2;
	struct outbox out;
	const uint8_t *said;		/* all of the server's octets … */
	size_t        heard;		/* … and how many of them have been heard */
	enum fate     fate[STREAMS];	/* by stream */
	unsigned      asked, waiting;
	uint32_t      dice;
	bool          over;
};

static const uint8_t query[] = { 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1 };

static unsigned world_roll(struct world *w, unsigned sides)
{
	w->dice = w->dice * 1103515245 + 12345;
	return (w->dice >> 16) % sides;
}

static void world_ask(struct world *w)
{
	uint32_t stream = 0;
	int      error;

	if (w->over || w->asked == QUESTIONS_MAX)
		return;
	error = h2_ask(w->h2, query, sizeof query, &stream);
	fuzz_holds(error == 0 || error == -EAGAIN || error == -EPROTO);
	fuzz_holds(error != -EAGAIN || h2_is_leaving(w->h2));
	if (error < 0)
		return;
	fuzz_holds(stream == 2 * w->asked + 1);
	w->asked++;
	w->waiting++;
	w->fate[stream] = FATE_WAITS;
}

static void world_drop(struct world *w)
{
	uint32_t stream = 2 * world_roll(w, w->asked + 1) + 1;

	if (w->over || stream >= STREAMS)
		return;
	h2_drop(w->h2, stream);		/* of those that are over, too */
	if (w->fate[stream] != FATE_WAITS)
		return;
	w->fate[stream] = FATE_DROPPED;
	w->waiting--;
}

static void world_meddle(struct world *w)
{
	switch (world_roll(w, 8)) {
	case 0:
		world_ask(w);
		return;
	case 1:
		world_drop(w);
		return;
	default:
		return;
	}
}

/* ---- the second reader ---- */

/* What the DATA frames of this stream hold, up to the one that ends it. */
static bool world_has_said(const struct world *w, uint32_t stream, const uint8_t *msg, size_t len)
{
	size_t at = 0, seen = 0;

	while (w->heard - at >= 9) {
		const uint8_t *f = w->said + at;
		size_t         size = (size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2], skip = 0, pad = 0;
		uint32_t       id = ((uint32_t)f[5] << 24 | (uint32_t)f[6] << 16 | (uint32_t)f[7] << 8 | f[8]) & 0x7fffffff;

		if (size > w->heard - at - 9)
			break;
		if (f[3] == 0 && id == stream) {
			if (f[4] & 8) {
				skip = 1;
				pad = f[9];
			}
			size_t part = size - skip - pad;

			if (part > len - seen || (part && memcmp(msg + seen, f + 9 + skip, part)))
				return false;
			seen += part;
		}
		if ((f[3] == 0 || f[3] == 1) && id == stream && f[4] & 1)
			return seen == len;
		at += 9 + size;
	}
	return false;
}

/* ---- what is heard ---- */

static void world_settle(struct world *w, uint32_t stream, enum fate fate)
{
	fuzz_holds(stream < STREAMS && w->fate[stream] == FATE_WAITS);
	w->fate[stream] = fate;
	w->waiting--;
	world_meddle(w);
}

static void world_on_answer(void *arg, uint32_t stream, const uint8_t *msg, size_t len, uint32_t age_s)
{
	struct world *w = arg;

	(void)age_s;
	fuzz_holds(len <= 65535);
	fuzz_holds(world_has_said(w, stream, msg, len));
	world_settle(w, stream, FATE_ANSWERED);
}

static void world_on_failed(void *arg, uint32_t stream, int error)
{
	fuzz_holds(error == -ECONNRESET || error == -EREMOTEIO || error == -EPROTO);
	world_settle(arg, stream, FATE_FAILED);
}

static void world_on_rest(void *arg, uint32_t rest_s)
{
	(void)arg;
	fuzz_holds(rest_s > 0 && rest_s <= H2_REST_MAX_S);
}

/* As a socket would take it, or not yet. */
static void world_write(struct world *w, size_t said)
{
	/* Our settings and requests, and what a frame of 9 octets makes us say: at most an answer as long. */
	fuzz_holds(w->out.len <= 1024 + (size_t)w->asked * 600 + 4 * said);
	if (world_roll(w, 4))
		outbox_done(&w->out);
}

static void world_hear(struct world *w, const uint8_t *octets, size_t len)
{
	int error;

	w->heard += len;
	error = h2_hear(w->h2, octets, len);
	fuzz_holds(error == 0 || error == -EPROTO);
	w->over = error < 0;
	fuzz_holds(w->over || !h2_is_leaving(w->h2) || h2_room(w->h2) == 0);
	fuzz_holds(h2_streams(w->h2) >= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct h2_events events = { .answer = world_on_answer, .failed = world_on_failed,
		                                                 .rest = world_on_rest };
	uint8_t                       how = fuzz_take(&data, &size);
	struct world                  w = { .dice = fuzz_take(&data, &size) };
	struct h2_target              target = { "dns.example", "/dns-query", how & 1 ? H2_GET : H2_POST };
	size_t                        at = 0, most = (size_t)1 << w.dice % 15;

	w.said = data;
	w.h2 = h2_new(&target, &events, &w, &w.out, how >> 1 & 7);
	fuzz_holds(w.h2);
	for (unsigned i = 0; i <= how >> 4; i++)
		world_ask(&w);
	while (at < size && !w.over) {
		size_t n = 1 + world_roll(&w, (unsigned)most);

		n = n < size - at ? n : size - at;
		world_hear(&w, data + at, n);
		at += n;
		if (!w.over && !world_roll(&w, 16))
			fuzz_holds(h2_ping(w.h2) <= 0);
		world_meddle(&w);
		world_write(&w, at);
	}
	h2_free(w.h2);
	outbox_done(&w.out);
	return 0;
}
