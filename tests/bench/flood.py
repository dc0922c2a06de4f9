#!/usr/bin/env python3
"""Ten million names against a cache of 64 MiB: is it bounded, and fair?

larderd has one worker and two upstreams: names below busy.example go to one,
all others to the other.  Two generators ask side by side.  One asks for
distinct names, each once, as fast as replies come; the other for a busy set
of 1,000 names at a steady rate.  What the busy set's upstream is asked meanwhile
are that set's misses, so the hit ratio needs no word from larderd.

Printed are the most resident memory that larderd ever had, as the kernel tells
it, and that hit ratio.  Exit code 1: over --memory MiB beside the cache, or at
or below --ratio percent.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import process

FLOOD, BUSY = "flood.example", "busy.example"
TXT = 16
MIB = 1 << 20
CHUNK_S = 3         # the busy set is counted in pieces of this length
PART = 1_000_000    # names of one run of the generator, which has a time limit


def status_octets(pid, key):
    """A line of /proc/PID/status: VmHWM is the most that ever was resident."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{key}:\s+(\d+) kB", text, re.M)[1]) * 1024


def asked(upstream):
    """How many questions an answer program has had."""
    reply = process.ask(upstream, "count", TXT, 5.0)
    found = re.search(rb"\d+$", reply or b"")
    if not found:
        raise SystemExit("the upstream does not say how often it was asked")
    return int(found[0])


class Flood:
    """Everything that runs, and what was counted."""

    def __init__(self, options, stack):
        self.options = options
        self.stack = stack
        self.folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="larder-flood-"))
        self.setup = process.child_setup(os.sched_getaffinity(0))
        self.upstreams = {s: self.start_upstream(s) for s in (FLOOD, BUSY)}
        self.address = process.free_address()
        self.larder = self.start_larder()
        self.pid = self.larder.processes[0].pid

    def group(self, name, command):
        return self.stack.enter_context(process.Group(
            name, [command], self.folder, self.setup))

    def start_upstream(self, suffix):
        address = process.free_address()
        group = self.group("answer", [str(self.options.programs / "answer"),
                                      "%s:%d" % address])
        if not process.wait_ready(group, address, "p0." + suffix, False):
            raise SystemExit("answer: " + group.trouble())
        return address

    def start_larder(self):
        conf = Path(self.folder, "larder.yaml")
        conf.write_text("\n".join([
            'listen: ["%s:%d"]' % self.address,
            'forward: ["%s:%d"]' % self.upstreams[FLOOD],
            "upstreams:",
            '  busy: { url: "%s:%d" }' % self.upstreams[BUSY],
            "routes:",
            f"  {BUSY}: [busy]",
            "cache:",
            f"  size: {self.options.size}M",
            f"control-socket: {self.folder}/control",
            "log-level: error", ""]))
        group = self.group("larderd", [self.options.larderd, "--config",
                                       str(conf)])
        if not process.wait_ready(group, self.address, "p0." + FLOOD, False):
            raise SystemExit("larderd: " + group.trouble())
        return group

    def load(self, suffix, **options):
        command = [str(self.options.programs / "load"), "--json", "yes",
                   "--suffix", suffix]
        for key, value in options.items():
            command += ["--" + key.replace("_", "-"), str(value)]
        return [*command, "%s:%d" % self.address]

    def busy(self, **options):
        """One run over the busy set: its report, misses added."""
        before = asked(self.upstreams[BUSY])
        done = subprocess.run(self.load(BUSY, **options), text=True,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=120, check=False,
                              preexec_fn=self.setup)
        if not done.stdout:
            raise SystemExit("load: " + done.stderr)
        report = json.loads(done.stdout)
        report["misses"] = asked(self.upstreams[BUSY]) - before
        return report

    def flood(self, reports):
        """Every name once, in parts; what the generator said of each."""
        o = self.options
        for first in range(0, o.names, PART):
            done = subprocess.run(self.load(
                FLOOD, letter="f", unique="yes", first=first,
                count=min(PART, o.names - first), window=o.window,
                seconds=600, timeout_ms=5000), text=True, check=False,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                preexec_fn=self.setup)
            if not done.stdout:
                return          # it shows: fewer were asked than should be
            reports.append(json.loads(done.stdout))

    def run(self):
        """(reports of the flood, reports of the busy set beside it)."""
        o = self.options
        first = self.busy(unique="yes", count=o.busy, window=32)
        if first["misses"] < o.busy:
            raise SystemExit("the busy set's upstream does not see its misses")
        flood, busy, piece = [], [], 0
        asker = threading.Thread(target=self.flood, args=(flood,), daemon=True)
        asker.start()
        while asker.is_alive():
            piece += 1
            report = self.busy(names=o.busy, rate=o.rate, seed=piece,
                               count=o.rate * CHUNK_S, timeout_ms=5000)
            if asker.is_alive() or not busy:    # the last ends in the quiet
                busy.append(report)
                self.progress(piece, report)
        return flood, busy

    def progress(self, piece, report):
        print("%4d s  busy set: %d answered, %d missed, p99 %d us; resident "
              "%.1f MiB" % (piece * CHUNK_S, report["answered"],
                            report["misses"], report["p99_us"],
                            status_octets(self.pid, "VmRSS") / MIB),
              file=sys.stderr, flush=True)

    def cache(self):
        """What larderctl says of the cache, if it is there."""
        ctl = Path(self.options.larderd).with_name("larderctl")
        if not os.access(ctl, os.X_OK):
            return {}
        done = subprocess.run([ctl, "--socket", f"{self.folder}/control",
                               "--json", "stats"], capture_output=True,
                              text=True, timeout=10, check=False)
        return json.loads(done.stdout)["cache"] if not done.returncode else {}


def options_read():
    p = argparse.ArgumentParser(
        description="Floods larderd with distinct names beside a busy set.")
    p.add_argument("--programs", type=Path, default=Path("tests/bench"),
                   help="where answer and load are (tests/bench)")
    p.add_argument("--larderd", default="./larderd")
    p.add_argument("--names", type=int, default=10_000_000)
    p.add_argument("--size", type=int, default=64, help="of the cache, MiB")
    p.add_argument("--busy", type=int, default=1000, help="names kept busy")
    p.add_argument("--rate", type=int, default=500,
                   help="questions per second for them")
    p.add_argument("--window", type=int, default=256,
                   help="questions of the flood that wait at a time")
    p.add_argument("--memory", type=int, default=10,
                   help="MiB allowed beside the cache")
    p.add_argument("--ratio", type=float, default=95,
                   help="percent of hits that the busy set must exceed")
    o = p.parse_args()
    o.programs = o.programs.resolve()
    o.larderd = str(Path(o.larderd).resolve())
    return o


def main():
    o = options_read()
    loads = [os.getloadavg()[0]]
    with contextlib.ExitStack() as stack:
        flood = Flood(o, stack)
        start = status_octets(flood.pid, "VmRSS")
        began = time.monotonic()
        parts, busy = flood.run()
        took = time.monotonic() - began
        loads.append(os.getloadavg()[0])
        peak = status_octets(flood.pid, "VmHWM")
        files = status_octets(flood.pid, "RssFile")
        cache = flood.cache()
    answered = sum(b["answered"] for b in busy)
    misses = sum(b["misses"] for b in busy)
    hits = 100 * (1 - misses / answered)
    worst = min(100 * (1 - b["misses"] / b["answered"]) for b in busy)
    limit = (o.size + o.memory) * MIB
    sent, got, lost, failed = (sum(p[key] for p in parts) for key in (
        "sent", "answered", "lost", "rcodes"))
    print("flood: %d names asked, %d answered, %d lost, %d failed, in %.0f s "
          "(%d/s)" % (sent, got, lost, failed, took, got / took))
    print("memory: %.1f MiB resident at the start, %.1f MiB at most (%.1f of "
          "them of files); allowed are %d + %d MiB" % (
              start / MIB, peak / MIB, files / MIB, o.size, o.memory))
    print("busy set: %d names at %d/s: %d answered, %d lost, %d missed: "
          "%.2f %% hits (worst %d s: %.2f %%); p99 of the median piece %d us" %
          (o.busy, o.rate, answered, sum(b["lost"] for b in busy), misses,
           hits, CHUNK_S, worst,
           sorted(b["p99_us"] for b in busy)[len(busy) // 2]))
    if cache:
        print("cache at the end: %d entries, %d octets; %d evicted" % (
            cache["entries"], cache["octets"], cache["evicted"]))
    print("load average: %.1f before, %.1f after" % tuple(loads))
    good = peak <= limit and hits > o.ratio and sent == o.names
    print("within bounds" if good else "OUT OF BOUNDS")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
