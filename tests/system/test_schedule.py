"""When a question is sent again: after h, 2h more, 4h more, but a second at most.

Four silent upstreams, so that each send is the first to its server, and none
is by TCP.  When larderd sent is what its own trace tells: the fake upstreams may
be late to look.  Times are judged with much room above, since a machine may
stand still, and none below.  The fake clock has them to the millisecond
(tests/scenario/resend-schedule.scn).
"""

import json
from contextlib import ExitStack

import harness

H = 0.3                         # resend-after


def test_fwd_02_gaps_double():
    """FWD-02, FWD-14: each wait is twice the one before."""
    with ExitStack() as stack:
        servers = [stack.enter_context(harness.Upstream()) for _ in range(4)]
        for server in servers:
            server.handler = lambda ctx: None
        larder = stack.enter_context(harness.Larder(
            servers, conf={"resend-after": "300ms"}))
        name = harness.fresh_name("late")
        done = larder.ctl("--json", "trace", name)
        told = json.loads(done.stdout)
        assert told["rcode"] == "SERVFAIL", told
        tries = told["flight"]["tries"]
        assert {one["transport"] for one in tries} == {"udp"}, tries
        times = [one["started_us"] / 1e6 for one in tries]
        gone = [at - times[0] for at in times]
        assert len(gone) >= 4, gone
        for at, due in zip(gone[1:], (H, 3 * H, 3 * H + 1)):
            assert due - 0.01 <= at < 1.5 * due + 0.6, gone
        for server in servers:
            assert server.wait(1, name=name)
