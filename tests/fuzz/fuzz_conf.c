/* fuzz_conf.c - any octets as larder.yaml, as a resolv.conf, and as words of the command line.
 *
 * Beyond not crashing: a refused text has a report that a terminal can show,
 * and what an accepted one is dumped as is accepted again.  Of a resolv.conf
 * each server comes once, and none that would lead back here.
 */
#include "conf/conf.h"
#include "conf/load.h"
#include "conf/resolv.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FUZZ_ARGS_MAX 200	/* octets of all words */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_require(bool holds)
{
	if (!holds)
		abort();
}

static void fuzz_check_report(const char *report)
{
	for (const char *p = report; *p; p++)
		fuzz_require((unsigned char)*p >= 0x20 || *p == '\n' || *p == '\t');
}

/* What an address is shown as reads as that address. */
static void fuzz_check_addresses(const struct conf *c)
{
	char               text[ADDR_TEXT_MAX];
	struct addr        a;
	struct addr_prefix p;

	for (size_t i = 0; i < c->listen_count; i++) {
		addr_format(&c->listen[i], text);
		fuzz_require(!addr_parse(text, 1, &a) && addr_equal(&a, &c->listen[i]));
	}
	for (size_t i = 0; i < c->policy.allow_count; i++) {
		const struct addr_prefix *allow = &c->policy.allow[i];

		addr_prefix_format(allow, text);
		fuzz_require(!addr_prefix_parse(text, &p) && !memcmp(&p, allow, sizeof p));
		*strchr(text, '/') = '\0';
		fuzz_require(!addr_parse(text, 1, &a) && addr_prefix_match(allow, &a));
	}
}

static void fuzz_check_conf(const struct conf *c)
{
	char        *text, *report;
	size_t       len;
	FILE        *f = open_memstream(&text, &len);
	struct conf *again;

	fuzz_require(c->listen_count && c->policy.allow_count && c->policy.route_count);
	for (size_t i = 0; i < c->policy.route_count; i++) {
		const struct route_conf *r = &c->policy.routes[i];

		fuzz_require(r->id && r->suffix_len && (i == 0) == (r->suffix_len == 1));
		for (size_t j = 0; j < r->upstream_count; j++)
			fuzz_require(r->upstreams[j] < c->upstream_count);
	}
	fuzz_check_addresses(c);
	fuzz_require(f && conf_dump(c, f) == 0 && fclose(f) == 0);
	again = conf_load_text(text, len, &report);
	fuzz_require(again && again->policy.route_count == c->policy.route_count &&
	             again->upstream_count == c->upstream_count);
	conf_unref(again);
	free(report);
	free(text);
}

static void fuzz_check_result(struct conf *c, char *report)
{
	fuzz_require(c || report);
	if (report)
		fuzz_check_report(report);
	if (c)
		fuzz_check_conf(c);
	free(report);
	conf_unref(c);
}

/* A file without a place on disk; it stays open. */
static int fuzz_file(char path[32])
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	fuzz_require(fd >= 0);
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

static void fuzz_write(int fd, const void *octets, size_t size)
{
	fuzz_require(!ftruncate(fd, 0) && pwrite(fd, octets, size, 0) == (ssize_t)size);
}

static void fuzz_check_servers(const struct conf *c)
{
	const struct conf_own own = { c->listen, c->listen_count };
	char                 *text;
	size_t                len;
	FILE                 *f = open_memstream(&text, &len);

	fuzz_require(c->from_resolv && c->upstream_count <= CONF_RESOLV_MAX);
	for (size_t i = 0; i < c->upstream_count; i++) {
		const struct addr *a = &c->upstreams[i].addr;

		fuzz_require(addr_port(a) == 53 && !addr_is_wildcard(a) && !conf_own_has(&own, a));
		for (size_t j = 0; j < i; j++)
			fuzz_require(!addr_equal(a, &c->upstreams[j].addr));
	}
	fuzz_require(f && conf_dump(c, f) == 0 && fclose(f) == 0);
	free(text);
}

/* larder.yaml names a resolv.conf, and larder has every address of IPv6. */
static void fuzz_resolv(const uint8_t *data, size_t size)
{
	static char      file[32], resolv[32];
	static int       fd;
	struct conf_args args = { .file = file };
	struct conf     *c;
	char            *report;

	if (!fd) {
		char text[128];
		int  conf_fd = fuzz_file(file);

		fd = fuzz_file(resolv);
		fuzz_write(conf_fd, text, (size_t)snprintf(text, sizeof text,
		           "listen: [127.0.0.1, \"::\"]\nallow: [\"::/0\"]\nresolv-file: %s\n", resolv));
	}
	fuzz_write(fd, data, size);
	c = conf_load(&args, &report);
	fuzz_require(c && (report || c->upstream_count));	/* without a server it says so */
	fuzz_check_servers(c);
	if (report)
		fuzz_check_report(report);
	free(report);
	conf_unref(c);
}

/* One word a line: where to listen, whom to ask, threads, control socket. */
static void fuzz_args(const uint8_t *data, size_t size)
{
	char            *text = malloc(size + 1), *rest = text, *report;
	const char      *words[4] = { NULL };
	struct conf_args args = { .listen = &words[0], .forward = &words[1] };
	struct conf     *c;

	fuzz_require(text);
	memcpy(text, data, size);
	text[size] = '\0';
	for (size_t i = 0; i < 4; i++)
		words[i] = strsep(&rest, "\n");
	if (words[1]) {				/* else the host's own files would be read */
		args.listen_count = args.forward_count = 1;
		args.threads = words[2];
		args.control_socket = words[3];
		c = conf_load(&args, &report);
		fuzz_check_result(c, report);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char        *report;
	struct conf *c = conf_load_text((const char *)data, size, &report);

	fuzz_check_result(c, report);
	/* each is slow, so only what can be such a thing at all */
	if (memmem(data, size, "nameserver", 10) || !size)
		fuzz_resolv(data, size);
	if (size < FUZZ_ARGS_MAX && memchr(data, '\n', size))
		fuzz_args(data, size);
	return 0;
}
