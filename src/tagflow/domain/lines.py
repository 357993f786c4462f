"""Maintenance lines: an older line is kept alive beside the version that runs."""

from __future__ import annotations

from collections.abc import Iterable

from tagflow.domain.policy import Lines
from tagflow.domain.versions import Version, highest, refuse_unclear_order

_PARTS: dict[Lines, int] = {"none": 0, "major": 1, "minor": 2}


def line_key(version: Version, lines: Lines) -> tuple[int, ...]:
    """The line to which a version belongs, by value: that of ``2026.02`` is that of ``2026.2.0``.

    >>> from tagflow.domain.versions.semver import SEMVER
    >>> line_key(SEMVER.read("1.20.4"), "minor")
    (1, 20)
    """
    count = _PARTS[lines]
    return tuple(int(number) for number in version.numbers(count))


def enters_beside(version: Version, running: Version | None, admitted: Iterable[Version], lines: Lines) -> bool:
    """Whether a version enters beside the one that runs: lower than it, of another line, and the highest of its own.

    ``admitted`` is what is admitted there already, the version itself included or not.

    :raises UsageError: ``version.order`` where that depends on an order that a reader sees otherwise.
    """
    if lines == "none" or running is None or version == running:
        return False
    refuse_unclear_order(version, running)
    line = line_key(version, lines)
    if version > running or line == line_key(running, lines):
        return False
    return highest([version, *(other for other in admitted if line_key(other, lines) == line)]) == version
