"""The opportunistic profile (RFC 8310 s. 5): rows TLS-05 and TLS-06.

Each test has a loopback address of its own, where a resolver in clear listens
at port 53 and TLS at another port, if there is any.
"""

import contextlib
import itertools
import json
import socket
import struct
import time

import pytest

import harness
from clockshim import clock, clock_library, module_clock  # noqa: F401
from harness import (REFUSED, SERVFAIL, Opt, Upstream, eventually,
                     fresh_name)
from secure import NAME, DohUpstream, DotUpstream, larder_over

BOTH = pytest.mark.parametrize("kind", [DotUpstream, DohUpstream],
                               ids=["dot", "doh"])
A = ["192.0.2.1"]
_hosts = itertools.count(10)


@pytest.fixture
def clear():
    """A resolver at port 53 of an address that nobody else has."""
    try:
        server = Upstream(f"127.83.6.{next(_hosts)}", 53)
    except OSError as error:
        pytest.skip(f"port 53: {error}")
    with server:
        yield server


def conf_of(clear, ca, port, scheme="tls", name=NAME, **more):
    path = "/dns-query" if scheme == "https" else ""
    conf = {"url": f"{scheme}://{clear.host}:{port}{path}#{name}",
            "ca": str(ca.path), "profile": "opportunistic", **more}
    return {k: v for k, v in conf.items() if v is not None}


def upstream_of(larder):
    return json.loads(larder.ctl("--json", "upstreams").stdout)["upstreams"][0]


AT_ONCE = 1.5       # seconds, on a machine with other work


def assert_answered(larder, within=None):
    name, began = fresh_name(), time.monotonic()
    msg = larder.ask(name, timeout=6)
    took = time.monotonic() - began
    assert msg is not None and msg.a() == A, f"{msg}\n{larder.log()[-2000:]}"
    assert within is None or took < within, f"{took:.3f} s"
    return name


def assert_level(larder, level, says=None):
    found = upstream_of(larder)
    assert found["level"] == level, found
    assert level in larder.ctl("upstreams").stdout
    if says:
        assert says in found["doubt"], found
        assert f"{level}: {found['doubt']}" in larder.ctl("upstreams").stdout
        assert says in larder.log()
    else:
        assert found["doubt"] is None


@BOTH
def test_tls_05_authenticated(kind, clear, cert, ca):
    """TLS-05: a good certificate: authenticated, and nothing in clear."""
    with kind(cert, ca, host=clear.host) as server, larder_over(
            conf_of(clear, ca, server.port, server.scheme)) as larder:
        for _ in range(3):
            assert_answered(larder)
        assert len(server.log) == 3
        assert_level(larder, "authenticated")
        assert "asked over TLS, authenticated" in larder.log()
        assert not clear.log and not clear._accepted


BAD = {
    "wrong-name": (dict(names=["other.example"]), "another name"),
    "expired": (dict(names=[NAME], begins=-30, ends=-1), "expired"),
    "self-signed": (dict(names=[NAME], own=True), "unknown issuer"),
}


@BOTH
@pytest.mark.parametrize("fault", BAD)
def test_tls_05_encrypted(kind, fault, clear, ca):
    """TLS-05: a certificate that is not accepted: encrypted all the same, the
    level and the reason are told, and nothing goes in clear."""
    how, says = BAD[fault]
    bad = ca.issue(*how["names"], **{k: v for k, v in how.items()
                                     if k != "names"})
    with kind(bad, ca, host=clear.host) as server, larder_over(
            conf_of(clear, ca, server.port, server.scheme)) as larder:
        for _ in range(3):
            assert_answered(larder)
        assert len(server.log) == 3
        assert_level(larder, "encrypted", says)
        assert "asked over TLS, not authenticated" in larder.log()
        assert not clear.log and not clear._accepted


def test_tls_05_without_a_name(clear, cert, ca):
    """TLS-05: nothing is known of the server but its address."""
    with DotUpstream(cert, ca, host=clear.host) as server, larder_over(
            {"url": f"tls://{server.url}", "profile": "opportunistic"}) \
            as larder:
        assert_answered(larder)
        assert_level(larder, "encrypted", "to know it by")
        assert not clear.log


class Plain:
    """A TCP server at the TLS port that speaks no TLS."""

    def __init__(self, host, says):
        self.says, self.heard = says, []
        self.listener = socket.create_server((host, harness.free_port(host)))
        self.port = self.listener.getsockname()[1]
        Upstream._spawn(self._serve)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _serve(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                sock.settimeout(6)
                self.heard.append(sock.recv(65536))
                self.says(sock)


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))


NO_TLS = {
    "http": lambda sock: sock.sendall(b"HTTP/1.1 400 Bad\r\n\r\n"),
    "alert": lambda sock: sock.sendall(b"\x15\x03\x03\0\x02\x02\x28"),
    "garbage": lambda sock: sock.sendall(b"\xff" * 4096),
    "reset": reset,
    "close": lambda sock: None,
    "silence": lambda sock: time.sleep(5),
}


@BOTH
def test_tls_05_nobody_listens(kind, clear, ca):
    """TLS-05: the TLS port is closed: clear text at port 53, at once."""
    with larder_over(conf_of(clear, ca, harness.free_port(clear.host),
                             kind.scheme)) as larder:
        for _ in range(3):
            assert_answered(larder, within=AT_ONCE)
        assert len(clear.log) == 3
        assert_level(larder, "clear", "nobody listens")
        assert "asked in clear text" in larder.log()
        assert upstream_of(larder)["state"] == "good"


@pytest.mark.parametrize("says", NO_TLS)
def test_tls_05_no_tls_there(says, clear, ca):
    """TLS-05, TLS-07: whatever speaks there is no TLS: clear text at port 53,
    and no clear octet of ours at the TLS port."""
    with Plain(clear.host, NO_TLS[says]) as plain, larder_over(
            conf_of(clear, ca, plain.port)) as larder:
        name = assert_answered(larder, within=3.9 if says == "silence"
                               else AT_ONCE)
        assert_answered(larder, within=AT_ONCE)
        assert upstream_of(larder)["level"] == "clear"
        assert plain.heard and len(clear.log) == 2
        assert not any(harness.qname(name)[1:9] in o for o in plain.heard)


def test_tls_06_remembered(clear, cert, ca, clock):    # noqa: F811
    """TLS-06: a server without TLS is remembered, and looked at again after
    an hour at most, not at each query; no query waits for that."""
    with Plain(clear.host, NO_TLS["close"]) as plain, larder_over(
            conf_of(clear, ca, plain.port), env=clock.env) as larder:
        for _ in range(30):
            assert_answered(larder, within=AT_ONCE)
        assert len(plain.heard) == 1
        for hours in range(1, 12):      # looks in vain, ever further apart
            clock.pass_by(3601)
            for _ in range(3):
                assert_answered(larder, within=AT_ONCE)
            eventually(lambda: len(plain.heard) > hours, what="no look")
        assert len(plain.heard) == 12
        clock.pass_by(1800)
        for _ in range(3):
            assert_answered(larder, within=AT_ONCE)
        assert len(plain.heard) == 12, "half an hour is no hour"
    assert len({e.name for e in clear.log}) == 30 + 11 * 3 + 3


@BOTH
def test_tls_06_tls_comes_back(kind, clear, cert, ca, clock):    # noqa: F811
    """TLS-06: closed, then open: an hour later the next questions go over
    TLS, and none waits meanwhile."""
    with kind(cert, ca, host=clear.host) as server:
        server.stop()
        with larder_over(conf_of(clear, ca, server.port, server.scheme),
                         env=clock.env) as larder:
            assert_answered(larder, within=AT_ONCE)
            assert upstream_of(larder)["level"] == "clear"
            server.start()
            assert_answered(larder, within=AT_ONCE)
            assert not server.heard
            clock.pass_by(3601)
            assert_answered(larder, within=AT_ONCE)     # in clear, and a look
            eventually(lambda: upstream_of(larder)["level"] ==
                       "authenticated", what="TLS was not seen")
            before = len(clear.log)
            for _ in range(3):
                assert_answered(larder)
            assert len(server.log) == 3 and len(clear.log) == before
            # And away again.
            server.stop()
            assert_answered(larder, within=2 * AT_ONCE)
            assert upstream_of(larder)["level"] == "clear"


USELESS = {
    "silence": lambda ctx: None,
    "refused": lambda ctx: ctx.send(harness.reply(ctx.msg, rcode=REFUSED)),
}


@pytest.mark.parametrize("says", USELESS)
def test_tls_05_opens_in_vain(says, clear, cert, ca, clock):    # noqa: F811
    """TLS-05: TLS opens, but no question over it is answered well: clear
    text, which works, and so it stays until TLS is of use."""
    with DotUpstream(cert, ca, host=clear.host) as server, larder_over(
            conf_of(clear, ca, server.port), env=clock.env) as larder:
        server.handler, server.knows_root = USELESS[says], False
        eventually(lambda: larder.ask(fresh_name(), timeout=6) and
                   upstream_of(larder)["level"] == "clear",
                   20, "asked over TLS still")
        assert "over TLS are not answered" in upstream_of(larder)["doubt"]
        assert_answered(larder)
        heard = server.heard
        clock.pass_by(11)
        eventually(lambda: assert_answered(larder) and server.heard > heard,
                   what="no look")
        server.handler, server.knows_root = harness.answer_default, True
        # The look may have ended only after the first jump, or fall into one.
        for _ in range(10):
            clock.pass_by(3601)
            end = time.monotonic() + 2
            while time.monotonic() < end:
                assert_answered(larder)
                if upstream_of(larder)["level"] == "authenticated":
                    return
        pytest.fail("TLS was not seen")


def test_tls_09_tickets_of_the_unauthenticated(clear, ca, cert):
    """TLS-09: a session that was not authenticated leaves no ticket, and what
    an opportunistic one leaves is not for a strict upstream."""
    with DotUpstream(ca.issue("other.example"), ca, host=clear.host) \
            as server, larder_over(conf_of(clear, ca, server.port)) as larder:
        for _ in range(2):
            assert_answered(larder)
            server.stop()
            server.start()
        assert [h.resumed for h in server.hellos] == [False, False]
        server.set_certificate(cert)
        server.stop()
        server.start()
        server.reset()
        for _ in range(2):      # in clear at first, perhaps: it was away
            conf = conf_of(clear, ca, server.port, profile="strict")
            larder.rewrite({"upstreams": {"u0": conf}})
            assert larder.ctl("reload").returncode == 0
            assert_answered(larder)
            server.stop()
            server.start()
            conf = conf_of(clear, ca, server.port)
            larder.rewrite({"upstreams": {"u0": conf}})
            assert larder.ctl("reload").returncode == 0
            assert_answered(larder)
            server.stop()
            server.start()
        assert not any(h.resumed for h in server.hellos)


def test_tls_04_strict_stays_strict(clear, ca):
    """TLS-04: the same server, strict: never in clear."""
    with larder_over(conf_of(clear, ca, harness.free_port(clear.host),
                             profile="strict")) as larder:
        msg = larder.ask(fresh_name(), timeout=6, opt=Opt())
        assert msg.rcode == SERVFAIL and 23 in [c for c, _ in msg.ede]
        assert not clear.log and not clear._accepted
