/* asker.h - fake clients: what they ask, and what they hear.
 *
 * They stand where net/ has its listeners: this folder defines the three
 * functions reply_path_*() of net/listener.h, so that the linker leaves the
 * real listeners out and replies come here.
 */
#ifndef SCENARIO_ASKER_H
#define SCENARIO_ASKER_H

#include "packet.h"
#include "world.h"

/* One query of a client. */
struct ask {
	struct list        node;	/* in asker.asks */
	struct list        in_batch;	/* in world.batch, until it is delivered */
	struct asker      *asker;
	struct packet_ask  sent;
	uint8_t           *octets;	/* owned */
	size_t             len;
	enum net_proto     proto;
	uint64_t           at_us;
	unsigned           line;	/* of the scenario */
	bool               was_read;	/* octets could be read as a query: the reply is held against sent */
	bool               answered;
	bool               delivering;	/* larder is being told; its verdict counts */
	bool               quiet;	/* no reply will come */
	struct reply_path *path;	/* where larder keeps our place, while it does */
};

/* A reply as it reached the client. */
struct heard {
	struct list   node;		/* in asker.inbox */
	struct ask   *ask;
	struct packet packet;
	uint64_t      at_us;
};

struct asker {
	struct list   node;		/* in world.askers */
	struct world *world;
	unsigned      number;		/* C1 is 1 */
	struct addr   addr;
	struct list   asks;		/* all of them, oldest first */
	struct list   inbox;		/* struct heard, oldest first, until a statement has accounted for it */
	unsigned      replies;		/* so far */
	unsigned      closed, ignored;	/* queries that got none, until a statement has accounted for them */
	uint64_t      slowest_us;	/* from query to reply */
	/* Called with each reply, beside the inbox; may be NULL. */
	void        (*on_reply)(struct heard *h);
};

struct asker *asker_of(struct world *w, unsigned number);	/* made when first asked for */
void          askers_free(struct world *w);

/* Sends octets, or gathers them for a batch; a is what they mean, or NULL when they are raw. */
void asker_send(struct asker *c, const struct packet_ask *a, const uint8_t *octets, size_t len,
                enum net_proto proto);
/* Delivers what has been gathered (world.gathering), as one batch of datagrams. */
void askers_deliver(struct world *w);
/* The same octets as its last query once more. */
void asker_repeat(struct asker *c);
/* Nobody waits for replies any more. */
void asker_hang_up(struct asker *c);
unsigned asker_waiting(const struct asker *c);	/* queries that are due a reply */
void heard_forget(struct heard *h);

#endif
