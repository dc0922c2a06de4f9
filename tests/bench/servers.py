"""The servers that the bench compares, each with a configuration that is fair.

Fair means: one thread where it can be said, the same upstream for all, a cache
that holds every name of the run, no logging, no validation, no prefetch, and
outgoing ports as the server chooses them by itself.  A recipe is given an
address to listen on, the upstream's address, a directory for its files, and
how many entries the cache must hold (None: leave the server's default); it
writes what it needs and returns the command lines.
"""

import os
import shutil
from pathlib import Path

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

    def find(self, programs, larderd):
        path = Path(programs, "echo")
        return str(path) if path.is_file() else None

    def commands(self, listen, upstream, folder, entries):
        at = "%s:%d" % listen
        return [[self.path, at], [self.path, "--tcp", at]]


class Larder(Server):
    name = "larder"
    version = ("--version",)
    octets_per_entry = 256      # twice what an entry may take

    def find(self, programs, larderd):
        if larderd and os.access(larderd, os.X_OK):
            return str(Path(larderd).resolve())
        return None

    def commands(self, listen, upstream, folder, entries):
        lines = [
            'listen: ["%s:%d"]' % listen,
            'forward: ["%s:%d"]' % upstream,
            "threads: %d" % self.workers,
            'control-socket: ""',
            "log-level: error",
        ]
        if entries:
            size = max(64 << 20, entries * self.octets_per_entry)
            lines += ["cache:", "  size: %dM" % (size >> 20)]
        conf = self.write(folder, "larder.yaml", "\n".join(lines) + "\n")
        return [[self.path, "--config", conf]]


class LarderTwo(Larder):
    name = "larder-2w"
    workers = 2
    rows = ("hit", "million", "tcp")
    note = "two workers, on both cores; one shares its core with the generator"


class Unbound(Server):
    name = "unbound"
    program = "unbound"
    version = ("-V",)

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
forward-zone:
  name: "."
  forward-addr: {upstream[0]}@{upstream[1]}
""")
        return [[self.path, "-d", "-c", conf]]


class Dnsdist(Server):
    name = "dnsdist"
    program = "dnsdist"
    version = ("--version",)
    note = "packet cache; one fixed port to the upstream, as by its default"

    def commands(self, listen, upstream, folder, entries):
        conf = self.write(folder, "dnsdist.conf", f"""
setLocal("{listen[0]}:{listen[1]}")
setSecurityPollSuffix("")
setMaxTCPClientThreads(1)
newServer({{address="{upstream[0]}:{upstream[1]}"}}):setUp()
getPool(""):setCache(newPacketCache({entries or 10000}, {{maxTTL=86400}}))
""")
        return [[self.path, "--supervised", "--disable-syslog", "-C", conf]]


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

    def commands(self, listen, upstream, folder, entries):
        size = "cache-size %d" % entries if entries else ""
        conf = self.write(folder, "smartdns.conf", f"""
bind {listen[0]}:{listen[1]}
bind-tcp {listen[0]}:{listen[1]}
server {upstream[0]}:{upstream[1]}
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
