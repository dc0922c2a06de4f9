"""Turns what clients and upstream recorded into figures, and those into tables.

A query failed when it got no reply before its client gave up, an rcode other
than NOERROR, or no address of the name.  In quantiles a query without reply
counts as long as the client waited.  A name is *known* once an answer for it has
reached a client before the query was sent.
"""

import bisect
import csv
import heapq
import math

from incident_cases import GIVE_UP_MS, QUIET, QUIET_CASES, TRIP_MS

STALE_EDE = (3, 19)
STALE_MS = 1200         # past expiry; servers that count whole seconds reach 1000
PARKED_MS = 2100        # the parking time and a little
STALL_MS = 2            # an echo that takes longer found the machine at a stand
HOT_HITS = 3
HOT_PER_PERIOD = 5      # client queries per TTL that make a name hot for the upstream


class Query:
    """One line of the clients' file."""

    __slots__ = ("at", "late", "took", "name", "rcode", "good", "ttl", "ede", "past",
                 "known", "hot")

    def __init__(self, line):
        self.at = int(line[0]) / 1000           # milliseconds after the origin
        self.late = int(line[1]) / 1000
        self.took = int(line[2]) / 1000 if line[2] != "-1" else None
        self.name = (line[3], int(line[4]))
        self.rcode = int(line[5])
        self.good = line[6] == "1"
        self.ttl = int(line[7])
        self.ede = int(line[8])
        self.past = int(line[9]) if line[9] != "-" else None
        self.known = self.hot = False

    @property
    def wait(self):
        return GIVE_UP_MS if self.took is None else self.took

    @property
    def stale(self):
        return self.good and (self.ede in STALE_EDE or
                              (self.past is not None and self.past > STALE_MS))


class Name:
    """What clients know of a name's running TTL period."""

    __slots__ = ("begin", "end", "hits")

    def __init__(self):
        self.begin = self.end = -math.inf
        self.hits = 0

    def ask(self, at, ttl_ms):
        """Notes a query; True when a server that refreshes names with three
        hits must have the answer at hand."""
        # A period that was refreshed early ends early; a name that nobody
        # asked for in its next period may rightly be gone after that.
        hot = self.hits >= HOT_HITS and at < self.end + 0.9 * ttl_ms - 1000
        if self.begin <= at < self.end:
            self.hits += 1
        return hot

    def learn(self, at, sent, ttl, ttl_ms):
        end = at + ttl * 1000
        if end < self.end + 1500:       # TTLs are whole seconds
            return
        # The TTL of an answer that lay in the cache is rounded: take the later
        # beginning, so that no hit is counted that was not one.
        begin = at if ttl * 1000 >= ttl_ms else end - ttl_ms + 1000
        self.begin, self.end = min(begin, at), end
        self.hits = int(sent > self.begin)


def annotate(queries, ttls):
    """Sets known and hot, walking through time as the clients did."""
    names, answers = {}, []     # answers: a heap of those still to come
    for i, q in enumerate(queries):
        while answers and answers[0][0] <= q.at:
            at, k = heapq.heappop(answers)
            a = queries[k]
            name = names.setdefault(a.name, Name())
            if a.name[0] == "n" and not a.stale:
                name.learn(at, a.at, a.ttl, ttls[a.name[1]] * 1000)
        if q.name in names:
            q.known = True
            if q.name[0] == "n":
                q.hot = names[q.name].ask(q.at, ttls[q.name[1]] * 1000)
        if q.good:
            heapq.heappush(answers, (q.at + q.took, i))


class Stalls:
    """The moments in which the machine, not the server, was late.

    A core stood still, as sentinel.c saw it, or the echo, which has nothing to
    do but to answer, took long.  What a query waited in such moments can be
    taken off again.
    """

    def __init__(self, queries, still=()):
        """still: (begin, end), milliseconds after the origin"""
        spans = sorted([*still, *((q.at, q.at + q.wait) for q in queries
                                  if q.name[0] == "e" and q.wait > STALL_MS)])
        self.begins, self.ends, self.before = [], [], [0]
        for begin, end in spans:
            if self.ends and begin <= self.ends[-1]:
                self.ends[-1] = max(self.ends[-1], end)
            else:
                self.begins.append(begin)
                self.ends.append(end)
        for begin, end in zip(self.begins, self.ends):
            self.before.append(self.before[-1] + end - begin)

    def until(self, at):
        """Milliseconds stalled before an instant."""
        i = bisect.bisect_right(self.begins, at)
        return self.before[i] - max(0, self.ends[i - 1] - at) if i else 0

    def within(self, q):
        return self.until(q.at + q.wait) - self.until(q.at)


class Group:
    """Some of the queries of a run."""

    def __init__(self, queries, stalls=None):
        self.queries = len(queries)
        self.waits = sorted(q.wait for q in queries)
        # The same group without what the machine added.
        self.calm = self
        if stalls:
            self.calm = Group(queries)
            self.calm.waits = sorted(q.wait - stalls.within(q) for q in queries)
        self.failed = sum(not q.good for q in queries)
        self.stale = sum(q.stale for q in queries)

    def quantile(self, q):
        if not self.waits:
            return None
        return self.waits[max(0, math.ceil(q * len(self.waits)) - 1)]

    def share_over(self, ms):
        if not self.waits:
            return None
        return 1 - bisect.bisect_right(self.waits, ms) / len(self.waits)

    def share(self, count):
        return count / self.queries if self.queries else None

    def figures(self):
        return {"queries": self.queries, "failed": self.share(self.failed),
                "over_1s": self.share_over(1000), "stale": self.share(self.stale),
                **{"p%g" % (100 * q): self.quantile(q) for q in QUANTILES}}


QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)


class Run:
    """One server in one case."""

    def __init__(self, server, case, third_ms, records, upstream, clients, still):
        self.server, self.case, self.third_ms = server, case, third_ms
        self.upstream, self.clients = upstream, clients
        self.stats = []         # larderctl stats at the origin and after each third
        self.hole = None
        self.relay = None       # what it counted, if there was one
        self.cpu_us = None
        self.ttls = [ttl for _, _, ttl in upstream["names"]]
        with open(records, newline="") as f:
            queries = [Query(line) for line in csv.reader(f, delimiter="\t")]
        self.stalls = Stalls(queries, still)
        queries = [q for q in queries if q.name[0] != "e"]
        annotate(queries, self.ttls)
        self.queries = [q for q in queries if 0 <= q.at < 3 * third_ms]
        self.groups = {}
        self.group_all()
        self.calm = Calm(self)

    def __getitem__(self, name):
        return self.groups[name]

    def add(self, name, choose):
        self.groups[name] = Group([q for q in self.queries if choose(q)],
                                  self.stalls)

    def group_all(self):
        third = self.third_ms
        late = third + 1000     # the middle third from its second second on

        def middle(q):
            return third <= q.at < 2 * third

        def settled(q):
            return late <= q.at < 2 * third
        self.add("all", lambda q: True)
        self.add("known", lambda q: q.known)
        self.add("first", lambda q: q.at < third)
        self.add("middle", middle)
        self.add("middle from its second second", settled)
        self.add("known, middle from its second second",
                 lambda q: q.known and settled(q))
        self.add("last", lambda q: q.at >= 2 * third)
        self.add("hot", lambda q: q.hot)
        self.add("lukewarm", lambda q: q.known and not q.hot)
        half = 1.5 * third
        self.add("known, first half", lambda q: q.known and q.at < half)
        self.add("known, second half", lambda q: q.known and q.at >= half)

    # -- the upstream's side --------------------------------------------------

    def asked(self, from_ms, until_ms):
        """Queries that the upstreams had in a window."""
        ms = self.upstream["bin_ms"]
        first, last = round(from_ms / ms), round(until_ms / ms)
        return sum(sum(face["bins"][first:last])
                   for face in self.upstream["faces"])

    def asked_by_third(self):
        return [self.asked(i * self.third_ms, (i + 1) * self.third_ms)
                for i in range(3)]

    @property
    def storm(self):
        first, middle, _ = self.asked_by_third()
        return middle / first if first else None

    @property
    def upstream_per_query(self):
        return self.asked(0, 3 * self.third_ms) / max(1, len(self.queries))

    @property
    def sends_per_flight(self):
        """As larder counts itself, or else as the upstreams see it."""
        own = self.stats_ratio("sends", "flights")
        return own if own is not None else self.sends_seen

    @property
    def sends_seen(self):
        total = sum(f["udp"] + f["tcp"] for f in self.upstream["faces"])
        flights = self.upstream["flights"]
        return total / flights if flights else None

    def counted(self, counter):
        if len(self.stats) < 2:
            return None
        return (self.stats[-1]["counters"].get(counter, 0) -
                self.stats[0]["counters"].get(counter, 0))

    def stats_ratio(self, over, under):
        n = self.counted(under)
        return self.counted(over) / n if n else None

    @property
    def per_period(self):
        """Of names that clients asked for often enough in each period."""
        length_s = 3 * self.third_ms / 1000
        asked = {}
        for q in self.queries:
            asked[q.name] = asked.get(q.name, 0) + 1
        queries = periods = 0
        for i, (n, p, ttl) in enumerate(self.upstream["names"]):
            if asked.get(("n", i), 0) * ttl / length_s >= HOT_PER_PERIOD:
                queries += n
                periods += p
        return queries / periods if periods else None

    # -- rules of single queries ----------------------------------------------

    @property
    def unexplained(self):
        """Queries of the middle third for names without an answer so far that
        got neither an answer nor, in the parking time, SERVFAIL that says why."""
        third = self.third_ms
        return sum(not q.good and (q.rcode != 2 or q.ede < 0 or q.wait > PARKED_MS)
                   for q in self.queries
                   if not q.known and third <= q.at < 2 * third)

    def past(self, ms):
        """Answers that came so long after their expiry."""
        return sum(q.good and q.past is not None and q.past > ms
                   for q in self.queries)

    @property
    def stale_unexcused(self):
        """Stale answers of the first third that came sooner than a round trip,
        though nobody had waited for that name for so long shortly before."""
        waited, found = {}, 0
        for q in self.queries:
            if q.at >= self.third_ms or not q.stale:
                continue
            if q.wait >= TRIP_MS:
                waited[q.name] = q.at
            elif q.at - waited.get(q.name, -math.inf) > 4000:
                found += 1
        return found

    # -- all of it as plain values --------------------------------------------

    def values(self):
        return {
            "groups": {name: g.figures() for name, g in self.groups.items()},
            "sends_per_flight_upstream": self.sends_seen,
            "sends_per_flight_larder": self.stats_ratio("sends", "flights"),
            "upstream_per_query": self.upstream_per_query,
            "upstream_by_third": self.asked_by_third(),
            "queries_per_period": self.per_period,
            "cpu_us": self.cpu_us, "hole": self.hole,
            "clients": self.clients,
            "upstream": {k: v for k, v in self.upstream.items() if k != "names"},
            "counters": {name: self.counted(name) for name in
                         (self.stats[-1]["counters"] if self.stats else ())},
            "larderctl": self.stats[-1] if self.stats else None,
            "targets": [(t.label, *t.judge(self), *t.judge(self.calm))
                        for t in targets_of(self)],
            "stalled_ms": self.stalls.before[-1],
        }


class Calm:
    """A run as it would look if the machine had never stalled."""

    def __init__(self, run):
        self.run = run

    def __getitem__(self, name):
        return self.run[name].calm

    def __getattr__(self, name):
        return getattr(self.run, name)


def targets_of(run):
    return [*run.case.targets,
            *([QUIET] if run.case.key in QUIET_CASES else [])]


# -- tables -------------------------------------------------------------------

ROWS = ("all", "known", "middle from its second second",
        "known, middle from its second second", "last")
HOLE_ROWS = ("all", "known, first half", "known, second half")


def percent(share):
    if share is None:
        return "-"
    return "%.2f %%" % (100 * share) if share > 5e-4 else (
        "%.2g %%" % (100 * share) if share else "0")


def ms(value):
    if value is None:
        return "-"
    return "%.2f" % value if value < 10 else "%.1f" % value if value < 100 else (
        "%.0f" % value)


def ratio(value):
    return "-" if value is None else "%.3f" % value


def latency_cells(runs):
    cells = [["server", "queries", "sent", "failed", "> 1 s", "stale",
              *("p%g, ms" % (100 * q) for q in QUANTILES)]]
    for run in runs:
        for name in HOLE_ROWS if run.case.key == "hole" else ROWS:
            g = run[name]
            cells.append([run.server, name, f"{g.queries:,}",
                          percent(g.share(g.failed)), percent(g.share_over(1000)),
                          percent(g.share(g.stale)),
                          *(ms(g.quantile(q)) for q in QUANTILES)])
    return cells


def upstream_cells(runs):
    cells = [["server", "sends per flight", "by its own count",
              "upstream per client query", "upstream queries by third",
              "per TTL period", "CPU per query, µs"]]
    for run in runs:
        cells.append([run.server, ratio(run.sends_seen),
                      ratio(run.stats_ratio("sends", "flights")),
                      ratio(run.upstream_per_query),
                      " ".join(f"{n:,}" for n in run.asked_by_third()),
                      ratio(run.per_period) if run.case.countdown else "-",
                      "-" if run.cpu_us is None else "%.1f" % run.cpu_us])
    return cells


def hole_cells(runs):
    cells = [["server", "sockets, quiet", "black-holed", "memory, MiB, quiet",
              "black-holed", "CPU, quiet", "black-holed"]]
    for run in runs:
        h = run.hole
        cells.append([run.server, str(h["sockets_quiet"]), str(h["sockets"]),
                      "%.1f" % h["mib_quiet"], "%.1f" % h["mib"],
                      percent(h["cpu_quiet_share"]), percent(h["cpu_share"])])
    return cells


def shown(value, unit):
    if value is None:
        return "-"
    if unit == "%":
        return percent(value)
    if unit == "ms":
        return ms(value) + " ms"
    return "%d" % value if float(value).is_integer() else "%.3f" % value


def target_cells(run):
    cells = [["target", run.server, "at most", "", "less stalls", ""]]
    words = {True: "met", False: "NOT MET", None: "not measured"}
    for t in targets_of(run):
        value, limit, met = t.judge(run)
        calm, _, calm_met = t.judge(run.calm)
        line = [t.label, shown(value, t.unit), shown(limit, t.unit), words[met]]
        line += ["", ""] if calm == value else [shown(calm, t.unit), words[calm_met]]
        cells.append(line)
    return cells


def machine_lines(run, limit_ms=1.0):
    """How late the machine was, so that nobody blames the server for it."""
    c, u = run.clients, run.upstream
    if run.relay:
        yield ("%s: %d connections opened, %d broken; what the relay passed left "
               "late by %s ms (p50 / p99.9 / longest)" % (
                   run.server, run.relay["opened"], run.relay["broken"],
                   " / ".join(ms(run.relay["late_us"][k] / 1000)
                              for k in ("p50", "p999", "max"))))
    yield ("%s: queries left late by %s, upstream answers by %s, the echo took "
           "%s ms (p50 / p99.9 / longest)" % (run.server, *(
               " / ".join(ms(t[k] / 1000) for k in ("p50", "p999", "max"))
               for t in (c["late_us"], u["late_us"], c["control_us"]))))
    late = max(t["p999"] / 1000 for t in
               (c["late_us"], u["late_us"], c["control_us"]))
    if late > limit_ms:
        yield ("%s: the machine was late by %s ms at p99.9, and stood still %d "
               "times for %s ms in all: smaller differences are not the server's" % (
                   run.server, ms(late), len(run.stalls.begins),
                   ms(run.stalls.before[-1])))
    for what, n in (("replies nobody waited for", c["unasked"]),
                    ("queries the kernel refused", c["refused"]),
                    ("queries for want of a free ID", c["held"]),
                    ("replies dropped at the clients", c["drops"]),
                    ("queries dropped at the upstreams", u["drops"]),
                    ("queries the upstreams had no place for", u["overrun"])):
        if n:
            yield f"{run.server}: {n:,} {what}"


def counter_line(run):
    """What larder says it did about it."""
    words = ("flight", "send", "hedge", "breaker", "control", "park", "prefetch",
             "stale", "timeout", "overload", "failure")
    if not run.stats:
        return None
    found = ["%s %s" % (name, f"{run.counted(name):,}")
             for name in run.stats[-1]["counters"]
             if any(w in name for w in words) and run.counted(name)]
    return "%s counted: %s" % (run.server, ", ".join(found))


def as_text(cells):
    widths = [max(map(len, column)) for column in zip(*cells)]
    left = 2 if cells[0][1] == "queries" else 1
    out = []
    for line in cells:
        texts = [t.ljust(w) if i < left else t.rjust(w)
                 for i, (t, w) in enumerate(zip(line, widths))]
        out.append("  " + "  ".join(texts).rstrip())
    return "\n".join(out)


def as_markdown(cells):
    lines = ["| " + " | ".join(line) + " |" for line in cells]
    lines.insert(1, "|---" * len(cells[0]) + "|")
    return "\n".join(lines)


def case_text(runs, show):
    """Everything about one case; show turns cells into text."""
    case = runs[0].case
    parts = ["(%s) %s" % (case.key, case.title), show(latency_cells(runs)),
             show(upstream_cells(runs))]
    if case.key == "hole":
        parts.append(show(hole_cells(runs)))
    for run in runs:
        if run.server == "larder":
            parts.append(show(target_cells(run)))
    lines = [line for run in runs for line in machine_lines(run)]
    lines += [line for line in map(counter_line, runs) if line]
    return "\n\n".join([*parts, "\n".join("  " + line for line in lines)])
