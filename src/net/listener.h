/* listener.h - where clients ask: UDP and TCP sockets of one worker.
 *
 * A listener reads messages, hands each to one handler and carries the replies.
 * It knows octets and sockets but no DNS beyond the two octets of a TCP length.
 *
 * A handler answers at once into the room it is given, or later through a
 * struct reply_path that it keeps: replies over UDP leave from the address that
 * was asked, replies over TCP on the connection that the query came by.  When
 * the client is gone by then, nothing happens.
 */
#ifndef LARDER_NET_LISTENER_H
#define LARDER_NET_LISTENER_H

#include "base/addr.h"
#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct clock;
struct stats;
struct reply_path;

enum net_proto { NET_UDP, NET_TCP };

struct net_message {
	const uint8_t     *octets;	/* valid during the call */
	size_t             len;		/* UDP: one of more than 4096 may have been cut to this */
	const struct addr *from;
	enum net_proto     proto;
	uint64_t           boot_ms;	/* CLOCK_BOOTTIME, read once for a batch */
	uint64_t           mono_us;	/* CLOCK_MONOTONIC, read once for a batch, just after receiving it */
	uint32_t           keepalive_ms;	/* TCP: the idle time in force on this connection now */
	void              *source;	/* the listener's own, for reply_path_keep() */
	unsigned           index;	/* in its batch; NET_ALONE: not of one */
	/* Of a message that came by no socket: does what reply_path_keep() does for others.  NULL. */
	void             (*keep)(struct reply_path *p, const struct net_message *m);
};

#define NET_BATCH 64			/* the most messages in a batch */
#define NET_ALONE NET_BATCH

struct net_reply {
	uint8_t *octets;	/* room for size octets */
	size_t   size;		/* UDP: at least 4096; TCP: 65535 */
	size_t   len;		/* set by the handler on NET_REPLY */
};

enum net_verdict {
	NET_REPLY,		/* reply->len octets go out now */
	NET_LATER,		/* the handler kept a reply_path */
	NET_SILENCE,		/* no reply, now or later */
	NET_CLOSE,		/* no reply; a stream is closed, for UDP as NET_SILENCE */
};

struct net_handler {
	/* This message of a batch will be handed to message() when all of the batch have been announced, or
	 * not at all: a chance to fetch memory for all of them at once.  May be NULL. */
	void (*announce)(void *arg, const struct net_message *m);
	enum net_verdict (*message)(void *arg, const struct net_message *m, struct net_reply *reply);
	/* Replies of one batch have been handed to the kernel: n of them had been answered at once
	 * since mono_us.  For latencies; may be NULL. */
	void (*batch_done)(void *arg, uint64_t mono_us, uint64_t done_us, unsigned n);
	void  *arg;		/* borrowed */
};

struct reply_path_ops {		/* both let go of the path; reply_path_send() has cleared its ops */
	void (*send)(struct reply_path *p, const uint8_t *msg, size_t len);
	void (*drop)(struct reply_path *p);
};

/* Where a later reply goes.  Embedded in the handler's own struct, which stays in place. */
struct reply_path {
	const struct reply_path_ops *ops;	/* NULL: the client is gone, or was answered */
	void       *owner;			/* listener or connection */
	struct list node;			/* among the owner's open paths */
	struct addr peer;
	struct addr local;			/* UDP on a wildcard: the address that was asked */
	uint32_t    ifindex;
	enum net_proto proto;
};

/* To be called by a handler that returns NET_LATER. */
void reply_path_keep(struct reply_path *p, const struct net_message *m);
/* Sends the one reply and lets go of the path.  Nothing happens when the client is gone. */
void reply_path_send(struct reply_path *p, const uint8_t *msg, size_t len);
/* Lets go without a reply; fine when it is gone already. */
void reply_path_drop(struct reply_path *p);

struct listener_conf {
	uint32_t tcp_idle_ms;		/* from the last complete message (RFC 7766 s. 6.2.3) */
	uint32_t tcp_clients;		/* per worker: the process's bound divided among workers */
	uint32_t tcp_per_client;	/* per address; loopback exempt */
	uint32_t tcp_in_flight;		/* queries in work per connection; over it reading stops */
};

struct listener_set;			/* all listeners of one worker */

/* A set the caller closes, or NULL.  Copies conf and handler; borrows loop, clock and stats. */
struct listener_set *listener_set_new(uv_loop_t *loop, const struct clock *clock, struct stats *stats,
                                      const struct listener_conf *conf, const struct net_handler *handler);
/* Takes over a bound UDP socket and a bound, listening TCP socket (either may be -1) for an address.
 * 0 or a negative errno, and then the descriptors are closed. */
int  listener_set_add(struct listener_set *set, const struct addr *addr, int udp_fd, int tcp_fd);
/* Closes the listeners of an address; open reply paths of it fall silent. */
void listener_set_remove(struct listener_set *set, const struct addr *addr);
void listener_set_reconfigure(struct listener_set *set, const struct listener_conf *conf);
/* No new connections or messages from now on; replies that are due still go out. */
void listener_set_stop(struct listener_set *set);
/* Hands collected UDP replies to the kernel now. */
void listener_set_flush(struct listener_set *set);
void listener_set_close(struct listener_set *set);	/* all handles; memory goes back when they have closed */

/* Opens bound sockets for an address with SO_REUSEPORT (several workers), IP_FREEBIND, IPV6_V6ONLY,
 * packet info on wildcards, SO_RXQ_OVFL, a receive buffer of 4 MiB where allowed.  *fd, or a negative errno. */
int  listener_open_udp(const struct addr *addr, int *fd);
int  listener_open_tcp(const struct addr *addr, int *fd);
/* With SO_REUSEPORT a second process of the same user would share a port without a word.  So the first
 * worker asks before any socket of ours is open: 0, -EADDRINUSE, or what else binding there says. */
int  listener_probe(const struct addr *addr, enum net_proto proto);

#endif
