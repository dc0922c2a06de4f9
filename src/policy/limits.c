/* limits.c - counters and buckets by hash of the source. */
#include "policy/limits.h"

#include <stdlib.h>
#include <string.h>

#define LIMITS_SLOTS 4096u	/* a power of two */

struct bucket {
	uint32_t spent;		/* replies in the second that began at since_ms, beyond what has drained */
	uint32_t since_ms;
	uint32_t over;		/* replies over the bound: every other one is silence */
};

struct limits {
	struct siphash_key secret;
	uint32_t           waiting[LIMITS_SLOTS];
	struct bucket      buckets[LIMITS_SLOTS];
};

struct limits *limits_new(const struct siphash_key *secret)
{
	struct limits *l = calloc(1, sizeof *l);

	if (l)
		l->secret = *secret;
	return l;
}

void limits_free(struct limits *l)
{
	free(l);
}

static bool limits_exempt(const struct limit_conf *conf, const struct addr *client)
{
	return !conf->loopback && addr_is_loopback(client);
}

/* The slot of an address, or of its prefix. */
static unsigned limits_slot(const struct limits *l, const struct addr *a, bool prefix)
{
	uint8_t octets[17] = { (uint8_t)a->sa.sa_family };
	size_t  len;

	if (a->sa.sa_family == AF_INET6) {
		len = prefix ? 7 : 16;
		memcpy(octets + 1, &a->in6.sin6_addr, len);
	} else {
		len = prefix ? 3 : 4;
		memcpy(octets + 1, &a->in4.sin_addr, len);
	}
	return (unsigned)siphash13(&l->secret, octets, len + 1) & (LIMITS_SLOTS - 1);
}

bool limits_wait(struct limits *l, const struct limit_conf *conf, const struct addr *client)
{
	uint32_t *waiting;

	if (limits_exempt(conf, client))
		return true;
	waiting = &l->waiting[limits_slot(l, client, false)];
	if (*waiting >= conf->waiting_per_client)
		return false;
	++*waiting;
	return true;
}

void limits_answered(struct limits *l, const struct limit_conf *conf, const struct addr *client)
{
	uint32_t *waiting;

	if (limits_exempt(conf, client))
		return;
	waiting = &l->waiting[limits_slot(l, client, false)];
	if (*waiting)		/* a reload may have changed who is exempt meanwhile */
		--*waiting;
}

enum limits_verdict limits_reply(struct limits *l, const struct limit_conf *conf, const struct addr *client,
                                 uint64_t now_ms)
{
	struct bucket *b;
	uint64_t       drained;

	if (!conf->replies_per_second || limits_exempt(conf, client))
		return LIMITS_REPLY;
	b = &l->buckets[limits_slot(l, client, true)];
	drained = (uint64_t)((uint32_t)now_ms - b->since_ms) * conf->replies_per_second / 1000;
	if (drained) {
		b->spent = drained < b->spent ? b->spent - (uint32_t)drained : 0;
		b->since_ms = (uint32_t)now_ms;
	}
	if (b->spent < conf->replies_per_second) {
		b->spent++;
		return LIMITS_REPLY;
	}
	return ++b->over % 2 ? LIMITS_TRUNCATE : LIMITS_SILENCE;
}
