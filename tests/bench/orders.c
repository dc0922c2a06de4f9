/* orders.c - a line is held until its end has come. */
#include "orders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void orders_read(struct orders *o, void (*on)(void *arg, const char *line), void *arg)
{
	ssize_t n = read(STDIN_FILENO, o->line + o->len, ORDERS_OCTETS - 1 - o->len);
	char *end;

	if (n <= 0)
		exit(0);
	o->len += (size_t)n;
	o->line[o->len] = '\0';
	while ((end = strchr(o->line, '\n'))) {
		*end++ = '\0';
		on(arg, o->line);
		fflush(stdout);
		o->len -= (size_t)(end - o->line);
		memmove(o->line, end, o->len + 1);
	}
	if (o->len == ORDERS_OCTETS - 1)
		exit(2);
}
