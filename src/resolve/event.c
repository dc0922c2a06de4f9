/* event.c - from an answered query to octets in a ring. */
#include "resolve/event.h"

#include "base/ring.h"

#include <string.h>

#define EVENT_UNSETTLED UINT32_MAX

static uint32_t event_duration(uint64_t us)
{
	return us < EVENT_UNSETTLED ? (uint32_t)us : EVENT_UNSETTLED - 1;
}

void event_tell(struct ring *to, const struct event_of *what, uint64_t answered_us)
{
	size_t        name_len = what->query->question_len ? what->query->qname_len : 0;
	size_t        upstream_len = what->upstream ? strnlen(what->upstream, EVENT_UPSTREAM_MAX) : 0;
	struct event *e = ring_write(to, sizeof *e + name_len + upstream_len);

	if (!e)
		return;
	e->time_us = answered_us ? answered_us : what->asked_us;
	e->duration_us = answered_us ? event_duration(answered_us - what->asked_us) : EVENT_UNSETTLED;
	e->qtype = what->query->qtype;
	e->rcode = what->rcode;
	e->outcome = (uint8_t)what->outcome;
	e->proto = (uint8_t)what->proto;
	e->name_len = (uint8_t)name_len;
	e->upstream_len = (uint8_t)upstream_len;
	e->client = *what->client;
	memcpy(e->octets, what->query->qname, name_len);
	if (upstream_len)
		memcpy(e->octets + name_len, what->upstream, upstream_len);
}

void event_settle(struct ring *r, uint64_t answered_us)
{
	for (struct event *e = NULL; (e = ring_unpublished(r, e));) {
		if (e->duration_us != EVENT_UNSETTLED)
			continue;
		e->duration_us = event_duration(answered_us - e->time_us);
		e->time_us = answered_us;
	}
	ring_publish(r);
}

size_t event_size(const struct event *e)
{
	return sizeof *e + e->name_len + e->upstream_len;
}

const char *event_upstream(const struct event *e, char out[EVENT_UPSTREAM_MAX + 1])
{
	if (!e->upstream_len)
		return NULL;
	memcpy(out, e->octets + e->name_len, e->upstream_len);
	out[e->upstream_len] = '\0';
	return out;
}
