/* outbox.c - what a stream's socket would not take yet. */
#include "net/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Octets the kernel took, maybe none, or a negative errno. */
static ssize_t outbox_send(int fd, struct iovec *parts, unsigned count)
{
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = count };
	ssize_t       n;

	do
		n = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? 0 : -errno;
}

static int outbox_add(struct outbox *o, const uint8_t *octets, size_t len)
{
	size_t need = o->len + len;

	if (!len)
		return 0;
	if (o->at && o->at + need > o->size) {
		memmove(o->octets, o->octets + o->at, o->len);
		o->at = 0;
	}
	if (need > o->size) {
		size_t   size = need > o->size * 2 ? need : o->size * 2;
		uint8_t *grown = realloc(o->octets, size);

		if (!grown)
			return -ENOMEM;
		o->octets = grown;
		o->size = size;
	}
	memcpy(o->octets + o->at + o->len, octets, len);
	o->len = need;
	return 0;
}

int outbox_write(struct outbox *o, int fd, struct iovec *parts, unsigned count)
{
	ssize_t taken = 0;

	if (fd >= 0 && !o->len)
		taken = outbox_send(fd, parts, count);
	if (taken < 0)
		return (int)taken;
	for (unsigned i = 0; i < count; i++) {
		size_t gone = (size_t)taken < parts[i].iov_len ? (size_t)taken : parts[i].iov_len;

		taken -= (ssize_t)gone;
		if (outbox_add(o, (uint8_t *)parts[i].iov_base + gone, parts[i].iov_len - gone) < 0)
			return -ENOMEM;
	}
	return 0;
}

int outbox_flush(struct outbox *o, int fd)
{
	while (o->len) {
		struct iovec part = { o->octets + o->at, o->len };
		ssize_t      n = outbox_send(fd, &part, 1);

		if (n <= 0)
			return (int)n;
		o->at += (size_t)n;
		o->len -= (size_t)n;
	}
	outbox_done(o);
	return 0;
}

void outbox_done(struct outbox *o)
{
	free(o->octets);
	*o = (struct outbox){ 0 };
}
