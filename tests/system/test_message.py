"""Taking in a client message: conformance section 2, rows HDR-01 to HDR-25.

All octets are made by hand; one larderd serves the whole file.
"""

import os
import random
import select
import socket
import struct
import subprocess
import threading
import time

import pytest

import harness
from harness import (FORMERR, NOERROR, NOTIMP, REFUSED, SERVFAIL, Larder, Opt,
                     Upstream, check_error, check_quiet, fresh_name, parse,
                     qname, query, reply, rr, soa)

SILENCE = 0.3
OPT = Opt()


def header(qd=0, an=0, ns=0, ar=0, *, opcode=0, id=None, rd=1, qr=0):
    id = random.getrandbits(16) if id is None else id
    return struct.pack("!6H", id, qr << 15 | opcode << 11 | rd << 8,
                       qd, an, ns, ar)


def question(name, qtype=1, qclass=1):
    return qname(name) + struct.pack("!HH", qtype, qclass)


def with_counts(wire, qd=1, an=0, ns=0, ar=0):
    """The same message with other counts in its header."""
    return wire[:4] + struct.pack("!4H", qd, an, ns, ar) + wire[12:]


def refused_by_class(**kw):
    """A query that is REFUSED whatever the name (NAME-17)."""
    return query(fresh_name(), qclass=4, **kw)


def servfail(ctx):
    ctx.send(reply(ctx.wire, rcode=SERVFAIL))


def ask_raw(larder, wire, proto):
    if proto == "udp":
        return larder.udp(wire)
    with larder.tcp() as conn:
        conn.send(wire)
        msg = conn.recv()
    if msg is not None and msg.rcode:
        harness.exchanges.append((wire, msg))
    return msg


def hear_nothing(sock, seconds=SILENCE):
    sock.settimeout(seconds)
    with pytest.raises(TimeoutError):
        octets = sock.recv(65535)
        pytest.fail(f"a reply where silence is due: {octets.hex()}")


# --- what is no query at all ------------------------------------------------

def test_hdr_01_under_twelve_octets(larder, upstream):
    """HDR-01: 0 to 11 octets get silence and nothing goes upstream."""
    whole = query(fresh_name())
    with larder.udp_socket() as sock:
        for n in range(12):
            sock.send(whole[:n])
            sock.send(b"\xff" * n)
        hear_nothing(sock)
    check_quiet(larder, upstream)


def responses():
    name = fresh_name()
    good = reply(query(name), [rr(name, "A", 300, "192.0.2.66")])
    return [good, reply(query(name, "SOA"), opcode=5),
            reply(query(name), rcode=FORMERR), header(qr=1)]


def test_hdr_02_responses_over_udp(larder, upstream):
    """HDR-02: messages with QR=1 get no reply and are not forwarded."""
    with larder.udp_socket() as sock:
        for wire in responses():
            sock.send(wire)
        hear_nothing(sock)
    check_quiet(larder, upstream)


def test_hdr_02_nothing_of_a_response_is_kept(larder, upstream):
    """HDR-02: the data of a response sent to the listener answers nobody."""
    name = fresh_name()
    with larder.udp_socket() as sock:
        sock.send(reply(query(name), [rr(name, "A", 300, "192.0.2.66")]))
    assert larder.ask(name).a() == ["192.0.2.1"]
    assert upstream.count(name) == 1


def test_hdr_02_responses_over_tcp(larder, upstream):
    """HDR-02: over TCP a response gets but the end of the connection."""
    for wire in responses():
        with larder.tcp() as conn:
            conn.send(wire)
            assert conn.recv(2) is None
            assert conn.is_closed(0.1)
    check_quiet(larder, upstream)


# --- opcodes ----------------------------------------------------------------

@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("rd", [0, 1])
def test_hdr_03_other_opcodes(larder, upstream, proto, rd):
    """HDR-03: opcodes 1..15 get NOTIMP with all counts 0."""
    for opcode in range(1, 16):
        wire = query(fresh_name(), "SOA", opcode=opcode, rd=rd)
        msg = ask_raw(larder, wire, proto)
        check_error(wire, msg, NOTIMP)
        assert msg.counts == (0, 0, 0, 0), msg
        assert len(msg.wire) == 12
    check_quiet(larder, upstream)


def test_hdr_03_update_with_records(larder, upstream):
    """HDR-03: a full UPDATE message is no exception."""
    wire = with_counts(query("example.", "SOA", opcode=5)
                       + rr(fresh_name(), "A", 60, "192.0.2.5"), 1, 0, 1)
    msg = larder.udp(wire)
    check_error(wire, msg, NOTIMP)
    assert msg.counts == (0, 0, 0, 0)
    check_quiet(larder, upstream)


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_hdr_04_opcode_before_body(larder, upstream, proto):
    """HDR-04: opcode 9 and random octets give NOTIMP, not FORMERR."""
    seed = random.getrandbits(32)
    print("seed", seed)
    dice = random.Random(seed)
    bodies = [b""] + [dice.randbytes(dice.randrange(1, 300))
                      for _ in range(20)]
    for body in bodies:
        counts = [dice.choice((0, 1, 2, 65535)) for _ in range(4)]
        for wire in (header(1, opcode=9) + body,
                     header(*counts, opcode=9) + body):
            msg = ask_raw(larder, wire, proto)
            assert msg is not None, f"silence for {wire.hex()}"
            assert (msg.id, msg.qr, msg.rcode, msg.opcode, msg.rd, msg.ra) == (
                struct.unpack("!H", wire[:2])[0], 1, NOTIMP, 9, 1, 1), msg
            assert msg.counts[:3] == (0, 0, 0), msg
    check_quiet(larder, upstream)


# --- the question count -----------------------------------------------------

@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("count", [2, 65535])
@pytest.mark.parametrize("bodies", [0, 1, 2])
@pytest.mark.parametrize("opt", [None, OPT])
def test_hdr_05_two_questions(larder, upstream, proto, count, bodies, opt):
    """HDR-05: more than one question gives FORMERR, whatever is there."""
    body = b"".join(question(fresh_name()) for _ in range(bodies))
    wire = (header(count, ar=1 if opt else 0) + body
            + (opt.pack() if opt else b""))
    check_error(wire, ask_raw(larder, wire, proto), FORMERR)
    check_quiet(larder, upstream)


def test_hdr_05_the_same_question_twice(larder, upstream):
    """HDR-05: two equal questions are two questions."""
    one = question(fresh_name())
    for wire in (header(2) + one + one,
                 header(2) + one + b"\xc0\x0c\0\1\0\1",
                 header(700) + one * 700):
        proto = "udp" if len(wire) < 4000 else "tcp"
        check_error(wire, ask_raw(larder, wire, proto), FORMERR)
    check_quiet(larder, upstream)


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("opt", [
    None, OPT, Opt(options=[(10, b"12345678")])],
    ids=["bare", "opt", "cookie"])
def test_hdr_06_no_question(larder, upstream, proto, opt):
    """HDR-06: no question gives FORMERR; a cookie is no excuse, being off."""
    wire = header(0, ar=1 if opt else 0) + (opt.pack() if opt else b"")
    check_error(wire, ask_raw(larder, wire, proto), FORMERR)
    check_quiet(larder, upstream)


# --- messages cut short -----------------------------------------------------

@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_hdr_07_cut_question(larder, upstream, proto):
    """HDR-07: a query cut at any octet from 12 on gives FORMERR, ID copied."""
    whole = query(fresh_name(zone="cut.example."), rd=1)
    for n in range(12, len(whole)):
        wire = struct.pack("!H", random.getrandbits(16)) + whole[2:n]
        check_error(wire, ask_raw(larder, wire, proto), FORMERR)
    assert ask_raw(larder, whole, proto).rcode == NOERROR
    larder.alive()


def test_hdr_07_cut_opt(larder, upstream):
    """HDR-07: the same for a query with OPT, cut inside the OPT (HDR-09)."""
    name = fresh_name()
    whole = query(name, opt=Opt(options=[(65001, b"abcd")]))
    for n in range(12, len(whole)):
        check_error(whole[:n], larder.udp(whole[:n]), FORMERR)
    check_quiet(larder, upstream, name=name)


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("opt", [None, OPT])
@pytest.mark.parametrize("section", ["answer", "authority", "both"])
def test_hdr_08_records_in_a_query(larder, upstream, proto, opt, section):
    """HDR-08: answer or authority records in a query give FORMERR."""
    name = fresh_name()
    record = rr(name, "A", 300, "192.0.2.66")
    an, ns = section != "authority", section != "answer"
    wire = (header(1, an, ns, 1 if opt else 0) + question(name)
            + record * (an + ns) + (opt.pack() if opt else b""))
    check_error(wire, ask_raw(larder, wire, proto), FORMERR)
    check_quiet(larder, upstream)


def test_hdr_08_leaves_no_trace(larder, upstream):
    """HDR-08: such records do not answer a later question."""
    name = fresh_name()
    wire = with_counts(query(name) + rr(name, "A", 300, "192.0.2.66"), 1, 1)
    check_error(wire, larder.udp(wire), FORMERR)
    assert larder.ask(name).a() == ["192.0.2.1"]


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("counts", [
    (1, 0, 0, 1), (1, 0, 0, 65535), (1, 1, 0, 0), (1, 0, 1, 0),
    (1, 65535, 65535, 65535)], ids=str)
def test_hdr_09_promised_records(larder, upstream, proto, counts):
    """HDR-09: counts that promise more than is there give FORMERR."""
    wire = header(*counts) + question(fresh_name())
    check_error(wire, ask_raw(larder, wire, proto), FORMERR)
    check_quiet(larder, upstream)


def test_hdr_09_one_of_two_additional(larder, upstream):
    """HDR-09: one good record does not make up for a second missing one."""
    for first in (rr(fresh_name(), "A", 60, "192.0.2.9"), OPT.pack()):
        wire = header(1, ar=2) + question(fresh_name()) + first
        msg = larder.udp(wire)
        check_error(wire, msg, FORMERR)
    check_quiet(larder, upstream)


@pytest.mark.parametrize("cut", range(1, 15))
def test_hdr_09_cut_additional_record(larder, upstream, cut):
    """HDR-09: an additional record that ends early gives FORMERR."""
    wire = header(1, ar=1) + question(fresh_name()) + rr(
        ".", "A", 60, "192.0.2.9")[:-cut]
    check_error(wire, larder.udp(wire), FORMERR)
    check_quiet(larder, upstream)


# --- octets after the end ---------------------------------------------------

TAIL = b"tail-octets-" * 4


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("opt", [None, OPT])
def test_hdr_10_trailing_octets_of_a_query(larder, upstream, proto, opt):
    """HDR-10: 40 octets after a query are ignored and not forwarded."""
    name = fresh_name()
    wire = query(name, opt=opt) + TAIL[:40]
    for _ in ("miss", "hit"):
        msg = ask_raw(larder, wire, proto)      # harness: nothing follows it
        assert msg.rcode == NOERROR and msg.a() == ["192.0.2.1"], msg
        assert b"tail-octets" not in msg.wire
    entry, = upstream.wait(1, name=name)
    assert b"tail-octets" not in entry.wire and not entry.msg.trailing
    assert upstream.count(name) == 1


def test_hdr_10_trailing_octets_of_a_reply(larder, upstream):
    """HDR-10: octets after U's reply reach neither C nor the cache."""
    def script(ctx):
        if ctx.msg and ctx.name == name:
            if ctx.qtype == 16 and ctx.proto == "udp":
                ctx.send(reply(ctx.wire, tc=1) + TAIL)
            else:
                ctx.send(reply(ctx.wire, [rr(name, ctx.qtype, 300,
                                             data[ctx.qtype])]) + TAIL)
        else:
            ctx.default()

    name = fresh_name()
    data = {1: bytes([192, 0, 2, 10]), 16: b"\4text"}
    upstream.handler = script
    for qtype in (1, 16):
        for _ in ("miss", "hit"):
            for msg in (larder.ask(name, qtype), larder.ask_tcp(name, qtype)):
                assert [r.rdata for r in msg.answer] == [data[qtype]], msg
                assert b"tail-octets" not in msg.wire
    assert upstream.count(name, 1) == 1
    assert upstream.count(name, 16, "tcp") == 1


# --- header bits ------------------------------------------------------------

def test_hdr_11_reserved_bit(larder, upstream):
    """HDR-11: the Z bit is ignored, and 0 in the reply and upstream."""
    name = fresh_name()
    for _ in ("miss", "hit"):
        msg = larder.ask(name, z=1)
        assert msg.rcode == NOERROR and msg.a() == ["192.0.2.1"] and msg.z == 0
    entry, = upstream.wait(1, name=name)
    assert entry.msg.z == 0
    for wire in (query(fresh_name(), opcode=3, z=1), refused_by_class(z=1)):
        assert larder.udp(wire).z == 0


def test_hdr_11_reserved_bit_from_upstream(larder, upstream):
    """HDR-11: Z set by the upstream does not reach the client."""
    def script(ctx):
        wire = bytearray(reply(ctx.wire, [rr(name, "A", 300, "192.0.2.11")]))
        wire[3] |= 0x40
        ctx.send(bytes(wire))

    name = fresh_name()
    upstream.handler = script
    for _ in ("miss", "hit"):
        msg = larder.ask(name)
        assert msg.a() == ["192.0.2.11"] and msg.z == 0, msg


@pytest.mark.parametrize("bits", [
    dict(aa=1), dict(tc=1), dict(ra=1), dict(rcode=5), dict(rcode=15),
    dict(aa=1, tc=1, ra=1, rcode=3)], ids=str)
def test_hdr_12_bits_without_meaning(larder, upstream, bits):
    """HDR-12: AA, TC, RA and RCODE of a query are ignored, go no further."""
    name = fresh_name()
    for _ in ("miss", "hit"):
        msg = larder.ask(name, **bits)
        assert msg is not None and msg.rcode == NOERROR, msg
        assert msg.a() == ["192.0.2.1"] and (msg.aa, msg.tc) == (0, 0), msg
    entry, = upstream.wait(1, name=name)
    sent = entry.msg
    assert (sent.qr, sent.opcode, sent.aa, sent.tc, sent.ra, sent.z,
            sent.rcode) == (0, 0, 0, 0, 0, 0, 0), sent


IDS = [0, 1, 65535]


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize("rd", [0, 1])
class TestHdr13:
    """HDR-13: ID and RD are copied, RA=1 in every reply."""

    def test_hdr_13_answers(self, larder, upstream, proto, id, rd):
        """HDR-13: on answers, miss and hit (RD=0 may be refused: FLAG-01)."""
        name = fresh_name()
        for _ in ("miss", "hit"):
            msg = ask_raw(larder, query(name, id=id, rd=rd), proto)
            assert (msg.id, msg.qr, msg.rd, msg.ra) == (id, 1, rd, 1), msg
            if rd:
                assert msg.rcode == NOERROR and msg.a() == ["192.0.2.1"]
            else:
                assert msg.rcode in (NOERROR, REFUSED), msg

    def test_hdr_13_own_errors(self, larder, upstream, proto, id, rd):
        """HDR-13: on FORMERR, NOTIMP and REFUSED."""
        for wire, rcode in (
                (header(1, id=id, rd=rd) + b"\3ab", FORMERR),
                (query(fresh_name(), 128, id=id, rd=rd), FORMERR),
                (query(fresh_name(), opcode=2, id=id, rd=rd), NOTIMP),
                (refused_by_class(id=id, rd=rd), REFUSED)):
            check_error(wire, ask_raw(larder, wire, proto), rcode)

    def test_hdr_13_servfail(self, larder, upstream, proto, id, rd):
        """HDR-13: on SERVFAIL, new and held (RD=0 may be refused: FLAG-01)."""
        upstream.handler = servfail
        name = fresh_name()
        for _ in ("miss", "held"):
            wire = query(name, id=id, rd=rd)
            msg = ask_raw(larder, wire, proto)
            assert msg is not None
            assert msg.rcode == SERVFAIL or (rd == 0 and msg.rcode == REFUSED)
            check_error(wire, msg, msg.rcode)


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("cd", [0, 1])
def test_hdr_14_checking_disabled(larder, upstream, proto, cd):
    """HDR-14: CD is copied on miss, hit and error."""
    name = fresh_name()
    for _ in ("miss", "hit"):
        msg = ask_raw(larder, query(name, cd=cd), proto)
        assert msg.a() == ["192.0.2.1"] and msg.cd == cd, msg
    # The bit comes from this query, not from the one that filled the cache.
    msg = ask_raw(larder, query(name, cd=1 - cd), proto)
    assert msg.a() == ["192.0.2.1"] and msg.cd == 1 - cd, msg
    for wire, rcode in ((query(fresh_name(), 128, cd=cd), FORMERR),
                        (header(2) + question(fresh_name()), FORMERR),
                        (refused_by_class(cd=cd), REFUSED)):
        check_error(wire, ask_raw(larder, wire, proto), rcode)
    upstream.handler = servfail
    name = fresh_name()
    for _ in ("miss", "held"):
        wire = query(name, cd=cd)
        check_error(wire, ask_raw(larder, wire, proto), SERVFAIL)


# --- the question comes back ------------------------------------------------

@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("opt", [None, OPT])
def test_hdr_15_question_in_the_askers_case(larder, upstream, proto, opt):
    """HDR-15: the question comes back octet for octet, in the same case."""
    name = fresh_name("wWw", zone="ExAmPlE.")
    for form in (name, name.swapcase(), name.lower(), name.upper(), name):
        msg = ask_raw(larder, query(form, opt=opt), proto)
        assert msg.a() == ["192.0.2.1"]
        assert msg.wire[12:].startswith(question(form)), (form, msg)
        assert msg.counts[0] == 1
        assert msg.answer[0].name.lower() == qname(form).lower()
    # The same for errors whose question could be read.
    name = fresh_name("wWw", zone="ExAmPlE.")
    tsig = with_counts(query(name) + TSIG, 1, 0, 0, 1)
    record = with_counts(query(name) + rr(name, "A", 1, "192.0.2.1"), 1, 1)
    for wire in (query(name, 128, opt=opt), query(name, "AXFR", opt=opt),
                 query(name, 253, opt=opt), query(name, qclass=4, opt=opt),
                 tsig, record):
        msg = ask_raw(larder, wire, proto)
        assert msg.rcode in (FORMERR, REFUSED, NOTIMP), msg
        check_error(wire, msg, msg.rcode)
        assert msg.wire[12:].startswith(parse(wire).question[0].pack())
    upstream.handler = servfail
    for form in (name, name.swapcase()):
        wire = query(form, opt=opt)
        check_error(wire, ask_raw(larder, wire, proto), SERVFAIL)


def test_hdr_15_nxdomain_and_nodata(larder, upstream):
    """HDR-15: negative answers keep the asker's case too, hit and miss."""
    upstream.handler = lambda ctx: ctx.send(
        reply(ctx.wire, authority=[soa("example.")],
              rcode=3 if ctx.qtype == 1 else 0))
    for qtype, rcode in (("A", 3), ("MX", 0)):
        name = fresh_name("wWw", zone="ExAmPlE.")
        for form in (name, name.swapcase()):
            msg = larder.ask(form, qtype)
            assert msg.rcode == rcode and msg.authority
            assert msg.question[0].name_wire == qname(form)
        assert upstream.count(name) == 1


# --- where a reply leaves from ----------------------------------------------

def check_sources(larder, addresses):
    """Each address answers from itself and its port: miss, hit and error."""
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        name = fresh_name()
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(2)
            for wire in (query(name), query(name), refused_by_class(),
                         header(2), query(name, opcode=4)):
                sock.sendto(wire, (address, larder.port))
                got, source = sock.recvfrom(65535)
                assert source[:2] == (address, larder.port), (address, source)
                assert got[:2] == wire[:2]
        with larder.tcp(to=address) as conn:
            conn.send(query(name))
            assert conn.recv().a() == ["192.0.2.1"]


def test_hdr_16_wildcard_on_loopback(upstream):
    """HDR-16: bound to all addresses, 127.0.0.1, 127.0.0.2 and ::1 answer
    from themselves."""
    with Larder([upstream],
                listen=["0.0.0.0:{port}", "[::]:{port}"]) as larder:
        addresses = ["127.0.0.1", "127.0.0.2", "127.9.8.7"]
        if socket.has_ipv6 and os.path.exists("/proc/net/if_inet6"):
            addresses.append("::1")
        check_sources(larder, addresses)


def test_hdr_16_bound_to_single_addresses(upstream):
    """HDR-16: listeners of their own on two addresses, one port."""
    with Larder([upstream], listen=["127.0.0.1:{port}",
                                    "127.0.0.2:{port}"]) as larder:
        check_sources(larder, ["127.0.0.1", "127.0.0.2"])


def test_hdr_16_second_interface_address():
    """HDR-16: the same for addresses of an interface, both families."""
    if os.geteuid() != 0:
        pytest.skip("a network namespace needs root")

    def body():
        def ip(*words):
            subprocess.run(["ip", *words], check=True, capture_output=True)

        ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
        ip("addr", "add", "10.77.0.1/24", "dev", "v0")
        ip("addr", "add", "10.77.0.2/24", "dev", "v0")
        ip("addr", "add", "fd00:77::1/64", "dev", "v0", "nodad")
        ip("addr", "add", "fd00:77::2/64", "dev", "v0", "nodad")
        ip("link", "set", "v0", "up")
        ip("link", "set", "v1", "up")
        with Upstream() as upstream, Larder(
                [upstream], listen=["0.0.0.0:{port}", "[::]:{port}"],
                conf={"allow": ["127.0.0.0/8", "::1", "10.77.0.0/24",
                                "fd00:77::/64"]}) as larder:
            check_sources(larder, ["127.0.0.1", "10.77.0.1", "10.77.0.2",
                                   "127.0.0.2", "fd00:77::1", "fd00:77::2",
                                   "::1"])

    try:
        harness.in_netns(body)
    except PermissionError as error:
        pytest.skip(f"no network namespace: {error}")


def test_hdr_17_reply_on_its_own_transport(larder, upstream):
    """HDR-17: one question over UDP and two connections at once: each reply
    comes back where its query came from."""
    name = fresh_name()
    upstream.handler = lambda ctx: ctx.send_later(
        0.1, reply(ctx.wire, [rr(name, "A", 300, "192.0.2.17")]))
    for _ in ("miss", "hit"):
        with (larder.udp_socket() as sock, larder.tcp() as one,
              larder.tcp() as two):
            sock.send(query(name, id=1))
            one.send(query(name, id=2))
            two.send(query(name, id=3))
            sock.settimeout(2)
            by_udp = parse(sock.recv(65535))
            for msg, id in ((by_udp, 1), (one.recv(), 2), (two.recv(), 3)):
                assert msg is not None and msg.id == id, msg
                assert msg.a() == ["192.0.2.17"], msg
            # One each, and no second one anywhere.
            hear_nothing(sock, 0.1)
            assert one.recv(0.05) is None and two.recv(0.05) is None
    assert upstream.count(name) == 1


def udp_from_port(raw, wire, sport, dport):
    """A UDP datagram built by hand; the kernel would not let port 0 out."""
    raw.sendto(struct.pack("!4H", sport, dport, 8 + len(wire), 0) + wire,
               ("127.0.0.1", 0))


def hear_raw(raw, sport, dport, seconds):
    """Payload of the next datagram between these ports, or None."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if not select.select([raw], [], [], left)[0]:
            break
        packet = raw.recv(65535)
        datagram = packet[(packet[0] & 15) * 4:]
        if struct.unpack("!HH", datagram[:4]) == (sport, dport):
            return datagram[8:]
    return None


def test_hdr_18_source_port_zero():
    """HDR-18: a datagram from port 0 is dropped: no reply, nothing sent on."""
    if os.geteuid() != 0:
        pytest.skip("a raw socket needs root")

    def body():
        cached, new = fresh_name(), fresh_name()
        with (Upstream() as upstream, Larder([upstream]) as larder,
              socket.socket(socket.AF_INET, socket.SOCK_RAW,
                            socket.IPPROTO_UDP) as raw,
              socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder):
            assert larder.ask(cached).a()
            # The same way from an ordinary port works, so silence means
            # something.
            holder.bind(("127.0.0.1", 0))
            port = holder.getsockname()[1]
            udp_from_port(raw, query(cached), port, larder.port)
            heard = hear_raw(raw, larder.port, port, 2)
            assert heard and parse(heard).a() == ["192.0.2.1"]
            for wire in (query(cached), query(new), header(2),
                         header(opcode=5)):
                udp_from_port(raw, wire, 0, larder.port)
            assert hear_raw(raw, larder.port, 0, SILENCE) is None
            check_quiet(larder, upstream, name=new)

    # Raw sockets hear all there is, so only this test's traffic may be there.
    try:
        harness.in_netns(body)
    except PermissionError as error:
        pytest.skip(f"no network namespace or raw socket: {error}")


def test_hdr_19_exact_repeat(larder, upstream):
    """HDR-19: repeats of a question in progress join it: one send, one reply.
    (larder's own first resend comes after the answer here.)"""
    name = fresh_name()
    with (Upstream() as slow,
          Larder([slow], conf={"resend-after": "1s"}) as own):
        slow.handler = lambda ctx: ctx.send_later(
            0.5, reply(ctx.wire, [rr(name, "A", 300, "192.0.2.19")]))
        wire = query(name)
        with own.udp_socket() as sock:
            for _ in range(6):
                sock.send(wire)
                time.sleep(0.02)
            sock.settimeout(2)
            assert parse(sock.recv(65535)).a() == ["192.0.2.19"]
            hear_nothing(sock)
            assert slow.count(name) == 1
            # Over and done: the same octets are a new question, now a hit.
            sock.send(wire)
            sock.settimeout(2)
            assert parse(sock.recv(65535)).a() == ["192.0.2.19"]
        assert slow.count(name) == 1


def test_hdr_19_other_id_or_port_is_no_repeat(larder, upstream):
    """HDR-19: another ID or another port is another asker, a reply each."""
    name = fresh_name()
    upstream.handler = lambda ctx: ctx.send_later(
        0.1, reply(ctx.wire, [rr(name, "A", 300, "192.0.2.19")]))
    with larder.udp_socket() as one, larder.udp_socket() as two:
        one.send(query(name, id=5))
        one.send(query(name, id=6))
        two.send(query(name, id=5))
        for sock, ids in ((one, {5, 6}), (two, {5})):
            sock.settimeout(2)
            assert {parse(sock.recv(512)).id for _ in ids} == ids
    assert upstream.count(name) == 1


# --- types that are never asked of an upstream ------------------------------

@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("opt", [None, OPT])
@pytest.mark.parametrize("qtype", ["AXFR", "IXFR"])
def test_hdr_21_transfers(larder, upstream, proto, opt, qtype):
    """HDR-21: AXFR and IXFR are REFUSED and never sent on."""
    wire = query(fresh_name(), qtype, opt=opt)
    check_error(wire, ask_raw(larder, wire, proto), REFUSED)
    check_quiet(larder, upstream)


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_hdr_21_ixfr_with_its_soa(larder, upstream, proto):
    """HDR-21: an IXFR as servers send it, with a SOA in authority, goes no
    further either (HDR-08 makes it FORMERR; both keep it from U)."""
    wire = with_counts(query("example.", "IXFR") + soa("example."), 1, 0, 1)
    msg = ask_raw(larder, wire, proto)
    assert msg is not None and msg.rcode in (REFUSED, FORMERR), msg
    check_error(wire, msg, msg.rcode)
    check_quiet(larder, upstream)


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("opt", [None, OPT, Opt(do=1)],
                         ids=["bare", "opt", "do"])
def test_hdr_22_nxname(larder, upstream, proto, opt):
    """HDR-22: QTYPE 128 gives FORMERR, with EDE 30 where there is EDNS."""
    wire = query(fresh_name(), 128, opt=opt)
    check_error(wire, ask_raw(larder, wire, proto), FORMERR, ede=30)
    check_quiet(larder, upstream)


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("opt", [None, OPT])
@pytest.mark.parametrize("qtype, rcode", [
    (0, FORMERR), (41, FORMERR), (249, FORMERR), (250, FORMERR),
    (253, NOTIMP), (254, NOTIMP)])
def test_hdr_23_meta_types(larder, upstream, proto, opt, qtype, rcode):
    """HDR-23: types that are no question get FORMERR or NOTIMP."""
    wire = query(fresh_name(), qtype, opt=opt)
    check_error(wire, ask_raw(larder, wire, proto), rcode)
    check_quiet(larder, upstream)


@pytest.mark.parametrize("qtype", [40, 42, 127, 129, 130, 200, 248, 256,
                                   65534])
def test_hdr_23_unknown_types_are_ordinary(larder, upstream, qtype):
    """HDR-23: unknown types are forwarded, answered and kept."""
    name, data = fresh_name(), os.urandom(20)
    upstream.handler = lambda ctx: ctx.send(
        reply(ctx.wire, [rr(name, qtype, 300, data)]))
    for _ in ("miss", "hit"):
        msg = larder.ask(name, qtype)
        assert [(r.qtype, r.rdata) for r in msg.answer] == [(qtype, data)], msg
    assert upstream.count(name, qtype) == 1


# --- size and signatures ----------------------------------------------------

@pytest.mark.parametrize("size", [513, 1233, 1400, 4000, 4096])
def test_hdr_24_large_udp_query(larder, upstream, size):
    """HDR-24: UDP queries up to 4096 octets are read whole."""
    name = fresh_name()
    bare = len(query(name, opt=Opt(options=[(12, b"")])))
    for _ in ("miss", "hit"):
        wire = query(name, opt=Opt(options=[(12, bytes(size - bare))]))
        assert len(wire) == size
        msg = larder.udp(wire)
        assert msg is not None and msg.rcode == NOERROR, msg
        assert msg.a() == ["192.0.2.1"] and msg.opt
    assert upstream.count(name) == 1


TSIG = rr("key.example.", "TSIG", 0,
          qname("hmac-sha256.") + struct.pack("!HIHH", 0, 1700000000, 300, 32)
          + bytes(range(32)) + struct.pack("!HHH", 4711, 0, 0), cls=255)
SIG0 = rr(".", "SIG", 0,
          struct.pack("!HBBIIIH", 0, 13, 0, 0, 1700000300, 1700000000, 12345)
          + qname("key.example.") + bytes(64), cls=255)


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("opt", [None, OPT])
@pytest.mark.parametrize("signature", [TSIG, SIG0], ids=["tsig", "sig0"])
def test_hdr_25_signed_query(larder, upstream, proto, opt, signature):
    """HDR-25: a query with TSIG or SIG(0) is REFUSED, EDE 21, not sent on."""
    name = fresh_name()
    wire = with_counts(query(name, opt=opt) + signature, 1, 0, 0,
                       2 if opt else 1)
    check_error(wire, ask_raw(larder, wire, proto), REFUSED, ede=21)
    check_quiet(larder, upstream)
    # Not from the cache either, and the refusal is not kept for others.
    assert larder.ask(name).a() == ["192.0.2.1"]
    check_error(wire, ask_raw(larder, wire, proto), REFUSED, ede=21)


# --- all together -----------------------------------------------------------

def test_hdr_20_errors_never_amplify(larder, upstream):
    """HDR-20: no error reply is longer than its query plus an OPT record.
    Judged over all errors seen; the shortest of each kind are asked here."""
    upstream.handler = servfail
    for opt in (None, OPT):
        tail = opt.pack() if opt else b""
        ar = 1 if opt else 0
        for wire in (
                header(), header(0, ar=ar) + tail, header(2, ar=ar) + tail,
                header(1), header(1) + b"\0", header(1, 1), header(0, 0, 0, 1),
                header(opcode=5), header(0, 65535, opcode=6),
                query(".", 128, opt=opt), query(".", 0, opt=opt),
                query(".", "AXFR", opt=opt), query(".", qclass=3, opt=opt),
                query(".", 253, opt=opt), query(".", 65399, opt=opt),
                query(fresh_name(), opt=opt)):
            msg = larder.udp(wire)
            assert msg is not None and msg.rcode != NOERROR, (wire.hex(), msg)
    assert harness.check_error_sizes() >= 32


def test_hdr_01_02_07_noise_costs_others_nothing(larder, upstream):
    """HDR-01, -02, -07: a burst of spoiled messages costs others nothing."""
    seed = random.getrandbits(32)
    print("seed", seed)
    dice = random.Random(seed)
    stop = threading.Event()

    def noise():
        with larder.udp_socket() as sock:
            while not stop.is_set():
                wire = bytearray(query(fresh_name("noise"), opt=OPT))
                for _ in range(dice.randrange(1, 6)):
                    wire[dice.randrange(2, len(wire))] = dice.getrandbits(8)
                sock.send(bytes(wire[:dice.randrange(len(wire) + 1)]))
                time.sleep(0.0005)

    thread = threading.Thread(target=noise)
    thread.start()
    try:
        for _ in range(200):
            larder.alive()
    finally:
        stop.set()
        thread.join()
