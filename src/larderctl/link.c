/* link.c - calls sent ahead, replies as they come. */
#include "larderctl/link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LINK_REPLY_MAX (16u << 20)	/* octets */
#define LINK_CALLS_MAX 1024		/* octets of calls sent at once; a socket has room for them */

int link_open(struct link *l, const char *socket_path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t             len = strlen(socket_path);

	l->fd = -1;
	if (len >= sizeof sun.sun_path)
		return -ENAMETOOLONG;
	memcpy(sun.sun_path, socket_path, len);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return -errno;
	varlink_init(&l->in, LINK_REPLY_MAX);
	if (connect(l->fd, (const struct sockaddr *)&sun, sizeof sun) < 0) {
		int err = errno == EAGAIN ? -ETIMEDOUT : -errno;	/* its queue of newcomers is full */

		link_close(l);
		return err;
	}
	return 0;
}

void link_close(struct link *l)
{
	if (l->fd < 0)
		return;
	close(l->fd);
	varlink_done(&l->in);
	l->fd = -1;
}

int link_call(struct link *l, const char *const *methods, size_t n)
{
	char    calls[LINK_CALLS_MAX];
	size_t  len = 0;
	ssize_t sent;

	for (size_t i = 0; i < n; i++) {
		int more = snprintf(calls + len, sizeof calls - len, "{\"method\":\"%s\"}", methods[i]);

		if (more < 0 || (size_t)more >= sizeof calls - len)
			return -EMSGSIZE;
		len += (size_t)more + 1;	/* with its NUL */
	}
	sent = send(l->fd, calls, len, MSG_NOSIGNAL);
	if (sent < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return (size_t)sent == len ? 0 : -ETIMEDOUT;
}

int link_take(struct link *l, json_t **reply)
{
	const char *message;
	size_t      len, room;
	char       *at;

	while (!(message = varlink_next(&l->in, &len))) {
		ssize_t n;
		int     err = varlink_room(&l->in, &at, &room);

		if (err)
			return err;
		n = recv(l->fd, at, room, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ECONNRESET;
		varlink_filled(&l->in, (size_t)n);
	}
	*reply = json_loadb(message, len, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(*reply))
		return 0;
	json_decref(*reply);
	return -EBADMSG;
}
