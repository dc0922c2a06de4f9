"""larderctl trace over TLS and HTTPS: each stage is there, takes what the way
to the server makes it take, and all of them add up to what the client waited."""

import json
import re
import time

import pytest

from authority import Authority
from harness import fresh_name
from secure import NAME, DohUpstream, DotUpstream, Relay, larder_over

DELAY = 0.04                    # seconds, each way
ROUND_TRIP_US = 2 * DELAY * 1e6
STAGES = ("started_us", "connected_us", "secured_us", "sent_us", "first_us",
          "ended_us")
BOTH = pytest.mark.parametrize("kind", [DotUpstream, DohUpstream],
                               ids=["dot", "doh"])


@pytest.fixture
def far(kind, tickets, tmp_path):
    """(larderd, server, relay) with a long way between them.  Nothing is sent
    twice, so that there is one try to look at."""
    ca = Authority(tmp_path)
    with kind(ca.issue(NAME), ca, tickets=tickets) as server, \
            Relay((server.host, server.port), DELAY) as relay, \
            larder_over(server.conf(relay.url),
                        conf={"resend-after": "1s"}) as larder:
        assert larder.ask(fresh_name()).a()     # it has looked at the server
        yield larder, server, relay


def cold(larder, server, trace):
    """What `trace(larder)` gives when it has to open a connection.  On a busy
    machine the question may be there before the news of the old one's end."""
    for attempt in range(10):
        server.stop()
        server.start()
        time.sleep((2 + attempt) * DELAY)
        got = trace(larder)
        if got:
            return got
    raise AssertionError("no trace of a new connection in ten")


def traced(larder):
    """The reply, its one try, and how long we waited for it in µs.  None when
    it took more tries."""
    began = time.monotonic()
    done = larder.ctl("--json", "trace", fresh_name())
    waited_us = (time.monotonic() - began) * 1e6
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    tries = told["flight"]["tries"]
    if len(tries) > 1 or tries[0]["result"] != "answer":
        return None
    assert told["outcome"] == "miss" and told["rcode"] == "NOERROR"
    return told, tries[0], waited_us


def opened(larder):
    got = traced(larder)
    return got if got and got[1]["connected_us"] is not None else None


def check_adds_up(told, one, waited_us):
    """Stages follow each other without a gap, from the order to the reply."""
    steps = [0, told["asked_us"], told["flight"]["began_us"],
             *(one[k] for k in STAGES if one.get(k) is not None),
             told["answered_us"]]
    assert steps == sorted(steps), one
    assert told["answered_us"] <= waited_us
    # What lies around the try is larder's own doing, within one process.
    stages = [b - a for a, b in zip(steps, steps[1:])]
    assert sum(stages) == told["answered_us"]
    assert one["sent_us"] is not None and one["ended_us"] is not None
    assert one["ended_us"] - one["sent_us"] >= 0.95 * ROUND_TRIP_US


@BOTH
@pytest.mark.parametrize("tickets", [False, True], ids=["full", "resumed"])
def test_stages_add_up(kind, far, tickets):
    """A new connection, with a full handshake or a ticket, then the same
    connection again: no connecting, no TLS, one round trip."""
    larder, server, _ = far
    told, one, waited_us = cold(larder, server, opened)
    check_adds_up(told, one, waited_us)
    assert one["transport"] == server.scheme
    assert one["resumed"] == tickets
    assert one["secured_us"] - one["connected_us"] >= 0.95 * ROUND_TRIP_US
    assert told["answered_us"] >= 1.9 * ROUND_TRIP_US

    told, one, waited_us = next(filter(None, (traced(larder) for _ in range(5))))
    check_adds_up(told, one, waited_us)
    assert one["transport"] == server.scheme
    assert one["connected_us"] is None and one["secured_us"] is None


def printed(larder):
    done = larder.ctl("trace", fresh_name())
    assert done.returncode == 0, done.stderr
    return ("  connected" in done.stdout and "try 2" not in done.stdout
            and done.stdout)


@BOTH
@pytest.mark.parametrize("tickets", [False])
def test_printed_stages_add_up(kind, far, tickets):
    """What a person reads: each step with what it took, and the sum."""
    larder, server, _ = far
    text = cold(larder, server, printed)
    rows = re.findall(r"(?m)^ *(\d+) +(\d*)  +(ordered|asked|flight|try 1|"
                      r"connected|TLS|sent|first octet|answer|answered)\b", text)
    at = {name: int(us) for us, _, name in rows}
    took = {name: int(us) for _, us, name in rows if us}
    names = [name for _, _, name in rows]
    assert names[:6] == ["ordered", "asked", "flight", "try 1", "connected",
                         "TLS"] and names[-2:] == ["answer", "answered"]
    assert took["asked"] + took["flight"] == at["flight"]
    inside = names[names.index("connected"):-1]
    assert at["try 1"] + sum(took[n] for n in inside) == at["answer"]
    assert took["TLS"] >= 0.95 * ROUND_TRIP_US
    assert "full handshake" in text and f"u0 by {server.scheme}" in text
    took_all = re.search(r"miss, (.*)", text)[1]
    assert text.splitlines()[-1].startswith(took_all + ": ")
