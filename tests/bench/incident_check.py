"""Are the instruments of the incident bench right?  They are asked each other.

Clients ask the upstream with no server between, so what they record must be
what the upstream was told to do.  Times must be right within a millisecond,
after what the machine itself was late by.  Chance is allowed four standard
deviations.
"""

import contextlib
import json
import math
import socket
import struct
import subprocess
import time
from pathlib import Path

import incident_cases
import incident_report
import process
from incident_tools import Relay, Upstream

MS = 1_000_000


class Check:
    """Counts what is wrong, and says it."""

    def __init__(self):
        self.wrong = 0

    def that(self, fine, text):
        self.wrong += not fine
        print("%-6s %s" % ("fine" if fine else "WRONG", text), flush=True)

    def near(self, what, value, wanted, off):
        self.that(abs(value - wanted) <= off,
                  "%s: %.4g, wanted %.4g ± %.2g" % (what, value, wanted, off))

    def share(self, what, found, of, wanted):
        off = 4 * math.sqrt(wanted * (1 - wanted) / max(1, of))
        self.near(what, found / max(1, of), wanted, off)


def ask_directly(bench, upstream, faults, timeout_ms=2500, **options):
    """Gives (queries, the upstream's report, the clients' report)."""
    out = str(Path(bench.folder, "direct"))
    start = time.monotonic_ns() + 200 * MS
    for order in ["begin %d" % start, *faults]:
        upstream.order(order)
    command = [bench.program("clients"), "--out", out, "--start-ns", str(start),
               "--timeout-ms", str(timeout_ms)]
    for name, value in options.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    done = subprocess.run([*command, "%s:%d" % upstream.addresses[0]],
                          capture_output=True, text=True, timeout=60, check=True,
                          preexec_fn=bench.tool_setup)
    with open(out, encoding="ascii") as f:
        queries = [incident_report.Query(line.rstrip("\n").split("\t"))
                   for line in f if "\te\t" not in line]
    return queries, upstream.report(), json.loads(done.stdout)


def waits(queries):
    return incident_report.Group(queries)


def check_delay(check, queries, upstream, clients):
    late = upstream["late_us"]
    g = waits(queries)
    check.that(not g.failed and g.queries == clients["sent"],
               "every query has its answer")
    check.that(g.waits[0] >= incident_cases.TRIP_MS,
               "no answer comes sooner than 20 ms: %.3f" % g.waits[0])
    for q, name in ((0.5, "p50"), (0.99, "p99")):
        check.near("latency, %s, ms; the upstream was late by %.2f" % (
            name, late[name] / 1000), g.quantile(q) - late[name] / 1000,
            incident_cases.TRIP_MS + 0.5, 1)
    total = sum(f["udp"] for f in upstream["faces"])
    check.that(total == len(queries), "the upstream counted them all")
    check.that(sum(sum(f["bins"]) for f in upstream["faces"]) == total,
               "and all of them in its time line")


def check_arrivals(check, queries, rate, seconds, new_percent):
    n = rate * seconds
    check.near("queries", len(queries), n, 4 * math.sqrt(n))
    bins = [0] * (100 * seconds)
    for q in queries:
        # As they were meant to leave: how late they were is the machine's.
        bins[min(len(bins) - 1, int((q.at - q.late) / 10))] += 1
    mean = sum(bins) / len(bins)
    spread = sum((b - mean) ** 2 for b in bins) / (len(bins) - 1) / mean
    check.near("variance to mean of arrivals per 10 ms", spread, 1,
               4 * math.sqrt(2 / len(bins)))
    popular = [q.name[1] for q in queries if q.name[0] == "n"]
    check.share("share of new names", len(queries) - len(popular), len(queries),
                new_percent / 100)
    weights = [(i + 1) ** -0.9 for i in range(1500)]
    for first in (1, 10, 100):
        check.share("share of the first %d names" % first,
                    sum(i < first for i in popular), len(popular),
                    sum(weights[:first]) / sum(weights))
    fresh = [q.name for q in queries if q.name[0] == "u"]
    check.that(len(fresh) == len(set(fresh)), "no new name is asked twice")


def check_plain(check, bench):
    case = incident_cases.Case("x", "", upstreams=1)
    with Upstream(bench, case) as upstream:
        control = contextlib.ExitStack()
        with control:
            found = ask_directly(bench, upstream, [], rate=2000, ms=5000,
                                 new_percent=10,
                                 control=bench.control(control, case))
        queries, report, clients = found
        check_delay(check, *found)
        check_arrivals(check, queries, 2000, 5, 10)
        ttls = [ttl for _, _, ttl in report["names"]]
        known = [q for q in queries if q.name[0] == "n"]
        check.that(all(q.ttl == ttls[q.name[1]] for q in known),
                   "each name has its TTL")
        check.that({5, 30} <= set(ttls) and not set(ttls) - set(range(5, 31)),
                   "TTLs from 5 to 30 s")
        off = max(abs(q.past + 1000 * q.ttl) for q in queries)
        check.that(off <= 50 + report["late_us"]["max"] / 1000,
                   "answers say when they expire: off by %d ms" % off)
        check.that(not waits(queries).stale, "none of them is stale")
        check_flights(check, len(queries), report["flights"], 1800)
        check.that(clients["control_lost"] == 0 and
                   350 < clients["control_sent"] < 650,
                   "the control was asked %d times, p50 %.3f ms" % (
                       clients["control_sent"],
                       clients["control_us"]["p50"] / 1000))
        check_tcp(check, upstream.addresses[0])


def check_flights(check, queries, flights, rate):
    """A name asked r times a second has 1/r + 20 ms from flight to flight."""
    weights = [(i + 1) ** -0.9 for i in range(1500)]
    rates = [rate * w / sum(weights) for w in weights]
    busy = incident_cases.TRIP_MS / 1000
    joined = sum(r * r * busy / (1 + r * busy) for r in rates) / (rate / 0.9)
    check.near("share of queries while one for the name waits",
               1 - flights / queries, joined, 0.1 * joined + 0.01)


def asked_by_tcp(connection, times=1):
    """Asks for one name so many times in a row; True: all is well."""
    name = b"".join(bytes([len(x)]) + x for x in
                    (b"n0000007", b"bench", b"example", b""))
    query = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + name + b"\0\1\0\1"
    frame = struct.pack("!H", len(query)) + query
    reply = b""
    connection.sendall(frame[:5])       # in two pieces
    connection.sendall(frame[5:] + (times - 1) * frame)
    while len(reply) < times * (2 + len(query) + 32):
        octets = connection.recv(4096)
        if not octets:
            break
        reply += octets
    return reply[2:4] == b"\0\7" and b"\x0a\0\0\7" in reply


def check_trips(check, what, connection, trips, times=1, began=None):
    began = began or time.monotonic()
    fine = asked_by_tcp(connection, times)
    took = (time.monotonic() - began) * 1000
    least = trips * incident_cases.TRIP_MS
    check.that(fine and least <= took < least + 100,
               "%s: %.1f ms, %d round trips" % (what, took, trips))


def check_tcp(check, address):
    with socket.create_connection(address, 2) as s:
        check_trips(check, "two questions over one TCP connection", s, 1, 2)


def check_relay(check, bench):
    """A way that is long, a connection that has to be opened on it, its end."""
    case = incident_cases.Case("x", "", upstreams=1)
    with Upstream(bench, case, 0) as upstream, \
            Relay(bench, upstream.addresses) as relay:
        began = time.monotonic()
        with socket.create_connection(relay.addresses[0], 2) as s:
            check_trips(check, "a new connection through the relay", s, 2,
                        began=began)
            check_trips(check, "the same when it is open", s, 1)
            for order in ("begin %d" % time.monotonic_ns(),
                          "fault all reset 100 0 0 60000"):
                relay.order(order)
            try:
                asked_by_tcp(s)
                reset = False
            except ConnectionResetError:
                reset = True
        check.that(reset and relay.report()["broken"] == 1, "a reset is one")
    with Upstream(bench, case, 0) as upstream, \
            Relay(bench, upstream.addresses) as relay:
        for order in ("begin %d" % time.monotonic_ns(),
                      "fault all silent 100 0 0 60000"):
            relay.order(order)
        with socket.create_connection(relay.addresses[0], 0.3) as s:
            try:
                asked_by_tcp(s)
                silent = False
            except TimeoutError:
                silent = True
        check.that(silent and relay.report()["broken"] == 1, "silence is silence")


def between(queries, from_ms, until_ms, margin_ms=0):
    return [q for q in queries
            if from_ms + margin_ms <= q.at < until_ms - margin_ms]


def check_faults(check, bench):
    faults = ["fault 0 stall 5 3000 0 3000", "fault all silent 100 0 3000 4000",
              "fault 0 servfail 100 0 4000 5000", "fault 0 ede 100 22 4000 5000",
              "fault 0 ede 100 3 5000 6000", "fault 0 slow 100 20 6000 7000",
              "fault 0 lose 5 0 7000 10000", "fault 1 silent 100 0 0 10000"]
    case = incident_cases.Case("x", "", upstreams=2)
    with Upstream(bench, case) as upstream:
        queries, report, _ = ask_directly(bench, upstream, faults, 4000,
                                          rate=1000, ms=11000)
    late = report["late_us"]["p99"] / 1000
    first = between(queries, 0, 3000)
    stalled = waits([q for q in first if q.wait > 1000])
    # A stalled answer that would leave while all is silent is never seen.
    check.share("share that stalled or was swallowed", stalled.queries, len(first),
                0.05)
    seen = waits([q for q in first if q.took and q.took > 1000])
    check.near("a stall, p50, ms", seen.quantile(0.5), 3000.2, 0.8 + late)
    check.that(all(q.took is None for q in between(queries, 3000, 4000, 25)),
               "silence is silence")
    late_max = report["late_us"]["max"] / 1000
    check.that(not any(3001 + late_max < q.at + q.took < 4000
                       for q in queries if q.took),
               "nothing leaves in it either")
    failed = between(queries, 4000, 5000, 5)
    check.that(all(q.rcode == 2 and q.ede == 22 and not q.good for q in failed),
               "SERVFAIL with an extended error")
    check.that(all(q.good and q.stale for q in between(queries, 5000, 6000, 5)),
               "extended error 3 counts as stale")
    slow = waits(between(queries, 6000, 7000, 5))
    check.near("20 times slower, p50, ms", slow.quantile(0.5), 400.2,
               0.8 + late)
    lost = waits(between(queries, 7000, 10000))
    check.share("share lost", lost.failed, lost.queries, 0.05)
    check.that(not waits(between(queries, 10000, 11000, 5)).failed,
               "after the last window all is well")
    swallowed = sum(q.took is None for q in queries)
    check.that(swallowed == report["faces"][0]["withheld"],
               "the upstream withheld what the clients missed: %d" % swallowed)


def check_countdown(check, bench):
    case = incident_cases.Case("x", "", upstreams=1, ttl=(2, 4), countdown=True)
    with Upstream(bench, case) as upstream:
        queries, report, _ = ask_directly(bench, upstream, [], rate=500, ms=7000,
                                          names=20)
    ends, periods, wrong = {}, {}, 0
    late_ms = report["late_us"]["max"] / 1000
    for q in sorted(queries, key=lambda q: q.at + q.wait):
        full = report["names"][q.name[1]][2]
        at = q.at + q.wait
        if at >= ends.get(q.name, -1) - late_ms - 2 and q.ttl == full:
            ends[q.name] = at + full * 1000
            periods[q.name] = periods.get(q.name, 0) + 1
        left = ends[q.name] - at if q.name in ends else 0
        wrong += not (1 <= q.ttl <= full and
                      -late_ms - 2 <= q.ttl * 1000 - left <= 1000 + late_ms + 2)
    check.that(not wrong, "TTLs count down: %d of %d do not" % (
        wrong, len(queries)))
    counted = sum(p for _, p, _ in report["names"])
    check.near("periods, the clients' count to the upstream's",
               sum(periods.values()) / counted, 1, 0.02)


class Made:
    """A query that never was, for the analysis alone."""

    def __init__(self, at, took=0.1, ttl=20, name=("n", 0), **other):
        line = [str(int(at * 1000)), "0", str(int(took * 1000)), *map(str, name),
                "0", "1", str(ttl), "-1", "-"]
        self.query = incident_report.Query(line)
        for key, value in other.items():
            setattr(self.query, key, value)


def hot_of(*made):
    queries = [m.query for m in made]
    incident_report.annotate(queries, [20, 20])
    return [q.known for q in queries], [q.hot for q in queries]


def check_analysis(check):
    """Names of 20 s: what makes one known, and hot."""
    miss = Made(0, took=20)
    hits = [Made(t, ttl=20 - t // 1000) for t in (2000, 3000, 4000)]
    known, hot = hot_of(miss, *hits, Made(21000), Made(60000))
    check.that(known == [False] + [True] * 5, "known from the first answer on")
    check.that(hot == [False] * 4 + [True, False],
               "three hits make hot, for this period and the next")
    _, hot = hot_of(miss, *hits[:2], Made(21000))
    check.that(not any(hot), "two hits do not")
    known, _ = hot_of(miss, Made(10), Made(30))
    check.that(known == [False, False, True], "an answer on its way is none yet")
    g = waits([Made(0, took=t).query for t in range(1, 1001)])
    check.that((g.quantile(0.5), g.quantile(0.999), g.quantile(1)) ==
               (500, 999, 1000) and abs(g.share_over(900) - 0.1) < 1e-9,
               "quantiles and shares")
    g = waits([Made(0, ede=19).query, Made(0, past=1201).query,
               Made(0, past=1000).query, Made(0, ede=22).query])
    check.that(g.stale == 2, "stale by extended error or by age")
    stalls = incident_report.Stalls(
        [Made(100, took=50, name=("e", 0)).query,
         Made(500, took=1, name=("e", 1)).query], [(90, 120), (290, 300)])
    check.that([round(stalls.within(Made(at, took=took).query), 3) for at, took in
                ((0, 50), (0, 120), (110, 20), (130, 400), (400, 9))] ==
               [0, 30, 20, 30, 0],
               "what a query waited while the machine stood still")


def check(bench):
    """Gives the exit status."""
    result = Check()
    stolen = process.steal()
    check_analysis(result)
    check_plain(result, bench)
    check_faults(result, bench)
    check_countdown(result, bench)
    check_relay(result, bench)
    now = process.steal()
    print("%d wrong; stolen by the host: %.1f %%" % (
        result.wrong, 100 * (now[0] - stolen[0]) / max(1, now[1] - stolen[1])))
    return 1 if result.wrong else 0
