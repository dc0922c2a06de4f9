/* test_tickets.c - when the file of TLS tickets is written, and what is done with one that is found. */
#include "unit.h"

#include "base/keep.h"
#include "conf/conf.h"
#include "daemon/tickets.h"
#include "net/tls_peer.h"
#include "net/tls_tickets.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILE_NAME "tls-tickets"

struct world {
	uv_loop_t            loop;
	struct tickets       tickets;
	char                 dir[64];
	struct upstream_conf upstreams[2];	/* one in each configuration */
	struct conf          confs[2], *conf;
};

static struct world w;

static void keep_ticket(struct tls_peer *p)
{
	struct tls_ticket t = { .until_s = time(NULL) + 3600, .lasting = true };

	t.data.data = gnutls_malloc(32);
	t.data.size = 32;
	memset(t.data.data, 7, 32);
	tls_peer_keep_ticket(p, &t);
}

static bool has_ticket(struct tls_peer *p)
{
	struct tls_ticket t;
	bool              has = tls_peer_take_ticket(p, time(NULL), &t);

	if (has)
		tls_ticket_done(&t);
	return has;
}

static void begin(void)
{
	tickets_init(&w.tickets, &w.loop, (struct conf *const *)&w.conf);
	tickets_load(&w.tickets);
	uv_timer_set_repeat(&w.tickets.timer, 1);	/* not a minute */
	uv_timer_again(&w.tickets.timer);
}

static void end(void)
{
	tickets_close(&w.tickets);
	uv_run(&w.loop, UV_RUN_DEFAULT);
}

/* Whose tickets lie in the file; NULL: nobody's. */
static struct tls_peer *found(void)
{
	char  *octets;
	size_t len;

	uv_run(&w.loop, UV_RUN_ONCE);			/* the timer has rung then */
	if (keep_read(w.dir, FILE_NAME, TLS_TICKETS_MAX, &octets, &len) < 0)
		return NULL;
	for (unsigned i = 0; i < 2; i++) {
		struct tls_peer *p = w.upstreams[i].tls;

		if (memmem(octets, len, tls_peer_digest(p), TLS_DIGEST_LEN)) {
			free(octets);
			return p;
		}
	}
	free(octets);
	return NULL;
}

static int setup(void **state)
{
	struct tls_trust *trust;

	(void)state;
	memset(&w, 0, sizeof w);
	uv_loop_init(&w.loop);
	snprintf(w.dir, sizeof w.dir, "/tmp/larder-tickets-XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	assert_int_equal(tls_trust_load(TLS_TRUST_NOBODY, &trust), 0);
	for (unsigned i = 0; i < 2; i++) {
		w.upstreams[i].tls = tls_peer_new(&(struct tls_peer_conf){
			.address = i ? "192.0.2.2:853" : "192.0.2.1:853", .name = "dns.example", .alpn = "dot",
			.trust = trust });
		w.confs[i].upstreams = &w.upstreams[i];
		w.confs[i].upstream_count = 1;
		w.confs[i].state_directory = w.dir;
	}
	tls_trust_unref(trust);
	w.conf = &w.confs[0];
	return 0;
}

static int teardown(void **state)
{
	int folder = open(w.dir, O_RDONLY | O_DIRECTORY);

	(void)state;
	unlinkat(folder, FILE_NAME, 0);
	unlinkat(folder, "." FILE_NAME ".new", AT_REMOVEDIR);
	close(folder);
	assert_int_equal(rmdir(w.dir), 0);
	for (unsigned i = 0; i < 2; i++)
		tls_peer_unref(w.upstreams[i].tls);
	assert_int_equal(uv_loop_close(&w.loop), 0);
	return 0;
}

/* As many changes as before, but of another peer's tickets. */
static void test_another_peer(void **state)
{
	(void)state;
	begin();
	assert_null(found());
	keep_ticket(w.upstreams[0].tls);
	assert_ptr_equal(found(), w.upstreams[0].tls);
	keep_ticket(w.upstreams[1].tls);
	w.conf = &w.confs[1];
	assert_ptr_equal(found(), w.upstreams[1].tls);
	end();
}

/* What could not be written is written as soon as it can be. */
static void test_written_at_last(void **state)
{
	(void)state;
	begin();
	assert_int_equal(chmod(w.dir, 0777), 0);
	keep_ticket(w.upstreams[0].tls);
	assert_null(found());
	assert_int_equal(chmod(w.dir, 0700), 0);
	assert_ptr_equal(found(), w.upstreams[0].tls);
	end();
}

/* A file that cannot be emptied is not used: its tickets would be used once more after the next start. */
static void test_not_used_twice(void **state)
{
	char path[128];

	(void)state;
	keep_ticket(w.upstreams[0].tls);
	begin();
	end();
	assert_true(has_ticket(w.upstreams[0].tls));
	snprintf(path, sizeof path, "%s/." FILE_NAME ".new", w.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	begin();
	assert_false(has_ticket(w.upstreams[0].tls));
	end();
	assert_int_equal(rmdir(path), 0);
	begin();
	assert_true(has_ticket(w.upstreams[0].tls));
	end();
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(test_another_peer),
		TEST(test_written_at_last),
		TEST(test_not_used_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
