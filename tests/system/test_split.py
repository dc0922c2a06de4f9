"""Routes by suffix (conformance section 18, SPLIT-01 to SPLIT-04).

Three servers: `public` is in `forward`, `office` has the route corp.example,
`lab` the route lab.corp.example below it.  Each marks what it says by its own
address, so that the address in an answer tells who was believed.
"""

import contextlib
import time

import pytest

from harness import (NOERROR, NXDOMAIN, REFUSED, SERVFAIL, Larder, Opt,
                     Upstream, free_port, fresh_name, name_text, qname, reply,
                     rr, soa)

PUBLIC, OFFICE, LAB, EVIL = "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.66"


class Server(Upstream):
    """Says `mark` for every A question but for those with a script."""

    def __init__(self, mark, **kw):
        self.mark, self.rules = mark, {}
        super().__init__(**kw)
        self.handler = self.answer

    def answer(self, ctx):
        rule = self.rules.get(ctx.name)
        if rule:
            rule(ctx)
        elif ctx.qtype == 1:
            owner = ctx.msg.question[0].name_wire
            ctx.send(reply(ctx.msg, [rr(owner, "A", 300, self.mark)]))
        else:
            ctx.default()

    def says(self, name, answer, authority=(), additional=(), **kw):
        self.rules[name.lower()] = lambda ctx: ctx.send(
            reply(ctx.msg, answer, authority, additional, **kw))


class House:
    """One larderd with two routes, and its three servers."""

    def __init__(self, stack):
        self.public, self.office, self.lab = (
            stack.enter_context(Server(mark))
            for mark in (PUBLIC, OFFICE, LAB))
        self.larder = stack.enter_context(Larder([self.public], conf={
            "resend-after": "1s",
            "upstreams": {"office": {"url": f"udp://{self.office.url}"}},
            "routes": {"Corp.Example": ["office"],
                       "lab.corp.example": [self.lab.url]}}))

    def asked(self, name, qtype=None):
        """How often (public, office, lab) were asked."""
        return tuple(server.count(name, qtype)
                     for server in (self.public, self.office, self.lab))


@pytest.fixture(scope="module")
def house():
    with contextlib.ExitStack() as stack:
        yield House(stack)


def a_chain(msg):
    """[(owner, type)] of an answer, in lower-case text."""
    return [(name_text(r.name_wire, lower=True), r.qtype) for r in msg.answer]


def corp(zone="corp.example."):
    return fresh_name("host", zone)


# --- SPLIT-01 -------------------------------------------------------------

def test_split_01_longest_suffix_wins(house):
    """SPLIT-01: the longest matching route is asked, and it alone."""
    label = fresh_name("l").split(".")[0]
    for name, by in (
            (f"{label}.corp.example.", OFFICE),
            ("corp.example.", OFFICE),
            (f"a.b.c.d.e.{label}.corp.example.", OFFICE),
            (f"{label}.lab.corp.example.", LAB),
            ("lab.corp.example.", LAB),
            (f"a.b.{label}.lab.corp.example.", LAB),
            (f"{label}.example.", PUBLIC),
            ("example.", PUBLIC),
            (f"{label}.example.com.", PUBLIC)):
        assert house.larder.ask(name).a() == [by], name
        assert house.asked(name) == tuple(
            int(by == mark) for mark in (PUBLIC, OFFICE, LAB)), name


def test_split_01_labels_not_letters(house):
    """SPLIT-01: a suffix counts on label borders only."""
    label = fresh_name("l").split(".")[0]
    for name, by in (
            ("xcorp.example.", PUBLIC),
            (f"{label}.xcorp.example.", PUBLIC),
            (f"{label}.xlab.corp.example.", OFFICE),
            (f"xlab{label}.corp.example.", OFFICE),
            (f"corp.example.{label}.example.", PUBLIC),
            (f"{label}\\.corp.example.", PUBLIC),
            (f"{label}.corp\\.example.", PUBLIC),
            (f"{label}\\.lab.corp.example.", OFFICE),
            ("corp\\.example.", PUBLIC),
            (f"{label}.corp.example\\000.example.", PUBLIC),
            (f"corp.example\\000{label}.", PUBLIC),
            (f"{label}\\000.corp.example.", OFFICE)):
        msg = house.larder.ask(name)
        assert msg is not None and msg.a() == [by], name
        assert house.asked(name) == tuple(
            int(by == mark) for mark in (PUBLIC, OFFICE, LAB)), name


def test_split_01_letter_case_does_not_matter(house):
    """SPLIT-01: names match in any letters, and so does the setting."""
    for zone, by in (("CORP.EXAMPLE.", OFFICE), ("cOrP.eXaMpLe.", OFFICE),
                     ("LAB.Corp.Example.", LAB), ("XCORP.EXAMPLE.", PUBLIC)):
        name = corp(zone)
        msg = house.larder.ask(name)
        assert msg.a() == [by], name
        assert [q.name_wire for q in msg.question] == [qname(name)]


def test_split_01_every_type_follows_the_route(house):
    """SPLIT-01: the type asked, and TCP, make no difference."""
    for qtype in ("AAAA", "TXT", "MX", "NS", "SOA", "HTTPS", "TYPE65280"):
        name = corp()
        assert house.larder.ask(name, qtype).rcode == NOERROR
        assert house.asked(name) == (0, 1, 0), qtype
    name = corp("lab.corp.example.")
    assert house.larder.ask_tcp(name).a() == [LAB]
    assert house.asked(name) == (0, 0, 1)


# --- SPLIT-02 -------------------------------------------------------------

def test_split_02_data_outside_the_route_is_dropped(house):
    """SPLIT-02: office adds a record of the bank: not returned, not kept."""
    name, bank = corp(), "www." + fresh_name("bank")
    house.office.says(
        name, [rr(name, "A", 300, OFFICE), rr(bank, "A", 300, EVIL)],
        [rr("example.", "NS", 300, bank), soa("example.")],
        [rr(bank, "A", 300, EVIL)])
    for _ in ("miss", "hit"):
        msg = house.larder.ask(name, opt=Opt())
        assert a_chain(msg) == [(name, 1)] and msg.a() == [OFFICE]
        assert bank not in [r.text for r in msg.answer + msg.additional]
    assert house.larder.ask(bank).a() == [PUBLIC]
    assert house.asked(bank) == (1, 0, 0)
    assert house.asked(name) == (0, 1, 0)


def test_split_02_the_other_way_round(house):
    """SPLIT-02: nor does the public server speak for a route."""
    name, inner = fresh_name("outer"), corp()
    house.public.says(name, [rr(name, "A", 300, PUBLIC),
                             rr(inner, "A", 300, EVIL)],
                      [], [rr(inner, "A", 300, EVIL)])
    msg = house.larder.ask(name, opt=Opt())
    assert a_chain(msg) == [(name, 1)]
    assert house.larder.ask(inner).a() == [OFFICE]
    assert house.asked(inner) == (0, 1, 0)


# --- SPLIT-03 -------------------------------------------------------------

def test_split_03_alias_out_of_the_route(house):
    """SPLIT-03: office's alias to the bank with a forged A: public's A."""
    name, bank = corp(), "www." + fresh_name("bank")
    house.office.says(name, [rr(name, "CNAME", 300, bank),
                             rr(bank, "A", 300, EVIL)])
    for _ in ("miss", "hit"):
        msg = house.larder.ask(name)
        assert msg.rcode == NOERROR
        assert a_chain(msg) == [(name, 5), (bank, 1)]
        assert msg.a() == [PUBLIC]
    assert house.asked(name) == (0, 1, 0)
    assert house.asked(bank) == (1, 0, 0)
    assert house.larder.ask(bank).a() == [PUBLIC]


def test_split_03_alias_into_the_route(house):
    """SPLIT-03: public's alias into corp.example: office's A."""
    name, inner = fresh_name("outer"), corp()
    house.public.says(name, [rr(name, "CNAME", 300, inner),
                             rr(inner, "A", 300, EVIL)])
    for _ in ("miss", "hit"):
        msg = house.larder.ask(name)
        assert a_chain(msg) == [(name, 5), (inner, 1)]
        assert msg.a() == [OFFICE]
    assert house.asked(name) == (1, 0, 0)
    assert house.asked(inner) == (0, 1, 0)


def test_split_03_between_a_route_and_the_one_below(house):
    """SPLIT-03: lab.corp.example is not corp.example's to speak for."""
    for zone, owner, target_zone, by in (
            ("corp.example.", house.office, "lab.corp.example.", LAB),
            ("lab.corp.example.", house.lab, "corp.example.", OFFICE)):
        name, target = corp(zone), corp(target_zone)
        owner.says(name, [rr(name, "CNAME", 300, target),
                          rr(target, "A", 300, EVIL)])
        msg = house.larder.ask(name)
        assert a_chain(msg) == [(name, 5), (target, 1)]
        assert msg.a() == [by]


def test_split_03_chain_through_all_routes(house):
    """SPLIT-03: out and in again, each link by its own server."""
    a, b, c, d = corp(), fresh_name("mid"), corp("lab.corp.example."), corp()
    house.office.says(a, [rr(a, "CNAME", 300, b),
                          rr(b, "CNAME", 300, "evil.example.")])
    house.public.says(b, [rr(b, "CNAME", 300, c), rr(c, "A", 300, EVIL)])
    house.lab.says(c, [rr(c, "CNAME", 300, d), rr(d, "A", 300, EVIL)])
    msg = house.larder.ask(a)
    assert a_chain(msg) == [(a, 5), (b, 5), (c, 5), (d, 1)]
    assert msg.a() == [OFFICE]
    assert house.public.quiet(name="evil.example.")


def test_split_03_the_cut_is_where_the_chain_leaves(house):
    """SPLIT-03: links inside the route are kept, the rest is asked."""
    a, b, c = corp(), corp(), fresh_name("outer")
    house.office.says(a, [rr(c, "A", 300, EVIL), rr(b, "CNAME", 300, c),
                          rr(a, "CNAME", 300, b)])
    msg = house.larder.ask(a)
    assert a_chain(msg) == [(a, 5), (b, 5), (c, 1)]
    assert msg.a() == [PUBLIC]
    assert house.asked(b) == (0, 0, 0)


def test_split_03_missing_target(house):
    """SPLIT-03: what the target's own server denies is denied (NEG-07)."""
    name, gone = corp(), fresh_name("gone")
    house.office.says(name, [rr(name, "CNAME", 300, gone),
                             rr(gone, "A", 300, EVIL)])
    house.public.says(gone, [], [soa("example.")], rcode=NXDOMAIN)
    msg = house.larder.ask(name)
    assert msg.rcode == NXDOMAIN
    assert a_chain(msg) == [(name, 5)]
    assert [r.qtype for r in msg.authority] == [6]


def test_split_03_forged_denial_of_the_target(house):
    """SPLIT-03: nor can office deny what lies outside its route."""
    name, there = corp(), fresh_name("there")
    house.office.says(name, [rr(name, "CNAME", 300, there)], [soa("example.")],
                      rcode=NXDOMAIN)
    msg = house.larder.ask(name)
    assert msg.rcode == NOERROR
    assert a_chain(msg) == [(name, 5), (there, 1)] and msg.a() == [PUBLIC]
    assert house.larder.ask(there).a() == [PUBLIC]


def test_split_03_loop_over_two_routes(house):
    """SPLIT-03: an alias that returns over another route ends in SERVFAIL."""
    a, b = corp(), fresh_name("outer")
    house.office.says(a, [rr(a, "CNAME", 300, b)])
    house.public.says(b, [rr(b, "CNAME", 300, a)])
    msg = house.larder.ask(a, timeout=5)
    assert msg is not None and msg.rcode == SERVFAIL
    assert sum(house.asked(a) + house.asked(b)) <= 24
    house.larder.alive()


# --- SPLIT-04 -------------------------------------------------------------

@pytest.mark.parametrize("death", ["silent", "closed", "SERVFAIL", "REFUSED"])
def test_split_04_no_fall_back_to_forward(death):
    """SPLIT-04: a dead private server is SERVFAIL; the name never leaks."""
    with contextlib.ExitStack() as stack:
        public = stack.enter_context(Server(PUBLIC))
        if death == "closed":
            url = f"127.0.0.1:{free_port()}"
        else:
            private = stack.enter_context(Server(OFFICE))
            private.handler = {
                "silent": lambda ctx: None,
                "SERVFAIL": lambda ctx: ctx.send(
                    reply(ctx.msg, rcode=SERVFAIL)),
                "REFUSED": lambda ctx: ctx.send(
                    reply(ctx.msg, rcode=REFUSED)),
            }[death]
            url = private.url
        larder = stack.enter_context(Larder([public], conf={
            "resend-after": "50ms", "query-timeout": "300ms",
            "resolve-timeout": "500ms", "routes": {"corp.example": [url]}}))
        # FWD-05: what every server of the route refuses stays REFUSED.
        expected = {REFUSED} if death == "REFUSED" else {SERVFAIL}
        names = [corp() for _ in range(3)]
        names += ["corp.example.", "X.CORP.EXAMPLE."]
        for name in names:
            msg = larder.ask(name, timeout=2)
            assert msg is not None and msg.rcode in expected, (name, msg)
            assert msg.answer == []
        larder.alive()
        alias = fresh_name("outer")
        public.says(alias, [rr(alias, "CNAME", 300, names[0]),
                            rr(names[0], "A", 300, EVIL)])
        msg = larder.ask(alias, timeout=2)
        assert msg is not None and EVIL not in msg.a(), msg
        assert msg.rcode in expected | {SERVFAIL}
        time.sleep(0.3)         # all work for the last question has ended
        assert not [e for e in public.log if e.name.endswith("corp.example.")]
