"""A clock of the tests' own for larderd.

Lifetimes, holds and memories are minutes and hours, tests are not.  A larderd
started with Clock.env reads its clocks through a small library put before
libc's, which adds what a test asked for: to CLOCK_BOOTTIME alone (as a
suspended machine does: `advance`), to the wall clock alone (as a person or NTP
does: `step_wall`), or to all of them (as if so much time had passed:
`pass_by`).  Time jumps: a timer that fell due meanwhile fires when larderd next
wakes, which a question sees to.

A module takes the fixtures by importing them:

    from clockshim import clock, clock_library, module_clock  # noqa: F401

A larderd whose clock.freeze() was called first has a CLOCK_BOOTTIME that moves
by orders alone: life times are exact then, however slow the machine is.
"""

import mmap
import os
import shlex
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest

CLOCK_SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* boot, wall, mono; the instant at which boot stands still, or 0 */
static volatile int64_t zero[4], *shift_ns = zero;

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("LARDER_TEST_CLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = mmap(NULL, sizeof zero, PROT_READ, MAP_SHARED, fd, 0);
	if (at != MAP_FAILED)
		shift_ns = at;
	close(fd);
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int64_t add = 0, ns;
	int r = syscall(SYS_clock_gettime, id, ts);

	if (id == CLOCK_BOOTTIME || id == CLOCK_BOOTTIME_ALARM)
		add = shift_ns[0];
	else if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE ||
		 id == CLOCK_REALTIME_ALARM || id == CLOCK_TAI)
		add = shift_ns[1];
	else if (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE ||
		 id == CLOCK_MONOTONIC_RAW)
		add = shift_ns[2];
	if (r)
		return r;
	if ((id == CLOCK_BOOTTIME || id == CLOCK_BOOTTIME_ALARM) && shift_ns[3]) {
		ts->tv_sec = shift_ns[3] / 1000000000;
		ts->tv_nsec = shift_ns[3] % 1000000000;
	}
	if (!add)
		return 0;
	ns = ts->tv_nsec + add % 1000000000;
	ts->tv_sec += add / 1000000000;
	if (ns < 0 || ns >= 1000000000) {
		ts->tv_sec += ns < 0 ? -1 : 1;
		ns += ns < 0 ? 1000000000 : -1000000000;
	}
	ts->tv_nsec = ns;
	return 0;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *out)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (out)
		*out = ts.tv_sec;
	return ts.tv_sec;
}
"""


class Clock:
    """What a larderd that was started with .env takes for the time."""

    def __init__(self, folder, library):
        path = Path(folder) / "clock"
        path.write_bytes(bytes(mmap.PAGESIZE))
        with open(path, "r+b") as file:
            self._shared = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.boot_s = self.wall_s = self.mono_s = self.frozen_s = 0
        asan = os.environ.get("ASAN_OPTIONS", "exitcode=99")
        self.env = {"LD_PRELOAD": str(library), "LARDER_TEST_CLOCK": str(path),
                    "ASAN_OPTIONS": asan + ":verify_asan_link_order=0"}

    def _write(self):
        self._shared[:32] = struct.pack("=4q", *(
            round(s * 10**9) for s in (self.boot_s, self.wall_s, self.mono_s,
                                       self.frozen_s)))

    def freeze(self):
        """From now on CLOCK_BOOTTIME stands still, but for orders."""
        self.frozen_s = self.boot_now()
        self._write()

    def advance(self, seconds):
        """Time passes, as when the machine slept."""
        self.boot_s += seconds
        self._write()

    def pass_by(self, seconds):
        """Time passes for every clock alike."""
        self.boot_s += seconds
        self.wall_s += seconds
        self.mono_s += seconds
        self._write()

    def step_wall(self, seconds):
        self.wall_s += seconds
        self._write()

    def now(self):
        """What larderd takes for CLOCK_BOOTTIME, in seconds."""
        return (self.frozen_s or self.boot_now()) + self.boot_s

    @staticmethod
    def boot_now():
        return time.clock_gettime(time.CLOCK_BOOTTIME)


@pytest.fixture(scope="module")
def clock_library(tmp_path_factory):
    compiler = shlex.split(os.environ.get("CC", "cc"))[:1]
    if not shutil.which(compiler[0]):
        pytest.skip("no C compiler for the test clock")
    folder = tmp_path_factory.mktemp("clock")
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(CLOCK_SOURCE)
    subprocess.run([*compiler, "-shared", "-fPIC", "-O1", "-o", library,
                    source], check=True)
    return library


@pytest.fixture(scope="module")
def module_clock(clock_library, tmp_path_factory):
    return Clock(tmp_path_factory.mktemp("time"), clock_library)


@pytest.fixture
def clock(module_clock):
    return module_clock
