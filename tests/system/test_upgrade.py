"""From clear text to TLS where the server says that it offers that (RFC 9462):
rows DDR-02 and DDR-03 of section 20.

A scripted resolver in clear names servers over TLS by SVCB records of
_dns.resolver.arpa; the certificates of those hold its address, or do not.
"""

import json
import socket
import struct
import subprocess

import pytest

import harness
from clockshim import clock, clock_library, module_clock  # noqa: F401
from harness import Upstream, eventually, fresh_name, reply, rr, soa
from secure import DohUpstream, DotUpstream, larder_over

BOTH = pytest.mark.parametrize("kind", [DotUpstream, DohUpstream],
                               ids=["dot", "doh"])
RECORDS = "_dns.resolver.arpa."
HOST = "127.0.0.1"
TARGET = "dns.example"
A = ["192.0.2.1"]
ALPN, NO_DEFAULT, PORT, V4HINT, V6HINT, DOHPATH = 1, 2, 3, 4, 6, 7


@pytest.fixture(scope="module")
def cert(ca):
    return ca.issue(HOST)


def alpn(*names):
    return b"".join(bytes([len(n)]) + n for n in names)


def svcb(priority, target, params, mandatory=()):
    """Record data; params: {key: octets}."""
    params = dict(params)
    if mandatory:
        params[0] = b"".join(struct.pack("!H", k) for k in mandatory)
    return (struct.pack("!H", priority) + harness.qname(target)
            + b"".join(struct.pack("!HH", k, len(v)) + v
                       for k, v in sorted(params.items())))


def named(server, priority=1, target=TARGET, mandatory=(), **more):
    """What leads to this server."""
    params = {ALPN: alpn(server.alpn[0].encode()),
              PORT: struct.pack("!H", server.port),
              V4HINT: socket.inet_aton(server.host)}
    if server.scheme == "https":
        params[DOHPATH] = b"/dns-query{?dns}"
    params.update({int(k[1:]): v for k, v in more.items()})
    return svcb(priority, target, {k: v for k, v in params.items()
                                   if v is not None}, mandatory)


class Plain(Upstream):
    """Names `records` for `ttl` seconds; counts how often it was asked."""

    def __init__(self, *records, ttl=300, host=HOST, port=0):
        self.records, self.ttl, self.asked = list(records), ttl, 0
        super().__init__(host, port)
        self.handler = self.answer

    def answer(self, ctx):
        if ctx.name != RECORDS:
            return ctx.default()
        self.asked += 1
        ctx.send(reply(ctx.msg, [rr(RECORDS, "SVCB", self.ttl, data)
                                 for data in self.records],
                       authority=[] if self.records else [soa("arpa.")]))

    @property
    def questions(self):
        return [e for e in self.log if e.name != RECORDS]

    def conf(self, ca, **more):
        return {"url": self.url, "upgrade": True, "ca": str(ca.path), **more}


def upstream_of(larder):
    return json.loads(larder.ctl("--json", "upstreams").stdout)["upstreams"][0]


def assert_answered(larder):
    msg = larder.ask(fresh_name(), timeout=6)
    assert msg is not None and msg.a() == A, f"{msg}\n{larder.log()[-2000:]}"


def assert_upgraded(larder, level="authenticated"):
    """Asks until it is seen to be: nobody waits for that."""
    def upgraded():
        assert_answered(larder)
        return upstream_of(larder)["level"] == level

    eventually(upgraded, what=lambda: (upstream_of(larder), larder.log()))


def assert_plain(larder, plain, says):
    """It stays so; the records have been read, and why is told."""
    assert_answered(larder)
    eventually(lambda: upstream_of(larder)["doubt"],
               what=lambda: (upstream_of(larder), larder.log()))
    for _ in range(3):
        assert_answered(larder)
    found = upstream_of(larder)
    assert found["level"] == "clear" and says in found["doubt"], found
    assert len(plain.questions) == 4 and plain.asked >= 1


@BOTH
def test_ddr_02_upgraded(kind, cert, ca):
    """DDR-02: the certificate holds the plain server's address: from then on
    no question goes there in clear; SNI is the record's target."""
    with kind(cert, ca) as server, Plain(named(server)) as plain, \
            larder_over(plain.conf(ca)) as larder:
        assert_upgraded(larder)
        before = len(plain.log)
        for _ in range(5):
            assert_answered(larder)
        assert len(plain.log) == before and len(server.log) >= 5
        assert server.hellos[0].server_name == TARGET
        assert plain.asked == 1
        assert "asked over TLS, authenticated" in larder.log()
        if kind is DohUpstream:
            assert (server.requests[0].field(":authority")
                    == f"{TARGET}:{server.port}")


@pytest.mark.parametrize("target", [".", "resolver.arpa",
                                    "x.resolver.arpa"])
def test_ddr_02_never_that_name(target, cert, ca):
    """DDR-02: SNI is never resolver.arpa or below."""
    with DotUpstream(cert, ca) as server, \
            Plain(named(server, target=target)) as plain, \
            larder_over(plain.conf(ca)) as larder:
        assert_upgraded(larder)
        assert [h.server_name for h in server.hellos] == [None]


WRONG = {
    "other-address": (dict(names=["127.0.0.2", TARGET]), "another name"),
    "name-only": (dict(names=[TARGET]), "another name"),
    "expired": (dict(names=[HOST], begins=-9, ends=-1), "expired"),
    "self-signed": (dict(names=[HOST], own=True), "unknown issuer"),
}


@BOTH
@pytest.mark.parametrize("wrong", WRONG)
def test_ddr_02_wrong_certificate(kind, wrong, cert, ca,
                                  clock):    # noqa: F811
    """DDR-02: the certificate does not hold the address, or is no good: stays
    plain, no question leaves over TLS, asked again after the TTL."""
    how, says = WRONG[wrong]
    bad = ca.issue(*how["names"], **{k: v for k, v in how.items()
                                     if k != "names"})
    with kind(bad, ca) as server, Plain(named(server), ttl=100) as plain, \
            larder_over(plain.conf(ca), env=clock.env) as larder:
        assert_plain(larder, plain, says)
        assert server.tried and not server.heard
        assert plain.asked == 1
        clock.pass_by(50)
        assert_answered(larder)
        assert plain.asked == 1
        server.set_certificate(cert)
        clock.pass_by(51)
        assert_upgraded(larder)
        assert plain.asked == 2


def test_ddr_02_asked_again(cert, ca, clock):    # noqa: F811
    """The records are asked for again when they end: the same ones change
    nothing, others are followed, and none means clear text."""
    with DotUpstream(cert, ca) as one, DotUpstream(cert, ca) as two, \
            Plain(named(one), ttl=100) as plain, \
            larder_over(plain.conf(ca), env=clock.env) as larder:
        assert_upgraded(larder)
        clock.pass_by(101)
        assert_answered(larder)
        eventually(lambda: plain.asked == 2, what=lambda: plain.asked)
        assert_answered(larder)
        assert not two.tried and upstream_of(larder)["level"] != "clear"
        plain.records = [named(two)]
        clock.pass_by(101)
        eventually(lambda: assert_answered(larder) or two.log,
                   what=larder.log)
        plain.records = []
        clock.pass_by(101)
        eventually(lambda: assert_answered(larder) or
                   upstream_of(larder)["level"] == "clear", what=larder.log)


def test_ddr_02_fails_and_comes_back(cert, ca, clock):    # noqa: F811
    """The designated server goes away, again and again: the plain one is
    asked meanwhile, and the other when it is back."""
    with DotUpstream(cert, ca) as server, Plain(named(server)) as plain, \
            larder_over(plain.conf(ca), env=clock.env) as larder:
        assert_upgraded(larder)
        for _ in range(7):
            server.stop()
            eventually(lambda: assert_answered(larder) or
                       upstream_of(larder)["level"] == "clear",
                       what=lambda: upstream_of(larder))
            server.start()
            clock.pass_by(3601)
            assert_upgraded(larder)


def test_ddr_02_certificate_goes_bad(cert, ca, clock):    # noqa: F811
    """A certificate that was good is exchanged for one that is not, while the
    server is in use: the plain one is asked until it is good again."""
    with DotUpstream(cert, ca) as server, Plain(named(server)) as plain, \
            larder_over(plain.conf(ca), env=clock.env) as larder:
        assert_upgraded(larder)
        heard = server.heard
        server.set_certificate(ca.issue(HOST, begins=-9, ends=-1))
        server.stop()
        server.start()
        eventually(lambda: assert_answered(larder) or
                   upstream_of(larder)["level"] == "clear",
                   what=lambda: upstream_of(larder))
        assert server.heard == heard
        server.set_certificate(cert)
        clock.pass_by(3601)
        assert_upgraded(larder)


def test_ddr_02_all_workers(cert, ca):
    """What one worker has found out, all of them use."""
    with DotUpstream(cert, ca) as server, Plain(named(server)) as plain, \
            larder_over(plain.conf(ca), conf={"threads": 3}) as larder:
        assert_upgraded(larder)
        before = len(plain.log)
        for _ in range(40):
            assert_answered(larder)
        assert len(plain.log) == before and plain.asked == 1
        assert 2 <= len(server.hellos) <= 4


def test_ddr_02_not_asked_for(cert, ca):
    """Opt-in: without it nobody is asked anything."""
    with DotUpstream(cert, ca) as server, Plain(named(server)) as plain, \
            larder_over({"url": plain.url}) as larder:
        for _ in range(3):
            assert_answered(larder)
        assert not plain.asked and not server.tried
    with DotUpstream(cert, ca) as server, Plain(named(server)) as plain, \
            larder_over({"url": plain.url, "ca": str(ca.path)},
                        conf={"upgrade": True}) as larder:
        assert_upgraded(larder)


def test_ddr_02_private_address(cert, ca):
    """DDR-02, RFC 9462 s. 4.3: at the same private address no certificate is
    needed; encrypted, and told to be no more."""
    def work():
        host = "10.83.6.1"
        subprocess.run(["ip", "addr", "add", f"{host}/32", "dev", "lo"],
                       check=True)
        with DotUpstream(ca.issue("router.example"), ca, host=host) \
                as server, Plain(named(server), host=host) as plain, \
                larder_over(plain.conf(ca)) as larder:
            assert_upgraded(larder, "encrypted")
            assert "another name" in upstream_of(larder)["doubt"]

    try:
        harness.in_netns(work)
    except PermissionError as error:
        pytest.skip(f"no namespace of our own: {error}")


@BOTH
def test_ddr_03_the_usable_one(kind, cert, ca):
    """DDR-03: an unknown mandatory key, no usable alpn, none at all, h2
    without dohpath, an alias, a malformed one: skipped; the good one is used,
    though it is the last by priority."""
    with DohUpstream(cert, ca) as doh, DotUpstream(cert, ca) as dot, \
            kind(cert, ca) as server:
        records = [
            named(dot, 1, mandatory=(ALPN, 9999), k9999=b"x"),
            named(dot, 2, k1=alpn(b"doq", b"h3")),
            named(dot, 3, k1=None),
            named(doh, 4, k7=None),
            named(doh, 5, k7=b"/dns-query"),
            named(dot, 0),
            named(dot, 6)[:-1],
            named(dot, 7, mandatory=(ALPN, V6HINT)),
            named(server, 9, mandatory=(ALPN, PORT), k9999=b"ignored"),
        ]
        with Plain(*records) as plain, larder_over(plain.conf(ca)) as larder:
            assert_upgraded(larder)
            assert server.hellos
            assert not dot.tried and not doh.tried


def test_ddr_03_none_is_usable(cert, ca):
    """DDR-03: nothing usable: stays plain."""
    with DotUpstream(cert, ca) as server, \
            Plain(named(server, k1=alpn(b"doq"))) as plain, \
            larder_over(plain.conf(ca)) as larder:
        assert_plain(larder, plain, "names no server")
        assert not server.tried


def test_ddr_02_the_next_one(cert, ca):
    """By priority; a server that is not there or not good gives way to the
    next, and that is not told as a loss."""
    with DotUpstream(ca.issue("x.example"), ca) as bad, \
            DotUpstream(cert, ca) as good, DotUpstream(cert, ca) as gone:
        gone.stop()
        with Plain(named(good, 3), named(gone, 1), named(bad, 2)) as plain, \
                larder_over(plain.conf(ca)) as larder:
            assert_upgraded(larder)
            assert bad.tried and not bad.heard and good.hellos
            assert "clear text" not in larder.log()
