/* upgrade.h - from clear text to TLS, where the server says that it offers that (DDR, RFC 9462).
 *
 * The server is asked, in clear, for SVCB of _dns.resolver.arpa.  Of what it
 * names, in its order, the first is taken that speaks DoT or DoH, answers well, and
 * has a certificate for the very address that was asked (s. 4.2); or is at that
 * address, and that is a private one, for which there are no certificates
 * (s. 4.3).  From then on questions go there.  When its records end, or it fails,
 * the server is asked anew; and so it is, ever less often, when all were tried in
 * vain.  While it names none, all stays as it was.
 *
 * What was designated is an upstream of its own, known to nobody else: its
 * channel carries the questions of the one that it stands for.
 */
#ifndef LARDER_UPSTREAM_UPGRADE_H
#define LARDER_UPSTREAM_UPGRADE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct channel;
struct upgrade;
struct upstream;

/* Shared by all workers. */
struct designation {
	pthread_mutex_t  lock;
	struct upstream *to;		/* under the lock: a reference; NULL: none yet */
	_Atomic uint32_t changes;
	_Atomic uint32_t in_vain;	/* so often in a row none of those that are named could be used */
};

void designation_init(struct designation *d);
void designation_done(struct designation *d);
/* The network has changed: what failed may not fail any more. */
void designation_begin_anew(struct designation *d);

/* ---- one worker's ---- */

/* NULL: no memory.  Borrows c, which owns it. */
struct upgrade *upgrade_new(struct channel *c);
void            upgrade_free(struct upgrade *up);	/* NULL is fine */
/* A question has gone out: asks for the records, if that is due. */
void            upgrade_if_due(struct upgrade *up, uint64_t now_us);
/* No stream could be opened over this channel, which is one of ours. */
void            upgrade_on_failed(struct upgrade *up, const struct channel *c, int error, const char *why);
/* The channel to what was designated, or NULL: there is none, or no memory. */
struct channel *upgrade_channel(struct upgrade *up);

#endif
