/* play.c - plays a scenario, statement by statement.
 *
 * After each statement everything that is due happens.  At the end all must be
 * accounted for: a reply that no statement has heard, a question that no
 * statement has seen at its upstream, or a client that still waits fails the
 * scenario as surely as a wrong one.
 */
#include "play.h"

#include <stdlib.h>
#include <string.h>

#define PLAY_SEED    UINT64_C(0x6c61726465720001)
#define REST_US      UINT64_C(120000000)	/* longer than any flight lives */
#define REPEAT_MAX   100000u

static void play_block(struct play *p, struct block b, unsigned n);

/* ---- statements ---- */

unsigned statement_lines(const struct statement *st, const char *lines[STATEMENT_LINES])
{
	unsigned count = 0;

	if (!script_is_blank(st->tail))
		lines[count++] = st->tail;
	for (unsigned i = st->block.first; i < st->block.end && count < STATEMENT_LINES; i++)
		if (!script_is_blank(st->block.script->lines[i]))
			lines[count++] = st->block.script->lines[i];
	return count;
}

void statement_wrong(struct statement *st, unsigned i, const char *why)
{
	story_fail(&st->play->story, "%s%s%s", i < st->words.count ? st->words.at[i] : "the line ends too early",
	           *why ? ": " : "", why);
}

bool statement_number(struct statement *st, unsigned i, uint64_t *out)
{
	if (i < st->words.count && script_number(st->words.at[i], out))
		return true;
	statement_wrong(st, i, "a number should stand here");
	return false;
}

bool statement_duration(struct statement *st, unsigned i, uint64_t *us)
{
	if (i < st->words.count && script_duration(st->words.at[i], us))
		return true;
	statement_wrong(st, i, "a duration such as 20ms should stand here");
	return false;
}

/* The colon that ends a statement's words, or NULL. */
static const char *play_find_colon(const char *line)
{
	bool quoted = false;

	for (const char *p = line; *p; p++) {
		if (*p == '"')
			quoted = !quoted;
		if (*p == '#' && !quoted && (p == line || p[-1] == ' ' || p[-1] == '\t'))
			return NULL;
		if (*p == ':' && !quoted && (!p[1] || p[1] == ' ' || p[1] == '\t' || p[1] == '\r') &&
		    p > line && p[-1] != ':')
			return p;
	}
	return NULL;
}

static bool play_read(struct statement *st, const char *line)
{
	const char *colon = play_find_colon(line);
	char       *head;
	bool        ok;

	st->tail = colon ? colon + 1 : "";
	head = colon ? strndup(line, (size_t)(colon - line)) : strdup(line);
	if (!head)
		abort();
	ok = words_split(&st->words, head, st->n);
	free(head);
	if (!ok)
		story_fail(&st->play->story, "this line is too long");
	return ok && st->words.count;
}

static void play_repeat(struct statement *st)
{
	uint64_t times;

	if (!statement_number(st, 1, &times))
		return;
	if (times > REPEAT_MAX) {
		statement_wrong(st, 1, "so often?");
		return;
	}
	for (unsigned n = 1; n <= times && !st->play->story.failed; n++)
		play_block(st->play, st->block, n);
}

/* The UDP queries of the block arrive in one batch. */
static void play_together(struct statement *st)
{
	struct world *w = &st->play->world;

	if (!w->resolver) {
		story_fail(&st->play->story, "there is no `config` yet");
		return;
	}
	w->gathering = true;
	play_block(st->play, st->block, st->n);
	w->gathering = false;
	w->batch_count = 0;
	askers_deliver(w);
}

/* "C12" with that letter: its number; 0: it is not of this kind. */
static unsigned play_actor(const char *word, char letter)
{
	uint64_t number;

	return word[0] == letter && script_number(word + 1, &number) && number < 65536 ? (unsigned)number : 0;
}

static void play_carry_out(struct statement *st)
{
	const char *subject = st->words.at[0];

	if (!strcmp(subject, "repeat"))
		play_repeat(st);
	else if (!strcmp(subject, "together"))
		play_together(st);
	else if (play_actor(subject, 'C'))
		client_statement(st, play_actor(subject, 'C'));
	else if (play_actor(subject, 'U'))
		server_statement(st, play_actor(subject, 'U'));
	else
		world_statement(st);
	world_settle(&st->play->world);
}

static void play_line(struct play *p, const struct script *script, unsigned i, unsigned n)
{
	struct statement *st = malloc(sizeof *st);

	if (!st)
		abort();
	st->play = p;
	st->n = n;
	st->block = script_block(script, i);
	p->story.line = i + 1;
	if (play_read(st, script->lines[i]))
		play_carry_out(st);
	free(st);
}

static void play_block(struct play *p, struct block b, unsigned n)
{
	for (unsigned i = b.first; i < b.end && !p->story.failed;) {
		struct block under = script_block(b.script, i);

		if (!script_is_blank(b.script->lines[i]))
			play_line(p, b.script, i, n);
		i = under.end > i + 1 ? under.end : i + 1;
	}
}

/* ---- the end ---- */

static void play_check_askers(struct play *p)
{
	char text[STORY_WHY / 2] = "";

	for (struct list *n = p->world.askers.next; n != &p->world.askers; n = n->next) {
		struct asker *c = list_entry(n, struct asker, node);

		if (!list_empty(&c->inbox)) {
			packet_print(&list_entry(c->inbox.next, struct heard, node)->packet, text, sizeof text);
			story_fail(&p->story, "at the end C%u has heard what no line tells of:\n    %s", c->number,
			           text);
		}
		if (asker_waiting(c))
			story_fail(&p->story, "at the end C%u still waits for %u replies", c->number,
			           asker_waiting(c));
		if (c->ignored)
			story_fail(&p->story, "at the end %u queries of C%u have been ignored, and no line tells of it",
			           c->ignored, c->number);
		if (c->closed)
			story_fail(&p->story, "at the end C%u has been closed on, and no line tells of it",
			           c->number);
	}
}

static void play_check_servers(struct play *p)
{
	char text[STORY_WHY / 2] = "";

	for (struct list *n = p->world.servers.next; n != &p->world.servers; n = n->next) {
		struct server *s = list_entry(n, struct server, node);

		if (list_empty(&s->log))
			continue;
		sent_print(list_entry(s->log.next, struct sent, node), text, sizeof text);
		story_fail(&p->story, "at the end U%u has got what no line tells of: %s", s->number, text);
	}
}

/* What holds at the end of every scenario, once all flights are over. */
static void play_check_sums(struct play *p)
{
	struct stats_view *v = calloc(1, sizeof *v);
	uint64_t           replies = 0;

	if (!v)
		abort();
	for (struct list *n = p->world.servers.next; n != &p->world.servers; n = n->next)
		list_entry(n, struct server, node)->state[TRANSPORT_UDP] =
			list_entry(n, struct server, node)->state[TRANSPORT_TCP] = SERVER_SILENT;
	world_run(&p->world, p->world.mono_us + REST_US, NULL, NULL);
	stats_read(&p->world.stats, v);
	for (struct list *n = p->world.askers.next; n != &p->world.askers; n = n->next)
		replies += list_entry(n, struct asker, node)->replies;
	if (v->flights_now || v->waiting_now)
		story_fail(&p->story, "two minutes after the end %llu flights and %llu clients are left over",
		           (unsigned long long)v->flights_now, (unsigned long long)v->waiting_now);
	if (v->queries < replies)
		story_fail(&p->story, "%llu replies were sent, but the outcomes sum to %llu",
		           (unsigned long long)replies, (unsigned long long)v->queries);
	free(v);
}

static bool play_finish(struct play *p)
{
	if (!p->world.conf)
		story_fail(&p->story, "nothing happens in it: there is no `config`");
	play_check_askers(p);
	play_check_servers(p);
	if (!p->story.failed)
		play_check_sums(p);
	world_stop(&p->world);
	askers_free(&p->world);
	servers_free(&p->world);
	world_done(&p->world);
	script_done(&p->script);
	return !p->story.failed;
}

static bool play_run(struct play *p, int error)
{
	if (error < 0) {
		story_fail(&p->story, "cannot be read: %s", strerror(-error));
		return false;
	}
	world_init(&p->world, &p->story, PLAY_SEED);
	carrier_init_maker(&p->world);
	p->mark_us = p->world.mono_us;
	play_block(p, (struct block){ .script = &p->script, .end = p->script.count }, 0);
	return play_finish(p);
}

bool play_file(struct play *p, const char *path)
{
	memset(p, 0, sizeof *p);
	p->story.path = path;
	return play_run(p, script_read(path, &p->script));
}

bool play_text(struct play *p, const char *name, const char *text)
{
	memset(p, 0, sizeof *p);
	p->story.path = name;
	return play_run(p, script_of_text(text, &p->script));
}
