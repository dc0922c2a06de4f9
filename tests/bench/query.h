/* query.h - the questions that the load generator asks, and whether a reply fits.
 *
 * All names of a run have the same length: a letter, seven digits, a suffix, as
 * in n0001234.bench.example.  So a query is a template with eight octets to
 * fill in, and the eight octets say what a reply must repeat.
 */
#ifndef BENCH_QUERY_H
#define BENCH_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	QUERY_LABEL = 8,		/* letter and digits */
	QUERY_NUMBERS = 10000000,	/* names there can be for one letter */
	QUERY_OCTETS = 320,		/* room for the longest query */
};

struct query_shape {
	uint8_t octets[QUERY_OCTETS];
	size_t len;
	size_t question_end;
	bool echoed;		/* the server gives queries back: no answer is looked for */
};

enum query_verdict {
	QUERY_GOOD,
	QUERY_NO_REPLY,		/* too short, no QR, or another question than the ID's */
	QUERY_RCODE,
	QUERY_EMPTY,		/* ANCOUNT is 0 */
	QUERY_WRONG,		/* the address belongs to another name */
	QUERY_VERDICTS
};

/* suffix: dotted, ends the program when it is no name; edns: OPT size, 0 for none */
void query_shape_init(struct query_shape *s, char letter, const char *suffix, unsigned edns);
/* Writes s->len octets to q and the name's first label to label. */
void query_write(const struct query_shape *s, uint8_t *q, uint16_t id, uint32_t number,
		 uint8_t label[QUERY_LABEL]);
uint16_t query_id(const uint8_t *reply);	/* of at least two octets */
enum query_verdict query_check(const struct query_shape *s, const uint8_t *reply, size_t len,
			       const uint8_t label[QUERY_LABEL]);

#endif
