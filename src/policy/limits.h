/* limits.h - how much one client may make of us.
 *
 * Two bounds for clients beyond this host: how many of a client's UDP questions
 * may wait for an answer at once, so that slow answers cannot be saved up and
 * released in one burst (CVE-2024-33655), and how many UDP replies a second one
 * source prefix gets, so that forged sources cannot turn larder on others.
 *
 * Counters are found by a keyed hash, and clients whose hashes meet share one:
 * memory is fixed, and who shares cannot be chosen.  One worker's; no locks.
 */
#ifndef LARDER_POLICY_LIMITS_H
#define LARDER_POLICY_LIMITS_H

#include "base/addr.h"
#include "base/siphash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct limit_conf {
	uint32_t waiting_per_client;
	uint32_t replies_per_second;	/* for a /24 or /56; 0: as many as there are */
	bool     loopback;		/* limit this host's own programs too */
};

struct limits;

struct limits *limits_new(const struct siphash_key *secret);	/* the caller frees; NULL: no memory */
void           limits_free(struct limits *l);			/* NULL is fine */

/* A client's question begins to wait.  False: it has too many waiting already, and nothing was counted. */
bool limits_wait(struct limits *l, const struct limit_conf *conf, const struct addr *client);
/* It has its answer.  To be called once for each limits_wait() that gave true. */
void limits_answered(struct limits *l, const struct limit_conf *conf, const struct addr *client);

enum limits_verdict {
	LIMITS_REPLY,
	LIMITS_TRUNCATE,	/* a short reply with TC: real clients come back by TCP */
	LIMITS_SILENCE,
};
/* May a UDP reply go out?  now_ms: any clock of ms that does not step. */
enum limits_verdict limits_reply(struct limits *l, const struct limit_conf *conf, const struct addr *client,
                                 uint64_t now_ms);

#endif
