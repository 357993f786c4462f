"""stats: numbers out of a history that really happened."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tagflow.domain.stats import Spread, Stats
from tagflow.verbs.report import report
from tagflow.verbs.stats import stats
from tests.flows.world import START, World, fails

HOUR = 3600


def measured(world: World, environment: str = "prod", since: datetime = START) -> Stats:
    return stats(world.context(), environment, since)


def about(it: Spread, *hours: float) -> bool:
    return (it.median, it.p90) == pytest.approx(tuple(hour * HOUR for hour in hours), abs=60)


def test_a_week_of_releases() -> None:
    world = World()
    for version, hours in (("v1.0.0", 2), ("v1.1.0", 4), ("v1.2.0", 6)):
        world.build(version)
        world.promote(version, to="dev")
        world.later(hours=hours)
        world.promote(version, to="test")
        world.promote(version, to="prod")
        world.later(hours=1)
    world.later(hours=2)
    world.rollback("prod")
    found = measured(world)
    assert (found.deployments, found.failures) == (3, 1)
    assert found.change_failure_rate == pytest.approx(1 / 3, abs=1e-4)
    assert about(found.lead_time_seconds, 4, 6)
    assert about(found.time_to_restore_seconds, 3, 3)
    assert measured(world, "dev").lead_time_seconds == Spread(None, None)
    assert measured(world, "dev").deployments == 3


def test_since_leaves_out_what_came_before() -> None:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.later(days=40)
    world.through("v1.1.0", "dev", "test", "prod")
    found = measured(world, since=world.now - timedelta(days=30))
    assert found.deployments == 1
    assert found.per_week == pytest.approx(7 / 30, abs=0.01)


def test_several_popped_at_once_all_failed_and_one_time_is_measured() -> None:
    world = World()
    for version in ("v1.0.0", "v1.1.0", "v1.2.0"):
        world.through(version, "dev", "test", "prod")
        world.later(hours=1)
    world.rollback("prod", "v1.0.0")
    found = measured(world)
    assert (found.deployments, found.failures) == (3, 2)
    assert about(found.time_to_restore_seconds, 1, 1)


def test_an_abandoned_release_failed_and_one_under_way_does_not_count_yet() -> None:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.through("v1.1.0", "dev", "test")
    for number in range(1, 40):
        copy = world.copy()
        copy.crash(lambda copy=copy: copy.promote("v1.1.0", to="prod"), number)  # type: ignore[misc]
        if set(copy.states("prod").values()) == {"interrupted"}:
            break
    assert (measured(copy).deployments, measured(copy).failures) == (1, 0)
    copy.rollback("prod")
    assert (measured(copy).deployments, measured(copy).failures) == (2, 1)
    assert measured(copy).time_to_restore_seconds == Spread(None, None)


def test_holds_freezes_and_moves_by_hand_are_no_deployments() -> None:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.hold("prod", "v1.0.0")
    world.freeze("prod")
    world.freeze("prod", lift=True)
    world.hand_move("frontend", "prod", world.build("v2.0.0", "frontend")["frontend"])
    world.through("v1.1.0", "dev", "test")
    world.promote("v1.1.0", to="prod")
    assert measured(world).deployments == 2


def test_nothing_yet_and_nowhere() -> None:
    world = World()
    assert measured(world).deployments == 0
    with fails("environment.not_found", 4):
        measured(world, "nowhere")


@pytest.mark.parametrize("shown", [[], ["prod"], ["test", "prod"], ["prod", "frontend"]])
def test_the_page_measures_the_same_lead_time(monkeypatch: pytest.MonkeyPatch, shown: list[str]) -> None:
    """Whatever it shows of the first environment, and however much came there since."""
    monkeypatch.setattr("tagflow.verbs.report.NEWEST", 2)
    world = World()
    world.through("v1.0.0", "dev")
    for number in range(1, 6):
        world.later(hours=2)
        world.through(f"v1.{number}.0", "dev")
    world.rollback("dev", "v1.0.0")
    world.promote("v1.0.0", to="test")
    world.later(hours=5)
    world.promote("v1.0.0", to="prod")
    *_, prod = report(world.context(), shown).timelines
    assert prod.stats is not None
    assert prod.stats.lead_time_seconds == measured(world).lead_time_seconds
    assert (prod.stats.lead_time_seconds.median or 0) > 15 * HOUR
