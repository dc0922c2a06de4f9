/* carrier.h - the fake transports: how questions reach a fake server and what comes back.
 *
 * They keep the contract of net/transport.h and the habits of the real ones:
 * one socket for each question over UDP; over TCP one connection for all, which
 * is given up when it stays silent under a question and closed when it is idle.
 */
#ifndef SCENARIO_CARRIER_H
#define SCENARIO_CARRIER_H

#include "world.h"

struct server;
struct sent;
struct place;		/* where a question waits for its reply */

/* The server's note about this question; it hears by server_note_end() when the question ends. */
void place_note(struct place *p, struct sent *sent);

/* A message reaches the place in so much time, if the question still waits then. */
void carrier_post(struct place *p, uint64_t in_us, const uint8_t *octets, size_t len);
/* The place hears of an error then: ICMP over UDP, a reset of the whole connection over TCP. */
void carrier_post_error(struct place *p, uint64_t in_us, int error);

/* The transport_maker of this world; servers are found by address. */
void carrier_init_maker(struct world *w);
/* The server ends all its TCP connections now. */
void carrier_close_all(struct server *s);

#endif
