"""Starts processes, tells what they cost, and stops every one of them.

CPU time is the first field of /proc/PID/task/TID/schedstat, nanoseconds on a
core, summed over all threads of a server and of its living descendants; what
reaped children used is added from /proc/PID/stat in clock ticks.  Packet work
that the kernel does in the server's own system calls is part of it.  Memory is
from /proc/PID/smaps_rollup.
"""

import contextlib
import ctypes
import os
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1


def child_setup(cores, realtime=False):
    """What a child does before it becomes the program: it dies with us."""
    libc = ctypes.CDLL(None)

    def setup():
        os.sched_setaffinity(0, cores)
        schedule(0, realtime)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    return setup


def schedule(tid, realtime):
    if realtime:
        os.sched_setscheduler(tid, os.SCHED_FIFO, os.sched_param(1))
    elif os.sched_getscheduler(tid) != os.SCHED_OTHER:
        os.sched_setscheduler(tid, os.SCHED_OTHER, os.sched_param(0))


def _cpu_ns(pid):
    """What one process used, its reaped children included; 0 once it ended."""
    total = 0
    with contextlib.suppress(OSError):
        for tid in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{pid}/task/{tid}/schedstat").read_text()
                total += int(stat.split()[0])
        stat = Path(f"/proc/{pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        total += (int(fields[13]) + int(fields[14])) * TICK_NS
    return total


class Group:
    """The processes of one server: started together, paused, stopped."""

    def __init__(self, name, commands, folder, setup):
        self.name = name
        self.log = Path(folder, "output")
        self.processes = []
        try:
            with self.log.open("ab") as log:
                for command in commands:
                    self.processes.append(subprocess.Popen(
                        command, stdin=subprocess.DEVNULL, stdout=log,
                        stderr=log, cwd=folder, start_new_session=True,
                        preexec_fn=setup))
        except OSError:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def alive(self):
        return all(p.poll() is None for p in self.processes)

    def pids(self):
        """All processes that belong to the server, children included."""
        todo, found = [p.pid for p in self.processes], []
        while todo:
            pid = todo.pop()
            found.append(pid)
            with contextlib.suppress(OSError):      # one that has just ended
                for tid in os.listdir(f"/proc/{pid}/task"):
                    children = Path(f"/proc/{pid}/task/{tid}/children")
                    todo += map(int, children.read_text().split())
        return found

    def signal(self, number):
        for p in self.processes:
            if p.poll() is None:
                os.killpg(p.pid, number)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self, realtime=False):
        for pid in self.pids():
            with contextlib.suppress(OSError):  # a child that has just ended
                for tid in os.listdir(f"/proc/{pid}/task"):
                    schedule(int(tid), realtime)
        self.signal(signal.SIGCONT)

    def stop(self):
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        for p in self.processes:
            try:
                p.wait(2)
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
                p.wait()
        self.processes = []

    def cpu_ns(self):
        return sum(_cpu_ns(pid) for pid in self.pids())

    def memory(self):
        """(anonymous, resident) octets of the first process."""
        found = {}
        path = Path(f"/proc/{self.processes[0].pid}/smaps_rollup")
        for line in path.read_text().splitlines()[1:]:
            key, value = line.split()[:2]
            found[key] = int(value) * 1024
        return found["Anonymous:"], found["Rss:"]

    def trouble(self):
        """Why it is of no use, in words."""
        ended = [p.returncode for p in self.processes if p.poll() is not None]
        state = f"ended with status {ended[0]}" if ended else "no answer"
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return state + (", " + lines[-1] if lines else "")


def free_address():
    """A loopback address whose port is free for UDP and TCP at this moment."""
    for _ in range(50):
        with socket.socket(type=socket.SOCK_STREAM) as tcp, \
                socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            address = tcp.getsockname()
            try:
                udp.bind(address)
            except OSError:
                continue
            return address
    raise OSError("no port is free for both UDP and TCP")


def drops(port):
    """Datagrams the kernel dropped at sockets bound to this UDP port."""
    total = 0
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            total += int(fields[-1])
    return total


def steal():
    """(stolen, all) clock ticks of the machine so far."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    ticks = [int(f) for f in fields]
    return ticks[7], sum(ticks[:8])


def ask(address, name, qtype=1, timeout=0.2):
    """One query over UDP; gives the reply's octets, or None."""
    query = struct.pack("!6H", os.getpid() & 0xffff, 0x0100, 1, 0, 0, 0)
    for label in name.split("."):
        query += bytes([len(label)]) + label.encode()
    query += struct.pack("!BHH", 0, qtype, 1)
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        try:
            s.connect(address)
            s.send(query)
            reply = s.recv(4096)
        except OSError:
            return None
    return reply if reply[:2] == query[:2] else None


def wait_ready(group, address, name, echoes, limit_s=10):
    """True once the server answers the name; False when it ends or is late."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end and group.alive():
        reply = ask(address, name)
        if reply and (echoes or not reply[3] & 15 and reply[6:8] != b"\0\0"):
            return True
        time.sleep(0.02)
    return False
