#!/usr/bin/env python3
"""Shows how much of each parser the fuzz targets reach.

    tests/fuzz/coverage.py [--seconds N] [--missing] [--build DIR]

Builds the targets with clang and its line counters in a copy of the tree,
hands each its corpus, then lets it look for N seconds for more, and prints a
table: lines of a parser, and how many of them were reached by the kept corpus
alone and with what the run found.  The inputs that a run finds are thrown away;
--found DIR keeps them.

A line counts when any of the targets that are named beside its file gets
there.  Lines that only a lack of memory reaches count as not reached: the
n-th-allocation tests of tests/unit are for those.  Exit code 1: a file is
below --least percent.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
TARGETS = ("query", "answer", "name", "frames", "h2", "conf", "control")
# What reads octets of others, and the targets that hand it some.
PARSERS = {
    "src/dns/cursor.h": ("name", "query", "answer"),
    "src/dns/cursor.c": ("name", "query", "answer"),
    "src/dns/name.c": ("name", "query", "answer"),
    "src/dns/compress.c": ("name", "answer"),
    "src/dns/message.c": ("query",),
    "src/dns/record.c": ("answer",),
    "src/dns/rdata.c": ("answer",),
    "src/dns/scrub.c": ("answer",),
    "src/dns/answer.c": ("answer",),
    "src/upstream/exchange.c": ("answer",),
    "src/net/frames.c": ("frames",),
    "src/net/h2.c": ("h2",),
    "src/conf/events.c": ("conf",),
    "src/conf/parse.c": ("conf",),
    "src/conf/value.c": ("conf",),
    "src/conf/url.c": ("conf",),
    "src/conf/resolv.c": ("conf",),
    "src/conf/suggest.c": ("conf",),
    "src/conf/settings.c": ("conf",),
    "src/conf/build.c": ("conf",),
    "src/conf/report.c": ("conf",),
    "src/base/addr.c": ("conf",),
    "src/base/varlink.c": ("control",),
    "src/control/call.c": ("control",),
    "src/control/larder.c": ("control",),
    "src/control/service.c": ("control",),
    "src/control/reply.c": ("control",),
}
FOR_MEMORY = ("src/conf/settings.c", "src/control/service.c",
              "src/control/reply.c")
MOST = {"h2": 81920}        # octets of an input
MOST_ELSE = 8192
CFLAGS = "-O1 -g -fprofile-instr-generate -fcoverage-mapping"
LEFT_OUT = shutil.ignore_patterns(
    ".git", "autom4te.cache", "*.o", "*.a", ".deps", ".dirstamp", "Makefile",
    "config.status", "config.h", "stamp-h1", "__pycache__", "*.log", "*.trs")


def must(*argv, folder=None, **env):
    done = subprocess.run(argv, cwd=folder, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, errors="replace",
                          env={**os.environ, **env}, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, argv))}:\n"
                         f"{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def program(name):
    """llvm's, which Debian also installs with the version behind it."""
    for candidate in (name, f"{name}-14", *(f"{name}-{n}"
                                            for n in range(15, 25))):
        if shutil.which(candidate):
            return candidate
    raise SystemExit(f"{name} is not installed (Debian: llvm)")


def build(folder):
    shutil.copytree(TOP, folder, ignore=LEFT_OUT, dirs_exist_ok=True)
    if not (folder / "Makefile").exists():
        if not (folder / "configure").exists():
            must("autoreconf", "-fi", folder=folder)
        must("./configure", "-q", "CC=clang", "--enable-fuzzing",
             f"CFLAGS={CFLAGS}", folder=folder)
    must("make", "-s", "-j2", *(f"tests/fuzz/fuzz_{t}" for t in TARGETS),
         folder=folder)


class Profile:
    """Counters of one target: of its corpus, and of a run behind it."""

    def __init__(self, folder, target, options):
        self.binary = folder / "tests" / "fuzz" / f"fuzz_{target}"
        raw = folder / f"{target}.raw"
        corpus = HERE / "corpus" / target
        found = (options.found or folder / "found") / target
        found.mkdir(parents=True, exist_ok=True)
        self.corpus = self.run(folder, raw, "-runs=0", str(corpus))
        self.all = self.run(folder, raw, f"-max_total_time={options.seconds}",
                            f"-max_len={MOST.get(target, MOST_ELSE)}",
                            f"-artifact_prefix={found}-",
                            str(found), str(corpus))

    def run(self, folder, raw, *arguments):
        must(self.binary, "-close_fd_mask=1", *arguments, folder=folder,
             LLVM_PROFILE_FILE=str(raw))
        data = raw.read_bytes()
        raw.unlink()
        return data


def merge(folder, profiles):
    raws = []
    for n, data in enumerate(profiles):
        raws.append(folder / f"merge{n}.raw")
        raws[-1].write_bytes(data)
    merged = folder / "merged"
    must(program("llvm-profdata"), "merge", "-sparse", "-o", merged, *raws)
    return merged


def lines(folder, file, profiles, which):
    """Line numbers of code in a file -> how often each was reached."""
    merged = merge(folder, [getattr(p, which) for p in profiles])
    objects = [word for p in profiles[1:] for word in ("-object", p.binary)]
    text = must(program("llvm-cov"), "export", "-format=lcov",
                f"-instr-profile={merged}", profiles[0].binary, *objects,
                str(folder / file))
    found = {}
    for line in text.splitlines():
        if line.startswith("DA:"):
            number, count = line[3:].split(",")[:2]
            found[int(number)] = max(int(count), found.get(int(number), 0))
    if not found:
        raise SystemExit(f"{file}: no counters")
    return found


def share(counts):
    return 100 * sum(c > 0 for c in counts.values()) / len(counts)


def show_missing(file, counts):
    source = (TOP / file).read_text().splitlines()
    for number in sorted(n for n, count in counts.items() if not count):
        print(f"    {file}:{number}: {source[number - 1].strip()}")


def main():
    parser = argparse.ArgumentParser(
        description="Shows how much of each parser the fuzz targets reach.")
    parser.add_argument("--seconds", type=int, default=30,
                        help="how long each target looks for more (30)")
    parser.add_argument("--least", type=float, default=90)
    parser.add_argument("--missing", action="store_true",
                        help="print the lines that nothing reached")
    parser.add_argument("--build", type=Path, metavar="DIR",
                        help="build there, and keep it for the next time")
    parser.add_argument("--found", type=Path, metavar="DIR",
                        help="keep there what the runs find")
    options = parser.parse_args()
    options.seconds = max(options.seconds, 1)
    if options.found:
        options.found = options.found.resolve()
    with tempfile.TemporaryDirectory(prefix="larder-coverage-") as scratch:
        folder = options.build.resolve() if options.build else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        build(folder)
        profiles = {t: Profile(folder, t, options) for t in TARGETS}
        return table(folder, profiles, options)


def table(folder, profiles, options):
    low = 0
    print("| parser | lines | corpus | and a run | target |\n"
          "|---|---|---|---|---|")
    for file, targets in PARSERS.items():
        of_file = [profiles[t] for t in targets]
        corpus = lines(folder, file, of_file, "corpus")
        every = lines(folder, file, of_file, "all")
        print(f"| {file} | {len(every)} | {share(corpus):.1f} % | "
              f"{share(every):.1f} % | {', '.join(targets)} |")
        low += share(every) < options.least and file not in FOR_MEMORY
        if options.missing:
            show_missing(file, every)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
