/* faults.c - rules are few, so every query looks at all of them. */
#include "faults.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const fault_names[FAULT_KINDS] = {
	[FAULT_SILENT] = "silent", [FAULT_LOSE] = "lose", [FAULT_STALL] = "stall",
	[FAULT_SLOW] = "slow", [FAULT_SERVFAIL] = "servfail", [FAULT_EDE] = "ede",
	[FAULT_RESET] = "reset",
};

bool faults_add(struct faults *f, const char *text)
{
	struct fault r = { 0 };
	char faces[8], kind[16];
	int64_t from_ms, until_ms;
	int end = 0;

	if (f->count == FAULTS_MAX ||
	    sscanf(text, " %7s %15s %u %u %" SCNd64 " %" SCNd64 " %n", faces, kind, &r.percent,
		   &r.value, &from_ms, &until_ms, &end) != 6 ||
	    text[end] || r.percent > 100)
		return false;
	while (r.kind < FAULT_KINDS && strcmp(kind, fault_names[r.kind]))
		r.kind++;
	if (r.kind == FAULT_KINDS)
		return false;
	r.faces = strcmp(faces, "all") ? UINT32_C(1) << (strtoul(faces, NULL, 10) & 31) : UINT32_MAX;
	r.from_ns = from_ms * 1000000;
	r.until_ns = until_ms * 1000000;
	f->rule[f->count++] = r;
	return true;
}

static bool fault_holds(const struct fault *r, unsigned face, int64_t at_ns)
{
	return r->faces >> face & 1 && at_ns >= r->from_ns && at_ns < r->until_ns;
}

static bool faults_roll(struct faults *f, unsigned percent)
{
	f->random ^= f->random << 13;	/* xorshift64 */
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return (f->random >> 32) * 100 >> 32 < percent;
}

static void fault_apply(const struct fault *r, struct fault_verdict *v)
{
	switch (r->kind) {
	case FAULT_SILENT:
	case FAULT_LOSE:
		v->silent = true;
		break;
	case FAULT_STALL:
		v->delay_ns = (uint64_t)r->value * 1000000;
		break;
	case FAULT_SLOW:
		v->delay_ns *= r->value;
		break;
	case FAULT_SERVFAIL:
		v->servfail = true;
		break;
	case FAULT_EDE:
		v->ede = (int)r->value;
		break;
	case FAULT_RESET:
		v->reset = true;
		break;
	case FAULT_KINDS:
		break;
	}
}

struct fault_verdict faults_judge(struct faults *f, unsigned face, int64_t at_ns, uint64_t delay_ns)
{
	struct fault_verdict v = { .ede = -1, .delay_ns = delay_ns };

	for (unsigned i = 0; i < f->count; i++)
		if (fault_holds(&f->rule[i], face, at_ns) && faults_roll(f, f->rule[i].percent))
			fault_apply(&f->rule[i], &v);
	return v;
}

bool faults_silent(const struct faults *f, unsigned face, int64_t at_ns)
{
	for (unsigned i = 0; i < f->count; i++)
		if (f->rule[i].kind == FAULT_SILENT && fault_holds(&f->rule[i], face, at_ns))
			return true;
	return false;
}
