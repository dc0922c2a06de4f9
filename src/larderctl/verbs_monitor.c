/* verbs_monitor.c - queries as they are answered, a line each, until somebody has seen enough. */
#include "larderctl/client.h"
#include "larderctl/show.h"
#include "larderctl/units.h"
#include "larderctl/verbs.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- what is wanted ---- */

/* "100ms", "2s", "250us"; a number alone is milliseconds.  Below 0: it is none of these. */
static long long monitor_read_time(const char *text)
{
	static const struct {
		const char *unit;
		double      us;
	} units[] = { { "", 1e3 }, { "us", 1 }, { "ms", 1e3 }, { "s", 1e6 } };
	char  *end;
	double n = strtod(text, &end);

	for (size_t i = 0; end != text && i < sizeof units / sizeof *units; i++)
		if (!strcmp(end, units[i].unit) && n >= 0 && n * units[i].us < 1e12)
			return (long long)(n * units[i].us + 0.5);
	return -1;
}

static void monitor_want(json_t *parameters, const char *name, const char *text)
{
	if (text)
		term_memory(json_object_set_new(parameters, name, json_string(text)) ? NULL : parameters);
}

/* NULL, and *result: an argument or an option is wrong. */
static json_t *monitor_parameters(const struct order *o, enum larderctl_exit *result)
{
	const struct order_filter *f = &o->filter;
	char                       name[DNS_NAME_TEXT_MAX];
	json_t                    *p;
	long long                  slower_us = f->slower ? monitor_read_time(f->slower) : 0;

	*result = LARDERCTL_USAGE;
	if (o->subtree && !o->count) {
		term_complain("--subtree needs the name at its top");
		return NULL;
	}
	if (slower_us < 0) {
		term_complain("\"%s\" is no time (examples: 100ms, 2s, 500us)", f->slower);
		return NULL;
	}
	*result = o->count ? verb_read_name(o->arguments[0], name) : LARDERCTL_OK;
	if (!*result && f->type)
		*result = verb_check_type(f->type);
	if (*result)
		return NULL;
	p = term_memory(json_object());
	monitor_want(p, "name", o->count ? name : NULL);
	monitor_want(p, "type", f->type);
	monitor_want(p, "rcode", f->rcode);
	monitor_want(p, "outcome", f->outcome);
	monitor_want(p, "client", f->client);
	if (o->subtree)
		json_object_set_new(p, "subtree", json_true());
	if (slower_us)
		json_object_set_new(p, "slower_us", json_integer(slower_us));
	return p;
}

/* ---- what is told ---- */

static void monitor_show(const json_t *e, const struct term *term)
{
	const char *name = show_text(e, "name"), *upstream = show_text(e, "upstream");
	long long   time_us = show_number(e, "time_us");
	time_t      when = (time_t)(time_us / 1000000);
	struct tm   tm;
	char        took[UNITS_MAX], clock[16] = "-";

	if (localtime_r(&when, &tm))
		strftime(clock, sizeof clock, "%H:%M:%S", &tm);
	units_time(show_number(e, "duration_us"), term->utf8, took);
	term_say("%s.%03lld %*s%s  %-7s %-8s %-3s %-15s %s %s%s%s", clock, time_us / 1000 % 1000,
	         term_width(took) < 7 ? 7 - (int)term_width(took) : 0, "", took, show_text(e, "outcome"),
	         show_text(e, "rcode"), show_text(e, "transport"), show_text(e, "client"), *name ? name : "-",
	         *name ? show_text(e, "type") : "-", *upstream ? "  " : "", upstream);
}

/* Gives false when nobody reads our output any more. */
static bool monitor_on_reply(void *arg, const json_t *reply)
{
	const struct order *o = arg;
	long long           dropped = show_number(reply, "dropped");
	const json_t       *e;
	size_t              i;

	if (dropped && o->json)
		printf("{\"dropped\":%lld}\n", dropped);
	else if (dropped)
		term_complain("%lld queries before these came too fast to be told", dropped);
	json_array_foreach(json_object_get(reply, "events"), i, e) {
		if (o->json)
			term_print_json_line(e);
		else
			monitor_show(e, &o->term);
	}
	return !fflush(stdout) && !ferror(stdout);
}

enum larderctl_exit verb_monitor(const struct order *o)
{
	enum larderctl_exit result;
	json_t             *parameters = monitor_parameters(o, &result);

	if (!parameters)
		return result;
	return client_stream(o->socket, "io.larder.Monitor", parameters, monitor_on_reply, (void *)(uintptr_t)o);
}
