/* conf.h - what the cache can be told. */
#ifndef LARDER_CACHE_CONF_H
#define LARDER_CACHE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache_conf {
	size_t   size_octets;	/* bound over entries and tables, 1 MiB or more */
	unsigned workers;	/* threads that look things up all the time; 0 is like 1 */
};

/* How long answers are kept. */
struct cache_times {
	uint32_t ttl_min_s;		/* raises shorter TTLs of positive answers, never 0 */
	uint32_t ttl_max_s;		/* RFC 8767 s. 4 */
	uint32_t negative_max_s;	/* RFC 2308 s. 5 */
	uint32_t failure_first_s;	/* RFC 9520 s. 3.2: first hold, doubling … */
	uint32_t failure_max_s;		/* … up to this */
	uint32_t stale_s;		/* how long past its TTL an answer may be used; 0: never (RFC 8767 s. 5) */
	uint32_t stale_ttl_s;		/* TTL in such replies while upstreams fail (RFC 8767 s. 4) */
	uint32_t stale_wait_ms;		/* how long a client waits for a refresh before; 0: learned */
	uint32_t recheck_s;		/* how long after a failed refresh stale data is used without asking */
	bool     prefetch;
};

#endif
