/* verbs.c - what each verb asks of larderd, and how it tells the answer.
 *
 * With --json every verb prints the parameters of the reply as they came.
 */
#include "dns/name.h"
#include "dns/rrtype.h"
#include "larderctl/client.h"
#include "larderctl/larderctl.h"
#include "larderctl/show.h"
#include "larderctl/verbs.h"

#include <stdio.h>
#include <string.h>

enum larderctl_exit verb_ask(const struct order *o, const char *method, json_t *parameters,
			     json_t **reply)
{
	enum larderctl_exit result;

	*reply = NULL;
	result = client_call(o->socket, method, parameters, reply);
	if (!result && o->json) {
		term_print_json(*reply);
		json_decref(*reply);
		*reply = NULL;
	}
	return result;
}

enum larderctl_exit verb_show(const struct order *o, const char *method,
                              void (*show)(const json_t *reply, const struct term *term))
{
	json_t             *reply;
	enum larderctl_exit result = verb_ask(o, method, json_object(), &reply);

	if (reply)
		show(reply, &o->term);
	json_decref(reply);
	return result;
}

/* With --json it is the reply of Status alone, as everywhere; the others have verbs of their own. */
enum larderctl_exit verb_status(const struct order *o)
{
	json_t             *status, *health = NULL, *upstreams = NULL;
	enum larderctl_exit result = verb_ask(o, "io.larder.Status", json_object(), &status);

	if (!status)
		return result;
	result = verb_ask(o, "io.larder.Health", json_object(), &health);
	if (!result)
		result = verb_ask(o, "io.larder.Upstreams", json_object(), &upstreams);
	if (!result)
		show_status(status, health, upstreams, &o->term);
	json_decref(status);
	json_decref(health);
	json_decref(upstreams);
	return result;
}

enum larderctl_exit verb_stats(const struct order *o)
{
	return verb_show(o, "io.larder.Stats", show_stats);
}

enum larderctl_exit verb_upstreams(const struct order *o)
{
	return verb_show(o, "io.larder.Upstreams", show_upstreams);
}

static bool verb_is_upstream_order(const char *word)
{
	static const char *const orders[] = { "up", "down", "auto", "reset" };

	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
		if (!strcmp(word, orders[i]))
			return true;
	return false;
}

enum larderctl_exit verb_upstream(const struct order *o)
{
	json_t             *reply;
	enum larderctl_exit result;

	if (o->count < 2) {
		term_complain("upstream needs a name and one of up, down, auto and reset;"
			      " \"larderctl upstreams\" shows the names");
		return LARDERCTL_USAGE;
	}
	if (!verb_is_upstream_order(o->arguments[1])) {
		term_complain("an upstream can be ordered up, down, auto or reset, not \"%s\"", o->arguments[1]);
		return LARDERCTL_USAGE;
	}
	result = verb_ask(o, "io.larder.SetUpstream",
			  json_pack("{s:s, s:s}", "name", o->arguments[0], "order", o->arguments[1]), &reply);
	if (reply)
		printf("%s: %s\n", o->arguments[0], o->arguments[1]);
	json_decref(reply);
	return result;
}

static void verb_show_config(const json_t *reply, const struct term *term)
{
	const char *text = json_string_value(json_object_get(reply, "text"));

	(void)term;
	term_print_lines(text ? text : "");
}

enum larderctl_exit verb_config(const struct order *o)
{
	return verb_show(o, "io.larder.Config", verb_show_config);
}

static void verb_show_reload(const json_t *reply, const struct term *term)
{
	(void)reply;
	(void)term;
	puts("the configuration was read anew and is in effect");
}

enum larderctl_exit verb_reload(const struct order *o)
{
	return verb_show(o, "io.larder.Reload", verb_show_reload);
}

static bool verb_is_ascii(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text >= 0x80)
			return false;
	return true;
}

enum larderctl_exit verb_read_name(const char *argument, char text[DNS_NAME_TEXT_MAX])
{
	struct dns_name name;

	if (!verb_is_ascii(argument)) {
		term_complain("\"%s\" is not ASCII: write it as the DNS does, with xn--", argument);
		return LARDERCTL_USAGE;
	}
	if (dns_name_from_text(argument, &name)) {
		term_complain("\"%s\" is not a domain name", argument);
		return LARDERCTL_USAGE;
	}
	dns_name_to_text(name.octets, name.len, text);
	return LARDERCTL_OK;
}

enum larderctl_exit verb_check_type(const char *argument)
{
	uint16_t type;

	if (dns_rrtype_from_text(argument, &type) == 0)
		return LARDERCTL_OK;
	term_complain("\"%s\" is not a record type (A, AAAA, MX, ..., TYPE65280)", argument);
	return LARDERCTL_USAGE;
}

json_t *verb_name_and_type(const struct order *o, const char *verb, enum larderctl_exit *result)
{
	char name[DNS_NAME_TEXT_MAX];

	*result = LARDERCTL_USAGE;
	if (!o->count) {
		term_complain("%s needs a name", verb);
		return NULL;
	}
	*result = verb_read_name(o->arguments[0], name);
	if (!*result && o->count > 1)
		*result = verb_check_type(o->arguments[1]);
	if (*result)
		return NULL;
	return o->count > 1 ? json_pack("{s:s, s:s}", "name", name, "type", o->arguments[1]) :
	                      json_pack("{s:s}", "name", name);
}

static enum larderctl_exit verb_flush_check(const struct order *o, char name[DNS_NAME_TEXT_MAX])
{
	enum larderctl_exit result = LARDERCTL_OK;

	if (o->subtree && !o->count) {
		term_complain("--subtree needs the name at its top");
		return LARDERCTL_USAGE;
	}
	if (o->subtree && o->count > 1) {
		term_complain("--subtree takes every type with it; leave out \"%s\"",
			      o->arguments[1]);
		return LARDERCTL_USAGE;
	}
	if (o->count > 0)
		result = verb_read_name(o->arguments[0], name);
	if (!result && o->count > 1)
		result = verb_check_type(o->arguments[1]);
	return result;
}

static json_t *verb_flush_parameters(const struct order *o, const char *name)
{
	if (o->subtree)
		return json_pack("{s:s, s:b}", "name", name, "subtree", 1);
	if (o->count > 1)
		return json_pack("{s:s, s:s}", "name", name, "type", o->arguments[1]);
	return o->count ? json_pack("{s:s}", "name", name) : json_object();
}

enum larderctl_exit verb_flush(const struct order *o)
{
	char                text[DNS_NAME_TEXT_MAX] = "";
	json_t             *reply;
	long long           n;
	enum larderctl_exit result = verb_flush_check(o, text);

	if (result)
		return result;
	result = verb_ask(o, "io.larder.Flush", verb_flush_parameters(o, text), &reply);
	if (!reply)
		return result;
	n = show_number(reply, "entries");
	printf("%lld entr%s removed from the cache\n", n, n == 1 ? "y was" : "ies were");
	json_decref(reply);
	return result;
}
