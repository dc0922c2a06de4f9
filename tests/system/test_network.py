"""The network under larderd changes, and so does time.

In a network namespace of its own larderd asks an upstream that stands in a
second one, at the other end of a veth pair.  When the way to that upstream
changes, its connections and its breaker begin anew; what happens on other
interfaces is nobody's concern.  A process that was stopped for a while does
not know what has become of its connections either.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time

import pytest

from harness import (SERVFAIL, Larder, Opt, Upstream, eventually, fresh_name,
                     in_netns, parse, query)

HERE, THERE, MOVED = "198.51.100.1", "198.51.100.53", "198.51.100.2"


# --- two networks -----------------------------------------------------------

def ip(*words):
    subprocess.run(["ip", *" ".join(words).split()], check=True, timeout=10)


def ip_batch(*lines):
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), check=True,
                   text=True, timeout=20)


class Elsewhere:
    """A second network namespace, with a thread that works in it."""

    def __enter__(self):
        self._work, self._done, self.tid = queue.Queue(), queue.Queue(), None
        self._thread = threading.Thread(target=self._live)
        self._thread.start()
        self._take()
        return self

    def __exit__(self, *_):
        self._work.put(None)
        self._thread.join()

    def _live(self):
        try:
            in_netns(self._serve)
        except BaseException as error:      # handed to the other side
            self._done.put(error)

    def _serve(self):
        self.tid = threading.get_native_id()
        self._done.put(self)
        while work := self._work.get():
            self._done.put(work())

    def _take(self):
        got = self._done.get(timeout=10)
        if isinstance(got, BaseException):
            raise got
        return got

    def run(self, work):
        self._work.put(work)
        return self._take()


@contextlib.contextmanager
def upstream_elsewhere():
    """An upstream at THERE, to be asked from HERE.  A test may move to
    another address, and the upstream then answers that one alone."""
    with Elsewhere() as there:
        ip("link add way type veth peer name back")
        ip(f"link set back netns {there.tid}")
        ip(f"addr add {HERE}/24 dev way")
        ip("link set way up")
        there.run(lambda: ip(f"addr add {THERE}/24 dev back"))
        there.run(lambda: ip("link set back up"))
        with there.run(lambda: Upstream(THERE, 5353)) as upstream:
            yield upstream


def networked(test):
    """Runs a test in a namespace of its own, or skips it where that is not
    allowed."""
    def run():
        try:
            in_netns(test)
        except PermissionError as error:
            pytest.skip(f"no network namespace: {error}")

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def move():
    """This host gets another address, and loses the old one."""
    ip_batch(f"addr del {HERE}/24 dev way", f"addr add {MOVED}/24 dev way")


def larder_with(forward, **conf):
    """One that tells of changes, and learns as users' does."""
    return Larder([forward], conf={"log-level": "info", **conf},
                  steady=False)


# --- looking ----------------------------------------------------------------

def shown(larder):
    done = larder.ctl("--json", "upstreams")
    assert done.returncode == 0, done.stderr
    (one,) = json.loads(done.stdout)["upstreams"]
    return one


AT_ONCE = 2         # seconds: whoever waits for nothing is answered before 4


def timed(larder, name, **kw):
    start = time.monotonic()
    msg = larder.ask(name, **kw)
    return msg, time.monotonic() - start


def answered_by_first_try(larder):
    """A new question is: it did not wait on a connection that is gone."""
    done = larder.ctl("--json", "trace", fresh_name())
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return told["flight"]["tries"][0]["result"] == "answer"


def changes(larder):
    return larder.log().count("the way to upstream")


class Asking(threading.Thread):
    """A question in a thread: .msg, and .done_at, when its reply came.  The
    socket is made by whoever asks, and so belongs to their network."""

    def __init__(self, larder, name, seconds=6):
        super().__init__()
        self.msg, self.done_at = None, None
        self._sock = larder.udp_socket()
        self._sock.settimeout(seconds)
        self._sock.send(query(name, opt=Opt()))
        self.start()

    def run(self):
        with self._sock, contextlib.suppress(TimeoutError):
            self.msg = parse(self._sock.recv(65535))
        self.done_at = time.monotonic()


def open_breaker(larder):
    """Two names that get no answer, and larderd notices."""
    for _ in range(2):
        Asking(larder, fresh_name())
    eventually(lambda: shown(larder)["state"] == "open")


# --- the way changes --------------------------------------------------------

@networked
def test_address_changes_connection_anew():
    """The address from which a connection was opened is gone: the next
    question takes a new one at once, instead of waiting on the old one."""
    with upstream_elsewhere() as upstream, \
            larder_with(f"tcp://{upstream.url}") as larder:
        for _ in range(5):
            assert larder.ask(fresh_name()).a()
        assert {e.conn for e in upstream.log} == {1}
        move()
        eventually(lambda: changes(larder) == 1)
        assert answered_by_first_try(larder)
        assert upstream.log[-1].conn == 2
        assert upstream.log[-1].src[0] == MOVED


@networked
def test_address_changes_breaker_anew():
    """The upstream answers another address of ours only: the breaker opens,
    and closes when we get that address; whoever waits is answered then, and
    what was held against the name is void."""
    with upstream_elsewhere() as upstream, \
            larder_with(upstream) as larder:
        upstream.knows_root = False
        # Not the root, so that no probe closes the breaker.
        upstream.handler = (lambda ctx: ctx.src[0] == MOVED
                            and ctx.name != "." and ctx.default())
        open_breaker(larder)
        assert shown(larder)["opened"] == {"silent": 1}
        held = Asking(larder, "held.example.")
        held.join()
        assert held.msg.rcode == SERVFAIL
        parked = Asking(larder, fresh_name())
        move()
        eventually(lambda: shown(larder)["state"] == "good")
        good_at = time.monotonic()
        parked.join()
        assert parked.msg.a(), parked.msg
        assert parked.done_at - good_at < AT_ONCE
        msg, took = timed(larder, "held.example.")
        assert msg.a() and took < AT_ONCE, (msg, took)
        assert shown(larder)["recovered"] >= 1
        assert changes(larder) == 1


@networked
def test_way_goes_and_comes_back():
    """No route: SERVFAIL with EDE 22 or 23 at once.  When it is back, the same
    name is answered at once: no failure outlives the outage."""
    with upstream_elsewhere() as upstream, \
            larder_with(upstream) as larder:
        assert larder.ask(fresh_name()).a()
        ip("link set way down")
        eventually(lambda: changes(larder) == 1)
        names = [fresh_name() for _ in range(4)]
        for name in names:
            msg = larder.ask(name, opt=Opt())
            assert msg.rcode == SERVFAIL, msg
        msg, took = timed(larder, names[0], opt=Opt())
        assert msg.rcode == SERVFAIL and took < AT_ONCE, (msg, took)
        assert msg.ede and msg.ede[0][0] in (22, 23), msg.ede
        ip("link set way up")
        eventually(lambda: changes(larder) == 2)
        for name in names:
            msg, took = timed(larder, name)
            assert msg.a() and took < AT_ONCE, (msg, took)
        assert shown(larder)["state"] == "good"


@networked
def test_others_flap():
    """Fifty times another interface comes, with address and route, and goes:
    the connection stays, the breaker stays open, nothing begins anew."""
    patient = {"resend-after": "1s"}        # on a slow machine, too
    with upstream_elsewhere() as upstream, \
            larder_with(f"tcp://{upstream.url}", **patient) as larder:
        ip("link add other type veth peer name end")
        ip("link set end up")
        assert larder.ask(fresh_name()).a()
        before = shown(larder)
        for n in range(50):
            ip_batch("link set other up", "addr add 203.0.113.1/24 dev other",
                     "route add 192.0.2.0/24 via 203.0.113.9",
                     "addr del 203.0.113.1/24 dev other",
                     "link set other down")
            time.sleep(0.02)        # over several times of settling
            if n % 10 == 0:
                assert larder.ask(fresh_name()).a()
        time.sleep(0.4)             # the last news have been looked at
        assert larder.ask(fresh_name()).a()
        after = shown(larder)
        assert changes(larder) == 0
        assert {e.conn for e in upstream.log} == {1}
        for key in ("state", "opened", "suspected", "recovered",
                    "control_questions"):
            assert after[key] == before[key], key


@networked
def test_others_flap_while_open():
    """Nor does an open breaker close for it."""
    with upstream_elsewhere() as upstream, \
            larder_with(upstream) as larder:
        upstream.knows_root = False
        upstream.handler = lambda ctx: None
        ip("link add other type veth peer name end")
        open_breaker(larder)
        for _ in range(10):
            ip_batch("link set other up", "addr add 203.0.113.1/24 dev other",
                     "addr del 203.0.113.1/24 dev other",
                     "link set other down")
        time.sleep(0.4)
        after = shown(larder)
        assert after["state"] == "open" and after["recovered"] == 0, after
        assert changes(larder) == 0


@networked
def test_route_changes():
    """A more exact route by way of a gateway: another way, though interface
    and address stay; a route to somewhere else: none."""
    with upstream_elsewhere() as upstream, \
            larder_with(f"tcp://{upstream.url}") as larder:
        assert larder.ask(fresh_name()).a()
        ip(f"route add 203.0.113.0/24 via {THERE}")
        time.sleep(0.5)
        assert changes(larder) == 0
        ip(f"neigh add {MOVED} lladdr 02:00:00:00:00:99 dev way")
        ip(f"route add {THERE}/32 via {MOVED}")
        eventually(lambda: changes(larder) == 1)
        ip(f"route del {THERE}/32 via {MOVED}")
        eventually(lambda: changes(larder) == 2)
        msg, took = timed(larder, fresh_name())
        assert msg.a() and took < AT_ONCE, (msg, took)


# --- the process was stopped ------------------------------------------------

def stop_for(larder, seconds, meanwhile):
    os.kill(larder.pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
        meanwhile()
    finally:
        os.kill(larder.pid, signal.SIGCONT)


def test_stopped_with_an_open_breaker():
    """Stopped for more than 5 s and continued: what was held against the
    upstream says nothing any more, and the first question is answered at
    once."""
    with Upstream() as upstream, larder_with(upstream) as larder:
        upstream.knows_root = False
        upstream.handler = lambda ctx: None
        open_breaker(larder)
        first = []

        def meanwhile():
            # Not the root, so that no probe closes the breaker.
            upstream.handler = lambda ctx: ctx.name != "." and ctx.default()
            first.append(Asking(larder, fresh_name()))

        stop_for(larder, 6, meanwhile)
        continued_at = time.monotonic()
        first[0].join()
        assert first[0].msg.a(), first[0].msg
        assert first[0].done_at - continued_at < AT_ONCE
        assert shown(larder)["state"] == "good"


def test_stopped_with_an_open_connection():
    """Stopped for more than 5 s while idle: the connection that was open then
    has died meanwhile, and the first question does not wait on it."""
    with Upstream() as upstream, \
            larder_with(f"tcp://{upstream.url}") as larder:
        for _ in range(5):
            assert larder.ask(fresh_name()).a()

        def meanwhile():
            upstream.handler = lambda ctx: ctx.conn != 1 and ctx.default()

        stop_for(larder, 6, meanwhile)
        msg, took = timed(larder, fresh_name())
        assert msg.a() and took < 0.9, (msg, took)      # silence: one second
