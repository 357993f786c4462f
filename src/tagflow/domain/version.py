"""Versions: read as people type them, ordered as SemVer 2.0.0 orders them, written back as they were written."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import total_ordering
from typing import Literal

import semver

from tagflow.errors import UsageError

Part = Literal["major", "minor", "patch", "prerelease"]
PARTS: tuple[Part, ...] = ("major", "minor", "patch", "prerelease")

_SHAPE = re.compile(r"v?([0-9]+(?:\.[0-9]+){0,2}(?:-[0-9A-Za-z.-]+)?(?:[+_][0-9A-Za-z.-]+)?)")
_LONGEST = 128


@total_ordering
@dataclass(frozen=True, eq=False)
class Version:
    """One version. ``text`` is its spelling without ``v`` and with ``+`` before build metadata.

    Spellings of the same version are equal: ``1.0`` is ``1.0.0``. Build metadata, which SemVer does not order,
    breaks ties in ASCII order (section 10 and 11 of SemVer 2.0.0), so that the order is total.
    """

    text: str
    number: semver.Version = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read ``1.2.3``, ``v1.2.3``, ``1.2``, ``v1``, with pre-release and build metadata (after ``+`` or ``_``).

        :raises UsageError: ``version.invalid``.
        """
        match = _SHAPE.fullmatch(text) if len(text) <= _LONGEST else None
        if match is not None:
            spelling = match[1].replace("_", "+")
            try:
                return cls(spelling, semver.Version.parse(spelling, optional_minor_and_patch=True))
            except ValueError:
                pass
        raise UsageError(
            "version.invalid",
            f"{text[:_LONGEST]!r} is not a version",
            hint="Write 1.2.3, v1.2.3, 1.2 or v1; a pre-release (1.2.0-rc.1) or build metadata (1.2.3+7) may follow.",
        )

    @property
    def parts(self) -> int:
        """How many of major, minor and patch are written: 1 to 3."""
        return len(re.split(r"[-+]", self.text, maxsplit=1)[0].split("."))

    @property
    def is_prerelease(self) -> bool:
        """Whether it comes before its release."""
        return self.number.prerelease is not None

    def line(self, parts: int) -> str:
        """The first one or two numbers: the line ``1`` or ``1.2`` to which the version belongs."""
        return ".".join(str(number) for number in (self.number.major, self.number.minor)[:parts])

    def next(self, part: Part, *, at_least: int = 1) -> Version:
        """The version after this one, as precise as it is written, and with ``at_least`` so many parts.

        ``1.0`` → patch ``1.0.1``, minor ``1.1``, major ``2.0``, prerelease ``1.0.1-rc.1``; a pre-release is followed
        by its own release.
        """
        bumped = self.number.next_version(part, prerelease_token="rc")  # noqa: S106
        released = bumped == self.number.finalize_version()
        width = max(self.parts, at_least, 1 if released else {"major": 1, "minor": 2}.get(part, 3))
        core = ".".join(str(number) for number in bumped.to_tuple()[:width])
        return Version.parse(f"{core}-{bumped.prerelease}" if bumped.prerelease else core)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __lt__(self, other: Version) -> bool:
        if self.number != other.number:
            return bool(self.number < other.number)
        return (self.number.build or "") < (other.number.build or "")

    def __str__(self) -> str:
        return self.text

    @property
    def _key(self) -> tuple[int, int, int, str | None, str | None]:
        number = self.number
        return number.major, number.minor, number.patch, number.prerelease, number.build


FIRST = Version.parse("0.1.0")
"""What comes next where there is no version yet."""


def as_version(text: str) -> Version | None:
    """The version that ``text`` writes, or None where it writes none."""
    try:
        return Version.parse(text)
    except UsageError:
        return None
