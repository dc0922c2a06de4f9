"""The black-box tests' own eyes and hands.

Three things live here.  A small codec turns text into DNS octets and back;
it is written apart from larder and from any library, so that a test can send
what no library would send and see what larder really wrote.  `Upstream` is a
scripted resolver on UDP and TCP that keeps a log of all it received.
`Larder` runs one larderd with a configuration of its own, in a directory of
its own, and fails the test when that process dies or a sanitizer complains.

Silence is only believed of a living larderd: whoever waits for a reply and
gets none also learns here whether the process or its port went away.
"""

import collections
import ctypes
import heapq
import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "TYPES", "RCODES", "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP",
    "REFUSED", "YXDOMAIN", "BADVERS",
    "Opt", "Question", "RR", "Msg", "Entry", "Upstream", "Larder", "TcpConn",
    "qname", "name_text", "qtype_number", "query", "rr", "reply", "soa",
    "parse", "free_port", "fresh_name", "in_netns", "exchanges",
    "check_error", "check_error_sizes", "check_quiet", "eventually",
    "soon_enough",
]

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, YXDOMAIN = range(7)
BADVERS = 16
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN",
          4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 16: "BADVERS"}

TYPES = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "WKS": 11, "PTR": 12, "HINFO": 13,
    "MINFO": 14, "MX": 15, "TXT": 16, "RP": 17, "AFSDB": 18, "RT": 21,
    "SIG": 24, "KEY": 25, "PX": 26, "AAAA": 28, "NXT": 30, "SRV": 33,
    "NAPTR": 35, "KX": 36, "DNAME": 39, "OPT": 41, "DS": 43, "RRSIG": 46,
    "NSEC": 47, "DNSKEY": 48, "NSEC3": 50, "NSEC3PARAM": 51, "TLSA": 52,
    "CDS": 59, "CDNSKEY": 60, "SVCB": 64, "HTTPS": 65, "NXNAME": 128,
    "TKEY": 249, "TSIG": 250, "IXFR": 251, "AXFR": 252, "MAILB": 253,
    "MAILA": 254, "ANY": 255, "CAA": 257,
}
OPT_TYPE = 41
EDE_OPTION = 15

# (query octets, Msg) of every reply with an error code that any Larder gave;
# HDR-20 is judged over it.
exchanges = collections.deque(maxlen=100000)


# --- names and records ------------------------------------------------------

def qname(text):
    """Wire form of a name in master-file text; bytes pass through as they are.

    Understands `\\DDD` and `\\X`, keeps letter case, adds the final root label
    whether or not the text ends in a dot.  Does not judge the total length.
    """
    if isinstance(text, (bytes, bytearray)):
        return bytes(text)
    if text in (".", ""):
        return b"\0"
    wire, label, i = bytearray(), bytearray(), 0

    def end_label():
        if not 1 <= len(label) <= 63:
            raise ValueError(f"label of {len(label)} octets in {text!r}")
        wire.append(len(label))
        wire.extend(label)
        label.clear()

    while i < len(text):
        c = text[i]
        if c == "\\":
            digits = text[i + 1:i + 4]
            if len(digits) == 3 and digits.isdigit():
                label.append(int(digits))
                i += 4
            else:
                label.append(ord(text[i + 1]))
                i += 2
            continue
        if c == ".":
            end_label()
        else:
            label.append(ord(c))
        i += 1
    if label:
        end_label()
    return bytes(wire) + b"\0"


def name_text(wire, lower=False):
    """Master-file text of an uncompressed wire name, with its final dot."""
    if wire == b"\0":
        return "."
    out, at = [], 0
    while wire[at]:
        for octet in wire[at + 1:at + 1 + wire[at]]:
            if lower and 0x41 <= octet <= 0x5A:
                octet += 0x20
            if octet in b".\\":
                out.append("\\" + chr(octet))
            elif 0x21 <= octet <= 0x7E:
                out.append(chr(octet))
            else:
                out.append("\\%03d" % octet)
        out.append(".")
        at += 1 + wire[at]
    return "".join(out)


def qtype_number(qtype):
    """The number of a type given as "A", "TYPE65280" or the number itself."""
    if isinstance(qtype, int):
        return qtype
    if qtype in TYPES:
        return TYPES[qtype]
    if qtype.startswith("TYPE"):
        return int(qtype[4:])
    raise ValueError(f"unknown type {qtype!r}")


def _strings(data):
    """Character strings as TXT holds them: pieces of at most 255 octets."""
    pieces = [data[i:i + 255] for i in range(0, len(data), 255)] or [b""]
    return b"".join(bytes([len(p)]) + p for p in pieces)


def _rdata(qtype, rdata):
    if isinstance(rdata, (bytes, bytearray)):
        return bytes(rdata)
    if qtype == TYPES["A"]:
        return socket.inet_pton(socket.AF_INET, rdata)
    if qtype == TYPES["AAAA"]:
        return socket.inet_pton(socket.AF_INET6, rdata)
    if qtype in (TYPES["CNAME"], TYPES["NS"], TYPES["PTR"], TYPES["DNAME"]):
        return qname(rdata)
    if qtype == TYPES["MX"]:
        preference, host = rdata.split()
        return struct.pack("!H", int(preference)) + qname(host)
    if qtype == TYPES["TXT"]:
        return _strings(rdata.encode("latin-1"))
    if qtype == TYPES["SOA"]:
        mname, rname, *numbers = rdata.split()
        return (qname(mname) + qname(rname)
                + struct.pack("!5I", *(int(n) for n in numbers)))
    raise ValueError(f"no text form for type {qtype}: give bytes")


def rr(name, qtype, ttl, rdata, cls=1):
    """One record, uncompressed.  rdata: bytes as they are, or text."""
    qtype = qtype_number(qtype)
    octets = _rdata(qtype, rdata)
    return (qname(name) + struct.pack("!HHIH", qtype, cls, ttl, len(octets))
            + octets)


def soa(zone, ttl=300, minimum=60):
    """An SOA record of `zone`, as a negative answer's authority wants it."""
    return rr(zone, "SOA", ttl,
              f"ns.{zone.lstrip('.')} admin.{zone.lstrip('.')} "
              f"1 3600 900 86400 {minimum}")


@dataclass
class Opt:
    """EDNS.  `flags` are the 15 bits below DO."""

    size: int = 1232
    do: int = 0
    version: int = 0
    flags: int = 0
    ext_rcode: int = 0
    options: list = field(default_factory=list)

    def pack(self):
        """The OPT record, root owner included."""
        rdata = b"".join(struct.pack("!HH", code, len(data)) + data
                         for code, data in self.options)
        return struct.pack(
            "!BHHBBHH", 0, OPT_TYPE, self.size, self.ext_rcode, self.version,
            (0x8000 if self.do else 0) | (self.flags & 0x7FFF),
            len(rdata)) + rdata

    def option(self, code):
        """Data of the first option with this code, or None."""
        return next((d for c, d in self.options if c == code), None)


# --- messages ---------------------------------------------------------------

def _flags(qr=0, opcode=0, aa=0, tc=0, rd=0, ra=0, z=0, ad=0, cd=0, rcode=0):
    return (bool(qr) << 15 | (opcode & 15) << 11 | bool(aa) << 10
            | bool(tc) << 9 | bool(rd) << 8 | bool(ra) << 7 | bool(z) << 6
            | bool(ad) << 5 | bool(cd) << 4 | (rcode & 15))


def query(name, qtype="A", *, id=None, rd=1, cd=0, ad=0, z=0, aa=0, tc=0,
          ra=0, opcode=0, rcode=0, qclass=1, opt=None):
    """A query.  name: text or wire octets; opt: None or Opt."""
    if id is None:
        id = random.getrandbits(16)
    header = struct.pack(
        "!6H", id, _flags(0, opcode, aa, tc, rd, ra, z, ad, cd, rcode),
        1, 0, 0, 1 if opt else 0)
    return (header + qname(name)
            + struct.pack("!HH", qtype_number(qtype), qclass)
            + (opt.pack() if opt else b""))


class Question(NamedTuple):
    name_wire: bytes
    qtype: int
    qclass: int

    @property
    def name(self):
        return self.name_wire

    @property
    def text(self):
        return name_text(self.name_wire)

    def pack(self):
        return self.name_wire + struct.pack("!HH", self.qtype, self.qclass)


class RR(NamedTuple):
    name: bytes         # wire form, uncompressed
    qtype: int
    cls: int
    ttl: int
    rdata: bytes        # raw octets, as they stand in the message
    rdata_at: int       # where in the message they stand

    @property
    def name_wire(self):
        return self.name

    @property
    def text(self):
        return name_text(self.name)


@dataclass
class Msg:
    wire: bytes
    id: int
    qr: int
    opcode: int
    aa: int
    tc: int
    rd: int
    ra: int
    z: int
    ad: int
    cd: int
    rcode: int          # 12 bits: with the OPT's part
    counts: tuple       # (qd, an, ns, ar) of the header
    question: list
    answer: list
    authority: list
    additional: list    # without the OPT
    opt: Opt = None
    opt_octets: int = 0     # length of the OPT record, 0 without one
    trailing: bytes = b""   # what follows the last counted record

    @property
    def ede(self):
        """Extended errors as [(code, text)]."""
        if not self.opt:
            return []
        return [(struct.unpack("!H", data[:2])[0],
                 data[2:].decode("utf-8", "replace"))
                for code, data in self.opt.options if code == EDE_OPTION]

    def a(self):
        """Dotted addresses of the A records in the answer, in order."""
        return [socket.inet_ntop(socket.AF_INET, r.rdata)
                for r in self.answer if r.qtype == 1 and len(r.rdata) == 4]

    def name_at(self, offset):
        """(uncompressed name, offset after it) of a name in the message."""
        return _read_name(self.wire, offset)

    def __str__(self):
        bits = " ".join(b for b in ("qr", "aa", "tc", "rd", "ra", "z", "ad",
                                    "cd") if getattr(self, b))
        what = " ".join(f"{q.text}/{q.qtype}/{q.qclass}"
                        for q in self.question)
        return (f"<id {self.id} {RCODES.get(self.rcode, self.rcode)} opcode "
                f"{self.opcode} [{bits}] {what} counts {self.counts} "
                f"{self.opt or 'no OPT'}>")

    __repr__ = __str__


def _read_name(wire, at):
    """A name that may be compressed; only strictly backward pointers count."""
    out, end, limit = bytearray(), None, at
    while True:
        if at >= len(wire):
            raise ValueError("name runs off the end")
        length = wire[at]
        if length >= 0xC0:
            if at + 2 > len(wire):
                raise ValueError("pointer cut short")
            target = struct.unpack_from("!H", wire, at)[0] & 0x3FFF
            if end is None:
                end = at + 2
            if not 12 <= target < limit:
                raise ValueError(f"pointer at {at} to {target}")
            at = limit = target
            continue
        if length > 63:
            raise ValueError(f"label length {length:#x}")
        if at + 1 + length > len(wire):
            raise ValueError("label runs off the end")
        out += wire[at:at + 1 + length]
        if len(out) > 255:
            raise ValueError("name over 255 octets")
        at += 1 + length
        if not length:
            return bytes(out), at if end is None else end


def _read_opt(owner, cls, ttl, rdata):
    options, at = [], 0
    while at < len(rdata):
        if at + 4 > len(rdata):
            raise ValueError("stray octets after the options")
        code, length = struct.unpack_from("!HH", rdata, at)
        if at + 4 + length > len(rdata):
            raise ValueError("option runs past RDLENGTH")
        options.append((code, rdata[at + 4:at + 4 + length]))
        at += 4 + length
    return Opt(size=cls, do=ttl >> 15 & 1, version=ttl >> 16 & 255,
               flags=ttl & 0x7FFF, ext_rcode=ttl >> 24, options=options)


def parse(wire):
    """Octets to Msg; ValueError when they are not one whole message."""
    wire = bytes(wire)
    if len(wire) < 12:
        raise ValueError(f"{len(wire)} octets are no message")
    ident, bits, *counts = struct.unpack_from("!6H", wire)
    msg = Msg(wire=wire, id=ident, qr=bits >> 15, opcode=bits >> 11 & 15,
              aa=bits >> 10 & 1, tc=bits >> 9 & 1, rd=bits >> 8 & 1,
              ra=bits >> 7 & 1, z=bits >> 6 & 1, ad=bits >> 5 & 1,
              cd=bits >> 4 & 1, rcode=bits & 15, counts=tuple(counts),
              question=[], answer=[], authority=[], additional=[])
    at = 12
    for _ in range(counts[0]):
        name, at = _read_name(wire, at)
        if at + 4 > len(wire):
            raise ValueError("question cut short")
        msg.question.append(
            Question(name, *struct.unpack_from("!HH", wire, at)))
        at += 4
    for count, section in zip(counts[1:],
                              (msg.answer, msg.authority, msg.additional)):
        for _ in range(count):
            start = at
            name, at = _read_name(wire, at)
            if at + 10 > len(wire):
                raise ValueError("record cut short")
            qtype, cls, ttl, length = struct.unpack_from("!HHIH", wire, at)
            at += 10
            if at + length > len(wire):
                raise ValueError("RDATA runs off the end")
            rdata = wire[at:at + length]
            if (qtype == OPT_TYPE and section is msg.additional
                    and msg.opt is None):
                msg.opt = _read_opt(name, cls, ttl, rdata)
                msg.opt_octets = at + length - start
                msg.rcode |= msg.opt.ext_rcode << 4
            else:
                section.append(RR(name, qtype, cls, ttl, rdata, at))
            at += length
    msg.trailing = wire[at:]
    return msg


def _parse_reply(wire):
    """What larder sent: whole, and nothing after its end."""
    msg = parse(wire)
    assert not msg.trailing, f"octets after the end of a reply: {wire.hex()}"
    return msg


def reply(to, answer=(), authority=(), additional=(), *, rcode=0, aa=0, tc=0,
          ra=1, ad=0, cd=None, qr=1, id=None, question=None, opt="echo",
          opcode=0):
    """A reply to a query (octets or Msg).

    question: None copies the query's; else octets of one question (b"" for
    none), a Question, or a list of those.  opt: "echo" puts a plain OPT when
    the query had one; None; or an Opt.
    """
    msg = to if isinstance(to, Msg) else parse(to)
    if question is None:
        question = [q.pack() for q in msg.question]
    elif isinstance(question, (bytes, bytearray, Question)):
        question = [question] if question else []
    question = [q.pack() if isinstance(q, Question) else bytes(q)
                for q in question]
    if opt == "echo":
        opt = Opt() if msg.opt else None
    extra = list(additional)
    if opt is not None:
        if rcode > 15:
            opt = Opt(opt.size, opt.do, opt.version, opt.flags, rcode >> 4,
                      opt.options)
        extra.append(opt.pack())
    elif rcode > 15:
        raise ValueError("a code over 15 needs an OPT")
    header = struct.pack(
        "!6H", msg.id if id is None else id,
        _flags(qr, opcode, aa, tc, msg.rd, ra, 0, ad,
               msg.cd if cd is None else cd, rcode),
        len(question), len(answer), len(authority), len(extra))
    return b"".join([header, *question, *answer, *authority, *extra])


# --- small helpers ----------------------------------------------------------

_names = itertools.count(1)


def fresh_name(prefix="n", zone="example."):
    """A name that nobody asked for yet in this run."""
    return f"{prefix}{next(_names)}.{zone}"


def _family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _url(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _split(address):
    """"1.2.3.4:5" or "[::1]:5" to (host, port); port 53 unless given."""
    found = re.fullmatch(r"\[(.+)\](?::(\d+))?", address)
    if not found:
        found = re.fullmatch(r"([^:]+)(?::(\d+))?", address)
    if not found:
        return address, 53
    return found[1], int(found[2] or 53)


def _bind_pair(host, port, udp, tcp):
    """A UDP socket and a TCP listener on one port, as far as wanted."""
    for _ in range(200):
        # Below the ephemeral range, so that no client socket takes it.
        number = port or random.randrange(10000, 32000)
        pair = []
        try:
            for wanted, kind in ((udp, socket.SOCK_DGRAM),
                                 (tcp, socket.SOCK_STREAM)):
                sock = None
                if wanted:
                    sock = socket.socket(_family(host), kind)
                    pair.append(sock)
                    if kind == socket.SOCK_STREAM:
                        sock.setsockopt(socket.SOL_SOCKET,
                                        socket.SO_REUSEADDR, 1)
                    sock.bind((host, number))
                    if kind == socket.SOCK_STREAM:
                        sock.listen(512)
                else:
                    pair.append(None)
            return pair[0], pair[1], number
        except OSError:
            for sock in pair:
                if sock:
                    sock.close()
            if port:
                raise
    raise OSError("no free port found")


def free_port(host="127.0.0.1"):
    """A port that is free for UDP and TCP at this moment."""
    udp, tcp, port = _bind_pair(host, 0, True, True)
    udp.close()
    tcp.close()
    return port


def eventually(check, timeout=10, what="it did not come to that"):
    """Waits until check() holds; `what` may be a function that tells more."""
    deadline = time.monotonic() + timeout
    while not check():
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.01)


def soon_enough(attempt, limit, times=4):
    """What attempt() gives, seconds, is under `limit` at least once: a machine
    with other work adds to one attempt or another, a fault to all of them."""
    took = []
    while not took or took[-1] >= limit:
        assert len(took) < times, took
        took.append(attempt())
    return took[-1]


def in_netns(work):
    """Runs work() in a thread with a network namespace of its own, lo up.

    Sockets and processes started there belong to the namespace.
    PermissionError when the system does not let us.
    """
    result = {}

    def body():
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(0x40000000) != 0:       # CLONE_NEWNET
                raise PermissionError(ctypes.get_errno(),
                                      "no network namespace allowed")
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            result["value"] = work()
        except BaseException as error:              # handed to the caller
            result["error"] = error

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if "error" in result:
        raise result["error"]
    return result.get("value")


class _Later:
    """One thread that runs things at their time."""

    def __init__(self):
        self.heap, self.wake, self.thread = [], threading.Condition(), None
        self.order = itertools.count()

    def at(self, when, work):
        with self.wake:
            if self.thread is None:
                self.thread = threading.Thread(target=self._run, daemon=True)
                self.thread.start()
            heapq.heappush(self.heap, (when, next(self.order), work))
            self.wake.notify()

    def _run(self):
        while True:
            with self.wake:
                while not self.heap or self.heap[0][0] > time.monotonic():
                    self.wake.wait(self.heap[0][0] - time.monotonic()
                                   if self.heap else None)
                work = heapq.heappop(self.heap)[2]
            try:
                work()
            except OSError:
                pass        # the socket went away with its test


_later = _Later()


# --- the fake upstream ------------------------------------------------------

class Entry(NamedTuple):
    t: float            # time.monotonic()
    proto: str          # "udp" or "tcp"
    src: tuple          # (ip, port)
    wire: bytes
    msg: Msg            # None when the octets are no message
    conn: int           # which accepted TCP connection, 0 for UDP

    @property
    def name(self):
        """Lower-case text of the name asked; empty without a question."""
        if not self.msg or not self.msg.question:
            return ""
        return name_text(self.msg.question[0].name_wire, lower=True)

    @property
    def qtype(self):
        return (self.msg.question[0].qtype
                if self.msg and self.msg.question else None)


class Context:
    """One query that reached the upstream, and the means to answer it."""

    def __init__(self, upstream, proto, src, wire, conn, sock, lock):
        self.upstream, self.proto, self.src = upstream, proto, src
        self.wire, self.conn, self._sock, self._lock = wire, conn, sock, lock
        try:
            self.msg = parse(wire)
        except ValueError:
            self.msg = None

    @property
    def name(self):
        return (name_text(self.msg.question[0].name_wire, lower=True)
                if self.msg and self.msg.question else "")

    @property
    def qtype(self):
        return (self.msg.question[0].qtype
                if self.msg and self.msg.question else None)

    def send_raw(self, octets):
        with self._lock:
            try:
                if self.proto == "udp":
                    self._sock.sendto(octets, self.src)
                else:
                    self._sock.sendall(octets)
            except OSError:
                pass        # larder may have gone already

    def send(self, message):
        if self.proto == "tcp":
            message = struct.pack("!H", len(message)) + message
        self.send_raw(message)

    def send_later(self, seconds, message):
        _later.at(time.monotonic() + seconds, lambda: self.send(message))

    def send_from(self, host, port, message):
        with socket.socket(_family(host), socket.SOCK_DGRAM) as sock:
            sock.bind((host, port))
            sock.sendto(message, self.src)

    def close(self):
        for step in (lambda: self._sock.shutdown(socket.SHUT_RDWR),
                     self._sock.close):
            try:
                step()
            except OSError:
                pass

    def reset(self):
        """Closes the TCP connection with RST instead of FIN."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                              struct.pack("ii", 1, 0))
        self.close()

    def default(self):
        answer_default(self)


def answer_default(ctx):
    """A 192.0.2.1, AAAA 2001:db8::1, and NODATA for any other type."""
    if ctx.msg is None or not ctx.msg.question:
        return
    name, qtype = ctx.msg.question[0].name_wire, ctx.qtype
    if qtype == TYPES["A"]:
        ctx.send(reply(ctx.msg, [rr(name, "A", 300, "192.0.2.1")]))
    elif qtype == TYPES["AAAA"]:
        ctx.send(reply(ctx.msg, [rr(name, "AAAA", 300, "2001:db8::1")]))
    else:
        ctx.send(reply(ctx.msg, authority=[soa("example.")]))


class Upstream:
    """A resolver that says what its handler says, on UDP and TCP.

    Open as soon as it is made.  `log` holds all queries in order of arrival;
    `closed` tells when larder ended a connection ({conn: time}).  A handler
    that raises fails the test when the upstream is closed.

    With `knows_root`, NS of the root, which larder asks to find out whether
    an upstream works, is answered whatever the handler, and not logged.
    """

    knows_root = True

    def __init__(self, host="127.0.0.1", port=0, tcp=True, udp=True):
        self.host, self._want_udp, self._want_tcp = host, udp, tcp
        self.port = port
        self.handler = answer_default
        self.log, self.closed, self.errors = [], {}, []
        self.earlier = set()        # names that were in the log before clear()
        self._changed = threading.Condition()
        self._accepted = 0
        self._conns = set()
        self._threads = []
        self._udp = self._tcp = None
        self.start()

    # start and stop are for outages: same port each time
    def start(self):
        self._udp, self._tcp, self.port = _bind_pair(
            self.host, self.port, self._want_udp, self._want_tcp)
        self.url = _url(self.host, self.port)
        if self._udp:
            self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            self._threads.append(self._spawn(self._serve_udp, self._udp))
        if self._tcp:
            self._threads.append(self._spawn(self._accept, self._tcp))

    def stop(self):
        for sock in (self._udp, self._tcp, *list(self._conns)):
            if sock is None:
                continue
            for step in (lambda: sock.shutdown(socket.SHUT_RDWR), sock.close):
                try:
                    step()
                except OSError:
                    pass
        # A socket is gone only when the thread that waits on it has let go.
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(3)
        self._threads.clear()
        self._udp = self._tcp = None
        self._conns.clear()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.stop()
        if kind is None:
            self.check()

    def check(self):
        """Fails when a handler raised since the last check."""
        errors, self.errors = self.errors, []
        assert not errors, ("handler of the fake upstream:\n"
                            + "\n".join(errors))

    def reset(self):
        """Default handler, empty log: as new, but for its connections."""
        self.handler = answer_default
        self.clear()

    @staticmethod
    def _spawn(target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        return thread

    def _serve_udp(self, sock):
        lock = threading.Lock()
        while True:
            try:
                wire, src = sock.recvfrom(65535)
            except OSError:
                return
            if not wire and sock.fileno() < 0:
                return
            if src is None:
                return          # woken by shutdown
            self._take(Context(self, "udp", src[:2], wire, 0, sock, lock))

    def _accept(self, listener):
        while True:
            try:
                sock, src = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._accepted += 1
            self._conns.add(sock)
            self._spawn(self._serve_tcp, sock, src[:2], self._accepted)

    def _serve_tcp(self, sock, src, conn):
        lock, buffer = threading.Lock(), b""
        try:
            while True:
                octets = sock.recv(65535)
                if not octets:
                    break
                buffer += octets
                while len(buffer) >= 2:
                    length = struct.unpack("!H", buffer[:2])[0]
                    if len(buffer) < 2 + length:
                        break
                    wire, buffer = buffer[2:2 + length], buffer[2 + length:]
                    self._take(Context(self, "tcp", src, wire, conn, sock,
                                       lock))
        except OSError:
            pass
        with self._changed:
            self.closed[conn] = time.monotonic()
            self._conns.discard(sock)
            self._changed.notify_all()
        try:
            sock.close()
        except OSError:
            pass

    def _take(self, ctx):
        if (self.knows_root and ctx.msg and ctx.name == "."
                and ctx.qtype == TYPES["NS"]):
            root = ctx.msg.question[0].name_wire
            ctx.send(reply(ctx.msg, [rr(root, "NS", 3600, "a.root.example.")]))
            return
        with self._changed:
            self.log.append(Entry(time.monotonic(), ctx.proto, ctx.src,
                                  ctx.wire, ctx.msg, ctx.conn))
            self._changed.notify_all()
        try:
            self.handler(ctx)
        except Exception:           # a broken script, not a broken larder
            self.errors.append(traceback.format_exc())

    @staticmethod
    def _matches(entry, name, qtype, proto):
        if proto is not None and entry.proto != proto:
            return False
        if qtype is not None and entry.qtype != qtype_number(qtype):
            return False
        if name is None:
            return True
        return bool(entry.msg and entry.msg.question
                    and entry.msg.question[0].name_wire.lower()
                    == qname(name).lower())

    def entries(self, name=None, qtype=None, proto=None):
        """The log entries that match."""
        with self._changed:
            return [e for e in self.log
                    if self._matches(e, name, qtype, proto)]

    def count(self, name=None, qtype=None, proto=None):
        return len(self.entries(name, qtype, proto))

    def wait(self, n, timeout=6, **match):
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                found = [e for e in self.log
                         if self._matches(e, *(match.get(k) for k in
                                               ("name", "qtype", "proto")))]
                if len(found) >= n:
                    return found
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
        raise AssertionError(f"{len(found)} of {n} queries reached the "
                             f"upstream in {timeout} s ({match})")

    def quiet(self, **match):
        return self.count(**match) == 0

    def clear(self):
        with self._changed:
            self.earlier.update(e.name for e in self.log)
            self.log.clear()


# --- larderd ----------------------------------------------------------------

def find_binary(name):
    """$LARDERD or $LARDERCTL, else the build directory, else the source."""
    named = os.environ.get(name.upper())
    if named:
        return str(Path(named).resolve())
    top = Path(__file__).resolve().parents[2]
    for folder in (Path(os.environ.get("LARDER_BUILD", ".")), top):
        path = folder.resolve() / name
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    raise AssertionError(f"no {name}: build it, or set {name.upper()} or "
                         "LARDER_BUILD")


def _scalar(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, Upstream):
        value = value.url
    value = str(value)
    if re.fullmatch(r"[A-Za-z0-9/_.][A-Za-z0-9/_.+-]*", value):
        return value
    return json.dumps(value)


def to_yaml(conf, indent=0):
    """A configuration as a person would write it: block maps, flow lists."""
    lines = []
    for key, value in conf.items():
        head = " " * indent + _scalar(key) + ":"
        if isinstance(value, dict) and value:
            lines += [head, to_yaml(value, indent + 2)]
        elif isinstance(value, dict):
            lines.append(head + " {}")
        elif isinstance(value, (list, tuple)):
            lines.append(head + " [" + ", ".join(map(_scalar, value)) + "]")
        else:
            lines.append(head + " " + _scalar(value))
    return "\n".join(lines)


def _merge(base, more):
    out = dict(base)
    for key, value in more.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = _merge(out[key], value)
        else:
            out[key] = value
    return out


SANITIZER = re.compile(r"(Address|Leak|Thread|Memory|UndefinedBehavior)"
                       r"Sanitizer|: runtime error: ")


RELOADED = re.compile(r"configuration (read again|was not taken)")


class Larder:
    """One larderd of a test's own.

    Starts on entering the context (or at start()).  `conf` is merged over the
    defaults key by key; a value of None takes a key out.  A text instead of a
    dict is written to the file as it is.  "{port}" in `listen` stands for the
    port chosen.  Without `forward` and `resolv-file` the latter is an empty
    file, so that no test asks the machine's real resolvers.

    With `steady`, what larder would learn is fixed, so that a test is about
    one thing: upstreams in order, no stale data, no prefetch, and so patient
    that nothing is sent twice on a slow machine: a test that counts what
    reached an upstream counts questions then, and one that waits for a resend
    says so in its configuration.  Without it these are as a user has them.
    """

    STEADY = {"policy": "ordered", "resend-after": "1s",
              "cache": {"stale": "0s", "prefetch": False}}

    def __init__(self, forward=(), *, conf=None, listen=None, args=(),
                 expect_start=True, env=None, steady=True):
        self.dir = tempfile.mkdtemp(prefix="larder-")
        os.chmod(self.dir, 0o755)
        self.conf_path = os.path.join(self.dir, "larder.yaml")
        self.control = os.path.join(self.dir, "io.larder")
        self._err_path = os.path.join(self.dir, "stderr")
        self._args, self._env = list(args), dict(env or {})
        self._expect_start = expect_start
        self._stopped = False
        self.proc = None

        port = free_port()
        listen = [a.replace("{port}", str(port))
                  for a in (listen or ["127.0.0.1:{port}"])]
        self.base = {"listen": listen, "threads": 1,
                     "control-socket": self.control,
                     "state-directory": os.path.join(self.dir, "state")}
        if steady:
            self.base = _merge(self.base, self.STEADY)
        if isinstance(forward, (str, Upstream)):
            forward = [forward]
        if forward:
            self.base["forward"] = list(forward)
        elif not (isinstance(conf, dict) and conf.get("resolv-file")):
            empty = os.path.join(self.dir, "resolv.conf")
            Path(empty).write_text("")
            self.base["resolv-file"] = empty
        effective = self.rewrite(conf or {})
        first = listen[0]
        if isinstance(effective, dict):
            if effective.get("listen"):
                first = effective["listen"]
                first = first if isinstance(first, str) else first[0]
            self.control = effective.get("control-socket", self.control)
        self.host, self.port = _split(first)
        self.host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host,
                                                              self.host)

    def rewrite(self, conf):
        """Writes the file anew: `conf` over the same defaults as at first."""
        effective = conf if isinstance(conf, str) else _merge(self.base, conf)
        text = conf if isinstance(conf, str) else to_yaml(effective) + "\n"
        # Renamed into place, so that larderd never reads half a file.
        Path(self.conf_path + ".new").write_text(text)
        os.replace(self.conf_path + ".new", self.conf_path)
        return effective

    # -- life and death

    def start(self):
        env = dict(os.environ)
        env.setdefault("ASAN_OPTIONS",
                       "exitcode=99:detect_stack_use_after_return=1")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        env.update(self._env)
        self._stopped = False
        with open(self._err_path, "ab") as err:
            offset = err.tell()
            self.proc = subprocess.Popen(
                [find_binary("larderd"), "--config", self.conf_path,
                 *self._args],
                stdin=subprocess.DEVNULL, stdout=err, stderr=err, env=env,
                cwd=self.dir)
        self.pid = self.proc.pid
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            ready = re.search(r"(?m)(^|\s)ready: ", self.log()[offset:])
            ended = self.proc.poll() is not None
            if ready and self._expect_start:
                return self
            if ready:
                raise AssertionError("larderd started although it should "
                                     f"not:\n{self.log()}")
            if ended and self._expect_start:
                raise AssertionError("larderd ended at its start with "
                                     f"{self.proc.returncode}:\n{self.log()}")
            if ended:
                self._stopped = True
                return self
            time.sleep(0.005)
        self._kill()
        raise AssertionError("larderd neither ready nor ended in 20 s:\n"
                             + self.log())

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self._kill()
            shutil.rmtree(self.dir, ignore_errors=True)
            raise

    def __exit__(self, kind, value, trace):
        try:
            problem = self._end()
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)
        if problem:
            raise AssertionError(problem)

    def _end(self):
        """Stops larderd if need be; a text when it did not behave."""
        died = not self._stopped and self.proc.poll() is not None
        try:
            code = self.stop()
        except AssertionError as error:
            return str(error)
        log = self.log()
        if SANITIZER.search(log):
            return f"sanitizer report:\n{log}"
        if died:
            return f"larderd ended by itself with {code}:\n{log[-8000:]}"
        if self._expect_start and code != 0:
            return f"larderd ended with {code}:\n{log[-8000:]}"
        return None

    def _kill(self):
        if self.proc and self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        self._stopped = True

    def stop(self):
        """SIGTERM, then its exit code; over 10 s fails.  (How soon it should
        end is the business of test_daemon.py.)"""
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        try:
            code = self.proc.wait(10)
        except subprocess.TimeoutExpired:
            self._kill()
            raise AssertionError("larderd did not stop in 10 s after SIGTERM:\n"
                                 + self.log()[-8000:]) from None
        self._stopped = True
        return code

    def hup(self):
        """SIGHUP, and what larderd says of it: taken, or not."""
        before = len(self.log())
        self.proc.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while not RELOADED.search(self.log()[before:]):
            self.check_running()
            assert time.monotonic() < deadline, "SIGHUP: " + self.log()[before:]
            time.sleep(0.005)

    def log(self):
        try:
            return Path(self._err_path).read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def check_running(self):
        assert self.proc is not None and self.proc.poll() is None, (
            f"larderd is gone ({self.proc and self.proc.returncode}):\n"
            + self.log()[-8000:])

    # -- asking

    def _target(self, to):
        if to is None:
            return self.host, self.port
        return (to, self.port) if isinstance(to, str) else tuple(to)

    def udp_socket(self, src=None, to=None):
        """A UDP socket connected to larder."""
        target = self._target(to)
        sock = socket.socket(_family(target[0]), socket.SOCK_DGRAM)
        try:
            if src:
                sock.bind((src, 0) if isinstance(src, str) else tuple(src))
            sock.connect(target)
        except OSError:
            sock.close()
            raise
        return sock

    def _udp(self, wire, timeout, src, to, want_id):
        deadline = time.monotonic() + timeout
        with self.udp_socket(src, to) as sock:
            sock.send(wire)
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                sock.settimeout(left)
                try:
                    got = sock.recv(65535)
                except TimeoutError:
                    break
                except ConnectionRefusedError:
                    self.check_running()
                    raise AssertionError("nobody listens at larder's port"
                                         ) from None
                msg = _parse_reply(got)
                if want_id is None or msg.id == want_id:
                    if msg.rcode:
                        exchanges.append((wire, msg))
                    return msg
        self.check_running()
        return None

    def udp(self, wire, timeout=5, src=None, to=None):
        """One datagram as it is; the first reply, or None for silence."""
        return self._udp(wire, timeout, src, to, None)

    def ask(self, name, qtype="A", *, timeout=6, src=None, to=None, **kw):
        """One query over UDP; the reply with its ID, or None."""
        wire = query(name, qtype, **kw)
        return self._udp(wire, timeout, src, to,
                         struct.unpack("!H", wire[:2])[0])

    def tcp(self, timeout=6, src=None, to=None):
        return TcpConn(self._target(to), timeout, src, self)

    def ask_tcp(self, name, qtype="A", *, timeout=6, src=None, to=None, **kw):
        wire = query(name, qtype, **kw)
        with self.tcp(timeout, src, to) as conn:
            conn.send(wire)
            msg = conn.recv(timeout)
        if msg is not None:
            assert msg.id == struct.unpack("!H", wire[:2])[0], msg
            if msg.rcode:
                exchanges.append((wire, msg))
        return msg

    def alive(self):
        """An ordinary new question is answered, and the process runs."""
        name = fresh_name("alive")
        msg = self.ask(name)
        self.check_running()
        assert msg is not None, "no answer within 6 s\n" + self.log()[-4000:]
        assert msg.qr == 1 and msg.rcode == NOERROR, msg
        assert [q.text for q in msg.question] == [name], msg
        assert msg.answer, msg

    # -- control

    def ctl(self, *args, timeout=30):
        return subprocess.run(
            [find_binary("larderctl"), "--socket", self.control,
             *map(str, args)], capture_output=True, text=True, timeout=timeout)

    def stats(self):
        done = self.ctl("--json", "stats")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


class TcpConn:
    """One client connection.  recv() gives whole messages, in order."""

    def __init__(self, target, timeout=6, src=None, larder=None):
        self.larder, self._buffer, self._eof = larder, b"", False
        self.sock = socket.socket(_family(target[0]), socket.SOCK_STREAM)
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock.settimeout(timeout)
            if src:
                self.sock.bind((src, 0) if isinstance(src, str)
                               else tuple(src))
            self.sock.connect(target)
        except OSError:
            self.sock.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_raw(self, octets):
        self.sock.sendall(octets)

    def send(self, wire):
        self.send_raw(struct.pack("!H", len(wire)) + wire)

    def _more(self, deadline):
        """Reads once; False at the deadline or at the end of the stream."""
        left = deadline - time.monotonic()
        if self._eof or left <= 0:
            return False
        self.sock.settimeout(left)
        try:
            octets = self.sock.recv(65536)
        except TimeoutError:
            return False
        except (ConnectionResetError, BrokenPipeError):
            octets = b""
        if not octets:
            self._eof = True
            if self.larder:
                self.larder.check_running()
            return False
        self._buffer += octets
        return True

    def recv(self, timeout=6):
        """The next message, or None at time-out or end of stream."""
        deadline = time.monotonic() + timeout
        while True:
            if len(self._buffer) >= 2:
                length = struct.unpack("!H", self._buffer[:2])[0]
                if len(self._buffer) >= 2 + length:
                    wire = self._buffer[2:2 + length]
                    self._buffer = self._buffer[2 + length:]
                    return _parse_reply(wire)
            if not self._more(deadline):
                return None

    def is_closed(self, timeout=5):
        """Whether larder ends the stream within that time."""
        deadline = time.monotonic() + timeout
        while self._more(deadline):
            pass
        return self._eof

    def shutdown(self):
        """No more from us; larder may still send."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()


# --- what several rows ask of a reply ---------------------------------------

def check_error(wire, msg, rcode, ede=None):
    """What every error reply to `wire` owes: HDR-13, -14, -15, -20, EDNS-01,
    -02.  ede: the extended error that must come if the query had an OPT, and
    only then.
    """
    assert msg is not None, f"silence where {RCODES[rcode]} is due"
    ident, bits = struct.unpack_from("!HH", wire)
    assert msg.id == ident and msg.qr == 1, msg
    assert msg.rcode == rcode, f"{msg} where {RCODES[rcode]} is due"
    assert msg.opcode == bits >> 11 & 15, msg
    assert msg.rd == bits >> 8 & 1 and msg.ra == 1, msg
    assert (msg.aa, msg.tc, msg.z, msg.ad) == (0, 0, 0, 0), msg
    assert msg.counts[1:3] == (0, 0) and not msg.additional, msg
    if msg.opcode == 0:
        assert msg.cd == bits >> 4 & 1, msg
    assert len(msg.wire) - msg.opt_octets <= len(wire), (msg, len(wire))
    try:
        asked = parse(wire)
    except ValueError:
        return
    assert bool(msg.opt) == bool(asked.opt), (msg, asked)
    if msg.opt:
        assert msg.opt.version == 0 and msg.opt.flags == 0, msg
        assert msg.opt.do == asked.opt.do, msg
    if asked.opcode == 0 and len(asked.question) == 1:
        assert msg.question == asked.question, (msg, asked)
    if ede is not None:
        codes = [code for code, _ in msg.ede]
        assert codes == ([ede] if asked.opt else []), (msg, codes)


def check_error_sizes():
    """HDR-20 over all error replies that any test of this run has seen."""
    judged = 0
    for wire, msg in exchanges:
        if msg.rcode in (FORMERR, SERVFAIL, NOTIMP, REFUSED, BADVERS):
            assert len(msg.wire) - msg.opt_octets <= len(wire), (
                f"{len(msg.wire)} octets for {len(wire)}: {msg}")
            judged += 1
    return judged


def check_quiet(larder, upstream, **match):
    """Nothing (that matches) went upstream.  A later question has come back by
    then, so what was to be sent before it has been sent.  Late resends of what
    an earlier test left unanswered do not count."""
    larder.alive()
    seen = [e for e in upstream.entries(**match)
            if not e.name.startswith("alive")
            and e.name not in upstream.earlier]
    assert not seen, [str(e.msg or e.wire.hex()) for e in seen]
