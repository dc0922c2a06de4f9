/* net_probe.h - a question whose fate is written down, for tests of transports. */
#ifndef LARDER_TESTS_NET_PROBE_H
#define LARDER_TESTS_NET_PROBE_H

#include "net_rig.h"

#include "net/client.h"

struct probe {
	struct transport_send send;
	unsigned              messages, mismatches, losses;
	int                   error;		/* of the last loss */
	size_t                len;		/* of the last message */
	uint8_t               octet;		/* its last octet */
	void                (*hook)(struct probe *p);	/* called last in each event; may be NULL */
	void                 *arg;
};

static inline void probe_run_hook(struct probe *p)
{
	if (p->hook)
		p->hook(p);
}

static inline void probe_on_message(struct transport_send *s, const uint8_t *msg, size_t len)
{
	struct probe *p = list_entry(s, struct probe, send);

	assert_true(len >= 12);
	assert_int_equal(msg[0] << 8 | msg[1], s->id);
	p->messages++;
	p->len = len;
	p->octet = msg[len - 1];
	probe_run_hook(p);
}

static inline void probe_on_mismatch(struct transport_send *s)
{
	struct probe *p = list_entry(s, struct probe, send);

	p->mismatches++;
	probe_run_hook(p);
}

static inline void probe_on_lost(struct transport_send *s, int error)
{
	struct probe *p = list_entry(s, struct probe, send);

	assert_false(transport_lives(s));
	p->losses++;
	p->error = error;
	probe_run_hook(p);
}

static const struct transport_events probe_events = {
	probe_on_message, probe_on_mismatch, probe_on_lost,
};

/* Asks with a message of 20 octets, the last of which is mark. */
static inline int probe_ask(struct probe *p, struct transport *t, uint8_t mark)
{
	uint8_t msg[20] = { 0 };
	int     error;

	msg[19] = mark;
	p->send.on = &probe_events;
	error = transport_send(t, &p->send, msg, sizeof msg);
	if (error == 0)
		assert_int_equal(msg[0] << 8 | msg[1], p->send.id);
	return error;
}

static inline struct transport *probe_transport(struct rig *r, struct net_client *c,
                                                enum transport_kind kind, const struct addr *to,
                                                const struct transport_conf *conf)
{
	struct transport *t;

	net_client_init(c, &r->loop, clock_system(), &r->rng);
	t = c->maker.make(&c->maker, kind, to, conf);
	assert_non_null(t);
	return t;
}

#endif
