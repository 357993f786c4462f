"""Moments, as they are typed: what is taken can be written into a record and read back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.domain.times import YEARS, kept_moment, parse_moment
from tagflow.errors import UsageError

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-12-20", datetime(2026, 12, 20, tzinfo=UTC)),
        ("2026-12-20T18:00:00+02:00", datetime(2026, 12, 20, 16, tzinfo=UTC)),
        ("1970-01-01", datetime(1970, 1, 1, tzinfo=UTC)),
        ("8999-12-31", datetime(8999, 12, 31, tzinfo=UTC)),
        ("3d", NOW + timedelta(days=3)),
    ],
)
def test_read(text: str, moment: datetime) -> None:
    assert parse_moment(text, NOW, ahead=True) == moment


@pytest.mark.parametrize("ahead", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "9999-12-31", "9000-01-01", "1969-12-31", "0001-01-01", "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "8999-12-31T23:00:00-02:00", "1970-01-01T01:00:00+02:00", "tomorrow", "2026-12-20T18:00:00",
    ],
)  # fmt: skip
def test_refuse(text: str, ahead: bool) -> None:
    with pytest.raises(UsageError) as caught:
        parse_moment(text, NOW, ahead=ahead)
    assert caught.value.code == "time.invalid"


def test_the_message_says_which_years_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        parse_moment("9999-12-31", NOW, ahead=True)
    assert (caught.value.message, caught.value.hint) == (
        "'9999-12-31' is too far away",
        "Write a year from 1970 to 8999.",
    )


def test_a_duration_that_is_too_long_is_told_as_one() -> None:
    with pytest.raises(UsageError) as caught:
        parse_moment("4000d", NOW, ahead=True)
    assert (caught.value.code, caught.value.hint) == ("duration.invalid", "At most 3650d.")


@given(st.dates())
def test_a_date_is_taken_where_its_year_may_be_written(day: date) -> None:
    try:
        moment = parse_moment(day.isoformat(), NOW, ahead=True)
    except UsageError:
        assert day.year not in YEARS
    else:
        assert moment.date() == day
        assert day.year in YEARS


@pytest.mark.parametrize("moment", [datetime(2026, 12, 20), datetime.max.replace(tzinfo=timezone(-timedelta(hours=9)))])
def test_a_moment_of_a_caller_is_held_against_the_same_bounds(moment: datetime) -> None:
    with pytest.raises(UsageError) as caught:
        kept_moment(moment)
    assert caught.value.code == "time.invalid"
