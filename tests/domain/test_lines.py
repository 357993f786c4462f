"""Which versions enter beside what runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.domain.lines import enters_beside, line_key
from tagflow.domain.policy import Lines
from tagflow.domain.versions import Version
from tagflow.domain.versions.natural import NATURAL
from tagflow.domain.versions.semver import SEMVER
from tagflow.errors import UsageError
from tests.domain.test_version import versions


@pytest.mark.parametrize(
    ("version", "running", "admitted", "lines", "beside"),
    [
        ("1.20.5", "1.21.1", ["1.20.4", "1.21.1"], "minor", True),
        ("1.20.5", "1.21.1", ["1.20.5", "1.20.4"], "minor", True),
        ("1.20.5", "1.21.1", ["1.20.6"], "minor", False),
        ("1.20.5", "1.21.1", [], "none", False),
        ("1.20.5", "1.21.1", [], "major", False),
        ("1.20.5", "2.0.0", ["1.20.4"], "major", True),
        ("1.20.5", "2.0.0", ["1.21.0"], "major", False),
        ("1.20.5", "2.0.0", ["1.21.0"], "minor", True),
        ("1.21.0", "1.21.1", [], "minor", False),
        ("1.21.2", "1.21.1", [], "minor", False),
        ("1.22.0", "1.21.1", [], "minor", False),
        ("1.21.1", "1.21.1", [], "minor", False),
        ("1.20.5-rc.1", "1.21.1", ["1.20.4"], "minor", True),
        ("1.20.5-rc.1", "1.21.1", ["1.20.5"], "minor", False),
        ("1.20.5", None, [], "minor", False),
        ("1", "2", [], "major", True),
    ],
)
def test_beside(version: str, running: str | None, admitted: list[str], lines: Lines, beside: bool) -> None:
    read = SEMVER.read
    found = enters_beside(read(version), read(running) if running else None, map(read, admitted), lines)
    assert found == beside


def test_the_line_is_one_by_value() -> None:
    assert line_key(NATURAL.read("2026.02.3"), "minor") == line_key(NATURAL.read("2026-2-4"), "minor") == (2026, 2)
    assert line_key(SEMVER.read("1"), "minor") == (1, 0)
    assert line_key(SEMVER.read("1.2.3"), "none") == ()


def test_an_unclear_order_decides_nothing() -> None:
    with pytest.raises(UsageError) as caught:
        enters_beside(SEMVER.read("1.3.0-rc9"), SEMVER.read("1.3.0-rc10"), [], "minor")
    assert caught.value.code == "version.order"
    with pytest.raises(UsageError):
        enters_beside(SEMVER.read("1.3.0-rc9"), SEMVER.read("1.4.0"), [SEMVER.read("1.3.0-rc10")], "minor")


@given(versions, st.lists(versions, max_size=4), st.sampled_from(["major", "minor"]))
def test_what_runs_and_what_is_higher_never_enters_beside(
    running: Version, admitted: list[Version], lines: Lines
) -> None:
    for version in [running, *admitted]:
        try:
            beside = enters_beside(version, running, admitted, lines)
        except UsageError:
            continue
        if beside:
            assert version < running
            assert line_key(version, lines) != line_key(running, lines)
            assert all(it <= version for it in admitted if line_key(it, lines) == line_key(version, lines))
