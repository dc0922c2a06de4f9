"""A network and mount namespace in which larderd is the machine's resolver.

glibc asks port 53 of the addresses in /etc/resolv.conf and cannot be told
otherwise.  So a child process gets a network of its own, that is a loopback
and nothing else, and sees a resolv.conf, nsswitch.conf and hosts of its own;
in there it runs nsd, unbound and larderd on 127.0.0.1:53, and programs on
request:

    with Jail() as jail:
        jail.resolv("nameserver 127.0.0.1\\noptions edns0\\n")
        done = jail.run("getent", "ahosts", "www.example.net")

Root may do that anywhere; others where user namespaces are allowed.  NoJail
tells why it cannot be done here.

Parent and child speak JSON, one object a line: {"run": [...]}, {"resolv":
"..."}, {"unbound": "freeze" or "thaw"}.  At the end of its input the child
ends what it started and leaves; with it the namespaces are gone.
"""

import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import realservers

RESOLV = "nameserver 127.0.0.1\nsearch .\n"
ETC = {"nsswitch.conf": "passwd: files\nhosts: dns\n",
       "hosts": "127.0.0.1 localhost\n",
       "resolv.conf": RESOLV}

MS_BIND = 4096
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class NoJail(Exception):
    """The system does not let us have the namespaces."""


class Ran(NamedTuple):
    returncode: int
    stdout: str
    stderr: str
    seconds: float


# -- the parent's side

class Jail:
    def __enter__(self):
        argv = ["unshare", "--net", "--mount"]
        if os.geteuid() != 0:
            argv.append("--map-root-user")
        if realservers.missing("unshare"):
            raise NoJail("unshare is not installed")
        probe = subprocess.run([*argv, "true"], capture_output=True, text=True,
                               stdin=subprocess.DEVNULL, timeout=10)
        if probe.returncode != 0:
            raise NoJail(probe.stderr.strip())
        for name in ETC:
            if not Path("/etc", name).exists():
                raise NoJail(f"there is no /etc/{name} to mount ours over")
        self._err = tempfile.TemporaryFile("w+")
        self._proc = subprocess.Popen(
            [*argv, sys.executable, __file__], text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._err,
            preexec_fn=lambda: _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM))
        try:
            self._answer(60)
        except BaseException:
            self._proc.kill()
            self._proc.wait()
            raise
        return self

    def __exit__(self, kind, value, trace):
        self._proc.stdin.close()
        try:
            code = self._proc.wait(20)
        except subprocess.TimeoutExpired:
            self._proc.kill()
            code = self._proc.wait()
        if code != 0 and kind is None:
            raise AssertionError(f"inside the namespace:\n{self._stderr()}")

    def _stderr(self):
        self._err.seek(0)
        return self._err.read()

    def _answer(self, timeout):
        readable, _, _ = select.select([self._proc.stdout], [], [], timeout)
        line = self._proc.stdout.readline() if readable else ""
        assert line, f"no word from the namespace:\n{self._stderr()}"
        return json.loads(line)

    def _ask(self, wait, **order):
        self._proc.stdin.write(json.dumps(order) + "\n")
        self._proc.stdin.flush()
        return self._answer(wait)

    def run(self, *argv, timeout=20):
        return Ran(**self._ask(timeout + 5, run=argv, timeout=timeout))

    def python(self, code, *argv):
        return self.run(sys.executable, "-c", code, *argv)

    def resolv(self, text=RESOLV):
        self._ask(5, resolv=text)

    def freeze(self):
        self._ask(5, unbound="freeze")

    def thaw(self):
        self._ask(5, unbound="thaw")


# -- the child's side

def _loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        ask = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack_from("H", fcntl.ioctl(sock, SIOCGIFFLAGS, ask),
                                   16)[0]
        fcntl.ioctl(sock, SIOCSIFFLAGS,
                    struct.pack("16sH14x", b"lo", flags | IFF_UP))


def _mount_over(source, target):
    if _libc.mount(str(source).encode(), str(target).encode(), None, MS_BIND,
                   None) != 0:
        raise OSError(ctypes.get_errno(), f"mount over {target}")


def _run(argv, timeout):
    start = time.monotonic()
    try:
        done = subprocess.run(argv, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=timeout)
        code, out, err = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired:
        code, out, err = -1, "", f"not ended after {timeout} s"
    return {"returncode": code, "stdout": out, "stderr": err,
            "seconds": time.monotonic() - start}


def _obey(order, chain, resolv):
    if "run" in order:
        return _run(order["run"], order["timeout"])
    if "resolv" in order:
        resolv.write_text(order["resolv"])
    elif order["unbound"] == "freeze":
        chain.unbound.freeze()
    else:
        chain.unbound.thaw()
    return {}


def main():
    import harness              # here: it looks for larderd

    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"
    _loopback_up()
    with tempfile.TemporaryDirectory(prefix="larder-etc-") as etc:
        os.chmod(etc, 0o755)
        for name, text in ETC.items():
            Path(etc, name).write_text(text)
            _mount_over(Path(etc, name), Path("/etc", name).resolve())
        if Path("/run/nscd").is_dir():          # glibc would ask nscd first
            _mount_over(etc, "/run/nscd")
        conf = {"query-timeout": "1s", "resolve-timeout": "2s"}
        with realservers.Chain() as chain, \
                harness.Larder([chain.url], listen=["127.0.0.1:53"],
                               conf=conf) as larder:
            print(json.dumps({"ready": larder.port}), flush=True)
            for line in sys.stdin:
                print(json.dumps(_obey(json.loads(line), chain,
                                       Path(etc, "resolv.conf"))), flush=True)
            chain.check()


if __name__ == "__main__":
    main()
