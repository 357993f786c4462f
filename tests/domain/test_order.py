"""An order that SemVer and a reader see differently decides nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.domain.versions import Version, highest, refuse_unclear_order
from tagflow.domain.versions.natural import NATURAL
from tagflow.domain.versions.semver import SEMVER
from tagflow.errors import UsageError
from tests.domain.test_version import versions


@pytest.mark.parametrize(
    ("one", "other", "spelling"),
    [
        ("1.3.0-rc9", "1.3.0-rc10", "1.3.0-rc.10"),
        ("1.3-rc9", "1.3.0-rc10", "1.3-rc.9"),
        ("1.3.0-rc9.1", "1.3.0-rc10.2", "1.3.0-rc.10.2"),
        ("1.0.0-SNAPSHOT-9", "1.0.0-SNAPSHOT-10", "1.0.0-SNAPSHOT.10"),
        ("2026-01-30-2", "2026-01-30-10", ""),
        ("1.2.0-9-gabcdef1", "1.2.0-10-g1234567", ""),
        ("1.0.0-build9b", "1.0.0-build10b", ""),
        ("1.0.0-rc9+1", "1.0.0-rc10+1", "1.0.0-rc.9+1"),
    ],
)
def test_both_directions_are_refused_with_the_way_out(one: str, other: str, spelling: str) -> None:
    for mine, its in ((one, other), (other, one)):
        with pytest.raises(UsageError) as caught:
            refuse_unclear_order(SEMVER.read(mine), SEMVER.read(its))
        assert (caught.value.code, caught.value.exit_status) == ("version.order", 2)
        assert f"SemVer orders {other} before {one}" in caught.value.message
        assert spelling in caught.value.hint
        assert "`versions: natural`" in caught.value.hint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.3.0-rc1", "1.3.0-rc2"), ("1.3.0-rc.9", "1.3.0-rc.10"), ("1.3.0-rc9", "1.3.0"), ("1.3.0-rc9", "1.4.0-rc10"),
        ("1.3.0-alpha10", "1.3.0-beta9"), ("1.0.0-g9f3c2a1", "1.0.0-g10fa2b3"), ("1.0.0-rc9", "1.0.0-rc9"),
        ("1.0+9", "1.0+10"), ("1.0.0-rc", "1.0.0-rc10"), ("1.0.0-rc9", "1.0.0-10"), ("2024-01-02", "2024-02-01"),
        ("1.0.0-rc09", "1.0.0-rc10"), ("1.0.0-rc9", "1.0-rc9"), ("1.0.0-rc.9a", "1.0.0-rc.10"),
    ],
)  # fmt: skip
def test_all_else_is_clear(one: str, other: str) -> None:
    refuse_unclear_order(SEMVER.read(one), SEMVER.read(other))
    refuse_unclear_order(SEMVER.read(other), SEMVER.read(one))


@given(versions, versions)
def test_it_does_not_depend_on_the_direction(one: Version, other: Version) -> None:
    assert SEMVER.is_unclear(one, other) == SEMVER.is_unclear(other, one)
    assert not SEMVER.is_unclear(one, one)


@given(st.integers(0, 120), st.integers(0, 120))
def test_what_is_unclear_is_what_natural_orders_otherwise(one: int, other: int) -> None:
    texts = [f"1.0.0-rc{one}", f"1.0.0-rc{other}"]
    strict, natural = (list(map(scheme.read, texts)) for scheme in (SEMVER, NATURAL))
    assert SEMVER.is_unclear(*strict) == ((strict[0] < strict[1]) != (natural[0] < natural[1]))


def test_natural_is_always_clear() -> None:
    refuse_unclear_order(NATURAL.read("1.3.0-rc9"), NATURAL.read("1.3.0-rc10"))


class TestHighest:
    def test_of_none(self) -> None:
        assert highest([]) is None

    def test_only_what_competes_for_it_counts(self) -> None:
        texts = ["1.3.0-rc9", "1.3.0-rc10", "1.3.0", "1.2.0"]
        assert str(highest(map(SEMVER.read, texts))) == "1.3.0"

    def test_what_a_reader_would_take_is_refused(self) -> None:
        with pytest.raises(UsageError, match="compares a number inside a word as text"):
            highest(map(SEMVER.read, ["1.3.0-rc9", "1.3.0-rc10", "1.2.0"]))
        assert str(highest(map(NATURAL.read, ["1.3.0-rc9", "1.3.0-rc10", "1.2.0"]))) == "1.3.0-rc10"
