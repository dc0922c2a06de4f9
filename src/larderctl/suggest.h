/* suggest.h - did you mean? */
#ifndef LARDER_LARDERCTL_SUGGEST_H
#define LARDER_LARDERCTL_SUGGEST_H

/* How many letters must be changed, left out, put in or swapped with the next to make a from b;
 * words of 32 letters and more are far from all others (100). */
unsigned suggest_distance(const char *a, const char *b);

#define SUGGEST_FAR 3			/* from here on it is another word */

#endif
