#!/usr/bin/python3
"""Writes the seeds of the fuzz targets: small inputs that reach every part of a parser.

usage: make_corpus.py [FOLDER]        (default: corpus beside this file)

Seeds that a fuzzer found are kept beside them under other names and are not touched.
"""
import json
import pathlib
import struct
import sys

QR, RD, RA, TC = 0x8000, 0x0100, 0x0080, 0x0200
A, NS, CNAME, SOA, MX, TXT, AAAA, SRV, NAPTR, DNAME, OPT, RRSIG, NSEC = 1, 2, 5, 6, 15, 16, 28, 33, 35, 39, 41, 46, 47
DNSSEC, STREAM, MIXED, ROUTES, NO_EDNS, WRONG, FLOOR = 1, 2, 4, 8, 16, 32, 64


def name(text):
    out = b""
    for label in text.rstrip(".").split("."):
        if label:
            out += bytes([len(label)]) + label.encode("latin-1")
    return out + b"\0"


def pointer(at):
    return struct.pack(">H", 0xC000 | at)


def rr(owner, kind, ttl, rdata, cls=1):
    owner = owner if isinstance(owner, bytes) else name(owner)
    return owner + struct.pack(">HHIH", kind, cls, ttl, len(rdata)) + rdata


def opt(options=b"", size=1232, ttl=0):
    return rr(".", OPT, ttl, options, size)


def option(code, value=b""):
    return struct.pack(">HH", code, len(value)) + value


def message(flags, question, answer=(), authority=(), additional=(), counts=None, ident=1):
    counts = counts or (1 if question else 0, len(answer), len(authority), len(additional))
    return struct.pack(">6H", ident, flags, *counts) + question + b"".join([*answer, *authority, *additional])


def question(text, kind=A, cls=1):
    return name(text) + struct.pack(">HH", kind, cls)


def soa(zone, ttl=300, minimum=60):
    return rr(zone, SOA, ttl, name("ns." + zone) + name("admin." + zone) + struct.pack(">5I", 1, 2, 3, 4, minimum))


def rrsig(owner, covered, ttl=300):
    return rr(owner, RRSIG, ttl, struct.pack(">HBBIIIH", covered, 13, 2, ttl, 2, 1, 7) + name("example") + b"S" * 16)


def a(owner, last=1, ttl=300):
    return rr(owner, A, ttl, bytes([192, 0, 2, last]))


def alias(owner, to, ttl=300, kind=CNAME):
    return rr(owner, kind, ttl, to if isinstance(to, bytes) else name(to))


def queries():
    q = question("wWw.example.com")
    yield "plain", b"\0" + message(RD, q)
    yield "stream", b"\1" + message(RD, q, additional=[opt(option(11))])
    yield "opt", b"\2" + message(RD, q, additional=[opt(option(10, b"12345678") + option(3), 4096, 0x8000)])
    yield "ede", b"\6" + message(RD, question("x.example", 128), additional=[opt()])
    yield "badvers", b"\0" + message(RD, q, additional=[opt(ttl=0x00010000)])
    yield "two-opts", b"\0" + message(RD, q, additional=[opt(), opt()])
    yield "opt-owner", b"\0" + message(RD, q, additional=[rr("a", OPT, 0, b"", 1232)])
    yield "option-cut", b"\0" + message(RD, q, additional=[opt(b"\0\x0a\0\x09" + b"1" * 8)])
    yield "keepalive-time", b"\1" + message(RD, q, additional=[opt(option(11, b"\0\x64"))])
    yield "chaos-badvers", b"\0" + message(RD, question("x", TXT, 4))
    yield "nxname", b"\2" + message(RD, question("x", 128), additional=[opt()])
    yield "mailb", b"\0" + message(RD, question("x", 253))
    yield "type-zero", b"\0" + message(RD, question("x", 0))
    yield "tsig", b"\0" + message(RD, q, additional=[opt(), rr("key", 250, 0, b"k" * 20, 255)])
    yield "extra", b"\0" + message(RD, q, additional=[a(pointer(12)), opt()])
    yield "two-questions", b"\0" + message(RD, q + q, counts=(2, 0, 0, 0))
    yield "no-question", b"\0" + message(RD, b"", additional=[opt()])
    yield "counts", b"\0" + message(RD, q, counts=(1, 65535, 65535, 65535))
    yield "opcode", b"\0" + message(0x2800, q)
    yield "reply", b"\0" + message(QR, q)
    yield "pointer", b"\0" + message(RD, pointer(12) + b"\0\1\0\1", counts=(1, 0, 0, 0))
    yield "long-name", b"\0" + message(RD, question(".".join(["x" * 63] * 3 + ["y" * 61])))
    yield "chaos", b"\0" + message(RD, question("version.bind", TXT, 3))
    yield "any", b"\0" + message(RD, question("example.com", 255))
    yield "any-dnssec", b"\1" + message(RD, question("example.com", 255), additional=[opt(ttl=0x8000)])
    yield "localhost", b"\0" + message(RD, question("a.localhost", AAAA))
    yield "private", b"\0" + message(RD, question("1.0.0.127.in-addr.arpa", 12))
    yield "arpa-soa", b"\0" + message(RD, question("10.in-addr.arpa", SOA))
    yield "axfr", b"\0" + message(RD, question("example.com", 252))


def answers():
    def case(how, first, second=b""):
        return bytes([how]) + struct.pack(">H", len(first)) + first + second

    def reply(text, kind=A, rcode=0, flags=QR | RD | RA, **sections):
        return message(flags | rcode, question(text, kind), ident=0xABCD, **sections)

    www = "www.example"
    good = reply(www, answer=[a(pointer(12)), a(pointer(12), 2, 30)], additional=[opt()])
    yield "a", case(0, good)
    yield "a-stream", case(STREAM, reply(www, answer=[a(www)], additional=[opt(option(11, b"\0\x64") + option(15, b"\0\3x"))]))
    yield "mixed", case(MIXED, good)
    yield "mixed-twice", case(MIXED | FLOOR, reply("wWW.example", answer=[a(pointer(12))]), good)
    chain = [a("d.example", 1, 40), alias("c.example", "d.example"), alias(www, "B.example", 100),
             alias("b.example", "c.example", 20), a("stranger.example", 66)]
    yield "chain", case(0, reply(www, answer=chain))
    yield "chain-signed", case(DNSSEC, reply(www, answer=chain + [rrsig("d.example", A), rrsig(www, CNAME)],
                                             authority=[rr("x.example", NSEC, 60, name("y.example") + b"\0\1\1"),
                                                        rrsig("x.example", NSEC)], additional=[opt(ttl=0x8000)]))
    yield "dname", case(0, reply("x.old.example", answer=[alias("old.example", "new.example", kind=DNAME),
                                                          alias("x.old.example", "x.new.example"), a("x.new.example")]))
    yield "dname-wrong", case(0, reply("x.old.example", answer=[alias("old.example", "new.example", kind=DNAME),
                                                                alias("x.old.example", "y.new.example")]), good)
    yield "yxdomain", case(0, reply("x.old.example", rcode=6, answer=[alias("old.example", "new.example", kind=DNAME)]))
    yield "loop", case(0, reply("a.example", answer=[alias("a.example", "b.example"), alias("b.example", "a.example")]))
    yield "nxdomain", case(0, reply("no.example", rcode=3, authority=[soa("example")]))
    yield "nxdomain-signed", case(DNSSEC, reply("no.example", rcode=3, authority=[
        soa("example"), rrsig("example", SOA), rr("m.example", NSEC, 60, name("o.example") + b"\0\1\1"), rrsig("m.example", NSEC)]))
    yield "nodata", case(0, reply("no.example", AAAA, authority=[soa("example", 5, 500)]))
    yield "nodata-alias", case(0, reply(www, answer=[alias(www, "no.example")], rcode=3, authority=[soa("example")]))
    yield "referral", case(0, reply(www, flags=QR, authority=[alias("example", "ns.example", kind=NS)], additional=[a("ns.example")]))
    yield "mx", case(0, reply("example", MX, answer=[rr(pointer(12), MX, 60, b"\0\x0a" + b"\4mail" + pointer(12))],
                              additional=[a("mail.example"), rr("mail.example", AAAA, 60, b"\x20\1" + b"\0" * 14)]))
    yield "srv-naptr", case(0, reply("example", 255, answer=[
        rr(pointer(12), SRV, 60, b"\0\1\0\2\0\x35" + b"\1s" + pointer(12)),
        rr(pointer(12), NAPTR, 60, b"\0\1\0\2\1u\3E2U\0" + pointer(12)),
        rr(pointer(12), TXT, 60, b"\3abc"), soa("example")]))
    yield "old-types", case(0, reply("example", 255, answer=[
        rr(pointer(12), 17, 60, pointer(12) + pointer(12)), rr(pointer(12), 26, 60, b"\0\1" + pointer(12) + b"\0"),
        rr(pointer(12), 24, 60, b"\0\1\5\2" + b"\0" * 14 + pointer(12) + b"sig"), rr(pointer(12), 30, 60, pointer(12) + b"\x60"),
        rr(pointer(12), 14, 60, pointer(12) + pointer(12))]))
    yield "unknown", case(0, reply("example", 65280, answer=[rr(pointer(12), 65280, 60, b"\xc0\x0c" * 20)]))
    yield "ttls", case(FLOOR, reply(www, answer=[a(www, 1, 0xFFFFFFFF), a(www, 2, 1)]))
    yield "alias-out", case(ROUTES, reply(www, answer=[alias(www, "b.elsewhere")]),
                            reply("b.elsewhere", answer=[alias("b.elsewhere", "c.elsewhere"), a("c.elsewhere")]))
    yield "alias-out-nothing", case(ROUTES | DNSSEC, reply(www, answer=[alias(www, "b.elsewhere"), rrsig(www, CNAME)]),
                                    reply("b.elsewhere", rcode=3, authority=[soa("elsewhere"), rrsig("elsewhere", SOA)]))
    yield "alias-back", case(ROUTES, reply(www, answer=[alias(www, "b.elsewhere")]),
                             reply("b.elsewhere", answer=[alias("b.elsewhere", www), a(www)]))
    yield "truncated", case(0, reply(www, flags=QR | TC | RD | RA, answer=[a(www)]))
    yield "formerr", case(0, message(QR | 1, b"", ident=0xABCD))
    yield "formerr-opt", case(0, message(QR | 1, b"", additional=[opt(option(15, b"\0\x16no"))], ident=0xABCD))
    yield "notimp", case(NO_EDNS, message(QR | 4, b"", ident=0xABCD))
    yield "badvers", case(STREAM, reply(www, additional=[opt(ttl=0x01000000)]))
    yield "servfail", case(0, reply(www, rcode=2, additional=[opt(option(15, b"\0\x16"))]))
    yield "wrong-name", case(WRONG, good, good)
    for i in range(1, 7):
        yield f"lost-{i}", case(WRONG | STREAM, good, b"-" * i)
    yield "opt-in-answer", case(0, reply(www, answer=[opt(), a(www)]), good)
    yield "chaos-class", case(0, reply(www, answer=[rr(www, A, 60, b"12345", 3), a(www)]))
    yield "cut", case(0, good[:-14], good)
    yield "forward-pointer", case(0, reply(www, answer=[a(pointer(60))]), good)
    yield "rrsig-asked", case(0, reply(www, RRSIG, answer=[rrsig(www, A), rrsig(www, TXT)]))
    yield "many", case(0, reply(www, answer=[a(pointer(12), i % 23) for i in range(60)]))
    yield "many-mx", case(0, reply("q", MX, answer=[rr(pointer(12), MX, 60, bytes([0, i % 20]) + b"\4mail" + pointer(12))
                                                    for i in range(40)]))
    yield "long-chain", case(0, reply("0.example", answer=[alias(f"{i}.example", f"{i + 1}.example") for i in range(13)]))
    yield "alias-out-long", case(ROUTES, reply("0.example", answer=[alias(f"{i}.example", f"{i + 1}.example") for i in range(9)]
                                               + [alias("9.example", "0.else")]),
                                 reply("0.else", answer=[alias(f"{i}.else", f"{i + 1}.else") for i in range(9)] + [a("9.else")]))
    old = rr("old.example", DNAME, 60, name("old.example"))
    yield "dname-serves-twice", case(DNSSEC, reply("a.b.old.example", answer=[
        alias("b.old.example", "x.old.example", kind=DNAME), alias("old.example", "b.old.example", kind=DNAME),
        rrsig("old.example", DNAME), alias("a.b.old.example", "a.x.old.example"), alias("a.x.old.example", "a.x.b.old.example"),
        alias("a.x.b.old.example", "a.x.x.old.example"), a("a.x.x.old.example")]))
    yield "dname-doubled", case(0, reply("x.old.example", answer=[alias("old.example", "new.example", kind=DNAME),
                                                                  alias("old.example", "other.example", kind=DNAME),
                                                                  alias("x.old.example", "x.new.example"), a("x.new.example")]))
    yield "dname-itself", case(0, reply("x.old.example", answer=[old, alias("x.old.example", "x.old.example")]))
    yield "extras", case(ROUTES, reply("example", MX, answer=[rr("example", MX, 60, b"\0\1" + name("mail.example")),
                                                              rr("example", MX, 60, b"\0\2" + name("m.elsewhere"))],
                                       additional=[a("mail.example"), a("mail.example", 1, 7), a("mail.example", 2, 9),
                                                   a("m.elsewhere"), rr("mail.example", TXT, 60, b"\1x")]))
    yield "sig-nxt", case(0, reply("example", 255, answer=[
        rr("example", 24, 60, b"\0\1\5\2" + b"\0" * 14 + name("s.example") + b"sig"),
        rr("example", 24, 60, b"\0\1\5\2" + b"\0" * 14 + b"\1s" + pointer(12) + b"sig"),
        rr("example", 30, 60, name("n.example") + b"\x60"), rr("example", 30, 60, name("n.example") + b"\x60")]))
    yield "no-ra", case(0, reply(www, flags=QR, rcode=3))
    yield "denied-data", case(0, reply(www, rcode=3, answer=[a(www)]))
    yield "two-aliases", case(0, reply(www, answer=[alias(www, "a.example"), alias(www, "b.example"), a("a.example")]))
    # each target is written out in full, so the reply is larger than a message can be
    far = [rr(pointer(12), SRV, 60, struct.pack(">3H", 0, 0, 0) + name(".".join(["x" * 63] * 3 + ["y" * 60])))]
    far += [rr(pointer(12), SRV, 60, struct.pack(">3H", 0, 0, i) + pointer(12 + 7 + 18)) for i in range(1, 250)]
    yield "too-large", case(0, reply("q", SRV, answer=far))
    yield "yxdomain-long", case(DNSSEC, reply(".".join(["x" * 60] * 4), rcode=6, answer=[
        alias(".".join(["x" * 60] * 3), ".".join(["y" * 60] * 4), kind=DNAME), rrsig(".".join(["x" * 60] * 3), DNAME)]))
    yield "doubles", case(0, reply(www, answer=[alias(www, "b.example"), alias(pointer(12), "b.example"),
                                                a("b.example"), a("B.example")]))


def names():
    header = b"\0" * 12
    yield "plain", b"\x0c" + header + name("www.example.com")
    yield "several", b"\x0c" + header + name("www.example.com") + b"\1a" + pointer(12) + b"\4WWW2" + pointer(16) + pointer(29)
    yield "chain", b"\x0c" + header + b"\0" + b"".join(b"\1x" + pointer(12 if i == 0 else 13 + 4 * (i - 1)) for i in range(40))
    yield "self", b"\x0c" + header + pointer(12)
    yield "longest", b"\x0c" + header + name(".".join(["\xff" * 63] * 3 + ["\0" * 61]))
    yield "too-long", b"\x0c" + header + name(".".join(["x" * 63] * 3 + ["y" * 62]))
    yield "text", b"\0www.example.com."
    yield "text-escapes", b"\0a\\.b\\\\c.\\000\\255\\\"x\\@.\\$"
    yield "cases", b"\x0c" + header + name("a.Example") + name("A.eXAMPLE") + name("b.example") + b"\1B" + pointer(14)


def frames():
    def frame(octets):
        return struct.pack(">H", len(octets)) + octets

    one, two = frame(b"x" * 12), frame(bytes(range(256)))
    yield "several", b"\3" + one + two + one + two
    yield "octets", b"\0" + one + two
    yield "short", b"\4" + one + frame(b"x" * 11) + one
    yield "empty", b"\4" + frame(b"") + one
    yield "promise", b"\6" + one + b"\xff\xff" + b"y" * 100
    yield "growing", b"\5" + one + struct.pack(">H", 6000) + b"z" * 6000 + one + b"\x20\0" + b"z" * 1000
    yield "half-length", b"\6" + one + b"\0"


def https():
    DATA, HEADERS, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
    END, ACK, END_HEADERS, PADDED, PRIORITY = 1, 1, 4, 8, 32
    ours, page, good = b"application/dns-message", b"text/html", b"an answer!!!"

    def frame(kind, flags, stream, payload=b""):
        return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload

    def integer(value, bits, first=0):
        most = (1 << bits) - 1
        if value < most:
            return bytes([first | value])
        out, value = bytes([first | most]), value - most
        while value >= 128:
            out, value = out + bytes([value & 127 | 128]), value >> 7
        return out + bytes([value])

    def text(octets):
        return integer(len(octets), 7) + octets

    def field(key, value):
        return b"\0" + text(key) + text(value)

    def status(code):
        return b"\x08" + text(b"%d" % code)      # RFC 7541's table has :status at 8

    def fields(code=200, kind=ours, *more):
        return status(code) + (field(b"content-type", kind) if kind else b"") + b"".join(field(*m) for m in more)

    def head(stream, *args, flags=END_HEADERS):
        return frame(HEADERS, flags, stream, fields(*args))

    def answer(stream, body=good, *args):
        return head(stream, *args) + frame(DATA, END, stream, body)

    def setting(*pairs):
        return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *p) for p in pairs))

    def goaway(last, code=0):
        return frame(GOAWAY, 0, 0, struct.pack(">II", last, code))

    def reset(stream, code):
        return frame(RST, 0, stream, struct.pack(">I", code))

    def case(*frames, how=0x30, dice=14, settings=()):
        return bytes([how, dice]) + setting(*settings) + frame(SETTINGS, ACK, 0) + b"".join(frames)

    yield "answer", case(answer(1))
    yield "get", case(answer(1), how=0x31)
    yield "octets", case(answer(1), answer(3), dice=0)
    yield "backwards", case(*(answer(s) for s in (7, 5, 3, 1)))
    for dice in (4, 19, 34, 29, 44, 59, 74):        # in pieces of 16 octets at most, or all at once; much happens in between
        yield f"meddled-{dice}", case(*(answer(s) for s in range(31, 0, -2)), how=0xf0, dice=dice)
    yield "mixed", case(head(1), head(3), frame(DATA, 0, 3, good), frame(DATA, 0, 1, good), frame(DATA, END, 3), frame(DATA, END, 1))
    yield "pieces", case(head(1), *(frame(DATA, 0, 1, good[i:i + 3]) for i in range(0, 12, 3)), frame(DATA, END, 1))
    yield "padded", case(frame(HEADERS, END_HEADERS | PADDED, 1, b"\x05" + fields() + bytes(5)),
                         frame(DATA, END | PADDED, 1, b"\x03" + good + bytes(3)))
    yield "priority", case(frame(HEADERS, END_HEADERS | PRIORITY, 1, bytes(4) + b"\x10" + fields()), frame(DATA, END, 1, good))
    yield "continued", case(frame(HEADERS, 0, 1, fields()[:7]), frame(CONTINUATION, 0, 1, fields()[7:9]),
                            frame(CONTINUATION, END_HEADERS, 1, fields()[9:]), frame(DATA, END, 1, good))
    yield "trailers", case(head(1), frame(DATA, 0, 1, good), frame(HEADERS, END | END_HEADERS, 1, field(b"age", b"9")))
    yield "interim", case(frame(HEADERS, END_HEADERS, 1, status(103)), answer(1))
    yield "statuses", case(*(answer(s, good, code) for s, code in zip((1, 3, 5, 7, 9), (204, 301, 404, 500, 200))), how=0xf0)
    yield "rest", case(answer(1, b"", 429, None, (b"retry-after", b"2")), answer(3, b"", 503, page, (b"retry-after", b"86400")),
                       answer(5, b"", 503, page, (b"retry-after", b"Fri, 31 Dec 2100 23:59:59 GMT")), answer(7, b"", 429))
    yield "types", case(answer(1, good, 200, page), answer(3, good, 200, None), answer(5, good, 200, ours.upper() + b" ; a=b"),
                        answer(7, good, 200, ours + b"s"))
    yield "ages", case(*(answer(s, good, 200, ours, (b"age", age)) for s, age in ((1, b"250"), (3, b"x"), (5, b"9" * 20), (7, b""))))
    yield "lengths", case(*(answer(s, good, 200, ours, (b"content-length", n)) for s, n in ((1, b"12"), (3, b"11"), (5, b"13"), (7, b"x"))))
    yield "empty", case(frame(HEADERS, END | END_HEADERS, 1, fields()), frame(HEADERS, END | END_HEADERS, 3, fields(404)))
    yield "big", case(head(1), *(frame(DATA, 0, 1, b"x" * 4000) for _ in range(17)), frame(DATA, END, 1))
    yield "big-header", case(answer(1, good, 200, ours, (b"junk", b"j" * 7000)), answer(3),
                             frame(HEADERS, 0, 5, fields(200, ours, (b"junk", b"j" * 9000))),
                             frame(CONTINUATION, END_HEADERS, 5, field(b"junk", b"j" * 9000)), frame(DATA, END, 5, good))
    yield "two-heads", case(head(1), head(1), frame(DATA, END, 1, good))
    yield "data-first", case(frame(DATA, END, 1, good), answer(3))
    yield "data-after", case(answer(1), frame(DATA, END, 1, good), answer(3))
    yield "stranger", case(answer(99), answer(2))
    yield "push", case(frame(PUSH, END_HEADERS, 1, struct.pack(">I", 2) + fields()))
    yield "goaway", case(goaway(3), answer(1), answer(3))
    yield "goaway-none", case(goaway(0, 2))
    yield "goaway-later", case(goaway(0x7fffffff), answer(5), goaway(1), answer(1), how=0xf0)
    yield "resets", case(*(reset(s, code) for s, code in ((1, 7), (3, 8), (5, 1), (7, 0))), answer(9), how=0x70)
    yield "reset-middle", case(head(1), frame(DATA, 0, 1, good), reset(1, 0), answer(3))
    yield "one-stream", case(answer(1), answer(3), answer(5), settings=[(3, 1)])
    yield "no-stream", case(settings=[(3, 0)])
    yield "known-streams", case(answer(1), answer(3), setting((3, 9)), answer(5), how=0x34)
    yield "settings", case(setting((1, 0), (4, 100), (5, 20000), (6, 1000), (8, 1), (0x4242, 7)), answer(1))
    yield "settings-wrong", case(setting((2, 7)))
    yield "window", case(frame(WINDOW, 0, 0, struct.pack(">I", 1000)), frame(WINDOW, 0, 1, struct.pack(">I", 1)), answer(1),
                         frame(WINDOW, 0, 0, struct.pack(">I", 0x7fffffff)))
    yield "pings", case(*(frame(PING, 0, 0, bytes(8)) for _ in range(40)), frame(PING, ACK, 0, bytes(8)), answer(1), dice=5)
    yield "unknown-frame", case(frame(0x42, 3, 1, b"what"), answer(1))
    yield "table", case(frame(HEADERS, END_HEADERS, 1, b"\x88" + b"\x40" + text(b"content-type") + text(ours)), frame(DATA, END, 1, good),
                        frame(HEADERS, END_HEADERS, 3, b"\x88\xbe"), frame(DATA, END, 3, good))
    yield "hpack-wrong", case(frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff"))
    yield "upper-case", case(frame(HEADERS, END_HEADERS, 1, fields() + field(b"Age", b"1")), answer(3))
    yield "no-status", case(frame(HEADERS, END_HEADERS, 1, field(b"content-type", ours)), answer(3))
    yield "connection-fields", case(answer(1, good, 200, ours, (b"connection", b"close"), (b"transfer-encoding", b"chunked")))
    yield "http-1", b"\x10\x0eHTTP/1.1 400 Bad Request\r\n\r\n"


def confs():
    yield "empty", b""
    yield "small", b'listen: [127.0.0.1, "::1"]\nforward: [udp://192.0.2.1, tcp://192.0.2.2:5353]\n'
    yield "routes", (b"forward: [192.0.2.1]\nupstreams:\n  office:\n    url: tcp://192.0.2.3\nroutes:\n  corp.example: [office]\n"
                     b"  'b\\.c.example': [office, 192.0.2.4]\n")
    yield "cache", b"cache:\n  size: 64M\n  ttl-min: 0s\n  ttl-max: 1d\nquery-timeout: 4s\nthreads: 2\nallow: [127.0.0.0/8, '::1']\n"
    yield "unknown-key", b"thraeds: 4\nforward: [192.0.2.1]\n"
    yield "twice", b"threads: 1\nthreads: 2\n"
    yield "bad-yaml", b"listen: [127.0.0.1\nforward: {"
    yield "bad-values", b"cache: {size: 1X, ttl-max: -1}\nlog-level: loud\nlisten: [1.2.3]\nuser: \"\\x01\"\n"
    yield "not-utf8", b"user: \xff\xfe\n"
    yield "order", b"cache: {ttl-min: 2h, ttl-max: 1h, stale: 1d, prefetch: yes}\nquery-timeout: 12s\nresolve-timeout: 10s\n"
    yield "same-twice", b"listen: [127.0.0.1, 127.0.0.1:53]\nforward: [192.0.2.1]\nupstreams: {a: 192.0.2.1, b: {url: 192.0.2.1}}\n"
    yield "same-url", b"forward: [a, 192.0.2.1]\nupstreams: {a: {url: 192.0.2.1}, b: {url: 'udp://192.0.2.1:53'}, [c]: {}}\n"
    yield "addresses", (b"listen: ['192.0.2.1:', '192.0.2.1:x', '[1]', '[::1]x', '" + b"1" * 90 + b"']\nallow: ['[::1]', '1.2.3', '" +
                        b"1" * 90 + b"']\nforward: ['" + b"a." * 600 + b"', '[::1]', '" + b"1" * 90 + b":53']\n")
    yield "two-documents", b"threads: 1\n---\nthreads: 2\n"
    yield "resolv", (b"# of DHCP\nsearch a.example\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 # two\nnameserver 127.0.0.53\n"
                     b"nameserver 127.0.0.1\nnameserver ::1\nnameserver 192.0.2.1\nnameserver nonsense\nnameserver 192.0.2.2:5353\n")
    yield "resolv-many", b"".join(b"nameserver 192.0.2.%d\n" % i for i in range(12))
    yield "hints", (b"forward: [1.2.3@53, 192.0.2.1#53, 192.0.2.1#dns.example, tls://192.0.2.1, 224.0.0.1, ff02::1, 0.0.0.0, ups://1,\n"
                    b"  dns.example:53, 192.0.2.1/x, '192.0.2.1:0', 'fe80::1%nowhere', 'udp://[::1', no-such]\n")
    pin = b"sha256/" + b"A" * 43 + b"="
    yield "encrypted", (b"forward: ['tls://192.0.2.1#dns.example', 'https://192.0.2.2/q{?dns}#b.example.', 'https://[2001:db8::1]:8443',\n"
                        b"  a, b]\nupstreams:\n  a: {url: 'tls://192.0.2.3', pins: [" + pin + b"]}\n"
                        b"  b: {url: 'https://192.0.2.4#B.example', method: get, ca: /no/file, trusted: yes}\n")
    yield "encrypted-wrong", (b"forward: ['tls://192.0.2.1', 'https://192.0.2.2/a?b', 'https://192.0.2.2/" + b"x" * 300 + b"', 'http://1.2.3.4',\n"
                              b"  'tls://192.0.2.1#853', 'tls://192.0.2.1#a..b', 'tls://192.0.2.1#', 'h3://192.0.2.1', 'https://192.0.2.3#[::1]',\n"
                              b"  'tls://192.0.2.1#192.0.2.1:853']\nupstreams:\n  a: {url: 192.0.2.3, pins: [" + pin + b"]}\n"
                              b"  b: {url: 'tls://192.0.2.4', pins: [sha256/AAAA, md5/x, sha256/*, " + pin + b", " + pin + b"]}\n"
                              b"  c: {url: 'tls://192.0.2.5#c.example', method: get, ca: ''}\n  d: {url: 192.0.2.6, method: put, ca: /x}\n"
                              b"  e: {url: 'tls://192.0.2.7#e.example', pins: []}\n  f: {url: 'tls://192.0.2.7#f.example'}\n")
    yield "bootstrap", (b'forward: [tls://dns.example, "https://dns.example:8443/q#other.example", udp://a.b.:53, dns.example]\n'
                        b'bootstrap: [192.0.2.1, "tls://192.0.2.2#b.example", dns.example]\n')
    yield "bootstrap-good", (b'forward: [tls://dns.example, "https://dns.example:8443/q#other.example", udp://a.b.:53, a]\n'
                             b'bootstrap: [192.0.2.1, "tls://192.0.2.2#b.example", "tcp://[2001:db8::1]:54"]\n'
                             b'upstreams: {a: {url: tcp://A.b, trusted: no}}\n')
    yield "bootstrap-none", b"forward: [tls://dns.example, udp://a.b:0, udp://a.b.1, 'https://a.b:65536/']\n"
    yield "policies", (b"forward: [192.0.2.1]\npolicy: ordered\nroutes: {a.example: [192.0.2.2], b.example: [192.0.2.3]}\n"
                       b"route-policy: {A.example: spread, no.example: race, b.example: quick, '..': race}\n")
    yield "metrics", (b"listen: [127.0.0.1]\nmetrics-listen: [127.0.0.1, 127.0.0.1, '127.0.0.1:53', '192.0.2.1:1', /run/http, /run/http, x]\n"
                      b"metrics-hosts: [dns.example.net, a-b, -a, a..b, '', a_b]\n")
    yield "metrics-good", b"forward: [192.0.2.1]\nmetrics-listen: ['127.0.0.1:9153', '[::1]:9153', /run/http, '192.0.2.1:1']\nmetrics-hosts: [dns.example.net]\n"
    yield "metrics-same", b"forward: [192.0.2.1]\nmetrics-listen: [127.0.0.1, 127.0.0.1, '127.0.0.1:53', /run/http, /run/http]\n"
    yield "without-allow", b"listen: [192.0.2.1]\nforward: [192.0.2.2]\n"
    yield "tab", b"cache:\n\tsize: 1M\n"
    yield "at-sign", b"user: @x\n"
    yield "ipv6-bare", b"listen: [::1]\n"
    yield "aliases", b"user: &a x\nlog-level: *a\n*a : 1\nthreads: !int 2\nlisten: &b !s [::1]\ncache: &c !t {size: 1M}\n"
    yield "deep", b"user: " + b"[" * 20 + b"]" * 20 + b"\n"
    yield "long-list", b"listen: [" + b", ".join(b"127.0.0.%d" % i for i in range(67)) + b"]\n"
    yield "lists", b"listen:\n-\n- 127.0.0.1\n- [x]\n- {a: b}\nforward: []\nallow: 192.0.2.1\nroutes: {a.example: x}\n"
    yield "upstreams", (b"upstreams:\n  a: {url: 192.0.2.1, pins: [x], trusted: yes}\n  a: {url: 192.0.2.2}\n  1x: {url: 192.0.2.3}\n"
                        b"  b:\n  c: {}\n  d: [x]\n  e: {url: [x], uri: 1}\n")
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    yield "many-upstreams", f"upstreams: {{{','.join(a + b for a in letters[:20] for b in letters)}}}\n".encode()
    yield "bad-routes", (b"routes: {.: [192.0.2.1], a..b: [192.0.2.1], x.example: [192.0.2.1, 192.0.2.1], X.Example: [192.0.2.2],\n"
                         b"  'a\\.b.example': [nowhere], y.example: []}\n")
    yield "keys", b"[a]: 1\n? {b: c}\n: {d: e}\ncache: {threads: 1, [x]: y}\nsize: 1M\ncache.size: 1M\n\"a\\0b\": 1\n"
    yield "numbers", (b"query-timeout: 5\nresolve-timeout: 5x\nresend-after: 0s\nthreads: x\nmax-flights: 99999999999999999999\n"
                      b"edns-size: 1\ncase-mixing: maybe\nlocal-names:\ncache: {max-ttl: 1500ms, min-ttl: 9999999999999999d,\n"
                      b"  negative-ttl: 4h, stale: 1s, size: 1K}\n")
    yield "texts", b"user: \"\\0\"\nidentity: {version: '', hostname: \"\\u007f\"}\nresolv-file: \xc3\xa4\ncontrol-socket: ''\n"
    yield "here", (b"listen: [192.0.2.1, '[2001:db8::1]:53', 'fe80::1%1', '0.0.0.0:54']\nforward: [192.0.2.1, 127.0.0.1:54]\n"
                   b"allow: [10.0.0.0/8, 10.0.0.0/8, ::1, ::/0, '10.0.0.0/33', '::1%1', 'fe80::/10x']\n")
    yield "many-mistakes", b"a:\n" * 103
    yield "long-line", b"user: '" + b"\xc3\xa4" * 90 + b"' x: y\n" + b" " * 120 + b"strange: 1\n"
    yield "list-of-texts", b"- a\n- b\n"
    yield "words", b"127.0.0.1:5300\ntcp://192.0.2.1\n2\n/run/socket\n"
    yield "words-wrong", b"127.0.0.1:0\nhttp://192.0.2.1\nmany\n\x01\n"


def controls():
    def calls(*objects, cut=63):
        out = bytes([cut])
        for o in objects:
            out += (o if isinstance(o, bytes) else json.dumps(o).encode()) + b"\0"
        return out

    def call(method, parameters=None, **more):
        o = {"method": method, **more}
        if parameters is not None:
            o["parameters"] = parameters
        return o

    yield "info", calls(call("org.varlink.service.GetInfo"))
    yield "description", calls(call("org.varlink.service.GetInterfaceDescription", {"interface": "io.larder"}))
    yield "status", calls(call("io.larder.Status"), call("io.larder.Stats"), call("io.larder.Config"), cut=0)
    yield "flush", calls(call("io.larder.Flush", {}), call("io.larder.Flush", {"name": "A.example"}),
                         call("io.larder.Flush", {"name": "a.example", "type": "AAAA"}),
                         call("io.larder.Flush", {"name": "example", "subtree": True}))
    yield "reload", calls(call("io.larder.Reload"), call("io.larder.Reload", oneway=True))
    yield "unknown", calls(call("io.larder.Nothing"), call("no.such.Thing"), call("x"))
    yield "wrong", calls({"method": 1}, {}, b"[]", b"{", b"", {"method": "io.larder.Flush", "parameters": []})
    yield "wrong-parameters", calls(call("io.larder.Flush", {"name": 1}), call("io.larder.Flush", {"name": "a..b"}),
                                    call("io.larder.Flush", {"strange": True}))
    yield "upgrade", calls(call("io.larder.Status", upgrade=True), call("io.larder.Status", more=True, oneway=None))
    yield "needed", calls(call("org.varlink.service.GetInterfaceDescription"), call("org.varlink.service.GetInterfaceDescription", {}),
                          call("org.varlink.service.GetInterfaceDescription", {"interface": None}),
                          call("org.varlink.service.GetInterfaceDescription", {"interface": "no.such"}))
    yield "upstreams", calls(call("io.larder.Upstreams"), *(call("io.larder.SetUpstream", {"name": name, "order": order})
                                                            for name in ("u", "v") for order in ("up", "down", "auto", "reset", "x")))
    yield "flush-wrong", calls(call("io.larder.Flush", {"type": "A"}), call("io.larder.Flush", {"subtree": True}),
                               call("io.larder.Flush", {"name": "a", "type": "A", "subtree": True}),
                               call("io.larder.Flush", {"name": "a", "type": "TYPE0x"}),
                               call("io.larder.Flush", {"name": "a", "type": "ANY"}))
    yield "endless", b"\x3f" + b'{"method": "' + b"x" * 4200
    yield "no-end", b"\x10" + b'{"method": "io.larder.Status"' + b" " * 200


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "corpus")
    for target, seeds in (("query", queries), ("answer", answers), ("name", names), ("frames", frames), ("h2", https),
                          ("conf", confs), ("control", controls)):
        (folder / target).mkdir(parents=True, exist_ok=True)
        for seed, octets in seeds():
            (folder / target / seed).write_bytes(octets)


if __name__ == "__main__":
    main()
