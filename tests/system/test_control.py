"""The control socket from outside: who may do what, replies in pieces, traces.

Spoken to octet by octet by a client that knows nothing of larder's code, and
by larderctl.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest

from harness import (REFUSED, Larder, Upstream, answer_default, eventually,
                     find_binary, fresh_name, parse, query, reply, rr)
from test_daemon import Varlink

NAMES = (("CacheLookup", {"name": "a."}), ("CacheDump", {}),
         ("Trace", {"name": "a."}), ("Monitor", {}))
ORDERS = (("Flush", {}), ("Reload", {}), ("SetLogLevel", {"level": "info"}),
          ("SetQueryLog", {"on": True}),
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
        # A stranger may not even get to where it was built.
        larderctl = shutil.copy(find_binary("larderctl"), larder.dir)
        done = subprocess.run(
            [larderctl, "--socket", larder.control, "cache",
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
    def long_text(ctx):         # five times as long once it is told
        name = ctx.msg.question[0].name_wire
        ctx.send(reply(ctx.msg, [rr(name, "TXT", 300, "\x01" * 1100)]))

    # Freed memory that a sanitizer keeps back would look like ours.
    env = {"ASAN_OPTIONS": "exitcode=99:quarantine_size_mb=1"}
    with Upstream() as upstream, Larder([upstream], env=env) as larder:
        upstream.handler = long_text
        assert larder.ctl("log", "info").returncode == 0
        for _ in range(1000):
            assert larder.ask_tcp(fresh_name(), "TXT").answer
        before = resident_kib(larder.pid)
        with Varlink(larder.control) as link, Varlink(larder.control) as other:
            link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            link.send("io.larder.CacheDump", {}, more=True)
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                assert "version" in other.call("io.larder.Status")["parameters"]
                if "does not read its replies" in larder.log():
                    break
                time.sleep(0.2)
            assert "does not read its replies" in larder.log()
            assert resident_kib(larder.pid) < before + 2048
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
    assert re.search(rf"^{re.escape(name)}\t(300|2[89]\d)\tIN\tA\t192\.0\.2\.1$",
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


# --- trace ------------------------------------------------------------------

def slow(seconds):
    """A handler that answers after a while, without holding up others."""
    def handle(ctx):
        timer = threading.Timer(seconds, answer_default, (ctx,))
        timer.start()
    return handle


def trace(larder, name, qtype="A", **parameters):
    with Varlink(larder.control) as link:
        link.sock.settimeout(15)
        answer = link.call("io.larder.Trace",
                           {"name": name, "type": qtype, **parameters})
    assert "error" not in answer, answer
    return answer["parameters"]


def check_in_order(told):
    """Instants do not run backwards, and nothing is after the answer."""
    assert 0 <= told["asked_us"] <= told["answered_us"]
    for one in (told["flight"] or {"tries": []})["tries"]:
        steps = [one[k] for k in ("started_us", "connected_us", "secured_us",
                                  "sent_us", "ended_us") if one[k] is not None]
        assert steps == sorted(steps) and steps[-1] <= told["answered_us"], one
        assert (one["ended_us"] is None) == (one["result"] in
                                             ("open", "given-up")), one


def test_trace_is_a_client(larder, upstream, fresh):
    """It asks upstream, fills the cache, and is counted once, as a client."""
    name = fresh()
    before = larder.stats()
    told = trace(larder, name.upper())
    check_in_order(told)
    assert told["outcome"] == "miss" and told["rcode"] == "NOERROR"
    assert [r["data"] for r in told["records"]] == ["192.0.2.1"]
    one, = told["flight"]["tries"]
    assert one["result"] == "answer" and one["transport"] == "udp"
    assert one["upstream"] == "udp://" + upstream.url
    assert not told["flight"]["joined"] and not told["flight"]["unfinished"]
    assert upstream.count(name) == 1
    again = trace(larder, name)
    assert again["outcome"] == "hit" and again["flight"] is None
    assert larder.ask(name).a() == ["192.0.2.1"]
    assert upstream.count(name) == 1
    after = larder.stats()
    assert after["queries"] == before["queries"] + 3
    assert (after["outcomes"]["hit"]["count"]
            == before["outcomes"]["hit"]["count"] + 2)
    assert trace(larder, "localhost")["outcome"] == "local"
    assert trace(larder, name, dnssec_ok=True)["outcome"] == "miss"


def test_trace_says_which_upstream_is_slow():
    """The try that was waited for in vain, and the one that helped."""
    with Upstream() as first, Upstream() as second:
        first.handler = lambda ctx: None
        with Larder([first, second], conf={"resend-after": "300ms"}) as larder:
            told = trace(larder, fresh_name())
            check_in_order(told)
            one, other = told["flight"]["tries"][:2]
            assert one["upstream"].endswith(first.url)
            assert one["result"] == "open" and one["ended_us"] is None
            assert other["upstream"].endswith(second.url)
            assert other["result"] == "answer"
            assert other["started_us"] - one["started_us"] >= 290000
            assert told["answered_us"] >= 290000
            done = larder.ctl("trace", fresh_name())
            assert done.returncode == 0
            verdict = done.stdout.splitlines()[-1]
            assert f"udp://{first.url} did not answer within " in verdict
            assert f"; udp://{second.url} answered in " in verdict


def test_trace_of_failures():
    """SERVFAIL by an upstream; none at all; a dead port."""
    with Upstream() as upstream:
        upstream.handler = lambda ctx: ctx.send(reply(ctx.msg, rcode=2))
        with Larder([upstream]) as larder:
            told = trace(larder, fresh_name())
            check_in_order(told)
            assert told["rcode"] == "SERVFAIL"
            assert told["flight"]["tries"][0]["result"] == "failed"
            assert told["flight"]["tries"][0]["rcode"] == "SERVFAIL"
            done = larder.ctl("resolve", fresh_name())
            assert done.returncode == 1 and "SERVFAIL" in done.stdout
    with Larder() as larder:
        told = trace(larder, fresh_name())
        assert told["rcode"] == "SERVFAIL" and told["flight"] is None
        assert told["extended_error"] == 22


def test_trace_joins_and_is_joined(upstream):
    """Whoever asks the same meanwhile shares the flight."""
    with Larder([upstream]) as larder:
        waiting = []
        upstream.handler = waiting.append
        name = fresh_name()
        with larder.udp_socket() as sock, Varlink(larder.control) as link:
            sock.send(query(name))
            upstream.wait(1, name=name)
            before = larder.stats()["gauges"]["waiting"]
            link.send("io.larder.Trace", {"name": name, "type": "A"})
            eventually(lambda: larder.stats()["gauges"]["waiting"] > before, 3)
            for ctx in waiting:
                answer_default(ctx)
            told = link.recv()["parameters"]
            check_in_order(told)
            assert told["outcome"] == "joined" and told["flight"]["joined"]
            assert told["flight"]["tries"][0]["result"] == "answer"
            sock.settimeout(6)
            assert parse(sock.recv(4096)).a() == ["192.0.2.1"]
        assert larder.stats()["counters"]["flights"] == 1


def test_trace_follows_an_alias_to_another_route():
    """What the alias leads to is asked of its own route's upstream."""
    def alias(ctx):
        name = ctx.msg.question[0].name_wire
        ctx.send(reply(ctx.msg, [rr(name, "CNAME", 300, "www.corp.example.")]))

    with Upstream() as outside, Upstream() as corp:
        outside.handler = alias
        conf = {"routes": {"corp.example": [corp.url]}}
        with Larder([outside], conf=conf) as larder:
            told = trace(larder, "a.example.")
            check_in_order(told)
            one, other = told["flight"]["tries"]
            assert not one["for_target"] and other["for_target"]
            assert one["upstream"].endswith(outside.url)
            assert other["upstream"].endswith(corp.url)
            assert [r["type"] for r in told["records"]] == ["CNAME", "A"]


def test_trace_over_streams(upstream):
    """Truncated over UDP, then TCP with its connection."""
    def cut(ctx):
        if ctx.proto == "udp":
            ctx.send(reply(ctx.msg, tc=1))
        else:
            answer_default(ctx)

    with Larder([upstream]) as larder:
        upstream.handler = cut
        told = trace(larder, fresh_name())
        check_in_order(told)
        one, other = told["flight"]["tries"]
        assert one["result"] == "truncated" and one["transport"] == "udp"
        assert other["result"] == "answer" and other["transport"] == "tcp"
        assert other["connected_us"] >= other["started_us"]
        assert other["secured_us"] is None


def test_trace_of_stale_data(upstream):
    """A client gets it when the refresh takes too long; so does a trace."""
    def short(ctx):
        name = ctx.msg.question[0].name_wire
        ctx.send(reply(ctx.msg, [rr(name, "A", 1, "192.0.2.1")]))

    conf = {"cache": {"stale": "1h", "stale-wait": "100ms"}}
    with Larder([upstream], conf=conf) as larder:
        name = fresh_name()
        upstream.handler = short
        larder.ask(name)
        upstream.handler = lambda ctx: None
        time.sleep(1.1)
        entry, = json.loads(larder.ctl("--json", "cache", "lookup",
                                       name).stdout)["entries"]
        assert entry["state"] == "stale" and entry["left_s"] < 0
        told = trace(larder, name)
        check_in_order(told)
        assert told["outcome"] == "stale" and told["rcode"] == "NOERROR"
        assert told["extended_error"] == 3
        assert told["flight"]["unfinished"]
        assert told["flight"]["tries"][0]["result"] == "open"
        # A clock of whole ms below, and the time-out of 4 s above.
        assert 99000 <= told["answered_us"] < 3900000


def test_trace_where_only_others_may_ask(upstream):
    """It is asked from an address that is allowed to."""
    with Larder([upstream], conf={"allow": ["192.0.2.0/24"]}) as larder:
        assert larder.ask(fresh_name()).rcode == REFUSED
        assert trace(larder, fresh_name())["rcode"] == "NOERROR"


def test_whoever_orders_traces_and_goes(upstream):
    """Reports for those who have gone are dropped; too many are refused."""
    with Larder([upstream]) as larder:
        waiting = []
        upstream.handler = waiting.append
        links = []
        for _ in range(40):
            link = Varlink(larder.control)
            link.send("io.larder.Trace", {"name": fresh_name()})
            links.append(link)
        busy = 0
        for link in links[32:]:
            busy += link.recv().get("error") == "io.larder.Busy"
        assert busy == 8
        for link in links:
            link.sock.close()
        upstream.handler = answer_default
        for ctx in waiting:
            answer_default(ctx)
        with Varlink(larder.control) as link:
            # A call behind a trace waits for it.
            deadline = time.monotonic() + 10
            while link.call("io.larder.Trace", {"name": "a."}).get("error"):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            link.send("io.larder.Trace", {"name": fresh_name()})
            link.send("io.larder.Status")
            assert "flight" in link.recv()["parameters"]
            assert "version" in link.recv()["parameters"]


def test_stop_during_a_trace(upstream):
    """larderd ends in its time, and who waits hears so or the end."""
    with Larder([upstream]) as larder:
        upstream.handler = lambda ctx: None
        with Varlink(larder.control) as link:
            name = fresh_name()
            link.send("io.larder.Trace", {"name": name})
            upstream.wait(1, name=name)
            assert larder.stop() == 0
            answer = link.recv()
            assert answer is None or "error" in answer


def test_traces_beside_load(larder):
    """Traces from many connections while clients ask: all are answered."""
    names = [fresh_name() for _ in range(20)]
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            for name in names:
                assert larder.ask(name) is not None

    clients = [threading.Thread(target=ask) for _ in range(2)]
    for one in clients:
        one.start()
    try:
        for _ in range(5):
            for name in names:
                assert trace(larder, name)["rcode"] == "NOERROR"
    finally:
        stop.set()
        for one in clients:
            one.join()
