"""history tells all of it, newest first."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tagflow.cli.render.chronicle import history as shown
from tagflow.domain.reference import Repository
from tagflow.errors import NotFound, StoreError, TagflowError
from tagflow.verbs.history import History, history
from tagflow.verbs.repair import repair
from tests.flows.world import POLICY, World, fails


def read(world: World, *names: str, limit: int | None = None) -> History:
    return history(world.context(), "prod", names, limit)


def lines(world: World, *names: str, limit: int | None = None) -> list[tuple[str, str, str | None]]:
    return [
        (it.image, it.entry.record.action, it.entry.record.version) for it in read(world, *names, limit=limit).entries
    ]


def test_newest_first_by_release_then_image() -> None:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.through("v1.1.0", "dev", "test")
    world.promote("backend=v1.1.0", to="prod", reason="only this one")
    assert lines(world) == [
        ("backend", "promote", "v1.1.0"),
        ("frontend", "promote", "v1.0.0"),
        ("backend", "promote", "v1.0.0"),
        ("worker", "promote", "v1.0.0"),
    ]
    newest = read(world).entries[0].entry.record
    assert (newest.previous_version, newest.reason, newest.actor) == ("v1.0.0", "only this one", "ann")
    assert newest.previous_digest == world.tag("backend", "v1.0.0")


def test_names_and_limit_narrow_it_and_read_no_more_than_needed() -> None:
    world = World()
    for minor in range(5):
        world.through(f"v1.{minor}.0", "dev", "test", "prod")
    assert lines(world, "worker", limit=2) == [("worker", "promote", "v1.4.0"), ("worker", "promote", "v1.3.0")]
    world.memory.calls.clear()
    lines(world, "worker", limit=2)
    assert sum(call.operation == "get" for call in world.memory.calls) == 2


def test_the_limit_leaves_no_member_of_a_release_out() -> None:
    """What was held while a release was under way has a higher number than the records that finish it."""
    start = World()
    start.through("v1.0.0", "dev", "test", "prod")
    start.through("v1.1.0", "dev", "test")
    for write in range(1, 20):
        for finish in ("promote", "rollback"):
            world = start.copy()
            world.crash(lambda: world.promote("v1.1.0", to="prod"), write)  # noqa: B023
            world.hold("prod", "frontend=v1.0.0", "worker=v1.0.0")
            with suppress(TagflowError):  # nothing to go back from
                world.promote("v1.1.0", to="prod") if finish == "promote" else world.rollback("prod")
            everything = read(world).entries
            releases = list(dict.fromkeys(it.release for it in everything))
            for limit in range(1, len(releases)):
                told = [it for it in everything if it.release in releases[:limit]]
                assert list(read(world, limit=limit).entries) == told, (write, finish, limit)


def test_rollback_hold_override_and_adoption_are_told() -> None:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.through("v1.1.0", "dev", "test", "prod")
    world.rollback("prod", "frontend", reason="broken")
    with fails("promotion.held", 3):
        world.promote("frontend=v1.1.0", to="prod")
    world.promote("frontend=v1.1.0", to="prod", override=("hold",), reason="mended")
    told = [(it.entry.record.action, it.entry.record.version) for it in read(world, "frontend").entries]
    assert told == [("promote", "v1.1.0"), ("rollback", "v1.0.0"), ("promote", "v1.1.0"), ("promote", "v1.0.0")]
    newest = read(world, "frontend").entries[0].entry.record
    assert (newest.overrides, newest.reason) == (("hold",), "mended")


def test_an_interrupted_release_and_a_fork_are_visible() -> None:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.through("v1.1.0", "dev", "test")
    assert world.crash(lambda: world.promote("frontend=v1.1.0", to="prod"), 2)
    chronicle = read(world, "frontend")
    assert [it.open for it in chronicle.entries] == [True, False]
    assert chronicle.present[0].condition == "interrupted"


def test_an_image_that_was_announced_twice_is_one() -> None:
    """A release that is finished where a soak begins is announced once more."""
    world = World(POLICY.replace("prod: {downgrades: allow,", "prod: {soak: 1h,"))
    world.through("v1.0.0", "dev", "test")
    world.through("v1.1.0", "dev")
    assert world.crash(lambda: world.promote("v1.1.0", to="test"), 7)
    world.promote("v1.1.0", to="test")
    found = history(world.context(), "test", (), None)
    assert len([it for it in found.entries if it.entry.record.version == "v1.1.0"]) == 6
    assert "v1.0.0 → v1.1.0  all 3 images" in shown(found, 3)


def test_what_is_noted_on_an_interrupted_release_is_not_what_is_interrupted() -> None:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.through("v1.1.0", "dev", "test")
    assert world.crash(lambda: world.promote("frontend=v1.1.0", to="prod"), 2)
    for lift in (False, True):
        world.hold("prod", "frontend=v1.0.0", lift=lift)
    told = [(it.action, it.open) for it in read(world, "frontend").entries]
    assert told == [("unhold", False), ("hold", False), ("promote", True), ("promote", False)]


def test_an_environment_without_history_is_empty() -> None:
    world = World()
    chronicle = read(world)
    assert chronicle.entries == ()
    assert {it.condition for it in chronicle.present} == {"empty"}


@pytest.mark.parametrize(
    "error",
    [
        NotFound("manifest.not_found", "no such manifest"),
        StoreError("layout.corrupt", "a blob is damaged"),
        StoreError("manifest.digest_mismatch", "the content does not have the digest"),
    ],
    ids=lambda error: error.code,
)
def test_a_record_that_is_listed_and_cannot_be_had(error: TagflowError) -> None:
    """It may tell of a hold: nothing is promoted as if it were not there, and other images go their way."""
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.through("v1.1.0", "dev", "test")
    world.hold("prod", "frontend=v1.1.0")
    held = next(tag for tag in world.tags("frontend") if tag.startswith("_tagflow.prod.000002."))

    def refuse(operation: str, _: Repository, detail: str) -> None:
        if (operation, detail) == ("get", held):
            raise error

    with world.hooked(refuse):
        assert world.states("prod") == {"frontend": "broken", "backend": "recorded", "worker": "recorded"}
        with world.unchanged(), fails("history.broken", 5):
            world.promote("v1.1.0", to="prod")
        world.promote("backend=v1.1.0", "worker=v1.1.0", to="prod")
    assert world.runs("prod") == {"frontend": "v1.0.0", "backend": "v1.1.0", "worker": "v1.1.0"}


def test_a_missing_right_is_no_broken_history() -> None:
    """Nothing may be set aside for it: the record is as good as ever."""
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.hold("prod", "frontend=v1.0.0")

    def refuse(operation: str, repository: Repository, detail: str) -> None:
        if (operation, repository.path) == ("get", "acme/frontend") and detail.startswith("_tagflow.prod."):
            raise StoreError("registry.denied", "not allowed")

    with world.hooked(refuse):
        with fails("registry.denied", 6):
            world.states("prod")
        with fails("registry.denied", 6):
            repair(world.context(), ["prod"])


def test_lists_are_read_once_more_however_many_are_missing() -> None:
    world = World()
    for number in range(6):
        world.through(f"v1.{number}.0", "dev")
    gone = [tag for tag in world.tags("frontend") if tag.startswith("_tagflow.dev.00000")][:5]

    def refuse(operation: str, _: Repository, detail: str) -> None:
        if operation == "get" and detail in gone:
            raise NotFound("manifest.not_found", "no such manifest")

    world.memory.calls.clear()
    with world.hooked(refuse):
        history(world.context(), "dev", ["frontend"], None)
    assert sum(call.operation == "tags" for call in world.memory.calls) == 2


def test_a_record_that_was_removed_between_list_and_look() -> None:
    """Retention took it: it is gone, as any other that was removed."""
    world = World()
    world.through("v1.0.0", "dev")
    world.through("v1.1.0", "dev")
    first = next(tag for tag in world.tags("frontend") if tag.startswith("_tagflow.dev.000002."))

    def remove(operation: str, _: Repository, detail: str) -> None:
        if (operation, detail) == ("get", first) and first in world.tags("frontend"):
            world.hand_remove("frontend", first)

    with world.hooked(remove):
        assert world.states("dev")["frontend"] == "unrecorded"
