"""Ten thousand tags and two thousand records in one repository: nothing is asked of each."""

from __future__ import annotations

import threading
from collections import Counter
from functools import cache

import pytest

from tagflow.domain.reference import Repository
from tagflow.domain.snapshot import ImageLookup
from tests.flows.world import World, fails
from tests.marks import LONG
from tests.memory import Call
from tests.speed.crowd import following

TAGS, RECORDS = 10_000, 2_000
POLICY = """
version: 1
registry: registry.test/acme
images: {app: app}
environments:
  dev: {}
  prod: {downgrades: allow}
"""


@pytest.fixture
def crowded() -> World:
    """v1.0.0 and v1.1.0 run in dev and prod, among very many tags and records of both."""
    return _crowded().copy()


@cache
def _crowded() -> World:
    world = World(POLICY, threads=8)
    for version in ("v1.0.0", "v1.1.0"):
        world.through(version, "dev", "prod")
    content = world.memory.content(world.repository("app"))
    digest = content.tags["v1.0.0"]
    content.tags.update({f"v0.{number}.0": digest for number in range(TAGS)})
    for environment in ("dev", "prod"):
        sight = world.seen("app", environment)
        assert sight.standing.head is not None
        records = following(sight.standing.head, sight.records, RECORDS)
        content.manifests.update({manifest.digest: manifest for manifest in records.values()})
        content.tags.update({str(tag): manifest.digest for tag, manifest in records.items()})
    return world


def operations(calls: list[Call]) -> Counter[str]:
    return Counter(call.operation for call in calls)


def looks(calls: list[Call]) -> int:
    """Operations beside those that prove an image whole: these depend on the image, not on what lies beside it."""
    return sum(not call.detail.startswith("sha256:") for call in calls)


@LONG
def test_status(crowded: World) -> None:
    assert crowded.runs("prod") == {"app": "v1.1.0"}
    assert operations(crowded.memory.calls) == {"tags": 1, "resolve": 1, "get": 1}


@LONG
def test_promote(crowded: World) -> None:
    crowded.build("v1.2.0")
    for environment in ("dev", "prod"):
        crowded.memory.calls.clear()
        assert crowded.promote("v1.2.0", to=environment).applied
        assert looks(crowded.memory.calls) <= 17, crowded.memory.calls


@LONG
def test_rollback(crowded: World) -> None:
    crowded.rollback("prod", "v1.0.0")
    assert sum(operations(crowded.memory.calls).values()) <= 19, crowded.memory.calls


@LONG
def test_soak_is_told_by_the_newest_record() -> None:
    world = World(POLICY.replace("downgrades: allow", "soak: 1h"), threads=8)
    world.through("v1.0.0", "dev")
    sight = world.seen("app", "dev")
    assert sight.standing.head is not None
    content = world.memory.content(world.repository("app"))
    records = following(sight.standing.head, sight.records, RECORDS)
    content.manifests.update({manifest.digest: manifest for manifest in records.values()})
    content.tags.update({str(tag): manifest.digest for tag, manifest in records.items()})
    with fails("promotion.soak", 3):
        world.promote("v1.0.0", to="prod")
    world.later(hours=2)
    world.memory.calls.clear()
    assert world.promote("v1.0.0", to="prod").applied
    assert looks(world.memory.calls) <= 15, world.memory.calls


def test_records_of_one_release_share_what_they_say_of_all() -> None:
    """Else a release of a thousand images would name each image a thousand times in memory."""
    names = ", ".join(f"svc-{number}: svc-{number}" for number in range(3))
    world = World(POLICY.replace("app: app", names))
    world.through("v1.0.0", "dev")
    records = [world.seen(image.name, "dev").standing.head for image in world.policy.images]
    intents = {id(entry.record.intent) for entry in records if entry}
    assert (len(records), len(intents)) == (3, 1)


@LONG
def test_threads_do_not_grow_with_images() -> None:
    """Looking whether each image is whole takes threads; it is one pool that has them, not one for each image."""
    names = ", ".join(f"svc-{number}: svc-{number}" for number in range(24))
    world = World(POLICY.replace("app: app", names), threads=4)
    world.through("v1.0.0", "dev")
    workers: set[threading.Thread] = set()

    def note(operation: str, repository: Repository, detail: str) -> None:
        if operation == "has_blob":
            workers.add(threading.current_thread())

    world.memory.before = note
    world.promote("v1.0.0", to="prod")
    assert 1 <= len(workers) <= 4


def test_a_further_look_at_one_image_costs_the_same_among_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a release takes longer than a look holds, each image is looked at once more before its tag moves: what is
    known of all the others is not gone through again."""
    touched = [0]
    hashed = ImageLookup.__hash__

    def counting(lookup: ImageLookup) -> int:
        touched[0] += 1
        return hashed(lookup)

    monkeypatch.setattr(ImageLookup, "__hash__", counting)
    each = {}
    for count in (8, 64):
        names = ", ".join(f"svc-{number}: svc-{number}" for number in range(count))
        world = World(POLICY.replace("app: app", names))
        world.through("v1.0.0", "dev")
        looks: list[str] = []

        def note(
            operation: str, repository: Repository, detail: str, world: World = world, looks: list[str] = looks
        ) -> None:
            if operation == "move" and detail.startswith("prod"):
                world.passed += 60 * (not looks)
                looks.append(repository.path)

        touched[0] = 0
        with world.hooked(before=note):
            world.promote("v1.0.0", to="prod")
        assert len(set(looks)) == count, "or nothing was late, and this test shows nothing"
        each[count] = touched[0] / count
    assert each[64] <= 2 * each[8]
