#!/usr/bin/env python3
"""The incident that larder was born from, and its relatives, played to resolvers.

Upstreams 20 ms away stall, fall silent, lose answers, fail or turn slow while
clients ask at a steady rate and give up after 2.5 s.  For every case and server:
who failed, who waited how long, who got stale data, how often the upstreams were
asked.  larder's figures stand beside what it must reach.  README.md says how
each of them is measured.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import incident_cases
import incident_report
import incident_servers
import process
import servers
from incident_tools import NAMES, Failed, Relay, Sentinel, Upstream

SUFFIX = "bench.example"
PROBE = "p0." + SUFFIX
LEAD_S = 0.4            # from the last preparation to the first query
CONTROL_RATE = 100


class Plan:
    """How much is asked in each case."""

    queries = 60_000
    rate = 1000
    warm_s = 10
    hole_s = 40

    def quicken(self):
        self.queries = 15_000
        self.warm_s = 5
        self.hole_s = 16

    def third_ms(self, case):
        if case.key == "hole":
            return self.hole_s * 1000 // 3
        # A Poisson process brings a few less than the rate says, once in a while.
        return int(self.queries * 1.015 / (case.rate or self.rate) * 1000) // 3


class Play:
    """One server with its upstreams and its clients, in one case."""

    def __init__(self, bench, case, server, stack):
        self.bench, self.case, self.server = bench, case, server
        self.folder = tempfile.mkdtemp(server.name, dir=bench.folder)
        self.records = str(Path(self.folder, "records"))
        self.upstream, self.relay, self.seen = self.ways(stack)
        self.group, self.address = self.start(stack)
        self.clients = None
        self.stats, self.samples, self.cpu = [], [], []

    def ways(self, stack):
        """(upstream, relay or None, what the server is told of them)"""
        if not self.bench.over:
            upstream = stack.enter_context(Upstream(self.bench, self.case))
            return upstream, None, upstream.addresses
        upstream = stack.enter_context(Upstream(self.bench, self.case, 0))
        relay = stack.enter_context(Relay(self.bench, upstream.addresses))
        return upstream, relay, [
            servers.Secure(*a, self.bench.over, self.bench.ca)
            for a in relay.addresses]

    def start(self, stack):
        for _ in range(2):      # another program may take the port first
            address = process.free_address()
            try:
                commands = self.server.commands(
                    address, self.seen, self.folder)
            except RuntimeError as trouble:
                raise Failed(str(trouble)) from None
            group = process.Group(self.server.name, commands, self.folder,
                                  self.bench.setup_of(self.case))
            stack.enter_context(group)
            if process.wait_ready(group, address, PROBE, False):
                return group, address
            trouble = group.trouble()
            group.stop()
        raise Failed(f"{self.server.name} did not start: {trouble}")

    def begin(self, start_ns, origin_ns, length_ms, third_ms, control):
        self.upstream.order("begin %d" % origin_ns)
        if self.relay:
            self.relay.order("begin %d" % origin_ns)
        for way, order in self.case.orders(third_ms, bool(self.relay)):
            (self.relay if way else self.upstream).order(order)
        command = [self.bench.program("clients"), "--suffix", SUFFIX,
                   "--names", str(NAMES), "--new-percent", str(self.case.new_percent),
                   "--rate", str(self.case.rate or self.bench.plan.rate),
                   "--start-ns", str(start_ns), "--origin-ns", str(origin_ns),
                   "--ms", str(length_ms), "--ports", "16",
                   "--timeout-ms", str(incident_cases.GIVE_UP_MS),
                   "--seed", str(self.bench.options.seed),
                   "--control", control, "--control-rate", str(CONTROL_RATE),
                   "--out", self.records, "%s:%d" % self.address]
        self.clients = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            preexec_fn=self.bench.tool_setup)

    def stop(self):
        if self.clients and self.clients.poll() is None:
            self.clients.kill()
            self.clients.wait()

    def look(self):
        """What the server has used and counted so far."""
        self.cpu.append(self.group.cpu_ns())
        if self.server.name == "larder" and self.bench.options.larderctl:
            done = subprocess.run(
                [self.bench.options.larderctl, "--socket",
                 str(Path(self.folder, "io.larder")), "stats", "--json"],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=5)
            if done.returncode == 0:
                self.stats.append(json.loads(done.stdout))

    def sample(self, at_s):
        """(instant, CPU ns, sockets, octets resident)"""
        sockets = 0
        for pid in self.group.pids():
            with contextlib.suppress(OSError):
                for fd in os.scandir(f"/proc/{pid}/fd"):
                    with contextlib.suppress(OSError):
                        sockets += os.readlink(fd.path).startswith("socket:")
        self.samples.append((at_s, self.group.cpu_ns(), sockets,
                             self.group.memory()[1]))

    def finish(self, third_ms, still, limit_s=incident_cases.GIVE_UP_MS / 1000 + 10):
        try:
            out, _ = self.clients.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.server.name}: the clients do not end") from None
        if self.clients.returncode:
            raise Failed(f"{self.server.name}: the clients failed")
        if not self.group.alive():
            raise Failed(f"{self.server.name} {self.group.trouble()}")
        run = incident_report.Run(self.server.name, self.case, third_ms,
                                  self.records, self.upstream.report(),
                                  json.loads(out), still)
        os.unlink(self.records)
        run.stats = self.stats
        run.relay = self.relay and self.relay.report()
        run.cpu_us = (self.cpu[-1] - self.cpu[0]) / 1000 / max(1, len(run.queries))
        if self.samples:
            run.hole = self.hole(third_ms)
        return run

    def hole(self, third_ms):
        """The quiet half against the other one; its first two seconds count
        for the bounds, but not for the CPU's share."""
        half_s = third_ms * 1.5 / 1000
        quiet = [s for s in self.samples if 0 <= s[0] < half_s]
        dark = [s for s in self.samples if half_s < s[0]]
        settled = [s for s in dark if s[0] > half_s + 2]

        def share(samples):
            (t0, c0, *_), (t1, c1, *_) = samples[0], samples[-1]
            return (c1 - c0) / 1e9 / (t1 - t0)
        mib, mib_quiet = (max(s[3] for s in half) / (1 << 20)
                          for half in (dark, quiet))
        return {"sockets": max(s[2] for s in dark),
                "sockets_quiet": max(s[2] for s in quiet),
                "mib": mib, "mib_quiet": mib_quiet, "grown_mib": mib - mib_quiet,
                "cpu_share": share(settled), "cpu_quiet_share": share(quiet),
                "cpu": share(settled) / share(quiet)}


def favoured(setup):
    """A child goes before other common threads, those of other sessions too."""
    def setup_and_favour():
        setup()
        os.nice(-15)
        with contextlib.suppress(OSError):      # kernels without autogroups
            Path("/proc/self/autogroup").write_text("-15", encoding="ascii")
    return setup_and_favour


class Bench:
    """Plays the cases; keeps the runs."""

    def __init__(self, options, plan):
        self.options, self.plan = options, plan
        self.folder = self.ca = self.certificate = None
        self.over = options.over
        self.notes = []
        cores = set(options.cores or os.sched_getaffinity(0))
        if options.cores:
            cores = {options.cores[0]}
        self.plain_setup = process.child_setup(cores)
        if options.realtime:
            self.plain_setup = favoured(self.plain_setup)
        self.server_setup = process.child_setup(cores, options.realtime)
        if options.cores:
            cores = {options.cores[1]}
        self.tool_setup = process.child_setup(cores, options.realtime)

    def setup_of(self, case):
        """A server's; where its CPU time is judged, with preference among common
        threads: the scheduler's own work for real-time ones would be most of it."""
        return self.plain_setup if case.key == "hole" else self.server_setup

    def program(self, name):
        return str(Path(self.options.programs, name))

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def batches(self, case):
        """larder alone, the others so many at once; in the hole one by one."""
        able, size = self.options.servers, self.options.together
        alone = [s for s in able if s.name == "larder" or case.key == "hole"]
        others = [s for s in able if s not in alone]
        yield from ([s] for s in alone)
        for i in range(0, len(others), size):
            yield others[i:i + size]

    def run(self, case):
        """Gives the runs of all servers in this case."""
        runs = []
        for batch in self.batches(case):
            self.progress("(%s) %s" % (case.key, ", ".join(s.name for s in batch)))
            with contextlib.ExitStack() as stack:
                runs += self.play(stack, case, batch)
        return runs

    def play(self, stack, case, batch):
        control = self.control(stack, case)
        sentinel = stack.enter_context(Sentinel(self))
        plays = []
        for server in batch:
            try:
                plays.append(Play(self, case, server, stack))
                stack.callback(plays[-1].stop)
            except Failed as trouble:
                self.note(str(trouble))
        third_ms = self.plan.third_ms(case)
        start_ns = time.monotonic_ns() + int(LEAD_S * 1e9)
        origin_ns = start_ns + self.plan.warm_s * 1_000_000_000
        length_ms = self.plan.warm_s * 1000 + 3 * third_ms
        for play in plays:
            play.begin(start_ns, origin_ns, length_ms, third_ms, control)
        self.watch(plays, origin_ns, third_ms)
        time.sleep(incident_cases.GIVE_UP_MS / 1000)
        return list(self.finish(plays, third_ms, sentinel.still(origin_ns)))

    def control(self, stack, case):
        """The address of an echo that runs as the servers do."""
        address = process.free_address()
        folder = tempfile.mkdtemp("echo", dir=self.folder)
        group = stack.enter_context(process.Group(
            "echo", [[self.program("echo"), "%s:%d" % address]], folder,
            self.setup_of(case)))
        if not process.wait_ready(group, address, PROBE, True):
            raise SystemExit("echo: " + group.trouble())
        return "%s:%d" % address

    def watch(self, plays, origin_ns, third_ms):
        """Looks at the servers between the thirds while the clients ask."""
        for i in range(4):
            until_ns = origin_ns + i * third_ms * 1_000_000
            while (left := until_ns - time.monotonic_ns()) > 0:
                at_s = (time.monotonic_ns() - origin_ns) / 1e9
                if at_s >= 0:
                    self.sample(plays, at_s)
                time.sleep(min(0.5, left / 1e9))
            for play in plays:
                play.look()

    def sample(self, plays, at_s):
        for play in plays:
            if play.case.key == "hole" and play.group.alive():
                play.sample(at_s)

    def finish(self, plays, third_ms, still):
        for play in plays:
            try:
                yield play.finish(third_ms, still)
                if play.server.note:
                    self.note(f"{play.server.name}: {play.server.note}")
            except (Failed, OSError) as trouble:
                self.note(f"({play.case.key}) {trouble}")

    def progress(self, text):
        print(text, file=sys.stderr, flush=True)


# -- options ------------------------------------------------------------------

def options_read(arguments):
    here = Path(__file__).parent
    known = [cls.name for cls in incident_servers.ALL]
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--programs", default=here,
                   help="folder with upstream, clients, sentinel and echo")
    p.add_argument("--larderd", help="the larderd to measure")
    p.add_argument("--larderctl", help="its larderctl, for what it counts itself")
    p.add_argument("--quick", action="store_true",
                   help="15,000 queries a case instead of 60,000")
    p.add_argument("--only", metavar="CASE,...",
                   help="of " + " ".join(incident_cases.ALL) + "; those of paths "
                   "need --over")
    p.add_argument("--over", choices=servers.OVER,
                   help="ask the upstreams so, with the delay on the way to them")
    p.add_argument("--servers", default=",".join(known), metavar="NAME,...",
                   help="of " + " ".join(known))
    p.add_argument("--rate", type=int, metavar="N",
                   help="queries per second (1000); the hole has its own")
    p.add_argument("--queries", type=int, metavar="N", help="queries per case")
    p.add_argument("--together", type=int, default=4, metavar="N",
                   help="so many peers at once; larder is always alone")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--cores", metavar="SERVER,TOOLS",
                   help="bind the servers to one core, all else to another")
    p.add_argument("--realtime", action="store_true",
                   help="real-time priority for all of it, for a machine that "
                   "has other work (root; the others wait meanwhile)")
    p.add_argument("--markdown", action="store_true", help="tables as Markdown")
    p.add_argument("--json", metavar="FILE", help="all figures")
    p.add_argument("--self-check", action="store_true",
                   help="check the upstream and the clients against each other")
    o = p.parse_args(arguments)
    o.programs = Path(o.programs).resolve()
    o.only = (o.only.split(",") if o.only else
              [k for k, c in incident_cases.ALL.items() if o.over or not c.path])
    wanted = o.servers.split(",")
    for given, valid, what in ((o.only, incident_cases.ALL, "case"),
                               (wanted, known, "server")):
        for word in given:
            if word not in valid:
                p.error(f"no such {what}: {word}")
    if not o.over and any(incident_cases.ALL[key].path for key in o.only):
        p.error("what befalls a path needs --over")
    o.cores = [int(c) for c in o.cores.split(",")] if o.cores else None
    if o.cores and (len(o.cores) != 2 or
                    not set(o.cores) <= os.sched_getaffinity(0)):
        p.error("--cores needs two cores that this process may use")
    if o.together < 1:
        p.error("--together needs at least 1")
    for name in ("upstream", "relay", "clients", "sentinel", "echo"):
        if not os.access(o.programs / name, os.X_OK):
            p.error(f"{o.programs / name} is not built")
    if o.larderctl:
        o.larderctl = str(Path(o.larderctl).resolve())
    made = [cls(o.programs, o.larderd) for cls in incident_servers.ALL
            if cls.name in wanted]
    o.absent = [s.name for s in made if not s.path]
    o.servers = [s for s in made if s.path and (not o.over or o.over in s.over)]
    return o


def plan_make(options):
    plan = Plan()
    if options.quick:
        plan.quicken()
    plan.rate = options.rate or plan.rate
    plan.queries = options.queries or plan.queries
    return plan


def stop_on_signal(number, _frame):
    print("stopped by", signal.Signals(number).name, file=sys.stderr)
    raise SystemExit(128 + number)


def summary(runs):
    """larder's targets of all cases, one line each."""
    cells = [["case", "target", "larder", "at most", "", "less stalls", ""]]
    for run in runs:
        if run.server == "larder":
            for line in incident_report.target_cells(run)[1:]:
                cells.append([run.case.key, *line])
    return cells


def main(arguments):
    options = options_read(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop_on_signal)
    show = (incident_report.as_markdown if options.markdown
            else incident_report.as_text)
    bench = Bench(options, plan_make(options))
    started, stolen = time.monotonic(), process.steal()
    everything = []
    with tempfile.TemporaryDirectory(prefix="larder-incident-") as bench.folder:
        try:
            bench.ca, bench.certificate = (
                servers.certify(bench.folder) if bench.over else (None, None))
            if options.self_check:
                import incident_check
                return incident_check.check(bench)
            for key in options.only:
                runs = bench.run(incident_cases.ALL[key])
                if runs:
                    print(incident_report.case_text(runs, show), "\n", flush=True)
                everything += runs
        except KeyboardInterrupt:
            return 128 + signal.SIGINT
    if any(run.server == "larder" for run in everything):
        print(show(summary(everything)), "\n")
    now = process.steal()
    print("%.0f s; stolen by the host: %.1f %%" % (
        time.monotonic() - started,
        100 * (now[0] - stolen[0]) / max(1, now[1] - stolen[1])))
    if options.absent:
        print("not installed: " + ", ".join(options.absent))
    print("\n".join(bench.notes))
    if options.json:
        values = [{"case": run.case.key, "server": run.server, **run.values()}
                  for run in everything]
        Path(options.json).write_text(json.dumps(values, indent=1))
    return 0 if everything else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
