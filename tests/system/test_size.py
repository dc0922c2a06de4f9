"""How much goes into one reply (conformance section 8, SIZE-*).

Sizes are exact: `sized` gives a TXT answer that makes larder's reply so many
octets long, since larder writes the owner as a pointer to the question.  The
rows about fragments build a namespace of their own with a narrow link.
"""

import contextlib
import ctypes
import itertools
import os
import select
import socket
import struct
import subprocess
import threading
import time

import pytest

from harness import (NOERROR, NXDOMAIN, SERVFAIL, TYPES, Larder, Opt, Upstream,
                     fresh_name, in_netns, parse, qname, query, reply, rr, soa)

RESPONSE = 0x8180   # QR, RD, RA
TC = 0x0200
OPT_OCTETS = 11     # an OPT record without options
UDP_MAX = 1232


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


# --- answers of a wanted size ---------------------------------------------

def txt_rdata(octets):
    """Character strings that fill exactly so many octets."""
    out = b""
    while len(out) < octets:
        size = min(256, octets - len(out))
        out += bytes([size - 1]) + b"t" * (size - 1)
    return out


def compact(ctx, *records, authority=(), flags=RESPONSE):
    """U's reply by hand, without OPT; records: (type, rdata) of the name."""
    name = ctx.msg.question[0].name_wire
    answer = [b"\xc0\x0c" + struct.pack("!HHIH", TYPES[qtype], 1, 300,
                                        len(rdata)) + rdata
              for qtype, rdata in records]
    return b"".join([
        struct.pack("!6H", ctx.msg.id, flags | ctx.msg.cd << 4, 1, len(answer),
                    len(authority), 0),
        name, struct.pack("!HH", ctx.qtype, 1), *answer, *authority])


def question_end(name):
    return 12 + len(qname(name)) + 4


def sized(book, octets, prefix="size"):
    """A new name whose TXT answer makes a message of so many octets."""
    name = fresh_name(prefix)
    rdata = txt_rdata(octets - question_end(name) - 12)

    def rule(ctx):
        whole = compact(ctx, ("TXT", rdata))
        assert len(whole) == octets
        if ctx.proto == "udp" and octets > 1200:
            ctx.send(compact(ctx, flags=RESPONSE | TC))
        else:
            ctx.send(whole)
    book[name] = rule
    return name


def check_cut(msg, opt, most=512):
    """Header, question, OPT if due, and nothing else."""
    assert msg is not None
    assert msg.tc == 1, msg
    assert msg.counts == (1, 0, 0, 1 if opt else 0), msg
    assert (msg.opt is not None) == opt, msg
    assert len(msg.wire) <= most, msg


def check_whole(msg, octets=None):
    assert msg is not None
    assert (msg.rcode, msg.tc) == (NOERROR, 0), msg
    assert msg.answer, msg
    if octets:
        assert len(msg.wire) == octets, msg


# --- what C can take ------------------------------------------------------

def test_size_01_512_octets_without_opt(book, server, patient):
    """SIZE-01: without OPT 511 and 512 octets come whole, 513 as TC."""
    for octets, whole in ((511, True), (512, True), (513, False)):
        name = sized(book, octets)
        for _ in ("miss", "hit"):
            msg = patient.ask(name, "TXT")
            if whole:
                check_whole(msg, octets)
            else:
                check_cut(msg, opt=False)
        assert server.count(name) == 1
        check_whole(patient.ask_tcp(name, "TXT"), octets)


def test_size_02_cut_reply_holds_no_records(book, patient):
    """SIZE-02: every TC reply is header, question and OPT if due."""
    for octets, opt in ((600, None), (1100, None), (3000, None),
                        (513, Opt(size=512)), (900, Opt(size=600, do=1)),
                        (1222, Opt(size=1232)), (3000, Opt(size=4096)),
                        (3000, Opt(size=65535)), (600, Opt(size=0))):
        name = sized(book, octets)
        for _ in ("miss", "hit"):
            msg = patient.ask(name, "TXT", opt=opt)
            check_cut(msg, opt is not None)
            assert msg.rcode == NOERROR
            assert [(q.text, q.qtype, q.qclass) for q in msg.question] == [
                (name, 16, 1)]
            assert len(msg.wire) == question_end(name) + msg.opt_octets


@pytest.mark.parametrize("opt, most", [(None, 512), (Opt(size=700), 700)])
def test_size_03_additional_is_left_out_without_tc(book, patient, opt, most):
    """SIZE-03: an MX answer that fits without its extras comes without TC."""
    name, host = fresh_name("mx"), fresh_name("mail")
    extras = [rr(host, "A", 300, f"192.0.2.{i}") for i in range(1, 31)]
    book[name] = lambda ctx: ctx.send(reply(
        ctx.msg, [rr(name, "MX", 300, f"10 {host}")], [], extras))
    for _ in ("miss", "hit"):
        msg = patient.ask(name, "MX", opt=opt)
        check_whole(msg)
        assert [(r.text, r.qtype) for r in msg.answer] == [(name, 15)]
        assert msg.name_at(msg.answer[0].rdata_at + 2)[0] == qname(host)
        assert len(msg.wire) <= most


def test_size_04_no_part_of_an_rrset_without_tc(book, patient):
    """SIZE-04: of 40 addresses either all or none come, and none is TC."""
    name = fresh_name("forty")
    book[name] = lambda ctx: ctx.send(compact(
        ctx, *(("A", bytes([192, 0, 2, i])) for i in range(40))))
    octets = question_end(name) + 40 * 16
    for opt in (None, Opt(size=512), Opt(size=octets + OPT_OCTETS - 1),
                Opt(size=octets + OPT_OCTETS), Opt(size=4096), None):
        msg = patient.ask(name, opt=opt)
        if opt and opt.size >= octets + OPT_OCTETS:
            check_whole(msg, octets + OPT_OCTETS)
            assert sorted(r.rdata[3] for r in msg.answer) == list(range(40))
        else:
            check_cut(msg, opt is not None, opt.size if opt else 512)


def nsec3(zone, i):
    """An NSEC3 record and a signature over it, of ordinary size."""
    owner = f"{'0123456789abcdefghijklmnopqrstuv'[i:] + 'x' * i}.{zone}"
    denial = (struct.pack("!BBHB", 1, 0, 0, 0) + bytes([20]) + bytes(range(20))
              + b"\0\6\x40\1\0\0\0\2")
    return [rr(owner, "NSEC3", 300, denial), signature(owner, "NSEC3", zone)]


def signature(owner, covered, zone, labels=2):
    return rr(owner, "RRSIG", 300, struct.pack(
        "!HBBIIIH", TYPES[covered], 8, labels, 300, 0x7F000000, 0x60000000,
        4711) + qname(zone) + b"s" * 128)


def test_size_05_denial_that_does_not_fit_is_tc(book, patient):
    """SIZE-05: an NXDOMAIN whose NSEC3 records do not fit is cut with TC."""
    zone = fresh_name("zone")
    name = "none." + zone
    authority = [soa(zone), signature(zone, "SOA", zone), *nsec3(zone, 1),
                 *nsec3(zone, 2)]
    book[name] = lambda ctx: ctx.send(reply(
        ctx.msg, [], authority if ctx.msg.opt and ctx.msg.opt.do
        else [soa(zone)], rcode=NXDOMAIN))
    for size in (512, 1232, 600):
        msg = patient.ask(name, opt=Opt(size=size, do=1))
        assert msg is not None and msg.rcode == NXDOMAIN
        if size == 1232:
            assert msg.tc == 0
            assert sorted(r.qtype for r in msg.authority) == [
                6, 46, 46, 46, 50, 50]
        else:
            check_cut(msg, True, size)
    msg = patient.ask(name, opt=Opt(size=512))
    assert (msg.rcode, msg.tc) == (NXDOMAIN, 0)
    assert [r.qtype for r in msg.authority] == [6]
    msg = patient.ask_tcp(name, opt=Opt(size=512, do=1))
    assert (msg.tc, len(msg.authority)) == (0, 6)


def test_size_05_soa_that_does_not_fit_is_tc(book, patient):
    """SIZE-05: the same for an SOA of over 512 octets, without DO."""
    name = fresh_name("bigsoa")
    far = [".".join([letter * 60] * 4) for letter in "mn"]
    record = rr("example.", "SOA", 300,
                f"{far[0]}. {far[1]}. 1 3600 900 86400 60")
    assert len(record) > 500
    book[name] = lambda ctx: ctx.send(reply(ctx.msg, [], [record],
                                            rcode=NXDOMAIN))
    for _ in ("miss", "hit"):
        msg = patient.ask(name)
        check_cut(msg, False)
        assert msg.rcode == NXDOMAIN
    msg = patient.ask(name, opt=Opt())
    assert (msg.rcode, msg.tc, len(msg.authority)) == (NXDOMAIN, 0, 1)


def test_size_05_wildcard_proof_that_does_not_fit_is_tc(book, patient):
    """SIZE-05: an answer with DO=1 whose denial proof does not fit is cut."""
    zone = fresh_name("zone")
    name = "any." + zone
    answer = [rr(name, "A", 300, "192.0.2.10"), signature(name, "A", zone)]
    proof = nsec3(zone, 3) + nsec3(zone, 4)
    book[name] = lambda ctx: ctx.send(reply(
        ctx.msg, answer, proof) if ctx.msg.opt and ctx.msg.opt.do
        else reply(ctx.msg, answer[:1]))
    for size in (512, 1232, 512):
        msg = patient.ask(name, opt=Opt(size=size, do=1))
        if size == 512:
            check_cut(msg, True)
        else:
            check_whole(msg)
            assert [r.qtype for r in msg.answer] == [1, 46]
            assert sorted(r.qtype for r in msg.authority) == [46, 46, 50, 50]


def test_size_06_after_tc_the_tcp_question_is_a_hit(book, server, patient):
    """SIZE-06: the question that follows a TC costs no second send."""
    name = sized(book, 1000)
    check_cut(patient.ask(name, "TXT"), False)
    check_whole(patient.ask_tcp(name, "TXT"), 1000)
    check_whole(patient.ask(name, "TXT", opt=Opt()), 1000 + OPT_OCTETS)
    assert server.count(name) == 1


# --- what U can send ------------------------------------------------------

def test_size_07_tc_from_upstream_means_tcp_to_that_server(book):
    """SIZE-07: U cuts on UDP: C gets TCP's three records, also on a hit."""
    name = fresh_name("cut")

    def rule(ctx):
        all_three = [rr(name, "A", 300, f"192.0.2.{i}") for i in (1, 2, 3)]
        if ctx.proto == "udp":
            ctx.send(reply(ctx.msg, all_three[:1], tc=1))
        else:
            ctx.send(reply(ctx.msg, all_three))
    book[name] = rule
    with Upstream() as one, Upstream() as two:
        one.handler = two.handler = book
        with Larder([one, two], conf={"resend-after": "1s"}) as larder:
            for _ in ("miss", "hit"):
                begin = time.monotonic()
                msg = larder.ask(name)
                assert time.monotonic() - begin < 0.95     # no resend
                check_whole(msg)
                assert sorted(msg.a()) == ["192.0.2.1", "192.0.2.2",
                                           "192.0.2.3"]
            logs = [[e.proto for e in u.entries(name)] for u in (one, two)]
            assert sorted(logs) == [[], ["udp", "tcp"]]


def test_size_07_an_empty_tc_reply_is_followed_too(book, server, patient):
    """SIZE-07: TC without any record, and TC with NXDOMAIN, lead to TCP."""
    for rcode in (NOERROR, NXDOMAIN):
        name = fresh_name("cut")
        book[name] = lambda ctx, rcode=rcode: ctx.send(
            reply(ctx.msg, tc=1, rcode=rcode) if ctx.proto == "udp"
            else reply(ctx.msg, [rr(name, "A", 300, "192.0.2.9")]))
        msg = patient.ask(name)
        check_whole(msg)
        assert msg.a() == ["192.0.2.9"]
        assert [e.proto for e in server.entries(name)] == ["udp", "tcp"]


@pytest.mark.parametrize("servers", [1, 2])
def test_size_08_tc_without_tcp_is_servfail(book, servers):
    """SIZE-08: TC and TCP refused everywhere: SERVFAIL, EDE 23, no data."""
    name = fresh_name("notcp")
    book[name] = lambda ctx: ctx.send(reply(
        ctx.msg, [rr(name, "A", 300, "192.0.2.66")], tc=1))
    with contextlib.ExitStack() as stack:
        ups = [stack.enter_context(Upstream(tcp=False))
               for _ in range(servers)]
        for upstream in ups:
            upstream.handler = book
        larder = stack.enter_context(
            Larder(ups, conf={"resend-after": "100ms"}))
        msg = larder.ask(name, opt=Opt(), timeout=5)
        assert msg is not None and msg.rcode == SERVFAIL, msg
        assert msg.answer == [] and msg.tc == 0
        assert 23 in [code for code, _ in msg.ede], msg
        msg = larder.ask(name, timeout=5)
        assert msg.rcode == SERVFAIL and msg.answer == []
        larder.alive()


def test_size_09_third_try_is_by_tcp(book, server):
    """SIZE-09: U drops UDP only: after two sends TCP brings the answer."""
    name = fresh_name("drop")
    book[name] = lambda ctx: (ctx.send(reply(
        ctx.msg, [rr(name, "A", 300, "192.0.2.9")]))
        if ctx.proto == "tcp" else None)
    with Larder([server], conf={"resend-after": "50ms"}) as larder:
        msg = larder.ask(name)
        check_whole(msg)
        assert msg.a() == ["192.0.2.9"]
        protos = [e.proto for e in server.entries(name)]
        assert protos[:3] == ["udp", "udp", "tcp"], protos


# --- narrow links ---------------------------------------------------------

CLONE_NEWNET = 0x40000000


def current_netns():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


@contextlib.contextmanager
def inside(netns):
    """Makes the calling thread, and what it starts, belong to `netns`."""
    libc, home = ctypes.CDLL(None, use_errno=True), current_netns()
    try:
        if libc.setns(netns, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        assert libc.setns(home, CLONE_NEWNET) == 0
        os.close(home)


def ip(command):
    subprocess.run(["ip", *command.split()], check=True)


def over_link(mtu, work):
    """Runs work(far) in a new namespace with a link of this MTU.

    Near end: 192.0.2.1 and, where the MTU allows IPv6, 2001:db8::1.  The far
    end, 192.0.2.2 and 2001:db8::2, is in the namespace `far` and takes packets
    of any size; both have their loopback up.
    """
    def body():
        far = in_netns(current_netns)
        try:
            six = mtu >= 1280
            ip("link add near type veth peer name far")
            ip(f"link set far netns /proc/{os.getpid()}/fd/{far}")
            ip(f"link set near mtu {mtu} up")
            ip("address add 192.0.2.1/24 dev near")
            with inside(far):
                ip("link set far up")
                ip("address add 192.0.2.2/24 dev far")
                if six:
                    ip("address add 2001:db8::2/64 dev far nodad")
            if six:
                ip("address add 2001:db8::1/64 dev near nodad")
            return work(far)
        finally:
            os.close(far)

    try:
        return in_netns(body)
    except PermissionError as error:
        pytest.skip(f"needs a network namespace: {error}")


class Capture:
    """Everything that arrives at an interface of the present namespace."""

    def __init__(self, interface):
        self.packets, self._done = [], threading.Event()
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM,
                                  socket.htons(3))      # ETH_P_ALL
        self.sock.bind((interface, 0))
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        # After the last packet of the test nothing comes any more.
        while select.select([self.sock], [], [], 0.05)[0] or not \
                self._done.is_set():
            with contextlib.suppress(BlockingIOError):
                packet, where = self.sock.recvfrom(65535, socket.MSG_DONTWAIT)
                if where[2] != socket.PACKET_OUTGOING:
                    self.packets.append(packet)

    def stop(self):
        self._done.set()
        self.thread.join()
        self.sock.close()
        return self.packets


def fragmented(packet):
    if packet[0] >> 4 == 4:
        return bool(struct.unpack_from("!H", packet, 6)[0] & 0x3FFF)
    return packet[6] == 44


def is_udp(packet):
    return (packet[9] if packet[0] >> 4 == 4 else packet[6]) == 17


def exchange(target, wire, timeout=6):
    """One query to (host, port); the reply, or None."""
    family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        sock.connect(target)
        sock.send(wire)
        with contextlib.suppress(TimeoutError):
            return parse(sock.recv(65535))


def test_size_10_udp_packets_are_not_fragmented(book):
    """SIZE-10: over an MTU of 1280 the largest replies stay in one packet."""
    def work(far):
        results = []
        with contextlib.ExitStack() as stack:
            with inside(far):
                upstream = stack.enter_context(Upstream(host="192.0.2.2"))
                capture = Capture("far")
                stack.callback(capture.stop)
            upstream.handler = book
            larder = stack.enter_context(Larder(
                [upstream],
                listen=["192.0.2.1:{port}", "[2001:db8::1]:{port}"],
                conf={"allow": ["192.0.2.0/24", "2001:db8::/32"]}))
            with inside(far):
                for host, octets, size in itertools.product(
                        ("192.0.2.1", "2001:db8::1"),
                        (UDP_MAX, UDP_MAX + 1, 3000), (UDP_MAX, 4096)):
                    name = sized(book, octets - OPT_OCTETS)
                    for _ in ("miss", "hit"):
                        results.append((octets, exchange(
                            (host, larder.port),
                            query(name, "TXT", opt=Opt(size=size)))))
            return results, capture.stop(), larder.port

    results, packets, port = over_link(1280, work)
    for octets, msg in results:
        assert msg is not None, octets
        if octets <= UDP_MAX:
            check_whole(msg, octets)
        else:
            check_cut(msg, True)
    ours = [p for p in packets if p[0] >> 4 in (4, 6) and (
        p[12:16] == b"\xc0\0\2\1" if p[0] >> 4 == 4
        else p[8:24] == socket.inet_pton(socket.AF_INET6, "2001:db8::1"))]
    assert not [p.hex() for p in ours if fragmented(p)]
    whole = [p for p in ours if is_udp(p) and len(p) >= UDP_MAX + 28]
    assert len(whole) == 8, "the capture did not see the large replies"
    assert any(is_udp(p) and p[0] >> 4 == 6 for p in ours)
    assert all(len(p) <= 1280 for p in ours)


def test_size_11_a_send_error_for_size_becomes_tc(book):
    """SIZE-11: a link narrower than the reply makes it a TC reply."""
    def work(far):
        results = {}
        with contextlib.ExitStack() as stack:
            upstream = stack.enter_context(Upstream())
            upstream.handler = book
            with inside(far):
                capture = Capture("far")
                stack.callback(capture.stop)
            larder = stack.enter_context(Larder(
                [upstream], listen=["192.0.2.1:{port}", "127.0.0.1:{port}"],
                conf={"allow": ["192.0.2.0/24", "127.0.0.0/8"]}))
            target = (larder.host, larder.port)
            names = {octets: sized(book, octets - OPT_OCTETS)
                     for octets in (600, 972, 973, 1100, UDP_MAX)}
            wires = {octets: query(name, "TXT", opt=Opt())
                     for octets, name in names.items()}
            with inside(far):
                for octets, wire in wires.items():
                    results[octets] = [exchange(target, wire) for _ in "12"]
                # A small reply in one batch with one that does not fit.
                batch = []
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.settimeout(6)
                    sock.connect(target)
                    for octets in (600, 1100, 600, UDP_MAX, 600):
                        sock.send(wires[octets])
                    with contextlib.suppress(TimeoutError):
                        for _ in range(5):
                            batch.append(parse(sock.recv(4096)))
                results["batch"] = batch
            results["near"] = [exchange(("127.0.0.1", larder.port),
                                        wires[UDP_MAX])]
            larder.check_running()
            return results, capture.stop(), names

    results, packets, names = over_link(1000, work)
    for octets in names:
        for msg in results[octets]:
            assert msg is not None, f"silence instead of {octets} octets"
            if octets + 28 <= 1000:
                check_whole(msg, octets)
            else:
                check_cut(msg, True)
                assert msg.rcode == NOERROR
                assert [q.text for q in msg.question] == [names[octets]]
    assert sorted(msg.tc for msg in results["batch"]) == [0, 0, 0, 1, 1]
    check_whole(results["near"][0], UDP_MAX)
    assert not [p.hex() for p in packets if p[0] >> 4 == 4 and fragmented(p)]


# --- streams, extended errors, generous upstreams -------------------------

@pytest.mark.parametrize("octets", [65000, 65535])
def test_size_12_stream_replies_pass_whole(book, patient, octets):
    """SIZE-12: a TXT answer of up to 65535 octets, by TCP on both sides."""
    name = sized(book, octets)
    rdata = txt_rdata(octets - question_end(name) - 12)
    for _ in ("first", "second"):
        msg = patient.ask_tcp(name, "TXT", timeout=5)
        check_whole(msg, octets)
        assert [(r.text, r.qtype, r.rdata) for r in msg.answer] == [
            (name, 16, rdata)]
    check_cut(patient.ask(name, "TXT", opt=Opt(size=65535)), True)


def test_size_13_ede_is_dropped_before_data(book, patient):
    """SIZE-13: data that fits only without its EDE comes whole, with TC."""
    text = b"a reason " * 6

    def explained(octets):
        name = fresh_name("ede")
        rdata = txt_rdata(octets - OPT_OCTETS - question_end(name) - 12)
        book[name] = lambda ctx: ctx.send(reply(
            ctx.msg, [rr(name, "TXT", 300, rdata)],
            opt=Opt(options=[(15, struct.pack("!H", 3) + text)])))
        return name

    # Room for all: does larder give an EDE beside data at all?
    if not patient.ask(explained(300), "TXT", opt=Opt(size=512)).ede:
        pytest.skip("larder gives no EDE beside data yet (EDE-03, STALE-09)")
    for octets in (512, 510):
        msg = patient.ask(explained(octets), "TXT", opt=Opt(size=512))
        assert msg is not None and msg.rcode == NOERROR
        assert len(msg.answer) == 1 and not msg.ede
        assert msg.tc == 1 and len(msg.wire) <= 512
    check_cut(patient.ask(explained(513), "TXT", opt=Opt(size=512)), True)


def test_size_14_a_generous_upstream_is_believed(book, server, patient):
    """SIZE-14: a whole UDP reply over the size larder offered is taken."""
    for octets in (1233, 1500, 4000, 20000):
        name = fresh_name("large")
        rdata = txt_rdata(octets - question_end(name) - 12)
        book[name] = lambda ctx, rdata=rdata: ctx.send(
            compact(ctx, ("TXT", rdata)))
        msg = patient.ask_tcp(name, "TXT")
        check_whole(msg, octets)
        assert msg.answer[0].rdata == rdata
        assert [e.proto for e in server.entries(name)] == ["udp"], octets
