"""Stale data from outside, and the breaker in the operator's hands.

STALE-02, -03, -06, -09, -12 and -13 with real sockets, `cache.stale: 0`,
flushes of stale data, counters of outcomes, `larderctl upstreams` and `larderctl
upstream`.  What needs hours or many upstreams is told by tests/scenario.
"""

import json
import threading
import time

import pytest

from clockshim import clock, clock_library, module_clock  # noqa: F401
from harness import (NOERROR, NXDOMAIN, REFUSED, SERVFAIL, Larder, Opt,
                     Upstream, eventually, fresh_name, reply, rr, soa,
                     soon_enough)

OLD, NEW = "192.0.2.1", "192.0.2.2"
TTL = 300
STALE_TTL, REFRESH_TTL = 30, 3


# --- tools ------------------------------------------------------------------

def answers(address=OLD, ttl=TTL):
    """A handler: A records for all; NODATA for other types, NXDOMAIN for
    names that begin with "no"."""
    def handle(ctx):
        if ctx.name.startswith("no"):
            ctx.send(reply(ctx.msg, authority=[soa("example.", ttl, ttl)],
                           rcode=NXDOMAIN))
        elif ctx.qtype == 1:
            ctx.send(reply(ctx.msg, [rr(ctx.name, "A", ttl, address)]))
        else:
            ctx.send(reply(ctx.msg, authority=[soa("example.", ttl, ttl)]))
    return handle


def fails(ctx):
    ctx.send(reply(ctx.msg, rcode=SERVFAIL))


def silence(ctx):
    """No answer."""


def ttls(msg):
    return {r.ttl for r in (*msg.answer, *msg.authority, *msg.additional)}


def codes(msg):
    return [code for code, _ in msg.ede]


def upstreams(larder):
    """{name: what larderctl says of it}"""
    done = larder.ctl("--json", "upstreams")
    assert done.returncode == 0, done.stderr
    return {u["name"]: u for u in json.loads(done.stdout)["upstreams"]}


def order(larder, name, what):
    done = larder.ctl("upstream", name, what)
    assert done.returncode == 0, done.stderr


def url(upstream):
    return f"udp://{upstream.url}"


class Asking(threading.Thread):
    """A question asked meanwhile: .result() is (reply, seconds)."""

    def __init__(self, larder, name, **kw):
        super().__init__()
        self._ask = lambda: larder.ask(name, timeout=6, **kw)
        self.start()

    def run(self):
        start = time.monotonic()
        self._msg = self._ask()
        self._took = time.monotonic() - start

    def result(self):
        self.join()
        return self._msg, self._took


@pytest.fixture
def stale(clock):  # noqa: F811
    """An upstream that answers, a larderd as users have it, and its clock."""
    with Upstream() as upstream, \
            Larder([upstream], env=clock.env, steady=False) as larder:
        upstream.handler = answers()
        yield larder, upstream, clock


# --- what stale replies look like -------------------------------------------

def test_stale_02_09_ttls_and_errors(stale):
    """STALE-02, STALE-09: all TTLs of a stale reply are STALE_TTL; EDE 3 on
    data and NODATA, 19 on NXDOMAIN, none without OPT."""
    larder, upstream, clk = stale
    data, gone = fresh_name(), fresh_name("no")
    cases = [(data, "A", NOERROR, 3), (data, "MX", NOERROR, 3),
             (gone, "A", NXDOMAIN, 19)]
    for name, qtype, rcode, _ in cases:
        assert larder.ask(name, qtype).rcode == rcode
    clk.advance(TTL + 1)
    upstream.handler = fails
    for name, qtype, rcode, ede in cases:
        for opt in (Opt(), None, Opt(do=1)):
            msg = larder.ask(name, qtype, opt=opt)
            if opt and opt.do:          # its own variant: never asked before
                assert msg.rcode == SERVFAIL, msg
                continue
            assert msg.rcode == rcode, msg
            assert ttls(msg) == {STALE_TTL}, msg
            assert codes(msg) == ([ede] if opt else []), msg
            assert msg.aa == msg.ad == 0, msg
    assert larder.ask(data, opt=Opt()).a() == [OLD]


def test_stale_03_wait_and_late_answer(stale):
    """STALE-01, STALE-03: while the refresh is under way the client waits half
    a second at most; the answer that comes later is the next one's."""
    larder, upstream, clk = stale
    name = fresh_name()
    larder.ask(name)
    clk.advance(TTL + 1)
    fresh = answers(NEW)

    def late(ctx):
        ctx.send_later(2, reply(ctx.msg, [rr(ctx.name, "A", TTL, NEW)]))

    upstream.handler = late
    start = time.monotonic()
    msg = larder.ask(name, opt=Opt())
    assert time.monotonic() - start < 1.8
    assert msg.a() == [OLD] and ttls(msg) == {REFRESH_TTL}, msg
    assert codes(msg) == [3]
    upstream.handler = fresh
    eventually(lambda: larder.ask(name).a() == [NEW])
    assert larder.ask(name, opt=Opt()).ede == []


def test_stale_06_window(stale):
    """STALE-06: a day past its end it is still used, a second later not."""
    larder, upstream, clk = stale
    name = fresh_name()
    larder.ask(name)
    upstream.handler = fails
    clk.advance(TTL + 86400 - 2)
    msg = larder.ask(name, opt=Opt())
    assert msg.a() == [OLD] and codes(msg) == [3], msg
    clk.advance(3)
    assert larder.ask(name).rcode == SERVFAIL


def test_stale_12_failure_over_data(stale):
    """STALE-12, STALE-04: one round of failing sends, then stale at once."""
    larder, upstream, clk = stale
    name = fresh_name()
    larder.ask(name)
    clk.advance(TTL + 1)
    upstream.handler = fails
    larder.ask(name)
    sent, took = upstream.count(name), []
    for _ in range(20):
        start = time.monotonic()
        msg = larder.ask(name)
        assert msg.rcode == NOERROR and msg.a() == [OLD], msg
        took.append(time.monotonic() - start)
    assert sorted(took)[10] < 0.4, took         # `stale-wait` is 500 ms
    assert upstream.count(name) == sent
    stats = larder.stats()
    assert stats["counters"]["stale_failed"] == 1, stats["counters"]
    assert stats["counters"]["stale_held"] == 20, stats["counters"]


# --- who does not get it ----------------------------------------------------

def test_stale_13_allow(clock):  # noqa: F811
    """STALE-13: whoever is not allowed any more gets no stale data either."""
    with Upstream() as upstream, \
            Larder([upstream], conf={"allow": ["127.0.0.0/8"]},
                   env=clock.env, steady=False) as larder:
        name = fresh_name()
        upstream.handler = answers()
        assert larder.ask(name, src="127.0.0.2").a() == [OLD]
        clock.advance(TTL + 1)
        upstream.handler = fails
        assert larder.ask(name, src="127.0.0.2").a() == [OLD]
        larder.rewrite({"allow": ["127.0.0.1/32"]})
        larder.hup()
        assert larder.ask(name, src="127.0.0.2").rcode == REFUSED
        assert larder.ask(name).a() == [OLD]


def test_stale_13_route(clock):  # noqa: F811
    """STALE-13: data from another route is nobody's stale data."""
    with Upstream() as upstream, Upstream() as other, \
            Larder([upstream], env=clock.env, steady=False) as larder:
        name = fresh_name("n", "split.example.")
        upstream.handler, other.handler = answers(), fails
        assert larder.ask(name).a() == [OLD]
        clock.advance(TTL + 1)
        upstream.handler = fails
        assert larder.ask(name).a() == [OLD]
        larder.rewrite({"upstreams": {"office": {"url": other.url}},
                        "routes": {"split.example": ["office"]}})
        larder.hup()
        assert larder.ask(name).rcode == SERVFAIL


def test_stale_off(clock):  # noqa: F811
    """`cache.stale: 0`: what has expired is gone, after a reload as well."""
    with Upstream() as upstream, \
            Larder([upstream], conf={"cache": {"stale": 0}}, env=clock.env,
                   steady=False) as larder:
        upstream.handler = answers()
        name, later = fresh_name(), fresh_name()
        assert larder.ask(name).a() == [OLD]
        clock.advance(TTL + 1)
        upstream.handler = fails
        assert larder.ask(name).rcode == SERVFAIL
        upstream.handler = answers()
        larder.rewrite({"cache": {"stale": "1h"}})
        larder.hup()
        assert larder.ask(later).a() == [OLD]
        clock.advance(TTL + 1)
        upstream.handler = fails
        assert larder.ask(later).a() == [OLD]
        larder.rewrite({"cache": {"stale": 0}})
        larder.hup()
        assert larder.ask(later).rcode == SERVFAIL
        assert larder.stats()["outcomes"]["stale"]["count"] == 1


def test_stale_flushed(stale):
    """A flush takes stale data away like any other."""
    larder, upstream, clk = stale
    name, kept = fresh_name(), fresh_name()
    below = "a." + fresh_name()
    for each in (name, kept, below):
        assert larder.ask(each).a() == [OLD]
    clk.advance(TTL + 1)
    upstream.handler = fails
    assert larder.ctl("cache", "flush", name).returncode == 0
    assert larder.ctl("cache", "flush", below[2:], "--subtree"
                      ).returncode == 0
    assert larder.ask(name).rcode == SERVFAIL
    assert larder.ask(below).rcode == SERVFAIL
    assert larder.ask(kept).a() == [OLD]
    assert larder.ctl("cache", "flush").returncode == 0
    assert larder.ask(kept).rcode == SERVFAIL


# --- counters ---------------------------------------------------------------

def test_outcomes_sum(stale):
    """Each query has one outcome; kinds of stale replies sum to theirs."""
    larder, upstream, clk = stale
    names = [fresh_name() for _ in range(12)]
    for name in names * 3:
        larder.ask(name)
    larder.ask("localhost.")
    clk.advance(TTL + 1)
    upstream.handler = fails
    for name in names * 2 + [fresh_name()]:
        larder.ask(name)
    order(larder, url(upstream), "down")
    for name in names[:5]:
        assert larder.ask(name).a() == [OLD]
    stats = larder.stats()
    counts = {k: v["count"] for k, v in stats["outcomes"].items()}
    assert sum(counts.values()) == stats["queries"] == 67, counts
    kinds = {k: n for k, n in stats["counters"].items()
             if k.startswith("stale_")}
    assert sum(kinds.values()) == counts["stale"] == 29, kinds
    assert kinds["stale_down"] >= 5, kinds
    assert counts["hit"] == 24 and counts["local"] == 1, counts


# --- larderctl upstreams ----------------------------------------------------

@pytest.fixture
def pair():
    """Two upstreams in order, A 192.0.2.1 from the first and .2 from the
    second."""
    with Upstream() as first, Upstream() as second, \
            Larder([first, second], conf={"policy": "ordered"},
                   steady=False) as larder:
        first.handler, second.handler = answers(OLD), answers(NEW)
        yield larder, first, second


def test_upstreams_as_new(pair):
    larder, first, second = pair
    shown = upstreams(larder)
    assert list(shown) == [url(first), url(second)]
    one = shown[url(first)]
    assert (one["state"], one["order"], one["reason"]) == ("good", "auto",
                                                           None)
    assert one["p50_us"] is None and one["open_since_s"] is None
    larder.ask(fresh_name())
    shown = upstreams(larder)
    assert 0 < shown[url(first)]["p50_us"] <= shown[url(first)]["p99_us"]
    assert 10000 <= shown[url(first)]["hedge_us"] <= 300000
    assert shown[url(second)]["counters"]["sent"] == 0
    text = larder.ctl("upstreams").stdout
    for words in (url(first), url(second), "good"):
        assert words in text, text


def test_orders_act_at_once(pair):
    """down: not one more query; up: asked although it fails; auto: as found;
    reset: as new.  An unknown name is an error, and says so."""
    larder, first, second = pair
    assert larder.ask(fresh_name()).a() == [OLD]
    order(larder, url(first), "down")
    first.clear()
    for _ in range(20):
        assert larder.ask(fresh_name()).a() == [NEW]
    assert first.quiet()
    shown = upstreams(larder)[url(first)]
    assert (shown["state"], shown["order"]) == ("down", "down")
    assert "by order" in larder.ctl("upstreams").stdout
    order(larder, url(first), "auto")
    assert larder.ask(fresh_name()).a() == [OLD]
    assert upstreams(larder)[url(first)]["state"] == "good"
    done = larder.ctl("upstream", "nobody", "down")
    assert done.returncode == 1 and "nobody" in done.stderr
    done = larder.ctl("upstream", url(first), "sideways")
    assert done.returncode == 2


def test_up_and_reset(pair):
    """The breaker opens; by order the first one is asked all the same, and
    reset forgets what was held against it."""
    larder, first, second = pair
    first.handler, first.knows_root = fails, False

    def asked():
        assert larder.ask(fresh_name()).a() == [NEW]
        return upstreams(larder)[url(first)]["state"] == "open"

    eventually(asked)
    shown = upstreams(larder)[url(first)]
    assert shown["reason"] == "servfail" and shown["opened"] == {"servfail": 1}
    assert 0 <= shown["open_since_s"] <= 10
    assert 0 <= shown["next_probe_ms"] <= 1000
    assert "servfail for" in larder.ctl("upstreams").stdout
    order(larder, url(first), "up")
    name = fresh_name()
    assert larder.ask(name).a() == [NEW]
    assert first.count(name) >= 1
    assert upstreams(larder)[url(first)]["state"] == "up"
    first.handler = answers(OLD)
    order(larder, url(first), "reset")
    shown = upstreams(larder)[url(first)]
    assert (shown["state"], shown["order"]) == ("good", "auto")
    assert shown["open_since_s"] is None and shown["next_probe_ms"] is None
    assert larder.ask(fresh_name()).a() == [OLD]


def test_order_frees_who_is_parked():
    """All are down by the breaker's word, and probes find nothing good: a
    question that waits goes out the moment the operator says so."""
    with Upstream() as upstream, \
            Larder([upstream], conf={"query-timeout": "3s"},
                   steady=False) as larder:
        def handle(ctx):
            if ctx.name.startswith("wanted"):
                answers()(ctx)

        upstream.handler, upstream.knows_root = handle, False
        asking = [Asking(larder, fresh_name()) for _ in range(3)]
        eventually(lambda: upstreams(larder)[url(upstream)]["state"] == "open")
        name = fresh_name("wanted")
        parked = Asking(larder, name)
        eventually(lambda: larder.stats()["counters"]["parked"] > 0, 2)
        assert upstream.quiet(name=name)
        order(larder, url(upstream), "up")
        msg, _ = parked.result()
        assert msg.a() == [OLD], msg        # SERVFAIL, had it waited on
        for each in asking:
            assert each.result()[0].rcode == SERVFAIL


def test_all_down_by_order(stale):
    """Nobody waits for what nobody may ask: stale data or SERVFAIL at once."""
    larder, upstream, clk = stale
    known = fresh_name()
    larder.ask(known)
    clk.advance(TTL + 1)
    order(larder, url(upstream), "down")
    upstream.clear()

    def both():
        start = time.monotonic()
        msg = larder.ask(known, opt=Opt())
        assert msg.a() == [OLD] and codes(msg) == [3], msg
        msg = larder.ask(fresh_name(), opt=Opt())
        assert msg.rcode == SERVFAIL and codes(msg) == [22], msg
        return time.monotonic() - start

    soon_enough(both, 0.4)              # `stale-wait` is 500 ms
    assert upstream.quiet()
    order(larder, url(upstream), "auto")
    assert larder.ask(fresh_name()).a() == [OLD]
