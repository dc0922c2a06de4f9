"""Fake encrypted upstreams, and an eye and a hand on the way to them.

`DotUpstream` and `DohUpstream` are harness.Upstream behind TLS, the latter
speaking HTTP/2: the same handlers, the same log.  What larder offered in each
handshake is in `hellos`, each request with its fields in `requests`.

`Relay` stands between larder and any server: it keeps what passed, holds it up
for as long as a real path would, or loses a connection without telling anyone.

`larder_over(server)` is a larderd that asks such a server and believes it.
"""

import base64
import functools
import os
import queue
import socket
import ssl
import struct
import threading
import time
from typing import NamedTuple

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

import harness
from harness import Entry, Larder, Upstream

NAME = "dns.example"            # what the certificates of the tests bear
MESSAGE = "application/dns-message"


# --- TLS, the server's side -------------------------------------------------

class TlsSocket:
    """Looks like a socket to the harness.  One thread reads, any may write."""

    def __init__(self, raw, context):
        self.raw, self._lock = raw, threading.Lock()
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_side=True)

    def _step(self, work, *args):
        """Calls into TLS and sends what it has to say; None: wants more."""
        with self._lock:
            try:
                return work(*args)
            except ssl.SSLWantReadError:
                return None
            finally:
                octets = self._out.read()
                if octets:
                    self.raw.sendall(octets)

    def _feed(self):
        octets = self.raw.recv(65536)
        if not octets:
            return False
        with self._lock:
            self._in.write(octets)
        return True

    def handshake(self):
        """False: it came to nothing."""
        def shake():
            self.tls.do_handshake()
            return True

        try:
            while not self._step(shake):
                if not self._feed():
                    return False
        except (ssl.SSLError, OSError):
            return False
        return True

    def recv(self, size):
        try:
            while True:
                octets = self._step(self.tls.read, size)
                if octets is not None:
                    return octets
                if not self._feed():
                    return b""
        except ssl.SSLError:
            return b""

    def sendall(self, octets):
        self._step(self.tls.write, octets)

    def record(self, octets):
        """The record that sendall() would send."""
        with self._lock:
            self.tls.write(octets)
            return self._out.read()

    def close_notify(self):
        try:
            self._step(self.tls.unwrap)
        except ssl.SSLError:
            pass

    def shutdown(self, how):
        self.raw.shutdown(how)

    def setsockopt(self, *args):
        self.raw.setsockopt(*args)

    def close(self):
        self.raw.close()


class Hello(NamedTuple):
    """A handshake that was completed."""

    conn: int
    server_name: str        # None: larder named nobody
    alpn: str               # what was agreed upon, or None
    version: str
    resumed: bool


class DotUpstream(Upstream):
    """DNS over TLS with a certificate of authority.Certificate."""

    scheme, alpn = "tls", ("dot",)

    def __init__(self, cert, ca, *, name=NAME, host="127.0.0.1", port=0,
                 **tls):
        self.ca, self.name = ca, name
        self.hellos, self.tried = [], 0
        self.heard = 0          # messages, larder's own questions included
        self._names = {}
        self.set_certificate(cert, **tls)
        super().__init__(host, port, udp=False)

    def set_certificate(self, cert, **tls):
        """From the next connection on."""
        context = cert.context(**{"alpn": self.alpn, **tls})
        context.sni_callback = (
            lambda tls, name, _: self._names.__setitem__(id(tls), name))
        self.context = context

    def target(self, url=None):
        """What larder is told: {"url": …}."""
        return f"{self.scheme}://{url or self.url}#{self.name}"

    def conf(self, url=None, **more):
        """Of an upstream in larder.yaml; a value of None takes a key out."""
        conf = {"url": self.target(url), "ca": str(self.ca.path), **more}
        return {k: v for k, v in conf.items() if v is not None}

    def reset(self):
        super().reset()
        self.hellos.clear()
        self.tried = self.heard = 0

    def _take(self, ctx):
        self.heard += 1
        super()._take(ctx)

    def _serve_tcp(self, sock, src, conn):
        self.tried += 1
        secure = TlsSocket(sock, self.context)
        if not secure.handshake():
            with self._changed:
                self.closed[conn] = time.monotonic()
            sock.close()
            return
        self._conns.discard(sock)
        self._conns.add(secure)
        tls = secure.tls
        self.hellos.append(Hello(conn, self._names.pop(id(tls), None),
                                 tls.selected_alpn_protocol(), tls.version(),
                                 tls.session_reused))
        self._serve_secure(secure, src, conn)

    def _serve_secure(self, secure, src, conn):
        super()._serve_tcp(secure, src, conn)


# --- HTTP/2, the server's side ----------------------------------------------

class Request(NamedTuple):
    t: float
    conn: int
    stream: int
    fields: list            # [(name, value)] as they came
    body: bytes

    def field(self, name):
        return next((v for n, v in self.fields if n == name), None)

    @property
    def names(self):
        return [n for n, _ in self.fields]


class HttpContext(harness.Context):
    """One question that came by HTTP, and the means to answer it."""

    def __init__(self, upstream, src, wire, request, http):
        super().__init__(upstream, "https", src, wire, request.conn,
                         http.secure, threading.Lock())
        self.request, self.http = request, http

    def send(self, message):
        self.respond(body=message)

    def respond(self, status=200, body=b"", *, type=MESSAGE, fields=(),
                trailers=(), end=True):
        """body: octets, or an iterable of them."""
        head = [(":status", str(status))]
        if type is not None:
            head.append(("content-type", type))
        self.http.respond(self.request.stream, head + list(fields), body,
                          list(trailers), end)

    def reset_stream(self, code=h2.errors.ErrorCodes.CANCEL):
        self.http.act(lambda h: h.reset_stream(self.request.stream, code))

    def goaway(self, last):
        self.http.goaway(last)


class Http:
    """One connection."""

    def __init__(self, upstream, secure, src, conn):
        self.upstream, self.secure, self.src = upstream, secure, src
        self.conn, self.lock = conn, threading.RLock()
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, validate_outbound_headers=False,
            normalize_outbound_headers=False, header_encoding="utf-8"))
        # Huffman coding takes seconds here for what is really long.
        self.h2.encoder.encode = functools.partial(self.h2.encoder.encode,
                                                   huffman=False)
        self.fields, self.bodies = {}, {}
        self.pending = {}       # what waits for a window: {stream: iterator}
        self.client_settings = {}

    def act(self, work):
        """Does something to the connection, and sends what comes of it."""
        with self.lock:
            try:
                work(self.h2)
            except h2.exceptions.ProtocolError:
                pass            # larder has ended the stream or all of it
            octets = self.h2.data_to_send()
            if octets:
                try:
                    self.secure.sendall(octets)
                except (OSError, ssl.SSLError):
                    pass

    def serve(self):
        def begin(h):
            h.initiate_connection()
            if self.upstream.settings:
                h.update_settings(self.upstream.settings)

        self.act(begin)
        while True:
            try:
                octets = self.secure.recv(65536)
            except OSError:
                return
            if not octets:
                return
            with self.lock:
                try:
                    events = self.h2.receive_data(octets)
                except h2.exceptions.ProtocolError:
                    self.act(lambda h: None)
                    return
                self.act(lambda h: None)
            for event in events:
                self.on_event(event)

    def on_event(self, event):
        stream = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            self.fields[stream], self.bodies[stream] = event.headers, b""
        elif isinstance(event, h2.events.DataReceived):
            self.bodies[stream] += event.data
            self.act(lambda h: h.acknowledge_received_data(
                event.flow_controlled_length, stream))
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self.client_settings.update(
                {k: c.new_value for k, c in event.changed_settings.items()})
        elif isinstance(event, h2.events.StreamReset):
            self.upstream.resets.append((self.conn, stream,
                                         int(event.error_code)))
            self.pending.pop(stream, None)
        if isinstance(event, h2.events.StreamEnded):
            self.take(stream)
        if isinstance(event, (h2.events.WindowUpdated,
                              h2.events.RemoteSettingsChanged)):
            self.push()

    def take(self, stream):
        request = Request(time.monotonic(), self.conn, stream,
                          self.fields.pop(stream), self.bodies.pop(stream))
        wire = request.body
        path = request.field(":path")
        if request.field(":method") == "GET" and "?dns=" in path:
            text = path.split("?dns=", 1)[1]
            wire = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        self.upstream._take(HttpContext(self.upstream, self.src, wire,
                                        request, self))

    def respond(self, stream, head, body, trailers, end):
        pieces = iter([body] if isinstance(body, bytes) else body)

        def begin(h):
            h.send_headers(stream, head)
            self.pending[stream] = (pieces, trailers, end)

        self.act(begin)
        self.push()

    def push(self):
        for stream in list(self.pending):
            self.act(lambda h, s=stream: self.push_stream(h, s))

    def push_stream(self, h, stream):
        pieces, trailers, end = self.pending[stream]
        try:
            for piece in pieces:
                while piece:
                    room = min(h.local_flow_control_window(stream),
                               h.max_outbound_frame_size)
                    if room <= 0:
                        self.pending[stream] = (
                            self.chain(piece, pieces), trailers, end)
                        return
                    h.send_data(stream, piece[:room])
                    piece = piece[room:]
        except h2.exceptions.ProtocolError:
            self.pending.pop(stream, None)
            return
        self.pending.pop(stream, None)
        if trailers:
            h.send_headers(stream, trailers, end_stream=True)
        elif end:
            h.end_stream(stream)

    @staticmethod
    def chain(piece, rest):
        yield piece
        yield from rest

    def goaway(self, last):
        """Written by hand: h2 would take it for the end of everything."""
        with self.lock:
            self.secure.sendall(b"\0\0\x08\x07\0\0\0\0\0"
                                + struct.pack("!II", last, 0))


class DohUpstream(DotUpstream):
    """DNS over HTTPS; `settings` are those of HTTP/2 for new connections."""

    scheme, alpn = "https", ("h2",)

    def __init__(self, cert, ca, *, path="/dns-query", **kw):
        self.path = path
        self.requests, self.resets, self.settings = [], [], {}
        self.https = []         # the connections, as Http
        super().__init__(cert, ca, **kw)

    def target(self, url=None):
        return f"https://{url or self.url}{self.path}#{self.name}"

    def reset(self):
        super().reset()
        self.requests.clear()
        self.resets.clear()
        self.settings.clear()

    def _take(self, ctx):
        if ctx.name != ".":     # larder's own question: it is in no log either
            self.requests.append(ctx.request)
        super()._take(ctx)

    def _serve_secure(self, secure, src, conn):
        http = Http(self, secure, src, conn)
        self.https.append(http)
        http.serve()
        with self._changed:
            self.closed[conn] = time.monotonic()
            self._conns.discard(secure)
            self._changed.notify_all()
        secure.close()


# --- on the way -------------------------------------------------------------

class Passage:
    """One connection through the relay."""

    def __init__(self, number, near, far):
        self.number, self.near, self.far = number, near, far
        self.began = time.monotonic()
        self.to_server, self.to_larder = bytearray(), bytearray()
        self.lost = False       # nothing passes any more; nobody is told


class Relay:
    """Stands before `target` (host, port) on a port of its own.

    delay: seconds that octets are under way, each way.  The kernel opens the
    connection to the relay without that delay, so the first octets wait for
    as long as its opening would have taken: there and back.
    """

    def __init__(self, target, delay=0):
        self.target, self.delay = target, delay
        self.passages = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.url = f"127.0.0.1:{self.port}"
        Upstream._spawn(self._accept)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for passage in self.passages:
            self._end(passage)

    def lose_all(self):
        """What is open now is lost: no octet passes, and no FIN either."""
        for passage in self.passages:
            passage.lost = True

    @staticmethod
    def _end(passage):
        for sock in (passage.near, passage.far):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(self.target)
            except OSError:
                return
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            passage = Passage(len(self.passages) + 1, near, far)
            self.passages.append(passage)
            for source, sink, kept in (
                    (near, far, passage.to_server),
                    (far, near, passage.to_larder)):
                due = queue.Queue()
                Upstream._spawn(self._read, passage, source, kept, due)
                Upstream._spawn(self._write, passage, sink, due)

    def _read(self, passage, source, kept, due):
        octets = True
        while octets:
            try:
                octets = source.recv(65536)
            except OSError:
                octets = b""
            kept += octets
            now = time.monotonic()
            if source is passage.near:
                now = max(now, passage.began + 2 * self.delay)
            due.put((now + self.delay, octets))

    @staticmethod
    def _write(passage, sink, due):
        while True:
            when, octets = due.get()
            time.sleep(max(0, when - time.monotonic()))
            try:
                if passage.lost:
                    pass
                elif octets:
                    sink.sendall(octets)
                else:
                    sink.shutdown(socket.SHUT_WR)
            except OSError:
                return
            if not octets:
                return


# --- what octets say --------------------------------------------------------

def tls_records(octets):
    """[(type, body)] of whole records; ValueError when it is no TLS."""
    records, at = [], 0
    while at + 5 <= len(octets):
        kind, major, _, length = struct.unpack_from("!BBBH", octets, at)
        if not 20 <= kind <= 23 or major != 3 or length > 16640:
            raise ValueError(f"no TLS record: {bytes(octets[at:at + 16])!r}")
        records.append((kind, bytes(octets[at + 5:at + 5 + length])))
        at += 5 + length
    return records


class ClientHello:
    """What the first record says: versions, compressions, extensions."""

    def __init__(self, octets):
        kind, body = tls_records(octets)[0]
        assert kind == 22 and body[0] == 1, "no ClientHello"
        at = 4 + 2 + 32
        at += 1 + body[at]                                  # session
        at += 2 + struct.unpack_from("!H", body, at)[0]     # suites
        self.compressions = list(body[at + 1:at + 1 + body[at]])
        at += 1 + body[at]
        end = at + 2 + struct.unpack_from("!H", body, at)[0]
        at += 2
        self.extensions = {}
        while at < end:
            code, length = struct.unpack_from("!HH", body, at)
            self.extensions[code] = body[at + 4:at + 4 + length]
            at += 4 + length

    @property
    def server_name(self):
        data = self.extensions.get(0)
        return data and data[5:].decode()

    @property
    def alpn(self):
        data, names = self.extensions.get(16, b"\0\0")[2:], []
        while data:
            names.append(data[1:1 + data[0]].decode())
            data = data[1 + data[0]:]
        return names

    @property
    def versions(self):
        data = self.extensions[43][1:]
        return {v for v, in struct.iter_unpack("!H", data)}

    @property
    def early_data(self):
        return 42 in self.extensions


# --- larderd ----------------------------------------------------------------

def streams(larder, port):
    """How many sockets larderd has open to this port of a server."""
    own = set()
    for fd in os.listdir(f"/proc/{larder.pid}/fd"):
        try:
            target = os.readlink(f"/proc/{larder.pid}/fd/{fd}")
        except OSError:
            continue
        if target.startswith("socket:["):
            own.add(target[8:-1])
    with open(f"/proc/{larder.pid}/net/tcp") as table:
        rows = [line.split() for line in list(table)[1:]]
    return sum(row[9] in own and int(row[2].split(":")[1], 16) == port
               for row in rows)


def larder_over(*servers, conf=None, **kw):
    """A larderd that asks these, which it calls u0, u1 …: fake servers, or
    what larder.yaml says of an upstream."""
    named = {f"u{i}": server if isinstance(server, dict) else server.conf()
             for i, server in enumerate(servers)}
    return Larder(named, conf=harness._merge({"upstreams": named}, conf or {}),
                  **kw)
