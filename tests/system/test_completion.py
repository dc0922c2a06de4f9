"""Completion and manual know every verb and option of larderctl."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import find_binary

ROOT = Path(__file__).resolve().parents[2]
COMPLETION = ROOT / "contrib" / "completion"
SHELLS = ("larderctl.bash", "_larderctl", "larderctl.fish")


def usage():
    """(verbs as lists of words, options) as larderctl itself tells them."""
    text = subprocess.run([find_binary("larderctl"), "--help"],
                          capture_output=True, text=True, timeout=10,
                          check=True).stdout
    verbs, options = text.split("\nOptions:\n")
    lines = [line.split("  ")[1] for line in verbs.splitlines()
             if line.startswith("  ")]
    return ([re.findall(r"(?<![\[|A-Z-])\b[a-z]+\b(?![|\]])", line)[:2]
             if line.startswith("cache ") else line.split()[:1]
             for line in lines], re.findall(r"--[a-z]+", options))


def test_usage_is_understood():
    """What the other tests go by is not empty."""
    verbs, options = usage()
    assert ["cache", "flush"] in verbs and ["status"] in verbs
    assert len(verbs) > 10
    assert set(options) >= {"--socket", "--json", "--help", "--version"}


@pytest.mark.parametrize("name", SHELLS)
def test_every_verb_and_option_is_completed(name):
    text = (COMPLETION / name).read_text()
    verbs, options = usage()
    for word in {word for verb in verbs for word in verb}:
        assert re.search(rf"(?<![\w-]){word}(?![\w-])", text), word
    for option in options:
        written = f"-l {option[2:]} " if name.endswith(".fish") else option
        assert written in text, option


@pytest.mark.parametrize("shell, name", [
    ("bash", "larderctl.bash"), ("zsh", "_larderctl"),
    ("fish", "larderctl.fish")])
def test_each_shell_can_read_it(shell, name):
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    done = subprocess.run([shell, "-n", COMPLETION / name],
                          capture_output=True, text=True, timeout=10)
    assert done.returncode == 0 and not done.stderr, done.stderr


def complete(*words):
    """What bash offers for the last of these words."""
    script = (f'source "{COMPLETION / "larderctl.bash"}"\n'
              'COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))\n'
              '_larderctl "$1" "${@: -1}" "${@: -2:1}"\n'
              'printf "%s\\n" "${COMPREPLY[@]}"\n')
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", "larderctl", *words],
        capture_output=True, text=True, timeout=10,
        env={"PATH": f"{Path(find_binary('larderctl')).parent}:/usr/bin:/bin",
             "LARDER_SOCKET": "/nonexistent"})
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


def test_bash_offers_what_fits():
    assert complete("sta") == ["status", "stats"]
    assert set(complete("cache", "")) == {"stats", "lookup", "dump", "flush"}
    assert complete("--json", "cache", "lo") == ["lookup"]
    assert complete("--socket", "/x", "lo") == ["log"]
    assert complete("log", "d") == ["debug"]
    assert complete("upstream", "x", "r") == ["reset"]
    assert complete("upstream", "") == []       # nobody to ask
    assert complete("trace", "a.example", "AA") == ["AAAA"]
    assert complete("cache", "flush", "a.example", "MX") == ["MX"]
    assert complete("top", "--interval", "5") == ["500ms", "5s"]
    assert complete("--interval", "2s", "to") == ["top"]
    assert complete("--j") == ["--json"]
    assert complete("status", "x") == []


def test_every_verb_and_option_is_in_the_manual():
    text = (ROOT / "man" / "larderctl.1").read_text().replace("\\-", "-")
    synopsis, rest = text.split(".SH DESCRIPTION")
    verbs, options = usage()
    for verb in verbs:
        words = " ".join(verb)
        assert f"\\fB{words}\\fR" in synopsis, words
        assert re.search(rf"(?m)^(\.B |\\fB){words}(\\fR|$)", rest), words
    for option in options:
        assert option in rest, option
    for code in "0123":
        assert f".TP\n.B {code}\n" in rest
