/* play.h - a scenario being played. */
#ifndef SCENARIO_PLAY_H
#define SCENARIO_PLAY_H

#include "asker.h"
#include "script.h"
#include "server.h"
#include "world.h"

struct play {
	struct story  story;
	struct world  world;
	struct script script;
	uint64_t      mark_us;		/* what `at` counts from */
};

/* One line, and what belongs to it. */
struct statement {
	struct play  *play;
	struct words  words;		/* before the colon */
	const char   *tail;		/* what stands behind it on the line; may be empty */
	struct block  block;
	unsigned      n;		/* what $n stands for */
};

#define STATEMENT_LINES 128

/* The lines of tail and block that say something; gives how many. */
unsigned statement_lines(const struct statement *st, const char *lines[STATEMENT_LINES]);
/* Fails the story, naming the statement's word i. */
void     statement_wrong(struct statement *st, unsigned i, const char *why);
/* Word i as a number or duration; false, and the story has failed. */
bool     statement_number(struct statement *st, unsigned i, uint64_t *out);
bool     statement_duration(struct statement *st, unsigned i, uint64_t *us);

void client_statement(struct statement *st, unsigned number);	/* C1 ... */
void hears_statement(struct statement *st, struct asker *c);	/* C1 hears ... */
void server_statement(struct statement *st, unsigned number);	/* U1 ... */
/* U1 ..., where it is about what larder thinks of it; false: it is not. */
bool health_statement(struct statement *st, struct server *s);
struct upstream *server_upstream(const struct server *s);	/* in the present configuration; or NULL */
void world_statement(struct statement *st);			/* all others */

/* Plays a file; false: play->story says why.  Takes all memory back either way. */
bool play_file(struct play *p, const char *path);
/* The same for text in memory. */
bool play_text(struct play *p, const char *name, const char *text);

#endif
