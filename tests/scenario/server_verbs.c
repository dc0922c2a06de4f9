/* server_verbs.c - statements about upstreams: what they do, and what they have got. */
#include "play.h"

#include "dns/message.h"
#include "dns/rrtype.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what they do ---- */

static void server_rule(struct statement *st, struct server *s, enum rule_act act, bool also, unsigned i)
{
	const char *lines[STATEMENT_LINES];
	unsigned    count = statement_lines(st, lines);
	const char *wrong = rule_add(s, act, also, &st->words, i, lines, count, st->n);

	if (wrong)
		story_fail(&st->play->story, "%s", wrong);
}

static bool server_verb(const char *word, enum rule_act *act)
{
	static const struct {
		const char   *name;
		enum rule_act act;
	} acts[] = {
		{ "answers", RULE_ANSWER }, { "loses", RULE_LOSE }, { "refuses", RULE_REFUSE },
		{ "closes", RULE_CLOSE },
	};

	for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
		if (!strcmp(acts[i].name, word)) {
			*act = acts[i].act;
			return true;
		}
	return false;
}

/* U1 [udp|tcp] is up|silent|down|unroutable */
static void server_is(struct statement *st, struct server *s, unsigned i, bool udp, bool tcp)
{
	static const char *const names[] = { "up", "silent", "down", "unroutable" };

	for (unsigned state = 0; state < sizeof names / sizeof *names; state++) {
		if (!words_is(&st->words, i, names[state]))
			continue;
		if (udp)
			s->state[TRANSPORT_UDP] = (enum server_state)state;
		if (tcp)
			s->state[TRANSPORT_TCP] = (enum server_state)state;
		return;
	}
	statement_wrong(st, i, "up, silent, down or unroutable");
}

struct upstream *server_upstream(const struct server *s)
{
	const struct setup *setup = s->world->setup;

	for (size_t i = 0; setup && i < setup->conf.upstream_count; i++)
		if ((ntohl(setup->upstreams[i]->conf.addr.in4.sin_addr.s_addr) & 0xff) == s->number)
			return setup->upstreams[i];
	return NULL;
}

/* U1 counter NAME N */
static void server_counter(struct statement *st, struct server *s)
{
	struct upstream *u = server_upstream(s);
	struct range     wanted;
	uint64_t         got;

	if (!u || st->words.count < 4 || !script_number_range(st->words.at[3], &wanted)) {
		statement_wrong(st, 3, "`U1 counter NAME N`, for an upstream of the present configuration");
		return;
	}
	for (unsigned i = 0; i < UPSTREAM_COUNTERS; i++) {
		if (!words_is(&st->words, 2, stats_upstream_rows[i].name))
			continue;
		got = atomic_load(&u->stats[0].counter[i]);
		if (got < wanted.min || got > wanted.max)
			story_fail(&st->play->story, "U%u %s: %s was expected, %llu it is", s->number,
			           st->words.at[2], st->words.at[3], (unsigned long long)got);
		return;
	}
	statement_wrong(st, 2, "nothing of this name is counted");
}

/* U1 has N connections: so many were accepted since the beginning. */
static void server_has(struct statement *st, struct server *s)
{
	uint64_t n;

	if (!statement_number(st, 2, &n))
		return;
	if (n != s->connections)
		story_fail(&st->play->story, "U%u has accepted %u connections", s->number, s->connections);
}

/* ---- what they have got ---- */

struct getting {
	struct statement *st;
	struct server    *server;
	bool              has_name;
	struct dns_name   name;
	uint16_t          type;			/* 0: any */
	int               kind, dnssec_ok, cd, opt, upper;	/* -1: either way */
	uint64_t          connection;		/* 0: any */
	bool              has_at;
	struct range      at_us;		/* from the mark on */
};

static bool getting_flag(struct getting *g, const char *word)
{
	bool no = !strncmp(word, "no-", 3);

	word += no ? 3 : 0;
	if (!strcmp(word, "do"))
		g->dnssec_ok = !no;
	else if (!strcmp(word, "cd"))
		g->cd = !no;
	else if (!strcmp(word, "opt"))
		g->opt = !no;
	else if (!strcmp(word, "mixed"))	/* the name has upper-case letters in it */
		g->upper = !no;
	else
		return false;
	return true;
}

static unsigned getting_words(struct getting *g, unsigned i)
{
	const struct words *w = &g->st->words;

	if (words_is(w, i, "by") && (words_is(w, i + 1, "udp") || words_is(w, i + 1, "tcp"))) {
		g->kind = words_is(w, i + 1, "udp") ? TRANSPORT_UDP : TRANSPORT_TCP;
		return 2;
	}
	if (words_is(w, i, "at") && i + 1 < w->count) {
		g->has_at = true;
		return script_duration_range(w->at[i + 1], &g->at_us) ? 2 : 0;
	}
	if (words_is(w, i, "on") && words_is(w, i + 1, "connection") && i + 2 < w->count)
		return script_number(w->at[i + 2], &g->connection) ? 3 : 0;
	return getting_flag(g, w->at[i]) ? 1 : 0;
}

/* From word i on: [NAME TYPE] and conditions. */
static bool getting_read(struct getting *g, unsigned i)
{
	const struct words *w = &g->st->words;

	g->kind = g->dnssec_ok = g->cd = g->opt = g->upper = -1;
	if (i + 1 < w->count && dns_name_from_text(w->at[i], &g->name) == 0 &&
	    (!strcmp(w->at[i + 1], "*") || dns_rrtype_from_text(w->at[i + 1], &g->type) == 0)) {
		g->has_name = true;
		i += 2;
	}
	while (i < w->count) {
		unsigned took = getting_words(g, i);

		if (!took) {
			statement_wrong(g->st, i, "not understood in `got`");
			return false;
		}
		i += took;
	}
	return true;
}

static bool getting_has_upper(const struct dns_name *n)
{
	for (unsigned i = 0; i < n->len; i++)
		if (n->octets[i] >= 'A' && n->octets[i] <= 'Z')
			return true;
	return false;
}

static bool getting_fits(const struct getting *g, const struct sent *q)
{
	const struct packet *p = &q->packet;
	uint64_t             at_us = q->at_us - g->st->play->mark_us;

	return (!g->has_name || dns_name_equal(p->qname.octets, p->qname.len, g->name.octets, g->name.len)) &&
	       (!g->type || g->type == p->qtype) && (g->kind < 0 || g->kind == (int)q->kind) &&
	       (g->dnssec_ok < 0 || g->dnssec_ok == !!(p->opt_flags & 0x8000)) &&
	       (g->cd < 0 || g->cd == !!(p->flags & DNS_CD)) && (g->opt < 0 || g->opt == p->has_opt) &&
	       (g->upper < 0 || g->upper == getting_has_upper(&p->qname)) &&
	       (!g->connection || g->connection == q->connection) &&
	       (!g->has_at || (g->at_us.min <= at_us && at_us <= g->at_us.max));
}

static void getting_fail(const struct getting *g, const char *why)
{
	char text[STORY_WHY - 512] = "";

	for (struct list *n = g->server->log.next; n != &g->server->log; n = n->next) {
		const struct sent *q = list_entry(n, struct sent, node);

		text_add(text, sizeof text, "\n    ");
		sent_print(q, text, sizeof text);
		text_add(text, sizeof text, " at %.3fms%s%s", (double)(q->at_us - g->st->play->mark_us) / 1e3,
		         q->packet.opt_flags & 0x8000 ? " do" : "", q->packet.flags & DNS_CD ? " cd" : "");
	}
	story_fail(&g->st->play->story, "U%u: %s; there is%s", g->server->number, why, *text ? text : " nothing");
}

/* Accounts for all that fit, which must be so many. */
static void getting_count(struct getting *g, struct range wanted)
{
	uint64_t     got = 0;
	struct list *n, *next;

	for (n = g->server->log.next; n != &g->server->log; n = n->next)
		got += getting_fits(g, list_entry(n, struct sent, node));
	if (got < wanted.min || got > wanted.max) {
		char why[64];

		snprintf(why, sizeof why, "another number of questions, %llu", (unsigned long long)got);
		getting_fail(g, why);
		return;
	}
	for (n = g->server->log.next; n != &g->server->log; n = next) {
		next = n->next;
		if (getting_fits(g, list_entry(n, struct sent, node)))
			sent_forget(list_entry(n, struct sent, node));
	}
}

/* U1 got ... */
static void server_got(struct statement *st, struct server *s)
{
	const struct words *w = &st->words;
	struct getting      g = { .st = st, .server = s };
	struct range        number;

	if (words_is(w, 2, "nothing")) {
		if (!list_empty(&s->log))
			getting_fail(&g, "it should have got nothing");
	} else if (words_is(w, 2, "anything")) {
		while (!list_empty(&s->log))
			sent_forget(list_entry(s->log.next, struct sent, node));
	} else if ((words_is(w, 3, "query") || words_is(w, 3, "queries")) &&
	           script_number_range(w->at[2], &number)) {
		if (getting_read(&g, 4))
			getting_count(&g, number);
	} else if (getting_read(&g, 2)) {
		if (list_empty(&s->log) || !getting_fits(&g, list_entry(s->log.next, struct sent, node)))
			getting_fail(&g, "the next question is not this one");
		else
			sent_forget(list_entry(s->log.next, struct sent, node));
	}
}

/* ---- all of them ---- */

void server_statement(struct statement *st, unsigned number)
{
	struct server      *s = server_of(&st->play->world, number);
	const struct words *w = &st->words;
	bool                also = words_is(w, 1, "also"), udp = words_is(w, 1, "udp"), tcp = words_is(w, 1, "tcp");
	enum rule_act       act;

	if (words_is(w, 1, "closes") && words_is(w, 2, "its") && words_is(w, 3, "connections"))
		carrier_close_all(s);
	else if (w->count > 1 && server_verb(w->at[also ? 2 % w->count : 1], &act))
		server_rule(st, s, act, also, also ? 3 : 2);
	else if (words_is(w, 1, "got"))
		server_got(st, s);
	else if (words_is(w, 1, "has"))
		server_has(st, s);
	else if (words_is(w, 1, "counter"))
		server_counter(st, s);
	else if (health_statement(st, s))
		;
	else if (words_is(w, 1, "takes"))
		statement_duration(st, 2, &s->delay_us);
	else if (words_is(w, 1, "opens") && words_is(w, 2, "after"))
		statement_duration(st, 3, &s->open_us);
	else if (words_is(w, 1, "forgets"))
		rules_free(s);
	else if (words_is(w, 1, "unwatched"))
		s->ignored = true;
	else if (words_is(w, 1, "shows") && words_is(w, 2, "probes"))
		s->shows_probes = true;
	else if ((udp || tcp) && words_is(w, 2, "is"))
		server_is(st, s, 3, udp, tcp);
	else if (words_is(w, 1, "is"))
		server_is(st, s, 2, true, true);
	else
		statement_wrong(st, 1, "not understood of an upstream (see README.md)");
}
