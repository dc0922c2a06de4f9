"""TLS tickets that outlive larderd: issue 5, item 1, and row TLS-09.

A restart resumes the sessions with the servers that were authenticated before,
and with nobody else; what lies in the state directory is believed only as
larderd left it.
"""

import hashlib
import os
import re
import ssl
import stat
import struct
import time
import urllib.request
from pathlib import Path

import pytest

import harness
from authority import Authority
from clockshim import clock, clock_library, module_clock  # noqa: F401
from harness import SERVFAIL, Opt, fresh_name
from secure import NAME, DohUpstream, DotUpstream, larder_over

BOTH = pytest.mark.parametrize("kind", [DotUpstream, DohUpstream],
                               ids=["dot", "doh"])
A = ["192.0.2.1"]
HEAD = 48               # of the file: what it is, and the hash of the rest


@pytest.fixture
def dot(cert, ca):
    with DotUpstream(cert, ca) as server:
        yield server


def assert_answered(larder):
    msg = larder.ask(fresh_name(), timeout=6)
    assert msg is not None and msg.a() == A, f"{msg}\n{larder.log()[-2000:]}"


def over(server, **kw):
    """A larderd with a folder for its state, which it may not make itself."""
    conf = kw.pop("conf", {})
    larder = larder_over(server, conf={"log-level": "info", **conf}, **kw)
    os.makedirs(Path(larder.dir) / "state", 0o700, exist_ok=True)
    return larder


def file_of(larder):
    return Path(larder.dir) / "state" / "tls-tickets"


def restart(larder, between=None):
    """Stops and starts it; what it had logged by then is returned."""
    larder.stop()
    if between:
        between(file_of(larder))
    said = len(larder.log())
    larder.start()
    return said


def resumed(server):
    return [h.resumed for h in server.hellos]


def resumptions(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics",
                                timeout=5) as page:
        text = page.read().decode()
    return int(re.search(r'larder_upstream_resumption_duration_seconds_count'
                         r'{upstream="u0"} (\d+)', text)[1])


class Records:
    """The file taken apart, and put together again."""

    def __init__(self, octets):
        assert octets[:16] == b"larder tickets 1"
        assert octets[16:HEAD] == hashlib.sha256(octets[HEAD:]).digest()
        at = HEAD + 1 + octets[HEAD]
        self.version, self.records = octets[HEAD:at], []
        while at < len(octets):
            until, length = struct.unpack_from("!qH", octets, at + 32)
            self.records.append((octets[at:at + 32], until,
                                 octets[at + 42:at + 42 + length]))
            at += 42 + length

    def pack(self):
        body = self.version + b"".join(
            digest + struct.pack("!qH", until, len(ticket)) + ticket
            for digest, until, ticket in self.records)
        return b"larder tickets 1" + hashlib.sha256(body).digest() + body


@BOTH
def test_tls_09_a_restart_resumes(kind, cert, ca):
    """TLS-09: larderd is restarted: the server sees its session resumed, and
    so does larder's counter; a third start finds new tickets."""
    port = harness.free_port()
    with kind(cert, ca) as server, over(server, conf={
            "metrics-listen": [f"127.0.0.1:{port}"]}) as larder:
        assert_answered(larder)
        assert resumptions(port) == 0
        for _ in range(2):
            restart(larder)
            assert_answered(larder)
            assert resumptions(port) == 1
        assert resumed(server) == [False, True, True]
        assert "kept from before" in larder.log()


def test_tls_09_what_lies_there(dot, ca):
    """The file is larder's alone, bound to one digest, good for a day at
    most; it is emptied once it has been read, so no ticket is used twice."""
    with over(dot) as larder:
        assert_answered(larder)
        larder.stop()
        status = os.lstat(file_of(larder))
        assert stat.S_IMODE(status.st_mode) == 0o600
        assert stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        found = Records(file_of(larder).read_bytes())
        assert len({digest for digest, _, _ in found.records}) == 1
        for _, until, ticket in found.records:
            assert 0 < until - time.time() <= 86400 and ticket
        assert os.listdir(file_of(larder).parent) == ["tls-tickets"]
        larder.start()
        assert file_of(larder).read_bytes() == b""
        assert_answered(larder)
        assert resumed(dot) == [False, True]


def test_tls_09_until_the_certificate_ends(ca):
    """A certificate that ends in an hour takes its tickets with it."""
    with DotUpstream(ca.issue(NAME, ends=1 / 24), ca) as server, \
            over(server) as larder:
        assert_answered(larder)
        larder.stop()
        found = Records(file_of(larder).read_bytes())
        assert found.records
        assert all(until - time.time() <= 3600 for _, until, _ in found.records)


def test_tls_09_no_ticket_of_tls_1_2(cert, ca):
    """A TLS 1.2 ticket opens what was recorded of its session: never kept."""
    with DotUpstream(cert, ca, newest=ssl.TLSVersion.TLSv1_2) as server, \
            over(server) as larder:
        assert_answered(larder)
        restart(larder)
        assert_answered(larder)
        assert resumed(server) == [False, False]


def test_tls_09_now_and_then(dot, clock):    # noqa: F811
    """Tickets are written while larderd runs, too: it may end at any time."""
    with over(dot, env=clock.env) as larder:
        assert_answered(larder)
        assert not file_of(larder).exists()
        clock.pass_by(61)
        deadline = time.monotonic() + 5
        while not file_of(larder).exists() and time.monotonic() < deadline:
            larder.ctl("status")        # its loop turns
            time.sleep(0.01)
        assert Records(file_of(larder).read_bytes()).records
        larder.proc.kill()
        larder.proc.wait()
        larder.start()
        assert_answered(larder)
        assert resumed(dot)[0] is False and resumed(dot)[-1] is True


# --- nobody else's ------------------------------------------------------------

def change_pin(conf, server, ca, tmp_path):
    conf["pins"] = [ca.issue().pin]


def change_ca(conf, server, ca, tmp_path):
    conf["ca"] = str(Authority(tmp_path, "another").path)


def change_name(conf, server, ca, tmp_path):
    conf["url"] = conf["url"].replace(NAME, "other.example")


CHANGES = {f.__name__: f for f in (change_pin, change_ca, change_name)}


@BOTH
@pytest.mark.parametrize("change", CHANGES)
def test_tls_03_another_identity_after_the_restart(kind, change, cert, ca,
                                                   tmp_path):
    """TLS-02, TLS-03: pin, authority or name are others after the restart:
    the old ticket opens nothing, and no question leaves.  (The file may still
    hold it: put back, it is no use to the changed peer either.)"""
    with kind(cert, ca) as server:
        conf = server.conf(pins=[cert.pin])
        with over(conf) as larder:
            assert_answered(larder)
            larder.stop()
            assert Records(file_of(larder).read_bytes()).records
            CHANGES[change](conf, server, ca, tmp_path)
            larder.rewrite({"upstreams": {"u0": conf}})
            server.reset()
            larder.start()
            msg = larder.ask(fresh_name(), timeout=6, opt=Opt())
            assert msg.rcode == SERVFAIL, msg
            assert server.tried and not server.heard
            assert not any(resumed(server))


# --- what is not believed -----------------------------------------------------

def link(file):
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


def readable(file):
    file.chmod(0o644)


def pipe(file):
    file.unlink()
    os.mkfifo(file, 0o600)


def folder(file):
    file.parent.chmod(0o777)


def foreign(file):
    os.chown(file, 12345, 12345)


def cut(file):
    file.write_bytes(file.read_bytes()[:-1])


def garbage(file):
    file.write_bytes(b"\xff" * 4096)


def huge(file):
    os.truncate(file, 1 << 30)


def another_version(file):
    records = Records(file.read_bytes())
    records.version = b"\x059.9.9"
    file.write_bytes(records.pack())


FAULTS = {f.__name__: f for f in (link, readable, pipe, folder, foreign, cut,
                                  garbage, huge, another_version)}


@pytest.mark.parametrize("fault", FAULTS)
def test_tls_09_files_that_are_not_believed(fault, dot):
    """A link, a file that others may read or own, one that is cut, foreign or
    too large: one line in the log, a full handshake, and all goes on."""
    if fault == "foreign" and os.geteuid():
        pytest.skip("needs root")
    with over(dot) as larder:
        assert_answered(larder)
        said = restart(larder, FAULTS[fault])
        assert_answered(larder)
        assert resumed(dot) == [False, False]
        lines = [line for line in larder.log()[said:].splitlines()
                 if "tickets" in line]
        assert len(lines) == 1, lines
        if fault == "link":
            file = file_of(larder)
            kept = file.with_name("elsewhere").read_bytes()
            larder.stop()
            assert not file.is_symlink()
            assert file.with_name("elsewhere").read_bytes() == kept


@pytest.mark.parametrize("until", [-1, 2 * 86400], ids=["over", "too-long"])
def test_tls_09_expired_tickets(until, dot):
    """One that is over, or good for longer than any is: unused."""
    def age(file):
        found = Records(file.read_bytes())
        found.records = [(digest, int(time.time()) + until, ticket)
                         for digest, _, ticket in found.records]
        file.write_bytes(found.pack())

    with over(dot) as larder:
        assert_answered(larder)
        restart(larder, age)
        assert_answered(larder)
        assert resumed(dot) == [False, False]


def test_tls_09_without_a_folder(dot):
    """Nothing can be kept: it is said once, at a low level, and harms nobody."""
    with over(dot, conf={"state-directory": "/nonexistent/larder"}) as larder:
        assert_answered(larder)
        restart(larder)
        assert_answered(larder)
        assert resumed(dot) == [False, False]
        assert "warning" not in larder.log(), larder.log()
        assert larder.log().count("TLS tickets cannot be kept") == 1
    with over(dot, conf={"state-directory": ""}) as larder:
        assert_answered(larder)
    assert "cannot be kept" not in larder.log()
