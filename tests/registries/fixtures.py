"""Fixtures of the simulated registries, for the conftest of each package that uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tagflow.stores.registry.http.pace import RetryPolicy, Settings
from tagflow.stores.registry.store import RegistryHost
from tests.registries.brands import BRANDS, HOSTS, Brand
from tests.registries.network import Network, network

QUICK = RetryPolicy(attempts=3, first=0.01, budget=2.0, gap=0.001, largest_gap=0.01)
OpenBrand = Callable[[str], Brand]


@pytest.fixture(scope="session")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """One little internet for the whole run."""
    with network(tmp_path_factory.mktemp("internet"), HOSTS) as running:
        yield running


@pytest.fixture
def open_brand(internet: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenBrand]:
    """Opens a simulated registry by its name: an empty one."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    internet.forget()
    with ExitStack() as stack:
        yield lambda name: BRANDS[name](internet, tmp_path / name, stack)
    internet.hosts.clear()


def connect(brand: Brand, **settings: object) -> RegistryHost:
    """A connection to a simulated registry as its user has set it up."""
    given = {"environ": brand.environ, "retry": QUICK, **brand.settings, **settings}
    return RegistryHost(brand.host, Settings(**given))  # type: ignore[arg-type]
