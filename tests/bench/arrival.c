/* arrival.c - stamps are CLOCK_REALTIME; they are taken over by their age. */
#include "arrival.h"

#include <string.h>
#include <time.h>

#include "net.h"

enum { ARRIVAL_OLD_NS = 1000000000 };	/* older: the wall clock was set meanwhile */

void arrival_enable(int fd)
{
	int one = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one))
		net_fail("cannot set", "SO_TIMESTAMPNS");
}

uint64_t arrival_ns(struct msghdr *m, uint64_t now_ns)
{
	struct timespec then, now;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&then, CMSG_DATA(c), sizeof then);
		clock_gettime(CLOCK_REALTIME, &now);
		int64_t age = (int64_t)(now.tv_sec - then.tv_sec) * 1000000000 + now.tv_nsec -
			      then.tv_nsec;
		now_ns = net_now_ns();
		return age > 0 && age < ARRIVAL_OLD_NS ? now_ns - (uint64_t)age : now_ns;
	}
	return now_ns;
}
