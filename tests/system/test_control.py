"""The control socket from outside: who may do what, and replies in pieces.

Spoken to octet by octet by a client that knows nothing of larder's code, and
by larderctl.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time

import pytest

from harness import Larder, Upstream, find_binary, fresh_name, rr, reply
from test_daemon import Varlink

NAMES = ("CacheLookup", {"name": "a."}), ("CacheDump", {})
ORDERS = (("Flush", {}), ("Reload", {}), ("SetLogLevel", {"level": "info"}),
          ("SetUpstream", {"name": "x", "order": "auto"}))
COUNTERS = (("Status", {}), ("Stats", {}), ("Upstreams", {}), ("Config", {}),
            ("Health", {}), ("Route", {"name": "a."}))

STRANGER = """
import json, os, socket, sys
os.setgroups([]), os.setgid({gid}), os.setuid({uid})
link = socket.socket(socket.AF_UNIX)
link.settimeout(5)
link.connect(sys.argv[1])
for call in json.loads(sys.argv[2]):
    link.sendall(json.dumps(call).encode() + b"\\0")
    octets = b""
    while not octets.endswith(b"\\0"):
        octets += link.recv(65536)
    print(octets.split(b"\\0")[0].decode())
"""


def ask_as(larder, uid, calls):
    """Replies to calls from a process of another user."""
    messages = [{"method": "io.larder." + method, "parameters": parameters,
                 "more": True} for method, parameters in calls]
    done = subprocess.run(
        [sys.executable, "-c", STRANGER.format(uid=uid, gid=uid),
         larder.control, json.dumps(messages)],
        capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be others")
def test_a_stranger_has_no_names_and_gives_no_orders(larder):
    """Even where the mode of the socket lets anyone in."""
    os.chmod(larder.control, 0o666)
    try:
        calls = (*COUNTERS, *NAMES, *ORDERS)
        replies = ask_as(larder, 12345, calls)
        assert len(replies) == len(calls)
        for (method, _), answer in zip(calls, replies):
            denied = (answer.get("error")
                      == "org.varlink.service.PermissionDenied")
            assert denied == ((method, _) not in COUNTERS), (method, answer)
        done = subprocess.run(
            [find_binary("larderctl"), "--socket", larder.control, "cache",
             "dump"], capture_output=True, text=True, timeout=10,
            preexec_fn=lambda: (os.setgroups([]), os.setgid(12345),
                                os.setuid(12345)))
        assert done.returncode == 1 and not done.stdout
        assert "permission denied" in done.stderr
    finally:
        os.chmod(larder.control, 0o660)


def dump(link):
    """All replies of a CacheDump."""
    link.send("io.larder.CacheDump", {}, more=True)
    replies = [link.recv()]
    while replies[-1].get("continues"):
        replies.append(link.recv())
    return replies


def entries_of(replies):
    return [entry for one in replies for entry in one["parameters"]["entries"]]


def test_dump_is_what_clients_were_told(upstream):
    """Every answer is there once, with the records that a client got."""
    with Larder([upstream]) as larder:
        names = {fresh_name() for _ in range(300)}
        for name in names:
            assert larder.ask(name).a() == ["192.0.2.1"]
        with Varlink(larder.control) as link:
            replies = dump(link)
            assert len(replies) > 300 // 64
            entries = entries_of(replies)
            assert sorted(e["name"] for e in entries) == sorted(names)
            for entry in entries:
                assert entry["type"] == "A" and entry["state"] == "fresh"
                assert 200 < entry["left_s"] <= entry["ttl_s"] == 300
                assert entry["hits"] == 0 and entry["route"] == "."
                one, = entry["records"]
                assert one["name"] == entry["name"]
                assert one["data"] == "192.0.2.1"
                assert entry["left_s"] <= one["ttl_s"] <= entry["ttl_s"]
            # The connection is as good as before.
            status = link.call("io.larder.Status")["parameters"]
            assert status["cache"]["entries"] == 300
            # Calls sent behind a dump wait for its end.
            link.send("io.larder.CacheDump", {}, more=True)
            link.send("io.larder.Stats")
            rest = []
            while not rest or rest[-1].get("continues"):
                rest.append(link.recv())
            assert len(entries_of(rest)) == 300
            assert link.recv()["parameters"]["queries"] == 300
        done = larder.ctl("cache", "dump")
        assert done.returncode == 0
        assert {line.split("\t")[0] for line in done.stdout.splitlines()
                if line and line[0] != ";"} == names


def test_dump_needs_more(larder):
    """Without "more" there is one error, and oneway gets silence."""
    with Varlink(larder.control) as link:
        answer = link.call("io.larder.CacheDump")
        assert answer["error"] == "org.varlink.service.ExpectedMore"
        link.send("io.larder.CacheDump", more=True, oneway=True)
        assert "version" in link.call("io.larder.Status")["parameters"]


def test_who_does_not_read_a_dump_costs_nothing_and_is_dropped():
    """One reply is made ahead, others are served, and after 10 s it ends."""
    def long_text(ctx):
        name = ctx.msg.question[0].name_wire
        ctx.send(reply(ctx.msg, [rr(name, "TXT", 300, "x" * 1000)]))

    with Upstream() as upstream, Larder([upstream]) as larder:
        upstream.handler = long_text
        assert larder.ctl("log", "info").returncode == 0
        for _ in range(700):
            assert larder.ask_tcp(fresh_name(), "TXT").answer
        before = resident_kib(larder.pid)
        with Varlink(larder.control) as link, Varlink(larder.control) as other:
            link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            link.send("io.larder.CacheDump", {}, more=True)
            deadline = time.monotonic() + 14
            while time.monotonic() < deadline:
                assert "version" in other.call("io.larder.Status")["parameters"]
                if "does not read its replies" in larder.log():
                    break
                time.sleep(0.2)
            assert "does not read its replies" in larder.log()
            assert resident_kib(larder.pid) < before + 4096
            assert link.is_closed(timeout=3)


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


def test_lookup_counts_no_hit(larder, upstream, fresh):
    """Looking changes nothing: neither hits nor what an upstream is asked."""
    name = fresh()
    larder.ask(name)
    larder.ask(name)
    for _ in range(3):
        done = larder.ctl("--json", "cache", "lookup", name.upper())
        assert done.returncode == 0, done.stderr
        entry, = json.loads(done.stdout)["entries"]
        assert entry["hits"] == 1 and entry["name"] == name
    assert upstream.count(name) == 1
    done = larder.ctl("cache", "lookup", name, "A")
    assert re.search(rf"^{re.escape(name)}\t(300|299|298)\tIN\tA\t192\.0\.2\.1$",
                     done.stdout, re.M), done.stdout
    assert larder.ctl("cache", "lookup", name, "MX").returncode == 1
    assert larder.ctl("cache", "lookup", fresh()).returncode == 1
    assert upstream.count(name) == 1


def test_route_says_who_is_asked():
    """The route that is told is the one that a question takes."""
    with Upstream() as corp, Upstream() as rest:
        conf = {"routes": {"corp.example": [corp.url]}}
        with Larder([rest], conf=conf) as larder:
            for name, asked, route in (
                    ("www.corp.example.", corp, "corp.example."),
                    ("xcorp.example.", rest, "."),
                    ("Corp.Example", corp, "corp.example.")):
                told = json.loads(larder.ctl("--json", "route", name).stdout)
                assert told["route"] == route and not told["local"]
                assert [u["url"] for u in told["upstreams"]] == [
                    "udp://" + asked.url]
                larder.ask(name)
                assert asked.count(name.lower().rstrip(".") + ".") == 1
            told = json.loads(larder.ctl("--json", "route",
                                         "localhost").stdout)
            assert told["local"] and told["rcode"] == "NOERROR"
            assert told["route"] is None


def test_health_and_its_exit_code():
    """No upstream at all is failing, and exit code 1."""
    with Upstream() as upstream, Larder([upstream]) as larder:
        larder.alive()
        done = larder.ctl("health")
        assert done.returncode == 0 and done.stdout.startswith("healthy\n")
    with Larder() as larder:
        done = larder.ctl("health")
        assert done.returncode == 1 and done.stdout.startswith("failing\n")
        assert "no upstream" in done.stdout


def test_log_level_at_run_time(larder):
    """Orders are logged at info, which is off at first."""
    assert larder.ctl("cache", "flush").returncode == 0
    assert "Flush by uid" not in larder.log()
    assert larder.ctl("log", "info").returncode == 0
    assert larder.ctl("cache", "flush").returncode == 0
    assert "Flush by uid" in larder.log()
    done = larder.ctl("log", "notice")
    assert done.returncode == 0 and '"info"' in done.stdout
