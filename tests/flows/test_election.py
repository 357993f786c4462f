"""Who goes on, who waits, who gives way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tagflow.decide.election import Ballot, Verdict, elect, hides_abandonment
from tagflow.domain.history import Action
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


def test_who_finishes_what_has_arrived_by_itself_has_won(world: World) -> None:
    """Nobody is in the way: the tag stands where it is to go."""
    seen = world.seen("frontend", "prod")
    mine = announced(world, seen, "v1.4.0", "ann")[2].entry
    finisher = replace(mine, record=replace(mine.record, finishes=True))
    for entry, verdict in ((mine, Verdict.YIELD), (finisher, Verdict.WON)):
        ballot = Ballot((entry,), seen.records, seen.standing.digest, {}, entry.record.digest, frozenset({entry.tag}))
        assert elect({"frontend": ballot}).verdict is verdict


@pytest.mark.parametrize("action", ["adopt", "hold"])
def test_an_adoption_above_an_abandonment_hides_it(world: World, action: Action) -> None:
    seen = world.seen("frontend", "prod")
    mine = announced(world, seen, "v1.4.0", "ann")[2].entry
    other = announced(world, seen, "v1.5.0", "bob")[2].entry
    above = replace(
        other, tag=replace(other.tag, sequence=mine.tag.sequence + 1), record=replace(other.record, action=action)
    )
    below = replace(above, tag=replace(other.tag, sequence=mine.tag.sequence - 1))
    for entry, hides in ((above, action == "adopt"), (below, False)):
        ballot = Ballot((mine,), seen.records, seen.standing.digest, {entry.tag: entry}, seen.standing.digest)
        assert hides_abandonment(ballot) is hides
