/* server.h - a fake upstream: what it is asked, and how it replies.
 *
 * Rules say what it does.  The newest that fits a question counts, so that a
 * scenario reads as a story: what is said later overrides what was said before,
 * and a rule with a bounded number of uses lets the older ones through again.
 */
#ifndef SCENARIO_SERVER_H
#define SCENARIO_SERVER_H

#include "carrier.h"
#include "packet.h"

enum server_state {
	SERVER_UP,
	SERVER_SILENT,			/* what is sent to it gets lost */
	SERVER_DOWN,			/* the host says that nobody listens */
	SERVER_UNROUTABLE,		/* our own system knows no way there */
};

/* A question as it reached the server. */
struct sent {
	struct list         node;	/* in server.log until a statement has accounted for it, or alone */
	struct list         open;	/* in server.open while larder waits for the reply */
	struct packet       packet;
	enum transport_kind kind;
	unsigned            connection;	/* TCP: which, from 1 */
	uint64_t            at_us;
};

struct server {
	struct list       node;		/* in world.servers */
	struct world     *world;
	unsigned          number;	/* U1 is 1 */
	enum server_state state[TRANSPORT_KINDS];
	uint64_t          delay_us;	/* of replies, unless a rule says otherwise */
	uint64_t          open_us;	/* until a connection is open */
	unsigned          connections;	/* accepted so far */
	unsigned          sends;	/* received so far */
	struct list       streams;	/* carrier.c's */
	struct list       rules;	/* struct rule, newest first */
	struct list       log, open;	/* struct sent, oldest first */
	bool              ignored;	/* its log is of no interest */
	bool              shows_probes;	/* NS of the root is in its log */
	/* Instead of rules; for tests that make replies by themselves. */
	void            (*reply)(struct server *s, const struct sent *q, struct place *p);
};

struct server *server_of(struct world *w, unsigned number);	/* made when first asked for */
struct server *server_at(struct world *w, const struct addr *addr);
void           servers_free(struct world *w);

/* A question has reached the server over this transport. */
void server_receive(struct server *s, enum transport_kind kind, struct place *p, const uint8_t *octets,
                    size_t len, unsigned connection);
/* Nobody waits for the reply any more. */
void server_note_end(struct sent *q);
void sent_forget(struct sent *q);		/* accounted for */
void sent_print(const struct sent *q, char *out, size_t room);

/* rule.c: "NAME TYPE ..." from word i on, and the raw lines of its records; n stands for $n in them.
 * NULL, or what is wrong with it. */
enum rule_act { RULE_ANSWER, RULE_LOSE, RULE_REFUSE, RULE_CLOSE };
const char *rule_add(struct server *s, enum rule_act act, bool also, const struct words *w, unsigned i,
                     const char *const *lines, unsigned line_count, unsigned n);
/* Carries out what the rules say.  False: none fits. */
bool        rules_reply(struct server *s, const struct sent *q, struct place *p);
void        rules_free(struct server *s);

#endif
