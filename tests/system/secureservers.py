"""Other people's encrypted servers, before the unbound of a realservers.Chain.

    with Chain() as chain, Dnsdist(chain, cert) as server:
        larder_over({"url": f"tls://{server.dot}#dns.example", …})

Each is one process on loopback with its configuration in the chain's folder.
`dot` and `doh` are "address:port" of what it offers, or None.
"""

import socket
import time

import harness
import realservers
from realservers import which


class SecureServer(realservers.Server):
    dot = doh = clear = None

    def __init__(self, chain, cert):
        # Below the ephemeral range: no connection takes it during a restart.
        super().__init__(chain.dir, port=harness.free_port())
        self.chain, self.cert, self._ports = chain, cert, {}
        self.key = self.dir / f"{cert.path.stem}-key.pem"
        text = cert.path.read_text()
        self.key.write_text(text[:text.index("-----BEGIN CERT")])

    @property
    def uses(self):
        """What it asks, as "address:port"."""
        return self.chain.url

    def place(self, what):
        """An address for one of its doors, the same after a restart."""
        if what not in self._ports:
            self._ports[what] = harness.free_port(self.host)
        return f"{self.host}:{self._ports[what]}"

    def _await(self):
        return all(self._opens(a) for a in (self.dot, self.doh) if a)

    def _opens(self, address):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.proc.poll() is None:
            try:
                socket.create_connection(self._split(address), 0.5).close()
                return True
            except OSError:
                time.sleep(0.02)
        return False

    @staticmethod
    def _split(address):
        host, port = address.rsplit(":", 1)
        return host, int(port)


class Dnsdist(SecureServer):
    """DoT and DoH; `clear` is the latter without TLS, for a proxy."""

    name = "dnsdist"

    def command(self):
        self.dot, self.doh = self.place("dot"), self.place("doh")
        self.clear = self.place("clear")
        conf = self.dir / f"dnsdist-{self.port}.conf"
        conf.write_text(f"""\
setLocal("{self.host}:{self.port}")
setACL({{"127.0.0.0/8"}})
newServer({{address="{self.uses}", healthCheckMode="up", useClientSubnet=false}})
addTLSLocal("{self.dot}", "{self.cert.path}", "{self.key}")
addDOHLocal("{self.doh}", "{self.cert.path}", "{self.key}", "/dns-query")
addDOHLocal("{self.clear}", nil, nil, "/dns-query")
setSecurityPollSuffix("")
""")
        return [which("dnsdist"), "--supervised", "--disable-syslog", "-C",
                str(conf)]


class SecureUnbound(SecureServer):
    """An unbound with DoT and DoH that forwards to the chain's."""

    name = "secure-unbound"

    def command(self):
        self.dot, self.doh = self.place("dot"), self.place("doh")
        conf = self.dir / f"unbound-{self.port}.conf"
        uses = self.uses.replace(":", "@")
        ports = [self._split(a)[1] for a in (self.dot, self.doh)]
        conf.write_text(f"""\
server:
  interface: {self.host}@{ports[0]}
  interface: {self.host}@{ports[1]}
  tls-port: {ports[0]}
  https-port: {ports[1]}
  tls-service-key: "{self.key}"
  tls-service-pem: "{self.cert.path}"
  http-endpoint: "/dns-query"
  access-control: 127.0.0.0/8 allow
  username: ""
  chroot: ""
  directory: "{self.dir}"
  pidfile: ""
  use-syslog: no
  logfile: ""
  num-threads: 1
  do-not-query-localhost: no
  local-zone: "100.in-addr.arpa." nodefault
  module-config: "iterator"
  root-hints: ""
  pad-responses: yes
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: {uses}
""")
        return [self.chain.unbound._binary(), "-d", "-p", "-c", str(conf)]


class Nghttpx(SecureServer):
    """A proxy for HTTP/2 before the clear port of a Dnsdist."""

    name = "nghttpx"

    def __init__(self, chain, cert, dnsdist):
        super().__init__(chain, cert)
        self.dnsdist = dnsdist

    def command(self):
        self.doh = self.place("doh")
        front = self.doh.replace(":", ",")
        back = self.dnsdist.clear.replace(":", ",")
        return [which("nghttpx"), "--conf=/dev/null", f"--frontend={front}",
                f"--backend={back};;proto=h2", "--workers=1",
                "--single-process", "--accesslog-file=/dev/null",
                str(self.key), str(self.cert.path)]
