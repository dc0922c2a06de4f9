/* larder_slow.c - io.larder: the latest queries that clients waited long for. */
#include "control/call.h"
#include "control/control.h"
#include "control/reply.h"
#include "dns/rrtype.h"

#include <stdlib.h>

static json_t *slow_query(const struct slow_query *q, bool names)
{
	char name[DNS_NAME_TEXT_MAX], type[DNS_RRTYPE_TEXT_MAX];

	dns_name_to_text(q->name.octets, q->name.len, name);
	return json_pack("{s:o, s:o, s:s, s:s, s:o, s:o, s:o}",
	                 "time_ms", reply_count(q->time_ms),
	                 "name", reply_text(names ? name : NULL),
	                 "type", dns_rrtype_to_text(q->qtype, type),
	                 "outcome", stats_outcome_rows[q->outcome].name,
	                 "duration_us", reply_count(q->duration_us),
	                 "upstream", reply_text(*q->upstream ? q->upstream : NULL),
	                 "reason", reply_text(q->reason));
}

json_t *reply_slow(const struct control_slow *s, bool names)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < s->count; i++)
		if (json_array_append_new(list, slow_query(&s->queries[i], names))) {
			json_decref(list);
			list = NULL;
		}
	return json_pack("{s:o, s:o, s:o}", "queries", list, "over_us", reply_count(s->over_us), "dropped",
	                 reply_count(s->dropped));
}

void larder_slow(struct call *c)
{
	struct control_slow *s = calloc(1, sizeof *s);

	if (!s) {
		call_reply(c, NULL);
		return;
	}
	c->ops->slow(c->ops->arg, s);
	call_reply(c, reply_slow(s, c->env->peer.names));
	free(s);
}
