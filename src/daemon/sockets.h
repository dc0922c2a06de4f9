/* sockets.h - opening listening sockets, and saying plainly why one cannot be opened. */
#ifndef LARDER_DAEMON_SOCKETS_H
#define LARDER_DAEMON_SOCKETS_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>

struct socket_pair {
	int udp, tcp;
};

enum sockets_result {
	SOCKETS_OPEN,
	SOCKETS_SKIPPED,	/* the host has no such address family: said in the log */
	SOCKETS_FAILED,		/* said in the log, with what to do about it */
};

/* Is each of these addresses free?  SO_REUSEPORT, which our own sockets have, would let us share a port with
 * a stranger of the same user, so this is asked without it, before any is opened.  False: it is said why. */
bool sockets_are_free(const struct addr *const *addrs, size_t count);

/* Opens count pairs for one address, one for each worker.  On anything but SOCKETS_OPEN none stays open. */
enum sockets_result sockets_open(const struct addr *addr, struct socket_pair *pairs, size_t count);
/* The same from sockets that others opened (either may be -1): each worker gets duplicates of its own. */
enum sockets_result sockets_share(const struct addr *addr, int udp, int tcp, struct socket_pair *pairs,
                                  size_t count);
void                sockets_close(struct socket_pair *pairs, size_t count);

#endif
