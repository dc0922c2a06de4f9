/* ask.h - a question of larder's own, to several servers at once.
 *
 * Before larder can serve anybody it may have to find something out itself:
 * where an upstream is that is given by name.  All servers are asked at the same
 * time, and the first answer that its asker takes ends it.  One that is no use
 * to the asker (no such name) does not: another server may know better.
 *
 * These servers are channels of their own, which no client uses.  What is known
 * about their health is not looked at: nobody is ever passed over.
 */
#ifndef LARDER_UPSTREAM_ASK_H
#define LARDER_UPSTREAM_ASK_H

#include "upstream/exchange.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ASK_TIME_MS 3000u	/* it is over by then */

struct ask;

struct ask_conf {
	struct channel *const *servers;		/* borrowed while it lives; all of one worker */
	size_t                 server_count;	/* at least 1 */
	const uint8_t         *qname;		/* copied; lower case */
	uint8_t                qname_len;
	uint16_t               qtype;
	/* One has answered, for that name, which is where the aliases led that it had to be asked again for.
	 * True: that is what was wanted.  Must not end the ask. */
	bool (*take)(void *arg, const struct dns_answer *a, const struct dns_name *name);
	/* It is over: an answer was taken, or nothing more will come.  May end the ask, which is done with. */
	void (*over)(void *arg, bool taken);
	void  *arg;
};

/* Asks.  NULL: no memory.  Nothing is called back before this returns. */
struct ask *ask_begin(const struct ask_conf *conf);
void        ask_end(struct ask *a);		/* NULL is fine */
/* Did one answer at all, if only that there is nothing? */
bool        ask_was_answered(const struct ask *a);
/* How it went with server i, once it is over: "does not answer". */
const char *ask_in_words(const struct ask *a, size_t i);

/* The record data of the answer's records of this type, each of len octets, up to max of them.  Gives how many. */
size_t ask_read_data(const struct dns_answer *a, const struct dns_name *name, uint16_t type, size_t len, uint8_t *out,
                     size_t max);

#endif
