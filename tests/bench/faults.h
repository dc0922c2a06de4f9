/* faults.h - when an upstream fails, and how.
 *
 * A rule holds for some faces (the addresses one upstream process answers at),
 * for a window of time counted from an origin, and for a share of the queries.
 * Several rules may hold at once; they apply in the order in which they were given.
 */
#ifndef BENCH_FAULTS_H
#define BENCH_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

enum { FAULTS_MAX = 32 };

enum fault_kind {
	FAULT_SILENT,	/* nothing is answered, nothing that was due leaves */
	FAULT_LOSE,	/* the answer is lost */
	FAULT_STALL,	/* the answer comes after value ms instead of the usual time */
	FAULT_SLOW,	/* the usual time is multiplied by value */
	FAULT_SERVFAIL,
	FAULT_EDE,	/* the answer's OPT says this extended error (RFC 8914) */
	FAULT_RESET,	/* the connection is torn down; of paths, not of upstreams */
	FAULT_KINDS
};

struct fault {
	enum fault_kind kind;
	uint32_t faces;		/* bit per face */
	unsigned percent, value;
	int64_t from_ns, until_ns;	/* after the origin; until is not part of it */
};

struct faults {
	struct fault rule[FAULTS_MAX];
	unsigned count;
	uint64_t random;	/* never 0 */
};

struct fault_verdict {
	bool silent;		/* for whatever reason no answer leaves */
	bool servfail;
	bool reset;
	int ede;		/* -1: none */
	uint64_t delay_ns;
};

/* "FACE|all KIND PERCENT VALUE FROM_MS UNTIL_MS"; false when it says something else. */
bool faults_add(struct faults *f, const char *text);
/* What becomes of a query that comes at_ns after the origin. */
struct fault_verdict faults_judge(struct faults *f, unsigned face, int64_t at_ns,
				  uint64_t delay_ns);
bool faults_silent(const struct faults *f, unsigned face, int64_t at_ns);

#endif
