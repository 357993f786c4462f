"""What people write and SemVer does not know: ``2026.02.0``, ``1.2.3.4``, ``3.5.15-0``, ``1.0rc10``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from tagflow.domain.policy import PRERELEASE_WORDS
from tagflow.domain.versions.version import LONGEST, Part, Version, VersionScheme
from tagflow.errors import UsageError

WORDS = PRERELEASE_WORDS | {"a", "b", "c", "dev", "m", "milestone", "next"}
"""The words, in lower case, that make a version come before its release."""

_SHAPE = re.compile(r"v?([0-9][0-9A-Za-z]*(?:[._+-][0-9A-Za-z]+)*)")
_LEADING = re.compile("[0-9]+(?:[._-][0-9]+)*")
_TOKEN = re.compile("[0-9]+|[A-Za-z]+")
_NUMBER = re.compile("[0-9]+")
_LAST = re.compile("[0-9]+(?=[^0-9]*$)")
_SEPARATORS = re.compile("[._-]")
_ORDINALS: tuple[Part, ...] = ("major", "minor", "patch")


class Natural(VersionScheme):
    """Numbers of any count, then words and numbers; separated by ``.``, ``-`` or ``_``, or by nothing.

    Numbers are kept as they are spelt and ordered by value; those that are not written are zero. A pre-release word
    comes before the release, in any letter case; what follows it is ordered as SemVer orders it, a number below a
    word. Any other word is part of the release, which comes after the one without it.
    """

    name: ClassVar[str] = "natural"
    title: ClassVar[str] = "a reader"

    def find(self, text: str) -> Version | None:
        """The version that ``text`` writes, or None."""
        match = _SHAPE.fullmatch(text) if len(text) <= LONGEST else None
        if match is None:
            return None
        spelling = match[1].replace("+", "_")
        leading = _leading(spelling)
        suffix = _TOKEN.findall(spelling[len(leading) :])
        word = next((token.lower() for token in suffix if token.lower() in WORDS), "")
        numbers = [int(number) for number in _NUMBER.findall(leading)]
        key = (tuple(_without_zeros(numbers)), tuple(_ordered(suffix)))
        return Version(spelling, key, len(numbers), bool(word), word, self)

    def read(self, text: str) -> Version:
        """The version that ``text`` writes.

        :raises UsageError: ``version.invalid``.
        """
        version = self.find(text)
        if version is None:
            raise UsageError(
                "version.invalid",
                f"{text[:LONGEST]!r} is not a version: {_reason(text)}",
                hint="Write 1.2.3, 2026.02.0, 1.2.3.4, 2026-01-30-2 or 1.0rc10, with or without v.",
            )
        return version

    def spellings(self, version: Version) -> None:
        """Too many: zeros may stand before a number, and any separator between two."""

    def next(self, version: Version, part: Part | None, *, at_least: int = 1) -> Version:
        """Raises the last number, or the named one: major, minor and patch are the first three.

        A number keeps its width, and what follows it is dropped. ``2026.02.0`` → ``2026.02.1``, minor ``2026.03``;
        ``1.0rc9`` → ``1.0rc10``. The pre-release after a release is the first of the next one: ``1.0`` → ``1.1-rc.1``.
        """
        if part is None:
            text = _raised(version.text)
        elif part == "prerelease":
            text = _next_prerelease(version)
        else:
            text = _raised(_padded(version, _ORDINALS.index(part) + 1))
        return self.read(self.read(text).widened(at_least))

    def is_unclear(self, one: Version, other: Version) -> bool:  # noqa: ARG002
        """Never: the order is the reader's."""
        return False


NATURAL = Natural()


def _leading(text: str) -> str:
    match = _LEADING.match(text)
    assert match is not None
    return match[0]


def _without_zeros(numbers: list[int]) -> list[int]:
    """Without zeros at the end: what is not written is zero, too."""
    while numbers and numbers[-1] == 0:
        numbers = numbers[:-1]
    return numbers


def _ordered(tokens: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    """What a suffix is ordered by.

    A pre-release word, then the end, then any other word, then a number; after a pre-release word it is the end, a
    number, a word. Such a word and those of a release are compared in lower case, what follows it as it is written.
    """
    before = False
    for token in tokens:
        if before:
            yield (1, int(token)) if token.isdigit() else (2, token)
        elif token.isdigit():
            yield 3, int(token)
        else:
            before = token.lower() in WORDS
            yield 0 if before else 2, token.lower()
    yield (0,) if before else (1,)


def _raised(text: str) -> str:
    """The text up to its last number, which is one higher and as wide as it was."""
    number = _LAST.search(text)
    assert number is not None
    return text[: number.start()] + str(int(number[0]) + 1).zfill(len(number[0]))


def _padded(version: Version, count: int) -> str:
    """The first ``count`` numbers; those that are missing are zeros, separated as the last of them is."""
    if count <= version.parts:
        return version.line(count)
    leading = version.line(version.parts)
    separator = [".", *_SEPARATORS.findall(leading)][-1]
    return leading + f"{separator}0" * (count - version.parts)


def _next_prerelease(version: Version) -> str:
    leading = version.line(version.parts)
    if not version.is_prerelease:
        return f"{_raised(leading)}-rc.1"
    word = next(it for it in _TOKEN.finditer(version.text) if it[0].lower() in WORDS)
    return _raised(version.text) if _NUMBER.search(version.text, word.end()) else f"{version.text}.1"


def _reason(text: str) -> str:
    body = text.removeprefix("v")
    if not text:
        return "it is empty"
    if len(text) > LONGEST:
        return f"it is longer than {LONGEST} characters"
    strange = re.search(r"[^0-9A-Za-z._+-]", text)
    if strange is not None:
        return f"{strange[0]!r} is not allowed in it"
    return (
        "it does not begin with a number"
        if not body[:1].isdigit()
        else "a number or word is missing between two separators"
    )
