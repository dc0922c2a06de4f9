/* orders.h - lines on stdin that tell a program of the incident bench what to do. */
#ifndef BENCH_ORDERS_H
#define BENCH_ORDERS_H

#include <stddef.h>

enum { ORDERS_OCTETS = 256 };

struct orders {			/* all zero at first */
	size_t len;
	char line[ORDERS_OCTETS];
};

/* Reads what has come and calls on for each whole line; flushes stdout after that.  The end
 * of the input ends the program. */
void orders_read(struct orders *o, void (*on)(void *arg, const char *line), void *arg);

#endif
