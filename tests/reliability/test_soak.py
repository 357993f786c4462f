"""A part of the soak that docs/reliability.md tells of (`make soak` runs it whole)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.marks import LONG
from tests.reliability.duel import duel
from tests.reliability.soak import soak
from tests.servers import RegistryServer

DUELS = 4
FEW = 10


@pytest.mark.parametrize("runs", [FEW, pytest.param(80, marks=LONG)])
def test_two_writers_in_a_storm_lose_nothing(runs: int) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    tally = soak(seed, runs)
    assert tally.runs == runs
    assert tally.faults > 0
    assert tally.acknowledged > 0 or runs == FEW  # of so few, a storm may let none through


@pytest.mark.parametrize("seed", [1, 2])
@LONG
def test_a_seed_gives_the_same_run_again(seed: int) -> None:
    assert soak(seed, 5) == soak(seed, 5)


@LONG
@pytest.mark.registry
def test_two_processes_before_a_real_registry_lose_nothing(registry: RegistryServer, tmp_path: Path) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    with duel(registry, tmp_path, seed) as both:
        for _ in range(DUELS):
            both.run()
        assert both.tally.faults > 0
