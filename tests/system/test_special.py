"""Special-use names: conformance section 17, SPEC-* of tier core.

Each row is asked at the name, one label and five labels below it, for A,
AAAA, NS, SOA, DS and TXT, in mixed case, all in one go over one socket.
"NXDOMAIN" rows deny the name itself as well, for every type; an "empty zone"
has its SOA and NS, no other data, and nothing below.

Left out: SPEC-15 (tier dnssec); SPEC-10 with a configured RESINFO and SPEC-12
with DNS64, which this release does not have.
"""

import collections
import contextlib
import itertools
import random
import select
import struct

import pytest

from harness import (NOERROR, NXDOMAIN, TYPES, Larder, Opt, Upstream,
                     check_quiet, fresh_name, name_text, parse, qname,
                     qtype_number, query, reply, rr, soa)

ASKED = ["A", "AAAA", "NS", "SOA", "DS", "TXT"]
SOA, NS, PTR = TYPES["SOA"], TYPES["NS"], TYPES["PTR"]
RESINFO = 261
DO = Opt(do=1)
OURS = "192.0.2.77"         # what a route's own upstream says

REVERSE4 = (["10", "168.192", "0", "127", "254.169", "2.0.192", "100.51.198",
             "113.0.203", "255.255.255.255"]
            + [f"{n}.172" for n in range(16, 32)]
            + [f"{n}.100" for n in range(64, 128)])
REVERSE6 = ([".".join("0" * 32), ".".join("1" + "0" * 31), "d.f", "8.e.f",
             "9.e.f", "a.e.f", "b.e.f", "8.b.d.0.1.0.0.2"])
REVERSE = ([f"{z}.in-addr.arpa." for z in REVERSE4]
           + [f"{z}.ip6.arpa." for z in REVERSE6])
LOOP4, LOOP6 = "1.0.0.127.in-addr.arpa.", REVERSE6[1] + ".ip6.arpa."

# Asked at the borders of those zones: all of them ordinary.
NEIGHBOURS4 = ["15.172", "32.172", "172", "63.100", "128.100", "100", "9",
               "11", "1", "126", "128", "167.192", "169.192", "192",
               "253.169", "255.169", "169", "1.0.192", "3.0.192", "0.192",
               "99.51.198", "101.51.198", "51.198", "112.0.203", "114.0.203",
               "254.255.255.255", "255.255.255", "255.255", "255", "110",
               "010", "x10", "16.173", "10.172", "2.0.193"]
NEIGHBOURS6 = [".".join("2" + "0" * 31), ".".join("0" * 31),
               ".".join("0" * 30), "c.f", "e.f", "f", "7.e.f", "c.e.f",
               "f.f", "9.b.d.0.1.0.0.2", "b.d.0.1.0.0.2", "8.b.d.0.1.0.0.3"]
NEIGHBOURS = ([f"{z}.in-addr.arpa." for z in NEIGHBOURS4]
              + [f"{z}.ip6.arpa." for z in NEIGHBOURS6]
              + ["in-addr.arpa.", "ip6.arpa.", "arpa."])

DENIED = ["invalid.", "test.", "local.", "onion.", "6tisch.arpa.",
          "eap-noob.arpa."]
EMPTY = ["home.arpa.", "service.arpa."]
LOCAL = ["localhost.", *DENIED, *EMPTY, "resolver.arpa.", *REVERSE]


@pytest.fixture(scope="module")
def module_larder(module_upstream):
    """Patient, so that no question goes up twice on a busy machine."""
    with Larder([module_upstream], conf={"resend-after": "1s"}) as one:
        yield one


# --- asking much at once ----------------------------------------------------

def ask_many(larder, questions, **kw):
    """[Msg] for [(name, type)], 50 at a time over one UDP socket."""
    idents = random.sample(range(65536), len(questions))
    got, waiting = {}, iter(zip(idents, questions))
    with larder.udp_socket() as sock:
        for ident, (name, qtype) in itertools.islice(waiting, 50):
            sock.send(query(name, qtype, id=ident, **kw))
        while len(got) < len(questions):
            if not select.select([sock], [], [], 10)[0]:
                pytest.fail("no reply for %s" % [
                    q for i, q in zip(idents, questions) if i not in got][:5])
            msg = parse(sock.recv(65535))
            assert not msg.trailing and msg.id not in got, msg
            got[msg.id] = msg
            for ident, (name, qtype) in itertools.islice(waiting, 1):
                sock.send(query(name, qtype, id=ident, **kw))
    larder.check_running()
    for ident, (name, qtype) in zip(idents, questions):
        asked = got[ident].question
        assert [(q.name_wire, q.qtype, q.qclass) for q in asked] == [
            (qname(name), qtype_number(qtype), 1)], (name, got[ident])
    return [got[i] for i in idents]


def mixed(name):
    """The same name in letters of both cases, hexadecimal digits too."""
    return "".join(c.upper() if i % 2 else c.lower()
                   for i, c in enumerate(name))


def label():
    return fresh_name("x").split(".")[0]


def below(zone, deep=5):
    """One label and five labels below it."""
    return [f"{label()}.{zone}",
            ".".join([label(), *"abcd"[:deep - 1]]) + f".{zone}"]


def everywhere(zone, types=ASKED, forms=(str, mixed)):
    """The questions of this section about one zone, in odd letters, too."""
    names = [zone, *below(zone)]
    return [(form(name), qtype) for name in names for qtype in types
            for form in forms]


def is_top(name, zone):
    return qname(name).lower() == qname(zone)


# --- what an answer of larder's own looks like ------------------------------

def negative_soa(zone):
    """RDATA of the SOA in section 17's opening words."""
    return (qname(zone) + qname("nobody.invalid.")
            + struct.pack("!5I", 1, 3600, 1200, 604800, 10800))


def expanded_soa(msg, record):
    """RDATA of a SOA with its names written out."""
    mname, at = msg.name_at(record.rdata_at)
    rname, at = msg.name_at(at)
    assert at + 20 == record.rdata_at + len(record.rdata)
    return mname.lower() + rname.lower() + msg.wire[at:at + 20]


def check_soa(msg, record, zone):
    assert (record.name_wire.lower(), record.qtype, record.cls,
            record.ttl) == (qname(zone), SOA, 1, 10800), (msg, record)
    assert expanded_soa(msg, record) == negative_soa(zone), (msg, record)


def check_own(msg, rcode, do=0):
    """Header and OPT of local answers; no records of any proof."""
    assert (msg.rcode, msg.qr, msg.aa, msg.ra, msg.tc, msg.ad, msg.z) == (
        rcode, 1, 1, 1, 0, 0, 0), msg
    assert not msg.additional and not msg.ede, msg
    if msg.opt:
        assert msg.opt.do == do and msg.opt.ext_rcode == 0


def check_negative(msg, zone, rcode):
    check_own(msg, rcode, do=1 if msg.opt else 0)
    assert not msg.answer, msg
    record, = msg.authority
    check_soa(msg, record, zone)


def check_denied(msg, name, qtype, zone):
    check_negative(msg, zone, NXDOMAIN)


def check_empty_zone(msg, name, qtype, zone):
    """SOA and NS at the top, else NODATA there and NXDOMAIN below."""
    if not is_top(name, zone):
        return check_negative(msg, zone, NXDOMAIN)
    if qtype not in ("SOA", "NS"):
        return check_negative(msg, zone, NOERROR)
    check_own(msg, NOERROR, do=1 if msg.opt else 0)
    record, = msg.answer
    assert not msg.authority, msg
    if qtype == "SOA":
        return check_soa(msg, record, zone)
    assert (record.name_wire.lower(), record.qtype, record.cls,
            record.ttl) == (qname(zone), NS, 1, 10800), (msg, record)
    assert msg.name_at(record.rdata_at)[0].lower() == qname(zone), msg


def check_nodata(msg, name, qtype, zone):
    check_negative(msg, zone, NOERROR)


def check_address(msg, name, octets, qtype):
    check_own(msg, NOERROR, do=1 if msg.opt else 0)
    record, = msg.answer
    assert (record.name_wire.lower(), record.qtype, record.cls,
            record.rdata) == (qname(name).lower(), qtype, 1, octets), msg
    assert not msg.authority, msg


def check_localhost(msg, name, qtype, zone):
    if qtype == "A":
        check_address(msg, name, bytes([127, 0, 0, 1]), 1)
    elif qtype == "AAAA":
        check_address(msg, name, bytes(15) + b"\1", 28)
    else:
        check_negative(msg, zone, NOERROR)


def check_zone(larder, upstream, zone, check, types=ASKED, leave=()):
    """Everything about one zone, bare and with DO, and nothing goes up."""
    wrong = []
    for kw in ({}, {"opt": DO}, {"opt": DO, "cd": 1, "ad": 1}):
        questions = [(n, t) for n, t in everywhere(zone, types)
                     if (t, is_top(n, zone)) not in leave]
        for (name, qtype), msg in zip(questions,
                                      ask_many(larder, questions, **kw)):
            assert msg.cd == kw.get("cd", 0), msg
            try:
                check(msg, name, qtype, zone)
            except (AssertionError, ValueError) as error:
                wrong.append(f"{name} {qtype} {kw}: {str(error)[:300]}")
    assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:6])
    check_quiet(larder, upstream)


def has_addresses(ctx):
    """The default upstream, but for denials that may be kept for any name."""
    if ctx.qtype in (1, 28):
        ctx.default()
    else:
        ctx.send(reply(ctx.msg, [], [soa(".")]))


def says_ours(ctx):
    """The upstream of a route: one address for whatever it is asked."""
    ctx.send(reply(ctx.msg, [
        rr(ctx.msg.question[0].name_wire, "A", 300, OURS)]))


def check_ordinary(larder, upstream, names, types=ASKED):
    """All reach U once, are answered with what U says, and are kept."""
    questions = [(n, t) for n in names for t in types]
    upstream.handler = has_addresses
    for turn in ("miss", "hit"):
        replies = ask_many(larder, questions)
        for (name, qtype), msg in zip(questions, replies):
            assert (msg.rcode, msg.aa) == (NOERROR, 0), (turn, msg)
            expected = {"A": [(1, bytes([192, 0, 2, 1]))],
                        "AAAA": [(28, bytes.fromhex("20010db8") + bytes(11)
                                  + b"\1")]}.get(qtype, [])
            assert [(r.qtype, r.rdata) for r in msg.answer] == expected, msg
    seen = collections.Counter((e.msg.question[0].name_wire, e.qtype)
                               for e in upstream.entries())
    wrong = [q for q in questions
             if seen[qname(q[0]), qtype_number(q[1])] != 1]
    assert not wrong, wrong[:5]


# --- the rows ---------------------------------------------------------------

def test_spec_01_localhost(larder, upstream):
    """SPEC-01: localhost and all below: 127.0.0.1, ::1, else NODATA."""
    check_zone(larder, upstream, "localhost.", check_localhost,
               [*ASKED, "MX", "SVCB", "HTTPS", "TYPE65280"])


def test_spec_01_localhost_over_tcp_and_without_upstream(upstream):
    """SPEC-01: the same by TCP, and with nobody to ask."""
    with Larder() as alone:
        for name in ("localhost.", "LocalHost.", *below("localhost.")):
            check_address(alone.ask_tcp(name), name, bytes([127, 0, 0, 1]), 1)
            check_address(alone.ask(name, "AAAA"), name,
                          bytes(15) + b"\1", 28)
            check_negative(alone.ask_tcp(name, "TXT", opt=DO), "localhost.",
                           NOERROR)


@pytest.mark.parametrize("zone", ["invalid.", "test."])
def test_spec_02_invalid_and_test(larder, upstream, zone):
    """SPEC-02: NXDOMAIN for every name and type, quiet."""
    check_zone(larder, upstream, zone, check_denied,
               [*ASKED, "MX", "HTTPS", "TYPE65280"])


@pytest.mark.parametrize("zone", ["example.", "example.com.", "example.net.",
                                  "example.org."])
def test_spec_03_example(larder, upstream, zone):
    """SPEC-03: the example zones are ordinary, and so are their names."""
    check_ordinary(larder, upstream, [zone, *below(zone)])


def test_spec_04_local(larder, upstream):
    """SPEC-04: local is denied; multicast is not larder's."""
    check_zone(larder, upstream, "local.", check_denied,
               [*ASKED, "SRV", "PTR"])


def test_spec_05_onion(larder, upstream):
    """SPEC-05: onion is denied and stays out of the log."""
    zone = "onion."
    check_zone(larder, upstream, zone, check_denied)
    secret = fresh_name("hidden", zone)
    for kw in ({}, {"rd": 0}, {"opcode": 4}, {"qclass": 4}, {"opt": Opt()}):
        assert larder.ask(secret, **kw) is not None
        assert larder.ask_tcp(secret, **kw) is not None
    check_quiet(larder, upstream)
    assert "hidden" not in larder.log() and "onion" not in larder.log()


def test_spec_06_home_arpa(larder, upstream):
    """SPEC-06: home.arpa is an empty zone, but for DS at the name itself."""
    check_zone(larder, upstream, "home.arpa.", check_empty_zone,
               leave={("DS", True)})


NSEC = qname("horizon.arpa.") + b"\x00\x07\x22\x00\x00\x00\x00\x03\x80"
RRSIG = (struct.pack("!HBBIIIH", 47, 8, 2, 86400, 4000000000, 1600000000,
                     4711) + qname("arpa.") + bytes(range(128)))


def test_spec_06_ds_of_home_arpa(larder, upstream):
    """SPEC-06: DS of home.arpa is asked of U, whose proof goes to DO=1."""
    def script(ctx):
        if ctx.name != "home.arpa.":
            return ctx.default()
        authority = [soa("arpa.")]
        if ctx.msg.opt and ctx.msg.opt.do:
            authority += [rr("home.arpa.", "NSEC", 300, NSEC),
                          rr("home.arpa.", "RRSIG", 300, RRSIG)]
        ctx.send(reply(ctx.msg, [], authority, aa=1))

    upstream.handler = script
    for name in ("home.arpa.", "Home.ARPA."):
        for opt in (None, Opt(), DO):
            msg = larder.ask(name, "DS", opt=opt)
            assert (msg.rcode, msg.aa, msg.answer) == (NOERROR, 0, []), msg
            owners = [(name_text(r.name_wire, lower=True), r.qtype)
                      for r in msg.authority]
            if opt is DO:
                assert sorted(owners) == [
                    ("arpa.", SOA), ("home.arpa.", TYPES["RRSIG"]),
                    ("home.arpa.", TYPES["NSEC"])], msg
            else:
                assert owners == [("arpa.", SOA)], msg
    assert {(e.name, e.qtype) for e in upstream.entries()} == {
        ("home.arpa.", TYPES["DS"])}
    # And does not open the zone for anything else.
    check_negative(larder.ask("home.arpa.", opt=DO), "home.arpa.", NOERROR)
    check_negative(larder.ask(f"{label()}.home.arpa.", "DS", opt=DO),
                   "home.arpa.", NXDOMAIN)


def test_spec_07_reverse_zones(larder, upstream):
    """SPEC-07: all 97 are empty zones, at the top and below."""
    assert len(REVERSE) == len(set(REVERSE)) == 97
    wrong = []
    for form, kw in ((str, {}), (mixed, {"opt": DO})):
        questions = [(name, qtype, zone) for zone in REVERSE
                     for name, qtype in everywhere(zone, [*ASKED, "PTR"],
                                                   [form])
                     if (is_top(name, LOOP6), qtype) != (True, "PTR")]
        replies = ask_many(larder, [q[:2] for q in questions], **kw)
        for (name, qtype, zone), msg in zip(questions, replies):
            try:
                check_empty_zone(msg, name, qtype, zone)
            except (AssertionError, ValueError) as error:
                wrong.append(f"{name} {qtype} {kw}: {str(error)[:300]}")
    assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:6])
    check_quiet(larder, upstream)


def test_spec_07_addresses_in_them(larder, upstream):
    """SPEC-07: PTR of whole addresses at both ends of the ranges."""
    pairs = []
    for first, last in (("10.0.0.0", "10.255.255.255"),
                        ("172.16.0.0", "172.31.255.255"),
                        ("192.168.0.0", "192.168.255.255"),
                        ("100.64.0.0", "100.127.255.255"),
                        ("0.0.0.0", "0.255.255.255"),
                        ("127.0.0.0", "127.255.255.255"),
                        ("169.254.0.0", "169.254.255.255"),
                        ("192.0.2.0", "192.0.2.255"),
                        ("198.51.100.0", "198.51.100.255"),
                        ("203.0.113.0", "203.0.113.255"),
                        ("255.255.255.255", "255.255.255.255")):
        for address in (first, last):
            name = ".".join(reversed(address.split("."))) + ".in-addr.arpa."
            zone, = [z for z in REVERSE if ("." + name).endswith("." + z)]
            pairs.append((name, zone))
    for (name, zone), msg in zip(pairs, ask_many(
            larder, [(name, "PTR") for name, _ in pairs])):
        check_empty_zone(msg, name, "PTR", zone)
    check_quiet(larder, upstream)


def test_spec_07_neighbours(larder, upstream):
    """SPEC-07: what lies beside or above them is ordinary."""
    names = [n for zone in NEIGHBOURS for n in (zone, f"{label()}.{zone}")]
    check_ordinary(larder, upstream, names, ["PTR", "A", "SOA"])


class Routed:
    """One larderd with a route, a public and a private upstream."""

    def __init__(self, stack, routes):
        self.public, self.private = (stack.enter_context(Upstream())
                                     for _ in range(2))
        self.private.handler = says_ours
        self.larder = stack.enter_context(Larder([self.public], conf={
            "upstreams": {"ours": {"url": self.private.url}},
            "resend-after": "1s",
            "routes": {suffix: ["ours"] for suffix in routes}}))

    def check_ours(self, names):
        for name, msg in zip(names, ask_many(
                self.larder, [(n, "A") for n in names])):
            assert (msg.rcode, msg.a(), msg.aa) == (NOERROR, [OURS], 0), msg
            assert self.private.count(name) == 1, name
            assert self.public.count(name) == 0, name

    def check_local(self, names_zones):
        """Still larder's own: denials of the zone that holds the name."""
        for (name, zone), msg in zip(names_zones, ask_many(
                self.larder, [(n, "A") for n, _ in names_zones])):
            assert (msg.rcode, msg.aa) == (NXDOMAIN, 1), msg
            record, = msg.authority
            check_soa(msg, record, zone)
            assert self.private.count(name) + self.public.count(name) == 0


@pytest.mark.parametrize("zone", [
    "localhost.", *DENIED, *EMPTY, "resolver.arpa.", "10.in-addr.arpa.",
    "20.172.in-addr.arpa.", LOOP6, "d.f.ip6.arpa."])
def test_spec_02_07_a_route_for_the_zone_wins(zone):
    """SPEC-02, SPEC-07: a route for a zone of this section takes all of it
    to its upstream, and nothing else."""
    with contextlib.ExitStack() as stack:
        scene = Routed(stack, [zone.rstrip(".")])
        scene.check_ours([zone, *below(zone)])
        for name in (mixed(below(zone)[0]), f"{label()}.{zone}"):
            assert scene.larder.ask(name, "A").a() == [OURS]
        scene.check_local(
            [(f"{label()}.{z}", z) for z in LOCAL
             if z not in (zone, "localhost.", "resolver.arpa.")])
        if zone != "localhost.":
            assert scene.larder.ask("localhost.").a() == ["127.0.0.1"]


def test_spec_07_a_route_above():
    """SPEC-07: a route for in-addr.arpa is the one switch that sends all of
    those zones to a chosen upstream; ip6.arpa beside it stays."""
    with contextlib.ExitStack() as stack:
        scene = Routed(stack, ["in-addr.arpa"])
        names = [n for zone in REVERSE if zone.endswith(".in-addr.arpa.")
                 for n in (zone, f"{label()}.{zone}")]
        scene.check_ours([*names, "in-addr.arpa.", LOOP4])
        scene.check_local([(f"{label()}.{zone}", zone) for zone in REVERSE
                           if zone.endswith(".ip6.arpa.")])


def test_spec_07_a_route_below():
    """SPEC-02, SPEC-06, SPEC-07: a route below such a zone wins for what is
    below the route, on label borders; the rest of the zone stays local."""
    with contextlib.ExitStack() as stack:
        scene = Routed(stack, ["3.2.10.in-addr.arpa", "lab.test",
                               "office.Home.ARPA", "b.a.d.f.ip6.arpa"])
        scene.check_ours([
            "3.2.10.in-addr.arpa.", "4.3.2.10.in-addr.arpa.",
            "lab.test.", "a.b.c.d.lab.test.", "office.home.arpa.",
            f"{label()}.office.home.arpa.", "b.a.d.f.ip6.arpa.",
            f"{label()}.b.a.d.f.ip6.arpa."])
        scene.check_local([
            ("13.2.10.in-addr.arpa.", "10.in-addr.arpa."),
            ("4.2.10.in-addr.arpa.", "10.in-addr.arpa."),
            ("test.", "test."), ("xlab.test.", "test."),
            ("lab.test.test.", "test."), (r"x\.lab.test.", "test."),
            ("xoffice.home.arpa.", "home.arpa."),
            ("home.home.arpa.", "home.arpa."),
            ("c.a.d.f.ip6.arpa.", "d.f.ip6.arpa.")])


def test_spec_02_07_switched_off():
    """SPEC-02, SPEC-07: `local-names: no`: all of them are ordinary."""
    with Upstream() as server, Larder([server], conf={
            "local-names": False, "resend-after": "1s"}) as own:
        check_ordinary(own, server,
                       [n for zone in LOCAL for n in (zone, below(zone)[0])],
                       ["A", "TXT"])
        check_ordinary(own, server, [LOOP4], ["PTR"])


def test_spec_08_loopback_pointers(larder, upstream):
    """SPEC-08: PTR of 127.0.0.1 and ::1 is localhost; other types NODATA."""
    zones = {LOOP4: "127.in-addr.arpa.", LOOP6: LOOP6}
    for top, zone in zones.items():
        for name in (top, mixed(top)):
            for opt in (None, DO):
                msg = larder.ask(name, "PTR", opt=opt)
                check_own(msg, NOERROR, do=1 if opt else 0)
                record, = msg.answer
                assert (record.name_wire.lower(), record.qtype,
                        record.cls) == (qname(top), PTR, 1), msg
                target = msg.name_at(record.rdata_at)[0]
                assert target == qname("localhost."), msg
                assert not msg.authority
            for qtype in ("A", "TXT", "CNAME"):
                check_negative(larder.ask(name, qtype), zone, NOERROR)
            check_negative(larder.ask(f"{label()}.{name}", "PTR"), zone,
                           NXDOMAIN)
    # Beside it nobody has a name.
    for host in ("2.0.0.127", "1.0.1.127", "1.0.0.128.127", "11.0.0.127"):
        check_negative(larder.ask(f"{host}.in-addr.arpa.", "PTR"),
                       "127.in-addr.arpa.", NXDOMAIN)
    check_quiet(larder, upstream)


def test_spec_08_between_the_zone_and_the_pointer(larder, upstream):
    """SPEC-08: the names between 127.in-addr.arpa and the pointer exist, so
    that a denial of them does not deny the pointer (8020)."""
    for name in ("0.127.in-addr.arpa.", "0.0.127.in-addr.arpa."):
        for qtype in ("A", "PTR", "NS"):
            check_negative(larder.ask(name, qtype), "127.in-addr.arpa.",
                           NOERROR)
    check_quiet(larder, upstream)


@pytest.mark.parametrize("rd", [0, 1])
def test_spec_09_resolver_arpa(larder, upstream, rd):
    """SPEC-09: NODATA for all types at all names, RD=0 too."""
    zone = "resolver.arpa."
    check_zone(larder, upstream, zone, check_nodata,
               [*ASKED, "SVCB", "HTTPS", "MX", "TYPE65280"])
    names = [zone, mixed(zone), "_dns.resolver.arpa.", *below(zone)]
    questions = [(n, t) for n in names for t in [*ASKED, "SVCB"]]
    for (name, qtype), msg in zip(questions,
                                  ask_many(larder, questions, rd=rd)):
        assert msg.rd == rd
        check_nodata(msg, name, qtype, zone)
        msg = larder.ask_tcp(name, qtype, rd=rd, opt=DO)
        check_nodata(msg, name, qtype, zone)
    check_quiet(larder, upstream)


def test_spec_10_resinfo(larder, upstream):
    """SPEC-10: RESINFO: NODATA at resolver.arpa, ordinary elsewhere."""
    for name in ("resolver.arpa.", *below("resolver.arpa.")):
        for rd in (0, 1):
            check_nodata(larder.ask(name, RESINFO, rd=rd), name, RESINFO,
                         "resolver.arpa.")
    check_quiet(larder, upstream)
    octets = b"\x08qnamemin\x09exterr=15"
    name = fresh_name("resolver")
    upstream.handler = lambda ctx: (
        ctx.send(reply(ctx.msg, [rr(name, RESINFO, 300, octets)]))
        if ctx.name == name else ctx.default())
    for _ in ("miss", "hit"):
        msg = larder.ask(name, RESINFO)
        assert [(r.qtype, r.rdata) for r in msg.answer] == [
            (RESINFO, octets)], msg
        assert msg.aa == 0
    assert upstream.count(name, RESINFO) == 1


def test_spec_11_service_arpa(larder, upstream):
    """SPEC-11: service.arpa is an empty zone."""
    check_zone(larder, upstream, "service.arpa.", check_empty_zone)


def test_spec_11_default_service_arpa(larder, upstream):
    """SPEC-11: default.service.arpa and below: NXDOMAIN for every type."""
    zone = "default.service.arpa."
    questions = everywhere(zone, [*ASKED, "PTR", "SRV"])
    questions.append(("_dnssd-srp._tcp." + zone, "SRV"))
    for (name, _), msg in zip(questions, ask_many(larder, questions)):
        check_negative(msg, "service.arpa.", NXDOMAIN)
    check_quiet(larder, upstream)


@pytest.mark.parametrize("zone", ["ipv4only.arpa.",
                                  "170.0.0.192.in-addr.arpa.",
                                  "171.0.0.192.in-addr.arpa."])
def test_spec_12_ipv4only_arpa(larder, upstream, zone):
    """SPEC-12: without DNS64 these are ordinary names."""
    check_ordinary(larder, upstream, [zone, *below(zone)], [*ASKED, "PTR"])


@pytest.mark.parametrize("zone", ["alt.", "internal."])
def test_spec_13_alt_and_internal(larder, upstream, zone):
    """SPEC-13: alt and internal are ordinary: forwarded and kept."""
    check_ordinary(larder, upstream, [zone, *below(zone)])


@pytest.mark.parametrize("zone", ["6tisch.arpa.", "eap-noob.arpa."])
def test_spec_14_bootstrapping_zones(larder, upstream, zone):
    """SPEC-14: 6tisch.arpa and eap-noob.arpa are denied."""
    check_zone(larder, upstream, zone, check_denied)


def test_spec_01_02_04_05_label_borders(larder, upstream):
    """SPEC-01 to SPEC-14: zones end where labels do: a name that only looks
    like one of theirs is ordinary."""
    names = []
    for zone in ("localhost", "test", "invalid", "local", "onion"):
        names += [f"{label()}x{zone}.", f"{zone}{label()}.",
                  f"{zone}.{label()}.example.", rf"{label()}\.{zone}.",
                  rf"{zone}\000{label()}.", f"{zone}.{zone}x."]
    for zone in ("home", "service", "resolver", "6tisch", "eap-noob"):
        names += [f"{label()}x{zone}.arpa.", rf"{label()}.{zone}\.arpa.",
                  rf"{label()}\.{zone}.arpa.", f"{zone}.arpa.{label()}.",
                  f"{zone}.{label()}arpa."]
    names += [rf"{label()}\.10.in-addr.arpa.", r"1.10\.in-addr.arpa.",
              "10.in-addr.arpa.example."]
    check_ordinary(larder, upstream, names, ["A", "SOA"])
