"""A PUT that arrives after its release was taken back: told, and put back; what comes next does not build on it."""

from __future__ import annotations

from functools import cache

import pytest

from tagflow.verbs.repair import repair
from tagflow.verbs.verify import verify
from tests.flows.world import World

IMAGES = ("frontend", "backend", "worker")


@cache
def _late() -> World:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.through("v1.1.0", "dev", "test")
    write = 1
    while True:
        tried = world.copy()
        assert tried.crash(lambda: tried.promote("v1.1.0", to="prod"), write)  # noqa: B023
        if set(tried.states("prod").values()) == {"interrupted"}:
            break
        write += 1
    tried.rollback("prod")
    for image in IMAGES:
        tried.hand_move(image, "prod", tried.tags(image)["v1.1.0"])
    return tried


@pytest.fixture
def world() -> World:
    """v1.0.0 ran in prod; v1.1.0 was announced there, died and was abandoned, and its PUTs arrive now."""
    return _late().copy()


def stands(world: World, version: str) -> bool:
    return all(world.tag(image, "prod") == world.tag(image, version) for image in IMAGES)


def test_it_is_told(world: World) -> None:
    assert set(world.states("prod").values()) == {"late"}
    findings = [it for it in verify(world.context(), ["prod"]) if it.problem == "drift"]
    assert {it.image for it in findings} == set(IMAGES)
    assert {it.detail for it in findings} == {
        "a PUT of a release that was taken back arrived late; a repair puts it back"
    }
    assert all(it.expected == world.tag(it.image, "v1.0.0") for it in findings)


def test_verify_puts_it_back(world: World) -> None:
    repair(world.context(), ["prod"])
    assert stands(world, "v1.0.0")
    assert list(verify(world.context(), ["prod"])) == []


def test_a_rollback_puts_it_back_and_holds_nothing(world: World) -> None:
    outcome = world.rollback("prod")
    assert {step.action for step in outcome.plan.steps} == {"abort"}
    assert stands(world, "v1.0.0")
    assert set(world.states("prod").values()) == {"recorded"}
    assert world.cell("frontend", "prod").holds == ()
    assert world.stack("frontend", "prod") == ["v1.0.0"]


def test_a_rollback_of_one_puts_back_that_one(world: World) -> None:
    world.through("v1.2.0", "dev", "test")
    world.promote("v1.2.0", to="prod")
    world.rollback("prod", "v1.0.0")
    assert stands(world, "v1.0.0")


def test_a_named_rollback_says_that_it_leaves_what_should_run(world: World) -> None:
    world.rollback("prod", "v1.0.0")
    assert stands(world, "v1.0.0")
    assert set(world.states("prod").values()) == {"recorded"}


def test_what_comes_next_follows_what_should_run(world: World) -> None:
    world.through("v1.2.0", "dev", "test")
    outcome = world.promote("v1.2.0", to="prod")
    assert {step.previous_version for step in outcome.plan.steps} == {"v1.0.0"}
    assert stands(world, "v1.2.0")
    assert world.stack("frontend", "prod") == ["v1.0.0", "v1.2.0"]


def test_it_may_come_again_for_good(world: World) -> None:
    world.promote("v1.1.0", to="prod")
    assert stands(world, "v1.1.0")
    assert set(world.states("prod").values()) == {"recorded"}
    world.rollback("prod")
    assert stands(world, "v1.0.0")
