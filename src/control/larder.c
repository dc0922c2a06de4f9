/* larder.c - io.larder: the methods, as io.larder.varlink describes them. */
#include "control/call.h"

#include "base/log.h"
#include "control/control.h"
#include "control/http_checkup.h"
#include "control/reply.h"
#include "control/state.h"
#include "dns/name.h"
#include "dns/rrtype.h"

#include <stdlib.h>
#include <string.h>

#define LARDER_CONFIGURATION_INVALID "io.larder.ConfigurationInvalid"
#define LARDER_NO_SUCH_UPSTREAM      "io.larder.NoSuchUpstream"
#define LARDER_TYPE_ANY      255

/* Upstreams as an array, each made by make(); NULL when memory is short. */
static json_t *larder_list_upstreams(const struct control_ops *ops,
				json_t *(*make)(const struct control_upstream *))
{
	struct control_upstream *up = calloc(CONTROL_UPSTREAMS_MAX, sizeof *up);
	json_t                  *list = json_array();
	size_t                   n;

	if (!up || !list)
		goto fail;
	n = ops->upstreams(ops->arg, up, CONTROL_UPSTREAMS_MAX);
	for (size_t i = 0; i < n && i < CONTROL_UPSTREAMS_MAX; i++)
		if (json_array_append_new(list, make(&up[i])))
			goto fail;
	free(up);
	return list;
fail:
	free(up);
	json_decref(list);
	return NULL;
}

static json_t *larder_upstream(const struct control_upstream *up)
{
	return json_pack("{s:o, s:o, s:o}", "name", reply_text(up->name), "url", reply_text(up->url),
	                 "fault", reply_text(up->health.fault));
}

static json_t *larder_upstream_stats(const struct control_upstream *up)
{
	const uint64_t *counters = up->stats.counter;

	return json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o}",
	                 "name", reply_text(up->name),
	                 "url", reply_text(up->url),
	                 "state", control_state_names[control_state_of(&up->health)],
	                 "counters", reply_counters(stats_upstream_rows, counters, UPSTREAM_COUNTERS),
	                 "exchange", reply_latency(&up->stats.exchange),
	                 "connect", reply_latency(&up->stats.connect),
	                 "handshake", reply_latency(&up->stats.handshake),
	                 "resumption", reply_latency(&up->stats.resumption),
	                 "first_octet", reply_latency(&up->stats.first_octet));
}

static json_t *larder_texts(const char *const *texts, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < n; i++)
		if (json_array_append_new(list, reply_text(texts[i]))) {
			json_decref(list);
			list = NULL;
		}
	return list;
}

void larder_status(struct call *c)
{
	struct control_status s = { 0 };

	c->ops->status(c->ops->arg, &s);
	call_reply(c, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o}",
	                        "version", reply_text(s.version),
	                        "uptime_s", reply_seconds(s.uptime_s),
	                        "workers", reply_count(s.workers),
	                        "config_file", reply_text(s.config_file),
	                        "reloaded_ago_s", reply_seconds(s.reloaded_ago_s),
	                        "listen", larder_texts(s.listen, s.listen_count),
	                        "upstreams", larder_list_upstreams(c->ops, larder_upstream),
	                        "upstreams_from_resolv", s.upstreams_from_resolv,
	                        "resolv_file", reply_text(s.resolv_file),
	                        "trouble", reply_text(s.trouble),
	                        "cache", reply_cache(&s)));
}

/* All answers, whatever their outcome, in one histogram. */
static json_t *larder_answers(const struct stats_view *v)
{
	struct histogram_view all = { 0 };

	for (unsigned o = 0; o < OUTCOMES; o++) {
		for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
			all.count[i] += v->answer[o].count[i];
		all.total += v->answer[o].total;
	}
	return reply_latency(&all);
}

static json_t *larder_outcome(const struct stats_view *v, unsigned o)
{
	double  share = v->queries ? (double)v->outcome[o] / (double)v->queries : 0;
	json_t *outcome = json_pack("{s:o, s:f}", "count", reply_count(v->outcome[o]), "share", share);

	return reply_add_quantiles(outcome, &v->answer[o]);
}

static json_t *larder_outcomes(const struct stats_view *v)
{
	json_t *outcomes = json_object();

	for (unsigned o = 0; outcomes && o < OUTCOMES; o++) {
		const char *name = stats_outcome_rows[o].name;

		if (json_object_set_new(outcomes, name, larder_outcome(v, o))) {
			json_decref(outcomes);
			outcomes = NULL;
		}
	}
	return outcomes;
}

static json_t *larder_counters(const struct stats_view *v)
{
	return reply_counters(stats_counter_rows, v->counter, STATS_COUNTERS);
}

static json_t *larder_gauges(const struct stats_view *v)
{
	return json_pack("{s:o, s:o, s:o}",
	                 "flights", reply_count(v->flights_now),
	                 "waiting", reply_count(v->waiting_now),
	                 "tcp_clients", reply_count(v->tcp_clients_now));
}

void larder_stats(struct call *c)
{
	struct control_status s = { 0 };
	struct stats_view     v = { 0 };

	c->ops->status(c->ops->arg, &s);
	c->ops->stats(c->ops->arg, &v);
	call_reply(c, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
	                        "queries", reply_count(v.queries),
	                        "answers", larder_answers(&v),
	                        "outcomes", larder_outcomes(&v),
	                        "counters", larder_counters(&v),
	                        "gauges", larder_gauges(&v),
	                        "cache", reply_cache(&s),
	                        "upstreams", larder_list_upstreams(c->ops, larder_upstream_stats)));
}

void larder_upstreams(struct call *c)
{
	call_reply(c, json_pack("{s:o}", "upstreams", larder_list_upstreams(c->ops, reply_upstream_health)));
}

/* "reset": what larder finds counts again, and it begins to look anew. */
static bool larder_order_read(const char *text, enum health_order *order, bool *anew)
{
	*anew = !strcmp(text, "reset");
	*order = HEALTH_AUTO;
	for (unsigned i = 0; i <= HEALTH_DOWN; i++) {
		if (strcmp(text, reply_order_names[i]))
			continue;
		*order = (enum health_order)i;
		return true;
	}
	return *anew;
}

void larder_set_upstream(struct call *c)
{
	const char       *name = json_string_value(json_object_get(c->parameters, "name"));
	enum health_order order;
	bool              anew;

	if (!larder_order_read(json_string_value(json_object_get(c->parameters, "order")), &order, &anew))
		call_invalid(c, "order");
	else if (c->ops->order(c->ops->arg, name, order, anew) < 0)
		call_fail(c, LARDER_NO_SUCH_UPSTREAM, json_pack("{s:o}", "name", reply_text(name)));
	else
		call_reply(c, json_object());
}

/* What to flush, from parameters of the right types.  NULL, or the parameter that makes no sense:
 * type and subtree narrow a name down or widen it, and neither goes with the other. */
static const char *larder_flush_read(const json_t *parameters, enum control_flush *what,
                                     struct dns_name *name, uint16_t *type)
{
	const char *name_text = json_string_value(json_object_get(parameters, "name"));
	const char *type_text = json_string_value(json_object_get(parameters, "type"));
	bool        subtree = json_is_true(json_object_get(parameters, "subtree"));

	*what = CONTROL_FLUSH_ALL;
	if (!name_text)
		return type_text ? "type" : subtree ? "subtree" : NULL;
	if (dns_name_from_text(name_text, name))
		return "name";
	dns_name_lower(name->octets, name->len);
	*what = subtree ? CONTROL_FLUSH_SUBTREE : CONTROL_FLUSH_NAME;
	if (!type_text)
		return NULL;
	if (subtree || dns_rrtype_from_text(type_text, type))
		return "type";
	if (*type != LARDER_TYPE_ANY)
		*what = CONTROL_FLUSH_NAME_TYPE;
	return NULL;
}

void larder_flush(struct call *c)
{
	enum control_flush what;
	struct dns_name    name = { .len = 0 };
	uint16_t           type = 0;
	uint64_t           entries;
	const char        *flaw = larder_flush_read(c->parameters, &what, &name, &type);

	if (flaw) {
		call_invalid(c, flaw);
		return;
	}
	if (what == CONTROL_FLUSH_ALL)
		entries = c->ops->flush(c->ops->arg, what, NULL, 0, 0);
	else
		entries = c->ops->flush(c->ops->arg, what, name.octets, name.len,
		                        what == CONTROL_FLUSH_NAME_TYPE ? type : 0);
	call_reply(c, json_pack("{s:o}", "entries", reply_count(entries)));
}

void larder_reload(struct call *c)
{
	char *report = NULL;
	int   err = c->ops->reload(c->ops->arg, &report);

	if (err) {
		json_t *text = reply_text(report ? report : strerror(-err));

		call_fail(c, LARDER_CONFIGURATION_INVALID, json_pack("{s:o}", "report", text));
	} else
		call_reply(c, json_object());
	free(report);
}

void larder_config(struct call *c)
{
	char *text = c->ops->config(c->ops->arg);

	call_reply(c, text ? json_pack("{s:o}", "text", reply_text(text)) : NULL);
	free(text);
}

void larder_health(struct call *c)
{
	struct http_sight  now;
	enum checkup_state state;
	json_t            *report = NULL;

	if (http_sight_take(&now, c->ops) == 0) {
		report = checkup_report(c->env->checkup, &now, &state);
		http_sight_done(&now);
	}
	call_reply(c, report);
}

void larder_set_log_level(struct call *c)
{
	const char *text = json_string_value(json_object_get(c->parameters, "level"));
	const char *before = log_level_names[0];

	for (unsigned i = 0; log_level_names[i] && log_enabled((enum log_level)i); i++)
		before = log_level_names[i];
	for (unsigned i = 0; log_level_names[i]; i++) {
		if (strcmp(log_level_names[i], text))
			continue;
		log_set_level((enum log_level)i);
		call_reply(c, json_pack("{s:s}", "before", before));
		return;
	}
	call_invalid(c, "level");
}

void larder_set_query_log(struct call *c)
{
	bool before = false;
	int  err = c->ops->query_log(c->ops->arg, json_is_true(json_object_get(c->parameters, "on")), &before);

	if (err < 0)
		call_refuse(c, err);
	else
		call_reply(c, json_pack("{s:b}", "before", before));
}
