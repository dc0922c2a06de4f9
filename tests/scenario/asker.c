/* asker.c - fake clients.
 *
 * Whatever a scenario is about, every reply is held against what holds for all
 * of them: ID, question, flags, size, OPT (conformance HDR-13 to HDR-15,
 * EDNS-01, EDNS-02, SIZE-01, SIZE-02), and that there is just one.
 */
#include "asker.h"

#include "dns/message.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UDP_ROOM 4096		/* what a UDP listener lends at least (net/listener.h) */

static const struct reply_path_ops asker_ops;	/* only says that somebody waits */

struct asker *asker_of(struct world *w, unsigned number)
{
	struct asker *c;

	for (struct list *n = w->askers.next; n != &w->askers; n = n->next)
		if (list_entry(n, struct asker, node)->number == number)
			return list_entry(n, struct asker, node);
	c = calloc(1, sizeof *c);
	if (!c)
		abort();
	c->world = w;
	c->number = number;
	c->addr.in4.sin_family = AF_INET;
	c->addr.in4.sin_addr.s_addr = htonl(0x7f000000u + number % 0xffffff);
	addr_set_port(&c->addr, (uint16_t)(40000 + number % 20000));
	list_init(&c->asks);
	list_init(&c->inbox);
	list_append(&w->askers, &c->node);
	return c;
}

/* ---- what holds for every reply ---- */

#define EDE_OCTETS 6	/* of the shortest extended error */

static const char *asker_judge(const struct ask *a, const struct packet *p)
{
	uint16_t echoed = DNS_OPCODE | DNS_RD | DNS_CD;
	size_t   ours = a->asker->world->conf->times.edns_size;
	size_t   limit = !a->sent.has_opt || a->sent.udp_size < 512 ? 512 :
	                 a->sent.udp_size > ours ? ours : a->sent.udp_size;

	if (p->id != (a->octets[0] << 8 | a->octets[1]))
		return "its ID is not the query's (HDR-13)";
	if (!(p->flags & DNS_QR) || !(p->flags & DNS_RA) || p->flags & DNS_Z)
		return "QR and RA must be 1, and the reserved bit 0 (HDR-11, HDR-13)";
	if ((p->flags ^ (a->octets[2] << 8 | a->octets[3])) & echoed)
		return "opcode, RD and CD must be the query's (HDR-13, HDR-14)";
	/* An extended error that gives way to data is missing, too (24.17): then there was no room for it. */
	if (p->flags & DNS_TC && (a->proto == NET_TCP || (p->record_count && p->len + EDE_OCTETS <= limit)))
		return "a cut reply carries no records, and over TCP nothing is cut (SIZE-02)";
	if (!a->was_read)
		return NULL;
	if (p->qdcount == 1 && (p->question_len != a->sent.name.len + 4u ||
	    memcmp(p->octets + PACKET_QUESTION, a->octets + PACKET_QUESTION, p->question_len)))
		return "the question is not the query's, octet for octet (HDR-15)";
	if (p->qdcount != 1 && (p->rcode == DNS_NOERROR || p->rcode == DNS_NXDOMAIN))
		return "the question is missing (HDR-15)";
	if (p->has_opt && !a->sent.has_opt)
		return "there is an OPT although the query had none (EDNS-01)";
	if (!p->has_opt && a->sent.has_opt && p->rcode != DNS_NOTIMP)
		return "the OPT is missing (EDNS-02)";
	if (p->has_opt && (p->version || p->opt_flags != (a->sent.opt_flags & 0x8000) || p->other_options))
		return "its OPT is not version 0 with the query's DO and no option but ours (EDNS-04, EDNS-05)";
	if (p->has_keepalive && a->proto == NET_UDP)
		return "keepalive is for streams (TCP-14)";
	if (a->proto == NET_UDP && p->len > limit)
		return "it is longer than the client can take (SIZE-01, EDNS-11)";
	return NULL;
}

/* ---- hearing ---- */

static void asker_hear(struct ask *a, const uint8_t *octets, size_t len)
{
	struct asker *c = a->asker;
	struct heard *h = calloc(1, sizeof *h);
	char          text[STORY_WHY / 2] = "";
	const char   *wrong;

	if (!h)
		abort();
	wrong = packet_read(octets, len, &h->packet);
	if (wrong) {
		for (size_t i = 0; i < len && i < 600; i++)
			text_add(text, sizeof text, "%s%02x", i % 16 ? "" : "\n    ", octets[i]);
		story_fail(c->world->story, "the reply to C%u cannot be read: %s%s", c->number, wrong, text);
		free(h);
		return;
	}
	wrong = a->answered ? "a query has been answered twice" : asker_judge(a, &h->packet);
	if (wrong) {
		packet_print(&h->packet, text, sizeof text);
		story_fail(c->world->story, "C%u heard %s\n    but %s", c->number, text, wrong);
	}
	a->answered = true;
	h->ask = a;
	h->at_us = c->world->mono_us;
	c->replies++;
	if (h->at_us - a->at_us > c->slowest_us)
		c->slowest_us = h->at_us - a->at_us;
	list_append(&c->inbox, &h->node);
	if (c->on_reply)
		c->on_reply(h);
}

/* There will be no reply. */
static void asker_ignore(struct ask *a)
{
	a->quiet = true;
	a->asker->ignored++;
}

void heard_forget(struct heard *h)
{
	list_remove(&h->node);
	packet_done(&h->packet);
	free(h);
}

void reply_path_keep(struct reply_path *p, const struct net_message *m)
{
	struct ask *a = m->source;

	p->ops = &asker_ops;
	p->owner = a;
	list_init(&p->node);
	p->peer = *m->from;
	p->ifindex = 0;
	p->proto = m->proto;
	a->path = p;
}

/* Gives the query that waited there, or NULL when its client has left. */
static struct ask *reply_path_leave(struct reply_path *p)
{
	struct ask *a = p->ops ? p->owner : NULL;

	if (a)
		a->path = NULL;
	p->ops = NULL;
	return a;
}

void reply_path_send(struct reply_path *p, const uint8_t *msg, size_t len)
{
	struct ask *a = reply_path_leave(p);

	if (a)
		asker_hear(a, msg, len);
}

void reply_path_drop(struct reply_path *p)
{
	struct ask *a = reply_path_leave(p);

	if (a && !a->delivering)
		asker_ignore(a);
}

/* ---- asking ---- */

static struct ask *asker_new_ask(struct asker *c, const struct packet_ask *sent, const uint8_t *octets,
                                 size_t len, enum net_proto proto)
{
	struct ask *a = calloc(1, sizeof *a);

	if (!a || !(a->octets = malloc(len ? len : 1)))
		abort();
	memcpy(a->octets, octets, len);		/* exactly as long as it is, for the address sanitizer */
	a->len = len;
	a->asker = c;
	a->proto = proto;
	a->at_us = c->world->mono_us;
	a->line = c->world->story->line;
	a->was_read = sent && sent->qdcount == 1 && sent->opt_copies <= 1 && !sent->extra_len && !sent->cut &&
	              !(sent->flags & DNS_OPCODE);
	if (sent)
		a->sent = *sent;
	list_init(&a->in_batch);
	list_append(&c->asks, &a->node);
	return a;
}

static struct net_message asker_message(struct ask *a, unsigned index)
{
	struct world *w = a->asker->world;

	return (struct net_message){
		.octets = a->octets,
		.len = a->len,
		.from = &a->asker->addr,
		.proto = a->proto,
		.boot_ms = world_boot_ms(w),
		.mono_us = w->mono_us,
		.keepalive_ms = a->proto == NET_TCP ? w->conf->tcp_idle_ms : 0,
		.source = a,
		.index = index,
	};
}

/* What the resolver's verdict means for the client. */
static void asker_on_verdict(struct ask *a, enum net_verdict verdict, const struct net_reply *reply)
{
	struct world *w = a->asker->world;

	switch (verdict) {
	case NET_REPLY:
		asker_hear(a, reply->octets, reply->len);
		break;
	case NET_LATER:
		if (!a->path)
			story_fail(w->story, "the resolver wants to reply later, but kept no way to do so");
		return;
	case NET_CLOSE:
		a->asker->closed++;
		a->quiet = true;
		break;
	case NET_SILENCE:
		asker_ignore(a);
		break;
	}
	if (a->path)
		story_fail(w->story, "the resolver has done with a query, but kept a way to reply later");
}

static void asker_deliver(struct ask *a, unsigned index)
{
	struct world      *w = a->asker->world;
	size_t             room = a->proto == NET_UDP ? UDP_ROOM : PACKET_MAX;
	struct net_message m = asker_message(a, index);
	struct net_reply   reply = { .octets = malloc(room), .size = room };
	enum net_verdict   verdict;

	if (!reply.octets)
		abort();
	a->delivering = true;
	verdict = resolver_on_message(w->resolver, &m, &reply);
	a->delivering = false;
	asker_on_verdict(a, verdict, &reply);
	free(reply.octets);
}

void askers_deliver(struct world *w)
{
	struct list *n, batch;
	unsigned     count = 0, index = 0;

	list_init(&batch);
	list_splice(&batch, &w->batch);
	for (n = batch.next; n != &batch; n = n->next) {
		struct net_message m = asker_message(list_entry(n, struct ask, in_batch), count++);

		resolver_on_announce(w->resolver, &m);
	}
	while ((n = list_take_first(&batch)))
		asker_deliver(list_entry(n, struct ask, in_batch), index++);
	resolver_on_batch_done(w->resolver, w->mono_us, w->mono_us, count);
}

void asker_send(struct asker *c, const struct packet_ask *a, const uint8_t *octets, size_t len,
                enum net_proto proto)
{
	struct ask *ask;

	if (!c->world->resolver) {
		story_fail(c->world->story, "there is no `config` yet");
		return;
	}
	ask = asker_new_ask(c, a, octets, len, proto);
	if (proto == NET_TCP) {
		asker_deliver(ask, NET_ALONE);
		resolver_on_batch_done(c->world->resolver, c->world->mono_us, c->world->mono_us, 1);
		return;
	}
	list_append(&c->world->batch, &ask->in_batch);
	if (++c->world->batch_count == NET_BATCH || !c->world->gathering) {
		c->world->batch_count = 0;
		askers_deliver(c->world);
	}
}

void asker_repeat(struct asker *c)
{
	struct ask *last;

	if (list_empty(&c->asks)) {
		story_fail(c->world->story, "C%u has not asked anything yet", c->number);
		return;
	}
	last = list_entry(c->asks.prev, struct ask, node);
	asker_send(c, last->sent.name.len ? &last->sent : NULL, last->octets, last->len, last->proto);
}

void asker_hang_up(struct asker *c)
{
	for (struct list *n = c->asks.next; n != &c->asks; n = n->next) {
		struct ask *a = list_entry(n, struct ask, node);

		if (a->path)
			reply_path_leave(a->path);
		a->quiet = true;
	}
}

unsigned asker_waiting(const struct asker *c)
{
	unsigned count = 0;

	for (struct list *n = c->asks.next; n != &c->asks; n = n->next) {
		const struct ask *a = list_entry(n, struct ask, node);

		count += !a->answered && !a->quiet;
	}
	return count;
}

/* ---- life ---- */

void askers_free(struct world *w)
{
	struct list *n, *m;

	while ((n = list_take_first(&w->askers))) {
		struct asker *c = list_entry(n, struct asker, node);

		while ((m = c->inbox.next) != &c->inbox)
			heard_forget(list_entry(m, struct heard, node));
		while ((m = list_take_first(&c->asks))) {
			struct ask *a = list_entry(m, struct ask, node);

			free(a->octets);
			free(a);
		}
		free(c);
	}
}
