/* call.c - calls are checked here, once, so that methods need not.
 *
 * Two kinds of mistakes are told apart.  Whoever calls a method that is not
 * there, or with parameters it does not take, hears so and may go on.  Whoever
 * sends something that is no call at all has lost the thread of the protocol:
 * one reply says so and the connection ends.
 */
#include "control/call.h"

#include "base/log.h"
#include "control/interfaces.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* What the caller of a method must be allowed. */
enum call_right {
	CALL_COUNTERS,			/* counters and settings, nothing of what clients ask */
	CALL_NAMES,			/* what clients ask */
	CALL_ORDERS,			/* changes what larderd does or holds; logged */
};

struct call_parameter {
	const char *name;
	json_type   type;		/* JSON_TRUE stands for both truths */
	bool        required;
};

static const struct call_method {
	const char           *name;
	enum call_right       right;
	void                (*run)(struct call *c);
	struct call_parameter parameters[8];	/* ends with a NULL name */
} call_methods[] = {
	{ "org.varlink.service.GetInfo", CALL_COUNTERS, service_get_info, { { 0 } } },
	{ "org.varlink.service.GetInterfaceDescription", CALL_COUNTERS,
	  service_get_interface_description, { { "interface", JSON_STRING, true } } },
	{ "io.larder.Status", CALL_COUNTERS, larder_status, { { 0 } } },
	{ "io.larder.Stats", CALL_COUNTERS, larder_stats, { { 0 } } },
	{ "io.larder.Latencies", CALL_COUNTERS, larder_latencies, { { 0 } } },
	{ "io.larder.Config", CALL_COUNTERS, larder_config, { { 0 } } },
	{ "io.larder.Upstreams", CALL_COUNTERS, larder_upstreams, { { 0 } } },
	{ "io.larder.SetUpstream", CALL_ORDERS, larder_set_upstream,
	  { { "name", JSON_STRING, true }, { "order", JSON_STRING, true } } },
	{ "io.larder.Flush", CALL_ORDERS, larder_flush,
	  { { "name", JSON_STRING, false },
	    { "type", JSON_STRING, false },
	    { "subtree", JSON_TRUE, false } } },
	{ "io.larder.Reload", CALL_ORDERS, larder_reload, { { 0 } } },
	{ "io.larder.Health", CALL_COUNTERS, larder_health, { { 0 } } },
	{ "io.larder.SetLogLevel", CALL_ORDERS, larder_set_log_level, { { "level", JSON_STRING, true } } },
	{ "io.larder.SetQueryLog", CALL_ORDERS, larder_set_query_log, { { "on", JSON_TRUE, true } } },
	{ "io.larder.Route", CALL_COUNTERS, larder_route, { { "name", JSON_STRING, true } } },
	{ "io.larder.CacheLookup", CALL_NAMES, larder_cache_lookup,
	  { { "name", JSON_STRING, true }, { "type", JSON_STRING, false } } },
	{ "io.larder.Trace", CALL_NAMES, larder_trace,
	  { { "name", JSON_STRING, true },
	    { "type", JSON_STRING, false },
	    { "dnssec_ok", JSON_TRUE, false },
	    { "checking_disabled", JSON_TRUE, false } } },
	{ "io.larder.Slow", CALL_COUNTERS, larder_slow, { { 0 } } },	/* names only with CALL_NAMES */
	{ "io.larder.CacheDump", CALL_NAMES, larder_cache_dump, { { 0 } } },
	{ "io.larder.Monitor", CALL_NAMES, larder_monitor,
	  { { "name", JSON_STRING, false },
	    { "subtree", JSON_TRUE, false },
	    { "type", JSON_STRING, false },
	    { "rcode", JSON_STRING, false },
	    { "outcome", JSON_STRING, false },
	    { "client", JSON_STRING, false },
	    { "slower_us", JSON_INTEGER, false } } },
};

void call_fail(struct call *c, const char *error, json_t *parameters)
{
	json_decref(c->reply);
	c->error = error;
	c->reply = parameters;
	if (parameters)
		return;
	c->error = CALL_OUT_OF_MEMORY;
	c->reply = json_object();
}

void call_reply(struct call *c, json_t *parameters)
{
	call_fail(c, NULL, parameters);
}

void call_invalid(struct call *c, const char *parameter)
{
	call_fail(c, CALL_INVALID_PARAMETER, json_pack("{s:s}", "parameter", parameter));
}

void call_refuse(struct call *c, int err)
{
	if (err == -EBUSY)
		call_fail(c, CALL_BUSY, json_object());
	else
		call_reply(c, NULL);
}

static bool call_type_fits(const json_t *value, json_type type)
{
	return json_typeof(value) == type || (type == JSON_TRUE && json_is_false(value));
}

static const struct call_parameter *call_parameter_find(const struct call_method *m,
							const char *name)
{
	for (const struct call_parameter *p = m->parameters; p->name; p++)
		if (!strcmp(p->name, name))
			return p;
	return NULL;
}

/* Are these the parameters the method takes?  If not, the call has its reply.
 * Null is the same as absent. */
static bool call_parameters_fit(struct call *c, const struct call_method *m)
{
	const char *name;
	json_t     *value;

	json_object_foreach(c->parameters, name, value) {
		const struct call_parameter *p = call_parameter_find(m, name);

		if (!p || !(json_is_null(value) || call_type_fits(value, p->type))) {
			call_invalid(c, name);
			return false;
		}
	}
	for (const struct call_parameter *p = m->parameters; p->name; p++) {
		value = json_object_get(c->parameters, p->name);
		if (p->required && (!value || json_is_null(value))) {
			call_invalid(c, p->name);
			return false;
		}
	}
	return true;
}

static const struct call_method *call_method_find(const char *name)
{
	for (size_t i = 0; i < sizeof call_methods / sizeof call_methods[0]; i++)
		if (!strcmp(call_methods[i].name, name))
			return &call_methods[i];
	return NULL;
}

/* Says which half of the name is unknown. */
static void call_not_found(struct call *c, const char *name)
{
	const char *dot = strrchr(name, '.');
	size_t      len = dot ? (size_t)(dot - name) : 0;

	for (const struct control_interface *i = control_interfaces; i->name; i++)
		if (strlen(i->name) == len && !memcmp(i->name, name, len)) {
			call_fail(c, CALL_METHOD_NOT_FOUND, json_pack("{s:s}", "method", name));
			return;
		}
	call_fail(c, CALL_INTERFACE_NOT_FOUND, json_pack("{s:s%}", "interface", name, len));
}

static bool call_is_allowed(const struct peer *peer, enum call_right right)
{
	switch (right) {
	case CALL_COUNTERS:
		return true;
	case CALL_NAMES:
		return peer->names;
	case CALL_ORDERS:
		return peer->orders;
	}
	return false;
}

static void call_run(struct call *c, const char *name, bool more)
{
	const struct call_method *m = call_method_find(name);
	const struct peer        *peer = &c->env->peer;

	if (!m) {
		call_not_found(c, name);
		return;
	}
	if (!call_is_allowed(peer, m->right)) {
		log_limited(LOG_LEVEL_NOTICE, "control: %s is not for uid %u, pid %d", m->name, (unsigned)peer->uid,
		            (int)peer->pid);
		call_fail(c, CALL_PERMISSION_DENIED, json_object());
		return;
	}
	if (!call_parameters_fit(c, m))
		return;
	if (m->right == CALL_ORDERS)
		log_info("control: %s by uid %u, pid %d", m->name, (unsigned)peer->uid, (int)peer->pid);
	m->run(c);
	if (c->stream && !more) {
		c->stream->free(c->stream);
		c->stream = NULL;
		call_fail(c, CALL_EXPECTED_MORE, json_object());
	}
}

/* The first member of a message that makes it no call, or NULL.  Members that the protocol may
 * get one day are let pass. */
static const char *call_flaw(const json_t *message)
{
	static const struct call_parameter members[] = {
		{ "method", JSON_STRING, true },
		{ "parameters", JSON_OBJECT, false },
		{ "oneway", JSON_TRUE, false },
		{ "more", JSON_TRUE, false },
		{ "upgrade", JSON_TRUE, false },
	};

	if (!json_is_object(message))
		return "message";
	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
		const json_t *value = json_object_get(message, members[i].name);

		if (value && !json_is_null(value) ? !call_type_fits(value, members[i].type)
		                                  : members[i].required)
			return members[i].name;
	}
	return NULL;
}

/* JSON as text, or NULL.  It is measured first and written into one block: json_dumps() grows its
 * block as it goes, and leaves keys out when that fails. */
static char *call_text(const json_t *json)
{
	const size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(6);
	size_t       len = json_dumpb(json, NULL, 0, flags);
	char        *text = len ? malloc(len + 1) : NULL;

	if (!text)
		return NULL;
	if (json_dumpb(json, text, len, flags) != len) {
		free(text);
		return NULL;
	}
	text[len] = '\0';
	return text;
}

/* The reply as text, and the end of the JSON it was. */
static char *call_finish(struct call *c, bool continues)
{
	json_t *reply;
	char   *text;

	if (c->error)
		reply = json_pack("{s:s, s:o}", "error", c->error, "parameters", c->reply);
	else if (continues)
		reply = json_pack("{s:o, s:b}", "parameters", c->reply, "continues", 1);
	else
		reply = json_pack("{s:o}", "parameters", c->reply);
	text = call_text(reply);
	json_decref(reply);
	return text;
}

/* What remains of a call that wants no reply. */
static enum call_next call_hush(struct call *c)
{
	if (c->stream)
		c->stream->free(c->stream);
	json_decref(c->reply);
	return CALL_GOES_ON;
}

enum call_next call_answer(const struct call_env *env, const char *message, size_t len, struct call_said *said)
{
	struct call c = { .ops = env->ops, .env = env };
	json_t     *call = json_loadb(message, len, JSON_REJECT_DUPLICATES, NULL);
	const char *flaw = call_flaw(call);
	bool        oneway = !flaw && json_is_true(json_object_get(call, "oneway"));
	bool        more = !flaw && json_is_true(json_object_get(call, "more"));

	*said = (struct call_said){ .text = NULL };
	c.parameters = json_object_get(call, "parameters");
	if (flaw)
		call_invalid(&c, flaw);
	else if (json_is_true(json_object_get(call, "upgrade")))
		call_invalid(&c, "upgrade");	/* no method has another protocol to change to */
	else
		call_run(&c, json_string_value(json_object_get(call, "method")), more);
	json_decref(call);
	if (oneway)
		return call_hush(&c);
	said->later = c.later;
	if (c.later)
		return CALL_WAITS;
	if (c.stream) {
		said->stream = c.stream;
		return CALL_STREAMS;
	}
	said->text = call_finish(&c, false);
	return flaw || !said->text ? CALL_WAS_LAST : CALL_GOES_ON;
}

enum call_next call_stream_next(const struct call_env *env, struct call_stream *s, char **text)
{
	struct call    c = { .ops = env->ops, .env = env };
	enum call_step step = s->next(s, &c);
	bool           last = step == CALL_STEP_LAST || c.error;

	*text = NULL;
	if (step == CALL_STEP_WAITS)
		return CALL_STREAM_WAITS;
	*text = call_finish(&c, !last);
	if (!*text)
		return CALL_WAS_LAST;
	return last ? CALL_GOES_ON : CALL_STREAMS;
}

void call_tell_later(struct call_later *l, struct call *c)
{
	char *text = call_finish(c, false);

	if (l->done)
		l->done(l->arg, text);
	else
		free(text);
}

char *call_garbage_reply(void)
{
	struct call c = { 0 };

	call_invalid(&c, "message");
	return call_finish(&c, false);
}
