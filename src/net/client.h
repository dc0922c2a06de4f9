/* client.h - the loop's own transports towards upstreams: UDP, and streams of all kinds. */
#ifndef LARDER_NET_CLIENT_H
#define LARDER_NET_CLIENT_H

#include "net/frames.h"
#include "net/transport.h"

#include <uv.h>

struct clock;
struct rng;

/* A maker of transports on one loop; borrowed by them, outlives them. */
struct net_client {
	struct transport_maker maker;
	uv_loop_t             *loop;		/* borrowed */
	const struct clock    *clock;		/* borrowed */
	struct rng            *rng;		/* borrowed */
	uint8_t                room[FRAMES_ROOM];	/* what is being read, by whichever transport */
	uint8_t                secret[FRAMES_READ];	/* the same before TLS has read it */
};

void net_client_init(struct net_client *c, uv_loop_t *loop, const struct clock *clock, struct rng *rng);

/* Both give a transport or NULL; to is copied, c borrowed. */
struct transport *udp_pool_new(struct net_client *c, const struct addr *to);
struct transport *stream_client_new(struct net_client *c, const struct addr *to,
                                    const struct transport_conf *conf);

#endif
