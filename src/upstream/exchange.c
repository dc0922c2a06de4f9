/* exchange.c - sending a question, judging what comes back. */
#include "upstream/exchange.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/rng.h"
#include "dns/cursor.h"
#include "dns/wire.h"

#include <errno.h>
#include <string.h>

#define MISMATCHES_MAX 20	/* then the question goes by stream as well (RFC 5452 s. 9.3) */
#define EDNS_MEMO_MS   60000	/* how long a server's rejection of EDNS is remembered */
#define PADDING_BLOCK  128	/* RFC 8467 s. 4.1 */
#define QUERY_MAX      (3 * PADDING_BLOCK)	/* header, longest name, OPT and padding */

static struct exchange *exchange_of(struct transport_send *s)
{
	return list_entry(s, struct exchange, send);
}

/* ---- all that are open ---- */

void exchanges_init(struct exchanges *e)
{
	for (unsigned i = 0; i < EXCHANGE_BUCKETS; i++)
		list_init(&e->bucket[i]);
}

static const struct list *exchanges_bucket(const struct exchanges *e, const struct exchange_question *q)
{
	return &e->bucket[q->name_hash & (EXCHANGE_BUCKETS - 1)];
}

static bool exchange_asks_like(const struct exchange_question *a, const struct exchange_question *b)
{
	return a->name_hash == b->name_hash && a->scrub.qtype == b->scrub.qtype &&
	       dns_name_equal(a->scrub.qname, a->scrub.qname_len, b->scrub.qname, b->scrub.qname_len);
}

struct exchange *exchange_next_like(const struct exchanges *all, const struct exchange_question *q,
                                    const struct exchange *after)
{
	const struct list *head = exchanges_bucket(all, q), *n = after ? after->open.next : head->next;

	for (; n != head; n = n->next) {
		struct exchange *x = list_entry((struct list *)(uintptr_t)n, struct exchange, open);

		if (exchange_asks_like(x->question, q))
			return x;
	}
	return NULL;
}

unsigned exchange_count_like(const struct exchanges *all, const struct exchange_question *q, struct exchange **spare)
{
	unsigned n = 0;

	*spare = NULL;
	for (struct exchange *x = NULL; (x = exchange_next_like(all, q, x)); n++)
		if (x->spare)
			*spare = x;
	return n;
}

void exchange_end_spare(struct exchange *x)
{
	exchange_end(x);
	if (x->on_spare)
		x->on_spare(x);
}

bool exchange_is_open(const struct exchange *x)
{
	return transport_lives(&x->send);
}

/* The last one on a channel that is in use no more closes it. */
static void exchange_leave_carrier(struct exchange *x)
{
	channel_unref(x->carrier);
	x->carrier = NULL;
}

void exchange_end(struct exchange *x)
{
	if (!exchange_is_open(x))
		return;
	transport_end(&x->send);
	exchange_leave_carrier(x);
	list_remove(&x->open);
	x->ended_us = clock_mono_us(x->channel->env->clock);
}

/* An event that ends the exchange: the last thing that is done with x. */
static void exchange_finish(struct exchange *x, enum exchange_event event, const struct dns_answer *answer,
                            const struct dns_name *target)
{
	exchange_end(x);
	x->ended_by = (uint8_t)event;
	x->on_event(x, event, answer, target);
}

/* ---- sending ---- */

/* Writes the name with random letter case (draft-vixie-dnsext-dns0x20) and remembers it. */
static void exchange_mix_case(struct exchange *x, uint8_t *name, size_t len)
{
	uint8_t random[sizeof x->mixed];

	memset(x->mixed, 0, sizeof x->mixed);
	rng_bytes(x->channel->env->rng, random, sizeof random);
	for (size_t i = 0; i < len; i++) {
		uint8_t bit = (uint8_t)(1u << (i % 8));

		if (name[i] >= 'a' && name[i] <= 'z' && (random[i / 8] & bit)) {
			name[i] = (uint8_t)(name[i] - 'a' + 'A');
			x->mixed[i / 8] |= bit;
		}
	}
}

static bool exchange_mixes_case(const struct exchange *x)
{
	return x->question->case_mixing && x->kind == TRANSPORT_UDP;
}

/* The padding option, after which len octets are a multiple of the block (RFC 7830 s. 3). */
static size_t exchange_pad(uint8_t *msg, size_t len)
{
	size_t padding = -(len + 4) % PADDING_BLOCK;

	wire_put_u16(msg + len, DNS_OPTION_PADDING);
	wire_put_u16(msg + len + 2, (uint16_t)padding);
	memset(msg + len + 4, 0, padding);
	return 4 + padding;
}

static size_t exchange_write_query(struct exchange *x, uint8_t *msg)
{
	const struct exchange_question *q = x->question;
	size_t                          at = DNS_HEADER_LEN, len = q->scrub.qname_len, options;

	memset(msg, 0, DNS_HEADER_LEN);
	wire_put_u16(msg + 2, (uint16_t)(DNS_RD | (q->checking_disabled ? DNS_CD : 0) |
	                                 (x->channel->upstream->conf.trusted ? DNS_AD : 0)));	/* RFC 6840 s. 5.7 */
	wire_put_u16(msg + 4, 1);
	wire_put_u16(msg + 10, x->with_edns);
	memcpy(msg + at, q->scrub.qname, len);
	if (exchange_mixes_case(x))
		exchange_mix_case(x, msg + at, len);
	at += len;
	wire_put_u16(msg + at, q->scrub.qtype);
	wire_put_u16(msg + at + 2, DNS_IN);
	at += 4;
	if (!x->with_edns)
		return at;
	msg[at] = 0;
	wire_put_u16(msg + at + 1, DNS_OPT);
	wire_put_u16(msg + at + 3, q->edns_size);
	wire_put_u32(msg + at + 5, q->scrub.dnssec_ok ? 0x8000 : 0);
	options = transport_kind_is_encrypted(x->kind) ? exchange_pad(msg, at + 11) : 0;
	wire_put_u16(msg + at + 9, (uint16_t)options);
	return at + 11 + options;
}

/* ---- judging ---- */

enum exchange_match {
	MATCH_YES,
	MATCH_CASE,		/* the right question in another letter case than ours */
	MATCH_NO,
};

/* Is this the reply's question section ours?  Error replies may come without one (RFC 8906). */
static enum exchange_match exchange_match_question(const struct exchange *x, const uint8_t *msg, size_t len)
{
	const struct dns_scrub_query *q = &x->question->scrub;
	struct cursor                 c = cursor_of(msg, len, 4);
	unsigned                      qdcount = cursor_u16(&c), rcode = wire_u16(msg + 2) & DNS_RCODE;
	const uint8_t                *name;
	size_t                        name_len;

	cursor_skip(&c, 6);
	if (qdcount == 0)
		return rcode == DNS_FORMERR || rcode == DNS_SERVFAIL || rcode == DNS_NOTIMP ||
		       rcode == DNS_REFUSED ? MATCH_YES : MATCH_NO;
	name = cursor_plain_name(&c, &name_len);
	if (qdcount != 1 || !name || cursor_u16(&c) != q->qtype || cursor_u16(&c) != DNS_IN || c.bad ||
	    !dns_name_equal(name, name_len, q->qname, q->qname_len))
		return MATCH_NO;
	for (size_t i = 0; exchange_mixes_case(x) && i < name_len; i++) {
		bool upper = x->mixed[i / 8] >> (i % 8) & 1;

		if (name[i] != (upper ? q->qname[i] - 'a' + 'A' : q->qname[i]))
			return MATCH_CASE;
	}
	return MATCH_YES;
}

/* The octets of the reply's OPT, with *options over its options; false: there is none. */
static bool exchange_find_opt(const uint8_t *msg, size_t len, struct cursor *options)
{
	struct cursor c = cursor_of(msg, len, 4);
	unsigned      questions = cursor_u16(&c);
	unsigned      records = 0;

	for (unsigned i = 0; i < 3; i++)
		records += cursor_u16(&c);
	for (unsigned i = 0; i < questions && !c.bad; i++) {
		cursor_skip_name(&c);
		cursor_skip(&c, 4);
	}
	for (unsigned i = 0; i < records && !c.bad; i++) {
		uint16_t type;

		cursor_skip_name(&c);
		type = cursor_u16(&c);
		cursor_skip(&c, 6);
		*options = cursor_sub(&c, cursor_u16(&c));
		if (type == DNS_OPT && !c.bad)
			return true;
	}
	return false;
}

/* What the reply's OPT says that concerns us: how long the server keeps an idle connection (RFC 7828
 * s. 3.2.2), and why it could not answer (RFC 8914).  Malformed options end the reading and do no harm. */
static void exchange_read_options(struct exchange *x, struct cursor options)
{
	while (cursor_left(&options)) {
		uint16_t      code = cursor_u16(&options);
		struct cursor value = cursor_sub(&options, cursor_u16(&options));
		size_t        len = cursor_left(&value);
		uint16_t      number = cursor_u16(&value);

		if (value.bad || len < 2)
			continue;
		if (code == DNS_OPTION_KEEPALIVE && len == 2 && x->kind != TRANSPORT_UDP)
			transport_idle_hint(&x->send, number * 100u);
		if (code == DNS_OPTION_EDE && x->ede == DNS_EDE_NONE)
			x->ede = number;
	}
}

static void exchange_ignore(struct exchange *x)
{
	stats_count(x->channel->env->stats, STATS_UPSTREAM_IGNORED);
	if (++x->mismatches >= MISMATCHES_MAX && x->kind == TRANSPORT_UDP)
		exchange_finish(x, EXCHANGE_FORGED, NULL, NULL);	/* the next guess would come too late */
}

static void exchange_note_case(struct exchange *x)
{
	stats_count(x->channel->env->stats, STATS_UPSTREAM_IGNORED);
	if (x->case_differs)
		return;
	x->case_differs = true;
	x->on_event(x, EXCHANGE_CASE, NULL, NULL);
}

/* FORMERR or NOTIMP without an OPT: the server may know no EDNS. */
static bool exchange_rejects_edns(const struct exchange *x, unsigned rcode, bool has_opt)
{
	return x->with_edns && !has_opt && (rcode == DNS_FORMERR || rcode == DNS_NOTIMP);
}

static void exchange_failed(struct exchange *x, uint8_t rcode)
{
	x->rcode = rcode;
	channel_count(x->channel, UPSTREAM_RCODE);
	exchange_finish(x, EXCHANGE_FAILED, NULL, NULL);
}

/* When the first octets of the answer had come: not before all of the question had gone. */
static uint64_t exchange_first_us(const struct exchange *x, uint64_t now_us)
{
	uint64_t first_us = x->send.first_us ? x->send.first_us : now_us;	/* a datagram comes at once */

	return first_us > x->send.sent_us ? first_us : x->send.sent_us;
}

/* The server works, and it took so long. */
static void exchange_note_answer(struct exchange *x)
{
	const struct dns_scrub_query *q = &x->question->scrub;
	uint64_t                      now_us = clock_mono_us(x->channel->env->clock);
	const struct health_answer    a = { .qname = q->qname, .qname_len = (uint8_t)q->qname_len,
		                            .qtype = q->qtype, .name_hash = x->question->name_hash,
		                            .sent_us = x->started_us,
		                            .is_control = !x->question->checking_disabled };

	channel_count(x->channel, UPSTREAM_ANSWERED);
	if (!transport_kind_is_encrypted(x->kind))
		secure_on_clear(&x->channel->upstream->secure);
	else
		secure_on_answer(&x->channel->upstream->secure, now_us);
	histogram_add(&x->channel->stats->exchange, now_us - x->started_us, 1);
	if (x->send.sent_us)
		histogram_add(&x->channel->stats->first_octet, exchange_first_us(x, now_us) - x->send.sent_us, 1);
	health_answered(&x->channel->upstream->health, &a, now_us);
}

/* The reply matches.  What does it say? */
static void exchange_on_reply(struct exchange *x, const uint8_t *msg, size_t len)
{
	const struct upstream_env *env = x->channel->env;
	uint16_t                   flags = wire_u16(msg + 2);
	struct dns_scrub_query     query = x->question->scrub;
	struct dns_answer          answer;
	struct dns_name            target;
	struct cursor              options;
	enum dns_scrub_verdict     verdict;
	bool                       has_opt = exchange_find_opt(msg, len, &options);

	if (has_opt)
		exchange_read_options(x, options);
	if (flags & DNS_TC && x->kind == TRANSPORT_UDP) {
		channel_count(x->channel, UPSTREAM_TRUNCATED);
		stats_count(env->stats, STATS_TCP_RETRIES);
		exchange_finish(x, EXCHANGE_TRUNCATED, NULL, NULL);
		return;
	}
	if (exchange_rejects_edns(x, flags & DNS_RCODE, has_opt)) {
		atomic_store(&x->channel->upstream->no_edns_until_ms, clock_boot_ms(env->clock) + EDNS_MEMO_MS);
		exchange_finish(x, EXCHANGE_NO_EDNS, NULL, NULL);
		return;
	}
	if (has_opt && options.base[options.pos - 6]) {
		exchange_failed(x, DNS_SERVFAIL);	/* an extended rcode concerns this hop (RFC 6891 s. 6.1.3) */
		return;
	}
	query.age_s = x->send.age_s;
	verdict = dns_scrub_reply(env->scrub, msg, len, &query, &answer, &target);
	answer.authentic = x->channel->upstream->conf.trusted && flags & DNS_AD;
	switch (verdict) {
	case DNS_SCRUB_ANSWER:
		exchange_note_answer(x);
		exchange_finish(x, EXCHANGE_ANSWER, &answer, NULL);
		return;
	case DNS_SCRUB_ALIAS_OUT:
		exchange_note_answer(x);
		exchange_finish(x, EXCHANGE_ALIAS_OUT, &answer, &target);
		return;
	case DNS_SCRUB_FAILURE:
		exchange_failed(x, (uint8_t)(flags & DNS_RCODE));
		return;
	case DNS_SCRUB_LOOP:
		exchange_finish(x, EXCHANGE_LOOP, NULL, NULL);
		return;
	case DNS_SCRUB_MALFORMED:
		channel_count(x->channel, UPSTREAM_MALFORMED);
		stats_count(env->stats, STATS_UPSTREAM_MALFORMED);
		if (x->kind == TRANSPORT_UDP) {		/* perhaps not from the server at all */
			exchange_ignore(x);
			return;
		}
		x->error = -EBADMSG;
		exchange_finish(x, EXCHANGE_LOST, NULL, NULL);
		return;
	}
}

static void exchange_on_message(struct transport_send *s, const uint8_t *msg, size_t len)
{
	struct exchange *x = exchange_of(s);

	if (len < DNS_HEADER_LEN || !(wire_u16(msg + 2) & DNS_QR) || wire_u16(msg + 2) & DNS_OPCODE) {
		exchange_ignore(x);
		return;
	}
	switch (exchange_match_question(x, msg, len)) {
	case MATCH_YES:
		exchange_on_reply(x, msg, len);
		return;
	case MATCH_CASE:
		exchange_note_case(x);
		return;
	case MATCH_NO:
		exchange_ignore(x);
		return;
	}
}

static void exchange_on_mismatch(struct transport_send *s)
{
	exchange_ignore(exchange_of(s));
}

static enum upstream_counter exchange_counter_of(int error)
{
	switch (error) {
	case -ECONNRESET:
		return UPSTREAM_CLOSED;
	case -ETIMEDOUT:
		return UPSTREAM_TIMEOUT;
	case -ECONNREFUSED:
		return UPSTREAM_REFUSED;
	case -EKEYREJECTED:
		return UPSTREAM_CERTIFICATE;
	case -EPROTO:
		return UPSTREAM_PROTOCOL;
	case -EREMOTEIO:
		return UPSTREAM_HTTP;
	default:
		return UPSTREAM_UNREACHABLE;
	}
}

static void exchange_count_failure(const struct exchange *x, int error)
{
	enum upstream_counter reason = exchange_counter_of(error);

	channel_count(x->channel, reason);
	if (reason == UPSTREAM_CERTIFICATE)
		channel_count(x->channel, x->channel->check);
}

static void exchange_on_lost(struct transport_send *s, int error)
{
	struct exchange *x = exchange_of(s);

	exchange_leave_carrier(x);
	list_remove(&x->open);
	x->error = error;
	x->ended_by = EXCHANGE_LOST;
	x->ended_us = clock_mono_us(x->channel->env->clock);
	exchange_count_failure(x, error);
	x->on_event(x, EXCHANGE_LOST, NULL, NULL);
}

static bool exchange_has_no_way(int error)
{
	return error == -ENETUNREACH || error == -EHOSTUNREACH || error == -ENETDOWN || error == -EADDRNOTAVAIL;
}

/* Sends to the address that is asked first; a stream goes to whichever takes it, but a datagram, where our system
 * knows no way, to the next. */
static int exchange_send(struct exchange *x)
{
	int err = -ENETUNREACH;

	for (unsigned i = 0; i < ADDR_LIST_MAX && exchange_has_no_way(err); i++) {
		enum transport_kind kind = x->kind;
		struct channel     *carrier = channel_carrier(x->channel, &kind);
		struct transport   *t = carrier ? channel_transport(carrier, kind) : NULL;
		uint8_t             msg[QUERY_MAX];

		if (!t)
			return -ENOMEM;
		err = transport_send(t, &x->send, msg, exchange_write_query(x, msg));
		x->carrier = !err && carrier != x->channel ? channel_ref(carrier) : NULL;
		if (exchange_has_no_way(err) && (x->kind != TRANSPORT_UDP || !channel_move_on(x->channel)))
			break;
	}
	return err;
}

bool exchange_finds_well(struct exchange *x, enum exchange_event event, bool *again)
{
	*again = event == EXCHANGE_NO_EDNS && exchange_start(x, x->kind) == 0;
	return event != EXCHANGE_NO_EDNS && event != EXCHANGE_LOST && event != EXCHANGE_FAILED &&
	       event != EXCHANGE_FORGED;
}

int exchange_start(struct exchange *x, enum transport_kind kind)
{
	static const struct transport_events events = {
		.message = exchange_on_message,
		.mismatch = exchange_on_mismatch,
		.lost = exchange_on_lost,
	};
	const struct upstream_env *env = x->channel->env;
	int                        err;

	x->kind = kind;
	x->send.on = &events;
	x->send.transport = NULL;
	x->send.connected_us = 0;
	x->send.secured_us = 0;
	x->send.sent_us = 0;
	x->send.first_us = 0;
	x->send.resumed = false;
	x->send.doubt = NULL;
	x->send.age_s = 0;
	x->error = 0;
	x->rcode = 0;
	x->ede = DNS_EDE_NONE;
	x->mismatches = 0;
	x->case_differs = false;
	x->spare = false;
	x->started_us = clock_mono_us(env->clock);
	x->ended_us = 0;
	x->ended_by = EXCHANGE_CASE;
	x->with_edns = atomic_load_explicit(&x->channel->upstream->no_edns_until_ms, memory_order_relaxed) <=
	               clock_boot_ms(env->clock);
	err = exchange_send(x);
	if (err == -ENOMEM)
		return err;
	if (err < 0) {
		exchange_count_failure(x, err);
		return err;
	}
	list_append((struct list *)(uintptr_t)exchanges_bucket(env->open, x->question), &x->open);
	channel_count(x->channel, UPSTREAM_SENT);
	if (!transport_kind_is_encrypted(kind))
		secure_look_if_due(x->channel->look, x->started_us);
	upgrade_if_due(x->channel->upgrade, x->started_us);
	return 0;
}
