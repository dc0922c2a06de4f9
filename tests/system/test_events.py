"""What larder tells of single queries: the list of slow ones, and all of them
to whoever watches.

Spoken to octet by octet by a client that knows nothing of larder's code, and
by larderctl.
"""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness import (Larder, Upstream, answer_default, find_binary,
                     free_port, fresh_name, query, reply)
from test_control import ask_as, slow
from test_daemon import Varlink

# A name that a page or a terminal must be careful with, as octets and as text.
HOSTILE = b"\x16<img src=x onerror=a>\x1b\x07example\x00"
HOSTILE_TEXT = "<img\\032src=x\\032onerror=a>\\027.example."


def slow_list(larder):
    with Varlink(larder.control) as link:
        answer = link.call("io.larder.Slow")
    assert "error" not in answer, answer
    return answer["parameters"]


# --- slow queries -----------------------------------------------------------

def test_slow_query_and_why():
    """Who did not answer, who did; hits are not in the list."""
    with Upstream() as first, Upstream() as second:
        first.handler = lambda ctx: None
        with Larder([first, second], conf={
                "slow-query": "250ms", "resend-after": "300ms"}) as larder:
            assert slow_list(larder) == {"queries": [], "over_us": 250000,
                                         "dropped": 0}
            assert "no query has taken 250 ms" in larder.ctl("slow").stdout
            name = fresh_name()
            for _ in range(3):
                larder.ask(name)
            one, = slow_list(larder)["queries"]
            assert one["name"] == name and one["type"] == "A"
            assert one["outcome"] == "miss"
            assert one["upstream"] == "udp://" + second.url
            assert 290000 <= one["duration_us"] < 5000000
            assert abs(one["time_ms"] / 1000 - time.time()) < 10
            assert one["reason"].startswith(
                f"udp://{first.url} did not answer within ")
            assert f"; udp://{second.url} answered in " in one["reason"]
            told = larder.ctl("slow").stdout
            assert name in told and one["reason"] in told
            told = json.loads(larder.ctl("--json", "slow").stdout)
            assert told["queries"] == [one]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be others")
def test_slow_names_are_private(upstream):
    """Who may see counters alone gets the list without names."""
    upstream.handler = slow(0.03)
    with Larder([upstream], conf={"slow-query": "10ms"}) as larder:
        wire = query(".")
        larder.udp(wire[:12] + HOSTILE + wire[13:])
        one, = slow_list(larder)["queries"]
        assert one["name"] == HOSTILE_TEXT and one["name"].isascii()
        assert HOSTILE_TEXT in larder.ctl("slow").stdout
        os.chmod(larder.control, 0o666)
        answer, = ask_as(larder, 12345, [("Slow", {})])
        stranger, = answer["parameters"]["queries"]
        assert stranger == one | {"name": None}
        assert "img" not in stranger["reason"]


def test_slow_is_what_the_configuration_says(upstream):
    """The limit is taken at a reload."""
    upstream.handler = slow(0.05)
    with Larder([upstream], conf={"slow-query": "10s"}) as larder:
        larder.ask(fresh_name())
        assert slow_list(larder)["queries"] == []
        larder.rewrite({"slow-query": "20ms"})
        assert larder.ctl("reload").returncode == 0
        assert slow_list(larder)["over_us"] == 20000
        deadline = time.monotonic() + 5     # until the worker has it, too
        while not slow_list(larder)["queries"]:
            assert time.monotonic() < deadline
            larder.ask(fresh_name())


def test_slow_list_is_bounded_when_all_is_slow(upstream):
    """The latest are there, newest first; of the others some are counted."""
    upstream.handler = answer_default
    with Larder([upstream], conf={"slow-query": "1ms", "limits": {
            "waiting-per-client": 1000}}) as larder:
        upstream.handler = slow(0.05)
        start = time.monotonic()
        with larder.udp_socket() as sock:
            sock.settimeout(10)
            for n in range(400):
                sock.send(query(fresh_name(), id=n))
                if n % 50 == 49:
                    time.sleep(0.01)
            for _ in range(400):
                sock.recv(4096)
        told = slow_list(larder)
        assert len(told["queries"]) == 100
        times = [one["time_ms"] for one in told["queries"]]
        assert times == sorted(times, reverse=True)
        noted = 400 - told["dropped"]
        assert 100 <= noted <= 100 + (time.monotonic() - start + 1) * 50
        assert "too many at once" in larder.ctl("slow").stdout


# --- monitor ----------------------------------------------------------------

class Monitor:
    """Watches from when it is made; spoken to by the raw protocol."""

    def __init__(self, larder, **filters):
        self.link = Varlink(larder.control)
        self.link.sock.settimeout(10)
        self.events, self.dropped = [], 0
        self.link.send("io.larder.Monitor", filters, more=True)
        self.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.link.sock.close()

    def read(self):
        """One reply; gives how many events it had."""
        message = self.link.recv()
        assert message and message.get("continues") is True, message
        told = message["parameters"]
        assert set(told) == {"events", "dropped"}
        self.events += told["events"]
        self.dropped += told["dropped"]
        return len(told["events"])

    def until(self, count, seconds=20):
        """Reads until so many queries are told of, or left out."""
        deadline = time.monotonic() + seconds
        while len(self.events) + self.dropped < count:
            assert time.monotonic() < deadline, (self.events, self.dropped)
            self.read()
        return self.events


def test_monitor_tells_each_query(larder, upstream, fresh):
    """Hits, misses, TCP, failures: once each, in order, as they were."""
    name, bad = fresh(), fresh()
    with Monitor(larder) as watch:
        assert watch.events == []
        start = time.time()
        with larder.udp_socket() as sock:
            sock.settimeout(3)
            port = sock.getsockname()[1]
            sock.send(query(name.upper()))
            sock.recv(4096)
        larder.ask(name)
        larder.ask_tcp(name, "AAAA")
        upstream.handler = lambda ctx: ctx.send(reply(ctx.msg, rcode=2))
        larder.ask(bad)
        larder.ask("localhost.")
        larder.udp(query(name)[:20])    # cut off: FORMERR
        miss, hit, tcp, failed, local, cut = watch.until(6)
        assert watch.dropped == 0
        assert miss == {
            "time_us": miss["time_us"], "client": "127.0.0.1", "port": port,
            "transport": "udp", "name": name, "type": "A",
            "rcode": "NOERROR", "outcome": "miss",
            "duration_us": miss["duration_us"],
            "upstream": "udp://" + upstream.url}
        assert hit["outcome"] == "hit" and hit["upstream"] is None
        assert hit["name"] == name
        assert tcp["transport"] == "tcp" and tcp["type"] == "AAAA"
        assert failed["name"] == bad and failed["rcode"] == "SERVFAIL"
        assert failed["upstream"] == "udp://" + upstream.url
        assert local["outcome"] == "local" and local["name"] == "localhost."
        assert cut["outcome"] == "refused" and cut["rcode"] == "FORMERR"
        assert cut["name"] is None and cut["type"] is None
        times = [e["time_us"] / 1e6 for e in watch.events]
        assert times == sorted(times)
        assert start - 1 < times[0] and times[-1] < time.time() + 1
        assert all(0 <= e["duration_us"] < 5000000 for e in watch.events)


def test_monitor_filters(larder, upstream, fresh):
    """Only what fits is told, whoever else sees the rest."""
    top = fresh()
    below = "www." + top
    with Monitor(larder) as every, \
            Monitor(larder, name=top, subtree=True) as tree, \
            Monitor(larder, name=top) as exact, \
            Monitor(larder, type="AAAA") as aaaa, \
            Monitor(larder, outcome="hit") as hits, \
            Monitor(larder, client="192.0.2.0/24") as strangers, \
            Monitor(larder, client="127.0.0.0/8") as home, \
            Monitor(larder, slower_us=500000) as late, \
            Monitor(larder, rcode="SERVFAIL") as failing:
        upstream.handler = slow(0.6)
        larder.ask(top)
        larder.ask(top)
        upstream.handler = answer_default
        larder.ask(below, "AAAA")
        upstream.handler = lambda ctx: ctx.send(reply(ctx.msg, rcode=2))
        larder.ask(fresh())
        every.until(4)
        # One that fits them all but for `strangers` ends the waiting.
        for watch, names in ((tree, [top, top, below]), (exact, [top, top]),
                             (aaaa, [below]), (hits, [top]), (late, [top]),
                             (home, [e["name"] for e in every.events])):
            watch.until(len(names))
            assert [e["name"] for e in watch.events] == names
            assert watch.dropped == 0
        event, = failing.until(1)
        assert event["rcode"] == "SERVFAIL"
        strangers.read()        # at the latest after two seconds
        assert strangers.events == []


def test_monitor_says_that_it_is_there(larder):
    """While there is nothing to tell, a sign every two seconds."""
    with Monitor(larder) as watch:
        start = time.monotonic()
        assert watch.read() == 0
        assert 1 < time.monotonic() - start < 5


@pytest.mark.parametrize("parameters, wrong", [
    ({"name": "a..b"}, "name"), ({"type": "A9"}, "type"),
    ({"client": "localhost"}, "client"), ({"slower_us": -1}, "slower_us"),
    ({"outcome": "won"}, "outcome"), ({"rcode": 2}, "rcode"),
    ({"subtree": True}, "subtree"), ({"names": "a"}, "names")])
def test_monitor_refuses_what_makes_no_sense(larder, parameters, wrong):
    with Varlink(larder.control) as link:
        answer = link.call("io.larder.Monitor", parameters, more=True)
        assert answer["error"] == "org.varlink.service.InvalidParameter"
        assert answer["parameters"] == {"parameter": wrong}
        answer = link.call("io.larder.Monitor", {})
        assert answer["error"] == "org.varlink.service.ExpectedMore"
        # The connection is as good as before.
        assert "version" in link.call("io.larder.Status")["parameters"]


def test_monitor_has_a_bound_of_watchers(larder):
    """The seventeenth is told so; once one leaves there is room again."""
    watching = [Monitor(larder) for _ in range(16)]
    with Varlink(larder.control) as link:
        answer = link.call("io.larder.Monitor", {}, more=True)
        assert answer["error"] == "io.larder.Busy"
        watching.pop().link.sock.close()
        deadline = time.monotonic() + 5
        while "error" in link.call("io.larder.Monitor", {}, more=True):
            assert time.monotonic() < deadline
    larder.alive()
    assert watching[0].until(1)
    for watch in watching:
        watch.link.sock.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be others")
def test_monitor_is_for_those_who_may_see_names(larder):
    os.chmod(larder.control, 0o666)
    try:
        answer, = ask_as(larder, 12345, [("Monitor", {})])
        assert answer["error"] == "org.varlink.service.PermissionDenied"
    finally:
        os.chmod(larder.control, 0o660)


def flood(larder, names, count, answered):
    """Asks for each name in turn, some at a time, and counts the answers."""
    with larder.udp_socket() as sock:
        sock.settimeout(5)
        wires = [query(name) for name in names]
        for at in range(0, count, 32):
            part = min(32, count - at)
            for n in range(at, at + part):
                sock.send(wires[n % len(wires)])
            for _ in range(part):
                if len(sock.recv(4096)) > 12:
                    answered.append(1)


def test_monitor_under_load_loses_no_answer(upstream):
    """A watcher that reads, one that does not, one that comes and goes: each
    query is answered, and each is told of or counted as left out."""
    count = 20000
    with Larder([upstream], conf={"threads": 2}) as larder:
        names = [fresh_name() for _ in range(20)]
        for name in names:
            larder.ask(name)
        answered, told = [], []
        with Monitor(larder) as watch, Monitor(larder) as sleeper:
            sleeper.link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                         4096)
            reader = threading.Thread(target=lambda: told.append(
                len(watch.until(count, 60))))
            asker = threading.Thread(target=flood, args=(
                larder, names, count, answered))
            reader.start()
            asker.start()
            while asker.is_alive():
                Monitor(larder).link.sock.close()
            asker.join()
            reader.join()
            assert len(answered) == count
            assert len(watch.events) + watch.dropped == count
            assert told and told[0] > 0
            assert {e["name"] for e in watch.events} <= set(names)
            # The one that slept hears what it has missed, when it wakes.
            sleeper.until(count)
            assert sleeper.dropped > 0
            assert len(sleeper.events) + sleeper.dropped == count
            assert larder.stats()["counters"]["replies_lost"] == 0


def anonymous_kib(larder, field="RssAnon"):
    status = Path(f"/proc/{larder.pid}/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", status)[1])


def test_rings_are_given_back(upstream):
    """What watching takes of memory goes with the last watcher, while queries
    are answered; and whoever watches next has all that he needs."""
    with Larder([upstream], conf={"threads": 2}) as larder:
        name = fresh_name()
        larder.ask(name)

        def ask():
            answered = []
            for _ in range(64):     # sockets, for both workers
                flood(larder, [name], 320, answered)
            assert len(answered) == 64 * 320

        ask()
        before = anonymous_kib(larder)
        with Monitor(larder) as watch:
            ask()
            watch.until(64 * 320)
            during = anonymous_kib(larder)
        if anonymous_kib(larder, "VmSize") < 1 << 20:   # no sanitizer
            assert during - before > 1024
            wait_for(lambda: anonymous_kib(larder) < before + 400)
        for _ in range(20):
            asker = threading.Thread(target=flood, args=(
                larder, [name], 64, []))
            asker.start()
            Monitor(larder).link.sock.close()
            asker.join()
        with Monitor(larder) as watch:
            larder.ask(name)
            assert watch.until(1)[-1]["name"] == name


def test_watcher_that_never_reads_is_cut_off(upstream):
    """It holds a queue and one reply, and after 10 s nothing."""
    with Larder([upstream]) as larder:
        assert larder.ctl("log", "info").returncode == 0
        name = fresh_name()
        larder.ask(name)
        with Monitor(larder) as sleeper:
            sleeper.link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                         4096)
            deadline = time.monotonic() + 30
            while "does not read its replies" not in larder.log():
                assert time.monotonic() < deadline
                flood(larder, [name], 64, [])
                time.sleep(0.01)
            assert sleeper.link.is_closed(timeout=3)
        larder.alive()


class Ctl:
    """larderctl monitor, until it is left."""

    def __init__(self, larder, *args):
        self.proc = subprocess.Popen(
            [find_binary("larderctl"), "--socket", larder.control, "monitor",
             *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "TZ": "UTC"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proc.kill()
        self.proc.communicate()

    def lines(self, larder, name, count):
        """Asks until it has told of something, then reads so many lines."""
        stop = threading.Event()

        def ask():
            while not stop.wait(0.02):
                larder.ask(name)

        asker = threading.Thread(target=ask)
        asker.start()
        try:
            return [self.proc.stdout.readline() for _ in range(count)]
        finally:
            stop.set()
            asker.join()


def test_larderctl_monitor(larder, fresh):
    """Lines for people, JSON lines for programs, filters for both."""
    name = fresh()
    larder.ask(name)
    with Ctl(larder) as ctl:
        for line in ctl.lines(larder, name, 2):
            assert re.fullmatch(
                r"\d\d:\d\d:\d\d\.\d{3} +\S+ .s  hit     NOERROR  udp "
                rf"127\.0\.0\.1 +{re.escape(name)} A\n", line), line
    with Ctl(larder, "--json", name.rstrip("."), "--type", "A", "--client",
             "127.0.0.1", "--outcome", "hit", "--rcode", "noerror",
             "--slower", "1us") as ctl:
        for line in ctl.lines(larder, name, 2):
            assert json.loads(line)["name"] == name
    # Whoever reads no more ends it.
    with Ctl(larder) as ctl:
        ctl.lines(larder, name, 1)
        ctl.proc.stdout.close()
        deadline = time.monotonic() + 5
        while ctl.proc.poll() is None:
            assert time.monotonic() < deadline
            larder.ask(name)
            time.sleep(0.01)
        ctl.proc.stdout = None


@pytest.mark.parametrize("args", [
    ("--slower", "soon"), ("a..b",), ("--type", "A9"), ("--subtree",),
    ("a", "b")])
def test_larderctl_monitor_misused(larder, args):
    done = larder.ctl("monitor", *args)
    assert done.returncode == 2 and done.stderr.startswith("larderctl: ")
    assert larder.ctl("status", "--type", "A").returncode == 2


def test_names_in_lines_are_harmless(upstream):
    """What a name holds can neither end a line nor reach a terminal."""
    with Larder([upstream]) as larder:
        wire = query(".")
        wire = wire[:12] + HOSTILE + wire[13:]
        with Monitor(larder) as watch, Ctl(larder) as ctl:
            stop = threading.Event()

            def ask():
                while not stop.wait(0.02):
                    larder.udp(wire)

            asker = threading.Thread(target=ask)
            asker.start()
            line = ctl.proc.stdout.readline()
            stop.set()
            asker.join()
            while HOSTILE_TEXT not in {e["name"] for e in watch.events}:
                watch.read()
        assert f" {HOSTILE_TEXT} A" in line and line[:-1].isprintable()
        larder.alive()


# --- query log --------------------------------------------------------------

def wait_for(what, seconds=10):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def logged(larder):
    """[{key: value}, …] of the lines about queries."""
    return [dict(re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', line))
            for line in larder.log().splitlines()
            if line.startswith("query client=")]


def test_query_log_is_off_and_switched(upstream):
    """Nothing at first; then a line for each query; then nothing again."""
    with Larder([upstream]) as larder:
        assert larder.ctl("log", "error").returncode == 0
        larder.ask(fresh_name())
        name = fresh_name()
        done = larder.ctl("log", "queries", "on")
        assert done.returncode == 0 and "logged none" in done.stdout
        larder.ask(name)
        larder.ask(name)
        wire = query(".")
        larder.udp(wire[:12] + HOSTILE + wire[13:])
        wait_for(lambda: len(logged(larder)) == 3)
        miss, hit, hostile = logged(larder)
        assert miss == {
            "client": "127.0.0.1", "transport": "udp", "type": "A",
            "rcode": "NOERROR", "outcome": "miss", "name": name,
            "duration_us": miss["duration_us"],
            "upstream": "udp://" + upstream.url}
        assert hit["outcome"] == "hit" and hit["upstream"] == "-"
        assert hostile["name"] == '"' + HOSTILE_TEXT.replace(
            "\\", "\\\\") + '"'
        done = larder.ctl("log", "queries", "off")
        assert done.returncode == 0 and "logged each" in done.stdout
        with Monitor(larder) as watch:
            larder.ask(name)
            watch.until(1)
        assert len(logged(larder)) == 3
        assert larder.ctl("log", "queries").returncode == 2
        # The configuration counts again after a reload.
        larder.rewrite({"query-log": True})
        assert larder.ctl("reload").returncode == 0
        larder.ask(name)
        wait_for(lambda: len(logged(larder)) == 4)


def test_query_log_has_a_place_of_its_own(upstream):
    """As many watchers as may be cannot keep it off, nor it one of them."""
    with Larder([upstream]) as larder:
        watching = [Monitor(larder) for _ in range(16)]
        name = fresh_name()
        larder.ask(name)
        done = larder.ctl("log", "queries", "on")
        assert done.returncode == 0, done.stderr
        larder.ask(name)
        wait_for(lambda: len(logged(larder)) == 1)
        with Varlink(larder.control) as link:
            answer = link.call("io.larder.Monitor", {}, more=True)
            assert answer["error"] == "io.larder.Busy"
            # It comes and goes, and they do.
            assert larder.ctl("log", "queries", "off").returncode == 0
            answer = link.call("io.larder.Monitor", {}, more=True)
            assert answer["error"] == "io.larder.Busy"
            assert larder.ctl("log", "queries", "on").returncode == 0
            watching.pop().link.sock.close()
            wait_for(lambda: "error" not in link.call(
                "io.larder.Monitor", {}, more=True))
        for watch in watching:
            watch.link.sock.close()


def test_query_log_loses_no_count(upstream):
    """Under load each query is a line, or counted in one that says so."""
    count = 20000
    with Larder([upstream], conf={"query-log": True}) as larder:
        name = fresh_name()
        answered = []
        larder.ask(name)
        flood(larder, [name], count, answered)
        assert len(answered) == count

        def told():
            left_out = re.findall(r"query log: (\d+) queries came too fast",
                                  larder.log())
            return len(logged(larder)) + sum(map(int, left_out))
        wait_for(lambda: told() == count + 1, 30)


def test_query_log_into_a_pipe_that_nobody_reads(upstream, tmp_path):
    """The lines of queries fill half of it at most: neither an answer nor
    another line nor the end waits for whoever should read them."""
    port, conf = free_port(), tmp_path / "larder.yaml"
    conf.write_text(json.dumps({
        "listen": [f"127.0.0.1:{port}"], "forward": [upstream.url],
        "control-socket": "", "state-directory": "", "query-log": True}))
    proc = subprocess.Popen([find_binary("larderd"), "--config", conf],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
    try:
        while b"ready: " not in proc.stderr.readline():
            assert proc.poll() is None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", port))
            sock.settimeout(5)
            name = fresh_name()
            for n in range(3000):       # some 400 KiB of lines
                sock.send(query(name))
                assert len(sock.recv(4096)) > 12
                if n % 1000 == 999:     # which is told in a line or two
                    proc.send_signal(signal.SIGHUP)
        proc.send_signal(signal.SIGTERM)
        assert proc.wait(5) == 0
        assert b"terminated: stopping" in proc.stderr.read()
    finally:
        proc.kill()
        proc.wait()
        proc.stdout.close()
        proc.stderr.close()
