/* fuzz_conf.c - any octets as larder.yaml.
 *
 * Beyond not crashing: a refused text has a report that a terminal can show,
 * and what an accepted one is dumped as is accepted again.
 */
#include "conf/conf.h"
#include "conf/load.h"

#include <stdlib.h>
#include <string.h>

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
	fuzz_require(f && conf_dump(c, f) == 0 && fclose(f) == 0);
	again = conf_load_text(text, len, &report);
	fuzz_require(again && again->policy.route_count == c->policy.route_count &&
	             again->upstream_count == c->upstream_count);
	conf_unref(again);
	free(report);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char        *report;
	struct conf *c = conf_load_text((const char *)data, size, &report);

	fuzz_require(c || report);
	if (report)
		fuzz_check_report(report);
	if (c)
		fuzz_check_conf(c);
	free(report);
	conf_unref(c);
	return 0;
}
