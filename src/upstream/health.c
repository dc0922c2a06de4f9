/* health.c - suspicion, the breaker, and times learned from answers.
 *
 * Always true under the lock:
 *   - at most one control question or probe is under way, or the last one was
 *     lost by a worker that ended, and its time is over;
 *   - what is atomic agrees with what is not.
 */
#include "upstream/health.h"

#include "dns/message.h"

#include <string.h>

#define HEDGE_MIN_US      10000u
#define HEDGE_MAX_US      300000u
#define TIMEOUT_MIN_US    200000u
#define TIMEOUT_MAX_US    1000000u
#define CONTROL_MIN_US    500000u		/* one that has become slow is not taken for dead */
#define SUSPICIOUS        2u		/* failures in a row, for different names */
#define CONTROL_APART_US  250000u	/* a zone that never answers must not make us ask all the time */
#define PROBE_FIRST_US    500000u
#define PROBE_MAX_US      30000000u
#define PROBE_WANTED_US   500000u	/* between probes while a client waits for any upstream */
#define WANTED_US         1000000u
#define PROBE_LOST_US     5000000u	/* no report by then: whoever took it has gone */
#define EARLY_MOST        8
#define LAG_MS            1000u
#define TIMES_SAMPLES     32.0f		/* with so many known, quantiles are read … */
#define TIMES_EVERY       8u		/* … for every eighth only */

/* Each worker reads its clock before it has the lock: what is a little ahead of now is now. */
static uint64_t health_since_us(uint64_t then_us, uint64_t now_us)
{
	return now_us > then_us ? now_us - then_us : 0;
}

static uint64_t health_clamp(uint64_t us, uint64_t min_us, uint64_t max_us)
{
	return us < min_us ? min_us : us > max_us ? max_us : us;
}

const char *const health_state_names[] = {
	[HEALTH_GOOD] = "good",
	[HEALTH_SUSPECT] = "suspect",
	[HEALTH_OPEN] = "open",
};

const char *const health_reason_names[] = {
	[HEALTH_SILENT] = "silent",
	[HEALTH_SERVFAIL] = "servfail",
	[HEALTH_REFUSED] = "refused",
	[HEALTH_CLOSED] = "closed",
	[HEALTH_CERTIFICATE] = "certificate",
	[HEALTH_PROTOCOL] = "protocol",
	[HEALTH_UNREACHABLE] = "unreachable",
	[HEALTH_NO_ROUTE] = "no-route",
	[HEALTH_UNRESOLVED] = "unresolved",
};

void health_init(struct health *h, const char *name)
{
	memset(h, 0, sizeof *h);
	h->name = name;
	pthread_mutex_init(&h->lock, NULL);
	atomic_init(&h->timeout_us, TIMEOUT_MAX_US);
	atomic_init(&h->control_us, TIMEOUT_MAX_US);
}

void health_done(struct health *h)
{
	pthread_mutex_destroy(&h->lock);
}

/* ---- what is atomic ---- */

/* What choosing sees: the state, unless the operator knows better. */
static void health_publish_state(struct health *h)
{
	enum health_state s = h->nowhere ? HEALTH_OPEN :
	                      h->order == HEALTH_UP ? HEALTH_GOOD :
	                      h->order == HEALTH_DOWN ? HEALTH_OPEN : h->own_state;

	atomic_store_explicit(&h->state, (uint8_t)s, memory_order_relaxed);
}

static uint64_t health_timeout_us(const struct health *h, uint64_t min_us, unsigned doublings)
{
	uint64_t us = 4 * recent_quantile_us(&h->answers, 0.99);

	us = us ? health_clamp(us, min_us, TIMEOUT_MAX_US) : TIMEOUT_MAX_US;
	return health_clamp(us << (doublings < 4 ? doublings : 4), min_us, TIMEOUT_MAX_US);
}

static void health_publish_times(struct health *h)
{
	uint64_t p50 = recent_quantile_us(&h->answers, 0.5), p75 = recent_quantile_us(&h->answers, 0.75);
	uint64_t hedge = p50 + 4 * (p75 - p50);

	atomic_store_explicit(&h->timeout_us, (uint32_t)health_timeout_us(h, TIMEOUT_MIN_US, h->backoff),
	                      memory_order_relaxed);
	atomic_store_explicit(&h->control_us, (uint32_t)health_timeout_us(h, CONTROL_MIN_US, 0), memory_order_relaxed);
	if (!p50)
		return;
	hedge = hedge < p50 + p50 / 5 ? p50 + p50 / 5 : hedge;
	atomic_store_explicit(&h->p50_us, (uint32_t)p50, memory_order_relaxed);
	atomic_store_explicit(&h->hedge_us, (uint32_t)health_clamp(hedge, HEDGE_MIN_US, HEDGE_MAX_US),
	                      memory_order_relaxed);
}

/* ---- states ---- */

static const char *health_in_words(enum health_reason reason)
{
	switch (reason) {
	case HEALTH_SILENT:
		return "it does not answer";
	case HEALTH_SERVFAIL:
		return "it answers with failures";
	case HEALTH_REFUSED:
		return "it refuses";
	case HEALTH_CLOSED:
		return "it closes connections";
	case HEALTH_CERTIFICATE:
		return "its certificate is not accepted";
	case HEALTH_PROTOCOL:
		return "it does not speak the protocol";
	case HEALTH_UNREACHABLE:
		return "it cannot be reached";
	case HEALTH_NO_ROUTE:
		return "there is no route to it";
	case HEALTH_UNRESOLVED:
		return "its name is not resolved";
	case HEALTH_REASONS:
		break;
	}
	return "it fails";
}

/* What is wrong with its certificate or TLS, unless it is something else by now. */
static const char *health_fault(const struct health *h, bool failed, enum health_reason reason)
{
	if (failed && reason != HEALTH_CERTIFICATE && reason != HEALTH_PROTOCOL)
		return NULL;
	return atomic_load_explicit(&h->fault, memory_order_relaxed);
}

void health_note_fault(struct health *h, const char *why)
{
	atomic_store_explicit(&h->fault, why, memory_order_relaxed);
}

static void health_tell(struct health *h, const struct health_news *news)
{
	const char            *fault = health_fault(h, true, news->reason);
	const struct log_field fields[] = { { "LARDER_UPSTREAM", h->name }, { NULL, NULL } };
	uint32_t               dropped;

	if (!log_limit_pass(&h->said, &dropped))
		return;
	if (news->to == HEALTH_OPEN)
		log_event(LOG_LEVEL_WARNING, fields, "upstream %s: %s; not asked until a probe is answered", h->name,
		          fault ? fault : health_in_words(news->reason));
	else
		log_event(LOG_LEVEL_NOTICE, fields, "upstream %s: works again", h->name);
}

static void health_lock(struct health *h)
{
	pthread_mutex_lock(&h->lock);
}

/* What there is to tell is told without the lock: whoever takes log lines may be slow. */
static void health_unlock(struct health *h)
{
	struct health_news news = h->news;

	h->news.any = false;
	pthread_mutex_unlock(&h->lock);
	if (news.any)
		health_tell(h, &news);
}

/* The only writer of own_state. */
static void health_enter(struct health *h, enum health_state to, enum health_reason reason, uint64_t now_us)
{
	enum health_state from = h->own_state;

	if (from == to)
		return;
	h->own_state = to;
	h->transitions[to][reason]++;
	if (from == HEALTH_OPEN) {		/* what failed meanwhile says nothing any more */
		h->probes = 0;
		atomic_store_explicit(&h->opened_us, 0, memory_order_relaxed);
		atomic_fetch_add_explicit(&h->epoch, 1, memory_order_relaxed);
	}
	if (from == HEALTH_OPEN || to == HEALTH_OPEN)
		h->news = (struct health_news){ true, to, reason };
	switch (to) {
	case HEALTH_GOOD:
		h->failures = 0;
		h->backoff = 0;
		break;
	case HEALTH_SUSPECT:
		break;
	case HEALTH_OPEN:
		h->probes = 0;
		h->next_probe_us = now_us + PROBE_FIRST_US;
		atomic_store_explicit(&h->opened_us, now_us, memory_order_relaxed);
		break;
	}
	health_publish_state(h);
}

static enum health_reason health_last_reason(const struct health *h)
{
	return (enum health_reason)atomic_load_explicit(&h->reason, memory_order_relaxed);
}

/* Where the last two labels of a name begin. */
static size_t health_parent_at(const uint8_t *name)
{
	size_t at = 0, last = 0, before = 0;

	for (; name[at]; at += name[at] + 1u) {
		before = last;
		last = at;
	}
	return before;
}

static bool health_same_parent(const struct dns_name *a, const uint8_t *b, size_t b_len)
{
	size_t x = health_parent_at(a->octets), y = health_parent_at(b);

	return dns_name_equal(a->octets + x, a->len - x, b + y, b_len - y);
}

/* The two questions kept lie under different parents: one zone that dies does not take both. */
static void health_learn_question(struct health *h, const struct health_answer *a)
{
	struct health_question *q = &h->control[0];

	if (a->qname_len <= 1 || !a->is_control)	/* the root is asked anyway */
		return;
	if (q->qname.len && !health_same_parent(&q->qname, a->qname, a->qname_len))
		h->control[1] = *q;
	memcpy(q->qname.octets, a->qname, a->qname_len);
	q->qname.len = a->qname_len;
	q->name_hash = a->name_hash;
	q->qtype = a->qtype;
}

void health_answered(struct health *h, const struct health_answer *a, uint64_t now_us)
{
	health_lock(h);
	recent_add(&h->answers, now_us - a->sent_us, now_us);
	atomic_store_explicit(&h->sampled_us, now_us, memory_order_relaxed);
	health_learn_question(h, a);
	h->failures = 0;
	/* An answer that was on its way when the breaker opened does not close it: probes do. */
	if (h->own_state == HEALTH_SUSPECT ||
	    (h->own_state == HEALTH_OPEN && a->sent_us > atomic_load_explicit(&h->opened_us, memory_order_relaxed)))
		health_enter(h, HEALTH_GOOD, health_last_reason(h), now_us);
	if (h->backoff || h->answers.total < TIMES_SAMPLES || !(h->samples++ % TIMES_EVERY)) {
		h->backoff = 0;
		health_publish_times(h);
	}
	health_unlock(h);
}

/* One control question or probe at a time.  Gives its ticket, or 0. */
static uint32_t health_take_question(struct health *h, uint64_t apart_us, uint64_t now_us)
{
	uint64_t since_us = health_since_us(h->asked_us, now_us);

	if (h->asking && since_us < PROBE_LOST_US)
		return 0;
	if (h->asked_us && since_us < apart_us)
		return 0;
	if (!++h->tickets)		/* 0 is none */
		h->tickets = 1;
	h->asking = h->tickets;
	h->asked_us = now_us;
	return h->asking;
}

uint32_t health_failed(struct health *h, enum health_reason reason, uint64_t name_hash, uint64_t now_us)
{
	uint32_t ask = 0;

	health_lock(h);
	h->failed_once = true;
	atomic_store_explicit(&h->reason, (uint8_t)reason, memory_order_relaxed);
	if (reason == HEALTH_SILENT) {
		h->backoff++;
		health_publish_times(h);
	}
	if (!h->failures || h->failed_name != name_hash)
		h->failures++;
	h->failed_name = name_hash;
	if (h->failures >= SUSPICIOUS && h->own_state != HEALTH_OPEN) {
		ask = health_take_question(h, CONTROL_APART_US, now_us);
		h->controls += ask != 0;
		if (h->asking)		/* one that is under way already serves as well */
			health_enter(h, HEALTH_SUSPECT, reason, now_us);
	}
	health_unlock(h);
	return ask;
}

/* ---- probes ---- */

static bool health_is_probed(const struct health *h)
{
	return h->own_state == HEALTH_OPEN && h->order != HEALTH_DOWN && !h->nowhere;
}

static uint64_t health_probe_due_us(const struct health *h)
{
	uint64_t often_us = h->asked_us + PROBE_WANTED_US;

	return h->wanted_until_us > often_us && often_us < h->next_probe_us ? often_us : h->next_probe_us;
}

uint32_t health_take_probe(struct health *h, uint64_t now_us)
{
	uint32_t take = 0;

	health_lock(h);
	if (health_is_probed(h) && now_us >= health_probe_due_us(h))
		take = health_take_question(h, 0, now_us);
	h->probes_sent += take != 0;
	health_unlock(h);
	return take;
}

uint32_t health_take_look(struct health *h, uint64_t apart_us, uint64_t now_us)
{
	uint64_t last_us = atomic_load_explicit(&h->sampled_us, memory_order_relaxed);
	uint32_t take = 0;

	if (health_state(h) != HEALTH_GOOD || (last_us && health_since_us(last_us, now_us) < apart_us))
		return 0;
	health_lock(h);
	if (h->own_state == HEALTH_GOOD)
		take = health_take_question(h, apart_us, now_us);
	h->probes_sent += take != 0;
	health_unlock(h);
	return take;
}

bool health_knock(struct health *h, uint64_t apart_us, uint64_t now_us)
{
	bool may;

	health_lock(h);
	may = health_is_probed(h) && (!h->asked_us || health_since_us(h->asked_us, now_us) >= apart_us) &&
	      (!h->knocked_us || health_since_us(h->knocked_us, now_us) >= apart_us);
	if (may)
		h->knocked_us = now_us;
	health_unlock(h);
	return may;
}

uint64_t health_next_probe_us(struct health *h)
{
	uint64_t at_us = UINT64_MAX;

	health_lock(h);
	if (health_is_probed(h))
		at_us = h->asking ? h->asked_us + PROBE_LOST_US : health_probe_due_us(h);
	health_unlock(h);
	return at_us;
}

bool health_control(struct health *h, unsigned which, struct health_question *out)
{
	*out = (struct health_question){ .qname = { .len = 1 }, .qtype = DNS_NS };
	if (which >= HEALTH_CONTROLS)
		return true;
	health_lock(h);
	*out = h->control[which];
	if (which && h->own_state == HEALTH_OPEN)	/* probes go out often */
		out->qname.len = 0;
	health_unlock(h);
	return out->qname.len;
}

/* 0.5 s, doubling to 30 s, each time up to a fifth less, so that many hosts do not probe in step. */
static uint64_t health_probe_wait_us(const struct health *h, uint8_t jitter)
{
	uint64_t us = health_clamp(PROBE_FIRST_US << (h->probes < 16 ? h->probes : 16), 0, PROBE_MAX_US);

	return us - us / 5 * jitter / 255;
}

static void health_fail(struct health *h, const struct health_report *r, uint64_t now_us)
{
	if (h->own_state == HEALTH_GOOD)	/* another answer has cleared it meanwhile */
		return;
	atomic_store_explicit(&h->reason, (uint8_t)r->reason, memory_order_relaxed);
	if (h->own_state == HEALTH_SUSPECT) {
		health_enter(h, HEALTH_OPEN, r->reason, now_us);
		return;
	}
	h->probes++;
	h->next_probe_us = now_us + health_probe_wait_us(h, r->jitter);
}

void health_probed(struct health *h, uint32_t ticket, const struct health_report *r, uint64_t now_us)
{
	health_lock(h);
	if (h->asking != ticket) {	/* everything has begun anew since it was asked */
		health_unlock(h);
		return;
	}
	h->asking = 0;
	switch (r->verdict) {
	case HEALTH_WORKS:
		health_enter(h, HEALTH_GOOD, health_last_reason(h), now_us);
		break;
	case HEALTH_KNOWS_ROOT:
		if (h->own_state == HEALTH_OPEN)
			health_enter(h, HEALTH_SUSPECT, health_last_reason(h), now_us);
		break;
	case HEALTH_FAILS:
		health_fail(h, r, now_us);
		break;
	case HEALTH_NOT_ASKED:
		if (h->own_state == HEALTH_OPEN)
			h->next_probe_us = now_us + PROBE_FIRST_US;
		else
			health_enter(h, HEALTH_GOOD, health_last_reason(h), now_us);
		break;
	}
	health_unlock(h);
}

void health_want(struct health *h, uint64_t now_us)
{
	uint64_t until_us = now_us + WANTED_US;

	/* Every stale answer says so: once in a while is enough. */
	if (atomic_load_explicit(&h->wanted_until_us, memory_order_relaxed) + WANTED_US / 10 < until_us)
		atomic_store_explicit(&h->wanted_until_us, until_us, memory_order_relaxed);
}

bool health_is_wanted(const struct health *h, uint64_t now_us)
{
	return atomic_load_explicit(&h->wanted_until_us, memory_order_relaxed) > now_us;
}

/* ---- from outside ---- */

void health_lacks_place(struct health *h, uint64_t now_us)
{
	health_lock(h);
	h->nowhere = true;
	h->failed_once = true;
	atomic_store_explicit(&h->reason, HEALTH_UNRESOLVED, memory_order_relaxed);
	health_enter(h, HEALTH_OPEN, HEALTH_UNRESOLVED, now_us);
	atomic_store_explicit(&h->opened_us, now_us, memory_order_relaxed);
	h->news.any = false;		/* whoever looks for its address tells */
	health_publish_state(h);
	health_unlock(h);
}

void health_has_place(struct health *h, uint64_t now_us)
{
	bool anew;

	health_lock(h);
	if (h->nowhere)
		h->failed_once = false;
	anew = h->nowhere || h->own_state == HEALTH_OPEN;
	h->nowhere = false;
	health_unlock(h);
	if (anew)
		health_begin_anew(h, now_us);
}

void health_begin_anew(struct health *h, uint64_t now_us)
{
	health_lock(h);
	atomic_fetch_add_explicit(&h->epoch, 1, memory_order_relaxed);
	if (h->nowhere) {
		health_unlock(h);
		return;
	}
	health_enter(h, HEALTH_GOOD, health_last_reason(h), now_us);
	h->news.any = false;		/* that it works is not known yet */
	h->failures = 0;
	h->backoff = 0;
	h->asking = 0;
	health_publish_times(h);
	health_unlock(h);
}

void health_give_order(struct health *h, enum health_order order, uint64_t now_us)
{
	health_lock(h);
	/* Nothing was found out while it was down, and nobody waits to probe it: two failures open it again. */
	if (h->order == HEALTH_DOWN && order != HEALTH_DOWN && !h->nowhere) {
		health_enter(h, HEALTH_GOOD, health_last_reason(h), now_us);
		h->asking = 0;
	}
	h->order = (uint8_t)order;
	if (order != HEALTH_DOWN)	/* what was held while it was down says nothing any more */
		atomic_fetch_add_explicit(&h->epoch, 1, memory_order_relaxed);
	health_publish_state(h);
	health_unlock(h);
}

void health_learn_early(struct health *h, bool gained)
{
	int8_t now = atomic_load_explicit(&h->early, memory_order_relaxed);

	/* Two that gained nothing are proof; one may be a zone's own doing.  Of two upstreams that are caches the other
	 * may have had a younger copy, so it takes a row of those that gained to outweigh them. */
	if (gained)
		now = (int8_t)(now < EARLY_MOST ? now + 1 : EARLY_MOST);
	else
		now = now < 0 ? -EARLY_MOST : -1;
	atomic_store_explicit(&h->early, now, memory_order_relaxed);
}

void health_learn_lag(struct health *h, bool lags)
{
	atomic_store_explicit(&h->lag_ms, lags ? LAG_MS : 0, memory_order_relaxed);
}

void health_read(struct health *h, struct health_view *out)
{
	health_lock(h);
	*out = (struct health_view){
		.state = health_state(h),
		.own_state = h->own_state,
		.order = (enum health_order)h->order,
		.reason = health_last_reason(h),
		.failed_once = h->failed_once,
		.fault = health_fault(h, h->failed_once, health_last_reason(h)),
		.p50_us = recent_quantile_us(&h->answers, 0.5),
		.p75_us = recent_quantile_us(&h->answers, 0.75),
		.p99_us = recent_quantile_us(&h->answers, 0.99),
		.hedge_us = atomic_load_explicit(&h->hedge_us, memory_order_relaxed),
		.timeout_us = atomic_load_explicit(&h->timeout_us, memory_order_relaxed),
		.opened_us = atomic_load_explicit(&h->opened_us, memory_order_relaxed),
		.next_probe_us = health_is_probed(h) ? health_probe_due_us(h) : 0,
		.failures = h->failures,
		.early = atomic_load_explicit(&h->early, memory_order_relaxed),
		.epoch = atomic_load_explicit(&h->epoch, memory_order_relaxed),
		.controls = h->controls,
		.probes_sent = h->probes_sent,
		.control = h->control[0],
	};
	memcpy(out->transitions, h->transitions, sizeof out->transitions);
	health_unlock(h);
}

bool health_works(struct health *h)
{
	bool works;

	health_lock(h);
	works = h->own_state != HEALTH_OPEN && h->order != HEALTH_DOWN;
	health_unlock(h);
	return works;
}
