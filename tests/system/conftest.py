"""Fixtures: one larderd and one fake upstream per module, tidied per test."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import harness  # noqa: E402


@pytest.fixture(scope="module")
def module_upstream():
    with harness.Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def module_larder(module_upstream):
    with harness.Larder([module_upstream]) as larder:
        yield larder


@pytest.fixture
def upstream(module_upstream):
    """The module's fake upstream, with default handler and empty log."""
    module_upstream.reset()
    yield module_upstream
    module_upstream.handler = harness.answer_default
    module_upstream.check()


@pytest.fixture
def larder(upstream, module_larder):
    """The module's larderd; it must survive the test."""
    module_larder.check_running()
    yield module_larder
    module_larder.check_running()


@pytest.fixture
def fresh():
    """A function that gives a name nobody asked for yet: "n17.example."."""
    return harness.fresh_name
