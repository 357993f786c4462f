"""A registry behind a proxy that counts rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tagflow import wiring
from tagflow.context import Context
from tagflow.stores.registry.http.settings import Settings
from tests.servers import RegistryServer
from tests.speed.rounds import Bench, RoundProxy, round_proxy

ENVIRONMENTS = "environments:\n  dev: {}\n  test: {}\n  prod: {}\n"
FLOATING = "environments:\n  dev: {}\n  test: {}\n  prod: {floating: [latest, major]}\n"

OpenBench = Callable[..., Bench]


@pytest.fixture(scope="module")
def rounds(registry: RegistryServer) -> Iterator[RoundProxy]:
    """The proxy."""
    with round_proxy(registry.host) as proxy:
        yield proxy


@pytest.fixture
def bench(registry: RegistryServer, rounds: RoundProxy, tmp_path: Path) -> OpenBench:
    """Makes a policy of so many images."""

    def make(images: int = 1, environments: str = ENVIRONMENTS) -> Bench:
        names = [f"svc-{number}" for number in range(images)]
        return Bench(tmp_path / f"images-{images}", rounds, registry, names, environments)

    return make


@pytest.fixture
def many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """More threads than there are requests: what remains of the rounds is what one request needs of another."""
    monkeypatch.setattr(wiring, "Context", partial(Context, threads=100))
    monkeypatch.setattr("tagflow.stores.registry.http.settings.Settings", partial(Settings, threads=100))
