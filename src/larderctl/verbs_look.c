/* verbs_look.c - verbs that look into larderd: cache, routes, health, log. */
#include "larderctl/client.h"
#include "larderctl/show.h"
#include "larderctl/verbs.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* ---- the cache ---- */

enum larderctl_exit verb_cache_stats(const struct order *o)
{
	return verb_show(o, "io.larder.Stats", show_cache_stats);
}

/* As grep does: nothing found is 1. */
enum larderctl_exit verb_cache_lookup(const struct order *o)
{
	json_t             *parameters, *reply, *entries, *entry;
	enum larderctl_exit result;
	size_t              i;

	parameters = verb_name_and_type(o, "cache lookup", &result);
	if (!parameters)
		return result;
	result = client_call(o->socket, "io.larder.CacheLookup", parameters, &reply);
	if (result)
		return result;
	entries = json_object_get(reply, "entries");
	if (o->json)
		term_print_json(reply);
	else
		json_array_foreach(entries, i, entry)
			show_cache_entry(entry, &o->term);
	if (!json_array_size(entries)) {
		result = LARDERCTL_REFUSED;
		if (!o->json)
			term_complain("the cache has nothing for %s%s%s", o->arguments[0], o->count > 1 ? " " : "",
			              o->count > 1 ? o->arguments[1] : "");
	}
	json_decref(reply);
	return result;
}

/* Gives false when nobody reads our output any more. */
static bool verb_show_slice(void *arg, const json_t *reply)
{
	const struct order *o = arg;
	json_t             *entry;
	size_t              i;

	json_array_foreach(json_object_get(reply, "entries"), i, entry) {
		if (o->json)
			term_print_json_line(entry);
		else
			show_cache_entry(entry, &o->term);
	}
	return !ferror(stdout);
}

enum larderctl_exit verb_cache_dump(const struct order *o)
{
	return client_stream(o->socket, "io.larder.CacheDump", json_object(), verb_show_slice, (void *)(uintptr_t)o);
}

/* ---- the rest ---- */

enum larderctl_exit verb_route(const struct order *o)
{
	char                name[DNS_NAME_TEXT_MAX];
	json_t             *reply;
	enum larderctl_exit result;

	if (!o->count) {
		term_complain("route needs a name");
		return LARDERCTL_USAGE;
	}
	result = verb_read_name(o->arguments[0], name);
	if (result)
		return result;
	result = verb_ask(o, "io.larder.Route", json_pack("{s:s}", "name", name), &reply);
	if (reply)
		show_route(reply, &o->term);
	json_decref(reply);
	return result;
}

enum larderctl_exit verb_slow(const struct order *o)
{
	return verb_show(o, "io.larder.Slow", show_slow);
}

enum larderctl_exit verb_health(const struct order *o)
{
	json_t             *reply;
	enum larderctl_exit result = client_call(o->socket, "io.larder.Health", json_object(), &reply);

	if (result)
		return result;
	if (o->json)
		term_print_json(reply);
	else
		show_health(reply, &o->term);
	if (!strcmp(show_text(reply, "status"), "failing"))
		result = LARDERCTL_REFUSED;
	json_decref(reply);
	return result;
}

enum larderctl_exit verb_log(const struct order *o)
{
	static const char *const levels[] = { "error", "warning", "notice", "info", "debug" };
	json_t                  *reply;
	enum larderctl_exit      result;
	bool                     known = false;

	for (size_t i = 0; o->count && i < sizeof levels / sizeof *levels; i++)
		known |= !strcmp(o->arguments[0], levels[i]);
	if (!known) {
		term_complain("log needs a level: error, warning, notice, info or debug%s%s%s", o->count ? ", not \"" : "",
		              o->count ? o->arguments[0] : "", o->count ? "\"" : "");
		return LARDERCTL_USAGE;
	}
	result = verb_ask(o, "io.larder.SetLogLevel", json_pack("{s:s}", "level", o->arguments[0]), &reply);
	if (reply)
		term_say("larderd logs up to \"%s\" until its next start or reload; before, up to \"%s\"",
		         o->arguments[0], show_text(reply, "before"));
	json_decref(reply);
	return result;
}

enum larderctl_exit verb_log_queries(const struct order *o)
{
	bool                on = o->count && !strcmp(o->arguments[0], "on");
	json_t             *reply;
	enum larderctl_exit result;

	if (!on && (!o->count || strcmp(o->arguments[0], "off"))) {
		term_complain("log queries takes on or off%s%s%s", o->count ? ", not \"" : "",
		              o->count ? o->arguments[0] : "", o->count ? "\"" : "");
		return LARDERCTL_USAGE;
	}
	result = verb_ask(o, "io.larder.SetQueryLog", json_pack("{s:b}", "on", on), &reply);
	if (reply)
		term_say("larderd logs %s until its next start or reload; before, it %s",
		         on ? "each query" : "no queries",
		         json_is_true(json_object_get(reply, "before")) ? "logged each" : "logged none");
	json_decref(reply);
	return result;
}
