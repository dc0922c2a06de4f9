"""Names, types, classes: conformance section 3, rows NAME-01 to NAME-20.

All octets are made by hand; one larderd serves most of the file, one more
has routes, one more has an identity.
"""

import os
import struct
import threading
import time

import pytest

import harness
from harness import (FORMERR, NOERROR, REFUSED, SERVFAIL, TYPES, Larder, Opt,
                     Upstream, check_error, check_quiet, fresh_name, name_text,
                     parse, qname, query, reply, rr, soa)

OPT = Opt()


@pytest.fixture(scope="module")
def office():
    """The upstream of the routes."""
    with Upstream() as u:
        yield u


@pytest.fixture(scope="module")
def routed_larder(module_upstream, office):
    routes = {"corp.example": [office], "MiXeD.eXample": [office]}
    with Larder([module_upstream], conf={"routes": routes}) as larder:
        yield larder


@pytest.fixture
def routed(upstream, office, routed_larder):
    """A larder whose routes corp.example, MiXeD.eXample lead to `office`."""
    office.reset()
    yield routed_larder
    routed_larder.check_running()
    office.check()


@pytest.fixture(scope="module")
def named(module_upstream):
    """A larder with strings of its own for the CHAOS names."""
    identity = {"version": "larder of the tests", "hostname": "Host-7"}
    with Larder([module_upstream], conf={"identity": identity}) as larder:
        yield larder


@pytest.fixture(scope="module")
def half_named(module_upstream):
    """A larder with a version only."""
    with Larder([module_upstream],
                conf={"identity": {"version": "1"}}) as larder:
        yield larder


def ask_raw(larder, wire, proto):
    if proto == "udp":
        return larder.udp(wire)
    with larder.tcp() as conn:
        conn.send(wire)
        msg = conn.recv()
    if msg is not None and msg.rcode:
        harness.exchanges.append((wire, msg))
    return msg


def raw_question(name_octets, qtype=1, qclass=1):
    """A query whose name is these octets, whatever they are."""
    return (struct.pack("!6H", 0x4E41, 0x0100, 1, 0, 0, 0) + name_octets
            + struct.pack("!HH", qtype, qclass))


def answers(*records):
    """A handler that answers every query with these records."""
    return lambda ctx: ctx.send(reply(ctx.wire, records))


def long_name(octets):
    """A new name of that many wire octets, of 63-octet labels but the last."""
    first = fresh_name("x", zone="").rstrip(".").encode()
    wire = bytes([63]) + first.ljust(63, b"a")
    while (left := octets - 1 - len(wire)) > 0:
        # No label may be left with a length octet and nothing else.
        size = min(63, left - 1)
        if left - 1 - size == 1:
            size -= 1
        wire += bytes([size]) + b"b" * size
    wire += b"\0"
    assert len(wire) == octets
    return wire


# --- lengths and forms of labels --------------------------------------------

@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("opt", [None, OPT])
def test_name_01_length_of_a_name(larder, upstream, proto, opt):
    """NAME-01: 255 wire octets are accepted, 256 get FORMERR."""
    good = long_name(255)
    for _ in ("miss", "hit"):
        msg = ask_raw(larder, query(good, opt=opt), proto)
        assert msg.rcode == NOERROR and msg.a() == ["192.0.2.1"], msg
        assert msg.question[0].name_wire == good
        assert msg.answer[0].name == good
    entry, = upstream.entries(name=good)
    assert entry.msg.question[0].name_wire.lower() == good.lower()
    for octets in (256, 257, 300, 400):
        wire = query(long_name(octets), opt=opt)
        check_error(wire, ask_raw(larder, wire, proto), FORMERR)
    assert upstream.count() == 1
    larder.alive()


def test_name_01_127_labels(larder, upstream):
    """NAME-01: the limit counts octets, not labels: 127 of one octet pass."""
    good = b"".join(b"\1" + bytes([c]) for c in os.urandom(127)) + b"\0"
    assert len(good) == 255
    for _ in ("miss", "hit"):
        assert larder.ask(good).a() == ["192.0.2.1"]
    assert upstream.count() == 1
    wire = query(b"\1x" + good)
    check_error(wire, larder.udp(wire), FORMERR)
    assert upstream.count() == 1


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("first", [0x40, 0x41, 0x7F, 0x80, 0xBF])
@pytest.mark.parametrize("before", [b"", b"\3www"])
def test_name_02_reserved_label_forms(larder, upstream, proto, first, before):
    """NAME-02: label lengths 64..191 get FORMERR, whatever follows them."""
    for rest in (b"a" * first + qname("example."), qname("example."), b"\0"):
        wire = raw_question(before + bytes([first]) + rest)
        check_error(wire, ask_raw(larder, wire, proto), FORMERR)
    check_quiet(larder, upstream)


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("octets", [
    b"\xc0\x0c", b"\xc0\x00", b"\xc0\x0b", b"\3www\xc0\x0c", b"\3www\xc0\x00",
    b"\3www\xc0\x14", b"\3www\7example\xc0\x10", b"\xff\xff", b"\xc0"],
    ids=lambda o: o.hex())
def test_name_03_pointer_in_a_qname(larder, upstream, proto, octets):
    """NAME-03: a pointer inside a client's QNAME gets FORMERR."""
    wire = raw_question(octets)
    check_error(wire, ask_raw(larder, wire, proto), FORMERR)
    check_quiet(larder, upstream)


def test_name_03_pointer_to_a_name_behind(larder, upstream):
    """NAME-03: not even one that leads to a good name further on."""
    wire = (struct.pack("!6H", 3, 0x0100, 1, 0, 0, 1) + b"\xc0\x12\0\1\0\1"
            + rr(fresh_name(), "A", 0, "192.0.2.3"))
    check_error(wire, larder.udp(wire), FORMERR)
    check_quiet(larder, upstream)


# --- pointers in replies ----------------------------------------------------

def pointer(offset):
    return struct.pack("!H", 0xC000 | offset)


def record(owner, qtype, rdata, ttl=300):
    """One record with an owner of raw octets."""
    return owner + struct.pack("!HHIH", qtype, 1, ttl, len(rdata)) + rdata


def with_answers(head, records):
    return (head[:6] + struct.pack("!H", len(records)) + head[8:]
            + b"".join(records))


EVIL = b"\xc0\0\2\x42"          # 192.0.2.66

# The type asked, and what makes a record from the offset where it will stand.
BAD_POINTERS = {
    "owner-to-itself": ("A", lambda at: record(pointer(at), 1, EVIL)),
    "owner-forward": ("A", lambda at: record(pointer(at + 12), 5,
                                             qname("evil.example."))),
    "owner-into-header": ("A", lambda at: record(pointer(0), 1, EVIL)),
    "owner-to-octet-11": ("A", lambda at: record(pointer(11), 1, EVIL)),
    "owner-past-the-end": ("A", lambda at: record(pointer(16383), 1, EVIL)),
    "owner-label-then-itself": ("A", lambda at: record(
        b"\1a" + pointer(at), 1, EVIL)),
    "owner-label-then-own-pointer": ("A", lambda at: record(
        b"\1a" + pointer(at + 2), 1, EVIL)),
    "rdata-to-itself": ("A", lambda at: record(
        pointer(12), 5, pointer(at + 12))),
    "rdata-label-then-itself": ("A", lambda at: record(
        pointer(12), 5, b"\1a" + pointer(at + 12))),
    "rdata-forward": ("A", lambda at: record(
        pointer(12), 5, pointer(at + 14)) + qname("evil.example.")),
    "rdata-into-header": ("A", lambda at: record(pointer(12), 5, pointer(4))),
    "rdata-cut-pointer": ("A", lambda at: record(pointer(12), 5, b"\xc0")),
    "rdata-two-in-a-loop": ("SOA", lambda at: record(
        pointer(12), 6, pointer(at + 14) + pointer(at + 12) + bytes(20))),
    "rdata-mx-to-itself": ("MX", lambda at: record(
        pointer(12), 15, b"\0\1" + pointer(at + 14))),
}


@pytest.mark.parametrize("shape", BAD_POINTERS)
def test_name_04_bad_pointers(larder, upstream, shape):
    """NAME-04: self, forward and looping pointers make a reply malformed; the
    good reply that comes later is used, without another send."""
    qtype, make = BAD_POINTERS[shape]

    def script(ctx):
        if ctx.name != name:
            return ctx.default()
        head = reply(ctx.wire, opt=None)
        ctx.send(with_answers(head, [make(len(head))]))
        ctx.send_later(0.1, reply(ctx.wire, [rr(name, qtype, 300, good)]))

    name = fresh_name()
    good = {"A": "192.0.2.4", "MX": "5 .", "SOA": ". . 1 2 3 4 5"}[qtype]
    upstream.handler = script
    start = time.monotonic()
    msg = larder.ask(name, qtype)
    assert msg is not None and msg.rcode == NOERROR, msg
    assert time.monotonic() - start >= 0.09
    assert ([r.qtype for r in msg.answer], [r.rdata for r in msg.answer]) == (
        [TYPES[qtype]], [rr(".", qtype, 0, good)[11:]]), msg
    assert upstream.count(name) == 1


def test_name_04_pointer_chain_that_loops(larder, upstream):
    """NAME-04: a loop through two records is caught like a small one."""
    def script(ctx):
        if ctx.name != name:
            return ctx.default()
        head = reply(ctx.wire, opt=None)
        at = len(head)
        # The first record's target points into the second one's and back.
        first = record(pointer(12), 5, b"\1a" + pointer(at + 30))
        second = record(pointer(12), 5, b"\1b\1c" + pointer(at + 12))
        ctx.send(with_answers(head, [first, second]))
        ctx.send_later(0.1, reply(ctx.wire, [rr(name, "A", 300, "192.0.2.4")]))

    name = fresh_name()
    upstream.handler = script
    assert larder.ask(name).a() == ["192.0.2.4"]
    assert upstream.count(name) == 1


def test_name_04_good_pointers_are_followed(larder, upstream):
    """NAME-04: backward pointers are followed: to the question, into its
    middle, to a name in RDATA, and over several hops."""
    def script(ctx):
        if ctx.name != name:
            return ctx.default()
        head = reply(ctx.wire, opt=None)
        at = len(head)
        records = [record(pointer(12), 5, b"\1t" + pointer(12 + first)),
                   record(pointer(at + 12), 5, b"\1u" + pointer(at + 12)),
                   record(pointer(at + 28), 1, b"\xc0\0\2\4"),
                   record(pointer(at + 28), 1, b"\xc0\0\2\5")]
        ctx.send(with_answers(head, records))

    name = fresh_name()
    first = 1 + qname(name)[0]                  # the first label's octets
    upstream.handler = script
    for _ in ("miss", "hit"):
        msg = larder.ask(name)
        assert msg is not None and msg.rcode == NOERROR, msg
        assert [r.text for r in msg.answer] == [
            name, "t.example.", "u.t.example.", "u.t.example."]
        assert sorted(msg.a()) == ["192.0.2.4", "192.0.2.5"]
        assert msg.name_at(msg.answer[1].rdata_at)[0] == qname("u.t.example.")
    assert upstream.count(name) == 1


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
def test_name_04_pointer_to_a_pointer(larder, upstream, hops):
    """NAME-04: an owner may point to an owner that is itself a pointer, as
    some servers write the next record of a set (1035 4.1.4: a pointer alone
    is a form of a name, and may stand for a prior one)."""
    def script(ctx):
        if ctx.name != name:
            return ctx.default()
        head = reply(ctx.wire, opt=None)
        # Each owner points to the one before, the first to the question.
        ctx.send(with_answers(head, [
            record(pointer(len(head) + 16 * (i - 1) if i else 12), 1,
                   b"\xc0\0\2" + bytes([i])) for i in range(hops)]))

    name = fresh_name()
    upstream.handler = script
    for _ in ("miss", "hit"):
        msg = larder.ask(name, timeout=1)
        assert msg is not None and msg.rcode == NOERROR, msg
        assert sorted(msg.a()) == [f"192.0.2.{i}" for i in range(hops)]
    assert upstream.count(name) == 1


# --- cost -------------------------------------------------------------------

# A message on a stream holds at most 65535 octets.  Replies that are only to
# compare with stay below, since larder may spell some names out.
ROOM = {True: 65535, False: 60000}


def chain_reply(wire, dear):
    """8000 pointers in opaque RDATA, each to the one before, and as many
    records as fit whose owner is the last of them.  Not dear: such records,
    but the owner is the question."""
    head = reply(wire, opt=None)
    at = len(head) + 12
    chain, target = bytearray(), 12
    while at < 16382:
        chain += pointer(target)
        target = at
        at += 2
    owner = pointer(target if dear else 12)
    records = [record(pointer(12), 65280, bytes(chain))]
    for number in range((ROOM[dear] - at) // 14):
        records.append(record(owner, 65280, struct.pack("!H", number)))
    return with_answers(head, records)


def stranger_reply(wire, labels, dear):
    """MX records whose targets share no suffix.  Not dear: targets of that
    length which are all the same."""
    head = reply(wire, opt=None)
    records, size, number = [], len(head), 0
    while True:
        target = bytearray()
        for _ in range(labels):
            number += dear
            label = b"%05x" % number if labels == 1 else b"%x" % (number % 256)
            target += bytes([len(label)]) + label
        made = record(pointer(12), 15, struct.pack("!H", len(records))
                      + bytes(target) + b"\0")
        if size + len(made) > ROOM[dear]:
            return with_answers(head, records)
        records.append(made)
        size += len(made)


def cpu_seconds(pid):
    """What the process has computed so far, its ended threads included."""
    return time.clock_gettime(~pid << 3 | 2)    # the clock of that process


DEAR = {
    "chain": (65280, chain_reply),
    "short-strangers": (15, lambda wire, dear: stranger_reply(wire, 1, dear)),
    "long-strangers": (15, lambda wire, dear: stranger_reply(wire, 80, dear)),
}


@pytest.mark.parametrize("shape", DEAR)
def test_name_05_cost_stays_linear(larder, upstream, shape):
    """NAME-05: 64 KiB replies made to be dear are done with fast, cost about
    what others of their size cost, and other clients hardly notice.  The
    processor time judges; clock times are bounded for a busy machine."""
    qtype, make = DEAR[shape]

    def script(ctx):
        if ctx.qtype != qtype:
            ctx.default()
        elif ctx.proto == "udp":
            ctx.send(reply(ctx.wire, tc=1))
        else:
            # All names are of one length, so the ready body's offsets hold.
            asked = ctx.msg.question[0].name_wire
            ctx.send(ctx.wire[:2] + body[2:12] + asked
                     + body[12 + len(asked):])

    def other_client():
        while not stop.is_set():
            start = time.monotonic()
            assert larder.ask(cached, timeout=10).a() == ["192.0.2.1"]
            waits.append(time.monotonic() - start)
            time.sleep(0.002)

    upstream.handler = script
    cached, spent = fresh_name(), {}
    assert larder.ask(cached).a()
    for dear in (False, True):
        body = make(query("n000000.example.", qtype), dear=dear)
        count = struct.unpack("!H", body[6:8])[0]
        before = cpu_seconds(larder.pid)
        waits, stop = [], threading.Event()
        thread = threading.Thread(target=other_client)
        thread.start()
        try:
            for _ in range(8):
                name = "n{:0>6}.example.".format(fresh_name("", zone="")[:-1])
                for _ in ("miss", "hit"):
                    start = time.monotonic()
                    msg = larder.ask_tcp(name, qtype)
                    took = time.monotonic() - start
                    assert msg is not None and took < 6, (took, msg)
                    assert msg.rcode == NOERROR or (
                        dear and msg.rcode == SERVFAIL), msg
                    if msg.rcode == NOERROR:
                        assert len(msg.answer) == count, msg
        finally:
            stop.set()
            thread.join()
        waits.sort()
        assert waits and waits[len(waits) // 2] < 1, waits[-5:]
        spent[dear] = cpu_seconds(larder.pid) - before
    print(spent)
    assert spent[True] < 5 * spent[False] + 0.02, spent


# --- what may stand in a label ----------------------------------------------

ODD_LABELS = {
    "nul": b"a\0b", "only-nul": b"\0", "dot": b"a.b", "only-dot": b".",
    "space": b"a b", "backslash": b"a\\b", "star": b"*a*",
    "underscore": b"_a_b",
    "at-and-quotes": b"\"@$();'", "newline-tab-esc": b"\n\t\r\x1b[0m",
    "high-1": bytes(range(0x80, 0xBF)), "high-2": bytes(range(0xBF, 0xFE)),
    "high-3": b"\xfe\xff", "control": bytes(range(0x01, 0x20)), "del": b"\x7f",
    "length-like": b"\3www\7example\0", "pointer-like": b"\xc0\x0c\xc0\x0c",
    "hyphens": b"-a-",
}


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("label", ODD_LABELS)
def test_name_06_any_octet_in_a_label(larder, upstream, proto, label):
    """NAME-06: any octet is forwarded unchanged, answered and cached."""
    octets = ODD_LABELS[label]
    for place in ("first", "middle"):
        tail = qname(fresh_name())
        name = bytes([len(octets)]) + octets + tail
        if place == "middle":
            name = b"\3www" + name
        for _ in ("miss", "hit"):
            msg = ask_raw(larder, query(name), proto)
            assert msg.rcode == NOERROR and msg.a() == ["192.0.2.1"], msg
            assert msg.question[0].name_wire == name
            assert msg.answer[0].name == name
        sent = [e for e in upstream.log
                if e.msg.question[0].name_wire.endswith(tail)]
        assert len(sent) == 1
        assert sent[0].msg.question[0].name_wire == name


def test_name_06_any_octet_in_answers(larder, upstream):
    """NAME-06: the same for names in records: alias and target."""
    for octets in ODD_LABELS.values():
        name = fresh_name()
        target = bytes([len(octets)]) + octets + qname(name)
        upstream.handler = answers(rr(name, "CNAME", 300, target),
                                   rr(target, "A", 300, "192.0.2.6"))
        for _ in ("miss", "hit"):
            msg = larder.ask(name)
            assert msg.rcode == NOERROR and msg.a() == ["192.0.2.6"], msg
            assert msg.name_at(msg.answer[0].rdata_at)[0] == target
            assert msg.answer[1].name == target
        assert upstream.count(name) == 1


def test_name_07_dot_in_a_label_in_the_cache(larder, upstream):
    """NAME-07: `www.x` and the one label `www\\.x` are two names."""
    rest = fresh_name()
    plain, odd = f"www.{rest}", f"www\\.{rest}"
    upstream.handler = lambda ctx: ctx.send(reply(ctx.wire, [rr(
        ctx.msg.question[0].name_wire, "A", 300,
        "192.0.2.70" if len(qname(plain)) == len(ctx.msg.question[0].name_wire)
        and ctx.msg.question[0].name_wire[0] == 3 else "192.0.2.71")]))
    for _ in ("miss", "hit"):
        assert larder.ask(plain).a() == ["192.0.2.70"]
    for _ in ("miss", "hit"):
        assert larder.ask(odd).a() == ["192.0.2.71"]
    assert larder.ask(plain).a() == ["192.0.2.70"]
    assert upstream.count(plain) == 1 and upstream.count(odd) == 1


@pytest.mark.parametrize("odd", [
    r"www.{n}.example\000.evil.example.", r"www.{n}\000.example.",
    r"www.{n}.example\000.", r"www.{n}\.example.", r"www\.{n}\.example.",
    r"www\000.{n}.example.", r"www\003{n}.example."])
def test_name_07_nul_in_a_label_in_the_cache(larder, upstream, odd):
    """NAME-07: neither NUL nor dot in a label ends a name in the cache."""
    first = fresh_name("n", zone="").rstrip(".")
    plain, odd = f"www.{first}.example.", odd.format(n=first)
    for order in ((plain, odd), (odd, plain)):
        for name in order:
            assert larder.ask(name).a() == ["192.0.2.1"]
    assert upstream.count(plain) == 1 and upstream.count(odd) == 1


def test_name_07_nxdomain_of_the_other_name(larder, upstream):
    """NAME-07: a denial of one does not deny the other."""
    rest = fresh_name()
    plain, odd = f"www.{rest}", f"www\\.{rest}"

    def script(ctx):
        if ctx.msg.question[0].name_wire == qname(odd):
            ctx.send(reply(ctx.wire, authority=[soa("example.")], rcode=3))
        else:
            ctx.default()

    upstream.handler = script
    assert larder.ask(odd).rcode == 3
    assert larder.ask(plain).a() == ["192.0.2.1"]
    assert larder.ask(odd, "AAAA").rcode == 3


@pytest.mark.parametrize("name, to_office", [
    ("{n}.corp.example.", True), ("corp.example.", True),
    (r"a\.{n}.corp.example.", True), (r"a\000.{n}.corp.example.", True),
    (r"{n}\.corp.example.", False), (r"{n}.corp\.example.", False),
    (r"{n}\.corp\.example.", False), (r"{n}\004corp.example.", False),
    (r"{n}.corp.example\000.evil.example.", False),
    (r"{n}.corp\000.example.", False), (r"{n}.corp.example\000.", False),
    (r"{n}.\000corp.example.", False), ("{n}corp.example.", False),
    (r"{n}.corp.example.evil.example.", False)])
def test_name_07_routes(routed, upstream, office, name, to_office):
    """NAME-07: routes match on true label borders only."""
    name = name.format(n=fresh_name("n", zone="").rstrip("."))
    assert routed.ask(name).a() == ["192.0.2.1"]
    assert (office.count(name), upstream.count(name)) == (
        (1, 0) if to_office else (0, 1))


# --- letter case ------------------------------------------------------------

def test_name_08_cache_without_regard_to_case(larder, upstream):
    """NAME-08: an entry cached in one case is found in another, positive,
    alias or denied."""
    def script(ctx):
        name = ctx.msg.question[0].name_wire
        if ctx.name.startswith("alias"):
            ctx.send(reply(ctx.wire, [
                rr(name, "CNAME", 300, "t.example."),
                rr("t.example.", "A", 300, "192.0.2.8")]))
        elif ctx.name.startswith("none"):
            ctx.send(reply(ctx.wire, authority=[soa("EXAMPLE.")], rcode=3))
        else:
            ctx.default()

    upstream.handler = script
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    for prefix in ("plain", "alias", "none", alphabet):
        name = fresh_name(prefix)
        for form in (name, name.upper(), name.title(), name.swapcase()):
            msg = larder.ask(form)
            assert msg.rcode == (3 if prefix == "none" else NOERROR), msg
        assert upstream.count(name) == 1, prefix


def test_name_08_records_in_another_case(larder, upstream):
    """NAME-08: an alias chain is followed whatever case its links are in, and
    an upstream that answers in another case is understood."""
    name = fresh_name("n", zone="cHain.example.")
    upstream.handler = answers(
        rr(name.upper(), "CNAME", 300, "MiDdle.Example."),
        rr("middle.EXAMPLE.", "CNAME", 300, "eNd.example."),
        rr("END.example.", "A", 300, "192.0.2.8"))
    for _ in ("miss", "hit"):
        msg = larder.ask(name)
        assert msg.a() == ["192.0.2.8"] and len(msg.answer) == 3, msg
    assert upstream.count(name) == 1


@pytest.mark.parametrize("zone", [
    "corp.example.", "CORP.EXAMPLE.", "cOrP.ExAmPlE.", "mixed.example.",
    "MIXED.EXAMPLE.", "mIxEd.example."])
def test_name_08_routes_without_regard_to_case(routed, upstream, office, zone):
    """NAME-08: a route set in one case takes names in any other."""
    name = fresh_name(zone=zone)
    for form in (name, name.swapcase()):
        assert routed.ask(form).a() == ["192.0.2.1"]
    assert office.count(name) == 1 and upstream.quiet(name=name)


@pytest.mark.parametrize("one, two", [
    (r"\201", r"\233"), (r"\192", r"\224"), (r"\195\137", r"\195\169"),
    ("@", "`"), ("[", "{"), (r"\\", "|"), ("]", "}"), ("^", "~"),
    ("_", r"\127"), ("0", "P"), (r"\193", "A"), (r"\225", "a")])
def test_name_09_only_ascii_letters_fold(larder, upstream, one, two):
    """NAME-09: octets outside A-Z a-z that differ by 0x20 (or the top bit)
    make two names."""
    rest = fresh_name()
    names = [f"x{octet}x.{rest}" for octet in (one, two)]
    for name in names * 2:
        msg = larder.ask(name)
        assert msg.a() == ["192.0.2.1"]
        assert msg.question[0].name_wire == qname(name)
    assert [upstream.count(name) for name in names] == [1, 1]


def test_name_10_hit_in_the_askers_case(larder, upstream):
    """NAME-10: a hit echoes the asker's case, not that of the first asker."""
    name = fresh_name("Example", zone="Example.com.")
    for form in (name, name.upper(), name.lower(), name.swapcase()):
        for msg in (larder.ask(form), larder.ask_tcp(form)):
            assert msg.question[0].name_wire == qname(form), (form, msg)
            assert msg.a() == ["192.0.2.1"]
            assert msg.answer[0].name.lower() == qname(form).lower()
    assert upstream.count(name) == 1


def test_name_11_joined_questions_keep_their_case(larder, upstream):
    """NAME-11: two askers who wait for one send each get their own case."""
    upstream.handler = lambda ctx: ctx.send_later(0.15, reply(
        ctx.wire, [rr(ctx.msg.question[0].name_wire, "A", 300, "192.0.2.11")]))
    name = fresh_name("Joined", zone="Example.com.")
    forms = [name, name.upper(), name.lower(), name.swapcase()]
    socks = [larder.udp_socket() for _ in forms]
    conns = [larder.tcp() for _ in forms]
    try:
        for number, form in enumerate(forms):
            socks[number].send(query(form, id=100 + number))
            conns[number].send(query(form, id=200 + number))
        for number, form in enumerate(forms):
            socks[number].settimeout(2)
            for msg, id in ((parse(socks[number].recv(512)), 100 + number),
                            (conns[number].recv(), 200 + number)):
                assert msg.id == id and msg.a() == ["192.0.2.11"], msg
                assert msg.question[0].name_wire == qname(form)
    finally:
        for thing in socks + conns:
            thing.close()
    assert upstream.count(name) == 1


SVCB_PARAMS = b"\0\1\0\3\2h2" + b"\0\3\0\2\1\xbb"     # alpn, port


@pytest.mark.parametrize("qtype, before, after", [
    ("PTR", b"", b""), ("MX", b"\0\5", b""), ("NS", b"", b""),
    ("CNAME", b"", b""), ("SRV", b"\0\1\0\2\1\xbb", b""),
    ("SVCB", b"\0\1", SVCB_PARAMS), ("HTTPS", b"\0\1", SVCB_PARAMS),
    ("DNAME", b"", b""), ("AFSDB", b"\0\1", b"")])
def test_name_12_case_inside_rdata(larder, upstream, qtype, before, after):
    """NAME-12: letter case inside RDATA comes through, miss and hit, also
    where the target ends like the name asked, in another case."""
    for target in ("MaIl.Other.ExAmPlE.", None):
        name = fresh_name("n", zone="Sub.eXample.")
        target = qname(target or "tArGeT." + name.swapcase())
        upstream.handler = answers(
            rr(name, qtype, 300, before + target + after))
        for form in (name, name, name.upper(), name.lower()):
            for msg in (larder.ask(form, qtype), larder.ask_tcp(form, qtype)):
                got, = msg.answer
                at = got.rdata_at + len(before)
                read, end = msg.name_at(at)
                assert read == target, (name_text(read), name_text(target))
                assert got.rdata[:len(before)] == before
                assert msg.wire[end:got.rdata_at + len(got.rdata)] == after
        assert upstream.count(name) == 1


def test_name_12_case_in_an_alias_chain_and_soa(larder, upstream):
    """NAME-12: the same for targets along a chain and a denial's SOA."""
    name = fresh_name()
    links = ["OnE." + name.upper(), "tWo." + name.title()]
    upstream.handler = lambda ctx: ctx.send(reply(
        ctx.wire, [rr(name, "CNAME", 300, links[0]),
                   rr(links[0], "CNAME", 300, links[1])],
        [rr("eXample.", "SOA", 300, "Ns.ExAmple. AdMin.EXAMPLE. 1 2 3 4 60")]))
    for _ in ("miss", "hit"):
        msg = larder.ask(name)
        targets = [msg.name_at(r.rdata_at)[0] for r in msg.answer]
        assert targets == [qname(t) for t in links]
        start, at = msg.authority[0], msg.authority[0].rdata_at
        assert start.qtype == TYPES["SOA"]
        mname, at = msg.name_at(at)
        assert (mname, msg.name_at(at)[0]) == (qname("Ns.ExAmple."),
                                              qname("AdMin.EXAMPLE."))
    assert upstream.count(name) == 1


# --- types that larder does not know, and types that it must not touch -----

@pytest.mark.parametrize("proto, length", [
    ("udp", 0), ("udp", 1), ("udp", 300), ("tcp", 0), ("tcp", 1), ("tcp", 300),
    ("tcp", 1000), ("tcp", 60000)])
def test_name_13_unknown_type(larder, upstream, proto, length):
    """NAME-13: RDATA of a type larder does not know passes octet for octet."""
    name, data = fresh_name(), os.urandom(length)

    def script(ctx):
        full = reply(ctx.wire, [rr(name, "TYPE65280", 300, data)])
        if ctx.proto == "udp" and len(full) > 1232:
            full = reply(ctx.wire, tc=1)
        ctx.send(full)

    upstream.handler = script
    for _ in ("miss", "hit"):
        msg = ask_raw(larder, query(name, 65280), proto)
        got, = msg.answer
        assert (got.qtype, got.cls, got.rdata) == (65280, 1, data)
        assert got.name == qname(name)
    assert upstream.count(name, proto="udp") == 1
    assert upstream.count(name, proto="tcp") == (1 if length > 1000 else 0)


def test_name_13_several_records_of_an_unknown_type(larder, upstream):
    """NAME-13: a set of them, the empty one included, passes whole."""
    name = fresh_name()
    data = {b"", b"\0", b"\0\0", b"abc", bytes(range(40))}
    upstream.handler = answers(
        *(rr(name, 65281, 300, d) for d in sorted(data)))
    for _ in ("miss", "hit"):
        msg = larder.ask(name, 65281)
        assert len(msg.answer) == len(data)
        assert {r.rdata for r in msg.answer} == data
    assert upstream.count(name) == 1


@pytest.mark.parametrize("qtype", ["TYPE65280", "TXT", "HINFO", "TLSA", "SVCB",
                                   "CAA", "TYPE130"])
@pytest.mark.parametrize("data", [
    b"\xc0\x0c" * 50, b"\1" + b"\xc0\x0c" * 49 + b"\xc0", b"\xff" * 100,
    b"\x3f\xc0" * 50], ids=["pointers", "odd-pointers", "ones", "labels"])
def test_name_14_rdata_is_not_searched(larder, upstream, qtype, data):
    """NAME-14: RDATA that looks like names and pointers passes unchanged."""
    if qtype in ("TXT", "HINFO"):       # these must at least be strings
        data = bytes([len(data)]) + data
        data += b"\2\xc0\x0c" if qtype == "HINFO" else b""
    if qtype in ("TLSA", "CAA"):
        data = b"\0\5issue" + data
    if qtype == "SVCB":                 # a proper target, then odd parameters
        data = b"\0\1" + b"\0" + struct.pack("!HH", 65280, len(data)) + data
    name = fresh_name()
    upstream.handler = answers(rr(name, qtype, 300, data))
    for _ in ("miss", "hit"):
        for msg in (larder.ask(name, qtype), larder.ask_tcp(name, qtype)):
            assert [r.rdata for r in msg.answer] == [data], msg
    assert upstream.count(name) == 1


def newer_types(name):
    """RDATA of types whose names stay uncompressed, all ending like `name`."""
    inner = qname("host." + name)
    signature = struct.pack("!HBBIIIH", 1, 13, 2, 300, 0x70000000, 0x60000000,
                            4711)
    return {
        "SRV": b"\0\1\0\2\1\xbb" + inner,
        "SVCB": b"\0\1" + inner + SVCB_PARAMS,
        "HTTPS": b"\0\0" + inner,
        "NAPTR": b"\0\1\0\2\1S\7SIP+D2U\0" + inner,
        "RRSIG": signature + qname(name) + bytes(64),
        "NSEC": inner + b"\0\6\x40\1\0\0\0\3",
        "DNAME": inner,
        "RP": inner + qname(name),
        "AFSDB": b"\0\1" + inner,
        "PX": b"\0\1" + inner + qname(name),
        "KX": b"\0\1" + inner,
        "RT": b"\0\1" + inner,
    }


@pytest.mark.parametrize("qtype", newer_types("x."))
def test_name_15_newer_types_stay_uncompressed(larder, upstream, qtype):
    """NAME-15: RDATA names of types after RFC 1035 are never compressed."""
    name = fresh_name()
    data = newer_types(name)[qtype]
    upstream.handler = answers(rr(name, qtype, 300, data))
    for _ in ("miss", "hit"):
        for msg in (larder.ask(name, qtype), larder.ask_tcp(name, qtype),
                    larder.ask(name, qtype, opt=OPT)):
            got, = msg.answer
            assert got.rdata == data, (got.rdata.hex(), data.hex())
            # The owner is a pointer, two octets before the ten of its head.
            assert msg.wire[got.rdata_at - 12:got.rdata_at - 10] == b"\xc0\x0c"


# Type, octets before the names, the names, octets after them.
OLD_TYPES = [("NS", b"", ["host.{n}"], b""), ("PTR", b"", ["host.{n}"], b""),
             ("MX", b"\0\5", ["host.{n}"], b""),
             ("SOA", b"", ["host.{n}", "admin.{n}"], bytes(range(20)))]


@pytest.mark.parametrize("qtype, before, names, after", OLD_TYPES,
                         ids=[t[0] for t in OLD_TYPES])
def test_name_15_old_types_are_compressed(larder, upstream, qtype, before,
                                          names, after):
    """NAME-15: owner names and RFC 1035 types' RDATA names are compressed.

    Not judged: the first RDATA name.  It may end like the question, but the
    question comes in any asker's case and the RDATA in its own (NAME-12).
    """
    name = fresh_name("n", zone="sub.example.")
    hosts = [[qname(f"{prefix}{n.format(n=name)}") for n in names]
             for prefix in ("a", "bc", "def")[:1 if qtype == "SOA" else 3]]
    upstream.handler = answers(*(
        rr(name, qtype, 300, before + b"".join(h) + after) for h in hosts))
    for _ in ("miss", "hit"):
        for msg in (larder.ask(name, qtype), larder.ask_tcp(name, qtype)):
            seen, spelt_out = [], 0     # all but the first end in a pointer
            for got in msg.answer:
                owner = msg.wire[got.rdata_at - 12:got.rdata_at - 10]
                assert owner[0] >= 0xC0, msg.wire.hex()
                at = got.rdata_at + len(before)
                assert got.rdata[:len(before)] == before
                for _ in names:
                    read, end = msg.name_at(at)
                    seen.append(read)
                    spelt_out += end - at == len(read)
                    at = end
                assert msg.wire[at:got.rdata_at + len(got.rdata)] == after
            assert sorted(seen) == sorted(n for h in hosts for n in h)
            assert spelt_out <= 1, msg.wire.hex()


def test_name_15_owner_names_along_a_chain(larder, upstream):
    """NAME-15: every owner in a chain and in the authority section shrinks."""
    name = fresh_name("n", zone="sub.example.")
    links = [name] + [f"{x}.sub.example." for x in ("one", "two")]
    upstream.handler = lambda ctx: ctx.send(reply(
        ctx.wire, [rr(a, "CNAME", 300, b) for a, b in zip(links, links[1:])],
        [soa("sub.example.")]))
    for _ in ("miss", "hit"):
        msg = larder.ask(name)
        assert [r.text for r in msg.answer] == links[:2], msg
        for got in msg.answer + msg.authority:
            assert msg.wire[got.rdata_at - 12] >= 0xC0, msg.wire.hex()


def squeezed(name, at):
    """RDATA with pointers where RFC 1035 compression would put them, for the
    offset `at` of the RDATA; beside it what the full form is."""
    host = b"\4host" + pointer(12)
    full = qname("host." + name)
    owner = qname(name)
    return {
        "SRV": (b"\0\1\0\2\1\xbb" + host, b"\0\1\0\2\1\xbb" + full),
        "NAPTR": (b"\0\1\0\2\1S\7SIP+D2U\0" + host,
                  b"\0\1\0\2\1S\7SIP+D2U\0" + full),
        "RP": (host + pointer(at), full + full),
        "AFSDB": (b"\0\1" + pointer(12), b"\0\1" + owner),
        "PX": (b"\0\1" + host + b"\1x" + pointer(at + 2),
               b"\0\1" + full + b"\1x" + full),
        "RT": (b"\0\1" + host, b"\0\1" + full),
    }


@pytest.mark.parametrize("qtype", squeezed("x.", 0))
def test_name_16_compressed_older_types(larder, upstream, qtype):
    """NAME-16: compressed names in RDATA of older types are expanded."""
    def script(ctx):
        if ctx.name != name:
            return ctx.default()
        head = reply(ctx.wire, opt=None)
        sent = squeezed(name, len(head) + 12)[qtype][0]
        ctx.send(with_answers(head, [record(pointer(12), TYPES[qtype],
                                            sent)]))

    name = fresh_name()
    full = squeezed(name, 0)[qtype][1]
    upstream.handler = script
    for _ in ("miss", "hit"):
        for msg in (larder.ask(name, qtype), larder.ask_tcp(name, qtype)):
            got, = msg.answer
            assert got.rdata == full, (got.rdata.hex(), full.hex())
    assert upstream.count(name) == 1


# --- classes ----------------------------------------------------------------

@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("opt", [None, OPT])
@pytest.mark.parametrize("qclass", [0, 2, 4, 5, 254, 255, 256, 65280, 65535])
def test_name_17_other_classes(larder, upstream, proto, opt, qclass):
    """NAME-17: ANY, NONE, HS and others: REFUSED with EDE 21, never sent."""
    name = fresh_name()
    for qtype in ("A", "TXT", "SOA"):
        wire = query(name, qtype, qclass=qclass, opt=opt)
        check_error(wire, ask_raw(larder, wire, proto), REFUSED, ede=21)
    check_quiet(larder, upstream)
    # Class IN of the same name is not hurt, and its answer serves IN only.
    assert larder.ask(name).a() == ["192.0.2.1"]
    wire = query(name, "A", qclass=qclass, opt=opt)
    check_error(wire, ask_raw(larder, wire, proto), REFUSED, ede=21)


CHAOS = ["version.bind.", "version.server.", "id.server.", "hostname.bind."]


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("opt", [None, OPT])
@pytest.mark.parametrize("name", CHAOS)
def test_name_18_identity_not_set(larder, upstream, proto, opt, name):
    """NAME-18: without a configured string these names are REFUSED."""
    for form in (name, name.upper()):
        wire = query(form, "TXT", qclass=3, opt=opt)
        check_error(wire, ask_raw(larder, wire, proto), REFUSED)
    check_quiet(larder, upstream)


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("opt", [None, OPT])
@pytest.mark.parametrize("name", CHAOS)
def test_name_18_identity_set(named, upstream, proto, opt, name):
    """NAME-18: with one, they answer it with TTL 0, in the asker's case."""
    text = b"larder of the tests" if name.startswith("version") else b"Host-7"
    for form in (name, name.upper(), name.title()):
        msg = ask_raw(named, query(form, "TXT", qclass=3, opt=opt), proto)
        assert msg.rcode == NOERROR and msg.ra == 1, msg
        assert msg.question == [(qname(form), 16, 3)]
        got, = msg.answer
        assert (got.name.lower(), got.qtype, got.cls, got.ttl) == (
            qname(name), 16, 3, 0)
        assert got.rdata == bytes([len(text)]) + text
        assert not msg.additional and bool(msg.opt) == bool(opt)
    check_quiet(named, upstream)


def test_name_18_one_string_of_two(half_named, upstream):
    """NAME-18: each string stands for itself."""
    for name in CHAOS:
        wire = query(name, "TXT", qclass=3)
        msg = half_named.udp(wire)
        if name.startswith("version"):
            assert [r.rdata for r in msg.answer] == [b"\x011"], msg
        else:
            check_error(wire, msg, REFUSED)
    check_quiet(half_named, upstream)


@pytest.mark.parametrize("name, qtype", [
    ("version.bind.", "A"), ("version.server.", "AAAA"), ("id.server.", "NS"),
    ("hostname.bind.", "SOA"), ("authors.bind.", "TXT"), ("bind.", "TXT"),
    ("x.version.bind.", "TXT"), (".", "TXT"), ("n.example.", "TXT"),
    ("n.example.", "A"), (r"version\.bind.", "TXT"),
    (r"version.bind\000.", "TXT")])
def test_name_18_other_chaos_names(larder, named, upstream, name, qtype):
    """NAME-18: everything else in class CH is REFUSED, never forwarded."""
    for one in (larder, named):
        for opt in (None, OPT):
            wire = query(name, qtype, qclass=3, opt=opt)
            check_error(wire, one.udp(wire), REFUSED)
        check_quiet(one, upstream)


def test_name_18_same_names_in_class_in(larder, named, upstream):
    """NAME-18: in class IN these are ordinary names."""
    for one in (larder, named):
        upstream.clear()
        for name in CHAOS:
            assert one.ask(name).a() == ["192.0.2.1"]
            assert upstream.count(name) == 1


# --- wildcards and the root -------------------------------------------------

def test_name_19_literal_wildcard(larder, upstream):
    """NAME-19: `*.x` is forwarded as asked and its answer serves it alone."""
    rest = fresh_name(zone="example.com.")
    star = f"*.{rest}"
    others = [f"a.{rest}", f"b.{rest}", f"*.a.{rest}", rest, f"\\042x.{rest}"]
    for name in [star, star, *others, star]:
        msg = larder.ask(name)
        assert msg.a() == ["192.0.2.1"]
        assert msg.question[0].name_wire == qname(name)
    assert [upstream.count(n) for n in [star, *others]] == [1] * 6
    assert upstream.log[0].msg.question[0].name_wire == qname(star)


def test_name_19_denied_wildcard(larder, upstream):
    """NAME-19: a denial of `*.x` denies nothing else."""
    rest = fresh_name(zone="example.com.")
    upstream.handler = lambda ctx: (
        ctx.send(reply(ctx.wire, authority=[soa("example.com.")], rcode=3))
        if ctx.name.startswith("*") else ctx.default())
    assert larder.ask(f"*.{rest}").rcode == 3
    assert larder.ask(f"a.{rest}").a() == ["192.0.2.1"]
    assert larder.ask(f"*.{rest}").rcode == 3
    assert upstream.count(f"*.{rest}") == 1


ROOT = {
    "NS": [qname("a.root-servers.net."), qname("b.root-servers.net.")],
    "SOA": [qname("a.root-servers.net.") + qname("nstld.example.")
            + struct.pack("!5I", 1, 1800, 900, 604800, 86400)],
    "DNSKEY": [struct.pack("!HBB", 257, 3, 8) + bytes(range(256)) + b"1234"],
}


@pytest.mark.parametrize("qtype", ROOT)
def test_name_20_the_root(larder, upstream, monkeypatch, qtype):
    """NAME-20: the root name is an ordinary question: forwarded, kept."""
    monkeypatch.setattr(upstream, "knows_root", False)
    upstream.handler = answers(*(rr(".", qtype, 300, d) for d in ROOT[qtype]))
    for _ in ("miss", "hit"):
        for msg in (larder.ask(".", qtype), larder.ask_tcp(".", qtype)):
            assert msg.rcode == NOERROR and not msg.tc, msg
            assert msg.question == [(b"\0", TYPES[qtype], 1)]
            assert len(msg.answer) == len(ROOT[qtype])
            assert all(r.name == b"\0" and r.qtype == TYPES[qtype]
                       for r in msg.answer)
            if qtype == "DNSKEY":
                assert msg.answer[0].rdata == ROOT[qtype][0]
            if qtype == "NS":
                assert {msg.name_at(r.rdata_at)[0] for r in msg.answer} == set(
                    ROOT[qtype])
    entry, = upstream.entries(name=".")
    assert entry.msg.question == [(b"\0", TYPES[qtype], 1)]


def test_name_20_root_denied(larder, upstream):
    """NAME-20: and NODATA at the root is an ordinary NODATA."""
    upstream.handler = lambda ctx: ctx.send(reply(
        ctx.wire, authority=[soa(".")]))
    for _ in ("miss", "hit"):
        msg = larder.ask(".", "MX")
        assert msg.rcode == NOERROR and not msg.answer
        assert [r.name for r in msg.authority] == [b"\0"]
    assert upstream.count(".") == 1


# --- section 2's rule over this file ----------------------------------------

def test_hdr_20_errors_of_this_file(larder, upstream):
    """HDR-20: no error seen so far is longer than its query plus an OPT."""
    for wire in (query(".", qclass=255), query(".", "TXT", qclass=3),
                 raw_question(b"\xc0\x0c"), raw_question(b"\x40"),
                 query(long_name(256))):
        assert larder.udp(wire).rcode in (FORMERR, REFUSED)
    assert harness.check_error_sizes() >= 5
