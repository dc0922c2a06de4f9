/* test_service.c - what the service manager hears, and that a stuck worker silences it.
 *
 * The manager is a list of lines, workers are numbers that move when they are
 * woken, or do not.
 */
#include "unit.h"

#include "base/log.h"
#include "daemon/service.h"

#include <fcntl.h>
#include <unistd.h>

#define WORKERS 3

static struct rig {
	uv_loop_t      loop;
	struct service service;
	char           heard[16][SERVICE_STATUS_MAX + 64];
	unsigned       heard_count;
	uint64_t       heartbeat[WORKERS];
	unsigned       nudges[WORKERS];
	bool           stuck[WORKERS];
	const char    *summary;
} rig;

static char     logged[16][256], logged_worker[16];
static unsigned logged_count;

static void rig_summary(void *arg, char *out, size_t size)
{
	snprintf(out, size, "%s", ((struct rig *)arg)->summary);
}

static uint64_t rig_heartbeat(void *arg, unsigned worker)
{
	return ((struct rig *)arg)->heartbeat[worker];
}

static void rig_nudge(void *arg, unsigned worker)
{
	struct rig *r = arg;

	r->nudges[worker]++;
	if (!r->stuck[worker])
		r->heartbeat[worker]++;
}

static void rig_notify(void *arg, const char *state)
{
	struct rig *r = arg;

	assert_in_range(r->heard_count, 0, COUNT_OF(r->heard) - 1);
	snprintf(r->heard[r->heard_count++], sizeof *r->heard, "%s", state);
}

static enum log_taken rig_log(enum log_level level, const char *text, const struct log_field *fields)
{
	(void)level;
	assert_in_range(logged_count, 0, COUNT_OF(logged) - 1);
	snprintf(logged[logged_count++], sizeof *logged, "%s", text);
	logged_worker[0] = '\0';
	if (fields && !strcmp(fields->name, "LARDER_WORKER"))
		snprintf(logged_worker, sizeof logged_worker, "%s", fields->value);
	return LOG_TAKEN;
}

static const struct log_sink rig_sink = { rig_log, rig_log };

static const char *last_heard(void)
{
	return rig.heard_count ? rig.heard[rig.heard_count - 1] : "";
}

static int setup(void **state)
{
	const struct service_ops ops = { rig_summary, rig_heartbeat, rig_nudge, rig_notify, &rig };

	(void)state;
	memset(&rig, 0, sizeof rig);
	logged_count = 0;
	rig.summary = "well";
	log_set_sink(&rig_sink);
	unsetenv("WATCHDOG_PID");
	setenv("WATCHDOG_USEC", "30000000", 1);
	uv_loop_init(&rig.loop);
	service_init(&rig.service, &rig.loop, &ops);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	service_close(&rig.service);
	uv_run(&rig.loop, UV_RUN_DEFAULT);
	log_set_sink(NULL);
	return uv_loop_close(&rig.loop);
}

static void test_words(void **state)
{
	(void)state;
	service_ready(&rig.service, WORKERS);
	assert_string_equal(last_heard(), "READY=1\nSTATUS=well");
	service_reloading(&rig.service, 1234567890123);
	assert_string_equal(last_heard(), "RELOADING=1\nMONOTONIC_USEC=1234567890123");
	rig.summary = "better";
	service_reloaded(&rig.service);
	assert_string_equal(last_heard(), "READY=1\nSTATUS=better");
	service_stopping(&rig.service);
	assert_memory_equal(last_heard(), "STOPPING=1\n", 11);
	assert_int_equal(rig.heard_count, 4);
}

static void test_status_only_when_it_changes(void **state)
{
	(void)state;
	service_ready(&rig.service, WORKERS);
	service_refresh(&rig.service);
	assert_int_equal(rig.heard_count, 1);
	rig.summary = "other";
	service_refresh(&rig.service);
	service_refresh(&rig.service);
	assert_int_equal(rig.heard_count, 2);
	assert_string_equal(last_heard(), "STATUS=other");
}

/* However long a summary is, the manager gets one whole line. */
static void test_long_status(void **state)
{
	char text[2000];

	(void)state;
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	rig.summary = text;
	service_ready(&rig.service, WORKERS);
	assert_int_equal(strlen(last_heard()), strlen("READY=1\nSTATUS=") + SERVICE_STATUS_MAX - 1);
}

static void test_idle_workers_are_woken(void **state)
{
	(void)state;
	service_ready(&rig.service, WORKERS);
	for (unsigned beat = 1; beat < 10; beat++) {
		assert_int_equal(service_beat(&rig.service), 15000);
		assert_string_equal(last_heard(), "WATCHDOG=1");
		assert_int_equal(rig.heard_count, 1 + beat);
		for (unsigned i = 0; i < WORKERS; i++)
			assert_int_equal(rig.nudges[i], 1 + beat);
	}
	assert_int_equal(logged_count, 0);
}

/* Any one of them silences the manager, whatever the others do. */
static void test_stuck_worker_is_a_missed_beat(void **state)
{
	unsigned worker = *(unsigned *)*state;

	service_ready(&rig.service, WORKERS);
	service_beat(&rig.service);
	assert_int_equal(rig.heard_count, 2);
	rig.stuck[worker] = true;
	service_beat(&rig.service);		/* it answered the nudge of the last beat */
	assert_int_equal(rig.heard_count, 3);
	for (unsigned i = 0; i < 12; i++) {
		for (unsigned j = 0; j < WORKERS; j++)
			rig.heartbeat[j] += j != worker;
		assert_in_range(service_beat(&rig.service), 1, 2000);	/* it looks more often now */
	}
	assert_int_equal(rig.heard_count, 3);
	assert_int_equal(logged_count, 1);		/* said once, by its number */
	assert_int_equal(strtoul(logged_worker, NULL, 10), worker);
	assert_non_null(strstr(logged[0], "stuck"));
}

static void test_worker_that_comes_round(void **state)
{
	(void)state;
	service_ready(&rig.service, WORKERS);
	rig.stuck[1] = true;
	service_beat(&rig.service);
	service_beat(&rig.service);
	service_beat(&rig.service);
	assert_int_equal(rig.heard_count, 2);
	assert_int_equal(logged_count, 1);
	rig.heartbeat[1]++;			/* one turn is a sign of life, not two */
	assert_int_equal(service_beat(&rig.service), 15000);
	assert_int_equal(rig.heard_count, 3);
	assert_int_equal(logged_count, 2);
	service_beat(&rig.service);
	assert_int_equal(rig.heard_count, 3);
	rig.stuck[1] = false;
	rig.heartbeat[1]++;
	service_beat(&rig.service);
	service_beat(&rig.service);
	assert_int_equal(rig.heard_count, 5);
}

/* A beat that wraps round is a beat. */
static void test_heartbeat_wraps(void **state)
{
	(void)state;
	rig.heartbeat[0] = UINT64_MAX;
	service_ready(&rig.service, WORKERS);
	assert_int_equal(rig.heartbeat[0], 0);
	service_beat(&rig.service);
	assert_string_equal(last_heard(), "WATCHDOG=1");
}

/* Without a watchdog nobody is woken for one; a tiny one does not make the loop spin. */
static void test_watchdog_periods(void **state)
{
	static const struct { const char *usec; uint64_t ms, wait; } rows[] = {
		{ "1000000", 1000, 500 }, { "1", 1, 1 }, { "2999", 2, 1 }, { "0", 0, 0 },
		{ "nonsense", 0, 0 },
	};
	const struct service_ops ops = rig.service.ops;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		setenv("WATCHDOG_USEC", rows[i].usec, 1);
		service_close(&rig.service);
		uv_run(&rig.loop, UV_RUN_DEFAULT);
		service_init(&rig.service, &rig.loop, &ops);
		assert_int_equal(rig.service.watchdog_ms, rows[i].ms);
		memset(rig.nudges, 0, sizeof rig.nudges);
		service_ready(&rig.service, WORKERS);
		assert_int_equal(rig.nudges[0], rows[i].ms != 0);
		assert_int_equal(uv_is_active((uv_handle_t *)&rig.service.beat_timer), rows[i].ms != 0);
		if (rows[i].ms)
			assert_int_equal(service_beat(&rig.service), rows[i].wait);
		assert_null(getenv("WATCHDOG_USEC"));	/* not for children */
	}
}

/* No manager: no timers, no words, no summary. */
static void test_nobody_listens(void **state)
{
	struct service_ops ops = rig.service.ops;

	(void)state;
	ops.notify = NULL;
	unsetenv("NOTIFY_SOCKET");
	service_close(&rig.service);
	uv_run(&rig.loop, UV_RUN_DEFAULT);
	service_init(&rig.service, &rig.loop, &ops);
	service_ready(&rig.service, WORKERS);
	service_reloaded(&rig.service);
	assert_false(uv_loop_alive(&rig.loop));
	assert_string_equal(rig.service.said, "");
	assert_int_equal(rig.nudges[0], 0);
}

/* ---- log lines with a sink, which a service has ---- */

static struct log_field got_fields[4];
static char             got_text[4096];
static enum log_taken   sink_says;

static enum log_taken keep(enum log_level level, const char *text, const struct log_field *fields)
{
	(void)level;
	snprintf(got_text, sizeof got_text, "%s", text);
	memset(got_fields, 0, sizeof got_fields);
	for (unsigned i = 0; fields && fields[i].name; i++)
		got_fields[i] = fields[i];
	return sink_says;
}

static const struct log_sink keep_sink = { keep, keep };

static void test_log_events(void **state)
{
	char    line[4096];
	int     ends[2], old = dup(STDERR_FILENO);
	ssize_t n;

	(void)state;
	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	dup2(ends[1], STDERR_FILENO);
	log_set_sink(&keep_sink);
	sink_says = LOG_TAKEN;
	log_event(LOG_LEVEL_WARNING, LOG_FIELDS({ "LARDER_A", "1" }, { "LARDER_B", "2\n3" }), "a\n%d", 7);
	assert_string_equal(got_text, "a\\0127");	/* no label: the journal has the priority */
	assert_string_equal(got_fields[0].name, "LARDER_A");
	assert_string_equal(got_fields[1].value, "2\n3");
	assert_null(got_fields[2].name);
	log_event(LOG_LEVEL_INFO, NULL, "too quiet");
	assert_string_equal(got_text, "a\\0127");
	assert_true(log_bulk(LOG_LEVEL_INFO, NULL, "asked for"));
	assert_string_equal(got_text, "asked for");
	sink_says = LOG_BEHIND;
	assert_false(log_bulk(LOG_LEVEL_INFO, NULL, "too much"));
	assert_int_equal(read(ends[0], line, sizeof line), -1);

	sink_says = LOG_REFUSED;
	log_error("x");
	log_event(LOG_LEVEL_NOTICE, LOG_FIELDS({ "LARDER_A", "1" }), "y");
	log_lines(LOG_LEVEL_WARNING, "one\n\n  two\nthree");
	log_set_sink(NULL);
	log_event(LOG_LEVEL_ERROR, LOG_FIELDS({ "LARDER_A", "1" }), "z");
	n = read(ends[0], line, sizeof line - 1);
	dup2(old, STDERR_FILENO);
	close(old);
	close(ends[0]);
	close(ends[1]);
	assert_true(n > 0);
	line[n] = '\0';
	assert_string_equal(line, "<3>x\n<5>y\n<4>one\n<4>  two\n<4>three\nerror: z\n");
	assert_int_equal(log_priority(LOG_LEVEL_DEBUG), 7);
}

int main(void)
{
	static unsigned               first = 0, middle = 1, last = WORKERS - 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_words, setup, teardown),
		cmocka_unit_test_setup_teardown(test_status_only_when_it_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_status, setup, teardown),
		cmocka_unit_test_setup_teardown(test_idle_workers_are_woken, setup, teardown),
		cmocka_unit_test_prestate_setup_teardown(test_stuck_worker_is_a_missed_beat, setup, teardown,
		                                         &first),
		cmocka_unit_test_prestate_setup_teardown(test_stuck_worker_is_a_missed_beat, setup, teardown,
		                                         &middle),
		cmocka_unit_test_prestate_setup_teardown(test_stuck_worker_is_a_missed_beat, setup, teardown,
		                                         &last),
		cmocka_unit_test_setup_teardown(test_worker_that_comes_round, setup, teardown),
		cmocka_unit_test_setup_teardown(test_heartbeat_wraps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watchdog_periods, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_listens, setup, teardown),
		cmocka_unit_test(test_log_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
