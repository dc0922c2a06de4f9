/* arrival.h - when a datagram came, whenever its reader got round to it.
 *
 * On a busy machine a process may run milliseconds after its socket became
 * readable.  The kernel stamps datagrams as they come, so that neither the
 * upstream's delay nor a client's latency contains the wait of the process that
 * measures it.
 */
#ifndef BENCH_ARRIVAL_H
#define BENCH_ARRIVAL_H

#include <stdint.h>
#include <sys/socket.h>

enum { ARRIVAL_OCTETS = 64 };	/* of msg_control that are needed, aligned as size_t */

void arrival_enable(int fd);
/* The instant on CLOCK_MONOTONIC; now_ns is given for a message without a stamp. */
uint64_t arrival_ns(struct msghdr *m, uint64_t now_ns);

#endif
