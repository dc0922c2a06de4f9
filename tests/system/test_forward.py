"""Sending on: conformance section 5, rows FWD-* of tier core.

Which of several servers is asked first is larder's own affair.  So a `Team` of
fake upstreams goes by the order in which a name reached them: the first server
that is asked for a name says this, the second that.

Rows that wait for later parts: FWD-08 (probes of servers held for dead),
FWD-14 (the token bucket of hedged sends), FWD-15 (changes of routes and
interfaces), FWD-18 (servers given by name).  The stale data of FWD-07 comes
with section 13.
"""

import contextlib
import itertools
import select
import socket
import struct
import threading
import time

import pytest

import harness
from harness import (FORMERR, NOERROR, NOTIMP, NXDOMAIN, REFUSED, SERVFAIL,
                     TYPES, YXDOMAIN, Larder, Opt, Upstream, check_error,
                     eventually, fresh_name, free_port, parse, query, reply,
                     rr, soa)

GOOD = "192.0.2.10"
AT_ONCE = 0.9       # seconds; those larders resend after a whole second
TRIES = 3
BUDGET = 24

everything = []     # all that reached any fake upstream of this file


class Server(Upstream):
    def _take(self, ctx):
        super()._take(ctx)
        everything.append((ctx.proto, ctx.wire, ctx.msg))


@pytest.fixture(scope="module")
def module_upstream():
    with Server() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def module_larder(module_upstream):
    # So patient that nothing is sent twice on a slow machine.
    with Larder([module_upstream], conf={"resend-after": "1s"}) as larder:
        yield larder


class Team:
    """Servers that answer by the order in which larder comes to them.

    team[name] = rules: rules[0] is what the first server asked for the name
    does, whichever it is, rules[1] the second and, being the last, any other.
    """

    def __init__(self, size=2, **kw):
        self._lock, self._rules = threading.Lock(), {}
        self._order = {}        # name: [server, ...]
        self.servers = []
        with contextlib.ExitStack() as stack:
            for _ in range(size):
                server = stack.enter_context(Server(**kw))
                server.handler = self._handle
                self.servers.append(server)
            self._stack = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *what):
        return self._stack.__exit__(*what)

    def __setitem__(self, name, rules):
        self._rules[name] = rules

    def _handle(self, ctx):
        rules = self._rules.get(ctx.name)
        if rules is None:
            return ctx.default()
        with self._lock:
            order = self._order.setdefault(ctx.name, [])
            if ctx.upstream not in order:
                order.append(ctx.upstream)
            place = order.index(ctx.upstream)
        return rules[min(place, len(rules) - 1)](ctx)

    def sends(self, name):
        """[(time, place of the server, proto)] in order of arrival."""
        found = []
        for server in self.servers:
            found += [(e.t, server, e.proto) for e in server.entries(name)]
        found.sort(key=lambda f: f[0])
        order = []
        for _, server, _ in found:
            if server not in order:
                order.append(server)
        return [(t, order.index(server), proto) for t, server, proto in found]

    def places(self, name):
        return [place for _, place, _ in self.sends(name)]

    def count(self, name):
        return len(self.sends(name))


# --- what servers do --------------------------------------------------------

def silent(ctx):
    """Nothing comes back, by UDP or by TCP."""


def good(ctx):
    ctx.send(reply(ctx.msg, [rr(ctx.name, "A", 300, GOOD)]))


def code(rcode, **kw):
    return lambda ctx: ctx.send(reply(ctx.msg, rcode=rcode, **kw))


def bare(rcode):
    """Nothing but a header, as some servers refuse."""
    return lambda ctx: ctx.send(struct.pack(
        "!6H", ctx.msg.id, 0x8180 | rcode, 0, 0, 0, 0))


def by_tcp(rule):
    """The same, but only by TCP: over UDP it says so."""
    return lambda ctx: (rule(ctx) if ctx.proto == "tcp"
                        else ctx.send(reply(ctx.msg, tc=1)))


def timed(larder, name, qtype="A", *, by="udp", **kw):
    began = time.monotonic()
    msg = (larder.ask if by == "udp" else larder.ask_tcp)(name, qtype, **kw)
    return msg, time.monotonic() - began


@pytest.fixture(scope="module")
def pair():
    with Team(2) as team:
        yield team


@pytest.fixture(scope="module")
def patient(pair):
    """Two servers; a question is sent again after a second at the earliest."""
    with Larder(pair.servers, conf={"resend-after": "1s"}) as larder:
        yield larder


@contextlib.contextmanager
def crew(size=2, conf=None, **kw):
    """A team and a larder of a test's own: what it learns, it forgets."""
    with Team(size, **kw) as team, Larder(team.servers, conf={
            "resend-after": "1s", **(conf or {})}) as larder:
        yield team, larder


# --- a server that does not answer ------------------------------------------

RESENDS = {"resend-after": "300ms"}


@pytest.mark.parametrize("size", [2, 3])
def test_fwd_02_another_server_before_the_same(size):
    """FWD-02: silence: each other server is asked before one is repeated."""
    with Team(size) as team, Larder(team.servers, conf=RESENDS) as larder:
        for _ in range(3):
            name = fresh_name()
            team[name] = [silent] * (size - 1) + [good]
            msg, seconds = timed(larder, name)
            assert msg is not None and msg.a() == [GOOD], msg
            assert seconds < 3
            places = team.places(name)
            assert places[:size] == list(range(size)), places


def test_fwd_02_a_silent_server_among_two():
    """FWD-02: U1 silent for all names: C has every answer under 2 s."""
    with Team(2) as team, Larder(team.servers, conf=RESENDS) as larder:
        deaf = team.servers[0]
        deaf.handler = silent
        for _ in range(5):
            msg, seconds = timed(larder, fresh_name())
            assert msg is not None and msg.rcode == NOERROR, msg
            assert seconds < 3


# --- a server that fails ----------------------------------------------------

failures = pytest.mark.parametrize(
    "rcode", [SERVFAIL, REFUSED, NOTIMP, FORMERR],
    ids=["servfail", "refused", "notimp", "formerr"])


@failures
@pytest.mark.parametrize("how", ["with OPT", "without OPT", "header alone",
                                 "by TCP"])
def test_fwd_03_next_server_at_once(rcode, how):
    """FWD-03: an error code from one: the other is asked without waiting."""
    rule = {"with OPT": code(rcode), "without OPT": code(rcode, opt=None),
            "header alone": bare(rcode), "by TCP": by_tcp(code(rcode))}[how]
    with crew() as (team, larder):
        for by, opt in (("udp", None), ("tcp", Opt()), ("udp", Opt(do=1))):
            name = fresh_name()
            team[name] = [rule, good]
            msg, seconds = timed(larder, name, by=by, opt=opt)
            assert msg is not None and msg.a() == [GOOD], msg
            assert seconds < AT_ONCE, f"{seconds:.3f} s"
            assert team.places(name)[-1] == 1
            assert team.places(name).count(1) == 1


def test_fwd_03_third_server(pair):
    """FWD-03: two fail, each in its way, and the third answers, at once."""
    with crew(3) as (team, larder):
        for first, second in itertools.permutations(
                (SERVFAIL, REFUSED, NOTIMP), 2):
            name = fresh_name()
            team[name] = [code(first), code(second), good]
            msg, seconds = timed(larder, name)
            assert msg is not None and msg.a() == [GOOD], msg
            assert seconds < AT_ONCE, f"{seconds:.3f} s"


def test_fwd_04_denials_end_the_search(pair):
    """FWD-04: NXDOMAIN or NODATA from U1: U2 is not asked, now or later."""
    denials = {
        "nxdomain": (NXDOMAIN, code(NXDOMAIN, authority=[soa("example.")])),
        "nodata": (NOERROR, code(NOERROR, authority=[soa("example.")])),
        "nxdomain by TCP": (NXDOMAIN, by_tcp(
            code(NXDOMAIN, authority=[soa("example.")]))),
    }
    names = {}
    with Larder(pair.servers, conf={"resend-after": "700ms"}) as larder:
        for what, (rcode, rule) in denials.items():
            name = names[what] = fresh_name()
            pair[name] = [rule, good]
            msg = larder.ask(name)
            assert msg.rcode == rcode and msg.answer == [], msg
            assert len(msg.authority) == 1, msg
        time.sleep(0.8)     # when a second send would have been due
    for what, name in names.items():
        assert set(pair.places(name)) == {0}, what
        assert pair.count(name) == (2 if "TCP" in what else 1)


MIXES = {
    "refused": ([REFUSED], REFUSED),
    "refused, refused": ([REFUSED, REFUSED], REFUSED),
    "servfail": ([SERVFAIL], SERVFAIL),
    "servfail, servfail": ([SERVFAIL, SERVFAIL], SERVFAIL),
    "refused, servfail": ([REFUSED, SERVFAIL], SERVFAIL),
    "servfail, refused": ([SERVFAIL, REFUSED], SERVFAIL),
    "refused, notimp": ([REFUSED, NOTIMP], SERVFAIL),
    "notimp, notimp": ([NOTIMP, NOTIMP], SERVFAIL),
    "formerr, formerr": ([FORMERR, FORMERR], SERVFAIL),
    "refused, silence": ([REFUSED, None], SERVFAIL),
    "silence, refused": ([None, REFUSED], SERVFAIL),
}


@pytest.mark.parametrize("mix", MIXES)
def test_fwd_05_when_all_servers_fail(mix):
    """FWD-05: all REFUSED: REFUSED; every other mix: SERVFAIL; no silence."""
    codes, expected = MIXES[mix]
    with crew(len(codes), {"resend-after": "100ms", "query-timeout": "1s",
                           "resolve-timeout": "1s"}) as (team, larder):
        wires, names = [], []
        for opt in (None, Opt()):
            name = fresh_name()
            team[name] = [silent if c is None else code(c) for c in codes]
            names.append(name)
            wires.append(query(name, opt=opt))
        with larder.tcp() as conn, larder.udp_socket() as sock:
            sock.settimeout(6)
            sock.send(wires[0])
            conn.send(wires[1])
            check_error(wires[0], parse(sock.recv(4096)), expected)
            check_error(wires[1], conn.recv(), expected)
        for name in names:
            assert set(team.places(name)) == set(range(len(codes)))


# --- how often, and for how long --------------------------------------------

SHORT = {"resend-after": "20ms", "query-timeout": "500ms",
         "resolve-timeout": "1s"}


def check_tries(servers, name, most=TRIES):
    total = 0
    for server in servers:
        for proto in ("udp", "tcp"):
            n = server.count(name, proto=proto)
            assert n <= most, f"{n} sends by {proto}"
            total += n
    assert 2 <= total <= BUDGET, total


@pytest.mark.parametrize("size", [1, 2])
def test_fwd_06_three_sends_at_most(size):
    """FWD-06: silent servers: at most 3 sends each by UDP, and 3 by TCP."""
    with Team(size) as team, Larder(team.servers, conf=SHORT) as larder:
        name = fresh_name()
        team[name] = [silent]
        wire = query(name)
        # Others who ask meanwhile make no more of it, before or after the
        # first reply.
        with larder.udp_socket() as sock:
            for _ in range(12):
                sock.send(query(name))
                sock.send(wire)
                time.sleep(0.1)
        check_tries(team.servers, name)


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
def test_fwd_06_connections_that_end(scheme):
    """FWD-06: a server that closes each connection gets 3 questions by TCP."""
    with Team(1) as team, Larder(
            [f"{scheme}://{team.servers[0].url}"], conf=SHORT) as larder:
        names = [fresh_name(), fresh_name()]
        team[names[0]] = [by_tcp(lambda ctx: ctx.close())]
        team[names[1]] = [by_tcp(lambda ctx: ctx.reset())]
        began = time.monotonic()
        for name in names:
            msg, seconds = timed(larder, name)
            assert msg is not None and msg.rcode == SERVFAIL, msg
            assert seconds < 2
        time.sleep(max(0, began + 1.6 - time.monotonic()))
        for name in names:
            check_tries(team.servers, name)


@pytest.fixture(scope="module", autouse=True)
def long_silence():
    """A question to a silent server by the default times, asked at the start;
    test_fwd_07_default_times, at the end, sees what came of it."""
    with Server() as server, Larder([server]) as larder:
        server.handler = silent
        name, result = fresh_name(), {}

        def ask():
            result["msg"], result["seconds"] = timed(larder, name, timeout=8)
        began = time.monotonic()
        thread = threading.Thread(target=ask)
        thread.start()
        yield server, larder, name, began, thread, result
        thread.join()


@pytest.mark.parametrize("by", ["udp", "tcp"])
def test_fwd_07_times_are_settings(by):
    """FWD-07: SERVFAIL at `query-timeout`, work until `resolve-timeout`."""
    with crew(1, {"resend-after": "300ms", "query-timeout": "600ms",
                  "resolve-timeout": "1500ms"}) as (team, larder):
        name = fresh_name()
        team[name] = [silent]
        began = time.monotonic()
        msg, seconds = timed(larder, name, by=by)
        assert msg is not None and msg.rcode == SERVFAIL, msg
        assert 0.45 < seconds < 2.5, seconds        # the default is 4 s
        # The fake upstream itself may be slow to take what was sent in time.
        time.sleep(max(0, began + 1.8 - time.monotonic()))
        sends = team.sends(name)
        time.sleep(0.5)
        assert team.sends(name) == sends, "sends after the end of all work"


def test_fwd_07_the_work_goes_on_for_the_cache():
    """FWD-07: U answers after C had its SERVFAIL: the next question hits."""
    with crew(1, {"query-timeout": "300ms", "resolve-timeout": "3s"}) as (
            team, larder):
        name, waiting = fresh_name(), []
        team[name] = [waiting.append]
        assert larder.ask(name).rcode == SERVFAIL
        for ctx in waiting:
            good(ctx)
        eventually(lambda: larder.ask(name).a() == [GOOD], 2)
        sends = team.count(name)    # 1, if all this took less than a second
        msg = larder.ask(name)
        assert msg is not None and msg.a() == [GOOD], msg
        assert team.count(name) == sends


# --- what looks like an answer and is none ----------------------------------

def ns(zone, host="ns.other.net."):
    return rr(zone, "NS", 300, host)


REFERRALS = {
    "down": ([ns("example.")], []),
    "to the name itself": ([ns("NAME")], []),
    "up to the root": ([ns("."), ns(".", "b.other.net.")], []),
    "with glue": ([ns("example.")],
                  [rr("ns.other.net.", "A", 300, "192.0.2.66")]),
}


def referral(name, what, **kw):
    authority, additional = REFERRALS[what]
    authority = [ns(name) if r == ns("NAME") else r for r in authority]
    return code(NOERROR, authority=authority, additional=additional, **kw)


@pytest.mark.parametrize("what", REFERRALS)
def test_fwd_09_referral_is_no_answer(pair, patient, what):
    """FWD-09: NOERROR, empty, NS and no SOA: the next server, at once."""
    for wrap, ra in itertools.product((lambda rule: rule, by_tcp), (1, 0)):
        name = fresh_name()
        pair[name] = [wrap(referral(name, what, ra=ra)), good]
        msg, seconds = timed(patient, name)
        assert msg is not None and msg.a() == [GOOD], msg
        assert seconds < AT_ONCE, f"{seconds:.3f} s"
        assert set(pair.places(name)) == {0, 1}


def test_fwd_09_referrals_alone():
    """FWD-09: nothing but referrals: SERVFAIL, and nothing of them is kept."""
    with crew(2, {"cache": {"failure-ttl": "1s"}}) as (team, larder):
        name, host = fresh_name(), fresh_name("ns")
        zone = name
        team[name] = [code(NOERROR, authority=[ns(zone, host)], additional=[
            rr(host, "A", 300, "192.0.2.66")])]
        for opt in (None, Opt()):
            msg = larder.ask(name, opt=opt)
            assert msg is not None and msg.rcode == SERVFAIL, msg
            assert (msg.answer, msg.authority) == ([], []), msg
        assert larder.ask(host).a() == ["192.0.2.1"]
        assert team.count(host) == 1
        del team._rules[name]
        msg = larder.ask(zone, "NS")
        assert msg.rcode == NOERROR and msg.answer == [], msg
        time.sleep(1.1)     # the hold of the failure
        assert larder.ask(name).a() == ["192.0.2.1"]


def test_fwd_09_soa_makes_it_an_answer(pair, patient):
    """FWD-09: the same with an SOA beside the NS is NODATA."""
    name = fresh_name()
    pair[name] = [code(NOERROR, authority=[ns("example."), soa("example.")]),
                  good]
    for _ in ("miss", "hit"):
        msg = patient.ask(name)
        assert msg.rcode == NOERROR and msg.answer == [], msg
    assert pair.count(name) == 1


@pytest.mark.parametrize("rcode", [NOERROR, NXDOMAIN],
                         ids=["noerror", "nxdomain"])
def test_fwd_10_no_recursion_and_nothing_to_say(pair, patient, rcode):
    """FWD-10: RA=0, no answer and no SOA: a failure, the next server."""
    for kw in ({}, {"authority": [ns("example.")]}, {"opt": None},
               {"additional": [rr("x.example.", "A", 300, "192.0.2.66")]}):
        name = fresh_name()
        pair[name] = [code(rcode, ra=0, **kw), good]
        msg, seconds = timed(patient, name)
        assert msg is not None and msg.a() == [GOOD], (kw, msg)
        assert seconds < AT_ONCE, f"{seconds:.3f} s"


def test_fwd_10_no_recursion_from_all():
    """FWD-10: RA=0 and nothing else from all servers: SERVFAIL."""
    with crew() as (team, larder):
        name = fresh_name()
        team[name] = [code(NOERROR, ra=0)]
        wire = query(name, opt=Opt())
        check_error(wire, larder.udp(wire), SERVFAIL)
        assert set(team.places(name)) == {0, 1}


def test_fwd_10_no_recursion_but_an_answer(pair, patient):
    """FWD-10: RA=0 with data, or with an SOA, is an answer; C sees RA=1."""
    for rcode, answer, authority in (
            (NOERROR, True, []), (NOERROR, False, [soa("example.")]),
            (NXDOMAIN, False, [soa("example.")])):
        name = fresh_name()
        records = [rr(name, "A", 300, "192.0.2.20")] if answer else []
        pair[name] = [code(rcode, answer=records, authority=authority, ra=0),
                      good]
        for _ in ("miss", "hit"):
            msg = patient.ask(name)
            assert msg.rcode == rcode and msg.ra == 1, msg
            assert msg.a() == (["192.0.2.20"] if answer else []), msg
        assert pair.count(name) == 1


# --- loops ------------------------------------------------------------------

class Relay:
    """A handler that asks somebody else and hands the reply back."""

    def __init__(self):
        self.target = None

    def __call__(self, ctx):
        threading.Thread(target=self._pass_on, args=(ctx,),
                         daemon=True).start()

    def _pass_on(self, ctx):
        with contextlib.suppress(OSError):
            if ctx.proto == "tcp":
                with harness.TcpConn(self.target) as conn:
                    conn.send(ctx.wire)
                    msg = conn.recv(5)
                    if msg is not None:
                        ctx.send(msg.wire)
                return
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.connect(self.target)
                sock.settimeout(5)
                sock.send(ctx.wire)
                ctx.send(sock.recv(65535))


QUICK = {"resend-after": "50ms", "query-timeout": "500ms",
         "resolve-timeout": "1s"}


@pytest.mark.parametrize("houses", [1, 2, 3])
def test_fwd_11_loops_end(houses):
    """FWD-11: larders set to each other: SERVFAIL, few sends, then silence."""
    with contextlib.ExitStack() as stack:
        relays = [stack.enter_context(Server()) for _ in range(houses)]
        larders = [stack.enter_context(Larder([relay], conf=QUICK))
                   for relay in relays]
        for i, relay in enumerate(relays):
            relay.handler = Relay()
            after = larders[(i + 1) % houses]
            relay.handler.target = (after.host, after.port)
        name = fresh_name("loop")
        msg, seconds = timed(larders[0], name)
        assert msg is not None and msg.rcode == SERVFAIL, msg
        assert seconds < 2.5, seconds       # the default is 4 s
        # Each larder in the loop may still work to its own end.
        sends, deadline = None, time.monotonic() + 4
        while sends != (sends := [relay.count(name) for relay in relays]):
            assert time.monotonic() < deadline, f"not idle: {sends}"
            time.sleep(0.8)
        assert all(1 <= n <= BUDGET for n in sends), sends
        # It is held as a failure: no second round.
        msg, seconds = timed(larders[0], name)
        assert msg.rcode == SERVFAIL and seconds < 2
        assert [relay.count(name) for relay in relays] == sends
        for larder in larders:
            larder.check_running()


def test_fwd_11_two_larders_face_to_face():
    """FWD-11: the same without anybody between: each says SERVFAIL, once."""
    ports = [free_port(), free_port()]
    with contextlib.ExitStack() as stack:
        larders = [stack.enter_context(Larder(
            [f"127.0.0.1:{ports[1 - i]}"], listen=[f"127.0.0.1:{ports[i]}"],
            conf=QUICK)) for i in (0, 1)]
        names = [fresh_name("loop") for _ in range(20)]
        with larders[0].udp_socket() as first, \
                larders[1].udp_socket() as second:
            began = time.monotonic()
            for i, name in enumerate(names):
                first.send(query(name, id=i))
                second.send(query(name, id=i))
            for sock in (first, second):
                got = []
                while len(got) < len(names):
                    assert select.select([sock], [], [], 5)[0], "silence"
                    msg = parse(sock.recv(4096))
                    assert msg.rcode == SERVFAIL, msg
                    got.append(msg.id)
                assert sorted(got) == list(range(len(names)))
            assert time.monotonic() - began < 3     # the default is 4 s


def test_fwd_11_own_address_is_refused():
    """FWD-11: larder's own address as its upstream: it does not start."""
    port = free_port()
    for own in (f"127.0.0.1:{port}", f"tcp://127.0.0.1:{port}"):
        with Larder([own], listen=[f"127.0.0.1:{port}"],
                    expect_start=False) as larder:
            assert larder.proc.returncode == 1
            assert f"127.0.0.1:{port}" in larder.log()


# --- codes ------------------------------------------------------------------

@pytest.mark.parametrize("rcode", [16, 19, 23, 100])
@pytest.mark.parametrize("size", [1, 2])
def test_fwd_12_codes_over_15(rcode, size):
    """FWD-12: a code that needs OPT is never shown to C: SERVFAIL.

    Low bits that read NOERROR or NXDOMAIN, and data beside them, change
    nothing.
    """
    with crew(size, {"query-timeout": "1s", "resolve-timeout": "1s"}) as (
            team, larder):
        for opt, by, data in itertools.product((None, Opt()), ("udp", "tcp"),
                                               (False, True)):
            name = fresh_name()
            answer = [rr(name, "A", 300, "192.0.2.66")] if data else []
            team[name] = [code(rcode, answer=answer,
                               authority=[soa("example.")])]
            msg, _ = timed(larder, name, opt=opt, by=by)
            assert msg is not None and msg.rcode == SERVFAIL, (msg, by)
            assert (msg.answer, msg.authority) == ([], []), msg
            assert (msg.opt is None) == (opt is None)
            # And not from the cache either.
            msg = larder.ask(name, opt=opt)
            assert msg.rcode == SERVFAIL and msg.answer == [], msg


@pytest.mark.parametrize("rcode", [16, 23, 100])
def test_fwd_12_next_server(pair, patient, rcode):
    """FWD-12: such a code from one server: the other one is asked."""
    name = fresh_name()
    pair[name] = [code(rcode), good]
    msg, seconds = timed(patient, name)
    assert msg is not None and msg.a() == [GOOD], msg
    assert seconds < AT_ONCE, f"{seconds:.3f} s"


def test_fwd_13_yxdomain_is_relayed(pair, patient):
    """FWD-13: YXDOMAIN (a DNAME that yields too long a name) is an answer."""
    for by, opt in (("udp", None), ("tcp", Opt())):
        owner = fresh_name("d")
        name = "a." + owner
        pair[name] = [code(YXDOMAIN, answer=[
            rr(owner, "DNAME", 300, ".".join(["x" * 60] * 4) + ".")]), good]
        msg, _ = timed(patient, name, by=by, opt=opt)
        assert msg is not None and msg.rcode == YXDOMAIN, msg
        assert set(pair.places(name)) == {0}


@pytest.mark.parametrize("size", [1, 2])
def test_fwd_13_other_codes_are_servfail(size):
    """FWD-13: codes 7 to 15 from all servers become SERVFAIL."""
    with crew(size) as (team, larder):
        for rcode in range(7, 16):
            for opt in (None, Opt()):
                name = fresh_name()
                answer = [rr(name, "A", 300, "192.0.2.66")]
                team[name] = [code(rcode, answer=answer)]
                wire = query(name, opt=opt)
                check_error(wire, larder.udp(wire), SERVFAIL)


# --- many clients -----------------------------------------------------------

def test_fwd_17_over_the_limit():
    """FWD-17: over `max-flights`: SERVFAIL at once; hits are still served."""
    limit, more = 100, 400
    with crew(1, {"max-flights": limit, "query-timeout": "2s",
                  "resolve-timeout": "2s"}) as (team, larder):
        (server,) = team.servers
        hit = fresh_name("hit")
        assert larder.ask(hit).a()
        server.handler = silent
        server.clear()
        names = [fresh_name("full") for _ in range(limit + more)]
        began = time.monotonic()
        refused = set()

        def hear(sock, n, seconds):
            """Takes n replies; fewer when none comes for so long."""
            while len(refused) < n and select.select([sock], [], [],
                                                     seconds)[0]:
                msg = parse(sock.recv(4096))
                assert msg.rcode == SERVFAIL and msg.answer == [], msg
                assert msg.id not in refused
                refused.add(msg.id)

        with larder.udp_socket() as sock:
            for i, name in enumerate(names):
                sock.send(query(name, id=i))
                if i % 50 == 49:
                    msg = larder.ask(hit)
                    assert msg is not None and msg.a(), f"after {i}"
                    hear(sock, more, 0)
            hear(sock, more, 1)
            assert len(refused) == more
            seconds = time.monotonic() - began
            assert seconds < 1.9, seconds       # the others wait for 2 s
            msg, seconds = timed(larder, fresh_name("full"), by="tcp")
            assert msg is not None and msg.rcode == SERVFAIL
            assert seconds < 1, seconds
            assert larder.ask_tcp(hit).a()
            taken = {n for i, n in enumerate(names) if i not in refused}
            eventually(lambda: len({e.name for e in server.entries()}) >= limit)
            assert {e.name for e in server.entries()} == taken
            # The others get theirs when their time is over, and then there is
            # room again.
            sock.settimeout(6)
            late = [parse(sock.recv(4096)) for _ in range(limit)]
            assert {m.rcode for m in late} == {SERVFAIL}
            assert {m.id for m in late} | refused == set(range(limit + more))
        eventually(lambda: larder.stats()["gauges"]["flights"] == 0)
        server.handler = harness.answer_default
        larder.alive()


def joined(conn, server, name):
    """Waits until larder has read it: a later question has come back."""
    conn.send(query(fresh_name("mark")))
    assert conn.recv() is not None
    assert server.count(name) == 1


@pytest.mark.parametrize("leaver", ["first", "second"])
def test_fwd_19_some_clients_leave(pair, patient, leaver):
    """FWD-19: C1 closes its TCP connection: C2 has its answer, log 1."""
    for end in ("close", "reset"):
        name = fresh_name()
        pair[name] = [lambda ctx: ctx.send_later(0.5, reply(
            ctx.msg, [rr(ctx.name, "A", 300, GOOD)]))]
        began = time.monotonic()
        stays, goes = query(name), query(name)
        with patient.tcp() as conn, patient.tcp() as other, \
                patient.udp_socket() as sock:
            for who in ([goes, stays] if leaver == "first" else
                        [stays, goes]):
                if who is goes:
                    conn.send(goes)
                    joined(conn, pair, name)
                else:
                    sock.send(stays)
                    other.send(stays)
                    joined(other, pair, name)
            if end == "reset":
                conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                     struct.pack("ii", 1, 0))
            conn.close()
            sock.settimeout(6)
            assert parse(sock.recv(4096)).a() == [GOOD]
            msg = other.recv()
            assert msg is not None and msg.a() == [GOOD]
        if time.monotonic() - began < 0.9:      # else it was sent once more
            assert pair.count(name) == 1


# --- every query that went upstream -----------------------------------------

def odd_questions():
    """Arguments of query() that a careless forwarder would pass on."""
    return [{"aa": 1}, {"tc": 1}, {"ra": 1}, {"z": 1}, {"ad": 1}, {"cd": 1},
            {"rcode": 5}, {"aa": 1, "tc": 1, "ra": 1, "z": 1, "rcode": 15},
            {"opt": Opt(flags=0x7FFF)}, {"opt": Opt(size=65535, do=1)}]


def test_fwd_01_odd_flags_do_not_pass(upstream, patient, pair, larder):
    """FWD-01: whatever flags C set, U gets a plain question, its own ID."""
    own = 0
    for i, kw in enumerate(odd_questions()):
        for by, ident in (("udp", 0x4711 + i), ("tcp", 0x1147 + i)):
            name = fresh_name("odd")
            ask = larder.ask if by == "udp" else larder.ask_tcp
            assert ask(name, id=ident, **kw).a(), kw
            (entry,) = upstream.entries(name)
            check_plain(entry.proto, entry.wire, entry.msg)
            own += entry.msg.id != ident
    # One in 65536 may be equal by chance.
    assert own >= 2 * len(odd_questions()) - 1


def check_plain(proto, wire, msg):
    what = f"{proto} {wire.hex()}"
    assert msg is not None, what
    assert (msg.qr, msg.opcode, msg.rcode & 15, msg.rd) == (0, 0, 0, 1), what
    assert (msg.aa, msg.tc, msg.ra, msg.z) == (0, 0, 0, 0), what
    assert msg.counts[:3] == (1, 0, 0), what
    assert msg.counts[3] == (1 if msg.opt else 0), what
    assert msg.trailing == b"", what


CLIENT_OPTIONS = [
    (8, b"\0\1\x20\0\xc6\x33\x64\x07"),             # subnet 198.51.100.7
    (10, b"cookie-8"),
    (65001, bytes.fromhex("02005e005301")),         # a MAC, as dnsmasq sends
    (65073, b"\0\x11client.lan"), (65074, b"client-id"), (12, b"\0" * 24),
    (3, b""), (26946, b"serial-of-client"),
]


@pytest.mark.parametrize("by", ["udp", "tcp"])
def test_fwd_16_nothing_of_the_client_goes_up(upstream, larder, by):
    """FWD-16: U gets header, question and larder's own OPT, nothing else."""
    ask = larder.ask if by == "udp" else larder.ask_tcp
    for do in (0, 1):
        name = fresh_name("who")
        msg = ask(name, src="127.0.0.77",
                  opt=Opt(size=4096, do=do, options=CLIENT_OPTIONS))
        assert msg.a(), msg
        (entry,) = upstream.entries(name)
        assert len(entry.wire) == 12 + len(harness.qname(name)) + 4 + 11
        assert entry.msg.opt.options == []
        for secret in (b"\xc6\x33\x64", b"cookie-8", b"client", b"serial",
                       bytes.fromhex("02005e005301"), b"\x7f\0\0\x4d"):
            assert secret not in entry.wire


def test_fwd_16_client_records_do_not_go_up(upstream, larder):
    """FWD-16: nor do additional records, or octets after the message."""
    name = fresh_name("who")
    wire = query(name)
    wire = (wire[:10] + b"\0\1" + wire[12:]
            + rr("client.lan.", "A", 60, "198.51.100.7") + b"left-over")
    msg = larder.udp(wire)
    assert msg is not None and msg.a(), msg
    (entry,) = upstream.entries(name)
    check_plain(entry.proto, entry.wire, entry.msg)
    assert len(entry.wire) == 12 + len(harness.qname(name)) + 4 + 11


# --- the long wait, and what all of it left in the logs ----------------------

def test_fwd_07_default_times(long_silence):
    """FWD-07: U silent: SERVFAIL after 4 s, before a client gives up after 5;
    no send after 10 s."""
    server, larder, name, began, thread, result = long_silence
    thread.join(8)
    msg, seconds = result["msg"], result["seconds"]
    assert msg is not None and msg.rcode == SERVFAIL, msg
    assert 3.5 < seconds < 4.95, seconds
    time.sleep(max(0, began + 10 - time.monotonic()))
    sends = server.entries(name)
    assert sends and sends[-1].t - began < 10
    check_tries([server], name)
    time.sleep(max(0, began + 11 - time.monotonic()))
    assert len(server.entries(name)) == len(sends)
    larder.check_running()


def test_fwd_01_16_every_query_of_this_file(upstream, larder):
    """FWD-01, FWD-16: every query that reached any fake upstream above."""
    larder.ask(fresh_name())
    for proto, wire, msg in everything:
        check_plain(proto, wire, msg)
        if msg.opt:
            assert msg.opt.version == 0 and msg.opt.flags == 0, wire.hex()
            # A connection may ask to be kept open; that is larder's own wish.
            allowed = [[], [(11, b"")]] if proto == "tcp" else [[]]
            assert msg.opt.options in allowed, wire.hex()
    assert any(msg.question[0].qtype == TYPES["A"] for _, _, msg in everything)
