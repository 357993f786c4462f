"""No schedule breaks a promise: a little of it here, more in `make test-all`, all of it by `make interleave`."""

from __future__ import annotations

import pytest

from tests.interleave.cases import CASES, PAIRS, THREES
from tests.interleave.effort import (
    BROKEN_BY_LAG,
    BROKEN_BY_LATE,
    BUILDS_BY_LAG,
    LITTLE,
    MORE,
    explore,
    lagging,
    outliving,
)
from tests.interleave.explore import Tally
from tests.interleave.told import tell
from tests.marks import LONG, mostly_long

QUICK = ("promote, promote", "push, push", "rollback, rollback", "promote, abandon", "promote, freeze")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in PAIRS]
)
def test_one_switch(name: str) -> None:
    tally = Tally()
    for failure in explore(PAIRS[name](), LITTLE, tally):
        pytest.fail(tell(failure))
    assert tally.schedules > 1


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_one_fault_and_samples(name: str) -> None:
    for failure in explore(CASES[name](), MORE, Tally()):
        pytest.fail(tell(failure))


@pytest.mark.parametrize("name", ["promote, promote", "push, push", *mostly_long(THREES)])
def test_lists_that_lag_move_no_version_and_run_no_other_build(name: str) -> None:
    tally = Tally()
    for failure in lagging(CASES[name](), 20, tally):
        allowed = BROKEN_BY_LAG | (BUILDS_BY_LAG if "push, push" in name else frozenset())
        left = [wrong for wrong in failure.wrongs if wrong.kind not in allowed]
        assert not left, tell(failure)
    assert tally.schedules == 20


@pytest.mark.parametrize("name", ["promote, promote", "promote, abandon", "finish, abandon"])
def test_put_that_arrives_at_any_time_lets_no_two_win(name: str) -> None:
    tally = Tally()
    for failure in outliving(CASES[name](), 30, tally):
        left = [wrong for wrong in failure.wrongs if wrong.kind not in BROKEN_BY_LATE]
        assert not left, tell(failure)
    assert tally.late + tally.gaps > 0


@LONG
def test_what_lag_leaves_is_real() -> None:
    """Where lists lag two releases may both win: the page says so, and this finds it."""
    failures = lagging(CASES["promote, promote"](), 400, Tally())
    assert any(wrong.kind in BROKEN_BY_LAG for failure in failures for wrong in failure.wrongs)
