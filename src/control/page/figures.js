// figures.js - from numbers to words: quantiles, times, shares, sizes.
//
// They read as larderctl prints them.  Spaces within a figure do not break.

const GAP = "\u202f";
const NONE = "–";

export const OUTCOMES = ["hit", "local", "joined", "miss", "stale", "refused"];

// A client that got one of these waited for nobody but larder.
export const ANSWERED_HERE = ["hit", "local", "stale", "refused"];
export const ASKED_UPSTREAM = ["joined", "miss"];

export const FAILURES = ["timeout", "unreachable", "refused", "closed", "certificate", "protocol", "http", "rcode",
	"malformed"];

export function count(n) {
	return String(n).replace(/\B(?=(\d{3})+$)/g, GAP);
}

export function rate(n) {
	if (n === null)
		return NONE;
	return n < 9.95 ? n.toFixed(n && n < 0.095 ? 2 : 1) : count(Math.round(n));
}

export function time(us) {
	if (us === null || us === undefined)
		return NONE;
	if (us < 1000)
		return Math.round(us) + GAP + "µs";
	if (us < 9950)
		return (us / 1e3).toFixed(1) + GAP + "ms";
	if (us < 999500)
		return (us / 1e3).toFixed(0) + GAP + "ms";
	return (us / 1e6).toFixed(us < 9950000 ? 1 : 0) + GAP + "s";
}

export function age(s) {
	const part = (n, unit) => Math.floor(n) + GAP + unit;

	if (s < 60)
		return part(s, "s");
	if (s < 3600)
		return part(s / 60, "min");
	if (s < 86400)
		return part(s / 3600, "h") + " " + part(s / 60 % 60, "min");
	return part(s / 86400, "d") + " " + part(s / 3600 % 24, "h");
}

export function octets(n) {
	const units = ["KiB", "MiB", "GiB", "TiB"];
	let   v = n / 1024, i = 0;

	if (n < 1024)
		return n + GAP + "B";
	for (; v >= 1023.95 && i + 1 < units.length; i++)
		v /= 1024;
	return v.toFixed(1) + GAP + units[i];
}

// Nothing that happened reads as 0, and what is not all does not read as 100 %.
export function share(part, whole) {
	const percent = 100 * part / whole;

	if (!whole)
		return NONE;
	if (part && percent < 0.1)
		return "<0.1" + GAP + "%";
	if (part < whole && percent > 99.9)
		return ">99.9" + GAP + "%";
	return percent.toFixed(1) + GAP + "%";
}

// "3 silent, 2 servfail": the ones that are not 0.
export function listed(counts, names) {
	return names.filter((name) => counts[name]).map((name) => name + GAP + count(counts[name])).join(", ");
}

// ---- what was counted in a time: {queries, outcomes, counters} ----

export function sum(counted, outcomes) {
	return outcomes.reduce((n, name) => n + counted.outcomes[name].count, 0);
}

// The buckets of these outcomes together.
export function buckets(counted, outcomes) {
	const all = new Array(counted.outcomes.hit.buckets.length).fill(0);

	for (const name of outcomes)
		counted.outcomes[name].buckets.forEach((n, i) => { all[i] += n; });
	return all;
}

// The middle of the bucket that holds the q-quantile; null when there is nothing.
export function quantile(counts, bounds, q) {
	const total = counts.reduce((a, b) => a + b, 0);
	const want = Math.max(1, Math.ceil(total * q - 1e-6));
	let   i = 0, seen = counts[0];

	if (!total)
		return null;
	while (seen < want)
		seen += counts[++i];
	if (i === bounds.length)
		return bounds[i - 1];
	return Math.floor(((i ? bounds[i - 1] : 0) + bounds[i]) / 2);
}
