"""Corners of a decision: what nobody knows, what vanishes between two looks, releases that changed no bytes."""

from __future__ import annotations

import pytest

from tagflow.domain.reference import Repository
from tests import images
from tests.flows.world import World, fails

POLICY = """
version: 1
registry: registry.test/acme
images: {web: web, api: api}
environments: {dev: , test: , prod: {downgrades: allow}}
"""


@pytest.fixture
def world() -> World:
    world = World(POLICY)
    world.through("v1.0.0", "dev", "test")
    return world


def test_a_tag_that_goes_between_the_list_and_the_look_is_no_promotion(world: World) -> None:
    def before(operation: str, repository: Repository, detail: str) -> None:
        if detail == "v1.0.0-test" and repository.path.endswith("web"):
            world.memory.content(repository).tags.pop(detail, None)

    with world.hooked(before), fails("version.not_found", 4) as caught:
        world.promote("v1.0.0", to="prod")
    assert "v1.0.0-test has gone" in caught[0].message
    assert world.tag("web", "prod") is None


def test_what_runs_and_nobody_knows_has_no_version_to_go_on_with(world: World) -> None:
    digest = images.image(world.memory.open(world.repository("web")), content=b"by hand").digest
    world.hand_move("web", "test", digest)
    with world.unchanged(), fails("environment.unrecorded", 5) as caught:
        world.promote("web", to="prod")
    assert "nothing tells which version web in test runs" in caught[0].message
    assert "web=VERSION" in caught[0].hint


def test_a_release_that_changed_no_bytes_is_passed_over() -> None:
    world = World(POLICY)
    for version, seed in (("v1.0.0", "one"), ("v1.1.0", "two"), ("v1.2.0", "two")):
        for image in ("web", "api"):
            world.build(version, image, seed=image + seed)
        world.through(version, "dev", "test", "prod")
    outcome = world.rollback("prod")
    assert set(world.runs("prod").values()) == {"v1.0.0"}
    assert any("release 3 is passed over: it changed no bytes" in note for note in (*outcome.notes, *world.warnings))


def test_where_no_history_can_be_read_there_is_nothing_to_go_back_to() -> None:
    world = World(POLICY)
    for version in ("v1.0.0", "v1.1.0"):
        world.through(version, "dev", "test", "prod")
    for image in ("web", "api"):
        world.hand_move(image, "_tagflow.prod.000009.0123456789ab", world.tags(image)["v1.0.0"])
    with world.unchanged(), fails("history.broken", 5) as caught:
        world.rollback("prod")
    assert "000009.0123456789ab" in caught[0].message


def test_a_rollback_to_what_entered_beside_is_finished_as_it_began() -> None:
    world = World(POLICY.replace("downgrades: allow", "lines: minor").replace("test: ,", "test: {downgrades: allow},"))
    for version in ("v1.0.4", "v1.1.0"):
        world.through(version, "dev", "test", "prod")
    world.through("v1.0.5", "dev", "test", "prod")
    assert set(world.runs("prod").values()) == {"v1.1.0"}
    write = 1
    while True:
        tried = world.copy()
        if not tried.crash(lambda: tried.rollback("prod", "v1.0.5"), write):  # noqa: B023
            break
        if "interrupted" in tried.states("prod").values():
            tried.rollback("prod")
            assert set(tried.runs("prod").values()) == {"v1.0.5"}, write
        write += 1
    assert write > 4
