"""Versions: a total order, spellings that survive, and what comes next."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import permutations

import pytest
import semver
from hypothesis import assume, given
from hypothesis import strategies as st

from tagflow.domain.versions import PARTS, Part, Version, as_version
from tagflow.domain.versions.semver import SEMVER
from tagflow.errors import UsageError

numbers = st.integers(0, 30).map(str) | st.integers(0, 10**18).map(str)
words = st.one_of(
    numbers,
    st.from_regex(r"[0-9]*[A-Za-z-][0-9A-Za-z-]*", fullmatch=True).filter(lambda it: len(it) < 9),
    st.sampled_from(["rc", "alpha", "beta", "dev", "prod", "eu-prod", "x-prod"]),
)
cores = st.lists(numbers, min_size=1, max_size=3).map(".".join)
dotted = st.lists(words, min_size=1, max_size=3).map(".".join)
builds = st.from_regex(r"[0-9A-Za-z-]{1,6}(\.[0-9A-Za-z-]{1,4})?", fullmatch=True)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Spellings without ``v``, with ``+``."""
    text = draw(cores)
    if draw(st.booleans()):
        text += "-" + draw(dotted)
    if draw(st.booleans()):
        text += "+" + draw(builds)
    assume(len(text) < 100)
    return text


versions = texts().map(SEMVER.read)


@given(texts())
def test_what_is_read_is_written_back(text: str) -> None:
    for typed in (text, f"v{text}", text.replace("+", "_"), f"v{text.replace('+', '_')}"):
        version = SEMVER.read(typed)
        assert str(version) == text
        assert SEMVER.read(str(version)) == version


@given(st.lists(versions, min_size=3, max_size=3))
def test_the_order_is_total(three: list[Version]) -> None:
    for one, other in permutations(three, 2):
        assert [one < other, one == other, one > other].count(True) == 1
        assert one != other or hash(one) == hash(other)
        assert (one <= other) == (one < other or one == other)
    for one, two, three_ in permutations(three):
        if one < two < three_:
            assert one < three_
        if one == two and two == three_:
            assert one == three_
    assert all(sorted(order) == sorted(three) for order in permutations(three))


@given(versions, versions)
def test_the_order_is_that_of_semver(one: Version, other: Version) -> None:
    mine, its = (semver.Version.parse(it.text, optional_minor_and_patch=True) for it in (one, other))
    compared = mine.compare(str(its))
    if compared:
        assert (one < other) == (compared < 0)
    else:
        assert (one == other) == (mine.build == its.build)


def test_the_order_of_the_specification() -> None:
    """SemVer 2.0.0, section 11; build metadata in ASCII order."""
    ordered = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
               "1.0.0-rc.1", "1.0.0", "1.0.0+A", "1.0.0+B", "1.0.0+a", "1.0.1", "1.1", "2", "10"]  # fmt: skip
    read = [SEMVER.read(text) for text in ordered]
    assert sorted(set(read)) == read


@pytest.mark.parametrize(("one", "other"), [("1", "1.0.0"), ("1.0", "v1.0.0"), ("1.2-rc.1", "1.2.0-rc.1")])
def test_spellings_of_one_version(one: str, other: str) -> None:
    assert SEMVER.read(one) == SEMVER.read(other)
    assert hash(SEMVER.read(one)) == hash(SEMVER.read(other))


@pytest.mark.parametrize(
    "text",
    ["", "v", "V1.0", "vv1", "1.", ".1", "1..2", "1.2.3.4", "01.2", "1.02", "1.2.3-", "1.2.3-01", "1.2.3-a..b",
     "1.2.3+", "1.2.3_", "1.2.3+a+b", "1.2.3 ", " 1.2.3", "1.2.3\n",
     "latest", "1,0", "-1", "1.0/2", "1" * 129, "1.2.3-ä", "١.٢"],
)  # fmt: skip
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        SEMVER.read(text)
    assert (caught.value.code, caught.value.exit_status) == ("version.invalid", 2)
    assert as_version(text) is None


@given(st.text(max_size=20))
def test_anything_is_a_version_or_one_clear_error(text: str) -> None:
    version = as_version(text)
    assert version is None or as_version(str(version)) == version


@pytest.mark.parametrize(
    ("current", "part", "expected"),
    [
        ("1.0", "patch", "1.0.1"), ("1.0", "minor", "1.1"), ("1.0", "major", "2.0"),
        ("1.0", "prerelease", "1.0.1-rc.1"),
        ("1.2.3", "patch", "1.2.4"), ("1.2.3", "minor", "1.3.0"), ("1.2.3", "major", "2.0.0"),
        ("1", "patch", "1.0.1"), ("1", "minor", "1.1"), ("1", "major", "2"),
        ("1.3.0-rc.1", "prerelease", "1.3.0-rc.2"), ("1.3.0-rc.1", "patch", "1.3.0"), ("1.3-rc.1", "minor", "1.3"),
        ("2.0.0-rc.1", "major", "2.0.0"), ("1.2.3+7", "patch", "1.2.4"), ("1.0", None, "1.0.1"),
        ("1.3-rc.1", "prerelease", "1.3-rc.2"), ("1.3.0-alpha.1", "prerelease", "1.3.0-alpha.2"),
        ("1.3.0-rc8", "prerelease", "1.3.0-rc9"), ("1.3.0-SNAPSHOT", "prerelease", "1.3.0-SNAPSHOT.1"),
        ("1.3.0-rc.9.x", "prerelease", "1.3.0-rc.10"), ("1.3.1-rc.1", "minor", "1.4.0"),
    ],
)  # fmt: skip
def test_next(current: str, part: Part | None, expected: str) -> None:
    assert str(SEMVER.read(current).next(part)) == expected


@given(versions, st.sampled_from(PARTS), st.integers(1, 3))
def test_the_next_version_is_higher_and_precise_enough(version: Version, part: Part, at_least: int) -> None:
    assume(part != "prerelease" or not re.search("[A-Za-z-]9+$", version.text.partition("+")[0]))
    following = version.next(part, at_least=at_least)
    assert following > version
    assert following.parts >= max(version.parts, at_least)
    assert following.is_prerelease == (part == "prerelease")


@pytest.mark.parametrize("text", ["1.3.0-rc9", "1.3.0-SNAPSHOT-9"])
def test_no_prerelease_is_next_that_semver_orders_before(text: str) -> None:
    with pytest.raises(UsageError, match="SemVer orders before it") as caught:
        SEMVER.read(text).next("prerelease")
    assert (caught.value.code, caught.value.exit_status) == ("version.order", 2)
    assert "rc.10" in caught.value.hint


@pytest.mark.parametrize(
    "ordered",
    [
        ["1.0", "1.0.0+9", "1.0.0+10", "1.0+a", "1.0+b"],
        ["1.0+build.9", "1.0+build.10", "1.0+build.10.1"],
        ["1.0+b", "1.0+b9", "1.0+b10", "1.0+b10a"],
        ["1.0+2026-01-30-2", "1.0+2026-01-30-10"],
        ["1.0+007", "1.0+7", "1.0+8"],
    ],
)
def test_build_metadata_breaks_ties(ordered: list[str]) -> None:
    read = [SEMVER.read(text) for text in ordered]
    for order in permutations(read):
        assert sorted(order) == read
    assert len(set(read)) == len(read)


@pytest.mark.parametrize(
    ("text", "part", "way"),
    [
        ("2026.02.0", "02: no leading zero in SemVer", "write 2026.2.0, or set `versions: natural`"),
        ("v21.05.3", "05: no leading zero in SemVer", "write v21.5.3, or set `versions: natural`"),
        ("1.2.3.4", "three numbers at most, these are 4", "set `versions: natural`"),
        ("1.0rc10", "rc10: SemVer has a hyphen before", "write 1.0-rc.10, or set `versions: natural`"),
        ("1.0.rc1", "a number is missing in 1.0.", "write 1.0-rc.1, or set `versions: natural`"),
        ("1.2.0-0603826", "0603826: no leading zero in a number of a SemVer pre-release", "write 1.2.0-g0603826"),
        ("1.2.0-rc.01", "01: no leading zero", "write 1.2.0-rc.1, or set `versions: natural`"),
        ("1.2.3+a+b", "it stands there twice", "write 1.2.3+a.b, or set `versions: natural`"),
        ("1.2.3-", "something is missing after a separator", ""),
        ("1..2", "a number is missing in 1..2", ""),
        ("1/2", "'/' is not allowed", ""),
        ("latest", "does not begin with a number", ""),
        ("", "it is empty", ""),
        ("1" * 129, "longer than 128", ""),
    ],
)
def test_what_is_wrong_is_said_with_the_way_out(text: str, part: str, way: str) -> None:
    with pytest.raises(UsageError) as caught:
        SEMVER.read(text)
    assert part in caught.value.message
    assert way in caught.value.message
    assert caught.value.hint
    if "write " in caught.value.message:
        written = caught.value.message.split("write ")[1].split(",")[0]
        assert as_version(written) is not None, "what it says to write can be written"


@given(st.text(max_size=20) | st.from_regex(r"v?[0-9.]{1,9}[-+_.a-z0-9]{0,12}", fullmatch=True))
def test_a_proposal_is_a_version(text: str) -> None:
    with suppress(UsageError):
        SEMVER.read(text)
        return
    with pytest.raises(UsageError) as caught:
        SEMVER.read(text)
    if "; write " in caught.value.message:
        assert as_version(caught.value.message.rpartition("; write ")[2].partition(", or set")[0]) is not None
