/* peer.h - who calls, and what that one may.
 *
 * Three rights.  Counters and settings are for whoever may connect, which the
 * mode of the socket decides.  Names, which is what people look up, are
 * private.  Orders change what larderd does or holds.
 */
#ifndef LARDER_CONTROL_PEER_H
#define LARDER_CONTROL_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct peer {
	uid_t uid;
	pid_t pid;
	bool  names;		/* root, the daemon's own user, and members of the group */
	bool  orders;		/* root and the daemon's own user */
};

/* What the kernel says of a connection. */
struct peer_creds {
	uid_t        uid;
	pid_t        pid;
	gid_t        gid;
	const gid_t *groups;	/* the others; borrowed */
	size_t       group_count;
};

#define PEER_NOBODY ((gid_t)-1)	/* a group without members */

struct peer peer_judge(const struct peer_creds *creds, uid_t daemon, gid_t group);
/* Who is at the other end of fd. */
struct peer peer_read(int fd, gid_t group);

#endif
