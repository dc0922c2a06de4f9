"""The walk in README.md, as a new user takes it: two upstreams, one of which
is 300 ms away, and larderctl alone to find out which.

The commands are read from README.md and run in their order.  What they print
must have the columns that are shown there, and name the slow one.
"""

import json
import re
import selectors
import socket
import threading
import time
from pathlib import Path

import pytest

from harness import Larder, Upstream, fresh_name

README = Path(__file__).resolve().parents[2] / "README.md"
FAR, NEAR = "127.0.0.2", "127.0.0.3"        # as in README.md
DELAY = 0.3


class LongWay:
    """A UDP port whose messages reach `target` at once and whose answers come
    back late: everything that is asked there takes `delay`."""

    def __init__(self, host, target, delay):
        self.url, self.delay = None, delay
        self._target, self._ways, self._due = target, {}, []
        self._near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._near.bind((host, 0))
        self.url = "%s:%d" % self._near.getsockname()
        self._select = selectors.DefaultSelector()
        self._select.register(self._near, selectors.EVENT_READ, None)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        self._thread.join()
        for sock in (self._near, *self._ways.values()):
            sock.close()

    def _way(self, source):
        """A socket of its own for each source, so that answers find back."""
        if source not in self._ways:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.connect(self._target)
            self._ways[source] = sock
            self._select.register(sock, selectors.EVENT_READ, source)
        return self._ways[source]

    def _run(self):
        while not self._ending.is_set():
            for key, _ in self._select.select(0.005):
                if key.data is None:
                    octets, source = self._near.recvfrom(65535)
                    self._way(source).send(octets)
                else:
                    self._due.append((time.monotonic() + self.delay,
                                      key.data, key.fileobj.recv(65535)))
            while self._due and self._due[0][0] <= time.monotonic():
                _, source, octets = self._due.pop(0)
                self._near.sendto(octets, source)


def walk():
    """[([word of the command, …], what it shows), …] of README.md."""
    text = README.read_text()
    section = re.search(r"(?ms)^## Which upstream is slow\?$(.*?)^## ", text)[1]
    shown = "".join(line[4:] + "\n" for line in section.splitlines()
                    if line.startswith("    ") or not line)
    steps = re.split(r"(?m)^\$ (?:sudo )?larderctl (.*)\n", shown)[1:]
    return [(command.split(), text.strip("\n") + "\n")
            for command, text in zip(steps[::2], steps[1::2])]


def settle(larder):
    """Clients ask, until larder has measured each upstream, and the near one
    often enough that other work of the machine does not show."""
    deadline = time.monotonic() + 30
    while True:
        larder.ask(fresh_name())
        told = json.loads(larder.ctl("--json", "upstreams").stdout)
        far_us, near_us = (up["p50_us"] for up in told["upstreams"])
        if far_us and near_us and far_us > 4 * near_us:
            return
        assert time.monotonic() < deadline, told
        time.sleep(0.05)


@pytest.fixture(scope="module")
def taken():
    """{command: (output, what README.md shows)} after taking all steps."""
    done = {}
    with Upstream(host=NEAR) as near, Upstream(host=FAR) as far, \
            LongWay(FAR, (far.host, far.port), DELAY) as way, \
            Larder([way.url, near.url], steady=False) as larder:
        names = {f"udp://{FAR}:53": f"udp://{way.url}",
                 f"udp://{NEAR}:53": f"udp://{near.url}"}
        settle(larder)
        for command, shown in walk():
            got = larder.ctl(*(names.get(word, word) for word in command))
            assert got.returncode == 0, got.stderr
            out = got.stdout
            for ours, theirs in names.items():
                out = out.replace(theirs, ours)
            done[" ".join(command)] = out, shown
    return done


def row(text, *parts):
    """The cells of the one line that has these."""
    found = [line for line in text.splitlines()
             if all(part in line for part in parts)]
    assert len(found) == 1, text
    return re.split(r"  +", found[0])


def ms(text):
    number, unit = text.split()
    return float(number) * {"µs": 0.001, "us": 0.001, "ms": 1, "s": 1000}[unit]


def check_alike(got, shown):
    """The same words in the same lines; figures, and the columns that they
    take, are of the day."""
    def figureless(text):
        return [re.sub(r"[\d.:-]+( [µum]?s)?", "#", line).split()
                for line in text.splitlines()]

    assert figureless(got) == figureless(shown)


def test_readme_shows_what_one_gets(taken):
    assert len(taken) == 6
    for command, (got, shown) in taken.items():
        if command.startswith("trace"):     # a busy machine may send it twice
            got, shown = (text.splitlines()[0] for text in (got, shown))
        elif command == "slow":             # and may be slow by itself
            got, shown = ("\n".join(text.splitlines()[:1])
                          for text in (got, shown))
        elif command == "upstreams":        # and may make one look ill
            got, shown = (re.sub(r"(?m)( 0).*$", r"\1", text)
                          for text in (got, shown))
        check_alike(got, shown)


@pytest.mark.parametrize("which", [0, 1], ids=["got", "shown"])
def test_upstreams_names_the_slow_one(taken, which):
    """Here and in README.md alike; quantiles are known to within 12.5 %."""
    text = taken["upstreams"][which]
    slow, quick = (ms(row(text, f"udp://{host}:53")[3])
                   for host in (FAR, NEAR))
    assert slow >= 0.87 * DELAY * 1000 and slow > 3 * quick


@pytest.mark.parametrize("which", [0, 1], ids=["got", "shown"])
def test_trace_asks_the_other(taken, which):
    text = taken["trace www.example.com"][which]
    assert re.search(rf"try 1 +udp://{NEAR}:53 by udp", text)


@pytest.mark.parametrize("which", [0, 1], ids=["got", "shown"])
def test_slow_says_why(taken, which):
    line = row(taken["slow"][which], "20", "mail.example.com.")
    assert f"udp://{FAR}:53" in line
    assert ms(line[1]) >= DELAY * 1000
    assert re.search(rf"udp://{FAR}:53 (answered in|did not answer within) "
                     r"[\d.]+ m?s", line[-1])
