"""Metrics and health over HTTP: who may ask what, and what must not happen."""

import http.client
import json
import os
import shutil
import socket
import stat
import subprocess
import threading
import time
from contextlib import ExitStack

import pytest

from clockshim import clock, clock_library, module_clock  # noqa: F401
from harness import (NOERROR, REFUSED, Larder, Upstream, answer_default,
                     eventually, free_port, fresh_name, query, reply)
from web import UnixConnection, get, http_conf, scrape

PAGES = ["/metrics", "/health", "/health/network", "/status.json"]
OPEN_METRICS = "application/openmetrics-text"


def raw(port, octets):
    """What comes back for these octets until the connection ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(octets)
        sock.shutdown(socket.SHUT_WR)
        got = b""
        while more := sock.recv(65536):
            got += more
    return got


@pytest.fixture(scope="module")
def served(module_upstream):
    """A larderd with HTTP for the whole module; .port is its port."""
    port = free_port()
    with Larder(module_upstream,
                conf=http_conf(port, **{"metrics-hosts": ["dns.example.net"]})
                ) as larder:
        larder.http = port
        yield larder


@pytest.fixture
def page(served):
    """The module's larderd, which must serve both when the test is over."""
    yield served
    served.alive()
    assert get(served.http, "/health").status == 200


# --- where it listens -------------------------------------------------------

def listening(pid):
    """Addresses (hex, as in /proc) that a process listens on over TCP."""
    inodes = set()
    for fd in os.scandir(f"/proc/{pid}/fd"):
        try:
            inodes.add(os.readlink(fd.path))
        except FileNotFoundError:
            pass
    with open(f"/proc/{pid}/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    return [row[1] for row in rows
            if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]


def test_off_by_default(larder):
    """Without metrics-listen the DNS port is the only one."""
    assert len(listening(larder.pid)) == 1


def test_several_addresses_and_a_socket_file(upstream, tmp_path):
    """Each address and the socket file serve the same pages."""
    ports, path = [free_port(), free_port()], str(tmp_path / "http")
    where = [f"127.0.0.1:{ports[0]}", f"127.0.0.2:{ports[1]}", path]
    with Larder(upstream, conf={"metrics-listen": where}) as larder:
        assert get(ports[0], "/health").status == 200
        assert get(ports[1], "/health", host="127.0.0.2").status == 200
        assert get(None, "/health",
                   connection=UnixConnection(path)).status == 200
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
        larder.alive()
    assert not os.path.exists(path)


def test_ipv6(upstream):
    port = free_port("::1")
    with Larder(upstream, conf={"metrics-listen": [f"[::1]:{port}"]}):
        for host in f"[::1]:{port}", "[::1]", "localhost":
            assert get(port, "/health", host="::1",
                       headers={"Host": host}).status == 200, host
        assert get(port, "/health", host="::1",
                   headers={"Host": "[::2]"}).status == 421


def test_beyond_this_host_is_warned_of(upstream):
    port = free_port()
    with Larder(upstream,
                conf={"metrics-listen": [f"0.0.0.0:{port}"]}) as larder:
        warning = f"whoever can reach 0.0.0.0:{port} may read the metrics"
        assert warning + "\n" in larder.log()
        larder.rewrite({"metrics-listen": [f"0.0.0.0:{port}"],
                        "metrics-names": True})
        assert larder.ctl("reload").returncode == 0
        assert warning + ", and which names were slow\n" in larder.log()
        assert get(port, "/health", headers={"Host": "127.0.0.1"}).status == 200
        assert get(port, "/health", headers={"Host": "0.0.0.0"}).status == 421


def test_port_in_use_does_not_stop_dns(upstream):
    """An address that cannot be opened is said, and DNS is served."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port, other = holder.getsockname()[1], free_port()
        where = [f"127.0.0.1:{port}", f"127.0.0.1:{other}"]
        with Larder(upstream, conf={"metrics-listen": where}) as larder:
            assert (f"metrics-listen: cannot listen on 127.0.0.1:{port}: "
                    "Address already in use") in larder.log()
            assert get(other, "/health").status == 200
            larder.alive()


def test_a_file_that_is_no_socket_stays(upstream, tmp_path):
    path = tmp_path / "precious"
    path.write_text("mine")
    with Larder(upstream, conf={"metrics-listen": [str(path)]}) as larder:
        assert f"cannot listen on {path}: File exists" in larder.log()
        larder.alive()
    assert path.read_text() == "mine"


def test_reload_opens_and_closes(upstream):
    """A reload moves HTTP; connections of before live on."""
    old, new = free_port(), free_port()
    with Larder(upstream, conf=http_conf(old)) as larder:
        kept = http.client.HTTPConnection("127.0.0.1", old, timeout=5)
        assert get(old, "/health", connection=kept).status == 200
        larder.rewrite(http_conf(new))
        assert larder.ctl("reload").returncode == 0
        assert get(new, "/health").status == 200
        with pytest.raises(ConnectionRefusedError):
            get(old, "/health")
        assert get(old, "/health", connection=kept).status == 200
        larder.rewrite({})
        assert larder.ctl("reload").returncode == 0
        with pytest.raises(ConnectionRefusedError):
            get(new, "/health")
        larder.alive()


def test_reload_from_address_to_wildcard(upstream):
    port = free_port()
    with Larder(upstream, conf=http_conf(port)) as larder:
        larder.rewrite({"metrics-listen": [f"0.0.0.0:{port}"]})
        assert larder.ctl("reload").returncode == 0
        assert "cannot listen" not in larder.log()
        assert get(port, "/health", host="127.0.0.9",
                   headers={"Host": "127.0.0.9"}).status == 200


# --- Host -------------------------------------------------------------------

@pytest.mark.parametrize("host", [
    "localhost", "LocalHost:80", "localhost.", "127.0.0.1", "127.0.0.1:9153",
    "dns.example.net", "DNS.Example.NET:9153", "dns.example.net."])
def test_host_is_ours(page, host):
    assert get(page.http, "/health", headers={"Host": host}).status == 200


@pytest.mark.parametrize("host", [
    None, "", "evil.example", "127.0.0.2", "127.0.0.1.evil.example",
    "localhost.evil.example", "[::1]", "localhost:x", "[localhost]x",
    "dns.example.net.evil", "example.net", "127.1", "localhost:80:80",
    "[", "[]", ":", ":80", "a" * 300, "localhost, evil.example",
    "evil.example, localhost", "127.0.0.1:80@evil.example"])
@pytest.mark.parametrize("path", PAGES + ["/"])
def test_host_is_not_ours(page, host, path):
    """A name that merely leads here (DNS rebinding) gets nothing."""
    got = get(page.http, path, headers={"Host": host})
    # Newer libmicrohttpd finds HTTP/1.1 without Host malformed by itself.
    assert got.status == 421 or (host is None and got.status == 400)
    assert "larder_" not in got.text and "status" not in got.text


def test_http_1_0_without_host(page):
    assert raw(page.http, b"GET /health HTTP/1.0\r\n\r\n").startswith(
        b"HTTP/1.1 421 ")


def test_host_comes_before_method(page):
    got = get(page.http, "/health", "DELETE", headers={"Host": "evil.example"})
    assert got.status == 421


def test_absolute_target_is_no_way_around(page):
    """The host of an absolute request target is not taken for a path."""
    got = raw(page.http, b"GET http://evil.example/metrics HTTP/1.1\r\n"
                         b"Host: localhost\r\nConnection: close\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 404 ")


# --- methods, paths, other origins ------------------------------------------

@pytest.mark.parametrize("method", [
    "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW",
    "get"])
def test_method_not_allowed(page, method):
    got = get(page.http, "/metrics", method)
    assert got.status == 405
    assert got.headers["Allow"] == "GET, HEAD"
    assert "larder_" not in got.text


def test_bodies_are_not_read_for_refused_requests(page):
    """A refusal comes at once, however much was announced."""
    with socket.create_connection(("127.0.0.1", page.http), timeout=5) as sock:
        sock.sendall(b"POST /metrics HTTP/1.1\r\nHost: localhost\r\n"
                     b"Content-Length: 1000000000\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 405 ")
        while sock.recv(65536):
            pass


@pytest.mark.parametrize("path", PAGES)
def test_head(page, path):
    """HEAD has the header fields of GET and no body."""
    got, whole = get(page.http, path, "HEAD"), get(page.http, path)
    assert got.status == whole.status == 200
    assert got.text == ""
    assert int(got.headers["Content-Length"]) > 100
    assert got.headers["Content-Type"] == whole.headers["Content-Type"]


@pytest.mark.parametrize("path", ["/x", "/metrics/", "//metrics", "/health/",
                                  "/../metrics", "/metrics%2f", "*"])
def test_not_found(page, path):
    assert get(page.http, path).status == 404


def test_arguments_change_nothing(page):
    assert get(page.http, "/health?x=1&y").status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", PAGES + ["/x"])
def test_other_origins_get_no_permission(page, method, path):
    got = get(page.http, path, method,
              headers={"Origin": "https://evil.example",
                       "Access-Control-Request-Method": "GET",
                       "Access-Control-Request-Private-Network": "true"})
    assert not [h for h in got.headers if h.lower().startswith("access-")]
    assert got.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["Content-Security-Policy"].startswith(
        "default-src 'none'")
    assert got.headers["Cache-Control"] == "no-store"


def test_no_query_names(page):
    """Nothing served tells what was asked for."""
    label = fresh_name("secret").split(".")[0]
    for name in label + ".example.", label + ".localhost.":
        assert page.ask(name) is not None
    for path in PAGES:
        got = get(page.http, path)
        assert label not in got.text and label not in str(got.headers)


def test_keep_alive(page):
    conn = http.client.HTTPConnection("127.0.0.1", page.http, timeout=5)
    get(page.http, "/health", connection=conn)
    first = conn.sock
    for path in PAGES * 3 + ["/x"]:
        get(page.http, path, connection=conn)
        assert conn.sock is first, path
    conn.close()


def test_body_of_get_is_ignored(page):
    assert get(page.http, "/health", body=b"x" * 5000).status == 200


# --- formats ----------------------------------------------------------------

@pytest.mark.parametrize("accept, is_open", [
    (None, False), ("*/*", False), ("text/plain", False),
    (OPEN_METRICS, True),
    (OPEN_METRICS + ";version=1.0.0", True),
    (OPEN_METRICS + "; version=1.0.0; charset=utf-8", True),
    (OPEN_METRICS.upper() + ";VERSION=1.0.0", True),
    (OPEN_METRICS + ";version=2.0.0", False),
    (OPEN_METRICS + ";version=0.0.1", False),
    (OPEN_METRICS + ";q=0", False),
    (OPEN_METRICS + ";q=0.000,text/plain", False),
    (OPEN_METRICS + ";q=0.3,text/plain;version=0.0.4;q=0.5", False),
    ("text/plain;q=0.2, " + OPEN_METRICS + ";q=0.3", True),
    # What Prometheus 2.42 sends.
    (OPEN_METRICS + ";version=1.0.0,application/openmetrics-text;version="
     "0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
    (OPEN_METRICS + "2", False), (",;,=;q=", False), ("x" * 3000, False)])
def test_accept(page, accept, is_open):
    got = get(page.http, headers={"Accept": accept})
    assert got.status == 200
    assert got.headers["Content-Type"] == (
        OPEN_METRICS + "; version=1.0.0; charset=utf-8" if is_open else
        "text/plain; version=0.0.4; charset=utf-8")
    assert got.text.endswith("\n# EOF\n") == is_open


def test_promtool_finds_nothing(page):
    if not shutil.which("promtool"):
        pytest.skip("no promtool (package prometheus)")
    done = subprocess.run(["promtool", "check", "metrics"], text=True,
                          input=get(page.http).text, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_open_metrics_is_well_formed(page):
    parser = pytest.importorskip(
        "prometheus_client.openmetrics.parser",
        reason="no prometheus_client (python3-prometheus-client)")
    text = get(page.http, headers={"Accept": OPEN_METRICS}).text
    families = list(parser.text_string_to_metric_families(text))
    assert len(families) > 40
    for family in families:
        assert family.documentation and family.type != "unknown", family.name
        assert family.samples, family.name


def test_both_formats_have_the_same_series(page):
    text = scrape(page.http)
    assert text.keys() == scrape(page.http,
                                 headers={"Accept": OPEN_METRICS}).keys()


# --- numbers ----------------------------------------------------------------

FAILURES = ["timeout", "unreachable", "refused", "closed", "certificate",
            "protocol", "http", "rcode", "malformed"]
CHECK = "certificate_"      # in front of the names of those by check


# Counters that divide one thing among them: {name: (metric, label)}.
FAMILIES = {
    name: (metric, f"{key}={name.split('_')[1]}")
    for metric, key, names in [
        ("larder_stale_answers_total", "reason",
         ["stale_wait", "stale_failed", "stale_held", "stale_down",
          "stale_refresh", "stale_overload"]),
        ("larder_prefetches_total", "by",
         ["prefetch_hit", "prefetch_timer", "prefetch_expiry"]),
        ("larder_prefetch_results_total", "result",
         ["prefetch_gained", "prefetch_useless", "prefetch_failed"])]
    for name in names}


def test_every_counter_is_a_metric(page):
    """What `larderctl stats` counts, /metrics has, with the same values."""
    for name in fresh_name(), "localhost.", "version.bind.":
        page.ask(name)
    got, deadline = None, time.monotonic() + 20
    while True:     # a probe of larder's own may come between two looks
        stats, before = page.stats(), got
        got = scrape(page.http)
        if before and all(got[k] == n for k, n in before.items()
                          if not k[0].endswith("_seconds")):
            break
        assert time.monotonic() < deadline
    for name, value in stats["counters"].items():
        key = FAMILIES.get(name, ("larder_" + name + "_total",))
        assert got[key] == value, name
    assert FAMILIES.keys() < stats["counters"].keys()
    for name, outcome in stats["outcomes"].items():
        assert got["larder_queries_total",
                   "outcome=" + name] == outcome["count"], name
    for up in stats["upstreams"]:
        label = "upstream=" + up["name"]
        for name, value in up["counters"].items():
            key = ("larder_upstream_" + name + "_total", label)
            if name in FAILURES:
                key = ("larder_upstream_failures_total", label,
                       "reason=" + name)
            if name.startswith(CHECK):
                key = ("larder_upstream_certificate_failures_total", label,
                       "check=" + name.removeprefix(CHECK))
            assert got[key] == value, name
    assert got["larder_cache_entries",] == stats["cache"]["entries"]
    assert got["larder_cache_limit_bytes",] == stats["cache"]["size"]


def buckets(got, name, label):
    return [(float(key[2].removeprefix("le=")), n) for key, n in got.items()
            if key[:2] == (name + "_bucket", label)]


def test_histograms(upstream):
    """Buckets from 50 us to 10 s, cumulative, with every sample in its own."""
    port = free_port()

    def late(ctx):
        ctx.send_later(0.06, reply(ctx.wire))

    upstream.handler = late
    with Larder(upstream, conf=http_conf(port)) as larder:
        for _ in range(3):
            assert larder.ask(fresh_name()) is not None
        got = scrape(port)
    url = "upstream=udp://" + upstream.url
    for name, label in [("larder_answer_duration_seconds", "outcome=miss"),
                        ("larder_upstream_exchange_duration_seconds", url)]:
        row = buckets(got, name, label)
        bounds, counts = zip(*row)
        assert bounds[0] == 50e-6 and bounds[-2:] == (10, float("inf"))
        assert list(bounds) == sorted(bounds)
        assert list(counts) == sorted(counts)
        assert dict(row)[0.025] == 0 and dict(row)[10] == 3
        assert got[name + "_count", label] == counts[-1] == 3
        assert 0.18 <= got[name + "_sum", label] < 12


def spread(larder, load, junk):
    """Sends datagrams from a socket each, so that none repeats another, and
    gives how many were answered: all of the load, and nothing of the junk,
    some time after."""
    with ExitStack() as stack:
        socks = [stack.enter_context(larder.udp_socket())
                 for _ in load + junk]
        for sock, wire in zip(socks, load + junk):
            sock.send(wire)
        answered = 0
        for sock in socks:
            sock.settimeout(10 if answered < len(load) else 0.2)
            try:
                sock.recv(65535)
                answered += 1
            except TimeoutError:
                pass
    return answered


def test_each_query_has_one_outcome(upstream):
    """After a mixed load the outcomes add up to what was answered, and the
    queries that came in are those and their repeats."""
    port = free_port()
    slow = fresh_name("slow")

    def handler(ctx):
        if ctx.name == slow:
            ctx.send_later(0.2, reply(ctx.wire, rcode=NOERROR))
        else:
            answer_default(ctx)

    upstream.handler = handler
    with Larder(upstream, conf=http_conf(port, allow=["127.0.0.1"])) as larder:
        hot = fresh_name("hot")
        larder.ask(hot)
        answered = 1
        load = ([query(hot)] * 20 + [query(fresh_name()) for _ in range(20)]
                + [query(slow) for _ in range(10)]
                + [query("localhost.")] * 5
                + [query("version.bind.", "TXT", qclass=3)] * 2
                + [query(hot, "ANY"), query(hot, opcode=4)]
                + [query(hot)[:20], query(hot)[:13] + b"\xff"])
        junk = [b"", b"short", query(hot)[:2] + b"\x84" + query(hot)[3:]]
        answered += spread(larder, load, junk)
        assert answered == 1 + len(load)
        assert larder.ask(hot, src="127.0.0.2").rcode == REFUSED
        with larder.tcp() as conn:
            for name in hot, fresh_name(), "localhost.":
                conn.send(query(name))
                assert conn.recv() is not None
        answered += 4
        got = scrape(port)
    outcomes = {key[1]: n for key, n in got.items()
                if key[0] == "larder_queries_total"}
    for outcome in "hit", "miss", "joined", "local", "refused":
        assert outcomes["outcome=" + outcome] > 0, outcomes
    assert sum(outcomes.values()) == answered
    assert got["larder_dropped_total",] == len(junk)
    assert (got["larder_udp_queries_total",] + got["larder_tcp_queries_total",]
            == answered + got["larder_repeated_total",])
    timed = sum(n for key, n in got.items()
                if key[0] == "larder_answer_duration_seconds_count")
    assert timed == answered


# --- health -----------------------------------------------------------------

def health(port, path="/health"):
    got = get(port, path)
    assert got.headers["Content-Type"] == "application/json"
    document = json.loads(got.text)
    assert (got.status == 503) == (document["status"] == "failing")
    if path == "/health":
        return document["status"], {c["name"]: c["status"]
                                    for c in document["checks"]}
    return document["status"], {u["name"]: u for u in document["upstreams"]}


def test_healthy(page):
    page.ask(fresh_name())
    status, checks = health(page.http)
    assert status == "healthy"
    assert checks == dict.fromkeys(
        ["upstreams", "latency", "cache", "kernel"], "healthy")
    status, upstreams = health(page.http, "/health/network")
    assert status == "healthy"
    (up,) = upstreams.values()
    assert up["status"] == "healthy" and up["counters"]["answered"] > 0
    assert up["exchange"]["p50_us"] > 0 and up["connect"]["count"] == 0


def test_no_upstream_is_failing():
    port = free_port()
    with Larder(conf=http_conf(port)):
        assert health(port)[0] == "failing"


def test_dead_upstream_fails_and_is_forgiven(upstream, clock):  # noqa: F811
    """All upstreams silent: 503.  One of two is not as bad.  Once it answers
    again and a minute has passed, what was is no reason any more."""
    port, dead = free_port(), Upstream()
    where = dead.url
    dead.stop()
    conf = http_conf(port, **{"query-timeout": "300ms"})
    with Larder(where, conf=conf, env=clock.env) as larder:
        assert health(port)[0] == "healthy"
        for _ in range(4):
            larder.ask(fresh_name())
        status, checks = health(port)
        assert status == checks["upstreams"] == "failing"
        status, upstreams = health(port, "/health/network")
        (up,) = upstreams.values()
        assert status == up["status"] == "failing"
        assert up["counters"]["refused"] >= 3
        larder.rewrite({"forward": [where, upstream.url], **http_conf(port)})
        assert larder.ctl("reload").returncode == 0
        for _ in range(4):
            assert larder.ask(fresh_name()).rcode == NOERROR
        assert health(port)[0] == "degraded"
        dead.start()
        pass_by(clock, port, 31)
        larder.ask(fresh_name())        # wakes the worker: a probe is due
        # Time must not jump past its answer.
        eventually(lambda: state_of(port, where) == "good")
        pass_by(clock, port, 31)
        eventually(lambda: health(port)[0] == "healthy")
    dead.stop()


def test_route_without_an_upstream_fails(upstream):
    """Where a route's last upstream is gone, names below it are, whatever
    works elsewhere; and larderctl says the same."""
    port, dead = free_port(), Upstream()
    where = f"udp://{dead.url}"
    dead.stop()
    conf = http_conf(port, **{"query-timeout": "300ms"},
                     upstreams={"spare": {"url": upstream.url}},
                     routes={"corp.example": [where]})
    with Larder(upstream, conf=conf) as larder:
        for _ in range(3):
            larder.ask(fresh_name("a").split(".")[0] + ".corp.example.")
            larder.ask(fresh_name())
        assert health(port)[0] == "failing"
        detail = json.loads(get(port, "/health").text)["checks"][0]["detail"]
        assert "no upstream for corp.example. works" in detail
        status = json.loads(larder.ctl("--json", "status").stdout)
        assert status["trouble"] == detail
        _, upstreams = health(port, "/health/network")
        assert upstreams[where]["state"] == "open"
        assert upstreams[where]["status"] == "failing"
        got = scrape(port)
        label = "upstream=" + where
        assert got["larder_upstream_state", label, "state=open"] == 1
        assert got["larder_upstream_state", label, "state=good"] == 0
        assert got["larder_upstream_breaker_transitions_total", label,
                   "to=open", "reason=unreachable"] == 1
        larder.rewrite(conf | {"routes": {"corp.example": [where, "spare"]}})
        assert larder.ctl("reload").returncode == 0
        assert health(port)[0] == "degraded"
        assert larder.ctl("upstream", where, "down").returncode == 0
        assert health(port)[0] == "healthy"
        assert scrape(port)["larder_upstream_state", label, "state=down"] == 1


def state_of(port, upstream):
    _, upstreams = health(port, "/health/network")
    (state,) = (up["state"] for name, up in upstreams.items()
                if upstream in name)
    return state


def pass_by(clock, port, seconds):  # noqa: F811
    """Time passes, and larderd has noticed when this returns."""
    clock.pass_by(seconds)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if scrape(port)["larder_uptime_seconds",] >= clock.mono_s:
                break
        except ConnectionError:     # accepted before, and now too old
            pass
    health(port)


# --- hostile clients --------------------------------------------------------

def test_clients_are_bounded(page):
    """Idle connections give way: to each other, and to one with a request."""
    before = len(os.listdir(f"/proc/{page.pid}/fd"))
    with ExitStack() as stack:
        idle = []
        for _ in range(200):
            sock = socket.create_connection(("127.0.0.1", page.http), 5)
            idle.append(stack.enter_context(sock))
            if len(idle) % 50 == 0:
                assert get(page.http, "/health").status == 200
        assert len(os.listdir(f"/proc/{page.pid}/fd")) <= before + 50
        page.alive()
        for sock in idle[:100]:		# the oldest have been closed
            sock.settimeout(5)
            assert gone(sock)


def gone(sock):
    """Whether the other side ended the connection."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


def test_busy_clients_do_not_keep_others_out(page):
    """A scrape comes through while all places are taken by tricklers."""
    stop = threading.Event()

    def trickle():
        while not stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", page.http),
                                              5) as sock:
                    sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: local")
                    stop.wait(0.002)
            except OSError:
                pass

    threads = [threading.Thread(target=trickle) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert get(page.http).status == 200
            page.alive()
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def timed(upstream, clock):  # noqa: F811
    port = free_port()
    with Larder(upstream, conf=http_conf(port), env=clock.env) as larder:
        larder.http = port
        yield larder


def test_slow_request_is_dropped(timed, clock):  # noqa: F811
    """Ten seconds for a request, however busily its octets come."""
    with socket.create_connection(("127.0.0.1", timed.http), 5) as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n")
        for _ in range(3):          # and what this takes beside
            clock.pass_by(2)
            sock.sendall(b"X: y\r\n")
            assert get(timed.http, "/health").status == 200
        assert not gone_now(sock)
        clock.pass_by(5)
        sock.sendall(b"X: y\r\n")
        get(timed.http, "/health")
        assert gone(sock)
    timed.alive()


def gone_now(sock):
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    finally:
        sock.settimeout(5)


def test_client_that_does_not_read_is_dropped(timed, clock):  # noqa: F811
    """Many requests, no reply read: it has ten seconds for one."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(0.2)
        sock.connect(("127.0.0.1", timed.http))
        wanted = 0
        try:
            while wanted < 5000:
                sock.sendall(b"GET /metrics HTTP/1.1\r\n"
                             b"Host: localhost\r\n\r\n")
                wanted += 1
        except TimeoutError:
            pass			# it reads no more either
        clock.pass_by(11)
        get(timed.http, "/health")
        sock.settimeout(5)
        got = b""
        try:
            while more := sock.recv(65536):
                got += more
        except ConnectionResetError:
            pass
        assert 0 < got.count(b"HTTP/1.1 200") < wanted
    timed.alive()


def test_idle_connection_is_dropped(timed, clock):  # noqa: F811
    conn = http.client.HTTPConnection("127.0.0.1", timed.http, timeout=5)
    get(timed.http, "/health", connection=conn)
    clock.pass_by(11)
    get(timed.http, "/health")
    assert gone(conn.sock)
    conn.close()


@pytest.mark.parametrize("octets", [
    b"\0" * 4096, b"\r\n" * 5000, b"GET", b"GET /metrics",
    b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked"
    b"\r\n\r\nfffffffffffffffff\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 500,
    bytes(range(256)) * 50], ids=range(11))
def test_garbage(page, octets):
    """An error, an end, or patience; never a 200, nor an end of larderd."""
    with socket.create_connection(("127.0.0.1", page.http), 5) as sock:
        got = b""
        try:
            sock.sendall(octets)
            sock.settimeout(0.1)
            while more := sock.recv(65536):
                got += more
        except (ConnectionResetError, BrokenPipeError, TimeoutError):
            pass
    assert got == b"" or got.startswith(b"HTTP/1.1 4") or (
        got.startswith(b"HTTP/1.1 505 ")), got


def test_connections_that_are_reset(page):
    for octets in b"", b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 9:
        for _ in range(20):
            sock = socket.create_connection(("127.0.0.1", page.http), 5)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            b"\1\0\0\0\0\0\0\0")
            sock.sendall(octets)
            sock.close()
    assert get(page.http).status == 200


def test_stops_with_clients_connected(upstream):
    """An end with connections open, one of them in a request, is clean."""
    port = free_port()
    with Larder(upstream, conf=http_conf(port)) as larder:
        socks = [socket.create_connection(("127.0.0.1", port), 5)
                 for _ in range(3)]
        socks[0].sendall(b"GET /metrics HT")
        get(port)
        assert larder.stop() == 0
        for sock in socks:
            assert gone(sock)
            sock.close()
