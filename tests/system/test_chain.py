"""larderd between real servers and real clients.

nsd holds the zones of tests/data, unbound resolves from it (and validates
example.com), larderd forwards to unbound; dig, kdig, drill, dnspython and
glibc's own resolver ask.  The measure is always the same: through larderd a
client must see what it sees when it asks unbound itself, once from the
upstream and once from the cache, and larderd must be better where it promises
to be: when unbound stalls, dies or returns.
"""

import json
import re
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import dns.resolver
import pytest

import harness
import jail
import realservers

NEEDED = realservers.missing("nsd", "unbound", "dig", "kdig", "drill",
                             "ldns-keygen", "ldns-signzone")
pytestmark = pytest.mark.skipif(bool(NEEDED),
                                reason=f"not installed: {NEEDED}")

LABEL_63 = "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz1"

# name, type, status, number of records in the answer
QUESTIONS = [
    ("www.example.net", "A", "NOERROR", 1),
    ("www.example.net", "AAAA", "NOERROR", 1),
    ("example.net", "SOA", "NOERROR", 1),
    ("example.net", "NS", "NOERROR", 2),
    ("example.net", "MX", "NOERROR", 2),
    ("example.net", "TXT", "NOERROR", 1),
    ("example.net", "CAA", "NOERROR", 1),
    ("example.net", "HTTPS", "NOERROR", 1),
    ("three.example.net", "A", "NOERROR", 3),
    ("many.example.net", "A", "NOERROR", realservers.MANY),
    ("big.example.net", "TXT", "NOERROR", 1),
    ("short.example.net", "A", "NOERROR", 1),
    ("zero.example.net", "A", "NOERROR", 1),
    ("long.example.net", "A", "NOERROR", 1),
    ("alias.example.net", "A", "NOERROR", 2),
    ("alias.example.net", "AAAA", "NOERROR", 2),
    ("alias.example.net", "CNAME", "NOERROR", 1),
    ("alias.example.net", "MX", "NOERROR", 1),
    ("chain1.example.net", "A", "NOERROR", 9),
    ("chain5.example.net", "AAAA", "NOERROR", 5),
    ("cross.example.net", "A", "NOERROR", 2),
    ("cross.example.net", "AAAA", "NOERROR", 2),
    ("lost.example.net", "A", "NXDOMAIN", 1),
    ("v4alias.example.net", "AAAA", "NOERROR", 1),
    ("tree.example.net", "DNAME", "NOERROR", 1),
    ("under.tree.example.net", "A", "NOERROR", 3),
    ("one.wild.example.net", "A", "NOERROR", 1),
    ("one.two.wild.example.net", "TXT", "NOERROR", 1),
    ("one.wild.example.net", "AAAA", "NOERROR", 0),
    ("own.wild.example.net", "A", "NOERROR", 0),
    ("own.wild.example.net", "AAAA", "NOERROR", 1),
    ("deep.below.ent.example.net", "A", "NOERROR", 1),
    ("below.ent.example.net", "A", "NOERROR", 0),
    ("ent.example.net", "TXT", "NOERROR", 0),
    ("v4only.example.net", "AAAA", "NOERROR", 0),
    ("v6only.example.net", "A", "NOERROR", 0),
    ("missing.example.net", "A", "NXDOMAIN", 0),
    ("www.missing.example.net", "AAAA", "NXDOMAIN", 0),
    ("_sip._tcp.example.net", "SRV", "NOERROR", 2),
    ("svc.example.net", "HTTPS", "NOERROR", 1),
    ("_dns.example.net", "TYPE64", "NOERROR", 1),
    ("_443._tcp.www.example.net", "TLSA", "NOERROR", 1),
    ("unknown.example.net", "TYPE65280", "NOERROR", 1),
    ("naptr.example.net", "NAPTR", "NOERROR", 1),
    ("empty-text.example.net", "TXT", "NOERROR", 1),
    ("dot\\.in.label.example.net", "A", "NOERROR", 1),
    ("under_score.example.net", "A", "NOERROR", 1),
    ("sp\\032ace.example.net", "A", "NOERROR", 1),
    (f"{LABEL_63}.example.net", "A", "NOERROR", 1),
    ("mixedcase.example.net", "A", "NOERROR", 1),
    ("80.2.128.100.in-addr.arpa", "PTR", "NOERROR", 1),
    ("www.example.com", "A", "NOERROR", 1),
    ("missing.example.com", "A", "NXDOMAIN", 0),
    ("bogus.example.com", "A", "SERVFAIL", 0),
]


class Record(NamedTuple):
    owner: str
    ttl: int
    type: str
    rdata: str


class Look:
    """What dig, kdig or drill printed, read into the same terms."""

    def __init__(self, text):
        self.text = text
        status = re.search(r"(?:status|rcode): (\w+)", text)
        assert status, f"no answer:\n{text}"
        self.status = status[1]
        flags = re.search(r"(?i);; flags: ([a-z ]*)", text)
        self.flags = set(flags[1].split())
        self.answer = self._section("ANSWER")
        self.authority = self._section("AUTHORITY")
        self.ede = [int(n) for n in re.findall(r"; EDE: (\d+)", text)]

    def _section(self, title):
        found = re.search(rf"(?m)^;; {title} SECTION:\n((?:.+\n)*)", self.text)
        records = []
        for line in (found[1] if found else "").splitlines():
            owner, ttl, _, rtype, *rdata = line.split(None, 4)
            records.append(Record(owner, int(ttl), rtype, "".join(rdata)))
        said = re.search(rf"{title}: (\d+)", self.text)
        assert len(records) == int(said[1]), self.text
        return records

    @property
    def data(self):
        """The answer without TTLs; the order within a set is free."""
        return sorted((r.owner.lower(), r.type, r.rdata) for r in self.answer)

    def __repr__(self):
        return f"\n{self.text}"


def _client(argv):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30,
                          stdin=subprocess.DEVNULL)
    return Look(done.stdout + done.stderr)


def dig(server, *args):
    return _client(["dig", "@" + server.host, "-p", str(server.port),
                    "+tries=1", "+time=8", *args])


def kdig(server, *args):
    return _client(["kdig", "@" + server.host, "-p", str(server.port),
                    "+retry=0", "+time=8", *args])


def drill(server, *args):
    look = _client(["drill", *(a for a in args if a.startswith("-")),
                    "-p", str(server.port), "@" + server.host,
                    *(a for a in args if not a.startswith("-"))])
    # It leaves asking again over TCP to its user.
    if "tc" in look.flags and "-t" not in args:
        return drill(server, "-t", *args)
    return look


CLIENTS = {"dig": dig, "kdig": kdig, "drill": drill}
TCP = {"dig": "+tcp", "kdig": "+tcp", "drill": "-t"}


@pytest.fixture(scope="module")
def module_chain():
    with realservers.Chain() as chain:
        yield chain


@pytest.fixture(scope="module")
def chained_larder(module_chain):
    with harness.Larder([module_chain.url]) as larder:
        yield larder


@pytest.fixture
def chain(module_chain):
    yield module_chain
    module_chain.check()


@pytest.fixture
def larder(chain, chained_larder):
    """A larderd in front of unbound; shared, so names may be cached."""
    yield chained_larder
    chained_larder.check_running()


@pytest.fixture
def wild():
    """A function that gives new names below *.wild.example.net."""
    return lambda: harness.fresh_name("w", "wild.example.net.")


# -- the same answer as without larder

@pytest.mark.parametrize("name,rtype,status,count", QUESTIONS)
def test_as_asked_directly(chain, larder, name, rtype, status, count):
    for client, ask in CLIENTS.items():
        direct = ask(chain.unbound, name, rtype)
        looks = [ask(larder, name, rtype)]
        if ask is dig:                  # it was the first: now from the cache
            looks.append(dig(larder, name, rtype))
        for look in looks:
            assert look.status == status == direct.status, (client, look)
            assert len(look.answer) == count, (client, look)
            assert look.data == direct.data, (client, look, direct)
            assert {"qr", "rd", "ra"} <= look.flags, (client, look)
            assert not {"aa", "ad", "tc"} & look.flags, (client, look)
            assert all(r.ttl <= 86400 for r in look.answer), (client, look)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name,rtype,count", [
    ("www.example.net", "A", 1), ("chain1.example.net", "A", 9),
    ("many.example.net", "A", realservers.MANY),
    ("big.example.net", "TXT", 1)])
def test_over_tcp(chain, larder, client, name, rtype, count):
    ask = CLIENTS[client]
    direct = ask(chain.unbound, name, rtype, TCP[client])
    look = ask(larder, name, rtype, TCP[client])
    assert look.status == "NOERROR" and len(look.answer) == count, look
    assert look.data == direct.data, (look, direct)


def test_chain_in_order(larder):
    """CACHE-18: an alias stands before what it leads to, cached or not."""
    for _ in range(3):
        look = dig(larder, "chain1.example.net", "A")
        owners = [r.owner for r in look.answer]
        assert owners == [*(f"chain{i}.example.net." for i in range(1, 9)),
                          "www.example.net."], look


def test_negative_answers_carry_the_soa(larder):
    """NEG-02: owner, data and remaining life of the SOA, miss and hit."""
    for name, zone in (("nothere.example.net", "example.net."),
                       ("v6only.example.net", "example.net."),
                       ("nothere.example.org", "example.org.")):
        for _ in range(2):
            look = dig(larder, name, "A")
            assert not look.answer, look
            soa = [r for r in look.authority if r.type == "SOA"]
            assert len(soa) == 1 and soa[0].owner == zone, look
            assert 0 < soa[0].ttl <= 60, look
            assert soa[0].rdata.split()[-1] == "60", look


def test_question_keeps_its_letters(larder):
    """The question comes back in the case it was asked in, hit or miss."""
    for name in ("MiXeDcAsE.ExAmPlE.nEt.", "mIxEdCaSe.eXaMpLe.NeT."):
        look = dig(larder, name, "A")
        assert look.status == "NOERROR" and len(look.answer) == 1, look
        assert re.search(rf"(?m)^;{re.escape(name)}\s", look.text), look


# -- sizes

@pytest.mark.parametrize("args,limit", [
    (["+noedns"], 512), (["+bufsize=512"], 512), (["+bufsize=1000"], 1000),
    (["+bufsize=1232"], 1232), (["+bufsize=4096"], 1232)])
def test_large_answers_over_udp(larder, args, limit):
    """EDNS-11: never over the client's size or 1232; then whole over TCP."""
    for name, rtype, count in (("many.example.net", "A", realservers.MANY),
                               ("big.example.net", "TXT", 1)):
        short = dig(larder, name, rtype, "+ignore", *args)
        assert "tc" in short.flags and short.status == "NOERROR", short
        size = int(re.search(r"MSG SIZE +rcvd: (\d+)", short.text)[1])
        assert size <= limit, short
        assert ("OPT PSEUDOSECTION" in short.text) == ("+noedns" not in args)
        whole = dig(larder, name, rtype, *args)
        assert "tc" not in whole.flags and len(whole.answer) == count, whole
        assert "(TCP)" in whole.text, whole


def test_many_questions_on_one_connection(larder, wild):
    """kdig keeps the connection open and asks one name after the other."""
    names = [wild() for _ in range(20)] + ["www.example.net"] * 5
    argv = ["kdig", "+tcp", "+keepopen", "+time=5", f"@{larder.host}", "-p",
            str(larder.port)]
    for name in names:
        argv += ["-q", name, "-t", "A"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    assert done.stdout.count("status: NOERROR") == len(names), done.stdout
    assert done.stdout.count("192.0.2.90") == 20, done.stdout


def test_batch_of_names(larder, wild, tmp_path):
    """dig -f: two hundred different names, none fails."""
    batch = tmp_path / "names"
    batch.write_text("".join(f"{wild()} A\n" for _ in range(200)))
    done = subprocess.run(
        ["dig", f"@{larder.host}", "-p", str(larder.port), "+short", "+time=5",
         "+tries=1", "-f", str(batch)], capture_output=True, text=True,
        timeout=60)
    assert done.stdout.split() == ["192.0.2.90"] * 200, done.stdout


def test_dnspython_resolver(larder):
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [larder.host], larder.port
    resolver.lifetime = 5
    answer = resolver.resolve("chain1.example.net", "A")
    assert [a.address for a in answer] == ["192.0.2.80"]
    assert answer.canonical_name.to_text() == "www.example.net."
    assert len(resolver.resolve("many.example.net", "A")) == realservers.MANY
    with pytest.raises(dns.resolver.NXDOMAIN):
        resolver.resolve("nothere.example.net", "A")
    with pytest.raises(dns.resolver.NoAnswer):
        resolver.resolve("v4only.example.net", "AAAA")


# -- signed data

def test_signatures_are_for_those_who_ask(chain, larder):
    """CACHE-08, CACHE-09, FLAG-03: DO decides; AD of a plain upstream does not
    pass, whatever was asked before."""
    for args, signed in ((["+dnssec"], True), ([], False), (["+dnssec"], True),
                         (["+adflag"], False)):
        look = dig(larder, "www.example.com", "A", *args)
        types = {r.type for r in look.answer}
        assert types == ({"A", "RRSIG"} if signed else {"A"}), look
        assert "ad" not in look.flags, look
    direct = dig(chain.unbound, "www.example.com", "A", "+dnssec")
    assert "ad" in direct.flags, direct


def test_proofs_are_kept(larder):
    """NEG-09: the NSEC records of a denial, miss and hit; without DO none."""
    for _ in range(2):
        look = dig(larder, "notthere.example.com", "A", "+dnssec")
        assert look.status == "NXDOMAIN", look
        assert {"SOA", "NSEC", "RRSIG"} <= {r.type for r in look.authority}
        plain = dig(larder, "notthere.example.com", "A")
        assert {r.type for r in plain.authority} == {"SOA"}, plain


def test_checking_disabled_gets_the_data(larder):
    """FAIL-05: what unbound finds bogus is SERVFAIL, and with CD the data."""
    for _ in range(2):
        assert dig(larder, "bogus.example.com", "A").status == "SERVFAIL"
        look = dig(larder, "bogus.example.com", "A", "+cd")
        assert look.status == "NOERROR" and "cd" in look.flags, look
        assert [r.rdata for r in look.answer] == ["203.0.113.67"], look


# -- life times

def test_ttl_counts_down(larder, wild):
    """CACHE-01: a hit shows what is left of the life time."""
    name = wild()
    start = time.monotonic()
    first = dig(larder, name, "A").answer[0].ttl
    assert 295 <= first <= 300
    time.sleep(1.2)
    look = dig(larder, name, "A")
    gone = first - look.answer[0].ttl
    assert 1 <= gone <= time.monotonic() - start + 1, look


def test_ttl_ceiling(larder):
    """CACHE-05: two days upstream, one day at most here."""
    for _ in range(2):
        ttl = dig(larder, "long.example.net", "A").answer[0].ttl
        assert 86400 - 300 < ttl <= 86400


# -- trouble upstream

def test_cache_outlives_the_upstream(wild):
    """Dead upstreams: cached names are answered, others get SERVFAIL soon, and
    everything is well once the upstream is back."""
    with realservers.Chain(sign=False) as chain, \
            harness.Larder([chain.url]) as larder:
        kept, negative = wild(), "nothere.example.net"
        assert dig(larder, kept, "A").status == "NOERROR"
        assert dig(larder, negative, "A").status == "NXDOMAIN"
        chain.unbound.stop()
        for _ in range(2):
            look = dig(larder, kept, "A")
            assert [r.rdata for r in look.answer] == ["192.0.2.90"], look
            assert dig(larder, negative, "A").status == "NXDOMAIN"
        start = time.monotonic()
        look = dig(larder, wild(), "A")
        assert look.status == "SERVFAIL" and time.monotonic() - start < 5, look
        assert set(look.ede) & {22, 23}, look
        chain.unbound.restart()
        deadline = time.monotonic() + 15
        while (look := dig(larder, wild(), "A")).status != "NOERROR":
            assert time.monotonic() < deadline, look


def test_frozen_upstream(wild):
    """An upstream that takes questions and answers none: SERVFAIL in time,
    cached names unharmed, new ones answered as soon as it goes on."""
    conf = {"query-timeout": "800ms", "resolve-timeout": "2s"}
    with realservers.Chain(sign=False) as chain, \
            harness.Larder([chain.url], conf=conf) as larder:
        kept = wild()
        assert dig(larder, kept, "A").status == "NOERROR"
        chain.unbound.freeze()
        start = time.monotonic()
        look = dig(larder, wild(), "A")
        assert look.status == "SERVFAIL", look
        assert 0.5 < time.monotonic() - start < 3.8, look   # default: 4 s
        assert set(look.ede) & {22, 23}, look
        assert dig(larder, kept, "A").status == "NOERROR"
        chain.unbound.thaw()
        deadline = time.monotonic() + 15
        while (look := dig(larder, wild(), "A")).status != "NOERROR":
            assert time.monotonic() < deadline, look


@pytest.mark.parametrize("trouble", ["stop", "freeze"])
def test_second_upstream_takes_over(wild, trouble):
    """FWD-02: with one of two upstreams dead or stalled every name is answered
    well before a client would ask again."""
    with realservers.Chain(2, sign=False) as chain, \
            harness.Larder([u.url for u in chain.unbounds],
                           conf={"resend-after": "300ms"}) as larder:
        assert dig(larder, wild(), "A").status == "NOERROR"
        for broken in chain.unbounds:
            getattr(broken, trouble)()
            for _ in range(4):
                start = time.monotonic()
                look = dig(larder, wild(), "A")
                assert look.status == "NOERROR", look
                assert time.monotonic() - start < 3, look
            if trouble == "stop":
                broken.restart()
            else:
                broken.thaw()


def test_dead_authority(wild):
    """unbound lives but waits for a server that is gone: the client has its
    SERVFAIL in time all the same, and the data soon after that server's
    return."""
    conf = {"query-timeout": "1s", "resolve-timeout": "2s",
            "cache": {"failure-ttl": "1s", "failure-ttl-max": "1s"}}
    with realservers.Chain(sign=False) as chain, \
            harness.Larder([chain.url], conf=conf) as larder:
        kept, name = wild(), wild()
        assert dig(larder, kept, "A").status == "NOERROR"
        chain.nsd.stop()
        start = time.monotonic()
        assert dig(larder, name, "A").status == "SERVFAIL"
        assert time.monotonic() - start < 3.8       # 1 s; the default is 4 s
        assert dig(larder, kept, "A").status == "NOERROR"
        chain.nsd.restart()
        deadline = time.monotonic() + 30
        while (look := dig(larder, name, "A")).status != "NOERROR":
            assert time.monotonic() < deadline, look
            time.sleep(0.2)


# -- other ways in and out

def test_upstream_over_tcp_only(chain, wild):
    with harness.Larder([f"tcp://{chain.url}"]) as larder:
        for name, rtype, count in ((wild(), "A", 1),
                                   ("chain1.example.net", "A", 9),
                                   ("big.example.net", "TXT", 1)):
            look = dig(larder, name, rtype)
            assert look.status == "NOERROR" and len(look.answer) == count, look


def test_over_ipv6(wild):
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 loopback: {error}")
    with realservers.Chain(sign=False, host="::1") as chain, \
            harness.Larder([chain.url], listen=["[::1]:{port}"]) as larder:
        for client, ask in CLIENTS.items():
            look = ask(larder, wild(), "A")
            assert [r.rdata for r in look.answer] == ["192.0.2.90"], client
            look = ask(larder, "many.example.net", "A")
            assert len(look.answer) == realservers.MANY, client


def test_many_clients_at_once(larder, wild):
    """Eight digs at a time, shared and fresh names: all are answered."""
    names = [name for _ in range(20) for name in (wild(), "www.example.net")]
    with ThreadPoolExecutor(8) as pool:
        looks = list(pool.map(lambda name: dig(larder, name, "A"), names))
    assert [look.status for look in looks] == ["NOERROR"] * len(names)
    assert all(len(look.answer) == 1 for look in looks)


# -- glibc

@pytest.fixture(scope="module")
def module_jail():
    try:
        place = jail.Jail().__enter__()
    except jail.NoJail as why:
        pytest.skip(f"no namespaces: {why}")
    yield place
    place.__exit__(None, None, None)


@pytest.fixture
def home(module_jail):
    """Where larderd is the system's resolver, with a plain resolv.conf."""
    module_jail.resolv()
    return module_jail


LOOKUP = """
import json, socket, sys, time
out = []
for name in sys.argv[1:]:
    start = time.monotonic()
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        got = sorted(a[4][0] for a in found)
    except socket.gaierror as error:
        got = {v: k for k, v in vars(socket).items() if k.startswith("EAI_")
               }.get(error.errno, error.errno)
    out.append([got, time.monotonic() - start])
print(json.dumps(out))
"""


def lookup(home, *names):
    """What getaddrinfo() gives for each name: addresses, or an error, and
    the seconds it took."""
    done = home.python(LOOKUP, *names)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# "edns0 trust-ad" asks with OPT, "use-vc" over TCP, "single-request" for A and
# AAAA one after the other, "single-request-reopen" from two sockets.
@pytest.mark.parametrize("options", [
    "", "edns0", "edns0 trust-ad", "use-vc", "single-request",
    "single-request-reopen"])
def test_getaddrinfo(home, options):
    home.resolv(jail.RESOLV + (f"options {options}\n" if options else ""))
    names = ["www.example.net", "alias.example.net", "chain1.example.net",
             "cross.example.net", "three.example.net", "v4only.example.net",
             "v6only.example.net", "missing.example.net", "ent.example.net",
             "any.wild.example.net", "many.example.net"]
    www = ["192.0.2.80", "2001:db8::80"]
    for _ in ("from the upstream", "from the cache"):
        found = lookup(home, *names)
        got = {name: answer for name, (answer, _) in zip(names, found)}
        assert got["www.example.net"] == www
        assert got["alias.example.net"] == www
        assert got["chain1.example.net"] == www
        assert got["cross.example.net"] == ["198.51.100.20", "2001:db8:1::20"]
        assert got["three.example.net"] == ["192.0.2.31", "192.0.2.32",
                                            "192.0.2.33"]
        assert got["v4only.example.net"] == ["192.0.2.4"]
        assert got["v6only.example.net"] == ["2001:db8::6"]
        assert got["missing.example.net"] == "EAI_NONAME"
        assert got["ent.example.net"] == "EAI_NODATA"
        assert got["any.wild.example.net"] == ["192.0.2.90"]
        assert len(got["many.example.net"]) == realservers.MANY
        # glibc asks again after 5 s: none of these may have lost a query.
        assert max(seconds for _, seconds in found) < 4.5, found


def test_search_list(home):
    home.resolv(jail.RESOLV
                + "search example.org example.net\noptions ndots:1\n")
    (www, _), (target, _) = lookup(home, "www", "target")
    assert www == ["192.0.2.80", "2001:db8::80"]
    assert target == ["198.51.100.20", "2001:db8:1::20"]


def test_getent(home):
    done = home.run("getent", "ahosts", "alias.example.net")
    assert done.returncode == 0, done.stderr
    assert {line.split()[0] for line in done.stdout.splitlines()} == {
        "192.0.2.80", "2001:db8::80"}
    assert "www.example.net" in done.stdout
    done = home.run("getent", "hosts", "100.128.2.80")
    assert done.stdout.split() == ["100.128.2.80", "www.example.net"]
    assert home.run("getent", "ahosts", "missing.example.net").returncode == 2


def test_getaddrinfo_in_many_threads(home):
    code = """
import socket, sys, time
from concurrent.futures import ThreadPoolExecutor
def one(i):
    start = time.monotonic()
    got = socket.getaddrinfo(f"t{i % 60}.wild.example.net", 80,
                             type=socket.SOCK_STREAM)
    return len(got), time.monotonic() - start
with ThreadPoolExecutor(20) as pool:
    done = list(pool.map(one, range(240)))
assert all(n == 1 for n, _ in done), done
print(max(s for _, s in done))
"""
    done = home.python(code)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 4.5, done.stdout


def test_clients_without_a_server_argument(home):
    """dig, kdig and drill take the server from resolv.conf."""
    for argv in (["dig", "+short", "www.example.net", "A"],
                 ["kdig", "+short", "www.example.net", "A"],
                 ["drill", "-Q", "www.example.net", "A"]):
        done = home.run(*argv)
        assert done.stdout.split() == ["192.0.2.80"], (argv, done)


def test_getaddrinfo_while_the_upstream_stalls(home):
    """A name known is there at once; one unknown fails before glibc's own
    time-out of 5 s, and works again after the stall."""
    fresh = [harness.fresh_name("g", "wild.example.net") for _ in range(2)]
    assert lookup(home, "www.example.net")[0][0]
    home.freeze()
    try:
        (www, quick), (none, slow) = lookup(home, "www.example.net", fresh[0])
    finally:
        home.thaw()
    assert www == ["192.0.2.80", "2001:db8::80"] and quick < 2
    assert none == "EAI_AGAIN" and slow < 4.5, (none, slow)
    deadline = time.monotonic() + 20
    while (got := lookup(home, fresh[1])[0][0]) != ["192.0.2.90"]:
        assert time.monotonic() < deadline, got
        fresh[1] = harness.fresh_name("g", "wild.example.net")
