/* http_doors.c - the sockets on which HTTP clients knock.
 *
 * A door is open exactly while the configuration lists it.  When no client can
 * be taken in because descriptors or memory are short, the door rests for a
 * moment: whoever knocks waits in the kernel's queue, and the loop does not
 * spin on a socket that stays readable.
 */
#include "control/http_doors.h"

#include "base/log.h"
#include "conf/conf.h"
#include "control/bind.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DOOR_BACKLOG 128
#define DOOR_BATCH   16		/* clients let in at a time, so that others get their turn */
#define DOOR_REST_MS 1000

struct http_door {
	struct list        node;
	struct http_doors *doors;
	struct addr        addr;
	struct bind_file   file;		/* of a socket file; else its path is empty */
	int                fd;
	uv_poll_t          knock;
	uv_timer_t         rest;
	unsigned           open_handles;
};

static void door_on_knock(uv_poll_t *poll, int status, int events);

static void door_on_handle_closed(uv_handle_t *h)
{
	struct http_door *door = h->data;

	if (--door->open_handles == 0)
		free(door);
}

static void door_close(struct http_door *door)
{
	list_remove(&door->node);
	if (*door->file.path)
		bind_remove(&door->file);
	uv_close((uv_handle_t *)&door->knock, door_on_handle_closed);
	uv_close((uv_handle_t *)&door->rest, door_on_handle_closed);
	close(door->fd);	/* now, not as the loop turns: another door may need the port */
}

static void door_on_rested(uv_timer_t *rest)
{
	struct http_door *door = rest->data;

	uv_poll_start(&door->knock, UV_READABLE, door_on_knock);
}

static void door_rest(struct http_door *door, int err)
{
	log_limited(LOG_LEVEL_WARNING, "http: cannot take a connection: %s; trying again in a second",
	            strerror(err));
	uv_poll_stop(&door->knock);
	uv_timer_start(&door->rest, door_on_rested, DOOR_REST_MS, 0);
}

/* A client that went away before it was let in is no reason to rest. */
static bool door_is_short_of_means(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM || err == ENOBUFS;
}

static void door_on_knock(uv_poll_t *poll, int status, int events)
{
	struct http_door  *door = poll->data;
	struct http_doors *d = door->doors;

	(void)status;
	(void)events;
	for (unsigned i = 0; i < DOOR_BATCH; i++) {
		struct sockaddr_storage peer;
		socklen_t               len = sizeof peer;
		int fd = accept4(door->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			d->on_client(d->arg, fd, (struct sockaddr *)&peer, len);
			continue;
		}
		if (door_is_short_of_means(errno))
			door_rest(door, errno);
		return;
	}
}

/* Without SO_REUSEPORT, which would let us share a port with a stranger in silence. */
static int door_bind(const struct addr *addr, int *out)
{
	int on = 1, err, fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    (addr->sa.sa_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) ||
	    bind(fd, &addr->sa, addr_len(addr)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

static int door_open(struct http_doors *d, const struct conf_endpoint *e)
{
	struct http_door *door = calloc(1, sizeof *door);
	int               err;

	if (!door)
		return -ENOMEM;
	list_init(&door->node);
	door->doors = d;
	door->addr = e->addr;
	err = e->path ? bind_open(e->path, &door->fd, &door->file) : door_bind(&e->addr, &door->fd);
	if (err) {
		free(door);
		return err;
	}
	if (listen(door->fd, DOOR_BACKLOG) < 0)
		err = -errno;
	door->open_handles = 2;
	uv_poll_init(d->loop, &door->knock, door->fd);
	uv_timer_init(d->loop, &door->rest);
	door->knock.data = door->rest.data = door;
	if (err) {
		door_close(door);
		return err;
	}
	uv_poll_start(&door->knock, UV_READABLE, door_on_knock);
	list_append(&d->open, &door->node);
	return 0;
}

static bool door_is(const struct http_door *door, const struct conf_endpoint *e)
{
	return e->path ? !strcmp(door->file.path, e->path) :
	                 !*door->file.path && addr_equal(&door->addr, &e->addr);
}

static bool doors_have(const struct http_doors *d, const struct conf_endpoint *e)
{
	for (struct list *l = d->open.next; l != &d->open; l = l->next)
		if (door_is(list_entry(l, struct http_door, node), e))
			return true;
	return false;
}

static bool door_is_wanted(const struct http_door *door, const struct conf_endpoint *endpoints, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (door_is(door, &endpoints[i]))
			return true;
	return false;
}

static void doors_close_others(struct http_doors *d, const struct conf_endpoint *endpoints, size_t count)
{
	for (struct list *l = d->open.next, *next; l != &d->open; l = next) {
		struct http_door *door = list_entry(l, struct http_door, node);

		next = l->next;
		if (!door_is_wanted(door, endpoints, count))
			door_close(door);
	}
}

/* First what goes: a wildcard may give way to one of its addresses. */
void http_doors_set(struct http_doors *d, const struct conf_endpoint *endpoints, size_t count)
{
	doors_close_others(d, endpoints, count);
	for (size_t i = 0; i < count; i++) {
		const struct conf_endpoint *e = &endpoints[i];
		char                        text[ADDR_TEXT_MAX];
		const char                 *where = e->path ? e->path : addr_format(&e->addr, text);
		int                         err = doors_have(d, e) ? 0 : door_open(d, e);

		if (err)
			log_event(LOG_LEVEL_ERROR, LOG_FIELDS({ "LARDER_ADDRESS", where }),
			          "metrics-listen: cannot listen on %s: %s; going on without", where,
			          strerror(-err));
	}
}

void http_doors_own_files(const struct http_doors *d, uid_t uid, gid_t gid)
{
	for (struct list *l = d->open.next; l != &d->open; l = l->next) {
		const struct http_door *door = list_entry(l, struct http_door, node);

		if (*door->file.path && lchown(door->file.path, uid, gid) < 0)
			log_warning("metrics-listen: the group of %s cannot be changed: %s", door->file.path,
			            strerror(errno));
	}
}

void http_doors_close(struct http_doors *d)
{
	doors_close_others(d, NULL, 0);
}
