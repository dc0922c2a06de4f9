"""ANY, SVCB and HTTPS: conformance section 16.

SVCB-03 (tier later) and SVCB-04 (policy, DNS64) are left out.
"""

import struct
import time

import pytest

from harness import (NOERROR, NXDOMAIN, TYPES, Larder, Opt, Upstream,
                     check_quiet, fresh_name, name_text, qname, reply, rr, soa)

BOTH = pytest.mark.parametrize("proto", ["udp", "tcp"])
HINFO = b"\x07RFC8482\x00"
HINFO_TTL = 3600
ANY = TYPES["ANY"]

RRSIG = (struct.pack("!HBBIIIH", 1, 13, 2, 300, 4000000000, 1600000000, 4711)
         + qname("example.") + bytes(range(64)))
NSEC = qname("z.example.") + b"\x00\x07\x62\x01\x00\x80\x08\x03\x80"


def ask(larder, proto, name, qtype="A", **kw):
    msg = (larder.ask if proto == "udp" else larder.ask_tcp)(name, qtype, **kw)
    assert msg is not None, f"no reply for {name} over {proto}"
    return msg


def says(upstream, name, answer, authority=(), additional=(), **kw):
    """The upstream's word on `name`, for every type; else the default."""
    def script(ctx):
        if ctx.name == name:
            ctx.send(reply(ctx.msg, answer, authority, additional, **kw))
        else:
            ctx.default()
    upstream.handler = script


def kinds(name):
    """What U has for an ANY question: by kind (answer, authority, rcode)."""
    return {
        "existing": ([rr(name, "A", 300, "192.0.2.1"),
                      rr(name, "A", 300, "192.0.2.2"),
                      rr(name, "MX", 300, "10 mail.example."),
                      rr(name, "TXT", 300, "some text")], [], NOERROR),
        "missing": ([], [soa("example.")], NXDOMAIN),
        "signed": ([rr(name, "A", 300, "192.0.2.1"),
                    rr(name, "RRSIG", 300, RRSIG),
                    rr(name, "NSEC", 300, NSEC)], [], NOERROR),
    }


KINDS = ["existing", "missing", "signed"]


def check_made_up(msg, name):
    """The one HINFO of RFC 8482, and nothing beside it."""
    assert (msg.rcode, msg.tc, msg.aa, msg.ad, msg.ra) == (
        NOERROR, 0, 0, 0, 1), msg
    assert msg.question[0].name_wire == qname(name)
    assert msg.question[0].qtype == ANY
    assert not msg.authority and not msg.additional, msg
    record, = msg.answer
    assert record.name_wire == qname(name)
    assert (record.qtype, record.cls, record.ttl, record.rdata) == (
        TYPES["HINFO"], 1, HINFO_TTL, HINFO), record


@BOTH
@pytest.mark.parametrize("opt", [None, Opt(), Opt(size=512)],
                         ids=["bare", "opt", "small"])
@pytest.mark.parametrize("kind", KINDS)
def test_any_01_without_do(larder, upstream, proto, opt, kind):
    """ANY-01: DO=0 gets the made-up HINFO with TTL 3600, NOERROR, without a
    question upstream: for existing, missing and signed names."""
    name = fresh_name(kind)
    answer, authority, rcode = kinds(name)[kind]
    says(upstream, name, answer, authority, rcode=rcode)
    known = larder.ask(name, "A", opt=Opt(do=1))
    assert known.rcode == rcode
    before = len(upstream.log)
    for form in (name, name.upper(), fresh_name("new"), name):
        for cd in (0, 1):
            msg = ask(larder, proto, form, "ANY", opt=opt, cd=cd)
            check_made_up(msg, form)
            assert bool(msg.opt) == bool(opt) and msg.cd == cd
            assert not msg.ede
    assert len(upstream.log) == before


def test_any_01_ttl_stays(larder, upstream):
    """ANY-01: made anew each time: its TTL does not count down."""
    name = fresh_name()
    check_made_up(larder.ask(name, "ANY"), name)
    time.sleep(1.1)
    check_made_up(larder.ask(name, "ANY"), name)
    check_made_up(larder.ask(".", "ANY"), ".")
    check_quiet(larder, upstream)


@pytest.mark.parametrize("kind", KINDS)
def test_any_01_do_over_udp(larder, upstream, kind):
    """ANY-01: DO=1 over UDP: TC, without records, and nothing goes up, also
    when the answer has been fetched over a stream before."""
    name = fresh_name(kind)
    answer, authority, rcode = kinds(name)[kind]
    says(upstream, name, answer, authority, rcode=rcode)
    for turn in ("before", "after"):
        if turn == "after":
            assert larder.ask_tcp(name, "ANY", opt=Opt(do=1)).rcode == rcode
            upstream.clear()
        for size in (1232, 4096):
            msg = larder.ask(name, "ANY", opt=Opt(do=1, size=size))
            assert (msg.rcode, msg.tc, msg.aa, msg.ad) == (
                NOERROR, 1, 0, 0), (turn, msg)
            assert msg.counts == (1, 0, 0, 1) and msg.opt.do == 1, msg
        assert upstream.count(name) == 0, turn


def seen(records):
    return sorted((name_text(r.name_wire, lower=True), r.qtype, r.rdata)
                  for r in records)


@pytest.mark.parametrize("kind", KINDS)
def test_any_01_do_over_tcp(larder, upstream, kind):
    """ANY-01: DO=1 over a stream is forwarded, and all of U's records at the
    name come back, signatures included."""
    name = fresh_name(kind)
    answer, authority, rcode = kinds(name)[kind]
    says(upstream, name, answer, authority, rcode=rcode)
    msg = larder.ask_tcp(name, "ANY", opt=Opt(do=1))
    assert (msg.rcode, msg.tc, msg.aa) == (rcode, 0, 0), msg
    entries = upstream.entries(name, "ANY")
    assert entries and all(e.msg.opt and e.msg.opt.do for e in entries)
    expected = {
        "existing": [1, 1, TYPES["MX"], TYPES["TXT"]],
        "missing": [],
        "signed": [1, TYPES["RRSIG"], TYPES["NSEC"]]}[kind]
    assert sorted(r.qtype for r in msg.answer) == sorted(expected), msg
    assert {name_text(r.name_wire, lower=True) for r in msg.answer} <= {name}
    assert [r.qtype for r in msg.authority] == (
        [TYPES["SOA"]] if kind == "missing" else [])
    by_type = {r.qtype: r.rdata for r in msg.answer}
    if kind == "signed":
        assert by_type[TYPES["RRSIG"]] == RRSIG
        assert by_type[TYPES["NSEC"]] == NSEC
    # Who does not set DO is told the same as ever.
    for proto in ("udp", "tcp"):
        check_made_up(ask(larder, proto, name, "ANY"), name)


def test_any_01_large_answer_over_a_stream(larder, upstream):
    """ANY-01: 20 KB of it pass whole."""
    name = fresh_name("large")

    def script(ctx):
        if ctx.name != name:
            return ctx.default()
        if ctx.proto == "udp":
            return ctx.send(reply(ctx.msg, tc=1))
        ctx.send(reply(ctx.msg, [
            rr(name, 65280 + i, 300, bytes([i]) * 1000) for i in range(20)]))

    upstream.handler = script
    msg = larder.ask_tcp(name, "ANY", opt=Opt(do=1))
    assert (msg.rcode, msg.tc) == (NOERROR, 0), msg
    assert sorted((r.qtype, r.rdata) for r in msg.answer) == [
        (65280 + i, bytes([i]) * 1000) for i in range(20)]


@BOTH
def test_any_02_real_hinfo(larder, upstream, proto):
    """ANY-02: the made-up record does not answer a HINFO question."""
    name, real = fresh_name(), b"\x03i86\x05Linux"
    says(upstream, name, [rr(name, "HINFO", 300, real)])
    check_made_up(ask(larder, proto, name, "ANY"), name)
    for _ in ("miss", "hit"):
        msg = ask(larder, proto, name, "HINFO")
        record, = msg.answer
        assert (record.qtype, record.rdata) == (TYPES["HINFO"], real), msg
        assert record.ttl <= 300
    assert upstream.count(name, "HINFO") == 1
    # Nor the other way round.
    check_made_up(ask(larder, proto, name, "ANY"), name)


def test_any_02_no_hinfo(larder, upstream):
    """ANY-02: where there is none the answer is NODATA or NXDOMAIN."""
    for rcode in (NOERROR, NXDOMAIN):
        name = fresh_name()
        says(upstream, name, [], [soa("example.")], rcode=rcode)
        check_made_up(larder.ask(name, "ANY"), name)
        for _ in ("miss", "hit"):
            msg = larder.ask(name, "HINFO")
            assert (msg.rcode, msg.answer) == (rcode, []), msg
        check_made_up(larder.ask(name, "ANY"), name)
        assert upstream.count(name) == 1


@pytest.mark.parametrize("first", ["udp", "tcp"])
def test_any_02_other_types(larder, upstream, first):
    """ANY-02: an ANY question, made up or forwarded, answers no other type."""
    name = fresh_name()
    says(upstream, name, [rr(name, "A", 300, "192.0.2.9"),
                          rr(name, "HINFO", 300, b"\x01a\x01b")])
    ask(larder, first, name, "ANY", opt=Opt(do=1))
    upstream.reset()
    assert larder.ask(name, opt=Opt(do=1)).a() == ["192.0.2.1"]
    assert larder.ask(name, "HINFO", opt=Opt(do=1)).answer == []
    assert (upstream.count(name, "A"), upstream.count(name, "HINFO")) == (1, 1)


# --- SVCB and HTTPS ---------------------------------------------------------

def param(key, data=b"", length=None):
    return struct.pack("!HH", key, len(data) if length is None else length
                       ) + data


def svcb(priority, target, *params):
    return struct.pack("!H", priority) + qname(target) + b"".join(params)


ALPN, PORT, V4, ECH, V6 = (param(1, b"\x02h2\x02h3"), param(3, b"\x20\xfb"),
                           param(4, bytes([192, 0, 2, 7])),
                           param(5, bytes(range(60))),
                           param(6, bytes(15) + b"\1"))
RDATA = {
    "alias mode": svcb(0, "Pool.Svc.Example."),
    "alias to the root": svcb(0, "."),
    "alias with parameters": svcb(0, "pool.example.", ALPN, V4),
    "service": svcb(1, ".", ALPN, PORT, V4, ECH, V6),
    "target in mixed case": svcb(16, "wWw.ExAmPlE.", ALPN),
    "key 65000": svcb(1, ".", param(65000, b"\x00\xc0\x0c\xff")),
    "key 65535": svcb(1, ".", param(65535)),
    "mandatory of an unknown key": svcb(1, ".", param(0, b"\xfd\xe8"), ALPN),
    "mandatory of itself": svcb(1, ".", param(0, b"\x00\x00\x00\x00")),
    "empty mandatory": svcb(1, ".", param(0)),
    "doubled keys": svcb(1, ".", ALPN, ALPN, PORT, param(3, b"\x00\x35")),
    "keys in no order": svcb(1, ".", V6, PORT, ALPN, V4),
    "alpn that overruns": svcb(1, ".", param(1, b"\x09h2")),
    "empty alpn": svcb(1, ".", param(1), param(1, b"\x00")),
    "no-default-alpn with data": svcb(1, ".", param(2, b"x")),
    "port of one octet": svcb(1, ".", param(3, b"\x35")),
    "hint of three octets": svcb(1, ".", param(4, b"\xc0\x00\x02")),
    "hints of no octets": svcb(1, ".", param(4), param(6)),
    "length beyond the end": svcb(1, ".", param(1, b"\x02h2", length=900)),
    "half a key": svcb(1, ".", ALPN, b"\x00\x03\x00"),
    "pointer-like octets": svcb(1, ".", param(7, b"\xc0\x0c" * 100)),
    "a kilobyte": svcb(1, ".", param(5, bytes(1000))),
}


@pytest.fixture(scope="module")
def svcb_scene():
    with Upstream() as server, Larder([server]) as own:
        yield server, own


@BOTH
@pytest.mark.parametrize("qtype", ["SVCB", "HTTPS"])
@pytest.mark.parametrize("what", RDATA)
def test_svcb_01_octet_for_octet(svcb_scene, proto, qtype, what):
    """SVCB-01: whatever the parameters hold, the RDATA passes unchanged, on
    the miss and on the hit, over UDP and TCP."""
    server, own = svcb_scene
    name = "_443._wss." + fresh_name()
    says(server, name, [rr(name, qtype, 300, RDATA[what])])
    for opt in (Opt(), Opt(), Opt(size=4096)):
        msg = ask(own, proto, name, qtype, opt=opt)
        assert (msg.rcode, msg.tc) == (NOERROR, 0), msg
        assert [(r.name_wire, r.qtype, r.rdata) for r in msg.answer] == [
            (qname(name), TYPES[qtype], RDATA[what])], msg
    assert server.count(name) == 1
    server.check()


@pytest.mark.parametrize("qtype", ["SVCB", "HTTPS"])
def test_svcb_01_whole_sets(svcb_scene, qtype):
    """SVCB-01: all records above in one set, behind an alias, over TCP:
    none changes, none is lost, none is merged."""
    server, own = svcb_scene
    name, end = fresh_name("alias"), fresh_name("end")

    def script(ctx):
        if ctx.name != name:
            return ctx.default()
        if ctx.proto == "udp":
            return ctx.send(reply(ctx.msg, tc=1))
        ctx.send(reply(ctx.msg, [rr(name, "CNAME", 300, end)] + [
            rr(end, qtype, 300, octets) for octets in RDATA.values()]))

    server.handler = script
    for _ in ("miss", "hit"):
        msg = own.ask_tcp(name, qtype)
        assert msg.rcode == NOERROR, msg
        assert sorted(r.rdata for r in msg.answer[1:]) == sorted(
            RDATA.values())
        assert {r.name_wire for r in msg.answer[1:]} == {qname(end)}
    assert server.count(name, proto="tcp") == 1
    server.check()


@pytest.mark.parametrize("qtype", ["SVCB", "HTTPS"])
def test_svcb_01_sixty_kilobytes(svcb_scene, qtype):
    """SVCB-01: a parameter of 60000 octets passes over streams."""
    server, own = svcb_scene
    name = fresh_name("huge")
    octets = svcb(1, ".", param(65001, bytes(range(250)) * 240))

    def script(ctx):
        if ctx.name != name:
            return ctx.default()
        if ctx.proto == "udp":
            return ctx.send(reply(ctx.msg, tc=1))
        ctx.send(reply(ctx.msg, [rr(name, qtype, 300, octets)]))

    server.handler = script
    for _ in ("miss", "hit"):
        assert own.ask(name, qtype, opt=Opt()).tc == 1
        msg = own.ask_tcp(name, qtype)
        assert [r.rdata for r in msg.answer] == [octets]
    assert server.count(name, proto="tcp") == 1
    server.check()


@pytest.mark.parametrize("qtype", ["SVCB", "HTTPS"])
def test_svcb_02_alias_mode_is_no_alias(larder, upstream, qtype):
    """SVCB-02: HTTPS 0 target, then A: goes to U; so do AAAA and the other
    of both types, and everything about the target."""
    name, target = fresh_name("https"), fresh_name("pool")
    other = "HTTPS" if qtype == "SVCB" else "SVCB"

    def script(ctx):
        if ctx.name == name and ctx.qtype == TYPES[qtype]:
            ctx.send(reply(
                ctx.msg, [rr(name, qtype, 300, svcb(0, target))], [],
                [rr(target, "A", 300, "192.0.2.66"),
                 rr(target, qtype, 300, svcb(1, ".", ALPN)),
                 rr(name, "A", 300, "192.0.2.66")]))
        else:
            ctx.default()

    upstream.handler = script
    msg = larder.ask(name, qtype, opt=Opt())
    assert [(r.qtype, r.rdata) for r in msg.answer] == [
        (TYPES[qtype], svcb(0, target))], msg
    for owner in (name, target):
        msg = larder.ask(owner)
        assert [(r.name_wire, r.qtype) for r in msg.answer] == [
            (qname(owner), 1)], msg
        assert msg.a() == ["192.0.2.1"]
        msg = larder.ask(owner, "AAAA")
        assert [r.qtype for r in msg.answer] == [TYPES["AAAA"]], msg
        assert larder.ask(owner, other).answer == []
    assert larder.ask(target, qtype).answer == []
    for owner in (name, target):
        for asked in ("A", "AAAA", qtype, other):
            assert upstream.count(owner, asked) == 1, (owner, asked)


def test_svcb_02_loops_are_not_followed(larder, upstream):
    """SVCB-02: AliasMode to itself, or round in a circle, is plain data."""
    one, two = fresh_name("one"), fresh_name("two")
    records = {one: svcb(0, two), two: svcb(0, one)}
    self_owned = fresh_name("self")
    records[self_owned] = svcb(0, self_owned)
    upstream.handler = lambda ctx: (
        ctx.send(reply(ctx.msg, [rr(ctx.name, "HTTPS", 300,
                                    records[ctx.name])]))
        if ctx.name in records else ctx.default())
    for name, octets in records.items():
        for _ in ("miss", "hit"):
            msg = larder.ask(name, "HTTPS")
            assert (msg.rcode, [r.rdata for r in msg.answer]) == (
                NOERROR, [octets]), msg
        assert upstream.count(name) == 1
    larder.alive()
