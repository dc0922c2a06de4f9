/* conf.h - an upstream as it is configured. */
#ifndef LARDER_UPSTREAM_CONF_H
#define LARDER_UPSTREAM_CONF_H

#include "base/addr.h"
#include "net/h2.h"

#include <stdbool.h>
#include <stdint.h>

enum upstream_proto {
	UPSTREAM_UDP,		/* UDP, and TCP when an answer is truncated */
	UPSTREAM_TCP,		/* tcp://: nothing but TCP */
	UPSTREAM_TLS,
	UPSTREAM_HTTPS,
};

struct tls_peer;
struct tls_trust;

/* How a route chooses among its upstreams. */
enum upstream_policy {
	UPSTREAM_FASTEST,	/* the better of two random ones */
	UPSTREAM_ORDERED,	/* the first that is healthy */
	UPSTREAM_SPREAD,	/* any, evenly */
	UPSTREAM_RACE,		/* two at once, and the first answer wins */
};

extern const char *const upstream_policy_names[];	/* by policy; NULL ends them */

struct upstream_conf {
	char               *name;	/* what people call it: its name, or its URL in normal form */
	char               *url;	/* normal form, e.g. udp://192.0.2.1:53; identity over reloads */
	enum upstream_proto proto;
	struct addr         addr;	/* family 0: host is given instead */
	char               *host;	/* its name, to be resolved; NULL: addr is given */
	uint16_t            port;	/* of host */
	bool                trusted;	/* it is who it should be, and its AD flag is believed (RFC 4035 s. 4.6) */
	struct tls_peer    *tls;	/* TLS and HTTPS: whom to expect; a reference */
	bool                upgrade;	/* in clear, but TLS where the server says that it offers that (RFC 9462) … */
	struct tls_trust   *trust;	/* … vouched for by these; a reference */
	bool                opportunistic;	/* TLS and HTTPS if possible, else in clear, at port 53 */
	struct h2_target    http;	/* HTTPS */
};

/* Timing of one question (design: sends at 0, h, 3h, 7h …). */
struct upstream_times {
	uint32_t query_timeout_ms;	/* the client is answered by then */
	uint32_t resolve_timeout_ms;	/* the flight ends by then */
	uint32_t resend_after_ms;	/* h; 0: learned from each upstream's answers */
	uint16_t edns_size;		/* octets offered in our OPT */
	uint16_t case_mixing;		/* boolean: random letter case in the question sent */
	uint32_t max_flights;		/* per worker */
};

#endif
