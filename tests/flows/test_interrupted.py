"""Interrupted releases: a run that dies after any write, and one that fails at any write."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from itertools import combinations, count
from threading import Event, Thread, current_thread
from typing import Any

import pytest

from tagflow.decide.finding import Finding
from tagflow.domain.own_tags import parse_record_tag
from tagflow.domain.plan import Outcome
from tagflow.domain.reference import Digest, Repository
from tagflow.errors import Conflict, Interrupted, StoreError, TagflowError, Unanswered
from tagflow.execute import arrival, endings, objects
from tagflow.execute.commit import Commit
from tagflow.execute.underway import Execution, Underway
from tagflow.verbs.plans import Proposal
from tagflow.verbs.release import settle
from tagflow.verbs.repair import repair
from tagflow.verbs.verify import verify
from tests.flows.world import Crash, World, fails
from tests.marks import LONG
from tests.memory import WRITES

IMAGES = ("frontend", "backend", "worker")
ALL_OLD = dict.fromkeys(IMAGES, "v1.0.0")
ALL_NEW = dict.fromkeys(IMAGES, "v1.1.0")
FLOATING = ("latest", "v1", "v1.1", "v1.0")


def before_promote() -> World:
    """v1.0.0 runs in prod, v1.1.0 may go there."""
    return _before_promote().copy()


@cache
def _before_promote() -> World:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.through("v1.1.0", "dev", "test")
    return world


def before_rollback() -> World:
    """v1.1.0 runs in prod, v1.0.0 before it."""
    return _before_rollback().copy()


@cache
def _before_rollback() -> World:
    world = before_promote()
    world.promote("v1.1.0", to="prod")
    return world


def crashes(make: Callable[[], World], action: Callable[[World], object]) -> Iterator[tuple[int, World]]:
    """A fresh world in which ``action`` died at write 1, 2, 3, …; ends with the first that it survives."""
    first = make()
    for write in range(1, 100):
        world = first.copy()
        records = record_tags(world)
        died = world.crash(lambda: action(world), write)  # noqa: B023
        assert records <= record_tags(world), "a record was lost"
        if not died:
            assert write > 6
            return
        yield write, world
    raise AssertionError("it never ends")


def record_tags(world: World) -> set[tuple[Repository, str, Digest]]:
    return {
        (repository, tag, digest)
        for repository, tags in world.memory.snapshot().items()
        for tag, digest in tags.items()
        if parse_record_tag(tag)
    }


def stands(world: World) -> dict[str, str | None]:
    """Image → the version whose digest the tag ``prod`` has."""
    found: dict[str, str | None] = {}
    for image in IMAGES:
        tags = world.tags(image)
        versions = {tags[version]: version for version in ("v1.0.0", "v1.1.0", "v1.2.0") if version in tags}
        found[image] = versions[tags["prod"]] if "prod" in tags else None
    return found


def assert_floating(world: World, version: str) -> None:
    """The floating tags follow what is admitted and not held: ``version`` is the highest."""
    for image in IMAGES:
        tags = world.tags(image)
        assert {tags["latest"], tags["v1"], tags[version.rpartition(".")[0]]} == {tags[version]}


class TestPromoteDies:
    def action(self, world: World) -> object:
        return world.promote("v1.1.0", to="prod")

    def test_every_tag_is_old_or_new_and_its_state_says_which(self) -> None:
        for write, world in crashes(before_promote, self.action):
            with_record = {image for image in IMAGES if len(world.records(image, "prod")) == 2}
            for image in IMAGES:
                cell = world.cell(image, "prod")
                if image in with_record and stands(world)[image] == "v1.0.0":
                    assert (cell.state, cell.version) == ("interrupted", None), write
                elif image in with_record:
                    assert (cell.state, cell.version) == ("recorded", "v1.1.0"), write
                else:
                    assert (cell.state, cell.version) == ("recorded", "v1.0.0"), write
                assert cell.digest == world.tag(image, "prod")

    def test_no_tag_moves_before_every_record_is_there(self) -> None:
        for write, world in crashes(before_promote, self.action):
            if any(len(world.records(image, "prod")) < 2 for image in IMAGES):
                assert stands(world) == ALL_OLD, write
                assert not any("v1.1.0-prod" in world.tags(image) for image in IMAGES), write

    def test_no_environment_tag_moves_before_every_combined_tag_is_there(self) -> None:
        for write, world in crashes(before_promote, self.action):
            if not all("v1.1.0-prod" in world.tags(image) for image in IMAGES):
                assert stands(world) == ALL_OLD, write

    def test_no_floating_tag_moves_before_every_environment_tag(self) -> None:
        for write, world in crashes(before_promote, self.action):
            if stands(world) != ALL_NEW:
                for image in IMAGES:
                    tags = world.tags(image)
                    assert tags["latest"] == tags["v1.0.0"], write

    def test_the_same_command_finishes_it(self) -> None:
        for write, world in crashes(before_promote, self.action):
            self.action(world)
            assert world.runs("prod") == ALL_NEW, write
            assert set(world.states("prod").values()) == {"recorded"}
            assert_floating(world, "v1.1.0")
            releases = {world.seen(image, "prod").standing.state.stack[-1].release for image in IMAGES}
            assert len(releases) == 1, write
            for image in IMAGES:
                assert world.stack(image, "prod") == ["v1.0.0", "v1.1.0"], write
                assert {it[:2] for it in world.records(image, "prod")} == {
                    ("promote", "v1.0.0"),
                    ("promote", "v1.1.0"),
                }, write

    def test_the_same_targets_in_other_words_finish_it(self) -> None:
        for write, world in crashes(before_promote, self.action):
            world.promote(*[f"{image}=1.1.0" for image in reversed(IMAGES)], to="prod")
            assert world.runs("prod") == ALL_NEW, write

    def test_finishing_dies_again(self) -> None:
        for write, world in crashes(before_promote, self.action):
            if world.crash(lambda: self.action(world), 2):  # noqa: B023
                assert set(stands(world).values()) <= {"v1.0.0", "v1.1.0"}
            self.action(world)
            assert world.runs("prod") == ALL_NEW, write
            assert_floating(world, "v1.1.0")

    def test_others_are_refused_until_then(self) -> None:
        for write, world in crashes(before_promote, self.action):
            world.through("v1.2.0", "dev", "test")
            if "interrupted" not in world.states("prod").values():
                continue
            for targets in (["v1.2.0"], ["frontend=v1.2.0"], ["worker=v1.2.0"], ["v1.1.0", "worker=v1.2.0"]):
                with world.unchanged(), fails("release.interrupted", 5) as caught:
                    world.promote(*targets, to="prod")
                assert "tagflow promote" in caught[0].hint, write
                assert "tagflow rollback prod" in caught[0].hint, write

    def test_a_part_of_it_is_another_promote(self) -> None:
        """Finished by the same targets, says the contract; a part of them would leave the rest behind for good."""
        for write, world in crashes(before_promote, self.action):
            if "interrupted" not in world.states("prod").values():
                continue
            for image in IMAGES:
                with world.unchanged(), fails("release.interrupted", 5):
                    world.promote(f"{image}=v1.1.0", to="prod")
                assert write

    def test_the_hint_finishes_it(self) -> None:
        """What the refusal says in its hint works, word by word, and ends all new."""
        for write, world in crashes(before_promote, self.action):
            world.through("v1.2.0", "dev", "test")
            if "interrupted" not in world.states("prod").values():
                continue
            with fails("release.interrupted", 5) as caught:
                world.promote("v1.2.0", to="prod")
            command = caught[0].hint.split("`")[1].split()
            assert command[:2] == ["tagflow", "promote"]
            world.promote(*command[2 : command.index("--to")], to="prod")
            assert world.runs("prod") == ALL_NEW, write

    def test_the_hint_says_again_what_was_set_aside(self) -> None:
        """Members that no record tells of yet are asked for their hold again: the hint has the override, too."""

        def make() -> World:
            world = before_rollback()
            world.rollback("prod")
            return world

        def again(world: World) -> object:
            return world.promote("v1.1.0", to="prod", override=("hold",), reason="it's mended")

        for write, world in crashes(make, again):
            if "interrupted" not in world.states("prod").values():
                continue
            with fails("release.interrupted", 5) as caught:
                world.promote("v1.0.0", to="prod")
            words = shlex.split(caught[0].hint.split("`")[1])
            end = words.index("--to")
            assert words[end:] == ["--to", "prod", "--override", "hold", "--reason", "it's mended"]
            world.promote(*words[2:end], to="prod", override=("hold",), reason=words[-1])
            assert world.runs("prod") == ALL_NEW, write

    def test_what_still_runs_has_run_all_the_time(self) -> None:
        before = before_promote().cell("worker", "prod")
        for write, world in crashes(before_promote, lambda world: self.action(as_bob(world))):
            cell = world.cell("worker", "prod")
            if stands(world)["worker"] == "v1.0.0":
                assert (cell.since, cell.by) == (before.since, "ann"), write
            else:
                assert cell.by == "bob"

    def test_rollback_abandons_it(self) -> None:
        for write, world in crashes(before_promote, self.action):
            began = "interrupted" in world.states("prod").values()
            if not began:
                continue
            world.rollback("prod")
            assert world.runs("prod") == ALL_OLD, write
            assert set(world.states("prod").values()) == {"recorded"}, write
            assert_floating(world, "v1.0.0")
            for image in IMAGES:
                assert world.stack(image, "prod") == ["v1.0.0"], write
                assert world.cell(image, "prod").holds == (), write
            announced = [image for image in IMAGES if len(world.records(image, "prod")) > 1]
            assert announced
            for image in announced:
                assert [it[0] for it in world.records(image, "prod")] == ["promote", "promote", "abort"], write
                assert not [v for v in world.seen(image, "prod").admitted if str(v) == "1.1.0"], write

    def test_abandoned_it_may_come_again(self) -> None:
        for write, world in crashes(before_promote, self.action):
            if "interrupted" in world.states("prod").values():
                world.rollback("prod")
                self.action(world)
                assert world.runs("prod") == ALL_NEW, write
                assert_floating(world, "v1.1.0")
                world.rollback("prod")
                assert world.runs("prod") == ALL_OLD, write

    def test_what_was_abandoned_is_not_admitted_further_on(self) -> None:
        def dies(world: World) -> object:
            return world.promote("v1.1.0", to="test")

        def make() -> World:
            world = World()
            world.through("v1.0.0", "dev", "test", "prod")
            world.through("v1.1.0", "dev")
            return world

        for write, world in crashes(make, dies):
            if "interrupted" in world.states("test").values():
                with fails("promotion.order", 3):
                    world.promote("v1.1.0", to="prod")
                world.rollback("test")
                with fails("promotion.order", 3):
                    world.promote("v1.1.0", to="prod")
                assert write

    @LONG
    def test_abandoning_dies_too(self) -> None:
        for write in range(1, 30):
            if not self.abandon_twice(write):
                return
        raise AssertionError("it never ends")

    def abandon_twice(self, second: int) -> bool:
        some = False
        for first, world in crashes(before_promote, self.action):
            if "interrupted" not in world.states("prod").values():
                continue
            if world.crash(lambda: world.rollback("prod"), second):  # noqa: B023
                some = True
                if "interrupted" in world.states("prod").values():
                    world.rollback("prod")
                elif stands(world) != ALL_OLD:
                    raise AssertionError(f"{first}/{second}: half abandoned and not shown: {stands(world)}")
                assert world.runs("prod") == ALL_OLD, (first, second)
                assert set(world.states("prod").values()) == {"recorded"}, (first, second)
        return some


class TestAbandoningInAnyOrderDies:
    """Side by side, tags move in no fixed order: any one of the images may have arrived before the release died."""

    @pytest.mark.parametrize(
        "arrived",
        [set(them) for count in (1, 2) for them in combinations(IMAGES, count)],
        ids=lambda them: "+".join(sorted(them)),
    )
    def test_it_never_looks_done_while_one_is_left(self, arrived: set[str]) -> None:
        first = before_promote()
        for write in range(4, 40):
            world = first.copy()
            assert world.crash(lambda: world.promote("v1.1.0", to="prod"), write)  # noqa: B023
            if all("v1.1.0-prod" in world.tags(image) for image in IMAGES):
                break
        assert stands(world) == ALL_OLD
        for image in arrived:
            world.hand_move(image, "prod", world.tags(image)["v1.1.0"])
        for write in range(1, 30):
            again = world.copy()
            died = again.crash(lambda: again.rollback("prod"), write)  # noqa: B023
            if stands(again) != ALL_OLD:
                assert "interrupted" in again.states("prod").values(), write
                again.rollback("prod")
            assert stands(again) == ALL_OLD, write
            if not died:
                return
        raise AssertionError("it never ends")


class TestRollbackDies:
    def action(self, world: World) -> object:
        return world.rollback("prod")

    def test_state_and_old_or_new(self) -> None:
        for write, world in crashes(before_rollback, self.action):
            for image in IMAGES:
                written = len(world.records(image, "prod")) == 3
                expected = (
                    ("interrupted" if stands(world)[image] == "v1.1.0" else "recorded") if written else "recorded"
                )
                assert world.cell(image, "prod").state == expected, write

    def test_rollback_without_argument_finishes_it(self) -> None:
        for write, world in crashes(before_rollback, self.action):
            done = stands(world) == ALL_OLD
            if done:
                continue  # it was complete but for the floating tags: see below
            self.action(world)
            assert world.runs("prod") == ALL_OLD, write
            assert set(world.states("prod").values()) == {"recorded"}, write
            assert_floating(world, "v1.0.0")
            for image in IMAGES:
                assert world.stack(image, "prod") == ["v1.0.0"], write
                assert world.cell(image, "prod").holds == ("v1.1.0",), write
                assert [it[0] for it in world.records(image, "prod")][:3] == ["promote", "promote", "rollback"], write
                assert {it[0] for it in world.records(image, "prod")[3:]} <= {"rollback"}, write

    def test_complete_but_for_its_answer_the_version_named_puts_the_rest_right(self) -> None:
        for write, world in crashes(before_rollback, self.action):
            if stands(world) == ALL_OLD:
                world.rollback("prod", "v1.0.0")
                assert world.runs("prod") == ALL_OLD, write
                assert_floating(world, "v1.0.0")

    def test_promotes_are_refused_until_then(self) -> None:
        for write, world in crashes(before_rollback, self.action):
            world.through("v1.2.0", "dev", "test")
            if "interrupted" not in world.states("prod").values():
                continue
            for targets in (["v1.2.0"], ["v1.1.0"], ["v1.0.0"], ["frontend=v1.0.0"]):
                with world.unchanged(), fails("release.interrupted", 5) as caught:
                    world.promote(*targets, to="prod")
                assert "tagflow rollback prod" in caught[0].hint, write

    def test_a_named_one_is_finished_for_all_its_members(self) -> None:
        """An interrupted rollback is finished by rollback without argument: all members, all the way."""

        def make() -> World:
            world = before_rollback()
            world.through("v1.2.0", "dev", "test", "prod")
            return world

        for write, world in crashes(make, lambda world: world.rollback("prod", "v1.0.0")):
            if "interrupted" not in world.states("prod").values():
                continue
            world.rollback("prod")
            assert world.runs("prod") == ALL_OLD, write
            assert set(world.states("prod").values()) == {"recorded"}, write

    def test_out_of_moves_by_hand(self) -> None:
        """What stood there by hand is adopted first; the release is finished for all its members all the same."""

        def make() -> World:
            world = before_promote()
            for image in IMAGES:
                world.hand_move(image, "prod", world.tags(image)["v1.1.0"])
            return world

        for write, world in crashes(make, self.action):
            if stands(world) == ALL_OLD:
                continue
            self.action(world)
            assert world.runs("prod") == ALL_OLD, write
            assert set(world.states("prod").values()) == {"recorded"}, write


class TestPromoteOverHandMovesDies:
    def make(self) -> World:
        world = before_promote()
        world.through("v1.2.0", "dev", "test")
        for image in IMAGES:
            world.hand_move(image, "prod", world.tags(image)["v1.2.0"])
        return world

    def test_finish(self) -> None:
        for write, world in crashes(self.make, lambda world: world.promote("v1.1.0", to="prod")):
            world.promote("v1.1.0", to="prod")
            assert world.runs("prod") == ALL_NEW, write
            for image in IMAGES:
                assert world.stack(image, "prod") == ["v1.0.0", "v1.2.0", "v1.1.0"], write

    def test_abandon(self) -> None:
        for write, world in crashes(self.make, lambda world: world.promote("v1.1.0", to="prod")):
            if "interrupted" not in world.states("prod").values():
                continue
            world.rollback("prod")
            assert stands(world) == dict.fromkeys(IMAGES, "v1.2.0"), write
            assert "interrupted" not in world.states("prod").values(), write


class TestDeadAndThenMovedByHand:
    """Where there is no combined tag yet, what was announced certainly never ran: nothing may bring it in."""

    def make(self) -> World:
        world = before_promote()
        world.through("v1.2.0", "dev", "test")
        assert world.crash(lambda: world.promote("v1.1.0", to="prod"), 4)
        assert not any("v1.1.0-prod" in world.tags(image) for image in IMAGES)
        for image in IMAGES:
            world.hand_move(image, "prod", world.tags(image)["v1.2.0"])
        return world

    def test_rollback_goes_back_to_what_ran(self) -> None:
        world = self.make()
        world.rollback("prod")
        assert world.runs("prod") == ALL_OLD
        assert_floating(world, "v1.0.0")

    def test_repair_admits_nothing(self) -> None:
        world = self.make()
        with world.unchanged():
            left = repair(world.context(), ["prod"]).left
        assert {it.problem for it in left} == {"drift"}

    def test_the_next_promotion_adopts_and_says_so(self) -> None:
        world = self.make()
        world.through("v1.3.0", "dev", "test", "prod")
        for image in IMAGES:
            assert world.stack(image, "prod") == ["v1.0.0", "v1.2.0", "v1.3.0"]
            assert world.seen(image, "prod").standing.state.voided("v1.1.0")
        assert verify(world.context(), ["prod"]) == []
        world.promote("v1.1.0", to="prod")
        assert world.runs("prod") == ALL_NEW
        assert verify(world.context(), ["prod"]) == []


class TestFirstReleaseDies:
    """Nothing ran before: there is nothing to put back to."""

    def make(self) -> World:
        world = World()
        world.through("v1.1.0", "dev", "test")
        return world

    def test_finish(self) -> None:
        for write, world in crashes(self.make, lambda world: world.promote("v1.1.0", to="prod")):
            world.promote("v1.1.0", to="prod")
            assert world.runs("prod") == ALL_NEW, write
            assert_floating(world, "v1.1.0")

    def test_abandon(self) -> None:
        for write, world in crashes(self.make, lambda world: world.promote("v1.1.0", to="prod")):
            if "interrupted" not in world.states("prod").values():
                continue
            world.rollback("prod")
            assert stands(world) == dict.fromkeys(IMAGES), write
            assert set(world.states("prod").values()) <= {"empty", "recorded"}, write
            world.promote("v1.1.0", to="prod")
            assert world.runs("prod") == ALL_NEW, write


class TestFailing:
    """A write fails and the process lives: exit 6 with nothing different, or exit 7 that lists what differs."""

    @pytest.mark.parametrize("done", [False, True])
    @pytest.mark.parametrize("lasting", [False, True])
    @pytest.mark.parametrize("verb", ["promote", "rollback"])
    def test_at_every_write(self, verb: str, lasting: bool, done: bool) -> None:
        for write in range(1, 60):
            world = before_promote() if verb == "promote" else before_rollback()
            old = {image: dict(world.tags(image)) for image in IMAGES}
            error = self.failing(world, verb, write, lasting=lasting, done=done)
            if error is None:
                assert write > 6
                return
            self.check(world, old, error, (verb, write))
            self.recover(world, verb, (verb, write))
        raise AssertionError("it never ends")

    def failing(self, world: World, verb: str, write: int, *, lasting: bool, done: bool) -> TagflowError | None:
        """Write number ``write`` fails (before or after it was done), and with ``lasting`` all that follow."""
        seen = [0]

        def hook(operation: str, repository: Repository, detail: str) -> None:
            if operation in WRITES:
                seen[0] += 1
                if seen[0] == write or (lasting and seen[0] > write):
                    raise StoreError("registry.denied", "the registry is gone")

        failing = world.hooked(after=hook) if done else world.hooked(before=hook)
        with failing:
            try:
                _ = world.promote("v1.1.0", to="prod") if verb == "promote" else world.rollback("prod")
            except TagflowError as error:
                return error
        assert verb
        return None if seen[0] < write else self.none_needed(seen, write)

    def none_needed(self, seen: list[int], write: int) -> TagflowError | None:
        """It was done although its answer was lost: success is the truth."""
        return StoreError("survived", "survived") if seen[0] >= write else None

    def check(self, world: World, old: dict[str, dict[str, Digest]], error: TagflowError, at: object) -> None:
        different = {
            (image, tag)
            for image in IMAGES
            for tag in ("prod", *FLOATING)
            if world.tags(image).get(tag) != old[image].get(tag)
        }
        if error.code == "survived":
            return
        if error.exit_status == 6:
            assert not different, at
            return
        assert error.exit_status == 7, (at, error.code, error.message)
        for image, tag in different:
            before, now = old[image].get(tag), world.tags(image).get(tag)
            told = [
                d for d in error.details if d.get("tag") == tag and str(d["repository"]) == str(world.repository(image))
            ]
            assert told, (at, image, tag, error.message)
            assert told[0]["before"] == before
            assert str(now) in error.message or now is None
            assert str(before) in error.message or before is None

    def recover(self, world: World, verb: str, at: object) -> None:
        """The same command again ends all new; a complete rollback is named."""
        if verb == "promote":
            world.promote("v1.1.0", to="prod")
            assert world.runs("prod") == ALL_NEW, at
            assert_floating(world, "v1.1.0")
            return
        _ = world.rollback("prod", "v1.0.0") if stands(world) == ALL_OLD else world.rollback("prod")
        assert world.runs("prod") == ALL_OLD, at
        assert_floating(world, "v1.0.0")


class TestCompensation:
    def test_an_environment_tag_that_somebody_moves_meanwhile(self) -> None:
        """Exit 5: those already moved are put back, aborts are written, the other's move stays."""
        world = before_promote()
        other = world.build("v1.2.0")["worker"]

        def rival(operation: str, repository: Repository, tag: str) -> None:
            if (operation, repository.path, tag) == ("move", "acme/worker", "prod"):
                world.hand_move("worker", "prod", other)

        with world.hooked(before=rival), fails("tag.moved", 5) as caught:
            world.promote("v1.1.0", to="prod")
        assert world.tag("worker", "prod") == other
        assert stands(world) == {"frontend": "v1.0.0", "backend": "v1.0.0", "worker": "v1.2.0"}
        outcome = caught[0].result
        assert isinstance(outcome, Outcome)
        assert (outcome.compensated, outcome.applied) == (True, False)
        for image in ("frontend", "backend"):
            assert [it[0] for it in world.records(image, "prod")] == ["promote", "promote", "abort"]
            assert world.cell(image, "prod").state == "recorded"
            assert world.runs("prod")[image] == "v1.0.0"
        assert world.cell("worker", "prod").state == "unrecorded"
        assert_latest(world, {"frontend": "v1.0.0", "backend": "v1.0.0", "worker": "v1.0.0"})
        world.promote("v1.1.0", to="prod")
        assert world.runs("prod") == ALL_NEW
        assert world.stack("worker", "prod")[-2:] == ["v1.2.0", "v1.1.0"]

    def test_somebody_moves_it_right_after_we_did(self) -> None:
        world = before_promote()
        other = world.build("v1.2.0")["worker"]

        def rival(operation: str, repository: Repository, tag: str) -> None:
            if (operation, repository.path, tag) == ("move", "acme/worker", "prod"):
                world.hand_move("worker", "prod", other)

        with world.hooked(after=rival), fails("tag.moved", 5):
            world.promote("v1.1.0", to="prod")
        assert stands(world) == {"frontend": "v1.0.0", "backend": "v1.0.0", "worker": "v1.2.0"}

    def test_what_was_put_back_is_what_still_stands_at_ours(self) -> None:
        world = before_promote()
        other = world.build("v1.2.0")

        def rival(operation: str, repository: Repository, tag: str) -> None:
            if (operation, repository.path, tag) == ("move", "acme/worker", "prod"):
                world.hand_move("worker", "prod", other["worker"])
                world.hand_move("frontend", "prod", other["frontend"])

        with world.hooked(before=rival), fails("tag.moved", 5):
            world.promote("v1.1.0", to="prod")
        assert stands(world) == {"frontend": "v1.2.0", "backend": "v1.0.0", "worker": "v1.2.0"}

    def test_a_registry_that_keeps_the_tag_from_moving(self) -> None:
        world = before_promote()
        world.memory.immutable = lambda repository, tag: repository.path == "acme/worker" and tag == "prod"
        with fails("tag.immutable", 3):
            world.promote("v1.1.0", to="prod")
        assert stands(world) == ALL_OLD
        assert [it[0] for it in world.records("frontend", "prod")] == ["promote", "promote", "abort"]

    def test_a_tag_that_did_not_exist_and_cannot_be_deleted(self) -> None:
        """A tag that did not exist before may be undeletable: that is a 7 which says so."""
        world = World()
        world.through("v1.1.0", "dev", "test")
        world.memory.undeletable = True
        other = world.build("v1.2.0")["worker"]

        def rival(operation: str, repository: Repository, tag: str) -> None:
            if (operation, repository.path, tag) == ("move", "acme/worker", "prod"):
                world.hand_move("worker", "prod", other)

        with world.hooked(before=rival), fails("release.partly_applied", 7) as caught:
            world.promote("v1.1.0", to="prod")
        assert "delete" in caught[0].message
        left = [image for image in ("frontend", "backend") if stands(world)[image] == "v1.1.0"]
        assert left
        for image in left:
            assert f"{world.repository(image)}:prod" in caught[0].message

    def test_what_an_unfinished_rollback_goes_back_to(self) -> None:
        """It counts again once it has arrived; until then nobody is told to remove `latest`, or to promote it."""
        world = before_promote()
        world.promote("v1.1.0", to="prod")
        for write in range(1, 30):
            died = world.copy()
            assert died.crash(lambda: died.rollback("prod"), write)  # noqa: B023
            if "interrupted" in died.states("prod").values():
                break
        assert "announced" in {died.seen(image, "prod").standing.excludes("v1.0.0") for image in IMAGES}
        assert not any("no version" in it.detail for it in verify(died.context(), ["prod"]))

    def test_then_the_same_command_leads_on(self) -> None:
        """An abort that cannot be carried out would have to be finished, and could not."""
        world = World()
        world.through("v1.1.0", "dev", "test")
        world.memory.undeletable = True

        def fail(operation: str, repository: Repository, tag: str) -> None:
            if (operation, repository.path, tag) == ("move", "acme/worker", "prod"):
                raise StoreError("registry.unavailable", "it fails")

        with world.hooked(before=fail), fails("release.partly_applied", 7) as caught:
            world.promote("v1.1.0", to="prod")
        assert caught[0].hint.startswith("Run the same command again to bring the rest")
        assert [it[0] for it in world.records("frontend", "prod")] == ["promote"]
        assert [it[0] for it in world.records("worker", "prod")] == ["promote", "abort"]
        assert set(world.states("prod").values()) == {"recorded", "empty"}
        world.promote("v1.1.0", to="prod")
        assert stands(world) == ALL_NEW
        assert verify(world.context(), ["prod"]) == []

    @pytest.mark.parametrize("order", ["hold", "freeze"])
    def test_a_tag_that_cannot_be_deleted_keeps_no_other_from_going_back(self, order: str) -> None:
        world = World()
        world.through("v1.0.0", "dev", "test")
        world.promote("backend=v1.0.0", to="prod")
        world.through("v1.1.0", "dev", "test")
        world.memory.undeletable = True
        done: list[str] = []

        def ordered(operation: str, repository: Repository, tag: str) -> None:
            if (operation, tag) == ("move", "prod") and not done:
                done.append(tag)
                with suppress(Conflict):  # it is written down, and the release is still under way
                    world.hold("prod", "backend=v1.1.0") if order == "hold" else world.freeze("prod")

        with world.hooked(after=ordered), fails("release.partly_applied", 7) as caught:
            world.promote("v1.1.0", to="prod")
        assert world.runs("prod")["backend"] == "v1.0.0"
        assert "complete" not in caught[0].hint
        assert "tagflow status prod" in caught[0].hint

    def test_what_was_put_back_whole_is_begun_again(self) -> None:
        """Ctrl-C after the abort: a rollback would take back what ran before."""
        world = before_promote()
        aborted: list[str] = []

        def fail(operation: str, repository: Repository, tag: str) -> None:
            if operation == "move" and tag == "prod":
                raise StoreError("registry.unavailable", "it fails")
            if aborted and operation == "tags":
                raise KeyboardInterrupt

        def note(operation: str, _: Repository, tag: str) -> None:
            if operation == "put" and tag.startswith("_tagflow.prod.000003."):
                aborted.append(tag)

        with world.hooked(fail, note), pytest.raises(Interrupted) as caught:
            world.promote("v1.1.0", to="prod")
        assert caught.value.hint == "Run the same command again."

    def test_a_way_back_that_stopped_half_way_is_the_only_one(self) -> None:
        world = before_promote()

        def fail(operation: str, repository: Repository, tag: str) -> None:
            there = world.tag("frontend", "prod") == world.tag("frontend", "v1.1.0")
            if operation == "move" and tag == "prod" and (there or repository.path == "acme/worker"):
                raise StoreError("registry.unavailable", "it fails")

        with world.hooked(before=fail), fails("release.partly_applied", 7) as caught:
            world.promote("v1.1.0", to="prod")
        assert caught[0].hint == "`tagflow rollback prod` finishes it."
        with world.unchanged(), fails("release.interrupted", 5):
            world.promote("v1.1.0", to="prod")
        world.rollback("prod")
        assert stands(world) == ALL_OLD

    @pytest.mark.parametrize("arrives", [True, False])
    def test_a_rollback_that_may_have_arrived_is_not_made_again(self, arrives: bool) -> None:
        """Ctrl-C while the PUT is on its way: the same rollback, of what is complete by then, goes one further back."""
        world = before_promote()
        world.promote("frontend=v1.1.0", to="prod")
        world.through("v1.1.1", "dev", "test")
        world.promote("frontend=v1.1.1", to="prod")

        def stop(operation: str, _: Repository, tag: str) -> None:
            if (operation, tag) == ("move", "prod"):
                raise KeyboardInterrupt

        with world.hooked(**{"after" if arrives else "before": stop}), pytest.raises(Interrupted) as caught:
            world.rollback("prod", "frontend")
        assert caught.value.hint == "`tagflow verify prod --repair` finishes it, whatever has arrived."
        repair(world.context(), ["prod"])
        assert world.runs("prod") == {"frontend": "v1.1.0", "backend": "v1.0.0", "worker": "v1.0.0"}
        assert verify(world.context(), ["prod"]) == []

    def test_a_way_back_that_got_no_answer_is_not_made_again(self) -> None:
        """What was put back is complete: a rollback would take back what ran before."""
        world = before_promote()
        moves: list[str] = []

        def fail(operation: str, repository: Repository, tag: str) -> None:
            if operation == "move" and tag == "prod" and repository.path == "acme/worker":
                raise StoreError("registry.unavailable", "it fails")
            if operation == "resolve" and moves.count("acme/frontend") == 2:
                raise Unanswered("registry.timeout", "no answer")

        def lose(operation: str, repository: Repository, tag: str) -> None:
            if (operation, tag) == ("move", "prod"):
                moves.append(repository.path)
                if moves.count("acme/frontend") == 2:
                    raise Unanswered("registry.timeout", "no answer")

        with world.hooked(fail, lose), fails("release.partly_applied", 7) as caught:
            world.promote("v1.1.0", to="prod")
        assert world.runs("prod")["frontend"] == "v1.0.0"
        assert caught[0].hint == "`tagflow verify prod --repair` finishes it, whatever has arrived."
        repair(world.context(), ["prod"])
        assert stands(world) == ALL_OLD
        assert verify(world.context(), ["prod"]) == []

    def test_a_release_that_cannot_be_abandoned_can_still_be_finished(self) -> None:
        """The abandonment is not announced where it would have to remove a tag that stays: nothing would lead on."""
        world = World()
        world.through("v1.1.0", "dev", "test")
        for write in range(1, 100):
            died = world.copy()
            died.memory.undeletable = True
            if not died.crash(lambda: died.promote("v1.1.0", to="prod"), write):  # noqa: B023
                break
            if not 0 < list(stands(died).values()).count("v1.1.0") < len(IMAGES):
                continue
            with died.unchanged(), fails("tag.undeletable", 6):
                died.rollback("prod")
            with died.unchanged(), fails("tag.undeletable", 6):  # as a dry run does
                settle(died.context(), died.propose_rollback("prod"))
            died.promote("v1.1.0", to="prod")
            assert stands(died) == ALL_NEW
            assert verify(died.context(), ["prod"]) == []
            break
        else:
            raise AssertionError("no tag was ever there before the others")

    def test_no_answer_once_the_tags_have_moved(self) -> None:
        """They differ from before, so it is no 6; the same command ends what is left to do."""
        world = before_promote()
        moved: list[str] = []

        def note(operation: str, repository: Repository, tag: str) -> None:
            if (operation, tag) == ("move", "prod"):
                moved.append(repository.path)

        def cut(operation: str, repository: Repository, tag: str) -> None:
            if len(moved) == len(ALL_NEW) and operation == "tags":
                raise StoreError("registry.unreachable", "no answer")

        with world.hooked(cut, note), fails("release.partly_applied", 7) as caught:
            world.promote("v1.1.0", to="prod")
        assert stands(world) == ALL_NEW
        assert f"{world.repository('worker')}:prod" in caught[0].message
        world.promote("v1.1.0", to="prod")
        assert stands(world) == ALL_NEW

    @pytest.mark.parametrize("may_be_done", [True, False])
    def test_what_may_still_be_carried_out_is_not_taken_back(self, may_be_done: bool) -> None:
        """A gateway says 504 and hands the PUT on all the same: it would arrive over what followed a release that was
        taken back."""
        world = before_promote()
        kind = Unanswered if may_be_done else StoreError

        def cut(operation: str, repository: Repository, tag: str) -> None:
            if (operation, tag) == ("move", "prod"):
                raise kind("registry.unavailable", "HTTP 504")

        with world.hooked(before=cut), fails("registry.unavailable", 6) as caught:
            world.promote("v1.1.0", to="prod")
        assert caught[0].message == "HTTP 504\nno environment or floating tag differs from before"
        assert ("Look at `tagflow status prod`: " in caught[0].hint) == may_be_done
        assert stands(world) == ALL_OLD
        actions = {action for image in IMAGES for action, *_ in world.records(image, "prod")[1:]}
        assert actions == ({"promote"} if may_be_done else {"promote", "abort"})
        assert set(world.states("prod").values()) == ({"interrupted"} if may_be_done else {"recorded"})
        world.promote("v1.1.0", to="prod")
        assert stands(world) == ALL_NEW

    @pytest.mark.parametrize("tag", ["prod", "latest"])
    def test_a_tag_at_which_a_registry_stores_something_else_is_told(self, tag: str) -> None:
        """It changes manifests, say: the tag differs from before, whoever is to blame."""
        world = before_promote()
        before, other = world.tag("worker", tag), world.build("v1.2.0")["worker"]

        def change(operation: str, repository: Repository, name: str) -> None:
            if (operation, repository.path, name) == ("move", "acme/worker", tag):
                world.hand_move("worker", tag, other)
                raise StoreError("manifest.digest_mismatch", "what was stored does not have that digest")

        with world.hooked(after=change), fails("release.partly_applied", 7) as caught:
            world.promote("v1.1.0", to="prod")
        assert f"{world.repository('worker')}:{tag} was at {before}, may be at {other}" in caught[0].message

    def test_a_registry_that_says_it_stored_something_else_is_not_believed_to_have_stored_nothing(self) -> None:
        """What it shows of the tag may be old."""
        world = before_promote()

        def change(operation: str, _: Repository, tag: str) -> None:
            if (operation, tag) == ("move", "prod"):
                raise StoreError("manifest.digest_mismatch", "what was stored does not have that digest")

        with world.hooked(before=change), fails("release.partly_applied", 7) as caught:
            world.promote("v1.1.0", to="prod")
        assert (
            f"prod was at {world.tag('worker', 'v1.0.0')}, may be at {world.tag('worker', 'v1.1.0')}"
            in caught[0].message
        )
        assert {action for action, *_ in world.records("worker", "prod")[1:]} == {"promote"}

    def test_a_tag_that_did_not_exist_is_deleted_again(self) -> None:
        world = World()
        world.through("v1.1.0", "dev", "test")
        other = world.build("v1.2.0")["worker"]

        def rival(operation: str, repository: Repository, tag: str) -> None:
            if (operation, repository.path, tag) == ("move", "acme/worker", "prod"):
                world.hand_move("worker", "prod", other)

        with world.hooked(before=rival), fails("tag.moved", 5):
            world.promote("v1.1.0", to="prod")
        assert stands(world) == {"frontend": None, "backend": None, "worker": "v1.2.0"}

    def test_the_compensated_release_may_go_again(self) -> None:
        world = before_promote()
        failed: list[bool] = []

        def once(operation: str, repository: Repository, tag: str) -> None:
            if (operation, repository.path, tag) == ("move", "acme/worker", "prod") and not failed:
                failed.append(True)
                raise StoreError("registry.denied", "gone")

        with world.hooked(before=once), fails("registry.denied", 6):
            world.promote("v1.1.0", to="prod")
        assert stands(world) == ALL_OLD
        assert world.runs("prod") == ALL_OLD
        for image in IMAGES:
            assert [it[0] for it in world.records(image, "prod")] == ["promote", "promote", "abort"]
        world.promote("v1.1.0", to="prod")
        assert world.runs("prod") == ALL_NEW

    def test_a_lost_answer_when_it_is_put_back(self) -> None:
        """What was put back is put back, whether or not the registry's answer arrives."""
        world = before_promote()
        gone = StoreError("registry.denied", "gone")
        moves: list[str] = []

        def before(operation: str, repository: Repository, tag: str) -> None:
            if (operation, tag) == ("move", "prod"):
                moves.append(repository.path)
                if repository.path == "acme/worker":
                    raise gone

        def after(operation: str, repository: Repository, tag: str) -> None:
            if (operation, tag) == ("move", "prod") and moves.count(repository.path) > 1:
                raise gone

        with world.hooked(before, after), fails("registry.denied", 6) as caught:
            world.promote("v1.1.0", to="prod")
        assert isinstance(caught[0].result, Outcome)
        assert caught[0].result.compensated
        assert stands(world) == ALL_OLD
        assert world.runs("prod") == ALL_OLD
        assert verify(world.context(), ["prod"]) == []

    def test_what_was_never_left_has_run_all_the_time(self) -> None:
        """A release that fails at one image does not shorten the stay of those whose tags it never moved."""
        world = before_promote()
        before = {image: world.cell(image, "prod").since for image in IMAGES}

        def gone(operation: str, repository: Repository, tag: str) -> None:
            if (operation, repository.path, tag) == ("move", "acme/back_end", "prod"):
                raise StoreError("registry.denied", "gone")

        with world.hooked(before=gone), fails("registry.denied", 6):
            world.promote("v1.1.0", to="prod")
        since = {image: world.cell(image, "prod").since for image in IMAGES}
        assert {image for image in IMAGES if since[image] == before[image]} >= {"backend"}
        assert since["frontend"] != before["frontend"], "it moved, and came back"


class TestCtrlC:
    def test_the_message_lists_what_differs(self) -> None:
        world = before_promote()

        def interrupt(operation: str, repository: Repository, tag: str) -> None:
            if (operation, repository.path, tag) == ("move", "acme/worker", "prod"):
                raise KeyboardInterrupt

        with world.hooked(before=interrupt), fails("run.interrupted", 130) as caught:
            world.promote("v1.1.0", to="prod")
        for image in IMAGES:
            told = [line for line in caught[0].message.splitlines() if f"{world.repository(image)}:prod " in line]
            if stands(world)[image] == "v1.1.0":
                assert told, image
            assert all("may be" in line or stands(world)[image] == "v1.1.0" for line in told), image

    def test_what_was_told_is_the_end_of_it(self) -> None:
        """Side by side, moves are still waiting when an interrupt comes: none begins once the message is made."""
        world = before_promote()
        run = Underway(world.context(), execution(world.propose_promote("v1.1.0", to="prod")))
        objects.get_manifests(run)
        assert "no environment or floating tag differs" in endings.interrupted(run).message
        Commit(run).move_all()
        arrival.move_floating(run)
        assert stands(world) == ALL_OLD
        assert_latest(world, ALL_OLD)

    def test_early_nothing_differs(self) -> None:
        world = before_promote()

        def interrupt(operation: str, repository: Repository, tag: str) -> None:
            if operation == "put":
                raise KeyboardInterrupt

        with world.hooked(before=interrupt), fails("run.interrupted", 130) as caught:
            world.promote("v1.1.0", to="prod")
        assert "no environment or floating tag differs" in caught[0].message

    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize(("verb", "died"), [("promote", 0), ("rollback", 0), ("abandon", 6), ("abandon", 8)])
    def test_no_hint_takes_back_what_ran_before(self, verb: str, died: int, when: str) -> None:
        """Not before it is known that the history tells of the release, nor when it is abandoned already. What is
        abandoned ``died`` at that write: before any tag had moved, or after the first."""
        first = World()
        for version in ("v0.9.0", "v1.0.0"):
            first.through(version, "dev", "test", "prod")
        first.through("v1.1.0", "dev", "test")
        if verb == "rollback":
            first.promote("v1.1.0", to="prod")
        elif verb == "abandon":
            assert first.crash(lambda: first.promote("v1.1.0", to="prod"), died)
        goes_back_to = dict.fromkeys(IMAGES, "v0.9.0" if verb == "rollback" else "v1.0.0")
        for number in count(1):
            world, calls = first.copy(), count(1)

            def interrupt(*_: object) -> None:
                if next(calls) == number:  # noqa: B023
                    raise KeyboardInterrupt

            try:
                with world.hooked(**{when: interrupt}):
                    if verb == "promote":
                        world.promote("v1.1.0", to="prod")
                    else:
                        world.rollback("prod", *(["v0.9.0"] if verb == "rollback" else []))
            except Interrupted as error:
                hint = error.hint
            except KeyboardInterrupt:
                continue  # nothing was begun
            else:
                break
            if "`tagflow rollback prod`" in hint:
                world.rollback("prod")
                assert world.runs("prod") == goes_back_to, (number, hint)
            elif "prod --repair`" in hint and verb != "promote":
                repair(world.context(), ["prod"])
                assert world.runs("prod") == goes_back_to, (number, hint)
        assert number > 10

    def test_a_tag_that_is_being_removed_may_be_at_no_digest(self) -> None:
        world = World()
        world.through("v1.0.0", "dev", "test")
        assert world.crash(lambda: world.promote("v1.0.0", to="prod"), 8)
        assert world.tag("frontend", "prod")

        def interrupt(operation: str, _repository: Repository, _tag: str) -> None:
            if operation == "untag":
                raise KeyboardInterrupt

        with world.hooked(before=interrupt), fails("run.interrupted", 130) as caught:
            world.rollback("prod")
        assert "may be at no digest" in caught[0].message

    def test_a_repair_ends_there_and_says_what_it_did(self) -> None:
        """Whatever it was at: it neither goes on nor ends well."""
        told = []
        for write in range(1, 60):
            world = before_promote()
            assert world.crash(lambda: world.promote("v1.1.0", to="prod"), 6)  # noqa: B023
            for image in IMAGES:
                world.hand_remove(image, "v1.0.0-test")
            writes: list[str] = []

            def interrupt(operation: str, _repository: Repository, tag: str) -> None:
                if operation in WRITES:
                    writes.append(tag)  # noqa: B023
                    if len(writes) == write:  # noqa: B023
                        raise KeyboardInterrupt

            with world.hooked(before=interrupt):
                try:
                    repair(world.context(), ["test", "prod"])
                except Interrupted as error:
                    told.append(error.message)
            if len(writes) < write:
                break
            assert len(told) == len(writes) == write
            assert "mended before that: prod: finished release" not in told[-1] or stands(world) == ALL_NEW, write
        assert "v1.0.0-test was at no digest, may be at sha256:" in told[-1]
        assert "mended before that: frontend: put v1.0.0-test at " in told[-1]

    def test_a_repair_that_fails_halfway_says_what_it_did(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = before_promote()
        before = {image: world.tag(image, "prod") for image in IMAGES}
        assert world.crash(lambda: world.promote("v1.1.0", to="prod"), 6)
        break_look(monkeypatch, lambda: stands(world) == ALL_NEW)
        with fails("release.partly_applied", 7) as caught:
            repair(world.context(), ["prod"])
        told, details = caught[0].message, caught[0].details
        assert "gone\nmended before that: prod: finished release" in told
        for image in IMAGES:
            now, repository = world.tag(image, "prod"), world.repository(image, "prod")
            assert f"{repository}:prod was at {before[image]}, is at {now}" in told
            names = {"repository": str(repository), "tag": "prod"}
            assert names | {"before": before[image], "now": now, "sure": True} in details

    def test_a_repair_that_fails_after_it_moved_no_tag_changed_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = before_promote()
        world.hand_remove("frontend", "v1.0.0-test")
        break_look(monkeypatch, lambda: world.tag("frontend", "v1.0.0-test") is not None)
        with fails("registry.unreachable", 6) as caught:
            repair(world.context(), ["test"])
        assert "gone\nmended before that: frontend: put v1.0.0-test at " in caught[0].message
        assert [list(it) for it in caught[0].details] == [["mended"]]

    def test_a_repair_of_which_a_release_fails_halfway_says_what_moved(self) -> None:
        world = before_promote()
        assert world.crash(lambda: world.promote("v1.1.0", to="prod"), 6)
        failing: list[str] = []

        def fail(operation: str, repository: Repository, tag: str) -> None:
            if operation == "move" and tag == "prod" and repository == world.repository("worker", "prod"):
                failing.append(tag)
            if failing:
                raise Unanswered("registry.timeout", "no answer")

        with world.hooked(before=fail), fails("release.partly_applied", 7) as caught:
            repair(world.context(), ["prod"])
        assert f"{world.repository('frontend', 'prod')}:prod was at " in caught[0].message
        assert "mended before that" not in caught[0].message


def break_look(monkeypatch: pytest.MonkeyPatch, when: Callable[[], bool]) -> None:
    """The registry answers no look of a repair any more from a moment on."""

    def look(*given: Any, **options: Any) -> list[Finding]:
        if when():
            raise StoreError("registry.unreachable", "gone")
        return verify(*given, **options)

    monkeypatch.setattr("tagflow.verbs.repair.verify", look)


def is_finished_by(world: World, image: str) -> str:
    """The command by which, as `status` says, an unfinished release is finished."""
    return world.cell(image, "prod").way_on


class TestWaysOn:
    """What is printed to finish a release does it."""

    def test_what_status_says_finishes_a_promotion(self) -> None:
        for write, world in crashes(before_promote, lambda world: world.promote("v1.1.0", to="prod")):
            waiting = [image for image in IMAGES if world.cell(image, "prod").state == "interrupted"]
            commands = {is_finished_by(world, image) for image in waiting}
            assert {bool(is_finished_by(world, image)) for image in set(IMAGES).difference(waiting)} <= {False}
            for command in commands:
                _, verb, *targets, _, environment = shlex.split(command)
                assert verb == "promote"
                world.promote(*targets, to=environment)
                assert stands(world) == ALL_NEW, write
            assert len(commands) == bool(waiting), write

    def test_what_status_says_finishes_a_push(self) -> None:
        """Before its version tag is there, nobody can name it: `verify --repair` finishes it out of its records."""

        def push(world: World) -> object:
            return world.push("v1.2.0", *(f"{image}=docker://{world.repository(image)}:ci-1" for image in IMAGES))

        def before() -> World:
            world = before_promote()
            world.build("ci-1")
            return world

        said = set()
        for write, world in crashes(before, push):
            commands = {cell.way_on for image in IMAGES if (cell := world.cell(image, "dev")).state == "interrupted"}
            assert len(commands) <= 1, write
            for command in filter(None, commands):
                _, verb, *targets = shlex.split(command)
                said.add(verb)
                assert all(len(world.records(image, "dev")) == 3 for image in IMAGES), write
                if verb == "verify":
                    repair(world.context(), ["dev"])
                else:
                    world.promote(*targets[:-2], to="dev")
                assert set(world.runs("dev").values()) == {"v1.2.0"}, write
        assert said == {"verify", "promote"}

    def test_a_rollback_is_finished_by_rollback(self) -> None:
        for write, world in crashes(before_rollback, lambda world: world.rollback("prod")):
            waiting = [image for image in IMAGES if world.cell(image, "prod").state == "interrupted"]
            assert {is_finished_by(world, image) for image in waiting} <= {"tagflow rollback prod"}, write

    def test_what_was_put_on_hold_since_is_not_finished(self) -> None:
        """Neither by a promotion nor by a repair, which may run by itself every night."""
        world = before_promote()
        assert world.crash(lambda: world.promote("v1.1.0", to="prod"), 6)
        with fails("release.interrupted", 5):
            world.hold("prod", "v1.1.0")
        told = [it for it in verify(world.context(), ["prod"]) if it.problem == "interrupted"]
        assert {it.repair for it in told} == {"tagflow rollback prod"}
        assert not [line for line in repair(world.context(), ["prod"]).done if "finished" in line]
        assert stands(world) == ALL_OLD
        assert {is_finished_by(world, image) for image in IMAGES} == {""}
        world.rollback("prod")
        assert stands(world) == ALL_OLD
        assert {it.problem for it in verify(world.context(), ["prod"])} <= {"floating.wrong"}

    def test_verify_names_what_finishes_what_was_half_announced(self) -> None:
        world = before_promote()
        assert world.crash(lambda: world.promote("v1.1.0", to="prod"), 2)
        told = [it.repair for it in verify(world.context(), ["prod"]) if it.problem == "interrupted"]
        (command,) = told
        _, verb, *targets, _, environment = shlex.split(command)
        assert verb == "promote"
        world.promote(*targets, to=environment)
        assert stands(world) == ALL_NEW

    def test_two_with_members_in_common_are_settled_by_rollback_alone(self) -> None:
        """Neither saw the other, and both died: to finish one of them would be to pass over the other."""
        world = before_promote()
        world.through("v1.2.0", "dev", "test")
        all_of_it = world.propose_promote("v1.1.0", to="prod")
        world.hold("prod", "worker=v1.2.0")
        one_of_it = world.propose_promote("worker=v1.2.0", to="prod", override=("hold",), reason="mended")
        assert world.crash(lambda: world.carry_out(one_of_it), 2)
        assert world.crash(lambda: world.carry_out(all_of_it), 4)
        assert set(world.states("prod").values()) == {"interrupted"}
        assert {is_finished_by(world, image) for image in IMAGES} == {""}
        for targets in (["v1.1.0"], ["worker=v1.2.0"]):
            with fails("release.interrupted", 5) as caught:
                world.promote(*targets, to="prod")
            assert "`tagflow rollback prod` abandons it" in caught[0].hint
            assert "finishes it" not in caught[0].hint
        for _ in range(2):
            world.rollback("prod")
        assert stands(world) == ALL_OLD
        assert verify(world.context(), ["prod"]) == []


def execution(proposal: Proposal) -> Execution:
    return Execution(proposal.decision, proposal.observer, proposal.opened, proposal.recheck)


def as_bob(world: World) -> World:
    world.actor = "bob"
    return world


def assert_latest(world: World, expected: dict[str, str]) -> None:
    for image, version in expected.items():
        tags = world.tags(image)
        assert tags["latest"] == tags[version], image


def test_a_crash_is_no_ordinary_exception() -> None:
    assert not issubclass(Crash, Exception)


class TestTwoFail:
    """Two writers whose changes are both put back: what runs in the end is what the history says."""

    def test_one_gives_up_while_the_other_one_has_moved_the_tag(self) -> None:
        world = before_promote()
        world.through("v1.2.0", "dev", "test")
        late, given_up = world.propose_promote("frontend=v1.2.0", to="prod"), []

        def meanwhile(operation: str, repository: Repository, tag: str) -> None:
            if (operation, repository.path, tag) == ("move", "acme/worker", "prod"):
                given_up.append(True)
                with world.hooked(before=_nothing), fails("release.overtaken", 5):
                    world.carry_out(late)
                raise StoreError("registry.denied", "gone")

        with world.hooked(before=meanwhile), fails("registry.denied", 6):
            world.promote("v1.1.0", to="prod")
        assert given_up == [True]
        self.assert_nothing_happened(world)

    def test_a_rollback_that_is_put_back_leaves_no_hold(self) -> None:
        world = before_rollback()
        world.through("v1.2.0", "dev", "test")
        late = world.propose_promote("frontend=v1.2.0", to="prod")

        def meanwhile(operation: str, repository: Repository, tag: str) -> None:
            if (operation, repository.path, tag) == ("move", "acme/worker", "prod"):
                with world.hooked(before=_nothing), fails("release.overtaken", 5):
                    world.carry_out(late)
                raise StoreError("registry.denied", "gone")

        with world.hooked(before=meanwhile), fails("registry.denied", 6):
            world.rollback("prod")
        assert stands(world) == ALL_NEW
        assert world.runs("prod") == ALL_NEW
        assert world.cell("frontend", "prod").holds == ()
        assert world.stack("frontend", "prod") == ["v1.0.0", "v1.1.0"]
        assert verify(world.context(), ["prod"]) == []

    def test_one_builds_on_what_the_other_one_puts_back(self) -> None:
        """The second begins when the first has moved all its tags, and does not know it; it takes them back."""
        world = before_promote()
        world.through("v1.2.0", "dev", "test")
        announced, first_is_over, told, lost = Event(), Event(), [], [False]

        def second() -> None:
            try:
                world.promote("frontend=v1.2.0", to="prod")
            except TagflowError as error:
                told.append(error.code)
            finally:
                announced.set()

        other = Thread(target=second, daemon=True)

        def before(operation: str, repository: Repository, tag: str) -> None:
            if current_thread() is other:
                if (operation, tag) == ("move", "prod"):
                    announced.set()
                    assert first_is_over.wait(10)
            elif lost[0] and operation == "resolve":
                lost[0] = False
                raise StoreError("registry.denied", "gone")

        def after(operation: str, repository: Repository, tag: str) -> None:
            moved = (operation, repository.path, tag) == ("move", "acme/worker", "prod")
            if moved and not announced.is_set():
                other.start()
                assert announced.wait(10)
                lost[0] = True
                raise StoreError("registry.denied", "gone")

        with world.hooked(before, after):
            with fails("release.partly_applied", 7):
                world.promote("v1.1.0", to="prod")
            first_is_over.set()
            other.join(10)
        assert told == [], "all tags had moved, so it was complete, and could be built on"
        assert stands(world) == ALL_NEW | {"frontend": "v1.2.0"}
        assert {finding.problem for finding in verify(world.context(), ["prod"])} == {"floating.wrong"}
        assert repair(world.context(), ["prod"]).left == ()

    def assert_nothing_happened(self, world: World) -> None:
        assert stands(world) == ALL_OLD
        assert world.runs("prod") == ALL_OLD
        assert set(world.states("prod").values()) == {"recorded"}
        assert verify(world.context(), ["prod"]) == []
        assert world.stack("frontend", "prod") == ["v1.0.0"]
        for version in ("v1.1.0", "v1.2.0"):
            assert world.seen("frontend", "prod").standing.excludes(version) == "void"


def _nothing(operation: str, repository: Repository, tag: str) -> None:
    """No mischief."""
