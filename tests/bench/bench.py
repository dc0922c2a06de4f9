#!/usr/bin/env python3
"""What larder costs beside its peers: CPU, memory, latency, in one table.

Each server runs on one core, the load generator and the upstream on another,
all on loopback.  A figure is the median over several rounds; in a round every
server has its turn, so that a slow moment of the machine meets all of them.
The number in parentheses is the ratio to the bare echo (echo.c): the median of
the ratios within each round.  README.md tells how to read the table.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import process
import servers

SMALL = ("hit", "slow", "tcp", "miss")
ROWS = ("start", *SMALL, *servers.OVER, "million")
SUFFIX = "bench.example"
PROBE = "p0." + SUFFIX
WRONG = {   # figures of the generator that should be 0, in words
    "lost": "not answered",
    "dropped": "replies dropped at the generator",
    "dropped_there": "queries dropped at the server's socket",
    "late": "replies too late",
    "refused": "sends that failed",
    "held": "behind the rate",
    "misfits": "replies to another question",
    "rcodes": "replies with an rcode",
    "empty": "replies without an answer",
    "wrong": "replies with another name's address",
    "reconnects": "connections that the server closed",
}
TXT = 16
BUSY = 0.9      # share of its core from which on a server counts as saturated


class Plan:
    """How much is asked in each row."""

    rounds = 5
    names = 20_000
    many_names = 1_000_000
    hits = 250_000
    slow_hits = 3_000
    rate = 2_000
    tcp_hits = 150_000
    misses = 40_000
    window = 64
    burst = 16              # queries leave so many at a time or more
    run_s = 1               # a slow server is asked less, not longer
    warm_s = 90
    limit_s = 570

    def quicken(self):
        self.rounds = 2
        self.many_names = 100_000
        self.hits = 100_000
        self.slow_hits = 1_000
        self.tcp_hits = 20_000
        self.misses = 10_000
        self.limit_s = 80


class Figures:
    """figure -> server -> values, one per round; and what went wrong."""

    def __init__(self):
        self.values = {}
        self.notes = []
        self.wrong = {}     # (server, row) -> what went wrong -> how often

    def add(self, figure, server, value):
        self.values.setdefault(figure, {}).setdefault(server, []).append(value)

    def median(self, figure, server):
        values = self.values.get(figure, {}).get(server)
        return statistics.median(values) if values else None

    def ratios(self, figure, server):
        """To the echo's value of the same round."""
        mine = self.values.get(figure, {}).get(server, [])
        base = self.values.get(figure, {}).get("echo", [])
        return [m / b for m, b in zip(mine, base) if b]

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)


class Failed(Exception):
    """A server that ended or does not answer; the others go on."""


class Bench:
    """Runs the rows against the servers and collects the figures."""

    def __init__(self, options, plan):
        self.options = options
        self.plan = plan
        self.figures = Figures()
        self.cores = options.cores
        self.end = time.monotonic() + plan.limit_s
        self.stack = None
        self.folder = None
        self.upstream = self.secure = self.ca = None
        self.next_miss = {}

    # -- starting and stopping ------------------------------------------------

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="larder-bench-"))
            self.upstream = process.free_address()
            setup = process.child_setup({self.cores[1]}, self.options.realtime)
            command = [self.program("answer"), *self.secure_options(),
                       "%s:%d" % self.upstream]
            answer = stack.enter_context(process.Group(
                "answer", [command], self.folder, setup))
            if not process.wait_ready(answer, self.upstream, PROBE, False):
                raise SystemExit("answer: " + answer.trouble())
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def secure_options(self):
        """What makes the upstream offer TLS as well, when a row needs it."""
        if not set(self.options.only) & set(servers.OVER):
            return []
        self.ca, certificate = servers.certify(self.folder)
        self.secure = process.free_address()
        return ["--certificate", certificate, "--secure", "%s:%d" % self.secure]

    def program(self, name):
        return str(Path(self.options.programs, name))

    def out_of_time(self, reserve_s=5):
        if time.monotonic() + reserve_s < self.end:
            return False
        self.figures.note("the time ran out before all rounds were done")
        return True

    def start(self, stack, server, entries, over=None):
        """Gives (group, address) once it answers; raises Failed."""
        upstream = self.upstream
        if over:
            upstream = servers.Secure(*self.secure, over, self.ca)
        for attempt in range(2):    # another program may take the port first
            address = process.free_address()
            folder = tempfile.mkdtemp(server.name, dir=self.folder)
            commands = server.commands(address, upstream, folder, entries)
            cores = set(self.cores[:1] if server.workers == 1 else self.cores)
            group = process.Group(server.name, commands, folder,
                                  process.child_setup(cores))
            stack.enter_context(group)
            if process.wait_ready(group, address, PROBE, server.echoes):
                return group, address
            trouble = group.trouble()
            group.stop()
        raise Failed(f"{server.name} did not start: {trouble}")

    def start_all(self, stack, row_names, entries, over=None):
        running = []
        for server in self.options.servers:
            if server.rows and not set(server.rows) & set(row_names) or (
                    over and over not in server.over):
                continue
            try:
                group, address = self.start(stack, server, entries, over)
            except Failed as trouble:
                self.figures.note(str(trouble))
                continue
            group.pause()
            running.append((server, group, address))
        return running

    def each(self, running, work):
        """Does the work for every server; False when the time is over.

        A server that fails is told of and left out from then on.
        """
        for one in list(running):
            if self.out_of_time():
                return False
            try:
                work(*one)
            except Failed as trouble:
                self.figures.note(str(trouble))
                running.remove(one)
        return True

    # -- one measurement ------------------------------------------------------

    def load(self, address, seconds, realtime, **options):
        """Runs the generator; gives its report."""
        left = max(2, int(self.end - time.monotonic()))
        command = [self.program("load"), "--json", "yes", "--suffix", SUFFIX,
                   "--seconds", str(min(left, seconds)),
                   "--segment", "yes" if self.options.segmented else "no"]
        for key, value in options.items():
            command += ["--" + key.replace("_", "-"), str(value)]
        command.append("%s:%d" % address)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, timeout=seconds + 15,
                              preexec_fn=process.child_setup({self.cores[1]},
                                                              realtime))
        if done.returncode:
            raise Failed(done.stderr.strip() or "nothing was answered")
        return json.loads(done.stdout)

    def upstream_count(self):
        reply = process.ask(self.upstream, "count", TXT, 1.0)
        found = re.search(rb"\d+$", reply or b"")
        return int(found[0]) if found else 0

    def measure(self, row, server, group, address, seconds=None, **options):
        """One run against one server; gives its report, costs added."""
        # At a low rate the scheduler's own work for real-time threads would be
        # most of what is measured.
        realtime = self.options.realtime and row != "slow"
        try:
            group.resume(realtime)
            time.sleep(0.05)
            asked, dropped, cpu = (self.upstream_count(),
                                   process.drops(address[1]), group.cpu_ns())
            report = self.load(address, seconds or self.plan.run_s, realtime,
                               echoed="yes" if server.echoes else "no",
                               **options)
            report["cpu_ns"] = group.cpu_ns() - cpu
            group.pause()
        except (Failed, OSError) as trouble:
            if not group.alive():
                trouble = group.trouble()
            raise Failed(f"{server.name}, {row}: {trouble}") from None
        report["dropped_there"] = process.drops(address[1]) - dropped
        report["asked"] = self.upstream_count() - asked
        report["cpu_us"] = report["cpu_ns"] / report["answered"] / 1000
        report["share"] = report["cpu_ns"] / 1e9 / report["took_s"]
        self.complain(row, server, report)
        self.progress("%-12s %-10s %7.2f us/answer %8d/s  server %3.0f %%, "
                      "generator %3.0f %%  lost %d" % (
                          row, server.name, report["cpu_us"], report["qps"],
                          100 * report["share"], 100 * report["busy"],
                          report["lost"]))
        return report

    def complain(self, row, server, report):
        """Keeps what makes a figure doubtful; it is told below the table."""
        counts = self.figures.wrong.setdefault((server.name, row), {})
        for key in ("sent", "answered", "asked", *WRONG):
            counts[key] = counts.get(key, 0) + int(report[key])
        if server.echoes:
            return
        expected = {"hit": 0, "slow": 0, "tcp": 0, "million": 0,
                    "tcp again": report["asked"]}.get(row, report["answered"])
        counts["astray"] = (counts.get("astray", 0) +
                            abs(report["asked"] - expected))

    def progress(self, text):
        print(text, file=sys.stderr, flush=True)

    # -- rows -----------------------------------------------------------------

    def run(self):
        rows = self.options.only
        if "start" in rows:
            self.run_start()
        if set(rows) & set(SMALL):
            self.run_small(rows)
        for row in servers.OVER:
            if row in rows:
                self.run_over(row)
        if "million" in rows:
            self.run_million()

    def run_start(self):
        for server in self.options.servers:
            if not server.rows or "start" in server.rows:
                try:
                    self.start_memory(server)
                except Failed as trouble:
                    self.figures.note(str(trouble))

    def start_memory(self, server):
        """Octets resident with the default cache size and one name in it."""
        if self.figures.median("resident", server.name) is None:
            with contextlib.ExitStack() as stack:
                group, _ = self.start(stack, server, None)
                time.sleep(0.3)
                anonymous, resident = group.memory()
            self.figures.add("anonymous", server.name, anonymous)
            self.figures.add("resident", server.name, resident)
        return self.figures.median("resident", server.name)

    def run_small(self, rows):
        plan = self.plan
        entries = 2 * (plan.names + (plan.rounds + 1) * plan.misses)
        kinds = [row for row in SMALL if row in rows]
        with contextlib.ExitStack() as stack:
            running = self.start_all(stack, kinds, entries)
            self.each(running, lambda *one: self.warm_small(kinds, *one))
            for _ in range(plan.rounds):
                for row in kinds:
                    if not self.each(running,
                                     lambda *one: self.small(row, *one)):
                        return

    def small(self, row, server, *rest):
        if not server.rows or row in server.rows:
            getattr(self, "row_" + row)(server, *rest)

    def warm_small(self, kinds, server, *rest):
        """Some servers keep what they answer over TCP apart from UDP's."""
        self.warm("warm", server, *rest, count=self.plan.names)
        if "tcp" in kinds and (not server.rows or "tcp" in server.rows):
            self.warm("tcp again", server, *rest, count=self.plan.names,
                      tcp="yes")

    def warm(self, row, server, group, address, **options):
        """Asks for every name once."""
        if server.echoes:
            return None
        return self.measure(row, server, group, address, self.plan.warm_s,
                            unique="yes", window=self.plan.window, **options)

    def row_hit(self, server, group, address):
        r = self.measure("hit", server, group, address, names=self.plan.names,
                         count=self.plan.hits, window=self.plan.window,
                         burst=self.plan.burst, spin="yes")
        self.figures.add("hit", server.name, r["cpu_us"])
        self.figures.add("qps", server.name, r["qps"])
        self.figures.add("share", server.name, r["share"])
        self.figures.add("busy", server.name, r["busy"])

    def row_slow(self, server, group, address):
        r = self.measure("slow", server, group, address, 5,
                         names=self.plan.names, count=self.plan.slow_hits, rate=self.plan.rate,
                         window=1024, spin="yes")
        self.figures.add("slow", server.name, r["cpu_us"])
        self.figures.add("p50", server.name, r["p50_us"])
        self.figures.add("p99", server.name, r["p99_us"])

    def row_tcp(self, server, group, address):
        r = self.measure("tcp", server, group, address, names=self.plan.names,
                         count=self.plan.tcp_hits, window=self.plan.window,
                         tcp="yes")
        self.figures.add("tcp", server.name, r["cpu_us"])

    def run_over(self, over):
        """Misses, over one connection to an encrypted upstream."""
        entries = 2 * (self.plan.rounds + 2) * self.plan.misses
        with contextlib.ExitStack() as stack:
            running = self.start_all(stack, [over, "miss"], entries, over)
            for _ in range(self.plan.rounds):
                if not self.each(running,
                                 lambda *one: self.row_miss(*one, row=over)):
                    return

    def row_miss(self, server, group, address, row="miss"):
        first = self.next_miss.get(server.name, 0)
        self.next_miss[server.name] = first + self.plan.misses
        r = self.measure(row, server, group, address, 3,
                         letter="m", first=first, unique="yes", count=self.plan.misses,
                         window=self.plan.window)
        self.figures.add(row, server.name, r["cpu_us"])

    def run_million(self):
        entries = self.plan.many_names + self.plan.many_names // 8
        with contextlib.ExitStack() as stack:
            running = self.start_all(stack, ["million"], entries)
            self.each(running, self.warm_million)
            for _ in range(self.plan.rounds):
                if not self.each(running, self.row_million):
                    return

    def warm_million(self, server, group, address):
        if server.echoes:
            return
        names = self.plan.many_names
        r = self.warm("million warm", server, group, address, count=names)
        if r["answered"] < 0.99 * names:
            raise Failed("%s, million: only %s names were cached in time" % (
                server.name, thousands(r["answered"])))
        grown = group.memory()[1] - self.start_memory(server)
        self.figures.add("entry", server.name, grown / r["answered"])

    def row_million(self, server, group, address):
        r = self.measure("million", server, group, address,
                         names=self.plan.many_names, count=self.plan.hits,
                         window=self.plan.window, burst=self.plan.burst,
                         spin="yes")
        self.figures.add("million", server.name, r["cpu_us"])


# -- the table ----------------------------------------------------------------

def thousands(n):
    return f"{n:,}"


def table_rows(plan):
    """(figure, label, unit divisor, digits, with ratio)"""
    return [
        ("hit", f"CPU per UDP hit, {thousands(plan.names)} names, µs",
         1, 2, True),
        ("million", f"CPU per UDP hit, {thousands(plan.many_names)} names, µs",
         1, 2, True),
        ("slow", f"CPU per UDP hit at {thousands(plan.rate)}/s, µs",
         1, 2, True),
        ("tcp", "CPU per TCP hit, µs", 1, 2, True),
        ("miss", "CPU per UDP miss, µs", 1, 2, True),
        ("dot", "CPU per miss over one DoT connection, µs", 1, 2, True),
        ("doh", "CPU per miss over one DoH connection, µs", 1, 2, True),
        ("qps", "UDP hits per second, thousands", 1000, 0, True),
        ("p50", f"latency at {thousands(plan.rate)}/s, p50, µs", 1, 0, True),
        ("p99", f"latency at {thousands(plan.rate)}/s, p99, µs", 1, 0, True),
        ("anonymous", "anonymous memory at start, MiB", 1 << 20, 2, True),
        ("resident", "resident memory at start, MiB", 1 << 20, 2, True),
        ("entry", f"memory per entry at {thousands(plan.many_names)}, octets",
         1, 0, False),
    ]


def cell(figures, row, server):
    figure, _, unit, digits, with_ratio = row
    value = figures.median(figure, server)
    if value is None:
        return "-"
    text = f"{value / unit:.{digits}f}"
    if figure == "qps" and figures.median("share", server) < BUSY:
        text = ">" + text
    ratios = figures.ratios(figure, server)
    if with_ratio and ratios:
        text += f" ({statistics.median(ratios):.2f})"
    return text


def table(figures, plan, names):
    cells = [["", *names]]
    for row in table_rows(plan):
        if row[0] in figures.values:
            cells.append([row[1], *(cell(figures, row, n) for n in names)])
    return cells


def as_text(cells):
    widths = [max(map(len, column)) for column in zip(*cells)]
    out = []
    for line in cells:
        texts = [line[0].ljust(widths[0])]
        texts += [text.rjust(w) for text, w in zip(line[1:], widths[1:])]
        out.append("  ".join(texts).rstrip())
    return "\n".join(out)


def as_markdown(cells):
    lines = ["| " + " | ".join(line) + " |" for line in cells]
    lines.insert(1, "|" + "---|" + "---:|" * (len(cells[0]) - 1))
    return "\n".join(lines)


def doubts(figures):
    """One line for each server and row in which something went wrong."""
    for (server, row), n in figures.wrong.items():
        parts = ["%s %s" % (thousands(n[key]), text)
                 for key, text in WRONG.items() if n[key]]
        if n.get("astray", 0) > 0.01 * n["answered"]:
            parts.append("%.2f questions to the upstream per answer" % (
                n["asked"] / max(1, n["answered"])))
        if parts:
            yield "%s, %s: of %s queries, %s" % (
                server, row, thousands(n["sent"]), ", ".join(parts))


def remarks(bench, names):
    """The lines below the table."""
    f = bench.figures
    spread = []
    for name in names:
        ratios = f.ratios("hit", name)
        if name != "echo" and len(ratios) > 1:
            spread.append(f"{name} {min(ratios):.2f} to {max(ratios):.2f}")
    if spread:
        yield "ratio per hit over the rounds: " + ", ".join(spread)
    idle = [n for n in names if (f.median("share", n) or 1) < BUSY]
    if idle:
        yield ">: idle part of the time, so it could have answered more: " + (
            ", ".join("%s %.0f %% busy, generator %.0f %%" % (
                n, 100 * f.median("share", n), 100 * f.median("busy", n))
                for n in idle))
    total = {key: sum(n[key] for n in f.wrong.values())
             for key in ("sent", "lost")}
    yield "sent %s queries, lost %s" % tuple(map(thousands, total.values()))
    for server in bench.options.servers:
        if server.note and server.name in names:
            yield f"{server.name}: {server.note}"
    yield from doubts(f)
    yield from f.notes


def version(server):
    """The first line with a digit of what the server says of itself."""
    if not server.version:
        return ""
    try:
        done = subprocess.run([server.path, *server.version], text=True,
                              capture_output=True, timeout=5,
                              stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+(\.\d+)*\S*", done.stdout + done.stderr)
    return found[0] if found else ""


# -- options ------------------------------------------------------------------

def options_read(arguments):
    here = Path(__file__).parent
    known = [cls.name for cls in servers.ALL]
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--programs", default=here,
                   help="folder with echo, answer and load")
    p.add_argument("--larderd", help="the larderd to measure")
    p.add_argument("--quick", action="store_true", help="a minute, coarser")
    p.add_argument("--only", default=",".join(ROWS), metavar="ROW,...",
                   help="of " + " ".join(ROWS))
    p.add_argument("--servers", default=",".join(known), metavar="NAME,...",
                   help="of " + " ".join(known) + "; the echo is always there")
    p.add_argument("--rounds", type=int, help="how often each is measured")
    p.add_argument("--cores", default="0,1", metavar="SERVER,CLIENT")
    p.add_argument("--limit", type=int, metavar="SECONDS",
                   help="no round begins after that")
    p.add_argument("--segmented", action="store_true",
                   help="a batch of queries enters the kernel as one: spares "
                   "the generator work, costs each server some")
    p.add_argument("--realtime", action="store_true",
                   help="real-time priority for all rows but slow, for a "
                   "machine that has other work (root; the others wait meanwhile)")
    p.add_argument("--markdown", action="store_true",
                   help="the table as Markdown as well")
    p.add_argument("--json", metavar="FILE", help="every value of every round")
    o = p.parse_args(arguments)
    o.programs = Path(o.programs).resolve()
    o.only = o.only.split(",")
    o.cores = [int(c) for c in o.cores.split(",")]
    wanted = ["echo", *o.servers.split(",")]
    for given, valid, what in ((o.only, ROWS, "row"),
                               (wanted, known, "server")):
        for word in given:
            if word not in valid:
                p.error(f"no such {what}: {word}")
    if len(o.cores) != 2 or not set(o.cores) <= os.sched_getaffinity(0):
        p.error("--cores needs two cores that this process may use")
    for name in ("echo", "answer", "load"):
        if not os.access(o.programs / name, os.X_OK):
            p.error(f"{o.programs / name} is not built")
    made = [cls(o.programs, o.larderd) for cls in servers.ALL
            if cls.name in wanted]
    o.absent = [s.name for s in made if not s.path]
    o.servers = [s for s in made if s.path]
    return o


def plan_make(options):
    plan = Plan()
    if options.quick:
        plan.quicken()
    plan.rounds = options.rounds or plan.rounds
    plan.limit_s = options.limit or plan.limit_s
    return plan


def stop_on_signal(number, _frame):
    print("stopped by", signal.Signals(number).name, file=sys.stderr)
    raise SystemExit(128 + number)


def main(arguments):
    options = options_read(arguments)
    plan = plan_make(options)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop_on_signal)
    started, stolen = time.monotonic(), process.steal()
    try:
        with Bench(options, plan) as bench:
            bench.run()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    names = [s.name for s in options.servers
             if any(s.name in by for by in bench.figures.values.values())]
    cells = table(bench.figures, plan, names)
    print(as_text(cells))
    if options.markdown:
        print("\n" + as_markdown(cells))
    print()
    now = process.steal()
    taken = 100 * (now[0] - stolen[0]) / max(1, now[1] - stolen[1])
    print("%d rounds, window %d, %.0f s; stolen by the host: %.1f %%" % (
        plan.rounds, plan.window, time.monotonic() - started, taken))
    print("versions: " + ", ".join(
        f"{s.name} {version(s)}" for s in options.servers if version(s)))
    if options.absent:
        print("not installed: " + ", ".join(options.absent))
    for line in remarks(bench, names):
        print(line)
    if options.json:
        values = json.dumps(bench.figures.values, indent=1)
        Path(options.json).write_text(values)
    return 0 if names else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
