#!/usr/bin/env python3
"""What watching costs: scrapes of larderd over HTTP while it is under full load.

larderd has two workers and eight upstreams.  One generator keeps it busy with
names that are in its cache, as fast as replies come; another asks for new names
at a steady rate, so that all upstreams have work.  Pieces of a few seconds take
turns: nobody scrapes, /metrics is scraped, the status page's document is.  So
what scrapes do to answers is seen beside what the machine does by itself.

Printed are, for each kind of piece, the time from asking to having the whole
reply, the CPU time of the thread that makes it, and the answers' latencies.
Exit code 1: a scrape took over --limit ms at p99, or an answer was lost while
somebody scraped.
"""

import argparse
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import process

SUFFIX = "scrape.example"
KINDS = {"nobody": None, "/metrics": "/metrics", "/status.json":
         "/status.json"}
NEW_PER_S = 500     # questions that go upstream
EVERY_S = 0.02      # between the beginnings of two scrapes


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(len(values) * q))]


def prefer(pid):
    """Where sessions have shares of their own, nice counts within one only."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text("-15")


class Scraper:
    """One kept connection, as Prometheus and browsers have."""

    def __init__(self, address, path):
        self.path = path
        self.connection = http.client.HTTPConnection(*address, timeout=10)
        self.took_s, self.octets = [], 0

    def scrape(self):
        began = time.perf_counter()
        self.connection.request("GET", self.path)
        reply = self.connection.getresponse()
        body = reply.read()
        self.took_s.append(time.perf_counter() - began)
        self.octets = len(body)
        if reply.status != 200:
            raise SystemExit(f"{self.path}: status {reply.status}")

    def run(self, busy):
        """Scrapes on schedule for as long as busy() holds."""
        due = time.perf_counter()
        while busy():
            self.scrape()
            due = max(due + EVERY_S, time.perf_counter())
            time.sleep(max(0, due - time.perf_counter()))
        self.connection.close()


class Scrape:
    """Everything that runs, and what was measured."""

    def __init__(self, options, stack):
        self.options, self.stack = options, stack
        self.folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="larder-scrape-"))
        self.setup = process.child_setup(os.sched_getaffinity(0))
        self.upstreams = [self.start_upstream(i)
                          for i in range(options.upstreams)]
        self.address = process.free_address()
        self.http = process.free_address()
        self.larder = self.start_larder()
        self.pid = self.larder.processes[0].pid
        self.reports = {kind: [] for kind in KINDS}
        self.fresh = 0

    def group(self, name, command):
        group = self.stack.enter_context(process.Group(
            name, [command], self.folder, self.setup))
        if self.options.prefer:
            prefer(group.processes[0].pid)
        return group

    def start_upstream(self, i):
        address = process.free_address()
        group = self.group(f"answer {i}", [
            str(self.options.programs / "answer"), "%s:%d" % address])
        if not process.wait_ready(group, address, "p0." + SUFFIX, False):
            raise SystemExit("answer: " + group.trouble())
        return address

    def start_larder(self):
        conf = Path(self.folder, "larder.yaml")
        conf.write_text("\n".join([
            'listen: ["%s:%d"]' % self.address,
            "forward: [%s]" % ", ".join('"%s:%d"' % u for u in self.upstreams),
            "policy: spread",
            f"threads: {self.options.threads}",
            'metrics-listen: ["%s:%d"]' % self.http,
            "metrics-names: yes",
            'control-socket: ""',
            "log-level: error", ""]))
        group = self.group("larderd", [self.options.larderd, "--config",
                                       str(conf)])
        if not process.wait_ready(group, self.address, "p0." + SUFFIX, False):
            raise SystemExit("larderd: " + group.trouble())
        return group

    def load(self, **options):
        command = [str(self.options.programs / "load"), "--json", "yes",
                   "--suffix", SUFFIX]
        for key, value in options.items():
            command += ["--" + key.replace("_", "-"), str(value)]
        return subprocess.Popen([*command, "%s:%d" % self.address], text=True,
                                stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE,
                                preexec_fn=self.setup)

    def report(self, load):
        out, _ = load.communicate(timeout=120)
        if not out:
            raise SystemExit("load: nothing was answered")
        return json.loads(out)

    def main_cpu_ns(self):
        """Of the thread that serves HTTP, the process's first."""
        path = f"/proc/{self.pid}/task/{self.pid}/schedstat"
        return int(Path(path).read_text().split()[0])

    def piece(self, kind, seconds):
        """One piece of the load, scraped or not; its report is kept."""
        hits = self.load(names=self.options.names, window=64, burst=16,
                         count=1_000_000_000, seconds=seconds)
        new = self.load(unique="yes", letter="u", first=self.fresh,
                        rate=NEW_PER_S, count=NEW_PER_S * seconds)
        self.fresh += NEW_PER_S * seconds
        cpu = self.main_cpu_ns()
        scraper = Scraper(self.http, KINDS[kind]) if KINDS[kind] else None
        if scraper:
            scraper.run(lambda: hits.poll() is None)
        report = self.report(hits)
        report["new"] = self.report(new)
        report["cpu_s"] = (self.main_cpu_ns() - cpu) / 1e9
        report["scrapes_s"] = scraper.took_s if scraper else []
        report["octets"] = scraper.octets if scraper else 0
        self.reports[kind].append(report)
        print("%-13s %d answers/s, %d lost, p99.9 %d us%s" % (
            kind, report["qps"], report["lost"], report["p999_us"],
            "; %d scrapes, p99 %.2f ms" % (
                len(scraper.took_s), 1e3 * quantile(scraper.took_s, 0.99))
            if scraper else ""), file=sys.stderr, flush=True)

    def run(self):
        o = self.options
        self.report(self.load(names=o.names, unique="yes", count=o.names,
                              window=64))
        for _ in range(o.rounds):
            for kind in KINDS:
                self.piece(kind, o.seconds)


def lost(reports):
    return sum(r["lost"] + r["new"]["lost"] for r in reports)


def summary(kind, reports, idle_cpu_s):
    """Lines of the table, and whether they are as they should be."""
    answers = ("%d answers/s; of hits p99.9 %d us, longest %d us; of misses "
               "p99.9 %d us, longest %d us; %d lost" % (
                   statistics.median(r["qps"] for r in reports),
                   statistics.median(r["p999_us"] for r in reports),
                   max(r["max_us"] for r in reports),
                   statistics.median(r["new"]["p999_us"] for r in reports),
                   max(r["new"]["max_us"] for r in reports), lost(reports)))
    took = [t for r in reports for t in r["scrapes_s"]]
    if not took:
        return [f"{kind} scrapes: {answers}"], 0
    cpu_s = sum(r["cpu_s"] for r in reports) - idle_cpu_s
    return [
        "%s: %d scrapes of %d octets, p50 %.2f ms, p99 %.2f ms, longest "
        "%.2f ms; %.3f ms of CPU each" % (
            kind, len(took), reports[-1]["octets"], 1e3 * quantile(took, 0.5),
            1e3 * quantile(took, 0.99), 1e3 * max(took),
            1e3 * cpu_s / len(took)),
        "    " + answers], 1e3 * quantile(took, 0.99)


def options_read():
    p = argparse.ArgumentParser(
        description="Scrapes larderd over HTTP while it is under full load.")
    p.add_argument("--programs", type=Path, default=Path("tests/bench"),
                   help="where answer and load are (tests/bench)")
    p.add_argument("--larderd", default="./larderd")
    p.add_argument("--upstreams", type=int, default=8)
    p.add_argument("--threads", type=int, default=2, help="workers")
    p.add_argument("--names", type=int, default=20_000, help="in the cache")
    p.add_argument("--seconds", type=int, default=4, help="of a piece")
    p.add_argument("--rounds", type=int, default=3, help="pieces of each kind")
    p.add_argument("--prefer", action="store_true",
                   help="root: before other work of the machine (nice -15)")
    p.add_argument("--limit", type=float, default=5,
                   help="ms that a scrape may take at p99")
    o = p.parse_args()
    o.programs = o.programs.resolve()
    o.larderd = str(Path(o.larderd).resolve())
    return o


def main():
    o = options_read()
    if o.prefer:
        os.nice(-15)        # whatever is started from here on, too
        prefer(os.getpid())
        process.schedule(0, True)   # us alone: our wait is not larderd's
    loads, stolen = os.getloadavg()[0], process.steal()
    with contextlib.ExitStack() as stack:
        bench = Scrape(o, stack)
        bench.run()
    idle_cpu_s = sum(r["cpu_s"] for r in bench.reports["nobody"])
    good = True
    for kind, reports in bench.reports.items():
        lines, p99_ms = summary(kind, reports, idle_cpu_s)
        print("\n".join(lines))
        good &= p99_ms <= o.limit
        good &= kind == "nobody" or lost(reports) == 0
    taken = [b - a for a, b in zip(stolen, process.steal())]
    print("load average before: %.1f; time the host took away: %.1f %%" % (
        loads, 100 * taken[0] / max(1, taken[1])))
    print("within bounds" if good else "OUT OF BOUNDS")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
