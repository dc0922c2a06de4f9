#!/usr/bin/env python3
"""What a watcher of queries costs the workers of larderd.

    watched.py --build BUILD [--rounds 7] [--seconds 3]

larderd with one worker answers hits as fast as it can, or at a rate, in turn
without and with `larderctl --json monitor`.  The worker has one core, all
others share the other.  What is compared is the time that the worker's thread
ran, by the scheduler's own account, for an answer; the ratio is that of two
runs of the same round.  Everything stays on loopback and ends with this
script.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def thread_ns(pid, tid):
    """How long a thread has run."""
    return int(Path(f"/proc/{pid}/task/{tid}/schedstat").read_text().split()[0])


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder = options, Path(folder)
        self.build = Path(options.build)
        self.socket = str(self.folder / "io.larder")
        self.running = []
        upstream, self.port = free_port(), free_port()
        self.spawn([self.build / "tests/bench/answer",
                    f"127.0.0.1:{upstream}"], {1})
        conf = self.folder / "larder.yaml"
        conf.write_text(f'listen: ["127.0.0.1:{self.port}"]\n'
                        f'forward: ["127.0.0.1:{upstream}"]\n'
                        f"control-socket: {self.socket}\n"
                        "log-level: error\n")
        self.larderd = self.spawn([options.larderd or self.build / "larderd",
                                   "--config", conf], {1})
        deadline = time.monotonic() + 5
        while not os.path.exists(self.socket):
            if time.monotonic() > deadline:
                sys.exit("larderd did not start")
            time.sleep(0.02)
        time.sleep(0.2)
        pid = self.larderd.pid
        self.workers = [int(t) for t in os.listdir(f"/proc/{pid}/task")
                        if int(t) != pid]
        for tid in self.workers:
            os.sched_setaffinity(tid, {0})

    def spawn(self, command, cores, **more):
        proc = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, cores), **more)
        self.running.append(proc)
        return proc

    def stop(self):
        for proc in reversed(self.running):
            proc.terminate()
        for proc in self.running:
            proc.wait(5)

    def load(self, **options):
        command = [self.build / "tests/bench/load", "--json", "yes"]
        for key, value in options.items():
            command += ["--" + key, value]
        done = subprocess.run(
            [*map(str, command), f"127.0.0.1:{self.port}"],
            capture_output=True, text=True, timeout=60,
            preexec_fn=lambda: os.sched_setaffinity(0, {1}))
        if done.returncode:
            sys.exit(done.stderr)
        return json.loads(done.stdout)

    def run(self, watched, rate):
        """One run: worker's and main thread's us for an answer, and more."""
        pid, seen = self.larderd.pid, 0
        lines = self.folder / "events"
        if watched:
            with open(lines, "wb") as out:
                ctl = self.spawn([self.build / "larderctl", "--socket",
                                  self.socket, "--json", "monitor"], {1},
                                 stdout=out)
            time.sleep(0.2)
        before = [thread_ns(pid, t) for t in self.workers], thread_ns(pid, pid)
        told = self.load(names=2000, count=1000000000, rate=rate,
                         seconds=self.options.seconds, burst=1 if rate else 16)
        after = [thread_ns(pid, t) for t in self.workers], thread_ns(pid, pid)
        report = {"worker": (sum(after[0]) - sum(before[0]))
                  / told["answered"] / 1e3,
                  "main": (after[1] - before[1]) / told["took_s"] / 1e7,
                  "qps": told["qps"], "lost": told["lost"]}
        if watched:
            time.sleep(0.3)
            ctl.terminate()
            ctl.wait(5)
            self.running.remove(ctl)
            dropped = 0
            for line in open(lines, "rb"):
                if line.startswith(b'{"dropped"'):
                    dropped += json.loads(line)["dropped"]
                else:
                    seen += 1
            report |= {"told": seen / told["took_s"], "dropped": dropped,
                       "missing": told["answered"] - seen - dropped}
        return report


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--build", required=True)
    p.add_argument("--larderd")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--seconds", type=int, default=3)
    options = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, folder)
        try:
            bench.load(names=2000, count=2000, unique="yes")
            for rate in 10000, 0:
                ratios = []
                for _ in range(options.rounds):
                    off, on = bench.run(False, rate), bench.run(True, rate)
                    ratios.append(on["worker"] / off["worker"])
                    print("%-9s %8.0f/s  %.2f us, watched %.2f us (%.3f); "
                          "main thread %4.1f %%; told %6.0f/s, dropped %d, "
                          "missing %d; lost %d and %d" % (
                              f"{rate}/s" if rate else "full", on["qps"],
                              off["worker"], on["worker"], ratios[-1],
                              on["main"], on["told"], on["dropped"],
                              on["missing"], off["lost"], on["lost"]),
                          flush=True)
                print("median ratio %.3f" % statistics.median(ratios))
        finally:
            bench.stop()


if __name__ == "__main__":
    main()
