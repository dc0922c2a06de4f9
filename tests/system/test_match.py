"""Which upstream replies larder believes (conformance section 4, MATCH-*).

Most rows say "waits": a packet that is not the answer is ignored, and the
answer that comes 200 ms later is still taken.  `check_waits` asks one new
name per forgery, all at once; the larder of those tests resends after a second
only, so that each question must have cost exactly one send.  Whatever is
forged carries EVIL, whatever is true carries GOOD.
"""

import collections
import itertools
import random
import select
import struct
import threading
import time
import zlib
from pathlib import Path

import pytest

from harness import (NOERROR, NXDOMAIN, SERVFAIL, TYPES, Larder, Opt,
                     Upstream, free_port, fresh_name, parse, qname, query,
                     reply, rr, soa)

GOOD, EVIL = "192.0.2.10", "192.0.2.66"
DELAY = 0.2         # from the forgery to the good reply
RESPONSE = 0x8180   # QR, RD, RA


# --- scripts for U and questions from C -----------------------------------

class Book:
    """What U says, by the name asked; without an entry the default answer."""

    def __init__(self):
        self.rules = {}

    def __setitem__(self, name, rule):
        self.rules[name.lower()] = rule

    def __call__(self, ctx):
        rule = self.rules.get(ctx.name)
        if rule:
            rule(ctx)
        else:
            ctx.default()


def question_octets(wire):
    """The question section of a query, as it stands there."""
    at = 12
    while wire[at]:
        at += 1 + wire[at]
    return wire[12:at + 5]


def asked(ctx):
    """The name asked, in wire form and in the letters that reached U."""
    return ctx.msg.question[0].name_wire


def message(to, answer=(), authority=(), additional=(), *, ident=None,
            flags=RESPONSE, question=None, counts=None):
    """A reply by hand: every field can lie."""
    question = question_octets(to) if question is None else question
    ident = struct.unpack("!H", to[:2])[0] if ident is None else ident
    counts = counts or (1, len(answer), len(authority), len(additional))
    return b"".join([struct.pack("!6H", ident, flags, *counts), question,
                     *answer, *authority, *additional])


def address(name, dotted=GOOD, ttl=300, **kw):
    return rr(name, "A", ttl, dotted, **kw)


def good(ctx):
    return reply(ctx.msg, [address(asked(ctx))])


def evil(ctx, **kw):
    """A reply that would be believed but for what `kw` changes."""
    return message(ctx.wire, [address(asked(ctx), EVIL)], **kw)


def ask_all(larder, questions, timeout=5.0, **kw):
    """Asks all at once from one socket; [(reply or None, seconds)].

    A question is a name, or (name, type), or a dict of query()'s arguments.
    """
    idents = random.sample(range(65536), len(questions))
    got = {}
    with larder.udp_socket() as sock:
        begin = time.monotonic()
        for ident, question in zip(idents, questions):
            if isinstance(question, str):
                question = {"name": question}
            elif isinstance(question, tuple):
                question = {"name": question[0], "qtype": question[1]}
            sock.send(query(**{**kw, **question}, id=ident))
        while len(got) < len(idents):
            left = begin + timeout - time.monotonic()
            if left <= 0 or not select.select([sock], [], [], left)[0]:
                break
            msg = parse(sock.recv(65535))
            assert msg.id not in got, f"a second reply: {msg}"
            got[msg.id] = (msg, time.monotonic() - begin)
    larder.check_running()
    return [got.get(ident, (None, timeout)) for ident in idents]


def ask_one(larder, name, qtype="A", **kw):
    msg, _ = ask_all(larder, [(name, qtype)], **kw)[0]
    assert msg is not None, f"no reply for {name}"
    return msg


def check_waits(server, book, larder, forgeries, answer=good):
    """Each forgery is ignored and the good reply after it is used.

    `forgeries` maps what is wrong to a function of the context that sends it.
    """
    names = {what: fresh_name("wait") for what in forgeries}

    for what, forge in forgeries.items():
        def rule(ctx, forge=forge):
            forge(ctx)
            ctx.send_later(DELAY, answer(ctx))
        book[names[what]] = rule
    wrong = {}
    replies = ask_all(larder, list(names.values()), opt=Opt())
    for (what, name), (msg, seconds) in zip(names.items(), replies):
        if msg is None:
            wrong[what] = "no reply at all"
        elif msg.rcode != NOERROR or msg.a() != [GOOD]:
            wrong[what] = f"{msg} with {msg.a()} after {seconds:.3f} s"
        elif seconds < DELAY * 0.9:
            wrong[what] = f"answered after {seconds:.3f} s"
        elif server.count(name) != 1:
            wrong[what] = f"{server.count(name)} sends"
    assert not wrong


@pytest.fixture(scope="module")
def book():
    return Book()


@pytest.fixture(scope="module")
def server(book):
    with Upstream() as upstream:
        upstream.handler = book
        yield upstream


@pytest.fixture(scope="module")
def patient(server):
    """Sends a question again after a second at the earliest."""
    with Larder([server], conf={"resend-after": "1s"}) as larder:
        yield larder


@pytest.fixture(scope="module")
def eager(server):
    """Sends a question again after 60 ms."""
    with Larder([server], conf={"resend-after": "60ms"}) as larder:
        yield larder


# --- identifiers and ports ------------------------------------------------

def run_through(n, zone):
    """n questions, one after the other; what reached U by UDP, in order."""
    with Upstream() as upstream, Larder([upstream]) as larder, \
            larder.udp_socket() as sock:
        sock.settimeout(5)
        for i in range(n):
            sock.send(query(f"q{i}.{zone}", id=i))
            while struct.unpack("!H", sock.recv(4096)[:2])[0] != i:
                pass
        return upstream.entries(proto="udp")


@pytest.fixture(scope="module")
def long_run():
    log = run_through(5000, "first.example.")
    assert len(log) >= 5000
    return log


def even(values, low, high, bands=16, limit=80.0):
    """Chi-square of `values` over equal bands; 80 at 15 degrees: 1 in 1e10."""
    found = collections.Counter((v - low) * bands // (high - low)
                                for v in values)
    mean = len(values) / bands
    chi = sum((found[b] - mean) ** 2 / mean for b in range(bands))
    assert chi < limit, f"uneven ({chi:.1f}): {sorted(found.items())}"


def test_match_01_query_ids_are_unpredictable(long_run):
    """MATCH-01: IDs are even over the 16 bits and follow no pattern."""
    ids = [entry.msg.id for entry in long_run]
    even(ids, 0, 65536)
    # A step shows as a difference that returns.  By chance the commonest of
    # 5000 differences over 65536 values returns three or four times.
    for lag in (1, 2, 3, 4):
        steps = [(b - a) & 0xFFFF for a, b in zip(ids, ids[lag:])]
        step, times = collections.Counter(steps).most_common(1)[0]
        assert times <= 8, f"step {step} over {lag}: {times} times"
        even(steps, 0, 65536)
    # A weak generator shows in its lowest bits first: each bit agrees with
    # itself so many sends before in half of the cases, give or take 35.
    for lag, bit in itertools.product((1, 2, 3, 4, 8, 16, 32), range(16)):
        same = sum(1 for a, b in zip(ids, ids[lag:]) if not (a ^ b) >> bit & 1)
        assert abs(same - (len(ids) - lag) / 2) < 250, (bit, lag, same)
    # The client's own ID (0, 1, 2 ...) is not what goes up.
    assert sum(1 for i, ident in enumerate(ids) if i == ident) <= 5


def test_match_01_query_ids_differ_between_runs(long_run):
    """MATCH-01: another process draws other IDs for the same questions."""
    again = run_through(500, "first.example.")
    first, second = ([entry.msg.id for entry in log]
                     for log in (long_run, again))
    assert sum(1 for a, b in zip(first, second) if a == b) <= 5
    # Nor the same row from another starting point.
    pairs = set(zip(first, first[1:]))
    assert sum(1 for pair in zip(second, second[1:]) if pair in pairs) <= 5


def ephemeral_range():
    text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    low, high = (int(number) for number in text.split())
    return low, high + 1


def test_match_02_source_ports_one_question_after_the_other(long_run):
    """MATCH-02: many ports, none for long, from the whole range.

    A socket serves at most 48 questions, the row allows 64 a port.  A few
    ports are drawn twice by pure chance (about two pairs among 350 of 28,000),
    so that a handful may show the uses of two sockets, never of many.
    """
    uses = collections.Counter(entry.src[1] for entry in long_run)
    assert len(uses) >= 250, f"only {len(uses)} ports"
    often = {port: n for port, n in uses.items() if n > 64}
    assert len(often) <= 8 and max(uses.values()) <= 144, often

    ports = list(uses)              # in order of their first use
    low, high = ephemeral_range()
    inside = [port for port in ports if low <= port < high]
    bands = collections.Counter((p - low) * 8 // (high - low) for p in inside)
    assert len(bands) == 8, f"parts of the range are never used: {bands}"
    assert max(bands.values()) <= len(inside) / 3, bands
    steps = collections.Counter(b - a for a, b in zip(ports, ports[1:]))
    assert steps.most_common(1)[0][1] <= 5, steps.most_common(3)


def test_match_02_no_socket_serves_neighbours(long_run):
    """MATCH-02: the port of the next question is not that of the last."""
    ports = [entry.src[1] for entry in long_run]
    repeats = sum(1 for a, b in zip(ports, ports[1:]) if a == b)
    assert repeats < len(ports) / 20, f"{repeats} repeats"


def test_match_02_questions_in_progress_use_different_ports(server, book,
                                                            patient):
    """MATCH-02: 100 questions at once leave from 100 ports."""
    names = [fresh_name("port") for _ in range(100)]
    held = []

    def rule(ctx):
        held.append(ctx)
        if len(held) == len(names):
            for waiting in held:
                waiting.send(good(waiting))
    for name in names:
        book[name] = rule
    replies = ask_all(patient, names)
    assert [msg and msg.a() for msg, _ in replies] == [[GOOD]] * 100
    entries = [e for e in server.entries(proto="udp") if e.name in set(names)]
    assert len(entries) == 100
    assert len({entry.src[1] for entry in entries}) == 100
    low, high = ephemeral_range()
    inside = [e.src[1] for e in entries if low <= e.src[1] < high]
    assert len({(p - low) * 4 // (high - low) for p in inside}) == 4


def test_match_03_workers_share_one_port_space():
    """MATCH-03: each of four workers draws ports from the whole range.

    A client socket stays with one worker, so a worker that had a part of the
    range only would show as a client whose questions leave from that part.
    """
    book = Book()
    with Upstream() as upstream:
        upstream.handler = book
        with Larder([upstream], conf={"threads": 4,
                                      "resend-after": "1s"}) as larder:
            low, high = ephemeral_range()
            for _ in range(12):
                names = [fresh_name("worker") for _ in range(100)]
                for name in names:
                    book[name] = lambda ctx: ctx.send_later(0.1, good(ctx))
                replies = ask_all(larder, names)
                assert all(msg and msg.a() == [GOOD] for msg, _ in replies)
                mine = set(names)
                ports = [e.src[1] for e in upstream.entries(proto="udp")
                         if e.name in mine]
                assert len(set(ports)) >= 100
                # By chance one of all these quarters is empty in 1 of 7e10.
                quarters = collections.Counter(
                    (p - low) * 4 // (high - low)
                    for p in ports if low <= p < high)
                assert len(quarters) == 4, quarters


@pytest.mark.parametrize("sends", [2, 3])
def test_match_04_resend_and_late_answer(server, book, eager, sends):
    """MATCH-04: a resend has a new ID and socket; the first stays open.

    U is silent until the given number of sends have come, then answers the
    first of them on the first one's port.
    """
    name, seen = fresh_name("late"), []

    def rule(ctx):
        seen.append(ctx)
        if len(seen) == sends:
            seen[0].send(good(seen[0]))
    book[name] = rule
    msg = ask_one(eager, name, timeout=3)
    assert msg.rcode == NOERROR and msg.a() == [GOOD]
    first, second = server.entries(name)[:2]
    assert (first.proto, second.proto) == ("udp", "udp")
    assert first.msg.id != second.msg.id
    assert first.src[1] != second.src[1]


# --- what does not belong to the question ---------------------------------

def test_match_05_wrong_source(server, book, patient):
    """MATCH-05: a reply from another address or port is ignored."""
    check_waits(server, book, patient, {
        "other address, same port":
            lambda ctx: ctx.send_from("127.0.0.9", server.port, evil(ctx)),
        "other address and port":
            lambda ctx: ctx.send_from("127.0.0.9", 0, evil(ctx)),
        "same address, other port":
            lambda ctx: ctx.send_from("127.0.0.1", 0, evil(ctx)),
    })


def test_match_06_wrong_id(server, book, patient):
    """MATCH-06: a reply with another ID is ignored."""
    def wrong(change):
        return lambda ctx: ctx.send(
            evil(ctx, ident=change(ctx.msg.id) & 0xFFFF))

    check_waits(server, book, patient, {
        "next": wrong(lambda i: i + 1),
        "last": wrong(lambda i: i - 1),
        "low bit": wrong(lambda i: i ^ 1),
        "high bit": wrong(lambda i: i ^ 0x8000),
        "all bits": wrong(lambda i: ~i),
        "octets swapped": wrong(
            lambda i: i >> 8 | i << 8 if (i >> 8) != (i & 255) else i + 1),
        "zero": wrong(lambda i: 0 if i else 1),
    })


def test_match_07_wrong_question(server, book, patient):
    """MATCH-07: a reply to another name, type or class is ignored."""
    def name(change):
        def forge(ctx):
            other = change(asked(ctx))
            ctx.send(message(ctx.wire, [address(other, EVIL),
                                        address(asked(ctx), EVIL)],
                             question=other + struct.pack("!HH", 1, 1)))
        return forge

    def field(qtype, qclass):
        return lambda ctx: ctx.send(evil(
            ctx, question=asked(ctx) + struct.pack("!HH", qtype, qclass)))

    check_waits(server, book, patient, {
        "other name of the same length": name(
            lambda w: w[:1] + bytes([w[1] ^ 1]) + w[2:]),
        "last letter": name(lambda w: w[:-2] + b"f" + w[-1:]),
        "parent": name(lambda w: w[1 + w[0]:]),
        "child": name(lambda w: b"\1w" + w),
        "root": name(lambda w: b"\0"),
        "one label for two": name(
            lambda w: bytes([w[0] + 8]) + w[1:1 + w[0]] + b".example" + b"\0"),
        "letter that differs by the case bit only": name(
            lambda w: w[:w[0]] + bytes([w[w[0]] ^ 0x20]) + w[1 + w[0]:]),
        "type AAAA": field(28, 1),
        "type ANY": field(255, 1),
        "type 257, same low octet": field(257, 1),
        "class CH": field(1, 3),
        "class ANY": field(1, 255),
        "class 257, same low octet": field(1, 257),
    })


def test_match_08_no_response_or_other_opcode(server, book, patient):
    """MATCH-08: QR=0 and opcodes other than 0 are ignored."""
    forgeries = {"QR=0": lambda ctx: ctx.send(
        evil(ctx, flags=RESPONSE & 0x7FFF))}
    for opcode in (1, 2, 4, 5, 6, 15):
        forgeries[f"opcode {opcode}"] = lambda ctx, opcode=opcode: ctx.send(
            evil(ctx, flags=RESPONSE | opcode << 11))
    check_waits(server, book, patient, forgeries)


def test_match_09_no_or_two_questions(server, book, patient):
    """MATCH-09: data or NXDOMAIN without a question, or with two: ignored."""
    def without(rcode, answer=True, authority=False):
        def forge(ctx):
            ctx.send(message(
                ctx.wire, [address(asked(ctx), EVIL)] if answer else [],
                [soa("example.")] if authority else [], question=b"",
                flags=RESPONSE | rcode,
                counts=(0, int(answer), int(authority), 0)))
        return forge

    def two(arrange, rcode=0):
        def forge(ctx):
            one = question_octets(ctx.wire)
            other = qname("other.example.") + one[-4:]
            ctx.send(message(ctx.wire, [address(asked(ctx), EVIL)],
                             question=arrange(one, other),
                             counts=(2, 1, 0, 0), flags=RESPONSE | rcode))
        return forge

    check_waits(server, book, patient, {
        "NOERROR with data": without(0),
        "NOERROR, empty": without(0, answer=False),
        "NODATA": without(0, answer=False, authority=True),
        "NXDOMAIN with SOA": without(3, answer=False, authority=True),
        "NXDOMAIN, empty": without(3, answer=False),
        "the question twice": two(lambda one, other: one + one),
        "the question and another": two(lambda one, other: one + other),
        "another and the question": two(lambda one, other: other + one),
        "two questions with NXDOMAIN": two(lambda one, other: one + other,
                                           rcode=NXDOMAIN),
        "two questions with SERVFAIL": two(lambda one, other: one + other,
                                           rcode=SERVFAIL),
    })


@pytest.mark.parametrize("code, rcode", [
    ("FORMERR", 1), ("SERVFAIL", 2), ("NOTIMP", 4), ("REFUSED", 5)])
def test_match_09_error_without_question_is_usable(code, rcode):
    """MATCH-09: an error without a question ends that try at once.

    Two servers share one script: whoever is asked first gives the bare error,
    the next send is answered.  FORMERR and NOTIMP bring the same server's
    resend without OPT (EDNS-17), the others the other server.
    """
    book, name, seen = Book(), fresh_name("bare"), []

    def rule(ctx):
        seen.append(ctx)
        if len(seen) == 1:
            ctx.send(message(ctx.wire, question=b"", counts=(0, 0, 0, 0),
                             flags=RESPONSE | rcode))
        else:
            ctx.send(good(ctx))
    book[name] = rule
    with Upstream() as one, Upstream() as two:
        one.handler = two.handler = book
        with Larder([one, two], conf={"resend-after": "1s"}) as larder:
            (msg, seconds), = ask_all(larder, [name], opt=Opt())
            assert msg is not None and msg.a() == [GOOD], (code, msg)
            assert seconds < 0.8, f"waited for a timer: {seconds:.3f} s"
            assert len(seen) == 2
            if code in ("FORMERR", "NOTIMP"):
                assert seen[0].upstream is seen[1].upstream
                assert seen[0].msg.opt is not None and seen[1].msg.opt is None
            else:
                assert seen[0].upstream is not seen[1].upstream


def _long_name(octets):
    """A wire name of so many octets, which may be too many."""
    out = b""
    while octets - len(out) > 1:
        size = min(63, octets - len(out) - 2)
        if octets - len(out) - 1 - size - 1 == 1:
            size -= 1       # never leave room for an empty label
        out += bytes([size]) + b"x" * size
    return out + b"\0"


def _record(owner, qtype, rdata, rdlength=None, ttl=300, cls=1):
    """A record whose RDLENGTH may lie."""
    return owner + struct.pack("!HHIH", qtype, cls, ttl, len(rdata)
                               if rdlength is None else rdlength) + rdata


MALFORMED = {
    "RDATA cut": lambda ctx: evil(ctx)[:-1],
    "RDATA missing": lambda ctx: evil(ctx)[:-4],
    "record cut in its fixed part": lambda ctx: evil(ctx)[:-7],
    "only the question, one answer promised": lambda ctx: message(
        ctx.wire, counts=(1, 1, 0, 0)),
    "second answer promised": lambda ctx: evil(ctx, counts=(1, 2, 0, 0)),
    "additional promised": lambda ctx: evil(ctx, counts=(1, 1, 0, 1)),
    "65535 answers promised": lambda ctx: evil(ctx, counts=(1, 65535, 0, 0)),
    "RDLENGTH past the end": lambda ctx: message(
        ctx.wire, [_record(asked(ctx), 1, b"\xc0\0\2\x42", 200)]),
    "A of 3 octets": lambda ctx: message(
        ctx.wire, [_record(asked(ctx), 1, b"\xc0\0\2")]),
    "A of 5 octets": lambda ctx: message(
        ctx.wire, [_record(asked(ctx), 1, b"\xc0\0\2\x42\0")]),
    "A of no octets": lambda ctx: message(
        ctx.wire, [_record(asked(ctx), 1, b"")]),
    "RDLENGTH of an alias too long": lambda ctx: message(
        ctx.wire, [_record(asked(ctx), 5, qname("t.example.") + b"\0\0"),
                   address("t.example.", EVIL)]),
    "RDLENGTH of an alias too short": lambda ctx: message(
        ctx.wire, [_record(asked(ctx), 5, qname("t.example."), 4),
                   address("t.example.", EVIL)]),
    "owner of 256 octets": lambda ctx: message(
        ctx.wire, [address(asked(ctx), EVIL), _record(
            _long_name(256), 1, b"\xc0\0\2\x42")]),
    "alias target of 256 octets": lambda ctx: message(
        ctx.wire, [_record(asked(ctx), 5, _long_name(256))]),
    "owner over 255 octets through a pointer": lambda ctx: message(
        ctx.wire, [_record(asked(ctx), 5, _long_name(250)), _record(
            b"\7toolong\xc0" + bytes([12 + len(asked(ctx)) + 4
                                     + len(asked(ctx)) + 10]),
            1, b"\xc0\0\2\x42")]),
    "reserved label form": lambda ctx: message(
        ctx.wire, [_record(b"\x41xyz\0", 1, b"\xc0\0\2\x42")]),
}


def test_match_10_malformed_reply_on_udp(server, book, patient):
    """MATCH-10: what matches but cannot be parsed does not end the wait."""
    assert len(_long_name(256)) == 256 and len(_long_name(250)) == 250
    check_waits(server, book, patient, {
        what: lambda ctx, spoil=spoil: ctx.send(spoil(ctx))
        for what, spoil in MALFORMED.items()})


@pytest.mark.parametrize("what", ["RDATA cut", "A of 5 octets",
                                  "owner of 256 octets"])
def test_match_10_malformed_reply_on_a_stream(what):
    """MATCH-10: on a stream such a reply ends that attempt, and no more."""
    book, name, seen = Book(), fresh_name("stream"), []

    def rule(ctx):
        seen.append(ctx)
        ctx.send(MALFORMED[what](ctx) if len(seen) == 1 else good(ctx))
    book[name] = rule
    with Upstream() as one, Upstream() as two:
        one.handler = two.handler = book
        with Larder([f"tcp://{one.url}", f"tcp://{two.url}"],
                    conf={"resend-after": "1s"}) as larder:
            (msg, seconds), = ask_all(larder, [name], opt=Opt())
            assert msg is not None and msg.a() == [GOOD], msg
            assert seconds < 0.8, f"waited for a timer: {seconds:.3f} s"
            assert len(seen) == 2
            assert {ctx.proto for ctx in seen} == {"tcp"}
            larder.alive()


def test_match_11_questions_are_compared_on_tcp(book):
    """MATCH-11: on TCP another question's answer is not used, not cached."""
    with Upstream() as upstream:
        upstream.handler = book
        with Larder([f"tcp://{upstream.url}"],
                    conf={"resend-after": "1s"}) as larder:
            name, other, seen = fresh_name("tcp"), fresh_name("other"), []

            def rule(ctx):
                seen.append(ctx)
                if len(seen) > 1:
                    ctx.send(good(ctx))
                    return
                ctx.send(message(
                    ctx.wire, [address(other, EVIL), address(name, EVIL)],
                    question=qname(other) + struct.pack("!HH", 1, 1)))
                ctx.send_later(DELAY, good(ctx))
            book[name] = rule
            msg = ask_one(larder, name)
            assert msg.rcode == NOERROR and msg.a() == [GOOD], msg
            assert ask_one(larder, other).a() == ["192.0.2.1"]
            assert upstream.count(other) == 1
            assert ask_one(larder, name).a() == [GOOD]
            assert upstream.quiet(proto="udp")


def test_match_12_a_reply_counts_for_its_own_socket(server, book, patient):
    """MATCH-12: A's answer with A's ID on B's port is ignored."""
    a, b, seen = fresh_name("sock"), fresh_name("sock"), {}

    def rule(ctx):
        seen[ctx.name] = ctx
        if len(seen) == 2:
            first, second = seen[a], seen[b]
            second.send(evil(first))
            first.send(evil(second))
            first.send_later(DELAY, good(first))
            second.send_later(DELAY, good(second))
    book[a] = book[b] = rule
    for msg, seconds in ask_all(patient, [a, b]):
        assert msg is not None and msg.a() == [GOOD]
        assert seconds > DELAY * 0.9
    assert (server.count(a), server.count(b)) == (1, 1)
    assert seen[a].src != seen[b].src


def equal_crc_labels():
    """Two labels of ten letters with one CRC32, hence in any surroundings."""
    chance, found = random.Random(20684), {}
    while True:
        label = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=10))
        other = found.setdefault(zlib.crc32(label.encode()), label)
        if other != label:
            return other, label


def test_match_13_the_whole_question_is_compared(server, book, patient):
    """MATCH-13: names with equal CRC32 are not taken for each other."""
    x, y = (f"{label}.example." for label in equal_crc_labels())
    assert x != y and zlib.crc32(qname(x)) == zlib.crc32(qname(y))
    seen = {}

    def rule(ctx):
        seen[ctx.name] = ctx
        if len(seen) == 2:
            for mine, theirs in ((x, y), (y, x)):
                to = seen[mine]
                to.send(message(to.wire, [address(theirs, EVIL)],
                                question=qname(theirs) + b"\0\1\0\1"))
                to.send_later(DELAY, good(to))
    book[x] = book[y] = rule
    for msg, seconds in ask_all(patient, [x, y]):
        assert msg is not None and msg.a() == [GOOD]
        assert seconds > DELAY * 0.9
    assert (server.count(x), server.count(y)) == (1, 1)


def test_match_14_equal_questions_share_one_send(server, book, patient):
    """MATCH-14: 200 clients at once cost one send; each has its own ID."""
    name = fresh_name("share")
    book[name] = lambda ctx: ctx.send_later(0.4, good(ctx))
    socks = [patient.udp_socket() for _ in range(200)]
    try:
        idents = random.sample(range(65536), len(socks))
        for sock, ident in zip(socks, idents):
            sock.send(query(name, id=ident))
        for sock, ident in zip(socks, idents):
            sock.settimeout(3)
            msg = parse(sock.recv(4096))
            assert msg.id == ident
            assert msg.rcode == NOERROR and msg.a() == [GOOD]
            assert [q.text for q in msg.question] == [name]
        assert server.count(name) == 1
        assert not select.select(socks, [], [], 0.05)[0], "a second reply"
    finally:
        for sock in socks:
            sock.close()


def test_match_15_few_sends_for_all_variants(server, book, patient):
    """MATCH-15: DO, CD, AD and client subnets open at most 4 sends."""
    name, hold = fresh_name("variant"), 0.3
    book[name] = lambda ctx: ctx.send_later(hold, good(ctx))
    subnets = [[]] + [[(8, struct.pack("!HBB3B", 1, 24, 0, 198, 51, i))]
                      for i in range(8)]
    questions = [dict(name=name, cd=cd, ad=ad, opt=Opt(do=do, options=subnet))
                 for cd, ad, do, subnet in itertools.product(
                     (0, 1), (0, 1), (0, 1), subnets)]
    questions += [dict(name=name, cd=cd, ad=ad, opt=None)
                  for cd, ad in itertools.product((0, 1), (0, 1))]
    random.shuffle(questions)
    replies = ask_all(patient, questions)
    assert all(msg and msg.a() == [GOOD] for msg, _ in replies)
    times = [entry.t for entry in server.entries(name)]
    for begin in times:
        overlap = sum(1 for t in times if begin <= t < begin + hold * 0.9)
        assert overlap <= 4, f"{overlap} sends at once"


def test_match_15_resends_count_as_well(book, eager):
    """MATCH-15: resends included, four variants have four sends open.

    U is silent for eight times the resend time.  Whatever larder sent again
    meanwhile took the place of an older send (or was not sent at all): a reply
    to any but the newest send of a variant comes too late.
    """
    name, sends = fresh_name("variant"), collections.defaultdict(list)
    over = threading.Event()

    def finish():
        over.set()
        for ctxs in list(sends.values()):
            for ctx in ctxs[:-1]:
                ctx.send(evil(ctx))
            ctxs[-1].send_later(0.05, good(ctxs[-1]))

    def rule(ctx):
        if over.is_set():       # sent while we were at it
            ctx.send(good(ctx))
            return
        if not sends:
            threading.Timer(0.5, finish).start()
        sends[ctx.msg.opt.do, ctx.msg.cd].append(ctx)
    book[name] = rule
    replies = ask_all(eager, [dict(name=name, cd=cd, opt=Opt(do=do))
                              for cd in (0, 1) for do in (0, 1)])
    assert [msg and msg.a() for msg, _ in replies] == [[GOOD]] * 4
    assert len(sends) <= 4


def test_match_16_flood_of_wrong_ids_leads_to_tcp(server, book, patient):
    """MATCH-16: 50 wrong IDs for one send: asked again by TCP, at once."""
    name = fresh_name("flood")

    def rule(ctx):
        if ctx.proto == "tcp":
            ctx.send(good(ctx))
            return
        for i in range(1, 51):
            ctx.send(evil(ctx, ident=(ctx.msg.id + i) & 0xFFFF))
    book[name] = rule
    (msg, seconds), = ask_all(patient, [name])
    assert msg is not None and msg.a() == [GOOD], msg
    assert seconds < 0.8, f"waited for a timer: {seconds:.3f} s"
    assert [e.proto for e in server.entries(name)] == ["udp", "tcp"]


def test_match_16_a_hit_after_the_flood_is_not_believed(server, book, patient):
    """MATCH-16: once left, UDP is left: the 31st guess comes too late."""
    name = fresh_name("guess")

    def rule(ctx):
        if ctx.proto == "tcp":
            ctx.send_later(0.1, good(ctx))
            return
        for i in range(1, 31):
            ctx.send(evil(ctx, ident=(ctx.msg.id + i) & 0xFFFF))
        ctx.send(evil(ctx))
    book[name] = rule
    msg = ask_one(patient, name)
    assert msg.rcode == NOERROR and msg.a() == [GOOD], msg.a()


def test_match_16_a_few_wrong_ids_change_nothing(server, book, patient):
    """MATCH-16: up to 19 mismatches larder goes on waiting on UDP."""
    name = fresh_name("few")

    def rule(ctx):
        for i in range(1, 20):
            ctx.send(evil(ctx, ident=(ctx.msg.id + i) & 0xFFFF))
        ctx.send_later(DELAY, good(ctx))
    book[name] = rule
    assert ask_one(patient, name).a() == [GOOD]
    assert [e.proto for e in server.entries(name)] == ["udp"]


# --- letter case ----------------------------------------------------------

@pytest.fixture(scope="module")
def mixing(server):
    with Larder([server], conf={"case-mixing": True}) as larder:
        yield larder


@pytest.fixture(scope="module")
def eager_mixing(server):
    """Sends again soon, and then by TCP."""
    with Larder([server], conf={"case-mixing": True,
                                "resend-after": "150ms"}) as larder:
        yield larder


def lettered(prefix="HoSt"):
    """A new name with so many letters that chance never leaves it alone."""
    return fresh_name(f"{prefix}.mAnYlEtTeRsToMiXtOgEtHeR", "eXaMpLe.")


def test_match_17_case_mixing_is_off_at_first(server, patient):
    """MATCH-17: without the setting the letters are the asker's or lower."""
    for _ in range(5):
        name = lettered()
        assert ask_one(patient, name).rcode == NOERROR
        letters = asked(server.entries(name)[0])
        assert letters in (qname(name), qname(name.lower()))


def test_match_17_mixed_case_goes_up_and_not_down(server, mixing):
    """MATCH-17: U sees mixed letters, clients on miss and hit their own."""
    name = lettered()
    upper, lower = name.upper(), name.lower()
    for spelling in (name, upper, lower):
        msg = ask_one(mixing, spelling)
        assert msg.a() == ["192.0.2.1"]
        assert [q.name_wire for q in msg.question] == [qname(spelling)]
        assert [r.name_wire for r in msg.answer] == [qname(spelling)]
    entry, = server.entries(name)
    assert entry.proto == "udp"
    assert asked(entry) not in (qname(name), qname(upper), qname(lower))
    second = lettered()
    ask_one(mixing, second)
    mixes = [[0x20 & octet for octet in asked(server.entries(n)[0])[:30]]
             for n in (name, second)]
    assert mixes[0] != mixes[1], "the same mix twice"


def test_match_17_other_case_waits(server, book, eager_mixing):
    """MATCH-17: a reply in other letters is ignored, the exact one taken.

    U never answers by TCP here, so the answer is the late one by UDP.
    """
    name = lettered()

    def rule(ctx):
        if ctx.proto == "tcp":
            return
        lower = asked(ctx).lower()
        ctx.send(message(ctx.wire, [address(lower, EVIL)],
                         question=lower + b"\0\1\0\1"))
        ctx.send_later(0.08, good(ctx))
    book[name] = rule
    msg = ask_one(eager_mixing, name)
    assert msg.rcode == NOERROR and msg.a() == [GOOD], msg.a()


def test_match_17_then_tcp(server, book, eager_mixing):
    """MATCH-17: U lower-cases on UDP, copies on TCP: TCP's answer is used."""
    name = lettered()

    def rule(ctx):
        if ctx.proto == "tcp":
            ctx.send(good(ctx))
            return
        lower = asked(ctx).lower()
        ctx.send(message(ctx.wire, [address(lower, EVIL)],
                         question=lower + b"\0\1\0\1"))
    book[name] = rule
    msg = ask_one(eager_mixing, name)
    assert msg.rcode == NOERROR and msg.a() == [GOOD], msg.a()
    assert [r.name_wire for r in msg.answer] == [qname(name)]
    before = server.count(name, proto="tcp")
    again = ask_one(eager_mixing, name.upper())
    assert again.a() == [GOOD]
    assert [q.name_wire for q in again.question] == [qname(name.upper())]
    assert server.count(name, proto="tcp") == before >= 1


def test_match_17_mix_does_not_leak_through_compression(server, book, mixing):
    """MATCH-17: U's pointers into the question bring no mixed letters down.

    A CNAME's target and a SRV's end in the question's own labels.  larder
    must expand the latter (NAME-16), so that a leak cannot hide in a pointer.
    """
    name = lettered("wWw")
    parent = qname(name)[4:]
    target = b"\6target\xc0\x10"        # + what follows "www" in the question

    def rule(ctx):
        if ctx.qtype == TYPES["SRV"]:
            ctx.send(message(ctx.wire, [_record(
                b"\xc0\x0c", TYPES["SRV"],
                struct.pack("!3H", 1, 2, 3) + target)]))
            return
        at = 12 + len(asked(ctx)) + 4 + 2 + 10
        ctx.send(message(ctx.wire, [
            _record(b"\xc0\x0c", TYPES["CNAME"], target),
            _record(bytes([0xC0, at]), TYPES["A"], b"\xc0\0\2\x0a")]))
    book[name] = rule
    fine = {b"\6target" + p for p in (parent, parent.lower(), parent.upper())}
    for spelling in (name, name.upper()):
        msg = ask_one(mixing, spelling)
        assert msg.a() == [GOOD]
        alias, end = msg.answer
        assert msg.name_at(alias.rdata_at)[0] in fine
        assert end.name_wire in fine
        service, = ask_one(mixing, spelling, "SRV").answer
        assert service.rdata[:6] == struct.pack("!3H", 1, 2, 3)
        assert service.rdata[6:] in fine, service.rdata
    assert (server.count(name, "A"), server.count(name, "SRV")) == (1, 1)


# --- what of a matching reply is used -------------------------------------

@pytest.mark.parametrize("later", [0, 0.05])
def test_match_18_a_second_reply_changes_nothing(server, book, patient, later):
    """MATCH-18: the first of two answers stays, also in the cache."""
    name = fresh_name("twice")

    def rule(ctx):
        ctx.send(good(ctx))
        if later:
            ctx.send_later(later, evil(ctx))
        else:
            ctx.send(evil(ctx))
    book[name] = rule
    (msg, _), = ask_all(patient, [name])
    assert msg.a() == [GOOD]
    time.sleep(later + 0.05)
    assert ask_one(patient, name).a() == [GOOD]
    assert server.count(name) == 1


def records(msg):
    """(owner, type) of all records of a reply, as lower-case text."""
    return [(r.text.lower(), r.qtype)
            for r in msg.answer + msg.authority + msg.additional]


def test_match_19_strange_answers_are_dropped(server, book, patient):
    """MATCH-19: of the answer only the asked name's records remain."""
    name, bank = fresh_name("mine"), "www." + fresh_name("bank")
    book[name] = lambda ctx: ctx.send(reply(ctx.msg, [
        address(bank, EVIL), address(name), rr(name, "TXT", 300, "stray"),
        address("sub." + name, EVIL), rr(bank, "CNAME", 300, name)
    ])) if ctx.qtype == TYPES["A"] else ctx.default()
    for _ in ("miss", "hit"):
        msg = ask_one(patient, name, opt=Opt())
        assert msg.a() == [GOOD]
        assert records(msg) == [(name, 1)]
    assert ask_one(patient, bank).a() == ["192.0.2.1"]
    assert ask_one(patient, "sub." + name).a() == ["192.0.2.1"]
    assert (server.count(name, "A"), server.count(bank)) == (1, 1)
    assert ask_one(patient, name, "TXT").answer == []
    assert server.count(name, "TXT") == 1


def test_match_19_strange_answers_beside_a_chain(server, book, patient):
    """MATCH-19: the alias chain and its end remain, nothing beside them."""
    name, end, bank = (fresh_name(p) for p in ("alias", "end", "bank"))
    book[name] = lambda ctx: ctx.send(reply(ctx.msg, [
        address(bank, EVIL), rr(name, "CNAME", 300, end),
        rr(end, "TXT", 300, "stray"), address(end),
        rr("x." + bank, "CNAME", 300, end)]))
    for _ in ("miss", "hit"):
        msg = ask_one(patient, name, opt=Opt())
        assert records(msg) == [(name, 5), (end, 1)]
        assert msg.a() == [GOOD]
    assert ask_one(patient, bank).a() == ["192.0.2.1"]
    assert server.count(bank) == 1


def test_match_20_authority_and_glue_answer_nothing(server, book, patient):
    """MATCH-20: NS and addresses beside an answer never become one."""
    zone = fresh_name("victim")
    known, unknown, name = "ns1." + zone, "ns2." + zone, "www." + zone
    assert ask_one(patient, known).a() == ["192.0.2.1"]
    book[name] = lambda ctx: ctx.send(reply(
        ctx.msg, [address(name)],
        [rr(zone, "NS", 86400, unknown), rr(zone, "NS", 86400, known),
         rr("example.", "NS", 86400, unknown)],
        [address(known, EVIL, 86400), address(unknown, EVIL, 86400),
         address(zone, EVIL, 86400)]))
    assert ask_one(patient, name, opt=Opt()).a() == [GOOD]
    for question, qtype in ((zone, "NS"), ("example.", "NS")):
        assert ask_one(patient, question, qtype).answer == []
        assert server.count(question, qtype) == 1, (question, qtype)
    for question in (unknown, zone, known):
        assert ask_one(patient, question).a() == ["192.0.2.1"]
        assert server.count(question, "A") == 1, question
    assert ask_one(patient, name, opt=Opt()).a() == [GOOD]
    assert server.count(name) == 1


def test_match_20_authority_of_nodata_answers_nothing(server, book, patient):
    """MATCH-20: the same beside a negative answer."""
    zone = fresh_name("victim")
    name, host = "none." + zone, "ns3." + zone
    book[name] = lambda ctx: ctx.send(reply(
        ctx.msg, [], [soa(zone), rr(zone, "NS", 86400, host)],
        [address(host, EVIL, 86400)], rcode=NXDOMAIN))
    assert ask_one(patient, name, opt=Opt()).rcode == NXDOMAIN
    assert ask_one(patient, zone, "NS").answer == []
    assert ask_one(patient, host).a() == ["192.0.2.1"]
    assert ask_one(patient, zone, "SOA").rcode == NOERROR
    for question, qtype in ((zone, "NS"), (host, "A"), (zone, "SOA")):
        assert server.count(question, qtype) == 1, (question, qtype)


def test_match_21_additional_records_answer_nothing(server, book, patient):
    """MATCH-21: an address beside an MX does not answer its own question."""
    name, host = fresh_name("mx"), fresh_name("mail")
    book[name] = lambda ctx: ctx.send(reply(
        ctx.msg, [rr(name, "MX", 300, f"10 {host}")], [],
        [address(host, EVIL), rr(host, "AAAA", 300, "2001:db8::66")]))
    msg = ask_one(patient, name, "MX", opt=Opt())
    assert records(msg)[0] == (name, 15) and len(msg.answer) == 1
    assert ask_one(patient, host).a() == ["192.0.2.1"]
    assert server.count(host) == 1
    # Nor do they leave their own answer and enter another one.
    assert EVIL not in ask_one(patient, host).a()


def test_match_22_the_end_of_a_chain_is_not_reused(server, book, patient):
    """MATCH-22: an alias' target asked by its own name goes to U."""
    name, middle, end = (fresh_name(p) for p in ("alias", "middle", "end"))
    book[name] = lambda ctx: ctx.send(reply(ctx.msg, [
        rr(name, "CNAME", 300, middle), rr(middle, "CNAME", 300, end),
        address(end)]))
    assert ask_one(patient, name).a() == [GOOD]
    assert ask_one(patient, end).a() == ["192.0.2.1"]
    assert ask_one(patient, middle).a() == ["192.0.2.1"]
    assert [server.count(n) for n in (name, middle, end)] == [1, 1, 1]


def test_match_23_chains_arrive_in_any_order(server, book, patient):
    """MATCH-23: three aliases and an address, in all 24 orders."""
    expected = {}
    for order in itertools.permutations(range(4)):
        names = [fresh_name("chain") for _ in range(4)]
        chain = [rr(a, "CNAME", 300, b) for a, b in zip(names, names[1:])]
        chain.append(address(names[3]))
        book[names[0]] = lambda ctx, shuffled=[chain[i] for i in order]: (
            ctx.send(reply(ctx.msg, shuffled)))
        expected[names[0]] = [(n, 5) for n in names[:3]] + [(names[3], 1)]
    for _ in ("miss", "hit"):
        for (msg, _), name in zip(ask_all(patient, list(expected), opt=Opt()),
                                  expected):
            assert msg is not None and msg.a() == [GOOD]
            assert [(r.text, r.qtype) for r in msg.answer] == expected[name]
    assert all(server.count(name) == 1 for name in expected)


def dname_reply(ctx, target=None, ttl=300, last=GOOD):
    """x.old yields x.new by `old DNAME new`; target: what U claims instead."""
    name = ctx.name
    label, old = name.split(".", 1)
    new = old.replace("old", "new", 1)
    target = target or f"{label}.{new}"
    return reply(ctx.msg, [rr(old, "DNAME", 300, new),
                           rr(name, "CNAME", ttl, target),
                           address(target, last)])


def check_dname(msg, name):
    label, old = name.split(".", 1)
    new = old.replace("old", "new", 1)
    assert msg.rcode == NOERROR and msg.a() == [GOOD], msg
    aliases = [(r.text, msg.name_at(r.rdata_at)[0]) for r in msg.answer
               if r.qtype == TYPES["CNAME"]]
    assert aliases == [(name, qname(f"{label}.{new}"))]
    assert (old, TYPES["DNAME"]) in records(msg)
    assert msg.answer[-1].text == f"{label}.{new}"


@pytest.mark.parametrize("ttl", [0, 300])
def test_match_24_right_synthesis_is_taken(book, patient, ttl):
    """MATCH-24: the alias a DNAME yields, with TTL 0 or the DNAME's."""
    name = "x." + fresh_name("old")
    book[name] = lambda ctx: ctx.send(dname_reply(ctx, ttl=ttl))
    (msg, seconds), = ask_all(patient, [name], opt=Opt())
    assert msg is not None
    check_dname(msg, name)
    assert seconds < 0.8


def test_match_24_wrong_synthesis_is_malformed(server, book, patient):
    """MATCH-24: an alias the DNAME does not yield: larder waits."""
    targets = {
        "another zone": "bank.example.",
        "another label": "y.{new}",
        "the DNAME's target itself": "{new}",
        "below the old owner": "x.{old}",
        "a label more": "x.x.{new}",
    }
    names = {what: "x." + fresh_name("old") for what in targets}
    for what, target in targets.items():
        old = names[what].split(".", 1)[1]
        forged = target.format(old=old, new=old.replace("old", "new", 1))
        if forged == names[what]:
            forged = "z." + old

        def rule(ctx, forged=forged):
            ctx.send(dname_reply(ctx, target=forged, last=EVIL))
            ctx.send_later(DELAY, dname_reply(ctx))
        book[names[what]] = rule
    replies = ask_all(patient, list(names.values()), opt=Opt())
    for (what, name), (msg, seconds) in zip(names.items(), replies):
        assert msg is not None, what
        check_dname(msg, name)
        assert seconds > DELAY * 0.9, what
        assert server.count(name) == 1, what


def chain_rule(book, links, loop=None):
    """A name that leads over so many aliases; loop: back to that one."""
    names = [fresh_name("link") for _ in range(links + 1)]
    answer = [rr(a, "CNAME", 300, b) for a, b in zip(names, names[1:])]
    if loop is None:
        answer.append(address(names[-1]))
    else:
        answer[-1] = rr(names[-2], "CNAME", 300, names[loop])
    book[names[0]] = lambda ctx: ctx.send(reply(ctx.msg, answer))
    return names[0]


def test_match_25_loops_and_long_chains(server, book, patient):
    """MATCH-25: loops and 13 aliases are SERVFAIL, once, and held."""
    bad = {"to itself": chain_rule(book, 1, loop=0),
           "a to b to a": chain_rule(book, 2, loop=0),
           "a to b to c to b": chain_rule(book, 3, loop=1),
           "13 links": chain_rule(book, 13)}
    replies = ask_all(patient, list(bad.values()), opt=Opt())
    for what, (msg, _) in zip(bad, replies):
        assert msg is not None and msg.rcode == SERVFAIL, (what, msg)
        assert msg.answer == [], what
    before = {what: server.count(name) for what, name in bad.items()}
    again = ask_all(patient, list(bad.values()), opt=Opt())
    for what, (msg, seconds) in zip(bad, again):
        assert msg is not None and msg.rcode == SERVFAIL, (what, msg)
        assert seconds < 2, (what, seconds)
    assert {what: server.count(n) for what, n in bad.items()} == before
    patient.alive()


def test_match_25_chains_of_12_are_answered(server, book, patient):
    """MATCH-25: up to 12 aliases are an answer like any other."""
    for links in (1, 11, 12):
        name = chain_rule(book, links)
        for _ in ("miss", "hit"):
            msg = ask_one(patient, name, opt=Opt())
            assert msg.rcode == NOERROR and msg.a() == [GOOD], (links, msg)
            assert len(msg.answer) == links + 1
        assert server.count(name) == 1


QUESTION_ONLY = {"OPT": b"", "TSIG": qname("hmac-sha256.") + b"\0" * 16,
                 "IXFR": b"", "AXFR": b"", "MAILB": b"", "MAILA": b"",
                 "ANY": b"\0"}


def test_match_26_types_that_are_no_data(server, book, patient):
    """MATCH-26: OPT, TSIG, question-only types as data: malformed, waits."""
    def forge(qtype, section, owner):
        def send(ctx):
            at = qname(".") if owner == "root" else asked(ctx)
            record = _record(at, TYPES[qtype], QUESTION_ONLY[qtype], ttl=0,
                             cls=1232 if qtype == "OPT" else 1)
            answer, authority = [address(asked(ctx), EVIL)], []
            (answer if section == "answer" else authority).append(record)
            ctx.send(message(ctx.wire, answer, authority))
        return send

    check_waits(server, book, patient, {
        f"{qtype} of the {owner} in {section}": forge(qtype, section, owner)
        for qtype in QUESTION_ONLY for section in ("answer", "authority")
        for owner in ("name", "root")})


def test_match_26_other_classes_are_dropped(server, book, patient):
    """MATCH-26: records of a class other than IN do not reach C."""
    for cls in (3, 4, 254, 255, 0, 257):
        name, end = fresh_name("class"), fresh_name("end")
        book[name] = lambda ctx, cls=cls, name=name, end=end: ctx.send(reply(
            ctx.msg, [address(name, EVIL, cls=cls),
                      rr(name, "CNAME", 300, "evil.example.", cls=cls),
                      rr(name, "CNAME", 300, end), address(end),
                      address(end, EVIL, cls=cls)],
            [rr("example.", "NS", 300, "ns.example.", cls=cls)],
            [address("ns.example.", EVIL, cls=cls)]))
        for _ in ("miss", "hit"):
            msg = ask_one(patient, name, opt=Opt())
            assert msg.rcode == NOERROR and msg.a() == [GOOD], (cls, msg)
            assert records(msg)[:2] == [(name, 5), (end, 1)], cls
            assert len(msg.answer) == 2, cls
            assert all(r.cls == 1 for r in
                       msg.answer + msg.authority + msg.additional), cls
        assert server.count(name) == 1


def test_match_27_doubled_records_are_sent_once(server, book, patient):
    """MATCH-27: an A four times, and an alias twice, reach C once."""
    name, alias, end = (fresh_name(p) for p in ("four", "alias", "end"))
    book[name] = lambda ctx: ctx.send(reply(ctx.msg, [
        address(name), address(name), address(name, "192.0.2.11"),
        address(name), address(name)]))
    book[alias] = lambda ctx: ctx.send(reply(ctx.msg, [
        rr(alias, "CNAME", 300, end), address(end),
        rr(alias, "CNAME", 300, end), address(end)]))
    for _ in ("miss", "hit"):
        assert sorted(ask_one(patient, name).a()) == [GOOD, "192.0.2.11"]
        assert records(ask_one(patient, alias)) == [(alias, 5), (end, 1)]
    assert (server.count(name), server.count(alias)) == (1, 1)


def test_match_27_doubled_records_with_unequal_ttls(book, patient):
    """MATCH-27: the same record under two TTLs is still one (CACHE-04)."""
    name = fresh_name("ttls")
    book[name] = lambda ctx: ctx.send(reply(ctx.msg, [
        address(name, ttl=300), address(name, ttl=30)]))
    msg = ask_one(patient, name)
    assert msg.a() == [GOOD]
    assert msg.answer[0].ttl == 30


# --- unreachable ports ----------------------------------------------------

def test_match_28_unreachable_is_a_failed_try(server):
    """MATCH-28: a closed port costs no waiting while another server lives."""
    with Larder([f"127.0.0.1:{free_port()}", server],
                conf={"resend-after": "1s"}) as larder:
        for _ in range(10):
            name = fresh_name("icmp")
            (msg, seconds), = ask_all(larder, [name])
            assert msg is not None and msg.a() == ["192.0.2.1"]
            assert seconds < 0.8, f"waited for a timer: {seconds:.3f} s"
            assert server.count(name) == 1


def test_match_28_unreachable_ends_nothing():
    """MATCH-28: a question outlives one closed port and is sent again."""
    port = free_port()
    with Larder([f"127.0.0.1:{port}"],
                conf={"resend-after": "100ms"}) as larder:
        with larder.udp_socket() as sock:
            sock.settimeout(6)
            sock.send(query(fresh_name("icmp"), id=28))
            time.sleep(0.15)
            with Upstream(port=port):
                msg = parse(sock.recv(4096))
                assert (msg.id, msg.rcode) == (28, NOERROR), msg
                assert msg.a() == ["192.0.2.1"]
                (msg, seconds), = ask_all(larder, [fresh_name("icmp")])
                assert msg is not None and msg.a() == ["192.0.2.1"]
                assert seconds < 2
