"""larderd as a service: what it tells its manager, and what it takes from it.

A socket of ours stands in for the service manager's, another for the journal's.
Sockets are handed over as systemd does it: from descriptor 3 on, with
LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES in the environment.
"""

import contextlib
import ctypes
import functools
import json
import os
import re
import shutil
import signal
import socket
import stat
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

import harness
from harness import Larder, fresh_name, query
from test_daemon import Varlink

TOP = Path(__file__).resolve().parents[2]
UNIT = TOP / "contrib" / "systemd" / "larderd.service"


class Manager:
    """Where larderd's notifications go; each message becomes a dict."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="larder-notify-")
        os.chmod(self.dir, 0o755)
        path = os.path.join(self.dir, "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        os.chmod(path, 0o777)           # as systemd's is
        self.said = []
        self.env = {"NOTIFY_SOCKET": path}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
        shutil.rmtree(self.dir)

    def _next(self, deadline):
        self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            # Descriptors that come along (a barrier's) are closed at once.
            text = self.sock.recv(4096).decode()
        except TimeoutError:
            return None
        message = dict(line.split("=", 1) for line in text.splitlines())
        self.said.append(message)
        return message

    def read(self, seconds):
        """All that comes in that time."""
        deadline, new = time.monotonic() + seconds, []
        while message := self._next(deadline):
            new.append(message)
            if time.monotonic() >= deadline:
                break
        return new

    def until(self, key, seconds=10):
        """The next message with that key."""
        deadline = time.monotonic() + seconds
        while message := self._next(deadline):
            if key in message:
                return message
        raise AssertionError(f"no {key} in {seconds} s: {self.said}")


@pytest.fixture
def manager():
    with Manager() as made:
        yield made


def in_own_network(work):
    try:
        return harness.in_netns(work)
    except PermissionError as error:
        pytest.skip(str(error))


# --- notifications ----------------------------------------------------------

def test_from_ready_to_stopping(manager, upstream, fresh):
    """READY with a summary, RELOADING with its time, READY, STOPPING."""
    with Larder([upstream], env=manager.env, conf={"threads": 2}) as larder:
        ready = manager.until("READY")
        assert ready["READY"] == "1"
        status = ready["STATUS"]
        assert f"127.0.0.1:{larder.port}" in status
        assert "1 upstream" in status and "0 answers" in status, status
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert larder.ask(fresh()).a()
        assert larder.ctl("reload").returncode == 0
        reloading = manager.until("RELOADING")
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert reloading["RELOADING"] == "1"
        assert before <= int(reloading["MONOTONIC_USEC"]) <= after
        status = manager.until("READY")["STATUS"]
        assert re.search(r"\b1 answers?\b", status), status
        assert "refused" not in status
        larder.proc.send_signal(signal.SIGTERM)
        assert manager.until("STOPPING")["STOPPING"] == "1"
        manager.until("BARRIER")        # it waits for us to have read it all
        assert larder.stop() == 0


def test_refused_reload_shows_in_the_status(manager, upstream):
    """A bad file: ready all the same, and the status says so until a good one."""
    with Larder([upstream], env=manager.env) as larder:
        manager.until("READY")
        larder.rewrite("thraeds: 1\n")
        assert larder.ctl("reload").returncode != 0
        manager.until("RELOADING")
        assert "refused" in manager.until("READY")["STATUS"]
        larder.rewrite({})
        assert larder.ctl("reload").returncode == 0
        manager.until("RELOADING")
        assert "refused" not in manager.until("READY")["STATUS"]


@pytest.mark.parametrize("conf, words", [
    ("thraeds: 1\n", "configuration"),
    ({"user": "no-such-user-here"}, "log"),
])
def test_failed_start_shows_in_the_status(manager, upstream, conf, words):
    """What keeps larderd from starting is said, and READY is not."""
    larder = Larder([upstream], env=manager.env, conf=conf, expect_start=False)
    reader = threading.Thread(target=manager.read, args=(3,))
    reader.start()
    with larder:
        assert larder.proc.returncode == 1
    reader.join()
    assert any(words in m.get("STATUS", "") for m in manager.said)
    assert not any("READY" in m for m in manager.said)


def test_manager_that_never_reads(manager, upstream):
    """Its silence delays the end by a second at most."""
    def end():
        with Larder([upstream], env=manager.env) as larder:
            began = time.monotonic()
            assert larder.stop() == 0
            return time.monotonic() - began

    harness.soon_enough(end, 2)


def test_status_follows_the_cache(manager, upstream, fresh):
    """What has changed is told within 10 s, without being asked for."""
    with Larder([upstream], env=manager.env) as larder:
        manager.until("READY")
        for _ in range(20):
            assert larder.ask(fresh()).a()
        deadline = time.monotonic() + 25
        while "20 answers" not in (
                status := manager.until("STATUS", 15)["STATUS"]):
            assert time.monotonic() < deadline, status


def test_ready_without_any_network():
    """READY within 200 ms with loopback alone; of some starts the best counts."""
    limit = 2 if SANITIZED else 0.2

    def work():
        times = []
        while len(times) < 3 or (min(times) >= limit and len(times) < 8):
            with Manager() as manager:
                larder = Larder(["192.0.2.1"], listen=["127.0.0.1:53"],
                                env=manager.env)
                began = time.monotonic()
                with larder:
                    manager.until("READY")
                    times.append(time.monotonic() - began)
                    assert larder.ask("version.bind.", "TXT", qclass=3)
        print("ready after", [f"{t * 1000:.1f} ms" for t in times])
        assert min(times) < limit, times

    in_own_network(work)


# Sanitizers make everything slower; their build is known by its symbols.
SANITIZED = b"__asan_init" in Path(harness.find_binary("larderd")).read_bytes()


# --- watchdog ---------------------------------------------------------------

def watched(manager, ms, upstream, threads):
    return Larder([upstream], conf={"threads": threads},
                  env={**manager.env, "WATCHDOG_USEC": str(ms * 1000)})


def beats(messages):
    return sum("WATCHDOG" in m for m in messages)


@pytest.mark.parametrize("threads", [1, 4])
def test_watchdog_of_an_idle_larder(manager, upstream, threads):
    """Nobody asks anything, and a sign of life comes twice in each period."""
    with watched(manager, 400, upstream, threads):
        manager.until("READY")
        times = []
        for _ in range(11):
            manager.until("WATCHDOG")
            times.append(time.monotonic())
        gaps = [b - a for a, b in zip(times, times[1:])]
        # Half a period; a machine that stands still stretches some.
        assert 0.15 < statistics.median(gaps) < 0.3, gaps


def test_watchdog_of_a_stopped_process(manager, upstream):
    """SIGSTOP: not a beat.  SIGCONT: they go on, and larderd answers."""
    with watched(manager, 400, upstream, 2) as larder:
        manager.until("WATCHDOG")
        larder.proc.send_signal(signal.SIGSTOP)
        manager.read(0.1)
        assert beats(manager.read(1)) == 0
        larder.proc.send_signal(signal.SIGCONT)
        for _ in range(3):
            manager.until("WATCHDOG")
        larder.alive()


class Held:
    """One thread of a process stopped by ptrace(2); the others run on."""

    SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000

    def __init__(self, tid):
        self.tid = tid
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long,
                                     ctypes.c_void_p, ctypes.c_void_p]
        self.libc.ptrace.restype = ctypes.c_long

    def _ptrace(self, request):
        if self.libc.ptrace(request, self.tid, None, None) != 0:
            raise PermissionError(ctypes.get_errno(), "ptrace")

    def __enter__(self):
        try:
            self._ptrace(self.SEIZE)
        except PermissionError:
            pytest.skip("ptrace is not allowed here")
        self._ptrace(self.INTERRUPT)
        os.waitpid(self.tid, self.WALL)
        return self

    def __exit__(self, *_):
        self._ptrace(self.DETACH)


@pytest.mark.parametrize("which", [0, 2])
def test_watchdog_of_one_stuck_worker(manager, upstream, which):
    """One thread of three stands still: no beat, an error in the log, and when
    it goes on, so do the beats."""
    with watched(manager, 1000, upstream, 3) as larder:
        manager.until("WATCHDOG")
        tids = sorted(int(task.name) for task in
                      Path(f"/proc/{larder.pid}/task").iterdir())
        tids.remove(larder.pid)
        assert len(tids) == 3
        with Held(tids[which]):
            manager.read(0.6)           # a beat that was on its way
            assert beats(manager.read(1.2)) == 0
            assert larder.ctl("status").returncode == 0     # main is well
        for _ in range(3):
            manager.until("WATCHDOG")
        assert f"error: worker {which} is stuck" in larder.log()
        assert "all workers turn again" in larder.log()


def test_watchdog_under_load(manager, upstream, fresh):
    """Busy workers beat as well."""
    with watched(manager, 1000, upstream, 2) as larder:
        manager.until("READY")
        stop = time.monotonic() + 2
        while time.monotonic() < stop:
            larder.ask(fresh())
        assert beats(manager.read(0.1)) >= 2
        assert "stuck" not in larder.log()


# --- sockets that are handed over ---------------------------------------------

class Handed(Larder):
    """A larderd with these sockets from descriptor 3 on."""

    HELPER = ("import os, sys\n"
              "os.environ['LISTEN_PID'] = str(os.getpid())\n"
              "os.execv(sys.argv[1], sys.argv[1:])\n")

    def __init__(self, sockets, names, *args, **kw):
        super().__init__(*args, **kw)
        self._sockets, self._names = sockets, names

    def start(self):
        env = {**os.environ, **self._env,
               "LISTEN_FDS": str(len(self._sockets)),
               "LISTEN_FDNAMES": ":".join(self._names)}
        self._stopped = False
        fds = [os.dup(s.fileno()) for s in self._sockets]
        high = [os.dup2(fd, 200 + i) for i, fd in enumerate(fds)]

        def place():
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)

        with open(self._err_path, "ab") as err:
            self.proc = subprocess.Popen(
                [sys.executable, "-c", self.HELPER,
                 harness.find_binary("larderd"), "--config", self.conf_path,
                 *self._args],
                stdin=subprocess.DEVNULL, stdout=err, stderr=err, env=env,
                cwd=self.dir, preexec_fn=place, close_fds=False)
        for fd in (*fds, *high):
            os.close(fd)
        self.pid = self.proc.pid
        deadline = time.monotonic() + 10
        while not re.search(r"(?m)^ready: ", self.log()):
            assert self.proc.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.005)
        return self


@contextlib.contextmanager
def pair(host="127.0.0.1"):
    """A UDP and a listening TCP socket of one port."""
    udp, tcp, port = harness._bind_pair(host, 0, True, True)
    tcp.listen(16)
    with udp, tcp:
        yield udp, tcp, port


def listeners_of(pid):
    """Local ports of the sockets that a process has bound, as (proto, port)."""
    inodes, found = set(), set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if target := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(fd)):
                inodes.add(target[1])
    for proto, state in (("udp", "07"), ("tcp", "0A"), ("udp6", "07"),
                         ("tcp6", "0A")):
        for line in Path(f"/proc/{pid}/net/{proto}").read_text().splitlines()[1:]:
            f = line.split()
            if f[9] in inodes and f[3] == state:
                found.add((proto, int(f[1].split(":")[1], 16)))
    return found


@pytest.mark.parametrize("threads", [1, 3])
def test_sockets_handed_over(upstream, fresh, threads):
    """They are used in place of `listen`, by every worker, and named in the log;
    a reload keeps them."""
    with pair() as (udp, tcp, port), \
            Handed([tcp, udp], ["larder", "larder"], [upstream],
                   conf={"threads": threads}) as larder:
        assert port != larder.port
        assert f"127.0.0.1:{port}: using the UDP socket handed over" in larder.log()
        assert f"127.0.0.1:{port}: using the TCP socket handed over" in larder.log()
        assert '"larder"' in larder.log()
        to = ("127.0.0.1", port)
        for _ in range(20):
            assert larder.ask(fresh(), to=to).a()
            assert larder.ask_tcp(fresh(), to=to).a()
        assert listeners_of(larder.pid) >= {("udp", port), ("tcp", port)}
        assert not {p for p in listeners_of(larder.pid) if p[1] == larder.port}
        assert larder.ctl("reload").returncode == 0
        larder.rewrite({"threads": threads, "identity": {"version": "after"}})
        assert larder.ctl("reload").returncode == 0
        answer = larder.ask("version.bind.", "TXT", qclass=3, to=to)
        assert b"after" in answer.answer[0].rdata
        assert larder.ask_tcp(fresh(), to=to).a()
        assert f"127.0.0.1:{port}" in larder.ctl("status").stdout


def test_no_query_is_lost_over_a_restart(upstream, fresh):
    """Asked while nobody runs, answered by the next larderd."""
    with pair() as (udp, tcp, port):
        to = ("127.0.0.1", port)
        with Handed([udp, tcp], ["a", "b"], [upstream]) as larder:
            assert larder.ask(fresh(), to=to).a()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(harness.query(fresh()), to)
            with Handed([udp, tcp], ["a", "b"], [upstream]):
                assert harness.parse(client.recv(4096)).answer


def test_several_addresses_handed_over(upstream, fresh):
    """Both families, and an address of which only UDP was handed over."""
    with contextlib.ExitStack() as stack:
        udp4, tcp4, port4 = stack.enter_context(pair())
        udp6, tcp6, port6 = stack.enter_context(pair("::1"))
        half, _, port = stack.enter_context(pair())
        larder = stack.enter_context(Handed(
            [udp4, udp6, tcp4, tcp6, half], ["x"] * 5, [upstream],
            conf={"threads": 2}))
        for to in (("127.0.0.1", port4), ("::1", port6)):
            assert larder.ask(fresh(), to=to).a()
            assert larder.ask_tcp(fresh(), to=to).a()
        assert larder.ask(fresh(), to=("127.0.0.1", port)).a()
        assert (f"warning: 127.0.0.1:{port}: no TCP socket was handed over"
                in larder.log())


def test_wildcard_handed_over(upstream, fresh):
    """Replies leave from the address that was asked."""
    with pair("0.0.0.0") as (udp, tcp, port), \
            Handed([udp, tcp], ["x", "x"], [upstream]) as larder:
        for host in ("127.0.0.1", "127.0.0.7"):
            assert larder.ask(fresh(), to=(host, port)).a()


def test_listen_on_the_command_line_is_opened_beside(upstream, fresh):
    """--listen adds to what is handed over; the same address does not clash."""
    own = harness.free_port()
    with pair() as (udp, tcp, port), \
            Handed([udp, tcp], ["x", "x"], [upstream],
                   args=["--listen", f"127.0.0.1:{own}",
                         "--listen", f"127.0.0.1:{port}"]) as larder:
        for p in (own, port):
            assert larder.ask(fresh(), to=("127.0.0.1", p)).a()


def test_control_socket_handed_over(upstream, tmp_path):
    """larderctl reaches it; its file and mode stay as their maker left them."""
    path = tmp_path / "control"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.bind(str(path))
        control.listen(8)
        path.chmod(0o600)
        with Handed([control], ["control"], [upstream]) as larder:
            assert 'handed over as "control"' in larder.log()
            assert not Path(larder.control).exists()
            done = subprocess.run([harness.find_binary("larderctl"), "--socket",
                                   path, "status"], capture_output=True,
                                  text=True, timeout=10)
            assert done.returncode == 0, done.stderr
            assert larder.ask(fresh_name()).a()     # `listen` is in force
        assert path.is_socket() and stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_handed_over_by_mistake(upstream, tmp_path):
    """Descriptors of no use are named and closed; larderd starts all the same."""
    with open("/dev/null") as null, \
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as idle, \
            Handed([null, idle], ["nul", "idle"], [upstream]) as larder:
        for name in ("nul", "idle"):
            assert re.search(f'warning: .*"{name}".*closing it', larder.log())
        larder.alive()


# --- the journal --------------------------------------------------------------

@functools.cache
def may_mount():
    """A mount namespace of our own: root has one, but not in every chroot."""
    return (os.geteuid() == 0 and shutil.which("unshare") is not None
            and subprocess.run(["unshare", "--mount", "true"],
                               stderr=subprocess.DEVNULL).returncode == 0)


JOURNAL_CHILD = """\
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(sys.argv[1].encode(), b"/run", None, 4096, None) != 0:
    sys.exit(77)
st = os.fstat(2)
os.environ["JOURNAL_STREAM"] = sys.argv[2] or f"{st.st_dev}:{st.st_ino}"
os.execv(sys.argv[3], sys.argv[3:])
"""


class Journal:
    """A journal of our own at its usual path, in a mount namespace where
    larderd runs; `there` says whether somebody listens."""

    def __init__(self, folder, there=True):
        self.run = Path(folder) / "run"
        (self.run / "systemd" / "journal").mkdir(parents=True)
        self.sock = None
        if there:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.sock.bind(str(self.run / "systemd" / "journal" / "socket"))
            self.sock.settimeout(0.2)
        if not may_mount():
            pytest.skip("only root mounts over /run")

    def entries(self):
        found = []
        while self.sock:
            try:
                wire = self.sock.recv(65536)
            except TimeoutError:
                break
            found.append(dict(line.split("=", 1) for line in
                              wire.decode().splitlines()))
        return found

    def run_larderd(self, args, stream=""):
        """One larderd that is ended once it is ready; its standard error."""
        with Manager() as manager, tempfile.TemporaryFile("w+") as err:
            proc = subprocess.Popen(
                ["unshare", "--mount", "--", sys.executable, "-c",
                 JOURNAL_CHILD, str(self.run), stream,
                 harness.find_binary("larderd"), *map(str, args)],
                stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                env={**os.environ, **manager.env})
            try:
                while proc.poll() is None:
                    if any("READY" in m for m in manager.read(0.05)):
                        proc.terminate()
                        break
                deadline = time.monotonic() + 10
                while proc.poll() is None and time.monotonic() < deadline:
                    manager.read(0.05)
                code = proc.wait(1)
            finally:
                if proc.poll() is None:
                    proc.kill()
                    proc.wait()
            if code == 77:
                pytest.skip("mounting is not allowed here")
            err.seek(0)
            return code, err.read()


    @contextlib.contextmanager
    def larderd(self, *args):
        """A larderd that runs until the end, and what it says instead."""
        with tempfile.TemporaryFile("w+") as err:
            proc = subprocess.Popen(
                ["unshare", "--mount", "--", sys.executable, "-c",
                 JOURNAL_CHILD, str(self.run), "",
                 harness.find_binary("larderd"), *map(str, args)],
                stdin=subprocess.DEVNULL, stdout=err, stderr=err)
            try:
                yield proc, err
            finally:
                if proc.poll() is None:
                    proc.kill()
                    proc.wait()


def plain_args():
    port = harness.free_port()
    return port, ["--listen", f"127.0.0.1:{port}", "--forward", "192.0.2.1",
                  "--control-socket", ""]


def test_journal(tmp_path):
    """Lines go to the journal with priority and fields, and nowhere else."""
    journal = Journal(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, err = journal.run_larderd(
            ["--listen", f"127.0.0.1:{port}", "--forward", "192.0.2.1",
             "--control-socket", ""])
    assert code == 1 and err == ""
    entries = journal.entries()
    assert entries
    for entry in entries:
        assert entry["SYSLOG_IDENTIFIER"] == "larderd"
        assert entry["PRIORITY"] in "34567"
        assert not {key for key in entry if key.startswith("CODE_")}
    in_use = [e for e in entries if "in use" in e["MESSAGE"]]
    assert in_use[0]["PRIORITY"] == "3"
    assert in_use[0]["LARDER_ADDRESS"] == f"127.0.0.1:{port}"
    assert not in_use[0]["MESSAGE"].startswith("error")


def test_journal_priorities(tmp_path):
    """Ordinary lines are notices; mistakes in the file are errors, each a line."""
    journal = Journal(tmp_path)
    port, args = plain_args()
    code, err = journal.run_larderd(args)
    assert (code, err) == (0, "")
    ready = [e for e in journal.entries() if e["MESSAGE"].startswith("ready: ")]
    assert len(ready) == 1 and ready[0]["PRIORITY"] == "5"
    conf = tmp_path / "larder.yaml"
    conf.write_text("thraeds: 1\nlisten: [127.0.0.1, nonsense]\n")
    code, err = journal.run_larderd(["--config", conf])
    assert (code, err) == (1, "")
    entries = journal.entries()
    assert {e["PRIORITY"] for e in entries} == {"3"}
    text = "\n".join(e["MESSAGE"] for e in entries)
    assert f"{conf}:1:1: " in text and f"{conf}:2:21: " in text


def test_journal_that_is_not_there(tmp_path):
    """Then the lines go to standard error, with their priority in front."""
    journal = Journal(tmp_path, there=False)
    _, args = plain_args()
    code, err = journal.run_larderd(args)
    assert code == 0
    assert err and re.search(r"(?m)^<5>ready: ", err)
    assert all(re.match(r"<[3-7]>\S", line) for line in err.splitlines()), err


def ask(sock, name, count):
    """Asks for the same name so many times; each is answered."""
    for n in range(count):
        sock.send(query(name, id=n))
        assert len(sock.recv(4096)) > 12


def left_out(entries):
    """How many queries the query log says it has left out."""
    found = (re.match(r"query log: (\d+) queries", e["MESSAGE"])
             for e in entries)
    return sum(int(one[1]) for one in found if one)


def test_journal_that_stands_still(tmp_path, upstream):
    """The query log waits for it, and nobody else: neither the main thread nor
    its lines, for which there is room.  What was left out is counted."""
    journal, count = Journal(tmp_path), 15000
    port, conf = harness.free_port(), tmp_path / "larder.yaml"
    control, name = tmp_path / "control", fresh_name()
    conf.write_text(json.dumps({
        "listen": [f"127.0.0.1:{port}"], "forward": [upstream.url],
        "control-socket": str(control), "state-directory": "",
        "query-log": True}))
    with journal.larderd("--config", conf) as (proc, err):
        entries, deadline = [], time.monotonic() + 20
        while not any(e["MESSAGE"].startswith("ready: ") for e in entries):
            assert time.monotonic() < deadline
            if proc.poll() == 77:
                pytest.skip("mounting is not allowed here")
            entries += journal.entries()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", port))
            sock.settimeout(5)
            ask(sock, name, count)
            # It holds what it holds, and reads no more.
            with Varlink(str(control)) as link:
                for _ in range(30):
                    answer = link.call("io.larder.Reload")
                    assert "error" not in answer, answer
            ask(sock, name, 1)
        entries = []
        while sum(1 for e in entries if "LARDER_NAME" in e) + left_out(
                entries) < count + 1:
            assert time.monotonic() < deadline + 20
            entries += journal.entries()
        assert left_out(entries) > 0
        assert {e["LARDER_NAME"] for e in entries
                if "LARDER_NAME" in e} == {name}
        again = "configuration read again: "
        told = [e for e in entries if e["MESSAGE"].startswith(again)]
        err.seek(0)
        others = re.findall(f"(?m)^<5>{again}", err.read())
        assert told and len(told) + len(others) == 30
        # And its end.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", port))
            sock.settimeout(5)
            ask(sock, name, 1000)
        proc.terminate()
        assert proc.wait(5) == 0


@pytest.mark.parametrize("stream", ["1:1", "nonsense", ":", "99999999999999999999:1"])
def test_standard_error_that_is_elsewhere(tmp_path, stream):
    """$JOURNAL_STREAM means another file: plain lines, and none in the journal."""
    journal = Journal(tmp_path)
    _, args = plain_args()
    code, err = journal.run_larderd(args, stream=stream)
    assert code == 0
    assert re.search(r"(?m)^ready: ", err)
    assert journal.entries() == []


# --- the control socket's group -------------------------------------------------

GROUP_CHILD = """\
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(sys.argv[1].encode(), b"/etc/group", None, 4096, None) != 0:
    sys.exit(77)
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.parametrize("user", [None, "nobody"])
def test_group_of_the_control_socket(upstream, tmp_path, user):
    """The group larder, if there is one, gets the control socket."""
    if not may_mount():
        pytest.skip("only root gives files away")
    group = tmp_path / "group"
    group.write_text(Path("/etc/group").read_text() + "larder:x:4242:\n")
    conf = tmp_path / "larder.yaml"
    port = harness.free_port()
    with Manager() as manager:
        control = Path(manager.dir, "io.larder")
        conf.write_text(harness.to_yaml({
            "listen": [f"127.0.0.1:{port}"], "forward": [upstream.url],
            "control-socket": str(control),
            **({"user": user} if user else {})}))
        proc = subprocess.Popen(
            ["unshare", "--mount", "--", sys.executable, "-c", GROUP_CHILD,
             str(group), harness.find_binary("larderd"), "--config", conf],
            stdin=subprocess.DEVNULL, env={**os.environ, **manager.env})
        try:
            manager.until("READY")
            st = control.stat()
            assert st.st_gid == 4242 and stat.S_IMODE(st.st_mode) == 0o660
            assert (st.st_uid != 0) == bool(user)
        finally:
            proc.terminate()
            manager.read(0.3)
            assert proc.wait(5) == 0


# --- the unit -------------------------------------------------------------------

def systemd(*args):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(["systemd-analyze", *map(str, args)], text=True,
                          capture_output=True, stdin=subprocess.DEVNULL,
                          timeout=60, env={**os.environ, "LC_ALL": "C",
                                           "SYSTEMD_COLORS": "0"})


def test_exposure_of_the_unit():
    """systemd-analyze security: 2.0 or below."""
    done = systemd("security", "--offline=yes", "--no-pager", "--threshold=20",
                   UNIT)
    if "nknown" in done.stderr or "unrecognized" in done.stderr:
        pytest.skip("this systemd-analyze does not know --offline")
    level = re.search(r"Overall exposure level for larderd.service: ([\d.]+)",
                      done.stdout)
    assert level, done.stdout + done.stderr
    assert float(level[1]) <= 2.0 and done.returncode == 0


@pytest.mark.parametrize("name", ["larderd.service", "larder.socket"])
def test_units_are_understood(tmp_path, name):
    """systemd-analyze verify has nothing to say of our units."""
    for unit in ("larderd.service", "larder.socket"):
        text = (UNIT.parent / unit).read_text()
        for there, program in (("/usr/sbin/", "larderd"), ("/usr/bin/", "larderctl")):
            text = text.replace(there + program, harness.find_binary(program))
        (tmp_path / unit).write_text(text)
    done = systemd("verify", "--man=no", "--recursive-errors=no",
                   tmp_path / name)
    ours = [line for line in (done.stdout + done.stderr).splitlines()
            if "larder" in line]
    assert not ours, done.stderr


def test_the_unit_fits_the_daemon():
    """What the unit promises is what larderd does."""
    unit = dict(line.split("=", 1) for line in UNIT.read_text().splitlines()
                if "=" in line and not line.startswith("#"))
    assert unit["Type"] == "notify"
    assert unit["User"] == unit["Group"] == "larder"
    assert unit["RuntimeDirectory"] == "larder"
    users = (UNIT.parent / "sysusers.d" / "larder.conf").read_text()
    assert re.search(r"(?m)^u larder ", users)
    done = subprocess.run([harness.find_binary("larderd"), "--help"],
                          capture_output=True, text=True, timeout=10)
    assert done.returncode == 0
    status = subprocess.run([harness.find_binary("larderctl"), "--help"],
                            capture_output=True, text=True, timeout=10)
    assert unit["ExecReload"].split()[-1] in status.stdout


@pytest.mark.parametrize("tool, name", [("systemd-sysusers", "sysusers.d"),
                                        ("systemd-tmpfiles", "tmpfiles.d")])
def test_users_and_folders(tmp_path, tool, name):
    """sysusers and tmpfiles accept our files, below a root of their own."""
    if not shutil.which(tool) or os.geteuid() != 0:
        pytest.skip(f"no {tool}, or not root")
    (tmp_path / "etc").mkdir()
    (tmp_path / "run").mkdir()
    root = f"--root={tmp_path}"
    users = UNIT.parent / "sysusers.d" / "larder.conf"
    done = subprocess.run(["systemd-sysusers", root, "-"],
                          input=users.read_text(), capture_output=True,
                          text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    assert re.search(r"(?m)^larder:", (tmp_path / "etc/passwd").read_text())
    gid = int(re.search(r"(?m)^larder:[^:]*:(\d+):",
                        (tmp_path / "etc/group").read_text())[1])
    if tool == "systemd-sysusers":
        return
    folder = UNIT.parent / name / "larder.conf"
    done = subprocess.run([tool, root, "--create", "-"],
                          input=folder.read_text(), capture_output=True,
                          text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    st = (tmp_path / "run/larder").stat()
    assert stat.S_IMODE(st.st_mode) == 0o755 and st.st_gid == gid
