"""The cache seen from outside: conformance.md section 10, rows CACHE-01 to -18.

Lifetimes are minutes and hours, tests are not.  So the larderd of most tests
here lives by the clock of clockshim.py.  One test without it holds the real
clock against these.

Data past its lifetime is never used in this release; the halves of CACHE-06,
-14 and -16 that speak of stale data belong to the tests of section 13.
"""

import contextlib
import itertools
import mmap
import os
import random
import socket
import statistics
import struct
import time
import zlib
from pathlib import Path

import pytest

from clockshim import clock, clock_library, module_clock    # noqa: F401
from harness import (NOERROR, NXDOMAIN, SERVFAIL, TYPES, Larder, Opt, Upstream,
                     fresh_name, parse, qname, qtype_number, query, reply, rr,
                     soa)

TTL_MAX = 86400     # cache: max-ttl:, its default


@pytest.fixture(scope="module")
def module_aged(module_upstream, module_clock):
    module_clock.freeze()
    with Larder([module_upstream], env=module_clock.env) as larder:
        yield larder


@pytest.fixture
def aged(upstream, module_aged):
    """A larderd that lives by `clock`."""
    module_aged.check_running()
    yield module_aged
    module_aged.check_running()


# --- answers of the fake upstream -------------------------------------------

def says(*records, authority=(), rcode=0, **kw):
    """A handler that gives the same records to every question."""
    return lambda ctx: ctx.send(reply(ctx.msg, records, authority,
                                      rcode=rcode, **kw))


def a_of(name, ttl, address="192.0.2.1"):
    return rr(name, "A", ttl, address)


def rrsig(name, covered, ttl=300):
    """A signature that is one in form only."""
    rdata = (struct.pack("!HBBIIIH", qtype_number(covered), 13, 2, ttl,
                         2_000_000_000, 1_700_000_000, 4711)
             + qname("example.") + bytes(64))
    return rr(name, "RRSIG", ttl, rdata)


def nsec(name, following, ttl=300):
    return rr(name, "NSEC", ttl, qname(following) + b"\0\1\x40")


def ttls(msg, section="answer"):
    return [r.ttl for r in getattr(msg, section)]


def types(msg):
    return {r.qtype for r in msg.answer + msg.authority + msg.additional}


def wants_do(ctx):
    return bool(ctx.msg.opt and ctx.msg.opt.do)


DO = Opt(do=1)


# --- lifetimes --------------------------------------------------------------

def test_cache_01_ttl_counts_down(aged, clock, upstream, fresh):
    """CACHE-01: TTL 60 asked at 0, 1, 59 s: 60, 59, 1, log 1; at 60 s log 2."""
    name = fresh()
    upstream.handler = says(a_of(name, 60))
    for passed, left in ((0, 60), (1, 59), (58, 1)):
        clock.advance(passed)
        assert ttls(aged.ask(name)) == [left]
        assert upstream.count(name) == 1
    clock.advance(1)
    assert ttls(aged.ask(name)) == [60]
    assert upstream.count(name) == 2


def test_cache_01_every_ttl_is_lowered(aged, clock, upstream, fresh):
    """CACHE-01: every TTL in every section, by whole seconds only."""
    name, target, other = fresh(), fresh("t"), fresh("m")
    upstream.handler = says(rr(name, "CNAME", 300, target), a_of(target, 200))
    assert ttls(aged.ask(name)) == [300, 200]
    clock.advance(0.5)
    assert ttls(aged.ask(name)) == [300, 200]
    clock.advance(9.7)
    assert ttls(aged.ask(name)) == [290, 190]

    upstream.handler = says(authority=[soa("example.", ttl=50, minimum=60)])
    assert ttls(aged.ask(other, "MX"), "authority") == [50]
    clock.advance(20)
    msg = aged.ask(other, "MX")
    assert msg.rcode == NOERROR and ttls(msg, "authority") == [30]
    assert upstream.count(other) == 1


def test_cache_01_by_the_real_clock(larder, upstream, fresh):
    """CACHE-01: the same without any trick on the clock: TTL 2."""
    for _ in range(5):
        name, began = fresh(), time.monotonic()
        upstream.handler = says(a_of(name, 2))
        seen = []
        for at in (0, 1.1, 2.1):
            time.sleep(max(0, began + at - time.monotonic()))
            seen.append((*ttls(larder.ask(name)), upstream.count(name)))
            late = time.monotonic() - began - at
            if late > 0.8:
                break
        else:
            assert seen == [(2, 1), (1, 1), (2, 2)]
            return
    raise AssertionError("the machine stood still five times")


def test_cache_02_no_wrap_at_the_edge(aged, clock, upstream, fresh):
    """CACHE-02: asked every 10 ms over expiry: TTL 1, then fresh, never over."""
    name = fresh()
    upstream.handler = says(a_of(name, 60))
    aged.ask(name)
    clock.advance(59.0)
    seen = []
    for _ in range(150):
        clock.advance(0.01)
        seen += ttls(aged.ask(name))
    assert set(seen) <= {1, 60, 59}, set(seen)
    assert seen[0] == 1 and 60 in seen
    assert upstream.count(name) == 2


def test_cache_02_uptime_of_weeks(aged, clock, upstream, fresh):
    """CACHE-02: milliseconds since boot pass 2^31 and 2^32 without harm."""
    for edge_s in (2**31 / 1000, 2**32 / 1000):
        before_s = edge_s - 5 - clock.now()
        if before_s < 0:
            continue        # a machine that has really been up for so long
        clock.advance(before_s)
        name = fresh()
        upstream.handler = says(a_of(name, 60))
        assert ttls(aged.ask(name)) == [60]
        clock.advance(10)
        assert ttls(aged.ask(name)) == [50]
        assert upstream.count(name) == 1
        clock.advance(50)
        assert ttls(aged.ask(name)) == [60]
        assert upstream.count(name) == 2


def test_cache_03_shortest_ttl_rules(aged, clock, upstream, fresh):
    """CACHE-03: CNAME 300, A 20: a new query at 20 s, for the whole."""
    name, target = fresh(), fresh("t")
    upstream.handler = says(rr(name, "CNAME", 300, target), a_of(target, 20))
    aged.ask(name)
    clock.advance(19)
    assert ttls(aged.ask(name)) == [281, 1]
    assert upstream.count(name) == 1
    clock.advance(1)
    assert ttls(aged.ask(name)) == [300, 20]
    assert upstream.count(name) == 2
    # The other way round, too.
    name, target = fresh(), fresh("t")
    upstream.handler = says(rr(name, "CNAME", 20, target), a_of(target, 300))
    aged.ask(name)
    clock.advance(20)
    assert ttls(aged.ask(name)) == [20, 300]
    assert upstream.count(name) == 2


def test_cache_03_authority_counts(aged, clock, upstream, fresh):
    """CACHE-03: alias to NODATA: the shorter of CNAME and SOA ends both."""
    for cname_ttl, soa_ttl in ((20, 300), (300, 20)):
        name, target = fresh(), fresh("t")
        upstream.handler = says(rr(name, "CNAME", cname_ttl, target),
                                authority=[soa("example.", soa_ttl, 300)])
        aged.ask(name, "MX")
        clock.advance(19)
        msg = aged.ask(name, "MX")
        assert ttls(msg) == [cname_ttl - 19], msg
        assert ttls(msg, "authority") == [soa_ttl - 19], msg
        assert upstream.count(name) == 1
        clock.advance(1)
        aged.ask(name, "MX")
        assert upstream.count(name) == 2


def test_cache_04_one_ttl_per_rrset(larder, upstream, fresh):
    """CACHE-04: A records of 30 and 300: both 30, on the miss already."""
    name = fresh()
    upstream.handler = says(a_of(name, 300), a_of(name, 30, "192.0.2.2"))
    for _ in ("miss", "hit"):
        msg = larder.ask(name)
        assert sorted(msg.a()) == ["192.0.2.1", "192.0.2.2"]
        assert ttls(msg) == [30, 30]
    # Only within the set: an alias before it keeps its own.
    name, target = fresh(), fresh("t")
    upstream.handler = says(rr(name, "CNAME", 200, target), a_of(target, 30),
                            a_of(target, 300, "192.0.2.2"))
    for _ in ("miss", "hit"):
        assert ttls(larder.ask(name)) == [200, 30, 30]


@pytest.mark.parametrize("ttl", [TTL_MAX + 1, 2**31 - 1, 2**31, 2**32 - 1])
def test_cache_05_ttl_ceiling(larder, upstream, fresh, ttl):
    """CACHE-05: huge TTLs become TTL_MAX, those with the top bit set, too."""
    name = fresh()
    upstream.handler = says(a_of(name, ttl))
    for _ in ("miss", "hit"):
        (seen,) = ttls(larder.ask(name))
        assert seen in (TTL_MAX, TTL_MAX - 1), seen     # a second may pass
    assert upstream.count(name) == 1


def test_cache_05_ceiling_ends_the_entry(aged, clock, upstream, fresh):
    """CACHE-05: the entry ends at TTL_MAX, whatever U had said."""
    name = fresh()
    upstream.handler = says(a_of(name, 2**31))
    aged.ask(name)
    clock.advance(TTL_MAX - 1)
    assert ttls(aged.ask(name)) == [1]
    assert upstream.count(name) == 1
    clock.advance(1)
    aged.ask(name)
    assert upstream.count(name) == 2


def test_cache_06_ttl_zero(larder, upstream, fresh):
    """CACHE-06: TTL 0 serves the 3 who wait, and the fourth goes to U."""
    name = fresh()

    def handler(ctx):
        waiting.append(ctx)

    waiting = []
    upstream.handler = handler
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(larder.udp_socket()) for _ in range(3)]
        for i, sock in enumerate(socks):
            sock.settimeout(6)
            sock.send(query(name, id=i))
        assert larder.ask("localhost.").a()     # all of them have been read
        upstream.wait(1, name=name)
        first = upstream.count(name)    # 1, if all this took under a second
        for ctx in waiting:
            ctx.send(reply(ctx.msg, [a_of(name, 0)]))
        answers = [sock.recv(4096) for sock in socks]
    assert [struct.unpack("!H", w[:2])[0] for w in answers] == [0, 1, 2]
    assert upstream.count(name) == first
    assert all(b"\0\0\0\0\0\4\xc0\0\2\1" in w for w in answers)  # TTL, length, A
    upstream.handler = says(a_of(name, 0, "192.0.2.2"))
    msg = larder.ask(name)
    assert msg.a() == ["192.0.2.2"] and ttls(msg) == [0]
    assert upstream.count(name) == first + 1


def test_cache_06_zero_anywhere_in_the_answer(larder, upstream, fresh):
    """CACHE-06: a chain with one TTL of 0 is not kept either."""
    name, target = fresh(), fresh("t")
    upstream.handler = says(rr(name, "CNAME", 300, target), a_of(target, 0))
    for n in (1, 2):
        assert ttls(larder.ask(name)) == [300, 0]
        assert upstream.count(name) == n


def test_cache_07_minimum_is_off_at_first(aged, clock, upstream, fresh):
    """CACHE-07: without the setting a TTL of 5 lives 5 s."""
    name = fresh()
    upstream.handler = says(a_of(name, 5))
    assert ttls(aged.ask(name)) == [5]
    clock.advance(4)
    assert ttls(aged.ask(name)) == [1]
    clock.advance(1)
    aged.ask(name)
    assert upstream.count(name) == 2


def test_cache_07_minimum(upstream, clock, fresh):
    """CACHE-07: 60: TTL 5 lives 60, TTL 0 and NXDOMAIN with SOA 5 as before."""
    with Larder([upstream], conf={"cache": {"min-ttl": "60s"}},
                env=clock.env) as larder:
        short, zero, negative, long_ = (fresh() for _ in range(4))
        upstream.handler = says(a_of(short, 5))
        assert ttls(larder.ask(short)) == [60]
        upstream.handler = says(a_of(long_, 100))
        assert ttls(larder.ask(long_)) == [100]
        upstream.handler = says(a_of(zero, 0))
        for n in (1, 2):
            assert ttls(larder.ask(zero)) == [0]
            assert upstream.count(zero) == n
        upstream.handler = says(authority=[soa("example.", 5, 5)],
                                rcode=NXDOMAIN)
        msg = larder.ask(negative)
        assert msg.rcode == NXDOMAIN and ttls(msg, "authority") == [5]
        clock.advance(5)
        larder.ask(negative)
        assert upstream.count(negative) == 2
        clock.advance(54)
        assert ttls(larder.ask(short)) == [1]
        assert upstream.count(short) == 1
        clock.advance(1)
        upstream.handler = says(a_of(short, 5))
        assert ttls(larder.ask(short)) == [60]
        assert upstream.count(short) == 2


# --- keys -------------------------------------------------------------------

def signed(ctx):
    """An answer with a signature, for DO=1 alone, as servers do."""
    records = [rr(ctx.name, ctx.qtype, 300, b"\xc0\0\2\1")]
    if wants_do(ctx):
        records.append(rrsig(ctx.name, ctx.qtype))
    ctx.send(reply(ctx.msg, records, opt=Opt(do=wants_do(ctx))))


def test_cache_08_do_is_in_the_key(larder, upstream, fresh):
    """CACHE-08: DO=0 fill, then DO=1: the RRSIGs arrive."""
    upstream.handler = signed
    name = fresh()
    for opt in (None, Opt()):
        assert types(larder.ask(name, opt=opt)) == {TYPES["A"]}
    for _ in ("first", "again"):
        msg = larder.ask(name, opt=DO)
        assert msg.a() == ["192.0.2.1"]
        assert types(msg) == {TYPES["A"], TYPES["RRSIG"]}
        assert msg.opt.do == 1
    assert upstream.count(name) <= 2


def test_cache_08_cd_is_in_the_key(larder, upstream, fresh):
    """CACHE-08: CD=1 and CD=0 have entries of their own, both ways round."""
    for first in (0, 1):
        name = fresh()
        for cd, log in ((first, 1), (first, 1), (1 - first, 2), (1 - first, 2)):
            msg = larder.ask(name, cd=cd)
            assert msg.a() and msg.cd == cd
            assert upstream.count(name) == log
        assert [e.msg.cd for e in upstream.entries(name)] == [first, 1 - first]


def test_cache_08_name_and_type_are_in_the_key(larder, upstream, fresh):
    """CACHE-08: another type, or another name, is another entry."""
    name = fresh()
    assert larder.ask(name, "A").a()
    assert [r.qtype for r in larder.ask(name, "AAAA").answer] == [TYPES["AAAA"]]
    assert larder.ask("www." + name, "A").a()
    assert upstream.count(name) == 2 and upstream.count("www." + name) == 1
    # Refused for its class, whatever the cache holds.
    assert not larder.ask(name, "A", qclass=3).answer
    assert not larder.ask(name, "A", qclass=255).answer


def test_cache_08_routes_are_in_the_key(upstream, fresh):
    """CACHE-08: a name that gets a route is asked there, not found."""
    with Upstream() as other, Larder([upstream]) as larder:
        other.handler = lambda ctx: ctx.send(
            reply(ctx.msg, [a_of(ctx.name, 300, "192.0.2.77")]))
        name = fresh("n", "corp.example.")
        assert larder.ask(name).a() == ["192.0.2.1"]
        larder.rewrite({"routes": {"corp.example": [other]}})
        done = larder.ctl("reload")
        assert done.returncode == 0, done.stderr
        assert larder.ask(name).a() == ["192.0.2.77"]
        assert upstream.count(name) == 1 and other.count(name) == 1


def test_cache_09_no_signatures_for_do_0(larder, upstream, fresh):
    """CACHE-09: DO=1 fill, then DO=0: neither RRSIG nor NSEC nor NSEC3."""
    upstream.handler = signed
    name = fresh()
    assert TYPES["RRSIG"] in types(larder.ask(name, opt=DO))
    for opt in (None, Opt()):
        assert types(larder.ask(name, opt=opt)) == {TYPES["A"]}

    def denial(ctx):
        ctx.send(reply(ctx.msg, authority=[
            soa("example."), rrsig("example.", "SOA"),
            nsec("example.", "z.example."), rrsig("example.", "NSEC"),
            rr("0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example.", "NSEC3", 300,
               b"\1\0\0\0\0\x14" + bytes(20) + b"\0\1\x40")], rcode=NXDOMAIN))

    upstream.handler = denial
    name = fresh()
    full = larder.ask(name, opt=DO)
    assert {TYPES[t] for t in ("SOA", "RRSIG", "NSEC", "NSEC3")} == types(full)
    for opt in (None, Opt()):
        msg = larder.ask(name, opt=opt)
        assert msg.rcode == NXDOMAIN and types(msg) == {TYPES["SOA"]}, msg


def test_cache_09_unasked_signatures_are_dropped(larder, upstream, fresh):
    """CACHE-09: U signs although DO=0: C with DO=0 sees no signature."""
    name = fresh()
    upstream.handler = says(a_of(name, 300), rrsig(name, "A"),
                            authority=[nsec(name, "z.example.")])
    for _ in ("miss", "hit"):
        assert types(larder.ask(name)) == {TYPES["A"]}


@pytest.mark.parametrize("qtype, rdata", [
    ("DNSKEY", b"\1\1\3\x0d" + bytes(64)),
    ("DS", b"\x12\x67\x0d\2" + bytes(32)),
    ("NSEC", qname("z.example.") + b"\0\1\x40"),
    ("NSEC3", b"\1\0\0\0\0\x14" + bytes(20) + b"\0\1\x40"),
    ("RRSIG", None),
])
def test_cache_09_asked_types_are_given(larder, upstream, fresh, qtype, rdata):
    """CACHE-09: explicit DNSKEY, DS, RRSIG, NSEC questions are answered."""
    name = fresh()
    record = (rrsig(name, "A") if rdata is None
              else rr(name, qtype, 300, rdata))
    upstream.handler = says(record)
    for opt in (None, None, Opt(), DO):
        msg = larder.ask(name, qtype, opt=opt)
        assert msg.rcode == NOERROR
        assert [r.qtype for r in msg.answer] == [TYPES[qtype]], msg


# --- content ----------------------------------------------------------------

def test_cache_10_sets_are_not_merged(aged, clock, upstream, fresh):
    """CACHE-10: A1 and A2 expire, U now says A3: only A3."""
    name = fresh()
    upstream.handler = says(a_of(name, 5), a_of(name, 5, "192.0.2.2"))
    assert sorted(aged.ask(name).a()) == ["192.0.2.1", "192.0.2.2"]
    clock.advance(5)
    upstream.handler = says(a_of(name, 5, "192.0.2.3"))
    for _ in ("miss", "hit"):
        assert aged.ask(name).a() == ["192.0.2.3"]
    # Nor across keys: what CD=1 brings leaves the set of CD=0 as it is.
    upstream.handler = says(a_of(name, 5, "192.0.2.4"))
    assert aged.ask(name, cd=1).a() == ["192.0.2.4"]
    assert aged.ask(name).a() == ["192.0.2.3"]


def bare(msg):
    """The octets of a reply, ID and TTLs set to 0, its OPT cut off."""
    wire = bytearray(msg.wire)
    wire[0:2] = b"\0\0"
    for record in msg.answer + msg.authority + msg.additional:
        wire[record.rdata_at - 6:record.rdata_at - 2] = bytes(4)
    return bytes(wire[:len(wire) - msg.opt_octets])


def kinds_of_answer(name):
    """(qtype, rcode, answer, authority, additional) of many shapes."""
    target, third = "T-" + name, "Third-" + name
    end = [soa("example.", 300, 60)]
    return {
        "address": ("A", 0, [a_of(name, 300)], [], []),
        "chain": ("A", 0, [rr(name, "CNAME", 300, target),
                           rr(target, "CNAME", 200, third),
                           a_of(third, 100)], [], []),
        "mx": ("MX", 0, [rr(name, "MX", 300, "10 " + target)], [],
               [a_of(target, 300)]),
        "text": ("TXT", 0, [rr(name, "TXT", 300, "v=1 " * 80)], [], []),
        "unknown": ("TYPE65280", 0, [rr(name, 65280, 300, b"\xc0\x0c" * 50)],
                    [], []),
        "service": ("SRV", 0, [rr(name, "SRV", 300, b"\0\1\0\2\0\x35"
                                  + qname(target))], [], []),
        "nodata": ("AAAA", 0, [], end, []),
        "nxdomain": ("A", 3, [], end, []),
        "alias to nothing": ("A", 3, [rr(name, "CNAME", 300, target)], end, []),
        "alias to nodata": ("A", 0, [rr(name, "CNAME", 300, target)], end, []),
    }


@pytest.mark.parametrize("kind", list(kinds_of_answer("n.example.")))
def test_cache_11_hit_equals_miss(larder, upstream, fresh, kind):
    """CACHE-11: a hit is the miss, octet for octet, but for TTLs, ID, OPT."""
    for opt, do_ask in itertools.product((None, Opt(), DO),
                                         (larder.ask, larder.ask_tcp)):
        name = "MiXed-" + fresh()
        qtype, rcode, *sections = kinds_of_answer(name)[kind]
        upstream.handler = lambda ctx: ctx.send(
            reply(ctx.msg, *sections, rcode=rcode))
        miss = do_ask(name, qtype, opt=opt)
        assert miss is not None and miss.rcode == rcode, miss
        assert len(miss.answer) == len(sections[0]), miss
        hit = do_ask(name, qtype, opt=opt)
        assert bare(hit) == bare(miss)
        assert (hit.opt is None) == (miss.opt is None) == (opt is None)
        assert upstream.count(name) == 1


def test_cache_11_case_of_the_asker(larder, upstream, fresh):
    """CACHE-11: names taken from the question follow the asker's case."""
    name = fresh("AbC")
    upstream.handler = says(a_of(name, 300))
    miss = larder.ask(name)
    hit = larder.ask(name.upper())
    assert hit.question[0].text == name.upper()
    assert bare(hit).lower() == bare(miss).lower()
    assert len(hit.wire) == len(miss.wire)
    assert upstream.count(name) == 1


def test_cache_12_nothing_of_the_upstreams_opt(larder, upstream, fresh):
    """CACHE-12: U sends EDE, cookie, size, keepalive, padding: hits show none."""
    options = [(15, b"\0\3kept too long"), (10, b"12345678abcdefgh"),
               (11, b"\0\x0a"), (12, bytes(30)), (3, b"ns1"), (65001, b"x")]

    def handler(ctx):
        ctx.send(reply(ctx.msg, [a_of(ctx.name, 300)],
                       opt=Opt(size=4096, flags=0x7FFF, options=options)))

    upstream.handler = handler
    name = fresh()
    miss = larder.ask(name, opt=Opt(size=1400))
    assert miss.a() and {code for code, _ in miss.opt.options} <= {15}, miss
    for opt in (Opt(size=1400), Opt(size=512), DO):
        hit = larder.ask(name, opt=opt)
        assert hit.a() == ["192.0.2.1"]
        if opt is not DO:
            assert upstream.count(name) == 1
            assert hit.opt.options == [], hit
        assert (hit.opt.size, hit.opt.flags, hit.opt.version) == (1232, 0, 0)
        assert hit.opt.do == opt.do
    hit = larder.ask_tcp(name, opt=Opt())
    assert {code for code, _ in hit.opt.options} <= {11}, hit
    msg = larder.ask(name)
    assert msg.opt is None and msg.counts[3] == 0


def test_cache_13_wall_clock_steps(aged, clock, upstream, fresh):
    """CACHE-13: a day forward or back on the wall clock changes nothing."""
    name = fresh()
    upstream.handler = says(a_of(name, 300))
    assert ttls(aged.ask(name)) == [300]
    for passed, step in enumerate((86400, -86400, -86400, 86400), 1):
        clock.step_wall(step)
        clock.advance(1)
        assert ttls(aged.ask(name)) == [300 - passed]
    assert upstream.count(name) == 1


def test_cache_13_suspend_counts(aged, clock, upstream, fresh):
    """CACHE-13: two minutes of suspend are two minutes less to live."""
    long_, short = fresh(), fresh()
    upstream.handler = says(a_of(long_, 300))
    aged.ask(long_)
    upstream.handler = says(a_of(short, 100))
    aged.ask(short)
    clock.advance(120)
    assert ttls(aged.ask(long_)) == [180]
    assert ttls(aged.ask(short)) == [100]
    assert upstream.count(long_) == 1 and upstream.count(short) == 2


def test_cache_18_order(larder, upstream, fresh):
    """CACHE-18: 20 times CNAME then 3 A: the chain never turns round."""
    name, target = fresh(), fresh("t")
    addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    upstream.handler = says(rr(name, "CNAME", 300, target),
                            *(a_of(target, 300, a) for a in addresses))
    for _ in range(20):
        msg = larder.ask(name)
        assert [r.qtype for r in msg.answer] == [5, 1, 1, 1]
        assert msg.answer[0].name == qname(name)
        assert all(r.name == qname(target) for r in msg.answer[1:])
        assert sorted(msg.a()) == addresses
    assert upstream.count(name) == 1


# --- size and cost ----------------------------------------------------------

class Quick:
    """A UDP upstream in a process of its own, quick enough for a flood.

    Answers every question with 192.0.2.1, except below `silent.example.`;
    counts what it hears below `count.example.`.
    """

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind(("127.0.0.1", 0))
        self.url = "127.0.0.1:%d" % self.sock.getsockname()[1]
        self._counter = mmap.mmap(-1, 8)
        self.pid = os.fork()
        if self.pid == 0:
            with contextlib.suppress(BaseException):
                self._serve()
            os._exit(0)

    @property
    def counted(self):
        return struct.unpack("=q", self._counter[:])[0]

    def _serve(self):
        tail = b"\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4\xc0\0\2\1"
        counted, parent = 0, os.getppid()
        self.sock.settimeout(1)
        while os.getppid() == parent:
            try:
                wire, src = self.sock.recvfrom(4096)
            except TimeoutError:
                continue
            if b"\5count\7example\0" in wire:
                counted += 1
                self._counter[:] = struct.pack("=q", counted)
            question = wire[12:wire.index(0, 12) + 5]
            self.sock.sendto(wire[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question
                             + tail, src)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        self.sock.close()


def flood(sock, names, window=48):
    """Asks all names, `window` at a time; every one must be answered."""
    sock.setblocking(True)
    sock.settimeout(15)
    names = iter(names)
    open_, answered, ident = {}, 0, 0
    while True:
        while len(open_) < window:
            name = next(names, None)
            if name is None:
                break
            ident = (ident + 1) & 0xFFFF
            open_[ident] = name
            sock.send(struct.pack("!6H", ident, 0x0100, 1, 0, 0, 0) + name
                      + b"\0\1\0\1")
        if not open_:
            return answered
        wire = sock.recv(4096)
        assert wire[3] & 15 == 0, wire
        del open_[struct.unpack("!H", wire[:2])[0]]
        answered += 1


def random_names(n, rng):
    for _ in range(n):
        yield b"\x0c%012x" % rng.getrandbits(48) + b"\4junk\7example\0"


def busy_names(n):
    return [b"\x08b%07d" % i + b"\5count\7example\0" for i in range(n)]


def hit_time_s(sock, name, times=400):
    """Median time of one hit, asked one after the other."""
    wire = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + name + b"\0\1\0\1"
    took = []
    for _ in range(times):
        began = time.perf_counter()
        sock.send(wire)
        sock.recv(4096)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def memory_kib(pid, field="VmRSS"):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise AssertionError(f"no {field} of {pid}")


def test_cache_14_15_flood_of_random_names():
    """CACHE-14, CACHE-15: busy names, memory and cost survive a flood.

    A million names on the default 64 MiB are 15625 on 1 MiB, the least that
    may be set: so many come while nobody asks for the busy names.  Thrice as
    many come again while they are asked now and then, as busy names are.
    """
    rng = random.Random(14)
    busy = busy_names(100)
    with Quick() as quick, Larder([quick.url], conf={
            "cache": {"size": "1M"}}) as larder, larder.udp_socket() as sock:
        flood(sock, busy * 12)
        assert quick.counted == len(busy)
        before_s = hit_time_s(sock, busy[0])
        empty_kib = memory_kib(larder.pid)
        # Sanitizers reserve terabytes and keep freed memory for a while.
        sanitized = memory_kib(larder.pid, "VmSize") > 1 << 30

        flood(sock, random_names(15625, rng))
        flood(sock, busy)
        assert quick.counted == len(busy), "busy names were pushed out"
        full_kib = memory_kib(larder.pid)

        for _ in range(30):
            flood(sock, random_names(1500, rng))
            flood(sock, busy)
        assert quick.counted == len(busy), "busy names were pushed out"
        after_s = min(hit_time_s(sock, busy[0]) for _ in range(3))
        later_kib = memory_kib(larder.pid)
        cache = larder.stats()["cache"]
        assert cache["octets"] <= cache["size"] == 1 << 20, cache
        assert cache["evicted"] > 40000, cache

    assert after_s < 10 * before_s + 1e-3, (before_s, after_s)
    if not sanitized:
        assert full_kib - empty_kib < 1024 + 2048, full_kib - empty_kib
        assert later_kib - full_kib < 512, later_kib - full_kib


def crc32_collisions(n, rng):
    """Names of one CRC-32: what anyone can make against a hash without a key.

    CRC-32 is linear: of 48 bits that may be flipped, here those that turn an
    "a" into a "c", at least 16 combinations leave it as it is, and so does
    every combination of these.
    """
    base = bytearray(b"a" * 48)

    def crc(label):
        return zlib.crc32(bytes([len(label)]) + label + b"\7example\0")

    zero = crc(base)
    # Flipping bit 1 of an octet: "a" <-> "c"; each flip has a fixed effect.
    effects = []
    for i in range(len(base)):
        base[i] ^= 2
        effects.append((crc(base) ^ zero, 1 << i))
        base[i] ^= 2
    kernel, pivots = [], {}
    for effect, mask in effects:
        while effect:
            top = effect.bit_length()
            if top not in pivots:
                pivots[top] = (effect, mask)
                break
            effect, mask = effect ^ pivots[top][0], mask ^ pivots[top][1]
        else:
            kernel.append(mask)
    assert len(kernel) >= 16
    out = []
    for choice in rng.sample(range(1 << len(kernel)), n):
        mask = 0
        for bit, one in enumerate(kernel):
            if choice >> bit & 1:
                mask ^= one
        label = bytes(c ^ 2 if mask >> i & 1 else c for i, c in enumerate(base))
        assert crc(label) == zero
        out.append(bytes([len(label)]) + label + b"\7example\0")
    return out


def cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_cache_15_chosen_names():
    """CACHE-15: names of one CRC cost what random names cost."""
    rng = random.Random(15)
    n, rounds = 8000, 3
    sets = {"random": [b"\x30%048x" % rng.getrandbits(192) + b"\7example\0"
                       for _ in range(n)],
            "chosen": crc32_collisions(n, rng)}
    spent = {}
    with Quick() as quick:
        for kind, names in sets.items():
            with Larder([quick.url]) as larder, larder.udp_socket() as sock:
                flood(sock, names)
                before = cpu_s(larder.pid)
                for _ in range(rounds):
                    flood(sock, names)
                spent[kind] = cpu_s(larder.pid) - before
    assert spent["chosen"] < 2 * spent["random"] + 0.1, spent


# --- flush and reload -------------------------------------------------------

@pytest.fixture(scope="module")
def module_hasty(module_upstream):
    with Larder([module_upstream], conf={"query-timeout": "2s"}) as larder:
        yield larder


@pytest.fixture
def hasty(upstream, module_hasty):
    """A larderd that says SERVFAIL after 2 s of silence."""
    module_hasty.check_running()
    yield module_hasty
    module_hasty.check_running()


def flush(larder, *args):
    done = larder.ctl("cache", "flush", *args)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done


def fill(larder, upstream, *questions):
    for name, qtype in questions:
        assert larder.ask(name, qtype).rcode in (NOERROR, NXDOMAIN)
        assert larder.ask(name, qtype).rcode in (NOERROR, NXDOMAIN)
        assert upstream.count(name, qtype) == 1


def asked_again(larder, upstream, name, qtype="A"):
    before = upstream.count(name, qtype)
    assert larder.ask(name, qtype).rcode in (NOERROR, NXDOMAIN)
    return upstream.count(name, qtype) > before


def test_cache_16_flush_name(hasty, upstream, fresh):
    """CACHE-16: by name: all its types go at once, nothing else does."""
    name, other = fresh(), fresh()
    below = "www." + name
    fill(hasty, upstream, (name, "A"), (name, "AAAA"), (name, "MX"),
         (other, "A"), (below, "A"))
    flush(hasty, name.upper())
    for qtype in ("A", "AAAA", "MX"):
        assert asked_again(hasty, upstream, name, qtype), qtype
    for kept in (other, below):
        assert not asked_again(hasty, upstream, kept)


def test_cache_16_flush_name_and_type(hasty, upstream, fresh):
    """CACHE-16: by name and type: the other types stay."""
    name = fresh()
    fill(hasty, upstream, (name, "A"), (name, "AAAA"))
    hasty.ask(name, "A", opt=DO)
    hasty.ask(name, "A", cd=1)
    n = upstream.count(name, "A")
    flush(hasty, name, "A")
    assert not asked_again(hasty, upstream, name, "AAAA")
    hasty.ask(name, "A")
    hasty.ask(name, "A", cd=1)
    assert upstream.count(name, "A") == n + 2, "DO and CD variants go, too"


def test_cache_16_flush_negative(hasty, upstream, fresh):
    """CACHE-16: a name that was denied is asked again after its flush."""
    for args in ([], ["A"]):
        name = fresh()
        upstream.handler = says(authority=[soa("example.")], rcode=NXDOMAIN)
        assert hasty.ask(name).rcode == NXDOMAIN
        upstream.handler = says(a_of(name, 300))
        assert hasty.ask(name).rcode == NXDOMAIN
        flush(hasty, name, *args)
        assert hasty.ask(name).a() == ["192.0.2.1"]


def test_cache_16_flush_subtree(hasty, upstream, fresh):
    """CACHE-16: by subtree: the name and all below, on label borders."""
    zone = fresh("zone")
    gone = [zone, "www." + zone, "a.b.c." + zone]
    kept = ["x" + zone, fresh()]
    fill(hasty, upstream, *((n, t) for n in gone + kept for t in ("A", "AAAA")))
    flush(hasty, zone.upper(), "--subtree")
    for name in gone:
        assert asked_again(hasty, upstream, name), name
        assert asked_again(hasty, upstream, name, "AAAA"), name
    for name in kept:
        assert not asked_again(hasty, upstream, name), name
    flush(hasty, "example.", "--subtree")
    for name in gone + kept:
        assert asked_again(hasty, upstream, name), name


def test_cache_16_flush_all(hasty, upstream, fresh):
    """CACHE-16: all: every name goes, and the root's own subtree is all."""
    for args in ([], [".", "--subtree"]):
        names = [fresh(), fresh("n", "example.com."), "."]
        flush(hasty)
        upstream.clear()
        fill(hasty, upstream, *((n, "A") for n in names))
        flush(hasty, *args)
        for name in names:
            assert asked_again(hasty, upstream, name), name


def test_cache_16_no_old_data_after_flush(hasty, upstream, fresh):
    """CACHE-16: flushed, then U silent: SERVFAIL, no old data."""
    names = {fresh(): args for args in ([], [None], [None, "A"],
                                        [None, "--subtree"])}
    for name, args in names.items():        # all goes first
        assert hasty.ask(name).a()
        flush(hasty, *(arg or name for arg in args))
    upstream.handler = lambda ctx: None
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(hasty.udp_socket()) for _ in names]
        for sock, name in zip(socks, names):
            sock.send(query(name))
        for sock, name in zip(socks, names):
            sock.settimeout(8)
            msg = parse(sock.recv(4096))
            assert msg.question[0].text == name
            assert msg.rcode == SERVFAIL and not msg.answer, msg


def test_cache_16_escaped_names(hasty, upstream):
    """CACHE-16: names are taken as master-file text, escapes and all."""
    odd = fresh_name(r"a\.b\032\255-")
    plain = odd.replace(r"a\.b", "a.b")
    fill(hasty, upstream, (odd, "A"), (plain, "A"))
    flush(hasty, odd)
    assert asked_again(hasty, upstream, odd)
    assert not asked_again(hasty, upstream, plain)


@pytest.mark.parametrize("by", ["larderctl", "SIGHUP"])
def test_cache_17_reload_keeps_unchanged_routes(upstream, fresh, by):
    """CACHE-17: one route of two changes: one hit, one miss."""
    with contextlib.ExitStack() as stack:
        one, two, new = (stack.enter_context(Upstream()) for _ in range(3))
        conf = {"routes": {"one.example": [one], "two.example": [two]}}
        larder = stack.enter_context(Larder([upstream], conf=conf))
        names = [fresh(), fresh("n", "one.example."), fresh("n", "two.example.")]
        for name in names:
            assert larder.ask(name).a() and larder.ask(name).a()
        assert (upstream.count(names[0]), one.count(), two.count()) == (1, 1, 1)

        conf["routes"]["two.example"] = [new]
        larder.rewrite(conf)
        if by == "SIGHUP":
            larder.hup()
            probe_until(larder, new)
        else:
            done = larder.ctl("reload")
            assert done.returncode == 0, done.stderr
        for name in names:
            assert larder.ask(name).a()
        assert upstream.count(names[0]) == 1, "unchanged forward"
        assert one.count(names[1]) == 1, "unchanged route"
        assert two.count(names[2]) == 1 and new.count(names[2]) == 1


def probe_until(larder, upstream, timeout=10):
    """Asks new names below two.example until they reach `upstream`."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        name = fresh_name("probe", "two.example.")
        larder.ask(name)
        if upstream.count(name):
            return
        time.sleep(0.02)
    raise AssertionError("the reload had no effect\n" + larder.log())


def test_cache_17_entries_return_with_their_route(upstream, fresh):
    """CACHE-17: a route that is as before finds its entries, whatever moved.

    The order of routes in the file, and one more beside them, change nothing
    for the others.
    """
    with Upstream() as one, Upstream() as two:
        routes = {"one.example": [one], "two.example": [two]}
        with Larder([upstream], conf={"routes": routes}) as larder:
            names = [fresh("n", "one.example."), fresh("n", "two.example.")]
            for name in names:
                assert larder.ask(name).a()
            larder.rewrite({"routes": {"three.example": [two],
                                       "two.example": [two],
                                       "one.example": [one]}})
            done = larder.ctl("reload")
            assert done.returncode == 0, done.stderr
            for name in names:
                assert larder.ask(name).a()
            assert one.count(names[0]) == 1 and two.count(names[1]) == 1
