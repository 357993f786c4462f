"""Who goes on, who waits, who gives way."""

from __future__ import annotations

import pytest

from tagflow.decide.election import Ballot, Verdict, elect
from tests.flows.test_writer import announced
from tests.flows.world import World


@pytest.fixture
def world() -> World:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    return world


@pytest.mark.parametrize("mine_first", [True, False])
def test_who_has_won_stays_the_winner_when_it_looks_again(world: World, mine_first: bool) -> None:
    """A release that it sees only then sees this one, and gives way: if both did, nobody would be left."""
    seen = world.seen("frontend", "prod")
    both = [announced(world, seen, f"v1.{number}.0", by)[2].entry for number, by in ((4, "ann"), (5, "bob"))]
    mine, rival = sorted(both, key=lambda entry: entry.rank, reverse=not mine_first)
    before = seen.standing.digest
    ballots = {"frontend": Ballot((mine,), seen.records, before, {rival.tag: rival}, before, frozenset({mine.tag}))}
    assert elect(ballots).verdict is (Verdict.WAIT if mine_first else Verdict.YIELD)
    assert elect(ballots, again=True).verdict is Verdict.WON
