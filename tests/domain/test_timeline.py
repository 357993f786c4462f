"""Which records had been written at a moment, and how few of them are looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tagflow.domain.own_tags import RecordTag
from tagflow.verbs.past import Clock, count_until, levels

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def tag(sequence: int, number: int = 0) -> RecordTag:
    return RecordTag("prod", sequence, f"{sequence * 100 + number:012x}")


class Book:
    """Says when each record was written, and remembers what it was asked."""

    def __init__(self, times: Mapping[RecordTag, datetime]) -> None:
        self.times, self.asked = times, list[RecordTag]()

    def __call__(self, tags: Sequence[RecordTag]) -> dict[RecordTag, datetime]:
        self.asked += tags
        return {it: self.times[it] for it in tags if it in self.times}


def plain(times: Sequence[datetime]) -> Book:
    return Book({tag(sequence): at for sequence, at in enumerate(times, 1)})


def test_eleven_of_two_thousand() -> None:
    times = [NOON + timedelta(hours=hour) for hour in range(2000)]
    for wanted in (0, 1, 7, 999, 1000, 1024, 1998, 1999):
        book = plain(times)
        assert count_until(levels(book.times.keys()), book, times[wanted]) == wanted + 1
        assert len(book.asked) <= 11


@given(st.lists(st.integers(0, 50), max_size=30).map(sorted), st.integers(-1, 51))
def test_as_many_as_a_look_at_all_of_them_finds(hours: list[int], moment: int) -> None:
    book = plain([NOON + timedelta(hours=hour) for hour in hours])
    found = count_until(levels(book.times.keys()), book, NOON + timedelta(hours=moment))
    assert found == sum(hour <= moment for hour in hours)


@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=20).map(sorted), st.sets(st.integers(1, 20)), st.integers(-1, 21)
)
def test_records_that_cannot_be_read_are_passed_over(hours: list[int], gone: set[int], moment: int) -> None:
    book = plain([NOON + timedelta(hours=hour) for hour in hours])
    listed = levels(list(book.times))
    book.times = {it: at for it, at in book.times.items() if it.sequence not in gone}
    found = count_until(listed, book, NOON + timedelta(hours=moment))
    readable = [it for level in listed[:found] for it in level if it in book.times]
    later = [it for level in listed[found:] for it in level if it in book.times]
    assert all(book.times[it] <= NOON + timedelta(hours=moment) for it in readable)
    assert all(book.times[it] > NOON + timedelta(hours=moment) for it in later)


def test_forks_are_one_level() -> None:
    book = Book({tag(1): NOON, tag(2): NOON, tag(2, 5): NOON, tag(3): NOON + timedelta(hours=1)})
    ordered = levels(book.times.keys())
    assert [len(level) for level in ordered] == [1, 2, 1]
    assert count_until(ordered, book, NOON) == 2


def test_a_clock_that_was_wrong_ends_the_search_all_the_same() -> None:
    clock: Clock = plain([NOON, NOON + timedelta(days=400), NOON + timedelta(hours=1), NOON + timedelta(hours=2)])
    ordered = levels([tag(sequence) for sequence in range(1, 5)])
    assert 0 <= count_until(ordered, clock, NOON + timedelta(hours=3)) <= 4
