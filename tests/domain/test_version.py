"""Versions: a total order, spellings that survive, and what comes next."""

from __future__ import annotations

from itertools import permutations

import pytest
import semver
from hypothesis import assume, given
from hypothesis import strategies as st

from tagflow.domain.version import PARTS, Part, Version, as_version
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


versions = texts().map(Version.parse)


@given(texts())
def test_what_is_read_is_written_back(text: str) -> None:
    for typed in (text, f"v{text}", text.replace("+", "_"), f"v{text.replace('+', '_')}"):
        version = Version.parse(typed)
        assert str(version) == text
        assert Version.parse(str(version)) == version


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
    widened = [semver.Version.parse(it.text, optional_minor_and_patch=True) for it in (one, other)]
    compared = widened[0].compare(str(widened[1]))
    assert (one < other) == (compared < 0 or (compared == 0 and (widened[0].build or "") < (widened[1].build or "")))


def test_the_order_of_the_specification() -> None:
    """SemVer 2.0.0, section 11; build metadata in ASCII order."""
    ordered = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
               "1.0.0-rc.1", "1.0.0", "1.0.0+A", "1.0.0+B", "1.0.0+a", "1.0.1", "1.1", "2", "10"]  # fmt: skip
    read = [Version.parse(text) for text in ordered]
    assert sorted(set(read)) == read


@pytest.mark.parametrize(("one", "other"), [("1", "1.0.0"), ("1.0", "v1.0.0"), ("1.2-rc.1", "1.2.0-rc.1")])
def test_spellings_of_one_version(one: str, other: str) -> None:
    assert Version.parse(one) == Version.parse(other)
    assert hash(Version.parse(one)) == hash(Version.parse(other))


@pytest.mark.parametrize(
    "text",
    ["", "v", "V1.0", "vv1", "1.", ".1", "1..2", "1.2.3.4", "01.2", "1.02", "1.2.3-", "1.2.3-01", "1.2.3-a..b",
     "1.2.3+", "1.2.3_", "1.2.3+a+b", "1.2.3 ", " 1.2.3", "1.2.3\n",
     "latest", "1,0", "-1", "1.0/2", "1" * 129, "1.2.3-ä", "١.٢"],
)  # fmt: skip
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Version.parse(text)
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
        ("2.0.0-rc.1", "major", "2.0.0"), ("1.2.3+7", "patch", "1.2.4"),
    ],
)  # fmt: skip
def test_next(current: str, part: Part, expected: str) -> None:
    assert str(Version.parse(current).next(part)) == expected


@given(versions, st.sampled_from(PARTS), st.integers(1, 3))
def test_the_next_version_is_higher_and_precise_enough(version: Version, part: Part, at_least: int) -> None:
    following = version.next(part, at_least=at_least)
    assert following.number > version.number
    assert following.parts >= max(version.parts, at_least)
    assert following.is_prerelease == (part == "prerelease")
