"""A terminal for tests: a pty with a program on it, and what its screen shows.

It understands what `larderctl top` needs and nothing else: whatever else comes,
a control character or an unknown sequence, is kept in `strange`, so that a test
can say that nothing a terminal would act upon got through.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

SEQUENCE = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])")


class Screen:
    """A grid of characters, and the switches of a terminal."""

    def __init__(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.modes = {"25": True, "7": True, "1049": False}
        self.strange, self.frames, self.colours = [], 0, set()
        self.settling = False       # resized, and no frame since that fits
        self.main = ""              # what was written beside the screen
        self._rest = ""
        self._clear()

    def _clear(self):
        self.grid = [[" "] * self.columns for _ in range(self.rows)]
        self.row = self.column = 0

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        self._clear()
        self.settling, self._fits = True, False

    def calm(self):
        """All has been read that was there: is it of the present size?  What
        was on its way when the size changed may still have been of the old."""
        self.settling = self.settling and not self._fits
        return not self.settling

    def text(self):
        return "\n".join("".join(line).rstrip() for line in self.grid)

    def feed(self, octets):
        """Takes text as it comes, cut anywhere."""
        text, at = self._rest + octets, 0
        while at < len(text):
            if text[at] == "\x1b":
                found = SEQUENCE.match(text, at)
                if not found and len(text) - at < 16:
                    break
                if found:
                    self._sequence(*found.groups())
                    at = found.end()
                    continue
            self._put(text[at])
            at += 1
        self._rest = text[at:]

    def _sequence(self, private, numbers, final):
        if private and final in "hl" and numbers in self.modes:
            self.modes[numbers] = final == "h"
        elif not private and final == "m":
            self.colours.add(numbers)
        elif not private and final == "H" and not numbers:
            self.row = self.column = 0
            self.frames += 1
            self._fits = True
        elif not private and final == "J" and numbers == "2":
            self._clear()
        elif not private and final == "K" and not numbers:
            self.grid[self.row][self.column:] = [" "] * (
                self.columns - self.column)
        else:
            self.strange.append(private + numbers + final)

    def _put(self, char):
        if not self.modes["1049"]:
            self.main += char
        elif char == "\r":
            self.column = 0
        elif char == "\n":
            if self.row + 1 < self.rows:
                self.row += 1
            else:
                assert self.settling, "the screen scrolls"
                self._fits = False
        elif char.isprintable():
            # Without autowrap the last column is written over and over.
            self.grid[self.row][min(self.column, self.columns - 1)] = char
            self.column += 1
        else:
            self.strange.append(char)


class Terminal:
    """A program on a terminal of its own.  Ends it on leaving."""

    def __init__(self, command, rows=24, columns=80, env=None):
        self.screen = Screen(rows, columns)
        self.fd, self._slave = pty.openpty()
        self.before = termios.tcgetattr(self._slave)
        self.resize(rows, columns)
        self.screen.settling = False
        self.proc = subprocess.Popen(
            [str(word) for word in command], stdin=self._slave,
            stdout=self._slave, stderr=self._slave, start_new_session=True,
            preexec_fn=self._in_front,
            env={"PATH": os.environ["PATH"], "TERM": "xterm",
                 "LC_ALL": "C.UTF-8", **(env or {})})

    @staticmethod
    def _in_front():
        """As a shell starts what it does not start in the background."""
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        for number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()
        os.close(self.fd)
        os.close(self._slave)

    def resize(self, rows, columns):
        """The kernel tells the program with SIGWINCH."""
        self.screen.resize(rows, columns)
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ,
                    struct.pack("4H", rows, columns, 0, 0))

    def press(self, keys):
        os.write(self.fd, keys.encode())

    def restored(self):
        """Is the terminal as it was before?"""
        return (self.screen.modes == {"25": True, "7": True, "1049": False}
                and termios.tcgetattr(self._slave) == self.before)

    def _read(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            self.screen.feed(os.read(self.fd, 65536).decode("utf-8"))
            return True
        return False

    def wait(self, until, timeout=30):
        """Reads until `until(screen)` holds after all that has come."""
        deadline = time.monotonic() + timeout
        while True:
            while self._read(0):
                pass
            if self.screen.calm() and until(self.screen):
                return self.screen
            assert time.monotonic() < deadline, (
                f"in vain for {timeout} s; the screen:\n{self.screen.text()}\n"
                f"beside it: {self.screen.main!r}")
            self._read(0.05)

    def shows(self, text, timeout=30):
        return self.wait(lambda screen: text in screen.text(), timeout)

    def ended(self, timeout=20):
        """The exit code, after the last output."""
        self.screen.settling = False
        self.wait(lambda _: self.proc.poll() is not None, timeout)
        while self._read(0):
            pass
        return self.proc.returncode
