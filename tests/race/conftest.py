"""A site on each medium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proxy import FaultProxy
from tests.race.site import Medium, Site, rounds
from tests.servers import RegistryServer


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each race as often as asked for."""
    if "attempt" in metafunc.fixturenames:
        metafunc.parametrize("attempt", range(rounds()), ids=lambda number: f"round {number + 1}")


@pytest.fixture
def attempt() -> int:
    """Which round it is."""
    return 0


@pytest.fixture(params=[pytest.param("registry", marks=pytest.mark.registry), "layout"])
def site(request: pytest.FixtureRequest, tmp_path: Path, attempt: int) -> Iterator[Site]:
    """A site on either medium, with nothing there yet."""
    medium: Medium = request.param
    server, proxy = _registry(request) if medium == "registry" else (None, None)
    made = Site(medium, tmp_path / "site", server, proxy)
    made.write_policy()
    yield made
    made.stop()


@pytest.fixture
def registry_site(request: pytest.FixtureRequest, tmp_path: Path, attempt: int) -> Iterator[Site]:
    """A site on the registry."""
    made = Site("registry", tmp_path / "site", *_registry(request))
    made.write_policy()
    yield made
    made.stop()


@pytest.fixture
def layout_site(tmp_path: Path, attempt: int) -> Iterator[Site]:
    """A site on layouts."""
    made = Site("layout", tmp_path / "site")
    made.write_policy()
    yield made
    made.stop()


def _registry(request: pytest.FixtureRequest) -> tuple[RegistryServer, FaultProxy]:
    server: RegistryServer = request.getfixturevalue("registry")
    proxy: FaultProxy = request.getfixturevalue("proxy")
    return server, proxy
