/* fuzz.h - what the targets share.
 *
 * A target is one function that is handed octets.  It ends the process when
 * something is not true; that is what the fuzzer looks for.
 */
#ifndef LARDER_TESTS_FUZZ_FUZZ_H
#define LARDER_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define fuzz_holds(condition)                                                     \
	do {                                                                      \
		if (!(condition)) {                                               \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                  \
		}                                                                 \
	} while (0)

/* Octets that the target takes off the front to steer itself: 0 when there are none left. */
static inline uint8_t fuzz_take(const uint8_t **data, size_t *size)
{
	if (!*size)
		return 0;
	--*size;
	return *(*data)++;
}

#endif
