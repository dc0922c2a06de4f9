/* dial.h - one TCP connection to whichever of a server's addresses takes it first (RFC 8305 s. 5).
 *
 * The first address is tried at once, each other one 250 ms after the one
 * before it, or as soon as one has failed.  The first that is open wins; the
 * others are closed before it is given.
 */
#ifndef LARDER_NET_DIAL_H
#define LARDER_NET_DIAL_H

#include "base/addr.h"

#include <uv.h>

#define DIAL_APART_MS 250

struct dial;

/* A connection is open: fd belongs to whoever is told, and nobody watches it; *to is whom it reached.  Or fd is a
 * negative errno: what the first address said.  The dial is gone then. */
typedef void dial_done(void *arg, int fd, const struct addr *to);

/* Begins; done() comes later.  NULL: none could even be tried, and *error says why.  Copies to. */
struct dial *dial_begin(uv_loop_t *loop, const struct addr_list *to, dial_done *done, void *arg, int *error);
/* done() will not be called.  NULL is fine. */
void         dial_end(struct dial *d);

#endif
