/* reply_health.c - what larder knows and thinks of an upstream, as JSON. */
#include "control/reply.h"

#include "control/control.h"
#include "control/state.h"

const char *const reply_order_names[] = {
	[HEALTH_AUTO] = "auto",
	[HEALTH_UP] = "up",
	[HEALTH_DOWN] = "down",
};

static json_t *reply_health_us(uint64_t us)
{
	return us ? reply_count(us) : json_null();
}

/* How long ago, and how long until; null: never. */
static json_t *reply_health_since_s(uint64_t at_us, uint64_t now_us)
{
	return at_us ? reply_count((now_us - at_us) / 1000000) : json_null();
}

static json_t *reply_health_in_ms(uint64_t at_us, uint64_t now_us)
{
	return at_us ? reply_count(at_us > now_us ? (at_us - now_us) / 1000 : 0) : json_null();
}

/* Transitions into a state, by what led to them. */
static json_t *reply_health_by_reason(const uint64_t counts[HEALTH_REASONS])
{
	json_t *o = json_object();

	for (unsigned i = 0; o && i < HEALTH_REASONS; i++)
		if (counts[i] && json_object_set_new(o, health_reason_names[i], reply_count(counts[i]))) {
			json_decref(o);
			o = NULL;
		}
	return o;
}

static uint64_t reply_health_sum(const uint64_t counts[HEALTH_REASONS])
{
	uint64_t n = 0;

	for (unsigned i = 0; i < HEALTH_REASONS; i++)
		n += counts[i];
	return n;
}

static json_t *reply_addresses(const struct addr_list *l)
{
	json_t *list = json_array();
	char    text[ADDR_TEXT_MAX];

	for (unsigned i = 0; list && i < l->count; i++)
		if (json_array_append_new(list, json_string(addr_format(&l->at[i], text)))) {
			json_decref(list);
			list = NULL;
		}
	return list;
}

json_t *reply_upstream_health(const struct control_upstream *up)
{
	const struct health_view *h = &up->health;
	const char               *early = h->early < 0 ? "useless" : h->early > 0 ? "useful" : "unknown";

	return json_pack("{s:o, s:o, s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o,"
	                 " s:o, s:o}",
	                 "name", reply_text(up->name),
	                 "url", reply_text(up->url),
	                 "addresses", reply_addresses(&up->places),
	                 "trouble", reply_text(up->trouble),
	                 "state", control_state_names[control_state_of(h)],
	                 "order", reply_order_names[h->order],
	                 "reason", reply_text(h->failed_once ? health_reason_names[h->reason] : NULL),
	                 "fault", reply_text(h->fault),
	                 "level", reply_text(up->level),
	                 "doubt", reply_text(up->doubt),
	                 "open_since_s", reply_health_since_s(h->opened_us, up->now_us),
	                 "next_probe_ms", reply_health_in_ms(h->next_probe_us, up->now_us),
	                 "p50_us", reply_health_us(h->p50_us),
	                 "p75_us", reply_health_us(h->p75_us),
	                 "p99_us", reply_health_us(h->p99_us),
	                 "hedge_us", reply_health_us(h->hedge_us),
	                 "timeout_us", reply_count(h->timeout_us),
	                 "early_refreshes", early,
	                 "suspected", reply_health_by_reason(h->transitions[HEALTH_SUSPECT]),
	                 "opened", reply_health_by_reason(h->transitions[HEALTH_OPEN]),
	                 "recovered", reply_count(reply_health_sum(h->transitions[HEALTH_GOOD])),
	                 "control_questions", reply_count(h->controls),
	                 "probes", reply_count(h->probes_sent),
	                 "counters", reply_counters(stats_upstream_rows, up->stats.counter, UPSTREAM_COUNTERS));
}
