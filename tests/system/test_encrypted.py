"""DNS over TLS to upstreams, and who they have to be: section 20 of the
conformance list, rows TLS-* and PAD-*, and what rows elsewhere say of
encrypted upstreams.

The servers are scripted ones behind TLS (secure.py), with certificates of an
authority of this run.  Rows TCP-19 to TCP-25 are shown over TLS in test_tcp.py;
test_doh.py has HTTPS, test_secure_servers.py the servers of others.
"""

import collections
import contextlib
import itertools
import os
import re
import signal
import socket
import ssl
import struct
import threading
import time
import urllib.request

import pytest

import harness
from authority import Authority
from clockshim import clock, clock_library, module_clock  # noqa: F401
from harness import (NXDOMAIN, SERVFAIL, Opt, Upstream, eventually,
                     fresh_name, query, reply, rr, soon_enough)
from secure import (NAME, ClientHello, DohUpstream, DotUpstream, Relay,
                    larder_over, streams, tls_records)
from test_daemon import Varlink

EDE_UNREACHED, EDE_TRANSPORT = 22, 23
PADDING, KEEPALIVE = 12, 11
BOTH = pytest.mark.parametrize("kind", [DotUpstream, DohUpstream],
                               ids=["dot", "doh"])
A = ["192.0.2.1"]
# Shorter than `resend-after`, which is a second: nobody waited for a timer.
AT_ONCE = 0.9
# Where larder learns, it asks elsewhere after 300 ms at most; a machine with
# other work adds to that, and whoever does neither waits for longer than this.
BY_HEDGE = 1.5


@pytest.fixture
def server(request, kind):
    """`dot` or `doh`, whichever the test runs with."""
    return request.getfixturevalue(
        "dot" if kind is DotUpstream else "doh")


def asked(larder, **kw):
    """A new name's answer, and how long that took."""
    name, began = fresh_name(), time.monotonic()
    msg = larder.ask(name, timeout=6, **kw)
    return msg, time.monotonic() - began


def assert_answered(larder, within=None):
    msg, took = asked(larder)
    assert msg is not None and msg.a() == A, f"{msg}\n{larder.log()[-2000:]}"
    assert within is None or took < within, f"{took:.3f} s"
    return took


def assert_refused(larder, *servers, says=None, check=None):
    """SERVFAIL that tells of transport trouble, and no question left us.  Of
    the first server's certificates this check, and no other, has failed."""
    msg, took = asked(larder, opt=Opt())
    assert msg is not None and msg.rcode == SERVFAIL, msg
    assert EDE_TRANSPORT in [code for code, _ in msg.ede], msg.ede
    assert took < 5.5       # `query-timeout` is 4 s
    for each in servers:
        assert each.tried, "no connection was tried"
        assert not each.heard, [str(e.msg) for e in each.log]
    if says:
        assert says in larder.log(), larder.log()
    if check:
        with Varlink(larder.control) as link:
            answer = link.call("io.larder.Stats")["parameters"]
        failed = {k: n for k, n in answer["upstreams"][0]["counters"].items()
                  if k.startswith("certificate") and n}
        assert failed.keys() == {"certificate", "certificate_" + check}
        assert len(set(failed.values())) == 1, failed
        assert re.search(rf"certificate (\d+) \({check} \1\)",
                         larder.ctl("stats").stdout)


# --- who the server has to be -----------------------------------------------

@BOTH
def test_tls_02_the_right_server_is_asked(kind, server):
    """TLS-02: chain, dates and name are good: answered."""
    with larder_over(server) as larder:
        for _ in range(3):
            assert_answered(larder)
    assert len(server.log) == 3 and len(server.hellos) == 1


BAD = {
    "wrong-name": (dict(names=["other.example"]), "another name", "name"),
    "name-in-cn-only": (dict(names=[], common=NAME), "another name", "name"),
    "address-only": (dict(names=["127.0.0.1"]), "another name", "name"),
    "expired": (dict(names=[NAME], begins=-30, ends=-1), "expired", "expired"),
    "not-yet-valid": (dict(names=[NAME], begins=1), "not yet valid",
                      "not_yet_valid"),
    "self-signed": (dict(names=[NAME], own=True), "unknown issuer",
                    "untrusted"),
}


@BOTH
@pytest.mark.parametrize("fault", BAD)
@pytest.mark.parametrize("newest", [None, ssl.TLSVersion.TLSv1_2],
                         ids=["1.3", "1.2"])
def test_tls_02_bad_certificates(kind, ca, fault, newest):
    """TLS-02, DOH-03: a certificate that is not the one: no question leaves,
    and the log says which check failed."""
    how, says, check = BAD[fault]
    names = how.get("names")
    cert = ca.issue(*names, **{k: v for k, v in how.items() if k != "names"})
    with kind(cert, ca, newest=newest) as server, \
            larder_over(server) as larder:
        assert_refused(larder, server, says=says, check=check)


@BOTH
def test_tls_02_wrong_authority(kind, cert, ca, tmp_path):
    """TLS-02: signed by an authority that larder was not told of, whose name
    may even be that of the one it was told of."""
    for name, says, check in (("another", "unknown issuer", "untrusted"),
                              (ca.name, "bad certificate", "other")):
        other = Authority(tmp_path, name)
        with kind(other.issue(NAME), ca) as server, \
                larder_over(server) as larder:
            assert_refused(larder, server, says=says, check=check)


@BOTH
def test_tls_02_system_authorities(kind, cert, ca):
    """TLS-02: without `ca` the system's authorities count, and none of them
    has signed a test's certificate."""
    with kind(cert, ca) as server, larder_over(server.conf(ca=None)) as larder:
        assert_refused(larder, server, says="unknown issuer")


def test_tls_02_an_address_for_a_name(ca):
    """TLS-02: https without a name: the certificate bears the address."""
    for names, fine in ((["127.0.0.1"], True), (["127.0.0.2", NAME], False)):
        with DohUpstream(ca.issue(*names), ca) as server:
            url = f"https://{server.url}"
            with larder_over(server.conf() | {"url": url}) as larder:
                if fine:
                    assert_answered(larder)
                    assert server.hellos[0].server_name is None
                    assert (server.requests[0].field(":authority")
                            == server.url)
                else:
                    assert_refused(larder, server)


def pins_of(server, *pins, name=True):
    if name:
        return server.conf(pins=list(pins))
    return {"url": server.target().split("#")[0], "pins": list(pins)}


def test_tls_03_pins(ca, cert, dot):
    """TLS-03: right pin; one of two; wrong pin; pin of the authority's key;
    with a name in the URL the certificate has to be good as well."""
    wrong = ca.issue("x.example").pin
    for pins in ([cert.pin], [wrong, cert.pin], [ca.pin]):
        with larder_over(pins_of(dot, *pins)) as larder:
            assert_answered(larder)
    dot.reset()
    with larder_over(pins_of(dot, wrong)) as larder:
        assert_refused(larder, dot, says="matches no pin", check="pin")
    with DotUpstream(ca.issue("other.example"), ca) as other:
        with larder_over(pins_of(other, ca.pin)) as larder:
            assert_refused(larder, other, says="another name")


def test_tls_03_a_pin_alone(ca):
    """TLS-03: without a name a pin suffices for a self-signed key, expired
    or not, and another key is refused."""
    own = ca.issue(own=True, begins=-30, ends=-1)
    with DotUpstream(own, ca) as server:
        with larder_over(pins_of(server, own.pin, name=False)) as larder:
            assert_answered(larder)
        server.reset()
        with larder_over(pins_of(server, ca.pin, name=False)) as larder:
            assert_refused(larder, server, says="matches no pin")


@BOTH
def test_tls_03_change_the_pin_and_reload(kind, server, ca, cert):
    """TLS-03: pins are changed and reloaded while a connection is open and
    tickets are kept: no question leaves after that.  Back again: answered."""
    with larder_over(pins_of(server, cert.pin)) as larder:
        assert_answered(larder)
        assert_answered(larder)
        for pins, fine in (([ca.issue().pin], False), ([cert.pin], True)):
            server.reset()
            larder.rewrite({"upstreams": {"u0": pins_of(server, *pins)}})
            done = larder.ctl("reload")
            assert done.returncode == 0, done.stderr
            if fine:
                assert_answered(larder)
            else:
                assert_refused(larder, server, says="matches no pin")


@BOTH
def test_tls_02_certificate_changes_while_running(kind, ca, cert):
    """TLS-02: the server comes back with another key and the wrong name: the
    ticket of the old one opens nothing; with a good one it is used again."""
    with kind(cert, ca) as server, larder_over(server) as larder:
        assert_answered(larder)
        server.stop()
        server.set_certificate(ca.issue("other.example"))
        server.start()
        server.reset()
        assert_refused(larder, server, says="another name")
        server.stop()
        server.set_certificate(cert)
        server.start()
        # Refused for a second, then looked at again.
        eventually(lambda: asked(larder)[0].a() == A, 10, "not used again")


# --- what is spoken ---------------------------------------------------------

OLD = "ALL:@SECLEVEL=0"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_01_old_versions_are_not_spoken(ca, cert):
    """TLS-01: U speaks TLS 1.1 at most: unusable.  1.2 and 1.3 alone: fine."""
    version = ssl.TLSVersion
    with DotUpstream(cert, ca, oldest=version.TLSv1, newest=version.TLSv1_1,
                     ciphers=OLD) as server, larder_over(server) as larder:
        assert_refused(larder, server)
    for only in (version.TLSv1_2, version.TLSv1_3):
        with DotUpstream(cert, ca, oldest=only, newest=only) as server, \
                larder_over(server) as larder:
            assert_answered(larder)


@BOTH
def test_tls_10_client_hello(kind, server):
    """TLS-01, TLS-09, TLS-10, DOH-03: what the ClientHello says: no
    compression, 1.2 and 1.3 alone, the configured name, the right ALPN, no
    early data; nor on resumption."""
    with Relay((server.host, server.port)) as relay, \
            larder_over(server.conf(relay.url)) as larder:
        assert_answered(larder)
        server.stop()
        server.start()
        assert_answered(larder)
        hellos = [ClientHello(p.to_server) for p in relay.passages]
    assert len(hellos) == 2
    for hello in hellos:
        assert hello.compressions == [0]
        assert hello.versions == {0x0303, 0x0304}
        assert hello.server_name == NAME
        assert hello.alpn == list(kind.alpn)
        assert not hello.early_data
    assert 41 in hellos[1].extensions, "no ticket was shown"


def test_tls_10_server_without_alpn(ca, cert):
    """TLS-10: DoT goes on with a server that says nothing of ALPN."""
    with DotUpstream(cert, ca, alpn=None) as server, \
            larder_over(server) as larder:
        assert_answered(larder)
        assert server.hellos[0].alpn is None


@pytest.mark.parametrize("alpn", [None, ("http/1.1",)], ids=["none", "h1"])
def test_doh_03_needs_h2(ca, cert, alpn):
    """DOH-03: ALPN without h2: failure, no request."""
    with DohUpstream(cert, ca, alpn=alpn) as server, \
            larder_over(server) as larder:
        assert_refused(larder, server)
        assert not server.requests


def test_doh_03_http_is_refused():
    """DOH-03: an `http:` address is refused at the start."""
    with harness.Larder(["http://127.0.0.1/dns-query"],
                        expect_start=False) as larder:
        assert larder.proc.returncode == 1
        assert "larder.yaml:" in larder.log()


def plain_server(answer):
    """A TCP server that says `answer(sock, octets)` to what comes first."""
    heard = []
    listener = socket.create_server(("127.0.0.1", harness.free_port()))

    def serve():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                sock.settimeout(6)
                try:
                    octets = sock.recv(65536)
                    heard.append(octets)
                    answer(sock, octets)
                except OSError:
                    pass

    Upstream._spawn(serve)
    return listener, heard


def reset(sock, octets):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))


NO_TLS = {
    "plain-dns": lambda sock, octets: sock.sendall(
        struct.pack("!H", 12) + bytes(12)),
    "http": lambda sock, octets: sock.sendall(b"HTTP/1.1 400 Bad\r\n\r\n"),
    "alert": lambda sock, octets: sock.sendall(b"\x15\x03\x03\0\x02\x02\x28"),
    "garbage": lambda sock, octets: sock.sendall(b"\xff" * 4096),
    "reset": reset,
    "close": lambda sock, octets: None,
    "silence": lambda sock, octets: time.sleep(5),
}


@BOTH
@pytest.mark.parametrize("says", NO_TLS)
def test_tls_07_no_tls_there(kind, cert, ca, says):
    """TLS-04, TLS-07: a server on the TLS port that speaks none: what goes
    there is TLS alone, and nothing goes to the same port by UDP."""
    listener, heard = plain_server(NO_TLS[says])
    port = listener.getsockname()[1]
    with listener, Upstream(port=port, tcp=False) as clear:
        conf = {"url": kind.target(_Named(port, kind), None),
                "ca": str(ca.path)}
        name = fresh_name("secret")
        with larder_over(conf) as larder:
            msg = larder.ask(name, timeout=6, opt=Opt())
            assert msg is not None and msg.rcode == SERVFAIL, msg
            assert {c for c, _ in msg.ede} & {EDE_TRANSPORT, EDE_UNREACHED}
            larder.check_running()
        listener.shutdown(socket.SHUT_RDWR)
        assert heard
        for octets in heard:
            assert all(k in (20, 21, 22) for k, _ in tls_records(octets))
            assert harness.qname(name)[1:9] not in octets
        assert not clear.log


class _Named:
    """Enough of an upstream for its URL."""

    def __init__(self, port, kind):
        self.url, self.name, self.path = f"127.0.0.1:{port}", NAME, "/dns-query"
        self.scheme = kind.scheme


@BOTH
def test_tls_04_never_falls_back(kind, cert, ca):
    """TLS-04: U drops its port: SERVFAIL with EDE 23, nothing on 53."""
    host = "127.83.5.3"
    try:
        clear = Upstream(host, 53)
    except OSError as error:
        pytest.skip(f"port 53: {error}")
    with clear:
        conf = {"url": f"{kind.scheme}://{host}#{NAME}", "ca": str(ca.path)}
        with larder_over(conf) as larder:
            msg, _ = asked(larder, opt=Opt())
            assert msg.rcode == SERVFAIL, msg
            assert [c for c, _ in msg.ede] == [EDE_TRANSPORT], msg.ede
        assert not clear.log and not clear._accepted


def test_tls_07_only_tls_on_the_wire(dot):
    """TLS-07: over a whole life of connections, nothing but TLS records."""
    with Relay((dot.host, dot.port)) as relay, \
            larder_over(dot.conf(relay.url)) as larder:
        name = fresh_name("secret")
        for _ in range(3):
            assert larder.ask(name).a() == A
            assert_answered(larder)
            dot.stop()
            dot.start()
            name = fresh_name("secret")
        passages = relay.passages
    assert len(passages) == 3
    for passage in passages:
        kinds = [k for k, _ in tls_records(passage.to_server)]
        assert kinds[0] == 22 and 23 in kinds
        assert b"secret" not in passage.to_server


# --- connections that end ---------------------------------------------------

def frame(message):
    return struct.pack("!H", len(message)) + message


def cut_record(ctx, message):
    ctx._sock.raw.sendall(ctx._sock.record(frame(message))[:-5])
    ctx.close()


def cut_after_length(ctx, message):
    ctx.send_raw(frame(message)[:2])
    ctx.close()


def cut_in_message(ctx, message):
    ctx.send_raw(frame(message)[:-4])
    ctx._sock.close_notify()
    ctx.close()


def closed_before(ctx, message):
    ctx._sock.close_notify()
    ctx.close()


def reset_before(ctx, message):
    ctx.reset()


CUTS = {f.__name__: f for f in (cut_record, cut_after_length, cut_in_message,
                                closed_before, reset_before)}


@pytest.mark.parametrize("cut", CUTS)
def test_tls_08_cut_answers(dot, cut):
    """TLS-08: U ends the connection in the middle of an answer: the question
    goes out again on a new one at once; the cut message is never used."""
    with larder_over(dot) as larder:
        assert_answered(larder)
        first = []

        def handler(ctx):
            if first:
                return ctx.default()
            first.append(ctx.conn)
            CUTS[cut](ctx, reply(ctx.msg, [rr(ctx.name, "A", 300,
                                              "192.0.2.66")]))

        dot.handler = handler
        assert_answered(larder, within=AT_ONCE)
        assert len(dot.log) == 3
        assert dot.log[2].conn != dot.log[1].conn


@pytest.mark.parametrize("close", ["close", "close_notify", "reset"])
def test_tls_08_cut_after_the_message(dot, close):
    """TLS-08: U closes after each answer, with and without good-bye: unseen
    by C."""
    def handler(ctx):
        ctx.default()
        if close == "close_notify":
            ctx._sock.close_notify()
        elif close == "reset":
            time.sleep(0.02)        # a reset would overtake the answer
        (ctx.reset if close == "reset" else ctx.close)()

    dot.handler = handler
    with larder_over(dot) as larder:
        for _ in range(5):
            assert_answered(larder, within=AT_ONCE)
    assert len(dot.hellos) == 5


@BOTH
def test_tls_09_resumption(kind, server):
    """TLS-09: the second connection resumes; a ticket that is refused means
    a full handshake, and costs nobody anything."""
    with larder_over(server) as larder:
        assert_answered(larder)
        server.stop()
        server.start()
        assert_answered(larder)
        assert [h.resumed for h in server.hellos] == [False, True]
        # Another server: its tickets are its own.
        server.stop()
        server.set_certificate(server.ca.issue(NAME))
        server.start()
        assert_answered(larder)
        assert [h.resumed for h in server.hellos] == [False, True, False]


def test_tls_09_tls_1_2(ca, cert):
    """TLS-09: a TLS 1.2 session resumes too, and only its own server's."""
    with DotUpstream(cert, ca, newest=ssl.TLSVersion.TLSv1_2) as server, \
            larder_over(server) as larder:
        for _ in range(2):
            assert_answered(larder)
            server.stop()
            server.start()
        assert [h.resumed for h in server.hellos] == [False, True]


@BOTH
def test_tls_11_idle_close_costs_two_round_trips(kind, cert, ca):
    """TLS-10, DOH-14: after the server's idle close the first question costs
    at most two round trips more than on a warm connection."""
    delay, idle = 0.1, 0.7
    with kind(cert, ca) as server, \
            Relay((server.host, server.port), delay) as relay:
        last = collections.defaultdict(float)

        def handler(ctx):
            last[ctx.conn] = mark = time.monotonic()
            ctx.default()
            harness._later.at(mark + idle, lambda: (
                ctx.close() if last[ctx.conn] == mark else None))

        server.handler = handler
        with larder_over(server.conf(relay.url)) as larder:
            assert_answered(larder)
            warm = min(assert_answered(larder) for _ in range(3))
            assert 2 * delay <= warm

            def cold():
                conn = server.log[-1].conn
                eventually(lambda: conn in server.closed, 10, "still open")
                time.sleep(2 * delay)       # the news reaches larder
                took = assert_answered(larder)
                assert server.log[-1].conn != conn
                return took

            soon_enough(cold, warm + 2 * 2 * delay + 1.6 * delay, 6)


@BOTH
def test_tls_11_silently_lost_with_another_upstream(kind, server, upstream):
    """TLS-11: the connection is lost on the way and nobody is told: the next
    question is answered elsewhere within 500 ms, and soon by a new one."""
    with Relay((server.host, server.port)) as relay, \
            larder_over(server.conf(relay.url), {"url": upstream.url},
                        steady=False) as larder:
        for _ in range(3):
            assert_answered(larder)
        relay.lose_all()
        for _ in range(3):
            assert_answered(larder, within=BY_HEDGE)


@BOTH
def test_tls_11_silently_lost_and_alone(kind, server):
    """TLS-11: the same with no other upstream: within 500 ms over a second
    connection, and the lost one soon gets no more questions."""
    with Relay((server.host, server.port)) as relay, \
            larder_over(server.conf(relay.url), steady=False) as larder:
        for _ in range(3):
            assert_answered(larder)
        relay.lose_all()
        for _ in range(4):
            assert_answered(larder, within=BY_HEDGE)
        assert len(relay.passages) == 2


@BOTH
def test_tls_11_after_suspend(kind, server, clock):    # noqa: F811
    """TLS-11: the host slept and the connection is gone without a word: the
    first question is answered within 500 ms, on a new one."""
    with Relay((server.host, server.port)) as relay, \
            larder_over(server.conf(relay.url), env=clock.env) as larder:
        assert_answered(larder)
        relay.lose_all()
        clock.advance(120)
        time.sleep(0.2)             # a loop has to turn to see it
        assert_answered(larder, within=AT_ONCE)


@BOTH
def test_tls_11_stopped_for_two_minutes(kind, server, clock):    # noqa: F811
    """TLS-11: the process stood still for two minutes, and meanwhile the
    connection was lost on the way: the first question is answered within
    500 ms, on a new one."""
    with Relay((server.host, server.port), 0.01) as relay, \
            larder_over(server.conf(relay.url), env=clock.env) as larder:
        for _ in range(2):
            assert_answered(larder)
            os.kill(larder.pid, signal.SIGSTOP)
            try:
                relay.lose_all()
                clock.pass_by(120)
            finally:
                os.kill(larder.pid, signal.SIGCONT)
            assert_answered(larder, within=AT_ONCE)
        assert len(relay.passages) >= 3


@BOTH
def test_tls_11_a_minute_of_idleness(kind, cert, ca, clock):    # noqa: F811
    """TLS-10, DOH-14: 29 s after the last question the next one costs what
    a warm one does, as long as the server closes nothing.  Then it begins to
    close what was idle for 10 s: a minute later the first question costs at
    most two round trips more."""
    delay = 0.1
    trip = 2 * delay
    with kind(cert, ca) as server, \
            Relay((server.host, server.port), delay) as relay, \
            larder_over(server.conf(relay.url), env=clock.env) as larder:
        contexts = []

        def handler(ctx):
            contexts.append(ctx)
            ctx.default()

        def conn():
            return server.log[-1].conn

        def after_29_s():
            clock.pass_by(29)
            return assert_answered(larder)

        def after_a_close():
            clock.pass_by(10)
            was = conn()
            contexts[-1].close()
            eventually(lambda: was in server.closed, 10, "still open")
            time.sleep(2 * delay)       # the news reaches larder
            clock.pass_by(50)
            return assert_answered(larder)

        server.handler = handler
        assert_answered(larder)
        warm = min(assert_answered(larder) for _ in range(3))
        assert trip <= warm
        was = conn()
        soon_enough(after_29_s, warm + 0.8 * trip, 6)
        assert conn() == was
        soon_enough(after_a_close, warm + 2 * trip + 0.8 * trip, 6)
        assert conn() != was


@BOTH
def test_failover_from_a_broken_upstream(kind, cert, ca, server):
    """FWD-13: an encrypted upstream that is broken in any way: the good one
    answers within the hedge delay, and the question is on nobody's wire."""
    listener, _ = plain_server(lambda sock, octets: time.sleep(3))
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        enter(listener)
        broken = {
            "certificate": enter(kind(ca.issue("x.example"), ca)).conf(),
            "silent": {"url": kind.target(
                _Named(listener.getsockname()[1], kind)), "ca": str(ca.path)},
            "nobody": {"url": kind.target(_Named(harness.free_port(), kind)),
                       "ca": str(ca.path)},
        }
        for what, conf in broken.items():
            with larder_over(conf, server,
                             conf={"resend-after": "300ms"}) as larder:
                for _ in range(3):
                    msg, took = asked(larder)
                    assert msg.a() == A, (what, msg)
                    assert took < BY_HEDGE, (what, took)
        listener.shutdown(socket.SHUT_RDWR)


# --- many at once -----------------------------------------------------------

@BOTH
def test_tls_10_any_order(kind, server):
    """TLS-10: answers in reverse order, some held back: each its own."""
    waiting, names = [], [fresh_name() for _ in range(40)]

    def address(name):
        return f"192.0.2.{names.index(name) + 1}"

    def handler(ctx):
        waiting.append(ctx)
        if len(waiting) == len(names):
            for each in reversed(waiting):
                each.send(reply(each.msg, [rr(each.name, "A", 300,
                                              address(each.name))]))

    server.handler = handler
    with larder_over(server, conf={"resend-after": "1s"}) as larder, \
            larder.tcp() as conn:
        for i, name in enumerate(names):
            conn.send(query(name, id=i))
        got = {m.id: m for m in (conn.recv(3) for _ in names)}
    for i, name in enumerate(names):
        assert got[i].question[0].text == name
        assert got[i].a() == [address(name)]
    assert len(server.hellos) == 1


def test_tls_10_a_record_for_each_question(dot):
    """TLS-10: questions that leave together are TLS records of their own:
    some servers (dnsdist 1.7) take one question out of each."""
    with Relay((dot.host, dot.port)) as relay, larder_over(
            dot.conf(relay.url), conf={"resend-after": "1s"}) as larder, \
            larder.tcp() as conn:
        for i in range(8):
            conn.send(query(fresh_name(), id=i))
        assert all(conn.recv(3) is not None for _ in range(8))
        sizes = [len(body) for passage in relay.passages
                 for kind, body in tls_records(passage.to_server)
                 if kind == 23]
    question = 2 + 128 + 1 + 16         # length, padded, TLS's type and tag
    assert sizes.count(question) >= 8, sizes
    assert max(sizes) == question, sizes


@BOTH
def test_match_11_the_question_counts(kind, server):
    """MATCH-11: the right ID and another question: not returned, not kept."""
    wrong = "other.example."

    def handler(ctx):
        ctx.send(reply(ctx.msg, [rr(wrong, "A", 300, "192.0.2.66")],
                       question=query(wrong)[12:]))

    server.handler = handler
    with larder_over(server, conf={"query-timeout": "1s"}) as larder:
        msg, _ = asked(larder)
        assert msg is None or msg.rcode == SERVFAIL, msg
        server.handler = harness.answer_default
        assert larder.ask(wrong, timeout=6).a() == A


@BOTH
def test_flag_03_ad_of_an_upstream_that_is_not_marked(kind, server):
    """FLAG-03: AD of an authenticated upstream that is not marked as trusted
    is not passed on."""
    server.handler = lambda ctx: ctx.send(reply(
        ctx.msg, [rr(ctx.name, "A", 300, "192.0.2.1")], ad=1))
    with larder_over(server) as larder:
        name = fresh_name()
        for _ in ("miss", "hit"):
            assert larder.ask(name, ad=1).ad == 0


@BOTH
@pytest.mark.parametrize("ad", [0, 1])
def test_flag_03_04_05_ad_of_a_trusted_upstream(kind, server, ad):
    """FLAG-03, FLAG-04, FLAG-05: AD of an authenticated upstream that is
    marked as trusted reaches the clients that set AD or DO, from the miss and
    from the cache, and it is asked for whatever the client set."""
    server.handler = lambda ctx: ctx.send(reply(
        ctx.msg, [rr(ctx.name, "A", 300, "192.0.2.1")], ad=ad))
    with larder_over({**server.conf(), "trusted": True}) as larder:
        for first, do in ((0, 0), (1, 0), (0, 1), (1, 1)):
            name = fresh_name()
            for wanted in (first, 1, 0):
                msg = larder.ask(name, ad=wanted, opt=Opt(do=do))
                assert (msg.a(), msg.ad) == (A, ad and (wanted or do)), msg
            assert [e.msg.ad for e in server.entries(name)] == [1]


def test_flag_03_trust_ends_with_a_reload(dot):
    """FLAG-03: what a server said while it was trusted is not passed on any
    more once it is not."""
    dot.handler = lambda ctx: ctx.send(reply(
        ctx.msg, [rr(ctx.name, "A", 300, "192.0.2.1")], ad=1))
    name = fresh_name()
    with larder_over({**dot.conf(), "trusted": True}) as larder:
        assert larder.ask(name, ad=1).ad == 1
        larder.rewrite({"forward": ["u0"], "upstreams": {"u0": dot.conf()}})
        assert larder.ctl("reload").returncode == 0
        assert larder.ask(name, ad=1).ad == 0


# --- padding ----------------------------------------------------------------

def test_pad_01_02_sizes(dot, doh):
    """PAD-01, PAD-02, TLS-10, DOH-15: queries on encrypted transports end at
    a multiple of 128 octets, without the TCP prefix; the option is the last,
    stands once and holds zeros.  Clear UDP and TCP have none.  The keepalive
    option is not sent on DoH."""
    names = ["a.example.", "b" * 50 + ".example.",
             ".".join(["c" * 60] * 3 + ["d" * 50]) + ".example."[:9]]
    with Upstream() as clear:
        for conf in (dot, doh, {"url": clear.url},
                     {"url": f"tcp://{clear.url}"}):
            with larder_over(conf) as larder:
                for name in names:
                    for opt in (None, Opt(do=1), Opt(options=[
                            (PADDING, b"x" * 7), (KEEPALIVE, b"")])):
                        larder.ask_tcp(fresh_name("p", name), opt=opt)
        log = {"dot": dot.log, "doh": doh.log, "clear": clear.log}
    for where, entries in log.items():
        assert len(entries) >= 9, where
        for e in entries:
            codes = [code for code, _ in e.msg.opt.options]
            if where == "clear":
                assert PADDING not in codes
                continue
            assert len(e.wire) % 128 == 0, (where, len(e.wire))
            assert codes.count(PADDING) == 1 and codes[-1] == PADDING
            assert not any(e.msg.opt.option(PADDING))
            if where == "doh":
                assert KEEPALIVE not in codes


@BOTH
def test_pad_03_padded_answers(kind, server):
    """PAD-03: padding of any length and content is accepted and not kept."""
    size = {}

    def handler(ctx):
        ctx.send(reply(ctx.msg, [rr(ctx.name, "A", 300, "192.0.2.1")],
                       opt=Opt(options=[(PADDING, b"\xa5" * size["n"])])))

    server.handler = handler
    with larder_over(server) as larder:
        for size["n"] in (0, 1, 17, 468, 1000):
            name = fresh_name()
            for _ in ("miss", "hit"):
                msg = larder.ask(name, opt=Opt())
                assert msg.a() == A and not msg.opt.options, msg
                assert msg.opt_octets == 11


@BOTH
def test_rcodes_pass(kind, server):
    """FWD-03 over encrypted transports: NXDOMAIN is an answer."""
    server.handler = lambda ctx: ctx.send(reply(
        ctx.msg, authority=[harness.soa("example.")], rcode=NXDOMAIN))
    with larder_over(server) as larder:
        assert asked(larder)[0].rcode == NXDOMAIN
    assert len(server.log) == 1


@BOTH
def test_closes_after_two_idle_seconds(kind, cert, ca):
    """DOH-14, TLS-10: U closes what was idle for two seconds, again and
    again: every question is answered, none is lost to the closing."""
    idle = 2.0
    with kind(cert, ca) as server, larder_over(server) as larder:
        last = {}

        def handler(ctx):
            last[ctx.conn] = mark = time.monotonic()
            ctx.default()
            harness._later.at(mark + idle, lambda: (
                ctx.close() if last[ctx.conn] == mark else None))

        server.handler = handler
        assert_answered(larder)
        for pause in (idle - 0.02, idle, idle + 0.02):
            time.sleep(pause)
            assert_answered(larder, within=AT_ONCE)


def test_failures_and_handshakes_are_counted(cert, ca, dot):
    """Issue 5, item 5: failures are counted by reason, and handshakes are
    timed, in full and resumed."""
    port = harness.free_port()
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        bad = enter(DotUpstream(ca.issue("x.example"), ca))
        refusing = enter(DohUpstream(cert, ca))
        refusing.handler = lambda ctx: ctx.respond(500)
        larder = enter(larder_over(bad, refusing, dot, conf={
            "metrics-listen": [f"127.0.0.1:{port}"]}))
        assert_answered(larder)
        dot.stop()
        dot.start()
        assert_answered(larder)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics",
                                    timeout=5) as page:
            lines = page.read().decode().splitlines()
    number = dict(line.rsplit(" ", 1) for line in lines if line[0] != "#")

    def of(metric, upstream, more=""):
        return float(number[f'larder_{metric}{{upstream="{upstream}"{more}}}'])

    failures = "upstream_failures_total"
    refused = of(failures, "u0", ',reason="certificate"')
    assert refused >= 1
    checks = "upstream_certificate_failures_total"
    assert of(checks, "u0", ',check="name"') == refused
    assert of(checks, "u0", ',check="expired"') == 0
    assert of(failures, "u1", ',reason="http"') >= 1
    assert of("upstream_handshake_duration_seconds_count", "u0") == 0
    assert of("upstream_handshake_duration_seconds_count", "u1") == 1
    assert of("upstream_handshake_duration_seconds_count", "u2") == 1
    assert of("upstream_resumption_duration_seconds_count", "u2") == 1
    assert of("upstream_connect_duration_seconds_count", "u2") == 2


@BOTH
def test_connections_are_bounded_and_closed(kind, cert, ca):
    """Issue 5, item 2: whatever a server does to its connections, there are a
    few at most, and when it is gone no descriptor is left behind."""
    def close(ctx):
        ctx.close()

    def reset_it(ctx):
        ctx.reset()

    def answer_and_close(ctx):
        ctx.default()
        ctx.close()

    def silence(ctx):
        pass

    def leave(ctx):
        if kind is DohUpstream:
            ctx.goaway(0)
        else:
            ctx.send_raw(b"\0\5junk!")

    def cut(ctx):
        ctx.send_raw(b"\0\0\0")
        ctx.close()

    deeds = itertools.cycle([close, harness.answer_default, reset_it, silence,
                             answer_and_close, leave, cut, silence,
                             harness.answer_default])
    with kind(cert, ca) as server, larder_over(
            server, conf={"resend-after": "30ms", "query-timeout": "300ms",
                          "resolve-timeout": "500ms"}) as larder:
        assert_answered(larder)
        fds = len(os.listdir(f"/proc/{larder.pid}/fd"))

        def handler(ctx):
            with contextlib.suppress(OSError, ssl.SSLError):    # ended before
                next(deeds)(ctx)

        server.handler = handler
        most, asking = 0, larder.udp_socket()
        turn, deadline = 0, time.monotonic() + 10
        while turn < 40 or (len(server.hellos) <= 10
                            and time.monotonic() < deadline):
            turn += 1
            for _ in range(3):
                asking.send(query(fresh_name()))
            time.sleep(0.02)
            most = max(most, streams(larder, server.port))
        assert len(server.hellos) > 10, "no connection was opened anew"
        assert most <= 6, most
        server.stop()
        eventually(lambda: not streams(larder, server.port), 10, "left open")
        asking.close()
        eventually(lambda: len(os.listdir(f"/proc/{larder.pid}/fd")) <= fds,
                   10, "descriptors")


def in_two_pieces(ctx):
    """The first of the answer at once, the rest so much later that no other
    work of the machine hides it."""
    message = reply(ctx.msg, [rr(ctx.name, "A", 300, "192.0.2.1")])

    def late():
        time.sleep(0.4)
        yield message

    if hasattr(ctx, "respond"):
        ctx.respond(body=late())
        return
    ctx.send_raw(frame(message)[:7])
    time.sleep(0.4)
    ctx.send_raw(frame(message)[7:])


@BOTH
def test_stages_are_timed(kind, server):
    """Issue 5, item 5: connect, handshake, resumption and first octet, apart
    from the whole exchange, on the control socket and in `larderctl stats`."""
    server.handler = in_two_pieces
    with larder_over(server, conf={"resend-after": "1s"}) as larder:
        assert_answered(larder)
        server.stop()
        server.start()
        assert_answered(larder)
        upstream, = larder.stats()["upstreams"]
        assert upstream["connect"]["count"] == 2
        assert upstream["handshake"]["count"] == 1
        assert upstream["resumption"]["count"] == 1
        assert upstream["exchange"]["p50_us"] > 340000
        assert (upstream["first_octet"]["count"]
                == upstream["exchange"]["count"])
        assert upstream["first_octet"]["p50_us"] < (
            upstream["exchange"]["p50_us"] - 100000)
        text = larder.ctl("stats").stdout
        for stage in ("TCP", "TLS, full handshake", "TLS, resumed",
                      "first octet of answers"):
            assert stage in text, text


def test_threads_do_not_share_connections(dot):
    """Each worker has a connection of its own, and all are authenticated."""
    lock, conns = threading.Lock(), set()

    def handler(ctx):
        with lock:
            conns.add(ctx.conn)
        ctx.default()

    dot.handler = handler
    with larder_over(dot, conf={"threads": 2}) as larder:
        for _ in range(24):
            assert_answered(larder)
    assert 1 <= len(conns) <= 2 and len(dot.hellos) == len(conns)
