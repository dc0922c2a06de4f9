/* link.h - a conversation with larderd that never waits.
 *
 * For those who have other things to do meanwhile: several calls are sent
 * ahead, and their replies, which come in the same order, are taken as they
 * arrive.
 */
#ifndef LARDER_LARDERCTL_LINK_H
#define LARDER_LARDERCTL_LINK_H

#include "base/varlink.h"

#include <jansson.h>
#include <stddef.h>

struct link {
	int                   fd;	/* to poll for input; -1: closed */
	struct varlink_buffer in;
};

/* All give 0 or a negative errno, as client_explain() knows them. */
int  link_open(struct link *l, const char *socket_path);
void link_close(struct link *l);	/* a closed one too */
int  link_call(struct link *l, const char *const *methods, size_t n);
/* The next reply, which the caller owns; -EAGAIN: not yet. */
int  link_take(struct link *l, json_t **reply);

#endif
