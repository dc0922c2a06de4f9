"""The servers of the incident bench, configured by people who fear an incident.

Each gets one or two upstreams and whatever it has against slow and dead ones
that its own documentation recommends: stale answers for a day, prefetch, a
cache that holds all names.  Where an option costs something on good days, as
asking all upstreams at once does, it is on only if it is the default.
"""

import subprocess

import servers


class Larder(servers.Larder):
    wishes = ("  stale: 1d", "  prefetch: yes")

    def commands(self, listen, upstreams, folder):
        lines = ['listen: ["%s:%d"]' % listen, *self.forward(upstreams),
                 'control-socket: "%s/io.larder"' % folder, "log-level: error"]
        self.note = ""
        conf = self.conf(folder, lines, self.wishes)
        complaint = self.check(conf)
        for i in range(len(self.wishes) - 1, -1, -1):
            if not complaint:
                break
            # What this larderd cannot do yet is left out, and said.
            kept = self.wishes[:i]
            self.note = "without %s: %s" % (
                " and ".join(w.strip() for w in self.wishes[i:]), complaint)
            conf = self.conf(folder, lines, kept)
            complaint = self.check(conf)
        if complaint:
            raise RuntimeError("larder: " + complaint)
        return [[self.path, "--config", conf]]

    def conf(self, folder, lines, wishes):
        lines = [*lines, "cache:", *wishes] if wishes else lines
        return self.write(folder, "larder.yaml", "\n".join(lines) + "\n")

    def check(self, conf):
        """What larderd has against the file, in one line; empty: nothing."""
        done = subprocess.run([self.path, "--check", "--config", conf],
                              stdin=subprocess.DEVNULL, text=True, timeout=10,
                              capture_output=True)
        if not done.returncode:
            return ""
        lines = (done.stderr + done.stdout).strip().splitlines()
        return lines[0].replace(conf + ":", "") if lines else "refused"


class Unbound(servers.Unbound):
    note = "serve-expired after 1.8 s, prefetch"

    def commands(self, listen, upstreams, folder):
        conf = self.write(folder, "unbound.conf", f"""
server:
  interface: {listen[0]}@{listen[1]}
  port: {listen[1]}
  num-threads: 1
  so-rcvbuf: 4m
  so-sndbuf: 4m
  num-queries-per-thread: 4096
  outgoing-range: 8192
  prefetch: yes
  serve-expired: yes
  serve-expired-ttl: 86400
  serve-expired-client-timeout: 1800
  ede: yes
  ede-serve-expired: yes
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
remote-control:
  control-enable: no
{self.forward(upstreams)}
""")
        return [[self.path, "-d", "-c", conf]]


class Dnsdist(servers.Dnsdist):
    note = "health checks each second, stale answers when all are down"

    def commands(self, listen, upstreams, folder):
        new = "\n".join(map(self.new_server, upstreams))
        conf = self.write(folder, "dnsdist.conf", f"""
setLocal("{listen[0]}:{listen[1]}")
setSecurityPollSuffix("")
{new}
getPool(""):setCache(newPacketCache(100000, {{maxTTL=86400, staleTTL=30}}))
setStaleCacheEntriesTTL(86400)
""")
        return [[self.path, "--supervised", "--disable-syslog", "-C", conf]]


class Dnsmasq(servers.Dnsmasq):
    note = "use-stale-cache, and a cache larger than its default of 150"

    def commands(self, listen, upstreams, folder):
        return [[self.path, "--keep-in-foreground", "--conf-file=/dev/null",
                 "--no-resolv", "--no-hosts", "--no-poll", "--pid-file=",
                 "--user=", "--bind-interfaces", "--log-facility=/dev/null",
                 "--listen-address=" + listen[0], "--port=%d" % listen[1],
                 *("--server=%s#%d" % u for u in upstreams),
                 "--dns-forward-max=4096", "--cache-size=10000",
                 "--use-stale-cache=86400"]]


class Smartdns(servers.Smartdns):
    # Its HTTP/1.1 would need answers in the order of the questions.
    over = ("dot",)
    note = "asks all upstreams at once, as by its default; stale, prefetch"

    def commands(self, listen, upstreams, folder):
        conf = self.write(folder, "smartdns.conf", f"""
bind {listen[0]}:{listen[1]}
bind-tcp {listen[0]}:{listen[1]}
{self.server(upstreams)}
speed-check-mode none
response-mode fastest-response
dualstack-ip-selection no
prefetch-domain yes
serve-expired yes
serve-expired-ttl 86400
cache-size 32768
cache-persist no
log-level fatal
log-file {folder}/smartdns.log
audit-enable no
""")
        return [[self.path, "-f", "-c", conf, "-p", "-"]]


class Knot(servers.Knot):
    note = "serve_stale, predict"

    def commands(self, listen, upstreams, folder):
        stub = ", ".join("'%s@%d'" % u for u in upstreams)
        conf = self.write(folder, "kresd.conf", f"""
net.listen('{listen[0]}', {listen[1]}, {{ kind = 'dns' }})
modules.unload('ta_update')
modules.unload('ta_signal_query')
modules.unload('priming')
modules.unload('detect_time_skew')
modules = {{ 'serve_stale < cache', 'predict' }}
trust_anchors.remove('.')
log_level('crit')
cache.size = {100 << 20}
policy.add(policy.all(policy.STUB({{ {stub} }})))
""")
        return [[self.path, "-n", "-c", conf, folder]]


class Bind(servers.Bind):
    note = "stale answers at once, prefetch as by its default"

    def commands(self, listen, upstreams, folder):
        forward = " ".join("%s port %d;" % u for u in upstreams)
        conf = self.write(folder, "named.conf", f"""
options {{
  directory "{folder}";
  pid-file none;
  session-keyfile none;
  lock-file none;
  listen-on port {listen[1]} {{ {listen[0]}; }};
  listen-on-v6 {{ none; }};
  forward only;
  forwarders {{ {forward} }};
  stale-cache-enable yes;
  stale-answer-enable yes;
  stale-answer-client-timeout 0;
  max-stale-ttl 86400;
  dnssec-validation no;
  empty-zones-enable no;
  recursive-clients 5000;
}};
controls {{ }};
logging {{ category default {{ null; }}; category lame-servers {{ null; }}; }};
""")
        return [[self.path, "-f", "-n", "1", "-U", "1", "-c", conf]]


ALL = (Larder, Unbound, Dnsdist, Dnsmasq, Smartdns, Knot, Bind)
