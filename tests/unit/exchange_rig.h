/* exchange_rig.h - a transport that is none, and clock and randomness that stand still: what an exchange,
 * a view and a resolver need to run in a test. */
#ifndef LARDER_TESTS_UNIT_EXCHANGE_RIG_H
#define LARDER_TESTS_UNIT_EXCHANGE_RIG_H

#include "unit.h"

#include "base/clock.h"
#include "base/rng.h"
#include "base/timer.h"
#include "dns/scrub.h"
#include "upstream/exchange.h"

#include <errno.h>

#define RIG_ID 0xabcd

struct rig {
	struct clock           clock;
	uint64_t               boot_ms, mono_us;
	struct dice            dice;
	struct rng             rng;
	struct stats           stats;
	struct transport_maker maker;
	struct upstream_env    env;
	struct exchanges       open;
	struct timers          timers;

	unsigned               made, closed, sends, ends, renewed;
	int                    send_error;	/* what the next send gives; 0: it is sent */
	bool                   refuses_v6;	/* nothing is sent while an IPv6 address comes first */
	enum transport_kind    kind;		/* of the transport that was made last … */
	struct transport_conf  conf;		/* … and with what */
	struct addr_list       aimed;		/* where the last one was made for, or aimed at since */
	uint32_t               idle_ms;		/* last hint */
	uint8_t                sent[600];	/* the last message */
	size_t                 sent_len;
	struct transport_send *last;		/* whose it was; may be gone */
};

static inline uint64_t rig_boot_ms(const struct clock *c)
{
	return ((const struct rig *)(const void *)c)->boot_ms;
}

static inline uint64_t rig_mono_us(const struct clock *c)
{
	return ((const struct rig *)(const void *)c)->mono_us;
}

static inline void rig_random(void *arg, uint8_t *octets, size_t len)
{
	dice_octets(arg, octets, len);
}

struct rig_transport {
	struct transport transport;
	struct rig      *rig;
};

static inline struct rig *rig_of(struct transport *t)
{
	return ((struct rig_transport *)(void *)t)->rig;
}

static inline int rig_send(struct transport *t, struct transport_send *s, uint8_t *msg, size_t len)
{
	struct rig *r = rig_of(t);

	if (r->send_error)
		return r->send_error;
	if (r->refuses_v6 && r->aimed.at[0].sa.sa_family == AF_INET6)
		return -ENETUNREACH;
	assert_true(len <= sizeof r->sent);
	msg[0] = RIG_ID >> 8;
	msg[1] = RIG_ID & 0xff;
	memcpy(r->sent, msg, len);
	r->sent_len = len;
	r->sends++;
	r->last = s;
	s->id = RIG_ID;
	s->transport = t;
	return 0;
}

static inline void rig_end(struct transport *t, struct transport_send *s)
{
	rig_of(t)->ends++;
	s->transport = NULL;
}

static inline void rig_idle_hint(struct transport *t, struct transport_send *s, uint32_t idle_ms)
{
	(void)s;
	rig_of(t)->idle_ms = idle_ms;
}

static inline void rig_renew(struct transport *t)
{
	rig_of(t)->renewed++;
}

static inline void rig_close(struct transport *t)
{
	rig_of(t)->closed++;
	free(t);
}

static inline void rig_aim(struct transport *t, const struct addr_list *to)
{
	rig_of(t)->aimed = *to;
}

static inline struct transport *rig_make(const struct transport_maker *m, enum transport_kind kind,
                                         const struct addr *to, const struct transport_conf *conf)
{
	static const struct transport_ops ops = { rig_send, rig_end, rig_idle_hint, rig_renew, rig_close, rig_aim };
	struct rig           *r = (struct rig *)((char *)(uintptr_t)m - offsetof(struct rig, maker));
	struct rig_transport *t = malloc(sizeof *t);

	r->aimed.count = 0;
	addr_list_add(&r->aimed, to);
	assert_true(conf->connect_ms && conf->idle_ms && conf->silence_ms);
	if (!t)
		return NULL;
	t->transport.ops = &ops;
	t->rig = r;
	r->kind = kind;
	r->conf = *conf;
	r->made++;
	return &t->transport;
}

static inline void rig_init(struct rig *r)
{
	memset(r, 0, sizeof *r);
	r->clock = (struct clock){ rig_boot_ms, rig_mono_us };	/* first member: the clock is the rig */
	r->boot_ms = 1000000;
	r->mono_us = 5000000;
	dice_init(&r->dice, 1);
	rng_init(&r->rng, rig_random, &r->dice);
	r->maker.make = rig_make;
	r->env = (struct upstream_env){ .clock = &r->clock, .rng = &r->rng, .stats = &r->stats,
	                                .scrub = dns_scrub_new(), .maker = &r->maker, .open = &r->open,
	                                .timers = &r->timers, .edns_size = 1232 };
	exchanges_init(&r->open);
	timers_init(&r->timers, r->mono_us / 1000);
	assert_non_null(r->env.scrub);
}

static inline void rig_done(struct rig *r)
{
	dns_scrub_free(r->env.scrub);
	assert_int_equal(r->made, r->closed);
}

/* A configuration of an upstream: its name and URL are both url. */
static inline struct upstream_conf rig_upstream(char *url)
{
	return (struct upstream_conf){ .name = url, .url = url };
}

#endif
