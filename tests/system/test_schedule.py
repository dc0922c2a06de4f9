"""When a question is sent again: at 0, h, 3h and 7h after it came.

Four silent upstreams, so that each send is the first to its server, and none
is by TCP.  Gaps are judged with much room above, little below.
"""

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
        msg = larder.ask(name, timeout=6)
        assert msg is not None and msg.rcode == harness.SERVFAIL, msg
        times = sorted(s.wait(1, name=name)[0].t for s in servers)
        gaps = [b - a for a, b in zip(times, times[1:])]
        for gap, due in zip(gaps, (H, 2 * H, 4 * H)):
            assert 0.75 * due < gap < 1.5 * due + 0.4, gaps
