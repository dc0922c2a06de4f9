"""Many questions at once, over few sockets.

`ask_all(target, asked)` sends wires over UDP or TCP, `window` of them in
flight on each socket, and gives for each its reply with the times at which it
was sent and at which the reply came.  One thread, one poll.
"""

import selectors
import socket
import struct
import time
from dataclasses import dataclass

UDP_SOCKETS, TCP_SOCKETS = 4, 4


@dataclass
class Told:
    """What came of one question; reply is None when nothing came."""

    wire: bytes
    sent: float = 0.0
    heard: float = 0.0
    reply: bytes = None


class _Line:
    """One socket, the questions that wait for it and those in flight."""

    def __init__(self, target, tcp, window):
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
        self.sock = socket.socket(family, kind)
        self.sock.connect(target)
        self.sock.settimeout(5)
        self.tcp, self.window = tcp, window
        self.todo, self.flying, self.buffer = [], {}, b""
        self.next_id = 1

    def fill(self):
        """Sends while the window allows."""
        while self.todo and len(self.flying) < self.window:
            told = self.todo.pop()
            self.next_id = self.next_id % 65535 + 1
            ident = struct.pack("!H", self.next_id)
            self.flying[ident] = told
            told.wire = ident + told.wire[2:]
            told.sent = time.monotonic()
            self._send(told.wire)

    def _send(self, wire):
        if self.tcp:
            wire = struct.pack("!H", len(wire)) + wire
            self.sock.sendall(wire)
        else:
            self.sock.send(wire)

    def read(self):
        if not self.tcp:
            self._take(self.sock.recv(65535))
            return
        octets = self.sock.recv(1 << 18)
        if not octets:
            raise AssertionError("the connection was closed with "
                                 f"{len(self.flying)} questions on it")
        self.buffer += octets
        at = 0
        while len(self.buffer) - at >= 2:
            length = struct.unpack_from("!H", self.buffer, at)[0]
            if len(self.buffer) - at < 2 + length:
                break
            self._take(self.buffer[at + 2:at + 2 + length])
            at += 2 + length
        self.buffer = self.buffer[at:]

    def _take(self, wire):
        told = self.flying.pop(wire[:2], None)
        assert told is not None, f"a reply nobody waits for: {wire[:64].hex()}"
        told.heard, told.reply = time.monotonic(), wire


def ask_all(target, asked, *, window=24, timeout=6):
    """asked: (wire, tcp) each.  Gives a Told each, in that order."""
    result = [Told(wire) for wire, _ in asked]
    lines = [_Line(target, tcp, window) for tcp, count in
             ((False, UDP_SOCKETS), (True, TCP_SOCKETS))
             for _ in range(count) if any(t == tcp for _, t in asked)]
    try:
        for kind in (False, True):
            mine = [line for line in lines if line.tcp == kind]
            theirs = [told for told, (_, tcp) in zip(result, asked)
                      if tcp == kind]
            for i, told in enumerate(reversed(theirs)):
                mine[i % len(mine)].todo.append(told)
        _run(lines, timeout)
    finally:
        for line in lines:
            line.sock.close()
    return result


def _run(lines, timeout):
    """Until all have their reply, or none has come for `timeout`."""
    with selectors.DefaultSelector() as selector:
        for line in lines:
            selector.register(line.sock, selectors.EVENT_READ, line)
            line.fill()
        while any(line.flying or line.todo for line in lines):
            ready = selector.select(timeout)
            if not ready:
                return
            for key, _ in ready:
                key.data.read()
                key.data.fill()
