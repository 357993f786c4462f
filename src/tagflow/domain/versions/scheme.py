"""The schemes by their names in promotion.yaml."""

from __future__ import annotations

from collections.abc import Mapping

from tagflow.domain.versions.natural import NATURAL
from tagflow.domain.versions.semver import SEMVER
from tagflow.domain.versions.version import Version, VersionScheme

SCHEMES: Mapping[str, VersionScheme] = {scheme.name: scheme for scheme in (SEMVER, NATURAL)}


def as_version(text: str) -> Version | None:
    """The SemVer version that ``text`` writes, or None: for names that are judged without a policy."""
    return SEMVER.find(text)
