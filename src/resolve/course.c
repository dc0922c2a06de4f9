/* course.c - the one place that says in words where the time of a question went.
 *
 * Tries are told in the order in which they were begun, those alike and to the
 * same upstream as one, each with how long it took or was waited for.  Of a try
 * whose connection took longer than its answer that is said, too.
 */
#include "resolve/course.h"

#include "dns/text.h"
#include "resolve/flight_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define COURSE_TIME_MAX 32
#define COURSE_TOLD     5	/* parts that tries are told in; whoever tries more is told in numbers */
#define COURSE_IDLE_US  1000	/* less than that before the first try is not worth words */

/* ---- from a flight ---- */

static enum course_end course_end_of(const struct flight *f, unsigned i)
{
	const struct exchange *x = &f->tries[i];

	if (exchange_is_open(x))
		return f->given_up[i] ? COURSE_GIVEN_UP : COURSE_OPEN;
	switch ((enum exchange_event)x->ended_by) {
	case EXCHANGE_ANSWER:
	case EXCHANGE_ALIAS_OUT:
		return COURSE_ANSWER;
	case EXCHANGE_TRUNCATED:
		return COURSE_TRUNCATED;
	case EXCHANGE_FORGED:
		return COURSE_FORGED;
	case EXCHANGE_NO_EDNS:
		return COURSE_NO_EDNS;
	case EXCHANGE_FAILED:
		return COURSE_FAILED;
	case EXCHANGE_LOOP:
		return COURSE_LOOP;
	case EXCHANGE_LOST:
		return COURSE_LOST;
	case EXCHANGE_CASE:	/* ends none: it was us */
		break;
	}
	return COURSE_DROPPED;
}

static void course_read_try(const struct flight *f, unsigned i, bool for_target, struct course_try *out)
{
	const struct exchange *x = &f->tries[i];

	*out = (struct course_try){
		.end = course_end_of(f, i),
		.kind = x->kind,
		.started_us = x->started_us,
		.sent_us = x->send.sent_us,
		.connected_us = x->send.connected_us,
		.secured_us = x->send.secured_us,
		.first_us = x->send.first_us,
		.ended_us = x->ended_us,
		.resumed = x->send.resumed,
		.error = x->error,
		.rcode = x->rcode,
		.for_target = for_target,
	};
	snprintf(out->upstream, sizeof out->upstream, "%s", x->channel->upstream->conf.name);
}

void course_read(struct course *c, const struct flight *f)
{
	c->flew = f;
	c->try_count = 0;
	if (!f)
		return;
	c->began_us = f->began_us;
	c->hedge_us = f->h_us;
	c->parked = f->parked;
	c->was_parked = f->was_parked;
	c->unfinished = !f->over;
	for (bool for_target = false; f; f = f->chased, for_target = true)
		for (unsigned i = 0; i < f->try_count && c->try_count < 2 * FLIGHT_TRIES; i++)
			course_read_try(f, i, for_target, &c->tries[c->try_count++]);
}

const char *course_upstream(const struct flight *f, uint64_t now_us)
{
	const struct exchange *longest = NULL, *answered = NULL;
	uint64_t               most_us = 0;

	for (; f; f = f->chased)
		for (unsigned i = 0; i < f->try_count; i++) {
			const struct exchange *x = &f->tries[i];
			uint64_t               took_us = (x->ended_us ? x->ended_us : now_us) - x->started_us;

			if (course_end_of(f, i) == COURSE_ANSWER)
				answered = x;
			if (!longest || took_us > most_us) {
				longest = x;
				most_us = took_us;
			}
		}
	if (answered)
		longest = answered;
	return longest ? longest->channel->upstream->conf.name : NULL;
}

/* ---- in words ---- */

struct course_words {
	char  *out;
	size_t len;
};

__attribute__((format(printf, 2, 3)))
static void course_say(struct course_words *w, const char *format, ...)
{
	size_t  room = COURSE_WORDS_MAX - w->len;
	va_list ap;
	int     n;

	va_start(ap, format);
	n = vsnprintf(w->out + w->len, room, format, ap);
	va_end(ap);
	w->len += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}

/* A new part of what is said. */
static void course_go_on(struct course_words *w)
{
	if (w->len)
		course_say(w, "; ");
}

static const char *course_time(uint64_t us, char out[COURSE_TIME_MAX])
{
	double ms = (double)us / 1e3;

	if (us < 50)
		snprintf(out, COURSE_TIME_MAX, "0.1 ms");
	else if (us < 9950)
		snprintf(out, COURSE_TIME_MAX, "%.1f ms", ms);
	else if (us < 999500)
		snprintf(out, COURSE_TIME_MAX, "%.0f ms", ms);
	else
		snprintf(out, COURSE_TIME_MAX, "%.1f s", ms / 1e3);
	return out;
}

/* What one upstream did in one way, in one try or several: from the first one's start to the last one's end. */
struct course_part {
	const struct course_try *first, *last;
	unsigned                 tries;
	uint64_t                 us;
};

static bool course_is_silence(enum course_end end)
{
	return end == COURSE_OPEN || end == COURSE_GIVEN_UP;
}

static bool course_alike(const struct course_try *a, const struct course_try *b)
{
	bool same = a->end == b->end || (course_is_silence(a->end) && course_is_silence(b->end));

	return same && a->rcode == b->rcode && a->error == b->error && a->for_target == b->for_target &&
	       !strcmp(a->upstream, b->upstream);
}

static uint64_t course_end_us(const struct course_try *t, const struct course_client *client)
{
	return course_is_silence(t->end) || !t->ended_us ? client->answered_us : t->ended_us;
}

/* The parts in the order of their first tries; gives how many there are. */
static unsigned course_find_parts(const struct course *c, const struct course_client *client,
                                  struct course_part parts[2 * FLIGHT_TRIES])
{
	unsigned count = 0;

	for (unsigned i = 0; i < c->try_count; i++) {
		const struct course_try *t = &c->tries[i];
		struct course_part      *p = parts;

		if (t->end == COURSE_DROPPED)	/* our own doing, and no news about the upstream */
			continue;
		while (p < parts + count && !course_alike(p->first, t))
			p++;
		if (p == parts + count) {
			*p = (struct course_part){ .first = t };
			count++;
		}
		p->last = t;
		p->tries++;
		if (course_end_us(t, client) > p->first->started_us)
			p->us = course_end_us(t, client) - p->first->started_us;
	}
	return count;
}

/* Of a try that was answered: did its connection take longer than all else? */
static void course_say_stage(struct course_words *w, const struct course_part *p)
{
	const struct course_try *t = p->last;
	uint64_t                 connect_us, tls_us = 0;
	char                     took[COURSE_TIME_MAX];

	if (t->connected_us < t->started_us || !t->connected_us)
		return;
	connect_us = t->connected_us - t->started_us;
	if (t->secured_us > t->connected_us)
		tls_us = t->secured_us - t->connected_us;
	if (2 * (connect_us + tls_us) <= p->us)
		return;
	if (tls_us > connect_us)
		course_say(w, ", %s of it in the TLS handshake", course_time(tls_us, took));
	else
		course_say(w, ", %s of it connecting", course_time(connect_us, took));
}

static void course_say_part(struct course_words *w, const struct course_part *p)
{
	const char *who = p->first->upstream;
	char        took[COURSE_TIME_MAX], rcode[DNS_RCODE_TEXT_MAX];

	course_time(p->us, took);
	course_go_on(w);
	switch (p->first->end) {
	case COURSE_OPEN:
	case COURSE_GIVEN_UP:
		course_say(w, "%s did not answer within %s", who, took);
		break;
	case COURSE_ANSWER:
		course_say(w, "%s answered in %s", who, took);
		course_say_stage(w, p);
		break;
	case COURSE_TRUNCATED:
		course_say(w, "the answer of %s was cut short after %s", who, took);
		break;
	case COURSE_FORGED:
		course_say(w, "messages came as if from %s that do not match, for %s", who, took);
		break;
	case COURSE_NO_EDNS:
		course_say(w, "%s rejected EDNS after %s", who, took);
		break;
	case COURSE_FAILED:
		course_say(w, "%s said %s after %s", who, dns_rcode_to_text(p->first->rcode, rcode), took);
		break;
	case COURSE_LOOP:
		course_say(w, "%s gave aliases that lead in a circle, after %s", who, took);
		break;
	case COURSE_LOST:
		course_say(w, "no reply could come from %s (%s) after %s", who, strerror(-p->first->error), took);
		break;
	case COURSE_DROPPED:
		break;
	}
	if (p->tries > 1)
		course_say(w, " (%u tries)", p->tries);
	if (p->first->for_target)
		course_say(w, ", asked for what the alias leads to");
}

/* The time before anybody was asked. */
static void course_say_begin(struct course_words *w, const struct course *c, const struct course_client *client)
{
	uint64_t first_us = c->try_count ? c->tries[0].started_us : client->answered_us;
	bool     idle = first_us > c->began_us + COURSE_IDLE_US;
	char     took[COURSE_TIME_MAX];

	if (c->began_us < client->asked_us)
		course_say(w, "joined a question that was under way for %s already",
		           course_time(client->asked_us - c->began_us, took));
	if (!c->parked && !c->was_parked && (!c->try_count || !idle))
		return;
	course_go_on(w);
	if (c->parked)
		course_say(w, "no upstream of the route works");
	else if (idle)
		course_say(w, c->was_parked ? "no upstream of the route worked for %s" :
		           "%s passed before anybody was asked", course_time(first_us - c->began_us, took));
	else
		course_say(w, "for a while no upstream of the route worked");
}

static void course_say_tries(struct course_words *w, const struct course *c, const struct course_client *client)
{
	struct course_part parts[2 * FLIGHT_TRIES];
	unsigned           count = course_find_parts(c, client, parts);

	for (unsigned i = 0; i < count && i < COURSE_TOLD; i++)
		course_say_part(w, &parts[i]);
	if (count > COURSE_TOLD)
		course_say(w, "; and so on: %u tries in all", c->try_count);
}

static void course_tell_quick(struct course_words *w, enum stats_outcome outcome)
{
	switch (outcome) {
	case OUTCOME_HIT:
		course_say(w, "it was in the cache, and no upstream was asked");
		return;
	case OUTCOME_STALE:
		course_say(w, "stale data from the cache, without asking anybody");
		return;
	case OUTCOME_LOCAL:
		course_say(w, "larder answers this name by itself");
		return;
	case OUTCOME_REFUSED:
		course_say(w, "refused, without asking anybody");
		return;
	case OUTCOME_MISS:
	case OUTCOME_JOINED:
	case OUTCOMES:
		break;
	}
	course_say(w, "nobody could be asked");
}

const char *course_tell(const struct course *c, const struct course_client *client, char out[COURSE_WORDS_MAX])
{
	struct course_words w = { .out = out };

	*out = '\0';
	if (!c->flew) {
		course_tell_quick(&w, client->outcome);
		return out;
	}
	course_say_begin(&w, c, client);
	course_say_tries(&w, c, client);
	if (client->outcome == OUTCOME_STALE || c->unfinished)
		course_say(&w, "%s%s", w.len ? "; " : "", client->outcome == OUTCOME_STALE ?
		           "then stale data was given" : "then the client's time was over");
	else if (!w.len)
		course_say(&w, "nobody could be asked");
	return out;
}
