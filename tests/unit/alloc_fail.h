/* alloc_fail.h - the n-th allocation fails, for every n.
 *
 * A program that is linked with this has --wrap for malloc, calloc, realloc,
 * aligned_alloc, strdup, free, mmap and munmap: the calls of larder's own
 * objects come here first, those inside of libraries do not.  It works under
 * the sanitizers and valgrind, which go on seeing the real calls.
 *
 *	alloc_fail_each(run, arg);
 *
 * calls run(arg) with its first allocation failing, then its second, … until a
 * run comes through without meeting the failure.  A run gives whether it
 * succeeded, having undone everything it did; a run that failed must have left
 * nothing behind, which is counted.
 */
#ifndef LARDER_TESTS_UNIT_ALLOC_FAIL_H
#define LARDER_TESTS_UNIT_ALLOC_FAIL_H

#include <stdbool.h>

/* From now on the n-th allocation fails, once; 0: none does. */
void alloc_fail_at(unsigned n);
/* In between, allocations are the test's own: they neither count nor fail. */
void alloc_fail_pause(bool pause);
/* Whether it has failed since. */
bool alloc_failed(void);
/* Blocks and maps of our own objects that have not been given back. */
long alloc_live(void);

/* Fails the test when a run says it succeeded although memory was short, or the other way round, or
 * leaves memory behind.  Gives the number of allocations of a run that succeeds. */
unsigned alloc_fail_each(bool (*run)(void *arg), void *arg);

#endif
