"""A registry that keeps artifacts of known types only, as GitLab's: records and approvals call themselves images."""

from __future__ import annotations

from pathlib import Path

from tagflow.domain.own_tags import approves
from tagflow.domain.records import ARTIFACT_TYPE
from tagflow.stores.artifact import TYPE
from tagflow.stores.port import IMAGE_CONFIG, TypeRefused
from tagflow.verbs.plans import read_plan
from tests.flows.world import World, fails
from tests.trust.test_approving import made, saved
from tests.trust.world import SignedWorld


def strict(world: World) -> World:
    world.memory.knows_types = False
    return world


def refused_puts(world: World) -> int:
    """Records that were sent, and are not there."""
    there = {(repository, tag) for repository, tags in world.memory.snapshot().items() for tag in tags}
    records = [call for call in world.memory.calls if call.operation == "put" and call.detail.startswith("_tagflow.")]
    return sum((call.repository, call.detail) not in there for call in records)


def test_a_day() -> None:
    world = strict(World())
    for version in ("v1.0.0", "v1.1.0"):
        world.through(version, "dev", "test", "prod")
    world.rollback("prod")
    world.hold("prod", "v1.0.0")
    standing = world.seen("frontend", "prod").standing
    assert (standing.version, {hold.version for hold in standing.state.holds}) == ("v1.0.0", {"v1.0.0", "v1.1.0"})
    store = world.memory.open(world.history_repository("frontend", "prod"))
    records = [store.get(tag) for tag in store.tags() if tag.startswith("_tagflow.prod.")]
    assert len(records) == 4
    for record in records:
        assert "artifactType" not in record.document
        assert record.config is not None
        assert record.config.media_type == IMAGE_CONFIG
        assert record.annotations[TYPE] == ARTIFACT_TYPE


def test_the_type_is_tried_once_for_an_image() -> None:
    """What stands above a record that calls itself an image does so, too."""
    world = strict(World(threads=4))
    world.through("v1.0.0", "dev")
    assert refused_puts(world) == 3
    world.through("v1.1.0", "dev")
    world.rollback("dev")
    assert refused_puts(world) == 3


def test_a_registry_that_knows_the_type_no_more() -> None:
    """An image with records of both forms, beside a new one, adopted in the same release."""
    world = World()
    world.through("v1.0.0", "dev", "test")
    strict(world)
    world.build("v1.1.0")
    moved = world.build("v1.2.0", "backend")["backend"]
    world.hand_move("backend", "test", moved)
    world.promote("v1.1.0", to="dev")
    world.promote("v1.1.0", to="test")
    assert set(world.runs("test").values()) == {"v1.1.0"}
    assert [action for action, _, _ in world.records("backend", "test")] == ["promote", "adopt", "promote"]
    world.memory.knows_types = True
    world.rollback("test")
    assert world.runs("test") == {"frontend": "v1.0.0", "backend": "v1.2.0", "worker": "v1.0.0"}


def test_a_release_that_dies_is_finished() -> None:
    begun = strict(World())
    begun.through("v1.0.0", "dev")
    begun.build("v1.1.0")
    for write in range(1, 100):
        world = strict(begun.copy())
        died = world.crash(lambda world=world: world.promote("v1.1.0", to="dev"), write)  # type: ignore[misc]
        world.promote("v1.1.0", to="dev")
        assert set(world.runs("dev").values()) == {"v1.1.0"}
        assert set(world.states("dev").values()) == {"recorded"}
        if not died:
            break
    assert write == 10


def test_signed_records() -> None:
    world = SignedWorld()
    strict(world)
    world.through("v1.0", "dev", "test", "prod")
    world.through("v1.1", "dev", "test", "prod")
    world.rollback("prod")
    assert world.verify() == []
    assert refused_puts(world) == 6
    manifest = world.manifest("app", "prod", str(world.head("app", "prod").tag))
    assert manifest.annotations[TYPE] == ARTIFACT_TYPE


def test_approvals(tmp_path: Path) -> None:
    world = made()
    strict(world)
    path = saved(world, tmp_path)
    for person in ("alice", "bob"):
        world.approve(path, person)
    plan = read_plan(path)
    store = world.memory.open(world.repository("app", "prod"))
    kept = [store.get(tag) for tag in store.tags() if approves(tag, plan.id)]
    assert [approval.artifact_type for approval in kept] == [IMAGE_CONFIG] * 2
    world.applying(path)
    assert set(world.runs("prod").values()) == {"v1.1"}


def test_a_registry_that_refuses_both_forms() -> None:
    world = World()
    world.build("v1.0.0")

    def refuse(operation: str, repository: object, detail: str) -> None:
        if operation == "put" and detail.startswith("_tagflow."):
            raise TypeRefused("registry.rejected", "unknown media type")

    with world.hooked(refuse), fails("registry.rejected", 6):
        world.promote("v1.0.0", to="dev")
    assert world.tag("frontend", "dev") is None
