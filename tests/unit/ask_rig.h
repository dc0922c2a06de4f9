/* ask_rig.h - some servers that are none, each at an address of its own, and a clock that the test moves. */
#ifndef LARDER_TESTS_UNIT_ASK_RIG_H
#define LARDER_TESTS_UNIT_ASK_RIG_H

#include "unit.h"

#include "base/clock.h"
#include "base/rng.h"
#include "base/timer.h"
#include "dns/scrub.h"
#include "dns/wire.h"
#include "upstream/exchange.h"

#define RIG_SERVERS 4
#define RIG_SENDS   4096

struct rig_sent {
	struct transport_send *send;	/* NULL: it has ended */
	unsigned               server;
	enum transport_kind    kind;
	uint64_t               at_ms;
	size_t                 len;
	uint8_t                msg[512];
};

struct rig {
	struct clock           clock;	/* the first member */
	uint64_t               now_us;
	struct dice            dice;
	struct rng             rng;
	struct stats           stats;
	struct timers          timers;
	struct exchanges       open;
	struct transport_maker maker;
	struct upstream_env    env;
	struct channel        *servers[RIG_SERVERS];
	size_t                 server_count;
	int                    send_error[RIG_SERVERS];
	struct rig_sent        sent[RIG_SENDS];
	size_t                 sent_count;
	unsigned               transports;	/* that are open */
};

struct rig_transport {
	struct transport      base;
	struct rig           *rig;
	unsigned              server;
	enum transport_kind   kind;
	struct transport_conf conf;	/* as it was given; all zeros where none was */
};

static inline uint64_t rig_boot_ms(const struct clock *c)
{
	return ((const struct rig *)(const void *)c)->now_us / 1000;
}

static inline uint64_t rig_mono_us(const struct clock *c)
{
	return ((const struct rig *)(const void *)c)->now_us;
}

static inline void rig_random(void *arg, uint8_t *octets, size_t len)
{
	dice_octets(arg, octets, len);
}

static inline int rig_send(struct transport *base, struct transport_send *s, uint8_t *msg, size_t len)
{
	struct rig_transport *t = (struct rig_transport *)(void *)base;
	struct rig           *r = t->rig;
	struct rig_sent      *e = &r->sent[r->sent_count];

	if (r->send_error[t->server])
		return r->send_error[t->server];
	assert_true(r->sent_count < RIG_SENDS && len <= sizeof e->msg);
	r->sent_count++;
	s->id = (uint16_t)r->sent_count;
	s->transport = base;
	s->place = e;
	wire_put_u16(msg, s->id);
	*e = (struct rig_sent){ .send = s, .server = t->server, .kind = t->kind, .at_ms = r->now_us / 1000, .len = len };
	memcpy(e->msg, msg, len);
	return 0;
}

static inline void rig_end(struct transport *t, struct transport_send *s)
{
	(void)t;
	((struct rig_sent *)s->place)->send = NULL;
	s->transport = NULL;
}

static inline void rig_idle_hint(struct transport *t, struct transport_send *s, uint32_t idle_ms)
{
	(void)t, (void)s, (void)idle_ms;
}

static inline void rig_renew(struct transport *t)
{
	(void)t;
}

static inline void rig_close(struct transport *t)
{
	((struct rig_transport *)(void *)t)->rig->transports--;
	free(t);
}

static inline void rig_aim(struct transport *t, const struct addr_list *to)
{
	(void)t, (void)to;
}

static inline struct transport *rig_make(const struct transport_maker *m, enum transport_kind kind,
                                         const struct addr *to, const struct transport_conf *conf)
{
	static const struct transport_ops ops = { .send = rig_send, .end = rig_end, .idle_hint = rig_idle_hint,
		                                  .renew = rig_renew, .close = rig_close, .aim = rig_aim };
	struct rig           *r = (struct rig *)((char *)(uintptr_t)m - offsetof(struct rig, maker));
	struct rig_transport *t = malloc(sizeof *t);

	if (!t)
		return NULL;
	*t = (struct rig_transport){ .base.ops = &ops, .rig = r, .server = ntohl(to->in4.sin_addr.s_addr) & 0xff,
		                     .kind = kind };
	if (conf)
		t->conf = *conf;
	r->transports++;
	return &t->base;
}

/* Servers 192.0.2.0, 192.0.2.1 … */
static inline void rig_init(struct rig *r, size_t servers)
{
	memset(r, 0, sizeof *r);
	r->clock = (struct clock){ rig_boot_ms, rig_mono_us };
	r->now_us = 100000000;
	dice_init(&r->dice, 1);
	rng_init(&r->rng, rig_random, &r->dice);
	timers_init(&r->timers, r->now_us / 1000);
	exchanges_init(&r->open);
	r->maker.make = rig_make;
	r->env = (struct upstream_env){ .clock = &r->clock, .rng = &r->rng, .stats = &r->stats, .timers = &r->timers,
		                        .scrub = dns_scrub_new(), .maker = &r->maker, .open = &r->open,
		                        .edns_size = 1232 };
	assert_non_null(r->env.scrub);
	for (; r->server_count < servers; r->server_count++) {
		char                 name[32];
		struct upstream_conf conf = { .name = name, .url = name };
		struct upstream     *u;

		snprintf(name, sizeof name, "192.0.2.%zu", r->server_count);
		assert_int_equal(addr_parse(name, 53, &conf.addr), 0);
		u = upstream_new(&conf, 1);
		r->servers[r->server_count] = channel_new(u, &r->env);
		assert_non_null(r->servers[r->server_count]);
		upstream_unref(u);
	}
}

static inline size_t rig_open_sends(const struct rig *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->sent_count; i++)
		n += r->sent[i].send != NULL;
	return n;
}

static inline void rig_done(struct rig *r)
{
	assert_int_equal(rig_open_sends(r), 0);
	for (size_t i = 0; i < r->server_count; i++)
		channel_unref(r->servers[i]);
	assert_int_equal(r->transports, 0);
	assert_int_equal(timers_next_ms(&r->timers), UINT64_MAX);
	dns_scrub_free(r->env.scrub);
}

static inline void rig_pass(struct rig *r, uint64_t ms)
{
	uint64_t end_us = r->now_us + ms * 1000;

	do {
		uint64_t next_ms = timers_next_ms(&r->timers);

		r->now_us = next_ms < end_us / 1000 && next_ms > r->now_us / 1000 ? next_ms * 1000 :
		            next_ms <= r->now_us / 1000 ? r->now_us : end_us;
		timers_run(&r->timers, r->now_us / 1000);
	} while (r->now_us < end_us || timers_next_ms(&r->timers) <= end_us / 1000);
}

static inline uint16_t rig_qtype(const struct rig_sent *e)
{
	return wire_u16(e->msg + DNS_HEADER_LEN + dns_name_len(e->msg + DNS_HEADER_LEN));
}

/* The newest that is open, of this server and type. */
static inline struct rig_sent *rig_find(struct rig *r, unsigned server, uint16_t qtype)
{
	for (size_t i = r->sent_count; i-- > 0;)
		if (r->sent[i].send && r->sent[i].server == server && rig_qtype(&r->sent[i]) == qtype)
			return &r->sent[i];
	fail_msg("server %u is not being asked for type %u", server, qtype);
	return NULL;
}

static inline size_t rig_count(const struct rig *r, unsigned server, uint16_t qtype)
{
	size_t n = 0;

	for (size_t i = 0; i < r->sent_count; i++)
		n += r->sent[i].server == server && rig_qtype(&r->sent[i]) == qtype;
	return n;
}

struct rig_reply {
	unsigned    rcode;
	bool        truncated;
	uint32_t    ttl_s;
	const char *alias;		/* a CNAME for the name asked, and nothing more */
	const char *data[8];		/* addresses, ended by NULL */
};

static inline size_t rig_put_record(uint8_t *at, uint16_t type, uint32_t ttl_s, const void *data, size_t len)
{
	wire_put_u16(at, 0xc00c);
	wire_put_u16(at + 2, type);
	wire_put_u16(at + 4, DNS_IN);
	wire_put_u32(at + 6, ttl_s);
	wire_put_u16(at + 10, (uint16_t)len);
	memcpy(at + 12, data, len);
	return 12 + len;
}

static inline void rig_reply(struct rig *r, unsigned server, uint16_t qtype, const struct rig_reply *what)
{
	struct rig_sent *e = rig_find(r, server, qtype);
	size_t           at = DNS_HEADER_LEN + dns_name_len(e->msg + DNS_HEADER_LEN) + 4;
	unsigned         n = 0;
	uint8_t          msg[1024];

	memcpy(msg, e->msg, at);
	wire_put_u16(msg + 2, (uint16_t)(DNS_QR | DNS_RD | DNS_RA | (what->truncated ? DNS_TC : 0) | what->rcode));
	if (what->alias) {
		struct dns_name name;

		assert_int_equal(dns_name_from_text(what->alias, &name), 0);
		at += rig_put_record(msg + at, DNS_CNAME, what->ttl_s, name.octets, name.len);
		n++;
	}
	for (unsigned i = 0; what->data[i]; i++, n++) {
		struct addr a;

		assert_int_equal(addr_parse(what->data[i], 1, &a), 0);
		at += qtype == DNS_AAAA ? rig_put_record(msg + at, qtype, what->ttl_s, &a.in6.sin6_addr, 16) :
		                          rig_put_record(msg + at, qtype, what->ttl_s, &a.in4.sin_addr, 4);
	}
	wire_put_u16(msg + 6, (uint16_t)n);
	wire_put_u16(msg + 8, 0);
	wire_put_u16(msg + 10, 0);
	e->send->on->message(e->send, msg, at);
}

static inline void rig_lose(struct rig *r, unsigned server, uint16_t qtype, int error)
{
	struct rig_sent       *e = rig_find(r, server, qtype);
	struct transport_send *s = e->send;

	e->send = NULL;
	s->transport = NULL;
	s->on->lost(s, error);
}

#endif
