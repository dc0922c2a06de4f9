/* expectations.c - scenarios that must fail: each kind of expectation, not met.
 *
 * A scenario that could not fail would prove nothing.  Each row is played
 * behind the same beginning; it must fail, and for the reason given.  The first
 * rows pass, so that the beginning itself is known to be good.
 */
#include "play.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEGINNING \
	"config\n" \
	"    forward: [U1, U2]\n" \
	"    allow: [127.0.0.0/8]\n" \
	"U1 takes 10ms\n" \
	"U1 answers * A: @ 300 A 192.0.2.1\n" \
	"U1 answers gone.example * NXDOMAIN: authority example 60 SOA . . 1 2 3 4 60\n" \
	"U1 loses lost.example *\n" \
	"U2 is silent\n"
#define ASKED  BEGINNING "C1 asks www.example A opt\n"
#define ANSWER ASKED "C1 hears after 10ms: www.example 300 A 192.0.2.1\n"
#define SEEN   ANSWER "U1 got www.example A by udp\n"

struct row {
	const char *text;
	const char *why;		/* part of the reason; NULL: it passes */
};

static const struct row rows[] = {
	{ SEEN, NULL },
	{ SEEN "C1 asks www.example A\nC1 hears: www.example 300 A 192.0.2.1\noutcome hit 1\n", NULL },

	/* replies */
	{ ASKED "C1 hears after 10ms\n", "there are more records" },
	{ ASKED "C1 hears after 10ms: www.example 301 A 192.0.2.1\n", "www.example 301 A 192.0.2.1" },
	{ ASKED "C1 hears after 10ms: www.example 301..400 A 192.0.2.1\n", "301..400" },
	{ ASKED "C1 hears after 10ms: www.example 300 A 192.0.2.2\n", "192.0.2.2" },
	{ ASKED "C1 hears after 10ms: WWW.example 300 A 192.0.2.1\n", "WWW" },
	{ ASKED "C1 hears after 10ms: authority www.example 300 A 192.0.2.1\n", "authority" },
	{ ASKED "C1 hears after 10ms\n    @ 300 A 192.0.2.1\n    @ 300 A 192.0.2.2\n", "records are missing" },
	{ ASKED "C1 hears NXDOMAIN after 10ms: @ 300 A 192.0.2.1\n", "NXDOMAIN" },
	{ ASKED "C1 hears tc after 10ms: @ 300 A 192.0.2.1\n", "flags" },
	{ ASKED "C1 hears ede 22 after 10ms: @ 300 A 192.0.2.1\n", "extended error" },
	{ ASKED "C1 hears keepalive 100 after 10ms: @ 300 A 192.0.2.1\n", "keepalive" },
	{ ASKED "C1 hears size ..40 after 10ms: @ 300 A 192.0.2.1\n", "size" },
	{ ASKED "C1 hears after 9ms: @ 300 A 192.0.2.1\n", "heard nothing" },
	{ ASKED "C1 hears after 11ms: @ 300 A 192.0.2.1\n", "10000 us from here" },
	{ ASKED "C1 hears after 11ms..20ms: @ 300 A 192.0.2.1\n", "10000 us from here" },
	{ ASKED "C1 hears took 11ms..20ms after 10ms: @ 300 A 192.0.2.1\n", "waited 10000 us" },
	{ ASKED "C1 hears within 9ms: @ 300 A 192.0.2.1\n", "heard nothing" },
	{ ASKED "C1 hears: @ 300 A 192.0.2.1\n", "heard nothing" },
	{ ASKED "C1 hears about mail.example within 1s\n", "heard nothing about this" },
	{ ASKED "C1 hears 2 times within 10ms: @ 300 A 192.0.2.1\n", "heard nothing" },
	{ ASKED "C1 hears nothing for 10ms\n", "has heard something" },
	{ ASKED "after 10ms\nU1 got anything\n", "no line tells of" },
	{ ASKED "U1 got anything\n", "still waits for 1" },
	{ SEEN "C1 asks www.example A no-rd opt\nC1 hears REFUSED\n", "no extended error was expected" },
	{ SEEN "C1 sends 00\n", "have been ignored" },
	{ SEEN "C1 sends 00\nC1 is ignored 2 times\n", "1 queries of C1 have been ignored" },
	{ SEEN "C1 sends 00 by tcp\n", "closed on" },
	{ SEEN "C1 is closed on\n", "has not been closed on" },

	/* questions at upstreams */
	{ ANSWER, "no line tells of" },
	{ ANSWER "U1 got nothing\n", "should have got nothing" },
	{ ANSWER "U1 got mail.example A\n", "not this one" },
	{ ANSWER "U1 got www.example AAAA\n", "not this one" },
	{ ANSWER "U1 got www.example A by tcp\n", "not this one" },
	{ ANSWER "U1 got www.example A do\n", "not this one" },
	{ ANSWER "U1 got www.example A cd\n", "not this one" },
	{ ANSWER "U1 got www.example A no-opt\n", "not this one" },
	{ ANSWER "U1 got www.example A mixed\n", "not this one" },
	{ ANSWER "U1 got www.example A at 1ms..2ms\n", "not this one" },
	{ ANSWER "U1 got 2 queries\n", "another number" },
	{ ANSWER "U1 got 2..5 queries\n", "another number" },
	{ ANSWER "U1 got 0 queries www.example A\n", "another number" },
	{ SEEN "U1 got www.example A\n", "there is nothing" },
	{ SEEN "U1 has 1 connections\n", "0 connections" },
	{ SEEN "U1 counter sent 2\n", "1 it is" },
	{ SEEN "U1 state open\n", "good it is" },
	{ SEEN "U1 reason refused\n", "silent it is" },
	{ SEEN "U1 turned open 1\n", "0 it is" },
	{ SEEN "U1 p50 11ms..20ms\n", "us it is" },
	{ SEEN "U1 probes 1\n", "0 it is" },
	{ SEEN "U1 is ordered down\nU1 state good\n", "open it is" },
	{ SEEN "U1 begins anew\nU1 epoch 0\n", "U1 epoch" },
	{ SEEN "U1 answers * A chance 50: @ 0 A 192.0.2.1\nrepeat 40\n    C1 asks x$n.example A\n"
	       "rest\nU1 got anything\ncache entries 41\nC1 hears anything\n", "entries in the cache" },
	{ SEEN "U1 answers d.example A counting-down: @ 300 A 192.0.2.1\nC1 asks d.example A\n"
	       "C1 hears within 1s: @ 300 A 192.0.2.1\nflush all\nafter 2s\nC1 asks d.example A\n"
	       "C1 hears within 1s: @ 300 A 192.0.2.1\n", "@ 300 A" },
	{ SEEN "refuses \"thraeds\"\n    threads: 1\n", "accepts this configuration" },
	{ SEEN "refuses \"mice\"\n    thraeds: 1\n", "for another reason" },
	{ SEEN "U1 forgets\nC1 asks new.example A\n", "nothing says how it replies" },

	/* larder */
	{ SEEN "counter sends 2\n", "1 it is" },
	{ SEEN "outcome miss 0\n", "1 it is" },
	{ SEEN "cache entries 2\n", "1 it is" },
	{ SEEN "cache negative 1\n", "0 it is" },
	{ SEEN "flush all drops 2\n", "1 it is" },
	{ SEEN "flights 1\n", "0 it is" },
	{ SEEN "waiting 1\n", "0 it is" },

	/* lines that mean nothing */
	{ "# nothing\n", "nothing happens" },
	{ "C1 asks www.example A\n", "there is no `config` yet" },
	{ "config\n    thraeds: 1\n", "did you mean \"threads\"" },
	{ BEGINNING "C1 asks www.example A by pigeon\n", "by: not understood" },
	{ BEGINNING "C1 asks ..example A\n", "no such name or type" },
	{ BEGINNING "C1 hears NOERRROR\n", "not understood in `hears`" },
	{ BEGINNING "U1 answers www.example A: @ 300 A 192.0.2.300\n", "RDATA do not fit" },
	{ BEGINNING "U1 answers www.example A: 300 A 192.0.2.3\n", "the TTL is no number" },
	{ BEGINNING "U1 answers www.example A quickly\n", "not understood" },
	{ BEGINNING "U1 got www.example A quickly\n", "not understood in `got`" },
	{ BEGINNING "U1 is asleep\n", "silent" },
	{ BEGINNING "after tea\n", "a duration" },
	{ BEGINNING "repeat often\n    after 1s\n", "a number" },
	{ BEGINNING "counter sheep 1\n", "nothing of this name" },
	{ BEGINNING "once upon a time\n", "no statement begins like this" },
};

static bool row_play(unsigned i)
{
	const struct row *row = &rows[i];
	struct play      *p = malloc(sizeof *p);
	bool              passed, good;

	if (!p)
		abort();
	passed = play_text(p, "row", row->text);
	good = row->why ? !passed && strstr(p->story.why, row->why) : passed;
	if (!good)
		printf("row %u: %s, but should %s%s\n%s", i, passed ? "passes" : p->story.why,
		       row->why ? "fail: " : "pass", row->why ? row->why : "", row->text);
	free(p);
	return good;
}

int main(void)
{
	unsigned count = sizeof rows / sizeof *rows, passed = 0;

	log_set_level(LOG_LEVEL_ERROR);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned i = 0; i < count; i++)
		passed += row_play(i);
	printf("%u passed, %u failed\n", passed, count - passed);
	return passed == count ? EXIT_SUCCESS : EXIT_FAILURE;
}
