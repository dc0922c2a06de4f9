"""EDNS: conformance section 6, rows EDNS-* of tier core; COOK-01 and ECS-01.

Rows that wait: EDNS-20 needs validation, EDNS-22 (NSID) is for later.  Of
EDNS-01 the stale and the blocked replies come with sections 13 and 18.

An opcode other than 0 is answered by a bare header (HDR-03), so the NOTIMP of
EDNS-02 is that of a question type (HDR-23).
"""

import contextlib
import itertools
import os
import random
import select
import string
import struct
import time
from pathlib import Path

import pytest

from clockshim import clock, clock_library, module_clock    # noqa: F401
from harness import (BADVERS, FORMERR, NOERROR, NOTIMP, NXDOMAIN, REFUSED,
                     SERVFAIL, TYPES, Larder, Opt, Upstream, check_error,
                     check_quiet, fresh_name, parse, qname, query, reply, rr,
                     soa)

GOOD = "192.0.2.1"
UDP_MAX = 1232
EDNS_MEMO = 60
AT_ONCE = 0.9       # seconds; the larders that need it resend after 1 s
COOKIE, NSID, SUBNET, KEEPALIVE, PADDING = 10, 3, 8, 11, 12


@pytest.fixture(scope="module")
def module_larder(module_upstream):
    # So patient that nothing is sent twice on a slow machine.
    with Larder([module_upstream], conf={"resend-after": "1s"}) as larder:
        yield larder


# --- octets by hand ---------------------------------------------------------

def with_additional(wire, *records):
    """The same message with more in its additional section."""
    count = struct.unpack_from("!H", wire, 10)[0] + len(records)
    return wire[:10] + struct.pack("!H", count) + wire[12:] + b"".join(records)


def raw_opt(rdata=b"", owner=b"\0", size=1232, length=None):
    length = len(rdata) if length is None else length
    return owner + struct.pack("!HHIH", TYPES["OPT"], size, 0, length) + rdata


def option(code, data=b"", length=None):
    return struct.pack("!HH", code,
                       len(data) if length is None else length) + data


def ask_raw(larder, wire, by="udp"):
    if by == "udp":
        return larder.udp(wire)
    with larder.tcp() as conn:
        conn.send(wire)
        return conn.recv()


def check_own_opt(msg, do=0, size=UDP_MAX, by="udp"):
    """larder's own OPT and nothing of anybody else's in it.

    On a stream it may state how long the connection is kept (TCP-15).
    """
    assert msg is not None and msg.opt is not None, msg
    assert msg.counts[3] == len(msg.additional) + 1
    assert not [r for r in msg.additional if r.qtype == TYPES["OPT"]], msg
    assert (msg.opt.version, msg.opt.flags, msg.opt.do, msg.opt.size) == (
        0, 0, do, size), msg
    at = len(msg.wire) - msg.opt_octets
    assert msg.wire[at] == 0, "the OPT is the root's, and last"
    allowed = {15} | ({KEEPALIVE} if by == "tcp" else set())
    assert {code for code, _ in msg.opt.options} <= allowed, msg


def check_good(msg, by="udp", **kw):
    assert msg is not None and msg.rcode == NOERROR and msg.a() == [GOOD], msg
    assert msg.tc == 0
    check_own_opt(msg, by=by, **kw)
    if by == "udp":
        assert msg.opt.options == [], msg


def check_upstream(entry, size=UDP_MAX):
    """The OPT that U saw is larder's own."""
    opt = entry.msg.opt
    assert opt is not None, entry.wire.hex()
    assert (opt.version, opt.flags, opt.size) == (0, 0, size), opt
    assert opt.options == [], opt
    assert entry.msg.counts == (1, 0, 0, 1)


# --- answers of a wanted size -----------------------------------------------

TC = 0x0200


def txt_rdata(octets):
    """Character strings that fill exactly so many octets."""
    out = b""
    while len(out) < octets:
        size = min(256, octets - len(out))
        out += bytes([size - 1]) + b"t" * (size - 1)
    return out


def sized(octets):
    """(new name, handler): its TXT answer and an OPT make so many octets."""
    name = fresh_name("sized")
    question = qname(name) + b"\0\x10\0\1"
    rdata = txt_rdata(octets - 12 - len(question) - 12 - 11)

    def handler(ctx):
        if ctx.name != name:
            return ctx.default()
        flags, records = 0x8180, (b"\xc0\x0c" + struct.pack(
            "!HHIH", TYPES["TXT"], 1, 300, len(rdata)) + rdata)
        whole = struct.pack("!6H", ctx.msg.id, flags, 1, 1, 0, 1)
        if ctx.proto == "udp" and octets > UDP_MAX:
            whole = struct.pack("!6H", ctx.msg.id, flags | TC, 1, 0, 0, 1)
            records = b""
        ctx.send(whole + question + records + Opt().pack())
    return name, handler


def check_cut(msg, most):
    assert msg is not None and msg.tc == 1, msg
    assert msg.counts[1:3] == (0, 0) and not msg.additional, msg
    assert len(msg.wire) <= most


def check_whole(msg, octets):
    assert msg is not None and msg.tc == 0 and len(msg.answer) == 1, msg
    assert len(msg.wire) == octets, (len(msg.wire), octets)


# --- OPT for OPT ------------------------------------------------------------

def every_kind(upstream):
    """What brings each kind of reply: {what: (query's arguments, RCODE)}.

    U adds an OPT to whatever it says, asked for or not.
    """
    generous = Opt(size=4096, options=[(NSID, b"ns1"), (PADDING, b"\0" * 8)])
    good, missing, failing = fresh_name(), fresh_name(), fresh_name()
    big, rule = sized(3000)

    def handler(ctx):
        if ctx.name == missing:
            ctx.send(reply(ctx.msg, authority=[soa("example.")],
                           rcode=NXDOMAIN, opt=generous))
        elif ctx.name == failing:
            ctx.send(reply(ctx.msg, rcode=SERVFAIL, opt=generous))
        elif ctx.name == big:
            rule(ctx)
        else:
            ctx.send(reply(ctx.msg, [rr(ctx.name, "A", 300, GOOD)],
                           opt=generous))
    upstream.handler = handler
    return {
        "miss": ({"name": good}, NOERROR),
        "hit": ({"name": good}, NOERROR),
        "NXDOMAIN": ({"name": missing}, NXDOMAIN),
        "NXDOMAIN hit": ({"name": missing}, NXDOMAIN),
        "SERVFAIL": ({"name": failing}, SERVFAIL),
        "held SERVFAIL": ({"name": failing}, SERVFAIL),
        "TC": ({"name": big, "qtype": "TXT"}, NOERROR),
        "FORMERR": ({"name": good, "qtype": "NXNAME"}, FORMERR),
        "FORMERR TKEY": ({"name": good, "qtype": "TKEY"}, FORMERR),
        "REFUSED class": ({"name": good, "qclass": 4}, REFUSED),
        "REFUSED RD=0": ({"name": good, "rd": 0}, REFUSED),
        "REFUSED AXFR": ({"name": good, "qtype": "AXFR"}, REFUSED),
        "REFUSED CH": ({"name": "version.bind.", "qtype": "TXT", "qclass": 3},
                       REFUSED),
        "NOTIMP": ({"name": good, "qtype": "MAILB"}, NOTIMP),
    }


@pytest.mark.parametrize("by", ["udp", "tcp"])
def test_edns_01_no_opt_for_those_who_sent_none(larder, upstream, by):
    """EDNS-01: no OPT in any kind of reply to a query without."""
    for what, (kw, rcode) in every_kind(upstream).items():
        msg = ask_raw(larder, query(**kw), by)
        assert msg is not None and msg.rcode == rcode, (what, msg)
        assert msg.tc == (what == "TC" and by == "udp"), what
        assert msg.opt is None and msg.counts[3] == 0, (what, msg)
    # Somebody's OPT before makes no difference to the next.
    for what, (kw, _) in every_kind(upstream).items():
        larder.udp(query(**kw, opt=Opt(do=1)))
        msg = ask_raw(larder, query(**kw), by)
        assert msg.opt is None and msg.counts[3] == 0, (what, msg)


@pytest.mark.parametrize("by", ["udp", "tcp"])
@pytest.mark.parametrize("do", [0, 1])
def test_edns_02_opt_for_those_who_sent_one(larder, upstream, by, do):
    """EDNS-02: an OPT in every kind of reply to a query with one."""
    for what, (kw, rcode) in every_kind(upstream).items():
        msg = ask_raw(larder, query(**kw, opt=Opt(do=do)), by)
        assert msg is not None and msg.rcode == rcode, (what, msg)
        assert msg.tc == (what == "TC" and by == "udp"), what
        check_own_opt(msg, do=do, by=by)


def test_edns_02_opt_in_errors_of_form(larder, upstream):
    """EDNS-02: a FORMERR for the body before a readable OPT has one, too."""
    whole = query(fresh_name(), opt=Opt())
    record = rr("a.example.", "A", 60, GOOD)
    body, opt = whole[12:-11], whole[-11:]
    for counts, octets in (
            ((1, 1, 0, 1), body + record + opt),        # HDR-08
            ((1, 0, 1, 1), body + record + opt),
            ((1, 0, 0, 1), body + opt[:1] + opt[1:9] + b"\0\3abc")):
        wire = whole[:4] + struct.pack("!4H", *counts) + octets
        msg = larder.udp(wire)
        check_error(wire, msg, FORMERR)
        check_own_opt(msg)
    check_quiet(larder, upstream)


@pytest.mark.parametrize("by", ["udp", "tcp"])
@pytest.mark.parametrize("version", [1, 2, 128, 255])
def test_edns_03_versions(larder, upstream, version, by):
    """EDNS-03: version over 0: BADVERS, OPT version 0, no records, quiet."""
    known = fresh_name("known")
    assert larder.ask(known).a()
    upstream.clear()
    for name in (fresh_name(), known):
        for extra in ({}, {"flags": 0x7FFF}, {"do": 1},
                      {"flags": 0x4000, "options": [(65001, b"x" * 40)]},
                      {"options": [(COOKIE, b"12345678"), (NSID, b"")]},
                      {"ext_rcode": 7}):
            wire = query(name, opt=Opt(version=version, **extra))
            msg = ask_raw(larder, wire, by)
            check_error(wire, msg, BADVERS)
            check_own_opt(msg, do=extra.get("do", 0), by=by)
    check_quiet(larder, upstream)


# --- what an OPT may hold ---------------------------------------------------

@pytest.mark.parametrize("by", ["udp", "tcp"])
@pytest.mark.parametrize("code", [100, 65001, 65535, 20, 21, 18])
def test_edns_04_unknown_options(larder, upstream, code, by):
    """EDNS-04: unknown options: ignored, not echoed, not forwarded."""
    for data in (b"", b"\xa5" * 500):
        name = fresh_name()
        for _ in ("miss", "hit"):
            msg = ask_raw(larder, query(
                name, opt=Opt(options=[(code, data)])), by)
            check_good(msg, by)
        (entry,) = upstream.entries(name)
        check_upstream(entry)
        assert b"\xa5" * 4 not in entry.wire


@pytest.mark.parametrize("by", ["udp", "tcp"])
def test_edns_05_unknown_flags(larder, upstream, by):
    """EDNS-05: all 15 flag bits: ignored, and 0 in the reply and upstream."""
    for do, flags in itertools.product((0, 1), (0x7FFF, 0x4000, 1)):
        name = fresh_name()
        for _ in ("miss", "hit"):
            msg = ask_raw(larder, query(name, opt=Opt(flags=flags, do=do)), by)
            check_good(msg, by, do=do)
        (entry,) = upstream.entries(name)
        check_upstream(entry)


def test_edns_06_do_is_copied(larder, upstream):
    """EDNS-06: DO of the reply is that of the query, whatever U's says."""
    theirs = [None, Opt(do=0), Opt(do=1), Opt(do=1, flags=0x7FFF)]
    for opt, first in itertools.product(theirs, (0, 1)):
        upstream.handler = lambda ctx, opt=opt: ctx.send(
            reply(ctx.msg, [rr(ctx.name, "A", 300, GOOD)], opt=opt))
        name = fresh_name()
        for do in (first, first, 1 - first, 1 - first):
            check_good(larder.ask(name, opt=Opt(do=do)), do=do)
        assert larder.ask(name).opt is None
        assert upstream.count(name) <= 2


def check_two_opts(larder, first, second, by):
    for records in ((first, second), (second, first),
                    (first, rr("a.example.", "A", 1, GOOD), second)):
        wire = with_additional(query(fresh_name()), *records)
        msg = ask_raw(larder, wire, by)
        assert msg is not None and msg.rcode == FORMERR, (msg, wire.hex())
        assert msg.counts[1:] == (0, 0, 1), msg
        assert msg.opt is not None and msg.opt.version == 0
        assert {code for code, _ in msg.opt.options} <= {15, KEEPALIVE}


@pytest.mark.parametrize("by", ["udp", "tcp"])
def test_edns_07_two_opts(larder, upstream, by):
    """EDNS-07: two OPT records, alike or not: FORMERR with OPT, quiet."""
    for second in (Opt(), Opt(size=4096, do=1), Opt(options=[(100, b"x")])):
        check_two_opts(larder, Opt().pack(), second.pack(), by)
    check_quiet(larder, upstream)


@pytest.mark.parametrize("by", ["udp", "tcp"])
def test_edns_07_two_opts_of_two_versions(larder, upstream, by):
    """EDNS-07: of two OPT records neither is asked for its version."""
    check_two_opts(larder, Opt().pack(), Opt(version=1).pack(), by)
    check_quiet(larder, upstream)


@pytest.mark.parametrize("by", ["udp", "tcp"])
def test_edns_08_owner_is_the_root(larder, upstream, by):
    """EDNS-08: an OPT whose owner is not the root: FORMERR, quiet."""
    for owner in (b"\1a\0", b"\xc0\x0c", b"\1\0\0"):
        wire = with_additional(query(fresh_name()), raw_opt(owner=owner))
        msg = ask_raw(larder, wire, by)
        assert msg is not None and msg.rcode == FORMERR, (msg, owner)
        assert msg.counts[1:3] == (0, 0)
    check_quiet(larder, upstream)


SPOILED = {
    "one too long": option(100, b"abcd", length=5),
    "65535": option(100, b"abcd", length=65535),
    "3 stray octets": option(100, b"abcd") + b"\0\x64\0",
    "1 stray octet": b"\0",
    "second too long": option(100) + option(NSID, b"", length=1),
    "cookie too long": option(COOKIE, b"12345678", length=9),
    "subnet too long": option(SUBNET, b"\0\1\0\0", length=8),
}


@pytest.mark.parametrize("by", ["udp", "tcp"])
@pytest.mark.parametrize("what", SPOILED)
def test_edns_09_options_past_their_end(larder, upstream, what, by):
    """EDNS-09: an option running past RDLENGTH: FORMERR with OPT, quiet."""
    for after in ([], [rr("a.example.", "A", 1, GOOD)]):
        wire = with_additional(query(fresh_name()), raw_opt(SPOILED[what]),
                               *after)
        msg = ask_raw(larder, wire, by)
        check_error(wire, msg, FORMERR)
        check_own_opt(msg, by=by)
    check_quiet(larder, upstream)


# --- sizes ------------------------------------------------------------------

def test_edns_10_sizes_under_512(larder, upstream):
    """EDNS-10: size 0, 100, 511 count as 512: 500 octets come whole."""
    for octets in (500, 512, 513):
        name, upstream.handler = sized(octets)
        for size in (0, 1, 100, 511, 512):
            msg = larder.ask(name, "TXT", opt=Opt(size=size))
            if octets <= 512:
                check_whole(msg, octets)
            else:
                check_cut(msg, 512)


def test_edns_11_replies_fit(larder, upstream):
    """EDNS-11: UDP replies fit min(client size, 1232); TCP takes any."""
    name, upstream.handler = sized(3000)
    for size in (600, 1232, 1233, 4096, 65535):
        check_cut(larder.ask(name, "TXT", opt=Opt(size=size)),
                  min(size, UDP_MAX))
    msg = larder.ask_tcp(name, "TXT", opt=Opt(size=600))
    assert msg.tc == 0 and len(msg.answer) == 1 and len(msg.wire) > 2900

    for octets, size, whole in ((600, 600, True), (601, 600, False),
                                (1232, 1232, True), (1232, 4096, True),
                                (1232, 1231, False), (1233, 4096, False),
                                (1233, 1232, False)):
        name, upstream.handler = sized(octets)
        for _ in ("miss", "hit"):
            msg = larder.ask(name, "TXT", opt=Opt(size=size))
            if whole:
                check_whole(msg, octets)
            else:
                check_cut(msg, min(size, UDP_MAX))


def test_edns_11_13_size_is_a_setting(upstream):
    """EDNS-11, EDNS-13: `edns-size` is what is offered and what is kept to."""
    with Larder([upstream], conf={"edns-size": 700}) as larder:
        for octets, whole in ((700, True), (701, False)):
            name, upstream.handler = sized(octets)
            msg = larder.ask(name, "TXT", opt=Opt(size=1232))
            if whole:
                check_whole(msg, octets)
            else:
                check_cut(msg, 700)
            for entry in upstream.entries(name):
                check_upstream(entry, size=700)


def test_edns_11_size_is_stated_to_clients(upstream):
    """EDNS-11: UDP_MAX is one number: C is told the size that is set."""
    with Larder([upstream], conf={"edns-size": 700}) as larder:
        for _ in ("miss", "hit"):
            msg = larder.ask("stated.example.", opt=Opt(size=1232))
            check_good(msg, size=700)


def test_edns_12_size_is_forgotten(larder, upstream):
    """EDNS-12: a large size, then none: the second reply is within 512."""
    name, upstream.handler = sized(1200)
    with larder.udp_socket() as sock:       # one address and port for all
        sock.settimeout(3)
        for opt, most in ((Opt(size=4096), 1232), (None, 512),
                          (Opt(size=4096), 1232), (Opt(size=512), 512),
                          (None, 512), (Opt(size=1232), 1232)):
            sock.send(query(name, "TXT", opt=opt))
            msg = parse(sock.recv(4096))
            if most == 512:
                check_cut(msg, 512)
            else:
                check_whole(msg, 1200)
    assert upstream.count(name) == 1


@pytest.mark.parametrize("by", ["udp", "tcp"])
def test_edns_13_neither_opt_is_passed_on(larder, upstream, by):
    """EDNS-13: U sees 1232 and no option; C nothing of U's, miss or hit."""
    upstream.handler = lambda ctx: ctx.send(reply(
        ctx.msg, [rr(ctx.name, "A", 300, GOOD)],
        opt=Opt(size=4000, flags=0x7FFF, options=[
            (NSID, b"ns1"), (COOKIE, b"12345678abcdefgh"), (65001, b"y"),
            (KEEPALIVE, b"\0\x0a"), (PADDING, b"\0" * 20)])))
    for opt in (Opt(size=4096, options=[(65001, b"x")]),
                Opt(size=512, flags=1), Opt(size=0), Opt(size=65535), None):
        name = fresh_name()
        for _ in ("miss", "hit"):
            msg = ask_raw(larder, query(name, opt=opt), by)
            if opt:
                check_good(msg, by)
            else:
                assert msg.a() == [GOOD] and msg.opt is None
        (entry,) = upstream.entries(name)
        check_upstream(entry)


# --- shapes -----------------------------------------------------------------

def test_edns_14_opt_anywhere(larder, upstream):
    """EDNS-14: an OPT counts wherever in the additional section it is."""
    other = [rr("a.example.", "A", 60, GOOD), rr("b.example.", "TXT", 60, "x"),
             rr("c.example.", 65280, 0, b"")]
    for place, by in itertools.product(range(4), ("udp", "tcp")):
        records = other[:place] + [Opt(size=1000, do=1).pack()] + other[place:]
        name = fresh_name()
        msg = ask_raw(larder, with_additional(query(name), *records), by)
        check_good(msg, by, do=1)
        (entry,) = upstream.entries(name)
        check_upstream(entry)
    # The size it states counts there, too.
    name, upstream.handler = sized(1100)
    for size, whole in ((1000, False), (1200, True)):
        wire = with_additional(query(name, "TXT"), Opt(size=size).pack(),
                               *other)
        assert larder.udp(wire, 3).tc == (not whole)


def cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def flood(larder, wire, n, window=32):
    """Asks the same n times, so many at once; the CPU time that it took."""
    before = cpu_s(larder.pid)
    with larder.udp_socket() as sock:
        sent = got = 0
        while got < n:
            while sent < n and sent - got < window:
                sock.send(sent.to_bytes(2, "big") + wire[2:])
                sent += 1
            assert select.select([sock], [], [], 10)[0], f"silence after {got}"
            assert sock.recv(4096)[3] & 15 == NOERROR
            got += 1
    return cpu_s(larder.pid) - before


def test_edns_15_very_many_options(larder, upstream):
    """EDNS-15: 300 empty options in 1232 octets, 10000 times: little cost."""
    name = "".join(random.choices(string.ascii_lowercase, k=3)) + "."
    plain = query(name, opt=Opt())
    for codes in ([100] * 300, list(range(1000, 1300)), [NSID] * 300,
                  [PADDING] * 300):
        laden = query(name, opt=Opt(options=[(code, b"") for code in codes]))
        assert len(laden) == 1232
        check_good(larder.udp(laden))
    laden = query(name, opt=Opt(options=[(c, b"") for c in range(1000, 1300)]))
    usual_s = flood(larder, plain, 10000)
    laden_s = flood(larder, laden, 10000)
    assert laden_s < 3 * usual_s + 0.1, (usual_s, laden_s)


@pytest.mark.parametrize("by", ["udp", "tcp"])
def test_edns_16_repeated_options(larder, upstream, by):
    """EDNS-16: ten each of NSID, COOKIE, PADDING: one normal, small reply."""
    rng = random.Random(16)
    known = [(NSID, b""), (COOKIE, b"12345678"), (PADDING, b"\0" * 30)]
    shuffled = known * 10
    rng.shuffle(shuffled)
    subnets = [(SUBNET, b"\0\1\x18\0\xc6\x33" + bytes([i])) for i in range(10)]
    for options in (known * 10, [o for o in known for _ in range(10)],
                    shuffled, subnets, [(PADDING, b"\0" * 80)] * 10):
        name = fresh_name()
        for size in (512, 1232, 65535):
            msg = ask_raw(larder, query(
                name, opt=Opt(size=size, options=options)), by)
            check_good(msg, by)
            assert len(msg.wire) <= 512
            codes = [code for code, _ in msg.opt.options]
            assert len(codes) == len(set(codes)), msg
        (entry,) = upstream.entries(name)
        check_upstream(entry)
    # Nor is what fits only without them let through.
    name, upstream.handler = sized(520)
    if by == "udp":
        check_cut(larder.ask(name, "TXT", opt=Opt(size=512, options=shuffled)),
                  512)


# --- servers that do not know EDNS ------------------------------------------

def refuses_opt(rcode, bare=False, opt=None):
    """U says so to every query with OPT, and answers the others."""
    def handler(ctx):
        if ctx.msg.opt is None:
            ctx.default()
        elif bare:
            ctx.send(struct.pack("!6H", ctx.msg.id, 0x8180 | rcode,
                                 0, 0, 0, 0))
        else:
            ctx.send(reply(ctx.msg, rcode=rcode, opt=opt))
    return handler


def opts(server, name, **kw):
    """Whether each query for the name had an OPT, in order."""
    return [e.msg.opt is not None for e in server.entries(name, **kw)]


@contextlib.contextmanager
def house(size=1, conf=None, env=None):
    """Servers and a larder of a test's own: what it learns, it forgets."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Upstream()) for _ in range(size)]
        larder = stack.enter_context(Larder(servers, conf={
            "resend-after": "1s", **(conf or {})}, env=env))
        yield (*servers, larder)


def soon(larder, name, **kw):
    began = time.monotonic()
    msg = larder.ask(name, **kw)
    assert time.monotonic() - began < AT_ONCE, "waited for a timer"
    return msg


@pytest.mark.parametrize("bare", [False, True], ids=["question", "header"])
@pytest.mark.parametrize("rcode", [FORMERR, NOTIMP], ids=["formerr", "notimp"])
def test_edns_17_servers_without_edns(clock, rcode, bare):
    """EDNS-17: U rejects OPT: one resend without; that is kept for 60 s."""
    with house(env=clock.env) as (server, larder):
        server.handler = refuses_opt(rcode, bare)
        for passed, seen in ((0, [True, False]), (1, [False]), (57, [False]),
                             (3, [True, False]), (1, [False]),
                             (EDNS_MEMO, [True, False])):
            clock.pass_by(passed)
            name = fresh_name()
            msg = soon(larder, name, opt=Opt(do=1))
            check_good(msg, do=1)
            assert opts(server, name) == seen, f"after {passed} s"
            msg = soon(larder, fresh_name())
            assert msg.a() == [GOOD] and msg.opt is None
        # A server that has learnt is seen to have learnt.
        server.handler = lambda ctx: ctx.default()
        clock.pass_by(EDNS_MEMO + 1)
        for _ in range(2):
            name = fresh_name()
            check_good(soon(larder, name, opt=Opt()))
            assert opts(server, name) == [True]


def test_edns_17_by_tcp():
    """EDNS-17: the same over TCP."""
    with Upstream() as server, Larder(
            [f"tcp://{server.url}"], conf={"resend-after": "1s"}) as larder:
        server.handler = refuses_opt(FORMERR)
        for seen in ([True, False], [False]):
            name = fresh_name()
            check_good(soon(larder, name, opt=Opt()))
            assert opts(server, name) == seen


def test_edns_17_memory_is_per_server():
    """EDNS-17: what one server cannot do, the other is still asked to."""
    with house(2) as (old, new, larder):
        old.handler = refuses_opt(FORMERR)
        new.handler = lambda ctx: ctx.send(reply(ctx.msg, rcode=SERVFAIL))
        name = fresh_name()
        check_good(soon(larder, name, opt=Opt()))
        assert opts(old, name) == [True, False]
        # Now the old one knows no answer, so that the new one is asked.
        new.handler = lambda ctx: ctx.default()
        old.handler = lambda ctx: ctx.send(reply(
            ctx.msg, rcode=FORMERR if ctx.msg.opt else SERVFAIL, opt=None))
        for _ in range(3):
            name = fresh_name()
            check_good(soon(larder, name, opt=Opt()))
            assert opts(new, name) == [True]
            assert opts(old, name) in ([], [False])


@pytest.mark.parametrize("rcode", [FORMERR, NOTIMP], ids=["formerr", "notimp"])
def test_edns_17_one_resend(rcode):
    """EDNS-17: U rejects it without OPT as well: that was all; SERVFAIL."""
    with house() as (server, larder):
        server.handler = lambda ctx: ctx.send(
            reply(ctx.msg, rcode=rcode, opt=None))
        name = fresh_name()
        wire = query(name, opt=Opt())
        check_error(wire, larder.udp(wire), SERVFAIL)
        assert opts(server, name) == [True, False]


def test_edns_17_other_codes_start_nothing():
    """EDNS-17: SERVFAIL or REFUSED without OPT: no resend without OPT."""
    for rcode in (SERVFAIL, REFUSED):
        with house() as (server, larder):
            server.handler = refuses_opt(rcode)
            for _ in range(3):
                name = fresh_name()
                msg = larder.ask(name, opt=Opt())
                assert msg.rcode == rcode, msg
                assert all(opts(server, name))


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("rcode", [FORMERR, NOTIMP], ids=["formerr", "notimp"])
def test_edns_18_formerr_with_opt(rcode, size):
    """EDNS-18: FORMERR with OPT is meant so: one log line per server."""
    with house(size) as (*servers, larder):
        for server in servers:
            server.handler = refuses_opt(rcode, opt=Opt())
        for _ in range(2):
            name = fresh_name()
            wire = query(name, opt=Opt())
            msg = larder.udp(wire, 3)
            check_error(wire, msg, SERVFAIL)
            for server in servers:
                assert opts(server, name) == [True], len(servers)


@pytest.mark.parametrize("size", [1, 2])
def test_edns_19_silence_says_nothing_of_edns(size):
    """EDNS-19: U drops queries with OPT: none without is ever sent."""
    with house(size, {"resend-after": "30ms", "query-timeout": "400ms",
                      "resolve-timeout": "600ms"}) as (*servers, larder):
        for server in servers:
            server.handler = lambda ctx: (ctx.default() if not ctx.msg.opt
                                          else None)
        for opt in (None, Opt(), Opt(do=1)):
            name = fresh_name()
            msg = larder.ask(name, opt=opt)
            assert msg is not None and msg.rcode == SERVFAIL, msg
        time.sleep(0.3)
        log = [e for server in servers for e in server.entries()]
        assert len(log) >= 6
        assert all(e.msg.opt for e in log)


def test_edns_21_answers_without_opt():
    """EDNS-21: U answers without OPT: accepted, and asked with OPT again."""
    with house() as (server, larder):
        for rcode, kw in ((NOERROR, {}),
                          (NOERROR, {"authority": [soa("example.")]}),
                          (NXDOMAIN, {"authority": [soa("example.")]})):
            def handler(ctx, rcode=rcode, kw=kw):
                records = [] if kw else [rr(ctx.name, "A", 300, GOOD)]
                ctx.send(reply(ctx.msg, records, rcode=rcode, opt=None, **kw))
            server.handler = handler
            for opt in (None, Opt(), Opt(do=1)):
                name = fresh_name()
                for _ in ("miss", "hit"):
                    msg = soon(larder, name, opt=opt)
                    assert msg.rcode == rcode, msg
                    assert bool(msg.answer) == (not kw)
                    if opt:
                        check_own_opt(msg, do=opt.do)
                assert opts(server, name) == [True]


# --- options that are switched off ------------------------------------------

@pytest.mark.parametrize("by", ["udp", "tcp"])
@pytest.mark.parametrize("length", [0, 7, 8, 9, 15, 16, 24, 40, 41, 300])
def test_cook_01_cookies_are_off(larder, upstream, length, by):
    """COOK-01: a COOKIE of any length: a normal answer without one."""
    name = fresh_name()
    for _ in ("miss", "hit"):
        msg = ask_raw(larder, query(name, opt=Opt(options=[
            (COOKIE, b"\xc5" * length)])), by)
        check_good(msg, by)
    (entry,) = upstream.entries(name)
    check_upstream(entry)


def test_cook_01_no_question(larder, upstream):
    """COOK-01, HDR-06: nor does it make a message without question good."""
    for length in (8, 24):
        wire = query(fresh_name(), opt=Opt(options=[(COOKIE, b"c" * length)]))
        opt = wire[wire.index(b"\0\0\x29"):]
        wire = wire[:4] + struct.pack("!4H", 0, 0, 0, 1) + opt
        msg = larder.udp(wire)
        assert msg is not None and msg.rcode == FORMERR, msg
        assert msg.opt is None or msg.opt.option(COOKIE) is None
    check_quiet(larder, upstream)


SUBNETS = {
    "IPv4 /32": b"\0\1\x20\0\xc6\x33\x64\x07",
    "IPv4 /24": b"\0\1\x18\0\xcb\0\x71",
    "IPv6 /56": b"\0\2\x38\0" + bytes.fromhex("20010db8000001"),
    "length 0": b"\0\1\0\0",
    "family 0": b"\0\0\0\0",
    "empty": b"",
    "cut": b"\0\1\x20",
    "too long": b"\0\1\x08\0\xc6\x33\x64\x07",
    "scope set": b"\0\1\x18\x18\xcb\0\x71",
}


def same_but_id(first, second):
    return first.wire[2:] == second.wire[2:]


@pytest.mark.parametrize("first", [None, *SUBNETS])
def test_ecs_01_subnets_are_ignored(larder, upstream, first):
    """ECS-01: no subnet goes up; C's changes neither cache nor reply."""
    name = fresh_name()
    upstream.handler = lambda ctx: ctx.send(reply(
        ctx.msg, [rr(ctx.name, "A", 86400, GOOD)], opt=Opt(options=[
            (SUBNET, b"\0\1\x18\x18\xc6\x33\x64")])))

    def ask(data, by):
        options = [] if data is None else [(SUBNET, data)]
        msg = ask_raw(larder, query(name, opt=Opt(options=options)), by)
        check_good(msg, by)
        assert msg.opt.option(SUBNET) is None
        return msg

    miss = ask(SUBNETS.get(first), "udp")
    plain = ask(None, "udp")
    for data in SUBNETS.values():
        hit = ask(data, "udp")
        # A second may pass between any two.
        assert len(hit.wire) == len(plain.wire) == len(miss.wire)
        assert hit.answer[0].rdata == plain.answer[0].rdata
        ask(data, "tcp")
    for _ in range(3):      # one of three pairs falls into one second
        if same_but_id(ask(None, "udp"), ask(SUBNETS["IPv4 /32"], "udp")):
            break
    else:
        raise AssertionError("a subnet changes the reply")
    (entry,) = upstream.entries(name)
    check_upstream(entry)
