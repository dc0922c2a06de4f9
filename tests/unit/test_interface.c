/* test_interface.c - replies are what the interface descriptions say.
 *
 * A small reader of Varlink's description language walks a description and a
 * JSON value side by side.  Every method that is described is called, and its
 * reply must have the described fields, of the described types, and no others.
 */
#include "control/call.h"
#include "control/control.h"
#include "control/http_checkup.h"
#include "control/interfaces.h"
#include "fake_control.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct idl {
	const char *text;	/* of the whole description */
	const char *at;
	char        token[64];
};

/* The next token: a word, or a sign.  Empty at the end. */
static const char *idl_next(struct idl *p)
{
	size_t n = 0;

	while (isspace((unsigned char)*p->at) || *p->at == '#')
		p->at += *p->at == '#' ? strcspn(p->at, "\n") : 1;
	if (!strncmp(p->at, "->", 2) || !strncmp(p->at, "[]", 2))
		n = 2;
	else if (!strncmp(p->at, "[string]", 8))
		n = 8;
	else if (isalpha((unsigned char)*p->at))
		n = strspn(p->at,
			   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.");
	else if (*p->at)
		n = 1;
	assert_true(n < sizeof p->token);
	memcpy(p->token, p->at, n);
	p->token[n] = '\0';
	p->at += n;
	return p->token;
}

static void idl_expect(struct idl *p, const char *token)
{
	if (strcmp(idl_next(p), token))
		fail_msg("\"%s\" where \"%s\" should be, before: %.60s", p->token, token, p->at);
}

static bool idl_peek(const struct idl *p, const char *token)
{
	struct idl ahead = *p;

	return !strcmp(idl_next(&ahead), token);
}

/* Puts p behind "keyword name"; false when there is no such member. */
static bool idl_find(struct idl *p, const char *keyword, const char *name)
{
	p->at = p->text;
	while (*idl_next(p))
		if (!strcmp(p->token, keyword) && idl_peek(p, name)) {
			idl_next(p);
			return true;
		}
	return false;
}

static void idl_check_type(struct idl *p, const json_t *value, const char *where);

/* "(name: type, ...)"; value NULL checks the description alone. */
static void idl_check_struct(struct idl *p, const json_t *value, const char *where)
{
	size_t fields = 0;

	if (value && !json_is_object(value))
		fail_msg("%s is no object", where);
	idl_expect(p, "(");
	while (!idl_peek(p, ")")) {
		char          name[64];
		const json_t *field;

		if (fields++)
			idl_expect(p, ",");
		strcpy(name, idl_next(p));
		assert_true(islower((unsigned char)name[0]));
		idl_expect(p, ":");
		field = json_object_get(value, name);
		if (value && !field)
			fail_msg("%s has no %s", where, name);
		idl_check_type(p, field, name);
	}
	idl_expect(p, ")");
	if (value && json_object_size(value) != fields)
		fail_msg("%s has fields that are not described", where);
}

static void idl_check_named(const struct idl *p, const char *name, const json_t *value)
{
	struct idl type = *p;

	if (!idl_find(&type, "type", name))
		fail_msg("no type %s", name);
	if (value)
		idl_check_struct(&type, value, name);
}

static void idl_check_map(struct idl *p, const json_t *value, const char *where)
{
	const char *key;
	json_t     *element;
	struct idl  start = *p;

	idl_check_type(p, NULL, where);
	if (value && !json_is_object(value))
		fail_msg("%s is no map", where);
	json_object_foreach((json_t *)value, key, element) {
		*p = start;
		idl_check_type(p, element, key);
	}
}

static void idl_check_array(struct idl *p, const json_t *value, const char *where)
{
	struct idl start = *p;

	idl_check_type(p, NULL, where);
	if (value && !json_is_array(value))
		fail_msg("%s is no array", where);
	for (size_t i = 0; i < json_array_size(value); i++) {
		*p = start;
		idl_check_type(p, json_array_get(value, i), where);
	}
}

static void idl_check_type(struct idl *p, const json_t *value, const char *where)
{
	bool ok = true;

	if (idl_peek(p, "(")) {
		idl_check_struct(p, value, where);
		return;
	}
	idl_next(p);
	if (!strcmp(p->token, "?")) {
		idl_check_type(p, json_is_null(value) ? NULL : value, where);
		return;
	}
	if (!strcmp(p->token, "[]"))
		idl_check_array(p, value, where);
	else if (!strcmp(p->token, "[string]"))
		idl_check_map(p, value, where);
	else if (!strcmp(p->token, "int"))
		ok = !value || json_is_integer(value);
	else if (!strcmp(p->token, "float"))
		ok = !value || json_is_real(value);
	else if (!strcmp(p->token, "string"))
		ok = !value || json_is_string(value);
	else if (!strcmp(p->token, "bool"))
		ok = !value || json_is_boolean(value);
	else
		idl_check_named(p, p->token, value);
	if (!ok)
		fail_msg("%s is not as described", where);
}

/* From beginning to end, by the grammar; gives how many methods there are. */
static unsigned idl_check_grammar(const struct control_interface *i)
{
	struct idl p = { .text = i->description, .at = i->description };
	unsigned   methods = 0;

	idl_expect(&p, "interface");
	idl_expect(&p, i->name);
	while (*idl_next(&p)) {
		bool method = !strcmp(p.token, "method");

		if (!method && strcmp(p.token, "type") && strcmp(p.token, "error"))
			fail_msg("\"%s\" begins no member of %s", p.token, i->name);
		assert_true(isupper((unsigned char)*idl_next(&p)));
		idl_check_struct(&p, NULL, p.token);
		if (method) {
			idl_expect(&p, "->");
			idl_check_struct(&p, NULL, "reply");
			methods++;
		}
	}
	return methods;
}

static void keep_text(void *arg, char *text)
{
	*(char **)arg = text;
}

static json_t *call(struct control_ops *ops, const char *message)
{
	static const struct checkup checkup;
	const struct call_env       env = { .ops = ops, .checkup = &checkup,
		                            .peer = { .names = true, .orders = true } };
	enum call_next              next;
	struct call_said            said;
	json_t                     *reply;

	next = call_answer(&env, message, strlen(message), &said);
	if (next == CALL_STREAMS) {
		next = call_stream_next(&env, said.stream, &said.text);
		said.stream->free(said.stream);
	}
	if (next == CALL_WAITS) {
		*said.later = (struct call_later){ .done = keep_text, .arg = &said.text };
		fake_control_traced(ops->arg, false);
	}
	assert_int_not_equal(next, CALL_WAS_LAST);
	reply = json_loads(said.text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(reply);
	free(said.text);
	return reply;
}

static const struct control_interface *interface_of(const char *member)
{
	const struct control_interface *i = control_interfaces;

	while (i->name && (strncmp(i->name, member, strlen(i->name)) ||
			   strchr(member + strlen(i->name) + 1, '.')))
		i++;
	assert_non_null(i->name);
	return i;
}

/* Calls and holds the reply, or the error, against the description. */
static void check_call(struct control_ops *ops, const char *method, const char *parameters,
		       const char *error)
{
	char                            message[256];
	const char                     *member = error ? error : method;
	const struct control_interface *i = interface_of(member);
	struct idl                      p = { .text = i->description };
	json_t                         *reply;
	const char                     *got;

	snprintf(message, sizeof message, "{\"method\":\"%s\",\"more\":true,\"parameters\":%s}", method,
		 parameters);
	reply = call(ops, message);
	got = json_string_value(json_object_get(reply, "error"));
	if (error ? !got || strcmp(got, error) : !!got)
		fail_msg("%s: %s", method, got ? got : "no error");
	assert_true(idl_find(&p, error ? "error" : "method", member + strlen(i->name) + 1));
	if (!error) {
		idl_check_struct(&p, NULL, "parameters");
		idl_expect(&p, "->");
	}
	idl_check_struct(&p, json_object_get(reply, "parameters"), member);
	json_decref(reply);
}

static void test_grammar(void **state)
{
	(void)state;
	assert_int_equal(idl_check_grammar(&control_interfaces[0]), 2);
	assert_int_equal(idl_check_grammar(&control_interfaces[1]), 17);
	assert_null(control_interfaces[2].name);
}

static void test_replies(void **state)
{
	struct fake_control f;
	struct control_ops  ops;

	(void)state;
	fake_control_init(&f, &ops);
	fake_control_fill(&f, 100);
	for (int round = 0; round < 2; round++) {
		check_call(&ops, "org.varlink.service.GetInfo", "{}", NULL);
		check_call(&ops, "org.varlink.service.GetInterfaceDescription",
		           "{\"interface\":\"org.varlink.service\"}", NULL);
		check_call(&ops, "io.larder.Status", "{}", NULL);
		check_call(&ops, "io.larder.Stats", "{}", NULL);
		check_call(&ops, "io.larder.Latencies", "{}", NULL);
		check_call(&ops, "io.larder.Config", "{}", NULL);
		check_call(&ops, "io.larder.Reload", "{}", NULL);
		check_call(&ops, "io.larder.Flush", "{}", NULL);
		check_call(&ops, "io.larder.Health", "{}", NULL);
		check_call(&ops, "io.larder.Route", "{\"name\":\"www.corp\"}", NULL);
		check_call(&ops, "io.larder.Route", "{\"name\":\"localhost\"}", NULL);
		check_call(&ops, "io.larder.CacheLookup", "{\"name\":\"n1.example\"}", NULL);
		check_call(&ops, "io.larder.CacheDump", "{}", NULL);
		check_call(&ops, "io.larder.Trace", "{\"name\":\"a\"}", NULL);
		check_call(&ops, "io.larder.Slow", "{}", NULL);
		check_call(&ops, "io.larder.SetQueryLog", "{\"on\":true}", NULL);
		check_call(&ops, "io.larder.Monitor", "{\"name\":\"a\"}", NULL);
		/* Again, with nothing there that may be missing, and nothing counted. */
		f.status.config_file = NULL;
		f.status.trouble = "no upstream";
		f.status.listen_count = f.upstream_count = 0;
		memset(&f.stats, 0, sizeof f.stats);
		cache_free(f.cache);
		f.cache = NULL;
	}
}

static void fake_nobody(void *arg, const struct trace_report *report)
{
	(void)arg;
	(void)report;
}

static void test_errors(void **state)
{
	struct fake_control f;
	struct control_ops  ops;

	(void)state;
	fake_control_init(&f, &ops);
	f.report = "line 1";
	f.config = NULL;
	check_call(&ops, "io.larder.Reload", "{}", "io.larder.ConfigurationInvalid");
	check_call(&ops, "io.larder.Config", "{}", "io.larder.OutOfMemory");
	check_call(&ops, "io.larder.Flush", "{\"name\":\"..\"}",
		   "org.varlink.service.InvalidParameter");
	f.traced = fake_nobody;
	check_call(&ops, "io.larder.Trace", "{\"name\":\"a\"}", "io.larder.Busy");
	check_call(&ops, "io.larder.Missing", "{}", "org.varlink.service.MethodNotFound");
	check_call(&ops, "io.none.Missing", "{}", "org.varlink.service.InterfaceNotFound");
}

/* Each described method is there: it may refuse {}, but knows its own name. */
static void test_every_method_is_there(void **state)
{
	struct fake_control f;
	struct control_ops  ops;

	(void)state;
	fake_control_init(&f, &ops);
	for (const struct control_interface *i = control_interfaces; i->name; i++) {
		struct idl p = { .text = i->description, .at = i->description };

		while (*idl_next(&p)) {
			char        message[256];
			const char *error;
			json_t     *reply;

			if (strcmp(p.token, "method") ||
			    idl_peek(&p, ":")) /* a field may have that name */
				continue;
			snprintf(message, sizeof message, "{\"method\":\"%s.%s\"}", i->name,
				 idl_next(&p));
			reply = call(&ops, message);
			error = json_string_value(json_object_get(reply, "error"));
			if (error && strcmp(error, CALL_INVALID_PARAMETER) && strcmp(error, CALL_EXPECTED_MORE))
				fail_msg("%s: %s", message, error);
			json_decref(reply);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grammar),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_every_method_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
