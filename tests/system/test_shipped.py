"""What we ship works as it stands: the example configuration."""

import re
import subprocess
from pathlib import Path

import harness

EXAMPLE = Path(__file__).resolve().parents[2] / "etc" / "larder.yaml"


def check(path):
    done = subprocess.run(
        [harness.find_binary("larderd"), "--check", "--config", str(path)],
        capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout + done.stderr


def test_example_is_valid():
    code, said = check(EXAMPLE)
    assert code == 0, said


def test_what_it_shows_commented_out_is_valid_too(tmp_path):
    """Every key of the example, switched on; the user need not exist here."""
    text, switched = re.subn(r"(?m)^#(?=(?:  ){0,2}[a-z][a-z0-9.-]*:)", "",
                             EXAMPLE.read_text())
    assert switched > 15
    text = re.sub(r"(?m)^user:.*\n", "", text)
    path = tmp_path / "larder.yaml"
    path.write_text(text)
    code, said = check(path)
    assert code == 0, said


def test_a_slip_in_it_is_found(tmp_path):
    """The check above can fail: one letter wrong, and the line is named."""
    path = tmp_path / "larder.yaml"
    path.write_text(EXAMPLE.read_text().replace("forward:", "froward:"))
    code, said = check(path)
    line = path.read_text().splitlines().index("froward:") + 1
    assert code == 1
    assert f"larder.yaml:{line}:1: " in said and "forward" in said, said
