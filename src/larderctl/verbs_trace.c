/* verbs_trace.c - verbs that ask a question through larderd. */
#include "larderctl/client.h"
#include "larderctl/show.h"
#include "larderctl/verbs.h"

#include <string.h>

static enum larderctl_exit verb_question(const struct order *o, const char *verb,
                                         void (*show)(const json_t *reply, const struct term *term),
                                         bool *rcode_is_good)
{
	json_t             *parameters, *reply;
	enum larderctl_exit result;

	parameters = verb_name_and_type(o, verb, &result);
	if (!parameters)
		return result;
	result = client_call(o->socket, "io.larder.Trace", parameters, &reply);
	if (result)
		return result;
	if (o->json)
		term_print_json(reply);
	else
		show(reply, &o->term);
	*rcode_is_good = !strcmp(show_text(reply, "rcode"), "NOERROR");
	json_decref(reply);
	return LARDERCTL_OK;
}

enum larderctl_exit verb_resolve(const struct order *o)
{
	bool                good = true;
	enum larderctl_exit result = verb_question(o, "resolve", show_answer, &good);

	return result || good ? result : LARDERCTL_REFUSED;
}

enum larderctl_exit verb_trace(const struct order *o)
{
	bool good;

	return verb_question(o, "trace", show_trace, &good);
}
