"""One version as a value, what a scheme of versions must be able to do, and which order is decided on.

SemVer compares a word as text: ``rc10`` comes before ``rc9``. Whatever would depend on the order of two such versions
(a downgrade, the winner of a floating tag, what comes next) is refused, in both directions.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import total_ordering
from typing import Any, ClassVar, Literal

from tagflow.errors import UsageError

Part = Literal["major", "minor", "patch", "prerelease"]
PARTS: tuple[Part, ...] = ("major", "minor", "patch", "prerelease")
LONGEST = 128
"""No tag has more characters."""

_NUMBER = re.compile("[0-9]+")


@total_ordering
@dataclass(frozen=True, eq=False)
class Version:
    """One version, as a scheme has read it.

    Versions of one scheme are totally ordered. Spellings of the same version (``1.0`` and ``1.0.0``) are equal.
    """

    text: str
    """Its spelling, without ``v``; under ``semver`` with ``+`` before build metadata."""
    key: tuple[Any, ...] = field(repr=False)
    """What is compared: equal for spellings of one version."""
    parts: int = field(repr=False)
    """How many numbers it begins with: major, minor, patch, and under ``natural`` any more."""
    is_prerelease: bool = field(repr=False)
    """Whether it comes before its release."""
    word: str = field(repr=False)
    """The word of a pre-release in lower case (``beta`` of ``1.2.0-beta.1``); empty where it has none."""
    scheme: VersionScheme = field(repr=False)

    @property
    def tag(self) -> str:
        """Its spelling in a tag, where ``+`` is not allowed."""
        return self.text.replace("+", "_")

    @property
    def is_plain(self) -> bool:
        """Whether it is nothing but numbers."""
        return self.text == self.line(self.parts)

    def line(self, parts: int) -> str:
        """The first ``parts`` numbers as they are spelt: the line ``1`` or ``1.2`` to which the version belongs.

        Numbers that are not written are zero.
        """
        return self.text[: self._end(parts)] + ".0" * (parts - self.parts)

    def numbers(self, count: int) -> tuple[str, ...]:
        """The first ``count`` numbers as they are spelt; those that are not written are zero."""
        written = _NUMBER.findall(self.text)[: min(count, self.parts)]
        return (*written, *["0"] * (count - len(written)))

    def widened(self, parts: int) -> str:
        """The spelling with at least so many numbers at its beginning."""
        return self.line(parts) + self.text[self._end(self.parts) :] if parts > self.parts else self.text

    def next(self, part: Part | None = None, *, at_least: int = 1) -> Version:
        """The version after this one, with ``at_least`` so many numbers; ``part`` is what goes up.

        :raises UsageError: ``version.order`` where the scheme would not order it after this one.
        """
        return self.scheme.next(self, part, at_least=at_least)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __lt__(self, other: Version) -> bool:
        return self.key < other.key

    def __str__(self) -> str:
        return self.text

    def _end(self, parts: int) -> int:
        """Where the first ``parts`` numbers end in the spelling."""
        ends = [found.end() for found in _NUMBER.finditer(self.text)][: self.parts]
        return ends[min(parts, self.parts) - 1] if parts else 0


class VersionScheme(ABC):
    """How versions are read, ordered and counted up. Writing is the version's own: ``text`` and ``tag``."""

    name: ClassVar[str]
    """As promotion.yaml writes it."""
    title: ClassVar[str]
    """As messages call it."""

    @abstractmethod
    def find(self, text: str) -> Version | None:
        """The version that ``text`` writes, with or without ``v``; None where it writes none."""

    @abstractmethod
    def read(self, text: str) -> Version:
        """The version that ``text`` writes.

        :raises UsageError: ``version.invalid``, with the part that is wrong, and why.
        """

    @abstractmethod
    def spellings(self, version: Version) -> list[str] | None:
        """Every way to write a version, without ``v``; None where these are too many to be counted."""

    @abstractmethod
    def next(self, version: Version, part: Part | None, *, at_least: int = 1) -> Version:
        """The version after another; ``part`` None is the scheme's usual step."""

    @abstractmethod
    def is_unclear(self, one: Version, other: Version) -> bool:
        """Whether the scheme orders two versions otherwise than a reader would."""

    def first(self, part: Part | None) -> Version:
        """What comes next where there is no version yet."""
        return self.read("0.1.0-rc.1" if part == "prerelease" else "0.1.0")

    def __repr__(self) -> str:
        return self.name


_INSIDE = re.compile(r"(?<=[A-Za-z])-?(?=[0-9]+(?:[.+-]|$))")
"""Between a word and the number at its end."""


def refuse_unclear_order(one: Version, other: Version) -> None:
    """Say no where something depends on the order of two versions that are ordered otherwise than they read.

    :raises UsageError: ``version.order``.
    """
    if not one.scheme.is_unclear(one, other):
        return
    lower, higher = sorted((one, other))
    helps = [spelling for spelling in map(_separated, (lower, higher)) if spelling]
    write = f"Write {' and '.join(dict.fromkeys(helps))}, or set" if helps else "Set"
    raise UsageError(
        "version.order",
        f"SemVer orders {lower} before {higher}, because it compares a number inside a word as text; "
        "nothing is decided on that",
        hint=f"{write} `versions: natural` under `tags`, which orders such numbers by value.",
    )


def highest(versions: Iterable[Version]) -> Version | None:
    """The highest version; None where there is none.

    :raises UsageError: ``version.order`` where a reader would take another one for it.
    """
    known = list(versions)
    best = max(known, default=None)
    if best is not None:
        for version in known:
            refuse_unclear_order(version, best)
    return best


def _separated(version: Version) -> str:
    """The spelling in which the number at the end of a word stands by itself: ``rc.10``; empty where there is none."""
    core, dash, rest = version.text.partition("-")
    spelling = core + dash + _INSIDE.sub(".", rest)
    found = version.scheme.find(spelling)
    return spelling if found is not None and spelling != version.text else ""
