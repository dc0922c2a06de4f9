/* verbs_top.c - larderctl top: ask, draw, wait, and that again.
 *
 * Everything is asked anew for each sample, in one go over one connection.
 * A larderd that goes away is said to be gone, and looked for every second;
 * what was seen last stays on the screen meanwhile.  Only the first try ends
 * the program, since then the socket may simply be the wrong one.
 */
#include "larderctl/canvas.h"
#include "larderctl/client.h"
#include "larderctl/link.h"
#include "larderctl/screen.h"
#include "larderctl/top_draw.h"
#include "larderctl/top_sample.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TOP_PATIENCE_S 5
#define TOP_AGAIN_US   UINT64_C(1000000)	/* until the next try, after one that failed */

enum { TOP_STATUS, TOP_STATS, TOP_LATENCIES, TOP_UPSTREAMS, TOP_HEALTH, TOP_SLOW, TOP_CALLS };

static const char *const top_methods[TOP_CALLS] = {
	[TOP_STATUS] = "io.larder.Status",
	[TOP_STATS] = "io.larder.Stats",
	[TOP_LATENCIES] = "io.larder.Latencies",
	[TOP_UPSTREAMS] = "io.larder.Upstreams",
	[TOP_HEALTH] = "io.larder.Health",
	[TOP_SLOW] = "io.larder.Slow",
};

struct top {
	const struct order *order;		/* borrowed */
	struct link         link;
	unsigned            pending;		/* replies still to come */
	json_t             *replies[TOP_CALLS];
	uint64_t            asked_us, counted_us;	/* when the calls went out, and the counters came */
	uint64_t            next_us;		/* when to ask again, while none is pending */
	struct top_history  history;
	char                notice[CLIENT_WORDS + 16];	/* "": all is well */
};

static uint64_t top_clock_us(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t top_now_us(void)
{
	return top_clock_us(CLOCK_MONOTONIC);
}

static void top_forget_replies(struct top *t)
{
	for (unsigned i = 0; i < TOP_CALLS; i++) {
		json_decref(t->replies[i]);
		t->replies[i] = NULL;
	}
	t->pending = 0;
}

/* What was going on is over; says why, and when to try again. */
static void top_lose(struct top *t, int err)
{
	char words[CLIENT_WORDS];

	link_close(&t->link);
	top_forget_replies(t);
	client_explain(t->order->socket, err, TOP_PATIENCE_S, words);
	*strchrnul(words, '\n') = '\0';	/* the rest is advice for those who have no larderd yet */
	snprintf(t->notice, sizeof t->notice, "trying again: %s", words);
	t->next_us = top_now_us() + TOP_AGAIN_US;
}

static void top_ask(struct top *t)
{
	int err = t->link.fd < 0 ? link_open(&t->link, t->order->socket) : 0;

	if (!err)
		err = link_call(&t->link, top_methods, TOP_CALLS);
	if (err) {
		top_lose(t, err);
		return;
	}
	t->pending = TOP_CALLS;
	t->asked_us = top_now_us();
}

/* What a reply says, borrowed; NULL for an error: a larderd that does not know the method, say. */
static const json_t *top_said(const struct top *t, unsigned call)
{
	if (json_object_get(t->replies[call], "error"))
		return NULL;
	return json_object_get(t->replies[call], "parameters");
}

static void top_finish(struct top *t)
{
	const struct top_replies r = {
		.status = top_said(t, TOP_STATUS), .stats = top_said(t, TOP_STATS),
		.upstreams = top_said(t, TOP_UPSTREAMS), .health = top_said(t, TOP_HEALTH),
		.latencies = top_said(t, TOP_LATENCIES), .slow = top_said(t, TOP_SLOW),
	};

	top_history_add(&t->history, top_sample_new(&r, t->counted_us, top_clock_us(CLOCK_REALTIME) / 1000));
	top_forget_replies(t);
	t->notice[0] = '\0';
	t->next_us = t->asked_us + (uint64_t)t->order->interval_ms * 1000;
}

/* Gives whether there is something new to be drawn. */
static bool top_take(struct top *t)
{
	while (t->pending) {
		json_t *reply;
		int     err = link_take(&t->link, &reply);

		if (err == -EAGAIN)
			return false;
		if (err) {
			top_lose(t, err);
			return true;
		}
		if (t->pending == TOP_CALLS - TOP_STATS)
			t->counted_us = top_now_us();
		t->replies[TOP_CALLS - t->pending--] = reply;
	}
	top_finish(t);
	return true;
}

/* The same when time has passed. */
static bool top_tick(struct top *t)
{
	uint64_t now = top_now_us();

	if (t->pending) {
		if (now < t->asked_us + TOP_PATIENCE_S * UINT64_C(1000000))
			return false;
		top_lose(t, -ETIMEDOUT);
		return true;
	}
	if (now < t->next_us)
		return false;
	top_ask(t);
	return !t->pending;
}

static int top_wait_ms(const struct top *t)
{
	uint64_t now = top_now_us();
	uint64_t until = t->pending ? t->asked_us + TOP_PATIENCE_S * UINT64_C(1000000) : t->next_us;

	return until > now ? (int)((until - now + 999) / 1000) : 0;
}

/* Gives false when the terminal is gone. */
static bool top_show(const struct top *t)
{
	const struct top_scene scene = {
		.now = top_history_now(&t->history), .before = top_history_before(&t->history),
		.minute = top_history_minute(&t->history), .notice = *t->notice ? t->notice : NULL,
		.interval_ms = t->order->interval_ms,
	};
	struct canvas c;
	unsigned      rows, columns;
	bool          there;

	screen_size(&rows, &columns);
	canvas_init(&c, rows, columns, t->order->term.utf8);
	top_draw(&scene, &c);
	there = screen_show(&c, t->order->term.colour);
	canvas_done(&c);
	return there;
}

/* One turn of the loop; gives false at the end. */
static bool top_turn(struct top *t)
{
	bool draw = false;

	switch (screen_wait(t->pending ? t->link.fd : -1, top_wait_ms(t))) {
	case SCREEN_QUIT:
		return false;
	case SCREEN_RESUMED:			/* when the reply came is not known */
		if (t->pending) {
			link_close(&t->link);
			top_forget_replies(t);
		}
		t->next_us = 0;
		draw = true;
		break;
	case SCREEN_NEXT:
		t->next_us = 0;
		break;
	case SCREEN_CHANGED:
		draw = true;
		break;
	case SCREEN_OTHER:
		draw = top_take(t);
		break;
	case SCREEN_TIME:
		break;
	}
	draw |= top_tick(t);
	return !draw || top_show(t);
}

/* The first sample, before the screen is taken, so that mistakes are told as those of other verbs. */
static enum larderctl_exit top_begin(struct top *t)
{
	json_t             *status;
	enum larderctl_exit result = client_call(t->order->socket, "io.larder.Status", json_object(), &status);
	int                 err;

	json_decref(status);
	if (result)
		return result;
	err = screen_open();
	if (!err)
		return LARDERCTL_OK;
	term_complain("cannot use the terminal: %s", strerror(-err));
	return LARDERCTL_REFUSED;
}

enum larderctl_exit verb_top(const struct order *o)
{
	struct top          t = { .order = o, .link = { .fd = -1 } };
	const char         *flaw = o->json ? "it draws, and has no --json" : screen_flaw();
	enum larderctl_exit result;

	if (flaw) {
		term_complain("top needs a terminal: %s; \"larderctl %sstats\" shows its figures once", flaw,
			      o->json ? "--json " : "");
		return LARDERCTL_USAGE;
	}
	result = top_begin(&t);
	if (result)
		return result;
	while (top_turn(&t))
		;
	screen_close();
	link_close(&t.link);
	top_forget_replies(&t);
	top_history_clear(&t.history);
	return LARDERCTL_OK;
}
