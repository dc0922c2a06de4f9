"""larderd and larderctl as people and programs on the host meet them.

Start, stop and reload; mistakes in the configuration and how they are told;
where upstreams come from when none are named; addresses that are missing or
taken; the control socket, spoken to by larderctl and, octet by octet, by a
small Varlink client of our own.  What larder answers to DNS questions is the
business of the other files here.
"""

import contextlib
import json
import os
import pwd
import random
import re
import shlex
import shutil
import signal
import socket
import stat
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

import harness
from harness import (NXDOMAIN, REFUSED, SERVFAIL, Larder, Upstream,
                     eventually, fresh_name, parse, query, reply, rr, soa,
                     soon_enough)

POSITION = re.compile(r"(?m)^(?:\S.*? )?(?P<file>\S+?):(?P<line>\d+):(?P<column>\d+): "
                      r"(?P<what>.+)$")

# The keys of the configuration (larder.yaml(5)), nested ones below theirs.
KEYS = {
    "listen", "forward", "bootstrap", "resolv-file", "allow", "user",
    "threads",
    "query-timeout", "resolve-timeout", "resend-after", "max-flights",
    "edns-size", "case-mixing", "local-names", "control-socket",
    "state-directory", "metrics-listen", "metrics-hosts", "metrics-names",
    "slow-query", "query-log", "log-level", "upgrade", "policy",
    "route-policy", "tcp", "limits", "cache", "identity", "upstreams",
    "routes",
}
SUB_KEYS = {
    "tcp": {"idle", "clients", "per-client", "in-flight"},
    "cache": {"size", "min-ttl", "max-ttl", "negative-ttl", "failure-ttl",
              "failure-ttl-max", "stale", "stale-ttl", "stale-wait",
              "stale-recheck", "prefetch"},
    "identity": {"version", "hostname"},
    "limits": {"waiting-per-client", "replies-per-second", "loopback"},
}


def run(program, *args, timeout=30, **kw):
    """One run of larderd or larderctl to its end; out and err in one text."""
    return subprocess.run([harness.find_binary(program), *map(str, args)],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=timeout,
                          **kw)


def in_own_network(work):
    try:
        return harness.in_netns(work)
    except PermissionError as error:
        pytest.skip(str(error))


def version_says(larder):
    """The text of version.bind, or None when it is refused."""
    msg = larder.ask("version.bind.", "TXT", qclass=3)
    if msg.rcode == REFUSED:
        return None
    return msg.answer[0].rdata[1:].decode()


# --- checking a configuration -----------------------------------------------

class Checked:
    """What `larderd --check` said about one configuration."""

    def __init__(self, folder, text):
        self.path = Path(folder) / "larder.yaml"
        if isinstance(text, bytes):
            self.path.write_bytes(text)
        else:
            self.path.write_text(text)
        self.run = run("larderd", "--config", self.path, "--check")
        self.code, self.out = self.run.returncode, self.run.stdout
        self.mistakes = {}
        for found in POSITION.finditer(self.out):
            where = int(found["line"]), int(found["column"])
            self.mistakes.setdefault(where, []).append(found["what"])
            assert found["file"] == str(self.path), self.out

    def says(self, line, column, *words):
        """One mistake at that place, in whose text all words occur."""
        told = self.mistakes.get((line, column))
        assert told, f"nothing about {line}:{column} in\n{self.out}"
        assert any(all(w.lower() in t.lower() for w in words) for t in told), (
            f"{words} not said of {line}:{column} in\n{self.out}")


@pytest.fixture
def check(tmp_path):
    return lambda text: Checked(tmp_path, text)


def test_check_accepts_a_good_file(check):
    """--check of a good file: exit code 0; nothing is bound, nothing stays."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = check(f"""\
# A comment, and a few forms YAML has for the same thing.
listen: ["127.0.0.1:{taken.getsockname()[1]}", '[::1]:5300']
forward:
  - 192.0.2.1
  - "udp://192.0.2.2:5353"
  - tcp://[2001:db8::1]:53
  - office
cache: {{size: 16M, max-ttl: 1h}}
upstreams:
  office:
    url: 192.0.2.3
routes:
  corp.example: [office, 192.0.2.4]
""")
    assert done.code == 0, done.out
    assert not done.mistakes
    assert list(done.path.parent.iterdir()) == [done.path]


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "---\n"])
def test_check_accepts_an_empty_file(check, text):
    """Every key has a default, so an empty file is a good one."""
    assert check(text).code == 0


def test_check_reports_every_mistake_in_one_run(check):
    """Several mistakes, all told in one run as file:line:column, exit code 1."""
    done = check("""\
listn: [127.0.0.1]
forward: [192.0.2.1, 192.0.2.999]
query-timeout: 4 lightyears
threads: 100
cache:
  size: 64Q
  negativ-ttl: 5m
tcp:
  clients: many
threads: 2
""")
    assert done.code == 1
    done.says(1, 1, "listn", "listen")
    done.says(2, 22, "192.0.2.999")
    done.says(3, 16, "4 lightyears")
    done.says(4, 10, "64")
    done.says(6, 9, "64Q")
    done.says(7, 3, "negativ-ttl", "negative-ttl")
    done.says(9, 12, "many")
    done.says(10, 1, "threads")
    assert len(done.mistakes) == 8, done.out
    # With the line shown, so that nobody has to look it up.
    for line in ("listn: [127.0.0.1]", "  negativ-ttl: 5m"):
        assert line in done.out, done.out


def test_start_with_mistakes_says_the_same(tmp_path):
    """Without --check the same mistakes keep larderd from starting."""
    path = tmp_path / "larder.yaml"
    path.write_text("listn: [127.0.0.1]\nthreads: 0\n")
    done = run("larderd", "--config", path)
    assert done.returncode == 1
    assert f"{path}:1:1: " in done.stdout and f"{path}:2:10: " in done.stdout


@pytest.mark.parametrize("wrong, meant", [
    ("listn", "listen"), ("foward", "forward"), ("forwards", "forward"),
    ("resolv_file", "resolv-file"), ("query_timeout", "query-timeout"),
    ("control-sock", "control-socket"), ("Cache", "cache"),
    ("route", "routes"),
])
def test_did_you_mean(check, wrong, meant):
    """An unknown key near a known one is answered with that one."""
    done = check(f"{wrong}: x\n")
    assert done.code == 1
    done.says(1, 1, wrong, "did you mean", meant)


def test_did_you_mean_only_what_is_near(check):
    """A key like no other gets no guess."""
    done = check("bandersnatch: 1\n")
    done.says(1, 1, "bandersnatch")
    assert "did you mean" not in done.out


@pytest.mark.parametrize("section", sorted(SUB_KEYS))
def test_unknown_keys_in_sections(check, section):
    """Unknown keys inside a section are told, with the section's own guesses."""
    key = sorted(SUB_KEYS[section])[-1]
    wrong = key[:-1] + "xx"
    done = check(f"{section}:\n    {wrong}: 1\n")
    assert done.code == 1
    done.says(2, 5, wrong, key)


LOW = """\
threads: 1
query-timeout: 100ms
resolve-timeout: 500ms
resend-after: 10ms
max-flights: 16
edns-size: 512
tcp:
  idle: 100ms
  clients: 1
  per-client: 1
  in-flight: 1
cache:
  size: 1M
  min-ttl: 0s
  max-ttl: 1s
  negative-ttl: 0s
  failure-ttl: 1s
  failure-ttl-max: 1s
"""
HIGH = """\
threads: 64
query-timeout: 30s
resolve-timeout: 60s
resend-after: 1s
max-flights: 65536
edns-size: 1400
tcp:
  idle: 10m
  clients: 65536
  per-client: 65536
  in-flight: 10000
cache:
  size: 64G
  min-ttl: 1h
  max-ttl: 7d
  negative-ttl: 3h
  failure-ttl: 5m
  failure-ttl-max: 5m
"""
UNDER = {"threads": "0", "query-timeout": "99ms", "resolve-timeout": "499ms",
         "resend-after": "9ms", "max-flights": "15", "edns-size": "511",
         "idle": "99ms", "clients": "0", "per-client": "0", "in-flight": "0",
         "size": "1023K", "max-ttl": "0s", "failure-ttl": "999ms",
         "failure-ttl-max": "999ms", "min-ttl": "-1s", "negative-ttl": "-1s"}
OVER = {"threads": "65", "query-timeout": "30001ms",
        "resolve-timeout": "60001ms", "resend-after": "1001ms",
        "max-flights": "65537", "edns-size": "1401", "idle": "601s",
        "clients": "65537", "per-client": "65537", "in-flight": "10001",
        "size": "65G", "min-ttl": "3601s", "max-ttl": "8d",
        "negative-ttl": "10801s", "failure-ttl": "301s",
        "failure-ttl-max": "301s"}


@pytest.mark.parametrize("text", [LOW, HIGH], ids=["low", "high"])
def test_bounds_themselves_are_good(check, text):
    """The least and the greatest value of every setting are accepted."""
    done = check(text)
    assert done.code == 0, done.out


@pytest.mark.parametrize("text, values", [(LOW, UNDER), (HIGH, OVER)],
                         ids=["under", "over"])
def test_bounds_are_kept(check, text, values):
    """Values past their bounds are told one by one, where they stand.

    FAIL-02 among them: a failure is never held for under 1 s nor over 300 s.
    """
    lines, expected = [], []
    for number, line in enumerate(text.splitlines(), 1):
        key = line.split(":")[0]
        if key.strip() in values and ": " in line:
            line = f"{key}: {values[key.strip()]}"
            expected.append((number, len(key) + 3))
        lines.append(line)
    assert len(expected) == len(values)
    done = check("\n".join(lines) + "\n")
    assert done.code == 1
    for line, column in expected:
        done.says(line, column)
    assert set(done.mistakes) == set(expected), done.out


@pytest.mark.parametrize("text, line, column, words", [
    ("query-timeout: 5s\nresolve-timeout: 4s\n", None, None,
     ("query-timeout", "resolve-timeout")),
    ("resolve-timeout: 3s\n", None, None, ("query-timeout", "resolve-timeout")),
    ("cache:\n  failure-ttl: 10s\n  failure-ttl-max: 9s\n", None, None,
     ("failure-ttl", "failure-ttl-max")),
    ("query-timeout: 5\n", 1, 16, ("5",)),
    ("query-timeout: 5 s s\n", 1, 16, ()),
    ("query-timeout: [5s]\n", 1, 16, ()),
    ("query-timeout:\n  a: 5s\n", 2, 3, ()),
    ("cache:\n  size: 64\n", 2, 9, ("64",)),
    ("cache:\n  size: 99999999999999999999G\n", 2, 9, ()),
    ("cache: 64M\n", 1, 8, ()),
    ("threads: 1.5\n", 1, 10, ("1.5",)),
    ("threads: 0x2\n", 1, 10, ("0x2",)),
    ("threads: ''\n", 1, 10, ()),
    ("case-mixing: maybe\n", 1, 14, ("maybe", "yes", "no")),
    ("log-level: loud\n", 1, 12, ("loud", "notice")),
    ("listen: [127.0.0.1, 127.0.0.1:70000]\n", 1, 21, ("70000",)),
    ("listen: [localhost]\n", 1, 10, ("localhost",)),
    ("listen: ['::1:53x']\n", 1, 10, ()),
    ("listen: []\n", 1, 9, ()),
    ("allow: [127.0.0.0/8, 192.0.2.0/33]\n", 1, 22, ("192.0.2.0/33",)),
    ("allow: ['2001:db8::/129']\n", 1, 9, ()),
    ("forward: [dns.example]\n", 1, 11, ("dns.example",)),
    ("forward: ['gopher://192.0.2.1']\n", 1, 11, ("gopher",)),
    ("forward: ['udp://192.0.2.1:0']\n", 1, 11, ()),
    ("forward: [ofice]\nupstreams:\n  office: {url: 192.0.2.1}\n", 1, 11,
     ("ofice",)),
    ("upstreams:\n  office: {}\n", 2, None, ("url",)),
    ("upstreams:\n  office: {urll: 192.0.2.1}\n", 2, 12, ("urll", "url")),
    ("upstreams:\n  office: {url: nowhere}\n", 2, 17, ("nowhere",)),
    ("routes:\n  corp.example: [ofice]\n", 2, 18, ("ofice",)),
    ("routes:\n  corp..example: [192.0.2.1]\n", 2, 3, ("corp..example",)),
    ("routes:\n  corp.example: []\n", 2, None, ()),
    ("- listen\n- forward\n", 1, 1, ()),
    ("just a text\n", 1, 1, ()),
    ("forward: [192.0.2.1\nthreads: 2\n", None, None, ()),
    ("forward: 'open\n", None, None, ()),
    ("cache:\n\tsize: 64M\n", 2, None, ()),
    ("a: &x [1]\nb: *y\n", None, None, ()),
])
def test_mistakes(check, text, line, column, words):
    """Each mistake is told where it is, in words, with exit code 1."""
    done = check(text)
    assert done.code == 1, done.out
    assert done.mistakes, done.out
    if line is not None and column is not None:
        done.says(line, column, *words)
    else:
        if line is not None:
            assert line in {at for at, _ in done.mistakes}, done.out
        for word in words:
            assert word in done.out, done.out


@pytest.mark.parametrize("text, line, column", [
    ("forward: ['quic://9.9.9.9']\n", 1, 11),
    ("forward: ['h3://1.1.1.1/dns-query']\n", 1, 11),
    ("upstreams:\n  office:\n    url: quic://10.0.0.53\n", 3, 10),
    ("routes:\n  corp.example: ['h3://10.0.0.53/']\n", 2, 18),
])
def test_not_built_yet(check, text, line, column):
    """What is known but not built is told as that, with its place, code 1."""
    done = check(text)
    assert done.code == 1, done.out
    done.says(line, column, "not built yet")
    done = run("larderd", "--config", done.path)
    assert done.returncode == 1 and "not built yet" in done.stdout


def test_not_built_yet_from_the_command_line():
    """--forward quic://… is told, too, and nothing starts."""
    done = run("larderd", "--listen", "127.0.0.1:5300", "--forward",
               "quic://9.9.9.9", "--control-socket", "")
    assert done.returncode == 1
    assert "not built yet" in done.stdout and "quic://9.9.9.9" in done.stdout


@pytest.mark.parametrize("octets", [
    b"\xff\xfe\x00\x00", b"forward: [\xc3\x28]\n", b"\0\0\0", random.Random(1).randbytes(4096),
    b"[" * 20000, b"a: {" * 5000, b"? " * 5000,
    b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (c + 1, c + 1, b",".join([b"*%c" % c] * 9))
               for c in range(ord("a"), ord("k"))),
], ids=["bom", "utf8", "nul", "random", "deep-list", "deep-map", "deep-key",
        "laughs"])
def test_files_that_are_no_configuration(check, octets):
    """Octets of any kind end in a plain refusal, soon, and no crash."""
    began = time.monotonic()
    done = check(octets)
    assert done.code == 1, done.out[-2000:]
    assert done.out.strip()
    assert time.monotonic() - began < 5
    assert len(done.out) < 1 << 16


def test_missing_file(tmp_path):
    """A file that is not there, or is a folder, is named with the reason."""
    for path in (tmp_path / "nothing.yaml", tmp_path):
        for args in ([], ["--check"]):
            done = run("larderd", "--config", path, *args)
            assert done.returncode == 1
            assert str(path) in done.stdout
            assert re.search(r"(?i)no such file|directory", done.stdout)


def test_text_stays_text(upstream):
    """YAML's guesses never apply: `no` and 1.10 are texts where text is due."""
    text = """\
listen: ["127.0.0.1:%d"]
forward: [%s]
control-socket: ""
identity:
  version: no
  hostname: 1.10
""" % (harness.free_port(), upstream.url)
    with Larder(conf=text) as larder:
        larder.port = int(re.search(r":(\d+)\"", text)[1])
        larder.host = "127.0.0.1"
        assert version_says(larder) == "no"
        msg = larder.ask("hostname.bind.", "TXT", qclass=3)
        assert msg.answer[0].rdata == b"\x041.10"


def test_files_beside_the_first(upstream, fresh):
    """larder.yaml.d/*.yaml are read in order; later ones win; others are not."""
    with Larder([upstream], conf={"cache": {"max-ttl": "100s"},
                                  "identity": {"version": "main"}},
                expect_start=True) as larder:
        folder = Path(larder.conf_path + ".d")
        folder.mkdir()
        (folder / "20-b.yaml").write_text("cache: {max-ttl: 50s}\n")
        (folder / "10-a.yaml").write_text(
            "cache:\n  max-ttl: 70s\n  negative-ttl: 20s\n")
        (folder / "30-c.yaml.bak").write_text("nonsense: 1\n")
        (folder / "README").write_text("nonsense")
        done = larder.ctl("reload")
        assert done.returncode == 0, done.stderr
        assert larder.ask(fresh()).answer[0].ttl == 50
        upstream.handler = lambda ctx: ctx.send(reply(
            ctx.msg, authority=[soa("example.", 300, 300)], rcode=NXDOMAIN))
        assert larder.ask(fresh()).authority[0].ttl == 20
        assert version_says(larder) == "main"

        wrong = folder / "40-d.yaml"
        wrong.write_text("\ncache:\n  max-tll: 1s\n")
        checked = run("larderd", "--config", larder.conf_path, "--check")
        assert checked.returncode == 1
        assert f"{wrong}:3:3: " in checked.stdout, checked.stdout
        assert larder.ctl("reload").returncode != 0


def test_schema():
    """--schema prints a JSON Schema that knows every key and no other."""
    done = run("larderd", "--schema")
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    assert "json-schema.org" in schema["$schema"]
    assert set(schema["properties"]) == KEYS
    assert schema["additionalProperties"] is False
    for section, keys in SUB_KEYS.items():
        inner = schema["properties"][section]
        assert set(inner["properties"]) == keys
        assert inner["additionalProperties"] is False


def test_version_help_and_unknown_options():
    """--version and --help say what they should, and mistakes are mistakes."""
    for program in ("larderd", "larderctl"):
        version = run(program, "--version")
        assert version.returncode == 0
        assert re.search(r"larder\S* .*\d+\.\d+", version.stdout)
        usage = run(program, "--help")
        assert usage.returncode == 0 and "--help" in usage.stdout
        wrong = run(program, "--no-such-option")
        assert wrong.returncode not in (0, -signal.SIGABRT, -signal.SIGSEGV)
        assert "--no-such-option" in wrong.stdout
    for option in ("--config", "--check", "--listen", "--forward", "--schema",
                   "--control-socket", "--threads"):
        assert option in run("larderd", "--help").stdout
    for verb in ("status", "stats", "flush", "reload", "config"):
        assert verb in run("larderctl", "--help").stdout


# --- start ------------------------------------------------------------------

def test_start_and_stop(upstream):
    """Ready at once, answers, and SIGTERM or SIGINT ends it with code 0,
    without the second that it has when somebody waits."""
    for sig in (signal.SIGTERM, signal.SIGINT):
        def end():
            larder = Larder([upstream])
            began = time.monotonic()
            with larder:
                assert time.monotonic() - began < 4
                larder.alive()
                assert Path(larder.control).is_socket()
                began = time.monotonic()
                larder.proc.send_signal(sig)
                assert larder.stop() == 0
                took = time.monotonic() - began
                assert not Path(larder.control).exists()
                return took

        soon_enough(end, 0.7)


def test_ready_without_any_network():
    """Ready within 200 ms, half a second at most here, without a network."""
    def start():
        began = time.monotonic()
        with Larder(["192.0.2.1"]) as larder:
            took = time.monotonic() - began
            msg = larder.ask("version.bind.", "TXT", qclass=3)
            assert msg is not None and msg.rcode == REFUSED
            # No route at all: told at once, not after a time-out.
            msg = larder.ask(fresh_name(), opt=harness.Opt(), timeout=6)
            assert msg is not None and msg.rcode == SERVFAIL, msg
            return took

    def work():
        soon_enough(start, 0.5)

    in_own_network(work)


def test_without_a_file(upstream, tmp_path, fresh):
    """--listen and --forward, both repeatable, are enough; no file is read."""
    ports = [harness.free_port() for _ in range(2)]
    control = tmp_path / "io.larder"
    args = ["--control-socket", control, "--threads", "2"]
    for port in ports:
        args += ["--listen", f"127.0.0.1:{port}"]
    # The second upstream is the one that answers.
    with Upstream(tcp=False) as refusing:
        refusing.handler = lambda ctx: ctx.send(reply(ctx.msg, rcode=REFUSED))
        args += ["--forward", refusing.url, "--forward", f"udp://{upstream.url}"]
        with daemon(args) as larder:
            for port in ports:
                for ask in (larder.ask, larder.ask_tcp):
                    msg = ask(fresh(), to=("127.0.0.1", port))
                    assert msg is not None and msg.a(), msg
            done = run("larderctl", "--socket", control, "config")
            assert done.returncode == 0
            assert re.search(r"threads.*\b2\b", done.stdout), done.stdout


class Plain(Larder):
    """A larderd with these arguments and nothing else."""

    def __init__(self, args):
        super().__init__()
        self.argv = list(map(str, args))

    def start(self):
        self._stopped = False
        with open(self._err_path, "ab") as err:
            self.proc = subprocess.Popen(
                [harness.find_binary("larderd"), *self.argv], cwd=self.dir,
                stdin=subprocess.DEVNULL, stdout=err, stderr=err)
        self.pid = self.proc.pid
        eventually(lambda: re.search(r"(?m)(^|\s)ready: ", self.log())
                   or self.proc.poll() is not None, 10, self.log)
        self.check_running()
        return self


def daemon(args):
    return Plain(args)


@pytest.mark.parametrize("args, words", [
    (["--listen", "nonsense", "--forward", "192.0.2.1"], ["nonsense"]),
    (["--listen", "127.0.0.1:99999", "--forward", "192.0.2.1"], ["99999"]),
    (["--listen", "127.0.0.1:5300", "--forward", "no where"], ["no where"]),
    (["--listen", "127.0.0.1:5300", "--forward", "192.0.2.1",
      "--threads", "0"], ["threads", "64"]),
    (["--listen"], ["--listen"]),
    (["surplus"], ["surplus"]),
])
def test_mistakes_on_the_command_line(args, words):
    """Mistakes on the command line name the option's value and start nothing."""
    done = run("larderd", *args)
    assert done.returncode not in (0, -signal.SIGABRT, -signal.SIGSEGV)
    assert done.returncode > 0
    for word in words:
        assert word in done.stdout, done.stdout


def test_command_line_over_file(upstream, fresh):
    """Options of the command line win over the file."""
    port = harness.free_port()
    with Larder(["192.0.2.1"], args=["--forward", upstream.url, "--listen",
                                     f"127.0.0.1:{port}"]) as larder:
        msg = larder.ask(fresh(), to=("127.0.0.1", port))
        assert msg is not None and msg.a(), msg
        # And a reload of the file does not undo them.
        assert larder.ctl("reload").returncode == 0
        msg = larder.ask(fresh(), to=("127.0.0.1", port))
        assert msg is not None and msg.a(), msg


@pytest.mark.parametrize("kind", ["udp", "tcp"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_port_in_use(upstream, kind, host):
    """A port in use: which, by whom, what to do; exit code 1."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM if kind == "udp"
                       else socket.SOCK_STREAM) as taken:
        taken.bind((host, 0))
        if kind == "tcp":
            taken.listen()
        port = taken.getsockname()[1]
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        with Larder([upstream], listen=[shown],
                    expect_start=False) as larder:
            assert larder.proc.returncode == 1
            log = larder.log()
            assert shown in log and "in use" in log, log
            assert kind in log.lower(), log
            # What to do: one of the two things that help.
            assert re.search(r"(?i)stop|listen", log.split("in use", 1)[1]), log
            assert not Path(larder.control).exists()


def test_port_in_use_by_whom(upstream):
    """The holder of the port is named, where the system lets us know."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with Larder([upstream], listen=["127.0.0.1:%d" % taken.getsockname()[1]],
                    expect_start=False) as larder:
            assert re.search(rf"\b{os.getpid()}\b", larder.log()), larder.log()


def test_port_in_use_by_another_larderd(upstream, fresh):
    """A second larderd on the same port is refused, SO_REUSEPORT or not."""
    with Larder([upstream]) as first:
        with Larder([upstream], listen=[f"127.0.0.1:{first.port}"],
                    expect_start=False) as second:
            assert second.proc.returncode == 1
            assert f"127.0.0.1:{first.port}" in second.log()
        for _ in range(10):
            assert first.ask(fresh(), timeout=1).a()


def test_several_addresses(upstream, fresh):
    """Addresses of both families; one that the host lacks stops nothing."""
    def work():
        with Upstream() as up, Larder(
                [up], conf={"allow": ["127.0.0.0/8", "::1", "198.51.100.0/24"]},
                listen=["198.51.100.7:{port}", "[2001:db8::7]:{port}",
                        "127.0.0.1:{port}", "127.0.0.9:{port}",
                        "[::1]:{port}"]) as larder:
            for host in ("127.0.0.1", "127.0.0.9", "::1"):
                for ask in (larder.ask, larder.ask_tcp):
                    msg = ask(fresh_name(), to=host)
                    assert msg is not None and msg.a(), (host, msg)
            # The address comes later: it is served without a restart.
            subprocess.run(["ip", "addr", "add", "198.51.100.7/32", "dev", "lo"],
                           check=True)
            for ask in (larder.ask, larder.ask_tcp):
                msg = ask(fresh_name(), to="198.51.100.7", src="198.51.100.7")
                assert msg is not None and msg.a(), msg

    in_own_network(work)


NO_IPV6_SOURCE = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int socket(int domain, int type, int protocol)
{
	if (domain == AF_INET6) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	return syscall(SYS_socket, domain, type, protocol);
}
"""


def test_a_missing_family(upstream, tmp_path):
    """A kernel without IPv6 stops neither the start nor the IPv4 listener."""
    compiler = shlex.split(os.environ.get("CC", "cc"))[0]
    if not shutil.which(compiler):
        pytest.skip("no C compiler to take IPv6 away with")
    source, library = tmp_path / "no6.c", tmp_path / "no6.so"
    source.write_text(NO_IPV6_SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source],
                   check=True)
    asan = os.environ.get("ASAN_OPTIONS", "exitcode=99")
    with Larder([upstream], listen=["[::1]:{port}", "127.0.0.1:{port}"],
                env={"LD_PRELOAD": str(library),
                     "ASAN_OPTIONS": asan + ":verify_asan_link_order=0"}
                ) as larder:
        msg = larder.ask(fresh_name(), to="127.0.0.1")
        assert msg is not None and msg.a(), msg
        assert "::1" in larder.log(), "not a word about the missing listener"


def test_ipv6_switched_off():
    """IPv6 switched off by the administrator stops nothing either."""
    def work():
        try:
            Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
        except OSError as error:
            pytest.skip(f"IPv6 cannot be switched off here: {error}")
        with Upstream() as up, Larder(
                [up], listen=["127.0.0.1:{port}", "[::1]:{port}"]) as larder:
            larder.alive()

    in_own_network(work)


def test_wildcard_without_allow_is_warned_of(upstream):
    """A wildcard listener without `allow` gets a warning, with one none."""
    for conf, warned in (({}, True),
                         ({"allow": ["127.0.0.0/8", "192.0.2.0/24"]}, False)):
        with Larder([upstream], listen=["0.0.0.0:{port}"], conf=conf) as larder:
            larder.alive()
            assert bool(re.search(r"(?m)^.*0\.0\.0\.0.*allow|^.*allow.*0\.0\.0\.0",
                                  larder.log())) == warned, larder.log()


def test_unknown_user(upstream):
    """A user that does not exist is told, and nothing runs on as root."""
    with Larder([upstream], conf={"user": "no-such-user-here"},
                expect_start=False) as larder:
        assert larder.proc.returncode == 1
        assert "no-such-user-here" in larder.log()


def test_user_drops_root():
    """`user:` leaves root behind once the ports are bound, and all still works."""
    if os.geteuid() != 0:
        pytest.skip("only root can drop root")
    nobody = pwd.getpwnam("nobody")

    def work():
        with Upstream() as up, Larder(
                [up], listen=["127.0.0.1:53", "[::1]:53"],
                conf={"user": "nobody", "threads": 2}) as larder:
            for task in Path(f"/proc/{larder.pid}/task").iterdir():
                status = dict(line.split(":\t", 1) for line in
                              (task / "status").read_text().splitlines()
                              if ":\t" in line)
                assert set(status["Uid"].split()) == {str(nobody.pw_uid)}
                assert set(status["Gid"].split()) == {str(nobody.pw_gid)}
                assert "0" not in status["Groups"].split()
                bind_only = 1 << 10         # CAP_NET_BIND_SERVICE
                assert int(status["CapEff"], 16) & ~bind_only == 0
                assert int(status["CapPrm"], 16) & ~bind_only == 0
            for host in ("127.0.0.1", "::1"):
                for ask in (larder.ask, larder.ask_tcp):
                    assert ask(fresh_name(), to=host).a()
            assert larder.ctl("status").returncode == 0
            larder.rewrite({"user": "nobody", "threads": 2,
                            "identity": {"version": "after"}})
            done = larder.ctl("reload")
            assert done.returncode == 0, done.stderr
            assert version_says(larder) == "after"

    in_own_network(work)


# --- upstreams from resolv.conf ---------------------------------------------

def resolvers(stack, *hosts):
    return [stack.enter_context(Upstream(host, 53)) for host in hosts]


def reaches(larder, upstream, timeout=10):
    """Waits until a new question reaches `upstream`."""
    def one():
        name = fresh_name()
        larder.ask(name, timeout=2)
        return upstream.count(name)
    eventually(one, timeout, lambda: "it is not asked\n" + larder.log())


def test_resolv_file(tmp_path):
    """Without `forward` the name servers of resolv-file are asked.

    Other lines, and lines that are none, do not matter; the file counts again
    whenever it changes, be it written, renamed over, or gone and back.
    """
    path = tmp_path / "resolv.conf"

    def work():
        with contextlib.ExitStack() as stack:
            one, two, three = resolvers(stack, "127.0.5.1", "127.0.5.2", "::1")
            path.write_text("# made by hand\nsearch example.com\n"
                            "nameserver\nnameserver nonsense\n"
                            "nameserver \t 127.0.5.1  # the one\n"
                            "options ndots:5 timeout:1\n;nameserver 127.0.5.9\n"
                            "sortlist 127.0.5.9/255.255.255.0")
            larder = stack.enter_context(
                Larder(conf={"resolv-file": str(path)}))
            name = fresh_name()
            assert larder.ask(name).a()
            assert one.count(name) == 1
            assert "127.0.5.1" in larder.ctl("status").stdout

            path.write_text("nameserver 127.0.5.2\n")
            reaches(larder, two)
            assert larder.ask(name).a() and one.count(name) <= 1

            new = path.with_name("resolv.conf.new")
            new.write_text("nameserver ::1\n")
            new.rename(path)
            reaches(larder, three)
            one.clear()
            two.clear()
            assert larder.ask(fresh_name()).a()
            assert one.quiet() and two.quiet()

            path.unlink()
            time.sleep(0.1)
            assert larder.ask(fresh_name()) is not None
            path.write_text("nameserver 127.0.5.1\n")
            reaches(larder, one)

    in_own_network(work)


def test_resolv_file_through_a_link(tmp_path):
    """A resolv.conf that is a link: both a new target and a new link count."""
    def work():
        with contextlib.ExitStack() as stack:
            one, two = resolvers(stack, "127.0.5.1", "127.0.5.2")
            real = tmp_path / "run"
            real.mkdir()
            (real / "a").write_text("nameserver 127.0.5.1\n")
            (real / "b").write_text("nameserver 127.0.5.1\n")
            link = tmp_path / "resolv.conf"
            link.symlink_to(real / "a")
            larder = stack.enter_context(
                Larder(conf={"resolv-file": str(link)}))
            reaches(larder, one)
            (real / "new").write_text("nameserver 127.0.5.2\n")
            (real / "new").rename(real / "a")
            reaches(larder, two)
            fresh_link = tmp_path / "link.new"
            fresh_link.symlink_to(real / "b")
            fresh_link.rename(link)
            reaches(larder, one)

    in_own_network(work)


def test_resolv_file_without_our_own_addresses(tmp_path):
    """larderd leaves out itself and 127.0.0.53, and asks what is left."""
    path = tmp_path / "resolv.conf"

    def work():
        with contextlib.ExitStack() as stack:
            stub, real = resolvers(stack, "127.0.0.53", "127.0.5.1")
            path.write_text("nameserver 127.0.0.1\nnameserver ::1\n"
                            "nameserver 127.0.0.53\nnameserver 127.0.5.1\n")
            larder = stack.enter_context(
                Larder(listen=["127.0.0.1:53", "[::1]:53"],
                       conf={"resolv-file": str(path)}))
            for _ in range(8):
                began = time.monotonic()
                assert larder.ask(fresh_name()).a()
                assert time.monotonic() - began < 0.9       # no resend
            assert stub.quiet()
            assert len({e.name for e in real.log}) == 8

            # None left: it says so at once, and status does, too.
            path.write_text("nameserver 127.0.0.1\nnameserver 127.0.0.53\n")
            eventually(lambda: larder.ask(
                fresh_name(), opt=harness.Opt()).rcode == SERVFAIL, 10,
                "the change was not seen")
            began = time.monotonic()
            msg = larder.ask(fresh_name(), opt=harness.Opt())
            assert msg.rcode == SERVFAIL and 22 in [c for c, _ in msg.ede], msg
            assert time.monotonic() - began < 2         # and not after 4
            assert stub.quiet()
            status = larder.ctl("status")
            assert status.returncode == 0
            assert re.search(r"(?i)\bno\b.*upstream|upstream.*\bnone\b",
                             status.stdout), status.stdout

    in_own_network(work)


@pytest.mark.parametrize("there", [True, False])
def test_start_without_any_upstream(tmp_path, there):
    """No upstream at all: starts, answers what it can, EDE 22 for the rest."""
    path = tmp_path / "resolv.conf"

    def work():
        if there:
            path.write_text("# nothing yet\n")
        with Larder(conf={"resolv-file": str(path),
                          "identity": {"version": "here"}}) as larder:
            assert version_says(larder) == "here"
            began = time.monotonic()
            msg = larder.ask(fresh_name(), opt=harness.Opt())
            assert msg.rcode == SERVFAIL and 22 in [c for c, _ in msg.ede], msg
            assert time.monotonic() - began < 2         # and not after 4
            status = larder.ctl("status").stdout
            assert re.search(r"(?i)\bno\b.*upstream|upstream.*\bnone\b", status)
            with Upstream("127.0.5.1", 53) as up:
                path.write_text("nameserver 127.0.5.1\n")
                reaches(larder, up)

    in_own_network(work)


# --- reload -----------------------------------------------------------------

def reloaded(larder, how):
    """Reloads; by SIGHUP it waits until something was logged."""
    if how == "SIGHUP":
        larder.hup()
        return None
    return larder.ctl("reload")


@pytest.mark.parametrize("how", ["SIGHUP", "larderctl"])
def test_reload(upstream, fresh, how):
    """A reload takes the new file and keeps cache, connections, questions."""
    slow, waiting_there = fresh("slow"), []

    def handler(ctx):
        if ctx.name == slow:
            waiting_there.append(ctx)
        else:
            ctx.default()

    upstream.handler = handler
    with Larder([upstream], conf={"identity": {"version": "one"}}) as larder:
        name = fresh()
        assert larder.ask(name).a()
        assert larder.ask(fresh(), src="127.0.0.2").a()
        with larder.tcp() as conn, larder.udp_socket() as waiting:
            conn.send(query(name))
            assert conn.recv().a()
            waiting.send(query(slow))
            upstream.wait(1, name=slow)
            larder.rewrite({"identity": {"version": "two"},
                            "allow": ["127.0.0.1/32"]})
            done = reloaded(larder, how)
            assert done is None or done.returncode == 0, done.stderr
            eventually(lambda: version_says(larder) == "two", 10, larder.log)
            assert larder.ask(fresh(), src="127.0.0.2").rcode == REFUSED
            conn.send(query(name))
            assert conn.recv().a(), "the connection was lost"
            for ctx in waiting_there:
                ctx.send(reply(ctx.msg, [rr(slow, "A", 60, "192.0.2.9")]))
            waiting.settimeout(6)
            assert parse(waiting.recv(4096)).a() == ["192.0.2.9"]
        assert upstream.count(name) == 1, "the cache was lost"


@pytest.mark.parametrize("how", ["SIGHUP", "larderctl"])
def test_reload_of_a_bad_file(upstream, fresh, how):
    """A bad file changes nothing: the mistakes are told, the old stays."""
    with Larder([upstream], conf={"identity": {"version": "good"}}) as larder:
        name = fresh()
        assert larder.ask(name).a()
        larder.rewrite("identity: {version: bad}\nlistn: [127.0.0.1]\n"
                       "threads: 0\n")
        done = reloaded(larder, how)
        if done is not None:
            assert done.returncode != 0
            told = done.stdout + done.stderr
        else:
            eventually(lambda: ":3:10: " in larder.log(), 10, larder.log)
            told = larder.log()
        for place in (":2:1: ", ":3:10: "):
            assert larder.conf_path + place in told, told
        assert version_says(larder) == "good"
        assert larder.ask(name).a() and upstream.count(name) == 1
        larder.alive()
        # A file that went away is a bad file, too.
        os.unlink(larder.conf_path)
        assert larder.ctl("reload").returncode != 0
        larder.alive()
        # And the next good one is taken.
        larder.rewrite({"identity": {"version": "better"}})
        assert larder.ctl("reload").returncode == 0
        assert version_says(larder) == "better"


def test_reload_changes_upstreams(upstream, fresh):
    """New questions go to the new upstream, and not to the old."""
    with Upstream() as other, Larder([upstream]) as larder:
        assert larder.ask(fresh()).a()
        larder.rewrite({"forward": [other]})
        assert larder.ctl("reload").returncode == 0
        for _ in range(3):
            name = fresh()
            assert larder.ask(name).a()
            assert other.count(name) == 1 and upstream.count(name) == 0


def test_reload_leaks_nothing(upstream, fresh):
    """A hundred reloads leave no descriptor behind."""
    def descriptors():
        return len(os.listdir(f"/proc/{larder.pid}/fd"))

    with Larder([upstream], conf={"threads": 2}) as larder:
        larder.alive()
        for _ in range(5):
            assert larder.ctl("reload").returncode == 0
        before = descriptors()
        for i in range(100):
            larder.proc.send_signal(signal.SIGHUP)
            if i % 10 == 0:
                larder.alive()
            time.sleep(0.003)
        assert larder.ctl("reload").returncode == 0
        # A few more upstream sockets may be open than before.
        eventually(lambda: descriptors() <= before + 12, 5, descriptors)
        larder.alive()


# --- stop -------------------------------------------------------------------

@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_sigterm_answers_what_is_in_flight(upstream, fresh, proto):
    """SIGTERM: who waits is answered, then it ends with code 0, before its
    second is over."""
    upstream.handler = lambda ctx: ctx.send_later(
        0.4, reply(ctx.msg, [rr(ctx.name, "A", 60, "192.0.2.5")]))
    soon_enough(lambda: stop_while_asked(upstream, fresh(), proto), 0.9)


def stop_while_asked(upstream, name, proto):
    """How long larderd takes to end when somebody waits for this name."""
    with Larder([upstream]) as larder:
        with contextlib.ExitStack() as stack:
            if proto == "udp":
                sock = stack.enter_context(larder.udp_socket())
                sock.send(query(name))
            else:
                conn = stack.enter_context(larder.tcp())
                conn.send(query(name))
            upstream.wait(1, name=name)
            began = time.monotonic()
            larder.proc.send_signal(signal.SIGTERM)
            if proto == "udp":
                sock.settimeout(6)
                msg = parse(sock.recv(4096))
            else:
                msg = conn.recv()
            assert msg is not None and msg.a() == ["192.0.2.5"], msg
        assert larder.stop() == 0
        return time.monotonic() - began


def test_sigterm_waits_for_a_second_at_most(upstream, fresh):
    """SIGTERM with a silent upstream: ends after about a second, code 0."""
    upstream.handler = lambda ctx: None
    with Larder([upstream]) as larder:
        with larder.udp_socket() as sock:
            name = fresh()
            sock.send(query(name))
            upstream.wait(1, name=name)
            began = time.monotonic()
            assert larder.stop() == 0
            took = time.monotonic() - began
            # And not until `query-timeout`, 4 s.
            assert 0.8 < took < 2.8, f"{took:.2f} s"


def test_sigterm_does_not_wait_for_idle_clients(upstream):
    """Idle connections, of clients or at the control socket, hold up nothing."""
    def end():
        with Larder([upstream]) as larder, larder.tcp(), larder.tcp(), \
                Varlink(larder.control):
            larder.alive()
            began = time.monotonic()
            assert larder.stop() == 0
            return time.monotonic() - began

    soon_enough(end, 0.7)       # the second is for those who wait


def test_port_is_free_after_stop(upstream):
    """The same port can be bound at once by the next larderd."""
    with Larder([upstream]) as first:
        first.alive()
        with first.tcp() as conn:
            conn.send(query(fresh_name()))
            assert conn.recv() is not None
            assert first.stop() == 0
    with Larder([upstream], listen=[f"127.0.0.1:{first.port}"]) as second:
        second.alive()


# --- larderctl --------------------------------------------------------------

def test_ctl_status(larder, upstream):
    """status: version, addresses, upstreams; as text and as JSON."""
    larder.alive()
    done = larder.ctl("status")
    assert done.returncode == 0 and not done.stderr
    assert f"{larder.host}:{larder.port}" in done.stdout
    assert upstream.url in done.stdout
    assert "\x1b" not in done.stdout, "colour without a terminal"
    for args in (("--json", "status"), ("status", "--json")):
        done = larder.ctl(*args)
        assert done.returncode == 0
        told = json.loads(done.stdout)
        assert upstream.url in json.dumps(told)


def test_ctl_stats(upstream, fresh):
    """stats: outcomes are disjoint and sum to the queries."""
    with Larder([upstream], conf={"identity": {"version": "x"},
                                  "threads": 2}) as larder:
        names = [fresh() for _ in range(5)]
        for name in names:
            larder.ask(name)                        # 5 misses
        began = time.monotonic()
        for name in names[:3]:
            larder.ask(name)                        # 3 hits over UDP
        larder.ask_tcp(names[0])                    # and one over TCP
        hits_us = (time.monotonic() - began) * 1e6
        larder.ask("version.bind.", "TXT", qclass=3)
        larder.ask(fresh(), qclass=4)               # refused
        upstream.handler = lambda ctx: ctx.send_later(
            0.1, reply(ctx.msg, [rr(ctx.name, "A", 60, "192.0.2.5")]))
        name, began = fresh(), time.monotonic()
        with larder.udp_socket() as one, larder.udp_socket() as two:
            # The same worker need not get both: then it is two misses.
            for sock in (one, two):
                sock.send(query(name))
            for sock in (one, two):
                sock.settimeout(6)
                sock.recv(4096)
        slow_us = (time.monotonic() - began) * 1e6
        stats = larder.stats()
        assert stats["queries"] == 13, stats
        count = {k: v["count"] for k, v in stats["outcomes"].items()}
        assert set(count) == {"hit", "stale", "miss", "joined", "local",
                              "refused"}
        assert sum(count.values()) == 13, count
        assert count["hit"] == 4 and count["stale"] == 0, count
        assert count["miss"] + count["joined"] == 7, count
        assert count["local"] == 1 and count["refused"] == 1, count
        assert stats["cache"]["entries"] == 6, stats["cache"]
        (one,) = stats["upstreams"]
        assert one["url"].endswith(upstream.url), one
        assert one["exchange"]["count"] >= 6, one
        # What took 100 ms is seen as that, and hits are not: nothing seems to
        # have taken longer than we waited, to within 12.5 %.
        assert 0.09e6 < stats["outcomes"]["miss"]["p99_us"] < max(
            0.15e6, slow_us * 1.13), stats
        assert stats["outcomes"]["hit"]["p99_us"] < max(
            0.05e6, hits_us * 1.13), stats
        done = larder.ctl("stats")
        assert done.returncode == 0 and "13" in done.stdout
        assert larder.ctl("stats", "--json").returncode == 0


def test_ctl_flush(larder, upstream, fresh):
    """cache flush: name, name and type, subtree, all; and says how many."""
    name = fresh()

    def fill():
        for n, t in ((name, "A"), (name, "AAAA"), ("www." + name, "A")):
            larder.ask(n, t)

    def left():
        larder_before = len(upstream.log)
        fill()
        return 3 - (len(upstream.log) - larder_before)

    fill()
    for args, stay in (([name, "A"], 2), ([name], 1), ([name, "--subtree"], 0),
                       (["--subtree", name], 0), ([], 0)):
        done = larder.ctl("cache", "flush", *args)
        assert done.returncode == 0, done.stderr
        assert re.search(r"\d", done.stdout), done.stdout
        assert left() == stay, args
    done = larder.ctl("cache", "flush", fresh("absent"))
    assert done.returncode == 0 and re.search(r"\b(0|no)\b", done.stdout)


def test_ctl_flush_forgets_failures(larder, upstream, fresh):
    """A held failure goes with the flush: the next question reaches U."""
    for args in (lambda n: [n], lambda n: [n, "A"], lambda n: [n, "--subtree"],
                 lambda n: []):
        name = fresh()
        upstream.handler = lambda ctx: ctx.send(reply(ctx.msg, rcode=SERVFAIL))
        assert larder.ask(name).rcode == SERVFAIL
        upstream.handler = harness.answer_default
        assert larder.ask(name).rcode == SERVFAIL
        assert larder.ctl("cache", "flush", *args(name)).returncode == 0
        assert larder.ask(name).a()


@pytest.mark.parametrize("args", [
    ["cache", "flush", "a..b"], ["cache", "flush", "x" * 64],
    ["cache", "flush", "n.example", "NOTYPE"],
    ["cache", "flush", "n.example", "A", "surplus"],
    ["cache"], ["cache", "nonsense"], ["nonsense"], [], ["status", "surplus"],
    ["cache", "flush", "n.example", "A", "--subtree"],
])
def test_ctl_mistakes(larder, upstream, fresh, args):
    """Mistakes: a word on stderr, an exit code that is not 0, nothing done."""
    name = fresh()
    larder.ask(name)
    done = larder.ctl(*args)
    assert done.returncode > 0, done
    assert done.stderr.strip()
    larder.ask(name)
    assert upstream.count(name) == 1


def test_ctl_config(upstream):
    """config: the effective values, each with where it comes from."""
    with Larder([upstream], conf={"cache": {"max-ttl": "50s"}},
                args=["--threads", "2"]) as larder:
        done = larder.ctl("config")
        assert done.returncode == 0
        text = done.stdout
        line = next(i for i, t in
                    enumerate(Path(larder.conf_path).read_text().splitlines(), 1)
                    if "max-ttl" in t)
        assert re.search(rf"(?m)^.*max-ttl.*\b50s\b.*larder\.yaml:{line}\b", text), text
        assert re.search(r"(?m)^.*query-timeout.*\b4s\b.*default", text), text
        assert re.search(r"(?m)^.*threads.*\b2\b.*(command line|--threads)",
                         text), text
        for key in KEYS - {"user", "resolv-file", "upstreams", "routes",
                           "identity"}:
            assert re.search(rf"(?m)^\W*{key}\b", text), key
        # It is a configuration: larderd takes it as one.
        path = Path(larder.dir) / "effective.yaml"
        path.write_text(text)
        again = run("larderd", "--config", path, "--check")
        assert again.returncode == 0, again.stdout
        done = larder.ctl("--json", "config")
        assert done.returncode == 0
        assert "50s" in json.dumps(json.loads(done.stdout))


VERBS = [["status"], ["stats"], ["--json", "stats"], ["cache", "flush"],
         ["cache", "flush", "n.example", "A"], ["reload"], ["config"]]


@pytest.mark.parametrize("args", VERBS)
def test_ctl_without_a_daemon(tmp_path, args):
    """No daemon: which socket, what is wrong with it, exit code not 0."""
    missing, dead, other = (tmp_path / n for n in ("missing", "dead", "file"))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(dead))
    other.write_text("")
    codes = set()
    for path in (missing, dead, other):
        done = run("larderctl", "--socket", path, *args)
        assert done.returncode > 0
        assert str(path) in done.stdout, done.stdout
        codes.add(done.returncode)
    assert len(codes) == 1
    done = run("larderctl", *args, env={**os.environ,
                                        "LARDER_SOCKET": str(dead)})
    assert done.returncode in codes and str(dead) in done.stdout


def test_ctl_and_a_daemon_that_hangs(tmp_path):
    """A daemon that takes the call and says nothing is given up in time."""
    path = tmp_path / "hung"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        began = time.monotonic()
        done = run("larderctl", "--socket", path, "status", timeout=30)
        assert done.returncode > 0 and str(path) in done.stdout
        assert time.monotonic() - began < 15


def test_ctl_and_a_daemon_that_talks_nonsense(tmp_path):
    """Nonsense from the other side: a plain word and an exit code, no crash."""
    for octets in (b"", b"nonsense\0", b"[1]\0", b'{"parameters":3}\0',
                   b'{"error":"io.larder.X"}\0', b"\0", b'{"parameters"'):
        path = tmp_path / "odd"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(path))
            sock.listen()

            def serve():
                conn, _ = sock.accept()
                with conn:
                    conn.recv(4096)
                    conn.sendall(octets)

            server = threading.Thread(target=serve)
            server.start()
            done = run("larderctl", "--socket", path, "cache", "flush")
            server.join()
        path.unlink()
        assert done.returncode > 0, (octets, done.stdout)
        assert done.stdout.strip(), octets


# --- the control socket -----------------------------------------------------

class Varlink:
    """JSON objects, each ended by NUL, over a stream socket."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(path)
        self._buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, method, parameters=None, **flags):
        call = {"method": method, **flags}
        if parameters is not None:
            call["parameters"] = parameters
        self.sock.sendall(json.dumps(call).encode() + b"\0")

    def recv(self):
        """The next message, or None at the end of the stream."""
        while b"\0" not in self._buffer:
            try:
                octets = self.sock.recv(65536)
            except (ConnectionResetError, BrokenPipeError):
                octets = b""
            if not octets:
                assert not self._buffer, f"cut message {self._buffer[:200]}"
                return None
            self._buffer += octets
        one, self._buffer = self._buffer.split(b"\0", 1)
        message = json.loads(one)
        assert isinstance(message, dict)
        assert one.isascii(), one
        return message

    def call(self, method, parameters=None, **flags):
        self.send(method, parameters, **flags)
        return self.recv()

    def is_closed(self, timeout=1):
        """Whether the other side ends the stream; what it still says is read."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.sock.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                if not self.sock.recv(65536):
                    return True
            except TimeoutError:
                return False
            except (ConnectionResetError, BrokenPipeError):
                return True
        return False


@pytest.fixture
def varlink(larder):
    with Varlink(larder.control) as link:
        yield link


def error_of(message, name):
    assert message is not None, "closed without an error"
    assert message.get("error") == "org.varlink.service." + name, message
    return message.get("parameters", {})


def test_varlink_get_info(varlink):
    """org.varlink.service.GetInfo: who is there and what it speaks."""
    info = varlink.call("org.varlink.service.GetInfo")
    assert "error" not in info
    told = info["parameters"]
    assert set(told) == {"vendor", "product", "version", "url", "interfaces"}
    assert "larder" in told["product"].lower()
    version = run("larderd", "--version").stdout
    assert told["version"] in version
    assert set(told["interfaces"]) >= {"org.varlink.service", "io.larder"}
    assert varlink.call("org.varlink.service.GetInfo", {}) == info


def test_varlink_interface_description(varlink):
    """GetInterfaceDescription gives the text of each interface."""
    texts = {}
    for interface in ("org.varlink.service", "io.larder"):
        told = varlink.call("org.varlink.service.GetInterfaceDescription",
                            {"interface": interface})
        assert set(told["parameters"]) == {"description"}, told
        texts[interface] = told["parameters"]["description"]
        code = re.sub(r"#.*", "", texts[interface])
        assert code.split()[:2] == ["interface", interface]
    for method in ("GetInfo", "GetInterfaceDescription"):
        assert re.search(rf"\bmethod {method}\b", texts["org.varlink.service"])
    for method in ("Status", "Stats", "Flush", "Reload"):
        assert re.search(rf"\bmethod {method}\b", texts["io.larder"])


def test_varlink_methods(varlink, larder, upstream, fresh):
    """io.larder: Status, Stats, Flush, Reload, several on one connection."""
    name = fresh()
    larder.ask(name)
    status = varlink.call("io.larder.Status")["parameters"]
    assert [u["url"] for u in status["upstreams"]] == ["udp://" + upstream.url]
    assert status["listen"] == [f"{larder.host}:{larder.port}"]
    assert status["workers"] == 1 and status["trouble"] is None
    stats = varlink.call("io.larder.Stats")["parameters"]
    assert stats["queries"] == sum(o["count"]
                                   for o in stats["outcomes"].values()) > 0
    flushed = varlink.call("io.larder.Flush", {"name": name})
    assert flushed == {"parameters": {"entries": 1}}
    larder.ask(name)
    assert upstream.count(name) == 2
    assert "error" not in varlink.call("io.larder.Flush", {})
    larder.ask(name)
    assert upstream.count(name) == 3
    for parameters in ({"name": name, "type": "A"},
                       {"name": name, "subtree": True}):
        assert "error" not in varlink.call("io.larder.Flush", parameters)
    assert "error" not in varlink.call("io.larder.Reload")
    larder.alive()


def test_varlink_reload_of_a_bad_file(upstream):
    """Reload with a bad file: an error of io.larder that tells the mistakes."""
    with Larder([upstream]) as larder, Varlink(larder.control) as link:
        larder.rewrite("listn: [127.0.0.1]\n")
        message = link.call("io.larder.Reload")
        assert message["error"] == "io.larder.ConfigurationInvalid", message
        assert larder.conf_path + ":1:1: " in message["parameters"]["report"]
        larder.rewrite({})
        assert "error" not in link.call("io.larder.Reload")


@pytest.mark.parametrize("method, error, parameter", [
    ("io.larder.Nonsense", "MethodNotFound", "method"),
    ("io.larder.status", "MethodNotFound", "method"),
    ("org.varlink.service.Nonsense", "MethodNotFound", "method"),
    ("io.nothing.Status", "InterfaceNotFound", "interface"),
    ("Status", None, None),
    ("", None, None),
    (".", None, None),
    ("io.larder.more.Status", "InterfaceNotFound", "interface"),
])
def test_varlink_not_found(varlink, method, error, parameter):
    """Unknown methods and interfaces: the errors of org.varlink.service."""
    message = varlink.call(method)
    if error is None:       # not even a name: any of the errors will do
        assert message["error"].startswith("org.varlink.service."), message
    else:
        told = error_of(message, error)
        assert told[parameter] in (method, method.rpartition(".")[2]
                                   if parameter == "method"
                                   else method.rpartition(".")[0]), told
    # No reason to close: the next call is answered.
    assert "parameters" in varlink.call("org.varlink.service.GetInfo")


def test_varlink_description_not_found(varlink):
    """The description of an unknown interface: InterfaceNotFound."""
    told = error_of(varlink.call("org.varlink.service.GetInterfaceDescription",
                                 {"interface": "io.nothing"}),
                    "InterfaceNotFound")
    assert told == {"interface": "io.nothing"}


@pytest.mark.parametrize("method, parameters, named", [
    ("io.larder.Flush", {"name": 5}, "name"),
    ("io.larder.Flush", {"name": "a..b"}, "name"),
    ("io.larder.Flush", {"name": "x" * 64}, "name"),
    ("io.larder.Flush", {"name": ""}, "name"),
    ("io.larder.Flush", {"name": "n.example", "type": "NOTYPE"}, "type"),
    ("io.larder.Flush", {"name": "n.example", "type": 1}, "type"),
    ("io.larder.Flush", {"name": "n.example", "subtree": "yes"}, "subtree"),
    ("io.larder.Flush", {"type": "A"}, None),
    ("io.larder.Flush", {"nmae": "n.example"}, "nmae"),
    ("io.larder.Status", {"surplus": 1}, "surplus"),
    ("org.varlink.service.GetInterfaceDescription", {}, "interface"),
    ("org.varlink.service.GetInterfaceDescription", {"interface": 1}, "interface"),
    ("org.varlink.service.GetInfo", {"surplus": 1}, "surplus"),
])
def test_varlink_invalid_parameter(varlink, larder, upstream, fresh, method,
                                   parameters, named):
    """A parameter that is wrong is named, and nothing is done."""
    name = fresh()
    larder.ask(name)
    told = error_of(varlink.call(method, parameters), "InvalidParameter")
    if named is not None:
        assert told == {"parameter": named}
    larder.ask(name)
    assert upstream.count(name) == 1
    assert "parameters" in varlink.call("org.varlink.service.GetInfo")


def test_varlink_pieces_and_pipelines(varlink):
    """Octet by octet, or many calls at once: each is answered, in order."""
    one = b'{"method":"org.varlink.service.GetInfo"}\0'
    other = b'{"method":"io.nothing.X"}\0'
    for octet in one:
        varlink.sock.sendall(bytes([octet]))
    assert "parameters" in varlink.recv()
    varlink.sock.sendall((one + other) * 200)
    for _ in range(200):
        assert "error" not in varlink.recv()
        error_of(varlink.recv(), "InterfaceNotFound")


def test_varlink_oneway(varlink, larder, upstream, fresh):
    """oneway: done, and not a word about it."""
    name = fresh()
    larder.ask(name)
    varlink.send("io.larder.Flush", {"name": name}, oneway=True)
    varlink.send("io.larder.Nonsense", oneway=True)
    assert "interfaces" in varlink.call("org.varlink.service.GetInfo")["parameters"]
    larder.ask(name)
    assert upstream.count(name) == 2


def test_varlink_half_close(varlink):
    """A client that shuts its side still gets its replies, then the end."""
    varlink.send("org.varlink.service.GetInfo")
    varlink.send("io.larder.Stats")
    varlink.sock.shutdown(socket.SHUT_WR)
    assert "parameters" in varlink.recv()
    assert "parameters" in varlink.recv()
    assert varlink.recv() is None


GARBAGE = {
    "text": b"garbage\0",
    "nothing": b"\0",
    "list": b"[]\0",
    "string": b'"io.larder.Status"\0',
    "number": b"7\0",
    "no method": b"{}\0",
    "method no text": b'{"method":5}\0',
    "parameters no object": b'{"method":"io.larder.Status","parameters":[]}\0',
    "no utf-8": b'{"method":"\xff\xfe"}\0',
    "nul escape": b'{"method":"io.larder.Status\\u0000"}\0',
    "two in one": b'{"method":"io.larder.Status"}{"method":"io.larder.Stats"}\0',
    "trailing": b'{"method":"io.larder.Status"} x\0',
    "duplicate": b'{"method":"io.larder.Status","method":"io.larder.Flush"}\0',
    "deep lists": b"[" * 200000 + b"\0",
    "deep objects": b'{"method":"io.larder.Status","parameters":'
                    + b'{"a":' * 13000 + b"\0",
    "deep and whole": b'{"method":"io.larder.Status","parameters":{"a":'
                      + b"[" * 30000 + b"]" * 30000 + b"}}\0",
    "http": b"POST / HTTP/1.1\r\nHost: x\r\n\r\n\0",
    "dns": struct.pack("!H", 29) + query("n.example.")[:20] + b"\0" * 20,
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_on_the_control_socket(larder, upstream, fresh, kind):
    """Garbage: an error and a close, never more; the daemon lives."""
    name = fresh()
    larder.ask(name)
    with Varlink(larder.control) as link:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            link.sock.sendall(GARBAGE[kind])
        message = link.recv()
        if message is not None:
            assert "error" in message, message
            assert len(json.dumps(message)) < 1000
        closed = link.is_closed(5)
    assert closed, "still open"
    with Varlink(larder.control) as link:
        assert "parameters" in link.call("org.varlink.service.GetInfo")
    larder.ask(name)
    assert upstream.count(name) == 1
    larder.alive()


def memory_kib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def test_endless_message_on_the_control_socket(larder):
    """Twenty megabytes without an end: closed early, memory bounded."""
    before = memory_kib(larder.pid)
    with Varlink(larder.control) as link:
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 20 << 20:
                sent += link.sock.send(b'{"method":"' + b"x" * 65536)
        assert sent < 8 << 20, "all of it was taken"
    assert memory_kib(larder.pid) - before < 16 << 10
    larder.alive()


def test_reader_that_never_reads_on_the_control_socket(larder):
    """Calls without end and nobody who reads: bounded, and DNS goes on."""
    before = memory_kib(larder.pid)
    with Varlink(larder.control) as link:
        link.sock.setblocking(False)
        call = b'{"method":"io.larder.Stats"}\0' * 100
        sent, deadline = 0, time.monotonic() + 1.5
        while sent < 100000 * len(call) // 100 and time.monotonic() < deadline:
            try:
                sent += link.sock.send(call[sent % len(call):])
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:
                break
        larder.alive()
        assert memory_kib(larder.pid) - before < 16 << 10
    larder.alive()
    assert larder.ctl("status").returncode == 0


def test_many_idle_control_connections(larder):
    """Clients that say nothing, or half a word, keep nobody else out."""
    with contextlib.ExitStack() as stack:
        for i in range(40):
            link = stack.enter_context(Varlink(larder.control))
            if i % 2:
                link.sock.sendall(b'{"method":"io.lar')
        assert larder.ctl("status").returncode == 0
        larder.alive()
    # Half a message and an end: nothing is made of it.
    with Varlink(larder.control) as link:
        link.sock.sendall(b'{"method":"io.larder.Flush"}')
        link.sock.shutdown(socket.SHUT_WR)
        assert link.is_closed(5)
    assert larder.ctl("status").returncode == 0


def test_control_socket_mode(larder):
    """The socket is for owner and group alone."""
    assert stat.S_IMODE(os.stat(larder.control).st_mode) == 0o660


def test_control_socket_off(upstream):
    """control-socket: "" means none, and DNS does not care."""
    with Larder([upstream], conf={"control-socket": ""}) as larder:
        larder.alive()
        assert not [p for p in Path(larder.dir).iterdir() if p.is_socket()]


def test_control_socket_left_over(upstream, tmp_path):
    """A socket file that nobody serves any more is replaced at the start."""
    path = tmp_path / "io.larder"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with Larder([upstream], conf={"control-socket": str(path)}) as larder:
        assert larder.ctl("status").returncode == 0
        larder.proc.kill()
        larder.proc.wait()
        assert path.exists()
        larder.start()
        assert larder.ctl("status").returncode == 0


def test_control_socket_of_another(upstream, tmp_path):
    """A socket that is served, or a file that is none, is never taken away."""
    with Larder([upstream]) as first:
        with Larder([upstream], conf={"control-socket": first.control},
                    expect_start=False) as second:
            assert second.proc.returncode == 1
            assert first.control in second.log()
        assert first.ctl("status").returncode == 0
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    with Larder([upstream], conf={"control-socket": str(precious)}) as larder:
        assert str(precious) in larder.log(), "not a word about it"
        larder.alive()
    assert precious.read_text() == "keep me"
