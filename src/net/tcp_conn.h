/* tcp_conn.h - one client's TCP connection. */
#ifndef LARDER_NET_TCP_CONN_H
#define LARDER_NET_TCP_CONN_H

#include "base/addr.h"

#include <stdbool.h>
#include <stdint.h>

struct list;
struct listener_set;
struct net_message;
struct reply_path;
struct tcp_conn;
struct tcp_listener;

/* Replies are gathered up to the first past 64 KiB. */
#define TCP_OUT_ROOM ((size_t)2 * (2 + 65535))

/* Takes fd, which came by listener.  0, or a negative errno, and then fd is closed. */
int  tcp_conn_open(struct listener_set *set, struct tcp_listener *listener, int fd,
                   const struct addr *peer);
void tcp_conn_close(struct tcp_conn *c);	/* fine in any callback, and more than once */
/* The set reads no more questions: the connection goes when its replies are out. */
void tcp_conn_stop(struct tcp_conn *c);

struct tcp_conn *tcp_conn_of(struct list *node);	/* a member of listener_set.conns */
const struct addr         *tcp_conn_peer(const struct tcp_conn *c);
const struct tcp_listener *tcp_conn_listener(const struct tcp_conn *c);
bool tcp_conn_is_idle(const struct tcp_conn *c);	/* no reply is due */
/* The idle time that a connection is granted now: shrinks to 0 towards the bound on connections
 * (RFC 7828 s. 3.4). */
uint32_t tcp_keepalive_ms(const struct listener_set *set);

void tcp_conns_resume(struct listener_set *set);	/* at the end of a turn of the loop */
void tcp_reply_keep(struct reply_path *p, const struct net_message *m);

#endif
