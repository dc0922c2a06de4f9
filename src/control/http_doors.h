/* http_doors.h - the sockets on which HTTP clients knock. */
#ifndef LARDER_CONTROL_HTTP_DOORS_H
#define LARDER_CONTROL_HTTP_DOORS_H

#include "base/list.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <uv.h>

struct conf_endpoint;

struct http_doors {
	uv_loop_t  *loop;
	struct list open;	/* struct http_door */
	/* Takes the descriptor of a client, which does not block. */
	void (*on_client)(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len);
	void       *arg;
};

/* Opens what of these is not open yet, and closes everything else.  What cannot be opened is said in the log. */
void http_doors_set(struct http_doors *d, const struct conf_endpoint *endpoints, size_t count);
void http_doors_own_files(const struct http_doors *d, uid_t uid, gid_t gid);
/* Closes all.  Nobody is called any more; memory goes back as the loop turns. */
void http_doors_close(struct http_doors *d);

#endif
