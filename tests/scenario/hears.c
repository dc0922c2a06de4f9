/* hears.c - `C1 hears ...`: the next reply of a client, held against what is expected.
 *
 * What is not said is expected to be absent: records, flags AA, TC and AD, an
 * extended error.
 */
#include "play.h"

#include "dns/message.h"
#include "dns/rrtype.h"

#include <stdlib.h>
#include <string.h>

struct wanted {
	struct statement *st;
	struct asker     *asker;
	bool              has_about;
	struct dns_name   about;
	uint16_t          about_type;		/* 0: any */
	unsigned          rcode;
	uint16_t          flags;		/* of AA, TC, AD */
	bool              has_ede, any_ede, has_keepalive;
	uint64_t          ede, keepalive;
	struct range      size;
	bool              has_when;
	struct range      when_us;		/* from the statement on */
	struct range      took_us;		/* from its query to the reply */
	uint64_t          from_us, times;
	bool              open_ended;		/* more records may follow: "..." */
	unsigned          line_count;
	const char       *lines[STATEMENT_LINES];
};

/* ---- reading ---- */

static bool wanted_about(struct wanted *x, unsigned *i)
{
	const struct words *w = &x->st->words;

	if (*i + 1 >= w->count || dns_name_from_text(w->at[*i + 1], &x->about) < 0)
		return false;
	x->has_about = true;
	*i += 2;
	if (*i < w->count && dns_rrtype_from_text(w->at[*i], &x->about_type) == 0)
		++*i;
	else
		x->about_type = 0;
	return true;
}

/* A word with a value behind it.  False: not one of these, or a bad value. */
static bool wanted_pair(struct wanted *x, const char *word, const char *value)
{
	if (!strcmp(word, "within")) {
		x->has_when = true;
		x->when_us.min = 0;
		return script_duration(value, &x->when_us.max);
	}
	if (!strcmp(word, "after")) {
		x->has_when = true;
		return script_duration_range(value, &x->when_us);
	}
	if (!strcmp(word, "took"))
		return script_duration_range(value, &x->took_us);
	if (!strcmp(word, "ede")) {
		x->has_ede = true;
		x->any_ede = !strcmp(value, "*");
		return x->any_ede || script_number(value, &x->ede);
	}
	if (!strcmp(word, "keepalive")) {
		x->has_keepalive = true;
		return script_number(value, &x->keepalive);
	}
	if (!strcmp(word, "size"))
		return script_number_range(value, &x->size);
	return false;
}

/* Gives false when word i is not understood; moves i on. */
static bool wanted_word(struct wanted *x, unsigned *i)
{
	const struct words *w = &x->st->words;
	const char         *word = w->at[*i];
	uint16_t            flag = flag_of(word) & (DNS_AA | DNS_TC | DNS_AD);

	if (!strcmp(word, "about"))
		return wanted_about(x, i);
	if (words_is(w, *i + 1, "times") && script_number(word, &x->times)) {
		*i += 2;
		return true;
	}
	if (*i + 1 < w->count && wanted_pair(x, word, w->at[*i + 1])) {
		*i += 2;
		return true;
	}
	++*i;
	x->flags |= flag;
	return flag || rcode_of(word, &x->rcode);
}

static bool wanted_read(struct wanted *x)
{
	struct statement *st = x->st;
	unsigned          count;

	for (unsigned i = 2; i < st->words.count;) {
		unsigned at = i;

		if (!wanted_word(x, &i)) {
			statement_wrong(st, at, "not understood in `hears`");
			return false;
		}
	}
	count = statement_lines(st, x->lines);
	for (unsigned i = 0; i < count; i++) {
		struct words w;

		if (words_split(&w, x->lines[i], st->n) && w.count == 1 && words_is(&w, 0, "..."))
			x->open_ended = true;
		else
			x->lines[x->line_count++] = x->lines[i];
	}
	return true;
}

/* ---- comparing ---- */

static void wanted_fail(const struct wanted *x, const struct packet *got, const char *why)
{
	char text[STORY_WHY - 512] = "";

	packet_print(got, text, sizeof text);
	story_fail(x->asker->world->story, "C%u hears something else (%s):\n    %s", x->asker->number, why, text);
}

static const char *wanted_compare_records(const struct wanted *x, const struct packet *got)
{
	if (got->record_count < x->line_count)
		return "records are missing";
	if (got->record_count > x->line_count && !x->open_ended)
		return "there are more records";
	for (unsigned i = 0; i < x->line_count; i++) {
		struct words  w;
		struct record rec;
		const char   *wrong;
		bool          equal;

		if (!words_split(&w, x->lines[i], x->st->n))
			return "the record expected is too long a line";
		wrong = record_parse(&w, 0, &got->qname, &rec);
		if (wrong)
			return wrong;
		equal = record_equal(&rec, &got->records[i]);
		record_done(&rec);
		if (!equal)
			return x->lines[i] + strspn(x->lines[i], " \t");
	}
	return NULL;
}

static void wanted_compare(const struct wanted *x, const struct heard *h)
{
	const struct packet *got = &h->packet;
	uint64_t             after_us = h->at_us > x->from_us ? h->at_us - x->from_us : 0;
	uint64_t             took_us = h->at_us - h->ask->at_us;
	const char          *why = NULL;

	if (got->rcode != x->rcode)
		why = rcode_name(x->rcode);
	else if ((got->flags & (DNS_AA | DNS_TC | DNS_AD)) != x->flags)
		why = "flags AA, TC, AD";
	else if (x->has_ede ? !got->ede_count || (!x->any_ede && got->ede[0] != x->ede) : got->ede_count > 0)
		why = x->has_ede ? "another extended error, or none" : "no extended error was expected";
	else if (got->ede_count > 1)
		why = "several extended errors";
	else if (x->has_keepalive && (!got->has_keepalive || got->keepalive_100ms != x->keepalive))
		why = "keepalive";
	else if (got->len < x->size.min || got->len > x->size.max)
		why = "another size";
	else if (x->has_when && (after_us < x->when_us.min || after_us > x->when_us.max ||
	                         (x->when_us.min && h->at_us < x->from_us)))
		why = "at another time";
	else if (took_us < x->took_us.min || took_us > x->took_us.max)
		why = "after another while";
	else
		why = wanted_compare_records(x, got);
	if (!why)
		return;
	if (x->has_when && !strcmp(why, "at another time"))
		story_fail(x->asker->world->story, "C%u hears it %llu us from here", x->asker->number,
		           (unsigned long long)after_us);
	else if (!strcmp(why, "after another while"))
		story_fail(x->asker->world->story, "C%u has waited %llu us for it", x->asker->number,
		           (unsigned long long)took_us);
	else
		wanted_fail(x, got, why);
}

/* ---- waiting ---- */

static struct heard *wanted_find(const struct wanted *x)
{
	for (struct list *n = x->asker->inbox.next; n != &x->asker->inbox; n = n->next) {
		struct heard        *h = list_entry(n, struct heard, node);
		const struct packet *p = &h->packet;

		if (!x->has_about || ((!x->about_type || x->about_type == p->qtype) &&
		                      dns_name_equal(p->qname.octets, p->qname.len, x->about.octets, x->about.len)))
			return h;
	}
	return NULL;
}

static bool wanted_is_here(void *arg)
{
	return wanted_find(arg);
}

static void wanted_wait(struct wanted *x)
{
	struct world *w = x->asker->world;
	struct heard *h;

	if (x->has_when)
		world_run(w, x->from_us + x->when_us.max, wanted_is_here, x);
	h = wanted_find(x);
	if (!h) {
		story_fail(w->story, "C%u has heard nothing%s", x->asker->number,
		           list_empty(&x->asker->inbox) ? "" : " about this");
		return;
	}
	wanted_compare(x, h);
	heard_forget(h);
}

/* C1 hears nothing [for D] */
static void hears_nothing(struct statement *st, struct asker *c)
{
	char     text[STORY_WHY - 512] = "";
	uint64_t us;

	if (words_is(&st->words, 3, "for")) {
		if (!statement_duration(st, 4, &us))
			return;
		world_run(c->world, c->world->mono_us + us, NULL, NULL);
	} else if (st->words.count > 3) {
		statement_wrong(st, 3, "`hears nothing` or `hears nothing for DURATION`");
		return;
	}
	if (list_empty(&c->inbox))
		return;
	packet_print(&list_entry(c->inbox.next, struct heard, node)->packet, text, sizeof text);
	story_fail(c->world->story, "C%u has heard something:\n    %s", c->number, text);
}

void hears_statement(struct statement *st, struct asker *c)
{
	struct wanted *x;

	if (words_is(&st->words, 2, "nothing")) {
		hears_nothing(st, c);
		return;
	}
	if (words_is(&st->words, 2, "anything")) {
		while (!list_empty(&c->inbox))
			heard_forget(list_entry(c->inbox.next, struct heard, node));
		return;
	}
	x = calloc(1, sizeof *x);
	if (!x)
		abort();
	x->st = st;
	x->asker = c;
	x->size.max = x->took_us.max = UINT64_MAX;
	x->times = 1;
	x->from_us = c->world->mono_us;
	if (wanted_read(x))
		for (uint64_t i = 0; i < x->times && !st->play->story.failed; i++)
			wanted_wait(x);
	free(x);
}
