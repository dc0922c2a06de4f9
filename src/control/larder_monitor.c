/* larder_monitor.c - io.larder: queries as they are answered, to whoever watches.
 *
 * What fits the watcher's filter lies in a queue until the next reply.  A reply
 * holds many, and there is at most one in a turn, so that neither JSON nor the
 * watcher can take more than a small part of the main thread.  What comes faster,
 * or while the watcher does not read, is counted and forgotten.
 */
#include "base/clock.h"
#include "base/ring.h"
#include "control/call.h"
#include "control/control.h"
#include "control/reply.h"
#include "dns/rrtype.h"
#include "dns/text.h"
#include "resolve/event.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MONITOR_QUEUE   262144u	/* octets: some 3,000 events */
#define MONITOR_PIECE   128	/* events in a reply: half a millisecond of work */
#define MONITOR_SIGN_US 2000000	/* after so long with nothing to tell, that is told */

/* What a watcher wants; what is not set fits everything. */
struct monitor_filter {
	struct dns_name    name;	/* len 0: not set */
	bool               subtree;	/* or below it */
	uint16_t           qtype;	/* 0: not set */
	int                rcode, outcome;	/* below 0: not set */
	struct addr_prefix client;	/* family 0: not set */
	uint64_t           slower_us;
};

struct monitor {
	struct call_stream        stream;
	struct control_watcher    watcher;
	const struct control_ops *ops;		/* borrowed */
	struct monitor_filter     filter;
	struct ring              *queue;	/* both ends are ours */
	uint64_t                  overrun;	/* of the queue, as told last */
	uint64_t                  left_out;	/* before us, and not told yet */
	uint64_t                  said_us;
	bool                      waiting, due;	/* is something queued? may it be said? */
};

/* ---- which ---- */

static bool monitor_fits_name(const struct monitor_filter *f, const struct event *e)
{
	const uint8_t *name = event_name(e);

	if (f->subtree)
		return dns_name_below(name, e->name_len, f->name.octets, f->name.len);
	return dns_name_equal(name, e->name_len, f->name.octets, f->name.len);
}

static bool monitor_fits(const struct monitor_filter *f, const struct event *e)
{
	if (e->duration_us < f->slower_us || (f->outcome >= 0 && e->outcome != f->outcome) ||
	    (f->rcode >= 0 && e->rcode != f->rcode))
		return false;
	if ((f->qtype || f->name.len) && !e->name_len)
		return false;
	if ((f->qtype && e->qtype != f->qtype) || (f->name.len && !monitor_fits_name(f, e)))
		return false;
	return !f->client.family || addr_prefix_match(&f->client, &e->client);
}

static int monitor_outcome(const char *text)
{
	int o = 0;

	while (o < OUTCOMES && strcmp(stats_outcome_rows[o].name, text))
		o++;
	return o;
}

/* NULL, or the parameter that makes no sense. */
static const char *monitor_read_filter(const json_t *p, struct monitor_filter *f)
{
	const char   *name = json_string_value(json_object_get(p, "name"));
	const char   *type = json_string_value(json_object_get(p, "type"));
	const char   *rcode = json_string_value(json_object_get(p, "rcode"));
	const char   *outcome = json_string_value(json_object_get(p, "outcome"));
	const char   *client = json_string_value(json_object_get(p, "client"));
	json_int_t    slower_us = json_integer_value(json_object_get(p, "slower_us"));
	uint16_t      code = 0;

	*f = (struct monitor_filter){ .subtree = json_is_true(json_object_get(p, "subtree")), .rcode = -1,
		                      .outcome = outcome ? monitor_outcome(outcome) : -1 };
	if (name && dns_name_from_text(name, &f->name))
		return "name";
	dns_name_lower(f->name.octets, f->name.len);
	if (f->subtree && !name)
		return "subtree";
	if (type && dns_rrtype_from_text(type, &f->qtype))
		return "type";
	if (rcode && dns_rcode_from_text(rcode, &code))
		return "rcode";
	if (rcode)
		f->rcode = code;
	if (f->outcome == OUTCOMES)
		return "outcome";
	if (client && addr_prefix_parse(client, &f->client))
		return "client";
	if (slower_us < 0)
		return "slower_us";
	f->slower_us = (uint64_t)slower_us;
	return NULL;
}

/* ---- from the workers ---- */

static void monitor_on_event(struct control_watcher *w, const struct event *e)
{
	struct monitor *m = list_entry(w, struct monitor, watcher);
	size_t          size = event_size(e);
	void           *copy = monitor_fits(&m->filter, e) ? ring_write(m->queue, size) : NULL;

	if (!copy)
		return;
	memcpy(copy, e, size);
	m->waiting = true;
}

static void monitor_on_turn(struct control_watcher *w, uint64_t left_out)
{
	struct monitor *m = list_entry(w, struct monitor, watcher);

	ring_publish(m->queue);
	m->left_out += left_out;
	if (!m->waiting && !m->left_out && clock_mono_us(clock_system()) - m->said_us < MONITOR_SIGN_US)
		return;
	m->due = true;
	if (m->stream.wake)
		m->stream.wake(m->stream.wake_arg);	/* may be the end of m */
}

/* ---- to the watcher ---- */

static json_t *monitor_event(const struct event *e)
{
	static const char *const transports[] = { [NET_UDP] = "udp", [NET_TCP] = "tcp" };
	char name[DNS_NAME_TEXT_MAX], type[DNS_RRTYPE_TEXT_MAX], rcode[DNS_RCODE_TEXT_MAX], client[ADDR_TEXT_MAX];
	char upstream[EVENT_UPSTREAM_MAX + 1];

	if (e->name_len)
		dns_name_to_text(event_name(e), e->name_len, name);
	return json_pack("{s:I, s:s, s:i, s:s, s:o, s:o, s:s, s:s, s:I, s:o}",
	                 "time_us", (json_int_t)e->time_us,
	                 "client", addr_format_host(&e->client, client),
	                 "port", (int)addr_port(&e->client),
	                 "transport", transports[e->proto],
	                 "name", reply_text(e->name_len ? name : NULL),
	                 "type", reply_text(e->name_len ? dns_rrtype_to_text(e->qtype, type) : NULL),
	                 "rcode", dns_rcode_to_text(e->rcode, rcode),
	                 "outcome", stats_outcome_rows[e->outcome].name,
	                 "duration_us", (json_int_t)e->duration_us,
	                 "upstream", reply_text(event_upstream(e, upstream)));
}

/* The next of the queue; NULL without memory. */
static json_t *monitor_take(struct monitor *m)
{
	json_t             *list = json_array();
	const struct event *e = NULL;
	size_t              len;

	for (unsigned i = 0; list && i < MONITOR_PIECE && (e = ring_read(m->queue, &len)); i++)
		if (json_array_append_new(list, monitor_event(e))) {
			json_decref(list);
			list = NULL;
		}
	ring_release(m->queue);
	m->waiting = e;
	return list;
}

static enum call_step monitor_next(struct call_stream *s, struct call *c)
{
	struct monitor *m = list_entry(s, struct monitor, stream);
	uint64_t        overrun = ring_dropped(m->queue);
	uint64_t        left_out = m->left_out + overrun - m->overrun;

	if (!m->due)
		return CALL_STEP_WAITS;
	m->due = false;
	m->overrun = overrun;
	m->left_out = 0;
	m->said_us = clock_mono_us(clock_system());
	call_reply(c, json_pack("{s:o, s:o}", "events", monitor_take(m), "dropped", reply_count(left_out)));
	return CALL_STEP_MORE;
}

static void monitor_free(struct call_stream *s)
{
	struct monitor *m = list_entry(s, struct monitor, stream);

	m->ops->unwatch(m->ops->arg, &m->watcher);
	ring_free(m->queue);
	free(m);
}

void larder_monitor(struct call *c)
{
	struct monitor_filter filter;
	const char           *flaw = monitor_read_filter(c->parameters, &filter);
	struct monitor       *m;
	int                   err;

	if (flaw) {
		call_invalid(c, flaw);
		return;
	}
	m = malloc(sizeof *m);
	if (!m) {
		call_reply(c, NULL);
		return;
	}
	*m = (struct monitor){
		.stream = { .next = monitor_next, .free = monitor_free },
		.watcher = { .event = monitor_on_event, .turn = monitor_on_turn },
		.ops = c->ops, .filter = filter, .queue = ring_new(MONITOR_QUEUE),
		.due = true,			/* so that the caller knows from when on it is told */
	};
	err = m->queue ? c->ops->watch(c->ops->arg, &m->watcher) : -ENOMEM;
	if (!err) {
		c->stream = &m->stream;
		return;
	}
	ring_free(m->queue);
	free(m);
	call_refuse(c, err);
}
