/* suggest.c - nearest words by Damerau and Levenshtein's distance, in the
 * form where no part of a word is edited twice (three rows of the table are
 * enough).
 */
#include "conf/suggest.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define SUGGEST_WORD_MAX  64
#define SUGGEST_EDITS_MAX 2

static int suggest_fold(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static unsigned suggest_min(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned suggest_distance(const char *a, const char *b)
{
	size_t   a_len = strnlen(a, SUGGEST_WORD_MAX + 1), b_len = strnlen(b, SUGGEST_WORD_MAX + 1);
	unsigned rows[3][SUGGEST_WORD_MAX + 1];

	if (a_len > SUGGEST_WORD_MAX || b_len > SUGGEST_WORD_MAX)
		return UINT_MAX;
	for (size_t j = 0; j <= b_len; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned       *now = rows[i % 3];
		const unsigned *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned same = suggest_fold(a[i - 1]) == suggest_fold(b[j - 1]);

			now[j] = suggest_min(suggest_min(above[j], now[j - 1]) + 1,
					     above[j - 1] + !same);
			if (i > 1 && j > 1 && suggest_fold(a[i - 1]) == suggest_fold(b[j - 2]) &&
			    suggest_fold(a[i - 2]) == suggest_fold(b[j - 1]))
				now[j] = suggest_min(now[j], above2[j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}

void suggest_init(struct suggest *s, const char *word)
{
	s->word = word;
	s->best = NULL;
	s->distance = SUGGEST_EDITS_MAX + 1;
}

void suggest_offer(struct suggest *s, const char *candidate)
{
	unsigned d = suggest_distance(s->word, candidate);

	/* A word of two letters is not near to every other word of two letters. */
	if (d < s->distance && d < strlen(s->word) && d < strlen(candidate)) {
		s->best = candidate;
		s->distance = d;
	}
}

const char *suggest_text(const struct suggest *s, char out[SUGGEST_TEXT_MAX])
{
	*out = '\0';
	if (s->best)
		snprintf(out, SUGGEST_TEXT_MAX, " (did you mean \"%.64s\"?)", s->best);
	return out;
}
