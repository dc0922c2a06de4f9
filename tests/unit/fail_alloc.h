/* fail_alloc.h - memory that runs out when a test says so.
 *
 * The test is linked with --wrap=malloc,--wrap=calloc,--wrap=realloc, which leads
 * the calls of our own code here; libraries keep theirs, unless they let one
 * replace it (json_set_alloc_funcs()).
 */
#ifndef LARDER_TESTS_UNIT_FAIL_ALLOC_H
#define LARDER_TESTS_UNIT_FAIL_ALLOC_H

#include <stddef.h>

/* The n-th allocation from now on fails, and this becomes 0; 0: none does. */
extern unsigned fail_alloc_countdown;

#endif
