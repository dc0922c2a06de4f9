/* larderctl.h - what a verb is given, and what it may end with. */
#ifndef LARDER_LARDERCTL_LARDERCTL_H
#define LARDER_LARDERCTL_LARDERCTL_H

#include "larderctl/term.h"

#include <stdbool.h>

/* Exit codes; larderctl(1) tells them to scripts. */
enum larderctl_exit {
	LARDERCTL_OK = 0,
	LARDERCTL_REFUSED = 1,		/* larderd refused or failed, or the answer is no */
	LARDERCTL_USAGE = 2,		/* asked for something that makes no sense */
	LARDERCTL_UNREACHABLE = 3,	/* no answer from larderd at all */
};

/* What monitor shall tell of; NULL: all. */
struct order_filter {
	const char *type, *rcode, *outcome, *client, *slower;
};

struct order {
	const char *socket;
	bool        json, subtree;
	unsigned    interval_ms;	/* of top */
	struct order_filter filter;
	int         count;		/* of arguments after the verb */
	char      **arguments;
	struct term term;
};

/* The verbs.  Each says on standard error what went wrong. */
enum larderctl_exit verb_status(const struct order *o);
enum larderctl_exit verb_stats(const struct order *o);
enum larderctl_exit verb_top(const struct order *o);
enum larderctl_exit verb_upstreams(const struct order *o);
enum larderctl_exit verb_upstream(const struct order *o);
enum larderctl_exit verb_flush(const struct order *o);
enum larderctl_exit verb_reload(const struct order *o);
enum larderctl_exit verb_config(const struct order *o);
enum larderctl_exit verb_cache_stats(const struct order *o);
enum larderctl_exit verb_cache_lookup(const struct order *o);
enum larderctl_exit verb_cache_dump(const struct order *o);
enum larderctl_exit verb_resolve(const struct order *o);
enum larderctl_exit verb_trace(const struct order *o);
enum larderctl_exit verb_monitor(const struct order *o);
enum larderctl_exit verb_slow(const struct order *o);
enum larderctl_exit verb_route(const struct order *o);
enum larderctl_exit verb_health(const struct order *o);
enum larderctl_exit verb_log(const struct order *o);
enum larderctl_exit verb_log_queries(const struct order *o);

#endif
