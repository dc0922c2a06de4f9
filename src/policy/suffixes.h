/* suffixes.h - a table of domain suffixes, and which of them a name falls under.
 *
 * A name's suffixes are looked up from the longest on, but only those whose
 * length some entry has.  The entries come from the operator or from us, so
 * the hash needs no secret.
 */
#ifndef LARDER_POLICY_SUFFIXES_H
#define LARDER_POLICY_SUFFIXES_H

#include <stddef.h>
#include <stdint.h>

struct suffixes;

#define SUFFIXES_NONE SIZE_MAX

/* Room for count entries; the caller frees.  NULL: no memory. */
struct suffixes *suffixes_new(size_t count);
void             suffixes_free(struct suffixes *t);	/* NULL is fine */
/* Enters a suffix (wire form, lower case; borrowed).  At most count of them, each once. */
void             suffixes_add(struct suffixes *t, const uint8_t *suffix, size_t len, size_t value);
/* The value of the longest suffix at or above name (wire form, lower case), and where it begins in the
 * name; SUFFIXES_NONE. */
size_t           suffixes_find(const struct suffixes *t, const uint8_t *name, size_t len, size_t *at);

#endif
