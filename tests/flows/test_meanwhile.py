"""What somebody orders while a question is open or a gate runs: an override does not set that aside."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tagflow.domain.plan import Outcome, Request
from tagflow.domain.reference import Repository
from tagflow.verbs.promote import promote
from tagflow.verbs.release import Options
from tagflow.verbs.rollback import rollback
from tests import images
from tests.flows.world import World, fails

BOTH = ("hold", "freeze")


@pytest.fixture
def world() -> World:
    """v1.0.0 runs in prod, and v1.1.0 waits in test."""
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.through("v1.1.0", "dev", "test")
    return world


def promoting(world: World, override: tuple[str, ...], meanwhile: Callable[[], object]) -> Outcome:
    """Promote v1.1.0; something happens while the question is open."""

    def confirm(_: Outcome) -> None:
        meanwhile()

    request = Request("promote", "prod", ("v1.1.0",), overrides=override, reason="let it in" if override else "")
    return promote(world.context(), request, Options(confirm=confirm))


def test_a_hold(world: World) -> None:
    with fails("promotion.held", 3) as caught:
        promoting(world, BOTH, lambda: world.hold("prod", "frontend=v1.1.0", reason="CVE found"))
    assert "CVE found" in caught[0].message
    assert set(world.runs("prod").values()) == {"v1.0.0"}
    assert [hold.version for hold in world.seen("frontend", "prod").standing.state.holds] == ["v1.1.0"]


def test_who_waits_for_a_release_is_told_so_once_and_by_whom_it_is(world: World) -> None:
    assert world.crash(lambda: world.promote("frontend=v1.1.0", to="prod"), 2)
    request = Request("promote", "prod", ("frontend=v1.0.0",))
    with fails("release.interrupted", 5):
        promote(world.context(), request, Options(wait=timedelta(minutes=1)))
    [why] = dict.fromkeys(world.waited)
    assert why.startswith("release 2 in prod was announced by ann ")
    world.waited.clear()
    world.rollback("prod")
    assert world.waited == ["what the abandoned release has sent may still arrive"]


def test_a_freeze(world: World) -> None:
    with fails("promotion.frozen", 3) as caught:
        promoting(world, BOTH, lambda: world.freeze("prod", reason="incident 42"))
    assert "incident 42" in caught[0].message
    assert set(world.runs("prod").values()) == {"v1.0.0"}


def test_what_stood_there_before_is_set_aside(world: World) -> None:
    world.hold("prod", "v1.1.0")
    world.freeze("prod")
    promoting(world, BOTH, lambda: None)
    assert set(world.runs("prod").values()) == {"v1.1.0"}


@pytest.mark.parametrize("order", BOTH)
def test_right_before_the_tags_move(world: World, order: str) -> None:
    """The decision was made, the records are written: the election finds it."""

    def meanwhile(operation: str, repository: Repository, detail: str) -> None:
        if operation == "put" and detail.startswith("_tagflow.prod.") and not done:
            done.append(detail)
            world.hold("prod", "v1.1.0", reason="CVE") if order == "hold" else world.freeze("prod")

    done: list[str] = []
    with world.hooked(meanwhile), fails("promotion.held" if order == "hold" else "promotion.frozen", 3):
        world.promote("v1.1.0", to="prod", override=BOTH, reason="let it in")
    assert set(world.runs("prod").values()) == {"v1.0.0"}
    state = world.seen("frontend", "prod").standing.state
    assert bool(state.holds) == (order == "hold")
    assert bool(state.freeze) == (order == "freeze")


def test_a_rollback_to_what_is_held_meanwhile(world: World) -> None:
    world.promote("v1.1.0", to="prod")

    def meanwhile(_: Outcome) -> None:
        world.hold("prod", "v1.0.0", reason="CVE found")

    with fails("promotion.held", 3) as caught:
        rollback(world.context(), Request("rollback", "prod"), Options(confirm=meanwhile))
    assert "CVE found" in caught[0].message
    assert set(world.runs("prod").values()) == {"v1.1.0"}
    rollback(world.context(), Request("rollback", "prod"), Options(confirm=lambda _: None))
    assert set(world.runs("prod").values()) == {"v1.0.0"}


def test_a_freeze_while_a_release_is_finished(world: World) -> None:
    """A release that was begun is finished without asking a freeze, whenever that came."""
    assert world.crash(lambda: world.promote("v1.1.0", to="prod"), 4)
    assert "interrupted" in world.states("prod").values()

    def meanwhile() -> None:
        with fails("release.interrupted", 5):  # written down all the same
            world.freeze("prod", reason="incident 42")

    promoting(world, (), meanwhile)
    assert set(world.runs("prod").values()) == {"v1.1.0"}


def test_a_window_that_begins_while_layers_are_copied() -> None:
    """A push was decided on Friday, and its copy took until Saturday."""
    world = World(
        "version: 1\nregistry: registry.test/acme\nimages: {web: web}\n"
        "environments: {dev: {freeze: [{days: [sat], timezone: UTC}]}}\n",
        now=datetime(2026, 1, 2, 23, 50, tzinfo=UTC),
    )
    images.index(world.memory.open(Repository("builds.test", "ci/web")), tag="build")

    def slow(operation: str, repository: Repository, _: str) -> None:
        if operation == "write_blob" and repository.host == "registry.test":
            world.later(minutes=5)

    with world.hooked(slow), fails("promotion.frozen", 3):
        world.push("v1.0.0", "web=docker://builds.test/ci/web:build")
    assert world.runs("dev") == {"web": None}
    assert "v1.0.0" not in world.tags("web")
    world.later(days=1)
    world.push("v1.0.0", "web=docker://builds.test/ci/web:build")
    assert world.runs("dev") == {"web": "v1.0.0"}
