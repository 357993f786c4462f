"""What comes next, and which of the tags in the registry decide it.

A registry holds tags that read as versions and are none of this policy's: a date, a commit of digits only. So what an
environment admitted counts first:

1. A version with a combined tag counts: it was admitted somewhere.
2. A version tag without one counts if it is of the same shape as the highest admitted one, and its first number is at
   most one higher. (Dates, whose first number has four digits or more, may be any number higher.)
3. Where nothing is admitted yet, the versions of the most frequent shape count; of two equally frequent, those with the
   smaller first number.

The shape of a version is whether its first number has four digits or more, how many then, and whether it is its only
one. What is proposed is never a tag that exists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct

from tagflow.domain.tagging import TagScheme
from tagflow.domain.versions import Part, Version, highest
from tagflow.domain.versions.natural import NATURAL

_DATE = 4
"""Digits of a first number that is a year."""


class TagList(Struct, frozen=True):
    """The tags of one image in one repository."""

    image: str
    repository: str
    tags: Collection[str]


class Found(Struct, frozen=True):
    """A version, the tag that has it, and where."""

    version: Version
    tag: str
    image: str
    repository: str


class Following(Struct, frozen=True):
    """The version to come; the one that decided it (None: there is none yet); and what decided nothing.

    ``not_counted`` are version tags that are higher, of another shape or too far ahead, highest first; ``not_read``
    tags that look like versions and are none under this policy.
    """

    version: Version
    after: Found | None
    not_counted: tuple[Found, ...]
    not_read: tuple[str, ...]

    def is_alike(self, found: Found) -> bool:
        """Whether a version has the shape of the one that decided."""
        return self.after is not None and _shape(found.version) == _shape(self.after.version)


def following(scheme: TagScheme, lists: Sequence[TagList], part: Part | None) -> Following:
    """The version after the highest that counts; ``part`` None is the usual step of the scheme.

    :raises UsageError: ``version.order`` where a reader would take another version for the highest.
    """
    found, admitted, not_read = _read(scheme, lists)
    counted = _counted(list(found.values()), admitted)
    best = highest(it.version for it in counted)
    if best is None:
        return Following(scheme.version_scheme.first(part), None, (), not_read)
    coming = best.next(part, at_least=scheme.fewest_parts)
    while coming in found:
        coming = coming.next(part, at_least=scheme.fewest_parts)
    passed = sorted((it for it in found.values() if it.version > best), key=lambda it: it.version, reverse=True)
    return Following(coming, found[best], tuple(passed), not_read)


def _read(scheme: TagScheme, lists: Iterable[TagList]) -> tuple[dict[Version, Found], set[Version], tuple[str, ...]]:
    """The versions, each with its version tag, or else a combined one; those admitted; what was not read."""
    found: dict[Version, Found] = {}
    admitted: set[Version] = set()
    strange: set[str] = set()
    for given in lists:
        for tag in sorted(given.tags):
            meaning = scheme.read(tag)
            if meaning is None:
                if looks_like_a_version(tag) and not scheme.has_an_environment(tag):
                    strange.add(tag)
            elif meaning.version is not None and meaning.kind in ("version", "combined"):
                known = found.get(meaning.version)
                if known is None or (meaning.kind == "version") > (known.tag == scheme.version_tag(known.version)):
                    found[meaning.version] = Found(meaning.version, tag, given.image, given.repository)
                if meaning.kind == "combined":
                    admitted.add(meaning.version)
    return found, admitted, tuple(sorted(strange, key=_natural_key, reverse=True))


def _counted(found: Sequence[Found], admitted: Collection[Version]) -> list[Found]:
    if not admitted:
        shapes = Counter(_shape(it.version) for it in found)
        usual = max(shapes, key=lambda shape: (shapes[shape], -shape[0], not shape[1]), default=None)
        return [it for it in found if _shape(it.version) == usual]
    top = max(admitted)
    limit = _first(top) + 1
    return [
        it
        for it in found
        if it.version in admitted
        or (_shape(it.version) == _shape(top) and (_shape(top)[0] or _first(it.version) <= limit))
    ]


def looks_like_a_version(tag: str) -> bool:
    """Whether a reader would take a tag for a version: numbers with something between them, perhaps after ``v``."""
    version = NATURAL.find(tag)
    return version is not None and version.parts > 1


def _natural_key(tag: str) -> tuple[object, ...]:
    version = NATURAL.find(tag)
    return version.key if version is not None else ()


def _first(version: Version) -> int:
    return int(version.line(1))


def _shape(version: Version) -> tuple[int, bool]:
    """How many digits the first number has, where it may be a date; whether it stands alone."""
    digits = len(version.line(1))
    return (digits if digits >= _DATE else 0, version.parts == 1)
