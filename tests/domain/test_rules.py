"""Rules: each alone, all together; freeze windows around both changes of the clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import chain, combinations
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tagflow.domain.policy import OVERRIDABLE, Environment, Freeze
from tagflow.domain.reference import Registry
from tagflow.domain.rules import Candidate, is_frozen, judge, next_opening
from tagflow.domain.standing import Stay
from tagflow.domain.state import Freeze as Stop
from tagflow.domain.state import Hold
from tagflow.domain.versions.semver import SEMVER
from tests import images
from tests.marks import examples

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)  # a Wednesday
DIGEST = images.absent()
LAX = Environment("prod", Registry("r.test"), sources=("staging",), downgrades=True)
FINE = Candidate("app", "v1.1", SEMVER.read("1.1"), DIGEST)
BERLIN, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")

RULES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "promotion.held": ({}, {"hold": Hold("v1.0")}),
    "promotion.prerelease": ({"prereleases": False}, {"version": SEMVER.read("1.1-rc.1")}),
    "promotion.downgrade": ({"downgrades": False}, {"running": SEMVER.read("2.0")}),
    "promotion.soak": ({"soak": timedelta(hours=24)}, {"stays": (Stay(DIGEST, NOW - timedelta(hours=3), NOW),)}),
    "promotion.frozen": ({"freeze": (Freeze(UTC_ZONE, days=frozenset({2})),)}, {}),
    "promotion.platforms": ({"platforms": ("linux/amd64", "linux/s390x")}, {"platforms": frozenset({"linux/amd64"})}),
    "promotion.labels": ({"labels": ("source",)}, {"unset_labels": ("source",)}),
}
"""Code → what the environment asks, and how a candidate breaks it."""
BY_NAME = {
    "hold": "promotion.held",
    "soak": "promotion.soak",
    "freeze": "promotion.frozen",
    "downgrades": "promotion.downgrade",
}


def subsets(names: Any) -> Any:
    chosen = list(names)
    return chain.from_iterable(combinations(chosen, size) for size in range(len(chosen) + 1))


@pytest.mark.parametrize("broken", list(subsets(RULES)), ids="+".join)
def test_every_rule_that_is_broken_says_so(broken: tuple[str, ...]) -> None:
    environment, candidate = LAX, FINE
    for code in broken:
        asked, breaks = RULES[code]
        environment, candidate = replace(environment, **asked), replace(candidate, **breaks)
    verdicts = judge(environment, candidate, NOW)
    assert {it.code for it in verdicts} == set(broken)
    for verdict in verdicts:
        error = verdict.refusal()
        assert (error.code, error.exit_status) == (verdict.code, 3)
        assert error.message
        assert error.hint
    for waived in subsets(OVERRIDABLE):
        left = set(broken) - {BY_NAME[rule] for rule in waived}
        assert {it.code for it in judge(environment, candidate, NOW, waived)} == left


@pytest.mark.parametrize("code", [*RULES, "stopped"])
def test_an_override_is_offered_where_the_policy_allows_it(code: str) -> None:
    asked, breaks = RULES.get(code, ({}, {"stop": Stop("ann", NOW, "incident")}))
    for overrides in ((), OVERRIDABLE):
        environment = replace(LAX, **asked, overrides=overrides)
        [verdict] = judge(environment, replace(FINE, **breaks), NOW)
        assert ("overrid" in verdict.hint) == (verdict.rule in overrides), verdict.hint


@pytest.mark.parametrize("code", RULES)
def test_a_rule_that_is_kept_says_nothing(code: str) -> None:
    asked, _ = RULES[code]
    fine = replace(
        FINE, running=SEMVER.read("1.1"), stays=(Stay(DIGEST, NOW - timedelta(hours=24), NOW - timedelta(hours=0)),),
        platforms=frozenset({"linux/amd64", "linux/s390x", "linux/arm64"}),
    )  # fmt: skip
    moment = NOW + timedelta(days=1) if code == "promotion.frozen" else NOW
    assert judge(replace(LAX, **asked), fine, moment) == []


class TestSoak:
    environment = replace(LAX, soak=timedelta(hours=24))

    def judged(self, *stays: tuple[float, float]) -> Any:
        """The verdict on stays that began and ended so many hours ago; None for none."""
        told = tuple(Stay(DIGEST, NOW - timedelta(hours=begin), NOW - timedelta(hours=end)) for begin, end in stays)
        return next(iter(judge(self.environment, replace(FINE, stays=told), NOW)), None)

    @pytest.mark.parametrize(("begin", "fine"), [(24, True), (23.9999, False), (25, True), (0, False)])
    def test_to_the_second(self, begin: float, fine: bool) -> None:
        assert (self.judged((begin, 0)) is None) == fine

    def test_the_longest_counts_and_they_do_not_add_up(self) -> None:
        assert self.judged((100, 70), (10, 0)) is None
        assert self.judged((60, 40), (30, 10), (5, 0)) is not None

    def test_until(self) -> None:
        assert self.judged((10, 0)).until == NOW + timedelta(hours=14)
        assert self.judged((60, 50)).until is None
        assert self.judged().until is None
        assert "14h left" in self.judged((10, 0)).message


@pytest.mark.parametrize("leads_back", [True, False])
def test_a_freeze_hints_at_a_rollback_where_one_leads_back(leads_back: bool) -> None:
    for days, way in (
        (frozenset({NOW.weekday()}), "Wait"),
        (frozenset(range(7)), "Change `freeze` of prod in the policy"),
    ):
        windows = (Freeze(UTC_ZONE, days=days),)
        [verdict] = judge(replace(LAX, freeze=windows), replace(FINE, leads_back=leads_back), NOW)
        assert verdict.code == "promotion.frozen"
        assert verdict.hint.startswith(way)
        assert ("tagflow rollback prod" in verdict.hint) == leads_back


# --- freeze ----------------------------------------------------------------------------------------------------------

ZONES = {
    "Europe/Berlin": ["2026-03-29", "2026-10-25"],
    "America/New_York": ["2026-03-08", "2026-11-01"],
    "Australia/Lord_Howe": ["2026-04-05", "2026-10-04"],  # by half an hour
    "Africa/Cairo": ["2026-04-24", "2026-10-30"],  # at midnight
    "America/Sao_Paulo": ["2018-11-04", "2018-02-18"],  # at midnight, when there still was such a thing
    "Pacific/Apia": ["2011-12-30"],  # a day that never was
}
CHANGES = [(zone, day) for zone, days in ZONES.items() for day in days]
STEP = timedelta(minutes=15)


def oracle(windows: list[Freeze], moment: datetime) -> datetime | None:
    """The first quarter of an hour, or this very moment, in which no window is closed; ten days are looked at."""
    tried = moment
    for _ in range(10 * 24 * 4):
        if not any(is_frozen(window, tried) for window in windows):
            return tried
        tried = tried - timedelta(minutes=tried.minute % 15, seconds=tried.second) + STEP
    return None


@st.composite
def around_a_change(draw: st.DrawFn) -> tuple[list[Freeze], datetime]:
    zone, day = draw(st.sampled_from(CHANGES))
    change = date.fromisoformat(day)
    windows = []
    for _ in range(draw(st.integers(1, 3))):
        place = ZoneInfo(draw(st.sampled_from([zone, zone, "UTC", "Asia/Kolkata"])))
        if draw(st.booleans()):
            windows.append(Freeze(place, days=frozenset(draw(st.sets(st.integers(0, 6), min_size=1, max_size=5)))))
        else:
            first = change + timedelta(days=draw(st.integers(-2, 1)))
            windows.append(Freeze(place, first=first, last=first + timedelta(days=draw(st.integers(0, 2)))))
    minutes = draw(st.integers(-3 * 24 * 60, 3 * 24 * 60))
    return windows, datetime(change.year, change.month, change.day, tzinfo=UTC) + timedelta(minutes=minutes)


@given(around_a_change())
@settings(max_examples=examples(150))
def test_the_next_opening_is_the_first(drawn: tuple[list[Freeze], datetime]) -> None:
    windows, moment = drawn
    expected = oracle(windows, moment)
    opening = next_opening(windows, moment)
    if expected is not None:
        assert opening == expected
    elif opening is not None:
        assert opening > moment + timedelta(days=9)


@pytest.mark.parametrize(
    ("zone", "day", "last_frozen", "opening"),
    [
        ("Europe/Berlin", "2026-03-29", "2026-03-29T21:59", "2026-03-29T22:00"),
        ("Europe/Berlin", "2026-10-25", "2026-10-25T22:59", "2026-10-25T23:00"),
        ("America/New_York", "2026-03-08", "2026-03-09T03:59", "2026-03-09T04:00"),
        ("America/New_York", "2026-11-01", "2026-11-02T04:59", "2026-11-02T05:00"),
        ("UTC", "2026-03-29", "2026-03-29T23:59", "2026-03-30T00:00"),
        ("Africa/Cairo", "2026-04-23", "2026-04-23T21:59", "2026-04-23T22:00"),
    ],
)
def test_one_day_where_the_clocks_change(zone: str, day: str, last_frozen: str, opening: str) -> None:
    window = Freeze(ZoneInfo(zone), first=date.fromisoformat(day), last=date.fromisoformat(day))
    last = datetime.fromisoformat(last_frozen).replace(tzinfo=UTC)
    assert is_frozen(window, last)
    assert next_opening([window], last) == datetime.fromisoformat(opening).replace(tzinfo=UTC)
    assert not is_frozen(window, last + timedelta(minutes=1))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_a_weekend_is_that_of_its_zone(zone: str) -> None:
    window = Freeze(ZoneInfo(zone), days=frozenset({5, 6}))
    begin = datetime(2026, 3, 7, tzinfo=ZoneInfo(zone))
    assert not is_frozen(window, begin - timedelta(seconds=1))
    assert is_frozen(window, begin)
    assert next_opening([window], begin) == begin + timedelta(days=2)


def test_all_days_never_open() -> None:
    window = Freeze(BERLIN, days=frozenset(range(7)))
    assert next_opening([window], NOW) is None
    [verdict] = judge(replace(LAX, freeze=(window,)), FINE, NOW)
    assert verdict.until is None
    assert "no end in sight" in verdict.message


def test_windows_that_follow_each_other() -> None:
    windows = [
        Freeze(BERLIN, first=date(2026, 12, 20), last=date(2027, 1, 2)),
        Freeze(BERLIN, days=frozenset({6})),  # 3 January 2027 is a Sunday
        Freeze(UTC_ZONE, first=date(2027, 1, 3), last=date(2027, 1, 3)),
    ]
    moment = datetime(2026, 12, 24, 18, tzinfo=BERLIN)
    assert next_opening(windows, moment) == datetime(2027, 1, 4, tzinfo=UTC)
    [verdict] = judge(replace(LAX, freeze=tuple(windows)), FINE, moment)
    assert verdict.until == datetime(2027, 1, 4, tzinfo=UTC)


def test_open_ended_windows() -> None:
    since = Freeze(UTC_ZONE, first=date(2026, 3, 4))
    until = Freeze(UTC_ZONE, last=date(2026, 3, 4))
    assert next_opening([since], NOW) is None
    assert next_opening([until], NOW) == datetime(2026, 3, 5, tzinfo=UTC)
    assert next_opening([since], NOW - timedelta(days=1)) == NOW - timedelta(days=1)


def test_no_window() -> None:
    assert next_opening([], NOW) == NOW
