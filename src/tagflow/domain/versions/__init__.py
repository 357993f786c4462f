"""Versions under two schemes with one interface: :mod:`~tagflow.domain.versions.semver` and ``natural``."""

from tagflow.domain.versions.order import highest, refuse_unclear_order
from tagflow.domain.versions.scheme import SCHEMES, as_version
from tagflow.domain.versions.version import PARTS, Part, Version, VersionScheme

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
