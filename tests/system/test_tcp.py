"""TCP on both sides of larder: conformance.md section 9, rows TCP-01 to -25.

The first half looks at larder as a server, the second at larder as a client of
a fake upstream that it reaches by `tcp://`, and once more by `tls://` (TLS-10).
Time limits are set to parts of a second by configuration, and whether larder
still holds a connection is read from the kernel's table, so that nothing here
waits for a default to run out.
"""

import collections
import contextlib
import os
import random
import resource
import select
import socket
import struct
import threading
import time
import zlib
from pathlib import Path

import pytest

import harness
import secure
from authority import Authority
from harness import (FORMERR, NOERROR, NOTIMP, REFUSED, SERVFAIL, Larder, Opt,
                     Upstream, eventually, fresh_name, parse, query, reply, rr,
                     soon_enough)
from secure import DotUpstream, larder_over

KEEPALIVE = 11      # EDNS option (RFC 7828)
IDLE_S = 0.5        # tcp: idle: of the impatient daemon
LATE_S = 1.5        # what a busy machine may add to that
# Shorter than `resend-after`, which is a second: nobody waited for a timer.
AT_ONCE = 0.9


# --- what the tests look with -----------------------------------------------

def framed(wire):
    return struct.pack("!H", len(wire)) + wire


def address(name):
    """An address that only this name has."""
    return socket.inet_ntoa(b"\x0a" + zlib.crc32(name.lower().encode())
                            .to_bytes(4, "big")[1:])


def answer_own(ctx):
    """Answers every name with its own address."""
    ctx.send(own_reply(ctx))


def own_reply(ctx, **kw):
    return reply(ctx.msg, [rr(ctx.name, "A", 300, address(ctx.name))], **kw)


def assert_own(msg, name):
    assert msg is not None, f"no reply for {name}"
    assert msg.rcode == NOERROR, msg
    assert msg.question[0].text == name, msg
    assert msg.a() == [address(name)], msg


def memory_kib(pid, field="VmRSS"):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise AssertionError(f"no {field} of {pid}")


def is_sanitized(pid):
    """Sanitizers reserve terabytes and keep freed memory: sizes say nothing."""
    return memory_kib(pid, "VmSize") > 1 << 30


def cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def held(port, peer=None):
    """How many accepted client connections larder's process holds at `port`.

    A connection that larder has closed, or not yet accepted, belongs to no
    process and has no inode in the kernel's table.
    """
    count = 0
    for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]:
        part = line.split()
        local, remote, state, inode = part[1], part[2], part[3], part[9]
        if int(local.split(":")[1], 16) != port or state == "0A":
            continue
        if peer is not None and int(remote.split(":")[1], 16) != peer:
            continue
        count += inode != "0"
    return count


def data_segments_in(sock):
    """tcpi_data_segs_in: how many segments with data came in."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return struct.unpack_from("=I", info, 152)[0]


def keepalive_of(msg):
    """The stated idle time-out in units of 100 ms, or None."""
    data = msg.opt.option(KEEPALIVE) if msg.opt else None
    if data is None:
        return None
    assert len(data) == 2, data
    return struct.unpack("!H", data)[0]


def ask_keepalive(conn, name):
    conn.send(query(name, opt=Opt(options=[(KEEPALIVE, b"")])))
    return conn.recv()


def receive_all(conn, n, timeout=10):
    """n messages by ID; fewer fail the test."""
    deadline, got = time.monotonic() + timeout, {}
    while len(got) < n:
        msg = conn.recv(max(0.001, deadline - time.monotonic()))
        assert msg is not None, f"{len(got)} of {n} replies"
        assert msg.id not in got, f"two replies for {msg.id}"
        got[msg.id] = msg
    return got


@pytest.fixture(scope="module")
def impatient(module_upstream):
    """A larderd that closes idle client connections after half a second."""
    with Larder([module_upstream],
                conf={"tcp": {"idle": f"{int(IDLE_S * 1000)}ms"}}) as larder:
        yield larder
        larder.check_running()


@pytest.fixture(scope="module", autouse=True)
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# --- larder as a server -----------------------------------------------------

def test_tcp_01_every_udp_listener_has_a_tcp_twin(upstream):
    """TCP-01: each address and port that answers UDP takes TCP."""
    hosts = ["127.0.0.1", "127.0.0.2", "::1"]
    with Larder([upstream], listen=["127.0.0.1:{port}", "127.0.0.2:{port}",
                                    "[::1]:{port}"]) as larder:
        for host in hosts:
            for ask in (larder.ask, larder.ask_tcp):
                msg = ask(fresh_name(), to=host)
                assert msg is not None, (host, ask)
                assert msg.a() == ["192.0.2.1"], msg


@pytest.mark.parametrize("pause_after", [None, 1, 2, 3, 13, 20])
def test_tcp_02_any_pieces(larder, fresh, pause_after):
    """TCP-02: one octet per segment is answered, wherever the pause falls."""
    name = fresh()
    wire = query(name)
    with larder.tcp() as conn:
        for at, octet in enumerate(framed(wire), 1):
            conn.send_raw(bytes([octet]))
            if at == pause_after:
                time.sleep(0.05)
            elif pause_after is None:
                time.sleep(0.001)
        msg = conn.recv()
    assert msg is not None and msg.rcode == NOERROR and msg.a(), msg
    assert msg.id == parse(wire).id


def test_tcp_02_two_messages_in_odd_pieces(larder, fresh):
    """TCP-02: the end of one message and the start of the next in one piece."""
    first, second = query(fresh(), id=1), query(fresh(), id=2)
    stream = framed(first) + framed(second)
    with larder.tcp() as conn:
        for piece in (stream[:7], stream[7:len(first) + 3], stream[len(first) + 3:]):
            conn.send_raw(piece)
            time.sleep(0.02)
        assert set(receive_all(conn, 2)) == {1, 2}


def test_tcp_03_several_queries_in_one_segment(larder, fresh):
    """TCP-03: 3 in one write, the last cut and finished later."""
    names = {i: fresh() for i in (1, 2, 3)}
    stream = b"".join(framed(query(name, id=i)) for i, name in names.items())
    with larder.tcp() as conn:
        conn.send_raw(stream[:-9])
        early = receive_all(conn, 2)
        assert set(early) == {1, 2}
        assert conn.recv(0.1) is None
        conn.send_raw(stream[-9:])
        late = receive_all(conn, 1)
    for i, msg in {**early, **late}.items():
        assert msg.question[0].text == names[i]
        assert msg.rcode == NOERROR and msg.a(), msg


def test_tcp_04_replies_leave_as_they_are_ready(larder, upstream, fresh):
    """TCP-04: slow first, hit second: the second reply comes first."""
    slow, quick, hit = fresh("slow"), fresh(), fresh()
    waiting = []

    def handler(ctx):
        if ctx.name == slow:
            waiting.append(ctx)
        else:
            answer_own(ctx)

    upstream.handler = handler
    assert_own(larder.ask(hit), hit)
    with larder.tcp() as conn:
        conn.send_raw(b"".join(framed(query(n, id=i))
                               for i, n in ((1, slow), (2, hit), (3, quick))))
        early = receive_all(conn, 2, timeout=3)     # SERVFAIL is due after 4
        assert set(early) == {2, 3}
        for ctx in waiting:
            answer_own(ctx)
        late = conn.recv()
    assert late is not None and late.id == 1
    assert_own(late, slow)


def test_tcp_05_reply_in_one_segment(larder, fresh):
    """TCP-05: length and message come in one segment, for hit, miss, error."""
    name = fresh()
    cut = query(fresh())[:-2]
    with larder.tcp() as conn:
        for wire in (query(name), query(name), cut):
            before = data_segments_in(conn.sock)
            conn.send(wire)
            assert conn.recv() is not None
            assert data_segments_in(conn.sock) - before == 1


def test_tcp_05_upstream_query_in_one_segment(fresh):
    """TCP-05: larder's own queries by TCP leave in one segment, too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(3)
        with Larder([f"tcp://127.0.0.1:{listener.getsockname()[1]}"]) as larder:
            with larder.udp_socket() as client:
                name = fresh()
                client.send(query(name))
                conn, _ = listener.accept()
                with conn:
                    conn.settimeout(3)
                    octets = conn.recv(4096)
                    assert struct.unpack("!H", octets[:2])[0] == len(octets) - 2
                    assert data_segments_in(conn) == 1
                    msg = parse(octets[2:])
                    conn.sendall(framed(reply(
                        msg, [rr(name, "A", 60, address(name))])))
                    client.settimeout(3)
                    assert_own(parse(client.recv(4096)), name)


def test_tcp_06_half_close(larder, upstream, fresh):
    """TCP-06: C sends 3 and shuts its side: 3 replies, then FIN."""
    def handler(ctx):
        ctx.send_later(0.2, own_reply(ctx))

    names = {i: fresh() for i in (1, 2, 3)}
    hit = fresh()
    larder.ask(hit)
    upstream.handler = handler
    with larder.tcp() as conn:
        conn.send_raw(b"".join(framed(query(n, id=i)) for i, n in names.items())
                      + framed(query(hit, id=4)))
        conn.shutdown()
        got = receive_all(conn, 4)
        for i, name in names.items():
            assert_own(got[i], name)
        assert conn.is_closed(5), "replies sent, yet still open"


def test_tcp_06_half_close_with_nothing_due(larder, fresh):
    """TCP-06: nothing due, or only a cut message: larder closes at once."""
    for octets in (b"", framed(query(fresh()))[:-3]):
        with larder.tcp() as conn:
            conn.send_raw(octets)
            conn.shutdown()
            assert conn.is_closed(5), octets
    larder.alive()


@pytest.mark.parametrize("how", ["RST", "FIN"])
def test_tcp_07_client_gone(larder, upstream, fresh, how):
    """TCP-07: C leaves during the wait: the result is cached all the same."""
    waiting = []
    upstream.handler = waiting.append
    name, beside = fresh(), fresh()
    conn = larder.tcp()
    conn.send(query(name))
    upstream.wait(1, name=name)
    if how == "RST":
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
    conn.close()
    upstream.handler = answer_own
    assert_own(larder.ask(beside), beside)      # it has seen the end by then
    entries = larder.stats()["cache"]["entries"]
    for ctx in waiting:
        answer_own(ctx)
    eventually(lambda: larder.stats()["cache"]["entries"] > entries, 10,
               "not in the cache")
    before = upstream.count(name)       # 1, if all this took under a second
    assert_own(larder.ask(name), name)
    assert upstream.count(name) == before


def test_tcp_08_idle_runs_from_the_last_message(impatient, fresh):
    """TCP-08: one octet at a time does not keep a connection open."""
    stream = framed(query(fresh()))
    with impatient.tcp() as conn:
        began = time.monotonic()
        for octet in stream:
            try:
                conn.send_raw(bytes([octet]))
            except OSError:
                break
            if conn.is_closed(0.1):
                break
        took = time.monotonic() - began
        assert conn.is_closed(0.01), f"open after {took:.2f} s of octets"
    # With each octet as a sign of life it would be a tenth of a second for
    # each of the stream.
    assert IDLE_S * 0.8 < took < IDLE_S + LATE_S < len(stream) * 0.1


def test_tcp_08_idle_of_a_silent_connection(impatient, fresh):
    """TCP-08: without any octet closed after TCP_IDLE; a message renews it."""
    for _ in range(5):
        with impatient.tcp() as silent, impatient.tcp() as talking:
            began = time.monotonic()
            time.sleep(IDLE_S * 0.6)
            renewed = time.monotonic()
            with contextlib.suppress(OSError):
                talking.send(query(fresh()))
            if talking.recv() is None and renewed - began > IDLE_S * 0.7:
                continue        # we overslept
            assert silent.is_closed(5)
            assert IDLE_S * 0.8 < time.monotonic() - began < IDLE_S + LATE_S
            assert talking.is_closed(5)
            assert IDLE_S * 0.8 < time.monotonic() - renewed < IDLE_S + LATE_S
            return
    raise AssertionError("closed before its time, five times")


def test_tcp_08_a_question_in_work_is_not_idle(impatient, upstream, fresh):
    """TCP-08: who waits for an answer is not idle (RFC 7766 section 3)."""
    upstream.handler = lambda ctx: ctx.send_later(2 * IDLE_S, own_reply(ctx))
    name = fresh()
    with impatient.tcp() as conn:
        conn.send(query(name))
        assert_own(conn.recv(3), name)


def test_tcp_09_total_limit(upstream, fresh):
    """TCP-09: 1000 idle connections from one address hurt nobody else.

    The least recently active idle connection gives way (design.md 5), so one
    in use since the start lives through it all.
    """
    limit = 100
    with Larder([upstream], conf={"tcp": {"clients": limit}}) as larder:
        hit = fresh()
        larder.ask(hit)
        with contextlib.ExitStack() as stack:
            used = stack.enter_context(larder.tcp())
            for i in range(1000):
                stack.enter_context(larder.tcp())
                if i % 25 == 0:
                    used.send(query(hit))
                    assert used.recv() is not None, f"lost at connection {i}"
                    assert larder.ask(hit) is not None
            eventually(lambda: 0 < held(larder.port) <= limit, 10,
                       lambda: f"{held(larder.port)} connections held")
            msg = larder.ask_tcp(fresh(), src="127.0.0.2")
            assert msg is not None and msg.a(), msg
            used.send(query(hit))
            assert used.recv() is not None
            larder.alive()


def test_tcp_09_limit_per_address():
    """TCP-09: the limit per address spares others, and UDP; not for loopback."""
    def work():
        for last in (1, 2, 9):
            os.system(f"ip addr add 198.51.100.{last}/24 dev lo")
        conf = {"allow": ["127.0.0.0/8", "198.51.100.0/24"],
                "tcp": {"per-client": 8}}
        with Upstream() as upstream, Larder(
                [upstream], conf=conf,
                listen=["198.51.100.9:{port}", "127.0.0.1:{port}"]) as larder:
            with contextlib.ExitStack() as stack:
                conns = [stack.enter_context(larder.tcp(src="198.51.100.1"))
                         for _ in range(40)]
                eventually(lambda: 0 < held(larder.port) <= 8, 10,
                           lambda: f"{held(larder.port)} connections held")
                assert sum(not c.is_closed(0.005) for c in conns) <= 8
                other = larder.ask_tcp(fresh_name(), src="198.51.100.2")
                assert other is not None and other.a(), other
                same = larder.ask(fresh_name(), src="198.51.100.1")
                assert same is not None and same.a(), same
                here = [stack.enter_context(larder.tcp(to="127.0.0.1"))
                        for _ in range(20)]
                for conn in here:
                    conn.send(query(fresh_name()))
                for conn in here:
                    assert conn.recv() is not None, "loopback is exempt"
            eventually(lambda: held(larder.port) == 0, 5, "still held")
            again = larder.ask_tcp(fresh_name(), src="198.51.100.1")
            assert again is not None and again.a(), again

    try:
        harness.in_netns(work)
    except PermissionError as error:
        pytest.skip(str(error))


def test_tcp_10_queries_in_work_are_bounded(larder, upstream, fresh):
    """TCP-10: 500 queries at once: 500 replies, and 100 in work at most."""
    hold_s = 0.15
    upstream.handler = lambda ctx: ctx.send_later(hold_s, own_reply(ctx))
    names = {i: fresh() for i in range(500)}
    with larder.tcp() as conn:
        conn.send_raw(b"".join(framed(query(n, id=i)) for i, n in names.items()))
        got = receive_all(conn, 500, timeout=10)
    for i, name in names.items():
        assert_own(got[i], name)
    # Whatever came in the time that U holds one answer was in work together.
    first = {}
    for entry in upstream.entries():
        first.setdefault(entry.name, entry.t)
    times = sorted(first.values())
    together = max(sum(t <= u < t + hold_s * 0.9 for u in times) for t in times)
    assert together <= 100, f"{together} queries in work"


def test_tcp_10_setting(upstream, fresh):
    """TCP-10: in-flight: 5 keeps 5 in work, and another connection goes on."""
    asked = threading.Event()
    open_ = []

    def handler(ctx):
        if ctx.name.startswith("held"):
            open_.append(ctx)
            asked.set()
        else:
            answer_own(ctx)

    upstream.handler = handler
    with Larder([upstream], conf={"tcp": {"in-flight": 5},
                                  "resend-after": "1s"}) as larder:
        names = {i: fresh("held") for i in range(20)}
        with larder.tcp() as conn:
            conn.send_raw(b"".join(framed(query(n, id=i))
                                   for i, n in names.items()))
            assert asked.wait(5)
            eventually(lambda: len({c.name for c in open_}) >= 5)
            quick = fresh()
            assert_own(larder.ask_tcp(quick), quick)
            time.sleep(0.1)         # as long as a sixth would need
            assert len({c.name for c in open_}) == 5
            upstream.handler = answer_own
            for ctx in open_:
                answer_own(ctx)
            got = receive_all(conn, 20)
    for i, name in names.items():
        assert_own(got[i], name)


def big_txt(ctx):
    """4 KiB of text, by TCP only."""
    if ctx.proto == "udp":
        ctx.send(reply(ctx.msg, tc=1))
    else:
        ctx.send(reply(ctx.msg, [rr(ctx.name, "TXT", 300, "x" * 4000)]))


def test_tcp_11_a_client_that_does_not_read(impatient, upstream, fresh):
    """TCP-11: 20000 questions for 4 KiB, never read: closed, memory flat."""
    upstream.handler = big_txt
    name = fresh()
    msg = impatient.ask_tcp(name, "TXT")
    assert msg is not None and len(msg.wire) > 4000, msg
    before = memory_kib(impatient.pid)
    block = framed(query(name, "TXT")) * 100
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect((impatient.host, impatient.port))
        sock.setblocking(False)
        mine = sock.getsockname()[1]
        eventually(lambda: held(impatient.port, mine) == 1, 5, "not accepted")
        began, peak, pending, sent = time.monotonic(), 0, b"", 0
        closed = False
        while not closed and time.monotonic() - began < 15:
            try:
                if sent < 20000 * len(block) // 100:
                    pending = pending or block
                    done = sock.send(pending)
                    sent += done
                    pending = pending[done:]
                    continue
                time.sleep(0.01)
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                closed = True
            peak = max(peak, memory_kib(impatient.pid))
            closed = closed or held(impatient.port, mine) == 0
        took = time.monotonic() - began
        assert closed, f"still held after {took:.1f} s, {sent} octets taken"
        assert took < 8, f"closed after {took:.1f} s"     # half a second
        if not is_sanitized(impatient.pid):
            assert peak - before < 8192, f"grew by {peak - before} KiB"
    upstream.reset()
    impatient.alive()


@pytest.mark.parametrize("length", [0, 1, 11])
def test_tcp_12_short_length(larder, upstream, length):
    """TCP-12: a length under 12 closes the connection."""
    with larder.tcp() as conn:
        conn.send_raw(struct.pack("!H", length) + bytes(length))
        assert conn.recv() is None
        assert conn.is_closed(1)
    assert upstream.quiet()
    larder.alive()


def test_tcp_12_short_length_needs_no_body(larder):
    """TCP-12: the two length octets are enough to know."""
    with larder.tcp() as conn:
        conn.send_raw(b"\0\4")
        assert conn.is_closed(5)


def test_tcp_12_http_request(impatient, upstream):
    """TCP-12: an HTTP request is no message for long, and harms nobody."""
    request = b"GET / HTTP/1.1\r\nHost: larder.example\r\n\r\n"
    with impatient.tcp() as conn:
        conn.send_raw(request)
        assert conn.recv() is None
        assert conn.is_closed(1)
    with impatient.tcp() as conn:       # as long as "GE" says
        conn.send_raw(request + b"x" * (2 + 0x4745 - len(request)))
        msg = conn.recv()
        if msg is None:
            assert conn.is_closed(1)
        else:
            assert msg.rcode in (FORMERR, NOTIMP), msg
    assert upstream.quiet()
    impatient.alive()


def test_tcp_12_random_messages(larder, upstream):
    """TCP-12: random octets: FORMERR or another refusal, or close; lives."""
    rng = random.Random(12)
    for _ in range(200):
        # QR=0 and QDCOUNT over 1: never an ordinary question by accident.
        body = (rng.randbytes(2) + bytes([rng.randrange(128)])
                + rng.randbytes(1) + bytes([rng.randrange(1, 256)])
                + rng.randbytes(rng.randrange(7, 200)))
        with larder.tcp() as conn:
            conn.send(body)
            msg = conn.recv()
            if msg is None:
                assert conn.is_closed(1), body.hex()
            else:
                assert msg.rcode in (FORMERR, NOTIMP, REFUSED), (msg, body.hex())
    assert upstream.quiet()
    larder.alive()


def test_tcp_13_many_queries_on_one_connection(larder, fresh):
    """TCP-13: 200000 hits in one connection, constant stack and memory."""
    total, block = 200_000, 1000
    name = fresh()
    assert larder.ask(name).a()
    stream = b"".join(framed(query(name, id=i)) for i in range(block))
    with larder.tcp() as conn:
        conn.send(query(name))
        stride = 2 + len(conn.recv().wire)
        sock = conn.sock
        sock.setblocking(False)
        got, sent, out = bytearray(), 0, memoryview(b"")
        early, deadline = None, time.monotonic() + 60
        while len(got) < total * stride and time.monotonic() < deadline:
            if not out and sent < total:
                out, sent = memoryview(stream), sent + block
            readable, writable, _ = select.select(
                [sock], [sock] if out else [], [], 5)
            assert readable or writable, f"stuck at {len(got) // stride} replies"
            if readable:
                octets = sock.recv(1 << 18)
                assert octets, f"closed after {len(got) // stride} replies"
                got += octets
            if writable:
                out = out[sock.send(out):]
            if early is None and len(got) > total * stride // 10:
                early = (memory_kib(larder.pid), memory_kib(larder.pid, "VmStk"))
    assert len(got) == total * stride
    seen = collections.Counter(zip(got[2::stride], got[3::stride]))
    assert len(seen) == block and set(seen.values()) == {total // block}
    late = (memory_kib(larder.pid), memory_kib(larder.pid, "VmStk"))
    if not is_sanitized(larder.pid):
        assert late[0] - early[0] < 1024, f"grew by {late[0] - early[0]} KiB"
    assert late[1] - early[1] < 64


@pytest.mark.parametrize("data", [b"", b"\0\x64"])
def test_tcp_14_keepalive_over_udp_is_ignored(larder, upstream, fresh, data):
    """TCP-14: UDP query with keepalive: a normal reply without it."""
    name = fresh()
    for _ in ("miss", "hit"):
        msg = larder.ask(name, opt=Opt(options=[(KEEPALIVE, data)]))
        assert msg is not None and msg.rcode == NOERROR and msg.a(), msg
        assert msg.opt is not None and msg.opt.option(KEEPALIVE) is None, msg
    assert all(e.msg.opt.option(KEEPALIVE) is None
               for e in upstream.entries(name, proto="udp"))


def test_tcp_15_stated_timeout_is_the_real_one(impatient, fresh):
    """TCP-15: the value equals the measured close time, in 100 ms units."""
    with impatient.tcp() as conn:
        began = time.monotonic()
        msg = ask_keepalive(conn, fresh())
        assert msg is not None and msg.a(), msg
        stated = keepalive_of(msg)
        assert stated == round(IDLE_S * 10), msg
        assert conn.is_closed(5)
        took = time.monotonic() - began
    assert stated / 10 - 0.05 < took < stated / 10 + LATE_S, (
        f"closed after {took:.2f} s")


def test_tcp_15_never_without_opt(impatient, fresh):
    """TCP-15: a query without OPT gets none, not even after one with it."""
    with impatient.tcp() as conn:
        assert keepalive_of(ask_keepalive(conn, fresh())) is not None
        conn.send(query(fresh()))
        msg = conn.recv()
    assert msg is not None and msg.opt is None and msg.counts[3] == 0, msg


def test_tcp_16_keepalive_with_a_value(larder, upstream, fresh):
    """TCP-16: option length 2 from a client: FORMERR with OPT."""
    with larder.tcp() as conn:
        conn.send(query(fresh(), opt=Opt(options=[(KEEPALIVE, b"\0\x64")])))
        msg = conn.recv()
        assert msg is not None and msg.rcode == FORMERR, msg
        assert msg.opt is not None, msg
    assert upstream.quiet()
    larder.alive()


def test_tcp_17_stated_timeout_shrinks(upstream, fresh):
    """TCP-17: near the connection limit the value falls; the last see 0."""
    limit = 20
    hit = fresh()
    with Larder([upstream], conf={"tcp": {"clients": limit}}) as larder:
        larder.ask(hit)
        with contextlib.ExitStack() as stack:
            stated = []
            for _ in range(limit):
                conn = stack.enter_context(larder.tcp())
                msg = ask_keepalive(conn, hit)
                assert msg is not None and msg.a(), msg
                stated.append(keepalive_of(msg))
    assert None not in stated
    assert stated[0] == 100, stated         # tcp: idle: 10s
    assert stated[-1] == 0, stated
    assert stated == sorted(stated, reverse=True), stated
    assert len(set(stated)) > 2, stated


def test_tcp_18_out_of_descriptors(upstream, fresh):
    """TCP-18: UDP still served, accepting resumes later, no busy loop."""
    hit = fresh()
    with Larder([upstream], conf={"tcp": {"idle": "1m"}}) as larder:
        assert larder.ask(hit).a()
        highest = max(int(n) for n in os.listdir(f"/proc/{larder.pid}/fd"))
        _, hard = resource.prlimit(larder.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(larder.pid, resource.RLIMIT_NOFILE,
                         (highest + 9, hard))
        with contextlib.ExitStack() as stack:
            for _ in range(60):
                stack.enter_context(larder.tcp())
            time.sleep(0.1)
            before, began = cpu_s(larder.pid), time.monotonic()
            for _ in range(10):
                msg = larder.ask(hit)
                assert msg is not None and msg.a(), msg
                time.sleep(0.06)
            spent = (cpu_s(larder.pid) - before) / (time.monotonic() - began)
            assert spent < 0.3, f"{spent:.0%} of a core while waiting"
            assert larder.ask(fresh(), timeout=5) is not None, "silence"
        deadline = time.monotonic() + 10
        msg = None
        while msg is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                msg = larder.ask_tcp(hit, timeout=0.5)
        assert msg is not None and msg.a(), "accepting did not resume"
        # No flood in the log either.
        assert len(larder.log().splitlines()) < 100
        resource.prlimit(larder.pid, resource.RLIMIT_NOFILE, (hard, hard))
        larder.alive()


# --- larder as a client -----------------------------------------------------

@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


class Streams:
    """Servers that are asked by stream, and larderds that ask them so."""

    def __init__(self, scheme, authority):
        self.scheme, self.authority = scheme, authority

    def server(self):
        if self.scheme == "tcp":
            return Upstream(udp=False)
        return DotUpstream(self.authority.issue(secure.NAME), self.authority)

    def conf(self, server):
        if self.scheme == "tcp":
            return {"url": f"tcp://{server.url}"}
        return server.conf()

    def larder(self, server, **kw):
        return larder_over(self.conf(server), **kw)


@pytest.fixture(scope="module", params=["tcp", "tls"])
def streams(request, authority):
    """TCP, and TLS, on which the same holds (TLS-10)."""
    return Streams(request.param, authority)


@pytest.fixture(scope="module")
def module_server(streams):
    with streams.server() as server:
        yield server


@pytest.fixture(scope="module")
def module_streamer(streams, module_server):
    with streams.larder(module_server,
                        conf={"tcp": {"in-flight": 10000}}) as larder:
        yield larder


@pytest.fixture
def server(module_server):
    """A fake upstream on streams alone."""
    module_server.reset()
    module_server.handler = answer_own
    yield module_server
    module_server.handler = harness.answer_default
    module_server.check()


@pytest.fixture
def streamer(server, module_streamer):
    """A larderd that asks `server` by stream."""
    module_streamer.check_running()
    yield module_streamer
    module_streamer.check_running()


def ask_all(larder, names, timeout=5):
    """Asks all names at once on one connection; {name: Msg}."""
    numbered = dict(enumerate(names))
    with larder.tcp() as conn:
        stream = b"".join(framed(query(n, id=i)) for i, n in numbered.items())
        writer = threading.Thread(target=conn.sock.sendall, args=(stream,))
        writer.start()
        got = receive_all(conn, len(numbered), timeout)
        writer.join()
    return {numbered[i]: msg for i, msg in got.items()}


def conns_of(server, names):
    return {e.conn for e in server.entries() if e.name in set(names)}


def test_tcp_19_one_connection_many_questions(streamer, server, fresh):
    """TCP-19: 100 questions by TCP, at once or one by one: 1 connection."""
    names = [fresh() for _ in range(100)]
    for name, msg in ask_all(streamer, names[:80]).items():
        assert_own(msg, name)
    for name in names[80:]:
        assert_own(streamer.ask(name), name)
    assert len(server.log) == 100
    assert len(conns_of(server, names)) == 1


def test_tcp_20_no_id_twice_at_once(streams, server, fresh):
    """TCP-20: 1500 questions open at once, on one connection or on two: none
    has two of one ID.  (More would take a slow machine longer than the second
    after which a silent connection is given up.)"""
    names = [fresh() for _ in range(1500)]
    held_back, seen, released = [], set(), threading.Event()

    def handler(ctx):
        if released.is_set():
            return answer_own(ctx)
        held_back.append(ctx)
        seen.add(ctx.name)
        if len(seen) == len(names):
            released.set()
            for each in held_back:
                answer_own(each)

    server.handler = handler
    conf = {"tcp": {"in-flight": 10000}, "query-timeout": "30s",
            "resolve-timeout": "30s"}
    with streams.larder(server, conf=conf) as larder:
        got = ask_all(larder, names, timeout=30)
    for name in names:
        assert_own(got[name], name)
    by_conn = collections.defaultdict(list)
    for ctx in held_back:
        by_conn[ctx.conn].append(ctx.msg.id)
    # So many twins there would be, had the IDs been drawn blindly.
    twins = sum(len(ids) ** 2 / 2 / 65536 for ids in by_conn.values())
    assert twins > 4, "not at once"
    for ids in by_conn.values():
        assert len(ids) == len(set(ids))


def test_tcp_21_replies_in_any_order(streamer, server, fresh):
    """TCP-21: U answers in reverse: each client has its own answer."""
    names = [fresh() for _ in range(50)]
    waiting = []

    def handler(ctx):
        waiting.append(ctx)
        if len(waiting) == len(names):
            for each in reversed(waiting):
                answer_own(each)

    server.handler = handler
    for name, msg in ask_all(streamer, names).items():
        assert_own(msg, name)
    assert len(server.log) == len(names)


def test_tcp_21_the_question_counts_too(streamer, server, fresh):
    """TCP-21: a reply with a good ID and another question answers nobody."""
    def handler(ctx):
        ctx.send(reply(ctx.msg, [rr("other.example.", "A", 300, "192.0.2.66")],
                       question=query("other.example.")[12:]))
        ctx.send_later(0.1, own_reply(ctx))

    server.handler = handler
    name = fresh()
    assert_own(streamer.ask(name), name)
    server.handler = answer_own
    assert_own(streamer.ask("other.example."), "other.example.")


def test_tcp_22_upstream_closes_after_each_reply(streamer, server, fresh):
    """TCP-22: U closes after each reply: unseen by C."""
    def handler(ctx):
        answer_own(ctx)
        ctx.close()

    server.handler = handler
    for _ in range(10):
        name = fresh()
        began = time.monotonic()
        assert_own(streamer.ask(name), name)
        assert time.monotonic() - began < AT_ONCE
    # Three at once, of which each connection answers one: TRIES are enough.
    names = [fresh() for _ in range(3)]
    for name, msg in ask_all(streamer, names).items():
        assert_own(msg, name)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_tcp_22_upstream_closes_with_questions_open(streamer, server, fresh, how):
    """TCP-22: U closes after reading 5: they go out again, once, at once."""
    names = [fresh() for _ in range(5)]
    per_conn = collections.defaultdict(list)
    dropped = []

    def handler(ctx):
        per_conn[ctx.conn].append(ctx)
        if dropped:
            answer_own(ctx)
        elif len(per_conn[ctx.conn]) == 5:
            dropped.append(ctx.conn)
            getattr(ctx, how)()

    server.handler = handler
    began = time.monotonic()
    for name, msg in ask_all(streamer, names).items():
        assert_own(msg, name)
    assert time.monotonic() - began < AT_ONCE, "waited for a timer"
    for name in names:
        sends = server.entries(name)
        assert len(sends) == 2 and sends[0].conn != sends[1].conn, sends


def test_tcp_22_upstream_that_always_closes(streams, server, fresh):
    """TCP-22: an upstream that closes each time ends in SERVFAIL, soon."""
    server.handler = lambda ctx: ctx.close()
    with streams.larder(server) as larder:
        name = fresh()
        began = time.monotonic()
        msg = larder.ask(name, timeout=6)
        assert msg is not None and msg.rcode == SERVFAIL, msg
        assert time.monotonic() - began < 5.5       # `query-timeout` is 4 s
        sends = server.entries(name)
        assert 1 < len(sends) <= 3, sends       # TRIES
        assert len({e.conn for e in sends}) == len(sends), "twice on one"
        server.handler = answer_own
        other = fresh()
        assert_own(larder.ask(other), other)


def test_tcp_23_silent_connection_is_given_up(streams, server, fresh):
    """TCP-23: U answers once, then is silent on it: answered under 3 s."""
    first = []

    def handler(ctx):
        if not first:
            first.append(ctx.conn)
            answer_own(ctx)
        elif ctx.conn != first[0]:
            answer_own(ctx)

    server.handler = handler
    with streams.larder(server, conf={"resend-after": "300ms"}) as larder:
        name = fresh()
        assert_own(larder.ask(name), name)
        names = [fresh() for _ in range(5)]
        began = time.monotonic()
        for name, msg in ask_all(larder, names).items():
            assert_own(msg, name)
        assert time.monotonic() - began < 3
        # Given up: closed, and no later question goes there.
        eventually(lambda: first[0] in server.closed, 5, "still open")
        server.clear()
        for _ in range(5):
            name = fresh()
            began = time.monotonic()
            assert_own(larder.ask(name), name)
            assert time.monotonic() - began < AT_ONCE
        assert first[0] not in {e.conn for e in server.log}


def test_tcp_24_closes_before_the_stated_time(streams, server, fresh):
    """TCP-24: U states 1 s: FIN from larder before that second is over."""
    stated_s, said = 1.0, {}

    def handler(ctx):
        said[ctx.conn] = time.monotonic()
        ctx.send(own_reply(ctx, opt=Opt(options=[
            (KEEPALIVE, struct.pack("!H", round(stated_s * 10)))])))

    server.handler = handler
    with streams.larder(server) as larder:
        def lasted():
            names = [fresh(), fresh()]
            for name in names:
                assert_own(larder.ask(name), name)
            assert len(conns_of(server, names)) == 1, "no use was made of it"
            conn = server.log[-1].conn
            eventually(lambda: conn in server.closed, 8,
                       "still open past the stated time")
            assert server.closed[conn] - said[conn] > 0.2, "closed too early"
            return server.closed[conn] - said[conn]

        soon_enough(lasted, stated_s)
        conn, name = server.log[-1].conn, fresh()
        assert_own(larder.ask(name), name)
        assert server.log[-1].conn != conn


def test_tcp_24_stated_zero_stops_its_use(streams, server, fresh):
    """TCP-24: U states 0: the next question opens a new connection."""
    server.handler = lambda ctx: ctx.send(own_reply(
        ctx, opt=Opt(options=[(KEEPALIVE, b"\0\0")])))
    with streams.larder(server) as larder:
        names = [fresh() for _ in range(4)]
        for name in names:
            assert_own(larder.ask(name), name)
        conns = [e.conn for e in server.log]
        assert len(conns) == len(set(conns)) == 4
        eventually(lambda: set(conns) <= set(server.closed), 5, "left open")


def test_tcp_25_promised_and_never_sent(streams, fresh):
    """TCP-25: U promises 65535 octets and stalls, on 100 connections.

    A server gets one connection at a time, so there are 40 of them, each for
    a route of its own; every question is tried up to three times.
    """
    def stall(ctx):
        ctx.send_raw(b"\xff\xff" + ctx.wire[:12])

    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(streams.server()) for _ in range(40)]
        for server in servers:
            server.handler = stall
        good = stack.enter_context(Upstream())
        larder = stack.enter_context(Larder([good], conf={
            "upstreams": {f"s{i}": streams.conf(s)
                          for i, s in enumerate(servers)},
            "routes": {f"r{i}.example": [f"s{i}"]
                       for i in range(len(servers))},
            "resend-after": "100ms",
            "query-timeout": "2s"}))
        larder.alive()
        before = memory_kib(larder.pid)
        names = [fresh_name("x", f"r{i}.example.") for i in range(len(servers))]
        began = time.monotonic()
        peak = []
        done = threading.Event()

        def watch():
            while not done.wait(0.05):
                peak.append(memory_kib(larder.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            got = ask_all(larder, names, timeout=12)
        finally:
            done.set()
            watcher.join()
        assert time.monotonic() - began < 3.9       # the default is 4 s
        assert {m.rcode for m in got.values()} == {SERVFAIL}
        larder.alive()
        opened = sum(len({e.conn for e in s.log}) for s in servers)
        assert opened >= 2 * len(servers), "no question moved to a new one"
        if not is_sanitized(larder.pid):
            # 100 whole messages at most, had each been received in full.
            assert max(peak) - before < 100 * 64
        # The stalled connections are given up, and the servers used again.
        eventually(lambda: all(e.conn in s.closed for s in servers
                               for e in s.entries()), 15, "left open")
        for server in servers:
            server.handler = answer_own
        name = fresh_name("y", "r0.example.")
        assert_own(larder.ask(name), name)


def test_tcp_25_one_stalled_connection_costs_one_try(streams, server, fresh):
    """TCP-25: the stalled question is answered on a new connection."""
    stalled = []

    def handler(ctx):
        if not stalled:
            stalled.append(ctx.conn)
            ctx.send_raw(b"\xff\xff" + ctx.wire[:12])
        elif ctx.conn != stalled[0]:
            answer_own(ctx)

    server.handler = handler
    with streams.larder(server) as larder:
        name = fresh()
        assert_own(larder.ask(name), name)
        eventually(lambda: stalled[0] in server.closed, 10, "left open")
