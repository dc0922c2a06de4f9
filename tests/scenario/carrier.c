/* carrier.c - fake UDP and TCP.
 *
 * Always true:
 *   - nothing is delivered from inside transport_send(): only time delivers;
 *   - a place outlives its question as long as something is on its way to it;
 *   - a stream that neither is current nor has questions is gone.
 */
#include "carrier.h"

#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct stream {
	struct list        node;		/* in server.streams */
	struct carrier    *owner;
	struct list        places;
	struct world_event opening, timer;
	bool               open, left;		/* left: takes no new questions */
	unsigned           number;		/* among the server's connections */
	uint64_t           began_us, asked_us, heard_us, idle_us;
};

struct carrier {
	struct transport      base;
	struct world         *world;
	struct server        *server;
	enum transport_kind   kind;
	struct transport_conf conf;
	struct stream        *current;
};

struct place {
	struct list            node;		/* in stream.places */
	struct transport_send *send;		/* NULL: the question has ended */
	struct carrier        *carrier;		/* valid while send is */
	struct stream         *stream;		/* NULL over UDP */
	struct sent           *sent;		/* the server's note, if it made one */
	unsigned               holders;		/* the question, and all that is on its way */
	size_t                 len;
	uint8_t                octets[512];
};

struct letter {
	struct world_event event;
	struct place      *place;
	int                error;		/* 0: a message */
	size_t             len;
	uint8_t            octets[];
};

static void stream_on_timer(struct world_event *e);

/* ---- places ---- */

static struct place *place_hold(struct place *p)
{
	p->holders++;
	return p;
}

static void place_release(struct place *p)
{
	if (--p->holders == 0)
		free(p);
}

void place_note(struct place *p, struct sent *sent)
{
	p->sent = sent;
}

/* The question leaves its place. */
static struct transport_send *place_vacate(struct place *p)
{
	struct transport_send *s = p->send;

	p->send = NULL;
	s->transport = NULL;
	list_remove(&p->node);
	if (p->sent)
		server_note_end(p->sent);
	place_release(p);
	return s;
}

static struct place *place_new(struct carrier *c, struct transport_send *s, const uint8_t *msg, size_t len)
{
	struct place *p = calloc(1, sizeof *p);

	if (!p || len > sizeof p->octets)
		abort();
	list_init(&p->node);
	p->holders = 1;
	p->send = s;
	p->carrier = c;
	memcpy(p->octets, msg, len);
	p->len = len;
	s->place = p;
	s->transport = &c->base;
	return p;
}

/* ---- streams ---- */

static void stream_close(struct stream *st)
{
	if (st->owner->current == st)
		st->owner->current = NULL;
	world_unset(&st->opening);
	world_unset(&st->timer);
	list_remove(&st->node);
	free(st);
}

static void stream_lose(struct stream *st, int error)
{
	struct list  lost;
	struct list *n;

	list_init(&lost);
	list_splice(&lost, &st->places);
	for (n = lost.next; n != &lost; n = n->next)
		list_entry(n, struct place, node)->stream = NULL;
	stream_close(st);
	while (!list_empty(&lost)) {
		struct transport_send *s = place_vacate(list_entry(lost.next, struct place, node));

		s->on->lost(s, error);
	}
}

static bool stream_waits(const struct stream *st)
{
	return !list_empty(&st->places) || st->asked_us > st->heard_us;
}

static uint64_t stream_due_us(const struct stream *st)
{
	const struct transport_conf *conf = &st->owner->conf;
	uint64_t last_us = st->asked_us > st->heard_us ? st->asked_us : st->heard_us;

	if (!st->open)
		return st->began_us + conf->connect_ms * UINT64_C(1000);
	return last_us + (stream_waits(st) ? conf->silence_ms * UINT64_C(1000) : st->idle_us);
}

static void stream_arm(struct stream *st)
{
	struct world *w = st->owner->world;
	uint64_t      due_us = stream_due_us(st);

	world_set(w, &st->timer, due_us > w->mono_us ? due_us - w->mono_us : 0);
}

static void stream_on_timer(struct world_event *e)
{
	stream_lose(list_entry(e, struct stream, timer), -ETIMEDOUT);
}

static void stream_on_open(struct world_event *e)
{
	struct stream *st = list_entry(e, struct stream, opening);
	struct world  *w = st->owner->world;
	struct list    waiting;

	st->open = true;
	st->asked_us = w->mono_us;
	list_init(&waiting);
	list_splice(&waiting, &st->places);
	while (!list_empty(&waiting)) {
		struct place *p = list_entry(waiting.next, struct place, node);

		list_remove(&p->node);
		list_append(&st->places, &p->node);
		p->send->connected_us = p->send->sent_us = w->mono_us;
		server_receive(st->owner->server, TRANSPORT_TCP, p, p->octets, p->len, st->number);
	}
	stream_arm(st);
}

static void stream_on_refused(struct world_event *e)
{
	stream_lose(list_entry(e, struct stream, opening), -ECONNREFUSED);
}

/* Begins to open a connection; what comes of it is for the server's state to say. */
static struct stream *stream_new(struct carrier *c)
{
	struct stream *st = calloc(1, sizeof *st);
	struct server *s = c->server;

	if (!st)
		abort();
	st->owner = c;
	st->began_us = c->world->mono_us;
	st->idle_us = c->conf.idle_ms * UINT64_C(1000);
	list_init(&st->places);
	list_init(&st->opening.node);
	list_init(&st->timer.node);
	st->timer.happen = stream_on_timer;
	st->opening.happen = s->state[TRANSPORT_TCP] == SERVER_DOWN ? stream_on_refused : stream_on_open;
	list_append(&s->streams, &st->node);
	if (s->state[TRANSPORT_TCP] == SERVER_UP)
		st->number = ++s->connections;
	if (s->state[TRANSPORT_TCP] != SERVER_SILENT)
		world_set(c->world, &st->opening, s->open_us);
	c->current = st;
	stream_arm(st);
	return st;
}

/* Takes no new questions from now on. */
static void stream_leave(struct stream *st)
{
	if (st->owner->current == st)
		st->owner->current = NULL;
	st->left = true;
	if (list_empty(&st->places))
		stream_close(st);
}

void carrier_close_all(struct server *s)
{
	while (!list_empty(&s->streams))
		stream_lose(list_entry(s->streams.next, struct stream, node), -ECONNRESET);
}

/* ---- delivery ---- */

static struct place *stream_find(const struct stream *st, uint16_t id)
{
	for (struct list *n = st->places.next; n != &st->places; n = n->next)
		if (list_entry(n, struct place, node)->send->id == id)
			return list_entry(n, struct place, node);
	return NULL;
}

static void letter_to_stream(struct letter *l, struct stream *st)
{
	struct place *to;

	if (l->error || l->len < 12) {
		stream_lose(st, l->error ? l->error : -ECONNRESET);
		return;
	}
	st->heard_us = st->owner->world->mono_us;
	stream_arm(st);
	to = stream_find(st, (uint16_t)(l->octets[0] << 8 | l->octets[1]));
	if (to)
		to->send->on->message(to->send, l->octets, l->len);
}

static void letter_to_socket(struct letter *l, struct place *p)
{
	struct transport_send *s = p->send;

	if (l->error) {
		place_vacate(p);
		s->on->lost(s, l->error);
	} else if (l->len < 12 || (l->octets[0] << 8 | l->octets[1]) != s->id) {
		s->on->mismatch(s);
	} else {
		s->on->message(s, l->octets, l->len);
	}
}

static void letter_arrive(struct world_event *e)
{
	struct letter *l = list_entry(e, struct letter, event);
	struct place  *p = l->place;

	if (p->send && p->stream)		/* else it is too late: nobody listens there */
		letter_to_stream(l, p->stream);
	else if (p->send)
		letter_to_socket(l, p);
	place_release(p);
	free(l);
}

static void letter_send(struct place *p, uint64_t in_us, int error, const uint8_t *octets, size_t len)
{
	struct letter *l = malloc(sizeof *l + len);

	if (!l)
		abort();
	list_init(&l->event.node);
	l->event.happen = letter_arrive;
	l->place = place_hold(p);
	l->error = error;
	l->len = len;
	if (len)
		memcpy(l->octets, octets, len);
	world_set(p->carrier->world, &l->event, in_us);
}

void carrier_post(struct place *p, uint64_t in_us, const uint8_t *octets, size_t len)
{
	letter_send(p, in_us, 0, octets, len);
}

void carrier_post_error(struct place *p, uint64_t in_us, int error)
{
	letter_send(p, in_us, error, NULL, 0);
}

/* ---- the transport ---- */

/* Random, and over TCP not in use already on this connection. */
static uint16_t carrier_new_id(const struct carrier *c)
{
	for (;;) {
		uint16_t id = (uint16_t)world_random(c->world, 65536);

		if (c->kind == TRANSPORT_UDP || !stream_find(c->current, id))
			return id;
	}
}

static int carrier_send(struct transport *t, struct transport_send *s, uint8_t *msg, size_t len)
{
	struct carrier *c = (struct carrier *)t;
	struct place   *p;

	if (c->server->state[c->kind] == SERVER_UNROUTABLE)
		return -ENETUNREACH;
	if (s->apart && c->current && !list_empty(&c->current->places))
		stream_leave(c->current);	/* it serves those that it has */
	if (c->kind == TRANSPORT_TCP && !c->current)
		stream_new(c);
	s->id = carrier_new_id(c);
	msg[0] = (uint8_t)(s->id >> 8);
	msg[1] = (uint8_t)s->id;
	p = place_new(c, s, msg, len);
	s->sent_us = c->world->mono_us;
	s->connected_us = 0;
	if (c->kind == TRANSPORT_UDP) {
		server_receive(c->server, TRANSPORT_UDP, p, p->octets, len, 0);
		return 0;
	}
	p->stream = c->current;
	if (!stream_waits(p->stream))
		p->stream->asked_us = c->world->mono_us;
	list_append(&p->stream->places, &p->node);
	if (p->stream->open) {
		s->connected_us = p->stream->began_us;
		server_receive(c->server, TRANSPORT_TCP, p, p->octets, len, p->stream->number);
		stream_arm(p->stream);
	} else {
		s->sent_us = 0;
	}
	return 0;
}

static void carrier_end(struct transport *t, struct transport_send *s)
{
	struct place  *p = s->place;
	struct stream *st = p->stream;

	(void)t;
	place_vacate(p);
	if (st && list_empty(&st->places) && st->left)
		stream_close(st);
	else if (st)
		stream_arm(st);
}

static void carrier_idle_hint(struct transport *t, struct transport_send *s, uint32_t idle_ms)
{
	struct stream *st = ((struct place *)s->place)->stream;
	uint32_t       margin_ms = 100 + idle_ms / 8;

	(void)t;
	if (!st)
		return;
	if (idle_ms <= margin_ms) {
		stream_leave(st);
		return;
	}
	st->idle_us = st->owner->conf.idle_ms * UINT64_C(1000);
	if ((idle_ms - margin_ms) * UINT64_C(1000) < st->idle_us)
		st->idle_us = (idle_ms - margin_ms) * UINT64_C(1000);
	stream_arm(st);
}

static void carrier_renew(struct transport *t)
{
	struct carrier *c = (struct carrier *)t;

	if (c->current)
		stream_leave(c->current);
}

static void carrier_close(struct transport *t)
{
	struct carrier *c = (struct carrier *)t;

	if (c->current)
		stream_close(c->current);
	free(c);
}

/* Servers here have one address each. */
static void carrier_aim(struct transport *t, const struct addr_list *to)
{
	(void)t;
	(void)to;
}

static const struct transport_ops carrier_ops = {
	.send = carrier_send,
	.end = carrier_end,
	.idle_hint = carrier_idle_hint,
	.renew = carrier_renew,
	.close = carrier_close,
	.aim = carrier_aim,
};

static struct transport *carrier_make(const struct transport_maker *m, enum transport_kind kind,
                                      const struct addr *to, const struct transport_conf *conf)
{
	struct world   *w = list_entry((struct transport_maker *)(uintptr_t)m, struct world, maker);
	struct carrier *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->base.ops = &carrier_ops;
	c->world = w;
	c->server = server_at(w, to);
	c->kind = kind;
	c->conf = *conf;
	return &c->base;
}

void carrier_init_maker(struct world *w)
{
	w->maker.make = carrier_make;
}
