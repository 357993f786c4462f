"""Which version a floating tag stands at: the highest admitted, not held, stable one of its line."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tagflow.domain.policy import LINES, Environment, Line
from tagflow.domain.tagging import TagScheme
from tagflow.domain.version import Version


def lines_of(scheme: TagScheme, environment: Environment, versions: Iterable[Version]) -> dict[str, Line]:
    """The floating tags of an environment whose winner may change when these versions come or go."""
    return {
        scheme.floating_tag(version, line): line
        for line in LINES
        if line in environment.floating
        for version in versions
        if not version.is_prerelease
    }


def winner(scheme: TagScheme, tag: str, line: Line, admitted: Collection[Version]) -> Version | None:
    """The version at which a floating tag belongs, or None where its line has none left.

    It depends on what is admitted alone, never on the order in which that came about. Pre-releases never win.
    """
    return max(
        (version for version in admitted if not version.is_prerelease and scheme.floating_tag(version, line) == tag),
        default=None,
    )
