/* peer.c - rights by the credentials that the kernel took when the caller connected. */
#include "control/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

#define PEER_GROUPS_MAX 65536	/* Linux has no more */

static bool peer_is_member(const struct peer_creds *c, gid_t group)
{
	bool member = c->gid == group;

	for (size_t i = 0; i < c->group_count; i++)
		member |= c->groups[i] == group;
	return member && group != PEER_NOBODY;
}

struct peer peer_judge(const struct peer_creds *c, uid_t daemon, gid_t group)
{
	bool master = c->uid == 0 || c->uid == daemon;

	return (struct peer){
		.uid = c->uid,
		.pid = c->pid,
		.orders = master,
		.names = master || peer_is_member(c, group),
	};
}

/* Gives heap memory, or NULL: none, or it cannot be told. */
static gid_t *peer_groups(int fd, size_t *count)
{
	socklen_t len = 0;
	gid_t    *groups;

	*count = 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno != ERANGE ||
	    len > PEER_GROUPS_MAX * sizeof *groups)
		return NULL;
	groups = malloc(len);
	if (!groups || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0) {
		free(groups);
		return NULL;
	}
	*count = len / sizeof *groups;
	return groups;
}

struct peer peer_read(int fd, gid_t group)
{
	struct ucred      u;
	socklen_t         len = sizeof u;
	struct peer_creds c = { .uid = (uid_t)-1, .gid = PEER_NOBODY };
	gid_t            *groups;
	struct peer       peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &len) == 0) {
		c.uid = u.uid;
		c.pid = u.pid;
		c.gid = u.gid;
	}
	c.groups = groups = peer_groups(fd, &c.group_count);
	peer = peer_judge(&c, geteuid(), group);
	free(groups);
	return peer;
}
