/* fuzz_answer.c - any octets as an upstream's message.
 *
 * The first octet says what was asked and how, the next two the length of a
 * first message; what is left is a second one.  Both go to one exchange, over a
 * transport that is none; so the question is the first message's own.  Of an
 * answer everything must hold that judge.h knows, in the cache as well; when
 * it is an alias into another route, the second message answers for its
 * target, and the two are joined.
 */
#include "base/clock.h"
#include "base/rng.h"
#include "cache/cache.h"
#include "dns/cursor.h"
#include "dns/scrub.h"
#include "dns/wire.h"
#include "upstream/exchange.h"

#include "../unit/judge.h"
#include "fuzz.h"

#include <errno.h>

enum how {
	HOW_DNSSEC = 1,
	HOW_STREAM = 2,
	HOW_MIXED = 4,		/* random letter case */
	HOW_ROUTES = 8,		/* names below "example" are one route, all others another */
	HOW_NO_EDNS = 16,
	HOW_WRONG_NAME = 32,	/* the question is not the message's */
	HOW_FLOOR = 64,		/* a TTL floor */
};

/* ---- what an exchange needs, none of it real ---- */

static uint64_t fuzz_boot_ms(const struct clock *c)
{
	(void)c;
	return 1000000;
}

static uint64_t fuzz_mono_us(const struct clock *c)
{
	(void)c;
	return 1000000;
}

static void fuzz_random(void *arg, uint8_t *octets, size_t len)
{
	(void)arg;
	memset(octets, 0x5a, len);
}

static int fuzz_send(struct transport *t, struct transport_send *s, uint8_t *msg, size_t len)
{
	fuzz_holds(len >= DNS_HEADER_LEN + 5 && len <= DNS_UDP_MIN);
	wire_put_u16(msg, 0xabcd);
	s->id = 0xabcd;
	s->transport = t;
	return 0;
}

static void fuzz_end(struct transport *t, struct transport_send *s)
{
	(void)t;
	s->transport = NULL;
}

static void fuzz_idle_hint(struct transport *t, struct transport_send *s, uint32_t idle_ms)
{
	(void)t;
	(void)s;
	fuzz_holds(idle_ms <= 6553500);
}

static void fuzz_renew(struct transport *t)
{
	(void)t;
}

static void fuzz_close(struct transport *t)
{
	(void)t;
}

static void fuzz_aim(struct transport *t, const struct addr_list *to)
{
	(void)t;
	(void)to;
}

static const struct transport_ops fuzz_ops = { fuzz_send, fuzz_end, fuzz_idle_hint, fuzz_renew, fuzz_close, fuzz_aim };
static struct transport           fuzz_transport = { &fuzz_ops };
static const struct clock         fuzz_clock = { fuzz_boot_ms, fuzz_mono_us };

static struct transport *fuzz_make(const struct transport_maker *m, enum transport_kind kind, const struct addr *to,
                                   const struct transport_conf *conf)
{
	(void)m;
	(void)kind;
	(void)to;
	(void)conf;
	return &fuzz_transport;
}

static struct world {
	struct stats           stats;
	struct rng             rng;
	struct transport_maker maker;
	struct upstream_env    env;
	struct exchanges       open;
	struct upstream       *upstream;
	struct channel        *channel;
	struct cache          *cache;
	struct exchange        exchange;
	struct exchange_question question;
	uint8_t                qname[DNS_NAME_MAX];
	bool                   over, answered;
	enum exchange_event    event;
	struct dns_answer      answer;		/* its octets are ours */
	uint8_t                body[DNS_MESSAGE_MAX];
	uint16_t               ttl_at[DNS_MESSAGE_MAX / 11];
	struct dns_name        target;
} *world;

static void fuzz_setup(void)
{
	static const uint8_t       secret[16] = "fuzz";
	const struct cache_conf    cache_conf = { .size_octets = (size_t)1 << 20 };
	static char                name[] = "u";
	const struct upstream_conf conf = { .name = name, .url = name };

	if (world)
		return;
	world = calloc(1, sizeof *world);
	fuzz_holds(world);
	rng_init(&world->rng, fuzz_random, NULL);
	world->maker.make = fuzz_make;
	world->env = (struct upstream_env){ .clock = &fuzz_clock, .rng = &world->rng, .stats = &world->stats,
	                                    .scrub = dns_scrub_new(), .maker = &world->maker,
	                                    .open = &world->open };
	exchanges_init(&world->open);
	world->upstream = upstream_new(&conf, 1);
	fuzz_holds(world->upstream && world->env.scrub);
	world->channel = channel_new(world->upstream, &world->env);
	world->cache = cache_new(&cache_conf, secret);
	fuzz_holds(world->channel && world->cache);
}

static bool fuzz_in_route(void *arg, const uint8_t *name, size_t len)
{
	static const uint8_t example[] = "\7example";

	(void)arg;
	return dns_name_below(name, len, example, sizeof example);
}

/* ---- answers ---- */

static void fuzz_judge(const struct dns_scrub_query *q, enum dns_scrub_verdict verdict, const struct dns_answer *a,
                       const struct dns_name *target)
{
	const char *wrong = judge_answer(q, verdict, a, target);

	if (wrong)
		fprintf(stderr, "%s\n", wrong);
	fuzz_holds(!wrong);
}

/* What went into the cache comes out of it. */
static void fuzz_cache(const struct dns_scrub_query *q, const struct dns_answer *a)
{
	static uint8_t     out[DNS_MESSAGE_MAX];
	struct cache_found found;
	struct cache_key   key = {
		.qname = q->qname, .qname_len = q->qname_len, .qtype = q->qtype,
		.variant = q->dnssec_ok ? CACHE_DO : 0,
		.name_hash = cache_hash_name(world->cache, q->qname, q->qname_len),
	};
	bool kept;

	cache_flush_name(world->cache, q->qname, q->qname_len);
	kept = cache_put(world->cache, &key, a, 5000) == 0 && a->ttl_s;
	fuzz_holds((cache_find(world->cache, &key, 5000, out, sizeof out, &found) == CACHE_FRESH) == kept);
	if (!kept)
		return;
	fuzz_holds(found.fit == DNS_FIT_WHOLE && found.len == a->body_len && found.kind == a->kind);
	fuzz_holds(found.head.rcode == a->rcode && found.head.ancount == a->ancount);
	fuzz_holds(!memcmp(out, a->body, a->body_len));
	fuzz_holds(cache_find(world->cache, &key, 5000 + 1000ull * a->ttl_s, out, sizeof out, &found) == CACHE_MISS);
}

/* Cut to what a client can take: whole, without extras, or not at all; and never beyond the room. */
static void fuzz_fit(const struct dns_answer *a, size_t room)
{
	uint8_t              *out = malloc(room);
	struct dns_reply_head head = { 0 };
	enum dns_answer_fit   fit;
	size_t                len;

	fuzz_holds(out);
	fit = dns_answer_write(a, 7, out, room, &head, &len);
	fuzz_holds(fit == (room >= a->body_len ? DNS_FIT_WHOLE : room >= a->required_len ? DNS_FIT_NO_EXTRAS : DNS_FIT_NOT));
	fuzz_holds(len == (fit == DNS_FIT_WHOLE ? a->body_len : fit == DNS_FIT_NOT ? 0 : a->required_len));
	fuzz_holds(head.arcount == (fit == DNS_FIT_WHOLE ? a->arcount : 0));
	fuzz_holds(head.ancount == (fit == DNS_FIT_NOT ? 0 : a->ancount));
	dns_answer_set_ttls(a, 30, out, len);		/* as of stale data */
	free(out);
}

/* Keeps a copy: what an exchange hands out is gone when its event is over. */
static void fuzz_keep(const struct dns_answer *a)
{
	world->answer = *a;
	memcpy(world->body, a->body, a->body_len);
	memcpy(world->ttl_at, a->ttl_at, a->ttl_count * sizeof *a->ttl_at);
	world->answer.body = world->body;
	world->answer.ttl_at = world->ttl_at;
}

static void fuzz_on_event(struct exchange *x, enum exchange_event event, const struct dns_answer *answer,
                          const struct dns_name *target)
{
	const struct dns_scrub_query *q = &x->question->scrub;

	world->event = event;
	world->over = event != EXCHANGE_CASE;
	fuzz_holds(exchange_is_open(x) == !world->over);
	fuzz_holds(!answer == (event != EXCHANGE_ANSWER && event != EXCHANGE_ALIAS_OUT));
	fuzz_holds(!target == (event != EXCHANGE_ALIAS_OUT));
	if (event == EXCHANGE_ANSWER) {
		fuzz_judge(q, DNS_SCRUB_ANSWER, answer, NULL);
		fuzz_cache(q, answer);
		for (size_t room = 1; room < 512; room *= 3)
			fuzz_fit(answer, room);
		fuzz_fit(answer, answer->required_len + 1u);
	} else if (event == EXCHANGE_ALIAS_OUT) {
		fuzz_judge(q, DNS_SCRUB_ALIAS_OUT, answer, target);
		fuzz_keep(answer);
		world->target = *target;
		dns_name_lower(world->target.octets, world->target.len);
	}
}

/* ---- questions ---- */

/* Asks what the message seems to answer. */
static bool fuzz_ask(const uint8_t *msg, size_t size, uint8_t how)
{
	struct cursor    c = cursor_of(msg, size, DNS_HEADER_LEN);
	size_t           len;
	const uint8_t   *name = cursor_plain_name(&c, &len);
	struct exchange *x = &world->exchange;

	if (!name || how & HOW_WRONG_NAME) {
		name = (const uint8_t *)"\1a\7example";
		len = 11;
	}
	memcpy(world->qname, name, len);
	dns_name_lower(world->qname, len);
	memset(&world->question, 0, sizeof world->question);
	world->question.scrub = (struct dns_scrub_query){
		.qname = world->qname, .qname_len = (uint8_t)len, .qtype = cursor_u16(&c),
		.dnssec_ok = how & HOW_DNSSEC, .mixed_case = how & HOW_MIXED,
		.ttl = { .min_s = how & HOW_FLOOR ? 60 : 0, .max_s = 86400, .negative_max_s = 900 },
		.in_route = how & HOW_ROUTES ? fuzz_in_route : NULL,
	};
	world->question.edns_size = 1232;
	world->question.case_mixing = how & HOW_MIXED;
	atomic_store(&world->upstream->no_edns_until_ms, how & HOW_NO_EDNS ? UINT64_MAX : 0);
	memset(x, 0, sizeof *x);
	x->question = &world->question;
	x->channel = world->channel;
	x->on_event = fuzz_on_event;
	world->over = false;
	if (!world->question.scrub.qtype)	/* nobody can ask for it */
		return false;
	return exchange_start(x, how & HOW_STREAM ? TRANSPORT_TCP : TRANSPORT_UDP) == 0;
}

/* Case mixing: the reply's question in the letter case that was sent, or nothing would match. */
static void fuzz_mix(uint8_t *msg, size_t size)
{
	const struct exchange *x = &world->exchange;

	for (size_t i = 0; i < world->question.scrub.qname_len && DNS_HEADER_LEN + i < size; i++)
		if (x->mixed[i / 8] >> (i % 8) & 1 && msg[DNS_HEADER_LEN + i] == world->qname[i])
			msg[DNS_HEADER_LEN + i] = (uint8_t)(world->qname[i] - 'a' + 'A');
}

/* The other route answers for the alias's target. */
static void fuzz_join(uint8_t *msg, size_t size)
{
	struct dns_scrub_query q = world->question.scrub, of_target = q;
	struct dns_answer      rest, whole;
	struct dns_name        target;
	enum dns_scrub_verdict verdict;

	if (size < DNS_HEADER_LEN)
		return;
	of_target.qname = world->target.octets;
	of_target.qname_len = world->target.len;
	of_target.in_route = NULL;
	of_target.mixed_case = false;
	verdict = dns_scrub_reply(world->env.scrub, msg, size, &of_target, &rest, &target);
	fuzz_judge(&of_target, verdict, &rest, &target);
	if (verdict != DNS_SCRUB_ANSWER)
		return;
	verdict = dns_scrub_join(world->env.scrub, &q, &world->answer, &world->target, &rest, &whole);
	fuzz_judge(&q, verdict, &whole, NULL);
	if (verdict == DNS_SCRUB_ANSWER) {
		fuzz_holds(whole.crosses_route);
		fuzz_cache(&q, &whole);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int lost[] = { -ECONNRESET, -ETIMEDOUT, -ECONNREFUSED, -EKEYREJECTED, -EPROTO, -EREMOTEIO, -ENETDOWN };
	uint8_t  how = fuzz_take(&data, &size);
	size_t   first = fuzz_take(&data, &size), second;
	uint8_t *a, *b;

	fuzz_setup();
	first = first << 8 | fuzz_take(&data, &size);
	first = first < size ? first : size;
	second = size - first;
	second = second < DNS_MESSAGE_MAX ? second : DNS_MESSAGE_MAX;
	a = malloc(first + 1);
	b = malloc(second + 1);
	fuzz_holds(a && b);
	memcpy(a + 1, data, first);		/* so that they end where the sanitizer looks */
	memcpy(b + 1, data + first, second);
	if (fuzz_ask(a + 1, first, how)) {
		struct transport_send *s = &world->exchange.send;

		if (how & HOW_MIXED)
			fuzz_mix(a + 1, first);
		if (first >= DNS_HEADER_LEN)
			s->on->message(s, a + 1, first);
		if (world->over && world->event == EXCHANGE_ALIAS_OUT)
			fuzz_join(b + 1, second);
		else if (!world->over && second >= DNS_HEADER_LEN)
			s->on->message(s, b + 1, second);
		for (unsigned i = 0; i < 25 && !world->over; i++)
			s->on->mismatch(s);
		if (!world->over) {
			s->transport = NULL;
			s->on->lost(s, lost[second % (sizeof lost / sizeof *lost)]);
		}
		exchange_end(&world->exchange);
	}
	free(a);
	free(b);
	return 0;
}
