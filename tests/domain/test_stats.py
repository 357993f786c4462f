"""The numbers of an environment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.domain.reference import Digest
from tagflow.domain.stats import Event, Spread, Stats, measure, spread

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
NOW = BEGIN + timedelta(days=28)


def at(days: float) -> datetime:
    return BEGIN + timedelta(days=days)


def digest(number: int) -> Digest:
    return Digest(f"sha256:{number:064x}")


def deployed(release: str, days: float, image: str = "web", number: int = 1) -> Event:
    return Event(image, release, "deployment", digest(number), at(days))


def undone(release: str, days: float, *gone: str, kind: str = "rollback") -> Event:
    return Event("web", release, "rollback" if kind == "rollback" else "abort", digest(0), at(days), frozenset(gone))


def measured(*events: Event, since: datetime = BEGIN, **arrivals: float) -> Stats:
    known = {(image, digest(1)): at(days) for image, days in arrivals.items()}
    return measure("prod", events, known, since, NOW)


def test_nothing_was_deployed() -> None:
    found = measured()
    assert (found.deployments, found.per_week, found.change_failure_rate) == (0, 0, None)
    assert found.lead_time_seconds == found.time_to_restore_seconds == Spread(None, None)
    assert [week.deployments for week in found.weeks] == [0, 0, 0, 0]


def test_a_release_of_several_images_is_one_deployment() -> None:
    found = measured(deployed("a", 1), deployed("a", 1.01, "api"), deployed("b", 9))
    assert (found.deployments, found.per_week) == (2, 0.5)
    assert [week.deployments for week in found.weeks] == [1, 1, 0, 0]


def test_lead_time_is_that_of_the_image_that_took_longest() -> None:
    found = measured(deployed("a", 3), deployed("a", 3, "api"), web=2, api=1)
    assert found.lead_time_seconds == Spread(2 * 86400, 2 * 86400)


def test_a_clock_that_is_behind_takes_no_time_away() -> None:
    assert measured(deployed("a", 3), web=4).lead_time_seconds == Spread(0, 0)


def test_what_was_rolled_back_or_aborted_failed() -> None:
    found = measured(
        deployed("a", 1),
        deployed("b", 2),
        deployed("c", 3),
        undone("r", 3.5, "c", "b"),
        deployed("d", 10),
        undone("d", 10, "d", kind="abort"),
    )
    assert (found.deployments, found.failures, found.change_failure_rate) == (4, 3, 0.75)
    assert found.time_to_restore_seconds == Spread(0.5 * 86400, 0.5 * 86400)
    assert [(week.deployments, week.failures) for week in found.weeks] == [(3, 2), (1, 1), (0, 0), (0, 0)]


def test_what_began_before_is_not_counted_but_its_rollback_tells_how_long_it_took() -> None:
    found = measured(deployed("a", -1), undone("r", 1, "a"))
    assert (found.deployments, found.change_failure_rate) == (0, None)
    assert found.time_to_restore_seconds == Spread(2 * 86400, 2 * 86400)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Spread(None, None)),
        ([5], Spread(5, 5)),
        ([1, 2], Spread(1.5, 2)),
        (list(range(1, 11)), Spread(5.5, 9)),
        ([9, 1, 5], Spread(5, 9)),
    ],
)
def test_spread(values: list[float], expected: Spread) -> None:
    assert spread(values) == expected


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(-20, 27), st.booleans()), max_size=30))
def test_the_parts_agree(made: list[tuple[int, float, bool]]) -> None:
    events = [deployed(str(release), days) if kind else undone("r", days, str(release)) for release, days, kind in made]
    found = measured(*events)
    assert sum(week.deployments for week in found.weeks) == found.deployments
    assert sum(week.failures for week in found.weeks) == found.failures <= found.deployments
    assert (found.change_failure_rate is None) == (found.deployments == 0)
