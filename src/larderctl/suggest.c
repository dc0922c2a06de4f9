/* suggest.c - the distance between a word and what was typed.
 *
 * Optimal string alignment: row i of the table holds the distance of the first
 * i letters of a to every beginning of b; a swap looks back two rows.
 */
#include "larderctl/suggest.h"

#include <string.h>

#define SUGGEST_WORD 32

static unsigned suggest_least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned suggest_distance(const char *a, const char *b)
{
	unsigned d[SUGGEST_WORD][SUGGEST_WORD];
	size_t   la = strlen(a), lb = strlen(b);

	if (la >= SUGGEST_WORD || lb >= SUGGEST_WORD)
		return 100;
	for (size_t i = 0; i <= la; i++)
		for (size_t j = 0; j <= lb; j++) {
			if (!i || !j) {
				d[i][j] = (unsigned)(i + j);
				continue;
			}
			d[i][j] = suggest_least(d[i - 1][j], d[i][j - 1]) + 1;
			d[i][j] = suggest_least(d[i][j], d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = suggest_least(d[i][j], d[i - 2][j - 2] + 1);
		}
	return d[la][lb];
}
