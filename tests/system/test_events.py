"""What larder tells of single queries: the list of slow ones.

Spoken to octet by octet by a client that knows nothing of larder's code, and
by larderctl.
"""

import json
import os
import time

import pytest

from harness import Larder, Upstream, answer_default, fresh_name, query
from test_control import ask_as, slow
from test_daemon import Varlink

# A name that a page or a terminal must be careful with, as octets and as text.
HOSTILE = b"\x16<img src=x onerror=a>\x1b\x07example\x00"
HOSTILE_TEXT = "<img\\032src=x\\032onerror=a>\\027.example."


def slow_list(larder):
    with Varlink(larder.control) as link:
        answer = link.call("io.larder.Slow")
    assert "error" not in answer, answer
    return answer["parameters"]


# --- slow queries -----------------------------------------------------------

def test_slow_query_and_why():
    """Who did not answer, who did; hits are not in the list."""
    with Upstream() as first, Upstream() as second:
        first.handler = slow(0.6)
        with Larder([first, second]) as larder:
            assert slow_list(larder) == {"queries": [], "over_us": 100000,
                                         "dropped": 0}
            assert "no query has taken 100 ms" in larder.ctl("slow").stdout
            name = fresh_name()
            for _ in range(3):
                larder.ask(name)
            one, = slow_list(larder)["queries"]
            assert one["name"] == name and one["type"] == "A"
            assert one["outcome"] == "miss"
            assert one["upstream"] == "udp://" + second.url
            assert 290000 <= one["duration_us"] < 5000000
            assert abs(one["time_ms"] / 1000 - time.time()) < 10
            assert one["reason"].startswith(
                f"udp://{first.url} did not answer within ")
            assert f"; udp://{second.url} answered in " in one["reason"]
            told = larder.ctl("slow").stdout
            assert name in told and one["reason"] in told
            told = json.loads(larder.ctl("--json", "slow").stdout)
            assert told["queries"] == [one]
            time.sleep(0.7)     # the late answer of the first


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be others")
def test_slow_names_are_private(upstream):
    """Who may see counters alone gets the list without names."""
    upstream.handler = slow(0.03)
    with Larder([upstream], conf={"slow-query": "10ms"}) as larder:
        wire = query(".")
        larder.udp(wire[:12] + HOSTILE + wire[13:])
        one, = slow_list(larder)["queries"]
        assert one["name"] == HOSTILE_TEXT and one["name"].isascii()
        assert HOSTILE_TEXT in larder.ctl("slow").stdout
        os.chmod(larder.control, 0o666)
        answer, = ask_as(larder, 12345, [("Slow", {})])
        stranger, = answer["parameters"]["queries"]
        assert stranger == one | {"name": None}
        assert "img" not in stranger["reason"]


def test_slow_is_what_the_configuration_says(upstream):
    """The limit is taken at a reload."""
    upstream.handler = slow(0.05)
    with Larder([upstream]) as larder:
        larder.ask(fresh_name())
        assert slow_list(larder)["queries"] == []
        larder.rewrite({"slow-query": "20ms"})
        assert larder.ctl("reload").returncode == 0
        assert slow_list(larder)["over_us"] == 20000
        deadline = time.monotonic() + 5     # until the worker has it, too
        while not slow_list(larder)["queries"]:
            assert time.monotonic() < deadline
            larder.ask(fresh_name())


def test_slow_list_is_bounded_when_all_is_slow(upstream):
    """The latest are there, newest first; of the others some are counted."""
    upstream.handler = answer_default
    with Larder([upstream], conf={"slow-query": "1ms", "limits": {
            "waiting-per-client": 1000}}) as larder:
        upstream.handler = slow(0.05)
        start = time.monotonic()
        with larder.udp_socket() as sock:
            sock.settimeout(5)
            for n in range(400):
                sock.send(query(fresh_name(), id=n))
                if n % 50 == 49:
                    time.sleep(0.01)
            for _ in range(400):
                sock.recv(4096)
        told = slow_list(larder)
        assert len(told["queries"]) == 100
        times = [one["time_ms"] for one in told["queries"]]
        assert times == sorted(times, reverse=True)
        noted = 400 - told["dropped"]
        assert 100 <= noted <= 100 + (time.monotonic() - start + 1) * 50
        assert "too many at once" in larder.ctl("slow").stdout
