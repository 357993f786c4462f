"""Maintenance lines: an older line goes on beside what runs, and the environment stays."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from tagflow.domain.plan import Outcome
from tagflow.errors import TagflowError
from tagflow.verbs.history import history
from tagflow.verbs.repair import repair
from tagflow.verbs.verify import verify
from tests.flows.world import World, fails
from tests.marks import LONG

POLICY = """
version: 1
registry: registry.test/acme
images: {frontend: frontend, backend: back_end}
environments:
  dev: {}
  prod: {lines: minor, floating: [latest, major, minor]}
"""
TAGS = ("latest", "v1", "v1.20", "v1.21")


@pytest.fixture
def world() -> World:
    """prod runs v1.21.1, and ran v1.20.4 before; v1.20.5 is in dev."""
    world = World(POLICY)
    for version in ("v1.20.4", "v1.21.1"):
        world.through(version, "dev", "prod")
    world.through("v1.20.5", "dev")
    return world


def floats(world: World, image: str = "frontend") -> dict[str, str]:
    """Floating tag → the version tag at the same digest."""
    tags = world.tags(image)
    names = {digest: tag for tag, digest in sorted(tags.items()) if tag.count(".") == 2 and "-" not in tag}
    return {tag: names[tags[tag]] for tag in TAGS if tag in tags}


def findings(world: World) -> list[tuple[str, str]]:
    return [(it.image, it.problem) for it in verify(world.context(), [])]


def actions(outcome: Outcome, image: str = "frontend") -> dict[str, str]:
    return {move.tag: move.action for move in outcome.plan.moves if move.image == image}


class TestBesideWhatRuns:
    def test_it_enters_and_prod_stays(self, world: World) -> None:
        outcome = world.promote("v1.20.5", to="prod")
        assert outcome.applied
        assert actions(outcome) == {
            "v1.20.5": "keep", "v1.20.5-prod": "create", "prod": "keep",
            "v1.20": "move", "latest": "keep", "v1": "keep",
        }  # fmt: skip
        assert world.runs("prod") == {"frontend": "v1.21.1", "backend": "v1.21.1"}
        assert floats(world) == {"latest": "v1.21.1", "v1": "v1.21.1", "v1.20": "v1.20.5", "v1.21": "v1.21.1"}
        assert world.tag("frontend", "v1.20.5-prod") == world.tag("frontend", "v1.20.5")
        assert world.records("frontend", "prod")[-1][:2] == ("admit", "v1.20.5")
        assert world.stack("frontend", "prod") == ["v1.20.4", "v1.21.1"]
        assert findings(world) == []

    def test_it_is_said(self, world: World) -> None:
        world.promote("v1.20.5", to="prod", dry_run=True)
        told = "note: frontend: v1.20.5 enters prod beside v1.21.1, as the highest of its line; prod stays"
        assert told in world.warnings

    def test_twice_is_nothing_to_do(self, world: World) -> None:
        world.promote("v1.20.5", to="prod")
        with world.unchanged():
            assert not world.promote("v1.20.5", to="prod").plan.changes

    def test_the_history_tells_of_its_bytes(self, world: World) -> None:
        world.promote("v1.20.5", to="prod", reason="for acme")
        newest = history(world.context(), "prod", ["frontend"], 1).entries[0].entry.record
        assert (newest.action, newest.version, newest.subject) == ("admit", "v1.20.5", world.tag("frontend", "v1.20.5"))
        assert newest.digest == world.tag("frontend", "prod")
        assert newest.reason == "for acme"

    def test_what_is_not_the_highest_of_its_line_is_a_downgrade(self, world: World) -> None:
        world.promote("v1.20.5", to="prod")
        world.through("v1.20.3", "dev")
        with world.unchanged(), fails("promotion.downgrade", 3) as caught:
            world.promote("v1.20.3", to="prod")
        hint = caught[0].hint
        assert "--override downgrades --reason" in hint
        assert "lines" not in hint

    def test_of_the_line_that_runs_it_is_a_downgrade(self, world: World) -> None:
        world.through("v1.21.0", "dev")
        with fails("promotion.downgrade", 3):
            world.promote("v1.21.0", to="prod")

    def test_an_override_lets_prod_itself_go_back(self, world: World) -> None:
        world.promote("v1.20.5", to="prod", override=("downgrades",), reason="the new one is broken")
        assert world.runs("prod") == {"frontend": "v1.20.5", "backend": "v1.20.5"}
        assert findings(world) == []

    def test_a_higher_version_moves_prod_as_ever(self, world: World) -> None:
        world.promote("v1.20.5", to="prod")
        world.through("v1.22.0", "dev", "prod")
        assert world.runs("prod")["frontend"] == "v1.22.0"
        assert floats(world)["v1.20"] == "v1.20.5"
        assert findings(world) == []

    def test_images_go_each_their_way(self, world: World) -> None:
        world.through("v1.22.0", "dev")
        outcome = world.promote("frontend=v1.22.0", "backend=v1.20.5", to="prod")
        assert world.runs("prod") == {"frontend": "v1.22.0", "backend": "v1.21.1"}
        assert (floats(world, "backend")["v1.20"], floats(world, "backend")["latest"]) == ("v1.20.5", "v1.21.1")
        assert {step.image: step.action for step in outcome.plan.steps} == {"frontend": "promote", "backend": "admit"}
        assert findings(world) == []

    def test_a_push_enters_beside_what_dev_runs(self) -> None:
        world = World(POLICY.replace("dev: {}", "dev: {lines: minor}"))
        world.through("v1.21.1", "dev")
        world.through("v1.20.5", "dev")
        assert world.runs("dev")["frontend"] == "v1.21.1"
        world.through("v1.20.5", "prod")
        assert world.runs("prod")["frontend"] == "v1.20.5", "it was admitted to dev, so it may go on"


class TestRulesAndHolds:
    def test_a_held_one_is_refused(self, world: World) -> None:
        world.hold("prod", "v1.20.5")
        with fails("promotion.held", 3):
            world.promote("v1.20.5", to="prod")
        world.promote("v1.20.5", to="prod", override=("hold",), reason="looked at")
        assert world.cell("frontend", "prod").holds == ()

    def test_a_hold_takes_it_out_again(self, world: World) -> None:
        world.promote("v1.20.5", to="prod")
        world.hold("prod", "v1.20.5")
        assert ("frontend", "floating.wrong") in findings(world)
        repair(world.context(), [])
        assert floats(world)["v1.20"] == "v1.20.4"
        assert findings(world) == []
        world.hold("prod", "v1.20.5", lift=True)
        repair(world.context(), [])
        assert floats(world)["v1.20"] == "v1.20.5"

    def test_a_freeze_stops_it(self, world: World) -> None:
        world.freeze("prod")
        with fails("promotion.frozen", 3):
            world.promote("v1.20.5", to="prod")

    def test_a_pre_release_is_one_here_too(self) -> None:
        world = World(POLICY.replace("lines: minor", "lines: minor, prereleases: deny"))
        world.through("v1.21.1", "dev", "prod")
        world.through("v1.20.6-rc.1", "dev")
        with fails("promotion.prerelease", 3):
            world.promote("v1.20.6-rc.1", to="prod")

    def test_a_soak_counts_from_the_admission_on(self) -> None:
        policy = POLICY.replace("dev: {}", "dev: {lines: minor}").replace("prod: {", "prod: {soak: 24h, ")
        world = World(policy)
        world.through("v1.21.1", "dev")
        world.later(days=2)
        world.promote("v1.21.1", to="prod")
        world.through("v1.20.5", "dev")
        with fails("promotion.soak", 3):
            world.promote("v1.20.5", to="prod")
        world.later(days=1)
        world.promote("v1.20.5", to="prod")
        assert floats(world)["v1.20"] == "v1.20.5"

    def test_what_was_taken_out_again_does_not_soak(self) -> None:
        policy = POLICY.replace("dev: {}", "dev: {lines: minor}").replace("prod: {", "prod: {soak: 24h, ")
        world = World(policy)
        world.through("v1.21.1", "dev")
        world.through("v1.20.5", "dev")
        world.later(days=2)
        world.hold("dev", "v1.20.5")
        world.promote("v1.20.5", to="dev", override=("hold",), reason="again")
        world.promote("v1.21.1", to="prod")
        with fails("promotion.soak", 3):
            world.promote("v1.20.5", to="prod")


class TestRollback:
    def test_it_undoes_what_ran_not_what_entered_beside(self, world: World) -> None:
        world.promote("v1.20.5", to="prod")
        world.rollback("prod")
        assert world.runs("prod")["frontend"] == "v1.20.4"
        assert floats(world) == {"latest": "v1.20.5", "v1": "v1.20.5", "v1.20": "v1.20.5", "v1.21": "v1.21.1"}
        assert findings(world) == [("frontend", "floating.stale"), ("backend", "floating.stale")]

    def test_to_what_entered_beside(self, world: World) -> None:
        world.promote("v1.20.5", to="prod")
        world.rollback("prod", "v1.20.5")
        assert world.runs("prod")["frontend"] == "v1.20.5"
        assert world.stack("frontend", "prod") == ["v1.20.4", "v1.21.1", "v1.20.5"]
        assert findings(world) == []
        world.rollback("prod")
        assert world.runs("prod")["frontend"] == "v1.21.1"
        assert world.cell("frontend", "prod").holds == ("v1.20.5",)


class TestWhenItDies:
    def test_at_every_write_the_same_command_finishes_it(self, world: World) -> None:
        whole = world.copy()
        whole.promote("v1.20.5", to="prod")
        for write in range(1, 100):
            again = world.copy()
            if not again.crash(partial(again.promote, "v1.20.5", to="prod"), write):
                break
            assert again.runs("prod")["frontend"] == "v1.21.1"
            again.promote("v1.20.5", to="prod")
            assert floats(again) == floats(whole)
            assert findings(again) == [], write
        assert write > 3

    def test_at_every_write_verify_mends_it_or_leaves_it_out(self, world: World) -> None:
        for write in range(1, 100):
            again = world.copy()
            if not again.crash(partial(again.promote, "v1.20.5", to="prod"), write):
                break
            repair(again.context(), [])
            assert findings(again) == [], write
            assert again.runs("prod")["frontend"] == "v1.21.1"

    @pytest.mark.parametrize("ending", ["finish", "abandon", "repair"])
    def test_in_a_release_with_others(self, world: World, ending: str) -> None:
        world.through("v1.22.0", "dev")

        def change(it: World) -> None:
            it.promote("frontend=v1.22.0", "backend=v1.20.5", to="prod")

        for write in range(1, 100):
            again = world.copy()
            if not again.crash(partial(change, again), write):
                break
            interrupted = again.states("prod")["frontend"] == "interrupted"
            if ending == "finish":
                change(again)
                assert again.runs("prod") == {"frontend": "v1.22.0", "backend": "v1.21.1"}
                assert floats(again, "backend")["v1.20"] == "v1.20.5"
            elif ending == "abandon" and interrupted:
                again.rollback("prod")
                assert again.runs("prod") == {"frontend": "v1.21.1", "backend": "v1.21.1"}
                assert floats(again, "backend")["v1.20"] == "v1.20.4"
                excluded = again.seen("backend", "prod")
                assert again.context().scheme.parse_version("v1.20.5") not in excluded.admitted
            else:
                repair(again.context(), [])
            alone = [("frontend", "interrupted")]  # a record was not written: only the same command knows the rest
            assert findings(again) in ([], alone if ending == "repair" and write < 3 else []), write
        assert write > 5

    def test_another_release_of_the_image_is_finished_first(self, world: World) -> None:
        world.through("v1.22.0", "dev")
        assert world.crash(lambda: world.promote("v1.22.0", to="prod"), 4)
        with fails("release.interrupted", 5):
            world.promote("v1.20.5", to="prod")


class TestTogether:
    def test_two_lines_at_once_leave_both_admitted(self, world: World) -> None:
        """Both announce before either looks: neither is a release of the environment, so neither gives way."""
        world.through("v1.19.9", "dev")
        first = world.propose_promote("v1.20.5", to="prod")
        second = world.propose_promote("v1.19.9", to="prod")
        world.carry_out(first)
        world.carry_out(second)
        state = world.seen("frontend", "prod").standing.state
        assert {entry.version for entry in state.admitted} == {"v1.20.5", "v1.19.9"}
        assert [problem for _, problem in findings(world)] == ["history.fork", "history.fork"]
        repair(world.context(), [])
        assert findings(world) == []
        state = world.seen("frontend", "prod").standing.state
        assert {entry.version for entry in state.admitted} == {"v1.20.5", "v1.19.9"}

    def test_a_release_that_was_decided_before_stays_one(self, world: World) -> None:
        world.through("v1.22.0", "dev")
        proposal = world.propose_promote("v1.22.0", to="prod")
        world.promote("v1.20.5", to="prod")
        world.carry_out(proposal)
        assert world.runs("prod")["frontend"] == "v1.22.0"
        assert floats(world)["v1.20"] == "v1.20.5"
        repair(world.context(), [])
        assert findings(world) == []

    def test_it_gives_way_to_a_release_that_it_did_not_know(self, world: World) -> None:
        world.through("v1.22.0", "dev")
        proposal = world.propose_promote("v1.20.5", to="prod")
        world.promote("v1.22.0", to="prod")
        with fails("release.overtaken", 5):
            world.carry_out(proposal)
        assert world.tag("frontend", "v1.20.5-prod") is None
        world.promote("v1.20.5", to="prod")
        repair(world.context(), [])
        assert findings(world) == []
        assert world.runs("prod")["frontend"] == "v1.22.0"

    def test_a_hold_that_comes_meanwhile_stops_it(self, world: World) -> None:
        proposal = world.propose_promote("v1.20.5", to="prod")
        world.hold("prod", "v1.20.5")
        with fails("promotion.held", 3):
            world.carry_out(proposal)
        assert world.tag("frontend", "v1.20.5-prod") is None
        assert floats(world)["v1.20"] == "v1.20.4"


OTHERS: dict[str, Callable[[World], object]] = {
    "promote": lambda it: it.promote("v1.22.0", to="prod"),
    "rollback": lambda it: it.rollback("prod"),
    "hold": lambda it: it.hold("prod", "v1.20.5"),
    "freeze": lambda it: it.freeze("prod"),
    "another line": lambda it: it.promote("v1.19.9", to="prod"),
    "the same": lambda it: it.promote("v1.20.5", to="prod"),
}


def at_call(world: World, number: int, first: Callable[[], object], then: Callable[[], object]) -> tuple[bool, bool]:
    """``first`` runs up to its ``number``-th call of a store, ``then`` runs whole, ``first`` goes on; which succeeded.

    A number beyond the last call runs ``then`` afterwards.
    """
    calls, results = [0], {"then": False}

    def other() -> None:
        try:
            then()
            results["then"] = True
        except TagflowError:
            pass

    def before(*_: object) -> None:
        calls[0] += 1
        if calls[0] == number:
            other()

    with world.hooked(before):
        try:
            first()
            succeeded = True
        except TagflowError:
            succeeded = False
    if calls[0] < number:
        other()
        raise StopIteration
    return succeeded, results["then"]


@pytest.mark.parametrize("every", [len(OTHERS), pytest.param(1, marks=LONG)], ids=["some", "all"])
@pytest.mark.parametrize("name", OTHERS)
def test_whatever_comes_between_two_calls_what_is_admitted_is_true(world: World, name: str, every: int) -> None:
    """Between any two; where time is short, each of the others takes calls of its own, and together they take all."""
    world.through("v1.22.0", "dev")
    world.through("v1.19.9", "dev")
    first = 1 + list(OTHERS).index(name) % every
    for number in range(first, 200, every):
        it = world.copy()
        try:
            admitted, other = at_call(it, number, partial(it.promote, "v1.20.5", to="prod"), partial(OTHERS[name], it))
        except StopIteration:
            break
        assert admitted or other, "one of them ends with success"
        parse = it.context().scheme.parse_version
        for image in ("frontend", "backend"):
            seen = it.seen(image, "prod")
            held = parse("v1.20.5") in map(parse, it.cell(image, "prod").holds)
            if admitted and not held:
                assert parse("v1.20.5") in seen.admitted, (name, number)
            if name == "hold" and other:
                assert held
                assert parse("v1.20.5") not in seen.admitted
            if name == "another line" and other:
                assert parse("v1.19.9") in seen.admitted
            expected = {"promote": "v1.22.0", "rollback": "v1.20.4"}.get(name, "v1.21.1") if other else "v1.21.1"
            runs = it.runs("prod")[image]
            # What was rolled back before the decision leaves no higher version to enter beside.
            assert runs == expected or (name == "rollback" and admitted and runs == "v1.20.5")
            assert it.tag(image, "prod") == it.tag(image, f"{runs}-prod")
            assert it.tag(image, "v1.20.5") == world.tag(image, "v1.20.5")
        repair(it.context(), [])
        assert [problem for _, problem in findings(it) if problem != "floating.stale"] == [], (name, number)
    assert number > 10
