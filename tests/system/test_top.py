"""larderctl top on a real terminal: what it shows of a larderd at work, what
keys, sizes and signals do, and that the terminal is given back."""

import os
import re
import signal
import threading
import time

import pytest

from harness import Larder, answer_default, find_binary, fresh_name
from terminal import Terminal

TOP = "queries/s"


def top(larder, *options, **terminal):
    return Terminal([find_binary("larderctl"), "--socket", larder.control,
                     "top", *options], **terminal)


def check_end(terminal, code=0):
    assert terminal.ended() == code
    assert terminal.restored()
    assert terminal.screen.strange == []


@pytest.fixture
def load(larder):
    """Clients that ask all the time, now and then for something new."""
    stop = threading.Event()

    def ask():
        name = fresh_name()
        while not stop.is_set():
            larder.ask(name)
            larder.ask(fresh_name())
            time.sleep(0.02)

    client = threading.Thread(target=ask)
    client.start()
    yield
    stop.set()
    client.join()


def rate(screen):
    found = re.search(r"([\d.]+) queries/s", screen.text())
    return float(found[1]) if found else None


def test_shows_what_goes_on(larder, upstream, load):
    with top(larder, "--interval", "500ms") as terminal:
        screen = terminal.wait(lambda s: (rate(s) or 0) > 1)
        text = screen.text()
        assert "larderd " in text and "every 0.5 s, q quits" in text
        assert re.search(r"(?m)^hit .*%.*%", text)
        assert re.search(r"(?m)^miss .*%.*%", text)
        assert re.search(r"how long clients waited, last \d", text)
        assert "█" in text
        shown = re.search(r"(?m)^udp://\S+  good .* ms|µs", text)
        assert shown, text
        assert re.search(r"(?m)^cache  .* full, \d+ entries", text)
        assert screen.colours and screen.modes["1049"]
        frames = screen.frames
        terminal.wait(lambda s: s.frames >= frames + 3)
        terminal.press("q")
        check_end(terminal)


def test_sizes(larder, load):
    """Each new size is filled at once; 40 columns are enough."""
    with top(larder) as terminal:
        terminal.shows("how long clients waited")
        for rows, columns in (24, 40), (10, 60), (50, 200), (1, 1), (24, 80):
            terminal.resize(rows, columns)
            terminal.wait(lambda s: s.text().strip())
            if columns >= 40:
                terminal.shows("up ")
                terminal.shows(TOP)
        terminal.shows("how long clients waited")
        terminal.press("\x03")
        check_end(terminal)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP,
                                    signal.SIGQUIT])
def test_signals_that_end_it(larder, number):
    with top(larder) as terminal:
        terminal.shows(TOP)
        terminal.proc.send_signal(number)
        check_end(terminal, -number)


def test_stopped_and_continued(larder):
    """Ctrl-Z gives the terminal back, fg takes it again; so it does after a
    SIGSTOP."""
    script = (f'set -m; "{find_binary("larderctl")}" --socket '
              f'"{larder.control}" top; echo "stopped: $?"; fg >/dev/null; '
              'echo "ended: $?"')
    with Terminal(["bash", "--norc", "-c", script]) as terminal:
        terminal.shows(TOP)
        terminal.press("\x1a")
        terminal.wait(lambda s: f"stopped: {128 + signal.SIGTSTP}" in s.main)
        terminal.wait(lambda s: s.modes["1049"])
        terminal.shows(TOP)
        frames = terminal.screen.frames
        terminal.wait(lambda s: s.frames > frames)
        terminal.press("q")
        terminal.wait(lambda s: "ended: 0" in s.main)
        check_end(terminal)
    with top(larder) as terminal:
        terminal.shows(TOP)
        terminal.proc.send_signal(signal.SIGSTOP)
        terminal.proc.send_signal(signal.SIGCONT)
        frames = terminal.screen.frames
        terminal.wait(lambda s: s.frames > frames + 1)
        terminal.press("q")
        check_end(terminal)


def test_larderd_goes_and_comes_back(upstream):
    """It says so, shows what it saw last, finds the next larderd, and makes no
    nonsense of counters that fell."""
    with Larder([upstream]) as larder:
        for _ in range(300):
            larder.ask("a.example.")
        with top(larder, "--interval", "500ms") as terminal:
            terminal.wait(lambda s: rate(s) is not None)
            larder.stop()
            screen = terminal.shows("trying again: larderd is not running")
            assert TOP in screen.text()
            larder.start()
            rates = set()

            def back(screen):
                rates.add(rate(screen))
                return ("trying again" not in screen.text()
                        and rate(screen) is not None)

            terminal.wait(back)
            larder.ask("a.example.")
            seen = terminal.screen.frames
            terminal.wait(lambda s: back(s) and s.frames > seen + 3)
            assert max(r for r in rates if r is not None) < 10
            terminal.press("q")
            check_end(terminal)


def test_larderd_hangs(upstream):
    """q and signals work while it does not answer; that it does not is said."""
    with Larder([upstream]) as larder:
        with top(larder) as terminal:
            terminal.shows(TOP)
            larder.proc.send_signal(signal.SIGSTOP)
            try:
                terminal.shows("has not answered for 5 s")
                terminal.press("q")
                check_end(terminal)
            finally:
                larder.proc.send_signal(signal.SIGCONT)


def test_names_give_no_orders(upstream):
    """What clients ask for, however strange, reaches the screen as text."""
    name = b"\x0a\x1b[2j\x1b]0;x\x07\x07example\x00"
    timers = []

    def late(ctx):
        timers.append(threading.Timer(0.3, answer_default, (ctx,)))
        timers[-1].start()

    upstream.handler = late
    with Larder([upstream]) as larder:
        larder.ask(name)
        with top(larder, columns=160) as terminal:
            screen = terminal.shows(r"\027[2j\027]0\;x\007.example. A")
            assert screen.strange == []
            terminal.press("q")
            check_end(terminal)
    for timer in timers:
        timer.join()


def test_who_may_not_see_names(upstream):
    """A member of the socket's group alone sees all but the names."""
    if os.getuid():
        pytest.skip("needs root to be somebody else")
    timers = []

    def late(ctx):
        timers.append(threading.Timer(0.3, answer_default, (ctx,)))
        timers[-1].start()

    upstream.handler = late
    with Larder([upstream]) as larder:
        os.chmod(larder.control, 0o666)
        name = fresh_name("secret")
        larder.ask(name)
        command = ["setpriv", "--reuid=65534", "--regid=65534",
                   "--clear-groups", find_binary("larderctl"), "--socket",
                   larder.control, "top"]
        with Terminal(command, columns=160) as terminal:
            screen = terminal.shows("slow queries, 100 ms and more  (names")
            assert re.search(r"(?m)ago +[\d.]+ m?s +A  ", screen.text())
            assert "secret" not in screen.text()
            terminal.press("q")
            assert terminal.ended() == 0
    for timer in timers:
        timer.join()


def test_colours_only_where_they_are_wanted(larder):
    with top(larder, env={"NO_COLOR": "1", "LC_ALL": "C"}) as terminal:
        screen = terminal.shows(TOP)
        assert not screen.colours - {"0"} and screen.text().isascii()
        terminal.press("q")
        check_end(terminal)


def test_no_place_for_a_screen(larder):
    """It says so, and names the verb that needs none."""
    done = larder.ctl("top")
    assert done.returncode == 2 and done.stdout == ""
    assert "not a terminal" in done.stderr and "larderctl stats" in done.stderr
    done = larder.ctl("--json", "top")
    assert done.returncode == 2 and "larderctl --json stats" in done.stderr
    for kind in "dumb", "":
        with top(larder, env={"TERM": kind}) as terminal:
            assert terminal.ended() == 2
            assert "TERM" in terminal.screen.main
            assert "larderctl stats" in terminal.screen.main
    with Terminal([find_binary("larderctl"), "--socket", "/nonexistent",
                   "top"]) as terminal:
        assert terminal.ended() == 3
        assert "larderd is not running" in terminal.screen.main


@pytest.mark.parametrize("text", ["0", "499ms", "2h", "1x", "", "x", "-1",
                                  "nan", "inf"])
def test_intervals_that_are_none(larder, text):
    done = larder.ctl("top", "--interval", text)
    assert done.returncode == 2 and "500ms to 1h" in done.stderr


def test_intervals_are_for_top(larder):
    done = larder.ctl("stats", "--interval", "2s")
    assert done.returncode == 2 and "means nothing to stats" in done.stderr


def test_a_terminal_that_takes_nothing(larder):
    """Output that is held up costs frames, not the ear for signals."""
    with top(larder, "--interval", "500ms", rows=500, columns=500,
             env={"NO_COLOR": "1"}) as terminal:
        terminal.shows(TOP)
        time.sleep(1.2)         # nobody reads
        terminal.proc.send_signal(signal.SIGTERM)
        assert terminal.proc.wait(5) == -signal.SIGTERM


def test_nobody_at_the_keys(larder):
    """Without a terminal as input it shows all the same."""
    script = (f'exec "{find_binary("larderctl")}" --socket '
              f'"{larder.control}" top </dev/null')
    with Terminal(["bash", "--norc", "-c", script]) as terminal:
        screen = terminal.shows(TOP)
        frames = screen.frames
        terminal.wait(lambda s: s.frames > frames)
        terminal.proc.send_signal(signal.SIGINT)
        check_end(terminal)
