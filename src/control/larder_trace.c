/* larder_trace.c - io.larder: a question asked as a client would, step by step. */
#include "control/call.h"
#include "control/control.h"
#include "control/records.h"
#include "control/reply.h"
#include "dns/rrtype.h"
#include "dns/text.h"
#include "dns/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* An order until its report is there. */
struct larder_tracing {
	struct call_later later;
};

/* ---- what a report says ---- */

/* An instant, counted from the order; null: not the case, or before since. */
static json_t *trace_at(const struct trace_report *r, uint64_t at_us, uint64_t since_us)
{
	return at_us && at_us >= since_us ? json_integer((json_int_t)(at_us - r->ordered_us)) : json_null();
}

static json_t *trace_try(const struct trace_report *r, const struct course_try *t)
{
	static const char *const ends[] = {
		[COURSE_OPEN] = "open", [COURSE_GIVEN_UP] = "given-up", [COURSE_ANSWER] = "answer",
		[COURSE_TRUNCATED] = "truncated", [COURSE_FORGED] = "forged", [COURSE_NO_EDNS] = "no-edns",
		[COURSE_FAILED] = "failed", [COURSE_LOOP] = "loop", [COURSE_LOST] = "lost", [COURSE_DROPPED] = "dropped",
	};
	static const char *const kinds[TRANSPORT_KINDS] = { "udp", "tcp", "tls", "https" };
	char                     rcode[DNS_RCODE_TEXT_MAX];

	return json_pack("{s:o, s:s, s:I, s:o, s:o, s:o, s:o, s:b, s:o, s:s, s:o, s:o, s:b}",
	                 "upstream", reply_text(t->upstream),
	                 "transport", kinds[t->kind],
	                 "started_us", (json_int_t)(t->started_us - r->ordered_us),
	                 "sent_us", trace_at(r, t->sent_us, t->started_us),
	                 "connected_us", trace_at(r, t->connected_us, t->started_us),
	                 "secured_us", trace_at(r, t->secured_us, t->started_us),
	                 "first_us", trace_at(r, t->first_us, t->started_us),
	                 "resumed", t->resumed,
	                 "ended_us", trace_at(r, t->ended_us, t->started_us),
	                 "result", ends[t->end],
	                 "rcode", reply_text(t->end == COURSE_FAILED ? dns_rcode_to_text(t->rcode, rcode) : NULL),
	                 "error", reply_text(t->end == COURSE_LOST ? strerror(-t->error) : NULL),
	                 "for_target", t->for_target);
}

static json_t *trace_tries(const struct trace_report *r)
{
	json_t *list = json_array();

	for (unsigned i = 0; list && i < r->course.try_count; i++)
		if (json_array_append_new(list, trace_try(r, &r->course.tries[i]))) {
			json_decref(list);
			list = NULL;
		}
	return list;
}

static json_t *trace_flight(const struct trace_report *r)
{
	if (!r->course.flew)
		return json_null();
	return json_pack("{s:b, s:I, s:o, s:b, s:b, s:o}",
	                 "joined", r->course.began_us < r->asked_us,
	                 "began_us", (json_int_t)(r->course.began_us - r->ordered_us),
	                 "hedge_us", reply_count(r->course.hedge_us),
	                 "parked", r->course.parked,
	                 "unfinished", r->course.unfinished,
	                 "tries", trace_tries(r));
}

static json_t *trace_flags(uint16_t flags)
{
	static const struct {
		uint16_t    bit;
		const char *name;
	} names[] = { { DNS_AA, "aa" }, { DNS_TC, "tc" }, { DNS_RA, "ra" }, { DNS_AD, "ad" } };
	json_t *list = json_array();

	for (size_t i = 0; list && i < sizeof names / sizeof *names; i++)
		if (flags & names[i].bit && json_array_append_new(list, json_string(names[i].name))) {
			json_decref(list);
			list = NULL;
		}
	return list;
}

/* The OPT of a message, whose rdata options becomes.  False: there is none. */
static bool trace_find_opt(const uint8_t *msg, size_t len, struct cursor *options)
{
	struct cursor          c = cursor_of(msg, len, DNS_HEADER_LEN);
	struct dns_text_record r;

	cursor_skip_name(&c);
	cursor_skip(&c, 4);
	while (dns_text_read(&c, &r))
		if (r.type == DNS_OPT) {
			*options = r.rdata;
			return true;
		}
	return false;
}

/* The extended error of a reply, or DNS_EDE_NONE; its text in *text, NULL without memory or when there is none. */
static uint32_t trace_extended_error(const uint8_t *msg, size_t len, json_t **text)
{
	struct cursor options;

	*text = json_null();
	if (!trace_find_opt(msg, len, &options))
		return DNS_EDE_NONE;
	while (cursor_left(&options)) {
		uint16_t       code = cursor_u16(&options);
		struct cursor  data = cursor_sub(&options, cursor_u16(&options));
		uint16_t       info = cursor_u16(&data);
		size_t         n = cursor_left(&data);
		const uint8_t *octets = cursor_take(&data, n);

		if (options.bad || code != DNS_OPTION_EDE || data.bad)
			continue;
		if (n)
			*text = json_stringn((const char *)octets, n);
		return info;
	}
	return DNS_EDE_NONE;
}

static json_t *trace_report(const struct trace_report *r)
{
	const struct course_client client = { .asked_us = r->asked_us, .answered_us = r->answered_us,
		                              .outcome = r->outcome };
	char     name[DNS_NAME_TEXT_MAX], type[DNS_RRTYPE_TEXT_MAX], rcode[DNS_RCODE_TEXT_MAX];
	char     reason[COURSE_WORDS_MAX];
	uint16_t flags = r->reply_len < DNS_HEADER_LEN ? DNS_SERVFAIL : wire_u16(r->reply + 2);
	json_t  *text;
	uint32_t ede = trace_extended_error(r->reply, r->reply_len, &text);

	dns_name_to_text(r->question.name.octets, r->question.name.len, name);
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
	                 "name", name,
	                 "type", dns_rrtype_to_text(r->question.qtype, type),
	                 "outcome", stats_outcome_rows[r->outcome].name,
	                 "rcode", dns_rcode_to_text(flags & DNS_RCODE, rcode),
	                 "flags", trace_flags(flags),
	                 "extended_error", ede == DNS_EDE_NONE ? json_null() : json_integer(ede),
	                 "extended_text", text,
	                 "asked_us", trace_at(r, r->asked_us, 0),
	                 "answered_us", trace_at(r, r->answered_us, 0),
	                 "reason", reply_text(course_tell(&r->course, &client, reason)),
	                 "flight", trace_flight(r),
	                 "records", records_of_message(r->reply, r->reply_len));
}

/* ---- the order ---- */

static void larder_on_traced(void *arg, const struct trace_report *report)
{
	struct larder_tracing *t = arg;
	struct call            c = { .ops = NULL };

	call_reply(&c, report ? trace_report(report) : NULL);
	call_tell_later(&t->later, &c);
	free(t);
}

/* NULL, or the parameter that makes no sense. */
static const char *larder_read_question(const json_t *parameters, struct trace_question *q)
{
	const char *type = json_string_value(json_object_get(parameters, "type"));

	*q = (struct trace_question){
		.qtype = DNS_A,
		.dnssec_ok = json_is_true(json_object_get(parameters, "dnssec_ok")),
		.checking_disabled = json_is_true(json_object_get(parameters, "checking_disabled")),
	};
	if (dns_name_from_text(json_string_value(json_object_get(parameters, "name")), &q->name))
		return "name";
	dns_name_lower(q->name.octets, q->name.len);
	return type && dns_rrtype_from_text(type, &q->qtype) ? "type" : NULL;
}

void larder_trace(struct call *c)
{
	struct trace_question  q;
	const char            *flaw = larder_read_question(c->parameters, &q);
	struct larder_tracing *t;
	int                    err;

	if (flaw) {
		call_invalid(c, flaw);
		return;
	}
	t = calloc(1, sizeof *t);
	err = t ? c->ops->trace(c->ops->arg, &q, larder_on_traced, t) : -ENOMEM;
	if (!err) {
		c->later = &t->later;
		return;
	}
	free(t);
	call_refuse(c, err);
}
