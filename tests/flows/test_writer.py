"""What a release that gives way writes: nothing that its decision had seen is lost by it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tagflow.decide.ballot import Ballot
from tagflow.decide.decision import Prospect
from tagflow.domain.history import Entry
from tagflow.domain.plan import Plan, Request, Step
from tagflow.domain.snapshot import Observation
from tagflow.domain.state import Freeze, Hold, Release, StackEntry, State
from tagflow.execute.compose import RecordWriter, Written
from tests.flows.world import START, World

OF_OLD = Release("old", 1)


def announced(world: World, seen: Observation, version: str, by: str) -> tuple[RecordWriter, Prospect, Written]:
    """What somebody announces who saw this."""
    digest = world.build(version, "frontend")["frontend"]
    context = replace(world.context(), actor=by)
    step = Step(
        image="frontend",
        repository=str(seen.target.repository),
        action="promote",
        version=version,
        digest=digest,
        previous_version=seen.standing.version,
        previous_digest=seen.standing.digest,
        heads=(),
    )
    plan = Plan(Request("promote", "prod", (version,)), "", (step,))
    writer = RecordWriter(context, plan, Release(by, 9), Release(by, 8))
    prospect = Prospect(seen, seen.standing.state.entered(StackEntry(version, digest, Release(by, 9))))
    return writer, prospect, writer.compose(step, prospect)[0]


def noted(seen: Observation, state: State) -> Observation:
    """The same, where a later record is the head, and says more."""
    head = seen.standing.head
    assert head is not None
    later = replace(head, tag=replace(head.tag, sequence=head.tag.sequence + 1))
    return replace(seen, standing=replace(seen.standing, heads=(with_state(later, state),)))


def with_state(entry: Entry, state: State) -> Entry:
    return replace(entry, record=replace(entry.record, state=state))


@pytest.fixture
def world() -> World:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    return world


def give_way(world: World, noting: State | None = None, *, lets_in: str = "v1.5.0") -> State:
    """Ann, whose decision had seen ``noting``, gives way to bob, whose had not; the state that her abort leaves."""
    seen = world.seen("frontend", "prod")
    _, _, rival = announced(world, seen, lets_in, "bob")
    mine_seen = seen if noting is None else noted(seen, noting)
    writer, prospect, mine = announced(world, mine_seen, "v1.4.0", "ann")
    unseen = {rival.entry.tag: rival.entry}
    ballot = Ballot(
        (mine.entry,), seen.records, seen.standing.digest, unseen, seen.standing.digest, frozenset({mine.entry.tag})
    )
    return writer.compose_abort(ballot, prospect, moved=False).entry.record.state


class TestGivingWay:
    def test_carries_on_what_the_other_announced(self, world: World) -> None:
        state = give_way(world)
        assert state.top is not None
        assert state.top.version == "v1.5.0"
        assert state.voided("v1.4.0")

    def test_keeps_a_hold_and_a_freeze_that_the_other_had_not_seen(self, world: World) -> None:
        hold, freeze = Hold("v1.3.0", None, "cid", START, "leaks"), Freeze("cid", START, "holidays")
        base = replace(world.seen("frontend", "prod").standing.state.holding(hold), freeze=freeze)
        state = give_way(world, base)
        assert state.held("v1.3.0") == hold
        assert state.freeze == freeze

    def test_keeps_what_had_lost_before(self, world: World) -> None:
        base = world.seen("frontend", "prod").standing.state.aborted("v1.2.0")
        assert give_way(world, base).voided("v1.2.0")

    def test_does_not_hold_or_void_what_the_other_lets_in(self, world: World) -> None:
        base = world.seen("frontend", "prod").standing.state.holding(Hold("v1.5.0", None, "cid", START, "leaks"))
        assert give_way(world, base).held("v1.5.0") is None
        base = world.seen("frontend", "prod").standing.state.aborted("v1.5.0")
        assert not give_way(world, base).voided("v1.5.0")

    def test_keeps_what_was_admitted_beside_what_runs(self, world: World) -> None:
        digest = world.build("v0.9.1", "frontend")["frontend"]
        entry = StackEntry("v0.9.1", digest, OF_OLD)
        base = world.seen("frontend", "prod").standing.state.let_in(entry)
        assert entry in give_way(world, base).admitted
