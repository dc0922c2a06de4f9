"""Upstreams that are given by host name, and who is asked where they are.

`Book` is a bootstrap server: it knows the addresses of names, and logs who
asks for what.  The upstreams themselves are the other tests' fake servers.
"""

import contextlib
import json
import os
import re
import socket
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest

import harness
from harness import (NXDOMAIN, SERVFAIL, TYPES, Larder, Upstream, find_binary,
                     fresh_name, in_netns, reply, rr, soa)
from secure import DohUpstream, DotUpstream

HOST = "dot.example"
PATIENCE = 20


class Book(Upstream):
    """Knows where hosts are: {"dot.example.": ["127.0.0.1", "::1"]}.

    `mute`: says nothing; `rcode`: fails; `ttl`: of what it says.
    """

    def __init__(self, hosts, **kw):
        self.hosts, self.mute, self.rcode, self.ttl = dict(hosts), False, 0, 300
        super().__init__(**kw)
        self.handler = self._tell

    def _tell(self, ctx):
        name = ctx.name.lower()
        if self.mute:
            return
        if self.rcode:
            ctx.send(reply(ctx.msg, rcode=self.rcode))
        elif name not in self.hosts:
            ctx.send(reply(ctx.msg, authority=[soa("example.")],
                           rcode=NXDOMAIN))
        else:
            family = ":" if ctx.qtype == TYPES["AAAA"] else "."
            qtype = "AAAA" if family == ":" else "A"
            wanted = [rr(ctx.msg.question[0].name_wire, qtype, self.ttl, a)
                      for a in self.hosts[name] if family in a]
            ctx.send(reply(ctx.msg, wanted, () if wanted else
                           [soa("example.")]))


def by_name(port, scheme="udp", host=HOST, rest=""):
    return f"{scheme}://{host}:{port}{rest}"


def larder(books, forward, conf=None, **kw):
    books = [books] if isinstance(books, Upstream) else books
    return Larder(forward, conf={"bootstrap": [f"udp://{b.url}" for b in books],
                                 "log-level": "info", **(conf or {})}, **kw)


def until(true, seconds=PATIENCE):
    """Waits for it; what it gave at last."""
    end = time.monotonic() + seconds
    while not (got := true()) and time.monotonic() < end:
        time.sleep(0.02)
    return got


def health(lard, place=0):
    return json.loads(lard.ctl("upstreams", "--json").stdout)["upstreams"][place]


def answered(lard, **kw):
    """A new name, asked once: is there an answer?"""
    msg = lard.ask(fresh_name(), timeout=5, **kw)
    return msg.rcode == 0 and msg.a() == ["192.0.2.1"]


@pytest.fixture
def server():
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def book():
    with Book({HOST + ".": ["127.0.0.1"]}) as upstream:
        yield upstream


# --- who is asked -------------------------------------------------------------

def test_fwd_18_looked_up_at_bootstrap_only(server, book):
    """FWD-18: the bootstrap server's log has the one lookup, for its addresses,
    and larder's own clients' questions are elsewhere."""
    with larder(book, [by_name(server.port)]) as lard:
        assert answered(lard)
        assert until(lambda: book.count() >= 2)
        lookups = book.count()      # 2, where nothing is sent twice
        assert {(e.name, e.qtype) for e in book.log} == {
            (HOST + ".", TYPES["A"]), (HOST + ".", TYPES["AAAA"])}
        assert server.count(name=HOST + ".") == 0
        assert health(lard)["addresses"] == [f"127.0.0.1:{server.port}"]
        # A client that asks for that very name is a client like any other.
        assert lard.ask(HOST).a() == ["192.0.2.1"]
        assert server.count(name=HOST + ".") == 1
        assert book.count() == lookups


@pytest.mark.parametrize("kind", [DotUpstream, DohUpstream],
                         ids=["dot", "doh"])
def test_fwd_18_encrypted_by_name(kind, ca, book):
    """FWD-18: the host is the name to authenticate, unless #name says another."""
    path = "/dns-query" if kind is DohUpstream else ""
    with kind(ca.issue(HOST), ca, name=HOST) as server:
        url = by_name(server.port, kind.scheme, rest=path)
        with larder(book, ["u"], {"upstreams": {"u": {
                "url": url, "ca": ca.path}}}) as lard:
            assert answered(lard)
            assert server.hellos[0].server_name == HOST
            assert book.count(name=HOST + ".") >= 1
            if path:
                assert (server.requests[0].field(":authority")
                        == f"{HOST}:{server.port}")
    with kind(ca.issue("other.example"), ca, name=HOST) as server:
        url = by_name(server.port, kind.scheme, rest=path)
        both = {"u": {"url": url, "ca": ca.path}}
        with larder(book, ["u"], {"upstreams": both}) as lard:
            assert lard.ask(fresh_name(), timeout=6).rcode == SERVFAIL
        both["u"]["url"] += "#other.example"
        with larder(book, ["u"], {"upstreams": both}) as lard:
            assert answered(lard)


def test_bootstrap_over_other_schemes(server, book, ca):
    """Bootstrap servers are asked over whatever their URLs say, and have to be
    who they should be."""
    with DotUpstream(ca.issue(HOST), ca, name=HOST) as secret:
        conf = {"bootstrap": [secret.target()], "log-level": "info"}
        with Larder([by_name(server.port)], conf=conf) as lard:
            assert until(lambda: (health(lard)["trouble"] or "").endswith(
                "has a certificate that is not accepted"))
            assert secret.tried and not secret.log
            lard.rewrite({"bootstrap": [f"tcp://{book.url}"]})
            lard.hup()
            assert until(lambda: answered(lard))
            assert book.count(proto="tcp") == book.count() >= 2


# --- trouble with bootstrap ---------------------------------------------------

def test_unn_32_start_without_bootstrap(server, book):
    """user-needs 32: larder is up at once, serves what it can, says why the
    upstream is not used, and uses it soon after somebody knows its address."""
    book.mute = True
    with Upstream() as other:
        conf = {"routes": {"named.example": [by_name(server.port)]}}
        before = time.monotonic()
        with larder(book, [f"udp://{other.url}"], conf) as lard:
            assert time.monotonic() - before < 5        # READY did not wait
            assert answered(lard)
            why = until(lambda: (health(lard, 1)["trouble"] or "").endswith(
                "does not answer"))
            assert why, health(lard, 1)
            up = health(lard, 1)
            assert up["trouble"] == (
                f"its name {HOST} is not resolved: bootstrap "
                f"udp://{book.url} does not answer")
            assert up["state"] == "open" and up["reason"] == "unresolved"
            assert up["addresses"] == []
            assert up["trouble"] in lard.ctl("upstreams").stdout
            assert up["trouble"] in lard.ctl("status").stdout
            # The flight waits as it does while upstreams are down.
            started = time.monotonic()
            msg = lard.ask("a.named.example", timeout=5, opt=harness.Opt())
            assert msg.rcode == SERVFAIL and msg.ede[0][0] == 22, msg
            assert time.monotonic() - started < 3.9     # before `query-timeout`
            book.mute = False
            assert until(lambda: lard.ask("b.named.example",
                                          timeout=5).rcode == 0)
            assert until(lambda: not health(lard, 1)["trouble"])


def test_parked_until_resolved(server, book):
    """A client that asks before the name is resolved gets its answer once it
    is."""
    held = []
    book.handler = held.append
    with larder(book, [by_name(server.port)]) as lard:
        got = []
        asking = threading.Thread(
            target=lambda: got.append(lard.ask(fresh_name(), timeout=5)))
        asking.start()
        assert until(lambda: len(held) >= 2)
        time.sleep(0.2)
        assert not got
        for ctx in list(held):
            book._tell(ctx)
        asking.join()
        assert got[0].a() == ["192.0.2.1"]


def test_one_of_two_bootstraps_is_silent(server, book):
    """Both are asked at the same time, so the silent one costs nothing."""
    with Book({}) as silent:
        silent.mute = True
        with larder([silent, book], [by_name(server.port)]) as lard:
            started = time.monotonic()
            assert answered(lard)
            assert time.monotonic() - started < 2.8     # a lookup's time-out: 3 s
            assert silent.count(name=HOST + ".") >= 1


def test_one_of_two_bootstraps_knows_nothing(server, book):
    """That one says there is no such name does not outdo one that knows it,
    even when it is the quicker one."""
    with Book({}) as wrong:
        tell = book.handler
        book.handler = lambda ctx: threading.Timer(0.3, tell, [ctx]).start()
        with larder([wrong, book], [by_name(server.port)]) as lard:
            assert answered(lard)


@pytest.mark.parametrize("rcode,words", [
    (SERVFAIL, "answers with failures"), (NXDOMAIN, "knows no such name"),
    (5, "refuses")])
def test_why_it_is_not_resolved(server, book, rcode, words):
    """The operator is told what each bootstrap server says."""
    book.rcode = 0 if rcode == NXDOMAIN else rcode
    book.hosts.clear()
    with larder(book, [by_name(server.port)]) as lard:
        assert until(lambda: (health(lard)["trouble"] or "").endswith(words))
        assert lard.log().count("is not resolved") == 1


def test_truncated_goes_by_tcp(server, book):
    """A bootstrap server that truncates is asked over TCP."""
    tell = book.handler
    book.handler = lambda ctx: (ctx.send(reply(ctx.msg, tc=1))
                                if ctx.proto == "udp" else tell(ctx))
    with larder(book, [by_name(server.port)]) as lard:
        assert answered(lard)
        assert book.count(proto="tcp") >= 1


def test_alias_left_open_is_followed(server, book):
    """So is one that gives an alias and not what it leads to."""
    tell = book.handler
    book.hosts = {"far.example.": ["127.0.0.1"]}

    def alias(ctx):
        if ctx.name.lower() == HOST + ".":
            ctx.send(reply(ctx.msg, [rr(ctx.msg.question[0].name_wire, "CNAME",
                                        300, "far.example.")]))
        else:
            tell(ctx)

    book.handler = alias
    with larder(book, [by_name(server.port)]) as lard:
        assert answered(lard)


def test_larders_own_address_is_not_asked(book):
    """A name that leads to larder itself is seen through."""
    port = harness.free_port()
    with larder(book, [by_name(port)],
                {"listen": [f"127.0.0.1:{port}"]}) as lard:
        assert until(lambda: "larder itself" in (health(lard)["trouble"] or ""))
        assert lard.ask(fresh_name(), timeout=5).rcode == SERVFAIL
        assert lard.log().count("listens; it is not asked there") == 1


# --- several addresses --------------------------------------------------------

@pytest.mark.parametrize("scheme", ["udp", "tcp"])
def test_second_address_works(book, scheme):
    """The first address is dead: the other one is asked, and stays first."""
    with Upstream(host="127.0.0.2") as server:
        book.hosts[HOST + "."] = ["127.0.0.3", "127.0.0.2"]
        with larder(book, [by_name(server.port, scheme)]) as lard:
            assert until(lambda: answered(lard))
            assert health(lard)["addresses"] == [
                f"127.0.0.2:{server.port}", f"127.0.0.3:{server.port}"]
            assert health(lard)["state"] == "good"


def test_silent_address_gives_way(book):
    """One that was good falls silent: the other takes over, without a reload
    and before the breaker's probes come once in half a minute."""
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(Upstream(host="127.0.0.2"))
        two = stack.enter_context(Upstream(host="127.0.0.3", port=one.port))
        book.hosts[HOST + "."] = ["127.0.0.2", "127.0.0.3"]
        lard = stack.enter_context(larder(book, [by_name(one.port)]))
        assert answered(lard)
        first, second = (one, two) if one.count() else (two, one)
        first.handler = lambda ctx: None
        first.knows_root = False
        assert until(lambda: answered(lard), 15)
        assert second.count() >= 1


def test_race_of_both_families(book):
    """RFC 8305: IPv6 is tried first, IPv4 a quarter of a second later, when
    nothing has come back; and IPv4 is first from then on."""
    with contextlib.ExitStack() as stack:
        v4 = stack.enter_context(Upstream(udp=False))
        v6 = stack.enter_context(socket.socket(socket.AF_INET6))
        v6.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        v6.bind(("::1", v4.port))
        v6.listen(0)
        plug = []               # a full backlog: connections hang
        for _ in range(4):
            sock = stack.enter_context(socket.socket(socket.AF_INET6))
            sock.setblocking(False)
            sock.connect_ex(("::1", v4.port))
            plug.append(sock)
        book.hosts[HOST + "."] = ["127.0.0.1", "::1"]
        tell = book.handler
        waiting = []

        def both_at_once(ctx):
            waiting.append(ctx)
            if len(waiting) >= 2:
                for one in sorted(waiting, key=lambda c: -c.qtype):
                    tell(one)

        book.handler = both_at_once
        lard = stack.enter_context(larder(book, [by_name(v4.port, "tcp")]))
        assert until(lambda: answered(lard))
        assert until(lambda: health(lard)["addresses"]
                     == [f"127.0.0.1:{v4.port}", f"[::1]:{v4.port}"])


def test_family_without_route_is_skipped():
    """user-needs 32: an address that there is no way to is not tried."""
    def work():
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(Upstream())
            book = stack.enter_context(Book(
                {HOST + ".": ["2001:db8::53", "127.0.0.1"]}))
            lard = stack.enter_context(larder(book, [by_name(server.port)]))
            assert until(lambda: answered(lard))
            assert until(lambda: book.count(qtype=TYPES["AAAA"]))
            time.sleep(0.2)
            up = health(lard)
            assert up["addresses"] == [f"127.0.0.1:{server.port}"]
            assert up["counters"]["unreachable"] == 0

    if os.geteuid() != 0:
        pytest.skip("needs a network namespace of its own")
    in_netns(work)


# --- what is kept -------------------------------------------------------------

def kept(lard):
    return Path(lard.dir, "state", "addresses")


def test_kept_addresses_serve_without_bootstrap(server, book):
    """The last good addresses outlive larder: bootstrap may be dead at the
    next start."""
    with larder(book, [by_name(server.port)]) as lard:
        assert answered(lard)
        assert until(kept(lard).exists)
        assert kept(lard).read_text() == (
            f"larder addresses 1\n{HOST} 127.0.0.1\n")
        assert stat.S_IMODE(kept(lard).stat().st_mode) == 0o600
        lard.stop()
        book.mute = True
        lard.start()
        started = time.monotonic()
        assert answered(lard)
        assert time.monotonic() - started < 2.8     # a lookup's time-out: 3 s
        assert until(lambda: "keeping the addresses" in lard.log())
        assert answered(lard)
        book.mute = False
        assert until(lambda: f"{HOST} is resolved again" in lard.log(), 15)


@pytest.mark.parametrize("spoil", [
    lambda f: f.write_text("larder addresses 1\ndot.example 127.0.0\n"),
    lambda f: f.write_text(""),
    lambda f: f.write_bytes(os.urandom(5000)),
    lambda f: f.write_text("larder addresses 2\ndot.example 127.0.0.9\n"),
    lambda f: f.chmod(0o644),
    lambda f: (f.unlink(), f.symlink_to("/etc/hosts")),
], ids=["half", "empty", "noise", "newer", "public", "link"])
def test_bad_kept_file_is_ignored(server, book, spoil):
    """A file that is not ours, or not whole, counts for nothing; one line says
    so, and larder looks the name up as it would without."""
    with larder(book, [by_name(server.port)]) as lard:
        assert until(kept(lard).exists)
        lard.stop()
        spoil(kept(lard))
        quiet = len(lard.log())
        lard.start()
        assert answered(lard)
        said = [line for line in lard.log()[quiet:].splitlines()
                if "addresses is not used" in line]
        assert len(said) == 1, lard.log()


def test_another_state_directory_counts_at_the_next_start(server, book,
                                                          tmp_path):
    """A reload changes neither where addresses are kept nor what is read: the
    next start does."""
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    book.hosts["new.example."] = ["127.0.0.1"]
    with larder(book, [by_name(server.port)]) as lard:
        assert until(kept(lard).exists)
        lard.rewrite({"state-directory": str(other), "log-level": "info",
                      "bootstrap": [f"udp://{book.url}"], "forward": [
                          by_name(server.port),
                          by_name(server.port, host="new.example")]})
        done = lard.ctl("reload")
        assert done.returncode == 0, done.stderr
        assert "takes effect at the next start" in lard.log()
        assert until(lambda: "new.example" in kept(lard).read_text())
        assert not (other / "addresses").exists()
        lard.stop()
        lard.start()
        assert until((other / "addresses").exists)


# --- again --------------------------------------------------------------------

def test_upstream_that_moves_is_found(book):
    """When the upstream fails its name is looked up again, whatever the TTL;
    and no address is given up because that lookup fails."""
    with contextlib.ExitStack() as stack:
        old = stack.enter_context(Upstream(host="127.0.0.2"))
        new = stack.enter_context(Upstream(host="127.0.0.3", port=old.port))
        book.hosts[HOST + "."] = ["127.0.0.2"]
        book.ttl = 86400
        lard = stack.enter_context(larder(book, [by_name(old.port)]))
        assert answered(lard)
        book.hosts[HOST + "."] = ["127.0.0.3"]
        old.stop()
        assert until(lambda: answered(lard), 25)
        assert new.count() >= 1
        assert health(lard)["addresses"] == [f"127.0.0.3:{old.port}"]


def test_reload_with_another_bootstrap(server, book):
    """A reload takes a new bootstrap server, and keeps what is known."""
    with Book({"second.example.": ["127.0.0.1"]}) as other:
        with larder(book, [by_name(server.port)]) as lard:
            assert answered(lard)
            lard.rewrite({"bootstrap": [f"udp://{other.url}"], "forward": [
                by_name(server.port, host="second.example"),
                by_name(server.port)]})
            lard.hup()
            assert until(lambda: len(health(lard)["addresses"]) == 1)
            assert health(lard, 1)["addresses"] == [f"127.0.0.1:{server.port}"]
            assert answered(lard)
            assert other.count(name="second.example.") >= 1


# --- what --check says --------------------------------------------------------

def check(tmp_path, text):
    path = tmp_path / "larder.yaml"
    path.write_text(text)
    done = subprocess.run([find_binary("larderd"), "--check", "--config", path],
                          capture_output=True, text=True, timeout=10)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("text,words", [
    ("forward: [tls://dns.example]\n",
     r":1:11: .dns\.example. is a host name, and nobody is there"),
    ("forward: [tls://dns.example]\nbootstrap: [dns.example]\n",
     r":2:13: .*a bootstrap server is given by its address"),
    ("forward: [tls://dns.example]\nbootstrap: ['tls://dns.example']\n",
     r":2:13: .*a bootstrap server is given by its address"),
    ("listen: [127.0.0.1:5353]\nforward: [tls://dns.example]\n"
     "bootstrap: [127.0.0.1:5353]\n",
     r":3:13: .*larder itself listens"),
    ("forward: [tls://dns.example]\nbootstrap: [192.0.2.1, udp://192.0.2.1]\n",
     r":2:24: .*listed twice"),
    ("forward: [dns.example]\nbootstrap: [192.0.2.1]\n",
     r":1:11: .*needs a scheme"),
])
def test_unn_32_check_refuses(tmp_path, text, words):
    """user-needs 32: a configuration that can only loop is refused."""
    code, said = check(tmp_path, text)
    assert code == 1 and re.search(words, said), said


def test_check_accepts(tmp_path):
    code, said = check(tmp_path, "forward: [tls://dns.example, "
                       "'https://dns.example/dns-query', udp://dns.example:54]"
                       "\nbootstrap: [192.0.2.1, 'tls://192.0.2.2#b.example']\n")
    assert code == 0, said
