"""The processes that play an incident: what they are told, what they saw."""

import contextlib
import json
import os
import select
import subprocess
from pathlib import Path

import incident_cases
import process

NAMES = 1500


class Failed(Exception):
    """A server that does not start or ended; the others go on."""


class Tool:
    """A process that takes orders; ends with us, or with its input."""

    def __init__(self, bench, *command):
        self.name = command[0]
        self.process = subprocess.Popen(
            [bench.program(command[0]), *command[1:]], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, preexec_fn=bench.tool_setup)

    def __enter__(self):
        self.report()           # it listens by then
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.process.stdin.close()      # which ends it
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def order(self, line, limit_s=5):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], limit_s)[0]:
            raise Failed(f"{self.name}: no reply to {line}")
        reply = self.process.stdout.readline().strip()
        if reply == "bad" or not reply:
            raise Failed(f"{self.name}: cannot {line}")
        return reply

    def report(self):
        return json.loads(self.order("report"))


class Upstream(Tool):
    """The process that is all upstreams of one server."""

    def __init__(self, bench, case, delay_ms=incident_cases.TRIP_MS):
        self.addresses = [process.free_address() for _ in range(case.upstreams)]
        command = ["upstream", "--names", str(NAMES),
                   "--ttl-min", str(case.ttl[0]), "--ttl-max", str(case.ttl[1]),
                   "--countdown", "yes" if case.countdown else "no",
                   "--seed", str(bench.options.seed),
                   "--delay-us", str(delay_ms * 1000)]
        if bench.over:
            command += ["--certificate", bench.certificate]
        for address in self.addresses:
            command += ["--listen", "%s:%d" % address]
        super().__init__(bench, *command)


class Relay(Tool):
    """The ways to a server's upstreams, as long as a real one."""

    def __init__(self, bench, addresses, trip_ms=incident_cases.TRIP_MS):
        self.addresses = [process.free_address() for _ in addresses]
        command = ["relay", "--delay-us", str(trip_ms * 500)]
        for near, far in zip(self.addresses, addresses):
            command += ["--path", "%s:%d" % near, "%s:%d" % far]
        super().__init__(bench, *command)


class Sentinel:
    """Notes when a core of the machine stands still."""

    def __init__(self, bench):
        self.log = Path(bench.folder, "sentinel")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [bench.program("sentinel")], stdin=subprocess.PIPE, stdout=log,
                preexec_fn=process.child_setup(os.sched_getaffinity(0)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()          # which ends it
        self.process.wait()

    def still(self, origin_ns):
        """(begin, end) of each stand-still so far, in ms after the origin."""
        spans = (map(int, line.split()) for line in
                 self.log.read_text(encoding="ascii").splitlines())
        return [((begin - origin_ns) / 1e6, (end - origin_ns) / 1e6)
                for _, begin, end in spans]
