"""Thousands of questions to the upstream and to larderd: the same answers.

The zones and the questions come from a seed (LARDER_SEED, or a fixed one),
which is printed.  unbound is asked everything by TCP, so that nothing is cut;
then larderd is asked twice, in the clients' own ways: what it must fetch, and
what it must hold.  What has to pass through is compared whole:

  - the rcode, and the answer section: records, and order of the alias chain;
  - the SOA of negative answers, and the proofs for DO=1;
  - RD, RA, CD, the question to the letter, DO, an OPT for those who sent one;
  - TTLs never above the upstream's, and lower by the whole seconds between.

larder drops what nobody needs: NS records in authority, and additional
records other than addresses; AD is 0 because the upstream is plain UDP.
"""

import os
import time
from collections import Counter
from math import floor
from typing import NamedTuple

import pytest

import harness
import pipeline
import realservers
import richzones

COUNT = 2600
SEED = int(os.environ.get("LARDER_SEED", "20240229"))
NEEDED = realservers.missing("nsd", "unbound", "ldns-keygen", "ldns-signzone")
pytestmark = pytest.mark.skipif(bool(NEEDED),
                                reason=f"not installed: {NEEDED}")
UDP_MAX = 1232
TTL_MAX = 86400
# A life time is counted from sixteenths of a second.
GRAIN = 0.13
T = richzones.TYPES
PROOFS = {T["NSEC"], T["NSEC3"]}
UNCOMPRESSED = {T[t] for t in ("RP", "AFSDB", "SRV", "NAPTR", "KX", "DNAME",
                               "RRSIG", "NSEC")}
# Where names stand in the data: N a name, c a string, a digit so many octets.
LAYOUTS = {T[t]: layout for t, layout in {
    "NS": "N", "CNAME": "N", "PTR": "N", "DNAME": "N", "SOA": "NN",
    "MX": "2N", "KX": "2N", "AFSDB": "2N", "RP": "NN", "SRV": "6N",
    "NAPTR": "4cccN", "RRSIG": "99N", "NSEC": "N"}.items()}


class RichChain(realservers.Chain):
    """nsd and unbound over the zones of richzones."""

    def __init__(self, zones):
        super().__init__()
        self.zones = zones

    def __enter__(self):
        try:
            self.zones.write(self.dir)
            self.nsd.start()
            self.unbound.ready = ("example.net.", "SOA")
            self.unbound.start()
        except BaseException:
            self._end()
            raise
        return self


class Record(NamedTuple):
    """A record without its TTL; names in lower case and whole."""

    owner: bytes
    type: int
    covers: int             # what an RRSIG signs
    data: bytes


class Look:
    """A reply in terms that can be compared."""

    def __init__(self, wire):
        self.raw = harness.parse(wire)
        assert not self.raw.trailing, wire.hex()
        self.rcode = self.raw.rcode
        self.answer = [self._record(r) for r in self.raw.answer]
        self.authority = [self._record(r) for r in self.raw.authority]
        self.additional = [self._record(r) for r in self.raw.additional]

    def _record(self, rr):
        """(Record, TTL): names inside the data are read out and folded."""
        data, at, end = bytearray(), rr.rdata_at, rr.rdata_at + len(rr.rdata)
        for step in LAYOUTS.get(rr.qtype, ""):
            if step == "N":
                name, at = self.raw.name_at(at)
                data += name.lower()
                continue
            octets = (1 + self.raw.wire[at] if step == "c" else int(step))
            data += self.raw.wire[at:at + octets]
            at += octets
        data += self.raw.wire[at:end]
        covers = (int.from_bytes(rr.rdata[:2], "big")
                  if rr.qtype == T["RRSIG"] else 0)
        return Record(rr.name.lower(), rr.qtype, covers, bytes(data)), rr.ttl

    @property
    def required(self):
        """Octets up to the end of what may not be left out, OPT included."""
        kept = self.raw.answer + self.raw.authority
        end = (kept[-1].rdata_at + len(kept[-1].rdata) if kept
               else 12 + sum(len(q.pack()) for q in self.raw.question))
        return end + self.raw.opt_octets

    def __str__(self):
        rows = [f"  {harness.name_text(r.owner)} {ttl} TYPE{r.type} "
                f"{r.data[:40].hex()}"
                for part in (self.answer, self.authority)
                for r, ttl in part]
        return "\n".join([str(self.raw), *rows[:12]])


def wire_of(asked):
    opt = harness.Opt(asked.size, do=asked.do) if asked.size else None
    return harness.query(asked.name, asked.qtype, cd=asked.cd, opt=opt)


def kept(look, asked):
    """The part of an upstream's authority section that larder hands on.

    Only a negative answer has an SOA there that counts; DO=1 gets proofs.
    """
    def wanted(record):
        what = record.covers or record.type
        if record.covers and not asked.do:
            return False
        return what == T["SOA"] or (asked.do and what in PROOFS)

    return [(record, ttl) for record, ttl in look.authority if wanted(record)]


def chain(look):
    """Owners and types in their order, each once, signatures apart."""
    return list(dict.fromkeys((r.owner, r.type) for r, _ in look.answer
                              if not r.covers))


def check_flags(asked, told, look):
    raw = look.raw
    sent = harness.parse(told.wire)
    assert raw.id == sent.id and raw.question == sent.question, "the question"
    assert (raw.qr, raw.opcode, raw.rd, raw.ra) == (1, 0, 1, 1), "QR RD RA"
    assert raw.cd == asked.cd, "CD"
    assert (raw.aa, raw.ad, raw.z) == (0, 0, 0), "AA AD Z"
    assert bool(raw.opt) == bool(asked.size), "OPT"
    if raw.opt:
        assert raw.opt.do == asked.do and raw.opt.version == 0, "DO"


def check_records(asked, look, direct):
    assert look.rcode == direct.rcode, "rcode"
    assert (Counter(r for r, _ in look.answer)
            == Counter(r for r, _ in direct.answer)), "answer section"
    assert chain(look) == chain(direct), "order of the chain"
    assert (Counter(r for r, _ in look.authority)
            == Counter(r for r, _ in kept(direct, asked))), "authority section"


def check_ttls(asked, look, direct, elapsed):
    """Never above what the upstream said, which may have asked anew since."""
    if look.rcode == harness.SERVFAIL:
        return
    said = dict(direct.answer + direct.authority)
    made = any(r.type == T["DNAME"] for r, _ in direct.answer)
    for record, ttl in look.answer + look.authority:
        bound = said[record] + elapsed
        if not asked.steady:
            bound = max(bound, richzones.SHORT_S)
        if made and record.type == T["CNAME"]:
            bound = TTL_MAX             # the DNAME's, once that is cached
        assert ttl <= min(bound, TTL_MAX), f"TTL {ttl} of {record}"


def check_count_down(first, second, asked, miss, hit):
    """The same entry, seen twice: lower by the whole seconds between.

    An entry may have been some part of a second old at the first sight, when
    another question had brought it; so there may be one more.
    """
    least = floor(max(0, hit.sent - miss.heard - GRAIN))
    most = floor(hit.heard - miss.sent + GRAIN) + 1
    before = dict(first.answer + first.authority)
    for record, ttl in second.answer + second.authority:
        gone = before[record] - ttl
        assert least <= gone <= most, (
            f"TTL {before[record]}, after {least} to {most} s {ttl}: "
            f"{record}")


def check_size(asked, look, whole):
    """TC exactly where what is needed does not fit; then nothing but OPT."""
    size = min(max(asked.size, 512), UDP_MAX)
    assert asked.tcp or len(look.raw.wire) <= size, "longer than allowed"
    if look.raw.tc:
        assert not asked.tcp, "TC by TCP"
        assert whole.required > size, f"TC, but {whole.required} would do"
        assert look.raw.counts[1:3] == (0, 0), "records beside TC"


@pytest.fixture(scope="module")
def run():
    """All that was asked and heard: direct answers by key, and two rounds."""
    print(f"LARDER_SEED={SEED}")
    zones = richzones.Zones(SEED)
    asked = zones.questions(COUNT)
    with RichChain(zones) as servers, \
            harness.Larder([servers.url]) as larder:
        keys = list({a.key: a for a in asked}.values())
        told = pipeline.ask_all((servers.unbound.host, servers.unbound.port),
                                [(wire_of(a), True) for a in keys])
        direct = {a.key: Look(t.reply) for a, t in zip(keys, told) if t.reply}
        assert len(direct) == len(keys), "unbound kept silent"
        rounds = []
        for _ in range(2):
            rounds.append(pipeline.ask_all(
                (larder.host, larder.port),
                [(wire_of(a), a.tcp) for a in asked]))
            pause = rounds[0][-1].heard + 1.2 - time.monotonic()
            if len(rounds) == 1 and pause > 0:
                time.sleep(pause)       # so that each entry is a second older
        whole = pipeline.ask_all((larder.host, larder.port),
                                 [(wire_of(a), True) for a in keys])
        counted = larder.stats()
        larder.check_running()
        servers.check()
    yield asked, direct, rounds, {a.key: Look(t.reply)
                                  for a, t in zip(keys, whole)}, counted, told


@pytest.fixture(scope="module")
def looks(run):
    """Both rounds, read; a silence is None."""
    return [[t.reply and Look(t.reply) for t in told] for told in run[2]]


def gather(work):
    """Runs work(i) for all; every failure is told with its question."""
    failed = []
    for i, args in enumerate(work):
        check, asked, *rest = args
        try:
            check(asked, *rest)
        except (AssertionError, KeyError) as error:
            failed.append(f"{i}: {asked}: {error!r}\n"
                          + "\n".join(str(r) for r in rest
                                      if isinstance(r, Look)))
    assert not failed, (f"LARDER_SEED={SEED}: {len(failed)} differ; the first "
                        "are\n" + "\n\n".join(failed[:3]))


def both(run, looks):
    """(asked, told, look) of both rounds."""
    return [(a, t, k) for told, look in zip(run[2], looks)
            for a, t, k in zip(run[0], told, look)]


def test_enough_of_everything(run, looks):
    """The questions are many, and of all kinds that this test speaks of."""
    asked, direct = run[0], run[1]
    assert len(asked) >= 2000
    first = [direct[a.key] for a in asked]
    codes = Counter(k.rcode for k in first)
    tally = {
        "TCP": sum(a.tcp for a in asked),
        "no OPT": sum(not a.size for a in asked),
        "CD": sum(a.cd for a in asked),
        "mixed case": sum(a.name != a.name.lower() for a in asked),
        "NXDOMAIN": codes[harness.NXDOMAIN],
        "NODATA": sum(not k.answer and k.rcode == 0 for k in first),
        "signatures": sum(any(r.covers for r, _ in k.answer) for k in first),
        "proofs": sum(any(r.type in PROOFS for r, _ in k.authority)
                      for k in first),
        "aliases": sum(any(r.type == T["CNAME"] for r, _ in k.answer)
                       for k in first),
        "DNAME": sum(any(r.type == T["DNAME"] for r, _ in k.answer)
                     for k in first),
        "cut": sum(bool(k) and bool(k.raw.tc) for k in looks[0]),
        "types": len({a.qtype for a in asked}),
    }
    print(tally, dict(codes))
    assert codes[harness.SERVFAIL] >= 8       # the bogus ones without CD
    assert all(n >= 25 for n in tally.values()), tally


def test_nobody_waits_in_vain(run):
    silent = [a for told in run[2] for a, t in zip(run[0], told)
              if t.reply is None]
    assert not silent, (len(silent), silent[:5])


def test_flags(run, looks):
    """HDR-13 to -15, FLAG-02, FLAG-03, EDNS-01, -02, -06 over all."""
    gather((lambda a, t, k: check_flags(a, t, k), a, t, k)
           for a, t, k in both(run, looks))


def test_records(run, looks):
    """Rcode, answer and authority as the upstream has them, miss and hit."""
    gather((check_records, a, k, run[1][a.key])
           for a, _, k in both(run, looks) if not k.raw.tc)


def test_newer_types_stay_uncompressed(run, looks):
    """NAME-15: also where the same name stands in an earlier record."""
    def check(_, look):
        for rr, (record, _) in zip(look.raw.answer, look.answer):
            if rr.qtype in UNCOMPRESSED:
                assert len(rr.rdata) == len(record.data), rr

    gather((check, a, k) for a, _, k in both(run, looks))


def test_truncation(run, looks):
    """SIZE-01, -02, EDNS-10, -11: cut where it must be, and only there."""
    gather((check_size, a, k, run[3][a.key]) for a, _, k in both(run, looks))
    gather((check_records, a, run[3][a.key], run[1][a.key]) for a in run[0])


def test_ttls_not_above_the_upstreams(run, looks):
    """CACHE-01, -05, NEG-02."""
    began = min(t.sent for t in run[5])
    gather((check_ttls, a, k, run[1][a.key], floor(t.sent - began) + 1)
           for a, t, k in both(run, looks) if not k.raw.tc)


def test_ttls_count_down(run, looks):
    """CACHE-01, -11, NEG-02: what is lost between is the time between."""
    def check(asked, miss, hit, first, second):
        check_count_down(first, second, asked, miss, hit)

    gather((check, a, m, h, one, two) for a, m, h, one, two in
           zip(run[0], *run[2], *looks)
           if a.steady and not one.raw.tc
           and one.rcode != harness.SERVFAIL)


def test_additional_is_the_upstreams(run, looks):
    """MATCH-21: nothing but addresses that the upstream sends too."""
    zones = richzones.Zones(SEED)
    known = {(harness.qname(name).lower(), harness.TYPES[rtype])
             for name, types, _ in zones.names for rtype in types
             if rtype in ("A", "AAAA")}
    seen = 0
    for asked, _, look in both(run, looks):
        for record, _ in look.additional:
            seen += 1
            assert (record.owner, record.type) in known, (asked, record)
    assert seen > 0


def test_second_round_is_from_the_cache(run):
    """Whatever can be kept was asked once: few more flights than keys."""
    keys = {a.key for a in run[0]}
    flights = run[4]["counters"]["flights"] if "counters" in run[4] else None
    assert flights is not None, sorted(run[4])
    short = sum(not a.steady for a in run[0])
    assert flights <= len(keys) + 3 * short, (flights, len(keys), short)
