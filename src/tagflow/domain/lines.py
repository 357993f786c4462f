"""Lines of versions: which version a floating tag stands at, and which older line is kept alive beside what runs.

A line of releases (``latest``, ``v1``, ``v1.2``) has no pre-releases. A channel (``beta``) has those of its word, and
every release that is higher: whoever follows it is never left behind at the pre-release of what came out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tagflow.domain.policy import CHANNELS, LINES, Environment, Line, Lines
from tagflow.domain.tagging import TagScheme, is_of_line
from tagflow.domain.versions import Version, highest, refuse_unclear_order


def lines_of(scheme: TagScheme, environment: Environment, versions: Iterable[Version]) -> dict[str, Line]:
    """The floating tags of an environment whose winner may change when these versions come or go."""
    chosen = list(versions)
    return {
        scheme.floating_tag(version, line): line
        for line in LINES
        if line in environment.floating
        for version in chosen
        if is_of_line(version, line) or (line in CHANNELS and not version.is_prerelease)
    }


def winner(
    scheme: TagScheme, tag: str, line: Line, admitted: Collection[Version], tags: Collection[str] = ()
) -> Version | None:
    """The version at which a floating tag belongs, or None where its line has none left.

    It depends on what is admitted alone, never on the order in which that came about. A channel without any
    pre-release of its word has no winner, whatever was released; nor has what is a release too, by the ``tags`` of the
    repository.

    :raises UsageError: ``version.order`` where a reader would take another version for the highest.
    """
    if scheme.is_release_too(tag, tags):
        return None
    candidates = [it for it in admitted if is_of_line(it, line) and scheme.floating_tag(it, line) == tag]
    if candidates and line in CHANNELS:
        candidates += [it for it in admitted if not it.is_prerelease]
    return highest(candidates)


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
