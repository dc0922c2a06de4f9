"""Negative answers: conformance section 11, rows NEG-* of tier core.

The larderd of these tests lives by the clock of clockshim.py.

Rows that wait: NEG-10 and NEG-13 need validation.  Of NEG-12 the local zones
and host entries come with the local data of section 18; routes are shown here.
"""

import struct

import pytest

from clockshim import clock, clock_library, module_clock    # noqa: F401
from harness import (NOERROR, NXDOMAIN, TYPES, Larder, Opt, Upstream, qname,
                     qtype_number, reply, rr, soa)

DO = Opt(do=1)
NEG_MAX = 900       # cache: negative-ttl:, its default
GOOD = "192.0.2.1"


@pytest.fixture(scope="module")
def module_larder(module_upstream, module_clock):
    module_clock.freeze()
    with Larder([module_upstream], env=module_clock.env) as larder:
        yield larder


# --- what U says ------------------------------------------------------------

def says(*records, authority=(), **kw):
    """A handler that gives the same records to every question."""
    return lambda ctx: ctx.send(reply(ctx.msg, records, authority, **kw))


def denies(rcode, *authority):
    return says(rcode=rcode, authority=authority)


def soa_of(zone, ttl=300, minimum=60, serial=1):
    dot = "." if zone == "." else "." + zone
    return rr(zone, "SOA", ttl,
              f"ns{dot} admin{dot} {serial} 3600 900 86400 {minimum}")


def rrsig(name, covered, ttl=300):
    """A signature that is one in form only."""
    rdata = (struct.pack("!HBBIIIH", qtype_number(covered), 13, 2, ttl,
                         2_000_000_000, 1_700_000_000, 4711)
             + qname("example.") + bytes(range(64)))
    return rr(name, "RRSIG", ttl, rdata)


def nsec(name, following, ttl=300):
    return rr(name, "NSEC", ttl, qname(following) + b"\0\1\x40")


def nsec3(ttl=300):
    return rr("0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example.", "NSEC3", ttl,
              b"\1\0\0\1\2\xab\xcd\x14" + bytes(range(20)) + b"\0\1\x40")


# --- what C sees ------------------------------------------------------------

def of_type(records, qtype):
    return [r for r in records if r.qtype == TYPES[qtype]]


def check_denied(msg, rcode):
    """A denial with its SOA and without an answer."""
    assert msg is not None
    assert msg.rcode == rcode and msg.answer == [], msg
    assert len(of_type(msg.authority, "SOA")) == 1, msg


def soa_ttl(msg):
    (record,) = of_type(msg.authority, "SOA")
    return record.ttl


both = pytest.mark.parametrize("rcode", [NXDOMAIN, NOERROR],
                               ids=["nxdomain", "nodata"])


# --- lifetimes --------------------------------------------------------------

@both
@pytest.mark.parametrize("ttl, minimum, life", [
    (3600, 60, 60), (60, 3600, 60), (9999, 9999, NEG_MAX), (3, 3, 3),
    (NEG_MAX, NEG_MAX, NEG_MAX)])
def test_neg_01_lifetime(larder, clock, upstream, fresh, rcode, ttl, minimum,
                         life):
    """NEG-01: a denial lives min(SOA TTL, MINIMUM, 900 s), to the second."""
    name = fresh()
    upstream.handler = denies(rcode, soa_of("example.", ttl, minimum))
    check_denied(larder.ask(name, "MX"), rcode)
    clock.advance(life - 1)
    check_denied(larder.ask(name, "MX"), rcode)
    assert upstream.count(name) == 1
    clock.advance(1)
    check_denied(larder.ask(name, "MX"), rcode)
    assert upstream.count(name) == 2


def test_neg_01_ceiling_is_a_setting(upstream, clock, fresh):
    """NEG-01: NEG_MAX is `negative-ttl`; with 0 s no denial is kept."""
    upstream.handler = denies(NXDOMAIN, soa_of("example.", 9999, 9999))
    with Larder([upstream], conf={"cache": {"negative-ttl": "1h"}},
                env=clock.env) as larder:
        name = fresh()
        assert soa_ttl(larder.ask(name)) == 3600
        clock.advance(3599)
        assert soa_ttl(larder.ask(name)) == 1
        assert upstream.count(name) == 1
        clock.advance(1)
        larder.ask(name)
        assert upstream.count(name) == 2
    with Larder([upstream], conf={"cache": {"negative-ttl": "0s"}}) as larder:
        name = fresh()
        for asked in (1, 2):
            assert larder.ask(name).rcode == NXDOMAIN
            assert upstream.count(name) == asked


@both
def test_neg_02_soa_counts_down(larder, clock, upstream, fresh, rcode):
    """NEG-02: SOA 3600/60 after 10 s: TTL 50, RDATA untouched."""
    record = soa_of("example.", 3600, 60, serial=2_024_010_203)
    sent = reply(b"\0" * 12, authority=[record])
    rdata = record[len(qname("example.")) + 10:]
    assert rdata in sent
    upstream.handler = denies(rcode, record)
    name = fresh()
    for passed, left in ((0, 60), (10, 50), (40, 10), (9, 1)):
        clock.advance(passed)
        msg = larder.ask(name, "MX")
        check_denied(msg, rcode)
        (found,) = of_type(msg.authority, "SOA")
        assert found.ttl == left, (found.ttl, left)
        assert found.name == qname("example.")
        # The names in it may come compressed.
        mname, at = msg.name_at(found.rdata_at)
        rname, at = msg.name_at(at)
        assert mname + rname + msg.wire[at:at + 20] == rdata
        assert at + 20 == found.rdata_at + len(found.rdata)
    assert upstream.count(name) == 1


@both
def test_neg_02_signature_of_the_soa_likewise(larder, clock, upstream, fresh,
                                              rcode):
    """NEG-02: the SOA's RRSIG has its TTL, and RDATA untouched."""
    signature = rrsig("example.", "SOA", 3600)
    upstream.handler = denies(rcode, soa_of("example.", 3600, 60), signature)
    name = fresh()
    for passed, left in ((0, 60), (10, 50)):
        clock.advance(passed)
        msg = larder.ask(name, "MX", opt=DO)
        assert msg.rcode == rcode and soa_ttl(msg) == left, msg
        (found,) = of_type(msg.authority, "RRSIG")
        assert found.ttl == left, (found.ttl, left)
        assert found.rdata == signature[len(qname("example.")) + 10:]
    assert upstream.count(name) == 1


# --- what a denial answers --------------------------------------------------

def test_neg_03_nxdomain_answers_every_type(larder, upstream, fresh):
    """NEG-03: NXDOMAIN for A, then AAAA, TXT, HTTPS and others: log 1."""
    for first in ("A", "HTTPS", "TYPE65280"):
        name = fresh()
        upstream.handler = denies(NXDOMAIN, soa_of("example."))
        check_denied(larder.ask(name, first), NXDOMAIN)
        upstream.handler = says(rr(name, "A", 300, GOOD))
        for qtype in ("A", "AAAA", "TXT", "HTTPS", "SOA", "NS", "CNAME",
                      "TYPE65281"):
            msg = larder.ask(name.upper(), qtype)
            check_denied(msg, NXDOMAIN)
            assert msg.question[0].qtype == qtype_number(qtype)
        assert upstream.count(name) == 1


def test_neg_04_nodata_answers_its_type_only(larder, upstream, fresh):
    """NEG-04: NODATA for AAAA, then A: log 2, and the A is answered."""
    name = fresh()
    upstream.handler = lambda ctx: ctx.send(
        reply(ctx.msg, [rr(name, "A", 300, GOOD)]) if ctx.qtype == 1
        else reply(ctx.msg, authority=[soa_of("example.")]))
    check_denied(larder.ask(name, "AAAA"), NOERROR)
    assert larder.ask(name, "A").a() == [GOOD]
    assert upstream.count(name) == 2
    check_denied(larder.ask(name, "AAAA"), NOERROR)
    assert larder.ask(name, "A").a() == [GOOD]
    assert upstream.count(name) == 2
    check_denied(larder.ask(name, "TXT"), NOERROR)
    assert upstream.count(name) == 3


# --- denials that are not kept ----------------------------------------------

def check_not_kept(larder, upstream, name, rcode, aliases=0, qtype="A"):
    for asked in (1, 2, 3):
        msg = larder.ask(name, qtype)
        assert msg is not None and msg.rcode == rcode, msg
        assert len(msg.answer) == aliases, msg
        assert upstream.count(name) == asked, "the denial was kept"


NO_SOA = {
    "nxdomain": (NXDOMAIN, []),
    "nxdomain with NS": (NXDOMAIN, [rr("example.", "NS", 300, "ns.example.")]),
    "nodata with a proof": (NOERROR, [nsec("example.", "zz.example.")]),
    "wholly empty": (NOERROR, []),
}


@pytest.mark.parametrize("what", NO_SOA)
def test_neg_05_without_soa(larder, upstream, fresh, what):
    """NEG-05: without SOA a denial is relayed as it is and not kept."""
    rcode, authority = NO_SOA[what]
    upstream.handler = denies(rcode, *authority)
    check_not_kept(larder, upstream, fresh(), rcode)


@both
def test_neg_05_alias_without_soa(larder, upstream, fresh, rcode):
    """NEG-05: an alias to a denial without SOA is relayed and not kept."""
    name = fresh()
    upstream.handler = says(rr(name, "CNAME", 300, fresh("t")), rcode=rcode)
    check_not_kept(larder, upstream, name, rcode, aliases=1)


def useless(name):
    """SOA records that give a denial of `name` no life."""
    return {
        "TTL 0": [soa_of("example.", 0, 60)],
        "MINIMUM 0": [soa_of("example.", 60, 0)],
        "of other.": [soa_of("other.")],
        "of a neighbour": [soa_of("x" + name)],
        "of a name below": [soa_of("a." + name)],
        "of the tail of a label": [soa_of("ample.")],
        "two of two zones": [soa_of("example."), soa_of(".")],
        "two of one zone": [soa_of("example."), soa_of("example.", serial=2)],
    }


@both
@pytest.mark.parametrize("what", useless("n.example."))
def test_neg_06_useless_soa(larder, upstream, fresh, what, rcode):
    """NEG-06: SOA with TTL 0, MINIMUM 0, a foreign owner, or two: not kept."""
    name = fresh()
    upstream.handler = denies(rcode, *useless(name)[what])
    check_not_kept(larder, upstream, name, rcode)


@both
def test_neg_06_good_owners(larder, upstream, fresh, rcode):
    """NEG-06: an SOA of the name itself, or of any name above: kept."""
    zone = fresh("zone")
    for owner in (".", "example.", zone.upper(), "a." + zone):
        name = fresh("n", "a." + zone)
        for whose in (owner, name):
            denied = name if whose == owner else "b" + name
            whose = "B" + whose if whose == name else whose
            upstream.handler = denies(rcode, soa_of(whose))
            for _ in ("miss", "hit"):
                check_denied(larder.ask(denied), rcode)
            assert upstream.count(denied) == 1, whose


# --- aliases ----------------------------------------------------------------

@both
def test_neg_07_08_alias_to_nothing(larder, upstream, fresh, rcode):
    """NEG-07, NEG-08: an alias to a denial: kept with its CNAME and RCODE."""
    name, target = fresh(), fresh("t", "other.net.")
    cname = rr(name, "CNAME", 300, target)
    upstream.handler = lambda ctx: ctx.send(
        reply(ctx.msg, [cname]) if ctx.qtype == TYPES["CNAME"] else
        reply(ctx.msg, [cname], [soa_of("other.net.")], rcode=rcode))
    for _ in ("miss", "hit", "hit"):
        msg = larder.ask(name, "A")
        assert msg.rcode == rcode, msg
        assert [r.qtype for r in msg.answer] == [TYPES["CNAME"]], msg
        assert msg.answer[0].name == qname(name)
        assert msg.name_at(msg.answer[0].rdata_at)[0] == qname(target)
        assert len(of_type(msg.authority, "SOA")) == 1, msg
        assert upstream.count(name) == 1
    # The alias itself is there, whatever became of its target.
    for _ in ("miss", "hit"):
        msg = larder.ask(name, "CNAME")
        assert msg.rcode == NOERROR, msg
        assert [r.qtype for r in msg.answer] == [TYPES["CNAME"]], msg
    assert upstream.count(name, "CNAME") == 1
    # For that name and that type alone.
    assert larder.ask(name, "AAAA").rcode == rcode
    assert upstream.count(name, "AAAA") == 1
    upstream.handler = says(rr(target, "A", 300, GOOD))
    assert larder.ask(target, "A").a() == [GOOD]
    assert upstream.count(target) == 1


@both
@pytest.mark.parametrize("cname_ttl, soa_ttl_s, minimum, life", [
    (20, 300, 300, 20), (300, 20, 300, 20), (300, 300, 20, 20)])
def test_neg_07_08_life_includes_the_alias(larder, clock, upstream, fresh,
                                           rcode, cname_ttl, soa_ttl_s,
                                           minimum, life):
    """NEG-07, NEG-08: the shortest of CNAME, SOA and MINIMUM ends it all."""
    name = fresh()
    upstream.handler = says(
        rr(name, "CNAME", cname_ttl, fresh("t")), rcode=rcode,
        authority=[soa_of("example.", soa_ttl_s, minimum)])
    for passed, log in ((0, 1), (life - 1, 1), (1, 2)):
        clock.advance(passed)
        msg = larder.ask(name)
        assert msg.rcode == rcode and len(msg.answer) == 1, msg
        assert upstream.count(name) == log


# --- proofs -----------------------------------------------------------------

def proofs(name):
    return {
        "NSEC": [soa_of("example."), rrsig("example.", "SOA"),
                 nsec("example.", "m.example."), rrsig("example.", "NSEC"),
                 nsec("m.example.", "z.example."),
                 rrsig("m.example.", "NSEC")],
        "NSEC3": [soa_of("example."), rrsig("example.", "SOA"), nsec3(),
                  rrsig("0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example.", "NSEC3")],
        "of the name": [soa_of("example."), rrsig("example.", "SOA"),
                        nsec(name, "z.example."), rrsig(name, "NSEC")],
    }


def records(section):
    """What a section says, TTLs and the form of SOA names aside."""
    return sorted((r.text.lower(), r.qtype,
                   b"" if r.qtype == TYPES["SOA"] else r.rdata)
                  for r in section)


@both
@pytest.mark.parametrize("kind", proofs("n.example."))
def test_neg_09_proofs_are_kept(larder, upstream, fresh, rcode, kind):
    """NEG-09: DO=1 twice: the same proof, the second time from the cache."""
    name = fresh()
    authority = proofs(name)[kind]
    upstream.handler = lambda ctx: ctx.send(reply(
        ctx.msg, authority=authority if ctx.msg.opt and ctx.msg.opt.do
        else authority[:1], rcode=rcode))
    # Somebody may have asked without DO before.
    check_denied(larder.ask(name, "AAAA"), rcode)
    miss = larder.ask(name, "AAAA", opt=DO)
    before = upstream.count(name)
    assert miss.rcode == rcode and len(miss.authority) == len(authority), miss
    for opt in (DO, Opt(do=1, size=4096)):
        hit = larder.ask(name, "AAAA", opt=opt)
        assert hit.rcode == rcode
        assert records(hit.authority) == records(miss.authority)
    assert records(larder.ask_tcp(name, "AAAA", opt=DO).authority) == records(
        miss.authority)
    assert upstream.count(name) == before <= 2
    check_denied(larder.ask(name, "AAAA"), rcode)
    assert len(larder.ask(name, "AAAA").authority) == 1


@both
def test_neg_09_proof_of_an_alias(larder, upstream, fresh, rcode):
    """NEG-09: an alias to a denial keeps its proof and signatures, too."""
    name, target = fresh(), fresh("t")
    authority = proofs(target)["NSEC"]
    upstream.handler = says(rr(name, "CNAME", 300, target),
                            rrsig(name, "CNAME"),
                            authority=authority, rcode=rcode)
    miss = larder.ask(name, "AAAA", opt=DO)
    hit = larder.ask(name, "AAAA", opt=DO)
    assert upstream.count(name) == 1
    for msg in (miss, hit):
        assert [r.qtype for r in msg.answer] == [TYPES["CNAME"],
                                                 TYPES["RRSIG"]], msg
        assert len(msg.authority) == len(authority), msg
    assert records(hit.authority) == records(miss.authority)


# --- how far a denial reaches -----------------------------------------------

@pytest.mark.parametrize("opt", [None, DO], ids=["plain", "do"])
def test_neg_11_nothing_below_is_denied(larder, upstream, fresh, opt):
    """NEG-11: an unproved NXDOMAIN says nothing about names below: log 2."""
    name = fresh("b")
    upstream.handler = denies(NXDOMAIN, *proofs(name)["NSEC"])
    assert larder.ask(name, opt=opt).rcode == NXDOMAIN
    upstream.reset()
    for below in ("a." + name, "x.y." + name):
        msg = larder.ask(below, opt=opt)
        assert msg.rcode == NOERROR and msg.a() == [GOOD], msg
        assert upstream.count(below) == 1
    # And the name itself stays denied.
    assert larder.ask(name, opt=opt).rcode == NXDOMAIN
    assert upstream.count(name) == 0


def test_neg_12_nothing_in_another_route_is_denied(upstream, fresh):
    """NEG-12: U1 denies what is above a route: names in it come from U2."""
    zone = fresh("corp")
    above = fresh("alias", "example.net.")
    with Upstream() as second, Larder(
            [upstream], conf={"routes": {zone: [second]}}) as larder:
        second.handler = lambda ctx: ctx.send(
            reply(ctx.msg, [rr(ctx.name, "A", 300, "192.0.2.77")]))
        upstream.handler = lambda ctx: ctx.send(reply(
            ctx.msg, [rr(above, "CNAME", 300, "a." + zone)]
            if ctx.name == above else [],
            [soa_of(".", 300, 300), nsec(".", "zz.")], rcode=NXDOMAIN))
        for opt in (None, DO):
            for name in ("example.", "."):
                assert larder.ask(name, opt=opt).rcode == NXDOMAIN
            # Whether an alias is followed across routes is section 18's.
            assert larder.ask(above, opt=opt) is not None
            for name in ("a." + zone, zone):
                for _ in ("miss", "hit"):
                    msg = larder.ask(name, opt=opt)
                    assert msg.a() == ["192.0.2.77"], (name, msg)
        assert not [e for e in upstream.log if e.name.endswith(zone)]


def test_neg_12_old_denials_do_not_reach_a_new_route(upstream, fresh):
    """NEG-12: what U1 denied before there was a route: now it is U2's."""
    zone = fresh("corp")
    with Upstream() as second, Larder([upstream]) as larder:
        second.handler = lambda ctx: ctx.send(
            reply(ctx.msg, [rr(ctx.name, "A", 300, "192.0.2.77")]))
        upstream.handler = denies(NXDOMAIN, soa("."))
        for name in (zone, "a." + zone):
            for _ in ("miss", "hit"):
                assert larder.ask(name).rcode == NXDOMAIN
            assert upstream.count(name) == 1
        larder.rewrite({"routes": {zone: [second]}})
        done = larder.ctl("reload")
        assert done.returncode == 0, done.stderr
        for name in (zone, "a." + zone):
            assert larder.ask(name).a() == ["192.0.2.77"]
            assert upstream.count(name) == 1
