// charts.js - three simple pictures in SVG: bars of time, bars of latency, shares.
//
// A picture is drawn in the pixels that it has, so that lines and letters stay
// sharp; colours come from the style sheet by class.  Whatever a picture says
// is said in figures near it, and in its label.

import { OUTCOMES, rate, time } from "./figures.js";

const SVG = "http://www.w3.org/2000/svg";

// Draws anew: parts are [tag, attributes, text].
function draw(svg, width, height, parts) {
	svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
	svg.replaceChildren(...parts.map(([tag, attributes, text]) => {
		const node = document.createElementNS(SVG, tag);

		for (const [name, value] of Object.entries(attributes))
			node.setAttribute(name, value);
		if (text !== undefined)
			node.textContent = text;
		return node;
	}));
}

function size(svg) {
	return [svg.clientWidth || 300, svg.clientHeight || 100];
}

function label(svg, text) {
	if (svg.getAttribute("aria-label") !== text)
		svg.setAttribute("aria-label", text);
}

function box(x, y, width, height) {
	return `M${x.toFixed(2)} ${y.toFixed(2)}h${width.toFixed(2)}v${height.toFixed(2)}h${(-width).toFixed(2)}z`;
}

// The next of 1, 2, 3, 4, 5, 6, 8, 10, 20 …
function round_up(n) {
	const power = 10 ** Math.floor(Math.log10(n));

	return [1, 2, 3, 4, 5, 6, 8, 10].find((m) => m * power >= n) * power;
}

// ---- queries per second, the newest at the right ----

// samples: {from, to, rates: {outcome: per second}}, in seconds before now; what lies between two was not seen.
export function traffic(svg, samples, span_s) {
	const [width, height] = size(svg);
	const foot = 16, room = height - foot - 4;
	const peak = Math.max(0, ...samples.map((s) => Object.values(s.rates).reduce((a, b) => a + b, 0)));
	const top = peak ? round_up(peak) : 1;
	const x = (s) => width * (1 - Math.min(s, span_s) / span_s);
	const paths = Object.fromEntries(OUTCOMES.map((name) => [name, ""]));
	const step = [15, 30, 60].find((s) => s * 5 >= span_s);
	const parts = [];

	for (const s of samples) {
		let below = 0;

		for (const name of OUTCOMES) {
			const tall = s.rates[name] / top * room;

			below += tall;
			if (tall)
				paths[name] += box(x(s.from), 4 + room - below, x(s.to) - x(s.from), tall);
		}
	}
	for (const level of [1, 0.5])
		parts.push(["path", { class: "grid", d: `M0 ${4 + room * (1 - level)}h${width}` }]);
	for (const name of OUTCOMES)
		if (paths[name])
			parts.push(["path", { class: "fill " + name, d: paths[name] }]);
	parts.push(["path", { class: "axis", d: `M0 ${4 + room + 0.5}h${width}` }]);
	if (peak)
		parts.push(["text", { x: 0, y: 15 }, rate(top)]);
	for (let s = step; s < span_s; s += step)
		parts.push(["text", { x: x(s), y: height - 3, "text-anchor": "middle" },
		            step % 60 ? `−${s} s` : `−${s / 60} min`]);
	parts.push(["text", { x: width, y: height - 3, "text-anchor": "end" }, "now"]);
	draw(svg, width, height, parts);
	label(svg, peak ? `Queries answered per second over the last minutes, ${rate(peak)} at most`
	                : "Queries answered per second over the last minutes: none");
}

// ---- times to answer, on a logarithmic axis ----

const NAME_WIDE = 28;		// of a mark
const TICKS = [100, 1000, 10000, 100000, 1000000, 10000000];

// Where a time lies among the buckets, as a number of bars.
function place(us, bounds) {
	const i = bounds.findIndex((b) => us < b), lower = i > 0 ? bounds[i - 1] : 0;

	return i < 0 ? bounds.length : i + (us - lower) / (bounds[i] - lower);
}

// stacks: {outcome: counts in buckets}; marks: {"p50": us or null}.
export function latency(svg, stacks, bounds, marks) {
	const [width, height] = size(svg);
	const head = 14, foot = 16, room = height - head - foot;
	const each = width / (bounds.length + 1);
	const names = Object.keys(stacks);
	const tall = bounds.concat(0).map((_, i) => names.reduce((n, name) => n + stacks[name][i], 0));
	const top = Math.max(1, ...tall);
	const base = head + room;
	const parts = [];

	for (const us of TICKS)
		parts.push(["path", { class: "grid", d: `M${(place(us, bounds) * each).toFixed(1)} ${head}V${base}` }]);
	for (const name of names) {
		let d = "";

		tall.forEach((n, i) => {
			// One answer among a million is what somebody looks for: it shows.
			const scale = n ? Math.max(2.5, n / top * room) / n : 0;
			const below = names.slice(0, names.indexOf(name)).reduce((m, other) => m + stacks[other][i], 0);

			if (stacks[name][i])
				d += box(i * each, base - (below + stacks[name][i]) * scale, Math.max(1, each - 1),
				         stacks[name][i] * scale);
		});
		if (d)
			parts.push(["path", { class: "fill " + name, d }]);
	}
	parts.push(["path", { class: "axis", d: `M0 ${base + 0.5}h${width}` }]);
	for (const us of TICKS)
		parts.push(["text", { x: (place(us, bounds) * each).toFixed(1), y: height - 3, "text-anchor": "middle" },
		            time(us)]);
	let taken = 0;		// by names of marks, from the left

	Object.entries(marks).forEach(([name, us], i) => {
		const x = us === null ? 0 : place(us, bounds) * each;
		const left = (i === 0 && x > NAME_WIDE) || x > width - NAME_WIDE;
		const at = left ? x - 4 : Math.max(x + 4, taken);

		if (us === null)
			return;
		taken = left ? x + 4 : at + NAME_WIDE;
		parts.push(["path", { class: "pointer", d: `M${x.toFixed(1)} ${2}V${base}` }]);
		parts.push(["text", { class: "mark", x: at.toFixed(1), y: 10, "text-anchor": left ? "end" : "start" },
		            name]);
	});
	draw(svg, width, height, parts);
	label(svg, Object.entries(marks).map(([name, us]) => `${name} ${time(us)}`).join(", "));
}

// ---- shares of a whole ----

// counts: [class, n]
export function shares(svg, counts, whole, text) {
	const [width, height] = size(svg);
	const parts = [["rect", { class: "trough", x: 0, y: 0, width, height }]];
	let   x = 0;

	for (const [name, n] of counts) {
		const wide = whole ? width * n / whole : 0;

		if (n)
			parts.push(["path", { class: "fill " + name, d: box(x, 0, Math.max(1, wide - 1), height) }]);
		x += wide;
	}
	draw(svg, width, height, parts);
	label(svg, text);
}
