"""status: which version runs where."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tagflow.domain.history import Condition, Record
from tagflow.domain.policy import Environment, Image
from tagflow.domain.reference import Digest
from tagflow.domain.version import Version, as_version
from tagflow.errors import NotFound, UsageError
from tagflow.flows.announce import standing_before
from tagflow.flows.context import Context
from tagflow.flows.observe import Observer, Sight
from tagflow.flows.suggest import suggestion

_DIGEST = re.compile("(?:sha256:)?([0-9a-f]{7,64})")
"""How a digest may be named: by its first digits, as git lets a commit be named. Decimal ones may be a version too."""


@dataclass(frozen=True)
class Cell:
    """One image in one environment."""

    environment: str
    version: str | None
    digest: Digest | None
    since: datetime | None
    by: str | None
    state: Condition
    holds: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One image."""

    image: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Filter:
    """What the arguments of ``status`` narrow it to; an empty set means all."""

    environments: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    versions: frozenset[Version] = frozenset()
    digests: frozenset[str] = frozenset()

    @property
    def narrows_cells(self) -> bool:
        """Whether only some cells of a row are asked for."""
        return bool(self.versions or self.digests)


def status(context: Context, names: Sequence[str]) -> list[Row]:
    """What runs where, narrowed by environments, images, versions or digests.

    :raises NotFound: ``status.unknown`` for a word that is none of these.
    """
    return look(context, Observer(context), names)


def look(context: Context, observer: Observer, names: Sequence[str]) -> list[Row]:
    """:func:`status`, by an observer that is asked for more afterwards."""
    narrow = parse_filter(context, names)
    images = [image for image in context.policy.images if not narrow.images or image.name in narrow.images]
    environments = [
        environment
        for environment in context.policy.environments
        if not narrow.environments or environment.name in narrow.environments
    ]
    return _rows(context, observer, images, environments, narrow)


def parse_filter(context: Context, names: Sequence[str]) -> Filter:
    """Tell environments, images, versions and digests apart; the policy sees to it that no word is two of them."""
    environments = {environment.name for environment in context.policy.environments}
    images = {image.name for image in context.policy.images}
    found: dict[str, set[str]] = {"environments": set(), "images": set(), "digests": set()}
    versions: set[Version] = set()
    for name in names:
        if not name.strip():
            raise UsageError(
                "target.missing", "an argument is empty", hint="An unset variable? Leave it out to see all."
            )
        version = context.scheme.parse_label(name) or as_version(name)
        digest = _DIGEST.fullmatch(name)
        if name in environments:
            found["environments"].add(name)
        elif name in images:
            found["images"].add(name)
        elif digest is None and version is None:
            raise NotFound(
                "status.unknown",
                f"{name!r} is no environment, image, version or digest",
                hint=suggestion(name, environments | images)
                or "A digest is given by at least seven hex digits, with or without sha256: before them.",
            )
        else:
            found["digests"] |= {digest[1]} if digest else set()
            versions |= {version} if version else set()
    return Filter(
        frozenset(found["environments"]), frozenset(found["images"]), frozenset(versions), frozenset(found["digests"])
    )


def _rows(
    context: Context, observer: Observer, images: list[Image], environments: list[Environment], narrow: Filter
) -> list[Row]:
    places = {
        (image, environment): observer.place(image, environment) for image in images for environment in environments
    }
    sights = observer.sights(list(places.values()))
    rows = []
    for image in images:
        cells = [_cell(observer, sights[places[image, environment]]) for environment in environments]
        kept = tuple(cell for cell in cells if _matches(context, narrow, cell))
        if kept or not narrow.narrows_cells:
            rows.append(Row(image.name, kept))
    return rows


def _cell(observer: Observer, sight: Sight) -> Cell:
    standing = sight.standing
    recorded = standing.head.record if standing.head and standing.condition == "recorded" else None
    telling = recorded or _before(observer, sight)
    return Cell(
        environment=sight.place.environment.name,
        version=recorded.version if recorded else None,
        digest=standing.digest,
        since=telling.state.since if telling else None,
        by=telling.actor if telling else None,
        state=standing.condition,
        holds=tuple(sorted(standing.state.holds)),
    )


def _before(observer: Observer, sight: Sight) -> Record | None:
    """The record that tells of what still runs while a release is not finished: the one before it."""
    head = sight.standing.head
    if head is None or sight.standing.condition != "interrupted":
        return None
    before = standing_before(observer, sight, head).head
    return before.record if before and before.record.digest == sight.standing.digest else None


def _matches(context: Context, narrow: Filter, cell: Cell) -> bool:
    if not narrow.narrows_cells:
        return True
    version = context.scheme.parse_label(cell.version)
    digits = (cell.digest or "").removeprefix("sha256:")
    return version in narrow.versions or any(digits.startswith(digest) for digest in narrow.digests if digits)
