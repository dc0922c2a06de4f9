/* suggest.h - "did you mean …?".
 *
 * Of the words on offer the nearest one is kept: at most two letters added,
 * left out, changed or swapped with their neighbour.
 */
#ifndef LARDER_CONF_SUGGEST_H
#define LARDER_CONF_SUGGEST_H

struct suggest {
	const char *word;	/* borrowed: what was written */
	const char *best;	/* borrowed from the offer; NULL: nothing is near */
	unsigned    distance;
};

#define SUGGEST_TEXT_MAX 96

void        suggest_init(struct suggest *s, const char *word);
void        suggest_offer(struct suggest *s, const char *candidate);
/* ` (did you mean "threads"?)`, or nothing. */
const char *suggest_text(const struct suggest *s, char out[SUGGEST_TEXT_MAX]);
/* Edits between two words without regard to letter case; UINT_MAX when a word is over 64 octets. */
unsigned    suggest_distance(const char *a, const char *b);

#endif
