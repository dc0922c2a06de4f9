"""Load and abuse: conformance section 23, ABU-01 to ABU-11.

Most of it is a matter of counting: what reached the upstream, what came back,
which sockets are open.  Time-outs are set short, so that a question that gets
nowhere ends in half a second.  Clients that must not be loopback ones are
either told so (`limits: {loopback: yes}`) or live in a network namespace with
addresses of their own.

Not shown, as this release lacks them: cookies (ABU-02), validation (ABU-04),
upstreams given by name (ABU-05), TLS (ABU-07).
"""

import collections
import contextlib
import os
import random
import re
import select
import socket
import struct
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import (NOERROR, REFUSED, SERVFAIL, Larder, Opt, Upstream,
                     check_error, check_quiet, eventually, fresh_name, in_netns,
                     parse, query, reply, rr, soa)

BUDGET = 24                 # upstream sends for one client question
WAITING = 200               # unanswered questions of one client
GOOD = "192.0.2.1"
HASTY = {"query-timeout": "400ms", "resolve-timeout": "800ms",
         "resend-after": "20ms"}


# --- tools ------------------------------------------------------------------

def burst(larder, wires, src=None, to=None):
    """A socket that has sent all of them, with room for the replies."""
    sock = larder.udp_socket(src, to)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    for i, wire in enumerate(wires):
        sock.send(wire)
        if i % 50 == 49:
            time.sleep(0.001)       # larger than any socket's buffer, else
    return sock


def collect(sock, seconds, enough=None):
    """All replies within that time, or the first `enough`."""
    got, deadline = [], time.monotonic() + seconds
    while enough is None or len(got) < enough:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([sock], [], [], left)[0]:
            break
        got.append(parse(sock.recv(65535)))
    return got


def drain(sock, enough=None, quiet=0.3, seconds=5):
    """All replies up to a silence, or the first `enough`."""
    got, deadline = [], time.monotonic() + seconds
    while time.monotonic() < deadline and len(got) != enough:
        more = collect(sock, quiet, 1)
        if not more:
            break
        got += more
    return got


class Quick(Upstream):
    """An upstream for floods: at UDP it parses nothing, has one address for
    every name, is deaf to names with "silent" in them, and logs no more than
    the ports that asked."""

    RECORD = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\1"

    def __init__(self, **kw):
        self.ports = []
        super().__init__(**kw)
        self.handler = lambda ctx: (        # of TCP
            None if "silent" in ctx.name else ctx.default())

    def _serve_udp(self, sock):
        while True:
            try:
                wire, src = sock.recvfrom(4096)
            except OSError:
                return
            if src is None or len(wire) < 12:
                return
            self.ports.append(src[1])
            if b"silent" not in wire:
                end = wire.index(0, 12) + 5
                sock.sendto(wire[:2] + b"\x81\x80\0\1\0\1\0\0\0\0"
                            + wire[12:end] + self.RECORD, src)


def memory_kib(larder):
    for line in Path(f"/proc/{larder.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def is_sanitized(larder):
    """Sanitizers keep what was freed: sizes say nothing."""
    status = Path(f"/proc/{larder.pid}/status").read_text()
    return int(re.search(r"VmSize:\s+(\d+)", status)[1]) > 1 << 30


def elsewhere(work):
    try:
        return in_netns(work)
    except PermissionError as error:
        pytest.skip(str(error))


def hex_port(address):
    return int(address.rsplit(":", 1)[1], 16)


def socket_inodes(larder):
    inodes = set()
    for fd in Path(f"/proc/{larder.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(fd))
            if found:
                inodes.add(found[1])
    return inodes


def udp_table(larder):
    """[(local port, remote port, remote address)] of its UDP sockets."""
    inodes, table = socket_inodes(larder), []
    for kind in ("udp", "udp6"):
        path = Path(f"/proc/{larder.pid}/net/{kind}")
        for line in path.read_text().splitlines()[1:]:
            part = line.split()
            if part[9] in inodes:
                table.append((hex_port(part[1]), hex_port(part[2]),
                              part[2].rsplit(":", 1)[0]))
    return table


def to_upstream(larder, upstream):
    """The ports of its sockets that are connected to that upstream."""
    return {mine for mine, theirs, _ in udp_table(larder)
            if theirs == upstream.port}


# --- ABU-01: who may ask ----------------------------------------------------

LISTENING = {"udp": "07", "tcp": "0A"}


def bound_addresses(kind, port):
    """Addresses bound to that port in this thread's network namespace."""
    found = set()
    for table in (kind, kind + "6"):
        path = Path(f"/proc/thread-self/net/{table}")
        for line in path.read_text().splitlines()[1:]:
            part = line.split()
            if hex_port(part[1]) == port and part[3] == LISTENING[kind]:
                octets = bytes.fromhex(part[1].rsplit(":", 1)[0])
                words = struct.unpack(f"<{len(octets) // 4}I", octets)
                octets = struct.pack(f">{len(words)}I", *words)
                found.add(socket.inet_ntop(
                    socket.AF_INET6 if len(octets) == 16 else socket.AF_INET,
                    octets))
    return found


def test_abu_01_listens_on_loopback_at_first():
    """ABU-01: without `listen` only 127.0.0.1 and ::1 are bound, both kinds,
    and only the host itself may ask, whatever address it uses else."""
    def work():
        subprocess.run(["ip", "addr", "add", "10.9.0.1/32", "dev", "lo"],
                       check=True)
        # The harness needs to know the port; the file says nothing of it.
        with Upstream() as server:
            with Larder([server], listen=["127.0.0.1"],
                        conf={"listen": None}) as own:
                bound = [bound_addresses(kind, 53) for kind in LISTENING]
                answered = own.ask(fresh_name()).a()
            with Larder([server], listen=["0.0.0.0:5300"]) as own:
                wire = query(fresh_name(), opt=Opt())
                stranger = own.udp(wire, src="10.9.0.1", to="10.9.0.1")
                friend = own.ask(fresh_name()).a()
        return bound, answered, wire, stranger, friend

    bound, answered, wire, stranger, friend = elsewhere(work)
    assert bound == [{"127.0.0.1", "::1"}] * 2
    assert answered == friend == [GOOD]
    check_error(wire, stranger, REFUSED, ede=18)


@pytest.fixture(scope="module")
def choosy(module_upstream):
    with Larder([module_upstream], conf={
            "allow": ["127.0.0.1", "127.0.4.0/22", "127.9.9.128/25"]}) as one:
        yield one


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_abu_01_strangers_are_refused(choosy, upstream, proto):
    """ABU-01: others get REFUSED with EDE 18, no larger than their query, for
    cached, local and new names and for whatever else they send; quiet."""
    known = fresh_name()
    assert choosy.ask(known).a() == [GOOD]
    before = len(upstream.log)
    for opt in (None, Opt(), Opt(do=1)):
        for name, kw in ((known, {}), (fresh_name(), {}), (known, {"rd": 0}),
                         ("localhost.", {}), (fresh_name(), {"qtype": "ANY"}),
                         ("version.bind.", {"qtype": "TXT", "qclass": 3})):
            wire = query(name, kw.pop("qtype", "A"), opt=opt, **kw)
            if proto == "udp":
                msg = choosy.udp(wire, src="127.0.0.2")
            else:
                with choosy.tcp(src="127.0.0.2") as conn:
                    conn.send(wire)
                    msg = conn.recv()
            check_error(wire, msg, REFUSED, ede=18)
            assert opt or len(msg.wire) <= len(wire)
    choosy.alive()
    assert len(upstream.log) == before + 1


def test_abu_01_strangers_get_nothing_larger(choosy, upstream):
    """ABU-01: nor do spoiled messages of theirs yield more than came in."""
    whole = query(fresh_name(), opt=Opt(do=1))
    wires = [whole[:n] for n in range(1, len(whole))]
    wires += [query(fresh_name(), opcode=n) for n in range(1, 16)]
    wires += [query(fresh_name(), t) for t in ("AXFR", 128, 0, 253)]
    for wire in wires:
        with choosy.udp_socket("127.0.0.2") as sock:
            sock.send(wire)
            for msg in collect(sock, 0.01, 1):
                assert len(msg.wire) - msg.opt_octets <= len(wire), msg
                assert not msg.answer and not msg.authority, msg
    check_quiet(choosy, upstream)


@pytest.mark.parametrize("source, welcome", [
    ("127.0.0.1", True), ("127.0.0.2", False), ("127.0.3.255", False),
    ("127.0.4.0", True), ("127.0.7.255", True), ("127.0.8.0", False),
    ("127.9.9.127", False), ("127.9.9.128", True), ("127.9.9.255", True),
    ("127.255.255.254", False)])
def test_abu_01_the_list_is_one_of_prefixes(choosy, upstream, source, welcome):
    """ABU-01: each prefix counts to its last bit."""
    name = fresh_name()
    wire = query(name)
    msg = choosy.udp(wire, src=source)
    if welcome:
        assert (msg.rcode, msg.a()) == (NOERROR, [GOOD]), msg
    else:
        check_error(wire, msg, REFUSED)
        assert upstream.count(name) == 0


# --- ABU-02: replies per second ---------------------------------------------

class Limited(Larder):
    """A larderd with limits, which others than those in question may ask."""

    def alive_from(self, src, to):
        msg = self.ask("localhost.", src=src, to=to)
        assert msg is not None, "no answer to somebody else"


def limited(server, rate, **more):
    return Limited([server], conf={"limits": {"replies-per-second": rate,
                                              **more}})


def replies(larder, wires, src=None, to=None, mark="127.200.0.1"):
    """What these bring, sent within a moment, and how long all of that took.
    A later question, of somebody else (`mark`), has come back by then."""
    began = time.monotonic()
    with burst(larder, wires, src, to) as sock:
        larder.alive_from(mark, to)
        got = drain(sock, len(wires), 0.02)
    assert len({m.id for m in got}) == len(got)
    return ([m for m in got if not m.tc], [m for m in got if m.tc],
            time.monotonic() - began)


def hits(larder, n, src=None):
    """The same of n questions for one cached name."""
    name = fresh_name()
    assert larder.ask(name, src="127.200.0.1").a() == [GOOD]
    return replies(larder, [query(name, id=i) for i in range(n)], src)


def test_abu_02_off_at_first(larder, upstream):
    """ABU-02: no limit unless one is set."""
    name = fresh_name()
    assert larder.ask(name).a() == [GOOD]
    with burst(larder, [query(name, id=i) for i in range(1000)]) as sock:
        got = collect(sock, 10, 1000)
    assert len(got) == 1000 and not any(m.tc for m in got)


def test_abu_02_replies_are_rate_limited(upstream):
    """ABU-02: over the rate every second reply is TC, the others stay away,
    so that octets out are bounded; the limit is the whole prefix's."""
    with limited(upstream, 20, loopback=True) as own:
        whole, cut, took = hits(own, 400)
        # A second's worth at once, and what the time of it all adds.
        assert 20 <= len(whole) <= 20 * (took + 1) + 5, (len(whole), took)
        over = 400 - len(whole)
        assert over * 0.4 <= len(cut) <= over * 0.6, (len(whole), len(cut))
        for msg in cut:
            assert (msg.rcode, msg.counts) == (NOERROR, (1, 0, 0, 0)), msg
        # Another address of the same /24 has no share of its own ...
        began = time.monotonic()
        whole, _, _ = hits(own, 100, "127.0.0.99")
        assert len(whole) <= 20 * (time.monotonic() - began) + 15
        # ... one of the next /24 has.
        whole, cut, _ = hits(own, 15, "127.0.1.1")
        assert (len(whole), len(cut)) == (15, 0)
        # TCP is exempt, and after a moment so is UDP.
        name = fresh_name()
        with own.tcp() as conn:
            for i in range(100):
                conn.send(query(name, id=i))
            assert all(conn.recv().a() == [GOOD] for _ in range(100))
        time.sleep(1.2)
        assert own.ask(fresh_name()).a() == [GOOD]


def test_abu_02_errors_count_too(upstream):
    """ABU-02: refusals and denials are replies like any other."""
    with limited(upstream, 20, loopback=True) as own:
        wires = [query(fresh_name(), "AXFR", id=i) for i in range(300)]
        whole, cut, took = replies(own, wires)
        got = whole + cut
        assert 20 <= len(whole) <= 20 * (took + 1) + 5, (len(whole), took)
        assert len(cut) <= (300 - len(whole)) / 2 + 1
        assert sum(len(m.wire) for m in got) <= sum(map(len, wires))


def test_abu_02_loopback_is_exempt(upstream):
    """ABU-02: unless `loopback: yes`, the host itself is not limited."""
    with limited(upstream, 20) as own:
        whole, cut, _ = hits(own, 400)
        assert (len(whole), len(cut)) == (400, 0)


def test_abu_02_other_hosts_and_prefixes():
    """ABU-02: strangers' prefixes are /24 and /56."""
    addresses = {"10.9.0.1": "a", "10.9.0.77": "a", "10.9.1.1": "b",
                 "fd00:9:0:1::1": "c", "fd00:9:0:ff::1": "c",
                 "fd00:9:0:100::1": "d"}

    def work():
        for address in (*addresses, "10.9.7.1", "fd00:9:0:700::1"):
            bits = "128" if ":" in address else "32"
            subprocess.run(["ip", "addr", "add", f"{address}/{bits}", "dev",
                            "lo", *(["nodad"] if bits == "128" else [])],
                           check=True)
        with Upstream() as server, Limited(
                [server],
                listen=["127.0.0.1:5300", "10.9.0.1:5300", "[fd00:9:0:1::1]"
                        ":5300"],
                conf={"allow": ["127.0.0.1", "10.9.0.0/16", "fd00::/8"],
                      "limits": {"replies-per-second": 20}}) as own:
            name = fresh_name()
            own.ask(name)
            counts, times = collections.Counter(), {}
            for address, prefix in addresses.items():
                to = "fd00:9:0:1::1" if ":" in address else "10.9.0.1"
                times.setdefault(prefix, time.monotonic())
                whole, _, _ = replies(
                    own, [query(name, id=i) for i in range(150)], address, to,
                    "fd00:9:0:700::1" if ":" in address else "10.9.7.1")
                counts[prefix] += len(whole)
            end = time.monotonic()
            return counts, {p: end - began for p, began in times.items()}

    counts, times = elsewhere(work)
    # One second's worth at the start, and what the test's own time adds.
    assert all(20 <= counts[prefix] <= 20 * (times[prefix] + 1) + 5
               for prefix in "abcd"), (counts, times)


# --- ABU-03: waiting per client ---------------------------------------------

class Slow:
    """An upstream that holds what is asked of "slow…" until told."""

    def __init__(self, upstream):
        self.held, self.lock, self.open = [], threading.Lock(), False
        upstream.handler = self.take

    def take(self, ctx):
        with self.lock:
            if ctx.name.startswith("slow") and not self.open:
                self.held.append(ctx)
                return
        ctx.default()

    def release(self):
        with self.lock:
            self.open, held = True, self.held
        for ctx in held:
            ctx.default()

    def names(self):
        with self.lock:
            return {ctx.name for ctx in self.held}

    def first(self):
        """The first send of each name: a slow machine brings others."""
        with self.lock:
            return {ctx.name: ctx for ctx in reversed(self.held)}.values()


PATIENT = {"resend-after": "1s", "query-timeout": "20s",
           "resolve-timeout": "20s"}


@pytest.mark.parametrize("conf, bound, asked", [
    ({"loopback": True}, WAITING, 5000),
    ({"loopback": True, "waiting-per-client": 50}, 50, 500)],
    ids=["default", "50"])
def test_abu_03_no_burst_over_the_bound(upstream, conf, bound, asked):
    """ABU-03: of 5000 questions for slow names so many wait; when the
    answers come there are no more of them; the rest is SERVFAIL or silence."""
    slow = Slow(upstream)
    with Larder([upstream], conf={"limits": conf, **PATIENT}) as own:
        names = [fresh_name("slow") for _ in range(asked)]
        with burst(own, [query(n, id=i) for i, n in enumerate(names)],
                   "127.0.0.5") as sock:
            own.alive()             # all of them have been read by then
            early = drain(sock, None, 0.05)
            eventually(lambda: len(slow.names()) >= bound)
            assert len(slow.names()) == bound
            # Others are not touched: neither their hits nor their misses.
            assert own.ask(fresh_name("slow"), src="127.0.0.6",
                           timeout=0.2) is None
            own.alive()
            slow.release()
            late = collect(sock, 10, bound) + collect(sock, 0.1)
            # Room again for the same client.
            again = own.ask(fresh_name("slow"), src="127.0.0.5")
    assert {m.rcode for m in early} <= {SERVFAIL}
    assert not any(m.answer for m in early)
    assert len(late) == bound and {m.rcode for m in late} == {NOERROR}
    assert len({m.id for m in early + late}) == len(early) + len(late)
    assert again.a() == [GOOD]


def test_abu_03_loopback_is_exempt(upstream):
    """ABU-03: the host itself may have more questions waiting."""
    slow = Slow(upstream)
    with Larder([upstream], conf=PATIENT) as own:
        names = [fresh_name("slow") for _ in range(3 * WAITING)]
        with burst(own, [query(n, id=i) for i, n in enumerate(names)]) as sock:
            eventually(lambda: len(slow.names()) == len(names), 10,
                       lambda: len(slow.names()))
            slow.release()
            got = collect(sock, 10, len(names))
    assert len(got) == len(names)
    assert all(m.a() == [GOOD] for m in got)


def test_abu_03_overload_is_not_held_against_names(upstream):
    """ABU-03: what was turned away is asked at the next occasion (FAIL-09)."""
    slow = Slow(upstream)
    with Larder([upstream], conf={"limits": {
            "loopback": True, "waiting-per-client": 10}, **PATIENT}) as own:
        names = [fresh_name("slow") for _ in range(40)]
        with burst(own, [query(n) for n in names]) as sock:
            assert own.ask("localhost.") is not None    # all have been read
            eventually(lambda: len(slow.names()) >= 10)
            assert len(slow.names()) == 10
            slow.release()
            eventually(lambda: own.stats()["gauges"]["flights"] == 0)
        for name in names:
            assert own.ask(name).a() == [GOOD]


# --- ABU-04: work per question ----------------------------------------------

class Herd:
    """Several upstreams with one handler, and one larderd over them."""

    def __init__(self, stack, n, handler, tcp=True, **conf):
        self.servers = [stack.enter_context(Upstream(tcp=tcp))
                        for _ in range(n)]
        for server in self.servers:
            server.handler = handler
        self.larder = stack.enter_context(
            Larder(self.servers, conf={**HASTY, **conf}))

    def sends(self):
        return sum(len(s.log) for s in self.servers)

    def settle(self):
        """Until nothing has come for 0.3 s, but at most 2 s."""
        last, deadline = None, time.monotonic() + 2
        while time.monotonic() < deadline and last != self.sends():
            last = self.sends()
            time.sleep(0.3)
        return self.sends()


def hang_up(ctx):
    if ctx.proto == "tcp":
        ctx.reset()


def cut_and_hang_up(ctx):
    if ctx.proto == "tcp":
        ctx.reset()
    else:
        ctx.send(reply(ctx.msg, tc=1))


def garbage(ctx):
    ctx.send(reply(ctx.msg, [b"\x00\x00\x01"]))


def no_opt(ctx):
    """Another FORMERR for every form the question may take."""
    ctx.send(reply(ctx.msg, rcode=1, opt=None))


WORST = {
    "silent": lambda ctx: None,
    "silent, hanging up": hang_up,
    "refusing": lambda ctx: ctx.send(reply(ctx.msg, rcode=REFUSED)),
    "failing": lambda ctx: ctx.send(reply(ctx.msg, rcode=SERVFAIL)),
    "without EDNS": no_opt,
    "cut, then hanging up": cut_and_hang_up,
    "talking nonsense": garbage,
    "referring": lambda ctx: ctx.send(reply(
        ctx.msg, [], [rr("example.", "NS", 300, "ns.example.")])),
}


@pytest.mark.parametrize("what", WORST)
def test_abu_04_many_bad_servers(what):
    """ABU-04: one question costs at most 24 sends, however many servers there
    are to try, and ends in SERVFAIL (REFUSED if all refuse)."""
    with contextlib.ExitStack() as stack:
        herd = Herd(stack, 16, WORST[what])
        name = fresh_name()
        msg = herd.larder.ask(name, opt=Opt())
        assert msg is not None and msg.rcode in (
            (REFUSED, SERVFAIL) if what == "refusing" else (SERVFAIL,)), msg
        sends = herd.settle()
        # None of them is asked without need, and none more than 24 times.
        assert 2 <= sends <= BUDGET, sends


def long_chain(length, faults):
    """Two routes whose servers hand a chain of aliases to each other, one
    link a reply; the first `faults` sends of each name get no good reply."""
    def script(ctx):
        seen[ctx.name] += 1
        if ctx.name.startswith("alive"):
            return ctx.default()
        if seen[ctx.name] <= faults:
            return None
        number, zone = re.fullmatch(r"l(\d+)\.\w+\.(\w+)\.example\.",
                                    ctx.name).groups()
        if int(number) >= length:
            return ctx.default()
        to = "west" if zone == "east" else "east"
        label = ctx.name.split(".")[1]
        ctx.send(reply(ctx.msg, [rr(
            ctx.name, "CNAME", 300,
            f"l{int(number) + 1}.{label}.{to}.example.")]))

    seen = collections.Counter()
    return script


@contextlib.contextmanager
def two_routes(script, resend="20ms"):
    with (Upstream() as east, Upstream() as west,
          Larder([east], conf={
              "query-timeout": "2s", "resolve-timeout": "2s",
              "resend-after": resend,
              "routes": {"east.example": [east.url],
                         "west.example": [west.url]}}) as own):
        east.handler = west.handler = script
        yield own, lambda: len(east.log) + len(west.log)


@pytest.mark.parametrize("length, faults", [(12, 0), (12, 2), (100, 0),
                                            (100, 1)])
def test_abu_04_alias_chains(length, faults):
    """ABU-04: aliases over two routes, each link with lost packets: at most
    24 sends for all of it; 12 links without loss are still answered."""
    # Resends take from the same 24, so there are none without loss.
    with two_routes(long_chain(length, faults),
                    "20ms" if faults else "1s") as (own, sends):
        msg = own.ask(f"l0.{fresh_name('c', '')}east.example.")
        assert msg is not None
        if (length, faults) == (12, 0):
            assert (msg.rcode, msg.a()) == (NOERROR, [GOOD]), msg
            assert len(msg.answer) == 13
        else:
            assert msg.rcode == SERVFAIL or msg.a() == [GOOD], msg
        if length > 12:
            assert msg.rcode == SERVFAIL and not msg.answer, msg
        time.sleep(0.4)
        assert 2 <= sends() <= BUDGET, sends()


def test_abu_04_many_clients_cost_no_more():
    """ABU-04: 50 clients with the same question share its sends."""
    with contextlib.ExitStack() as stack:
        herd = Herd(stack, 16, WORST["silent"])
        name = fresh_name()
        wires = [query(name, id=i) for i in range(50)]
        with burst(herd.larder, wires) as sock:
            got = collect(sock, 10, 50)
        assert len(got) == 50 and {m.rcode for m in got} == {SERVFAIL}
        assert herd.settle() <= BUDGET


# --- ABU-05: loops ----------------------------------------------------------

def check_held(larder, name, sends, first_within):
    """SERVFAIL in time, a second time at once and without any traffic."""
    began = time.monotonic()
    msg = larder.ask(name, opt=Opt(), timeout=first_within + 2)
    assert msg is not None and (msg.rcode, msg.answer) == (SERVFAIL, []), msg
    assert time.monotonic() - began < first_within + 1
    before = None           # whatever was on its way
    while before != (before := sends()):
        time.sleep(0.4)
    for _ in range(3):
        msg = larder.ask(name, opt=Opt())
        assert msg is not None and msg.rcode == SERVFAIL, msg
        assert [code for code, _ in msg.ede] == [13], msg
    assert sends() == before
    assert before <= BUDGET, before


@pytest.mark.parametrize("links", [1, 2, 3, 12])
def test_abu_05_alias_loop_in_one_reply(larder, upstream, links):
    """ABU-05: a ring of aliases ends once and is held."""
    names = [fresh_name("ring") for _ in range(links)]
    ring = [rr(a, "CNAME", 300, b)
            for a, b in zip(names, names[1:] + names[:1])]
    upstream.handler = lambda ctx: (
        ctx.send(reply(ctx.msg, ring)) if ctx.name in names
        else ctx.default())
    check_held(larder, names[0], lambda: upstream.count(names[0]), 4.5)


@pytest.mark.parametrize("links", [1, 2, 3])
def test_abu_05_alias_loop_over_routes(links):
    """ABU-05: a ring whose links lie in two routes, one a reply; the last
    leads back to the first name or to the middle of the ring."""
    tag = fresh_name("r", "")
    sides = ["east", "west"] * 2
    names = [f"n{i}.{tag}{sides[i]}.example." for i in range(links + 1)]
    nexts = dict(zip(names, names[1:]))
    nexts[names[-1]] = names[0]

    def script(ctx):
        if ctx.name in nexts:
            ctx.send(reply(ctx.msg, [rr(ctx.name, "CNAME", 300,
                                        nexts[ctx.name])]))
        else:
            ctx.default()

    with two_routes(script) as (own, sends):
        check_held(own, names[0], sends, 2.5)
        check_held(own, names[-1], sends, 2.5)
        own.alive()


class Relay:
    """An upstream that asks a larderd what it is asked itself."""

    def __init__(self, stack):
        self.server = stack.enter_context(Upstream())
        self.larder = None
        self.server.handler = self.take

    def take(self, ctx):
        threading.Thread(target=self.carry, args=(ctx,), daemon=True).start()

    def carry(self, ctx):
        with contextlib.suppress(OSError):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(2)
                sock.connect((self.larder.host, self.larder.port))
                sock.send(ctx.wire)
                ctx.send(sock.recv(65535))


def test_abu_05_a_larder_that_asks_itself():
    """ABU-05: a larder whose upstream is larder, by way of a relay, so that
    no check of the configuration can see it: SERVFAIL, once, held."""
    with contextlib.ExitStack() as stack:
        relay = Relay(stack)
        own = stack.enter_context(Larder([relay.server], conf=HASTY))
        relay.larder = own
        check_held(own, fresh_name(), lambda: len(relay.server.log), 1.5)


def test_abu_05_two_larders_that_ask_each_other():
    """ABU-05: the same with two of them."""
    with contextlib.ExitStack() as stack:
        one, two = Relay(stack), Relay(stack)
        two.larder = stack.enter_context(Larder([one.server], conf=HASTY))
        one.larder = stack.enter_context(Larder([two.server], conf=HASTY))
        check_held(two.larder, fresh_name(),
                   lambda: max(len(r.server.log) for r in (one, two)), 1.5)


# --- ABU-06: slow names and quick ones --------------------------------------

def flood_of(n):
    return [query(fresh_name("silent"), id=i, opt=Opt()) for i in range(n)]


def check_quick(larder, times=10):
    """New names are answered, and not after a time-out."""
    for _ in range(times):
        name, began = fresh_name("quick"), time.monotonic()
        msg = larder.ask(name, timeout=3, opt=Opt())
        took = time.monotonic() - began
        assert msg is not None and msg.a() == [GOOD], (msg, msg and msg.ede)
        assert took < 3, took       # the default time-out is 4 s


def check_hits(larder, names):
    for name in names:
        began = time.monotonic()
        msg = larder.ask(name)
        assert msg is not None and msg.a() == [GOOD], msg
        assert time.monotonic() - began < 3     # on a busy machine


@pytest.fixture
def quick():
    with Quick() as server:
        yield server


def known_names(larder, n=20):
    names = [fresh_name() for _ in range(n)]
    for name in names:
        assert larder.ask(name).a() == [GOOD]
    return names


def test_abu_06_one_clients_flood(quick):
    """ABU-06: 10000 silent names of one client; another's good names, new
    and cached, are answered as ever."""
    with Larder([quick], conf={"limits": {"loopback": True}}) as own:
        known = known_names(own)
        with burst(own, flood_of(10000), "127.0.0.7"):
            check_quick(own)
            check_hits(own, known)


def test_abu_06_flood_from_the_host_itself(quick):
    """ABU-06: 2000 silent names in work at once, from loopback: new names and
    cached ones are answered meanwhile, and afterwards."""
    with Larder([quick], conf={"query-timeout": "1s",
                               "resolve-timeout": "2s"}) as own:
        known = known_names(own)
        with burst(own, flood_of(2000)) as sock:
            check_quick(own)
            check_hits(own, known)
            got = collect(sock, 20, 2000)
            assert len(got) == 2000 and {m.rcode for m in got} == {SERVFAIL}
            check_quick(own, 3)


def test_abu_06_over_the_limit_hits_are_served(quick):
    """ABU-06: 10000 silent names, more than there is room for: cached names
    are still answered at once, and new ones again when the flood is over."""
    with Larder([quick], conf={**HASTY, "max-flights": 1024}) as own:
        known = known_names(own)
        with burst(own, flood_of(10000)):
            check_hits(own, known)
        eventually(lambda: own.stats()["gauges"]["flights"] == 0)
        check_quick(own, 3)


# --- ABU-07: slow streams ---------------------------------------------------

def big_text(ctx):
    if ctx.proto == "udp":
        ctx.send(reply(ctx.msg, tc=1))
    else:
        ctx.send(reply(ctx.msg, [rr(ctx.name, "TXT", 300, "x" * 50000)]))


def open_clients(larder):
    """How many TCP connections larderd holds at its port."""
    inodes = socket_inodes(larder)
    path = Path(f"/proc/{larder.pid}/net/tcp")
    lines = [line.split() for line in path.read_text().splitlines()[1:]]
    return sum(hex_port(part[1]) == larder.port and part[3] != "0A"
               and part[9] in inodes for part in lines)


def test_abu_07_slow_clients(upstream):
    """ABU-07: 200 connections: some send an octet at a time, some read one at
    a time; all are closed after `tcp: idle`, others are served meanwhile."""
    upstream.handler = big_text
    with Larder([upstream], conf={"tcp": {"idle": "500ms"}}) as own, \
            contextlib.ExitStack() as stack:
        name = fresh_name("big")
        assert own.ask_tcp(name, "TXT").answer
        upstream.reset()
        senders, readers = [], []
        question = query(name, "TXT")
        framed = struct.pack("!H", len(question)) + question
        for i in range(200):
            sock = stack.enter_context(socket.socket())
            if i % 5 == 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect((own.host, own.port))
            sock.setblocking(False)
            if i % 5 == 0:
                sock.send(framed * 100)
                readers.append(sock)
            else:
                senders.append(sock)
        began, turn = time.monotonic(), 0
        while time.monotonic() - began < 15:
            for sock in senders:
                with contextlib.suppress(OSError):
                    sock.send(framed[turn % len(framed):][:1])
            for sock in readers:
                with contextlib.suppress(OSError):
                    sock.recv(1)
            turn += 1
            own.alive()
            if turn > 5 and open_clients(own) == 0:
                break
            time.sleep(0.08)
        left = open_clients(own)
        assert left == 0, f"{left} are held after 15 s"
        assert time.monotonic() - began > 0.4, "closed before their time"
        assert own.ask_tcp(fresh_name()).a() == [GOOD]


class Dribble:
    """An upstream whose TCP replies never come to their end: octet by octet,
    or stuck half-way."""

    def __init__(self, server, how):
        self.how, self.stop = how, threading.Event()
        server.handler = self.take

    def take(self, ctx):
        if ctx.name.startswith("alive"):
            return ctx.default()
        if ctx.proto == "udp":
            return ctx.send(reply(ctx.msg, tc=1))
        message = reply(ctx.msg, [rr(ctx.name, "A", 300, GOOD)])
        octets = struct.pack("!H", len(message)) + message
        if self.how == "octet by octet":
            threading.Thread(target=self.slowly, args=(ctx, octets),
                             daemon=True).start()
        else:
            ctx.send_raw(octets[:2 if self.how == "length only" else 30])

    def slowly(self, ctx, octets):
        for i in range(len(octets)):
            if self.stop.wait(0.1):
                return
            ctx.send_raw(octets[i:i + 1])


def check_dribble(own, server, how):
    """50 questions at once over such a stream: SERVFAIL, in time."""
    dribble = Dribble(server, how)
    began = time.monotonic()
    with burst(own, [query(fresh_name(), id=i) for i in range(50)]) as sock:
        own.alive()
        got = collect(sock, 10, 50)
    assert len(got) == 50 and {m.rcode for m in got} == {SERVFAIL}
    assert time.monotonic() - began < 3.9       # 1 s, where the default is 4
    own.alive()
    dribble.stop.set()


STALLING = {"query-timeout": "1s", "resolve-timeout": "2s"}


@pytest.mark.parametrize("how", ["octet by octet", "length only"])
def test_abu_07_slow_upstreams(how):
    """ABU-07: an upstream stream that dribbles is given up: SERVFAIL within
    `query-timeout`, and the daemon serves on."""
    with Upstream() as server, Larder([server], conf=STALLING) as own:
        check_dribble(own, server, how)


def stalled_streams():
    """Connections to an upstream that got stuck are closed in the end."""
    with Upstream() as server, Larder([server], conf=STALLING) as own:
        check_dribble(own, server, "half a message")
        accepted = {e.conn for e in server.entries(proto="tcp")}
        assert accepted
        eventually(lambda: accepted <= set(server.closed), 25,
                   lambda: f"{server.closed} of {accepted}")


@pytest.fixture(scope="module")
def ten_seconds():
    """What has to wait for larder's 10 s does so together."""
    with ThreadPoolExecutor(2) as pool:
        yield {work: pool.submit(work) for work in (stalled_streams,
                                                    idle_sockets)}


def test_abu_07_stalled_upstream_streams_are_closed(ten_seconds):
    """ABU-07: nor does larder hold the connection for good."""
    ten_seconds[stalled_streams].result(60)


# --- ABU-08: anything at all ------------------------------------------------

def mutate(dice, wire):
    """One of a few plausible spoilings of a message."""
    wire = bytearray(wire)
    for _ in range(dice.choice((1, 1, 2, 5))):
        what = dice.randrange(6)
        at = dice.randrange(len(wire)) if wire else 0
        if what == 0 and wire:
            wire[at] ^= 1 << dice.randrange(8)
        elif what == 1 and wire:
            wire[at] = dice.choice((0, 1, 0x3F, 0x40, 0xC0, 0xFF))
        elif what == 2:
            del wire[at:]
        elif what == 3:
            wire[at:at] = dice.randbytes(dice.randrange(1, 40))
        elif what == 4 and len(wire) > 12:
            struct.pack_into("!H", wire, dice.choice((4, 6, 8, 10)),
                             dice.choice((0, 1, 2, 65535)))
        elif what == 5 and len(wire) > 14:
            piece = bytes(wire[12:12 + dice.randrange(1, 200)])
            wire[at:at] = piece
    return bytes(wire)


@pytest.fixture
def dice():
    seed = random.getrandbits(32)
    print("seed", seed)
    return random.Random(seed)


def some_query(dice):
    opt = dice.choice((None, Opt(), Opt(do=1, options=[
        (dice.choice((3, 8, 10, 11, 12, 15, 65001)),
         dice.randbytes(dice.randrange(30)))])))
    return query(fresh_name("fuzz"), dice.choice(
        (1, 5, 28, 16, 255, 41, 43, 46, 65, 128, 250, 252, 65280)),
        opt=opt, rd=dice.randrange(2), cd=dice.randrange(2),
        opcode=dice.choice((0, 0, 0, 0, 5)), qclass=dice.choice((1, 1, 1, 3)))


def test_abu_08_client_messages(larder, upstream, dice):
    """ABU-08: random and mutated datagrams; every reply is well formed, no
    message gets more than one, and the daemon lives."""
    with larder.udp_socket() as sock:
        for turn in range(60):
            for _ in range(40):
                sock.send(dice.randbytes(dice.randrange(600))
                          if dice.randrange(8) == 0
                          else mutate(dice, some_query(dice))[:4096])
            for msg in collect(sock, 0.005, 40):
                assert msg.qr == 1 and not msg.trailing, msg
        time.sleep(0.05)
        collect(sock, 0.2)
    larder.alive()


def test_abu_08_client_streams(larder, upstream, dice):
    """ABU-08: the same over TCP, framed well and badly, cut anywhere."""
    for _ in range(150):
        with larder.tcp() as conn, contextlib.suppress(OSError):
            octets = b""
            for _ in range(dice.randrange(1, 5)):
                wire = mutate(dice, some_query(dice))
                length = (len(wire) if dice.randrange(4)
                          else dice.randrange(65536))
                octets += struct.pack("!H", length) + wire
            conn.send_raw(octets[:dice.randrange(1, len(octets) + 1)])
            if dice.randrange(2):
                conn.shutdown()
            while conn.recv(0.005) is not None:
                pass
    larder.alive()


def some_reply(dice, ctx):
    """A plausible reply with records of many kinds, before it is spoiled."""
    name = ctx.msg.question[0].name_wire
    records = [rr(name, "CNAME", 300, b"\xc0\x0c"),
               rr(name, "A", 300, GOOD), rr(name, ctx.qtype, 60, b"\xc0\x0c"),
               rr(name, "MX", 300, "10 mail.example."),
               rr(name, "TXT", 300, "x" * dice.randrange(600)),
               rr("example.", "DNAME", 300, "example.net."),
               rr(name, "RRSIG", 300, dice.randbytes(40)),
               rr(name, 47, 300, dice.randbytes(30)),
               rr(name, 65, 300, dice.randbytes(20)), soa("example.")]
    return reply(ctx.msg, dice.sample(records, dice.randrange(5)),
                 dice.sample(records, dice.randrange(3)),
                 dice.sample(records, dice.randrange(3)),
                 rcode=dice.choice((0, 0, 0, 0, 2, 3, 5)),
                 tc=dice.randrange(10) == 0,
                 opt=dice.choice((None, Opt(), Opt(options=[
                     (15, dice.randbytes(dice.randrange(9)))]))))


def test_abu_08_upstream_messages(upstream, dice):
    """ABU-08: mutated replies over UDP and TCP: every client has a reply, a
    well formed one, and the daemon lives."""
    def script(ctx):
        if ctx.name.startswith("alive"):
            return ctx.default()
        for _ in range(dice.randrange(1, 4)):
            wire = some_reply(dice, ctx)
            if dice.randrange(8):
                # The header and the question mostly stay, to get inside.
                end = 12 + len(ctx.msg.question[0].name_wire) + 4
                tail = mutate(dice, wire[end:]) if wire[end:] else b""
                wire = wire[:end] + tail
            else:
                wire = mutate(dice, wire)
            if ctx.proto == "tcp" and dice.randrange(8) == 0:
                ctx.send_raw(wire)
            else:
                ctx.send(wire[:65535])
        if ctx.proto == "tcp" and dice.randrange(4) == 0:
            ctx.close()

    upstream.handler = script
    with Larder([upstream], conf={**HASTY, "resend-after": "50ms"}) as own:
        for _ in range(4):
            wires = [query(fresh_name("fuzz"), dice.choice((1, 28, 16, 15, 65,
                                                            5, 6, 65280)),
                           id=i, opt=dice.choice((None, Opt(), Opt(do=1))))
                     for i in range(250)]
            with burst(own, wires) as sock:
                got = collect(sock, 20, 250)
            assert len({m.id for m in got}) == len(got) == 250
            assert not any(m.trailing for m in got)
        own.alive()


def test_abu_08_control_socket(larder, upstream, dice):
    """ABU-08: noise on the control socket."""
    good = [b'{"method":"io.larder.GetStatus"}\0',
            b'{"method":"org.varlink.service.GetInfo","parameters":{}}\0']
    for _ in range(80):
        with socket.socket(socket.AF_UNIX) as sock, \
                contextlib.suppress(OSError):
            sock.settimeout(0.01)
            sock.connect(larder.control)
            sock.sendall(dice.randbytes(dice.randrange(300))
                         if dice.randrange(3) == 0
                         else mutate(dice, dice.choice(good)))
            if dice.randrange(2):
                sock.recv(4096)
    larder.alive()
    assert larder.ctl("status").returncode == 0


def test_abu_08_memory_is_bounded(upstream):
    """ABU-08: floods of unique names, of denials, of failures and of silent
    names leave no more behind than the cache may hold."""
    def script(ctx):
        kind = ctx.name[:2]
        if kind == "nx":
            ctx.send(reply(ctx.msg, [], [soa("example.")], rcode=3))
        elif kind == "sf":
            ctx.send(reply(ctx.msg, rcode=SERVFAIL))
        elif kind != "si":
            ctx.send(reply(ctx.msg, [rr(ctx.msg.question[0].name_wire, "A",
                                        300, GOOD)] * 3))

    upstream.handler = script
    with Larder([upstream], conf={
            "cache": {"size": "1M"}, "max-flights": 512, **HASTY}) as own:
        def flood(kind, n):
            with own.udp_socket() as sock:
                sent = 0
                while sent < n:
                    for _ in range(100):
                        sock.send(query(fresh_name(kind), id=sent & 0xFFFF,
                                        opt=Opt()))
                        sent += 1
                    collect(sock, 0.2, 100 if kind != "si" else 10)
        for kind in ("ok", "nx", "sf"):
            flood(kind, 300)
        before = memory_kib(own)
        for kind, n in (("ok", 4000), ("nx", 4000), ("sf", 3000),
                        ("si", 1000)):
            flood(kind, n)
        grown = memory_kib(own) - before
        time.sleep(1)           # the silent names end, and give room
        own.alive()
        if not is_sanitized(own):
            assert grown < 6 * 1024, f"grew by {grown} KiB"


# --- ABU-09: randomness -----------------------------------------------------

def sequences(zone, groups=6, each=150):
    """[(id, port)] of upstream sends for the questions of several client
    sockets, which two workers share between them, in one fresh larderd."""
    with Upstream() as server, Larder([server], conf={"threads": 2}) as own:
        for g in range(groups):
            with own.udp_socket() as sock:
                sock.settimeout(6)
                for i in range(each):
                    sock.send(query(f"q{i}.g{g}.{zone}", id=i))
                    sock.recv(4096)
        by_group = collections.defaultdict(list)
        first = {}              # a slow machine may bring others
        for entry in server.log:
            first.setdefault(entry.name, entry)
        for entry in first.values():
            by_group[entry.name.split(".")[1]].append(
                (entry.msg.id, entry.src[1]))
        found = list(by_group.values())
    assert len(found) == groups and all(len(f) == each for f in found)
    return found


def test_abu_09_workers_and_runs_differ():
    """ABU-09: two workers of one process, and two processes with the same
    questions in the same order, share no stretch of IDs or ports."""
    zone, seen = fresh_name("rand"), {}
    for turn in range(2):
        for group, run in enumerate(sequences(zone)):
            idents = [ident for ident, _ in run]
            ports = [port for _, port in run]
            assert len(set(idents)) >= 140
            # The workers of one process may use a pooled port again.
            for kind, values, who in (("id", idents, (turn, group)),
                                      ("port", ports, turn)):
                # Three of a few hundred ports may be alike by chance, once
                # in some millions of runs.
                for five in zip(*(values[i:] for i in range(5))):
                    other = seen.setdefault((kind, five), who)
                    assert other == who, (kind, five, other, who)


def test_abu_09_nothing_to_extrapolate():
    """ABU-09: no ID follows from the one before by a step, a flip or a
    constant factor."""
    for run in sequences(fresh_name("rand"), 2, 400):
        idents = [ident for ident, _ in run]
        pairs = list(zip(idents, idents[1:]))
        for what, values in {
                "step": [(b - a) & 0xFFFF for a, b in pairs],
                "flip": [a ^ b for a, b in pairs],
                "second step": [(c - 2 * b + a) & 0xFFFF for a, b, c in
                                zip(idents, idents[1:], idents[2:])],
                "swapped": [(int.from_bytes(a.to_bytes(2, "little"), "big")
                             - b) & 0xFFFF for a, b in pairs]}.items():
            most = collections.Counter(values).most_common(1)[0]
            assert most[1] <= 6, (what, most)
        ones = sum(bin(ident).count("1") for ident in idents)
        assert 0.45 < ones / (16 * len(idents)) < 0.55
        for bit in range(16):
            share = sum(i >> bit & 1 for i in idents) / len(idents)
            assert 0.32 < share < 0.68, (bit, share)


# --- ABU-10: names and the log ----------------------------------------------

EVIL_LABELS = [b"esc\x1b[31mred", b"quote\"'`$(x)", b"line\nready: forged",
               b"cr\r\nNOTICE forged", b"nul\x00nul", b"bell\x07\x08\x7f",
               b"csi\x9b31m", b"u\xe2\x80\xaeltr", b"%s%n%x", b"tab\tstop"]


def evil_names(tag):
    return [bytes([len(l)]) + l + bytes([len(tag)]) + tag
            + b"\x07example\x00" for l in EVIL_LABELS]


def provoke(larder, upstream, tag):
    """All kinds of trouble with such names, over both transports."""
    def script(ctx):
        mood = next(moods)
        if ctx.name.startswith("alive"):
            ctx.default()
        elif mood == 0:
            ctx.send(reply(ctx.msg, rcode=SERVFAIL))
        elif mood == 1:
            ctx.send(reply(ctx.msg, [b"\xc0"]))
        elif mood == 2:
            ctx.send(reply(ctx.msg, tc=1))
        elif mood == 3:
            ctx.send(reply(ctx.msg, rcode=REFUSED, opt=Opt(options=[
                (15, b"\x00\x16evil\x1b[0m\ntext")])))
        elif mood == 4:
            ctx.send(reply(ctx.msg, [
                rr(ctx.msg.question[0].name_wire, "CNAME", 300,
                   ctx.msg.question[0].name_wire)]))
        else:
            ctx.default()

    moods = iter(lambda c=iter(range(10 ** 9)): next(c) % 6, None)
    upstream.handler = script
    wires = []
    for name in evil_names(tag):
        wires += [query(name, opt=Opt()), query(name, "AAAA"),
                  query(name, "AXFR"), query(name, rd=0, opt=Opt()),
                  query(name, 128), query(name, qclass=4),
                  query(name, opcode=5), query(name)[:-3],
                  query(name, "TXT", qclass=3)]
    wires += [query(fresh_name("plain" + tag.decode())) for _ in range(6)]
    with burst(larder, [struct.pack("!H", i) + w[2:]
                        for i, w in enumerate(wires)]) as sock:
        assert len(collect(sock, 20, len(wires))) == len(wires)
    for name in evil_names(tag):
        assert larder.ask_tcp(name, "MX") is not None
    with larder.udp_socket("127.0.0.2") as sock:
        sock.send(query(evil_names(tag)[0]))
        collect(sock, 1, 1)
    larder.ctl("cache", "flush", tag.decode() + "\x1b.example")


def log_octets(larder):
    return Path(larder._err_path).read_bytes()


def test_abu_10_no_names_in_the_log(upstream):
    """ABU-10: at the level of every day no line tells what was asked."""
    tag = b"secretword"
    with Larder([upstream], conf={**HASTY, "allow": ["127.0.0.1"]}) as own:
        provoke(own, upstream, tag)
        own.hup()
        own.alive()
        log = log_octets(own)
    for word in (tag, b"forged", b"\\027", b"quote", b"plain", b"example",
                 b"127.0.0.2", b"evil"):
        assert word not in log.lower(), (word, log[-2000:])


@pytest.mark.parametrize("level", ["notice", "info", "debug"])
def test_abu_10_control_characters_are_escaped(upstream, level):
    """ABU-10: at any level, nothing a name or a reply holds moves the cursor
    or starts a line of the log; nor does it in what larderctl says."""
    with Larder([upstream], conf={**HASTY, "allow": ["127.0.0.1"],
                                  "log-level": level}) as own:
        provoke(own, upstream, b"secretword")
        own.alive()
        log = log_octets(own)
        said = own.ctl("cache", "flush", "x\x1b[31m\ny.example")
        ready = [line for line in log.split(b"\n") if b"ready: " in line]
    assert len(ready) == 1, ready
    for octets in (log, (said.stdout + said.stderr).encode("latin-1",
                                                           "replace")):
        assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f-\xff]", octets), octets
    assert not re.search(rb"(?m)^(ready: forged|NOTICE forged)", log)


# --- ABU-11: upstream sockets -----------------------------------------------

def ask_through(larder, n, zone, window=8):
    """n questions, a few at a time."""
    with larder.udp_socket() as sock:
        sock.settimeout(10)
        for i in range(n + window):
            if i < n:
                sock.send(query(f"s{i}.{zone}", id=i & 0xFFFF))
            if i >= window:
                sock.recv(4096)


@pytest.fixture(scope="module")
def pooled():
    """A larderd after 11000 questions, and how often each port was used."""
    with Quick() as server, Larder([server]) as own:
        began = time.monotonic()
        ask_through(own, 11000, fresh_name("pool"))
        took = time.monotonic() - began
        still_open = to_upstream(own, server)
        yield own, server, collections.Counter(server.ports), took, still_open


def test_abu_11_sockets_are_connected(pooled):
    """ABU-11: every UDP socket but the listener's is connected to U, and the
    kernel shows the port that U saw."""
    own, server, uses, _, still_open = pooled
    listeners = [mine for mine, theirs, _ in udp_table(own) if not theirs]
    assert set(listeners) == {own.port}, listeners
    for _, theirs, where in udp_table(own):
        if theirs:
            assert theirs == server.port and where == "0100007F"
    assert still_open and len(still_open - set(uses)) <= len(still_open) / 2


def test_abu_11_sockets_retire_after_so_many_uses(pooled):
    """ABU-11: a socket serves 16 to 48 questions, not always the same number,
    and is closed then."""
    _, _, uses, took, still_open = pooled
    # The kernel draws each port out of 28,000, so that two or three sockets may
    # have had the same one, the one after the other: about one in a run.
    over = {port: n for port, n in uses.items() if n > 48}
    assert len(over) < 10, over
    gone = sorted(n for port, n in uses.items() if port not in still_open)
    assert len(gone) >= 50 and len(still_open) <= 512
    # All of 16 to 48, evenly: not a fixed number, nor nearly one.
    assert len(set(gone)) >= 12, gone
    if took < 10:           # else some went for their age
        assert gone[0] >= 16, gone[:5]
        assert gone[len(gone) // 10] < 26 and gone[-len(gone) // 10] > 32, gone


def test_abu_11_one_question_at_a_time(upstream):
    """ABU-11: 100 questions at once, 100 sockets; an answered one is free
    again, and a late reply to it answers nobody."""
    slow = Slow(upstream)
    with Larder([upstream], conf=PATIENT) as own:
        names = [fresh_name("slow") for _ in range(100)]
        with burst(own, [query(n, id=i) for i, n in enumerate(names)]) as sock:
            eventually(lambda: len(slow.names()) == 100, 10,
                       lambda: len(slow.names()))
            ports = {ctx.src[1] for ctx in slow.first()}
            assert len(ports) == 100
            assert ports <= to_upstream(own, upstream)
            slow.release()
            assert len(collect(sock, 10, 100)) == 100
            # Once more, from U's side only: nothing comes of it.
            for ctx in slow.held:
                ctx.send(reply(ctx.msg, [rr(ctx.name, "A", 300,
                                            "192.0.2.66")]))
            assert collect(sock, 0.2) == []
            assert own.ask(names[0]).a() == [GOOD]


def idle_sockets():
    """After a burst of 200 questions at once the sockets go away by age."""
    with Upstream() as server, Larder([server], conf=PATIENT) as own:
        own.alive()
        rest = len(to_upstream(own, server))
        slow = Slow(server)
        names = [fresh_name("slow") for _ in range(200)]
        with burst(own, [query(n, id=i) for i, n in enumerate(names)]) as sock:
            eventually(lambda: len(slow.names()) == 200, 10,
                       lambda: len(slow.names()))
            slow.release()
            assert len(collect(sock, 10, 200)) == 200
        ports = {ctx.src[1] for ctx in slow.first()}
        assert len(ports) == 200
        eventually(lambda: len(to_upstream(own, server)) <= max(rest, 1), 25,
                   lambda: f"{len(to_upstream(own, server))} open, {rest} at "
                           "rest")
        closed = sorted(ports - to_upstream(own, server))
        assert len(closed) >= 199
        # From U's own address and port, as a late reply would come.
        late = reply(slow.held[0].msg)
        server.stop()
        unreachable = 0
        for port in closed[:10]:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind((server.host, server.port))
                sock.connect(("127.0.0.1", port))
                sock.settimeout(0.5)
                sock.send(late)
                try:
                    sock.recv(100)
                except ConnectionRefusedError:
                    unreachable += 1
        assert unreachable >= 8     # somebody else may have drawn that port
        server.start()
        own.alive()


def test_abu_11_idle_sockets_are_closed(ten_seconds):
    """ABU-11: 10 s after a burst the table is back to its rest size, and a
    late reply to a port of the burst meets ICMP."""
    ten_seconds[idle_sockets].result(60)
