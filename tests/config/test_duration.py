"""Durations."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.domain.times import LONGEST, format_duration, parse_duration
from tagflow.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("24h", 86400), ("90m", 5400), ("1h30m", 5400), ("7d", 604800), ("45s", 45), ("0s", 0), ("1d1h1m1s", 90061)],
)
def test_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "1", "h", "1w", "1h 30m", "30m1h", "-1h", "1.5h", "1H", "1h\n", "١h", "3651d", "9" * 99]
)
def test_refuse(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration(text)
    assert caught.value.code == "duration.invalid"


@given(st.integers(0, int(LONGEST.total_seconds())))
def test_round_trip(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration


def test_format() -> None:
    assert format_duration(timedelta(days=1, seconds=61.9)) == "1d1m1s"
    assert format_duration(timedelta(seconds=-5)) == "0s"
