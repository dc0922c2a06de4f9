/* listeners.h - what the listeners of one worker share among themselves.
 *
 * A set owns its listeners, and through them the connections of TCP clients.
 * Each of these holds the set as long as one of its handles is open, so the
 * set's memory goes back last.
 *
 * Rooms for messages are the set's, not a listener's: only one listener reads
 * at a time.  What must not nest inside a handler (going on with a connection
 * that had been stopped, sending collected UDP replies) waits for the end of
 * the loop's turn.
 */
#ifndef LARDER_NET_LISTENERS_H
#define LARDER_NET_LISTENERS_H

#include "base/list.h"
#include "net/listener.h"

struct tcp_listener;
struct udp_listener;
struct udp_rooms;

struct listener_set {
	uv_loop_t            *loop;	/* borrowed, as are clock and stats */
	const struct clock   *clock;
	struct stats         *stats;
	struct listener_conf  conf;
	struct net_handler    handler;
	struct list           listeners;	/* struct listener, in listeners.c */
	uv_prepare_t          turn_end;

	struct udp_rooms     *udp_rooms;
	uint8_t              *tcp_in, *tcp_out;	/* rooms of FRAMES_ROOM and TCP_OUT_ROOM octets */
	struct list           conns;		/* struct tcp_conn, least recently active first */
	struct list           ready;		/* those that go on at the end of the turn */
	unsigned              conn_count;

	unsigned              holders;
	bool                  stopped;		/* no new messages */
	bool                  closing;
};

/* Everything that embeds a handle holds the set until the handle has closed. */
void listener_set_hold(struct listener_set *set);
void listener_set_release(struct listener_set *set);	/* may free the set */
/* Calls udp_flush() and tcp_conns_resume() before the loop waits again. */
void listener_set_at_turn_end(struct listener_set *set);

/* Non-blocking; what replies and statistics need is switched on.  Also for sockets that others have
 * opened.  Failures are harmless and go unsaid. */
void listener_tune_udp(int fd, const struct addr *addr);

/* Takes fd; NULL when memory is short, and then fd is closed. */
struct udp_listener *udp_listener_new(struct listener_set *set, const struct addr *addr, int fd);
void udp_listener_stop(struct udp_listener *l);
void udp_listener_close(struct udp_listener *l);
void udp_reply_keep(struct reply_path *p, const struct net_message *m);
void udp_flush(struct listener_set *set);
struct udp_rooms *udp_rooms_new(void);
void udp_rooms_free(struct udp_rooms *rooms);

struct tcp_listener *tcp_listener_new(struct listener_set *set, int fd);	/* as udp_listener_new() */
void tcp_listener_stop(struct tcp_listener *l);
void tcp_listener_close(struct tcp_listener *l);	/* and the connections that came by it */

#endif
