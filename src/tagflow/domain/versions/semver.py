"""SemVer 2.0.0: strict, but for numbers left out and the ``_`` that stands for ``+`` in a tag; else why it is none."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import Any, ClassVar

import semver
from msgspec import Struct

from tagflow.domain.versions.natural import NATURAL
from tagflow.domain.versions.version import LONGEST, PARTS, Part, Version, VersionScheme
from tagflow.errors import UsageError

_USUAL = "Write 1.2.3, v1.2.3, 1.2 or v1; a pre-release (1.2.0-rc.1) or build metadata (1.2.3+7) may follow."
_STRANGE = re.compile(r"[^0-9A-Za-z.+_-]")
_COMMIT = 7
"""Digits of the shortest name of a commit that git shows."""


class _Wrong(Struct, frozen=True):
    """What is wrong with a text, and how it would be right: empty where nobody can tell.

    ``natural``: whether the other scheme would read it as it was meant.
    """

    reason: str
    instead: str = ""
    natural: bool = True


def complaint(text: str, scheme: VersionScheme) -> UsageError:
    """The error for a text that is no version under ``scheme``."""
    wrong = _look(text)
    ways = []
    if wrong.instead and scheme.find(wrong.instead) is not None:
        ways.append(f"write {'v' * text.startswith('v')}{wrong.instead}")
    natural = wrong.natural and NATURAL.find(text) is not None
    if natural:
        ways.append("set `versions: natural`")
    told = f"{wrong.reason}; {', or '.join(ways)}" if ways else wrong.reason
    hint = "`versions` stands under `tags` in promotion.yaml." if natural else _USUAL
    return UsageError("version.invalid", f"{text[:LONGEST]!r} is not a version: {told}", hint=hint)


def _look(text: str) -> _Wrong:
    body = text.removeprefix("v")
    strange = _STRANGE.search(text)
    if not text:
        return _Wrong("it is empty")
    if len(text) > LONGEST:
        return _Wrong(f"it is longer than {LONGEST} characters")
    if strange is not None:
        return _Wrong(f"{strange[0]!r} is not allowed in it")
    if not body[:1].isdigit():
        return _Wrong("it does not begin with a number")
    core = re.match(r"[0-9.]+", body)
    assert core is not None
    rest = body[core.end() :]
    return _in_core(core[0], rest) or _in_suffix(core[0], rest)


def _in_core(core: str, rest: str) -> _Wrong | None:
    numbers = core.split(".")
    if "" in numbers:
        dot = rest[:1].isalpha() and numbers.index("") == len(numbers) - 1
        return _Wrong(f"a number is missing in {core}", f"{core[:-1]}-{_dotted(rest)}" if dot else "")
    if len(numbers) > 3:
        return _Wrong(f"{core}: SemVer has three numbers at most, these are {len(numbers)}")
    padded = next((number for number in numbers if len(number) > 1 and number.startswith("0")), None)
    if padded is not None:
        return _Wrong(f"{padded}: no leading zero in SemVer", ".".join(_bare(number) for number in numbers) + rest)
    if rest[:1].isalpha():
        return _Wrong(f"{rest}: SemVer has a hyphen before a pre-release", f"{core}-{_dotted(rest)}")
    return None


def _in_suffix(core: str, rest: str) -> _Wrong:
    before, plus, build = rest.replace("_", "+").partition("+")
    identifiers = before.removeprefix("-").split(".") if before else []
    if "+" in build:
        once = f"{core}{before}+{build.replace('+', '.')}"
        return _Wrong("build metadata begins with + or _, and it stands there twice", once)
    if "" in identifiers or (plus and "" in build.split(".")):
        return _Wrong("something is missing after a separator")
    for place, identifier in enumerate(identifiers):
        if identifier.isdigit() and len(identifier) > 1 and identifier.startswith("0"):
            commit = len(identifier) >= _COMMIT
            right = [*identifiers[:place], f"g{identifier}" if commit else _bare(identifier), *identifiers[place + 1 :]]
            reason = f"{identifier}: no leading zero in a number of a SemVer pre-release"
            return _Wrong(reason, f"{core}-{'.'.join(right)}{plus}{build}", natural=not commit)
    return _Wrong("SemVer does not read it")


def _bare(number: str) -> str:
    return number.lstrip("0") or "0"


def _dotted(text: str) -> str:
    """``rc10`` → ``rc.10``."""
    return re.sub(r"^([A-Za-z]+)([0-9])", r"\1.\2", text)


_SHAPE = re.compile(r"v?([0-9]+(?:\.[0-9]+){0,2}(?:-[0-9A-Za-z.-]+)?(?:[+_][0-9A-Za-z.-]+)?)")
_LETTERS = re.compile("[A-Za-z]+")
_AT_END = re.compile(r"(.*?)([0-9]*)", re.DOTALL)
_RUN = re.compile("([0-9]+)")


class SemVer(VersionScheme):
    """``1.2.3``, ``1.2``, ``1``, with pre-release and build metadata.

    The order is that of SemVer 2.0.0, section 11, where numbers that are not written are zero. Build metadata, which
    section 10 does not order, breaks ties identifier by identifier, numbers (also at the end of a word) by value.
    """

    name: ClassVar[str] = "semver"
    title: ClassVar[str] = "SemVer"

    def find(self, text: str) -> Version | None:
        """The version that ``text`` writes, or None."""
        match = _SHAPE.fullmatch(text) if len(text) <= LONGEST else None
        if match is None:
            return None
        spelling = match[1].replace("_", "+")
        try:
            number = semver.Version.parse(spelling, optional_minor_and_patch=True)
        except ValueError:
            return None
        prerelease = number.prerelease
        word = _LETTERS.match(prerelease or "")
        return Version(
            spelling,
            _key(number),
            1 + re.split(r"[-+]", spelling, maxsplit=1)[0].count("."),
            prerelease is not None,
            word[0].lower() if word else "",
            self,
        )

    def read(self, text: str) -> Version:
        """The version that ``text`` writes.

        :raises UsageError: ``version.invalid``.
        """
        version = self.find(text)
        if version is None:
            raise complaint(text, self)
        return version

    def spellings(self, version: Version) -> list[str]:
        """Every way to write a version: zeros at the end of its numbers may be left out."""
        numbers = list(map(str, version.key[0]))
        fewest = next((count for count in (3, 2) if numbers[count - 1] != "0"), 1)
        rest = version.text[len(version.line(version.parts)) :]
        return [".".join(numbers[:count]) + rest for count in range(fewest, 4)]

    def next(self, version: Version, part: Part | None, *, at_least: int = 1) -> Version:
        """As precise as the version is written, and with ``at_least`` so many numbers.

        ``1.0`` → patch (the usual step) ``1.0.1``, minor ``1.1``, major ``2.0``, prerelease ``1.0.1-rc.1``; a
        pre-release is followed by its own release.
        """
        step = part or "patch"
        core, suffix = version.key[0], ""
        if step == "prerelease" and version.is_prerelease:
            suffix = _next_prerelease(".".join(_identifiers(version)))
        elif not (version.is_prerelease and step in _finished_by(core)):
            core = _raised(core, step)
            suffix = "rc.1" if step == "prerelease" else ""
        fewest = 1 if core == version.key[0] else {"major": 1, "minor": 2}.get(step, 3)
        width = max(version.parts, at_least, fewest)
        following = self.read("-".join(filter(None, (".".join(map(str, core[:width])), suffix))))
        if not version < following:
            raise UsageError(
                "version.order",
                f"after {version} would come {following}, which SemVer orders before it",
                hint="Give the number of a pre-release a dot of its own (rc.10), or set `versions: natural` under "
                "`tags`.",
            )
        return following

    def is_unclear(self, one: Version, other: Version) -> bool:
        """Whether two versions differ first in a number inside a word that is lower by value and higher as text."""
        if one.key[0] != other.key[0] or one.key[1] == other.key[1]:
            return False
        for mine, its in zip(_identifiers(one), _identifiers(other), strict=False):
            if mine != its:
                return not (mine.isdigit() or its.isdigit()) and _by_value(mine, its) not in (0, _as_text(mine, its))
        return False


SEMVER = SemVer()


def _key(number: semver.Version) -> tuple[Any, ...]:
    """Three numbers, the pre-release (after which its release comes), the build metadata (as it is written, too: ``7``
    and ``007`` are two builds)."""
    core = (number.major, number.minor, number.patch)
    prerelease = (1,) if number.prerelease is None else (0, *map(_identifier, number.prerelease.split(".")))
    build = () if number.build is None else tuple(map(_build_identifier, number.build.split(".")))
    return core, prerelease, build, number.build or ""


def _identifier(text: str) -> tuple[int, int, str]:
    """SemVer 2.0.0, section 11.4: numbers by value, below words; words as text."""
    return (0, int(text), "") if text.isdigit() else (1, 0, text)


def _build_identifier(text: str) -> tuple[int, str, int]:
    """As SemVer orders identifiers, but a number at the end of a word counts by its value."""
    match = _AT_END.fullmatch(text)
    assert match is not None
    word, number = match[1], int(match[2]) if match[2] else -1
    return (1, word, number) if word else (0, "", number)


def _finished_by(core: tuple[int, int, int]) -> tuple[Part, ...]:
    """Which steps lead from a pre-release to its own release."""
    _, minor, patch = core
    return ("patch",) if patch else ("minor", "patch") if minor else PARTS[:3]


def _raised(core: tuple[int, int, int], step: Part) -> tuple[int, int, int]:
    major, minor, patch = core
    return {"major": (major + 1, 0, 0), "minor": (major, minor + 1, 0)}.get(step, (major, minor, patch + 1))


def _next_prerelease(text: str) -> str:
    """The last number one higher, and what follows it dropped: ``rc.1`` → ``rc.2``, ``rc8`` → ``rc9``, ``rc`` →
    ``rc.1``."""
    identifiers = text.split(".")
    while identifiers and not identifiers[-1].isdigit():
        identifiers.pop()
    if identifiers:
        return ".".join([*identifiers[:-1], str(int(identifiers[-1]) + 1)])
    match = _AT_END.fullmatch(text)
    assert match is not None
    return f"{match[1]}{int(match[2]) + 1}" if match[2] else f"{text}.1"


def _identifiers(version: Version) -> list[str]:
    return version.text.partition("+")[0].partition("-")[2].split(".")


def _as_text(one: str, other: str) -> int:
    return (one > other) - (one < other)


def _by_value(one: str, other: str) -> int:
    """How a reader orders two words that differ first in a number: -1 or 1; 0 where they differ in something else.

    A word may be made of several, joined by ``-``. Two parts compare if they are the same but for their numbers, so
    that commits (``g9f3c2a1``) are left to the scheme.
    """
    for mine, its in zip_longest(one.split("-"), other.split("-"), fillvalue=""):
        if mine == its:
            continue
        mine_runs, its_runs = _RUN.split(mine), _RUN.split(its)
        if mine_runs[::2] != its_runs[::2]:
            return 0
        mine_values, its_values = list(map(int, mine_runs[1::2])), list(map(int, its_runs[1::2]))
        return (mine_values > its_values) - (mine_values < its_values)
    return 0
