/* stream_client.c - questions to one upstream over TCP, TLS or HTTPS (RFC 7766 s. 6.2, 7858, 8484).
 *
 * One connection ("stream") carries all questions, many at once, and answers
 * come in any order.  It opens when the first is asked.  Others open beside it,
 * up to 4, while it is suspect, has no room for more, or a question is to go apart
 * from those that wait.  Up to 4 that are long in opening do not count: the way may
 * have been dead when they began, and attempts at a server that may be back must not
 * wait for their time to be over.  Neither do those that were opening when the
 * network changed.  There are never more than 16.
 *
 * When the server wants a stream to be used no more, or it breaks while we
 * write, it leaves the list: it serves the questions it has and closes after
 * the last; the next question opens another.
 *
 * An address whose identity or speech was not accepted is not bothered again for
 * a second, then two, up to 30; when that goes for all that there are, questions
 * fail at once until then.  So they do while a server rests that has asked for it.
 */
#include "net/stream.h"

#include <errno.h>
#include <stdlib.h>

#define STREAMS_MAX      4
#define STREAMS_LATE_MAX 4	/* and so many beside them */
#define STREAMS_ALL_MAX  16	/* whatever has become of them */
#define REFUSAL_MIN_MS   1000
#define REFUSAL_MAX_MS   30000

/* ---- choosing a stream ------------------------------------------------ */

enum stream_wish {
	STREAM_GOOD,		/* with room, and not suspect */
	STREAM_APART,		/* and nobody waits on it */
	STREAM_ANY,
};

static bool stream_will_do(const struct stream_client *c, const struct stream *s, enum stream_wish wish)
{
	return wish == STREAM_ANY || (c->dialect->room(s) && !stream_is_suspect(s) && !stream_is_overdue(s) &&
	                              (wish == STREAM_GOOD || !s->count));
}

/* The newest that will do, or NULL; before one that is still opening goes one that is open and well. */
static struct stream *stream_client_choose(const struct stream_client *c, enum stream_wish wish)
{
	struct stream *opening = NULL;

	for (const struct list *n = c->streams.next; n != &c->streams; n = n->next) {
		struct stream *s = list_entry(n, struct stream, node);

		if (!stream_will_do(c, s, wish))
			continue;
		if (wish == STREAM_ANY || s->state == STREAM_OPEN)
			return s;
		if (!opening)
			opening = s;
	}
	return opening;
}

/* ---- who has refused -------------------------------------------------- */

static struct stream_refusal *stream_client_refusal(struct stream_client *c, const struct addr *a)
{
	for (unsigned i = 0; i < c->refusal_count; i++)
		if (addr_equal(&c->refusals[i].of, a))
			return &c->refusals[i];
	return NULL;
}

uint32_t stream_client_refused(struct stream_client *c, const struct addr *a, int error)
{
	struct stream_refusal *r = stream_client_refusal(c, a);

	if (addr_list_find(&c->to, a) < 0)	/* it is not asked any more */
		return 0;
	if (!r) {
		r = &c->refusals[c->refusal_count++];
		*r = (struct stream_refusal){ .of = *a };
	}
	r->error = error;
	r->since_ms = uv_now(c->client->loop);
	r->for_ms = r->for_ms ? r->for_ms * 2 : REFUSAL_MIN_MS;
	if (r->for_ms > REFUSAL_MAX_MS)
		r->for_ms = REFUSAL_MAX_MS;
	return r->for_ms;
}

void stream_client_accepted(struct stream_client *c, const struct addr *a)
{
	struct stream_refusal *r = stream_client_refusal(c, a);

	if (r)
		*r = c->refusals[--c->refusal_count];
}

/* Of those that are somewhere else now nothing is known. */
static void stream_client_forget_refusals(struct stream_client *c)
{
	for (unsigned i = c->refusal_count; i-- > 0;)
		if (addr_list_find(&c->to, &c->refusals[i].of) < 0)
			c->refusals[i] = c->refusals[--c->refusal_count];
}

/* The addresses that may be dialled now.  0, or why there is none: what the first of them said. */
static int stream_client_targets(struct stream_client *c, struct addr_list *out)
{
	int error = 0;

	out->count = 0;
	for (unsigned i = 0; i < c->to.count; i++) {
		const struct stream_refusal *r = stream_client_refusal(c, &c->to.at[i]);

		if (!r || uv_now(c->client->loop) >= r->since_ms + r->for_ms)
			addr_list_add(out, &c->to.at[i]);
		else if (!error)
			error = r->error;
	}
	return out->count ? 0 : error;
}

/* ---- opening ---------------------------------------------------------- */

void stream_client_rest(struct stream_client *c, uint32_t rest_ms)
{
	c->rest_until_ms = uv_now(c->client->loop) + rest_ms;
}

static bool stream_client_may_open(const struct stream_client *c)
{
	unsigned late = 0;

	for (const struct list *n = c->streams.next; n != &c->streams; n = n->next) {
		const struct stream *s = list_entry((struct list *)(uintptr_t)n, struct stream, node);

		late += s->state != STREAM_OPEN && stream_is_suspect(s);
	}
	if (late > STREAMS_LATE_MAX)
		late = STREAMS_LATE_MAX;
	return c->stream_count - c->left_opening - late < STREAMS_MAX && c->stream_count < STREAMS_ALL_MAX;
}

/* A stream to ask on, opened if need be, or NULL and why. */
static struct stream *stream_client_stream(struct stream_client *c, enum stream_wish wish, int *error)
{
	struct stream   *s = stream_client_choose(c, wish);
	struct addr_list to;

	if (uv_now(c->client->loop) < c->rest_until_ms) {
		*error = -EREMOTEIO;
		return NULL;
	}
	if (s)
		return s;
	*error = stream_client_targets(c, &to);
	if (*error == 0)
		*error = stream_client_may_open(c) ? stream_open(c, &to) : -EAGAIN;
	return *error == 0 ? list_entry(c->streams.next, struct stream, node) : stream_client_choose(c, STREAM_ANY);
}

/* ---- the transport ---------------------------------------------------- */

static int stream_client_send(struct transport *t, struct transport_send *send, uint8_t *msg, size_t len)
{
	struct stream_client *c = (struct stream_client *)t;
	int                   error = 0;

	for (unsigned i = 0; i < 2 && error != -ENOMEM; i++) {
		struct stream *s = stream_client_stream(c, send->apart ? STREAM_APART : STREAM_GOOD, &error);

		if (!s)
			return error;
		error = stream_ask(s, send, msg, len);
		if (error == 0 || error == -EAGAIN)
			return error;
		stream_leave(s);	/* broken: its questions hear of it from the loop */
	}
	return error;
}

static void stream_client_end(struct transport *t, struct transport_send *send)
{
	(void)t;
	stream_end(send->place, send);
}

static void stream_client_idle_hint(struct transport *t, struct transport_send *send, uint32_t idle_ms)
{
	struct stream_client *c = (struct stream_client *)t;
	uint32_t              ours_ms = stream_idle_within(idle_ms);

	if (!ours_ms)
		stream_leave(send->place);
	else
		stream_set_idle(send->place, ours_ms < c->conf.idle_ms ? ours_ms : c->conf.idle_ms);
}

/* One that is being dialled goes on with its questions, over what is the way now; another takes no more. */
static void stream_client_start_over(struct stream *s, const struct addr_list *targets)
{
	if (!s->dial || !targets->count || stream_redial(s, targets) < 0)
		stream_leave(s);
}

static void stream_client_renew(struct transport *t)
{
	struct stream_client *c = (struct stream_client *)t;
	struct list          *n, *next;
	struct addr_list      targets;

	stream_client_targets(c, &targets);
	for (n = c->streams.next; n != &c->streams; n = next) {
		next = n->next;
		stream_client_start_over(list_entry(n, struct stream, node), &targets);
	}
}

static bool stream_client_has_all(const struct addr_list *to, const struct addr_list *before)
{
	for (unsigned i = 0; i < before->count; i++)
		if (addr_list_find(to, &before->at[i]) < 0)
			return false;
	return true;
}

/* What is being dialled lies within c->to: where none of that is given up, dialling goes on. */
static void stream_client_aim(struct transport *t, const struct addr_list *to)
{
	struct stream_client *c = (struct stream_client *)t;
	struct list          *n, *next;
	bool                  any_gone = !stream_client_has_all(to, &c->to);
	struct addr_list      targets;

	c->to = *to;
	stream_client_forget_refusals(c);
	stream_client_targets(c, &targets);
	for (n = c->streams.next; n != &c->streams; n = next) {
		struct stream *s = list_entry(n, struct stream, node);

		next = n->next;
		if (s->dial ? any_gone : addr_list_find(to, &s->to) < 0)
			stream_client_start_over(s, &targets);
	}
}

static void stream_client_close(struct transport *t)
{
	struct stream_client *c = (struct stream_client *)t;

	c->closed = true;
	while (!list_empty(&c->streams))
		stream_close(list_entry(c->streams.next, struct stream, node));
	stream_client_release(c);
}

static const struct transport_ops stream_client_ops = {
	.send = stream_client_send,
	.end = stream_client_end,
	.idle_hint = stream_client_idle_hint,
	.renew = stream_client_renew,
	.close = stream_client_close,
	.aim = stream_client_aim,
};

struct transport *stream_client_new(struct net_client *client, const struct addr *to,
                                    const struct transport_conf *conf)
{
	struct stream_client *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->base.ops = &stream_client_ops;
	c->client = client;
	addr_list_add(&c->to, to);
	c->conf = *conf;
	if (conf->tls)
		tls_peer_ref(conf->tls);
	c->dialect = conf->http ? &dialect_http : &dialect_frames;
	c->idle_ms = conf->idle_ms;
	list_init(&c->streams);
	c->holders = 1;
	return &c->base;
}
