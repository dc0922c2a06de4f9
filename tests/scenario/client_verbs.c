/* client_verbs.c - statements about what clients do. */
#include "play.h"

#include "dns/message.h"
#include "dns/rrtype.h"

#include <stdlib.h>
#include <string.h>

/* What is being asked, while its words are read. */
struct asking {
	struct statement *st;
	struct packet_ask ask;
	enum net_proto    proto;
};

static void asking_opt(struct asking *a)
{
	a->ask.has_opt = true;
}

/* "option CODE [HEX]": gives how many words it took, 0: wrong. */
static unsigned asking_option(struct asking *a, unsigned i)
{
	const struct words *w = &a->st->words;
	struct packet_ask  *ask = &a->ask;
	uint8_t             data[1024];
	size_t              len = 0;
	uint64_t            code;
	struct writer       out = { .octets = ask->options, .len = ask->options_len, .room = sizeof ask->options };

	if (i + 1 >= w->count || !script_number(w->at[i + 1], &code))
		return 0;
	asking_opt(a);
	if (i + 2 < w->count && !script_hex(w->at[i + 2], data, sizeof data, &len))
		len = 0;
	writer_u16(&out, (unsigned)code);
	writer_u16(&out, (unsigned)len);
	writer_put(&out, data, len);
	ask->options_len = out.len;
	return len ? 3 : 2;
}

static bool asking_class(struct asking *a, const char *word)
{
	static const struct {
		const char *name;
		uint16_t    class;
	} classes[] = { { "IN", 1 }, { "CH", 3 }, { "HS", 4 }, { "NONE", 254 }, { "ANY", 255 } };
	uint64_t v;

	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
		if (!strcmp(classes[i].name, word)) {
			a->ask.class = classes[i].class;
			return true;
		}
	if (!script_number(word, &v))
		return false;
	a->ask.class = (uint16_t)v;
	return true;
}

/* Words that take a number behind them. */
static bool asking_number(struct asking *a, const char *word, uint64_t v)
{
	struct packet_ask *ask = &a->ask;

	if (!strcmp(word, "id"))
		ask->id = (uint16_t)v;
	else if (!strcmp(word, "opt"))
		asking_opt(a), ask->udp_size = (uint16_t)v;
	else if (!strcmp(word, "version"))
		asking_opt(a), ask->version = (uint8_t)v;
	else if (!strcmp(word, "opt-flags"))
		asking_opt(a), ask->opt_flags = (uint16_t)v;
	else if (!strcmp(word, "opcode"))
		ask->flags = (uint16_t)((ask->flags & ~DNS_OPCODE) | (v & 15) << 11);
	else if (!strcmp(word, "rcode"))
		ask->flags = (uint16_t)((ask->flags & ~DNS_RCODE) | (v & 15));
	else if (!strcmp(word, "qdcount"))
		ask->qdcount = (uint16_t)v;
	else if (!strcmp(word, "ancount"))
		ask->ancount = (uint16_t)v;
	else if (!strcmp(word, "nscount"))
		ask->nscount = (uint16_t)v;
	else if (!strcmp(word, "arcount"))
		ask->arcount = (uint16_t)v;
	else if (!strcmp(word, "cut"))
		ask->cut = (unsigned)v;
	else if (!strcmp(word, "trail"))
		ask->trail = (unsigned)v;
	else
		return false;
	return true;
}

static bool asking_plain(struct asking *a, const char *word)
{
	if (!strcmp(word, "opt"))
		asking_opt(a);
	else if (!strcmp(word, "do"))
		asking_opt(a), a->ask.opt_flags |= 0x8000;
	else if (!strcmp(word, "two-opts"))
		asking_opt(a), a->ask.opt_copies = 2;
	else if (!strcmp(word, "no-rd"))
		a->ask.flags &= (uint16_t)~DNS_RD;
	else if (flag_of(word))
		a->ask.flags |= flag_of(word);
	else
		return false;
	return true;
}

/* Gives how many words it took, or 0. */
static unsigned asking_words(struct asking *a, unsigned i)
{
	const struct words *w = &a->st->words;
	uint64_t            v;

	if (words_is(w, i, "by") && (words_is(w, i + 1, "udp") || words_is(w, i + 1, "tcp"))) {
		a->proto = words_is(w, i + 1, "tcp") ? NET_TCP : NET_UDP;
		return 2;
	}
	if (words_is(w, i, "option"))
		return asking_option(a, i);
	if (words_is(w, i, "class") && i + 1 < w->count)
		return asking_class(a, w->at[i + 1]) ? 2 : 0;
	if (words_is(w, i, "extra") && i + 1 < w->count)
		return script_hex(w->at[i + 1], a->ask.extra, sizeof a->ask.extra, &a->ask.extra_len) ? 2 : 0;
	if (i + 1 < w->count && script_number(w->at[i + 1], &v) && asking_number(a, w->at[i], v))
		return 2;
	return asking_plain(a, w->at[i]) ? 1 : 0;
}

/* C1 asks NAME TYPE ... */
static void client_asks(struct statement *st, struct asker *c)
{
	const struct words *w = &st->words;
	struct asking       a = { .st = st, .proto = NET_UDP };
	uint8_t            *octets;

	if (words_is(w, 2, "again")) {
		asker_repeat(c);
		return;
	}
	a.ask = (struct packet_ask){ .class = DNS_IN, .id = c->world->next_id++, .flags = DNS_RD,
		                     .qdcount = 1, .udp_size = 1232, .opt_copies = 1 };
	if (w->count < 4 || dns_name_from_text(w->at[2], &a.ask.name) < 0 ||
	    dns_rrtype_from_text(w->at[3], &a.ask.type) < 0) {
		statement_wrong(st, 2, "`C1 asks NAME TYPE`: no such name or type");
		return;
	}
	for (unsigned i = 4; i < w->count;) {
		unsigned took = asking_words(&a, i);

		if (!took) {
			statement_wrong(st, i, "not understood in `asks`");
			return;
		}
		i += took;
	}
	octets = malloc(PACKET_MAX);
	if (!octets)
		abort();
	asker_send(c, &a.ask, octets, packet_write_ask(&a.ask, octets), a.proto);
	free(octets);
}

/* C1 sends HEX... [by tcp] */
static void client_sends(struct statement *st, struct asker *c)
{
	const struct words *w = &st->words;
	enum net_proto      proto = NET_UDP;
	uint8_t             octets[4096];
	const char         *lines[STATEMENT_LINES];
	size_t              len = 0;
	bool                ok = true;

	for (unsigned i = 2; i < w->count && ok; i++) {
		if (words_is(w, i, "by")) {
			ok = words_is(w, i + 1, "tcp") || words_is(w, i + 1, "udp");
			proto = words_is(w, i + 1, "tcp") ? NET_TCP : NET_UDP;
			i++;
			continue;
		}
		ok = script_hex(w->at[i], octets, sizeof octets, &len);
	}
	for (unsigned i = 0, count = statement_lines(st, lines); i < count && ok; i++) {
		struct words line;

		ok = words_split(&line, lines[i], st->n);
		for (unsigned k = 0; k < line.count && ok; k++)
			ok = script_hex(line.at[k], octets, sizeof octets, &len);
	}
	if (!ok)
		statement_wrong(st, 1, "octets in hexadecimal, and perhaps `by tcp`");
	else
		asker_send(c, NULL, octets, len, proto);
}

/* C1 is ADDRESS[:PORT] */
static void client_is(struct statement *st, struct asker *c)
{
	if (st->words.count != 3 || addr_parse(st->words.at[2], 40000, &c->addr) < 0)
		statement_wrong(st, 2, "`C1 is ADDRESS` or `C1 is ADDRESS:PORT`");
}

/* C1 is closed on: its connection was, since no reply was possible. */
static void client_closed(struct statement *st, struct asker *c)
{
	if (!c->closed)
		story_fail(&st->play->story, "C%u has not been closed on", c->number);
	else
		c->closed--;
}

/* C1 is ignored [N times]: so many of its queries have got no reply, and will not get any. */
static void client_ignored(struct statement *st, struct asker *c)
{
	uint64_t n = 1;

	if (st->words.count > 3 && !statement_number(st, 3, &n))
		return;
	if (c->ignored != n)
		story_fail(&st->play->story, "%u queries of C%u have been ignored", c->ignored, c->number);
	c->ignored = 0;
}

void client_statement(struct statement *st, unsigned number)
{
	struct asker *c = asker_of(&st->play->world, number);

	if (words_is(&st->words, 1, "asks"))
		client_asks(st, c);
	else if (words_is(&st->words, 1, "sends"))
		client_sends(st, c);
	else if (words_is(&st->words, 1, "hears"))
		hears_statement(st, c);
	else if (words_is(&st->words, 1, "hangs") && words_is(&st->words, 2, "up"))
		asker_hang_up(c);
	else if (words_is(&st->words, 1, "is") && words_is(&st->words, 2, "closed"))
		client_closed(st, c);
	else if (words_is(&st->words, 1, "is") && words_is(&st->words, 2, "ignored"))
		client_ignored(st, c);
	else if (words_is(&st->words, 1, "is"))
		client_is(st, c);
	else
		statement_wrong(st, 1, "clients ask, send, hear, hang up, or are");
}
