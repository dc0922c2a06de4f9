/* host.h - where a server is that is given by name.
 *
 * The name is looked up at bootstrap servers, whose addresses are configured:
 * never through larder itself, and never as the system would.
 *
 *               addresses of both families have been asked for
 *        ┌──────────────────────────────────────────────────────┐
 *        │                                                      v
 *     ASKING <─────────────────────────────────────────────  RESTING
 *               the TTL is over, the addresses are doubted,
 *               or the last try failed and its wait is over
 *
 * What was found is used until something else is: an address is never dropped
 * because a lookup failed.
 */
#ifndef LARDER_UPSTREAM_HOST_H
#define LARDER_UPSTREAM_HOST_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOST_TROUBLE_MAX 384

struct channel;
struct clock;
struct host;
struct rng;
struct timers;

struct host_env {
	const struct clock *clock;
	struct rng         *rng;
	struct timers      *timers;
	struct channel    **servers;		/* they change only while no host asks */
	size_t              server_count;
	/* Its addresses are others than before. */
	void (*changed)(void *arg, struct host *h);
	/* Does a client wait for it? */
	bool (*wanted)(void *arg, const struct host *h);
	void  *arg;
};

/* Borrows env; copies name.  Gives one reference, or NULL: no memory, or it is no name. */
struct host *host_new(const char *name, const struct host_env *env);
struct host *host_ref(struct host *h);
void         host_unref(struct host *h);	/* the last one stops asking; NULL is fine */
/* Addresses that were good once; before the first host_ask(). */
void         host_remember(struct host *h, const struct addr_list *addresses);
/* Looks the name up now, unless it is doing so. */
void         host_ask(struct host *h);
/* Stops asking: the servers are about to change. */
void         host_rest(struct host *h);
/* Nobody answers at its addresses: they are looked up again, if that has not just been done. */
void         host_doubt(struct host *h);
const char  *host_name(const struct host *h);
/* Without ports, in the order in which they should be tried: both families in turn (RFC 8305 s. 4). */
void         host_addresses(const struct host *h, struct addr_list *out);
/* Why the last lookup failed: "bootstrap 192.0.2.1 does not answer"; NULL: it did not. */
const char  *host_trouble(const struct host *h);

#endif
