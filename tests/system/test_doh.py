"""DNS over HTTPS to upstreams: section 20 of the conformance list, rows DOH-*.

The server is a scripted one (secure.py) that can say anything HTTP/2 allows
and some things that it does not.  A question that an upstream fails goes to
the next, so most tests have a good one behind the one that is to fail.
"""

import base64
import collections
import itertools
import time
from email.utils import formatdate

import h2.errors
import h2.settings
import pytest

import harness
from harness import SERVFAIL, Opt, Upstream, fresh_name, query, reply, rr
from secure import MESSAGE, NAME, DohUpstream, larder_over

A, OTHER = ["192.0.2.1"], ["192.0.2.2"]
SETTING = h2.settings.SettingCodes


@pytest.fixture
def second(module_upstream):
    """A plain upstream behind it, which says 192.0.2.2."""
    module_upstream.reset()
    module_upstream.handler = lambda ctx: ctx.send(
        reply(ctx.msg, [rr(ctx.name, "A", 300, OTHER[0])]))
    yield module_upstream
    module_upstream.handler = harness.answer_default


@pytest.fixture
def pair(doh, second):
    """A larderd that asks `doh`, and `second` when that fails."""
    with larder_over(doh, {"url": second.url}) as larder:
        yield larder


def answer(ctx, ttl=300, **kw):
    return reply(ctx.msg, [rr(ctx.name, "A", ttl, A[0])], **kw)


# Shorter than `resend-after`, which is a second: nobody waited for a timer.
AT_ONCE = 0.9


def asked(larder, **kw):
    name, began = fresh_name(), time.monotonic()
    msg = larder.ask(name, timeout=6, **kw)
    return msg, time.monotonic() - began


def assert_goes_on(larder, doh, handler):
    """What the handler says is no answer: the next server has one, before a
    resend would have been due, and this one is asked again."""
    doh.handler = handler
    msg, took = asked(larder)
    assert msg is not None and msg.a() == OTHER, msg
    assert took < AT_ONCE, f"{took:.3f} s: waited for the resend"
    before = len(doh.log)
    doh.handler = harness.answer_default
    for _ in range(20):
        msg, took = asked(larder)
        if msg.a() == A:
            break
        time.sleep(0.1)
    assert msg.a() == A and len(doh.log) > before


# --- requests ---------------------------------------------------------------

def test_doh_01_post(doh):
    """DOH-01, DOH-02, DOH-10: POST: what is asked, and nothing besides."""
    with larder_over(doh) as larder:
        for _ in range(3):
            assert asked(larder)[0].a() == A
    assert len(doh.requests) == 3
    for request in doh.requests:
        assert request.fields == [
            (":method", "POST"), (":scheme", "https"),
            (":authority", f"{NAME}:{doh.port}"), (":path", "/dns-query"),
            ("accept", MESSAGE), ("content-type", MESSAGE),
            ("content-length", str(len(request.body)))]
        assert request.body[:2] == b"\0\0"          # the ID
    assert len({r.conn for r in doh.requests}) == 1


def test_doh_01_get(doh):
    """DOH-01, DOH-02, DOH-10: GET where it is configured: base64url without
    padding, in the variable `dns`."""
    with larder_over(doh.conf(method="get")) as larder:
        for _ in range(3):
            assert asked(larder)[0].a() == A
    for entry, request in zip(doh.log, doh.requests):
        assert request.names == [":method", ":scheme", ":authority", ":path",
                                 "accept"]
        assert request.field(":method") == "GET" and not request.body
        path, text = request.field(":path").split("?dns=")
        assert path == "/dns-query" and request.field("accept") == MESSAGE
        assert text == base64.urlsafe_b64encode(entry.wire).decode().rstrip("=")
        assert entry.wire[:2] == b"\0\0"


@pytest.mark.parametrize("method", ["post", "get"])
def test_doh_01_path(cert, ca, method):
    """DOH-01: the path of the URL, and SNI and authority of each kind."""
    with DohUpstream(cert, ca, path="/a/b~c") as server, \
            larder_over(server.conf(method=method)) as larder:
        assert asked(larder)[0].a() == A
        path = server.requests[0].field(":path").split("?")[0]
        assert path == "/a/b~c"


def test_doh_02_other_id(pair, doh):
    """DOH-02: U's other ID in the reply is malformed: next server."""
    assert_goes_on(pair, doh, lambda ctx: ctx.send(answer(ctx, id=5)))


def test_doh_09_settings(doh):
    """DOH-09: server push is switched off in the first SETTINGS."""
    with larder_over(doh) as larder:
        asked(larder)
        assert doh.https[-1].client_settings[SETTING.ENABLE_PUSH] == 0


# --- what is no answer ------------------------------------------------------

STATUSES = (201, 204, 301, 302, 307, 308, 400, 401, 403, 404, 405, 413, 415,
            429, 500, 501, 502, 503, 504)


@pytest.mark.parametrize("status", STATUSES)
def test_doh_04_09_statuses(pair, doh, status):
    """DOH-04, DOH-09: a status with a DNS body: 2xx carries an answer, others
    are a failure; redirects go nowhere."""
    elsewhere = [("location", f"https://{doh.url}/elsewhere")]

    def handler(ctx):
        ctx.respond(status, answer(ctx), fields=elsewhere)

    if status == 201:
        doh.handler = handler
        assert asked(pair)[0].a() == A
    else:
        assert_goes_on(pair, doh, handler if status != 204 else
                       lambda ctx: ctx.respond(status, b""))
    assert all(r.field(":path") == "/dns-query" for r in doh.requests)


def test_doh_04_servfail_is_a_dns_matter(pair, doh):
    """DOH-04: 200 with SERVFAIL: as over any transport, the next server."""
    assert_goes_on(pair, doh,
                   lambda ctx: ctx.send(reply(ctx.msg, rcode=SERVFAIL)))


@pytest.mark.parametrize("type_", [
    "text/html", "text/plain; charset=utf-8", "application/dns-json",
    "application/dns-messages", "application/dns-message2", "", None])
def test_doh_06_wrong_types(pair, doh, type_):
    """DOH-06: another content type, or none: failure."""
    assert_goes_on(pair, doh, lambda ctx: ctx.respond(
        body=answer(ctx), type=type_))


def test_doh_06_portal(pair, doh):
    """DOH-06: a captive portal's page."""
    assert_goes_on(pair, doh, lambda ctx: ctx.respond(
        body=b"<html>log in</html>" * 100, type="text/html"))


@pytest.mark.parametrize("type_", [
    "Application/DNS-Message", "application/dns-message; x=y",
    "application/dns-message;charset=binary", "APPLICATION/DNS-MESSAGE ; a=b"])
def test_doh_06_right_types(pair, doh, type_):
    """DOH-06: letter case and parameters make no difference."""
    doh.handler = lambda ctx: ctx.respond(body=answer(ctx), type=type_)
    assert asked(pair)[0].a() == A


BODIES = {
    "empty": lambda m: dict(body=b""),
    "cut": lambda m: dict(body=m[:-3]),
    "short": lambda m: dict(body=m[:11]),
    "garbage": lambda m: dict(body=b"\xff" * 200),
    "70000": lambda m: dict(body=m + bytes(70000 - len(m))),
    "longer-than-said": lambda m: dict(
        body=m, fields=[("content-length", str(len(m) - 1))]),
    "shorter-than-said": lambda m: dict(
        body=m, fields=[("content-length", str(len(m) + 1))]),
    "header-of-100k": lambda m: dict(body=m, fields=[("x-big", "x" * 100000)]),
    "header-of-1M": lambda m: dict(body=m, fields=[
        (f"x-{i}", "x" * 10000) for i in range(100)]),
}


@pytest.mark.parametrize("body", BODIES)
def test_doh_11_bodies(pair, doh, body):
    """DOH-11: bodies and headers beyond bounds are a failure."""
    assert_goes_on(pair, doh,
                   lambda ctx: ctx.respond(**BODIES[body](answer(ctx))))


def memory_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status
                    if line.startswith("VmRSS"))


def test_doh_11_endless_body(pair, doh):
    """DOH-11: a body without an end: the stream is ended by larder soon,
    memory stays where it was, and the connection goes on."""
    asked(pair)
    before, sent = memory_kib(pair.pid), itertools.count()

    def endless(ctx):
        first = answer(ctx)

        def pieces():
            yield first
            while next(sent) < 20000:
                yield bytes(8192)
        ctx.respond(body=pieces())

    assert_goes_on(pair, doh, endless)
    assert next(sent) < 1000, "it was read on and on"
    assert memory_kib(pair.pid) - before < 4096
    assert len({r.conn for r in doh.requests}) == 1
    assert doh.resets


def test_doh_11_trailers(pair, doh):
    """DOH-11, DOH-04: trailers after the body change nothing."""
    doh.handler = lambda ctx: ctx.respond(body=answer(ctx), trailers=[
        ("x-checksum", "1"), ("age", "250"), ("content-type", "text/html")])
    name = fresh_name()
    msg = pair.ask(name)
    assert msg.a() == A and msg.answer[0].ttl == 300, msg


# --- freshness --------------------------------------------------------------

AGES = [("250", 350), ("0", 600), ("x", 600), ("-1", 600), ("", 600),
        ("1.5", 600), ("599", 1)]


@pytest.mark.parametrize("age,left", AGES)
def test_doh_07_age(doh, age, left):
    """DOH-07: Age is taken off every TTL; what is no number is no age."""
    doh.handler = lambda ctx: ctx.respond(body=answer(ctx, 600),
                                          fields=[("age", age)])
    with larder_over(doh) as larder:
        msg, _ = asked(larder)
        assert msg.answer[0].ttl == left, msg


@pytest.mark.parametrize("age", ["600", "900", "99999999999999999999"])
def test_doh_07_too_old(doh, age):
    """DOH-07: older than its TTL: 0, and not kept."""
    doh.handler = lambda ctx: ctx.respond(body=answer(ctx, 600),
                                          fields=[("age", age)])
    with larder_over(doh) as larder:
        name = fresh_name()
        for _ in range(2):
            assert larder.ask(name).answer[0].ttl == 0
    assert doh.count(name) == 2


@pytest.mark.parametrize("ttl,control", [
    (60, "max-age=600"), (600, "max-age=1, no-store"), (600, "no-cache"),
    (600, "private, s-maxage=0")])
def test_doh_08_cache_control(doh, ttl, control):
    """DOH-08: Cache-Control neither lengthens a TTL nor forbids keeping."""
    doh.handler = lambda ctx: ctx.respond(
        body=answer(ctx, ttl), fields=[("cache-control", control)])
    with larder_over(doh) as larder:
        name = fresh_name()
        assert larder.ask(name).answer[0].ttl == ttl
        assert ttl - 1 <= larder.ask(name).answer[0].ttl <= ttl
    assert doh.count(name) == 1


# --- Retry-After ------------------------------------------------------------

def rest(pair, doh, status, value, seconds):
    """The server says it wants to rest; how often it is asked within so many
    seconds of saying so (which larder hears a little later)."""
    said = []

    def handler(ctx):
        said.append(time.monotonic())
        ctx.respond(status, fields=[("retry-after", value)] if value else [])

    doh.handler = handler
    assert asked(pair)[0].a() == OTHER
    doh.handler = harness.answer_default
    doh.clear()
    while time.monotonic() < said[0] + seconds:
        assert asked(pair)[0] is not None
        time.sleep(0.05)
    return sum(e.t < said[0] + seconds for e in doh.entries())


@pytest.mark.parametrize("status", [429, 503])
def test_doh_05_retry_after(pair, doh, status):
    """DOH-05: Retry-After 2: no question for two seconds, then again."""
    assert rest(pair, doh, status, "2", 1.8) == 0
    harness.eventually(lambda: asked(pair)[0].a() == A)


@pytest.mark.parametrize("value", ["86400", "date"])
def test_doh_05_long_rests(pair, doh, value):
    """DOH-05: a day or a date rest it, too (and for five minutes at most:
    tests/unit/test_h2)."""
    value = formatdate(time.time() + 3600, usegmt=True) \
        if value == "date" else value
    assert rest(pair, doh, 429, value, 0.5) == 0


@pytest.mark.parametrize("value", ["junk", "-1", "", "0", None])
def test_doh_05_junk(pair, doh, value):
    """DOH-05: what says nothing is no rest: it is asked again at once, long
    before the five minutes that are the most."""
    rest(pair, doh, 429, value, 0)
    harness.eventually(lambda: asked(pair)[0] and doh.count() > 0)


# --- connections and streams ------------------------------------------------

@pytest.mark.parametrize("last", ["0", "some", "max"])
def test_doh_12_goaway(doh, last):
    """DOH-12: GOAWAY: streams over the last id go out again elsewhere, lower
    ones finish, new ones use a new connection; C sees no failure."""
    with larder_over(doh, conf={"resend-after": "1s"}) as larder:
        asked(larder)
        conn = doh.requests[-1].conn
        waiting, names = [], [fresh_name() for _ in range(6)]

        def handler(ctx):
            if ctx.conn != conn:
                return ctx.default()
            waiting.append(ctx)
            if len(waiting) < len(names):
                return None
            streams = sorted(w.request.stream for w in waiting)
            at = {"0": 0, "some": streams[2], "max": 0x7fffffff}[last]
            ctx.goaway(at)
            for each in waiting:
                if each.request.stream <= at:
                    each.default()
            return None

        doh.handler = handler
        began = time.monotonic()
        with larder.tcp() as client:
            for i, name in enumerate(names):
                client.send(query(name, id=i))
            got = [client.recv() for _ in names]
        assert all(m is not None and m.a() == A for m in got), got
        assert time.monotonic() - began < AT_ONCE
        assert asked(larder)[0].a() == A
        assert doh.requests[-1].conn != conn
        again = [r for r in doh.requests if r.conn != conn]
        assert len(again) == {"0": 6, "some": 3, "max": 0}[last] + 1


def test_doh_12_is_hung_up_on(doh):
    """DOH-12: a server that says GOAWAY and keeps the connection: larder
    closes it after the last answer, though it might have stayed idle."""
    with larder_over(doh, conf={"resend-after": "1s"}) as larder:
        asked(larder)
        conn = doh.requests[-1].conn

        def handler(ctx):
            ctx.goaway(0x7fffffff)
            time.sleep(0.05)
            assert conn not in doh.closed, "before the answer"
            ctx.default()

        doh.handler = handler
        assert asked(larder)[0].a() == A
        assert doh.requests[-1].conn == conn
        deadline = time.monotonic() + 3
        while conn not in doh.closed:
            assert time.monotonic() < deadline, "still open"
            time.sleep(0.005)
        doh.handler = harness.answer_default
        assert asked(larder)[0].a() == A
        assert doh.requests[-1].conn != conn


def test_doh_13_one_stream_at_a_time(doh):
    """DOH-13: MAX_CONCURRENT_STREAMS 1: no connection has two open at once,
    not even a new one on which that has not been said yet; everybody is
    answered."""
    doh.settings[SETTING.MAX_CONCURRENT_STREAMS] = 1
    busy, most = collections.Counter(), []

    def handler(ctx):
        busy[ctx.conn] += 1
        most.append(busy[ctx.conn])

        def later():
            busy[ctx.conn] -= 1
            ctx.default()

        harness._later.at(time.monotonic() + 0.01, later)

    with larder_over(doh, conf={"resend-after": "1s"}) as larder:
        asked(larder)
        doh.handler = handler
        with larder.tcp() as client:
            for i in range(12):
                client.send(query(fresh_name(), id=i))
            got = [client.recv() for _ in range(12)]
    assert all(m is not None and m.a() == A for m in got), got
    assert max(most) == 1
    assert len({r.conn for r in doh.requests}) <= 4


def test_doh_13_no_streams(doh, second):
    """DOH-13: MAX_CONCURRENT_STREAMS 0: the next server is asked.  Only what
    left before that was said may arrive, and is refused."""
    doh.settings[SETTING.MAX_CONCURRENT_STREAMS] = 0
    doh.handler = lambda ctx: ctx.reset_stream(
        h2.errors.ErrorCodes.REFUSED_STREAM)
    with larder_over(doh, {"url": second.url},
                     conf={"resend-after": "300ms"}) as larder:
        for _ in range(8):
            msg, took = asked(larder)
            assert msg.a() == OTHER and took < 2, (msg, took)
    conns = [r.conn for r in doh.requests]
    assert len(conns) == len(set(conns))


def test_doh_13_refused_streams(doh):
    """DOH-13: REFUSED_STREAM: sent again at once, to the same server."""
    refused = []

    def handler(ctx):
        if not refused:
            refused.append(ctx.name)
            return ctx.reset_stream(h2.errors.ErrorCodes.REFUSED_STREAM)
        return ctx.default()

    doh.handler = handler
    with larder_over(doh) as larder:
        msg, took = asked(larder)
        assert msg.a() == A and took < AT_ONCE
    assert len(doh.log) == 2


@pytest.mark.parametrize("code", ["CANCEL", "INTERNAL_ERROR", "PROTOCOL_ERROR",
                                  "ENHANCE_YOUR_CALM", "HTTP_1_1_REQUIRED"])
def test_doh_13_other_resets(pair, doh, code):
    """DOH-13: other resets count as a try: the next server."""
    assert_goes_on(pair, doh, lambda ctx: ctx.reset_stream(
        h2.errors.ErrorCodes[code]))


def test_doh_13_reset_in_the_middle(pair, doh):
    """DOH-13, DOH-11: a stream reset after half a body: never used."""
    def handler(ctx):
        ctx.respond(body=answer(ctx)[:30], end=False)
        ctx.reset_stream()

    assert_goes_on(pair, doh, handler)


def test_doh_14_idle_close(cert, ca):
    """DOH-14: U closes what was idle for 0.4 s; questions just before, at
    and after that: nobody notices."""
    idle, last = 0.4, {}
    with DohUpstream(cert, ca) as doh, larder_over(doh) as larder:
        def handler(ctx):
            last[ctx.conn] = mark = time.monotonic()
            ctx.default()
            harness._later.at(mark + idle, lambda: (
                ctx.close() if last[ctx.conn] == mark else None))

        doh.handler = handler
        asked(larder)
        for pause in (idle - 0.01, idle - 0.002, idle, idle + 0.002,
                      idle + 0.01, idle + 0.1):
            time.sleep(pause)
            msg, took = asked(larder)
            assert msg.a() == A and took < AT_ONCE, (pause, msg, took)


def test_doh_14_dead_connection(doh):
    """DOH-14: a connection that falls silent is found dead by PING or try
    time-out, and its question moves to a new one."""
    with larder_over(doh, steady=False) as larder:
        asked(larder)
        dead = doh.requests[-1].conn
        doh.handler = lambda ctx: (ctx.default() if ctx.conn != dead else None)
        msg, took = asked(larder)
        assert msg is not None and msg.a() == A and took < 3, (msg, took)
        for _ in range(3):
            msg, took = asked(larder)
            assert msg.a() == A and took < AT_ONCE


def test_garbage_after_the_handshake(pair, doh):
    """A server that speaks TLS and no HTTP/2: the next server, and no loop."""
    def handler(ctx):
        ctx.http.secure.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    assert_goes_on(pair, doh, handler)


def test_300_at_once(doh):
    """Many questions at once share a few connections; each its answer."""
    names = [fresh_name() for _ in range(300)]
    conf = {"tcp": {"in-flight": 1000}, "query-timeout": "20s",
            "resolve-timeout": "20s"}
    with larder_over(doh, conf=conf) as larder, larder.tcp() as client:
        for i, name in enumerate(names):
            client.send(query(name, id=i))
        got = {m.id: m for m in (client.recv(20) for _ in names)}
    for i, name in enumerate(names):
        assert got[i].question[0].text == name and got[i].a() == A
    assert len({r.conn for r in doh.requests}) <= 4


def test_plain_and_http_side_by_side(doh):
    """One route may have upstreams of every kind, and each is asked."""
    with Upstream() as plain, larder_over(
            doh, {"url": plain.url}, conf={"policy": "spread"}) as larder:
        for _ in range(30):
            assert asked(larder, opt=Opt())[0].a() == A
        assert doh.log and plain.log
