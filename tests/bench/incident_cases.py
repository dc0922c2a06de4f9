"""The cases of the incident bench: what goes wrong, and what larder must reach.

A run is three equal thirds after a warm-up that does not count.  A case names
its faults by window ("always", "middle"); a target is a label, a function that
takes the analysed run (incident_report.Run) and gives the value, the limit, and
the unit.  A value above its limit is a target that was not met; None is one that
could not be measured.
"""

TRIP_MS = 20            # from query to answer at the upstream
GIVE_UP_MS = 2500
ALWAYS = (-600_000, 1_200_000)      # milliseconds around the origin


class Target:
    def __init__(self, label, value, limit, unit=""):
        self.label = label
        self.value = value
        self.limit = limit      # a number, or a function of the run
        self.unit = unit

    def judge(self, run):
        """(value, limit, met); met is None when there is no value."""
        limit = self.limit(run) if callable(self.limit) else self.limit
        value = self.value(run)
        if value is None or limit is None:
            return value, limit, None
        return value, limit, value <= limit


class Case:
    rate = None             # queries per second; None: the plan's
    new_percent = 0
    upstreams = 2
    ttl = (5, 30)
    countdown = False
    path = False            # faults befall the way to an upstream: needs a relay

    def __init__(self, key, title, faults=(), targets=(), **other):
        self.key = key
        self.title = title
        self.faults = faults    # (face or "all", kind, percent, value, window)
        self.targets = targets
        for name, value in other.items():
            setattr(self, name, value)

    def orders(self, third_ms, relayed):
        """(is it the relay's?, the fault in the words of upstream.c or relay.c)"""
        windows = {"always": ALWAYS, "run": (0, ALWAYS[1]), "middle": (third_ms, 2 * third_ms),
                   "second half": (third_ms * 3 // 2, 3 * third_ms + 5000)}
        for face, kind, percent, value, window in self.faults:
            if relayed and kind == "slow":      # the way is not, and has most of it
                kind, value = "stall", (value - 1) * TRIP_MS
            yield self.path, "fault %s %s %d %d %d %d" % (
                face, kind, percent, value, *windows[window])


def failed(group):
    return Target("queries failed, " + group, lambda r: r[group].failed, 0)


def anew(limit_ms):
    """Where a new connection is needed: its two round trips come on top."""
    return lambda run: limit_ms + (2 * TRIP_MS if run.relay else 0)


def quantile(q, group, limit):
    return Target("p%g, %s" % (q * 100, group), lambda r: r[group].quantile(q),
                  limit, "ms")


CASES = (
    Case("a", "every answer stalls 3 s with probability 5 %",
         [("all", "stall", 5, 3000, "always")],
         [quantile(0.999, "all", 60), failed("all"),
          Target("sends per flight", lambda r: r.sends_per_flight, 1.15),
          Target("share over 5 ms of names with three hits in their TTL period",
                 lambda r: r["hot"].share_over(5), 0.02, "%"),
          Target("p95 of other known names: one round trip",
                 lambda r: r["lukewarm"].quantile(0.95), TRIP_MS + 5, "ms")]),
    Case("b", "one of two upstreams silent for the middle third",
         [("0", "silent", 100, 0, "middle")],
         [quantile(0.999, "middle", 60),
          quantile(0.999, "middle from its second second",
                   lambda r: r["first"].quantile(0.999) + 5)]),
    Case("c", "both upstreams silent for the middle third",
         [("all", "silent", 100, 0, "middle")],
         [failed("known"),
          quantile(0.99, "known, middle from its second second", 5),
          Target("other names without answer, or SERVFAIL and EDE in 2.1 s",
                 lambda r: r.unexplained, 0),
          failed("last")],
         new_percent=1),
    Case("d", "one upstream configured, 5 % of answers lost",
         [("all", "lose", 5, 0, "always")],
         [failed("all"), quantile(0.999, "all", anew(100))],
         upstreams=1),
    Case("e", "one of two upstreams answers SERVFAIL for the middle third",
         [("0", "servfail", 100, 0, "middle")],
         [failed("all"), quantile(0.99, "middle", 45)]),
    Case("f", "both upstreams 20 times slower for the middle third",
         [("all", "slow", 100, 20, "middle")],
         [Target("upstream queries, middle third to first",
                 lambda r: r.storm, 1.3)]),
    Case("g", "TTLs count down as in a cache", [],
         [Target("upstream queries per TTL period, hot names",
                 lambda r: r.per_period, 1.1),
          Target("answers over 2 s past their expiry",
                 lambda r: r.past(2100), 0)],
         countdown=True),
    Case("cut", "one upstream configured, 1 % of answers come as a reset instead",
         [("all", "reset", 1, 0, "run")],
         [failed("all"), quantile(0.999, "all", anew(100))],
         upstreams=1, path=True),
    Case("way", "nothing passes on the way to one of two for the middle third",
         [("0", "silent", 100, 0, "middle")],
         [failed("all"), quantile(0.999, "middle", anew(60)),
          quantile(0.999, "middle from its second second",
                   lambda r: r["first"].quantile(0.999) + 5)],
         path=True),
    Case("ways", "nor on the way to the other one",
         [("all", "silent", 100, 0, "middle")],
         [failed("known"),
          quantile(0.99, "known, middle from its second second", 5),
          Target("other names without answer, or SERVFAIL and EDE in 2.1 s",
                 lambda r: r.unexplained, 0),
          failed("last")],
         new_percent=1, path=True),
)

# Checked wherever the first third is quiet.  In g names are refreshed at their
# expiry, and answered meanwhile, by design.
QUIET = Target("stale answers without a slow flight, first third",
               lambda r: r.stale_unexcused, 0)
QUIET_CASES = ("b", "c", "e", "f", "way", "ways")

HOLE = Case("hole", "all upstreams black-holed at 2000 queries/s, half new names",
            [("all", "silent", 100, 0, "second half")],
            [Target("sockets, at most", lambda r: r.hole["sockets"],
                    2 * 512 + 256),
             Target("memory above the quiet half, MiB, at most",
                    lambda r: r.hole["grown_mib"], 64 + 16),
             Target("CPU to the quiet half", lambda r: r.hole["cpu"], 2.0),
             Target("p50 of hits", lambda r: r["known, second half"].quantile(0.5),
                    lambda r: 1.2 * r["known, first half"].quantile(0.5) + 0.05,
                    "ms"),
             Target("p99 of hits", lambda r: r["known, second half"].quantile(0.99),
                    lambda r: r["known, first half"].quantile(0.99) + 1, "ms")],
            rate=2000, new_percent=50, ttl=(600, 3600))

ALL = {case.key: case for case in (*CASES, HOLE)}
