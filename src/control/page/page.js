// page.js - asks larderd for its status every two seconds and shows it.
//
// Rates are differences between two documents of the same run of larderd,
// divided by larderd's own clock.  Whatever comes from larderd enters the page
// as text, never as markup: a name that somebody looked up may be anything.
//
//	asking --answer--> waiting --2 s--> asking      nobody looks: paused
//	   |                                                    |
//	   +--none, or not in time--> lost --1, 2, 4, 8 s--> asking
//
// A larderd that was exchanged under an open page may say things that this script
// cannot read.  Its documents name the page that goes with them; when that is
// another one the page is loaded anew, but for each such name only once: should
// something in between keep the old one, it says so instead of going round.

import { ANSWERED_HERE, ASKED_UPSTREAM, FAILURES, OUTCOMES, age, buckets, count, listed, octets, quantile, rate, share,
	sum, time } from "./figures.js";
import { latency, shares, traffic } from "./charts.js";

const EVERY_MS = 2000;
const PATIENCE_MS = 5000;
const BACKOFF_MAX_MS = 8000;
const SPANS_S = [60, 120, 300];	// the shortest that holds what was seen
const SLOW_FEW = 12;		// slow queries that are shown unless somebody wants them all
const GAP_US = 15e6;		// no rate of two documents further apart: too much may lie between

const HEALTH = { healthy: "healthy", degraded: "degraded", failing: "failing" };
const STATES = {		// as larderctl calls them; and what that means
	good: ["good", ""], suspect: ["suspect", "being asked whether it works"],
	open: ["not answering", ""], up: ["up", "by order"], down: ["down", "by order"],
};

let shown = null;		// the document on the page
let shown_at = null;		// when it came
let samples = [];		// {from, to, rates}, instants of the page's clock in seconds
let latest = null;		// the one that ends with the document on the page
let timer = 0, asking = null, failures = 0;

// ---- small tools ----

const $ = (id) => document.getElementById(id);

function say(node, text) {
	if (node.textContent !== text)
		node.textContent = text;
}

function mark(node, key, value) {
	if (node.dataset[key] !== value)
		node.dataset[key] = value;
}

// One row per item.  Rows stay where they are, and so does what somebody has selected in them.
function rows(body, template, items, fill) {
	while (body.children.length > items.length)
		body.lastElementChild.remove();
	while (body.children.length < items.length)
		body.append($(template).content.cloneNode(true).firstElementChild);
	items.forEach((item, i) => {
		const field = {};

		for (const node of body.children[i].querySelectorAll("[data-field]"))
			field[node.dataset.field] = node;
		fill(field, item);
	});
}

function clock(date) {
	return date.toLocaleTimeString([], { hour12: false });
}

// ---- what is shown ----

function window_chosen() {
	return document.querySelector("input[name=window]:checked").value;
}

function show_head(d) {
	say($("about"), `${d.version}, up ${age(d.uptime_us / 1e6)}, ${d.workers} ${d.workers === 1 ? "thread" : "threads"}`);
	$("health").hidden = false;
	mark($("health"), "state", d.health.status);
	say($("health-word"), HEALTH[d.health.status] || d.health.status);
	document.title = d.health.status === "healthy" ? "larder" : `larder: ${d.health.status}`;
}

function show_trouble(d) {
	const checks = d.health.checks.filter((c) => c.status !== "healthy");

	rows($("troubles"), "trouble-item", checks, (field, c) => {
		say(field.what, `${c.name} ${c.status}:`);
		say(field.detail, c.detail);
	});
	mark($("trouble"), "state", d.health.status);
	$("trouble").hidden = !checks.length;
}

function show_traffic(d) {
	const now = performance.now() / 1000;
	const per_s = latest ? Object.values(latest.rates).reduce((a, b) => a + b, 0)
	                     : d.lately.span_us ? d.lately.queries / d.lately.span_us * 1e6 : null;
	const seen_s = samples.length ? now - samples[0].from : 0;
	const span_s = SPANS_S.find((s) => s >= seen_s) || SPANS_S.at(-1);

	say($("rate"), rate(per_s));
	say($("traffic-span"), span_s === 60 ? "the last minute" : `the last ${span_s / 60} minutes`);
	traffic($("traffic"), samples.map((s) => ({ from: now - s.from, to: now - s.to, rates: s.rates })), span_s);
}

function show_tiles(counted, bounds) {
	const all = buckets(counted, OUTCOMES);
	const spared = sum(counted, ["hit", "stale"]);
	const failed = counted.counters.servfail;

	say($("queries"), count(counted.queries));
	say($("hit-ratio"), share(spared, spared + sum(counted, ASKED_UPSTREAM)));
	say($("p50"), time(quantile(all, bounds, 0.50)));
	say($("p90"), time(quantile(all, bounds, 0.90)));
	say($("p99"), time(quantile(all, bounds, 0.99)));
	say($("failed"), share(failed, counted.queries));
	mark($("failed-tile"), "state", failed > counted.queries / 100 ? "failing" : "");
}

function show_outcomes(counted, bounds) {
	rows($("outcomes"), "outcome-row", OUTCOMES, (field, name) => {
		const outcome = counted.outcomes[name];

		mark(field.swatch, "outcome", name);
		say(field.name, name);
		say(field.share, share(outcome.count, counted.queries));
		say(field.count, count(outcome.count));
		say(field.p50, time(quantile(outcome.buckets, bounds, 0.50)));
		say(field.p99, time(quantile(outcome.buckets, bounds, 0.99)));
	});
	shares($("shares"), OUTCOMES.map((name) => [name, counted.outcomes[name].count]), counted.queries,
	       OUTCOMES.map((name) => `${name} ${share(counted.outcomes[name].count, counted.queries)}`).join(", "));
}

function show_times(svg, note, counted, names, bounds) {
	const all = buckets(counted, names);
	const n = sum(counted, names);

	latency(svg, Object.fromEntries(names.map((name) => [name, counted.outcomes[name].buckets])), bounds,
	        { p50: quantile(all, bounds, 0.50), p99: quantile(all, bounds, 0.99) });
	say(note, n ? `${count(n)}, p50 ${time(quantile(all, bounds, 0.50))}, p99 ${time(quantile(all, bounds, 0.99))}` : "none");
}

function upstream_why(up) {
	if (up.order !== "auto")
		return "by order";
	if (up.trouble)
		return up.trouble;
	if (up.open_since_s !== null && up.next_probe_ms !== null)
		return `${up.reason} for ${age(up.open_since_s)}, next probe in ${time(up.next_probe_ms * 1000)}`;
	if (up.state === "suspect")
		return `${up.reason}, being asked whether it works`;
	return up.reason ? `last failure: ${up.reason}` : "";
}

function show_upstreams(d) {
	const chosen = window_chosen();

	rows($("upstreams"), "upstream-row", d.upstreams, (field, up) => {
		const counted = chosen === "total" ? up.counters : up.lately;

		say(field.name, up.name);
		say(field.url, up.name === up.url ? "" : up.url);
		mark(field.state, "state", up.state);
		say(field.word, STATES[up.state] ? STATES[up.state][0] : up.state);
		say(field.why, upstream_why(up));
		say(field.p50, time(up.p50_us));
		say(field.p99, time(up.p99_us));
		say(field.sent, count(counted.sent));
		say(field.answered, count(counted.answered));
		say(field.failures, listed(counted, FAILURES) || "none");
	});
	$("no-upstreams").hidden = d.upstreams.length > 0;
}

function show_slow(d) {
	const { queries, over_us, dropped } = d.slow;
	const today = new Date().toDateString();
	const more = $("slow-more"), all = more.getAttribute("aria-expanded") === "true";

	rows($("slow"), "slow-row", all ? queries : queries.slice(0, SLOW_FEW), (field, q) => {
		const when = new Date(q.time_ms);

		say(field.when, clock(when));
		field.when.dateTime = when.toISOString();
		field.when.title = when.toDateString() === today ? "" : when.toLocaleString();
		say(field.took, time(q.duration_us));
		say(field.name, q.name === null ? "not shown" : q.name);
		mark(field.name, "hidden", q.name === null ? "yes" : "no");
		say(field.type, q.type);
		say(field.outcome, q.outcome);
		say(field.why, q.reason);
	});
	more.hidden = queries.length <= SLOW_FEW;
	say(more, all ? "Show fewer" : `Show all ${queries.length}`);
	$("slow-table").hidden = !queries.length;
	$("no-slow").hidden = queries.length > 0;
	say($("no-slow"), `No query has taken ${time(over_us)} or longer.`);
	say($("slow-note"), !queries.length ? "" :
		(queries.length === 1 ? "the only one" : `the latest ${queries.length}`) + ` that took ${time(over_us)} or longer` +
		(dropped ? `; ${count(dropped)} more were too many at once to note` : "") +
		(d.names ? "" : "; metrics-names: yes would show their names"));
}

function show_rest(d) {
	const cache = d.cache, total = d.total.counters;

	shares($("fill"), [["hit", cache.octets]], cache.size, `${share(cache.octets, cache.size)} of the cache is in use`);
	say($("cache-octets"), octets(cache.octets));
	say($("cache-size"), octets(cache.size));
	say($("cache-entries"), count(cache.entries));
	say($("cache-negative"), count(cache.negative));
	say($("cache-evicted"), count(cache.evicted));
	say($("flights"), count(d.gauges.flights));
	say($("waiting"), count(d.gauges.waiting));
	say($("tcp-clients"), count(d.gauges.tcp_clients));
	rows($("counters"), "counter-row", Object.keys(total), (field, name) => {
		say(field.name, name.replaceAll("_", " "));
		say(field.count, count(total[name]));
	});
}

function show(d) {
	const counted = d[window_chosen()];

	$("live").hidden = false;
	say($("lately-label"), `The last ${age(Math.max(1, d.lately.span_us / 1e6))}`);
	show_head(d);
	show_trouble(d);
	show_traffic(d);
	show_tiles(counted, d.bounds_us);
	show_outcomes(counted, d.bounds_us);
	show_times($("here"), $("here-count"), counted, ANSWERED_HERE, d.bounds_us);
	show_times($("asked"), $("asked-count"), counted, ASKED_UPSTREAM, d.bounds_us);
	show_upstreams(d);
	show_slow(d);
	show_rest(d);
}

// ---- the course of time ----

// What happened between the document on the page and the next one; null: that is not known.
function sample(before, now) {
	const took_us = now.uptime_us - before.uptime_us;
	const to = performance.now() / 1000;
	const rates = {};

	if (before.run !== now.run || took_us <= 0 || took_us > GAP_US)
		return null;
	for (const name of OUTCOMES)
		rates[name] = (now.total.outcomes[name].count - before.total.outcomes[name].count) / took_us * 1e6;
	return { from: to - took_us / 1e6, to, rates };
}

function tell(state, text) {
	document.body.dataset.link = state;
	say($("link"), text);
}

function take(d) {
	latest = shown && sample(shown, d);
	if (latest)
		samples = samples.filter((s) => latest.to - s.to < SPANS_S.at(-1)).concat(latest);
	tell("live", shown && shown.run !== d.run ? "larderd was started anew" : "live");
	shown = d;
	shown_at = new Date();
	failures = 0;
	show(d);
}

// Is the page about to be replaced?  Without a memory that outlives it, it stays: it could go round for ever.
function renew(page) {
	const key = "renewed for " + page;

	try {
		if (sessionStorage.getItem(key))
			return false;
		sessionStorage.setItem(key, "yes");
	} catch {
		return false;
	}
	location.reload();
	return true;
}

function lose(what) {
	failures++;
	tell("lost", what + (shown_at ? `; figures of ${clock(shown_at)}` : ""));
}

function judge(d) {
	if (d.page === document.documentElement.dataset.page)
		take(d);
	else if (!renew(d.page))
		lose("larderd is of another version than this page, which should be loaded anew");
}

async function ask() {
	const mine = asking = new AbortController();
	const late = setTimeout(() => mine.abort(), PATIENCE_MS);

	try {
		const got = await fetch("status.json", { signal: mine.signal, cache: "no-store", credentials: "omit",
			redirect: "error" });

		if (!got.ok)
			throw new Error(`larderd says ${got.status}`);
		const d = await got.json();

		if (asking === mine)
			judge(d);
	} catch (error) {
		if (asking === mine)
			lose(`connection lost (${error.message.startsWith("larderd") ? error.message : "no answer"})`);
	}
	clearTimeout(late);
	if (asking === mine)
		timer = setTimeout(ask, failures ? Math.min(BACKOFF_MAX_MS, 1000 * 2 ** (failures - 1)) : EVERY_MS);
}

function look() {
	clearTimeout(timer);
	if (asking)
		asking.abort();
	asking = null;
	if (document.hidden)
		tell("paused", "paused while nobody looks");
	else
		ask();
}

function redraw() {
	if (shown)
		show(shown);
}

document.addEventListener("visibilitychange", look);
window.addEventListener("resize", redraw);
document.querySelector(".window").addEventListener("change", redraw);
$("slow-more").addEventListener("click", (event) => {
	const all = event.target.getAttribute("aria-expanded") === "true";

	event.target.setAttribute("aria-expanded", String(!all));
	redraw();
});
$("static").hidden = true;
tell("asking", "connecting");
look();
