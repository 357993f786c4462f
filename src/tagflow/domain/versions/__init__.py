"""Versions under two schemes with one interface: :mod:`~tagflow.domain.versions.semver` and ``natural``."""

from __future__ import annotations

from collections.abc import Mapping

from tagflow.domain.versions.natural import NATURAL
from tagflow.domain.versions.semver import SEMVER
from tagflow.domain.versions.version import PARTS, Part, Version, VersionScheme, highest, refuse_unclear_order

__all__ = [
    "PARTS",
    "SCHEMES",
    "Part",
    "Version",
    "VersionScheme",
    "as_version",
    "highest",
    "refuse_unclear_order",
]

SCHEMES: Mapping[str, VersionScheme] = {scheme.name: scheme for scheme in (SEMVER, NATURAL)}
"""The schemes by their names in promotion.yaml."""


def as_version(text: str) -> Version | None:
    """The SemVer version that ``text`` writes, or None: for names that are judged without a policy."""
    return SEMVER.find(text)
