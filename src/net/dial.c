/* dial.c - attempts in parallel, of which one wins.
 *
 * Always true: while a dial lives, an attempt of it is open; its memory goes
 * back when the last handle has closed.
 */
#include "net/dial.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define TCP_USER_TIMEOUT_MS 5000	/* what we sent must be acknowledged by then */

struct dial_attempt {
	uv_poll_t    poll;
	struct dial *owner;
	int          fd;		/* -1: not tried, or over */
};

struct dial {
	struct addr_list    to;
	uv_loop_t          *loop;	/* borrowed */
	dial_done          *done;
	void               *arg;
	uv_timer_t          timer;	/* for the next attempt */
	unsigned            next;	/* whom to try next */
	unsigned            open;	/* attempts that are */
	unsigned            handles;
	int                 error;	/* of the first that failed; 0: none has */
	struct dial_attempt attempts[];	/* as many as addresses */
};

static void dial_on_closed(uv_handle_t *handle)
{
	struct dial *d = handle->data;

	if (!--d->handles)
		free(d);
}

/* Stops watching; gives the descriptor, which is the caller's. */
static int dial_attempt_take(struct dial_attempt *a)
{
	int fd = a->fd;

	a->fd = -1;
	a->poll.data = a->owner;
	a->owner->open--;
	uv_close((uv_handle_t *)&a->poll, dial_on_closed);
	return fd;
}

void dial_end(struct dial *d)
{
	if (!d)
		return;
	for (unsigned i = 0; i < d->next; i++)
		if (d->attempts[i].fd >= 0)
			close(dial_attempt_take(&d->attempts[i]));
	uv_close((uv_handle_t *)&d->timer, dial_on_closed);
}

/* A socket that is connecting, or a negative errno. */
static int dial_connect(const struct addr *to)
{
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &(unsigned){ TCP_USER_TIMEOUT_MS }, sizeof(unsigned));
	if (connect(fd, &to->sa, addr_len(to)) < 0 && errno != EINPROGRESS) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

static void dial_on_ready(uv_poll_t *poll, int status, int events);

static int dial_try(struct dial *d, struct dial_attempt *a, const struct addr *to)
{
	a->owner = d;
	a->fd = dial_connect(to);
	if (a->fd < 0)
		return a->fd;
	if (uv_poll_init(d->loop, &a->poll, a->fd) < 0) {
		close(a->fd);
		a->fd = -1;
		return -ENOMEM;
	}
	a->poll.data = a;
	d->handles++;
	d->open++;
	uv_poll_start(&a->poll, UV_WRITABLE, dial_on_ready);
	return 0;
}

static void dial_note_error(struct dial *d, int error)
{
	if (!d->error)
		d->error = error;
}

static void dial_on_timer(uv_timer_t *timer);

/* Tries the next address that can be tried.  False: there is none. */
static bool dial_try_next(struct dial *d)
{
	while (d->next < d->to.count) {
		unsigned n = d->next++;
		int      error = dial_try(d, &d->attempts[n], &d->to.at[n]);

		if (!error) {
			uv_timer_start(&d->timer, dial_on_timer, DIAL_APART_MS, 0);
			return true;
		}
		dial_note_error(d, error);
	}
	return false;
}

static void dial_on_timer(uv_timer_t *timer)
{
	dial_try_next(timer->data);
}

static void dial_finish(struct dial *d, int fd, const struct addr *to)
{
	struct addr reached = *to;
	dial_done  *done = d->done;
	void       *arg = d->arg;

	dial_end(d);
	done(arg, fd, &reached);
}

static void dial_on_failed(struct dial *d, struct dial_attempt *a, int error)
{
	dial_note_error(d, error);
	close(dial_attempt_take(a));
	if (!dial_try_next(d) && !d->open)
		dial_finish(d, d->error, &d->to.at[0]);
}

static void dial_on_ready(uv_poll_t *poll, int status, int events)
{
	struct dial_attempt *a = poll->data;
	struct dial         *d = a->owner;
	int                  error = 0;
	socklen_t            len = sizeof error;

	(void)events;
	getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (status < 0 || error)
		dial_on_failed(d, a, error ? -error : -ECONNRESET);
	else
		dial_finish(d, dial_attempt_take(a), &d->to.at[a - d->attempts]);
}

struct dial *dial_begin(uv_loop_t *loop, const struct addr_list *to, dial_done *done, void *arg, int *error)
{
	struct dial *d = calloc(1, sizeof *d + to->count * sizeof d->attempts[0]);

	*error = -ENOMEM;
	if (!d)
		return NULL;
	d->to = *to;
	d->loop = loop;
	d->done = done;
	d->arg = arg;
	uv_timer_init(loop, &d->timer);
	d->timer.data = d;
	d->handles = 1;
	for (unsigned i = 0; i < to->count; i++)
		d->attempts[i].fd = -1;
	if (dial_try_next(d))
		return d;
	*error = d->error;
	dial_end(d);
	return NULL;
}
