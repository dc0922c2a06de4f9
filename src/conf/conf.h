/* conf.h - the configuration: text in, one immutable struct out.
 *
 * conf_load() reads a file and its drop-ins whole, checks everything, and gives
 * either a struct conf or a list of mistakes, each with file, line and column.
 * What it gives never changes; a reload makes a new one and swaps.  Workers
 * hold references.
 *
 * Never logs; the caller prints the report.
 */
#ifndef LARDER_CONF_CONF_H
#define LARDER_CONF_CONF_H

#include "base/addr.h"
#include "base/log.h"
#include "cache/conf.h"
#include "policy/conf.h"
#include "upstream/conf.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Where HTTP is spoken: an address, or a socket file. */
struct conf_endpoint {
	struct addr addr;
	char       *path;			/* NULL: addr counts */
};

struct conf_http {
	struct conf_endpoint *listen;
	size_t                listen_count;	/* 0: no HTTP */
	char                **hosts;		/* names that clients may use for us */
	size_t                host_count;
	bool                  names;		/* may HTTP tell which names are asked for? */
};

struct conf {
	_Atomic unsigned refs;			/* owners: main thread and each worker */

	struct addr    *listen;
	size_t          listen_count;
	char           *user;			/* NULL: stay who we are */
	unsigned        threads;
	char           *control_socket;		/* NULL: none */
	char           *state_directory;	/* for base/keep.h; NULL: nothing is kept */
	enum log_level  log_level;

	struct upstream_conf *upstreams;	/* each URL once, those of forward first */
	size_t                upstream_count;
	struct upstream_conf *bootstrap;	/* who is asked for the addresses of upstreams that have a host */
	size_t                bootstrap_count;
	bool                  from_resolv;	/* forward came from a resolv.conf */
	char                 *resolv_file;	/* the file to watch; NULL when forward is set */

	bool                  upgrade;		/* plain upstreams, unless they say otherwise */
	enum upstream_policy  choice;		/* for routes without their own */
	struct upstream_times times;		/* max_flights is the process's; workers divide */
	struct cache_conf     cache;
	struct cache_times    cache_times;
	struct policy_conf    policy;

	struct conf_http http;

	uint32_t slow_query_ms;
	bool     query_log;
	uint32_t tcp_idle_ms;
	uint32_t tcp_clients;
	uint32_t tcp_per_client;
	uint32_t tcp_in_flight;

	struct conf_settings *origins;		/* the texts behind all this, for conf_dump() */
};

/* What the command line says; it wins over files. */
struct conf_args {
	const char  *file;		/* NULL: the default file, or none at all when listen or
					 * forward are given here */
	const char **listen;
	size_t       listen_count;
	const char **forward;
	size_t       forward_count;
	const char  *control_socket;	/* NULL: not given */
	const char  *threads;		/* text, or NULL */
	const struct conf *running;	/* what is in force, whose trust stores are not loaded again; or NULL */
};

/* Reads, checks and gives a configuration, or NULL and a report (heap text, the caller frees)
 * with every mistake:
 *   larder.yaml:7:3: unknown key "thraeds" (did you mean "threads"?)
 *       7 |   thraeds: 4
 *         |   ^~~~~~~
 * On success *report is NULL, or holds warnings.  Without memory: NULL and *report NULL. */
struct conf *conf_load(const struct conf_args *args, char **report);

struct conf *conf_ref(struct conf *c);
void         conf_unref(struct conf *c);	/* NULL is fine */

/* All effective values as YAML, each with its origin as a comment.  0 or a negative errno. */
int conf_dump(const struct conf *c, FILE *out);
/* The JSON Schema (draft 2020-12) of the file, made from the option table. */
int conf_schema(FILE *out);
/* Calls with each option's full name ("cache.size"), for completeness tests. */
void conf_each_option(void (*each)(void *arg, const char *name), void *arg);

#endif
