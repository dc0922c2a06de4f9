/* sockets.c - listening sockets, and who else holds a port. */
#include "daemon/sockets.h"

#include "base/log.h"
#include "net/listener.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOLDER_MAX 64

/* The inode of a socket bound to this port, from a table of /proc/net; 0: none found. */
static uint64_t sockets_inode_of_port(const char *table, uint16_t port, bool listening)
{
	FILE    *f = fopen(table, "re");
	char     line[512];
	uint64_t inode = 0;

	if (!f)
		return 0;
	while (!inode && fgets(line, sizeof line, f)) {
		char     local[80];
		unsigned local_port, state;
		uint64_t found;

		/* sl local:port remote:port state tx:rx tr:when retransmits uid timeout inode */
		if (sscanf(line, " %*d: %79[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %" SCNu64,
		           local, &local_port, &state, &found) == 4 &&
		    local_port == port && (!listening || state == 0x0a))
			inode = found;
	}
	fclose(f);
	return inode;
}

static bool sockets_process_has(const char *pid, uint64_t inode)
{
	char           path[300], link[64], want[64];
	DIR           *dir;
	struct dirent *e;
	bool           has = false;

	snprintf(want, sizeof want, "socket:[%" PRIu64 "]", inode);
	snprintf(path, sizeof path, "/proc/%.16s/fd", pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!has && (e = readdir(dir))) {
		ssize_t n;

		snprintf(path, sizeof path, "/proc/%.16s/fd/%.32s", pid, e->d_name);
		n = readlink(path, link, sizeof link - 1);
		if (n > 0) {
			link[n] = '\0';
			has = !strcmp(link, want);
		}
	}
	closedir(dir);
	return has;
}

/* "unbound (pid 812)" for the process that holds the socket; empty when it cannot be known. */
static void sockets_find_holder(uint64_t inode, char out[HOLDER_MAX])
{
	DIR           *proc = inode ? opendir("/proc") : NULL;
	struct dirent *e;

	*out = '\0';
	while (proc && !*out && (e = readdir(proc))) {
		char  path[64], name[32] = "?";
		FILE *f;

		if (!isdigit((unsigned char)e->d_name[0]) || !sockets_process_has(e->d_name, inode))
			continue;
		snprintf(path, sizeof path, "/proc/%.16s/comm", e->d_name);
		f = fopen(path, "re");
		if (f && fgets(name, sizeof name, f))
			name[strcspn(name, "\n")] = '\0';
		if (f)
			fclose(f);
		snprintf(out, HOLDER_MAX, "%.30s (pid %.16s)", name, e->d_name);
	}
	if (proc)
		closedir(proc);
}

static void sockets_say_in_use(const struct addr *addr, const char *proto)
{
	static const char *const tables[][2] = {
		{ "/proc/net/udp", "/proc/net/udp6" },
		{ "/proc/net/tcp", "/proc/net/tcp6" },
	};
	bool     tcp = !strcmp(proto, "TCP");
	char     text[ADDR_TEXT_MAX], holder[HOLDER_MAX];
	uint64_t inode = 0;

	for (unsigned i = 0; i < 2 && !inode; i++)
		inode = sockets_inode_of_port(tables[tcp][i], addr_port(addr), tcp);
	sockets_find_holder(inode, holder);
	log_event(LOG_LEVEL_ERROR, LOG_FIELDS({ "LARDER_ADDRESS", addr_format(addr, text) }),
	          "%s: the %s port is in use%s%s; stop that program, or choose another address with `listen`"
	          " (systemd-resolved: DNSStubListener=no)",
	          text, proto, *holder ? " by " : "", holder);
}

static void sockets_say(const struct addr *addr, const char *proto, int err)
{
	char                    text[ADDR_TEXT_MAX];
	const struct log_field *fields = LOG_FIELDS({ "LARDER_ADDRESS", addr_format(addr, text) });

	if (err == -EADDRINUSE)
		sockets_say_in_use(addr, proto);
	else if (err == -EACCES)
		log_event(LOG_LEVEL_ERROR, fields,
		          "%s: not allowed to use this %s port; start larderd as root (see `user`), or give it"
		          " CAP_NET_BIND_SERVICE, or choose a port from 1024 on",
		          text, proto);
	else
		log_event(LOG_LEVEL_ERROR, fields, "%s: cannot open the %s port: %s", text, proto,
		          strerror(-err));
}

void sockets_close(struct socket_pair *pairs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (pairs[i].udp >= 0)
			close(pairs[i].udp);
		if (pairs[i].tcp >= 0)
			close(pairs[i].tcp);
		pairs[i].udp = pairs[i].tcp = -1;
	}
}

bool sockets_are_free(const struct addr *const *addrs, size_t count)
{
	bool good = true;

	for (size_t i = 0; i < count; i++) {
		if (listener_probe(addrs[i], NET_UDP) == -EADDRINUSE) {
			sockets_say_in_use(addrs[i], "UDP");
			good = false;
		} else if (listener_probe(addrs[i], NET_TCP) == -EADDRINUSE) {
			sockets_say_in_use(addrs[i], "TCP");
			good = false;
		}
	}
	return good;
}

enum sockets_result sockets_open(const struct addr *addr, struct socket_pair *pairs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		pairs[i].udp = pairs[i].tcp = -1;
	for (size_t i = 0; i < count; i++) {
		const char *proto = "UDP";
		int         err = listener_open_udp(addr, &pairs[i].udp);

		if (!err) {
			proto = "TCP";
			err = listener_open_tcp(addr, &pairs[i].tcp);
		}
		if (!err)
			continue;
		sockets_close(pairs, count);
		if (err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL) {
			char text[ADDR_TEXT_MAX];

			log_event(LOG_LEVEL_WARNING,
			          LOG_FIELDS({ "LARDER_ADDRESS", addr_format(addr, text) }),
			          "%s: this host has no such address family; going on without", text);
			return SOCKETS_SKIPPED;
		}
		sockets_say(addr, proto, err);
		return SOCKETS_FAILED;
	}
	return SOCKETS_OPEN;
}

static int sockets_dup(int from, int *to)
{
	*to = from < 0 ? -1 : fcntl(from, F_DUPFD_CLOEXEC, 0);
	return from >= 0 && *to < 0 ? -errno : 0;
}

enum sockets_result sockets_share(const struct addr *addr, int udp, int tcp, struct socket_pair *pairs,
                                  size_t count)
{
	for (size_t i = 0; i < count; i++)
		pairs[i].udp = pairs[i].tcp = -1;
	for (size_t i = 0; i < count; i++) {
		int err = sockets_dup(udp, &pairs[i].udp);

		if (!err)
			err = sockets_dup(tcp, &pairs[i].tcp);
		if (!err)
			continue;
		sockets_say(addr, pairs[i].udp < 0 ? "UDP" : "TCP", err);
		sockets_close(pairs, count);
		return SOCKETS_FAILED;
	}
	return SOCKETS_OPEN;
}
