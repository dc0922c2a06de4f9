/* client.c - which transport for which protocol. */
#include "net/client.h"

#include "base/list.h"

static struct transport *net_client_make(const struct transport_maker *m, enum transport_kind kind,
                                         const struct addr *to, const struct transport_conf *conf)
{
	struct net_client *c = list_entry(m, struct net_client, maker);

	switch (kind) {
	case TRANSPORT_UDP:
		return udp_pool_new(c, to);
	case TRANSPORT_TCP:
	case TRANSPORT_TLS:
	case TRANSPORT_HTTPS:
		return stream_client_new(c, to, conf);
	case TRANSPORT_KINDS:
		break;
	}
	return NULL;
}

void net_client_init(struct net_client *c, uv_loop_t *loop, const struct clock *clock, struct rng *rng)
{
	c->maker.make = net_client_make;
	c->loop = loop;
	c->clock = clock;
	c->rng = rng;
}
