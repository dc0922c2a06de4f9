/* listening.c - the addresses that clients' queries come to.
 *
 * Each address has a pair of sockets for every worker.  A reload opens what is new before it closes what is listed no
 * more, so that one that cannot be opened leaves everything as it was.
 */
#include "daemon/daemon_state.h"

#include "base/log.h"
#include "daemon/sockets.h"

#include <stdlib.h>

static struct listening *daemon_find_listening(struct daemon *d, const struct addr *addr)
{
	for (size_t i = 0; i < d->listening_count; i++)
		if (addr_equal(&d->listening[i].addr, addr))
			return &d->listening[i];
	return NULL;
}

static bool daemon_conf_listens(const struct conf *conf, const struct addr *addr)
{
	for (size_t i = 0; i < conf->listen_count; i++)
		if (addr_equal(&conf->listen[i], addr))
			return true;
	return false;
}

/* Opens one address for all workers.  False: it is said why. */
static bool daemon_listen(struct daemon *d, const struct addr *addr)
{
	const struct activation_socket *handed = activation_find(d->handed, addr);
	struct socket_pair              pairs[64];
	struct listening               *more;
	enum sockets_result             result;

	result = handed ? sockets_share(addr, handed->udp, handed->tcp, pairs, d->worker_count) :
	                  sockets_open(addr, pairs, d->worker_count);

	if (result != SOCKETS_OPEN)
		return result == SOCKETS_SKIPPED;
	more = realloc(d->listening, (d->listening_count + 1) * sizeof *more);
	if (!more) {
		sockets_close(pairs, d->worker_count);
		log_error("no memory to listen on another address");
		return false;
	}
	d->listening = more;
	for (unsigned i = 0; i < d->worker_count; i++)
		if (worker_listen(d->workers[i], addr, pairs[i].udp, pairs[i].tcp) < 0)
			sockets_close(&pairs[i], 1);
	more += d->listening_count++;
	more->addr = *addr;
	addr_format(addr, more->text);
	return true;
}

static void daemon_unlisten(struct daemon *d, struct listening *l)
{
	for (unsigned i = 0; i < d->worker_count; i++)
		worker_unlisten(d->workers[i], &l->addr);
	*l = d->listening[--d->listening_count];
}

/* Do we listen on this port already?  Then a wildcard of ours may be what holds it. */
static bool daemon_has_port(const struct daemon *d, uint16_t port)
{
	for (size_t i = 0; i < d->listening_count; i++)
		if (addr_port(&d->listening[i].addr) == port)
			return true;
	return false;
}

bool daemon_listen_all(struct daemon *d, const struct conf *conf)
{
	const struct addr **new = calloc(conf->listen_count, sizeof *new);
	size_t              count = 0;
	bool                good;

	if (!new) {
		log_error("no memory to listen");
		return false;
	}
	for (size_t i = 0; i < conf->listen_count; i++)
		if (!daemon_has_port(d, addr_port(&conf->listen[i])) &&
		    !activation_find(d->handed, &conf->listen[i]))
			new[count++] = &conf->listen[i];
	good = sockets_are_free(new, count);
	free(new);
	for (size_t i = 0; good && i < conf->listen_count; i++)
		if (!daemon_find_listening(d, &conf->listen[i]))
			good = daemon_listen(d, &conf->listen[i]);
	if (good && !d->listening_count) {
		log_error("none of the addresses under `listen` could be opened");
		good = false;
	}
	return good;
}

/* An open door that nobody was told of, or a closed one that was meant to be open. */
void daemon_warn_of_access(const struct conf *conf)
{
	struct addr outside;
	bool        only_own = true;

	addr_parse("192.0.2.1", 53, &outside);
	for (size_t i = 0; i < conf->policy.allow_count; i++)
		only_own &= conf->policy.allow[i].bits > 0 && !addr_prefix_match(&conf->policy.allow[i], &outside) &&
		            (conf->policy.allow[i].family == AF_INET ? conf->policy.allow[i].octets[0] == 127 :
		             conf->policy.allow[i].bits == 128);
	for (size_t i = 0; only_own && i < conf->listen_count; i++) {
		char text[ADDR_TEXT_MAX];

		if (addr_is_loopback(&conf->listen[i]))
			continue;
		log_event(LOG_LEVEL_WARNING, LOG_FIELDS({ "LARDER_ADDRESS", addr_format(&conf->listen[i], text) }),
		          "%s: listening beyond this host, but `allow` lets only this host ask; set `allow`", text);
	}
}

/* Closes what this configuration does not list. */
void daemon_unlisten_others(struct daemon *d, const struct conf *conf)
{
	for (size_t i = d->listening_count; i-- > 0;)
		if (!daemon_conf_listens(conf, &d->listening[i].addr))
			daemon_unlisten(d, &d->listening[i]);
}
