"""Real servers for the black box: nsd holds zones, unbound resolves from it.

    with Chain() as chain:              # nsd, and one unbound in front of it
        with harness.Larder([chain.url]) as larder: ...

Everything listens on loopback, on ports that were free, with configuration and
state in a directory of its own; nothing of the machine's own nsd or unbound is
read.  A server that ends by itself is an error with its log.  Leaving the
context ends the servers by their process ids; should the test process itself
be killed, the kernel ends them (PR_SET_PDEATHSIG).

The zones are in tests/data, an empty root among them: no query goes further
than loopback.  Two sets are added here because they are long:
"many" (90 addresses) and "big" (4000 octets of text), and example.com is
signed with a key of this run; unbound trusts that key and finds every other
zone insecure.
"""

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import dns.message
import dns.query
import dns.exception

ZONES = Path(__file__).resolve().parent.parent / "data"
PLAIN = ("example.net", "example.org", "128.100.in-addr.arpa", "root")
SIGNED = "example.com"
MANY = 90                           # addresses of many.example.net
BIG = 4000                          # octets of text of big.example.net

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


def which(program):
    """The path of a server or tool, in the sbin directories too, or None."""
    return shutil.which(program, path=_PATH)


def missing(*programs):
    """Those of the programs that are not installed, as one text."""
    return " ".join(p for p in programs if not which(p))


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_port(host):
    """A port that is free for UDP and TCP at this moment."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(50):
        with socket.socket(family, socket.SOCK_DGRAM) as udp, \
                socket.socket(family, socket.SOCK_STREAM) as tcp:
            udp.bind((host, 0))
            port = udp.getsockname()[1]
            try:
                tcp.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free for both UDP and TCP")


def _tool(*argv, cwd):
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


def _apex(zone):
    return "." if zone == "root" else zone + "."


class Server:
    """One server process.  A subclass writes its configuration."""

    name = None
    ready = ("example.net.", "SOA")     # what it is asked until it answers

    def __init__(self, folder, host="127.0.0.1", port=0):
        self.dir = Path(folder)
        self.host, self.wanted = host, port
        self.port, self.proc = None, None
        self.log_path = self.dir / f"{self.name}-{id(self):x}.log"

    @property
    def url(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def pid(self):
        return self.proc.pid

    def log(self):
        return self.log_path.read_text(errors="replace") \
            if self.log_path.exists() else ""

    def start(self):
        # Another process may take the port between our choice and the start.
        for attempt in range(3):
            self.port = self.wanted or _free_port(self.host)
            with open(self.log_path, "ab") as log:
                self.proc = subprocess.Popen(
                    self.command(), stdin=subprocess.DEVNULL, stdout=log,
                    stderr=log, cwd=self.dir, preexec_fn=_die_with_parent)
            if self._await():
                return self
            self.stop()
        raise AssertionError(f"{self.name} did not start:\n{self.log()}")

    def _await(self):
        question = dns.message.make_query(*self.ready)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.proc.poll() is None:
            try:
                if dns.query.udp(question, self.host, port=self.port,
                                 timeout=0.2).answer:
                    return True
            except (OSError, dns.exception.DNSException):
                time.sleep(0.02)
        return False

    def stop(self):
        """Ends the process; harmless when it has ended."""
        if self.proc is None or self.proc.poll() is not None:
            return
        self.proc.send_signal(signal.SIGCONT)
        self.proc.terminate()
        try:
            self.proc.wait(5)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait(5)

    def restart(self):
        """Starts again on the same port."""
        self.stop()
        self.wanted = self.port
        return self.start()

    def freeze(self):
        """Alive, its sockets open, but it answers nothing until thaw()."""
        self.proc.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.proc.send_signal(signal.SIGCONT)

    def check(self):
        assert self.proc is None or self.proc.poll() is None, (
            f"{self.name} ended by itself with {self.proc.returncode}:\n"
            + self.log())

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


class Nsd(Server):
    """Authoritative for the zones of `folder` (see write_zones)."""

    name = "nsd"

    def command(self):
        state = self.dir / "nsd-state"
        state.mkdir(exist_ok=True)
        zones = "".join(
            f'zone:\n  name: "{_apex(z)}"\n  zonefile: "{z}.zone"\n'
            for z in (*PLAIN, SIGNED) if (self.dir / f"{z}.zone").exists())
        conf = self.dir / "nsd.conf"
        conf.write_text(f"""\
server:
  ip-address: {self.host}@{self.port}
  username: ""
  chroot: ""
  zonesdir: "{self.dir}"
  database: ""
  pidfile: ""
  zonelistfile: "{state}/zone.list"
  xfrdfile: "{state}/xfrd.state"
  xfrdir: "{state}"
  cookie-secret-file: ""
  server-count: 1
  tcp-count: 100
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
  verbosity: 1
remote-control:
  control-enable: no
{zones}""")
        return [which("nsd"), "-d", "-c", str(conf)]


class Unbound(Server):
    """A recursive resolver that knows the zones of `nsd` and no other."""

    name = "unbound"

    def __init__(self, folder, nsd, **kw):
        super().__init__(folder, **kw)
        self.nsd = nsd

    def command(self):
        stubs = "".join(
            f'stub-zone:\n  name: "{_apex(z)}"\n  stub-addr: {self.nsd.host}'
            f"@{self.nsd.port}\n  stub-prime: no\n" for z in (*PLAIN, SIGNED))
        key = self.dir / f"{SIGNED}.key"
        module, anchor = "iterator", ""
        if key.exists():
            module = "validator iterator"
            anchor = f'trust-anchor-file: "{key}"'
        conf = self.dir / f"unbound-{self.port}.conf"
        conf.write_text(f"""\
server:
  interface: {self.host}
  outgoing-interface: {self.host}
  port: {self.port}
  access-control: 127.0.0.0/8 allow
  access-control: ::1/128 allow
  username: ""
  chroot: ""
  directory: "{self.dir}"
  pidfile: ""
  use-syslog: no
  logfile: ""
  verbosity: 1
  num-threads: 1
  do-daemonize: no
  do-not-query-localhost: no
  local-zone: "100.in-addr.arpa." nodefault
  module-config: "{module}"
  {anchor}
  root-hints: ""
  edns-buffer-size: 1232
  max-udp-size: 4096
  cache-max-ttl: 604800
  minimal-responses: no
  infra-host-ttl: 5
  infra-keep-probing: yes
remote-control:
  control-enable: no
{stubs}""")
        return [self._binary(), "-d", "-p", "-c", str(conf)]

    def _binary(self):
        """unbound, or a copy of it where AppArmor confines the original.

        The profile belongs to the path of the program, and under it unbound
        could not read a configuration that lies elsewhere.
        """
        path = which("unbound")
        try:
            confined = "unbound" in Path(
                "/sys/kernel/security/apparmor/profiles").read_text()
        except OSError:             # no AppArmor, or not ours to read
            confined = Path("/etc/apparmor.d/usr.sbin.unbound").exists() and \
                Path("/sys/module/apparmor").exists()
        if not confined:
            return path
        copy = self.dir / "unbound"
        if not copy.exists():
            shutil.copy2(path, copy)
        return str(copy)


def write_zones(folder, sign=True):
    """Puts the zones into `folder`, the long sets and signatures included."""
    folder = Path(folder)
    for zone in PLAIN:
        shutil.copy(ZONES / f"{zone}.zone", folder)
    with open(folder / "example.net.zone", "a") as out:
        for i in range(MANY):
            out.write(f"many A 192.0.2.{100 + i}\n")
        piece = "0123456789" * 25
        out.write("big TXT " + " ".join(f'"{piece}"'
                                        for _ in range(BIG // 250)) + "\n")
    if sign:
        _sign(folder)


def _sign(folder):
    """Signs example.com and leaves its key where unbound looks for it."""
    shutil.copy(ZONES / f"{SIGNED}.zone", folder / "unsigned")
    key = _tool(which("ldns-keygen"), "-a", "ECDSAP256SHA256", "-k", SIGNED,
                cwd=folder).split()[-1]
    _tool(which("ldns-signzone"), "-f", f"{SIGNED}.zone", "unsigned", key,
          cwd=folder)
    (folder / f"{key}.key").rename(folder / f"{SIGNED}.key")
    signed = folder / f"{SIGNED}.zone"
    text, changed = re.subn(r"(?m)^(bogus\S*\s.*\sA\s+203\.0\.113)\.66$",
                            r"\1.67", signed.read_text())
    assert changed == 1, "the signed zone looks different from what we expect"
    signed.write_text(text)


class Chain:
    """nsd behind `resolvers` unbounds; `url` is that of the first one."""

    def __init__(self, resolvers=1, *, host="127.0.0.1", sign=True):
        self.dir = tempfile.mkdtemp(prefix="larder-chain-")
        os.chmod(self.dir, 0o755)
        self.sign = sign and not missing("ldns-keygen", "ldns-signzone")
        self.nsd = Nsd(self.dir, host=host)
        self.unbounds = [Unbound(self.dir, self.nsd, host=host)
                         for _ in range(resolvers)]

    @property
    def unbound(self):
        return self.unbounds[0]

    @property
    def url(self):
        return self.unbound.url

    def check(self):
        for server in (self.nsd, *self.unbounds):
            server.check()

    def __enter__(self):
        try:
            write_zones(self.dir, self.sign)
            self.nsd.start()
            for unbound in self.unbounds:
                unbound.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_):
        self._end()

    def _end(self):
        for server in (*self.unbounds, self.nsd):
            server.stop()
        shutil.rmtree(self.dir, ignore_errors=True)
