/* bootstrap.h - finds out where upstreams are that are given by name, and tells them.
 *
 * Runs on the main thread's loop, with transports and a timer wheel of its own:
 * lookups are rare, and no worker waits for one.  What was found last is kept
 * in the state directory, and counts from the start on.
 *
 * An address that this host has no way to is left aside as long as another one
 * has; so is one that is larder's own.
 */
#ifndef LARDER_DAEMON_BOOTSTRAP_H
#define LARDER_DAEMON_BOOTSTRAP_H

#include <uv.h>

struct bootstrap;
struct conf;
struct setup;
struct upstream;

struct bootstrap_env {
	uv_loop_t  *loop;
	const int  *route_fd;		/* of netway_open(), or a negative number: then no way is looked up */
	void      (*placed)(void *arg);	/* an upstream is somewhere else than before */
	void       *arg;
	const char *state_directory;	/* as it is at the start, whatever the configuration says later; copied; or NULL */
};

/* NULL: no memory. */
struct bootstrap *bootstrap_new(const struct bootstrap_env *env);
/* These upstreams, these servers: before any worker sees a new setup.  Takes a reference to setup, and to conf
 * through it.  Negative errno: no memory; it is as it was. */
int         bootstrap_configure(struct bootstrap *b, const struct conf *conf, struct setup *setup);
/* Ways through the network have changed. */
void        bootstrap_on_network(struct bootstrap *b);
/* Some upstream's addresses are doubted: upstream.doubted says whose.  Any thread; arg: the bootstrap. */
void        bootstrap_doubt(void *arg);
/* Why nobody knows where it is: "its name dns.example is not resolved: …"; NULL: that is known, or given. */
const char *bootstrap_trouble(struct bootstrap *b, const struct upstream *u);
/* Once no worker runs any more.  The loop must turn after that, and then bootstrap_free(). */
void        bootstrap_close(struct bootstrap *b);	/* NULL is fine */
void        bootstrap_free(struct bootstrap *b);	/* so it is here */

#endif
