/* activation.h - sockets that the service manager opened for us. */
#ifndef LARDER_DAEMON_ACTIVATION_H
#define LARDER_DAEMON_ACTIVATION_H

#include "base/addr.h"

#include <stddef.h>

#define ACTIVATION_MAX 64

struct activation_socket {
	struct addr addr;
	char        text[ADDR_TEXT_MAX];
	int         udp, tcp;		/* -1: not handed over */
};

struct activation {
	struct activation_socket sockets[ACTIVATION_MAX];
	size_t                   count;
	int                      control;	/* -1: not handed over */
};

/* Takes over what was handed to this process and says so in the log; later children and callers find nothing.
 * What larderd cannot use is closed. */
void activation_take(struct activation *a);
const struct activation_socket *activation_find(const struct activation *a, const struct addr *addr);
void activation_close(struct activation *a);

#endif
