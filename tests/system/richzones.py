"""Zones with something of everything, and questions about them, from a seed.

`Zones(seed).write(folder)` puts the zones where realservers.Nsd and Unbound
look for them: example.net without signatures, example.com signed with NSEC,
example.org signed with NSEC3, a reverse zone, and a root that delegates to
them, so that a DS question is answered as a parent answers it.  The names of
the three are made alike; what differs is drawn from the seed.

`Zones.questions(count)` draws questions, each with a way to ask it.  All life
times are either 0, or so short that they end within a test (SHORT_S at most),
or so long that they do not: only for the last can a TTL be compared with one
seen earlier.
"""

import random
import shutil
import string
from pathlib import Path
from typing import NamedTuple

import realservers

PLAIN, NSEC, NSEC3 = "example.net", "example.com", "example.org"
REVERSE = "128.100.in-addr.arpa"
SHORT_S = 5
LONG_S = 120

TYPES = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "HINFO": 13, "MX": 15,
    "TXT": 16, "RP": 17, "AFSDB": 18, "AAAA": 28, "LOC": 29, "SRV": 33,
    "NAPTR": 35, "KX": 36, "CERT": 37, "DNAME": 39, "DS": 43, "SSHFP": 44,
    "RRSIG": 46, "NSEC": 47, "DNSKEY": 48, "NSEC3": 50, "NSEC3PARAM": 51,
    "TLSA": 52, "SMIMEA": 53, "OPENPGPKEY": 61, "SVCB": 64, "HTTPS": 65,
    "SPF": 99, "EUI48": 108, "EUI64": 109, "URI": 256, "CAA": 257,
}
COMMON = ("A", "AAAA", "TXT", "MX", "HTTPS", "SRV", "NS", "SOA", "CNAME",
          "CAA", "DS", "TLSA", "SVCB", "PTR", "DNAME")
SIZES = (512, 600, 1000, 1232, 1400, 4096, 65535)


class Asked(NamedTuple):
    """A question and how a client asks it."""

    name: str               # master-file text with its final dot
    qtype: int
    tcp: bool
    size: int               # of the client's OPT; 0: it sends none
    do: bool
    cd: bool
    steady: bool            # no life time ends while the test runs

    @property
    def key(self):
        """What the content of an answer depends on."""
        return self.name.lower(), self.qtype, self.do, self.cd


def _quoted(rng, octets):
    """TXT strings of that many letters."""
    text = "".join(rng.choices(string.ascii_letters, k=octets))
    return " ".join(f'"{text[i:i + 250]}"' for i in range(0, octets, 250))


def _hex(rng, octets):
    return "".join(rng.choices("0123456789abcdef", k=2 * octets))


class Zones:
    """What the zones hold, and what may be asked of them."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.lines = {zone: [] for zone in (PLAIN, NSEC, NSEC3, REVERSE)}
        self.names = []         # (name, its types, steady)
        self.unseen = []        # names that no line holds: wildcards, absent
        for zone in (PLAIN, NSEC, NSEC3):
            self._fill(zone)
        self._fill_reverse()

    # -- making zones

    def _ttl(self):
        return self.rng.choice((LONG_S, 300, 301, 3600, 86400, 86401, 200000))

    def _add(self, zone, label, *records, ttl=None):
        """One name with records given as "TYPE data"."""
        steady = ttl is None or ttl >= LONG_S
        types = []
        by_type = {}
        for record in records:
            rtype, data = record.split(" ", 1)
            by_type.setdefault(rtype, ttl if ttl is not None else self._ttl())
            self.lines[zone].append(f"{label} {by_type[rtype]} {rtype} {data}")
            types.append(rtype)
        full = f"{zone}." if label == "@" else f"{label}.{zone}."
        if not label.startswith("*"):
            self.names.append((full, sorted(set(types)), steady))

    def _fill(self, zone):
        rng = self.rng
        minimum = {PLAIN: 600, NSEC: 900, NSEC3: 300}[zone]
        self.lines[zone] += [
            f"$ORIGIN {zone}.",
            f"@ 3600 SOA ns1 hostmaster 1 3600 900 604800 {minimum}"]
        self._add(zone, "@", "NS ns1", "NS ns2", "A 203.0.113.9",
                  "MX 10 mail", "MX 20 Mail.example.net.",
                  'TXT "v=spf1 -all"', 'CAA 0 issue "ca.example.net"')
        self._add(zone, "ns1", "A 203.0.113.1", "AAAA 2001:db8::1")
        self._add(zone, "ns2", "A 203.0.113.2")
        self._add(zone, "mail", "A 203.0.113.25", "AAAA 2001:db8::25")
        self._hosts(zone)
        self._types(zone)
        self._aliases(zone)
        self._wildcards(zone)
        self._large(zone)
        for i in range(6):
            self._add(zone, f"short{i}", f"A 203.0.113.{i}",
                      ttl=rng.randint(1, SHORT_S))
            self._add(zone, f"zero{i}", f"A 203.0.113.{i}", 'TXT "0"', ttl=0)
        if zone == NSEC:
            for i in range(8):
                self._add(zone, f"bogus{i}", f"A 203.0.113.{200 + i}")

    def _hosts(self, zone):
        rng = self.rng
        for i in range(40):
            label = rng.choice((f"h{i}", f"H{i}", f"Host-{i}.Deep",
                                f"h{i}.a.b", f"_x{i}._tcp"))
            records = [f"A 203.0.113.{rng.randrange(256)}"
                       for _ in range(rng.randint(1, 4))]
            records += [f"AAAA 2001:db8::{rng.randrange(65536):x}"
                        for _ in range(rng.randint(0, 3))]
            self._add(zone, label, *sorted(set(records)))
        for octet in (0, 9, 32, 46, 92, 127, 128, 201, 255):
            self._add(zone, f"odd\\{octet:03d}x", "A 203.0.113.77")
        self._add(zone, "x" * 63, "A 203.0.113.63", 'TXT "63"')
        self._add(zone, ".".join(["y" * 60] * 3 + ["z" * 40]),
                  "A 203.0.113.250")
        self._add(zone, "leaf.below.empty", "A 203.0.113.31")
        self._add(zone, "very.deep.under.nothing.at.all", 'TXT "ent"')

    def _types(self, zone):
        rng = self.rng
        rows = [
            "SRV 1 2 5060 sip.Example.Net.", "SRV 1 3 5061 mail",
            'NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@example.net!" .',
            'HINFO "ABC" "DEF"', "RP root.Mail mail", "AFSDB 1 mail",
            "LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m",
            "KX 10 mail", "SSHFP 1 1 " + _hex(rng, 20),
            "TLSA 3 1 1 " + _hex(rng, 32), "SMIMEA 3 1 1 " + _hex(rng, 32),
            'URI 10 1 "https://example.net/"', "EUI48 00-00-5e-00-53-2a",
            "EUI64 00-00-5e-ef-10-00-00-2a", 'SPF "v=spf1 -all"',
            "CERT 1 0 0 AAAA", "OPENPGPKEY AAECAwQFBgc=",
            'HTTPS 1 . alpn="h2,h3" ipv4hint=203.0.113.5 port=8443',
            "SVCB 1 Svc.Mail alpn=h2 key65000=abc", "PTR MixedCase.Mail",
            'CAA 128 issuewild ";"',
        ]
        for i, row in enumerate(rows):
            self._add(zone, f"t{i}", row)
        for i, size in enumerate((0, 1, 4, 17, 255, 300)):
            data = f"\\# {size} {_hex(rng, size)}".rstrip()
            self._add(zone, f"unknown{i}", f"TYPE{65280 + i} {data}",
                      f"TYPE{1000 + i} {data}")
        self._add(zone, "twins", "SRV 1 2 5060 mail", "SRV 2 2 5060 mail",
                  "AFSDB 1 mail", "AFSDB 2 mail", "KX 1 mail", "KX 2 mail",
                  "RP mail mail")
        self._add(zone, "all", "A 203.0.113.8", "AAAA 2001:db8::8", *rows[:6],
                  'TXT "one" "two"', 'TXT ""')

    def _aliases(self, zone):
        rng = self.rng
        for length in range(1, 9):
            for i in range(length):
                to = f"c{length}-{i + 1}" if i + 1 < length else "mail"
                self._add(zone, f"c{length}-{i}", f"CNAME {to}")
        others = [z for z in (PLAIN, NSEC, NSEC3) if z != zone]
        for i, other in enumerate(others):
            self._add(zone, f"cross{i}", f"CNAME mail.{other}.")
            self._add(zone, f"lostin{i}", f"CNAME nowhere.{other}.")
            self._add(zone, f"twice{i}", f"CNAME cross{rng.randrange(2)}"
                                         f".{other}.")
            self._add(zone, f"tree{i}", f"DNAME {other}.")
            self._add(zone, f"wide{i}", f"DNAME wild.{other}.")
        self._add(zone, "lost", "CNAME missing")
        self._add(zone, "half", "CNAME ns2")
        self._add(zone, "into-ent", "CNAME below.empty")
        self._add(zone, "limb", "DNAME deep.a")
        for i in range(2):
            self.unseen += [f"{n}.tree{i}.{zone}." for n in
                            ("mail", "ns2", "all", "no", "c3-0", "lost")]
            self.unseen += [f"{n}.wide{i}.{zone}." for n in ("x", "y.z")]

    def _wildcards(self, zone):
        self._add(zone, "*.wild", "A 203.0.113.90", 'TXT "wild"', "MX 1 mail")
        self._add(zone, "own.wild", "AAAA 2001:db8::91")
        self._add(zone, "*.alias", "CNAME mail")
        self._add(zone, "*.away", f"CNAME h0.{PLAIN}.")
        for i in range(12):
            self.unseen += [f"w{i}.wild.{zone}.", f"w{i}.alias.{zone}.",
                            f"a{i}.b.wild.{zone}.", f"w{i}.away.{zone}."]
        self.unseen += [f"below.own.wild.{zone}.", f"*.wild.{zone}.",
                        f"wild.{zone}."]
        self.unseen += [f"{n}.{zone}." for n in (
            "empty", "below.empty", "at.all", "nothing.at.all", "all.x",
            "x.leaf.below.empty", "deep.under.nothing.at.all", "alias")]
        for i in range(30):
            self.unseen += [f"no{i}.{zone}.", f"no{i}.mail.{zone}.",
                            f"a.b.no{i}.{zone}."]

    def _large(self, zone):
        rng = self.rng
        for i, count in enumerate((20, 28, 30, 60, 70, 75, 120, 400)):
            self._add(zone, f"many{i}", *(
                f"A 203.0.{rng.randrange(256)}.{k % 256}"
                for k in range(count)))
        for i, octets in enumerate((380, 430, 460, 500, 1000, 1130, 1180, 1250,
                                    2000, 4000, 12000, 40000)):
            self._add(zone, f"big{i}", "TXT " + _quoted(rng, octets))
        self._add(zone, "bigmx", *(
            f"MX {k} a-rather-long-name-of-a-mail-host-{k}.mail"
            for k in range(14)))
        for k in range(14):
            self._add(zone, f"a-rather-long-name-of-a-mail-host-{k}.mail",
                      f"A 203.0.113.{k}", f"AAAA 2001:db8::{k}")

    def _fill_reverse(self):
        self.lines[REVERSE] += [
            f"$ORIGIN {REVERSE}.",
            "@ 3600 SOA ns1.example.net. hostmaster.example.net. 1 2 3 4 300",
            "@ 3600 NS ns1.example.net."]
        for i in range(20):
            self._add(REVERSE, f"{i}.7", f"PTR Host{i}.Example.NET.")
            self.unseen.append(f"{i}.8.{REVERSE}.")

    # -- writing zones

    def write(self, folder):
        folder = Path(folder)
        root = [". 3600 SOA a.example.net. h.example.net. 1 2 3 4 300",
                ". 3600 NS ns1.example.net.",
                *(f"{z}. 3600 NS ns1.{z}." for z in (PLAIN, NSEC, NSEC3)),
                f"{REVERSE}. 3600 NS ns1.example.net.",
                *(f"ns1.{z}. 3600 A 203.0.113.1"
                  for z in (PLAIN, NSEC, NSEC3))]
        (folder / "root.zone").write_text("\n".join(root) + "\n")
        for zone, lines in self.lines.items():
            (folder / f"{zone}.zone").write_text("\n".join(lines) + "\n")
        keys = [self._sign(folder, NSEC), self._sign(folder, NSEC3, "-n")]
        (folder / f"{realservers.SIGNED}.key").write_text("".join(keys))
        self._spoil(folder / f"{NSEC}.zone")

    @staticmethod
    def _sign(folder, zone, *options):
        """Signs a zone in place; gives the key as unbound wants it."""
        shutil.move(folder / f"{zone}.zone", folder / "unsigned")
        key = realservers._tool(realservers.which("ldns-keygen"), "-a",
                                "ECDSAP256SHA256", "-k", zone,
                                cwd=folder).split()[-1]
        realservers._tool(realservers.which("ldns-signzone"), *options, "-f",
                          f"{zone}.zone", "unsigned", key, cwd=folder)
        return (folder / f"{key}.key").read_text()

    @staticmethod
    def _spoil(path):
        """Other addresses than those signed for bogus0, bogus1 …"""
        lines, spoiled = path.read_text().splitlines(), 0
        for i, line in enumerate(lines):
            if line.startswith("bogus") and "\tA\t" in line:
                lines[i] = line.rsplit(".", 1)[0] + ".66"
                spoiled += 1
        assert spoiled == 8, spoiled
        path.write_text("\n".join(lines) + "\n")

    # -- asking

    def _cased(self, name):
        """The name in some letter case."""
        rng, how = self.rng, self.rng.random()
        if how < 0.5:
            return name
        if how < 0.65:
            return name.upper()
        return "".join(c.upper() if rng.random() < 0.5 else c.lower()
                       for c in name)

    def _how(self, name, qtype, steady):
        rng = self.rng
        size = rng.choice((0, 0, *SIZES))
        return Asked(self._cased(name), qtype, rng.random() < 0.3, size,
                     bool(size) and rng.random() < 0.6,
                     rng.random() < 0.2, steady)

    def _number(self, rtype):
        return int(rtype[4:]) if rtype.startswith("TYPE") else TYPES[rtype]

    @staticmethod
    def _settled(name, rtype):
        """Whether unbound's answer does not depend on what it has cached.

        Of an alias that leads nowhere, or is made from a DNAME, it gives the
        CNAME alone, or all that the server sent beside it.
        """
        return rtype != "CNAME" or not (name.startswith("lost")
                                        or ".tree" in name or ".wide" in name)

    def _pairs(self):
        """All names with their own types, then with types drawn for them."""
        rng = self.rng
        for name, types, steady in self.names:
            alias = {"CNAME", "DNAME"} & set(types)
            for rtype in (*types, *rng.sample(COMMON, 4 if alias else 2)):
                if self._settled(name, rtype):
                    yield name, self._number(rtype), steady
        for name in self.unseen:
            # The alias that unbound makes from a DNAME has TTL 0 at first.
            steady = ".tree" not in name and ".wide" not in name
            for rtype in ("A", *rng.sample(COMMON, 2)):
                if self._settled(name, rtype):
                    yield name, TYPES[rtype], steady
        for zone in (PLAIN, NSEC, NSEC3):
            for rtype in ("SOA", "NS", "DNSKEY", "NSEC3PARAM", "DS", "NSEC",
                          "RRSIG"):
                yield f"{zone}.", TYPES[rtype], True
            for number in (1500, 61000, 65281):
                yield f"mail.{zone}.", number, True
        yield ".", TYPES["NS"], True
        yield ".", TYPES["SOA"], True

    def questions(self, count):
        """At least `count` questions in an order drawn from the seed."""
        pairs = list(self._pairs())
        asked = [self._how(*pair) for pair in pairs]
        while len(asked) < count:
            asked.append(self._how(*self.rng.choice(pairs)))
        for i in range(8):              # each both ways
            name = f"bogus{i}.{NSEC}."
            asked += [Asked(name, 1, False, 1232, False, cd, True)
                      for cd in (False, True)]
        self.rng.shuffle(asked)
        return asked
