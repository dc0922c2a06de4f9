/* addresses.h - where upstreams were that are given by name, as text for the state directory.
 *
 *   larder addresses 1
 *   dns.example 2001:db8::53 192.0.2.53
 *
 * A file that is not wholly of this form counts for nothing: half of a list of
 * addresses may be worse than none.
 */
#ifndef LARDER_DAEMON_ADDRESSES_H
#define LARDER_DAEMON_ADDRESSES_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define ADDRESSES_TEXT_MAX 262144u

/* text is that of a file, or was written by these two. */
bool addresses_are_sound(const char *text, size_t len);
/* False: a sound text says nothing of this name. */
bool addresses_find(const char *text, size_t len, const char *name, struct addr_list *out);

/* A line that would make the text longer than ADDRESSES_TEXT_MAX, which nobody reads, is left out. */
void addresses_begin(FILE *f);
void addresses_add(FILE *f, const char *name, const struct addr_list *l);

#endif
