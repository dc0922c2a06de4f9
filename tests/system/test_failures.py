"""Failures and how long they are held: conformance section 12, rows FAIL-*.

Most tests here live by the clock of clockshim.py, since holds last seconds and
minutes.  "Held" means: SERVFAIL, and nothing reaches any server.

Of FAIL-08 the refresh before expiry comes with section 13; what else may fail
beside good data is shown here.
"""

import contextlib
import os
import random
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from clockshim import clock, clock_library, module_clock    # noqa: F401
from harness import (FORMERR, NOERROR, NOTIMP, NXDOMAIN, REFUSED, SERVFAIL,
                     Larder, Opt, Upstream, answer_default, check_error,
                     eventually, fresh_name, parse, query, reply, rr, soa)

GOOD = "192.0.2.1"
FIRST, MOST = 5, 60         # FAIL_FIRST and FAIL_MAX, the defaults
CACHED_ERROR = 13

# Where servers answer, nothing is to be sent twice on a slow machine; where
# they are silent, all is to be over soon.
PATIENT = {"resend-after": "1s"}
SHORT = {"resend-after": "30ms", "query-timeout": "300ms",
         "resolve-timeout": "500ms"}


class Book:
    """What all servers say, by the name asked."""

    def __init__(self):
        self.rules = {}

    def __setitem__(self, name, rule):
        self.rules[name] = rule

    def __delitem__(self, name):
        del self.rules[name]

    def __call__(self, ctx):
        self.rules.get(ctx.name, answer_default)(ctx)


def silent(ctx):
    """Nothing comes back."""


def code(rcode, **kw):
    return lambda ctx: ctx.send(reply(ctx.msg, rcode=rcode, **kw))


def says_a(ttl, address=GOOD):
    return lambda ctx: ctx.send(
        reply(ctx.msg, [rr(ctx.name, "A", ttl, address)]))


@pytest.fixture(scope="module")
def module_larder(module_upstream):
    with Larder([module_upstream], conf=PATIENT) as larder:
        yield larder


@pytest.fixture(scope="module")
def book():
    return Book()


@pytest.fixture(scope="module")
def servers(book):
    with contextlib.ExitStack() as stack:
        both = [stack.enter_context(Upstream()) for _ in range(2)]
        for server in both:
            server.handler = book
        yield both


@pytest.fixture(scope="module")
def quick(servers, module_clock):
    """A larder of two servers that lives by the clock and soon gives up."""
    with Larder(servers, conf={**SHORT, **PATIENT},
                env=module_clock.env) as larder:
        yield larder


@contextlib.contextmanager
def house(book, size=2, conf=None, env=None, **kw):
    """Servers and a larder of a test's own: what it learns, it forgets."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Upstream()) for _ in range(size)]
        for server in servers:
            server.handler = book
        yield servers, stack.enter_context(
            Larder(servers, conf={**PATIENT, **(conf or {})}, env=env, **kw))


def count(servers, name, qtype=None):
    return sum(server.count(name, qtype) for server in servers)


def check_held(larder, servers, name, qtype="A", codes=(SERVFAIL,), **kw):
    """The question costs nothing and has its error at once."""
    before = count(servers, name)
    began = time.monotonic()
    msg = larder.ask(name, qtype, **kw)
    assert msg is not None and msg.rcode in codes, msg
    assert msg.counts[1:3] == (0, 0), msg
    assert time.monotonic() - began < 2, "a held failure answers at once"
    assert count(servers, name) == before, "a held failure is quiet"
    return msg


# --- what is held -----------------------------------------------------------

FAILURES = {
    "servfail": code(SERVFAIL), "refused": code(REFUSED),
    "notimp": code(NOTIMP), "formerr": code(FORMERR), "silence": silent,
    "formerr without OPT": code(FORMERR, opt=None),
    "referral": code(NOERROR, authority=[rr("example.", "NS", 300, "ns.x.")]),
    "code 9": code(9), "code 23": code(23),
}


@pytest.mark.parametrize("what", FAILURES)
def test_fail_01_failures_are_held(clock, what):
    """FAIL-01: all servers fail: SERVFAIL without traffic for 5 s."""
    book, name = Book(), fresh_name()
    book[name] = FAILURES[what]
    # Where all servers said REFUSED, C may hear that again (FWD-05).
    codes = (SERVFAIL, REFUSED) if what == "refused" else (SERVFAIL,)
    with house(book, conf=SHORT if what == "silence" else None,
               env=clock.env) as (servers, larder):
        msg = larder.ask(name, opt=Opt())
        assert msg is not None and msg.rcode == codes[-1], msg
        # The work for it may end after C's answer.
        eventually(lambda: larder.stats()["gauges"]["flights"] == 0)
        sends = count(servers, name)
        assert all(server.count(name) for server in servers)
        for passed, kw in ((0, {}), (0, {"opt": Opt()}), (1, {}),
                           (FIRST - 3, {})):
            clock.pass_by(passed)
            check_held(larder, servers, name, codes=codes, **kw)
            assert larder.ask_tcp(name.upper()).rcode in codes
            assert count(servers, name) == sends
        clock.pass_by(2.2)
        del book[name]
        assert larder.ask(name).a() == [GOOD]
        assert count(servers, name) > sends


def test_fail_01_waiting_clients_do_not_start_another():
    """FAIL-01: who asks again after SERVFAIL, before all work is over, gets
    SERVFAIL in time and causes no second search."""
    book, name = Book(), fresh_name()
    book[name] = silent
    with house(book, conf=SHORT) as (servers, larder):
        began = time.monotonic()
        while time.monotonic() - began < 1.0:
            msg = larder.ask(name)
            assert msg is not None and msg.rcode == SERVFAIL, msg
            time.sleep(0.02)
        for server in servers:
            for proto in ("udp", "tcp"):
                assert server.count(name, proto=proto) <= 3


@pytest.mark.parametrize("settings", [
    {"failure-ttl": "999ms"}, {"failure-ttl": "0s"}, {"failure-ttl": "301s"},
    {"failure-ttl": "5m", "failure-ttl-max": "301s"},
    {"failure-ttl-max": "1h"}, {"failure-ttl-max": "500ms"},
    {"failure-ttl": "10s", "failure-ttl-max": "9s"},
], ids=lambda s: " ".join(f"{k}={v}" for k, v in s.items()))
def test_fail_02_out_of_range(upstream, settings):
    """FAIL-02: a hold under 1 s or over 300 s is refused at start."""
    with Larder([upstream], conf={"cache": settings},
                expect_start=False) as larder:
        assert larder.proc.returncode == 1
        assert "failure-ttl" in larder.log()


def test_fail_02_shortest_hold():
    """FAIL-02: the shortest hold is a second by the real clock."""
    book, name = Book(), fresh_name()
    book[name] = code(SERVFAIL)
    with house(book, 1, {"cache": {"failure-ttl": "1s",
                                   "failure-ttl-max": "1s"}}) as (
            (server,), larder):
        # Of each question: when it was sent, whether it reached the server,
        # and when it was answered.  A hold lies between two that did.
        asked, deadline = [], time.monotonic() + 20
        while server.count(name) < 3:
            assert time.monotonic() < deadline, asked
            before, sent = server.count(name), time.monotonic()
            assert larder.ask(name).rcode == SERVFAIL
            asked.append((sent, server.count(name) > before, time.monotonic()))
            time.sleep(0.02)
        places = [i for i, (_, reached, _) in enumerate(asked) if reached]
        for one, next_ in zip(places, places[1:]):
            assert asked[next_][2] - asked[one][0] >= 1, "held too briefly"
            assert asked[next_ - 1][0] - asked[one][2] < 1.1, "held too long"


def test_fail_02_longest_hold(clock):
    """FAIL-02: the longest is 300 s, and it does not grow past that."""
    book, name = Book(), fresh_name()
    book[name] = code(SERVFAIL)
    with house(book, 1, {"cache": {"failure-ttl": "5m",
                                   "failure-ttl-max": "5m"}},
               env=clock.env) as ((server,), larder):
        assert larder.ask(name).rcode == SERVFAIL
        for round_ in (1, 2, 3):
            clock.pass_by(298)
            check_held(larder, [server], name)
            clock.pass_by(3)
            assert larder.ask(name).rcode == SERVFAIL
            assert server.count(name) == round_ + 1


# --- how long ---------------------------------------------------------------

def fail_times(larder, server, clock, name, until):
    """When questions reached U, C asking every 100 ms until then (seconds):
    each time as the earliest and the latest that it may have been."""
    began = last = clock.now()
    times, seen = [], server.count(name)
    with larder.udp_socket() as sock:
        sock.settimeout(3)
        while True:
            now = clock.now() - began
            sock.send(query(name))
            assert parse(sock.recv(4096)).rcode == SERVFAIL
            if server.count(name) != seen:
                seen = server.count(name)
                times.append((last - began, clock.now() - began))
            last = began + now
            if now > until:
                return times
            clock.pass_by(0.1)


def check_times(times, expected):
    """Each hold is as long as it should be, give or take the asking."""
    assert len(times) == len(expected) + 1, (times, expected)
    for one, other, due in zip(times, times[1:], expected):
        assert due - 0.25 <= other[1] - one[0], (times, expected)
        assert other[0] - one[1] < due + 0.5, (times, expected)


def test_fail_03_holds_grow(clock):
    """FAIL-03: log at 0, 5, 15, 35, 75, 135, 195 s; anew after a success."""
    book, name = Book(), fresh_name()
    book[name] = code(SERVFAIL)
    with house(book, 1, env=clock.env) as ((server,), larder):
        check_times(fail_times(larder, server, clock, name, 199),
                    [5, 10, 20, 40, 60, 60])
        # One success, and all is as at the first time.
        book[name] = says_a(1)
        clock.pass_by(MOST)
        assert larder.ask(name).a() == [GOOD]
        clock.pass_by(2)
        book[name] = code(SERVFAIL)
        check_times(fail_times(larder, server, clock, name, 17), [5, 10])


def test_fail_03_other_settings(clock):
    """FAIL-03: `failure-ttl` and `failure-ttl-max` set both ends."""
    book, name = Book(), fresh_name()
    book[name] = code(SERVFAIL)
    with house(book, 1, {"cache": {"failure-ttl": "2s",
                                   "failure-ttl-max": "7s"}},
               env=clock.env) as ((server,), larder):
        check_times(fail_times(larder, server, clock, name, 21.5),
                    [2, 4, 7, 7])


@pytest.mark.parametrize("success", ["data", "nodata", "nxdomain"])
def test_fail_03_success_of_any_kind(clock, success):
    """FAIL-03: a denial is a success as good as data is."""
    book, name = Book(), fresh_name()
    good = {"data": says_a(1),
            "nodata": code(NOERROR, authority=[soa("example.", 1, 1)]),
            "nxdomain": code(NXDOMAIN, authority=[soa("example.", 1, 1)])}
    with house(book, 1, env=clock.env) as ((server,), larder):
        for passed in (0, FIRST + 1):           # the second holds for 10 s
            clock.pass_by(passed)
            book[name] = code(SERVFAIL)
            assert larder.ask(name).rcode == SERVFAIL
        assert server.count(name) == 2
        clock.pass_by(11)
        book[name] = good[success]
        assert larder.ask(name).rcode in (NOERROR, NXDOMAIN)
        clock.pass_by(2)
        book[name] = code(SERVFAIL)
        assert larder.ask(name).rcode == SERVFAIL
        assert server.count(name) == 4
        clock.pass_by(FIRST - 1)
        check_held(larder, [server], name)
        clock.pass_by(2)
        assert larder.ask(name).rcode == SERVFAIL
        assert server.count(name) == 5


# --- keys -------------------------------------------------------------------

def test_fail_04_by_name_and_type(book, servers, quick):
    """FAIL-04: A failed: AAAA, and other names, still go out."""
    name = fresh_name()
    below, beside = "a." + name, "x" + name
    book[name] = lambda ctx: ctx.send(
        reply(ctx.msg, rcode=SERVFAIL) if ctx.qtype == 1 else
        reply(ctx.msg, [rr(name, "AAAA", 300, "2001:db8::1")]))
    assert quick.ask(name, "A").rcode == SERVFAIL
    msg = quick.ask(name, "AAAA")
    assert msg.rcode == NOERROR and len(msg.answer) == 1, msg
    assert quick.ask(below).a() == [GOOD]
    assert quick.ask(beside).a() == [GOOD]
    check_held(quick, servers, name, "A")
    check_held(quick, servers, name.upper(), "A")
    assert len(quick.ask(name, "AAAA").answer) == 1
    assert count(servers, name, "AAAA") == 1


def test_fail_04_do_is_not_in_the_key(book, servers, quick):
    """FAIL-04: the key names no DO: who asks with it is answered, too."""
    for first, then in ((None, Opt(do=1)), (Opt(do=1), None)):
        name = fresh_name()
        book[name] = code(SERVFAIL)
        assert quick.ask(name, opt=first).rcode == SERVFAIL
        check_held(quick, servers, name, opt=then)


def test_fail_04_by_class(book, servers, quick):
    """FAIL-04: a class that is refused neither fails nor is answered by it."""
    name = fresh_name()
    assert quick.ask(name, qclass=3).rcode == REFUSED
    assert quick.ask(name).a() == [GOOD]
    name = fresh_name()
    book[name] = code(SERVFAIL)
    assert quick.ask(name).rcode == SERVFAIL
    assert quick.ask(name, qclass=3).rcode == REFUSED


def test_fail_04_by_route(upstream, fresh):
    """FAIL-04: what failed by one route is asked by another."""
    zone = fresh("corp")
    name = "a." + zone
    upstream.handler = code(SERVFAIL)
    with Upstream() as second, Larder([upstream], conf=PATIENT) as larder:
        assert larder.ask(name).rcode == SERVFAIL
        check_held(larder, [upstream], name)
        larder.rewrite({"routes": {zone: [second]}})
        done = larder.ctl("reload")
        assert done.returncode == 0, done.stderr
        assert larder.ask(name).a() == [GOOD]
        assert second.count(name) == 1


def test_fail_05_cd(book, servers, quick):
    """FAIL-05: SERVFAIL for CD=0, data for CD=1, and the other way round."""
    for failing in (0, 1):
        name = fresh_name()
        book[name] = lambda ctx, failing=failing: ctx.send(
            reply(ctx.msg, rcode=SERVFAIL) if ctx.msg.cd == failing
            else reply(ctx.msg, [rr(ctx.name, "A", 300, GOOD)]))
        assert quick.ask(name, cd=failing).rcode == SERVFAIL
        for _ in ("miss", "hit"):
            msg = quick.ask(name, cd=1 - failing)
            assert msg.a() == [GOOD] and msg.cd == 1 - failing, msg
        msg = check_held(quick, servers, name, cd=failing)
        assert msg.cd == failing


# --- how it shows -----------------------------------------------------------

@pytest.mark.parametrize("by", ["udp", "tcp"])
@pytest.mark.parametrize("what", ["servfail", "notimp", "silence", "code 9",
                                  "referral"])
def test_fail_06_cached_error(book, servers, quick, what, by):
    """FAIL-06: EDE 13 in the held reply, not in the first; only with OPT."""
    name = fresh_name()
    book[name] = FAILURES[what]
    ask = quick.ask if by == "udp" else quick.ask_tcp

    def check(held, opt):
        wire = query(name, opt=opt)
        msg = ask(name, opt=opt)
        check_error(wire, msg and parse(wire[:2] + msg.wire[2:]), SERVFAIL)
        codes = [c for c, _ in msg.ede]
        assert (CACHED_ERROR in codes) == held, codes
        assert len(codes) == len(set(codes)), codes

    check(False, Opt())
    eventually(lambda: quick.stats()["gauges"]["flights"] == 0)
    for opt in (Opt(), Opt(do=1), Opt(size=512)):
        check(True, opt)
    msg = ask(name)
    assert msg.rcode == SERVFAIL and msg.opt is None


# --- bounds -----------------------------------------------------------------

class Failing:
    """A UDP server in a process of its own that says SERVFAIL, fast."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind(("127.0.0.1", 0))
        self.url = "127.0.0.1:%d" % self.sock.getsockname()[1]
        self.pid = os.fork()
        if self.pid == 0:
            with contextlib.suppress(BaseException):
                self._serve()
            os._exit(0)

    def _serve(self):
        parent = os.getppid()
        self.sock.settimeout(1)
        while os.getppid() == parent:
            try:
                wire, src = self.sock.recvfrom(4096)
            except TimeoutError:
                continue
            question = wire[12:wire.index(0, 12) + 5]
            good = b"\4good\7example\0" in wire
            self.sock.sendto(
                wire[:2] + (b"\x81\x80\0\1\0\1\0\0\0\0" if good
                            else b"\x81\x82\0\1\0\0\0\0\0\0") + question
                + (b"\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4\xc0\0\2\1" if good
                   else b""), src)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        self.sock.close()


def flood(sock, names, rcode, window=48):
    """Asks all names, `window` at a time; every one must be answered."""
    names = iter(names)
    open_, ident = set(), 0
    while True:
        while len(open_) < window:
            name = next(names, None)
            if name is None:
                break
            ident = (ident + 1) & 0xFFFF
            open_.add(ident)
            sock.send(struct.pack("!6H", ident, 0x0100, 1, 0, 0, 0) + name
                      + b"\0\1\0\1")
        if not open_:
            return
        wire = sock.recv(4096)
        assert wire[3] & 15 == rcode, wire
        open_.remove(struct.unpack("!H", wire[:2])[0])


def memory_kib(pid, field):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise AssertionError(f"no {field} of {pid}")


def test_fail_07_the_store_is_bounded():
    """FAIL-07: a flood of failing random names takes no more than its room."""
    rng = random.Random(7)

    def junk(n):
        for _ in range(n):
            yield (b"\x3f%063x" % rng.getrandbits(252)) * 3 + b"\7example\0"

    good = [b"\4n%03d" % i + b"\4good\7example\0" for i in range(50)]
    with Failing() as server, Larder([server.url], conf={
            "cache": {"size": "1M"}}) as larder, larder.udp_socket() as sock:
        sock.settimeout(15)
        flood(sock, good * 4, NOERROR)
        start = memory_kib(larder.pid, "VmRSS")
        sanitized = memory_kib(larder.pid, "VmSize") > 1 << 30
        flood(sock, junk(2000), SERVFAIL)
        full = memory_kib(larder.pid, "VmRSS")
        flood(sock, junk(5000), SERVFAIL)
        later = memory_kib(larder.pid, "VmRSS")
        # 5000 names of 201 octets are 1 MB without anything beside them.
        if not sanitized:
            assert full - start < 3072, (start, full, later)
            assert later - full < 512, (start, full, later)
        # Still of use: what failed last is held, what was good is served.
        last = [b"\4last\3%03d" % i + b"\7example\0" for i in range(20)]
        flood(sock, last * 2, SERVFAIL)
        flood(sock, good, NOERROR)


# --- what a failure must leave alone ----------------------------------------

def test_fail_08_good_data_stays(clock):
    """FAIL-08: whatever fails beside it, data serves to its end."""
    book, name = Book(), fresh_name()
    with house(book, 1, env=clock.env) as ((server,), larder):
        book[name] = says_a(60)
        assert [r.ttl for r in larder.ask(name).answer] == [60]
        book[name] = code(SERVFAIL)
        for qtype, kw in (("AAAA", {}), ("A", {"cd": 1}),
                          ("A", {"opt": Opt(do=1)}), ("TXT", {"cd": 1})):
            msg = larder.ask(name, qtype, **kw)
            assert msg is not None
            assert msg.rcode == SERVFAIL or msg.a() == [GOOD], msg
        seen = server.count(name)
        for passed, left in ((0, 60), (30, 30), (27, 3)):
            clock.pass_by(passed)
            msg = larder.ask(name)
            assert msg.a() == [GOOD], msg       # and a slow machine's time
            assert left - 2 <= msg.answer[0].ttl <= left, msg
            assert server.count(name) == seen
        clock.pass_by(3)
        assert larder.ask(name).rcode == SERVFAIL
        assert server.count(name) == seen + 1


def test_fail_08_denials_stay(clock):
    """FAIL-08: the same for a denial that is held."""
    book, name, other = Book(), fresh_name(), fresh_name()
    with house(book, 1, env=clock.env) as ((server,), larder):
        book[name] = code(NXDOMAIN, authority=[soa("example.", 60, 60)])
        book[other] = code(NOERROR, authority=[soa("example.", 60, 60)])
        assert larder.ask(name).rcode == NXDOMAIN
        assert larder.ask(other).rcode == NOERROR
        book[name] = book[other] = code(SERVFAIL)
        for asked in (name, other):
            assert larder.ask(asked, cd=1).rcode == SERVFAIL
        clock.pass_by(57)
        assert larder.ask(name).rcode == NXDOMAIN
        assert larder.ask(other).rcode == NOERROR
        # One of them may have served as the control question, too.
        assert {server.count(name), server.count(other)} <= {2, 3}


def test_fail_08_late_data_ends_a_hold():
    """FAIL-08: data that comes after C's SERVFAIL serves; no hold hides it."""
    book, name = Book(), fresh_name()
    waiting = []
    book[name] = waiting.append
    with house(book, 1, {"resend-after": "1s", "query-timeout": "200ms",
                         "resolve-timeout": "3s"}) as ((server,), larder):
        assert larder.ask(name).rcode == SERVFAIL
        for ctx in waiting:
            says_a(300)(ctx)
        eventually(lambda: larder.ask(name).a() == [GOOD], 2)
        sends = server.count(name)      # 1, if all this took under a second
        assert larder.ask(name).a() == [GOOD]
        assert server.count(name) == sends


# --- what is no failure -----------------------------------------------------

def test_fail_09_mistakes_of_clients(larder, upstream, fresh):
    """FAIL-09: a bad query for a name leaves no trace: the next reaches U."""
    name = fresh()
    good = query(name)
    for wire, rcode in (
            (good[:-1], FORMERR),
            (good[:4] + b"\0\1\0\1\0\0\0\0" + good[12:], FORMERR),
            (good[:4] + b"\0\2\0\0\0\0\0\0" + good[12:], FORMERR),
            (query(name, opt=Opt(version=1)), 16),
            (query(name, opcode=4), NOTIMP),
            (query(name, "AXFR"), REFUSED), (query(name, "MAILB"), NOTIMP),
            (query(name, qclass=255), REFUSED), (query(name, rd=0), REFUSED)):
        msg = larder.udp(wire)
        assert msg is not None and msg.rcode == rcode, (msg, wire.hex())
    assert upstream.quiet(name=name)
    assert larder.ask(name).a() == [GOOD]
    assert upstream.count(name) == 1


def test_fail_09_refusals_by_policy(upstream, fresh):
    """FAIL-09: C2 is not allowed: C1's question for the name reaches U."""
    with Larder([upstream], conf={"allow": ["127.0.0.1/32"],
                                  **PATIENT}) as larder:
        for ask in (larder.ask, larder.ask_tcp):
            name = fresh()
            assert ask(name, src="127.0.0.2").rcode == REFUSED
            assert upstream.quiet(name=name)
            assert larder.ask(name, src="127.0.0.1").a() == [GOOD]
            assert upstream.count(name) == 1


def test_fail_09_overload():
    """FAIL-09: refused for want of room: as soon as there is, it reaches U."""
    book = Book()
    with house(book, 1, {"max-flights": 16, "resend-after": "1s",
                         "query-timeout": "1500ms",
                         "resolve-timeout": "1500ms"}) as ((server,), larder):
        slow = [fresh_name("slow") for _ in range(16)]
        for name in slow:
            book[name] = silent
        name = fresh_name("over")
        with larder.udp_socket() as sock:
            for i, busy in enumerate(slow):
                sock.send(query(busy, id=i))
            for busy in slow:
                server.wait(1, name=busy)
            for opt in (None, Opt()):
                msg = larder.ask(name, opt=opt)
                assert msg is not None and msg.rcode == SERVFAIL, msg
                assert CACHED_ERROR not in [c for c, _ in msg.ede]
            assert server.quiet(name=name)
            sock.settimeout(6)
            for _ in slow:
                assert parse(sock.recv(4096)).rcode == SERVFAIL
        eventually(lambda: larder.stats()["gauges"]["flights"] == 0)
        assert larder.ask(name).a() == [GOOD]
        assert server.count(name) == 1


def test_fail_09_room_is_given_back(upstream, fresh):
    """FAIL-09: more questions than there is room for, then each one again."""
    with Larder([upstream], conf={"max-flights": 16, **PATIENT}) as larder:
        upstream.handler = lambda ctx: threading.Timer(
            0.05, answer_default, (ctx,)).start()
        names = [fresh() for _ in range(64)]
        with larder.udp_socket() as sock:
            sock.settimeout(3)
            for i, name in enumerate(names):
                sock.send(query(name, id=i))
            codes = {}
            for _ in names:
                msg = parse(sock.recv(4096))
                codes[msg.id] = msg.rcode
        assert set(codes) == set(range(64))
        assert set(codes.values()) <= {NOERROR, SERVFAIL}
        assert list(codes.values()).count(NOERROR) >= 16
        upstream.handler = answer_default
        for name in names:
            assert larder.ask(name).a() == [GOOD]
            assert upstream.count(name) == 1
