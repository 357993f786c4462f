"""Natural versions: a total order, spellings that survive, what comes next; and where they are SemVer's."""

from __future__ import annotations

from itertools import pairwise, permutations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tagflow.domain.versions import PARTS, Part, Version
from tagflow.domain.versions.natural import NATURAL, WORDS
from tagflow.domain.versions.semver import SEMVER
from tagflow.errors import UsageError

numbers = st.integers(0, 30).map(str) | st.from_regex("0{0,2}[0-9]{1,4}", fullmatch=True)
words = st.sampled_from(sorted(WORDS)) | st.sampled_from(["RC", "Beta", "alpine", "build", "r", "Final", "x"])
separators = st.sampled_from([".", "-", "_"])


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Spellings without ``v``."""
    text = draw(numbers)
    for _ in range(draw(st.integers(0, 5))):
        word = draw(st.booleans())
        bare = text[-1].isdigit() if word else text[-1].isalpha()
        text += draw(separators) if not bare or draw(st.booleans()) else ""
        text += draw(words if word else numbers)
    return text


versions = texts().map(NATURAL.read)

# Where both schemes read the same: SemVer's spellings, no number inside a word, a pre-release word first.
cores = st.lists(st.integers(0, 30).map(str), min_size=1, max_size=3).map(".".join)
identifiers = st.integers(0, 30).map(str) | st.from_regex("[A-Za-z]{1,4}", fullmatch=True)
both = st.builds(
    lambda core, suffix: "-".join([core, *suffix]),
    cores,
    st.just([])
    | st.builds(
        lambda word, rest: [".".join([word, *rest])], st.sampled_from(sorted(WORDS)), st.lists(identifiers, max_size=3)
    ),
)


@given(texts())
def test_what_is_read_is_written_back(text: str) -> None:
    for typed in (text, f"v{text}"):
        version = NATURAL.read(typed)
        assert str(version) == version.tag == text
        assert NATURAL.read(str(version)) == version


@given(st.lists(versions, min_size=3, max_size=3))
def test_the_order_is_total(three: list[Version]) -> None:
    for one, other in permutations(three, 2):
        assert [one < other, one == other, one > other].count(True) == 1
        assert one != other or hash(one) == hash(other)
    for one, two, last in permutations(three):
        if one <= two <= last:
            assert one <= last
    assert all(sorted(order) == sorted(three) for order in permutations(three))


@given(both, both)
def test_it_is_semver_where_both_read_the_same(one: str, other: str) -> None:
    mine, its = NATURAL.read(one), NATURAL.read(other)
    strict_mine, strict_its = SEMVER.read(one), SEMVER.read(other)
    assert (mine < its, mine == its) == (strict_mine < strict_its, strict_mine == strict_its)
    assert mine.is_prerelease == strict_mine.is_prerelease
    assert (mine.word, mine.parts) == (strict_mine.word, strict_mine.parts)


@pytest.mark.parametrize(
    "ordered",
    [
        # CalVer with zeros.
        ["2025.11.1", "2025.11.2", "2026.02.0", "2026.02.1", "2026.2.10", "2026.11.0"],
        ["21.05.3", "21.11.1", "22.04"],
        # Four numbers; dates; revisions of a day.
        ["1.2.3", "1.2.3.4", "1.2.3.10", "1.2.4"],
        ["2024-01-02", "2026-01-30-2", "2026-01-30-10"],
        # Packaging revisions, variants, builds.
        ["3.5.14-9", "3.5.15-0", "3.5.15-1", "3.5.15-10"],
        ["3.5.15-debian-12-r9", "3.5.15-debian-12-r10"],
        ["6.2.5", "6.2.6", "6.2.6-alpine", "6.2.7"],
        ["6.2.6-build.9", "6.2.6-build.10", "6.2.7-build.1"],
        ["6.2", "6.2-alpine", "6.2.1"],
        # Pre-releases, with and without a separator.
        ["1.0.dev1", "1.0rc9", "1.0rc10", "1.0", "1.0.post1"],
        ["1.0-alpha", "1.0-alpha.1", "1.0-alpha.beta", "1.0-beta.2", "1.0-beta.11", "1.0-rc.1", "1.0"],
        ["1.0a1", "1.0b1", "1.0c1", "1.0-M1", "1.0-milestone-2", "1.0-RC1", "1.0"],
        ["1.0-SNAPSHOT-9", "1.0-snapshot-10", "1.0"],
        ["6.2.6-alpine-rc1", "6.2.6-alpine"],
        ["1.0-rc1", "1.0-rc1-alpine", "1.0-rc2"],
        ["1.0-rc.1", "1.0-rc.x"],
    ],
)
def test_order(ordered: list[str]) -> None:
    read = [NATURAL.read(text) for text in ordered]
    for one, other in pairwise(read):
        assert one < other
    assert all(sorted(order) == read for order in permutations(read))


@pytest.mark.parametrize(
    "same",
    [
        ["1", "1.0", "1.0.0", "1.0.0.0", "01.00"],
        ["3.5.15", "3.5.15-0"],
        ["2026.02.0", "2026.2", "2026-02", "2026_2_0"],
        ["1.0rc1", "1.0-rc.1", "1.0.RC-01", "1.0_rc_1"],
        ["6.2.6-Alpine", "6.2.6.alpine"],
    ],
)
def test_spellings_of_one_version(same: list[str]) -> None:
    read = [NATURAL.read(text) for text in same]
    assert len(set(read)) == 1
    assert [str(version) for version in read] == same, "each kept as it is spelt"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("1.0rc10", "rc"), ("1.0-RC.1", "rc"), ("1.0.dev5", "dev"), ("1.0-SNAPSHOT", "snapshot"), ("1.0a1", "a"),
        ("6.2.6-alpine-beta2", "beta"), ("1.0", ""), ("6.2.6-alpine", ""), ("3.5.15-0", ""), ("1.0.Final", ""),
        ("2024-01-02", ""), ("1.0-prerelease", ""),
    ],
)  # fmt: skip
def test_what_comes_before_its_release(text: str, word: str) -> None:
    version = NATURAL.read(text)
    assert (version.is_prerelease, version.word) == (bool(word), word)


@pytest.mark.parametrize(
    ("current", "part", "expected"),
    [
        ("2026.02.0", None, "2026.02.1"), ("2026.02.0", "minor", "2026.03"), ("2026.09.3", "minor", "2026.10"),
        ("2026.02.0", "major", "2027"), ("2026.02.0", "patch", "2026.02.1"), ("2026-01-30-2", None, "2026-01-30-3"),
        ("2026-01-30-9", None, "2026-01-30-10"), ("2026-01-09", "patch", "2026-01-10"),
        ("1.2.3.4", None, "1.2.3.5"), ("1.2.3.4", "patch", "1.2.4"), ("3.5.15-0", None, "3.5.15-1"),
        ("1.0", None, "1.1"), ("1.0", "patch", "1.0.1"), ("1", "minor", "1.1"), ("2026-01", "patch", "2026-01-1"),
        ("1.0rc9", None, "1.0rc10"), ("1.0rc9", "prerelease", "1.0rc10"), ("1.0rc9", "major", "2"),
        ("6.2.6-build.10", None, "6.2.6-build.11"), ("6.2.6-build.10", "patch", "6.2.7"),
        ("6.2.6-alpine", None, "6.2.7"), ("6.2.6-alpine", "prerelease", "6.2.7-rc.1"),
        ("1.0", "prerelease", "1.1-rc.1"), ("1.0-SNAPSHOT", "prerelease", "1.0-SNAPSHOT.1"),
        ("1.0-rc.1-alpine", None, "1.0-rc.2"), ("09", None, "10"), ("99", None, "100"),
    ],
)  # fmt: skip
def test_next(current: str, part: Part | None, expected: str) -> None:
    assert str(NATURAL.read(current).next(part)) == expected


@given(versions, st.sampled_from([None, *PARTS]), st.integers(1, 3))
def test_the_next_version_is_higher(version: Version, part: Part | None, at_least: int) -> None:
    following = version.next(part, at_least=at_least)
    assert following > version
    assert following.parts >= at_least
    if part == "prerelease":
        assert following.is_prerelease


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"), ("v", "begin with a number"), ("latest", "begin with a number"), ("1..2", "missing"),
        ("1.", "missing"), ("1.2-", "missing"), ("1--2", "missing"), ("1/2", "'/'"), ("1 2", "' '"), ("1.ä", "'ä'"),
        ("1" * 129, "longer"), ("V1", "begin with a number"), ("1\n", "'\\n'"),
    ],
)  # fmt: skip
def test_what_is_no_version(text: str, reason: str) -> None:
    assert NATURAL.find(text) is None
    with pytest.raises(UsageError) as caught:
        NATURAL.read(text)
    assert (caught.value.code, caught.value.exit_status) == ("version.invalid", 2)
    assert reason in caught.value.message
    assert caught.value.hint


@given(st.text(max_size=20) | st.from_regex(r"v?[0-9][-_.+a-zA-Z0-9]{0,20}", fullmatch=True))
def test_anything_is_a_version_or_one_clear_error(text: str) -> None:
    version = NATURAL.find(text)
    assume(version is not None)
    assert version is not None
    assert NATURAL.find(str(version)) == version


def test_the_line_of_a_version_is_spelt_as_it_is() -> None:
    version = NATURAL.read("2026-01-30-2")
    assert [version.line(parts) for parts in (1, 2, 3, 4)] == ["2026", "2026-01", "2026-01-30", "2026-01-30-2"]
    assert NATURAL.read("2026rc1").line(2) == "2026.0"
    assert NATURAL.read("2026rc1").widened(3) == "2026.0.0rc1"
