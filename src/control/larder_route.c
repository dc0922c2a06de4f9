/* larder_route.c - io.larder: where a question for a name would go, and why. */
#include "control/call.h"
#include "control/control.h"
#include "control/reply.h"
#include "control/state.h"
#include "dns/text.h"

#include <stdlib.h>
#include <string.h>

/* In the words of whoever set it up. */
static const char *route_why(const struct control_route *r)
{
	if (r->local)
		return "larder answers by itself: the name is one of those that concern no upstream (local-names)";
	if (strcmp(r->suffix, "."))
		return "this is the longest suffix under `routes` that the name has";
	return "no suffix under `routes` fits, so the name goes where `forward` says";
}

static json_t *route_upstream(const struct control_upstream *up)
{
	return json_pack("{s:o, s:o, s:s}", "name", reply_text(up->name), "url", reply_text(up->url), "state",
	                 control_state_names[control_state_of(&up->health)]);
}

/* Those of the route, in its order; NULL when memory is short. */
static json_t *route_upstreams(const struct control_ops *ops, const struct control_route *r)
{
	struct control_upstream *up = calloc(CONTROL_UPSTREAMS_MAX, sizeof *up);
	json_t                  *list = json_array();
	size_t                   n = up ? ops->upstreams(ops->arg, up, CONTROL_UPSTREAMS_MAX) : 0;
	bool                     ok = up && list;

	for (size_t i = 0; ok && i < r->upstream_count; i++)
		if (r->upstreams[i] < n)
			ok = json_array_append_new(list, route_upstream(&up[r->upstreams[i]])) == 0;
	free(up);
	if (ok)
		return list;
	json_decref(list);
	return NULL;
}

void larder_route(struct call *c)
{
	struct control_route r = { .local = false };
	struct dns_name      name;
	char                 text[DNS_NAME_TEXT_MAX], rcode[DNS_RCODE_TEXT_MAX];

	if (dns_name_from_text(json_string_value(json_object_get(c->parameters, "name")), &name)) {
		call_invalid(c, "name");
		return;
	}
	dns_name_lower(name.octets, name.len);
	dns_name_to_text(name.octets, name.len, text);
	c->ops->route(c->ops->arg, name.octets, name.len, &r);
	call_reply(c, json_pack("{s:s, s:b, s:o, s:o, s:s, s:s, s:o}",
	                        "name", text,
	                        "local", r.local,
	                        "rcode", reply_text(r.local ? dns_rcode_to_text(r.rcode, rcode) : NULL),
	                        "route", reply_text(r.local ? NULL : r.suffix),
	                        "policy", r.policy ? r.policy : "",
	                        "why", route_why(&r),
	                        "upstreams", route_upstreams(c->ops, &r)));
}
