/* service.c - org.varlink.service: what any Varlink client may ask of any service. */
#include "control/call.h"
#include "control/control.h"
#include "control/interfaces.h"
#include "control/reply.h"

#include <string.h>

static json_t *service_interface_names(void)
{
	json_t *names = json_array();

	for (const struct control_interface *i = control_interfaces; names && i->name; i++)
		if (json_array_append_new(names, json_string(i->name))) {
			json_decref(names);
			names = NULL;
		}
	return names;
}

void service_get_info(struct call *c)
{
	struct control_status status = { 0 };

	c->ops->status(c->ops->arg, &status);
	call_reply(c, json_pack("{s:s, s:s, s:o, s:s, s:o}",
	                        "vendor", "larder",
	                        "product", "larder",
	                        "version", reply_text(status.version),
	                        "url", "",
	                        "interfaces", service_interface_names()));
}

void service_get_interface_description(struct call *c)
{
	const char *name = json_string_value(json_object_get(c->parameters, "interface"));

	for (const struct control_interface *i = control_interfaces; i->name; i++)
		if (!strcmp(i->name, name)) {
			call_reply(c, json_pack("{s:s}", "description", i->description));
			return;
		}
	call_fail(c, CALL_INTERFACE_NOT_FOUND, json_pack("{s:s}", "interface", name));
}
