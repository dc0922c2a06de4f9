/* seen.h - what a client can tell from a reply of upstream.c that passed a cache. */
#ifndef BENCH_SEEN_H
#define BENCH_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "query.h"

#define SEEN_NO_AGE INT32_MIN

struct seen {
	bool fits;		/* answers this very question; otherwise the rest says nothing */
	bool good;		/* rcode 0 and the address of this very name */
	bool wrong;		/* rcode 0 and another name's address */
	int rcode;
	int32_t ttl_s;		/* of the first record; -1: none */
	int ede;		/* first extended error (RFC 8914); -1: none */
	int32_t past_ms;	/* how long after its expiry it came; negative: before */
};

struct seen seen_read(const struct query_shape *s, const uint8_t *reply, size_t len,
		      const uint8_t label[QUERY_LABEL], uint64_t now_ns);

#endif
