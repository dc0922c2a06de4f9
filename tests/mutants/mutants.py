#!/usr/bin/env python3
"""Shows that tests can fail: puts one fault at a time into larder.

    tests/mutants/mutants.py [--jobs N] [--list] [NAME or SECTION ...]

The faults are rows of faults.toml.  The tree is copied to a scratch directory
and built once; each job works in a copy of that.  For each fault its text is
exchanged, what depends on it is built anew, its one test runs, and the old
text is put back.  The result is good when that test passed before and fails
now.

A test is "scenario NAME", "unit PROGRAM" or "system FILE EXPRESSION" (a
selection for pytest's -k).  A row with tsan = true is built and run with
ThreadSanitizer, for the locks that nothing else misses.

Exit code 0: every fault was caught.  A fault whose old text is not found just
once is stale, and stale is a failure: the row has to follow the code.
"""

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
TEST_S = 150                # a test that takes longer hangs, which is failing
BUILD_S = 900
PYTEST_FAILED = 1           # its exit code for tests that failed
# Debian's, which has pytest and dnspython; another one may come first in PATH.
PYTHON = "/usr/bin/python3"
LEFT_OUT = shutil.ignore_patterns(
    ".git", "autom4te.cache", "*.o", "*.a", ".deps", ".dirstamp", "Makefile",
    "config.status", "config.h", "stamp-h1", "__pycache__", "*.log", "*.trs")


class Broken(Exception):
    """Something other than the fault went wrong."""


def run(argv, folder, seconds, **env):
    """(exit code, output); a process group that hangs is ended whole."""
    with subprocess.Popen(
            argv, cwd=folder, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            errors="replace", start_new_session=True,
            # Memory that was given back reads as rubbish, not as before.
            env={**os.environ, "MALLOC_PERTURB_": "165", **env}) as proc:
        try:
            output, _ = proc.communicate(timeout=seconds)
            return proc.returncode, output
        except subprocess.TimeoutExpired:
            os.killpg(proc.pid, 9)
            output, _ = proc.communicate()
            return -1, output + f"\nnot over after {seconds} s"


class Tree:
    """A copy of the sources, built where it stands."""

    def __init__(self, folder, tsan=False, built=None):
        """built: another tree to copy, objects and all."""
        self.dir, self.tsan, self.seen = folder, tsan, {}
        if built:
            shutil.copytree(built.dir, folder, symlinks=True)
            return
        shutil.copytree(TOP, folder, ignore=LEFT_OUT)
        if not (folder / "configure").exists():
            self._must("autoreconf", "-fi")
        self._must("./configure", "-q", "CFLAGS=-O0" if not tsan else
                   "CFLAGS=-O1", *(["--enable-tsan"] if tsan else []))
        self._must("make", "-s", "-j2", "larderd", "larderctl",
                   "tests/scenario/scenario")

    def _must(self, *argv):
        code, output = run(argv, self.dir, BUILD_S)
        if code:
            raise Broken(f"{' '.join(argv)}:\n{output[-3000:]}")

    def build(self, test):
        """The daemon, and what the test runs.  None, or what went wrong."""
        kind, *words = test.split(None, 2)
        goals = {"scenario": ["tests/scenario/scenario"],
                 "unit": [f"tests/unit/{words[0]}"],
                 "system": ["larderd", "larderctl"]}[kind]
        code, output = run(["make", "-s", *goals], self.dir, BUILD_S)
        return output[-1500:] if code else None

    def fails(self, test):
        """Whether the test fails; Broken when there is no such test."""
        kind, *words = test.split(None, 2)
        env = {"srcdir": ".", "LARDER_BUILD": str(self.dir)}
        if kind == "scenario":
            argv = ["tests/scenario/scenario",
                    f"tests/scenario/{words[0]}.scn"]
        elif kind == "unit":
            argv = [f"tests/unit/{words[0]}"]
        else:
            argv = [PYTHON, "-m", "pytest", "-q", "-x", "-p",
                    "no:cacheprovider", f"tests/system/{words[0]}.py",
                    "-k", words[1]]
            if self.tsan:
                env["TSAN_OPTIONS"] = "exitcode=66"
        code, output = run(argv, self.dir, TEST_S, **env)
        if kind == "system" and (code > PYTEST_FAILED or
                                 (code == 0 and " passed" not in output)):
            raise Broken(f"no such test: {test}\n{output[-800:]}")
        return code != 0

    def passes_without(self, test):
        """Whether the test passes in the unchanged tree; asked once."""
        if test not in self.seen:
            self.seen[test] = not self.build(test) and not self.fails(test)
        return self.seen[test]

    def judge(self, row):
        """One word on what became of the fault, and details."""
        path = self.dir / row["file"]
        good = path.read_text()
        if good.count(row["old"]) != 1:
            return "stale", f"found {good.count(row['old'])} times"
        if not self.passes_without(row["test"]):
            return "no use", "the test fails without the fault"
        path.write_text(good.replace(row["old"], row["new"]))
        try:
            trouble = self.build(row["test"])
            if trouble:
                return "no build", trouble
            return ("caught" if self.fails(row["test"]) else "SURVIVED"), ""
        finally:
            path.write_text(good)


class Work:
    """Rows to be judged, and what came of them."""

    def __init__(self, rows, scratch):
        self.rows, self.scratch = queue.SimpleQueue(), scratch
        # Those that need the other build wait for the first job.
        self.tsan_rows = [row for row in rows if row.get("tsan")]
        for row in rows:
            if not row.get("tsan"):
                self.rows.put(row)
        self.results, self.lock = [], threading.Lock()

    def judge_all(self, number, built):
        """One job, in a copy of the built tree."""
        tree = Tree(self.scratch / f"job{number}", built=built)
        while True:
            try:
                self.judge(tree, self.rows.get_nowait())
            except queue.Empty:
                break
        if number == 0 and self.tsan_rows:
            tree = Tree(self.scratch / "tsan", tsan=True)
            for row in self.tsan_rows:
                self.judge(tree, row)

    def judge(self, tree, row):
        start = time.monotonic()
        try:
            word, more = tree.judge(row)
        except Broken as error:
            word, more = "broken", str(error)
        with self.lock:
            self.results.append((row, word))
            print(f"{row['section']:3d}  {row['name']:34s} "
                  f"{time.monotonic() - start:6.1f} s  {word:9s} "
                  f"{row['test']}", flush=True)
            if more:
                print("       " + more.strip().replace("\n", "\n       "))


def choose(rows, wanted):
    return [r for r in rows if not wanted or r["name"] in wanted
            or str(r["section"]) in wanted]


def main():
    parser = argparse.ArgumentParser(
        description="Puts faults into larder and shows that tests fail.")
    parser.add_argument("wanted", nargs="*", metavar="NAME or SECTION")
    parser.add_argument("--jobs", type=int, choices=(1, 2), default=2)
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    with open(HERE / "faults.toml", "rb") as source:
        rows = choose(tomllib.load(source)["fault"], args.wanted)
    if args.list:
        for row in rows:
            print(f"{row['section']:3d}  {row['name']:34s} {row['test']}")
        return 0
    if any(row["test"].startswith("system") for row in rows):
        subprocess.run([PYTHON, "-c", "import dns, pytest"], check=True)
    rows.sort(key=lambda r: r["section"])
    with tempfile.TemporaryDirectory(prefix="larder-mutants-") as scratch:
        work = Work(rows, Path(scratch))
        built = Tree(Path(scratch) / "built")
        jobs = [threading.Thread(target=work.judge_all, args=(n, built))
                for n in range(args.jobs)]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
    passed = sum(word == "caught" for _, word in work.results)
    failed = len(rows) - passed
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
