"""Where versions were read before there were two schemes; the names stay for those who import them from here."""

from tagflow.domain.versions import PARTS, Part, Version, as_version

__all__ = ["PARTS", "Part", "Version", "as_version"]
