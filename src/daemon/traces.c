/* traces.c - from the main thread to a worker and back.
 *
 * A report travels in a list under a mutex, as orders do the other way; an
 * async handle says that there is something.  Every order comes back, also from
 * a worker that ends.
 */
#include "daemon/traces.h"

#include "daemon/worker.h"

#include <errno.h>
#include <stdlib.h>

struct traces_one {
	struct list          node;
	struct traces       *all;
	void               (*done)(void *arg, const struct trace_report *report);
	void                *arg;
	struct trace_report *report;
};

static void traces_tell(struct traces *t)
{
	struct list done, *n;

	list_init(&done);
	pthread_mutex_lock(&t->lock);
	list_splice(&done, &t->done);
	pthread_mutex_unlock(&t->lock);
	while ((n = list_take_first(&done))) {
		struct traces_one *one = list_entry(n, struct traces_one, node);

		t->count--;
		one->done(one->arg, one->report);
		free(one->report);
		free(one);
	}
}

static void traces_on_mail(uv_async_t *mail)
{
	traces_tell(mail->data);
}

/* On a worker's thread. */
static void traces_on_report(void *arg, struct trace_report *report)
{
	struct traces_one *one = arg;
	struct traces     *t = one->all;

	one->report = report;
	pthread_mutex_lock(&t->lock);
	list_append(&t->done, &one->node);
	pthread_mutex_unlock(&t->lock);
	uv_async_send(&t->mail);
}

void traces_init(struct traces *t, uv_loop_t *loop)
{
	uv_async_init(loop, &t->mail, traces_on_mail);
	t->mail.data = t;
	pthread_mutex_init(&t->lock, NULL);
	list_init(&t->done);
	t->count = 0;
}

int traces_order(struct traces *t, struct worker *w, const struct trace_question *q,
                 void (*done)(void *arg, const struct trace_report *report), void *arg)
{
	struct traces_one *one;
	int                err;

	if (t->count == TRACES_MAX)
		return -EBUSY;
	one = calloc(1, sizeof *one);
	if (!one)
		return -ENOMEM;
	list_init(&one->node);
	one->all = t;
	one->done = done;
	one->arg = arg;
	err = worker_trace(w, q, traces_on_report, one);
	if (err < 0)
		free(one);
	else
		t->count++;
	return err;
}

void traces_close(struct traces *t)
{
	traces_tell(t);
	pthread_mutex_destroy(&t->lock);
	uv_close((uv_handle_t *)&t->mail, NULL);
}
