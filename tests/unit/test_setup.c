/* test_setup.c - what survives a reload, and who holds what for how long.  Row CACHE-17 leans on it. */
#include "exchange_rig.h"

#include "alloc_fail.h"
#include "resolve/setup.h"

#define UPSTREAMS 4

/* A configuration that counts how often it was released. */
struct desk {
	struct setup_conf    conf;
	struct policy_conf   policy;
	struct route_conf    routes[3];
	struct upstream_conf upstreams[UPSTREAMS];
	unsigned             released;
};

static struct rig rig;

static int setup_rig(void **state)
{
	(void)state;
	rig_init(&rig);
	return 0;
}

static int teardown_rig(void **state)
{
	(void)state;
	rig_done(&rig);
	return 0;
}

static void desk_release(void *owner)
{
	((struct desk *)owner)->released++;
}

static void desk_init(struct desk *d, char *const *urls, size_t count)
{
	memset(d, 0, sizeof *d);
	d->policy.routes = d->routes;
	d->policy.route_count = 1;
	d->routes[0] = (struct route_conf){ .suffix_len = 1, .id = 10 };
	for (size_t i = 0; i < count; i++)
		d->upstreams[i] = rig_upstream(urls[i]);
	d->conf = (struct setup_conf){ .policy = &d->policy, .upstreams = d->upstreams, .upstream_count = count,
	                               .worker_count = 2, .release = desk_release, .owner = d };
}

static char url_a[] = "udp://192.0.2.1:53", url_b[] = "udp://192.0.2.2:53", url_c[] = "tcp://192.0.2.3:53";

static void test_lives_while_referred_to(void **state)
{
	char *const   urls[] = { url_a, url_b };
	struct desk   d;
	struct setup *s;
	struct view  *v, *w;

	(void)state;
	desk_init(&d, urls, 2);
	s = setup_new(&d.conf, NULL);
	assert_non_null(s);
	v = view_new(setup_ref(s), NULL, &rig.env);
	w = view_ref(v);
	setup_unref(s);
	view_unref(v);
	assert_int_equal(d.released, 0);
	assert_string_equal(w->channels[1]->upstream->conf.url, url_b);
	view_unref(w);
	assert_int_equal(d.released, 1);
	setup_unref(NULL);
	view_unref(NULL);
}

/* An upstream whose URL stayed keeps what is known of it and its open transports, wherever it stands now. */
static void test_reload_reuses(void **state)
{
	char *const       before[] = { url_a, url_b }, *const after[] = { url_c, url_b, url_a };
	struct desk       d, e;
	struct setup     *s, *t;
	struct view      *v, *w;
	struct upstream  *a, *b;
	struct transport *transport;
	unsigned          made = rig.made, closed = rig.closed;

	(void)state;
	desk_init(&d, before, 2);
	desk_init(&e, after, 3);
	s = setup_new(&d.conf, NULL);
	v = view_new(setup_ref(s), NULL, &rig.env);
	a = s->upstreams[0];
	b = s->upstreams[1];
	atomic_store(&a->no_edns_until_ms, 4711);
	transport = channel_transport(v->channels[0], TRANSPORT_UDP);
	assert_ptr_equal(transport, channel_transport(v->channels[0], TRANSPORT_UDP));
	channel_transport(v->channels[1], TRANSPORT_TCP);
	assert_int_equal(rig.made, made + 2);

	t = setup_new(&e.conf, s);
	assert_ptr_equal(t->upstreams[2], a);
	assert_ptr_equal(t->upstreams[1], b);
	w = view_new(setup_ref(t), v, &rig.env);
	assert_ptr_equal(w->channels[2], v->channels[0]);
	assert_ptr_equal(channel_transport(w->channels[2], TRANSPORT_UDP), transport);
	view_unref(v);
	setup_unref(s);
	assert_int_equal(d.released, 1);
	assert_int_equal(rig.closed, closed);		/* nothing that is still in use */
	assert_int_equal(t->upstreams[2]->no_edns_until_ms, 4711);
	view_unref(w);
	setup_unref(t);
	assert_int_equal(e.released, 1);
	assert_int_equal(rig.closed, closed + 2);
}

/* What goes is closed when the last view of the old setup goes, not before. */
static void test_reload_drops(void **state)
{
	char *const   before[] = { url_a, url_b }, *const after[] = { url_b };
	struct desk   d, e;
	struct setup *s, *t;
	struct view  *v, *w;
	unsigned      closed = rig.closed;

	(void)state;
	desk_init(&d, before, 2);
	desk_init(&e, after, 1);
	s = setup_new(&d.conf, NULL);
	v = view_new(setup_ref(s), NULL, &rig.env);
	channel_transport(v->channels[0], TRANSPORT_UDP);
	t = setup_new(&e.conf, s);
	w = view_new(setup_ref(t), v, &rig.env);
	setup_unref(s);
	assert_int_equal(d.released, 0);		/* a flight may still look through v */
	assert_int_equal(rig.closed, closed);
	view_unref(v);
	assert_int_equal(d.released, 1);
	assert_int_equal(rig.closed, closed + 1);
	view_unref(w);
	setup_unref(t);
}

/* Another name for the same URL is another upstream, and so is one that counts for other workers. */
static void test_not_the_same(void **state)
{
	char *const   urls[] = { url_a };
	char          name[] = "office";
	struct desk   d, e;
	struct setup *s, *t;

	(void)state;
	desk_init(&d, urls, 1);
	s = setup_new(&d.conf, NULL);
	desk_init(&e, urls, 1);
	e.upstreams[0].name = name;
	t = setup_new(&e.conf, s);
	assert_ptr_not_equal(t->upstreams[0], s->upstreams[0]);
	setup_unref(t);
	desk_init(&e, urls, 1);
	e.conf.worker_count = 3;
	t = setup_new(&e.conf, s);
	assert_ptr_not_equal(t->upstreams[0], s->upstreams[0]);
	assert_int_equal(t->upstreams[0]->worker_count, 3);
	setup_unref(t);
	setup_unref(s);
}

static void test_routes_differ(void **state)
{
	struct desk   d, e;
	struct setup *s, *t;

	(void)state;
	desk_init(&d, NULL, 0);
	desk_init(&e, NULL, 0);
	for (unsigned i = 0; i < 2; i++) {
		struct desk *x = i ? &e : &d;

		x->routes[1] = (struct route_conf){ .suffix = "\4corp", .suffix_len = 6, .id = 11 };
		x->policy.route_count = 2;
	}
	s = setup_new(&d.conf, NULL);
	t = setup_new(&e.conf, s);
	assert_false(setup_routes_differ(s, t));
	e.routes[1].id = 12;
	assert_true(setup_routes_differ(s, t));
	e.routes[1].id = 11;
	e.policy.route_count = 1;
	assert_true(setup_routes_differ(s, t));
	setup_unref(s);
	setup_unref(t);
}

/* ---- without memory ---- */

static bool run_upstream(void *arg)
{
	struct upstream *u = upstream_new(arg, 3);

	upstream_unref(u);
	return u;
}

static bool run_channel(void *arg)
{
	struct channel *c = channel_new(arg, &rig.env);

	if (c && !channel_transport(c, TRANSPORT_UDP)) {
		channel_unref(c);
		return false;
	}
	channel_unref(c);
	return c;
}

static bool run_setup(void *arg)
{
	struct desk  *d = arg;
	unsigned      released = d->released;
	struct setup *s = setup_new(&d->conf, NULL);

	setup_unref(s);
	assert_int_equal(d->released, released + 1);	/* in any case */
	return s;
}

static bool run_view(void *arg)
{
	struct view *v = view_new(setup_ref(arg), NULL, &rig.env);

	view_unref(v);
	return v;
}

static void test_no_memory(void **state)
{
	char *const          urls[] = { url_a, url_b, url_c };
	struct upstream_conf conf = rig_upstream(url_a);
	struct upstream     *u;
	struct desk          d;
	struct setup        *s;

	(void)state;
	assert_int_equal(alloc_fail_each(run_upstream, &conf), 3);
	u = upstream_new(&conf, 1);
	assert_int_equal(alloc_fail_each(run_channel, u), 3);
	upstream_unref(u);
	desk_init(&d, urls, 3);
	d.policy.local_names = true;
	assert_true(alloc_fail_each(run_setup, &d) >= 1 + 1 + 1 + 3 * 3);
	s = setup_new(&d.conf, NULL);
	assert_int_equal(alloc_fail_each(run_view, s), 1 + 3 * 2);
	assert_int_equal(s->refs, 1);			/* each view has given its own back */
	setup_unref(s);
}

static bool run_scrub(void *arg)
{
	struct dns_scrub *s = dns_scrub_new();

	(void)arg;
	dns_scrub_free(s);
	return s;
}

static void test_no_memory_to_scrub(void **state)
{
	(void)state;
	assert_int_equal(alloc_fail_each(run_scrub, NULL), 1);
	dns_scrub_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lives_while_referred_to),
		cmocka_unit_test(test_reload_reuses),
		cmocka_unit_test(test_reload_drops),
		cmocka_unit_test(test_not_the_same),
		cmocka_unit_test(test_routes_differ),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_no_memory_to_scrub),
	};

	return cmocka_run_group_tests(tests, setup_rig, teardown_rig);
}
