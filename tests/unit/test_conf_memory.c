/* test_conf_memory.c - each allocation of a load fails once: never a crash, never half a result.
 *
 * Linked with --wrap, so that calls from larder's own objects come here first.
 */
#include "conf_rig.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);

static long left = -1;	/* allocations until one fails; negative: none does */

static bool memory_fails(void)
{
	return left >= 0 && left-- == 0;
}

void *__wrap_malloc(size_t size)
{
	return memory_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return memory_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return memory_fails() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
	return memory_fails() ? NULL : __real_strdup(text);
}

static void test_every_allocation_fails_once(void **state)
{
	struct conf_rig *r = *state;
	const char      *listen[] = { "127.0.0.1:5300" };
	struct conf_args a = { .listen = listen, .listen_count = 1, .threads = "2" };
	char             text[700], file[256], *report;
	struct conf     *c = NULL;
	long             n = 0;

	rig_write(r, "resolv.conf", "nameserver 192.0.2.1\nnameserver 192.0.2.2\n");
	snprintf(text, sizeof text, "resolv-file: %s\n"
	                            "user: x\n"
	                            "upstreams: {a: {url: 192.0.2.1}, b: {url: 192.0.2.3}}\n"
	                            "routes: {x: [a, b], y: [192.0.2.4]}\n"
	                            "identity: {version: x}\n", r->path);
	strcpy(file, rig_write(r, "larder.yaml", text));
	assert_int_equal(mkdir(rig_path(r, "larder.yaml.d"), 0700), 0);
	rig_write(r, "larder.yaml.d/1.yaml", "allow: [127.0.0.0/8]\n");
	rig_write(r, "larder.yaml.d/2.yaml", "upstreams: {a: {url: 192.0.2.5}}\n");
	a.file = file;
	for (; n < 10000; n++) {
		left = n;
		c = conf_load(&a, &report);
		if (left >= 0) {	/* nothing failed any more */
			left = -1;
			break;
		}
		left = -1;
		if (c)
			fail_msg("allocation %ld failed, and the load went on", n);
		assert_null(report);
	}
	assert_true(n > 50);
	assert_non_null(c);
	assert_null(report);
	assert_int_equal(c->upstream_count, 5);
	conf_unref(c);
}

/* A report of mistakes needs memory too. */
static void test_reports_without_memory(void **state)
{
	static const char text[] = "thraeds: 1\nforward: [tls://192.0.2.1, x]\nuser: a: b\n";
	char             *report;
	long              n = 0;

	(void)state;
	for (; n < 10000; n++) {
		bool spent;

		left = n;
		assert_null(conf_load_text(text, sizeof text - 1, &report));
		spent = left < 0;
		left = -1;
		if (!spent)
			break;
		assert_null(report);
	}
	assert_true(n > 10);
	assert_int_equal(rig_count(report, "text:"), 4);
	free(report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_allocation_fails_once, rig_setup, rig_teardown),
		cmocka_unit_test(test_reports_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
