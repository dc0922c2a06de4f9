"""Extended errors: conformance section 15, EDE-01 to EDE-05.

Of EDE-05 codes 3 and 19 (stale data) wait for `stale`, and 14 cannot be seen
from outside: larderd is ready before it listens.  EDE-06 and EDE-07 are of
tiers policy and dnssec.  What EDE-05 says of 21 for transfers and classes,
and of 30, is also shown beside HDR-21, -22, -25 and NAME-17.
"""

import collections
import contextlib
import re
import struct

import pytest

import harness
from harness import (FORMERR, NOERROR, NOTIMP, NXDOMAIN, REFUSED, SERVFAIL,
                     Larder, Opt, Upstream, check_error, free_port, fresh_name,
                     query, reply, rr, soa)

EDE = 15
GOOD = "192.0.2.1"
BOTH = pytest.mark.parametrize("proto", ["udp", "tcp"])
LONGEST = 100       # octets of text that still count as short
ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+|[0-9A-Fa-f]*:[0-9A-Fa-f:]*:")


def ede(code, text=b""):
    """One extended error as an option."""
    return EDE, struct.pack("!H", code) + text


def with_ede(*options, **kw):
    return Opt(options=list(options), **kw)


def codes(msg):
    return [code for code, _ in msg.ede]


def send(larder, proto, wire, timeout=3, **kw):
    if proto == "udp":
        msg = larder.udp(wire, timeout=timeout, **kw)
    else:
        with larder.tcp(**kw) as conn:
            conn.send(wire)
            msg = conn.recv(timeout)
        if msg is not None and msg.rcode:
            harness.exchanges.append((wire, msg))
    assert msg is not None, "no reply"
    assert msg.id == struct.unpack("!H", wire[:2])[0], msg
    return msg


def check_text(msg):
    """EDE-01 of every extended error in a reply; those that came from an
    upstream may also name it (EDE-03)."""
    if not msg.opt:
        return
    for code, data in msg.opt.options:
        if code != EDE:
            continue
        assert len(data) >= 2, msg
        text = data[2:].decode("utf-8")         # or the test ends here
        assert len(data) - 2 <= LONGEST, (len(data), text)
        assert not re.search(r"[\x00-\x1f\x7f]", text), repr(text)


def check_own_text(msg, client):
    """No address, no path, nothing of the client in what larder says."""
    check_text(msg)
    for _, text in msg.ede:
        assert not ADDRESS.search(text), text
        assert "/" not in text and "\\" not in text, text
        assert str(client) not in text, text
        for question in msg.question:
            label = question.text.split(".")[0]
            assert not label or label.lower() not in text.lower(), text


# --- each code, once --------------------------------------------------------

class Case:
    """How to make larder say one code: a query, on one larderd."""

    def __init__(self, code, rcode, larder, name=None, qtype="A", src=None,
                 before=None, **kw):
        self.code, self.rcode, self.larder, self.src = code, rcode, larder, src
        self.name, self.qtype, self.kw = name or fresh_name(), qtype, kw
        self.before = before

    def ask(self, proto, opt):
        wire = query(self.name, self.qtype, opt=opt, **self.kw)
        if self.before:
            self.before(self.name)
        with (self.larder.udp_socket(self.src) if proto == "udp"
              else self.larder.tcp(src=self.src).sock) as sock:
            port = sock.getsockname()[1]
            if proto == "udp":
                sock.settimeout(3)
                sock.send(wire)
                msg = harness._parse_reply(sock.recv(65535))
            else:
                conn = harness.TcpConn.__new__(harness.TcpConn)
                conn.larder, conn.sock = self.larder, sock
                conn._buffer, conn._eof = b"", False
                conn.send(wire)
                msg = conn.recv()
        return wire, msg, port


class Scene:
    """Larders for all the codes that this release has."""

    def __init__(self, stack):
        enter = stack.enter_context
        self.good, self.silent, self.broken = (
            enter(Upstream()) for _ in range(3))
        self.cut = enter(Upstream(tcp=False))
        self.silent.handler = lambda ctx: None
        self.broken.handler = lambda ctx: ctx.send(
            reply(ctx.msg, rcode=SERVFAIL))
        self.cut.handler = lambda ctx: ctx.send(reply(ctx.msg, tc=1))
        hasty = {"query-timeout": "250ms", "resolve-timeout": "500ms",
                 "resend-after": "50ms"}
        self.plain = enter(Larder([self.good], conf={
            "allow": ["127.0.0.1"], **hasty}))
        self.unheard = enter(Larder([self.silent], conf=hasty))
        self.failing = enter(Larder([self.broken], conf=hasty))
        self.cut_off = enter(Larder([self.cut], conf=hasty))
        self.no_tcp = enter(Larder([f"tcp://127.0.0.1:{free_port()}"],
                                   conf=hasty))
        self.closed = enter(Larder([f"127.0.0.1:{free_port()}"], conf=hasty))
        self.alone = enter(Larder(conf=hasty))

    def case(self, what):
        held = fresh_name("held")
        return {
            "held failure": lambda: Case(
                13, SERVFAIL, self.failing, held, before=lambda name:
                self.failing.ask(name)),
            "held failure, odd type": lambda: Case(
                13, SERVFAIL, self.failing, held, 65280, before=lambda name:
                self.failing.ask(name, 65280)),
            "not allowed": lambda: Case(
                18, REFUSED, self.plain, src="127.0.0.2"),
            "no recursion": lambda: Case(20, REFUSED, self.plain, rd=0),
            "class": lambda: Case(21, REFUSED, self.plain, qclass=4),
            "class ANY": lambda: Case(21, REFUSED, self.plain, qclass=255),
            "AXFR": lambda: Case(21, REFUSED, self.plain, qtype="AXFR"),
            "IXFR": lambda: Case(21, REFUSED, self.plain, qtype="IXFR"),
            "silence": lambda: Case(22, SERVFAIL, self.unheard),
            # Nobody answered, and the network said why: both are true.
            "closed port": lambda: Case((22, 23), SERVFAIL, self.closed),
            "no upstream": lambda: Case(22, SERVFAIL, self.alone),
            "TC and no TCP": lambda: Case(23, SERVFAIL, self.cut_off),
            "TCP refused": lambda: Case(23, SERVFAIL, self.no_tcp),
            "NXNAME": lambda: Case(30, FORMERR, self.plain, qtype=128),
        }[what]()


WHAT = ["held failure", "held failure, odd type", "not allowed",
        "no recursion", "class", "class ANY", "AXFR", "IXFR", "silence",
        "closed port", "no upstream", "TC and no TCP", "TCP refused",
        "NXNAME"]


@pytest.fixture(scope="module")
def scene():
    with contextlib.ExitStack() as stack:
        yield Scene(stack)


@BOTH
@pytest.mark.parametrize("what", WHAT)
def test_ede_05_codes(scene, proto, what):
    """EDE-05: what is wrong decides the code, and there is just that one."""
    case = scene.case(what)
    wire, msg, _ = case.ask(proto, Opt())
    check_error(wire, msg, case.rcode)
    code, = codes(msg)
    assert code in (case.code if isinstance(case.code, tuple)
                    else [case.code]), msg


@BOTH
@pytest.mark.parametrize("what", WHAT)
def test_ede_01_texts(scene, proto, what):
    """EDE-01: the text is short UTF-8 without address, path, name or port."""
    case = scene.case(what)
    _, msg, port = case.ask(proto, Opt())
    assert msg is not None and msg.opt and msg.ede, msg
    check_own_text(msg, port)


@BOTH
@pytest.mark.parametrize("what", WHAT)
def test_ede_01_only_with_opt(scene, proto, what):
    """EDE-01: a client without OPT gets the RCODE and nothing else."""
    case = scene.case(what)
    wire, msg, _ = case.ask(proto, None)
    assert msg is not None and msg.rcode == case.rcode, msg
    assert msg.opt is None and not msg.additional, msg
    assert not msg.answer and not msg.authority, msg


def test_ede_01_none_where_nothing_is_wrong(larder, upstream):
    """EDE-01: ordinary answers and denials, miss and hit, carry none."""
    upstream.handler = lambda ctx: (
        ctx.send(reply(ctx.msg, [], [soa("example.")], rcode=NXDOMAIN))
        if ctx.name.startswith("nx") else ctx.default())
    for prefix, qtype, rcode in (("a", "A", NOERROR), ("d", "TXT", NOERROR),
                                 ("nx", "A", NXDOMAIN)):
        name = fresh_name(prefix)
        for _ in ("miss", "hit"):
            msg = larder.ask(name, qtype, opt=Opt())
            assert (msg.rcode, codes(msg)) == (rcode, []), msg
    assert codes(larder.ask("localhost.", opt=Opt())) == []


@BOTH
@pytest.mark.parametrize("opcode", [1, 2, 4, 5, 6, 15])
def test_ede_05_opcode(larder, proto, opcode):
    """EDE-05: 21 goes with NOTIMP where that has an OPT to put it in; HDR-03
    and HDR-04 let larder answer with a bare header, unread."""
    wire = query(fresh_name(), opcode=opcode, opt=Opt())
    msg = send(larder, proto, wire)
    assert msg.rcode == NOTIMP and msg.counts[:3] == (0, 0, 0), msg
    if msg.opt or msg.counts[3]:
        assert codes(msg) == [21], msg
        check_own_text(msg, "no port")


def test_ede_05_first_failure_is_not_a_held_one(larder, upstream):
    """EDE-05: 13 is for what comes from memory: the first SERVFAIL is fresh,
    and after a success the next is fresh again."""
    upstream.handler = lambda ctx: (
        ctx.default() if ctx.name.startswith("alive")
        else ctx.send(reply(ctx.msg, rcode=SERVFAIL)))
    name = fresh_name()
    msg = larder.ask(name, opt=Opt())
    assert msg.rcode == SERVFAIL and 13 not in codes(msg), msg
    msg = larder.ask(name, opt=Opt())
    assert (msg.rcode, codes(msg)) == (SERVFAIL, [13]), msg
    msg = larder.ask(name, "AAAA", opt=Opt())
    assert msg.rcode == SERVFAIL and 13 not in codes(msg), msg


# --- extended errors of an upstream -----------------------------------------

class Two:
    """One larderd with two upstreams; whichever is asked first for a name
    says `first`, the other one the good answer."""

    def __init__(self, stack):
        self.servers = [stack.enter_context(Upstream()) for _ in range(2)]
        self.rules, self.asked = {}, collections.Counter()
        for server in self.servers:
            server.handler = self.answer
        self.larder = stack.enter_context(
            Larder(self.servers, conf={"resend-after": "1s"}))

    def answer(self, ctx):
        rule = self.rules.get(ctx.name)
        self.asked[ctx.name] += 1
        if rule and self.asked[ctx.name] == 1:
            ctx.send(reply(ctx.msg, **rule))
        else:
            ctx.default()

    def first_says(self, **rule):
        name = fresh_name()
        self.rules[name] = rule
        return name


@pytest.fixture(scope="module")
def two():
    with contextlib.ExitStack() as stack:
        yield Two(stack)


@pytest.mark.parametrize("code", [3, 4, 13, 15, 16, 17, 18, 20, 22, 60000])
@pytest.mark.parametrize("rcode", [REFUSED, SERVFAIL])
def test_ede_02_the_next_server_is_asked(two, rcode, code):
    """EDE-02: a failure is one, whatever its reason: U2 is still asked, at
    once, and its answer is kept."""
    name = two.first_says(rcode=rcode, opt=with_ede(ede(code, b"so it is")))
    for _ in ("miss", "hit"):
        msg = two.larder.ask(name, opt=Opt(), timeout=0.9)
        assert msg is not None and (msg.rcode, msg.a()) == (NOERROR, [GOOD])
    assert sorted(s.count(name) for s in two.servers) == [1, 1]


@pytest.mark.parametrize("code", [3, 4, 13, 14, 15, 17, 19, 22, 23, 60000])
@pytest.mark.parametrize("rcode", [NOERROR, NXDOMAIN])
def test_ede_02_an_answer_is_an_answer(two, rcode, code):
    """EDE-02: data and denials end the search and are kept for their TTL,
    also those that U calls stale, forged or blocked."""
    rule = {"opt": with_ede(ede(code)), "rcode": rcode}
    if rcode == NXDOMAIN:
        rule["authority"] = [soa("example.", ttl=300, minimum=300)]
        name = two.first_says(**rule)
    else:
        name = two.first_says(**rule)
        two.rules[name]["answer"] = [rr(name, "A", 300, "192.0.2.15")]
    for _ in ("miss", "hit", "hit"):
        msg = two.larder.ask(name, opt=Opt())
        assert msg.rcode == rcode, msg
        assert msg.a() == ([] if rcode else ["192.0.2.15"])
        ttl, = {r.ttl for r in msg.answer + msg.authority}
        assert 298 <= ttl <= 300
    assert sum(s.count(name) for s in two.servers) == 1


def test_ede_02_a_failure_is_held_as_long(larder, upstream):
    """EDE-02: SERVFAIL with "not ready" or "cached error" is held like any."""
    upstream.handler = lambda ctx: (
        ctx.default() if ctx.name.startswith("alive") else
        ctx.send(reply(ctx.msg, rcode=SERVFAIL, opt=with_ede(ede(14)))))
    for rcode in (SERVFAIL, REFUSED):
        name = fresh_name()
        first = larder.ask(name, opt=Opt())
        count = upstream.count(name)
        again = larder.ask(name, opt=Opt())
        assert first.rcode == again.rcode == SERVFAIL
        assert (codes(again), upstream.count(name)) == ([13], count)


@pytest.fixture(scope="module")
def quartz():
    """A larderd that calls its upstream by a name."""
    with Upstream() as server, Larder(["quartz"], conf={
            "resend-after": "1s",
            "upstreams": {"quartz": {"url": server.url}}}) as own:
        yield server, own


def says_failure(*options):
    """An upstream that fails for these reasons."""
    return lambda ctx: (
        ctx.default() if ctx.name.startswith("alive") else
        ctx.send(reply(ctx.msg, rcode=SERVFAIL, opt=with_ede(*options))))


@BOTH
@pytest.mark.parametrize("code", [0, 6, 13, 22, 60000, 65535])
@pytest.mark.parametrize("text", [b"", b"nobody was at home"])
def test_ede_03_passed_once(larder, upstream, proto, code, text):
    """EDE-03: SERVFAIL with a reason, known to larder or not: C sees that
    once, naming the upstream, and 13 from then on, in larder's own words."""
    upstream.handler = says_failure(ede(code, text))
    name = fresh_name()
    msg = send(larder, proto, query(name, opt=Opt()))
    assert (msg.rcode, codes(msg)) == (SERVFAIL, [code]), msg
    check_text(msg)
    assert upstream.url in msg.ede[0][1], msg.ede
    for _ in range(2):
        msg = send(larder, proto, query(name, opt=Opt()))
        assert (msg.rcode, codes(msg)) == (SERVFAIL, [13]), msg
        check_own_text(msg, "no port")


def test_ede_03_upstream_by_its_name(quartz):
    """EDE-03: an upstream that has a name goes by it."""
    server, own = quartz
    for code in (22, 60000):
        server.handler = says_failure(ede(code))
        msg = own.ask(fresh_name(), opt=Opt())
        assert codes(msg) == [code], msg
        check_text(msg)
        assert "quartz" in msg.ede[0][1] or server.url in msg.ede[0][1]


def test_ede_03_several_at_once(quartz):
    """EDE-03: of two reasons in one reply at least one is passed on, none
    that was not there, and each once."""
    server, own = quartz
    server.handler = says_failure(ede(22), ede(60000), ede(22))
    msg = own.ask(fresh_name(), opt=Opt())
    assert codes(msg) in ([22], [60000], [22, 60000], [60000, 22]), msg
    check_text(msg)


@pytest.mark.parametrize("rcode", [NOERROR, NXDOMAIN])
@pytest.mark.parametrize("code", [4, 49152])
@pytest.mark.parametrize("first", [None, Opt()], ids=["bare", "opt"])
def test_ede_03_on_the_miss_only(quartz, rcode, code, first):
    """EDE-03: with data and denials alike; a hit shows none, no matter who
    fetched it, and a client without OPT none at all."""
    server, own = quartz

    def script(ctx):
        if ctx.name != name:
            return ctx.default()
        answer = [] if rcode else [rr(name, "A", 300, GOOD)]
        authority = [soa("example.")] if rcode else []
        ctx.send(reply(ctx.msg, answer, authority, rcode=rcode,
                       opt=with_ede(ede(code, b"made up"))))

    name = fresh_name()
    server.handler = script
    msg = own.ask(name, opt=first)
    assert msg.rcode == rcode
    if first:
        assert codes(msg) == [code], msg
        check_text(msg)
        assert "quartz" in msg.ede[0][1] or server.url in msg.ede[0][1]
    else:
        assert msg.opt is None
    for _ in range(2):
        msg = own.ask(name, opt=Opt())
        assert (msg.rcode, codes(msg)) == (rcode, []), msg
    assert server.count(name) == 1


def test_ede_03_over_tcp_from_the_upstream(larder, upstream):
    """EDE-03: what came with the whole answer counts, not with the cut one;
    a text of 50000 octets becomes a short one."""
    def script(ctx):
        if ctx.name != name:
            return ctx.default()
        if ctx.proto == "udp":
            ctx.send(reply(ctx.msg, tc=1, opt=with_ede(ede(1, b"cut"))))
        else:
            ctx.send(reply(ctx.msg, [rr(name, "A", 300, GOOD)],
                           opt=with_ede(ede(4, b"long " * 10000))))

    name = fresh_name()
    upstream.handler = script
    msg = larder.ask(name, opt=Opt())
    assert (msg.a(), msg.tc, codes(msg)) == ([GOOD], 0, [4]), msg
    check_text(msg)


SPOILED = {
    "length 0": [(EDE, b"")],
    "length 1": [(EDE, b"\x00")],
    "length 1 before a good one": [(EDE, b"\x00"), ede(4, b"well")],
    "bad UTF-8": [ede(4, b"\xff\xfe \xc3 \xf8\x88\x80\x80\x80")],
    "surrogate": [ede(4, b"\xed\xa0\x80")],
    "cut UTF-8": [ede(4, "é".encode()[:1] * 40)],
    "NUL": [ede(4, b"with\0in and at the end\0")],
    "controls": [ede(4, b"\x1b[31mred\r\nline\x07\x7f")],
    "a long text": [ede(4, b"x" * 700)],
    "long UTF-8": [ede(4, "é".encode() * 300)],
    "20 options": [ede(code, b"reason %d" % code) for code in range(20)],
    "20 equal options": [ede(22, b"again")] * 20,
    "20 texts of 40 octets": [ede(code, b"t" * 40) for code in range(20)],
    "200 empty ones": [ede(0)] * 150 + [(EDE, b"")] * 50,
}


@BOTH
@pytest.mark.parametrize("what", SPOILED)
def test_ede_04_spoiled_and_many(larder, upstream, proto, what):
    """EDE-04: malformed or many extended errors cost nobody the answer."""
    def script(ctx):
        if ctx.name.startswith("alive"):
            return ctx.default()
        ctx.send(reply(ctx.msg, [rr(ctx.name, "A", 300, GOOD)],
                       opt=Opt(options=SPOILED[what])))

    upstream.handler = script
    for size in (1232, 512):
        name = fresh_name()
        for turn in ("miss", "hit"):
            msg = send(larder, proto, query(name, opt=Opt(size=size)))
            assert msg.rcode == NOERROR, (size, msg)
            if proto == "udp":
                assert len(msg.wire) <= size
            # A reason that does not fit may cost TC (SIZE-13), not data.
            if not (msg.tc and size == 512 and turn == "miss"):
                assert (msg.a(), msg.tc) == ([GOOD], 0), (size, msg)
            check_text(msg)
            assert not (turn == "hit" and msg.ede), msg
        assert upstream.count(name) == 1
    assert larder.ask(fresh_name()).a() == [GOOD]


@pytest.mark.parametrize("what", SPOILED)
def test_ede_04_on_a_failure(larder, upstream, what):
    """EDE-04: the same with SERVFAIL, which stays one and is held."""
    def script(ctx):
        if ctx.name.startswith("alive"):
            return ctx.default()
        ctx.send(reply(ctx.msg, rcode=SERVFAIL,
                       opt=Opt(options=SPOILED[what])))

    upstream.handler = script
    name = fresh_name()
    for expected in (None, [13]):
        msg = larder.ask(name, opt=Opt())
        assert msg.rcode == SERVFAIL, msg
        assert len(msg.wire) <= 1232
        check_text(msg)
        if expected:
            assert codes(msg) == expected
    larder.alive()
