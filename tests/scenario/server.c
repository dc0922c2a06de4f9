/* server.c - fake upstreams and their logs.
 *
 * Whatever a scenario is about, every question that larder sends is held
 * against the rules for all of them (conformance FWD-01, FWD-16, MATCH-15,
 * EDNS-13).
 */
#include "server.h"

#include "dns/message.h"
#include "dns/rrtype.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_SENDS_MAX 4			/* for one name and type (MATCH-15) */
#define SETTLED_US     UINT64_C(60000000)	/* no flight lives longer */

struct server *server_of(struct world *w, unsigned number)
{
	struct server *s;

	for (struct list *n = w->servers.next; n != &w->servers; n = n->next)
		if (list_entry(n, struct server, node)->number == number)
			return list_entry(n, struct server, node);
	s = calloc(1, sizeof *s);
	if (!s)
		abort();
	s->world = w;
	s->number = number;
	list_init(&s->streams);
	list_init(&s->rules);
	list_init(&s->log);
	list_init(&s->open);
	list_append(&w->servers, &s->node);
	return s;
}

struct server *server_at(struct world *w, const struct addr *addr)
{
	return server_of(w, ntohl(addr->in4.sin_addr.s_addr) & 0xff);
}

/* ---- the log ---- */

static void sent_free_if_done(struct sent *q)
{
	if (!list_empty(&q->node) || !list_empty(&q->open))
		return;
	packet_done(&q->packet);
	free(q);
}

void server_note_end(struct sent *q)
{
	list_remove(&q->open);
	sent_free_if_done(q);
}

void sent_forget(struct sent *q)
{
	list_remove(&q->node);
	sent_free_if_done(q);
}

void sent_print(const struct sent *q, char *out, size_t room)
{
	char type[DNS_RRTYPE_TEXT_MAX];

	text_add_name(out, room, &q->packet.qname);
	text_add(out, room, " %s by %s", dns_rrtype_to_text(q->packet.qtype, type),
	         q->kind == TRANSPORT_UDP ? "udp" : "tcp");
}

static bool sent_asks_the_same(const struct sent *a, const struct sent *b)
{
	return a->packet.qtype == b->packet.qtype &&
	       dns_name_equal(a->packet.qname.octets, a->packet.qname.len, b->packet.qname.octets,
	                      b->packet.qname.len);
}

/* ---- what holds for every question ---- */

static unsigned server_count_open(struct world *w, const struct sent *like)
{
	unsigned count = 0;

	for (struct list *n = w->servers.next; n != &w->servers; n = n->next) {
		struct server *s = list_entry(n, struct server, node);

		for (struct list *m = s->open.next; m != &s->open; m = m->next)
			count += sent_asks_the_same(list_entry(m, struct sent, open), like);
	}
	return count;
}

static const char *server_judge(const struct server *s, const struct sent *q)
{
	const struct packet *p = &q->packet;

	if (p->flags & ~(unsigned)(DNS_RD | DNS_CD) || !(p->flags & DNS_RD))
		return "its flags are not RD, or RD and CD (FWD-01)";
	if (p->qdcount != 1 || p->record_count || p->qclass != DNS_IN)
		return "it is not one question of class IN (FWD-01)";
	if (p->has_opt && (p->version || p->rcode || p->opt_flags & ~0x8000u))
		return "its OPT is not version 0 with at most DO (EDNS-13)";
	if (p->ede_count || p->has_keepalive || p->other_options)
		return "its OPT carries options (FWD-16)";
	if (s->world->mono_us - s->world->reloaded_us < SETTLED_US)
		return NULL;		/* flights that began before go by the old configuration, beside new ones */
	if (p->has_opt && p->udp_size != s->world->conf->times.edns_size)
		return "its OPT does not offer the configured size (EDNS-13)";
	if (server_count_open(s->world, q) > OPEN_SENDS_MAX)
		return "it is the fifth at once for this name and type (MATCH-15)";
	return NULL;
}

/* ---- receiving ---- */

/* NS of the root: larder asks it to find out whether a server works, and every resolver knows it. */
static bool sent_is_probe(const struct sent *q)
{
	return q->packet.qname.len == 1 && q->packet.qtype == DNS_NS;
}

static void server_reply_to_probe(struct server *s, const struct sent *q, struct place *p)
{
	static const uint8_t ns[] = { 0, 0, 2, 0, 1, 0, 0, 0x0e, 0x10, 0, 3, 1, 'a', 0 };
	uint8_t              msg[DNS_HEADER_LEN + 5 + sizeof ns] = { 0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0,
		                                                     0, 0, 2, 0, 1 };

	msg[0] = (uint8_t)(q->packet.id >> 8);
	msg[1] = (uint8_t)q->packet.id;
	memcpy(msg + DNS_HEADER_LEN + 5, ns, sizeof ns);
	carrier_post(p, s->delay_us, msg, sizeof msg);
}

static void server_reply(struct server *s, const struct sent *q, struct place *p)
{
	char question[DNS_NAME_TEXT_MAX + 64] = "";

	switch (s->state[q->kind]) {
	case SERVER_SILENT:
	case SERVER_UNROUTABLE:
		return;
	case SERVER_DOWN:
		if (q->kind == TRANSPORT_UDP)
			carrier_post_error(p, s->delay_us, -ECONNREFUSED);
		return;
	case SERVER_UP:
		break;
	}
	if (s->reply) {
		s->reply(s, q, p);
		return;
	}
	if (rules_reply(s, q, p))
		return;
	if (sent_is_probe(q)) {
		server_reply_to_probe(s, q, p);
		return;
	}
	sent_print(q, question, sizeof question);
	story_fail(s->world->story, "U%u was asked %s, of which nothing says how it replies", s->number,
	           question);
}

void server_receive(struct server *s, enum transport_kind kind, struct place *p, const uint8_t *octets,
                    size_t len, unsigned connection)
{
	struct sent *q = calloc(1, sizeof *q);
	const char  *wrong;
	char         question[DNS_NAME_TEXT_MAX + 64] = "";

	if (!q)
		abort();
	wrong = packet_read(octets, len, &q->packet);
	if (wrong) {
		story_fail(s->world->story, "what larder sent to U%u cannot be read: %s", s->number, wrong);
		free(q);
		return;
	}
	list_init(&q->node);
	list_init(&q->open);
	q->kind = kind;
	q->connection = connection;
	q->at_us = s->world->mono_us;
	s->sends++;
	if (!s->ignored && (!sent_is_probe(q) || s->shows_probes))
		list_append(&s->log, &q->node);
	list_append(&s->open, &q->open);
	place_note(p, q);
	wrong = server_judge(s, q);
	if (wrong) {
		sent_print(q, question, sizeof question);
		story_fail(s->world->story, "the question that larder sent to U%u (%s): %s", s->number,
		           question, wrong);
	}
	server_reply(s, q, p);
}

void servers_free(struct world *w)
{
	struct list *n, *m;

	while ((n = list_take_first(&w->servers))) {
		struct server *s = list_entry(n, struct server, node);

		while ((m = s->log.next) != &s->log)
			sent_forget(list_entry(m, struct sent, node));
		rules_free(s);
		free(s);
	}
}
