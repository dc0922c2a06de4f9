"""The servers that the bench compares, each with a configuration that is fair.

Fair means: one thread where it can be said, the same upstream for all, a cache
that holds every name of the run, no logging, no validation, no prefetch, and
outgoing ports as the server chooses them by itself.  A recipe is given an
address to listen on, the upstream's address, a directory for its files, and
how many entries the cache must hold (None: leave the server's default); it
writes what it needs and returns the command lines.

An upstream is (host, port), or a Secure: then the server asks over TLS or
HTTPS, on one connection, and proves the certificate.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

NAME = "dns.example"        # what the upstreams' certificate bears
OVER = ("dot", "doh")


class Secure(NamedTuple):
    """An encrypted upstream."""

    host: str
    port: int
    over: str
    ca: str                 # PEM file of the authority


def certify(folder):
    """Gives PEM files of this run: an authority, and a key with what it
    signed, which is called so in its subject as well (smartdns looks there)."""
    sys.path.append(str(Path(__file__).parent.parent / "system"))
    from authority import Authority
    ca = Authority(folder, "authority of a bench")
    return str(ca.path), str(ca.issue(NAME, common=NAME).path)


SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def which(program):
    return shutil.which(program) or shutil.which(program, path=SBIN)


class Server:
    """One row of the comparison."""

    name = ""
    program = ""        # looked up in PATH and the sbin directories
    version = ()        # arguments that print the version
    workers = 1
    echoes = False      # gives queries back instead of answers
    rows = None         # names of the rows it takes part in; None: all
    over = ()           # of OVER: how it can ask an encrypted upstream
    note = ""

    def __init__(self, programs, larderd):
        self.path = self.find(programs, larderd)

    def find(self, programs, larderd):
        return which(self.program)

    def commands(self, listen, upstream, folder, entries):
        """Gives a list of command lines; all belong to the server."""
        raise NotImplementedError

    def write(self, folder, name, text):
        path = Path(folder, name)
        path.write_text(text)
        return str(path)


class Echo(Server):
    name = "echo"
    echoes = True
    rows = ("start", "hit", "million", "slow", "miss", "tcp")
    over = OVER         # its own UDP, for the scale

    def find(self, programs, larderd):
        path = Path(programs, "echo")
        return str(path) if path.is_file() else None

    def commands(self, listen, upstream, folder, entries):
        at = "%s:%d" % listen
        return [[self.path, at], [self.path, "--tcp", at]]


class Larder(Server):
    name = "larder"
    version = ("--version",)
    over = OVER
    octets_per_entry = 256      # twice what an entry may take

    def find(self, programs, larderd):
        if larderd and os.access(larderd, os.X_OK):
            return str(Path(larderd).resolve())
        return None

    def commands(self, listen, upstream, folder, entries):
        lines = [
            'listen: ["%s:%d"]' % listen,
            *self.forward([upstream]),
            "threads: %d" % self.workers,
            'control-socket: ""',
            "log-level: error",
        ]
        if entries:
            size = max(64 << 20, entries * self.octets_per_entry)
            lines += ["cache:", "  size: %dM" % (size >> 20)]
        conf = self.write(folder, "larder.yaml", "\n".join(lines) + "\n")
        return [[self.path, "--config", conf]]


    @staticmethod
    def forward(upstreams):
        """Lines of larder.yaml."""
        urls = {"dot": "tls://%s:%d#", "doh": "https://%s:%d/dns-query#"}
        if not isinstance(upstreams[0], Secure):
            return ["forward: [%s]" % ", ".join('"%s:%d"' % u
                                                for u in upstreams)]
        return ["upstreams:",
                *('  u%d: {url: "%s%s", ca: "%s"}' % (
                    i, urls[u.over] % u[:2], NAME, u.ca)
                  for i, u in enumerate(upstreams)),
                "forward: [%s]" % ", ".join(
                    "u%d" % i for i in range(len(upstreams)))]


class LarderTwo(Larder):
    name = "larder-2w"
    workers = 2
    rows = ("hit", "million", "tcp")
    over = ()
    note = "two workers, on both cores; one shares its core with the generator"


class Unbound(Server):
    name = "unbound"
    program = "unbound"
    version = ("-V",)
    over = ("dot",)

    def commands(self, listen, upstream, folder, entries):
        sizes = ""
        if entries:
            mib = max(64, entries * 1024 >> 20)
            sizes = (f"  msg-cache-size: {mib}m\n"
                     f"  rrset-cache-size: {mib}m\n")
        conf = self.write(folder, "unbound.conf", f"""
server:
  interface: {listen[0]}@{listen[1]}
  port: {listen[1]}
  num-threads: 1
  msg-cache-slabs: 1
  rrset-cache-slabs: 1
  infra-cache-slabs: 1
  key-cache-slabs: 1
  so-rcvbuf: 4m
  so-sndbuf: 4m
  num-queries-per-thread: 4096
  outgoing-range: 8192
  incoming-num-tcp: 64
  module-config: "iterator"
  do-not-query-localhost: no
  do-daemonize: no
  use-syslog: no
  logfile: ""
  verbosity: 0
  chroot: ""
  username: ""
  directory: "{folder}"
  pidfile: ""
{sizes}
remote-control:
  control-enable: no
{self.forward([upstream])}
""")
        return [[self.path, "-d", "-c", conf]]

    @staticmethod
    def forward(upstreams):
        """The clauses that say where to ask."""
        secure = isinstance(upstreams[0], Secure)
        lines = ['server:\n  tls-cert-bundle: "%s"' % upstreams[0].ca
                 if secure else "",
                 'forward-zone:\n  name: "."',
                 "  forward-tls-upstream: yes" if secure else ""]
        lines += ["  forward-addr: %s@%d" % u[:2] + "#" * secure
                  + NAME * secure for u in upstreams]
        return "\n".join(lines)


class Dnsdist(Server):
    name = "dnsdist"
    program = "dnsdist"
    version = ("--version",)
    over = OVER
    note = "packet cache; one fixed port to the upstream, as by its default"

    def commands(self, listen, upstream, folder, entries):
        conf = self.write(folder, "dnsdist.conf", f"""
setLocal("{listen[0]}:{listen[1]}")
setSecurityPollSuffix("")
setMaxTCPClientThreads(1)
{self.new_server(upstream)}:setUp()
getPool(""):setCache(newPacketCache({entries or 10000}, {{maxTTL=86400}}))
""")
        return [[self.path, "--supervised", "--disable-syslog", "-C", conf]]

    @staticmethod
    def new_server(upstream):
        """A call that makes a backend."""
        options = ['address="%s:%d"' % upstream[:2]]
        if isinstance(upstream, Secure):
            # Without maxInFlight each connection carries one query at a time.
            options += ['tls="openssl"', 'caStore="%s"' % upstream.ca,
                        'subjectName="%s"' % NAME, "validateCertificates=true",
                        "maxInFlight=1000"]
            options += ['dohPath="/dns-query"'] * (upstream.over == "doh")
        return "newServer({%s})" % ", ".join(options)


class Dnsmasq(Server):
    name = "dnsmasq"
    program = "dnsmasq"
    version = ("--version",)
    note = "a process per TCP connection, all counted"

    def commands(self, listen, upstream, folder, entries):
        command = [self.path, "--keep-in-foreground", "--conf-file=/dev/null",
                   "--no-resolv", "--no-hosts", "--no-poll", "--pid-file=",
                   "--user=", "--bind-interfaces", "--log-facility=/dev/null",
                   "--listen-address=" + listen[0], "--port=%d" % listen[1],
                   "--server=%s#%d" % upstream, "--dns-forward-max=4096"]
        if entries:
            command.append("--cache-size=%d" % entries)
        return [command]


class Smartdns(Server):
    name = "smartdns"
    program = "smartdns"
    version = ("-v",)
    over = OVER

    def commands(self, listen, upstream, folder, entries):
        size = "cache-size %d" % entries if entries else ""
        conf = self.write(folder, "smartdns.conf", f"""
bind {listen[0]}:{listen[1]}
bind-tcp {listen[0]}:{listen[1]}
{self.server([upstream])}
speed-check-mode none
dualstack-ip-selection no
prefetch-domain no
serve-expired no
cache-persist no
log-level fatal
log-file {folder}/smartdns.log
audit-enable no
{size}
""")
        return [[self.path, "-f", "-c", conf, "-p", "-"]]

    @staticmethod
    def server(upstreams):
        """Lines that say where to ask."""
        kinds = {"dot": "server-tls %s:%d",
                 "doh": "server-https https://%s:%d/dns-query"}
        if not isinstance(upstreams[0], Secure):
            return "\n".join("server %s:%d" % u for u in upstreams)
        return "\n".join(["ca-file " + upstreams[0].ca,
                          *(kinds[u.over] % u[:2]
                            + f" -host-name {NAME} -tls-host-verify {NAME}"
                            + f" -http-host {NAME}" * (u.over == "doh")
                            for u in upstreams)])


class Knot(Server):
    name = "kresd"
    program = "kresd"
    version = ("--version",)

    def commands(self, listen, upstream, folder, entries):
        size = max(100 << 20, (entries or 0) * 512)
        conf = self.write(folder, "kresd.conf", f"""
net.listen('{listen[0]}', {listen[1]}, {{ kind = 'dns' }})
modules.unload('ta_update')
modules.unload('ta_signal_query')
modules.unload('priming')
modules.unload('detect_time_skew')
trust_anchors.remove('.')
log_level('crit')
cache.size = {size}
policy.add(policy.all(policy.STUB({{ '{upstream[0]}@{upstream[1]}' }})))
""")
        return [[self.path, "-n", "-c", conf, folder]]


class Bind(Server):
    name = "bind9"
    program = "named"
    version = ("-v",)

    def commands(self, listen, upstream, folder, entries):
        size = "max-cache-size %dm;" % max(90, (entries or 0) * 1024 >> 20)
        conf = self.write(folder, "named.conf", f"""
options {{
  directory "{folder}";
  pid-file none;
  session-keyfile none;
  lock-file none;
  listen-on port {listen[1]} {{ {listen[0]}; }};
  listen-on-v6 {{ none; }};
  forward only;
  forwarders {{ {upstream[0]} port {upstream[1]}; }};
  dnssec-validation no;
  empty-zones-enable no;
  recursive-clients 5000;
  tcp-clients 64;
  {size if entries else ""}
}};
controls {{ }};
logging {{ category default {{ null; }}; category lame-servers {{ null; }}; }};
""")
        return [[self.path, "-f", "-n", "1", "-U", "1", "-c", conf]]


ALL = (Echo, Larder, LarderTwo, Unbound, Dnsdist, Dnsmasq, Knot, Smartdns,
       Bind)
