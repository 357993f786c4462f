"""How long tagflow tries again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.errors import StoreError
from tagflow.stores.registry.http.pace import RetryBudget, RetryPolicy, Transient, parse_date, retry_after

NOW = 1_700_000_000.0


class Clock:
    """Time that passes only in sleep."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def failure(after: float | None = None) -> Transient:
    return Transient(StoreError("registry.throttled", "busy"), after)


def patience(clock: Clock, deadline: float | None = None, **pace: float) -> RetryBudget:
    return RetryBudget(RetryPolicy(**pace), deadline, clock=clock, sleep=clock.sleep)  # type: ignore[arg-type]


def test_waits_grow_and_end() -> None:
    clock = Clock()
    patient = patience(clock, attempts=5, first=1.0)
    for _ in range(4):
        patient.wait(failure())
    assert len(clock.slept) == 4
    assert all(0.5 * 2**n <= seconds <= 2**n for n, seconds in enumerate(clock.slept))
    with pytest.raises(StoreError, match="busy") as caught:
        patient.wait(failure())
    assert caught.value.code == "registry.throttled"


def test_retry_after_is_obeyed() -> None:
    clock = Clock()
    patience(clock).wait(failure(after=7))
    assert clock.slept == [7]


def test_each_wait_is_told_before_it_begins() -> None:
    clock, told = Clock(), list[tuple[str, float, int]]()
    waits = lambda why, seconds: told.append((why, seconds, len(clock.slept)))  # noqa: E731
    budget = RetryBudget(RetryPolicy(), clock=clock, sleep=clock.sleep, waits=waits)
    for _ in range(2):
        budget.wait(failure(after=2))
    with pytest.raises(StoreError):
        budget.wait(failure(after=3600))
    assert told == [("busy", 2, 0), ("busy", 2, 1)]


def test_retry_after_beyond_the_budget_fails_at_once_and_says_so() -> None:
    clock = Clock()
    with pytest.raises(StoreError, match="asks to wait 3600 s") as caught:
        patience(clock).wait(failure(after=3600))
    assert clock.slept == []
    assert "3600" in caught.value.hint


def test_all_waits_together_stay_in_the_budget() -> None:
    clock = Clock()
    patient = patience(clock, budget=10.0)
    patient.wait(failure(after=6))
    with pytest.raises(StoreError, match=r"^busy$"):  # 6 s are not longer than it waits
        patient.wait(failure(after=6))
    assert clock.slept == [6]


def test_what_travels_is_no_wait() -> None:
    clock = Clock()
    patient = patience(clock, budget=10.0)

    def slowly() -> Iterator[bytes]:
        for chunk in (b"a", b"b"):
            clock.now += 100
            yield chunk

    for _ in range(2):
        assert list(patient.passing(slowly())) == [b"a", b"b"]
        clock.now += 1
        patient.wait(failure(after=3))
    clock.now += 1
    with pytest.raises(StoreError):
        patient.wait(failure(after=3))
    assert clock.slept == [3, 3]


def test_never_past_the_deadline() -> None:
    clock = Clock()
    with pytest.raises(StoreError, match=r"^busy$"):
        patience(clock, deadline=clock.now + 1, first=10.0).wait(failure())
    with pytest.raises(StoreError, match="asks to wait 7 s, which is longer than is left of the time"):
        patience(clock, deadline=clock.now + 5).wait(failure(after=7))
    assert clock.slept == []


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("-1", None),
        ("soon", None),
        ("1.5", None),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:12:20 GMT", 0.0),
        ("Tue, 99 Nov 2023 22:12:20 GMT", None),
        ("9" * 50, 999_999_999.0),
        ("٣", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, now=lambda: NOW) == seconds


@given(st.text(max_size=60))
def test_headers_never_raise(value: str) -> None:
    retry_after(value)
    parse_date(value)
