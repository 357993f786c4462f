"""Which version a floating tag stands at: the highest admitted, not held one of its line.

A line of releases (``latest``, ``v1``, ``v1.2``) has no pre-releases. A channel (``beta``) has those of its word, and
every release that is higher: whoever follows it is never left behind at the pre-release of what came out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tagflow.domain.policy import CHANNELS, LINES, Environment, Line
from tagflow.domain.tagging import TagScheme, is_of_line
from tagflow.domain.versions import Version, highest


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


def winner(scheme: TagScheme, tag: str, line: Line, admitted: Collection[Version]) -> Version | None:
    """The version at which a floating tag belongs, or None where its line has none left.

    It depends on what is admitted alone, never on the order in which that came about. A channel without any
    pre-release of its word has no winner, whatever was released.

    :raises UsageError: ``version.order`` where a reader would take another version for the highest.
    """
    candidates = [it for it in admitted if is_of_line(it, line) and scheme.floating_tag(it, line) == tag]
    if candidates and line in CHANNELS:
        candidates += [it for it in admitted if not it.is_prerelease]
    return highest(candidates)
