/* sentinel.c - watches for moments in which the machine stands still.
 *
 * One thread on each core that we may use sleeps a millisecond at a time, with
 * real-time priority where that is allowed.  When it wakes late, its core did
 * nothing for anybody meanwhile: a host that shares its cores out does that to
 * its guests, and no counter of the guest says so.
 *
 * A line on stdout for each, as it ends: core, begin and end in nanoseconds of
 * CLOCK_MONOTONIC.  Runs until stdin ends, and for an hour at most.
 */
#include "net.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { STEP_NS = 1000000, STILL_NS = 2000000, HOUR_MS = 3600000 };

/* For the calling thread alone. */
static void sentinel_settle(int core)
{
	const struct sched_param high = { .sched_priority = 2 };
	cpu_set_t only;

	CPU_ZERO(&only);
	CPU_SET(core, &only);
	sched_setaffinity(0, sizeof only, &only);
	sched_setscheduler(0, SCHED_FIFO, &high);	/* may be refused */
	prctl(PR_SET_TIMERSLACK, 1UL);
}

static void *sentinel_watch(void *arg)
{
	const int core = (int)(intptr_t)arg;

	sentinel_settle(core);
	for (uint64_t next = net_now_ns();;) {
		next += STEP_NS;
		struct timespec t = { (time_t)(next / 1000000000u), (long)(next % 1000000000u) };
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
		uint64_t now = net_now_ns();
		if (now - next > STILL_NS) {
			printf("%d %llu %llu\n", core, (unsigned long long)next,
			       (unsigned long long)now);
			fflush(stdout);
			next = now;
		}
	}
	return NULL;
}

int main(void)
{
	struct pollfd end = { .fd = STDIN_FILENO, .events = POLLIN };
	cpu_set_t ours;
	pthread_t thread;

	if (sched_getaffinity(0, sizeof ours, &ours))
		net_fail("cannot tell", "the cores");
	for (int core = 0; core < CPU_SETSIZE; core++)
		if (CPU_ISSET(core, &ours) &&
		    pthread_create(&thread, NULL, sentinel_watch, (void *)(intptr_t)core))
			net_fail("cannot start", "a thread");
	poll(&end, 1, HOUR_MS);
	return 0;
}
