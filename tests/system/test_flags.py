"""RD, AA, AD, CD and DO: conformance section 14, FLAG-* of tier core.

FLAG-03 and FLAG-05 ask for AD only of servers that are marked trusted and
reached over an authenticated transport.  Neither exists over plain UDP and
TCP, so here AD of an upstream is never believed, none is ever asked for, and
`trusted: yes` is a mistake in the configuration; test_encrypted.py has the
servers that are believed.  Left out, being of tier dnssec: FLAG-07, -09, -10, -11; of FLAG-12 the blocked and the made-up
answers (tier policy).
"""

import itertools
import re
import struct
import threading

import pytest

import harness
from harness import (NOERROR, NXDOMAIN, REFUSED, SERVFAIL, TYPES, Larder, Opt,
                     Upstream, check_error, check_quiet, fresh_name, parse,
                     query, reply, rr, soa)

BOTH = pytest.mark.parametrize("proto", ["udp", "tcp"])
PAIRS = list(itertools.product((0, 1), (0, 1)))


def ask(larder, proto, name, qtype="A", **kw):
    how = larder.ask if proto == "udp" else larder.ask_tcp
    msg = how(name, qtype, **kw)
    assert msg is not None, f"no reply for {name} over {proto}"
    return msg


def ask_wire(larder, proto, wire):
    if proto == "udp":
        return larder.udp(wire)
    with larder.tcp() as conn:
        conn.send(wire)
        msg = conn.recv()
    if msg is not None and msg.rcode:
        harness.exchanges.append((wire, msg))
    return msg


def client_opt(do):
    """An OPT with that DO; for DO=0 both kinds of client are asked for."""
    return Opt(do=1) if do else None


# --- RD ---------------------------------------------------------------------

@BOTH
@pytest.mark.parametrize("opt", [None, Opt(), Opt(do=1)],
                         ids=["bare", "opt", "do"])
def test_flag_01_no_recursion_desired(larder, upstream, proto, opt):
    """FLAG-01: RD=0 is REFUSED, EDE 20, for cached and uncached names; the
    two replies differ in nothing, so that nobody can look into the cache."""
    known, denied, new = (fresh_name(p) for p in ("in", "no", "in"))
    upstream.handler = lambda ctx: (
        ctx.send(reply(ctx.msg, [], [soa("example.")], rcode=NXDOMAIN))
        if ctx.name == denied else ctx.default())
    for flags in ({"opt": opt}, {"opt": opt, "cd": 1}, {}):
        assert larder.ask(known, **flags).a() == ["192.0.2.1"]
        assert larder.ask(denied, **flags).rcode == NXDOMAIN
    before = len(upstream.log)
    bodies = set()
    for name in (known, denied, new):
        wire = query(name, rd=0, opt=opt)
        msg = ask_wire(larder, proto, wire)
        check_error(wire, msg, REFUSED, ede=20)
        end = len(query(name))
        bodies.add(msg.wire[2:12] + msg.wire[end:])
        wire = query(name, rd=0, cd=1, opt=opt)
        check_error(wire, ask_wire(larder, proto, wire), REFUSED, ede=20)
    assert len(bodies) == 1, [b.hex() for b in bodies]
    assert len(upstream.log) == before and upstream.count(new) == 0
    # The refusals are not kept, nor do they push out what is.
    assert larder.ask(new).a() == ["192.0.2.1"]
    assert larder.ask(known).a() == ["192.0.2.1"]
    assert len(upstream.log) == before + 1 and upstream.count(new) == 1


def test_flag_01_other_types_and_failures(larder, upstream):
    """FLAG-01: neither another type nor a held failure changes that."""
    name, failed = fresh_name(), fresh_name("fail")
    upstream.handler = lambda ctx: (
        ctx.send(reply(ctx.msg, rcode=SERVFAIL))
        if ctx.name == failed else ctx.default())
    assert larder.ask(failed).rcode == SERVFAIL
    before = upstream.count(failed)
    for wire in (query(name, "AAAA", rd=0, opt=Opt()),
                 query(name, 65280, rd=0, opt=Opt()),
                 query(".", "NS", rd=0, opt=Opt()),
                 query(failed, rd=0, opt=Opt()),
                 query(failed, "TXT", rd=0, opt=Opt())):
        check_error(wire, larder.udp(wire), REFUSED, ede=20)
    assert upstream.count(failed) == before
    check_quiet(larder, upstream, name=name)


def test_flag_01_does_not_join_a_question(larder, upstream):
    """FLAG-01: RD=0 is refused at once beside an equal question in work, and
    the refusal does not end that one."""
    name = fresh_name()
    held, asked = [], threading.Event()

    def script(ctx):
        if ctx.name != name:
            return ctx.default()
        held.append(ctx)
        asked.set()

    upstream.handler = script
    with larder.udp_socket() as waiting:
        waiting.send(query(name, id=11))
        assert asked.wait(2)
        wire = query(name, rd=0, opt=Opt())
        check_error(wire, larder.udp(wire), REFUSED, ede=20)
        for ctx in held:
            ctx.default()
        waiting.settimeout(2)
        msg = parse(waiting.recv(4096))
    assert (msg.id, msg.rd, msg.a()) == (11, 1, ["192.0.2.1"])


@BOTH
def test_flag_01_local_data_is_answered(larder, upstream, proto):
    """FLAG-01: what larder knows by itself it tells with RD=0, too."""
    for opt in (None, Opt()):
        msg = ask(larder, proto, "localhost.", rd=0, opt=opt)
        assert (msg.rcode, msg.a(), msg.rd) == (NOERROR, ["127.0.0.1"], 0)
        msg = ask(larder, proto, fresh_name(zone="test."), rd=0, opt=opt)
        assert (msg.rcode, msg.rd) == (NXDOMAIN, 0), msg
        msg = ask(larder, proto, "1.0.0.127.in-addr.arpa.", "PTR", rd=0,
                  opt=opt)
        assert len(msg.answer) == 1 and msg.rd == 0, msg
        assert not msg.ede
    check_quiet(larder, upstream)


def test_flag_01_identity_is_answered(named, upstream):
    """FLAG-01: the configured strings are local data as well."""
    for rd in (0, 1):
        msg = named.ask("version.bind.", "TXT", qclass=3, rd=rd)
        assert msg.rcode == NOERROR and len(msg.answer) == 1, msg
        assert msg.rd == rd
    check_quiet(named, upstream)


@pytest.fixture(scope="module")
def named_larder(module_upstream):
    with Larder([module_upstream],
                conf={"identity": {"version": "larder of the tests"}}) as one:
        yield one


@pytest.fixture
def named(upstream, named_larder):
    named_larder.check_running()
    return named_larder


# --- AA ---------------------------------------------------------------------

def claims(**bits):
    """An upstream that sets these bits in replies of each kind, by name."""
    def script(ctx):
        name = ctx.name
        kw = dict(bits)
        if name.startswith("alive"):
            return ctx.default()
        if name.startswith("tc") and ctx.proto == "udp":
            return ctx.send(reply(ctx.msg, tc=1, **kw))
        if name.startswith("nx"):
            return ctx.send(reply(ctx.msg, [], [soa("example.")],
                                  rcode=NXDOMAIN, **kw))
        if name.startswith("nodata"):
            return ctx.send(reply(ctx.msg, [], [soa("example.")], **kw))
        if name.startswith("bare"):
            return ctx.send(reply(ctx.msg, [], [], rcode=NXDOMAIN, **kw))
        if name.startswith("fail"):
            return ctx.send(reply(ctx.msg, rcode=SERVFAIL, **kw))
        if name.startswith("alias"):
            return ctx.send(reply(ctx.msg, [
                rr(name, "CNAME", 300, "end.example."),
                rr("end.example.", "A", 300, "192.0.2.1")], **kw))
        return ctx.send(reply(ctx.msg, [
            rr(ctx.msg.question[0].name_wire, "A", 300, "192.0.2.1")], **kw))
    return script


KINDS = {"a": NOERROR, "alias": NOERROR, "tc": NOERROR, "nodata": NOERROR,
         "nx": NXDOMAIN, "bare": NXDOMAIN, "fail": SERVFAIL}


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_flag_02_aa_of_the_upstream(larder, upstream, proto, kind):
    """FLAG-02: AA of U does not reach C, from the miss or from the cache."""
    upstream.handler = claims(aa=1)
    name = fresh_name(kind)
    for opt in (None, Opt(), Opt(do=1), None):
        msg = ask(larder, proto, name, opt=opt)
        assert (msg.rcode, msg.aa) == (KINDS[kind], 0), msg
    assert upstream.count(name) >= 1


@BOTH
def test_flag_02_aa_of_local_answers(larder, upstream, proto):
    """FLAG-02: AA=1 on local zones, answers and denials."""
    for name, qtype, rcode in (
            ("localhost.", "A", NOERROR), ("localhost.", "TXT", NOERROR),
            (fresh_name(zone="localhost."), "AAAA", NOERROR),
            (fresh_name(zone="test."), "A", NXDOMAIN),
            ("10.in-addr.arpa.", "SOA", NOERROR),
            ("1.2.3.10.in-addr.arpa.", "PTR", NXDOMAIN),
            ("1.0.0.127.in-addr.arpa.", "PTR", NOERROR),
            ("resolver.arpa.", "A", NOERROR)):
        for kw in ({}, {"opt": Opt(do=1)}, {"aa": 1}):
            msg = ask(larder, proto, name, qtype, **kw)
            assert (msg.rcode, msg.aa, msg.ra) == (rcode, 1, 1), (name, msg)
    check_quiet(larder, upstream)


def test_flag_02_aa_of_made_up_answers(larder, upstream):
    """FLAG-02: an ANY answer of larder's own making speaks for no zone."""
    msg = larder.ask(fresh_name(), "ANY")
    assert (msg.rcode, msg.aa) == (NOERROR, 0), msg
    assert [r.qtype for r in msg.answer] == [TYPES["HINFO"]]


# --- AD ---------------------------------------------------------------------

@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_flag_03_ad_of_the_upstream(larder, upstream, proto, kind):
    """FLAG-03: AD of an upstream over UDP or TCP reaches no client, whatever
    that client set, from the miss or from the cache."""
    upstream.handler = claims(ad=1)
    for ad, do in PAIRS:
        for cd in (0, 1):
            name = fresh_name(kind)
            for _ in ("miss", "hit"):
                msg = ask(larder, proto, name, ad=ad, cd=cd,
                          opt=client_opt(do))
                assert (msg.rcode, msg.ad) == (KINDS[kind], 0), (ad, do, msg)
            assert upstream.count(name) >= 1


@pytest.mark.parametrize("scheme", ["", "udp://", "tcp://"])
def test_flag_03_ad_over_each_plain_transport(scheme):
    """FLAG-03: `trusted: no`, the default said aloud, starts, and AD=0."""
    with Upstream() as server, Larder(["plain"], conf={"upstreams": {
            "plain": {"url": scheme + server.url, "trusted": False}}}) as own:
        server.handler = claims(ad=1)
        name = fresh_name()
        for _ in ("miss", "hit"):
            msg = own.ask(name, ad=1, opt=Opt(do=1))
            assert (msg.a(), msg.ad) == (["192.0.2.1"], 0), msg
        assert server.count(name) == 1


@pytest.mark.parametrize("scheme", ["", "udp://", "tcp://"])
def test_flag_03_trusted_needs_an_authenticated_transport(scheme):
    """FLAG-03: `trusted: yes` for a server that cannot prove who it is: a
    mistake, and the report says why."""
    with Larder(["plain"], conf={"upstreams": {"plain": {
            "url": scheme + "127.0.0.1:5399", "trusted": True}}},
            expect_start=False) as own:
        assert own.proc.returncode == 1
        report = own.log()
    assert re.search(r"larder\.yaml:\d+:\d+: ", report), report
    assert "trusted" in report and "unknown key" not in report, report
    assert re.search(r"(?i)authenticat|encrypt|\btls\b", report), report


@BOTH
def test_flag_04_ad_only_for_those_who_ask(larder, upstream, proto):
    """FLAG-04: a client that sets neither AD nor DO never sees AD=1, also
    not on what another client's AD or DO fetched."""
    upstream.handler = claims(ad=1)
    for ad, do in PAIRS:
        name = fresh_name()
        assert ask(larder, proto, name, ad=ad,
                   opt=client_opt(do)).a() == ["192.0.2.1"]
        for opt in (None, Opt()):
            msg = ask(larder, proto, name, opt=opt)
            assert (msg.a(), msg.ad) == (["192.0.2.1"], 0), (ad, do, msg)
    for name, qtype in (("localhost.", "A"), (fresh_name(zone="test."), "A")):
        assert ask(larder, proto, name, qtype).ad == 0


def drop_first(seen):
    """Silence for the first send of each name, TC for the second."""
    def script(ctx):
        if ctx.name.startswith("alive") or ctx.proto == "tcp":
            return ctx.default()
        seen[ctx.name] = seen.get(ctx.name, 0) + 1
        if seen[ctx.name] > 1:
            ctx.send(reply(ctx.msg, tc=1))
    return script


@pytest.fixture(scope="module")
def eager_larder(module_upstream):
    with Larder([module_upstream], conf={"resend-after": "40ms"}) as one:
        yield one


@pytest.fixture
def eager(upstream, eager_larder):
    """Sends again after 40 ms."""
    eager_larder.check_running()
    return eager_larder


def sends_of(eager, upstream, **kw):
    """What one question sent up: first, repeated, over TCP."""
    upstream.handler = drop_first({})
    name = fresh_name()
    assert eager.ask(name, **kw).a() == ["192.0.2.1"]
    entries = upstream.entries(name)
    assert len([e for e in entries if e.proto == "udp"]) >= 2
    assert any(e.proto == "tcp" for e in entries)
    return [e.msg for e in entries]


def test_flag_05_ad_upstream(eager, upstream):
    """FLAG-05: no plain server is a trusted one: AD=0 on every send, first,
    repeated and over TCP, whatever the client set."""
    for ad, do in PAIRS:
        for cd in (0, 1):
            for sent in sends_of(eager, upstream, ad=ad, cd=cd,
                                 opt=client_opt(do)):
                assert sent.ad == 0, (ad, do, cd, sent)


# --- CD ---------------------------------------------------------------------

def says_cd(ctx):
    """An address that tells which CD the question had."""
    if ctx.name.startswith("alive"):
        return ctx.default()
    ctx.send(reply(ctx.msg, [rr(ctx.name, "A", 300,
                                f"192.0.2.{100 + ctx.msg.cd}")]))


def test_flag_06_cd_goes_up(eager, upstream):
    """FLAG-06: CD of the client on every send, first, repeated, by TCP."""
    for cd in (0, 1):
        for opt in (None, Opt(), Opt(do=1)):
            for sent in sends_of(eager, upstream, cd=cd, opt=opt):
                assert sent.cd == cd, sent


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("opt", [None, Opt(do=1)], ids=["bare", "do"])
def test_flag_06_results_are_kept_apart(larder, upstream, first, opt):
    """FLAG-06: CD=0 after CD=1, or before it, is a new query with an answer
    of its own."""
    upstream.handler = says_cd
    name = fresh_name()
    for cd in (first, 1 - first, first, 1 - first):
        msg = larder.ask(name, cd=cd, opt=opt)
        assert (msg.a(), msg.cd) == ([f"192.0.2.{100 + cd}"], cd), msg
    assert [e.msg.cd for e in upstream.entries(name)] == [first, 1 - first]


def test_flag_06_denials_are_kept_apart(larder, upstream):
    """FLAG-06: NXDOMAIN under CD=1, which answers every type, says nothing
    about CD=0, and the other way round."""
    def script(ctx):
        if ctx.name in denied and ctx.msg.cd == denied[ctx.name]:
            ctx.send(reply(ctx.msg, [], [soa("example.")], rcode=NXDOMAIN))
        else:
            ctx.default()

    denied = {fresh_name(): 0, fresh_name(): 1}
    upstream.handler = script
    for name, cd in denied.items():
        assert larder.ask(name, "TXT", cd=cd).rcode == NXDOMAIN
        for _ in ("miss", "hit"):
            assert larder.ask(name, cd=1 - cd).a() == ["192.0.2.1"]
            assert larder.ask(name, cd=cd).rcode == NXDOMAIN
        assert upstream.count(name) == 2


def test_flag_06_joined_questions_are_kept_apart(larder, upstream):
    """FLAG-06: asked at the same time, the two do not share a send."""
    upstream.handler = lambda ctx: (
        ctx.default() if ctx.name.startswith("alive")
        else ctx.send_later(0.1, reply(ctx.msg, [
            rr(ctx.name, "A", 300, f"192.0.2.{100 + ctx.msg.cd}")])))
    name = fresh_name()
    with larder.udp_socket() as sock:
        for cd in (0, 1, 0, 1):
            sock.send(query(name, cd=cd, id=cd << 8 | len(name)))
        sock.settimeout(2)
        got = [parse(sock.recv(4096)) for _ in range(2)]
    assert sorted((m.cd, m.a()) for m in got) == [
        (0, ["192.0.2.100"]), (1, ["192.0.2.101"])]
    assert sorted(e.msg.cd for e in upstream.entries(name)) == [0, 1]


def test_flag_06_cd_of_the_reply_means_nothing(larder, upstream):
    """FLAG-06: what U puts into its own CD bit neither reaches C nor moves
    the answer to the other side."""
    upstream.handler = lambda ctx: (
        ctx.default() if ctx.name.startswith("alive")
        else ctx.send(reply(ctx.msg, [
            rr(ctx.name, "A", 300, f"192.0.2.{100 + ctx.msg.cd}")],
            cd=1 - ctx.msg.cd)))
    for first in (0, 1):
        name = fresh_name()
        for cd in (first, 1 - first, first):
            msg = larder.ask(name, cd=cd)
            assert (msg.a(), msg.cd) == ([f"192.0.2.{100 + cd}"], cd), msg
        assert upstream.count(name) == 2


# --- DO ---------------------------------------------------------------------

def test_flag_08_one_rule_for_do(eager, upstream):
    """FLAG-08: DO upstream follows the client's, or is always 1; in either
    case the rule is one, for first, repeated and TCP sends."""
    rule = set()
    for opt, do in ((None, 0), (Opt(do=0), 0), (Opt(do=1), 1)):
        for ad in (0, 1):
            for cd in (0, 1):
                for sent in sends_of(eager, upstream, opt=opt, ad=ad, cd=cd):
                    rule.add((do, sent.opt.do if sent.opt else 0))
    assert rule in ({(0, 0), (1, 1)}, {(0, 1), (1, 1)}), rule


RRSIG = (struct.pack("!HBBIIIH", 1, 13, 2, 300, 4000000000, 1600000000, 4711)
         + b"\7example\0" + bytes(64))


@pytest.mark.parametrize("order", [(1, 0), (0, 1)])
def test_flag_08_signatures_follow_the_client(larder, upstream, order):
    """FLAG-08: whatever the rule, who sets DO gets signatures, nobody else."""
    def script(ctx):
        if ctx.name.startswith("alive"):
            return ctx.default()
        records = [rr(ctx.name, "A", 300, "192.0.2.1")]
        if ctx.msg.opt and ctx.msg.opt.do:
            records.append(rr(ctx.name, "RRSIG", 300, RRSIG))
        ctx.send(reply(ctx.msg, records))

    upstream.handler = script
    name = fresh_name()
    for do in order * 2:
        for opt in ([Opt(do=1)] if do else [None, Opt()]):
            msg = larder.ask(name, opt=opt)
            types = [r.qtype for r in msg.answer]
            assert types == [1] + [TYPES["RRSIG"]] * do, (do, msg)
            assert not msg.opt or msg.opt.do == do


# --- AD of larder's own answers ---------------------------------------------

@BOTH
@pytest.mark.parametrize("ad, do", PAIRS)
def test_flag_12_local_answers_carry_no_ad(larder, named, upstream, proto, ad,
                                           do):
    """FLAG-12: local data, denials, made-up answers and refusals: AD=0, also
    for those who set AD and DO; and no signature with them."""
    for name, qtype in (
            ("localhost.", "A"), ("localhost.", "AAAA"), ("localhost.", "DS"),
            (fresh_name(zone="localhost."), "A"), ("test.", "SOA"),
            (fresh_name(zone="invalid."), "A"), ("10.in-addr.arpa.", "NS"),
            ("1.0.0.127.in-addr.arpa.", "PTR"), ("resolver.arpa.", "TXT"),
            (fresh_name(zone="home.arpa."), "DS"),
            (fresh_name(), "AXFR" if do else "ANY"),
            (fresh_name(), "AXFR")):
        msg = ask(larder, proto, name, qtype, ad=ad, opt=client_opt(do))
        assert (msg.ad, msg.qr) == (0, 1), (name, msg)
        assert TYPES["RRSIG"] not in [r.qtype for r in
                                      msg.answer + msg.authority], (name, msg)
    msg = ask(named, proto, "version.bind.", "TXT", qclass=3, ad=ad,
              opt=client_opt(do))
    assert (msg.rcode, msg.ad) == (NOERROR, 0), msg
    check_quiet(larder, upstream)
