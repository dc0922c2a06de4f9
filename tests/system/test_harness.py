"""The library checks itself: these tests need no larderd."""

import re
import shutil
import socket
import struct
import time

import pytest

import harness
from harness import Opt, Upstream, parse, qname, query, reply, rr, soa


def ask(upstream, wire, timeout=5):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        sock.sendto(wire, (upstream.host, upstream.port))
        return parse(sock.recv(65535))


@pytest.mark.parametrize("text, wire", [
    (".", b"\0"),
    ("www.Example.", b"\3www\7Example\0"),
    ("www.example", b"\3www\7example\0"),
    (r"a\.b.\000\255.", b"\3a.b\2\0\xff\0"),
    (r"\\.\032.", b"\1\\\1 \0"),
])
def test_names_both_ways(text, wire):
    assert qname(text) == wire
    assert qname(harness.name_text(wire)) == wire


def test_name_errors():
    for bad in ("a..b.", "x" * 64 + "."):
        with pytest.raises(ValueError):
            qname(bad)


def test_query_bits():
    msg = parse(query("a.example.", "AAAA", id=7, cd=1, z=1,
                      opt=Opt(size=4096, do=1, flags=0x7FFF,
                              options=[(10, b"12345678")])))
    assert (msg.id, msg.qr, msg.rd) == (7, 0, 1)
    assert (msg.cd, msg.z, msg.ad) == (1, 1, 0)
    assert msg.question == [(qname("a.example."), 28, 1)]
    assert msg.counts == (1, 0, 0, 1) and msg.additional == []
    assert msg.opt == Opt(4096, 1, 0, 0x7FFF, 0, [(10, b"12345678")])
    assert parse(query("a.example.", aa=1, tc=1, ra=1, rcode=9, rd=0,
                       opcode=3)).wire[2:4] == bytes([0x1E, 0x89])


def test_reply_and_extended_errors():
    asked = query("a.example.", opt=Opt())
    msg = parse(reply(asked, [rr("a.example.", "A", 60, "192.0.2.7")],
                      [soa("example.")], [rr("b.example.", "TXT", 1, "x")],
                      rcode=16, opt=Opt(options=[(15, b"\0\x15no")])))
    assert msg.rcode == 16 and msg.qr and msg.ra and msg.a() == ["192.0.2.7"]
    assert msg.ede == [(21, "no")]
    assert [r.qtype for r in msg.authority + msg.additional] == [6, 16]
    assert msg.wire[msg.answer[0].rdata_at:][:4] == bytes([192, 0, 2, 7])


def test_compressed_names():
    head = reply(query("a.example."))[:12]
    head = head[:6] + b"\0\1" + head[8:]
    body = qname("a.example.") + b"\0\1\0\1"
    record = b"\1b\xc0\x0e" + struct.pack("!HHIH", 1, 1, 5, 4) + b"\1\2\3\4"
    assert parse(head + body + record).answer[0].name == qname("b.example.")
    for pointer in (b"\xc0\x0b", b"\xc0\x1b", b"\xff\xff"):
        with pytest.raises(ValueError):
            parse(head + body + pointer + record[4:])


def test_every_cut_is_malformed():
    whole = reply(query("a.example.", opt=Opt()),
                  [rr("a.example.", "MX", 60, "10 mail.example.")])
    parse(whole)
    for n in range(len(whole)):
        with pytest.raises(ValueError):
            parse(whole[:n])
    assert parse(whole + b"more").trailing == b"more"


def test_upstream_udp_and_tcp():
    with Upstream() as u:
        assert ask(u, query("a.example.")).a() == ["192.0.2.1"]
        nodata = ask(u, query("A.example.", "MX", opt=Opt()))
        assert nodata.authority[0].qtype == 6 and nodata.opt
        with harness.TcpConn((u.host, u.port)) as conn:
            conn.send(query("a.example.", "AAAA"))
            assert conn.recv().answer[0].qtype == 28
        assert u.count("a.EXAMPLE.") == 3
        assert u.count(qtype="MX", proto="udp") == 1
        assert [(e.proto, e.conn) for e in u.log] == [
            ("udp", 0), ("udp", 0), ("tcp", 1)]
        assert u.quiet(name="b.example.") and not u.quiet(proto="tcp")
        u.clear()
        assert u.quiet()


def test_upstream_script():
    def script(ctx):
        if ctx.name == "late.example.":
            ctx.send_later(0.05, reply(ctx.wire, rcode=5))
        elif ctx.name == "forged.example.":
            ctx.send_from("127.0.0.2", 0, reply(ctx.wire, rcode=2))
        elif ctx.proto == "tcp":
            ctx.close()
        else:
            ctx.default()

    with Upstream() as u:
        u.handler = script
        start = time.monotonic()
        assert ask(u, query("late.example.")).rcode == 5
        assert time.monotonic() - start >= 0.05
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.sendto(query("forged.example."), (u.host, u.port))
            assert sock.recvfrom(512)[1][0] == "127.0.0.2"
        with harness.TcpConn((u.host, u.port)) as conn:
            conn.send(query("a.example."))
            assert conn.is_closed(5)
        assert len(u.wait(1, name="late.example.")) == 1
        with pytest.raises(AssertionError):
            u.wait(1, timeout=0.05, name="never.example.")


def test_upstream_outage_and_broken_script():
    with Upstream() as u:
        port = u.port
        u.stop()
        with pytest.raises(OSError):
            harness.TcpConn((u.host, port), timeout=1)
        u.start()
        assert u.port == port and ask(u, query("a.example.")).rcode == 0
        u.handler = lambda ctx: 1 // 0
        with pytest.raises(TimeoutError):
            ask(u, query("a.example."), 0.1)
        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            u.check()


def test_yaml():
    text = harness.to_yaml({"listen": ["127.0.0.1:53", "::1"], "threads": 2,
                            "cache": {"prefetch": False, "size": "1M"},
                            "control-socket": ""})
    assert text.splitlines() == [
        'listen: ["127.0.0.1:53", "::1"]', "threads: 2", "cache:",
        "  prefetch: no", "  size: 1M", 'control-socket: ""']


def test_missing_larderd_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("LARDERD", str(tmp_path / "larderd"))
    with pytest.raises(OSError):
        with harness.Larder(["127.0.0.1:1"]):
            pass


def test_configuration_written(monkeypatch):
    with Upstream() as u:
        larder = harness.Larder([u], conf={"cache": {"size": "1M"},
                                           "threads": None})
        with open(larder.conf_path) as file:
            text = file.read()
        assert re.search(f'(?m)^forward: \\["?{re.escape(u.url)}"?\\]$', text)
        assert "  size: 1M" in text and "threads" not in text
        assert f"control-socket: {larder.control}" in text
        shutil.rmtree(larder.dir)
