"""Policies whose commands are counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import RegistryServer
from tests.speed.rounds import Bench

ENVIRONMENTS = "environments:\n  dev: {}\n  test: {}\n  prod: {}\n"
FLOATING = "environments:\n  dev: {}\n  test: {}\n  prod: {floating: [latest, major]}\n"

OpenBench = Callable[..., Bench]


@pytest.fixture
def bench(registry: RegistryServer, tmp_path: Path) -> OpenBench:
    """Makes a policy of so many images."""

    def make(images: int = 1, environments: str = ENVIRONMENTS) -> Bench:
        names = [f"svc-{number}" for number in range(images)]
        return Bench(tmp_path / f"images-{images}", registry, names, environments)

    return make
