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


# What is behind TLS needs packages that the rest does without.

@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    """An authority of the module's own."""
    from authority import Authority
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def cert(ca):
    """A certificate for secure.NAME."""
    from secure import NAME
    return ca.issue(NAME)


@pytest.fixture(scope="module")
def module_dot(cert, ca):
    from secure import DotUpstream
    with DotUpstream(cert, ca) as server:
        yield server


@pytest.fixture(scope="module")
def module_doh(cert, ca):
    from secure import DohUpstream
    with DohUpstream(cert, ca) as server:
        yield server


@pytest.fixture
def dot(module_dot):
    """The module's fake upstream over TLS, with an empty log."""
    module_dot.reset()
    yield module_dot
    module_dot.check()


@pytest.fixture
def doh(module_doh):
    """The same over HTTPS."""
    module_doh.reset()
    yield module_doh
    module_doh.check()


@pytest.fixture
def fresh():
    """A function that gives a name nobody asked for yet: "n17.example."."""
    return harness.fresh_name
