/* query_log.c - from events to lines.
 *
 *	main thread: watcher --ring--> writer: log_bulk()
 *
 * The writer's state is on the heap, and left there should it hang in a write
 * when larderd stops.
 */
#include "daemon/query_log.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/ring.h"
#include "daemon/events.h"
#include "dns/rrtype.h"
#include "dns/text.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define QUERY_LOG_QUOTA  128		/* lines in a turn: 25,000 a second */
#define QUERY_LOG_SAY_US 1000000	/* how often it is said that some are missing */
#define QUERY_LOG_END_S  1

struct query_writer {
	struct ring     *ring;
	sem_t            work;
	pthread_t        thread;
	_Atomic bool     over;
	_Atomic uint64_t lost;		/* the main thread's: queries that were not handed over … */
	_Atomic uint64_t said;		/* … the writer's: of how many that was said */
	uint64_t         said_us;
};

/* ---- a line ---- */

/* A value of logfmt: quoted when it must be. */
static const char *query_log_value(const char *text, char *out, size_t size)
{
	size_t n = 0;

	if (*text && !strpbrk(text, " \"="))
		return text;
	out[n++] = '"';
	for (; *text && n + 4 < size; text++) {
		if (*text == '"' || *text == '\\')
			out[n++] = '\\';
		out[n++] = *text;
	}
	out[n++] = '"';
	out[n] = '\0';
	return out;
}

/* What the fields of a line are written to. */
struct query_texts {
	char name[DNS_NAME_TEXT_MAX], type[DNS_RRTYPE_TEXT_MAX], rcode[DNS_RCODE_TEXT_MAX], client[ADDR_TEXT_MAX];
	char duration[16], upstream[EVENT_UPSTREAM_MAX + 1];
};

enum { FIELD_CLIENT, FIELD_TRANSPORT, FIELD_TYPE, FIELD_RCODE, FIELD_OUTCOME, FIELD_DURATION, FIELD_UPSTREAM, FIELD_NAME,
       FIELDS };

static void query_log_fields(const struct event *e, struct query_texts *t, struct log_field fields[FIELDS + 1])
{
	static const char *const transports[] = { [NET_UDP] = "udp", [NET_TCP] = "tcp" };
	const char              *upstream = event_upstream(e, t->upstream);

	strcpy(t->name, "-");
	if (e->name_len)
		dns_name_to_text(event_name(e), e->name_len, t->name);
	snprintf(t->duration, sizeof t->duration, "%u", (unsigned)e->duration_us);
	fields[FIELD_CLIENT] = (struct log_field){ "LARDER_CLIENT", addr_format_host(&e->client, t->client) };
	fields[FIELD_TRANSPORT] = (struct log_field){ "LARDER_TRANSPORT", transports[e->proto] };
	fields[FIELD_TYPE] = (struct log_field){ "LARDER_TYPE",
		                                 e->name_len ? dns_rrtype_to_text(e->qtype, t->type) : "-" };
	fields[FIELD_RCODE] = (struct log_field){ "LARDER_RCODE", dns_rcode_to_text(e->rcode, t->rcode) };
	fields[FIELD_OUTCOME] = (struct log_field){ "LARDER_OUTCOME", stats_outcome_rows[e->outcome].name };
	fields[FIELD_DURATION] = (struct log_field){ "LARDER_DURATION_US", t->duration };
	fields[FIELD_UPSTREAM] = (struct log_field){ "LARDER_UPSTREAM", upstream ? upstream : "-" };
	fields[FIELD_NAME] = (struct log_field){ "LARDER_NAME", t->name };
	fields[FIELDS] = (struct log_field){ NULL, NULL };
}

static const char *query_log_write(const struct log_field *fields, char out[QUERY_LOG_LINE_MAX])
{
	char name[DNS_NAME_TEXT_MAX + 8], upstream[2 * EVENT_UPSTREAM_MAX + 8];

	snprintf(out, QUERY_LOG_LINE_MAX,
	         "query client=%s transport=%s type=%s rcode=%s outcome=%s duration_us=%s upstream=%s name=%s",
	         fields[FIELD_CLIENT].value, fields[FIELD_TRANSPORT].value, fields[FIELD_TYPE].value,
	         fields[FIELD_RCODE].value, fields[FIELD_OUTCOME].value, fields[FIELD_DURATION].value,
	         query_log_value(fields[FIELD_UPSTREAM].value, upstream, sizeof upstream),
	         query_log_value(fields[FIELD_NAME].value, name, sizeof name));
	return out;
}

const char *query_log_line(const struct event *e, char out[QUERY_LOG_LINE_MAX])
{
	struct query_texts texts;
	struct log_field   fields[FIELDS + 1];

	query_log_fields(e, &texts, fields);
	return query_log_write(fields, out);
}

/* ---- the writer's thread ---- */

static uint64_t query_log_lost(const struct query_writer *w)
{
	return atomic_load_explicit(&w->lost, memory_order_relaxed) + ring_dropped(w->ring);
}

static void query_log_say_lost(struct query_writer *w)
{
	uint64_t lost = query_log_lost(w), said = atomic_load_explicit(&w->said, memory_order_relaxed);
	uint64_t now_us = clock_mono_us(clock_system());

	if (lost == said || now_us - w->said_us < QUERY_LOG_SAY_US)
		return;
	if (!log_bulk(LOG_LEVEL_WARNING, NULL, "query log: %llu queries came too fast and were left out",
	              (unsigned long long)(lost - said)))
		return;
	w->said_us = now_us;
	atomic_store_explicit(&w->said, lost, memory_order_relaxed);
}

/* Queries that come while it waits for room fill the ring, and then are counted.  False: larderd stops first. */
static bool query_log_say(const struct query_writer *w, const void *event)
{
	struct query_texts texts;
	struct log_field   fields[FIELDS + 1];
	char               line[QUERY_LOG_LINE_MAX];

	query_log_fields(event, &texts, fields);
	query_log_write(fields, line);
	while (!log_bulk(LOG_LEVEL_INFO, fields, "%s", line))
		if (atomic_load(&w->over))
			return false;
	return true;
}

static void query_log_write_all(struct query_writer *w)
{
	size_t len;
	void  *e;

	while ((e = ring_read(w->ring, &len))) {
		if (!query_log_say(w, e))
			return;
		ring_release(w->ring);
	}
	query_log_say_lost(w);
}

static void *query_log_main(void *arg)
{
	struct query_writer *w = arg;

	while (!atomic_load(&w->over)) {
		while (sem_wait(&w->work) < 0 && errno == EINTR)
			;
		query_log_write_all(w);
	}
	query_log_write_all(w);
	return NULL;
}

static void query_log_free_writer(struct query_writer *w)
{
	sem_destroy(&w->work);
	ring_free(w->ring);
	free(w);
}

static struct query_writer *query_log_new_writer(void)
{
	struct query_writer *w = calloc(1, sizeof *w);
	sigset_t             all, old;
	int                  err;

	if (!w)
		return NULL;
	sem_init(&w->work, 0, 0);
	w->ring = ring_new(EVENT_RING);
	sigfillset(&all);		/* signals are the main thread's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = w->ring ? pthread_create(&w->thread, NULL, query_log_main, w) : ENOMEM;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!err)
		return w;
	query_log_free_writer(w);
	return NULL;
}

/* ---- the main thread ---- */

static void query_log_lose(struct query_log *q, uint64_t n)
{
	stats_bump(&q->writer->lost, n);
}

static void query_log_on_event(struct control_watcher *watcher, const struct event *e)
{
	struct query_log *q = list_entry(watcher, struct query_log, watcher);
	size_t            size = event_size(e);
	void             *copy;

	if (!q->quota) {
		query_log_lose(q, 1);
		return;
	}
	copy = ring_write(q->writer->ring, size);
	if (!copy)
		return;
	memcpy(copy, e, size);
	q->quota--;
	q->any = true;
}

static void query_log_on_turn(struct control_watcher *watcher, uint64_t left_out)
{
	struct query_log    *q = list_entry(watcher, struct query_log, watcher);
	struct query_writer *w = q->writer;
	int                  waiting = 0;

	if (left_out)
		query_log_lose(q, left_out);
	q->quota = QUERY_LOG_QUOTA;
	if (!q->any && query_log_lost(w) == atomic_load_explicit(&w->said, memory_order_relaxed))
		return;
	q->any = false;
	ring_publish(w->ring);
	if (sem_getvalue(&w->work, &waiting) == 0 && waiting < 1)
		sem_post(&w->work);
}

void query_log_init(struct query_log *q, struct events *events)
{
	*q = (struct query_log){ .events = events,
		                 .watcher = { .event = query_log_on_event, .turn = query_log_on_turn } };
}

int query_log_switch(struct query_log *q, bool on)
{
	int err;

	if (on == q->on)
		return 0;
	if (!on) {
		events_unwatch(q->events, &q->watcher);
		q->on = false;
		return 0;
	}
	if (!q->writer)
		q->writer = query_log_new_writer();
	q->quota = QUERY_LOG_QUOTA;
	err = q->writer ? events_watch_own(q->events, &q->watcher) : -ENOMEM;
	q->on = !err;
	return err;
}

void query_log_close(struct query_log *q)
{
	struct query_writer *w = q->writer;
	struct timespec      until;

	if (!w)
		return;
	ring_publish(w->ring);
	atomic_store(&w->over, true);
	sem_post(&w->work);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += QUERY_LOG_END_S;
	if (pthread_timedjoin_np(w->thread, NULL, &until) == 0)
		query_log_free_writer(w);
	q->writer = NULL;
}
