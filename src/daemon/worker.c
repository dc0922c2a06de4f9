/* worker.c - a worker's thread.
 *
 * Before each wait the loop's prepare handle arms one loop timer for the timer
 * wheel's next deadline, so that thousands of timers cost the loop one.  The
 * wheel turns after each wait, behind the messages that came with it: when we
 * were kept from running for a while, an answer that lies there already is not
 * taken for a time-out.  Orders lie in a list under a mutex; an async handle says that there are
 * some.
 */
#include "daemon/worker.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/ring.h"
#include "base/rng.h"
#include "base/timer.h"
#include "cache/cache.h"
#include "dns/scrub.h"
#include "net/client.h"
#include "resolve/event.h"
#include "resolve/resolver.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#define STOP_POLL_MS 5		/* how often a stopping worker looks whether all are answered */
#define LATE_MS      5000	/* so late, connections have been left alone for too long */

enum order_kind { ORDER_RECONFIGURE, ORDER_LISTEN, ORDER_UNLISTEN, ORDER_WARM, ORDER_TRACE, ORDER_LET_GO,
                  ORDER_STOP };

struct order {
	struct list          node;
	enum order_kind      kind;
	struct setup        *setup;
	struct listener_conf listeners;
	struct addr          addr;
	int                  udp_fd, tcp_fd;
	uint32_t             grace_ms;
	struct order_trace  *trace;
	struct ring         *ring;
};

struct order_trace {
	struct trace_question question;
	uint64_t              ordered_us;
	void                (*done)(void *arg, struct trace_report *report);
	void                 *arg;
};

struct worker {
	unsigned             index;
	pthread_t            thread;
	uv_loop_t            loop;
	uv_async_t           mail;
	uv_prepare_t         before_wait;
	uv_check_t           after_wait;
	uv_timer_t           wake;		/* armed for the wheel's next deadline */
	uint64_t             wake_at_ms;	/* UINT64_MAX: not armed */

	pthread_mutex_t      orders_lock;
	struct list          orders;
	struct order         stop_order;	/* so that stopping needs no memory */

	struct stats         stats;
	struct rng           rng;
	struct timers        timers;
	struct timer         stop_timer;
	uint64_t             stop_by_ms;
	struct net_client    client;
	struct dns_scrub    *scrub;
	struct slows        *slows;
	struct ring         *events;		/* while it is watched; NULL: it is not */
	_Atomic bool         lets_go;		/* of the ring before, which it may be writing to */
	struct resolver     *resolver;
	struct listener_set *listeners;
};

static uint64_t worker_now_ms(void)
{
	return clock_mono_us(clock_system()) / 1000;
}

/* ---- time ---- */

static void worker_on_wake(uv_timer_t *t)
{
	struct worker *w = t->data;

	w->wake_at_ms = UINT64_MAX;	/* the prepare handle does the rest */
}

static void worker_on_before_wait(uv_prepare_t *p)
{
	struct worker *w = p->data;
	uint64_t       now = worker_now_ms(), next = timers_next_ms(&w->timers);

	stats_bump(&w->stats.heartbeat, 1);
	if (next == w->wake_at_ms)
		return;
	w->wake_at_ms = next;
	if (next == UINT64_MAX)
		uv_timer_stop(&w->wake);
	else
		uv_timer_start(&w->wake, worker_on_wake, next > now ? next - now : 0, 0);
}

static void worker_on_after_wait(uv_check_t *c)
{
	struct worker *w = c->data;
	uint64_t       now_us = clock_mono_us(clock_system());
	bool           late = w->wake_at_ms != UINT64_MAX && now_us / 1000 > w->wake_at_ms + LATE_MS;

	resolver_on_clocks(w->resolver, clock_boot_ms(clock_system()), now_us, late);
	timers_run(&w->timers, now_us / 1000);
	listener_set_flush(w->listeners);	/* timers may have answered somebody */
}

/* ---- the end ---- */

static void worker_close(struct worker *w)
{
	timer_stop(&w->timers, &w->stop_timer);
	listener_set_close(w->listeners);
	resolver_free(w->resolver);
	w->resolver = NULL;
	uv_close((uv_handle_t *)&w->mail, NULL);
	uv_close((uv_handle_t *)&w->before_wait, NULL);
	uv_close((uv_handle_t *)&w->after_wait, NULL);
	uv_close((uv_handle_t *)&w->wake, NULL);
}

static void worker_on_stop_timer(struct timer *t)
{
	struct worker *w = list_entry(t, struct worker, stop_timer);
	uint64_t       now = worker_now_ms();

	if (!resolver_waiting(w->resolver) || now >= w->stop_by_ms)
		worker_close(w);
	else
		timer_start(&w->timers, &w->stop_timer, now + STOP_POLL_MS);
}

/* ---- orders ---- */

static void worker_carry_out(struct worker *w, struct order *o)
{
	switch (o->kind) {
	case ORDER_RECONFIGURE:
		if (resolver_reconfigure(w->resolver, o->setup) < 0)
			log_error("worker %u: no memory for the new configuration; keeping the old one", w->index);
		listener_set_reconfigure(w->listeners, &o->listeners);
		resolver_warm(w->resolver);
		return;
	case ORDER_LISTEN: {
		char text[ADDR_TEXT_MAX];
		int  err = listener_set_add(w->listeners, &o->addr, o->udp_fd, o->tcp_fd);

		if (err < 0)
			log_event(LOG_LEVEL_ERROR,
			          LOG_FIELDS({ "LARDER_ADDRESS", addr_format(&o->addr, text) }),
			          "%s: cannot listen: %s", text, strerror(-err));
		return;
	}
	case ORDER_UNLISTEN:
		listener_set_remove(w->listeners, &o->addr);
		return;
	case ORDER_WARM:
		resolver_warm(w->resolver);
		return;
	case ORDER_TRACE:
		trace_begin(w->resolver, &o->trace->question, o->trace->ordered_us, o->trace->done, o->trace->arg);
		free(o->trace);
		return;
	case ORDER_LET_GO:
		resolver_let_go(w->resolver, o->ring);
		ring_free(o->ring);
		atomic_store(&w->lets_go, false);
		return;
	case ORDER_STOP:
		listener_set_stop(w->listeners);
		w->stop_by_ms = worker_now_ms() + o->grace_ms;
		timer_start(&w->timers, &w->stop_timer, 0);
		return;
	}
}

static void worker_on_mail(uv_async_t *a)
{
	struct worker *w = a->data;
	struct list    orders, *n;

	list_init(&orders);
	pthread_mutex_lock(&w->orders_lock);
	list_splice(&orders, &w->orders);
	pthread_mutex_unlock(&w->orders_lock);
	while ((n = list_take_first(&orders))) {
		struct order *o = list_entry(n, struct order, node);

		worker_carry_out(w, o);
		if (o != &w->stop_order)
			free(o);
	}
}

static void worker_order(struct worker *w, struct order *o)
{
	pthread_mutex_lock(&w->orders_lock);
	list_append(&w->orders, &o->node);
	pthread_mutex_unlock(&w->orders_lock);
	uv_async_send(&w->mail);
}

int worker_reconfigure(struct worker *w, struct setup *setup, const struct listener_conf *listeners)
{
	struct order *o = calloc(1, sizeof *o);

	if (!o)
		return -ENOMEM;
	o->kind = ORDER_RECONFIGURE;
	o->setup = setup;
	o->listeners = *listeners;
	worker_order(w, o);
	return 0;
}

int worker_listen(struct worker *w, const struct addr *addr, int udp_fd, int tcp_fd)
{
	struct order *o = calloc(1, sizeof *o);

	if (!o)
		return -ENOMEM;
	o->kind = ORDER_LISTEN;
	o->addr = *addr;
	o->udp_fd = udp_fd;
	o->tcp_fd = tcp_fd;
	worker_order(w, o);
	return 0;
}

int worker_unlisten(struct worker *w, const struct addr *addr)
{
	struct order *o = calloc(1, sizeof *o);

	if (!o)
		return -ENOMEM;
	o->kind = ORDER_UNLISTEN;
	o->addr = *addr;
	worker_order(w, o);
	return 0;
}

int worker_warm(struct worker *w)
{
	struct order *o = calloc(1, sizeof *o);

	if (!o)
		return -ENOMEM;
	o->kind = ORDER_WARM;
	worker_order(w, o);
	return 0;
}

int worker_trace(struct worker *w, const struct trace_question *q,
                 void (*done)(void *arg, struct trace_report *report), void *arg)
{
	struct order       *o = calloc(1, sizeof *o);
	struct order_trace *t = malloc(sizeof *t);

	if (!o || !t) {
		free(o);
		free(t);
		return -ENOMEM;
	}
	*t = (struct order_trace){ .question = *q, .ordered_us = clock_mono_us(clock_system()), .done = done,
		                   .arg = arg };
	o->kind = ORDER_TRACE;
	o->trace = t;
	worker_order(w, o);
	return 0;
}

void worker_nudge(struct worker *w)
{
	uv_async_send(&w->mail);
}

void worker_stop(struct worker *w, uint32_t grace_ms)
{
	w->stop_order.kind = ORDER_STOP;
	w->stop_order.grace_ms = grace_ms;
	worker_order(w, &w->stop_order);
}

/* ---- life ---- */

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	cache_enter(w->index);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	return NULL;
}

struct worker *worker_new(const struct worker_conf *conf)
{
	struct worker      *w = aligned_alloc(64, (sizeof *w + 63) & ~(size_t)63);
	struct resolver_env env;
	struct net_handler  handler = {
		.announce = resolver_on_announce,
		.message = resolver_on_message,
		.batch_done = resolver_on_batch_done,
	};

	if (!w) {
		setup_unref(conf->setup);
		return NULL;
	}
	memset(w, 0, sizeof *w);
	w->index = conf->index;
	w->wake_at_ms = UINT64_MAX;
	list_init(&w->orders);
	pthread_mutex_init(&w->orders_lock, NULL);
	rng_init(&w->rng, NULL, NULL);
	timers_init(&w->timers, worker_now_ms());
	timer_init(&w->stop_timer, worker_on_stop_timer);
	if (uv_loop_init(&w->loop) < 0) {
		setup_unref(conf->setup);
		pthread_mutex_destroy(&w->orders_lock);
		free(w);
		return NULL;
	}
	w->mail.data = w->before_wait.data = w->after_wait.data = w->wake.data = w;
	uv_async_init(&w->loop, &w->mail, worker_on_mail);
	uv_prepare_init(&w->loop, &w->before_wait);
	uv_prepare_start(&w->before_wait, worker_on_before_wait);
	uv_check_init(&w->loop, &w->after_wait);
	uv_check_start(&w->after_wait, worker_on_after_wait);
	uv_timer_init(&w->loop, &w->wake);
	net_client_init(&w->client, &w->loop, clock_system(), &w->rng);
	w->scrub = dns_scrub_new();
	w->slows = slows_new();
	env = (struct resolver_env){
		.upstream = {
			.clock = clock_system(),
			.rng = &w->rng,
			.stats = &w->stats,
			.scrub = w->scrub,
			.maker = &w->client.maker,
			.doubt = conf->doubt,
			.doubt_arg = conf->doubt_arg,
			.worker = conf->index,
		},
		.timers = &w->timers,
		.cache = conf->cache,
		.slows = w->slows,
	};
	w->resolver = resolver_new(&env, conf->setup);
	handler.arg = w->resolver;
	w->listeners = listener_set_new(&w->loop, clock_system(), &w->stats, &conf->listeners, &handler);
	if (!w->scrub || !w->slows || !w->resolver || !w->listeners) {
		worker_free(w);
		return NULL;
	}
	return w;
}

int worker_start(struct worker *w)
{
	return -pthread_create(&w->thread, NULL, worker_main, w);
}

void worker_join(struct worker *w)
{
	pthread_join(w->thread, NULL);
}

void worker_free(struct worker *w)
{
	struct list *n;

	if (!w)
		return;
	if (!uv_is_closing((uv_handle_t *)&w->mail)) {	/* never started, or only half made */
		if (w->listeners)
			listener_set_close(w->listeners);
		resolver_free(w->resolver);
		uv_close((uv_handle_t *)&w->mail, NULL);
		uv_close((uv_handle_t *)&w->before_wait, NULL);
		uv_close((uv_handle_t *)&w->after_wait, NULL);
		uv_close((uv_handle_t *)&w->wake, NULL);
	}
	uv_run(&w->loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&w->loop) < 0)
		log_warning("worker %u: handles were left open", w->index);
	while ((n = list_take_first(&w->orders))) {	/* what came too late */
		struct order *o = list_entry(n, struct order, node);

		if (o->kind == ORDER_RECONFIGURE)
			setup_unref(o->setup);
		if (o->kind == ORDER_LET_GO)
			ring_free(o->ring);
		if (o->kind == ORDER_TRACE) {
			o->trace->done(o->trace->arg, NULL);
			free(o->trace);
		}
		if (o->kind == ORDER_LISTEN) {
			close(o->udp_fd);
			close(o->tcp_fd);
		}
		if (o != &w->stop_order)
			free(o);
	}
	dns_scrub_free(w->scrub);
	slows_free(w->slows);
	ring_free(w->events);
	pthread_mutex_destroy(&w->orders_lock);
	free(w);
}

/* The worker may be writing into its ring right now.  So the ring goes to it with the mail, which it reads between
 * messages, and it is the worker that frees it.  One that has not freed the ring before, or no memory for a letter: then
 * this one is kept for whoever watches next. */
static void worker_let_go(struct worker *w)
{
	struct order *o = w->events && !atomic_load(&w->lets_go) ? calloc(1, sizeof *o) : NULL;

	if (!o)
		return;
	o->kind = ORDER_LET_GO;
	o->ring = w->events;
	w->events = NULL;
	atomic_store(&w->lets_go, true);
	worker_order(w, o);
}

bool worker_watch(struct worker *w, bool on)
{
	if (on && !w->events)
		w->events = ring_new(EVENT_RING);
	resolver_watch(w->resolver, on ? w->events : NULL);
	if (!on)
		worker_let_go(w);
	return w->events;
}

struct ring *worker_events(const struct worker *w)
{
	return w->events;
}

struct slows *worker_slows(const struct worker *w)
{
	return w->slows;
}

const struct stats *worker_stats(const struct worker *w)
{
	return &w->stats;
}
