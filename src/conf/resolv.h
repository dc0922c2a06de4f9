/* resolv.h - the name servers of a resolv.conf. */
#ifndef LARDER_CONF_RESOLV_H
#define LARDER_CONF_RESOLV_H

#include "base/addr.h"
#include "conf/report.h"

#include <stdbool.h>
#include <stddef.h>

#define CONF_RESOLV_MAX 8

/* Where larder itself listens. */
struct conf_own {
	const struct addr *listen;	/* borrowed */
	size_t             count;
};

/* Would a question sent to this address and port come back to larder?  A wildcard listener has
 * every address of the host. */
bool conf_own_has(const struct conf_own *own, const struct addr *a);

/* systemd-resolved's own address, which may well lead back here. */
bool conf_is_stub(const struct addr *a);

/* The file to read: path when it is given, else the first usual one that exists. */
const char *conf_resolv_file(const char *path);

/* Gives up to CONF_RESOLV_MAX name servers, in order and each once, without larder's own
 * addresses and those of systemd-resolved's stub.  What is wrong with the file is a warning.  The
 * marks of the servers are given too. */
size_t conf_resolv_read(const char *file, const struct conf_own *own, struct conf_report *report,
                        struct addr servers[CONF_RESOLV_MAX],
                        struct conf_mark marks[CONF_RESOLV_MAX]);

#endif
